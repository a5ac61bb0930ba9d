//! Signatures of requests (RFC 9421) over their digest (RFC 9530): whoever is told something can prove that the gateway told it, and
//! that the request went to this address, whatever ended TLS on the way.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use silkgate_message::instant::Instant;
use silkgate_message::jws::Digest;

use crate::store::push::Push;

/// The label of our signature in both fields.
const LABEL: &str = "silkgate";
/// What the signature is for (RFC 9421 §2.3, `tag`): a signature made for something else is none.
const TAG: &str = "silkgate-delivery";
/// An Ed25519 public key before its 32 bytes, as SubjectPublicKeyInfo (RFC 8410 §4).
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The key that signs what is pushed.
pub struct PushKey {
    key: Ed25519KeyPair,
    id: String,
}

impl PushKey {
    /// From PKCS#8; None where it is no Ed25519 key.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Option<Self> {
        let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8).ok()?;
        let id = hex(&Digest::of(&spki(&key)).0);
        Some(Self { key, id })
    }

    /// `keyid`: SHA-256 of the public key as SubjectPublicKeyInfo, in hexadecimal.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Signs where a back end is told. What it signs of a request begins otherwise.
    pub fn sign_endpoint(&self, row: &Push) -> Vec<u8> {
        self.key.sign(&row.signed_text()).as_ref().to_vec()
    }

    /// Whether that is what an operator with this home set.
    pub fn made(&self, row: &Push) -> bool {
        let key = UnparsedPublicKey::new(&ED25519, self.key.public_key().as_ref());
        key.verify(&row.signed_text(), &row.signature).is_ok()
    }

    /// The public key as SubjectPublicKeyInfo, PEM.
    pub fn public_pem(&self) -> String {
        pem::encode(&pem::Pem::new("PUBLIC KEY", spki(&self.key)))
    }
}

/// The values of the fields that a signed request has.
pub struct Signed {
    /// `Content-Digest`.
    pub digest: String,
    /// `Signature-Input`.
    pub input: String,
    /// `Signature`.
    pub signature: String,
}

/// Signs a `POST` of `body` to `uri`, which the receiver sees as it stands here.
pub fn sign(key: &PushKey, uri: &str, content_type: &str, body: &[u8], now: Instant) -> Signed {
    let digest = format!("sha-256=:{}:", STANDARD.encode(Digest::of(body).0));
    let components = [
        ("@method", "POST"),
        ("@target-uri", uri),
        ("content-type", content_type),
        ("content-digest", &digest),
    ];
    let parameters = format!(";created={};keyid=\"{}\";alg=\"ed25519\";tag=\"{TAG}\"", now.seconds(), key.id);
    let (parameters, base) = base(&components, &parameters);
    let signature = STANDARD.encode(key.key.sign(base.as_bytes()));
    Signed { input: format!("{LABEL}={parameters}"), signature: format!("{LABEL}=:{signature}:"), digest }
}

/// The signature's parameters with the components it covers (RFC 9421 §2.3), and what is signed (§2.5).
fn base(components: &[(&str, &str)], parameters: &str) -> (String, String) {
    let names: Vec<String> = components.iter().map(|(name, _)| format!("\"{name}\"")).collect();
    let parameters = format!("({}){parameters}", names.join(" "));
    let mut base = String::new();
    for (name, value) in components {
        let _ = writeln!(base, "\"{name}\": {value}");
    }
    let _ = write!(base, "\"@signature-params\": {parameters}");
    (parameters, base)
}

fn spki(key: &Ed25519KeyPair) -> Vec<u8> {
    [&SPKI, key.public_key().as_ref()].concat()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9421 appendix B.2.6, with the key of B.1.4.
    #[test]
    fn the_standards_own_signature() {
        let seed = "n4Ni-HpISpVObnQMW0wOhCKROaIKqKtW_2ZYb2p9KcU";
        let seed = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(seed).unwrap();
        let key = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
        let components = [
            ("date", "Tue, 20 Apr 2021 02:07:55 GMT"),
            ("@method", "POST"),
            ("@path", "/foo"),
            ("@authority", "example.com"),
            ("content-type", "application/json"),
            ("content-length", "18"),
        ];
        let (parameters, base) = base(&components, ";created=1618884473;keyid=\"test-key-ed25519\"");
        assert_eq!(
            parameters,
            "(\"date\" \"@method\" \"@path\" \"@authority\" \"content-type\" \"content-length\")\
             ;created=1618884473;keyid=\"test-key-ed25519\""
        );
        assert_eq!(
            STANDARD.encode(key.sign(base.as_bytes())),
            "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw=="
        );
    }
}
