//! Tables `partner`, `card`, `client`, `generation`.

use silkgate_message::instant::Instant;
use silkgate_message::jws::Digest;

use super::sql::sql;
use super::{Connection, StoreError};

/// A row of `partner`.
#[derive(Clone, Debug)]
pub struct PartnerRow {
    /// ISO 3166-1 alpha-2.
    pub country: String,
    /// `active`, `suspended` or `removed`.
    pub state: String,
    /// The card in force, verbatim.
    pub card: Vec<u8>,
    /// The agreement, TOML.
    pub agreement: String,
    /// `host:port` to dial instead of the card's endpoint.
    pub connect: Option<String>,
    /// When it was added.
    pub added_at: Instant,
}

/// A row of `client`: a certificate on the national plane.
#[derive(Clone, Debug)]
pub struct ClientRow {
    /// SHA-256 of the certificate.
    pub certificate: Digest,
    /// `backend`, `operator`, `auditor` or `data-protection`.
    pub role: String,
    /// The party of a back end, the name of another role.
    pub subject: String,
    /// When the certificate runs out.
    pub until: Instant,
}

/// Every partner, by country.
pub async fn all(conn: &mut Connection) -> Result<Vec<PartnerRow>, StoreError> {
    let rows = sql("SELECT country, state, card, agreement, connect, added_ms FROM partner ORDER BY country");
    let rows = rows.fetch_all(conn).await?;
    rows.into_iter()
        .map(|row| {
            Ok(PartnerRow {
                country: row.get(0)?,
                state: row.get(1)?,
                card: row.get(2)?,
                agreement: row.get(3)?,
                connect: row.get(4)?,
                added_at: Instant(row.get(5)?),
            })
        })
        .collect()
}

/// Inserts or replaces a partner.
pub async fn put(conn: &mut Connection, row: &PartnerRow) -> Result<(), StoreError> {
    sql(
        "INSERT INTO partner (country, state, card, agreement, connect, added_ms) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (country) DO UPDATE SET state = excluded.state, card = excluded.card,
             agreement = excluded.agreement, connect = excluded.connect",
    )
    .bind(row.country.clone())
    .bind(row.state.clone())
    .bind(row.card.clone())
    .bind(row.agreement.clone())
    .bind(row.connect.clone())
    .bind(row.added_at.0)
    .execute(&mut *conn)
    .await?;
    touch(conn).await
}

/// Keeps a card for ever: entries of its time are judged by it.
pub async fn keep_card(
    conn: &mut Connection,
    country: &str,
    digest: &Digest,
    bytes: &[u8],
    at: Instant,
) -> Result<(), StoreError> {
    sql("INSERT INTO card (country, digest, bytes, at_ms) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING")
        .bind(country.to_owned())
        .bind(digest.0.to_vec())
        .bind(bytes.to_vec())
        .bind(at.0)
        .execute(conn)
        .await?;
    Ok(())
}

/// Every card that was ever in force.
pub async fn cards(conn: &mut Connection) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
    let rows = sql("SELECT country, bytes FROM card ORDER BY at_ms").fetch_all(conn).await?;
    rows.into_iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect()
}

/// Registers a certificate of the national plane.
pub async fn add_client(conn: &mut Connection, row: &ClientRow, at: Instant) -> Result<(), StoreError> {
    sql("INSERT INTO client (certificate, role, subject, until_ms, added_ms) VALUES ($1, $2, $3, $4, $5)")
        .bind(row.certificate.0.to_vec())
        .bind(row.role.clone())
        .bind(row.subject.clone())
        .bind(row.until.0)
        .bind(at.0)
        .execute(&mut *conn)
        .await?;
    touch(conn).await
}

/// Takes a certificate of the national plane off the list.
pub async fn remove_client(conn: &mut Connection, certificate: &Digest) -> Result<(), StoreError> {
    let query = sql("DELETE FROM client WHERE certificate = $1").bind(certificate.0.to_vec());
    query.execute(&mut *conn).await?;
    touch(conn).await
}

/// Every certificate of the national plane.
pub async fn clients(conn: &mut Connection) -> Result<Vec<ClientRow>, StoreError> {
    let rows =
        sql("SELECT certificate, role, subject, until_ms FROM client ORDER BY role, subject, added_ms");
    let rows = rows.fetch_all(conn).await?;
    rows.into_iter()
        .map(|row| {
            Ok(ClientRow {
                certificate: Digest(super::bytes32(row.get(0)?, "client.certificate")?),
                role: row.get(1)?,
                subject: row.get(2)?,
                until: Instant(row.get(3)?),
            })
        })
        .collect()
}

/// The number of changes to partners and clients so far.
pub async fn generation(conn: &mut Connection) -> Result<i64, StoreError> {
    sql("SELECT value FROM generation WHERE id = 1").value(conn).await
}

/// Counts a change, so that a running gateway reads again.
pub async fn touch(conn: &mut Connection) -> Result<(), StoreError> {
    sql("UPDATE generation SET value = value + 1 WHERE id = 1").execute(conn).await?;
    Ok(())
}
