//! The state under random news, refusals and comings and goings of proxies, from seeds. Proxies are
//! served from the cache that they are assigned, canaries before others, and remember what they
//! were given.

use std::collections::{HashMap, HashSet};

use futures::FutureExt;

use super::trials::numbered;
use super::*;
use crate::DEFAULT_GROUP;
use crate::canary::TRIES_MAX;

/// A generator of numbers that are the same for a seed (xorshift).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}

const OWNERS: [&str; 4] = ["a", "b", "c", "d"];
const CALLERS: [&str; 3] = ["x", "y", "z"];
const HOSTS: u64 = 4;
const PROXIES: u64 = 5;
/// Canaries are looked after every four seconds here, at least.
const LONGEST_TRIAL: Duration = Duration::from_secs(TRIES_MAX as u64 * (5 + 4));

/// An instance as the store has it.
#[derive(Clone)]
struct Wanted {
    revision: u64,
    /// Which spec: other callers may come with the same.
    spec: u64,
    hosts: Option<Vec<u64>>,
    callers: Vec<&'static str>,
}

/// What the store holds: each instance's latest revision and hostnames, and whose each hostname is.
#[derive(Default)]
struct Truth {
    revision: u64,
    published: BTreeMap<&'static str, Wanted>,
    unread: BTreeMap<u64, &'static str>,
}

impl Truth {
    fn publish(
        &mut self,
        owner: &'static str,
        hosts: Option<Vec<u64>>,
        callers: Vec<&'static str>,
    ) {
        self.revision += 1;
        self.replace(
            owner,
            Wanted { revision: self.revision, spec: self.revision, hosts, callers },
        );
    }

    /// The same spec for other callers.
    fn bind(&mut self, owner: &'static str, callers: Vec<&'static str>) {
        let Some(wanted) = self.published.get(owner).filter(|it| it.hosts.is_some()) else {
            return;
        };
        self.revision += 1;
        self.replace(owner, Wanted { revision: self.revision, callers, ..wanted.clone() });
    }

    fn replace(&mut self, owner: &'static str, wanted: Wanted) {
        self.unread.insert(wanted.revision, owner);
        if let Some(before) = self.published.insert(owner, wanted) {
            self.unread.remove(&before.revision);
        }
    }

    /// A hostname is claimed by one instance at a time.
    fn free(&self, owner: &str, chance: &mut Chance) -> Vec<u64> {
        let others = self.published.iter().filter(|(other, _)| **other != owner);
        let taken: Vec<u64> = others.filter_map(|(_, it)| it.hosts.clone()).flatten().collect();
        (0..HOSTS).filter(|host| !taken.contains(host) && chance.below(2) == 0).collect()
    }
}

/// What a proxy was given: by name the revision and the bytes.
type Has = HashMap<String, (u64, u64)>;

