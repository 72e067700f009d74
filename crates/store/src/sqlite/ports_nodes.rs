//! The port of nodes, each method handed to the writer or to a reader.

use async_trait::async_trait;
use keys::Sealed;
use model::{AccessHash, AuditEntry, Millis, NodeId};

use super::request::Tx;
use super::{Sqlite, authority, nodes};
use crate::{
    Join, JoinToken, Joined, Joins, KeptAuthority, NodeFeed, NodeFilter, Nodes, Renewal, Renews,
    Revocation, StoreError,
};

#[async_trait]
impl NodeFeed for Sqlite {
    async fn authority(&self) -> Result<Option<KeptAuthority>, StoreError> {
        self.inner.readers.here(authority::get).await
    }

    async fn revocations(&self, after: i64, now: Millis) -> Result<Vec<Revocation>, StoreError> {
        self.inner.readers.here(|conn| nodes::revocations(conn, after, now)).await
    }
}

#[async_trait]
impl Nodes for Sqlite {
    async fn keep_authority(&self, authority: KeptAuthority) -> Result<KeptAuthority, StoreError> {
        self.inner.writer.write(move |tx| authority::keep(tx, authority)).await
    }

    async fn reseal_authority(&self, old: Sealed, new: Sealed) -> Result<bool, StoreError> {
        self.inner.writer.write(move |tx| authority::reseal(tx, &old, &new)).await
    }

    async fn create_join_token(
        &self,
        token: JoinToken,
        secret: AccessHash,
        entry: AuditEntry,
    ) -> Result<bool, StoreError> {
        let create = move |tx: &Tx<'_>| nodes::create_token(tx, &token, &secret, &entry);
        self.inner.writer.write(create).await
    }

    async fn join_token(
        &self,
        secret: &AccessHash,
        now: Millis,
    ) -> Result<Option<JoinToken>, StoreError> {
        self.inner.readers.here(|conn| nodes::token(conn, secret, now)).await
    }

    async fn join(&self, join: Join) -> Result<Joins, StoreError> {
        self.inner.writer.write(move |tx| nodes::join(tx, &join)).await
    }

    async fn renew(&self, renewal: Renewal) -> Result<Renews, StoreError> {
        self.inner.writer.write(move |tx| nodes::renew(tx.conn, &renewal)).await
    }

    async fn node(&self, node: &NodeId) -> Result<Option<Joined>, StoreError> {
        self.inner.readers.here(|conn| nodes::get(conn, node)).await
    }

    async fn nodes(&self, filter: NodeFilter) -> Result<Vec<Joined>, StoreError> {
        self.inner.readers.aside(move |conn| nodes::list(conn, &filter)).await
    }

    async fn revoke_node(
        &self,
        node: &NodeId,
        at: Millis,
        entry: AuditEntry,
    ) -> Result<bool, StoreError> {
        let node = node.clone();
        self.inner.writer.write(move |tx| nodes::revoke(tx, &node, at, &entry)).await
    }
}
