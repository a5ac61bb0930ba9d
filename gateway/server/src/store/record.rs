//! Table `record`: the last version of each record.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use silkgate_message::jws::Digest;
use silkgate_message::lifecycle::{Facts, RecordState};

use super::inquiry::{Ask, ask};
use super::message::Way;
use super::sql::{Row, Value, sql};
use super::{Connection, Script, StoreError};

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

impl RecordKey {
    /// In the order of the primary key.
    fn values(&self) -> Vec<Value> {
        vec![self.partner.as_str().into(), self.way.as_str().into(), self.subject.as_str().into()]
    }
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
    let answers = ask(conn, vec![ask_known(std::slice::from_ref(key))]).await?;
    Ok(known(&answers.into_iter().flatten().collect::<Vec<_>>())?.remove(key).unwrap_or_default())
}

/// Asks for records; unknown ones are left out.
pub(super) fn ask_known(keys: &[RecordKey]) -> Ask {
    let head = "SELECT partner, direction, subject, head, settled FROM record WHERE (partner, direction, subject) IN";
    Ask::Among { head: head.to_owned(), keys: keys.iter().map(RecordKey::values).collect() }
}

/// The answer.
pub(super) fn known(rows: &[Row]) -> Result<HashMap<RecordKey, Record>, StoreError> {
    let mut records = HashMap::new();
    for row in rows {
        let way: String = row.get(1)?;
        let way = [Way::Received, Way::Sent].into_iter().find(|known| known.as_str() == way);
        let way = way.ok_or_else(|| StoreError::Corrupt("record.direction".into()))?;
        let key = RecordKey { partner: row.get(0)?, way, subject: row.get(2)? };
        records.insert(key, Record { head: from_text(row.get(3)?)?, settled: from_text(row.get(4)?)? });
    }
    Ok(records)
}

/// Writes records; one without any version is removed.
pub async fn save_all(
    conn: &mut Connection,
    script: &mut Script,
    records: &HashMap<RecordKey, Record>,
) -> Result<(), StoreError> {
    let mut rows = Vec::with_capacity(records.len());
    for (key, record) in records {
        if record.head.is_none() && record.settled.is_none() {
            sql("DELETE FROM record WHERE partner = $1 AND direction = $2 AND subject = $3")
                .bind_all(key.values())
                .execute(conn)
                .await?;
            continue;
        }
        let mut row = key.values();
        row.push(to_text(record.head.as_ref()).into());
        row.push(to_text(record.settled.as_ref()).into());
        rows.push(row);
    }
    let tail = "ON CONFLICT (partner, direction, subject) DO UPDATE SET head = excluded.head, settled = excluded.settled";
    script.insert("INSERT INTO record (partner, direction, subject, head, settled)", tail, rows);
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
