//! Owners and what they want; and what a client has, judged.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use model::type_urls::{CLUSTER, ENDPOINT, LISTENER, ROUTE, SCOPED_ROUTE};
use model::{Resource, TypeUrl, Version};

use crate::cache::{Cache, Change};
use crate::event::Event;

/// Dice: xorshift, so that a seed is a life.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn below(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }

    pub(super) fn one_in(&mut self, sides: u64) -> bool {
        self.below(sides) == 0
    }
}

const OWNERS: u64 = 5;
/// Hosts that owners take from each other.
const SHARED_HOSTS: u64 = 2;

/// A type and a name.
pub(super) type Name = (&'static str, String);

#[derive(Default, Clone)]
struct Wish {
    present: bool,
    cluster: u64,
    /// What changes in place.
    cluster_body: u64,
    endpoint_body: u64,
    route_body: u64,
    hosts: BTreeSet<String>,
    bad_cluster: bool,
    bad_route: bool,
}

impl Wish {
    /// Whether a client that asks for what it routes to must refuse something.
    fn is_bad(&self) -> bool {
        self.present && (self.bad_cluster || (self.bad_route && !self.hosts.is_empty()))
    }

    fn resources(&self, owner: &str) -> BTreeMap<Name, String> {
        let mut all = BTreeMap::new();
        if !self.present {
            return all;
        }
        let bad = |is: bool| if is { "bad" } else { "good" };
        let cluster = format!("{owner}/c{}", self.cluster);
        let body = format!("{} {}", bad(self.bad_cluster), self.cluster_body);
        all.insert((CLUSTER, cluster.clone()), body);
        all.insert((ENDPOINT, cluster.clone()), format!("good {}", self.endpoint_body));
        let route = format!("public/{owner}");
        let body = format!("{} {} {cluster}", bad(self.bad_route), self.route_body);
        all.insert((ROUTE, route.clone()), body);
        for host in &self.hosts {
            all.insert((SCOPED_ROUTE, format!("public/{host}")), format!("good 0 {route}"));
            // The same, whosever it is.
            if host.starts_with("shared") {
                all.insert((LISTENER, host.clone()), "good".to_owned());
            }
        }
        all
    }
}

/// The owners, and the cache that has what they want.
pub(super) struct World {
    pub(super) cache: Arc<Cache>,
    pub(super) dice: Dice,
    aloud: bool,
    /// Owners want what is refused, at times.
    pub(super) harsh: bool,
    wishes: BTreeMap<String, Wish>,
    /// The last sequence number of each owner.
    pub(super) seqs: HashMap<String, u64>,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let cache = Arc::new(Cache::default());
        cache.open();
        Self {
            cache,
            dice: Dice::new(seed),
            harsh: seed.is_multiple_of(2),
            aloud: std::env::var_os("MARGRAVE_SEED").is_some(),
            wishes: BTreeMap::new(),
            seqs: HashMap::new(),
        }
    }

    pub(super) fn note(&self, what: impl Fn() -> String) {
        if self.aloud {
            eprintln!("{}", what());
        }
    }

    /// One owner changes its mind.
    pub(super) fn change(&mut self) {
        let owner = format!("o{}", self.dice.below(OWNERS));
        let mut wish = self.wishes.get(&owner).cloned().unwrap_or_default();
        if !wish.present {
            wish = Wish { present: true, cluster: self.dice.below(3), ..wish };
            wish.hosts = [format!("{owner}.test")].into();
        }
        for _ in 0..=self.dice.below(3) {
            match self.dice.below(10) {
                0 => wish.cluster = self.dice.below(3),
                1 => wish.cluster_body = self.dice.below(100),
                2 => wish.endpoint_body = self.dice.below(100),
                3 | 4 => wish.route_body = self.dice.below(100),
                5 => _ = wish.hosts.insert(format!("{owner}-{}.test", self.dice.below(2))),
                6 => _ = wish.hosts.pop_last(),
                7 => wish.bad_cluster = self.harsh && self.dice.one_in(2),
                8 => wish.bad_route = self.harsh && self.dice.one_in(2),
                _ => wish.present = !self.dice.one_in(3),
            }
        }
        // A host that was given away is not claimed again by this.
        wish.hosts.retain(|host| !host.starts_with("shared") || self.has(&owner, host));
        self.apply(&owner, wish);
    }

    fn has(&self, owner: &str, host: &str) -> bool {
        self.wishes.get(owner).is_some_and(|wish| wish.hosts.contains(host))
    }

    /// A host goes from whoever has it to another: it is taken and then given up, or the reverse.
    pub(super) fn give_host_away(&mut self) {
        let host = format!("shared{}.test", self.dice.below(SHARED_HOSTS));
        let to = format!("o{}", self.dice.below(OWNERS));
        let from: Vec<String> =
            self.wishes.keys().filter(|owner| self.has(owner, &host)).cloned().collect();
        let Some(mut wish) = self.wishes.get(&to).filter(|wish| wish.present).cloned() else {
            return;
        };
        wish.hosts.insert(host.clone());
        let is_taken = self.dice.one_in(2);
        if is_taken {
            self.apply(&to, wish.clone());
        }
        for owner in from.into_iter().filter(|owner| *owner != to) {
            let mut wish = self.wishes[&owner].clone();
            wish.hosts.remove(&host);
            // Whoever gives up a host may give up all.
            wish.present &= !self.dice.one_in(3);
            self.apply(&owner, wish);
        }
        if !is_taken {
            self.apply(&to, wish);
        }
    }

    fn apply(&mut self, owner: &str, wish: Wish) {
        let old = self.wishes.get(owner).map(|wish| wish.resources(owner)).unwrap_or_default();
        let new = wish.resources(owner);
        let gone = old.keys().filter(|name| !new.contains_key(*name));
        let remove = gone.map(|(kind, name)| (TypeUrl::new(kind), name.as_str().into())).collect();
        let set = new.iter().map(|((kind, name), body)| resource(kind, name, body)).collect();
        let seq = self.cache.apply(vec![Change { owner: owner.into(), set, remove }]);
        self.note(|| format!("{seq}: {owner} {:?} -> {:?}", old.values(), new.values()));
        self.seqs.insert(owner.to_owned(), seq);
        self.wishes.insert(owner.to_owned(), wish);
    }

    /// Owners whose wish cannot be fulfilled now.
    pub(super) fn refused(&self) -> BTreeSet<String> {
        self.wishes.iter().filter(|(_, w)| w.is_bad()).map(|(owner, _)| owner.clone()).collect()
    }

    /// In the end a client has what is wanted and what it asks for, and nothing bad. Of a refused
    /// owner it has some good version or none; and while anything is refused, it may keep what
    /// somebody might need.
    pub(super) fn judge_end(&self, held: &Held, asks: impl Fn(&str, &str) -> bool) {
        assert!(held.0.values().all(|body| !body.starts_with("bad")));
        let refused = self.refused();
        let mut wanted = self.wanted();
        wanted.retain(|(kind, name), _| asks(kind, name));
        let doubtful = self.wishes.keys().any(|owner| self.is_doubtful(owner));
        if refused.is_empty() && !doubtful {
            assert_eq!(held.0, wanted);
            return;
        }
        let sure = |name: &Name| {
            let owner = owner_of(name);
            !refused.contains(&owner) && !self.is_doubtful(&owner) && !name.1.contains("shared")
        };
        for (name, body) in wanted.iter().filter(|(name, _)| sure(name)) {
            assert_eq!(held.0.get(name), Some(body), "{name:?}");
        }
    }

    /// Whether something of an owner is bad that a client need not ask for.
    fn is_doubtful(&self, owner: &str) -> bool {
        self.wishes.get(owner).is_some_and(|wish| wish.present && wish.bad_route)
    }

    /// All that is wished for.
    pub(super) fn wanted(&self) -> BTreeMap<Name, String> {
        self.wishes.iter().flat_map(|(owner, wish)| wish.resources(owner)).collect()
    }
}

