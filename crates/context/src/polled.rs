//! One declared source, asked again and again. Whatever it does, only its own document grows old.

use std::sync::Arc;
use std::time::Duration;

use model::{Millis, Version};
use store::StoreError;
use tokio::task::JoinHandle;

use crate::documents::{Document, Reach};
use crate::metrics;
use crate::scribe::{Scribe, Unwritten};
use crate::sealing::SecretPath;
use crate::source::{FetchError, Fetched, Format, Source, Validators};
use crate::status::SourceStatus;

/// That a document is still good is written down no more often.
const TOLD_EVERY_MILLIS: Millis = 10_000;
/// Between two attempts to read a store that fails.
const STORE_RETRY: Duration = Duration::from_secs(2);
/// What is told to end has so long before it counts as stuck.
const ABORT_MAX: Duration = Duration::from_millis(100);
/// A longer reason is cut.
const PROBLEM_CHARS_MAX: usize = 300;

/// A source as it is declared.
#[derive(Clone)]
pub struct Declared {
    /// The name that templates use, a DNS label.
    pub name: String,
    /// What it is written in.
    pub format: Format,
    /// How often it is asked.
    pub interval: Duration,
    /// Up to so much is waited beyond that.
    pub jitter: Duration,
    /// How long it may take, all together.
    pub timeout: Duration,
    /// How long its text may be.
    pub bytes_max: usize,
    /// What of it is secret.
    pub secret_paths: Vec<SecretPath>,
    /// Whether its document comes to groups by stages, or to all at once.
    pub is_staged: bool,
    /// Who has it.
    pub source: Arc<dyn Source>,
}

/// A declared source, and what is known of it.
pub(crate) struct Polled {
    declared: Declared,
    scribe: Scribe,
    /// The document, opened.
    kept: Option<Document>,
    status: SourceStatus,
    /// Told with it. They are not kept: another process may ask at another place.
    validators: Validators,
    told_at: Millis,
    /// A question that was given up.
    late: Option<Asked>,
}

