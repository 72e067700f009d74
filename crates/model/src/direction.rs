//! What an operator may do about an operation in progress that does not come to its end.

use crate::{Millis, Operation, OperationKind, OperationState, StepRecord, StepState};

/// An operator's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Direction {
    /// What is delayed or waits is tried at once, its attempts counted anew.
    Retry,
    /// The step of this name is passed over: an operator has seen to what it does.
    Skip {
        /// The step.
        step: String,
        /// Why.
        reason: String,
    },
    /// What was done is undone.
    Cancel {
        /// Why.
        reason: String,
    },
}

impl Direction {
    /// As the audit log names it.
    pub fn action(&self) -> &'static str {
        match self {
            Self::Retry => "operation.retry",
            Self::Skip { .. } => "operation.skip",
            Self::Cancel { .. } => "operation.cancel",
        }
    }
}

impl Operation {
    /// Does as `by` says, or tells why that makes no sense.
    ///
    /// # Errors
    /// In words for the operator; nothing was changed.
    pub fn direct(&mut self, direction: &Direction, by: &str, now: Millis) -> Result<(), String> {
        if self.state != OperationState::InProgress {
            return Err("the operation has ended; ask for the change once more instead".to_owned());
        }
        match direction {
            Direction::Retry => self.retry(),
            Direction::Skip { step, reason } => self.skip(step, reason, by, now),
            Direction::Cancel { reason } => self.cancel(reason, by),
        }
    }

    fn retry(&mut self) -> Result<(), String> {
        let open =
            |step: &&mut StepRecord| matches!(step.state, StepState::Running | StepState::Undoing);
        let Some(step) = self.steps.iter_mut().find(open) else {
            return Err("it waits for a worker, and nothing delays it".to_owned());
        };
        if step.next_at.is_none() && step.waits_now().is_none() {
            return Err(format!("`{}` is being worked on; nothing delays it", step.name));
        }
        (step.next_at, step.attempts) = (None, 0);
        Ok(())
    }

    fn skip(&mut self, name: &str, reason: &str, by: &str, now: Millis) -> Result<(), String> {
        let back = self.error.is_some();
        let names: Vec<_> = self.steps.iter().map(|step| step.name.clone()).collect();
        let Some(step) = self.steps.iter_mut().find(|step| step.name == name) else {
            return Err(match names.is_empty() {
                true => "no worker has taken it yet, so that it has no steps".to_owned(),
                false => format!("it has no step `{name}`; there are {}", names.join(", ")),
            });
        };
        if !step.skippable {
            return Err(format!("without `{name}` the operation would not be what was asked for"));
        }
        step.state = match (back, step.state) {
            (false, StepState::Pending | StepState::Running) => StepState::Done,
            (true, StepState::Running | StepState::Undoing | StepState::Done) => StepState::Undone,
            _ => return Err(format!("`{name}` is over already")),
        };
        step.next_at = None;
        step.finished_at = Some(now);
        step.skipped = Some(reason.to_owned());
        let what = if back { "not undone" } else { "not done" };
        self.leftovers.push(format!("{what}, as {by} said: {} ({reason})", step.says));
        Ok(())
    }

