//! Codes are taken once; sessions end in time, by hand, and with the credential of whose they are.

use std::sync::Arc;

use model::{Millis, Principal, Role};

use super::credentials::{create, entry, hash, id, sample};
use super::{Case, Subject, cases};
use crate::{CODE_MILLIS_MAX, SESSION_MILLIS_MAX, SESSIONS_OF_ONE_MAX};

pub(super) const CASES: &[Case] = cases![
    a_code_is_taken_once,
    of_many_who_take_one_gets_it,
    a_session_lasts_until_it_ends,
    with_the_credential_ends_the_session,
    nobody_has_too_many,
];

fn operator(name: &str) -> Principal {
    Principal { credential: name.to_owned(), role: Role::Operator }
}

async fn a_code_is_taken_once(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let ann = operator("ann");
    for (code, until) in [(1, now + 10), (2, now + 10), (3, Millis::MAX)] {
        assert_eq!(state.create_code(hash(code), ann.clone(), now, until).await, Ok(()));
    }
    drop(state);
    let state = subject.open().await;
    assert_eq!(state.session(&hash(1), now).await, Ok(None), "a code is no session");
    assert_eq!(state.take_code(&hash(1), now + 9).await, Ok(Some(ann)));
    assert_eq!(state.take_code(&hash(1), now + 9).await, Ok(None));
    assert_eq!(state.take_code(&hash(2), now + 10).await, Ok(None), "it came too late");
    assert_eq!(state.take_code(&hash(3), now + CODE_MILLIS_MAX).await, Ok(None), "at the longest");
    assert_eq!(state.take_code(&hash(9), now).await, Ok(None));
}

async fn of_many_who_take_one_gets_it(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    state.create_code(hash(1), operator("ann"), now, now + 10).await.unwrap();
    let mut racing = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let state = Arc::clone(&state);
        racing.spawn(async move { state.take_code(&hash(1), now).await.unwrap().is_some() });
    }
    let winners = racing.join_all().await.into_iter().filter(|won| *won).count();
    assert_eq!(winners, 1);
}

async fn a_session_lasts_until_it_ends(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let ann = operator("ann");
    for (session, until) in [(1, now + 10), (2, Millis::MAX)] {
        state.create_session(hash(session), ann.clone(), now, until).await.unwrap();
    }
    drop(state);
    let state = subject.open().await;
    for (at, good) in [(now, true), (now + 9, true), (now + 10, false)] {
        let found = state.session(&hash(1), at).await.unwrap();
        assert_eq!(found.is_some(), good, "{}", at - now);
    }
    assert_eq!(state.take_code(&hash(1), now).await, Ok(None), "a session is no code");
    let last = now + SESSION_MILLIS_MAX;
    assert_eq!(state.session(&hash(2), last - 1).await, Ok(Some(ann)));
    assert_eq!(state.session(&hash(2), last).await, Ok(None), "at the longest");
    assert_eq!(state.end_session(&hash(2)).await, Ok(()));
    assert_eq!(state.end_session(&hash(2)).await, Ok(()), "gone is gone");
    assert_eq!(state.session(&hash(2), now).await, Ok(None));
}

async fn with_the_credential_ends_the_session(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    for (text, name, secret) in [("a", "ci", 1), ("b", "cd", 2)] {
        let made = sample(text, name, now);
        create(&state, &made, secret).await;
        let whose = Principal { credential: name.to_owned(), role: made.role };
        state.create_session(hash(secret + 10), whose.clone(), now, Millis::MAX).await.unwrap();
        state.create_code(hash(secret + 20), whose, now, Millis::MAX).await.unwrap();
    }
    state.revoke_credential(&id("a"), now, entry("token.revoke")).await.unwrap();
    assert_eq!(state.session(&hash(11), now).await, Ok(None));
    assert_eq!(state.take_code(&hash(21), now).await, Ok(None));
    assert!(state.session(&hash(12), now).await.unwrap().is_some(), "another's");
    let expired = sample("b", "cd", now).expires_at.expect("it ends");
    assert_eq!(state.session(&hash(12), expired).await, Ok(None), "it ends with the credential");
}

async fn nobody_has_too_many(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    state.create_session(hash(255), operator("bob"), now, Millis::MAX).await.unwrap();
    let most = u8::try_from(SESSIONS_OF_ONE_MAX).unwrap();
    for session in 0..=most {
        state.create_session(hash(session), operator("ann"), now, Millis::MAX).await.unwrap();
    }
    for (session, good) in [(0, false), (1, true), (most, true), (255, true)] {
        let found = state.session(&hash(session), now).await.unwrap();
        assert_eq!(found.is_some(), good, "{session}");
    }
}
