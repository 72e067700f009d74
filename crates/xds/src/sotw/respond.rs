//! What the stream says next.

use tokio::time::Instant;

use super::StateOfTheWorld;
use super::subscription::{Due, Parcel, Subscription, Unanswered};
use crate::absent::blank;
use crate::bits::Bits;
use crate::cache::{Content, Key, OwnerId, State, any_fields};
use crate::kind::Kind;
use crate::lane::Lane;
use crate::metrics;
use crate::wire::{ResourceError, StateHead, StateResponse};

/// Resources in one response of a type that is not full state.
const RESOURCES_MAX: usize = 512;
/// Bytes of resources in it; a single larger resource goes alone.
const BYTES_MAX: usize = 1 << 20;

/// What a response says, without its envelope.
#[derive(Default)]
pub(super) struct Saying {
    /// The hash of its version.
    pub(super) digest: u64,
    pub(super) resources: bytes::Bytes,
    pub(super) seq: u64,
    pub(super) parcels: Vec<Parcel>,
    /// A version beside nothing.
    pub(super) is_restated: bool,
}

impl StateOfTheWorld {
    pub(super) fn next(&mut self, state: &State, now: Instant) -> Option<(Lane, StateResponse)> {
        loop {
            self.advance(state, now);
            for at in 0..self.subscriptions.len() {
                if let Some(saying) = self.say(state, at, now) {
                    return Some(self.post(state, at, saying, now));
                }
            }
            // That there was nothing new to say may be what the pass waited for.
            if !self.advance(state, now) {
                return None;
            }
        }
    }

    fn say(&mut self, state: &State, at: usize, now: Instant) -> Option<Saying> {
        let patience = self.limits.patience;
        let seq = self.pass.as_ref().map_or(self.cursor, |pass| pass.upto);
        let keep = self.pass.as_ref().map(|pass| pass.keeps());
        let subscription = &mut self.subscriptions[at];
        let waits =
            |unanswered: &Unanswered| !unanswered.is_aside() && now < unanswered.since + patience;
        if subscription.unanswered.as_ref().is_some_and(waits) || !subscription.is_loaded() {
            return None;
        }
        if !subscription.kind.full_state() {
            // That endpoints are gone is not told while a cluster may use them that a client on
            // streams of single types has just begun to warm.
            let in_use = self.pass.as_ref().filter(|pass| pass.keeps() != pass.upto);
            let under_way = |owner| in_use.is_some_and(|pass| pass.is_about(owner));
            let saying = subscription.say_some(state, seq, under_way);
            if self.pass.is_none() {
                subscription.told = Bits::default();
            }
            let mut saying = saying?;
            subscription.doubtful |= subscription.awaits_answer();
            saying.digest = self.hash_of(state, at, seq, saying.digest);
            return Some(saying);
        }
        if !subscription.wildcard && subscription.names.is_empty() {
            subscription.due = None;
            return None;
        }
        let keep = keep.filter(|_| subscription.kind == Kind::Cluster);
        let whole = subscription.whole(state, seq, keep);
        let due = subscription.due.take();
        // What was said last, be it answered or not, is no news.
        let said = subscription.unanswered.as_ref().map(|unanswered| unanswered.digest);
        let news = said.or(subscription.digest) != Some(whole.digest);
        if due != Some(Due::Anyway) && subscription.trial.is_none() && !news {
            return None;
        }
        let seq = subscription.trial.as_ref().map_or(seq, |trial| trial.seq);
        let (digest, resources) = (whole.digest, whole.resources);
        let saying = Saying { digest, resources, seq, ..Saying::default() };
        if subscription.kind == Kind::Cluster {
            self.owe_endpoints(state, at, seq, now);
        }
        Some(saying)
    }

    /// A client keeps a changed cluster warming until its endpoints come: they are sent in the
    /// same flush, even if unchanged.
    fn owe_endpoints(&mut self, state: &State, at: usize, seq: u64, now: Instant) {
        let clusters = &self.subscriptions[at];
        let new = clusters.suspects(state, &state.view(clusters.table, seq));
        let lane = clusters.lane;
        let names: Vec<_> =
            new.into_iter().map(|slot| state.table(clusters.table).slot(slot)).collect();
        // As of the pass: what has changed since may have taken them away again.
        let tables = (0..).zip(state.tables()).filter(|(_, it)| it.kind == Kind::Endpoint);
        for (table, _) in tables {
            let view = state.view(table, seq);
            let same = names.iter().filter_map(|cluster| state.find(table, &cluster.name));
            self.warming.sent(lane, same.filter(|key| view.of(key.slot).is_some()), now);
        }
        for endpoints in self.subscriptions.iter_mut().filter(|s| s.kind == Kind::Endpoint) {
            for cluster in &names {
                let same = state.find(endpoints.table, &cluster.name);
                let same = same.filter(|key| endpoints.names.contains(key.slot));
                same.into_iter().for_each(|key| _ = endpoints.asked.insert(key.slot));
            }
        }
    }

