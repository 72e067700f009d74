//! The port of the search, handed to a reader.

use async_trait::async_trait;
use model::{Instance, InstanceId, OperationId};

use super::{Sqlite, request, search};
use crate::{Found, FoundPage, InstanceSearch, OperationNews, OperationSearch, Search, StoreError};

#[async_trait]
impl Search for Sqlite {
    async fn search_instances(
        &self,
        search: InstanceSearch,
    ) -> Result<FoundPage<Instance, String>, StoreError> {
        self.inner.readers.aside(move |conn| search::instances(conn, &search)).await
    }

    async fn search_operations(
        &self,
        search: OperationSearch,
    ) -> Result<FoundPage<Found, u64>, StoreError> {
        self.inner.readers.aside(move |conn| search::operations(conn, &search)).await
    }

    fn news(&self, operation: &OperationId) -> OperationNews {
        self.news_of(operation.as_str())
    }

    fn news_of_instance(&self, instance: &InstanceId) -> OperationNews {
        self.news_of(instance.as_str())
    }
}

impl Sqlite {
    fn news_of(&self, id: &str) -> OperationNews {
        OperationNews::of(self.inner.operations[request::slot(id)].subscribe())
    }
}
