//! Pages out of templates. Their names end in `.html`, so that every value is escaped as HTML.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use minijinja::value::Serde;
use minijinja::{Environment, Value, context};
use serde::Serialize;

use crate::door::Session;
use crate::router::{Console, Failure, answer};

const TEMPLATES: &[(&str, &str)] = &[
    ("layout.html", include_str!("../templates/layout.html")),
    ("login.html", include_str!("../templates/login.html")),
    ("message.html", include_str!("../templates/message.html")),
    ("list.html", include_str!("../templates/list.html")),
    ("instance.html", include_str!("../templates/instance.html")),
];

/// Files that pages load, with their types.
const ASSETS: &[(&str, &str, &str)] = &[
    ("console.css", "text/css; charset=utf-8", include_str!("../assets/console.css")),
    ("live.js", "text/javascript; charset=utf-8", include_str!("../assets/live.js")),
];

/// The templates, compiled once.
pub(crate) struct Pages(Environment<'static>);

/// A page to be shown.
pub(crate) struct Page {
    template: &'static str,
    values: Value,
}

impl Page {
    /// Of a template and what it sees.
    pub(crate) fn new(template: &'static str, session: &Session, values: &impl Serialize) -> Self {
        let values = Value::from(Serde(values));
        let who = context! { name => session.who.credential.clone(), form => session.form_token() };
        Self { template, values: context! { who, ..values } }
    }
}

impl Pages {
    pub(crate) fn new() -> Self {
        let mut environment = Environment::new();
        for (name, text) in TEMPLATES {
            // They are part of this crate: a test compiles and renders each.
            if let Err(error) = environment.add_template(name, text) {
                tracing::error!(%error, "the template {name} cannot be used");
            }
        }
        Self(environment)
    }

    pub(crate) fn show(&self, status: StatusCode, page: &Page) -> Response {
        self.render(status, page.template, &page.values)
    }

    pub(crate) fn render(&self, status: StatusCode, template: &str, values: &Value) -> Response {
        let made =
            self.0.get_template(template).and_then(|template| template.render(values.clone()));
        match made {
            Ok(html) => (status, Html(html)).into_response(),
            Err(error) => {
                tracing::error!(%error, template, "a page cannot be rendered");
                (StatusCode::INTERNAL_SERVER_ERROR, "This page cannot be shown.").into_response()
            }
        }
    }
}

/// A page that says one thing.
pub(crate) fn message(
    console: &Console,
    status: StatusCode,
    title: &str,
    text: &str,
    session: Option<&Session>,
) -> Response {
    let who =
        session.map(|it| context! { name => it.who.credential.clone(), form => it.form_token() });
    console.pages.render(status, "message.html", &context! { title, text, who })
}

/// What there is not. Without a session not even that is told.
pub(crate) async fn nothing(
    State(console): State<Arc<Console>>,
    session: Option<Session>,
) -> Response {
    answer(&console, Err(session.map_or(Failure::Stranger, |_| Failure::Nothing)), "/")
}

/// Style and script: the same for everybody, and so without a session.
pub(crate) async fn asset(
    State(console): State<Arc<Console>>,
    Path(name): Path<String>,
) -> Response {
    let Some((_, kind, text)) = ASSETS.iter().find(|(known, _, _)| *known == name) else {
        return answer(&console, Err(Failure::Nothing), "/");
    };
    let mut response = text.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
