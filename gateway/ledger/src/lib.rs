//! The tamper-evident log as mathematics: tree, proof, checkpoint, entry and receipt.
//!
//! No I/O, no clock and no async; an auditor's tool can link this crate alone. Formats: RFC 6962 §2.1
//! (Merkle tree), C2SP signed-note, tlog-checkpoint, tlog-tiles, tlog-proof,
//! tlog-cosignature and tlog-witness. Nothing here panics on
//! outside input: every parser returns an error, every index is checked.
//!
//! | module | what it holds |
//! |---|---|
//! | [`tree`] | hashes, tiles, the right edge that grows, proofs made and verified |
//! | [`checkpoint`] | origin, tree head, signing and verifying it |
//! | [`cosignature`] | a witness's key, its statement, the request for it |
//! | [`key`] | who signs: a key in memory or in hardware |
//! | [`note`] | the signed note that carries a checkpoint; Ed25519 keys |
//! | [`entry`] | one line of the log |
//! | [`proof`] | a C2SP tlog-proof |
//! | [`receipt`] | a proof whose extra data is the entry: what a partner keeps |

pub mod checkpoint;
pub mod cosignature;
pub mod entry;
pub mod key;
pub mod note;
pub mod proof;
pub mod receipt;
pub mod tree;

pub use checkpoint::{Checkpoint, CheckpointError, Origin, OriginError, SignError, sign_checkpoint};
pub use cosignature::{AddCheckpoint, Cosigner, Unfit, WitnessKey};
pub use entry::{Entry, EntryError, Kind, UtcMillis, Verdict};
pub use key::Ed25519Key;
pub use note::{KeyError, Note, NoteError, NoteSignature, NoteSigner, VerifierKey};
pub use proof::{TlogProof, TlogProofError};
pub use receipt::{Receipt, ReceiptError, Verified};
pub use tree::{
    EMPTY_ROOT, Edge, Hash, ProofError, Tile, TileId, TilePath, TileSource, Tiles, TreeError, leaf_hash,
    node_hash,
};

/// A decimal `u64` in its only accepted form: ASCII digits, no sign, no leading zero but `0` itself.
fn parse_decimal(text: &str) -> Option<u64> {
    let canonical = text == "0" || (!text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit()));
    if canonical { text.parse().ok() } else { None }
}
