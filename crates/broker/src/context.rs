//! Updates of nothing but the platform's context (OSB 2.17, `allow_context_updates`): stored and
//! audited, and done at once, because nothing that proxies are given depends on it.

use axum::response::Response;
use model::{AuditEntry, InstanceId, Principal, Requester};
use serde_json::json;

use crate::accept::Decision;
use crate::envelope::Envelope;
use crate::error::Error;
use crate::router::Broker;
use crate::standing::{Phase, Standing};

/// How often it is tried anew because the instance changed meanwhile.
const ATTEMPTS_MAX: usize = 8;

/// Answers an update that brings nothing but a context; `None`: it brings more, or the instance
/// does not stand still, which is decided as of any other.
pub(crate) async fn settle(
    broker: &Broker,
    who: &Principal,
    id: &InstanceId,
    envelope: &Envelope,
    requester: &Requester,
) -> Result<Option<Response>, Error> {
    let Some(context) = envelope.context()?.filter(|_| envelope.is_context_only()) else {
        return Ok(None);
    };
    for _ in 0..ATTEMPTS_MAX {
        let standing = Standing::read(broker.parts.store.as_ref(), who, id).await?;
        let instance = match standing.phase() {
            Phase::Settled(instance) => instance,
            Phase::Changing(_, operation) => return Err(Error::concurrent(operation)),
            Phase::Absent | Phase::HalfGone(_) => return Ok(None),
        };
        let stored = instance.platform_context == context || {
            let entry = AuditEntry {
                by: requester.clone(),
                action: "instance.context".to_owned(),
                object: id.to_string(),
                owner: Some(instance.owner.clone()),
                detail: json!({}),
            };
            let contexts = &broker.parts.contexts;
            let (seen, now) = (instance.updated_at, broker.now());
            contexts.set_context(id, context.clone(), seen, now, entry).await?
        };
        if stored {
            let Decision::Answer(response) = broker.unchanged(id) else { return Ok(None) };
            return Ok(Some(response));
        }
    }
    Err(Error::busy("another change"))
}
