//! A client that is served from another cache from now on, on the stream that it has.
//!
//! At rest a client has what it is subscribed to, as its cache has it. So what it would say if it came
//! back is known, and is said in its place.

use std::sync::Arc;

use tokio::time::Instant;

use super::Delta;
use super::subscription::Subscription;
use crate::cache::{Cache, Key, State};
use crate::event::StreamId;
use crate::lane::Lane;
use crate::many::Many;
use crate::stream::Talk;
use crate::wire::DeltaRequest;

impl Delta {
    /// Makes this the conversation of `stream` with what `cache` has. `false`: the client does not
    /// have just what it should, and has to say itself what it has; nothing has changed.
    pub(super) fn transferred(
        &mut self,
        stream: StreamId,
        cache: Arc<Cache>,
        now: Instant,
    ) -> bool {
        let Some(words) = self.words(&self.cache.clone().read()) else { return false };
        let mut there = Self::new(stream, cache, self.limits, now);
        there.last_nonce = self.last_nonce;
        for (lane, request) in words {
            if there.take(lane, request, now).is_err() {
                return false;
            }
        }
        there.said_all(now);
        there.withheld = std::mem::take(&mut self.withheld);
        *self = there;
        true
    }

    /// What the client would say on a new stream, if it has just what it should.
    fn words(&self, state: &State) -> Option<Vec<(Lane, DeltaRequest)>> {
        let is_whole = self.at_rest()
            && self.synced == Some(state.seq())
            && self.cursor == state.seq()
            && self.refused.is_empty()
            && self.held_back.is_empty()
            && self.stays.is_empty()
            && self.parting.is_none()
            && self.lag.is_none()
            && !(self.keeps || self.keeps_all)
            && self.subscriptions.iter().all(Subscription::is_answered);
        let all = || self.subscriptions.iter().map(|it| Some((it.lane, it.words(state)?)));
        is_whole.then(|| all().collect())?
    }
}

impl Subscription {
    /// The first request that would make it. None: no first request would.
    fn words(&self, state: &State) -> Option<DeltaRequest> {
        let table = state.table(self.table);
        let name = |slot| state.name(Key { table: self.table, slot }).as_bytes();
        let all = self.wildcard.then_some(&b"*"[..]);
        let subscribe: Many<3> = self.names.iter().map(name).chain(all).collect();
        if subscribe.is_empty() && self.kind.silence_is_all() {
            return None;
        }
        let held = table.places().filter(|(at, _)| self.wants(*at)).filter_map(|(_, slot)| {
            let version = slot.content.as_ref()?.version.to_string();
            Some((slot.name.as_bytes(), version))
        });
        Some(DeltaRequest {
            type_url: table.url.to_string(),
            subscribe,
            initial_versions: Many::of_entries(held),
            ..DeltaRequest::default()
        })
    }
}
