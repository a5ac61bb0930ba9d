//! Growing the logs inside a transaction: entries, tiles, checkpoints and heads together.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arc_swap::ArcSwap;
use silkgate_ledger::{
    Checkpoint, Ed25519Key, Edge, Entry, Note, NoteError, NoteSigner, Origin, SignError, TlogProof,
    leaf_hash, sign_checkpoint,
};
use silkgate_message::party::Country;

use crate::store::ledger::{self, EntryRow, Head};
use crate::store::{Connection, Script, StoreError};

/// The keys of our logs. Each signs every checkpoint; others can follow while the gateway runs.
#[derive(Clone, Default)]
pub struct LogKeys(Arc<ArcSwap<Vec<Arc<dyn Ed25519Key>>>>);

impl LogKeys {
    /// Signs with other keys from the next transaction on.
    pub fn replace(&self, keys: Vec<Arc<dyn Ed25519Key>>) {
        self.0.store(Arc::new(keys));
    }
}

impl From<Vec<Arc<dyn Ed25519Key>>> for LogKeys {
    fn from(keys: Vec<Arc<dyn Ed25519Key>>) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(keys)))
    }
}

/// The keys of the logs, and their right edges as this process last saw them.
pub struct Logs {
    keys: LogKeys,
    edges: HashMap<i64, Edge>,
    /// Entries of each log that were committed, as far as this process knows.
    committed: HashMap<i64, u64>,
}

/// The logs as they grow in one transaction.
pub struct Growth<'a> {
    logs: &'a mut Logs,
    heads: BTreeMap<i64, Head>,
    added: Vec<EntryRow>,
    sizes: BTreeMap<i64, u64>,
}

/// What a transaction added, to make receipts from.
pub struct Grown {
    proofs: HashMap<(i64, u64), Vec<u8>>,
    signed: Signed,
}

/// The checkpoints of a transaction: by log, its size and its note.
pub type Signed = BTreeMap<i64, (u64, Vec<u8>)>;

/// Whether a transaction whose commit failed is there all the same: its checkpoints are. Call inside a write transaction,
/// which waits for whoever still writes. One that signed none left nothing that anybody was told.
pub async fn is_committed(conn: &mut Connection, signed: &Signed) -> Result<bool, StoreError> {
    for (log, (size, note)) in signed {
        if ledger::checkpoint(conn, *log, *size).await?.as_ref() != Some(note) {
            return Ok(false);
        }
    }
    Ok(!signed.is_empty())
}

impl Logs {
    /// With the log keys.
    pub fn new(keys: impl Into<LogKeys>) -> Self {
        Self { keys: keys.into(), edges: HashMap::new(), committed: HashMap::new() }
    }

    /// What a transaction signed is committed.
    pub fn keep(&mut self, signed: &Signed) {
        self.committed.extend(signed.iter().map(|(log, (size, _))| (*log, *size)));
    }

    /// Forgets the edges: the next transaction reads them again.
    pub fn forget(&mut self) {
        self.edges.clear();
    }

    /// Begins to grow the logs. Another process may have appended since: the heads are read in this
    /// transaction, and an edge that does not fit its head is read again from the tiles.
    pub async fn begin(&mut self, conn: &mut Connection) -> Result<Growth<'_>, StoreError> {
        self.grow(ledger::heads(conn).await?)
    }

    /// The same with the heads as they stand in the transaction.
    pub fn grow(&mut self, heads: Vec<Head>) -> Result<Growth<'_>, StoreError> {
        let heads: BTreeMap<i64, Head> = heads.into_iter().map(|head| (head.id, head)).collect();
        for head in heads.values() {
            let committed = self.committed.entry(head.id).or_insert(head.size);
            if *committed > head.size {
                // What was committed is gone: a database was put back under this process, or another one answers.
                return Err(StoreError::Backwards(head.origin.clone()));
            }
            *committed = head.size;
        }
        Ok(Growth { logs: self, heads, added: Vec::new(), sizes: BTreeMap::new() })
    }
}

