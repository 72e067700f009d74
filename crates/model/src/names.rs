//! Identifiers and names, each with its limits checked once, at construction.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a string is not the name that it should be. The text is for the person who wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NameError(pub String);

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                $check(text).map(Self)
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// A hostname as lower-case A-labels (RFC 5890), without port or trailing dot, 253 octets at
    /// most; the first label may be `*` (a wildcard, which is granted, not taken). Unicode input is
    /// converted. It needs two labels or more, so that no bare word becomes a name of the internet.
    Hostname, hostname
}
name! {
    /// A service's name: a DNS label, lower case, 1 to 40 characters, beginning with a letter, so
    /// that `<service>.<zone>` is always a hostname.
    ServiceName, service_name
}
name! {
    /// OSB `binding_id`, chosen by the platform: 1 to 128 of the unreserved characters of URLs.
    BindingId, opaque_id
}
name! {
    /// The id of a credential; ours are UUIDs of version 7.
    CredentialId, opaque_id
}
name! {
    /// A credential's name: 1 to 64 of a-z, 0-9, `.`, `_`, `@` and `-`, beginning with a letter or a
    /// digit. No colon, which ends a name in HTTP's Basic and marks those who log in elsewhere.
    CredentialName, credential_name
}
name! {
    /// A group of proxies that get the same: `node.cluster`, 1 to 63 of A-Z, a-z, 0-9, `-`, `_` and `.`,
    /// beginning with a letter or a digit.
    GroupName, group_name
}
name! {
    /// One proxy: `node.id`, 1 to 128 of A-Z, a-z, 0-9, `-`, `_` and `.`, beginning with a letter or a
    /// digit.
    NodeId, node_id
}
name! {
    /// The OSB `instance_id`: chosen by the platform, any 1 to 128 characters that are safe in a
    /// resource name and in a URL path segment (`A-Z a-z 0-9 - . _ ~`).
    InstanceId, opaque_id
}
name! {
    /// The OSB `operation` string; ours are UUIDs of version 7.
    OperationId, opaque_id
}

name! {
    /// A domain below which names need no proof: as a hostname, but without a wildcard, and one label
    /// is enough.
    Zone, zone
}

/// Domains at which a proof of one hostname may be: its own, and so many above it less one.
pub const LINEAGE_MAX: usize = 8;

impl Zone {
    /// Whether the name is the zone's own, or below it. A wildcard is as what is before it.
    pub fn covers(&self, hostname: &Hostname) -> bool {
        let name = hostname.base();
        let above = name.strip_suffix(self.as_str());
        above.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }
}

impl Hostname {
    /// The name without its wildcard.
    pub fn base(&self) -> &str {
        self.0.strip_prefix("*.").unwrap_or(&self.0)
    }

    /// The domain of the name and those above it that have two labels or more, nearest first, at most
    /// [`LINEAGE_MAX`]: whoever has one of them has the name.
    pub fn lineage(&self) -> impl Iterator<Item = &str> {
        let above = |name: &str| name.find('.').map(|dot| dot + 1);
        std::iter::successors(Some(self.base()), move |name| name.get(above(name)?..))
            .filter(|name| name.contains('.'))
            .take(LINEAGE_MAX)
    }

    /// Where a record may be that proves whose the name is, nearest first.
    pub fn proof_records(&self) -> impl Iterator<Item = String> {
        let records = self.lineage().map(|domain| format!("_margrave.{domain}"));
        records.filter(|record| record.len() <= 253)
    }

    /// Whether the first label is `*`.
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with("*.")
    }

    /// The wildcard one label above, under which this name would fall; none above a wildcard.
    pub fn wildcard(&self) -> Option<Self> {
        let (first, parent) = self.0.split_once('.')?;
        (first != "*" && parent.contains('.')).then(|| Self(format!("*.{parent}")))
    }
}

fn hostname(text: &str) -> Result<String, NameError> {
    let bad = |why: &str| NameError(format!("`{}` is not a hostname: {why}", clip(text)));
    if text.len() > 1000 {
        return Err(bad("it is longer than 253 octets"));
    }
    let (star, rest) = match text.strip_prefix("*.") {
        Some(rest) => ("*.", rest),
        None => ("", text),
    };
    if rest.contains(':') || rest.contains('/') {
        return Err(bad("leave out scheme, port and path"));
    }
    if rest.ends_with('.') {
        return Err(bad("leave out the trailing dot"));
    }
    let ascii = idna::domain_to_ascii_strict(rest)
        .map_err(|_| bad("labels are letters, digits and inner hyphens, 63 octets at most"))?;
    if star.len() + ascii.len() > 253 {
        return Err(bad("it is longer than 253 octets"));
    }
    if !ascii.contains('.') {
        return Err(bad("it needs two labels or more, such as `shop.example.com`"));
    }
    if ascii.parse::<std::net::Ipv4Addr>().is_ok() {
        return Err(bad("an address is not a name"));
    }
    Ok(format!("{star}{ascii}"))
}

