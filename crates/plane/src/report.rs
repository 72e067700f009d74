//! One proxy in depth: what it should have, and what of that it does not have, and why.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use model::TypeUrl;
use serde::{Deserialize, Serialize};
use xds::{Owner, StreamId};

use crate::group::Group;
use crate::state::State;
use crate::view::{Proxy, polling, proxy};

/// Differences that are told.
const TOLD_MAX: usize = 1_000;

/// A proxy in depth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyReport {
    /// How it stands.
    pub proxy: Proxy,
    /// How many resources of each type it should have.
    pub resources: BTreeMap<String, usize>,
    /// What it does not have as it should, 1,000 at most. A proxy that has not taken its first state
    /// yet may lack anything.
    pub differs: Vec<Difference>,
    /// How many more there are.
    pub more: usize,
}

/// A resource that a proxy does not have as it should.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Whose it is; `platform/group` for the listeners and what else is nobody's.
    pub owner: String,
    /// Its type; empty where all that the owner has is to go.
    pub type_url: String,
    /// Its name; empty where all that the owner has is to go.
    pub name: String,
    /// The version that it should have; none if it should be gone.
    pub version: Option<String>,
    /// What the proxy says against it; none if it was not heard yet.
    pub refusal: Option<String>,
}

impl State {
    /// A proxy in depth, by its `node.id`; of several streams with that id the latest.
    pub(crate) fn report(&self, id: &str) -> Option<ProxyReport> {
        let streams = self.groups.iter().flat_map(|(name, group)| {
            group.streams.iter().map(move |(at, stream)| (name, group, *at, stream))
        });
        let named = streams.filter(|(.., stream)| stream.id() == id);
        let latest = named.max_by_key(|(_, _, at, stream)| (stream.since, *at));
        let Some((name, group, at, stream)) = latest else { return self.report_polling(id) };
        let mut differs = group.differs(at);
        let more = differs.len().saturating_sub(TOLD_MAX);
        differs.truncate(TOLD_MAX);
        let proxy = proxy(name, group, at, stream, group.flights.lacked_by(at));
        Some(ProxyReport { proxy, resources: group.count(), differs, more })
    }

    /// Of a proxy that polls nobody knows what it does not have.
    fn report_polling(&self, id: &str) -> Option<ProxyReport> {
        let mut groups = self.groups.iter();
        let found = groups.find_map(|(name, group)| Some((name, group, group.pollers.get(id)?)));
        let (name, group, poller) = found?;
        let proxy = polling(name, poller);
        Some(ProxyReport { proxy, resources: group.count(), differs: Vec::new(), more: 0 })
    }
}

impl Group {
    /// What a proxy does not have as it should, by owner.
    pub(crate) fn differs(&self, stream: StreamId) -> Vec<Difference> {
        let mut owners: Vec<Owner> = self.flights.waited_for(stream).cloned().collect();
        owners.sort_unstable();
        let mut differs: Vec<Difference> =
            owners.iter().flat_map(|owner| self.on_its_way(owner)).collect();
        for (owner, refusal) in self.refused_by(stream) {
            let version = self.version(owner, &refusal.type_url, &refusal.name);
            differs.push(Difference {
                owner: owner.to_string(),
                type_url: refusal.type_url.to_string(),
                name: refusal.name.to_string(),
                version,
                refusal: Some(refusal.message.clone()),
            });
        }
        differs
    }

    /// What of an owner not every proxy has.
    fn on_its_way(&self, owner: &Owner) -> Vec<Difference> {
        let line = |type_url: &str, name: &str, version: Option<String>| Difference {
            owner: owner.to_string(),
            type_url: type_url.to_owned(),
            name: name.to_owned(),
            version,
            refusal: None,
        };
        let Some((now, before)) = self.held_of(owner) else { return vec![line("", "", None)] };
        let mut before: HashMap<(&TypeUrl, &Arc<str>), _> =
            before.iter().map(|it| ((&it.resource.type_url, &it.resource.name), it)).collect();
        let mut lines = Vec::new();
        for kept in now {
            let resource = &kept.resource;
            let same = before.remove(&(&resource.type_url, &resource.name));
            if same.is_none_or(|it| it.resource.version.hash != resource.version.hash) {
                let version = Some(resource.version.to_string());
                lines.push(line(resource.type_url.as_str(), &resource.name, version));
            }
        }
        let mut gone: Vec<_> = before.into_keys().collect();
        gone.sort_unstable();
        lines.extend(gone.into_iter().map(|(type_url, name)| line(type_url.as_str(), name, None)));
        lines
    }
}
