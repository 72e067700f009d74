//! Every limit: what reaches it is accepted, what goes one beyond is refused, and says so.

use model::Descriptor;
use model::descriptor::{Code, show};

/// A descriptor with something of a size, the greatest size, and where the refusal is.
type Limit = (fn(usize) -> String, usize, &'static str);

fn many(count: usize, item: impl Fn(usize) -> String) -> String {
    (0..count).map(item).collect::<Vec<_>>().join(", ")
}

fn with(rest: &str) -> String {
    format!("service: shop\nupstream: http://web\n{rest}\n")
}

fn route(rest: &str) -> String {
    with(&format!("routes: [{{name: a, match: {{path: /a}}, {rest}}}]"))
}

fn matching(rest: &str) -> String {
    with(&format!("routes: [{{name: a, match: {{{rest}}}}}]"))
}

fn upstream(rest: &str) -> String {
    format!(
        "service: shop\nroutes: [{{name: a, match: {{path: /a}}, to: a}}]\nupstreams: {{a: {{{rest}}}}}\n"
    )
}

#[rustfmt::skip]
const LIMITS: &[Limit] = &[
    (|n| format!("service: {}\nupstream: http://web", "s".repeat(n)), 40, "service"),
    (|n| with(&format!("hostnames: [{}]", many(n, |i| format!("h{i}.localhost")))), 20, "hostnames"),
    (|n| with(&format!("routes: [{}]", many(n, |i| format!("{{name: r{i}, match: {{path: /r{i}}}}}")))), 64, "routes"),
    (|n| format!(
        "service: shop\nroutes: [{}]\nupstreams: {{{}}}",
        many(n, |i| format!("{{name: r{i}, match: {{path: /r{i}}}, to: u{i}}}")),
        many(n, |i| format!("u{i}: {{url: http://u{i}}}"))), 32, "upstreams"),
    (|n| upstream(&format!("addresses: [{}]", many(n, |i| format!("a{i}:80")))), 16, "upstreams.a.addresses"),
    (|n| upstream(&format!("addresses: [\"a:{n}\"]")), 65_535, "upstreams.a.addresses[0]"),
    (|n| upstream(&format!("url: http://a, healthCheck: {{path: /, interval: {n}s}}")), 600, "upstreams.a.healthCheck.interval"),
    (|n| upstream(&format!("url: http://a, healthCheck: {{path: /, timeout: {n}s}}")), 60, "upstreams.a.healthCheck.timeout"),
    (|n| with(&format!("requestHeaders: {{set: {{{}}}}}", many(n, |i| format!("x-{i}: a")))), 64, "requestHeaders.set"),
    (|n| with(&format!("requestHeaders: {{set: {{{}}}, remove: [y]}}", many(n, |i| format!("x-{i}: a")))), 63, "requestHeaders"),
    (|n| with(&format!("responseHeaders: {{add: {{x: {}}}}}", "v".repeat(n))), 4096, "responseHeaders.add.x"),
    (|n| with(&format!("responseHeaders: {{remove: [{}]}}", "x".repeat(n))), 64, "responseHeaders.remove[0]"),
    (|n| with(&format!("routes: [{{name: {}, match: {{path: /a}}}}]", "r".repeat(n))), 40, "routes[0].name"),
    (|n| matching(&format!("path: /{}", "p".repeat(n))), 511, "routes[0].match.path"),
    (|n| matching(&format!("headers: {{{}}}", many(n, |i| format!("x-{i}: a")))), 16, "routes[0].match.headers"),
    (|n| matching(&format!("query: {{{}}}", many(n, |i| format!("q{i}: a")))), 16, "routes[0].match.query"),
    (|n| matching(&format!("query: {{q: {}}}", "v".repeat(n))), 512, "routes[0].match.query.q"),
    (|n| route(&format!("timeout: {{request: {n}ms}}")), 3_600_000, "routes[0].timeout.request"),
    (|n| route(&format!("timeout: {{idle: {n}s}}")), 86_400, "routes[0].timeout.idle"),
    (|n| route(&format!("retry: {{attempts: {n}}}")), 5, "routes[0].retry.attempts"),
    (|n| route(&format!("retry: {{on: [{}]}}", many(n, |i| format!("\"5{i:02}\"")))), 16, "routes[0].retry.on"),
    (|n| route(&format!("limits: {{maxBodySize: {n}KiB}}")), 64 * 1024, "routes[0].limits.maxBodySize"),
    (|n| route(&format!("respond: {{body: {}}}", "b".repeat(n))), 4096, "routes[0].respond.body"),
    (|n| route(&format!("respond: {{body: {}}}", "é".repeat(n))), 2048, "routes[0].respond.body"),
    (|n| route(&format!("respond: {{status: {n}}}")), 599, "routes[0].respond.status"),
    (|n| route(&format!("to: [{{upstream: default, weight: {n}}}]")), 1_000_000, "routes[0].to[0].weight"),
];

#[test]
fn what_reaches_a_limit_is_accepted_and_what_goes_beyond_is_refused() {
    for (text, most, path) in LIMITS {
        let reaches = text(*most);
        if let Err(refusals) = Descriptor::from_yaml(&reaches) {
            panic!("{path}\n{}", show(&refusals, "at the limit", &reaches));
        }
        let refusals = Descriptor::from_yaml(&text(most + 1)).expect_err(path);
        let found: Vec<_> = refusals.iter().map(|r| (r.code, r.path.as_str())).collect();
        assert_eq!(found, [(Code::BadValue, *path)], "{refusals:?}");
    }
}

#[test]
fn what_is_below_the_least_is_refused() {
    for (text, path) in [
        (route("timeout: {request: 0s}"), "routes[0].timeout.request"),
        (route("timeout: {idle: 999ms}"), "routes[0].timeout.idle"),
        (route("retry: {attempts: 0}"), "routes[0].retry.attempts"),
        (route("retry: {on: []}"), "routes[0].retry.on"),
        (route("limits: {maxBodySize: 0B}"), "routes[0].limits.maxBodySize"),
        (route("respond: {status: 199}"), "routes[0].respond.status"),
        (matching("path: /a, methods: []"), "routes[0].match.methods"),
        (upstream("addresses: []"), "upstreams.a.addresses"),
        (upstream("addresses: [\"a:0\"]"), "upstreams.a.addresses[0]"),
        (with("responseHeaders: {remove: []}"), "responseHeaders.remove"),
    ] {
        let refusals = Descriptor::from_yaml(&text).expect_err(path);
        let found: Vec<_> = refusals.iter().map(|r| (r.code, r.path.as_str())).collect();
        assert_eq!(found, [(Code::BadValue, path)], "{refusals:?}");
    }
}
