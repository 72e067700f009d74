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
        zones: std::sync::Arc::default(),
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

/// What a step takes as a rule is told beside what it takes now.
#[tokio::test]
async fn a_step_is_told_beside_what_is_usual() {
    let harness = Harness::new();
    let mut asked = Vec::new();
    for (id, took) in [("a", 40), ("b", 50), ("c", 9_000), ("d", 200_000)] {
        let name = format!("{id}.example.com");
        let accepted = harness.call("PUT", &path(id), Some(envelope("internal", id, &name))).await;
        asked.push(accepted.body["operation"].as_str().expect("an id").to_owned());
        let mut held = harness.begin().await;
        let began = held.operation.created_at;
        let step = model::StepRecord::new("dns", "Making records");
        held.operation.steps = vec![model::StepRecord {
            state: model::StepState::Done,
            started_at: Some(began),
            finished_at: Some(began + took),
            ..step
        }];
        let writes = vec![held.publish()];
        harness.end(held, true, writes).await;
    }
    let path = format!("/v1/operations/{}", asked[3]);
    let step = &harness.call("GET", &path, None).await.body["steps"][0];
    assert_eq!((&step["elapsed"], &step["typical"]), (&json!(200_000), &json!(9_000)), "{step}");
    let one = harness.call("GET", "/v1/instances/d", None).await.body;
    assert_eq!(one["operation"]["steps"][0]["typical"], 9_000, "{one}");
}
