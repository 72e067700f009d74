//! The life of an instance, from its provision to its tombstone's end, and over a restart.

use std::sync::Arc;

use model::{InstanceState, OperationKind, OperationState, StepRecord, StepState};

use super::act::{begin, finish, get, holder, publish, remove};
use super::{Case, Subject, cases, sample};
use crate::{StoreError, Write};

pub(super) const CASES: &[Case] = cases![
    from_provision_to_tombstone,
    tombstones_are_forgotten_in_time,
    a_tombstone_still_worked_on_is_kept,
    a_reopened_state_is_the_same,
    writes_are_done_in_their_order,
    what_is_too_large_harms_nobody_else,
    a_save_refused_for_its_size_leaves_nothing,
    a_long_history_is_cut,
];

async fn from_provision_to_tombstone(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let spec = sample::spec("shop", &["shop.example.com"]);
    let begun = begin(&state, OperationKind::Provision, "one", &spec, now).await;
    let start = get(&state, "one").await;
    assert_eq!((start.state, start.revision), (InstanceState::Provisioning, None));
    let claims = state.claims(&start.id).await.unwrap();
    let claims: Vec<_> = claims.iter().map(|claim| (&claim.hostname, claim.since)).collect();
    assert_eq!(claims, [(&spec.hostnames[0], now)]);

    let publish = vec![Write::Publish(spec.clone())];
    let revision = state.save(sample::save(&begun.1, &begun.0, publish, now)).await.unwrap();
    assert!(revision.is_some());
    let ready = get(&state, "one").await;
    assert_eq!((ready.state, ready.revision), (InstanceState::Ready, revision));
    let operation = state.operation(&begun.0.id).await.unwrap().expect("there");
    assert_eq!((operation.state, operation.revision), (OperationState::InProgress, revision));

    let begun = (operation, begun.1);
    assert_eq!(finish(&state, &begun, vec![Write::MarkGood(revision.unwrap())], now).await, None);
    let operation = state.operation(&begun.0.id).await.unwrap().expect("there");
    assert_eq!((operation.state, operation.revision), (OperationState::Succeeded, revision));
    assert_eq!(state.depth(now).await, Ok((0, 0)));

    let gone = remove(&state, "one", now + 10).await;
    assert!(Some(gone) > revision);
    let tombstone = get(&state, "one").await;
    assert_eq!((tombstone.state, tombstone.spec), (InstanceState::Deleted, spec));
    assert_eq!(holder(&state, "shop.example.com").await, None);
}

async fn tombstones_are_forgotten_in_time(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let mut operations = Vec::new();
    for (id, removed_at) in [("old", now + 1), ("older", now), ("recent", now + 50)] {
        let spec = sample::spec("shop", &["shop.example.com"]);
        publish(&state, id, &spec, now - 100).await;
        remove(&state, id, removed_at).await;
        operations.extend(state.operations(&sample::instance_id(id), 10).await.unwrap());
    }
    publish(&state, "lives", &sample::spec("shop", &["shop.example.com"]), now - 100).await;
    let before = get(&state, "recent").await.updated_at;
    assert_eq!(state.forget(before).await, Ok(2));
    assert_eq!(state.forget(before).await, Ok(0));
    for operation in operations {
        let kept = operation.instance.as_str() == "recent";
        assert_eq!(state.operation(&operation.id).await.unwrap().is_some(), kept);
        assert_eq!(state.instance(&operation.instance).await.unwrap().is_some(), kept);
    }
    assert_eq!(get(&state, "lives").await.state, InstanceState::Ready);
}

async fn a_tombstone_still_worked_on_is_kept(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let spec = sample::spec("shop", &["shop.example.com"]);
    publish(&state, "one", &spec, now).await;
    let begun = begin(&state, OperationKind::Deprovision, "one", &spec, now).await;
    let gone = vec![Write::Unpublish, Write::State(InstanceState::Deleted)];
    state.save(sample::save(&begun.1, &begun.0, gone, now)).await.unwrap();
    assert_eq!(state.forget(i64::MAX).await, Ok(0));
    finish(&state, &begun, vec![], now).await;
    assert_eq!(state.forget(i64::MAX).await, Ok(1));
}

