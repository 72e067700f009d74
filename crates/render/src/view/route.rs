//! A route as templates see it, in Envoy's terms where Envoy has its own ideas.

use model::InstanceId;
use model::descriptor::{Action, Forward, PathMatch, Redirect, Respond, Retry, Route, RouteMatch};
use serde::Serialize;
use serde_json::Value;

use super::{HeadersView, Pair, duration, pairs, text, upstream};
use crate::mark::quote;

#[derive(Serialize)]
pub(super) struct RouteView {
    /// `<instance>/<route>`.
    name: String,
    #[serde(rename = "match")]
    matches: MatchView,
    forward: Option<ForwardView>,
    redirect: Option<RedirectView>,
    respond: Option<RespondView>,
    request_headers: HeadersView,
    response_headers: HeadersView,
    max_body_bytes: Option<u64>,
    /// What it says to the filter that lets callers in, if not what its virtual host says.
    caller_filter: Option<Value>,
}

impl RouteView {
    pub(super) fn new(route: &Route, id: &InstanceId, caller_filter: Option<Value>) -> Self {
        let (mut forward, mut redirect, mut respond) = (None, None, None);
        match &route.action {
            Action::Forward(to) => forward = Some(ForwardView::new(to, &route.matches.path, id)),
            Action::Redirect(to) => redirect = Some(RedirectView::new(to)),
            Action::Respond(with) => respond = Some(RespondView::new(with)),
        }
        Self {
            name: format!("{id}/{}", text(&route.name)),
            matches: MatchView::new(&route.matches),
            forward,
            redirect,
            respond,
            request_headers: HeadersView::new(&route.request_headers),
            response_headers: HeadersView::new(&route.response_headers),
            max_body_bytes: route.max_body_bytes,
            caller_filter,
        }
    }
}

#[derive(Serialize)]
struct MatchView {
    /// `exact`, `prefix` (whole segments) or `all`.
    kind: &'static str,
    path: String,
    methods: Vec<String>,
    headers: Vec<Pair>,
    query: Vec<Pair>,
}

impl MatchView {
    fn new(matches: &RouteMatch) -> Self {
        let (kind, path) = match &matches.path {
            PathMatch::Exact(path) => ("exact", path.as_str()),
            PathMatch::Prefix(path) => match path.trim_end_matches('/') {
                "" => ("all", "/"),
                segments => ("prefix", segments),
            },
        };
        Self {
            kind,
            path: text(path),
            methods: matches.methods.iter().map(|method| text(method)).collect(),
            headers: pairs(&matches.headers),
            query: pairs(&matches.query),
        }
    }
}

#[derive(Serialize)]
struct ForwardView {
    clusters: Vec<WeightedView>,
    rewrite: Option<RewriteView>,
    request_timeout: Option<String>,
    idle_timeout: Option<String>,
    retry: Option<RetryView>,
}

#[derive(Serialize)]
struct WeightedView {
    name: String,
    weight: u32,
}

impl ForwardView {
    fn new(forward: &Forward, path: &PathMatch, id: &InstanceId) -> Self {
        let weighted = forward.to.iter().map(|to| WeightedView {
            name: upstream::cluster(id, &to.upstream),
            weight: to.weight,
        });
        Self {
            clusters: weighted.collect(),
            rewrite: forward.rewrite_path.as_deref().map(|to| RewriteView::new(path, to)),
            request_timeout: forward.request_timeout.map(duration),
            idle_timeout: forward.idle_timeout.map(duration),
            retry: forward.retry.as_ref().map(RetryView::new),
        }
    }
}

/// Either a text in place of what matched, or a substitution. Replacing `/api` with `/` as text
/// would make `//x` of `/api/x`; replacing `/` with `/v2`, `/v2x` of `/x`.
#[derive(Serialize)]
struct RewriteView {
    text: Option<String>,
    regex: Option<String>,
    substitution: Option<String>,
}

impl RewriteView {
    fn new(path: &PathMatch, to: &str) -> Self {
        let segments = to.trim_end_matches('/');
        let literal = |to: String| Self { text: Some(to), regex: None, substitution: None };
        match path {
            PathMatch::Exact(_) => literal(text(to)),
            PathMatch::Prefix(from) => match (from.trim_end_matches('/'), segments) {
                ("", _) => literal(format!("{}/", text(segments))),
                (from, "") => Self {
                    text: None,
                    regex: Some(format!("^{}/*", quote(&text(from)))),
                    substitution: Some("/".into()),
                },
                _ => literal(text(segments)),
            },
        }
    }
}

#[derive(Serialize)]
struct RetryView {
    attempts: u32,
    /// Envoy's conditions, `retriable-status-codes` among them when there are statuses.
    on: Vec<String>,
    statuses: Vec<u16>,
    per_try_timeout: Option<String>,
}

impl RetryView {
    fn new(retry: &Retry) -> Self {
        let statuses: Vec<u16> = retry.on.iter().filter_map(|on| on.parse().ok()).collect();
        let conditions = retry.on.iter().filter(|on| on.parse::<u16>().is_err());
        let mut on: Vec<_> = conditions.map(|on| text(on)).collect();
        if !statuses.is_empty() {
            on.push("retriable-status-codes".into());
        }
        let per_try_timeout = retry.per_try_timeout.map(duration);
        Self { attempts: retry.attempts, on, statuses, per_try_timeout }
    }
}

/// The parts of where to. What is absent stays as the client sent it; so does the query.
#[derive(Serialize)]
struct RedirectView {
    /// Envoy's name of the status.
    code: &'static str,
    scheme: Option<String>,
    host: Option<String>,
    port: Option<u16>,
    path: Option<String>,
}

impl RedirectView {
    fn new(redirect: &Redirect) -> Self {
        let code = match redirect.status {
            301 => "MOVED_PERMANENTLY",
            303 => "SEE_OTHER",
            307 => "TEMPORARY_REDIRECT",
            308 => "PERMANENT_REDIRECT",
            _ => "FOUND",
        };
        let Some((scheme, rest)) = redirect.to.split_once("://") else {
            let path = Some(text(&redirect.to));
            return Self { code, scheme: None, host: None, port: None, path };
        };
        let (authority, path) = match rest.find('/') {
            Some(at) => (&rest[..at], Some(text(&rest[at..]))),
            None => (rest, None),
        };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if port.parse::<u16>().is_ok() => (host, port.parse().ok()),
            _ => (authority, None),
        };
        Self { code, scheme: Some(text(scheme)), host: Some(text(host)), port, path }
    }
}

#[derive(Serialize)]
struct RespondView {
    status: u16,
    body: Option<String>,
    /// None without a body.
    content_type: Option<String>,
}

impl RespondView {
    fn new(respond: &Respond) -> Self {
        let content_type = respond.content_type.as_deref().unwrap_or("text/plain; charset=utf-8");
        Self {
            status: respond.status,
            body: respond.body.as_deref().map(text),
            content_type: respond.body.as_ref().map(|_| text(content_type)),
        }
    }
}
