//! What is handed to the writer: work to be done in its transaction, and who waits for the result.

use std::cell::Cell;

use model::Operation;
use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::{StoreError, metrics};

/// A transaction under way, and what it will have to tell once it is durable.
pub(super) struct Tx<'a> {
    /// Where to read and write.
    pub(super) conn: &'a Connection,
    news: Cell<News>,
}

/// What others wait for.
#[derive(Clone, Copy, Default)]
pub(super) struct News {
    /// The revision last published.
    pub(super) published: Option<u64>,
    /// The highest fence that was revoked.
    pub(super) revoked: Option<u64>,
    /// Whether jobs came, went, or are due at another time.
    pub(super) queued: bool,
    /// Whether something was taken away from a credential.
    pub(super) took_away: bool,
    /// The slots of operations that were written and of their instances, a bit each.
    pub(super) wrote: u64,
}

/// Slots among which operations and instances are spread for those who wait for news of them: a bit each of a
/// word. Who shares one is woken in vain now and then.
pub(super) const NEWS_SLOTS: usize = 64;

/// The slot of an operation or an instance.
pub(super) fn slot(id: &str) -> usize {
    let hash = model::Version::hash_of(id.as_bytes());
    usize::try_from(hash % NEWS_SLOTS as u64).unwrap_or_default()
}

impl<'a> Tx<'a> {
    /// A transaction of this connection, which has nothing to tell yet.
    pub(super) fn of(conn: &'a Connection) -> Self {
        Self { conn, news: Cell::default() }
    }

    /// To be told to those who wait for the feed.
    pub(super) fn published(&self, revision: u64) {
        self.news.set(News { published: Some(revision), ..self.news.get() });
    }

    /// To be told to those who wait for jobs.
    pub(super) fn queued(&self) {
        self.news.set(News { queued: true, ..self.news.get() });
    }

    /// To be told to those who hold leases.
    pub(super) fn revoked(&self, fence: u64) {
        let news = self.news.get();
        self.news.set(News { revoked: news.revoked.max(Some(fence)), ..news });
    }

    /// To be told to those who remember credentials.
    pub(super) fn took_away(&self) {
        self.news.set(News { took_away: true, ..self.news.get() });
    }

    /// To be told to those who wait for news of an operation, or of its instance.
    pub(super) fn wrote(&self, operation: &Operation) {
        let news = self.news.get();
        let slots = [operation.id.as_str(), operation.instance.as_str()].map(slot);
        let wrote = slots.into_iter().fold(news.wrote, |wrote, slot| wrote | (1 << slot));
        self.news.set(News { wrote, ..news });
    }

    /// What is to be told so far.
    pub(super) fn news(&self) -> News {
        self.news.get()
    }

    /// Takes back what was to be told since `before`: it was undone.
    pub(super) fn forget_since(&self, before: News) {
        self.news.set(before);
    }
}

/// A request, whatever it asks and answers.
pub(super) trait Request: Send {
    /// Whether its caller has gone.
    fn is_abandoned(&self) -> bool;
    /// Whether its answer promises that a power failure cannot take it back.
    fn must_last(&self) -> bool;
    /// Does the work and remembers the result; whether that may be committed.
    fn run(&mut self, tx: &Tx<'_>) -> Verdict;
    /// Hands over the result, or `failure` in its place.
    fn answer(self: Box<Self>, failure: Option<&StoreError>);
}

/// What shall become of what a request wrote.
pub(super) enum Verdict {
    /// What it wrote shall be committed.
    Keep,
    /// What it wrote shall be undone; others are not concerned.
    Undo,
    /// The machine is not well: nothing can be committed.
    Abort(StoreError),
}

/// Some work, its result, and who waits for it.
pub(super) struct Typed<T, F> {
    work: Option<F>,
    result: Option<Result<T, StoreError>>,
    must_last: bool,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Typed<T, F> {
    /// A request to run `work` and to answer `reply`.
    pub(super) fn new(
        work: F,
        must_last: bool,
        reply: oneshot::Sender<Result<T, StoreError>>,
    ) -> Self {
        Self { work: Some(work), result: None, must_last, reply }
    }
}

impl<T, F> Request for Typed<T, F>
where
    T: Send,
    F: FnOnce(&Tx<'_>) -> Result<T, StoreError> + Send,
{
    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn must_last(&self) -> bool {
        self.must_last
    }

    fn run(&mut self, tx: &Tx<'_>) -> Verdict {
        let Some(work) = self.work.take() else { return Verdict::Undo };
        let result = work(tx);
        let verdict = match &result {
            Ok(_) => Verdict::Keep,
            Err(error @ StoreError::Unavailable(_)) => Verdict::Abort(error.clone()),
            Err(_) => Verdict::Undo,
        };
        self.result = Some(result);
        verdict
    }

    fn answer(self: Box<Self>, failure: Option<&StoreError>) {
        let result = match failure {
            Some(failure) => Err(failure.clone()),
            None => self.result.unwrap_or_else(|| Err(StoreError::stopped())),
        };
        if let Err(error) = &result {
            metrics::refused(error);
        }
        // The caller may have gone; what it asked for has happened all the same.
        let _ = self.reply.send(result);
    }
}
