//! The filter by which a listener lets only bound callers in, and what routes say to it.
//!
//! Every listener has it once and for all, idle. A route configuration wakes it for its own routes,
//! with the keys of its own callers: so a caller that comes or goes touches one instance and no
//! listener. Inside, `jwt_authn` finds the caller's key by the issuer of the token, whatever the
//! number of callers, and lets through what has no token; `rbac` then refuses whatever no caller was
//! found for. An instance without callers has no keys, and refuses everybody.

use std::time::Duration;

use model::descriptor::{Auth, Parameters};
use model::{Caller, InstanceId};
use serde_json::{Map, Value, json};

use crate::{Input, view};

/// The name of the filter, by which routes configure it.
pub(crate) const FILTER: &str = "margrave.callers";
/// The header that tells an upstream which caller asks: the id of its binding.
const CALLER_HEADER: &str = "x-margrave-caller";
/// Where one filter leaves the token's claims for the other.
const CLAIMS: &str = "caller";
/// The policy that refuses; seen in the details of the answer, which the listener reads.
const NO_CALLER: &str = "margrave.no_caller";

/// The longest that a token may still be good for.
const TOKEN_LIFETIME: Duration = Duration::from_secs(300);
/// By so much the clocks of callers and proxies may differ.
const CLOCK_SKEW: Duration = Duration::from_secs(30);
/// The latest time at which a token may end: in the year 5138. Envoy 1.40 takes one for good that ends
/// where 64 bits end, whatever its `max_lifetime` (tried).
const EXPIRY_SECONDS_MAX: f64 = 1e11;

const COMPOSITE: &str = "envoy.extensions.filters.http.composite.v3.Composite";
const EXECUTE: &str = "envoy.extensions.filters.http.composite.v3.ExecuteFilterAction";
const JWT_AUTHN: &str = "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication";
const MATCHED: &str = "envoy.extensions.common.matching.v3.ExtensionWithMatcher";
const PER_ROUTE: &str = "envoy.extensions.common.matching.v3.ExtensionWithMatcherPerRoute";
const RBAC: &str = "envoy.extensions.filters.http.rbac.v3.RBAC";

/// Whether any request to a service needs a binding.
pub(crate) fn are_needed(parameters: &Parameters) -> bool {
    let mut routes = parameters.routes.iter().map(|route| route.auth);
    parameters.auth == Auth::Binding || routes.any(|auth| auth == Auth::Binding)
}

/// The filter as a listener has it: it does what a route says, and nothing where none does.
pub(crate) fn idle() -> Value {
    let composite = json!({"name": "envoy.filters.http.composite", "typed_config": any(COMPOSITE)});
    let matched = with(any(MATCHED), [("extension_config", composite), ("xds_matcher", json!({}))]);
    json!({"name": FILTER, "typed_config": matched})
}

/// What a route says that is open, in a virtual host that is not.
pub(crate) fn open() -> Value {
    with(any(PER_ROUTE), [("xds_matcher", json!({}))])
}

/// What a virtual host says: only these callers.
pub(crate) fn bound(input: Input<'_>) -> Value {
    let keys: Map<String, Value> = input
        .callers
        .iter()
        .filter(|caller| is_key(&caller.public_key))
        .map(|caller| (caller.binding.to_string(), provider(input.id, caller)))
        .collect();
    let filters = if keys.is_empty() { vec![refuse()] } else { vec![recognise(keys), refuse()] };
    let execute = with(any(EXECUTE), [("filter_chain", json!({"typed_config": filters}))]);
    let action = json!({"action": {"name": FILTER, "typed_config": execute}});
    with(any(PER_ROUTE), [("xds_matcher", json!({"on_no_match": action}))])
}

/// Whether any caller has a key.
pub(crate) fn have_keys(input: Input<'_>) -> bool {
    input.callers.iter().any(|caller| is_key(&caller.public_key))
}

/// Of several providers Envoy takes the one whose issuer is the token's.
fn recognise(keys: Map<String, Value>) -> Value {
    let rule = json!({"match": {"prefix": "/"}, "requires": {"allow_missing": {}}});
    let config = with(any(JWT_AUTHN), [("providers", keys.into()), ("rules", json!([rule]))]);
    json!({"name": "envoy.filters.http.jwt_authn", "typed_config": config})
}

/// The token goes no further: an upstream could use it in its caller's name.
fn provider(instance: &InstanceId, caller: &Caller) -> Value {
    let binding = caller.binding.as_str();
    let key = json!({
        "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig",
        "kid": binding, "x": caller.public_key,
    });
    json!({
        "issuer": binding,
        "subjects": {"exact": binding},
        "audiences": [instance.as_str()],
        "require_expiration": true,
        "max_lifetime": view::duration(TOKEN_LIFETIME + CLOCK_SKEW),
        "clock_skew_seconds": CLOCK_SKEW.as_secs(),
        "local_jwks": {"inline_string": json!({"keys": [key]}).to_string()},
        "from_headers": [{"name": "authorization", "value_prefix": "Bearer "}],
        "claim_to_headers": [{"header_name": CALLER_HEADER, "claim_name": "sub"}],
        "payload_in_metadata": CLAIMS,
    })
}

fn refuse() -> Value {
    let claim = |name: &str, value: Value| {
        let path = json!([{"key": CLAIMS}, {"key": name}]);
        let claim = json!({"filter": "envoy.filters.http.jwt_authn", "path": path, "value": value});
        json!({"sourced_metadata": {"metadata_matcher": claim}})
    };
    let caller = claim("sub", json!({"present_match": true}));
    let end = json!({"double_match": {"range": {"start": 0.0, "end": EXPIRY_SECONDS_MAX}}});
    let nobody = json!({"not_id": {"and_ids": {"ids": [caller, claim("exp", end)]}}});
    let policy = json!({"permissions": [{"any": true}], "principals": [nobody]});
    let rules = json!({"action": "DENY", "policies": {NO_CALLER: policy}});
    let config = with(any(RBAC), [("rules", rules)]);
    json!({"name": "envoy.filters.http.rbac", "typed_config": config})
}

/// Whether it is 32 bytes as base64url without padding. Envoy would refuse the whole resource for
/// one that is not; its caller alone is refused instead.
fn is_key(text: &str) -> bool {
    const CHARS: usize = 43;
    /// The last character stands for four bits; the two below them are none.
    const LAST: &str = "AEIMQUYcgkosw048";
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    text.len() == CHARS && text.bytes().all(fits) && text.ends_with(|c| LAST.contains(c))
}

fn any(message: &str) -> Value {
    json!({"@type": format!("{}{message}", crate::header::TYPE_PREFIX)})
}

fn with<const N: usize>(mut object: Value, fields: [(&str, Value); N]) -> Value {
    for (name, value) in fields {
        object[name] = value;
    }
    object
}
