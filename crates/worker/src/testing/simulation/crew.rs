//! The moves of a simulation: workers, clients and the machine that they run on.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use futures::FutureExt;
use model::{InstanceId, InstanceState, Operation, OperationState};
use store::{Lease, Queue, StoreError};

use super::super::dice::Dice;
use super::super::world::{LEASE, Wish, id, lock, now};
use super::audit;
use super::bugs::{self, Bug};
use super::checks::{Checks, Wrong, all_gone};
use super::client;
use super::eyes::Eyes;
use super::operator;
use super::scene::{Scene, Weather};
use super::schedule::{Kind, Move};
use super::teams;
use crate::Limits;
use crate::carry::{Left, POISON, Watch, carry, is_poison};
use crate::config::millis;

/// Instances that requests are about.
const INSTANCES: [&str; 3] = ["i", "j", "k"];
/// Rounds in which everything has to end once nothing goes wrong any more.
const ROUNDS_MAX: usize = 1_000;
/// Of such rounds, one that looks for operations without a job.
const SWEEP_EVERY: usize = 12;
/// Workers at a time, and clients.
const HANDS_MAX: usize = 4;

type Running<T> = Pin<Box<dyn Future<Output = T>>>;

/// A worker with its one job.
struct Hand {
    lease: Lease,
    running: Running<Result<Left, StoreError>>,
    watch: Arc<Watch>,
    eyes: Eyes,
}

struct Client {
    running: Running<()>,
    eyes: Eyes,
}

pub(crate) struct Crew {
    scene: Arc<Scene>,
    hands: Vec<Hand>,
    clients: Vec<Client>,
    ids: Vec<InstanceId>,
    checks: Checks,
}

impl Crew {
    pub(crate) fn new(weather: Weather, bug: Option<Bug>, tells: bool) -> Self {
        Self {
            scene: Scene::new(weather, bug, tells),
            hands: Vec::new(),
            clients: Vec::new(),
            ids: INSTANCES.map(id).into(),
            checks: Checks::default(),
        }
    }

    pub(crate) fn history(&self) -> Vec<String> {
        self.scene.history()
    }

    /// Makes the moves, and brings everything to its end; how many operations have ended.
    pub(crate) fn run(&mut self, moves: &[Move]) -> Result<usize, Wrong> {
        for one in moves {
            *lock(&self.scene.dice) = Dice::new(one.seed);
            self.make(one.kind);
            self.checks.check(&self.scene)?;
        }
        self.settle()?;
        Ok(self.checks.ended)
    }

    fn make(&mut self, kind: Kind) {
        match kind {
            Kind::Work => self.work(),
            Kind::Lease => self.lease(),
            Kind::Ask => self.ask(),
            Kind::Client => self.client(),
            Kind::Plane => drop(self.scene.plane.tick(&self.scene, 1 + self.scene.below(3))),
            Kind::PlaneRestarts => self.scene.plane.restart(),
            Kind::Time => self.time_passes(),
            Kind::LateCall => self.late_call(),
            Kind::Loss => self.lose_a_hand(),
            Kind::Drain => self.drain_a_hand(),
            Kind::Crash => self.crash(),
            Kind::LostJob => self.lose_a_job(),
            Kind::Sweep => self.sweep(),
            Kind::Operator => operator::steps_in(&self.scene, &self.ids),
        }
    }

    /// One boundary of one worker.
    fn work(&mut self) {
        if self.hands.is_empty() {
            return self.lease();
        }
        let at = self.scene.below(self.hands.len());
        let hand = &mut self.hands[at];
        if now_or_not(self.scene.store.revoked(&hand.lease.fence)) {
            hand.watch.drain.store(true, Ordering::Relaxed);
        }
        let left = hand.running.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let at_last = match left {
            Poll::Ready(Ok(Left::Until(at))) => Some(at),
            // Whoever was told to make way says that it has.
            Poll::Ready(Err(StoreError::Fenced)) => Some(self.scene.now()),
            _ => None,
        };
        let fails = self.scene.strikes(self.scene.weather.store_fails);
        if let Some(at) = at_last.filter(|_| !fails) {
            // Refused when the job is another's by now.
            let _ = now(self.scene.store.release(&hand.lease.fence, at));
        }
        if left.is_ready() || hand.eyes.dead.load(Ordering::Relaxed) {
            self.hands.swap_remove(at);
        }
    }

