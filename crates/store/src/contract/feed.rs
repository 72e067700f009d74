//! The change feed: in order, whole, and at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::{InstanceId, OperationKind};

use super::act::{LEASE, begin, finish, publish, remove};
use super::{Case, PATIENCE, State, Subject, cases, sample, soon};
use crate::{Change, Changes, Cursor, Write};

pub(super) const CASES: &[Case] = cases![
    it_never_skips_under_concurrent_writers,
    each_instance_is_told_once_at_its_latest,
    pages_follow_one_another,
    the_last_good_spec_is_kept,
    an_unpublished_instance_has_nothing_good,
    a_publish_wakes_who_waits,
    old_news_do_not_wait,
    silence_ends_with_the_timeout,
    who_missed_a_tombstone_starts_over,
    who_was_there_does_not_start_over,
    a_foreign_cursor_starts_over,
];

async fn page(state: &Arc<dyn State>, cursor: Option<&Cursor>, limit: usize) -> Changes {
    state.changes(cursor.cloned(), limit).await.unwrap()
}

/// What a reader knows who follows the feed until nothing is left of it.
async fn follow(state: &Arc<dyn State>, cursor: &mut Option<Cursor>, limit: usize) -> Vec<Change> {
    let mut seen = Vec::new();
    loop {
        let page = page(state, cursor.as_ref(), limit).await;
        assert!(page.changes.len() <= limit);
        seen.extend(page.changes);
        *cursor = Some(page.cursor);
        if !page.more {
            return seen;
        }
    }
}

const WRITERS: usize = 8;
const PUBLISHES: usize = 12;

/// Leases whatever is ready and publishes it, until nothing is.
async fn work(state: Arc<dyn State>, now: i64) {
    while let Some(lease) = state.lease(now, LEASE).await.unwrap() {
        let id = &lease.job.operation_id;
        let operation = state.operation(id).await.unwrap().expect("every job has one");
        let target = operation.target.clone().expect("not a deprovision");
        let publish = vec![Write::Publish(target)];
        state.save(sample::finish(&lease.fence, &operation, publish, now)).await.unwrap();
    }
}

