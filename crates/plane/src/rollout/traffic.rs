//! What clients were answered, by group, as the proxies count it themselves.
//!
//! A proxy that lies about itself can stop a roll-out, and no more: what one tells at once is bounded.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use model::Node;
use tokio::time::Instant;
use xds::Answers;

use crate::Plane;

/// What one proxy may tell at once, in requests.
const REQUESTS_MAX: u64 = 10_000_000;
/// How finely the past is remembered.
const SLOT: Duration = Duration::from_secs(5);
/// How much of it: what a stage is compared with.
const BEFORE: Duration = Duration::from_secs(600);

fn sum(one: Answers, more: Answers) -> Answers {
    let add = |one: u64, more: u64| one.saturating_add(more.min(REQUESTS_MAX));
    Answers {
        requests: add(one.requests, more.requests),
        refused: add(one.refused, more.refused),
        failed: add(one.failed, more.failed),
    }
}

/// Of one group.
#[derive(Debug, Default)]
struct Past {
    total: Answers,
    /// The total at the beginning of each slot, rising.
    slots: VecDeque<(Instant, Answers)>,
}

impl Past {
    fn add(&mut self, answers: Answers, now: Instant) {
        if self.slots.back().is_none_or(|(at, _)| now.duration_since(*at) >= SLOT) {
            self.slots.push_back((now, self.total));
        }
        while self.slots.len() > 2 && self.slots.front().is_some_and(|(at, _)| *at + BEFORE < now) {
            self.slots.pop_front();
        }
        self.total = sum(self.total, answers);
    }
}

/// Of all groups.
#[derive(Debug, Default)]
pub(crate) struct Traffic(BTreeMap<Arc<str>, Past>);

impl Plane {
    /// A proxy of this node tells what it has answered.
    pub(crate) fn took_answers(&self, node: &Node, answers: Answers) {
        let known = {
            let state = self.state();
            let name = state.grouping.name(node).ok();
            name.and_then(|name| Some(state.groups.get_key_value(&*name)?.0.clone()))
        };
        if let Some(group) = known {
            self.traffic().add(&group, answers, Instant::now());
        }
    }

    pub(crate) fn traffic(&self) -> MutexGuard<'_, Traffic> {
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets groups that there are no more.
    pub(crate) fn forget_traffic(&self) {
        let (groups, elsewhere): (Vec<Arc<str>>, _) = {
            let state = self.state();
            (state.groups.keys().cloned().collect(), state.elsewhere.clone())
        };
        let is_there =
            |group: &str| elsewhere.contains(group) || groups.iter().any(|it| &**it == group);
        self.traffic().retain(is_there);
    }
}

/// Where a count begins.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mark(BTreeMap<Arc<str>, (Answers, Answers)>);

impl Traffic {
    /// Proxies of a group have answered these.
    pub(crate) fn add(&mut self, group: &Arc<str>, answers: Answers, now: Instant) {
        self.0.entry(group.clone()).or_default().add(answers, now);
    }

    /// All that proxies of a group have answered.
    pub(crate) fn total(&self, group: &str) -> Answers {
        self.0.get(group).map_or(Answers::default(), |past| past.total)
    }

    /// Keeps what concerns these groups only.
    pub(crate) fn retain(&mut self, is_there: impl Fn(&str) -> bool) {
        self.0.retain(|group, _| is_there(group));
    }

    /// Now, and what there was before.
    pub(crate) fn mark(&self) -> Mark {
        let of = |past: &Past| {
            let first = past.slots.front().map(|(_, total)| *total).unwrap_or_default();
            (past.total, past.total.less(first))
        };
        Mark(self.0.iter().map(|(group, past)| (group.clone(), of(past))).collect())
    }

    /// What these groups have answered before a mark, and since.
    pub(crate) fn between(&self, mark: &Mark, is_of: impl Fn(&str) -> bool) -> (Answers, Answers) {
        let (mut before, mut since) = (Answers::default(), Answers::default());
        for (group, past) in self.0.iter().filter(|(group, _)| is_of(group)) {
            let (at, earlier) = mark.0.get(group).copied().unwrap_or_default();
            before = sum(before, earlier);
            since = sum(since, past.total.less(at));
        }
        (before, since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(requests: u64, failed: u64) -> Answers {
        Answers { requests, refused: 0, failed }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_before_a_mark_is_told_from_what_came_after() {
        let (mut traffic, eu, us) = (Traffic::default(), "eu".into(), "us".into());
        traffic.add(&eu, answers(100, 1), Instant::now());
        traffic.add(&us, answers(7, 7), Instant::now());
        tokio::time::advance(SLOT).await;
        traffic.add(&eu, answers(100, 0), Instant::now());
        let mark = traffic.mark();
        traffic.add(&eu, answers(10, 9), Instant::now());
        let of_eu = |traffic: &Traffic| traffic.between(&mark, |group| group == "eu");
        assert_eq!(of_eu(&traffic), (answers(200, 1), answers(10, 9)));
        tokio::time::advance(BEFORE * 2).await;
        traffic.add(&eu, answers(1, 0), Instant::now());
        assert_eq!(of_eu(&traffic).1, answers(11, 9));
        let later = traffic.mark();
        let (before, _) = traffic.between(&later, |group| group == "eu");
        assert!(before.requests < 200, "what is long past is forgotten: {before:?}");
        traffic.retain(|group| group == "us");
        assert_eq!(of_eu(&traffic), (Answers::default(), Answers::default()));
    }

    #[test]
    fn nobody_tells_more_than_there_can_be() {
        let (mut traffic, eu) = (Traffic::default(), "eu".into());
        let mark = traffic.mark();
        traffic.add(&eu, answers(u64::MAX, u64::MAX), Instant::now());
        traffic.add(&eu, answers(u64::MAX, u64::MAX), Instant::now());
        let (_, since) = traffic.between(&mark, |_| true);
        assert_eq!(since, answers(REQUESTS_MAX, REQUESTS_MAX), "and a sum is told in bounds, too");
    }
}
