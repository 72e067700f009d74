//! One group of proxies: what it should have, by owner, and the proxies that are to have it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use model::{Millis, Node, Resource, TypeUrl, type_urls};
use tokio::time::Instant;
use xds::{Ahead, Cache, Change, Options, Owner, StreamId};

use crate::canary::Canaries;
use crate::claims::Claims;
use crate::diff::{Diff, Kept, Wish};
use crate::flights::Flights;
use crate::gate::{Series, series};
use crate::pollers::Pollers;
use crate::proxies;
use crate::verdict::{Verdict, Witness, judge};

/// A version's order, and the revision that an owner's claim on hostnames rests on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp {
    /// The store's epoch.
    pub(crate) epoch: u64,
    /// The owner's latest revision: what it is given never has a lower one.
    pub(crate) revision: u64,
    /// The revision that is served; lower than `revision` in quarantine.
    pub(crate) served: u64,
}

/// What a proxy said about a resource that it was sent alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) type_url: TypeUrl,
    pub(crate) name: Arc<str>,
    pub(crate) message: String,
}

/// What became of an owner's change.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Every ready proxy has it.
    Landed(Owner),
    /// Canaries have it; it is on its way to all.
    Passed(Owner),
    /// It was refused by a canary that is itself at fault.
    Wronged(Owner),
    /// The owner is at fault.
    Refused(Owner, Refusal),
}

impl Outcome {
    /// Whose change.
    pub(crate) fn owner(&self) -> &Owner {
        match self {
            Self::Landed(owner)
            | Self::Passed(owner)
            | Self::Wronged(owner)
            | Self::Refused(owner, _) => owner,
        }
    }
}

/// A connected proxy.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) node: Arc<Node>,
    /// It is served from the canaries' cache.
    pub(crate) early: bool,
    pub(crate) since: Millis,
    /// The same, as clocks of this process count.
    pub(crate) opened: Instant,
    /// It has acknowledged all that it was first given.
    pub(crate) ready: bool,
    /// Whose change it refuses, alone.
    pub(crate) refuses: BTreeSet<Owner>,
    /// What it came back with that is ahead of the store.
    pub(crate) ahead: Vec<Ahead>,
}

/// How a change goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Course {
    /// To canaries, and from there to all.
    Trial,
    /// To all.
    Change,
    /// To all, and nothing is left.
    Removal,
}

/// What one owner has in this group.
#[derive(Debug, Default)]
pub(crate) struct Held {
    pub(crate) resources: Vec<Kept>,
    /// What every proxy had before, while not every proxy has `resources`.
    pub(crate) before: Option<Vec<Kept>>,
}

/// More refusals than this are not asked about: their proxies are excused.
const APPEALS_MAX: usize = 64;

/// The proxies that get the same resources.
#[derive(Debug)]
pub(crate) struct Group {
    /// What its templates are rendered for.
    pub(crate) node: Node,
    pub(crate) cache: Arc<Cache>,
    /// Whether its proxies are answered.
    pub(crate) open: bool,
    /// Why its listeners are not what they should be.
    pub(crate) unmade: Option<String>,
    /// Whether a proxy of it was ever seen.
    pub(crate) is_known: bool,
    /// Since when it has had no proxy.
    pub(crate) alone_since: Instant,
    pub(crate) streams: BTreeMap<StreamId, Stream>,
    pub(crate) pollers: Pollers,
    pub(crate) flights: Flights,
    pub(crate) canaries: Canaries,
    pub(crate) held: HashMap<Owner, Held>,
    pub(crate) claims: Claims,
    /// Owners whose resources have landed, and are not kept yet.
    pub(crate) unkept: BTreeSet<Owner>,
    /// The highest revision of a scope that its owner has let go: whoever has that scope next may
    /// be rendered from an older one, and must not seem older.
    let_go: u64,
    refusals: BTreeMap<Owner, BTreeMap<StreamId, Refusal>>,
    /// The series of Envoy that can be asked whose fault a refusal is.
    pub(crate) hears: Arc<Series>,
    /// What is to be asked.
    pub(crate) appeals: Vec<(StreamId, Owner)>,
    ready: usize,
    /// How many streams of it have ended.
    pub(crate) ended: u64,
}

