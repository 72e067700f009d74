//! `margrave fleet status`: how many proxies stand how, by region, and who does not have everything.

use std::collections::BTreeMap;

use model::{Millis, counted};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::client::Access;
use crate::failure::Failure;
use crate::output::{self, Format};

/// The states, in the order of their columns.
const STATES: [&str; 6] = ["live", "behind", "rejecting", "silent", "unconfirmed", "stale"];
/// Proxies that do not have everything and are told without `--all`.
const TOLD_MAX: usize = 50;

/// Tell how many proxies stand how, who does not have everything, and what they have that is ahead of
/// the store
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Every proxy, and not only those that do not have everything
    #[arg(long)]
    all: bool,

    #[command(flatten)]
    output: Format,

    #[command(flatten)]
    access: Access,
}

/// The fleet.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Fleet {
    /// The latest revision that the control plane has taken in.
    revision: u64,
    /// Published instances.
    instances: usize,
    /// Instances that are served at an earlier revision than their latest, at any replica.
    quarantined: usize,
    /// Instances that the store does not know any more, and that are served until it is confirmed
    /// that they may go.
    #[serde(default)]
    removals_held: usize,
    /// What proxies have that is ahead of the store.
    #[serde(default)]
    ahead: Vec<Ahead>,
    /// Regions that proxies are in or were in the last hour. Those beyond the 64th are one, `other`.
    #[serde(default)]
    regions: Vec<Region>,
    /// Connected proxies.
    proxies: Vec<Proxy>,
}

/// A region of the fleet.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Region {
    /// Its name; empty for proxies that tell none.
    region: String,
    /// For how long no replica has told of its proxies, in milliseconds.
    staleness_ms: Millis,
}

/// Something that proxies have that is ahead of the store.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct Ahead {
    /// `instance`, `hostname` or `resource`.
    kind: String,
    /// Its id or name.
    name: String,
    /// The epoch that a proxy has it of.
    #[serde(default)]
    epoch: Option<u64>,
    /// The revision that a proxy has it of.
    #[serde(default)]
    revision: Option<u64>,
    /// The store does not know it, and proxies keep it. Else they are given what the store has.
    kept: bool,
    /// How many proxies came back with it.
    proxies: usize,
}

/// A connected proxy.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Proxy {
    /// `node.id`.
    pub id: String,
    /// Its group.
    pub group: String,
    /// Its region; empty when not told.
    pub region: String,
    /// Its Envoy's version; empty when not told.
    pub envoy_version: String,
    /// `live`, `behind`, `rejecting`, `silent`: something has been on its way to it for half a
    /// minute or longer; `unconfirmed`: it polls, and never says what it makes of what it is given;
    /// or `stale`: its replica has told nothing for ten seconds.
    pub state: String,
    /// The replica that it is connected to, where that is another than the one that answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica: Option<String>,
    /// When it connected, in milliseconds since the Unix epoch.
    pub connected_at: Millis,
    /// It is given tenants' changes before the others of its group.
    #[serde(default)]
    pub canary: bool,
    /// How many changes it is still to acknowledge.
    pub lacks: usize,
    /// What it refuses, alone; ten of it at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refuses: Vec<Refused>,
    /// When it last polled, if it does, in milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_at: Option<Millis>,
    /// The newest version that it was given, if it polls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// What a proxy refuses, alone.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Refused {
    /// Whose it is: an instance's id, or `platform/group`.
    pub owner: String,
    /// The protobuf type URL.
    pub type_url: String,
    /// Its name.
    pub name: String,
    /// Its Envoy's words.
    pub message: String,
}

impl Args {
    /// Tells.
    pub fn run(self) -> Result<(), Failure> {
        crate::command::runtime()?.block_on(async {
            let client = self.access.client()?;
            let fleet: Fleet = client.ask(client.request(Method::GET, "/v1/fleet")).await?;
            Ok(self.output.print(&fleet, || text(&fleet, self.all))?)
        })
    }
}

