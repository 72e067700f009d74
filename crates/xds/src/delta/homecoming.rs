//! A client that comes back says, type by type, what it has, while the cache goes on.
//!
//! What it lacks is worked out as of one moment: when it has said all. Until then it is told nothing,
//! and the log is not read for it. From then on it is in *arrears* with the owners of what it lacks, and
//! is told of some of them at a time, in rounds as any other: a client that missed a change of everything
//! costs no more than others. Of what it has and nobody knows whose it was, scopes go first, and the
//! rest last, when it has all that came: something that is not changed yet may need it.

use std::collections::HashSet;

use tokio::time::Instant;

use super::Delta;
use super::round::{Due, EVERYTHING, Farewell, Fate, Round, RoundId, SHARES_MAX, Share};
use crate::bits::Bits;
use crate::cache::{Key, OwnerId, State};
use crate::expect::Interest;
use crate::kind::{Kind, Step};
use crate::lane::Lane;

/// What a client lacks of one type that it is subscribed to.
#[derive(Debug, Clone)]
pub(super) struct Lacking {
    lane: Lane,
    table: u16,
    /// When it was worked out: what changed later it lacks, too.
    at: u64,
    /// What it had not, or had otherwise, then.
    places: Bits,
}

/// A client is saying what it has.
#[derive(Debug)]
pub(super) struct Homecoming {
    until: Instant,
    lacking: Vec<Lacking>,
    /// What it has and should not.
    gone: Vec<Farewell>,
}

/// What a client lacks that has come back, and is not told of yet.
#[derive(Debug)]
pub(super) struct Arrears {
    lacking: Vec<Lacking>,
    /// Whose it is, in order.
    owners: Vec<OwnerId>,
    /// Up to here the log was read when this was worked out, and is kept.
    pub(super) since: u64,
}

/// What goes last.
#[derive(Debug, Default)]
pub(super) struct Parting {
    /// Of whom the client does not have yet what it lacked.
    after: HashSet<OwnerId>,
    round: RoundId,
    /// What it lacked, as far as it may still be; it may be another's by now.
    lacking: Vec<Lacking>,
    gone: Vec<Farewell>,
}

impl Lacking {
    pub(super) fn new((lane, table): (Lane, u16), at: u64, places: Bits) -> Self {
        Self { lane, table, at, places }
    }
}

/// Of whom a client lacks something.
fn owners(state: &State, lacking: &[Lacking]) -> HashSet<OwnerId> {
    let key = |of: &Lacking, slot| Key { table: of.table, slot };
    let slots =
        lacking.iter().flat_map(|of| of.places.iter().map(move |slot| state.slot(key(of, slot))));
    slots.filter(|slot| slot.content.is_some()).map(|slot| slot.owner).collect()
}

/// Whether a client lacks, on a lane, what changed at `changed` and goes in `step`.
pub(super) fn lacks(
    lacking: &[Lacking],
    share: &Share,
    step: Step,
    due: Due,
    changed: u64,
) -> bool {
    let of_type = |it: &&Lacking| (it.lane, it.table) == (due.lane, due.key.table);
    match lacking.iter().find(of_type) {
        Some(of) => of.places.contains(due.key.slot) || changed > of.at,
        None => share.lacks(changed, step),
    }
}

impl Delta {
    /// Whether a first request now is one of those of a client that comes back.
    pub(super) fn is_coming_home(&self) -> bool {
        self.homecoming.is_some()
    }

    /// The client has said what it has of a type.
    pub(super) fn said(&mut self, lacking: Lacking, gone: Vec<Farewell>, now: Instant) {
        let until = now + self.limits.gather;
        let new = || Homecoming { until, lacking: Vec::new(), gone: Vec::new() };
        let home = self.homecoming.get_or_insert_with(new);
        home.until = until;
        home.lacking.push(lacking);
        home.gone.extend(gone);
    }

    /// A client that comes back is not at the end: a long word waits for its turn, or comes.
    pub(super) fn says_more(&mut self, now: Instant) {
        let gather = self.limits.gather;
        self.homecoming.iter_mut().for_each(|home| home.until = home.until.max(now + gather));
    }

    /// The client has no more to say.
    pub(super) fn said_all(&mut self, now: Instant) {
        self.homecoming.iter_mut().for_each(|home| home.until = now);
    }

    pub(super) fn homecoming_ends(&self) -> Option<Instant> {
        self.homecoming.as_ref().map(|home| home.until)
    }

    /// Whether the client has spoken of each type that there is or was something of and that has an order.
    fn has_said_all(&self, state: &State) -> bool {
        let mut tables = (0..).zip(state.tables());
        tables.all(|(at, table)| {
            let is_free = match table.kind {
                Kind::Named | Kind::Other => true,
                Kind::Route => self.cache.options().on_demand,
                _ => false,
            };
            is_free || table.changed == 0 || self.wants_of(at).is_some()
        })
    }

