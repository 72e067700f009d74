//! A tenant's change on its way through the canaries: put before them, proven or refused there,
//! and only then given to all.
//!
//! *Invariant:* both caches of a group stand at the same sequence number, and hold the same but for
//! what is under trial.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use model::{Resource, TypeUrl, type_urls};
use tokio::time::Instant;
use xds::{Cache, Change, Owner, StreamId};

use crate::canary::{BROKE_MAX, GROUP_MIN, PATIENCE, TRIES_MAX, Trial};
use crate::diff::Diff;
use crate::group::{Group, Outcome, Refusal, Stream};
use crate::metrics;

impl Group {
    /// What a proxy is served from.
    pub(crate) fn assign(&mut self, id: &str) -> Arc<Cache> {
        let is_here = self.streams.values().any(|stream| stream.early && stream.id() == id);
        self.canaries.assign(id, is_here).unwrap_or_else(|| self.cache.clone())
    }

    /// The caches of this group.
    pub(crate) fn caches(&self) -> impl Iterator<Item = &Arc<Cache>> {
        [Some(&self.cache), self.canaries.cache.as_ref()].into_iter().flatten()
    }

    /// Whether this proxy is a canary.
    pub(crate) fn is_canary(&self, stream: &Stream) -> bool {
        stream.early && self.canaries.counts(stream.id())
    }

    /// Whether new specs wait for canaries here.
    pub(crate) fn has_canaries(&self) -> bool {
        self.canaries.take_first(self.ready())
    }

    /// Whether a change is tried before it is given to all. What only goes, or says where
    /// upstreams answer, is not; unless more than that is on trial already.
    pub(super) fn is_for_trial(&self, owner: &Owner, diff: &Diff) -> bool {
        let is_endpoint = |url: &TypeUrl| url.as_str() == type_urls::ENDPOINT;
        let is_more = diff.set.iter().any(|resource| !is_endpoint(&resource.type_url));
        self.has_canaries() && (is_more || self.canaries.tries(owner))
    }

    /// Brings a change to the proxies: to canaries only, or to all. Returns its sequence number. What is
    /// `renewed` has other versions since, and is not sent.
    pub(super) fn carry(&mut self, change: Change, renewed: &[Resource], is_trial: bool) -> u64 {
        let owner = change.owner.clone();
        let trial = self.canaries.trials.remove(&owner);
        let Some(early) = &self.canaries.cache else {
            self.cache.renew(&owner, renewed);
            return self.cache.apply(vec![change]);
        };
        early.renew(&owner, renewed);
        let mut gone = trial.as_ref().map(|trial| trial.gone.clone()).unwrap_or_default();
        gone.extend(change.remove.iter().cloned());
        let seq = early.apply(vec![change]);
        if !is_trial {
            self.cache.follow(early, &owner, &gone);
            return seq;
        }
        self.cache.pass();
        // A newer change of an owner has no more time than the one in whose place it comes.
        let trial = trial.filter(|trial| !trial.is_condemned);
        let trial = trial.unwrap_or_else(|| Trial::new(Instant::now()));
        self.canaries
            .trials
            .insert(owner, Trial { gone, broke: BTreeSet::new(), left: 0, ..trial });
        seq
    }

    /// Gives what an owner has other versions, and sends nothing. What is on trial has them from canaries on.
    pub(super) fn renew(&self, owner: &Owner, renewed: &[Resource], is_trial: bool) {
        if let Some(early) = &self.canaries.cache {
            early.renew(owner, renewed);
        }
        if !(is_trial && self.canaries.tries(owner)) {
            self.cache.renew(owner, renewed);
        }
    }

    /// Canaries whose acknowledgement is waited for.
    pub(super) fn awaited_first(&self) -> HashSet<StreamId> {
        let streams = self.streams.iter();
        streams.filter(|(_, s)| s.ready && self.is_canary(s)).map(|(id, _)| *id).collect()
    }

    /// What canaries have of an owner goes to all. `is_proven`: a canary has taken it.
    pub(super) fn pass(&mut self, owner: &Owner, is_proven: bool) -> Vec<Outcome> {
        let Some(trial) = self.canaries.trials.remove(owner) else { return Vec::new() };
        let Some(early) = &self.canaries.cache else { return Vec::new() };
        metrics::trial(if is_proven { "proven" } else { "unproven" }, trial.begun.elapsed());
        self.cache.follow(early, owner, &trial.gone);
        // Canaries say once more that they have it.
        let confirm = Change { owner: owner.clone(), set: Vec::new(), remove: Vec::new() };
        let seq = early.apply(vec![confirm]);
        let mut outcomes = vec![Outcome::Passed(owner.clone())];
        if is_proven {
            outcomes.extend(self.expose(owner));
        }
        self.acquit(owner);
        self.flights.depart(owner, seq, self.awaited(false), false);
        outcomes
    }

