//! Tables `payload` and `erasure`: the signed bytes of accepted and submitted messages, encrypted, until they are erased.

use silkgate_message::jws::Digest;
use sqlx::{QueryBuilder, Row, Sqlite};

use super::keys::{DayKey, Found, KeyStore};
use super::message::Way;
use super::seal::{self, Bound, Sealed};
use super::{Connection, Store, StoreError, bytes32, pieces};

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
}

/// A row of `payload`: `seq`, `key_id` and what is sealed.
type Stored = (i64, i64, Sealed);

/// Encrypts payloads and inserts them. Call under [`KeyStore::turn`], held until the commit.
pub async fn insert(conn: &mut Connection, keys: &KeyStore, payloads: &[Payload]) -> Result<(), StoreError> {
    let rows = seal_all(keys, payloads).await?;
    for piece in pieces(&rows) {
        let mut query = QueryBuilder::<Sqlite>::new("INSERT INTO payload (seq, key_id, wrapped, bytes) ");
        query.push_values(piece, |mut values, (seq, key, sealed)| {
            values
                .push_bind(*seq)
                .push_bind(*key)
                .push_bind(sealed.wrapped.clone())
                .push_bind(sealed.bytes.clone());
        });
        query.build().execute(&mut *conn).await?;
    }
    Ok(())
}

async fn seal_all(keys: &KeyStore, payloads: &[Payload]) -> Result<Vec<Stored>, StoreError> {
    let wanted: Vec<(&str, i64)> =
        payloads.iter().map(|payload| (payload.partner.as_str(), payload.day)).collect();
    let day_keys = keys.ensure(&wanted).await?;
    let seal = |(payload, key): (&Payload, &DayKey)| {
        let bound = Bound { partner: &payload.partner, way: payload.way, digest: payload.digest };
        let sealed = seal::seal(key, &bound, &payload.bytes);
        let sealed =
            sealed.ok_or_else(|| StoreError::Corrupt("a payload is too long to be encrypted".into()))?;
        Ok((payload.seq, key.id, sealed))
    };
    payloads.iter().zip(&day_keys).map(seal).collect()
}

impl Store {
    /// The signed bytes of a message; None where they were erased, or never kept.
    pub async fn payload(&self, conn: &mut Connection, seq: i64) -> Result<Option<Vec<u8>>, StoreError> {
        let query = sqlx::query(
            "SELECT p.key_id, p.wrapped, p.bytes, m.partner, m.direction, m.digest
             FROM payload p JOIN message m ON m.seq = p.seq WHERE p.seq = $1",
        );
        let Some(row) = query.bind(seq).fetch_optional(conn).await? else { return Ok(None) };
        let (key_id, wrapped, bytes): (i64, Option<Vec<u8>>, Vec<u8>) = (row.get(0), row.get(1), row.get(2));
        if key_id == 0 {
            // Of an older version; `serve` encrypts it at its start.
            return Ok(Some(bytes));
        }
        let unreadable = |why: String| StoreError::Unreadable { seq, why };
        let key = match self.keys.find(key_id).await? {
            Found::Key(key) => key,
            Found::Destroyed(at) => return Err(unreadable(format!("its day key was destroyed at {at}"))),
            Found::Unknown => return Err(unreadable("the key store does not hold its day key".into())),
        };
        let partner: String = row.get(3);
        let way = if row.get::<String, _>(4) == "sent" { Way::Sent } else { Way::Received };
        let bound = Bound { partner: &partner, way, digest: Digest(bytes32(row.get(5), "message.digest")?) };
        let opened = seal::open(&key, &bound, Sealed { wrapped: wrapped.unwrap_or_default(), bytes });
        opened.map(Some).ok_or_else(|| unreadable("it is not what was encrypted for this message".into()))
    }
}

/// The id of the day key that a payload is under, if the payload is there.
pub async fn key_of(conn: &mut Connection, seq: i64) -> Result<Option<i64>, StoreError> {
    let row = sqlx::query("SELECT key_id FROM payload WHERE seq = $1").bind(seq).fetch_optional(conn).await?;
    Ok(row.map(|row| row.get(0)))
}

/// Whether payloads under keys of the key store exist.
pub(super) async fn any_encrypted(conn: &mut Connection) -> Result<bool, StoreError> {
    let query = sqlx::query("SELECT 1 FROM payload WHERE key_id > 0 LIMIT 1");
    Ok(query.fetch_optional(conn).await?.is_some())
}
