//! Signed notes (C2SP signed-note): a text and the signature lines under it; Ed25519 keys, type 0x01.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};

use crate::key::{Ed25519Key, FileKey};
use crate::tree::Hash;

/// Longest note read, in bytes. Sixteen signatures must be accepted (C2SP signed-note "Format"), and a
/// post-quantum one nears 5 kB, 6.7 kB in base64.
pub const NOTE_MAX_BYTES: usize = 128 * 1024;

/// Most signature lines read.
pub const NOTE_MAX_SIGNATURES: usize = 100;

/// Signature type byte of plain Ed25519 (C2SP signed-note "Signature types").
const TYPE_ED25519: u8 = 0x01;

/// What each signature line begins with: em dash, space.
const LINE_START: &str = "\u{2014} ";

/// Why bytes are no note, or a note is not to be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Longer than [`NOTE_MAX_BYTES`].
    #[error("the note is longer than {NOTE_MAX_BYTES} bytes")]
    TooLong,
    /// Not UTF-8, or a control character other than newline.
    #[error("a note is UTF-8 without control characters but newline")]
    Text,
    /// No empty line before the signatures, or no newline at the end of the text or the note.
    #[error("a note is a text, an empty line and signature lines, each ended by a newline")]
    Layout,
    /// A signature line of another form.
    #[error("a signature line is an em dash, a key name and base64 of key id and signature")]
    SignatureLine,
    /// More than [`NOTE_MAX_SIGNATURES`] lines.
    #[error("the note has more than {NOTE_MAX_SIGNATURES} signatures")]
    TooManySignatures,
    /// A key that we know is named, and its signature is wrong.
    #[error("the signature of {name} is wrong")]
    BadSignature {
        /// Name of the key.
        name: String,
    },
    /// No line names a key that we know.
    #[error("the note carries no signature of a known key")]
    Unsigned,
    /// The private key does not sign at present: hardware can be away.
    #[error("the key does not sign: {0}")]
    KeyAway(String),
}

/// Why a key cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Empty, or with white space or a plus.
    #[error("a key name is not empty and has neither white space nor +")]
    Name,
    /// Not `<name>+<8 hex digits>+<base64>`.
    #[error("a verifier key is <name>+<key id, 8 hex digits>+<base64 of type and key>")]
    Format,
    /// Another signature type than Ed25519 (0x01).
    #[error("the verifier key is not Ed25519 (type 0x01)")]
    Algorithm,
    /// The key id does not belong to this name and key.
    #[error("the key id does not fit the name and the key")]
    KeyId,
    /// Not an Ed25519 private key in PKCS #8 (RFC 8410, RFC 5958).
    #[error("not an Ed25519 private key in PKCS #8")]
    Pkcs8,
    /// The system gave no randomness.
    #[error("the system's random generator failed")]
    Random,
}

/// One signature line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NoteSignature {
    name: String,
    key_id: u32,
    bytes: Vec<u8>,
}

impl NoteSignature {
    /// A line for a signature made elsewhere, as a witness does.
    pub fn new(name: &str, key_id: u32, bytes: Vec<u8>) -> Result<Self, NoteError> {
        if !is_key_name(name) || bytes.is_empty() {
            return Err(NoteError::SignatureLine);
        }
        Ok(Self { name: name.to_owned(), key_id, bytes })
    }

    /// Parses `— <name> <base64>`, without the newline.
    pub fn parse(line: &str) -> Result<Self, NoteError> {
        let rest = line.strip_prefix(LINE_START).ok_or(NoteError::SignatureLine)?;
        let (name, base64) = rest.split_once(' ').ok_or(NoteError::SignatureLine)?;
        let decoded = STANDARD.decode(base64).map_err(|_| NoteError::SignatureLine)?;
        let (key_id, bytes) = decoded.split_first_chunk().ok_or(NoteError::SignatureLine)?;
        Self::new(name, u32::from_be_bytes(*key_id), bytes.to_vec())
    }

    /// Name of the key.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key id, read in big-endian order.
    pub fn key_id(&self) -> u32 {
        self.key_id
    }

