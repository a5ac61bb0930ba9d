//! What every batch begins with, in one statement.

use super::sql::sql;
use super::{Connection, StoreError};

/// As it stands in the transaction that asks.
pub struct Opening {
    /// Whether an open alarm says that this database was put back or altered.
    pub is_rolled_back: bool,
    /// The next free `message.seq`.
    pub next_seq: i64,
    /// What changes of partners, their agreements and lists are counted by.
    pub generation: i64,
    /// The partners that may exchange messages now.
    pub active: Vec<String>,
}

/// Reads it.
pub async fn read(conn: &mut Connection) -> Result<Opening, StoreError> {
    let query = sql(
        "SELECT (SELECT count(*) FROM (SELECT 1 FROM alarm WHERE kind = 'rollback' AND settled_ms IS NULL LIMIT 1) AS open),
                (SELECT coalesce(max(seq), 0) + 1 FROM message), (SELECT value FROM generation WHERE id = 1), p.country
         FROM (SELECT 1 AS one) AS one LEFT JOIN partner p ON p.state = 'active'",
    );
    let rows = query.fetch_all(conn).await?;
    let first =
        rows.first().ok_or_else(|| StoreError::Corrupt("no answer to what a batch begins with".into()))?;
    let active = rows.iter().map(|row| row.get::<Option<String>>(3)).collect::<Result<Vec<_>, _>>()?;
    Ok(Opening {
        is_rolled_back: first.get::<i64>(0)? > 0,
        next_seq: first.get(1)?,
        generation: first.get(2)?,
        active: active.into_iter().flatten().collect(),
    })
}
