//! Tables `message`, `refusal`, `receipt`.

use silkgate_message::instant::Instant;
use silkgate_message::jws::Digest;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::inquiry::Ask;
use super::ledger::signed;
use super::sql::{Query, Row, sql};
use super::{Connection, Script, StoreError, ascending, bytes32};

/// Which way a message went.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Way {
    /// From a partner.
    Received,
    /// To a partner.
    Sent,
}

impl Way {
    /// As stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Way::Received => "received",
            Way::Sent => "sent",
        }
    }
}

/// Where a message stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Received and accepted.
    Accepted,
    /// Received and refused, or sent and refused by the partner.
    Rejected,
    /// Sent: still in the outbox.
    Queued,
    /// Sent: accepted by the partner, whose receipt is held.
    Receipted,
    /// Sent: expired before any attempt reached the partner.
    Expired,
    /// Sent: expired after attempts whose outcome is not known.
    Unknown,
    /// Sent: returned, because an earlier version was refused or has expired.
    Returned,
    /// Sent: given up after repeated refusals without a receipt.
    Dead,
    /// Sent: given up, and put away by an operator.
    Dropped,
}

impl State {
    const ALL: [State; 9] = [
        State::Accepted,
        State::Rejected,
        State::Queued,
        State::Receipted,
        State::Expired,
        State::Unknown,
        State::Returned,
        State::Dead,
        State::Dropped,
    ];

    /// As stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Accepted => "accepted",
            State::Rejected => "rejected",
            State::Queued => "queued",
            State::Receipted => "receipted",
            State::Expired => "expired",
            State::Unknown => "unknown",
            State::Returned => "returned",
            State::Dead => "dead",
            State::Dropped => "dropped",
        }
    }

    /// Whether nothing more will happen.
    pub fn is_final(self) -> bool {
        self != State::Queued
    }
}

/// A row of `message`.
#[derive(Clone, Debug)]
pub struct Message {
    /// Order of arrival.
    pub seq: i64,
    /// Received or sent.
    pub way: Way,
    /// The partner's state.
    pub partner: String,
    /// `source`.
    pub source: String,
    /// `recipient`.
    pub recipient: String,
    /// `id`.
    pub id: Uuid,
    /// `type`.
    pub kind: String,
    /// The type's version.
    pub version: u32,
    /// `subject`.
    pub subject: String,
    /// SHA-256 of the JWS signing input.
    pub digest: Digest,
    /// `iat`.
    pub signed_at: Instant,
    /// `expirytime`.
    pub expires_at: Instant,
    /// When it was committed here.
    pub at: Instant,
    /// The log of its entry.
    pub log: i64,
    /// The entry's index.
    pub entry: u64,
    /// The size of the checkpoint that first covered it.
    pub checkpoint: u64,
    /// Where it stands.
    pub state: State,
    /// Why it was refused.
    pub code: Option<String>,
    /// SHA-256 of the submission's body, to know a repeated submission.
    pub request: Option<Digest>,
    /// `purpose`; None: of an older version, or unsound.
    pub purpose: Option<String>,
}

pub(super) const COLUMNS: &str = "seq, direction, partner, source, recipient, id, type, version, subject, digest, signed_ms, \
                       expires_ms, at_ms, log, entry, checkpoint, state, code, request, purpose";

