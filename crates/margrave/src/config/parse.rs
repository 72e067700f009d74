//! From the text of settings to a checked [`Config`].

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use super::layers::Layers;
use super::setting::{Kind, Setting};
use super::{
    AccessLog, Config, Credentials, Envoy, Listen, LogFormat, NONE, Protocol, Validators, login,
    rollout, xds_tls,
};
use crate::proof::Servers;

/// The shortest password that is accepted, in characters.
const PASSWORD_LENGTH_MIN: usize = 8;

/// As long as a service's name may be.
const LONGEST: &str = "ssssssssssssssssssssssssssssssssssssssss";

/// The configuration, and everything that is wrong with it; with any problem it must not be used.
pub fn config(layers: &Layers) -> (Config, Vec<String>) {
    let mut read = Reader { layers, problems: Vec::new() };
    let config = Config {
        state: read.text("state").into(),
        replica: read.replica(),
        store: read.path("store"),
        zone: read.zone(),
        zones: read.zones(),
        servers: read.servers(),
        quota: model::Quota {
            instances: read.limit("quota.instances"),
            hostnames: read.limit("quota.hostnames"),
            routes: read.limit("quota.routes"),
            changes_per_minute: read.limit("quota.changes_per_minute"),
        },
        envoy: read.envoy(),
        validators: read.validators(),
        xds: match read.choice("xds").as_str() {
            "sotw" => Protocol::Sotw,
            "rest" => Protocol::Rest,
            _ => Protocol::Delta,
        },
        polling: read.polling(),
        xds_tls: xds_tls::settings(&mut read),
        templates: read.path("templates"),
        rollout: rollout::policy(&mut read),
        sources: read.path("sources"),
        declared: layers.sources().to_vec(),
        on_demand: read.parsed("on_demand", |text| text.parse().ok()),
        canaries: read.parsed("canaries", |text| text.parse().ok()),
        trusted_hops: read.parsed("trusted_hops", |text| text.parse().ok()),
        trusted_ca: read.text("trusted_ca"),
        access_log: read.access_log(),
        console_url: read.console_url(),
        log: read.text("log"),
        log_format: match read.choice("log_format").as_str() {
            "json" => LogFormat::Json,
            _ => LogFormat::Text,
        },
        listen: Listen {
            broker: read.loopback("listen.broker"),
            console: read.loopback("listen.console"),
            metrics: read.listen("listen.metrics"),
            xds: read.xds(),
            public: read.listen("listen.public"),
            internal: read.listen("listen.internal"),
            envoy_admin: read.loopback("listen.envoy_admin"),
        },
        credentials: read.credentials(),
        login: login::settings(&mut read),
    };
    (config, read.problems)
}

/// Settings on their way to a configuration, and what is wrong with them.
pub(super) struct Reader<'a> {
    layers: &'a Layers,
    problems: Vec<String>,
}

