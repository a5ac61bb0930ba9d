//! Table `delivery`: what is to be handed over to back ends, urgent messages first, in order per (recipient, partner, subject).
//!
//! As in the outbox, only the first open hand-over of each record can be leased: the later ones `wait`.

use std::collections::{HashMap, HashSet};

use silkgate_message::catalogue::Priority;
use silkgate_message::instant::Instant;

use super::bulk::fetch_among;
use super::inquiry::{Ask, ask};
use super::message::State;
use super::outbox::{Lease, rank};
use super::sql::{Row, either, sql};
use super::{Connection, Script, StoreError};

/// `what` of a house entry that speaks of a hand-over, and not of a message on its way to a partner.
pub const OF_DELIVERY: &str = "delivery";
/// `what` of an operator's act that has a message sent again.
pub const RETRY: &str = "retry";
/// `what` of an operator's act that has a message handed over again.
pub const RETRY_DELIVERY: &str = "retry_delivery";

/// What a delivery tells beside its message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    /// The answer came after the question's deadline.
    AnswerLate,
    /// The deadline passed without a final answer; the message is the question itself.
    AnswerMissing,
    /// Of the recipient's own message: it was never attempted before it expired.
    NotDeliveredExpired,
    /// Of the recipient's own message: it expired after attempts, and may have arrived.
    DeliveryUnknown,
    /// Of the recipient's own message: the partner refused it, under a receipt.
    NotDeliveredRejected,
    /// Of the recipient's own message: an earlier version of its record did not get through.
    NotDeliveredReturned,
    /// Of the recipient's own message: it was given up.
    NotDeliveredDead,
}

impl Notice {
    fn as_str(self) -> &'static str {
        match self {
            Notice::AnswerLate => "answer_late",
            Notice::AnswerMissing => "answer_missing",
            Notice::NotDeliveredExpired => "not_delivered_expired",
            Notice::DeliveryUnknown => "delivery_unknown",
            Notice::NotDeliveredRejected => "not_delivered_rejected",
            Notice::NotDeliveredReturned => "not_delivered_returned",
            Notice::NotDeliveredDead => "not_delivered_dead",
        }
    }

    const ALL: [Notice; 7] = [
        Notice::AnswerLate,
        Notice::AnswerMissing,
        Notice::NotDeliveredExpired,
        Notice::DeliveryUnknown,
        Notice::NotDeliveredRejected,
        Notice::NotDeliveredReturned,
        Notice::NotDeliveredDead,
    ];

    /// What the back end that submitted a message is told when it ends in that state.
    pub fn of_end(state: State) -> Option<Self> {
        match state {
            State::Accepted | State::Queued | State::Receipted => None,
            State::Rejected => Some(Notice::NotDeliveredRejected),
            State::Expired => Some(Notice::NotDeliveredExpired),
            State::Unknown => Some(Notice::DeliveryUnknown),
            State::Returned => Some(Notice::NotDeliveredReturned),
            State::Dead | State::Dropped => Some(Notice::NotDeliveredDead),
        }
    }

    /// Whether it tells of the end of the recipient's own message.
    pub fn is_of_end(self) -> bool {
        !matches!(self, Notice::AnswerLate | Notice::AnswerMissing)
    }

    /// As stored.
    fn read(stored: Option<String>) -> Result<Option<Self>, StoreError> {
        let Some(stored) = stored else { return Ok(None) };
        let known = Notice::ALL.into_iter().find(|n| n.as_str() == stored);
        known.map(Some).ok_or_else(|| StoreError::Corrupt("delivery.notice".into()))
    }
}

/// Where a hand-over stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stands {
    /// Still to be taken over.
    Open,
    /// The back end has it.
    Delivered,
    /// Given up.
    Dead,
    /// Given up, and put away by an operator.
    Dropped,
}

impl Stands {
    fn read(stored: &str) -> Result<Self, StoreError> {
        match stored {
            "open" => Ok(Stands::Open),
            "delivered" => Ok(Stands::Delivered),
            "dead" => Ok(Stands::Dead),
            "dropped" => Ok(Stands::Dropped),
            _ => Err(StoreError::Corrupt("delivery.state".into())),
        }
    }
}

