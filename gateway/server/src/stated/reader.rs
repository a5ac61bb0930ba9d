//! Reads the logs as they grow, and proves what was read: every entry is hashed, and the hashes must give the root that a key of ours signed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use silkgate_ledger::{Checkpoint, Ed25519Key, Edge, Entry, Note, VerifierKey, leaf_hash};
use silkgate_message::card::Card;
use silkgate_message::jws::Digest;
use silkgate_message::party::Country;

use super::Said;
use crate::store::ledger::{self, Head};
use crate::store::{Connection, StoreError, partner, revocation};

/// Entries read at once.
const PAGE: u32 = 2000;

/// Logs whose entries do not give the root that we signed, and why. Of the house log, without a partner: then nothing is known of anybody.
type Unproved = BTreeMap<Option<Country>, String>;

/// What was read so far.
#[derive(Default)]
pub struct Reader {
    said: Said,
    /// By origin.
    edges: BTreeMap<String, Edge>,
    /// Something was not proved at the last look: it is not built on.
    is_doubtful: bool,
    /// Where a start finds how far this one came; without one it reads everything.
    file: Option<PathBuf>,
}

/// What the file holds. It lies in the home, beside the keys that sign the logs: who writes there needs no other way.
#[derive(Serialize, Deserialize)]
struct Kept {
    said: Said,
    /// Size and root by origin.
    logs: BTreeMap<String, (u64, String)>,
}

impl Reader {
    /// From what is kept in the file, or from the beginning. `keeps`: whether this process tells the next one.
    pub async fn open(conn: &mut Connection, file: Option<&Path>, keeps: bool) -> Result<Self, StoreError> {
        let kept = file.and_then(|file| std::fs::read(file).ok());
        let kept = kept.and_then(|bytes| serde_json::from_slice::<Kept>(&bytes).ok());
        let mut reader = Self { file: file.filter(|_| keeps).map(Path::to_owned), ..Self::default() };
        let Some(kept) = kept else { return Ok(reader) };
        let heads = ledger::heads(conn).await?;
        let mut edges = BTreeMap::new();
        for (origin, (size, root)) in kept.logs {
            let head = heads.iter().find(|head| head.origin == origin && head.size >= size);
            let Some(edge) = (match head {
                Some(head) => edge(conn, head, size).await?.filter(|edge| digest(edge) == root),
                None => None,
            }) else {
                // Another history: all of it is read anew.
                return Ok(reader);
            };
            edges.insert(origin, edge);
        }
        (reader.said, reader.edges) = (kept.said, edges);
        Ok(reader)
    }

    /// What the logs say, as far as they were read.
    pub fn said(&self) -> &Said {
        &self.said
    }

    /// Partners whose settings are not what the logs say, or whose logs are not proved, and what it is.
    pub async fn judge(
        &mut self,
        conn: &mut Connection,
        keys: &[Arc<dyn Ed25519Key>],
        own: Country,
    ) -> Result<BTreeMap<Country, String>, StoreError> {
        let unproved = self.catch_up(conn, keys, own).await?;
        let (rows, lists) = (partner::all(conn).await?, revocation::lists(conn).await?);
        let mut found = super::by_partner(&self.said.differences(&rows, &lists));
        for country in rows.iter().filter_map(|row| row.country.parse().ok()) {
            if let Some(why) = unproved.get(&None).or_else(|| unproved.get(&Some(country))) {
                found.insert(country, why.clone());
            }
        }
        Ok(found)
    }

    /// Reads what the logs grew by. `keys`: of our logs, in the home.
    async fn catch_up(
        &mut self,
        conn: &mut Connection,
        keys: &[Arc<dyn Ed25519Key>],
        own: Country,
    ) -> Result<Unproved, StoreError> {
        if std::mem::take(&mut self.is_doubtful) {
            (self.said, self.edges) = (Said::default(), BTreeMap::new());
        }
        let before: BTreeMap<_, _> =
            self.edges.iter().map(|(origin, edge)| (origin.clone(), edge.size())).collect();
        let mut unproved = self.read(conn, keys, own).await?;
        if !unproved.is_empty() && !before.is_empty() {
            // A database that was put back, or history that was given up: the beginning may be another one too.
            (self.said, self.edges) = (Said::default(), BTreeMap::new());
            unproved = self.read(conn, keys, own).await?;
        }
        self.is_doubtful = !unproved.is_empty();
        let grown = self.edges.iter().any(|(origin, edge)| before.get(origin) != Some(&edge.size()));
        if unproved.is_empty() && grown {
            self.keep();
        }
        Ok(unproved)
    }