    /// The signature behind the key id; its form is the key's affair.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Display for NoteSignature {
    /// The line without its newline. Base64 is canonical, so a parsed line comes out as it went in.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut raw = self.key_id.to_be_bytes().to_vec();
        raw.extend_from_slice(&self.bytes);
        write!(f, "{LINE_START}{} {}", self.name, STANDARD.encode(raw))
    }
}

/// A text and its signatures. Nothing in it is to be believed before [`Note::verify`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

impl Note {
    /// Parses a note strictly; [`Note::encode`] gives the same bytes again.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > NOTE_MAX_BYTES {
            return Err(NoteError::TooLong);
        }
        let all = std::str::from_utf8(bytes).map_err(|_| NoteError::Text)?;
        if all.bytes().any(|b| b < 0x20 && b != b'\n') {
            return Err(NoteError::Text);
        }
        // The text may hold empty lines: the last one parts it from the signatures.
        let (text, lines) = all.rsplit_once("\n\n").ok_or(NoteError::Layout)?;
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Layout)?;
        if lines.split('\n').count() > NOTE_MAX_SIGNATURES {
            return Err(NoteError::TooManySignatures);
        }
        let signatures = lines.split('\n').map(NoteSignature::parse).collect::<Result<_, _>>()?;
        Ok(Self { text: format!("{text}\n"), signatures })
    }

    /// The note's bytes: text, empty line, signature lines.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = format!("{}\n", self.text);
        for signature in &self.signatures {
            out.push_str(&signature.to_string());
            out.push('\n');
        }
        out.into_bytes()
    }

    /// What is signed: every line of the text with its newline, without the empty line behind it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signature lines, known and unknown, in order.
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Adds a signature line, such as a witness's cosignature. An identical line is not repeated.
    pub fn add_signature(&mut self, signature: NoteSignature) -> Result<(), NoteError> {
        if self.signatures.contains(&signature) {
            return Ok(());
        }
        if self.signatures.len() >= NOTE_MAX_SIGNATURES {
            return Err(NoteError::TooManySignatures);
        }
        self.signatures.push(signature);
        if self.encode().len() > NOTE_MAX_BYTES {
            self.signatures.pop();
            return Err(NoteError::TooLong);
        }
        Ok(())
    }

    /// Checks every line that names one of `keys` and gives the first key that signed.
    ///
    /// Lines of unknown keys are ignored. One bad signature of a known key refuses the whole note, even
    /// beside a good one (C2SP signed-note "Signatures").
    pub fn verify<'k>(&self, keys: &'k [VerifierKey]) -> Result<&'k VerifierKey, NoteError> {
        self.signed_by(keys)?.into_iter().next().ok_or(NoteError::Unsigned)
    }

    /// As [`Note::verify`], with all keys that signed, which may be none.
    pub fn signed_by<'k>(&self, keys: &'k [VerifierKey]) -> Result<Vec<&'k VerifierKey>, NoteError> {
        let mut signers = Vec::new();
        for line in &self.signatures {
            for key in keys.iter().filter(|key| key.name == line.name && key.key_id == line.key_id) {
                if !key.verifies(self.text.as_bytes(), &line.bytes) {
                    return Err(NoteError::BadSignature { name: line.name.clone() });
                }
                if !signers.contains(&key) {
                    signers.push(key);
                }
            }
        }
        Ok(signers)
    }
}

/// A public key that signs notes: `<name>+<key id>+<base64 of 0x01 and 32 bytes>`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct VerifierKey {
    name: String,
    key_id: u32,
    public_key: [u8; 32],
}

impl VerifierKey {
    /// The verifier key of an Ed25519 public key (RFC 8032 §5.1.5) under `name`.
    pub fn new(name: &str, public_key: [u8; 32]) -> Result<Self, KeyError> {
        if !is_key_name(name) {
            return Err(KeyError::Name);
        }
        let mut named = format!("{name}\n").into_bytes();
        named.push(TYPE_ED25519);
        named.extend_from_slice(&public_key);
        let [a, b, c, d, ..] = *Hash::of(&named).as_bytes();
        Ok(Self { name: name.to_owned(), key_id: u32::from_be_bytes([a, b, c, d]), public_key })
    }

