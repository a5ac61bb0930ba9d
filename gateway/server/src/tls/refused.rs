//! Why a handshake failed, for an operator: what is wrong, with which certificate, and what to do about it.

use std::cell::Cell;
use std::future::Future;
use std::io;

use rustls::AlertDescription as Alert;
use rustls::{CertificateError, Error};
use rustls_pki_types::CertificateDer;
use silkgate_certs::read_identity;
use silkgate_message::instant::Instant;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::fit::Unfit;
use super::words;

/// The longest text that is told of a certificate: whoever made it writes there what it likes.
const TEXT_MAX: usize = 120;
/// The longest reason.
const REASON_MAX: usize = 300;
/// Names of a certificate that are told, at most.
const NAMES_MAX: usize = 4;

macro_rules! faults {
    ($($fault:ident $code:literal $remedy:literal)+) => {
        /// What is wrong.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Fault { $(#[doc = $remedy] $fault),+ }

        impl Fault {
            /// Its code.
            pub fn code(self) -> &'static str {
                match self { $(Self::$fault => $code),+ }
            }

            /// What to do about it.
            pub fn remedy(self) -> &'static str {
                match self { $(Self::$fault => $remedy),+ }
            }
        }
    };
}

faults! {
    Missing "certificate_missing" "none where it is a probe; a gateway must show its certificate"
    Malformed "certificate_malformed" "its operator issues it anew: it cannot be read to its last byte (RFC 5280)"
    Expired "certificate_expired" "its operator renews it, or the authority above it; where it is current there, set the clocks"
    NotYetValid "certificate_not_yet_valid" "its operator waits for its first day; where it has come there, set the clocks"
    Issuer "certificate_issuer" "its operator shows the whole chain under the card's authority; if that changed, exchange cards"
    IssuerUnfit "certificate_issuer_unfit" "its operator issues it under an authority that may sign certificates"
    IsAuthority "certificate_is_authority" "its operator issues a certificate that is no authority's for the gateway"
    Chain "certificate_chain" "its operator issues it with fewer authorities between it and the card's"
    Constraint "certificate_constraint" "its operator issues it under an authority that may name this host"
    Signature "certificate_signature" "its operator has it signed with ECDSA and SHA-256 or SHA-384, or Ed25519; altered bytes are nobody's"
    Possession "certificate_possession" "who shows it has not proved its key: its operator sets the key that is the certificate's"
    Name "certificate_name" "its operator issues it for the host of the card, written out as a DNS name, and for no other partner"
    Purpose "certificate_purpose" "its operator issues it for serverAuth and clientAuth"
    Usage "certificate_usage" "its operator issues it with the key usage digitalSignature"
    Key "certificate_key" "its operator makes a key on P-256 or P-384, or Ed25519"
    Extension "certificate_extension" "its operator issues it without critical extensions that are not known"
    Revoked "certificate_revoked" "its authority has revoked it: who shows it may have stolen it; tell the partner"
    ListExpired "revocation_list_expired" "fetch the partner's newest list: silkgate partner crl"
    ListMissing "revocation_list_missing" "its operator issues it directly under the card's authority, whose list is in force"
    OursRefused "certificate_ours_refused" "the peer does not take our certificate: ask its operator for the line of its log"
    Unlike "tls_unlike" "the peer speaks TLS 1.3 with a key exchange that the agreement wants"
    Late "handshake_late" "none where it is a probe; else look at the line to the peer"
    Broken "handshake_broken" "none where it is a probe; else look at the line to the peer and at its log"
    Other "handshake_refused" "give the reason to the peer's operator"
}

/// A handshake that failed.
#[derive(Debug)]
pub struct Refused {
    /// What is wrong.
    pub fault: Fault,
    /// In the library's words.
    pub reason: String,
    /// The certificate that the peer showed for itself.
    pub shown: Option<Shown>,
}

/// What a certificate that was refused says of itself, in one line. Nobody has proved any of it.
#[derive(Debug)]
pub struct Shown(String);

impl Shown {
    /// The line.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a verifier saw in the handshake of this task.
#[derive(Default)]
struct Seen {
    leaf: Option<CertificateDer<'static>>,
    is_believed: bool,
}

tokio::task_local! {
    /// A failed handshake leaves no connection to ask, and the library's errors name no certificate.
    static SEEN: Cell<Seen>;
}

/// A certificate is about to be judged.
pub(super) fn judging(leaf: &CertificateDer<'_>) {
    let seen = Seen { leaf: Some(leaf.clone().into_owned()), is_believed: false };
    // Outside of `explained` nobody asks.
    let _ = SEEN.try_with(|cell| cell.set(seen));
}

/// It was found to be the peer's, which has yet to prove that it holds the key.
pub(super) fn believed() {
    let _ = SEEN.try_with(|cell| {
        let seen = cell.take();
        cell.set(Seen { is_believed: true, ..seen });
    });
}

/// A handshake, and why it failed beside the library's error.
pub async fn explained<T>(
    handshake: impl Future<Output = io::Result<T>>,
) -> Result<T, (io::Error, Box<Refused>)> {
    let run = async {
        handshake.await.map_err(|error| {
            let refused = Refused::new(&error, SEEN.with(Cell::take));
            (error, Box::new(refused))
        })
    };
    SEEN.scope(Cell::default(), run).await
}

impl Refused {
    /// One that did not end in time.
    pub fn late() -> Self {
        Self { fault: Fault::Late, reason: "the handshake took too long".to_owned(), shown: None }
    }

