//! The page of an instance: what it is, what is being done to it, and what was.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use model::{
    ExposureChange, Instance, InstanceState, Millis, Operation, OperationState, Plan, StepRecord,
    StepState,
};
use serde::Serialize;
use serde_json::Value;

use crate::door::Session;
use crate::page::Page;
use crate::port::Standing;
use crate::router::{Console, Failure, answer};
use crate::{live, words};

/// Operations of a history that are shown.
const HISTORY_ROWS_MAX: usize = 30;
/// Changes of one operation that are shown; of more the number is told.
const CHANGES_MAX: usize = 50;

#[derive(Serialize)]
struct Shown {
    id: String,
    service: String,
    team: String,
    organization: String,
    plan: &'static str,
    exposure: &'static str,
    state: &'static str,
    hostnames: Vec<Link>,
    routes: Vec<Route>,
    upstreams: Vec<(String, String)>,
    standing: Option<Standing>,
    awaited: Vec<Awaited>,
    /// Whether something is being done.
    live: bool,
    /// Tells what is shown from what comes later.
    mark: String,
    operation: Option<Doing>,
    history: Vec<Done>,
}

#[derive(Serialize)]
struct Link {
    name: String,
    url: Option<String>,
}

#[derive(Serialize)]
struct Route {
    name: String,
    asks: String,
    becomes: String,
}

#[derive(Serialize)]
struct Awaited {
    to_do: String,
    found: Option<String>,
}

#[derive(Serialize)]
struct Doing {
    kind: &'static str,
    state: &'static str,
    elapsed: String,
    error: Option<String>,
    notice: Option<String>,
    steps: Vec<Step>,
}

#[derive(Serialize)]
struct Step {
    says: String,
    state: &'static str,
    note: Option<String>,
    waits: Option<&'static str>,
    elapsed: Option<String>,
    typical: Option<String>,
    attempts: u32,
}

#[derive(Serialize)]
struct Done {
    id: String,
    kind: &'static str,
    state: &'static str,
    who: String,
    at: String,
    took: String,
    error: Option<String>,
    exposure: Option<&'static str>,
    changes: Vec<Change>,
    more: usize,
}

#[derive(Serialize)]
struct Change {
    path: String,
    before: Option<String>,
    after: Option<String>,
}

/// An instance, if it is there for whoever looks.
pub(crate) async fn visible(
    console: &Console,
    session: &Session,
    id: &str,
) -> Result<Instance, Failure> {
    let id = id.parse().map_err(|_| Failure::Nothing)?;
    let instance = console.parts.store.instance(&id).await?;
    instance.filter(|instance| session.who.owns(&instance.owner)).ok_or(Failure::Nothing)
}

/// The page.
pub(crate) async fn get(
    State(console): State<Arc<Console>>,
    session: Session,
    Path(id): Path<String>,
) -> Response {
    answer(&console, make(&console, &session, &id).await, "/")
}

async fn make(console: &Console, session: &Session, id: &str) -> Result<Page, Failure> {
    let instance = visible(console, session, id).await?;
    let history = console.parts.store.operations(&instance.id, HISTORY_ROWS_MAX).await?;
    let standing = console.parts.view.standing(&instance.id).await;
    let now = console.now();
    let latest = history.first();
    let parameters = instance.spec.parameters.to_json();
    let shown = Shown {
        id: instance.id.to_string(),
        service: instance.spec.parameters.service.to_string(),
        team: instance.owner.space.clone(),
        organization: instance.owner.organization.clone(),
        plan: instance.spec.plan.as_str(),
        exposure: words::exposure(instance.spec.plan),
        state: state(&instance, latest),
        hostnames: links(console, &instance),
        routes: routes(&parameters),
        upstreams: upstreams(&parameters),
        standing,
        awaited: awaited(console, &instance).await?,
        live: latest.is_some_and(|latest| latest.state == OperationState::InProgress),
        mark: live::mark(latest),
        operation: latest.map(|latest| doing(latest, &history, now)),
        history: history.iter().map(|operation| done(operation, now)).collect(),
    };
    Ok(Page::new("instance.html", session, &shown))
}

/// Names that do not answer in public yet, and what is to be done about each.
async fn awaited(console: &Console, instance: &Instance) -> Result<Vec<Awaited>, Failure> {
    if instance.spec.plan != Plan::Public {
        return Ok(Vec::new());
    }
    let proofs = console.parts.proofs.proofs(&instance.id).await?;
    let names = &instance.spec.hostnames;
    let awaited = proofs.iter().filter(|it| it.proven_at.is_none() && names.contains(&it.hostname));
    Ok(awaited.map(|it| Awaited { to_do: it.to_do(), found: it.problem.clone() }).collect())
}

fn state(instance: &Instance, latest: Option<&Operation>) -> &'static str {
    let changing = latest.is_some_and(|latest| latest.state == OperationState::InProgress);
    match instance.state {
        InstanceState::Ready if changing => "being changed",
        state => words::instance(state),
    }
}

