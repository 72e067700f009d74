//! The next move of an operation: a pure function of what it is and what happened.
//!
//! `advance` is told that a worker has leased the operation, or how a step came out, and answers
//! with the operation as it now is and what to do, in order. The direction is kept in the operation
//! itself: one in progress that has an `error` is being undone.
//!
//! *Architecture invariant:* no I/O, no clock, no randomness. A step that acts on the outside world
//! is saved as begun before it is; all else is collected and committed with the next save.

mod backoff;

use std::time::Duration;

use model::{
    InstanceState, Millis, Operation, OperationKind, OperationState, StepRecord, StepState, Waits,
    WaitsFor, counted,
};
use store::Write;

use crate::config::millis;
use crate::{Budget, Done, Outcome, Pipeline};

/// The longest note, error or notice in bytes: an operation is written whole with each save, and
/// read by people.
const TEXT_BYTES_MAX: usize = 2_000;

/// How often a step of a forced deprovision is begun that can be passed over: what is wrong is known
/// by then.
const ATTEMPTS_FORCED_MAX: u32 = 3;

/// What happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// A worker has leased the operation.
    Leased {
        /// Another lease was given before: something may have happened that no record tells. The
        /// attempt is then counted on disk before it begins, so that an operation that kills its
        /// workers ends.
        again: bool,
    },
    /// The step that was to be applied or undone came out so.
    Reported {
        /// How.
        outcome: Outcome,
        /// In `0.0..1.0`: which part of the longest delay to wait, should it be tried again.
        jitter: f64,
    },
}

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Keep these, to be committed with the next save, in order.
    Write(Vec<Write>),
    /// Commit the operation and what was kept.
    Save,
    /// Apply the step at this place, and report.
    Apply(usize),
    /// Undo the step at this place, and report.
    Undo(usize),
    /// Give the operation back until then.
    Yield {
        /// Not before this time.
        at: Millis,
    },
}

/// The next move. An operation that has ended is saved once more, which ends its job.
pub fn advance(
    pipeline: &Pipeline,
    operation: Operation,
    event: Event,
    now: Millis,
) -> (Operation, Vec<Effect>) {
    let mut turn = Turn { pipeline, operation, now, effects: Vec::new() };
    match event {
        _ if turn.operation.state != OperationState::InProgress => turn.effect(Effect::Save),
        Event::Leased { again } => turn.leased(again),
        Event::Reported { outcome, jitter } => turn.reported(outcome, jitter),
    }
    (turn.operation, turn.effects)
}

struct Turn<'a> {
    pipeline: &'a Pipeline,
    operation: Operation,
    now: Millis,
    effects: Vec<Effect>,
}

