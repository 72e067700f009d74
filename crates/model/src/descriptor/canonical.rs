//! The canonical JSON of a descriptor: what a user would have written, with nothing said twice.
//!
//! Rows of the store are in this form. Whoever narrows the form of a value (not a rule between
//! values, which rows are not judged by) keeps the rows readable that earlier releases have written.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::values::{show_duration, show_size, url};
use super::{
    Action, Auth, DEFAULT_UPSTREAM, Descriptor, Forward, HeaderRules, HealthCheck, Parameters,
    PathMatch, Redirect, Respond, Retry, Route, RouteMatch, Upstream, Weighted,
};
use crate::Plan;

/// A JSON object that leaves out what there is nothing to say about.
#[derive(Default)]
struct Object(Map<String, Value>);

impl Object {
    fn put(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.insert(key.to_owned(), value.into());
        self
    }

    fn maybe(self, key: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.put(key, value),
            None => self,
        }
    }

    /// Puts a list, a map or a record that is not empty.
    fn some(self, key: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        let empty = value.as_array().is_some_and(Vec::is_empty)
            || value.as_object().is_some_and(Map::is_empty);
        if empty { self } else { self.put(key, value) }
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Self::Object(object.0)
    }
}

/// The descriptor: its parameters, and its visibility unless that is `internal`.
pub(super) fn descriptor(descriptor: &Descriptor) -> Value {
    let public = (descriptor.visibility != Plan::default()).then(|| descriptor.visibility.as_str());
    top(&descriptor.parameters).maybe("visibility", public).into()
}

/// The parameters.
pub(super) fn parameters(parameters: &Parameters) -> Value {
    top(parameters).into()
}

fn top(parameters: &Parameters) -> Object {
    let default = parameters.upstream.as_ref();
    let upstreams: Map<String, Value> =
        parameters.upstreams.iter().map(|(name, one)| (name.clone(), upstream(one))).collect();
    let hostnames: Vec<&str> = parameters.hostnames.iter().map(|name| name.as_str()).collect();
    let routes = |one: &Route| route(one, parameters.auth);
    Object::default()
        .put("service", parameters.service.as_str())
        .maybe("upstream", default.and_then(single))
        .some("hostnames", hostnames)
        .some("routes", parameters.routes.iter().map(routes).collect::<Vec<_>>())
        .some("upstreams", upstreams)
        .some("requestHeaders", headers(&parameters.request_headers))
        .some("responseHeaders", headers(&parameters.response_headers))
        .maybe("auth", auth(parameters.auth, Auth::default()))
}

/// Who may call, where it is not what it would be anyway.
fn auth(auth: Auth, default: Auth) -> Option<Object> {
    (auth != default).then(|| Object::default().put("require", auth.as_str()))
}

/// The URL of an upstream with one address.
fn single(upstream: &Upstream) -> Option<String> {
    match upstream.addresses.as_slice() {
        [address] => Some(url(upstream.tls, address)),
        _ => None,
    }
}

fn upstream(upstream: &Upstream) -> Value {
    let several = single(upstream).is_none();
    let addresses: Vec<String> = upstream.addresses.iter().map(ToString::to_string).collect();
    Object::default()
        .maybe("url", single(upstream))
        .maybe("addresses", several.then_some(addresses))
        .maybe("tls", (several && upstream.tls).then_some(true))
        .maybe("healthCheck", upstream.health_check.as_ref().map(health_check))
        .into()
}

fn health_check(check: &HealthCheck) -> Value {
    json!({
        "path": check.path,
        "interval": show_duration(check.interval),
        "timeout": show_duration(check.timeout),
    })
}

fn route(route: &Route, default: Auth) -> Value {
    let limits = Object::default().maybe("maxBodySize", route.max_body_bytes.map(show_size));
    let object =
        Object::default().put("name", route.name.as_str()).put("match", matches(&route.matches));
    let object = match &route.action {
        Action::Forward(action) => forward(object, action, &route.matches.path),
        Action::Redirect(action) => object.put("redirect", redirect(action)),
        Action::Respond(action) => object.put("respond", respond(action)),
    };
    object
        .some("requestHeaders", headers(&route.request_headers))
        .some("responseHeaders", headers(&route.response_headers))
        .some("limits", limits)
        .maybe("auth", auth(route.auth, default))
        .into()
}

fn matches(matches: &RouteMatch) -> Value {
    let object = match &matches.path {
        PathMatch::Exact(path) => Object::default().put("path", path.as_str()),
        PathMatch::Prefix(path) => Object::default().put("prefix", path.as_str()),
    };
    object
        .some("methods", matches.methods.clone())
        .some("headers", texts(&matches.headers))
        .some("query", texts(&matches.query))
        .into()
}

fn forward(object: Object, forward: &Forward, path: &PathMatch) -> Object {
    let replaced = match path {
        PathMatch::Exact(_) => "path",
        PathMatch::Prefix(_) => "prefix",
    };
    let rewrite = Object::default().maybe(replaced, forward.rewrite_path.as_deref());
    let timeout = Object::default()
        .maybe("request", forward.request_timeout.map(show_duration))
        .maybe("idle", forward.idle_timeout.map(show_duration));
    object
        .maybe("to", targets(&forward.to))
        .some("rewrite", rewrite)
        .some("timeout", timeout)
        .maybe("retry", forward.retry.as_ref().map(retry))
}

/// Nothing for the default upstream, a name for another one, a list for several.
fn targets(to: &[Weighted]) -> Option<Value> {
    match to {
        [Weighted { upstream, weight: 1 }] if upstream == DEFAULT_UPSTREAM => None,
        [Weighted { upstream, weight: 1 }] => Some(json!(upstream)),
        several => Some(several.iter().map(target).collect()),
    }
}

fn target(target: &Weighted) -> Value {
    let weight = (target.weight != 1).then_some(target.weight);
    Object::default().put("upstream", target.upstream.as_str()).maybe("weight", weight).into()
}

fn retry(retry: &Retry) -> Value {
    Object::default()
        .put("attempts", retry.attempts)
        .put("on", retry.on.clone())
        .maybe("perTryTimeout", retry.per_try_timeout.map(show_duration))
        .into()
}

fn redirect(redirect: &Redirect) -> Value {
    json!({"to": redirect.to, "status": redirect.status})
}

fn respond(respond: &Respond) -> Value {
    Object::default()
        .put("status", respond.status)
        .maybe("body", respond.body.as_deref())
        .maybe("contentType", respond.content_type.as_deref())
        .into()
}

fn headers(rules: &HeaderRules) -> Object {
    Object::default()
        .some("set", texts(&rules.set))
        .some("add", texts(&rules.add))
        .some("remove", rules.remove.clone())
}

fn texts(map: &BTreeMap<String, String>) -> Map<String, Value> {
    map.iter().map(|(name, value)| (name.clone(), json!(value))).collect()
}
