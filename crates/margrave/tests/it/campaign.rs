//! Nothing accepted is lost: kill -9 of the real binary at random moments, while clients provision,
//! update, delete, bind and unbind. Every accepted operation ends, nothing is half-made, nothing
//! happens twice, and the audit log is whole and tells of each operation and binding once.

mod bonds;

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};

use bonds::Bonds;

use crate::platform::{Options, Platform, Reply};
use crate::service;

/// How often the binary is killed in `make test`, and in `make soak-kill`.
const KILLS: usize = 20;
const KILLS_SOAK: usize = 1_000;
/// Clients at a time, and the instances that each has for itself.
const CLIENTS: usize = 4;
const INSTANCES: usize = 3;
/// Rounds between two comparisons of everything.
const COMPARED_EVERY: usize = 5;
/// The longest that clients go on before a kill.
const LOAD_MICROS: u64 = 120_000;

/// A generator of numbers that look random and can be repeated.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// What an instance shall be: `None` is gone.
type Wish = Option<Value>;

/// A user of a few instances, and what each may be by what was promised: more than one thing where
/// a request got no answer.
struct Client {
    dice: Dice,
    beliefs: BTreeMap<String, Vec<Wish>>,
    bonds: Bonds,
    accepted: usize,
}

impl Client {
    fn new(number: usize, seed: u64) -> Self {
        let ids = (0..INSTANCES).map(|n| (format!("i{number}{n}"), vec![None]));
        let dice = Dice(seed.wrapping_add(number as u64 * 7_919));
        Self { dice, beliefs: ids.collect(), bonds: Bonds::new(number), accepted: 0 }
    }

    /// Asks for one thing after another until nobody answers.
    async fn load(&mut self, platform: &Platform) {
        while self.ask(platform).await {}
    }

    /// Whether there was an answer.
    async fn ask(&mut self, platform: &Platform) -> bool {
        let at = self.dice.roll(INSTANCES as u64);
        let id =
            self.beliefs.keys().nth(usize::try_from(at).expect("few")).expect("is there").clone();
        if self.is_there(&id) && self.dice.roll(2) == 0 {
            return self.bonds.ask(platform, &id, &mut self.dice).await;
        }
        let [now] = &self.beliefs[&id][..] else {
            // Not known before the next comparison.
            return self.look(platform, &id).await;
        };
        let (method, wish) = match now {
            None => ("PUT", Some(self.wish(&id))),
            Some(_) if self.dice.roll(3) == 0 => ("DELETE", None),
            Some(_) => ("PATCH", Some(self.wish(&id))),
        };
        let reply = send(platform, method, &id, wish.as_ref()).await;
        let beliefs = self.beliefs.get_mut(&id).expect("is there");
        match reply {
            None => beliefs.push(wish),
            Some(reply) if matches!(reply.status, 200 | 202) => {
                self.accepted += usize::from(reply.status == 202);
                *beliefs = vec![wish];
                if method == "DELETE" {
                    self.bonds.end_with(&id);
                }
            }
            // Busy with what went before, or gone already.
            Some(reply) => assert!(matches!(reply.status, 409 | 410 | 422), "{id}: {reply:?}"),
        }
        beliefs.len() == 1
    }

    /// Whether an instance is there, whichever of its wishes holds.
    fn is_there(&self, id: &str) -> bool {
        self.beliefs[id].iter().all(Option::is_some)
    }

    async fn look(&mut self, platform: &Platform, id: &str) -> bool {
        let path = format!("/v2/service_instances/{id}/last_operation");
        platform.try_call("GET", &path, None).await.is_ok()
    }

    fn wish(&mut self, id: &str) -> Value {
        let visibility = if self.dice.roll(2) == 0 { "public" } else { "internal" };
        let port = 20_000 + self.dice.roll(9_000);
        let mut wish = service(id, &format!("http://127.0.0.1:{port}"), visibility);
        let other = format!("{id}-{}.example.com", self.dice.roll(3));
        wish["hostnames"] = match self.dice.roll(2) {
            0 => json!([format!("{id}.example.com"), other]),
            _ => json!([format!("{id}.example.com")]),
        };
        wish
    }

    /// Awaits the end of everything, and compares it with what was promised.
    async fn compare(&mut self, platform: &Platform) {
        for (id, beliefs) in &mut self.beliefs {
            if *beliefs == [None] && fetch(platform, id).await.status == 404 {
                continue;
            }
            if last(platform, id).await != 404 {
                let ended = platform.end(id).await;
                assert!(ended.succeeded(), "{id} {beliefs:?}: {ended:?}\n{}", platform.log());
            }
            let fetched = fetch(platform, id).await;
            let found = beliefs.iter().rposition(|wish| is(platform, &fetched, wish.as_ref()));
            let found = found.unwrap_or_else(|| panic!("{id} is {fetched:?}, of {beliefs:?}"));
            *beliefs = vec![beliefs[found].clone()];
            if *beliefs == [None] {
                self.bonds.end_with(id);
            }
        }
        let there: Vec<_> = self.beliefs.keys().filter(|id| self.is_there(id)).cloned().collect();
        self.bonds.compare(platform, &there).await;
    }

    fn hostnames(&self) -> impl Iterator<Item = String> {
        let wishes = self.beliefs.values().flatten().flatten();
        let names = wishes.flat_map(|wish| wish["hostnames"].as_array().into_iter().flatten());
        names.filter_map(|name| name.as_str().map(str::to_owned))
    }
}

