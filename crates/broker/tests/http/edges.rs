//! What a careless, hostile or merely unusual client sends: the edges of headers, paths and bodies.

use broker::{PLAN_INTERNAL_ID, SERVICE_ID};
use serde_json::{Value, json};

use crate::harness::{Answer, CREDENTIALS, Harness, delete_path, envelope, path};

/// Whatever is wrong is said as a JSON object with a description.
fn is_told(answer: &Answer) -> bool {
    let kind = answer.headers.get("content-type").and_then(|kind| kind.to_str().ok());
    kind == Some("application/json")
        && answer.body["description"].as_str().is_some_and(|text| !text.is_empty())
}

#[tokio::test]
async fn paths_and_queries_that_cannot_be_read_are_told_in_json() {
    let harness = Harness::new();
    for (method, path, status) in [
        ("GET", "/v2/service_instances/%ff", 400),
        ("GET", "/v2/service_instances/%ff/last_operation", 400),
        ("GET", "/v2/service_instances/a%2Fb", 400),
        ("GET", "/v2/service_instances/a?service_id=", 400),
        ("GET", "/v2/service_instances/a/last_operation?plan_id=", 400),
        ("GET", "/v2/service_instances/a/last_operation?operation=&x=1", 400),
        ("DELETE", "/v2/service_instances/a?service_id=1&service_id=2", 400),
        ("PUT", "/v2/service_instances/a?accepts_incomplete=true&accepts_incomplete=true", 400),
        ("GET", "/v2/service_instances/", 404),
        ("GET", "/v2/service_instances", 404),
        ("PUT", "/v2/service_instances/a/service_bindings/b/c", 404),
        ("GET", "/v1/instances?colour=red", 400),
        ("GET", "/v1/instances?limit=many", 400),
        ("GET", "/v1/instances?limit=0", 400),
        ("GET", "/v1/instances?space=x", 400),
        ("GET", "/v1/instances?after=ab", 400),
        ("GET", "/v1/instances/%ff", 400),
        ("GET", "/v1/operations/%ff", 400),
        ("GET", "/v1/operations/a?wait=-1", 400),
        ("GET", "/", 404),
        ("TRACE", "/v2/catalog", 405),
        ("BREW", "/v1/fleet", 405),
    ] {
        let answer = harness.call(method, path, None).await;
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        assert!(is_told(&answer), "{method} {path}: {answer:?}");
    }
    let refused = harness.call("POST", "/v2/catalog", None).await;
    assert_eq!(refused.headers["allow"], "GET,HEAD", "{refused:?}");
}

