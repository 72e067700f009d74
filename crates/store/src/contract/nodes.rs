//! Nodes: let in once by a token, out at once when revoked, remembered until they have long gone.

use std::sync::Arc;

use keys::Sealed;
use model::{Millis, NodeId};

use super::credentials::{entry, hash};
use super::{Case, State, Subject, cases};
use crate::{
    AuditFilter, CERTIFICATES_MAX, Certified, Join, JoinToken, Joins, KeptAuthority,
    NODE_KEPT_MILLIS, NodeFilter, Renewal, Renews, Revocation, Revoked,
};

pub(super) const CASES: &[Case] = cases![
    an_authority_is_kept_once,
    a_token_lets_one_in,
    of_two_that_race_one_wins,
    a_token_ends,
    a_name_is_of_one_node,
    who_joins_again_begins_anew,
    what_is_renewed_is_known,
    what_is_revoked_is_told_and_not_renewed,
    what_a_store_does_not_know_is_renewed_unless_it_was_revoked,
    nodes_are_listed_in_order_and_forgotten,
];

const HOUR: Millis = 60 * 60 * 1000;

fn node(text: &str) -> NodeId {
    text.parse().unwrap()
}

fn token(group: &str, name: Option<&str>, now: Millis) -> JoinToken {
    JoinToken {
        group: group.parse().unwrap(),
        node: name.map(node),
        created_at: now,
        created_by: "operator".to_owned(),
        expires_at: now + HOUR,
    }
}

fn certified(serial: &str, issued_at: Millis) -> Certified {
    Certified { serial: serial.to_owned(), issued_at, not_after: issued_at + 24 * HOUR }
}

fn wish(secret: u8, name: &str, serial: &str, at: Millis) -> Join {
    let certificate = certified(serial, at);
    Join { secret: hash(secret), node: node(name), certificate, entry: entry("node.join") }
}

async fn invite(state: &Arc<dyn State>, secret: u8, token: JoinToken) {
    let made = state.create_join_token(token, hash(secret), entry("join-token.create")).await;
    assert_eq!(made, Ok(true));
}

async fn joins(state: &Arc<dyn State>, secret: u8, name: &str, serial: &str, now: Millis) -> Joins {
    let named = Some(name).filter(|name| !name.starts_with("chosen"));
    invite(state, secret, token("eu", named, now)).await;
    state.join(wish(secret, name, serial, now)).await.unwrap()
}

async fn revoked(state: &Arc<dyn State>, after: i64, now: Millis) -> Vec<String> {
    let found = state.revocations(after, now).await.unwrap();
    let serial = |it: Revocation| match it.what {
        Revoked::Certificate(serial) => Some(serial),
        Revoked::Before(..) => None,
    };
    found.into_iter().filter_map(serial).collect()
}

async fn renews(
    state: &Arc<dyn State>,
    name: &str,
    old: (&str, Millis),
    new: (&str, Millis),
) -> Renews {
    let (old, new) = (certified(old.0, old.1), certified(new.0, new.1));
    let renewal = Renewal { node: node(name), group: "eu".parse().unwrap(), old, new };
    state.renew(renewal).await.unwrap()
}

async fn an_authority_is_kept_once(subject: Arc<dyn Subject>) {
    let state = subject.open().await;
    let sealed = |key: u8| Sealed::from_bytes([vec![1], vec![key; 8], vec![9; 40]].concat());
    let one = KeptAuthority { certificate: vec![1], sealed: sealed(1) };
    let other = KeptAuthority { certificate: vec![2], sealed: sealed(2) };
    assert_eq!(state.authority().await, Ok(None));
    assert_eq!(state.keep_authority(one.clone()).await, Ok(one.clone()));
    assert_eq!(state.keep_authority(other.clone()).await, Ok(one.clone()));
    assert_eq!(state.reseal_authority(sealed(3), sealed(4)).await, Ok(false));
    assert_eq!(state.reseal_authority(sealed(1), sealed(4)).await, Ok(true));
    drop(state);
    let state = subject.open().await;
    let kept = KeptAuthority { certificate: vec![1], sealed: sealed(4) };
    assert_eq!(state.authority().await, Ok(Some(kept)));
}

