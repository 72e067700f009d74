//! Who says whether Envoy would take a configuration.

use async_trait::async_trait;

/// Envoy's word on a bootstrap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// It takes it.
    Good,
    /// It refuses it, for this reason.
    Bad(String),
    /// It died of it.
    Died(String),
    /// It said nothing: it is not there, or did not end in time.
    Nothing(String),
}

/// What is shown of a reason; what is to the point is at its end.
const REASON_CHARS_MAX: usize = 1_000;

impl Word {
    /// As people are shown it: without what `redact` takes out, in one line, and no longer than
    /// anybody reads. In this order: half a secret would not be found.
    pub(crate) fn shown(self, redact: impl Fn(&str) -> String) -> Self {
        let short = |why: String| {
            let line = redact(&why).split_whitespace().collect::<Vec<_>>().join(" ");
            let skip = line.chars().count().saturating_sub(REASON_CHARS_MAX);
            line.chars().skip(skip).collect()
        };
        match self {
            Self::Good => Self::Good,
            Self::Bad(why) => Self::Bad(short(why)),
            Self::Died(why) => Self::Died(short(why)),
            Self::Nothing(why) => Self::Nothing(short(why)),
        }
    }
}

/// An Envoy of one version that can be asked.
#[async_trait]
pub trait Validator: Send + Sync + std::fmt::Debug {
    /// Its version, as `1.40.0`.
    fn version(&self) -> &str;

    /// What it says of a bootstrap in protobuf. Asked about one at a time.
    async fn validate(&self, bootstrap: Vec<u8>) -> Word;
}

/// `1.40` of `1.40.0`: what Envoy understands changes with its minor version.
pub(crate) fn series(version: &str) -> &str {
    version.match_indices('.').nth(1).map_or(version, |(at, _)| &version[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_taken_out_before_a_reason_is_cut() {
        let redact = |text: &str| text.replace("two  words", "[redacted]");
        let shown = |why: &str| match Word::Bad(why.to_owned()).shown(redact) {
            Word::Bad(why) => why,
            other => panic!("{other:?}"),
        };
        assert_eq!(shown("no\n\n such:  two  words \n"), "no such: [redacted]");
        let cut = shown(&format!("two  words{}", "x".repeat(REASON_CHARS_MAX - 5)));
        assert!(cut.starts_with("cted]xxx") && cut.len() == REASON_CHARS_MAX, "{cut}");
    }
}
