//! What of a source is secret is in nothing that people can look at. Every view is walked twice: with
//! a source that is secret, and with one that is not, so that it is known which views would show it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use reqwest::redirect::Policy;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::backend::Backend;
use crate::platform::Platform;
use crate::service;
use crate::sources::{Keys, Mood, TELLS, source, start, tells, templates, until};

/// A secret that can be found wherever it is.
const CANARY: &str = "canary\"of-the-Stories";
/// Its half that is the same however it is quoted.
const HALF: &str = "of-the-Stories";
/// Where the renderer does not take it: its complaint quotes it.
const RENDERER_QUOTES: &str = r#"{%- if instance.service == "leak" %} "validate_clusters": {{ platform.sources.partners.key }}, {%- endif %}"#;
/// Where Envoy does not take it: its words quote it.
const ENVOY_QUOTES: &str = r#""request_headers_to_add": [{"header": {"key": "x", "value": {{ ("%" ~ platform.sources.partners.key ~ "%") }} }}],"#;
/// Listeners for which the same holds.
const LISTENERS_QUOTE: &str = r#""freebind": {{ platform.sources.partners.key }},"#;

/// What a request needs for the parameters in its path.
const PARAMETERS: &[(&str, &[&str])] = &[
    ("/v1/fleet/proxies/{id}", &["dev"]),
    ("/v1/hostnames/{hostname}", &["shop.example.com"]),
    ("/v1/instances/{id}", &["shop", "leak", "choke"]),
    ("/v1/operations/{id}", &[]),
    ("/v1/teams/{team}", &["team"]),
    ("/v2/service_instances/{id}", &["shop"]),
    ("/v2/service_instances/{id}/last_operation", &["shop", "leak", "choke"]),
];
/// Those that answer otherwise than with 200, and why.
const OTHERWISE: &[(&str, u16, &str)] = &[
    ("/v1/nodes", 409, "xDS is in clear"),
    ("/v1/instances/leak/bindings", 404, "it was never published"),
    ("/v1/instances/choke/bindings", 404, "it was never published"),
    ("/v1/instances/leak/resources", 422, "it cannot be rendered"),
];

/// What somebody has looked at, and what it said.
struct Seen {
    views: Vec<(String, Vec<u8>)>,
}

impl Seen {
    fn push(&mut self, name: impl Into<String>, said: impl Into<Vec<u8>>) {
        self.views.push((name.into(), said.into()));
    }

    /// The views that show it.
    fn showing(&self) -> BTreeSet<&str> {
        let showing = self.views.iter().filter(|(_, said)| shows(said));
        showing.map(|(name, _)| name.as_str()).collect()
    }
}

fn shows(bytes: &[u8]) -> bool {
    bytes.windows(HALF.len()).any(|window| window == HALF.as_bytes())
}

/// A platform whose services have the secret, where it is good and where it is not.
struct World {
    platform: Platform,
    keys: Keys,
    folder: TempDir,
    backend: Backend,
}

impl World {
    async fn new(secrets: &str) -> Self {
        let (keys, folder) = (Keys::start(CANARY).await, tempfile::tempdir().expect("a folder"));
        let choke = format!("{{%- if instance.service == \"choke\" %}}{ENVOY_QUOTES}{{% endif %}}");
        let routes = [TELLS, RENDERER_QUOTES, &choke].join("\n");
        let platform = start(&keys, folder.path(), &routes, secrets).await;
        let backend = Backend::start("one").await;
        let world = Self { platform, keys, folder, backend };
        let platform = &world.platform;
        platform.provision("shop", &world.service("shop")).await;
        tells(platform, "shop.example.com", CANARY).await;
        assert_eq!(platform.bind("shop", "caller", &json!({})).await.status, 201);
        for name in ["leak", "choke"] {
            let refused = platform.put(name, &world.service(name)).await;
            assert_eq!(refused.status, 202, "{refused:?}");
            let ended = platform.end(name).await;
            assert!(!ended.succeeded(), "{name}: {ended:?}");
        }
        // Templates that Envoy refuses of everybody are given, and taken back.
        let wish = json!({"templates": templates(ENVOY_QUOTES)});
        let begun = platform.call("POST", "/v1/rollouts", Some(&wish)).await;
        assert!([200, 422].contains(&begun.status), "{begun:?}");
        let over = || async {
            let status = platform.call("GET", "/v1/rollouts/status", None).await.body;
            status["rollout"]["endedAt"].is_i64() && status["rollout"]["state"] != "done"
        };
        until("it is taken back", platform, over).await;
        world
    }