async fn a_token_lets_one_in(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let made = token("eu", None, now);
    invite(&state, 1, made.clone()).await;
    assert_eq!(state.join_token(&hash(1), now).await, Ok(Some(made)));
    assert_eq!(state.join(wish(1, "chosen-1", "aa", now)).await, Ok(Joins::Yes));
    drop(state);
    let state = subject.open().await;
    assert_eq!(state.join_token(&hash(1), now).await, Ok(None));
    assert_eq!(state.join(wish(1, "chosen-2", "bb", now)).await, Ok(Joins::NoToken));
    let known = state.node(&node("chosen-1")).await.unwrap().expect("it is known");
    assert_eq!((known.group.as_str(), known.invited_by.as_str()), ("eu", "operator"));
    assert_eq!((known.joined_at, known.certificate), (now, certified("aa", now)));
    assert_eq!(state.node(&node("chosen-2")).await, Ok(None));
    let filter = AuditFilter { limit: 10, ..AuditFilter::default() };
    let told = state.entries(filter).await.unwrap();
    let mut actions: Vec<_> =
        told.records.into_iter().map(|it| it.entry().unwrap().action).collect();
    actions.sort();
    assert_eq!(actions, ["join-token.create", "node.join"]);
}

async fn of_two_that_race_one_wins(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    invite(&state, 1, token("eu", None, now)).await;
    let one = state.join(wish(1, "chosen-1", "aa", now));
    let other = state.join(wish(1, "chosen-2", "bb", now));
    let (one, other) = tokio::join!(one, other);
    let mut outcome = [one.unwrap(), other.unwrap()];
    outcome.sort_by_key(|it| *it != Joins::Yes);
    assert_eq!(outcome, [Joins::Yes, Joins::NoToken]);
}

async fn a_token_ends(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    invite(&state, 1, token("eu", None, now)).await;
    let late = now + HOUR;
    assert_eq!(state.join_token(&hash(1), late).await, Ok(None));
    assert_eq!(state.join(wish(1, "chosen-1", "aa", late)).await, Ok(Joins::NoToken));
}

async fn a_name_is_of_one_node(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    assert_eq!(joins(&state, 1, "proxy-1", "aa", now).await, Joins::Yes);
    // Another group.
    invite(&state, 2, token("us", Some("proxy-1"), now)).await;
    assert_eq!(state.join(wish(2, "proxy-1", "bb", now)).await, Ok(Joins::Taken));
    // A name that the platform chose and that somebody has.
    invite(&state, 3, token("eu", None, now)).await;
    assert_eq!(state.join(wish(3, "proxy-1", "cc", now)).await, Ok(Joins::Taken));
    // The token was not used up by that.
    assert_eq!(state.join(wish(3, "chosen-1", "cc", now)).await, Ok(Joins::Yes));
}

async fn who_joins_again_begins_anew(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    assert_eq!(joins(&state, 1, "proxy-1", "aa", now).await, Joins::Yes);
    assert_eq!(joins(&state, 2, "proxy-1", "bb", now + 1).await, Joins::Yes);
    assert_eq!(revoked(&state, 0, now).await, ["aa"]);
    assert_eq!(renews(&state, "proxy-1", ("aa", now), ("cc", now + 2)).await, Renews::Revoked);
    assert_eq!(renews(&state, "proxy-1", ("bb", now + 1), ("cc", now + 2)).await, Renews::Yes);
}

async fn what_is_renewed_is_known(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    assert_eq!(joins(&state, 1, "proxy-1", "aa", now).await, Joins::Yes);
    let later = now + HOUR;
    let renew = |old, new, at| renews(&state, "proxy-1", old, (new, at));
    assert_eq!(renew(("aa", now), "a1", later).await, Renews::Yes);
    let known = state.node(&node("proxy-1")).await.unwrap().expect("it is known");
    assert_eq!((known.joined_at, known.certificate), (now, certified("a1", later)));
    // The one before is good until it ends: an answer may have been lost.
    assert_eq!(renew(("aa", now), "a2", later).await, Renews::Yes);
    for number in 3..CERTIFICATES_MAX {
        let serial = format!("a{number}");
        let renewed = renews(&state, "proxy-1", ("aa", now), (&serial, later)).await;
        assert_eq!(renewed, Renews::Yes);
    }
    assert_eq!(renew(("aa", now), "much", later).await, Renews::TooMany);
    // What has ended renews nothing.
    let late = now + 24 * HOUR;
    assert_eq!(renew(("aa", now), "late", late).await, Renews::Revoked);
    assert_eq!(renew(("a1", later), "late", late).await, Renews::Yes);
}