fn text(fleet: &Fleet, all: bool) -> String {
    let mut parts = vec![format!(
        "revision {}, {}, {} quarantined",
        fleet.revision,
        counted(fleet.instances, "instance"),
        fleet.quarantined
    )];
    let row = |cells: [&str; 4]| cells.map(str::to_owned).to_vec();
    let regions = regions(fleet);
    match regions.is_empty() {
        true => parts.push("no proxy is connected".to_owned()),
        false => parts.push(output::table(&regions)),
    }
    let mut told: Vec<&Proxy> =
        fleet.proxies.iter().filter(|proxy| all || proxy.state != "live").collect();
    let more = if all { 0 } else { told.len().saturating_sub(TOLD_MAX) };
    told.truncate(told.len() - more);
    if !told.is_empty() {
        let head =
            ["PROXY", "GROUP", "REGION", "ENVOY", "STATE", "WHY"].map(str::to_owned).to_vec();
        let rows: Vec<_> = std::iter::once(head).chain(told.into_iter().map(line)).collect();
        parts.push(output::table(&rows));
    }
    if more > 0 {
        parts.push(format!("and {more} more; --all tells all"));
    }
    if !fleet.ahead.is_empty() {
        parts.push("proxies have what is ahead of the store:".to_owned());
        let head = row(["AHEAD", "NAME", "VERSION", "NOW"]);
        let rows: Vec<_> = std::iter::once(head).chain(fleet.ahead.iter().map(ahead)).collect();
        parts.push(output::table(&rows));
    }
    if fleet.removals_held > 0 {
        let held = counted(fleet.removals_held, "instance");
        parts.push(format!("{held} gone from the store at once, and still served"));
    }
    if fleet.removals_held > 0 || fleet.ahead.iter().any(|it| it.kept) {
        parts.push(
            "apply again what is to stay; `margrave fleet confirm-removal` lets the rest go"
                .to_owned(),
        );
    }
    parts.join("\n\n")
}

/// How many are in each state and when they were told of last, by region, and in all; nothing without any
/// region.
fn regions(fleet: &Fleet) -> Vec<Vec<String>> {
    let mut regions: BTreeMap<&str, [usize; STATES.len()]> = BTreeMap::new();
    let mut all = [0; STATES.len()];
    for Region { region, .. } in &fleet.regions {
        regions.entry(region).or_default();
    }
    for proxy in &fleet.proxies {
        let Some(at) = STATES.iter().position(|state| *state == proxy.state) else { continue };
        regions.entry(&proxy.region).or_default()[at] += 1;
        all[at] += 1;
    }
    if regions.is_empty() {
        return Vec::new();
    }
    let head = ["REGION"].into_iter().chain(STATES).chain(["HEARD"]);
    let row = |name: &str, counts: &[usize], heard: String| {
        let name = if name.is_empty() { "-" } else { name };
        let counts = counts.iter().map(usize::to_string);
        std::iter::once(name.to_owned()).chain(counts).chain([heard]).collect()
    };
    let mut rows: Vec<Vec<String>> = vec![head.map(str::to_uppercase).collect()];
    rows.extend(regions.iter().map(|(name, counts)| row(name, counts, heard(fleet, name))));
    if regions.len() > 1 {
        rows.push(row("all", &all, String::new()));
    }
    rows
}

/// How long ago a region was told of last.
fn heard(fleet: &Fleet, name: &str) -> String {
    /// A replica that lives tells each second.
    const NOW_MS: Millis = 3_000;
    let of = |name: &str| fleet.regions.iter().find(|it| it.region == name);
    match of(name).or_else(|| of("other")).map(|it| it.staleness_ms) {
        None => String::new(),
        Some(..NOW_MS) => "now".to_owned(),
        Some(ms) => format!("{} s ago", ms / 1_000),
    }
}

fn line(proxy: &Proxy) -> Vec<String> {
    let Proxy { id, group, region, envoy_version, state, .. } = proxy;
    [id, group, region, envoy_version, state, &why(proxy)].map(Clone::clone).to_vec()
}

