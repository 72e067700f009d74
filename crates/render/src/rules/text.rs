//! Rules of strings and bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use regex::Regex;

/// One rule of a text. Lengths are in characters unless they say bytes.
#[derive(Debug)]
pub(crate) enum TextRule {
    Const(String),
    MinChars(u64),
    MaxChars(u64),
    MinBytes(u64),
    MaxBytes(u64),
    Pattern(Regex),
    Prefix(String),
    Suffix(String),
    Contains(String),
    NotContains(String),
    Among { texts: Vec<String>, wanted: bool },
    Form(Form),
}

/// Well-known forms, as far as Envoy's own implementation goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Hostname,
    Ip,
    Ipv4,
    Ipv6,
    /// A hostname or an IP address.
    Address,
    /// `strict` or not.
    HeaderName(bool),
    HeaderValue(bool),
}

impl TextRule {
    /// Checks a string.
    pub(crate) fn check(&self, text: &str) -> Result<(), String> {
        let chars = || text.chars().count() as u64;
        let good = match self {
            Self::MinChars(min) => chars() >= *min,
            Self::MaxChars(max) => chars() <= *max,
            Self::MinBytes(min) => text.len() as u64 >= *min,
            Self::MaxBytes(max) => text.len() as u64 <= *max,
            Self::Const(wanted) => text == wanted,
            Self::Pattern(pattern) => pattern.is_match(text),
            Self::Prefix(prefix) => text.starts_with(prefix),
            Self::Suffix(suffix) => text.ends_with(suffix),
            Self::Contains(part) => text.contains(part),
            Self::NotContains(part) => !text.contains(part),
            Self::Among { texts, wanted } => texts.iter().any(|one| one == text) == *wanted,
            Self::Form(form) => form.fits(text),
        };
        if good { Ok(()) } else { Err(self.says()) }
    }

    /// Checks bytes, of which only lengths are ruled.
    pub(crate) fn check_bytes(&self, bytes: &[u8]) -> Result<(), String> {
        let good = match self {
            Self::MinChars(min) | Self::MinBytes(min) => bytes.len() as u64 >= *min,
            Self::MaxChars(max) | Self::MaxBytes(max) => bytes.len() as u64 <= *max,
            _ => true,
        };
        if good { Ok(()) } else { Err(self.says()) }
    }

    fn says(&self) -> String {
        match self {
            Self::MinChars(1) | Self::MinBytes(1) => "must not be empty".into(),
            Self::MinChars(min) => format!("needs at least {min} characters"),
            Self::MaxChars(max) => format!("has more than {max} characters"),
            Self::MinBytes(min) => format!("needs at least {min} bytes"),
            Self::MaxBytes(max) => format!("has more than {max} bytes"),
            Self::Const(wanted) => format!("must be {wanted:?}"),
            Self::Pattern(pattern) => format!("must match `{pattern}`"),
            Self::Prefix(prefix) => format!("must begin with {prefix:?}"),
            Self::Suffix(suffix) => format!("must end with {suffix:?}"),
            Self::Contains(part) => format!("must contain {part:?}"),
            Self::NotContains(part) => format!("must not contain {part:?}"),
            Self::Among { texts, wanted: true } => format!("must be one of {texts:?}"),
            Self::Among { texts, wanted: false } => format!("must not be one of {texts:?}"),
            Self::Form(form) => format!("must be {}", form.name()),
        }
    }
}

impl Form {
    fn fits(self, text: &str) -> bool {
        let no_line_break = |text: &str| !text.contains(['\0', '\n', '\r']);
        match self {
            Self::Ip => text.parse::<IpAddr>().is_ok(),
            Self::Ipv4 => text.parse::<Ipv4Addr>().is_ok(),
            Self::Ipv6 => text.parse::<Ipv6Addr>().is_ok(),
            Self::Hostname => is_hostname(text),
            Self::Address => text.parse::<IpAddr>().is_ok() || is_hostname(text),
            Self::HeaderName(true) => is_token(text.strip_prefix(':').unwrap_or(text)),
            Self::HeaderName(false) => no_line_break(text),
            Self::HeaderValue(true) => text.chars().all(|c| c == '\t' || c >= ' ' && c != '\u{7f}'),
            Self::HeaderValue(false) => no_line_break(text),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Ip => "an IP address",
            Self::Ipv4 => "an IPv4 address",
            Self::Ipv6 => "an IPv6 address",
            Self::Hostname => "a hostname",
            Self::Address => "a hostname or an IP address",
            Self::HeaderName(_) => "the name of a header",
            Self::HeaderValue(_) => "the value of a header",
        }
    }
}

fn is_token(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+,-.^_|~`".contains(&b);
    !text.is_empty() && text.bytes().all(fits)
}

fn is_hostname(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    text.len() <= 253 && text.trim_end_matches('.').split('.').all(label)
}
