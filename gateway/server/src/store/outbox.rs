//! Tables `outbox` and `attempt`: what is still to be sent, in order per (partner, subject).

use silkgate_message::instant::Instant;
use silkgate_message::lifecycle::RecordState;

use super::sql::{Row, either, sql};
use super::{Connection, StoreError, record};

/// A leased row: this process, and no other, may attempt it until the lease runs out.
#[derive(Clone, Debug)]
pub struct Leased {
    /// The message.
    pub seq: i64,
    /// Attempts before this one.
    pub attempts: u32,
    /// Refusals without receipt so far.
    pub refusals: u32,
}

/// A lease's secret: who holds it may settle the row.
pub type Lease = [u8; 16];

/// Puts a message in the outbox, due at once. `record`: the state its record takes once the
/// partner accepts it.
pub async fn insert(
    conn: &mut Connection,
    seq: i64,
    partner: &str,
    subject: &str,
    due: Instant,
    record: Option<&RecordState>,
) -> Result<(), StoreError> {
    sql("INSERT INTO outbox (seq, partner, subject, due_ms, record) VALUES ($1, $2, $3, $4, $5)")
        .bind(seq)
        .bind(partner.to_owned())
        .bind(subject.to_owned())
        .bind(due.0)
        .bind(record::to_text(record))
        .execute(conn)
        .await?;
    Ok(())
}

/// Active partners that have something due.
pub async fn due_partners(conn: &mut Connection, now: Instant) -> Result<Vec<String>, StoreError> {
    sql(
        "SELECT DISTINCT o.partner FROM outbox o JOIN partner p ON p.country = o.partner AND p.state = 'active'
         WHERE o.due_ms <= $1 AND o.lease_ms <= $1",
    )
    .bind(now.0)
    .column(conn)
    .await
}

/// Leases due rows of a partner. A row whose record has an earlier row here is passed over: versions
/// of one record go one after another.
pub async fn lease_due(
    conn: &mut Connection,
    partner: &str,
    now: Instant,
    until: Instant,
    lease: &Lease,
    limit: usize,
) -> Result<Vec<Leased>, StoreError> {
    let due = either!(
        conn,
        "UPDATE outbox SET lease = $1, lease_ms = $2 WHERE seq IN (
             SELECT o.seq FROM outbox o
             WHERE o.partner = $5 AND o.due_ms <= $3 AND o.lease_ms <= $3
               AND NOT EXISTS (SELECT 1 FROM outbox e
                               WHERE e.partner = o.partner AND e.subject = o.subject AND e.seq < o.seq)
             ORDER BY o.due_ms, o.seq LIMIT $4",
        // A row that another gateway is leasing at this moment is passed over.
        " FOR UPDATE OF o SKIP LOCKED",
        ") RETURNING seq, attempts, refusals"
    );
    let rows = sql(due)
        .bind(lease.to_vec())
        .bind(until.0)
        .bind(now.0)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .bind(partner.to_owned())
        .fetch_all(conn)
        .await?;
    let read = |row: &Row| {
        Ok(Leased {
            seq: row.get(0)?,
            attempts: u32::try_from(row.get::<i64>(1)?).unwrap_or(u32::MAX),
            refusals: u32::try_from(row.get::<i64>(2)?).unwrap_or(u32::MAX),
        })
    };
    let mut leased = rows.iter().map(read).collect::<Result<Vec<_>, StoreError>>()?;
    leased.sort_by_key(|row| row.seq);
    Ok(leased)
}

/// When something will be due: the earliest of due times and running leases.
pub async fn next_due(conn: &mut Connection) -> Result<Option<Instant>, StoreError> {
    let row = sql("SELECT min(CASE WHEN due_ms < lease_ms THEN lease_ms ELSE due_ms END) FROM outbox")
        .fetch_one(conn)
        .await?;
    Ok(row.get::<Option<i64>>(0)?.map(Instant))
}

/// The row, if `lease` still holds it: attempts so far, and the state its record takes on success.
pub async fn held(
    conn: &mut Connection,
    seq: i64,
    lease: &Lease,
) -> Result<Option<(i64, Option<RecordState>)>, StoreError> {
    let query = sql("SELECT attempts, record FROM outbox WHERE seq = $1 AND lease = $2");
    match query.bind(seq).bind(lease.to_vec()).fetch_optional(conn).await? {
        Some(row) => Ok(Some((row.get(0)?, record::from_text(row.get(1)?)?))),
        None => Ok(None),
    }
}

