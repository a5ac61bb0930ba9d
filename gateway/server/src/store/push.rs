//! Table `push`: where back ends are told what is for them, instead of asking.

use silkgate_message::instant::Instant;

use super::sql::sql;
use super::{Connection, StoreError, partner};

/// A row of `push`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Push {
    /// The back end's authority.
    pub party: String,
    /// `https://…` or `tls://…`.
    pub url: String,
    /// The certificates by which that server is known, PEM.
    pub anchors: Vec<u8>,
    /// By the key of the home over all of this.
    pub signature: Vec<u8>,
    /// Since when.
    pub added_at: Instant,
}

impl Push {
    /// What is signed: each part with its length before it, so that no two rows are one text.
    pub fn signed_text(&self) -> Vec<u8> {
        let parts = [b"silkgate push".as_slice(), self.party.as_bytes(), self.url.as_bytes(), &self.anchors];
        let at = self.added_at.0.to_be_bytes();
        parts
            .into_iter()
            .chain([at.as_slice()])
            .flat_map(|part| [&(part.len() as u64).to_be_bytes(), part].concat())
            .collect()
    }
}

/// All of them, by party.
pub async fn all(conn: &mut Connection) -> Result<Vec<Push>, StoreError> {
    let rows = sql("SELECT party, url, anchors, signature, added_ms FROM push ORDER BY party")
        .fetch_all(conn)
        .await?;
    let read = |row: super::sql::Row| {
        Ok(Push {
            party: row.get(0)?,
            url: row.get(1)?,
            anchors: row.get(2)?,
            signature: row.get(3)?,
            added_at: Instant(row.get(4)?),
        })
    };
    rows.into_iter().map(read).collect()
}

/// Sets where a back end is told.
pub async fn put(conn: &mut Connection, row: &Push) -> Result<(), StoreError> {
    sql("INSERT INTO push (party, url, anchors, signature, added_ms) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (party) DO UPDATE SET url = excluded.url, anchors = excluded.anchors, signature = excluded.signature, added_ms = excluded.added_ms")
    .bind(row.party.as_str())
    .bind(row.url.as_str())
    .bind(row.anchors.clone())
    .bind(row.signature.clone())
    .bind(row.added_at.0)
    .execute(&mut *conn)
    .await?;
    partner::touch(conn).await
}

/// From now on the back end asks. False where it did already.
pub async fn remove(conn: &mut Connection, party: &str) -> Result<bool, StoreError> {
    let removed = sql("DELETE FROM push WHERE party = $1").bind(party).execute(&mut *conn).await?;
    partner::touch(conn).await?;
    Ok(removed > 0)
}
