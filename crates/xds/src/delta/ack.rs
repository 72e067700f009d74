//! What the client's answers mean to what is under way.

use std::mem;
use std::time::Duration;

use tokio::time::Instant;

use super::round::{Fate, RoundId};
use super::{Delta, Flight, Origin, Parcel, Refusal, Vouch};
use crate::cache::{Key, OwnerId, State};
use crate::event::Event;
use crate::kind::{Kind, Step};
use crate::lane::Lane;
use crate::metrics;
use crate::names::clip;
use crate::wire::WireStatus;

/// A client that takes longer than this to acknowledge clusters is warming one of them.
const HOLD_UP: Duration = Duration::from_millis(250);

impl Flight {
    pub(super) fn is_of_round(&self) -> bool {
        matches!(self.origin, Origin::Round(..))
    }

    /// Whether it is clusters that come, on which others may wait.
    fn is_clusters(&self) -> bool {
        self.kind == Kind::Cluster && matches!(self.origin, Origin::Round(_, Step::Clusters))
    }
}

impl Delta {
    /// The client answered a response. A nonce that is not known any more says nothing.
    pub(super) fn answered(
        &mut self,
        state: &State,
        (lane, table): (Lane, u16),
        nonce: &str,
        refusal: Option<&WireStatus>,
    ) {
        let known = u64::from_str_radix(nonce, 16).ok();
        let known = known
            .filter(|n| self.flights.get(n).is_some_and(|f| (f.lane, f.table) == (lane, table)));
        let Some(nonce) = known else { return };
        let Some(flight) = self.flights.remove(&nonce) else { return };
        self.landed(lane, flight.origin, flight.table, flight.vouch);
        let url = state.table(table).url.as_str();
        match refusal {
            None => {
                metrics::acknowledged(url);
                let asked = self.subscription(lane, table).map_or(0, |it| it.names.len());
                for parcel in &flight.parcels {
                    self.arrived(*parcel);
                    self.warming.taken(lane, asked > 1, parcel.key);
                }
                if state.table(table).kind == Kind::Endpoint {
                    self.vouch(state, nonce, &flight);
                }
            }
            Some(status) => {
                metrics::refused(url);
                self.refuse(state, flight, &status.message);
            }
        }
    }

    /// Nobody waits for the answer to a response any more.
    pub(super) fn landed(&mut self, lane: Lane, origin: Origin, table: u16, vouch: Vouch) {
        self.vouched -= usize::from(vouch != Vouch::No);
        match origin {
            Origin::Round(id, step) => {
                let Some(round) = self.rounds.get_mut(&id) else { return };
                let waiting = match vouch {
                    Vouch::No => &mut round.unacked[step as usize],
                    Vouch::Seen { .. } => &mut round.unconfirmed,
                    Vouch::Known => return,
                };
                *waiting = waiting.saturating_sub(1);
            }
            Origin::Answer => {
                if let Some(subscription) = self.subscription_mut(lane, table) {
                    subscription.in_flight = subscription.in_flight.saturating_sub(1);
                }
            }
            Origin::Alone => {}
        }
    }

    /// A route configuration that a round awaits was answered and heard of.
    fn arrived(&mut self, parcel: Parcel) -> Option<RoundId> {
        self.awaited.get(&parcel.key).filter(|awaited| parcel.changed >= awaited.changed)?;
        let id = self.awaited.remove(&parcel.key)?.round;
        if let Some(round) = self.rounds.get_mut(&id) {
            round.awaiting = round.awaiting.saturating_sub(1);
        }
        Some(id)
    }

    /// A client holds up the acknowledgement of every cluster while any is warming. That it has
    /// acknowledged a cluster's endpoints, sent after the cluster, shows that it went on to them:
    /// one owner's slow cluster need not hold up the others.
    fn vouch(&mut self, state: &State, nonce: u64, endpoints: &Flight) {
        let held_up = self.flights.range_mut(..nonce).map(|(_, flight)| flight);
        for flight in held_up.filter(|flight| flight.vouch == Vouch::No) {
            let Origin::Round(id, _) = flight.origin else { continue };
            if !flight.is_clusters() {
                continue;
            }
            for seen in &endpoints.parcels {
                let cluster = state.find(flight.table, state.name(seen.key));
                let known = flight.parcels.iter_mut().find(|parcel| Some(parcel.key) == cluster);
                known.into_iter().for_each(|parcel| parcel.seen = true);
            }
            let Some(round) = self.rounds.get_mut(&id) else { continue };
            if flight.parcels.is_empty() || !flight.parcels.iter().all(|parcel| parcel.seen) {
                continue;
            }
            let new = flight.parcels.iter().all(|parcel| {
                let slot = state.slot(parcel.key);
                let share = round.share(slot.owner).filter(|_| !slot.is_back());
                share.is_some_and(|share| share.knows_new(slot.born))
            });
            flight.vouch = Vouch::Seen { new };
            self.vouched += 1;
            let unacked = &mut round.unacked[Step::Clusters as usize];
            *unacked = unacked.saturating_sub(1);
            round.unconfirmed += 1;
        }
    }

