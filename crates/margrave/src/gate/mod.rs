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
use std::sync::Arc;

use ::authority::Authority;
use model::Millis;
use store::{Feed, Nodes};

use self::door::Door;
use self::issuer::Issuer;
use self::listener::Told;
use self::revoked::Revocations;
use crate::config::{Config, Listen};
use crate::dev::vault::Vault;

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
        let told = Told::of(&shows, &authority)?;
        let issuer: Arc<dyn Issuer> = Arc::<Authority>::clone(&authority);
        let (nodes, feed) = (Arc::<S>::clone(store), Arc::<S>::clone(store));
        let door = Door::open((tls, shows), issuer, Revocations::new(nodes, feed, None))?;
        let listener = broker::Listener {
            address: tls.address.clone().unwrap_or_else(|| listen.xds.to_string()),
            authority: told.authority,
            server_name: told.name,
        };
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
