//! Whose signature it is: the certificate that the signature names, what it is for, and who vouches for it.

use std::time::Duration;

use der::Tag;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert, ring as algorithms};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer as _;

use crate::TimestampError;
use crate::element::{Element, Elements, context, malformed};
use crate::signed_data::{Sha, SignedData, SignerName};

/// id-kp-timeStamping (RFC 3161 §2.3), the content of the OID.
const TIME_STAMPING: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x08];
/// rsaEncryption with NULL, as the content of an AlgorithmIdentifier: in CMS the digest stands apart from it (RFC 3370 §3.2).
const RSA_ENCRYPTION: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
const ESS: &str = "the attribute that names the signer's certificate is malformed (RFC 5816)";

/// What may verify a signature of the token or of a certificate above it, and the digest that goes with it.
static ALGORITHMS: [(Option<Sha>, &dyn SignatureVerificationAlgorithm); 11] = [
    (Some(Sha::Sha256), algorithms::ECDSA_P256_SHA256),
    (Some(Sha::Sha384), algorithms::ECDSA_P256_SHA384),
    (Some(Sha::Sha256), algorithms::ECDSA_P384_SHA256),
    (Some(Sha::Sha384), algorithms::ECDSA_P384_SHA384),
    (None, algorithms::ED25519),
    (Some(Sha::Sha256), algorithms::RSA_PKCS1_2048_8192_SHA256),
    (Some(Sha::Sha384), algorithms::RSA_PKCS1_2048_8192_SHA384),
    (Some(Sha::Sha512), algorithms::RSA_PKCS1_2048_8192_SHA512),
    (Some(Sha::Sha256), algorithms::RSA_PSS_2048_8192_SHA256_LEGACY_KEY),
    (Some(Sha::Sha384), algorithms::RSA_PSS_2048_8192_SHA384_LEGACY_KEY),
    (Some(Sha::Sha512), algorithms::RSA_PSS_2048_8192_SHA512_LEGACY_KEY),
];

/// The certificate that a token names inside its signature.
pub(crate) struct Signer<'a> {
    pub(crate) der: &'a [u8],
    pub(crate) certificate: X509Certificate<'a>,
}