    fn lease(&mut self) {
        if self.hands.len() >= HANDS_MAX {
            return;
        }
        let hour = if self.scene.has(Bug::LeasedTwice) { 3_600_000 } else { 0 };
        let lease = now(self.scene.store.sqlite().lease(self.scene.now() + hour, LEASE));
        let Some(mut lease) = lease.expect("leases") else { return };
        lease.until -= hour;
        lock(&self.scene.store.watched).leased(&lease, self.scene.now());
        self.scene
            .tell(|| format!("worker {} leases {}", lease.fence.number, lease.fence.operation));
        // The answer was lost; the lease runs out.
        if !self.scene.strikes(self.scene.weather.answers_lost) {
            self.take_up(lease);
        }
    }

    fn take_up(&mut self, lease: Lease) {
        lock(&self.scene.store.watched).taken_up(&lease);
        if is_poison(&lease) && !self.scene.has(Bug::NeverBuries) {
            self.scene.tell(|| format!("{} is given up", lease.fence.operation));
            let now_is = self.scene.now();
            return now(self.scene.store.bury(&lease.fence, POISON, now_is)).expect("it is ended");
        }
        let eyes = Eyes::new(&self.scene, Some(lease.fence.clone()));
        let watch = Arc::new(Watch { began: self.scene.now(), ..Watch::default() });
        let (ports, job, watched) = (eyes.ports(), lease.clone(), watch.clone());
        let bug = self.scene.bug;
        let running = Box::pin(async move {
            let pipelines = move |operation: &Operation, held, limits| {
                bugs::pipeline(bug, operation, held, limits)
            };
            loop {
                let limits = Limits::default();
                let left = carry(&ports, &limits, &pipelines, &job, &watched).await;
                if !matches!(left, Err(StoreError::Unavailable(_))) {
                    return left;
                }
            }
        });
        self.hands.push(Hand { lease, running, watch, eyes });
    }

    fn ask(&mut self) {
        if self.clients.len() >= HANDS_MAX {
            return self.client();
        }
        let id = self.ids[self.scene.below(self.ids.len())].clone();
        let wish = client::wish(&self.scene);
        self.begin_to_ask(id, wish);
    }

    fn begin_to_ask(&mut self, id: InstanceId, wish: Wish) {
        let eyes = Eyes::new(&self.scene, None);
        let running = Box::pin(client::ask(eyes.clone(), id, wish));
        self.clients.push(Client { running, eyes });
    }

    /// One boundary of one client.
    fn client(&mut self) {
        if self.clients.is_empty() {
            return;
        }
        // Each request is another millisecond's.
        self.scene.pass(1);
        let at = self.scene.below(self.clients.len());
        let client = &mut self.clients[at];
        let done = client.running.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if done.is_ready() || client.eyes.dead.load(Ordering::Relaxed) {
            self.clients.swap_remove(at);
        }
    }

    fn time_passes(&mut self) {
        let scene = self.scene.clone();
        let most = match scene.below(20) {
            _ if scene.strikes(scene.weather.jumps) => 3 * 60 * 60 * 1_000,
            0 => 20 * 60 * 1_000,
            1..8 => 100,
            _ => 2 * millis(LEASE),
        };
        let jumps_back = most > 30 * 60 * 1_000 && scene.below(2) == 0;
        let passed = i64::try_from(scene.below(usize::try_from(most).expect("it is small")));
        let passed = passed.expect("it is small");
        scene.tell(|| format!("{passed} ms pass{}", if jumps_back { " backwards" } else { "" }));
        scene.pass(if jumps_back { -passed } else { passed });
        let until = scene.now() + millis(LEASE);
        for hand in &mut self.hands {
            // However the clock is set, a worker looks after its lease each few seconds.
            hand.lease.until = hand.lease.until.min(until);
            let stalls = scene.strikes(scene.weather.stalls);
            if stalls && hand.lease.until <= scene.now() {
                hand.eyes.expired.store(true, Ordering::Relaxed);
            } else if !stalls && now(scene.store.extend(&hand.lease.fence, until)).is_ok() {
                hand.lease.until = until;
            } else if !stalls {
                hand.eyes.expired.store(true, Ordering::Relaxed);
            }
        }
    }

