//! Certificate profiles of a gateway (RFC 5280): its own authorities, and what they issue.
//!
//! Pure: times and names come in, certificates and keys go out. No file and no clock.

use std::net::IpAddr;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, SerialNumber,
};
use ring::rand::{SecureRandom as _, SystemRandom};
use time::{Duration, OffsetDateTime};

/// Why a certificate could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// From the library that encodes certificates.
    #[error("certificate: {0}")]
    Encode(#[from] rcgen::Error),
    /// The system gives no random bytes.
    #[error("the operating system gives no random bytes")]
    Random,
}

/// A certificate with its key, both PEM. The key is PKCS#8.
#[derive(Clone)]
pub struct Issued {
    /// The certificate.
    pub certificate_pem: String,
    /// The certificate, DER.
    pub certificate_der: Vec<u8>,
    /// The private key.
    pub key_pem: String,
    /// Until when it is valid, seconds since 1970.
    pub until_s: i64,
}

/// A certificate authority that can issue.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
}

/// Clocks differ: what is issued now is valid for a peer five minutes behind.
const BACKDATE: Duration = Duration::minutes(5);

impl Authority {
    /// A new self-signed authority, valid ten years, that may sign leaves only.
    pub fn create(name: &str, now: OffsetDateTime) -> Result<(Self, Issued), CertificateError> {
        let mut params = params(name, now, Duration::days(3653))?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = params.self_signed(&key)?;
        let issued = Issued {
            certificate_pem: certificate.pem(),
            certificate_der: certificate.der().to_vec(),
            key_pem: key.serialize_pem(),
            until_s: params.not_after.unix_timestamp(),
        };
        Ok((Self { issuer: Issuer::new(params, key) }, issued))
    }

    /// An authority made before.
    pub fn load(certificate_pem: &str, key_pem: &str) -> Result<Self, CertificateError> {
        let key = KeyPair::from_pem(key_pem)?;
        Ok(Self { issuer: Issuer::from_ca_cert_pem(certificate_pem, key)? })
    }

    /// Issues a leaf of that profile.
    pub fn issue(&self, profile: &Profile, now: OffsetDateTime) -> Result<Issued, CertificateError> {
        let (params, key) = profile.params(now)?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Issued {
            certificate_pem: certificate.pem(),
            certificate_der: certificate.der().to_vec(),
            key_pem: key.serialize_pem(),
            until_s: params.not_after.unix_timestamp(),
        })
    }
}

/// What a leaf certificate is for.
#[derive(Clone, Debug)]
pub enum Profile {
    /// A gateway on the partner plane, as server and as client: the same name both ways.
    Gateway {
        /// The name that partners verify.
        host: String,
        /// More addresses it is reached at.
        addresses: Vec<IpAddr>,
    },
    /// The gateway on the national plane.
    NationalServer {
        /// Its name.
        host: String,
        /// More addresses it is reached at.
        addresses: Vec<IpAddr>,
    },
    /// A client of the national plane.
    NationalClient {
        /// `backend`, `operator` or `auditor`.
        role: String,
        /// The party of a back end, the name of another role.
        subject: String,
    },
}

impl Profile {
    fn params(&self, now: OffsetDateTime) -> Result<(CertificateParams, KeyPair), CertificateError> {
        let year = Duration::days(398);
        let mut params = match self {
            Profile::Gateway { host, addresses } => {
                let mut params = params(host, now, year)?;
                params.subject_alt_names = names(host, addresses)?;
                params.extended_key_usages =
                    vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
                params
            }
            Profile::NationalServer { host, addresses } => {
                let mut params = params(host, now, year)?;
                params.subject_alt_names = names(host, addresses)?;
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
                params
            }
            Profile::NationalClient { role, subject } => {
                let mut params = params(&format!("{role} {subject}"), now, year)?;
                let uri = format!("urn:silkgate:{role}:{subject}");
                params.subject_alt_names = vec![SanType::URI(uri.try_into()?)];
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
                params
            }
        };
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        Ok((params, KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?))
    }
}

