//! What can be told of the fleet and of one instance, for people and their programs.

use std::collections::BTreeSet;
use std::time::Duration;

use model::{InstanceId, Millis};
use serde::{Deserialize, Serialize};
use xds::{Owner, StreamId};

use crate::ahead::AheadView;
use crate::flights::Lack;
use crate::group::{Group, Refusal, Stream};
use crate::pollers::Poller;
use crate::proxies;
use crate::state::State;

/// A proxy that something is on its way to for so long is silent.
const SILENT: Duration = Duration::from_secs(30);
/// Refusals of a proxy that are told with it.
const REFUSED_MAX: usize = 10;

/// How a proxy stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProxyState {
    /// It has all that it should have.
    Live,
    /// Something is still on its way to it.
    Behind,
    /// It refuses what others take; it holds nobody up.
    Rejecting,
    /// Something has been on its way to it for half a minute or longer.
    Silent,
    /// It polls, and never says what it makes of what it is given.
    Unconfirmed,
}

/// What a proxy refuses, alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Whose it is: an instance's id, or `platform/group`.
    pub owner: String,
    /// The resource's type.
    pub type_url: String,
    /// The resource's name.
    pub name: String,
    /// Its Envoy's words.
    pub message: String,
}

/// A connected proxy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proxy {
    /// `node.id`.
    pub id: String,
    /// Its group (`node.cluster`).
    pub group: String,
    /// `node.locality.region`; empty when not told.
    pub region: String,
    /// The version of its Envoy; empty when not told.
    pub envoy_version: String,
    /// When it connected.
    pub connected_at: Millis,
    /// It is given tenants' changes before the others of its group.
    pub canary: bool,
    /// How it stands.
    pub state: ProxyState,
    /// How many changes it is still to acknowledge.
    pub lacks: usize,
    /// What it refuses, alone; ten of it at most.
    pub refuses: Vec<Refused>,
    /// When it last polled, if it does.
    pub seen_at: Option<Millis>,
    /// The newest version that it was given, if it polls.
    pub version: Option<String>,
}

/// The fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FleetView {
    /// Up to which revision the change feed is taken in.
    pub revision: u64,
    /// Published instances.
    pub instances: usize,
    /// Instances that are not served at their latest revision.
    pub quarantined: usize,
    /// Changes that not every ready proxy has.
    pub in_flight: usize,
    /// Of these, changes that are given to canaries only, so far.
    pub on_trial: usize,
    /// Resources of all groups.
    pub resources: usize,
    /// Groups, those without proxies too.
    pub groups: Vec<String>,
    /// Connected proxies.
    pub proxies: Vec<Proxy>,
    /// Instances that the store knows no more, and that are served until an operator confirms.
    pub removals_held: usize,
    /// What proxies have that is ahead of the store.
    pub ahead: Vec<AheadView>,
}

/// What is known of one published instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Description {
    /// Its latest revision.
    pub revision: u64,
    /// The revision that is served; none when it was refused before it was ever good.
    pub served: Option<u64>,
    /// Why these differ, in the tenant's words.
    pub quarantine: Option<String>,
    /// What else its team should know, such as an upstream that does not resolve.
    pub notices: Vec<String>,
}