    /// The clusters that were sent and not acknowledged.
    fn clusters_in_flight(&self) -> impl Iterator<Item = (u64, &Flight)> {
        let in_flight = self.flights.iter().map(|(nonce, flight)| (*nonce, flight));
        in_flight.filter(|(_, flight)| flight.is_clusters())
    }

    /// When the oldest clusters in flight begin to hold up others that wait for it.
    pub(super) fn hold_up_ends(&self) -> Option<Instant> {
        let waiting = |flight: &Flight| flight.vouch == Vouch::Seen { new: true };
        self.clusters_in_flight().find(|(_, flight)| waiting(flight))?;
        self.clusters_in_flight().next().map(|(_, oldest)| oldest.sent + HOLD_UP)
    }

    /// Where one owner's clusters are held up by another's, that the client asked for endpoints of
    /// a new cluster must do: it has the cluster. (Of a changed one it may still say that it
    /// refuses the change, and the one that holds up the others is not there yet.)
    pub(super) fn release_held_up(&mut self, now: Instant) {
        let Some((oldest, flight)) = self.clusters_in_flight().next() else { return };
        if now < flight.sent + HOLD_UP {
            return;
        }
        for (_, flight) in self.flights.range_mut(oldest + 1..) {
            if flight.vouch == (Vouch::Seen { new: true })
                && let Origin::Round(id, _) = flight.origin
            {
                flight.vouch = Vouch::Known;
                if let Some(round) = self.rounds.get_mut(&id) {
                    round.unconfirmed = round.unconfirmed.saturating_sub(1);
                }
            }
        }
    }

    /// A refused response counts as unapplied whole: several resources are each sent again alone;
    /// a lone one is what the client refuses.
    fn refuse(&mut self, state: &State, mut flight: Flight, message: &str) {
        let parcels = mem::take(&mut flight.parcels);
        if let [parcel] = parcels[..] {
            let slot = state.slot(parcel.key);
            // Else it is replaced or gone already, and its place may be another's.
            if slot.changed == parcel.changed {
                let message = clip(message);
                // Without its words, which may quote what it was sent, secrets included: whoever
                // takes in the events tells them.
                tracing::warn!(stream = self.stream.0, name = %slot.name, "refused");
                self.report_refusal(state, parcel.key, message.clone());
                self.refused.insert(parcel.key, Refusal { changed: parcel.changed, message });
            }
            self.doom_refused(state, parcel, flight.origin);
            return;
        }
        if let Origin::Round(id, step) = flight.origin
            && let Some(round) = self.rounds.get_mut(&id)
        {
            round.unacked[step as usize] += parcels.len() as u32;
        }
        let origin = match flight.origin {
            Origin::Answer => Origin::Alone,
            other => other,
        };
        let lane = flight.lane;
        self.alone.extend(parcels.into_iter().map(|parcel| (lane, parcel, origin)));
    }

    /// Tells that what is at a place is refused: for all that its owner has become since.
    pub(super) fn report_refusal(&mut self, state: &State, key: Key, message: String) {
        let slot = state.slot(key);
        self.events.push(Event::Rejected {
            stream: self.stream,
            owner: state.owner(slot.owner),
            seq: state.owner_seq(slot.owner),
            type_url: state.table(key.table).url.clone(),
            name: slot.name.clone(),
            message,
        });
    }

    /// The client refused something of an owner: what would follow is not sent.
    pub(super) fn doom_refused(&mut self, state: &State, parcel: Parcel, origin: Origin) {
        let slot = state.slot(parcel.key);
        let owner = slot.owner;
        let is_current = slot.changed == parcel.changed;
        let by_origin = match origin {
            Origin::Round(id, _) => Some(id),
            _ => None,
        };
        let awaiting = self.arrived(parcel);
        // What does not lean on it any more goes on.
        let busy = self.busy.get(&owner).filter(|_| is_current).map(|busy| busy.round);
        for id in [by_origin, awaiting, busy].into_iter().flatten() {
            self.doom(state, id, owner, Fate::Refused);
        }
    }

    /// Ends an owner's part in a round, which then awaits nothing of that owner.
    pub(super) fn doom(&mut self, state: &State, id: RoundId, owner: OwnerId, fate: Fate) {
        let Some(round) = self.rounds.get_mut(&id) else { return };
        round.doom(owner, fate);
        let awaited = self.awaited.len();
        self.awaited.retain(|key, awaiting| {
            let kept = awaiting.round != id || state.slot(*key).owner != owner;
            round.awaiting -= u32::from(!kept);
            kept
        });
        if let Some(share) = round.share_mut(owner) {
            share.is_awaited |= self.awaited.len() < awaited;
        }
    }
}
