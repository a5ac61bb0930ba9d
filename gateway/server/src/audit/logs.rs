//! One log, read once from its first entry to its last: entries, tree, tiles, checkpoints, cosignatures.

use std::collections::VecDeque;
use std::sync::Arc;

use silkgate_ledger::entry::Kind;
use silkgate_ledger::tree::{Edge, TileId, TileSource as _};
use silkgate_ledger::{Entry, Note, VerifierKey, leaf_hash};

use super::notes::{self, Signed};
use super::report::{CosignedReport, LogReport};
use super::sums::Fact;
use super::{Audit, PAGE, Step};
use crate::store::ledger::{self, Head};
use crate::store::witness::{self, Cosigned};
use crate::store::{Connection, StoreError};

/// Checkpoints that are verified in one piece.
const PIECE: usize = 64;

/// How far a log was read.
pub(super) struct Log {
    pub(super) head: Head,
    keys: Arc<Vec<VerifierKey>>,
    edge: Edge,
    /// Read entries that must have a message row, and have not been claimed by one.
    due: VecDeque<(u64, Entry)>,
    /// Sizes of checkpoints up to the edge, as far as a message may still ask for them.
    sizes: VecDeque<u64>,
    notes: VecDeque<(u64, Vec<u8>)>,
    lines: VecDeque<Cosigned>,
    last_note: u64,
    last_line: (u64, String),
    piece: Vec<Signed>,
    checkpoints: u64,
    cosigned: i64,
    ended: bool,
}

impl Log {
    pub(super) async fn open(
        audit: &mut Audit<'_>,
        conn: &mut Connection,
        head: Head,
    ) -> Result<Self, StoreError> {
        let place = format!("log {}", head.id);
        let expected = audit.facts.origin(head.partner);
        if expected != head.origin {
            audit.report.find(place, format!("the origin is {}, not {expected}", head.origin));
        }
        let [entry, checkpoint, cosignature] = ledger::lowest(conn, head.id).await?;
        for (table, lowest, first) in
            [("entry", entry, 0), ("checkpoint", checkpoint, 1), ("cosignature", cosignature, 1)]
        {
            if lowest.is_some_and(|lowest| lowest < first) {
                audit.report.find(format!("{table} {}", head.id), "a row before the first one");
            }
        }
        Ok(Self {
            keys: Arc::new(audit.facts.own_log(&head.origin)),
            edge: Edge::empty(),
            due: VecDeque::new(),
            sizes: VecDeque::new(),
            notes: VecDeque::new(),
            lines: VecDeque::new(),
            last_note: 0,
            last_line: (0, String::new()),
            piece: Vec::new(),
            checkpoints: 0,
            cosigned: 0,
            ended: false,
            head,
        })
    }

    /// The entry that a message names. Entries that it passes had to have a message, too.
    pub(super) async fn claim(
        &mut self,
        audit: &mut Audit<'_>,
        conn: &mut Connection,
        index: u64,
    ) -> Result<Option<Entry>, StoreError> {
        if index >= self.head.size {
            return Ok(None);
        }
        loop {
            match self.due.front() {
                Some((first, _)) if *first > index => return Ok(None),
                Some((first, _)) if *first == index => {
                    return Ok(self.due.pop_front().map(|(_, entry)| entry));
                }
                Some(_) => self.pass(audit),
                None if self.ended || self.edge.size() > index => return Ok(None),
                None => self.read_page(audit, conn).await?,
            }
        }
    }

    fn pass(&mut self, audit: &mut Audit<'_>) {
        if let Some((index, _)) = self.due.pop_front() {
            let place = format!("entry {}/{index}", self.head.id);
            audit.report.find(place, "the log states a message that the message table does not hold");
        }
    }

    /// The size of the first checkpoint over an entry: the one that its receipt rests on.
    pub(super) async fn first_over(
        &mut self,
        conn: &mut Connection,
        index: u64,
    ) -> Result<Option<u64>, StoreError> {
        while self.sizes.front().is_some_and(|size| *size <= index) {
            self.sizes.pop_front();
        }
        if let Some(size) = self.sizes.front() {
            return Ok(Some(*size));
        }
        Ok(self.next_note(conn).await?.filter(|size| *size > index))
    }

