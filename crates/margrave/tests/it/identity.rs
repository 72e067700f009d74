//! People, CI and platforms through the real binary: what a credential opens, what it does not, when
//! it ends, and that its secret is seen nowhere but where it was asked for.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::platform::{Options, Platform, Reply};

/// What a command printed, and how it ended.
#[derive(Debug)]
struct Said {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Said {
    async fn by(mut command: Command) -> Self {
        let output = command.output().await.expect("margrave runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        let code = output.status.code().expect("an exit code");
        Self { code, stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{self:?}");
        serde_json::from_str(&self.stdout).expect("JSON")
    }
}

/// A command of the operators.
async fn operator(platform: &Platform, line: &str) -> Said {
    let words: Vec<&str> = line.split_whitespace().collect();
    let output = platform.margrave(&words).await;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    let code = output.status.code().expect("an exit code");
    Said { code, stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

/// A command of whoever holds this token.
async fn with(platform: &Platform, token: &str, line: &str) -> Said {
    let words: Vec<&str> = line.split_whitespace().collect();
    let mut command = platform.stranger(&words);
    command.env("MARGRAVE_TOKEN", token);
    Said::by(command).await
}

async fn token(platform: &Platform, rest: &str) -> String {
    let made = operator(platform, &format!("token create {rest}")).await;
    assert_eq!(made.code, 0, "{made:?}");
    assert!(made.stdout.starts_with("mgt_") && !made.stderr.contains("mgt_"), "{made:?}");
    made.stdout
}

/// A descriptor in a file of its own.
fn descriptor(platform: &Platform, service: &str) -> PathBuf {
    let path = platform.state().join(format!("{service}.yaml"));
    let text = format!(
        "service: {service}\nhostnames: [{service}.example.com]\nroutes:\n  - name: all\n    \
         match: {{prefix: /}}\n    respond: {{status: 200}}\n"
    );
    std::fs::write(&path, text).expect("written");
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_what_is_its_teams_and_nothing_else() {
    let platform = Platform::start().await;
    let (a, b) =
        (token(&platform, "--team a --name a-ci").await, token(&platform, "--team b").await);
    let both = token(&platform, "--team a --team b").await;
    descriptor(&platform, "shop");

    let who = with(&platform, &a, "whoami -o json").await.json();
    assert_eq!((&who["credential"], &who["role"]), (&json!("a-ci"), &json!("member")));
    // The team is that of the token: nobody names it.
    let applied = with(&platform, &a, "apply -f shop.yaml -o json").await.json();
    assert_eq!(applied["instance"]["space"], "a", "{applied}");
    let id = applied["instance"]["id"].as_str().expect("an id").to_owned();
    assert_eq!(with(&platform, &a, "status shop -o json").await.json()["state"], "ready");

    for line in [
        "status shop",
        "status shop --team a",
        "history shop --team a",
        "delete shop --yes --team a",
    ] {
        let refused = with(&platform, &b, line).await;
        assert_eq!(refused.code, 3, "{line}: {refused:?}");
        assert!(refused.stderr.contains("there is no service `shop`"), "{line}: {refused:?}");
    }
    assert_eq!(with(&platform, &b, "list -o json").await.json(), json!([]));
    let by_id = with(&platform, &b, &format!("audit list --instance {id} -o json")).await.json();
    assert_eq!(by_id, json!([]), "another team's history is not there");
    let into = with(&platform, &b, "apply -f shop.yaml --team a").await;
    assert_eq!(into.code, 3, "{into:?}");
    for piece in ["the team `a` is not among yours (`b`)", "the token of MARGRAVE_TOKEN", "whoami"]
    {
        assert!(into.stderr.contains(piece), "{piece}: {into:?}");
    }
    let more = with(&platform, &a, "token create --team a").await;
    assert_eq!(more.code, 3, "a token makes no tokens: {more:?}");
    let of_a = with(&platform, &a, "token list -o json").await.json();
    assert_eq!(of_a.as_array().map(Vec::len), Some(1), "{of_a}");
    let fleet = with(&platform, &a, "fleet status").await;
    assert!(fleet.code == 3 && fleet.stderr.contains("for the operators"), "{fleet:?}");
    let which = with(&platform, &both, "status shop").await;
    assert!(which.code == 64 && which.stderr.contains("which team? You are of a, b"), "{which:?}");
    assert_eq!(with(&platform, &both, "status shop --team a").await.code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_ends_when_it_expires_and_when_it_is_revoked() {
    let platform = Platform::start_with(Options::default().argument("--envoy", "none")).await;
    let brief = token(&platform, "--team shop --name brief --ttl 2s").await;
    let lasting = token(&platform, "--team shop --name lasting --ttl 1h").await;
    assert_eq!(with(&platform, &lasting, "whoami").await.code, 0);
    let revoked = operator(&platform, "token revoke lasting").await;
    assert_eq!(revoked.stdout, "the token `lasting` opens nothing any more", "{revoked:?}");
    let again = operator(&platform, "token revoke lasting").await;
    assert!(again.code == 3 && again.stderr.contains("no token `lasting`"), "{again:?}");

    let ended = async |token: &str| {
        for _ in 0..200 {
            let said = with(&platform, token, "list").await;
            if said.code != 0 {
                return said;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("it does not end");
    };
    for secret in [&brief, &lasting] {
        let refused = ended(secret).await;
        assert_eq!(refused.code, 3, "{refused:?}");
        let help = ["the token of MARGRAVE_TOKEN", "expired or been revoked", "help: set it to"];
        for piece in help {
            assert!(refused.stderr.contains(piece), "{piece}: {refused:?}");
        }
        assert!(!refused.stderr.contains(secret.as_str()), "{refused:?}");
    }
    let alive = operator(&platform, "token list -o json").await.json();
    assert_eq!(alive, json!([]));
    let all = operator(&platform, "token list --ended -o json").await.json();
    let states: Vec<_> = all.as_array().expect("a list").iter().map(|it| &it["state"]).collect();
    assert_eq!(states, ["expired", "revoked"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_kept_for_one_broker_until_it_is_forgotten() {
    let platform = Platform::start_with(Options::default().argument("--envoy", "none")).await;
    let (a, b) =
        (token(&platform, "--team a --name a").await, token(&platform, "--team b --name b").await);
    let keep = async |secret: &str, rest: &[&str]| {
        let mut command = platform.stranger(&[&["token", "keep"], rest].concat());
        let input = platform.state().join("input");
        std::fs::write(&input, format!("{secret}\n")).expect("written");
        command.stdin(std::fs::File::open(input).expect("readable"));
        Said::by(command).await
    };
    let nobody = Said::by(platform.stranger(&["list"])).await;
    assert!(nobody.code == 1 && nobody.stderr.contains("set MARGRAVE_TOKEN"), "{nobody:?}");
    let wrong = keep("mgt_nonsense", &[]).await;
    assert!(wrong.code == 3 && wrong.stderr.contains("nothing was kept"), "{wrong:?}");
    let other = keep(&a, &["--team", "b"]).await;
    assert!(other.code == 3 && other.stderr.contains("is of a, and not of b"), "{other:?}");
    let kept = keep(&a, &["--team", "a"]).await;
    assert!(kept.code == 0 && !kept.stdout.contains(&a), "{kept:?}");

    let who = async |variable: &str, secret: &str| {
        let mut command = platform.stranger(&["whoami", "-o", "json"]);
        command.env(variable, secret);
        Said::by(command).await.json()["credential"].clone()
    };
    assert_eq!(who("NOTHING", "").await, "a");
    assert_eq!(who("MARGRAVE_TOKEN", &b).await, "b", "the nearest counts");
    assert_eq!(who("MARGRAVE_TOKEN", "").await, "a", "what is empty is not there");
    assert_eq!(operator(&platform, "whoami -o json").await.json()["role"], "operator");

    let file = platform.state().join("settings/margrave/credentials.json");
    let open = |mode| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).expect("set");
    };
    open(0o644);
    let refused = Said::by(platform.stranger(&["list"])).await;
    assert!(refused.code == 1 && refused.stderr.contains("chmod 600"), "{refused:?}");
    open(0o600);
    operator(&platform, "token revoke a").await;
    let refused = Said::by(platform.stranger(&["list"])).await;
    assert!(refused.stderr.contains("margrave logout"), "{refused:?}");
    assert_eq!(Said::by(platform.stranger(&["logout"])).await.code, 0);
    let nobody = Said::by(platform.stranger(&["list"])).await;
    assert_eq!(nobody.code, 1, "{nobody:?}");
    let text = std::fs::read_to_string(&file).expect("it is there");
    assert!(!text.contains("mgt_"), "it is not forgotten");
}

/// A request as an OSB platform sends it.
async fn osb(platform: &Platform, secret: &str, id: &str, user: &str) -> Reply {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    let user = STANDARD.encode(json!({"user_id": user}).to_string());
    let headers = [("x-broker-api-originating-identity", format!("cloudfoundry {user}"))];
    let wish = json!({"service": id, "hostnames": [format!("{id}.example.com")],
        "routes": [{"name": "all", "match": {"prefix": "/"}, "respond": {"status": 200}}]});
    let path = format!("/v2/service_instances/{id}?accepts_incomplete=true");
    platform.call_as(secret, &headers, "PUT", &path, Some(&platform.envelope(&wish))).await
}

fn basic(name: &str, password: &str) -> String {
    use base64::Engine;
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}"));
    format!("Basic {pair}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_is_believed_and_rotated_without_an_interruption() {
    let platform = Platform::start_with(Options::default().argument("--envoy", "none")).await;
    let first = operator(&platform, "platform create cf").await.stdout;
    let tokens = token(&platform, "--operator --name ops").await;
    assert!(first.starts_with("mgp_"), "{first}");
    let cf = basic("cf", &first);
    for (secret, id, user) in [
        (cf.clone(), "one", Some("ann")),
        (format!("Bearer {tokens}"), "two", None),
        (Platform::authorization(), "three", None),
    ] {
        let made = osb(&platform, &secret, id, "ann").await;
        assert_eq!(made.status, 202, "{made:?}");
        let log = operator(&platform, &format!("audit list --instance {id} -o json")).await.json();
        let asked = |it: &&Value| it["entry"]["action"] == "instance.provision";
        let asked = log.as_array().expect("a list").iter().find(asked).expect("it is told");
        let believed = asked["entry"]["by"]["originating_identity"].as_str();
        assert_eq!(believed.is_some(), user.is_some(), "{id}: {asked}");
        assert!(believed.is_none_or(|it| it.starts_with("cloudfoundry ")), "{asked}");
    }

    let enters = async |password: &str| {
        let authorization = basic("cf", password);
        platform.call_as(&authorization, &[], "GET", "/v1/whoami", None).await.status
    };
    let second = operator(&platform, "platform rotate cf --overlap 1h").await;
    assert!(second.stderr.contains("the password before is good until"), "{second:?}");
    let second = second.stdout;
    assert_eq!((enters(&first).await, enters(&second).await), (200, 200), "both are good");
    let third = operator(&platform, "platform rotate cf --overlap 0s").await.stdout;
    let found = (enters(&first).await, enters(&second).await, enters(&third).await);
    assert_eq!(found, (401, 401, 200), "never more than two");
    let listed = operator(&platform, "platform list -o json").await.json();
    assert_eq!((&listed[0]["name"], &listed[0]["role"]), (&json!("cf"), &json!("platform")));
    let as_token = with(&platform, &third, "list").await;
    assert_eq!(as_token.code, 3, "a platform's password is no token: {as_token:?}");
    let out = operator(&platform, "platform delete cf").await;
    assert!(out.stdout.contains("`cf` is shut out"), "{out:?}");
    assert_eq!(enters(&third).await, 401);
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("readable").flatten();
    let nested = entries.map(|entry| entry.path()).map(|path| match path.is_dir() {
        true => files(&path),
        false => vec![path],
    });
    nested.flatten().collect()
}

/// Where a secret was asked for is looked at first: a canary that cannot be found proves nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_told_once_and_kept_nowhere() {
    let options = Options::default().argument("--log", "trace,h2=info,hyper=info");
    let mut platform = Platform::start_with(options).await;
    let elsewhere = tempfile::tempdir().expect("a folder");
    let place = |name: &str| elsewhere.path().join(name);
    let mut seen = String::new();
    let mut tell = async |line: &str, file: &str| {
        let file = place(file);
        let line = format!("{line} --credential {}", file.display());
        let said = operator(&platform, &line).await;
        assert_eq!(said.code, 0, "{said:?}");
        seen.push_str(&format!("{said:?}"));
        let text = std::fs::read_to_string(&file).expect("it was written");
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&file).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{line}");
        text.trim().to_owned()
    };
    let member = tell("token create --team shop --name ci", "member").await;
    let json = tell("token create --operator --name ops -o json", "operator").await;
    let cf = tell("platform create cf", "cf").await;
    let rotated = tell("platform rotate cf", "cf2").await;
    let secrets = [member.clone(), json, cf, rotated];
    for secret in &secrets {
        assert!(secret.len() == 54 && secret.starts_with("mg"), "no secret was made");
    }

    descriptor(&platform, "shop");
    for line in [
        "whoami",
        "apply -f shop.yaml",
        "list",
        "token list",
        "fleet status",
        "status shop -o json",
    ] {
        seen.push_str(&format!("{:?}", with(&platform, &member, line).await));
    }
    // A secret with a slip is a secret all the same.
    seen.push_str(&format!("{:?}", with(&platform, &format!("{member}x"), "list").await));
    let as_platform = [("cf", &secrets[2]), ("cf", &secrets[3]), ("other", &secrets[3])];
    for (name, secret) in as_platform {
        let reply = platform.call_as(&basic(name, secret), &[], "GET", "/v2/catalog", None).await;
        seen.push_str(&format!("{reply:?}"));
    }
    for line in
        ["audit list -o json", "audit export", "token list --ended -o json", "platform list"]
    {
        seen.push_str(&format!("{:?}", operator(&platform, line).await));
    }
    seen.push_str(&platform.metrics().await);
    let backup = operator(&platform, "backup canary.backup").await;
    assert_eq!(backup.code, 0, "{backup:?}");
    assert!(seen.contains("token.create") && seen.contains("platform.rotate"), "the log is read");
    assert!(platform.log().contains("TRACE"), "the log tells everything");
    for secret in &secrets {
        assert!(!seen.contains(secret.as_str()), "a secret is shown");
    }
    assert!(platform.stop().await.success());
    let kept = files(platform.state());
    for name in ["margrave.db", "canary.backup", "stderr.log"] {
        assert!(kept.iter().any(|path| path.ends_with(name)), "no {name}: {kept:?}");
    }
    for path in kept {
        let bytes = std::fs::read(&path).unwrap_or_default();
        for secret in &secrets {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "a secret is in {}", path.display());
        }
    }
}
