//! Where upstreams answer: names looked up here, once for the whole fleet, and checked afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::descriptor::{Address, DEFAULT_UPSTREAM, Upstream};
use model::{InstanceId, Spec};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{Instant, timeout};

use crate::table::Table;
use crate::{AddressPolicy, Lookup, metrics};

/// Lookups at one time. The operating system gives each a thread.
const LOOKUPS: usize = 64;
/// Of which names that keep failing get at most these, so that they cannot starve the others.
const FAILING_LOOKUPS: usize = 8;
/// After which a lookup has failed.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);
/// How precisely names are refreshed.
const TICK: Duration = Duration::from_millis(500);

/// A source of randomness in `0.0..1.0`, handed in so that refreshes spread out in time.
pub type Jitter = Arc<dyn Fn() -> f64 + Send + Sync>;

/// Where the upstreams of one spec answer now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resolved {
    /// Upstream name → addresses, sorted. Every upstream has an entry, perhaps empty.
    pub endpoints: BTreeMap<String, Vec<SocketAddr>>,
    /// What the tenant should know: names that do not resolve, addresses that are refused.
    pub notices: Vec<String>,
}

/// An address that no tenant may name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("upstream `{upstream}`: {why}")]
pub struct Forbidden {
    /// The upstream that names it.
    pub upstream: String,
    /// The address, and why it is forbidden.
    pub why: String,
}

/// The resolver of upstream names. Shared; its work is done by [`Resolver::run`].
pub struct Resolver {
    lookup: Arc<dyn Lookup>,
    policy: AddressPolicy,
    jitter: Jitter,
    table: Mutex<Table>,
    lookups: Arc<Semaphore>,
    failing_lookups: Arc<Semaphore>,
    changed: Mutex<BTreeSet<InstanceId>>,
    nudge: Notify,
}

/// First answers that are awaited.
#[derive(Debug)]
pub struct Pending(Vec<watch::Receiver<bool>>);

impl Pending {
    /// Returns when each has been answered, well or not, or after `bound`.
    pub async fn wait(mut self, bound: Duration) {
        let all = async {
            for answered in &mut self.0 {
                // The sender is gone when the name is used no more: nothing to wait for either.
                let _ = answered.wait_for(|yes| *yes).await;
            }
        };
        let _ = timeout(bound, all).await;
    }
}

impl Resolver {
    /// A resolver that knows nothing yet.
    pub fn new(lookup: Arc<dyn Lookup>, policy: AddressPolicy, jitter: Jitter) -> Arc<Self> {
        Arc::new(Self {
            lookup,
            policy,
            jitter,
            table: Mutex::default(),
            lookups: Arc::new(Semaphore::new(LOOKUPS)),
            failing_lookups: Arc::new(Semaphore::new(FAILING_LOOKUPS)),
            changed: Mutex::default(),
            nudge: Notify::new(),
        })
    }

    /// Follows the names of this spec for this instance, in place of those that it had. `None` when
    /// each was answered before (literal addresses and `localhost` always are).
    pub fn follow(self: &Arc<Self>, user: &InstanceId, spec: &Spec) -> Option<Pending> {
        let hosts = names(spec);
        let (fresh, pending) = {
            let mut table = self.table();
            let fresh = table.register(user, hosts.clone());
            (fresh, table.unanswered(&hosts))
        };
        for host in fresh {
            tokio::spawn(self.clone().ask(host, self.lookups.clone()));
        }
        (!pending.is_empty()).then_some(Pending(pending))
    }

    /// The instance is gone: its names are followed no more on its behalf.
    pub fn forget(&self, user: &InstanceId) {
        self.table().register(user, Vec::new());
    }

    /// Where the upstreams of a spec answer, as far as is known now. Never waits.
    pub fn resolve(&self, spec: &Spec) -> Resolved {
        let mut resolved = Resolved::default();
        for (name, upstream) in upstreams(spec) {
            let mut found = BTreeSet::new();
            for address in &upstream.addresses {
                match self.sockets(address) {
                    Ok(sockets) => found.extend(sockets),
                    Err(why) => resolved.notices.push(format!("upstream `{name}`: {why}")),
                }
            }
            resolved.endpoints.insert(name.to_owned(), found.into_iter().collect());
        }
        resolved
    }

    /// Refuses a spec that names a forbidden address outright, in the tenant's words. A name that
    /// leads to one is no reason to refuse a spec: it may lead elsewhere tomorrow, and is never
    /// dialled while it does not.
    pub fn check(&self, spec: &Spec) -> Result<(), Forbidden> {
        for (name, upstream) in upstreams(spec) {
            for address in &upstream.addresses {
                let Some(ip) = literal(&address.host) else { continue };
                let refused = self.policy.check(SocketAddr::new(ip, address.port));
                refused.map_err(|why| Forbidden {
                    upstream: name.to_owned(),
                    why: format!("{}:{} {why}", address.host, address.port),
                })?;
            }
        }
        Ok(())
    }