fn zone(text: &str) -> Result<String, NameError> {
    let below = hostname(&format!("x.{text}"));
    let bad = || NameError(format!("`{}` is not a zone, such as `example.com`", clip(text)));
    below.map(|name| name["x.".len()..].to_owned()).map_err(|_| bad())
}

fn service_name(text: &str) -> Result<String, NameError> {
    let fits = (1..=40).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && !text.ends_with('-')
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if fits {
        return Ok(text.to_owned());
    }
    Err(NameError(format!(
        "`{}` is not a service name: 1 to 40 of a-z, 0-9 and inner hyphens, beginning with a letter",
        clip(text)
    )))
}

fn credential_name(text: &str) -> Result<String, NameError> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let fits = (1..=64).contains(&text.len())
        && text.bytes().next().is_some_and(plain)
        && text.bytes().all(|b| plain(b) || matches!(b, b'.' | b'_' | b'@' | b'-'));
    if fits {
        return Ok(text.to_owned());
    }
    Err(NameError(format!(
        "`{}` is not a credential's name: 1 to 64 of a-z, 0-9, `.`, `_`, `@` and `-`, beginning with \
         a letter or a digit",
        clip(text)
    )))
}

fn opaque_id(text: &str) -> Result<String, NameError> {
    let safe = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    if (1..=128).contains(&text.len()) && text.bytes().all(safe) {
        return Ok(text.to_owned());
    }
    Err(NameError(format!(
        "`{}` is not an id: 1 to 128 of A-Z, a-z, 0-9, `-`, `.`, `_` and `~`",
        clip(text)
    )))
}

fn group_name(text: &str) -> Result<String, NameError> {
    plain(text, 63).ok_or_else(|| {
        NameError(format!(
            "`{}` is not a group: 1 to 63 of A-Z, a-z, 0-9, `-`, `_` and `.`, beginning with a letter or a digit",
            clip(text)
        ))
    })
}

fn node_id(text: &str) -> Result<String, NameError> {
    plain(text, 128).ok_or_else(|| {
        NameError(format!(
            "`{}` is not a node: 1 to 128 of A-Z, a-z, 0-9, `-`, `_` and `.`, beginning with a letter or a digit",
            clip(text)
        ))
    })
}

/// What may stand in a path without being escaped or meaning anything there.
fn plain(text: &str, most: usize) -> Option<String> {
    let safe = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let begins = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    (begins && text.len() <= most && text.bytes().all(safe)).then(|| text.to_owned())
}

fn clip(text: &str) -> String {
    text.chars().take(60).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostnames_become_lower_case_a_labels() {
        for (given, stored) in [
            ("Shop.Example.COM", "shop.example.com"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("*.w.example.com", "*.w.example.com"),
        ] {
            assert_eq!(given.parse::<Hostname>().map(String::from), Ok(stored.to_owned()));
        }
    }

    #[test]
    fn a_name_falls_under_the_wildcard_one_label_above() {
        for (name, above) in [
            ("a.shop.example.com", Some("*.shop.example.com")),
            ("*.shop.example.com", None),
            ("example.com", None),
        ] {
            let name: Hostname = name.parse().unwrap();
            assert_eq!(name.wildcard().as_ref().map(Hostname::as_str), above);
        }
    }

    #[test]
    fn a_zone_covers_itself_and_what_is_below_it() {
        for (zone, name, covers) in [
            ("example.com", "example.com", true),
            ("example.com", "a.b.example.com", true),
            ("Example.COM", "*.example.com", true),
            ("example.com", "badexample.com", false),
            ("example.com", "example.com.evil.org", false),
            ("a.example.com", "example.com", false),
            ("localhost", "shop.localhost", true),
        ] {
            let (zone, name): (Zone, Hostname) = (zone.parse().unwrap(), name.parse().unwrap());
            assert_eq!(zone.covers(&name), covers, "{zone} {name}");
        }
        for bad in ["", ".", "a b", "*.example.com", "example.com.", "a:1"] {
            assert!(bad.parse::<Zone>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_proof_may_be_at_the_name_and_above_it_but_not_at_a_top_level() {
        for (name, expected) in [
            ("a.shop.example.com", &["a.shop.example.com", "shop.example.com", "example.com"][..]),
            ("*.shop.example.com", &["shop.example.com", "example.com"]),
            ("example.com", &["example.com"]),
        ] {
            let name: Hostname = name.parse().unwrap();
            assert_eq!(name.lineage().collect::<Vec<_>>(), expected);
        }
        let deep: Hostname = format!("{}example.com", "a.".repeat(60)).parse().unwrap();
        assert_eq!(deep.lineage().count(), LINEAGE_MAX);
    }

    #[test]
    fn what_is_not_a_hostname_is_refused_with_a_reason() {
        for bad in [
            "",
            "shop",
            "a..b",
            "a.b.",
            "a.b:80",
            "http://a.b",
            "-a.b",
            "10.0.0.1",
            "a_b.c",
            "*.*.a.b",
            "a%b.c",
        ] {
            assert!(bad.parse::<Hostname>().is_err(), "{bad}");
        }
    }
}
