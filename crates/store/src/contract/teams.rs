//! Teams: no more than each may have, whoever races for it; and what passes between them.

use std::sync::Arc;

use model::{AuditEntry, InstanceState, Millis, OperationKind, Owner, Policy, Quota, Share};

use super::act::{self, accepted, begin, finish, publish, refused, remove};
use super::{Case, State, Subject, cases, sample};
use crate::{Accept, Accepted, Excess, Foretold, RESERVED_MILLIS, Refusal, Usage, Write};

pub(super) const CASES: &[Case] = cases![
    of_many_who_race_only_as_many_as_may,
    usage_follows_what_comes_and_goes,
    what_is_laid_down_comes_before_the_platforms,
    changes_are_paced,
    a_wildcard_is_granted,
    a_name_below_a_wildcard_wants_consent,
    a_reservation_can_be_lifted,
    a_name_may_come_in_the_place_of_another,
    usage_is_none_when_all_are_gone,
    what_is_against_a_request_is_told_without_it,
    what_is_laid_down_over_something_else_is_not,
];

pub(super) fn owner(space: &str) -> Owner {
    Owner { organization: "acme".to_owned(), space: space.to_owned() }
}

pub(super) fn entry(action: &str) -> AuditEntry {
    AuditEntry {
        by: sample::requester(),
        action: action.to_owned(),
        object: "tests".to_owned(),
        owner: None,
        detail: serde_json::json!({}),
    }
}

/// A provision of one service at one name, for a team.
fn wish(space: &str, id: &str, name: &str, quota: Quota, now: Millis) -> Accept {
    let spec = sample::spec(id, &[name]);
    let mut wish = sample::accept(OperationKind::Provision, id, &spec, now);
    wish.instance.owner = owner(space);
    wish.quota = Some(quota);
    wish
}

pub(super) async fn usage(state: &Arc<dyn State>, space: &str) -> (u32, u32) {
    let Usage { instances, hostnames } = state.team(&owner(space)).await.unwrap().usage;
    (instances, hostnames)
}

async fn of_many_who_race_only_as_many_as_may(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let quota = Quota { instances: Some(3), ..Quota::default() };
    let mut racing = tokio::task::JoinSet::new();
    for index in 0..16 {
        let (id, name) = (format!("i{index}"), format!("n{index}.example.com"));
        let state = Arc::clone(&state);
        let wish = wish("web", &id, &name, quota, now);
        racing.spawn(async move { state.accept(wish, None).await.unwrap() });
    }
    let answers = racing.join_all().await;
    assert_eq!(answers.iter().filter(|answer| **answer == Accepted::Yes).count(), 3);
    let excess = Excess { of: Share::Instances, limit: 3, used: 3, wanted: 1, free_at: None };
    let told = Accepted::No(Refusal::TooMany(excess));
    assert_eq!(answers.iter().filter(|answer| **answer == told).count(), 13);
    assert_eq!(usage(&state, "web").await, (3, 3));
}

async fn usage_follows_what_comes_and_goes(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    publish(&state, "one", &sample::spec("one", &["a.example.com", "b.example.com"]), now).await;
    publish(&state, "two", &sample::spec("two", &["c.example.com"]), now).await;
    assert_eq!(usage(&state, "web").await, (2, 3));
    remove(&state, "one", now + 1).await;
    assert_eq!(usage(&state, "web").await, (1, 1));
    state.forget(now + 10).await.unwrap();
    assert_eq!(usage(&state, "web").await, (1, 1));
}

async fn what_is_laid_down_comes_before_the_platforms(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let one = Quota { hostnames: Some(1), ..Quota::default() };
    accepted(&state, wish("web", "i", "a.example.com", one, now)).await;
    let second = || wish("web", "j", "b.example.com", one, now);
    let Refusal::TooMany(excess) = refused(&state, second()).await else { panic!("accepted") };
    assert_eq!((excess.of, excess.limit, excess.used), (Share::Hostnames, 1, 1));
    let policy =
        Policy { quota: Quota { hostnames: Some(2), ..Quota::default() }, ..Policy::default() };
    state.set_policy(&owner("web"), policy.clone(), None, now, entry("team.set")).await.unwrap();
    accepted(&state, second()).await;
    let listed = state.teams(None, 10).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].policy, policy);
    assert!(state.teams(Some(owner("web")), 10).await.unwrap().is_empty());
}