    async fn read(
        &mut self,
        conn: &mut Connection,
        keys: &[Arc<dyn Ed25519Key>],
        own: Country,
    ) -> Result<Unproved, StoreError> {
        let mut unproved = Unproved::new();
        let mut heads = ledger::heads(conn).await?;
        // First: it states the cards by which older signatures of ours are known.
        heads.sort_by_key(|head| head.partner);
        let own_cards = partner::cards(conn).await?;
        let own_cards: Vec<Card> = own_cards
            .iter()
            .filter_map(|(_, bytes)| Card::parse(bytes).ok())
            .filter(|card| card.content().country == own)
            .collect();
        for head in heads {
            let mut public: Vec<[u8; 32]> = keys.iter().map(|key| key.public_key()).collect();
            if head.partner.is_some() {
                let stated = own_cards.iter().filter(|card| self.said.has_card(Digest(card.digest())));
                let logs = stated.flat_map(|card| &card.content().logs);
                public.extend(
                    logs.filter_map(|log| log.key.parse::<VerifierKey>().ok()).map(|key| *key.public_key()),
                );
            }
            if let Some(why) = self.read_log(conn, &head, &public).await? {
                unproved.insert(head.partner, format!("{}: {why}", head.origin));
            }
        }
        Ok(unproved)
    }

    /// Why the log is not proved; None: it is.
    async fn read_log(
        &mut self,
        conn: &mut Connection,
        head: &Head,
        keys: &[[u8; 32]],
    ) -> Result<Option<String>, StoreError> {
        let known = self.edges.remove(&head.origin);
        let fresh = known.is_none();
        let mut edge = known.unwrap_or_else(Edge::empty);
        if edge.size() == head.size && edge.root() == head.root && !fresh {
            self.edges.insert(head.origin.clone(), edge);
            return Ok(None);
        }
        if edge.size() > head.size {
            return Ok(Some(format!("it has {} entries, and had {}", head.size, edge.size())));
        }
        while edge.size() < head.size {
            let from = edge.size();
            for (index, body) in ledger::entries(conn, head.id, from, PAGE).await? {
                if index != edge.size() || index >= head.size {
                    break;
                }
                edge.append(leaf_hash(&body));
                // A message's entry says nothing of settings; most are of those.
                if let Some(entry) = is_admin(&body).then(|| Entry::parse(&body).ok()).flatten() {
                    match head.partner {
                        None => self.said.house(&entry),
                        Some(partner) => self.said.channel(partner.as_str(), &entry),
                    }
                }
            }
            if edge.size() == from {
                return Ok(Some(format!("entry {from} is not there")));
            }
            drop(edge.take_changed());
        }
        let why = unsigned(conn, head, &edge, keys).await?;
        if why.is_none() {
            self.edges.insert(head.origin.clone(), edge);
        }
        Ok(why)
    }

    /// Tells the next start. Where that fails, it reads more.
    fn keep(&self) {
        let Some(file) = &self.file else { return };
        let logs =
            self.edges.iter().map(|(origin, edge)| (origin.clone(), (edge.size(), digest(edge)))).collect();
        let kept = Kept { said: self.said.clone(), logs };
        let next = file.with_extension("next");
        let written = serde_json::to_vec(&kept).map_err(std::io::Error::other);
        let written = written
            .and_then(|bytes| std::fs::write(&next, bytes))
            .and_then(|()| std::fs::rename(&next, file));
        if let Err(error) = written {
            tracing::warn!(%error, "{}: cannot be written; the next start reads more of the logs", file.display());
        }
    }
}

fn digest(edge: &Edge) -> String {
    Digest(*edge.root().as_bytes()).to_string()
}

/// Whether an entry may be an operator's.
fn is_admin(body: &[u8]) -> bool {
    const WORD: &[u8] = b"admin";
    body.windows(WORD.len()).any(|window| window == WORD)
}

/// The edge of a log as it was at that size; None where the tiles do not hold it.
async fn edge(conn: &mut Connection, head: &Head, size: u64) -> Result<Option<Edge>, StoreError> {
    let needed: Vec<_> = Edge::tiles_needed(size).into_iter().map(|(id, _)| id).collect();
    let tiles = ledger::tiles(conn, head.id, &needed).await?;
    Ok(Edge::from_tiles(size, tiles).ok())
}

/// Why what was read is not what we signed; None: it is.
async fn unsigned(
    conn: &mut Connection,
    head: &Head,
    edge: &Edge,
    keys: &[[u8; 32]],
) -> Result<Option<String>, StoreError> {
    if edge.size() == 0 {
        return Ok(None);
    }
    let keys: Vec<_> = keys.iter().filter_map(|key| VerifierKey::new(&head.origin, *key).ok()).collect();
    let note = ledger::checkpoint(conn, head.id, head.size).await?;
    let note = note.and_then(|note| Note::parse(&note).ok()).filter(|note| note.verify(&keys).is_ok());
    let signed = note.and_then(|note| Checkpoint::parse(note.text()).ok());
    Ok(match signed {
        None => Some("no key of ours signed its newest checkpoint".to_owned()),
        Some(signed) if signed.root == edge.root() && signed.origin.as_str() == head.origin => None,
        Some(_) => Some("its entries do not give the root that we signed".to_owned()),
    })
}
