//! Bindings through the real binary: what is bound reaches the edge, survives restarts and rotated
//! keys, and its private key is seen nowhere but where it was asked for.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::platform::{Options, Platform, Reply};
use crate::wire;

fn bound(platform: &Platform, binding: &str) -> (String, Value) {
    let mut body = platform.envelope(&json!({"service": "shop"}));
    body.as_object_mut().expect("an object").remove("parameters");
    (format!("/v2/service_instances/a/service_bindings/{binding}"), body)
}

async fn bind(platform: &Platform, binding: &str) -> Reply {
    let (path, body) = bound(platform, binding);
    platform.call("PUT", &path, Some(&body)).await
}

/// A private key in every form in which it could be written down.
struct Canary(Vec<Vec<u8>>);

impl Canary {
    fn of(answer: &Value) -> Self {
        use base64::Engine;
        use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
        let text = answer["credentials"]["private_key"]["d"].as_str().expect("a private key");
        let seed = URL_SAFE_NO_PAD.decode(text).expect("base64url");
        assert_eq!(seed.len(), 32);
        let hex: String = seed.iter().map(|byte| format!("{byte:02x}")).collect();
        // As PKCS#8 has it, in a PEM file.
        let prefix = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
        let pem = STANDARD.encode([&prefix[..], &seed].concat());
        let list = seed.iter().map(u8::to_string).collect::<Vec<_>>();
        Self(vec![
            text.as_bytes().to_vec(),
            STANDARD.encode(&seed).into_bytes(),
            STANDARD_NO_PAD.encode(&seed).into_bytes(),
            pem.into_bytes(),
            hex.to_uppercase().into_bytes(),
            hex.into_bytes(),
            list.join(", ").into_bytes(),
            list.join(",").into_bytes(),
            seed,
        ])
    }

