//! Proofs of public hostnames: which are asked for, and what the feed withholds until they are found.

use data_encoding::HEXLOWER;
use model::{AuditEntry, Hostname, InstanceId, Millis, Owner, Plan, Policy, Requester};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::request::Tx;
use super::{audit, rows, save, teams};
use crate::{Accept, Excess, Look, PAGE_ROWS_MAX, Proof, StoreError, UNPROVEN_MAX};

/// Who is said to have done what happens by itself.
const ITSELF: &str = "margrave";

/// How a record's value begins, so that people know it again.
const VALUE_PREFIX: &str = "margrave-proof=";
/// Bytes of the hash in it.
const VALUE_BYTES: usize = 20;

/// The columns that [`read`] reads, in its order.
const PROOF: &str = "p.hostname, p.instance, p.organization, p.space, p.asked_at, p.next_at, \
                     p.looked_at, p.problem, p.proven_at, m.proof_key";

fn read(row: &Row<'_>) -> Result<Proof, StoreError> {
    let owner = Owner { organization: row.get(2)?, space: row.get(3)? };
    let key: Vec<u8> = row.get(9)?;
    Ok(Proof {
        hostname: rows::name(&rows::text(row, 0)?)?,
        instance: rows::name(&rows::text(row, 1)?)?,
        value: value(&key, &owner),
        owner,
        asked_at: row.get(4)?,
        next_at: row.get(5)?,
        looked_at: row.get(6)?,
        problem: row.get(7)?,
        proven_at: row.get(8)?,
    })
}

