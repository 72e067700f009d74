//! The search: one walk along an index for each owner, merged.
//!
//! What no index helps with is judged row by row, of so many rows at most; a page that was cut short
//! there says where to go on.

use std::cmp::Reverse;

use model::{Instance, InstanceState, Owner};
use rusqlite::types::Value;
use rusqlite::{Connection, Row, ToSql};

use super::rows::{self, instance_word, operation_word};
use crate::{
    Found, FoundPage, InstanceSearch, OperationSearch, PAGE_ROWS_MAX, SEARCH_LOOKED_AT_MAX,
    SEARCH_OWNERS_MAX, StoreError,
};

/// A statement under way: terms that an index helps with, and terms that are judged row by row.
#[derive(Default)]
struct Terms {
    walked: Vec<&'static str>,
    judged: Vec<&'static str>,
    values: Vec<(&'static str, Value)>,
}

impl Terms {
    fn bind(&mut self, name: &'static str, value: &str) {
        self.values.push((name, Value::Text(value.to_owned())));
    }

    fn number(&mut self, name: &'static str, value: i64) {
        self.values.push((name, Value::Integer(value)));
    }

    fn owner(&mut self, owner: Option<&Owner>) {
        let Some(owner) = owner else { return };
        self.walked.push("organization = :organization AND space = :space");
        self.bind(":organization", &owner.organization);
        self.bind(":space", &owner.space);
    }

