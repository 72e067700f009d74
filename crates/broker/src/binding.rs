//! Service bindings (OSB 2.17, "Binding", "Binding Rotation", "Unbinding"): the right of a caller to
//! use a load balancer. One file a verb.
//!
//! Everything here happens at once, so that nothing is ever polled for. To revoke is a matter of
//! security: neither verb waits for an operation of the instance.

mod answer;
pub(crate) mod delete;
pub(crate) mod fetch;
pub(crate) mod last_operation;
pub(crate) mod list;
mod parameters;
pub(crate) mod put;

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use model::{BindingId, Instance, InstanceId, InstanceState, Principal};

pub(crate) use parameters::schema;

use crate::error::Error;
use crate::extract::parse;
use crate::router::Broker;

/// Where private keys lie, for the seal.
const PLACE: &str = "bindings";

/// The place of a binding's private key: what is sealed for one opens for no other.
pub fn place(binding: &BindingId) -> keys::Place<'_> {
    keys::Place { kind: PLACE, id: binding.as_str() }
}

/// The two ids of the path.
pub(crate) struct Ids(pub(crate) InstanceId, pub(crate) BindingId);

impl FromRequestParts<Arc<Broker>> for Ids {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, broker: &Arc<Broker>) -> Result<Self, Error> {
        let unreadable = |_| Error::bad_request("the path is not percent-encoded UTF-8");
        let Path((instance, binding)): Path<(String, String)> =
            Path::from_request_parts(parts, broker).await.map_err(unreadable)?;
        Ok(Self(parse(&instance)?, parse(&binding)?))
    }
}

impl Broker {
    /// An instance that is there for who asks, whatever is being done to it.
    pub(crate) async fn bindable(
        &self,
        who: &Principal,
        id: &InstanceId,
    ) -> Result<Option<Instance>, Error> {
        let found = self.parts.store.instance(id).await?;
        let is_gone =
            |it: &Instance| matches!(it.state, InstanceState::Deleted | InstanceState::Failed);
        Ok(found.filter(|it| who.owns(&it.owner) && !is_gone(it)))
    }
}
