//! What every batch begins with, asked together.

use std::collections::{HashMap, HashSet};

use super::delivery::{self, Lane};
use super::inquiry::{Ask, ask};
use super::ledger::{self, Head};
use super::message::{self, Message};
use super::record::{self, Record, RecordKey};
use super::sql::Row;
use super::{Connection, StoreError};

/// What a batch is decided by beside what each begins with.
#[derive(Default)]
pub struct Wanted {
    /// Messages that may be known.
    pub messages: Vec<message::Key>,
    /// Records that may be known.
    pub records: Vec<RecordKey>,
    /// Lanes in which something may still have to be taken over.
    pub lanes: Vec<Lane>,
}

/// As it stands in the transaction that asks.
pub struct Opening {
    /// Whether an open alarm says that this database was put back or altered.
    pub is_rolled_back: bool,
    /// The next free `message.seq`.
    pub next_seq: i64,
    /// What changes of partners, their agreements and lists are counted by.
    pub generation: i64,
    /// The partners that may exchange messages now.
    pub active: Vec<String>,
    /// The logs.
    pub heads: Vec<Head>,
    /// Of the messages that were wanted, those that are known.
    pub messages: Vec<Message>,
    /// Of the records that were wanted, those that are known.
    pub records: HashMap<RecordKey, Record>,
    /// Of the lanes that were wanted, those in which something is still to be taken over.
    pub open: HashSet<Lane>,
}

const BEGIN: &str = "SELECT (SELECT count(*) FROM (SELECT 1 FROM alarm WHERE kind = 'rollback' AND settled_ms IS NULL LIMIT 1) AS open),
        (SELECT coalesce(max(seq), 0) + 1 FROM message), (SELECT value FROM generation WHERE id = 1), p.country
     FROM (SELECT 1 AS one) AS one LEFT JOIN partner p ON p.state = 'active'";

/// Reads it.
pub async fn read(conn: &mut Connection, wanted: &Wanted) -> Result<Opening, StoreError> {
    let asks = vec![
        Ask::Whole(BEGIN),
        Ask::Whole(ledger::HEADS),
        message::ask_known(&wanted.messages),
        record::ask_known(&wanted.records),
        delivery::ask_open(&wanted.lanes),
    ];
    let unanswered = || StoreError::Corrupt("no answer to what a batch begins with".into());
    let answers: [Vec<Row>; 5] = ask(conn, asks).await?.try_into().map_err(|_| unanswered())?;
    let [begin, heads, messages, records, open] = answers;
    let first = begin.first().ok_or_else(unanswered)?;
    let active = begin.iter().map(|row| row.get::<Option<String>>(3)).collect::<Result<Vec<_>, _>>()?;
    Ok(Opening {
        is_rolled_back: first.get::<i64>(0)? > 0,
        next_seq: first.get(1)?,
        generation: first.get(2)?,
        active: active.into_iter().flatten().collect(),
        heads: ledger::heads_of(heads)?,
        messages: message::known(&messages)?,
        records: record::known(&records)?,
        open: delivery::open(&open)?,
    })
}
