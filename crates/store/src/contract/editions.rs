//! Editions: kept once, given to groups at revisions that rise with every publish; and roll-outs, of
//! which one is under way.

use std::sync::Arc;

use model::{AuditEntry, Rollout, RolloutStage, RolloutState};
use serde_json::json;

use super::act::publish;
use super::{Case, State, Subject, cases, sample};
use crate::{AuditFilter, EDITION_BYTES_MAX, EDITIONS_MAX, RollStep, StoreError};

pub(super) const CASES: &[Case] = cases![
    equal_content_is_one_edition,
    the_first_offer_is_given_to_all,
    a_step_gives_groups_their_editions_at_a_new_revision,
    who_has_not_seen_the_latest_turn_writes_nothing,
    what_is_refused_gives_nobody_anything,
    old_editions_go_unless_they_are_needed,
];

fn stage(name: &str, groups: &str) -> RolloutStage {
    RolloutStage { name: name.to_owned(), groups: vec![groups.to_owned()], bake_seconds: 5 }
}

fn rollout(from: u64, to: u64) -> Rollout {
    Rollout {
        id: 0,
        turn: 0,
        from,
        to,
        by: "ann".to_owned(),
        stages: vec![stage("canary", "eu-*"), stage("rest", "*")],
        stage: 0,
        state: RolloutState::Proving,
        is_paused: false,
        is_forced: false,
        reason: None,
        notes: Vec::new(),
        started_at: 5,
        since: 5,
        ended_at: None,
    }
}

fn step(rollout: &Rollout) -> RollStep {
    RollStep { rollout: rollout.clone(), takes_offer: true, at: 7, entry: None }
}

fn given(editions: &[(&str, u64)]) -> Vec<(String, u64)> {
    editions.iter().map(|&(groups, number)| (groups.to_owned(), number)).collect()
}

/// Two editions, of which all have the first.
async fn two(state: &Arc<dyn State>) -> (u64, u64) {
    let one = state.keep_edition(b"one", 1).await.unwrap();
    state.offer_edition(one, false).await.unwrap();
    (one, state.keep_edition(b"two", 2).await.unwrap())
}

async fn equal_content_is_one_edition(subject: Arc<dyn Subject>) {
    let state = subject.open().await;
    let (one, two) = two(&state).await;
    assert!(two > one);
    assert_eq!(state.keep_edition(b"one", 9).await, Ok(one));
    drop(state);
    let state = subject.open().await;
    assert_eq!(state.keep_edition(b"two", 9).await, Ok(two));
    assert_eq!(state.edition(one).await, Ok(Some(b"one".to_vec())));
    assert_eq!(state.edition(two + 1).await, Ok(None));
    let listed = state.editions(10).await.unwrap();
    let told: Vec<_> = listed.iter().map(|row| (row.number, row.at)).collect();
    assert_eq!(told, [(two, 2), (one, 1)]);
    assert_ne!(listed[0].digest, listed[1].digest);
    let large = vec![0; EDITION_BYTES_MAX + 1];
    assert!(matches!(state.keep_edition(&large, 1).await, Err(StoreError::TooLarge(_))));
}

async fn the_first_offer_is_given_to_all(subject: Arc<dyn Subject>) {
    let state = subject.open().await;
    let nothing = state.standing().await.unwrap();
    assert_eq!((nothing.given.revision, nothing.given.editions.len()), (0, 0));
    assert_eq!((nothing.offered, nothing.rollout), (None, None));
    let (one, two) = two(&state).await;
    let first = state.standing().await.unwrap();
    assert_eq!(first.given.editions, given(&[("*", one)]));
    assert!(first.given.revision > 0);
    assert_eq!(first.offered, Some((one, true)), "there is nothing to roll out");
    state.offer_edition(two, false).await.unwrap();
    let second = state.standing().await.unwrap();
    assert_eq!(second.given, first.given, "an offer is not given by itself");
    assert_eq!(second.offered, Some((two, false)));
    state.offer_edition(two, true).await.unwrap();
    assert_eq!(state.standing().await.unwrap().offered, Some((two, false)), "as it was offered");
    state.offer_edition(one, true).await.unwrap();
    assert_eq!(state.standing().await.unwrap().offered, Some((one, true)));
    state.give_all(two).await.unwrap();
    let third = state.standing().await.unwrap().given;
    assert_eq!(third.editions, given(&[("*", two)]));
    assert!(third.revision > first.given.revision);
    state.give_all(two).await.unwrap();
    assert_eq!(state.standing().await.unwrap().given, third, "it is so already");
}