    /// The statement; `columns` are followed by whether the row is one that was looked for.
    fn query(self, columns: &str, table: &str, order: &str) -> Query {
        let all = |terms: &[&str]| {
            if terms.is_empty() { "TRUE".to_owned() } else { terms.join(" AND ") }
        };
        let (hit, place) = (all(&self.judged), all(&self.walked));
        let rows = SEARCH_LOOKED_AT_MAX + 1;
        let sql = format!(
            "SELECT {columns}, ({hit}) AS hit FROM {table} WHERE {place} ORDER BY {order} LIMIT {rows}"
        );
        Query { sql, values: self.values }
    }
}

/// A statement and its values.
pub(super) struct Query {
    pub(super) sql: String,
    values: Vec<(&'static str, Value)>,
}

/// What a walk came upon.
struct Walk<K, T> {
    hits: Vec<(K, T)>,
    /// Where it was cut short.
    end: Option<K>,
}

/// How rows of one kind are read: the place of a row in the order, whether it ends the walk, and
/// the row itself.
struct Reading<K, T> {
    hit: usize,
    key: fn(&Row<'_>) -> Result<K, StoreError>,
    is_over: fn(&Row<'_>) -> Result<bool, StoreError>,
    read: fn(&Row<'_>) -> Result<T, StoreError>,
}

fn walk<K: Clone, T>(
    conn: &Connection,
    query: &Query,
    limit: usize,
    reading: &Reading<K, T>,
) -> Result<Walk<K, T>, StoreError> {
    let mut statement = conn.prepare_cached(&query.sql)?;
    let values: Vec<(&str, &dyn ToSql)> =
        query.values.iter().map(|(name, value)| (*name, value as &dyn ToSql)).collect();
    let mut rows = statement.query(values.as_slice())?;
    let (mut hits, mut looked_at, mut last) = (Vec::new(), 0, None);
    while let Some(row) = rows.next()? {
        if (reading.is_over)(row)? {
            break;
        }
        if hits.len() == limit || looked_at == SEARCH_LOOKED_AT_MAX {
            return Ok(Walk { hits, end: last });
        }
        looked_at += 1;
        let key = (reading.key)(row)?;
        if row.get::<_, bool>(reading.hit)? {
            hits.push((key.clone(), (reading.read)(row)?));
        }
        last = Some(key);
    }
    Ok(Walk { hits, end: None })
}

/// The first of what several walks came upon, as far as all of them have come.
fn merge<K: Ord + Clone, T>(walks: Vec<Walk<K, T>>, limit: usize) -> (Vec<T>, Option<K>) {
    let horizon = walks.iter().filter_map(|walk| walk.end.clone()).min();
    let mut hits: Vec<_> = walks.into_iter().flat_map(|walk| walk.hits).collect();
    hits.retain(|(key, _)| horizon.as_ref().is_none_or(|horizon| key <= horizon));
    hits.sort_by(|one, other| one.0.cmp(&other.0));
    hits.dedup_by(|one, other| one.0 == other.0);
    let cut = (hits.len() > limit).then(|| hits.truncate(limit));
    let next = cut.and_then(|()| hits.last().map(|(key, _)| key.clone())).or(horizon);
    (hits.into_iter().map(|(_, item)| item).collect(), next)
}

/// One query for each owner; one for all where none is named.
fn queries(owners: Option<&Vec<Owner>>, query: impl Fn(Option<&Owner>) -> Query) -> Vec<Query> {
    match owners {
        None => vec![query(None)],
        Some(owners) => {
            owners.iter().take(SEARCH_OWNERS_MAX).map(|owner| query(Some(owner))).collect()
        }
    }
}

/// See [`Search::search_instances`](crate::Search::search_instances).
pub(super) fn instances(
    conn: &Connection,
    search: &InstanceSearch,
) -> Result<FoundPage<Instance, String>, StoreError> {
    let limit = search.limit.clamp(1, PAGE_ROWS_MAX);
    let reading = Reading {
        hit: 10,
        key: |row| Ok((rows::text(row, 9)?, rows::text(row, 0)?)),
        is_over: |_| Ok(false),
        read: rows::instance,
    };
    let walks = queries(search.owners.as_ref(), |owner| instance_query(search, owner))
        .iter()
        .map(|query| walk(conn, query, limit, &reading))
        .collect::<Result<Vec<_>, _>>()?;
    let (items, next) = merge(walks, limit);
    Ok(FoundPage { items, next: next.map(|(service, id)| format!("{service}/{id}")) })
}

/// The statement of one walk through instances.
pub(super) fn instance_query(search: &InstanceSearch, owner: Option<&Owner>) -> Query {
    let mut terms = Terms::default();
    terms.owner(owner);
    if let Some(hostname) = &search.hostname {
        terms.walked.push("id = (SELECT instance FROM hostnames WHERE hostname = :hostname)");
        terms.bind(":hostname", hostname.as_str());
    }
    if let Some(service) = &search.service {
        terms.walked.push("service = :named");
        terms.bind(":named", service);
    }
    if let Some(prefix) = &search.prefix {
        terms.walked.push("service >= :from AND service < :to");
        terms.bind(":from", prefix);
        terms.bind(":to", &format!("{prefix}\u{10ffff}"));
    }
    if let Some((service, id)) = search.after.as_ref().and_then(|after| after.split_once('/')) {
        terms.walked.push("(service, id) > (:service, :id)");
        terms.bind(":service", service);
        terms.bind(":id", id);
    }
    match search.state {
        None if search.deleted => {}
        None => terms.judged.push("state <> 'deleted'"),
        Some(state) => {
            // The index of what is not ready must be told that this is not.
            if owner.is_none() && state != InstanceState::Ready {
                terms.walked.push("state = :state AND state <> 'ready'");
            } else {
                terms.judged.push("state = :state");
            }
            terms.bind(":state", instance_word(state));
        }
    }
    if let Some(plan) = search.plan {
        terms.judged.push("spec ->> '$.plan' = :plan");
        terms.bind(":plan", plan.as_str());
    }
    terms.query(&format!("{}, service", rows::INSTANCE), "instances", "service, id")
}

/// See [`Search::search_operations`](crate::Search::search_operations).
pub(super) fn operations(
    conn: &Connection,
    search: &OperationSearch,
) -> Result<FoundPage<Found, u64>, StoreError> {
    let limit = search.limit.clamp(1, PAGE_ROWS_MAX);
    let reading = Reading {
        hit: 5,
        key: |row| Ok(Reverse(row.get::<_, u64>(1)?)),
        is_over: |row| Ok(row.get(4)?),
        read: |row| {
            let owner = Owner { organization: rows::text(row, 2)?, space: rows::text(row, 3)? };
            Ok(Found { operation: rows::read(&rows::text(row, 0)?)?, owner })
        },
    };
    let walks = queries(search.owners.as_ref(), |owner| operation_query(search, owner))
        .iter()
        .map(|query| walk(conn, query, limit, &reading))
        .collect::<Result<Vec<_>, _>>()?;
    let (items, next) = merge(walks, limit);
    Ok(FoundPage { items, next: next.map(|Reverse(seq)| seq) })
}

/// The statement of one walk through operations.
pub(super) fn operation_query(search: &OperationSearch, owner: Option<&Owner>) -> Query {
    let mut terms = Terms::default();
    if let Some(instance) = &search.instance {
        terms.walked.push("instance = :instance");
        terms.bind(":instance", instance.as_str());
        if let Some(owner) = owner {
            terms.judged.push("organization = :organization AND space = :space");
            terms.bind(":organization", &owner.organization);
            terms.bind(":space", &owner.space);
        }
    } else {
        terms.owner(owner);
    }
    if let Some(state) = search.state {
        let walks = owner.is_none() && search.instance.is_none();
        (if walks { &mut terms.walked } else { &mut terms.judged }).push("state = :state");
        terms.bind(":state", operation_word(state));
    }
    if let Some(after) = search.after {
        terms.walked.push("seq < :after");
        terms.number(":after", i64::try_from(after).unwrap_or(i64::MAX));
    }
    if let Some(kind) = search.kind {
        terms.judged.push("document ->> '$.kind' = :kind");
        terms.bind(":kind", rows::kind_word(kind));
    }
    if search.latest {
        terms.judged.push(
            "NOT EXISTS (SELECT 1 FROM operations newer \
             WHERE newer.instance = operations.instance AND newer.seq > operations.seq)",
        );
    }
    let over = match search.since {
        Some(since) => {
            terms.number(":since", since);
            "document ->> '$.created_at' < :since"
        }
        None => "FALSE",
    };
    let columns = format!("document, seq, organization, space, {over}");
    terms.query(&columns, "operations", "seq DESC")
}
