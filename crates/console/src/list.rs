//! The first page: the services that one may see.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::response::Response;
use model::{Instance, Owner, Principal, Role};
use serde::{Deserialize, Serialize};
use store::InstanceSearch;

use crate::door::Session;
use crate::page::Page;
use crate::router::{Console, Failure, answer};
use crate::words;

/// Services of a page.
const PAGE_ROWS: usize = 50;

/// What is looked for.
#[derive(Debug, Deserialize)]
pub(crate) struct Asked {
    q: Option<String>,
    after: Option<String>,
}

#[derive(Serialize)]
struct Line {
    id: String,
    service: String,
    team: String,
    plan: &'static str,
    state: &'static str,
    hostnames: String,
}

#[derive(Serialize)]
struct Listed {
    asked: String,
    lines: Vec<Line>,
    next: Option<String>,
}

/// Whose services somebody sees.
fn owners(who: &Principal) -> Option<Vec<Owner>> {
    let Role::Member { organization, teams } = &who.role else { return None };
    let own = |team: &String| Owner { organization: organization.clone(), space: team.clone() };
    Some(teams.iter().map(own).collect())
}

/// The services whose names begin as asked.
pub(crate) async fn get(
    State(console): State<Arc<Console>>,
    session: Session,
    Query(asked): Query<Asked>,
) -> Response {
    answer(&console, make(&console, &session, asked).await, "/")
}

async fn make(console: &Console, session: &Session, asked: Asked) -> Result<Page, Failure> {
    let prefix = asked.q.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let search = InstanceSearch {
        owners: owners(&session.who),
        prefix: prefix.clone(),
        after: asked.after,
        limit: PAGE_ROWS,
        ..InstanceSearch::default()
    };
    let found = console.parts.search.search_instances(search).await?;
    let lines = found.items.iter().map(line).collect();
    let listed = Listed { asked: prefix.unwrap_or_default(), lines, next: found.next };
    Ok(Page::new("list.html", session, &listed))
}

fn line(instance: &Instance) -> Line {
    let hostnames: Vec<&str> = instance.spec.hostnames.iter().map(|it| it.as_str()).collect();
    Line {
        id: instance.id.to_string(),
        service: instance.spec.parameters.service.to_string(),
        team: instance.owner.space.clone(),
        plan: instance.spec.plan.as_str(),
        state: words::instance(instance.state),
        hostnames: hostnames.join(" "),
    }
}
