//! Single instances and operations, and the listing.

use model::{Instance, InstanceId, Operation, OperationId, Owner};
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};

use super::rows;
use crate::{Filter, OWNERS_MAX, PAGE_ROWS_MAX, Page, StoreError};

/// See [`Store::instance`](crate::Store::instance).
pub(super) fn instance(conn: &Connection, id: &InstanceId) -> Result<Option<Instance>, StoreError> {
    let sql = format!("SELECT {} FROM instances WHERE id = ?1", rows::INSTANCE);
    let mut statement = conn.prepare_cached(&sql)?;
    statement.query_row([id.as_str()], |row| Ok(rows::instance(row))).optional()?.transpose()
}

/// See [`Store::operation`](crate::Store::operation).
pub(super) fn operation(
    conn: &Connection,
    id: &OperationId,
) -> Result<Option<Operation>, StoreError> {
    let json = conn
        .prepare_cached("SELECT document FROM operations WHERE id = ?1")?
        .query_row([id.as_str()], |row| row.get::<_, String>(0))
        .optional()?;
    json.as_deref().map(rows::read).transpose()
}

/// See [`Store::operations`](crate::Store::operations).
pub(super) fn operations(
    conn: &Connection,
    instance: &InstanceId,
    limit: usize,
) -> Result<Vec<Operation>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT document FROM operations WHERE instance = ?1 ORDER BY seq DESC LIMIT ?2",
    )?;
    let found = statement
        .query_map(params![instance.as_str(), limit.min(PAGE_ROWS_MAX)], |row| {
            row.get::<_, String>(0)
        })?;
    found.map(|json| rows::read(&json?)).collect()
}

/// See [`Store::instances`](crate::Store::instances).
pub(super) fn instances(conn: &Connection, filter: &Filter) -> Result<Page<Instance>, StoreError> {
    let Some(owners) = &filter.owners else {
        return Ok(page(rows_of(conn, filter, None)?, limit(filter)));
    };
    // Of each owner a page, as each has an index, and of these the first.
    let mut found = Vec::new();
    for owner in owners.iter().take(OWNERS_MAX) {
        found.extend(rows_of(conn, filter, Some(owner))?);
    }
    found.sort_by(|one, other| one.id.cmp(&other.id));
    found.dedup_by(|one, other| one.id == other.id);
    Ok(page(found, limit(filter)))
}

fn rows_of(
    conn: &Connection,
    filter: &Filter,
    owner: Option<&Owner>,
) -> Result<Vec<Instance>, StoreError> {
    let (sql, values) = listing(filter, owner);
    let mut statement = conn.prepare_cached(&sql)?;
    let found = statement.query_map(params_from_iter(values), |row| Ok(rows::instance(row)))?;
    found.map(|row| row?).collect()
}

fn limit(filter: &Filter) -> usize {
    filter.limit.clamp(1, PAGE_ROWS_MAX)
}

/// One row more than asked for tells whether there is another page.
fn page(mut items: Vec<Instance>, limit: usize) -> Page<Instance> {
    let more = items.len() > limit;
    items.truncate(limit);
    let next = if more { items.last().map(|last| last.id.clone()) } else { None };
    Page { items, next }
}

/// The listing's statement, with only those conditions that were asked for, so that each finds its
/// index.
pub(super) fn listing(filter: &Filter, owner: Option<&Owner>) -> (String, Vec<String>) {
    let mut values = Vec::new();
    let mut conditions = Vec::new();
    let mut equal = |column: &str, operator: &str, value: &str| {
        values.push(value.to_owned());
        conditions.push(format!("{column} {operator} ?{}", values.len()));
    };
    if let Some(owner) = owner {
        equal("organization", "=", &owner.organization);
        equal("space", "=", &owner.space);
    }
    if let Some(service) = &filter.service {
        equal("service", "=", service);
    }
    if let Some(after) = &filter.after {
        equal("id", ">", after.as_str());
    }
    if !filter.deleted {
        conditions.push("state <> 'deleted'".to_owned());
    }
    let place = if conditions.is_empty() {
        String::new()
    } else {
        format!("WHERE {} ", conditions.join(" AND "))
    };
    let rows = limit(filter) + 1;
    let sql = format!("SELECT {} FROM instances {place}ORDER BY id LIMIT {rows}", rows::INSTANCE);
    (sql, values)
}
