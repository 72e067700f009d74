//! What a descriptor would change: as told beforehand, and without a trace.

use model::Quota;
use serde_json::{Value, json};

use crate::harness::{Answer, Harness, envelope, path};

/// The same wish, as it is planned.
fn wanted(id: &str, envelope: &Value) -> Value {
    let public = envelope["plan_id"] == broker::PLAN_PUBLIC_ID;
    json!({
        "instance": id, "organization": envelope["organization_guid"], "team": envelope["space_guid"],
        "plan": if public { "public" } else { "internal" }, "parameters": envelope["parameters"],
    })
}

async fn plan(harness: &Harness, id: &str, envelope: &Value) -> Answer {
    let before = harness.files();
    let answer = harness.call("POST", "/v1/plan", Some(wanted(id, envelope))).await;
    assert!(harness.files() == before, "planning has left a trace: {answer:?}");
    answer
}

fn paths(answer: &Answer) -> Vec<&str> {
    let changes = answer.body["changes"].as_array().into_iter().flatten();
    changes.filter_map(|change| change["path"].as_str()).collect()
}

#[tokio::test]
async fn it_tells_what_would_be_done_and_does_nothing() {
    let harness = Harness::new();
    let wish = envelope("internal", "a", "a.example.com");
    let planned = plan(&harness, "a", &wish).await;
    assert_eq!((planned.status, &planned.body["action"]), (200, &json!("create")), "{planned:?}");
    assert_eq!(paths(&planned), ["visibility", "hostnames", "service", "upstream"]);
    assert_eq!(planned.body["takes"], json!(["a.example.com"]));
    assert_eq!(planned.body["steps"][0]["says"], "Making records (Provision)");
    assert_eq!(planned.body["resources"][0]["change"], "added");
    assert!(planned.body.get("exposure").is_none(), "{planned:?}");

    assert_eq!(harness.call("PUT", &path("a"), Some(wish.clone())).await.status, 202);
    let planned = plan(&harness, "a", &wish).await;
    assert_eq!(planned.status, 422, "as the update that the command line would send: {planned:?}");
    harness.work(true).await;
    let planned = plan(&harness, "a", &wish).await;
    assert_eq!((planned.status, &planned.body["action"]), (200, &json!("nothing")));
    assert_eq!((paths(&planned).len(), &planned.body["steps"]), (0, &json!([])));

    let mut other = envelope("public", "a", "b.example.com");
    other["parameters"]["upstream"] = json!("http://w:2");
    let planned = plan(&harness, "a", &other).await;
    assert_eq!(planned.body["action"], "update", "{planned:?}");
    assert_eq!(planned.body["exposure"], "became-public");
    assert_eq!(paths(&planned), ["visibility", "hostnames", "upstream"]);
    assert_eq!(planned.body["takes"], json!(["b.example.com"]));
    assert_eq!(planned.body["givesUp"], json!(["a.example.com"]));
    let differences = &planned.body["resources"][0]["differences"];
    assert_eq!(differences[0]["path"], "upstream", "{planned:?}");

    let accepted = harness.call("PATCH", &path("a"), Some(other.clone())).await;
    let mut held = harness.begin().await;
    let published = held.publish();
    harness.step(&mut held, vec![published]).await;
    let planned = plan(&harness, "a", &other).await;
    assert_eq!(planned.body["action"], "underway", "{planned:?}");
    assert_eq!(planned.body["operation"], accepted.body["operation"]);
    let planned = plan(&harness, "a", &wish).await;
    let told = (&planned.body["action"], &planned.body["operation"]);
    assert_eq!(told, (&json!("update"), &accepted.body["operation"]), "it would come in its place");
}

#[tokio::test]
async fn what_failed_would_be_tried_again() {
    let harness = Harness::new();
    let wish = envelope("internal", "a", "a.example.com");
    harness.call("PUT", &path("a"), Some(wish.clone())).await;
    harness.work(true).await;
    let mut other = wish.clone();
    other["parameters"]["upstream"] = json!("http://w:2");
    harness.call("PATCH", &path("a"), Some(other)).await;
    harness.work(false).await;
    let planned = plan(&harness, "a", &wish).await;
    assert_eq!((&planned.body["action"], paths(&planned).len()), (&json!("update"), 0));
    assert!(planned.body["because"].as_str().is_some_and(|why| why.contains("failed")));
}

/// Whatever stands against it is told in the words of the provision or the update.
#[tokio::test]
async fn it_is_refused_as_the_change_would_be() {
    let one = Quota { instances: Some(1), ..Quota::default() };
    let harness = Harness::new().with_quota(one);
    harness.call("PUT", &path("a"), Some(envelope("internal", "a", "a.example.com"))).await;
    harness.work(true).await;
    let mut renamed = envelope("internal", "z", "a.example.com");
    let mut mistaken = envelope("internal", "b", "b.example.com");
    mistaken["parameters"]["upstreams"] = json!(7);
    let mut others = envelope("internal", "b", "a.example.com");
    others["space_guid"] = json!("team-y");
    let wildcard = envelope("internal", "a", "*.a.example.com");
    renamed["parameters"]["upstream"] = json!("http://w:2");
    for (id, method, wish, status) in [
        ("b", "PUT", envelope("internal", "b", "b.example.com"), 422),
        ("b", "PUT", others, 422),
        ("b", "PUT", mistaken, 400),
        ("a", "PATCH", renamed, 400),
        ("a", "PATCH", wildcard, 422),
    ] {
        let planned = plan(&harness, id, &wish).await;
        let refused = harness.call(method, &path(id), Some(wish)).await;
        assert_eq!((planned.status, refused.status), (status, status), "{planned:?} {refused:?}");
        assert_eq!(planned.body, refused.body);
    }
}

