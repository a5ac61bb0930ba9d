//! Table `timestamp`: what a time-stamping authority states about our checkpoints.

use silkgate_message::instant::Instant;

use super::ledger::{signed, unsigned};
use super::sql::{Row, sql};
use super::{Connection, StoreError, ascending};

/// A row of `timestamp`.
#[derive(Clone, Debug)]
pub struct Stamp {
    /// The checkpoint's size.
    pub size: u64,
    /// When the authority states that it saw it.
    pub at: Instant,
    /// The TimeStampToken in DER.
    pub token: Vec<u8>,
}

fn read(row: &Row) -> Result<Stamp, StoreError> {
    Ok(Stamp { size: unsigned(row.get(0)?)?, at: Instant(row.get(1)?), token: row.get(2)? })
}

/// Keeps a time-stamp that was verified; a second one over the same checkpoint is left out.
pub async fn put(conn: &mut Connection, log: i64, stamp: &Stamp) -> Result<(), StoreError> {
    let done =
        sql("INSERT INTO timestamp (log, size, at_ms, token) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING")
            .bind(log)
            .bind(signed(stamp.size))
            .bind(stamp.at.0)
            .bind(stamp.token.clone())
            .execute(&mut *conn)
            .await?;
    if done == 1 {
        sql("UPDATE log SET stamped = stamped + 1 WHERE id = $1").bind(log).execute(conn).await?;
    }
    Ok(())
}

/// The time-stamp over the largest checkpoint of a log.
pub async fn newest(conn: &mut Connection, log: i64) -> Result<Option<Stamp>, StoreError> {
    let query = sql("SELECT size, at_ms, token FROM timestamp WHERE log = $1 ORDER BY size DESC LIMIT 1");
    query.bind(log).fetch_optional(conn).await?.as_ref().map(read).transpose()
}

/// The first time-stamp over a checkpoint of at least `size` entries: the earliest proof by an authority that entry `size - 1` was there.
pub async fn first_over(conn: &mut Connection, log: i64, size: u64) -> Result<Option<Stamp>, StoreError> {
    let query =
        sql("SELECT size, at_ms, token FROM timestamp WHERE log = $1 AND size >= $2 ORDER BY size LIMIT 1");
    query.bind(log).bind(signed(size)).fetch_optional(conn).await?.as_ref().map(read).transpose()
}

/// Time-stamps of a log by size, from above `after` on, at most `limit`.
pub async fn after(
    conn: &mut Connection,
    log: i64,
    after: u64,
    limit: u32,
) -> Result<Vec<Stamp>, StoreError> {
    let query =
        sql("SELECT size, at_ms, token FROM timestamp WHERE log = $1 AND size > $2 ORDER BY size LIMIT $3");
    let rows = query.bind(log).bind(signed(after)).bind(i64::from(limit)).fetch_all(conn).await?;
    let page = rows.iter().map(read).collect::<Result<_, _>>()?;
    ascending(after, page, |stamp: &Stamp| stamp.size, "timestamp")
}

/// How many time-stamps a log was given.
pub async fn given(conn: &mut Connection, log: i64) -> Result<u64, StoreError> {
    let row = sql("SELECT stamped FROM log WHERE id = $1").bind(log).fetch_one(conn).await?;
    unsigned(row.get(0)?)
}

/// How many rows there are, of any log.
pub async fn count(conn: &mut Connection) -> Result<u64, StoreError> {
    unsigned(sql("SELECT count(*) FROM timestamp").value(conn).await?)
}
