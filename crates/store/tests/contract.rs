//! SQLite keeps the contract, on disk and in memory.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use common::OnDisk;
use model::Millis;
use store::contract::{State, Subject};
use store::sqlite::{Options, Sqlite};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_keeps_the_contract() {
    store::contract::check(OnDisk::fresh).await;
}

/// A store that lives for as long as its first handle, which is kept.
struct InMemory {
    name: String,
    _first: Sqlite,
}

static MADE: AtomicU32 = AtomicU32::new(0);

impl InMemory {
    fn fresh() -> Self {
        let name = format!("contract-{}", MADE.fetch_add(1, Ordering::Relaxed));
        Self { _first: sqlite(&name), name }
    }
}

fn sqlite(name: &str) -> Sqlite {
    Sqlite::in_memory(name, Options::new(common::clock())).expect("opens")
}

#[async_trait]
impl Subject for InMemory {
    async fn open(&self) -> Arc<dyn State> {
        Arc::new(sqlite(&self.name))
    }

    fn now(&self) -> Millis {
        common::now()
    }
}

/// What simulations run over is no model of the store but the store. On one thread, as there.
#[tokio::test]
async fn sqlite_in_memory_keeps_the_contract() {
    store::contract::check(InMemory::fresh).await;
}
