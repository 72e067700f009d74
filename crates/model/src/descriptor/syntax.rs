//! The keys of a descriptor: what a developer may write, declared once.
//!
//! The comments of the keys are what the JSON Schema and the reference say about them.

use super::Auth as Requirement;
use super::decode::{Decode, Int, List, Map, Reader, Set, Shape, record};
use super::tree::{Node, Value};
use super::values::{
    AddressText, Body, BodySize, ContentType, HeaderName, HeaderValue, MatchHeaderName, Method,
    PathText, PrefixText, QueryName, QueryValue, RedirectStatus, RedirectTarget, RetryOn,
    RouteName, SchemaUrl, Span, UpstreamName, UpstreamUrl,
};
use crate::{Hostname, Plan, ServiceName};

/// Hostnames of a service.
pub(crate) const HOSTNAMES_MAX: usize = 20;
/// Routes of a service.
pub(crate) const ROUTES_MAX: usize = 64;
/// Upstreams of a service, beside the top-level one.
pub(crate) const UPSTREAMS_MAX: usize = 32;
/// Addresses of an upstream.
pub(crate) const ADDRESSES_MAX: usize = 16;
/// Header rules in one place: `set`, `add` and `remove` together.
pub(crate) const HEADER_RULES_MAX: usize = 64;
/// Headers, and query parameters, that one match names.
pub(crate) const CONDITIONS_MAX: usize = 16;

/// A timeout of a request or of one try.
pub(crate) type Timeout = Span<1, 3_600_000>;
/// How long nothing may be sent.
pub(crate) type Idle = Span<1_000, 86_400_000>;
/// Between two health checks.
pub(crate) type Interval = Span<1_000, 600_000>;
/// For one health check.
pub(crate) type CheckTimeout = Span<100, 60_000>;

record! {
    /// What a developer writes: one load balancer.
    Descriptor, "a descriptor", at_most_one: [] {
        /// Where editors find the schema of this file; not used otherwise.
        optional _schema: "$schema" => SchemaUrl,
        /// The service's name, which never changes.
        required service: "service" => ServiceName,
        /// Who can reach it: `internal` is the platform's network, `public` everybody. Default: internal.
        optional visibility: "visibility" => Plan,
        /// Where a request goes that no route matches: `http://host[:port]` or `https://host[:port]`. Routes call it `default`. Without it such a request is answered with 404.
        optional upstream: "upstream" => UpstreamUrl,
        /// The names that it answers to. Default: `<service>.<platform zone>`.
        optional hostnames: "hostnames" => Set<Hostname, 0, HOSTNAMES_MAX>,
        /// Which request goes where. The most specific match wins, whatever the order here.
        optional routes: "routes" => List<Route, 0, ROUTES_MAX>,
        /// Upstreams that routes name.
        optional upstreams: "upstreams" => Map<UpstreamName, Upstream, UPSTREAMS_MAX>,
        /// Changes to the headers of every request that goes to an upstream.
        optional request_headers: "requestHeaders" => HeaderRules,
        /// Changes to the headers of every response.
        optional response_headers: "responseHeaders" => HeaderRules,
        /// Who may call it, where a route says nothing else. Default: whoever reaches it.
        optional auth: "auth" => Auth,
    }
}

record! {
    /// Who may call.
    Auth, "a rule such as `{require: binding}`", at_most_one: [] {
        /// `binding`: only callers with a binding of this service. `none`: whoever reaches it.
        required require: "require" => Requirement,
    }
}

record! {
    /// A set of addresses that answer alike.
    Upstream, "an upstream", at_most_one: [["url", "addresses"], ["url", "tls"]] {
        /// Its one address: `http://host[:port]` or `https://host[:port]`.
        optional url: "url" => UpstreamUrl,
        /// Its addresses: `host:port`, where the host is a name or an IP address.
        optional addresses: "addresses" => Set<AddressText, 1, ADDRESSES_MAX>,
        /// Whether the addresses speak TLS. Default: false.
        optional tls: "tls" => bool,
        /// Asks every address regularly, and leaves out those that do not answer well.
        optional health_check: "healthCheck" => HealthCheck,
    }
}

record! {
    /// An active HTTP health check.
    HealthCheck, "a health check", at_most_one: [] {
        /// The path asked for; healthy is status 200.
        required path: "path" => PathText,
        /// Between two checks. Default: 10s.
        optional interval: "interval" => Interval,
        /// After which a check has failed. Default: 2s.
        optional timeout: "timeout" => CheckTimeout,
    }
}

