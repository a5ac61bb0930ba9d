//! The CMS shell of a token (RFC 5652 §5): one signer, signed attributes, and what they say of the content.

use der::Tag;
use der::asn1::ObjectIdentifier;
use ring::digest;

use crate::TimestampError;
use crate::element::{Element, Elements, context, context_primitive, malformed, plain_algorithm};

const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const TST_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");
const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
const SIGNING_CERTIFICATE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.12");
const SIGNING_CERTIFICATE_V2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.47");

/// Certificates in one token, at most.
const CERTIFICATES_MAX: usize = 16;
/// Attributes, at most.
const ATTRIBUTES_MAX: usize = 32;
const WHAT: &str = "the token is no SignedData with one signer (RFC 5652)";

/// A digest that may be used; SHA-1 is not among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sha {
    Sha256,
    Sha384,
    Sha512,
}

impl Sha {
    pub(crate) fn of(algorithm: &Element<'_>) -> Result<Self, TimestampError> {
        match plain_algorithm(algorithm, WHAT)?.to_string().as_str() {
            "2.16.840.1.101.3.4.2.1" => Ok(Self::Sha256),
            "2.16.840.1.101.3.4.2.2" => Ok(Self::Sha384),
            "2.16.840.1.101.3.4.2.3" => Ok(Self::Sha512),
            _ => Err(TimestampError::Unsigned("its digest is none of SHA-256, SHA-384, SHA-512")),
        }
    }

    pub(crate) fn digest(self, bytes: &[u8]) -> digest::Digest {
        let algorithm = match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, bytes)
    }
}

/// How the signer is named outside of the signature.
#[derive(Debug)]
pub(crate) enum SignerName<'a> {
    /// Issuer as a Name in DER, and the bytes of the serial number.
    Issued(&'a [u8], &'a [u8]),
    /// The subject key identifier.
    Key(&'a [u8]),
}

/// A token whose attributes fit its content. Nothing is verified yet.
pub(crate) struct SignedData<'a> {
    /// The DER of the TSTInfo.
    pub(crate) content: &'a [u8],
    /// Each in DER.
    pub(crate) certificates: Vec<&'a [u8]>,
    pub(crate) signer: SignerName<'a>,
    pub(crate) digest: Sha,
    /// AlgorithmIdentifier.
    pub(crate) algorithm: Element<'a>,
    pub(crate) signature: &'a [u8],
    /// What the signature is over: the attributes as SET OF (RFC 5652 §5.4).
    pub(crate) signed: Vec<u8>,
    /// SigningCertificate (RFC 2634 §5.4).
    pub(crate) certificate_v1: Option<Element<'a>>,
    /// SigningCertificateV2 (RFC 5816).
    pub(crate) certificate_v2: Option<Element<'a>>,
}

impl<'a> SignedData<'a> {
    /// Reads a token (ContentInfo) and holds the signed attributes against the content.
    pub(crate) fn parse(token: &'a [u8]) -> Result<Self, TimestampError> {
        let mut info = Elements::only(token, Tag::Sequence, WHAT)?.inside();
        if info.next(Tag::ObjectIdentifier, WHAT)?.oid(WHAT)? != SIGNED_DATA {
            return Err(malformed(WHAT));
        }
        let outer = info.next(context(0), WHAT)?;
        info.end(WHAT)?;
        let mut parts = Elements::only(outer.value, Tag::Sequence, WHAT)?.inside();
        // Content that is not id-data makes it version 3 (RFC 5652 §5.1). Authorities in use write 1 all the same; nothing rests on it.
        if !matches!(parts.next(Tag::Integer, WHAT)?.number(WHAT)?, 1 | 3) {
            return Err(malformed("the version of SignedData is neither 3 nor 1"));
        }
        let digests = parts.next(Tag::Set, WHAT)?;
        let content = content(&parts.next(Tag::Sequence, WHAT)?)?;
        let certificates = match parts.optional(context(0), WHAT)? {
            Some(set) => set.inside().all(CERTIFICATES_MAX, "the token holds too many certificates")?,
            None => Vec::new(),
        };
        // Revocation lists may come along; nothing rests on them.
        parts.optional(context(1), WHAT)?;
        let signers = parts.next(Tag::Set, WHAT)?;
        parts.end(WHAT)?;
        let mut token = signer_info(&Elements::only(signers.value, Tag::Sequence, WHAT)?, content)?;
        let stated = digests.inside().all(8, WHAT)?.iter().map(Sha::of).collect::<Result<Vec<_>, _>>()?;
        if !stated.contains(&token.digest) {
            return Err(malformed("the signer's digest is not among those of the SignedData"));
        }
        // Attribute certificates and others (RFC 5652 §10.2.2) have other tags; nothing here needs them.
        if certificates.iter().any(|certificate| certificate.tag != Tag::Sequence) {
            return Err(malformed("the token holds a certificate of another kind than X.509"));
        }
        token.certificates = certificates.iter().map(|certificate| certificate.whole).collect();
        Ok(token)
    }
}

