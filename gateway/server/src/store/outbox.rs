//! Tables `outbox` and `attempt`: what is still to be sent, urgent messages first, in order per (partner, subject).
//!
//! Of each record only the first version that is still open can be leased: the later ones `wait`. That is kept up where rows come
//! and go, always under the one write transaction, so that no search for what is next has to look at what is not.

use silkgate_message::catalogue::Priority;
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

/// A message to be sent.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// The message.
    pub seq: i64,
    /// To whom.
    pub partner: String,
    /// Its record.
    pub subject: String,
    /// How soon.
    pub priority: Priority,
    /// Until when.
    pub expires_at: Instant,
    /// The state that its record takes once the partner accepts it.
    pub record: Option<RecordState>,
}

/// As stored: the smaller one goes first.
pub(super) fn rank(priority: Priority) -> i64 {
    match priority {
        Priority::Urgent => 0,
        Priority::Bulk => 1,
    }
}

/// Puts a message in the outbox, due at once; behind the earlier versions of its record that are still here.
pub async fn insert(conn: &mut Connection, row: &Waiting, due: Instant) -> Result<(), StoreError> {
    sql("INSERT INTO outbox (seq, partner, subject, priority, due_ms, expires_ms, record, waits)
         VALUES ($1, $2, $3, $4, $5, $6, $7, (SELECT count(*) FROM (
             SELECT 1 FROM outbox e WHERE e.partner = $2 AND e.subject = $3 LIMIT 1) AS earlier))")
    .bind(row.seq)
    .bind(row.partner.as_str())
    .bind(row.subject.as_str())
    .bind(rank(row.priority))
    .bind(due.0)
    .bind(row.expires_at.0)
    .bind(record::to_text(row.record.as_ref()))
    .execute(conn)
    .await?;
    Ok(())
}

/// What there is to do.
#[derive(Debug, Default)]
pub struct Agenda {
    /// Active partners for whom something is due, and of what priority.
    pub due: Vec<(String, Vec<Priority>)>,
    /// When the next row will be due that is not yet.
    pub next: Option<Instant>,
    /// When the next message expires, of any partner; it may have.
    pub expiry: Option<Instant>,
}

/// What there is to do: for each partner two looks into the index, however many rows wait.
pub async fn agenda(conn: &mut Connection, now: Instant) -> Result<Agenda, StoreError> {
    let rows = sql(
        "SELECT p.country,
            (SELECT due_ms FROM outbox WHERE partner = p.country AND priority = 0 AND waits = 0
                AND due_ms <= $1 AND lease_ms <= $1 ORDER BY due_ms LIMIT 1),
            (SELECT due_ms FROM outbox WHERE partner = p.country AND priority = 1 AND waits = 0
                AND due_ms <= $1 AND lease_ms <= $1 ORDER BY due_ms LIMIT 1),
            (SELECT min(due_ms) FROM outbox WHERE partner = p.country AND priority = 0 AND waits = 0 AND due_ms > $1),
            (SELECT min(due_ms) FROM outbox WHERE partner = p.country AND priority = 1 AND waits = 0 AND due_ms > $1)
         FROM partner p WHERE p.state = 'active' ORDER BY p.country",
    );
    let mut agenda = Agenda::default();
    for row in rows.bind(now.0).fetch_all(conn).await? {
        let mut due = Vec::new();
        for (priority, at) in [(Priority::Urgent, 1), (Priority::Bulk, 2)] {
            if row.get::<Option<i64>>(at)?.is_some() {
                due.push(priority);
            }
            let next = row.get::<Option<i64>>(at + 2)?.map(Instant);
            agenda.next = [agenda.next, next].into_iter().flatten().min();
        }
        if !due.is_empty() {
            agenda.due.push((row.get(0)?, due));
        }
    }
    let expiry: Option<i64> = sql("SELECT min(expires_ms) FROM outbox WHERE waits = 0").value(conn).await?;
    agenda.expiry = expiry.map(Instant);
    Ok(agenda)
}

/// Leases due rows of a partner, of one priority, the earliest due first.
pub async fn lease_due(
    conn: &mut Connection,
    partner: &str,
    priority: Priority,
    now: Instant,
    until: Instant,
    lease: &Lease,
    limit: usize,
) -> Result<Vec<Leased>, StoreError> {
    // Counted when it begins: of an attempt whose process died it is not known what became of it.
    let due = either!(
        conn,
        "WITH next AS MATERIALIZED (
             SELECT o.seq FROM outbox o
             WHERE o.partner = $5 AND o.priority = $6 AND o.waits = 0 AND o.due_ms <= $3 AND o.lease_ms <= $3
               AND o.expires_ms > $3
             ORDER BY o.due_ms, o.seq LIMIT $4",
        // A row that another gateway is leasing at this moment is passed over.
        " FOR UPDATE OF o SKIP LOCKED",
        ") UPDATE outbox SET lease = $1, lease_ms = $2, attempts = attempts + 1
         WHERE seq IN (SELECT seq FROM next) RETURNING seq, attempts, refusals"
    );
    let rows = sql(due)
        .bind(lease.to_vec())
        .bind(until.0)
        .bind(now.0)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .bind(partner.to_owned())
        .bind(rank(priority))
        .fetch_all(conn)
        .await?;
    let read = |row: &Row| {
        Ok(Leased {
            seq: row.get(0)?,
            attempts: u32::try_from(row.get::<i64>(1)? - 1).unwrap_or(u32::MAX),
            refusals: u32::try_from(row.get::<i64>(2)?).unwrap_or(u32::MAX),
        })
    };
    let mut leased = rows.iter().map(read).collect::<Result<Vec<_>, StoreError>>()?;
    leased.sort_by_key(|row| row.seq);
    Ok(leased)
}

/// Leases rows whose message has expired, of any partner, also of one that nothing is sent to at present.
pub async fn lease_expired(
    conn: &mut Connection,
    now: Instant,
    until: Instant,
    lease: &Lease,
    limit: usize,
) -> Result<Vec<i64>, StoreError> {
    let expired = either!(
        conn,
        "WITH next AS MATERIALIZED (
             SELECT o.seq FROM outbox o WHERE o.waits = 0 AND o.expires_ms <= $3 AND o.lease_ms <= $3
             ORDER BY o.expires_ms LIMIT $4",
        " FOR UPDATE OF o SKIP LOCKED",
        ") UPDATE outbox SET lease = $1, lease_ms = $2 WHERE seq IN (SELECT seq FROM next) RETURNING seq"
    );
    let query = sql(expired).bind(lease.to_vec()).bind(until.0).bind(now.0);
    query.bind(i64::try_from(limit).unwrap_or(i64::MAX)).column(conn).await
}

/// Holds a lease for longer. False where it is another's by now, or the row is gone.
pub async fn renew(
    conn: &mut Connection,
    seq: i64,
    lease: &Lease,
    until: Instant,
) -> Result<bool, StoreError> {
    let query = sql("UPDATE outbox SET lease_ms = $1 WHERE seq = $2 AND lease = $3");
    Ok(query.bind(until.0).bind(seq).bind(lease.to_vec()).execute(conn).await? == 1)
}

/// Gives a leased row back of which no attempt was made.
pub async fn release(conn: &mut Connection, seq: i64, lease: &Lease) -> Result<(), StoreError> {
    let query = sql("UPDATE outbox SET lease_ms = 0, lease = NULL, attempts = attempts - 1
         WHERE seq = $1 AND lease = $2");
    query.bind(seq).bind(lease.to_vec()).execute(conn).await?;
    Ok(())
}

/// Gives a lease back whose attempt could not be settled. It was made, and counts: the message may have arrived.
pub async fn give_back(conn: &mut Connection, seq: i64, lease: &Lease) -> Result<(), StoreError> {
    let query = sql("UPDATE outbox SET lease_ms = 0, lease = NULL WHERE seq = $1 AND lease = $2");
    query.bind(seq).bind(lease.to_vec()).execute(conn).await?;
    Ok(())
}

/// Gives a lease back without an attempt: the row is due again at that instant.
pub async fn postpone(
    conn: &mut Connection,
    seq: i64,
    lease: &Lease,
    due: Instant,
) -> Result<(), StoreError> {
    let query = sql("UPDATE outbox SET due_ms = $3, lease_ms = 0, lease = NULL, attempts = attempts - 1
         WHERE seq = $1 AND lease = $2");
    query.bind(seq).bind(lease.to_vec()).bind(due.0).execute(conn).await?;
    Ok(())
}

/// What waits for a partner is due at once.
pub async fn due_now(conn: &mut Connection, partner: &str, now: Instant) -> Result<(), StoreError> {
    let query = sql("UPDATE outbox SET due_ms = $2 WHERE partner = $1 AND due_ms > $2");
    query.bind(partner).bind(now.0).execute(conn).await?;
    Ok(())
}

/// The row, if `lease` still holds it: attempts so far, and the state its record takes on success.
pub async fn held(
    conn: &mut Connection,
    seq: i64,
    lease: &Lease,
) -> Result<Option<(i64, Option<RecordState>)>, StoreError> {
    // Locked: another gateway leases it before this is settled, or not at all.
    let held =
        either!(conn, "SELECT attempts, record FROM outbox WHERE seq = $1 AND lease = $2", " FOR UPDATE", "");
    match sql(held).bind(seq).bind(lease.to_vec()).fetch_optional(conn).await? {
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
    sql("UPDATE outbox SET due_ms = $1, lease_ms = 0, lease = NULL, refusals = refusals + $2 WHERE seq = $3")
        .bind(due.0)
        .bind(i64::from(refused))
        .bind(seq)
        .execute(conn)
        .await?;
    Ok(())
}

/// Takes a row out: the message has its outcome. The next version of its record need not wait any longer.
pub async fn remove(conn: &mut Connection, seq: i64) -> Result<(), StoreError> {
    let removed = sql("DELETE FROM outbox WHERE seq = $1 RETURNING partner, subject").bind(seq);
    let Some(lane) = removed.fetch_optional(conn).await? else { return Ok(()) };
    sql("UPDATE outbox SET waits = 0
         WHERE seq = (SELECT min(e.seq) FROM outbox e WHERE e.partner = $1 AND e.subject = $2)")
    .bind(lane.get::<String>(0)?)
    .bind(lane.get::<String>(1)?)
    .execute(conn)
    .await?;
    Ok(())
}

/// Frees every lease. Only for the sole gateway of a database, at its start: whatever held them died.
pub async fn free_leases(conn: &mut Connection) -> Result<(), StoreError> {
    sql("UPDATE outbox SET lease_ms = 0, lease = NULL").execute(&mut *conn).await?;
    sql("UPDATE delivery SET lease_ms = 0, lease = NULL WHERE done_ms IS NULL").execute(conn).await?;
    Ok(())
}

/// Puts right which rows wait behind others of their record, should anything have altered it: one that nobody calls would wait
/// for ever.
pub async fn line_up(conn: &mut Connection) -> Result<u64, StoreError> {
    sql("UPDATE outbox SET waits = 1 - waits WHERE waits <> (SELECT count(*) FROM (
             SELECT 1 FROM outbox e WHERE e.partner = outbox.partner AND e.subject = outbox.subject
                AND e.seq < outbox.seq LIMIT 1) AS earlier)")
    .execute(conn)
    .await
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

/// Waiting messages per partner: count and the time of the first. One look at a message for each partner, however many wait.
pub async fn depth(conn: &mut Connection) -> Result<Vec<(String, i64, Instant)>, StoreError> {
    let query = sql("SELECT w.partner, w.messages, m.at_ms
         FROM (SELECT partner, count(*) AS messages, min(seq) AS seq FROM outbox GROUP BY partner) w
         JOIN message m ON m.seq = w.seq ORDER BY w.partner");
    let rows = query.fetch_all(conn).await?;
    rows.iter().map(|row| Ok((row.get(0)?, row.get(1)?, Instant(row.get(2)?)))).collect()
}

#[cfg(test)]
mod tests;
