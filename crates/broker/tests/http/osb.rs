//! Rows of the Open Service Broker API v2.17.

use broker::{PLAN_INTERNAL_ID, PLAN_PUBLIC_ID, SERVICE_ID};
use serde_json::{Value, json};

use crate::harness::{CREDENTIALS, Harness, delete_path, envelope, path};

/// A row: what is sent, and what must come back.
struct Row {
    what: &'static str,
    method: &'static str,
    path: String,
    body: Option<Value>,
    status: u16,
    error: Option<&'static str>,
    says: &'static str,
}

fn with(mut body: Value, key: &str, value: Value) -> Value {
    body[key] = value;
    body
}

fn without(mut body: Value, key: &str) -> Value {
    body.as_object_mut().expect("an object").remove(key);
    body
}

fn row(
    what: &'static str,
    method: &'static str,
    path: String,
    body: Option<Value>,
    (status, error, says): (u16, Option<&'static str>, &'static str),
) -> Row {
    Row { what, method, path, body, status, error, says }
}

/// Each of these is refused, on a broker that knows one live instance `a`, and changes nothing.
#[expect(clippy::too_many_lines, reason = "a table, one row a rule")]
fn refused_rows() -> Vec<Row> {
    let good = || envelope("internal", "b", "b.example.com");
    let sync = "/v2/service_instances/b".to_owned();
    vec![
        row(
            "no service",
            "PUT",
            path("b"),
            Some(without(good(), "service_id")),
            (400, None, "service_id"),
        ),
        row("no plan", "PUT", path("b"), Some(without(good(), "plan_id")), (400, None, "plan_id")),
        row(
            "no organisation",
            "PUT",
            path("b"),
            Some(without(good(), "organization_guid")),
            (400, None, "organization_guid"),
        ),
        row(
            "no space",
            "PUT",
            path("b"),
            Some(without(good(), "space_guid")),
            (400, None, "space_guid"),
        ),
        row(
            "unknown service",
            "PUT",
            path("b"),
            Some(with(good(), "service_id", json!("x"))),
            (400, None, "catalog"),
        ),
        row(
            "unknown plan",
            "PUT",
            path("b"),
            Some(with(good(), "plan_id", json!("x"))),
            (400, None, "catalog"),
        ),
        row(
            "wrong type",
            "PUT",
            path("b"),
            Some(with(good(), "plan_id", json!(7))),
            (400, None, "specification"),
        ),
        row(
            "synchronous",
            "PUT",
            sync.clone(),
            Some(without(good(), "parameters")),
            (422, Some("AsyncRequired"), "accepts_incomplete"),
        ),
        row(
            "no parameters",
            "PUT",
            path("b"),
            Some(without(good(), "parameters")),
            (400, Some("InvalidParameters"), "MG1007"),
        ),
        row(
            "unknown key",
            "PUT",
            path("b"),
            Some(with(good(), "parameters", json!({"service": "b", "upstrem": "http://w:1"}))),
            (400, Some("InvalidParameters"), "upstrem"),
        ),
        row(
            "visibility",
            "PUT",
            path("b"),
            Some(with(
                good(),
                "parameters",
                json!({"service": "b", "upstream": "http://w:1", "visibility": "public"}),
            )),
            (400, Some("InvalidParameters"), "visibility"),
        ),
        row(
            "maintenance",
            "PUT",
            path("b"),
            Some(with(good(), "maintenance_info", json!({"version": "1.0.0"}))),
            (422, Some("MaintenanceInfoConflict"), "1.0.0"),
        ),
        row(
            "taken hostname",
            "PUT",
            path("b"),
            Some(envelope("internal", "b", "a.example.com")),
            (
                422,
                Some("HostnameTaken"),
                "`a.example.com` is owned by team-x through service `a` (since 2026-05-01)",
            ),
        ),
        row(
            "bad id",
            "PUT",
            "/v2/service_instances/a%2Fb?accepts_incomplete=true".to_owned(),
            Some(good()),
            (400, None, "id"),
        ),
        row(
            "other parameters",
            "PUT",
            path("a"),
            Some(envelope("internal", "a", "c.example.com")),
            (409, None, "other attributes"),
        ),
        row(
            "other plan",
            "PUT",
            path("a"),
            Some(envelope("public", "a", "a.example.com")),
            (409, None, "other attributes"),
        ),
        row(
            "other space",
            "PUT",
            path("a"),
            Some(with(envelope("internal", "a", "a.example.com"), "space_guid", json!("y"))),
            (409, None, "other attributes"),
        ),
        row("unknown", "PATCH", path("b"), Some(good()), (404, None, "no such instance")),
        row(
            "synchronous",
            "PATCH",
            "/v2/service_instances/a".to_owned(),
            Some(json!({"service_id": SERVICE_ID})),
            (422, Some("AsyncRequired"), ""),
        ),
        row(
            "renamed",
            "PATCH",
            path("a"),
            Some(envelope("internal", "z", "a.example.com")),
            (400, Some("InvalidParameters"), "for the life of the instance"),
        ),
        row(
            "no service",
            "PATCH",
            path("a"),
            Some(json!({"plan_id": PLAN_PUBLIC_ID})),
            (400, None, "service_id"),
        ),
        row("no hints", "DELETE", path("a"), None, (400, None, "service_id")),
        row(
            "synchronous",
            "DELETE",
            format!("/v2/service_instances/a?service_id={SERVICE_ID}&plan_id={PLAN_INTERNAL_ID}"),
            None,
            (422, Some("AsyncRequired"), ""),
        ),
        row("unknown", "GET", sync.clone(), None, (404, None, "no such instance")),
        row(
            "unknown",
            "GET",
            format!("{sync}/last_operation"),
            None,
            (404, None, "no such instance"),
        ),
        row(
            "empty operation",
            "GET",
            "/v2/service_instances/a/last_operation?operation=".to_owned(),
            None,
            (400, None, "operation"),
        ),
        row("no such path", "GET", "/v2/nothing".to_owned(), None, (404, None, "openapi")),
        row("no such method", "POST", "/v2/catalog".to_owned(), None, (405, None, "method")),
    ]
}