async fn a_step_gives_groups_their_editions_at_a_new_revision(subject: Arc<dyn Subject>) {
    let state = subject.open().await;
    let (one, two) = two(&state).await;
    state.offer_edition(two, false).await.unwrap();
    let published = publish(&state, "shop", &sample::spec("shop", &["shop.example.com"]), 1).await;
    let begun = state.roll(step(&rollout(one, two))).await.unwrap().unwrap();
    assert_eq!(begun.turn, 1);
    let standing = state.standing().await.unwrap();
    assert_eq!(standing.given.editions, given(&[("eu-*", two), ("*", one)]));
    assert!(standing.given.revision > published, "one counter for all that proxies are sent");
    assert_eq!(standing.offered, Some((two, true)));
    assert_eq!(standing.rollout.as_ref(), Some(&begun));

    let baking = Rollout { state: RolloutState::Baking, ..begun };
    let baking = state.roll(step(&baking)).await.unwrap().unwrap();
    assert_eq!(state.standing().await.unwrap().given, standing.given, "nothing else is given");
    let entry = AuditEntry {
        by: sample::requester(),
        action: "rollout.revert".to_owned(),
        object: baking.id.to_string(),
        owner: None,
        detail: json!({}),
    };
    let over = Rollout { state: RolloutState::Reverted, ended_at: Some(9), ..baking };
    let last = RollStep { entry: Some(entry), ..step(&over) };
    let over = state.roll(last).await.unwrap().unwrap();
    drop(state);
    let state = subject.open().await;
    let back = state.standing().await.unwrap();
    assert_eq!(back.given.editions, given(&[("*", one)]));
    assert!(back.given.revision > standing.given.revision);
    assert_eq!(state.rollouts(10).await, Ok(vec![over.clone()]));
    let filter = AuditFilter {
        action: Some("rollout.revert".to_owned()),
        limit: 10,
        ..AuditFilter::default()
    };
    assert_eq!(state.entries(filter).await.unwrap().records.len(), 1);
    let again = state.roll(step(&rollout(one, two))).await.unwrap().unwrap();
    assert!(again.id > over.id);
}

async fn who_has_not_seen_the_latest_turn_writes_nothing(subject: Arc<dyn Subject>) {
    let state = subject.open().await;
    let (one, two) = two(&state).await;
    let begun = state.roll(step(&rollout(one, two))).await.unwrap().unwrap();
    assert_eq!(state.roll(step(&rollout(one, two))).await, Ok(None), "one is under way");
    let paused = Rollout { is_paused: true, ..begun.clone() };
    let paused = state.roll(step(&paused)).await.unwrap().unwrap();
    let late = Rollout { stage: 1, ..begun };
    assert_eq!(state.roll(step(&late)).await, Ok(None));
    let standing = state.standing().await.unwrap();
    assert_eq!(standing.rollout.as_ref(), Some(&paused));
    assert_eq!(standing.given.editions, given(&[("eu-*", two), ("*", one)]));
    let over = Rollout { state: RolloutState::Done, ..paused };
    let over = state.roll(step(&over)).await.unwrap().unwrap();
    let more = Rollout { state: RolloutState::Reverted, ..over };
    assert_eq!(state.roll(step(&more)).await, Ok(None), "what is over stays so");
}

async fn what_is_refused_gives_nobody_anything(subject: Arc<dyn Subject>) {
    let state = subject.open().await;
    let (one, two) = two(&state).await;
    let before = state.standing().await.unwrap().given;
    let refused = Rollout { state: RolloutState::Refused, ..rollout(one, two) };
    assert!(state.roll(step(&refused)).await.unwrap().is_some());
    assert_eq!(state.standing().await.unwrap().given, before);
    assert!(state.roll(step(&rollout(one, two))).await.unwrap().is_some(), "none is under way");
}

async fn old_editions_go_unless_they_are_needed(subject: Arc<dyn Subject>) {
    let state = subject.open().await;
    let (one, two) = two(&state).await;
    for more in 0..EDITIONS_MAX {
        state.keep_edition(format!("more {more}").as_bytes(), 3).await.unwrap();
    }
    assert_eq!(state.edition(one).await, Ok(Some(b"one".to_vec())), "it is given to all");
    assert_eq!(state.edition(two).await, Ok(None));
    let again = state.keep_edition(b"two", 4).await.unwrap();
    assert!(again > two, "a number is never used twice");
}
