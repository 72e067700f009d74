//! Streams and proxies: all that comes with one `node.id` in a group is one proxy. It has more than
//! one stream while it reconnects and its old one is not noticed to be dead, or when two Envoys bear
//! one name.
//!
//! Each stream is waited for, so that nothing counts as taken that any of them has not taken. But
//! they are one witness, and one line of the fleet.

use std::collections::BTreeMap;

use crate::group::Stream;
use crate::verdict::Witness;
use crate::view::{Proxy, ProxyState};

/// What tells proxies apart. Those without an id are each another.
fn name(at: usize, id: &str) -> (&str, usize) {
    (id, if id.is_empty() { at } else { 0 })
}

/// How many proxies these streams are.
pub(crate) fn count<'a>(streams: impl Iterator<Item = &'a Stream>) -> usize {
    names(streams.map(Stream::id)).len()
}

/// The ids of proxies, each once.
pub(crate) fn names<'a>(ids: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut names: Vec<_> = ids.enumerate().map(|(at, id)| name(at, id)).collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter().map(|(id, _)| id).collect()
}

/// What these streams say, each proxy once.
pub(crate) fn witnesses<'a>(streams: impl Iterator<Item = &'a Stream>) -> Vec<Witness> {
    let mut witnesses: BTreeMap<(&str, usize), Witness> = BTreeMap::new();
    for (at, stream) in streams.enumerate() {
        let said = stream.witness();
        let all = witnesses.entry(name(at, stream.id())).or_insert(said);
        all.ready |= said.ready;
        all.other_refusals = all.other_refusals.max(said.other_refusals);
    }
    witnesses.into_values().collect()
}

/// One line a proxy: it stands as the worst of its streams does.
pub(crate) fn lines(streams: impl Iterator<Item = Proxy>) -> Vec<Proxy> {
    let mut lines: Vec<Proxy> = Vec::new();
    let mut known: BTreeMap<(String, String), usize> = BTreeMap::new();
    for stream in streams {
        let name = (stream.group.clone(), stream.id.clone());
        match known.get(&name).filter(|_| !stream.id.is_empty()) {
            Some(at) => merge(&mut lines[*at], stream),
            None => {
                known.insert(name, lines.len());
                lines.push(stream);
            }
        }
    }
    lines
}

fn merge(line: &mut Proxy, stream: Proxy) {
    let badness = |state: ProxyState| match state {
        ProxyState::Unconfirmed => 0,
        ProxyState::Live => 1,
        ProxyState::Behind => 2,
        ProxyState::Silent => 3,
        ProxyState::Rejecting => 4,
    };
    line.state = std::cmp::max_by_key(line.state, stream.state, |state| badness(*state));
    line.canary |= stream.canary;
    line.lacks = line.lacks.max(stream.lacks);
    line.connected_at = line.connected_at.max(stream.connected_at);
    line.seen_at = line.seen_at.max(stream.seen_at);
    line.version = stream.version.or(line.version.take());
    line.refuses.extend(stream.refuses);
}
