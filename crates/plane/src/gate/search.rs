//! Asks about many cases at once, and finds those that are refused among them.

use std::pin::pin;
use std::time::Duration;

use render::{Complaint, Specimen};
use tokio::time::{Instant, timeout};

use super::metrics;
use super::port::{Validator, Word};
use super::verdicts::{Case, Finding, Subject};

/// So often Envoy is asked for one batch; what is not found out then waits for its turn.
const QUESTIONS_MAX: usize = 48;
/// The same for plans: a change that comes meanwhile has its turn after them.
const PLAN_QUESTIONS_MAX: usize = 12;

/// Takes out of a text what is secret.
pub(crate) type Redact<'a> = dyn Fn(&str) -> String + Send + Sync + 'a;

/// Is told that a question has had no answer for too long; and when it has one after all.
pub(crate) type Overdue<'a> = dyn Fn(bool) + Send + Sync + 'a;

/// No question takes longer, whatever the validator says of itself.
const QUESTION_MAX: Duration = Duration::from_secs(30);

/// Who asks.
pub(crate) struct Search<'a> {
    pub(crate) validator: &'a dyn Validator,
    /// For Envoy's words.
    pub(crate) redact: &'a Redact<'a>,
    /// So long a question may take before that is told.
    pub(crate) patience: Duration,
    pub(crate) overdue: &'a Overdue<'a>,
}