#[tokio::test]
async fn what_is_refused_says_why_and_changes_nothing() {
    let harness = Harness::new();
    harness.call("PUT", &path("a"), Some(envelope("internal", "a", "a.example.com"))).await;
    harness.work(true).await;
    let before = harness.call("GET", "/v1/instances", None).await.body;
    for Row { what, method, path, body, status, error, says } in refused_rows() {
        let answer = harness.call(method, &path, body).await;
        let told = format!("{method} {what}: {answer:?}");
        assert_eq!(answer.status, status, "{told}");
        assert_eq!(answer.body["error"].as_str(), error, "{told}");
        assert!(
            answer.body["description"].as_str().is_some_and(|text| text.contains(says)),
            "{told}"
        );
    }
    assert_eq!(harness.call("GET", "/v1/instances", None).await.body, before);
}

#[tokio::test]
async fn a_life_from_provision_to_tombstone() {
    let harness = Harness::new();
    let wish = envelope("internal", "a", "a.example.com");
    let poll = "/v2/service_instances/a/last_operation";
    let fetch = "/v2/service_instances/a";

    let first = harness.call("PUT", &path("a"), Some(wish.clone())).await;
    assert_eq!(first.status, 202);
    let again = harness.call("PUT", &path("a"), Some(wish.clone())).await;
    assert_eq!((again.status, &again.body), (202, &first.body), "the same operation");
    assert_eq!(harness.call("GET", fetch, None).await.status, 404, "still provisioning");
    let other =
        harness.call("PUT", &path("a"), Some(envelope("internal", "a", "c.example.com"))).await;
    assert_eq!(other.status, 409);
    let busy = harness.call("PATCH", &path("a"), Some(wish.clone())).await;
    assert_eq!((busy.status, busy.body["error"].as_str()), (422, Some("ConcurrencyError")));
    let polled = harness.call("GET", &format!("{poll}?operation=unheard-of"), None).await;
    assert_eq!((polled.status, polled.body["state"].as_str()), (200, Some("in progress")));
    assert!(polled.headers.contains_key("retry-after"));

    harness.work(true).await;
    assert_eq!(harness.call("GET", poll, None).await.body["state"], "succeeded");
    assert_eq!(harness.call("PUT", &path("a"), Some(wish.clone())).await.status, 200);
    let fetched = harness.call("GET", fetch, None).await;
    assert_eq!((fetched.status, fetched.body["plan_id"].as_str()), (200, Some(PLAN_INTERNAL_ID)));
    assert_eq!(fetched.body["parameters"]["hostnames"], json!(["a.example.com"]));

    assert_eq!(harness.call("PATCH", &path("a"), Some(wish.clone())).await.status, 200, "a no-op");
    let update = json!({"service_id": SERVICE_ID, "plan_id": PLAN_PUBLIC_ID});
    let first = harness.call("PATCH", &path("a"), Some(update.clone())).await;
    assert_eq!(first.status, 202);
    assert_eq!(harness.call("PATCH", &path("a"), Some(update)).await.body, first.body);
    assert_eq!(harness.call("GET", fetch, None).await.status, 422);
    harness.work(true).await;
    let fetched = harness.call("GET", fetch, None).await.body;
    assert_eq!(fetched["plan_id"], PLAN_PUBLIC_ID);
    assert_eq!(
        fetched["parameters"]["hostnames"],
        json!(["a.example.com"]),
        "what is absent stays"
    );

    let first = harness.call("DELETE", &delete_path("a"), None).await;
    assert_eq!(first.status, 202);
    assert_eq!(harness.call("DELETE", &delete_path("a"), None).await.body, first.body);
    harness.work(true).await;
    let polled = harness.call("GET", poll, None).await;
    assert_eq!((polled.status, polled.body["state"].as_str()), (200, Some("succeeded")));
    assert_eq!(harness.call("DELETE", &delete_path("a"), None).await.status, 410);
    assert_eq!(harness.call("GET", fetch, None).await.status, 404);
    assert_eq!(
        harness.call("PUT", &path("a"), Some(wish)).await.status,
        202,
        "the id may live again"
    );
}

