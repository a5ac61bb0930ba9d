//! The signed message: a flattened JWS (RFC 7515 §7.2.2) with a JAdES baseline B-B header
//! (ETSI TS 119 182-1 v1.2.1). Nothing is canonicalised: what was signed is what is sent and stored.

use std::sync::Arc;

use ring::signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use x509_parser::prelude::{FromDer, X509Certificate};

pub use crate::digest::{Digest, decode, encode};
use crate::instant::Instant;
use crate::json::{self, JsonError};
use crate::private_key::FileKey;
pub use crate::private_key::{PrivateKey, Unsigned};
use crate::problem::{Code, Problem};

/// The longest protected header, decoded. Some JOSE libraries refuse more.
pub const HEADER_MAX_BYTES: usize = 512;
/// `cty` of every message.
pub const CONTENT_TYPE: &str = "cloudevents+json";

/// The accepted algorithms (RFC 7518 §3.4, RFC 8037 §3.1). The registered certificate fixes which.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// ECDSA on P-384 with SHA-384.
    #[serde(rename = "ES384")]
    Es384,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

impl Algorithm {
    /// Verifies a raw signature: `r ‖ s` for ECDSA (RFC 7518 §3.4), 64 bytes for Ed25519. The key is
    /// the uncompressed point or the 32 bytes.
    pub fn verify(self, public_key: &[u8], message: &[u8], signature: &[u8]) -> bool {
        let key: UnparsedPublicKey<&[u8]> = match self {
            Algorithm::Es256 => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public_key),
            Algorithm::Es384 => UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, public_key),
            Algorithm::EdDsa => UnparsedPublicKey::new(&ED25519, public_key),
        };
        key.verify(message, signature).is_ok()
    }
}

/// A certificate registered for signing messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningCertificate {
    /// DER.
    pub der: Vec<u8>,
    /// `x5t#S256`: SHA-256 of the DER.
    pub thumbprint: Digest,
    /// Fixed by the key: P-256, P-384 or Ed25519.
    pub algorithm: Algorithm,
    /// From.
    pub not_before: Instant,
    /// Until.
    pub not_after: Instant,
    public_key: Vec<u8>,
}

impl SigningCertificate {
    /// Reads a certificate. None where it is no X.509 certificate with a key of an accepted kind.
    pub fn parse(der: &[u8]) -> Option<Self> {
        let (rest, certificate) = X509Certificate::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let public_key = certificate.public_key();
        let key = public_key.subject_public_key.data.to_vec();
        let curve = public_key.algorithm.parameters.as_ref().and_then(|p| p.as_oid().ok());
        // RFC 5480 §2.1.1 and RFC 8410 §3.
        let algorithm = match public_key.algorithm.algorithm.to_id_string().as_str() {
            "1.2.840.10045.2.1" => match curve?.to_id_string().as_str() {
                "1.2.840.10045.3.1.7" => Algorithm::Es256,
                "1.3.132.0.34" => Algorithm::Es384,
                _ => return None,
            },
            "1.3.101.112" => Algorithm::EdDsa,
            _ => return None,
        };
        let validity = certificate.validity();
        Some(Self {
            der: der.to_vec(),
            thumbprint: Digest::of(der),
            algorithm,
            not_before: Instant::from_seconds(validity.not_before.timestamp()),
            not_after: Instant::from_seconds(validity.not_after.timestamp()),
            public_key: key,
        })
    }

    /// Whether its key signed `message`.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.algorithm.verify(&self.public_key, message, signature)
    }
}

/// A private key that signs messages, and the certificate that it signs under.
pub struct SigningKey {
    key: Arc<dyn PrivateKey>,
    thumbprint: Digest,
}

impl SigningKey {
    /// Reads a PKCS#8 key that belongs to `certificate`; None where it does not.
    pub fn new(pkcs8: &[u8], certificate: &SigningCertificate) -> Option<Self> {
        Self::with(Arc::new(FileKey::from_pkcs8(pkcs8, certificate.algorithm)?), certificate)
    }

    /// With a key that is kept anywhere; None where it is not the certificate's.
    pub fn with(key: Arc<dyn PrivateKey>, certificate: &SigningCertificate) -> Option<Self> {
        let fits = key.algorithm() == certificate.algorithm && key.public_key() == certificate.public_key;
        fits.then_some(Self { key, thumbprint: certificate.thumbprint })
    }