    pub(super) fn post(
        &mut self,
        state: &State,
        at: usize,
        saying: Saying,
        now: Instant,
    ) -> (Lane, StateResponse) {
        self.last_nonce += 1;
        if let Some(pass) = &mut self.pass {
            pass.since = now;
        }
        let subscription = &mut self.subscriptions[at];
        let table = state.table(subscription.table);
        subscription.nonce = self.last_nonce;
        subscription.unanswered = Some(Unanswered {
            since: now,
            seq: saying.seq,
            digest: saying.digest,
            parcels: saying.parcels,
            is_restated: saying.is_restated,
        });
        metrics::responded(table.url.as_str(), saying.resources.len());
        let head = StateHead {
            version: table.version_of(saying.digest).to_string(),
            type_url: table.url.as_str().to_owned(),
            nonce: format!("{:x}", self.last_nonce),
            errors: subscription.absences(state),
        };
        (subscription.lane, StateResponse { head, resources: saying.resources })
    }
}

impl Subscription {
    /// Why names that were named are names of nothing, of a type whose responses are whole. (Of
    /// others a client is given something blank, or waits.)
    fn absences(&self, state: &State) -> Vec<ResourceError> {
        if !self.kind.full_state() {
            return Vec::new();
        }
        let keys = self.names.iter().map(|slot| Key { table: self.table, slot });
        let absent = keys.filter(|key| state.slot(*key).content.is_none());
        absent.take(RESOURCES_MAX).map(|key| state.absence(key)).collect()
    }

    /// What is to be said of a type that is not full state, as much as fits, with the digest of
    /// that alone.
    fn say_some(
        &mut self,
        state: &State,
        seq: u64,
        under_way: impl Fn(OwnerId) -> bool,
    ) -> Option<Saying> {
        let table = state.table(self.table);
        let mut contents: Vec<Content> = Vec::new();
        let mut parcels = Vec::new();
        let mut bytes = 0;
        if let Some(parcel) = self.next_alone(state) {
            let content = state.slot(parcel.key).content.clone();
            contents.extend(content);
            parcels.push(parcel);
        } else {
            // What is newer than the pass belongs to the next, and may name what comes with it.
            let view = state.view(self.table, seq);
            for slot in self.asked.iter().chain(self.moved.iter()).collect::<Vec<_>>() {
                if contents.len() >= RESOURCES_MAX || bytes >= BYTES_MAX {
                    break;
                }
                let gone = self.kind == Kind::Endpoint && view.of(slot).is_none();
                if gone && under_way(table.slot(slot).owner) {
                    continue;
                }
                let asked = self.asked.remove(slot);
                if !self.moved.remove(slot) && !asked {
                    continue;
                }
                let key = Key { table: self.table, slot };
                self.told.insert(slot);
                match view.of(slot) {
                    _ if !self.wants(slot) => {}
                    Some(content) => {
                        bytes += content.any().len();
                        contents.push(content.clone());
                        let owner = table.slot(slot).owner;
                        parcels.push(Parcel { key, changed: content.changed, owner });
                    }
                    None => {
                        let name = &table.slot(slot).name;
                        contents.extend(blank(self.kind, table.url.as_str(), name));
                    }
                }
            }
        }
        let greet = self.due.take().is_some();
        if contents.is_empty() && !greet {
            return None;
        }
        let resources = any_fields(contents.iter());
        let digest = contents.iter().fold(0_u64, |sum, content| sum.wrapping_add(content.mark));
        Some(Saying { digest, resources, seq, parcels, is_restated: false })
    }

    /// The next resource to send again alone, if it is still what it was.
    fn next_alone(&mut self, state: &State) -> Option<Parcel> {
        while let Some(parcel) = self.alone.pop_front() {
            let slot = state.slot(parcel.key);
            if slot.changed == parcel.changed
                && slot.content.is_some()
                && self.wants(parcel.key.slot)
            {
                return Some(parcel);
            }
        }
        None
    }
}
