//! Cosignatures (C2SP tlog-cosignature, Ed25519, type 0x04): a witness's statement that, at a time, a
//! checkpoint was the newest one that it saw of a log and consistent with every earlier one.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, UnparsedPublicKey};

use crate::checkpoint::Checkpoint;
use crate::key::{Ed25519Key, FileKey};
use crate::note::{KeyError, Note, NoteError, NoteSignature, is_key_name};
use crate::tree::Hash;

/// Signature type byte of Ed25519 cosignatures (C2SP tlog-cosignature "Format").
const TYPE_COSIGNATURE: u8 = 0x04;
/// Bytes of a cosignature: the time and the signature.
const LENGTH: usize = 8 + 64;

/// A witness's public key: `<name>+<key id>+<base64 of 0x04 and 32 bytes>`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct WitnessKey {
    name: String,
    key_id: u32,
    public_key: [u8; 32],
}

impl WitnessKey {
    /// The key of the witness `name`.
    pub fn new(name: &str, public_key: [u8; 32]) -> Result<Self, KeyError> {
        if !is_key_name(name) {
            return Err(KeyError::Name);
        }
        let mut named = format!("{name}\n").into_bytes();
        named.push(TYPE_COSIGNATURE);
        named.extend_from_slice(&public_key);
        let [a, b, c, d, ..] = *Hash::of(&named).as_bytes();
        Ok(Self { name: name.to_owned(), key_id: u32::from_be_bytes([a, b, c, d]), public_key })
    }

    /// Name of the witness.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the line claims to be of this key.
    pub fn is_of(&self, line: &NoteSignature) -> bool {
        line.name() == self.name && line.key_id() == self.key_id
    }

    /// First four bytes of SHA-256(name ‖ 0x0A ‖ 0x04 ‖ public key), big-endian.
    pub fn key_id(&self) -> u32 {
        self.key_id
    }

    /// When this witness cosigned the note, in seconds since 1970; None where it did not.
    ///
    /// A line of this name and key id that does not verify refuses the whole note, as any known key's does.
    pub fn cosigned(&self, note: &Note) -> Result<Option<u64>, NoteError> {
        let mut newest = None;
        for line in note.signatures().iter().filter(|line| self.is_of(line)) {
            let time =
                self.verify(note.text(), line).ok_or(NoteError::BadSignature { name: self.name.clone() })?;
            newest = newest.max(Some(time));
        }
        Ok(newest)
    }

    fn verify(&self, text: &str, line: &NoteSignature) -> Option<u64> {
        if line.bytes().len() != LENGTH {
            return None;
        }
        let (time, signature) = line.bytes().split_first_chunk::<8>()?;
        let time = u64::from_be_bytes(*time);
        let key = UnparsedPublicKey::new(&ED25519, &self.public_key);
        // C2SP tlog-cosignature: the time does not exceed 2^63 - 1.
        i64::try_from(time).ok()?;
        key.verify(message(time, text).as_bytes(), signature).ok().map(|()| time)
    }
}

impl fmt::Display for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut typed = vec![TYPE_COSIGNATURE];
        typed.extend_from_slice(&self.public_key);
        write!(f, "{}+{:08x}+{}", self.name, self.key_id, STANDARD.encode(typed))
    }
}

impl FromStr for WitnessKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let (name, rest) = text.split_once('+').ok_or(KeyError::Format)?;
        let (key_id, base64) = rest.split_once('+').ok_or(KeyError::Format)?;
        let typed = STANDARD.decode(base64).ok().filter(|typed| typed.len() == 33).ok_or(KeyError::Format)?;
        let (kind, key) = typed.split_first().ok_or(KeyError::Format)?;
        if *kind != TYPE_COSIGNATURE {
            return Err(KeyError::Algorithm);
        }
        let parsed = Self::new(name, key.try_into().map_err(|_| KeyError::Format)?)?;
        if key_id == format!("{:08x}", parsed.key_id) { Ok(parsed) } else { Err(KeyError::KeyId) }
    }
}

