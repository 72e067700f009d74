//! As much of a proxy's side of the delta protocol as a load needs: it subscribes as Envoy does when
//! scopes name route configurations and clusters name endpoints, acknowledges, and comes back with
//! what it had.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::Bytes;
use model::type_urls;
use prost::Message;

use crate::wire::{Messages, Request, Resource, Response, answer, begun_with, frame};

/// The types that a proxy asks for, in Envoy's order.
pub(crate) const TYPES: [&str; 6] = [
    type_urls::RUNTIME,
    type_urls::CLUSTER,
    type_urls::ENDPOINT,
    type_urls::LISTENER,
    type_urls::SCOPED_ROUTE,
    type_urls::ROUTE,
];

/// The layer of the runtime that every bootstrap of ours asks for.
pub(crate) const LAYER: &str = "margrave";

/// `envoy.config.core.v3.Node`, as much of it as names a proxy.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Node {
    #[prost(string, tag = "1")]
    id: String,
    /// Its group.
    #[prost(string, tag = "2")]
    cluster: String,
}

/// `envoy.service.discovery.v3.DeltaDiscoveryRequest`, the first of a type.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Hello {
    #[prost(message, optional, tag = "1")]
    pub(crate) node: Option<Node>,
    #[prost(string, tag = "2")]
    pub(crate) type_url: String,
    #[prost(string, repeated, tag = "3")]
    pub(crate) subscribe: Vec<String>,
    #[prost(btree_map = "string, string", tag = "5")]
    pub(crate) initial: BTreeMap<String, String>,
}

/// `envoy.config.cluster.v3.Cluster` and `envoy.config.route.v3.ScopedRouteConfiguration`: the field
/// that tells what is asked for next.
#[derive(Clone, PartialEq, Message)]
struct Cluster {
    /// `DiscoveryType`; 3 is EDS.
    #[prost(int32, tag = "2")]
    kind: i32,
}
#[derive(Clone, PartialEq, Message)]
struct Scope {
    #[prost(string, tag = "2")]
    route: String,
}
const EDS: i32 = 3;

/// What a proxy has: type → name → version.
#[derive(Debug, Default)]
pub(crate) struct Known(BTreeMap<String, BTreeMap<String, String>>);

impl Known {
    /// What it has of a type.
    pub(crate) fn of(&self, type_url: &str) -> impl Iterator<Item = (&String, &String)> {
        self.0.get(type_url).into_iter().flatten()
    }

    /// What it asks for of a type that is asked for by names.
    pub(crate) fn asked(&self, type_url: &str) -> Vec<String> {
        match type_url {
            type_urls::RUNTIME => vec![LAYER.to_owned()],
            _ => self.of(type_url).map(|(name, _)| name.clone()).collect(),
        }
    }

    fn has(&self, type_url: &str, name: &str) -> bool {
        self.0.get(type_url).is_some_and(|names| names.contains_key(name))
    }

    /// How many resources.
    pub(crate) fn len(&self) -> usize {
        self.0.values().map(BTreeMap::len).sum()
    }

    fn learn(&mut self, response: &Response) {
        let names = self.0.entry(response.type_url.clone()).or_default();
        for resource in &response.resources {
            names.insert(resource.name.clone(), resource.version.clone());
        }
        for name in &response.removed {
            names.remove(name);
        }
    }

    /// What a proxy that has all this says when it comes back, once it is introduced: of each type one
    /// request with all that it has, since versions are told by the first alone.
    pub(crate) fn comes_back(&self) -> Arc<[Bytes]> {
        let hello = |type_url: &&str| {
            frame(&Hello {
                node: None,
                type_url: (*type_url).to_owned(),
                subscribe: if is_named(type_url) { self.asked(type_url) } else { Vec::new() },
                initial: self.of(type_url).map(|(a, b)| (a.clone(), b.clone())).collect(),
            })
        };
        TYPES.iter().map(hello).collect()
    }
}

/// Whether a type is asked for by names.
pub(crate) fn is_named(type_url: &str) -> bool {
    matches!(type_url, type_urls::ENDPOINT | type_urls::ROUTE | type_urls::RUNTIME)
}