    fn service(&self, name: &str) -> Value {
        service(name, &self.backend.url(), "internal")
    }

    /// Everything that anybody can look at.
    async fn walk(&self) -> Seen {
        let mut seen = Seen { views: Vec::new() };
        self.walk_api(&mut seen).await;
        self.walk_wishes(&mut seen).await;
        self.walk_console(&mut seen).await;
        self.walk_commands(&mut seen).await;
        seen.push("statuses of proxies", statuses(self.platform.endpoints.xds).await);
        for path in ["metrics", "healthz", "readyz"] {
            let url = format!("{}/{path}", self.platform.endpoints.metrics);
            let told = reqwest::get(url).await.expect("answers").bytes().await.expect("a body");
            seen.push(path, told);
        }
        seen.push("log", self.platform.log());
        seen
    }

    /// Each path that is read, as the platform itself tells which there are.
    async fn walk_api(&self, seen: &mut Seen) {
        let told = self.platform.call("GET", "/v1/openapi.json", None).await.body;
        let all = told["paths"].as_object().expect("paths");
        let read = all.iter().filter(|(_, methods)| methods["get"].is_object());
        let mut paths: Vec<String> = Vec::new();
        for (path, _) in read {
            paths.extend(self.filled(path).await);
        }
        assert!(paths.len() > 40, "{paths:?}");
        let mut wrong = Vec::new();
        for path in paths {
            let (status, said) = self.get(&path).await;
            let otherwise = OTHERWISE.iter().find(|(it, ..)| *it == path);
            if status != otherwise.map_or(200, |(_, status, _)| *status) {
                wrong.push((path.clone(), status, String::from_utf8_lossy(&said).into_owned()));
            }
            seen.push(path, said);
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    /// A path with everything that its parameters can be.
    async fn filled(&self, path: &str) -> Vec<String> {
        if !path.contains('{') {
            return vec![path.to_owned()];
        }
        let with = |value: &str| {
            let (head, rest) = path.split_once('{').expect("a parameter");
            let (_, rest) = rest.split_once('}').expect("its end");
            format!("{head}{value}{}", rest.replace("{binding}", "caller"))
        };
        let mut known: Vec<_> =
            PARAMETERS.iter().filter(|(start, _)| path.starts_with(start)).collect();
        known.sort_by_key(|(start, _)| start.len());
        let (_, values) = known.last().unwrap_or_else(|| panic!("what is in {path}?"));
        if !values.is_empty() {
            return values.iter().map(|value| with(value)).collect();
        }
        let listed = self.platform.call("GET", "/v1/operations", None).await.body;
        let listed = listed["operations"].as_array().expect("operations").clone();
        listed.iter().map(|it| with(it["id"].as_str().expect("an id"))).collect()
    }

    async fn get(&self, path: &str) -> (u16, Vec<u8>) {
        let request = reqwest::Client::new()
            .get(format!("{}{path}", self.platform.endpoints.broker))
            .header("authorization", Platform::authorization())
            .header("x-broker-api-version", "2.17");
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), answer.bytes().await.expect("a body").to_vec())
    }