pub(super) fn resource(type_url: &str, name: &str, body: &str) -> Resource {
    let hash = Version::hash_of(body.as_bytes());
    Resource {
        type_url: TypeUrl::new(type_url),
        name: name.into(),
        version: Version { epoch: 1, revision: 1, hash },
        body: body.as_bytes().to_vec().into(),
    }
}

/// What a client has: the bodies it accepted.
#[derive(Default, Clone)]
pub(super) struct Held(pub(super) BTreeMap<Name, String>, BTreeSet<String>);

impl Held {
    pub(super) fn names(&self, type_url: &str) -> BTreeSet<String> {
        let of_type = self.0.keys().filter(|(kind, _)| *kind == type_url);
        of_type.map(|(_, name)| name.clone()).collect()
    }

    /// What resources of a type name in their third word.
    pub(super) fn named_by(&self, type_url: &str) -> BTreeSet<String> {
        let of_type = self.0.iter().filter(|((kind, _), _)| *kind == type_url);
        of_type.filter_map(|(_, body)| body.split(' ').nth(2)).map(str::to_owned).collect()
    }

    /// A host is live when its scope names a route configuration whose cluster is there. What is live
    /// must not lose its cluster, whosever it is by then. (One that goes to another owner may be
    /// without a route configuration for a moment; from then on, and before, it may wait for its
    /// cluster.)
    pub(super) fn judge(&mut self, doing: &str) {
        let scopes = self.0.iter().filter(|((kind, _), _)| *kind == SCOPED_ROUTE);
        let mut live = BTreeSet::new();
        for ((_, host), scope) in scopes {
            let Some(route) = scope.split(' ').nth(2) else { continue };
            let route = self.0.get(&(ROUTE, route.to_owned()));
            let cluster = route.and_then(|body| body.split(' ').nth(2));
            let there = cluster.map(|it| self.0.contains_key(&(CLUSTER, it.to_owned())));
            let is_lost = there == Some(false) && self.1.contains(host);
            assert!(!is_lost, "{doing}: {host} needs {cluster:?}");
            live.extend((there == Some(true)).then(|| host.clone()));
        }
        self.1 = live;
    }
}

