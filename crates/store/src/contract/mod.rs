//! What every implementation of the ports must do, as cases that take any of them.
//!
//! An implementation passes by calling [`check`] in one test of its own. A case written here and
//! listed in its file's `CASES` is run against all of them; one that is not listed does not compile
//! (it is dead code).

#![expect(clippy::unwrap_used, reason = "a case fails by panicking")]

mod accept;
mod act;
mod audit;
mod bindings;
mod blobs;
mod credentials;
mod editions;
mod feed;
mod fence;
mod hostnames;
mod leases;
mod life;
mod listing;
mod nodes;
mod offers;
mod over;
mod proofs;
mod queue;
pub mod sample;
mod search;
mod sessions;
mod teams;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use model::Millis;

use crate::{
    Audit, Bindings, Blobs, Contexts, Credentials, Editions, Leases, Nodes, Proofs, Queue, Search,
    Sessions, Store, Teams,
};

/// All ports of one state.
pub trait State:
    Store
    + Queue
    + Blobs
    + Audit
    + Bindings
    + Credentials
    + Editions
    + Sessions
    + Teams
    + Nodes
    + Proofs
    + Search
    + Contexts
    + Leases
{
}
impl<T> State for T where
    T: Store
        + Queue
        + Blobs
        + Audit
        + Bindings
        + Credentials
        + Editions
        + Sessions
        + Teams
        + Nodes
        + Proofs
        + Search
        + Contexts
        + Leases
{
}

/// One state of the implementation under test: empty at first, and durable.
#[async_trait]
pub trait Subject: Send + Sync {
    /// Opens the state. Called again only after every earlier handle was dropped, it finds what was
    /// answered before.
    async fn open(&self) -> Arc<dyn State>;

    /// The clock that the state was opened with.
    fn now(&self) -> Millis;
}

type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One promise of the ports.
struct Case {
    name: &'static str,
    run: fn(Arc<dyn Subject>) -> Running,
}

/// The cases of a file.
macro_rules! cases {
    ($($name:ident),+ $(,)?) => {
        &[$(crate::contract::Case {
            name: concat!(module_path!(), "::", stringify!($name)),
            run: |subject| Box::pin($name(subject)),
        }),+]
    };
}
use cases;

/// Every case there is.
const CASES: &[&[Case]] = &[
    accept::CASES,
    audit::CASES,
    bindings::CASES,
    blobs::CASES,
    credentials::CASES,
    editions::CASES,
    feed::CASES,
    fence::CASES,
    hostnames::CASES,
    leases::CASES,
    life::CASES,
    listing::CASES,
    nodes::CASES,
    offers::CASES,
    over::CASES,
    queue::CASES,
    search::CASES,
    sessions::CASES,
    proofs::CASES,
    teams::CASES,
];

/// Long enough that only what never comes is given up on.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs every case against a fresh state each. Must be called on a runtime of several threads, but
/// for an implementation that never lets a caller wait.
///
/// # Panics
/// When a case fails, with the names of all that do, after all have run.
pub async fn check<S: Subject + 'static>(fresh: impl Fn() -> S) {
    let mut failed = Vec::new();
    for case in CASES.iter().copied().flatten() {
        if tokio::spawn((case.run)(Arc::new(fresh()))).await.is_err() {
            failed.push(case.name);
        }
    }
    assert!(failed.is_empty(), "the contract is broken: {failed:#?}");
}

/// Waits for what must come.
async fn soon<T>(what: &str, event: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, event).await {
        Ok(value) => value,
        Err(_) => panic!("{what} never came"),
    }
}
