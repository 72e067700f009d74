//! The port of bindings, each method handed to the writer or to a reader.

use async_trait::async_trait;
use keys::Sealed;
use model::{Binding, BindingId, InstanceId, Millis, Requester};

use super::request::Tx;
use super::{Sqlite, bindings};
use crate::{Bind, Bindings, Binds, Bound, Expired, Reseal, StoreError, metrics};

#[async_trait]
impl Bindings for Sqlite {
    async fn bind(&self, bind: Bind) -> Result<Binds, StoreError> {
        self.inner.writer.write(move |tx| bindings::bind(tx, &bind)).await
    }

    async fn unbind(
        &self,
        instance: &InstanceId,
        binding: &BindingId,
        by: Requester,
        at: Millis,
    ) -> Result<bool, StoreError> {
        let (instance, binding) = (instance.clone(), binding.clone());
        let unbind = move |tx: &Tx<'_>| bindings::unbind(tx, &instance, &binding, &by, at);
        self.inner.writer.write(unbind).await
    }

    async fn binding(&self, id: &BindingId) -> Result<Option<Bound>, StoreError> {
        self.inner.readers.here(|conn| bindings::get(conn, id)).await
    }

    async fn bindings(&self, instance: &InstanceId) -> Result<Vec<Binding>, StoreError> {
        self.inner.readers.here(|conn| bindings::of(conn, instance)).await
    }

    async fn bindings_count(&self) -> Result<usize, StoreError> {
        let count = self.inner.readers.aside(bindings::count).await?;
        metrics::bindings(count);
        Ok(count)
    }

    async fn expire(&self, now: Millis) -> Result<Expired, StoreError> {
        let next = self.inner.readers.here(bindings::next).await?;
        if next.is_none_or(|next| next > now) {
            return Ok(Expired { next, ..Expired::default() });
        }
        self.inner.writer.write(move |tx| bindings::expire(tx, now)).await
    }

    async fn sealing_keys(&self) -> Result<Vec<String>, StoreError> {
        self.inner.readers.here(bindings::sealing_keys).await
    }

    async fn sealed_with(&self, key: &str) -> Result<Vec<(BindingId, Sealed)>, StoreError> {
        let key = key.to_owned();
        self.inner.readers.aside(move |conn| bindings::sealed_with(conn, &key)).await
    }

    async fn reseal(&self, secrets: Vec<Reseal>) -> Result<usize, StoreError> {
        self.inner.writer.write(move |tx| bindings::reseal(tx, &secrets)).await
    }
}
