//! A document that is written where the source is declared.

use async_trait::async_trait;

use super::{FetchError, Fetched, Source, Validators};

/// A text that never changes while the process runs.
pub struct InlineSource {
    text: String,
    place: String,
}

impl InlineSource {
    /// A text, and where it is written.
    pub fn new(text: String, place: String) -> Self {
        Self { text, place }
    }
}

#[async_trait]
impl Source for InlineSource {
    fn kind(&self) -> &'static str {
        "inline"
    }

    fn place(&self) -> String {
        self.place.clone()
    }

    async fn fetch(&self, _: &Validators, _: usize) -> Result<Fetched, FetchError> {
        Ok(Fetched::New(self.text.clone().into_bytes(), Validators::default()))
    }
}
