//! What a descriptor has of all that descriptors can have.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::Plan;
use crate::descriptor::{
    Action, DEFAULT_UPSTREAM, Descriptor, Forward, HeaderRules, PathMatch, Redirect, Respond,
    Retry, Route, RouteMatch, Upstream,
};

/// Everything that [`features`] can tell.
pub const ALL: &[&str] = &[
    "visibility internal",
    "visibility public",
    "hostnames none",
    "hostnames",
    "hostnames many",
    "routes none",
    "routes",
    "routes many",
    "upstream",
    "upstream none",
    "upstreams",
    "upstream tls",
    "upstream several",
    "upstream name",
    "upstream ipv4",
    "upstream ipv6",
    "healthCheck",
    "match path",
    "match path slash",
    "match prefix",
    "match all",
    "match methods",
    "match headers",
    "match query",
    "match query empty",
    "match long",
    "match encoded",
    "method GET",
    "method HEAD",
    "method POST",
    "method PUT",
    "method PATCH",
    "method DELETE",
    "method OPTIONS",
    "method TRACE",
    "to default",
    "to one",
    "to several",
    "weight zero",
    "rewrite path",
    "rewrite prefix",
    "rewrite root",
    "timeout request",
    "timeout idle",
    "retry",
    "retry perTryTimeout",
    "retry on status",
    "retry on 5xx",
    "retry on gateway-error",
    "retry on reset",
    "retry on reset-before-request",
    "retry on connect-failure",
    "retry on refused-stream",
    "retry on retriable-4xx",
    "redirect path",
    "redirect url",
    "redirect keeps path",
    "redirect port",
    "redirect 301",
    "redirect 302",
    "redirect 303",
    "redirect 307",
    "redirect 308",
    "respond",
    "respond body",
    "respond empty",
    "respond bodiless",
    "respond contentType",
    "respond long",
    "respond unicode",
    "respond lines",
    "limits",
    "auth none",
    "auth binding",
    "route auth none",
    "route auth binding",
    "headers set",
    "headers add",
    "headers remove",
    "route headers set",
    "route headers add",
    "route headers remove",
    "response headers set",
    "response headers add",
    "response headers remove",
    "route response headers set",
    "route response headers add",
    "route response headers remove",
    "text percent",
    "text backslash",
    "text quotes",
    "text braces",
    "text long",
    "text tab",
];

/// What a descriptor has: some of [`ALL`].
pub fn features(descriptor: &Descriptor) -> BTreeSet<&'static str> {
    let mut found = Found::default();
    let parameters = &descriptor.parameters;
    let public = descriptor.visibility == Plan::Public;
    found.one(if public { "visibility public" } else { "visibility internal" });
    found.amount(parameters.hostnames.len(), 20, ["hostnames none", "hostnames", "hostnames many"]);
    found.amount(parameters.routes.len(), 64, ["routes none", "routes", "routes many"]);
    found.one(if parameters.upstream.is_some() { "upstream" } else { "upstream none" });
    found.when(!parameters.upstreams.is_empty(), "upstreams");
    parameters.upstream.iter().chain(parameters.upstreams.values()).for_each(|u| found.upstream(u));
    found.rules(&parameters.request_headers, ["headers set", "headers add", "headers remove"]);
    found.rules(
        &parameters.response_headers,
        ["response headers set", "response headers add", "response headers remove"],
    );
    found.word("auth", parameters.auth.as_str());
    parameters.routes.iter().for_each(|route| found.route(route));
    found.0
}

