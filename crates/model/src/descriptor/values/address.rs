//! Addresses and URLs: of upstreams, and of redirects.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::path;
use crate::descriptor::Address;
use crate::descriptor::decode::{Scalar, Wrong};
use crate::descriptor::refusal::quote;

/// `host:port`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct AddressText(pub(crate) Address);

/// `http://host[:port]` or `https://host[:port]` of an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UpstreamUrl {
    pub(crate) tls: bool,
    pub(crate) address: Address,
}

/// Where a redirect leads: a path, or an absolute URL without query, as it will be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RedirectTarget {
    Path(String),
    Url {
        tls: bool,
        address: Address,
        /// Without one the request's own path is kept.
        path: Option<String>,
    },
}

impl Scalar for AddressText {
    const WHAT: &'static str = "an address such as `web.internal:8080`";
    const CHARS_MAX: usize = 260;
    const PATTERN: &'static str = r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}$";

    fn parse(text: &str) -> Result<Self, Wrong> {
        if let Some((scheme, _)) = text.split_once("://") {
            return Err(wrong(text, "an address", "it has no scheme")
                .help(format!("leave out `{scheme}://`; say `tls: true` for https")));
        }
        let (host, port) = authority(text, "an address")?;
        let port = port.ok_or_else(|| {
            wrong(text, "an address", "its port is missing").help(format!("write `{text}:8080`"))
        })?;
        Ok(Self(Address { host, port }))
    }
}

impl Scalar for UpstreamUrl {
    const WHAT: &'static str = "a URL such as `http://web.internal:8080`";
    const CHARS_MAX: usize = 270;
    const PATTERN: &'static str = r"^[Hh][Tt][Tt][Pp][Ss]?://[^/?#@]+/?$";

    fn parse(text: &str) -> Result<Self, Wrong> {
        let Some((tls, rest)) = scheme(text) else {
            let help = format!("write `http://{}`", text.rsplit("://").next().unwrap_or(text));
            return Err(wrong(text, "a URL", "it begins with `http://` or `https://`").help(help));
        };
        let bare = rest.strip_suffix('/').unwrap_or(rest);
        if bare.contains(['/', '?', '#']) {
            return Err(wrong(text, "the URL of an upstream", "it has no path and no query")
                .help("say what path the upstream sees with `rewrite` in a route"));
        }
        let (host, port) = authority(bare, "the URL of an upstream")?;
        Ok(Self { tls, address: Address { host, port: port.unwrap_or(default_port(tls)) } })
    }
}

impl Scalar for RedirectTarget {
    const WHAT: &'static str = "a path such as `/new`, or a URL";
    const CHARS_MAX: usize = 780;
    const PATTERN: &'static str = r"^(/|[Hh][Tt][Tt][Pp][Ss]?://)[^?#]*$";

    fn parse(text: &str) -> Result<Self, Wrong> {
        let Some((tls, rest)) = scheme(text) else {
            return path::normal(text).map(Self::Path);
        };
        let (bare, path) = match rest.find(['/', '?', '#']) {
            Some(end) => (&rest[..end], Some(path::normal(&rest[end..])?)),
            None => (rest, None),
        };
        let (host, port) = authority(bare, "a URL")?;
        let address = Address { host, port: port.unwrap_or(default_port(tls)) };
        Ok(Self::Url { tls, address, path })
    }
}

impl RedirectTarget {
    /// The target as it will be sent.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Path(path) => path.clone(),
            Self::Url { tls, address, path } => {
                format!("{}{}", url(*tls, address), path.as_deref().unwrap_or_default())
            }
        }
    }
}