/// Where it answers, on the listener of its widest exposure; what has a `*` is no address.
fn links(console: &Console, instance: &Instance) -> Vec<Link> {
    let port = match instance.spec.plan {
        Plan::Internal => console.config.internal_port,
        Plan::Public => console.config.public_port,
    };
    let port = port.filter(|port| *port != 80).map_or(String::new(), |port| format!(":{port}"));
    let there = !matches!(instance.state, InstanceState::Deleted | InstanceState::Failed);
    let link = |name: &model::Hostname| {
        let name = name.to_string();
        let url = (there && !name.contains('*')).then(|| format!("http://{name}{port}/"));
        Link { name, url }
    };
    instance.spec.hostnames.iter().map(link).collect()
}

fn routes(parameters: &Value) -> Vec<Route> {
    let list = parameters.get("routes").and_then(Value::as_array).into_iter().flatten();
    let one = |route: &Value| {
        let (asks, becomes) = words::route(route);
        let name = route.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        Route { name, asks, becomes }
    };
    list.map(one).collect()
}

fn upstreams(parameters: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| {
        let url = value.as_str().or_else(|| value.get("url").and_then(Value::as_str));
        url.map_or_else(|| value.get("addresses").map(words::value), |url| Some(url.to_owned()))
    };
    let first = parameters.get("upstream").and_then(text);
    let first = first.map(|url| ("the upstream".to_owned(), url));
    let named = parameters.get("upstreams").and_then(Value::as_object).into_iter().flatten();
    let named = named.filter_map(|(name, value)| Some((name.clone(), text(value)?)));
    first.into_iter().chain(named).collect()
}

fn elapsed(since: Millis, until: Option<Millis>, now: Millis) -> Millis {
    until.unwrap_or(now).saturating_sub(since).max(0)
}

fn doing(operation: &Operation, history: &[Operation], now: Millis) -> Doing {
    let usual = typical(history.get(1..).unwrap_or_default());
    Doing {
        kind: words::kind(operation.kind),
        state: words::operation(operation.state),
        elapsed: words::span(elapsed(operation.created_at, operation.finished_at, now)),
        error: operation.error.clone(),
        notice: operation.notice.clone(),
        steps: operation.steps.iter().map(|it| step(it, &usual, now)).collect(),
    }
}

/// The median of what each step took when it was done before.
fn typical(history: &[Operation]) -> BTreeMap<&str, Millis> {
    let mut took: BTreeMap<&str, Vec<Millis>> = BTreeMap::new();
    let done = history.iter().flat_map(|operation| &operation.steps);
    for step in done.filter(|step| step.state == StepState::Done) {
        if let (Some(since), Some(until)) = (step.started_at, step.finished_at) {
            took.entry(&step.name).or_default().push(until.saturating_sub(since));
        }
    }
    let median = |mut all: Vec<Millis>| {
        all.sort_unstable();
        all.get(all.len() / 2).copied().unwrap_or_default()
    };
    took.into_iter().map(|(name, all)| (name, median(all))).collect()
}

fn step(record: &StepRecord, usual: &BTreeMap<&str, Millis>, now: Millis) -> Step {
    let took = record.started_at.map(|since| elapsed(since, record.finished_at, now));
    Step {
        says: record.says.clone(),
        state: words::step(record.state),
        note: record.note.clone(),
        waits: record.waits_now().map(|waits| words::waits(waits.on)),
        elapsed: took.map(words::span),
        typical: usual.get(record.name.as_str()).copied().map(words::span),
        attempts: record.attempts,
    }
}

fn done(operation: &Operation, now: Millis) -> Done {
    let (before, after) = (operation.previous.as_ref(), operation.target.as_ref());
    let all = model::changes(before, after);
    let more = all.len().saturating_sub(CHANGES_MAX);
    let change = |change: model::Change| Change {
        path: change.path,
        before: change.before.as_ref().map(words::value),
        after: change.after.as_ref().map(words::value),
    };
    // Of what is deleted all is gone: that needs no list.
    let listed = if after.is_some() { all } else { Vec::new() };
    let more = if after.is_some() { more } else { 0 };
    Done {
        id: operation.id.to_string(),
        kind: words::kind(operation.kind),
        state: words::operation(operation.state),
        who: operation.requested_by.credential.clone(),
        at: model::utc(operation.created_at),
        took: words::span(elapsed(operation.created_at, operation.finished_at, now)),
        error: operation.error.clone(),
        exposure: ExposureChange::between(before, after).map(|change| match change {
            ExposureChange::BecamePublic => "became public",
            ExposureChange::NoLongerPublic => "no longer public",
        }),
        changes: listed.into_iter().take(CHANGES_MAX).map(change).collect(),
        more,
    }
}