/// A witness's private key. It cosigns and does nothing else.
pub struct Cosigner {
    key: Arc<dyn Ed25519Key>,
    public: WitnessKey,
}

impl Cosigner {
    /// Reads an Ed25519 private key in PKCS #8 DER.
    pub fn from_pkcs8(name: &str, pkcs8: &[u8]) -> Result<Self, KeyError> {
        Self::new(name, Arc::new(FileKey::from_pkcs8(pkcs8)?))
    }

    /// Cosigns with a key that is kept anywhere.
    pub fn new(name: &str, key: Arc<dyn Ed25519Key>) -> Result<Self, KeyError> {
        Ok(Self { public: WitnessKey::new(name, key.public_key())?, key })
    }

    /// The public half, for the card.
    pub fn witness_key(&self) -> &WitnessKey {
        &self.public
    }

    /// The cosignature line over a checkpoint at `time`, in seconds since 1970.
    ///
    /// The caller keeps the promise of a witness: it has verified that the checkpoint is consistent with the
    /// newest one it cosigned of that log, and keeps this one before the line leaves.
    pub fn cosign(&self, checkpoint: &Note, time: u64) -> Result<NoteSignature, NoteError> {
        let mut bytes = time.to_be_bytes().to_vec();
        let signature = self.key.sign(message(time, checkpoint.text()).as_bytes());
        bytes.extend_from_slice(&signature.map_err(NoteError::KeyAway)?);
        NoteSignature::new(&self.public.name, self.public.key_id, bytes)
    }
}

impl fmt::Debug for Cosigner {
    /// Shows the public half only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cosigner({})", self.public)
    }
}

/// What is signed (C2SP tlog-cosignature "Ed25519 signed message").
fn message(time: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

/// A request to a witness (C2SP tlog-witness "add-checkpoint").
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AddCheckpoint {
    /// The size that the caller believes the witness cosigned last; 0: none.
    pub old: u64,
    /// The proof of consistency from that size.
    pub proof: Vec<Hash>,
    /// The log's signed checkpoint.
    pub note: Note,
}

/// Most proof lines of a request (C2SP tlog-witness).
const PROOF_MAX: usize = 63;

impl AddCheckpoint {
    /// Parses a request strictly.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        // The proof has no empty line: the first one ends it.
        let (head, note) = text.split_once("\n\n")?;
        let mut lines = head.split('\n');
        let old = crate::parse_decimal(lines.next()?.strip_prefix("old ")?)?;
        let proof = lines.map(Hash::parse_base64).collect::<Option<Vec<_>>>()?;
        let note = Note::parse(note.as_bytes()).ok()?;
        (proof.len() <= PROOF_MAX).then_some(Self { old, proof, note })
    }

    /// The request's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut text = format!("old {}\n", self.old);
        for hash in &self.proof {
            text.push_str(&hash.to_base64());
            text.push('\n');
        }
        text.push('\n');
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&self.note.encode());
        bytes
    }

    /// Judges the request's checkpoint by the newest one cosigned of its log. The caller has verified that
    /// the log's key signed it.
    pub fn judge(&self, checkpoint: &Checkpoint, newest: Option<&Checkpoint>) -> Result<(), Unfit> {
        if self.old > checkpoint.size {
            return Err(Unfit::SizeOrder);
        }
        let (size, root) = newest.map_or((0, crate::tree::EMPTY_ROOT), |newest| (newest.size, newest.root));
        if self.old != size {
            return Err(Unfit::OtherSize(size));
        }
        crate::tree::verify_consistency(size, root, checkpoint.size, checkpoint.root, &self.proof)
            .map_err(|_| Unfit::Inconsistent)
    }
}

/// Why a witness does not cosign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// The old size is above the checkpoint's: 400.
    #[error("the old size is above that of the checkpoint")]
    SizeOrder,
    /// Another size was cosigned last: 409.
    #[error("the newest cosigned checkpoint has {0} entries")]
    OtherSize(u64),
    /// The checkpoint does not continue the one cosigned last: 422.
    #[error("the checkpoint does not continue the one cosigned last")]
    Inconsistent,
}