#[derive(Default)]
struct Found(BTreeSet<&'static str>);

impl Found {
    fn one(&mut self, feature: &'static str) {
        self.0.insert(feature);
    }

    fn when(&mut self, holds: bool, feature: &'static str) {
        if holds {
            self.one(feature);
        }
    }

    /// A feature of the list whose name is `kind` and `word`.
    fn word(&mut self, kind: &str, word: &str) {
        let name = format!("{kind} {word}");
        self.0.extend(ALL.iter().find(|known| **known == name));
    }

    fn amount(&mut self, count: usize, most: usize, [none, some, many]: [&'static str; 3]) {
        self.one(if count == 0 { none } else { some });
        self.when(count == most, many);
    }

    fn upstream(&mut self, upstream: &Upstream) {
        self.when(upstream.tls, "upstream tls");
        self.when(upstream.addresses.len() > 1, "upstream several");
        self.when(upstream.health_check.is_some(), "healthCheck");
        for address in &upstream.addresses {
            self.one(match address.host.parse() {
                Ok(IpAddr::V4(_)) => "upstream ipv4",
                Ok(IpAddr::V6(_)) => "upstream ipv6",
                Err(_) => "upstream name",
            });
        }
    }

    fn route(&mut self, route: &Route) {
        self.matches(&route.matches);
        match &route.action {
            Action::Forward(forward) => self.forward(forward, &route.matches.path),
            Action::Redirect(redirect) => self.redirect(redirect),
            Action::Respond(respond) => self.respond(respond),
        }
        self.when(route.max_body_bytes.is_some(), "limits");
        self.word("route auth", route.auth.as_str());
        self.rules(
            &route.request_headers,
            ["route headers set", "route headers add", "route headers remove"],
        );
        self.rules(
            &route.response_headers,
            [
                "route response headers set",
                "route response headers add",
                "route response headers remove",
            ],
        );
    }

    fn matches(&mut self, matches: &RouteMatch) {
        let (PathMatch::Exact(path) | PathMatch::Prefix(path)) = &matches.path;
        match &matches.path {
            PathMatch::Prefix(root) if root == "/" => self.one("match all"),
            PathMatch::Prefix(_) => self.one("match prefix"),
            PathMatch::Exact(_) => self.one("match path"),
        }
        self.when(path.len() > 1 && path.ends_with('/'), "match path slash");
        self.when(path.len() > 400, "match long");
        self.when(path.contains('%'), "match encoded");
        self.when(!matches.methods.is_empty(), "match methods");
        self.when(!matches.headers.is_empty(), "match headers");
        self.when(!matches.query.is_empty(), "match query");
        self.when(matches.query.values().any(String::is_empty), "match query empty");
        matches.methods.iter().for_each(|method| self.word("method", method));
        matches.headers.values().chain(matches.query.values()).for_each(|text| self.text(text));
    }

    fn forward(&mut self, forward: &Forward, path: &PathMatch) {
        match forward.to.as_slice() {
            [one] if one.upstream == DEFAULT_UPSTREAM => self.one("to default"),
            [_] => self.one("to one"),
            _ => self.one("to several"),
        }
        self.when(forward.to.iter().any(|target| target.weight == 0), "weight zero");
        if let Some(to) = &forward.rewrite_path {
            let exact = matches!(path, PathMatch::Exact(_));
            self.one(if exact { "rewrite path" } else { "rewrite prefix" });
            self.when(to == "/", "rewrite root");
        }
        self.when(forward.request_timeout.is_some(), "timeout request");
        self.when(forward.idle_timeout.is_some(), "timeout idle");
        forward.retry.iter().for_each(|retry| self.retry(retry));
    }

    fn retry(&mut self, retry: &Retry) {
        self.one("retry");
        self.when(retry.per_try_timeout.is_some(), "retry perTryTimeout");
        for on in &retry.on {
            self.when(on.parse::<u16>().is_ok(), "retry on status");
            self.word("retry on", on);
        }
    }

    fn redirect(&mut self, redirect: &Redirect) {
        self.word("redirect", &redirect.status.to_string());
        let Some((_, rest)) = redirect.to.split_once("://") else {
            return self.one("redirect path");
        };
        self.one("redirect url");
        self.when(!rest.contains('/'), "redirect keeps path");
        self.when(rest.contains(":444") || rest.contains(":8443"), "redirect port");
    }

    fn respond(&mut self, respond: &Respond) {
        self.one("respond");
        self.when(matches!(respond.status, 204 | 205 | 304), "respond bodiless");
        self.when(respond.content_type.is_some(), "respond contentType");
        let Some(body) = &respond.body else { return };
        self.one("respond body");
        self.when(body.is_empty(), "respond empty");
        self.when(body.len() == 4096, "respond long");
        self.when(!body.is_ascii(), "respond unicode");
        self.when(body.contains('\n'), "respond lines");
        self.text(body);
    }

    fn rules(&mut self, rules: &HeaderRules, [set, add, remove]: [&'static str; 3]) {
        self.when(!rules.set.is_empty(), set);
        self.when(!rules.add.is_empty(), add);
        self.when(!rules.remove.is_empty(), remove);
        rules.set.values().chain(rules.add.values()).for_each(|text| self.text(text));
    }

    fn text(&mut self, text: &str) {
        self.when(text.contains('%'), "text percent");
        self.when(text.contains('\\'), "text backslash");
        self.when(text.contains(['"', '\'']), "text quotes");
        self.when(text.contains(['{', '}']), "text braces");
        self.when(text.len() >= 4096, "text long");
        self.when(text.contains('\t'), "text tab");
    }
}
