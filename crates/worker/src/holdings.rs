//! What an instance may hold of names and records when an operation begins.
//!
//! Read from what its earlier operations left and not from `previous` alone: after an update that
//! was published and then rejected by the fleet, the instance is still served at an older spec,
//! whose names and records nobody has cleaned up.

use std::collections::BTreeMap;

use model::{Exposure, Hostname, Operation, OperationKind, OperationState, Plan, Spec, StepState};
use store::{Store, StoreError};

/// Read first: the operation itself and the one before it, which has nearly always succeeded.
const HISTORY_FIRST: usize = 2;

/// What an instance may hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Holdings {
    /// Each name, and the widest that its record may lead to: before a success, operations only
    /// widen records.
    pub names: BTreeMap<Hostname, Exposure>,
    /// Whether all of that is certain: the operation before succeeded, or left nothing.
    pub settled: bool,
}

impl Holdings {
    /// What the instance of `operation` held before it.
    pub(crate) async fn read(store: &dyn Store, operation: &Operation) -> Result<Self, StoreError> {
        let mut limit = HISTORY_FIRST;
        loop {
            let history = store.operations(&operation.instance, limit).await?;
            let whole = history.len() < limit;
            let earlier = history.iter().filter(|o| o.id != operation.id);
            if whole || earlier.clone().any(|o| o.state == OperationState::Succeeded) {
                return Ok(Self::after(operation, earlier));
            }
            limit *= 8;
        }
    }

    /// What remains of `earlier` operations, latest first, when `operation` begins.
    fn after<'a>(operation: &'a Operation, earlier: impl Iterator<Item = &'a Operation>) -> Self {
        let mut held = Self { names: BTreeMap::new(), settled: true };
        for one in earlier {
            let succeeded = one.state == OperationState::Succeeded;
            if succeeded || left_something(one) {
                held.settled &= succeeded;
                one.target.iter().for_each(|spec| held.add(spec));
            }
            if succeeded {
                break;
            }
        }
        if operation.kind != OperationKind::Provision {
            operation.previous.iter().for_each(|spec| held.add(spec));
        }
        held
    }

    fn add(&mut self, spec: &Spec) {
        for hostname in &spec.hostnames {
            let widest = self.names.entry(hostname.clone()).or_insert(Exposure::Internal);
            *widest = exposure(spec.plan).max(*widest);
        }
    }

    /// The names that are held and not in `spec`.
    pub(crate) fn beyond(&self, spec: Option<&Spec>) -> Vec<Hostname> {
        let kept = spec.map_or(&[][..], |spec| &spec.hostnames);
        self.names.keys().filter(|name| !kept.contains(name)).cloned().collect()
    }
}

/// What the records of an instance of this plan lead to.
pub(crate) fn exposure(plan: Plan) -> Exposure {
    match plan {
        Plan::Internal => Exposure::Internal,
        Plan::Public => Exposure::Public,
    }
}

/// Undo runs in reverse, so that an operation was undone as a whole when its first step was.
fn left_something(operation: &Operation) -> bool {
    operation.steps.first().is_none_or(|first| first.state != StepState::Undone)
}
