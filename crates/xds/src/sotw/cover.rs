//! What the version of a response says, of a type whose responses hold what changed: that its client
//! then has all it names, and what that is. So a client that comes back, to whatever process, and
//! names the same is known to have it.
//!
//! A version that does not say so is only that of what its response holds: whoever comes back with
//! it is sent everything. One is owed then, and told beside nothing as soon as it is so.

use tokio::time::Instant;

use super::StateOfTheWorld;
use super::respond::Saying;
use super::subscription::{Subscription, Unanswered};
use crate::absent::is_blank;
use crate::bits::Bits;
use crate::cache::State;
use crate::kind::Kind;
use crate::lane::Lane;
use crate::wire::StateResponse;

/// No pattern, and unlike what marks are mixed with.
const PART: u64 = 0xd6e8_feb8_6659_fd93;

impl Subscription {
    /// The digest of all that it names, and is told of that.
    fn cover(&self, state: &State) -> u64 {
        match self.wildcard {
            true => {
                let absent = state.cover_of_absent(self.table, &self.names);
                state.table(self.table).digest().wrapping_add(absent)
            }
            false => state.cover(self.table, &self.names),
        }
    }

    /// Whether nothing is kept from the client, and nothing is left to be said.
    fn has_all_that_was_laid_out(&self) -> bool {
        !(self.doubtful || self.forgot || self.is_loaded())
            && self.substitutes.is_empty()
            && self.withheld.is_empty()
    }
}

impl StateOfTheWorld {
    /// The hash for a response of something, whose marks add up to `part`, as of `seq`.
    pub(super) fn hash_of(&mut self, state: &State, at: usize, seq: u64, part: u64) -> u64 {
        let is_all = self.will_have_all(state, &self.subscriptions[at], seq);
        self.subscriptions[at].owes_version = !is_all;
        match is_all {
            true => self.subscriptions[at].cover(state),
            false => (part ^ PART).wrapping_mul(PART),
        }
    }

    /// Whether the client has all that it names once it has what was said up to now.
    fn will_have_all(&self, state: &State, of: &Subscription, seq: u64) -> bool {
        let mut clusters = self.clusters();
        of.has_all_that_was_laid_out()
            && state.table(of.table).changed <= seq
            && (of.kind != Kind::Endpoint
                || clusters.all(|it| !it.is_loaded() && state.table(it.table).changed <= seq))
            && !self.is_to_come(state, of)
    }

    fn clusters(&self) -> impl Iterator<Item = &Subscription> {
        self.subscriptions.iter().filter(|it| it.kind == Kind::Cluster)
    }

    /// Whether a later step of the pass has something for it.
    fn is_to_come(&self, state: &State, of: &Subscription) -> bool {
        let Some(pass) = self.pass.as_ref().filter(|it| state.table(of.table).changed > it.from)
        else {
            return false;
        };
        let says_gone = is_blank(of.kind, state.table(of.table).url.as_str());
        pass.owners().any(|owner| {
            let lost = if says_gone { state.lost(owner) } else { Vec::new() };
            state.owned(owner).iter().chain(&lost).any(|key| {
                let is_its = key.table == of.table && of.wants(key.slot);
                is_its && state.slot(*key).changed > pass.from && !of.told.contains(key.slot)
            })
        })
    }

    /// When nothing else is to be said: a version that is owed, beside nothing. Nobody waits for
    /// what the client answers.
    pub(super) fn restate(&mut self, state: &State, now: Instant) -> Option<(Lane, StateResponse)> {
        if self.pass.is_some() || self.cursor < state.seq() {
            return None;
        }
        let is_time = |it: &Subscription| {
            let names_any = it.wildcard || !it.names.is_empty();
            it.owes_version && names_any && it.unanswered.is_none()
        };
        let seq = self.cursor;
        let is_due = |it: &&Subscription| is_time(it) && self.will_have_all(state, it, seq);
        let (lane, table) = self.subscriptions.iter().find(is_due).map(|it| (it.lane, it.table))?;
        let same = |it: &Subscription| (it.lane, it.table) == (lane, table);
        let at = self.subscriptions.iter().position(same)?;
        let digest = self.hash_of(state, at, seq, 0);
        let saying = Saying { digest, seq, is_restated: true, ..Saying::default() };
        Some(self.post(state, at, saying, now))
    }

    /// A client that comes back and has all that it names, as it is now, gets nothing.
    pub(super) fn resume_named(&mut self, state: &State, at: usize, held: Option<u64>) {
        let subscription = &self.subscriptions[at];
        // With clusters that it is sent it may need its endpoints again.
        let is_settled = subscription.kind != Kind::Endpoint
            || self.clusters().all(|it| it.nonce == 0 && it.due.is_none());
        if is_settled && !subscription.forgot && held == Some(subscription.cover(state)) {
            let subscription = &mut self.subscriptions[at];
            subscription.asked = Bits::default();
            subscription.due = None;
        }
    }
}

impl Unanswered {
    /// Whether it is a version beside nothing, of which nobody awaits the answer. (A client that
    /// has just left all that it named may not give any.)
    pub(super) fn is_aside(&self) -> bool {
        self.is_restated
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::type_urls::ROUTE;
    use model::{Resource, TypeUrl, Version};
    use tonic::Status;

    use super::*;
    use crate::cache::{Cache, Change, Guard};
    use crate::event::StreamId;
    use crate::limits::Limits;
    use crate::stream::Talk;
    use crate::wire::StateRequest;

    /// A replica that has come to this revision of a route configuration.
    fn replica(revision: u64) -> Arc<Cache> {
        let cache = Arc::new(Cache::default());
        come_to(&cache, revision);
        cache.guard(Guard { epoch: 1, lost_after: None, waits: true });
        cache.open();
        cache
    }

    fn come_to(cache: &Cache, revision: u64) {
        let body = revision.to_be_bytes().to_vec();
        let version = Version { epoch: 1, revision, hash: Version::hash_of(&body) };
        let (type_url, name) = (TypeUrl::new(ROUTE), "r".into());
        let set = vec![Resource { type_url, name, version, body: body.into() }];
        cache.apply(vec![Change { owner: "a".into(), set, remove: Vec::new() }]);
        cache.complete(revision);
    }

    /// What a client that comes with a version is told of its route configuration.
    fn told(
        cache: &Arc<Cache>,
        version: &str,
    ) -> (StateOfTheWorld, Result<Option<StateResponse>, Status>) {
        let (now, limits) = (Instant::now(), Limits::default());
        let mut stream = StateOfTheWorld::new(StreamId(1), cache.clone(), limits, now);
        let request = StateRequest {
            type_url: ROUTE.to_owned(),
            names: [b"r"].into_iter().collect(),
            version: version.to_owned(),
            ..StateRequest::default()
        };
        stream.request(Lane::ONLY, request, now).expect("it is heard");
        let said = stream.respond(now);
        (stream, said.map(|it| it.map(|(_, response)| response)))
    }

    #[test]
    fn a_replica_that_lags_says_nothing_until_it_knows_what_the_client_has() {
        let (ahead, lags) = (replica(2), replica(1));
        let version = told(&ahead, "").1.expect("it goes on").expect("a response").head.version;
        let (mut stream, said) = told(&lags, &version);
        assert!(said.expect("it goes on").is_none(), "it would go backwards");
        come_to(&lags, 2);
        assert!(stream.respond(Instant::now()).is_err(), "it comes back");
        let (mut stream, said) = told(&lags, &version);
        assert!(said.expect("it goes on").is_none(), "it has that");
        come_to(&lags, 3);
        assert!(stream.respond(Instant::now()).expect("it goes on").is_some());
    }
}
