//! The ports, each method handed to the writer or to a reader.

use std::time::Duration;

use async_trait::async_trait;
use model::{AuditEntry, Hostname, Instance, InstanceId, Millis, Operation, OperationId};

use super::{Sqlite, accept, audit, blobs, bury, feed, forget, jobs, names, read, save};
use crate::{
    Accept, Accepted, Audit, AuditFilter, AuditHead, AuditPage, Blobs, Changes, Cursor, Fence,
    Filter, HostnameOwner, Lease, Page, Queue, Save, Store, StoreError, metrics,
};

/// Rows that are read at once rather than handed to another thread.
const FEW_ROWS: usize = 16;

#[async_trait]
impl Store for Sqlite {
    async fn epoch(&self) -> Result<u64, StoreError> {
        Ok(self.inner.epoch)
    }

    async fn accept(
        &self,
        accept: Accept,
        expected: Option<Millis>,
    ) -> Result<Accepted, StoreError> {
        let accepted =
            self.inner.writer.write(move |tx| accept::accept(tx, &accept, expected)).await?;
        if let Accepted::No(refusal) = &accepted {
            metrics::not_accepted(refusal);
        }
        Ok(accepted)
    }

    async fn instance(&self, id: &InstanceId) -> Result<Option<Instance>, StoreError> {
        self.inner.readers.here(|conn| read::instance(conn, id)).await
    }

    async fn instances(&self, filter: Filter) -> Result<Page<Instance>, StoreError> {
        self.inner.readers.aside(move |conn| read::instances(conn, &filter)).await
    }

    async fn operation(&self, id: &OperationId) -> Result<Option<Operation>, StoreError> {
        self.inner.readers.here(|conn| read::operation(conn, id)).await
    }

    async fn operations(
        &self,
        instance: &InstanceId,
        limit: usize,
    ) -> Result<Vec<Operation>, StoreError> {
        let instance = instance.clone();
        let read = move |conn: &_| read::operations(conn, &instance, limit);
        if limit <= FEW_ROWS {
            return self.inner.readers.here(read).await;
        }
        self.inner.readers.aside(read).await
    }

    async fn hostname(&self, hostname: &Hostname) -> Result<Option<HostnameOwner>, StoreError> {
        self.inner.readers.here(|conn| names::owner(conn, hostname)).await
    }

    async fn claims(&self, instance: &InstanceId) -> Result<Vec<HostnameOwner>, StoreError> {
        self.inner.readers.here(|conn| names::held(conn, instance)).await
    }

    async fn save(&self, save: Save) -> Result<Option<u64>, StoreError> {
        self.inner.writer.write(move |tx| save::save(tx, save)).await
    }

    async fn changes(&self, cursor: Option<Cursor>, limit: usize) -> Result<Changes, StoreError> {
        let few = cursor.as_ref().is_some_and(|cursor| self.is_near(cursor));
        let read = move |conn: &_| feed::changes(conn, cursor.as_ref(), limit);
        if few || limit <= FEW_ROWS {
            return self.inner.readers.here(read).await;
        }
        self.inner.readers.aside(read).await
    }

    async fn changed(&self, cursor: &Cursor, timeout: Duration) {
        let seen = feed::Position::of(cursor).filter(|seen| seen.epoch == self.inner.epoch);
        let Some(seen) = seen else { return };
        let mut revision = self.inner.revision.clone();
        let news = async {
            if revision.wait_for(|last| *last != seen.revision).await.is_err() {
                // The writer has stopped: nothing will come.
                std::future::pending::<()>().await;
            }
        };
        // Whichever comes first; the time that has passed needs no telling.
        let _ = tokio::time::timeout(timeout, news).await;
    }

    async fn forget(&self, before: Millis) -> Result<usize, StoreError> {
        let mut forgotten = 0;
        loop {
            let some = self.inner.writer.write(move |tx| forget::forget(tx, before)).await?;
            forgotten += some;
            if some < forget::FORGOTTEN_AT_ONCE {
                return Ok(forgotten);
            }
        }
    }
}

#[async_trait]
impl Queue for Sqlite {
    async fn lease_beside(
        &self,
        now: Millis,
        lease: Duration,
        full: &[String],
    ) -> Result<Option<Lease>, StoreError> {
        let full = full.to_vec();
        self.inner.writer.write_unsynced(move |tx| jobs::lease(tx, now, lease, &full)).await
    }

