//! Tables `revocation_list` and `revocation_source`: what partners' authorities have revoked, and where that is fetched.

use silkgate_message::instant::Instant;

use super::sql::{Row, sql};
use super::{Connection, StoreError, bytes32, partner};

/// A row of `revocation_list`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListRow {
    /// The partner's state.
    pub partner: String,
    /// SHA-256 of the issuer's name, DER.
    pub issuer: [u8; 32],
    /// The list, DER.
    pub list: Vec<u8>,
    /// The certificate of an issuer that is no anchor of the card.
    pub above: Option<Vec<u8>>,
    /// When it runs out.
    pub next_at: Instant,
    /// When it came into force here.
    pub at: Instant,
}

/// A row of `revocation_source`.
#[derive(Clone, Debug)]
pub struct Source {
    /// The partner's state.
    pub partner: String,
    /// `http://…` or `https://…`.
    pub url: String,
    /// For `https://`: by which authorities its server is known, PEM.
    pub roots: Option<Vec<u8>>,
    /// When it was last asked.
    pub checked_at: Instant,
    /// Why that brought nothing.
    pub failure: Option<String>,
}

/// Every list in force.
pub async fn lists(conn: &mut Connection) -> Result<Vec<ListRow>, StoreError> {
    let rows = sql(
        "SELECT partner, issuer, list, above, next_ms, at_ms FROM revocation_list ORDER BY partner, issuer",
    );
    let read = |row: Row| {
        Ok(ListRow {
            partner: row.get(0)?,
            issuer: bytes32(row.get(1)?, "revocation_list.issuer")?,
            list: row.get(2)?,
            above: row.get(3)?,
            next_at: Instant(row.get(4)?),
            at: Instant(row.get(5)?),
        })
    };
    rows.fetch_all(conn).await?.into_iter().map(read).collect()
}

/// Puts a list into force, in the place of the one before.
pub async fn put(conn: &mut Connection, row: &ListRow) -> Result<(), StoreError> {
    sql("INSERT INTO revocation_list (partner, issuer, list, above, next_ms, at_ms) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (partner, issuer) DO UPDATE SET list = excluded.list, above = excluded.above,
             next_ms = excluded.next_ms, at_ms = excluded.at_ms")
    .bind(row.partner.as_str())
    .bind(row.issuer.to_vec())
    .bind(row.list.clone())
    .bind(row.above.clone())
    .bind(row.next_at.0)
    .bind(row.at.0)
    .execute(&mut *conn)
    .await?;
    partner::touch(conn).await
}

/// Takes every list and source of a partner away: its certificates are looked up nowhere any more. The number of lists.
pub async fn clear(conn: &mut Connection, partner: &str) -> Result<u64, StoreError> {
    sql("DELETE FROM revocation_source WHERE partner = $1").bind(partner).execute(&mut *conn).await?;
    let gone =
        sql("DELETE FROM revocation_list WHERE partner = $1").bind(partner).execute(&mut *conn).await?;
    partner::touch(conn).await?;
    Ok(gone)
}

/// Every source.
pub async fn sources(conn: &mut Connection) -> Result<Vec<Source>, StoreError> {
    let rows =
        sql("SELECT partner, url, roots, checked_ms, failure FROM revocation_source ORDER BY partner, url");
    let read = |row: Row| {
        Ok(Source {
            partner: row.get(0)?,
            url: row.get(1)?,
            roots: row.get(2)?,
            checked_at: Instant(row.get(3)?),
            failure: row.get(4)?,
        })
    };
    rows.fetch_all(conn).await?.into_iter().map(read).collect()
}

/// Adds a source, or notes when it was asked and what came of it.
pub async fn put_source(conn: &mut Connection, source: &Source) -> Result<(), StoreError> {
    sql("INSERT INTO revocation_source (partner, url, roots, checked_ms, failure) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (partner, url) DO UPDATE SET roots = excluded.roots, checked_ms = excluded.checked_ms, failure = excluded.failure")
    .bind(source.partner.as_str())
    .bind(source.url.as_str())
    .bind(source.roots.clone())
    .bind(source.checked_at.0)
    .bind(source.failure.clone())
    .execute(conn)
    .await?;
    Ok(())
}