record! {
    /// One rule: which requests, and what becomes of them. Without `to`, `redirect` and `respond` they go to the top-level upstream.
    Route, "a route", at_most_one: [["to", "redirect", "respond"]] {
        /// Its name, unique in the service; seen in access logs.
        required name: "name" => RouteName,
        /// Which requests it is for.
        required matches: "match" => Match,
        /// The upstream they go to, or several with their weights.
        optional to: "to" => Targets,
        /// They are sent elsewhere.
        optional redirect: "redirect" => Redirect,
        /// They are answered by the edge itself.
        optional respond: "respond" => Respond,
        /// Changes the path on its way to the upstream.
        optional rewrite: "rewrite" => Rewrite,
        /// How long things may take.
        optional timeout: "timeout" => Timeouts,
        /// Which failures are tried again.
        optional retry: "retry" => Retry,
        /// Changes to the headers of its requests, beside those of the service.
        optional request_headers: "requestHeaders" => HeaderRules,
        /// Changes to the headers of its responses, beside those of the service.
        optional response_headers: "responseHeaders" => HeaderRules,
        /// What is too much.
        optional limits: "limits" => Limits,
        /// Who may call it. Default: as at the top level.
        optional auth: "auth" => Auth,
    }
}

record! {
    /// Which requests a route is for: all that is said must hold. Without `path` and `prefix` any path will do.
    Match, "a match", at_most_one: [["path", "prefix"]] {
        /// The whole path, without query.
        optional path: "path" => PathText,
        /// The path and all below it: `/api` is for `/api` and `/api/x`, not for `/apix`.
        optional prefix: "prefix" => PrefixText,
        /// One of these methods. Default: any.
        optional methods: "methods" => Set<Method, 1, 8>,
        /// Headers with their exact values.
        optional headers: "headers" => Map<MatchHeaderName, HeaderValue, CONDITIONS_MAX>,
        /// Query parameters with their exact values, as they stand in the URL.
        optional query: "query" => Map<QueryName, QueryValue, CONDITIONS_MAX>,
    }
}

record! {
    /// One of several upstreams.
    Target, "an upstream with its weight", at_most_one: [] {
        /// Its name in `upstreams`, or `default`.
        required upstream: "upstream" => UpstreamName,
        /// Its share of the requests, relative to the others. Default: 1.
        optional weight: "weight" => Int<0, 1_000_000>,
    }
}

record! {
    /// Sends the client elsewhere.
    Redirect, "a redirect", at_most_one: [] {
        /// A path, or an absolute URL without query. A URL without a path keeps the request's.
        required to: "to" => RedirectTarget,
        /// 301, 302, 303, 307 or 308. Default: 302.
        optional status: "status" => RedirectStatus,
    }
}

record! {
    /// An answer of the edge itself.
    Respond, "a fixed answer", at_most_one: [] {
        /// 200 to 599. Default: 200.
        optional status: "status" => Int<200, 599>,
        /// The body, at most 4 KiB.
        optional body: "body" => Body,
        /// Its content type. Default: `text/plain; charset=utf-8`.
        optional content_type: "contentType" => ContentType,
    }
}

record! {
    /// Changes the path on its way to the upstream.
    Rewrite, "a rewrite", at_most_one: [["path", "prefix"]] {
        /// Replaces the whole path, where `match.path` is used.
        optional path: "path" => PathText,
        /// Replaces the matched prefix, where `match.prefix` is used.
        optional prefix: "prefix" => PrefixText,
    }
}

record! {
    /// How long things may take.
    Timeouts, "a `timeout`", at_most_one: [] {
        /// For the whole request, retries included. Default: 15s.
        optional request: "request" => Timeout,
        /// Between two bytes. Default: 5m.
        optional idle: "idle" => Idle,
    }
}

record! {
    /// Which failures are tried again.
    Retry, "a `retry`", at_most_one: [] {
        /// How often, beside the first try. Default: 1.
        optional attempts: "attempts" => Int<1, 5>,
        /// On what: Envoy's conditions, and statuses such as `"503"`. Default: connect-failure, refused-stream, reset-before-request.
        optional on: "on" => Set<RetryOn, 1, 16>,
        /// For each try.
        optional per_try_timeout: "perTryTimeout" => Timeout,
    }
}

record! {
    /// What is too much.
    Limits, "`limits`", at_most_one: [] {
        /// The longest request body; more is answered with 413.
        optional max_body_size: "maxBodySize" => BodySize,
    }
}

record! {
    /// Changes to headers.
    HeaderRules, "header rules", at_most_one: [] {
        /// Replaces whatever is there.
        optional set: "set" => Map<HeaderName, HeaderValue, HEADER_RULES_MAX>,
        /// Adds beside whatever is there.
        optional add: "add" => Map<HeaderName, HeaderValue, HEADER_RULES_MAX>,
        /// Takes away.
        optional remove: "remove" => Set<HeaderName, 1, HEADER_RULES_MAX>,
    }
}

/// The value of `to`: a name, or a list of names with weights.
#[derive(Debug, Clone)]
pub(crate) enum Targets {
    One(UpstreamName),
    Several(List<Target, 1, UPSTREAMS_MAX>),
}

impl Decode for Targets {
    fn shape() -> Shape {
        Shape::Either(vec![UpstreamName::shape(), List::<Target, 1, UPSTREAMS_MAX>::shape()])
    }

    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        match &node.value {
            Value::List(_) => List::decode(node, reader).map(Self::Several),
            Value::Map(_) => {
                reader.wrong_kind(node, "an upstream's name, or a list of `{upstream, weight}`,");
                None
            }
            _ => UpstreamName::decode(node, reader).map(Self::One),
        }
    }
}
