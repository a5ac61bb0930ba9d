//! Who signs messages: a private key, wherever it is kept.

use std::fmt;

use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _,
};

use crate::jws::Algorithm;

/// A private key, in memory or in hardware that signs and gives no key away.
pub trait PrivateKey: Send + Sync + fmt::Debug {
    /// How it signs.
    fn algorithm(&self) -> Algorithm;
    /// The public half: the uncompressed point (SEC 1 §2.3.3) or the 32 bytes of Ed25519.
    fn public_key(&self) -> &[u8];
    /// A raw signature, as [`Algorithm::verify`] takes it.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Unsigned>;
}

/// Why there is no signature: the system gives no random bytes, or hardware is away.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the key does not sign: {0}")]
pub struct Unsigned(pub String);

/// A key in memory.
pub struct FileKey {
    pair: Pair,
    rng: SystemRandom,
}

enum Pair {
    Ecdsa(Algorithm, EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl FileKey {
    /// Reads PKCS#8 DER; None where that is no key for `algorithm`.
    pub fn from_pkcs8(pkcs8: &[u8], algorithm: Algorithm) -> Option<Self> {
        let rng = SystemRandom::new();
        let kind = match algorithm {
            Algorithm::Es256 => &ECDSA_P256_SHA256_FIXED_SIGNING,
            Algorithm::Es384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
            Algorithm::EdDsa => {
                let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8).ok()?;
                return Some(Self { pair: Pair::Ed(pair), rng });
            }
        };
        let pair = Pair::Ecdsa(algorithm, EcdsaKeyPair::from_pkcs8(kind, pkcs8, &rng).ok()?);
        Some(Self { pair, rng })
    }
}

impl PrivateKey for FileKey {
    fn algorithm(&self) -> Algorithm {
        match &self.pair {
            Pair::Ecdsa(algorithm, _) => *algorithm,
            Pair::Ed(_) => Algorithm::EdDsa,
        }
    }

    fn public_key(&self) -> &[u8] {
        match &self.pair {
            Pair::Ecdsa(_, pair) => pair.public_key().as_ref(),
            Pair::Ed(pair) => pair.public_key().as_ref(),
        }
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Unsigned> {
        match &self.pair {
            Pair::Ecdsa(_, pair) => match pair.sign(&self.rng, message) {
                Ok(signature) => Ok(signature.as_ref().to_vec()),
                Err(_) => Err(Unsigned("no random bytes".to_owned())),
            },
            Pair::Ed(pair) => Ok(pair.sign(message).as_ref().to_vec()),
        }
    }
}

impl fmt::Debug for FileKey {
    /// Nothing of the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileKey({:?})", self.algorithm())
    }
}
