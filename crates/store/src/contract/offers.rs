//! Services that pass from one team to another.

use std::sync::Arc;

use model::{InstanceId, Millis, OperationKind, Owner, Policy, Quota};

use super::act::{accept, get, publish, remove};
use super::teams::{entry, owner, usage};
use super::{Case, State, Subject, cases, sample};
use crate::{Accepted, Refusal, Transferred};

pub(super) const CASES: &[Case] = cases![
    a_service_passes_to_another_team,
    both_sides_see_an_offer_until_it_ends,
    an_offer_ends_with_its_service,
    names_of_services_are_the_environments,
    a_wildcard_goes_to_whom_it_is_granted,
];

async fn offer(state: &Arc<dyn State>, id: &str, from: &str, to: &str, now: Millis) {
    let (id, from, to) = (sample::instance_id(id), owner(from), owner(to));
    let done = state.offer(&id, &from, &to, now, entry("offer")).await;
    assert_eq!(done, Ok(Transferred::Yes));
}

async fn take(state: &Arc<dyn State>, id: &str, to: &str, now: Millis) -> Transferred {
    let entries = [entry("give"), entry("take")];
    let (id, to) = (sample::instance_id(id), owner(to));
    state.take(&id, &to, Quota::default(), now, entries).await.unwrap()
}

/// What a team sees of offers: instance, from, to.
async fn seen(state: &Arc<dyn State>, of: Option<Owner>) -> Vec<(InstanceId, String, String)> {
    let found = state.offers(of, 10).await.unwrap();
    found.into_iter().map(|it| (it.instance, it.from.space, it.to.space)).collect()
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

async fn both_sides_see_an_offer_until_it_ends(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    publish(&state, "one", &sample::spec("one", &["a.example.com"]), now).await;
    offer(&state, "one", "web", "third", now).await;
    offer(&state, "one", "web", "other", now).await;
    let one = vec![(sample::instance_id("one"), "web".to_owned(), "other".to_owned())];
    for who in [Some(owner("web")), Some(owner("other")), None] {
        assert_eq!(seen(&state, who).await, one);
    }
    assert!(seen(&state, Some(owner("third"))).await.is_empty());
    let offer = state.offers(None, 1).await.unwrap().pop().unwrap();
    assert_eq!(offer.hostnames, [sample::hostname("a.example.com")]);
    let id = sample::instance_id("one");
    let withdraw = |to: &str| {
        let (state, id, to) = (Arc::clone(&state), id.clone(), owner(to));
        async move { state.withdraw_offer(&id, &to, now, entry("withdraw")).await.unwrap() }
    };
    assert!(!withdraw("third").await);
    assert!(withdraw("other").await);
    assert!(seen(&state, None).await.is_empty());
    assert_eq!(take(&state, "one", "other", now).await, Transferred::NotOffered);
}

/// What is made anew under an id is not what was offered.
async fn an_offer_ends_with_its_service(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let spec = sample::spec("one", &["a.example.com"]);
    publish(&state, "one", &spec, now).await;
    offer(&state, "one", "web", "other", now).await;
    remove(&state, "one", now + 1).await;
    publish(&state, "one", &spec, now + 2).await;
    assert_eq!(state.offered(&sample::instance_id("one")).await, Ok(None));
    assert_eq!(take(&state, "one", "other", now + 3).await, Transferred::NotOffered);
}

async fn names_of_services_are_the_environments(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    for (id, team, environment) in
        [("one", "web", "dev"), ("two", "other", "prod"), ("three", "third", "dev")]
    {
        let spec = sample::spec("shop", &[&format!("{id}.example.com")]);
        let mut wish = sample::accept(OperationKind::Provision, id, &spec, now);
        wish.instance.owner = owner(team);
        wish.instance.platform_context = serde_json::json!({ "environment": environment });
        assert_eq!(accept(&state, wish).await, Accepted::Yes);
    }
    offer(&state, "one", "web", "third", now).await;
    assert_eq!(take(&state, "one", "third", now).await, Transferred::NameTaken);
    offer(&state, "one", "web", "other", now).await;
    assert_eq!(take(&state, "one", "other", now).await, Transferred::Yes);
    assert_eq!(usage(&state, "other").await, (2, 2));
}

async fn a_wildcard_goes_to_whom_it_is_granted(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let name = sample::hostname("*.shop.example.com");
    publish(&state, "one", &sample::spec("one", &[name.as_str()]), now).await;
    offer(&state, "one", "web", "other", now).await;
    let denied = Transferred::NotGranted(vec![name.clone()]);
    assert_eq!(take(&state, "one", "other", now).await, denied);
    let policy = Policy { wildcards: [name].into(), ..Policy::default() };
    state.set_policy(&owner("other"), policy, None, now, entry("team.set")).await.unwrap();
    assert_eq!(take(&state, "one", "other", now).await, Transferred::Yes);
}
