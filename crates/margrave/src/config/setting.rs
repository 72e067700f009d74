//! The one table of settings: the file, the environment, the flags and the reference page are all
//! made from it.

/// What a setting's text means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Free text.
    Text,
    /// A path; in a file, relative to the file's folder.
    Path,
    /// `ADDRESS:PORT`, or a port on loopback; port 0 is any free one.
    Listen,
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Number,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Never printed, and no flag, because other users can read a process's arguments.
    Secret,
}

/// One setting of `margrave dev` and `margrave serve`.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Its key in `margrave.toml`, with a dot where it is in a table.
    pub key: &'static str,
    /// What its text means.
    pub kind: Kind,
    /// What it is when nothing says otherwise; empty: nothing.
    pub default: &'static str,
    /// One sentence for the reference and for `--help`.
    pub help: &'static str,
}

impl Setting {
    /// The environment variable: `listen.broker` is `MARGRAVE_LISTEN_BROKER`.
    pub fn env(&self) -> String {
        format!("MARGRAVE_{}", self.key.replace('.', "_").to_uppercase())
    }

    /// The flag without its dashes: `listen.broker` is `listen-broker`. Secrets have none.
    pub fn flag(&self) -> Option<String> {
        (self.kind != Kind::Secret).then(|| self.key.replace(['.', '_'], "-"))
    }

    /// The setting with this key.
    pub fn find(key: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.key == key)
    }

    /// What a value looks like, for help and errors.
    pub fn shape(&self) -> &'static str {
        match self.kind {
            Kind::Text => "TEXT",
            Kind::Path => "PATH",
            Kind::Listen => "[ADDRESS:]PORT",
            Kind::Bool => "true|false",
            Kind::Number => "NUMBER",
            Kind::Choice(words) if words.contains(&"delta") => "delta|sotw|rest",
            Kind::Choice(words) if words.contains(&"off") => "off|platform|files",
            Kind::Choice(_) => "text|json",
            Kind::Secret => "SECRET",
        }
    }
}

const fn setting(
    key: &'static str,
    kind: Kind,
    default: &'static str,
    help: &'static str,
) -> Setting {
    Setting { key, kind, default, help }
}

