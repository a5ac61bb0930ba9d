//! Log entries: one JSON object under 512 bytes, members in fixed order, stored and hashed verbatim.
//!
//! There is exactly one spelling of each entry: [`Entry::parse`] refuses whatever [`Entry::encode`] would
//! write otherwise. No member can hold personal data or a character that JSON escapes: every text passes
//! a narrow grammar first.

mod bundle;
mod grammar;
mod kind;
mod time;

use serde::Deserialize;

use crate::tree::{Hash, leaf_hash};

pub use bundle::{BundleError, decode_bundle, encode_bundle};
pub use kind::{Kind, Verdict};
pub use time::UtcMillis;

/// Entries are shorter than this, in bytes.
pub const ENTRY_LIMIT_BYTES: usize = 512;

/// Version of the entry format, member `v`.
const VERSION: u64 = 1;

/// Largest `n`: what every JSON reader holds exactly (RFC 7493 §2.2).
const COUNT_MAX: u64 = (1 << 53) - 1;

/// Why an entry cannot be written or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// 512 bytes or more.
    #[error("a log entry is shorter than {ENTRY_LIMIT_BYTES} bytes")]
    TooLong,
    /// Not a JSON object, an unknown or repeated member, or a value of another JSON type.
    #[error("a log entry is a JSON object of known members")]
    Json,
    /// Another version than 1.
    #[error("the log entry's version is unknown")]
    Version,
    /// The member's value does not fit its grammar.
    #[error("the log entry's member {0} does not fit its grammar")]
    Member(&'static str),
    /// The kind asks for this member.
    #[error("a log entry of this kind needs the member {0}")]
    Missing(&'static str),
    /// The member contradicts the kind or another member.
    #[error("the log entry's member {0} contradicts its kind or another member")]
    Contradiction(&'static str),
    /// The same content spelled otherwise: order, white space, escapes.
    #[error("the log entry is not in its one canonical spelling")]
    Spelling,
}

/// One line of a log. Texts are checked by [`Entry::encode`] and [`Entry::parse`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// What happened.
    pub kind: Kind,
    /// When, by the clock of the gateway that keeps the log.
    pub at: UtcMillis,
    /// Sending party, `IQ/general-customs-authority`, or the bare state `IQ`.
    pub from: Option<String>,
    /// Receiving party or state.
    pub to: Option<String>,
    /// The message's id: a UUID in lower case.
    pub id: Option<String>,
    /// The message's type, such as `alert.vehicle`; member `type`.
    pub message_type: Option<String>,
    /// SHA-256 of the JWS signing input (RFC 7515 §5.1 step 8).
    pub jws: Option<Hash>,
    /// SHA-256 of the bytes read, in place of `jws` where there was no parsed JWS.
    pub body: Option<Hash>,
    /// SHA-256 of the certificate that signed or connected, in DER.
    pub cert: Option<Hash>,
    /// Digest of the schema set the message was judged by.
    pub schema: Option<Hash>,
    /// How the message was judged.
    pub verdict: Option<Verdict>,
    /// Why it was refused.
    pub code: Option<String>,
    /// How many refusals this entry stands for, at least 1.
    pub n: Option<u64>,
    /// What was administered, such as `agreement`.
    pub what: Option<String>,
    /// Digest of what came into force, or a salted digest of what was looked at.
    pub digest: Option<Hash>,
    /// What the entry is about: a message id, a digest, or the index of an earlier entry in decimal.
    pub of: Option<String>,
    /// The rule that an erasure follows.
    pub rule: Option<String>,
    /// The role that acted, such as `auditor`.
    pub role: Option<String>,
}

impl Entry {
    /// An entry without optional members, to be filled in.
    pub fn new(kind: Kind, at: UtcMillis) -> Self {
        Self {
            kind,
            at,
            from: None,
            to: None,
            id: None,
            message_type: None,
            jws: None,
            body: None,
            cert: None,
            schema: None,
            verdict: None,
            code: None,
            n: None,
            what: None,
            digest: None,
            of: None,
            rule: None,
            role: None,
        }
    }

    /// The bytes that are hashed, stored and proved, without a line end.
    pub fn encode(&self) -> Result<Vec<u8>, EntryError> {
        self.check()?;
        let mut out = Writer::new();
        out.text("kind", Some(self.kind.as_str()));
        out.text("at", Some(&self.at.to_string()));
        out.text("from", self.from.as_deref());
        out.text("to", self.to.as_deref());
        out.text("id", self.id.as_deref());
        out.text("type", self.message_type.as_deref());
        out.hash("jws", self.jws);
        out.hash("body", self.body);
        out.hash("cert", self.cert);
        out.hash("schema", self.schema);
        out.text("verdict", self.verdict.map(Verdict::as_str));
        out.text("code", self.code.as_deref());
        out.number("n", self.n);
        out.text("what", self.what.as_deref());
        out.hash("digest", self.digest);
        out.text("of", self.of.as_deref());
        out.text("rule", self.rule.as_deref());
        out.text("role", self.role.as_deref());
        let bytes = out.finish();
        if bytes.len() < ENTRY_LIMIT_BYTES { Ok(bytes) } else { Err(EntryError::TooLong) }
    }

    /// Reads an entry; only what [`Entry::encode`] writes is read.
    pub fn parse(bytes: &[u8]) -> Result<Self, EntryError> {
        if bytes.len() >= ENTRY_LIMIT_BYTES {
            return Err(EntryError::TooLong);
        }
        let raw: Members<'_> = serde_json::from_slice(bytes).map_err(|_| EntryError::Json)?;
        if raw.v != VERSION {
            return Err(EntryError::Version);
        }
        let entry = Self {
            kind: Kind::parse(raw.kind).ok_or(EntryError::Member("kind"))?,
            at: UtcMillis::parse(raw.at).ok_or(EntryError::Member("at"))?,
            from: raw.from.map(str::to_owned),
            to: raw.to.map(str::to_owned),
            id: raw.id.map(str::to_owned),
            message_type: raw.message_type.map(str::to_owned),
            jws: parse_hash("jws", raw.jws)?,
            body: parse_hash("body", raw.body)?,
            cert: parse_hash("cert", raw.cert)?,
            schema: parse_hash("schema", raw.schema)?,
            verdict: raw
                .verdict
                .map(|verdict| Verdict::parse(verdict).ok_or(EntryError::Member("verdict")))
                .transpose()?,
            code: raw.code.map(str::to_owned),
            n: raw.n,
            what: raw.what.map(str::to_owned),
            digest: parse_hash("digest", raw.digest)?,
            of: raw.of.map(str::to_owned),
            rule: raw.rule.map(str::to_owned),
            role: raw.role.map(str::to_owned),
        };
        if entry.encode()? == bytes { Ok(entry) } else { Err(EntryError::Spelling) }
    }

    /// The entry's leaf hash (RFC 6962 §2.1). Hash stored bytes with [`leaf_hash`] instead.
    pub fn leaf(&self) -> Result<Hash, EntryError> {
        Ok(leaf_hash(&self.encode()?))
    }

    fn check(&self) -> Result<(), EntryError> {
        for (name, value, fits) in self.texts() {
            if value.is_some_and(|value| !fits(value)) {
                return Err(EntryError::Member(name));
            }
        }
        if self.n.is_some_and(|n| n == 0 || n > COUNT_MAX) {
            return Err(EntryError::Member("n"));
        }
        if let Some(name) = self.kind.required().iter().find(|name| !self.has(name)) {
            return Err(EntryError::Missing(name));
        }
        if self.jws.is_some() && self.body.is_some() {
            return Err(EntryError::Contradiction("body"));
        }
        let verdict_fits = match (self.kind, self.verdict) {
            (Kind::Received, verdict) => verdict == Some(Verdict::Accepted),
            (Kind::Rejected | Kind::Refused, verdict) => verdict != Some(Verdict::Accepted),
            (Kind::Receipted, _) | (_, None) => true,
            (_, Some(_)) => false,
        };
        if !verdict_fits {
            return Err(EntryError::Contradiction("verdict"));
        }
        if self.n.is_some() && !matches!(self.kind, Kind::Rejected | Kind::Refused) {
            return Err(EntryError::Contradiction("n"));
        }
        Ok(())
    }

    /// The text members with their grammars.
    fn texts(&self) -> [TextMember<'_>; 9] {
        [
            ("from", self.from.as_deref(), grammar::is_party_or_state),
            ("to", self.to.as_deref(), grammar::is_party_or_state),
            ("id", self.id.as_deref(), grammar::is_uuid),
            ("type", self.message_type.as_deref(), grammar::is_message_type),
            ("code", self.code.as_deref(), grammar::is_code),
            ("what", self.what.as_deref(), grammar::is_code),
            ("of", self.of.as_deref(), grammar::is_reference),
            ("rule", self.rule.as_deref(), grammar::is_rule),
            ("role", self.role.as_deref(), grammar::is_code),
        ]
    }

    fn has(&self, name: &str) -> bool {
        match name {
            "jws" => self.jws.is_some(),
            "verdict" => self.verdict.is_some(),
            _ => self.texts().iter().any(|(member, value, _)| *member == name && value.is_some()),
        }
    }
}

/// A text member: name, value, grammar.
type TextMember<'a> = (&'static str, Option<&'a str>, fn(&str) -> bool);

/// The members as JSON gives them. Borrowed: a text with an escape in it is not canonical anyway.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Members<'a> {
    v: u64,
    kind: &'a str,
    at: &'a str,
    from: Option<&'a str>,
    to: Option<&'a str>,
    id: Option<&'a str>,
    #[serde(rename = "type")]
    message_type: Option<&'a str>,
    jws: Option<&'a str>,
    body: Option<&'a str>,
    cert: Option<&'a str>,
    schema: Option<&'a str>,
    verdict: Option<&'a str>,
    code: Option<&'a str>,
    n: Option<u64>,
    what: Option<&'a str>,
    digest: Option<&'a str>,
    of: Option<&'a str>,
    rule: Option<&'a str>,
    role: Option<&'a str>,
}

fn parse_hash(name: &'static str, text: Option<&str>) -> Result<Option<Hash>, EntryError> {
    text.map(|text| Hash::parse_base64url(text).ok_or(EntryError::Member(name))).transpose()
}

/// Writes the members in order. Values hold no character that JSON escapes.
struct Writer(String);

impl Writer {
    fn new() -> Self {
        let mut out = String::with_capacity(ENTRY_LIMIT_BYTES);
        out.push_str(&format!("{{\"v\":{VERSION}"));
        Self(out)
    }

    fn text(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.name(name);
            self.0.push('"');
            self.0.push_str(value);
            self.0.push('"');
        }
    }

    fn hash(&mut self, name: &str, value: Option<Hash>) {
        self.text(name, value.map(|hash| hash.to_base64url()).as_deref());
    }

    fn number(&mut self, name: &str, value: Option<u64>) {
        if let Some(value) = value {
            self.name(name);
            self.0.push_str(&value.to_string());
        }
    }

    fn name(&mut self, name: &str) {
        self.0.push_str(",\"");
        self.0.push_str(name);
        self.0.push_str("\":");
    }

    fn finish(mut self) -> Vec<u8> {
        self.0.push('}');
        self.0.into_bytes()
    }
}