impl<'a> Signer<'a> {
    /// Finds it among the certificates of the token. The signature covers its digest, so that no other certificate of the same key can be put
    /// in its place (RFC 5816 §2.2, RFC 3161 §2.4.2); the name outside of the signature must agree.
    pub(crate) fn find(token: &SignedData<'a>) -> Result<Self, TimestampError> {
        let (v1, v2) = (token.certificate_v1, token.certificate_v2);
        if v1.is_none() && v2.is_none() {
            return Err(TimestampError::Unsigned("no certificate of the signer is signed (RFC 5816)"));
        }
        let named = [v1.map(|id| CertificateId::v1(&id)), v2.map(|id| CertificateId::v2(&id))];
        let named = named.into_iter().flatten().collect::<Result<Vec<_>, _>>()?;
        let fits = |der: &&&[u8]| named.iter().all(|id| id.is_of(der));
        let der = *token.certificates.iter().find(fits).ok_or(TimestampError::Unsigned(
            "the token does not hold the certificate that its signature names",
        ))?;
        let unread = TimestampError::Certificate("it cannot be read");
        let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| unread.clone())?;
        if !rest.is_empty() {
            return Err(unread);
        }
        let issued = |issuer: &[u8], serial: &[u8]| {
            certificate.issuer().as_raw() == issuer && certificate.raw_serial() == serial
        };
        let by_ids = named.iter().all(|id| id.issued.is_none_or(|(issuer, serial)| issued(issuer, serial)));
        let by_name = match token.signer {
            SignerName::Issued(issuer, serial) => issued(issuer, serial),
            SignerName::Key(key) => key_id(&certificate) == Some(key),
        };
        if !by_ids || !by_name {
            return Err(TimestampError::Unsigned(
                "it names another issuer, serial number or key than its certificate has",
            ));
        }
        Ok(Self { der, certificate })
    }

    /// That it is for time-stamping, and nothing else: the extended key usage is critical and alone (RFC 3161 §2.3).
    pub(crate) fn may_time_stamp(&self, at_ms: i64) -> Result<(), TimestampError> {
        let unfit = TimestampError::Certificate;
        let usage = self.certificate.extended_key_usage();
        let usage = usage.map_err(|_| unfit("its extended key usage stands twice or cannot be read"))?;
        let usage = usage.ok_or(unfit("it has no extended key usage, so it is not for time-stamping"))?;
        let of = usage.value;
        let others = of.any || of.server_auth || of.client_auth || of.code_signing || of.email_protection;
        if !of.time_stamping || others || of.ocsp_signing || !of.other.is_empty() {
            return Err(unfit("it is not for time-stamping alone (RFC 3161 section 2.3)"));
        }
        if !usage.critical {
            return Err(unfit("its extended key usage is not critical (RFC 3161 section 2.3)"));
        }
        let keys = self.certificate.key_usage().map_err(|_| unfit("its key usage cannot be read"))?;
        if keys.is_some_and(|keys| !keys.value.digital_signature() && !keys.value.non_repudiation()) {
            return Err(unfit("its key is not for signatures"));
        }
        let (valid, at) = (self.certificate.validity(), at_ms.div_euclid(1000));
        if at < valid.not_before.timestamp() || at > valid.not_after.timestamp() {
            return Err(unfit("at the time that it states it was not valid yet, or had expired"));
        }
        Ok(())
    }

    /// The token's own signature.
    pub(crate) fn verify(&self, token: &SignedData<'_>) -> Result<(), TimestampError> {
        let der = CertificateDer::from(self.der);
        let key =
            EndEntityCert::try_from(&der).map_err(|_| TimestampError::Certificate("it cannot be read"))?;
        let plain_rsa = token.algorithm.value == RSA_ENCRYPTION;
        let fits = |(digest, algorithm): &&(Option<Sha>, &dyn SignatureVerificationAlgorithm)| {
            let id = algorithm.signature_alg_id();
            let pkcs1 = [
                rustls_pki_types::alg_id::RSA_PKCS1_SHA256,
                rustls_pki_types::alg_id::RSA_PKCS1_SHA384,
                rustls_pki_types::alg_id::RSA_PKCS1_SHA512,
            ];
            // The digest of the algorithm is the one of the attributes, too; Ed25519 has its own (RFC 8419 §3).
            digest.is_none_or(|digest| digest == token.digest)
                && (id.as_ref() == token.algorithm.value || plain_rsa && pkcs1.contains(&id))
        };
        let mut known = false;
        for (_, algorithm) in ALGORITHMS.iter().filter(fits) {
            known = true;
            // An algorithm for another kind of key than the certificate's fails too, and the next one is tried.
            if key.verify_signature(*algorithm, &token.signed, token.signature).is_ok() {
                return Ok(());
            }
        }
        Err(if known {
            TimestampError::BadSignature
        } else {
            TimestampError::Unsigned(
                "its algorithm is none of RSA (PKCS #1 or PSS), ECDSA, Ed25519 with SHA-2",
            )
        })
    }

    /// A path of certificates, each valid at that time, from the signer to one of the anchors.
    pub(crate) fn is_vouched_for(
        &self,
        token: &SignedData<'_>,
        anchors: &[CertificateDer<'_>],
        at_ms: i64,
    ) -> Result<(), TimestampError> {
        let untrusted = |what: &str| TimestampError::Untrusted(what.to_owned());
        let trusted: Vec<_> =
            anchors.iter().filter_map(|anchor| anchor_from_trusted_cert(anchor).ok()).collect();
        if trusted.is_empty() {
            return Err(untrusted("no anchor is configured that can be used"));
        }
        let der = CertificateDer::from(self.der);
        let leaf =
            EndEntityCert::try_from(&der).map_err(|_| TimestampError::Certificate("it cannot be read"))?;
        let others: Vec<_> = token.certificates.iter().map(|der| CertificateDer::from(*der)).collect();
        let seconds = u64::try_from(at_ms.div_euclid(1000)).unwrap_or(0);
        let supported: Vec<_> = ALGORITHMS.iter().map(|(_, algorithm)| *algorithm).collect();
        let at = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let usage = KeyUsage::required(TIME_STAMPING);
        match leaf.verify_for_usage(&supported, &trusted, &others, at, usage, None, None) {
            Ok(_) => Ok(()),
            Err(webpki::Error::UnknownIssuer) => Err(untrusted("no path leads to an anchor")),
            Err(error) => Err(TimestampError::Untrusted(format!("no path leads to an anchor ({error})"))),
        }
    }

    /// That a name stated in the token is one of the certificate's (RFC 3161 §2.4.2, `tsa`).
    pub(crate) fn is_named(&self, tsa: &[u8]) -> Result<(), TimestampError> {
        let name = Elements::new(tsa).any("its name cannot be read")?;
        let subject = name.tag == context(4) && name.value == self.certificate.subject().as_raw();
        let alternatives = self.certificate.subject_alternative_name().ok().flatten();
        let listed = alternatives.is_some() && {
            let extensions = self.certificate.extensions().iter();
            let mut raw = extensions
                .filter(|e| matches!(e.parsed_extension(), ParsedExtension::SubjectAlternativeName(_)))
                .filter_map(|e| Elements::only(e.value, Tag::Sequence, "").ok()?.inside().all(64, "").ok());
            raw.any(|names| names.iter().any(|other| other.whole == name.whole))
        };
        if subject || listed {
            return Ok(());
        }
        Err(TimestampError::Unsigned("the name that the token states is not its certificate's"))
    }
}