impl Group {
    /// A group without resources or proxies, not yet open. `on_demand`: its proxies ask for route
    /// configurations only when a request needs them.
    pub(crate) fn new(name: &str, on_demand: bool) -> Self {
        Self {
            node: Node { cluster: name.to_owned(), ..Node::default() },
            cache: Arc::new(Cache::new(Options { on_demand })),
            open: false,
            unmade: None,
            is_known: false,
            alone_since: Instant::now(),
            streams: BTreeMap::new(),
            pollers: Pollers::default(),
            flights: Flights::default(),
            canaries: Canaries::default(),
            held: HashMap::new(),
            claims: Claims::default(),
            unkept: BTreeSet::new(),
            let_go: 0,
            refusals: BTreeMap::new(),
            hears: Arc::default(),
            appeals: Vec::new(),
            ready: 0,
            ended: 0,
        }
    }

    /// Makes `wishes` what the owner has; returns whether anything changed.
    pub(crate) fn put(&mut self, owner: &Owner, stamp: Stamp, wishes: Vec<Wish>) -> bool {
        self.put_before(owner, stamp, wishes, false)
    }

    /// The same, once canaries have taken it.
    pub(crate) fn try_first(&mut self, owner: &Owner, stamp: Stamp, wishes: Vec<Wish>) -> bool {
        self.put_before(owner, stamp, wishes, true)
    }

    fn put_before(
        &mut self,
        owner: &Owner,
        stamp: Stamp,
        mut wishes: Vec<Wish>,
        canaries: bool,
    ) -> bool {
        for (loser, scope) in self.claims.admit(owner, stamp.served, &mut wishes) {
            self.take_scope(&loser, &scope);
        }
        wishes.iter_mut().filter(|wish| is_scope(&wish.type_url)).for_each(|wish| {
            wish.after = self.let_go;
        });
        let held = self.held.remove(owner).unwrap_or_default();
        let is_proven = self.flights.of(owner).is_none() && !held.resources.is_empty();
        let before = if is_proven { Some(held.resources.clone()) } else { held.before };
        let diff = Diff::between(held.resources, wishes, stamp.epoch, stamp.revision);
        let is_trial = canaries && self.is_for_trial(owner, &diff);
        if diff.is_empty() && (is_trial || !self.canaries.tries(owner)) {
            let before = if is_proven { None } else { before };
            self.renew(owner, &diff.renewed, is_trial);
            let is_renewed = !diff.renewed.is_empty();
            self.held.insert(owner.clone(), Held { resources: diff.unchanged, before });
            if is_renewed {
                self.mark(owner);
            }
            return false;
        }
        let course = if is_trial { Course::Trial } else { Course::Change };
        let resources = self.send(owner, diff, course);
        self.held.insert(owner.clone(), Held { resources, before });
        self.mark(owner);
        true
    }

    /// The scope is this owner's no longer, but another's.
    fn take_scope(&mut self, owner: &Owner, scope: &str) {
        let Some(held) = self.held.get_mut(owner) else { return };
        let is_it =
            |kept: &Kept| is_scope(&kept.resource.type_url) && &*kept.resource.name == scope;
        for taken in held.resources.extract_if(.., |kept| is_it(kept)) {
            self.let_go = self.let_go.max(taken.resource.version.revision);
        }
        self.mark(owner);
    }

    /// Takes away all that the owner has.
    pub(crate) fn remove(&mut self, owner: &Owner) {
        let Some(held) = self.held.remove(owner) else { return };
        let diff = Diff::between(held.resources, Vec::new(), 0, 0);
        if diff.is_empty() && !self.canaries.tries(owner) {
            self.flights.cancel(owner);
        } else {
            self.send(owner, diff, Course::Removal);
        }
        self.unkept.insert(owner.clone());
    }

    /// Takes away all that the owner has, and tells proxies that name it why.
    pub(crate) fn withdraw(&mut self, owner: &Owner, reason: &str) {
        self.cache.excuse(owner, reason);
        self.remove(owner);
    }

    /// All that its proxies should have.
    pub(crate) fn resources(&self) -> impl Iterator<Item = &Resource> {
        self.held.values().flat_map(|held| &held.resources).map(|kept| &kept.resource)
    }