/// Messages after `seq` and up to `last` that wait to be sent, ascending.
pub async fn between(conn: &mut Connection, seq: i64, last: i64) -> Result<Vec<i64>, StoreError> {
    let rows = sql("SELECT seq FROM outbox WHERE seq > $1 AND seq <= $2 ORDER BY seq");
    rows.bind(seq).bind(last).column(conn).await
}

/// Whether a message waits to be sent.
pub async fn contains(conn: &mut Connection, seq: i64) -> Result<bool, StoreError> {
    Ok(sql("SELECT 1 FROM outbox WHERE seq = $1").bind(seq).fetch_optional(conn).await?.is_some())
}

/// Gives a row back, due again at `due`.
pub async fn put_back(
    conn: &mut Connection,
    seq: i64,
    due: Instant,
    refused: bool,
) -> Result<(), StoreError> {
    sql("UPDATE outbox SET due_ms = $1, lease_ms = 0, lease = NULL, attempts = attempts + 1,
                refusals = refusals + $2 WHERE seq = $3")
    .bind(due.0)
    .bind(i64::from(refused))
    .bind(seq)
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes a row out: the message has its outcome.
pub async fn remove(conn: &mut Connection, seq: i64) -> Result<(), StoreError> {
    sql("DELETE FROM outbox WHERE seq = $1").bind(seq).execute(conn).await?;
    Ok(())
}

/// Frees every lease. Only for the sole gateway of a database, at its start: whatever held them died.
pub async fn free_leases(conn: &mut Connection) -> Result<(), StoreError> {
    sql("UPDATE outbox SET lease_ms = 0, lease = NULL").execute(&mut *conn).await?;
    sql("UPDATE delivery SET lease_ms = 0, lease = NULL WHERE done_ms IS NULL").execute(conn).await?;
    Ok(())
}

/// Later messages of the same record that still wait.
pub async fn later_of_record(
    conn: &mut Connection,
    partner: &str,
    subject: &str,
    seq: i64,
) -> Result<Vec<i64>, StoreError> {
    let query = sql("SELECT seq FROM outbox WHERE partner = $1 AND subject = $2 AND seq > $3 ORDER BY seq");
    query.bind(partner.to_owned()).bind(subject.to_owned()).bind(seq).column(conn).await
}

/// Notes what became of an attempt.
pub async fn note_attempt(
    conn: &mut Connection,
    seq: i64,
    at: Instant,
    outcome: &str,
) -> Result<(), StoreError> {
    sql("INSERT INTO attempt (seq, n, at_ms, outcome)
         SELECT $1, coalesce(max(n), 0) + 1, $2, $3 FROM attempt WHERE seq = $1")
    .bind(seq)
    .bind(at.0)
    .bind(outcome.to_owned())
    .execute(conn)
    .await?;
    Ok(())
}

/// Whether an attempt to send a message was noted.
pub async fn attempted(conn: &mut Connection, seq: i64) -> Result<bool, StoreError> {
    let query = sql("SELECT 1 FROM attempt WHERE seq = $1 LIMIT 1").bind(seq);
    Ok(query.fetch_optional(conn).await?.is_some())
}

/// The attempts of a message: number, time, outcome.
pub async fn attempts(conn: &mut Connection, seq: i64) -> Result<Vec<(i64, Instant, String)>, StoreError> {
    let rows = sql("SELECT n, at_ms, outcome FROM attempt WHERE seq = $1 ORDER BY n").bind(seq);
    let rows = rows.fetch_all(conn).await?;
    rows.iter().map(|row| Ok((row.get(0)?, Instant(row.get(1)?), row.get(2)?))).collect()
}

/// Waiting messages per partner: count and the time of the oldest.
pub async fn depth(conn: &mut Connection) -> Result<Vec<(String, i64, Instant)>, StoreError> {
    let rows = sql("SELECT o.partner, count(*), min(m.at_ms) FROM outbox o JOIN message m ON m.seq = o.seq
         GROUP BY o.partner ORDER BY o.partner")
    .fetch_all(conn)
    .await?;
    rows.iter().map(|row| Ok((row.get(0)?, row.get(1)?, Instant(row.get(2)?)))).collect()
}
