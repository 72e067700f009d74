//! Credentials: found by their secret, ended for good, told in the audit log.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{AccessHash, AuditEntry, CredentialId, CredentialName, Millis, Requester, Role};
use serde_json::json;

use super::{Case, State, Subject, cases};
use crate::{Created, Credential, CredentialFilter, ENDED_KEPT_MILLIS};

pub(super) const CASES: &[Case] = cases![
    a_secret_leads_to_its_credential,
    a_name_is_of_one_that_lives,
    while_rotated_two_secrets_are_good,
    what_is_revoked_is_revoked_for_good,
    listings_are_in_order,
    what_ended_long_ago_is_forgotten,
    a_use_is_remembered,
];

const HOUR: Millis = 60 * 60 * 1000;

pub(super) fn id(text: &str) -> CredentialId {
    text.parse().unwrap()
}

pub(super) fn hash(number: u8) -> AccessHash {
    AccessHash([number; 32])
}

pub(super) fn entry(action: &str) -> AuditEntry {
    AuditEntry {
        by: Requester {
            credential: "tests".to_owned(),
            originating_identity: None,
            request_identity: None,
        },
        action: action.to_owned(),
        object: "object".to_owned(),
        owner: None,
        detail: json!({}),
    }
}

/// A member's token that ends after an hour.
pub(super) fn sample(text: &str, name: &str, now: Millis) -> Credential {
    let teams = BTreeSet::from(["shop".to_owned()]);
    let name: CredentialName = name.parse().unwrap();
    Credential {
        id: id(text),
        name,
        role: Role::Member { organization: "margrave".to_owned(), teams },
        created_at: now,
        created_by: "tests".to_owned(),
        expires_at: Some(now + HOUR),
        last_used_at: None,
        revoked_at: None,
        rotated_at: now,
    }
}

pub(super) async fn create(state: &Arc<dyn State>, credential: &Credential, secret: u8) {
    let created = state.create_credential(credential.clone(), hash(secret), entry("token.create"));
    assert_eq!(created.await, Ok(Created::Yes));
}

async fn opens(state: &Arc<dyn State>, secret: u8, now: Millis) -> bool {
    let held = state.credential_of(&hash(secret)).await.unwrap();
    held.is_some_and(|held| held.is_alive(now))
}

async fn a_secret_leads_to_its_credential(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let made = sample("a", "ci", now);
    create(&state, &made, 1).await;
    drop(state);
    let state = subject.open().await;
    let held = state.credential_of(&hash(1)).await.unwrap().expect("found");
    assert_eq!((held.credential, held.secret_until), (made.clone(), None));
    assert_eq!(state.credential(&id("a")).await, Ok(Some(made)));
    assert_eq!(state.credential_of(&hash(2)).await, Ok(None));
    assert_eq!(state.credential(&id("b")).await, Ok(None));
    assert!(opens(&state, 1, now + HOUR - 1).await);
    assert!(!opens(&state, 1, now + HOUR).await, "it has expired");
}

async fn a_name_is_of_one_that_lives(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    create(&state, &sample("a", "ci", now), 1).await;
    let second = |name: &str, at| {
        state.create_credential(sample("b", name, at), hash(2), entry("token.create"))
    };
    assert_eq!(second("ci", now).await, Ok(Created::NameTaken));
    assert_eq!(state.credential_of(&hash(2)).await, Ok(None), "nothing was written");
    assert_eq!(second("ci", now + HOUR).await, Ok(Created::Yes), "the first has expired");
    assert!(!opens(&state, 1, now).await, "it gave up its name, and is over");
    assert_eq!(
        state.revoke_credential(&id("b"), now + HOUR, entry("token.revoke")).await,
        Ok(true)
    );
    create(&state, &sample("c", "ci", now + HOUR), 3).await;
}