#[tokio::test]
async fn only_the_credentials_open_the_door() {
    let encode = |pair: &str| {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.encode(pair)
    };
    let basic = |pair: &str| format!("Basic {}", encode(pair));
    for (header, status) in [
        (CREDENTIALS.to_owned(), 200),
        (format!("bAsIc   {}", encode("user:secret")), 200),
        (basic("user:secret2"), 401),
        (basic("user:secre"), 401),
        (basic("user:"), 401),
        (basic("use:rsecret"), 401),
        (basic("user"), 401),
        (basic(""), 401),
        (basic("User:secret"), 401),
        ("Basic".to_owned(), 401),
        ("Basic !!!".to_owned(), 401),
        (format!("Bearer {}", encode("user:secret")), 401),
        (String::new(), 401),
    ] {
        // Each from another address, so to speak: failures are counted.
        let harness = Harness::new();
        let headers = [("authorization", header.as_str()), ("x-broker-api-version", "2.17")];
        // Without credentials not even what exists can be learned.
        for path in ["/v2/catalog", "/v1/fleet", "/v1/schema"] {
            let answer = harness.send("GET", path, &headers, "").await;
            assert_eq!(answer.status, status, "{header} {path}: {answer:?}");
            let challenge = answer.headers.get("www-authenticate");
            assert_eq!(challenge.is_some(), status == 401, "{header} {path}: {answer:?}");
        }
        if status == 401 {
            let answer = harness.send("GET", "/nothing", &headers, "").await;
            assert_eq!((answer.status, is_told(&answer)), (401, true), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn an_identity_is_recorded_or_refused_and_never_ignored() {
    let harness = Harness::new();
    let encoded = "eyJ1c2VyX2lkIjoiNjgzZWE3NDgifQ==";
    let good = format!("cloudfoundry {encoded}");
    for (identity, status) in [
        (good.as_str(), 404),
        ("cloudfoundry", 400),
        ("cloudfoundry ", 400),
        (&format!(" {encoded}") as &str, 400),
        ("cloudfoundry not-base64!", 400),
        ("cloudfoundry WzFd", 400),
        (&format!("cloudfoundry {}", "A".repeat(5000)) as &str, 400),
    ] {
        let headers = [
            ("authorization", CREDENTIALS),
            ("x-broker-api-version", "2.17"),
            ("x-broker-api-originating-identity", identity),
        ];
        for path in ["/v2/service_instances/a", "/v2/service_instances/a/last_operation"] {
            let answer = harness.send("GET", path, &headers, "").await;
            assert_eq!(answer.status, status, "{identity:?} {path}: {answer:?}");
        }
    }
    let headers = [
        ("authorization", CREDENTIALS),
        ("x-broker-api-version", "2.17"),
        ("content-type", "application/json; charset=utf-8"),
        ("x-broker-api-originating-identity", good.as_str()),
    ];
    let wish = envelope("internal", "a", "a.example.com").to_string();
    let answer = harness.send("PUT", &path("a"), &headers, wish).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let held = harness.begin().await;
    let by = held.operation.requested_by;
    assert_eq!(by.credential, "user");
    assert_eq!(by.originating_identity, None, "it is believed of platforms only");
    assert_eq!(by.request_identity.as_deref(), Some("r-1"));
}

#[tokio::test]
async fn what_is_wrong_with_a_body_is_told_at_once() {
    let harness = Harness::new();
    let all = ["service_id", "plan_id", "organization_guid", "space_guid"];
    let answer = harness.call("PUT", &path("a"), Some(json!({"plan_id": ""}))).await;
    assert_eq!(answer.status, 400, "{answer:?}");
    let text = answer.body["description"].as_str().unwrap_or_default();
    assert!(all.iter().all(|name| text.contains(name)), "{text}");

    let mut wish = envelope("internal", "a", "a.example.com");
    wish["parameters"] = json!({"service": "A!", "upstrem": "http://w:1", "routes": 7});
    let answer = harness.call("PUT", &path("a"), Some(wish.clone())).await;
    assert_eq!(answer.status, 400, "{answer:?}");
    assert_eq!(answer.body["error"], "InvalidParameters");
    let refusals = answer.body["refusals"].as_array().expect("refusals");
    assert!(refusals.len() >= 3, "{answer:?}");
    for refusal in refusals {
        let text = answer.body["description"].as_str().unwrap_or_default();
        let (code, said) = (refusal["code"].as_str(), refusal["message"].as_str());
        assert!(code.is_some_and(|code| text.contains(code)), "{answer:?}");
        assert!(said.is_some_and(|said| text.contains(said)), "{answer:?}");
    }
    // Without parameters it is said which are missing.
    wish.as_object_mut().expect("an object").remove("parameters");
    for absent in [wish.clone(), {
        wish["parameters"] = Value::Null;
        wish
    }] {
        let answer = harness.call("PUT", &path("a"), Some(absent)).await;
        assert_eq!(answer.body["refusals"][0]["code"], "MG1007", "{answer:?}");
    }
}

#[tokio::test]
async fn every_taken_hostname_is_told_with_its_owner() {
    let harness = Harness::new();
    for name in ["a", "b"] {
        let wish = envelope("internal", name, &format!("{name}.example.com"));
        assert_eq!(harness.call("PUT", &path(name), Some(wish)).await.status, 202);
    }
    let mut wish = envelope("internal", "c", "a.example.com");
    wish["parameters"]["hostnames"] = json!(["a.example.com", "b.example.com", "c.example.com"]);
    let answer = harness.call("PUT", &path("c"), Some(wish)).await;
    assert_eq!((answer.status, &answer.body["error"]), (422, &json!("HostnameTaken")));
    let refusals = answer.body["refusals"].as_array().expect("refusals");
    let told: Vec<_> = refusals.iter().map(|refusal| refusal["message"].as_str()).collect();
    assert_eq!(
        told,
        [
            Some("`a.example.com` is owned by team-x through service `a` (since 2026-05-01)"),
            Some("`b.example.com` is owned by team-x through service `b` (since 2026-05-01)"),
        ]
    );
    assert!(refusals.iter().all(|refusal| refusal["code"] == "MG2101"), "{answer:?}");
}

#[tokio::test]
async fn contexts_and_ids_have_limits() {
    let harness = Harness::new();
    let long = "x".repeat(256);
    let big = json!({"annotations": "x".repeat(70_000)});
    for (key, value, says) in [
        ("context", big, "context"),
        ("context", json!([1]), "context"),
        ("context", json!("x"), "context"),
        ("organization_guid", json!(long), "organization_guid"),
        ("space_guid", json!(long), "space_guid"),
    ] {
        let mut wish = envelope("internal", "a", "a.example.com");
        wish[key] = value;
        let answer = harness.call("PUT", &path("a"), Some(wish)).await;
        assert_eq!(answer.status, 400, "{key}: {answer:?}");
        assert!(is_told(&answer), "{key}: {answer:?}");
        let text = answer.body["description"].as_str().unwrap_or_default();
        assert!(text.contains(says) || text.contains("map"), "{key}: {text}");
    }
    let mut wish = envelope("internal", "a", "a.example.com");
    wish["context"] = json!({"annotations": "x".repeat(60_000)});
    wish["maintenance_info"] = json!({});
    wish["vendor"] = json!({"anything": [1, 2, 3]});
    assert_eq!(harness.call("PUT", &path("a"), Some(wish)).await.status, 202);
}

#[tokio::test]
async fn a_catalog_that_is_known_is_not_sent_again() {
    let harness = Harness::new();
    let tag = harness.call("GET", "/v2/catalog", None).await.headers["etag"].clone();
    let tag = tag.to_str().expect("text");
    for (known, status) in [
        (tag.to_owned(), 304),
        (format!("W/{tag}"), 304),
        (format!("\"x\", {tag}"), 304),
        ("*".to_owned(), 304),
        ("\"x\"".to_owned(), 200),
        (tag.trim_matches('"').to_owned(), 200),
    ] {
        let headers = [
            ("authorization", CREDENTIALS),
            ("x-broker-api-version", "2.17"),
            ("if-none-match", known.as_str()),
        ];
        let answer = harness.send("GET", "/v2/catalog", &headers, "").await;
        assert_eq!(answer.status, status, "{known}: {answer:?}");
        assert_eq!(answer.headers["etag"], tag);
    }
}

#[tokio::test]
async fn what_the_catalog_promises_is_kept() {
    let harness = Harness::new();
    let catalog = harness.call("GET", "/v2/catalog", None).await.body;
    let service = &catalog["services"][0];
    assert_eq!(service["id"], SERVICE_ID);
    assert_eq!(service["bindable"], true);
    // A PATCH with nothing but a context changes nothing.
    assert_eq!(service["allow_context_updates"], true);
    assert_eq!(service["instances_retrievable"], true);
    assert_eq!(service["plan_updateable"], true);
    for plan in service["plans"].as_array().expect("plans") {
        assert!(plan["maximum_polling_duration"].as_u64().is_some_and(|seconds| seconds >= 960));
        let name = plan["name"].as_str().expect("a name");
        let id = plan["id"].as_str().expect("an id");
        let mut wish = envelope("internal", name, &format!("{name}.example.com"));
        wish["plan_id"] = json!(id);
        assert_eq!(harness.call("PUT", &path(name), Some(wish)).await.status, 202, "{name}");
        harness.work(true).await;
        let fetched = harness.call("GET", &format!("/v2/service_instances/{name}"), None).await;
        assert_eq!(fetched.body["plan_id"], id);
    }
    let gone = harness.call("DELETE", &delete_path("nobody"), None).await;
    assert_eq!((gone.status, &gone.body), (410, &json!({})), "410 has an empty object");
    assert_eq!(service["plans"][0]["id"], PLAN_INTERNAL_ID, "the default comes first");
}
