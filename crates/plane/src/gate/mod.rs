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

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use render::{Complaint, Draft, PREVIOUS, SUPPORTED, Specimen};
use store::{Blobs, StoreError};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};

pub(crate) use port::series;
pub use port::{Validator, Word};
pub use process::EnvoyValidator;
pub(crate) use releases::{Releases, admit};
use search::{Redact, Search};
use verdicts::{Case, Finding, Verdicts};
pub(crate) use verdicts::{Opinion, Subject};

/// So long a change waits for an Envoy that does not answer. One that did not answer the last
/// question is waited for no longer than one more.
const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// Between two questions to an Envoy that does not answer.
const SILENCE_PAUSE: Duration = Duration::from_secs(1);

/// At a start, proxies wait so long for what waits here: what they have serves on meanwhile.
const OPENING_WAIT_MAX: Duration = Duration::from_secs(60);

/// The series of Envoy that a group has.
pub(crate) type Series = BTreeSet<String>;

/// The gate. Without validators all passes.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    desks: OnceLock<Vec<Desk>>,
    /// Since when groups wait to be opened.
    openings: Mutex<BTreeMap<Arc<str>, Instant>>,
    /// Told whenever there were answers.
    answers: watch::Sender<()>,
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
        let search = desk.search(redact);
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
        again: impl Fn(Vec<Subject>),
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
        again: &impl Fn(Vec<Subject>),
    ) {
        loop {
            while !desk.has_work() {
                desk.nudge.notified().await;
            }
            let batch = desk.verdicts().take();
            if batch.is_empty() {
                // What was planned before is published now.
                desk.remember(blobs).await;
                continue;
            }
            let found = desk.search(redact).findings(batch).await;
            let is_silent = found.iter().any(|(_, finding)| *finding == Finding::Nothing);
            let subjects = desk.settle(found, is_silent);
            desk.remember(blobs).await;
            again(subjects);
            desk.verdicts().told();
            metrics::waiting(self.waiting());
            self.answers.send_replace(());
            if is_silent {
                sleep(SILENCE_PAUSE).await;
            }
        }
    }

    fn waiting(&self) -> usize {
        self.desks().iter().map(|desk| desk.verdicts().waiting()).sum()
    }

    /// Whether a group may be opened: nothing waits, so that proxies lack nothing. Or for too long.
    pub(crate) fn may_open(&self, group: &Arc<str>) -> bool {
        let mut openings = self.openings.lock().unwrap_or_else(PoisonError::into_inner);
        let since = *openings.entry(group.clone()).or_insert_with(Instant::now);
        let may = self.is_idle() || since.elapsed() >= OPENING_WAIT_MAX;
        if may {
            openings.remove(group);
        }
        may
    }

    /// Whether nothing waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting() == 0
    }

    /// Returns when nothing waits, or there were answers.
    pub(crate) async fn moved(&self) {
        let mut answers = self.answers.subscribe();
        if !self.is_idle() {
            // It never fails, as the sender is here.
            let _ = answers.changed().await;
        }
    }
}

impl Desk {
    fn series(&self) -> &str {
        series(self.validator.version())
    }

    fn search<'a>(&'a self, redact: &'a Redact<'a>) -> Search<'a> {
        Search { validator: &*self.validator, redact }
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
        let opinion = self.verdicts().judge(subject, drafts, fingerprint, now);
        if self.has_work() {
            self.nudge.notify_one();
        }
        opinion
    }

    fn has_work(&self) -> bool {
        let verdicts = self.verdicts();
        verdicts.has_pending() || verdicts.is_unkept()
    }

    fn settle(&self, found: Vec<(Case, Finding)>, is_silent: bool) -> Vec<Subject> {
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
        if !self.verdicts().is_unkept() {
            return;
        }
        let bytes: Vec<u8> = self.verdicts().keep().flat_map(u64::to_be_bytes).collect();
        if let Err(error) = blobs.put(&self.key(), &bytes).await {
            tracing::warn!(%error, "verdicts of the gate are not remembered");
        }
    }
}
