//! The whole-store audit: what is stored is read again, hashed again and compared.

mod coverage;
mod messages;
mod questions;
mod timestamps;

use std::collections::{BTreeSet, HashMap, HashSet};

use rustls_pki_types::CertificateDer;
use serde::Serialize;
use silkgate_ledger::entry::Kind;
use silkgate_ledger::tree::{Edge, TileId};
use silkgate_ledger::{Checkpoint, Entry, Hash, Note, NoteSigner, VerifierKey, leaf_hash};
use silkgate_message::card::Card;
use silkgate_message::jws::SigningCertificate;

use crate::config::Config;
use crate::store::ledger::{self, Head};
use crate::store::{Connection, Store, StoreError, partner};
use coverage::{COVERED, EXCLUDED, EXCLUDED_COLUMNS, Excluded};

/// Rows read at once.
const PAGE: u32 = 1000;

/// What an audit found.
#[derive(Serialize, Default)]
pub struct Report {
    /// Each log.
    pub logs: Vec<LogReport>,
    /// Messages looked at.
    pub messages: u64,
    /// Payloads whose digest and signature were verified.
    pub payloads: u64,
    /// Payloads that were erased, as the logs state.
    pub erased: u64,
    /// Partners' receipts that were verified.
    pub receipts: u64,
    /// Time-stamps that were verified over their checkpoints.
    pub timestamps: u64,
    /// Whether their authorities were verified too, under the anchors of the configuration.
    pub timestamps_anchored: bool,
    /// Tables that were covered.
    pub covered: &'static [&'static str],
    /// Tables that no evidence rests on, and why.
    pub excluded: &'static [Excluded],
    /// The same of columns of covered tables.
    pub excluded_columns: &'static [Excluded],
    /// Everything that does not agree.
    pub findings: Vec<Finding>,
}

/// A log that was recomputed.
#[derive(Serialize)]
pub struct LogReport {
    /// Its origin.
    pub origin: String,
    /// Entries, 0 to this without a gap.
    pub entries: u64,
    /// Checkpoints whose root and signature were verified.
    pub checkpoints: u64,
}

/// One contradiction.
#[derive(Serialize)]
pub struct Finding {
    /// Where: table and key.
    pub place: String,
    /// What.
    pub what: String,
}

struct Audit<'a> {
    store: &'a Store,
    report: Report,
    config: &'a Config,
    log_pkcs8: &'a [u8],
    own: Option<SigningCertificate>,
    cards: Vec<Card>,
    /// What each log states about messages: (log, index) to entry.
    stated: HashMap<(i64, u64), Entry>,
    /// What the logs state about the outcome of messages sent, by digest.
    outcomes: HashMap<Hash, Entry>,
    /// What the channel logs state was erased: (log, index of the message's entry) to the `erased` entry and its index.
    erased: HashMap<(i64, u64), (u64, Entry)>,
    /// Digests of reasons that the house log states for erasing, by message id.
    reasons: HashMap<String, Vec<Hash>>,
    /// What the house log states was handed over, by digest, and when.
    delivered: HashMap<Hash, i64>,
    /// The partner whose channel each log is.
    partners: HashMap<i64, String>,
    /// The sizes that have a checkpoint, by log.
    signed: HashMap<i64, BTreeSet<u64>>,
    /// Message entries that no message row has claimed yet.
    unclaimed: HashSet<(i64, u64)>,
}

