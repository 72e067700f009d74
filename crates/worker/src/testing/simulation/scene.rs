//! What all parts of a simulation share: the dice, the weather, the clock and the history.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use model::{Millis, OperationId};

use super::super::dice::Dice;
use super::super::world::lock;
use super::bugs::Bug;
use super::cloud::SimulatedCloud;
use super::plane::Plane;
use super::witness::Witness;
use crate::Clock;

/// How often each thing goes wrong, in percent. Half of them never do under one seed, so that what
/// is rare meets what is rarer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Weather {
    /// The store fails, and nothing was written.
    pub(crate) store_fails: u64,
    /// A write is committed, and its answer lost.
    pub(crate) answers_lost: u64,
    /// The cloud fails, and nothing was done.
    pub(crate) cloud_fails: u64,
    /// The cloud says that it failed, and has done it.
    pub(crate) cloud_lies: u64,
    /// The cloud refuses for good.
    pub(crate) cloud_refuses: u64,
    /// The cloud has taken it in, and is done later.
    pub(crate) cloud_pends: u64,
    /// A call arrives a second time, later.
    pub(crate) cloud_repeats: u64,
    /// The control plane refuses before the publish.
    pub(crate) plane_refuses: u64,
    /// The proxies reject what was published.
    pub(crate) plane_rejects: u64,
    /// A worker or a client dies at a boundary.
    pub(crate) dies: u64,
    /// A worker sleeps through the end of its lease.
    pub(crate) stalls: u64,
    /// An operation breaks each worker that takes it.
    pub(crate) poison: u64,
    /// Everything is one team's.
    pub(crate) one_team: u64,
    /// Time goes by hours, in either direction, when it goes.
    pub(crate) jumps: u64,
}

impl Weather {
    pub(crate) fn of(dice: &mut Dice) -> Self {
        let mut some = |most: u64| if dice.percent(50) { 1 + dice.below(most) } else { 0 };
        Self {
            store_fails: some(6),
            answers_lost: some(10),
            cloud_fails: some(15),
            cloud_lies: some(15),
            cloud_refuses: some(6),
            cloud_pends: some(10),
            cloud_repeats: some(60),
            plane_refuses: some(20),
            plane_rejects: some(20),
            dies: some(5),
            stalls: some(80),
            poison: some(10),
            one_team: some(1),
            jumps: some(15),
        }
    }
}

/// When an operation breaks the worker that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Poison {
    /// As it is read.
    AtOnce,
    /// As it acts on the world.
    AtWork,
}

pub(crate) struct Scene {
    pub(crate) dice: Mutex<Dice>,
    pub(crate) weather: Weather,
    pub(crate) bug: Option<Bug>,
    pub(crate) store: Witness,
    pub(crate) cloud: SimulatedCloud,
    pub(crate) plane: Plane,
    clock: Arc<AtomicI64>,
    /// Nothing goes wrong any more.
    calm: AtomicBool,
    poisons: Mutex<BTreeMap<OperationId, Poison>>,
    numbers: AtomicU32,
    history: Option<Mutex<Vec<String>>>,
}

/// Some time in the past of nobody.
const BEGIN: Millis = 1_000_000_000;

impl Scene {
    pub(crate) fn new(weather: Weather, bug: Option<Bug>, tells: bool) -> Arc<Self> {
        let clock = Arc::new(AtomicI64::new(BEGIN));
        let plane = Plane::default();
        Arc::new(Self {
            dice: Mutex::new(Dice::new(0)),
            weather,
            bug,
            store: Witness::new(reading(&clock)),
            cloud: SimulatedCloud::of(plane.serving.clone()),
            plane,
            clock,
            calm: AtomicBool::new(false),
            poisons: Mutex::default(),
            numbers: AtomicU32::new(0),
            history: tells.then(Mutex::default),
        })
    }

    pub(crate) fn clock(&self) -> Clock {
        reading(&self.clock)
    }

    pub(crate) fn now(&self) -> Millis {
        self.clock.load(Ordering::Relaxed)
    }

    /// Time goes on, or back.
    pub(crate) fn pass(&self, millis: Millis) {
        self.clock.fetch_add(millis, Ordering::Relaxed);
    }

    pub(crate) fn below(&self, bound: usize) -> usize {
        usize::try_from(lock(&self.dice).below(bound as u64)).expect("it is small")
    }

    /// Whether what goes wrong so often does so now.
    pub(crate) fn strikes(&self, percent: u64) -> bool {
        !self.calm.load(Ordering::Relaxed) && lock(&self.dice).percent(percent)
    }

    /// Makes a new operation one that breaks workers, now and then.
    pub(crate) fn poison(&self, id: &OperationId) {
        if self.strikes(self.weather.poison) {
            let poison = if self.below(2) == 0 { Poison::AtOnce } else { Poison::AtWork };
            self.tell(|| format!("{id} breaks its workers: {poison:?}"));
            lock(&self.poisons).insert(id.clone(), poison);
        }
    }

    pub(crate) fn breaks(&self, id: &OperationId, when: Poison) -> bool {
        lock(&self.poisons).get(id) == Some(&when)
    }

    pub(crate) fn calm_down(&self) {
        self.calm.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// A number that was not drawn before.
    pub(crate) fn number(&self) -> u32 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// For whoever reads why a seed fails; costs nothing where nobody does.
    pub(crate) fn tell(&self, what: impl FnOnce() -> String) {
        if let Some(history) = &self.history {
            lock(history).push(format!("{:>9} {}", self.now() - BEGIN, what()));
        }
    }

    pub(crate) fn history(&self) -> Vec<String> {
        self.history.as_ref().map_or_else(Vec::new, |history| lock(history).clone())
    }
}

fn reading(clock: &Arc<AtomicI64>) -> Clock {
    let clock = clock.clone();
    Arc::new(move || clock.load(Ordering::Relaxed))
}
