//! A tenant that the renderer or Envoy refuses keeps its last good version, is told why, and hurts
//! nobody else.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::backend::Backend;
use crate::platform::{Options, Platform};
use crate::{service, wire};

/// The default templates, but that an instance with two hostnames gets `poison` in its route
/// configuration.
pub(crate) fn poisoned_templates(poison: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let defaults = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../templates");
    for entry in std::fs::read_dir(defaults).expect("templates/").flatten() {
        let path: PathBuf = entry.path();
        let mut text = std::fs::read_to_string(&path).expect("readable");
        if path.ends_with("routes.json.j2") {
            let place = "\"routes\": [\n";
            assert!(text.contains(place), "the template has changed; find another place");
            let poison =
                format!("{place}{{% if instance.hostnames|length == 2 %}}{poison}{{% endif %}}\n");
            text = text.replacen(place, &poison, 1);
        }
        std::fs::write(folder.path().join(entry.file_name()), text).expect("writable");
    }
    folder
}

pub(crate) fn two_hostnames(name: &str, upstream: &str) -> Value {
    let mut descriptor = service(name, upstream, "public");
    descriptor["hostnames"] =
        json!([format!("{name}.example.com"), format!("{name}2.example.com")]);
    descriptor
}

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Others, before, while and after a tenant is refused.
const OTHERS: usize = 10;

/// An update and a provision are refused, others go on, nothing is lost in a restart.
pub(crate) async fn a_refused_tenant_hurts_only_itself(poison: &str, options: Options) {
    let templates = poisoned_templates(poison);
    let folder = templates.path().display().to_string();
    let mut platform = Platform::start_with(options.argument("--templates", folder)).await;
    let (old, new) = (Backend::start("old").await, Backend::start("new").await);
    platform.provision("victim", &service("victim", &old.url(), "public")).await;
    for n in 0..OTHERS {
        platform
            .provision(&format!("o{n}"), &service(&format!("o{n}"), &old.url(), "public"))
            .await;
    }

    // An update that is refused: its reason is told, and what was there goes on.
    let reply = platform.patch("victim", &two_hostnames("victim", &new.url())).await;
    assert_eq!(reply.status, 202, "{reply:?}");
    for n in 0..OTHERS {
        platform.update(&format!("o{n}"), &service(&format!("o{n}"), &new.url(), "public")).await;
    }
    let ended = platform.end("victim").await;
    assert_eq!(ended.state, "failed", "{ended:?}");
    assert!(ended.description.len() > 20, "{ended:?}");
    let public = platform.endpoints.public;
    assert_eq!(wire::get(public, "victim.example.com", "/").await.backend(), Some("old"));
    assert_eq!(wire::get(public, "victim2.example.com", "/").await.status, 404);

    // A new tenant that is refused does not appear.
    let reply = platform.put("fresh", &two_hostnames("fresh", &new.url())).await;
    assert_eq!(reply.status, 202, "{reply:?}");
    assert_eq!(platform.end("fresh").await.state, "failed");
    assert_eq!(wire::get(public, "fresh.example.com", "/").await.status, 404);
    for n in 0..OTHERS {
        let answer = wire::get(public, &format!("o{n}.example.com"), "/").await;
        assert_eq!(answer.backend(), Some("new"), "o{n}: {answer:?}");
    }

    // Neither a restart of the control plane nor a new proxy loses the last good version.
    platform.kill().await;
    platform.restart().await;
    let public = platform.endpoints.public;
    assert_eq!(
        wire::get(public, "victim.example.com", "/").await.backend(),
        Some("old"),
        "{}",
        platform.log()
    );
    assert_eq!(wire::get(public, "o3.example.com", "/").await.backend(), Some("new"));

    // Mended, it goes live by itself.
    platform.update("victim", &service("victim", &new.url(), "public")).await;
    assert_eq!(wire::get(public, "victim.example.com", "/").await.backend(), Some("new"));
}

const CANNOT_BE_RENDERED: &str = "{{ instance.there_is.no_such_thing }}";
/// The gates in the renderer let it pass: only Envoy knows that `:path` may not be changed like this.
pub(crate) const ENVOY_REFUSES: &str = r#"{"name": {{ instance.id ~ "/poison" }}, "match": {"prefix": "/never"}, "direct_response": {"status": 200}, "request_headers_to_add": [{"header": {"key": ":path", "value": "/x"}}]},"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_cannot_be_rendered_hurts_only_itself() {
    a_refused_tenant_hurts_only_itself(CANNOT_BE_RENDERED, Options::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_envoy_refuses_hurts_only_itself() {
    a_refused_tenant_hurts_only_itself(ENVOY_REFUSES, Options::default()).await;
}

/// Without an Envoy that is asked beforehand, by the proxy's own refusal.
#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_a_proxy_refuses_hurts_only_itself() {
    let options = Options::default().argument("--validators", "none");
    a_refused_tenant_hurts_only_itself(ENVOY_REFUSES, options).await;
}

/// Its owner, whoever looks at the fleet, and whoever looks at metrics know of it.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_proxy_refuses_is_told_everywhere() {
    let templates = poisoned_templates(ENVOY_REFUSES);
    let options = Options::default()
        .argument("--validators", "none")
        .argument("--templates", templates.path().display().to_string());
    let platform = Platform::start_with(options).await;
    let web = Backend::start("web").await;
    platform.provision("victim", &service("victim", &web.url(), "public")).await;
    assert_eq!(platform.metric("margrave_plane_refused_total").await, 0.0);
    let reply = platform.patch("victim", &two_hostnames("victim", &web.url())).await;
    assert_eq!(reply.status, 202, "{reply:?}");
    let ended = platform.end("victim").await;
    assert!(ended.description.contains("Envoy refused"), "{ended:?}");
    let fleet = platform.call("GET", "/v1/fleet", None).await.body;
    assert_eq!(fleet["quarantined"], 1, "{fleet:#}");
    assert!(platform.metric("margrave_plane_refused_total").await > 0.0);
    assert!(platform.metric("margrave_xds_nacks_total").await > 0.0);
    // Gauges are set from time to time.
    let deadline = Instant::now() + PATIENCE;
    while platform.metric("margrave_plane_quarantined").await < 1.0 {
        assert!(Instant::now() < deadline, "{}", platform.metrics().await);
        sleep(Duration::from_millis(50)).await;
    }
}
