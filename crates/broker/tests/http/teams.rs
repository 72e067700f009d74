//! What a team may have: each refusal with its words, the same beforehand as at the accept; and a
//! service that passes.

use serde_json::{Value, json};

use crate::harness::{Answer, CREDENTIALS, Harness, delete_path, envelope, path};

/// A request of a team.
fn wish(team: &str, service: &str, hostnames: &[&str]) -> Value {
    let mut wish = envelope("internal", service, "x.example.com");
    wish["organization_guid"] = json!("margrave");
    wish["space_guid"] = json!(team);
    wish["parameters"]["hostnames"] = json!(hostnames);
    wish
}

async fn publish(harness: &Harness, team: &str, id: &str, hostnames: &[&str]) {
    let answer = harness.call("PUT", &path(id), Some(wish(team, id, hostnames))).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    harness.work(true).await;
}

async fn remove(harness: &Harness, id: &str) {
    assert_eq!(harness.call("DELETE", &delete_path(id), None).await.status, 202);
    harness.work(true).await;
}

async fn done(harness: &Harness, method: &str, path: &str, body: Value) -> Answer {
    let answer = harness.call(method, path, Some(body)).await;
    assert_eq!(answer.status, 200, "{method} {path}: {answer:?}");
    answer
}

/// What the accept says, having been told the same by a question that holds nothing.
async fn refused(harness: &Harness, team: &str, id: &str, hostnames: &[&str]) -> Answer {
    let wish = wish(team, id, hostnames);
    let draft = json!({"instance": id, "team": team, "parameters": wish["parameters"]});
    let told = harness.call("POST", "/v1/validate", Some(draft)).await;
    let answer = harness.call("PUT", &path(id), Some(wish)).await;
    assert_eq!(answer.status, 422, "{answer:?}");
    assert_eq!((told.status, &told.body), (answer.status, &answer.body));
    assert_eq!(told.headers.get("retry-after"), answer.headers.get("retry-after"));
    answer
}

fn says(answer: &Answer, error: &str, words: &[&str]) {
    assert_eq!(answer.body["error"], error, "{answer:?}");
    let text = answer.body["description"].as_str().unwrap_or_default();
    for word in words {
        assert!(text.contains(word), "`{word}` is not in: {text}");
    }
}

#[tokio::test]
async fn each_refusal_says_the_limit_who_raises_it_and_how() {
    let harness = Harness::new();
    publish(&harness, "web", "old", &["old.example.com"]).await;
    remove(&harness, "old").await;
    let answer = refused(&harness, "pay", "a", &["old.example.com"]).await;
    let words = ["web", "`old`", "operators", "`margrave hostname release old.example.com`"];
    says(&answer, "HostnameReserved", &words);

    let answer = refused(&harness, "web", "a", &["*.web.example.com"]).await;
    let words = ["team web", "operators", "`margrave team set web --grant '*.web.example.com'`"];
    says(&answer, "WildcardNotGranted", &words);

    done(&harness, "PUT", "/v1/teams/web", json!({"wildcards": ["*.web.example.com"]})).await;
    publish(&harness, "web", "a", &["*.web.example.com"]).await;
    let answer = refused(&harness, "pay", "b", &["pay.web.example.com"]).await;
    let words = ["web", "`margrave hostname consent pay.web.example.com --to pay`"];
    says(&answer, "HostnameCovered", &words);
}

#[tokio::test]
async fn each_limit_is_told_with_what_raises_it() {
    for (quota, command) in [
        (json!({"instances": 1}), "`margrave team set web --instances 2`"),
        (json!({"hostnames": 1}), "`margrave team set web --hostnames 2`"),
        (json!({"routes": 0}), "`margrave team set web --routes 1`"),
    ] {
        let harness = Harness::new();
        publish(&harness, "web", "a", &["a.example.com"]).await;
        done(&harness, "PUT", "/v1/teams/web", json!({"quota": quota})).await;
        let mut wish = wish("web", "b", &["b.example.com"]);
        if quota.get("routes").is_some() {
            wish["parameters"]["routes"] =
                json!([{"name": "x", "match": {"path": "/x"}, "respond": {"status": 200}}]);
        }
        let draft = json!({"team": "web", "parameters": wish["parameters"]});
        let told = harness.call("POST", "/v1/validate", Some(draft)).await;
        let answer = harness.call("PUT", &path("b"), Some(wish)).await;
        assert_eq!((answer.status, &told.body), (422, &answer.body), "{answer:?}");
        says(&answer, "QuotaExceeded", &["team web may have", "operators", command]);
        assert!(answer.body["refusals"][0]["code"].as_str() == Some("MG2501"), "{answer:?}");
    }
}

