//! Further types that templates use: a filter that comes by itself (ECDS), and a layer of Envoy's
//! runtime (RTDS). Both change without a restart, and what is wrong with them changes nothing.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::backend::Backend;
use crate::platform::{Options, Platform};
use crate::rollout::{over, status};
use crate::wire::Answer;
use crate::{service, wire};

/// Longer than anything that is waited for takes.
const PATIENCE: Duration = Duration::from_secs(30);
const HOST: &str = "shop.example.com";
/// In front of the router, in each listener.
const PLACE: &str = "{{ platform.caller_filter }},";
/// A filter that comes by itself, and one whose share is the runtime's.
const FILTERS: &str = r#"{
  "name": "stamp",
  "config_discovery": {
    "config_source": {"ads": {}, "resource_api_version": "V3"},
    "type_urls": ["type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"],
  },
},
{
  "name": "maintenance",
  "typed_config": {
    "@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault",
    "abort": {"http_status": 203, "percentage": {"numerator": 0}},
  },
},"#;
/// In front of the connection manager, in each listener.
const CHAIN: &str = "\"filters\": [{\n";
/// A filter of connections that comes by itself.
const OF_CONNECTIONS: &str = r#""filters": [{
  "name": "connection",
  "config_discovery": {
    "config_source": {"ads": {}, "resource_api_version": "V3"},
    "type_urls": ["type.googleapis.com/envoy.extensions.filters.network.set_filter_state.v3.Config"],
  },
}, {
"#;

/// A template of a group.
fn of_group(resource: &str, output: &str) -> String {
    format!(
        "{{#-\nresource: type.googleapis.com/{resource}\nfor_each: group\nvaries_by: []\n\n-#}}\n{output}\n"
    )
}

/// The filter, which tells `value` in a header.
fn stamp(value: &str) -> String {
    let output = r#"{"name": "stamp", "typed_config": {
      "@type": "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
      "mutations": {"response_mutations": [{"append": {
        "header": {"key": "x-stamp", "value": "VALUE"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
      }}]},
    }}"#;
    of_group("envoy.config.core.v3.TypedExtensionConfig", &output.replace("VALUE", value))
}

/// The layer of the runtime: so many of a hundred requests are answered with 203.
fn maintenance(percent: u32) -> String {
    let layer = format!(
        r#"{{"name": "margrave", "layer": {{"fault.http.abort.abort_percent": {percent}}}}}"#
    );
    of_group("envoy.service.runtime.v3.Runtime", &layer)
}

/// The filter of connections, which writes a line of Envoy's formatting down.
fn connection(line: &str) -> String {
    let output = r#"{"name": "connection", "typed_config": {
      "@type": "type.googleapis.com/envoy.extensions.filters.network.set_filter_state.v3.Config",
      "on_new_connection": [{
        "object_key": "envoy.string", "factory_key": "envoy.string",
        "format_string": {"text_format_source": {"inline_string": "LINE"}},
      }],
    }}"#;
    of_group("envoy.config.core.v3.TypedExtensionConfig", &output.replace("LINE", line))
}