    /// When the client has said all, begins what it lacks.
    pub(super) fn come_home(&mut self, state: &State, now: Instant) {
        let is_over = self.homecoming.as_ref().is_some_and(|home| home.until <= now)
            || (self.homecoming.is_some() && self.has_said_all(state));
        let Some(home) = self.homecoming.take_if(|_| is_over) else { return };
        let (scopes, gone): (Vec<_>, Vec<_>) =
            home.gone.into_iter().partition(|farewell| farewell.step == Step::ScopesGone);
        if !scopes.is_empty() {
            self.begin_farewells(scopes, now);
        }
        let is_last = !gone.is_empty() || self.parting.is_some();
        let lacking = if is_last { home.lacking.clone() } else { Vec::new() };
        let after = self.fall_behind(state, home.lacking);
        // What was to go last may be used by what was said now.
        if is_last {
            let parting = self.parting.get_or_insert_default();
            parting.round = self.last_round;
            parting.lacking.extend(lacking);
            parting.after.extend(after);
            parting.gone.extend(gone);
        }
    }

    pub(super) fn begin_farewells(&mut self, farewells: Vec<Farewell>, now: Instant) {
        self.last_round += 1;
        let round = Round { farewells, since: Some(now), ..Round::default() };
        self.rounds.insert(self.last_round, Box::new(round));
    }

    /// The client is in arrears with the owners of what it is lacking, and of what has changed since it
    /// came, but for those of whom something is on its way: their turn comes after that. All of them,
    /// since what goes with it may be used.
    fn fall_behind(&mut self, state: &State, lacking: Vec<Lacking>) -> HashSet<OwnerId> {
        let (mut after, mut behind) = (owners(state, &lacking), Vec::new());
        let since = self.cursor;
        while self.cursor < state.seq() {
            self.cursor += 1;
            let owner = state.logged(self.cursor);
            behind.extend(owner.filter(|owner| !self.is_claimed(*owner)));
        }
        for owner in after.iter().copied() {
            let Some(busy) = self.busy.get_mut(&owner) else {
                behind.push(owner);
                continue;
            };
            busy.next = Some(EVERYTHING);
            let under_way = busy.round;
            // What it has not sent yet may lean on what is lacking.
            self.doom(state, under_way, owner, Fate::Superseded);
        }
        after.extend(self.busy.keys().chain(&behind));
        if !behind.is_empty() {
            let new = || Arrears { lacking: Vec::new(), owners: Vec::new(), since };
            let arrears = self.arrears.get_or_insert_with(new);
            arrears.lacking.extend(lacking);
            arrears.owners.extend(behind);
            arrears.owners.sort_unstable();
            arrears.owners.dedup();
        }
        after
    }

    /// Whether the client is in arrears with an owner: whatever changes is told with the rest.
    pub(super) fn is_behind(&self, owner: OwnerId) -> bool {
        let owners = self.arrears.iter().map(|arrears| &arrears.owners);
        owners.into_iter().any(|owners| owners.binary_search(&owner).is_ok())
    }

    /// Begins rounds for owners that the client is in arrears with, as many as there is room for.
    pub(super) fn catch_up(&mut self, state: &State, now: Instant) {
        while let room @ 1.. = self.room().min(SHARES_MAX)
            && let Some(mut arrears) = self.arrears.take()
        {
            let id = self.last_round + 1;
            let some = arrears.owners.split_off(arrears.owners.len().saturating_sub(room));
            let whole =
                |owner| Share { is_whole: true, ..self.share(state, owner, arrears.since, id) };
            let shares = some.into_iter().map(whole).collect();
            let mut round = self.plan(state, id, shares, &arrears.lacking);
            round.fresh = false;
            round.since = Some(now);
            self.rounds.insert(id, Box::new(round));
            self.last_round = id;
            self.arrears = Some(arrears).filter(|arrears| !arrears.owners.is_empty());
        }
    }

    /// The client has what it lacked of an owner.
    pub(super) fn has_come(&mut self, owner: OwnerId) {
        self.parting.iter_mut().for_each(|parting| _ = parting.after.remove(&owner));
    }

    /// What should have gone first has come again, and leans on what the client has: nothing of its
    /// owner goes before the change that brought it.
    pub(super) fn is_back(&mut self, state: &State, owner: OwnerId) {
        let busy = self.busy.get(&owner).map(|busy| busy.round);
        if let Some(id) = busy {
            self.doom(state, id, owner, Fate::Superseded);
        }
        if let Some(parting) = &mut self.parting {
            parting.after.insert(owner);
        }
    }

