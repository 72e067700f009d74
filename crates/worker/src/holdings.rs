//! What an instance holds of names and records when an operation begins.
//!
//! Not what `previous` says: after an update that was published and then rejected by the fleet, the
//! instance is still served at an older spec, whose names and records nobody has cleaned up. So
//! names are read from the claims, and what their records lead to from what earlier operations did.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::try_join;
use model::{Exposure, Hostname, Operation, OperationKind, OperationState, Plan, Spec, StepState};
use store::{HostnameOwner, Store, StoreError};

/// Read first: the operation itself and the one before it, which has nearly always succeeded.
const HISTORY_FIRST: usize = 2;
/// Read when that is not enough, at most.
const HISTORY_MAX: usize = 1_000;

/// What an instance holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Holdings {
    /// Each name, and the widest that its record may lead to: before a success, operations only
    /// widen records.
    pub names: BTreeMap<Hostname, Exposure>,
    /// Whether the records are certain: the last operation that did anything succeeded.
    pub settled: bool,
}

impl Holdings {
    /// What the instance of `operation` held before it.
    pub(crate) async fn read(store: &dyn Store, operation: &Operation) -> Result<Self, StoreError> {
        let claims = store.claims(&operation.instance);
        let (claims, past) = try_join(claims, Past::read(store, operation)).await?;
        Ok(Self::of(operation, &claims, &past))
    }

    /// Claims made since the operation was accepted are its own. Those of the past are not, also
    /// where a clock that went back would have it so.
    fn of(operation: &Operation, claims: &[HostnameOwner], past: &Past) -> Self {
        let before = claims.iter().filter(|claim| {
            claim.since != operation.created_at || past.claimed.contains(&claim.hostname)
        });
        let name = |claim: &HostnameOwner| {
            let widest = past.widest.get(&claim.hostname).copied();
            (claim.hostname.clone(), widest.unwrap_or(Exposure::Public))
        };
        let names: BTreeMap<_, _> = before.map(name).collect();
        let known = names.keys().all(|name| past.widest.contains_key(name));
        Self { names, settled: past.settled && known }
    }

    /// The names that are held and not in `spec`.
    pub(crate) fn beyond(&self, spec: Option<&Spec>) -> Vec<Hostname> {
        let kept = spec.map_or(&[][..], |spec| &spec.hostnames);
        self.names.keys().filter(|name| !kept.contains(name)).cloned().collect()
    }
}

/// What earlier operations have left, back to the last that succeeded and so cleaned up.
struct Past {
    widest: BTreeMap<Hostname, Exposure>,
    /// Names that were asked for since a deprovision gave all of them up.
    claimed: BTreeSet<Hostname>,
    settled: bool,
}

impl Past {
    async fn read(store: &dyn Store, operation: &Operation) -> Result<Self, StoreError> {
        let recent = store.operations(&operation.instance, HISTORY_FIRST).await?;
        let past = Self::of(operation, &recent);
        if past.settled || recent.len() < HISTORY_FIRST {
            return Ok(past);
        }
        Ok(Self::of(operation, &store.operations(&operation.instance, HISTORY_MAX).await?))
    }

    /// From the operations of the instance, latest first.
    fn of(operation: &Operation, history: &[Operation]) -> Self {
        let (widest, claimed) = Default::default();
        let (mut past, mut released) = (Self { widest, claimed, settled: true }, false);
        let mut whole = operation.kind == OperationKind::Provision;
        for earlier in history.iter().filter(|earlier| earlier.id != operation.id) {
            // What an operator has passed over may or may not be as it should.
            let whole_steps = earlier.steps.iter().all(|step| step.skipped.is_none());
            let succeeded = earlier.state == OperationState::Succeeded && whole_steps;
            // Whatever it has passed over, it has not passed over the names.
            released |= earlier.state == OperationState::Succeeded
                && earlier.kind == OperationKind::Deprovision;
            if succeeded || left_something(earlier) {
                past.settled &= succeeded;
                earlier.target.iter().for_each(|spec| past.add(spec, released));
            }
            whole = succeeded || earlier.kind == OperationKind::Provision;
            if succeeded {
                break;
            }
        }
        if operation.kind != OperationKind::Provision {
            operation.previous.iter().for_each(|spec| past.add(spec, false));
        }
        past.settled &= whole;
        past
    }

    fn add(&mut self, spec: &Spec, released: bool) {
        for hostname in &spec.hostnames {
            if !released {
                self.claimed.insert(hostname.clone());
            }
            let widest = self.widest.entry(hostname.clone()).or_insert(Exposure::Internal);
            *widest = exposure(spec.plan).max(*widest);
        }
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
