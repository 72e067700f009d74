//! People log in at an issuer, and what it says of their groups is what they may do: through the real
//! binary, with a real issuer beside it.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use login::testing::{AUTHORITY, CLIENT, CODE, Kind, Manner, Said as Answer, TestIssuer};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
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
    fn of(output: &std::process::Output, before: String) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        let code = output.status.code().expect("an exit code");
        let stderr = before + &text(&output.stderr);
        Self { code, stdout: text(&output.stdout), stderr }
    }

    fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{self:?}");
        serde_json::from_str(&self.stdout).expect("JSON")
    }

    fn refused(&self, pieces: &[&str]) {
        assert_eq!(self.code, 3, "{self:?}");
        for piece in pieces {
            assert!(self.stderr.contains(piece), "{piece}: {self:?}");
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "an issuer's clock is its own")]
fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(now.as_millis()).expect("before the end")
}

async fn issuer() -> TestIssuer {
    TestIssuer::start(now).await
}

fn options(issuer: &TestIssuer) -> Options {
    Options::default()
        .argument("--login-issuer", issuer.url())
        .argument("--login-client-id", CLIENT)
        .argument("--login-teams", "eng-*=*")
        .argument("--login-operators", "sre")
}

async fn platform(issuer: &TestIssuer, envoy: bool) -> Platform {
    let options = options(issuer);
    let options = if envoy { options } else { options.argument("--envoy", "none") };
    Platform::start_with(options).await
}

/// Somebody at a machine of their own.
struct Person<'a> {
    platform: &'a Platform,
    name: &'static str,
}

impl Person<'_> {
    fn command(&self, line: &str) -> Command {
        let words: Vec<&str> = line.split_whitespace().collect();
        let mut command = self.platform.stranger(&words);
        command.env("XDG_CONFIG_HOME", self.settings());
        command
    }

    fn settings(&self) -> PathBuf {
        self.platform.state().join(self.name)
    }

    async fn says(&self, line: &str) -> Said {
        let output = self.command(line).output().await.expect("margrave runs");
        Said::of(&output, String::new())
    }

    /// `margrave login`; once the code is shown, the person does with it what `answer` says.
    async fn logs_in(&self, issuer: &TestIssuer, answer: Answer) -> Said {
        issuer.say(Answer::Nothing);
        let mut command = self.command("login -o json");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("margrave runs");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let mut before = String::new();
        while let Some(line) = lines.next_line().await.expect("text") {
            before += &format!("{line}\n");
            if line.contains(CODE) && line.contains("waiting") {
                issuer.say(answer.clone());
            }
        }
        let output = child.wait_with_output().await.expect("it ends");
        Said::of(&output, before)
    }

    /// What is kept, as text.
    fn kept(&self) -> String {
        let file = self.settings().join("margrave/credentials.json");
        std::fs::read_to_string(file).expect("it is kept")
    }
}

/// Who the broker takes a token for that the issuer signs now, and that it has not seen before.
async fn whoami(platform: &Platform, issuer: &TestIssuer, jti: &str) -> Reply {
    let mut claims = issuer.claims();
    claims["jti"] = json!(jti);
    let authorization = format!("Bearer {}", issuer.sign(&claims));
    platform.call_as(&authorization, &[], "GET", "/v1/whoami", None).await
}

