//! Teams: no more than each may have, whoever races for it; and what passes between them.

use std::sync::Arc;

use model::{AuditEntry, Millis, OperationKind, Owner, Policy, Quota, Share};

use super::act::{accept, accepted, get, publish, refused, remove};
use super::{Case, State, Subject, cases, sample};
use crate::{Accept, Accepted, Excess, Refusal, Transferred, Usage};

pub(super) const CASES: &[Case] = cases![
    of_many_who_race_only_as_many_as_may,
    usage_follows_what_comes_and_goes,
    what_is_laid_down_comes_before_the_platforms,
    changes_are_paced,
    a_wildcard_is_granted,
    a_name_below_a_wildcard_wants_consent,
    a_reservation_can_be_lifted,
    a_service_passes_to_another_team,
];

fn owner(space: &str) -> Owner {
    Owner { organization: "acme".to_owned(), space: space.to_owned() }
}

fn entry(action: &str) -> AuditEntry {
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

async fn usage(state: &Arc<dyn State>, space: &str) -> (u32, u32) {
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
    state.set_policy(&owner("web"), policy.clone(), now, entry("team.set")).await.unwrap();
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
}

async fn a_wildcard_is_granted(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let name = sample::hostname("*.shop.example.com");
    let wish = || wish("web", "i", name.as_str(), Quota::default(), now);
    assert_eq!(refused(&state, wish()).await, Refusal::NotGranted(vec![name.clone()]));
    let policy = Policy { wildcards: [name.clone()].into(), ..Policy::default() };
    state.set_policy(&owner("web"), policy, now, entry("team.set")).await.unwrap();
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
    accepted(&state, wish(now)).await;
    assert!(state.withdraw_consent(&name, &web, now, entry("withdraw")).await.unwrap());
    assert!(!state.withdraw_consent(&name, &web, now, entry("withdraw")).await.unwrap());
}

async fn a_reservation_can_be_lifted(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    publish(&state, "one", &sample::spec("one", &["a.example.com"]), now).await;
    remove(&state, "one", now + 1).await;
    let wish = || wish("other", "two", "a.example.com", Quota::default(), now + 2);
    assert!(matches!(refused(&state, wish()).await, Refusal::Reserved(_)));
    let name = sample::hostname("a.example.com");
    let lifted = state.lift_reservation(&name, now + 2, entry("release")).await.unwrap();
    assert_eq!(lifted.map(|it| it.owner), Some(owner("web")));
    assert_eq!(state.lift_reservation(&name, now + 2, entry("release")).await, Ok(None));
    accepted(&state, wish()).await;
}

async fn a_service_passes_to_another_team(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let spec = sample::spec("shop", &["a.example.com"]);
    publish(&state, "one", &spec, now).await;
    let before = get(&state, "one").await;
    let (id, web, other) = (sample::instance_id("one"), owner("web"), owner("other"));
    let take = |to: Owner, quota: Quota| {
        let (state, id) = (Arc::clone(&state), id.clone());
        let entries = [entry("give"), entry("take")];
        async move { state.take(&id, &to, quota, now, entries).await.unwrap() }
    };
    assert_eq!(take(other.clone(), Quota::default()).await, Transferred::NotOffered);
    let not_theirs = state.offer(&id, &other, &web, now, entry("offer")).await.unwrap();
    assert_eq!(not_theirs, Transferred::NotTheirs);
    assert_eq!(state.offer(&id, &web, &other, now, entry("offer")).await, Ok(Transferred::Yes));
    assert_eq!(take(web.clone(), Quota::default()).await, Transferred::NotOffered);
    let none = Quota { hostnames: Some(0), ..Quota::default() };
    assert!(matches!(take(other.clone(), none).await, Transferred::Full(_)));
    assert_eq!(take(other.clone(), Quota::default()).await, Transferred::Yes);
    let after = get(&state, "one").await;
    assert_eq!((after.owner, after.revision, after.spec), (other, before.revision, spec.clone()));
    assert_eq!((usage(&state, "web").await, usage(&state, "other").await), ((0, 0), (1, 1)));
    // What was decided before is decided anew.
    let late = sample::accept(OperationKind::Update, "one", &spec, now);
    let answer = state.accept(late, Some(before.updated_at)).await.unwrap();
    assert_eq!(answer, Accepted::No(Refusal::Changed));
    let update = sample::accept(OperationKind::Update, "one", &spec, now);
    assert_eq!(accept(&state, update).await, Accepted::Yes);
}
