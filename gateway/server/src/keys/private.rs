//! Who signs: a private key of the home, in its file or in a token. Whoever has one does not know which.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, ensure};
use rustls::pki_types::{SubjectPublicKeyInfoDer, alg_id};
use rustls::sign::{Signer, SigningKey as TlsSigningKey};
use rustls::{SignatureAlgorithm, SignatureScheme};
use silkgate_ledger::Ed25519Key;
use silkgate_message::jws::{Algorithm, PrivateKey, Unsigned};
use silkgate_message::private_key::FileKey;

use super::token::{self, TokenKey};
use crate::config::Home;

/// A private key.
#[derive(Clone, Debug)]
pub struct Key {
    signs: Arc<dyn PrivateKey>,
    token: Option<Arc<TokenKey>>,
}

impl Key {
    /// Reads keys/NAME.key, which holds the key or names one in a token; refused where it signs otherwise.
    pub fn read(home: &Home, name: &str, algorithm: Algorithm) -> Result<Self> {
        let file = home.key(name);
        let unfit = || anyhow!("{}: not a key for {algorithm:?}", file.display());
        if let Some(key) = in_token(home, &file)? {
            ensure!(key.algorithm() == algorithm, unfit());
            return Ok(Self::from(key));
        }
        let pkcs8 = super::private_key(&file)?;
        let key = FileKey::from_pkcs8(pkcs8.secret_der(), algorithm).ok_or_else(unfit)?;
        Ok(Self { signs: Arc::new(key), token: None })
    }

    /// For messages.
    pub fn private(&self) -> Arc<dyn PrivateKey> {
        self.signs.clone()
    }

    /// For notes; the key must be one for Ed25519.
    pub fn ed25519(&self) -> Result<Arc<dyn Ed25519Key>> {
        let public =
            self.signs.public_key().try_into().ok().filter(|_| self.signs.algorithm() == Algorithm::EdDsa);
        let public = public.ok_or_else(|| anyhow!("not an Ed25519 key"))?;
        Ok(Arc::new(Notes { signs: self.signs.clone(), public }))
    }

    /// Where it is, if it is in a token.
    pub fn token(&self) -> Option<&Arc<TokenKey>> {
        self.token.as_ref()
    }
}

impl From<TokenKey> for Key {
    fn from(key: TokenKey) -> Self {
        let key = Arc::new(key);
        Self { signs: key.clone(), token: Some(key) }
    }
}

pub(super) fn in_token(home: &Home, file: &Path) -> Result<Option<TokenKey>> {
    let uri = token::named_by(file)?;
    let key = uri.map(|uri| TokenKey::open(home, uri)).transpose();
    key.with_context(|| file.display().to_string())
}

/// A key of TLS, and the token's where it is in one.
type Tls = (Arc<dyn TlsSigningKey>, Option<Arc<TokenKey>>);

/// The key of a TLS chain: one that rustls reads from a file, or one in a token.
pub(super) fn tls(home: &Home, name: &str) -> Result<Tls> {
    let file = home.key(name);
    match in_token(home, &file)? {
        Some(key) => {
            let key = Arc::new(key);
            Ok((Arc::new(Handshakes(key.clone())), Some(key)))
        }
        None => Ok((tls_file(&file)?, None)),
    }
}

/// The key of a TLS chain in a file.
pub(super) fn tls_file(file: &Path) -> Result<Arc<dyn TlsSigningKey>> {
    let key = super::private_key(file)?;
    rustls::crypto::ring::sign::any_supported_type(&key).with_context(|| file.display().to_string())
}

struct Notes {
    signs: Arc<dyn PrivateKey>,
    public: [u8; 32],
}

impl Ed25519Key for Notes {
    fn public_key(&self) -> [u8; 32] {
        self.public
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], String> {
        let signature = self.signs.sign(message).map_err(|Unsigned(why)| why)?;
        signature.try_into().map_err(|_| "a signature of another length".to_owned())
    }
}

/// A private key that signs handshakes.
#[derive(Debug)]
struct Handshakes(Arc<dyn PrivateKey>);

