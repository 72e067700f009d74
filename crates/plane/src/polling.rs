//! What proxies that poll are told of where to poll.

use std::time::Duration;

use model::TypeUrl;
use serde_json::{Value, json};

/// How proxies poll what their resources name.
#[derive(Debug, Clone)]
pub struct Polling {
    cluster: String,
    source: Value,
}

impl Polling {
    /// From the `cluster` of their bootstrap that is the control plane, each time after `refresh`.
    pub fn new(cluster: &str, refresh: Duration) -> Self {
        Self { cluster: cluster.to_owned(), source: source(cluster, refresh) }
    }

    /// What a bootstrap calls the control plane.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// The same as an `ApiConfigSource`, for a bootstrap.
    pub fn source(&self) -> &Value {
        &self.source
    }
}

fn source(cluster: &str, refresh: Duration) -> Value {
    json!({
        "api_type": "REST",
        "transport_api_version": "V3",
        "cluster_names": [cluster],
        "refresh_delay": format!("{:.3}s", refresh.as_secs_f64()),
        // A large world takes longer than the second that Envoy would wait.
        "request_timeout": "10s",
    })
}

impl xds::Json for Polling {
    fn any(&self, type_url: &TypeUrl, body: &[u8]) -> Result<String, String> {
        render::polled(type_url, body, &self.source)
    }
}
