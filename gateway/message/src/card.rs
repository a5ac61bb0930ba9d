//! The card: what one gateway hands another, signed by its card key.
//!
//! A card proves nothing by itself. The fingerprint of its card key, read over the telephone, makes
//! it a state's card; from then on only that key can sign the next one.

use std::fmt;
use std::str::FromStr;

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::instant::Instant;
use crate::json;
use crate::jws::{Digest, SigningCertificate, decode, encode};
use crate::party::{Country, Party};

/// `typ` of a card: a signed message can never pass as one, nor the other way round.
const TYPE: &str = "silkgate-card+jose";
/// The largest card.
pub const CARD_MAX_BYTES: usize = 256 << 10;
const LIST_MAX: usize = 64;

/// What a card says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct CardContent {
    /// Format of the card: 1.
    pub v: u32,
    /// The state.
    pub country: Country,
    /// The authority that runs the gateway.
    pub name: String,
    /// The name in its TLS certificates and in the origins of its logs.
    pub host: String,
    /// Where partners reach it, https URLs.
    pub endpoints: Vec<String>,
    /// The authorities behind it, as of this card.
    pub authorities: Vec<Party>,
    /// Its TLS authorities, DER.
    #[serde(with = "base64_list")]
    pub tls_anchors: Vec<Vec<u8>>,
    /// The certificates its messages are signed with, DER.
    #[serde(with = "base64_list")]
    pub signing_certificates: Vec<Vec<u8>>,
    /// Its logs' verifier keys: the house log's; a channel log has the same key under its own origin.
    pub logs: Vec<LogKey>,
    /// Its witness.
    pub witness: LogKey,
    /// The schemas it understands.
    pub schemas: Vec<SchemaRef>,
    /// Counts up with each card.
    pub version: u64,
    /// The digest of the card before.
    pub previous: Option<String>,
    /// When it was signed.
    pub issued_at: String,
    /// The Ed25519 key that signs this card and the next, base64url.
    pub card_key: String,
}

/// A verifier key (C2SP signed-note) and what it is for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogKey {
    /// The origin of the log, or the name of the witness.
    pub origin: String,
    /// `name+hash+base64`.
    pub key: String,
}

/// A schema in its edition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchemaRef {
    /// The message type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its version.
    pub version: u32,
    /// `$id`.
    pub id: String,
    /// SHA-256 of the edition, base64url.
    pub digest: String,
}

mod base64_list {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(list: &[Vec<u8>], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(list.iter().map(|bytes| crate::jws::encode(bytes)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Vec<u8>>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        let decoded: Option<_> = texts.iter().map(|text| crate::jws::decode(text)).collect();
        decoded.ok_or_else(|| serde::de::Error::custom("not strict base64url"))
    }
}

/// Why a card is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CardError {
    /// Larger than [`CARD_MAX_BYTES`].
    #[error("the card is larger than {CARD_MAX_BYTES} bytes")]
    TooLarge,
    /// Not a signed card.
    #[error("not a card: {0}")]
    Malformed(String),
    /// A member breaks its grammar.
    #[error("the card's {0}")]
    Content(&'static str),
    /// The signature does not verify.
    #[error("the card's signature does not verify: it was altered")]
    Signature,
    /// A later card that does not follow the one in force.
    #[error("the card does not follow the one in force: {0}")]
    Succession(&'static str),
}

impl CardError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            CardError::TooLarge => "card_too_large",
            CardError::Malformed(_) => "card_malformed",
            CardError::Content(_) => "card_content_invalid",
            CardError::Signature => "card_signature_invalid",
            CardError::Succession(_) => "card_not_successor",
        }
    }
}

/// A card whose signature verified.
#[derive(Clone, Debug)]
pub struct Card {
    content: CardContent,
    key: Vec<u8>,
    digest: [u8; 32],
}

