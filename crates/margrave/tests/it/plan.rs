//! `margrave plan`: what `margrave apply` will do is told beforehand, and nothing is changed by asking.

use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::backend::Backend;
use crate::platform::Platform;
use crate::wire;

/// A descriptor with a route whose timeout is given.
fn descriptor(upstream: &str, visibility: &str, hostname: &str, timeout: &str) -> String {
    format!(
        "service: shop\nupstream: {upstream}\nvisibility: {visibility}\nhostnames: [{hostname}]\n\
         routes:\n- name: api\n  match: {{prefix: /api}}\n  timeout: {{request: {timeout}}}\n"
    )
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// All that the store has on its disk.
fn files(state: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(state).expect("a folder").map(|entry| entry.expect("an entry"));
    let named = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    // The index of the log in shared memory belongs to its readers.
    let mut names: Vec<_> =
        named.filter(|name| name.contains(".db") && !name.ends_with("-shm")).collect();
    names.sort();
    names
        .into_iter()
        .map(|name| (name.clone(), std::fs::read(state.join(name)).expect("read")))
        .collect()
}

/// A platform and the `margrave.yaml` in its folder.
struct Desk {
    platform: Platform,
}

impl Desk {
    fn write(&self, descriptor: &str) {
        std::fs::write(self.platform.state().join("margrave.yaml"), descriptor).expect("written");
    }

    /// Plans; the store is as it was before.
    async fn plan(&self, more: &[&str]) -> Output {
        let before = files(self.platform.state());
        assert!(!before.is_empty(), "no store to compare");
        let output = self.platform.margrave(&[&["plan"], more].concat()).await;
        assert!(files(self.platform.state()) == before, "planning has left a trace: {output:?}");
        output
    }

    /// Exit code and stdout of a plan.
    async fn told(&self, more: &[&str]) -> (Option<i32>, String) {
        let output = self.plan(more).await;
        (output.status.code(), text(&output.stdout))
    }

    async fn apply(&self) -> Output {
        self.platform.margrave(&["apply"]).await
    }

    /// Plan and apply are refused in the same words.
    async fn is_refused(&self, descriptor: &str, why: &str) {
        self.write(descriptor);
        let (planned, applied) = (self.plan(&[]).await, self.apply().await);
        assert_eq!((planned.status.code(), applied.status.code()), (Some(3), Some(3)));
        assert_eq!(text(&planned.stderr), text(&applied.stderr));
        assert!(text(&planned.stderr).contains(why), "{planned:?}");
        assert_eq!(text(&planned.stdout), "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_apply_will_do_is_told_beforehand() {
    let desk = Desk { platform: Platform::start().await };
    let web = Backend::start("web").await;
    let url = web.url();
    desk.write(&descriptor(&url, "internal", "shop.example.com", "5s"));
    let (code, told) = desk.told(&["-o", "json"]).await;
    assert_eq!(code, Some(2), "{told}");
    let planned: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(planned["action"], "create", "{told}");

    let applied = desk.apply().await;
    assert_eq!(applied.status.code(), Some(0), "{applied:?}");
    let status = desk.platform.margrave(&["status", "-o", "json"]).await;
    let status: Value = serde_json::from_slice(&status.stdout).expect("JSON");
    let names = |steps: &Value| -> Vec<String> {
        steps.as_array().into_iter().flatten().map(|step| step["name"].to_string()).collect()
    };
    assert_eq!(names(&planned["steps"]), names(&status["operation"]["steps"]), "as was done");
    let before = desk.platform.call("GET", "/v1/audit?limit=100", None).await.body;
    let (code, told) = desk.told(&[]).await;
    assert_eq!((code, told.as_str()), (Some(0), "shop: nothing to change\n"));

    desk.write(&descriptor(&url, "internal", "shop.example.com", "9s"));
    let (code, told) = desk.told(&["--resources"]).await;
    assert_eq!(code, Some(2));
    assert!(told.contains("  ~ routes[api].timeout.request: 5s -> 9s\n"), "{told}");
    assert!(told.contains("  RouteConfiguration internal/… changed\n"), "{told}");
    assert!(told.contains("].routes[…/api].route.timeout: 5s -> 9s\n"), "{told}");
    assert!(told.contains("envoy     resources: 1 changed\n"), "nothing else: {told}");

    desk.write(&descriptor(&url, "public", "new.example.com", "5s"));
    let (code, told) = desk.told(&[]).await;
    assert_eq!(code, Some(2));
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(
        lines[..3],
        [
            "shop would be updated (public)",
            "  PUBLIC: everyone can reach it",
            "  ~ visibility: internal -> public",
        ]
    );
    assert!(told.contains("  takes     new.example.com\n"), "{told}");
    assert!(told.contains("  gives up  shop.example.com (stays reserved"), "{told}");
    assert!(!told.contains('\u{1b}'), "no terminal, no colour: {told}");

    let after = desk.platform.call("GET", "/v1/audit?limit=100", None).await.body;
    assert_eq!(before, after, "nobody has asked for anything");
    let public = desk.platform.endpoints.public;
    assert_eq!(wire::get(public, "new.example.com", "/").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_refused_as_apply_is() {
    let desk = Desk { platform: Platform::start().await };
    let other = "service: other\nhostnames: [taken.example.com]\nroutes:\n\
                 - {name: a, match: {path: /}, respond: {status: 200, body: hi}}\n";
    desk.write(other);
    assert_eq!(desk.apply().await.status.code(), Some(0));
    let taken = descriptor("http://localhost:9", "internal", "taken.example.com", "5s");
    desk.is_refused(&taken, "error[MG2101]: hostnames: `taken.example.com` is owned by").await;
    desk.is_refused("service: shop\nupstrem: http://localhost:9\n", "error[MG1004]").await;
    let wildcard = descriptor("http://localhost:9", "internal", "'*.example.com'", "5s");
    desk.is_refused(&wildcard, "was not granted to").await;
}