async fn write_all(state: Arc<dyn State>, writer: usize, now: i64) {
    let id = format!("w{writer}");
    for round in 0..PUBLISHES {
        let name = format!("{id}-{round}.example.com");
        let spec = sample::spec("shop", &[&name]);
        let kind = if round == 0 { OperationKind::Provision } else { OperationKind::Update };
        super::act::accepted(&state, sample::accept(kind, &id, &spec, now)).await;
        // Another writer's task may have taken the job: wait until it has ended, by working.
        loop {
            work(Arc::clone(&state), now).await;
            let last = state.operations(&sample::instance_id(&id), 1).await.unwrap();
            if last.first().is_some_and(|operation| operation.revision.is_some()) {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
}

async fn it_never_skips_under_concurrent_writers(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        writers.spawn(write_all(Arc::clone(&state), writer, now + writer as i64));
    }
    let end = (WRITERS * PUBLISHES) as u64;
    let mut cursor = None;
    let mut last = 0;
    let mut known: BTreeMap<InstanceId, Change> = BTreeMap::new();
    soon("the last revision", async {
        while last < end {
            for change in follow(&state, &mut cursor, 3).await {
                assert!(change.revision > last, "{} after {last}", change.revision);
                last = change.revision;
                known.insert(change.instance.clone(), change);
            }
            if last < end {
                state.changed(cursor.as_ref().expect("a page was read"), PATIENCE).await;
            }
        }
    })
    .await;
    writers.join_all().await;
    let truth = follow(&state, &mut None, 1_000).await;
    assert_eq!(truth.len(), WRITERS);
    for change in &truth {
        assert_eq!(known.get(&change.instance), Some(change));
    }
    assert_eq!(truth.last().map(|change| change.revision), Some(end), "revisions have no gaps");
}

async fn each_instance_is_told_once_at_its_latest(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let spec = |id: &str, round: i64| sample::spec(id, &[&format!("{id}{round}.example.com")]);
    for round in 0..3 {
        for id in ["a", "b"] {
            publish(&state, id, &spec(id, round), now + round).await;
        }
    }
    remove(&state, "a", now + 9).await;
    let told = page(&state, None, 10).await;
    let told: Vec<_> =
        told.changes.into_iter().map(|it| (String::from(it.instance), it.spec)).collect();
    assert_eq!(told, [("b".to_owned(), Some(spec("b", 2))), ("a".to_owned(), None)]);
}

async fn pages_follow_one_another(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let empty = page(&state, None, 10).await;
    assert!(empty.changes.is_empty() && !empty.more && empty.reset);
    let mut revisions = Vec::new();
    for index in 0..5 {
        let spec = sample::spec("shop", &[&format!("{index}.example.com")]);
        revisions.push(publish(&state, &format!("i{index}"), &spec, now).await);
    }
    let mut cursor = empty.cursor;
    let mut told = Vec::new();
    for (length, more) in [(2, true), (2, true), (1, false), (0, false)] {
        let page = page(&state, Some(&cursor), 2).await;
        assert_eq!((page.changes.len(), page.more, page.reset), (length, more, false));
        told.extend(page.changes.into_iter().map(|change| change.revision));
        cursor = page.cursor;
    }
    assert_eq!(told, revisions);
    let whole = page(&state, None, 5).await;
    assert_eq!((whole.changes.len(), whole.more, whole.reset), (5, false, true));
}

async fn the_last_good_spec_is_kept(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let specs: Vec<_> =
        (0..5).map(|n| sample::spec("shop", &[&format!("{n}.example.com")])).collect();
    let good = async || page(&state, None, 1).await.changes.remove(0).good;
    let put = async |n: usize, and_good: bool| {
        let kind = if n == 0 { OperationKind::Provision } else { OperationKind::Update };
        let begun = begin(&state, kind, "one", &specs[n], now).await;
        let publish = vec![Write::Publish(specs[n].clone())];
        let save = sample::save(&begun.1, &begun.0, publish, now);
        let revision = state.save(save).await.unwrap().expect("published");
        let writes = if and_good { vec![Write::MarkGood(revision)] } else { vec![] };
        finish(&state, &begun, writes, now).await;
        revision
    };
    put(0, false).await;
    assert_eq!(good().await, None, "none was good yet");
    let first = put(1, true).await;
    assert_eq!(good().await, None, "it is good itself");
    put(2, false).await;
    assert_eq!(good().await, Some((first, specs[1].clone())));
    let third = put(3, false).await;
    assert_eq!(good().await, Some((first, specs[1].clone())), "the last that was good");

    let begun = begin(&state, OperationKind::Update, "one", &specs[4], now).await;
    let late = vec![Write::Publish(specs[4].clone()), Write::MarkGood(third)];
    finish(&state, &begun, late, now).await;
    assert_eq!(good().await, Some((first, specs[1].clone())), "late news of another revision");
}

async fn an_unpublished_instance_has_nothing_good(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let spec = sample::spec("shop", &["shop.example.com"]);
    let begun = begin(&state, OperationKind::Provision, "one", &spec, now).await;
    let publish_it = vec![Write::Publish(spec.clone())];
    let save = sample::save(&begun.1, &begun.0, publish_it, now);
    let revision = state.save(save).await.unwrap().expect("published");
    finish(&state, &begun, vec![Write::MarkGood(revision)], now).await;
    remove(&state, "one", now + 1).await;
    let gone = page(&state, None, 1).await.changes.remove(0);
    assert_eq!((gone.spec, gone.good), (None, None));
    publish(&state, "one", &spec, now + 2).await;
    let back = page(&state, None, 1).await.changes.remove(0);
    assert_eq!((back.spec, back.good), (Some(spec), None));
}

async fn a_publish_wakes_who_waits(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let cursor = page(&state, None, 1).await.cursor;
    let waiting = tokio::spawn({
        let (state, cursor) = (Arc::clone(&state), cursor.clone());
        async move {
            state.changed(&cursor, PATIENCE * 10).await;
            page(&state, Some(&cursor), 1).await
        }
    });
    tokio::task::yield_now().await;
    let revision = publish(&state, "one", &sample::spec("shop", &["a.example.com"]), now).await;
    let page = soon("the wake-up", waiting).await.unwrap();
    assert_eq!(page.changes.first().map(|change| change.revision), Some(revision));
}

async fn old_news_do_not_wait(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let cursor = page(&state, None, 1).await.cursor;
    publish(&state, "one", &sample::spec("shop", &["a.example.com"]), now).await;
    soon("old news", state.changed(&cursor, PATIENCE * 10)).await;
}

async fn silence_ends_with_the_timeout(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    publish(&state, "one", &sample::spec("shop", &["a.example.com"]), now).await;
    remove(&state, "one", now + 1).await;
    assert_eq!(state.forget(i64::MAX).await, Ok(1));
    let cursor = page(&state, None, 1).await.cursor;
    // The head of the feed was forgotten: there is nothing to read, and so nothing to wake up for.
    let news = state.changed(&cursor, PATIENCE * 10);
    let woken = tokio::time::timeout(Duration::from_millis(50), news).await;
    assert!(woken.is_err(), "woken for nothing");
    soon("the timeout", state.changed(&cursor, Duration::from_millis(1))).await;
}

async fn who_missed_a_tombstone_starts_over(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    for id in ["a", "b", "c"] {
        publish(&state, id, &sample::spec(id, &[&format!("{id}.example.com")]), now).await;
    }
    let knows_b = page(&state, None, 10).await.cursor;
    remove(&state, "b", now + 1).await;
    publish(&state, "a", &sample::spec("a", &["a.example.com"]), now + 2).await;
    assert_eq!(state.forget(i64::MAX).await, Ok(1));

    let mut told = Vec::new();
    let first = page(&state, Some(&knows_b), 1).await;
    assert!(first.reset && first.more);
    told.extend(first.changes);
    let second = page(&state, Some(&first.cursor), 1).await;
    assert!(!second.reset && !second.more, "starting over ends");
    told.extend(second.changes);
    let told: Vec<_> = told.iter().map(|change| change.instance.as_str()).collect();
    assert_eq!(told, ["c", "a"]);
}

async fn who_was_there_does_not_start_over(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    publish(&state, "a", &sample::spec("a", &["a.example.com"]), now).await;
    remove(&state, "a", now + 1).await;
    let cursor = page(&state, None, 10).await.cursor;
    publish(&state, "b", &sample::spec("b", &["b.example.com"]), now + 2).await;
    assert_eq!(state.forget(i64::MAX).await, Ok(1));
    let next = page(&state, Some(&cursor), 10).await;
    assert_eq!((next.reset, next.changes.len()), (false, 1));
}

async fn a_foreign_cursor_starts_over(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    publish(&state, "a", &sample::spec("a", &["a.example.com"]), now).await;
    for text in ["", "nonsense", "1.2", "9.9.9.9", "-1.0.0", "999999999.0.0", "1.999999999.0"] {
        let cursor = Cursor(text.to_owned());
        soon(text, state.changed(&cursor, PATIENCE * 10)).await;
        let page = page(&state, Some(&cursor), 10).await;
        assert_eq!((page.reset, page.changes.len()), (true, 1), "{text}");
    }
}
