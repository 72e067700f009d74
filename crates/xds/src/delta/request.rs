//! What a client says: acknowledgements, refusals, and what it wants.

use std::collections::BTreeMap;

use bytes::Bytes;
use model::Version;
use tokio::time::Instant;
use tonic::Status;

use super::round::Farewell;
use super::subscription::Subscription;
use super::{Delta, Origin, Parcel, Refusal};
use crate::bits::Bits;
use crate::cache::{Key, State};
use crate::event::Event;
use crate::kind::{Kind, Step};
use crate::metrics;
use crate::wire::{DeltaRequest, Held, WireStatus};

/// The longest resource name that a client may ask for.
const NAME_BYTES_MAX: usize = 1024;
/// What is kept of a client's words when it refuses a resource.
const MESSAGE_BYTES_MAX: usize = 2048;

impl Delta {
    pub(super) fn take(&mut self, request: DeltaRequest, now: Instant) -> Result<(), Status> {
        if request.type_url.is_empty() {
            return Err(Status::invalid_argument("an ADS request needs a type_url"));
        }
        let table = self.cache.table(&request.type_url);
        let table = table.ok_or_else(|| Status::invalid_argument("too many types"))?;
        let cache = self.cache.clone();
        self.read_log(&cache.read(), now);
        if !request.response_nonce.is_empty() {
            let refusal = request.error_detail.as_ref();
            self.answered(&cache.read(), table, &request.response_nonce, refusal);
        }
        self.unsubscribe(table, &request.unsubscribe)?;
        self.subscribe(table, &request, now)?;
        let names: usize = self.subscriptions.iter().map(|s| s.names.len()).sum();
        if names > self.limits.names {
            return Err(Status::resource_exhausted("more names than a stream may ask for"));
        }
        Ok(())
    }

    /// The client answered a response. A nonce that is not known any more says nothing.
    fn answered(&mut self, state: &State, table: u16, nonce: &str, refusal: Option<&WireStatus>) {
        let known = u64::from_str_radix(nonce, 16).ok();
        let known = known.filter(|n| self.flights.get(n).is_some_and(|f| f.table == table));
        let Some(flight) = known.and_then(|nonce| self.flights.remove(&nonce)) else { return };
        let type_url = state.table(table).url.as_str();
        match refusal {
            None => {
                metrics::acknowledged(type_url);
                self.acknowledge(flight.origin, table, flight.parcels.iter().map(|p| p.key));
            }
            Some(status) => {
                metrics::refused(type_url);
                self.refuse(state, flight, &status.message);
            }
        }
    }

    /// A refused response counts as unapplied whole: several resources are each sent again alone;
    /// a lone one is what the client refuses.
    fn refuse(&mut self, state: &State, flight: super::Flight, message: &str) {
        self.acknowledge(flight.origin, flight.table, std::iter::empty());
        let [parcel] = flight.parcels[..] else {
            let step = match flight.origin {
                Origin::Round(id, step) => self.rounds.get_mut(&id).map(|round| (round, step)),
                _ => None,
            };
            if let Some((round, step)) = step {
                round.unacked[step as usize] += flight.parcels.len() as u32;
            }
            let origin = match flight.origin {
                Origin::Answer => Origin::Alone,
                other => other,
            };
            self.alone.extend(flight.parcels.into_iter().map(|parcel| (parcel, origin)));
            return;
        };
        let slot = state.slot(parcel.key);
        let message = clip(message);
        tracing::warn!(stream = self.stream.0, name = %slot.name, %message, "resource refused");
        self.report_refusal(state, parcel, message.clone());
        self.mark_refused(slot.owner, parcel.key, flight.origin);
        self.refused.insert(parcel.key, Refusal { changed: parcel.changed, message });
    }

    /// Tells that a resource is refused: for all that its owner has become since, if it is still
    /// what the owner has.
    pub(super) fn report_refusal(&mut self, state: &State, parcel: Parcel, message: String) {
        let slot = state.slot(parcel.key);
        let current = slot.changed == parcel.changed;
        self.events.push(Event::Rejected {
            stream: self.stream,
            owner: state.owner(slot.owner),
            seq: if current { state.owner_seq(slot.owner) } else { parcel.changed },
            type_url: state.table(parcel.key.table).url.clone(),
            name: slot.name.clone(),
            message,
        });
    }

