//! What a client that comes back says that it holds.

use std::collections::{BTreeMap, BTreeSet};

use model::Version;
use tonic::Status;

use super::Delta;
use crate::bits::Bits;
use crate::cache::{Guard, Key, Lag, State};
use crate::event::{Ahead, Event};
use crate::many::Many;
use crate::names::text;

/// Entries that are looked for at a time.
const BATCH: usize = 128;

/// What came of it, as far as it was read.
#[derive(Default)]
struct Found<'a> {
    /// What is here, and the same.
    same: Bits,
    vanished: BTreeMap<&'a str, Option<Version>>,
    ahead: Vec<Ahead>,
}

/// What a client has that comes back.
#[derive(Default)]
pub(super) struct Holding<'a> {
    /// Places of what is here, and the same.
    pub(super) same: Bits,
    /// What it keeps although it vanished, because of the cache's guard.
    pub(super) kept: BTreeSet<&'a str>,
    /// What vanished.
    pub(super) gone: BTreeSet<&'a str>,
}

impl Delta {
    /// What a client that comes back holds of a type.
    pub(super) fn holding<'a>(
        &mut self,
        state: &State,
        table: u16,
        versions: &'a Many<5>,
    ) -> Result<Holding<'a>, Status> {
        let guard = self.cache.guarded();
        let mut found = self.look_up(state, table, versions, guard)?;
        let keeps = |version| self.keeps_all || guard.is_lost(version);
        let (kept, gone): (BTreeMap<_, _>, BTreeMap<_, _>) =
            found.vanished.into_iter().partition(|(_, version)| keeps(*version));
        self.keeps |= !kept.is_empty();
        let kept_ahead = kept.iter().map(|(name, v)| ahead(state, table, name, *v, true));
        found.ahead.extend(kept_ahead);
        if !found.ahead.is_empty() {
            self.events.push(Event::Ahead { stream: self.stream, resources: found.ahead });
        }
        let names = |of: BTreeMap<&'a str, _>| of.into_keys().collect();
        Ok(Holding { same: found.same, kept: names(kept), gone: names(gone) })
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
        if version.is_some_and(|version| version.hash == here.hash) {
            found.same.insert(key.slot);
            return;
        }
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