impl Reader<'_> {
    pub(super) fn text(&self, key: &str) -> String {
        self.layers.get(key).0.to_owned()
    }

    fn console_url(&mut self) -> Option<String> {
        let text = self.text("console_url");
        if text.is_empty() {
            return None;
        }
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let plain = |rest: &str| !rest.is_empty() && !rest.contains(['/', '?', '#', '@', ' ']);
        if !rest.is_some_and(|rest| plain(rest.trim_end_matches('/'))) {
            self.problem(
                "console_url",
                "must be `https://` or `http://` and a host, without a path",
            );
            return None;
        }
        Some(text.trim_end_matches('/').to_owned())
    }

    pub(super) fn path(&self, key: &str) -> Option<PathBuf> {
        Some(self.text(key)).filter(|text| !text.is_empty()).map(Into::into)
    }

    pub(super) fn problem(&mut self, key: &str, why: &str) {
        let (_, origin) = self.layers.get(key);
        self.problems.push(format!("{origin}: `{key}` {why}"));
    }

    /// The value as `read` understands it; on failure a problem and the default, which always is
    /// understood.
    pub(super) fn parsed<T: Default>(&mut self, key: &str, read: impl Fn(&str) -> Option<T>) -> T {
        self.understood(key, Setting::find(key).map_or("", Setting::shape), read)
    }

    /// The same; `shape` is told of what it must be.
    fn understood<T: Default>(
        &mut self,
        key: &str,
        shape: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> T {
        if let Some(value) = read(self.layers.get(key).0) {
            return value;
        }
        self.problem(key, &format!("must be {shape}, not `{}`", self.layers.get(key).0));
        Setting::find(key).and_then(|setting| read(setting.default)).unwrap_or_default()
    }

    /// A number within bounds, which are told.
    pub(super) fn within<T>(&mut self, key: &str, least: T, most: T) -> T
    where
        T: Default + FromStr + PartialOrd + Display,
    {
        let shape = format!("a number from {least} to {most}");
        self.understood(key, &shape, |text| {
            text.parse().ok().filter(|number| (&least..=&most).contains(&number))
        })
    }

    pub(super) fn choice(&mut self, key: &str) -> String {
        let words = match Setting::find(key).map(|setting| setting.kind) {
            Some(Kind::Choice(words)) => words,
            _ => &[],
        };
        self.parsed(key, |text| words.contains(&text).then(|| text.to_owned()))
    }

    fn listen(&mut self, key: &str) -> SocketAddr {
        let address = |text: &str| {
            let port =
                || Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), text.parse().ok()?));
            Some(Address(text.parse().ok().or_else(port)?))
        };
        self.parsed(key, address).0
    }

    /// What must never be reached in clear from another machine.
    fn loopback(&mut self, key: &str) -> SocketAddr {
        let address = self.listen(key);
        if !address.ip().is_loopback() {
            let why = "must be on loopback: it is neither encrypted nor meant for other machines";
            self.problem(key, why);
        }
        address
    }

    /// With TLS it may be anywhere.
    fn xds(&mut self) -> SocketAddr {
        let address = self.listen("listen.xds");
        if !address.ip().is_loopback() && self.text("xds_tls.mode") == "off" {
            let why = "must be on loopback, because it is in clear: set `xds_tls.mode` to `platform`, and let \
                       proxies join";
            self.problem("listen.xds", why);
        }
        address
    }

    fn envoy(&self) -> Envoy {
        match self.text("envoy") {
            text if text.is_empty() => Envoy::Find,
            text if text == NONE => Envoy::None,
            text => Envoy::At(text.into()),
        }
    }

    fn validators(&self) -> Validators {
        match self.text("validators") {
            text if text.is_empty() => Validators::Find,
            text if text == NONE => Validators::None,
            text => Validators::At(text.split(',').map(|path| path.trim().into()).collect()),
        }
    }

    /// A name that is also that of a folder.
    fn replica(&mut self) -> Option<String> {
        let name = Some(self.text("replica")).filter(|name| !name.is_empty())?;
        let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if name.len() > 63 || !name.bytes().all(is_plain) {
            self.problem("replica", "must be up to 63 of a-z, 0-9 and `-`");
        }
        Some(name)
    }

    fn access_log(&self) -> AccessLog {
        match self.text("access_log") {
            text if text.is_empty() => AccessLog::State,
            text if text == NONE => AccessLog::None,
            text => AccessLog::At(text.into()),
        }
    }

    /// `None` for 0.
    fn limit(&mut self, key: &'static str) -> Option<u32> {
        Some(self.parsed(key, |text| text.parse().ok())).filter(|limit| *limit != 0)
    }

    fn polling(&mut self) -> plane::Polling {
        /// More often than this a fleet would do little else.
        const REFRESH_MS_MIN: u64 = 50;
        /// A day: less often would be forgotten.
        const REFRESH_MS_MAX: u64 = 24 * 60 * 60 * 1000;
        let refresh = self.within("poll.refresh_ms", REFRESH_MS_MIN, REFRESH_MS_MAX);
        plane::Polling::new(&self.text("poll.cluster"), Duration::from_millis(refresh))
    }

    /// What follows `<service>.` in a hostname, whatever the service; one label is enough.
    fn zone(&mut self) -> String {
        let zone = self.text("zone");
        match format!("{LONGEST}.{zone}").parse::<model::Hostname>() {
            Ok(hostname) => hostname.as_str()[LONGEST.len() + 1..].to_owned(),
            Err(_) => {
                self.problem("zone", &format!("`{zone}` is not the end of a hostname"));
                zone
            }
        }
    }

    /// Names below the zone of default hostnames are the platform's own.
    fn zones(&mut self) -> Arc<[model::Zone]> {
        let text = self.text("dns.zones");
        let named = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        let mut zones = Vec::new();
        for name in named {
            match name.parse() {
                Ok(zone) => zones.push(zone),
                Err(why) => self.problem("dns.zones", &format!("has {why}")),
            }
        }
        if !zones.is_empty() {
            zones.extend(self.text("zone").parse());
        }
        zones.into()
    }

    fn servers(&mut self) -> Servers {
        let text = self.text("dns.server");
        Servers::parse(&text).unwrap_or_else(|| {
            let why = format!("must be one to three of ADDRESS[:PORT], not `{text}`");
            self.problem("dns.server", &why);
            Servers::System
        })
    }

    fn credentials(&mut self) -> Option<Credentials> {
        let (username, password) = (self.text("broker.username"), self.text("broker.password"));
        match (username.is_empty(), password.is_empty()) {
            (true, true) => return None,
            (false, true) => self.problem("broker.password", "is missing beside its username"),
            (true, false) => self.problem("broker.username", "is missing beside its password"),
            (false, false) => {}
        }
        if username.contains(':') {
            self.problem("broker.username", "must not hold a colon (HTTP basic authentication)");
        }
        if !password.is_empty() && password.chars().count() < PASSWORD_LENGTH_MIN {
            self.problem("broker.password", "is shorter than 8 characters");
        }
        Some(Credentials { username, password })
    }
}

