//! Who may ask for configuration over the network: the platform's authority, the certificate that the
//! xDS listener shows, and what was revoked.

mod authority;
pub mod door;
pub mod entrance;
mod issuer;
mod listener;
pub mod own;
mod pass;
mod revoked;
mod roll;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use ::authority::Authority;
use model::Millis;
use store::{Feed, Nodes};

use self::door::Door;
use self::issuer::Issuer;
use self::listener::Told;
use self::revoked::Revocations;
use crate::config::{Config, Listen};
use crate::dev::vault::Vault;
use crate::failure::Failure;

/// What a replica remembers of it, whatever store it follows.
pub const REMEMBERED: [&str; 2] = [pass::KEY, revoked::KEY];

/// How the xDS listener is encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XdsTls {
    /// Whose certificate it shows; `None`: it speaks no TLS, and only on loopback.
    pub shows: Option<Shows>,
    /// Another authority of clients, beside the platform's own.
    pub client_ca: Option<PathBuf>,
    /// What joining hosts are told; `None`: where it listens.
    pub address: Option<String>,
    /// How long a proxy's certificate is good.
    pub life: Millis,
}

/// A certificate of the listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shows {
    /// Of the platform's own authority, made at each start and before it ends.
    Platform,
    /// Of somebody else's, read again when the files change.
    Files {
        /// The chain, PEM.
        certificate: PathBuf,
        /// Its key, PEM.
        key: PathBuf,
        /// Who has signed it, PEM: what joining hosts trust.
        authority: PathBuf,
        /// The DNS name in it.
        name: String,
    },
}

impl XdsTls {
    /// Whether hosts that join can be told where to connect.
    ///
    /// # Errors
    /// It is everywhere here, and so nowhere there.
    pub fn check(&self, listen: &Listen) -> Result<(), Failure> {
        if self.shows.is_none() || self.address.is_some() || !listen.xds.ip().is_unspecified() {
            return Ok(());
        }
        Err(Failure::Usage(format!(
            "`xds_tls.address` is missing: `listen.xds` is {}, where no other host can connect to; say the \
             HOST:PORT by which hosts that join reach it",
            listen.xds
        )))
    }
}

/// What hosts that join are told: as the files are when they do, or were last.
fn listener(
    shows: Shows,
    authority: Arc<Authority>,
    address: String,
) -> anyhow::Result<broker::Told> {
    let last = Mutex::new(Told::of(&shows, &authority)?);
    Ok(Arc::new(move || {
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        match Told::of(&shows, &authority) {
            Ok(told) => *last = told,
            Err(error) => {
                tracing::warn!("hosts that join are told what was told before: {error:#}")
            }
        }
        let (authority, server_name) = (last.authority.clone(), last.name.clone());
        broker::Listener { address: address.clone(), authority, server_name }
    }))
}

/// The gate of the process that writes: its door, and how hosts join.
pub struct Gate {
    door: Arc<Door>,
    joining: broker::Joining,
}

impl Gate {
    /// The gate of a listener that speaks TLS; its authority is made where there is none.
    pub async fn open<S: Nodes + Feed + 'static>(
        config: &Config,
        listen: &Listen,
        store: &Arc<S>,
        vault: &Vault,
    ) -> anyhow::Result<Option<Arc<Self>>> {
        let tls = &config.xds_tls;
        let Some(shows) = tls.shows.clone() else { return Ok(None) };
        let authority = Arc::new(authority::open(&**store, vault, &config.zone).await?);
        let address = tls.address.clone().unwrap_or_else(|| listen.xds.to_string());
        let listener = listener(shows.clone(), Arc::clone(&authority), address)?;
        let issuer: Arc<dyn Issuer> = Arc::<Authority>::clone(&authority);
        let (nodes, feed) = (Arc::<S>::clone(store), Arc::<S>::clone(store));
        let door = Door::open((tls, shows), issuer, Revocations::new(nodes, feed, None))?;
        let nodes = Arc::<S>::clone(store);
        let joining = broker::Joining { nodes, authority, life: tls.life, listener };
        Ok(Some(Arc::new(Self { door, joining })))
    }

    /// Who comes in.
    pub fn door(&self) -> Arc<Door> {
        Arc::clone(&self.door)
    }

    /// What the broker needs to let hosts in.
    pub fn joining(&self) -> broker::Joining {
        self.joining.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::clock;

    #[test]
    fn hosts_are_told_what_the_files_say_when_they_join() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("authority.pem");
        let domain = "edge.example".parse().unwrap();
        let (certificate, key) = Authority::make(&domain, [7; 16], clock::now()).unwrap();
        let ours = Arc::new(Authority::load(certificate, &key).unwrap());
        let shows = Shows::Files {
            certificate: PathBuf::new(),
            key: PathBuf::new(),
            authority: file.clone(),
            name: "xds.edge.example".to_owned(),
        };
        assert!(listener(shows.clone(), Arc::clone(&ours), String::new()).is_err());
        std::fs::write(&file, "one").unwrap();
        let told = listener(shows, ours, "xds:1".to_owned()).unwrap();
        let says = |authority: &str| broker::Listener {
            address: "xds:1".to_owned(),
            authority: authority.to_owned(),
            server_name: "xds.edge.example".to_owned(),
        };
        assert_eq!(told(), says("one"));
        std::fs::write(&file, "two").unwrap();
        assert_eq!(told(), says("two"));
        std::fs::remove_file(&file).unwrap();
        assert_eq!(told(), says("two"));
    }

    #[test]
    fn an_address_that_no_host_can_reach_is_refused() {
        let tls = |shows: Option<Shows>, address: Option<&str>| XdsTls {
            shows,
            client_ca: None,
            address: address.map(str::to_owned),
            life: 1,
        };
        let platform = || Some(Shows::Platform);
        for (tls, xds, good) in [
            (tls(platform(), None), "0.0.0.0:18000", false),
            (tls(platform(), None), "[::]:18000", false),
            (tls(platform(), Some("xds:1")), "0.0.0.0:18000", true),
            (tls(platform(), None), "10.0.0.1:18000", true),
            (tls(None, None), "127.0.0.1:18000", true),
        ] {
            let (config, _) =
                crate::config::load(None, &crate::config::Flags::default(), &|_| None).unwrap();
            let listen = Listen { xds: xds.parse().unwrap(), ..config.listen };
            let said = tls.check(&listen).err().map(|failure| failure.text());
            assert_eq!(said.is_none(), good, "{xds}: {said:?}");
            assert!(said.is_none_or(|said| said.contains("`xds_tls.address` is missing")));
        }
    }
}