fn key_id<'a>(certificate: &X509Certificate<'a>) -> Option<&'a [u8]> {
    certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0),
        _ => None,
    })
}

/// An issuer's Name in DER, and the bytes of a serial number.
type Issued<'a> = (&'a [u8], &'a [u8]);

/// The first ESSCertID or ESSCertIDv2: the signer's certificate. Later ones narrow down certificates above it; the anchors do that here.
struct CertificateId<'a> {
    /// None: SHA-1, in ESSCertID only (RFC 2634 §5.4.1).
    sha: Option<Sha>,
    hash: &'a [u8],
    issued: Option<Issued<'a>>,
}

impl<'a> CertificateId<'a> {
    fn v1(attribute: &Element<'a>) -> Result<Self, TimestampError> {
        let mut parts = first_id(attribute)?;
        let hash = parts.next(Tag::OctetString, ESS)?.value;
        Ok(Self { sha: None, hash, issued: issued(parts)? })
    }

    fn v2(attribute: &Element<'a>) -> Result<Self, TimestampError> {
        let mut parts = first_id(attribute)?;
        // DEFAULT SHA-256.
        let algorithm = parts.optional(Tag::Sequence, ESS)?;
        let sha = algorithm.map_or(Ok(Sha::Sha256), |algorithm| Sha::of(&algorithm))?;
        let hash = parts.next(Tag::OctetString, ESS)?.value;
        Ok(Self { sha: Some(sha), hash, issued: issued(parts)? })
    }

    fn is_of(&self, der: &[u8]) -> bool {
        let found = match self.sha {
            Some(sha) => sha.digest(der),
            None => digest(&SHA1_FOR_LEGACY_USE_ONLY, der),
        };
        found.as_ref() == self.hash
    }
}

/// SigningCertificate: a list of ids, then policies.
fn first_id<'a>(attribute: &Element<'a>) -> Result<Elements<'a>, TimestampError> {
    if attribute.tag != Tag::Sequence {
        return Err(malformed(ESS));
    }
    let mut parts = attribute.inside();
    let ids = parts.next(Tag::Sequence, ESS)?;
    parts.optional(Tag::Sequence, ESS)?;
    parts.end(ESS)?;
    Ok(ids.inside().next(Tag::Sequence, ESS)?.inside())
}

/// IssuerSerial (RFC 2634 §5.4.1), optional: one directory name, and the serial number.
fn issued<'a>(mut parts: Elements<'a>) -> Result<Option<Issued<'a>>, TimestampError> {
    let Some(id) = parts.optional(Tag::Sequence, ESS)? else {
        parts.end(ESS)?;
        return Ok(None);
    };
    parts.end(ESS)?;
    let mut id = id.inside();
    let names = id.next(Tag::Sequence, ESS)?;
    let serial = id.next(Tag::Integer, ESS)?.value;
    id.end(ESS)?;
    Ok(Some((Elements::only(names.value, context(4), ESS)?.value, serial)))
}
