//! The platform API, and the document that describes it.

use std::collections::BTreeSet;
use std::path::Path;

use broker::{PLAN_INTERNAL_ID, PLAN_PUBLIC_ID, SERVICE_ID};
use serde_json::{Value, json};

use crate::harness::{CREDENTIALS, Harness, envelope, path};

#[tokio::test]
async fn it_shows_what_osb_does_not() {
    let harness = Harness::new();
    let accepted =
        harness.call("PUT", &path("a"), Some(envelope("public", "a", "a.example.com"))).await;
    let operation =
        format!("/v1/operations/{}", accepted.body["operation"].as_str().expect("an id"));
    let seen = harness.call("GET", &operation, None).await.body;
    assert_eq!(seen["state"], "in progress");
    let waiting = format!("{operation}?wait=20&seen={}", seen["tag"].as_str().expect("a tag"));
    let (news, ()) = tokio::join!(harness.call("GET", &waiting, None), harness.work(true));
    assert_eq!(news.body["state"], "succeeded", "{news:?}");

    let listed = harness.call("GET", "/v1/instances?service=a", None).await.body;
    assert_eq!(listed["instances"][0]["hostnames"], json!(["a.example.com"]));
    assert_eq!(
        harness.call("GET", "/v1/instances?service=zz", None).await.body["instances"],
        json!([])
    );
    assert_eq!(listed["instances"][0]["operation"]["state"], "succeeded");
    let one = harness.call("GET", "/v1/instances/a", None).await.body;
    assert_eq!((one["plan"].as_str(), one["state"].as_str()), (Some("public"), Some("ready")));
    assert_eq!(one["operation"]["state"], "succeeded");
    assert_eq!(one["standing"]["proxies"], json!({"have": 2, "ready": 3}));
    assert!(one["operation"]["elapsed"].as_i64().is_some_and(|elapsed| elapsed > 0), "{one}");
    let history = harness.call("GET", "/v1/instances/a/operations", None).await.body;
    assert_eq!(history["operations"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        harness.call("GET", "/v1/instances/a/resources", None).await.body["resources"][0]["name"],
        "a"
    );
}

#[tokio::test]
async fn it_judges_without_changing() {
    let harness = Harness::new();
    harness.call("PUT", &path("a"), Some(envelope("public", "a", "a.example.com"))).await;
    let draft = |hostname: &str| json!({"plan": "public", "parameters": {"service": "b", "upstream": "http://w:1", "hostnames": [hostname]}});
    let good = harness.call("POST", "/v1/validate", Some(draft("b.example.com"))).await;
    assert_eq!((good.status, &good.body["hostnames"]), (200, &json!(["b.example.com"])));
    assert_eq!(
        harness.call("POST", "/v1/validate", Some(draft("a.example.com"))).await.status,
        422
    );
    let renamed = json!({"instance": "a", "parameters": {"service": "z", "upstream": "http://w:1", "hostnames": ["a.example.com"]}});
    let refused = harness.call("POST", "/v1/validate", Some(renamed)).await;
    assert_eq!((refused.status, &refused.body["refusals"][0]["path"]), (400, &json!("service")));
    let own = json!({"instance": "a", "parameters": {"service": "a", "upstream": "http://w:2", "hostnames": ["a.example.com"]}});
    assert_eq!(harness.call("POST", "/v1/validate", Some(own)).await.status, 200, "its own name");
    let bad = json!({"parameters": {"service": "B!", "upstreams": 7}});
    let refused = harness.call("POST", "/v1/validate", Some(bad)).await;
    assert_eq!(refused.status, 400);
    let refusals = refused.body["refusals"].as_array().map_or(0, Vec::len);
    assert!(refusals >= 2, "all mistakes at once: {refused:?}");
    for (path, status) in [
        ("/v1/instances?limit=0", 400),
        ("/v1/instances?colour=red", 400),
        ("/v1/instances/zz", 404),
        ("/v1/operations/zz", 404),
    ] {
        assert_eq!(harness.call("GET", path, None).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn its_document_is_the_one_in_the_reference() {
    let harness = Harness::new();
    let open = harness.call("GET", "/v1/openapi.json", None).await;
    assert_eq!(open.status, 200);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/openapi.json");
    let text = serde_json::to_string_pretty(&open.body).expect("JSON") + "\n";
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("docs/reference");
        std::fs::write(&file, &text).expect("written");
    }
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap_or_default())
        .unwrap_or_default();
    assert_eq!(open.body, kept, "the API has changed: look at it, then run make golden");
}

/// Whatever is described is there, once, and whatever it refers to as well.
#[tokio::test]
async fn its_document_is_true() {
    let harness = Harness::new();
    let document = harness.call("GET", "/v1/openapi.json", None).await.body;
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")));
    let mut ids = BTreeSet::new();
    let paths = document["paths"].as_object().expect("paths");
    for (path, operations) in paths {
        for (method, operation) in operations.as_object().expect("operations") {
            let told = format!("{method} {path}");
            let id = operation["operationId"].as_str().unwrap_or_default();
            assert!(ids.insert(id.to_owned()), "{told}: `{id}` twice");
            assert!(operation["summary"].is_string(), "{told} says nothing");
            let method = method.to_uppercase();
            let answer = harness.call(&method, &path.replace("{id}", "x"), None).await;
            let said = answer.body["description"].as_str().unwrap_or_default();
            assert_ne!(answer.status, 405, "{told}");
            assert!(!said.contains("nothing at this path"), "{told}: {answer:?}");
            let described = &operation["responses"][answer.status.to_string()];
            assert!(described.is_object(), "{told} answers {}", answer.status);
        }
    }
    for path in ["/v2/catalog", "/v2/service_instances/{id}", "/v1/operations/{id}"] {
        assert!(paths.contains_key(path), "{path}");
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/api.md");
    let page = std::fs::read_to_string(page).expect("docs/reference/api.md");
    for told in paths.keys().filter(|path| path.starts_with("/v1/")) {
        assert!(page.contains(told.as_str()), "docs/reference/api.md does not tell {told}");
    }
    for id in [SERVICE_ID, PLAN_INTERNAL_ID, PLAN_PUBLIC_ID] {
        assert!(page.contains(id), "docs/reference/api.md does not tell {id}");
    }
    let mut refs = Vec::new();
    references(&document, &mut refs);
    assert!(!refs.is_empty());
    for reference in refs {
        let pointer = reference.trim_start_matches('#');
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

/// And whatever is there is described: the routes are read from the code that makes them.
#[tokio::test]
async fn each_route_is_in_its_document() {
    let harness = Harness::new();
    let document = harness.call("GET", "/v1/openapi.json", None).await.body;
    let mut seen = 0;
    for file in ["src/api.rs", "src/router.rs"] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let text = std::fs::read_to_string(file).expect("the router");
        for route in text.split(".route(").skip(1) {
            let path = route.split('"').nth(1).expect("a path");
            let described = &document["paths"][path];
            assert!(described.is_object(), "{path} is not described");
            seen += 1;
        }
    }
    assert!(seen > 15, "only {seen} routes were seen");
}

fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|value| references(value, found));
        }
        Value::Array(list) => list.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[tokio::test]
async fn the_audit_log_tells_who_asked() {
    let harness = Harness::new();
    let empty = harness.call("GET", "/v1/audit/head", None).await.body;
    assert_eq!((empty["seq"].as_u64(), empty["hash"].as_str()), (Some(0), Some(&*"0".repeat(64))));
    for name in ["a", "b"] {
        let asked = envelope("internal", name, &format!("{name}.example.com"));
        assert_eq!(harness.call("PUT", &path(name), Some(asked)).await.status, 202);
        harness.work(true).await;
    }
    let whole = harness.call("GET", "/v1/audit", None).await.body;
    let entries = whole["entries"].as_array().expect("entries");
    let actions: Vec<_> = entries.iter().map(|it| it["entry"]["action"].as_str()).collect();
    let pair = [Some("instance.provision"), Some("operation.succeeded")];
    assert_eq!(actions, [pair, pair].concat());
    let first = &entries[0];
    assert_eq!(first["entry"]["by"]["credential"], "user");
    assert_eq!(first["entry"]["by"]["request_identity"], "r-1");
    assert_eq!(first["entry"]["owner"]["space"], "team-x");
    let head = harness.call("GET", "/v1/audit/head", None).await.body;
    assert_eq!((&head["seq"], &head["hash"]), (&json!(4), &entries[3]["hash"]));

    let latest = harness.call("GET", "/v1/audit?object=b&order=latest&limit=1", None).await.body;
    assert_eq!((&latest["entries"][0], &latest["next"]), (&entries[3], &json!(4)));
    let rest = harness.call("GET", "/v1/audit?object=b&order=latest&beyond=4", None).await.body;
    assert_eq!(rest, json!({"entries": [entries[2]]}));
    for refused in ["limit=0", "order=newest", "team=x", "space=x", "beyond=-1"] {
        let answer = harness.call("GET", &format!("/v1/audit?{refused}"), None).await;
        assert_eq!(answer.status, 400, "{refused}");
    }
}

#[tokio::test]
async fn a_backup_is_handed_out_whole_and_told() {
    let harness = Harness::new();
    for _ in 0..2 {
        let answer = harness.call("POST", "/v1/backup", None).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.headers["content-length"], "8");
        assert_eq!(answer.headers["content-type"], "application/octet-stream");
    }
    let wish = |word: &str| Some(json!({"passphrase": word}));
    assert_eq!(harness.call("POST", "/v1/backup", wish("short")).await.status, 400);
    let form =
        [("authorization", CREDENTIALS), ("content-type", "application/x-www-form-urlencoded")];
    let body = r#"{"passphrase": "correct horse battery"}"#;
    let answer = harness.send("POST", "/v1/backup", &form, body).await;
    assert_eq!(answer.status, 400, "nobody believes that the keys are in it: {answer:?}");
    let unknown = Some(json!({"password": "correct horse battery"}));
    assert_eq!(harness.call("POST", "/v1/backup", unknown).await.status, 400);
    let told = harness.call("GET", "/v1/audit?action=platform.backup", None).await.body;
    assert_eq!(told["entries"].as_array().map(Vec::len), Some(2), "{told}");
}
