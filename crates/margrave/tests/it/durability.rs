//! What the edge and the broker do while the machine is hostile: the control plane away, the disk full,
//! the database locked, a second process on the same state.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

use crate::backend::Backend;
use crate::platform::{Options, Platform};
use crate::{service, wire};

#[tokio::test(flavor = "multi_thread")]
async fn envoy_goes_on_while_its_control_plane_is_away() {
    let mut platform = Platform::start().await;
    let web = Backend::start("web").await;
    platform.provision("a", &service("shop", &web.url(), "public")).await;
    for n in 0..3 {
        platform.kill().await;
        platform.restart().await;
        let answer = wire::get(platform.endpoints.public, "shop.example.com", "/").await;
        assert_eq!(answer.backend(), Some("web"), "after kill {n}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_nothing_is_promised_and_envoy_goes_on() {
    let platform = Platform::start().await;
    let (old, new) = (Backend::start("old").await, Backend::start("new").await);
    platform.provision("a", &service("shop", &old.url(), "public")).await;
    let public = platform.endpoints.public;
    let wish = service("shop", &new.url(), "public");

    platform.limit_files("0").await;
    for _ in 0..3 {
        let refused = platform.patch("a", &wish).await;
        assert_eq!(refused.status, 503, "{refused:?}");
        assert!(refused.retry_after.is_some(), "{refused:?}");
        assert_eq!(wire::get(public, "shop.example.com", "/").await.backend(), Some("old"));
    }
    assert_eq!(platform.end("a").await.state, "succeeded", "what was is still known");

    platform.limit_files("unlimited").await;
    platform.update("a", &wish).await;
    assert_eq!(wire::get(public, "shop.example.com", "/").await.backend(), Some("new"));
}

/// Takes the write lock of the database, as somebody's script would, until it is told to go.
struct Locker(Child);

const LOCK: &str = "import sqlite3, sys\n\
                    lock = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)\n\
                    lock.execute('BEGIN IMMEDIATE')\n\
                    print('held', flush=True)\n\
                    sys.stdin.readline()\n";

impl Locker {
    async fn lock(platform: &Platform) -> Self {
        let mut command = Command::new("python3");
        command.args(["-c", LOCK]).arg(platform.state().join("margrave.db")).kill_on_drop(true);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python3 runs");
        let mut told = String::new();
        let stdout = child.stdout.as_mut().expect("piped");
        BufReader::new(stdout).read_line(&mut told).await.expect("reads");
        assert_eq!(told.trim(), "held");
        Self(child)
    }

    async fn release(mut self) {
        let stdin = self.0.stdin.as_mut().expect("piped");
        stdin.write_all(b"go\n").await.expect("it listens");
        assert!(self.0.wait().await.expect("waited").success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_another_process_has_locked_promises_nothing_and_loses_nothing() {
    let platform = Platform::start_with(Options::default().argument("--envoy", "none")).await;
    let wish = |visibility| service("shop", "http://127.0.0.1:20001", visibility);
    platform.provision("a", &wish("internal")).await;

    // Accepted, and perhaps not yet carried out.
    assert_eq!(platform.patch("a", &wish("public")).await.status, 202);
    let locker = Locker::lock(&platform).await;
    let refused = platform.put("b", &service("other", "http://127.0.0.1:20002", "internal")).await;
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.retry_after.is_some(), "{refused:?}");
    let words = refused.body["description"].as_str().unwrap_or_default();
    assert!(words.contains("again"), "{refused:?}");
    let read = platform.call("GET", "/v2/service_instances/b", None).await;
    assert_eq!(read.status, 404, "what is known is still told: {read:?}");
    assert_eq!(platform.last_operation("a").await.status, 200);
    locker.release().await;

    assert!(platform.end("a").await.succeeded(), "what was accepted goes on");
    platform.provision("b", &service("other", "http://127.0.0.1:20002", "internal")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_the_same_state_is_refused_with_words() {
    let platform = Platform::start_with(Options::default().argument("--envoy", "none")).await;
    let mut second = Command::new(env!("CARGO_BIN_EXE_margrave"));
    second.arg("dev").arg("--state").arg(platform.state()).args(["--envoy", "none"]);
    let second = second.output().await.expect("it runs");
    let words = String::from_utf8_lossy(&second.stderr);
    assert!(!second.status.success() && words.contains("in use by another"), "{words}");
    let wish = service("shop", "http://127.0.0.1:20001", "internal");
    platform.provision("a", &wish).await;
}
