//! Table `payload`: the signed bytes of accepted and submitted messages, encrypted, until they are erased.

use std::time::Duration;

use silkgate_message::jws::Digest;
use sqlx::AssertSqlSafe;

use super::database::Database;
use super::keys::{DayKey, Found, KeyStore};
use super::matching;
use super::message::Way;
use super::seal::{self, Bound, Sealed};
use super::sql::{Row, sql};
use super::{Connection, Script, Store, StoreError, bytes32};
use crate::clock;

/// `user_version` of a database in which no payload stands, or ever stood, in the clear.
const ENCRYPTED: i64 = 1;

/// A payload to be kept.
pub struct Payload {
    /// The message.
    pub seq: i64,
    /// Which way it went.
    pub way: Way,
    /// The partner's state.
    pub partner: String,
    /// Its digest.
    pub digest: Digest,
    /// The day on which it is to be erased: days since 1970, UTC.
    pub day: i64,
    /// The signed bytes.
    pub bytes: Vec<u8>,
    /// By what the message can be found.
    pub terms: Vec<String>,
}

/// A payload, sealed, and the day key that it is under.
struct Stored {
    seq: i64,
    key: DayKey,
    sealed: Sealed,
}

/// Encrypts payloads and inserts them, with what their messages can be found by.
pub async fn insert(script: &mut Script, keys: &KeyStore, payloads: &[Payload]) -> Result<(), StoreError> {
    let stored = seal_all(keys, payloads).await?;
    let found_by =
        stored.iter().zip(payloads).map(|(of, payload)| (of.seq, &of.key, payload.terms.as_slice()));
    matching::insert(script, found_by);
    let values =
        |of: Stored| vec![of.seq.into(), of.key.id.into(), of.sealed.wrapped.into(), of.sealed.bytes.into()];
    let head = "INSERT INTO payload (seq, key_id, wrapped, bytes)";
    script.insert(head, "", stored.into_iter().map(values).collect());
    Ok(())
}

