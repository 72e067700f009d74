//! Bindings, and the callers that the feed tells of.

use keys::Sealed;
use model::{
    AuditEntry, Binding, BindingId, Caller, InstanceId, InstanceState, Millis, Owner, Requester,
};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::json;

use super::request::Tx;
use super::{audit, rows, save};
use crate::{
    BINDINGS_AT_ONCE, BINDINGS_MAX, Bind, Binds, Bound, EXPIRED_KEPT_MILLIS, Expired, Reseal,
    StoreError, metrics,
};

/// Who is said to have asked for what happens by itself.
const ITSELF: &str = "margrave";

/// The columns that [`bound`] reads, in its order.
const BOUND: &str = "document, sealed";

fn bound(row: &Row<'_>) -> Result<Bound, StoreError> {
    let sealed = Sealed::from_bytes(row.get(1)?);
    Ok(Bound { binding: rows::read(&rows::text(row, 0)?)?, sealed })
}

/// See [`Bindings::binding`](crate::Bindings::binding).
pub(super) fn get(conn: &Connection, id: &BindingId) -> Result<Option<Bound>, StoreError> {
    let mut statement =
        conn.prepare_cached(&format!("SELECT {BOUND} FROM bindings WHERE id = ?1"))?;
    statement.query_row([id.as_str()], |row| Ok(bound(row))).optional()?.transpose()
}

/// See [`Bindings::bindings`](crate::Bindings::bindings).
pub(super) fn of(conn: &Connection, instance: &InstanceId) -> Result<Vec<Binding>, StoreError> {
    let mut statement =
        conn.prepare_cached("SELECT document FROM bindings WHERE instance = ?1 ORDER BY id")?;
    let found = statement.query_map([instance.as_str()], |row| row.get::<_, String>(0))?;
    found.map(|text| rows::read(&text?)).collect()
}

/// See [`Bindings::bind`](crate::Bindings::bind).
pub(super) fn bind(tx: &Tx<'_>, bind: &Bind) -> Result<Binds, StoreError> {
    let (conn, binding) = (tx.conn, &bind.binding);
    if let Some(found) = get(conn, &binding.id)? {
        return Ok(Binds::Exists(Box::new(found)));
    }
    let Some(owner) = ready(conn, &binding.instance)? else { return Ok(Binds::NotReady) };
    if !has_predecessor(conn, binding)? {
        return Ok(Binds::NoPredecessor);
    }
    if of(conn, &binding.instance)?.len() >= BINDINGS_MAX {
        return Ok(Binds::Full);
    }
    conn.prepare_cached(
        "INSERT INTO bindings (id, instance, document, expires_at, live, sealed, sealed_by) \
         VALUES (?1, ?2, ?3, ?4, 1, ?5, ?6)",
    )?
    .execute(params![
        binding.id.as_str(),
        binding.instance.as_str(),
        rows::json("the binding", binding)?,
        binding.expires_at,
        bind.sealed.as_bytes(),
        bind.sealed.key(),
    ])?;
    tell(tx, Change::Create, binding, owner, &bind.by, binding.created_at)?;
    Ok(Binds::Yes(publish_callers(tx, &binding.instance)?))
}

/// Whose the instance is, if it is there and published and not about to go.
fn ready(conn: &Connection, instance: &InstanceId) -> Result<Option<Owner>, StoreError> {
    let found = conn
        .prepare_cached(
            "SELECT i.organization, i.space FROM instances i JOIN published p ON p.instance = i.id \
             WHERE i.id = ?1 AND i.state = ?2 AND p.spec IS NOT NULL",
        )?
        .query_row(params![instance.as_str(), rows::instance_word(InstanceState::Ready)], |row| {
            Ok(Owner { organization: row.get(0)?, space: row.get(1)? })
        })
        .optional()?;
    Ok(found)
}

fn has_predecessor(conn: &Connection, binding: &Binding) -> Result<bool, StoreError> {
    let Some(predecessor) = &binding.predecessor else { return Ok(true) };
    let found = get(conn, predecessor)?.map(|found| found.binding);
    Ok(found
        .is_some_and(|it| it.instance == binding.instance && !it.has_expired(binding.created_at)))
}

