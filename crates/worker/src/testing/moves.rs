//! What is true of every move of the engine, for any pipeline and any turn of events.

use std::sync::Arc;

use async_trait::async_trait;
use model::{Operation, OperationState, Plan, StepState, WaitsFor};
use proptest::prelude::*;

use super::world::{id, request, spec};
use crate::engine::{Effect, Event, advance};
use crate::{Budget, Done, Holdings, Limits, Outcome, Pipeline, Step, Work};

/// Nothing but a name, and whether it acts.
struct Bare(usize, bool);

#[async_trait]
impl Step for Bare {
    fn name(&self) -> &'static str {
        ["a", "b", "c", "d", "e", "f", "g"][self.0]
    }

    fn says(&self, _operation: &Operation) -> String {
        self.name().to_uppercase()
    }

    fn acts(&self, _operation: &Operation, _held: &Holdings) -> bool {
        self.1
    }

    async fn apply(&self, _work: &Work<'_>) -> Outcome {
        unreachable!("the engine does not act")
    }
}

/// What happens next.
#[derive(Debug, Clone)]
enum Turn {
    Done,
    Wait(WaitsFor),
    Overdue,
    Retry,
    Refused,
    /// The worker dies; another begins from what was saved.
    Dies,
    Late,
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let turn = prop_oneof![
        12 => Just(Turn::Done),
        2 => Just(Turn::Wait(WaitsFor::Fleet)),
        2 => Just(Turn::Wait(WaitsFor::User)),
        1 => Just(Turn::Overdue),
        4 => Just(Turn::Retry),
        1 => Just(Turn::Refused),
        4 => Just(Turn::Dies),
        1 => Just(Turn::Late),
    ];
    proptest::collection::vec(turn, 0..60)
}

fn pipeline(acts: &[bool], before: usize) -> Pipeline {
    let budget = Budget { attempts: 4, ..Budget::default() };
    let step = |at: usize| -> Arc<dyn Step> { Arc::new(Bare(at, acts[at])) };
    Pipeline {
        before: (0..before).map(step).collect(),
        commit: Arc::new(Bare(before, false)),
        after: (before + 1..acts.len()).map(step).collect(),
        held: Holdings::default(),
        limits: Limits { budget, ..Limits::default() },
    }
}

/// A worker's memory and its disk.
struct Table<'a> {
    pipeline: &'a Pipeline,
    operation: Operation,
    saved: Operation,
    now: i64,
}

impl Table<'_> {
    fn advance(&mut self, event: Event) -> Vec<Effect> {
        let before = self.operation.clone();
        let (operation, effects) = advance(self.pipeline, before.clone(), event.clone(), self.now);
        let again = advance(self.pipeline, before, event, self.now);
        assert_eq!(again, (operation.clone(), effects.clone()), "the same, asked again");
        self.operation = operation;
        for effect in &effects {
            match effect {
                Effect::Save => self.saved = self.operation.clone(),
                Effect::Apply(at) => self.may_apply(*at),
                Effect::Undo(at) => self.may_undo(*at),
                Effect::Yield { at } => assert!(*at >= self.now && self.saved == self.operation),
                Effect::Write(writes) => assert!(!writes.is_empty()),
            }
        }
        effects
    }

    fn state(&self, at: usize) -> StepState {
        self.operation.steps[at].state
    }

    fn may_apply(&self, at: usize) {
        assert_eq!(self.operation.error, None);
        assert_eq!(self.state(at), StepState::Running);
        assert!((0..at).all(|earlier| self.state(earlier) == StepState::Done), "in order");
        self.was_saved(at);
    }

    fn may_undo(&self, at: usize) {
        let (commit, saved) = (self.pipeline.commit_at(), &self.saved);
        assert!(at < commit && self.state(commit) != StepState::Done, "never after the commit");
        let later = at + 1..commit;
        let stands = |at| !matches!(self.state(at), StepState::Pending | StepState::Undone);
        assert!(!later.into_iter().any(stands), "in reverse");
        assert!(saved.error.is_some(), "whoever resumes goes backward, too");
        self.was_saved(at);
    }

    /// What acts is on disk first.
    fn was_saved(&self, at: usize) {
        let acts = self.pipeline.step(at).acts(&self.operation, &self.pipeline.held);
        assert!(!acts || self.saved.steps[at] == self.operation.steps[at], "{:?}", self.saved);
    }

    fn turn(&mut self, turn: &Turn) -> Vec<Effect> {
        let why = || format!("at {}", self.now);
        let outcome = match turn {
            Turn::Done => Outcome::Done(Done { note: Some(why()), ..Done::default() }),
            Turn::Wait(on) => Outcome::Wait { on: *on, note: why() },
            Turn::Retry | Turn::Late => Outcome::Retry { why: why() },
            Turn::Overdue => Outcome::Late { why: why() },
            Turn::Refused => Outcome::Refused { why: why() },
            Turn::Dies => return self.dies(),
        };
        self.now += if matches!(turn, Turn::Late) { 1_000_000 } else { 10 };
        let effects = self.advance(Event::Reported { outcome, jitter: 0.5 });
        let yields = matches!(effects.last(), Some(Effect::Yield { .. }));
        if yields { self.dies() } else { effects }
    }

    fn dies(&mut self) -> Vec<Effect> {
        self.operation = self.saved.clone();
        self.now += 100_000;
        self.advance(Event::Leased { again: true })
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn moves_are_lawful_and_come_to_an_end(
        acts in proptest::collection::vec(any::<bool>(), 1..7),
        before in 0..6_usize,
        turns in turns(),
    ) {
        let pipeline = pipeline(&acts, before.min(acts.len() - 1));
        let wish = Some(spec(Plan::Internal, &["a.test"]));
        let operation = request("o", &id("i"), None, &wish, 1_000).operation;
        let saved = operation.clone();
        let mut table = Table { pipeline: &pipeline, operation, saved, now: 1_000 };
        table.advance(Event::Leased { again: false });
        for turn in turns.iter().chain(std::iter::repeat_n(&Turn::Done, 20)) {
            if table.operation.state != OperationState::InProgress {
                break;
            }
            table.turn(turn);
        }
        let (ended, most) = (table.operation.clone(), pipeline.limits.budget.attempts);
        prop_assert_eq!(&ended, &table.saved, "the end is on disk");
        let done = ended.steps.iter().all(|step| step.state == StepState::Done);
        prop_assert_eq!(done, ended.state == OperationState::Succeeded);
        prop_assert_eq!(!done, ended.error.is_some());
        prop_assert!(ended.state != OperationState::InProgress && ended.finished_at.is_some());
        prop_assert!(ended.steps.iter().all(|step| step.attempts <= most));
        prop_assert_eq!(table.advance(Event::Leased { again: true }), vec![Effect::Save]);
        prop_assert_eq!(&ended, &table.operation, "an end is for ever");
    }
}
