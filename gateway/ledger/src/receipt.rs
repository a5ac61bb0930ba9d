//! Receipts: a tlog-proof whose extra data is the log entry. It proves, to anyone who knows the log's
//! key and for as long as Ed25519 and SHA-256 hold, that the log holds that entry.

use crate::checkpoint::{Checkpoint, CheckpointError, Origin};
use crate::entry::{Entry, EntryError};
use crate::note::{Note, NoteError, VerifierKey};
use crate::proof::{TlogProof, TlogProofError};
use crate::tree::{Hash, ProofError, leaf_hash, verify_inclusion};

/// Why a receipt does not prove its entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// Not a tlog-proof.
    #[error("the receipt is not a tlog-proof: {0}")]
    Malformed(#[from] TlogProofError),
    /// A tlog-proof without extra data.
    #[error("the receipt carries no log entry")]
    EntryMissing,
    /// The extra data is no log entry.
    #[error("the receipt's log entry is invalid: {0}")]
    Entry(#[from] EntryError),
    /// The note is no checkpoint.
    #[error("the receipt's checkpoint is invalid: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// No key handed over bears the origin's name, or none of them signed.
    #[error("the checkpoint of {origin} carries no signature of a key known for that log")]
    Unsigned {
        /// Origin of the checkpoint.
        origin: Origin,
    },
    /// A known key's signature is wrong.
    #[error("the checkpoint's signature is wrong: {0}")]
    Signature(NoteError),
    /// The entry is not in the tree at the index given.
    #[error("the entry is not in the log: {0}")]
    Inclusion(#[from] ProofError),
}

impl ReceiptError {
    /// A stable name for this class of error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "receipt_malformed",
            Self::EntryMissing => "receipt_entry_missing",
            Self::Entry(_) => "receipt_entry_invalid",
            Self::Checkpoint(_) => "receipt_checkpoint_invalid",
            Self::Unsigned { .. } => "receipt_unsigned",
            Self::Signature(_) => "receipt_signature_invalid",
            Self::Inclusion(_) => "receipt_not_included",
        }
    }
}

/// A receipt as parsed; [`Receipt::verify`] says what it proves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Receipt {
    /// Always with extra data: both ways to make a receipt see to it.
    proof: TlogProof,
}

/// What a verified receipt proves: this log, with this root at this size, holds this entry at this index.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verified {
    /// The entry.
    pub entry: Entry,
    /// The log.
    pub origin: Origin,
    /// Index of the entry, from 0.
    pub index: u64,
    /// Size of the log at the checkpoint.
    pub size: u64,
    /// Root of the log at the checkpoint.
    pub root: Hash,
}

impl Receipt {
    /// Puts a receipt together from an encoded entry, its audit path and the checkpoint over it.
    pub fn new(entry: Vec<u8>, index: u64, hashes: Vec<Hash>, checkpoint: Note) -> Self {
        Self { proof: TlogProof { extra: Some(entry), index, hashes, checkpoint } }
    }

    /// Parses a receipt; the entry is checked by [`Receipt::verify`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ReceiptError> {
        let proof = TlogProof::parse(bytes)?;
        if proof.extra.is_some() { Ok(Self { proof }) } else { Err(ReceiptError::EntryMissing) }
    }

    /// The receipt's bytes.
    pub fn encode(&self) -> Vec<u8> {
        self.proof.encode()
    }

    /// The entry as it was hashed.
    pub fn entry_bytes(&self) -> &[u8] {
        self.proof.extra.as_deref().unwrap_or_default()
    }

    /// The proof, unverified.
    pub fn proof(&self) -> &TlogProof {
        &self.proof
    }

    /// Proves the entry under a log key: a known key named like the checkpoint's origin signed it, no
    /// known key's signature is wrong, and the entry is in the tree.
    ///
    /// Whether origin, kind, verdict, parties and digest are the expected ones is the caller's to compare.
    pub fn verify(&self, keys: &[VerifierKey]) -> Result<Verified, ReceiptError> {
        let entry = Entry::parse(self.entry_bytes())?;
        let note = &self.proof.checkpoint;
        let Checkpoint { origin, size, root } = Checkpoint::parse(note.text())?;
        let signers = note.signed_by(keys).map_err(ReceiptError::Signature)?;
        if !signers.iter().any(|key| key.name() == origin.as_str()) {
            return Err(ReceiptError::Unsigned { origin });
        }
        let index = self.proof.index;
        verify_inclusion(leaf_hash(self.entry_bytes()), index, size, &self.proof.hashes, root)?;
        Ok(Verified { entry, origin, index, size, root })
    }
}
