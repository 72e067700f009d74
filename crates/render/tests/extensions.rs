//! Parts of listeners that come by themselves (ECDS): what names them and what they are must fit, and
//! the laws of listeners hold in them as well.

mod common;

use model::Node;
use render::{Draft, Specimen, Templates};
use serde_json::{Value, json};

const MUTATION: &str = "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation";
const ROUTER: &str = "envoy.extensions.filters.http.router.v3.Router";
const STATE: &str = "envoy.extensions.filters.network.set_filter_state.v3.Config";
const MANAGER: &str =
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";

fn typed(kind: &str, mut fields: Value) -> Value {
    fields["@type"] = json!(format!("type.googleapis.com/{kind}"));
    fields
}

fn extension(name: &str, kind: &str, fields: Value) -> Value {
    json!({"name": name, "typed_config": typed(kind, fields)})
}

/// A filter that writes a header down, in Envoy's formatting.
fn mutation(value: &str) -> Value {
    let header = json!({"header": {"key": "x-a", "value": value}});
    json!({"mutations": {"response_mutations": [{"append": header}]}})
}

/// A filter that is to come as this.
fn awaiting(name: &str, kind: &str) -> Value {
    let source = json!({
        "config_source": {"ads": {}, "resource_api_version": "V3"},
        "type_urls": [format!("type.googleapis.com/{kind}")],
    });
    json!({"name": name, "config_discovery": source})
}

/// A listener that answers itself, with these filters before the router.
fn listener(filters: &[Value]) -> Value {
    let router = json!({"name": "router", "typed_config": typed(ROUTER, json!({}))});
    let filters: Vec<_> = filters.iter().chain([&router]).collect();
    let fields = json!({"stat_prefix": "p", "route_config": {}, "http_filters": filters});
    json!({
        "name": "l",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 1}},
        "filter_chains": [{"filters": [{"name": "m", "typed_config": typed(MANAGER, fields)}]}],
    })
}

/// What a group gets of these, or all that is said of them.
fn group(listeners: &[Value], extensions: &[Value]) -> Result<Vec<Draft>, String> {
    let file = |kind: &str, resources: &[Value]| {
        let text = format!("{{# resource: {kind}\nfor_each: group #}}{}", json!(resources));
        (format!("{kind}.j2"), text)
    };
    let files = [
        file("envoy.config.listener.v3.Listener", listeners),
        file("envoy.config.core.v3.TypedExtensionConfig", extensions),
    ];
    let templates = Templates::compile(&files).expect("it compiles");
    templates.group(&common::platform(), &Node::default()).map_err(|told| format!("{told:?}"))
}

#[test]
fn what_is_to_come_is_there_and_is_what_its_place_takes() {
    let stamp = extension("stamp", MUTATION, mutation("a"));
    let names = listener(&[awaiting("stamp", MUTATION)]);
    let mut elsewhere = awaiting("stamp", MUTATION);
    elsewhere["config_discovery"]["config_source"] = json!({"path": "/etc/x"});
    let mut instead = awaiting("stamp", MUTATION);
    instead["config_discovery"]["default_config"] = typed(MUTATION, mutation("b"));
    for (what, listeners, extensions, told) in [
        ("it is there", vec![names.clone()], vec![stamp.clone()], None),
        ("nobody asks for it", vec![], vec![stamp.clone()], None),
        ("it comes from elsewhere", vec![listener(&[elsewhere])], vec![], None),
        ("something stands in for it", vec![listener(&[instead])], vec![], None),
        (
            "it is not there",
            vec![names.clone()],
            vec![],
            Some("there is no TypedExtensionConfig `stamp`"),
        ),
        (
            "it is another",
            vec![names],
            vec![extension("stamp", ROUTER, json!({}))],
            Some("none of `type_urls`"),
        ),
        (
            "there are two",
            vec![],
            vec![stamp.clone(), stamp],
            Some("there are two of the name `stamp`"),
        ),
    ] {
        let made = group(&listeners, &extensions);
        match (made, told) {
            (Ok(_), None) => {}
            (Err(complaints), Some(told)) => assert!(complaints.contains(told), "{complaints}"),
            (made, _) => panic!("{what}: {made:?}"),
        }
    }
}

#[test]
fn routes_of_instances_do_not_come_to_a_manager_that_comes_by_itself_and_lets_in_anybody() {
    let routes = json!({"config_source": {"ads": {}}, "route_config_name": "internal/i-1"});
    let router = json!({"name": "router", "typed_config": typed(ROUTER, json!({}))});
    let open = json!({"stat_prefix": "p", "rds": routes, "http_filters": [router]});
    let told = group(&[], &[extension("m", MANAGER, open)]).expect_err("it is open");
    assert!(told.contains("needs `platform.caller_filter` once"), "{told}");
}

#[test]
fn envoy_is_asked_of_filters_for_http() {
    for (what, extension, refused) in [
        ("good", extension("stamp", MUTATION, mutation("%START_TIME%")), None),
        ("bad", extension("stamp", MUTATION, mutation("%NO_SUCH%")), Some("NO_SUCH")),
        ("the end of a chain", extension("r", ROUTER, json!({})), None),
        ("of connections, where a proxy judges", extension("c", STATE, json!({})), None),
    ] {
        let drafts = group(&[], &[extension]).expect(what);
        let specimens: Vec<_> = drafts.iter().map(Specimen::from).collect();
        let word = common::envoy::judge(&render::trial(&specimens));
        match (&word, refused) {
            (Ok(()), None) => {}
            (Err(why), Some(part)) => assert!(why.contains(part), "{what}: {why}"),
            _ => panic!("{what}: {word:?}"),
        }
    }
}
