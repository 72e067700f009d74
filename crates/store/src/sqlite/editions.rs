//! Editions and roll-outs.

use async_trait::async_trait;
use model::{Millis, Rollout};
use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

use super::request::Tx;
use super::{Sqlite, audit, rows, save};
use crate::{
    EDITION_BYTES_MAX, EDITIONS_MAX, EditionFeed, EditionRow, Editions, Given, PAGE_ROWS_MAX,
    ROLLOUTS_MAX, RollStep, Standing, StoreError,
};

fn keep(conn: &Connection, content: &[u8], at: Millis) -> Result<u64, StoreError> {
    let digest: [u8; 32] = Sha256::digest(content).into();
    let known = conn
        .prepare_cached("SELECT number FROM editions WHERE digest = ?1")?
        .query_row([digest], |row| row.get(0))
        .optional()?;
    if let Some(number) = known {
        return Ok(number);
    }
    let number = conn
        .prepare_cached(
            "INSERT INTO editions (digest, content, at) VALUES (?1, ?2, ?3) RETURNING number",
        )?
        .query_row(params![digest, content, at], |row| row.get(0))?;
    forget(conn)?;
    Ok(number)
}

/// Those that nobody is given, nor may be by what is under way, go, the oldest first.
fn forget(conn: &Connection) -> Result<(), StoreError> {
    let Standing { given, offered, rollout } = standing(conn)?;
    let mut needed: Vec<u64> = given.editions.into_iter().map(|(_, number)| number).collect();
    needed.extend(offered.map(|(number, _)| number));
    needed.extend(rollout.iter().flat_map(|rollout| [rollout.from, rollout.to]));
    conn.prepare_cached(
        "DELETE FROM editions WHERE number NOT IN (SELECT value FROM json_each(?1)) AND number NOT IN \
         (SELECT number FROM editions ORDER BY number DESC LIMIT ?2)",
    )?
    .execute(params![rows::json("the editions", &needed)?, EDITIONS_MAX])?;
    Ok(())
}

fn standing(conn: &Connection) -> Result<Standing, StoreError> {
    let (revision, editions, offered, is_taken): (u64, String, Option<u64>, bool) = conn
        .prepare_cached("SELECT revision, editions, offered, is_taken FROM given")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    let given = Given { revision, editions: serde_json::from_str(&editions)? };
    let offered = offered.map(|number| (number, is_taken));
    Ok(Standing { given, offered, rollout: latest(conn, 1)?.into_iter().next() })
}

fn latest(conn: &Connection, limit: usize) -> Result<Vec<Rollout>, StoreError> {
    let mut statement =
        conn.prepare_cached("SELECT rollout FROM rollouts ORDER BY id DESC LIMIT ?1")?;
    let texts = statement.query_map([limit.min(PAGE_ROWS_MAX)], |row| row.get::<_, String>(0))?;
    texts.map(|text| Ok(serde_json::from_str(&text?)?)).collect()
}