/// Audits the store in one consistent view of it. `anchors`: of the time-stamping authority, where one is configured.
pub async fn verify(
    store: &Store,
    config: &Config,
    log_pkcs8: &[u8],
    message_certificate: &[u8],
    anchors: Option<&[CertificateDer<'static>]>,
) -> Result<Report, StoreError> {
    let mut tx = store.read().await?;
    let cards = partner::cards(&mut tx).await?;
    let mut audit = Audit {
        store,
        report: Report {
            covered: &COVERED,
            excluded: &EXCLUDED,
            excluded_columns: &EXCLUDED_COLUMNS,
            ..Report::default()
        },
        config,
        log_pkcs8,
        own: SigningCertificate::parse(message_certificate),
        cards: cards.iter().filter_map(|(_, bytes)| Card::parse(bytes).ok()).collect(),
        stated: HashMap::new(),
        outcomes: HashMap::new(),
        erased: HashMap::new(),
        reasons: HashMap::new(),
        delivered: HashMap::new(),
        partners: HashMap::new(),
        signed: HashMap::new(),
        unclaimed: HashSet::new(),
    };
    if audit.cards.len() != cards.len() {
        audit.find("card", "a card's signature does not verify");
    }
    let heads = ledger::heads(&mut tx).await?;
    for head in &heads {
        audit.partners.extend(head.partner.map(|partner| (head.id, partner.to_string())));
        audit.log(&mut tx, head).await?;
    }
    audit.timestamps(&mut tx, &heads, anchors).await?;
    audit.messages(&mut tx).await?;
    for (log, index) in std::mem::take(&mut audit.erased).into_keys() {
        audit.find(format!("entry {log}/{index}"), "the log states that it was erased, and it is no message");
    }
    for (log, index) in audit.unclaimed.drain() {
        let what = "the log states a message that the message table does not hold".to_owned();
        audit.report.findings.push(Finding { place: format!("entry {log}/{index}"), what });
    }
    Ok(audit.report)
}

impl Audit<'_> {
    fn find(&mut self, place: impl Into<String>, what: impl Into<String>) {
        self.report.findings.push(Finding { place: place.into(), what: what.into() });
    }

    /// Entries, tree, tiles and checkpoints of one log.
    async fn log(&mut self, conn: &mut Connection, head: &Head) -> Result<(), StoreError> {
        let mut edge = Edge::empty();
        let mut tiles: HashMap<TileId, Vec<u8>> = HashMap::new();
        let mut notes = Notes::new(head.id);
        let key = match NoteSigner::from_pkcs8(&head.origin, self.log_pkcs8) {
            Ok(signer) => signer.verifier_key().clone(),
            Err(error) => {
                self.find(format!("log {}", head.origin), format!("the log key cannot be used: {error}"));
                return Ok(());
            }
        };
        let expected = match head.partner {
            Some(partner) => self.config.channel_origin(partner),
            None => self.config.house_origin(),
        };
        if expected != head.origin {
            self.find(format!("log {}", head.id), format!("the origin is {}, not {expected}", head.origin));
        }
        loop {
            let page = ledger::entries(conn, head.id, edge.size(), PAGE).await?;
            if page.is_empty() {
                break;
            }
            for (index, body) in page {
                let place = format!("entry {}/{index}", head.id);
                if index != edge.size() {
                    self.find(place, format!("entries {} to {} are missing", edge.size(), index - 1));
                    return Ok(());
                }
                edge.append(leaf_hash(&body));
                match Entry::parse(&body) {
                    Ok(entry) => self.state(head, index, entry),
                    Err(error) => self.find(place, error.to_string()),
                }
                self.checkpoint(conn, &mut notes, head, &edge, &key).await?;
            }
            tiles.extend(edge.take_changed().into_iter().map(|(id, tile)| (id, tile.to_bytes())));
        }
        if edge.size() != head.size {
            self.find(
                format!("log {}", head.origin),
                format!("{} entries, but the head says {}", edge.size(), head.size),
            );
        } else if edge.root() != head.root {
            self.find(format!("log {}", head.origin), "the entries do not give the head's root");
        }
        if let Some((size, _)) = notes.next(conn).await? {
            self.find(format!("checkpoint {}/{size}", head.id), "a checkpoint beyond the last entry");
        }
        if head.size > 0 && notes.last != head.size {
            self.find(format!("log {}", head.origin), "the newest entries have no checkpoint");
        }
        if notes.seen != head.signed {
            let what = format!("{} checkpoints, but {} were signed", notes.seen, head.signed);
            self.find(format!("checkpoints of {}", head.origin), what);
        }
        self.compare_tiles(conn, head, tiles).await?;
        let (entries, checkpoints) = (edge.size(), notes.seen);
        self.report.logs.push(LogReport { origin: head.origin.clone(), entries, checkpoints });
        Ok(())
    }

    fn state(&mut self, head: &Head, index: u64, entry: Entry) {
        if let Some(jws) = entry.jws {
            match entry.kind {
                Kind::Receipted | Kind::Expired | Kind::Dead => {
                    self.outcomes.insert(jws, entry.clone());
                }
                Kind::Delivered => {
                    self.delivered.insert(jws, entry.at.unix_ms());
                }
                _ => {}
            }
        }
        if head.partner.is_none() {
            if let (Kind::Admin, Some("erase"), Some(of), Some(digest)) =
                (entry.kind, entry.what.as_deref(), &entry.of, entry.digest)
            {
                self.reasons.entry(of.clone()).or_default().push(digest);
            }
            return;
        }
        if entry.kind == Kind::Erased {
            let of = entry.of.as_ref().and_then(|of| of.parse::<u64>().ok());
            let place = format!("entry {}/{index}", head.id);
            match of.filter(|of| *of < index) {
                None => self.find(place, "it states the erasure of no earlier entry"),
                Some(of) => {
                    if self.erased.insert((head.id, of), (index, entry)).is_some() {
                        self.find(place, format!("entry {of} is erased a second time"));
                    }
                }
            }
            return;
        }
        let has_row = match entry.kind {
            Kind::Sent | Kind::Received => true,
            // Refusals before a verified signature name no certificate; a conflict keeps the first row;
            // without id and source there is nothing to know a repeat by.
            Kind::Rejected => {
                let keyed = entry.id.is_some() && entry.from.as_ref().is_some_and(|from| from.contains('/'));
                entry.cert.is_some() && keyed && entry.code.as_deref() != Some("id_conflict")
            }
            _ => false,
        };
        if has_row {
            self.unclaimed.insert((head.id, index));
            self.stated.insert((head.id, index), entry);
        }
    }

    /// Compares the checkpoint of the present size, if there is one, with the tree so far.
    async fn checkpoint(
        &mut self,
        conn: &mut Connection,
        notes: &mut Notes,
        head: &Head,
        edge: &Edge,
        key: &VerifierKey,
    ) -> Result<(), StoreError> {
        while let Some((size, note)) = notes.peek(conn).await? {
            if size > edge.size() {
                break;
            }
            self.signed.entry(head.id).or_default().insert(size);
            if let Err(what) = check_note(&note, &head.origin, edge.size(), &edge.root(), key) {
                self.find(format!("checkpoint {}/{size}", head.id), what);
            }
            notes.pop();
        }
        Ok(())
    }

    async fn compare_tiles(
        &mut self,
        conn: &mut Connection,
        head: &Head,
        mut expected: HashMap<TileId, Vec<u8>>,
    ) -> Result<(), StoreError> {
        for (id, bytes) in ledger::all_tiles(conn, head.id).await? {
            let place = format!("tile {}/{}/{}", head.id, id.level, id.index);
            match expected.remove(&id) {
                Some(tile) if tile == bytes => {}
                Some(_) => self.find(place, "the tile's hashes are not those of the entries"),
                None => self.find(place, "a tile beyond the tree"),
            }
        }
        for id in expected.into_keys() {
            self.find(format!("tile {}/{}/{}", head.id, id.level, id.index), "the tile is missing");
        }
        Ok(())
    }
}

