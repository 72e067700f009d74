//! What a replica shows: a certificate that it signs for itself with the key of the authority, which it
//! opens for that and forgets. It remembers the certificate, so that it starts without its store.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use authority::{Authority, ServerPair, TrustDomain};
use keys::Secret;
use model::Millis;
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use store::{Blobs, KeptAuthority, NodeFeed};
use tokio::sync::watch;
use tokio::time::sleep;

use super::issuer::{Issuer, LIFE_MILLIS};
use crate::clock;
use crate::dev::vault::AUTHORITY;

/// Between two looks at the store.
const LOOK: Duration = Duration::from_secs(1);
/// Where it is remembered.
pub const KEY: &str = "gate/pass";

/// As it is remembered, sealed.
#[derive(Clone, Serialize, Deserialize)]
struct Pass {
    /// The authority's certificate, DER.
    authority: Vec<u8>,
    /// What was signed, and its key; none where somebody else's certificate is shown.
    own: Option<Own>,
    made_at: Millis,
}

#[derive(Clone, Serialize, Deserialize)]
struct Own {
    certificate: Vec<u8>,
    key: Vec<u8>,
    not_after: Millis,
}

impl Pass {
    fn is_good(&self, now: Millis) -> bool {
        self.own.as_ref().is_none_or(|own| now < own.not_after)
    }

    fn is_young(&self, now: Millis) -> bool {
        self.own.is_none() || now < self.made_at + LIFE_MILLIS / 3 * 2
    }
}

struct Held {
    pass: Pass,
    domain: TrustDomain,
    turn: i64,
}

/// The pass of a replica.
pub struct Passes {
    nodes: Arc<dyn NodeFeed>,
    vault: Arc<dyn context::Vault>,
    memory: Arc<dyn Blobs>,
    signs: bool,
    held: watch::Sender<Option<Arc<Held>>>,
}

impl Passes {
    /// None yet. `signs`: a certificate is signed; else the authority's own is all that is wanted.
    pub fn new(
        nodes: Arc<dyn NodeFeed>,
        vault: Arc<dyn context::Vault>,
        memory: Arc<dyn Blobs>,
        signs: bool,
    ) -> Arc<Self> {
        Arc::new(Self { nodes, vault, memory, signs, held: watch::Sender::new(None) })
    }

    /// Whether there is one.
    pub fn is_held(&self) -> bool {
        self.held.borrow().is_some()
    }

    /// Waits for the first.
    pub async fn first(&self) {
        let mut held = self.held.subscribe();
        // The sender is ours.
        let _ = held.wait_for(Option::is_some).await;
    }

    /// Keeps it good, for ever.
    pub async fn keep(&self) {
        if let Err(error) = self.recall().await {
            tracing::debug!("no certificate is remembered: {error:#}");
        }
        let mut told = String::new();
        loop {
            match self.look().await {
                Ok(()) => told.clear(),
                Err(error) if format!("{error:#}") != told => {
                    told = format!("{error:#}");
                    let is_held = self.is_held();
                    tracing::error!(is_held, "no certificate for the xDS listener here: {told}");
                }
                Err(_) => {}
            }
            sleep(LOOK).await;
        }
    }

    async fn recall(&self) -> anyhow::Result<()> {
        let kept = self.memory.get(KEY).await?.map(Secret::new).context("there is none")?;
        let pass: Pass = serde_json::from_slice(kept.expose())?;
        if !pass.is_good(clock::now()) || pass.own.is_some() != self.signs {
            bail!("it has ended");
        }
        self.hold(pass)
    }

    fn hold(&self, pass: Pass) -> anyhow::Result<()> {
        let domain = TrustDomain::of(&pass.authority)?;
        self.held.send_modify(|held| {
            let turn = held.as_ref().map_or(0, |held| held.turn) + 1;
            *held = Some(Arc::new(Held { pass, domain, turn }));
        });
        Ok(())
    }

    /// Makes another when there is none, it is old, or the authority is another.
    async fn look(&self) -> anyhow::Result<()> {
        let kept = self.nodes.authority().await?.context(
            "the platform has no authority yet: the process that writes makes one when its `xds_tls.mode` is \
             not `off`",
        )?;
        let is_same = |held: &Arc<Held>| {
            held.pass.authority == kept.certificate && held.pass.is_young(clock::now())
        };
        if self.held.borrow().as_ref().is_some_and(is_same) {
            return Ok(());
        }
        let pass = self.make(kept)?;
        let text = Secret::new(serde_json::to_vec(&pass)?);
        if let Err(error) = self.memory.put(KEY, text.expose()).await {
            tracing::error!(%error, "the certificate cannot be remembered for a start without the store");
        }
        tracing::info!("the xDS listener of this replica has a certificate");
        self.hold(pass)
    }