    /// Who alone refused what a canary took was wrong, and maybe before.
    fn expose(&mut self, owner: &Owner) -> Vec<Outcome> {
        let now = Instant::now();
        let wrong: Vec<String> = self.early_refusals(owner).into_keys().collect();
        let mut outcomes = Vec::new();
        for id in wrong {
            tracing::error!(proxy = id, %owner, "a canary refuses what another took; it is none now");
            outcomes.extend(self.canaries.ban(&id, now).into_iter().map(Outcome::Wronged));
        }
        outcomes
    }

    /// What proxies that are served early say against an owner, by `node.id`.
    fn early_refusals(&self, owner: &Owner) -> BTreeMap<String, &Refusal> {
        let refusals = self.refusals_of(owner).into_iter().flatten();
        let early = refusals.filter_map(|(id, refusal)| {
            let stream = self.streams.get(id).filter(|s| s.early && s.ready)?;
            let is_heard = !self.canaries.is_banned(stream.id(), Instant::now());
            is_heard.then(|| (stream.id().to_owned(), refusal))
        });
        early.collect()
    }

    /// Judges what is on trial: a canary's word is enough, unless it convicted somebody else
    /// lately; then another one is heard.
    pub(super) fn judge_trial(&mut self, owner: &Owner) -> Option<Outcome> {
        let now = Instant::now();
        let against = self.early_refusals(owner);
        let refusal = (*against.values().next()?).clone();
        let ids: Vec<String> = against.into_keys().collect();
        let mut counting = ids.iter().filter(|id| self.canaries.counts(id));
        let alone = match (counting.next().cloned(), ids.len()) {
            (None, ..=1) => return None,
            (Some(id), 1) => Some(id),
            _ => None,
        };
        if let Some(id) = alone {
            if self.canaries.is_doubted(&id, owner, now) {
                tracing::warn!(proxy = id, %owner, "another canary is heard");
                self.dismiss(&id);
                // At once: what changes while there is no canary goes to all.
                self.appoint(now);
                return None;
            }
            self.canaries.remember(&id, owner, now);
        }
        Some(self.condemn(owner, refusal))
    }

    fn condemn(&mut self, owner: &Owner, refusal: Refusal) -> Outcome {
        if let Some(trial) = self.canaries.trials.get_mut(owner) {
            metrics::trial("refused", trial.begun.elapsed());
            trial.is_condemned = true;
        }
        self.acquit(owner);
        Outcome::Refused(owner.clone(), refusal)
    }