    /// What is asked for with a body, and changes nothing.
    async fn walk_wishes(&self, seen: &mut Seen) {
        let mut listeners = templates("");
        let text = listeners.get_mut("listeners.json.j2").expect("a template");
        let place = "\"per_connection_buffer_limit_bytes\"";
        assert!(text.contains(place), "find another place");
        *text = text.replace(place, &format!("{LISTENERS_QUOTE} {place}"));
        let wish = |name: &str| {
            let (plan, mut parameters) = ("internal", self.service(name));
            parameters.as_object_mut().expect("an object").remove("visibility");
            json!({"team": "team", "organization": "stories", "plan": plan, "parameters": parameters})
        };
        let other = TELLS.replace("{{ platform", "{{ \"other \" ~ platform");
        for (name, path, body, status) in [
            ("render", "/v1/render", wish("other"), 200),
            ("render leak", "/v1/render", wish("leak"), 422),
            ("validate", "/v1/validate", wish("other"), 200),
            ("plan", "/v1/plan", wish("other"), 200),
            (
                "plan of a roll-out",
                "/v1/rollouts/plan",
                json!({"templates": templates(&other)}),
                200,
            ),
            ("plan that fails", "/v1/rollouts/plan", json!({"templates": listeners}), 422),
        ] {
            let said = self.platform.call("POST", path, Some(&body)).await;
            assert_eq!(said.status, status, "{name}: {said:?}");
            seen.push(name, said.body.to_string());
        }
    }

    async fn walk_console(&self, seen: &mut Seen) {
        let code = self.platform.call("POST", "/v1/dashboard-codes", None).await.body;
        let endpoints = std::fs::read(self.platform.state().join("endpoints.json")).expect("told");
        let endpoints: Value = serde_json::from_slice(&endpoints).expect("JSON");
        let console = endpoints["console"].as_str().expect("a URL").trim_end_matches('/');
        let client = reqwest::Client::builder().redirect(Policy::none()).build().expect("a client");
        let enter = format!("{console}/enter?code={}&to=/", code["code"].as_str().expect("a code"));
        let entered = client.get(enter).send().await.expect("answers");
        let cookie = entered.headers()["set-cookie"].to_str().expect("a cookie").to_owned();
        let cookie = cookie.split(';').next().expect("a cookie").to_owned();
        for path in ["/", "/instances/shop", "/instances/leak", "/instances/choke"] {
            let page = client.get(format!("{console}{path}")).header("cookie", &cookie);
            let page = page.send().await.expect("answers");
            assert_eq!(page.status(), 200, "{path}");
            seen.push(format!("page {path}"), page.bytes().await.expect("a page"));
        }
    }

    async fn walk_commands(&self, seen: &mut Seen) {
        let file = |name: &str| {
            let path = self.folder.path().join(format!("{name}.json"));
            std::fs::write(&path, self.service(name).to_string()).expect("written");
            path.to_str().expect("UTF-8").to_owned()
        };
        let (other, leak) = (file("other"), file("leak"));
        for command in [
            &["render", "-f", &other][..],
            &["render", "-f", &leak],
            &["plan", "--resources", "-f", &other],
            &["plan", "--resources", "-o", "json", "-f", &other],
            &["validate", "-f", &other],
            &["sources"],
            &["fleet", "status", "--all"],
            &["rollout", "status"],
            &["rollout", "list"],
            &["operations"],
            &["operations", "-o", "json"],
        ] {
            let said = self.platform.margrave(command).await;
            let text = [said.stdout, said.stderr].concat();
            assert!(!text.is_empty(), "{command:?} says nothing");
            let words = String::from_utf8_lossy(&text);
            assert!(!words.contains("Usage: "), "{command:?}: {words}");
            let words = command.iter().map(|word| word.rsplit('/').next().unwrap_or(word));
            seen.push(words.collect::<Vec<_>>().join(" "), text);
        }
    }

    /// What lies on the disk in the end; from the start on again, it is as it was.
    async fn stop(&mut self) -> Seen {
        self.keys.becomes(Mood::Hangs);
        assert!(self.platform.stop().await.success());
        let mut seen = Seen { views: Vec::new() };
        for path in files(self.platform.state()) {
            let name = path.strip_prefix(self.platform.state()).expect("within").display();
            seen.push(name.to_string(), std::fs::read(&path).unwrap_or_default());
        }
        seen
    }
}

