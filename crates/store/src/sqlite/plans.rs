//! No statement grows with the number of instances: looked at by its plan, and counted as it runs.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use model::{InstanceId, InstanceState, Millis, OperationKind, OperationState, Owner};
use rusqlite::trace::{TraceEvent, TraceEventCodes};
use rusqlite::{Connection, params};

use super::{Options, Sqlite, read, schema, search};
use crate::contract::{self, State, Subject, sample};
use crate::{Clock, Filter, InstanceSearch, OperationSearch, Queue, Search, Store, Write};

/// What no statement may walk through.
const GROWING: &[&str] = &[
    "instances",
    "operations",
    "published",
    "hostnames",
    "audit",
    "bindings",
    "proofs",
    "certificates",
];
/// Indexes that hold only what is under way or waits to be forgotten.
const SMALL: &[&str] = &["operation_in_progress", "tombstones", "proofs_awaited"];

fn now() -> Millis {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    1_000_000 + Millis::try_from(START.elapsed().as_millis()).unwrap()
}

fn options() -> Options {
    let clock: Clock = Arc::new(now);
    Options::new(clock)
}

/// A store whose statements are remembered.
struct Watched {
    folder: tempfile::TempDir,
    seen: Arc<Mutex<BTreeSet<String>>>,
}

#[async_trait]
impl Subject for Watched {
    async fn open(&self) -> Arc<dyn State> {
        let watch = |conn: &mut Connection| {
            let seen = Arc::clone(&self.seen);
            let remember = move |event: TraceEvent<'_>| {
                if let TraceEvent::Stmt(statement, _) = event {
                    seen.lock().unwrap().insert(statement.sql().into_owned());
                }
            };
            conn.trace_v2(TraceEventCodes::SQLITE_TRACE_STMT, Some(remember)).unwrap();
        };
        let path = self.folder.path().join("store.db");
        Arc::new(Sqlite::open_watched(&path, options(), watch).unwrap())
    }

    fn now(&self) -> Millis {
        now()
    }
}

/// The lines of a statement's plan that walk through a table that grows.
fn walks(conn: &Connection, sql: &str) -> Vec<String> {
    let mut plan = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let nulls = vec![rusqlite::types::Null; plan.parameter_count()];
    let lines = plan
        .query_map(rusqlite::params_from_iter(nulls), |row| row.get::<_, String>(3))
        .unwrap()
        .collect::<Result<Vec<_>, _>>()
        .unwrap();
    // An alias is one letter: `SCAN i` is as bad as `SCAN instances`.
    let grows = |word: &str| word.len() == 1 || GROWING.contains(&word);
    lines
        .into_iter()
        .filter(|line| line.strip_prefix("SCAN ").is_some_and(|rest| rest.split(' ').any(grows)))
        .filter(|line| !SMALL.iter().any(|index| line.ends_with(&format!("INDEX {index}"))))
        .collect()
}

