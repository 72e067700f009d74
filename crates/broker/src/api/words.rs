//! The enums of `model` as the API spells them, so that its document lists every value, and a new
//! variant does not compile until it is here.

use serde::Serialize;
use utoipa::ToSchema;

macro_rules! mirror {
    ($(#[$doc:meta])* $name:ident of $model:ty { $($variant:ident = $word:tt),* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
        pub(crate) enum $name { $(#[serde(rename = $word)] $variant),* }

        impl From<$model> for $name {
            fn from(model: $model) -> Self {
                match model { $(<$model>::$variant => Self::$variant),* }
            }
        }
    };
}

mirror! {
    /// Where an instance is in its life.
    InstanceState of model::InstanceState {
        Provisioning = "provisioning", Ready = "ready", Failed = "failed",
        Deprovisioning = "deprovisioning", Deleted = "deleted"
    }
}
mirror! {
    /// Who can reach it: `internal` listeners, or `public` ones as well.
    Plan of model::Plan { Internal = "internal", Public = "public" }
}
mirror! {
    /// What an operation does.
    OperationKind of model::OperationKind {
        Provision = "provision", Update = "update", Deprovision = "deprovision"
    }
}
mirror! {
    /// How an operation stands. It has succeeded when every proxy has the change.
    OperationState of model::OperationState {
        InProgress = "in progress", Succeeded = "succeeded", Failed = "failed"
    }
}
mirror! {
    /// How far a step has come.
    StepState of model::StepState {
        Pending = "pending", Running = "running", Done = "done", Undoing = "undoing",
        Undone = "undone", Failed = "failed"
    }
}

mirror! {
    /// What a step waits for while no worker has anything to do for it.
    WaitsFor of model::WaitsFor { User = "user", External = "external", Fleet = "fleet" }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn they_are_spelled_as_in_the_store() {
        use model::{InstanceState as I, OperationKind as K, OperationState as O, StepState as S};
        for state in [I::Provisioning, I::Ready, I::Failed, I::Deprovisioning, I::Deleted] {
            assert_eq!(json!(state), json!(InstanceState::from(state)));
        }
        for plan in model::Plan::ALL {
            assert_eq!(json!(plan), json!(Plan::from(plan)));
        }
        for kind in [K::Provision, K::Update, K::Deprovision] {
            assert_eq!(json!(kind), json!(OperationKind::from(kind)));
        }
        for state in [O::InProgress, O::Succeeded, O::Failed] {
            assert_eq!(json!(state), json!(OperationState::from(state)));
        }
        for state in [S::Pending, S::Running, S::Done, S::Undoing, S::Undone, S::Failed] {
            assert_eq!(json!(state), json!(StepState::from(state)));
        }
    }
}