impl Handshakes {
    fn scheme(&self) -> SignatureScheme {
        match self.0.algorithm() {
            Algorithm::Es256 => SignatureScheme::ECDSA_NISTP256_SHA256,
            Algorithm::Es384 => SignatureScheme::ECDSA_NISTP384_SHA384,
            Algorithm::EdDsa => SignatureScheme::ED25519,
        }
    }
}

impl TlsSigningKey for Handshakes {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&self.scheme()).then(|| Box::new(Handshakes(self.0.clone())) as Box<dyn Signer>)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        let kind = match self.0.algorithm() {
            Algorithm::Es256 => alg_id::ECDSA_P256,
            Algorithm::Es384 => alg_id::ECDSA_P384,
            Algorithm::EdDsa => alg_id::ED25519,
        };
        Some(rustls::sign::public_key_to_spki(&kind, self.0.public_key()))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        match self.0.algorithm() {
            Algorithm::Es256 | Algorithm::Es384 => SignatureAlgorithm::ECDSA,
            Algorithm::EdDsa => SignatureAlgorithm::ED25519,
        }
    }
}

impl Signer for Handshakes {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        der_signature(&*self.0, message).map_err(|why| rustls::Error::General(why.to_string()))
    }

    fn scheme(&self) -> SignatureScheme {
        Handshakes::scheme(self)
    }
}

/// A signature as TLS and X.509 write it: of ECDSA a sequence of two integers (RFC 3279 §2.2.3).
pub(crate) fn der_signature(key: &dyn PrivateKey, message: &[u8]) -> Result<Vec<u8>, Unsigned> {
    let raw = key.sign(message)?;
    if key.algorithm() == Algorithm::EdDsa {
        return Ok(raw);
    }
    let (r, s) = raw.split_at(raw.len() / 2);
    Ok(tlv(0x30, [integer(r), integer(s)].concat()))
}

/// DER of a number without sign (X.690 §8.3): no leading zeros but the one that keeps it positive.
fn integer(number: &[u8]) -> Vec<u8> {
    let start = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
    let mut bytes = number.get(start..).unwrap_or_default().to_vec();
    if bytes.first().is_none_or(|first| first & 0x80 != 0) {
        bytes.insert(0, 0);
    }
    tlv(0x02, bytes)
}

/// Of at most 127 bytes: two numbers of P-384 are 102.
fn tlv(tag: u8, content: Vec<u8>) -> Vec<u8> {
    let length = u8::try_from(content.len()).unwrap_or_default();
    [vec![tag, length], content].concat()
}

#[cfg(test)]
mod tests {
    use ring::signature::{ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, UnparsedPublicKey};

    use super::*;

    #[test]
    fn signatures_of_ecdsa_are_written_in_der() {
        for (kind, algorithm) in [
            (&rcgen::PKCS_ECDSA_P256_SHA256, Algorithm::Es256),
            (&rcgen::PKCS_ECDSA_P384_SHA384, Algorithm::Es384),
        ] {
            let pair = rcgen::KeyPair::generate_for(kind).unwrap();
            let key = FileKey::from_pkcs8(pair.serialized_der(), algorithm).unwrap();
            let verifies: &dyn ring::signature::VerificationAlgorithm = match algorithm {
                Algorithm::Es256 => &ECDSA_P256_SHA256_ASN1,
                _ => &ECDSA_P384_SHA384_ASN1,
            };
            // A number begins with a zero byte in one of 128.
            for round in 0..600u32 {
                let message = round.to_be_bytes();
                let signature = der_signature(&key, &message).unwrap();
                assert!(
                    UnparsedPublicKey::new(verifies, key.public_key()).verify(&message, &signature).is_ok()
                );
            }
        }
        assert_eq!(integer(&[0, 0]), [2, 1, 0]);
        assert_eq!(integer(&[0, 0x80]), [2, 2, 0, 0x80]);
        assert_eq!(integer(&[0, 0x7f]), [2, 1, 0x7f]);
    }
}
