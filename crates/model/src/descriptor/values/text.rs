//! Free texts: query parameters, bodies, content types.

use super::header;
use crate::descriptor::decode::{Scalar, Wrong};
use crate::descriptor::refusal::quote;

/// The name of a query parameter, as it stands in a URL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct QueryName(pub(crate) String);

/// The value of a query parameter, as it stands in a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct QueryValue(pub(crate) String);

/// The body of a fixed answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Body(pub(crate) String);

/// The `content-type` of a fixed answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ContentType(pub(crate) String);

/// Where editors find the schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SchemaUrl;

/// The proxies hold it in memory for every instance.
const BODY_BYTES_MAX: usize = 4096;

impl Scalar for QueryName {
    const WHAT: &'static str = "a query parameter's name";
    const CHARS_MAX: usize = 64;
    const PATTERN: &'static str = "^[!-\"$%'-<>-~]+$";

    fn parse(text: &str) -> Result<Self, Wrong> {
        if text.contains('=') {
            return Err(Wrong::value(format!("{} is not a name: it holds `=`", quote(text))));
        }
        query(text).map(Self)
    }
}

impl Scalar for QueryValue {
    const WHAT: &'static str = "a query parameter's value";
    const CHARS_MAX: usize = 512;
    const EMPTY: bool = true;
    const PATTERN: &'static str = "^[!-\"$%'-~]*$";

    fn parse(text: &str) -> Result<Self, Wrong> {
        query(text).map(Self)
    }
}

/// Parameters are compared as they were sent, before any decoding.
fn query(text: &str) -> Result<String, Wrong> {
    let fits = |b: u8| matches!(b, b'!'..=b'~') && !matches!(b, b'#' | b'&');
    if text.bytes().all(fits) {
        return Ok(text.to_owned());
    }
    let encoded: String = text
        .bytes()
        .map(|b| if fits(b) { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect();
    let message = format!("{} cannot stand in a URL's query as it is", quote(text));
    Err(Wrong::value(message).help(format!("write it as it is sent: {}", quote(&encoded))))
}

impl Scalar for Body {
    const WHAT: &'static str = "a text";
    const CHARS_MAX: usize = BODY_BYTES_MAX;
    const EMPTY: bool = true;
    const LINES: bool = true;

    fn parse(text: &str) -> Result<Self, Wrong> {
        if text.len() > BODY_BYTES_MAX {
            let message =
                format!("the body has {} bytes; {BODY_BYTES_MAX} are the limit", text.len());
            return Err(Wrong::value(message));
        }
        Ok(Self(text.to_owned()))
    }
}

impl Scalar for ContentType {
    const WHAT: &'static str = "a content type such as `application/json`";
    const CHARS_MAX: usize = 128;
    const PATTERN: &'static str = "^[A-Za-z0-9.+-]+/[A-Za-z0-9.+-]+( *; *[ -~]+)?$";

    fn parse(text: &str) -> Result<Self, Wrong> {
        header::value(text)?;
        let (essence, parameters) = text.split_once(';').unwrap_or((text, "-"));
        let part = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
        };
        let fits = essence.trim_end().split_once('/').is_some_and(|(a, b)| part(a) && part(b));
        if !fits || parameters.trim().is_empty() || text.contains('\t') {
            return Err(Wrong::value(format!("{} is not a content type", quote(text)))
                .help("write `type/subtype`, such as `text/html; charset=utf-8`"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl Scalar for SchemaUrl {
    const WHAT: &'static str = "the schema's URL";
    const CHARS_MAX: usize = 512;

    fn parse(_: &str) -> Result<Self, Wrong> {
        Ok(Self)
    }
}
