//! Who may ask for configuration over the network: the platform's authority, the certificate that the
//! xDS listener shows, and what was revoked.

mod authority;
mod listener;
pub mod own;
mod revoked;

use std::path::PathBuf;
use std::sync::Arc;

use ::authority::{Authority, Presented};
use model::Millis;
use store::Nodes;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use xds::{Ads, Identity, Tls, TlsSettings};

use self::listener::Shown;
use crate::clock;
use crate::config::{Config, Listen};
use crate::dev::vault::Vault;

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

/// The gate of the xDS listener.
pub struct Gate {
    nodes: Arc<dyn Nodes>,
    authority: Arc<Authority>,
    shown: Shown,
    settings: watch::Sender<TlsSettings>,
    life: Millis,
    told: broker::Listener,
}

impl Gate {
    /// The gate of a listener that speaks TLS; its authority is made where there is none.
    pub async fn open(
        config: &Config,
        listen: &Listen,
        nodes: Arc<dyn Nodes>,
        vault: &Vault,
    ) -> anyhow::Result<Option<Arc<Self>>> {
        let tls = &config.xds_tls;
        let Some(shows) = tls.shows.clone() else { return Ok(None) };
        let authority = Arc::new(authority::open(&*nodes, vault, &config.zone).await?);
        let shown = Shown::new(shows, tls.client_ca.clone(), Arc::clone(&authority));
        let (settings, told) = shown.first()?;
        let told = broker::Listener {
            address: tls.address.clone().unwrap_or_else(|| listen.xds.to_string()),
            authority: told.authority,
            server_name: told.name,
        };
        let settings = watch::Sender::new(settings);
        let life = tls.life;
        Ok(Some(Arc::new(Self { nodes, authority, shown, settings, life, told })))
    }

    /// What the listener needs.
    pub fn tls(&self) -> Tls {
        let domain = self.authority.domain().clone();
        let identify = move |certificate: &rustls_pki_types::CertificateDer<'static>| {
            let it = Presented::read(certificate, &domain).map_err(|why| why.to_string())?;
            let left = u64::try_from(it.not_after - clock::now()).unwrap_or_default();
            let until = Instant::now() + std::time::Duration::from_millis(left);
            let (node, group) = (it.name.node.to_string(), it.name.group.to_string());
            Ok(Identity { node, group, serial: it.serial, until })
        };
        Tls { settings: self.settings.subscribe(), identify: Arc::new(identify) }
    }

    /// What the broker needs to let hosts in.
    pub fn joining(&self) -> broker::Joining {
        broker::Joining {
            nodes: Arc::clone(&self.nodes),
            authority: Arc::clone(&self.authority),
            life: self.life,
            listener: self.told.clone(),
        }
    }

    /// Shows another certificate when there is one, and shuts out whoever is revoked.
    pub async fn run(self: Arc<Self>, proxies: Ads, stop: CancellationToken) -> anyhow::Result<()> {
        let both = async {
            tokio::join!(self.shown.keep(&self.settings), revoked::follow(&*self.nodes, &proxies))
        };
        stop.run_until_cancelled(both).await;
        Ok(())
    }
}