async fn while_rotated_two_secrets_are_good(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let made = Credential { role: Role::Platform, expires_at: None, ..sample("a", "cf", now) };
    create(&state, &made, 1).await;
    let before = state.credentials_taken();
    let rotate = |secret: u8, at: Millis| {
        let state = Arc::clone(&state);
        async move {
            let entry = entry("platform.rotate");
            state.rotate_credential(&id("a"), hash(secret), at, at + HOUR, entry).await
        }
    };
    assert_eq!(rotate(2, now).await, Ok(true));
    assert!(state.credentials_taken() > before);
    assert!(opens(&state, 1, now + HOUR - 1).await && opens(&state, 2, now).await);
    assert!(!opens(&state, 1, now + HOUR).await && opens(&state, 2, now + HOUR).await);
    assert_eq!(rotate(3, now + 1).await, Ok(true));
    let good: Vec<u8> = {
        let mut good = Vec::new();
        for secret in 1..=3 {
            if opens(&state, secret, now + 2).await {
                good.push(secret);
            }
        }
        good
    };
    assert_eq!(good, [2, 3], "never more than two");
    let found = state.credential(&id("a")).await.unwrap().expect("there");
    assert_eq!(found.rotated_at, now + 1);
    assert_eq!(state.revoke_credential(&id("a"), now, entry("platform.revoke")).await, Ok(true));
    assert_eq!(rotate(4, now + 3).await, Ok(false), "it has ended");
    assert_eq!(state.credential_of(&hash(4)).await, Ok(None));
}

async fn what_is_revoked_is_revoked_for_good(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    create(&state, &sample("a", "ci", now), 1).await;
    let before = state.credentials_taken();
    let credential = id("a");
    let revoke = |at| state.revoke_credential(&credential, at, entry("token.revoke"));
    assert_eq!(revoke(now + 1).await, Ok(true));
    assert!(state.credentials_taken() > before, "before it is answered");
    assert_eq!(revoke(now + 2).await, Ok(false));
    drop(state);
    let state = subject.open().await;
    assert!(!opens(&state, 1, now + 1).await);
    let held = state.credential_of(&hash(1)).await.unwrap().expect("still known");
    assert_eq!(held.credential.revoked_at, Some(now + 1));
    let none = state.revoke_credential(&id("zz"), now, entry("token.revoke")).await;
    assert_eq!(none, Ok(false));
}

async fn listings_are_in_order(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    for (index, (text, name)) in [("c", "one"), ("a", "two"), ("b", "three")].iter().enumerate() {
        create(&state, &sample(text, name, now), u8::try_from(index).unwrap()).await;
    }
    let platform = Credential { role: Role::Platform, ..sample("p", "cf", now) };
    create(&state, &platform, 9).await;
    assert_eq!(state.revoke_credential(&id("b"), now, entry("token.revoke")).await, Ok(true));
    let all = CredentialFilter { limit: 10, ..CredentialFilter::default() };
    for (filter, expected) in [
        (all.clone(), &["a", "b", "c"][..]),
        (CredentialFilter { alive_at: Some(now), ..all.clone() }, &["a", "c"]),
        (CredentialFilter { alive_at: Some(now + HOUR), ..all.clone() }, &[]),
        (CredentialFilter { after: Some(id("a")), ..all.clone() }, &["b", "c"]),
        (CredentialFilter { limit: 1, ..all.clone() }, &["a"]),
        (CredentialFilter { platforms: true, ..all }, &["p"]),
    ] {
        let listed = state.credentials(filter.clone()).await.unwrap();
        let listed: Vec<String> = listed.into_iter().map(|it| it.id.into()).collect();
        assert_eq!(listed, expected, "{filter:?}");
    }
}

async fn what_ended_long_ago_is_forgotten(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    create(&state, &sample("a", "one", now), 1).await;
    let ended = now + HOUR;
    create(&state, &sample("b", "two", ended + ENDED_KEPT_MILLIS), 2).await;
    assert!(state.credential(&id("a")).await.unwrap().is_some(), "remembered that long");
    create(&state, &sample("c", "three", ended + ENDED_KEPT_MILLIS + 1), 3).await;
    assert_eq!(state.credential(&id("a")).await, Ok(None));
    assert_eq!(state.credential_of(&hash(1)).await, Ok(None));
}

async fn a_use_is_remembered(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    create(&state, &sample("a", "one", now), 1).await;
    for at in [now + 5, now + 3] {
        assert_eq!(state.used_credential(&id("a"), at).await, Ok(()));
    }
    let found = state.credential(&id("a")).await.unwrap().expect("there");
    assert_eq!(found.last_used_at, Some(now + 5), "it does not go backwards");
}