    /// Gives the owner back what every proxy had before. `Err`: proxies may lack what it has now,
    /// and nothing is known of what they had.
    pub(crate) fn revert(&mut self, owner: &Owner, stamp: Stamp) -> Result<(), ()> {
        let before = self.held.get_mut(owner).and_then(|held| held.before.take());
        let Some(before) = before else {
            return if self.flights.of(owner).is_some() { Err(()) } else { Ok(()) };
        };
        self.put(owner, stamp, before.iter().map(Wish::from).collect());
        Ok(())
    }

    /// Whether a proxy of this group has taken what the owner has, and none is still to take it.
    pub(crate) fn has_proven(&self, owner: &str) -> bool {
        self.held.contains_key(owner) && self.flights.of(owner).is_none()
    }

    /// Whether proxies of this group are still to take what the owner has.
    pub(crate) fn is_proving(&self, owner: &str) -> bool {
        self.ready > 0 && self.flights.of(owner).is_some()
    }

    /// How many resources are held.
    pub(crate) fn len(&self) -> usize {
        self.held.values().map(|held| held.resources.len()).sum()
    }

    fn send(&mut self, owner: &Owner, diff: Diff, course: Course) -> Vec<Kept> {
        for gone in diff.remove.iter().filter(|gone| is_scope(&gone.type_url)) {
            self.claims.release(owner, &gone.name);
            self.let_go = self.let_go.max(gone.version.revision);
        }
        let Diff { unchanged, set, remove, renewed } = diff;
        let remove = remove.into_iter().map(|gone| (gone.type_url, gone.name)).collect();
        let change = Change { owner: owner.clone(), set: set.clone(), remove };
        let seq = self.carry(change, &renewed, course == Course::Trial);
        self.acquit(owner);
        match course {
            Course::Trial => self.flights.try_first(owner, seq, self.awaited_first()),
            Course::Change => self.flights.depart(owner, seq, self.awaited(false), false),
            Course::Removal => self.flights.depart(owner, seq, self.awaited(true), true),
        }
        let set = set.into_iter().map(|resource| Kept { resource, seq });
        unchanged.into_iter().chain(set).collect()
    }

    /// Proxies whose acknowledgement counts: those that refuse something alone hold nobody up,
    /// unless there are no others. What is removed, a proxy that is just being brought up to date
    /// may still have from earlier.
    pub(super) fn awaited(&self, is_removal: bool) -> HashSet<StreamId> {
        let counts = |stream: &Stream| stream.ready || is_removal;
        let awaited = || self.streams.iter().filter(|(_, stream)| counts(stream));
        let sound: HashSet<StreamId> =
            awaited().filter(|(_, s)| s.refuses.is_empty()).map(|(id, _)| *id).collect();
        if sound.is_empty() { awaited().map(|(id, _)| *id).collect() } else { sound }
    }

    /// A proxy's id, for people.
    pub(crate) fn proxy(&self, id: StreamId) -> &str {
        self.streams.get(&id).map_or("", Stream::id)
    }

    /// How many proxies are ready.
    pub(crate) fn ready(&self) -> usize {
        self.ready
    }

    /// How many resources of each type are held.
    pub(crate) fn count(&self) -> BTreeMap<String, usize> {
        let mut count = BTreeMap::new();
        for kept in self.held.values().flat_map(|held| &held.resources) {
            *count.entry(kept.resource.type_url.to_string()).or_default() += 1;
        }
        count
    }

    /// Whether an owner has anything.
    pub(crate) fn has(&self, owner: &str) -> bool {
        self.held.get(owner).is_some_and(|held| !held.resources.is_empty())
    }

    /// What an owner has, and what of that every proxy had before.
    pub(crate) fn held_of(&self, owner: &Owner) -> Option<(&[Kept], &[Kept])> {
        let held = self.held.get(owner)?;
        Some((&held.resources, held.before.as_deref().unwrap_or_default()))
    }

    /// What tells what an owner has from what it had before, and will have.
    pub(crate) fn marks(&self, owner: &Owner) -> Vec<u64> {
        let held = self.held_of(owner).map(|(now, _)| now).unwrap_or_default();
        held.iter().map(|kept| kept.seq).collect()
    }

    /// The version at which an owner has a resource.
    pub(crate) fn version(&self, owner: &Owner, type_url: &TypeUrl, name: &str) -> Option<String> {
        let (now, _) = self.held_of(owner)?;
        let is_it =
            |kept: &&Kept| kept.resource.type_url == *type_url && &*kept.resource.name == name;
        now.iter().find(is_it).map(|kept| kept.resource.version.to_string())
    }

