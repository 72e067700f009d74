//! Paths, in the one form in which they reach a route.
//!
//! The edge normalises the path of every request before it looks for a route: dot segments and
//! doubled slashes go, encoded slashes are redirected, and what need not be percent-encoded is
//! decoded. A path that is not in that form would never match, so it is refused here.

use crate::descriptor::Code;
use crate::descriptor::decode::{Scalar, Wrong};
use crate::descriptor::refusal::quote;

/// A whole path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PathText(pub(crate) String);

/// A path and all below it: without a slash at its end, but for `/` itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PrefixText(pub(crate) String);

const PATTERN: &str = r"^/[A-Za-z0-9._~!$&'()*+,;=:@/%-]*$";
const CHARS_MAX: usize = 512;

impl Scalar for PathText {
    const WHAT: &'static str = "a path such as `/api`";
    const CHARS_MAX: usize = CHARS_MAX;
    const PATTERN: &'static str = PATTERN;

    fn parse(text: &str) -> Result<Self, Wrong> {
        normal(text).map(Self)
    }
}

impl Scalar for PrefixText {
    const WHAT: &'static str = "a path such as `/api`";
    const CHARS_MAX: usize = CHARS_MAX;
    const PATTERN: &'static str = PATTERN;

    fn parse(text: &str) -> Result<Self, Wrong> {
        let path = normal(text)?;
        let short = path.strip_suffix('/').filter(|short| !short.is_empty());
        Ok(Self(short.map(str::to_owned).unwrap_or(path)))
    }
}

/// The path itself, its percent-encoding in capitals.
pub(super) fn normal(text: &str) -> Result<String, Wrong> {
    let wrong = |why: &str| Wrong::new(Code::Path, format!("{} is not a path: {why}", quote(text)));
    if !text.starts_with('/') {
        return Err(wrong("it begins with `/`").help(format!("write `/{text}`")));
    }
    if let Some((path, _)) = text.split_once(['?', '#']) {
        return Err(wrong("it has no query and no fragment")
            .help(format!("write {}; `match.query` is for queries", quote(path))));
    }
    let encoded = encode(text);
    if encoded != text {
        return Err(wrong("it holds characters that a path must percent-encode")
            .help(format!("write {}", quote(&encoded))));
    }
    let decoded = decode(text).ok_or_else(|| {
        wrong("`%` is followed by two hexadecimal digits").help("write `%25` for a percent sign")
    })?;
    if decoded.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err(wrong("the edge resolves `.` and `..`").help("write the path they lead to"));
    }
    if text.contains("//") {
        return Err(wrong("the edge merges doubled slashes").help("write single ones"));
    }
    if decoded != capital_escapes(text) {
        return Err(wrong("it encodes characters that are sent as they are")
            .help(format!("write {}", quote(&decoded))));
    }
    if ["%2F", "%5C", "%00"].iter().any(|bad| decoded.contains(bad)) {
        return Err(wrong("the edge lets no encoded slash, backslash or NUL through"));
    }
    Ok(decoded)
}

/// Percent-encodes what is not allowed in a path (RFC 3986, section 3.3).
fn encode(text: &str) -> String {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%".contains(&b);
    text.bytes()
        .map(|b| if allowed(b) { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

/// Decodes what need not be encoded (RFC 3986, section 2.3); `None` when an escape is broken.
fn decode(text: &str) -> Option<String> {
    let mut decoded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        let digits = after.get(..2).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
        let byte = u8::from_str_radix(digits, 16).ok()?;
        decoded.push_str(before);
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            decoded.push(char::from(byte));
        } else {
            decoded.push_str(&format!("%{byte:02X}"));
        }
        rest = &after[2..];
    }
    Some(decoded + rest)
}

/// `%c3` becomes `%C3`; the rest stays.
fn capital_escapes(text: &str) -> String {
    let mut escape = 0_u8;
    text.chars()
        .map(|c| {
            escape = if c == '%' { 3 } else { escape.saturating_sub(1) };
            if escape > 0 { c.to_ascii_uppercase() } else { c }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_in_normal_form_are_taken() {
        for (given, path, prefix) in [
            ("/", "/", "/"),
            ("/api", "/api", "/api"),
            ("/api/", "/api/", "/api"),
            ("/a/b.c/~d/(e)/f;g=h:@", "/a/b.c/~d/(e)/f;g=h:@", "/a/b.c/~d/(e)/f;g=h:@"),
            ("/b%c3%bccher", "/b%C3%BCcher", "/b%C3%BCcher"),
            ("/100%25", "/100%25", "/100%25"),
            ("/...", "/...", "/..."),
        ] {
            assert_eq!(PathText::parse(given).unwrap().0, path);
            assert_eq!(PrefixText::parse(given).unwrap().0, prefix);
        }
    }

    #[test]
    fn paths_that_no_request_can_have_are_refused() {
        for bad in [
            "api",
            "//",
            "/a//b",
            "/.",
            "/a/../b",
            "/a/%2e%2E/b",
            "/a/%2e",
            "/a?b",
            "/a#b",
            "/100%",
            "/%zz",
            "/%4",
            "/%61pi",
            "/a%2fb",
            "/a%5Cb",
            "/a%00",
            "/a b",
            "/bücher",
            "/a\\b",
            "/{x}",
            "/%é0",
            "/%ENVIRONMENT(X)%",
        ] {
            assert!(PathText::parse(bad).is_err(), "{bad}");
        }
    }
}
