//! A tenant's text is text: what Envoy would read as an operator, a group of a match or half of an
//! operator comes back as it was written, wherever it can be seen.

mod common;

use std::collections::BTreeMap;

use common::live::{self, Live};
use model::Spec;
use model::descriptor::{Action, HeaderRules, PathMatch};
use render::{Endpoints, Templates};

/// What Envoy would take for something else. The first answers with a secret of the proxy, the
/// second with the client's credentials; with the third alone Envoy refuses the whole resource.
const HOSTILE: [&str; 9] = [
    "%ENVIRONMENT(MARGRAVE_TEST_SECRET)%",
    "%REQ(authorization)%",
    "100%",
    "%",
    "%%",
    "%%REQ(authorization)%%",
    "\\1",
    "\\\\0",
    "a%\\%b",
];

const SECRET: (&str, &str) = ("authorization", "Bearer s3cr3t");

const SERVICE: &str = "
service: shop
visibility: public
upstream: http://localhost:3000
routes:
  - {name: headers, match: {prefix: /headers}}
  - {name: body, match: {prefix: /body}, respond: {status: 200, body: x, contentType: text/x}}
  - {name: error, match: {prefix: /error}, respond: {status: 503, body: x}}
  - {name: redirect, match: {prefix: /redirect}, redirect: {to: /x}}
  - {name: exact, match: {path: /exact}, rewrite: {path: /x}}
  - {name: prefix, match: {prefix: /prefix}, rewrite: {prefix: /x}}
  - {name: root, match: {prefix: /root}, rewrite: {prefix: /}}
  - {name: matched, match: {prefix: /matched}, respond: {status: 200, body: header}}
  - {name: asked, match: {prefix: /asked}, respond: {status: 200, body: query}}
";

/// The service with a text in every place that takes one, also where the descriptor's own rules
/// would refuse it: this is the last gate.
fn service(hostile: &str) -> Spec {
    let mut spec = common::spec(SERVICE);
    let parameters = &mut spec.parameters;
    parameters.request_headers = rules("x-service", hostile);
    parameters.response_headers = rules("x-service", hostile);
    for route in &mut parameters.routes {
        let path = format!("/to/{hostile}");
        match (&mut route.action, route.name.as_str()) {
            (Action::Respond(respond), "body" | "error") => {
                respond.body = Some(hostile.into());
                respond.content_type = respond.content_type.as_ref().map(|_| hostile.into());
            }
            (Action::Redirect(redirect), _) => redirect.to = path,
            (Action::Forward(forward), "exact" | "prefix") => forward.rewrite_path = Some(path),
            (Action::Forward(_), "root") => {
                route.matches.path = PathMatch::Prefix("/root/a.b+(c)$*".into());
            }
            (_, "matched") => {
                route.matches.headers = BTreeMap::from([("x-is".into(), hostile.into())]);
            }
            (_, "asked") => route.matches.query = BTreeMap::from([("is".into(), hostile.into())]),
            (_, "headers") => {
                route.request_headers = rules("x-route", hostile);
                route.response_headers = rules("x-route", hostile);
            }
            _ => {}
        }
    }
    spec
}

fn rules(prefix: &str, hostile: &str) -> HeaderRules {
    let one = |name: &str| BTreeMap::from([(format!("{prefix}-{name}"), hostile.to_owned())]);
    HeaderRules { set: one("set"), add: one("add"), remove: Vec::new() }
}

#[test]
fn a_tenants_text_comes_back_as_it_was_written() {
    comes_back(&Templates::builtin());
}

