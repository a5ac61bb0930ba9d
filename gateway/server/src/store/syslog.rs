//! Table `syslog_position`: how far each log is at the collector.

use std::collections::BTreeMap;

use silkgate_ledger::Entry;
use silkgate_message::instant::Instant;

use super::ledger::{self, signed, unsigned};
use super::sql::sql;
use super::{Connection, StoreError};

/// A log that is not, or not wholly, at the collector.
#[derive(Clone, Debug)]
pub struct Behind {
    /// The log.
    pub origin: String,
    /// Its first entry that is not confirmed, from 0.
    pub next: u64,
    /// Entries of the log.
    pub size: u64,
    /// When that entry was written; None: there is none, or it cannot be read.
    pub oldest: Option<Instant>,
}

impl Behind {
    /// Entries that are not confirmed.
    pub fn entries(&self) -> u64 {
        self.size.saturating_sub(self.next)
    }
}

/// Where each log goes on; one that is not there begins at its first entry.
pub async fn positions(conn: &mut Connection) -> Result<BTreeMap<i64, u64>, StoreError> {
    let rows = sql("SELECT log, next_index FROM syslog_position").fetch_all(conn).await?;
    rows.iter().map(|row| Ok((row.get(0)?, unsigned(row.get(1)?)?))).collect()
}

/// Moves positions on, never back: of two gateways that both sent, what either of them confirmed is confirmed. None goes past the end of
/// its log: an older database may have been put in place, and what follows there was never sent.
pub async fn advance(conn: &mut Connection, to: &BTreeMap<i64, u64>) -> Result<(), StoreError> {
    for (log, next) in to {
        sql("INSERT INTO syslog_position (log, next_index) SELECT id, $2 FROM log WHERE id = $1 AND size >= $2
             ON CONFLICT (log) DO UPDATE SET next_index = excluded.next_index
             WHERE syslog_position.next_index < excluded.next_index")
        .bind(*log)
        .bind(signed(*next))
        .execute(conn)
        .await?;
    }
    Ok(())
}

/// Every log with what of it is not confirmed, in ascending id.
pub async fn behind(conn: &mut Connection) -> Result<Vec<Behind>, StoreError> {
    let positions = positions(conn).await?;
    let mut all = Vec::new();
    for head in ledger::heads(conn).await? {
        let next = positions.get(&head.id).copied().unwrap_or(0);
        let body = if next < head.size { ledger::entry(conn, head.id, next).await? } else { None };
        let oldest = body.and_then(|body| Entry::parse(&body).ok()).map(|entry| Instant(entry.at.unix_ms()));
        all.push(Behind { origin: head.origin, next, size: head.size, oldest });
    }
    Ok(all)
}