/// How proxies stand, as the discovery server tells others.
async fn statuses(xds: std::net::SocketAddr) -> Vec<u8> {
    let stream = TcpStream::connect(xds).await.expect("connects");
    let (client, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
    let connection = tokio::spawn(connection);
    let service = "envoy.service.status.v3.ClientStatusDiscoveryService";
    let request = http::Request::post(format!("http://{xds}/{service}/FetchClientStatus"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    let request = request.body(()).expect("a request");
    let mut client = client.ready().await.expect("ready");
    let (answer, mut body) = client.send_request(request, false).expect("sent");
    // One message of no bytes.
    body.send_data(bytes::Bytes::from_static(&[0; 5]), true).expect("sent");
    let mut answer = answer.await.expect("an answer").into_body();
    let mut told = Vec::new();
    while let Some(chunk) = answer.data().await {
        told.extend_from_slice(&chunk.expect("a chunk"));
    }
    connection.abort();
    let has = |name: &str| told.windows(name.len()).any(|window| window == name.as_bytes());
    assert!(has("internal/shop.example.com"), "no proxy is told of");
    told
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("readable").flatten();
    let nested = entries.map(|entry| entry.path()).map(|path| match path.is_dir() {
        true => files(&path),
        false => vec![path],
    });
    nested.flatten().collect()
}

/// Views that would show it, if it were not secret.
const SHOWING: &[&str] = &[
    "/v1/audit",
    "/v1/instances",
    "/v1/instances/choke",
    "/v1/instances/leak",
    "/v1/instances/leak/operations",
    "/v1/instances/leak/resources",
    "/v1/instances/shop/resources",
    "/v1/operations",
    "/v1/rollouts",
    "/v1/rollouts/status",
    "/v2/service_instances/choke/last_operation",
    "/v2/service_instances/leak/last_operation",
    "operations -o json",
    "log",
    "page /instances/choke",
    "page /instances/leak",
    "plan --resources -o json -f other.json",
    "plan of a roll-out",
    "plan that fails",
    "render",
    "render -f leak.json",
    "render -f other.json",
    "render leak",
    "rollout list",
    "rollout status",
];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_secret_is_shown_wherever_it_is() {
    let mut world = World::new("").await;
    let seen = world.walk().await;
    let showing = seen.showing();
    let missing: Vec<_> = SHOWING.iter().filter(|name| !showing.contains(**name)).collect();
    assert!(missing.is_empty(), "not in {missing:?}, but in {showing:?}");
    assert!(world.stop().await.showing().contains("margrave.db"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_secret_reaches_clients_and_no_view() {
    let mut world = World::new("secret_paths = ['/key']").await;
    let seen = world.walk().await;
    assert_eq!(seen.showing(), BTreeSet::new());
    for (name, said) in seen.views.iter().filter(|(name, _)| SHOWING.contains(&name.as_str())) {
        let said = String::from_utf8_lossy(said);
        assert!(said.contains("[redacted]"), "{name}: {said}");
    }
    let told = source(&world.platform).await;
    assert_eq!((&told["isSecret"], &told["digest"]), (&json!(true), &Value::Null));
    assert_eq!(told["etag"], Value::Null, "many are digests");

    // Sealed with another key it is the same.
    let platform = &mut world.platform;
    let rotated = platform.call("POST", "/v1/keys/rotate", None).await;
    assert_eq!(rotated.status, 200, "{rotated:?}");
    let backup = platform.state().join("canary.backup");
    let made = platform.margrave(&["backup", backup.to_str().expect("UTF-8")]).await;
    assert!(made.status.success(), "{made:?}");
    let kept = world.stop().await;
    assert!(kept.views.iter().any(|(name, _)| name == "canary.backup"));
    assert_eq!(kept.showing(), BTreeSet::new());
    world.platform.restart().await;
    tells(&world.platform, "shop.example.com", CANARY).await;
    assert_eq!(world.walk().await.showing(), BTreeSet::new());
}
