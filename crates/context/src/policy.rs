//! Which addresses an upstream may have, judged after resolution: what was checked is what is used.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv6Net};

/// What may be dialled on behalf of a tenant.
#[derive(Debug, Clone)]
pub struct AddressPolicy {
    /// Loopback may be dialled (`margrave dev`).
    loopback: bool,
    /// Where the platform itself listens.
    own: Vec<SocketAddr>,
    /// Beside the built-in list, what an operator forbids.
    denied: Vec<IpNet>,
}

/// Why an address may not be dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// 127.0.0.0/8 or `::1`.
    #[error("is a loopback address, which is refused on this platform")]
    Loopback,
    /// 169.254.0.0/16 or fe80::/10.
    #[error("is a link-local address")]
    LinkLocal,
    /// The address of a cloud's metadata service.
    #[error("is the address of a cloud's metadata service")]
    Metadata,
    /// 224.0.0.0/4 or ff00::/8.
    #[error("is a multicast address")]
    Multicast,
    /// 0.0.0.0/8 or `::`.
    #[error("is an unspecified address")]
    Unspecified,
    /// 255.255.255.255.
    #[error("is the broadcast address")]
    Broadcast,
    /// A port on which the platform itself listens.
    #[error("is one of the platform's own ports")]
    OwnPort,
    /// Port 0.
    #[error("has no port")]
    NoPort,
    /// Forbidden by the operator.
    #[error("is in a network that the platform's operator has forbidden")]
    Denied,
}

/// Metadata services that are not link-local: AWS (IPv6), Azure, Alibaba, Oracle.
const METADATA: [IpAddr; 4] = [
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
];

/// The metadata service of most clouds, which deserves its own word.
const METADATA_LINK_LOCAL: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);

impl AddressPolicy {
    /// For `serve`: no loopback. `own` is where the platform listens; a wildcard address among them
    /// forbids its port everywhere, for the plane cannot know which addresses are its own hosts'.
    pub fn strict(own: Vec<SocketAddr>) -> Self {
        Self { loopback: false, own, denied: Vec::new() }
    }

    /// For `dev`: loopback is where a developer's upstreams are, but for the platform's own ports.
    pub fn dev(own: Vec<SocketAddr>) -> Self {
        Self { loopback: true, ..Self::strict(own) }
    }

    /// Forbids networks beside the built-in ones.
    #[must_use]
    pub fn deny(mut self, networks: Vec<IpNet>) -> Self {
        self.denied = networks;
        self
    }

    /// Whether this address may be dialled. An IPv4 address inside an IPv6 one is judged as IPv4.
    pub fn check(&self, address: SocketAddr) -> Result<(), Refused> {
        if address.port() == 0 {
            return Err(Refused::NoPort);
        }
        let ip = plain(address.ip());
        forbidden(ip)?;
        if ip.is_loopback() && !self.loopback {
            return Err(Refused::Loopback);
        }
        if self.own.iter().any(|own| same_socket(*own, ip, address.port())) {
            return Err(Refused::OwnPort);
        }
        if self.denied.iter().any(|net| net.contains(&ip)) {
            return Err(Refused::Denied);
        }
        Ok(())
    }
}

fn forbidden(ip: IpAddr) -> Result<(), Refused> {
    let is_this_network = matches!(ip, IpAddr::V4(v4) if v4.octets()[0] == 0);
    if ip.is_unspecified() || is_this_network {
        return Err(Refused::Unspecified);
    }
    if ip == METADATA_LINK_LOCAL || METADATA.contains(&ip) {
        return Err(Refused::Metadata);
    }
    if ip.is_multicast() {
        return Err(Refused::Multicast);
    }
    match ip {
        IpAddr::V4(v4) if v4.is_broadcast() => Err(Refused::Broadcast),
        IpAddr::V4(v4) if v4.is_link_local() => Err(Refused::LinkLocal),
        IpAddr::V6(v6) if v6.is_unicast_link_local() => Err(Refused::LinkLocal),
        _ => Ok(()),
    }
}

/// All of loopback is one host; a wildcard is every address of it.
fn same_socket(own: SocketAddr, ip: IpAddr, port: u16) -> bool {
    let own_ip = plain(own.ip());
    own.port() == port
        && (own_ip == ip || own_ip.is_unspecified() || own_ip.is_loopback() && ip.is_loopback())
}