/// The same, by fields that Envoy formats or substitutes in, and the default templates do not use.
#[test]
fn so_it_does_through_other_fields() {
    let changes = [
        (
            "\"prefix_rewrite\": {{ forward.rewrite.text }},",
            "\"regex_rewrite\": {\"pattern\": {\"regex\": \"^/(?:exact|(prefix))\"}, \"substitution\": {{ forward.rewrite.text }}},",
        ),
        (
            "\"body\": {\"inline_string\": {{ respond.body }}},",
            "\"body_format\": {\"text_format_source\": {\"inline_string\": {{ respond.body }}}},",
        ),
        ("\"path_redirect\": {{ redirect.path }},", "\"path_rewrite\": {{ redirect.path }},"),
    ];
    let files = Templates::builtin_files().iter().map(|&(name, text)| {
        let mut text = text.to_owned();
        for (from, to) in changes.iter().filter(|_| name == "routes.json.j2") {
            assert!(text.contains(from), "{from}");
            text = text.replace(from, to);
        }
        (name.to_owned(), text)
    });
    comes_back(&Templates::compile(&files.collect::<Vec<_>>()).expect("it compiles"));
}

fn comes_back(templates: &Templates) {
    let platform = live::platform();
    let endpoints = Endpoints::from([("default".into(), vec![live::backend()])]);
    let mut drafts = Vec::new();
    for (n, hostile) in HOSTILE.iter().enumerate() {
        let mut spec = service(hostile);
        spec.hostnames = vec![common::hostname(&format!("h{n}.localhost"))];
        let rendered = common::render(templates, &platform, &format!("i-{n}"), &spec, &endpoints);
        drafts.extend(rendered.expect("it renders"));
    }
    let live = Live::start(templates, platform, &drafts);
    for (n, hostile) in HOSTILE.iter().enumerate() {
        let host = format!("h{n}.localhost");
        headers(&live, &host, hostile);
        answers(&live, &host, hostile);
        paths(&live, &host, hostile);
        matches(&live, &host, hostile);
    }
}

fn headers(live: &Live, host: &str, hostile: &str) {
    let answer = live.get(host, "/headers", &[SECRET]);
    let sent = answer.json();
    for name in ["x-service-set", "x-service-add", "x-route-set", "x-route-add"] {
        assert_eq!(answer.header(name), Some(hostile), "response header {name}");
        assert_eq!(sent["headers"][name], hostile, "request header {name}");
    }
    // What is not the route's own comes with every answer, also one without an upstream.
    let body = live.get(host, "/body", &[SECRET]);
    assert_eq!(body.header("x-service-set"), Some(hostile));
}

fn answers(live: &Live, host: &str, hostile: &str) {
    let answer = live.get(host, "/body", &[SECRET]);
    assert_eq!((answer.status, answer.body.as_str()), (200, hostile));
    assert_eq!(answer.header("content-type"), Some(hostile));
    let answer = live.get(host, "/error", &[SECRET]);
    assert_eq!((answer.status, answer.body.as_str()), (503, hostile));
    let answer = live.get(host, "/redirect", &[SECRET]);
    let port = live.platform.public.port();
    let location = format!("http://{host}:{port}/to/{hostile}");
    assert_eq!((answer.status, answer.header("location")), (302, Some(location.as_str())));
}

fn paths(live: &Live, host: &str, hostile: &str) {
    for (asked, sent) in [
        ("/exact?q=1", format!("/to/{hostile}?q=1")),
        ("/prefix", format!("/to/{hostile}")),
        ("/prefix/x?q=%25", format!("/to/{hostile}/x?q=%25")),
        ("/root/a.b+(c)$*", "/".into()),
        ("/root/a.b+(c)$*/x?q", "/x?q".into()),
        ("/root/aXb+(c)$*/x", "/root/aXb+(c)$*/x".into()),
    ] {
        let answer = live.get(host, asked, &[SECRET]).json();
        assert_eq!(answer["path"], sent, "{asked}");
    }
}

fn matches(live: &Live, host: &str, hostile: &str) {
    let body = |path: &str, header: &str| live.get(host, path, &[SECRET, ("x-is", header)]).body;
    assert_eq!(body("/matched", hostile), "header");
    assert_ne!(body("/matched", SECRET.1), "header");
    assert_eq!(body(&format!("/asked?is={hostile}"), "x"), "query");
    assert_ne!(body("/asked?is=other", "x"), "query");
}