/// A question. Nobody waits for its answer when this is gone.
struct Asked(JoinHandle<Result<Fetched, FetchError>>);

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Polled {
    /// Asks until the lease is lost.
    pub(crate) async fn run(declared: Declared, scribe: Scribe) {
        let name = declared.name.clone();
        let (kept, status) = loop {
            match scribe.one(&name).await {
                Ok(found) => break found,
                Err(error) => tracing::warn!(source = name, %error, "the store cannot be read"),
            }
            tokio::time::sleep(STORE_RETRY).await;
        };
        let mut polled = Self::new(declared, scribe, kept, status);
        loop {
            match polled.poll().await {
                Ok(()) => {}
                Err(StoreError::Fenced) => return,
                Err(error) => tracing::warn!(source = name, %error, "a source is not written"),
            }
            tokio::time::sleep(polled.pause()).await;
        }
    }

    fn new(
        declared: Declared,
        scribe: Scribe,
        kept: Option<Document>,
        before: SourceStatus,
    ) -> Self {
        let Declared { source, interval, secret_paths, .. } = &declared;
        let status = SourceStatus {
            kind: source.kind().to_owned(),
            place: source.place(),
            is_secret: !secret_paths.is_empty(),
            is_staged: declared.is_staged,
            interval_ms: u64::try_from(interval.as_millis()).unwrap_or(u64::MAX),
            ..before
        };
        let validators = Validators::default();
        Self { declared, scribe, kept, status, validators, told_at: Millis::MIN, late: None }
    }

    fn pause(&self) -> Duration {
        self.declared.interval + self.declared.jitter.mul_f64(self.scribe.chance().clamp(0.0, 1.0))
    }

    /// Asks once, and writes what is to be written.
    pub(crate) async fn poll(&mut self) -> Result<(), StoreError> {
        let answer = self.ask().await;
        let now = self.scribe.now();
        let taken = match answer {
            Ok(Fetched::Same) => self.still_good(now).await,
            Ok(Fetched::New(text, validators)) => self.take(&text, validators, now).await,
            Err(why) => Err(Unwritten::Source(why)),
        };
        match taken {
            Ok(()) => Ok(()),
            Err(Unwritten::Store(error)) => Err(error),
            Err(Unwritten::Source(why)) => self.fails(&why, now).await,
        }
    }

    /// In a task of its own, so that a panic is its own too; and never twice at once.
    async fn ask(&mut self) -> Result<Fetched, FetchError> {
        if self.late.as_ref().is_some_and(|late| !late.0.is_finished()) {
            return Err("is still busy with an earlier question".into());
        }
        let (source, known) = (Arc::clone(&self.declared.source), self.validators.clone());
        let (most, limit) = (self.declared.bytes_max, self.declared.timeout);
        let mut asked = Asked(tokio::spawn(async move { source.fetch(&known, most).await }));
        match tokio::time::timeout(limit, &mut asked.0).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err("panicked".into()),
            Err(_) => {
                asked.0.abort();
                // Not when it next waits for something, but when it is over.
                if tokio::time::timeout(ABORT_MAX, &mut asked.0).await.is_err() {
                    self.late = Some(asked);
                }
                Err(format!("does not answer within {limit:?}").into())
            }
        }
    }

    async fn still_good(&mut self, now: Millis) -> Result<(), Unwritten> {
        let name = &self.declared.name;
        metrics::polled(name, "same");
        self.status.fetched_at = Some(now);
        let was_failing = self.status.failing_since.is_some();
        if was_failing || now.saturating_sub(self.told_at) >= TOLD_EVERY_MILLIS {
            let status = SourceStatus { failing_since: None, problem: None, ..self.status.clone() };
            self.scribe.tell(name, &status).await?;
            (self.status, self.told_at) = (status, now);
        }
        if was_failing {
            tracing::info!(source = name, "a source answers again");
        }
        Ok(())
    }

    async fn take(
        &mut self,
        text: &[u8],
        validators: Validators,
        now: Millis,
    ) -> Result<(), Unwritten> {
        if text.len() > self.declared.bytes_max {
            let why = format!("is larger than {} bytes", self.declared.bytes_max);
            return Err(Unwritten::Source(why.into()));
        }
        let value = self.declared.format.read(text).map_err(Unwritten::Source)?;
        let before = self.kept.as_ref();
        let reach = Reach::of(self.declared.is_staged, before.map(|kept| kept.reach));
        let is_same = before.is_some_and(|kept| kept.value == value);
        let revision = before.map_or(self.status.revision, |kept| kept.revision);
        let revision = if is_same { revision } else { revision + 1 };
        let sealed_as = self.declared.fingerprint();
        let is_kept = before.is_some_and(|kept| kept.reach == reach);
        if is_same && is_kept && self.status.sealed_as == sealed_as {
            self.validators = validators;
            return self.still_good(now).await;
        }
        let digest = format!("{:016x}", Version::hash_of(text));
        let status = SourceStatus {
            revision,
            bytes: text.len() as u64,
            digest: (!self.status.is_secret).then_some(digest),
            fetched_at: Some(now),
            failing_since: None,
            problem: None,
            // Many a tag is a digest of what it names.
            etag: validators.etag.clone().filter(|_| !self.status.is_secret),
            sealed_as,
            ..self.status.clone()
        };
        let Declared { name, secret_paths, .. } = &self.declared;
        let document = Document { revision, value, reach };
        self.scribe.write(name, secret_paths, document.clone(), &status).await?;
        metrics::polled(name, if is_same { "same" } else { "changed" });
        if self.status.failing_since.is_some() {
            tracing::info!(source = name, "a source answers again");
        }
        tracing::info!(source = name, revision, bytes = text.len(), "a source was read");
        (self.kept, self.status, self.told_at) = (Some(document), status, now);
        self.validators = validators;
        Ok(())
    }

    /// The last good value stays. What fails is told when it begins, and when the reason is another.
    async fn fails(&mut self, why: &FetchError, now: Millis) -> Result<(), StoreError> {
        let name = &self.declared.name;
        metrics::polled(name, "failed");
        let problem: String = why.0.chars().take(PROBLEM_CHARS_MAX).collect();
        if self.status.problem.as_ref() == Some(&problem) {
            return Ok(());
        }
        if self.status.failing_since.is_none() {
            let place = &self.status.place;
            tracing::warn!(
                source = name,
                place,
                problem,
                "a source fails; its last good value stays"
            );
        }
        self.status.failing_since.get_or_insert(now);
        let status = SourceStatus { problem: Some(problem), ..self.status.clone() };
        self.scribe.tell(name, &status).await?;
        // What the store does not have is told again.
        self.status = status;
        Ok(())
    }
}

impl Declared {
    /// What of a document is sealed: if that is another than it was, it is written anew.
    fn fingerprint(&self) -> u64 {
        Version::hash_of(format!("{:?}", self.secret_paths).as_bytes())
    }
}

#[cfg(test)]
#[path = "polled_tests.rs"]
mod tests;