#[tokio::test]
async fn changes_are_paced_and_a_question_is_none() {
    let harness = Harness::new();
    done(&harness, "PUT", "/v1/teams/web", json!({"quota": {"changesPerMinute": 1}})).await;
    let draft =
        json!({"team": "web", "parameters": wish("web", "a", &["a.example.com"])["parameters"]});
    for _ in 0..3 {
        assert_eq!(harness.call("POST", "/v1/validate", Some(draft.clone())).await.status, 200);
    }
    publish(&harness, "web", "a", &["a.example.com"]).await;
    let answer = refused(&harness, "web", "b", &["b.example.com"]).await;
    says(&answer, "TooManyChanges", &["wait ", "`margrave team set web --changes-per-minute 2`"]);
    assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
    // What is so already is no change.
    let draft =
        json!({"instance": "a", "parameters": wish("web", "a", &["a.example.com"])["parameters"]});
    assert_eq!(harness.call("POST", "/v1/validate", Some(draft)).await.status, 200);
    harness.pass(60_000);
    publish(&harness, "web", "b", &["b.example.com"]).await;
}

/// Nobody learns by a question what he could not ask for.
#[tokio::test]
async fn a_question_for_another_team_is_refused_as_the_wish_would_be() {
    let harness = Harness::new();
    let made = harness.call("POST", "/v1/tokens", Some(json!({"teams": ["pay"]}))).await;
    let token = format!("Bearer {}", made.body["secret"].as_str().expect("a secret"));
    let parameters = wish("web", "a", &["*.a.example.com"])["parameters"].clone();
    let ask = |body: Value| harness.call_as(&token, "POST", "/v1/validate", Some(body));
    let other = ask(json!({"team": "web", "parameters": parameters})).await;
    assert_eq!(other.status, 403, "{other:?}");
    // Of one team, it need not be named.
    let own = ask(json!({"parameters": parameters})).await;
    says(&own, "WildcardNotGranted", &["team set pay"]);
}

#[tokio::test]
async fn both_sides_see_an_offer_and_what_was_taken_is_found() {
    let harness = Harness::new();
    let token = async |team: &str| {
        let made = harness.call("POST", "/v1/tokens", Some(json!({"teams": [team]}))).await;
        format!("Bearer {}", made.body["secret"].as_str().expect("a secret"))
    };
    let (web, pay, third) = (token("web").await, token("pay").await, token("third").await);
    let mut first = wish("web", "shop", &["shop.example.com"]);
    first["context"] = json!({"environment": "prod"});
    assert_eq!(harness.call("PUT", &path("shop"), Some(first)).await.status, 202);
    harness.work(true).await;
    let to_itself = harness.call("POST", "/v1/instances/shop/offer", Some(json!({"team": "web"})));
    assert_eq!(to_itself.await.status, 400);
    done(&harness, "POST", "/v1/instances/shop/offer", json!({"team": "pay"})).await;
    for (who, seen) in [(&web, 1), (&pay, 1), (&third, 0)] {
        let offers = harness.call_as(who, "GET", "/v1/offers", None).await.body["offers"].clone();
        assert_eq!(offers.as_array().map(Vec::len), Some(seen), "{offers}");
    }
    let one = harness.call_as(&web, "GET", "/v1/instances/shop", None).await;
    assert_eq!((&one.body["offeredTo"], &one.body["environment"]), (&json!("pay"), &json!("prod")));
    assert_eq!(
        harness.call_as(&third, "DELETE", "/v1/instances/shop/offer", None).await.status,
        404
    );
    // Whom it is offered to declines, and takes the next.
    assert_eq!(harness.call_as(&pay, "DELETE", "/v1/instances/shop/offer", None).await.status, 200);
    assert_eq!(harness.call_as(&pay, "POST", "/v1/instances/shop/take", None).await.status, 404);
    done(&harness, "POST", "/v1/instances/shop/offer", json!({"team": "pay"})).await;
    let taken = harness.call_as(&pay, "POST", "/v1/instances/shop/take", Some(json!({}))).await;
    assert_eq!(taken.status, 200, "{taken:?}");
    let found = harness.call_as(&pay, "GET", "/v1/instances?team=pay&service=shop", None).await;
    assert_eq!(found.body["instances"][0]["id"], "shop");
    assert_eq!(harness.call_as(&web, "GET", "/v1/instances/shop", None).await.status, 404);
    let audit = harness.call("GET", "/v1/audit", None).await.body.to_string();
    for action in ["instance.offer", "instance.withdraw", "instance.given", "instance.taken"] {
        assert!(audit.contains(action), "{action}: {audit}");
    }
}

