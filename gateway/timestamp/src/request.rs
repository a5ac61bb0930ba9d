//! The request (RFC 3161 §2.4.1), and the answer that belongs to it.

use ring::digest::{SHA256, digest};

use crate::verify::{self, Trust, Verified};
use crate::{TimestampError, response};

/// `version` 1, then `hashAlgorithm` SHA-256 without parameters and the head of `hashedMessage`.
const HEAD: [u8; 20] = [
    0x02, 0x01, 0x01, 0x30, 0x2f, 0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02,
    0x01, 0x04, 0x20,
];
/// `certReq` TRUE: without the certificate a token could not be verified years later.
const CERT_REQ: [u8; 3] = [0x01, 0x01, 0xff];

/// What an authority is asked to time-stamp. Only a digest leaves the house.
#[derive(Clone, Debug)]
pub struct Request {
    message: Vec<u8>,
    nonce: [u8; 8],
}

impl Request {
    /// Asks for a time-stamp over `message`. `random` ties the answer to this request: without it an old answer could be given again.
    pub fn new(message: &[u8], random: [u8; 8]) -> Self {
        let mut nonce = random;
        // Positive, and 8 bytes in its shortest form: 62 random bits, a length that every authority takes.
        nonce[0] = nonce[0] & 0x3f | 0x40;
        Self { message: message.to_vec(), nonce }
    }

    /// The TimeStampReq in DER: the body of `application/timestamp-query`.
    pub fn encode(&self) -> Vec<u8> {
        let mut body = HEAD.to_vec();
        body.extend_from_slice(digest(&SHA256, &self.message).as_ref());
        body.extend_from_slice(&[0x02, 0x08]);
        body.extend_from_slice(&self.nonce);
        body.extend_from_slice(&CERT_REQ);
        // 20 + 32 + 10 + 3 = 65 bytes: a length of one byte.
        let mut whole = vec![0x30, 65];
        whole.append(&mut body);
        whole
    }

    /// Reads the TimeStampResp to this request: the token, and what it states once it was verified.
    pub fn answer<'r>(
        &self,
        response: &'r [u8],
        trust: &Trust<'_>,
    ) -> Result<(&'r [u8], Verified), TimestampError> {
        let token = response::token(response)?;
        let verified = verify::verify(token, &self.message, trust)?;
        // RFC 3161 §2.4.2: the nonce of the request MUST come back.
        if verified.statement.nonce.as_deref() != Some(&self.nonce[..]) {
            return Err(TimestampError::OtherNonce);
        }
        Ok((token, verified))
    }
}
