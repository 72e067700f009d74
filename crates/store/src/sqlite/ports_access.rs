//! The ports of credentials and sessions, each method handed to the writer or to a reader.

use async_trait::async_trait;
use model::{AccessHash, AuditEntry, CredentialId, Millis, Principal};

use super::request::Tx;
use super::sessions::Kind;
use super::{Sqlite, credentials, sessions};
use crate::{Created, Credential, CredentialFilter, Credentials, Held, Sessions, StoreError};

#[async_trait]
impl Credentials for Sqlite {
    async fn create_credential(
        &self,
        credential: Credential,
        secret: AccessHash,
        entry: AuditEntry,
    ) -> Result<Created, StoreError> {
        let create = move |tx: &Tx<'_>| credentials::create(tx, &credential, &secret, &entry);
        self.inner.writer.write(create).await
    }

    async fn rotate_credential(
        &self,
        id: &CredentialId,
        secret: AccessHash,
        at: Millis,
        until: Millis,
        entry: AuditEntry,
    ) -> Result<bool, StoreError> {
        let id = id.clone();
        let rotate = move |tx: &Tx<'_>| credentials::rotate(tx, &id, &secret, at, until, &entry);
        self.inner.writer.write(rotate).await
    }

    async fn revoke_credential(
        &self,
        id: &CredentialId,
        at: Millis,
        entry: AuditEntry,
    ) -> Result<bool, StoreError> {
        let id = id.clone();
        self.inner.writer.write(move |tx| credentials::revoke(tx, &id, at, &entry)).await
    }

    async fn credential(&self, id: &CredentialId) -> Result<Option<Credential>, StoreError> {
        self.inner.readers.here(|conn| credentials::get(conn, id)).await
    }

    async fn credential_of(&self, secret: &AccessHash) -> Result<Option<Held>, StoreError> {
        self.inner.readers.here(|conn| credentials::of(conn, secret)).await
    }

    async fn credentials(&self, filter: CredentialFilter) -> Result<Vec<Credential>, StoreError> {
        self.inner.readers.aside(move |conn| credentials::list(conn, &filter)).await
    }

    async fn used_credential(&self, id: &CredentialId, at: Millis) -> Result<(), StoreError> {
        let id = id.clone();
        self.inner.writer.write_unsynced(move |tx| credentials::used(tx.conn, &id, at)).await
    }

    fn credentials_taken(&self) -> u64 {
        self.inner.taken.load(std::sync::atomic::Ordering::Acquire)
    }
}

#[async_trait]
impl Sessions for Sqlite {
    async fn create_code(
        &self,
        code: AccessHash,
        principal: Principal,
        now: Millis,
        until: Millis,
    ) -> Result<(), StoreError> {
        let create =
            move |tx: &Tx<'_>| sessions::create(tx, Kind::Code, &code, &principal, now, until);
        self.inner.writer.write(create).await
    }

    async fn take_code(
        &self,
        code: &AccessHash,
        now: Millis,
    ) -> Result<Option<Principal>, StoreError> {
        let code = *code;
        // Guesses do not reach the writer.
        if self
            .inner
            .readers
            .here(|conn| sessions::get(conn, Kind::Code, &code, now))
            .await?
            .is_none()
        {
            return Ok(None);
        }
        self.inner.writer.write(move |tx| sessions::take(tx, &code, now)).await
    }

    async fn create_session(
        &self,
        session: AccessHash,
        principal: Principal,
        now: Millis,
        until: Millis,
    ) -> Result<(), StoreError> {
        let create = move |tx: &Tx<'_>| {
            sessions::create(tx, Kind::Session, &session, &principal, now, until)
        };
        self.inner.writer.write(create).await
    }

    async fn session(
        &self,
        session: &AccessHash,
        now: Millis,
    ) -> Result<Option<Principal>, StoreError> {
        let session = *session;
        self.inner.readers.here(|conn| sessions::get(conn, Kind::Session, &session, now)).await
    }

    async fn end_session(&self, session: &AccessHash) -> Result<(), StoreError> {
        let session = *session;
        self.inner.writer.write(move |tx| sessions::end(tx.conn, &session)).await
    }
}
