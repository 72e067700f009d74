//! What `margrave dev` and `margrave serve` are told: one [`Config`], from defaults, `margrave.toml`, `MARGRAVE_*`
//! variables and flags.

mod file;
mod flags;
mod layers;
mod login;
mod parse;
mod rollout;
mod setting;
mod source;
mod xds_tls;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;

pub use flags::Flags;
pub use layers::Layers;
pub use setting::Setting;
#[cfg(test)]
pub use setting::{Kind, SETTINGS};
pub use source::{Origin as SourceOrigin, SourceConfig};

use crate::failure::Failure;
use crate::gate::XdsTls;

/// The file that is read when `--config` does not name one.
pub const FILE: &str = "margrave.toml";
/// The value of a path that stands for nothing at all.
pub const NONE: &str = "none";
/// The largest configuration file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Everything that they can be told, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where everything is kept.
    pub state: PathBuf,
    /// The name of this replica of the control plane, where it was given one.
    pub replica: Option<String>,
    /// The database that a replica reads, where it is not that of the state folder.
    pub store: Option<PathBuf>,
    /// Zone of default hostnames.
    pub zone: String,
    /// Where public hostnames need no proof: those that are set and the zone of default hostnames;
    /// empty: nowhere is one needed.
    pub zones: std::sync::Arc<[model::Zone]>,
    /// Who is asked for proofs.
    pub servers: crate::proof::Servers,
    /// What a team may have.
    pub quota: model::Quota,
    /// Which Envoy to start.
    pub envoy: Envoy,
    /// Which Envoys judge what proxies are sent.
    pub validators: Validators,
    /// How that Envoy asks.
    pub xds: Protocol,
    /// How proxies poll.
    pub polling: plane::Polling,
    /// How xDS is encrypted.
    pub xds_tls: XdsTls,
    /// Templates in place of the built-in ones.
    pub templates: Option<PathBuf>,
    /// How other templates reach the proxies.
    pub rollout: plane::Policy,
    /// Documents that templates see.
    pub sources: Option<PathBuf>,
    /// Further ones, from elsewhere.
    pub declared: Vec<SourceConfig>,
    /// Whether proxies load resources only when asked for them.
    pub on_demand: bool,
    /// How many proxies of a group are given a tenant's change first.
    pub canaries: usize,
    /// Trusted proxies in front of the public listener.
    pub trusted_hops: u32,
    /// The certificates that Envoy trusts of upstreams.
    pub trusted_ca: String,
    /// Where Envoy logs requests.
    pub access_log: AccessLog,
    /// How browsers reach the console, without a slash at its end; `None`: where it listens.
    pub console_url: Option<String>,
    /// What is logged.
    pub log: String,
    /// How.
    pub log_format: LogFormat,
    /// Where everything listens.
    pub listen: Listen,
    /// The broker's credentials, where given.
    pub credentials: Option<Credentials>,
    /// Where people log in, if anywhere.
    pub login: Option<::login::Settings>,
}

/// Which Envoy to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Envoy {
    /// Whichever is found.
    Find,
    /// This one.
    At(PathBuf),
    /// None: proxies connect by themselves.
    None,
}

/// Which Envoys judge what proxies are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Validators {
    /// Whichever are found.
    Find,
    /// These.
    At(Vec<PathBuf>),
    /// None.
    None,
}

/// Where requests are logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLog {
    /// In the state folder.
    State,
    /// In this file.
    At(PathBuf),
    /// Nowhere.
    None,
}

/// A variant of the discovery protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Changes only.
    Delta,
    /// State of the world.
    Sotw,
    /// It polls.
    Rest,
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// An address for each thing that listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen {
    /// Broker and platform API.
    pub broker: SocketAddr,
    /// Console.
    pub console: SocketAddr,
    /// Metrics and probes.
    pub metrics: SocketAddr,
    /// xDS.
    pub xds: SocketAddr,
    /// Envoy's public listener.
    pub public: SocketAddr,
    /// Envoy's internal listener.
    pub internal: SocketAddr,
    /// Envoy's admin interface.
    pub envoy_admin: SocketAddr,
}

/// Username and password of the broker. `Debug` does not show the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The name.
    pub username: String,
    /// The secret.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// Reads every layer and checks the whole; a failure tells all that is wrong.
pub fn load(
    file: Option<&Path>,
    flags: &Flags,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<(Config, Layers), Failure> {
    let mut layers = Layers::defaults();
    let mut problems = Vec::new();
    if let Some((path, text)) = read_file(file)? {
        problems.extend(layers.file(&path, &text, env));
    }
    layers.env(env);
    layers.flags(&flags.0);
    let (config, more) = parse::config(&layers);
    problems.extend(more);
    if problems.is_empty() {
        return Ok((config, layers));
    }
    Err(Failure::Usage(problems.join("\n")))
}

fn read_file(named: Option<&Path>) -> anyhow::Result<Option<(PathBuf, String)>> {
    let path = named.unwrap_or(Path::new(FILE));
    if named.is_none() && !path.exists() {
        return Ok(None);
    }
    let reading = || format!("cannot read the configuration {}", path.display());
    let length = std::fs::metadata(path).with_context(reading)?.len();
    anyhow::ensure!(length <= FILE_BYTES_MAX, "{} is larger than 1 MiB", path.display());
    let text = std::fs::read_to_string(path).with_context(reading)?;
    Ok(Some((path.to_owned(), text)))
}