fn list(conn: &Connection, limit: usize) -> Result<Vec<EditionRow>, StoreError> {
    let mut statement = conn
        .prepare_cached("SELECT number, digest, at FROM editions ORDER BY number DESC LIMIT ?1")?;
    let rows = statement.query_map([limit.min(PAGE_ROWS_MAX)], |row| {
        Ok(EditionRow { number: row.get(0)?, digest: row.get(1)?, at: row.get(2)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn offer(tx: &Tx<'_>, number: u64, is_taken: bool) -> Result<(), StoreError> {
    if standing(tx.conn)?.given.editions.is_empty() {
        give(tx, &everybody(number))?;
    }
    // What everybody has needs no roll-out, also when something else is rolled out later.
    let is_taken = is_taken || standing(tx.conn)?.given.editions == everybody(number);
    tx.conn
        .prepare_cached("UPDATE given SET offered = ?1, is_taken = ?2 WHERE offered IS NOT ?1")?
        .execute(params![number, is_taken])?;
    Ok(())
}

fn everybody(number: u64) -> Vec<(String, u64)> {
    vec![("*".to_owned(), number)]
}

/// At a new revision, if it is another than now.
fn give(tx: &Tx<'_>, editions: &[(String, u64)]) -> Result<(), StoreError> {
    if standing(tx.conn)?.given.editions == editions {
        return Ok(());
    }
    let revision = save::next_revision(tx)?;
    tx.conn
        .prepare_cached("UPDATE given SET revision = ?1, editions = ?2")?
        .execute(params![revision, rows::json("the editions", &editions)?])?;
    Ok(())
}

fn roll(tx: &Tx<'_>, step: &RollStep) -> Result<Option<Rollout>, StoreError> {
    let mut rollout = step.rollout.clone();
    let written = if rollout.id == 0 { begin(tx, &mut rollout)? } else { go_on(tx, &mut rollout)? };
    if !written {
        return Ok(None);
    }
    if rollout.state != model::RolloutState::Refused {
        give(tx, &rollout.given())?;
    }
    if step.takes_offer {
        tx.conn.prepare_cached("UPDATE given SET is_taken = 1")?.execute([])?;
    }
    if let Some(entry) = &step.entry {
        audit::append(tx, step.at, entry)?;
    }
    Ok(Some(rollout))
}

fn begin(tx: &Tx<'_>, rollout: &mut Rollout) -> Result<bool, StoreError> {
    if latest(tx.conn, 1)?.iter().any(|latest| !latest.state.is_over()) {
        return Ok(false);
    }
    rollout.id = tx
        .conn
        .prepare_cached(
            "SELECT coalesce(max(seq), 0) + 1 FROM sqlite_sequence WHERE name = 'rollouts'",
        )?
        .query_row([], |row| row.get(0))?;
    rollout.turn = 1;
    tx.conn
        .prepare_cached("INSERT INTO rollouts (id, turn, is_over, rollout) VALUES (?1, 1, ?2, ?3)")?
        .execute(params![
            rollout.id,
            rollout.state.is_over(),
            rows::json("the roll-out", &*rollout)?
        ])?;
    tx.conn
        .prepare_cached("DELETE FROM rollouts WHERE id <= ?1 - ?2")?
        .execute(params![rollout.id as i64, ROLLOUTS_MAX as i64])?;
    Ok(true)
}

fn go_on(tx: &Tx<'_>, rollout: &mut Rollout) -> Result<bool, StoreError> {
    let seen = rollout.turn;
    rollout.turn += 1;
    let written = tx
        .conn
        .prepare_cached(
            "UPDATE rollouts SET turn = ?3, is_over = ?4, rollout = ?5 \
             WHERE id = ?1 AND turn = ?2 AND is_over = 0",
        )?
        .execute(params![
            rollout.id,
            seen,
            rollout.turn,
            rollout.state.is_over(),
            rows::json("the roll-out", &*rollout)?
        ])?;
    Ok(written == 1)
}

/// See [`EditionFeed::edition`].
pub(super) fn content(conn: &Connection, number: u64) -> Result<Option<Vec<u8>>, StoreError> {
    // Numbers are the database's: none is higher.
    let Ok(number) = i64::try_from(number) else { return Ok(None) };
    let mut statement = conn.prepare_cached("SELECT content FROM editions WHERE number = ?1")?;
    Ok(statement.query_row([number], |row| row.get(0)).optional()?)
}

/// See [`EditionFeed::standing`].
pub(super) fn now(conn: &Connection) -> Result<Standing, StoreError> {
    let moment = conn.unchecked_transaction()?;
    standing(&moment)
}

#[async_trait]
impl EditionFeed for Sqlite {
    async fn edition(&self, number: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.readers.here(move |conn| content(conn, number)).await
    }

    async fn standing(&self) -> Result<Standing, StoreError> {
        self.inner.readers.here(now).await
    }
}

#[async_trait]
impl Editions for Sqlite {
    async fn keep_edition(&self, content: &[u8], at: Millis) -> Result<u64, StoreError> {
        if content.len() > EDITION_BYTES_MAX {
            let bytes = content.len();
            let why = format!("an edition has {bytes} bytes, {EDITION_BYTES_MAX} at most");
            return Err(StoreError::TooLarge(why));
        }
        let content = content.to_vec();
        self.inner.writer.write(move |tx| keep(tx.conn, &content, at)).await
    }

    async fn editions(&self, limit: usize) -> Result<Vec<EditionRow>, StoreError> {
        self.inner.readers.here(|conn| list(conn, limit)).await
    }

    async fn offer_edition(&self, number: u64, is_taken: bool) -> Result<(), StoreError> {
        self.inner.writer.write(move |tx| offer(tx, number, is_taken)).await
    }

    async fn give_all(&self, number: u64) -> Result<(), StoreError> {
        self.inner.writer.write(move |tx| give(tx, &everybody(number))).await
    }

    async fn roll(&self, step: RollStep) -> Result<Option<Rollout>, StoreError> {
        self.inner.writer.write(move |tx| roll(tx, &step)).await
    }

    async fn rollouts(&self, limit: usize) -> Result<Vec<Rollout>, StoreError> {
        self.inner.readers.here(|conn| latest(conn, limit)).await
    }
}
