//! Which name servers are asked.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

/// Where the system keeps its own.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// The largest such file that is read, in bytes.
const RESOLV_CONF_BYTES_MAX: u64 = 64 << 10;
/// Servers that are asked one after the other, as everybody's resolver does.
const SERVERS_MAX: usize = 3;
/// DNS.
const PORT: u16 = 53;

/// Name servers that look things up for others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Servers {
    /// Those of the system, as they are when they are needed.
    System,
    /// These.
    These(Vec<SocketAddr>),
}

impl Servers {
    /// From addresses with commas between them, each with or without a port; empty: the system's.
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::System);
        }
        let servers: Option<Vec<_>> = text.split(',').map(|one| address(one.trim())).collect();
        servers.filter(|servers| servers.len() <= SERVERS_MAX).map(Self::These)
    }

    /// Whom to ask now.
    pub fn now(&self) -> Vec<SocketAddr> {
        match self {
            Self::These(servers) => servers.clone(),
            Self::System => system(Path::new(RESOLV_CONF)),
        }
    }
}

fn address(text: &str) -> Option<SocketAddr> {
    let alone = || text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, PORT));
    text.parse().ok().or_else(alone)
}

/// What a system says that says nothing: itself.
fn system(path: &Path) -> Vec<SocketAddr> {
    let is_small = std::fs::metadata(path).is_ok_and(|it| it.len() <= RESOLV_CONF_BYTES_MAX);
    let text =
        if is_small { std::fs::read_to_string(path).unwrap_or_default() } else { String::new() };
    let found = listed(&text);
    if found.is_empty() { vec![SocketAddr::from(([127, 0, 0, 1], PORT))] } else { found }
}

/// The servers of a `resolv.conf`.
fn listed(text: &str) -> Vec<SocketAddr> {
    let server = |line: &str| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver")).then(|| address(words.next()?)).flatten()
    };
    text.lines().filter_map(server).take(SERVERS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_as_people_write_them() {
        let these = |list: &[&str]| {
            Some(Servers::These(list.iter().map(|one| one.parse().unwrap()).collect()))
        };
        for (text, expected) in [
            ("", Some(Servers::System)),
            ("10.0.0.2", these(&["10.0.0.2:53"])),
            ("10.0.0.2:5353, ::1", these(&["10.0.0.2:5353", "[::1]:53"])),
            ("dns.example.com", None),
            ("10.0.0.2,", None),
            ("1.1.1.1,1.1.1.2,1.1.1.3,1.1.1.4", None),
        ] {
            assert_eq!(Servers::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn the_systems_are_those_of_its_file() {
        let text = "# nameserver 1.1.1.1\nsearch a.b\nnameserver 10.0.0.2\nnameserver fe80::1%eth0\n\
                    nameserver ::1\noptions edns0";
        let expected: Vec<SocketAddr> =
            ["10.0.0.2:53", "[::1]:53"].iter().map(|one| one.parse().unwrap()).collect();
        assert_eq!(listed(text), expected);
        assert_eq!(system(Path::new("/nowhere")), ["127.0.0.1:53".parse().unwrap()]);
    }
}
