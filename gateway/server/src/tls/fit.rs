//! What a gateway's certificate must be beside its chain: for both purposes, with its name written out, under a key of our kinds.
//!
//! The path (RFC 5280 §6: signatures, validity, constraints of names and length, revocation) is webpki's. What it would let pass is held
//! here: a certificate without a purpose, a wildcard, the name in the common name only.

use std::sync::Arc;

use rustls::{CertificateError, Error, OtherError};
use rustls_pki_types::CertificateDer;
use silkgate_certs::{KeyAlgorithm, read_identity};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Why a certificate is not a gateway's.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// RFC 5280 §4.2.1.12: a gateway's is for servers and for clients, and says so.
    #[error("the certificate is not for both serverAuth and clientAuth")]
    Purpose,
    /// RFC 8446 §4.4.2.2: where it says what its key is for, that is digital signatures. webpki does not ask.
    #[error("the certificate's key usage is not digitalSignature")]
    Usage,
    /// RFC 5280 §4.2.1.3: who signs certificates says so. webpki does not ask.
    #[error("a certificate behind it is not for signing certificates")]
    Signer,
    /// Neither ECDSA on P-256 or P-384, nor Ed25519.
    #[error("the certificate's key is of no kind that is taken: P-256, P-384 or Ed25519")]
    Key,
}

/// What a leaf says of itself.
pub(super) struct Leaf {
    /// Its DNS names, as written.
    names: Vec<String>,
    /// The last second it is valid.
    pub(super) until_s: u64,
    is_for_both: bool,
    may_sign: bool,
    key: KeyAlgorithm,
}

impl Leaf {
    /// Reads a certificate; one that cannot be read is nobody's.
    pub(super) fn read(certificate: &CertificateDer<'_>) -> Result<Self, Error> {
        let bad = Error::InvalidCertificate(CertificateError::BadEncoding);
        let identity = read_identity(certificate).map_err(|_| bad.clone())?;
        let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| bad.clone())?;
        let usage = parsed.extended_key_usage().map_err(|_| bad.clone())?;
        let own = parsed.key_usage().map_err(|_| bad.clone())?;
        let until_s = u64::try_from(identity.not_after.unix_timestamp()).map_err(|_| bad)?;
        Ok(Self {
            names: identity.dns,
            until_s,
            is_for_both: usage.is_some_and(|usage| usage.value.server_auth && usage.value.client_auth),
            may_sign: own.is_none_or(|own| own.value.digital_signature()),
            key: identity.key,
        })
    }

    /// Whether `host` is among its names, whole. RFC 4343: DNS names are compared without case.
    pub(super) fn has_name(&self, host: &str) -> bool {
        self.names.iter().any(|name| name.eq_ignore_ascii_case(host))
    }

    /// An error where it is not a gateway's of that name.
    pub(super) fn fits(&self, host: &str) -> Result<(), Error> {
        if !self.has_name(host) {
            return Err(Error::InvalidCertificate(CertificateError::NotValidForName));
        }
        if !self.is_for_both {
            return unfit(Unfit::Purpose);
        }
        if !self.may_sign {
            return unfit(Unfit::Usage);
        }
        if self.key == KeyAlgorithm::Other {
            return unfit(Unfit::Key);
        }
        Ok(())
    }
}

/// An error where one of a path's authorities is not for signing certificates.
pub(super) fn may_all_sign(authorities: &[CertificateDer<'_>]) -> Result<(), Error> {
    if authorities.iter().all(may_sign) { Ok(()) } else { unfit(Unfit::Signer) }
}

fn unfit(why: Unfit) -> Result<(), Error> {
    Err(Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(why)))))
}

/// By its key usage, where it has one.
fn may_sign(certificate: &CertificateDer<'_>) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return false };
    certificate.key_usage().is_ok_and(|usage| usage.is_none_or(|usage| usage.value.key_cert_sign()))
}
