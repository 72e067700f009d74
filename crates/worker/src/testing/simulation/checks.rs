//! What must be true after each move, and when an operation has ended.

use std::collections::{BTreeMap, BTreeSet};

use model::{
    Direction, Exposure, Hostname, InstanceId, InstanceState, Operation, OperationId,
    OperationKind, OperationState, Plan, Spec, StepState,
};

use super::super::world::{Seen, lock};
use super::operator::{self, REASON};
use super::scene::Scene;
use super::teams;
use crate::{Holdings, Limits, Pipeline};

/// What is wrong.
pub(crate) type Wrong = String;

/// What is known of an instance from outside.
#[derive(Default)]
struct Known {
    state: Option<InstanceState>,
    claims: Vec<Hostname>,
    published: Option<Spec>,
    /// Names that were published, and are held since.
    served: BTreeSet<Hostname>,
    /// The last operation that left anything has succeeded.
    is_settled: bool,
    /// Somebody has asked for public since it was last settled as internal.
    may_be_public: bool,
}

/// Names and what leads to them, when an operation was accepted.
type Before = (bool, Vec<Hostname>, Vec<(Hostname, Exposure)>);

#[derive(Default)]
pub(crate) struct Checks {
    instances: BTreeMap<InstanceId, Known>,
    befores: BTreeMap<OperationId, Before>,
    pub(crate) ended: usize,
}

impl Checks {
    pub(crate) fn check(&mut self, scene: &Scene) -> Result<(), Wrong> {
        let (mut touched, ended, accepted) = {
            let mut watched = lock(&scene.store.watched);
            if let Some(wrong) = watched.wrongs.first() {
                return Err(wrong.clone());
            }
            let touched = std::mem::take(&mut watched.touched);
            (touched, std::mem::take(&mut watched.ended), std::mem::take(&mut watched.accepted))
        };
        for wrongs in [&scene.cloud.wrongs, &scene.plane.wrongs] {
            lock(wrongs).first().map_or(Ok(()), |wrong| Err(wrong.clone()))?;
        }
        for operation in &ended {
            self.refresh(scene, &operation.instance)?;
            self.ended(scene, operation)?;
        }
        for (operation, claims) in accepted {
            self.accepted(scene, &operation, claims);
        }
        touched.append(&mut lock(&scene.cloud.touched));
        let fresh: BTreeSet<_> = ended.into_iter().map(|operation| operation.instance).collect();
        for id in &touched {
            if !fresh.contains(id) {
                self.refresh(scene, id)?;
            }
            self.instance(scene, id)?;
        }
        Ok(())
    }

    fn refresh(&mut self, scene: &Scene, id: &InstanceId) -> Result<(), Wrong> {
        let settled = Known { is_settled: true, ..Known::default() };
        let known = self.instances.entry(id.clone()).or_insert(settled);
        known.state = scene.store.find(id).map(|instance| instance.state);
        known.claims = scene.store.claims_of(id);
        known.published = scene.store.published(id).and_then(|published| published.spec);
        let claims = &known.claims;
        let let_go = known.served.extract_if(.., |name| !claims.contains(name));
        let let_go: Vec<_> = let_go.collect();
        known.served.extend(known.published.iter().flat_map(|spec| spec.hostnames.clone()));
        let_go.iter().try_for_each(|name| teams::kept(scene, id, name))
    }

    fn accepted(&mut self, scene: &Scene, operation: &Operation, claims: Vec<Hostname>) {
        let settled = Known { is_settled: true, ..Known::default() };
        let known = self.instances.entry(operation.instance.clone()).or_insert(settled);
        let public = operation.target.as_ref().is_some_and(|spec| spec.plan == Plan::Public);
        known.may_be_public |= public;
        let records = scene.cloud.records_of(&operation.instance);
        self.befores.insert(operation.id.clone(), (known.is_settled, claims, records));
    }

    /// What is published or served has its claims and its records; what has a record has its claim;
    /// nothing is public that nobody has asked to be.
    fn instance(&self, scene: &Scene, id: &InstanceId) -> Result<(), Wrong> {
        let Some(known) = self.instances.get(id) else { return Ok(()) };
        let served = lock(&scene.plane.serving).get(id).cloned();
        for name in known.published.iter().chain(&served).flat_map(|spec| &spec.hostnames) {
            if !known.claims.contains(name) {
                return Err(format!("{id} is published or served at {name}, and does not hold it"));
            }
        }
        for (name, exposure) in scene.cloud.records_of(id) {
            if !known.claims.contains(&name) {
                return Err(format!("{id} has a record of {name}, and does not hold it"));
            }
            if exposure == Exposure::Public && !known.may_be_public {
                return Err(format!("{id} is public at {name}, which nobody has asked for"));
            }
        }
        Ok(())
    }

