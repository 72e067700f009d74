//! Clients, and the broker between them and the store: they read, decide, ask, and ask again when
//! they got no answer.

use model::{Hostname, InstanceId, InstanceState, Operation, OperationState, Plan};
use store::{Accepted, Queue, Refusal, Store, StoreError};

use super::super::world::{Wish, lock, request, spec};
use super::bugs::Bug;
use super::eyes::Eyes;
use super::scene::Scene;
use super::teams;

pub(crate) const NAMES: [&str; 4] = ["a.test", "b.test", "c.test", "d.test"];
/// How often a client asks again that was not answered.
const TRIES: usize = 3;

/// What somebody wishes of an instance: a deprovision, or some of the names under some plan.
pub(crate) fn wish(scene: &Scene) -> Wish {
    if scene.below(4) == 0 {
        return None;
    }
    let plan = Plan::ALL[scene.below(Plan::ALL.len())];
    let mut names: Vec<_> = NAMES.into_iter().filter(|_| scene.below(3) == 0).collect();
    if names.is_empty() {
        names.push(NAMES[scene.below(NAMES.len())]);
    }
    Some(spec(plan, &names))
}

/// Asks until there is an answer.
pub(crate) async fn ask(eyes: Eyes, id: InstanceId, wish: Wish) {
    for _ in 0..TRIES {
        match once(&eyes, &id, &wish).await {
            Ok(Accepted::No(Refusal::Changed)) | Err(_) => {}
            Ok(_) => return,
        }
    }
}

async fn once(eyes: &Eyes, id: &InstanceId, wish: &Wish) -> Result<Accepted, StoreError> {
    let nothing = Ok(Accepted::Yes);
    let instance = eyes.instance(id).await?;
    let newest = eyes.operations(id, 1).await?.into_iter().next();
    let open = newest.filter(|newest| newest.state == OperationState::InProgress);
    let fits = match instance.as_ref().map(|instance| instance.state) {
        None | Some(InstanceState::Deleted) => wish.is_some(),
        // An operation that cancels is asked for once.
        Some(InstanceState::Deprovisioning) => wish.is_none(),
        Some(_) => true,
    };
    if !fits {
        return nothing;
    }
    let scene = &eyes.scene;
    let name = format!("operation-{:03}", scene.number());
    let mut accept = request(&name, id, instance.as_ref(), wish, scene.now());
    accept.instance.owner = teams::team(scene, id);
    if let Some(open) = &open {
        if !open.gives_way_to(&accept.operation) {
            return nothing;
        }
        accept.over = Some(open.id.clone());
    }
    let operation = accept.operation.clone();
    scene.poison(&operation.id);
    let answer = eyes.accept(accept, instance.map(|instance| instance.updated_at)).await;
    scene.tell(|| format!("{}: {answer:?}", in_short(&operation)));
    if let Some(open) = open.filter(|_| scene.has(Bug::DoesNotWait)) {
        let holder = lock(&scene.store.watched).holders.get(&open.instance).cloned();
        if let Some(holder) = holder {
            let _ = scene.store.release(&holder.fence, scene.now()).await;
        }
    }
    answer
}

fn in_short(operation: &Operation) -> String {
    let Operation { id, instance, kind, target, .. } = operation;
    let names = target.iter().flat_map(|spec| &spec.hostnames).map(Hostname::as_str);
    let (names, plan) = (names.collect::<Vec<_>>(), target.as_ref().map(|spec| spec.plan));
    format!("a client asks {id}: {kind:?} {instance} {plan:?} {names:?}")
}
