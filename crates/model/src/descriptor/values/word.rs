//! Words from a list.

use serde_json::json;

use crate::Plan;
use crate::descriptor::decode::{Decode, Reader, Scalar, Shape, Wrong};
use crate::descriptor::refusal::quote;
use crate::descriptor::tree::Node;
use crate::descriptor::{Auth, Code, Refusal};

/// An HTTP method. CONNECT is missing because it has no path to match.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Method(pub(crate) String);

/// A condition on which a request is tried again: a word of Envoy's, or a status.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RetryOn(pub(crate) String);

/// The status of a redirect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RedirectStatus(pub(crate) u16);

impl Scalar for Plan {
    const WHAT: &'static str = "a visibility";
    const CHARS_MAX: usize = 16;
    const ONE_OF: &'static [&'static str] = &["internal", "public"];

    fn parse(text: &str) -> Result<Self, Wrong> {
        Self::ALL
            .into_iter()
            .find(|plan| plan.as_str() == text)
            .ok_or_else(|| Wrong::value(format!("{} is not a visibility", quote(text))))
    }
}

impl Auth {
    /// Both of them.
    const ALL: [Self; 2] = [Self::None, Self::Binding];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Binding => "binding",
        }
    }
}

impl Scalar for Auth {
    const WHAT: &'static str = "what a caller needs";
    const CHARS_MAX: usize = 16;
    const ONE_OF: &'static [&'static str] = &["none", "binding"];

    fn parse(text: &str) -> Result<Self, Wrong> {
        Self::ALL
            .into_iter()
            .find(|auth| auth.as_str() == text)
            .ok_or_else(|| Wrong::value(format!("{} is not what a caller needs", quote(text))))
    }
}

impl Scalar for Method {
    const WHAT: &'static str = "a method";
    const CHARS_MAX: usize = 16;
    const ONE_OF: &'static [&'static str] =
        &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"];

    fn parse(text: &str) -> Result<Self, Wrong> {
        Ok(Self(text.to_owned()))
    }
}

impl RetryOn {
    /// Conditions that are words.
    pub(crate) const WORDS: &'static [&'static str] = &[
        "5xx",
        "gateway-error",
        "reset",
        "reset-before-request",
        "connect-failure",
        "refused-stream",
        "retriable-4xx",
    ];
    /// What is tried again when nothing is said: failures that no upstream has acted upon.
    pub(crate) const DEFAULT: &'static [&'static str] =
        &["connect-failure", "refused-stream", "reset-before-request"];
}

impl Scalar for RetryOn {
    const WHAT: &'static str = "a retry condition such as `connect-failure` or `\"503\"`";
    const CHARS_MAX: usize = 32;
    const PATTERN: &'static str = "^(5xx|gateway-error|reset|reset-before-request|connect-failure|refused-stream|retriable-4xx|[45][0-9][0-9])$";

    fn parse(text: &str) -> Result<Self, Wrong> {
        let status = text.len() == 3
            && text.starts_with(['4', '5'])
            && text.bytes().all(|b| b.is_ascii_digit());
        if status || Self::WORDS.contains(&text) {
            return Ok(Self(text.to_owned()));
        }
        let wrong = Wrong::value(format!("{} is not a retry condition", quote(text)))
            .help(format!("a status from 400 to 599, or one of: {}", Self::WORDS.join(", ")));
        let near = crate::descriptor::decode::near(text, Self::WORDS.iter().copied());
        Err(match near {
            Some(near) => wrong.label(format!("did you mean `{near}`?")),
            None => wrong,
        })
    }
}

impl RedirectStatus {
    const ALL: [u16; 5] = [301, 302, 303, 307, 308];
}

impl Decode for RedirectStatus {
    fn shape() -> Shape {
        Shape::Scalar(json!({"enum": Self::ALL}))
    }

    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        let number = reader.number(node, "a status")?;
        let status = number.parse().ok().filter(|status| Self::ALL.contains(status));
        if status.is_none() {
            let message = format!("{} is not the status of a redirect", quote(number));
            let refusal = Refusal::new(Code::BadStatus, &reader.spot(node.place), message)
                .help("one of: 301, 302, 303, 307, 308");
            reader.refusals.push(refusal);
        }
        status.map(Self)
    }
}
