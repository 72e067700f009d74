//! The certificate that the xDS listener shows, and when it shows another.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ::authority::Authority;
use anyhow::{Context, ensure};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::sync::watch;
use xds::TlsSettings;

use super::Shows;
use super::issuer::Issuer;

/// Between two looks at the files.
const LOOK: Duration = Duration::from_secs(1);
/// The largest file of certificates or keys, in bytes.
const FILE_BYTES_MAX: u64 = 256 << 10;

/// What the listener shows.
pub struct Shown {
    shows: Shows,
    client_ca: Option<PathBuf>,
    issuer: Arc<dyn Issuer>,
}

/// What joining hosts are told of it.
pub struct Told {
    /// PEM.
    pub authority: String,
    /// In the certificate.
    pub name: String,
}

impl Told {
    /// Of a listener that shows this.
    pub fn of(shows: &Shows, ours: &Authority) -> anyhow::Result<Self> {
        match shows {
            Shows::Platform => {
                Ok(Self { authority: ours.pem().to_owned(), name: ours.domain().server() })
            }
            Shows::Files { authority, name, .. } => {
                let text = String::from_utf8(read(authority)?);
                let text = text.with_context(|| format!("{} is not PEM", authority.display()))?;
                Ok(Self { authority: text, name: name.clone() })
            }
        }
    }
}

/// What the files hold now.
#[derive(PartialEq, Eq)]
struct Files(Vec<Vec<u8>>);

/// Of what the certificate that is shown was made.
#[derive(PartialEq, Eq)]
pub struct Held {
    files: Files,
    turn: i64,
}

impl Shown {
    /// Nothing is read yet.
    pub fn new(shows: Shows, client_ca: Option<PathBuf>, issuer: Arc<dyn Issuer>) -> Self {
        Self { shows, client_ca, issuer }
    }

    /// What is shown at the start; a start without it makes no sense.
    pub fn first(&self) -> anyhow::Result<(TlsSettings, Held)> {
        let held = self.due()?;
        Ok((self.settings(&held.files)?, held))
    }

    /// Shows another when the files change, or the platform's own is about to end. What cannot be used
    /// is told, and the one before stays.
    pub async fn keep(&self, settings: &watch::Sender<TlsSettings>, held: &mut Held) {
        let mut told = String::new();
        loop {
            tokio::time::sleep(LOOK).await;
            let due = self.due();
            if due.as_ref().is_ok_and(|due| due == held) {
                continue;
            }
            match due.and_then(|due| Ok((self.settings(&due.files)?, due))) {
                Ok((next, due)) => {
                    settings.send_replace(next);
                    *held = due;
                    told.clear();
                    tracing::info!("the xDS listener shows another certificate");
                }
                Err(error) if format!("{error:#}") != told => {
                    told = format!("{error:#}");
                    tracing::warn!("the xDS listener shows the certificate that it had: {told}");
                }
                Err(_) => {}
            }
        }
    }

    /// What should be shown. Its turn is read first: what is made by it is of that turn, or a later one.
    fn due(&self) -> anyhow::Result<Held> {
        let turn = self.issuer.turn();
        Ok(Held { files: self.files()?, turn })
    }

    fn files(&self) -> anyhow::Result<Files> {
        let own = match &self.shows {
            Shows::Platform => Vec::new(),
            Shows::Files { certificate, key, .. } => vec![certificate, key],
        };
        own.into_iter()
            .chain(&self.client_ca)
            .map(|path| read(path))
            .collect::<Result<_, _>>()
            .map(Files)
    }

    fn settings(&self, Files(files): &Files) -> anyhow::Result<TlsSettings> {
        let (chain, key, others) = match &self.shows {
            Shows::Platform => {
                let pair = self.issuer.pair()?;
                let key = PrivatePkcs8KeyDer::from(pair.key.expose().to_vec());
                (vec![CertificateDer::from(pair.certificate)], key.into(), files.first())
            }
            Shows::Files { certificate, key, .. } => {
                let [chain, secret, ..] = files.as_slice() else { anyhow::bail!("no files") };
                let read = PrivateKeyDer::from_pem_slice(secret);
                let read = read.with_context(|| format!("no private key in {}", key.display()))?;
                (certificates(chain, certificate)?, read, files.get(2))
            }
        };
        let mut clients = vec![self.issuer.certificate()?];
        if let (Some(others), Some(path)) = (others, &self.client_ca) {
            clients.extend(certificates(others, path)?);
        }
        Ok(xds::tls_settings(chain, key, clients)?)
    }
}

