//! The audit log: what is written of operations, its filters, and its chain.

use std::sync::Arc;

use model::{AuditEntry, InstanceState, OperationKind, OperationState, Owner};
use serde_json::json;

use super::act::{accept, accepted, begin, finish, publish, remove};
use super::{Case, State, Subject, cases, sample};
use crate::chain::Check;
use crate::{Accepted, AuditFilter, AuditHead, AuditRecord, Save, Write};

pub(super) const CASES: &[Case] = cases![
    what_is_accepted_and_how_it_ends_is_told,
    what_is_refused_is_not_told,
    the_owner_told_is_the_one_stored,
    filters_of_the_log_agree,
    pages_of_the_log_are_whole,
    the_chain_holds_after_reopening,
    what_changes_nothing_else_is_told_too,
];

/// All that was written, in its order.
async fn all(state: &Arc<dyn State>) -> Vec<AuditRecord> {
    let filter = AuditFilter { limit: 1_000, ..AuditFilter::default() };
    let page = state.entries(filter).await.unwrap();
    assert_eq!(page.next, None);
    page.records
}

fn told(records: &[AuditRecord]) -> Vec<(u64, String, String)> {
    let line = |record: &AuditRecord| {
        let AuditEntry { action, object, .. } = record.entry().unwrap();
        (record.seq, action, object)
    };
    records.iter().map(line).collect()
}

async fn what_is_accepted_and_how_it_ends_is_told(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let spec = sample::spec("shop", &["a.example.com", "b.example.com"]);
    let first = begin(&state, OperationKind::Provision, "one", &spec, now).await;
    finish(&state, &first, vec![Write::Publish(spec.clone())], now + 1).await;
    let next = sample::spec("shop", &["b.example.com", "c.example.com"]);
    let mut wish = sample::accept(OperationKind::Update, "one", &next, now + 2);
    wish.operation.previous = Some(spec);
    wish.operation.requested_by.credential = "ci".to_owned();
    let mut operation = wish.operation.clone();
    accepted(&state, wish).await;
    let fence = state.lease(now + 2, super::act::LEASE).await.unwrap().expect("ready").fence;
    operation.state = OperationState::Failed;
    operation.error = Some("the cloud said no".to_owned());
    state
        .save(Save { fence, operation: operation.clone(), writes: vec![], now: now + 3 })
        .await
        .unwrap();
    remove(&state, "one", now + 4).await;

    let records = all(&state).await;
    let expected = [
        "instance.provision",
        "operation.succeeded",
        "instance.update",
        "operation.failed",
        "instance.deprovision",
        "operation.succeeded",
    ];
    let expected: Vec<_> = (1..)
        .zip(expected)
        .map(|(seq, action)| (seq, action.to_owned(), "one".to_owned()))
        .collect();
    assert_eq!(told(&records), expected);
    assert_eq!((records[0].at, records[1].at, records[3].at), (now, now + 1, now + 3));
    let update = records[2].entry().unwrap();
    let owner = Owner { organization: "acme".to_owned(), space: "web".to_owned() };
    assert_eq!((update.by, update.owner), (operation.requested_by, Some(owner)));
    let detail = update.detail;
    assert_eq!(detail["operation"], json!(operation.id));
    assert_eq!(detail["changed"], json!(["hostnames"]));
    assert_eq!(detail["hostnames_added"], json!(["c.example.com"]));
    assert_eq!(detail["hostnames_removed"], json!(["a.example.com"]));
    let failed = records[3].entry().unwrap().detail;
    assert_eq!(failed, json!({"operation": operation.id, "error": "the cloud said no"}));
    let ended = records[1].entry().unwrap().detail;
    assert_eq!(ended, json!({"operation": first.0.id, "revision": 1}));
}

async fn what_is_refused_is_not_told(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let spec = sample::spec("shop", &["shop.example.com"]);
    publish(&state, "one", &spec, now).await;
    let before = state.head().await.unwrap();
    let taken = sample::accept(OperationKind::Provision, "two", &spec, now);
    assert!(matches!(accept(&state, taken).await, Accepted::No(_)));
    let mut huge = sample::accept(OperationKind::Update, "one", &spec, now);
    huge.operation.notice = Some("x".repeat(crate::DOCUMENT_BYTES_MAX));
    let known = state.instance(&sample::instance_id("one")).await.unwrap().unwrap().updated_at;
    assert!(state.accept(huge, Some(known)).await.is_err());
    let begun = begin(&state, OperationKind::Update, "one", &spec, now).await;
    let accepted = state.head().await.unwrap();
    assert_eq!(accepted.seq, before.seq + 1);
    let stale = crate::Fence { number: begun.1.number + 1, ..begun.1.clone() };
    assert!(state.save(sample::finish(&stale, &begun.0, vec![], now)).await.is_err());
    state.save(sample::save(&begun.1, &begun.0, vec![], now)).await.unwrap();
    assert_eq!(state.head().await.unwrap(), accepted);
}

async fn the_owner_told_is_the_one_stored(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let spec = sample::spec("shop", &["shop.example.com"]);
    publish(&state, "one", &spec, now).await;
    let mut wish = sample::accept(OperationKind::Update, "one", &spec, now);
    wish.instance.owner.space = "others".to_owned();
    wish.instance.state = InstanceState::Ready;
    accepted(&state, wish).await;
    let last = all(&state).await.pop().unwrap().entry().unwrap();
    assert_eq!(last.owner.map(|owner| owner.space).as_deref(), Some("web"));
}