impl Search<'_> {
    /// What Envoy says of each case.
    pub(crate) async fn findings(&self, batch: Vec<Case>) -> Vec<(Case, Finding)> {
        let mut found: Vec<Finding> = batch.iter().map(|_| Finding::Later).collect();
        let mut open: Vec<Vec<usize>> = vec![(0..batch.len()).collect()];
        let is_plan = batch.iter().any(|case| case.subject.is_planned());
        for _ in 0..if is_plan { PLAN_QUESTIONS_MAX } else { QUESTIONS_MAX } {
            let Some(some) = open.pop() else { break };
            let of_some = some.iter().filter_map(|&at| batch.get(at));
            let word = self.ask(of_some.flat_map(|case| &case.specimens)).await;
            let finding = match (word, &some[..]) {
                (Word::Good, _) => Finding::Good,
                (Word::Nothing(why), _) => {
                    tracing::warn!(version = self.validator.version(), %why, "no answer of Envoy");
                    found.iter_mut().filter(|it| **it == Finding::Later).for_each(|it| {
                        *it = Finding::Nothing;
                    });
                    break;
                }
                (word, &[one]) => match batch.get(one) {
                    Some(case) => self.refused(case, word).await,
                    None => continue,
                },
                (Word::Bad(why) | Word::Died(why), _) => {
                    open.extend(parts(&batch, &some, &why));
                    continue;
                }
            };
            for at in some {
                found[at] = finding.clone();
            }
        }
        batch.into_iter().zip(found).collect()
    }

    /// What Envoy says of specimens.
    pub(crate) async fn ask(&self, specimens: impl IntoIterator<Item = &Specimen>) -> Word {
        let bootstrap = render::trial(specimens);
        let started = Instant::now();
        let word = timeout(QUESTION_MAX, self.in_time(bootstrap)).await;
        metrics::asked(started.elapsed());
        let nothing = || Word::Nothing(format!("no answer in {} s", QUESTION_MAX.as_secs()));
        word.unwrap_or_else(|_| nothing()).shown(self.redact)
    }

    /// An answer that comes late is still one: nobody waits for it, and it holds of what comes next.
    async fn in_time(&self, bootstrap: Vec<u8>) -> Word {
        let mut answer = pin!(self.validator.validate(bootstrap));
        match timeout(self.patience, &mut answer).await {
            Ok(word) => word,
            Err(_) => {
                (self.overdue)(true);
                let word = answer.await;
                (self.overdue)(false);
                word
            }
        }
    }

    /// A case that alone is refused. Whoever dies of it dies of nothing else, else it is not at fault.
    async fn refused(&self, case: &Case, word: Word) -> Finding {
        if let Word::Died(why) = &word
            && self.ask([]).await != Word::Good
        {
            tracing::warn!(version = self.validator.version(), %why, "Envoy dies of anything");
            return Finding::Nothing;
        }
        Finding::Bad(self.complaint(&case.specimens, word).await)
    }

    /// What is refused, as narrow as it can be told. Where Envoy says nothing more, no narrower.
    pub(crate) async fn complaint(&self, specimens: &[Specimen], mut word: Word) -> Complaint {
        let mut some = specimens.to_vec();
        while some.len() > 1 {
            let rest = some.split_off(some.len() / 2);
            match (self.ask(&some).await, self.ask(&rest).await) {
                (told @ (Word::Bad(_) | Word::Died(_)), _) => word = told,
                (_, told @ (Word::Bad(_) | Word::Died(_))) => (some, word) = (rest, told),
                // Each is good without the other.
                _ => return self.told(None, &word),
            }
        }
        let Some(one) = some.pop() else { return self.told(None, &word) };
        if one.routes() == 0 {
            return self.told(Some(&one), &word);
        }
        let without = one.with_routes(0..0);
        match self.ask([&without]).await {
            Word::Good => self.route(&one, word).await,
            Word::Bad(_) | Word::Died(_) => self.told(Some(&without), &word),
            Word::Nothing(_) => self.unplaced(&one, &word),
        }
    }

    /// The route that is refused, of those of a specimen that is good without any.
    async fn route(&self, one: &Specimen, mut word: Word) -> Complaint {
        let (mut from, mut to) = (0, one.routes());
        while to - from > 1 {
            let middle = from + (to - from) / 2;
            match self.ask([&one.with_routes(from..middle)]).await {
                told @ (Word::Bad(_) | Word::Died(_)) => (to, word) = (middle, told),
                Word::Good => from = middle,
                Word::Nothing(_) => return self.unplaced(one, &word),
            }
        }
        self.told(Some(&one.with_routes(from..to)), &word)
    }

    /// It is not known which part of it is refused.
    fn unplaced(&self, one: &Specimen, word: &Word) -> Complaint {
        Complaint { culprit: None, ..self.told(Some(one), word) }
    }

    fn told(&self, specimen: Option<&Specimen>, word: &Word) -> Complaint {
        let why = match word {
            Word::Bad(why) | Word::Died(why) | Word::Nothing(why) => why.as_str(),
            Word::Good => "",
        };
        let kind = |one: &Specimen| {
            let kind = one.type_url.message();
            format!("{} {}", kind.rsplit('.').next().unwrap_or(kind), one.name)
        };
        Complaint {
            template: specimen.map(|one| one.template.to_string()).unwrap_or_default(),
            resource: specimen.map(kind).map(|text| (self.redact)(&text)),
            culprit: specimen.and_then(Specimen::culprit).map(|text| (self.redact)(&text)),
            message: format!("Envoy {} refuses it: {why}", self.validator.version()),
            ..Complaint::default()
        }
    }
}

/// Those that a refusal names, and the others; or halves. The last is asked about next.
fn parts(batch: &[Case], some: &[usize], why: &str) -> [Vec<usize>; 2] {
    let has = |id: &str| why.contains(&format!("{id}/")) || why.contains(&format!("/{id}"));
    let is_named = |at: &usize| match batch.get(*at).map(|case| &case.subject) {
        Some(Subject::Instance(id)) => has(id.as_str()),
        Some(Subject::Planned(id)) => has(id),
        Some(Subject::Group(_)) | None => false,
    };
    let (named, others): (Vec<usize>, Vec<usize>) = some.iter().copied().partition(is_named);
    if named.is_empty() || others.is_empty() {
        let (first, last) = some.split_at(some.len() / 2);
        return [last.to_vec(), first.to_vec()];
    }
    [others, named]
}
