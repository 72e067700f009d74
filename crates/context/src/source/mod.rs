//! Where documents come from: one small port, and those who have it. Whoever asks bounds the time,
//! and survives whatever they do.

mod exec;
mod file;
mod format;
mod http;
mod inline;

use async_trait::async_trait;

pub use exec::ExecSource;
pub use file::FileSource;
pub(crate) use file::{Disk, read as read_file};
pub use format::Format;
pub use http::{HeaderText, HttpSource};
pub use inline::InlineSource;

/// What tells cheaply that a document is still the same, in the words of whoever has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Validators {
    /// `ETag`.
    pub etag: Option<String>,
    /// `Last-Modified`.
    pub last_modified: Option<String>,
}

impl Validators {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What a source answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// It is as it was when it told these validators.
    Same,
    /// The whole text of the document, and what to ask with next time.
    New(Vec<u8>, Validators),
}

/// Why a source did not answer: said to the operator, without anything that it answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FetchError(pub String);

impl From<String> for FetchError {
    fn from(why: String) -> Self {
        Self(why)
    }
}

impl From<&str> for FetchError {
    fn from(why: &str) -> Self {
        Self(why.to_owned())
    }
}

/// A place that has a document. An implementation need not watch the clock: it is asked by one task
/// at a time, which is ended when it takes too long, and may panic.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// A word for its kind, such as `http`.
    fn kind(&self) -> &'static str;

    /// Where it is, for people: without anything secret.
    fn place(&self) -> String;

    /// Asks for the document. `known` is empty, or what it told with the document that is kept.
    /// More than `bytes_max` bytes are of no use.
    async fn fetch(&self, known: &Validators, bytes_max: usize) -> Result<Fetched, FetchError>;
}
