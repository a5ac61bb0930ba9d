//! The partner's log of our channel: read whole, recomputed, held against what it told us before.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context as _, Result, anyhow, bail};
use silkgate_ledger::entry::{Kind, Verdict};
use silkgate_ledger::tree::{Edge, TILE_WIDTH, TilePath};
use silkgate_ledger::{Checkpoint, Entry, Hash, Note, VerifierKey, leaf_hash};

use super::super::client::Client;

/// Messages that a log may state beyond four times those that we know, before it is not believed any further:
/// the partner decides how much we read, and must not decide how much we keep.
const STATED_BEYOND: usize = 100_000;
/// Contradictions that are kept, at most.
const INCONSISTENT_MAX: usize = 100;

/// What the partner told us, by receipt.
#[derive(Default)]
pub(super) struct Held {
    /// Leaf hashes by index.
    pub(super) leaves: BTreeMap<u64, Hash>,
    /// Roots by size.
    pub(super) roots: BTreeMap<u64, Hash>,
    /// Messages exchanged with the partner, both ways.
    pub(super) messages: usize,
    /// What was given up, where one side lost a part of its log and both agreed to go on.
    pub(super) given_up: GivenUp,
}

/// What two operators gave up by `silkgate log recover`.
#[derive(Default)]
pub(super) struct GivenUp {
    /// Of the partner's log: what it told us of sizes above the first and up to the second need not be there any more.
    pub(super) of_theirs: Vec<(u64, u64)>,
    /// Of our log: from when until when we logged what we no longer hold, milliseconds since 1970.
    pub(super) of_ours: Vec<(i64, i64)>,
}

impl GivenUp {
    /// Whether the partner's log of that size was given up.
    pub(super) fn covers(&self, size: u64) -> bool {
        self.of_theirs.iter().any(|(kept, lost)| *kept < size && size <= *lost)
    }

    /// Whether a message of that time may be missing here.
    pub(super) fn excuses(&self, at_ms: i64) -> bool {
        self.of_ours.iter().any(|(from, until)| (*from..=*until).contains(&at_ms))
    }
}

/// What the partner's log states of one message.
#[derive(Default, Clone)]
pub(super) struct Stated {
    /// `id`.
    pub(super) id: Option<String>,
    /// When it first stood there, milliseconds since 1970.
    pub(super) at_ms: i64,
    /// It says that we sent it, and how it judged: code of a refusal.
    pub(super) received: Option<Result<(), String>>,
    /// It says that it sent it.
    pub(super) sent: bool,
    /// It says that we judged so.
    pub(super) receipted: Option<Verdict>,
}

/// The partner's log, read.
pub(super) struct Log {
    pub(super) origin: String,
    pub(super) entries: u64,
    /// Bytes of answers that were read for it.
    pub(super) bytes: u64,
    /// By the digest of the signing input.
    pub(super) messages: HashMap<Hash, Stated>,
    /// Digests that it holds of messages from us, by id.
    pub(super) by_id: HashMap<String, Vec<Hash>>,
    /// Where it contradicts itself or what it told before.
    pub(super) inconsistent: Vec<String>,
}

