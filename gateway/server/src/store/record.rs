//! Table `record`: the last version of each record.

use serde::{Deserialize, Serialize};
use silkgate_message::jws::Digest;
use silkgate_message::lifecycle::{Facts, RecordState};

use super::message::Way;
use super::sql::sql;
use super::{Connection, StoreError};

/// The key of a record: one channel, one direction, one subject.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RecordKey {
    /// The partner's state.
    pub partner: String,
    /// Which side's record it is.
    pub way: Way,
    /// `subject`.
    pub subject: String,
}

/// What is known of a record. For messages received `head` and `settled` are the same.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Record {
    /// The last version accepted here or submitted here.
    pub head: Option<RecordState>,
    /// The last version the deciding side accepted.
    pub settled: Option<RecordState>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    id: String,
    digest: String,
    version: u64,
    originator: String,
    #[serde(rename = "type")]
    kind: String,
    cancelled: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    facts: Option<Facts>,
}

/// Reads a record; an unknown one is empty.
pub async fn load(conn: &mut Connection, key: &RecordKey) -> Result<Record, StoreError> {
    let query =
        sql("SELECT head, settled FROM record WHERE partner = $1 AND direction = $2 AND subject = $3");
    let row = query.bind(key.partner.clone()).bind(key.way.as_str()).bind(key.subject.clone());
    match row.fetch_optional(conn).await? {
        Some(row) => Ok(Record { head: from_text(row.get(0)?)?, settled: from_text(row.get(1)?)? }),
        None => Ok(Record::default()),
    }
}

/// Writes a record; one without any version is removed.
pub async fn save(conn: &mut Connection, key: &RecordKey, record: &Record) -> Result<(), StoreError> {
    if record.head.is_none() && record.settled.is_none() {
        sql("DELETE FROM record WHERE partner = $1 AND direction = $2 AND subject = $3")
            .bind(key.partner.clone())
            .bind(key.way.as_str())
            .bind(key.subject.clone())
            .execute(conn)
            .await?;
        return Ok(());
    }
    sql(
        "INSERT INTO record (partner, direction, subject, head, settled) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (partner, direction, subject) DO UPDATE SET head = excluded.head, settled = excluded.settled",
    )
    .bind(key.partner.clone())
    .bind(key.way.as_str())
    .bind(key.subject.clone())
    .bind(to_text(record.head.as_ref()))
    .bind(to_text(record.settled.as_ref()))
    .execute(conn)
    .await?;
    Ok(())
}

/// A state as stored.
pub fn to_text(state: Option<&RecordState>) -> Option<String> {
    let state = state?;
    let stored = Stored {
        id: state.last_id.clone(),
        digest: state.last_digest.to_string(),
        version: state.version,
        originator: state.originator.clone(),
        kind: state.kind.clone(),
        cancelled: state.cancelled,
        facts: state.facts.clone(),
    };
    serde_json::to_string(&stored).ok()
}

/// A stored state.
pub fn from_text(text: Option<String>) -> Result<Option<RecordState>, StoreError> {
    let Some(text) = text else { return Ok(None) };
    let corrupt = || StoreError::Corrupt("a record's state cannot be read".to_owned());
    let stored: Stored = serde_json::from_str(&text).map_err(|_| corrupt())?;
    Ok(Some(RecordState {
        last_id: stored.id,
        last_digest: Digest::parse(&stored.digest).ok_or_else(corrupt)?,
        version: stored.version,
        originator: stored.originator,
        kind: stored.kind,
        cancelled: stored.cancelled,
        facts: stored.facts,
    }))
}
