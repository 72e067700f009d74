//! The audit log under the hands of whoever has the file.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::OnDisk;
use rusqlite::Connection;
use store::chain::{Broken, Check, Hash, Link};
use store::contract::sample;
use store::sqlite::verify;
use store::{Accepted, Audit, AuditHead, Store};

/// A store with ten entries, closed, and the head that was told.
async fn written() -> (OnDisk, AuditHead) {
    let disk = OnDisk::fresh();
    let store = disk.sqlite();
    for index in 0..10 {
        let id = format!("i{index}");
        let spec = sample::spec("shop", &[&format!("{id}.example.com")]);
        let wish = sample::accept(model::OperationKind::Provision, &id, &spec, 1_000 + index);
        assert_eq!(store.accept(wish, None).await, Ok(Accepted::Yes));
    }
    let head = store.head().await.unwrap();
    assert_eq!(head.seq, 10);
    (disk, head)
}

fn tamper(disk: &OnDisk, sql: &str) -> rusqlite::Result<()> {
    Connection::open(disk.path()).unwrap().execute_batch(sql)
}

/// Who has the file can also drop what stands in the way.
const UNGUARDED: &str = "DROP TRIGGER audit_is_appended; DROP TRIGGER audit_is_not_changed; \
                         DROP TRIGGER audit_is_not_cut;";

#[tokio::test]
async fn what_was_written_is_whole() {
    let (disk, head) = written().await;
    assert_eq!(verify(&disk.path(), Check::new(vec![head])).unwrap(), Ok(head));
    let _running = disk.sqlite();
    assert_eq!(verify(&disk.path(), Check::new(vec![head])).unwrap(), Ok(head));
}

#[tokio::test]
async fn nothing_is_changed_or_cut_in_passing() {
    let (disk, head) = written().await;
    for sql in [
        "UPDATE audit SET at = 1",
        "UPDATE audit SET entry = entry WHERE seq = 3",
        "DELETE FROM audit",
        "DELETE FROM audit WHERE seq = 10",
        "INSERT INTO audit (seq, at, writer, entry, hash) SELECT 12, at, writer, entry, hash FROM audit WHERE seq = 1",
        "INSERT OR REPLACE INTO audit (seq, at, writer, entry, hash) SELECT 3, at, writer, entry, hash FROM audit WHERE seq = 1",
    ] {
        let refused = tamper(&disk, sql).expect_err(sql).to_string();
        assert!(refused.contains("only appended to"), "{sql}: {refused}");
    }
    assert_eq!(verify(&disk.path(), Check::default()).unwrap(), Ok(head));
}

#[tokio::test]
async fn the_first_entry_that_is_not_what_was_written_is_found() {
    for (sql, broken) in [
        ("UPDATE audit SET at = at + 1 WHERE seq = 4", "entry 4 is not what was written"),
        ("UPDATE audit SET writer = 'me' WHERE seq = 4", "entry 4 is not what was written"),
        (
            "UPDATE audit SET entry = replace(entry, 'tests', 'admin') WHERE seq = 4",
            "entry 4 is not",
        ),
        (
            "UPDATE audit SET entry = entry || ' ' WHERE seq = 10",
            "entry 10 is not what was written",
        ),
        ("UPDATE audit SET hash = zeroblob(32) WHERE seq = 4", "entry 4 is not what was written"),
        ("UPDATE audit SET hash = x'00' WHERE seq = 4", "entry 4 is not what was written"),
        (
            "UPDATE audit SET seq = 40 WHERE seq = 4",
            "entry 4 is missing: after entry 3 comes entry 5",
        ),
        (
            "UPDATE audit SET seq = 0 WHERE seq = 4",
            "entry 1 is missing: after entry 0 comes entry 0",
        ),
        ("UPDATE audit SET seq = -4 WHERE seq = 4", "entry 1 is missing"),
        ("DELETE FROM audit WHERE seq = 4", "entry 4 is missing"),
        ("DELETE FROM audit WHERE seq < 4", "entry 1 is missing"),
        // One more, in the middle.
        (
            "UPDATE audit SET seq = seq + 100 WHERE seq > 4; \
          INSERT INTO audit (seq, at, writer, entry, hash) SELECT 5, at, writer, entry, hash FROM audit WHERE seq = 4; \
          UPDATE audit SET seq = seq - 99 WHERE seq > 100",
            "entry 5 is not what was written",
        ),
        // Two that changed places.
        (
            "UPDATE audit SET seq = 99 WHERE seq = 4; UPDATE audit SET seq = 4 WHERE seq = 5; \
          UPDATE audit SET seq = 5 WHERE seq = 99",
            "entry 4 is not what was written",
        ),
        ("DELETE FROM audit WHERE seq = 10", "the log ends at entry 9, and entry 10 was told"),
        ("DELETE FROM audit", "the log ends at entry 0, and entry 10 was told"),
    ] {
        let (disk, head) = written().await;
        tamper(&disk, &format!("{UNGUARDED}{sql}")).expect(sql);
        let found = verify(&disk.path(), Check::new(vec![head])).unwrap().expect_err(sql);
        assert!(found.to_string().starts_with(broken), "{sql}: {found}");
    }
}

