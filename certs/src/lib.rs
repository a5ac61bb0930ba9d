//! Certificate profiles of a gateway (RFC 5280): its own authorities, and what they issue.
//!
//! Pure: times and names come in, certificates and keys go out. No file and no clock.

mod holder;
mod identity;
mod revocation;

use std::net::IpAddr;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, SerialNumber,
};
use ring::rand::{SecureRandom as _, SystemRandom};
use time::{Duration, OffsetDateTime};
use x509_parser::pem::parse_x509_pem;

pub use holder::{Holder, message_signing_of, request};
pub use identity::{Identity, KeyAlgorithm, read_identity};

/// Why a certificate could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// From the library that encodes certificates.
    #[error("certificate: {0}")]
    Encode(#[from] rcgen::Error),
    /// The system gives no random bytes.
    #[error("the operating system gives no random bytes")]
    Random,
    /// Not one X.509 certificate (RFC 5280), or one with a field that cannot be read.
    #[error("this is no certificate or revocation list: its {0} cannot be read")]
    Unreadable(&'static str),
    /// The certificate may not issue others, or the key is another one's.
    #[error("this certificate and key cannot issue: {0}")]
    Authority(&'static str),
    /// A client whose role or subject no one could tell apart from another's.
    #[error("no client certificate for this role and subject: {0}")]
    Client(&'static str),
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

    /// An authority made before. A certificate that is no authority's, or a key that is not the
    /// certificate's, is refused here: what they issue would be refused by every peer, much later.
    pub fn load(certificate_pem: &str, key_pem: &str) -> Result<Self, CertificateError> {
        let key = KeyPair::from_pem(key_pem)?;
        let (_, block) = parse_x509_pem(certificate_pem.as_bytes())
            .map_err(|_| CertificateError::Unreadable("PEM (RFC 7468)"))?;
        let certificate = block.parse_x509().map_err(|_| CertificateError::Unreadable("DER"))?;
        if !certificate.is_ca() {
            return Err(CertificateError::Authority("the certificate is no authority's"));
        }
        if certificate.public_key().subject_public_key.data != key.public_key_raw() {
            return Err(CertificateError::Authority("the key is not the certificate's"));
        }
        Ok(Self { issuer: Issuer::from_ca_cert_pem(certificate_pem, key)? })
    }

    /// Issues a leaf of that profile, with a new key.
    pub fn issue(&self, profile: &Profile, now: OffsetDateTime) -> Result<Issued, CertificateError> {
        self.issue_with_names(profile, &[], now)
    }

    /// Issues a leaf of that profile that holds further DNS names behind the profile's own.
    pub fn issue_with_names(
        &self,
        profile: &Profile,
        names: &[&str],
        now: OffsetDateTime,
    ) -> Result<Issued, CertificateError> {
        let (mut params, key) = (profile.params(now)?, KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?);
        for name in names {
            params.subject_alt_names.push(SanType::DnsName((*name).try_into()?));
        }
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
    /// A client of the national plane: URI name `urn:silkgate:<role>:<subject>`.
    NationalClient {
        /// `backend`, `operator`, `auditor` or `data-protection`.
        role: String,
        /// The party of a back end, such as `IQ/general-customs-authority`; of another role a name
        /// of at most 48 letters, digits, `.`, `_` and `-`.
        subject: String,
    },
}

impl Profile {
    fn params(&self, now: OffsetDateTime) -> Result<CertificateParams, CertificateError> {
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
                check_client(role, subject)?;
                let mut params = params(&format!("{role} {subject}"), now, year)?;
                params.subject_alt_names = vec![SanType::URI(client_uri(role, subject).try_into()?)];
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
                params
            }
        };
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        Ok(params)
    }
}

/// What every URI name of ours begins with.
pub const CLIENT_URIS: &str = "urn:silkgate:";

/// The URI name of a client of the national plane.
pub fn client_uri(role: &str, subject: &str) -> String {
    format!("{CLIENT_URIS}{role}:{subject}")
}

/// A certificate that signs messages: self-signed, because partners register this very certificate
/// from our card; no authority could add to that.
pub fn message_signing(country: &str, now: OffsetDateTime) -> Result<Issued, CertificateError> {
    let params = message_params(country, now)?;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let certificate = params.self_signed(&key)?;
    Ok(Issued {
        certificate_pem: certificate.pem(),
        certificate_der: certificate.der().to_vec(),
        key_pem: key.serialize_pem(),
        until_s: params.not_after.unix_timestamp(),
    })
}

fn message_params(country: &str, now: OffsetDateTime) -> Result<CertificateParams, CertificateError> {
    let mut params = params(&format!("Silkgate messages {country}"), now, Duration::days(730))?;
    params.subject_alt_names = vec![SanType::URI(format!("urn:silkgate:message:{country}").try_into()?)];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::ContentCommitment];
    params.is_ca = IsCa::ExplicitNoCa;
    Ok(params)
}

/// The colon parts the URI's members and the slash parts a party: neither may stand in a name, so
/// that one URI can never be read as two different clients. 48 characters keep the common name, which
/// repeats role and subject, within its 64 (RFC 5280 appendix A.1, ub-common-name).
fn check_client(role: &str, subject: &str) -> Result<(), CertificateError> {
    let word = |text: &str| {
        (1..=48).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    };
    match role {
        "backend" => {
            let party = subject.split_once('/').is_some_and(|(country, slug)| {
                country.len() == 2 && country.bytes().all(|b| b.is_ascii_uppercase()) && word(slug)
            });
            if party { Ok(()) } else { Err(CertificateError::Client("a back end's subject is its party")) }
        }
        "operator" | "auditor" | "data-protection" if word(subject) => Ok(()),
        "operator" | "auditor" | "data-protection" => Err(CertificateError::Client(
            "the subject is a plain name: 1 to 48 letters, digits, `.`, `_` and `-`",
        )),
        _ => Err(CertificateError::Client("the role is backend, operator, auditor or data-protection")),
    }
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
