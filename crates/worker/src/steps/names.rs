//! Hostname claims: who may be served at a name.

use async_trait::async_trait;
use model::{InstanceState, Operation};
use store::Write;

use super::list;
use crate::{Outcome, Step, Work};

/// The names were claimed in the transaction that accepted the operation, so that a name which
/// another service owns is refused at the door. What is left for a pipeline is to give them back.
pub(crate) struct ClaimHostnames;

#[async_trait]
impl Step for ClaimHostnames {
    fn name(&self) -> &'static str {
        "claim-hostnames"
    }

    fn says(&self, operation: &Operation) -> String {
        let names = operation.target.as_ref().map_or(&[][..], |spec| &spec.hostnames);
        format!("Claiming {}", list(names))
    }

    async fn apply(&self, _work: &Work<'_>) -> Outcome {
        Outcome::done()
    }

    /// Exactly those that were not held before.
    async fn undo(&self, work: &Work<'_>) -> Outcome {
        let names = work.operation.target.iter().flat_map(|spec| &spec.hostnames);
        let new: Vec<_> =
            names.filter(|name| !work.held.names.contains_key(name)).cloned().collect();
        Outcome::writes(if new.is_empty() { vec![] } else { vec![Write::Release(new)] })
    }
}

/// Gives up the names that the instance no longer has: after an update those that are not in its
/// spec; after a deprovision all, and with them its life.
pub(crate) struct ReleaseHostnames;

#[async_trait]
impl Step for ReleaseHostnames {
    fn name(&self) -> &'static str {
        "release-hostnames"
    }

    fn says(&self, _operation: &Operation) -> String {
        "Releasing hostnames that are no longer used".into()
    }

    async fn apply(&self, work: &Work<'_>) -> Outcome {
        let Some(spec) = &work.operation.target else {
            return Outcome::writes(vec![Write::ReleaseAll, Write::State(InstanceState::Deleted)]);
        };
        let old = work.held.beyond(Some(spec));
        Outcome::writes(if old.is_empty() { vec![] } else { vec![Write::Release(old)] })
    }
}
