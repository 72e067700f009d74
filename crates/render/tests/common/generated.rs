//! Generated descriptors, rendered.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use model::descriptor::generate;
use model::descriptor::{Descriptor, Upstream};
use render::{Draft, Endpoints, Templates};

/// What a generated descriptor becomes.
pub(crate) fn drafts(templates: &Templates, seed: u64) -> Vec<Draft> {
    let (text, descriptor) = generate::descriptor(seed);
    let endpoints = endpoints(&descriptor, seed);
    let mut spec = super::spec_of(descriptor);
    // In a store a hostname is one instance's.
    spec.hostnames = (0..spec.hostnames.len())
        .map(|n| super::hostname(&format!("h{n}.s{seed}.localhost")))
        .collect();
    let (id, platform) = (format!("i-{seed}"), super::platform());
    let callers = &["b-one", "b-two"].map(|id| super::callers::Bound::new(id).caller());
    let callers = &callers[..seed as usize % 3];
    let rendered = super::render_for(templates, &platform, &id, &spec, &endpoints, callers);
    rendered.unwrap_or_else(|told| panic!("seed {seed}: {told:#?}\n{text}"))
}

/// As the plane would resolve them; a name may lead nowhere.
pub(crate) fn endpoints(descriptor: &Descriptor, seed: u64) -> Endpoints {
    let parameters = &descriptor.parameters;
    let resolve = |upstream: &Upstream| {
        let at = |host: &str, n: usize| {
            let made = || IpAddr::from(Ipv4Addr::new(10, 0, seed as u8, n as u8));
            host.parse::<IpAddr>().unwrap_or_else(|_| made())
        };
        let addresses = upstream.addresses.iter().enumerate();
        let all: BTreeSet<_> =
            addresses.map(|(n, to)| SocketAddr::from((at(&to.host, n), to.port))).collect();
        if seed.is_multiple_of(7) { Vec::new() } else { all.into_iter().collect() }
    };
    let top = parameters.upstream.iter().map(|upstream| ("default".to_owned(), resolve(upstream)));
    let named =
        parameters.upstreams.iter().map(|(name, upstream)| (name.clone(), resolve(upstream)));
    top.chain(named).collect()
}
