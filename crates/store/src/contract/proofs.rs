//! Proofs: what is public only once its team has shown that it has the name.

use std::sync::Arc;

use model::{Hostname, Millis, OperationKind, Owner, Plan, Policy, Share, Spec, Zone};

use super::act::{LEASE, accepted, finish, publish, refused, remove};
use super::{Case, State, Subject, cases, sample};
use crate::{Accept, Foretold, Look, Proof, Refusal, UNPROVEN_MAX, Write};

pub(super) const CASES: &[Case] = cases![
    what_is_outside_the_zones_is_withheld_until_proven,
    what_is_public_stays_so,
    a_zone_of_the_team_needs_no_proof,
    what_is_missing_is_looked_for_again,
    proofs_go_with_their_names_and_pass_with_their_service,
    a_team_waits_for_no_more_than_it_may,
    what_would_be_withheld_is_told_without_it,
];

fn zones(names: &[&str]) -> Arc<[Zone]> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn spec(plan: Plan, hostnames: &[&str]) -> Spec {
    Spec { plan, ..sample::spec("shop", hostnames) }
}

/// What a broker hands in where `example.com` is free for everybody.
fn wish(from: Option<&Spec>, to: &Spec, now: Millis) -> Accept {
    let kind = if from.is_some() { OperationKind::Update } else { OperationKind::Provision };
    let mut wish = sample::accept(kind, "shop", to, now);
    wish.operation.previous = from.cloned();
    wish.quota = Some(model::Quota::default());
    wish.zones = zones(&["example.com"]);
    wish
}

/// Accepts, and publishes.
async fn live(state: &Arc<dyn State>, from: Option<&Spec>, to: &Spec, now: Millis) {
    let wish = wish(from, to, now);
    let operation = wish.operation.clone();
    accepted(state, wish).await;
    let lease = state.lease(now, LEASE).await.unwrap().expect("a job is ready");
    finish(state, &(operation, lease.fence), vec![Write::Publish(to.clone())], now).await;
}

async fn withheld(state: &Arc<dyn State>) -> Vec<String> {
    let changes = state.changes(None, 10).await.unwrap().changes;
    let change = changes.into_iter().find(|it| it.instance.as_str() == "shop").unwrap();
    change.withheld.into_iter().map(String::from).collect()
}

async fn proof(state: &Arc<dyn State>, name: &str) -> Option<Proof> {
    state.proof(&name.parse::<Hostname>().unwrap()).await.unwrap()
}

fn owner(space: &str) -> Owner {
    Owner { organization: "acme".to_owned(), space: space.to_owned() }
}

fn entry() -> model::AuditEntry {
    model::AuditEntry {
        by: sample::requester(),
        action: "tests".to_owned(),
        object: "tests".to_owned(),
        owner: None,
        detail: serde_json::json!({}),
    }
}

async fn what_is_outside_the_zones_is_withheld_until_proven(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let names = ["shop.acme.org", "shop.example.com", "shop.other.org"];
    live(&state, None, &spec(Plan::Public, &names), now).await;
    assert_eq!(withheld(&state).await, ["shop.acme.org", "shop.other.org"]);
    assert_eq!(proof(&state, "shop.example.com").await, None);
    let due = state.due_proofs(now, 10).await.unwrap();
    assert_eq!(due, state.proofs(&sample::instance_id("shop")).await.unwrap());
    assert_eq!((due.len(), state.awaited_proofs().await.unwrap()), (2, 2));
    let before = state.changes(None, 10).await.unwrap().cursor;
    assert!(state.looked(&due[0], Look::Proven("a record".to_owned()), now + 1).await.unwrap());
    assert_eq!(withheld(&state).await, ["shop.other.org"]);
    let news = state.changes(Some(before), 10).await.unwrap().changes;
    assert_eq!(news.len(), 1, "proxies are told");
    let proven = proof(&state, "shop.acme.org").await.unwrap();
    assert_eq!((proven.proven_at, proven.next_at), (Some(now + 1), None));
    let again = state.looked(&due[0], Look::Proven("a record".to_owned()), now + 2).await.unwrap();
    assert!(!again, "it is proven already");
    let audit =
        state.entries(crate::AuditFilter { limit: 10, ..Default::default() }).await.unwrap();
    assert_eq!(
        audit.records.iter().filter(|it| it.entry().unwrap().action == "hostname.prove").count(),
        1
    );
}

