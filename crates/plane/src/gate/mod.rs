//! The last gate before proxies: Envoy itself. It is asked about each shape of resources once, by
//! `envoy --mode validate`, for each of its versions that is there; all that has a shape which it has
//! accepted passes without waiting.
//!
//! Nothing waits here but what Envoy is being asked about, and that not for long: where no Envoy
//! answers, resources go on by the gates before this one.

pub(crate) mod metrics;
mod port;
mod process;
mod releases;
mod search;
mod verdicts;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use render::{Complaint, Draft, PREVIOUS, SUPPORTED, Specimen};
use store::{Blobs, StoreError};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};

pub(crate) use port::series;
pub use port::{Validator, Word};
pub use process::EnvoyValidator;
pub(crate) use releases::{Freed, Releases, admit};
use search::{Overdue, Redact, Search};
use verdicts::{Case, Finding, Verdicts};
pub(crate) use verdicts::{Opinion, Subject};

/// So long a change waits for an Envoy that does not answer.
const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// So long it waits for one that did not answer the last question either.
const SILENT_WAIT: Duration = Duration::from_secs(2);
/// Between two questions to an Envoy that does not answer.
const SILENCE_PAUSE: Duration = Duration::from_secs(1);
/// Verdicts that could not be kept are kept after so long.
const KEEP_AGAIN: Duration = Duration::from_secs(5);

/// At a start, proxies wait so long for what waits here: what they have serves on meanwhile.
const OPENING_WAIT_MAX: Duration = Duration::from_secs(60);
/// So long a generation does not count as rendered for what waits here.
const DONE_WAIT_MAX: Duration = Duration::from_secs(30);

/// The series of Envoy that a group has.
pub(crate) type Series = BTreeSet<String>;

/// The gate. Without validators all passes.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    desks: OnceLock<Vec<Desk>>,
    /// Since when what is held back is.
    held: Mutex<BTreeMap<Held, Instant>>,
    /// Told whenever there were answers.
    answers: watch::Sender<()>,
}

/// What is held back while a change waits here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Held {
    /// The opening of a group: proxies that come would lack what waits.
    Opening(Arc<str>),
    /// That all was rendered with this generation.
    Done(u64),
}

impl Held {
    fn most(&self) -> Duration {
        match self {
            Self::Opening(_) => OPENING_WAIT_MAX,
            Self::Done(_) => DONE_WAIT_MAX,
        }
    }
}

/// One Envoy, and what it has said.
#[derive(Debug)]
struct Desk {
    validator: Arc<dyn Validator>,
    verdicts: Mutex<Verdicts>,
    nudge: Notify,
}

impl Gate {
    /// From now on these are asked; only the first call counts.
    pub(crate) fn ask(&self, validators: Vec<Arc<dyn Validator>>) {
        let desk = |validator| Desk { validator, verdicts: Mutex::default(), nudge: Notify::new() };
        let _ = self.desks.set(validators.into_iter().map(desk).collect());
    }

    fn desks(&self) -> &[Desk] {
        self.desks.get().map(Vec::as_slice).unwrap_or_default()
    }

    /// Those who judge for a group: the supported series, and each that the group has.
    fn desks_of<'g>(&'g self, there: &'g Series) -> impl Iterator<Item = &'g Desk> {
        let judges = |desk: &&Desk| desk.series() == SUPPORTED || there.contains(desk.series());
        self.desks().iter().filter(judges)
    }

    /// What is known of resources, of templates with this fingerprint, for a group with these
    /// Envoys. What is not known is asked, and the subject named when there is an answer.
    pub(crate) fn judge(
        &self,
        subject: &Subject,
        drafts: &[Draft],
        fingerprint: u64,
        there: &Series,
    ) -> Opinion {
        if there.contains(PREVIOUS)
            && let Some(mut unknown) = render::unknown_to_previous(drafts).into_iter().next()
        {
            unknown.message += ", and a proxy of this release is connected";
            return Opinion::Bad(unknown);
        }
        let now = Instant::now();
        let mut opinion = Opinion::Good;
        for desk in self.desks_of(there) {
            match desk.judge(subject, drafts, fingerprint, now) {
                Opinion::Good => {}
                bad @ Opinion::Bad(_) => return bad,
                Opinion::Wait => opinion = Opinion::Wait,
            }
        }
        if opinion == Opinion::Wait {
            metrics::waiting(self.waiting());
        }
        opinion
    }

