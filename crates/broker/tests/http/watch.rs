//! What operators see: metrics that nobody can blow up, and a configuration that can be printed.

use broker::{Config, Edge, Password};
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::json;

use crate::harness::{Harness, envelope, path};

#[test]
fn a_configuration_can_be_printed() {
    let config = Config {
        username: "user".to_owned(),
        password: Password::new("hush-hush".to_owned()),
        zone: "edge.example".to_owned(),
        quota: model::Quota::default(),
        console: None,
        maintenance: crate::harness::maintenance("1.2.3"),
        edge: Edge { is_tls: false, internal_port: 80, public_port: 80 },
        polling: std::time::Duration::from_secs(3600),
    };
    let text = format!("{config:?} {config:#?}");
    assert!(!text.contains("hush"), "{text}");
    assert!(text.contains("edge.example"), "{text}");
}

#[test]
fn what_a_client_invents_becomes_no_label() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    metrics::with_local_recorder(&recorder, || {
        broker::metrics::describe();
        runtime.expect("a runtime").block_on(async {
            let harness = Harness::new();
            harness.call("BREW", "/v2/catalog", None).await;
            harness.call("GET", "/invented/path", None).await;
            harness.call("GET", "/v2/service_instances/invented-id", None).await;
            let mut wish = envelope("internal", "a", "a.example.com");
            wish["parameters"]["inventedkey"] = json!(1);
            harness.call("PUT", &path("a"), Some(wish)).await;
        });
    });
    let text = handle.render();
    for invented in ["BREW", "invented"] {
        assert!(!text.contains(invented), "{text}");
    }
    for expected in [
        r#"margrave_broker_requests_total{route="/v2/catalog",method="other",status="405"} 1"#,
        r#"margrave_broker_requests_total{route="unknown",method="GET",status="404"} 1"#,
        r#"margrave_broker_requests_total{route="/v2/service_instances/{id}",method="GET",status="404"} 1"#,
        r#"margrave_broker_refusals_total{code="MG1004"} 1"#,
    ] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
    assert!(text.contains("# HELP margrave_broker_request_seconds"), "{text}");
}