    /// Name of the key; a log key's name is the log's origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// First four bytes of SHA-256(name ‖ 0x0A ‖ 0x01 ‖ public key), big-endian.
    pub fn key_id(&self) -> u32 {
        self.key_id
    }

    /// The 32 bytes of the Ed25519 public key.
    pub fn public_key(&self) -> &[u8; 32] {
        &self.public_key
    }

    /// Whether `signature` is this key's Ed25519 signature over `message`.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.public_key).verify(message, signature).is_ok()
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut typed = vec![TYPE_ED25519];
        typed.extend_from_slice(&self.public_key);
        write!(f, "{}+{:08x}+{}", self.name, self.key_id, STANDARD.encode(typed))
    }
}

impl FromStr for VerifierKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        // Neither name nor id holds a plus; the base64 may.
        let (name, rest) = text.split_once('+').ok_or(KeyError::Format)?;
        let (key_id, base64) = rest.split_once('+').ok_or(KeyError::Format)?;
        if base64.len() > 128 {
            return Err(KeyError::Format);
        }
        let typed = STANDARD.decode(base64).map_err(|_| KeyError::Format)?;
        let (kind, key) = typed.split_first().ok_or(KeyError::Format)?;
        if *kind != TYPE_ED25519 {
            return Err(KeyError::Algorithm);
        }
        let parsed = Self::new(name, key.try_into().map_err(|_| KeyError::Format)?)?;
        if key_id == format!("{:08x}", parsed.key_id) { Ok(parsed) } else { Err(KeyError::KeyId) }
    }
}

/// An Ed25519 private key that signs notes under one name. A log's key signs nothing else.
pub struct NoteSigner {
    key: Arc<dyn Ed25519Key>,
    verifier: VerifierKey,
}

impl NoteSigner {
    /// Makes a new Ed25519 private key, as PKCS #8 version 2 (RFC 5958) in DER.
    pub fn generate_pkcs8() -> Result<Vec<u8>, KeyError> {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| KeyError::Random)?;
        Ok(document.as_ref().to_vec())
    }

    /// Reads an Ed25519 private key in PKCS #8 DER, version 1 (as OpenSSL writes it) or 2; the public key
    /// of version 2 must fit.
    pub fn from_pkcs8(name: &str, pkcs8: &[u8]) -> Result<Self, KeyError> {
        Self::new(name, Arc::new(FileKey::from_pkcs8(pkcs8)?))
    }

    /// Signs with a key that is kept anywhere.
    pub fn new(name: &str, key: Arc<dyn Ed25519Key>) -> Result<Self, KeyError> {
        Ok(Self { verifier: VerifierKey::new(name, key.public_key())?, key })
    }

    /// The name that signature lines will carry.
    pub fn name(&self) -> &str {
        self.verifier.name()
    }

    /// The public half, for the card.
    pub fn verifier_key(&self) -> &VerifierKey {
        &self.verifier
    }

    /// Signs a text of lines, each ended by a newline; refuses what no note can hold.
    pub fn sign(&self, text: &str) -> Result<Note, NoteError> {
        if !text.ends_with('\n') {
            return Err(NoteError::Layout);
        }
        if text.bytes().any(|b| b < 0x20 && b != b'\n') {
            return Err(NoteError::Text);
        }
        let bytes = self.key.sign(text.as_bytes()).map_err(NoteError::KeyAway)?.to_vec();
        let signature = NoteSignature::new(self.name(), self.verifier.key_id, bytes)?;
        let note = Note { text: text.to_owned(), signatures: vec![signature] };
        if note.encode().len() > NOTE_MAX_BYTES { Err(NoteError::TooLong) } else { Ok(note) }
    }
}

impl fmt::Debug for NoteSigner {
    /// Shows the public half only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NoteSigner({})", self.verifier)
    }
}

/// C2SP signed-note: not empty, no Unicode space, no plus. Control characters cannot stand in a note.
pub(crate) fn is_key_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c < ' ' || c == '+')
}