    /// Whether there is something to judge because of a release, that is not judged in any case.
    pub(crate) fn minds(&self, version: &str) -> bool {
        let series = series(version);
        let is_asked = self.desks().iter().any(|desk| desk.series() == series);
        series != SUPPORTED && (series == PREVIOUS || is_asked)
    }

    /// The series of Envoy that can be asked.
    pub(crate) fn hears(&self) -> Series {
        self.desks().iter().map(|desk| desk.series().to_owned()).collect()
    }

    /// What Envoy of a proxy's series says of exactly these resources; `None`: it does not refuse
    /// them, or there is none that could.
    pub(crate) async fn appeal(
        &self,
        specimens: &[Specimen],
        of: &str,
        redact: &Redact<'_>,
    ) -> Option<Complaint> {
        let desk = self.desks().iter().find(|desk| desk.series() == of)?;
        let search = desk.search(redact, &|_| {});
        let word = search.ask(specimens).await;
        match word {
            Word::Bad(_) => Some(search.complaint(specimens, word).await),
            _ => None,
        }
    }

    /// Takes over what was said in an earlier life, so that a start waits for nothing.
    pub(crate) async fn recall(&self, blobs: &dyn Blobs) -> Result<(), StoreError> {
        for desk in self.desks() {
            desk.recall(blobs).await?;
        }
        Ok(())
    }

    /// Asks until the future is dropped. `again` is told who is to be looked at again; `redact` takes
    /// out of Envoy's words what is secret.
    pub(crate) async fn run(
        &self,
        blobs: &dyn Blobs,
        redact: &Redact<'_>,
        again: impl Fn(HashSet<Subject>) + Sync,
    ) {
        let desks = self.desks().iter().map(|desk| self.serve(desk, blobs, redact, &again));
        futures::future::join_all(desks).await;
        // Without validators there is nothing to do.
        std::future::pending().await
    }

    async fn serve(
        &self,
        desk: &Desk,
        blobs: &dyn Blobs,
        redact: &Redact<'_>,
        again: &(impl Fn(HashSet<Subject>) + Sync),
    ) {
        let tell = |subjects| {
            again(subjects);
            desk.verdicts().told();
            metrics::waiting(self.waiting());
            self.answers.send_replace(());
        };
        let overdue = |is_overdue: bool| {
            if !is_overdue {
                desk.verdicts().is_overdue = false;
                return;
            }
            let subjects = desk.verdicts().excuse_all();
            desk.skipped(&subjects);
            tell(subjects);
        };
        loop {
            while !desk.has_work() {
                let again = desk.verdicts().keeps_after();
                let pause = again.map_or(KEEP_AGAIN, |at| at.duration_since(Instant::now()));
                let _ = timeout(pause, desk.nudge.notified()).await;
            }
            let batch = desk.verdicts().take(Instant::now());
            if batch.is_empty() {
                // What was planned before is published now; or whoever planned has to ask again.
                self.answers.send_replace(());
                desk.remember(blobs).await;
                continue;
            }
            let found = desk.search(redact, &overdue).findings(batch).await;
            let is_silent = found.iter().any(|(_, finding)| *finding == Finding::Nothing);
            let subjects = desk.settle(found, is_silent);
            desk.remember(blobs).await;
            tell(subjects);
            if is_silent {
                sleep(SILENCE_PAUSE).await;
            }
        }
    }

    fn waiting(&self) -> usize {
        self.desks().iter().map(|desk| desk.verdicts().waiting()).sum()
    }

    /// Whether this may go on: no change waits, or for too long. Nobody waits for plans.
    pub(crate) fn lets_go(&self, what: &Held) -> bool {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let since = *held.entry(what.clone()).or_insert_with(Instant::now);
        let is_idle = self.desks().iter().all(|desk| desk.verdicts().is_idle());
        let may = is_idle || since.elapsed() >= what.most();
        if may {
            held.remove(what);
        }
        may
    }