    /// Reads to the end and compares what can only be compared there.
    pub(super) async fn finish(
        mut self,
        audit: &mut Audit<'_>,
        conn: &mut Connection,
    ) -> Result<LogReport, StoreError> {
        while !self.ended {
            while !self.due.is_empty() {
                self.pass(audit);
            }
            self.sizes.clear();
            self.read_page(audit, conn).await?;
        }
        while !self.due.is_empty() {
            self.pass(audit);
        }
        let place = format!("log {}", self.head.origin);
        let (entries, head) = (self.edge.size(), &self.head);
        if entries != head.size {
            audit.report.find(&place, format!("{entries} entries, but the head says {}", head.size));
        } else if self.edge.root() != head.root {
            audit.report.find(&place, "the entries do not give the head's root");
        }
        if self.last_note != entries {
            audit.report.find(&place, "the newest entries have no checkpoint");
        }
        if self.head.partner.is_none() {
            if entries > 0 {
                self.anchored(audit, conn).await?;
            }
            // Rows of entries that are not there.
            audit.readings(conn, i64::MAX).await?;
        }
        self.beyond(audit, conn).await?;
        self.last_tiles(audit, conn).await?;
        self.verify_piece(audit).await;
        for (what, found, said) in [
            (
                "checkpoints",
                i64::try_from(self.checkpoints).unwrap_or(i64::MAX),
                ledger::signed(self.head.signed),
            ),
            ("cosignatures", self.cosigned, self.head.cosigned),
        ] {
            if found != said {
                audit.report.find(&place, format!("{found} {what}, but there were {said}"));
            }
        }
        let (origin, checkpoints) = (self.head.origin, self.checkpoints);
        Ok(LogReport { origin, entries, checkpoints, cosigned: Vec::<CosignedReport>::new() })
    }

    /// The newest checkpoint of the house log is signed by a key in the home. The house log states every card, and the
    /// cards every other key: nobody without that key can sign a history of their own.
    async fn anchored(&self, audit: &mut Audit<'_>, conn: &mut Connection) -> Result<(), StoreError> {
        let note = ledger::checkpoint(conn, self.head.id, self.edge.size()).await?;
        let note = note.and_then(|note| Note::parse(&note).ok());
        let keys = audit.facts.in_home(&self.head.origin);
        if note.is_none_or(|note| note.verify(&keys).is_err()) {
            let place = format!("log {}", self.head.origin);
            audit.report.find(place, "no log key of the home signed its newest checkpoint");
        }
        Ok(())
    }

    /// Checkpoints and cosignatures behind the last entry; there must be none.
    async fn beyond(&mut self, audit: &mut Audit<'_>, conn: &mut Connection) -> Result<(), StoreError> {
        let log = self.head.id;
        while let Some(size) = self.next_note(conn).await? {
            audit.report.find(format!("checkpoint {log}/{size}"), "a checkpoint beyond the last entry");
            self.take_note();
        }
        while let Some(line) = self.next_line(conn, u64::MAX).await? {
            audit.report.find(place_of(log, &line), "there is no checkpoint of that size");
        }
        Ok(())
    }

    async fn read_page(&mut self, audit: &mut Audit<'_>, conn: &mut Connection) -> Result<(), StoreError> {
        let page = ledger::entries(conn, self.head.id, self.edge.size(), PAGE).await?;
        self.ended = page.is_empty();
        for (index, body) in page {
            let place = || format!("entry {}/{index}", self.head.id);
            if index != self.edge.size() {
                let missing = format!("entries {} to {} are missing", self.edge.size(), index - 1);
                audit.report.find(place(), missing);
                // Behind a gap nothing of the tree can be recomputed.
                self.ended = true;
                break;
            }
            self.edge.append(leaf_hash(&body));
            match Entry::parse(&body) {
                Ok(entry) => self.state(audit, index, entry),
                Err(error) => audit.report.find(place(), error.to_string()),
            }
            self.checkpoints_here(audit, conn).await?;
        }
        if self.head.partner.is_none() && self.edge.size() > 0 {
            audit.readings(conn, ledger::signed(self.edge.size() - 1)).await?;
        }
        for (id, tile) in self.edge.take_changed() {
            // One that is not full yet may still grow.
            if tile.is_full() {
                self.compare_tile(audit, conn, id, &tile.to_bytes()).await?;
            }
        }
        (audit.observe)(&Step { origin: &self.head.origin, log: self.head.id, entries: self.edge.size() });
        Ok(())
    }

    /// Takes in what an entry states about messages.
    fn state(&mut self, audit: &mut Audit<'_>, index: u64, entry: Entry) {
        for (side, fact) in Fact::of_entry(self.head.id, index, &entry) {
            audit.sums.add(side, &fact);
        }
        match self.head.partner {
            None => audit.said.house(&entry),
            Some(partner) => {
                audit.said.channel(partner.as_str(), &entry);
                audit.listed.entry(partner.to_string()).or_default().state(index, &entry);
            }
        }
        if self.head.partner.is_none() {
            audit.house_states(&entry);
            audit.readings.state(ledger::signed(index), &entry);
        } else if has_row(&entry) {
            self.due.push_back((index, entry));
        }
    }

