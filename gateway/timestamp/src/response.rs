//! The answer (RFC 3161 §2.4.2): a status, and the token where it was granted.

use der::Tag;

use crate::element::{Elements, malformed};
use crate::{TOKEN_MAX_BYTES, TimestampError, printable};

/// The token of a TimeStampResp whose status is granted (0) or granted with modifications (1); what was modified shows when the token is verified.
pub(crate) fn token(response: &[u8]) -> Result<&[u8], TimestampError> {
    const WHAT: &str = "the answer is no TimeStampResp";
    if response.len() > TOKEN_MAX_BYTES {
        return Err(malformed("the answer is too long"));
    }
    let mut parts = Elements::only(response, Tag::Sequence, WHAT)?.inside();
    let mut info = parts.next(Tag::Sequence, WHAT)?.inside();
    let status = info.next(Tag::Integer, WHAT)?.number(WHAT)?;
    let status = u8::try_from(status).map_err(|_| malformed(WHAT))?;
    let mut words = Vec::new();
    if let Some(text) = info.optional(Tag::Sequence, WHAT)? {
        for line in text.inside().all(16, WHAT)? {
            let line = std::str::from_utf8(line.value).map_err(|_| malformed(WHAT))?;
            words.push(line);
        }
    }
    let failure = info.optional(Tag::BitString, WHAT)?;
    info.end(WHAT)?;
    let token = parts.optional(Tag::Sequence, WHAT)?;
    parts.end(WHAT)?;
    match (status, token) {
        (0 | 1, Some(token)) => Ok(token.whole),
        (0 | 1, None) => Err(malformed("the answer is granted and holds no token")),
        (status, _) => {
            words.extend(failure.and_then(|bits| reason(bits.value)));
            Err(TimestampError::Refused { status, text: printable(&words.join("; ")) })
        }
    }
}

/// PKIFailureInfo: the first bit that is set and has a name.
fn reason(bits: &[u8]) -> Option<&'static str> {
    const NAMES: [(usize, &str); 8] = [
        (0, "badAlg"),
        (2, "badRequest"),
        (5, "badDataFormat"),
        (14, "timeNotAvailable"),
        (15, "unacceptedPolicy"),
        (16, "unacceptedExtension"),
        (17, "addInfoNotAvailable"),
        (25, "systemFailure"),
    ];
    let set = |bit: usize| bits.get(1 + bit / 8).is_some_and(|byte| byte & (0x80 >> (bit % 8)) != 0);
    NAMES.into_iter().find(|(bit, _)| set(*bit)).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_why() {
        // { status { 2, { "bad \n day" }, '01'B (bit 2 of 3) } }
        let refusal = [
            0x30, 0x15, 0x30, 0x13, 0x02, 0x01, 0x02, 0x30, 0x0a, 0x0c, 0x08, b'b', b'a', b'd', b'\n', b'd',
            b'a', b'y', b'.', 0x03, 0x02, 0x05, 0x20,
        ];
        let error = token(&refusal).unwrap_err();
        assert_eq!(error.to_string(), "the authority refused: status 2, bad?day.; badRequest");
        assert_eq!(error.code(), "timestamp_refused");
        // Granted, without a token.
        assert!(matches!(token(&[0x30, 5, 0x30, 3, 2, 1, 0]), Err(TimestampError::Malformed(_))));
        assert!(matches!(token(&vec![0; TOKEN_MAX_BYTES + 1]), Err(TimestampError::Malformed(_))));
    }
}
