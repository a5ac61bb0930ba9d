//! Certificates of keys that stay where they are: in a file of their own, or in hardware.

use rcgen::{Error, PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm, SigningKey};
use time::OffsetDateTime;

use crate::{Authority, CertificateError, Profile, message_params};

/// Who holds the key of a certificate that is to be made: ECDSA on P-256.
pub trait Holder {
    /// The uncompressed point (SEC 1 §2.3.3).
    fn public_key(&self) -> &[u8];
    /// A signature over SHA-256, DER (RFC 3279 §2.2.3); None where the key cannot be reached.
    fn sign(&self, message: &[u8]) -> Option<Vec<u8>>;
}

struct Held<'h>(&'h dyn Holder);

impl PublicKeyData for Held<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0.public_key()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl SigningKey for Held<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.0.sign(message).ok_or(Error::RemoteKeyError)
    }
}

/// [`crate::message_signing`] of a key that is there already; PEM.
pub fn message_signing_of(
    holder: &dyn Holder,
    country: &str,
    now: OffsetDateTime,
) -> Result<String, CertificateError> {
    Ok(message_params(country, now)?.self_signed(&Held(holder))?.pem())
}

/// A request (PKCS #10, RFC 2986) for a leaf of that profile, for an authority that is elsewhere; PEM.
pub fn request(
    holder: &dyn Holder,
    profile: &Profile,
    now: OffsetDateTime,
) -> Result<String, CertificateError> {
    let mut params = profile.params(now)?;
    // What the authority decides.
    params.serial_number = None;
    params.use_authority_key_identifier_extension = false;
    Ok(params.serialize_request(&Held(holder))?.pem()?)
}

impl Authority {
    /// Issues a leaf of that profile for a key that is there already; PEM.
    pub fn issue_of(
        &self,
        holder: &dyn Holder,
        profile: &Profile,
        now: OffsetDateTime,
    ) -> Result<String, CertificateError> {
        Ok(profile.params(now)?.signed_by(&Held(holder), &self.issuer)?.pem())
    }
}
