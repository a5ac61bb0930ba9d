//! Table `couriered`, and what carriage by hand asks of the outbox.

use silkgate_message::instant::Instant;

use super::ledger::{signed, unsigned};
use super::outbox::Lease;
use super::sql::sql;
use super::{Connection, StoreError, record};

/// How long an answer goes into the files at least, whenever its message expires: its sender's own clock, and what its `expirytime` was
/// where that cannot be read, are not known here.
const OWED_MS: i64 = 7 * 86_400_000;

/// Notes that received messages came by courier: their answers are owed.
pub async fn note_owed(conn: &mut Connection, seqs: &[i64]) -> Result<(), StoreError> {
    for seq in seqs {
        let query = sql("INSERT INTO couriered (seq) VALUES ($1) ON CONFLICT (seq) DO NOTHING");
        query.bind(*seq).execute(conn).await?;
    }
    Ok(())
}

/// Messages of a partner after `seq` whose answers are owed, in order of arrival, at most `limit`.
pub async fn owed(
    conn: &mut Connection,
    partner: &str,
    now: Instant,
    seq: i64,
    limit: u32,
) -> Result<Vec<i64>, StoreError> {
    let query = sql(
        "SELECT c.seq FROM couriered c JOIN message m ON m.seq = c.seq
         WHERE m.partner = $1 AND (m.expires_ms > $2 OR m.at_ms > $3) AND c.seq > $4 ORDER BY c.seq LIMIT $5",
    );
    let query = query.bind(partner.to_owned()).bind(now.0).bind(now.0 - OWED_MS).bind(seq);
    query.bind(i64::from(limit)).column(conn).await
}

/// The message after which at most `limit` answers are owed, 0 for all, and how many are owed up to it.
pub async fn last_owed(
    conn: &mut Connection,
    partner: &str,
    now: Instant,
    limit: u64,
) -> Result<(i64, u64), StoreError> {
    let query = sql("SELECT coalesce(max(seq), 0), count(*) FROM (
             SELECT c.seq FROM couriered c JOIN message m ON m.seq = c.seq
             WHERE m.partner = $1 AND (m.expires_ms > $2 OR m.at_ms > $3)
             ORDER BY c.seq DESC LIMIT $5 OFFSET $4) AS earlier");
    let query = query.bind(partner.to_owned()).bind(now.0).bind(now.0 - OWED_MS);
    // SQLite has no OFFSET without a LIMIT.
    let row = query.bind(signed(limit)).bind(i64::MAX).fetch_one(conn).await?;
    Ok((row.get(0)?, unsigned(row.get(1)?)?))
}

/// Forgets what is owed no longer.
pub async fn forget_owed(conn: &mut Connection, now: Instant) -> Result<(), StoreError> {
    let query = sql(
        "DELETE FROM couriered WHERE seq IN (SELECT c.seq FROM couriered c JOIN message m ON m.seq = c.seq
                                             WHERE m.expires_ms <= $1 AND m.at_ms <= $2)",
    );
    query.bind(now.0).bind(now.0 - OWED_MS).execute(conn).await?;
    Ok(())
}

/// Messages after `seq` that wait for a partner and have not expired, in the order of their taking over, at most `limit`.
pub async fn pending(
    conn: &mut Connection,
    partner: &str,
    now: Instant,
    seq: i64,
    limit: u32,
) -> Result<Vec<i64>, StoreError> {
    let query = sql("SELECT o.seq FROM outbox o JOIN message m ON m.seq = o.seq
         WHERE o.partner = $1 AND m.expires_ms > $2 AND o.seq > $3 ORDER BY o.seq LIMIT $4");
    let query = query.bind(partner.to_owned()).bind(now.0).bind(seq).bind(i64::from(limit));
    query.column(conn).await
}

/// Whether an earlier version of a message's record still waits.
pub async fn waits_behind(conn: &mut Connection, seq: i64) -> Result<bool, StoreError> {
    let query = sql(
        "SELECT 1 FROM outbox o JOIN outbox e ON e.partner = o.partner AND e.subject = o.subject AND e.seq < o.seq
         WHERE o.seq = $1 LIMIT 1",
    );
    Ok(query.bind(seq).fetch_optional(conn).await?.is_some())
}

/// Takes the lease of a waiting message, whoever holds it: whoever brings a proved answer settles it, and an attempt under way comes too
/// late. False where the message waits no more.
pub async fn seize(
    conn: &mut Connection,
    seq: i64,
    lease: &Lease,
    until: Instant,
) -> Result<bool, StoreError> {
    let query = sql("UPDATE outbox SET lease = $1, lease_ms = $2 WHERE seq = $3");
    Ok(query.bind(lease.to_vec()).bind(until.0).bind(seq).execute(conn).await? == 1)
}

/// Whether a waiting message cancels its record.
pub async fn cancels(conn: &mut Connection, seq: i64) -> Result<bool, StoreError> {
    let row = sql("SELECT record FROM outbox WHERE seq = $1").bind(seq).fetch_optional(conn).await?;
    let Some(row) = row else { return Ok(false) };
    Ok(record::from_text(row.get(0)?)?.is_some_and(|state| state.cancelled))
}
