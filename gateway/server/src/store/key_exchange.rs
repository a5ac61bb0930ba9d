//! Table `key_exchange`: in which group keys were exchanged with each partner, as the house log says it.

use silkgate_message::instant::Instant;

use super::sql::{Row, sql};
use super::{Connection, StoreError};

/// A row of `key_exchange`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExchangeRow {
    /// The partner's state.
    pub partner: String,
    /// `in`: the partner called; `out`: we did.
    pub direction: String,
    /// The group, as the entry has it.
    pub kx: String,
    /// Since when.
    pub at: Instant,
}

/// Every row.
pub async fn all(conn: &mut Connection) -> Result<Vec<ExchangeRow>, StoreError> {
    let rows = sql("SELECT partner, direction, kx, at_ms FROM key_exchange ORDER BY partner, direction");
    rows.fetch_all(conn).await?.into_iter().map(read).collect()
}

/// What was noted last.
pub async fn find(
    conn: &mut Connection,
    partner: &str,
    direction: &str,
) -> Result<Option<ExchangeRow>, StoreError> {
    let row =
        sql("SELECT partner, direction, kx, at_ms FROM key_exchange WHERE partner = $1 AND direction = $2");
    row.bind(partner).bind(direction).fetch_optional(conn).await?.map(read).transpose()
}

/// Notes it, in the place of what was before.
pub async fn put(conn: &mut Connection, row: &ExchangeRow) -> Result<(), StoreError> {
    sql("INSERT INTO key_exchange (partner, direction, kx, at_ms) VALUES ($1, $2, $3, $4)
         ON CONFLICT (partner, direction) DO UPDATE SET kx = excluded.kx, at_ms = excluded.at_ms")
    .bind(row.partner.as_str())
    .bind(row.direction.as_str())
    .bind(row.kx.as_str())
    .bind(row.at.0)
    .execute(conn)
    .await?;
    Ok(())
}

fn read(row: Row) -> Result<ExchangeRow, StoreError> {
    Ok(ExchangeRow {
        partner: row.get(0)?,
        direction: row.get(1)?,
        kx: row.get(2)?,
        at: Instant(row.get(3)?),
    })
}
