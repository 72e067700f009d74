//! Leases by name: one holder at a time, and none writes after another has begun.

use std::sync::Arc;
use std::time::Duration;

use super::{Case, Subject, cases};
use crate::{BlobWrite, Holding, LEASE_NAME_BYTES_MAX, StoreError};

pub(super) const CASES: &[Case] = cases![
    one_holds_until_the_end,
    what_is_given_back_is_free,
    who_was_superseded_writes_nothing,
    writes_are_all_or_none,
    a_swap_is_of_what_was_seen,
    names_have_limits,
];

const LEASE: Duration = Duration::from_secs(10);

fn held(name: &str, number: u64) -> Holding {
    Holding { name: name.to_owned(), number }
}

fn put(key: &str, value: &str) -> BlobWrite {
    BlobWrite::Put(key.to_owned(), value.into())
}

async fn one_holds_until_the_end(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    assert_eq!(state.hold("poll", "a", now, LEASE).await, Ok(Some(held("poll", 1))));
    assert_eq!(state.hold("poll", "b", now + 9_999, LEASE).await, Ok(None));
    assert_eq!(state.hold("other", "b", now, LEASE).await, Ok(Some(held("other", 1))));
    assert_eq!(state.hold("poll", "a", now + 9_999, LEASE).await, Ok(Some(held("poll", 1))));
    assert_eq!(state.hold("poll", "b", now + 10_000, LEASE).await, Ok(None), "it was extended");
    assert_eq!(state.hold("poll", "b", now + 19_999, LEASE).await, Ok(Some(held("poll", 2))));
    assert_eq!(state.hold("poll", "a", now + 20_000, LEASE).await, Ok(None));
    // Nobody else came in between: what it writes is as good as before.
    assert_eq!(state.hold("poll", "b", now + 90_000, LEASE).await, Ok(Some(held("poll", 2))));
}

async fn what_is_given_back_is_free(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let first = state.hold("poll", "a", now, LEASE).await.unwrap().unwrap();
    assert_eq!(state.let_go(&first).await, Ok(()));
    let second = state.hold("poll", "b", now, LEASE).await.unwrap();
    assert_eq!(second, Some(held("poll", 2)));
    assert_eq!(state.let_go(&first).await, Ok(()), "it is another's");
    assert_eq!(state.hold("poll", "a", now, LEASE).await, Ok(None));
    assert_eq!(state.let_go(&held("nobody's", 1)).await, Ok(()));
}

async fn who_was_superseded_writes_nothing(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let nobodys = state.write_held(&held("poll", 1), vec![put("k", "0")]).await;
    assert_eq!(nobodys, Err(StoreError::Fenced));
    let first = state.hold("poll", "a", now, LEASE).await.unwrap().unwrap();
    assert_eq!(state.write_held(&first, vec![put("k", "1")]).await, Ok(()));
    let second = state.hold("poll", "b", now + 10_000, LEASE).await.unwrap().unwrap();
    let late = vec![put("k", "2"), BlobWrite::Delete("k".to_owned())];
    assert_eq!(state.write_held(&first, late).await, Err(StoreError::Fenced));
    assert_eq!(state.get("k").await, Ok(Some(b"1".to_vec())));
    assert_eq!(state.write_held(&second, vec![put("k", "3")]).await, Ok(()));
    drop(state);
    let state = subject.open().await;
    assert_eq!(state.write_held(&first, vec![put("k", "4")]).await, Err(StoreError::Fenced));
    assert_eq!(state.get("k").await, Ok(Some(b"3".to_vec())));
}

async fn writes_are_all_or_none(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let lease = state.hold("poll", "a", now, LEASE).await.unwrap().unwrap();
    state.write_held(&lease, vec![put("a", "1"), put("b", "1")]).await.unwrap();
    let writes = vec![BlobWrite::Delete("a".to_owned()), put("b", "2"), put("", "no key")];
    assert!(matches!(state.write_held(&lease, writes).await, Err(StoreError::TooLarge(_))));
    assert_eq!(state.get("a").await, Ok(Some(b"1".to_vec())));
    state.write_held(&lease, vec![BlobWrite::Delete("a".to_owned()), put("b", "2")]).await.unwrap();
    assert_eq!(state.list("").await, Ok(vec!["b".to_owned()]));
}

async fn a_swap_is_of_what_was_seen(subject: Arc<dyn Subject>) {
    let state = subject.open().await;
    assert_eq!(state.swap("k", b"", b"new").await, Ok(false));
    state.put("k", b"one").await.unwrap();
    assert_eq!(state.swap("k", b"on", b"two").await, Ok(false));
    assert_eq!(state.get("k").await, Ok(Some(b"one".to_vec())));
    assert_eq!(state.swap("k", b"one", b"two").await, Ok(true));
    assert_eq!(state.get("k").await, Ok(Some(b"two".to_vec())));
}

async fn names_have_limits(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let long = "n".repeat(LEASE_NAME_BYTES_MAX);
    assert_eq!(state.hold(&long, &long, now, LEASE).await, Ok(Some(held(&long, 1))));
    for (name, holder) in [("", "a"), ("a", ""), (&*format!("{long}n"), "a")] {
        let refused = state.hold(name, holder, now, LEASE).await;
        assert!(matches!(refused, Err(StoreError::TooLarge(_))), "{name:?} {holder:?}");
    }
}
