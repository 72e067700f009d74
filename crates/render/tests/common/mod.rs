//! What the tests of the renderer share: specs by hand, a platform, and a real Envoy.
#![allow(dead_code, reason = "each test file uses some of it")]

pub(crate) mod callers;
pub(crate) mod envoy;
pub(crate) mod generated;
pub(crate) mod live;

use model::{Caller, Descriptor, Hostname, InstanceId, Node, Spec};
use render::{Complaint, Draft, Endpoints, Input, Platform, Sources, Templates};

/// A platform as `margrave dev` has it.
pub(crate) fn platform() -> Platform {
    Platform {
        zone: "localhost".into(),
        internal: ([127, 0, 0, 1], 11080).into(),
        public: ([127, 0, 0, 1], 10080).into(),
        trusted_hops: 0,
        on_demand: false,
        shared_clusters: Vec::new(),
        shared_extensions: Vec::new(),
        sources: Sources::default(),
        direct: true,
        trusted_ca: render::TRUSTED_CA.into(),
        access_log: None,
    }
}

/// A spec from a descriptor.
pub(crate) fn spec(yaml: &str) -> Spec {
    let descriptor = Descriptor::from_yaml(yaml).unwrap_or_else(|told| panic!("{told:?}"));
    spec_of(descriptor)
}

/// A spec as the broker makes it of a descriptor.
pub(crate) fn spec_of(descriptor: Descriptor) -> Spec {
    let Descriptor { visibility: plan, parameters } = descriptor;
    let mut hostnames = parameters.hostnames.clone();
    if hostnames.is_empty() {
        hostnames.push(hostname(&format!("{}.localhost", parameters.service)));
    }
    Spec { plan, parameters, hostnames }
}

/// A hostname.
pub(crate) fn hostname(text: &str) -> Hostname {
    text.parse().expect("it is a hostname")
}

/// Renders a spec as the instance `id`, which nobody is bound to.
pub(crate) fn render(
    templates: &Templates,
    platform: &Platform,
    id: &str,
    spec: &Spec,
    endpoints: &Endpoints,
) -> Result<Vec<Draft>, Vec<Complaint>> {
    render_for(templates, platform, id, spec, endpoints, &[])
}

/// Renders a spec as the instance `id` with these callers.
pub(crate) fn render_for(
    templates: &Templates,
    platform: &Platform,
    id: &str,
    spec: &Spec,
    endpoints: &Endpoints,
    callers: &[Caller],
) -> Result<Vec<Draft>, Vec<Complaint>> {
    let id: InstanceId = id.parse().expect("it is an id");
    let input = Input { id: &id, spec, endpoints, callers, withheld: &[] };
    templates.instance(platform, &Node::default(), input)
}
