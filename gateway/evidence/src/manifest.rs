//! The manifest: a flattened JWS by which the exporter vouches for every other member.
//!
//! It binds the parts that carry no signature of their own (page, schemas, rules) to who exported them. Its
//! `typ` keeps it apart from messages and cards, which the same or another key of the gateway signs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use silkgate_message::instant::Instant;
use silkgate_message::json;
use silkgate_message::jws::{Algorithm, Digest, SigningCertificate, SigningKey, decode};
use silkgate_message::party::Party;

use crate::container::Members;

/// Its name among the members.
pub const NAME: &str = "manifest.jws";
/// `typ` of a manifest.
const TYPE: &str = "silkgate-evidence+jose";

/// What a manifest says. Its JSON has one spelling: members in ascending order, no white space.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Content {
    /// When the bundle was made, by the exporter's clock.
    pub exported_at: String,
    /// The authority that runs the exporting gateway.
    pub exported_by: Party,
    /// SHA-256 of every other member, by name.
    pub members: BTreeMap<String, String>,
    /// Format of the bundle: 1.
    pub v: u32,
}

/// The protected header, in the order of its one spelling.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: Algorithm,
    typ: String,
    #[serde(rename = "x5t#S256")]
    x5t_s256: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Flattened {
    payload: String,
    protected: String,
    signature: String,
}

/// A manifest as parsed; [`Manifest::verify`] says whether its signature holds.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// What it says.
    pub content: Content,
    /// When the bundle was made.
    pub exported_at: Instant,
    /// The certificate that it names.
    pub thumbprint: Digest,
    algorithm: Algorithm,
    signing_input: String,
    signature: Vec<u8>,
}

/// Signs a manifest of these members. None where the key does not sign.
pub fn sign(members: &Members, by: &Party, at: Instant, key: &SigningKey) -> Option<Vec<u8>> {
    let digests = members.iter().map(|(name, bytes)| (name.clone(), Digest::of(bytes).to_string()));
    let content =
        Content { exported_at: at.to_string(), exported_by: by.clone(), members: digests.collect(), v: 1 };
    sign_content(&content, key)
}

/// Signs what a manifest says.
pub fn sign_content(content: &Content, key: &SigningKey) -> Option<Vec<u8>> {
    let header =
        Header { alg: key.algorithm(), typ: TYPE.to_owned(), x5t_s256: key.thumbprint().to_string() };
    key.sign_flattened(&serde_json::to_vec(&header).ok()?, &serde_json::to_vec(content).ok()?).ok()
}

impl Manifest {
    /// Parses a manifest; the error is the end of a sentence.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let outer: Flattened = one_spelling(bytes, "the JWS")?;
        let part = |text: &str| decode(text).ok_or_else(|| "a part is not strict base64url".to_owned());
        let header: Header = one_spelling(&part(&outer.protected)?, "the protected header")?;
        if header.typ != TYPE {
            return Err(format!("its `typ` is not {TYPE}"));
        }
        let content: Content = one_spelling(&part(&outer.payload)?, "the payload")?;
        if content.v != 1 {
            return Err("its format is not 1".to_owned());
        }
        let exported_at = Instant::parse(&content.exported_at);
        let exported_at = exported_at.filter(|at| at.to_string() == content.exported_at);
        Ok(Self {
            exported_at: exported_at.ok_or("`exportedAt` is no instant with milliseconds")?,
            thumbprint: Digest::parse(&header.x5t_s256).ok_or("`x5t#S256` is no digest")?,
            algorithm: header.alg,
            signing_input: format!("{}.{}", outer.protected, outer.payload),
            signature: part(&outer.signature)?,
            content,
        })
    }

    /// Whether this certificate's key signed it.
    pub fn verify(&self, certificate: &SigningCertificate) -> bool {
        certificate.thumbprint == self.thumbprint
            && certificate.algorithm == self.algorithm
            && certificate.verifies(self.signing_input.as_bytes(), &self.signature)
    }

    /// The members are those that it names, with their digests: the first that is not.
    pub fn covers(&self, members: &Members) -> Result<(), String> {
        let others = || members.iter().filter(|(name, _)| *name != NAME);
        for (name, bytes) in others() {
            match self.content.members.get(name) {
                None => return Err(format!("{name} is not in the manifest")),
                Some(digest) if *digest != Digest::of(bytes).to_string() => {
                    return Err(format!("{name} is not the one that the manifest names"));
                }
                Some(_) => {}
            }
        }
        match self.content.members.keys().find(|name| *name == NAME || !members.contains_key(*name)) {
            Some(name) => Err(format!("{name} is in the manifest and not in the bundle")),
            None => Ok(()),
        }
    }
}

/// Strict JSON that is spelled as we spell it.
fn one_spelling<T: Serialize + serde::de::DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T, String> {
    let value: T = json::parse_closed(bytes).map_err(|error| format!("{what}: {error}"))?;
    let again = serde_json::to_vec(&value).unwrap_or_default();
    if again == bytes { Ok(value) } else { Err(format!("{what} is not in its one spelling")) }
}
