//! Payloads encrypted at rest: each under a key of its own, which its day key wraps.
//!
//! AES-256-GCM (NIST SP 800-38D) with random nonces of 96 bits. A payload's key seals once. A day key seals the
//! payloads of one partner and one day, far fewer than the 2^32 that random nonces allow (§8.3).

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use silkgate_message::jws::Digest;
use zeroize::Zeroizing;

use super::keys::DayKey;
use super::message::Way;
use crate::clock;

/// 256 bits, gone from the memory when dropped.
pub(super) type Key = Zeroizing<[u8; 32]>;

/// What a sealed payload is bound to: it opens for this message and no other.
pub(super) struct Bound<'a> {
    pub(super) partner: &'a str,
    pub(super) way: Way,
    pub(super) digest: Digest,
}

/// A payload as it is stored. Each part is nonce, ciphertext and tag, one after another.
pub(super) struct Sealed {
    /// The payload's key under the day key.
    pub(super) wrapped: Vec<u8>,
    /// The payload under its key.
    pub(super) bytes: Vec<u8>,
}

impl Bound<'_> {
    fn of_payload(&self) -> Vec<u8> {
        [
            b"silkgate payload\0",
            self.partner.as_bytes(),
            b"\0",
            self.way.as_str().as_bytes(),
            b"\0",
            &self.digest.0,
        ]
        .concat()
    }

    /// The day is bound too: one that is moved in the key store opens nothing any more.
    fn of_key(&self, day_key: &DayKey) -> Vec<u8> {
        [b"key\0".as_slice(), &day_key.id.to_be_bytes(), &day_key.day.to_be_bytes(), &self.of_payload()]
            .concat()
    }
}

/// Seals a payload. None where it is longer than the cipher allows, which no message is.
pub(super) fn seal(day_key: &DayKey, bound: &Bound<'_>, payload: &[u8]) -> Option<Sealed> {
    let key = Zeroizing::new(clock::random::<32>());
    let bytes = encrypt(&key, &bound.of_payload(), payload)?;
    let wrapped = encrypt(&day_key.key, &bound.of_key(day_key), key.as_slice())?;
    Some(Sealed { wrapped, bytes })
}

/// Opens a payload. None where key, message or a byte of it is another.
pub(super) fn open(day_key: &DayKey, bound: &Bound<'_>, sealed: Sealed) -> Option<Vec<u8>> {
    let key = Zeroizing::new(decrypt(&day_key.key, &bound.of_key(day_key), sealed.wrapped)?);
    let key: Key = Zeroizing::new(key.as_slice().try_into().ok()?);
    decrypt(&key, &bound.of_payload(), sealed.bytes)
}

fn cipher(key: &Key) -> Option<LessSafeKey> {
    Some(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.as_slice()).ok()?))
}

fn encrypt(key: &Key, bound: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
    let nonce: [u8; NONCE_LEN] = clock::random();
    let mut out = Vec::with_capacity(NONCE_LEN + plain.len() + AES_256_GCM.tag_len());
    out.extend_from_slice(&nonce);
    out.extend_from_slice(plain);
    let text = out.get_mut(NONCE_LEN..)?;
    let nonce = Nonce::assume_unique_for_key(nonce);
    let tag = cipher(key)?.seal_in_place_separate_tag(nonce, Aad::from(bound), text).ok()?;
    out.extend_from_slice(tag.as_ref());
    Some(out)
}

fn decrypt(key: &Key, bound: &[u8], mut sealed: Vec<u8>) -> Option<Vec<u8>> {
    let nonce = Nonce::try_assume_unique_for_key(sealed.get(..NONCE_LEN)?).ok()?;
    let length = cipher(key)?.open_within(nonce, Aad::from(bound), &mut sealed, NONCE_LEN..).ok()?.len();
    sealed.truncate(length);
    Some(sealed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day_key(id: i64, day: i64) -> DayKey {
        DayKey { id, partner: "JO".into(), day, key: Zeroizing::new([7; 32]) }
    }

    fn bound<'a>(partner: &'a str, way: Way, digest: u8) -> Bound<'a> {
        Bound { partner, way, digest: Digest([digest; 32]) }
    }

    #[test]
    fn a_payload_opens_for_its_message_and_its_key_only() {
        let sealed = || seal(&day_key(1, 20_000), &bound("JO", Way::Sent, 1), b"22 A 12345").unwrap();
        let plain = open(&day_key(1, 20_000), &bound("JO", Way::Sent, 1), sealed());
        assert_eq!(plain.as_deref(), Some(b"22 A 12345".as_slice()));
        for (key, bound) in [
            (day_key(2, 20_000), bound("JO", Way::Sent, 1)),
            (day_key(1, 20_001), bound("JO", Way::Sent, 1)),
            (DayKey { key: Zeroizing::new([8; 32]), ..day_key(1, 20_000) }, bound("JO", Way::Sent, 1)),
            (day_key(1, 20_000), bound("SA", Way::Sent, 1)),
            (day_key(1, 20_000), bound("JO", Way::Received, 1)),
            (day_key(1, 20_000), bound("JO", Way::Sent, 2)),
        ] {
            assert_eq!(open(&key, &bound, sealed()), None);
        }
    }

    #[test]
    fn every_bit_counts_and_nothing_short_panics() {
        let (key, bound) = (day_key(1, 20_000), bound("JO", Way::Sent, 1));
        let sealed = seal(&key, &bound, b"plate").unwrap();
        assert_ne!(sealed.bytes, seal(&key, &bound, b"plate").unwrap().bytes, "never the same bytes twice");
        for at in 0..sealed.bytes.len() {
            let mut bytes = sealed.bytes.clone();
            bytes[at] ^= 1;
            assert_eq!(open(&key, &bound, Sealed { wrapped: sealed.wrapped.clone(), bytes }), None);
            let bytes = sealed.bytes[..at].to_vec();
            assert_eq!(open(&key, &bound, Sealed { wrapped: sealed.wrapped.clone(), bytes }), None);
        }
        for at in 0..sealed.wrapped.len() {
            let mut wrapped = sealed.wrapped.clone();
            wrapped[at] ^= 1;
            assert_eq!(open(&key, &bound, Sealed { wrapped, bytes: sealed.bytes.clone() }), None);
        }
    }
}