async fn changes_are_paced(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let quota = Quota { changes_per_minute: Some(2), ..Quota::default() };
    let wish = |id: &str, at| wish("web", id, &format!("{id}.example.com"), quota, at);
    accepted(&state, wish("a", now)).await;
    accepted(&state, wish("b", now)).await;
    let Refusal::TooMany(excess) = refused(&state, wish("c", now)).await else { panic!("more") };
    let free_at = excess.free_at.unwrap();
    assert!(matches!(refused(&state, wish("c", free_at - 1)).await, Refusal::TooMany(_)));
    accepted(&state, wish("c", free_at)).await;
    // Who is allowed more need not wait for it.
    let more = Quota { changes_per_minute: Some(3), ..Quota::default() };
    assert!(matches!(refused(&state, wish("d", free_at)).await, Refusal::TooMany(_)));
    let policy = Policy { quota: more, ..Policy::default() };
    state.set_policy(&owner("web"), policy, None, free_at, entry("team.set")).await.unwrap();
    accepted(&state, wish("d", free_at)).await;
}

async fn a_wildcard_is_granted(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let name = sample::hostname("*.shop.example.com");
    let wish = || wish("web", "i", name.as_str(), Quota::default(), now);
    assert_eq!(refused(&state, wish()).await, Refusal::NotGranted(vec![name.clone()]));
    let policy = Policy { wildcards: [name.clone()].into(), ..Policy::default() };
    state.set_policy(&owner("web"), policy, None, now, entry("team.set")).await.unwrap();
    accepted(&state, wish()).await;
}

async fn a_name_below_a_wildcard_wants_consent(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    publish(&state, "one", &sample::spec("one", &["*.shop.example.com"]), now).await;
    let name = sample::hostname("a.shop.example.com");
    let wish = |at| wish("other", "two", name.as_str(), Quota::default(), at);
    let Refusal::NoConsent(found) = refused(&state, wish(now)).await else { panic!("taken") };
    assert_eq!(found.len(), 1);
    assert_eq!((&found[0].hostname, &found[0].owner), (&name, &owner("web")));
    let (web, other) = (owner("web"), owner("other"));
    let consent = |by: Owner, to: Owner| {
        let (state, name) = (Arc::clone(&state), name.clone());
        async move { state.consent(&name, &by, &to, now, entry("consent")).await.unwrap() }
    };
    assert!(!consent(other.clone(), other.clone()).await, "nobody consents to himself");
    assert!(consent(web.clone(), owner("third")).await);
    assert!(matches!(refused(&state, wish(now)).await, Refusal::NoConsent(_)));
    assert!(consent(web.clone(), other).await);
    assert_eq!(state.consented(&name).await, Ok(Some(owner("other"))));
    accepted(&state, wish(now)).await;
    assert!(state.withdraw_consent(&name, &web, now, entry("withdraw")).await.unwrap());
    assert_eq!(state.consented(&name).await, Ok(None));
    assert!(!state.withdraw_consent(&name, &web, now, entry("withdraw")).await.unwrap());
}

async fn a_reservation_can_be_lifted(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    publish(&state, "one", &sample::spec("one", &["a.example.com"]), now).await;
    remove(&state, "one", now + 1).await;
    assert_eq!(state.reservations(now + 2).await, Ok(1));
    assert_eq!(state.reservations(now + 1 + RESERVED_MILLIS).await, Ok(0));
    let wish = || wish("other", "two", "a.example.com", Quota::default(), now + 2);
    assert!(matches!(refused(&state, wish()).await, Refusal::Reserved(_)));
    let name = sample::hostname("a.example.com");
    let lifted = state.lift_reservation(&name, now + 2, entry("release")).await.unwrap();
    assert_eq!(lifted.map(|it| it.owner), Some(owner("web")));
    assert_eq!(state.lift_reservation(&name, now + 2, entry("release")).await, Ok(None));
    accepted(&state, wish()).await;
}

/// At its limit a team may still call a service otherwise: what goes makes room for what comes.
async fn a_name_may_come_in_the_place_of_another(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let quota = Quota { hostnames: Some(2), ..Quota::default() };
    publish(&state, "one", &sample::spec("one", &["a.example.com", "b.example.com"]), now).await;
    let update = |names: &[&str]| {
        let spec = sample::spec("one", names);
        let mut wish = sample::accept(OperationKind::Update, "one", &spec, now + 1);
        wish.quota = Some(quota);
        wish
    };
    let Refusal::TooMany(excess) =
        refused(&state, update(&["a.example.com", "b.example.com", "c.example.com"])).await
    else {
        panic!("more")
    };
    assert_eq!((excess.used, excess.wanted), (2, 1));
    accepted(&state, update(&["a.example.com", "c.example.com"])).await;
}