#[tokio::test]
async fn what_failed_can_be_tried_again() {
    let harness = Harness::new();
    let wish = envelope("internal", "a", "a.example.com");
    let poll = "/v2/service_instances/a/last_operation";
    harness.call("PUT", &path("a"), Some(wish.clone())).await;
    harness.work(false).await;
    let polled = harness.call("GET", poll, None).await.body;
    assert_eq!(
        (polled["state"].as_str(), polled["description"].as_str()),
        (Some("failed"), Some("the cloud said no"))
    );
    let renewed = envelope("internal", "a", "other.example.com");
    assert_eq!(harness.call("PUT", &path("a"), Some(renewed.clone())).await.status, 202);
    harness.work(true).await;

    let update = envelope("public", "a", "other.example.com");
    harness.call("PATCH", &path("a"), Some(update.clone())).await;
    harness.work(false).await;
    let polled = harness.call("GET", poll, None).await.body;
    assert_eq!(polled["instance_usable"], true);
    assert_eq!(polled["update_repeatable"], true);
    assert_eq!(harness.call("PATCH", &path("a"), Some(renewed)).await.status, 202, "tried anew");
}

#[tokio::test]
async fn headers_are_judged_before_bodies() {
    let harness = Harness::new();
    let json = ("content-type", "application/json");
    let (auth, version) = (("authorization", CREDENTIALS), ("x-broker-api-version", "2.17"));
    let wrong = ("authorization", "Basic dXNlcjp3cm9uZw==");
    let identity = ("x-broker-api-originating-identity", "cloudfoundry not-base64!");
    for (what, headers, status) in [
        ("nothing", vec![json], 401),
        ("wrong password", vec![json, wrong, version], 401),
        ("no version", vec![json, auth], 412),
        ("version 3", vec![json, auth, ("x-broker-api-version", "3.0")], 412),
        ("no version number", vec![json, auth, ("x-broker-api-version", "2.x")], 412),
        ("an older minor", vec![json, auth, ("x-broker-api-version", "2.13")], 400),
        ("no content type", vec![auth, version], 400),
        ("not JSON", vec![auth, version, ("content-type", "text/plain")], 400),
        ("malformed identity", vec![json, auth, version, identity], 400),
    ] {
        let answer = harness.send("PUT", &path("a"), &headers, "{").await;
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        assert!(answer.body["description"].is_string(), "{what}: {answer:?}");
    }
    let duplicate = format!(
        r#"{{"service_id":"{SERVICE_ID}","plan_id":"{PLAN_INTERNAL_ID}","organization_guid":"o","space_guid":"s","vendor":1,"parameters":{{"service":"a","service":"b","upstream":"http://w:1"}}}}"#
    );
    let answer = harness.send("PUT", &path("a"), &[json, auth, version], duplicate).await;
    assert_eq!(answer.status, 400, "a duplicate key is seen: {answer:?}");
    let large = "x".repeat(2 << 20);
    assert_eq!(harness.send("PUT", &path("a"), &[json, auth, version], large).await.status, 413);
}

#[tokio::test]
async fn the_catalog_is_what_platforms_accept() {
    let harness = Harness::new();
    let catalog = harness.call("GET", "/v2/catalog", None).await;
    let service = &catalog.body["services"][0];
    assert_eq!(service["name"], "load-balancer");
    let names: Vec<_> =
        service["plans"].as_array().expect("plans").iter().map(|p| p["name"].clone()).collect();
    assert_eq!(names, ["internal", "public"]);
    for plan in service["plans"].as_array().expect("plans") {
        let schema = &plan["schemas"]["service_instance"]["create"]["parameters"];
        assert!(schema["$schema"].is_string());
        assert!(schema.to_string().len() < 65_536);
    }
    let etag = catalog.headers["etag"].to_str().expect("text").to_owned();
    let headers = [
        ("authorization", CREDENTIALS),
        ("x-broker-api-version", "2.17"),
        ("if-none-match", etag.as_str()),
    ];
    assert_eq!(harness.send("GET", "/v2/catalog", &headers, "").await.status, 304);
}