fn migrated() -> Connection {
    let mut conn = Connection::open_in_memory().unwrap();
    schema::migrate(&mut conn).unwrap();
    conn
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_statement_walks_through_what_grows() {
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let fresh = || Watched { folder: tempfile::tempdir().unwrap(), seen: Arc::clone(&seen) };
    contract::check(fresh).await;
    let conn = migrated();
    let mut looked_at = 0;
    for sql in seen.lock().unwrap().iter() {
        let verb = sql.split(' ').next().unwrap_or_default();
        // These walk no further than their limit.
        let listing = (sql.contains("FROM instances") && sql.contains("ORDER BY id LIMIT"))
            || sql.contains(" AS hit FROM ")
            || sql.contains("WHERE TRUE ORDER BY t.instance LIMIT")
            || (sql.contains("FROM audit WHERE seq >") && sql.contains("ORDER BY seq"));
        if ["SELECT", "INSERT", "UPDATE", "DELETE"].contains(&verb) && !listing {
            assert_eq!(walks(&conn, sql), Vec::<String>::new(), "{sql}");
            looked_at += 1;
        }
    }
    assert!(looked_at > 30, "only {looked_at} statements were seen");
    assert!(
        !walks(&conn, "SELECT id FROM instances WHERE revision = 1").is_empty(),
        "walks are seen"
    );
}

#[test]
fn a_filtered_listing_finds_its_index() {
    let owner = Owner { organization: "o".to_owned(), space: "s".to_owned() };
    let all = Filter { limit: 10, ..Filter::default() };
    for (owner, filter) in
        [(Some(&owner), all.clone()), (None, Filter { service: Some("shop".to_owned()), ..all })]
    {
        let (sql, values) = read::listing(&filter, owner);
        assert_eq!(walks(&migrated(), &sql), Vec::<String>::new(), "{sql} with {values:?}");
    }
}

#[test]
fn a_search_finds_its_index_and_needs_no_sorting() {
    let owner = Owner { organization: "o".to_owned(), space: "s".to_owned() };
    let plan = |sql: &str| -> Vec<String> {
        let conn = migrated();
        let mut plan = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let nulls = vec![rusqlite::types::Null; plan.parameter_count()];
        let lines = plan.query_map(rusqlite::params_from_iter(nulls), |row| row.get(3)).unwrap();
        lines.collect::<Result<_, _>>().unwrap()
    };
    let all = InstanceSearch::default();
    let failed = Some(InstanceState::Failed);
    let hostname = Some(sample::hostname("a.example.com"));
    let after = Some("shop/a".to_owned());
    for (search, owner, index) in [
        (all.clone(), None, "instances_of_service"),
        (InstanceSearch { after: after.clone(), ..all.clone() }, None, "instances_of_service"),
        (
            InstanceSearch { prefix: Some("sh".to_owned()), ..all.clone() },
            None,
            "instances_of_service",
        ),
        (InstanceSearch { state: failed, after, ..all.clone() }, None, "instances_of_state"),
        (InstanceSearch { hostname, ..all.clone() }, None, "instances_1"),
        (InstanceSearch { state: failed, ..all }, Some(&owner), "instances_of_team"),
    ] {
        let plan = plan(&search::instance_query(&search, owner).sql);
        assert!(plan.iter().any(|line| line.contains(index)), "{search:?}: {plan:?}");
        assert!(!plan.iter().any(|line| line.contains("TEMP B-TREE")), "{search:?}: {plan:?}");
    }
    let all = OperationSearch::default();
    let failed = Some(OperationState::Failed);
    for (search, owner, index) in [
        (OperationSearch { latest: true, ..all.clone() }, None, "SCAN operations"),
        (
            OperationSearch { state: failed, after: Some(7), ..all.clone() },
            None,
            "operations_of_state",
        ),
        (OperationSearch { state: failed, ..all.clone() }, Some(&owner), "operations_of_team"),
        (
            OperationSearch { instance: Some(sample::instance_id("a")), ..all },
            None,
            "operations_of_instance",
        ),
    ] {
        let plan = plan(&search::operation_query(&search, owner).sql);
        assert!(plan.iter().any(|line| line.contains(index)), "{search:?}: {plan:?}");
        assert!(!plan.iter().any(|line| line.contains("TEMP B-TREE")), "{search:?}: {plan:?}");
    }
}

/// A store with `count` instances that are published, as many tombstones, and a delayed job each.
fn populate(path: &std::path::Path, count: usize) {
    let mut conn = Connection::open(path).unwrap();
    schema::migrate(&mut conn).unwrap();
    let tx = conn.transaction().unwrap();
    for index in 1..=count * 2 {
        let id = format!("i{index}");
        let spec = sample::spec("shop", &["shop.example.com"]);
        let state = if index % 2 == 0 { "ready" } else { "deleted" };
        let spec = serde_json::to_string(&spec).unwrap();
        tx.execute(
            "INSERT INTO instances VALUES (?1, 'shop', 'acme', 'web', 'null', ?2, ?3, ?4, 1, \
             9000000000000)",
            params![id, state, spec, index],
        )
        .unwrap();
        let operation =
            "INSERT INTO operations VALUES (?1, ?1, ?2, 'succeeded', 'null', 'acme', 'web')";
        tx.execute(operation, params![index, id]).unwrap();
        // Half of them are delayed, half are ready: of a team with many turns to come.
        let (due_at, turn) = match index % 2 {
            0 => (1, Some(1_000_000 + index)),
            _ => (now() + 1_200_000, None),
        };
        let job = "INSERT INTO jobs (operation, queued_at, due_at, fence, team, turn) \
                   VALUES (?1, 1, ?2, 0, 'many', ?3)";
        tx.execute(job, params![index, due_at, turn]).unwrap();
        let published =
            "INSERT INTO published (instance, revision, spec, proven) VALUES (?1, ?2, ?3, 1)";
        tx.execute(published, params![id, index, spec]).unwrap();
        let hostname = "INSERT INTO hostnames VALUES (?1 || '.example.com', ?1, 1, 1)";
        tx.execute(hostname, params![id]).unwrap();
    }
    tx.execute("UPDATE meta SET revision = ?1", params![count * 2]).unwrap();
    tx.commit().unwrap();
}

/// Counts the instructions of SQLite's machine that each call takes.
struct Meter {
    ran: Arc<AtomicU64>,
    costs: Vec<(&'static str, u64)>,
}

impl Meter {
    async fn cost<T>(&mut self, what: &'static str, call: impl Future<Output = T>) -> T {
        self.ran.store(0, Ordering::Relaxed);
        let answer = call.await;
        self.costs.push((what, self.ran.load(Ordering::Relaxed)));
        answer
    }
}

async fn costs(count: usize) -> Vec<(&'static str, u64)> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    populate(&path, count);
    let ran = Arc::new(AtomicU64::new(0));
    let watch = |conn: &mut Connection| {
        let ran = Arc::clone(&ran);
        let tick = move || ran.fetch_add(1, Ordering::Relaxed) == u64::MAX;
        conn.progress_handler(1, Some(tick)).unwrap();
    };
    let store = Sqlite::open_watched(&path, options(), watch).unwrap();
    let mut meter = Meter { ran, costs: Vec::new() };
    let cursor = store.changes(None, 1_000_000).await.unwrap().cursor;
    live(&store, &mut meter).await;
    look(&store, &mut meter, cursor).await;
    meter.costs
}

async fn live(store: &Sqlite, meter: &mut Meter) {
    let mut expected = None;
    for (what, kind) in [
        ("provision", OperationKind::Provision),
        ("update", OperationKind::Update),
        ("deprovision", OperationKind::Deprovision),
    ] {
        let spec = sample::spec("shop", &["new.example.com"]);
        let wish = sample::accept(kind, "new", &spec, now());
        let operation = wish.operation.clone();
        meter.cost(what, store.accept(wish, expected)).await.unwrap();
        let lease = store.lease(now(), Duration::from_secs(60));
        let fence = meter.cost("lease", lease).await.unwrap().expect("ready").fence;
        meter.cost("extend", store.extend(&fence, now() + 60_000)).await.unwrap();
        let writes = match kind {
            OperationKind::Deprovision => {
                vec![Write::Unpublish, Write::ReleaseAll, Write::State(InstanceState::Deleted)]
            }
            _ => vec![Write::Publish(spec), Write::Release(vec![]), Write::MarkGood(1)],
        };
        let save = sample::save(&fence, &operation, writes, now());
        meter.cost("save", store.save(save)).await.unwrap();
        let finish = sample::finish(&fence, &operation, vec![], now());
        meter.cost("finish", store.save(finish)).await.unwrap();
        let id = sample::instance_id("new");
        expected = store.instance(&id).await.unwrap().map(|instance| instance.updated_at);
    }
}

async fn look(store: &Sqlite, meter: &mut Meter, cursor: crate::Cursor) {
    let id: InstanceId = sample::instance_id("new");
    meter.cost("instance", store.instance(&id)).await.unwrap();
    let operation = meter.cost("operations", store.operations(&id, 5)).await.unwrap().remove(0);
    meter.cost("operation", store.operation(&operation.id)).await.unwrap();
    meter.cost("hostname", store.hostname(&sample::hostname("i2.example.com"))).await.unwrap();
    let page = meter.cost("changes", store.changes(Some(cursor), 100)).await.unwrap();
    assert_eq!(page.changes.len(), 1);
    meter.cost("sweep", store.sweep(now())).await.unwrap();
    let owners = Some(vec![Owner { organization: "acme".to_owned(), space: "web".to_owned() }]);
    let filter = Filter { owners, deleted: true, limit: 10, ..Filter::default() };
    meter.cost("instances", store.instances(filter)).await.unwrap();
    let search = InstanceSearch { limit: 10, ..InstanceSearch::default() };
    meter.cost("search for instances", store.search_instances(search)).await.unwrap();
    let search = OperationSearch { latest: true, limit: 1, ..OperationSearch::default() };
    meter.cost("search for operations", store.search_operations(search)).await.unwrap();
    let later = now() + 1_000_000;
    assert_eq!(meter.cost("forget", store.forget(later)).await, Ok(1), "all others are younger");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_call_costs_does_not_depend_on_the_number_of_instances() {
    let (few, many) = (costs(20).await, costs(400).await);
    assert_eq!(few.len(), many.len());
    for ((what, few), (_, many)) in few.into_iter().zip(many) {
        assert!(few > 0, "{what} was not counted");
        assert!(many <= few + few / 10 + 20, "{what}: {few} instructions have become {many}");
    }
}