    fn sockets(&self, address: &Address) -> Result<Vec<SocketAddr>, String> {
        let Address { host, port } = address;
        let ips = match literal(host) {
            Some(ip) => vec![ip],
            None => self.known(host)?,
        };
        let (mut allowed, mut refused) = (Vec::new(), None);
        for socket in ips.into_iter().map(|ip| SocketAddr::new(ip, *port)) {
            match self.policy.check(socket) {
                Ok(()) => allowed.push(socket),
                Err(why) => refused = Some((socket.ip(), why)),
            }
        }
        match refused {
            Some((ip, why)) if allowed.is_empty() => {
                metrics::refused();
                Err(format!("`{host}:{port}` leads to {ip}, which {why}"))
            }
            _ => Ok(one_family(allowed)),
        }
    }

    fn known(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        let table = self.table();
        let name = table.get(&host.to_ascii_lowercase());
        if let Some(addresses) = name.and_then(|name| name.addresses.clone()) {
            return Ok(addresses);
        }
        let error = name.and_then(|name| name.error.as_deref()).unwrap_or("no answer yet");
        Err(format!("`{host}` does not resolve ({error})"))
    }

    /// Instances whose endpoints may have changed since this was last asked; waits for the first.
    pub async fn changed(&self) -> Vec<InstanceId> {
        loop {
            let waiting = self.nudge.notified();
            let changed = std::mem::take(&mut *lock(&self.changed));
            if !changed.is_empty() {
                return changed.into_iter().collect();
            }
            waiting.await;
        }
    }

    /// Asks again for what is due, until the future is dropped.
    pub async fn run(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(TICK);
        loop {
            ticks.tick().await;
            while let Some((host, failing)) = self.table().take_due(Instant::now()) {
                let lane = if failing { &self.failing_lookups } else { &self.lookups };
                tokio::spawn(self.clone().ask(host, lane.clone()));
            }
            let (names, failing) = self.table().counts();
            metrics::names(names, failing);
        }
    }

    async fn ask(self: Arc<Self>, host: Arc<str>, lane: Arc<Semaphore>) {
        let Ok(_permit) = lane.acquire().await else { return };
        let answer = timeout(LOOKUP_TIMEOUT, self.lookup.lookup(&host)).await;
        let answer = answer.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let answer = match answer {
            Ok(addresses) if addresses.is_empty() => Err("it has no addresses".to_owned()),
            Ok(addresses) => Ok(addresses),
            Err(error) => Err(error.to_string()),
        };
        metrics::lookup(answer.is_ok());
        let users = self.table().answer(&host, answer, Instant::now(), (self.jitter)());
        if !users.is_empty() {
            lock(&self.changed).extend(users);
            self.nudge.notify_one();
        }
    }

    pub(crate) fn table(&self) -> MutexGuard<'_, Table> {
        lock(&self.table)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Every upstream of a spec under the name that routes use for it.
fn upstreams(spec: &Spec) -> impl Iterator<Item = (&str, &Upstream)> {
    let parameters = &spec.parameters;
    let default = parameters.upstream.iter().map(|upstream| (DEFAULT_UPSTREAM, upstream));
    default.chain(parameters.upstreams.iter().map(|(name, upstream)| (name.as_str(), upstream)))
}

/// The names of a spec that have to be looked up.
fn names(spec: &Spec) -> Vec<Arc<str>> {
    let hosts = upstreams(spec).flat_map(|(_, upstream)| &upstream.addresses);
    let names = hosts.filter(|a| literal(&a.host).is_none());
    let names: BTreeSet<Arc<str>> = names.map(|a| a.host.to_ascii_lowercase().into()).collect();
    names.into_iter().collect()
}

/// An address that needs no lookup: written as one, or `localhost`, which always is loopback.
//= https://www.rfc-editor.org/rfc/rfc6761#section-6.3
fn literal(host: &str) -> Option<IpAddr> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(ip) = bare.parse() {
        return Some(ip);
    }
    let host = host.to_ascii_lowercase();
    let is_local = host == "localhost" || host.ends_with(".localhost");
    is_local.then_some(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

/// IPv4 where a name has both, as one server must not be two endpoints of which one may be dead.
fn one_family(sockets: Vec<SocketAddr>) -> Vec<SocketAddr> {
    if sockets.iter().any(SocketAddr::is_ipv4) {
        return sockets.into_iter().filter(SocketAddr::is_ipv4).collect();
    }
    sockets
}

#[cfg(test)]
#[path = "resolver_tests.rs"]
mod tests;