    /// What a proxy refuses, and whose that is.
    pub(crate) fn refused_by(&self, stream: StreamId) -> impl Iterator<Item = (&Owner, &Refusal)> {
        self.refusals.iter().filter_map(move |(owner, by)| Some((owner, by.get(&stream)?)))
    }

    /// Ready proxies that lack something of up to this sequence number.
    pub(crate) fn lacking(&self, seq: u64) -> Vec<StreamId> {
        let waiting = self.flights.waiting_until(seq);
        let ready = self.streams.iter().filter(|(_, stream)| stream.ready);
        let lacks =
            |id: &StreamId, stream: &Stream| waiting.contains(id) || !stream.refuses.is_empty();
        ready.filter(|(id, stream)| lacks(id, stream)).map(|(id, _)| *id).collect()
    }

    /// What any proxy refuses, and whose it is.
    pub(crate) fn refused(&self) -> impl Iterator<Item = (&Owner, &Refusal)> {
        self.refusals.iter().filter_map(|(owner, by)| Some((owner, by.values().next()?)))
    }

    /// What proxies say against an owner.
    pub(super) fn refusals_of(&self, owner: &Owner) -> Option<&BTreeMap<StreamId, Refusal>> {
        self.refusals.get(owner)
    }

    /// A proxy has connected. `early`: it is served from the canaries' cache.
    pub(crate) fn opened(&mut self, id: StreamId, node: Arc<Node>, early: bool, since: Millis) {
        self.is_known = true;
        if early {
            self.canaries.came(&node.id);
        }
        let refuses = BTreeSet::new();
        let (opened, ahead) = (Instant::now(), Vec::new());
        self.streams
            .insert(id, Stream { node, early, since, opened, ready: false, refuses, ahead });
    }

    /// A proxy has everything up to `seq`.
    pub(crate) fn synced(&mut self, id: StreamId, seq: u64) -> Vec<Outcome> {
        let Some(stream) = self.streams.get_mut(&id) else { return Vec::new() };
        let is_first = !std::mem::replace(&mut stream.ready, true);
        self.ready += usize::from(is_first);
        let is_canary = stream.early && self.canaries.counts(&stream.node.id);
        let landed = self.flights.synced(id, seq, is_first, is_canary, &stream.refuses);
        let mut outcomes = self.landed(landed);
        if is_first {
            outcomes.extend(self.judge_all());
        }
        outcomes
    }

    /// A proxy has one owner's change.
    pub(crate) fn settled(&mut self, id: StreamId, owner: &Owner, seq: u64) -> Vec<Outcome> {
        let landed = self.flights.settled(id, owner, seq);
        self.landed(landed)
    }

    /// A proxy refuses a resource. Ignored when the owner has become something else meanwhile.
    pub(crate) fn rejected(
        &mut self,
        id: StreamId,
        owner: &Owner,
        seq: u64,
        refusal: Refusal,
    ) -> Vec<Outcome> {
        let is_current = self.held.get(owner).is_some_and(|held| held.has(&refusal, seq));
        let Some(stream) = self.streams.get_mut(&id).filter(|_| is_current) else {
            return Vec::new();
        };
        stream.refuses.insert(owner.clone());
        self.refusals.entry(owner.clone()).or_default().insert(id, refusal);
        // Judged before the proxy is excused: what landed is proven, and this has not landed.
        if let Some(refused) = self.judge(owner) {
            return vec![refused];
        }
        if self.canaries.tries(owner) {
            let landed = self.flights.excuse(id, owner);
            return self.landed(landed);
        }
        if self.may_appeal(id, owner) {
            self.appeals.push((id, owner.clone()));
            return Vec::new();
        }
        self.excuse(id, owner)
    }

    /// A proxy that refuses what others take is not waited for.
    fn excuse(&mut self, id: StreamId, owner: &Owner) -> Vec<Outcome> {
        let mut landed: Vec<Owner> = self.flights.excuse(id, owner).into_iter().collect();
        landed.extend(self.step_aside(id));
        self.landed(landed)
    }

