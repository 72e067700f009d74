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