/// Writes the whole chain again after `sql`, as only somebody could who knows how.
fn rewrite(disk: &OnDisk, sql: &str) {
    let conn = Connection::open(disk.path()).unwrap();
    conn.execute_batch(&format!("{UNGUARDED}{sql}")).unwrap();
    let mut previous = Hash::default();
    let mut read = conn.prepare("SELECT seq, at, writer, entry FROM audit ORDER BY seq").unwrap();
    let rows = read.query_map([], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get::<_, String>(2)?, row.get::<_, String>(3)?))
    });
    for row in rows.unwrap().map(Result::unwrap).collect::<Vec<_>>() {
        let (seq, at, writer, text) = row;
        previous = Link { seq, at, writer: &writer, text: &text }.hash(&previous);
        let hash = previous.0;
        conn.execute("UPDATE audit SET hash = ?2 WHERE seq = ?1", (seq, hash)).unwrap();
    }
}

#[tokio::test]
async fn a_log_that_was_rewritten_as_a_whole_is_caught_by_a_head() {
    let (disk, head) = written().await;
    rewrite(&disk, "UPDATE audit SET entry = replace(entry, 'tests', 'admin') WHERE seq = 4");
    let own = verify(&disk.path(), Check::default()).unwrap().expect("it holds together");
    assert_eq!(own.seq, head.seq);
    let found = verify(&disk.path(), Check::new(vec![head])).unwrap().expect_err("it is another");
    assert!(matches!(found, Broken::Rewritten { seq: 10, restored: None, .. }), "{found}");
}

#[tokio::test]
async fn another_writer_needs_a_restore() {
    let (disk, _) = written().await;
    rewrite(&disk, "UPDATE audit SET writer = 'me' WHERE seq > 6");
    let found = verify(&disk.path(), Check::default()).unwrap().expect_err("a stranger");
    assert_eq!(found, Broken::Stranger { seq: 7, writer: "me".to_owned() });
    rewrite_again(&disk);
    let head = verify(&disk.path(), Check::default()).unwrap().expect("a restore");
    // The head of what was replaced explains itself.
    let told = AuditHead { seq: 12, hash: Hash::default() };
    let found = verify(&disk.path(), Check::new(vec![told])).unwrap().expect_err("beyond");
    assert!(found.to_string().contains("the restore of entry 7"), "{found}");
    let told = AuditHead { seq: head.seq, hash: Hash::default() };
    let found = verify(&disk.path(), Check::new(vec![told])).unwrap().expect_err("another");
    assert!(found.to_string().contains("the restore of entry 7"), "{found}");
}

fn rewrite_again(disk: &OnDisk) {
    let conn = Connection::open(disk.path()).unwrap();
    conn.execute_batch(
        "CREATE TRIGGER audit_is_appended BEFORE INSERT ON audit BEGIN SELECT 1; END; \
         CREATE TRIGGER audit_is_not_changed BEFORE INSERT ON audit BEGIN SELECT 1; END; \
         CREATE TRIGGER audit_is_not_cut BEFORE INSERT ON audit BEGIN SELECT 1; END;",
    )
    .unwrap();
    rewrite(
        disk,
        "UPDATE audit SET entry = replace(entry, 'instance.provision', 'platform.restore') \
         WHERE seq = 7",
    );
}

#[test]
fn heads_are_read_as_they_are_told() {
    let head = AuditHead { seq: 7, hash: Hash([0xab; 32]) };
    assert_eq!(head.to_string().parse(), Ok(head));
    for text in ["", "7", "7:", ":ab", "x:00", "7:zz", &format!("7:{}", "é".repeat(32)), "-1:00"] {
        assert!(text.parse::<AuditHead>().is_err(), "{text}");
    }
}