/// Why a proxy does not have everything, or what else is to be known of it, in a few words.
pub fn why(proxy: &Proxy) -> String {
    let Proxy { refuses, lacks, state, canary, replica, .. } = proxy;
    if let ("stale", Some(replica)) = (state.as_str(), replica) {
        return format!("its replica `{replica}` tells nothing any more");
    }
    match (refuses.first(), lacks, state.as_str()) {
        (Some(Refused { owner, message, .. }), ..) => format!("refuses {owner}: {message}"),
        (None, 0, "live") if *canary => "a canary: is given changes first".to_owned(),
        (None, 0, "live") => String::new(),
        (None, _, "unconfirmed") => match &proxy.version {
            Some(version) => format!("polls, and was given {version}"),
            None => "polls, and was given nothing yet".to_owned(),
        },
        (None, 0, _) => "has not acknowledged its first state".to_owned(),
        (None, lacks, _) => format!("has not acknowledged {}", counted(*lacks, "change")),
    }
}

fn ahead(it: &Ahead) -> Vec<String> {
    let version = it.epoch.zip(it.revision).map(|(epoch, revision)| format!("{epoch}.{revision}"));
    let now = if it.kept { "kept by proxies, unknown here" } else { "as it is here" };
    let version = version.unwrap_or_else(|| "-".to_owned());
    vec![it.kind.clone(), it.name.clone(), version, now.to_owned()]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fleet(proxies: serde_json::Value) -> Fleet {
        let regions = json!([{"region": "ap", "stalenessMs": 90_000}, {"region": "eu", "stalenessMs": 800},
            {"region": "us", "stalenessMs": 12_345}]);
        let whole = json!({"revision": 7, "instances": 3, "quarantined": 1, "regions": regions,
            "proxies": proxies});
        serde_json::from_value(whole).unwrap()
    }

    #[test]
    fn regions_are_counted_and_only_those_that_lack_something_are_told() {
        let proxy = |id: &str, region: &str, state: &str, lacks: usize| {
            json!({
                "id": id, "group": "default", "region": region, "envoyVersion": "1.40.0",
                "state": state, "connectedAt": 0, "lacks": lacks,
            })
        };
        let mut bad = proxy("p4", "us", "rejecting", 0);
        bad["refuses"] =
            json!([{"owner": "shop", "typeUrl": "t", "name": "n", "message": "no such filter"}]);
        let mut polls = proxy("p5", "eu", "unconfirmed", 0);
        polls["version"] = "1.7-00000000000000aa".into();
        let mut stale = proxy("p6", "us", "stale", 0);
        stale["replica"] = json!("a");
        let told = text(
            &fleet(json!([
                proxy("p1", "eu", "live", 0),
                proxy("p2", "eu", "behind", 2),
                proxy("p3", "us", "silent", 0),
                polls,
                bad,
                stale,
            ])),
            false,
        );
        let expected = "\
revision 7, 3 instances, 1 quarantined

REGION  LIVE  BEHIND  REJECTING  SILENT  UNCONFIRMED  STALE  HEARD
ap      0     0       0          0       0            0      90 s ago
eu      1     1       0          0       1            0      now
us      0     0       1          1       0            1      12 s ago
all     1     1       1          1       1            1

PROXY  GROUP    REGION  ENVOY   STATE        WHY
p2     default  eu      1.40.0  behind       has not acknowledged 2 changes
p3     default  us      1.40.0  silent       has not acknowledged its first state
p5     default  eu      1.40.0  unconfirmed  polls, and was given 1.7-00000000000000aa
p4     default  us      1.40.0  rejecting    refuses shop: no such filter
p6     default  us      1.40.0  stale        its replica `a` tells nothing any more";
        assert_eq!(told, expected);
        let nobody = Fleet { regions: Vec::new(), ..fleet(json!([])) };
        assert!(text(&nobody, false).ends_with("no proxy is connected"));
        let mut first = proxy("p1", "eu", "live", 0);
        first["canary"] = json!(true);
        let told = text(&fleet(json!([first])), true);
        assert!(told.ends_with("live   a canary: is given changes first"), "{told}");
    }
}
