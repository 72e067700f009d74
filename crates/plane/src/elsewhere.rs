//! What other replicas have told last, as far as this one needs it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, MutexGuard, PoisonError};

use tokio::time::Instant;
use xds::Answers;

use crate::rollout::Told;
use crate::{Plane, Summary};

/// What was told.
#[derive(Debug, Default)]
pub(crate) struct Elsewhere {
    told: Vec<Told>,
    /// What proxies of a group had answered at a replica, when that was told last.
    answers: BTreeMap<(String, String), Answers>,
    /// Whose resources were refused at a replica when it told last before its groups were given something
    /// else.
    refused: BTreeMap<String, BTreeSet<String>>,
}

impl Elsewhere {
    fn take(&mut self, told: Vec<Told>) {
        for (replica, before) in std::mem::take(&mut self.told) {
            let now = told.iter().find(|(it, _)| *it == replica);
            if now.is_some_and(|(_, now)| now.stands.given() != before.stands.given()) {
                self.refused.insert(replica, before.stands.refusals.keys().cloned().collect());
            }
        }
        let is_there = |replica: &String| told.iter().any(|(it, _)| it == replica);
        self.answers.retain(|(replica, _), _| is_there(replica));
        self.refused.retain(|replica, _| is_there(replica));
        self.told = told;
    }

    /// What was refused before groups were given what was decided at this revision. A replica may be
    /// ahead of whoever decided it.
    fn refused_before(&self, given: u64) -> BTreeSet<String> {
        let refused = self.told.iter().flat_map(|(replica, it)| {
            let before = self.refused.get(replica).filter(|_| it.stands.given() >= given);
            before.cloned().unwrap_or_else(|| it.stands.refusals.keys().cloned().collect())
        });
        refused.collect()
    }

    /// What was answered since a replica told before. What it told first was answered at some time.
    fn since(&mut self, replica: &str, group: &str, total: Answers) -> Option<Answers> {
        let before = self.answers.insert((replica.to_owned(), group.to_owned()), total)?;
        // A replica that was started again counts anew.
        let is_anew = total.requests < before.requests;
        let since = if is_anew { total } else { total.less(before) };
        (since != Answers::default()).then_some(since)
    }
}

impl Plane {
    /// Other replicas tell this, by their names; one that is not among them tells nothing any more. Their
    /// groups are not without proxies, and gates of roll-outs count what they tell.
    pub fn elsewhere(&self, told: Vec<(String, Arc<Summary>)>) {
        let mut answered = Vec::new();
        {
            let mut elsewhere = self.told_elsewhere();
            for (replica, summary) in &told {
                for (group, total) in summary.stands.answers() {
                    let since = elsewhere.since(replica, group, total);
                    answered.extend(since.map(|since| (group.to_owned(), since)));
                }
            }
            elsewhere.take(told.clone());
        }
        let now = Instant::now();
        for (group, answers) in answered {
            self.traffic().add(&group.into(), answers, now);
        }
        let groups: BTreeSet<String> =
            told.iter().flat_map(|(_, it)| it.groups.iter().cloned()).collect();
        {
            let mut state = self.state();
            if state.elsewhere == groups {
                return;
            }
            state.elsewhere = groups;
        }
        self.tell();
    }

    /// What other replicas have told last.
    pub(crate) fn told(&self) -> Vec<Told> {
        self.told_elsewhere().told.clone()
    }

    /// What other replicas refused before groups were given what was decided at this revision.
    pub(crate) fn refused_elsewhere(&self, given: u64) -> BTreeSet<String> {
        self.told_elsewhere().refused_before(given)
    }

    fn told_elsewhere(&self) -> MutexGuard<'_, Elsewhere> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_replica_refuses_that_is_ahead_is_news() {
        let told = |given, owners: &[&str]| {
            let mut summary = Summary::default();
            summary.stands = crate::rollout::Stands::refusing(given, owners);
            vec![("a".to_owned(), Arc::new(summary))]
        };
        let of = |elsewhere: &Elsewhere, given| {
            elsewhere.refused_before(given).into_iter().collect::<Vec<_>>()
        };
        let mut elsewhere = Elsewhere::default();
        elsewhere.take(told(1, &["x"]));
        assert_eq!(of(&elsewhere, 2), ["x"]);
        elsewhere.take(told(2, &["x", "y"]));
        assert_eq!(of(&elsewhere, 2), ["x"], "y is refused since it was given that");
        assert_eq!(of(&elsewhere, 3), ["x", "y"]);
        elsewhere.take(told(2, &["y", "z"]));
        assert_eq!(of(&elsewhere, 2), ["x"]);
        elsewhere.take(Vec::new());
        assert!(of(&elsewhere, 2).is_empty());
    }

    #[test]
    fn what_was_answered_before_is_not_counted_now() {
        let total = |requests| Answers { requests, refused: 0, failed: 1 };
        let mut elsewhere = Elsewhere::default();
        assert_eq!(elsewhere.since("a", "eu", total(100)), None);
        assert_eq!(elsewhere.since("b", "eu", total(5)), None);
        assert_eq!(elsewhere.since("a", "eu", total(100)), None);
        let seven = Answers { requests: 7, ..Answers::default() };
        assert_eq!(elsewhere.since("a", "eu", total(107)), Some(seven));
        assert_eq!(elsewhere.since("a", "eu", total(3)), Some(total(3)), "it was started again");
    }
}
