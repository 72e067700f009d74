//! One route: what it is for and what it does.

use std::time::Duration;

use super::headers;
use crate::descriptor::decode::{At, Given};
use crate::descriptor::refusal::{Refusals, Spot, quote};
use crate::descriptor::values::{RetryOn, show_duration};
use crate::descriptor::{
    Action, Auth, Code, DEFAULT_UPSTREAM, Forward, PathMatch, Redirect, Refusal, Respond, Retry,
    Route, RouteMatch, Weighted, syntax,
};

/// What applies when a route says nothing.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
const REDIRECT_STATUS: u16 = 302;
const RESPOND_STATUS: u16 = 200;
const ATTEMPTS: u32 = 1;
const WEIGHT: u32 = 1;

/// Builds a route; `None` when a part of it was refused without which it has no meaning.
pub(super) fn build(
    At { value: written, spot }: &At<syntax::Route>,
    has_default: bool,
    auth: Auth,
    refusals: &mut Refusals,
) -> Option<Route> {
    let matches = written.matches.at().and_then(|at| matching(at, refusals));
    let action = action(written, spot, has_default, refusals);
    let request_headers = headers(&written.request_headers, refusals);
    let response_headers = headers(&written.response_headers, refusals);
    Some(Route {
        name: written.name.value()?.0.clone(),
        matches: matches?,
        action: action?,
        request_headers,
        response_headers,
        max_body_bytes: written.limits.value().and_then(|l| l.max_body_size.value()).map(|s| s.0),
        auth: super::auth(&written.auth).unwrap_or(auth),
    })
}

fn matching(
    At { value: written, spot }: &At<syntax::Match>,
    refusals: &mut Refusals,
) -> Option<RouteMatch> {
    let all = [
        written.path.is_absent(),
        written.prefix.is_absent(),
        written.methods.is_absent(),
        written.headers.is_absent(),
        written.query.is_absent(),
    ];
    if all.iter().all(|absent| *absent) && !refusals.concern(spot) {
        let refusal = Refusal::new(Code::MissingKey, spot, "this match says nothing")
            .help("write `prefix: /` for every path");
        refusals.push(refusal);
    }
    let path = match (&written.path, &written.prefix) {
        (Given::Bad, _) | (_, Given::Bad) => return None,
        (Given::Good(path), _) => PathMatch::Exact(path.value.0.clone()),
        (_, Given::Good(prefix)) => PathMatch::Prefix(prefix.value.0.clone()),
        (Given::Absent, Given::Absent) => PathMatch::Prefix("/".to_owned()),
    };
    if written.methods.is_bad() || written.headers.is_bad() || written.query.is_bad() {
        return None;
    }
    let methods = written.methods.value().map(|set| set.0.as_slice()).unwrap_or_default();
    let mut methods: Vec<String> = methods.iter().map(|at| at.value.0.clone()).collect();
    methods.sort();
    let headers = written.headers.value().map(|map| map.0.as_slice()).unwrap_or_default();
    let query = written.query.value().map(|map| map.0.as_slice()).unwrap_or_default();
    Some(RouteMatch {
        path,
        methods,
        headers: headers
            .iter()
            .map(|(name, value)| Some((name.value.0.clone(), value.value()?.0.clone())))
            .collect::<Option<_>>()?,
        query: query
            .iter()
            .map(|(name, value)| Some((name.value.0.clone(), value.value()?.0.clone())))
            .collect::<Option<_>>()?,
    })
}

fn action(
    written: &syntax::Route,
    spot: &Spot,
    has_default: bool,
    refusals: &mut Refusals,
) -> Option<Action> {
    if let Given::Good(redirect) = &written.redirect {
        no_upstream(written, "redirect", refusals);
        return Some(Action::Redirect(Redirect {
            to: redirect.value.to.value()?.text(),
            status: redirect.value.status.value().map_or(REDIRECT_STATUS, |status| status.0),
        }));
    }
    if let Given::Good(respond) = &written.respond {
        no_upstream(written, "respond", refusals);
        return respond_with(&respond.value, refusals).map(Action::Respond);
    }
    if written.redirect.is_bad() || written.respond.is_bad() {
        return None;
    }
    forward(written, spot, has_default, refusals).map(Action::Forward)
}

/// What only matters on the way to an upstream has no effect on a route that has none.
fn no_upstream(written: &syntax::Route, action: &str, refusals: &mut Refusals) {
    let keys: [(&str, Option<&Spot>); 5] = [
        ("rewrite", written.rewrite.at().map(|at| &at.spot)),
        ("timeout", written.timeout.at().map(|at| &at.spot)),
        ("retry", written.retry.at().map(|at| &at.spot)),
        ("requestHeaders", written.request_headers.at().map(|at| &at.spot)),
        ("limits", written.limits.at().map(|at| &at.spot)),
    ];
    for (key, spot) in keys {
        let Some(spot) = spot else { continue };
        let message = format!("`{key}` has no effect beside `{action}`, which asks no upstream");
        refusals.push(
            Refusal::new(Code::Contradiction, spot, message).help(format!("leave out `{key}`")),
        );
    }
}

fn respond_with(written: &syntax::Respond, refusals: &mut Refusals) -> Option<Respond> {
    let status = match &written.status {
        Given::Absent => RESPOND_STATUS,
        Given::Bad => return None,
        Given::Good(status) => u16::try_from(status.value.0).ok()?,
    };
    let body = written.body.at();
    if let (204 | 205 | 304, Some(body)) = (status, body) {
        let message = format!("an answer with status {status} has no body");
        refusals.push(
            Refusal::new(Code::BadStatus, &body.spot, message)
                .help("leave out `body`, or choose another status"),
        );
    }
    Some(Respond {
        status,
        body: body.map(|at| at.value.0.clone()),
        content_type: written.content_type.value().map(|text| text.0.clone()),
    })
}

