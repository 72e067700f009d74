//! The runner on tokio's own virtual time.

use std::sync::Arc;
use std::time::Duration;

use model::{OperationState, Plan};
use store::Store;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::world::{Seen, Wish, World, id, spec};
use crate::{Config, Ports, Worker};

/// The world's ports, with a clock that follows tokio's.
pub(crate) fn ports(world: &World) -> Ports {
    let (start, began) = (world.now(), Instant::now());
    let passed = move || i64::try_from(began.elapsed().as_millis()).expect("a short test");
    Ports { clock: Arc::new(move || start + passed()), ..world.ports() }
}

#[tokio::test(start_paused = true)]
async fn many_operations_are_carried_out_at_once_and_a_shutdown_is_gentle() {
    let world = World::new();
    let wish = |n: u32| -> Wish { Some(spec(Plan::Internal, &[&format!("s{n}.test")])) };
    let all: Vec<_> = (0..200)
        .map(|n| (id(&format!("i{n}")), n))
        .map(|(id, n)| (world.accept(&id, &wish(n)), id, n))
        .collect();
    let (stop, stopped) = oneshot::channel::<()>();
    let worker = Worker::new(ports(&world), Config::default());
    let run = tokio::spawn(worker.run(async { drop(stopped.await) }));
    for (operation, id, n) in all {
        loop {
            let now = world.store.operation(&operation.id).await.expect("reads").expect("is there");
            if now.state != OperationState::InProgress {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(world.see(&id), Seen::asked(&wish(n)));
    }
    stop.send(()).expect("still runs");
    run.await.expect("stops");
}
