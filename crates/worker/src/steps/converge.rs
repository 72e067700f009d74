//! Waiting until the proxies have what was published: `succeeded` means that the fleet has it.

use async_trait::async_trait;
use model::{Operation, OperationKind, WaitsFor};
use store::Write;

use crate::config::millis;
use crate::{Convergence, Done, Outcome, Step, Work};

/// Of the ready proxies, how many must have a revision at the deadline: one lost proxy of a
/// hundred does not fail everybody's changes.
const ENOUGH_PERCENT: usize = 99;

/// Waits for the fleet.
pub(crate) struct Converge;

#[async_trait]
impl Step for Converge {
    fn name(&self) -> &'static str {
        "converge"
    }

    fn says(&self, _operation: &Operation) -> String {
        "Waiting until every proxy has it".into()
    }

    fn acts(&self, _operation: &Operation, _held: &crate::Holdings) -> bool {
        true
    }

    fn is_skippable(&self) -> bool {
        true
    }

    fn leaves(&self, _operation: &Operation, _held: &crate::Holdings) -> Vec<String> {
        vec!["proxies that have not followed, and may serve what they had".into()]
    }

    async fn apply(&self, work: &Work<'_>) -> Outcome {
        let Some(revision) = work.operation.revision else { return Outcome::done() };
        let fleet = &work.ports.fleet;
        let slice = work.limits.slice;
        match fleet.converged(&work.operation.instance, revision, slice).await {
            Convergence::Live { proxies, notice } => live(work.operation, proxies, proxies, notice),
            Convergence::Rejected { reason } => Outcome::Refused { why: reason },
            Convergence::Behind { have, ready, why } if in_time(work) => {
                let note = format!("live on {have}/{ready} proxies; {why}");
                Outcome::Wait { on: WaitsFor::Fleet, note }
            }
            Convergence::Behind { have, ready, why } if enough(have, ready) => {
                let notice = format!("live on {have}/{ready} proxies; still behind: {why}");
                live(work.operation, have, ready, Some(notice))
            }
            Convergence::Behind { have, ready, why } => {
                let after = work.limits.converge.as_secs();
                Outcome::Late {
                    why: format!("live on only {have}/{ready} proxies after {after} s: {why}"),
                }
            }
        }
    }
}

/// A platform that comes back gives the proxies their whole time again: they have to, as well.
fn in_time(work: &Work<'_>) -> bool {
    let begun = work.operation.steps.iter().find(|record| record.name == "converge");
    let since = begun.and_then(|record| record.started_at).unwrap_or(0).max(work.began);
    (work.ports.clock)() < since + millis(work.limits.converge)
}

/// Never of no proxy at all: a control plane that has not yet looked says so, too.
fn enough(have: usize, ready: usize) -> bool {
    have > 0 && have * 100 >= ready * ENOUGH_PERCENT
}

fn live(operation: &Operation, have: usize, ready: usize, notice: Option<String>) -> Outcome {
    let good = operation.kind != OperationKind::Deprovision;
    let writes = operation.revision.filter(|_| good).map(Write::MarkGood);
    Outcome::Done(Done {
        writes: writes.into_iter().collect(),
        note: Some(format!("live on {have}/{ready} proxies")),
        notice,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ninety_nine_of_a_hundred_are_enough_and_none_of_none_is_not() {
        for (have, ready, expected) in [
            (1, 1, true),
            (0, 0, false),
            (0, 1, false),
            (98, 99, false),
            (99, 100, true),
            (98, 100, false),
            (1980, 2000, true),
            (1979, 2000, false),
        ] {
            assert_eq!(enough(have, ready), expected, "{have}/{ready}");
        }
    }
}
