//! The port of proofs, each method handed to the writer or to a reader.

use async_trait::async_trait;
use model::{Hostname, InstanceId, Millis};

use super::request::Tx;
use super::{Sqlite, proofs};
use crate::{Look, Proof, Proofs, StoreError};

#[async_trait]
impl Proofs for Sqlite {
    async fn proof(&self, hostname: &Hostname) -> Result<Option<Proof>, StoreError> {
        self.inner.readers.here(|conn| proofs::proof(conn, hostname)).await
    }

    async fn proofs(&self, instance: &InstanceId) -> Result<Vec<Proof>, StoreError> {
        self.inner.readers.here(|conn| proofs::of(conn, instance)).await
    }

    async fn due_proofs(&self, now: Millis, limit: usize) -> Result<Vec<Proof>, StoreError> {
        self.inner.readers.here(|conn| proofs::due(conn, now, limit)).await
    }

    async fn awaited_proofs(&self) -> Result<u64, StoreError> {
        self.inner.readers.aside(proofs::awaited).await
    }

    async fn looked(&self, proof: &Proof, look: Look, at: Millis) -> Result<bool, StoreError> {
        let proof = proof.clone();
        let write = move |tx: &Tx<'_>| proofs::looked(tx, &proof, &look, at);
        self.inner.writer.write(write).await
    }
}
