//! What happens once everything is there: other commands can find the platform, and whoever started
//! it reads what to try.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::config::Listen;
use crate::dev::manner::Manner;
use crate::dev::probes::Readiness;
use crate::output;
use crate::state::{Endpoints, State};

/// What is announced.
pub struct Announcement {
    /// Where it can be found.
    pub state: State,
    /// Where everything listens.
    pub listen: Listen,
    /// How browsers reach the console.
    pub console_url: String,
    /// Zone of default hostnames.
    pub zone: String,
    /// Whether an Envoy was started.
    pub with_envoy: bool,
    /// In which manner it runs.
    pub manner: Manner,
}

impl Announcement {
    /// Waits until all is ready, announces it until `stop`, and takes it back.
    pub async fn run(
        self,
        readiness: Arc<Readiness>,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        self.state.remove_endpoints();
        tokio::select! {
            result = self.announce(&readiness) => result?,
            () = stop.cancelled() => return Ok(()),
        }
        stop.cancelled().await;
        self.state.remove_endpoints();
        Ok(())
    }

    async fn announce(&self, readiness: &Readiness) -> anyhow::Result<()> {
        readiness.await_all().await;
        let Self { state, listen, console_url, zone, with_envoy, manner } = self;
        state.write_endpoints(&Endpoints {
            pid: std::process::id(),
            zone: zone.clone(),
            broker: format!("http://{}", listen.broker),
            console: console_url.clone(),
            metrics: format!("http://{}", listen.metrics),
            xds: listen.xds,
            public: listen.public,
            internal: listen.internal,
            admin: with_envoy.then_some(listen.envoy_admin),
        })?;
        tracing::info!(broker = %listen.broker, xds = %listen.xds, "ready");
        let said = banner(listen, console_url, *with_envoy);
        output::line(&match manner.told(*with_envoy) {
            Some(relaxed) => format!(
                "{said}\nRelaxed here, and not by `margrave serve`: {relaxed}.\n\n{}",
                first_steps(state, listen, zone)
            ),
            None => said,
        })
    }
}

fn banner(listen: &Listen, console: &str, with_envoy: bool) -> String {
    let Listen { broker, metrics, xds, public, internal, envoy_admin, .. } = listen;
    let admin = match with_envoy {
        true => format!("  envoy     http://{envoy_admin} (admin)\n"),
        false => format!("  envoy     none: proxies may connect to {xds}\n"),
    };
    format!(
        "Margrave is ready. Ctrl-C stops it.\n\n\
         \x20 broker    http://{broker}\n\
         \x20 console   {console}   `margrave dashboard` opens it\n\
         \x20 internal  http://{internal}   every service answers here\n\
         \x20 public    http://{public}   only what asks for `visibility: public`\n\
         \x20 metrics   http://{metrics}/metrics\n\
         {admin}"
    )
}

fn first_steps(state: &State, listen: &Listen, zone: &str) -> String {
    // A platform in the default folder is found without being named.
    let named = match state.path().to_str() {
        Some(crate::state::DEFAULT) | None => String::new(),
        Some(path) => format!(" --state {path}"),
    };
    format!(
        "Try in another terminal:\n\n\
         \x20 printf 'service: hello\\nupstream: http://localhost:3000\\n' > margrave.yaml\n\
         \x20 margrave apply{named}\n\
         \x20 curl http://hello.{zone}:{port}/\n",
        port = listen.internal.port(),
    )
}