struct Simulation {
    world: World,
    truth: Truth,
    chance: Chance,
    seen: HashMap<String, u64>,
    proxies: HashMap<u64, Has>,
    /// Streams that were assigned a cache and not heard of yet; whether it is the canaries'.
    arriving: HashMap<u64, bool>,
    /// `owner spec` of what all may be given.
    allowed: HashSet<String>,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let mut world = World::new(&[]);
        world.state.canaries = 1;
        Self {
            world,
            truth: Truth::default(),
            chance: Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            seen: HashMap::new(),
            proxies: HashMap::new(),
            arriving: HashMap::new(),
            allowed: HashSet::new(),
        }
    }

    async fn step(&mut self) {
        let owner = OWNERS[self.chance.below(4) as usize];
        let stream = 1 + self.chance.below(PROXIES);
        match self.chance.below(20) {
            0 | 1 => self.publish(owner),
            2 if self.truth.published.contains_key(owner) => {
                self.truth.publish(owner, None, Vec::new());
            }
            3 => {
                let callers = self.some_callers();
                self.truth.bind(owner, callers);
            }
            4 | 5 => self.read(true),
            6 | 7 => self.arrive(stream),
            8..=10 => self.synced(stream),
            11 | 12 => self.settled(stream, owner),
            13 => self.reject(stream, owner),
            14 => self.close(stream),
            15..=17 => self.tick().await,
            18 => self.come_back(stream),
            _ => _ = self.render(owner, true),
        }
        self.check();
    }

    fn some_callers(&mut self) -> Vec<&'static str> {
        CALLERS.into_iter().filter(|_| self.chance.below(2) == 0).collect()
    }

    fn publish(&mut self, owner: &'static str) {
        let hosts = self.truth.free(owner, &mut self.chance);
        let callers = self.some_callers();
        self.truth.publish(owner, Some(hosts), callers);
    }

    fn group(&self) -> &Group {
        &self.world.state.groups[DEFAULT_GROUP]
    }

    /// A proxy connects: it is assigned a cache, and maybe heard of later.
    fn arrive(&mut self, proxy: u64) {
        if self.group().streams.contains_key(&StreamId(proxy)) {
            return;
        }
        if let Some(early) = self.arriving.remove(&proxy) {
            let node = Arc::new(Node { id: format!("p{proxy}"), ..Node::default() });
            self.tell(Event::Opened { stream: StreamId(proxy), node, early });
            return;
        }
        let group = self.world.state.groups.get_mut(DEFAULT_GROUP).unwrap();
        let early = group.assign(&format!("p{proxy}")).is_fork();
        self.arriving.insert(proxy, early);
        if self.chance.below(2) == 0 {
            self.arrive(proxy);
        }
    }

    /// Whether a proxy has a stream, and is served early.
    fn is_early(&self, proxy: u64) -> Option<bool> {
        self.group().streams.get(&StreamId(proxy)).map(|stream| stream.early)
    }

    /// Whether a proxy has seen what is not complete in the cache that it is served from: it is told
    /// nothing then, and comes back later.
    fn lags(&self, proxy: u64) -> bool {
        let group = self.group();
        let Some(stream) = group.streams.get(&StreamId(proxy)).filter(|it| !it.ready) else {
            return false;
        };
        let (behind, position) = (&self.world.state.behind, self.world.state.position);
        let early = stream.early;
        let complete = if early { behind.rendered(position) } else { behind.given(position) };
        let cache = group.caches().nth(usize::from(early)).unwrap_or(&group.cache);
        let entries = cache.dump(None);
        let mut has = self.proxies.get(&proxy).into_iter().flatten();
        has.any(|(name, (revision, hash))| {
            let here = entries.iter().find(|entry| *name == key(entry));
            let version = here.map(|entry| entry.resource.version);
            let is_newer = version.is_none_or(|it| it.hash != *hash && it.revision < *revision);
            is_newer && *revision > complete
        })
    }

    fn synced(&mut self, proxy: u64) {
        if self.lags(proxy) {
            return self.close(proxy);
        }
        let owners = OWNERS.into_iter().filter(|owner| {
            let stream = self.group().streams.get(&StreamId(proxy));
            stream.is_some_and(|stream| !stream.refuses.contains(*owner))
        });
        for owner in owners.collect::<Vec<_>>() {
            self.give(proxy, owner);
        }
        let seq = self.world.seq;
        self.tell(Event::Synced { stream: StreamId(proxy), seq });
    }

    fn settled(&mut self, proxy: u64, owner: &'static str) {
        let is_ready = |stream: &crate::group::Stream| stream.ready;
        if !self.group().streams.get(&StreamId(proxy)).is_some_and(is_ready) {
            return;
        }
        self.give(proxy, owner);
        let (stream, owner, seq) = (StreamId(proxy), owner.into(), self.world.seq);
        self.tell(Event::Settled { stream, owner, seq });
    }

    /// A proxy takes what its cache has of an owner. What a canary takes, all may be given.
    fn give(&mut self, proxy: u64, owner: &'static str) {
        let Some(early) = self.is_early(proxy) else { return };
        let caches: Vec<_> = self.group().caches().cloned().collect();
        let cache = if early { &caches[caches.len() - 1] } else { &caches[0] };
        let has = self.proxies.entry(proxy).or_default();
        let entries = cache.dump(None);
        has.retain(|name, _| entries.iter().any(|entry| *name == key(entry)));
        for entry in entries.iter().filter(|entry| &*entry.owner == owner) {
            let version = entry.resource.version;
            let new = (version.revision, version.hash);
            let old = has.entry(key(entry)).or_insert(new);
            if old.1 != new.1 {
                assert!(old.0 <= new.0, "p{proxy} goes backwards: {}", entry.resource.name);
                *old = new;
            }
        }
        if early && self.group().canaries.counts(&format!("p{proxy}")) {
            self.allowed.extend(specs(&entries, owner));
        }
    }

    fn close(&mut self, proxy: u64) {
        self.tell(Event::Closed { stream: StreamId(proxy) });
    }

    /// With what it had.
    fn come_back(&mut self, proxy: u64) {
        self.close(proxy);
        while self.is_early(proxy).is_none() {
            self.arrive(proxy);
        }
        self.synced(proxy);
    }

    /// Something happens; what is to be rendered again is.
    fn tell(&mut self, event: Event) {
        let again = self.world.say(event);
        self.again(again);
    }

    fn again(&mut self, ids: Vec<InstanceId>) {
        self.world.seq = self.world.cache().seq();
        for id in ids {
            let owner = OWNERS.into_iter().find(|owner| *owner == id.as_str());
            self.render(owner.expect("one of ours"), false);
        }
    }

    /// Time passes, and canaries are looked after: what goes to all by that has waited for long.
    async fn tick(&mut self) {
        tokio::time::advance(Duration::from_millis(self.chance.below(4_000))).await;
        let now = Instant::now();
        let trials = &self.group().canaries.trials;
        let over = trials.iter().filter(|(_, trial)| trial.is_over(now));
        let over: Vec<(Owner, usize)> =
            over.map(|(owner, trial)| (owner.clone(), trial.tries)).collect();
        let again = self.world.state.keep_canaries().0;
        for (owner, tries) in over {
            let canaries = &self.group().canaries;
            if !canaries.tries(&owner) {
                assert!(canaries.counting() == 0 || tries + 1 >= TRIES_MAX, "{owner} was hurried");
                self.allowed.extend(specs(&self.world.cache().dump(None), &owner));
            }
        }
        self.again(again);
        self.recall();
        let trials = self.group().canaries.trials.iter().filter(|(_, trial)| !trial.is_condemned);
        for (owner, trial) in trials {
            assert!(trial.begun.elapsed() <= LONGEST_TRIAL, "{owner} is on trial for ever");
        }
    }

    /// Whoever is recalled goes, and comes back some time.
    fn recall(&mut self) {
        let group = self.group();
        let is_recalled = |stream: &crate::group::Stream| {
            let shall_be = group.canaries.counts(stream.id());
            !stream.early && shall_be
        };
        let recalled = group.streams.iter().filter(|(_, stream)| is_recalled(stream));
        let recalled: Vec<u64> = recalled.map(|(id, _)| id.0).collect();
        for proxy in recalled {
            if self.chance.below(3) > 0 {
                self.close(proxy);
            }
        }
    }

    /// Takes in one entry of the feed, the lowest revision first.
    fn read(&mut self, may_fail: bool) {
        let Some((revision, owner)) = self.truth.unread.pop_first() else { return };
        let wanted = self.truth.published[owner].clone();
        if wanted.hosts.is_none() {
            self.world.unpublish(owner, revision);
            return;
        }
        self.world.published(owner, revision, (numbered(wanted.spec), None), &wanted.callers);
        if self.render(owner, may_fail) {
            self.check_callers(owner, &wanted.callers);
        }
    }

    /// Renders until nothing is to be rendered again; whether all went well.
    fn render(&mut self, owner: &'static str, may_fail: bool) -> bool {
        let Some(target) = self.world.state.target(&id(owner)) else { return true };
        if may_fail && self.chance.below(6) == 0 {
            let again = self.world.rendered(owner, Err(vec![Complaint::default()]));
            if again {
                self.render(owner, false);
            }
            return false;
        }
        let spec = target.spec.hostnames[0].as_str().to_owned();
        let latest = &self.truth.published[owner];
        let hosts = if latest.revision == target.revision { latest.hosts.clone() } else { None };
        let callers: Vec<&str> =
            target.terms.callers.iter().map(|caller| caller.binding.as_str()).collect();
        let body = format!("{spec}:{}", callers.join(","));
        let mut drafts = vec![format!("route internal/{owner} {body}")];
        let scopes = hosts.unwrap_or_else(|| vec![0, 1]);
        drafts.extend(scopes.iter().map(|host| format!("scope internal/h{host} {owner}")));
        let drafts: Vec<&str> = drafts.iter().map(String::as_str).collect();
        let has_canaries = self.group().has_canaries();
        let again = self.world.render(owner, &drafts);
        if !has_canaries {
            self.allowed.extend(specs(&self.world.cache().dump(None), owner));
        }
        if again { self.render(owner, false) } else { true }
    }

    fn reject(&mut self, stream: u64, owner: &'static str) {
        let again = self.world.rejects(stream, owner, &format!("route internal/{owner} x"));
        self.again(again);
    }

    /// Who was revoked is let in by nobody as soon as the news is taken in, canary or not.
    fn check_callers(&self, owner: &str, callers: &[&str]) {
        let route = TypeUrl::new(type_urls::ROUTE);
        let Some(entry) = self.world.cache().get(&route, &format!("internal/{owner}")) else {
            return;
        };
        let body = String::from_utf8_lossy(&entry.resource.body).into_owned();
        let (_, let_in) = body.split_once(':').unwrap();
        for caller in let_in.split(',').filter(|caller| !caller.is_empty()) {
            assert!(callers.contains(&caller), "{owner} lets in {caller}: {body}");
        }
    }

    /// No resource goes backwards while it is there, what the state believes is what the caches
    /// hold, and nobody but canaries has what no canary has taken.
    fn check(&mut self) {
        let mut seen = HashMap::new();
        let entries = self.world.cache().dump(None);
        for entry in &entries {
            let xds::Entry { owner, resource, .. } = entry;
            let key = format!("{} {}", resource.type_url, resource.name);
            let before = self.seen.get(&key).copied().unwrap_or_default();
            assert!(before <= resource.version.revision, "{} went backwards", resource.name);
            seen.insert(key, resource.version.revision);
            assert!(self.world.state.tenants.contains_key(&id(owner)), "{owner} is gone");
            for spec in specs(std::slice::from_ref(entry), owner) {
                assert!(self.allowed.contains(&spec), "no canary has taken {spec}");
            }
        }
        self.seen = seen;
        let group = self.group();
        let early = group.caches().last().unwrap();
        assert_eq!(group.len(), early.len());
        assert_eq!(group.cache.seq(), early.seq());
        if group.canaries.trials() == 0 {
            assert_eq!(lines(&group.cache), lines(early));
        }
        self.check_given();
        let (ready, counted) =
            (group.ready(), group.streams.values().filter(|stream| stream.ready).count());
        assert_eq!(ready, counted);
    }

    /// What is said to be given is not on its way.
    fn check_given(&self) {
        let state = &self.world.state;
        let (given, rendered) =
            (state.behind.given(state.position), state.behind.rendered(state.position));
        for (id, tenant) in &state.tenants {
            let is_unrendered = tenant.pending && tenant.target().is_some();
            let is_ungiven = is_unrendered || self.group().canaries.tries(id.as_str());
            assert!(!is_unrendered || rendered < tenant.wanted.0, "{id} is not rendered");
            assert!(!is_ungiven || given < tenant.wanted.0, "{id} is not given to all");
        }
    }

    /// Everybody publishes once more and nothing fails: then all is as the store has it.
    async fn settle(&mut self) {
        for owner in OWNERS {
            self.publish(owner);
        }
        while !self.truth.unread.is_empty() {
            self.read(false);
        }
        for _ in 0..4 {
            for proxy in 1..=PROXIES {
                self.close(proxy);
                while self.is_early(proxy).is_none() {
                    self.arrive(proxy);
                }
            }
            (1..=PROXIES).for_each(|proxy| self.synced(proxy));
            (1..=PROXIES).for_each(|proxy| self.synced(proxy));
            self.check();
            self.tick().await;
        }
        for proxy in 1..=PROXIES {
            while self.is_early(proxy).is_none() {
                self.arrive(proxy);
            }
            self.synced(proxy);
        }
        self.check_settled();
    }

    fn check_settled(&mut self) {
        self.check();
        let fleet = self.world.state.fleet();
        assert_eq!((fleet.in_flight, fleet.on_trial, fleet.quarantined), (0, 0, 0));
        assert_eq!(fleet.counts()[0], ("live", PROXIES as usize));
        let state = &self.world.state;
        assert_eq!(state.behind.given(state.position), state.position);
        for (owner, wanted) in &self.truth.published {
            let all = live(PROXIES as usize, None);
            assert_eq!(self.world.converged(owner, wanted.revision), all);
            for host in wanted.hosts.iter().flatten() {
                let scope = TypeUrl::new(type_urls::SCOPED_ROUTE);
                let entry = self.world.cache().get(&scope, &format!("internal/h{host}"));
                assert_eq!(entry.map(|entry| entry.owner).as_deref(), Some(*owner), "h{host}");
            }
        }
    }
}

