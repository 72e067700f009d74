//! The stories: a wish goes in at the front, a real Envoy answers at the back, and everything
//! between is the real binary. One file per thing that a user can count on.

mod backend;
mod callers;
mod campaign;
mod edge;
mod platform;
mod wire;

mod bindings;
mod canary;
mod cancel;
mod conform;
mod durability;
mod examples;
mod exits;
mod exposure;
mod extensions;
mod flapping;
mod identity;
mod isolation;
mod joining;
mod line;
mod login;
mod plan;
mod proof;
mod replicas;
mod replicas_tls;
mod rest;
mod restore;
mod restored_bindings;
mod rollout;
mod sotw;
mod sources;
mod staying;
mod strings;
mod teams;
mod tenants;

use serde_json::{Value, json};

/// A descriptor with one upstream and one hostname.
fn service(name: &str, upstream: &str, visibility: &str) -> Value {
    json!({
        "service": name, "upstream": upstream, "visibility": visibility,
        "hostnames": [format!("{name}.example.com")],
    })
}