/// A message to be handed over.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// The message.
    pub seq: i64,
    /// To whom.
    pub recipient: String,
    /// The partner, copied from the message.
    pub partner: String,
    /// The record, copied from the message.
    pub subject: String,
    /// How soon.
    pub priority: Priority,
    /// What it tells beside the message.
    pub notice: Option<Notice>,
}

/// Hand-overs of one lane go one after another: the partner, the record, the recipient.
pub type Lane = (String, String, String);

/// What is known of lanes in the transaction, in which nothing has been taken over since.
#[derive(Default)]
pub struct Lanes {
    /// Those that were looked at.
    pub asked: Vec<Lane>,
    /// Those of them in which something is still to be taken over.
    pub open: HashSet<Lane>,
}

impl Waiting {
    fn lane(&self) -> Lane {
        (self.partner.clone(), self.subject.clone(), self.recipient.clone())
    }
}

/// Puts messages up for hand-over, in this order; each behind what of its record is still open. Messages from `new` on are the
/// transaction's own.
pub async fn insert_many(
    conn: &mut Connection,
    script: &mut Script,
    rows: &[Waiting],
    known: Lanes,
    new: i64,
) -> Result<(), StoreError> {
    let Lanes { asked, mut open } = known;
    let mut counts = counted(conn, rows, new).await?;
    let asked: HashSet<Lane> = asked.into_iter().collect();
    let others: Vec<Lane> = rows.iter().map(Waiting::lane).filter(|lane| !asked.contains(lane)).collect();
    if !others.is_empty() {
        let answers = ask(conn, vec![ask_open(&others)]).await?;
        open.extend(self::open(&answers.into_iter().flatten().collect::<Vec<_>>())?);
    }
    let mut made = Vec::with_capacity(rows.len());
    for row in rows {
        let n = counts.entry(row.seq).or_insert(0);
        *n += 1;
        let waits = !open.insert(row.lane());
        made.push(vec![
            row.seq.into(),
            (*n).into(),
            row.recipient.as_str().into(),
            row.partner.as_str().into(),
            row.subject.as_str().into(),
            row.notice.map(Notice::as_str).into(),
            rank(row.priority).into(),
            i64::from(waits).into(),
        ]);
    }
    let head = "INSERT INTO delivery (seq, n, recipient, partner, subject, notice, priority, waits)";
    script.insert(head, "", made);
    Ok(())
}

/// How many hand-overs these messages have already, of those that have any.
async fn counted(conn: &mut Connection, rows: &[Waiting], new: i64) -> Result<HashMap<i64, i64>, StoreError> {
    let known = rows.iter().filter(|row| row.seq < new);
    let keys = known.map(|row| vec![row.seq.into()]).collect();
    let head = "SELECT seq, count(*) FROM delivery WHERE seq IN";
    let found = fetch_among(conn, head, keys, "GROUP BY seq").await?;
    found.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect()
}

/// Asks for those of the lanes in which something is still to be taken over.
pub(super) fn ask_open(lanes: &[Lane]) -> Ask {
    let keys = lanes.iter().map(|(partner, subject, recipient)| {
        vec![partner.as_str().into(), subject.as_str().into(), recipient.as_str().into()]
    });
    let head = "SELECT DISTINCT partner, subject, recipient FROM delivery
                WHERE done_ms IS NULL AND (partner, subject, recipient) IN";
    Ask::Among { head: head.to_owned(), keys: keys.collect() }
}

/// The answer.
pub(super) fn open(rows: &[Row]) -> Result<HashSet<Lane>, StoreError> {
    rows.iter().map(|row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).collect()
}

/// A hand-over that a back end holds.
#[derive(Clone, Copy, Debug)]
pub struct Leased {
    /// The message.
    pub seq: i64,
    /// Which of its hand-overs.
    pub n: i64,
    /// What it tells beside the message.
    pub notice: Option<Notice>,
    /// How often it was handed out, this time among them.
    pub handed: i64,
    /// How often the back end refused it.
    pub refusals: i64,
}

