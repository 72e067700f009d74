//! What the tests of the renderer share: specs by hand, a platform, and a real Envoy.
#![allow(dead_code, reason = "each test file uses some of it")]

pub(crate) mod envoy;

use model::{InstanceId, Node, Spec};
use render::{Complaint, Draft, Endpoints, Input, Platform, Sources, Templates};

/// A platform as `margrave dev` has it.
pub(crate) fn platform() -> Platform {
    Platform {
        zone: "localhost".into(),
        internal: ([127, 0, 0, 1], 11080).into(),
        public: ([127, 0, 0, 1], 10080).into(),
        trusted_hops: 0,
        on_demand: false,
        shared_clusters: Vec::new(),
        sources: Sources::default(),
        direct: true,
        trusted_ca: render::TRUSTED_CA.into(),
        access_log: None,
    }
}

/// A spec from its JSON, as the store keeps it.
pub(crate) fn spec(json: serde_json::Value) -> Spec {
    serde_json::from_value(json).expect("it is a spec")
}

/// The smallest spec: one upstream, one hostname.
pub(crate) fn small_spec(service: &str) -> Spec {
    spec(serde_json::json!({
        "plan": "public",
        "parameters": {
            "service": service,
            "upstream": {"addresses": [{"host": "localhost", "port": 3000}], "tls": false, "healthCheck": null},
            "hostnames": [],
            "routes": [],
            "upstreams": {},
            "requestHeaders": {"set": {}, "add": {}, "remove": []},
            "responseHeaders": {"set": {}, "add": {}, "remove": []},
        },
        "hostnames": [format!("{service}.localhost")],
    }))
}

/// Renders a spec as the instance `id`.
pub(crate) fn render(
    templates: &Templates,
    platform: &Platform,
    id: &str,
    spec: &Spec,
    endpoints: &Endpoints,
) -> Result<Vec<Draft>, Vec<Complaint>> {
    let id: InstanceId = id.parse().expect("it is an id");
    templates.instance(platform, &Node::default(), Input { id: &id, spec, endpoints })
}