    /// Signs `payload` (the bytes of an event) and gives the message's bytes.
    pub fn sign(&self, payload: &[u8], iat: Instant) -> Result<Vec<u8>, Unsigned> {
        let header = Header {
            alg: self.algorithm(),
            typ: TYPE.to_owned(),
            cty: CONTENT_TYPE.to_owned(),
            iat: iat.seconds(),
            x5t_s256: self.thumbprint.to_string(),
        };
        let header = serde_json::to_vec(&header).map_err(|error| Unsigned(error.to_string()))?;
        self.sign_flattened(&header, payload)
    }

    /// Signs any other document as a flattened JWS. `protected` is its header, whose `typ` keeps it apart
    /// from a message.
    pub fn sign_flattened(&self, protected: &[u8], payload: &[u8]) -> Result<Vec<u8>, Unsigned> {
        let (protected, payload) = (encode(protected), encode(payload));
        let input = format!("{protected}.{payload}");
        let signature = encode(&self.key.sign(input.as_bytes())?);
        Ok(format!(r#"{{"payload":"{payload}","protected":"{protected}","signature":"{signature}"}}"#)
            .into_bytes())
    }

    /// The algorithm that it signs with.
    pub fn algorithm(&self) -> Algorithm {
        self.key.algorithm()
    }

    /// `x5t#S256` of its certificate.
    pub fn thumbprint(&self) -> Digest {
        self.thumbprint
    }
}

/// `typ` of every message (RFC 7515 §4.1.9).
const TYPE: &str = "jose+json";

/// The protected header: these members and no others.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Header {
    /// The algorithm.
    pub alg: Algorithm,
    /// `jose+json`.
    pub typ: String,
    /// `cloudevents+json`.
    pub cty: String,
    /// When the message was signed, NumericDate in whole seconds (JAdES §5.1.11 allows `iat`).
    pub iat: i64,
    /// The signing certificate, by SHA-256.
    #[serde(rename = "x5t#S256")]
    pub x5t_s256: String,
}

/// A parsed message whose signature is still to be verified.
#[derive(Clone, Debug)]
pub struct Jws {
    /// The protected header.
    pub header: Header,
    /// When it was signed, as the sender says.
    pub iat: Instant,
    /// The certificate it names.
    pub thumbprint: Digest,
    /// The event, parsed strictly.
    pub event: Value,
    /// The event's bytes.
    pub payload: Vec<u8>,
    signing_input: String,
    signature: Vec<u8>,
}

impl Jws {
    /// Parses a message: strict JSON outside and inside, header rules. The refusal has a code from
    /// before the signature.
    pub fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        let outer: Flattened = flattened(bytes)?;
        let protected =
            decode(&outer.protected).ok_or_else(|| malformed("/protected", "is not strict base64url"))?;
        let payload =
            decode(&outer.payload).ok_or_else(|| malformed("/payload", "is not strict base64url"))?;
        let signature =
            decode(&outer.signature).ok_or_else(|| malformed("/signature", "is not strict base64url"))?;
        let inside = |what: &'static str| {
            move |error: JsonError| {
                let problem = Problem::from(&error);
                let detail = format!("{what}: {}", problem.detail);
                problem.detail(detail)
            }
        };
        if protected.len() > HEADER_MAX_BYTES {
            return Err(header_fault("", &format!("is longer than {HEADER_MAX_BYTES} bytes")));
        }
        let header = json::parse_wrapper(&protected).map_err(inside("protected header"))?;
        let event = json::parse(&payload).map_err(inside("payload"))?;
        let (header, thumbprint) = read_header(&header)?;
        Ok(Self {
            iat: Instant::from_seconds(header.iat),
            header,
            thumbprint,
            event,
            payload,
            signing_input: format!("{}.{}", outer.protected, outer.payload),
            signature,
        })
    }

    /// The digest that identifies the message: SHA-256 of the JWS signing input. The signature is
    /// not part of it, because ECDSA signatures can be altered by a carrier and still verify.
    pub fn digest(&self) -> Digest {
        Digest::of(self.signing_input.as_bytes())
    }

    /// Verifies against the certificate registered for the sender.
    pub fn verify(&self, certificate: &SigningCertificate) -> Result<(), Code> {
        if self.thumbprint != certificate.thumbprint {
            return Err(Code::CertificateUnknown);
        }
        if self.header.alg != certificate.algorithm {
            return Err(Code::AlgorithmMismatch);
        }
        if certificate.verifies(self.signing_input.as_bytes(), &self.signature) {
            Ok(())
        } else {
            Err(Code::SignatureInvalid)
        }
    }
}

