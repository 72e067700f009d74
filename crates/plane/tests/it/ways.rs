//! Each way in which Envoy refuses a resource, tried on a real one: of the service that has it, nothing
//! but its reason is seen, and all others go on.
//!
//! | way | what Envoy does with a response that has it | found by |
//! |---|---|---|
//! | a rule of protoc-gen-validate, at the top of a cluster | refuses all of it | the renderer |
//! | such a rule inside a typed configuration | refuses the resource | the renderer |
//! | fields that contradict each other | refuses the resource | Envoy, asked |
//! | the same inside a typed configuration | refuses the resource | Envoy, asked |
//! | one bad route of a virtual host: a regex, a header, an operator | refuses the route configuration | Envoy, asked |
//! | a domain twice, a cluster that is not there | refuses the route configuration | the renderer |
//!
//! What the renderer lets pass is tried twice: with an Envoy that is asked, and without one, when it is
//! the proxy that refuses it. A response that has one resource refused of many is in the tests of the
//! discovery server; services that answer each other's hostnames, in `proxies`; a proxy that refuses
//! what others take, in `broken`; an older one, in `gate`.

use std::sync::Arc;

use model::Spec;
use plane::{Convergence, ProxyState, Validator};
use render::Templates;

use crate::envoy::upstream;
use crate::gate::envoy;
use crate::line::{Line, converged, live};
use crate::world::{spec, until, with_template};

/// A way to fail.
struct Way {
    what: &'static str,
    template: &'static str,
    /// In the template, and what is there instead for the instance `bad`.
    good: &'static str,
    bad: &'static str,
    /// In what is told to its owner.
    said: &'static str,
}

const PLACE: &str = "\"most_specific_header_mutations_wins\": true,";
const ROUTES: &str = "\"routes\": [\n";
const PROTOCOL: &str = "\"explicit_http_config\": {\"http_protocol_options\": {}},";

/// What the renderer finds.
const RENDERER: &[Way] = &[
    Way {
        what: "a rule, at the top of a cluster",
        template: "clusters.json.j2",
        good: "\"connect_timeout\": \"5s\",",
        bad: "\"connect_timeout\": \"0s\",",
        said: "must be above 0s",
    },
    Way {
        what: "a rule, inside a typed configuration",
        template: "clusters.json.j2",
        good: PROTOCOL,
        bad: "\"explicit_http_config\": {\"http2_protocol_options\": {\"max_concurrent_streams\": 0}},",
        said: "must be at least 1",
    },
    Way {
        what: "a domain twice",
        template: "routes.json.j2",
        good: "\"domains\": {{ instance.hostnames }},",
        bad: "\"domains\": {{ instance.hostnames + instance.hostnames }},",
        said: "bad.example.com",
    },
    Way {
        what: "a cluster that is not there",
        template: "routes.json.j2",
        good: ROUTES,
        bad: r#""routes": [{"name": {{ instance.id ~ "/odd" }}, "match": {"prefix": "/odd"}, "route": {"cluster": {{ instance.id ~ "/nowhere" }}}},"#,
        said: "nowhere",
    },
];

/// What only Envoy finds.
const ENVOY: &[Way] = &[
    Way {
        what: "fields that contradict each other",
        template: "clusters.json.j2",
        good: "\"type\": \"EDS\",",
        bad: "\"type\": \"EDS\", \"lb_policy\": \"CLUSTER_PROVIDED\",",
        said: "cluster provided LB",
    },
    Way {
        what: "the same inside a typed configuration",
        template: "clusters.json.j2",
        good: PROTOCOL,
        bad: "\"auto_config\": {},",
        said: "ALPN",
    },
    Way {
        what: "a regex",
        template: "routes.json.j2",
        good: ROUTES,
        bad: r#""routes": [{"name": {{ instance.id ~ "/odd" }}, "match": {"safe_regex": {"regex": "/a("}}, "direct_response": {"status": 204}},"#,
        said: "/a(",
    },
    Way {
        what: "a header that may not be changed",
        template: "routes.json.j2",
        good: PLACE,
        bad: r#""most_specific_header_mutations_wins": true, "request_headers_to_add": [{"header": {"key": "host", "value": "x"}}],"#,
        said: "may not be modified",
    },
    Way {
        what: "an operator that does not exist",
        template: "routes.json.j2",
        good: PLACE,
        bad: r#""most_specific_header_mutations_wins": true, "response_headers_to_add": [{"header": {"key": "x-bad", "value": "%NO_SUCH_COMMAND%"}}],"#,
        said: "NO_SUCH_COMMAND",
    },
];