async fn what_is_public_stays_so(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    // From a time when nobody asked for proofs.
    let old = spec(Plan::Public, &["shop.acme.org"]);
    publish(&state, "shop", &old, now).await;
    let more = spec(Plan::Public, &["shop.acme.org", "www.acme.org"]);
    live(&state, Some(&old), &more, now + 1).await;
    assert_eq!(withheld(&state).await, ["www.acme.org"]);
    let internal = spec(Plan::Internal, &["shop.acme.org", "www.acme.org"]);
    live(&state, Some(&more), &internal, now + 2).await;
    assert_eq!(withheld(&state).await, ["www.acme.org"], "what was awaited is not forgotten");
    live(&state, Some(&internal), &more, now + 3).await;
    assert_eq!(withheld(&state).await, ["shop.acme.org", "www.acme.org"]);
}

async fn a_zone_of_the_team_needs_no_proof(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let spec = spec(Plan::Public, &["shop.acme.org", "shop.other.org"]);
    let policy =
        Policy { zones: zones(&["acme.org"]).iter().cloned().collect(), ..Policy::default() };
    state.set_policy(&owner("web"), policy, None, now, entry()).await.unwrap();
    live(&state, None, &spec, now).await;
    assert_eq!(withheld(&state).await, ["shop.other.org"]);
    let later = proof(&state, "shop.other.org").await.unwrap();
    let next_at = Some(now + 1000);
    let missing = Look::Missing { problem: "none".to_owned(), next_at };
    assert!(state.looked(&later, missing, now).await.unwrap());
    assert_eq!(proof(&state, "shop.other.org").await.unwrap().next_at, next_at);
    state.set_policy(&owner("web"), Policy::default(), None, now + 1, entry()).await.unwrap();
    let next_at = proof(&state, "shop.other.org").await.unwrap().next_at;
    assert_eq!(next_at, Some(now + 1), "its zones are other ones: looked at again");
    assert_eq!(withheld(&state).await, ["shop.other.org"], "what was let through stays");
}

async fn what_is_missing_is_looked_for_again(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let wanted = spec(Plan::Public, &["shop.acme.org"]);
    live(&state, None, &wanted, now).await;
    let first = proof(&state, "shop.acme.org").await.unwrap();
    let missing = |next_at| Look::Missing { problem: "no record".to_owned(), next_at };
    assert!(state.looked(&first, missing(Some(now + 60)), now).await.unwrap());
    assert!(state.due_proofs(now + 59, 10).await.unwrap().is_empty());
    let due = state.due_proofs(now + 60, 10).await.unwrap();
    assert_eq!(due.len(), 1);
    assert_eq!((due[0].problem.as_deref(), due[0].looked_at), (Some("no record"), Some(now)));
    assert!(state.looked(&due[0], missing(None), now + 60).await.unwrap());
    assert!(state.due_proofs(Millis::MAX, 10).await.unwrap().is_empty(), "given up");
    live(&state, Some(&wanted), &wanted, now + 70).await;
    assert_eq!(state.due_proofs(now + 70, 10).await.unwrap().len(), 1, "an update looks again");
}

