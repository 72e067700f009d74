//! A service binding (OSB): the right of a caller to use a load balancer.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{BindingId, InstanceId, Millis};

/// A binding, without its private key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Binding {
    /// OSB `binding_id`.
    pub id: BindingId,
    /// What it lets call.
    pub instance: InstanceId,
    /// What its owner calls it, if anything.
    pub name: Option<String>,
    /// How long it was asked for, in seconds; `None`: until it is unbound.
    pub ttl_s: Option<u64>,
    /// OSB `app_guid` and `bind_resource` as received: a JSON object, never interpreted here.
    pub resource: Value,
    /// The binding that it comes to replace.
    pub predecessor: Option<BindingId>,
    /// The Ed25519 public key, as [`Caller::public_key`].
    pub public_key: String,
    /// The credential of whoever asked.
    pub created_by: String,
    /// When it was made.
    pub created_at: Millis,
    /// When it should have been replaced.
    pub renew_before: Option<Millis>,
    /// Not accepted from then on; `None`: until it is unbound.
    pub expires_at: Option<Millis>,
}

impl Binding {
    /// Whether it is over.
    pub fn has_expired(&self, now: Millis) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

    /// What the edge needs of it.
    pub fn caller(&self) -> Caller {
        let Self { id, public_key, expires_at, .. } = self;
        Caller { binding: id.clone(), public_key: public_key.clone(), expires_at: *expires_at }
    }
}

/// What the edge needs to know of a binding: by which key its caller is recognised. A caller signs
/// short tokens (JWT, EdDSA) whose `iss` and `kid` are the binding's id, and whose `aud` is the
/// instance's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// The binding, and the key's id.
    pub binding: BindingId,
    /// The Ed25519 public key, 32 bytes as base64url without padding: `x` of its JWK (RFC 8037).
    pub public_key: String,
    /// Not accepted from then on; `None`: until it is unbound.
    pub expires_at: Option<Millis>,
}