/// What a team writes into its records.
fn value(key: &[u8], owner: &Owner) -> String {
    let mut hash = Sha256::new_with_prefix(key);
    for part in [&owner.organization, &owner.space] {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    let digits = HEXLOWER.encode(&hash.finalize()[..VALUE_BYTES]);
    format!("{VALUE_PREFIX}{digits}")
}

/// The names that an accepted change would make public although nothing says that their team has
/// them. What is public stays so, and what is awaited already is no news.
pub(super) fn wanted(
    conn: &Connection,
    accept: &Accept,
    policy: &Policy,
) -> Result<Vec<Hostname>, StoreError> {
    let public = |spec: &&model::Spec| spec.plan == Plan::Public;
    let target = accept.operation.target.as_ref().filter(public);
    let (Some(target), false) = (target, accept.zones.is_empty()) else { return Ok(Vec::new()) };
    let before = accept.operation.previous.as_ref().filter(public);
    let is_public = |name: &Hostname| before.is_some_and(|it| it.hostnames.contains(name));
    let is_allowed =
        |name: &Hostname| accept.zones.iter().chain(&policy.zones).any(|zone| zone.covers(name));
    let mut wanted = Vec::new();
    for name in &target.hostnames {
        if !is_public(name) && !is_allowed(name) && !is_known(conn, name)? {
            wanted.push(name.clone());
        }
    }
    Ok(wanted)
}

/// What would be withheld, were it accepted: what is awaited already, and what would be asked for.
pub(super) fn foreseen(
    conn: &Connection,
    accept: &Accept,
    owner: &Owner,
) -> Result<Vec<Proof>, StoreError> {
    let target = accept.operation.target.as_ref().filter(|it| it.plan == Plan::Public);
    let Some(target) = target else { return Ok(Vec::new()) };
    let instance = &accept.operation.instance;
    let mut all = of(conn, instance)?;
    all.retain(|it| it.proven_at.is_none() && target.hostnames.contains(&it.hostname));
    let key: Vec<u8> = conn
        .prepare_cached("SELECT proof_key FROM meta WHERE one = 1")?
        .query_row([], |row| row.get(0))?;
    let now = accept.operation.created_at;
    let asked = |hostname| Proof {
        hostname,
        instance: instance.clone(),
        owner: owner.clone(),
        value: value(&key, owner),
        asked_at: now,
        next_at: Some(now),
        looked_at: None,
        problem: None,
        proven_at: None,
    };
    let wanted = wanted(conn, accept, &teams::policy(conn, owner)?)?;
    all.extend(wanted.into_iter().map(asked));
    all.sort_by(|one, other| one.hostname.cmp(&other.hostname));
    Ok(all)
}

fn is_known(conn: &Connection, hostname: &Hostname) -> Result<bool, StoreError> {
    let found = conn
        .prepare_cached("SELECT 1 FROM proofs WHERE hostname = ?1")?
        .query_row([hostname.as_str()], |_| Ok(()))
        .optional()?;
    Ok(found.is_some())
}

/// Whether a team would wait for more than it may.
pub(super) fn excess(
    conn: &Connection,
    owner: &Owner,
    wanted: &[Hostname],
) -> Result<Option<Excess>, StoreError> {
    if wanted.is_empty() {
        return Ok(None);
    }
    // Never more than that are there to be counted.
    let used: u32 = conn
        .prepare_cached(
            "SELECT count(*) FROM proofs WHERE organization = ?1 AND space = ?2 \
             AND proven_at IS NULL",
        )?
        .query_row([&owner.organization, &owner.space], |row| row.get(0))?;
    let wanted = u32::try_from(wanted.len()).unwrap_or(u32::MAX);
    let is_over = used.saturating_add(wanted) > UNPROVEN_MAX;
    let of = model::Share::Unproven;
    Ok(is_over.then_some(Excess { of, limit: UNPROVEN_MAX, used, wanted, free_at: None }))
}

/// Asks for what is wanted, and has what is awaited of the instance looked for at once: who changes
/// something may have made the record meanwhile.
pub(super) fn ask(
    conn: &Connection,
    instance: &InstanceId,
    owner: &Owner,
    wanted: &[Hostname],
    now: Millis,
) -> Result<(), StoreError> {
    conn.prepare_cached(
        "UPDATE proofs SET next_at = ?2 WHERE instance = ?1 AND proven_at IS NULL",
    )?
    .execute(params![instance.as_str(), now])?;
    let mut statement = conn.prepare_cached(
        "INSERT INTO proofs (hostname, instance, organization, space, asked_at, next_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?5)",
    )?;
    for name in wanted {
        let (organization, space) = (&owner.organization, &owner.space);
        statement.execute(params![name.as_str(), instance.as_str(), organization, space, now])?;
    }
    Ok(())
}

/// What a team must prove is looked for at once: its zones may cover it now.
pub(super) fn look_again(conn: &Connection, owner: &Owner, now: Millis) -> Result<(), StoreError> {
    conn.prepare_cached(
        "UPDATE proofs SET next_at = ?3 \
         WHERE organization = ?1 AND space = ?2 AND proven_at IS NULL",
    )?
    .execute(params![owner.organization, owner.space, now])?;
    Ok(())
}

/// What the feed withholds of an instance.
pub(super) fn withheld(conn: &Connection, instance: &InstanceId) -> Result<String, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT hostname FROM proofs WHERE instance = ?1 AND proven_at IS NULL ORDER BY hostname",
    )?;
    let names = statement.query_map([instance.as_str()], |row| row.get::<_, String>(0))?;
    rows::json("what is withheld", &names.collect::<Result<Vec<_>, _>>()?)
}

/// See [`Proofs::proof`](crate::Proofs::proof).
pub(super) fn proof(conn: &Connection, hostname: &Hostname) -> Result<Option<Proof>, StoreError> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {PROOF} FROM proofs p JOIN meta m ON m.one = 1 WHERE p.hostname = ?1"
    ))?;
    statement.query_row([hostname.as_str()], |row| Ok(read(row))).optional()?.transpose()
}

/// See [`Proofs::proofs`](crate::Proofs::proofs).
pub(super) fn of(conn: &Connection, instance: &InstanceId) -> Result<Vec<Proof>, StoreError> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {PROOF} FROM proofs p JOIN meta m ON m.one = 1 \
         WHERE p.instance = ?1 ORDER BY p.hostname"
    ))?;
    let found = statement.query_map([instance.as_str()], |row| Ok(read(row)))?;
    found.map(|row| row?).collect()
}

