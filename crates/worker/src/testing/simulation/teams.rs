//! Whose what is: what the store has counted of each team is what there is, and what was served and let
//! go is kept for the team that had it.

use std::collections::BTreeSet;

use model::{AuditEntry, Hostname, InstanceId, InstanceState, Owner, Requester};
use store::{Store, Teams};

use super::super::world::now;
use super::checks::Wrong;
use super::client;
use super::scene::Scene;

/// Whose an instance is: all of one team, or of two.
pub(crate) fn team(scene: &Scene, id: &InstanceId) -> Owner {
    let first = scene.weather.one_team > 0 || id.as_str() == "i";
    Owner { organization: "o".into(), space: if first { "s" } else { "t" }.into() }
}

/// Frees what is kept for teams, as nothing but an operator may.
pub(crate) fn free(scene: &Scene) {
    for name in client::NAMES {
        let name = name.parse().expect("it is a hostname");
        let by = Requester {
            credential: "nobody".into(),
            originating_identity: None,
            request_identity: None,
        };
        let entry = AuditEntry {
            by,
            action: "reservation.lift".into(),
            object: String::new(),
            owner: None,
            detail: serde_json::json!({}),
        };
        now(scene.store.sqlite().lift_reservation(&name, scene.now(), entry)).expect("is lifted");
    }
}

/// What was counted is what there is.
pub(crate) fn counted(scene: &Scene, ids: &[InstanceId]) -> Result<(), Wrong> {
    let teams: BTreeSet<_> = ids.iter().map(|id| team(scene, id).space).collect();
    for space in teams {
        let owner = Owner { organization: "o".into(), space };
        let (mut instances, mut hostnames) = (0, 0);
        for id in ids.iter().filter(|id| team(scene, id) == owner) {
            let state = scene.store.find(id).map(|instance| instance.state);
            let gone = [None, Some(InstanceState::Deleted), Some(InstanceState::Failed)];
            instances += u32::from(!gone.contains(&state));
            hostnames += u32::try_from(scene.store.claims_of(id).len()).expect("they are few");
        }
        let team = now(scene.store.sqlite().team(&owner)).expect("it is read");
        if (team.usage.instances, team.usage.hostnames) != (instances, hostnames) {
            let counted = team.usage;
            let there = (instances, hostnames);
            return Err(format!("{owner:?} has {there:?}, and the store counts {counted:?}"));
        }
    }
    Ok(())
}

/// A name that was served and is not the instance's any more is its team's all the same.
pub(crate) fn kept(scene: &Scene, id: &InstanceId, name: &Hostname) -> Result<(), Wrong> {
    let (sqlite, owner) = (scene.store.sqlite(), team(scene, id));
    let held = now(sqlite.hostname(name)).expect("it is read").map(|held| held.owner);
    let reserved = now(sqlite.reservation(name, scene.now())).expect("it is read");
    match held.or(reserved.map(|reserved| reserved.owner)) {
        Some(whose) if whose == owner => Ok(()),
        other => Err(format!("{name} was served by {id} and let go, and is now for {other:?}")),
    }
}
