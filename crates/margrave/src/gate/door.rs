//! The door of a listener that speaks TLS: what it shows, whom it knows, and who is shut out.

use std::sync::Arc;
use std::time::Duration;

use ::authority::Presented;
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use xds::{Ads, Identity, Tls, TlsSettings};

use super::issuer::Issuer;
use super::listener::{Held, Shown};
use super::revoked::Revocations;
use super::{Shows, XdsTls};
use crate::clock;

/// The door.
pub struct Door {
    issuer: Arc<dyn Issuer>,
    shown: Shown,
    held: Mutex<Held>,
    settings: watch::Sender<TlsSettings>,
    revocations: Arc<Revocations>,
}

impl Door {
    /// A door that shows what the settings say; a start without that makes no sense.
    pub fn open(
        (tls, shows): (&XdsTls, Shows),
        issuer: Arc<dyn Issuer>,
        revocations: Revocations,
    ) -> anyhow::Result<Arc<Self>> {
        let shown = Shown::new(shows, tls.client_ca.clone(), Arc::clone(&issuer));
        let (first, held) = shown.first()?;
        let (settings, held) = (watch::Sender::new(first), Mutex::new(held));
        Ok(Arc::new(Self { issuer, shown, held, settings, revocations: Arc::new(revocations) }))
    }

    /// What the listener needs.
    pub fn tls(&self) -> Tls {
        let (issuer, revocations) = (Arc::clone(&self.issuer), Arc::clone(&self.revocations));
        let identify = move |certificate: &rustls_pki_types::CertificateDer<'static>| {
            let domain = issuer.domain().map_err(|why| why.to_string())?;
            let it = Presented::read(certificate, &domain).map_err(|why| why.to_string())?;
            revocations.admit(&it)?;
            let left = u64::try_from(it.not_after - clock::now()).unwrap_or_default();
            let until = Instant::now() + Duration::from_millis(left);
            let (node, group) = (it.name.node.to_string(), it.name.group.to_string());
            Ok(Identity { node, group, serial: it.serial, until })
        };
        Tls { settings: self.settings.subscribe(), identify: Arc::new(identify) }
    }

    /// Shuts out whoever is known to be revoked, before anybody is let in.
    pub async fn recall(&self, proxies: &Ads) {
        self.revocations.recall(proxies).await;
    }

    /// Shows another certificate when there is one, and shuts out whoever is revoked.
    pub async fn run(self: Arc<Self>, proxies: Ads, stop: CancellationToken) -> anyhow::Result<()> {
        let both = async {
            let mut held = self.held.lock().await;
            tokio::join!(
                self.shown.keep(&self.settings, &mut held),
                self.revocations.follow(&proxies)
            )
        };
        stop.run_until_cancelled(both).await;
        Ok(())
    }
}
