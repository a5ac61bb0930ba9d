//! The card: what one gateway hands another, signed by its card key.
//!
//! A card proves nothing by itself. The fingerprint of its card key, read over the telephone, makes
//! it a state's card; from then on only that key can sign the next one.

mod fingerprint;
mod grammar;
#[cfg(test)]
mod tests;

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::json;
use crate::jws::{Digest, decode, encode};
use crate::party::{Country, Party};

pub use fingerprint::{Fingerprint, FingerprintError};

/// `typ` of a card: a signed message can never pass as one, nor the other way round.
const TYPE: &str = "silkgate-card+jose";
/// The largest card.
pub const CARD_MAX_BYTES: usize = 256 << 10;

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
    /// the one that `content` names, or where partners would refuse the card for what it says.
    pub fn sign(content: &CardContent, pkcs8: &[u8]) -> Option<Vec<u8>> {
        let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8).ok()?;
        (encode(key.public_key().as_ref()) == content.card_key).then_some(())?;
        let protected = encode(format!(r#"{{"alg":"EdDSA","typ":"{TYPE}"}}"#).as_bytes());
        let payload = encode(&serde_json::to_vec(content).ok()?);
        let signature = encode(key.sign(format!("{protected}.{payload}").as_bytes()).as_ref());
        let card = format!(
            "{{\n  \"payload\": \"{payload}\",\n  \"protected\": \"{protected}\",\n  \"signature\": \"{signature}\"\n}}\n"
        );
        // Read as a partner will: nothing leaves that is no card.
        Self::parse(card.as_bytes()).is_ok().then(|| card.into_bytes())
    }

    /// Parses a card and verifies that its own card key signed it.
    pub fn parse(bytes: &[u8]) -> Result<Self, CardError> {
        if bytes.len() > CARD_MAX_BYTES {
            return Err(CardError::TooLarge);
        }
        let malformed = |what: &str| CardError::Malformed(what.to_owned());
        let outer = json::parse_wrapper(bytes).map_err(|error| CardError::Malformed(error.to_string()))?;
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
        grammar::check(&content)?;
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