/// See [`Proofs::due_proofs`](crate::Proofs::due_proofs).
pub(super) fn due(conn: &Connection, now: Millis, limit: usize) -> Result<Vec<Proof>, StoreError> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {PROOF} FROM proofs p JOIN meta m ON m.one = 1 \
         WHERE p.next_at <= ?1 ORDER BY p.next_at LIMIT ?2"
    ))?;
    let found = statement.query_map(params![now, limit.min(PAGE_ROWS_MAX)], |row| Ok(read(row)))?;
    found.map(|row| row?).collect()
}

/// See [`Proofs::awaited_proofs`](crate::Proofs::awaited_proofs).
pub(super) fn awaited(conn: &Connection) -> Result<u64, StoreError> {
    Ok(conn
        .prepare_cached("SELECT count(*) FROM proofs WHERE proven_at IS NULL")?
        .query_row([], |row| row.get(0))?)
}

/// See [`Proofs::looked`](crate::Proofs::looked).
pub(super) fn looked(
    tx: &Tx<'_>,
    seen: &Proof,
    look: &Look,
    at: Millis,
) -> Result<bool, StoreError> {
    let standing = proof(tx.conn, &seen.hostname)?;
    let is_same = |now: &Proof| {
        now.proven_at.is_none() && now.instance == seen.instance && now.owner == seen.owner
    };
    if !standing.as_ref().is_some_and(is_same) {
        return Ok(false);
    }
    match look {
        Look::Proven(by) => proven(tx, seen, by, at)?,
        Look::Missing { problem, next_at } => {
            tx.conn
                .prepare_cached(
                    "UPDATE proofs SET looked_at = ?2, problem = ?3, next_at = ?4 \
                     WHERE hostname = ?1",
                )?
                .execute(params![seen.hostname.as_str(), at, problem, next_at])?;
        }
    }
    Ok(true)
}

fn proven(tx: &Tx<'_>, seen: &Proof, by: &str, at: Millis) -> Result<(), StoreError> {
    tx.conn
        .prepare_cached(
            "UPDATE proofs SET proven_at = ?2, looked_at = ?2, next_at = NULL, problem = NULL \
             WHERE hostname = ?1",
        )?
        .execute(params![seen.hostname.as_str(), at])?;
    let requester = Requester {
        credential: ITSELF.to_owned(),
        originating_identity: None,
        request_identity: None,
    };
    let entry = AuditEntry {
        by: requester,
        action: "hostname.prove".to_owned(),
        object: seen.hostname.as_str().to_owned(),
        owner: Some(seen.owner.clone()),
        detail: json!({ "instance": seen.instance, "by": by }),
    };
    audit::append(tx, at, &entry)?;
    tell(tx, &seen.instance)
}

/// Tells the feed what is withheld now, at a new revision. As with callers the spec, and what is
/// known of it, stay under the revision at which it was published.
fn tell(tx: &Tx<'_>, instance: &InstanceId) -> Result<(), StoreError> {
    let is_published = tx
        .conn
        .prepare_cached("SELECT 1 FROM published WHERE instance = ?1 AND spec IS NOT NULL")?
        .query_row([instance.as_str()], |_| Ok(()))
        .optional()?;
    if is_published.is_none() {
        return Ok(());
    }
    let revision = save::next_revision(tx)?;
    tx.conn
        .prepare_cached(
            "UPDATE published SET spec_revision = coalesce(spec_revision, revision), \
             revision = ?2, withheld = ?3 WHERE instance = ?1",
        )?
        .execute(params![instance.as_str(), revision, withheld(tx.conn, instance)?])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_of_one_team_of_one_platform() {
        let owner = |organization: &str, space: &str| Owner {
            organization: organization.to_owned(),
            space: space.to_owned(),
        };
        let of = |key: &[u8], organization, space| value(key, &owner(organization, space));
        let web = of(b"k", "acme", "web");
        assert_eq!(web.len(), VALUE_PREFIX.len() + 2 * VALUE_BYTES);
        assert_eq!(web, of(b"k", "acme", "web"));
        for other in [of(b"l", "acme", "web"), of(b"k", "acmew", "eb"), of(b"k", "acme", "wed")] {
            assert_ne!(web, other);
        }
    }
}
