//! The proof of one message, drawn on its page, and as data for a browser that verifies it.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::Serialize;
use silkgate_ledger::{Entry, Note, NoteSigner, TlogProof};
use silkgate_message::card::Card;
use silkgate_message::event;

use super::failed;
use crate::directory;
use crate::gateway::Gateway;
use crate::http;
use crate::reading::{About, logged};
use crate::roles::NationalPeer;
use crate::store::message::{self, Message, Way};
use crate::store::{Connection, StoreError, partner, proof as stored};

/// A proof, ready to be drawn and to be verified again. Hashes are base64.
#[derive(Serialize)]
pub struct Proof {
    /// `received` or `sent`.
    pub direction: &'static str,
    /// The message's digest, base64url.
    pub digest: String,
    /// The entry's own bytes.
    pub entry: String,
    /// Where it stands in the log.
    pub index: u64,
    /// Entries under the checkpoint.
    pub size: u64,
    /// The log.
    pub origin: String,
    /// The hash of the entry.
    pub leaf: String,
    /// The hashes beside the path, from the entry up (RFC 9162 §2.1.3).
    pub path: Vec<Step>,
    /// The root that they lead to.
    pub root: String,
    /// The checkpoint's text and signatures, a C2SP signed-note.
    pub checkpoint: String,
    /// Our log's verifier keys, `name+hash+base64`.
    pub log_keys: Vec<String>,
    /// The partners' witness keys, the same.
    pub witness_keys: Vec<String>,
    /// Certificates that messages of its sender may be signed with, DER in base64.
    pub certificates: Vec<String>,
    /// SHA-256 of the certificate that signed it, as the entry states it.
    #[serde(skip)]
    pub certificate: Option<String>,
    /// Who has signed the checkpoint.
    #[serde(skip)]
    pub signers: Vec<String>,
}

/// A step on the path.
#[derive(Serialize)]
pub struct Step {
    /// The hash beside it.
    pub hash: String,
    /// Whether that stands on the left.
    pub is_left: bool,
    /// The hash of both.
    pub above: String,
}

/// The proof of a message under the first checkpoint over it that a partner has cosigned, or the first one at all.
pub(super) async fn read(
    gateway: &Gateway,
    conn: &mut Connection,
    row: &Message,
) -> Result<Proof, StoreError> {
    let unsound = |what: String| StoreError::Corrupt(format!("proof of a message: {what}"));
    let bytes = stored::witnessed(conn, row.log, row.entry, row.checkpoint).await?;
    let proof = TlogProof::parse(&bytes).map_err(|error| unsound(error.to_string()))?;
    let entry = proof.extra.clone().ok_or_else(|| unsound("no entry".to_owned()))?;
    let entry_read = Entry::parse(&entry).map_err(|error| unsound(error.to_string()))?;
    let text = proof.checkpoint.text().to_owned();
    let mut lines = text.lines();
    let origin = lines.next().unwrap_or_default().to_owned();
    let size = lines.next().and_then(|size| size.parse().ok()).unwrap_or_default();
    let root = lines.next().unwrap_or_default().to_owned();
    let (leaf, path) = walk(&entry, &proof, size);
    let known = Known::read(gateway, conn, row, &origin).await?;
    Ok(Proof {
        direction: row.way.as_str(),
        digest: row.digest.to_string(),
        certificate: entry_read.cert.map(|hash| hash.to_base64url()),
        entry: String::from_utf8(entry).map_err(|_| unsound("the entry is no text".to_owned()))?,
        index: proof.index,
        size,
        origin,
        leaf,
        path,
        root,
        checkpoint: checkpoint(&proof.checkpoint),
        signers: proof.checkpoint.signatures().iter().map(|line| line.name().to_owned()).collect(),
        log_keys: known.log_keys,
        witness_keys: known.witness_keys,
        certificates: known.certificates,
    })
}

/// The keys that stand on the cards that were ever in force, and our log keys of today.
#[derive(Default)]
struct Known {
    log_keys: Vec<String>,
    witness_keys: Vec<String>,
    certificates: Vec<String>,
}

impl Known {
    async fn read(
        gateway: &Gateway,
        conn: &mut Connection,
        row: &Message,
        origin: &str,
    ) -> Result<Self, StoreError> {
        let own = gateway.country();
        let mut known = Self::default();
        let add = |keys: &mut Vec<String>, key: String| {
            if !keys.contains(&key) {
                keys.push(key);
            }
        };
        for key in &gateway.keys().log {
            if let Ok(signer) = NoteSigner::new(origin, key.clone()) {
                add(&mut known.log_keys, signer.verifier_key().to_string());
            }
        }
        let sender = if row.way == Way::Sent { own.as_str() } else { row.partner.as_str() };
        for (country, bytes) in partner::cards(conn).await? {
            let Ok(card) = Card::parse(&bytes) else { continue };
            let content = card.content();
            if country == own.as_str()
                && let Ok(partner) = row.partner.parse()
            {
                let keys = directory::channel_keys(&card, partner).unwrap_or_default();
                keys.iter().for_each(|key| add(&mut known.log_keys, key.to_string()));
            }
            if country == row.partner {
                add(&mut known.witness_keys, content.witness.key.clone());
            }
            if country == sender {
                let certificates = content.signing_certificates.iter();
                certificates.for_each(|der| add(&mut known.certificates, base64(der)));
            }
        }
        Ok(known)
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn checkpoint(note: &Note) -> String {
    String::from_utf8_lossy(&note.encode()).into_owned()
}

/// The hashes from the entry to the root (RFC 9162 §2.1.3.2, the same steps as a verifier's).
fn walk(entry: &[u8], proof: &TlogProof, size: u64) -> (String, Vec<Step>) {
    use silkgate_ledger::{leaf_hash, node_hash};
    let mut at = leaf_hash(entry);
    let leaf = at.to_base64();
    let (mut index, mut last) = (proof.index, size.saturating_sub(1));
    let mut steps = Vec::new();
    for beside in &proof.hashes {
        let is_left = index % 2 == 1 || index == last;
        if is_left {
            at = node_hash(*beside, at);
            while index.is_multiple_of(2) && index != 0 {
                (index, last) = (index / 2, last / 2);
            }
        } else {
            at = node_hash(at, *beside);
        }
        (index, last) = (index / 2, last / 2);
        steps.push(Step { hash: beside.to_base64(), is_left, above: at.to_base64() });
    }
    (leaf, steps)
}

/// `GET /messages/{id}/proof`: what a browser needs to verify for itself, one for each message of that id.
pub async fn proof(
    State(gateway): State<Arc<Gateway>>,
    Extension(peer): Extension<NationalPeer>,
    Path(id): Path<String>,
) -> Result<Response, Response> {
    let Some(id) = event::uuid_v7(&id) else { return Ok(http::not_found().await) };
    let about = About { act: "read_message", what: format!("proof of message {id}"), reason: None };
    let _place = logged(&gateway, &peer, about).await?;
    let read = async {
        let mut tx = gateway.store.read().await?;
        let mut proofs = Vec::new();
        for row in message::by_id(&mut tx, &id).await? {
            proofs.push(read(&gateway, &mut tx, &row).await?);
        }
        Ok(proofs)
    };
    let proofs = read.await.map_err(failed)?;
    Ok(http::json(200, &proofs))
}