    fn new(error: &io::Error, seen: Seen) -> Self {
        let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>());
        let fault = match cause {
            Some(Error::InvalidCertificate(CertificateError::BadSignature)) if seen.is_believed => {
                Fault::Possession
            }
            Some(cause) => fault(cause),
            None => Fault::Broken,
        };
        let reason = cause.map_or_else(|| error.to_string(), words);
        Self { fault, reason: short(&reason, REASON_MAX), shown: seen.leaf.map(|leaf| Shown::read(&leaf)) }
    }
}

impl Shown {
    fn read(leaf: &CertificateDer<'_>) -> Self {
        let sha256 = hex(ring::digest::digest(&ring::digest::SHA256, leaf).as_ref());
        let Ok((_, certificate)) = X509Certificate::from_der(leaf) else {
            return Self(format!("SHA-256 {sha256}, not readable"));
        };
        let names = read_identity(leaf).map(|identity| identity.dns).unwrap_or_default();
        let names =
            names.iter().take(NAMES_MAX).map(|name| short(name, TEXT_MAX)).collect::<Vec<_>>().join(" ");
        let until = Instant::from_seconds(certificate.validity().not_after.timestamp());
        Self(format!(
            "SHA-256 {sha256}, serial {}, of `{}` for `{names}`, issued by `{}`, until {until}",
            short(&hex(certificate.raw_serial()), TEXT_MAX),
            short(&certificate.subject().to_string(), TEXT_MAX),
            short(&certificate.issuer().to_string(), TEXT_MAX),
        ))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// In one line, and not too long.
fn short(text: &str, most: usize) -> String {
    let one_line = text.chars().map(|c| if c.is_control() { '?' } else { c });
    let mut kept: String = one_line.clone().take(most).collect();
    if one_line.count() > most {
        kept.push('…');
    }
    kept
}

/// What is wrong, by the library's error.
pub fn fault(error: &Error) -> Fault {
    match error {
        Error::NoCertificatesPresented => Fault::Missing,
        Error::PeerIncompatible(_) => Fault::Unlike,
        Error::InvalidCertificate(error) => fault_of_certificate(error),
        // RFC 8446 §6.2
        Error::AlertReceived(alert) => match alert {
            Alert::ProtocolVersion | Alert::HandshakeFailure | Alert::InsufficientSecurity => Fault::Unlike,
            Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
            | Alert::DecryptError
            | Alert::CertificateRequired => Fault::OursRefused,
            _ => Fault::Other,
        },
        _ => Fault::Other,
    }
}

fn fault_of_certificate(error: &CertificateError) -> Fault {
    use CertificateError as E;
    match error {
        E::BadEncoding => Fault::Malformed,
        E::Expired | E::ExpiredContext { .. } => Fault::Expired,
        E::NotValidYet | E::NotValidYetContext { .. } => Fault::NotYetValid,
        E::Revoked => Fault::Revoked,
        E::UnhandledCriticalExtension => Fault::Extension,
        E::UnknownIssuer => Fault::Issuer,
        E::UnknownRevocationStatus => Fault::ListMissing,
        E::ExpiredRevocationList | E::ExpiredRevocationListContext { .. } => Fault::ListExpired,
        E::BadSignature
        | E::UnsupportedSignatureAlgorithmContext { .. }
        | E::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => Fault::Signature,
        E::NotValidForName | E::NotValidForNameContext { .. } => Fault::Name,
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => Fault::Purpose,
        E::Other(own) => match own.0.downcast_ref::<Unfit>() {
            Some(Unfit::Purpose) => Fault::Purpose,
            Some(Unfit::Usage) => Fault::Usage,
            Some(Unfit::Signer) => Fault::IssuerUnfit,
            Some(Unfit::Key) => Fault::Key,
            None => fault_by_name(&own.0.to_string()),
        },
        _ => Fault::Other,
    }
}

/// What webpki says by its name only.
fn fault_by_name(name: &str) -> Fault {
    let is = |part: &str| name.contains(part);
    if is("PathLen") || is("MaximumPath") {
        Fault::Chain
    } else if is("Constraint") {
        Fault::Constraint
    } else if is("EndEntityUsedAsCa") {
        Fault::IssuerUnfit
    } else if is("CaUsedAsEndEntity") {
        Fault::IsAuthority
    } else if is("CriticalExtension") {
        Fault::Extension
    } else if is("Signature") {
        Fault::Signature
    } else if is("Der") || is("Version") || is("Malformed") || is("Trailing") {
        Fault::Malformed
    } else {
        Fault::Other
    }
}