    fn make(&self, kept: KeptAuthority) -> anyhow::Result<Pass> {
        let (made_at, authority) = (clock::now(), kept.certificate.clone());
        if !self.signs {
            return Ok(Pass { authority, own: None, made_at });
        }
        let key = self.vault.open(AUTHORITY, &kept.sealed).map_err(|why| {
            anyhow!(
                "the key of the platform's certificate authority does not open: {why}. Put `keys.json` of the \
                 process that writes into the state folder of this one, or show a certificate of your own \
                 with `xds_tls.mode = \"files\"`, which needs no key of the platform"
            )
        })?;
        let signed = Authority::load(kept.certificate, &key)?;
        let ServerPair { certificate, key, not_after } =
            signed.serve(rand::random(), made_at, LIFE_MILLIS)?;
        let own = Own { certificate, key: key.expose().to_vec(), not_after };
        Ok(Pass { authority, own: Some(own), made_at })
    }

    fn held(&self) -> anyhow::Result<Arc<Held>> {
        self.held.borrow().clone().context("there is no certificate yet")
    }
}

impl Issuer for Passes {
    fn certificate(&self) -> anyhow::Result<CertificateDer<'static>> {
        Ok(CertificateDer::from(self.held()?.pass.authority.clone()))
    }

    fn domain(&self) -> anyhow::Result<TrustDomain> {
        Ok(self.held()?.domain.clone())
    }

    fn pair(&self) -> anyhow::Result<ServerPair> {
        let held = self.held()?;
        let own = held.pass.own.clone().context("another certificate is shown here")?;
        let Own { certificate, key, not_after } = own;
        Ok(ServerPair { certificate, key: Secret::new(key), not_after })
    }

    fn turn(&self) -> i64 {
        self.held.borrow().as_ref().map_or(0, |held| held.turn)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use context::Sealing;
    use keys::{Place, SealError, Sealed};
    use store::sqlite::{Options, Sqlite};
    use store::{Revocation, StoreError};

    use super::*;

    /// A platform whose authority may be another, and the keys that open it.
    #[derive(Default)]
    struct Platform(Mutex<Option<(Vec<u8>, Secret)>>);

    impl Platform {
        fn has(&self, seed: u8) {
            let made = Authority::make(&"edge.example".parse().unwrap(), [seed; 16], clock::now());
            *self.0.lock().unwrap() = Some(made.unwrap());
        }
    }

    #[async_trait]
    impl NodeFeed for Platform {
        async fn authority(&self) -> Result<Option<KeptAuthority>, StoreError> {
            let sealed = || Sealed::from_bytes([vec![1], vec![1; 8], vec![9; 40]].concat());
            let kept = self.0.lock().unwrap().clone();
            Ok(kept.map(|(certificate, _)| KeptAuthority { certificate, sealed: sealed() }))
        }
        async fn revocations(&self, _: i64, _: Millis) -> Result<Vec<Revocation>, StoreError> {
            Ok(Vec::new())
        }
    }

    #[async_trait]
    impl context::Vault for Platform {
        async fn seal(&self, _: Place<'_>, _: &Secret) -> Result<Sealing, SealError> {
            Err(SealError::Unknown("none".to_owned()))
        }
        fn open(&self, _: Place<'_>, _: &Sealed) -> Result<Secret, SealError> {
            let kept = self.0.lock().unwrap().clone();
            kept.map(|(_, key)| key).ok_or_else(|| SealError::Unknown("none".to_owned()))
        }
    }

    fn passes(platform: &Arc<Platform>, memory: &Arc<dyn Blobs>) -> Arc<Passes> {
        let nodes: Arc<dyn NodeFeed> = Arc::<Platform>::clone(platform);
        let vault: Arc<dyn context::Vault> = Arc::<Platform>::clone(platform);
        Passes::new(nodes, vault, Arc::clone(memory), true)
    }

    #[tokio::test]
    async fn another_certificate_is_another_turn_and_the_last_is_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let memory = Sqlite::open(folder.path().join("memory.db"), Options::new(Arc::new(|| 1)));
        let memory: Arc<dyn Blobs> = Arc::new(memory.unwrap());
        let platform = Arc::<Platform>::default();
        let held = passes(&platform, &memory);
        assert!(held.look().await.is_err() && held.recall().await.is_err() && !held.is_held());
        platform.has(1);
        held.look().await.unwrap();
        let (turn, shown) = (held.turn(), held.pair().unwrap().certificate);
        held.look().await.unwrap();
        assert_eq!((held.turn(), held.pair().unwrap().certificate), (turn, shown.clone()));
        // A start without the store.
        let again = passes(&Arc::default(), &memory);
        again.recall().await.unwrap();
        assert_eq!(again.pair().unwrap().certificate, shown);
        platform.has(2);
        held.look().await.unwrap();
        assert!(held.turn() != turn && held.pair().unwrap().certificate != shown);
        // One that opens with what it remembered sees the next as another turn.
        let (turn, again) = (again.turn(), passes(&platform, &memory));
        again.recall().await.unwrap();
        assert_eq!(again.turn(), turn);
        platform.has(3);
        again.look().await.unwrap();
        assert!(again.turn() != turn);
    }
}