async fn proofs_go_with_their_names_and_pass_with_their_service(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let wanted = spec(Plan::Public, &["shop.acme.org"]);
    live(&state, None, &wanted, now).await;
    let ours = proof(&state, "shop.acme.org").await.unwrap();
    let (web, data) = (owner("web"), owner("data"));
    let shop = sample::instance_id("shop");
    state.offer(&shop, &web, &data, now, entry()).await.unwrap();
    let none = model::Quota::default();
    state.take(&shop, &data, none, now, [entry(), entry()]).await.unwrap();
    let theirs = proof(&state, "shop.acme.org").await.unwrap();
    assert_eq!(theirs.owner, data);
    assert_ne!(theirs.value, ours.value, "each team has its own");
    let found = Look::Proven("a record".to_owned());
    assert!(!state.looked(&ours, found.clone(), now).await.unwrap(), "it was the giver's");
    assert_eq!(withheld(&state).await, ["shop.acme.org"]);
    assert!(state.looked(&theirs, found, now).await.unwrap());
    assert!(withheld(&state).await.is_empty());
    remove(&state, "shop", now + 10).await;
    assert_eq!(proof(&state, "shop.acme.org").await, None, "who has it next proves it anew");
}

async fn a_team_waits_for_no_more_than_it_may(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let ask = |service: u32, count: u32| {
        let names: Vec<_> = (0..count).map(|it| format!("n{it}.s{service}.acme.org")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let spec = spec(Plan::Public, &names);
        let mut wish = sample::accept(OperationKind::Provision, &format!("s{service}"), &spec, now);
        wish.quota = Some(model::Quota::default());
        wish.zones = zones(&["example.com"]);
        wish
    };
    let (each, services) = (20, UNPROVEN_MAX / 20);
    for service in 0..services {
        accepted(&state, ask(service, each)).await;
    }
    let refusal = refused(&state, ask(services, 1)).await;
    let Refusal::TooMany(excess) = refusal else { panic!("{refusal:?}") };
    assert_eq!((excess.of, excess.limit), (Share::Unproven, UNPROVEN_MAX));
    assert_eq!((excess.used, excess.wanted), (UNPROVEN_MAX, 1));
    let due = state.due_proofs(now, 1).await.unwrap();
    assert!(state.looked(&due[0], Look::Proven("a record".to_owned()), now).await.unwrap());
    accepted(&state, ask(services, 1)).await;
}

/// What is said beforehand is what is asked for then, and asking leaves nothing behind.
async fn what_would_be_withheld_is_told_without_it(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let foretold = async |from: Option<&Spec>, to: &Spec| match state
        .foretell(wish(from, to, now))
        .await
        .unwrap()
    {
        Foretold::Accepted(proofs) => proofs,
        Foretold::Refused(refusal) => panic!("{refusal:?}"),
    };
    let names = |proofs: &[Proof]| -> Vec<String> {
        proofs.iter().map(|proof| proof.hostname.to_string()).collect()
    };
    let some = spec(Plan::Public, &["shop.acme.org", "shop.example.com"]);
    let internal = spec(Plan::Internal, &["shop.acme.org"]);
    let told = foretold(None, &some).await;
    assert_eq!(names(&told), ["shop.acme.org"]);
    assert_eq!(foretold(None, &internal).await, []);
    assert_eq!(state.awaited_proofs().await.unwrap(), 0, "asking is no change");
    live(&state, None, &some, now).await;
    assert_eq!(told, state.proofs(&sample::instance_id("shop")).await.unwrap());

    let more = spec(Plan::Public, &["a.other.org", "shop.acme.org"]);
    let told = foretold(Some(&some), &more).await;
    assert_eq!(names(&told), ["a.other.org", "shop.acme.org"], "one is awaited already");
    let fewer = spec(Plan::Public, &["shop.example.com"]);
    assert_eq!(foretold(Some(&some), &fewer).await, []);
    assert_eq!(foretold(Some(&some), &internal).await, []);
    let proof = &state.proofs(&sample::instance_id("shop")).await.unwrap()[0];
    assert!(state.looked(proof, Look::Proven("a record".to_owned()), now).await.unwrap());
    assert_eq!(names(&foretold(Some(&some), &more).await), ["a.other.org"]);
}
