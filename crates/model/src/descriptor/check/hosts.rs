//! Hostnames: sorted, and none of them where the service's own requests would go round in a circle.

use crate::Hostname;
use crate::descriptor::refusal::{Refusals, Spot, quote};
use crate::descriptor::{Address, Code, Refusal, syntax};

/// The hostnames, sorted.
pub(super) fn check(written: &syntax::Descriptor, refusals: &mut Refusals) -> Vec<Hostname> {
    let given = written.hostnames.value().map(|set| set.0.as_slice()).unwrap_or_default();
    let mut hostnames: Vec<Hostname> = given.iter().map(|at| at.value.clone()).collect();
    hostnames.sort();
    no_circle(written, &hostnames, refusals);
    hostnames
}

/// An upstream that is the service's own hostname leads back to the edge.
fn no_circle(written: &syntax::Descriptor, own: &[Hostname], refusals: &mut Refusals) {
    let mut used: Vec<(&Address, &Spot)> = Vec::new();
    used.extend(written.upstream.at().map(|at| (&at.value.address, &at.spot)));
    for (_, upstream) in written.upstreams.value().map(|map| map.0.as_slice()).unwrap_or_default() {
        let Some(upstream) = upstream.value() else { continue };
        used.extend(upstream.url.at().map(|at| (&at.value.address, &at.spot)));
        let addresses = upstream.addresses.value().map(|set| set.0.as_slice()).unwrap_or_default();
        used.extend(addresses.iter().map(|at| (&at.value.0, &at.spot)));
    }
    for (address, spot) in used {
        if is_own(address, own) {
            let message = format!(
                "{} is a hostname of this service: its requests would come back to the edge",
                quote(&address.host)
            );
            refusals.push(
                Refusal::new(Code::Loop, spot, message).help("name the machine that answers them"),
            );
        }
    }
}

/// Whether the edge answers at an address in the name of this service.
pub(super) fn is_own(address: &Address, own: &[Hostname]) -> bool {
    matches!(address.port, 80 | 443) && own.iter().any(|name| name.as_str() == address.host)
}