/// A store that was put back, by a restore or by hand, is behind its proxies.
async fn what_a_store_does_not_know_is_renewed_unless_it_was_revoked(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let renew = async |name, old, new| renews(&state, name, old, new).await;
    // A certificate that it does not know, of a node that it knows.
    assert_eq!(joins(&state, 1, "proxy-1", "aa", now).await, Joins::Yes);
    assert_eq!(renew("proxy-1", ("since", now), ("bb", now + HOUR)).await, Renews::Yes);
    // A node that it does not know.
    assert_eq!(renew("proxy-2", ("xx", now), ("yy", now + HOUR)).await, Renews::Yes);
    let known = state.node(&node("proxy-2")).await.unwrap().expect("it is known");
    assert_eq!((known.group.as_str(), known.joined_at), ("eu", now));
    assert_eq!(known.certificate, certified("yy", now + HOUR));
    // Of another group: somebody else had its name.
    assert_eq!(joins(&state, 3, "proxy-3", "cc", now).await, Joins::Yes);
    let (old, new) = (certified("dd", now), certified("ee", now + HOUR));
    let us = Renewal { node: node("proxy-3"), group: "us".parse().unwrap(), old, new };
    assert_eq!(state.renew(us).await, Ok(Renews::Revoked));
    // Revoked with all of its node: what is not known, too.
    let at = now + 2 * HOUR;
    assert_eq!(state.revoke_node(&node("proxy-1"), at, entry("node.revoke")).await, Ok(true));
    assert_eq!(renew("proxy-1", ("other", now), ("ff", at + 1)).await, Renews::Revoked);
    assert_eq!(joins(&state, 4, "proxy-1", "gg", at + 1).await, Joins::Yes);
    assert_eq!(renew("proxy-1", ("other", now), ("ff", at + 2)).await, Renews::Revoked);
    assert_eq!(renew("proxy-1", ("gg", at + 1), ("hh", at + 2)).await, Renews::Yes);
    let told = state.revocations(0, at).await.unwrap();
    let cuts: Vec<_> = told
        .into_iter()
        .filter_map(|it| match it.what {
            Revoked::Before(node, before) => Some((node.to_string(), before)),
            Revoked::Certificate(_) => None,
        })
        .collect();
    let second = |at: Millis| at / 1000 * 1000;
    let name = || "proxy-1".to_owned();
    assert_eq!(cuts, [(name(), second(at)), (name(), second(at + 1))]);
}

async fn what_is_revoked_is_told_and_not_renewed(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let name = node("proxy-1");
    let revoke = |at| state.revoke_node(&name, at, entry("node.revoke"));
    assert_eq!(revoke(now).await, Ok(false));
    assert_eq!(joins(&state, 1, "proxy-1", "aa", now).await, Joins::Yes);
    assert_eq!(renews(&state, "proxy-1", ("aa", now), ("bb", now + 1)).await, Renews::Yes);
    assert_eq!(revoked(&state, 0, now).await, [""; 0]);
    assert_eq!(revoke(now + 2).await, Ok(true));
    assert_eq!(revoke(now + 3).await, Ok(false));
    let told = state.revocations(0, now).await.unwrap();
    let mut serials = revoked(&state, 0, now).await;
    serials.sort_unstable();
    assert_eq!(serials, ["aa", "bb"]);
    assert_eq!(revoked(&state, told[1].seq, now).await, [""; 0]);
    assert_eq!(revoked(&state, told[0].seq, now).await.len(), 1);
    assert_eq!(revoked(&state, 0, now + 48 * HOUR).await, [""; 0]);
    assert_eq!(renews(&state, "proxy-1", ("bb", now + 1), ("cc", now + 4)).await, Renews::Revoked);
    let known = state.node(&name).await.unwrap().expect("it is known");
    assert_eq!(known.revoked_at, Some(now + 2));
    // Whoever is invited again comes in again.
    assert_eq!(joins(&state, 2, "proxy-1", "dd", now + 5).await, Joins::Yes);
    let known = state.node(&name).await.unwrap().expect("it is known");
    assert_eq!(known.revoked_at, None);
}

async fn nodes_are_listed_in_order_and_forgotten(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    for (at, name) in ["b", "a", "c"].into_iter().enumerate() {
        let secret = u8::try_from(at).unwrap();
        assert_eq!(joins(&state, secret, name, name, now).await, Joins::Yes);
    }
    invite(&state, 9, token("us", Some("d"), now)).await;
    assert_eq!(state.join(wish(9, "d", "d", now)).await, Ok(Joins::Yes));
    let list = async |group: Option<&str>, after: Option<&str>, limit| {
        let group = group.map(|group| group.parse().unwrap());
        let filter = NodeFilter { group, after: after.map(node), limit };
        let found = state.nodes(filter).await.unwrap();
        found.into_iter().map(|it| it.node.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(list(None, None, 10).await, ["a", "b", "c", "d"]);
    assert_eq!(list(Some("eu"), Some("a"), 10).await, ["b", "c"]);
    assert_eq!(list(Some("us"), None, 10).await, ["d"]);
    assert_eq!(list(None, Some("b"), 1).await, ["c"]);
    let long_after = now + 24 * HOUR + NODE_KEPT_MILLIS;
    assert_eq!(joins(&state, 5, "e", "e", long_after).await, Joins::Yes);
    assert_eq!(list(None, None, 10).await, ["e"]);
}