/// Takes an IPv4 address out of the IPv6 forms that lead to it: mapped (RFC 4291), compatible,
/// NAT64 (RFC 6052) and 6to4 (RFC 3056).
fn plain(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip else { return ip };
    if let Some(v4) = v6.to_ipv4_mapped() {
        return IpAddr::V4(v4);
    }
    let octets = v6.octets();
    let last: [u8; 4] = std::array::from_fn(|i| octets[12 + i]);
    let second: [u8; 4] = std::array::from_fn(|i| octets[2 + i]);
    let nat64 = Ipv6Net::new_assert(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);
    let compatible = Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 96);
    let six_to_four = Ipv6Net::new_assert(Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16);
    if nat64.contains(&v6) || compatible.contains(&v6) && !is_in_low_v6(v6) {
        return IpAddr::V4(last.into());
    }
    if six_to_four.contains(&v6) {
        return IpAddr::V4(second.into());
    }
    ip
}

/// `::` and `::1` are IPv6's own, not the compatible form of 0.0.0.0 and 0.0.0.1.
fn is_in_low_v6(v6: Ipv6Addr) -> bool {
    v6.is_unspecified() || v6.is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn own() -> Vec<SocketAddr> {
        ["127.0.0.1:9901", "10.0.0.1:8080", "0.0.0.0:10080"].map(address).to_vec()
    }

    #[test]
    fn what_no_tenant_may_dial_is_refused_in_every_spelling() {
        use Refused::{
            Broadcast, LinkLocal, Loopback, Metadata, Multicast, NoPort, OwnPort, Unspecified,
        };
        for (text, why) in [
            ("127.0.0.1:80", Loopback),
            ("127.9.9.9:80", Loopback),
            ("[::1]:80", Loopback),
            ("[::ffff:127.0.0.1]:80", Loopback),
            ("[64:ff9b::7f00:1]:80", Loopback),
            ("[2002:7f00:1::]:80", Loopback),
            ("[::127.0.0.1]:80", Loopback),
            ("169.254.1.1:80", LinkLocal),
            ("[fe80::1]:80", LinkLocal),
            ("169.254.169.254:80", Metadata),
            ("[::ffff:169.254.169.254]:80", Metadata),
            ("[fd00:ec2::254]:80", Metadata),
            ("168.63.129.16:80", Metadata),
            ("224.0.0.1:80", Multicast),
            ("[ff02::1]:80", Multicast),
            ("0.0.0.0:80", Unspecified),
            ("0.1.2.3:80", Unspecified),
            ("[::]:80", Unspecified),
            ("[::ffff:0.0.0.0]:80", Unspecified),
            ("255.255.255.255:80", Broadcast),
            ("10.0.0.1:8080", OwnPort),
            ("[::ffff:10.0.0.1]:8080", OwnPort),
            ("10.7.7.7:10080", OwnPort),
            ("10.0.0.5:0", NoPort),
        ] {
            assert_eq!(AddressPolicy::strict(own()).check(address(text)), Err(why), "{text}");
        }
    }

    #[test]
    fn ordinary_addresses_are_allowed() {
        for text in ["10.0.0.5:8080", "192.168.1.1:80", "8.8.8.8:443", "[2001:db8::1]:80"] {
            assert_eq!(AddressPolicy::strict(own()).check(address(text)), Ok(()), "{text}");
        }
    }

    #[test]
    fn a_developer_may_use_loopback_but_not_the_platforms_ports_there() {
        let policy = AddressPolicy::dev(own());
        for (text, expected) in [
            ("127.0.0.1:3000", Ok(())),
            ("[::1]:3000", Ok(())),
            ("127.0.0.1:9901", Err(Refused::OwnPort)),
            ("127.0.0.7:9901", Err(Refused::OwnPort)),
            ("[::1]:9901", Err(Refused::OwnPort)),
            ("127.0.0.1:10080", Err(Refused::OwnPort)),
            ("[::ffff:127.0.0.1]:9901", Err(Refused::OwnPort)),
            ("169.254.169.254:80", Err(Refused::Metadata)),
        ] {
            assert_eq!(policy.check(address(text)), expected, "{text}");
        }
    }

    #[test]
    fn an_operator_may_forbid_more() {
        let policy = AddressPolicy::strict(Vec::new()).deny(vec!["10.1.0.0/16".parse().unwrap()]);
        assert_eq!(policy.check(address("10.1.2.3:80")), Err(Refused::Denied));
        assert_eq!(policy.check(address("10.2.2.3:80")), Ok(()));
    }
}
