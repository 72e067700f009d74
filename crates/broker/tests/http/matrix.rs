//! Who may do what: every route of the document × every role, against the table of the reference.

use std::collections::BTreeMap;
use std::path::Path;

use broker::{PLAN_INTERNAL_ID, SERVICE_ID};
use serde_json::{Value, json};

use crate::harness::{CREDENTIALS, Harness, envelope, path};

/// The columns of the table, in its order.
const ROLES: [&str; 6] = ["nobody", "expired", "member", "other team", "platform", "operator"];
const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// A platform with a service of the team `shop`, and one credential of each role.
struct World {
    harness: Harness,
    credentials: BTreeMap<&'static str, String>,
    operation: String,
    token: String,
    platform: String,
}

async fn token(harness: &Harness, name: &str, team: &str, days: u16) -> (String, String) {
    let wish = json!({"name": name, "teams": [team], "ttl": format!("{days}d")});
    let made = harness.call("POST", "/v1/tokens", Some(wish)).await;
    assert_eq!(made.status, 201, "{made:?}");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    (format!("Bearer {}", text(&made.body["secret"])), text(&made.body["token"]["id"]))
}

impl World {
    async fn new() -> Self {
        let harness = Harness::new();
        let expired = token(&harness, "old", "shop", 1).await.0;
        let (member, id) = token(&harness, "shop-ci", "shop", 90).await;
        let other = token(&harness, "pay-ci", "pay", 90).await.0;
        let made = harness.call("POST", "/v1/platforms", Some(json!({"name": "cf"}))).await;
        let pair = format!("cf:{}", made.body["secret"].as_str().expect("a secret"));
        use base64::Engine;
        let pair = base64::engine::general_purpose::STANDARD.encode(pair);
        harness.pass(2 * DAY_MILLIS);
        let accepted = harness.call("PUT", &path("a"), Some(wish("shop"))).await;
        harness.work(true).await;
        let bound = "/v2/service_instances/a/service_bindings/b";
        assert_eq!(harness.call("PUT", bound, Some(bind())).await.status, 201);
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        Self {
            credentials: BTreeMap::from([
                ("nobody", String::new()),
                ("expired", expired),
                ("member", member),
                ("other team", other),
                ("platform", format!("Basic {pair}")),
                ("operator", CREDENTIALS.to_owned()),
            ]),
            operation: text(&accepted.body["operation"]),
            token: id,
            platform: text(&made.body["platform"]["id"]),
            harness,
        }
    }

    /// Of a path of the document, one that leads to what is there.
    fn path(&self, method: &str, template: &str) -> String {
        let id = match template {
            it if it.starts_with("/v1/operations/") => &self.operation,
            it if it.starts_with("/v1/tokens/") => &self.token,
            it if it.starts_with("/v1/platforms/") => &self.platform,
            _ => "a",
        };
        let mut path = template.replace("{id}", id).replace("{hostname}", "x.shop.example.com");
        for (name, value) in
            [("{binding}", "b"), ("{binding_id}", "b"), ("{team}", "shop"), ("{node}", "proxy-7")]
        {
            path = path.replace(name, value);
        }
        if template.starts_with("/v2/service_instances") && method != "GET" {
            return format!(
                "{path}?accepts_incomplete=true&service_id={SERVICE_ID}&plan_id={PLAN_INTERNAL_ID}"
            );
        }
        path
    }
}

fn wish(team: &str) -> Value {
    let mut wish = envelope("internal", "a", "a.example.com");
    wish["organization_guid"] = json!("margrave");
    wish["space_guid"] = json!(team);
    wish
}

fn bind() -> Value {
    json!({"service_id": SERVICE_ID, "plan_id": PLAN_INTERNAL_ID})
}

fn request() -> String {
    authority::Applicant::new().expect("a key").request().to_owned()
}

/// A body that is accepted of who may; else an empty object.
fn body(method: &str, template: &str) -> Option<Value> {
    let draft = json!({"instance": "a", "parameters": {"service": "a",
        "upstream": "http://w:1", "hostnames": ["a.example.com"]}});
    match (method, template) {
        ("GET" | "DELETE", _) => None,
        (_, "/v2/service_instances/{id}") => Some(wish("shop")),
        (_, "/v2/service_instances/{id}/service_bindings/{binding}") => Some(bind()),
        (_, "/v1/render" | "/v1/validate" | "/v1/plan") => Some(draft),
        (_, "/v1/instances/{id}/offer" | "/v1/hostnames/{hostname}/consent") => {
            Some(json!({"team": "pay"}))
        }
        (_, "/v1/tokens") => Some(json!({"teams": ["shop"]})),
        (_, "/v1/operations/{id}/cancel") => Some(json!({"reason": "tried"})),
        (_, "/v1/operations/{id}/skip") => Some(json!({"step": "dns", "reason": "tried"})),
        (_, "/v1/join-tokens") => Some(json!({"group": "eu"})),
        (_, "/v1/join") => Some(json!({"token": "mgj_", "request": request()})),
        (_, "/v1/join/renew") => {
            Some(json!({"certificate": "", "request": request(), "proof": ""}))
        }
        (_, "/v1/platforms") => Some(json!({"name": "k8s"})),
        _ => Some(json!({})),
    }
}

/// The rows of the reference: route → statuses.
fn table() -> BTreeMap<String, Vec<u16>> {
    let page =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/who-may-do-what.md");
    let page = std::fs::read_to_string(page).unwrap_or_default();
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let mut cells = row.trim_matches('|').split('|').map(str::trim);
        let route = cells.next().unwrap_or_default().trim_matches('`').to_owned();
        (route, cells.map(|cell| cell.parse().unwrap_or_default()).collect())
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_answers_every_role_as_the_table_says() {
    let document = broker::openapi();
    let mut seen = BTreeMap::new();
    for (template, operations) in document["paths"].as_object().expect("paths") {
        for method in operations.as_object().expect("operations").keys() {
            let method = method.to_uppercase();
            let mut statuses = Vec::new();
            for role in ROLES {
                let world = World::new().await;
                let path = world.path(&method, template);
                let credential = &world.credentials[role];
                let body = body(&method, template);
                let answer = world.harness.call_as(credential, &method, &path, body).await;
                statuses.push(answer.status);
            }
            seen.insert(format!("{method} {template}"), statuses);
        }
    }
    let table = table();
    let row = |route: &String, statuses: &Vec<u16>| {
        let cells: Vec<_> = statuses.iter().map(ToString::to_string).collect();
        format!("| `{route}` | {} |", cells.join(" | "))
    };
    let wrong: Vec<_> = seen
        .iter()
        .filter(|(route, statuses)| table.get(*route) != Some(statuses))
        .map(|(route, statuses)| row(route, statuses))
        .collect();
    assert!(
        wrong.is_empty(),
        "docs/reference/who-may-do-what.md says otherwise, or nothing, of these; if they are as they \
         should be, write them there:\n{}",
        wrong.join("\n")
    );
    let gone: Vec<_> = table.keys().filter(|route| !seen.contains_key(*route)).collect();
    assert!(gone.is_empty(), "there is no such route: {gone:?}");
    let without = ["POST /v1/join", "POST /v1/join/renew"];
    for (route, statuses) in seen.iter().filter(|(route, _)| !without.contains(&route.as_str())) {
        assert_eq!(statuses[..2], [401, 401], "{route} answers without a credential");
    }
}