/// See [`Bindings::unbind`](crate::Bindings::unbind).
pub(super) fn unbind(
    tx: &Tx<'_>,
    instance: &InstanceId,
    id: &BindingId,
    by: &Requester,
    at: Millis,
) -> Result<bool, StoreError> {
    let found = get(tx.conn, id)?.filter(|found| found.binding.instance == *instance);
    let Some(Bound { binding, .. }) = found else { return Ok(false) };
    delete(tx.conn, id)?;
    let owner = owner(tx.conn, instance)?;
    tell(tx, Change::Delete, &binding, owner, by, at)?;
    publish_callers(tx, instance)?;
    Ok(true)
}

fn delete(conn: &Connection, id: &BindingId) -> Result<(), StoreError> {
    conn.prepare_cached("DELETE FROM bindings WHERE id = ?1")?.execute([id.as_str()])?;
    Ok(())
}

/// Ends what is left of an instance that is unpublished in this transaction: the feed tells of no
/// callers of it any more.
pub(super) fn revoke_all(
    tx: &Tx<'_>,
    instance: &InstanceId,
    by: &Requester,
    at: Millis,
) -> Result<(), StoreError> {
    for binding in of(tx.conn, instance)? {
        delete(tx.conn, &binding.id)?;
        let owner = owner(tx.conn, instance)?;
        tell(tx, Change::Delete, &binding, owner, by, at)?;
    }
    Ok(())
}

fn owner(conn: &Connection, instance: &InstanceId) -> Result<Owner, StoreError> {
    let owner = conn
        .prepare_cached("SELECT organization, space FROM instances WHERE id = ?1")?
        .query_row([instance.as_str()], |row| {
            Ok(Owner { organization: row.get(0)?, space: row.get(1)? })
        })?;
    Ok(owner)
}

/// What becomes of a binding.
#[derive(Clone, Copy)]
enum Change {
    Create,
    Delete,
    Expire,
}

impl Change {
    /// In the audit log.
    fn action(self) -> &'static str {
        match self {
            Self::Create => "binding.create",
            Self::Delete => "binding.delete",
            Self::Expire => "binding.expire",
        }
    }

    /// In the metrics.
    fn done(self) -> &'static str {
        match self {
            Self::Create => "created",
            Self::Delete => "deleted",
            Self::Expire => "expired",
        }
    }
}

fn tell(
    tx: &Tx<'_>,
    change: Change,
    binding: &Binding,
    owner: Owner,
    by: &Requester,
    at: Millis,
) -> Result<(), StoreError> {
    metrics::binding_changed(change.done());
    let entry = AuditEntry {
        by: by.clone(),
        action: change.action().to_owned(),
        object: binding.id.as_str().to_owned(),
        owner: Some(owner),
        detail: json!({
            "instance": binding.instance,
            "name": binding.name,
            "expires_at": binding.expires_at,
            "predecessor": binding.predecessor,
            "public_key": binding.public_key,
        }),
    };
    audit::append(tx, at, &entry)
}

/// Tells the feed who may call now, at a new revision. Specs are proven, not callers: what is known
/// of the spec stays, under the revision at which it was published.
fn publish_callers(tx: &Tx<'_>, instance: &InstanceId) -> Result<u64, StoreError> {
    let callers = callers(tx.conn, instance)?;
    let revision = save::next_revision(tx)?;
    tx.conn
        .prepare_cached(
            "UPDATE published SET spec_revision = coalesce(spec_revision, revision), \
             revision = ?2, callers = ?3 WHERE instance = ?1 AND spec IS NOT NULL",
        )?
        .execute(params![instance.as_str(), revision, rows::json("the callers", &callers)?])?;
    Ok(revision)
}

fn callers(conn: &Connection, instance: &InstanceId) -> Result<Vec<Caller>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT document FROM bindings WHERE instance = ?1 AND live = 1 ORDER BY id",
    )?;
    let found = statement.query_map([instance.as_str()], |row| row.get::<_, String>(0))?;
    found.map(|text| Ok(rows::read::<Binding>(&text?)?.caller())).collect()
}

/// See [`Bindings::bindings_count`](crate::Bindings::bindings_count).
pub(super) fn count(conn: &Connection) -> Result<usize, StoreError> {
    Ok(conn
        .prepare_cached("SELECT count(*) FROM bindings WHERE live = 1")?
        .query_row([], |row| row.get(0))?)
}

