//! What is known of each name, who uses it, and when to ask again.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use model::InstanceId;
use tokio::sync::watch;
use tokio::time::Instant;

/// A name used by no one is not kept, so this bounds what all descriptors together may name.
pub(crate) const MAX_NAMES: usize = 100_000;
/// More addresses than this of one name are not used: an endpoint list has to end somewhere.
pub(crate) const MAX_ADDRESSES_PER_NAME: usize = 64;
/// Between two questions about a name that was answered.
const REFRESH: Duration = Duration::from_secs(30);
/// After the first failure; doubles with each further one.
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// A failing name is asked at least this often.
const RETRY_LAST: Duration = Duration::from_secs(60);

/// One name.
#[derive(Debug)]
pub(crate) struct Name {
    /// The last good answer, sorted.
    pub(crate) addresses: Option<Vec<IpAddr>>,
    /// Why the last question failed, if it did.
    pub(crate) error: Option<String>,
    /// Failures since the last good answer.
    pub(crate) failures: u32,
    users: HashSet<InstanceId>,
    due: Option<Instant>,
    /// Becomes true with the first answer, good or bad.
    answered: watch::Sender<bool>,
}

/// Every name in use.
#[derive(Debug, Default)]
pub(crate) struct Table {
    names: HashMap<Arc<str>, Name>,
    used: HashMap<InstanceId, Vec<Arc<str>>>,
    due: BTreeSet<(Instant, Arc<str>)>,
    /// Answers of an earlier life of this process, for names not yet in use.
    pub(crate) remembered: HashMap<String, Vec<IpAddr>>,
    /// Whether an answer changed since it was last written down.
    pub(crate) dirty: bool,
}

impl Table {
    /// Makes `hosts` what `user` uses, in place of what it used; returns those to ask now.
    pub(crate) fn register(&mut self, user: &InstanceId, hosts: Vec<Arc<str>>) -> Vec<Arc<str>> {
        let fresh: Vec<Arc<str>> = hosts.iter().filter(|h| self.add(user, h)).cloned().collect();
        let before = if hosts.is_empty() {
            self.used.remove(user)
        } else {
            self.used.insert(user.clone(), hosts.clone())
        };
        for host in before.unwrap_or_default() {
            if !hosts.contains(&host) {
                self.leave(user, &host);
            }
        }
        fresh
    }

    fn add(&mut self, user: &InstanceId, host: &Arc<str>) -> bool {
        if let Some(name) = self.names.get_mut(host) {
            name.users.insert(user.clone());
            return false;
        }
        if self.names.len() >= MAX_NAMES {
            return false;
        }
        let addresses = self.remembered.remove(&**host);
        let name = Name {
            answered: watch::Sender::new(addresses.is_some()),
            addresses,
            error: None,
            failures: 0,
            users: HashSet::from([user.clone()]),
            due: None,
        };
        self.names.insert(host.clone(), name);
        true
    }

    fn leave(&mut self, user: &InstanceId, host: &Arc<str>) {
        let Some(name) = self.names.get_mut(host) else { return };
        name.users.remove(user);
        if name.users.is_empty() {
            let due = name.due;
            self.names.remove(host);
            if let Some(due) = due {
                self.due.remove(&(due, host.clone()));
            }
        }
    }

    /// What is known of a name.
    pub(crate) fn get(&self, host: &str) -> Option<&Name> {
        self.names.get(host)
    }

    /// How many names are in use, and how many of them are failing.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.names.len(), self.names.values().filter(|n| n.failures > 0).count())
    }

    /// The first answers that are still out, of these names.
    pub(crate) fn unanswered(&self, hosts: &[Arc<str>]) -> Vec<watch::Receiver<bool>> {
        let of = |host| self.names.get(host).map(|name: &Name| name.answered.subscribe());
        hosts.iter().filter_map(of).filter(|answered| !*answered.borrow()).collect()
    }

    /// Records an answer and when to ask again; returns the users whose endpoints it changes.
    pub(crate) fn answer(
        &mut self,
        host: &Arc<str>,
        answer: Result<Vec<IpAddr>, String>,
        now: Instant,
        jitter: f64,
    ) -> Vec<InstanceId> {
        let Some(name) = self.names.get_mut(host) else { return Vec::new() };
        let changed = match answer {
            Ok(addresses) => name.succeed(tidy(addresses)),
            Err(error) => name.fail(error),
        };
        let due = now + name.pause().mul_f64(0.8 + 0.4 * jitter.clamp(0.0, 1.0));
        if let Some(earlier) = name.due.replace(due) {
            self.due.remove(&(earlier, host.clone()));
        }
        name.answered.send_replace(true);
        self.due.insert((due, host.clone()));
        self.dirty |= changed;
        if changed { name.users.iter().cloned().collect() } else { Vec::new() }
    }

    /// Takes the name that has been due longest, with whether it was failing.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<(Arc<str>, bool)> {
        let first = self.due.first()?;
        if first.0 > now {
            return None;
        }
        let (_, host) = self.due.pop_first()?;
        let name = self.names.get_mut(&host)?;
        name.due = None;
        Some((host, name.failures > 0))
    }

    /// Every good answer, for the next life of this process.
    pub(crate) fn answers(&self) -> impl Iterator<Item = (&str, &[IpAddr])> {
        self.names.iter().filter_map(|(host, name)| Some((&**host, name.addresses.as_deref()?)))
    }
}

impl Name {
    fn succeed(&mut self, addresses: Vec<IpAddr>) -> bool {
        self.error = None;
        self.failures = 0;
        let changed = self.addresses.as_deref() != Some(&addresses);
        self.addresses = Some(addresses);
        changed
    }

    /// The last good answer stays: an upstream does not vanish because a name server did.
    fn fail(&mut self, error: String) -> bool {
        self.error = Some(error);
        self.failures = self.failures.saturating_add(1);
        false
    }

    fn pause(&self) -> Duration {
        match self.failures {
            0 => REFRESH,
            n => (RETRY_FIRST * 2_u32.saturating_pow(n.min(16) - 1)).min(RETRY_LAST),
        }
    }
}

/// In one order, so that equal answers make equal bytes.
fn tidy(mut addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    addresses.sort_unstable();
    addresses.dedup();
    addresses.truncate(MAX_ADDRESSES_PER_NAME);
    addresses
}