#[derive(Debug)]
struct Flattened {
    payload: String,
    protected: String,
    signature: String,
}

/// The outer object: three strings, and nothing beside them but an unprotected `etsiU` (JAdES §5.3).
fn flattened(bytes: &[u8]) -> Result<Flattened, Problem> {
    let Value::Object(mut members) = json::parse_wrapper(bytes).map_err(|error| Problem::from(&error))?
    else {
        return Err(malformed("", "is not an object"));
    };
    let mut text = |name: &str| match members.remove(name) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(malformed(&format!("/{name}"), "is not a string")),
        None => Err(malformed(&format!("/{name}"), "is missing")),
    };
    let outer =
        Flattened { payload: text("payload")?, protected: text("protected")?, signature: text("signature")? };
    if let Some(header) = members.remove("header") {
        let only_etsi_u = header.as_object().is_some_and(|header| {
            header.len() == 1
                && header
                    .get("etsiU")
                    .and_then(Value::as_array)
                    .is_some_and(|list| list.iter().all(Value::is_string))
        });
        if !only_etsi_u {
            return Err(malformed("/header", "may hold `etsiU`, an array of strings, and nothing else"));
        }
    }
    match members.keys().next() {
        Some(_) => Err(malformed("", "has a member other than payload, protected, signature and header")),
        None => Ok(outer),
    }
}

/// Header rules. Anything unknown is refused: `jwk`, `jku`, `x5u`, `x5c` and `crit` among it, so
/// that no key and no rule ever comes from the message itself.
fn read_header(header: &Value) -> Result<(Header, Digest), Problem> {
    let members = header.as_object().ok_or_else(|| header_fault("", "is not an object"))?;
    const KNOWN: [&str; 5] = ["alg", "typ", "cty", "iat", "x5t#S256"];
    if members.keys().any(|name| !KNOWN.contains(&name.as_str())) {
        return Err(header_fault("", &format!("may hold {} and nothing else", KNOWN.join(", "))));
    }
    let text = |name: &str| members.get(name).and_then(Value::as_str).unwrap_or_default();
    if text("typ") != TYPE {
        return Err(header_fault("/typ", "must be jose+json"));
    }
    if text("cty") != CONTENT_TYPE {
        return Err(header_fault("/cty", "must be cloudevents+json"));
    }
    let iat = members.get("iat").and_then(Value::as_i64).filter(|iat| (0..=253_402_300_799).contains(iat));
    let iat = iat.ok_or_else(|| header_fault("/iat", "must be whole seconds since 1970"))?;
    let thumbprint = Digest::parse(text("x5t#S256"));
    let thumbprint = thumbprint
        .ok_or_else(|| header_fault("/x5t#S256", "must be the base64url SHA-256 of a certificate"))?;
    let alg = match text("alg") {
        "ES256" => Algorithm::Es256,
        "ES384" => Algorithm::Es384,
        "EdDSA" => Algorithm::EdDsa,
        _ => return Err(Problem::new(Code::AlgorithmRefused).detail("/alg must be ES256, ES384 or EdDSA")),
    };
    let header = Header {
        alg,
        typ: TYPE.to_owned(),
        cty: CONTENT_TYPE.to_owned(),
        iat,
        x5t_s256: thumbprint.to_string(),
    };
    Ok((header, thumbprint))
}

fn malformed(pointer: &str, what: &str) -> Problem {
    let place = if pointer.is_empty() { "the message" } else { pointer };
    Problem::new(Code::JwsMalformed).detail(format!("{place} {what}"))
}

fn header_fault(pointer: &str, what: &str) -> Problem {
    let place = if pointer.is_empty() { "the protected header" } else { pointer };
    Problem::new(Code::HeaderInvalid).detail(format!("{place} {what}"))
}
