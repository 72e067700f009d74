//! Bindings: in the feed with their instance, whatever operation is in progress, and out of it for
//! good.

use std::sync::Arc;

use keys::Sealed;
use model::{Binding, BindingId, Caller, Millis, OperationKind};
use serde_json::json;

use super::act::{begin, finish, publish, remove};
use super::{Case, State, Subject, cases, sample};
use crate::{
    AuditFilter, BINDINGS_AT_ONCE, BINDINGS_MAX, Bind, Binds, Bound, Change, EXPIRED_KEPT_MILLIS,
    Expired, Reseal, Write,
};

pub(super) const CASES: &[Case] = cases![
    who_is_bound_is_in_the_feed,
    what_does_not_fit_is_not_bound,
    a_bind_in_the_middle_of_an_operation_disturbs_nothing,
    what_was_proven_stays_proven,
    a_deprovision_ends_what_is_left,
    what_expires_leaves_by_itself,
    many_expire_in_rounds,
    each_change_is_told_in_the_audit_log,
    what_is_sealed_is_sealed_anew,
];

const MINUTE: Millis = 60_000;

fn id(text: &str) -> BindingId {
    text.parse().unwrap()
}

/// Sealed by nobody; the form is the one of a keyring.
fn sealed(key: u8, content: u8) -> Sealed {
    Sealed::from_bytes([vec![1], vec![key; 8], vec![content; 40]].concat())
}

fn binding(text: &str, instance: &str, now: Millis) -> Binding {
    Binding {
        id: id(text),
        instance: sample::instance_id(instance),
        name: Some("checkout".to_owned()),
        ttl_s: None,
        resource: json!({"app_guid": "app"}),
        predecessor: None,
        public_key: format!("key-of-{text}"),
        created_by: "tests".to_owned(),
        created_at: now,
        renew_before: None,
        expires_at: None,
    }
}

fn wish(binding: Binding) -> Bind {
    Bind { binding, sealed: sealed(1, 2), by: sample::requester() }
}

async fn bind(state: &Arc<dyn State>, binding: Binding) -> u64 {
    match state.bind(wish(binding)).await.unwrap() {
        Binds::Yes(revision) => revision,
        other => panic!("not bound: {other:?}"),
    }
}

async fn unbind(state: &Arc<dyn State>, instance: &str, binding: &str, now: Millis) -> bool {
    let instance = sample::instance_id(instance);
    state.unbind(&instance, &id(binding), sample::requester(), now).await.unwrap()
}

/// An instance as the feed tells of it.
async fn fed(state: &Arc<dyn State>, instance: &str) -> Change {
    let changes = state.changes(None, 1_000).await.unwrap().changes;
    let found = changes.into_iter().find(|change| change.instance.as_str() == instance);
    found.unwrap_or_else(|| panic!("the feed does not tell of {instance}"))
}

async fn callers(state: &Arc<dyn State>, instance: &str) -> Vec<String> {
    let callers = fed(state, instance).await.callers;
    callers.into_iter().map(|caller| caller.binding.to_string()).collect()
}

async fn live(state: &Arc<dyn State>, instance: &str, now: Millis) -> u64 {
    let name = format!("{instance}.example.com");
    publish(state, instance, &sample::spec("shop", &[&name]), now).await
}

