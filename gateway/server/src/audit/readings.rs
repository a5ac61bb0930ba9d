//! The audit of what was read on the national plane: each entry that states a read has its row, and each row its entry.

use silkgate_ledger::entry::Kind;
use silkgate_ledger::{Entry, Hash};

use super::{Audit, PAGE};
use crate::store::ledger::hash;
use crate::store::reading;
use crate::store::{Connection, StoreError};

/// What the `what` of an entry begins with that states a read.
const READS: &str = "read_";

/// How far rows and entries were held against each other.
pub(super) struct Readings {
    /// Entries that state a read, of the page at hand: index and digest.
    stated: Vec<(i64, Option<Hash>)>,
    /// The last entry whose row was looked at.
    seen: i64,
}

impl Readings {
    pub(super) fn new() -> Self {
        Self { stated: Vec::new(), seen: i64::MIN }
    }

    /// Takes in an entry of the house log.
    pub(super) fn state(&mut self, index: i64, entry: &Entry) {
        if entry.kind == Kind::Admin && entry.what.as_deref().is_some_and(|what| what.starts_with(READS)) {
            self.stated.push((index, entry.digest));
        }
    }
}

impl Audit<'_> {
    /// Compares what was taken in, up to the entry `last`, with the rows; at the end with all rows that are left.
    pub(super) async fn readings(&mut self, conn: &mut Connection, last: i64) -> Result<(), StoreError> {
        let mut stated = std::mem::take(&mut self.readings.stated).into_iter().peekable();
        loop {
            let page = reading::between(conn, self.readings.seen, last, PAGE).await?;
            let whole = page.len() < PAGE as usize;
            for (entry, row) in page {
                while let Some((missing, _)) = stated.next_if(|(index, _)| *index < entry) {
                    self.report.find(place(missing), "the house log states a read whose row is not there");
                }
                self.readings.seen = entry;
                let digest = row.digest().map(hash);
                match stated.next_if(|(index, _)| *index == entry) {
                    Some((_, said)) if said.is_some() && said == digest => {}
                    Some(_) => {
                        self.report.find(place(entry), "who read what is not what the house log states")
                    }
                    None => self.report.find(place(entry), "the house log states no such read"),
                }
            }
            if whole {
                break;
            }
        }
        for (missing, _) in stated {
            self.report.find(place(missing), "the house log states a read whose row is not there");
        }
        self.readings.seen = last;
        Ok(())
    }
}

fn place(entry: i64) -> String {
    format!("reading {entry}")
}
