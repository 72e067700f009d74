//! The real store, with a worker that finishes at the worst moment: between two reads.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use model::{Hostname, Instance, InstanceId, Millis, Operation, OperationId, OperationState};
use store::sqlite::Sqlite;
use store::{
    Accept, Accepted, Changes, Cursor, Filter, HostnameOwner, Page, Queue, Save, Store, StoreError,
    Write,
};

/// A store that passes everything on.
pub(crate) struct Meddler {
    store: Arc<Sqlite>,
    next: Mutex<Option<Arc<Sqlite>>>,
}

impl Meddler {
    pub(crate) fn new(store: Arc<Sqlite>) -> Self {
        Self { store, next: Mutex::default() }
    }

    /// After the next read of an instance the waiting operation is published and ends.
    pub(crate) fn after_the_next_read(&self, store: Arc<Sqlite>) {
        *self.next.lock().expect("not poisoned") = Some(store);
    }

    /// Whether that has happened.
    pub(crate) fn has_meddled(&self) -> bool {
        self.next.lock().expect("not poisoned").is_none()
    }
}

async fn finish(store: &Sqlite) {
    const NOW: Millis = 1_777_593_700_000;
    let lease = store.lease(NOW, Duration::from_secs(30)).await.expect("leases").expect("a job");
    let found = store.operation(&lease.job.operation_id).await.expect("reads");
    let mut operation = found.expect("exists");
    operation.state = OperationState::Succeeded;
    let writes = vec![Write::Publish(operation.target.clone().expect("a target"))];
    store.save(Save { fence: lease.fence, operation, writes, now: NOW }).await.expect("saves");
}

#[async_trait]
impl Store for Meddler {
    async fn instance(&self, id: &InstanceId) -> Result<Option<Instance>, StoreError> {
        let read = self.store.instance(id).await;
        let next = self.next.lock().expect("not poisoned").take();
        if let Some(store) = next {
            finish(&store).await;
        }
        read
    }

    async fn epoch(&self) -> Result<u64, StoreError> {
        self.store.epoch().await
    }
    async fn accept(&self, accept: Accept, seen: Option<Millis>) -> Result<Accepted, StoreError> {
        self.store.accept(accept, seen).await
    }
    async fn instances(&self, filter: Filter) -> Result<Page<Instance>, StoreError> {
        self.store.instances(filter).await
    }
    async fn operation(&self, id: &OperationId) -> Result<Option<Operation>, StoreError> {
        self.store.operation(id).await
    }
    async fn operations(
        &self,
        instance: &InstanceId,
        limit: usize,
    ) -> Result<Vec<Operation>, StoreError> {
        self.store.operations(instance, limit).await
    }
    async fn hostname(&self, hostname: &Hostname) -> Result<Option<HostnameOwner>, StoreError> {
        self.store.hostname(hostname).await
    }
    async fn claims(&self, instance: &InstanceId) -> Result<Vec<HostnameOwner>, StoreError> {
        self.store.claims(instance).await
    }
    async fn save(&self, save: Save) -> Result<Option<u64>, StoreError> {
        self.store.save(save).await
    }
    async fn changes(&self, cursor: Option<Cursor>, limit: usize) -> Result<Changes, StoreError> {
        self.store.changes(cursor, limit).await
    }
    async fn changed(&self, cursor: &Cursor, timeout: Duration) {
        self.store.changed(cursor, timeout).await;
    }
    async fn forget(&self, before: Millis) -> Result<usize, StoreError> {
        self.store.forget(before).await
    }
}