async fn who_is_bound_is_in_the_feed(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let published = live(&state, "one", now).await;
    let before = fed(&state, "one").await;
    assert_eq!(before.callers, []);
    let cursor = state.changes(None, 10).await.unwrap().cursor;
    let mut later = binding("b", "one", now);
    later.expires_at = Some(now + MINUTE);
    let revision = bind(&state, later.clone()).await;
    assert!(revision > published);
    let caller = Caller {
        binding: id("b"),
        public_key: "key-of-b".to_owned(),
        expires_at: Some(now + MINUTE),
    };
    let expected = Change { revision, callers: vec![caller], ..before.clone() };
    assert_eq!(state.changes(Some(cursor), 10).await.unwrap().changes, [expected]);
    bind(&state, binding("a", "one", now)).await;
    assert_eq!(callers(&state, "one").await, ["a", "b"], "sorted");
    let kept = Bound { binding: later.clone(), sealed: sealed(1, 2) };
    assert_eq!(state.binding(&id("b")).await.unwrap(), Some(kept));
    let all = state.bindings(&later.instance).await.unwrap();
    assert_eq!(all, [binding("a", "one", now), later]);

    assert!(unbind(&state, "one", "b", now).await);
    assert_eq!(callers(&state, "one").await, ["a"]);
    assert!(!unbind(&state, "one", "b", now).await, "it is gone");
    assert!(!unbind(&state, "two", "a", now).await, "it is another's");
    assert_eq!(state.binding(&id("b")).await.unwrap(), None);
    live(&state, "one", now + 1).await;
    assert_eq!(callers(&state, "one").await, ["a"], "another spec has the same callers");
}

async fn what_does_not_fit_is_not_bound(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let refused = async |binding: Binding| state.bind(wish(binding)).await.unwrap();
    assert_eq!(refused(binding("x", "one", now)).await, Binds::NotReady, "there is no instance");
    let spec = sample::spec("shop", &["one.example.com"]);
    let begun = begin(&state, OperationKind::Provision, "one", &spec, now).await;
    assert_eq!(refused(binding("x", "one", now)).await, Binds::NotReady, "not yet published");
    finish(&state, &begun, vec![Write::Publish(spec.clone())], now).await;
    live(&state, "two", now).await;

    let mut first = binding("a", "one", now);
    first.expires_at = Some(now + MINUTE);
    bind(&state, first.clone()).await;
    let exists = Binds::Exists(Box::new(Bound { binding: first, sealed: sealed(1, 2) }));
    assert_eq!(refused(binding("a", "two", now)).await, exists, "ids are global");
    let after = |predecessor: &str, instance: &str, now| Binding {
        predecessor: Some(id(predecessor)),
        ..binding("n", instance, now)
    };
    assert_eq!(refused(after("none", "one", now)).await, Binds::NoPredecessor);
    assert_eq!(refused(after("a", "two", now)).await, Binds::NoPredecessor, "of another instance");
    assert_eq!(refused(after("a", "one", now + MINUTE)).await, Binds::NoPredecessor, "expired");
    bind(&state, after("a", "one", now + MINUTE - 1)).await;
    for number in 2..BINDINGS_MAX {
        bind(&state, binding(&format!("m{number}"), "one", now)).await;
    }
    let revision = fed(&state, "one").await.revision;
    assert_eq!(refused(binding("more", "one", now)).await, Binds::Full);
    assert_eq!(fed(&state, "one").await.revision, revision, "a refusal is no news");
    begin(&state, OperationKind::Deprovision, "one", &spec, now + 1).await;
    assert!(unbind(&state, "one", "a", now).await, "there is room again");
    assert_eq!(refused(binding("more", "one", now)).await, Binds::NotReady, "about to go");
}

async fn a_bind_in_the_middle_of_an_operation_disturbs_nothing(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    live(&state, "one", now).await;
    bind(&state, binding("old", "one", now)).await;
    let spec = sample::spec("shop", &["also.example.com", "one.example.com"]);
    let begun = begin(&state, OperationKind::Update, "one", &spec, now).await;
    let before = super::act::get(&state, "one").await;
    assert!(unbind(&state, "one", "old", now).await, "to revoke waits for nothing");
    bind(&state, binding("a", "one", now)).await;
    assert_eq!(super::act::get(&state, "one").await, before, "the instance is the operation's");
    let save = sample::save(&begun.1, &begun.0, vec![Write::Publish(spec.clone())], now);
    let published = state.save(save).await.unwrap().expect("published");
    let revision = bind(&state, binding("b", "one", now)).await;
    finish(&state, &begun, vec![Write::MarkGood(published)], now).await;
    let told = fed(&state, "one").await;
    assert_eq!((told.revision, told.spec, told.good), (revision, Some(spec.clone()), None));

    // What was marked is the spec, so that the next one has it as its last good one.
    live(&state, "one", now + 1).await;
    let good = fed(&state, "one").await.good.map(|(_, spec)| spec);
    assert_eq!(good, Some(spec));
}