fn check_note(note: &[u8], origin: &str, size: u64, root: &Hash, key: &VerifierKey) -> Result<(), String> {
    let note = Note::parse(note).map_err(|error| error.to_string())?;
    note.verify(std::slice::from_ref(key)).map_err(|error| error.to_string())?;
    let checkpoint = Checkpoint::parse(note.text()).map_err(|error| error.to_string())?;
    if checkpoint.origin.as_str() != origin || checkpoint.size != size {
        return Err("the checkpoint is of another log or size".to_owned());
    }
    if checkpoint.root != *root {
        return Err("the entries do not give the checkpoint's root".to_owned());
    }
    Ok(())
}

/// The stored checkpoints of a log in order, a page at a time.
struct Notes {
    log: i64,
    page: std::collections::VecDeque<(u64, Vec<u8>)>,
    last: u64,
    seen: u64,
}

impl Notes {
    fn new(log: i64) -> Self {
        Self { log, page: Default::default(), last: 0, seen: 0 }
    }

    async fn peek(&mut self, conn: &mut Connection) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        if self.page.is_empty() {
            self.page = ledger::checkpoints(conn, self.log, self.last, PAGE).await?.into();
        }
        Ok(self.page.front().cloned())
    }

    fn pop(&mut self) {
        if let Some((size, _)) = self.page.pop_front() {
            self.last = size;
            self.seen += 1;
        }
    }

    async fn next(&mut self, conn: &mut Connection) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        let next = self.peek(conn).await?;
        if next.is_some() {
            self.pop();
        }
        Ok(next)
    }
}