impl Growth<'_> {
    /// The house log.
    pub fn house(&self) -> Result<i64, StoreError> {
        let house = self.heads.values().find(|head| head.partner.is_none());
        house.map(|head| head.id).ok_or_else(|| StoreError::Corrupt("there is no house log".into()))
    }

    /// The channel log with `partner`.
    pub fn channel(&self, partner: Country) -> Result<i64, StoreError> {
        let channel = self.heads.values().find(|head| head.partner == Some(partner));
        channel
            .map(|head| head.id)
            .ok_or_else(|| StoreError::Corrupt(format!("there is no log for {partner}")))
    }

    /// The origin of a log.
    pub fn origin(&self, log: i64) -> String {
        self.heads.get(&log).map_or_else(String::new, |head| head.origin.clone())
    }

    /// Appends an entry and gives its index.
    pub async fn append(
        &mut self,
        conn: &mut Connection,
        log: i64,
        entry: &Entry,
    ) -> Result<u64, StoreError> {
        let head = self.heads.get(&log).ok_or_else(|| StoreError::Corrupt("an unknown log".into()))?;
        if !self.sizes.contains_key(&log) {
            let known = self.logs.edges.get(&log);
            let fits = known.is_some_and(|e| e.size() == head.size && e.root() == head.root);
            if known.is_some_and(|e| e.size() > head.size || (e.size() == head.size && !fits)) {
                // What this process committed is gone: a database was put back under it.
                return Err(StoreError::Backwards(head.origin.clone()));
            }
            if !fits {
                let edge = read_edge(conn, head).await?;
                self.logs.edges.insert(log, edge);
            }
            self.sizes.insert(log, head.size);
        }
        let edge =
            self.logs.edges.get_mut(&log).ok_or_else(|| StoreError::Corrupt("an unknown log".into()))?;
        let body = entry.encode().map_err(|error| StoreError::Corrupt(format!("log entry: {error}")))?;
        let index = edge.size();
        edge.append(leaf_hash(&body));
        self.added.push(EntryRow { log, index, body });
        Ok(index)
    }

    /// Signs one checkpoint per grown log, in ascending log id, and writes everything. The caller
    /// commits: only then may a receipt leave.
    pub async fn finish(self, conn: &mut Connection) -> Result<Grown, StoreError> {
        let mut script = Script::default();
        let grown = self.finish_in(&mut script)?;
        script.run(conn).await?;
        Ok(grown)
    }

    /// The same, written with what else the script holds.
    pub fn finish_in(self, script: &mut Script) -> Result<Grown, StoreError> {
        let corrupt =
            |what: &str, error: &dyn std::fmt::Display| StoreError::Corrupt(format!("{what}: {error}"));
        let mut proofs = HashMap::new();
        let mut signed_notes = Signed::new();
        // The same ones for every log of a transaction.
        let keys = self.logs.keys.0.load_full();
        for (log, old_size) in &self.sizes {
            let (Some(head), Some(edge)) = (self.heads.get(log), self.logs.edges.get_mut(log)) else {
                continue;
            };
            let origin = head.origin.parse::<Origin>().map_err(|error| corrupt("log.origin", &error))?;
            let root = edge.root();
            let checkpoint = Checkpoint { origin, size: edge.size(), root };
            let note = signed(&checkpoint, &keys)?;
            for row in self.added.iter().filter(|row| row.log == *log) {
                let hashes = edge.inclusion_proof(row.index).map_err(|error| corrupt("proof", &error))?;
                let extra = Some(row.body.clone());
                let proof = TlogProof { extra, index: row.index, hashes, checkpoint: note.clone() };
                proofs.insert((*log, row.index), proof.encode());
            }
            let tiles = edge.take_changed().into_iter().map(|(id, tile)| (id, tile.to_bytes()));
            ledger::put_tiles(script, *log, tiles);
            ledger::move_head(script, *log, *old_size, edge.size(), &root);
            signed_notes.insert(*log, (edge.size(), note.encode()));
        }
        ledger::insert_entries(script, self.added);
        let notes = signed_notes.iter().map(|(log, (size, note))| (*log, *size, note.as_slice()));
        ledger::put_checkpoints(script, notes);
        Ok(Grown { proofs, signed: signed_notes })
    }
}

impl Grown {
    /// The receipt (C2SP tlog-proof) of an entry of this transaction.
    pub fn receipt(&self, log: i64, index: u64) -> Vec<u8> {
        self.proofs.get(&(log, index)).cloned().unwrap_or_default()
    }

    /// Whether any log grew.
    pub fn any(&self) -> bool {
        !self.signed.is_empty()
    }

    /// The checkpoint's size of a log in this transaction.
    pub fn checkpoint(&self, log: i64) -> u64 {
        self.signed.get(&log).map_or(0, |(size, _)| *size)
    }

    /// What was signed.
    pub fn into_signed(self) -> Signed {
        self.signed
    }
}

/// The checkpoint under a signature of each key: while one key follows another, a partner with either card verifies it.
fn signed(checkpoint: &Checkpoint, keys: &[Arc<dyn Ed25519Key>]) -> Result<Note, StoreError> {
    let unsound = |error: &dyn std::fmt::Display| StoreError::Corrupt(format!("checkpoint: {error}"));
    let mut whole: Option<Note> = None;
    for key in keys {
        let signer =
            NoteSigner::new(checkpoint.origin.as_str(), key.clone()).map_err(|error| unsound(&error))?;
        let note = sign_checkpoint(checkpoint, &signer).map_err(|error| match error {
            SignError::Note(NoteError::KeyAway(why)) => StoreError::Unsigned(why),
            error => unsound(&error),
        })?;
        match &mut whole {
            None => whole = Some(note),
            Some(whole) => {
                for line in note.signatures() {
                    whole.add_signature(line.clone()).map_err(|error| unsound(&error))?;
                }
            }
        }
    }
    whole.ok_or_else(|| StoreError::Corrupt("there is no log key".into()))
}

async fn read_edge(conn: &mut Connection, head: &Head) -> Result<Edge, StoreError> {
    let needed: Vec<_> = Edge::tiles_needed(head.size).into_iter().map(|(id, _)| id).collect();
    let tiles = ledger::tiles(conn, head.id, &needed).await?;
    let edge = Edge::from_tiles(head.size, tiles).map_err(|error| StoreError::Corrupt(error.to_string()))?;
    // The tiles are what every later checkpoint will rest on: they must give the root signed before.
    if edge.root() != head.root {
        return Err(StoreError::Corrupt(format!("the tiles of {} do not give its root", head.origin)));
    }
    Ok(edge)
}
