//! `margrave dev`, put together: ports, store, plane, xDS, worker, broker, Envoy.

mod adapters;
pub mod expiry;
pub mod heads;
mod keeper;
pub mod line;
mod login;
pub mod names;
mod pages;
pub mod ports;
pub mod probes;
pub mod ready;
pub mod vault;

use std::sync::Arc;

use tokio::sync::watch;

use self::line::Line;
use self::probes::{Check, Readiness};
use self::ready::Announcement;
use crate::config::{Config, Listen};
use crate::envoy::{self, Bootstrap, Found, Health, Supervisor};
use crate::failure::Failure;
use crate::runner;
use crate::runners::{self, Parts};
use crate::signals::Signals;
use crate::state::State;

/// `node.id` of the Envoy that is started here.
const NODE: &str = "dev";

/// Runs the platform until a signal.
pub async fn run(config: Config) -> Result<(), Failure> {
    let signals = Signals::listen()?;
    let metrics = probes::install_metrics()?;
    let found = envoy::find(&config.envoy, &crate::command::env)?;
    let state = State::at(&config.state);
    let _lock = state.take()?;
    let ports = ports::take(&config.listen, found.is_some())?;
    let listen = ports.listen;
    let credentials = match &config.credentials {
        Some(given) => given.clone(),
        None => state.credentials_or_make()?,
    };
    let console_url = pages::url(&config, &listen);
    let line = line::build(&config, &credentials, &listen, &state).await?;
    let envoy = match found {
        Some(found) => Some(supervisor(found, &config, &listen, &state).await?),
        None => None,
    };
    let (supervisor, health) = envoy.unzip();
    let readiness = readiness(&line, health);
    let zone = config.zone.clone();
    let announcement =
        Announcement { state, listen, console_url, zone, with_envoy: supervisor.is_some() };
    let envoy = supervisor;
    let list = runners::list(Parts { ports, line, envoy, metrics, readiness, announcement });
    Ok(runner::run(list, signals.first()).await?)
}

async fn supervisor(
    found: Found,
    config: &Config,
    listen: &Listen,
    state: &State,
) -> anyhow::Result<(Supervisor, watch::Receiver<Health>)> {
    let bootstrap = Bootstrap {
        node: NODE.to_owned(),
        xds: listen.xds,
        admin: listen.envoy_admin,
        protocol: config.xds,
    };
    Supervisor::new(found, state.path(), &bootstrap).await
}

fn readiness(line: &Line, envoy: Option<watch::Receiver<Health>>) -> Arc<Readiness> {
    let plane = Arc::clone(&line.plane);
    let mut checks: Vec<(&'static str, Check)> = vec![(
        "plane",
        Box::new(move || plane.ready().then_some(()).ok_or_else(|| "reading the store".to_owned())),
    )];
    if let Some(health) = envoy {
        let check = move || match *health.borrow() {
            Health::Live(_) => Ok(()),
            Health::Starting => Err("starting".to_owned()),
        };
        checks.push(("envoy", Box::new(check)));
    }
    Readiness::new(checks)
}
