//! How hosts become proxies: the authority that signs, who has joined, and where they connect.

use std::net::IpAddr;
use std::sync::Arc;

use authority::{Authority, AuthorityError, Issued, ProxyName, Request, Serial};
use model::Millis;
use store::Nodes;

use crate::error::Error;
use crate::metrics;
use crate::router::Broker;

/// Where proxies connect, and what they need to know for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// `ADDRESS:PORT` of xDS.
    pub address: String,
    /// By whom its certificate is signed, PEM.
    pub authority: String,
    /// The DNS name in its certificate.
    pub server_name: String,
}

/// How hosts join. A platform whose xDS listener speaks no TLS has none.
#[derive(Clone)]
pub struct Joining {
    /// Who has joined, and what lets others.
    pub nodes: Arc<dyn Nodes>,
    /// What signs their certificates.
    pub authority: Arc<Authority>,
    /// How long a certificate is good.
    pub life: Millis,
    /// Where they connect.
    pub listener: Listener,
}

impl Joining {
    /// Of a platform where proxies join.
    pub(crate) fn of(broker: &Broker) -> Result<&Self, Error> {
        broker.parts.joining.as_ref().ok_or_else(|| {
            Error::conflict(
                "proxies do not join this platform, as its xDS listener speaks no TLS: its operators \
                 set `xds_tls.mode`",
            )
        })
    }

    pub(crate) fn issue(
        &self,
        broker: &Broker,
        asked: &Request,
        name: &ProxyName,
        now: Millis,
    ) -> Result<Issued, AuthorityError> {
        let mut serial = Serial::default();
        let random = (broker.parts.random)();
        serial.iter_mut().zip(random).for_each(|(to, from)| *to = from);
        self.authority.issue(asked, name, serial, now, self.life)
    }
}

impl Broker {
    /// Whether an address that shows no credential may try one more token.
    pub(crate) fn may_attempt(&self, from: IpAddr) -> Result<(), Error> {
        match self.door.attempts.must_wait_s(from, self.now()) {
            None => Ok(()),
            Some(wait_s) => {
                metrics::denied("limited");
                Err(Error::too_many(wait_s))
            }
        }
    }

    /// It was not good.
    pub(crate) fn attempt_failed(&self, from: IpAddr) {
        metrics::denied("join");
        self.door.attempts.failed(from, self.now());
        tracing::info!(%from, "a host was not let in");
    }
}
