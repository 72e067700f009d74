//! Why names are names of nothing.

use std::collections::HashMap;
use std::sync::Arc;

use tonic::Code;

use super::state::{OwnerId, State};
use super::table::Key;
use super::{Cache, Owner};
use crate::wire::{ResourceError, WireStatus};

/// Owners whose absence is explained; that of more is not.
const EXCUSES_MAX: usize = 10_000;
/// What is kept of a reason.
const REASON_CHARS_MAX: usize = 512;

/// Whose resources are kept from clients, and why.
#[derive(Debug, Default)]
pub(super) struct Excuses(HashMap<OwnerId, (Owner, Arc<str>)>);

impl Excuses {
    /// The owner has something again, or is gone.
    pub(super) fn end(&mut self, owner: &str) {
        if !self.0.is_empty() {
            self.0.retain(|_, (excused, _)| &**excused != owner);
        }
    }
}

impl Cache {
    /// What this owner has is about to be taken away, for this reason: clients that name it are
    /// told, until the owner has something again.
    pub fn excuse(&self, owner: &str, reason: &str) {
        let mut state = self.write();
        let Some(id) = state.owner_known(owner) else { return };
        if state.excuses.0.len() < EXCUSES_MAX {
            let reason: String = reason.chars().take(REASON_CHARS_MAX).collect();
            state.excuses.0.insert(id, (owner.into(), reason.into()));
        }
    }

    /// This owner is gone for good: nothing is kept from clients.
    pub fn pardon(&self, owner: &str) {
        if !self.read().excuses.0.is_empty() {
            self.write().excuses.end(owner);
        }
    }
}

impl State {
    /// Why there is nothing at a place: its owner is kept from clients, or there is no such thing.
    pub(crate) fn absence(&self, key: Key) -> ResourceError {
        let slot = self.slot(key);
        let status = match self.excuses.0.get(&slot.owner) {
            Some((_, reason)) => WireStatus::new(Code::FailedPrecondition, reason),
            None => WireStatus::new(Code::NotFound, "there is no such resource"),
        };
        ResourceError::new(&slot.name, status)
    }
}
