//! Whose a scope is: a scope's name is a hostname, which moves from one instance to another.
//!
//! The feed tells of each instance at its latest revision only, so the news that B has a hostname
//! may come before the news that A has it no longer. Without this table A's news would take the
//! scope away from B. And an instance served at an older revision may still wish for a hostname
//! that the store has since given to another. The higher revision has it.

use std::collections::HashMap;
use std::sync::Arc;

use model::type_urls;
use xds::Owner;

use crate::diff::Wish;

/// The scopes of a group.
#[derive(Debug, Default)]
pub(crate) struct Claims(HashMap<Arc<str>, Claim>);

#[derive(Debug)]
struct Claim {
    owner: Owner,
    revision: u64,
}

impl Claims {
    /// Claims what `wishes` needs and drops from it what another holds at a higher revision.
    /// Returns the scopes that were taken from others.
    pub(crate) fn admit(
        &mut self,
        owner: &Owner,
        revision: u64,
        wishes: &mut Vec<Wish>,
    ) -> Vec<(Owner, Arc<str>)> {
        let mut taken = Vec::new();
        wishes.retain(|wish| {
            if wish.type_url.as_str() != type_urls::SCOPED_ROUTE {
                return true;
            }
            let held = self.0.get(&wish.name).filter(|claim| claim.owner != *owner);
            if let Some(claim) = held {
                if claim.revision >= revision {
                    return false;
                }
                taken.push((claim.owner.clone(), wish.name.clone()));
            }
            self.0.insert(wish.name.clone(), Claim { owner: owner.clone(), revision });
            true
        });
        taken
    }

    /// The owner holds this scope no longer.
    pub(crate) fn release(&mut self, owner: &Owner, name: &str) {
        if self.0.get(name).is_some_and(|claim| claim.owner == *owner) {
            self.0.remove(name);
        }
    }
}