    fn unsubscribe(&mut self, table: u16, names: &[Bytes]) -> Result<(), Status> {
        let cache = self.cache.clone();
        let Some(subscription) = self.subscription_mut(table) else { return Ok(()) };
        let mut released = Vec::new();
        for name in names {
            let name = text(name)?;
            if name == "*" {
                subscription.wildcard = false;
                continue;
            }
            let state = cache.read();
            let Some(key) = state.find(table, name) else { continue };
            if !subscription.names.remove(key.slot) {
                continue;
            }
            released.push(key.slot);
            subscription.owed.remove(key.slot);
            // Under a wildcard the client must hear what it still gets of that name.
            if subscription.wildcard && state.slot(key).content.is_some() {
                subscription.owed.insert(key.slot);
            } else if subscription.wildcard {
                subscription.farewells.push(state.name(key).clone());
            }
        }
        if !subscription.wildcard {
            subscription.greet = false;
            let unnamed: Vec<u32> =
                subscription.owed.iter().filter(|at| !subscription.names.contains(*at)).collect();
            for at in unnamed {
                subscription.owed.remove(at);
            }
        }
        cache.release(table, released.into_iter());
        Ok(())
    }

    fn subscribe(
        &mut self,
        table: u16,
        request: &DeltaRequest,
        now: Instant,
    ) -> Result<(), Status> {
        let cache = self.cache.clone();
        let first = self.subscription(table).is_none();
        let kind = Kind::of(&request.type_url);
        if first {
            self.subscriptions.push(Subscription::new(table, kind));
            // Whatever rounds send of a kind they send first to what comes first.
            self.subscriptions.sort_by_key(|subscription| (subscription.kind, subscription.table));
        }
        let held = match first {
            true => self.held(&cache.read(), table, &request.initial_versions, now)?,
            false => Bits::default(),
        };
        let mut names = Vec::with_capacity(request.subscribe.len());
        for name in &request.subscribe {
            names.push(text(name)?);
        }
        let silent = first && names.is_empty() && kind.silence_is_all();
        let wildcard = silent || names.contains(&"*");
        names.retain(|name| *name != "*");
        let Some(subscription) = self.subscription_mut(table) else { return Ok(()) };
        let places = cache.hold(table, &names, &mut subscription.names);
        for at in places.into_iter().filter(|at| !held.contains(*at)) {
            subscription.owed.insert(at);
        }
        if wildcard && !subscription.wildcard {
            subscription.wildcard = true;
            let state = cache.read();
            for at in state.table(table).living().filter(|at| !held.contains(*at)) {
                subscription.owed.insert(at);
            }
            subscription.greet =
                request.initial_versions.is_empty() && subscription.owed.is_empty();
        }
        Ok(())
    }

    /// What a client that comes back holds already: the places of those that are here. What
    /// changed or vanished meanwhile goes to the catch-up round, to be sent in order.
    fn held(
        &mut self,
        state: &State,
        table: u16,
        versions: &[Held],
        now: Instant,
    ) -> Result<Bits, Status> {
        let mut held = Bits::default();
        let mut changed = Vec::new();
        let mut vanished: BTreeMap<&str, ()> = BTreeMap::new();
        for entry in versions {
            let name = text(&entry.name)?;
            let key = state.find(table, name);
            let Some((key, content)) =
                key.and_then(|key| Some((key, state.slot(key).content.as_ref()?)))
            else {
                vanished.insert(name, ());
                continue;
            };
            held.insert(key.slot);
            let version = std::str::from_utf8(&entry.version).ok().and_then(Version::parse);
            if version.is_none_or(|version| version.hash != content.version.hash) {
                changed.push(key);
            }
        }
        if !changed.is_empty() || !vanished.is_empty() {
            self.gather(state.table(table).kind, table, changed, vanished.into_keys(), now);
        }
        Ok(held)
    }

    fn gather<'a>(
        &mut self,
        kind: Kind,
        table: u16,
        changed: Vec<Key>,
        vanished: impl Iterator<Item = &'a str>,
        now: Instant,
    ) {
        let step = Step::going(kind);
        let round = self.catch_up(now);
        round.steps[Step::coming(kind) as usize].extend(changed);
        round.farewells.extend(vanished.map(|name| Farewell {
            table,
            name: name.into(),
            owner: 0,
            step,
        }));
    }
}

fn text(name: &Bytes) -> Result<&str, Status> {
    match std::str::from_utf8(name) {
        Ok(text) if text.len() <= NAME_BYTES_MAX => Ok(text),
        _ => Err(Status::invalid_argument("a resource name is UTF-8, 1024 bytes at most")),
    }
}

/// The beginning of a client's words.
fn clip(message: &str) -> String {
    let mut end = message.len().min(MESSAGE_BYTES_MAX);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    message[..end].to_owned()
}
