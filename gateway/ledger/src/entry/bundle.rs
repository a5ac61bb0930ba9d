//! Entry bundles (C2SP tlog-tiles "Log entries"): up to 256 entries, each behind its length as a
//! big-endian 16-bit number.

use crate::tree::TILE_WIDTH;

/// Why bytes are no entry bundle, or entries fit none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// None, or more than 256 entries.
    #[error("a bundle holds 1 to {TILE_WIDTH} entries")]
    Count,
    /// An entry longer than 65,535 bytes.
    #[error("an entry in a bundle has at most 65535 bytes")]
    EntryTooLong,
    /// The bytes end within an entry.
    #[error("the bundle ends within an entry")]
    Cut,
}

/// The resource `tile/entries/<N>[.p/<W>]` of these entries.
pub fn encode_bundle<T: AsRef<[u8]>>(entries: &[T]) -> Result<Vec<u8>, BundleError> {
    if entries.is_empty() || entries.len() > usize::from(TILE_WIDTH) {
        return Err(BundleError::Count);
    }
    let mut out = Vec::new();
    for entry in entries {
        let entry = entry.as_ref();
        let length = u16::try_from(entry.len()).map_err(|_| BundleError::EntryTooLong)?;
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(entry);
    }
    Ok(out)
}

/// The entries of a bundle, in order.
pub fn decode_bundle(mut bytes: &[u8]) -> Result<Vec<&[u8]>, BundleError> {
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        if entries.len() == usize::from(TILE_WIDTH) {
            return Err(BundleError::Count);
        }
        let (length, rest) = bytes.split_first_chunk().ok_or(BundleError::Cut)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (entry, rest) = rest.split_at_checked(length).ok_or(BundleError::Cut)?;
        entries.push(entry);
        bytes = rest;
    }
    if entries.is_empty() { Err(BundleError::Count) } else { Ok(entries) }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lengths_stand_before_the_entries() {
        let bundle = encode_bundle(&["ab", "", "c"]).unwrap();
        assert_eq!(bundle, b"\x00\x02ab\x00\x00\x00\x01c");
        assert_eq!(decode_bundle(&bundle).unwrap(), [&b"ab"[..], b"", b"c"]);
    }

    #[test]
    fn refuses_what_is_no_bundle() {
        assert_eq!(encode_bundle::<&str>(&[]), Err(BundleError::Count));
        assert_eq!(encode_bundle(&[""; 257]), Err(BundleError::Count));
        assert_eq!(encode_bundle(&[vec![0; 65_536]]), Err(BundleError::EntryTooLong));
        assert_eq!(decode_bundle(b""), Err(BundleError::Count));
        assert_eq!(decode_bundle(&[0; 2 * 257]), Err(BundleError::Count));
        assert_eq!(decode_bundle(b"\x00"), Err(BundleError::Cut));
        assert_eq!(decode_bundle(b"\x00\x02a"), Err(BundleError::Cut));
    }

    proptest! {
        #[test]
        fn reads_what_it_writes(entries in vec(vec(any::<u8>(), 0..40), 1..=256)) {
            let bundle = encode_bundle(&entries).unwrap();
            prop_assert_eq!(decode_bundle(&bundle).unwrap(), entries);
        }

        #[test]
        fn writes_what_it_reads(bytes in vec(any::<u8>(), 0..600)) {
            if let Ok(entries) = decode_bundle(&bytes) {
                prop_assert_eq!(encode_bundle(&entries).unwrap(), bytes);
            }
        }
    }
}
