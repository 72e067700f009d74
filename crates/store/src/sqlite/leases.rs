//! Leases by name, and blobs that are written under them.

use std::time::Duration;

use async_trait::async_trait;
use model::Millis;
use rusqlite::{Connection, OptionalExtension, params};

use super::request::Tx;
use super::{Sqlite, blobs};
use crate::{BlobWrite, Holding, LEASE_NAME_BYTES_MAX, Leases, StoreError};

/// One process has the file: whoever held something before has ended.
pub(super) fn take_over(conn: &Connection) -> Result<(), StoreError> {
    conn.execute("UPDATE leases SET until = 0", [])?;
    Ok(())
}

fn hold(
    tx: &Tx<'_>,
    name: &str,
    holder: &str,
    now: Millis,
    until: Millis,
) -> Result<Option<Holding>, StoreError> {
    let number = tx
        .conn
        .prepare_cached(
            "INSERT INTO leases (name, holder, number, until) VALUES (?1, ?2, 1, ?4) \
             ON CONFLICT (name) DO UPDATE SET holder = ?2, until = ?4, \
             number = number + (holder IS NOT ?2) WHERE holder = ?2 OR until <= ?3 \
             RETURNING number",
        )?
        .query_row(params![name, holder, now, until], |row| row.get(0))
        .optional()?;
    Ok(number.map(|number| Holding { name: name.to_owned(), number }))
}

fn let_go(tx: &Tx<'_>, held: &Holding) -> Result<(), StoreError> {
    tx.conn
        .prepare_cached("UPDATE leases SET until = 0 WHERE name = ?1 AND number = ?2")?
        .execute(params![held.name, held.number])?;
    Ok(())
}

fn write(tx: &Tx<'_>, held: &Holding, writes: &[BlobWrite]) -> Result<(), StoreError> {
    let is_held = tx
        .conn
        .prepare_cached("SELECT 1 FROM leases WHERE name = ?1 AND number = ?2")?
        .exists(params![held.name, held.number])?;
    if !is_held {
        return Err(StoreError::Fenced);
    }
    writes.iter().try_for_each(|write| match write {
        BlobWrite::Put(key, value) => blobs::put(tx.conn, key, value),
        BlobWrite::Delete(key) => blobs::delete(tx.conn, key),
    })
}

fn swap(tx: &Tx<'_>, key: &str, old: &[u8], new: &[u8]) -> Result<bool, StoreError> {
    let changed = tx
        .conn
        .prepare_cached("UPDATE blobs SET value = ?3 WHERE key = ?1 AND value = ?2")?
        .execute(params![key, old, new])?;
    Ok(changed == 1)
}

#[async_trait]
impl Leases for Sqlite {
    async fn hold(
        &self,
        name: &str,
        holder: &str,
        now: Millis,
        lease: Duration,
    ) -> Result<Option<Holding>, StoreError> {
        for text in [name, holder] {
            if !(1..=LEASE_NAME_BYTES_MAX).contains(&text.len()) {
                let why = format!("`{text}` has not 1 to {LEASE_NAME_BYTES_MAX} bytes");
                return Err(StoreError::TooLarge(why));
            }
        }
        let until = now.saturating_add(Millis::try_from(lease.as_millis()).unwrap_or(Millis::MAX));
        let (name, holder) = (name.to_owned(), holder.to_owned());
        self.inner.writer.write(move |tx| hold(tx, &name, &holder, now, until)).await
    }

    async fn let_go(&self, held: &Holding) -> Result<(), StoreError> {
        let held = held.clone();
        self.inner.writer.write(move |tx| let_go(tx, &held)).await
    }

    async fn write_held(&self, held: &Holding, writes: Vec<BlobWrite>) -> Result<(), StoreError> {
        for write in &writes {
            match write {
                BlobWrite::Put(key, value) => blobs::check(key, value)?,
                BlobWrite::Delete(key) => blobs::check(key, &[])?,
            }
        }
        let held = held.clone();
        self.inner.writer.write(move |tx| write(tx, &held, &writes)).await
    }

    async fn swap(&self, key: &str, old: &[u8], new: &[u8]) -> Result<bool, StoreError> {
        blobs::check(key, new)?;
        let (key, old, new) = (key.to_owned(), old.to_vec(), new.to_vec());
        self.inner.writer.write(move |tx| swap(tx, &key, &old, &new)).await
    }
}
