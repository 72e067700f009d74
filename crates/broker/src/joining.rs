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

/// Tells where proxies connect, as it is at this moment.
pub type Told = Arc<dyn Fn() -> Listener + Send + Sync>;

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
    pub listener: Told,
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
    /// Somebody's token or proof was not good, for the reason given. An address that comes with many such is told
    /// to wait, and the log no more of it. Only what is not good is told so: neither can be guessed, and all hosts
    /// may come from one address, that of a balancer.
    pub(crate) fn not_let_in(&self, from: IpAddr, why: Error) -> Error {
        let now = self.now();
        if let Some(wait_s) = self.door.hosts.must_wait_s(from, now) {
            metrics::denied("join_limited");
            return why.too_often(wait_s);
        }
        self.door.hosts.failed(from, now);
        metrics::denied("join");
        tracing::info!(%from, "a host was not let in");
        why
    }
}