/// Until the broker knows the issuer's key: it asks for it every few seconds at most.
async fn await_good(platform: &Platform, issuer: &TestIssuer) {
    for attempt in 0..150 {
        let reply = whoami(platform, issuer, &format!("attempt {attempt}")).await;
        match reply.status {
            200 => return,
            401 | 429 => tokio::time::sleep(Duration::from_millis(200)).await,
            _ => panic!("{reply:?}"),
        }
    }
    panic!("the key is never known: {}", platform.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_opens_what_its_groups_lead_to() {
    let issuer = issuer().await;
    let platform = platform(&issuer, true).await;
    let alice = Person { platform: &platform, name: "alice" };
    for service in ["shop", "cart"] {
        let text = format!(
            "service: {service}\nhostnames: [{service}.example.com]\nroutes:\n  - name: all\n    \
             match: {{prefix: /}}\n    respond: {{status: 200}}\n"
        );
        std::fs::write(platform.state().join(format!("{service}.yaml")), text).expect("written");
    }

    issuer.groups(&["eng-shop", "all"]);
    issuer.errors(&["slow_down"]);
    let logged_in = alice.logs_in(&issuer, Answer::Yes).await;
    let page = format!("{}/activate?user_code={CODE}", issuer.url());
    assert!(logged_in.stderr.contains(&page), "{logged_in:?}");
    let who = logged_in.json();
    assert_eq!(who["credential"], "alice@example.com (login 00u1alice)", "{who}");
    assert_eq!((&who["teams"], &who["renews"]), (&json!(["shop"]), &json!(true)), "{who}");

    let applied = alice.says("apply -f shop.yaml -o json").await.json();
    assert_eq!(applied["instance"]["space"], "shop", "{applied}");
    let history = alice.says("history shop").await;
    assert!(history.stdout.contains("alice@example.com"), "{history:?}");
    alice.says("apply -f cart.yaml --team cart").await.refused(&["the team `cart` is not among"]);
    alice.says("fleet status").await.refused(&["for the operators"]);
    // A person makes tokens for its own teams.
    let token = alice.says("token create --team shop").await;
    assert!(token.code == 0 && token.stdout.starts_with("mgt_"), "{token:?}");
    alice.says("token create --team cart").await.refused(&[]);

    // The issuer takes another key, which is seen soon.
    issuer.rotate(Kind::P256, "key-2");
    await_good(&platform, &issuer).await;
    // It is away: what it has signed before is good, also for whoever comes for the first time.
    issuer.behave(Manner::Failing);
    assert_eq!(whoami(&platform, &issuer, "for the first time").await.status, 200);
    assert_eq!(alice.says("status shop").await.code, 0);
    let bob = Person { platform: &platform, name: "bob" };
    let away = bob.logs_in(&issuer, Answer::Yes).await;
    assert!(away.code == 1 && away.stderr.contains("answers 503"), "{away:?}");

    // At the next login the groups are what they are by then.
    issuer.behave(Manner::Sound);
    issuer.groups(&["eng-cart"]);
    let again = alice.logs_in(&issuer, Answer::Yes).await.json();
    assert_eq!(again["teams"], json!(["cart"]), "{again}");
    alice.says("status shop --team shop").await.refused(&["there is no service `shop`"]);
    alice.says("delete shop --team shop --yes").await.refused(&["there is no service `shop`"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_comes_in_without_a_group_or_a_person() {
    let issuer = issuer().await;
    let platform = platform(&issuer, false).await;
    let eve = Person { platform: &platform, name: "eve" };
    eve.logs_in(&issuer, Answer::No).await.refused(&["the login was denied"]);
    issuer.groups(&["guests"]);
    let expected = "none of your groups (guests) is of a team here; these are: eng-*, sre";
    eve.logs_in(&issuer, Answer::Yes).await.refused(&[expected]);
    assert!(!eve.settings().exists(), "what opens nothing was kept");
    issuer.errors(&["expired_token"]);
    let late = eve.logs_in(&issuer, Answer::Nothing).await;
    assert!(late.code == 4 && late.stderr.contains("nobody confirmed"), "{late:?}");
    issuer.groups(&["sre"]);
    let operator = eve.logs_in(&issuer, Answer::Yes).await.json();
    assert_eq!(operator["role"], "operator", "{operator}");
    assert_eq!(eve.says("fleet status").await.code, 0);
    // What nobody has signed is judged without asking anybody, and told as little as it says.
    for (claim, value) in [("aud", "another"), ("iss", "https://evil.example")] {
        let mut claims = issuer.claims();
        claims[claim] = json!(value);
        let token = issuer.sign(&claims);
        let reply =
            platform.call_as(&format!("Bearer {token}"), &[], "GET", "/v1/whoami", None).await;
        assert_eq!(reply.status, 401, "{reply:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_made_new_as_long_as_the_issuer_agrees() {
    let issuer = issuer().await;
    let platform = platform(&issuer, false).await;
    let alice = Person { platform: &platform, name: "alice" };
    issuer.lifetime_s(20);
    assert_eq!(alice.logs_in(&issuer, Answer::Yes).await.code, 0);
    let first = alice.kept();
    // It ends too soon to be shown: each command makes it new, also at the same time as another.
    let (one, other) = tokio::join!(alice.says("whoami -o json"), alice.says("whoami -o json"));
    for said in [one, other] {
        assert_eq!(said.json()["teams"], json!(["shop"]));
    }
    assert_eq!(issuer.refreshed(), 2);
    assert_ne!(alice.kept(), first);
    issuer.lifetime_s(3600);
    issuer.groups(&["eng-cart"]);
    assert_eq!(alice.says("whoami -o json").await.json()["teams"], json!(["cart"]));
    assert_eq!(alice.says("whoami -o json").await.json()["by"], "login");
    assert_eq!(issuer.refreshed(), 3, "a login that lasts was made new");

    issuer.lifetime_s(20);
    assert_eq!(alice.logs_in(&issuer, Answer::Yes).await.code, 0);
    issuer.end_refresh();
    let ended = alice.says("whoami").await;
    ended.refused(&["your login at", "has ended", "log in again with `margrave login`"]);
    let kept: Value = serde_json::from_str(&alice.kept()).expect("JSON");
    let secrets = kept["brokers"][&platform.endpoints.broker].clone();
    let refresh = secrets["login"]["refresh"].as_str().expect("a refresh token");
    let token = secrets["token"].as_str().expect("a token");
    for seen in [&ended.stderr, &platform.log()] {
        assert!(!seen.contains(refresh) && !seen.contains(token), "a secret was told: {seen}");
    }
    assert_eq!(alice.says("logout").await.code, 0);
    assert!(!alice.kept().contains(refresh));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_without_an_issuer_says_so() {
    let platform = Platform::start_with(Options::default().argument("--envoy", "none")).await;
    let alice = Person { platform: &platform, name: "alice" };
    let said = alice.says("login").await;
    said.refused(&["no issuer of logins is configured there", "margrave token keep"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_is_known_by_its_certificate() {
    let issuer = TestIssuer::start_tls(now).await;
    let folder = tempfile::tempdir().expect("a folder");
    let authority = folder.path().join("authority.pem");
    std::fs::write(&authority, AUTHORITY).expect("written");
    let trusting = ("SSL_CERT_FILE".to_owned(), authority.display().to_string());
    let mut options = options(&issuer).argument("--envoy", "none");
    options.environment.push(trusting.clone());
    let platform = Platform::start_with(options).await;

    let stranger = Person { platform: &platform, name: "stranger" };
    let said = stranger.logs_in(&issuer, Answer::Yes).await;
    assert!(said.code == 1 && said.stderr.contains("invalid peer certificate"), "{said:?}");
    let alice = Person { platform: &platform, name: "alice" };
    let mut command = alice.command("login -o json");
    issuer.say(Answer::Yes);
    let output = command.env(&trusting.0, &trusting.1).output().await.expect("margrave runs");
    let logged_in = Said::of(&output, String::new()).json();
    assert_eq!(logged_in["issuer"], issuer.url(), "{logged_in}");
    assert_eq!(logged_in["teams"], json!(["shop"]));
    assert_eq!(alice.says("whoami -o json").await.json()["by"], "login");
}