    fn late_call(&mut self) {
        let mut late = lock(&self.scene.cloud.late);
        if late.is_empty() {
            return;
        }
        let at = self.scene.below(late.len());
        let call = late.swap_remove(at);
        drop(late);
        let changed = self.scene.cloud.call(&call);
        self.scene.tell(|| format!("late arrives: {call:?} → {changed:?}"));
    }

    fn lose_a_hand(&mut self) {
        if !self.hands.is_empty() {
            let at = self.scene.below(self.hands.len());
            self.hands.swap_remove(at);
        }
    }

    fn drain_a_hand(&mut self) {
        if !self.hands.is_empty() {
            let at = self.scene.below(self.hands.len());
            self.hands[at].watch.drain.store(true, Ordering::Relaxed);
        }
    }

    fn crash(&mut self) {
        self.scene.tell(|| "the process is killed, and comes back".into());
        self.hands.clear();
        self.clients.clear();
        self.scene.plane.restart();
        self.scene.store.reopen();
        self.sweep();
    }

    /// Of those that nobody holds: nothing but a defect of the store could lose another.
    fn lose_a_job(&mut self) {
        let jobs = self.scene.store.jobs();
        let held = |id: &_| self.hands.iter().any(|hand| hand.lease.fence.operation == *id);
        let free: Vec<_> = jobs.into_iter().filter(|job| !held(&job.operation)).collect();
        let Some(job) = free.get(self.scene.below(free.len().max(1))) else { return };
        self.scene.tell(|| format!("the job of {} is lost", job.operation));
        self.scene.store.lose_job(&job.operation);
    }

    fn sweep(&mut self) {
        if !self.scene.has(Bug::NoSweep) {
            now(self.scene.store.sweep(self.scene.now())).expect("sweeps");
        }
    }

    /// Nothing goes wrong any more: everything accepted ends, and everything can be taken away.
    fn settle(&mut self) -> Result<(), Wrong> {
        self.scene.calm_down();
        self.scene.tell(|| "calm".into());
        self.hands.clear();
        self.clients.clear();
        self.end_all()?;
        teams::counted(&self.scene, &self.ids)?;
        for id in self.ids.clone() {
            let state = self.scene.store.find(&id).map(|instance| instance.state);
            if state.is_some_and(|state| state != InstanceState::Deleted) {
                self.begin_to_ask(id, None);
            }
        }
        self.end_all()?;
        let failed = {
            let watched = lock(&self.scene.store.watched);
            let mut newest = watched.newest.values().filter_map(|id| watched.operations.get(id));
            newest.find(|o| o.state != OperationState::Succeeded).cloned()
        };
        // One that was never there was never taken away.
        let gone = |id: &InstanceId| {
            self.scene.store.find(id).is_none_or(|it| it.state == InstanceState::Deleted)
        };
        if !self.ids.iter().all(gone) {
            return Err(format!("a last deprovision has failed: {failed:?}"));
        }
        while !lock(&self.scene.cloud.late).is_empty() {
            self.late_call();
        }
        self.checks.check(&self.scene)?;
        all_gone(&self.scene, &self.ids)?;
        teams::counted(&self.scene, &self.ids)?;
        audit::check(&self.scene)
    }

    fn end_all(&mut self) -> Result<(), Wrong> {
        for round in 0..ROUNDS_MAX {
            if round % SWEEP_EVERY == 0 {
                self.sweep();
            }
            while !self.clients.is_empty() {
                self.client();
                self.checks.check(&self.scene)?;
            }
            if self.scene.store.open_operation().is_none() {
                return Ok(());
            }
            self.scene.plane.tick(&self.scene, 100);
            self.lease();
            if self.hands.is_empty() {
                self.scene.pass(5_000);
            }
            for _ in 0..ROUNDS_MAX {
                if self.hands.is_empty() {
                    break;
                }
                self.work();
                self.checks.check(&self.scene)?;
            }
        }
        let stuck = self.scene.store.open_operation();
        Err(format!("an operation never ends: {stuck:?}"))
    }
}

fn now_or_not(future: impl Future<Output = ()>) -> bool {
    future.now_or_never().is_some()
}
