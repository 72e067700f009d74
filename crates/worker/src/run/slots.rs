//! Whose the jobs in hand are, so that no team has all of them.

use std::collections::HashMap;
use std::sync::Arc;

/// A team holds at most so many times what is free.
const TIMES_THE_FREE: usize = 4;

/// Slots by team.
#[derive(Debug, Default)]
pub(super) struct Slots(HashMap<String, Arc<()>>);

/// One of them, free again when it is dropped, whatever became of the job.
pub(super) struct Slot(#[expect(dead_code, reason = "counted, not read")] Arc<()>);

impl Slots {
    /// Gives a team one more.
    pub(super) fn take(&mut self, team: &str) -> Slot {
        self.0.retain(|_, held| Arc::strong_count(held) > 1);
        Slot(self.0.entry(team.to_owned()).or_default().clone())
    }

    /// The teams that have as many as they may have while so many are free.
    pub(super) fn full(&self, free: usize) -> Vec<String> {
        let most = free.saturating_mul(TIMES_THE_FREE);
        let is_full = |held: &Arc<()>| Arc::strong_count(held) > most;
        self.0.iter().filter(|(_, held)| is_full(held)).map(|(team, _)| team.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_team_leaves_some_to_the_next_and_that_one_to_the_third() {
        let (mut slots, mut held) = (Slots::default(), Vec::new());
        let mut count = |team: &str| {
            let before = held.len();
            while held.len() < 64 && !slots.full(64 - held.len()).iter().any(|full| full == team) {
                held.push(slots.take(team));
            }
            held.len() - before
        };
        assert_eq!([count("a"), count("b"), count("c"), count("d")], [52, 10, 2, 0]);
    }

    #[test]
    fn what_is_dropped_is_free_again() {
        let mut slots = Slots::default();
        let held: Vec<Slot> = (0..4).map(|_| slots.take("a")).collect();
        assert_eq!(slots.full(1), ["a"]);
        drop(held);
        assert!(slots.full(1).is_empty());
    }
}
