//! Whether a revision is live: every ready proxy of every group has all that it implies.

use std::time::Duration;

use model::InstanceId;
use tokio::time::Instant;

use crate::DEFAULT_GROUP;
use crate::flights::Flight;
use crate::group::{Group, Stream};
use crate::proxies;
use crate::state::{State, owner_of};

/// How far the fleet is with a revision of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Convergence {
    /// Every ready proxy has it, or there is none.
    Live {
        /// How many proxies have it.
        proxies: usize,
        /// What is worth saying beside success: groups without proxies, proxies that refuse it,
        /// upstreams without addresses.
        notice: Option<String>,
    },
    /// Not yet.
    Behind {
        /// Proxies that have it.
        have: usize,
        /// Proxies that are connected and heard from.
        ready: usize,
        /// Who is behind, or what else is awaited.
        why: String,
    },
    /// The renderer or Envoy refused it; the instance is served at its last good revision.
    Rejected {
        /// Why, in the tenant's own words.
        reason: String,
    },
}

/// What can be said now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It will not change by waiting.
    Final(Convergence),
    /// As far as it is; it may be another when something happens.
    Wait(Convergence),
    /// As before, and at this time another though nothing happens.
    WaitUntil(Instant, Convergence),
}

/// Names of proxies that are told.
const MAX_NAMED: usize = 3;

impl State {
    /// How far the fleet is. Groups that never had a proxy count only while none had. A group without proxies is waited for during `grace` after the last
    /// one left, as proxies that reconnect need a moment; after that it holds nothing up.
    pub(crate) fn converged(&self, id: &InstanceId, revision: u64, grace: Duration) -> Answer {
        if revision > self.position {
            return self.wait("the control plane has not read it yet");
        }
        let tenant = self.tenants.get(id);
        if let Some(reason) = tenant.and_then(|tenant| tenant.refusal(revision)) {
            return Answer::Final(Convergence::Rejected { reason: reason.to_owned() });
        }
        if tenant.is_some_and(|tenant| tenant.pending) {
            return self.wait("the control plane is preparing it");
        }
        if !self.is_open() {
            return self.wait("the control plane is starting");
        }
        self.in_fleet(&owner_of(id), tenant.map_or(&[][..], |tenant| &tenant.notices), grace)
    }

    /// Whether the start is over. A group that is new after it gets everything before it opens, and
    /// holds nobody up.
    pub(crate) fn is_open(&self) -> bool {
        self.groups.get(DEFAULT_GROUP).is_some_and(|group| group.open)
    }

    fn wait(&self, why: &str) -> Answer {
        let ready = self.groups.values().map(Group::ready).sum();
        Answer::Wait(Convergence::Behind { have: 0, ready, why: why.to_owned() })
    }

    fn in_fleet(&self, owner: &str, notices: &[String], grace: Duration) -> Answer {
        let any_known = self.groups.values().any(|group| group.is_known);
        let counts = |group: &Group| group.open && (group.is_known || !any_known);
        let groups = self.groups.iter().filter(|(_, group)| counts(group));
        let is_elsewhere =
            |name: &str, group: &Group| group.streams.is_empty() && self.elsewhere.contains(name);
        let groups = groups.filter(|(name, group)| !is_elsewhere(name, group));
        let standings = groups.map(|(name, group)| Standing::of(name, group, owner));
        let fleet = standings.fold(Standing::default(), Standing::and);
        if let Some(why) = fleet.why_behind() {
            let have = fleet.ready.saturating_sub(fleet.lack + fleet.refusing.len());
            return Answer::Wait(Convergence::Behind { have, ready: fleet.ready, why });
        }
        let alone_until = fleet.alone_since.map(|since| since + grace);
        if let Some(until) = alone_until.filter(|until| *until > Instant::now()) {
            let (have, ready) = (fleet.ready, fleet.ready);
            let why = "no proxy is connected yet".to_owned();
            return Answer::WaitUntil(until, Convergence::Behind { have, ready, why });
        }
        let alone = fleet.alone.iter();
        let mut said: Vec<String> =
            alone.map(|name| format!("published; no proxy connected in group {name}")).collect();
        said.extend(fleet.polling.iter().map(|(name, count)| polling_in(name, *count)));
        said.extend(fleet.refusing.iter().map(|id| format!("proxy {id} refuses it, alone")));
        said.extend_from_slice(notices);
        let notice = (!said.is_empty()).then(|| said.join("; "));
        Answer::Final(Convergence::Live { proxies: fleet.ready - fleet.refusing.len(), notice })
    }
}

