//! Hostnames: one holder each, whoever races for them.

use std::sync::Arc;

use model::{Millis, OperationKind, Quota, Spec};

use super::act::{accepted, begin, finish, get, holder, publish, refused, remove};
use super::{Case, Subject, cases, sample};
use crate::{Accept, Accepted, RESERVED_MILLIS, Refusal, Write};

pub(super) const CASES: &[Case] = cases![
    of_many_who_race_one_wins,
    overlapping_claims_do_not_mix,
    the_refusal_says_whose_each_is,
    only_the_holder_releases,
    what_is_released_is_free,
    a_name_kept_keeps_its_since,
    what_was_served_stays_the_teams_for_a_while,
    what_was_never_served_is_free_at_once,
];

async fn of_many_who_race_one_wins(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let mut racing = tokio::task::JoinSet::new();
    for index in 0..32 {
        let id = format!("i{index}");
        let spec = sample::spec("shop", &["wanted.example.com"]);
        let wish = sample::accept(OperationKind::Provision, &id, &spec, now);
        let state = Arc::clone(&state);
        racing.spawn(async move { (id, state.accept(wish, None).await.unwrap()) });
    }
    let mut winners = Vec::new();
    let mut told = Vec::new();
    for (id, answer) in racing.join_all().await {
        match answer {
            Accepted::Yes => winners.push(id),
            Accepted::No(Refusal::Taken(owners)) => told.extend(owners),
            Accepted::No(other) => panic!("{other:?}"),
        }
    }
    assert_eq!((winners.len(), told.len()), (1, 31));
    let winner = winners.pop();
    assert!(told.iter().all(|owner| Some(owner.instance.as_str()) == winner.as_deref()));
    assert_eq!(holder(&state, "wanted.example.com").await, winner);
}

/// Two names, claimed in both orders: never one each.
async fn overlapping_claims_do_not_mix(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    for round in 0..10 {
        let (a, b) = (format!("a{round}.example.com"), format!("b{round}.example.com"));
        let mut racing = tokio::task::JoinSet::new();
        for (side, names) in [("x", [&a, &b]), ("y", [&b, &a])] {
            let id = format!("{side}{round}");
            let spec = sample::spec("shop", &names.map(String::as_str));
            let wish = sample::accept(OperationKind::Provision, &id, &spec, now);
            let state = Arc::clone(&state);
            racing.spawn(async move { state.accept(wish, None).await.unwrap() });
        }
        let answers = racing.join_all().await;
        assert_eq!(answers.iter().filter(|answer| **answer == Accepted::Yes).count(), 1);
        assert_eq!(holder(&state, &a).await, holder(&state, &b).await);
    }
}

async fn the_refusal_says_whose_each_is(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    publish(&state, "one", &sample::spec("shop", &["a.example.com"]), now).await;
    publish(&state, "two", &sample::spec("blog", &["b.example.com"]), now + 5).await;
    let spec = sample::spec("mine", &["a.example.com", "b.example.com", "c.example.com"]);
    let wish = sample::accept(OperationKind::Provision, "three", &spec, now + 9);
    let Refusal::Taken(owners) = refused(&state, wish).await else { panic!("not taken") };
    let told: Vec<_> = owners
        .iter()
        .map(|it| (it.hostname.as_str(), it.service.as_str(), it.owner.space.as_str(), it.since))
        .collect();
    let expected =
        [("a.example.com", "shop", "web", now), ("b.example.com", "blog", "web", now + 5)];
    assert_eq!(told, expected);
}

async fn only_the_holder_releases(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    publish(&state, "one", &sample::spec("shop", &["a.example.com"]), now).await;
    let spec = sample::spec("blog", &["b.example.com", "c.example.com"]);
    let begun = begin(&state, OperationKind::Provision, "two", &spec, now + 1).await;
    let names = vec![sample::hostname("a.example.com"), sample::hostname("b.example.com")];
    let save = sample::save(&begun.1, &begun.0, vec![Write::Release(names)], now + 1);
    assert_eq!(state.save(save).await, Ok(None));
    assert_eq!(holder(&state, "a.example.com").await.as_deref(), Some("one"));
    assert_eq!(holder(&state, "b.example.com").await, None);
    assert_eq!(holder(&state, "c.example.com").await.as_deref(), Some("two"));
    finish(&state, &begun, vec![Write::ReleaseAll], now + 1).await;
    assert_eq!(holder(&state, "a.example.com").await.as_deref(), Some("one"));
    assert_eq!(holder(&state, "c.example.com").await, None);
}

async fn what_is_released_is_free(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let spec = sample::spec("shop", &["a.example.com"]);
    publish(&state, "one", &spec, now).await;
    let wish = || sample::accept(OperationKind::Provision, "two", &spec, now + 2);
    assert!(matches!(refused(&state, wish()).await, Refusal::Taken(_)));
    remove(&state, "one", now + 1).await;
    accepted(&state, wish()).await;
    assert_eq!(holder(&state, "a.example.com").await.as_deref(), Some("two"));
}

async fn a_name_kept_keeps_its_since(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    publish(&state, "one", &sample::spec("shop", &["a.example.com"]), now).await;
    let both = sample::spec("shop", &["a.example.com", "b.example.com"]);
    publish(&state, "one", &both, now + 60).await;
    for (name, since) in [("a.example.com", now), ("b.example.com", now + 60)] {
        let owner = state.hostname(&sample::hostname(name)).await.unwrap().expect("held");
        assert_eq!(owner.since, since, "{name}");
    }
    assert_eq!(get(&state, "one").await.spec, both);
}

/// A provision that another team asks for.
fn elsewhere(id: &str, spec: &Spec, now: Millis) -> Accept {
    let mut wish = sample::accept(OperationKind::Provision, id, spec, now);
    wish.instance.owner.space = "other".to_owned();
    wish.quota = Some(Quota::default());
    wish
}

async fn what_was_served_stays_the_teams_for_a_while(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let spec = sample::spec("shop", &["a.example.com"]);
    publish(&state, "one", &spec, now).await;
    remove(&state, "one", now + 1).await;
    let until = now + 1 + RESERVED_MILLIS;
    let refusal = refused(&state, elsewhere("two", &spec, until - 1)).await;
    let Refusal::Reserved(found) = refusal else { panic!("{refusal:?}") };
    let told: Vec<_> = found
        .iter()
        .map(|it| (it.hostname.as_str(), it.owner.space.as_str(), it.service.as_str(), it.until))
        .collect();
    assert_eq!(told, [("a.example.com", "web", "shop", until)]);
    // Its own team takes it again at once, and gives it back unserved: it is still the team's.
    let again = begin(&state, OperationKind::Provision, "three", &spec, now + 2).await;
    finish(&state, &again, vec![Write::ReleaseAll], now + 3).await;
    assert!(matches!(
        refused(&state, elsewhere("two", &spec, now + 4)).await,
        Refusal::Reserved(_)
    ));
    accepted(&state, elsewhere("two", &spec, until)).await;
}

async fn what_was_never_served_is_free_at_once(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let spec = sample::spec("shop", &["a.example.com"]);
    let begun = begin(&state, OperationKind::Provision, "one", &spec, now).await;
    finish(&state, &begun, vec![Write::ReleaseAll], now + 1).await;
    accepted(&state, elsewhere("two", &spec, now + 2)).await;
}
