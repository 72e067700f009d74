//! Who asks, as the door found out. Nothing else tells who may do what.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::Owner;

/// The platform's own organisation, whose spaces are the teams of people and CI.
pub const ORGANIZATION: &str = "margrave";

/// What a credential is good for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Runs the platform: may do everything.
    Operator,
    /// An OSB platform, which asks for its users: every owner is its own, and only it is believed
    /// about the originating identity.
    Platform,
    /// People and CI: what belongs to these teams, which are spaces of this organisation.
    Member {
        /// The platform's own organisation.
        organization: String,
        /// The teams.
        teams: BTreeSet<String>,
    },
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// The credential's name, as operations and the audit log record it.
    pub credential: String,
    /// What it is good for.
    pub role: Role,
}

impl Principal {
    /// Whether it may see, and change, what belongs to this owner.
    pub fn owns(&self, owner: &Owner) -> bool {
        match &self.role {
            Role::Operator | Role::Platform => true,
            Role::Member { organization, teams } => {
                owner.organization == *organization && teams.contains(&owner.space)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_owns_what_its_teams_own() {
        let owner = |organization: &str, space: &str| Owner {
            organization: organization.to_owned(),
            space: space.to_owned(),
        };
        let member = Role::Member {
            organization: "margrave".to_owned(),
            teams: BTreeSet::from(["shop".to_owned()]),
        };
        for (role, owner, owns) in [
            (member.clone(), owner("margrave", "shop"), true),
            (member.clone(), owner("margrave", "pay"), false),
            (member, owner("elsewhere", "shop"), false),
            (Role::Platform, owner("elsewhere", "pay"), true),
            (Role::Operator, owner("margrave", "pay"), true),
        ] {
            let principal = Principal { credential: "c".to_owned(), role };
            assert_eq!(principal.owns(&owner), owns, "{principal:?} {owner:?}");
        }
    }
}