impl FleetView {
    /// How many proxies are in each state.
    pub fn counts(&self) -> [(&'static str, usize); 5] {
        let count = |state| self.proxies.iter().filter(|proxy| proxy.state == state).count();
        [
            ("live", count(ProxyState::Live)),
            ("behind", count(ProxyState::Behind)),
            ("rejecting", count(ProxyState::Rejecting)),
            ("silent", count(ProxyState::Silent)),
            ("unconfirmed", count(ProxyState::Unconfirmed)),
        ]
    }
}

impl State {
    /// The fleet as it is.
    pub(crate) fn fleet(&self) -> FleetView {
        let groups = || self.groups.iter();
        let proxies = groups().flat_map(|(name, group)| {
            let lacking = group.flights.lacking();
            let lacks = move |id| lacking.get(id).copied().unwrap_or_default();
            let streams = group.streams.iter();
            let streams =
                streams.map(move |(id, stream)| proxy(name, group, *id, stream, lacks(id)));
            streams.chain(group.pollers.iter().map(|it| polling(name, it)))
        });
        FleetView {
            revision: self.position,
            instances: self.tenants.len(),
            quarantined: self.tenants.values().filter(|t| t.quarantine.is_some()).count(),
            in_flight: groups().map(|(_, group)| group.flights.len()).sum(),
            on_trial: groups().map(|(_, group)| group.canaries.trials()).sum(),
            resources: groups().map(|(_, group)| Group::len(group)).sum(),
            groups: groups().map(|(name, _)| name.to_string()).collect(),
            proxies: proxies::lines(proxies),
            removals_held: self.held_removals.len(),
            ahead: self.ahead(),
        }
    }

    /// The regions of connected proxies.
    pub(crate) fn regions(&self) -> BTreeSet<String> {
        let nodes = self.groups.values().flat_map(|group| {
            let streams = group.streams.values().map(|stream| &stream.node);
            streams.chain(group.pollers.iter().map(|poller| &poller.node))
        });
        let mut regions = BTreeSet::new();
        for node in nodes {
            if !regions.contains(&node.region) {
                regions.insert(node.region.clone());
            }
        }
        regions
    }

    /// Instances that are not served at their latest revision.
    pub(crate) fn quarantined(&self) -> BTreeSet<InstanceId> {
        let tenants = self.tenants.iter().filter(|(_, tenant)| tenant.quarantine.is_some());
        tenants.map(|(id, _)| id.clone()).collect()
    }

    /// What is known of an instance; none when it is not published.
    pub(crate) fn describe(&self, id: &InstanceId) -> Option<Description> {
        let tenant = self.tenants.get(id)?;
        Some(Description {
            revision: tenant.wanted.0,
            served: tenant.served(),
            quarantine: tenant.quarantine.clone(),
            notices: tenant.notices.clone(),
        })
    }
}

pub(crate) fn proxy(name: &str, group: &Group, id: StreamId, stream: &Stream, lack: Lack) -> Proxy {
    let since = if stream.ready { lack.since } else { Some(stream.opened) };
    let is_silent = since.is_some_and(|since| since.elapsed() >= SILENT);
    let state = match stream {
        Stream { refuses, .. } if !refuses.is_empty() => ProxyState::Rejecting,
        _ if is_silent => ProxyState::Silent,
        Stream { ready: true, .. } if lack.changes == 0 => ProxyState::Live,
        _ => ProxyState::Behind,
    };
    let refused = |(owner, refusal): (&Owner, &Refusal)| Refused {
        owner: owner.to_string(),
        type_url: refusal.type_url.to_string(),
        name: refusal.name.to_string(),
        message: refusal.message.clone(),
    };
    let refuses = match stream.refuses.is_empty() {
        true => Vec::new(),
        false => group.refused_by(id).take(REFUSED_MAX).map(refused).collect(),
    };
    Proxy {
        id: stream.node.id.clone(),
        group: name.to_owned(),
        region: stream.node.region.clone(),
        envoy_version: stream.node.envoy_version.clone(),
        connected_at: stream.since,
        canary: group.is_canary(stream),
        state,
        lacks: lack.changes,
        refuses,
        seen_at: None,
        version: None,
    }
}

/// A proxy that polls.
pub(crate) fn polling(group: &str, poller: &Poller) -> Proxy {
    let node = &poller.node;
    Proxy {
        id: node.id.clone(),
        group: group.to_owned(),
        region: node.region.clone(),
        envoy_version: node.envoy_version.clone(),
        connected_at: poller.since,
        state: ProxyState::Unconfirmed,
        canary: false,
        lacks: 0,
        refuses: Vec::new(),
        seen_at: Some(poller.seen),
        version: poller.version(),
    }
}
