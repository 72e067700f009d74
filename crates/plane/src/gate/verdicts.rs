//! What one Envoy has said, and what it is still to be asked. Plain data.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use model::{InstanceId, Version};
use render::{Complaint, Draft, Specimen};
use tokio::time::Instant;

/// Pieces that are remembered: thousands of templates' worth, and 1 MiB.
const PIECES_MAX: usize = 65_536;
/// Refusals that are remembered, and contents that went on without a verdict.
const CONTENTS_MAX: usize = 4_096;
/// Instances that are asked about together. When they are refused, half of them are asked about.
const BATCH: usize = 128;
/// Bytes of resources that are asked about together; one instance may have more.
const BATCH_BYTES: usize = 4 << 20;
/// Cases of plans that wait. Who asks about more asks again when there were answers.
pub(super) const PLANS_MAX: usize = 1_024;
/// A case of a plan is not asked about later than this: who wanted to know it asks again, or is gone.
pub(super) const PLAN_KEPT: Duration = Duration::from_secs(10);

/// What is asked about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    /// An instance's resources.
    Instance(InstanceId),
    /// What a group gets beside its instances.
    Group(Arc<str>),
    /// What somebody may be given, and who that is: whoever wants to know looks for the answer.
    Planned(Arc<str>),
}

impl Subject {
    /// Nothing is given to anybody, whatever the answer is.
    pub(crate) fn is_planned(&self) -> bool {
        matches!(self, Self::Planned(_))
    }
}

/// A question.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) subject: Subject,
    pub(crate) specimens: Vec<Specimen>,
    /// Its pieces that have no verdict.
    pub(crate) pieces: Vec<u64>,
    pub(crate) content: u64,
    pub(crate) since: Instant,
}

/// What is known of a subject's resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Opinion {
    /// They may go on.
    Good,
    /// They may not.
    Bad(Complaint),
    /// Envoy is being asked; the subject is looked at again then.
    Wait,
}

/// What became of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finding {
    Good,
    Bad(Complaint),
    /// There was no answer.
    Nothing,
    /// There was no time to find out.
    Later,
}

/// The table of one Envoy.
#[derive(Debug, Default)]
pub(crate) struct Verdicts {
    accepted: HashSet<u64>,
    /// Of these, what was only planned with: it is not kept, as a plan leaves nothing behind.
    planned: HashSet<u64>,
    /// There is something to be kept that is not yet.
    is_unkept: bool,
    /// It could not be kept, and is to be again then.
    keeps_after: Option<Instant>,
    /// By exact content.
    refused: HashMap<u64, Complaint>,
    /// By the pieces without a verdict: another instance that has the same is as bad.
    refused_shapes: HashMap<u64, Complaint>,
    /// What went on without a verdict, as there was no answer.
    excused: HashSet<u64>,
    /// Pieces that are being asked about, and whether for a plan: no change waits for that.
    asked: HashSet<(u64, bool)>,
    pending: VecDeque<Case>,
    /// Subjects that have no piece but those that are being asked about, and with which content.
    parked: HashSet<(Subject, u64)>,
    /// What is with Envoy now, or whose subjects are not told yet.
    away: Vec<(Subject, u64)>,
    /// The last question had no answer.
    pub(crate) is_silent: bool,
    /// The present question has had none for so long that nobody waits for it.
    pub(crate) is_overdue: bool,
}