/// A proxy.
pub(crate) fn node(id: &str, group: &str) -> Node {
    Node { id: id.to_owned(), cluster: group.to_owned() }
}

/// What a stream begins with: these words, and in the first of them who speaks.
pub(crate) fn introduced(id: &str, group: &str, words: &[Bytes]) -> Vec<Bytes> {
    begun_with(&Hello { node: Some(node(id, group)), ..Hello::default() }, words)
}

/// One proxy's side of a stream.
pub(crate) struct Proxy {
    base: Arc<Known>,
    /// Names that it asked for since, by type.
    more: HashSet<(bool, String)>,
    /// Where what it learns is noted, if it is the one that learns for all.
    pub(crate) learns: Option<Known>,
    messages: Messages,
}

impl Proxy {
    /// That has all this already.
    pub(crate) fn new(base: Arc<Known>) -> Self {
        Self { base, more: HashSet::new(), learns: None, messages: Messages::default() }
    }

    /// That knows nothing, and notes all that it is told.
    pub(crate) fn learner() -> Self {
        Self { learns: Some(Known::default()), ..Self::new(Arc::default()) }
    }

    /// Takes bytes of the stream; the next whole response that they make.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<Option<Response>> {
        self.messages.push(bytes);
        let message = self.messages.next();
        message.map(|message| Response::decode(message).context("a response")).transpose()
    }

    /// What it says to a response: that it has it, and what it needs next.
    pub(crate) fn answer(&mut self, response: &Response) -> Result<Vec<Bytes>> {
        let mut says = vec![answer(response, None)];
        if let Some(known) = &mut self.learns {
            known.learn(response);
        }
        let (next, is_route) = match response.type_url.as_str() {
            type_urls::CLUSTER => (type_urls::ENDPOINT, false),
            type_urls::SCOPED_ROUTE => (type_urls::ROUTE, true),
            _ => return Ok(says),
        };
        let mut subscribe = Vec::new();
        for resource in &response.resources {
            let Some(name) = names(resource, is_route)? else { continue };
            if !self.base.has(next, &name) && self.more.insert((is_route, name.clone())) {
                subscribe.push(name);
            }
        }
        if !subscribe.is_empty() {
            let type_url = next.to_owned();
            says.push(frame(&Request { type_url, subscribe, ..Request::default() }));
        }
        Ok(says)
    }
}

/// What is in a resource that proxies refuse.
pub(crate) const REFUSED: &str = "what-proxies-refuse";

/// What a proxy says to a response that has one: that it takes nothing of it.
pub(crate) fn refusal(response: &Response) -> Option<Bytes> {
    let is_refused =
        |value: &Bytes| value.windows(REFUSED.len()).any(|part| part == REFUSED.as_bytes());
    let mut values = response.resources.iter().filter_map(|it| Some(&it.resource.as_ref()?.value));
    values.any(is_refused).then(|| answer(response, Some("the bench refuses it")))
}

/// What a cluster or a scope makes a proxy ask for.
pub(crate) fn names(resource: &Resource, is_route: bool) -> Result<Option<String>> {
    let Some(any) = &resource.resource else { return Ok(None) };
    if is_route {
        return Ok(Some(Scope::decode(any.value.clone())?.route));
    }
    let cluster = Cluster::decode(any.value.clone())?;
    Ok((cluster.kind == EDS).then(|| resource.name.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layer_of_the_runtime_is_asked_for_first_whatever_is_known() {
        for known in [Known::default(), learnt()] {
            let first = Hello::decode(&known.comes_back()[0][5..]).expect("a request");
            assert_eq!(first.type_url, type_urls::RUNTIME);
            assert_eq!(first.subscribe, [LAYER]);
        }
    }

    fn learnt() -> Known {
        let mut known = Known::default();
        let version = "1.1-a".to_owned();
        let resources = vec![Resource { name: LAYER.to_owned(), version, ..Resource::default() }];
        let type_url = type_urls::RUNTIME.to_owned();
        known.learn(&Response { type_url, resources, ..Response::default() });
        known
    }
}
