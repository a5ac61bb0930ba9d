//! Table `delivery`: accepted messages to be handed over to a back end, once.

use silkgate_message::instant::Instant;

use super::outbox::Lease;
use super::sql::{either, sql};
use super::{Connection, StoreError};

/// What a delivery tells beside its message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    /// The answer came after the question's deadline.
    AnswerLate,
    /// The deadline passed without a final answer; the message is the question itself.
    AnswerMissing,
}

impl Notice {
    fn as_str(self) -> &'static str {
        match self {
            Notice::AnswerLate => "answer_late",
            Notice::AnswerMissing => "answer_missing",
        }
    }

    /// As stored.
    fn read(stored: Option<String>) -> Result<Option<Self>, StoreError> {
        let Some(stored) = stored else { return Ok(None) };
        let known = [Notice::AnswerLate, Notice::AnswerMissing].into_iter().find(|n| n.as_str() == stored);
        known.map(Some).ok_or_else(|| StoreError::Corrupt("delivery.notice".into()))
    }
}

/// Puts a message up for hand-over.
pub async fn insert(
    conn: &mut Connection,
    seq: i64,
    recipient: &str,
    partner: &str,
    subject: &str,
    notice: Option<Notice>,
) -> Result<(), StoreError> {
    sql("INSERT INTO delivery (seq, recipient, partner, subject, notice) VALUES ($1, $2, $3, $4, $5)")
        .bind(seq)
        .bind(recipient.to_owned())
        .bind(partner.to_owned())
        .bind(subject.to_owned())
        .bind(notice.map(Notice::as_str))
        .execute(conn)
        .await?;
    Ok(())
}

/// Leases messages for `recipient`, oldest first, versions of one record one after another.
pub async fn lease(
    conn: &mut Connection,
    recipient: &str,
    now: Instant,
    until: Instant,
    lease: &Lease,
    limit: u32,
) -> Result<Vec<(i64, Option<Notice>)>, StoreError> {
    let waiting = either!(
        conn,
        "UPDATE delivery SET lease = $1, lease_ms = $2, handed = handed + 1 WHERE seq IN (
             SELECT d.seq FROM delivery d
             WHERE d.recipient = $3 AND d.done_ms IS NULL AND d.lease_ms <= $4
               AND NOT EXISTS (SELECT 1 FROM delivery e
                               WHERE e.partner = d.partner AND e.subject = d.subject AND e.seq < d.seq
                                 AND e.done_ms IS NULL)
             ORDER BY d.seq LIMIT $5",
        " FOR UPDATE OF d SKIP LOCKED",
        ") RETURNING seq, notice"
    );
    let rows = sql(waiting)
        .bind(lease.to_vec())
        .bind(until.0)
        .bind(recipient.to_owned())
        .bind(now.0)
        .bind(i64::from(limit))
        .fetch_all(conn)
        .await?;
    let leased: Result<Vec<_>, StoreError> =
        rows.into_iter().map(|row| Ok((row.get(0)?, Notice::read(row.get(1)?)?))).collect();
    let mut leased = leased?;
    leased.sort_unstable_by_key(|(seq, _)| *seq);
    Ok(leased)
}

/// Whether something waits for `recipient` now, and when the next lease runs out.
pub async fn waits(
    conn: &mut Connection,
    recipient: &str,
    now: Instant,
) -> Result<(bool, Option<Instant>), StoreError> {
    let row = sql("SELECT min(lease_ms) FROM delivery WHERE recipient = $1 AND done_ms IS NULL");
    let row = row.bind(recipient.to_owned()).fetch_one(conn).await?;
    let earliest = row.get::<Option<i64>>(0)?.map(Instant);
    Ok((earliest.is_some_and(|at| at <= now), earliest))
}

/// Where a hand-over stands.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// To whom.
    pub recipient: String,
    /// How often it was handed out.
    pub handed: i64,
    /// The lease in force.
    pub lease: Option<Vec<u8>>,
    /// When it was acknowledged.
    pub done_at: Option<Instant>,
}

/// The hand-over of a message.
pub async fn find(conn: &mut Connection, seq: i64) -> Result<Option<Delivery>, StoreError> {
    let query = sql("SELECT recipient, handed, lease, done_ms FROM delivery WHERE seq = $1").bind(seq);
    let Some(row) = query.fetch_optional(conn).await? else { return Ok(None) };
    Ok(Some(Delivery {
        recipient: row.get(0)?,
        handed: row.get(1)?,
        lease: row.get(2)?,
        done_at: row.get::<Option<i64>>(3)?.map(Instant),
    }))
}

/// A hand-over as the audit reads it.
#[derive(Clone, Debug)]
pub struct HandedOver {
    /// The message.
    pub seq: i64,
    /// To whom.
    pub recipient: String,
    /// The partner, copied from the message.
    pub partner: String,
    /// The record, copied from the message.
    pub subject: String,
    /// When it was acknowledged.
    pub done_at: Option<Instant>,
    /// What it tells beside the message.
    pub notice: Option<Notice>,
}

/// Hand-overs of messages after `seq` and up to `last`, ascending.
pub async fn between(conn: &mut Connection, seq: i64, last: i64) -> Result<Vec<HandedOver>, StoreError> {
    let rows = sql("SELECT seq, recipient, partner, subject, done_ms, notice FROM delivery
         WHERE seq > $1 AND seq <= $2 ORDER BY seq");
    let rows = rows.bind(seq).bind(last).fetch_all(conn).await?;
    rows.into_iter()
        .map(|row| {
            Ok(HandedOver {
                seq: row.get(0)?,
                recipient: row.get(1)?,
                partner: row.get(2)?,
                subject: row.get(3)?,
                done_at: row.get::<Option<i64>>(4)?.map(Instant),
                notice: Notice::read(row.get(5)?)?,
            })
        })
        .collect()
}

/// Marks a hand-over as done. False where the lease is no longer the one in force: another gateway may have handed it out
/// again since it was looked at.
pub async fn finish(conn: &mut Connection, seq: i64, lease: &Lease, at: Instant) -> Result<bool, StoreError> {
    let query = sql("UPDATE delivery SET done_ms = $1 WHERE seq = $2 AND lease = $3 AND done_ms IS NULL");
    Ok(query.bind(at.0).bind(seq).bind(lease.to_vec()).execute(conn).await? == 1)
}

/// Messages waiting per recipient: count and the time of the oldest.
pub async fn depth(conn: &mut Connection) -> Result<Vec<(String, i64, Instant)>, StoreError> {
    let rows =
        sql("SELECT d.recipient, count(*), min(m.at_ms) FROM delivery d JOIN message m ON m.seq = d.seq
         WHERE d.done_ms IS NULL GROUP BY d.recipient ORDER BY d.recipient")
        .fetch_all(conn)
        .await?;
    rows.iter().map(|row| Ok((row.get(0)?, row.get(1)?, Instant(row.get(2)?)))).collect()
}
