//! The checklist of the Open Service Broker API v2.17, a row a requirement, each with its section:
//! what the other files tell as stories stands here once more as a table.

use broker::{PLAN_INTERNAL_ID, PLAN_PUBLIC_ID, SERVICE_ID};
use serde_json::{Value, json};

use crate::harness::{Answer, CREDENTIALS, Harness, delete_path, envelope, path};

/// What there is when the request comes.
#[derive(Debug, Clone, Copy)]
enum Given {
    /// Nothing.
    Nothing,
    /// A provision that no worker has taken.
    Provisioning,
    /// It is there.
    Live,
    /// It is there, and an update of it waits.
    Updating,
    /// It is there, and its last update has failed.
    UpdateFailed,
    /// It was there.
    Deleted,
}

struct Row {
    section: &'static str,
    given: Given,
    method: &'static str,
    path: String,
    body: Option<Value>,
    status: u16,
    /// Pointers into the answer and what must be there; `null`: nothing.
    told: Vec<(&'static str, Value)>,
}

fn good() -> Value {
    envelope("internal", "a", "a.example.com")
}

fn with(mut body: Value, key: &str, value: Value) -> Value {
    body[key] = value;
    body
}

/// A PATCH of these fields.
fn patch(fields: Value) -> Value {
    let mut body = json!({"service_id": SERVICE_ID});
    if let (Some(body), Value::Object(fields)) = (body.as_object_mut(), fields) {
        body.extend(fields);
    }
    body
}

fn moved() -> Value {
    json!({"service": "a", "upstream": "http://web.internal:9090", "hostnames": ["a.example.com"]})
}

const POLL: &str = "/v2/service_instances/a/last_operation";
const ONE: &str = "/v2/service_instances/a";
const DASHBOARD: &str = "https://console.example/instances/a";

#[expect(clippy::too_many_lines, reason = "a table, one row a requirement")]
fn rows() -> Vec<Row> {
    use Given::{Deleted, Live, Nothing, Provisioning, UpdateFailed, Updating};
    let row = |section, given, method, path: &str, body, status, told: &[(&'static str, Value)]| {
        Row { section, given, method, path: path.to_owned(), body, status, told: told.to_vec() }
    };
    let a = path("a");
    let conflict = || ("/error", json!("MaintenanceInfoConflict"));
    let busy = || ("/error", json!("ConcurrencyError"));
    let none = |pointer| (pointer, Value::Null);
    let dashboard = || ("/dashboard_url", json!(DASHBOARD));
    let version = |version: &str| json!({"maintenance_info": {"version": version}});
    vec![
        // Catalog Management
        row(
            "Catalog Management",
            Nothing,
            "GET",
            "/v2/catalog",
            None,
            200,
            &[
                ("/services/0/allow_context_updates", json!(true)),
                ("/services/0/instances_retrievable", json!(true)),
                ("/services/0/plan_updateable", json!(true)),
                ("/services/0/plans/0/maximum_polling_duration", json!(3600)),
                ("/services/0/plans/0/maintenance_info/version", json!("1.2.3")),
                ("/services/0/plans/1/maintenance_info/description", json!("as it is now")),
            ],
        ),
        // Provisioning
        row("Provisioning", Nothing, "PUT", &a, Some(good()), 202, &[dashboard()]),
        row(
            "Provisioning",
            Provisioning,
            "PUT",
            &a,
            Some(good()),
            202,
            &[dashboard(), ("/operation", json!("op-000001"))],
        ),
        row("Provisioning", Live, "PUT", &a, Some(good()), 200, &[dashboard(), none("/operation")]),
        row(
            "Provisioning",
            Live,
            "PUT",
            &a,
            Some(with(good(), "organization_guid", json!("other"))),
            409,
            &[],
        ),
        row(
            "Provisioning",
            Live,
            "PUT",
            &a,
            Some(with(good(), "space_guid", json!("other"))),
            409,
            &[],
        ),
        row(
            "Provisioning",
            Provisioning,
            "PUT",
            &a,
            Some(with(good(), "space_guid", json!("other"))),
            409,
            &[],
        ),
        row(
            "Provisioning",
            Live,
            "PUT",
            &a,
            Some(with(good(), "plan_id", json!(PLAN_PUBLIC_ID))),
            409,
            &[],
        ),
        row("Provisioning", Live, "PUT", &a, Some(with(good(), "parameters", moved())), 409, &[]),
        row("Provisioning", Updating, "PUT", &a, Some(good()), 422, &[busy()]),
        row("Provisioning", Deleted, "PUT", &a, Some(good()), 202, &[dashboard()]),
        row(
            "Provisioning",
            Nothing,
            "PUT",
            ONE,
            Some(good()),
            422,
            &[("/error", json!("AsyncRequired"))],
        ),
        // Maintenance Info Object
        row(
            "Maintenance Info Object",
            Nothing,
            "PUT",
            &a,
            Some(with(good(), "maintenance_info", json!({}))),
            202,
            &[],
        ),
        row(
            "Maintenance Info Object",
            Nothing,
            "PUT",
            &a,
            Some(with(good(), "maintenance_info", json!({"version": "1.2.3"}))),
            202,
            &[],
        ),
        row(
            "Maintenance Info Object",
            Nothing,
            "PUT",
            &a,
            Some(with(good(), "maintenance_info", json!({"version": "1.2.2"}))),
            422,
            &[conflict()],
        ),
        row(
            "Maintenance Info Object",
            Live,
            "PATCH",
            &a,
            Some(patch(version("2.0.0"))),
            422,
            &[conflict()],
        ),
        row(
            "Maintenance Info Object",
            Live,
            "PATCH",
            &a,
            Some(patch(version("1.2.3"))),
            200,
            &[dashboard()],
        ),
        row(
            "Maintenance Info Object",
            Nothing,
            "PUT",
            &a,
            Some(with(good(), "maintenance_info", json!({"version": 1}))),
            400,
            &[],
        ),
        // Vendor Extension Fields
        row(
            "Vendor Extension Fields",
            Nothing,
            "PUT",
            &a,
            Some(with(good(), "x-vendor", json!({"deep": [1]}))),
            202,
            &[],
        ),
        row(
            "Vendor Extension Fields",
            Live,
            "PATCH",
            &a,
            Some(patch(json!({"x-vendor": 1, "previous_values": {"plan_id": "x", "more": []}}))),
            200,
            &[],
        ),
        // Polling Last Operation for Service Instances
        row("Polling", Nothing, "GET", POLL, None, 404, &[]),
        row(
            "Polling",
            Provisioning,
            "GET",
            POLL,
            None,
            200,
            &[
                ("/state", json!("in progress")),
                none("/instance_usable"),
                none("/update_repeatable"),
            ],
        ),
        row(
            "Polling",
            Provisioning,
            "GET",
            &format!("{POLL}?operation=provision"),
            None,
            200,
            &[("/state", json!("in progress"))],
        ),
        row(
            "Polling",
            Live,
            "GET",
            &format!("{POLL}?operation=op-000001&plan_id={PLAN_INTERNAL_ID}"),
            None,
            200,
            &[("/state", json!("succeeded")), none("/instance_usable")],
        ),
        row(
            "Polling",
            UpdateFailed,
            "GET",
            POLL,
            None,
            200,
            &[
                ("/state", json!("failed")),
                ("/instance_usable", json!(true)),
                ("/update_repeatable", json!(true)),
            ],
        ),
        row(
            "Polling",
            Deleted,
            "GET",
            POLL,
            None,
            200,
            &[("/state", json!("succeeded")), none("/update_repeatable")],
        ),
        row("Polling", Live, "GET", &format!("{POLL}?operation="), None, 400, &[]),
        // Fetching a Service Instance
        row("Fetching", Nothing, "GET", ONE, None, 404, &[]),
        row("Fetching", Provisioning, "GET", ONE, None, 404, &[]),
        row("Fetching", Updating, "GET", ONE, None, 422, &[busy()]),
        row("Fetching", Deleted, "GET", ONE, None, 404, &[]),
        row(
            "Fetching",
            Live,
            "GET",
            ONE,
            None,
            200,
            &[
                dashboard(),
                ("/service_id", json!(SERVICE_ID)),
                ("/plan_id", json!(PLAN_INTERNAL_ID)),
                ("/parameters/service", json!("a")),
                ("/maintenance_info/version", json!("1.2.3")),
                (
                    "/metadata/labels",
                    json!({"service": "a", "organization": "org", "space": "team-x"}),
                ),
                ("/metadata/attributes/hostnames", json!("a.example.com")),
                ("/metadata/attributes/exposure", json!("internal")),
            ],
        ),
        // Updating a Service Instance
        row("Updating", Nothing, "PATCH", &a, Some(patch(json!({}))), 404, &[]),
        row("Updating", Deleted, "PATCH", &a, Some(patch(json!({}))), 404, &[]),
        row("Updating", Live, "PATCH", &a, Some(patch(json!({}))), 200, &[dashboard()]),
        row(
            "Updating",
            Live,
            "PATCH",
            &a,
            Some(patch(json!({"parameters": moved()}))),
            202,
            &[dashboard()],
        ),
        row(
            "Updating",
            Updating,
            "PATCH",
            &a,
            Some(patch(json!({"parameters": moved()}))),
            202,
            &[],
        ),
        row(
            "Updating",
            Live,
            "PATCH",
            &a,
            Some(patch(json!({"plan_id": PLAN_PUBLIC_ID}))),
            202,
            &[],
        ),
        row("Updating", Live, "PATCH", &a, Some(patch(json!({"plan_id": "x"}))), 400, &[]),
        row("Updating", Live, "PATCH", &a, Some(json!({})), 400, &[]),
        row(
            "Updating",
            Live,
            "PATCH",
            &a,
            Some(patch(json!({"context": {"space_name": "n"}}))),
            200,
            &[dashboard()],
        ),
        row(
            "Updating",
            Updating,
            "PATCH",
            &a,
            Some(patch(json!({"context": {"space_name": "n"}}))),
            422,
            &[busy()],
        ),
        row("Updating", Nothing, "PATCH", &a, Some(patch(json!({"context": {}}))), 404, &[]),
        row("Updating", Live, "PATCH", &a, Some(patch(json!({"context": []}))), 400, &[]),
        // Deprovisioning
        row("Deprovisioning", Nothing, "DELETE", &delete_path("a"), None, 410, &[]),
        row("Deprovisioning", Deleted, "DELETE", &delete_path("a"), None, 410, &[]),
        row("Deprovisioning", Live, "DELETE", &delete_path("a"), None, 202, &[]),
        row("Deprovisioning", Live, "DELETE", &a, None, 400, &[]),
    ]
}

async fn given(harness: &Harness, given: Given) {
    if matches!(given, Given::Nothing) {
        return;
    }
    assert_eq!(harness.call("PUT", &path("a"), Some(good())).await.status, 202);
    if matches!(given, Given::Provisioning) {
        return;
    }
    harness.work(true).await;
    match given {
        Given::Updating | Given::UpdateFailed => {
            let update = patch(json!({"parameters": moved()}));
            assert_eq!(harness.call("PATCH", &path("a"), Some(update)).await.status, 202);
        }
        Given::Deleted => {
            assert_eq!(harness.call("DELETE", &delete_path("a"), None).await.status, 202);
            harness.work(true).await;
        }
        _ => {}
    }
    if matches!(given, Given::UpdateFailed) {
        harness.work(false).await;
    }
}

#[tokio::test]
async fn each_requirement_is_kept() {
    for row in rows() {
        let harness = Harness::new();
        given(&harness, row.given).await;
        let what =
            format!("{}: {:?} {} {} {:?}", row.section, row.given, row.method, row.path, row.body);
        let answer = harness.call(row.method, &row.path, row.body).await;
        assert_eq!(answer.status, row.status, "{what}: {answer:?}");
        for (pointer, expected) in row.told {
            let found = answer.body.pointer(pointer).unwrap_or(&Value::Null);
            assert_eq!(found, &expected, "{what} at {pointer}: {answer:?}");
        }
        let polled = row.path.contains("last_operation") && answer.body["state"] == "in progress";
        assert_eq!(answer.headers.contains_key("retry-after"), polled, "{what}: {answer:?}");
    }
}

/// Headers that every route of OSB judges before anything else (OSB 2.17, "API Version Header",
/// "Originating Identity", "Request Identity", "Content Type").
#[tokio::test]
async fn headers_come_first() {
    let harness = Harness::new();
    let base = [("authorization", CREDENTIALS), ("content-type", "application/json")];
    let version = |value: &'static str| ("x-broker-api-version", value);
    let identity = |value: &'static str| ("x-broker-api-originating-identity", value);
    for (more, status) in [
        (vec![], 412),
        (vec![version("")], 412),
        (vec![version("1.17")], 412),
        (vec![version("3.0")], 412),
        (vec![version("2")], 412),
        (vec![version("2.x")], 412),
        (vec![version("2.0")], 404),
        (vec![version("2.99")], 404),
        (vec![version("2.17"), identity("cloudfoundry")], 400),
        (vec![version("2.17"), identity("cloudfoundry bm90IGpzb24=")], 400),
        (vec![version("2.17"), identity("cloudfoundry eyJ1c2VyX2lkIjoiNyJ9")], 404),
    ] {
        let headers: Vec<_> = base.iter().copied().chain(more.clone()).collect();
        let answer = harness.send("GET", POLL, &headers, "").await;
        assert_eq!(answer.status, status, "{more:?}: {answer:?}");
    }
}

async fn operations(harness: &Harness) -> Vec<Value> {
    let history = harness.call("GET", "/v1/instances/a/operations", None).await;
    history.body["operations"].as_array().cloned().unwrap_or_default()
}

/// OSB 2.17, "Updating a Service Instance": becoming public is a change of plan, and stands out.
#[tokio::test]
async fn becoming_public_is_an_update_that_stands_out() {
    let harness = Harness::new();
    given(&harness, Given::Live).await;
    for (plan, exposure, change) in [
        (
            PLAN_PUBLIC_ID,
            "became-public",
            json!({"path": "visibility", "before": "internal", "after": "public"}),
        ),
        (
            PLAN_INTERNAL_ID,
            "no-longer-public",
            json!({"path": "visibility", "before": "public", "after": "internal"}),
        ),
    ] {
        let update = patch(json!({"plan_id": plan}));
        assert_eq!(harness.call("PATCH", &path("a"), Some(update)).await.status, 202);
        harness.work(true).await;
        let latest = operations(&harness).await.remove(0);
        assert_eq!((&latest["exposure"], &latest["changes"]), (&json!(exposure), &json!([change])));
        assert_eq!(latest["askedBy"], json!({"credential": "user", "request": "r-1"}));
    }
    let actions = harness.call("GET", "/v1/audit?object=a&order=latest&limit=2", None).await.body;
    assert_eq!(actions["entries"][1]["entry"]["action"], "instance.update", "{actions}");
}

/// OSB 2.17, `allow_context_updates`: kept, audited, and no operation.
#[tokio::test]
async fn a_context_is_kept_and_audited() {
    let harness = Harness::new();
    given(&harness, Given::Live).await;
    let context = json!({"platform": "cloudfoundry", "space_name": "renamed"});
    for written in [1, 0] {
        let before = harness.call("GET", "/v1/audit/head", None).await.body["seq"].as_u64();
        let update = patch(json!({"context": context}));
        let answer: Answer = harness.call("PATCH", &path("a"), Some(update)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let after = harness.call("GET", "/v1/audit/head", None).await.body["seq"].as_u64();
        assert_eq!(after, before.map(|seq| seq + written), "the same again is no change");
    }
    use store::Store;
    let id = "a".parse().expect("an id");
    let instance = harness.store.instance(&id).await.expect("reads").expect("is there");
    assert_eq!(instance.platform_context, context);
    assert_eq!(operations(&harness).await.len(), 1);
    let audit = harness.call("GET", "/v1/audit?order=latest&limit=1", None).await.body;
    assert_eq!(audit["entries"][0]["entry"]["action"], "instance.context");
    assert_eq!(audit["entries"][0]["entry"]["by"]["credential"], "user");
}

/// OSB 2.17, "Maintenance Info Object": an instance of an earlier version is published anew, once.
#[tokio::test]
async fn an_upgrade_publishes_anew() {
    let harness = Harness::new();
    given(&harness, Given::Live).await;
    let harness = harness.at_version("1.3.0");
    let seen = harness.call("GET", ONE, None).await.body;
    assert_eq!(seen["maintenance_info"]["version"], "1.2.3");
    let wish = |version: &str| Some(patch(json!({"maintenance_info": {"version": version}})));
    assert_eq!(harness.call("PATCH", &path("a"), wish("1.2.3")).await.status, 422);
    assert_eq!(harness.call("PATCH", &path("a"), Some(patch(json!({})))).await.status, 200);
    let accepted = harness.call("PATCH", &path("a"), wish("1.3.0")).await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    let again = harness.call("PATCH", &path("a"), wish("1.3.0")).await;
    assert_eq!(again.body["operation"], accepted.body["operation"], "in flight");
    harness.work(true).await;
    assert_eq!(harness.call("PATCH", &path("a"), wish("1.3.0")).await.status, 200);
    let seen = harness.call("GET", ONE, None).await.body;
    assert_eq!(seen["maintenance_info"]["version"], "1.3.0");
    let history = operations(&harness).await;
    assert_eq!((history.len(), &history[0]["changes"]), (2, &json!([])));
}

/// A key that is given twice inside `parameters` is a mistake with a place; in the envelope, too.
#[tokio::test]
async fn a_key_given_twice_is_refused() {
    let harness = Harness::new();
    let headers = [
        ("authorization", CREDENTIALS),
        ("x-broker-api-version", "2.17"),
        ("content-type", "application/json"),
    ];
    let text = good().to_string();
    for (once, twice) in [
        ("\"service\":\"a\"", "\"service\":\"a\",\"service\":\"b\""),
        ("\"plan_id\":", "\"plan_id\":\"x\",\"plan_id\":"),
    ] {
        let body = text.replacen(once, twice, 1);
        assert_ne!(body, text);
        let answer = harness.send("PUT", &path("a"), &headers, body).await;
        assert_eq!(answer.status, 400, "{twice}: {answer:?}");
    }
}
