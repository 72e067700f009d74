//! A service binding (OSB): the right of a caller to use a load balancer.

use serde::{Deserialize, Serialize};

use crate::{BindingId, Millis};

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