impl Verdicts {
    /// What is known of these resources, rendered with templates of this fingerprint. What is not
    /// known is asked.
    pub(crate) fn judge(
        &mut self,
        subject: &Subject,
        drafts: &[Draft],
        fingerprint: u64,
        now: Instant,
    ) -> Opinion {
        let pieces = drafts.iter().flat_map(|draft| draft.shape.pieces());
        let pieces = pieces.map(|piece| piece ^ fingerprint);
        if !subject.is_planned() && !self.planned.is_empty() {
            let before = self.planned.len();
            pieces.clone().for_each(|piece| _ = self.planned.remove(&piece));
            self.is_unkept |= self.planned.len() < before;
        }
        let mut unknown: Vec<u64> = pieces.filter(|piece| !self.accepted.contains(piece)).collect();
        if unknown.is_empty() {
            return Opinion::Good;
        }
        unknown.sort_unstable();
        unknown.dedup();
        let content = combined(drafts.iter().map(|draft| draft.hash));
        if self.excused.contains(&content) {
            return Opinion::Good;
        }
        let refused = self.refused.get(&content);
        if let Some(told) = refused.or_else(|| self.refused_shapes.get(&combined(&unknown))) {
            return Opinion::Bad(told.clone());
        }
        let is_planned = subject.is_planned();
        if unknown.iter().all(|piece| self.asked.contains(&(*piece, is_planned))) {
            self.parked.insert((subject.clone(), content));
            return Opinion::Wait;
        }
        if is_planned && self.pending.len() >= PLANS_MAX && self.plans() >= PLANS_MAX {
            return Opinion::Wait;
        }
        self.asked.extend(unknown.iter().map(|piece| (*piece, is_planned)));
        let specimens = drafts.iter().map(Specimen::from).collect();
        let subject = subject.clone();
        self.pending.push_back(Case { subject, specimens, pieces: unknown, content, since: now });
        Opinion::Wait
    }

    fn plans(&self) -> usize {
        self.pending.iter().filter(|case| case.subject.is_planned()).count()
    }

    /// The next cases to be asked about together; plans come after all else, so that what is refused
    /// of them is not searched for while a change waits.
    pub(crate) fn take(&mut self, now: Instant) -> Vec<Case> {
        let is_planned = |case: &Case| case.subject.is_planned();
        let before = self.pending.len();
        self.pending.retain(|case| !is_planned(case) || now - case.since <= PLAN_KEPT);
        if self.pending.len() < before {
            self.note_asked();
        }
        let plans_only = self.pending.iter().all(is_planned);
        let (mut batch, mut bytes, mut others) = (Vec::new(), 0, VecDeque::new());
        while let Some(next) = self.pending.pop_front() {
            let size = next.specimens.iter().map(|one| one.body.len()).sum::<usize>();
            let is_full = batch.len() == BATCH || (bytes + size > BATCH_BYTES && bytes > 0);
            if is_full || (is_planned(&next) && !plans_only) {
                others.push_back(next);
            } else {
                bytes += size;
                batch.push(next);
            }
        }
        self.pending = others;
        self.away = batch.iter().map(|case| (case.subject.clone(), case.content)).collect();
        batch
    }

    /// What Envoy is asked about, and will be: whoever has nothing else waits for that.
    fn note_asked(&mut self) {
        let asked = self.pending.iter().flat_map(|case| {
            let is_planned = case.subject.is_planned();
            case.pieces.iter().map(move |piece| (*piece, is_planned))
        });
        self.asked = asked.collect();
    }

    /// Nobody waits for Envoy any longer: all goes on without its word until it answers. Returns who
    /// is to be looked at again.
    pub(crate) fn excuse_all(&mut self) -> HashSet<Subject> {
        self.is_overdue = true;
        self.is_silent = true;
        let pending = self.pending.drain(..).map(|case| (case.subject, case.content));
        let all = pending.chain(self.parked.drain()).chain(self.away.drain(..));
        let (subjects, contents): (HashSet<Subject>, Vec<u64>) = all.unzip();
        self.excused.extend(contents);
        self.asked.clear();
        subjects
    }

