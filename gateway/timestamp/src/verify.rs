//! The judgement of a token, offline.

use ring::digest::{SHA256, digest};
use rustls_pki_types::CertificateDer;

use crate::element::malformed;
use crate::signed_data::SignedData;
use crate::signer::Signer;
use crate::statement::Statement;
use crate::{TOKEN_MAX_BYTES, TimestampError, printable};

/// Who is believed.
#[derive(Clone, Copy, Debug)]
pub enum Trust<'a> {
    /// Authorities under these certificates, which the operator chose.
    Anchors(&'a [CertificateDer<'a>]),
    /// The certificate inside the token, whoever made it: this shows that nothing was altered since, and not who states it.
    Enclosed,
}

/// A time-stamp that verifies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// What it states.
    pub statement: Statement,
    /// The authority, by the subject of its certificate, fit to print.
    pub tsa: String,
    /// SHA-256 of the signer's certificate in DER.
    pub certificate: [u8; 32],
    /// Whether a path to an anchor was verified.
    pub anchored: bool,
}

/// Verifies that `token` (TimeStampToken in DER) is a time-stamp over exactly the bytes of `message`. The nonce is judged by [`Request::answer`](crate::Request::answer).
pub fn verify(token: &[u8], message: &[u8], trust: &Trust<'_>) -> Result<Verified, TimestampError> {
    if token.len() > TOKEN_MAX_BYTES {
        return Err(malformed("the token is too long"));
    }
    let signed = SignedData::parse(token)?;
    let statement = Statement::parse(signed.content)?;
    if statement.imprint != digest(&SHA256, message).as_ref() {
        return Err(TimestampError::OtherImprint);
    }
    let signer = Signer::find(&signed)?;
    signer.verify(&signed)?;
    signer.may_time_stamp(statement.at_ms)?;
    if let Some(tsa) = &statement.tsa {
        signer.is_named(tsa)?;
    }
    let anchored = match trust {
        Trust::Anchors(anchors) => {
            signer.is_vouched_for(&signed, anchors, statement.at_ms)?;
            true
        }
        Trust::Enclosed => false,
    };
    let mut certificate = [0; 32];
    certificate.copy_from_slice(digest(&SHA256, signer.der).as_ref());
    let tsa = printable(&signer.certificate.subject().to_string());
    Ok(Verified { statement, tsa, certificate, anchored })
}