pub(super) fn from_row(row: &Row) -> Result<Message, StoreError> {
    let corrupt = |what: &str| StoreError::Corrupt(format!("message.{what}"));
    let way: String = row.get(1)?;
    let id: Vec<u8> = row.get(5)?;
    let state: String = row.get(16)?;
    let request: Option<Vec<u8>> = row.get(18)?;
    let number =
        |column: usize, what: &str| u64::try_from(row.get::<i64>(column)?).map_err(|_| corrupt(what));
    Ok(Message {
        seq: row.get(0)?,
        way: [Way::Received, Way::Sent]
            .into_iter()
            .find(|w| w.as_str() == way)
            .ok_or_else(|| corrupt("direction"))?,
        partner: row.get(2)?,
        source: row.get(3)?,
        recipient: row.get(4)?,
        id: Uuid::from_slice(&id).map_err(|_| corrupt("id"))?,
        kind: row.get(6)?,
        version: u32::try_from(row.get::<i64>(7)?).map_err(|_| corrupt("version"))?,
        subject: row.get(8)?,
        digest: Digest(bytes32(row.get(9)?, "message.digest")?),
        signed_at: Instant(row.get(10)?),
        expires_at: Instant(row.get(11)?),
        at: Instant(row.get(12)?),
        log: row.get(13)?,
        entry: number(14, "entry")?,
        checkpoint: number(15, "checkpoint")?,
        state: State::ALL.into_iter().find(|s| s.as_str() == state).ok_or_else(|| corrupt("state"))?,
        code: row.get(17)?,
        request: request.map(|bytes| bytes32(bytes, "message.request").map(Digest)).transpose()?,
        purpose: row.get(19)?,
    })
}

/// The `seq` after the last one. Whoever writes has it from [`opening`](super::opening).
pub async fn next_seq(conn: &mut Connection) -> Result<i64, StoreError> {
    let row = sql("SELECT coalesce(max(seq), 0) + 1 FROM message").fetch_one(conn).await?;
    row.get(0)
}

/// Inserts messages.
pub fn insert(script: &mut Script, rows: &[Message]) {
    let values = |row: &Message| {
        vec![
            row.seq.into(),
            row.way.as_str().into(),
            row.partner.as_str().into(),
            row.source.as_str().into(),
            row.recipient.as_str().into(),
            row.id.as_bytes().as_slice().into(),
            row.kind.as_str().into(),
            i64::from(row.version).into(),
            row.subject.as_str().into(),
            row.digest.0.as_slice().into(),
            row.signed_at.0.into(),
            row.expires_at.0.into(),
            row.at.0.into(),
            row.log.into(),
            signed(row.entry).into(),
            signed(row.checkpoint).into(),
            row.state.as_str().into(),
            row.code.as_deref().into(),
            row.request.as_ref().map(|digest| digest.0.as_slice()).into(),
            row.purpose.as_deref().into(),
        ]
    };
    let head = "INSERT INTO message (seq, direction, partner, source, recipient, id, type, version, subject, digest, signed_ms, \
                expires_ms, at_ms, log, entry, checkpoint, state, code, request, purpose)";
    script.insert(head, "", rows.iter().map(values).collect());
}

/// The message of that id from that source, if it has a row.
pub async fn find(
    conn: &mut Connection,
    way: Way,
    partner: &str,
    id: &Uuid,
    source: &str,
) -> Result<Option<Message>, StoreError> {
    let query = select("WHERE partner = $1 AND direction = $2 AND id = $3 AND source = $4");
    let query = query.bind(partner.to_owned()).bind(way.as_str());
    let query = query.bind(id.as_bytes().to_vec()).bind(source.to_owned());
    query.fetch_optional(conn).await?.as_ref().map(from_row).transpose()
}

/// Under what a message is known: the way it went, the partner, its id and its source.
pub type Key = (Way, String, Uuid, String);

/// Asks for the messages under these keys; those that have no row are left out.
pub(super) fn ask_known(keys: &[Key]) -> Ask {
    let key = |(way, partner, id, source): &Key| {
        vec![
            partner.as_str().into(),
            way.as_str().into(),
            id.as_bytes().as_slice().into(),
            source.as_str().into(),
        ]
    };
    let head = format!("SELECT {COLUMNS} FROM message WHERE (partner, direction, id, source) IN");
    Ask::Among { head, keys: keys.iter().map(key).collect() }
}

/// The answer.
pub(super) fn known(rows: &[Row]) -> Result<Vec<Message>, StoreError> {
    rows.iter().map(from_row).collect()
}