/// A socket address with a default, which is never seen because every default parses.
struct Address(SocketAddr);

impl Default for Address {
    fn default() -> Self {
        Self(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn check(file: &str) -> (Config, Vec<String>) {
        let mut layers = Layers::defaults();
        assert_eq!(layers.file(Path::new("m.toml"), file, &|_| None), Vec::<String>::new());
        config(&layers)
    }

    #[test]
    fn the_defaults_are_sound() {
        let (config, problems) = check("");
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(config.listen.internal, "127.0.0.1:11080".parse().unwrap());
        assert_eq!((config.envoy, config.credentials), (Envoy::Find, None));
    }

    #[test]
    fn a_port_alone_is_on_loopback() {
        let (config, problems) =
            check("[listen]\nbroker = 0\npublic = '0.0.0.0:80'\nxds='[::1]:1'");
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(config.listen.broker, "127.0.0.1:0".parse().unwrap());
        assert_eq!(config.listen.public, "0.0.0.0:80".parse().unwrap());
        assert_eq!(config.listen.xds, "[::1]:1".parse().unwrap());
    }

    #[test]
    fn bounds_are_told() {
        let (_, problems) = check("[poll]\nrefresh_ms = 10\n[rollout]\nerrors_percent = 101\n");
        assert_eq!(
            problems,
            [
                "m.toml:2:1: `poll.refresh_ms` must be a number from 50 to 86400000, not `10`",
                "m.toml:4:1: `rollout.errors_percent` must be a number from 0 to 100, not `101`",
            ]
        );
        assert_eq!(check("[poll]\nrefresh_ms = 50\n").1, Vec::<String>::new());
    }

    #[test]
    fn all_problems_are_told_at_once_with_their_place() {
        let file = "on_demand = 'perhaps'\nxds = 'poll'\nzone = 'a b'\n[listen]\nbroker = 70000\n\
                    xds = '0.0.0.0:1'\n[broker]\nusername = 'a:b'\npassword = 'short'\n";
        let (_, problems) = check(file);
        let expected = [
            "m.toml:3:1: `zone` `a b` is not the end of a hostname",
            "m.toml:2:1: `xds` must be delta|sotw|rest, not `poll`",
            "m.toml:1:1: `on_demand` must be true|false, not `perhaps`",
            "m.toml:5:1: `listen.broker` must be [ADDRESS:]PORT, not `70000`",
            "m.toml:6:1: `listen.xds` must be on loopback, because it is in clear: set `xds_tls.mode` to `platform`, and let proxies join",
            "m.toml:8:1: `broker.username` must not hold a colon (HTTP basic authentication)",
            "m.toml:9:1: `broker.password` is shorter than 8 characters",
        ];
        assert_eq!(problems, expected);
    }
}
