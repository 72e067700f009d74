//! Who may call, tried on a real Envoy: what passes, what does not, and what it is told; and
//! templates that would leave a door open.

mod common;

use common::callers::{Bound, Claims, now, signing_input};
use common::live::{self, Answer, Live};
use model::{Caller, Node};
use render::{Complaint, Draft, Endpoints, Templates};
use serde_json::{Value, json};

/// The service that is called, and an id that is not its.
const LEDGER: &str = "i-ledger";
const OTHER: &str = "i-other";

const BOUND: &str = "
service: ledger
visibility: public
upstream: http://a.b
hostnames: [ledger.localhost, x.w.localhost]
auth: {require: binding}
routes:
  - {name: health, match: {path: /healthz}, auth: {require: none}}
  - {name: open, match: {prefix: /open}, auth: {require: none}}
  - {name: moved, match: {path: /moved}, redirect: {to: /new}}
  - {name: ping, match: {path: /ping}, respond: {status: 200, body: pong}}
  - {name: small, match: {prefix: /small}, limits: {maxBodySize: 1000B}}
";

/// Open but for one route, and nothing for what no route takes.
const PARTLY: &str = "
service: partly
visibility: public
upstreams: {a: {url: http://a.b}}
routes:
  - {name: all, match: {prefix: /all}, to: a}
  - {name: private, match: {prefix: /private}, to: a, auth: {require: binding}}
";

const EMPTY: &str =
    "{service: empty, visibility: public, upstream: http://a.b, auth: {require: binding}}";

fn endpoints() -> Endpoints {
    let backend = vec![live::backend()];
    Endpoints::from([("default".into(), backend.clone()), ("a".into(), backend)])
}

fn start(bound: &[&Bound]) -> Live {
    let platform = live::platform();
    let templates = Templates::builtin();
    let endpoints = endpoints();
    let mut callers: Vec<Caller> = bound.iter().map(|bound| bound.caller()).collect();
    // Envoy would refuse all of the instance for this one.
    callers.push(Caller { public_key: "short".into(), ..Bound::new("b-bad").caller() });
    let render = |id: &str, yaml: &str, callers: &[Caller]| {
        let spec = common::spec(yaml);
        common::render_for(&templates, &platform, id, &spec, &endpoints, callers)
            .expect("it renders")
    };
    let drafts = [
        render(LEDGER, BOUND, &callers),
        render(OTHER, PARTLY, &[Bound::new("b-other").caller()]),
        render("i-empty", EMPTY, &[]),
    ];
    let drafts: Vec<Draft> = drafts.into_iter().flatten().collect();
    Live::start(&templates, platform, &drafts)
}

fn ask(live: &Live, path: &str, token: &str) -> Answer {
    live.get("ledger.localhost", path, &[("authorization", &format!("Bearer {token}"))])
}

fn is_refused(what: &str, answer: &Answer, error: bool) {
    assert_eq!(answer.status, 401, "{what}: {answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{what}");
    assert_eq!(answer.json()["code"], "MG-E1401", "{what}: {answer:?}");
    assert_eq!(answer.json()["status"], 401, "{what}: {answer:?}");
    let error = if error { ", error=\"invalid_token\"" } else { "" };
    let challenge = format!("Bearer realm=\"ledger.localhost\"{error}");
    assert_eq!(answer.header("www-authenticate"), Some(challenge.as_str()), "{what}");
}

#[test]
fn only_bound_callers_pass() {
    let (one, two) = (Bound::new("b-one"), Bound::new("b-two"));
    let live = start(&[&one, &two]);
    bound_callers_pass_and_are_named(&live, &one, &two);
    other_tokens_do_not(&live, &one, &two);
    clocks_may_differ_a_little(&live, &one);
    no_token_no_answer(&live, &one);
    what_is_open_is_open(&live, &one);
    every_kind_of_route_is_guarded(&live, &one);
    paths_and_hosts_in_every_spelling(&live);
    an_instance_without_callers_refuses_everybody(&live, &one);
}

fn bound_callers_pass_and_are_named(live: &Live, one: &Bound, two: &Bound) {
    for caller in [one, two] {
        let token = format!("Bearer {}", caller.token(LEDGER));
        let lies = [("authorization", token.as_str()), ("x-margrave-caller", "b-forged")];
        let answer = live.get("ledger.localhost", "/", &lies);
        assert_eq!(answer.status, 200, "{answer:?}");
        let sent = answer.json()["headers"].clone();
        assert_eq!(sent["x-margrave-caller"], caller.id);
        assert_eq!(sent["authorization"], Value::Null, "the token goes no further");
    }
    let several = one.claims(LEDGER).claim("aud", json!([OTHER, LEDGER]));
    assert_eq!(ask(live, "/", &one.sign(&several)).status, 200);
}

fn other_tokens_do_not(live: &Live, one: &Bound, two: &Bound) {
    let stranger = Bound::new("b-stranger");
    let good = || one.claims(LEDGER);
    let damaged = |token: String| format!("{}AAAA", &token[..token.len() - 4]);
    let as_one = |claims: Claims| claims.claim("iss", json!(one.id)).claim("sub", json!(one.id));
    let none = good().head("alg", json!("none"));
    let long = now() + 3600;
    let cases: Vec<(&str, String)> = vec![
        ("a stranger", stranger.token(LEDGER)),
        ("a stranger in another's name", stranger.sign(&good())),
        ("a stranger with another's claims", stranger.sign(&as_one(stranger.claims(LEDGER)))),
        ("bound, as another", two.sign(&as_one(two.claims(LEDGER)))),
        ("bound, about another", two.sign(&two.claims(LEDGER).claim("sub", json!(one.id)))),
        ("bound, about nobody", two.sign(&two.claims(LEDGER).claim("sub", Value::Null))),
        ("from nobody", one.sign(&good().claim("iss", Value::Null))),
        ("bound elsewhere", Bound::new("b-other").token(LEDGER)),
        ("whose key is none", Bound::new("b-bad").token(LEDGER)),
        ("for another service", one.token(OTHER)),
        ("for nobody", one.sign(&good().claim("aud", Value::Null))),
        ("expired", one.sign(&good().claim("exp", json!(now() - 60)))),
        ("without end", one.sign(&good().claim("exp", Value::Null))),
        ("good for too long", one.sign(&good().claim("exp", json!(long)))),
        ("good for too long, made long ago", {
            one.sign(&good().claim("iat", json!(now() - 9_999)).claim("exp", json!(long)))
        }),
        ("not yet good", one.sign(&good().claim("nbf", json!(now() + 200)))),
        ("unsigned", format!("{}.", signing_input(&none))),
        ("unsigned, with a signature", one.sign(&none)),
        (
            "signed with the public key",
            one.sign_with_public_key(&good().head("alg", json!("HS256"))),
        ),
        ("with a damaged signature", damaged(one.token(LEDGER))),
        ("with claims of another token", {
            let (head, tail) = (one.token(LEDGER), one.sign(&good().claim("x", json!(1))));
            let parts: Vec<&str> = head
                .split('.')
                .zip(tail.split('.'))
                .enumerate()
                .map(|(n, (a, b))| if n == 1 { b } else { a })
                .collect();
            parts.join(".")
        }),
        ("with a key of its own", {
            let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": stranger.caller().public_key});
            stranger.sign(&good().head("jwk", jwk))
        }),
        ("no token at all", "x.y.z".into()),
    ];
    for (what, token) in cases {
        is_refused(what, &ask(live, "/", &token), true);
    }
    // Where Envoy's own arithmetic ends.
    for end in [json!(i64::MAX - 1), json!(i64::MAX), json!(1_u64 << 63), json!(1e19)] {
        let token = one.sign(&good().claim("exp", end.clone()));
        is_refused(&format!("good until {end}"), &ask(live, "/", &token), false);
    }
}

fn clocks_may_differ_a_little(live: &Live, one: &Bound) {
    let made = |ahead: i64| {
        let claims = one.claims(LEDGER).claim("iat", json!(now() + ahead));
        one.sign(&claims.claim("exp", json!(now() + ahead + 300)))
    };
    assert_eq!(ask(live, "/", &made(20)).status, 200, "a clock that is fast");
    assert_eq!(ask(live, "/", &made(-310)).status, 200, "a clock that is slow");
    is_refused("a clock that is wrong", &ask(live, "/", &made(60)), true);
    is_refused("too late", &ask(live, "/", &made(-360)), true);
}

fn no_token_no_answer(live: &Live, one: &Bound) {
    let get = |headers: &[(&str, &str)]| live.get("ledger.localhost", "/", headers);
    is_refused("nothing", &get(&[]), false);
    is_refused("a forged caller", &get(&[("x-margrave-caller", one.id)]), false);
    is_refused("another scheme", &get(&[("authorization", "Basic YTpi")]), false);
    is_refused("an empty token", &get(&[("authorization", "Bearer ")]), false);
    let token = one.token(LEDGER);
    is_refused(
        "in the query",
        &live.get("ledger.localhost", &format!("/?access_token={token}"), &[]),
        false,
    );
    is_refused("in a cookie", &get(&[("cookie", &format!("authorization={token}"))]), false);
    is_refused(
        "in another header",
        &get(&[("x-authorization", &format!("Bearer {token}"))]),
        false,
    );
    let (good, bad) =
        (format!("Bearer {token}"), format!("Bearer {}", Bound::new("b-no").token(LEDGER)));
    is_refused("two tokens", &get(&[("authorization", &good), ("authorization", &bad)]), true);
    is_refused("two tokens", &get(&[("authorization", &bad), ("authorization", &good)]), true);
    let options = "OPTIONS / HTTP/1.1\r\nhost: ledger.localhost\r\norigin: http://a\r\naccess-control-request-method: GET\r\n\r\n";
    is_refused("a preflight", &live.raw(options), false);
}

fn what_is_open_is_open(live: &Live, one: &Bound) {
    let answer = live.get("ledger.localhost", "/healthz", &[("x-margrave-caller", one.id)]);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["headers"]["x-margrave-caller"], Value::Null, "nobody was asked");
    let own = live.get("ledger.localhost", "/open/x", &[("authorization", "Bearer mine")]);
    assert_eq!(own.json()["headers"]["authorization"], "Bearer mine", "the service's own business");
    assert_eq!(live.get("partly.localhost", "/all", &[]).status, 200);
    assert_eq!(live.get("partly.localhost", "/nowhere", &[]).status, 404);
    let token = format!("Bearer {}", Bound::new("b-other").token(OTHER));
    let private =
        |headers: &[(&str, &str)]| live.get("partly.localhost", "/private", headers).status;
    assert_eq!(private(&[]), 401);
    assert_eq!(private(&[("authorization", &token)]), 200);
}

fn every_kind_of_route_is_guarded(live: &Live, one: &Bound) {
    for (path, status) in [("/moved", 302), ("/ping", 200), ("/nowhere", 200)] {
        is_refused(path, &live.get("ledger.localhost", path, &[]), false);
        assert_eq!(ask(live, path, &one.token(LEDGER)).status, status, "{path}");
    }
    // Nobody's body is waited for who may not call.
    let post = "POST /small HTTP/1.1\r\nhost: ledger.localhost\r\ncontent-length: 999\r\n\r\n";
    is_refused("a body", &live.raw(post), false);
}

fn paths_and_hosts_in_every_spelling(live: &Live) {
    let paths = ["//", "/./x", "/open/../x", "/healthz/", "/healthz/x", "/openx", "/open%2f..%2fx"];
    for path in paths {
        let status = live.get("ledger.localhost", path, &[]).status;
        assert!(matches!(status, 401 | 307), "{path}: {status}");
    }
    for host in ["LEDGER.localhost", "ledger.localhost:80", "ledger.localhost.", "X.w.localhost"] {
        assert_eq!(live.get(host, "/", &[]).status, 401, "{host}");
    }
    for path in [
        "//private",
        "/./private",
        "/all/../private",
        "/%70rivate",
        "/x\\..\\private",
        "/private/",
        "/private/x",
    ] {
        assert_eq!(live.get("partly.localhost", path, &[]).status, 401, "{path}");
    }
    let absolute = "GET http://ledger.localhost/ HTTP/1.1\r\nhost: partly.localhost\r\n\r\n";
    assert_eq!(live.raw(absolute).status, 401);
}

fn an_instance_without_callers_refuses_everybody(live: &Live, one: &Bound) {
    for token in [one.token("i-empty"), one.token(LEDGER)] {
        let answer =
            live.get("empty.localhost", "/", &[("authorization", &format!("Bearer {token}"))]);
        assert_eq!(answer.status, 401, "{answer:?}");
    }
}

/// Default templates with something changed.
fn changed(file: &str, edits: &[[&str; 2]]) -> Templates {
    let files = Templates::builtin_files().iter().map(|&(name, text)| {
        let mut text = text.to_owned();
        for [from, to] in edits.iter().filter(|_| name == file) {
            assert!(text.contains(from), "{file} does not contain {from}");
            text = text.replace(from, to);
        }
        (name.to_owned(), text)
    });
    Templates::compile(&files.collect::<Vec<_>>()).expect("it compiles")
}

fn complains(what: &str, complaints: &[Complaint], field: &str) {
    let found = complaints.iter().any(|told| told.field.as_deref() == Some(field));
    assert!(found, "{what}: {complaints:#?}");
}

const OPEN: &str = "{\"margrave.callers\": {\"@type\": \"type.googleapis.com/envoy.extensions.common.matching.v3.ExtensionWithMatcherPerRoute\", \"xds_matcher\": {}}}";
const DISABLED: &str = "{\"margrave.callers\": {\"@type\": \"type.googleapis.com/envoy.config.route.v3.FilterConfig\", \"disabled\": true}}";
const HOST: &str = "\"typed_per_filter_config\": { {{ callers(instance.caller_filter) }} },";
const ROUTE: &str = "{{ callers(route.caller_filter) }}";
const CLUSTER: &str = "\"cluster\": {{ forward.clusters[0].name }},";
const HOSTS: &str = "\"virtual_hosts\": [{";

#[test]
fn a_template_cannot_leave_a_door_open() {
    let said = |config: &str| format!("\"typed_per_filter_config\": {config},");
    let weighted = format!(
        "\"weighted_clusters\": {{\"clusters\": [{{\"name\": {{{{ forward.clusters[0].name }}}}, \"weight\": 1, {}}}]}},",
        said(OPEN)
    );
    let everywhere = [
        ["{%- if route.max_body_bytes or route.caller_filter %}", "{%- if true %}"],
        [ROUTE, "{{ callers(instance.default_caller_filter) }}"],
    ];
    let host = "virtual_hosts[0].typed_per_filter_config";
    let route = "virtual_hosts[0].routes[0].typed_per_filter_config";
    let cases: &[(&str, &[[&str; 2]], &str)] = &[
        ("forgotten", &[[HOST, ""]], host),
        ("opened", &[[HOST, &said(OPEN)]], host),
        ("disabled", &[[HOST, &said(DISABLED)]], host),
        ("opened in each route", &everywhere, route),
        (
            "opened by a cluster",
            &[[CLUSTER, &weighted]],
            "virtual_hosts[0].routes[0].route.weighted_clusters",
        ),
        (
            "closed where it is open",
            &[[ROUTE, ""]],
            "virtual_hosts[0].routes[1].typed_per_filter_config",
        ),
        (
            "above the hosts",
            &[[HOSTS, &format!("{} {HOSTS}", said(OPEN))]],
            "typed_per_filter_config",
        ),
        (
            "around the routes",
            &[[HOSTS, &format!("{HOSTS} \"matcher\": {{}},")]],
            "virtual_hosts[0].matcher",
        ),
    ];
    // A platform that shares the extensions opens no door by that.
    let extension = |name: &str| format!("envoy.{name}");
    let shared_extensions = [
        "config.route.v3.FilterConfig",
        "extensions.common.matching.v3.ExtensionWithMatcherPerRoute",
    ]
    .map(extension)
    .into();
    let platform = render::Platform { shared_extensions, ..common::platform() };
    let spec = common::spec(PARTLY);
    for (what, edits, field) in cases {
        let templates = changed("routes.json.j2", edits);
        let told =
            common::render(&templates, &platform, OTHER, &spec, &endpoints()).expect_err(what);
        complains(what, &told, field);
        let open = common::spec("{service: open, upstream: http://a.b}");
        if *what == "forgotten" {
            common::render(&templates, &platform, OTHER, &open, &endpoints())
                .expect("nothing to guard");
        }
    }
}

#[test]
fn a_listener_cannot_go_without_the_filter() {
    let filter = "{{ platform.caller_filter }},";
    let filters = "\"http_filters\": [";
    let cases: &[(&str, &[[&str; 2]])] = &[
        ("forgotten", &[[filter, ""]]),
        ("twice", &[[filter, "{{ platform.caller_filter }}, {{ platform.caller_filter }},"]]),
        ("before the route is chosen", &[[filter, ""], [filters, &format!("{filters} {filter}")]]),
        (
            "chosen after it, by what is discovered",
            &[[
                filter,
                "{{ platform.caller_filter }}, {\"name\": \"late\", \"config_discovery\": {\"config_source\": {\"ads\": {}}, \"type_urls\": [\"type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua\"]}},",
            ]],
        ),
        (
            "another of its name",
            &[[
                filter,
                "{\"name\": \"margrave.callers\", \"typed_config\": {\"@type\": \"type.googleapis.com/envoy.extensions.filters.http.router.v3.Router\"}},",
            ]],
        ),
    ];
    for (what, edits) in cases {
        let told = changed("listeners.json.j2", edits).group(&common::platform(), &Node::default());
        complains(
            what,
            &told.expect_err(what),
            "filter_chains[0].filters[0].typed_config.http_filters",
        );
    }
}

/// Nobody's resources name anybody else's callers, and none holds a private key.
#[test]
fn an_instance_knows_its_own_callers_only() {
    let (one, two) = (Bound::new("b-one"), Bound::new("b-two"));
    let spec = common::spec(BOUND);
    let endpoints = endpoints();
    let render = |callers: &[Caller]| {
        let templates = Templates::builtin();
        let drafts =
            common::render_for(&templates, &common::platform(), LEDGER, &spec, &endpoints, callers);
        drafts.expect("it renders")
    };
    let holds = |drafts: &[Draft], text: &str| {
        drafts.iter().any(|draft| draft.json.to_string().contains(text))
    };
    let drafts = render(&[one.caller()]);
    for own in [one.id, &one.caller().public_key] {
        assert!(holds(&drafts, own), "{own}");
    }
    for other in [two.id, &two.caller().public_key, "\\\"d\\\""] {
        assert!(!holds(&drafts, other), "{other}");
    }
    // A caller more is a change of route configurations, and of nothing else.
    let both = render(&[one.caller(), two.caller()]);
    let changed = drafts.iter().zip(&both).filter(|(before, after)| before.hash != after.hash);
    let changed: Vec<&str> = changed.map(|(before, _)| before.type_url.message()).collect();
    assert_eq!(changed.len(), 2, "{changed:?}");
    assert!(changed.iter().all(|kind| kind.ends_with("RouteConfiguration")), "{changed:?}");
    // Their order does not matter.
    let hashes =
        |drafts: Vec<Draft>| drafts.into_iter().map(|draft| draft.hash).collect::<Vec<_>>();
    assert_eq!(hashes(render(&[two.caller(), one.caller()])), hashes(both));
}