impl Turn<'_> {
    fn leased(&mut self, again: bool) {
        self.align();
        let Some(at) = self.current() else { return self.go_on(again) };
        match self.record(at).next_at {
            Some(next_at) if self.is_early(at, next_at) => {
                self.effect(Effect::Yield { at: next_at });
            }
            _ if self.too_late(at) => self.fail(at, self.lateness(at)),
            _ => self.go_on(again),
        }
    }

    /// What waits may be looked at whenever there is news of it; and a delay longer than any was
    /// drawn before the clock was set back.
    fn is_early(&self, at: usize, next_at: Millis) -> bool {
        let longest = self.now + millis(self.budget(at).backoff_max);
        let waits = self.record(at).waits_now().is_some();
        next_at > self.now && next_at <= longest && !waits
    }

    fn reported(&mut self, outcome: Outcome, jitter: f64) {
        let Some(at) = self.current() else { return self.go_on(false) };
        match outcome {
            Outcome::Done(done) => self.done(at, done),
            Outcome::Wait { on, note } => self.wait(at, on, clip(note)),
            Outcome::Late { why } => self.fail(at, clip(why)),
            Outcome::Retry { why } => self.retry(at, clip(why), jitter),
            Outcome::Refused { why } => {
                self.operation.hopeless |= !self.backward();
                self.fail(at, clip(why));
            }
        }
    }

    /// Makes one record for each step of the pipeline. Records of an earlier release keep what
    /// they say of the steps that are still there.
    fn align(&mut self) {
        let mut known = std::mem::take(&mut self.operation.steps);
        let records = self.pipeline.steps().map(|step| {
            match known.iter().position(|record| record.name == step.name()) {
                Some(at) => known.swap_remove(at),
                None => StepRecord {
                    skippable: step.is_skippable(),
                    ..StepRecord::new(step.name(), step.says(&self.operation))
                },
            }
        });
        self.operation.steps = records.collect();
        self.claims_are_undone();
    }

    /// What was cancelled before a worker had begun it has made claims all the same: they came with
    /// its acceptance, and the first step's undo gives them up.
    fn claims_are_undone(&mut self) {
        let untouched = self.operation.steps.iter().all(|it| it.state == StepState::Pending);
        if self.backward() && untouched && self.pipeline.commit_at() > 0 {
            self.record_mut(0).state = StepState::Running;
        }
    }

    fn backward(&self) -> bool {
        self.operation.error.is_some()
    }

    /// The step to be applied, or to be undone; `None` when nothing is left to do.
    fn current(&self) -> Option<usize> {
        let states = || self.operation.steps.iter().map(|record| record.state);
        if self.backward() {
            let before = self.pipeline.commit_at();
            let stands = |state| !matches!(state, StepState::Pending | StepState::Undone);
            return states().take(before).rposition(stands);
        }
        let committed = states().nth(self.pipeline.commit_at()) == Some(StepState::Done);
        let from = if committed { self.pipeline.commit_at() + 1 } else { 0 };
        states().skip(from).position(|state| state != StepState::Done).map(|at| from + at)
    }

    /// Begins what is to be done next, or ends the operation.
    fn go_on(&mut self, save: bool) {
        match (self.current(), self.backward()) {
            (Some(at), back) => self.begin(at, back, save),
            (None, false) => self.end(OperationState::Succeeded, None),
            (None, true) => self.end(OperationState::Failed, undone(self.operation.kind)),
        }
    }

    fn begin(&mut self, at: usize, back: bool, save: bool) {
        let (state, now) = (if back { StepState::Undoing } else { StepState::Running }, self.now);
        let acts = self.pipeline.step(at).acts(&self.operation, &self.pipeline.held);
        let attempts_max = self.budget(at).attempts;
        let record = self.record_mut(at);
        if record.waits_now().is_some() && record.state == state {
            // A look changes nothing, and costs an attempt only if it fails.
            return self.run(at, back);
        }
        if back && record.state != StepState::Undoing {
            (record.attempts, record.waits) = (0, None);
        }
        if record.attempts >= attempts_max {
            let why = record.note.take().unwrap_or_else(|| "it was interrupted each time".into());
            return self.give_up(at, &why);
        }
        record.state = state;
        record.attempts += 1;
        record.next_at = None;
        record.started_at.get_or_insert(now);
        if acts || save {
            self.effect(Effect::Save);
        }
        self.run(at, back);
    }

    fn run(&mut self, at: usize, back: bool) {
        self.effect(if back { Effect::Undo(at) } else { Effect::Apply(at) });
    }

    fn done(&mut self, at: usize, done: Done) {
        let (back, now) = (self.backward(), self.now);
        let record = self.record_mut(at);
        record.state = if back { StepState::Undone } else { StepState::Done };
        record.finished_at = Some(now);
        record.next_at = None;
        if !back {
            record.note = done.note.map(clip);
        }
        if done.notice.is_some() {
            self.operation.notice = done.notice.map(clip);
        }
        self.write(done.writes);
        self.go_on(false);
    }

    fn wait(&mut self, at: usize, on: WaitsFor, note: String) {
        let (now, before) = (self.now, self.record(at).clone());
        let since = before.waits.map_or(now, |waits| waits.since);
        let waited = now.saturating_sub(since).max(0);
        if on != WaitsFor::Fleet && waited >= millis(self.budget(at).patience) {
            let hours = counted(waited / 3_600_000, "hour");
            return self.fail(at, format!("{note} (waited for {hours})"));
        }
        let next_at = now + backoff::look(&self.pipeline.limits, on, waited);
        let record = self.record_mut(at);
        record.waits = Some(Waits { on, since });
        record.note = Some(note);
        // What was called has answered: the next failure is a first one.
        record.attempts = 1;
        // Proxies are looked at often, and mostly found as they were: that is not worth a commit.
        if on != WaitsFor::Fleet || *record != before {
            record.next_at = Some(next_at);
            self.effect(Effect::Save);
        }
        self.effect(Effect::Yield { at: next_at });
    }

    fn retry(&mut self, at: usize, why: String, jitter: f64) {
        let budget = self.budget(at);
        let looked = self.record(at).waits_now().is_some();
        let record = self.record_mut(at);
        // A look that failed: `begin` counts none.
        record.attempts += u32::from(looked);
        let attempts = record.attempts;
        if attempts >= budget.attempts {
            return self.give_up(at, &why);
        }
        let next_at = self.now + backoff::delay(&budget, attempts, jitter);
        let record = self.record_mut(at);
        record.note = Some(why);
        record.next_at = Some(next_at);
        if self.too_late(at) {
            return self.fail(at, self.lateness(at));
        }
        self.effect(Effect::Save);
        self.effect(Effect::Yield { at: next_at });
    }

    fn give_up(&mut self, at: usize, why: &str) {
        let attempts = self.record(at).attempts;
        self.fail(at, format!("{why} (gave up after {})", counted(attempts, "attempt")));
    }

    /// The step at `at` has failed for good.
    fn fail(&mut self, at: usize, why: String) {
        let (commit, now) = (self.pipeline.commit_at(), self.now);
        if self.backward() {
            return self.fail_undo(at, &why);
        }
        let record = self.record_mut(at);
        record.note = Some(why.clone());
        record.next_at = None;
        record.finished_at = Some(now);
        // What fails before the commit may have half happened, and is undone like what was done.
        record.state = if at < commit { StepState::Running } else { StepState::Failed };
        if self.may_pass_over(at) {
            return self.pass_over(at, &why);
        }
        self.operation.error = Some(why);
        if at > commit {
            return self.end(OperationState::Failed, None);
        }
        // Saved at once: whoever resumes goes on backward.
        self.go_on(true);
    }

    /// Only what leaves something that can be told: not the commit, nor the names.
    fn may_pass_over(&self, at: usize) -> bool {
        let is_skippable = self.pipeline.step(at).is_skippable();
        self.operation.force && at > self.pipeline.commit_at() && is_skippable
    }

    /// An operator wants it gone, whatever stays: that is told.
    fn pass_over(&mut self, at: usize, why: &str) {
        let leaves = self.pipeline.step(at).leaves(&self.operation, &self.pipeline.held);
        self.operation.leftovers.extend(leaves.iter().map(|what| clip(format!("{what}: {why}"))));
        self.operation.hopeless = false;
        let record = self.record_mut(at);
        record.state = StepState::Done;
        record.skipped = Some("it failed, and the deprovision was forced".to_owned());
        self.go_on(true);
    }

    /// What cannot be undone is left and named, and with it all that it rests on: a name is not
    /// given up while its record still leads here.
    fn fail_undo(&mut self, at: usize, why: &str) {
        let now = self.now;
        let record = self.record_mut(at);
        record.note = Some(why.to_owned());
        record.next_at = None;
        record.finished_at = Some(now);
        record.state = StepState::Failed;
        let failed = self.operation.error.take().unwrap_or_default();
        self.operation.error = Some(format!("{failed}; undoing it failed as well: {why}"));
        self.end(OperationState::Failed, half_undone(self.operation.kind));
    }

    fn end(&mut self, state: OperationState, instance: Option<InstanceState>) {
        self.operation.state = state;
        self.operation.finished_at = Some(self.now);
        self.write(instance.map(Write::State).into_iter().collect());
        self.effect(Effect::Save);
    }

    /// Only what is on its way to its commit can be late.
    fn too_late(&self, at: usize) -> bool {
        let deadline = self.operation.created_at + millis(self.deadline()) + self.waited();
        at <= self.pipeline.commit_at() && !self.backward() && self.now >= deadline
    }

    fn deadline(&self) -> Duration {
        self.pipeline.limits.deadline(self.operation.kind)
    }

    /// What the steps have waited for others.
    fn waited(&self) -> Millis {
        let of = |record: &StepRecord| {
            let until = record.finished_at.unwrap_or(self.now);
            record.waits.map_or(0, |waits| until.saturating_sub(waits.since).max(0))
        };
        self.operation.steps.iter().map(of).sum()
    }

    fn budget(&self, at: usize) -> Budget {
        let budget = self.pipeline.step(at).budget(&self.pipeline.limits);
        let most = if self.may_pass_over(at) { ATTEMPTS_FORCED_MAX } else { u32::MAX };
        Budget { attempts: budget.attempts.min(most), ..budget }
    }

    fn lateness(&self, at: usize) -> String {
        let minutes = counted(self.deadline().as_secs() / 60, "minute");
        let what = self.record(at).note.as_deref().unwrap_or("the platform was not working on it");
        format!("not published within {minutes}: {what}")
    }

    fn write(&mut self, writes: Vec<Write>) {
        if !writes.is_empty() {
            self.effect(Effect::Write(writes));
        }
    }

    fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    fn record(&self, at: usize) -> &StepRecord {
        &self.operation.steps[at]
    }

    fn record_mut(&mut self, at: usize) -> &mut StepRecord {
        &mut self.operation.steps[at]
    }
}

/// The life of an instance after an operation that was undone as a whole.
fn undone(kind: OperationKind) -> Option<InstanceState> {
    (kind == OperationKind::Provision).then_some(InstanceState::Failed)
}

/// After one that was not: a provision has left something, which a deprovision takes away.
fn half_undone(kind: OperationKind) -> Option<InstanceState> {
    (kind == OperationKind::Provision).then_some(InstanceState::Deprovisioning)
}

fn clip(mut text: String) -> String {
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        text.push('…');
    }
    text
}
