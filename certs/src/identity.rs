//! What a certificate says of its holder. Reading is not believing: nothing here verifies a chain.

use std::net::IpAddr;

use ring::digest::{SHA256, digest};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::CertificateError;

/// The names, times and key of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// URI subject alternative names, in their order (RFC 5280 §4.2.1.6).
    pub uris: Vec<String>,
    /// DNS subject alternative names, in their order, as written.
    pub dns: Vec<String>,
    /// IP address subject alternative names, in their order.
    pub ips: Vec<IpAddr>,
    /// Valid from.
    pub not_before: OffsetDateTime,
    /// Valid until, inclusive (RFC 5280 §4.1.2.5).
    pub not_after: OffsetDateTime,
    /// SHA-256 of the DER: `x5t#S256` before its base64url (RFC 7515 §4.1.8).
    pub sha256: [u8; 32],
    /// The algorithm of its public key.
    pub key: KeyAlgorithm,
}

impl Identity {
    /// Whether the certificate is within its time at `at`.
    pub fn is_current(&self, at: OffsetDateTime) -> bool {
        self.not_before <= at && at <= self.not_after
    }
}

/// Kinds of public key that a gateway's certificates have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyAlgorithm {
    /// ECDSA on P-256 (RFC 5480 §2.1.1.1: secp256r1).
    EcdsaP256,
    /// ECDSA on P-384 (RFC 5480 §2.1.1.1: secp384r1).
    EcdsaP384,
    /// Ed25519 (RFC 8410 §3).
    Ed25519,
    /// Any other: neither plane and no signature takes it.
    Other,
}

/// Reads one certificate, DER, with nothing behind it.
pub fn read_identity(certificate_der: &[u8]) -> Result<Identity, CertificateError> {
    let (rest, certificate) =
        X509Certificate::from_der(certificate_der).map_err(|_| CertificateError::Unreadable("DER"))?;
    if !rest.is_empty() {
        return Err(CertificateError::Unreadable("end"));
    }
    let unreadable = |_| CertificateError::Unreadable("subject alternative name");
    let names = certificate.subject_alternative_name().map_err(unreadable)?;
    let names = names.map_or(&[][..], |names| &names.value.general_names);
    let (mut uris, mut dns, mut ips) = (Vec::new(), Vec::new(), Vec::new());
    for name in names {
        match name {
            GeneralName::URI(uri) => uris.push((*uri).to_owned()),
            GeneralName::DNSName(name) => dns.push((*name).to_owned()),
            GeneralName::IPAddress(octets) => {
                ips.push(address(octets).ok_or(CertificateError::Unreadable("IP address"))?);
            }
            _ => {}
        }
    }
    let at = |seconds| {
        OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| CertificateError::Unreadable("validity"))
    };
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(digest(&SHA256, certificate_der).as_ref());
    Ok(Identity {
        uris,
        dns,
        ips,
        not_before: at(certificate.validity().not_before.timestamp())?,
        not_after: at(certificate.validity().not_after.timestamp())?,
        sha256,
        key: key_algorithm(&certificate),
    })
}

/// Four octets or sixteen (RFC 5280 §4.2.1.6).
fn address(octets: &[u8]) -> Option<IpAddr> {
    match octets.len() {
        4 => <[u8; 4]>::try_from(octets).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(octets).ok().map(IpAddr::from),
        _ => None,
    }
}

fn key_algorithm(certificate: &X509Certificate<'_>) -> KeyAlgorithm {
    let algorithm = &certificate.public_key().algorithm;
    let curve = algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
    let curve = curve.map(|oid| oid.to_id_string());
    // RFC 5480 §2.1.1 and §2.1.1.1; RFC 8410 §3.
    match (algorithm.algorithm.to_id_string().as_str(), curve.as_deref()) {
        ("1.2.840.10045.2.1", Some("1.2.840.10045.3.1.7")) => KeyAlgorithm::EcdsaP256,
        ("1.2.840.10045.2.1", Some("1.3.132.0.34")) => KeyAlgorithm::EcdsaP384,
        ("1.3.101.112", None) => KeyAlgorithm::Ed25519,
        _ => KeyAlgorithm::Other,
    }
}