/// Every message of that id, both ways and of all partners. Each pair of the two is looked up in the index of
/// ids, which begins with them.
pub async fn by_id(conn: &mut Connection, id: &Uuid) -> Result<Vec<Message>, StoreError> {
    let query = select(
        "WHERE partner IN (SELECT country FROM partner) AND direction IN ('received', 'sent') AND id = $1
         ORDER BY seq",
    );
    let rows = query.bind(id.as_bytes().to_vec()).fetch_all(conn).await?;
    rows.iter().map(from_row).collect()
}

/// The message of that `seq`.
pub async fn by_seq(conn: &mut Connection, seq: i64) -> Result<Option<Message>, StoreError> {
    let query = select("WHERE seq = $1");
    let row = query.bind(seq).fetch_optional(conn).await?;
    row.as_ref().map(from_row).transpose()
}

/// Messages after `seq`, ascending, at most `limit`.
pub async fn after(conn: &mut Connection, seq: i64, limit: u32) -> Result<Vec<Message>, StoreError> {
    let query = select("WHERE seq > $1 ORDER BY seq LIMIT $2");
    let rows = query.bind(seq).bind(i64::from(limit)).fetch_all(conn).await?;
    let page = rows.iter().map(from_row).collect::<Result<_, _>>()?;
    ascending(seq, page, |row: &Message| row.seq, "message")
}

/// Bytes that hang on messages, by `seq`, ascending.
pub type BySeq = Vec<(i64, Vec<u8>)>;

/// The kept problem documents of messages after `seq` and up to `last`.
pub async fn refusals(conn: &mut Connection, seq: i64, last: i64) -> Result<BySeq, StoreError> {
    by_seqs(conn, "SELECT seq, problem FROM refusal WHERE seq > $1 AND seq <= $2 ORDER BY seq", seq, last)
        .await
}

/// The partners' receipts for messages after `seq` and up to `last`.
pub async fn receipts(conn: &mut Connection, seq: i64, last: i64) -> Result<BySeq, StoreError> {
    by_seqs(conn, "SELECT seq, bytes FROM receipt WHERE seq > $1 AND seq <= $2 ORDER BY seq", seq, last).await
}

async fn by_seqs(
    conn: &mut Connection,
    text: &'static str,
    seq: i64,
    last: i64,
) -> Result<BySeq, StoreError> {
    let rows = sql(text).bind(seq).bind(last).fetch_all(conn).await?;
    rows.into_iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect()
}

/// The lowest `seq` above `seq` that something hangs on, in any table of things that hang on messages.
pub async fn next_hanging(conn: &mut Connection, seq: i64) -> Result<Option<i64>, StoreError> {
    let row = sql("SELECT min(seq) FROM (
             SELECT min(seq) AS seq FROM payload WHERE seq > $1 UNION ALL
             SELECT min(seq) FROM erasure WHERE seq > $1 UNION ALL
             SELECT min(seq) FROM refusal WHERE seq > $1 UNION ALL
             SELECT min(seq) FROM receipt WHERE seq > $1 UNION ALL
             SELECT min(seq) FROM delivery WHERE seq > $1 UNION ALL
             SELECT min(seq) FROM question WHERE seq > $1 UNION ALL
             SELECT min(seq) FROM outbox WHERE seq > $1) AS next");
    let next: Option<i64> = row.bind(seq).value(conn).await?;
    match next {
        Some(next) if next <= seq => {
            Err(StoreError::Corrupt("what hangs on messages: the rows are not in their order".into()))
        }
        next => Ok(next),
    }
}

