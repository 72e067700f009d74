//! Who is to blame when a client refuses a response, and what it gets instead.

use super::StateOfTheWorld;
use super::subscription::{Former, Parcel, Subscription, Substitute, Trial, Unanswered};
use crate::cache::{Content, Key, OwnerId, State};
use crate::event::Event;
use crate::names::clip;

impl Substitute {
    /// Whether what the cache has is what is kept from the client.
    pub(super) fn stands_for(&self, content: Option<&Content>) -> bool {
        match content {
            Some(content) => content.changed == self.changed,
            // A removal is kept from it as well, until its owner changes again.
            None => self.message.is_none() && self.content.is_some(),
        }
    }
}

impl StateOfTheWorld {
    /// The client refused a response.
    pub(super) fn refuse(
        &mut self,
        state: &State,
        at: usize,
        unanswered: Unanswered,
        message: &str,
    ) {
        let message = clip(message);
        match self.subscriptions[at].kind.full_state() {
            true => self.refuse_whole(state, at, &unanswered, message),
            false => self.refuse_parcels(state, at, unanswered.parcels, message),
        }
    }

    fn refuse_whole(&mut self, state: &State, at: usize, unanswered: &Unanswered, message: String) {
        let subscription = &mut self.subscriptions[at];
        let table = subscription.table;
        let mut trial = subscription.trial.take().unwrap_or_else(|| {
            let view = state.view(table, unanswered.seq);
            let suspects = subscription.suspects(state, &view);
            Trial { seq: unanswered.seq, groups: [suspects].into(), ..Trial::default() }
        });
        let mut group = trial.groups.pop_front().unwrap_or_default();
        let convicted = match group.len() {
            0 | 1 => group.pop(),
            many => {
                trial.groups.push_front(group.split_off(many / 2));
                trial.groups.push_front(group);
                None
            }
        };
        let (seq, over) = (trial.seq, trial.groups.is_empty());
        subscription.trial = Some(trial);
        if let Some(slot) = convicted {
            self.convict(state, at, slot, seq, message);
        } else if over {
            // Here and below without its words, which may quote what it was sent, secrets included:
            // whoever takes in the events tells them.
            tracing::warn!(stream = self.stream.0, "refused, with nothing new in it");
            // Saying it again would be refused again.
            self.subscriptions[at].digest = Some(unanswered.digest);
        }
        if over {
            self.subscriptions[at].end_trial();
        }
    }

    /// One resource of full state is what the client refuses: it keeps what it has of it, and of
    /// all that its owner changed.
    fn convict(&mut self, state: &State, at: usize, slot: u32, seq: u64, message: String) {
        let subscription = &mut self.subscriptions[at];
        let key = Key { table: subscription.table, slot };
        let Some(changed) = state.view(key.table, seq).of(slot).map(|content| content.changed)
        else {
            return;
        };
        let had = subscription.base.map(|base| state.view(key.table, base));
        let content = had.and_then(|view| subscription.had(&view, slot).cloned());
        let name = state.name(key).clone();
        let substitute = Substitute { name, changed, content, message: Some(message.clone()) };
        subscription.substitutes.insert(slot, substitute);
        if state.slot(key).changed == changed {
            self.report(state, key, message);
        }
        self.quarantine(state, state.slot(key).owner);
    }

    fn refuse_parcels(&mut self, state: &State, at: usize, parcels: Vec<Parcel>, message: String) {
        let [parcel] = parcels[..] else {
            self.subscriptions[at].alone.extend(parcels);
            return;
        };
        let slot = state.slot(parcel.key);
        // Else it is replaced or gone already, and its place may be another's.
        if slot.changed == parcel.changed {
            let (name, changed) = (slot.name.clone(), parcel.changed);
            let substitute =
                Substitute { name, changed, content: None, message: Some(message.clone()) };
            self.subscriptions[at].substitutes.insert(parcel.key.slot, substitute);
            self.report(state, parcel.key, message);
        }
        if slot.owner == parcel.owner {
            self.quarantine(state, parcel.owner);
        }
    }

    /// Tells that what is at a place is refused: for all that its owner has become since.
    pub(super) fn report(&mut self, state: &State, key: Key, message: String) {
        let slot = state.slot(key);
        tracing::warn!(stream = self.stream.0, name = %slot.name, "refused");
        self.events.push(Event::Rejected {
            stream: self.stream,
            owner: state.owner(slot.owner),
            seq: state.owner_seq(slot.owner),
            type_url: state.table(key.table).url.clone(),
            name: slot.name.clone(),
            message,
        });
    }

    /// Keeps from the client what an owner changed since the client last had all of it. (A client
    /// that has just come has nothing to keep.)
    pub(super) fn quarantine(&mut self, state: &State, owner: OwnerId) {
        let Some(pass) = &self.pass else { return };
        let seq = pass.upto;
        self.quarantined.insert(owner);
        for subscription in self.subscriptions.iter_mut().filter(|s| s.kind.full_state()) {
            subscription.freeze(state, owner, seq);
        }
    }

    /// An owner changed, as of `seq`: what was kept from the client is tried again, but for what it refused and
    /// is still the same. Whether such a thing is left.
    pub(super) fn release(&mut self, state: &State, owner: OwnerId, seq: u64) -> bool {
        let mut refused = Vec::new();
        for subscription in &mut self.subscriptions {
            let table = subscription.table;
            let ceased = subscription.substitutes.extract_if(|slot, substitute| {
                let (key, at) = (Key { table, slot: *slot }, state.table(table).slot(*slot));
                let same = at.content.as_ref().is_some_and(|c| c.changed == substitute.changed);
                match &substitute.message {
                    _ if at.owner != owner => false,
                    Some(message) if same => {
                        refused.push((key, message.clone()));
                        false
                    }
                    _ => true,
                }
            });
            let former = |(slot, substitute)| (slot, Former { substitute, until: seq });
            subscription.former.extend(ceased.map(former));
        }
        let left = !refused.is_empty();
        for (key, message) in refused {
            self.report(state, key, message);
        }
        left
    }
}

impl Subscription {
    /// Keeps from the client what the owner changed, as of `seq`, after the client's last good
    /// state.
    fn freeze(&mut self, state: &State, owner: OwnerId, seq: u64) {
        let Some(base) = self.base else { return };
        let (now, had) = (state.view(self.table, seq), state.view(self.table, base));
        let lost = state.lost(owner);
        let keys = state.owned(owner).iter().chain(&lost);
        for key in keys.filter(|key| key.table == self.table) {
            let (new, old) = (now.of(key.slot), self.had(&had, key.slot).cloned());
            let changed = new.map(|content| content.changed);
            if changed == old.as_ref().map(|content| content.changed) {
                continue;
            }
            self.substitutes.entry(key.slot).or_insert_with(|| Substitute {
                name: state.name(*key).clone(),
                changed: changed.unwrap_or_default(),
                content: old,
                message: None,
            });
        }
    }
}
