//! How long each step takes as a rule: over all services, because a new one has no history.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use model::{Millis, Operation, OperationKind, OperationState, StepState};
use store::{OperationSearch, Search};

/// What is known is looked up again after this time, so that polls do not pay for it.
const FRESH_MILLIS: Millis = 60_000;
/// And after this one while nothing is known: there are few operations to look at.
const UNKNOWN_MILLIS: Millis = 5_000;
/// Operations of one kind that are looked at, the latest: enough for a median, and soon read.
const SAMPLES_MAX: usize = 64;
/// Fewer say nothing of what is usual.
const SAMPLES_MIN: usize = 3;

/// Milliseconds by the name of the step: the median of late.
pub(crate) type Usual = BTreeMap<String, Millis>;

/// What is usual of each kind of operation.
#[derive(Default)]
pub(crate) struct Typical {
    kinds: [Kind; 3],
}

#[derive(Default)]
struct Kind {
    known: Mutex<Known>,
    /// Held by the one who looks it up; others are answered with what was known before.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Clone, Default)]
struct Known {
    at: Option<Millis>,
    usual: Arc<Usual>,
}

impl Typical {
    /// As it was known a minute ago at the longest, but for those who ask while it is looked up.
    pub(crate) async fn of(
        &self,
        search: &dyn Search,
        kind: OperationKind,
        now: Millis,
    ) -> Arc<Usual> {
        let place = self.place(kind);
        let known = place.read();
        let lasts = if known.usual.is_empty() { UNKNOWN_MILLIS } else { FRESH_MILLIS };
        let is_fresh = known.at.is_some_and(|at| now.saturating_sub(at) < lasts);
        if is_fresh {
            return known.usual;
        }
        let Ok(_asking) = place.asking.try_lock() else { return known.usual };
        let usual = looked_up(search, kind).await.map_or(known.usual, Arc::new);
        let at = Some(now);
        let mut place = place.known.lock().unwrap_or_else(PoisonError::into_inner);
        *place = Known { at, usual: Arc::clone(&usual) };
        usual
    }

    /// What is known, however old.
    pub(crate) fn known(&self, kind: OperationKind) -> Arc<Usual> {
        self.place(kind).read().usual
    }

    fn place(&self, kind: OperationKind) -> &Kind {
        let [provision, update, deprovision] = &self.kinds;
        match kind {
            OperationKind::Provision => provision,
            OperationKind::Update => update,
            OperationKind::Deprovision => deprovision,
        }
    }
}

impl Kind {
    fn read(&self) -> Known {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// `None`: the store cannot be read, which whoever asks will be told by something that matters.
async fn looked_up(search: &dyn Search, kind: OperationKind) -> Option<Usual> {
    let latest = OperationSearch {
        kind: Some(kind),
        state: Some(OperationState::Succeeded),
        limit: SAMPLES_MAX,
        ..OperationSearch::default()
    };
    let found = search.search_operations(latest).await.ok()?;
    Some(medians(found.items.iter().map(|found| &found.operation)))
}

fn medians<'a>(operations: impl Iterator<Item = &'a Operation>) -> Usual {
    let mut took: BTreeMap<String, Vec<Millis>> = BTreeMap::new();
    let steps = operations.flat_map(|operation| &operation.steps);
    for step in steps.filter(|step| step.state == StepState::Done && step.skipped.is_none()) {
        let Some((since, until)) = step.started_at.zip(step.finished_at) else { continue };
        took.entry(step.name.clone()).or_default().push(until.saturating_sub(since).max(0));
    }
    took.into_iter().filter_map(|(name, times)| Some((name, median(times)?))).collect()
}

fn median(mut times: Vec<Millis>) -> Option<Millis> {
    times.sort_unstable();
    times.get(times.len() / 2).copied().filter(|_| times.len() >= SAMPLES_MIN)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use model::{Instance, InstanceId, OperationId, Owner, Requester, StepRecord};
    use store::{Found, FoundPage, InstanceSearch, OperationNews, StoreError};

    use super::*;

    /// Operations whose one step took so long; and how often they were looked at.
    struct Past {
        took: Vec<Millis>,
        looks: AtomicUsize,
    }

    fn done(took: Millis) -> Operation {
        let by = Requester {
            credential: "c".to_owned(),
            originating_identity: None,
            request_identity: None,
        };
        let (id, instance) = ("o".parse().unwrap(), "i".parse().unwrap());
        let mut operation = Operation::new(id, instance, OperationKind::Update, by, 0);
        let (started_at, finished_at) = (Some(5), Some(5 + took));
        let state = StepState::Done;
        let step = StepRecord::new("dns", "Making records");
        operation.steps = vec![
            StepRecord { state, started_at, finished_at, ..step.clone() },
            StepRecord { name: "undone".to_owned(), state: StepState::Undone, ..step.clone() },
            StepRecord { name: "waits".to_owned(), state, ..step },
        ];
        operation
    }

    #[async_trait]
    impl Search for Past {
        async fn search_instances(
            &self,
            _: InstanceSearch,
        ) -> Result<FoundPage<Instance, String>, StoreError> {
            Err(StoreError::Unavailable("not asked".to_owned()))
        }
        async fn search_operations(
            &self,
            search: OperationSearch,
        ) -> Result<FoundPage<Found, u64>, StoreError> {
            self.looks.fetch_add(1, Ordering::Relaxed);
            assert_eq!(search.state, Some(OperationState::Succeeded));
            if self.took.is_empty() {
                return Err(StoreError::Unavailable("full".to_owned()));
            }
            let owner = Owner { organization: "o".to_owned(), space: "s".to_owned() };
            let found = |took: &Millis| Found { operation: done(*took), owner: owner.clone() };
            Ok(FoundPage { items: self.took.iter().map(found).collect(), next: None })
        }
        fn news(&self, _: &OperationId) -> OperationNews {
            OperationNews::of(tokio::sync::watch::channel(0).1)
        }
        fn news_of_instance(&self, _: &InstanceId) -> OperationNews {
            OperationNews::of(tokio::sync::watch::channel(0).1)
        }
    }

    #[tokio::test]
    async fn it_is_the_median_of_late_and_looked_up_once_a_minute() {
        let typical = Typical::default();
        let past = |took: &[Millis]| Past { took: took.to_vec(), looks: AtomicUsize::new(0) };
        let slow = past(&[90_000, 7, 8]);
        let update = OperationKind::Update;
        for now in [1_000, 1_001, 60_999] {
            let usual = typical.of(&slow, update, now).await;
            assert_eq!(*usual, Usual::from([("dns".to_owned(), 8)]), "{now}");
        }
        assert_eq!(slow.looks.load(Ordering::Relaxed), 1, "polls pay nothing");
        assert_eq!(typical.of(&past(&[1, 2]), update, 61_000).await.len(), 0, "two say nothing");
        assert_eq!(typical.known(OperationKind::Provision).len(), 0, "each kind has its own");
        assert_eq!(typical.of(&slow, update, 65_999).await.len(), 0, "not asked yet");
        assert_eq!(typical.of(&slow, update, 66_000).await.len(), 1, "soon known");
        let broken = past(&[]);
        assert_eq!(typical.of(&broken, update, 200_000).await.len(), 1, "what was known stays");
        assert_eq!(typical.known(update).len(), 1);
    }
}
