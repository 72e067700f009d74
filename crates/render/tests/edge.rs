//! The listeners of the default templates, asked by a client that does not play by the rules.

mod common;

use common::live::{self, Answer, Live};
use render::{Draft, Endpoints, Templates};

const LIMIT_BYTES: usize = 1000;

/// A public service at shop.localhost and *.w.localhost, and an internal one at hr.localhost.
fn start() -> Live {
    let platform = live::platform();
    let templates = Templates::builtin();
    let endpoints = Endpoints::from([("default".into(), vec![live::backend()])]);
    let nowhere = Endpoints::from([("default".into(), vec![([127, 0, 0, 1], 1).into()])]);
    let render = |id: &str, yaml: &str, wildcard: Option<&str>, endpoints: &Endpoints| {
        let mut spec = common::spec(yaml);
        spec.hostnames.extend(wildcard.map(common::hostname));
        common::render(&templates, &platform, id, &spec, endpoints).expect("it renders")
    };
    let drafts = [
        render("i-shop", SHOP, Some("*.w.localhost"), &endpoints),
        render("i-hr", "{service: hr, upstream: http://a.b}", None, &endpoints),
        render("i-bare", BARE, None, &nowhere),
        render(
            "i-down",
            "{service: down, upstream: http://a.b, visibility: public}",
            None,
            &nowhere,
        ),
        render(
            "i-empty",
            "{service: empty, upstream: http://a.b, visibility: public}",
            None,
            &Endpoints::new(),
        ),
    ];
    let drafts: Vec<Draft> = drafts.into_iter().flatten().collect();
    Live::start(&templates, platform, &drafts)
}

const SHOP: &str = "
service: shop
visibility: public
upstream: http://a.b
routes:
  - {name: small, match: {prefix: /small}, limits: {maxBodySize: 1000B}}
  - {name: gone, match: {prefix: /gone}, respond: {status: 404, body: mine, contentType: text/x}}
";

const BARE: &str = "
service: bare
visibility: public
hostnames: [x.w.localhost]
routes: [{name: one, match: {path: /one}, respond: {status: 200}}]
";

fn is_problem(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer:?}");
    let body = answer.json();
    assert_eq!(body["code"], format!("MG-E1{status}"));
    assert_eq!(body["status"], status);
}

#[test]
fn a_client_that_does_not_play_by_the_rules() {
    let live = start();
    hosts_in_every_spelling(&live);
    internal_stays_internal(&live);
    wildcards(&live);
    unknown_is_a_problem_with_a_request_id(&live);
    what_a_service_answers_itself_is_its_own(&live);
    troubles_upstream(&live);
    headers_that_only_we_set(&live);
    paths_are_normal_before_they_are_routed(&live);
    bodies_have_limits(&live);
}

fn hosts_in_every_spelling(live: &Live) {
    for host in [
        "shop.localhost",
        "SHOP.LocalHost",
        "shop.localhost:1234",
        "shop.localhost.",
        "Shop.localhost.:80",
    ] {
        assert_eq!(live.get(host, "/", &[]).status, 200, "{host}");
    }
    assert_eq!(
        live.raw("GET http://shop.localhost/zz HTTP/1.1\r\nhost: hr.localhost\r\n\r\n").status,
        200
    );
}

fn internal_stays_internal(live: &Live) {
    let forged = ["internal/hr.localhost", "INTERNAL/hr.localhost"];
    for host in ["hr.localhost", "HR.localhost", "hr.localhost:80", "hr.localhost."] {
        is_problem(&live.get(host, "/", &[]), 404);
        for scope in forged {
            is_problem(&live.get(host, "/", &[("x-margrave-scope", scope)]), 404);
            is_problem(&live.get(host, "/", &[("X-Margrave-Scope", scope)]), 404);
        }
    }
    let request = "GET / HTTP/1.1\r\nhost: hr.localhost\r\n\r\n";
    assert_eq!(live::send(live.platform.internal, request).status, 200);
}

fn wildcards(live: &Live) {
    for host in ["a.w.localhost", "A.W.localhost:8", "b.w.localhost."] {
        assert_eq!(live.get(host, "/", &[]).status, 200, "{host}");
    }
    is_problem(&live.get("b.a.w.localhost", "/", &[]), 404);
    is_problem(&live.get("w.localhost", "/", &[]), 404);
    // A host of its own under a wildcard keeps what it does not route.
    is_problem(&live.get("x.w.localhost", "/", &[]), 404);
}