/// The owner of a resource, by its name.
fn owner_of(name: &Name) -> String {
    let name = &name.1;
    let part = name.strip_prefix("public/").unwrap_or(name);
    part.split(['/', '.', '-']).next().unwrap_or_default().to_owned()
}

/// What was told of each owner: the last sequence number that settled, and that was refused.
#[derive(Default)]
pub(super) struct Told {
    pub(super) synced: Option<u64>,
    /// The first of those: what came before is not told as settled.
    ready: Option<u64>,
    pub(super) settled: HashMap<String, u64>,
    pub(super) rejected: HashMap<String, u64>,
}

impl Told {
    pub(super) fn hear(&mut self, events: Vec<Event>) {
        for event in events {
            match event {
                Event::Synced { seq, .. } => {
                    self.ready.get_or_insert(seq);
                    self.synced = Some(seq);
                }
                Event::Settled { owner, seq, .. } => {
                    // A round that began later may end sooner.
                    let last = self.settled.entry(owner.to_string()).or_default();
                    *last = seq.max(*last);
                }
                Event::Rejected { owner, seq, .. } => {
                    // What was superseded may still be refused late.
                    let last = self.rejected.entry(owner.to_string()).or_default();
                    *last = seq.max(*last);
                }
                Event::Opened { .. }
                | Event::Closed { .. }
                | Event::Ahead { .. }
                | Event::Polled { .. } => {}
            }
        }
    }

    /// Each owner's last change is settled or refused, and refused when it is bad. (What is asked for
    /// again long after a stream broke may have been given up as settled before.)
    pub(super) fn judge(&self, world: &World, since: u64, has_lost: bool) {
        let refused = world.refused();
        for (owner, seq) in world.seqs.iter().filter(|(_, seq)| **seq > since) {
            let (settled, rejected) = (self.settled.get(owner), self.rejected.get(owner));
            if refused.contains(owner) {
                assert_eq!(rejected, Some(seq), "{owner} is refused");
                assert!(has_lost || settled != Some(seq), "{owner} is refused and settled");
            } else if world.is_doubtful(owner) && rejected == Some(seq) {
                // It was refused while it was routed to.
            } else if self.ready.is_none_or(|ready| *seq > ready) {
                assert_eq!(settled, Some(seq), "{owner} is settled");
            }
        }
    }
}