fn certificates(pem: &[u8], path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.with_context(|| format!("no certificates in {}", path.display()))?;
    ensure!(!found.is_empty(), "no certificates in {}", path.display());
    Ok(found)
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let reading = || format!("cannot read {}", path.display());
    let length = std::fs::metadata(path).with_context(reading)?.len();
    ensure!(length <= FILE_BYTES_MAX, "{} is larger than 256 KiB", path.display());
    std::fs::read(path).with_context(reading)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    use crate::clock;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn authority() -> Arc<Authority> {
        let domain = "edge.example".parse().unwrap();
        let (certificate, key) = Authority::make(&domain, [7; 16], clock::now()).unwrap();
        Arc::new(Authority::load(certificate, &key).unwrap())
    }

    /// A certificate and its key, PEM.
    fn pair(authority: &Authority) -> (String, String) {
        let pair = authority.pair().unwrap();
        let pem = |kind, der: &[u8]| pem::encode(&pem::Pem::new(kind, der));
        (pem("CERTIFICATE", &pair.certificate), pem("PRIVATE KEY", pair.key.expose()))
    }

    #[tokio::test]
    async fn files_are_read_again_and_what_is_wrong_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let authority = authority();
        let write = |(certificate, key): (String, String)| {
            std::fs::write(at("key"), key).unwrap();
            std::fs::write(at("certificate"), certificate).unwrap();
        };
        write(pair(&authority));
        std::fs::write(at("authority"), authority.pem()).unwrap();
        let shows = Shows::Files {
            certificate: at("certificate"),
            key: at("key"),
            authority: at("authority"),
            name: "xds.edge.example".to_owned(),
        };
        let issuer: Arc<dyn Issuer> = Arc::<Authority>::clone(&authority);
        let shown = Shown::new(shows.clone(), Some(at("authority")), issuer);
        let (first, mut held) = shown.first().unwrap();
        let told = Told::of(&shows, &authority).unwrap();
        assert_eq!(
            (told.authority.as_str(), told.name.as_str()),
            (authority.pem(), "xds.edge.example")
        );
        let settings = watch::Sender::new(Arc::clone(&first));
        let mut seen = settings.subscribe();
        let keeping = async {
            // Half a change, which does not fit together.
            std::fs::write(at("certificate"), pair(&authority).0).unwrap();
            tokio::time::sleep(LOOK * 2).await;
            assert!(!seen.has_changed().unwrap());
            write(pair(&authority));
            tokio::time::timeout(PATIENCE, seen.changed()).await.unwrap().unwrap();
            assert!(!Arc::ptr_eq(&*seen.borrow_and_update(), &first));
        };
        tokio::select! {
            () = keeping => {}
            () = shown.keep(&settings, &mut held) => {}
        }
        std::fs::remove_file(at("key")).unwrap();
        assert!(Shown::new(shows, None, authority).first().is_err());
    }

    /// Signs by an authority, and says when it is another's turn.
    struct Turns(Arc<Authority>, AtomicI64);

    impl Issuer for Turns {
        fn certificate(&self) -> anyhow::Result<CertificateDer<'static>> {
            Issuer::certificate(&*self.0)
        }
        fn domain(&self) -> anyhow::Result<authority::TrustDomain> {
            Issuer::domain(&*self.0)
        }
        fn pair(&self) -> anyhow::Result<authority::ServerPair> {
            self.0.pair()
        }
        fn turn(&self) -> i64 {
            self.1.load(Ordering::Relaxed)
        }
    }

    #[tokio::test]
    async fn another_is_shown_when_it_is_its_turn_also_where_that_came_before_the_first_look() {
        let turns = Arc::new(Turns(authority(), AtomicI64::new(1)));
        let issuer: Arc<dyn Issuer> = Arc::<Turns>::clone(&turns);
        let shown = Shown::new(Shows::Platform, None, issuer);
        let (first, mut held) = shown.first().unwrap();
        // A replica opens its door with what it remembered, and has another before it looks.
        turns.1.store(2, Ordering::Relaxed);
        let settings = watch::Sender::new(Arc::clone(&first));
        let mut seen = settings.subscribe();
        let keeping = async {
            for turn in [2, 3] {
                turns.1.store(turn, Ordering::Relaxed);
                let next = tokio::time::timeout(PATIENCE, seen.changed()).await;
                next.expect("another is shown").unwrap();
            }
            tokio::time::sleep(LOOK * 2).await;
            assert!(!seen.has_changed().unwrap(), "it is shown for as long as it is good");
        };
        tokio::select! {
            () = keeping => {}
            () = shown.keep(&settings, &mut held) => {}
        }
    }
}