    /// Takes in what was found; returns who is to be looked at again. A case without an answer goes
    /// on without one if `excuse` says so, and is asked about again otherwise.
    pub(crate) fn settle(
        &mut self,
        found: Vec<(Case, Finding)>,
        excuse: impl Fn(&Case) -> bool,
    ) -> HashSet<Subject> {
        self.bound();
        self.is_overdue = false;
        let mut again: HashSet<Subject> = self.parked.drain().map(|(subject, _)| subject).collect();
        let mut back = Vec::new();
        for (case, finding) in found {
            match finding {
                Finding::Good => self.accept(&case),
                Finding::Bad(complaint) => self.refuse(&case, complaint),
                // It has gone on while the question was overdue.
                _ if self.excused.contains(&case.content) => {}
                Finding::Nothing if excuse(&case) => drop(self.excused.insert(case.content)),
                Finding::Nothing | Finding::Later => {
                    back.push(case);
                    continue;
                }
            }
            again.insert(case.subject);
        }
        back.into_iter().rev().for_each(|case| self.pending.push_front(case));
        self.note_asked();
        again
    }

    fn accept(&mut self, case: &Case) {
        if case.subject.is_planned() {
            self.planned.extend(case.pieces.iter().filter(|piece| !self.accepted.contains(piece)));
        } else {
            self.is_unkept = true;
        }
        self.accepted.extend(&case.pieces);
    }

    fn refuse(&mut self, case: &Case, complaint: Complaint) {
        let of_others = Complaint {
            culprit: complaint.culprit.as_ref().map(|_| "the descriptor".to_owned()),
            resource: None,
            ..complaint.clone()
        };
        self.refused_shapes.insert(combined(&case.pieces), of_others);
        self.refused.insert(case.content, complaint);
    }

    /// What grew too large begins anew: the price is to ask again.
    fn bound(&mut self) {
        if self.accepted.len() > PIECES_MAX {
            self.accepted.clear();
            self.planned.clear();
        }
        if self.refused.len().max(self.refused_shapes.len()) > CONTENTS_MAX {
            self.refused.clear();
            self.refused_shapes.clear();
        }
        if self.excused.len() > CONTENTS_MAX {
            self.excused.clear();
        }
    }

    /// Envoy answers again: what went on without its word is asked about when it is seen next.
    pub(crate) fn answered(&mut self) {
        self.is_silent = false;
        self.excused.clear();
    }

    /// Those who were to be looked at again have been told.
    pub(crate) fn told(&mut self) {
        self.away.clear();
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.pending.len() + self.parked.len() + self.away.len()
    }

    /// Whether no change waits; plans may.
    pub(crate) fn is_idle(&self) -> bool {
        let waiting = self.parked.iter().chain(&self.away).map(|(subject, _)| subject);
        let mut waiting = waiting.chain(self.pending.iter().map(|case| &case.subject));
        waiting.all(Subject::is_planned)
    }

    /// Whether there is something to ask.
    pub(crate) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Whether there is something to keep by now.
    pub(crate) fn is_to_keep(&self, now: Instant) -> bool {
        self.is_unkept && self.keeps_after.is_none_or(|at| at <= now)
    }

    /// When what could not be kept is to be.
    pub(crate) fn keeps_after(&self) -> Option<Instant> {
        self.keeps_after
    }

    /// It could not be kept; it shall be again then.
    pub(crate) fn keep_again(&mut self, at: Instant) {
        (self.is_unkept, self.keeps_after) = (true, Some(at));
    }

    /// How many pieces were accepted.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.len()
    }

    /// The pieces that were accepted and are to be kept; they count as kept.
    pub(crate) fn keep(&mut self) -> impl Iterator<Item = u64> {
        (self.is_unkept, self.keeps_after) = (false, None);
        self.accepted.difference(&self.planned).copied()
    }

    /// Takes over what was accepted in an earlier life.
    pub(crate) fn recall(&mut self, accepted: impl IntoIterator<Item = u64>) {
        self.accepted.extend(accepted.into_iter().take(PIECES_MAX));
    }
}

/// A hash of hashes, in their order.
pub(crate) fn combined<T: std::borrow::Borrow<u64>>(hashes: impl IntoIterator<Item = T>) -> u64 {
    let bytes = hashes.into_iter().flat_map(|hash| hash.borrow().to_be_bytes());
    Version::hash_of(&bytes.collect::<Vec<u8>>())
}
