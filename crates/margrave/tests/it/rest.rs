//! A proxy that polls: it serves what was published, and nobody knows what it makes of it.

use serde_json::Value;
use tokio::time::{Duration, Instant, sleep};

use crate::backend::Backend;
use crate::platform::{Options, Platform};
use crate::{service, wire};

const PATIENCE: Duration = Duration::from_secs(30);

fn polling() -> Options {
    Options::default().argument("--xds", "rest").argument("--poll-refresh-ms", "100")
}

/// Asks until the answer is as it should be: nobody tells when the proxy has followed.
async fn answers(platform: &Platform, status: u16, backend: Option<&str>) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = wire::get(platform.endpoints.public, "shop.example.com", "/").await;
        if (answer.status, answer.backend()) == (status, backend) {
            return;
        }
        assert!(Instant::now() < deadline, "not {status} {backend:?}: {answer:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_polls_follows_and_is_unconfirmed() {
    const NOTICE: &str = "published; 1 proxy polls in group default and cannot confirm it";
    let platform = Platform::start_with(polling()).await;
    let (old, new) = (Backend::start("old").await, Backend::start("new").await);
    answers(&platform, 404, None).await;
    // What it lacks is waited for by nobody, and said.
    platform.provision("a", &service("shop", &old.url(), "public")).await;
    let ended = platform.end("a").await;
    assert!(ended.description.contains(NOTICE), "{ended:?}");
    answers(&platform, 200, Some("old")).await;
    platform.update("a", &service("shop", &new.url(), "public")).await;
    answers(&platform, 200, Some("new")).await;

    let told = platform.margrave(&["fleet", "status", "-o", "json"]).await;
    let fleet: Value = serde_json::from_slice(&told.stdout).expect("JSON");
    let proxy = &fleet["proxies"][0];
    assert_eq!((&proxy["id"], &proxy["state"]), (&"dev".into(), &"unconfirmed".into()));
    assert!(proxy["version"].is_string() && proxy["seenAt"].is_number(), "{proxy}");
    let told = platform.margrave(&["fleet", "status"]).await;
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("UNCONFIRMED") && told.contains("polls, and was given"), "{told}");

    platform.deprovision("a").await;
    answers(&platform, 404, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn apply_ends_honestly_where_nobody_can_confirm() {
    let platform = Platform::start_with(polling()).await;
    let web = Backend::start("web").await;
    let file = platform.state().join("margrave.yaml");
    let descriptor = service("shop", &web.url(), "public");
    std::fs::write(&file, descriptor.to_string()).unwrap();
    let applied = platform.margrave(&["apply", "--wait"]).await;
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&applied.stdout),
        String::from_utf8_lossy(&applied.stderr)
    );
    assert!(applied.status.success(), "{said}");
    assert!(said.contains("1 proxy polls in group default and cannot confirm it"), "{said}");
    answers(&platform, 200, Some("web")).await;
}