/// Every setting, in the order of the reference page.
pub const SETTINGS: &[Setting] = &[
    setting("state", Kind::Path, ".margrave", "Folder of the store, credentials and logs"),
    setting(
        "replica",
        Kind::Text,
        "",
        "Name of this replica of the control plane among those that share the state folder. \
         Unset: `plane` for `margrave serve --role plane`, else `main`",
    ),
    setting(
        "store",
        Kind::Path,
        "",
        "Database that `margrave serve --role plane` reads. Unset: `margrave.db` of the state folder",
    ),
    setting(
        "zone",
        Kind::Text,
        "localhost",
        "Zone of default hostnames: a service `shop` answers to `shop.<zone>`",
    ),
    setting(
        "dns.zones",
        Kind::Text,
        "",
        "Zones, with commas between them, below which a public hostname needs no proof; every other does. \
         Unset: none does",
    ),
    setting(
        "dns.server",
        Kind::Text,
        "",
        "Name servers, as `ADDRESS[:PORT]` with commas between them, that are asked for the proofs of hostnames. \
         Unset: those of `/etc/resolv.conf`",
    ),
    setting(
        "quota.instances",
        Kind::Number,
        "0",
        "Instances that a team may have, unless more or less is laid down for it; 0: any number",
    ),
    setting(
        "quota.hostnames",
        Kind::Number,
        "0",
        "Hostnames that a team may have, unless more or less is laid down for it; 0: any number",
    ),
    setting(
        "quota.routes",
        Kind::Number,
        "0",
        "Routes that one instance may have, unless more or less is laid down for it; 0: any number",
    ),
    setting(
        "quota.changes_per_minute",
        Kind::Number,
        "0",
        "Provisions and updates that a team may ask for in a minute, unless more or less is laid down for it; 0: any number",
    ),
    setting(
        "envoy",
        Kind::Path,
        "",
        "Envoy 1.40 to start; `none` starts none. Unset: the cache folder, then PATH",
    ),
    setting(
        "validators",
        Kind::Text,
        "",
        "Programs of Envoy that judge what proxies are sent, one a release, separated by commas; `none`: nobody judges. Unset: the Envoy that is started or found, and the release before it where the cache folder has it",
    ),
    setting(
        "xds",
        Kind::Choice(&["delta", "sotw", "rest"]),
        "delta",
        "How that Envoy asks for its configuration: `delta`, `sotw` (state of the world), or `rest` (it polls, and never confirms)",
    ),
    setting(
        "poll.cluster",
        Kind::Text,
        "xds",
        "What proxies that poll call the control plane: a cluster of their bootstrap",
    ),
    setting(
        "poll.refresh_ms",
        Kind::Number,
        "1000",
        "How long proxies that poll wait between two polls, in milliseconds; Envoy waits up to twice as long",
    ),
    setting(
        "xds_tls.mode",
        Kind::Choice(&["off", "platform", "files"]),
        "off",
        "How `listen.xds` is encrypted: `off`, and then on loopback only and without secrets; `platform`, by the platform's \
         own authority; `files`, by the files below",
    ),
    setting(
        "xds_tls.certificate",
        Kind::Path,
        "",
        "Of `files`: the listener's certificate and those above it, PEM",
    ),
    setting("xds_tls.key", Kind::Path, "", "Of `files`: the certificate's private key, PEM"),
    setting(
        "xds_tls.authority",
        Kind::Path,
        "",
        "Of `files`: who has signed the certificate, PEM, for hosts that join",
    ),
    setting("xds_tls.server_name", Kind::Text, "", "Of `files`: the DNS name in the certificate"),
    setting(
        "xds_tls.client_ca",
        Kind::Path,
        "",
        "Authorities, PEM, whose certificates of proxies are good beside those of the platform's own",
    ),
    setting(
        "xds_tls.address",
        Kind::Text,
        "",
        "Where hosts that join reach `listen.xds`, such as `xds.example.com:18000`. Unset: its own address",
    ),
    setting(
        "xds_tls.life",
        Kind::Text,
        "24h",
        "How long a proxy's certificate is good, from `1h` to `7d`",
    ),
    setting(
        "templates",
        Kind::Path,
        "",
        "Folder of templates that are used in place of the built-in ones",
    ),
    setting(
        "sources",
        Kind::Path,
        "",
        "File or folder of JSON and YAML documents that templates see as `platform.sources`",
    ),
    setting(
        "rollout.stages",
        Kind::Text,
        "",
        "Groups that are given other templates one after the other, as `canary=eu-west-1@10m; rest=*@5m`: \
         each is watched for so long. Unset: all at once, not watched",
    ),
    setting(
        "rollout.automatic",
        Kind::Bool,
        "true",
        "Whether templates that were saved are rolled out by themselves, or wait for `margrave rollout start`",
    ),
    setting(
        "rollout.ack_seconds",
        Kind::Number,
        "60",
        "Within so many seconds the proxies of a stage must acknowledge, or everything goes back",
    ),
    setting(
        "rollout.errors_percent",
        Kind::Number,
        "5",
        "By so many of 100 answers may those of 500 and above become more before everything goes back",
    ),
    setting("rollout.refused_percent", Kind::Number, "20", "The same of answers from 400 to 499"),
    setting("rollout.requests_min", Kind::Number, "20", "Fewer requests say nothing about errors"),
    setting(
        "on_demand",
        Kind::Bool,
        "false",
        "Whether proxies load a service's resources only when it is first asked for",
    ),
    setting(
        "canaries",
        Kind::Number,
        "1",
        "How many proxies of a group of three or more are given a tenant's change before the others; \
         `0`: all at once",
    ),
    setting(
        "trusted_hops",
        Kind::Number,
        "0",
        "How many proxies in front of the public listener are trusted to tell the client's address",
    ),
    setting(
        "trusted_ca",
        Kind::Path,
        "/etc/ssl/certs/ca-certificates.crt",
        "The certificates that Envoy trusts when an upstream is `https`",
    ),
    setting(
        "access_log",
        Kind::Path,
        "",
        "File that Envoy writes a line to for each request; `none` writes none. \
         Unset: `envoy/access.log` of the state folder",
    ),
    setting(
        "console_url",
        Kind::Text,
        "",
        "How browsers reach the console, such as `https://console.example.com`. \
         Unset: `http://` and the address of `listen.console`",
    ),
    setting("log", Kind::Text, "info", "What is logged, as `info` or `info,xds=debug`"),
    setting("log_format", Kind::Choice(&["text", "json"]), "text", "Form of the log on stderr"),
    setting("listen.broker", Kind::Listen, "127.0.0.1:8080", "Broker and platform API"),
    setting("listen.console", Kind::Listen, "127.0.0.1:8081", "Console: pages for people"),
    setting("listen.metrics", Kind::Listen, "127.0.0.1:9090", "Metrics, /healthz and /readyz"),
    setting(
        "listen.xds",
        Kind::Listen,
        "127.0.0.1:18000",
        "xDS (gRPC, and REST for those that poll), for proxies",
    ),
    setting(
        "listen.public",
        Kind::Listen,
        "127.0.0.1:10080",
        "Envoy's public listener: what asked to be public answers here",
    ),
    setting(
        "listen.internal",
        Kind::Listen,
        "127.0.0.1:11080",
        "Envoy's internal listener: every service answers here",
    ),
    setting("listen.envoy_admin", Kind::Listen, "127.0.0.1:9901", "Envoy's admin interface"),
    setting(
        "broker.username",
        Kind::Text,
        "",
        "Who may use the broker. Unset with its password: `margrave dev` makes both once and keeps them in the state folder",
    ),
    setting("broker.password", Kind::Secret, "", "The password of `broker.username`"),
    setting(
        "login.issuer",
        Kind::Text,
        "",
        "URL of the OpenID Connect issuer that people log in at, such as `https://login.example.com`. \
         Unset: nobody logs in, tokens are made by operators",
    ),
    setting(
        "login.client_id",
        Kind::Text,
        "",
        "The public client that the command line is to the issuer",
    ),
    setting(
        "login.audience",
        Kind::Text,
        "",
        "Whom ID tokens must be meant for. Unset: `login.client_id`",
    ),
    setting(
        "login.scope",
        Kind::Text,
        "openid email offline_access",
        "What `margrave login` asks the issuer for; some want `groups` besides",
    ),
    setting(
        "login.groups_claim",
        Kind::Text,
        "groups",
        "The claim of ID tokens that names groups; `/realm_access/roles` is `roles` within `realm_access`",
    ),
    setting(
        "login.name_claim",
        Kind::Text,
        "email",
        "The claim that people are called by in histories and the audit log, `sub` beside it",
    ),
    setting(
        "login.teams",
        Kind::Text,
        "",
        "Which groups are of which teams: `GROUP=TEAM`, separated by `;`. `team-*=*`: any group `team-x` is of the team `x`",
    ),
    setting(
        "login.operators",
        Kind::Text,
        "",
        "Groups whose people are operators, separated by `;`",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_from_the_key() {
        let setting = Setting::find("listen.envoy_admin").expect("is in the table");
        assert_eq!(setting.env(), "MARGRAVE_LISTEN_ENVOY_ADMIN");
        assert_eq!(setting.flag().as_deref(), Some("listen-envoy-admin"));
        assert_eq!(Setting::find("broker.password").and_then(Setting::flag), None);
    }
}
