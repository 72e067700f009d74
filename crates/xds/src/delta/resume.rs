//! What a client that comes back says that it holds.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use model::Version;
use tokio::time::Instant;
use tonic::Status;

use super::Delta;
use super::round::{Due, Farewell};
use crate::bits::Bits;
use crate::cache::{Guard, Key, Lag, State};
use crate::event::{Ahead, Event};
use crate::kind::Step;
use crate::lane::Lane;
use crate::many::Many;
use crate::names::text;

/// Entries that are looked for at a time.
const BATCH: usize = 128;

/// What came of it, as far as it was read.
#[derive(Default)]
struct Found<'a> {
    /// What is here, in whatever version.
    held: Bits,
    changed: Vec<Key>,
    vanished: BTreeMap<&'a str, Option<Version>>,
    ahead: Vec<Ahead>,
}

/// What is here of what the client holds, and what it keeps.
pub(super) type Holds<'a> = (Bits, BTreeSet<&'a str>);

impl Delta {
    /// What a client that comes back holds already: the places of those that are here. What
    /// changed or vanished meanwhile goes to the catch-up round, to be sent in order. (What
    /// vanished and is named is answered as any name that does not exist.) And what it keeps,
    /// although it vanished, because of the cache's guard.
    pub(super) fn held<'a>(
        &mut self,
        state: &State,
        (lane, table): (Lane, u16),
        versions: &'a Many<5>,
        named: &[&str],
        now: Instant,
    ) -> Result<Holds<'a>, Status> {
        let guard = self.cache.guarded();
        let mut found = self.look_up(state, table, versions, guard)?;
        let keeps = |version| self.keeps_all || guard.is_lost(version);
        let (kept, mut gone): (BTreeMap<_, _>, BTreeMap<_, _>) =
            found.vanished.into_iter().partition(|(_, version)| keeps(*version));
        self.keeps |= !kept.is_empty();
        let kept_ahead = kept.iter().map(|(name, v)| ahead(state, table, name, *v, true));
        found.ahead.extend(kept_ahead);
        if !found.ahead.is_empty() {
            self.events.push(Event::Ahead { stream: self.stream, resources: found.ahead });
        }
        if !gone.is_empty() {
            let named: HashSet<&str> = named.iter().copied().collect();
            gone.retain(|name, _| !named.contains(name));
        }
        if !found.changed.is_empty() || !gone.is_empty() {
            let kind = state.table(table).kind;
            let changed = found.changed.into_iter().map(|key| Due { lane, key });
            let step = Step::going(kind);
            let round = self.catch_up(now);
            round.steps[Step::coming(kind) as usize].extend(changed);
            let gone = gone.into_keys().map(Arc::from);
            round.farewells.extend(gone.map(|name| Farewell { lane, table, name, owner: 0, step }));
        }
        Ok((found.held, kept.into_keys().collect()))
    }

    fn look_up<'a>(
        &mut self,
        state: &State,
        table: u16,
        versions: &'a Many<5>,
        guard: Guard,
    ) -> Result<Found<'a>, Status> {
        let mut found = Found::default();
        let (mut names, mut said) = (Vec::with_capacity(BATCH), Vec::with_capacity(BATCH));
        let mut entries = versions.entries();
        loop {
            names.clear();
            said.clear();
            for entry in entries.by_ref().take(BATCH) {
                let entry = entry.map_err(|error| {
                    Status::invalid_argument(format!(
                        "an entry of initial_resource_versions: {error}"
                    ))
                })?;
                names.push(text(entry.name)?);
                said.push(std::str::from_utf8(entry.version).ok().and_then(Version::parse));
            }
            if names.is_empty() {
                return Ok(found);
            }
            let places = state.find_all(table, &names);
            for ((name, version), slot) in names.iter().zip(&said).zip(places) {
                let key = slot.map(|slot| Key { table, slot });
                self.compare(state, (table, name, *version), key, guard, &mut found);
            }
        }
    }

    fn compare<'a>(
        &mut self,
        state: &State,
        (table, name, version): (u16, &'a str, Option<Version>),
        key: Option<Key>,
        guard: Guard,
        found: &mut Found<'a>,
    ) {
        let reached = self.cache.reached();
        self.keeps_all |= guard.is_beyond(version, reached);
        let there = key.and_then(|key| Some((key, state.slot(key).content.as_ref()?.version)));
        let Some((key, here)) = there else {
            found.vanished.insert(name, version);
            self.lag = Lag::with(self.lag.take(), &self.cache, version);
            return;
        };
        found.held.insert(key.slot);
        if version.is_some_and(|version| version.hash == here.hash) {
            return;
        }
        found.changed.push(key);
        let newer = version.filter(|it| it.is_after(here));
        self.lag = Lag::with(self.lag.take(), &self.cache, newer);
        if guard.is_lost(version) || guard.is_beyond(version, reached) {
            found.ahead.push(ahead(state, table, name, version, false));
        }
    }
}

fn ahead(state: &State, table: u16, name: &str, version: Option<Version>, kept: bool) -> Ahead {
    let type_url = state.table(table).url.clone();
    Ahead { type_url, name: name.into(), version, kept }
}
