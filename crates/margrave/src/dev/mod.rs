//! `margrave dev` and `margrave serve`, put together: ports, store, plane, xDS, worker, broker, Envoy.

mod adapters;
mod agreed;
pub mod counts;
pub mod expiry;
pub mod good;
pub mod heads;
mod keeper;
pub mod line;
mod login;
pub mod manner;
mod opener;
pub mod others;
mod pages;
mod placement;
pub mod ports;
pub mod probes;
pub mod questions;
pub mod ready;
mod regions;
mod replica;
pub mod roles;
mod rollouts;
mod sources;
pub mod templates;
pub mod vault;

use std::sync::Arc;

use authority::ProxyName;
use serde_json::Value;
use tokio::sync::watch;

use self::line::Line;
use self::manner::Manner;
use self::probes::{Check, Readiness};
use self::ready::Announcement;
use crate::config::{Config, Credentials, Envoy, Listen};
use crate::envoy::{self, Bootstrap, Found, Health, Supervisor};
use crate::failure::Failure;
use crate::gate::Gate;
use crate::gate::own::Own;
use crate::runner;
use crate::runners::{self, Parts};
use crate::signals::Signals;
use crate::state::State;

/// `node.id` of the Envoy that is started here.
const NODE: &str = "dev";
/// The name of the replica of the plane that is in the process that writes.
const REPLICA: &str = "main";

/// Runs the platform until a signal.
pub async fn run(config: Config, manner: Manner) -> Result<(), Failure> {
    if !manner.relaxed.own_envoy && matches!(config.envoy, Envoy::At(_)) {
        tracing::warn!("`envoy` names one for nothing: `margrave serve` starts none");
    }
    // Every process of a platform must render the same, whatever its roles.
    let config = match manner.relaxed.own_envoy {
        true => config,
        false => Config { envoy: Envoy::None, ..config },
    };
    if !manner.roles.write() {
        return replica::run(config, manner).await;
    }
    if config.store.is_some() {
        tracing::warn!(
            "`store` names one for nothing: the process that writes has that of its state folder"
        );
    }
    config.xds_tls.check(&config.listen)?;
    let signals = Signals::listen()?;
    let metrics = probes::install_metrics()?;
    let found = envoy::find(&config.envoy, &crate::command::env)?;
    let state = State::at(&config.state);
    let _lock = state.take()?;
    let replica = state.replica(config.replica.as_deref().unwrap_or(REPLICA))?;
    let ports = ports::take(&config.listen, &manner.roles, found.is_some())?;
    let listen = ports.listen;
    let credentials = credentials(&config, &manner, &state)?;
    let console_url = pages::url(&config, &listen);
    let kept = (&state, &replica);
    let line = line::build(&config, &manner, &credentials, &listen, kept).await?;
    let own = match (&line.gate, &found) {
        (Some(gate), Some(_)) => Some(own(gate, &state).await?),
        _ => None,
    };
    let envoy = match found {
        Some(found) => {
            Some(supervisor(found, &config, &listen, &state, (&line, own.as_ref())).await?)
        }
        None => None,
    };
    let own = own.map(|(own, _)| own);
    let (supervisor, health) = envoy.unzip();
    let readiness = readiness(&line, health);
    let zone = config.zone.clone();
    let announcement =
        Announcement { state, listen, console_url, zone, with_envoy: supervisor.is_some(), manner };
    let envoy = supervisor;
    let polling = config.polling;
    let parts = Parts { ports, line, envoy, metrics, readiness, announcement, own, polling };
    let list = runners::list(parts);
    Ok(runner::run(list, signals.first()).await?)
}

fn credentials(config: &Config, manner: &Manner, state: &State) -> Result<Credentials, Failure> {
    match &config.credentials {
        Some(given) => Ok(given.clone()),
        None if manner.relaxed.made_credentials => Ok(state.credentials_or_make()?),
        None => Err(Failure::Usage(
            "`margrave serve` makes no credentials: set `broker.username`, and `broker.password` as \
             MARGRAVE_BROKER_PASSWORD, for the first operator; further tokens are made with them"
                .to_owned(),
        )),
    }
}

/// Our own proxy joins like any other; what it connects with lies beside its bootstrap.
async fn own(gate: &Gate, state: &State) -> anyhow::Result<(Own, Value)> {
    let identity = envoy::Identity::at(&state.path().join("envoy/identity"))?;
    let joining = gate.joining();
    let socket = identity.transport_socket(&(joining.listener)().server_name);
    let name = ProxyName { group: envoy::GROUP.parse()?, node: NODE.parse()? };
    Ok((Own::join(joining, name, identity).await?, socket))
}

async fn supervisor(
    found: Found,
    config: &Config,
    listen: &Listen,
    state: &State,
    (line, own): (&Line, Option<&(Own, Value)>),
) -> anyhow::Result<(Supervisor, watch::Receiver<Health>)> {
    let bootstrap = Bootstrap {
        node: NODE.to_owned(),
        group: envoy::GROUP.to_owned(),
        region: "local".to_owned(),
        zone: "local".to_owned(),
        xds: (listen.xds.ip().to_string(), listen.xds.port()),
        transport_socket: own.map(|(_, socket)| socket.clone()),
        admin: listen.envoy_admin,
        protocol: config.xds,
        polling: config.polling.clone(),
    };
    let plane = Arc::clone(&line.plane);
    let shown = Arc::new(move |text: &str| plane.shown(text));
    Supervisor::new(found, state.path(), &bootstrap, shown).await
}

fn readiness(line: &Line, envoy: Option<watch::Receiver<Health>>) -> Arc<Readiness> {
    let mut checks: Vec<(&'static str, Check)> = vec![("plane", replica::check(&line.plane))];
    if let Some(health) = envoy {
        let check = move || match *health.borrow() {
            Health::Live(_) => Ok(()),
            Health::Starting => Err("starting".to_owned()),
        };
        checks.push(("envoy", Box::new(check)));
    }
    Readiness::new(checks)
}