/// The last `seq` after `seq` and up to `last` so that the payloads between hold at most `bytes`; one at least.
pub async fn within_bytes(conn: &mut Connection, seq: i64, last: i64, bytes: i64) -> Result<i64, StoreError> {
    let row = sql("SELECT min(seq) FROM (
             SELECT seq, sum(length(bytes)) OVER (ORDER BY seq) AS total
             FROM payload WHERE seq > $1 AND seq <= $2) AS sized
         WHERE total > $3");
    let first_over: Option<i64> = row.bind(seq).bind(last).bind(bytes).value(conn).await?;
    Ok(first_over.map_or(last, |over| (over - 1).max(seq + 1)))
}

/// Messages of one record, in order.
pub async fn by_subject(conn: &mut Connection, subject: &str) -> Result<Vec<Message>, StoreError> {
    let query = select("WHERE subject = $1 ORDER BY seq");
    let rows = query.bind(subject.to_owned()).fetch_all(conn).await?;
    rows.iter().map(from_row).collect()
}

fn select(rest: &'static str) -> Query {
    // COLUMNS and `rest` are constants of this file: no outside text reaches the statement.
    sql(AssertSqlSafe(format!("SELECT {COLUMNS} FROM message {rest}")))
}

/// Sets where a message stands.
pub async fn set_state(
    conn: &mut Connection,
    seq: i64,
    state: State,
    code: Option<&str>,
) -> Result<(), StoreError> {
    sql("UPDATE message SET state = $1, code = $2 WHERE seq = $3")
        .bind(state.as_str())
        .bind(code.map(str::to_owned))
        .bind(seq)
        .execute(conn)
        .await?;
    Ok(())
}

/// Messages that were given up, by partner.
pub async fn dead(conn: &mut Connection) -> Result<Vec<(String, i64)>, StoreError> {
    let rows =
        sql("SELECT partner, count(*) FROM message WHERE state = 'dead' GROUP BY partner ORDER BY partner");
    rows.fetch_all(conn).await?.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect()
}

/// Messages that were given up, in order of arrival, at most `limit`.
pub async fn dead_ones(conn: &mut Connection, limit: u32) -> Result<Vec<Message>, StoreError> {
    let query = select("WHERE state = 'dead' ORDER BY seq LIMIT $1").bind(i64::from(limit));
    query.fetch_all(conn).await?.iter().map(from_row).collect()
}

/// Keeps the problem documents of refusals.
pub fn put_refusals(script: &mut Script, refusals: Vec<(i64, Vec<u8>)>) {
    let rows = refusals.into_iter().map(|(seq, problem)| vec![seq.into(), problem.into()]);
    script.insert("INSERT INTO refusal (seq, problem)", "", rows.collect());
}

/// Puts a shorter problem document in a refusal's place; None: takes it away.
pub async fn reduce_refusal(
    conn: &mut Connection,
    seq: i64,
    problem: Option<Vec<u8>>,
) -> Result<(), StoreError> {
    let query = match problem {
        Some(problem) => sql("UPDATE refusal SET problem = $2 WHERE seq = $1").bind(seq).bind(problem),
        None => sql("DELETE FROM refusal WHERE seq = $1").bind(seq),
    };
    query.execute(conn).await?;
    Ok(())
}

/// The problem document of a refusal.
pub async fn refusal(conn: &mut Connection, seq: i64) -> Result<Option<Vec<u8>>, StoreError> {
    sql("SELECT problem FROM refusal WHERE seq = $1").bind(seq).first(conn).await
}

/// Keeps the partner's receipt.
pub async fn put_receipt(conn: &mut Connection, seq: i64, receipt: &[u8]) -> Result<(), StoreError> {
    let query = sql("INSERT INTO receipt (seq, bytes) VALUES ($1, $2)").bind(seq).bind(receipt.to_vec());
    query.execute(conn).await?;
    Ok(())
}

/// The partner's receipt for a message sent.
pub async fn receipt(conn: &mut Connection, seq: i64) -> Result<Option<Vec<u8>>, StoreError> {
    sql("SELECT bytes FROM receipt WHERE seq = $1").bind(seq).first(conn).await
}