async fn send(platform: &Platform, method: &str, id: &str, wish: Option<&Value>) -> Option<Reply> {
    let known = platform.envelope(wish.unwrap_or(&json!({})));
    let text = |key: &str| known[key].as_str().unwrap_or_default().to_owned();
    let ids = match wish {
        None => format!("&service_id={}&plan_id={}", text("service_id"), text("plan_id")),
        Some(_) => String::new(),
    };
    let path = format!("/v2/service_instances/{id}?accepts_incomplete=true{ids}");
    platform.try_call(method, &path, wish.map(|_| &known)).await.ok()
}

async fn fetch(platform: &Platform, id: &str) -> Reply {
    platform.call("GET", &format!("/v2/service_instances/{id}"), None).await
}

async fn last(platform: &Platform, id: &str) -> u16 {
    platform.last_operation(id).await.status
}

/// Whether that is what was wished.
fn is(platform: &Platform, fetched: &Reply, wish: Option<&Value>) -> bool {
    let Some(wish) = wish else { return matches!(fetched.status, 404 | 410) };
    let (wanted, body) = (platform.envelope(wish), &fetched.body);
    let upstream = body["parameters"]["upstream"].to_string();
    let port = wanted["parameters"]["upstream"].as_str().and_then(|it| it.rsplit(':').next());
    fetched.status == 200
        && body["plan_id"] == wanted["plan_id"]
        && sorted(&body["parameters"]["hostnames"]) == sorted(&wanted["parameters"]["hostnames"])
        && port.is_some_and(|port| upstream.contains(port))
}

fn sorted(names: &Value) -> Vec<String> {
    let names = names.as_array().into_iter().flatten();
    let mut names: Vec<_> = names.filter_map(|name| name.as_str().map(str::to_owned)).collect();
    names.sort();
    names
}

/// The records are exactly those of what is wished.
async fn nothing_is_left_over(platform: &Platform, clients: &[Client]) {
    let mut wanted: Vec<_> = clients.iter().flat_map(Client::hostnames).collect();
    let listed = platform.call("GET", "/v1/records", None).await;
    let records = listed.body["records"].as_array().unwrap_or_else(|| panic!("{listed:?}"));
    let name = |record: &Value| record["hostname"].as_str().map(str::to_owned);
    let mut records: Vec<_> = records.iter().filter_map(name).collect();
    wanted.sort();
    records.sort();
    assert_eq!(records, wanted, "the DNS records are not those that are wanted");
}

/// The entries of the audit log, whose chain holds.
async fn the_audit_log(platform: &Platform) -> Vec<Value> {
    let verified = platform.margrave(&["audit", "verify"]).await;
    assert!(verified.status.success(), "{verified:?}");
    let exported = platform.margrave(&["audit", "export"]).await;
    assert!(exported.status.success(), "{exported:?}");
    let exported = String::from_utf8_lossy(&exported.stdout);
    let entry = |line: &str| serde_json::from_str::<Value>(line).expect("JSON")["entry"].take();
    exported.lines().map(entry).collect()
}

/// Every operation was accepted once and has ended once.
fn the_audit_log_tells(entries: &[Value], accepted: usize) {
    let (mut begun, mut ended): (BTreeMap<_, usize>, BTreeMap<_, usize>) = Default::default();
    for entry in entries {
        let action = entry["action"].as_str().unwrap_or_default();
        let operation = entry["detail"]["operation"].as_str().unwrap_or_default().to_owned();
        match action {
            "instance.provision" | "instance.update" | "instance.deprovision" => {
                *begun.entry(operation).or_default() += 1;
            }
            "operation.succeeded" | "operation.failed" => *ended.entry(operation).or_default() += 1,
            _ => {}
        }
    }
    assert!(begun.len() >= accepted, "{accepted} accepted, {} told", begun.len());
    assert_eq!(begun, ended, "each has ended once");
    assert!(begun.values().all(|times| *times == 1), "{begun:?}");
}

/// How many operations were accepted and binds answered, none of them lost, stuck or with an effect
/// twice.
async fn campaign(kills: usize, seed: u64) -> [usize; 2] {
    // Envoy would only make each start slower: what is promised here ends at the published state.
    let options = Options::default().argument("--envoy", "none");
    let mut platform = Platform::start_with(options).await;
    let mut clients: Vec<_> = (0..CLIENTS).map(|number| Client::new(number, seed)).collect();
    let mut dice = Dice(seed);
    for round in 1..=kills {
        let load = join_all(clients.iter_mut().map(|client| client.load(&platform)));
        let kill = async {
            tokio::time::sleep(Duration::from_micros(dice.roll(LOAD_MICROS))).await;
            platform.strike().await;
        };
        tokio::join!(load, kill);
        platform.kill().await;
        platform.restart().await;
        if round % COMPARED_EVERY == 0 || round == kills {
            join_all(clients.iter_mut().map(|client| client.compare(&platform))).await;
            nothing_is_left_over(&platform, &clients).await;
        }
    }
    let accepted = clients.iter().map(|client| client.accepted).sum();
    let bound = clients.iter().map(|client| client.bonds.answered()).sum();
    let log = the_audit_log(&platform).await;
    the_audit_log_tells(&log, accepted);
    bonds::the_audit_log_tells(&log, clients.iter().map(|client| &client.bonds));
    assert!(accepted >= kills && bound >= kills, "hardly any load: {accepted} and {bound}");
    [accepted, bound]
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_under_load_it_keeps_every_promise() {
    campaign(KILLS, 20_261_121).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the long form, run by make soak-kill"]
async fn soak_killed_a_thousand_times_under_load_it_keeps_every_promise() {
    let kills = std::env::var("MARGRAVE_KILLS").ok().and_then(|kills| kills.parse().ok());
    let kills = kills.unwrap_or(KILLS_SOAK);
    let [accepted, bound] = campaign(kills, 42).await;
    println!(
        "{kills} kills, {accepted} operations accepted and {bound} bindings, none lost, stuck or twice"
    );
}
