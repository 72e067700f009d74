//! Templates that would break the laws, each the default ones with one thing changed.

mod common;

use model::Node;
use render::{Complaint, Endpoints, Templates};

/// An internal service with a route, a redirect and an upstream beside the top-level one.
const SERVICE: &str = "
service: shop
upstream: http://localhost:3000
routes:
  - {name: api, match: {prefix: /api}, to: api}
upstreams: {api: {addresses: [127.0.0.1:3001]}}
";

/// What is changed: in which file, from what, to what; and of whom it is complained, with which
/// field and what words.
struct Case {
    file: &'static str,
    from: &'static str,
    to: &'static str,
    culprit: Option<&'static str>,
    field: &'static str,
    says: &'static str,
}

const fn case(
    file: &'static str,
    [from, to]: [&'static str; 2],
    culprit: Option<&'static str>,
    [field, says]: [&'static str; 2],
) -> Case {
    Case { file, from, to, culprit, field, says }
}

const ROUTES: &str = "routes.json.j2";
const CLUSTERS: &str = "clusters.json.j2";
const SCOPES: &str = "scoped_routes.json.j2";
const ENDPOINTS: &str = "endpoints.json.j2";
const API: Option<&str> = Some("route `api`");
const UPSTREAM: Option<&str> = Some("upstream `default`");
const HOST: Option<&str> = Some("hostname `shop.localhost`");
const CLUSTER_FIELD: &str = "virtual_hosts[0].routes[0].route.cluster";
const TO_CLUSTER: &str = "\"cluster\": {{ forward.clusters[0].name }}";
const RESPOND: &str = "\"direct_response\": {\"status\": 404}";

#[rustfmt::skip]
const CASES: &[Case] = &[
    // Exposure.
    case(SCOPES, ["\"name\": {{ scope.name }}", "\"name\": {{ (\"public/\" ~ scope.hostname) }}"], HOST, ["name", "is not a scope of the instance"]),
    case(SCOPES, ["\"string_key\": {{ scope.name }}", "\"string_key\": \"public/shop.localhost\""], HOST, ["key", "key of a scope is its name"]),
    case(SCOPES, ["\"name\": {{ scope.name }}", "\"name\": \"internal/other.localhost\""], Some("hostname `other.localhost`"), ["name", "is not a scope"]),
    case(SCOPES, ["{{ exposure.route_configuration }}", "\"internal/i-2\""], HOST, ["route_configuration_name", "leads to `internal/i-1`"]),
    case(SCOPES, ["\"on_demand\":", "\"route_configuration\": {\"name\": \"x\"}, \"on_demand\":"], HOST, ["route_configuration", "resource of its own"]),
    case(ROUTES, ["\"name\": {{ exposure.route_configuration }},\n  \"most", "\"name\": \"public/i-1\",\n  \"most"], None, ["name", "not a route configuration of the instance"]),
    case(ROUTES, ["\"domains\": {{ instance.hostnames }}", "\"domains\": [\"*\"]"], None, ["virtual_hosts[0].domains[0]", "not a hostname"]),
    case(ROUTES, ["\"name\": {{ instance.id ~ \"/*\" }}", "\"name\": \"\""], None, ["virtual_hosts[0].routes[1].name", "begins with `i-1/`"]),
    case(ROUTES, ["\"match\": {\"prefix\": \"/\"}", "\"match\": {\"prefix\": \"/x\"}"], None, ["virtual_hosts[0].routes", "last route must match everything"]),
    // Clusters of others.
    case(ROUTES, [TO_CLUSTER, "\"cluster\": \"i-2/default\""], API, [CLUSTER_FIELD, "neither the instance's own"]),
    case(ROUTES, [TO_CLUSTER, "\"cluster\": \"i-1x/default\""], API, [CLUSTER_FIELD, "neither the instance's own"]),
    case(ROUTES, [TO_CLUSTER, "\"cluster\": \"xds\""], API, [CLUSTER_FIELD, "neither the instance's own"]),
    case(ROUTES, [TO_CLUSTER, "\"cluster_header\": \"x-to\""], API, ["virtual_hosts[0].routes[0].route.cluster_header", "clients would choose"]),
    case(ROUTES, [TO_CLUSTER, "\"weighted_clusters\": {\"clusters\": [{\"name\": \"i-2/a\", \"weight\": 1}]}"], API, ["virtual_hosts[0].routes[0].route.weighted_clusters.clusters[0].name", "neither"]),
    case(ROUTES, [TO_CLUSTER, "\"cluster\": \"i-1/api\", \"request_mirror_policies\": [{\"cluster\": \"i-2/a\"}]"], API, ["virtual_hosts[0].routes[0].route.request_mirror_policies[0].cluster", "neither"]),
    case(ROUTES, ["\"virtual_hosts\":", "\"request_mirror_policies\": [{\"cluster\": \"i-2/a\"}], \"virtual_hosts\":"], None, ["request_mirror_policies[0].cluster", "neither"]),
    case(ROUTES, ["\"virtual_hosts\":", "\"vhds\": {\"config_source\": {\"ads\": {}}}, \"virtual_hosts\":"], None, ["vhds", "is not for an instance"]),
    case(ROUTES, [TO_CLUSTER, "\"cluster\": \"i-1/nobody\""], API, [CLUSTER_FIELD, "there is no cluster `i-1/nobody`"]),
    case(CLUSTERS, ["\"name\": {{ upstream.cluster }}", "\"name\": {{ upstream.name }}"], None, ["name", "begins with `i-1/`"]),
    case(CLUSTERS, ["\"name\": {{ upstream.cluster }}", "\"name\": \"i-2/default\""], UPSTREAM, ["name", "begins with `i-1/`"]),
    case(CLUSTERS, ["\"name\": {{ upstream.cluster }}", "\"name\": \"i-1/\""], None, ["name", "is not the instance's"]),
    // Around the resolved addresses.
    case(ENDPOINTS, ["{{ endpoint.address }}", "\"169.254.169.254\""], UPSTREAM, ["endpoints[0].lb_endpoints[0].endpoint.address.socket_address", "not an address that"]),
    case(ENDPOINTS, ["{{ endpoint.port }}", "9901"], UPSTREAM, ["endpoints[0].lb_endpoints[0].endpoint.address.socket_address", "not an address that"]),
    case(ENDPOINTS, ["\"socket_address\": {\"address\": {{ endpoint.address }}, \"port_value\": {{ endpoint.port }}}", "\"pipe\": {\"path\": \"/run/x\"}"], UPSTREAM, ["endpoints[0].lb_endpoints[0].endpoint.address.pipe", "platform's"]),
    case(ENDPOINTS, ["{{ upstream.cluster }}", "{{ (upstream.cluster ~ \"x\") }}"], UPSTREAM, ["", "no ClusterLoadAssignment"]),
    case(CLUSTERS, ["\"type\": \"EDS\"", "\"type\": \"STRICT_DNS\""], UPSTREAM, ["type", "must be EDS"]),
    case(CLUSTERS, ["\"type\": \"EDS\"", "\"cluster_type\": {\"name\": \"x\"}"], UPSTREAM, ["cluster_type", "is not for an instance"]),
    case(CLUSTERS, ["\"eds_config\": {\"ads\": {}", "\"eds_config\": {\"path\": \"/etc/x\""], UPSTREAM, ["eds_cluster_config.eds_config", "must be ads"]),
    case(CLUSTERS, ["\"eds_config\":", "\"service_name\": \"i-2/default\", \"eds_config\":"], UPSTREAM, ["eds_cluster_config.service_name", "must be absent"]),
    case(CLUSTERS, ["\"connect_timeout\":", "\"load_assignment\": {\"cluster_name\": \"x\"}, \"connect_timeout\":"], UPSTREAM, ["load_assignment", "resource of their own"]),
    case(CLUSTERS, ["\"connect_timeout\":", "\"upstream_bind_config\": {\"source_address\": {\"address\": \"10.0.0.1\", \"port_value\": 0}}, \"connect_timeout\":"], UPSTREAM, ["upstream_bind_config", "platform's"]),
    // Files, environment, secrets, filters, code.
    case(ROUTES, [RESPOND, RESPOND], None, ["", ""]),
    case(ROUTES, ["\"route\": {\"cluster\": {{ instance.default_cluster }}, \"timeout\": \"15s\"}", "\"direct_response\": {\"status\": 200, \"body\": {\"filename\": \"/etc/passwd\"}}"], Some("the top-level `upstream`"), ["virtual_hosts[0].routes[1].direct_response.body.filename", "`/etc/passwd`"]),
    case(ROUTES, ["\"route\": {\"cluster\": {{ instance.default_cluster }}, \"timeout\": \"15s\"}", "\"direct_response\": {\"status\": 200, \"body\": {\"environment_variable\": \"HOME\"}}"], Some("the top-level `upstream`"), ["virtual_hosts[0].routes[1].direct_response.body.environment_variable", "environment"]),
    case(CLUSTERS, ["\"type\": \"EDS\"", "\"type\": \"EDS\", \"transport_socket\": {\"name\": \"tls\", \"typed_config\": {\"@type\": \"type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext\", \"common_tls_context\": {\"tls_certificate_sds_secret_configs\": [{\"name\": \"theirs\"}]}}}"], UPSTREAM, ["transport_socket.typed_config.common_tls_context.tls_certificate_sds_secret_configs[0].name", "secret is not"]),
    case(CLUSTERS, ["\"type\": \"EDS\"", "\"type\": \"EDS\", \"transport_socket\": {\"name\": \"tls\", \"typed_config\": {\"@type\": \"type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext\", \"common_tls_context\": {\"key_log\": {\"path\": \"/tmp/keys\"}}}}"], UPSTREAM, ["transport_socket.typed_config.common_tls_context.key_log.path", "files of a proxy"]),
    case(CLUSTERS, ["\"common_http_protocol_options\":", "\"http_filters\": [{\"name\": \"lua\"}], \"common_http_protocol_options\":"], UPSTREAM, ["typed_extension_protocol_options[\"envoy.extensions.upstreams.http.v3.HttpProtocolOptions\"].http_filters", "filters are the platform's"]),
    case(ROUTES, ["\"virtual_hosts\":", "\"typed_per_filter_config\": {\"envoy.filters.http.lua\": {\"@type\": \"type.googleapis.com/envoy.extensions.filters.http.lua.v3.LuaPerRoute\", \"disabled\": true}}, \"virtual_hosts\":"], None, ["typed_per_filter_config[\"envoy.filters.http.lua\"]", "`shared_extensions`"]),
    case(ROUTES, ["\"virtual_hosts\":", "\"typed_per_filter_config\": {\"x\": {\"@type\": \"type.googleapis.com/xds.type.v3.TypedStruct\", \"type_url\": \"type.googleapis.com/envoy.extensions.filters.http.lua.v3.LuaPerRoute\"}}, \"virtual_hosts\":"], None, ["typed_per_filter_config[\"x\"]", "TypedStruct"]),
    // Not good protobuf, not good for Envoy, not one resource a name.
    case(ROUTES, ["\"domains\":", "\"domain\":"], None, ["virtual_hosts[0]", "unrecognized field name 'domain'"]),
    case(ROUTES, ["\"prefix\": \"/\"}", "\"prefix\": 5}"], Some("the top-level `upstream`"), ["virtual_hosts[0].routes[1].match.prefix", "expected a string"]),
    case(CLUSTERS, ["\"5s\"", "\"0s\""], UPSTREAM, ["connect_timeout", "must be above 0s"]),
    case(CLUSTERS, ["\"type\": \"EDS\"", "\"type\": \"EDS\", \"lb_policy\": 99"], UPSTREAM, ["lb_policy", "has no number 99"]),
    case(ROUTES, ["\"domains\": {{ instance.hostnames }}", "\"domains\": [\"shop.localhost\", \"shop.localhost\"]"], None, ["virtual_hosts[0].domains[1]", "appears twice"]),
    case(SCOPES, ["\"name\": {{ scope.name }}", "\"name\": {{ scope.name }}}, {\"name\": {{ scope.name }}"], HOST, ["", "there are two of the name"]),
    case(SCOPES, ["\"name\": {{ scope.name }},", ""], None, ["", "needs a name"]),
    // Syntax.
    case(ROUTES, ["{{ exposure.route_configuration }}", "\"{{ exposure.route_configuration }}\""], None, ["", "is not JSON"]),
    case(ROUTES, ["{{ instance.hostnames }}", "{{ instance.hostname }}"], None, ["", "undefined value"]),
    case(ROUTES, ["\"domains\": {{ instance.hostnames }}", "\"domains\": [\"shop.localhost\"], \"domains\": []"], None, ["", "`domains` appears twice"]),
    case(ROUTES, ["[\n{%- for exposure", "{% for a in range(10000) %}{% for b in range(10000) %} {% endfor %}{% endfor %}[\n{%- for exposure"], None, ["", "costs more than a template may"]),
    case(ROUTES, ["[\n{%- for exposure", "{% autoescape false %}{{ instance.id }}{% endautoescape %}[\n{%- for exposure"], None, ["", "cannot turn escaping off"]),
    case(ROUTES, ["[\n{%- for exposure", "{{ node.region }}[\n{%- for exposure"], None, ["", "undefined value"]),
];

fn changed(case: &Case) -> Result<Templates, Vec<Complaint>> {
    let files = Templates::builtin_files().iter().map(|&(name, text)| {
        let text = if name == case.file {
            assert!(text.contains(case.from), "{name} does not contain {}", case.from);
            text.replacen(case.from, case.to, 1)
        } else {
            text.to_owned()
        };
        (name.to_owned(), text)
    });
    Templates::compile(&files.collect::<Vec<_>>())
}

#[test]
fn a_template_cannot_break_the_laws() {
    let endpoints = Endpoints::from([
        ("default".into(), vec![([127, 0, 0, 1], 3000).into()]),
        ("api".into(), vec![([127, 0, 0, 1], 3001).into()]),
    ]);
    let spec = common::spec(SERVICE);
    for case in CASES {
        let what = format!("{}: {} => {}", case.file, case.from, case.to);
        let templates = changed(case).unwrap_or_else(|told| panic!("{what}: {told:?}"));
        let rendered = common::render(&templates, &common::platform(), "i-1", &spec, &endpoints);
        if case.from == case.to {
            rendered.unwrap_or_else(|told| panic!("{what}: {told:?}"));
            continue;
        }
        let complaints = rendered.expect_err(&what);
        let found = complaints.iter().any(|complaint| {
            complaint.template == case.file
                && complaint.field.as_deref().unwrap_or_default() == case.field
                && complaint.culprit.as_deref() == case.culprit
                && complaint.message.contains(case.says)
        });
        // A missing assignment is told of the cluster.
        let elsewhere = case.file == ENDPOINTS && complaints[0].message.contains(case.says);
        assert!(found || elsewhere, "{what}: {complaints:#?}");
    }
}

#[test]
fn what_the_platform_shares_may_be_used() {
    let change =
        |from, to| changed(&case(ROUTES, [from, to], None, ["", ""])).expect("it compiles");
    let spec = common::spec(SERVICE);
    let mut platform = common::platform();
    let shared = change(TO_CLUSTER, "\"cluster\": \"sorry-page\"");
    assert!(common::render(&shared, &platform, "i-1", &spec, &Endpoints::new()).is_err());
    platform.shared_clusters.push("sorry-page".into());
    assert!(common::render(&shared, &platform, "i-1", &spec, &Endpoints::new()).is_ok());

    let lua = "\"typed_per_filter_config\": {\"lua\": {\"@type\": \"type.googleapis.com/envoy.extensions.filters.http.lua.v3.LuaPerRoute\", \"disabled\": true}}, \"virtual_hosts\":";
    let lua = change("\"virtual_hosts\":", lua);
    assert!(common::render(&lua, &platform, "i-1", &spec, &Endpoints::new()).is_err());
    platform.shared_extensions.push("envoy.extensions.filters.http.lua.v3.LuaPerRoute".into());
    assert!(common::render(&lua, &platform, "i-1", &spec, &Endpoints::new()).is_ok());
}

#[test]
fn a_template_that_cannot_be_compiled_says_where() {
    let of = "resource: type.googleapis.com/envoy.config.";
    let compile = |text: String| {
        let told = Templates::compile(&[("x.j2".into(), text)]).expect_err("it is bad");
        (told[0].line, told[0].message.clone())
    };
    let (line, message) =
        compile(format!("{{# {of}cluster.v3.Cluster\nfor_each: instance #}}\n[\n{{% for %}}\n]"));
    assert_eq!(line, Some(4), "{message}");
    for (header, says) in [
        (
            format!("{{# {of}cluster.v3.Clustr\nfor_each: group #}}[]"),
            "no type `envoy.config.cluster.v3.Clustr`",
        ),
        (
            format!("{{# {of}listener.v3.Listener\nfor_each: instance #}}[]"),
            "cannot be of an instance",
        ),
        ("[]".to_owned(), "begins with a comment"),
    ] {
        let (_, message) = compile(header);
        assert!(message.contains(says), "{message}");
    }
    let good = |name: &str| {
        (name.to_owned(), format!("{{# {of}cluster.v3.Cluster\nfor_each: group #}}[]"))
    };
    assert!(Templates::compile(&[good("a"), good("b")]).is_ok());
    assert!(Templates::compile(&[good("a"), good("a")]).is_err());
}

#[test]
fn a_group_cannot_take_an_instances_names() {
    let group = |of: &str, text: &str| {
        let text = format!("{{# resource: envoy.config.{of}\nfor_each: group #}}{text}");
        let templates = Templates::compile(&[("x.j2".into(), text)]).expect("it compiles");
        let mut platform = common::platform();
        platform.shared_clusters.push("sorry-page".into());
        templates.group(&platform, &Node::default()).map(|drafts| drafts.len())
    };
    assert_eq!(group("cluster.v3.Cluster", "{\"name\": \"sorry-page\"}"), Ok(1));
    assert!(group("cluster.v3.Cluster", "{\"name\": \"i-1/default\"}").is_err());
    assert!(group("route.v3.RouteConfiguration", "{\"name\": \"public/i-1\"}").is_err());
    assert_eq!(group("route.v3.RouteConfiguration", "{\"name\": \"other\"}"), Ok(1));
}