    fn is_in(&self, bytes: &[u8]) -> bool {
        self.0.iter().any(|form| bytes.windows(form.len()).any(|window| window == form))
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("readable").flatten();
    let nested = entries.map(|entry| entry.path()).map(|path| match path.is_dir() {
        true => files(&path),
        false => vec![path],
    });
    nested.flatten().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_key_is_seen_where_it_was_asked_for_and_nowhere_else() {
    let options = Options::default().argument("--log", "trace,h2=info,hyper=info");
    let mut platform = Platform::start_with(options).await;
    let wish = json!({"service": "shop", "hostnames": ["shop.example.com"],
        "auth": {"require": "binding"},
        "routes": [{"name": "all", "match": {"prefix": "/"}, "respond": {"status": 200}}]});
    platform.provision("a", &wish).await;
    let made = bind(&platform, "b").await;
    assert_eq!(made.status, 201, "{made:?}");
    let canary = Canary::of(&made.body);
    assert!(canary.is_in(made.body.to_string().as_bytes()), "the canary can be found");
    let again = bind(&platform, "b").await;
    assert_eq!((again.status, &again.body), (200, &made.body));
    let (path, mut body) = bound(&platform, "b");
    body["parameters"] = json!({"ttl": "1h"});
    let mut seen = vec![platform.call("PUT", &path, Some(&body)).await.body.to_string()];
    for path in [
        "/v1/instances",
        "/v1/instances/a",
        "/v1/instances/a/bindings",
        "/v1/instances/a/operations",
        "/v1/instances/a/resources",
        "/v1/audit",
        "/v1/keys",
        "/v1/fleet",
        "/v2/service_instances/a",
        "/v2/service_instances/a/last_operation",
        "/v2/service_instances/a/service_bindings/b/last_operation",
    ] {
        let shown = platform.call("GET", path, None).await;
        assert_eq!(shown.status, 200, "{path}: {shown:?}");
        seen.push(shown.body.to_string());
    }
    seen.push(platform.metrics().await);
    let admin = platform.endpoints.admin.expect("an Envoy was started");
    for page in ["/config_dump?include_eds", "/clusters", "/listeners", "/stats"] {
        let url = format!("http://{admin}{page}");
        let text = reqwest::get(url).await.expect("answers").text().await.expect("text");
        assert!(text.len() > 10, "{page} is empty");
        seen.push(text);
    }
    let backup = platform.state().join("canary.backup");
    let made_backup = platform.margrave(&["backup", backup.to_str().expect("UTF-8")]).await;
    assert!(made_backup.status.success(), "{made_backup:?}");
    for text in &seen {
        let head: String = text.chars().take(200).collect();
        assert!(!canary.is_in(text.as_bytes()), "it is shown in {head}");
    }
    assert!(platform.log().contains("TRACE"), "the log tells everything");
    assert!(platform.stop().await.success());
    let kept = files(platform.state());
    assert!(kept.iter().any(|path| path.ends_with("margrave.db")), "{kept:?}");
    for path in kept {
        let bytes = std::fs::read(&path).unwrap_or_default();
        assert!(!canary.is_in(&bytes), "it is in {}", path.display());
    }
    platform.restart().await;
    assert_eq!(
        bind(&platform, "b").await.body["credentials"]["private_key"],
        made.body["credentials"]["private_key"],
        "it can be answered again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_outlives_the_keys_that_seal_it_and_not_its_keyring() {
    let mut platform = Platform::start().await;
    let wish = json!({"service": "shop", "hostnames": ["shop.example.com"],
        "routes": [{"name": "all", "match": {"prefix": "/"}, "respond": {"status": 200}}]});
    platform.provision("a", &wish).await;
    let mut made = Vec::new();
    for number in 0..5 {
        let answer = bind(&platform, &format!("b{number}")).await;
        made.push(answer.body["credentials"]["private_key"].clone());
    }
    let before = platform.call("GET", "/v1/keys", None).await.body;
    let after = platform.call("POST", "/v1/keys/rotate", None).await;
    assert_eq!(after.status, 200, "{after:?}");
    assert_eq!(after.body["keys"].as_array().map(Vec::len), Some(1), "the old key is dropped");
    assert_ne!(before, after.body);
    for round in 0..2 {
        for (number, key) in made.iter().enumerate() {
            let answer = bind(&platform, &format!("b{number}")).await;
            let same = &answer.body["credentials"]["private_key"];
            assert_eq!((answer.status, same), (200, key), "round {round}");
        }
        platform.kill().await;
        platform.restart().await;
    }
    let gone = platform.call("DELETE", "/v2/service_instances/a/service_bindings/b0", None).await;
    assert_eq!(gone.status, 400, "{gone:?}");

    assert!(platform.stop().await.success());
    let ring = platform.state().join("keys.json");
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(&ring).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    std::fs::rename(&ring, platform.state().join("elsewhere.json")).expect("moved");
    let state = platform.state().to_str().expect("UTF-8").to_owned();
    let mut dev = vec!["dev", "--state", &state, "--envoy", "none"];
    let ports = ["broker", "console", "metrics", "xds", "public", "internal", "envoy-admin"];
    let ports = ports.map(|port| format!("--listen-{port}=0"));
    dev.extend(ports.iter().map(String::as_str));
    let refused = platform.margrave(&dev).await;
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success(), "{said}");
    assert!(said.contains("keys.json is missing"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn from_the_command_line_a_caller_is_let_in_and_kept_out() {
    let platform = Platform::start().await;
    let descriptor = "service: shop\nhostnames: [shop.example.com]\nauth:\n  require: binding\n\
        routes:\n  - name: all\n    match: {prefix: /}\n    respond: {status: 200, body: hello}\n";
    std::fs::write(platform.state().join("margrave.yaml"), descriptor).expect("written");
    let run = async |arguments: &[&str]| {
        let output = platform.margrave(arguments).await;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    run(&["apply"]).await;
    run(&["bind", "--credential", "key.json", "--name", "checkout", "--ttl", "1h"]).await;
    let token = run(&["call-token", "--credential", "key.json"]).await;
    let internal = platform.endpoints.internal;
    let bearer = format!("Bearer {token}");
    let ask = async || {
        let headers = [("authorization", bearer.as_str())];
        wire::get_with(internal, "shop.example.com", "/", &headers).await.status
    };
    let becomes = async |status: u16| {
        for _ in 0..500 {
            if ask().await == status {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("it is still {} and not {status}", ask().await);
    };
    assert_eq!(wire::get(internal, "shop.example.com", "/").await.status, 401);
    becomes(200).await;
    let listed = run(&["bindings", "-o", "json"]).await;
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(listed[0]["name"], "checkout", "{listed}");
    let again = platform.margrave(&["bind", "--credential", "key.json"]).await;
    assert!(!again.status.success(), "a credential is not overwritten");
    let id = listed[0]["id"].as_str().expect("an id");
    run(&["unbind", id]).await;
    becomes(401).await;

    let named = ["bind", "--id", "ci-1", "-o", "json", "--credential"];
    let first = run(&[&named[..], &["one.json"]].concat()).await;
    let again = run(&[&named[..], &["two.json"]].concat()).await;
    let [first, again] = [first, again].map(|it| serde_json::from_str::<Value>(&it).expect("JSON"));
    assert_eq!((&first["binding"], &first["new"]), (&"ci-1".into(), &true.into()), "{first}");
    assert_eq!((&again["binding"], &again["new"]), (&"ci-1".into(), &false.into()), "{again}");
    let [one, two] = ["one.json", "two.json"].map(|it| std::fs::read(platform.state().join(it)));
    assert_eq!(one.expect("read"), two.expect("read"), "the same credential");
    let other =
        platform.margrave(&["bind", "--id", "ci-1", "--name", "x", "--credential", "-"]).await;
    assert_eq!(other.status.code(), Some(3), "another of that id: {other:?}");
    let changes = "margrave_store_binding_changes_total{change=";
    for (metric, count) in [
        (format!("{changes}\"created\"}}"), 2),
        (format!("{changes}\"deleted\"}}"), 1),
        ("margrave_broker_binds_refused_total{reason=\"other-attributes\"}".to_owned(), 1),
    ] {
        let metrics = platform.metrics().await;
        assert!(metrics.contains(&format!("{metric} {count}\n")), "{metric} {count}: {metrics}");
    }
}
