//! Table `reading`: who read what on the national plane, and why. The house log says that it was done, in which role and by which
//! certificate, and holds a salted digest of the rest.

use silkgate_message::jws::Digest;

use super::ledger::{signed, unsigned};
use super::sql::{Row, sql};
use super::{Connection, StoreError, ascending};

/// Bytes of the salt.
pub const SALT_LEN: usize = 16;

/// A row of `reading`.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Who, as the certificate is registered.
    pub name: String,
    /// What was looked at.
    pub what: String,
    /// What for.
    pub reason: Option<String>,
    /// Keeps the digest from being guessed.
    pub salt: Vec<u8>,
}

impl Reading {
    /// SHA-256 of the salt and the JSON array of name, what and reason. None where the salt is not [`SALT_LEN`] bytes: where it ends
    /// must not be a matter of choice.
    pub fn digest(&self) -> Option<Digest> {
        let said = serde_json::to_vec(&(&self.name, &self.what, &self.reason)).ok()?;
        (self.salt.len() == SALT_LEN).then(|| Digest::of(&[self.salt.as_slice(), &said].concat()))
    }
}

/// Notes a read under its entry in the house log.
pub async fn insert(conn: &mut Connection, entry: u64, reading: &Reading) -> Result<(), StoreError> {
    sql("INSERT INTO reading (entry, name, what, reason, salt) VALUES ($1, $2, $3, $4, $5)")
        .bind(signed(entry))
        .bind(reading.name.clone())
        .bind(reading.what.clone())
        .bind(reading.reason.clone())
        .bind(reading.salt.clone())
        .execute(conn)
        .await?;
    Ok(())
}

/// The reads of entries after `after` and up to `last`, ascending, at most `limit`; whatever numbers stand there.
pub async fn between(
    conn: &mut Connection,
    after: i64,
    last: i64,
    limit: u32,
) -> Result<Vec<(i64, Reading)>, StoreError> {
    let query = sql("SELECT entry, name, what, reason, salt FROM reading
         WHERE entry > $1 AND entry <= $2 ORDER BY entry LIMIT $3");
    let rows = query.bind(after).bind(last).bind(i64::from(limit)).fetch_all(conn).await?;
    let page = rows.iter().map(|row| Ok((row.get(0)?, read(row)?)));
    ascending(after, page.collect::<Result<_, StoreError>>()?, |row| row.0, "reading")
}

/// The reads from an entry on, each with that entry of the log `house`, at most `limit`.
pub async fn page(
    conn: &mut Connection,
    house: i64,
    from: u64,
    limit: u32,
) -> Result<Vec<(u64, Reading, Vec<u8>)>, StoreError> {
    let query = sql("SELECT r.entry, r.name, r.what, r.reason, r.salt, e.body
         FROM reading r JOIN entry e ON e.log = $1 AND e.idx = r.entry
         WHERE r.entry >= $2 ORDER BY r.entry LIMIT $3");
    let rows = query.bind(house).bind(signed(from)).bind(i64::from(limit)).fetch_all(conn).await?;
    rows.iter().map(|row| Ok((unsigned(row.get(0)?)?, read(row)?, row.get(5)?))).collect()
}

/// The same for the entries before `before`, the newest first.
pub async fn newest(
    conn: &mut Connection,
    house: i64,
    before: u64,
    limit: u32,
) -> Result<Vec<(u64, Reading, Vec<u8>)>, StoreError> {
    let query = sql("SELECT r.entry, r.name, r.what, r.reason, r.salt, e.body
         FROM reading r JOIN entry e ON e.log = $1 AND e.idx = r.entry
         WHERE r.entry < $2 ORDER BY r.entry DESC LIMIT $3");
    let rows = query.bind(house).bind(signed(before)).bind(i64::from(limit)).fetch_all(conn).await?;
    rows.iter().map(|row| Ok((unsigned(row.get(0)?)?, read(row)?, row.get(5)?))).collect()
}

fn read(row: &Row) -> Result<Reading, StoreError> {
    Ok(Reading { name: row.get(1)?, what: row.get(2)?, reason: row.get(3)?, salt: row.get(4)? })
}