/// How proxies stand to one owner's latest change.
#[derive(Debug, Default)]
struct Standing<'a> {
    ready: usize,
    /// How many of them do not have it.
    lack: usize,
    behind: Vec<&'a str>,
    /// Canaries are to take it before it is given to others; those that are waited for.
    trying: Option<Vec<&'a str>>,
    refusing: Vec<&'a str>,
    /// Nobody has taken it yet, though there are proxies.
    unproven: bool,
    /// Groups without proxies, and since when the latest of them is.
    alone: Vec<&'a str>,
    alone_since: Option<Instant>,
    /// Groups in which proxies poll, and how many.
    polling: Vec<(&'a str, usize)>,
}

impl<'a> Standing<'a> {
    fn of(name: &'a str, group: &'a Group, owner: &str) -> Self {
        let flight = group.flights.of(owner);
        let waiting = flight.iter().flat_map(|flight| flight.waiting());
        let waiting = proxies::names(waiting.map(|stream| group.proxy(stream)));
        let has_streams = !group.streams.is_empty();
        let polling = group.pollers.len();
        let is_alone = !has_streams && polling == 0;
        let streams = || group.streams.values();
        let is_tried = group.canaries.tries(owner) && has_streams;
        let have = flight.map_or(0, Flight::have);
        let ready = proxies::count(streams().filter(|stream| stream.ready));
        Self {
            ready,
            lack: if is_tried { ready.saturating_sub(have) } else { waiting.len() },
            trying: is_tried.then(|| waiting.clone()),
            behind: if is_tried { Vec::new() } else { waiting },
            refusing: proxies::names(
                streams().filter(|s| s.refuses.contains(owner)).map(Stream::id),
            ),
            unproven: has_streams && (flight.is_some() || ready == 0),
            alone: is_alone.then_some(name).into_iter().collect(),
            alone_since: is_alone.then_some(group.alone_since),
            polling: (polling > 0).then_some((name, polling)).into_iter().collect(),
        }
    }

    fn and(mut self, other: Self) -> Self {
        self.ready += other.ready;
        self.lack += other.lack;
        self.behind.extend(other.behind);
        if let Some(trying) = other.trying {
            self.trying.get_or_insert_default().extend(trying);
        }
        self.refusing.extend(other.refusing);
        self.unproven |= other.unproven;
        self.alone.extend(other.alone);
        self.polling.extend(other.polling);
        self.alone_since = self.alone_since.max(other.alone_since);
        self
    }

    fn why_behind(&self) -> Option<String> {
        match &self.trying {
            Some(none) if none.is_empty() => return Some("waiting for a canary".to_owned()),
            Some(some) => return Some(format!("being tried by canary {}", some_of(some))),
            None => {}
        }
        if !self.behind.is_empty() {
            return Some(format!("not yet acknowledged by {}", some_of(&self.behind)));
        }
        if !self.unproven {
            return None;
        }
        if self.refusing.is_empty() {
            return Some("the first proxies are being brought up to date".to_owned());
        }
        Some(format!("refused by {}", some_of(&self.refusing)))
    }
}

/// Nobody knows what those make of it.
fn polling_in(group: &str, count: usize) -> String {
    let they =
        if count == 1 { "1 proxy polls".to_owned() } else { format!("{count} proxies poll") };
    format!("published; {they} in group {group} and cannot confirm it")
}

fn some_of(names: &[&str]) -> String {
    let mut names = names.to_vec();
    names.sort_unstable();
    let named = names.iter().take(MAX_NAMED).copied().collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(MAX_NAMED) {
        Some(more @ 1..) => format!("{named} and {more} more"),
        _ => named,
    }
}