async fn what_was_proven_stays_proven(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let spec = sample::spec("shop", &["one.example.com"]);
    let begun = begin(&state, OperationKind::Provision, "one", &spec, now).await;
    let save = sample::save(&begun.1, &begun.0, vec![Write::Publish(spec.clone())], now);
    let published = state.save(save).await.unwrap().expect("published");
    finish(&state, &begun, vec![Write::MarkGood(published)], now).await;
    bind(&state, binding("a", "one", now)).await;
    assert_eq!(fed(&state, "one").await.good, None, "it is good itself");
    let next = sample::spec("shop", &["next.example.com"]);
    let unproven = publish(&state, "one", &next, now + 1).await;
    let good = fed(&state, "one").await.good.map(|(_, spec)| spec);
    assert_eq!(good, Some(spec.clone()));
    assert!(unbind(&state, "one", "a", now + 2).await);
    let told = fed(&state, "one").await;
    assert_eq!(told.good.map(|(_, spec)| spec), Some(spec.clone()), "also after news of callers");
    let begun = begin(&state, OperationKind::Update, "one", &next, now + 3).await;
    finish(&state, &begun, vec![Write::MarkGood(unproven)], now + 3).await;
    assert_eq!(fed(&state, "one").await.good, None, "and proven late");
}

async fn a_deprovision_ends_what_is_left(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    live(&state, "one", now).await;
    for name in ["a", "b"] {
        bind(&state, binding(name, "one", now)).await;
    }
    remove(&state, "one", now + 1).await;
    let gone = fed(&state, "one").await;
    assert_eq!((gone.spec, gone.callers), (None, vec![]));
    assert_eq!(state.bindings(&sample::instance_id("one")).await.unwrap(), []);
    assert!(!unbind(&state, "one", "a", now + 2).await);
    live(&state, "one", now + 3).await;
    assert_eq!(callers(&state, "one").await, [""; 0], "nobody comes back");
}

async fn what_expires_leaves_by_itself(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    live(&state, "one", now).await;
    assert_eq!(state.expire(now).await.unwrap(), Expired::default());
    bind(&state, binding("stays", "one", now)).await;
    for (name, minutes) in [("b", 2), ("a", 1)] {
        let expires_at = Some(now + minutes * MINUTE);
        bind(&state, Binding { expires_at, ..binding(name, "one", now) }).await;
    }
    let quiet = fed(&state, "one").await.revision;
    let next = Some(now + MINUTE);
    let nothing = Expired { next, ..Expired::default() };
    assert_eq!(state.expire(now + MINUTE - 1).await.unwrap(), nothing);
    assert_eq!(fed(&state, "one").await.revision, quiet);

    let next = Some(now + 2 * MINUTE);
    let one = Expired { expired: 1, forgotten: 0, next };
    assert_eq!(state.expire(now + MINUTE).await.unwrap(), one);
    assert_eq!(callers(&state, "one").await, ["b", "stays"]);
    assert_eq!(state.expire(now + MINUTE).await.unwrap().expired, 0, "once");
    assert!(state.binding(&id("a")).await.unwrap().is_some(), "it is remembered");
    assert_eq!(state.bindings(&sample::instance_id("one")).await.unwrap().len(), 3);

    let kept = now + MINUTE + EXPIRED_KEPT_MILLIS;
    assert_eq!(state.expire(kept).await.unwrap().forgotten, 0);
    let next = Some(kept + MINUTE + 1);
    let last = state.expire(kept + 1).await.unwrap();
    assert_eq!(last, Expired { expired: 0, forgotten: 1, next });
    assert_eq!(state.binding(&id("a")).await.unwrap(), None);
    assert!(unbind(&state, "one", "b", kept).await, "what has expired is unbound like any");
    assert_eq!(callers(&state, "one").await, ["stays"]);
}

