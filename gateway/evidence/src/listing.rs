//! What a revocation list (RFC 5280 §5) says of a certificate, as a bundle tells it.

use silkgate_message::instant::Instant;
use silkgate_message::jws::{Digest, SigningCertificate};
use silkgate_message::revocation::RevocationList;

/// What a list in force says of a message's certificate.
#[derive(Clone, Debug)]
pub struct Listing {
    /// SHA-256 of the list, DER.
    pub digest: Digest,
    /// When it was made.
    pub this_update: Instant,
    /// When it runs out.
    pub next_update: Instant,
    /// Whether it revokes the certificate.
    pub names: bool,
}

impl Listing {
    /// What the list with that digest says of a certificate.
    pub fn of(digest: Digest, list: &RevocationList, certificate: &SigningCertificate) -> Self {
        Self {
            digest,
            this_update: Instant::from_seconds(list.this_update.unix_timestamp()),
            next_update: Instant::from_seconds(list.next_update.unix_timestamp()),
            names: list.revokes(&certificate.der),
        }
    }
}
