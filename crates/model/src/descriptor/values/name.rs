//! Names that the user chooses.

use crate::descriptor::DEFAULT_UPSTREAM;
use crate::descriptor::decode::{Scalar, Wrong};
use crate::descriptor::refusal::quote;
use crate::{Hostname, ServiceName};

/// A route's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RouteName(pub(crate) String);

/// An upstream's name, where it is declared or referred to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct UpstreamName(pub(crate) String);

const NAME: &str = "^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$";
const NAME_RULE: &str = "1 to 40 of a-z, 0-9 and inner hyphens, beginning with a letter";

fn name(text: &str, what: &str) -> Result<String, Wrong> {
    let fits = text.starts_with(|c: char| c.is_ascii_lowercase())
        && !text.ends_with('-')
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if fits {
        return Ok(text.to_owned());
    }
    Err(Wrong::value(format!("{} is not {what}: {NAME_RULE}", quote(text))))
}

impl Scalar for RouteName {
    const WHAT: &'static str = "a route's name";
    const CHARS_MAX: usize = 40;
    const PATTERN: &'static str = NAME;

    fn parse(text: &str) -> Result<Self, Wrong> {
        name(text, Self::WHAT).map(Self)
    }
}

impl Scalar for UpstreamName {
    const WHAT: &'static str = "an upstream's name";
    const CHARS_MAX: usize = 40;
    const PATTERN: &'static str = NAME;

    fn parse(text: &str) -> Result<Self, Wrong> {
        name(text, Self::WHAT).map(Self)
    }
}

impl UpstreamName {
    /// Whether it is the name of the top-level `upstream`.
    pub(crate) fn is_default(&self) -> bool {
        self.0 == DEFAULT_UPSTREAM
    }
}

impl Scalar for ServiceName {
    const WHAT: &'static str = "a service's name";
    const CHARS_MAX: usize = 40;
    const PATTERN: &'static str = NAME;

    fn parse(text: &str) -> Result<Self, Wrong> {
        text.parse().map_err(|error: crate::NameError| Wrong::value(error.0))
    }
}

impl Scalar for Hostname {
    const WHAT: &'static str = "a hostname such as `shop.example.com`";
    const CHARS_MAX: usize = 253;

    fn parse(text: &str) -> Result<Self, Wrong> {
        text.parse().map_err(|error: crate::NameError| Wrong::value(error.0))
    }
}
