//! Table `erasure`: which payloads were erased, and an operator's reasons.

use silkgate_message::instant::Instant;
use silkgate_message::jws::Digest;
use uuid::Uuid;

use super::ledger::{signed, unsigned};
use super::sql::{Row, sql};
use super::{Connection, StoreError};

/// Bytes of a reason's salt.
pub const SALT_LEN: usize = 16;

/// Why a payload was erased.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Its retention day has come.
    Retention,
    /// An operator erased it.
    Operator,
}

impl Rule {
    /// As stored, logged and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Rule::Retention => "retention",
            Rule::Operator => "operator",
        }
    }
}

/// A row of `erasure`.
#[derive(Clone, Debug)]
pub struct Erasure {
    /// The index of its entry in the channel's log.
    pub entry: u64,
    /// Why.
    pub rule: Rule,
    /// When.
    pub at: Instant,
    /// What the operator said.
    pub reason: Option<Reason>,
}

/// An operator's reason. The log holds its digest only, and what it says can be taken away.
#[derive(Clone, Debug)]
pub struct Reason {
    /// Keeps the digest from being guessed.
    pub salt: Vec<u8>,
    /// The text.
    pub text: String,
    /// The day on which it is taken away: days since 1970, UTC.
    pub day: i64,
}

impl Reason {
    /// SHA-256 of salt and text.
    pub fn digest(&self) -> Digest {
        Digest::of(&[self.salt.as_slice(), self.text.as_bytes()].concat())
    }
}

/// Notes an erasure.
pub async fn insert(conn: &mut Connection, seq: i64, erasure: &Erasure) -> Result<(), StoreError> {
    let reason = erasure.reason.as_ref();
    sql("INSERT INTO erasure (seq, entry, rule, at_ms, salt, reason, reason_day)
         VALUES ($1, $2, $3, $4, $5, $6, $7)")
    .bind(seq)
    .bind(signed(erasure.entry))
    .bind(erasure.rule.as_str())
    .bind(erasure.at.0)
    .bind(reason.map(|reason| reason.salt.clone()))
    .bind(reason.map(|reason| reason.text.clone()))
    .bind(reason.map(|reason| reason.day))
    .execute(conn)
    .await?;
    Ok(())
}

/// The erasure of a message's payload.
pub async fn find(conn: &mut Connection, seq: i64) -> Result<Option<Erasure>, StoreError> {
    Ok(between(conn, seq.saturating_sub(1), seq).await?.pop().map(|(_, erasure)| erasure))
}

/// The erasures of messages after `seq` and up to `last`, ascending.
pub async fn between(conn: &mut Connection, seq: i64, last: i64) -> Result<Vec<(i64, Erasure)>, StoreError> {
    let rows = sql("SELECT seq, entry, rule, at_ms, salt, reason, reason_day
         FROM erasure WHERE seq > $1 AND seq <= $2 ORDER BY seq");
    rows.bind(seq).bind(last).fetch_all(conn).await?.iter().map(read).collect()
}

/// Messages whose payloads operators erased from `since` on, in order of time.
pub async fn by_operators(conn: &mut Connection, since: Instant) -> Result<Vec<Uuid>, StoreError> {
    let query = sql("SELECT m.id FROM erasure e JOIN message m ON m.seq = e.seq
         WHERE e.rule = $1 AND e.at_ms >= $2 ORDER BY e.at_ms, e.seq");
    let rows = query.bind(Rule::Operator.as_str()).bind(since.0).fetch_all(conn).await?;
    let id = |row: &Row| {
        let bytes: Vec<u8> = row.get(0)?;
        Uuid::from_slice(&bytes).map_err(|_| StoreError::Corrupt("message.id is no UUID".into()))
    };
    rows.iter().map(id).collect()
}

fn read(row: &Row) -> Result<(i64, Erasure), StoreError> {
    let stored: String = row.get(2)?;
    let rule = [Rule::Retention, Rule::Operator].into_iter().find(|rule| rule.as_str() == stored);
    let (salt, text): (Option<Vec<u8>>, Option<String>) = (row.get(4)?, row.get(5)?);
    let day: Option<i64> = row.get(6)?;
    let reason = match (salt, text, day) {
        // Of this length only: what salt and text are must not be a matter of where one ends.
        (Some(salt), Some(text), Some(day)) if salt.len() == SALT_LEN => Some(Reason { salt, text, day }),
        (None, None, None) => None,
        _ => return Err(StoreError::Corrupt("erasure.reason, or its salt".into())),
    };
    let erasure = Erasure {
        entry: unsigned(row.get(1)?)?,
        rule: rule.ok_or_else(|| StoreError::Corrupt("erasure.rule".into()))?,
        at: Instant(row.get(3)?),
        reason,
    };
    Ok((row.get(0)?, erasure))
}

/// Takes the reasons away whose day has come.
pub async fn forget_reasons(conn: &mut Connection, today: i64) -> Result<(), StoreError> {
    let query = sql("UPDATE erasure SET salt = NULL, reason = NULL, reason_day = NULL
         WHERE reason IS NOT NULL AND reason_day <= $1");
    query.bind(today).execute(conn).await?;
    Ok(())
}
