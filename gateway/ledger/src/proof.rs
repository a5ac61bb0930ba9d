//! Proofs that stand alone (C2SP tlog-proof): extra data, index, audit path and checkpoint in one text.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::note::{NOTE_MAX_BYTES, Note, NoteError};
use crate::parse_decimal;
use crate::tree::Hash;

/// First line of every proof.
const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// Most hashes of an audit path: a tree of 2^64 leaves.
pub const PROOF_MAX_HASHES: usize = 64;

/// Longest proof read, in bytes: the longest note, the longest path and a log entry.
pub const PROOF_MAX_BYTES: usize = NOTE_MAX_BYTES + 4 * 1024;

/// Why bytes are no tlog-proof.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlogProofError {
    /// Longer than [`PROOF_MAX_BYTES`].
    #[error("the proof is longer than {PROOF_MAX_BYTES} bytes")]
    TooLong,
    /// Another first line, or none.
    #[error("a proof begins with the line {HEADER}")]
    Header,
    /// The extra data is not canonical base64.
    #[error("the extra data is not base64")]
    Extra,
    /// No index, or not in its only form.
    #[error("the index is missing or not a decimal number without leading zeros")]
    Index,
    /// A line of the path is not 32 bytes in base64.
    #[error("a line of the path is not 32 bytes in base64")]
    Hash,
    /// More than [`PROOF_MAX_HASHES`] hashes.
    #[error("the path has more than {PROOF_MAX_HASHES} hashes")]
    TooManyHashes,
    /// No empty line before the checkpoint.
    #[error("the checkpoint is missing")]
    CheckpointMissing,
    /// The checkpoint is no signed note.
    #[error("the checkpoint is not a signed note: {0}")]
    Checkpoint(#[from] NoteError),
}

/// A proof as parsed. Nothing in it is proved before it is verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlogProof {
    /// Data for the application, not authenticated by the format itself.
    pub extra: Option<Vec<u8>>,
    /// Index of the entry, from 0.
    pub index: u64,
    /// Audit path, leaf upward (RFC 6962 §2.1.1).
    pub hashes: Vec<Hash>,
    /// The log's checkpoint with all its signature lines.
    pub checkpoint: Note,
}

impl TlogProof {
    /// Parses a proof strictly; [`TlogProof::encode`] gives the same bytes again.
    pub fn parse(bytes: &[u8]) -> Result<Self, TlogProofError> {
        if bytes.len() > PROOF_MAX_BYTES {
            return Err(TlogProofError::TooLong);
        }
        let mut lines = Lines { rest: bytes };
        if lines.next() != Some(HEADER) {
            return Err(TlogProofError::Header);
        }
        let mut line = lines.next().ok_or(TlogProofError::Index)?;
        let mut extra = None;
        if let Some(base64) = line.strip_prefix("extra ") {
            extra = Some(STANDARD.decode(base64).map_err(|_| TlogProofError::Extra)?);
            line = lines.next().ok_or(TlogProofError::Index)?;
        }
        let index = line.strip_prefix("index ").and_then(parse_decimal).ok_or(TlogProofError::Index)?;
        let mut hashes = Vec::new();
        loop {
            let line = lines.next().ok_or(TlogProofError::CheckpointMissing)?;
            if line.is_empty() {
                break;
            }
            if hashes.len() == PROOF_MAX_HASHES {
                return Err(TlogProofError::TooManyHashes);
            }
            hashes.push(Hash::parse_base64(line).ok_or(TlogProofError::Hash)?);
        }
        Ok(Self { extra, index, hashes, checkpoint: Note::parse(lines.rest)? })
    }

    /// The proof's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = format!("{HEADER}\n");
        if let Some(extra) = &self.extra {
            out.push_str("extra ");
            STANDARD.encode_string(extra, &mut out);
            out.push('\n');
        }
        out.push_str(&format!("index {}\n", self.index));
        for hash in &self.hashes {
            STANDARD.encode_string(hash.as_bytes(), &mut out);
            out.push('\n');
        }
        out.push('\n');
        let mut out = out.into_bytes();
        out.extend_from_slice(&self.checkpoint.encode());
        out
    }
}

/// Lines ended by a newline; what is not UTF-8 ends them.
struct Lines<'a> {
    rest: &'a [u8],
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let end = self.rest.iter().position(|b| *b == b'\n')?;
        let (line, rest) = (self.rest.get(..end)?, self.rest.get(end + 1..)?);
        self.rest = rest;
        std::str::from_utf8(line).ok()
    }
}