/// Reads and recomputes the log.
pub(super) async fn read(client: &Client, keys: &[VerifierKey], held: &Held) -> Result<Log> {
    let note = get(client, "/v1/log/checkpoint").await?;
    let note = Note::parse(&note).context("the partner's checkpoint")?;
    let key = note.verify(keys).context("the partner's checkpoint is not signed by the card's log key")?;
    let checkpoint = Checkpoint::parse(note.text()).context("the partner's checkpoint")?;
    if checkpoint.origin.as_str() != key.name() {
        bail!("the checkpoint is of {}, not of {}", checkpoint.origin.as_str(), key.name());
    }
    let mut log = Log {
        origin: checkpoint.origin.as_str().to_owned(),
        entries: checkpoint.size,
        bytes: 0,
        messages: HashMap::new(),
        by_id: HashMap::new(),
        inconsistent: Vec::new(),
    };
    let mut edge = Edge::empty();
    let width = u64::from(TILE_WIDTH);
    while edge.size() < checkpoint.size {
        let first = edge.size();
        let count = width.min(checkpoint.size - first);
        let path = TilePath::Entries { index: first / width, width: u16::try_from(count)? };
        let bundle = get(client, &format!("/v1/log/{path}")).await?;
        log.bytes += bundle.len() as u64;
        let entries =
            split(&bundle, usize::try_from(count)?).ok_or_else(|| anyhow!("{path}: not {count} entries"))?;
        for entry in entries {
            let leaf = leaf_hash(entry);
            let index = edge.append(leaf);
            if held.leaves.get(&index).is_some_and(|told| *told != leaf) && !held.given_up.covers(index + 1) {
                log.contradicts(format!("entry {index} is not the one that a receipt proved"));
            }
            let told = held.roots.get(&edge.size());
            if told.is_some_and(|told| *told != edge.root()) && !held.given_up.covers(edge.size()) {
                log.contradicts(format!(
                    "the first {} entries are not those of a checkpoint that we hold",
                    edge.size()
                ));
            }
            match Entry::parse(entry) {
                Ok(entry) => log.take(&entry),
                Err(error) => log.contradicts(format!("entry {index} cannot be read: {error}")),
            }
        }
        if log.messages.len() > held.messages.saturating_mul(4).saturating_add(STATED_BEYOND) {
            log.contradicts(format!(
                "it states over {} messages, we know {}: not read beyond entry {}",
                log.messages.len() - 1,
                held.messages,
                edge.size()
            ));
            return Ok(log);
        }
        // Full tiles are not needed again: what stays is the edge of the tree.
        drop(edge.take_changed());
    }
    if edge.root() != checkpoint.root {
        log.inconsistent
            .push(format!("the {} entries do not make the root that the checkpoint signs", checkpoint.size));
    }
    let mut beyond = held.roots.range(checkpoint.size + 1..).map(|(size, _)| *size);
    if let Some(size) = beyond.rfind(|size| !held.given_up.covers(*size)) {
        log.contradicts(format!(
            "the log has {} entries, a checkpoint that we hold has {size}: it was cut back",
            checkpoint.size
        ));
    }
    Ok(log)
}

/// Entries of a bundle, each behind its length (C2SP tlog-tiles).
fn split(bundle: &[u8], count: usize) -> Option<Vec<&[u8]>> {
    let (mut rest, mut entries) = (bundle, Vec::new());
    while let Some((length, tail)) = rest.split_first_chunk::<2>() {
        let (entry, tail) = tail.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        entries.push(entry);
        rest = tail;
    }
    (rest.is_empty() && entries.len() == count).then_some(entries)
}

async fn get(client: &Client, path: &str) -> Result<Vec<u8>> {
    let answer = client.ask(path).await?;
    if answer.status != 200 {
        bail!("{path}: the partner answers {}", answer.status);
    }
    Ok(answer.body.to_vec())
}

impl Log {
    fn contradicts(&mut self, what: String) {
        if self.inconsistent.len() < INCONSISTENT_MAX {
            self.inconsistent.push(what);
        }
    }

    fn take(&mut self, entry: &Entry) {
        // Without an id it is a refusal from before the signature was verified: anybody's.
        let (Some(jws), Some(id)) = (entry.jws, entry.id.clone()) else { return };
        let stated = self
            .messages
            .entry(jws)
            .or_insert_with(|| Stated { at_ms: entry.at.unix_ms(), ..Stated::default() });
        stated.id.get_or_insert_with(|| id.clone());
        match entry.kind {
            Kind::Received => stated.received = Some(Ok(())),
            // The first verdict counts: a repeat is answered with it.
            Kind::Rejected => {
                stated.received.get_or_insert_with(|| Err(entry.code.clone().unwrap_or_default()));
            }
            Kind::Sent => stated.sent = true,
            Kind::Receipted => stated.receipted = entry.verdict,
            _ => {}
        }
        if matches!(entry.kind, Kind::Received | Kind::Rejected) {
            self.by_id.entry(id).or_default().push(jws);
        }
    }
}
