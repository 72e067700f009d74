//! What a binding answers: where to call, and with which key.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use keys::{KeyPair, TOKEN_S_MAX};
use model::{Binding, Instance, Plan};
use serde_json::{Map, Value, json};
use store::Bound;

use super::parameters::Parameters;
use super::place;
use crate::error::Error;
use crate::router::Broker;

/// An answer that holds a private key, which nobody between shall keep.
pub(super) fn secret(status: StatusCode, body: Value) -> Response {
    let mut response = (status, Json(body)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl Broker {
    /// The body of a bind, and of a fetch but for the parameters.
    pub(super) fn binding_body(&self, instance: &Instance, bound: &Bound) -> Result<Value, Error> {
        let Bound { binding, sealed } = bound;
        let opened = self.parts.vault.open(place(&binding.id), sealed);
        let pair = opened.map_err(|why| unreadable(binding, &why.to_string()))?;
        let pair =
            KeyPair::from_secret(&pair).map_err(|why| unreadable(binding, &why.to_string()))?;
        let key = pair.jwk(binding.id.as_str());
        let key: Value = serde_json::from_slice(key.expose()).unwrap_or_default();
        let hosts: Vec<&str> = instance.spec.hostnames.iter().map(|name| name.as_str()).collect();
        let port = self.port(instance.spec.plan);
        let endpoint =
            |host: &&str| json!({"host": host, "ports": [port.to_string()], "protocol": "tcp"});
        Ok(json!({
            "credentials": {
                "url": self.url(&hosts, port),
                "hostnames": hosts,
                "client_id": binding.id,
                "audience": instance.id,
                "algorithm": "EdDSA",
                "token_lifetime_seconds": TOKEN_S_MAX,
                "private_key": key,
            },
            "endpoints": hosts.iter().map(endpoint).collect::<Vec<_>>(),
            "metadata": metadata(binding),
        }))
    }

    fn port(&self, plan: Plan) -> u16 {
        let edge = &self.config.edge;
        match plan {
            Plan::Internal => edge.internal_port,
            Plan::Public => edge.public_port,
        }
    }

    /// By a name that can be called, where there is one.
    fn url(&self, hosts: &[&str], port: u16) -> String {
        let exact = hosts.iter().find(|host| !host.starts_with('*'));
        let host = exact.or(hosts.first()).copied().unwrap_or_default();
        let scheme = self.config.edge.scheme();
        let is_usual = matches!((scheme, port), ("http", 80) | ("https", 443));
        if is_usual { format!("{scheme}://{host}") } else { format!("{scheme}://{host}:{port}") }
    }
}

/// The key is there and cannot be read: an operator must know.
fn unreadable(binding: &Binding, why: &str) -> Error {
    tracing::error!(binding = %binding.id, why, "a sealed key does not open");
    Error::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "the key of this binding cannot be read; the platform's operators can see why in the log",
    )
}

/// OSB 2.17, "Binding Metadata Object"; empty where nothing ends by itself.
pub(super) fn metadata(binding: &Binding) -> Value {
    let mut metadata = Map::new();
    for (name, at) in [("expires_at", binding.expires_at), ("renew_before", binding.renew_before)] {
        metadata.extend(at.map(|at| (name.to_owned(), model::moment(at).into())));
    }
    Value::Object(metadata)
}

/// The parameters that a binding was made with.
pub(super) fn parameters(binding: &Binding) -> Value {
    Parameters { name: binding.name.clone(), ttl_s: binding.ttl_s }.to_json()
}