impl Card {
    /// Signs a card with the Ed25519 card key, PKCS#8. None where the key cannot be read or is not
    /// the one that `content` names.
    pub fn sign(content: &CardContent, pkcs8: &[u8]) -> Option<Vec<u8>> {
        let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8).ok()?;
        (encode(key.public_key().as_ref()) == content.card_key).then_some(())?;
        let protected = encode(format!(r#"{{"alg":"EdDSA","typ":"{TYPE}"}}"#).as_bytes());
        let payload = encode(&serde_json::to_vec(content).ok()?);
        let signature = encode(key.sign(format!("{protected}.{payload}").as_bytes()).as_ref());
        let card = format!(
            "{{\n  \"payload\": \"{payload}\",\n  \"protected\": \"{protected}\",\n  \"signature\": \"{signature}\"\n}}\n"
        );
        Some(card.into_bytes())
    }

    /// Parses a card and verifies that its own card key signed it.
    pub fn parse(bytes: &[u8]) -> Result<Self, CardError> {
        if bytes.len() > CARD_MAX_BYTES {
            return Err(CardError::TooLarge);
        }
        let malformed = |what: &str| CardError::Malformed(what.to_owned());
        let outer = json::parse(bytes).map_err(|error| CardError::Malformed(error.to_string()))?;
        let text = |name: &str| outer.get(name).and_then(Value::as_str).ok_or_else(|| malformed(name));
        if outer.as_object().is_none_or(|members| members.len() != 3) {
            return Err(malformed("it has payload, protected and signature, and nothing else"));
        }
        let (payload, protected, signature) = (text("payload")?, text("protected")?, text("signature")?);
        let decoded = |text: &str| decode(text).ok_or_else(|| malformed("not strict base64url"));
        let header =
            json::parse(&decoded(protected)?).map_err(|error| CardError::Malformed(error.to_string()))?;
        if header != serde_json::json!({ "alg": "EdDSA", "typ": TYPE }) {
            return Err(malformed("its header is not that of a card"));
        }
        let content: CardContent = json::parse_closed(&decoded(payload)?)
            .map_err(|error| CardError::Malformed(error.to_string()))?;
        let key = decode(&content.card_key).filter(|key| key.len() == 32);
        let key = key.ok_or(CardError::Content("card key is not 32 bytes"))?;
        let input = format!("{protected}.{payload}");
        UnparsedPublicKey::new(&ED25519, &key)
            .verify(input.as_bytes(), &decoded(signature)?)
            .map_err(|_| CardError::Signature)?;
        check(&content)?;
        Ok(Self { content, key, digest: Digest::of(bytes).0 })
    }

    /// What it says.
    pub fn content(&self) -> &CardContent {
        &self.content
    }

    /// SHA-256 of the card's bytes.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// The fingerprint of the card key.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.key)
    }

    /// Whether this card follows `before`: same key and state, a greater version, and the digest of
    /// the card before.
    pub fn succeeds(&self, before: &Card) -> Result<(), CardError> {
        if self.key != before.key {
            return Err(CardError::Succession("another card key signed it; that takes a new fingerprint"));
        }
        if self.content.country != before.content.country || self.content.host != before.content.host {
            return Err(CardError::Succession("it is of another state or host"));
        }
        if self.content.version <= before.content.version {
            return Err(CardError::Succession("its version is not greater"));
        }
        if self.content.previous.as_deref() != Some(&Digest(before.digest).to_string()) {
            return Err(CardError::Succession("it does not name that card as its previous one"));
        }
        Ok(())
    }
}

/// The grammars of every member.
fn check(content: &CardContent) -> Result<(), CardError> {
    let fault = |what: &'static str| Err(CardError::Content(what));
    let within = |n: usize, most: usize| (1..=most).contains(&n);
    if content.v != 1 {
        return fault("format is not 1");
    }
    let printable = |text: &str| {
        !text.trim().is_empty() && text.chars().count() <= 120 && !text.chars().any(char::is_control)
    };
    if !printable(&content.name) {
        return fault("name is empty, too long or not printable");
    }
    if !is_host(&content.host) {
        return fault("host is no lower-case host name");
    }
    let https = |url: &String| {
        url.starts_with("https://") && url.len() <= 200 && url.bytes().all(|b| b.is_ascii_graphic())
    };
    if !within(content.endpoints.len(), 8) || !content.endpoints.iter().all(https) {
        return fault("endpoints are not one to eight https URLs");
    }
    if content.authorities.len() > LIST_MAX
        || content.authorities.iter().any(|p| p.country() != content.country)
    {
        return fault("authorities are too many or of another state");
    }
    let is_certificate =
        |der: &Vec<u8>| X509Certificate::from_der(der).is_ok_and(|(rest, _)| rest.is_empty());
    if !within(content.tls_anchors.len(), 8) || !content.tls_anchors.iter().all(is_certificate) {
        return fault("TLS anchors are not one to eight certificates");
    }
    let signs = |der: &Vec<u8>| SigningCertificate::parse(der).is_some();
    if !within(content.signing_certificates.len(), 8) || !content.signing_certificates.iter().all(signs) {
        return fault(
            "signing certificates are not one to eight certificates with P-256, P-384 or Ed25519 keys",
        );
    }
    let prefix = format!("{}/{}/", content.host, content.country);
    let own = |key: &LogKey| key.origin.starts_with(&prefix) && key.key.len() <= 300;
    if !within(content.logs.len(), 8) || !content.logs.iter().all(own) || !own(&content.witness) {
        return fault("log and witness keys are not under its own host and state");
    }
    let digest =
        |schema: &SchemaRef| schema.id.starts_with("https://") && Digest::parse(&schema.digest).is_some();
    if content.schemas.len() > LIST_MAX || !content.schemas.iter().all(digest) {
        return fault("schemas are too many, or lack id or digest");
    }
    if content.version == 0 || content.previous.as_ref().is_some_and(|d| Digest::parse(d).is_none()) {
        return fault("version or previous digest is invalid");
    }
    if Instant::parse(&content.issued_at).is_none() {
        return fault("time of issue is no instant");
    }
    Ok(())
}

