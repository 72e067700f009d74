//! Blobs: written whole, listed by prefix, within limits.

use std::sync::Arc;

use super::{Case, Subject, cases};
use crate::{BLOB_BYTES_MAX, BLOB_KEY_BYTES_MAX, StoreError};

pub(super) const CASES: &[Case] =
    cases![what_is_put_is_got, prefixes_are_not_patterns, beyond_the_limits_is_refused];

async fn what_is_put_is_got(subject: Arc<dyn Subject>) {
    let state = subject.open().await;
    assert_eq!(state.get("a/b").await, Ok(None));
    let every_byte: Vec<u8> = (0..=255).collect();
    assert_eq!(state.put("a/b", &every_byte).await, Ok(()));
    assert_eq!(state.put("empty", b"").await, Ok(()));
    drop(state);
    let state = subject.open().await;
    assert_eq!(state.get("a/b").await, Ok(Some(every_byte)));
    assert_eq!(state.get("empty").await, Ok(Some(Vec::new())));
    assert_eq!(state.put("a/b", b"next").await, Ok(()));
    assert_eq!(state.get("a/b").await, Ok(Some(b"next".to_vec())));
    assert_eq!(state.delete("a/b").await, Ok(()));
    assert_eq!(state.delete("a/b").await, Ok(()), "gone is gone");
    assert_eq!(state.get("a/b").await, Ok(None));
}

async fn prefixes_are_not_patterns(subject: Arc<dyn Subject>) {
    let state = subject.open().await;
    for key in ["a", "a/1", "a/2", "a_1", "a%1", "A/1", "b", "a*", "é/1", "é/2"] {
        state.put(key, b"x").await.unwrap();
    }
    for (prefix, expected) in [
        ("a/", &["a/1", "a/2"][..]),
        ("a_", &["a_1"]),
        ("a%", &["a%1"]),
        ("a*", &["a*"]),
        ("é/", &["é/1", "é/2"]),
        ("none", &[]),
        ("", &["A/1", "a", "a%1", "a*", "a/1", "a/2", "a_1", "b", "é/1", "é/2"]),
    ] {
        assert_eq!(state.list(prefix).await.unwrap(), expected, "{prefix:?}");
    }
}

async fn beyond_the_limits_is_refused(subject: Arc<dyn Subject>) {
    let state = subject.open().await;
    let largest = vec![7; BLOB_BYTES_MAX];
    let longest = "k".repeat(BLOB_KEY_BYTES_MAX);
    assert_eq!(state.put(&longest, &largest).await, Ok(()));
    assert_eq!(
        state.get(&longest).await.map(|blob| blob.map(|it| it.len())),
        Ok(Some(BLOB_BYTES_MAX))
    );
    let refused = |result| matches!(result, Err(StoreError::TooLarge(_)));
    assert!(refused(state.put("k", &vec![7; BLOB_BYTES_MAX + 1]).await));
    assert!(refused(state.put(&"k".repeat(BLOB_KEY_BYTES_MAX + 1), b"").await));
    assert!(refused(state.put("", b"").await));
    assert_eq!(state.get("k").await, Ok(None));
}