fn forward(
    written: &syntax::Route,
    spot: &Spot,
    has_default: bool,
    refusals: &mut Refusals,
) -> Option<Forward> {
    let to = targets(written, spot, has_default, refusals);
    let rewrite_path = rewrite(written, refusals);
    let timeout = written.timeout.value();
    let request = timeout.and_then(|timeout| timeout.request.value()).map(|span| span.0);
    let retry = written.retry.value().map(|retry| retries(retry, request, refusals));
    Some(Forward {
        to: to?,
        rewrite_path,
        request_timeout: request,
        idle_timeout: timeout.and_then(|timeout| timeout.idle.value()).map(|span| span.0),
        retry,
    })
}

fn targets(
    written: &syntax::Route,
    route: &Spot,
    has_default: bool,
    refusals: &mut Refusals,
) -> Option<Vec<Weighted>> {
    let one = |name: &str| vec![Weighted { upstream: name.to_owned(), weight: WEIGHT }];
    match &written.to {
        Given::Bad => None,
        Given::Absent if has_default => Some(one(DEFAULT_UPSTREAM)),
        Given::Absent => {
            let message = "this route leads nowhere: it has no `to`, `redirect` or `respond`, and there is no top-level `upstream`";
            refusals
                .push(Refusal::new(Code::MissingKey, route, message).help(
                    "add `to: <upstream>`, or `upstream: http://host:port` at the top level",
                ));
            Some(one(DEFAULT_UPSTREAM))
        }
        Given::Good(At { value: syntax::Targets::One(name), .. }) => Some(one(&name.0)),
        Given::Good(At { value: syntax::Targets::Several(list), spot }) => {
            Some(weighted(&list.0, spot, refusals))
        }
    }
}

fn weighted(list: &[At<syntax::Target>], spot: &Spot, refusals: &mut Refusals) -> Vec<Weighted> {
    let mut seen: Vec<(&str, &Spot)> = Vec::new();
    let mut targets = Vec::new();
    for target in list {
        let Some(name) = target.value.upstream.at() else { continue };
        if let Some((_, first)) = seen.iter().find(|(known, _)| *known == name.value.0) {
            refusals.push(
                Refusal::new(
                    Code::Duplicate,
                    &name.spot,
                    format!("the upstream {} is listed twice", quote(&name.value.0)),
                )
                .also(first, "first written here")
                .help("add the weights"),
            );
        }
        seen.push((&name.value.0, &name.spot));
        let weight = target.value.weight.value().map_or(WEIGHT, |weight| weight.0);
        targets.push(Weighted { upstream: name.value.0.clone(), weight });
    }
    let whole = targets.len() == list.len() && list.iter().all(|t| !t.value.weight.is_bad());
    if whole && targets.iter().all(|target| target.weight == 0) {
        let refusal = Refusal::new(Code::Weights, spot, "the weights add up to 0: nothing is sent")
            .help("give one of them a weight above 0");
        refusals.push(refusal);
    }
    targets
}

/// A rewrite replaces what the match has matched, so the two must speak of the same.
fn rewrite(written: &syntax::Route, refusals: &mut Refusals) -> Option<String> {
    let rewrite = written.rewrite.at()?;
    let exact = written.matches.value().is_some_and(|matches| !matches.path.is_absent());
    let nothing = rewrite.value.path.is_absent() && rewrite.value.prefix.is_absent();
    if nothing && !refusals.concern(&rewrite.spot) {
        let refusal =
            Refusal::new(Code::MissingKey, &rewrite.spot, "a rewrite needs `path` or `prefix`");
        refusals.push(refusal);
    }
    let (wrong, has, wants) = if exact {
        (rewrite.value.prefix.at().map(|at| &at.spot), "path", "path")
    } else {
        (rewrite.value.path.at().map(|at| &at.spot), "prefix", "prefix")
    };
    if let Some(spot) = wrong {
        let message = format!("this route matches by `{has}`, so `rewrite` takes `{wants}`");
        refusals.push(
            Refusal::new(Code::Contradiction, spot, message)
                .help(format!("write `rewrite: {{{wants}: …}}`")),
        );
    }
    if exact {
        rewrite.value.path.value().map(|path| path.0.clone())
    } else {
        rewrite.value.prefix.value().map(|prefix| prefix.0.clone())
    }
}

fn retries(written: &syntax::Retry, request: Option<Duration>, refusals: &mut Refusals) -> Retry {
    if let Some(at) = written.per_try_timeout.at() {
        let whole = request.unwrap_or(REQUEST_TIMEOUT);
        if at.value.0 > whole {
            let default = if request.is_none() { ", the default" } else { "" };
            let message = format!(
                "a try of {} is longer than the whole request, {}{default}",
                show_duration(at.value.0),
                show_duration(whole),
            );
            refusals.push(
                Refusal::new(Code::TryTimeout, &at.spot, message)
                    .help("lower `perTryTimeout`, or raise `timeout.request`"),
            );
        }
    }
    let words = written.on.value().map(|set| set.0.as_slice());
    let mut on: Vec<String> = match words {
        Some(words) => words.iter().map(|at| at.value.0.clone()).collect(),
        None => RetryOn::DEFAULT.iter().map(|word| (*word).to_owned()).collect(),
    };
    on.sort();
    Retry {
        attempts: written.attempts.value().map_or(ATTEMPTS, |attempts| attempts.0),
        on,
        per_try_timeout: written.per_try_timeout.value().map(|span| span.0),
    }
}