#[tokio::test]
async fn a_hostname_tells_who_stands_before_whom() {
    let harness = Harness::new();
    let show =
        async |name: &str| harness.call("GET", &format!("/v1/hostnames/{name}"), None).await.body;
    assert_eq!(show("a.web.example.com").await, json!({"hostname": "a.web.example.com"}));
    done(&harness, "PUT", "/v1/teams/web", json!({"wildcards": ["*.web.example.com"]})).await;
    publish(&harness, "web", "all", &["*.web.example.com"]).await;
    let consent = "/v1/hostnames/a.web.example.com/consent";
    done(&harness, "POST", consent, json!({"team": "pay"})).await;
    publish(&harness, "pay", "a", &["a.web.example.com"]).await;
    let it = show("a.web.example.com").await;
    assert_eq!((&it["held"]["team"], &it["held"]["service"]), (&json!("pay"), &json!("a")));
    assert_eq!(it["under"]["hostname"], "*.web.example.com");
    assert_eq!(it["consent"]["team"], "pay");
    let made = harness.call("POST", "/v1/tokens", Some(json!({"teams": ["third"]}))).await;
    let third = format!("Bearer {}", made.body["secret"].as_str().expect("a secret"));
    let seen = harness.call_as(&third, "GET", "/v1/hostnames/a.web.example.com", None).await;
    assert!(seen.body.get("consent").is_none(), "{seen:?}");
    remove(&harness, "a").await;
    let it = show("a.web.example.com").await;
    assert_eq!((it.get("held"), &it["reserved"]["team"]), (None, &json!("pay")));
}

/// Two operators read, and both write: the second is told, and nothing of the first's is lost.
#[tokio::test]
async fn nobody_lays_down_over_what_they_have_not_read() {
    let harness = Harness::new();
    let path = "/v1/teams/web";
    let tag = async || {
        let answer = harness.call("GET", path, None).await;
        answer.headers["etag"].to_str().expect("text").to_owned()
    };
    let put = async |tags: &str, instances: u32| {
        let headers = [
            ("authorization", CREDENTIALS),
            ("content-type", "application/json"),
            ("if-match", tags),
        ];
        let body = json!({"quota": {"instances": instances}}).to_string();
        harness.send("PUT", path, &headers, body).await
    };
    let before = tag().await;
    assert_eq!(before, tag().await);
    let first = put(&before, 1).await;
    assert_eq!(first.status, 200, "{first:?}");
    assert_eq!(first.headers["etag"].to_str().expect("text"), tag().await);
    let second = put(&before, 2).await;
    assert_eq!(second.status, 412, "{second:?}");
    assert!(second.body["description"].as_str().expect("text").contains("read it again"));
    assert_eq!(put("", 2).await.status, 412);
    assert_eq!(put("not a tag", 2).await.status, 412);
    assert_eq!(harness.call("GET", path, None).await.body["policy"]["quota"]["instances"], 1);
    assert_eq!(put(&format!("\"0\", {}", tag().await), 2).await.status, 200);
    assert_eq!(put("*", 3).await.status, 200);
    done(&harness, "PUT", path, json!({"quota": {"instances": 4}})).await;
}