/// EncapsulatedContentInfo: a TSTInfo, inside the token.
fn content<'a>(element: &Element<'a>) -> Result<&'a [u8], TimestampError> {
    let mut parts = element.inside();
    if parts.next(Tag::ObjectIdentifier, WHAT)?.oid(WHAT)? != TST_INFO {
        return Err(malformed("the content is not of type id-ct-TSTInfo"));
    }
    let explicit = parts.next(context(0), WHAT)?;
    parts.end(WHAT)?;
    Ok(Elements::only(explicit.value, Tag::OctetString, WHAT)?.value)
}

fn signer_info<'a>(element: &Element<'a>, content: &'a [u8]) -> Result<SignedData<'a>, TimestampError> {
    let mut parts = element.inside();
    let version = parts.next(Tag::Integer, WHAT)?.number(WHAT)?;
    let name = parts.any(WHAT)?;
    let signer = match (version, name.tag) {
        (1, Tag::Sequence) => {
            let mut issued = name.inside();
            let issuer = issued.next(Tag::Sequence, WHAT)?.whole;
            let serial = issued.next(Tag::Integer, WHAT)?.value;
            issued.end(WHAT)?;
            SignerName::Issued(issuer, serial)
        }
        (3, tag) if tag == context_primitive(0) => SignerName::Key(name.value),
        _ => return Err(malformed(WHAT)),
    };
    let digest = Sha::of(&parts.next(Tag::Sequence, WHAT)?)?;
    let attributes = parts.optional(context(0), WHAT)?;
    let attributes = attributes.ok_or(TimestampError::Unsigned("it has no signed attributes"))?;
    let algorithm = parts.next(Tag::Sequence, WHAT)?;
    let signature = parts.next(Tag::OctetString, WHAT)?.value;
    // Unsigned attributes can be added by anyone: nothing here reads them.
    parts.optional(context(1), WHAT)?;
    parts.end(WHAT)?;
    let mut token = SignedData {
        content,
        certificates: Vec::new(),
        signer,
        digest,
        algorithm,
        signature,
        signed: attributes.whole.to_vec(),
        certificate_v1: None,
        certificate_v2: None,
    };
    // The signature is over the tag of SET OF, not over the implicit [0].
    if let Some(tag) = token.signed.first_mut() {
        *tag = 0x31;
    }
    read_attributes(&mut token, &attributes)?;
    Ok(token)
}

/// The signed attributes, none twice and each with one value (RFC 5652 §11); those that are not known are passed over.
fn read_attributes<'a>(token: &mut SignedData<'a>, set: &Element<'a>) -> Result<(), TimestampError> {
    let mut seen: Vec<ObjectIdentifier> = Vec::new();
    let (mut content_type, mut message_digest) = (None, None);
    for attribute in set.inside().all(ATTRIBUTES_MAX, "the token has too many attributes")? {
        let mut parts = attribute.inside();
        let kind = parts.next(Tag::ObjectIdentifier, WHAT)?.oid(WHAT)?;
        let values = parts.next(Tag::Set, WHAT)?;
        parts.end(WHAT)?;
        if attribute.tag != Tag::Sequence || seen.contains(&kind) {
            return Err(TimestampError::Unsigned("a signed attribute stands twice"));
        }
        seen.push(kind);
        let slot = match kind {
            CONTENT_TYPE => &mut content_type,
            MESSAGE_DIGEST => &mut message_digest,
            SIGNING_CERTIFICATE => &mut token.certificate_v1,
            SIGNING_CERTIFICATE_V2 => &mut token.certificate_v2,
            _ => continue,
        };
        let mut values = values.inside();
        *slot = Some(values.any(WHAT)?);
        values.end("a signed attribute has more than one value")?;
    }
    let content_type = content_type.ok_or(TimestampError::Unsigned("no content-type is signed"))?;
    if content_type.oid(WHAT)? != TST_INFO {
        return Err(TimestampError::Unsigned("the signed content-type is not id-ct-TSTInfo"));
    }
    let message_digest = message_digest.ok_or(TimestampError::Unsigned("no message-digest is signed"))?;
    let fits = message_digest.tag == Tag::OctetString
        && message_digest.value == token.digest.digest(token.content).as_ref();
    if fits {
        Ok(())
    } else {
        Err(TimestampError::Unsigned("the signed message-digest is not that of the content"))
    }
}
