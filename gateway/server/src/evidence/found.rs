//! What a log says about the messages of a bundle.

use std::collections::{HashMap, HashSet};

use anyhow::{Result, anyhow};
use silkgate_ledger::{Entry, Hash, Kind};
use silkgate_message::party::Country;

use super::{Step, Tell};
use crate::store::Connection;
use crate::store::kept::Lists;
use crate::store::ledger::{self, Head, hash};
use crate::store::message::{Message, Way};

/// Entries read at once.
const PAGE: u32 = 1_000;
/// Messages refused for the id of one message that stand beside it, the first ones: its sender may send as many as it likes, and no
/// bundle over the message would have room for all. The others stand in the log.
const CONFLICTS_MAX: usize = 8;

/// What one reading of a log found; no more than the wanted messages ask for, however long the log is.
#[derive(Default)]
pub(super) struct Found {
    /// `card` and `agreement` as they came into force: index, which, digest.
    pub(super) in_force: Vec<(u64, String, Hash)>,
    /// By the message's digest.
    pub(super) outcomes: HashMap<Hash, u64>,
    /// By the index of the message's entry.
    pub(super) erased: HashMap<u64, u64>,
    /// Indexes of what was refused for an id that was used before, by that id and source.
    conflicts: HashMap<(String, String), Vec<u64>>,
    /// Revocation lists as they came into force.
    pub(super) lists: Lists,
    /// Of a channel's log.
    pub(super) partner: Option<Country>,
}

/// What is looked for in the logs.
pub(super) struct Wanted {
    digests: HashSet<Hash>,
    /// Log and index of the messages' entries.
    entries: HashSet<(i64, u64)>,
    /// Ids and sources of messages received.
    ids: HashSet<(String, String)>,
}

impl Wanted {
    pub(super) fn of(rows: &[Message]) -> Self {
        let received = rows.iter().filter(|row| row.way == Way::Received);
        Self {
            digests: rows.iter().map(|row| hash(row.digest)).collect(),
            entries: rows.iter().map(|row| (row.log, row.entry)).collect(),
            ids: received.map(|row| (row.id.to_string(), row.source.clone())).collect(),
        }
    }
}

/// Reads a whole log once.
pub(super) async fn read(
    conn: &mut Connection,
    head: &Head,
    wanted: &Wanted,
    tell: Tell<'_>,
) -> Result<Found> {
    let mut found = Found { partner: head.partner, ..Found::default() };
    let mut next = 0;
    loop {
        let page = ledger::entries(conn, head.id, next, PAGE).await?;
        let Some((newest, _)) = page.last() else { return Ok(found) };
        next = newest + 1;
        if next % 100_000 == 0 {
            tell(Step::Entries { done: next, of: head.size, origin: head.origin.clone() });
        }
        for (index, body) in page {
            let entry =
                Entry::parse(&body).map_err(|error| anyhow!("entry {index} of {}: {error}", head.origin))?;
            found.note((head.id, index), entry, wanted);
        }
    }
}

impl Found {
    fn note(&mut self, (log, index): (i64, u64), entry: Entry, wanted: &Wanted) {
        self.lists.state(index, &entry);
        let about = entry.jws.filter(|jws| wanted.digests.contains(jws));
        match (entry.kind, entry.what, entry.digest) {
            (Kind::Admin, Some(what), Some(digest)) if what == "card" || what == "agreement" => {
                self.in_force.push((index, what, digest));
            }
            (Kind::Receipted | Kind::Expired | Kind::Dead, _, _) => {
                self.outcomes.extend(about.map(|jws| (jws, index)));
            }
            (Kind::Erased, _, _) => {
                let of = entry.of.and_then(|of| of.parse().ok());
                self.erased
                    .extend(of.filter(|of| wanted.entries.contains(&(log, *of))).map(|of| (of, index)));
            }
            (Kind::Rejected, _, _) if entry.code.as_deref() == Some("id_conflict") => {
                let of = entry.id.zip(entry.from).filter(|of| wanted.ids.contains(of));
                let Some(of) = of else { return };
                let conflicts = self.conflicts.entry(of).or_default();
                if conflicts.len() < CONFLICTS_MAX {
                    conflicts.push(index);
                }
            }
            _ => {}
        }
    }

    /// What came into force before the entry at `index`, newest first.
    pub(super) fn before<'f>(&'f self, index: u64, what: &'f str) -> impl Iterator<Item = (u64, Hash)> + 'f {
        let earlier = self.in_force.iter().rev().filter(move |(at, which, _)| *at < index && which == what);
        earlier.map(|(at, _, digest)| (*at, *digest))
    }

    /// The first that were refused for the id of that message, at most [`CONFLICTS_MAX`].
    pub(super) fn conflicts(&self, id: &str, source: &str) -> &[u64] {
        self.conflicts.get(&(id.to_owned(), source.to_owned())).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use silkgate_ledger::UtcMillis;

    use super::*;

    #[test]
    fn a_sender_fills_no_bundle_with_conflicts() {
        let source = "IQ/traffic-police";
        let entry = |id: &str| {
            let mut entry = Entry::new(Kind::Rejected, UtcMillis::parse("2026-11-24T09:30:00.000Z").unwrap());
            entry.code = Some("id_conflict".to_owned());
            (entry.id, entry.from) = (Some(id.to_owned()), Some(source.to_owned()));
            entry
        };
        let (id, other) = ("0192f1a0-7b3c-7def-8123-456789abcdef", "0192f1a0-7b3c-7def-8123-456789abcdee");
        let wanted = Wanted {
            digests: HashSet::new(),
            entries: HashSet::new(),
            ids: HashSet::from([(id.to_owned(), source.to_owned())]),
        };
        let mut found = Found::default();
        for index in 0..2_000 {
            found.note((1, index), entry(id), &wanted);
            found.note((1, 2_000 + index), entry(other), &wanted);
        }
        assert_eq!(found.conflicts(id, source), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!((found.conflicts(other, source), found.conflicts.len()), (&[][..], 1));
    }
}
