//! Names and values of headers.

use crate::descriptor::Code;
use crate::descriptor::decode::{Scalar, Wrong};
use crate::descriptor::refusal::quote;

/// The name of a header that a rule changes; lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HeaderName(pub(crate) String);

/// The name of a header that a route looks at; lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MatchHeaderName(pub(crate) String);

/// The value of a header, as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeaderValue(pub(crate) String);

const CHARS_MAX: usize = 64;
const PATTERN: &str = "^[A-Za-z0-9_-]+$";

/// Headers of one connection (RFC 9110, section 7.6.1), of framing, and of the request's target.
const FORBIDDEN: [&str; 12] = [
    "connection",
    "content-length",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// Headers that the edge itself writes and believes.
const RESERVED: [&str; 3] = ["x-envoy-", "x-forwarded-", "x-margrave-"];

impl Scalar for HeaderName {
    const WHAT: &'static str = "a header's name";
    const CHARS_MAX: usize = CHARS_MAX;
    const PATTERN: &'static str = PATTERN;

    fn parse(text: &str) -> Result<Self, Wrong> {
        name(text).map(Self)
    }
}

impl Scalar for MatchHeaderName {
    const WHAT: &'static str = "a header's name";
    const CHARS_MAX: usize = CHARS_MAX;
    const PATTERN: &'static str = "^[A-Za-z0-9-]+$";

    fn parse(text: &str) -> Result<Self, Wrong> {
        if text.contains('_') {
            let message = format!("no request with the header {} gets in", quote(text));
            return Err(Wrong::new(Code::Header, message)
                .help("the edge refuses underscores in header names; use hyphens"));
        }
        name(text).map(Self)
    }
}

impl Scalar for HeaderValue {
    const WHAT: &'static str = "a header's value";
    const CHARS_MAX: usize = 4096;
    const PATTERN: &'static str = "^[!-~]([ -~\\t]*[!-~])?$";

    fn parse(text: &str) -> Result<Self, Wrong> {
        value(text)?;
        Ok(Self(text.to_owned()))
    }

    const LINES: bool = true;
}

fn name(text: &str) -> Result<String, Wrong> {
    let lower = text.to_ascii_lowercase();
    if lower.starts_with(':') || FORBIDDEN.contains(&lower.as_str()) {
        let message = format!("the header {} is the edge's own affair", quote(text));
        let help = match lower.as_str() {
            "host" | ":authority" => "which names a service has is said by `hostnames`",
            ":path" => "match it with `match.path` or `match.prefix`, change it with `rewrite`",
            ":method" => "match it with `match.methods`",
            _ => "leave it out: it belongs to one connection, not to the request",
        };
        return Err(Wrong::new(Code::Header, message).help(help));
    }
    if let Some(prefix) = RESERVED.iter().find(|prefix| lower.starts_with(**prefix)) {
        let message = format!("headers that begin with `{prefix}` are the platform's");
        return Err(Wrong::new(Code::Header, message).help("choose another name"));
    }
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if lower.bytes().all(fits) {
        return Ok(lower);
    }
    let message = format!("{} is not a header's name: a-z, 0-9, `-` and `_`", quote(text));
    Err(Wrong::value(message))
}

/// Says nothing of the value but what is wrong with it, for it may be a secret.
pub(super) fn value(text: &str) -> Result<(), Wrong> {
    if text.contains('\n') {
        return Err(Wrong::value("a header's value has no line break").help("write it on one line"));
    }
    if text.trim() != text {
        return Err(Wrong::value("blanks at the ends of a header's value are not sent")
            .help("leave them out"));
    }
    match text.chars().find(|c| !matches!(c, ' '..='~' | '\t')) {
        Some(c) => {
            let message =
                format!("a header's value is ASCII, and {} is not", quote(&c.to_string()));
            Err(Wrong::value(message))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_cased_and_the_platforms_are_refused() {
        assert_eq!(HeaderName::parse("X-Tenant_Id").unwrap().0, "x-tenant_id");
        for bad in [
            "Host",
            ":path",
            "Connection",
            "transfer-encoding",
            "X-Envoy-Foo",
            "x-forwarded-for",
            "X-MARGRAVE-scope",
            "content-length",
            "a b",
            "a:b",
            "é",
            "a%b",
            "x\"y",
        ] {
            assert!(HeaderName::parse(bad).is_err(), "{bad}");
        }
        assert!(MatchHeaderName::parse("x_y").is_err());
    }

    #[test]
    fn values_are_visible_ascii() {
        for good in ["1", "%REQ(authorization)%", "a \t\"b\"", "\\1", "{{ x }}"] {
            assert!(HeaderValue::parse(good).is_ok(), "{good}");
        }
        for bad in ["a\nb", " a", "a\t", "é"] {
            assert!(HeaderValue::parse(bad).is_err(), "{bad}");
        }
    }
}
