//! Lists of revoked certificates (RFC 5280 §5): read, and held against who signed them.

use std::collections::BTreeSet;

use time::OffsetDateTime;
use x509_parser::asn1_rs::Any;
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};

/// Not one list, or one with a field that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("this is no revocation list: its {0} cannot be read")]
pub struct Unreadable(&'static str);

/// A list, as it says of itself. Reading is not believing: see [`RevocationList::is_by`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationList {
    /// The issuer's name, DER.
    pub issuer: Vec<u8>,
    /// Counts the issuer's lists (RFC 5280 §5.2.3), big-endian without leading zeros.
    pub number: Vec<u8>,
    /// When it was made.
    pub this_update: OffsetDateTime,
    /// When it runs out.
    pub next_update: OffsetDateTime,
    /// The serial numbers of revoked certificates, as they are encoded.
    pub serials: BTreeSet<Vec<u8>>,
}

impl RevocationList {
    /// Reads one list, DER, with nothing behind it. One without number or end is refused: nobody could tell when to stop believing it.
    pub fn read(der: &[u8]) -> Result<Self, Unreadable> {
        let (rest, list) = CertificateRevocationList::from_der(der).map_err(|_| Unreadable("DER"))?;
        if !rest.is_empty() {
            return Err(Unreadable("end"));
        }
        let at = |time: x509_parser::prelude::ASN1Time| {
            OffsetDateTime::from_unix_timestamp(time.timestamp()).map_err(|_| Unreadable("time"))
        };
        let number = list.crl_number().ok_or(Unreadable("CRL number"))?.to_bytes_be();
        let next_update = list.next_update().ok_or(Unreadable("nextUpdate"))?;
        Ok(Self {
            issuer: list.issuer().as_raw().to_vec(),
            number,
            this_update: at(list.last_update())?,
            next_update: at(next_update)?,
            serials: list.iter_revoked_certificates().map(|revoked| revoked.raw_serial().to_vec()).collect(),
        })
    }

    /// Whether the holder of that certificate signed the list `der`.
    pub fn is_by(der: &[u8], issuer_der: &[u8]) -> bool {
        let list = CertificateRevocationList::from_der(der);
        let (Ok((_, list)), Ok((_, issuer))) = (list, X509Certificate::from_der(issuer_der)) else {
            return false;
        };
        let may_sign = match issuer.key_usage() {
            Ok(usage) => usage.is_none_or(|usage| usage.value.crl_sign()),
            Err(_) => false,
        };
        may_sign
            && list.issuer().as_raw() == issuer.subject().as_raw()
            && list.signature_value.unused_bits == 0
            && names_its_algorithm_once(der)
            && list.verify_signature(issuer.public_key()).is_ok()
    }

    /// Whether a list is newer than another one of the same issuer.
    pub fn is_newer_than(&self, other: &Self) -> bool {
        let counted = |list: &Self| (list.number.len(), list.number.clone());
        counted(self) > counted(other) && self.this_update >= other.this_update
    }

    /// Whether it revokes that certificate, which its issuer made.
    pub fn revokes(&self, certificate_der: &[u8]) -> bool {
        X509Certificate::from_der(certificate_der).is_ok_and(|(_, certificate)| {
            certificate.issuer().as_raw() == self.issuer && self.serials.contains(certificate.raw_serial())
        })
    }
}

/// Whether beside the signature stands the algorithm that is signed (RFC 5280 §5.1.1.2), byte for byte: nothing of a list may change unseen.
fn names_its_algorithm_once(der: &[u8]) -> bool {
    fn read(der: &[u8]) -> Option<bool> {
        let (_, list) = Any::from_der(der).ok()?;
        let (beside, signed) = Any::from_der(list.data).ok()?;
        let (signature, _) = Any::from_der(beside).ok()?;
        let (algorithm, _version) = Any::from_der(signed.data).ok()?;
        Some(algorithm.starts_with(beside.strip_suffix(signature)?))
    }
    read(der).unwrap_or(false)
}

/// Whether the holder of one certificate signed the other, as an authority may.
pub fn is_issued_by(certificate_der: &[u8], issuer_der: &[u8]) -> bool {
    let (certificate, issuer) =
        (X509Certificate::from_der(certificate_der), X509Certificate::from_der(issuer_der));
    let (Ok((_, certificate)), Ok((_, issuer))) = (certificate, issuer) else { return false };
    issuer.is_ca()
        && certificate.issuer().as_raw() == issuer.subject().as_raw()
        && certificate.verify_signature(Some(issuer.public_key())).is_ok()
}

/// The serial number of a certificate, as it is encoded.
pub fn serial(certificate_der: &[u8]) -> Option<Vec<u8>> {
    X509Certificate::from_der(certificate_der).ok().map(|(_, certificate)| certificate.raw_serial().to_vec())
}