/// Leases messages for `recipient`, urgent ones first, then the oldest; versions of one record one after another.
pub async fn lease(
    conn: &mut Connection,
    recipient: &str,
    now: Instant,
    until: Instant,
    lease: &Lease,
    limit: u32,
) -> Result<Vec<Leased>, StoreError> {
    // The plus sign keeps the search to the index that is in this order: what is leased is passed over there, not sorted.
    let waiting = either!(
        conn,
        "WITH next AS MATERIALIZED (
             SELECT d.seq, d.n FROM delivery d
             WHERE d.recipient = $3 AND d.done_ms IS NULL AND d.waits = 0 AND +d.lease_ms <= $4
             ORDER BY d.priority, d.seq, d.n LIMIT $5",
        " FOR UPDATE OF d SKIP LOCKED",
        ") UPDATE delivery SET lease = $1, lease_ms = $2, handed = handed + 1
         WHERE (seq, n) IN (SELECT seq, n FROM next) RETURNING seq, n, notice, priority, handed, refusals"
    );
    let rows = sql(waiting)
        .bind(lease.to_vec())
        .bind(until.0)
        .bind(recipient.to_owned())
        .bind(now.0)
        .bind(i64::from(limit))
        .fetch_all(conn)
        .await?;
    let mut leased = Vec::with_capacity(rows.len());
    for row in rows {
        let (seq, n, notice) = (row.get(0)?, row.get(1)?, Notice::read(row.get(2)?)?);
        let (handed, refusals) = (row.get(4)?, row.get(5)?);
        leased.push((row.get::<i64>(3)?, Leased { seq, n, notice, handed, refusals }));
    }
    leased.sort_unstable_by_key(|(priority, row)| (*priority, row.seq, row.n));
    Ok(leased.into_iter().map(|(_, row)| row).collect())
}

/// Whether something waits for `recipient` now, and when the next lease runs out.
pub async fn waits(
    conn: &mut Connection,
    recipient: &str,
    now: Instant,
) -> Result<(bool, Option<Instant>), StoreError> {
    let row =
        sql("SELECT min(lease_ms) FROM delivery WHERE recipient = $1 AND done_ms IS NULL AND waits = 0");
    let row = row.bind(recipient.to_owned()).fetch_one(conn).await?;
    let earliest = row.get::<Option<i64>>(0)?.map(Instant);
    Ok((earliest.is_some_and(|at| at <= now), earliest))
}

/// A hand-over.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Which of the message's hand-overs.
    pub n: i64,
    /// To whom.
    pub recipient: String,
    /// What it tells beside the message.
    pub notice: Option<Notice>,
    /// How often it was handed out.
    pub handed: i64,
    /// The lease in force.
    pub lease: Option<Vec<u8>>,
    /// Where it stands.
    pub state: Stands,
    /// Why it was given up.
    pub code: Option<String>,
    /// When it ended.
    pub done_at: Option<Instant>,
}

/// The hand-overs of a message, in order.
pub async fn of_message(conn: &mut Connection, seq: i64) -> Result<Vec<Delivery>, StoreError> {
    let rows = sql(
        "SELECT n, recipient, notice, handed, lease, done_ms, state, code FROM delivery WHERE seq = $1 ORDER BY n",
    );
    let read = |row: Row| {
        Ok(Delivery {
            n: row.get(0)?,
            recipient: row.get(1)?,
            notice: Notice::read(row.get(2)?)?,
            handed: row.get(3)?,
            lease: row.get(4)?,
            done_at: row.get::<Option<i64>>(5)?.map(Instant),
            state: Stands::read(&row.get::<String>(6)?)?,
            code: row.get(7)?,
        })
    };
    rows.bind(seq).fetch_all(conn).await?.into_iter().map(read).collect()
}