    /// What goes last goes when all has come.
    pub(super) fn part(&mut self, state: &State, now: Instant) {
        let is_time = self.parting.as_ref().is_some_and(|parting| {
            !self.is_broken(now)
                && self.arrears.is_none()
                && parting.after.is_empty()
                && self.rounds.range(..=parting.round).all(|(_, it)| it.is_sent())
        });
        let Some(mut parting) = self.parting.take_if(|_| is_time) else { return };
        for of in &mut parting.lacking {
            let key = |slot| Key { table: of.table, slot };
            let places = of.places.iter();
            let told: Vec<u32> = places.filter(|at| !self.is_untold(state, key(*at))).collect();
            told.into_iter().for_each(|at| _ = of.places.remove(at));
        }
        match parting.lacking.iter().all(|of| of.places.is_empty()) {
            true => self.begin_farewells(parting.gone, now),
            false => self.parting = Some(parting),
        }
    }

    /// A lane has ended: on it nothing is lacking and nothing goes.
    pub(super) fn forget_home(&mut self, lane: Lane) {
        if let Some(home) = &mut self.homecoming {
            home.lacking.retain(|of| of.lane != lane);
            home.gone.retain(|farewell| farewell.lane != lane);
        }
        if let Some(arrears) = &mut self.arrears {
            arrears.lacking.retain(|of| of.lane != lane);
        }
        if let Some(parting) = &mut self.parting {
            parting.gone.retain(|farewell| farewell.lane != lane);
            parting.lacking.retain(|of| of.lane != lane);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use model::type_urls::{CLUSTER, ENDPOINT, LISTENER, ROUTE};
    use model::{Resource, TypeUrl, Version};

    use super::*;
    use crate::cache::{Cache, Change};
    use crate::event::{Event, StreamId};
    use crate::limits::Limits;
    use crate::many::Many;
    use crate::stream::Talk;
    use crate::wire::DeltaRequest;

    fn resource(type_url: &str) -> Resource {
        let version = Version { epoch: 1, revision: 1, hash: Version::hash_of(b"new") };
        Resource {
            type_url: TypeUrl::new(type_url),
            name: "a".into(),
            version,
            body: b"new".to_vec().into(),
        }
    }

    /// A stream of a cache that has something.
    fn beginning() -> (Delta, Limits, Instant) {
        let cache = Arc::new(Cache::default());
        cache.open();
        let set = vec![resource(CLUSTER), resource(ROUTE)];
        cache.apply(vec![Change { owner: "a".into(), set, remove: Vec::new() }]);
        let (limits, now) = (Limits::default(), Instant::now());
        (Delta::new(StreamId(1), cache, limits, now), limits, now)
    }

    #[test]
    fn a_client_that_comes_back_is_told_why_what_it_names_is_gone() {
        let (mut delta, limits, now) = beginning();
        let request = DeltaRequest {
            type_url: ENDPOINT.to_owned(),
            subscribe: [b"gone"].into_iter().collect(),
            initial_versions: Many::of_entries([("gone", "old")].into_iter()),
            ..DeltaRequest::default()
        };
        delta.request(Lane::ONLY, request, now).expect("it is heard");
        let (_, told) = delta.respond(now + limits.gather).expect("it goes on").expect("a word");
        assert_eq!((told.removed, told.errors.len()), (vec!["gone".to_owned()], 1));
    }

    #[test]
    fn a_client_in_the_middle_of_a_long_word_is_not_believed_to_want_no_more() {
        let (mut delta, limits, mut now) = beginning();
        let request = |type_url: &str, response_nonce: String| DeltaRequest {
            type_url: type_url.to_owned(),
            response_nonce,
            ..DeltaRequest::default()
        };
        delta.request(Lane::ONLY, request(LISTENER, String::new()), now).expect("it is heard");
        let (_, none) = delta.respond(now).expect("it goes on").expect("there is none");
        delta.request(Lane::ONLY, request(LISTENER, none.nonce), now).expect("it is heard");
        let is_synced = |delta: &mut Delta, now| {
            assert!(delta.respond(now).expect("it goes on").is_none());
            delta.events().iter().any(|event| matches!(event, Event::Synced { .. }))
        };
        for _ in 0..5 {
            now += limits.patience * 2;
            delta.hears(now);
            assert!(!is_synced(&mut delta, now));
        }
        now += limits.patience;
        assert!(is_synced(&mut delta, now), "it has asked for nothing else for long");
    }

    #[test]
    fn a_client_in_the_middle_of_a_long_word_has_not_said_all() {
        let (mut delta, limits, mut now) = beginning();
        let initial_versions = Many::of_entries([("a", "old")].into_iter());
        let request = DeltaRequest {
            type_url: CLUSTER.to_owned(),
            initial_versions,
            ..DeltaRequest::default()
        };
        delta.request(Lane::ONLY, request, now).expect("it is heard");
        for _ in 0..5 {
            now += limits.gather / 2;
            delta.hears(now);
            assert!(delta.respond(now).expect("it goes on").is_none());
        }
        now += limits.gather + Duration::from_millis(1);
        assert!(delta.respond(now).expect("it goes on").is_some(), "it has said no more");
    }
}