/// Puts encrypted payloads in the place of plain ones.
pub async fn replace(conn: &mut Connection, keys: &KeyStore, payloads: &[Payload]) -> Result<(), StoreError> {
    for Stored { seq, key, sealed } in seal_all(keys, payloads).await? {
        sql("UPDATE payload SET key_id = $1, wrapped = $2, bytes = $3 WHERE seq = $4")
            .bind(key.id)
            .bind(sealed.wrapped)
            .bind(sealed.bytes)
            .bind(seq)
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

/// Payloads that are not encrypted, at most `limit`.
pub async fn plain(conn: &mut Connection, limit: u32) -> Result<Vec<(i64, Vec<u8>)>, StoreError> {
    let query = sql("SELECT seq, bytes FROM payload WHERE key_id = 0 ORDER BY seq LIMIT $1");
    let rows = query.bind(i64::from(limit)).fetch_all(conn).await?;
    rows.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect()
}

async fn seal_all(keys: &KeyStore, payloads: &[Payload]) -> Result<Vec<Stored>, StoreError> {
    let wanted: Vec<(&str, i64)> =
        payloads.iter().map(|payload| (payload.partner.as_str(), payload.day)).collect();
    let day_keys = keys.ensure(&wanted).await?;
    let seal = |(payload, key): (&Payload, DayKey)| {
        let bound = Bound { partner: &payload.partner, way: payload.way, digest: payload.digest };
        let sealed = seal::seal(&key, &bound, &payload.bytes);
        let sealed =
            sealed.ok_or_else(|| StoreError::Corrupt("a payload is too long to be encrypted".into()))?;
        Ok(Stored { seq: payload.seq, key, sealed })
    };
    payloads.iter().zip(day_keys).map(seal).collect()
}

impl Store {
    /// The signed bytes of a message; None where they were erased, or never kept.
    pub async fn payload(&self, conn: &mut Connection, seq: i64) -> Result<Option<Vec<u8>>, StoreError> {
        let found = self.payloads(conn, seq.saturating_sub(1), seq).await?.pop();
        found.map(|(_, payload)| payload).transpose()
    }

    /// The signed bytes of messages after `seq` and up to `last`, ascending; in its place the error where one cannot be
    /// decrypted.
    pub async fn payloads(
        &self,
        conn: &mut Connection,
        seq: i64,
        last: i64,
    ) -> Result<Vec<(i64, Result<Vec<u8>, StoreError>)>, StoreError> {
        let rows = sql(
            "SELECT p.seq, p.key_id, p.wrapped, p.bytes, m.partner, m.direction, m.digest
             FROM payload p LEFT JOIN message m ON m.seq = p.seq WHERE p.seq > $1 AND p.seq <= $2 ORDER BY p.seq",
        );
        let rows = rows.bind(seq).bind(last).fetch_all(&mut *conn).await?;
        let mut payloads = Vec::new();
        for row in rows {
            let seq = row.get(0)?;
            let opened = match self.opened(&mut *conn, seq, &row).await {
                Err(error) if !matches!(error, StoreError::Unreadable { .. }) => return Err(error),
                opened => opened,
            };
            payloads.push((seq, opened));
        }
        Ok(payloads)
    }

    async fn opened(&self, conn: &mut Connection, seq: i64, row: &Row) -> Result<Vec<u8>, StoreError> {
        let key_id: i64 = row.get(1)?;
        let (wrapped, bytes): (Option<Vec<u8>>, Vec<u8>) = (row.get(2)?, row.get(3)?);
        // Once all are encrypted none may stand in the clear again: no retention would reach it.
        if key_id == 0 && wrapped.is_none() && !is_encrypted(conn).await? {
            // Of an older version; `serve` encrypts it at its start.
            return Ok(bytes);
        }
        let unreadable = |why: String| StoreError::Unreadable { seq, why, destroyed: false };
        let key = match self.keys.find(key_id).await? {
            Found::Key(key) => key,
            Found::Destroyed(at) => {
                let why = format!("its day key was destroyed at {at}");
                return Err(StoreError::Unreadable { seq, why, destroyed: true });
            }
            Found::Unknown if key_id == 0 => {
                return Err(unreadable("it is not encrypted, and all are".into()));
            }
            Found::Unknown => return Err(unreadable("the key store does not hold its day key".into())),
        };
        let Some(partner) = row.get::<Option<String>>(4)? else {
            return Err(unreadable("there is no message for it".into()));
        };
        let way = if row.get::<String>(5)? == "sent" { Way::Sent } else { Way::Received };
        let digest = Digest(bytes32(row.get(6)?, "message.digest")?);
        let bound = Bound { partner: &partner, way, digest };
        let opened = seal::open(&key, &bound, Sealed { wrapped: wrapped.unwrap_or_default(), bytes });
        opened.ok_or_else(|| unreadable("it is not what was encrypted for this message".into()))
    }
}

impl Store {
    /// The day from which on a payload is to be erased; None where there is none, or its key is not known.
    pub async fn retention_day(&self, conn: &mut Connection, seq: i64) -> Result<Option<i64>, StoreError> {
        let Some(id) = key_of(conn, seq).await? else { return Ok(None) };
        Ok(match self.keys.find(id).await? {
            Found::Key(key) => Some(key.day),
            Found::Destroyed(_) | Found::Unknown => None,
        })
    }

    /// Destroys those of `keys`, whose day has come, that no payload is under, and gives their number. Repeats what a
    /// crash left undone: an erasure is committed before its key is destroyed. Keys of later days stay, used or not:
    /// another database in the place of ours must not cost the keys of what is to be kept.
    pub async fn destroy_unused(&self, keys: &[i64]) -> Result<usize, StoreError> {
        let mut destroyed = 0;
        if keys.is_empty() {
            self.keys.scrub().await?;
            return Ok(destroyed);
        }
        // Nobody else writes meanwhile: what uses a key is committed, and seen here.
        let mut tx = self.write().await?;
        for id in keys {
            let Some(taken) = self.keys.taken(*id).await? else { continue };
            if under(&mut tx, *id, 0, 1).await?.is_empty() {
                destroyed += usize::from(self.keys.destroy(*id, taken, clock::now()).await?);
            }
        }
        // Nobody waits for that.
        tx.rollback().await?;
        self.keys.scrub().await?;
        Ok(destroyed)
    }

    /// Whether nothing of a payload stands in the clear any more.
    pub async fn is_encrypted(&self) -> Result<bool, StoreError> {
        is_encrypted(&mut self.read().await?).await
    }

    /// Writes the whole database anew, without any page or part of a page that is not in use, and notes that nothing
    /// stands in the clear any more. Needs as much room again.
    pub async fn compact(&self) -> Result<(), StoreError> {
        if let Database::Sqlite { writer, .. } = &self.database {
            sqlx::query("VACUUM").execute(&mut *writer.hold().await?).await?;
        }
        self.fold(Duration::from_secs(60)).await?;
        self.note_encrypted().await
    }

    pub(super) async fn note_encrypted(&self) -> Result<(), StoreError> {
        note_encrypted(&self.database).await
    }

    /// Folds the write-ahead log into the database and empties it, so that nothing deleted is left in either. False
    /// where a reader held on to an older state for all of `patience`.
    pub async fn fold(&self, patience: Duration) -> Result<bool, StoreError> {
        let Database::Sqlite { writer, .. } = &self.database else { return Ok(true) };
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            let fold = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)");
            let row = fold.fetch_one(&mut *writer.hold().await?).await?;
            if sqlx::Row::try_get::<i64, _>(&row, 0)? == 0 {
                return Ok(true);
            }
            if tokio::time::Instant::now() >= deadline {
                return Ok(false);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Notes in a file that nothing stands in the clear; a server's database never held anything else.
pub(super) async fn note_encrypted(database: &Database) -> Result<(), StoreError> {
    if let Database::Sqlite { writer, .. } = database {
        let text = AssertSqlSafe(format!("PRAGMA user_version = {ENCRYPTED}"));
        sqlx::query(text).execute(&mut *writer.hold().await?).await?;
    }
    Ok(())
}

/// Whether no payload stands in the clear, or ever stood so in these pages.
pub(super) async fn is_encrypted(conn: &mut Connection) -> Result<bool, StoreError> {
    // Of an older version only a file can be.
    Ok(conn.is_shared() || sql("PRAGMA user_version").value::<i64>(conn).await? >= ENCRYPTED)
}

/// The id of the day key that a payload is under, if the payload is there.
pub async fn key_of(conn: &mut Connection, seq: i64) -> Result<Option<i64>, StoreError> {
    sql("SELECT key_id FROM payload WHERE seq = $1").bind(seq).first(conn).await
}

/// Takes a payload, its wrapped key and what it was found by away. False where it is not there.
pub async fn remove(conn: &mut Connection, seq: i64) -> Result<bool, StoreError> {
    matching::remove(conn, seq).await?;
    let done = sql("DELETE FROM payload WHERE seq = $1").bind(seq).execute(conn).await?;
    Ok(done == 1)
}

/// Messages whose payload is under a day key, from above `after` on, at most `limit`.
pub async fn under(conn: &mut Connection, key: i64, after: i64, limit: u32) -> Result<Vec<i64>, StoreError> {
    let query = sql("SELECT seq FROM payload WHERE key_id = $1 AND seq > $2 ORDER BY seq LIMIT $3");
    query.bind(key).bind(after).bind(i64::from(limit)).column(conn).await
}

/// Whether payloads under keys of the key store exist.
pub(super) async fn any_encrypted(conn: &mut Connection) -> Result<bool, StoreError> {
    let query = sql("SELECT 1 FROM payload WHERE key_id > 0 LIMIT 1");
    Ok(query.fetch_optional(conn).await?.is_some())
}