    /// Whether an Envoy of the proxy's series can be asked who is right, while nothing is proven.
    fn may_appeal(&self, id: StreamId, owner: &Owner) -> bool {
        let version = self.streams.get(&id).map_or("", |stream| &stream.node.envoy_version);
        self.hears.contains(series(version))
            && self.flights.of(owner).is_some()
            && self.appeals.len() < APPEALS_MAX
    }

    /// An Envoy like the proxy's was asked about what the proxy refuses: it refuses it too, in these
    /// words, or it does not. Ignored when the owner has become something else meanwhile.
    pub(crate) fn heard(
        &mut self,
        id: StreamId,
        owner: &Owner,
        too: Option<String>,
    ) -> Vec<Outcome> {
        let Some(refusal) = self.refusals.get(owner).and_then(|by| by.get(&id)).cloned() else {
            return Vec::new();
        };
        match too {
            Some(message) => {
                self.acquit(owner);
                vec![Outcome::Refused(owner.clone(), Refusal { message, ..refusal })]
            }
            None => self.excuse(id, owner),
        }
    }

    /// A proxy that refuses something alone is not waited for, where another is.
    fn step_aside(&mut self, id: StreamId) -> Vec<Owner> {
        let others = self.streams.values().filter(|s| s.ready && s.refuses.is_empty());
        if others.count() == 0 { Vec::new() } else { self.flights.leave(id) }
    }

    /// A proxy is gone.
    pub(crate) fn closed(&mut self, id: StreamId) -> Vec<Outcome> {
        let Some(stream) = self.streams.remove(&id) else { return Vec::new() };
        self.ready -= usize::from(stream.ready);
        self.ended += 1;
        if self.streams.is_empty() {
            self.alone_since = Instant::now();
        }
        for refusals in self.refusals.values_mut() {
            refusals.remove(&id);
        }
        self.refusals.retain(|_, refusals| !refusals.is_empty());
        let mut outcomes = self.broke_off(id, &stream);
        let landed = self.flights.leave(id);
        outcomes.extend(self.landed(landed));
        outcomes.extend(self.judge_all());
        outcomes
    }

    pub(super) fn landed(&mut self, owners: impl IntoIterator<Item = Owner>) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        for owner in owners {
            if self.canaries.tries(&owner) {
                outcomes.extend(self.pass(&owner, true));
                continue;
            }
            if let Some(held) = self.held.get_mut(&owner) {
                held.before = None;
            }
            self.unkept.insert(owner.clone());
            outcomes.push(Outcome::Landed(owner));
        }
        outcomes
    }

    fn judge_all(&mut self) -> Vec<Outcome> {
        let owners: Vec<Owner> = self.refusals.keys().cloned().collect();
        owners.iter().filter_map(|owner| self.judge(owner)).collect()
    }

    fn judge(&mut self, owner: &Owner) -> Option<Outcome> {
        if self.canaries.tries(owner) {
            return self.judge_trial(owner);
        }
        let refusals = self.refusals.get(owner)?;
        let witnesses = proxies::witnesses(refusals.keys().filter_map(|id| self.streams.get(id)));
        let is_proven = self.flights.of(owner).is_none();
        let ready = proxies::count(self.streams.values().filter(|stream| stream.ready));
        let verdict = judge(&witnesses, ready, is_proven);
        let refusal = refusals.values().next()?.clone();
        if verdict == Verdict::Proxy {
            return None;
        }
        self.acquit(owner);
        Some(Outcome::Refused(owner.clone(), refusal))
    }

    /// What proxies have held against this owner's earlier change is over.
    pub(super) fn acquit(&mut self, owner: &Owner) {
        for id in self.refusals.remove(owner).unwrap_or_default().into_keys() {
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.refuses.remove(owner);
            }
        }
    }
}

impl Held {
    fn has(&self, refusal: &Refusal, seq: u64) -> bool {
        self.resources.iter().any(|Kept { resource, seq: at }| {
            *at <= seq && resource.name == refusal.name && resource.type_url == refusal.type_url
        })
    }
}

impl Stream {
    /// The proxy's id, for people.
    pub(crate) fn id(&self) -> &str {
        &self.node.id
    }

    pub(crate) fn witness(&self) -> Witness {
        Witness { ready: self.ready, other_refusals: self.refuses.len().saturating_sub(1) }
    }
}

fn is_scope(type_url: &TypeUrl) -> bool {
    type_url.as_str() == type_urls::SCOPED_ROUTE
}