fn unknown_is_a_problem_with_a_request_id(live: &Live) {
    let path = "/a\"b\\c<script>?q=secret";
    let answer = live.get("nobody.localhost", path, &[("x-request-id", "chosen-by-client")]);
    is_problem(&answer, 404);
    let body = answer.json();
    assert_eq!(body["host"], "nobody.localhost");
    // Normal: encoded, and a slash where a backslash was, as browsers do.
    assert_eq!(body["path"], "/a%22b/c%3Cscript%3E");
    assert_eq!(body["request_id"].as_str(), answer.header("x-request-id"));
    assert_ne!(body["request_id"], "chosen-by-client");
    assert_eq!(body["request_id"].as_str().map(str::len), Some(36));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    is_problem(&live.raw("GET / HTTP/1.1\r\n\r\n"), 400);
    is_problem(&live.raw("NONSENSE\r\n\r\n"), 400);
    is_problem(&live.raw("GET / HTTP/1.1\r\nhost: a\"b.localhost\r\n\r\n"), 400);
}

fn what_a_service_answers_itself_is_its_own(live: &Live) {
    let answer = live.get("shop.localhost", "/gone", &[]);
    assert_eq!((answer.status, answer.body.as_str()), (404, "mine"));
    assert_eq!(answer.header("content-type"), Some("text/x"));
}

fn troubles_upstream(live: &Live) {
    is_problem(&live.get("down.localhost", "/", &[]), 503);
    is_problem(&live.get("empty.localhost", "/", &[]), 503);
}

fn headers_that_only_we_set(live: &Live) {
    let lies = [
        ("x-forwarded-for", "6.6.6.6"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "evil"),
        ("x-forwarded-port", "1"),
        ("forwarded", "for=6.6.6.6"),
        ("x-real-ip", "6.6.6.6"),
        ("x-envoy-upstream-rq-timeout-ms", "1"),
        ("x-envoy-original-path", "/evil"),
        ("x-envoy-retry-on", "5xx"),
        ("x-margrave-user", "root"),
        ("x-margrave-scope", "internal/hr.localhost"),
        ("proxy", "evil"),
    ];
    let sent = live.get("shop.localhost", "/", &lies).json();
    let sent = sent["headers"].as_object().expect("headers").clone();
    let names: Vec<_> = sent.keys().map(String::as_str).collect();
    let ours = ["x-envoy-external-address", "x-forwarded-for", "x-forwarded-proto", "x-request-id"];
    assert_eq!(names, [&["host"], &ours[..]].concat());
    // Of a client on its own machine Envoy tells the machine's address.
    for header in ["x-forwarded-for", "x-envoy-external-address"] {
        let address = sent[header].as_str().and_then(|text| text.parse::<std::net::IpAddr>().ok());
        assert!(address.is_some_and(|address| address.to_string() != "6.6.6.6"), "{sent:?}");
    }
    assert_eq!(sent["x-forwarded-proto"], "http");
    assert_eq!(live.get("shop.localhost", "/", &[("x_margrave", "a")]).status, 400);
}

fn paths_are_normal_before_they_are_routed(live: &Live) {
    for path in
        ["/gone", "//gone", "/./gone", "/a/../gone", "/%67one", "/x\\..\\gone", "/a/%2e%2e/gone"]
    {
        assert_eq!(live.get("shop.localhost", path, &[]).body, "mine", "{path}");
    }
    assert_eq!(live.get("shop.localhost", "/a%2f..%2fgone", &[]).status, 307);
    assert_eq!(live.get("shop.localhost", "/gonexx", &[]).status, 200, "whole segments");
    assert_eq!(live.get("shop.localhost", "/gone/x", &[]).body, "mine");
}

fn bodies_have_limits(live: &Live) {
    let post = |path: &str, bytes: usize| {
        let body = "x".repeat(bytes);
        live.raw(&format!(
            "POST {path} HTTP/1.1\r\nhost: shop.localhost\r\ncontent-length: {bytes}\r\n\r\n{body}"
        ))
    };
    assert_eq!(post("/small", LIMIT_BYTES).status, 200);
    is_problem(&post("/small", LIMIT_BYTES + 1), 413);
    assert_eq!(post("/", LIMIT_BYTES + 1).status, 200);
}
