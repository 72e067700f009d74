//! Operators, who say what is to become of what is stuck, and see to a step that they have passed over.

use std::sync::Arc;

use async_trait::async_trait;
use model::{
    Direction, Hostname, InstanceId, InstanceState, Operation, OperationId, OperationState,
    StepState,
};
use store::Directed;

use super::super::world::{lock, now, request};
use super::bugs::Bug;
use super::cloud::Change;
use super::eyes::Eyes;
use super::scene::Scene;
use crate::{Cloud, CloudError, Holdings, Limits, Outcome, Pipeline, Ports, Record, Work};

/// Why, in the operators' words.
pub(crate) const REASON: &str = "seen to by hand";

/// The ids of forced deprovisions begin so.
const FORCED: &str = "forced-";

/// Whether this was accepted as a forced deprovision, whatever was made of it since.
pub(crate) fn is_forced(id: &OperationId) -> bool {
    id.as_str().starts_with(FORCED)
}

/// An operator does something about something.
pub(crate) fn steps_in(scene: &Arc<Scene>, ids: &[InstanceId]) {
    let what = scene.below(4);
    if what == 0 {
        return forces(scene, &ids[scene.below(ids.len())]);
    }
    let open: Vec<_> = lock(&scene.store.watched).open().cloned().collect();
    let Some(operation) = open.get(scene.below(open.len().max(1))) else { return };
    match what {
        1 => says(scene, operation, Direction::Retry),
        2 => says(scene, operation, Direction::Cancel { reason: REASON.to_owned() }),
        _ => passes_over(scene, operation),
    }
}

fn says(scene: &Scene, operation: &Operation, direction: Direction) {
    let answer = now(scene.store.direct(&operation.id, direction.clone(), scene.now()));
    scene.tell(|| {
        let became = match &answer {
            Ok(Directed::No(why)) => why.clone(),
            other => format!("{}", matches!(other, Ok(Directed::Yes(_)))),
        };
        format!("an operator says {direction:?} to {}: {became}", operation.id)
    });
    if scene.has(Bug::SaidTwice) {
        now(scene.store.tell_again()).expect("is told");
    }
}

/// Does what the step would do, and passes it over.
fn passes_over(scene: &Arc<Scene>, operation: &Operation) {
    let is_open = |state| matches!(state, StepState::Running | StepState::Undoing);
    let step = operation.steps.iter().find(|step| is_open(step.state) && step.skippable);
    let Some(step) = step else { return };
    if !scene.has(Bug::PassedOverBlindly) && !see_to(scene, operation, &step.name) {
        return;
    }
    let direction = Direction::Skip { step: step.name.clone(), reason: REASON.to_owned() };
    says(scene, operation, direction);
}

/// Whether it could be done by hand.
fn see_to(scene: &Arc<Scene>, operation: &Operation, name: &str) -> bool {
    if name == "converge" {
        scene.plane.follow(scene, &operation.instance);
        return true;
    }
    let store = Arc::new(scene.store.sqlite());
    let held = now(Holdings::read(store.as_ref(), operation)).expect("it is read");
    let pipeline = Pipeline::of(operation.kind, held, Limits::default());
    let cloud = Arc::new(ByHand(scene.clone()));
    let ports = Ports { store, cloud, ..Eyes::new(scene, None).ports() };
    let (held, limits) = (&pipeline.held, &pipeline.limits);
    let work = Work { operation, held, ports: &ports, limits, began: scene.now() };
    let step = pipeline.steps().find(|step| step.name() == name).expect("it is one of these");
    let back = operation.error.is_some();
    let outcome =
        now(async { if back { step.undo(&work).await } else { step.apply(&work).await } });
    matches!(outcome, Outcome::Done(_))
}

/// Takes away what a forced deprovision has told that it left.
pub(crate) fn tidy(scene: &Scene, id: &InstanceId) {
    for (name, _) in scene.cloud.records_of(id) {
        let _ = scene.cloud.change(&Change::Delete(name, id.clone()));
    }
    scene.plane.follow(scene, id);
    lock(&scene.cloud.excused).remove(id);
}

/// Asks for a deprovision, whatever stays.
fn forces(scene: &Scene, id: &InstanceId) {
    let Some(instance) = scene.store.find(id) else { return };
    if instance.state == InstanceState::Deleted {
        return;
    }
    let name = format!("{FORCED}{:03}", scene.number());
    let mut accept = request(&name, id, Some(&instance), &None, scene.now());
    accept.operation.force = true;
    let newest = now(scene.store.newest(id));
    let over = newest.filter(|newest| newest.state == OperationState::InProgress);
    if over.as_ref().is_some_and(|over| !over.gives_way_to(&accept.operation)) {
        return;
    }
    accept.over = over.map(|over| over.id);
    // Its end tidies up; until then proxies that never follow are nobody's fault.
    lock(&scene.cloud.excused).insert(id.clone());
    let answer = now(store::Store::accept(&scene.store, accept, Some(instance.updated_at)));
    scene.tell(|| format!("an operator forces the end of {id}: {answer:?}"));
}

/// The cloud as an operator reaches it: at once, and past all bookkeeping.
struct ByHand(Arc<Scene>);

#[async_trait]
impl Cloud for ByHand {
    async fn upsert_record(&self, _token: &str, record: &Record) -> Result<(), CloudError> {
        self.0.cloud.change(&Change::Upsert(record.clone())).map(drop)
    }

    async fn delete_record(
        &self,
        _token: &str,
        hostname: &Hostname,
        instance: &InstanceId,
    ) -> Result<(), CloudError> {
        self.0.cloud.change(&Change::Delete(hostname.clone(), instance.clone())).map(drop)
    }

    async fn record(&self, hostname: &Hostname) -> Result<Option<Record>, CloudError> {
        Ok(lock(&self.0.cloud.records).get(hostname).cloned())
    }
}
