//! The commit points: what the control plane sees changes here, and nowhere else.

use async_trait::async_trait;
use model::{InstanceState, Operation};
use store::Write;

use crate::{Outcome, Step, Work};

/// Makes the spec what the control plane serves, once it has said that it can.
pub(crate) struct Publish;

#[async_trait]
impl Step for Publish {
    fn name(&self) -> &'static str {
        "publish"
    }

    fn says(&self, _operation: &Operation) -> String {
        "Checking and publishing the configuration".into()
    }

    async fn apply(&self, work: &Work<'_>) -> Outcome {
        let operation = work.operation;
        let Some(spec) = &operation.target else {
            return Outcome::Refused { why: "the operation says nothing to publish".into() };
        };
        match work.ports.fleet.check(&operation.instance, spec).await {
            Ok(()) => Outcome::writes(vec![Write::Publish(spec.clone())]),
            Err(why) => Outcome::Refused { why },
        }
    }
}

/// Makes the instance gone for the control plane. Also for one that was never published, which
/// costs nothing and leaves no case apart.
pub(crate) struct Unpublish;

#[async_trait]
impl Step for Unpublish {
    fn name(&self) -> &'static str {
        "unpublish"
    }

    fn says(&self, _operation: &Operation) -> String {
        "Withdrawing the configuration".into()
    }

    async fn apply(&self, _work: &Work<'_>) -> Outcome {
        Outcome::writes(vec![Write::State(InstanceState::Deprovisioning), Write::Unpublish])
    }
}