/// Instances of teams: two entries each, by turns.
async fn teams(state: &Arc<dyn State>, now: i64, count: i64) {
    for index in 0..count {
        let (id, team) = (format!("i{index}"), ["web", "ops", "pay"][index as usize % 3]);
        let spec = sample::spec("shop", &[&format!("{id}.example.com")]);
        let mut wish = sample::accept(OperationKind::Provision, &id, &spec, now + index * 10);
        wish.instance.owner.space = team.to_owned();
        wish.operation.requested_by.credential = format!("ci-{team}");
        let operation = wish.operation.clone();
        accepted(state, wish).await;
        let at = now + index * 10 + 5;
        let fence = state.lease(at, super::act::LEASE).await.unwrap().expect("ready").fence;
        state.save(sample::finish(&fence, &operation, vec![], at)).await.unwrap();
    }
}

fn owners(teams: &[&str]) -> Option<Vec<Owner>> {
    let owner = |team: &&str| Owner { organization: "acme".to_owned(), space: (*team).to_owned() };
    Some(teams.iter().map(owner).collect())
}

async fn filters_of_the_log_agree(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    teams(&state, now, 6).await;
    let all = AuditFilter { limit: 100, ..AuditFilter::default() };
    let some = |text: &str| Some(text.to_owned());
    for (what, filter, expected) in [
        ("all", all.clone(), (1..=12).collect::<Vec<u64>>()),
        ("object", AuditFilter { object: some("i1"), ..all.clone() }, vec![3, 4]),
        ("team", AuditFilter { owners: owners(&["pay"]), ..all.clone() }, vec![5, 6, 11, 12]),
        (
            "teams",
            AuditFilter { owners: owners(&["pay", "web", "pay"]), ..all.clone() },
            vec![1, 2, 5, 6, 7, 8, 11, 12],
        ),
        ("no team", AuditFilter { owners: owners(&[]), ..all.clone() }, vec![]),
        (
            "credential",
            AuditFilter { credential: some("ci-ops"), ..all.clone() },
            vec![3, 4, 9, 10],
        ),
        (
            "action",
            AuditFilter { action: some("operation.succeeded"), ..all.clone() },
            vec![2, 4, 6, 8, 10, 12],
        ),
        ("since", AuditFilter { since: Some(now + 45), ..all.clone() }, vec![10, 11, 12]),
        ("until", AuditFilter { until: Some(now + 15), ..all.clone() }, vec![1, 2, 3]),
        ("never", AuditFilter { since: Some(now + 56), ..all.clone() }, vec![]),
        ("before all", AuditFilter { until: Some(now), ..all.clone() }, vec![]),
        ("beyond", AuditFilter { beyond: Some(10), ..all.clone() }, vec![11, 12]),
        (
            "of another's",
            AuditFilter { object: some("i1"), owners: owners(&["web"]), ..all.clone() },
            vec![],
        ),
        (
            "together",
            AuditFilter {
                owners: owners(&["web"]),
                action: some("instance.provision"),
                since: Some(now + 1),
                ..all.clone()
            },
            vec![7],
        ),
    ] {
        let places =
            |page: crate::AuditPage| page.records.iter().map(|it| it.seq).collect::<Vec<_>>();
        let found = state.entries(filter.clone()).await.unwrap();
        assert_eq!((places(found), what), (expected.clone(), what));
        if filter.beyond.is_none() {
            let found = state.entries(AuditFilter { latest_first: true, ..filter }).await.unwrap();
            assert_eq!(places(found), expected.into_iter().rev().collect::<Vec<_>>(), "{what}");
        }
    }
}

async fn pages_of_the_log_are_whole(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    teams(&state, now, 9).await;
    for owners in [None, owners(&["web", "ops"])] {
        for latest_first in [false, true] {
            let filter =
                AuditFilter { owners: owners.clone(), latest_first, ..AuditFilter::default() };
            let whole = state.entries(AuditFilter { limit: 100, ..filter.clone() }).await.unwrap();
            for limit in [1, 5, 6] {
                let (mut beyond, mut read) = (None, Vec::new());
                loop {
                    let page = AuditFilter { beyond, limit, ..filter.clone() };
                    let page = state.entries(page).await.unwrap();
                    assert!(page.records.len() <= limit);
                    read.extend(page.records);
                    beyond = page.next;
                    if beyond.is_none() {
                        break;
                    }
                }
                assert_eq!(read, whole.records);
            }
        }
    }
}

async fn the_chain_holds_after_reopening(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    assert_eq!(state.head().await.unwrap(), AuditHead::default());
    let spec = sample::spec("shop", &["shop.example.com"]);
    publish(&state, "one", &spec, now).await;
    let told = state.head().await.unwrap();
    drop(state);
    let state = subject.open().await;
    assert_eq!(state.head().await.unwrap(), told);
    publish(&state, "one", &spec, now + 1).await;
    let mut check = Check::new(vec![told]);
    for record in all(&state).await {
        check.next(&record).unwrap();
    }
    assert_eq!(check.end(), Ok(state.head().await.unwrap()));
}

async fn what_changes_nothing_else_is_told_too(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let spec = sample::spec("shop", &["shop.example.com"]);
    let entry = AuditEntry {
        by: sample::operation(OperationKind::Provision, "one", &spec, now).requested_by,
        action: "platform.backup".to_owned(),
        object: "platform".to_owned(),
        owner: None,
        detail: json!({"to": "\u{0} % \\ é"}),
    };
    state.append(now, entry.clone()).await.unwrap();
    let found = all(&state).await.pop().unwrap();
    assert_eq!((found.at, found.entry()), (now, Ok(entry.clone())));
    let huge = json!({"padding": "x".repeat(crate::AUDIT_DETAIL_BYTES_MAX)});
    let refused = state.append(now, AuditEntry { detail: huge, ..entry }).await;
    assert!(matches!(refused, Err(crate::StoreError::TooLarge(_))), "{refused:?}");
    assert_eq!(state.head().await.unwrap().seq, 1);
}
