//! The Merkle tree of RFC 6962 §2.1 with SHA-256, stored as C2SP tlog-tiles of height 8.
//!
//! A log lives in its tiles. To append, load the [`Edge`] (at most eight tiles, whatever the size),
//! append, store [`Edge::take_changed`]. To prove an old leaf, load [`inclusion_tiles`] into [`Tiles`]
//! and call [`inclusion_proof`]. Proofs for a smaller size than the tiles hold come out byte for byte
//! as they did when the tree had that size.

mod edge;
mod path;
mod prove;
mod tile;
mod verify;

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::digest::{Context, SHA256, digest};

pub use edge::Edge;
pub use path::TilePath;
pub use prove::{consistency_proof, consistency_tiles, inclusion_proof, inclusion_tiles, root_of};
pub use tile::{TILE_WIDTH, Tile, TileId, TileSource, Tiles};
pub use verify::{ProofError, verify_consistency, verify_inclusion};

/// Length of a SHA-256 hash in bytes.
pub const HASH_LEN: usize = 32;

/// The largest tree this crate builds. It fits a signed 64-bit database column, and no edge loaded
/// at or below it can be appended to until a 64-bit size overflows.
pub const MAX_TREE_SIZE: u64 = 1 << 62;

/// The root of the empty tree: SHA-256 of the empty string (RFC 6962 §2.1).
pub const EMPTY_ROOT: Hash = Hash([
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27,
    0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
]);

/// A SHA-256 hash: of a leaf, a node, a root, or of anything an entry names by digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash([u8; HASH_LEN]);

impl Hash {
    /// Takes 32 bytes as they are.
    pub const fn from_bytes(bytes: [u8; HASH_LEN]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; HASH_LEN] {
        &self.0
    }

    /// Takes a slice of exactly 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// SHA-256 of `data`, without a Merkle prefix.
    pub fn of(data: &[u8]) -> Self {
        Self::from_digest(&digest(&SHA256, data))
    }

    /// Parses 44 characters of standard base64 (RFC 4648 §4), padded and canonical.
    pub fn parse_base64(text: &str) -> Option<Self> {
        Self::decode(&STANDARD, text)
    }

    /// Standard base64 (RFC 4648 §4), as checkpoints and proofs write it.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.0)
    }

    /// Parses 43 characters of unpadded base64url (RFC 4648 §5), canonical.
    pub fn parse_base64url(text: &str) -> Option<Self> {
        Self::decode(&URL_SAFE_NO_PAD, text)
    }

    /// Unpadded base64url (RFC 4648 §5), as log entries write it.
    pub fn to_base64url(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    fn decode(engine: &impl Engine, text: &str) -> Option<Self> {
        // `decode_slice` asks for room by its own estimate, up to 33 bytes for 44 characters.
        let mut room = [0; HASH_LEN + 4];
        let length = engine.decode_slice(text, &mut room).ok()?;
        Self::from_slice(room.get(..length)?)
    }

    fn from_digest(digest: &ring::digest::Digest) -> Self {
        let mut bytes = [0; HASH_LEN];
        // SHA-256 always gives 32 bytes; `zip` only spares a panic path.
        for (to, from) in bytes.iter_mut().zip(digest.as_ref()) {
            *to = *from;
        }
        Self(bytes)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_base64())
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// SHA-256(0x00 ‖ entry), RFC 6962 §2.1.
pub fn leaf_hash(entry: &[u8]) -> Hash {
    let mut context = Context::new(&SHA256);
    context.update(&[0x00]);
    context.update(entry);
    Hash::from_digest(&context.finish())
}

/// SHA-256(0x01 ‖ left ‖ right), RFC 6962 §2.1.
pub fn node_hash(left: Hash, right: Hash) -> Hash {
    let mut input = [0x01; 1 + 2 * HASH_LEN];
    input[1..=HASH_LEN].copy_from_slice(&left.0);
    input[1 + HASH_LEN..].copy_from_slice(&right.0);
    Hash::from_digest(&digest(&SHA256, &input))
}

/// Why a tree, a tile or a proof could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// The tile is neither in the store handed over nor in the edge: load it first.
    #[error("tile {}/{} is not loaded", .0.level, .0.index)]
    TileMissing(TileId),
    /// The tile holds fewer hashes than the tree size asks for.
    #[error("tile {}/{} holds {width} hashes where {needed} are needed", .id.level, .id.index)]
    TileTooNarrow {
        /// The tile.
        id: TileId,
        /// Hashes it holds.
        width: u16,
        /// Hashes the size asks for.
        needed: u16,
    },
    /// A tile's bytes are not 1 to 256 hashes of 32 bytes.
    #[error("a tile is 1 to 256 hashes of 32 bytes")]
    TileLength,
    /// A 257th hash was pushed.
    #[error("the tile is full")]
    TileFull,
    /// The leaf lies outside the tree.
    #[error("leaf {index} is not in a tree of size {size}")]
    IndexOutside {
        /// Index of the leaf, from 0.
        index: u64,
        /// Leaves in the tree.
        size: u64,
    },
    /// A consistency proof was asked for from a larger tree to a smaller one.
    #[error("a tree of size {old} is not a prefix of one of size {new}")]
    SizeOrder {
        /// Size of the earlier tree.
        old: u64,
        /// Size of the later tree.
        new: u64,
    },
    /// More leaves than [`MAX_TREE_SIZE`].
    #[error("a tree has at most 2^62 leaves")]
    TooLarge,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_read_only_their_canonical_base64() {
        let hash = Hash::of(b"");
        assert_eq!(hash, EMPTY_ROOT);
        assert_eq!(Hash::parse_base64(&hash.to_base64()), Some(hash));
        assert_eq!(Hash::parse_base64url(&hash.to_base64url()), Some(hash));
        assert_eq!(hash.to_base64url().len(), 43);
        assert_eq!(format!("{hash:?}"), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
        for bad in [
            "",
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU", // no padding
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV=", // stray bits behind the last byte
            "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU=", // the other alphabet
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFUA", // 33 bytes
            &"A".repeat(4000),
        ] {
            assert_eq!(Hash::parse_base64(bad), None, "{bad}");
        }
        assert_eq!(Hash::parse_base64url("47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFV"), None);
        assert_eq!(Hash::parse_base64url("47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU="), None);
    }
}