/// A lower-case DNS name (RFC 1123 §2.1).
fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 100 && text.split('.').all(label)
}

/// 160 bits of a card key's hash, to be read over the telephone.
#[derive(Clone, Copy, Debug)]
pub struct Fingerprint([u8; 20]);

/// Crockford's base32: no I, L, O or U, so that nothing is misheard or misread.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

impl Fingerprint {
    /// The fingerprint of an Ed25519 card key.
    pub fn of(card_key: &[u8]) -> Self {
        // The prefix keeps the hash apart from every other use of SHA-256 over a key.
        let digest = Digest::of(&[b"silkgate card key v1\0".as_slice(), card_key].concat());
        let mut bytes = [0; 20];
        bytes.copy_from_slice(&digest.0[..20]);
        Self(bytes)
    }
}

impl PartialEq for Fingerprint {
    fn eq(&self, other: &Self) -> bool {
        // Without an early end: a guesser learns nothing from the time.
        self.0.iter().zip(other.0).fold(0, |all, (a, b)| all | (a ^ b)) == 0
    }
}

impl Eq for Fingerprint {}

impl fmt::Display for Fingerprint {
    /// Eight groups of four.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (group, chunk) in self.0.chunks(5).enumerate() {
            let bits = chunk.iter().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
            for (place, shift) in (0..8).map(|n| 35 - 5 * n).enumerate() {
                if place % 4 == 0 && (group > 0 || place > 0) {
                    f.write_str("-")?;
                }
                let letter = ALPHABET[(bits >> shift) as usize & 31];
                write!(f, "{}", letter as char)?;
            }
        }
        Ok(())
    }
}

/// Not a fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint is eight groups of four letters and digits, as `silkgate card` prints it")]
pub struct FingerprintError;

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    /// Forgives case, spaces, hyphens, and what is commonly misread (O for 0, I and L for 1).
    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let mut values = Vec::with_capacity(32);
        for c in text.chars().filter(|c| !c.is_whitespace() && *c != '-') {
            let letter = match c.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                other => other,
            };
            let value = ALPHABET.iter().position(|known| *known as char == letter).ok_or(FingerprintError)?;
            values.push(value as u64);
        }
        if values.len() != 32 {
            return Err(FingerprintError);
        }
        let mut bytes = [0; 20];
        for (chunk, out) in values.chunks(8).zip(bytes.chunks_mut(5)) {
            let bits = chunk.iter().fold(0u64, |bits, value| bits << 5 | value);
            out.copy_from_slice(&bits.to_be_bytes()[3..]);
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_reads_back_however_it_is_spelled() {
        let fingerprint = Fingerprint::of(&[7; 32]);
        let text = fingerprint.to_string();
        assert_eq!((text.len(), text.matches('-').count()), (39, 7));
        for spelled in [
            text.clone(),
            text.to_lowercase(),
            text.replace('-', " "),
            text.replace('0', "o").replace('1', "l"),
        ] {
            assert_eq!(spelled.parse::<Fingerprint>().unwrap(), fingerprint, "{spelled}");
        }
        assert_ne!(Fingerprint::of(&[8; 32]), fingerprint);
        assert!(text[1..].parse::<Fingerprint>().is_err());
        assert!(text.replace(text.chars().next().unwrap(), "U").parse::<Fingerprint>().is_err());
    }

    #[test]
    fn hosts() {
        assert!(is_host("gateway.iq.example") && is_host("localhost"));
        for bad in ["", "Gateway.iq", "a..b", "-a.b", "a b", "gätewäy.iq", "a."] {
            assert!(!is_host(bad), "{bad}");
        }
    }
}