    fn cancel(&mut self, reason: &str, by: &str) -> Result<(), String> {
        if self.kind == OperationKind::Deprovision {
            let why = "a deprovision is not undone; `margrave delete --force` brings it to its end";
            return Err(why.to_owned());
        }
        if self.revision.is_some() {
            let why =
                "it is published, and proxies may serve it: ask for an update or a deprovision";
            return Err(why.to_owned());
        }
        if self.error.is_some() {
            return Err("it is being undone already".to_owned());
        }
        self.error = Some(format!("cancelled by {by}: {reason}"));
        for step in &mut self.steps {
            step.next_at = None;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Requester, Waits, WaitsFor};

    fn operation(kind: OperationKind, steps: &[(&str, StepState)]) -> Operation {
        let by = Requester {
            credential: "c".to_owned(),
            originating_identity: None,
            request_identity: None,
        };
        let fresh = Operation::new("o".parse().unwrap(), "i".parse().unwrap(), kind, by, 0);
        let record = |(name, state): &(&str, StepState)| StepRecord {
            state: *state,
            attempts: 3,
            skippable: *name != "publish",
            ..StepRecord::new(*name, name.to_uppercase())
        };
        Operation { steps: steps.iter().map(record).collect(), ..fresh }
    }

    fn skip(step: &str) -> Direction {
        Direction::Skip { step: step.to_owned(), reason: "by hand".to_owned() }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_reason() {
        use OperationKind::{Deprovision, Update};
        use StepState::{Done, Pending, Running, Undone};
        let cancel = Direction::Cancel { reason: "a typo".to_owned() };
        let at = |dns, publish| vec![("dns", dns), ("publish", publish)];
        for (kind, steps, published, direction, refusal) in [
            (Update, vec![], false, Direction::Retry, "waits for a worker"),
            (Update, at(Running, Pending), false, Direction::Retry, "is being worked on"),
            (Update, vec![], false, skip("dns"), "no worker has taken it"),
            (Update, at(Running, Pending), false, skip("cdn"), "there are dns, publish"),
            (Update, at(Done, Running), false, skip("publish"), "not be what was asked"),
            (Update, at(Done, Running), false, skip("dns"), "is over already"),
            (Update, at(Undone, Pending), false, skip("dns"), "is over already"),
            (Deprovision, at(Done, Running), false, cancel.clone(), "is not undone"),
            (Update, at(Done, Done), true, cancel.clone(), "it is published"),
        ] {
            let mut operation = operation(kind, &steps);
            operation.revision = published.then_some(7);
            let before = operation.clone();
            let refused = operation.direct(&direction, "op", 9).expect_err("refused");
            assert!(refused.contains(refusal), "{direction:?}: {refused}");
            assert_eq!(operation, before, "{direction:?}");
        }
        let mut ended = operation(Update, &[]);
        ended.state = OperationState::Failed;
        assert!(ended.direct(&cancel, "op", 9).is_err());
        let mut undone = operation(Update, &at(Running, Pending));
        assert_eq!(undone.direct(&cancel, "op", 9), Ok(()));
        assert_eq!(undone.error.as_deref(), Some("cancelled by op: a typo"));
        assert!(undone.direct(&cancel, "op", 9).is_err(), "once is enough");
    }

    #[test]
    fn what_makes_sense_is_done() {
        use StepState::{Done, Pending, Running, Undoing, Undone};
        for (state, error, after) in [
            (Pending, None, Done),
            (Running, None, Done),
            (Undoing, Some("no"), Undone),
            (Done, Some("no"), Undone),
        ] {
            let mut operation = operation(OperationKind::Update, &[("dns", state)]);
            operation.error = error.map(str::to_owned);
            assert_eq!(operation.direct(&skip("dns"), "op", 9), Ok(()));
            let step = &operation.steps[0];
            assert_eq!((step.state, step.skipped.as_deref()), (after, Some("by hand")));
            assert_eq!(operation.leftovers.len(), 1, "{operation:?}");
        }
        let delayed = StepRecord { next_at: Some(99), ..StepRecord::new("dns", "DNS") };
        let waits = Some(Waits { on: WaitsFor::User, since: 1 });
        let waiting = StepRecord { waits, ..StepRecord::new("dns", "DNS") };
        for step in [delayed, waiting] {
            let mut operation = operation(OperationKind::Update, &[]);
            operation.steps = vec![StepRecord { state: Running, attempts: 3, ..step }];
            assert_eq!(operation.direct(&Direction::Retry, "op", 9), Ok(()));
            assert_eq!((operation.steps[0].attempts, operation.steps[0].next_at), (0, None));
        }
    }
}
