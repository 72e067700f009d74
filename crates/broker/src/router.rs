//! Who answers what.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, put};
use model::{
    ACCESS_RANDOM_BYTES, Hostname, InstanceId, Millis, OperationId, Parameters, Plan, Quota, Spec,
    Zone,
};
use store::{
    Audit, Bindings, Contexts, Credentials, Operators, Proofs, Search, Sessions, Store, Teams,
};
use tokio::sync::Semaphore;

use crate::auth::{Door, Password};
use crate::error::Error;
use crate::joining::Joining;
use crate::port::{Keeper, Login, Prover, Vault, View};
use crate::rollouts::Rollouts;
use crate::typical::Typical;
use crate::{api, binding, catalog, deprovision, fetch, guard, last_operation, provision, update};

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
    /// What a team may have that nothing else is laid down for.
    pub quota: Quota,
    /// The zones below which public hostnames need no proof, beside those of a team. None: no proof is
    /// asked for.
    pub zones: Arc<[Zone]>,
    /// The URL of the console, without a slash at its end; `None`: there is none.
    pub console: Option<String>,
    /// What everything is rendered with.
    pub maintenance: Maintenance,
    /// Within this every operation has ended, unless it waits for a person.
    pub polling: Duration,
    /// How clients reach the proxies.
    pub edge: Edge,
}

/// How clients reach the proxies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge {
    /// Whether they speak TLS, as to a balancer in front of the proxies.
    pub is_tls: bool,
    /// The port of what is internal.
    pub internal_port: u16,
    /// The port of what is public.
    pub public_port: u16,
}

impl Edge {
    /// Of a URL.
    pub(crate) fn scheme(self) -> &'static str {
        if self.is_tls { "https" } else { "http" }
    }
}

/// The version of the platform: its release and its templates (OSB 2.17, "Maintenance Info Object").
#[derive(Debug, Clone)]
pub struct Maintenance {
    /// A semantic version.
    pub version: String,
    /// What it consists of, for people.
    pub description: String,
}

/// What the broker is built upon.
#[derive(Clone)]
pub struct Parts {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// What people look for in it.
    pub search: Arc<dyn Search>,
    /// Contexts of platforms.
    pub contexts: Arc<dyn Contexts>,
    /// Teams and their names.
    pub teams: Arc<dyn Teams>,
    /// Hostnames that their teams must prove to have.
    pub proofs: Arc<dyn Proofs>,
    /// What looks for the proofs.
    pub prover: Arc<dyn Prover>,
    /// What happened.
    pub audit: Arc<dyn Audit>,
    /// What operators do about single operations.
    pub operators: Arc<dyn Operators>,
    /// Who may call.
    pub bindings: Arc<dyn Bindings>,
    /// What keeps their keys.
    pub vault: Arc<dyn Vault>,
    /// From one edition of templates to another.
    pub rollouts: Arc<dyn Rollouts>,
    /// What operators do with it.
    pub keeper: Arc<dyn Keeper>,
    /// Who may come in.
    pub credentials: Arc<dyn Credentials>,
    /// Codes for browsers.
    pub sessions: Arc<dyn Sessions>,
    /// How hosts become proxies, where they can.
    pub joining: Option<Joining>,
    /// Logins of people, where an issuer is configured.
    pub login: Option<Arc<dyn Login>>,
    /// Bytes that nobody can guess.
    pub random: Arc<dyn Fn() -> [u8; ACCESS_RANDOM_BYTES] + Send + Sync>,
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
    pub(crate) typical: Typical,
    /// Free places of requests.
    pub(crate) requests: Semaphore,
    /// Free places of waits.
    pub(crate) waits: Semaphore,
    /// The one place of a backup.
    pub(crate) backups: Arc<Semaphore>,
}

impl Broker {
    /// The page of an instance, for its people (OSB 2.17, `dashboard_url`).
    pub(crate) fn dashboard_url(&self, id: &InstanceId) -> Option<String> {
        self.config.console.as_ref().map(|console| format!("{console}/instances/{id}"))
    }

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
        catalog: catalog::Catalog::new(&config),
        door: Door::new(&config),
        typical: Typical::default(),
        requests: Semaphore::new(REQUESTS_MAX),
        waits: Semaphore::new(WAITS_MAX),
        backups: Arc::new(Semaphore::new(1)),
        config,
        parts,
    });
    let instance =
        put(provision::put).patch(update::patch).delete(deprovision::delete).get(fetch::get);
    let bound = put(binding::put::put).get(binding::fetch::get).delete(binding::delete::delete);
    Router::new()
        .route("/v2/service_instances/{id}/service_bindings/{binding}", bound)
        .route(
            "/v2/service_instances/{id}/service_bindings/{binding}/last_operation",
            get(binding::last_operation::get),
        )
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
