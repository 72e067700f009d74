//! A client that is served from another cache from now on, on the streams that it has. (Of delta, see
//! `delta::transfer`.)
//!
//! At rest a client has all that it is subscribed to, as its cache has it. What differs in the other
//! cache is told as to a client that has come back; but what it has is known, so that it keeps that
//! of whatever it refuses.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::time::Instant;

use super::StateOfTheWorld;
use super::subscription::{Due, Former, Subscription, Substitute};
use crate::cache::{Cache, Content, Key, State};
use crate::event::StreamId;
use crate::kind::Kind;
use crate::lane::Lane;

/// A subscription, and what the client has by it, without the cache that it was of.
struct Had {
    lane: Lane,
    type_url: String,
    kind: Kind,
    wildcard: bool,
    explicit: bool,
    nonce: u64,
    doubtful: bool,
    names: Vec<Arc<str>>,
    digest: Option<u64>,
    contents: HashMap<Arc<str>, Content>,
}

impl StateOfTheWorld {
    /// Makes this the conversation of `stream` with what `cache` has. `false`: the client does not
    /// have just what it should, and has to come back; nothing has changed.
    pub(super) fn transferred(
        &mut self,
        stream: StreamId,
        cache: Arc<Cache>,
        now: Instant,
    ) -> bool {
        // One cache after the other: whoever holds both at once holds them in an order of its own.
        let Some(had) = self.had(&self.cache.clone().read()) else { return false };
        let mut there = Self::new(stream, cache.clone(), self.limits, now);
        there.last_nonce = self.last_nonce;
        for had in had {
            let Some(table) = cache.table(&had.type_url) else { return false };
            let mut goes_on = Subscription::new(had.lane, table, had.kind);
            let names: Vec<&str> = had.names.iter().map(|name| &**name).collect();
            cache.hold(table, &names, &mut goes_on.names);
            goes_on.take_over(&cache.read(), had, there.cursor);
            there.subscriptions.push(goes_on);
        }
        there.subscriptions.sort_by_key(|it| (it.kind, it.table, it.lane));
        *self = there;
        true
    }

    /// What the client has, if that is just what it should.
    fn had(&self, state: &State) -> Option<Vec<Had>> {
        let is_whole = self.is_quiet()
            && self.synced == Some(state.seq())
            && self.cursor == state.seq()
            && self.quarantined.is_empty()
            && self.missing.is_empty()
            && self.hushed_until.is_none()
            && self.lag.is_none()
            && self.subscriptions.iter().all(Subscription::is_whole);
        is_whole.then(|| self.subscriptions.iter().map(|it| it.what_it_has(state)).collect())
    }
}

impl Subscription {
    /// Whether the client has what the cache has, and not something else in its place.
    fn is_whole(&self) -> bool {
        let is_known = self.digest.is_some() || (!self.wildcard && self.names.is_empty());
        self.substitutes.is_empty()
            && self.withheld.is_empty()
            && (is_known || !self.kind.full_state())
    }

    fn what_it_has(&self, state: &State) -> Had {
        let table = state.table(self.table);
        let wanted = table.places().filter(|(at, _)| self.wants(*at));
        let contents = wanted
            .filter_map(|(_, slot)| Some((slot.name.clone(), slot.content.clone()?)))
            .collect();
        let name = |slot| state.name(Key { table: self.table, slot }).clone();
        Had {
            lane: self.lane,
            type_url: table.url.to_string(),
            kind: self.kind,
            wildcard: self.wildcard,
            explicit: self.explicit,
            nonce: self.nonce,
            doubtful: self.doubtful,
            names: self.names.iter().map(name).collect(),
            digest: self.digest,
            contents,
        }
    }

    /// Goes on with what the client has, as of `seq`: what differs is to be told.
    fn take_over(&mut self, state: &State, had: Had, seq: u64) {
        (self.wildcard, self.explicit, self.nonce) = (had.wildcard, had.explicit, had.nonce);
        self.doubtful = had.doubtful;
        let view = state.view(self.table, seq);
        let places = state.table(self.table).places().filter(|(at, _)| self.wants(*at));
        let mut differ = Vec::new();
        for (at, slot) in places {
            let (now, before) = (view.of(at), had.contents.get(&slot.name));
            if now.map(|it| it.mark) != before.map(|it| it.mark) {
                differ.push((at, slot.name.clone(), before.cloned()));
            }
        }
        if !self.kind.full_state() {
            differ.into_iter().for_each(|(at, ..)| _ = self.asked.insert(at));
            return;
        }
        (self.digest, self.base) = (had.digest, had.digest.map(|_| seq));
        self.due = Some(Due::IfNew);
        // In the order of this cache it came before all that is here.
        let before = |content: Option<Content>| content.map(|content| content.since(0));
        let former = |(at, name, content)| {
            let content = before(content);
            let substitute = Substitute { name, changed: 0, content, message: None };
            (at, Former { substitute, until: seq })
        };
        self.former = differ.into_iter().map(former).collect();
    }
}