    async fn extend(&self, fence: &Fence, until: Millis) -> Result<(), StoreError> {
        let fence = fence.clone();
        self.inner.writer.write_unsynced(move |tx| jobs::extend(tx, &fence, until)).await
    }

    async fn release(&self, fence: &Fence, at: Millis) -> Result<(), StoreError> {
        let fence = fence.clone();
        self.inner.writer.write_unsynced(move |tx| jobs::release(tx, &fence, at)).await
    }

    async fn wake(&self, operation: &OperationId, now: Millis) -> Result<(), StoreError> {
        let id = operation.clone();
        self.inner.writer.write_unsynced(move |tx| jobs::wake(tx, &id, now)).await
    }

    async fn bury(&self, fence: &Fence, why: &str, now: Millis) -> Result<(), StoreError> {
        let (fence, why) = (fence.clone(), why.to_owned());
        self.inner.writer.write(move |tx| bury::bury(tx, &fence, &why, now)).await
    }

    async fn revoked(&self, fence: &Fence) {
        let mut revoked = self.inner.revoked.clone();
        // Fences rise: where none as high was revoked, this one was not.
        while revoked.wait_for(|highest| *highest >= fence.number).await.is_ok() {
            revoked.mark_unchanged();
            match self.inner.readers.here(|conn| jobs::is_revoked(conn, fence)).await {
                Ok(true) => return,
                Ok(false) if revoked.changed().await.is_ok() => {}
                // A heartbeat or the next write will tell.
                _ => break,
            }
        }
        std::future::pending::<()>().await;
    }

    async fn sweep(&self, now: Millis) -> Result<usize, StoreError> {
        self.inner.writer.write(move |tx| jobs::sweep(tx, now)).await
    }

    async fn depth(&self, now: Millis) -> Result<(usize, Millis), StoreError> {
        let (jobs, oldest) = self.inner.readers.aside(move |conn| jobs::depth(conn, now)).await?;
        metrics::depth(jobs, oldest);
        Ok((jobs, oldest))
    }

    async fn ready(&self, timeout: Duration) {
        let _ = tokio::time::timeout(timeout, self.due()).await;
    }
}

impl Sqlite {
    /// Whether little was published since: each change has a revision of its own.
    fn is_near(&self, cursor: &Cursor) -> bool {
        let last = *self.inner.revision.borrow();
        let seen = feed::Position::of(cursor).filter(|seen| seen.epoch == self.inner.epoch);
        seen.is_some_and(|seen| last.abs_diff(seen.revision) <= FEW_ROWS as u64)
    }

    /// Returns when the next job is due, whatever becomes of the jobs meanwhile.
    async fn due(&self) {
        let mut due = self.inner.due.clone();
        loop {
            let next = *due.borrow_and_update();
            let wait = next.map(|at| at.saturating_sub((self.inner.clock)()));
            let wait = wait.map(|left| Duration::from_millis(left.max(0).unsigned_abs()));
            if wait == Some(Duration::ZERO) {
                return;
            }
            let moved = tokio::select! {
                moved = due.changed() => moved,
                () = sleep(wait) => Ok(()),
            };
            if moved.is_err() {
                // The writer has stopped: no job will come.
                std::future::pending::<()>().await;
            }
        }
    }
}

async fn sleep(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

#[async_trait]
impl Blobs for Sqlite {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let key = key.to_owned();
        self.inner.readers.aside(move |conn| blobs::get(conn, &key)).await
    }

    async fn put(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        blobs::check(key, value)?;
        let (key, value) = (key.to_owned(), value.to_vec());
        self.inner.writer.write(move |tx| blobs::put(tx.conn, &key, &value)).await
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        let key = key.to_owned();
        self.inner.writer.write(move |tx| blobs::delete(tx.conn, &key)).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let prefix = prefix.to_owned();
        self.inner.readers.aside(move |conn| blobs::list(conn, &prefix)).await
    }
}

#[async_trait]
impl Audit for Sqlite {
    async fn entries(&self, filter: AuditFilter) -> Result<AuditPage, StoreError> {
        self.inner.readers.aside(move |conn| audit::entries(conn, &filter)).await
    }

    async fn append(&self, at: Millis, entry: AuditEntry) -> Result<(), StoreError> {
        self.inner.writer.write(move |tx| audit::append(tx, at, &entry)).await
    }

    async fn head(&self) -> Result<AuditHead, StoreError> {
        self.inner.readers.here(audit::head).await
    }
}