async fn a_reopened_state_is_the_same(subject: Arc<dyn Subject>) {
    let now = subject.now();
    let state = subject.open().await;
    let epoch = state.epoch().await.unwrap();
    let spec = sample::spec("shop", &["shop.example.com"]);
    let revision = publish(&state, "one", &spec, now).await;
    let (mut operation, fence) = begin(&state, OperationKind::Update, "one", &spec, now + 1).await;
    operation.steps.push(StepRecord {
        state: StepState::Running,
        attempts: 1,
        next_at: Some(now + 5),
        started_at: Some(now + 1),
        note: Some("100 % \"quoted\" \\ \u{0} é".to_owned()),
        ..StepRecord::new("claim hostnames", "Claiming hostnames")
    });
    state.save(sample::save(&fence, &operation, vec![], now + 1)).await.unwrap();
    let instance = get(&state, "one").await;
    let feed = state.changes(None, 10).await.unwrap();
    drop(state);

    let state = subject.open().await;
    assert_eq!(state.epoch().await, Ok(epoch));
    assert_eq!(get(&state, "one").await, instance);
    assert_eq!(state.operation(&operation.id).await, Ok(Some(operation.clone())));
    assert_eq!(state.depth(now + 1).await, Ok((1, 0)));
    assert_eq!(holder(&state, "shop.example.com").await.as_deref(), Some("one"));
    assert_eq!(state.changes(None, 10).await.unwrap().changes, feed.changes);
    let rest = state.changes(Some(feed.cursor), 10).await.unwrap();
    assert_eq!((rest.changes.len(), rest.reset), (0, false));
    let next = finish(&state, &(operation, fence), vec![Write::Publish(spec)], now + 2).await;
    assert!(next > Some(revision), "the lease still holds, and revisions go on");
}

async fn writes_are_done_in_their_order(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let spec = sample::spec("shop", &["shop.example.com"]);
    let begun = begin(&state, OperationKind::Provision, "one", &spec, now).await;
    let writes = vec![
        Write::Publish(spec.clone()),
        Write::State(InstanceState::Deprovisioning),
        Write::Unpublish,
        Write::Publish(spec.clone()),
        Write::State(InstanceState::Failed),
    ];
    let revision = finish(&state, &begun, writes, now).await;
    let instance = get(&state, "one").await;
    assert_eq!((instance.state, instance.revision), (InstanceState::Failed, revision));
    let feed = state.changes(None, 10).await.unwrap().changes;
    let told: Vec<_> = feed.into_iter().map(|it| (Some(it.revision), it.spec)).collect();
    assert_eq!(told, [(revision, Some(spec))]);
}

async fn what_is_too_large_harms_nobody_else(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let huge = "x".repeat(crate::DOCUMENT_BYTES_MAX);
    let mut racing = tokio::task::JoinSet::new();
    for index in 0..12 {
        let id = format!("i{index}");
        let spec = sample::spec("shop", &[&format!("{id}.example.com")]);
        let mut wish = sample::accept(OperationKind::Provision, &id, &spec, now);
        match index % 4 {
            0 => wish.instance.platform_context = serde_json::json!({ "padding": huge }),
            1 => wish.operation.notice = Some(huge.clone()),
            _ => {}
        }
        let state = Arc::clone(&state);
        racing.spawn(async move { (id, index % 4 < 2, state.accept(wish, None).await) });
    }
    for (id, huge, answer) in racing.join_all().await {
        assert_eq!(matches!(answer, Err(StoreError::TooLarge(_))), huge, "{id}: {answer:?}");
        let written = state.instance(&sample::instance_id(&id)).await.unwrap();
        assert_eq!(written.is_none(), huge, "{id}");
        let held = holder(&state, &format!("{id}.example.com")).await;
        assert_eq!(held.is_none(), huge, "{id}");
    }
    assert_eq!(state.depth(now).await, Ok((6, 0)));
}

async fn a_save_refused_for_its_size_leaves_nothing(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let spec = sample::spec("shop", &["shop.example.com"]);
    let begun = begin(&state, OperationKind::Provision, "one", &spec, now).await;
    let before = get(&state, "one").await;
    let writes =
        vec![Write::Publish(spec.clone()), Write::ReleaseAll, Write::State(InstanceState::Failed)];
    let mut save = sample::finish(&begun.1, &begun.0, writes, now);
    save.operation.notice = Some("x".repeat(crate::DOCUMENT_BYTES_MAX));
    assert!(matches!(state.save(save).await, Err(StoreError::TooLarge(_))));
    assert_eq!(get(&state, "one").await, before);
    assert_eq!(holder(&state, "shop.example.com").await.as_deref(), Some("one"));
    assert!(state.changes(None, 10).await.unwrap().changes.is_empty());
    assert!(finish(&state, &begun, vec![Write::Publish(spec)], now).await.is_some());
}

async fn a_long_history_is_cut(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let spec = sample::spec("shop", &["shop.example.com"]);
    for round in 0..130 {
        publish(&state, "one", &spec, now + round).await;
    }
    let history = state.operations(&sample::instance_id("one"), 1_000).await.unwrap();
    assert!((50..130).contains(&history.len()), "{} operations are kept", history.len());
    assert_eq!(history.first().map(|operation| operation.created_at), Some(now + 129));
}