/// A certificate that signs messages: self-signed, because partners register this very certificate
/// from our card; no authority could add to that.
pub fn message_signing(country: &str, now: OffsetDateTime) -> Result<Issued, CertificateError> {
    let mut params = params(&format!("Silkgate messages {country}"), now, Duration::days(730))?;
    params.subject_alt_names = vec![SanType::URI(format!("urn:silkgate:message:{country}").try_into()?)];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::ContentCommitment];
    params.is_ca = IsCa::ExplicitNoCa;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let certificate = params.self_signed(&key)?;
    Ok(Issued {
        certificate_pem: certificate.pem(),
        certificate_der: certificate.der().to_vec(),
        key_pem: key.serialize_pem(),
        until_s: params.not_after.unix_timestamp(),
    })
}

fn names(host: &str, addresses: &[IpAddr]) -> Result<Vec<SanType>, CertificateError> {
    let mut names = vec![SanType::DnsName(host.to_owned().try_into()?)];
    names.extend(addresses.iter().map(|address| SanType::IpAddress(*address)));
    Ok(names)
}

fn params(name: &str, now: OffsetDateTime, life: Duration) -> Result<CertificateParams, CertificateError> {
    let mut params = CertificateParams::default();
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    params.distinguished_name = subject;
    params.not_before = now - BACKDATE;
    params.not_after = now + life;
    // RFC 5280 §4.1.2.2: positive, at most 20 octets; 16 random ones with the sign bit cleared.
    let mut serial = [0; 16];
    SystemRandom::new().fill(&mut serial).map_err(|_| CertificateError::Random)?;
    serial[0] &= 0x7f;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    Ok(params)
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

    use super::*;

    fn now() -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(1_795_000_000).unwrap()
    }

    #[test]
    fn a_leaf_is_what_its_profile_says() {
        let (authority, root) = Authority::create("Silkgate TLS IQ", now()).unwrap();
        let profile =
            Profile::Gateway { host: "gw.iq.example".into(), addresses: vec![[127, 0, 0, 1].into()] };
        let leaf = authority.issue(&profile, now()).unwrap();
        let (_, root) = X509Certificate::from_der(&root.certificate_der).unwrap();
        let (_, leaf) = X509Certificate::from_der(&leaf.certificate_der).unwrap();
        leaf.verify_signature(Some(root.public_key())).unwrap();
        assert!(root.is_ca() && !leaf.is_ca());
        let usage = leaf.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.server_auth && usage.client_auth && !usage.any);
        let names = &leaf.subject_alternative_name().unwrap().unwrap().value.general_names;
        assert_eq!(names[0], GeneralName::DNSName("gw.iq.example"));
        assert_eq!(leaf.validity().not_before.timestamp(), now().unix_timestamp() - 300);
    }

    #[test]
    fn a_loaded_authority_issues_as_the_first_one() {
        let (_, root) = Authority::create("Silkgate national IQ", now()).unwrap();
        let again = Authority::load(&root.certificate_pem, &root.key_pem).unwrap();
        let profile = Profile::NationalClient { role: "backend".into(), subject: "IQ/customs".into() };
        let leaf = again.issue(&profile, now()).unwrap();
        let (_, root) = X509Certificate::from_der(&root.certificate_der).unwrap();
        let (_, leaf) = X509Certificate::from_der(&leaf.certificate_der).unwrap();
        leaf.verify_signature(Some(root.public_key())).unwrap();
        let names = &leaf.subject_alternative_name().unwrap().unwrap().value.general_names;
        assert_eq!(names[0], GeneralName::URI("urn:silkgate:backend:IQ/customs"));
        let usage = leaf.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.client_auth && !usage.server_auth);
    }

    #[test]
    fn a_message_certificate_is_no_authority() {
        let issued = message_signing("IQ", now()).unwrap();
        let (_, certificate) = X509Certificate::from_der(&issued.certificate_der).unwrap();
        assert!(!certificate.is_ca());
        let usage = certificate.key_usage().unwrap().unwrap().value;
        assert!(usage.digital_signature() && usage.non_repudiation() && !usage.key_cert_sign());
    }
}
