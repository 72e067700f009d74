//! What can be told of the fleet and of one instance, for people and their programs.

use model::{InstanceId, Millis};
use serde::Serialize;

use crate::ahead::AheadView;
use crate::group::{Group, Stream};
use crate::state::State;

/// How a proxy stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ProxyState {
    /// It has all that it should have.
    Live,
    /// Something is still on its way to it.
    Behind,
    /// It refuses what others take; it holds nobody up.
    Rejecting,
}

/// A connected proxy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
    /// How it stands.
    pub state: ProxyState,
    /// How many changes it is still to acknowledge.
    pub lacks: usize,
    /// Instances whose latest resources it refuses, alone.
    pub refuses: Vec<String>,
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
    pub fn counts(&self) -> [(&'static str, usize); 3] {
        let count = |state| self.proxies.iter().filter(|proxy| proxy.state == state).count();
        [
            ("live", count(ProxyState::Live)),
            ("behind", count(ProxyState::Behind)),
            ("rejecting", count(ProxyState::Rejecting)),
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
            group.streams.iter().map(move |(id, stream)| proxy(name, stream, lacks(id)))
        });
        FleetView {
            revision: self.position,
            instances: self.tenants.len(),
            quarantined: self.tenants.values().filter(|t| t.quarantine.is_some()).count(),
            in_flight: groups().map(|(_, group)| group.flights.len()).sum(),
            resources: groups().map(|(_, group)| Group::len(group)).sum(),
            groups: groups().map(|(name, _)| name.to_string()).collect(),
            proxies: proxies.collect(),
            removals_held: self.held_removals.len(),
            ahead: self.ahead(),
        }
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

fn proxy(group: &str, stream: &Stream, lacks: usize) -> Proxy {
    let state = match stream {
        Stream { refuses, .. } if !refuses.is_empty() => ProxyState::Rejecting,
        Stream { ready: true, .. } if lacks == 0 => ProxyState::Live,
        _ => ProxyState::Behind,
    };
    Proxy {
        id: stream.node.id.clone(),
        group: group.to_owned(),
        region: stream.node.region.clone(),
        envoy_version: stream.node.envoy_version.clone(),
        connected_at: stream.since,
        state,
        lacks,
        refuses: stream.refuses.iter().map(ToString::to_string).collect(),
    }
}