/// See [`Bindings::expire`](crate::Bindings::expire).
pub(super) fn expire(tx: &Tx<'_>, now: Millis) -> Result<Expired, StoreError> {
    let due = due(tx.conn, now)?;
    let mut instances = Vec::new();
    for binding in &due {
        tx.conn
            .prepare_cached("UPDATE bindings SET live = 0 WHERE id = ?1")?
            .execute([binding.id.as_str()])?;
        let by = Requester {
            credential: ITSELF.to_owned(),
            originating_identity: None,
            request_identity: None,
        };
        let owner = owner(tx.conn, &binding.instance)?;
        tell(tx, Change::Expire, binding, owner, &by, now)?;
        instances.push(&binding.instance);
    }
    instances.sort();
    instances.dedup();
    for instance in instances {
        publish_callers(tx, instance)?;
    }
    let forgotten = forget(tx.conn, now - EXPIRED_KEPT_MILLIS)?;
    Ok(Expired { expired: due.len(), forgotten, next: next(tx.conn)? })
}

fn due(conn: &Connection, now: Millis) -> Result<Vec<Binding>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT document FROM bindings WHERE live = 1 AND expires_at <= ?1 \
         ORDER BY expires_at LIMIT ?2",
    )?;
    let found = statement
        .query_map(params![now, BINDINGS_AT_ONCE], |row| row.get::<_, String>(0))?
        .map(|text| rows::read(&text?));
    found.collect()
}

fn forget(conn: &Connection, before: Millis) -> Result<usize, StoreError> {
    let forgotten = conn
        .prepare_cached(
            "DELETE FROM bindings WHERE id IN (SELECT id FROM bindings WHERE live = 0 \
             AND expires_at < ?1 ORDER BY expires_at LIMIT ?2)",
        )?
        .execute(params![before, BINDINGS_AT_ONCE])?;
    Ok(forgotten)
}

/// When the next binding expires or is forgotten: the first of each index, sought from its
/// beginning.
pub(super) fn next(conn: &Connection) -> Result<Option<Millis>, StoreError> {
    let first = |sql: &str| -> Result<Option<Millis>, StoreError> {
        Ok(conn.prepare_cached(sql)?.query_row([Millis::MIN], |row| row.get(0)).optional()?)
    };
    let due = first(
        "SELECT expires_at FROM bindings WHERE live = 1 AND expires_at > ?1 \
         ORDER BY expires_at LIMIT 1",
    )?;
    let past = first(
        "SELECT expires_at FROM bindings WHERE live = 0 AND expires_at > ?1 \
         ORDER BY expires_at LIMIT 1",
    )?;
    let past = past.map(|at| at + EXPIRED_KEPT_MILLIS + 1);
    Ok(due.into_iter().chain(past).min())
}

/// See [`Bindings::sealing_keys`](crate::Bindings::sealing_keys). One step of the index a key.
pub(super) fn sealing_keys(conn: &Connection) -> Result<Vec<String>, StoreError> {
    let mut found = Vec::new();
    let mut statement = conn.prepare_cached(
        "SELECT sealed_by FROM bindings WHERE sealed_by > ?1 ORDER BY sealed_by LIMIT 1",
    )?;
    let mut last = String::new();
    while let Some(key) = statement.query_row([&last], |row| row.get(0)).optional()? {
        last.clone_from(&key);
        found.push(key);
    }
    Ok(found)
}

/// See [`Bindings::sealed_with`](crate::Bindings::sealed_with).
pub(super) fn sealed_with(
    conn: &Connection,
    key: &str,
) -> Result<Vec<(BindingId, Sealed)>, StoreError> {
    let mut statement =
        conn.prepare_cached("SELECT id, sealed FROM bindings WHERE sealed_by = ?1 LIMIT ?2")?;
    let found = statement.query_map(params![key, BINDINGS_AT_ONCE], |row| {
        Ok(rows::text(row, 0).and_then(|id| rows::name(&id)).map(|id| (id, row.get(1))))
    })?;
    found
        .map(|row| {
            let (id, sealed) = row??;
            Ok((id, Sealed::from_bytes(sealed?)))
        })
        .collect()
}

/// See [`Bindings::reseal`](crate::Bindings::reseal).
pub(super) fn reseal(tx: &Tx<'_>, secrets: &[Reseal]) -> Result<usize, StoreError> {
    let mut statement = tx.conn.prepare_cached(
        "UPDATE bindings SET sealed = ?3, sealed_by = ?4 WHERE id = ?1 AND sealed = ?2",
    )?;
    let mut done = 0;
    for Reseal { binding, old, new } in secrets {
        done += statement.execute(params![
            binding.as_str(),
            old.as_bytes(),
            new.as_bytes(),
            new.key()
        ])?;
    }
    Ok(done)
}
