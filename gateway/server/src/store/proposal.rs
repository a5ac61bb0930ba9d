//! Table `proposal`: what one operator proposes and another one approves.

use silkgate_message::instant::Instant;

use super::sql::{Row, sql};
use super::{Connection, StoreError};

/// A row of `proposal`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proposal {
    /// A UUIDv7.
    pub id: String,
    /// What is to be done, JSON.
    pub plan: Vec<u8>,
    /// When it was proposed.
    pub at: Instant,
    /// Until when it can be approved.
    pub until: Instant,
    /// The certificate of who proposes, DER.
    pub first: Vec<u8>,
    /// Its signature.
    pub first_signature: Vec<u8>,
    /// `open`, `approved` or `refused`.
    pub state: String,
    /// Who decided, once it is not open any more.
    pub decision: Option<Decision>,
}

/// The second pair of eyes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decision {
    /// The certificate, DER.
    pub second: Vec<u8>,
    /// Its signature.
    pub signature: Vec<u8>,
    /// When.
    pub at: Instant,
}

fn read(row: Row) -> Result<Proposal, StoreError> {
    let second: (Option<Vec<u8>>, Option<Vec<u8>>, Option<i64>) = (row.get(7)?, row.get(8)?, row.get(9)?);
    let decision = match second {
        (Some(second), Some(signature), Some(at)) => Some(Decision { second, signature, at: Instant(at) }),
        _ => None,
    };
    Ok(Proposal {
        id: row.get(0)?,
        plan: row.get(1)?,
        at: Instant(row.get(2)?),
        until: Instant(row.get(3)?),
        first: row.get(4)?,
        first_signature: row.get(5)?,
        state: row.get(6)?,
        decision,
    })
}

/// Every proposal, the oldest first.
pub async fn all(conn: &mut Connection) -> Result<Vec<Proposal>, StoreError> {
    let rows = sql(
        "SELECT id, plan, at_ms, until_ms, first, first_signature, state, second, second_signature, settled_ms
         FROM proposal ORDER BY at_ms, id",
    );
    rows.fetch_all(conn).await?.into_iter().map(read).collect()
}

/// One proposal.
pub async fn find(conn: &mut Connection, id: &str) -> Result<Option<Proposal>, StoreError> {
    let row = sql(
        "SELECT id, plan, at_ms, until_ms, first, first_signature, state, second, second_signature, settled_ms
         FROM proposal WHERE id = $1",
    );
    row.bind(id).fetch_optional(conn).await?.map(read).transpose()
}

/// Keeps a new one, which is open.
pub async fn insert(conn: &mut Connection, row: &Proposal) -> Result<(), StoreError> {
    sql("INSERT INTO proposal (id, plan, at_ms, until_ms, first, first_signature, state)
         VALUES ($1, $2, $3, $4, $5, $6, 'open')")
    .bind(row.id.as_str())
    .bind(row.plan.clone())
    .bind(row.at.0)
    .bind(row.until.0)
    .bind(row.first.clone())
    .bind(row.first_signature.clone())
    .execute(conn)
    .await?;
    Ok(())
}

/// Decides an open one; false where it is not open any more.
pub async fn decide(
    conn: &mut Connection,
    id: &str,
    state: &str,
    decision: &Decision,
) -> Result<bool, StoreError> {
    let query = sql("UPDATE proposal SET state = $2, second = $3, second_signature = $4, settled_ms = $5
         WHERE id = $1 AND state = 'open'");
    let query = query.bind(id).bind(state).bind(decision.second.clone()).bind(decision.signature.clone());
    Ok(query.bind(decision.at.0).execute(conn).await? == 1)
}