    /// A canary counts no more: what is on trial waits for others.
    fn dismiss(&mut self, id: &str) {
        self.canaries.retire(id);
        let streams = self.streams.iter().filter(|(_, stream)| stream.id() == id);
        for stream in streams.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.flights.dismiss(stream);
        }
    }

    /// A stream has ended. A change that two canaries broke off under, and no others meanwhile, is
    /// at fault: nobody else is given it.
    pub(super) fn broke_off(&mut self, id: StreamId, stream: &Stream) -> Vec<Outcome> {
        if !self.is_canary(stream) {
            self.canaries.another_left(stream.id());
            return Vec::new();
        }
        let flights = &self.flights;
        let is_waiting = |owner: &Owner| flights.of(owner).is_some_and(|it| it.waits_for(id));
        let mut broke = Vec::new();
        for (owner, trial) in &mut self.canaries.trials {
            if is_waiting(owner) && trial.broke.insert(stream.id().to_owned()) {
                broke.extend(trial.is_deadly().then(|| owner.clone()));
            }
        }
        broke.iter().filter_map(|owner| self.condemn_broken(owner)).collect()
    }

    fn condemn_broken(&mut self, owner: &Owner) -> Option<Outcome> {
        let (now, _) = self.held_of(owner)?;
        let newest = now.iter().max_by_key(|kept| kept.seq)?;
        let refusal = Refusal {
            type_url: newest.resource.type_url.clone(),
            name: newest.resource.name.clone(),
            message: format!("{BROKE_MAX} proxies that were to try it broke off"),
        };
        Some(self.condemn(owner, refusal))
    }

    /// Looks after the canaries: who is none any more, who becomes one, and what has waited long
    /// enough.
    pub(crate) fn keep_canaries(&mut self) -> Vec<Outcome> {
        if !self.open || (self.canaries.wanted == 0 && self.canaries.cache.is_none()) {
            return Vec::new();
        }
        let now = Instant::now();
        self.note_absent(now);
        self.replace_unfit(now);
        self.appoint(now);
        let mut outcomes = self.end_trials(now);
        let landed = self.flights.landed();
        outcomes.extend(self.landed(landed));
        self.send_home();
        outcomes
    }

    fn note_absent(&mut self, now: Instant) {
        let early = self.streams.values().filter(|stream| stream.early);
        let here: HashSet<&str> = early.map(Stream::id).collect();
        let is_idle = self.canaries.trials.is_empty();
        self.canaries.members.retain(|id, member| {
            let is_here = here.contains(id.as_str());
            member.away_since = if is_here { None } else { member.away_since.or(Some(now)) };
            // Whoever has gone for good cannot have what others have not.
            member.counts || is_here || !is_idle || member.may_come(now)
        });
    }

    /// A canary that is away too long, or refuses what others took, is none.
    fn replace_unfit(&mut self, now: Instant) {
        // To look for the next one takes a look at all: not while nobody is away.
        let is_any_away = self.canaries.members.values().any(|member| member.away_since.is_some());
        let has_next = is_any_away && self.next(now).is_some();
        let refuses = |id: &str| {
            let mut streams = self.streams.values().filter(|s| s.early && s.id() == id);
            streams.any(|s| s.refuses.iter().any(|owner| !self.canaries.tries(owner)))
        };
        let members = self.canaries.members.iter().filter(|(_, member)| member.counts);
        let unfit = members.filter(|(id, it)| it.is_lost(has_next, now) || refuses(id));
        for id in unfit.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            tracing::warn!(proxy = id, "a canary is away or refuses what others take");
            self.dismiss(&id);
        }
    }

    fn appoint(&mut self, now: Instant) {
        while self.canaries.counting() < self.canaries.wanted {
            let Some(id) = self.next(now) else { return };
            tracing::info!(proxy = id, group = self.node.cluster, "a canary");
            self.canaries.cache.get_or_insert_with(|| Arc::new(self.cache.fork()));
            self.canaries.appoint(&id);
            let streams = self.streams.iter().filter(|(_, stream)| stream.id() == id);
            self.cache.recall(streams.map(|(id, _)| *id));
        }
    }

    /// Who becomes a canary next, in a group that is large enough, or has a change on trial.
    fn next(&self, now: Instant) -> Option<String> {
        let enough = if self.canaries.trials.is_empty() { GROUP_MIN } else { 1 };
        if self.ready() >= enough { self.candidate(now) } else { None }
    }

    /// Who of the group is fit for it: a proxy that has what it should have.
    fn candidate(&self, now: Instant) -> Option<String> {
        let lacking = self.flights.lacking();
        let is_silent = |id: &StreamId| {
            let since = lacking.get(id).and_then(|lack| lack.since);
            since.is_some_and(|since| now.duration_since(since) >= PATIENCE)
        };
        let is_fit = |id: &StreamId, stream: &Stream| {
            stream.ready && !stream.early && stream.refuses.is_empty() && !is_silent(id)
        };
        let fit = self.streams.iter().filter(|(id, stream)| is_fit(id, stream));
        let turns = fit.filter_map(|(_, s)| Some((self.canaries.turn(&s.node, now)?, s.id())));
        turns.min().map(|(_, id)| id.to_owned())
    }

    /// Canaries that had their time for a change and said nothing count no more; the change waits
    /// for the next one, or goes to all.
    fn end_trials(&mut self, now: Instant) -> Vec<Outcome> {
        let trials = self.canaries.trials.iter();
        let over = trials.filter(|(_, trial)| trial.is_over(now)).map(|(owner, _)| owner.clone());
        let over: Vec<Owner> = over.collect();
        for id in self.silent(&over, now) {
            tracing::warn!(proxy = id, "a canary does not answer");
            self.dismiss(&id);
        }
        self.appoint(now);
        let has_canary = self.canaries.counting() > 0;
        let mut outcomes = Vec::new();
        for owner in over {
            let Some(trial) = self.canaries.trials.get_mut(&owner) else { continue };
            (trial.tries, trial.since) = (trial.tries + 1, now);
            if trial.broke.len() >= BROKE_MAX {
                outcomes.extend(self.condemn_broken(&owner));
            } else if !has_canary || trial.tries >= TRIES_MAX {
                tracing::warn!(%owner, "no canary answers; the change goes to all");
                outcomes.extend(self.pass(&owner, false));
            }
        }
        outcomes
    }

    /// Canaries that have had time enough for one of these changes.
    fn silent(&self, over: &[Owner], now: Instant) -> Vec<String> {
        let canaries = self.streams.iter().filter(|(_, stream)| self.is_canary(stream));
        let lacks = |id: StreamId| {
            let mut flights = over.iter().filter_map(|owner| self.flights.of(owner));
            flights.any(|flight| flight.waits_for(id))
        };
        let silent = canaries.filter(|(id, stream)| {
            let is_new = now.duration_since(stream.opened) < PATIENCE;
            if stream.ready { lacks(**id) } else { !over.is_empty() && !is_new }
        });
        silent.map(|(_, stream)| stream.id().to_owned()).collect()
    }

    /// Proxies that are canaries no more are served with all the others again, once nobody is
    /// ahead of anybody.
    fn send_home(&mut self) {
        let Some(early) = self.canaries.cache.as_ref().filter(|_| self.canaries.trials.is_empty())
        else {
            return;
        };
        let is_done = |id: StreamId, stream: &Stream| {
            let has_all = stream.ready && self.flights.lacked_by(id).changes == 0;
            stream.early && !self.canaries.counts(stream.id()) && has_all
        };
        let done = self.streams.iter().filter(|(id, stream)| is_done(**id, stream));
        let (done, ids): (Vec<StreamId>, Vec<&str>) = done.map(|(id, it)| (*id, it.id())).unzip();
        // Should a change be on trial before they are there, they wait there until it is not.
        ids.iter().for_each(|id| _ = self.canaries.members.remove(*id));
        if !done.is_empty() {
            early.recall(done);
        }
    }
}