    /// Nobody is interested in this any more.
    pub(crate) fn forget(&self, what: &Held) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(what);
    }

    /// Returns when nothing waits, or there were answers.
    pub(crate) async fn moved(&self) {
        let mut answers = self.answers.subscribe();
        if self.waiting() > 0 {
            // It never fails, as the sender is here.
            let _ = answers.changed().await;
        }
    }
}

impl Desk {
    fn series(&self) -> &str {
        series(self.validator.version())
    }

    fn search<'a>(&'a self, redact: &'a Redact<'a>, overdue: &'a Overdue<'a>) -> Search<'a> {
        let patience = if self.verdicts().is_silent { SILENT_WAIT } else { ANSWER_WAIT };
        Search { validator: &*self.validator, redact, patience, overdue }
    }

    fn verdicts(&self) -> MutexGuard<'_, Verdicts> {
        self.verdicts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn judge(
        &self,
        subject: &Subject,
        drafts: &[Draft],
        fingerprint: u64,
        now: Instant,
    ) -> Opinion {
        let mut verdicts = self.verdicts();
        let opinion = verdicts.judge(subject, drafts, fingerprint, now);
        if opinion == Opinion::Wait && verdicts.is_overdue {
            self.skipped(&verdicts.excuse_all());
            return Opinion::Good;
        }
        drop(verdicts);
        if self.has_work() {
            self.nudge.notify_one();
        }
        opinion
    }

    fn skipped(&self, subjects: &HashSet<Subject>) {
        let series = self.series();
        tracing::warn!(count = subjects.len(), series, "changes go on without an answer of Envoy");
        subjects.iter().for_each(|_| metrics::skipped());
    }

    fn has_work(&self) -> bool {
        let verdicts = self.verdicts();
        verdicts.has_pending() || verdicts.is_to_keep(Instant::now())
    }

    fn settle(&self, found: Vec<(Case, Finding)>, is_silent: bool) -> HashSet<Subject> {
        for (case, finding) in &found {
            match finding {
                Finding::Good => metrics::verdict("accepted"),
                Finding::Bad(complaint) => {
                    let subject = &case.subject;
                    tracing::warn!(?subject, message = %complaint.message, "refused by the gate");
                    metrics::verdict("refused");
                }
                Finding::Nothing | Finding::Later => {}
            }
        }
        let mut verdicts = self.verdicts();
        let was_silent = verdicts.is_silent;
        let excuse = |case: &Case| {
            let goes_on = was_silent || case.since.elapsed() >= ANSWER_WAIT;
            if goes_on {
                tracing::warn!(subject = ?case.subject, "goes on without an answer of Envoy");
                metrics::skipped();
            }
            goes_on
        };
        let again = verdicts.settle(found, excuse);
        if is_silent {
            verdicts.is_silent = true;
        } else if was_silent {
            verdicts.answered();
        }
        metrics::shapes(verdicts.accepted());
        again
    }

    fn key(&self) -> String {
        format!("gate/{}", self.validator.version())
    }

    /// What it accepted in an earlier life of this process.
    async fn recall(&self, blobs: &dyn Blobs) -> Result<(), StoreError> {
        let bytes = blobs.get(&self.key()).await?.unwrap_or_default();
        let pieces = bytes.as_chunks().0.iter().map(|piece| u64::from_be_bytes(*piece));
        self.verdicts().recall(pieces);
        Ok(())
    }

    async fn remember(&self, blobs: &dyn Blobs) {
        if !self.verdicts().is_to_keep(Instant::now()) {
            return;
        }
        let bytes: Vec<u8> = self.verdicts().keep().flat_map(u64::to_be_bytes).collect();
        if let Err(error) = blobs.put(&self.key(), &bytes).await {
            tracing::warn!(%error, "verdicts of the gate are not remembered yet");
            self.verdicts().keep_again(Instant::now() + KEEP_AGAIN);
        }
    }
}

#[cfg(test)]
mod tests;