/// A hand-over as the audit reads it.
#[derive(Clone, Debug)]
pub struct HandedOver {
    /// The message.
    pub seq: i64,
    /// Which of its hand-overs.
    pub n: i64,
    /// To whom.
    pub recipient: String,
    /// The partner, copied from the message.
    pub partner: String,
    /// The record, copied from the message.
    pub subject: String,
    /// Where it stands.
    pub state: Stands,
    /// Why it was given up.
    pub code: Option<String>,
    /// When it ended.
    pub done_at: Option<Instant>,
    /// What it tells beside the message.
    pub notice: Option<Notice>,
}

/// Hand-overs of messages after `seq` and up to `last`, ascending.
pub async fn between(conn: &mut Connection, seq: i64, last: i64) -> Result<Vec<HandedOver>, StoreError> {
    let rows = sql("SELECT seq, n, recipient, partner, subject, done_ms, notice, state, code FROM delivery
         WHERE seq > $1 AND seq <= $2 ORDER BY seq, n");
    let rows = rows.bind(seq).bind(last).fetch_all(conn).await?;
    rows.into_iter()
        .map(|row| {
            Ok(HandedOver {
                seq: row.get(0)?,
                n: row.get(1)?,
                recipient: row.get(2)?,
                partner: row.get(3)?,
                subject: row.get(4)?,
                done_at: row.get::<Option<i64>>(5)?.map(Instant),
                notice: Notice::read(row.get(6)?)?,
                state: Stands::read(&row.get::<String>(7)?)?,
                code: row.get(8)?,
            })
        })
        .collect()
}

/// Marks a hand-over as done, and gives who may fetch the next one of its record, if there is one. None where the lease is no
/// longer the one in force: another gateway may have handed it out again since it was looked at.
pub async fn finish(
    conn: &mut Connection,
    seq: i64,
    n: i64,
    lease: &Lease,
    at: Instant,
) -> Result<Option<Vec<String>>, StoreError> {
    let query = sql("UPDATE delivery SET done_ms = $1, state = 'delivered'
         WHERE seq = $2 AND n = $3 AND lease = $4 AND done_ms IS NULL RETURNING partner, subject, recipient");
    let done = query.bind(at.0).bind(seq).bind(n).bind(lease.to_vec()).fetch_optional(conn).await?;
    let Some(lane) = done else { return Ok(None) };
    call_next(conn, lane.get(0)?, lane.get(1)?, lane.get(2)?).await.map(Some)
}

/// Puts a hand-over off: it may be leased again from `due` on. `refused`: whether the back end would not have it. Nothing happens where
/// the lease is no longer the one in force.
pub async fn put_off(
    conn: &mut Connection,
    leased: &Leased,
    lease: &Lease,
    due: Instant,
    refused: bool,
) -> Result<(), StoreError> {
    sql("UPDATE delivery SET lease_ms = $1, refusals = refusals + $2
         WHERE seq = $3 AND n = $4 AND lease = $5 AND done_ms IS NULL")
    .bind(due.0)
    .bind(i64::from(refused))
    .bind(leased.seq)
    .bind(leased.n)
    .bind(lease.to_vec())
    .execute(conn)
    .await?;
    Ok(())
}

/// Gives a hand-over up, and gives who may fetch the next one of its record. None where the lease is no longer the one in force.
pub async fn bury(
    conn: &mut Connection,
    seq: i64,
    n: i64,
    lease: &Lease,
    code: &str,
    at: Instant,
) -> Result<Option<Vec<String>>, StoreError> {
    let query = sql("UPDATE delivery SET done_ms = $1, state = 'dead', code = $2
         WHERE seq = $3 AND n = $4 AND lease = $5 AND done_ms IS NULL RETURNING partner, subject, recipient");
    let query = query.bind(at.0).bind(code).bind(seq).bind(n).bind(lease.to_vec());
    let Some(lane) = query.fetch_optional(conn).await? else { return Ok(None) };
    call_next(conn, lane.get(0)?, lane.get(1)?, lane.get(2)?).await.map(Some)
}

/// Opens a dead hand-over again, behind what of its record is open.
pub async fn revive(conn: &mut Connection, seq: i64, n: i64) -> Result<(), StoreError> {
    sql("UPDATE delivery SET state = 'open', code = NULL, done_ms = NULL, lease = NULL, lease_ms = 0, refusals = 0,
            waits = (SELECT count(*) FROM (SELECT 1 FROM delivery e WHERE e.partner = delivery.partner
                AND e.subject = delivery.subject AND e.recipient = delivery.recipient AND e.done_ms IS NULL LIMIT 1) AS open)
         WHERE seq = $1 AND n = $2 AND state = 'dead'")
    .bind(seq)
    .bind(n)
    .execute(conn)
    .await?;
    Ok(())
}

/// Puts a dead hand-over away.
pub async fn put_away(conn: &mut Connection, seq: i64, n: i64) -> Result<(), StoreError> {
    let query = sql("UPDATE delivery SET state = 'dropped' WHERE seq = $1 AND n = $2 AND state = 'dead'");
    query.bind(seq).bind(n).execute(conn).await?;
    Ok(())
}

/// Dead hand-overs by message, in order, at most `limit`.
pub async fn dead_ones(conn: &mut Connection, limit: u32) -> Result<Vec<i64>, StoreError> {
    let query = sql("SELECT DISTINCT seq FROM delivery WHERE state = 'dead' ORDER BY seq LIMIT $1");
    query.bind(i64::from(limit)).column(conn).await
}

/// Dead hand-overs per recipient.
pub async fn dead(conn: &mut Connection) -> Result<Vec<(String, i64)>, StoreError> {
    let rows = sql(
        "SELECT recipient, count(*) FROM delivery WHERE state = 'dead' GROUP BY recipient ORDER BY recipient",
    );
    rows.fetch_all(conn).await?.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect()
}

/// The first hand-over of a record that is still open is up; to whom it goes.
async fn call_next(
    conn: &mut Connection,
    partner: String,
    subject: String,
    recipient: String,
) -> Result<Vec<String>, StoreError> {
    sql("UPDATE delivery SET waits = 0 WHERE (seq, n) IN (
             SELECT e.seq, e.n FROM delivery e WHERE e.partner = $1 AND e.subject = $2 AND e.recipient = $3 AND e.done_ms IS NULL
             ORDER BY e.seq, e.n LIMIT 1) RETURNING recipient")
    .bind(partner)
    .bind(subject)
    .bind(recipient)
    .column(conn)
    .await
}

/// Puts right which hand-overs wait behind others of their record, should anything have altered it. Only where none is up:
/// the one that is need not be the earliest.
pub async fn line_up(conn: &mut Connection) -> Result<u64, StoreError> {
    sql("UPDATE delivery SET waits = 0 WHERE done_ms IS NULL AND waits = 1
         AND NOT EXISTS (SELECT 1 FROM delivery e WHERE e.partner = delivery.partner AND e.subject = delivery.subject
             AND e.recipient = delivery.recipient AND e.done_ms IS NULL AND (e.waits = 0 OR e.seq < delivery.seq OR (e.seq = delivery.seq AND e.n < delivery.n)))")
    .execute(conn)
    .await
}

/// The message after which back ends are told of the end of their own: up to it only of what ended since.
pub async fn told_after(conn: &mut Connection) -> Result<i64, StoreError> {
    Ok(sql("SELECT after_seq FROM told").first(conn).await?.unwrap_or(0))
}

/// Messages waiting per recipient: count and the time of the first. One look at a message for each recipient, however many wait.
pub async fn depth(conn: &mut Connection) -> Result<Vec<(String, i64, Instant)>, StoreError> {
    let query = sql("SELECT w.recipient, w.messages, m.at_ms
         FROM (SELECT recipient, count(*) AS messages, min(seq) AS seq FROM delivery WHERE done_ms IS NULL GROUP BY recipient) w
         JOIN message m ON m.seq = w.seq ORDER BY w.recipient");
    let rows = query.fetch_all(conn).await?;
    rows.iter().map(|row| Ok((row.get(0)?, row.get(1)?, Instant(row.get(2)?)))).collect()
}