    /// The checkpoint of the present size, if there is one, and its cosignatures.
    async fn checkpoints_here(
        &mut self,
        audit: &mut Audit<'_>,
        conn: &mut Connection,
    ) -> Result<(), StoreError> {
        if self.next_note(conn).await? != Some(self.edge.size()) {
            return Ok(());
        }
        let Some((size, note)) = self.take_note() else { return Ok(()) };
        self.sizes.push_back(size);
        self.checkpoints += 1;
        let mut lines = Vec::new();
        while let Some(line) = self.next_line(conn, size).await? {
            self.cosigned += 1;
            if line.size == size {
                lines.push((line.witness, line.line));
            } else {
                audit.report.find(place_of(self.head.id, &line), "there is no checkpoint of that size");
            }
        }
        let root = self.edge.root();
        let log = self.head.id;
        let skip = audit.resume.skips(Some(log), ledger::signed(size));
        self.piece.push(Signed { log, partner: self.head.partner, size, root, note, lines, skip });
        if self.piece.len() >= PIECE {
            self.verify_piece(audit).await;
        }
        Ok(())
    }

    async fn verify_piece(&mut self, audit: &mut Audit<'_>) {
        let piece = std::mem::take(&mut self.piece);
        let (facts, keys, origin) = (audit.facts.clone(), self.keys.clone(), self.head.origin.clone());
        audit.work(move || notes::verify(&facts, &origin, &keys, piece)).await;
    }

    /// The size of the next checkpoint that was not taken.
    async fn next_note(&mut self, conn: &mut Connection) -> Result<Option<u64>, StoreError> {
        if self.notes.is_empty() {
            self.notes = ledger::checkpoints(conn, self.head.id, self.last_note, PAGE).await?.into();
        }
        Ok(self.notes.front().map(|(size, _)| *size))
    }

    fn take_note(&mut self) -> Option<(u64, Vec<u8>)> {
        let note = self.notes.pop_front()?;
        self.last_note = note.0;
        Some(note)
    }

    /// Takes the next cosignature, if it is of a size up to `size`.
    async fn next_line(&mut self, conn: &mut Connection, size: u64) -> Result<Option<Cosigned>, StoreError> {
        if self.lines.is_empty() {
            let (after, witness) = (self.last_line.0, self.last_line.1.as_str());
            self.lines = witness::cosignatures(conn, self.head.id, (after, witness), PAGE).await?.into();
        }
        let Some(line) = self.lines.pop_front_if(|line| line.size <= size) else { return Ok(None) };
        self.last_line = (line.size, line.witness.clone());
        Ok(Some(line))
    }

    async fn compare_tile(
        &self,
        audit: &mut Audit<'_>,
        conn: &mut Connection,
        id: TileId,
        expected: &[u8],
    ) -> Result<(), StoreError> {
        let place = format!("tile {}/{}/{}", self.head.id, id.level, id.index);
        match ledger::tile_bytes(conn, self.head.id, id).await? {
            Some(stored) if stored == expected => {}
            Some(_) => audit.report.find(place, "the tile's hashes are not those of the entries"),
            None => audit.report.find(place, "the tile is missing"),
        }
        Ok(())
    }

    /// The tiles at the right edge, and whether there are more than the tree has.
    async fn last_tiles(&self, audit: &mut Audit<'_>, conn: &mut Connection) -> Result<(), StoreError> {
        for (id, _) in Edge::tiles_needed(self.edge.size()) {
            let expected = self.edge.tile(id).map(|tile| tile.to_bytes()).unwrap_or_default();
            self.compare_tile(audit, conn, id, &expected).await?;
        }
        let size = self.edge.size();
        let level = |level: u32| (size >> (8 * level)).div_ceil(256);
        let expected: u64 = (0..8).map(level).sum();
        let log = self.head.id;
        if ledger::count_tiles(conn, log).await? == expected {
            return Ok(());
        }
        let mut last = (i64::MIN, i64::MIN);
        loop {
            let page = ledger::tile_keys(conn, log, last, PAGE).await?;
            let Some(newest) = page.last() else { return Ok(()) };
            last = *newest;
            for (level, index) in page {
                let id = u8::try_from(level).ok().zip(u64::try_from(index).ok());
                let known = id.is_some_and(|(level, index)| TileId { level, index }.width_at(size) > 0);
                if !known {
                    audit.report.find(format!("tile {log}/{level}/{index}"), "a tile beyond the tree");
                }
            }
        }
    }
}

fn place_of(log: i64, line: &Cosigned) -> String {
    format!("cosignature {log}/{}/{}", line.size, line.witness)
}

/// Whether an entry of a channel log must have a message row.
fn has_row(entry: &Entry) -> bool {
    match entry.kind {
        Kind::Sent | Kind::Received => true,
        // Refusals before a verified signature name no certificate; a conflict keeps the first row;
        // without id and source there is nothing to know a repeat by.
        Kind::Rejected => {
            let keyed = entry.id.is_some() && entry.from.as_ref().is_some_and(|from| from.contains('/'));
            entry.cert.is_some() && keyed && entry.code.as_deref() != Some("id_conflict")
        }
        _ => false,
    }
}