/// What an operation would fail for is told before there is one.
#[tokio::test]
async fn it_is_refused_where_the_operation_would_fail() {
    let harness = Harness::new();
    let mut wish = envelope("internal", "a", "a.example.com");
    wish["parameters"]["upstream"] = json!("http://169.254.169.254");
    let planned = plan(&harness, "a", &wish).await;
    assert_eq!(planned.status, 422, "{planned:?}");
    assert_eq!(planned.body["description"], "the metadata service is nobody's upstream");
}

#[tokio::test]
async fn a_new_one_needs_a_team_and_no_id() {
    let harness = Harness::new();
    let parameters = json!({"service": "a", "upstream": "http://w:1"});
    let planned = |body: Value| harness.call("POST", "/v1/plan", Some(body));
    let named = planned(json!({"team": "shop", "parameters": parameters})).await;
    assert_eq!((named.status, &named.body["action"]), (200, &json!("create")), "{named:?}");
    let unnamed = planned(json!({"parameters": parameters})).await;
    assert_eq!(unnamed.status, 400, "{unnamed:?}");
    assert!(unnamed.body["description"].as_str().is_some_and(|why| why.contains("`team`")));
    harness.call("PUT", &path("b"), Some(envelope("internal", "b", "b.example.com"))).await;
    harness.work(true).await;
    let parameters = json!({"service": "b", "upstream": "http://w:1"});
    for (team, status) in [(json!("team-x"), 200), (json!("shop"), 409), (Value::Null, 200)] {
        let wanted =
            json!({"instance": "b", "organization": "org", "team": team, "parameters": parameters});
        let answer = planned(wanted).await;
        assert_eq!(answer.status, status, "{team} {answer:?}");
    }
    let unknown = planned(json!({"team": "shop", "space": "x", "parameters": parameters})).await;
    assert_eq!(unknown.status, 400, "{unknown:?}");
}

/// What is said of a hostname that must be proven first: the same before it is asked for as when it is there.
#[tokio::test]
async fn what_would_be_withheld_is_told_with_the_record_to_make() {
    let harness = Harness::new().with_zones(&["example.com"]);
    let mut wish = envelope("public", "a", "a.example.com");
    wish["parameters"]["hostnames"] = json!(["a.example.com", "a.acme.org"]);
    let validate = async |id: Option<&str>| {
        let mut draft = wanted("a", &wish);
        match id {
            Some(id) => draft["instance"] = json!(id),
            None => drop(draft.as_object_mut().unwrap().remove("instance")),
        }
        let answer = harness.call("POST", "/v1/validate", Some(draft)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body["withheld"].clone()
    };
    let planned = plan(&harness, "a", &wish).await;
    let told = planned.body["withheld"].clone();
    assert_eq!(told.as_array().map(Vec::len), Some(1), "{planned:?}");
    assert_eq!(told[0]["hostname"], "a.acme.org");
    assert_eq!(validate(None).await, told);
    let internal = envelope("internal", "a", "a.acme.org");
    assert_eq!(plan(&harness, "a", &internal).await.body["withheld"], json!([]));

    assert_eq!(harness.call("PUT", &path("a"), Some(wish.clone())).await.status, 202);
    harness.work(true).await;
    let found = harness.call("GET", "/v1/instances/a", None).await;
    assert_eq!(found.body["conditions"][0]["record"], told[0]["record"], "{found:?}");
    let planned = plan(&harness, "a", &wish).await;
    assert_eq!((&planned.body["action"], &planned.body["withheld"]), (&json!("nothing"), &told));
    assert_eq!(validate(Some("a")).await, told, "nothing would change, and it is withheld still");

    // Too many that wait for a proof: as the accept says it.
    let mut last = None;
    for n in 0..5 {
        let id = format!("b{n}");
        let mut wish = envelope("public", &id, "a.example.com");
        let names = (0..20).map(|m| json!(format!("h{n}-{m}.acme.org")));
        wish["parameters"]["hostnames"] = names.collect();
        let planned = plan(&harness, &id, &wish).await;
        let accepted = harness.call("PUT", &path(&id), Some(wish)).await;
        last = Some((planned, accepted));
    }
    let (planned, accepted) = last.expect("the last");
    assert_eq!((planned.status, accepted.status), (422, 422), "{planned:?} {accepted:?}");
    assert_eq!(planned.body, accepted.body);
}
