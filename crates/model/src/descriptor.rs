//! What a developer writes, and what it means.
//!
//! A text becomes a [`tree`] of nodes with their places; [`decode`] reads it into the declared
//! [`syntax`], whose [`values`] know their own form; [`check`] judges what needs more than one value
//! and builds the types of this file. All that is wrong on the way is collected as [`Refusal`]s.

use std::collections::BTreeMap;
use std::time::Duration;

mod canonical;
mod check;
mod code;
mod decode;
mod face;
#[cfg(feature = "generate")]
pub mod generate;
mod refusal;
pub mod schema;
mod show;
mod syntax;
mod tree;
mod values;

pub use code::{Code, explain};
pub use refusal::{Also, Place, REFUSALS_MAX, Refusal};
pub use show::show;
pub use tree::{DEPTH_MAX, NODES_MAX, TEXT_BYTES_MAX};

use crate::{Hostname, Plan, ServiceName};

/// A whole `margrave.yaml`: `visibility` picks the OSB plan, the rest is OSB `parameters`.
///
/// Serialises as its canonical JSON, which is the syntax that users write.
#[derive(Debug, Clone, PartialEq)]
pub struct Descriptor {
    /// Internal unless asked otherwise.
    pub visibility: Plan,
    /// Everything else.
    pub parameters: Parameters,
}

/// The descriptor without its visibility: OSB `parameters`, always whole.
///
/// Serialises as its canonical JSON, which is the syntax that users write.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameters {
    /// The service's name; never changes in the life of an instance.
    pub service: ServiceName,
    /// Where a request goes that no route matches. Without it such a request gets 404.
    pub upstream: Option<Upstream>,
    /// Empty: `<service>.<platform zone>`. Sorted, no duplicates.
    pub hostnames: Vec<Hostname>,
    /// Sorted most specific first, as Gateway API orders them; no two match the same requests.
    pub routes: Vec<Route>,
    /// Upstreams that routes name.
    pub upstreams: BTreeMap<String, Upstream>,
    /// On every request to an upstream.
    pub request_headers: HeaderRules,
    /// On every response from an upstream.
    pub response_headers: HeaderRules,
    /// Who may call what no route matches. A route has its own.
    pub auth: Auth,
}

/// Who may call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Auth {
    /// Whoever reaches it.
    #[default]
    None,
    /// A caller with a binding of this service, who shows a token of it.
    Binding,
}

/// A set of addresses that answer alike. Becomes one Envoy cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct Upstream {
    /// Names or addresses with their ports; at least one.
    pub addresses: Vec<Address>,
    /// TLS to the upstream, its certificate verified for the name.
    pub tls: bool,
    /// Active health check.
    pub health_check: Option<HealthCheck>,
}

/// `host:port` of an upstream; the host is a DNS name or an IP address, resolved by the plane.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// DNS name in lower case, IPv4 or IPv6 address (without brackets, shortest form).
    pub host: String,
    /// 1 to 65535.
    pub port: u16,
}

/// An active HTTP health check: healthy is status 200.
#[derive(Debug, Clone, PartialEq)]
pub struct HealthCheck {
    /// The path asked for.
    pub path: String,
    /// Between two checks.
    pub interval: Duration,
    /// After which a check has failed.
    pub timeout: Duration,
}

/// One rule of the load balancer.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// Unique in the service; seen in access logs.
    pub name: String,
    /// Which requests.
    pub matches: RouteMatch,
    /// What becomes of them.
    pub action: Action,
    /// Beside those of the service.
    pub request_headers: HeaderRules,
    /// Beside those of the service.
    pub response_headers: HeaderRules,
    /// Longest request body, in bytes, answered with 413 beyond.
    pub max_body_bytes: Option<u64>,
    /// Who may call it, the service's own unless the route says otherwise.
    pub auth: Auth,
}

/// Which requests a route is for. All that is said must hold.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteMatch {
    /// By path.
    pub path: PathMatch,
    /// One of these methods; empty: any. Sorted.
    pub methods: Vec<String>,
    /// Header name (lower case) to exact value.
    pub headers: BTreeMap<String, String>,
    /// Query parameter to exact value.
    pub query: BTreeMap<String, String>,
}

/// How a path matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathMatch {
    /// The whole path, without query.
    Exact(String),
    /// The path itself, and everything below it: `/api` matches `/api` and `/api/x`, not `/apix`.
    Prefix(String),
}

/// What a route does.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// To one or several upstreams.
    Forward(Forward),
    /// 301, 302, 303, 307 or 308.
    Redirect(Redirect),
    /// Answered by the edge itself.
    Respond(Respond),
}

/// To upstreams.
#[derive(Debug, Clone, PartialEq)]
pub struct Forward {
    /// Names in `upstreams`, or [`DEFAULT_UPSTREAM`], with their weights; at least one.
    pub to: Vec<Weighted>,
    /// Replaces the matched prefix (of a prefix match) or the whole path (of an exact one).
    pub rewrite_path: Option<String>,
    /// For the whole request, retries included; default 15 s.
    pub request_timeout: Option<Duration>,
    /// Between two bytes; default 5 min.
    pub idle_timeout: Option<Duration>,
    /// Tries again.
    pub retry: Option<Retry>,
}

/// One upstream of a weighted forward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weighted {
    /// Its name.
    pub upstream: String,
    /// 0 to 1,000,000; the sum is above 0.
    pub weight: u32,
}

/// Which failures are tried again, and how often.
#[derive(Debug, Clone, PartialEq)]
pub struct Retry {
    /// Beside the first try; 1 to 5.
    pub attempts: u32,
    /// Envoy's `retry_on` conditions, and statuses such as `503`.
    pub on: Vec<String>,
    /// Of each try.
    pub per_try_timeout: Option<Duration>,
}

/// A redirect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// An absolute path, or an absolute `http`/`https` URL without query; the request's query is
    /// kept. A URL without a path keeps the request's path too.
    pub to: String,
    /// 301, 302, 303, 307 or 308; default 302.
    pub status: u16,
}

/// A fixed answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Respond {
    /// 200 to 599.
    pub status: u16,
    /// At most 4 KiB; none on 204 and 304.
    pub body: Option<String>,
    /// Default `text/plain; charset=utf-8`.
    pub content_type: Option<String>,
}

/// Header mutations. Names are lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderRules {
    /// Replaces whatever is there.
    pub set: BTreeMap<String, String>,
    /// Beside whatever is there.
    pub add: BTreeMap<String, String>,
    /// Takes away.
    pub remove: Vec<String>,
}

/// The name under which routes may refer to the top-level `upstream`.
pub const DEFAULT_UPSTREAM: &str = "default";
