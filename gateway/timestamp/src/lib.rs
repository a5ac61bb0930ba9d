//! RFC 3161 time-stamps: an authority that knows nothing of us states that it saw a digest at an instant.
//!
//! No I/O, no clock and no async: a request is made, an answer is read, and a token is verified, all from bytes. Formats: RFC 3161 (protocol),
//! RFC 5652 (CMS signed data), RFC 2634 §5.4 and RFC 5816 (the signer's certificate is signed too), RFC 5280 (certificates). Only DER is read, as RFC 3161
//! demands it. Nothing here panics on outside input, and every list is bounded by [`TOKEN_MAX_BYTES`].
//!
//! | module | what it holds |
//! |---|---|
//! | [`request`] | what is asked, and whether an answer belongs to it |
//! | [`verify`](mod@verify) | the judgement of a token |
//! | `response` | the answer's status |
//! | `signed_data` | the CMS shell |
//! | `statement` | what the authority signed: `TSTInfo` |
//! | `signer` | whose signature it is: certificate, purpose, path |
//! | `element` | DER, one element at a time |
//!
//! What is not looked at: whether the authority's certificate was revoked. An operator who learns of a broken authority takes its anchor away.

mod element;
pub mod request;
mod response;
mod signed_data;
mod signer;
mod statement;
pub mod verify;

pub use request::Request;
pub use statement::{Accuracy, Statement};
pub use verify::{Trust, Verified, verify};

/// The longest answer or token that is read. One with a chain of four certificates has about 7 KiB.
pub const TOKEN_MAX_BYTES: usize = 64 << 10;

/// Why there is no time-stamp.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimestampError {
    /// The bytes are not what RFC 3161 and RFC 5652 describe, in DER.
    #[error("not a time-stamp: {0}")]
    Malformed(&'static str),
    /// The authority gave none.
    #[error("the authority refused: status {status}{}", said(.text))]
    Refused {
        /// PKIStatus: 2 rejection, 3 waiting, and so on.
        status: u8,
        /// Its words and failure bits, made fit to print.
        text: String,
    },
    /// It is about other bytes.
    #[error("the time-stamp is for something else: its digest is not that of these bytes")]
    OtherImprint,
    /// It answers another request.
    #[error("the time-stamp answers another request: its nonce is not the one that was sent")]
    OtherNonce,
    /// A rule of RFC 3161, RFC 5652 or RFC 5816 about the signature is broken.
    #[error("the time-stamp's signature does not count: {0}")]
    Unsigned(&'static str),
    /// The signature does not verify.
    #[error("the time-stamp's signature does not verify with its certificate")]
    BadSignature,
    /// The signer's certificate may not do this.
    #[error("the authority's certificate does not do: {0}")]
    Certificate(&'static str),
    /// No path from the signer's certificate to an anchor, at the time that it states.
    #[error("the authority's certificate is not trusted: {0}")]
    Untrusted(String),
}

impl TimestampError {
    /// A code that never changes its meaning.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "timestamp_malformed",
            Self::Refused { .. } => "timestamp_refused",
            Self::OtherImprint => "timestamp_other_imprint",
            Self::OtherNonce => "timestamp_other_nonce",
            Self::Unsigned(_) => "timestamp_unsigned",
            Self::BadSignature => "timestamp_signature_invalid",
            Self::Certificate(_) => "timestamp_certificate",
            Self::Untrusted(_) => "timestamp_untrusted",
        }
    }
}

fn said(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(", {text}") }
}

/// Outside text for one line of a log: no control characters, nothing that turns the line around, at most 200 characters.
fn printable(text: &str) -> String {
    let turns =
        |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().take(200).map(|c| if c.is_control() || turns(c) { '?' } else { c }).collect()
}