    fn ended(&mut self, scene: &Scene, operation: &Operation) -> Result<(), Wrong> {
        self.ended += 1;
        let id = &operation.instance;
        let records = scene.cloud.records_of(id);
        let before = self.befores.remove(&operation.id);
        directed(scene, operation)?;
        let is_buried = lock(&scene.store.watched).buried.contains(&operation.id);
        let Some(known) = self.instances.get_mut(id) else { return Ok(()) };
        let name = &operation.id;
        if operator::is_forced(name) && !is_buried {
            return forced(scene, operation, known, &records);
        }
        if operation.state == OperationState::Succeeded {
            let seen = Seen {
                state: known.state,
                claims: known.claims.clone(),
                records,
                published: known.published.clone(),
                served: lock(&scene.plane.serving).get(id).cloned(),
            };
            if seen != Seen::asked(&operation.target) {
                return Err(format!("{name} has succeeded, and left {seen:?}"));
            }
            known.is_settled = true;
            known.may_be_public =
                operation.target.as_ref().is_some_and(|spec| spec.plan == Plan::Public);
            return Ok(());
        }
        if operation.error.as_ref().is_none_or(String::is_empty) {
            return Err(format!("{name} has failed without a word"));
        }
        if is_buried || !is_undone(operation) {
            known.is_settled = false;
            return Ok(());
        }
        match before {
            Some((true, claims, then)) if claims != known.claims || then != records => {
                let now = (&known.claims, &records);
                Err(format!("{name} was undone, and left {now:?} of {:?}", (claims, then)))
            }
            Some((true, ..)) => {
                let public = |spec: &Spec| spec.plan == Plan::Public;
                known.may_be_public = known.published.as_ref().is_some_and(public);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// What operators have said of it was done, and is told.
fn directed(scene: &Scene, operation: &Operation) -> Result<(), Wrong> {
    let watched = lock(&scene.store.watched);
    for (_, direction) in watched.directed.iter().filter(|(id, _)| *id == operation.id) {
        let is_done = match direction {
            Direction::Retry => true,
            Direction::Skip { step, .. } => {
                let step = operation.steps.iter().find(|it| it.name == *step);
                step.is_some_and(|it| it.skipped.as_deref() == Some(REASON))
                    && operation.leftovers.iter().any(|it| it.contains(REASON))
            }
            Direction::Cancel { .. } => {
                operation.state == OperationState::Failed
                    && operation.revision.is_none()
                    && operation.error.as_ref().is_some_and(|it| it.contains(REASON))
            }
        };
        if !is_done {
            return Err(format!("{direction:?} has left no trace in {operation:?}"));
        }
    }
    Ok(())
}

/// A forced deprovision leaves nothing that is held or published, and tells of what else it leaves.
fn forced(
    scene: &Scene,
    operation: &Operation,
    known: &mut Known,
    records: &[(Hostname, Exposure)],
) -> Result<(), Wrong> {
    let (id, told) = (&operation.instance, operation.leftovers.join("\n"));
    let serves = lock(&scene.plane.serving).contains_key(id);
    let untold = records.iter().find(|(name, _)| !told.contains(name.as_str()));
    let is_gone = operation.state == OperationState::Succeeded
        && known.state == Some(InstanceState::Deleted)
        && known.claims.is_empty()
        && known.published.is_none();
    if !is_gone || untold.is_some() || (serves && !told.contains("proxies")) {
        let left = (known.state, &known.claims, records, serves);
        return Err(format!("{} was forced, and left {left:?}, telling {told:?}", operation.id));
    }
    operator::tidy(scene, id);
    (known.is_settled, known.may_be_public) = (true, false);
    Ok(())
}

/// Whether all that it did was taken back.
fn is_undone(operation: &Operation) -> bool {
    let pipeline = Pipeline::of(operation.kind, Holdings::default(), Limits::default());
    let undone = |state| matches!(state, StepState::Undone | StepState::Pending);
    operation.kind != OperationKind::Deprovision
        && operation.successor.is_none()
        && operation.revision.is_none()
        && operation.steps.iter().take(pipeline.commit_at()).all(|step| undone(step.state))
}

/// Nothing is left of anything.
pub(crate) fn all_gone(scene: &Scene, ids: &[InstanceId]) -> Result<(), Wrong> {
    let left = lock(&scene.cloud.records).clone();
    if !left.is_empty() {
        return Err(format!("everything was deprovisioned, and left the records {left:?}"));
    }
    for id in ids {
        let claims = scene.store.claims_of(id);
        if !claims.is_empty() {
            return Err(format!("{id} was deprovisioned, and holds {claims:?}"));
        }
    }
    Ok(())
}
