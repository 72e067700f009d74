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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use model::TypeUrl;

    use super::*;

    fn admitted(claims: &mut Claims, owner: &str, revision: u64) -> (bool, usize) {
        let type_url = TypeUrl::new(type_urls::SCOPED_ROUTE);
        let name = "internal/h.example".into();
        let mut wishes = vec![Wish { type_url, name, hash: 0, body: Bytes::new(), after: 0 }];
        let taken = claims.admit(&owner.into(), revision, &mut wishes);
        (!wishes.is_empty(), taken.len())
    }

    #[test]
    fn the_higher_revision_has_the_scope_until_it_lets_go() {
        let mut claims = Claims::default();
        assert_eq!(admitted(&mut claims, "a", 5), (true, 0));
        assert_eq!(admitted(&mut claims, "b", 4), (false, 0));
        assert_eq!(admitted(&mut claims, "b", 10), (true, 1));
        assert_eq!(admitted(&mut claims, "a", 5), (false, 0));
        claims.release(&"a".into(), "internal/h.example");
        assert_eq!(admitted(&mut claims, "a", 5), (false, 0), "it was not a's to let go");
        claims.release(&"b".into(), "internal/h.example");
        assert_eq!(admitted(&mut claims, "a", 5), (true, 0));
    }
}