async fn many_expire_in_rounds(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let count = BINDINGS_AT_ONCE + 10;
    for number in 0..count {
        let instance = format!("i{}", number % 3);
        if number < 3 {
            live(&state, &instance, now).await;
        }
        let expires_at = Some(now + MINUTE);
        bind(&state, Binding { expires_at, ..binding(&format!("b{number}"), &instance, now) })
            .await;
    }
    let (mut left, mut rounds) = (count, 0);
    while left > 0 {
        let round = state.expire(now + MINUTE).await.unwrap();
        assert!((1..=BINDINGS_AT_ONCE).contains(&round.expired), "{round:?}");
        left -= round.expired;
        rounds += 1;
        assert_eq!(round.next <= Some(now + MINUTE), left > 0, "{round:?}");
    }
    assert_eq!(rounds, 2);
    for instance in ["i0", "i1", "i2"] {
        assert_eq!(callers(&state, instance).await, [""; 0]);
    }
}

async fn each_change_is_told_in_the_audit_log(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    live(&state, "one", now).await;
    for name in ["a", "b", "c"] {
        let expires_at = (name == "b").then_some(now + MINUTE);
        bind(&state, Binding { expires_at, ..binding(name, "one", now) }).await;
    }
    unbind(&state, "one", "a", now + 1).await;
    unbind(&state, "one", "a", now + 2).await;
    state.expire(now + MINUTE).await.unwrap();
    remove(&state, "one", now + 2 * MINUTE).await;
    let filter = AuditFilter { limit: 100, ..AuditFilter::default() };
    let page = state.entries(filter).await.unwrap();
    let mut told = Vec::new();
    for record in &page.records {
        let entry = record.entry().unwrap();
        if entry.action.starts_with("binding.") {
            assert_eq!(entry.detail["instance"], json!("one"));
            assert_eq!(entry.owner.map(|owner| owner.space).as_deref(), Some("web"));
            told.push((entry.action, entry.object, entry.by.credential));
        }
    }
    let line = |action: &str, object: &str, by: &str| {
        (format!("binding.{action}"), object.to_owned(), by.to_owned())
    };
    let expected = [
        line("create", "a", "tests"),
        line("create", "b", "tests"),
        line("create", "c", "tests"),
        line("delete", "a", "tests"),
        line("expire", "b", "margrave"),
        line("delete", "b", "tests"),
        line("delete", "c", "tests"),
    ];
    assert_eq!(told, expected);
}

async fn what_is_sealed_is_sealed_anew(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    assert_eq!(state.sealing_keys().await.unwrap(), [""; 0]);
    live(&state, "one", now).await;
    for (name, key) in [("a", 1), ("b", 3), ("c", 1)] {
        let bind = Bind { sealed: sealed(key, 9), ..wish(binding(name, "one", now)) };
        assert!(matches!(state.bind(bind).await.unwrap(), Binds::Yes(_)));
    }
    let key = |byte: u8| sealed(byte, 0).key();
    assert_eq!(state.sealing_keys().await.unwrap(), [key(1), key(3)]);
    let old = state.sealed_with(&key(1)).await.unwrap();
    assert_eq!(old, [(id("a"), sealed(1, 9)), (id("c"), sealed(1, 9))]);
    let revision = fed(&state, "one").await.revision;
    let anew = |name: &str, old: Sealed| Reseal { binding: id(name), old, new: sealed(2, 8) };
    let secrets =
        vec![anew("a", sealed(1, 9)), anew("c", sealed(1, 7)), anew("none", sealed(1, 9))];
    assert_eq!(state.reseal(secrets).await.unwrap(), 1, "only what is as it was read");
    assert_eq!(state.sealing_keys().await.unwrap(), [key(1), key(2), key(3)]);
    assert_eq!(state.binding(&id("a")).await.unwrap().map(|it| it.sealed), Some(sealed(2, 8)));
    assert_eq!(state.binding(&id("c")).await.unwrap().map(|it| it.sealed), Some(sealed(1, 9)));
    assert_eq!(fed(&state, "one").await.revision, revision, "no proxy is told");
}