/// A folder of templates: the default ones, with `edit` applied to the listeners, and these.
fn folder(edit: impl Fn(&str) -> String, more: &[(&str, String)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in render::Templates::builtin_files() {
        let text = if *name == "listeners.json.j2" { edit(text) } else { (*text).to_owned() };
        std::fs::write(folder.path().join(name), text).expect("written");
    }
    more.iter().for_each(|(name, text)| save(folder.path(), name, text));
    folder
}

/// Saves a template as editors do: whole, and at once.
fn save(folder: &Path, name: &str, text: &str) {
    let new = folder.join(".new");
    std::fs::write(&new, text).expect("written");
    std::fs::rename(new, folder.join(name)).expect("renamed");
}

fn with_filters(listeners: &str) -> String {
    assert!(listeners.contains(PLACE), "the template has changed; find another place");
    listeners.replace(PLACE, &format!("{PLACE}\n{FILTERS}"))
}

async fn start(folder: &TempDir, options: Options) -> (Platform, Backend) {
    let options = options.argument("--templates", folder.path().display().to_string());
    let platform = Platform::start_with(options).await;
    let backend = Backend::start("shop").await;
    platform.provision("shop", &service("shop", &backend.url(), "public")).await;
    (platform, backend)
}

async fn ask(platform: &Platform) -> Answer {
    wire::get(platform.endpoints.public, HOST, "/").await
}

/// Asks until it is answered so: those who poll follow when they ask next.
async fn answers(platform: &Platform, status: u16, stamp: Option<&str>) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = ask(platform).await;
        if (answer.status, answer.header("x-stamp")) == (status, stamp) {
            return;
        }
        assert!(Instant::now() < deadline, "not {status} {stamp:?}: {answer:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// What its Envoy says of itself.
async fn admin(platform: &Platform, path: &str) -> Value {
    let at = platform.endpoints.admin.expect("an Envoy");
    let answer = reqwest::get(format!("http://{at}/{path}")).await.expect("Envoy answers");
    answer.json().await.expect("JSON")
}

/// What the layer of the control plane says, as Envoy has it.
async fn share(platform: &Platform) -> Value {
    let runtime = admin(platform, "runtime").await;
    assert_eq!(runtime["layers"], serde_json::json!(["margrave", "admin"]), "{runtime}");
    runtime["entries"]["fault.http.abort.abort_percent"]["layer_values"][0].clone()
}

async fn a_filter_and_a_layer_come_and_change(options: Options) {
    let more = [("filters.json.j2", stamp("one")), ("runtime.json.j2", maintenance(0))];
    let folder = folder(with_filters, &more);
    let (platform, _backend) = start(&folder, options).await;
    let envoy = platform.envoy().await;
    answers(&platform, 200, Some("one")).await;
    assert_eq!(share(&platform).await, "0");

    save(folder.path(), "filters.json.j2", &stamp("two"));
    answers(&platform, 200, Some("two")).await;
    save(folder.path(), "runtime.json.j2", &maintenance(100));
    answers(&platform, 203, Some("two")).await;
    assert_eq!(share(&platform).await, "100");

    // Templates that make no layer any more: what it said is said no more.
    std::fs::remove_file(folder.path().join("runtime.json.j2")).expect("removed");
    answers(&platform, 200, Some("two")).await;
    assert_eq!(share(&platform).await, Value::Null);
    // And none of the filter, in the listeners either.
    let (plain, _) =
        ("listeners.json.j2", std::fs::remove_file(folder.path().join("filters.json.j2")));
    let builtin = render::Templates::builtin_files().iter().find(|(name, _)| *name == plain);
    save(folder.path(), plain, builtin.expect("listeners").1);
    answers(&platform, 200, None).await;
    assert_eq!(platform.envoy().await, envoy, "it was started once");
    assert_eq!(platform.metric("margrave_rollout_halts_total").await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_and_a_layer_of_the_runtime_come_by_themselves_and_change() {
    a_filter_and_a_layer_come_and_change(Options::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_they_do_over_state_of_the_world() {
    a_filter_and_a_layer_come_and_change(Options::default().argument("--xds", "sotw")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_they_do_where_they_are_polled() {
    let options = Options::default().argument("--xds", "rest").argument("--poll-refresh-ms", "100");
    a_filter_and_a_layer_come_and_change(options).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_filter_that_comes_by_itself_is_found_before_a_proxy_has_it() {
    let folder = folder(with_filters, &[("filters.json.j2", stamp("one"))]);
    let (platform, _backend) = start(&folder, Options::default()).await;
    answers(&platform, 200, Some("one")).await;
    // Envoy's own word, by asking one.
    save(folder.path(), "filters.json.j2", &stamp("%NO_SUCH_COMMAND%"));
    let (last, state, reason) = over(&platform, 0).await;
    assert_eq!(state, "refused", "{reason}");
    assert!(reason.contains("filters.json.j2") && reason.contains("NO_SUCH_COMMAND"), "{reason}");
    answers(&platform, 200, Some("one")).await;
    // What templates say together.
    for (text, told) in [
        (stamp("two").replace("stamp\"", "stump\""), "there is no TypedExtensionConfig `stamp`"),
        (connection("%PROTOCOL%").replace("\"connection\"", "\"stamp\""), "none of `type_urls`"),
        (stamp("two").replace("\"mutations\"", "\"motions\""), "field name 'motions'"),
    ] {
        save(folder.path(), "filters.json.j2", &text);
        is_told(&platform, told).await;
        answers(&platform, 200, Some("one")).await;
    }
    save(folder.path(), "filters.json.j2", &stamp("two"));
    assert_eq!(over(&platform, last).await.1, "done");
    answers(&platform, 200, Some("two")).await;
}

/// Waits until it is told why the templates are not used.
async fn is_told(platform: &Platform, why: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let now = status(platform).await;
        if now["trouble"].as_str().is_some_and(|trouble| trouble.contains(why)) {
            return;
        }
        assert!(Instant::now() < deadline, "{why} is not told: {now:#}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_proxy_can_judge_of_it_is_halted_and_goes_back() {
    let edit = |listeners: &str| {
        assert!(listeners.contains(CHAIN), "the template has changed; find another place");
        listeners.replace(CHAIN, OF_CONNECTIONS)
    };
    let folder = folder(edit, &[("connection.json.j2", connection("%START_TIME%"))]);
    let (platform, _backend) = start(&folder, Options::default()).await;
    answers(&platform, 200, None).await;
    save(folder.path(), "connection.json.j2", &connection("%NO_SUCH_COMMAND%"));
    let (last, state, reason) = over(&platform, 0).await;
    assert_eq!(state, "reverted", "{reason}");
    for told in ["TypedExtensionConfig connection", "NO_SUCH_COMMAND"] {
        assert!(reason.contains(told), "{reason}");
    }
    answers(&platform, 200, None).await;
    let status = platform.margrave(&["rollout", "status"]).await;
    assert!(String::from_utf8_lossy(&status.stdout).contains("NO_SUCH_COMMAND"), "{status:?}");
    platform.provision("cart", &service("cart", "http://127.0.0.1:9", "public")).await;

    save(folder.path(), "connection.json.j2", &connection("%PROTOCOL%"));
    assert_eq!(over(&platform, last).await.1, "done");
    answers(&platform, 200, None).await;
}
