//! The state under random news, refusals and comings and goings of proxies, from seeds.

use std::collections::HashMap;

use super::*;
use crate::DEFAULT_GROUP;

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
const HOSTS: u64 = 4;
const PROXIES: u64 = 3;

/// What the store holds: each instance's latest revision and hostnames, and whose each hostname is.
#[derive(Default)]
struct Truth {
    revision: u64,
    published: BTreeMap<&'static str, (u64, Option<Vec<u64>>)>,
    unread: BTreeMap<u64, &'static str>,
}

impl Truth {
    fn publish(&mut self, owner: &'static str, wanted: Option<Vec<u64>>) {
        self.revision += 1;
        if let Some((before, _)) = self.published.insert(owner, (self.revision, wanted)) {
            self.unread.remove(&before);
        }
        self.unread.insert(self.revision, owner);
    }

    /// A hostname is claimed by one instance at a time.
    fn free(&self, owner: &str, chance: &mut Chance) -> Vec<u64> {
        let others = self.published.iter().filter(|(other, _)| **other != owner);
        let taken: Vec<u64> =
            others.filter_map(|(_, (_, hosts))| hosts.clone()).flatten().collect();
        (0..HOSTS).filter(|host| !taken.contains(host) && chance.below(2) == 0).collect()
    }
}

struct Simulation {
    world: World,
    truth: Truth,
    chance: Chance,
    seen: HashMap<String, u64>,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        Self { world: World::new(&[]), truth: Truth::default(), chance, seen: HashMap::new() }
    }

    fn step(&mut self) {
        let owner = OWNERS[self.chance.below(4) as usize];
        let stream = 1 + self.chance.below(PROXIES);
        match self.chance.below(12) {
            0 | 1 => {
                let hosts = self.truth.free(owner, &mut self.chance);
                self.truth.publish(owner, Some(hosts));
            }
            2 if self.truth.published.contains_key(owner) => self.truth.publish(owner, None),
            3 | 4 => self.read(true),
            5 if !self.is_open(stream) => self.world.open(stream),
            6 | 7 => self.world.synced(stream),
            8 => self.world.settled(stream, owner),
            9 => self.reject(stream, owner),
            10 => _ = self.world.say(Event::Closed { stream: StreamId(stream) }),
            _ => self.render(owner, true),
        }
        self.check();
    }

    fn is_open(&self, stream: u64) -> bool {
        self.world.state.groups[DEFAULT_GROUP].streams.contains_key(&StreamId(stream))
    }

    /// Takes in one entry of the feed, the lowest revision first.
    fn read(&mut self, may_fail: bool) {
        let Some((revision, owner)) = self.truth.unread.pop_first() else { return };
        if self.truth.published[owner].1.is_none() {
            self.world.unpublish(owner, revision);
        } else {
            self.world.publish(owner, revision, None);
            self.render(owner, may_fail);
        }
    }

    fn render(&mut self, owner: &'static str, may_fail: bool) {
        let Some(target) = self.world.state.target(&id(owner)) else { return };
        if may_fail && self.chance.below(6) == 0 {
            let again = self.world.rendered(owner, Err(vec![Complaint::default()]));
            assert!(!again, "no good spec is known to the store");
            return;
        }
        let (latest, hosts) = &self.truth.published[owner];
        let hosts = if *latest == target.revision { hosts.clone() } else { Some(vec![0, 1]) };
        let mut drafts = vec![format!("route internal/{owner} {}", target.revision)];
        let scopes = hosts.unwrap_or_default();
        drafts.extend(scopes.iter().map(|host| format!("scope internal/h{host} {owner}")));
        let drafts: Vec<&str> = drafts.iter().map(String::as_str).collect();
        self.world.render(owner, &drafts);
    }

    fn reject(&mut self, stream: u64, owner: &'static str) {
        let again = self.world.rejects(stream, owner, &format!("route internal/{owner} x"));
        self.world.seq = self.world.cache().seq();
        for _ in again {
            self.render(owner, false);
        }
    }

    /// No resource goes backwards while it is there, and what the state believes is what the cache
    /// holds.
    fn check(&mut self) {
        let mut seen = HashMap::new();
        for xds::Entry { owner, resource, .. } in self.world.cache().dump(None) {
            let key = format!("{} {}", resource.type_url, resource.name);
            let before = self.seen.get(&key).copied().unwrap_or_default();
            assert!(before <= resource.version.revision, "{} went backwards", resource.name);
            seen.insert(key, resource.version.revision);
            assert!(self.world.state.tenants.contains_key(&id(&owner)), "{owner} is gone");
        }
        self.seen = seen;
        let group = &self.world.state.groups[DEFAULT_GROUP];
        assert_eq!(group.len(), group.cache.len());
        let (ready, counted) =
            (group.ready(), group.streams.values().filter(|stream| stream.ready).count());
        assert_eq!(ready, counted);
    }

    /// Everybody publishes once more and nothing fails: then all is as the store has it.
    fn settle(&mut self) {
        for owner in OWNERS {
            let hosts = self.truth.free(owner, &mut self.chance);
            self.truth.publish(owner, Some(hosts));
        }
        while !self.truth.unread.is_empty() {
            self.read(false);
        }
        for stream in 1..=PROXIES {
            self.world.say(Event::Closed { stream: StreamId(stream) });
            self.world.connect(stream);
        }
        self.check();
        let fleet = self.world.state.fleet();
        assert_eq!((fleet.in_flight, fleet.quarantined), (0, 0));
        assert_eq!(fleet.counts()[0], ("live", PROXIES as usize));
        for (owner, (revision, hosts)) in &self.truth.published {
            assert_eq!(self.world.converged(owner, *revision), live(PROXIES as usize, None));
            for host in hosts.iter().flatten() {
                let scope = TypeUrl::new(type_urls::SCOPED_ROUTE);
                let entry = self.world.cache().get(&scope, &format!("internal/h{host}"));
                assert_eq!(entry.map(|entry| entry.owner).as_deref(), Some(*owner), "h{host}");
            }
        }
    }
}

#[test]
fn whatever_happens_nothing_goes_backwards_and_in_the_end_all_is_as_the_store_has_it() {
    const SEEDS: u64 = 300;
    const STEPS: u64 = 150;
    for seed in 1..=SEEDS {
        let mut simulation = Simulation::new(seed);
        let run = std::panic::AssertUnwindSafe(|| {
            (0..STEPS).for_each(|_| simulation.step());
            simulation.settle();
        });
        assert!(std::panic::catch_unwind(run).is_ok(), "seed {seed}");
    }
}