impl Way {
    /// The default templates, but for the instance `bad` while its upstream is at this port.
    fn templates(&self, port: u16) -> Templates {
        let builtin = Templates::builtin_files().iter().find(|(name, _)| *name == self.template);
        let (_, text) = builtin.unwrap();
        assert!(text.contains(self.good), "{}: the template has changed", self.what);
        let when = format!(
            "instance.id == \"bad\" and instance.upstreams[0].endpoints and instance.upstreams[0].endpoints[0].port == {port}"
        );
        let either =
            format!("{{% if {when} %}}{}{{% else %}}{}{{% endif %}}\n", self.bad, self.good);
        with_template(self.template, &text.replace(self.good, &either))
    }
}

/// How often the proxy has refused anything.
async fn refusals(line: &Line) -> u64 {
    let (_, stats) =
        crate::envoy::get(line.envoys[0].admin, "admin", "/stats?filter=update_rejected").await;
    stats.lines().filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

/// Others and `bad` live; then `bad` fails in this way while others change; then it is mended.
async fn only_one_is_hurt(way: &Way, is_asked: bool, is_sent: bool) {
    const OTHERS: usize = 5;
    let what = way.what;
    let (good, bad, new) = (upstream("good").await, upstream("bad").await, upstream("new").await);
    let judges = |world: &_| -> Vec<Arc<dyn Validator>> {
        if is_asked { vec![envoy(world)] } else { Vec::new() }
    };
    let line = Line::judged(way.templates(bad.port()), judges).await;
    assert_eq!(line.publish("bad", good).await, live(1), "{what}");
    for n in 0..OTHERS {
        assert_eq!(line.publish(&format!("other{n}"), good).await, live(1), "{what}");
    }

    let at = |upstream: std::net::SocketAddr| -> Spec { spec("bad", &upstream.to_string()) };
    let revision = line.world.publish("bad", Some(&at(bad))).await;
    for n in 0..OTHERS {
        assert_eq!(line.publish(&format!("other{n}"), new).await, live(1), "{what}");
    }
    let told = converged(&line.running, "bad", revision).await;
    let Convergence::Rejected { reason } = told else { panic!("{what}: {told:?}") };
    assert!(reason.contains(way.said), "{what}: {reason}");
    assert_eq!(reason.contains("Envoy refused"), is_sent, "{what}: {reason}");
    assert_eq!(refusals(&line).await > 0, is_sent, "{what}");
    assert_eq!(line.get("bad.example.com").await, (200, "good".to_owned()), "{what}");
    for n in 0..OTHERS {
        let answer = line.get(&format!("other{n}.example.com")).await;
        assert_eq!(answer, (200, "new".to_owned()), "{what}");
    }
    let fleet = line.running.plane.fleet();
    assert_eq!((fleet.quarantined, fleet.in_flight), (1, 0), "{what}");
    until("the proxy is live", || {
        line.running.plane.fleet().proxies.iter().all(|proxy| proxy.state == ProxyState::Live)
    })
    .await;

    assert_eq!(line.publish("bad", new).await, live(1), "{what}: mended");
    assert_eq!(line.get("bad.example.com").await, (200, "new".to_owned()), "{what}");
    assert_eq!(line.running.plane.fleet().quarantined, 0, "{what}");
    line.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_renderer_refuses_hurts_only_its_own_and_no_proxy_sees_it() {
    for way in RENDERER {
        only_one_is_hurt(way, false, false).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_envoy_refuses_when_it_is_asked_hurts_only_its_own_and_no_proxy_sees_it() {
    for way in ENVOY {
        only_one_is_hurt(way, true, false).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_proxy_refuses_hurts_only_its_own() {
    for way in ENVOY {
        only_one_is_hurt(way, false, true).await;
    }
}
