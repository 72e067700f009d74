//! What is to be rendered next: changes of tenants before what the platform wants renewed, so that
//! nobody waits behind a bulk.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::InstanceId;
use tokio::sync::Notify;
use tokio::time::Instant;

/// So many instances are rendered at a time: long enough to use all cores, short enough that a
/// tenant's change waits a few milliseconds at most behind a bulk.
const BATCH: usize = 64;

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Render these; each with the time since which it has waited. They are urgent, or of a bulk.
    Render(Vec<(InstanceId, Instant)>, Haste),
    /// Answer the proxies of this group: all before it in the queue has been rendered.
    Open(Arc<str>),
    /// All instances have been rendered with this generation of what is rendered with.
    Done(u64),
}

/// Whether anybody waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Haste {
    Urgent,
    Bulk,
}

#[derive(Debug)]
enum Later {
    Render(InstanceId),
    Open(Arc<str>),
    Done(u64),
}

#[derive(Debug, Default)]
struct Waiting {
    urgent: VecDeque<(InstanceId, Instant)>,
    urgent_ids: HashSet<InstanceId>,
    later: VecDeque<Later>,
    later_ids: HashSet<InstanceId>,
    /// Of a bulk, and waiting elsewhere: they come back as what they were.
    parked: HashSet<InstanceId>,
    /// How many that have come back are first in `later`.
    returned: usize,
}

/// The queue. Twice as long as there are instances, at most, and a mark for each group and cause of a
/// bulk.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    nudge: Notify,
}

impl Queue {
    /// Before everything that is not urgent, in the order of calls.
    pub(crate) fn urgent(&self, ids: impl IntoIterator<Item = InstanceId>) {
        let mut ids = ids.into_iter().peekable();
        if ids.peek().is_none() {
            return;
        }
        let mut waiting = self.waiting();
        let now = Instant::now();
        for id in ids {
            waiting.parked.remove(&id);
            if waiting.urgent_ids.insert(id.clone()) {
                waiting.urgent.push_back((id, now));
            }
        }
        self.nudge.notify_one();
    }

    /// When there is nothing urgent. What waits for that already is as it is then.
    pub(crate) fn later(&self, ids: impl IntoIterator<Item = InstanceId>) {
        let mut waiting = self.waiting();
        for id in ids {
            if waiting.later_ids.insert(id.clone()) {
                waiting.later.push_back(Later::Render(id));
            }
        }
        self.nudge.notify_one();
    }

    /// These of a bulk could not be rendered yet: [`again`](Self::again) says when they can.
    pub(crate) fn park(&self, ids: impl IntoIterator<Item = InstanceId>) {
        self.waiting().parked.extend(ids);
    }

    /// These are rendered after all.
    pub(crate) fn unpark<'a>(&self, ids: impl IntoIterator<Item = &'a InstanceId>) {
        let mut waiting = self.waiting();
        ids.into_iter().for_each(|id| _ = waiting.parked.remove(id));
    }

    /// Those that were parked, before all that is not urgent: what is marked as done after them must
    /// be. Others are urgent.
    pub(crate) fn again(&self, ids: impl IntoIterator<Item = InstanceId>) {
        let mut urgent = Vec::new();
        {
            let mut waiting = self.waiting();
            for id in ids {
                match waiting.parked.remove(&id) {
                    true => {
                        waiting.later.push_front(Later::Render(id));
                        waiting.returned += 1;
                    }
                    false => urgent.push(id),
                }
            }
        }
        self.urgent(urgent);
    }

    /// Whether something has come back, or come, since a mark was taken, that belongs before it.
    pub(crate) fn is_behind(&self) -> bool {
        let waiting = self.waiting();
        !waiting.urgent.is_empty() || waiting.returned > 0
    }

    /// After everything that is in the queue now.
    pub(crate) fn open(&self, group: Arc<str>) {
        self.waiting().later.push_back(Later::Open(group));
        self.nudge.notify_one();
    }

    /// Tells when everything that is in the queue now has been done.
    pub(crate) fn done(&self, generation: u64) {
        self.waiting().later.push_back(Later::Done(generation));
        self.nudge.notify_one();
    }

    /// The next task; waits for one.
    pub(crate) async fn next(&self) -> Task {
        loop {
            if let Some(task) = self.waiting().take() {
                return task;
            }
            self.nudge.notified().await;
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn take(&mut self) -> Option<Task> {
        if !self.urgent.is_empty() {
            let count = self.urgent.len().min(BATCH);
            let batch: Vec<_> = self.urgent.drain(..count).collect();
            batch.iter().for_each(|(id, _)| {
                self.urgent_ids.remove(id);
            });
            return Some(Task::Render(batch, Haste::Urgent));
        }
        if let Some(Later::Open(_) | Later::Done(_)) = self.later.front() {
            return self.later.pop_front().and_then(Later::mark);
        }
        let now = Instant::now();
        let mut batch = Vec::new();
        while batch.len() < BATCH
            && let Some(Later::Render(id)) =
                self.later.pop_front_if(|next| matches!(next, Later::Render(_)))
        {
            self.later_ids.remove(&id);
            self.returned = self.returned.saturating_sub(1);
            batch.push((id, now));
        }
        (!batch.is_empty()).then_some(Task::Render(batch, Haste::Bulk))
    }
}

impl Later {
    fn mark(self) -> Option<Task> {
        match self {
            Self::Open(group) => Some(Task::Open(group)),
            Self::Done(generation) => Some(Task::Done(generation)),
            Self::Render(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: impl std::fmt::Display) -> InstanceId {
        name.to_string().parse().unwrap()
    }

    async fn ids(queue: &Queue) -> Vec<String> {
        match queue.next().await {
            Task::Render(batch, _) => batch.into_iter().map(|(id, _)| id.to_string()).collect(),
            Task::Open(group) => vec![format!("open {group}")],
            Task::Done(generation) => vec![format!("done {generation}")],
        }
    }

    #[tokio::test]
    async fn urgent_work_overtakes_and_a_group_opens_after_what_was_before_it() {
        let queue = Queue::default();
        queue.later((0..BATCH + 1).map(id));
        queue.open("g".into());
        queue.later([id("z")]);
        queue.done(7);
        assert_eq!(ids(&queue).await.len(), BATCH);
        queue.urgent([id("b"), id("a"), id("b")]);
        assert_eq!(ids(&queue).await, ["b", "a"]);
        assert_eq!(ids(&queue).await, [BATCH.to_string()]);
        assert_eq!(ids(&queue).await, ["open g"]);
        assert_eq!(ids(&queue).await, ["z"]);
        assert_eq!(ids(&queue).await, ["done 7"]);
    }

    #[tokio::test]
    async fn a_bulk_is_in_the_queue_once_and_comes_back_before_what_marks_its_end() {
        let queue = Queue::default();
        queue.later(["a", "b"].map(id));
        queue.done(1);
        queue.later(["b", "c", "a"].map(id));
        assert_eq!(ids(&queue).await, ["a", "b"]);
        queue.park(["a", "b"].map(id));
        queue.later([id("a")]);
        queue.urgent([id("b")]);
        queue.again(["a", "b", "x"].map(id));
        assert!(queue.is_behind());
        assert_eq!(ids(&queue).await, ["b", "x"], "of these somebody waits");
        assert_eq!(ids(&queue).await, ["a"], "as it was parked");
        assert!(!queue.is_behind());
        assert_eq!(ids(&queue).await, ["done 1"]);
        assert_eq!(ids(&queue).await, ["c", "a"]);
    }
}
