//! Who signs: an Ed25519 private key, wherever it is kept.

use ring::signature::{Ed25519KeyPair, KeyPair as _};

use crate::note::KeyError;

/// An Ed25519 private key (RFC 8032 §5.1), in memory or in hardware that signs and gives no key away.
pub trait Ed25519Key: Send + Sync {
    /// The public half.
    fn public_key(&self) -> [u8; 32];
    /// The signature, or why there is none: hardware can be away.
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], String>;
}

/// A key in memory.
pub(crate) struct FileKey {
    pair: Ed25519KeyPair,
    public_key: [u8; 32],
}

impl FileKey {
    /// PKCS #8 DER, version 1 (as OpenSSL writes it) or 2; the public key of version 2 must fit.
    pub(crate) fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8).map_err(|_| KeyError::Pkcs8)?;
        let public_key = pair.public_key().as_ref().try_into().map_err(|_| KeyError::Pkcs8)?;
        Ok(Self { pair, public_key })
    }
}

impl Ed25519Key for FileKey {
    fn public_key(&self) -> [u8; 32] {
        self.public_key
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], String> {
        let signature = self.pair.sign(message);
        signature.as_ref().try_into().map_err(|_| "a signature of another length".to_owned())
    }
}