/// Whichever way an instance goes, it takes with it what it counted for.
async fn usage_is_none_when_all_are_gone(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let spec = |id: &str| sample::spec(id, &[&format!("{id}.example.com")]);
    // A provision that fails, and is tried again under its id.
    for at in [now, now + 1] {
        let begun = begin(&state, OperationKind::Provision, "failing", &spec("failing"), at).await;
        assert_eq!(usage(&state, "web").await, (1, 1));
        let gone = vec![Write::ReleaseAll, Write::State(InstanceState::Failed)];
        finish(&state, &begun, gone, at).await;
        assert_eq!(usage(&state, "web").await, (0, 0));
    }
    // One that is cancelled by a deprovision.
    let begun = begin(&state, OperationKind::Provision, "cancelled", &spec("cancelled"), now).await;
    let mut end =
        sample::accept(OperationKind::Deprovision, "cancelled", &spec("cancelled"), now + 1);
    end.over = Some(begun.0.id.clone());
    accepted(&state, end.clone()).await;
    assert_eq!(usage(&state, "web").await, (1, 1), "it is still there");
    state.release(&begun.1, now + 1).await.unwrap();
    let lease = state.lease(now + 2, act::LEASE).await.unwrap().expect("the deprovision");
    let gone = vec![Write::ReleaseAll, Write::State(InstanceState::Deleted)];
    finish(&state, &(end.operation, lease.fence), gone, now + 2).await;
    assert_eq!(usage(&state, "web").await, (0, 0));
    // A rename, before and after what it gives up is released.
    publish(&state, "named", &spec("named"), now + 3).await;
    let begun = begin(&state, OperationKind::Update, "named", &spec("other"), now + 4).await;
    assert_eq!(usage(&state, "web").await, (1, 2));
    let names = spec("named").hostnames;
    finish(&state, &begun, vec![Write::Publish(spec("other")), Write::Release(names)], now + 4)
        .await;
    assert_eq!(usage(&state, "web").await, (1, 1));
    remove(&state, "named", now + 5).await;
    state.forget(now + 10).await.unwrap();
    assert_eq!(usage(&state, "web").await, (0, 0));
}

/// What is said beforehand is what the accept says, and it costs nothing.
async fn what_is_against_a_request_is_told_without_it(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let quota = Quota { changes_per_minute: Some(1), instances: Some(1), ..Quota::default() };
    publish(&state, "one", &sample::spec("one", &["*.shop.example.com"]), now).await;
    remove(&state, "one", now).await;
    publish(&state, "two", &sample::spec("two", &["*.pay.example.com"]), now + 1).await;
    for names in ["a.pay.example.com", "*.shop.example.com", "*.new.example.com"] {
        let wish = wish("other", "three", names, quota, now + 2);
        let told = state.foretell(wish.clone()).await.unwrap();
        assert_eq!(told, Foretold::Refused(refused(&state, wish).await), "{names}");
    }
    let free = |id: &str| wish("other", id, &format!("{id}.example.com"), quota, now + 2);
    for _ in 0..3 {
        let told = state.foretell(free("four")).await.unwrap();
        assert_eq!(told, Foretold::Accepted(Vec::new()), "asking is no change");
    }
    assert_eq!(usage(&state, "other").await, (0, 0));
    accepted(&state, free("four")).await;
    let told = state.foretell(free("five")).await.unwrap();
    assert_eq!(told, Foretold::Refused(refused(&state, free("five")).await));
}

async fn what_is_laid_down_over_something_else_is_not(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let may = |instances| {
        let quota = Quota { instances: Some(instances), ..Quota::default() };
        Policy { quota, ..Policy::default() }
    };
    let set = async |policy, over| {
        let entry = entry("team.set");
        state.set_policy(&owner("web"), policy, over, now, entry).await.unwrap()
    };
    assert!(set(may(1), Some(Policy::default())).await, "nothing was laid down");
    assert!(!set(may(2), Some(Policy::default())).await, "something else was");
    assert_eq!(state.team(&owner("web")).await.unwrap().policy, may(1));
    let entries = crate::AuditFilter { limit: 10, ..Default::default() };
    assert_eq!(
        state.entries(entries).await.unwrap().records.len(),
        1,
        "what was not done is not told"
    );
    assert!(set(may(2), Some(may(1))).await);
    assert!(set(may(3), None).await);
    assert_eq!(state.team(&owner("web")).await.unwrap().policy, may(3));
}
