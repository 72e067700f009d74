//! Migrations only add: the release before understands what the newest leaves. It refuses to open such
//! a file, because it would not keep what the newer tables promise; but nothing it asks is an error.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;

use common::OnDisk;
use rusqlite::Connection;

const FIRST_SCHEMA: &str = include_str!("fixtures/schema-1.sql");
const FIRST_STATEMENTS: &str = include_str!("fixtures/statements-1.sql");

/// A file that the newest release has migrated from the first schema.
fn migrated() -> OnDisk {
    let disk = OnDisk::fresh();
    Connection::open(disk.path()).unwrap().execute_batch(FIRST_SCHEMA).unwrap();
    drop(disk.sqlite());
    disk
}

#[test]
fn the_statements_of_the_first_release_are_understood() {
    let disk = migrated();
    let conn = Connection::open(disk.path()).unwrap();
    let statements: Vec<&str> = FIRST_STATEMENTS
        .lines()
        .filter(|line| !line.starts_with("--"))
        .map(|line| line.trim_end_matches(';'))
        .collect();
    assert!(statements.len() > 40, "{}", statements.len());
    for sql in statements {
        conn.prepare(sql).unwrap_or_else(|why| panic!("{sql}: {why}"));
    }
}

/// Name, whether it must be given, and its default, of each column.
type Columns = BTreeMap<String, (bool, Option<String>)>;

fn columns(conn: &Connection, table: &str) -> Columns {
    let mut info =
        conn.prepare("SELECT name, \"notnull\", dflt_value FROM pragma_table_info(?1)").unwrap();
    let rows = info.query_map([table], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))));
    rows.unwrap().map(Result::unwrap).collect()
}

#[test]
fn what_was_added_to_a_table_may_be_left_out() {
    let first = Connection::open_in_memory().unwrap();
    first.execute_batch(FIRST_SCHEMA).unwrap();
    let disk = migrated();
    let newest = Connection::open(disk.path()).unwrap();
    let mut tables = first.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").unwrap();
    let names = tables.query_map([], |row| row.get::<_, String>(0)).unwrap();
    for table in names.map(Result::unwrap) {
        let (before, after) = (columns(&first, &table), columns(&newest, &table));
        for (name, column) in &before {
            assert_eq!(after.get(name), Some(column), "{table}.{name} is another");
        }
        for (name, (must, default)) in after {
            let is_new = !before.contains_key(&name);
            assert!(!is_new || !must || default.is_some(), "{table}.{name} must be given");
        }
    }
}

/// What the first release would write for an accept and a publish, by hand.
#[test]
fn the_first_release_could_go_on_writing() {
    let disk = migrated();
    let conn = Connection::open(disk.path()).unwrap();
    let spec = r#"{"plan":"internal","parameters":{"hostnames":["n.example.com"],"service":"new"},"hostnames":["n.example.com"]}"#;
    let write = format!(
        "PRAGMA foreign_keys = ON; BEGIN; \
         INSERT INTO instances (id, service, organization, space, platform_context, state, spec, revision, \
           created_at, updated_at) VALUES ('new', 'new', 'acme', 'web', 'null', 'provisioning', '{spec}', NULL, 1, 1); \
         INSERT INTO operations (id, instance, state, document) VALUES ('new.1', 'new', 'in progress', '{{}}'); \
         INSERT INTO hostnames (hostname, instance, since) VALUES ('n.example.com', 'new', 1); \
         INSERT INTO jobs (operation, queued_at, due_at, fence) VALUES ('new.1', 1, 1, 0); \
         UPDATE meta SET revision = revision + 1; \
         INSERT INTO published (instance, revision, spec, proven) VALUES ('new', 2, '{spec}', 0); \
         UPDATE operations SET state = 'succeeded', document = '{{}}' WHERE id = 'new.1'; \
         DELETE FROM jobs WHERE operation = 'new.1'; \
         INSERT INTO blobs (key, value) VALUES ('k', x'00') ON CONFLICT (key) DO UPDATE SET value = excluded.value; \
         COMMIT;"
    );
    conn.execute_batch(&write).unwrap();
    let sound: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
}