fn key(entry: &xds::Entry) -> String {
    format!("{} {}", entry.resource.type_url, entry.resource.name)
}

/// `owner spec` of an owner's routes.
fn specs(entries: &[xds::Entry], owner: &str) -> Vec<String> {
    let routes = entries.iter().filter(|entry| {
        &*entry.owner == owner && entry.resource.type_url.as_str() == type_urls::ROUTE
    });
    let spec = |entry: &xds::Entry| {
        let body = String::from_utf8_lossy(&entry.resource.body).into_owned();
        format!("{owner} {}", body.split(':').next().unwrap_or(&body))
    };
    routes.map(spec).collect()
}

fn lines(cache: &xds::Cache) -> Vec<String> {
    let line =
        |entry: &xds::Entry| format!("{} {} {}", entry.owner, key(entry), entry.resource.version);
    let mut lines: Vec<String> = cache.dump(None).iter().map(line).collect();
    lines.sort();
    lines
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_nothing_goes_backwards_and_in_the_end_all_is_as_the_store_has_it() {
    const SEEDS: u64 = 100;
    const STEPS: u64 = 200;
    for seed in 1..=SEEDS {
        let mut simulation = Simulation::new(seed);
        let run = async {
            for _ in 0..STEPS {
                simulation.step().await;
            }
            simulation.settle().await;
        };
        let ended = std::panic::AssertUnwindSafe(run).catch_unwind().await;
        assert!(ended.is_ok(), "seed {seed}");
    }
}
