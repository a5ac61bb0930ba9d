//! The fingerprint of a card key: short enough to be read over the telephone.

use std::fmt;
use std::str::FromStr;

use crate::jws::Digest;

/// 160 bits of a card key's hash, to be read over the telephone.
#[derive(Clone, Copy, Debug)]
pub struct Fingerprint([u8; 20]);

/// Crockford's base32: no I, L, O or U, so that nothing is misheard or misread.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

impl Fingerprint {
    /// The fingerprint of an Ed25519 card key.
    pub fn of(card_key: &[u8]) -> Self {
        Self::with_prefix(b"silkgate card key v1\0", card_key)
    }

    /// The code that two operators compare before a log's lost history is given up: over the checkpoints
    /// that are given up.
    pub fn of_recovery(checkpoints: &[u8]) -> Self {
        Self::with_prefix(b"silkgate log recovery v1\0", checkpoints)
    }

    /// The prefix keeps the hash apart from every other use of SHA-256.
    fn with_prefix(prefix: &[u8], what: &[u8]) -> Self {
        let digest = Digest::of(&[prefix, what].concat());
        let mut bytes = [0; 20];
        bytes.copy_from_slice(&digest.0[..20]);
        Self(bytes)
    }
}

impl PartialEq for Fingerprint {
    fn eq(&self, other: &Self) -> bool {
        // Without an early end: a guesser learns nothing from the time.
        self.0.iter().zip(other.0).fold(0, |all, (a, b)| all | (a ^ b)) == 0
    }
}

impl Eq for Fingerprint {}

impl fmt::Display for Fingerprint {
    /// Eight groups of four.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (group, chunk) in self.0.chunks(5).enumerate() {
            let bits = chunk.iter().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
            for (place, shift) in (0..8).map(|n| 35 - 5 * n).enumerate() {
                if place % 4 == 0 && (group > 0 || place > 0) {
                    f.write_str("-")?;
                }
                let letter = ALPHABET[(bits >> shift) as usize & 31];
                write!(f, "{}", letter as char)?;
            }
        }
        Ok(())
    }
}

/// Not a fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint is eight groups of four letters and digits, as `silkgate card` prints it")]
pub struct FingerprintError;

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    /// Forgives case, spaces, hyphens, and what is commonly misread (O for 0, I and L for 1).
    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let mut values = Vec::with_capacity(32);
        for c in text.chars().filter(|c| !c.is_whitespace() && *c != '-') {
            let letter = match c.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                other => other,
            };
            let value = ALPHABET.iter().position(|known| *known as char == letter).ok_or(FingerprintError)?;
            values.push(value as u64);
        }
        if values.len() != 32 {
            return Err(FingerprintError);
        }
        let mut bytes = [0; 20];
        for (chunk, out) in values.chunks(8).zip(bytes.chunks_mut(5)) {
            let bits = chunk.iter().fold(0u64, |bits, value| bits << 5 | value);
            out.copy_from_slice(&bits.to_be_bytes()[3..]);
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_fingerprint_reads_back_however_it_is_spelled() {
        let fingerprint = Fingerprint::of(&[7; 32]);
        let text = fingerprint.to_string();
        assert_eq!((text.len(), text.matches('-').count()), (39, 7));
        for spelled in [
            text.clone(),
            text.to_lowercase(),
            text.replace('-', " "),
            text.replace('-', ""),
            format!(" {text}\n"),
            text.replace('0', "o").replace('1', "l"),
            text.replace('0', "O").replace('1', "I"),
        ] {
            assert_eq!(spelled.parse::<Fingerprint>().unwrap(), fingerprint, "{spelled}");
        }
        assert_ne!(Fingerprint::of(&[8; 32]), fingerprint);
        assert!(text[1..].parse::<Fingerprint>().is_err());
        assert!(format!("{text}0").parse::<Fingerprint>().is_err());
        assert!(text.replace(text.chars().next().unwrap(), "U").parse::<Fingerprint>().is_err());
        assert!("".parse::<Fingerprint>().is_err());
    }

    /// Made with Python's hashlib and base64.b32encode, its letters exchanged for Crockford's.
    #[test]
    fn another_implementation_agrees() {
        for (key, text) in [
            ([0; 32], "0JYZ-CK89-2JKS-Y5TC-5G2Q-CXVG-AV54-KRP2"),
            ([7; 32], "PTG1-1HXP-7D7E-1YDD-NNM8-DAZF-QPG0-70EX"),
        ] {
            assert_eq!(Fingerprint::of(&key).to_string(), text);
        }
    }

    /// Groups of five bits, the first bit first: each letter at its place in Crockford's alphabet.
    #[test]
    fn letters_stand_for_five_bits_each() {
        assert_eq!(Fingerprint([0; 20]).to_string(), "0000-0000-0000-0000-0000-0000-0000-0000");
        assert_eq!(Fingerprint([0xff; 20]).to_string(), "ZZZZ-ZZZZ-ZZZZ-ZZZZ-ZZZZ-ZZZZ-ZZZZ-ZZZZ");
        // 00000 00001 00010 … 11111: every letter in order.
        let counting: Vec<u8> = (0..4u64)
            .flat_map(|block| {
                let bits = (0..8).fold(0u64, |bits, n| bits << 5 | (block * 8 + n));
                bits.to_be_bytes()[3..].to_vec()
            })
            .collect();
        let fingerprint = Fingerprint(counting.try_into().unwrap());
        assert_eq!(fingerprint.to_string().replace('-', "").as_bytes(), ALPHABET);
    }

    proptest! {
        #[test]
        fn every_fingerprint_reads_back(bytes: [u8; 20]) {
            let fingerprint = Fingerprint(bytes);
            prop_assert_eq!(fingerprint.to_string().parse::<Fingerprint>(), Ok(fingerprint));
        }

        #[test]
        fn one_bit_makes_another(bytes: [u8; 20], place in 0usize..20, bit in 0u8..8) {
            let mut other = bytes;
            other[place] ^= 1 << bit;
            prop_assert_ne!(Fingerprint(bytes), Fingerprint(other));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,48}") {
            let _ = text.parse::<Fingerprint>();
        }
    }
}