/// The URL of an address, without the port that its scheme implies.
pub(crate) fn url(tls: bool, address: &Address) -> String {
    let scheme = if tls { "https" } else { "http" };
    if address.port == default_port(tls) {
        format!("{scheme}://{}", bracketed(&address.host))
    } else {
        format!("{scheme}://{address}")
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", bracketed(&self.host), self.port)
    }
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

fn default_port(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

/// Whether TLS is asked for, and what comes after `://`.
fn scheme(text: &str) -> Option<(bool, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    match scheme.to_ascii_lowercase().as_str() {
        "http" => Some((false, rest)),
        "https" => Some((true, rest)),
        _ => None,
    }
}

fn wrong(text: &str, what: &str, why: &str) -> Wrong {
    Wrong::value(format!("{} is not {what}: {why}", quote(text)))
}

/// Host and port of `host[:port]`.
fn authority(text: &str, what: &str) -> Result<(String, Option<u16>), Wrong> {
    if text.contains('@') {
        // Not quoted, for what stands there may be a password.
        let message = format!("{what} carries no user name and no password");
        return Err(Wrong::value(message).help("leave out everything before the `@`"));
    }
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (inner, after) =
            rest.split_once(']').ok_or_else(|| wrong(text, what, "the bracket is not closed"))?;
        let address: Ipv6Addr =
            inner.parse().map_err(|_| wrong(text, what, "in brackets stands an IPv6 address"))?;
        (address.to_string(), after)
    } else {
        let end = text.find(':').unwrap_or(text.len());
        if text[end..].matches(':').count() > 1 {
            let wrong = wrong(text, what, "an IPv6 address stands in brackets");
            return Err(match text.rsplit_once(':') {
                Some((host, port)) if host.parse::<Ipv6Addr>().is_ok() => {
                    wrong.help(format!("write `[{host}]:{port}`"))
                }
                _ => wrong,
            });
        }
        (host(&text[..end], text, what)?, &text[end..])
    };
    if port.is_empty() {
        return Ok((host, None));
    }
    let digits = port.strip_prefix(':').filter(|d| d.bytes().all(|b| b.is_ascii_digit()));
    match digits.and_then(|digits| digits.parse().ok()) {
        Some(port) if port > 0 => Ok((host, Some(port))),
        _ => Err(wrong(text, what, "a port is a number from 1 to 65535")),
    }
}

/// A DNS name in lower case, or an IPv4 address.
fn host(host: &str, text: &str, what: &str) -> Result<String, Wrong> {
    if host.is_empty() {
        return Err(wrong(text, what, "its host is missing"));
    }
    if !host.is_ascii() {
        let wrong = wrong(text, what, "a host is written in ASCII");
        return Err(match idna::domain_to_ascii_strict(host) {
            Ok(ascii) => wrong.help(format!("write {}", quote(&ascii))),
            Err(_) => wrong,
        });
    }
    if host.ends_with('.') {
        return Err(wrong(text, what, "leave out the dot at the end of the host"));
    }
    let host = host.to_ascii_lowercase();
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    if host.len() > 253 || !host.split('.').all(label) {
        return Err(wrong(text, what, "its host is not a name or an address"));
    }
    // `127.1` and `0x7f.1` are addresses to some resolvers: only the full form is one here.
    let last = host.rsplit('.').next().unwrap_or(&host);
    let number = last.bytes().all(|b| b.is_ascii_digit())
        || last.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
    if number && host.parse::<Ipv4Addr>().is_err() {
        return Err(wrong(text, what, "an IPv4 address has four numbers from 0 to 255"));
    }
    Ok(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_upstreams_are_read_and_shown() {
        for (given, shown) in [
            ("http://web:8080", "http://web:8080"),
            ("HTTP://Web.Internal:80/", "http://web.internal"),
            ("https://web.internal", "https://web.internal"),
            ("https://10.0.0.1:8443", "https://10.0.0.1:8443"),
            ("http://[0:0::1]:3000", "http://[::1]:3000"),
            ("http://my_service:1", "http://my_service:1"),
        ] {
            let read = UpstreamUrl::parse(given).unwrap();
            assert_eq!(url(read.tls, &read.address), shown);
        }
    }

    #[test]
    fn what_is_not_the_url_of_an_upstream_is_refused() {
        for bad in [
            "web:8080",
            "ftp://web",
            "http://",
            "http://web/path",
            "http://web?q",
            "http://u@web",
            "http://web:0",
            "http://web:65536",
            "http://web:",
            "http://web:+1",
            "http://::1",
            "http://[::1",
            "http://[web]",
            "http://127.1",
            "http://0x7f.1",
            "http://256.0.0.1",
            "http://web.",
            "http://-web",
            "http://bücher",
            "http://a..b",
            "http://a b",
            "http://[fe80::1%25eth0]",
        ] {
            assert!(UpstreamUrl::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn redirects_lead_to_paths_and_urls() {
        for (given, shown) in [
            ("/new", "/new"),
            ("/", "/"),
            ("HTTPS://Other.Example:443/a%c3", "https://other.example/a%C3"),
            ("https://other.example", "https://other.example"),
            ("http://other.example:8080/", "http://other.example:8080/"),
        ] {
            assert_eq!(RedirectTarget::parse(given).unwrap().text(), shown);
        }
        for bad in [
            "new",
            "//evil.example",
            "/a?b=c",
            "https://a.b?c",
            "https://u:p@a.b/",
            "javascript://a",
        ] {
            assert!(RedirectTarget::parse(bad).is_err(), "{bad}");
        }
    }
}
