//! Who answers what.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, put};
use model::{Hostname, Millis, OperationId, Parameters, Plan, Spec};
use store::{Audit, Store};
use tokio::sync::Semaphore;

use crate::auth::{Door, Password};
use crate::error::Error;
use crate::port::{Keeper, View};
use crate::{api, catalog, deprovision, fetch, guard, last_operation, provision, update};

/// Requests that are answered at the same time. Beyond it one is answered with 503 at once, which costs
/// less than to let it wait.
const REQUESTS_MAX: usize = 1_024;
/// Waits for news at the same time, so that they leave room for requests that change something.
const WAITS_MAX: usize = 512;

/// How the broker is set up.
#[derive(Debug, Clone)]
pub struct Config {
    /// Who may use it.
    pub username: String,
    /// And their password.
    pub password: Password,
    /// The zone of default hostnames: `<service>.<zone>`.
    pub zone: String,
}

/// What the broker is built upon.
#[derive(Clone)]
pub struct Parts {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// What happened.
    pub audit: Arc<dyn Audit>,
    /// What operators do with it.
    pub keeper: Arc<dyn Keeper>,
    /// What is shown of the rest of the platform.
    pub view: Arc<dyn View>,
    /// Now.
    pub clock: Arc<dyn Fn() -> Millis + Send + Sync>,
    /// A new, unique id, rising in time: of an operation, or of a request.
    pub new_id: Arc<dyn Fn() -> OperationId + Send + Sync>,
}

/// Shared by all requests.
pub(crate) struct Broker {
    pub(crate) config: Config,
    pub(crate) parts: Parts,
    pub(crate) catalog: catalog::Catalog,
    pub(crate) door: Door,
    /// Free places of requests.
    pub(crate) requests: Semaphore,
    /// Free places of waits.
    pub(crate) waits: Semaphore,
    /// The one place of a backup.
    pub(crate) backups: Arc<Semaphore>,
}

impl Broker {
    pub(crate) fn now(&self) -> Millis {
        (self.parts.clock)()
    }

    /// The spec of valid parameters: with its effective hostnames, sorted.
    pub(crate) fn spec(&self, plan: Plan, parameters: Parameters) -> Result<Spec, Error> {
        let mut hostnames = parameters.hostnames.clone();
        if hostnames.is_empty() {
            let default = format!("{}.{}", parameters.service, self.config.zone);
            let parsed: Result<Hostname, _> = default.parse();
            hostnames.push(parsed.map_err(|why| Error::bad_request(why.to_string()))?);
        }
        hostnames.sort();
        hostnames.dedup();
        Ok(Spec { plan, parameters, hostnames })
    }
}

/// The broker as an HTTP service.
pub fn router(config: Config, parts: Parts) -> Router {
    let broker = Arc::new(Broker {
        catalog: catalog::Catalog::new(),
        door: Door::new(&config),
        requests: Semaphore::new(REQUESTS_MAX),
        waits: Semaphore::new(WAITS_MAX),
        backups: Arc::new(Semaphore::new(1)),
        config,
        parts,
    });
    let instance =
        put(provision::put).patch(update::patch).delete(deprovision::delete).get(fetch::get);
    Router::new()
        .route("/v2/catalog", get(catalog::get))
        .route("/v2/service_instances/{id}", instance)
        .route("/v2/service_instances/{id}/last_operation", get(last_operation::get))
        .merge(api::routes())
        .fallback(|| async {
            Error::not_found("there is nothing at this path; see /v1/openapi.json")
        })
        .method_not_allowed_fallback(|| async {
            Error::new(StatusCode::METHOD_NOT_ALLOWED, "this path does not know this method")
        })
        .layer(from_fn_with_state(Arc::clone(&broker), guard::guard))
        .with_state(broker)
}
