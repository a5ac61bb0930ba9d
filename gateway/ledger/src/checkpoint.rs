//! Checkpoints (C2SP tlog-checkpoint): the signed head of a log, and the origin that names the log.

use std::fmt;
use std::str::FromStr;

use crate::note::{Note, NoteError, NoteSigner};
use crate::parse_decimal;
use crate::tree::Hash;

/// Longest origin in bytes.
pub const ORIGIN_MAX_BYTES: usize = 120;

/// The name of a log, and of the key that signs it: `<host>/<own state>/<partner state>` for a channel,
/// `<host>/<own state>/house` for the house log. States by ISO 3166-1 alpha-2, the host in lower case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Origin(String);

/// The text names no log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "an origin is <host>/<state>/<partner state> or <host>/<state>/house in at most {ORIGIN_MAX_BYTES} bytes, such as gw.example.iq/IQ/TR"
)]
pub struct OriginError;

impl Origin {
    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host that serves the log.
    pub fn host(&self) -> &str {
        self.part(0)
    }

    /// The state that keeps the log.
    pub fn state(&self) -> &str {
        self.part(1)
    }

    /// The other state of the channel; none for a house log.
    pub fn partner(&self) -> Option<&str> {
        Some(self.part(2)).filter(|part| *part != "house")
    }

    /// Whether this is the house log.
    pub fn is_house(&self) -> bool {
        self.partner().is_none()
    }

    fn part(&self, at: usize) -> &str {
        // The grammar has three parts, so the default is never taken.
        self.0.split('/').nth(at).unwrap_or_default()
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        if text.len() > ORIGIN_MAX_BYTES {
            return Err(OriginError);
        }
        let mut parts = text.split('/');
        let (Some(host), Some(state), Some(partner), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(OriginError);
        };
        let known = is_host(host) && is_state(state) && (is_state(partner) || partner == "house");
        if known { Ok(Self(text.to_owned())) } else { Err(OriginError) }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_state(text: &str) -> bool {
    text.len() == 2 && text.bytes().all(|b| b.is_ascii_uppercase())
}

/// Dot-separated labels of a-z, 0-9 and inner hyphens, at most 63 bytes each (RFC 1123 §2.1, RFC 1034 §3.1).
fn is_host(text: &str) -> bool {
    text.split('.').all(|label| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    })
}

/// Why a note's text is no checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Fewer than three lines, an empty one, or no newline at the end.
    #[error("a checkpoint is three or more lines, none empty, each ended by a newline")]
    Layout,
    /// The first line is no [`Origin`].
    #[error(transparent)]
    Origin(#[from] OriginError),
    /// The second line is not a decimal number in its only form.
    #[error("the tree size is a decimal number without leading zeros")]
    Size,
    /// The third line is not 32 bytes in base64.
    #[error("the root is 32 bytes in base64")]
    Root,
}

/// The head of a log: how many entries it has and what they hash to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    /// Which log.
    pub origin: Origin,
    /// Number of entries.
    pub size: u64,
    /// Root of the Merkle tree over them.
    pub root: Hash,
}

impl Checkpoint {
    /// Reads the text of a note.
    ///
    /// Extension lines of others are passed over, as C2SP tlog-checkpoint allows them; the note keeps them
    /// verbatim and its signature covers them. We never write any.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = text.strip_suffix('\n').ok_or(CheckpointError::Layout)?.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(CheckpointError::Layout);
        };
        if lines.any(str::is_empty) {
            return Err(CheckpointError::Layout);
        }
        Ok(Self {
            origin: origin.parse()?,
            size: parse_decimal(size).ok_or(CheckpointError::Size)?,
            root: Hash::parse_base64(root).ok_or(CheckpointError::Root)?,
        })
    }

    /// The text that is signed: three lines.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, self.root)
    }
}

/// Signs a checkpoint with the log's key, whose name must be the origin.
///
/// The caller keeps the promise of a log: it never signs a head inconsistent with one signed before.
pub fn sign_checkpoint(checkpoint: &Checkpoint, signer: &NoteSigner) -> Result<Note, SignError> {
    if signer.name() != checkpoint.origin.as_str() {
        return Err(SignError::OtherOrigin);
    }
    Ok(signer.sign(&checkpoint.text())?)
}

/// Why a checkpoint was not signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The key belongs to another log.
    #[error("the key's name is not the checkpoint's origin")]
    OtherOrigin,
    /// The text cannot stand in a note.
    #[error(transparent)]
    Note(#[from] NoteError),
}
