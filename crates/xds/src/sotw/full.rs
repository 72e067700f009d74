//! Full state: what a client shall have of a type, all of it.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::subscription::{Due, Subscription, Trial, Unanswered};
use crate::cache::{Content, State, View, any_fields};

/// All that a client shall have of a type.
pub(super) struct Whole {
    pub(super) digest: u64,
    pub(super) resources: Bytes,
}

impl Subscription {
    /// All that the client shall have as of `seq`: what is here, but substitutes and what is under
    /// suspicion; and of what went after `keep`, what was there.
    pub(super) fn whole(&self, state: &State, seq: u64, keep: Option<u64>) -> Whole {
        let table = state.table(self.table);
        let seq = self.trial.as_ref().map_or(seq, |trial| trial.seq);
        let view = state.view(self.table, seq);
        let mut instead: BTreeMap<u32, Option<&Content>> = BTreeMap::new();
        let kept =
            keep.filter(|keep| table.changed > *keep).map(|keep| state.view(self.table, keep));
        if let Some(kept) = &kept {
            let gone = kept.past().filter(|at| view.of(*at).is_none() && self.wants(*at));
            instead.extend(gone.map(|at| (at, self.had(kept, at))));
        }
        let base = self.trial.as_ref().and_then(|trial| self.suspend(state, &view, trial));
        if let Some((suspects, base)) = &base {
            let had = |at: &u32| base.as_ref().and_then(|base| self.had(base, *at));
            instead.extend(suspects.iter().map(|at| (*at, had(at))));
        }
        for (at, substitute) in &self.substitutes {
            let same = table.slot(*at).name == substitute.name;
            if same && substitute.stands_for(view.of(*at)) {
                instead.insert(*at, substitute.content.as_ref());
            }
        }
        if self.wildcard && instead.is_empty() && table.changed <= seq {
            return Whole { digest: table.digest(), resources: table.whole() };
        }
        let contents: Vec<&Content> = table
            .places()
            .filter(|(at, _)| self.wants(*at))
            .filter_map(|(at, _)| instead.get(&at).copied().unwrap_or_else(|| view.of(at)))
            .collect();
        let digest = contents.iter().fold(0_u64, |sum, content| sum.wrapping_add(content.mark));
        Whole { digest, resources: any_fields(contents.into_iter()) }
    }

    /// What changed since the client's last good state and is not on trial now, and that state.
    fn suspend<'a>(
        &self,
        state: &'a State,
        view: &View<'_>,
        trial: &Trial,
    ) -> Option<(Vec<u32>, Option<View<'a>>)> {
        let tried = trial.groups.front();
        let mut suspects = self.suspects(state, view);
        suspects.retain(|at| {
            !trial.cleared.contains(at) && !tried.is_some_and(|group| group.contains(at))
        });
        Some((suspects, self.base.map(|base| state.view(self.table, base))))
    }

    /// What is new to the client in `view`, but for what it has substitutes of.
    pub(super) fn suspects(&self, state: &State, view: &View<'_>) -> Vec<u32> {
        let places = state.table(self.table).places().map(|(at, _)| at);
        let new = |at: &u32| {
            let content = view.of(*at);
            let had = self.former.get(at).map(|former| former.substitute.content.as_ref());
            let new = |content: &Content| match had {
                Some(had) => had.is_none_or(|had| had.changed != content.changed),
                None => self.base.is_none_or(|base| content.changed > base),
            };
            content.is_some_and(new)
                && !self.substitutes.get(at).is_some_and(|s| s.stands_for(content))
        };
        places.filter(|at| self.wants(*at)).filter(new).collect()
    }

    /// What the client has at a place, when `view` is of what it has but for substitutes.
    pub(super) fn had<'a>(&'a self, view: &View<'a>, at: u32) -> Option<&'a Content> {
        match self.former.get(&at).map(|former| &former.substitute) {
            Some(substitute) if substitute.name == *view.name(at) => substitute.content.as_ref(),
            _ => view.of(at),
        }
    }

    /// The client has all of this sequence number, but for substitutes.
    pub(super) fn stand_at(&mut self, seq: u64) {
        self.base = Some(seq);
        self.former.retain(|_, former| former.until > seq);
    }

    /// The client has all of a response.
    pub(super) fn accept(&mut self, answered: &Unanswered) {
        self.digest = Some(answered.digest);
        let Some(trial) = &mut self.trial else {
            self.stand_at(answered.seq);
            return;
        };
        trial.cleared.extend(trial.groups.pop_front().unwrap_or_default());
        if trial.groups.is_empty() {
            self.end_trial();
        }
    }

    /// Every suspect is cleared or convicted.
    pub(super) fn end_trial(&mut self) {
        if let Some(trial) = self.trial.take() {
            self.stand_at(trial.seq);
            self.due = Some(Due::IfNew);
        }
    }
}
