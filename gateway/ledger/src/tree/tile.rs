//! Tiles of height 8 (C2SP tlog-tiles "Merkle Tree"): 1 to 256 consecutive hashes of one level.

use std::collections::BTreeMap;

use super::{HASH_LEN, Hash, TreeError, node_hash};

/// Hashes in a full tile.
pub const TILE_WIDTH: u16 = 256;

/// Tree levels one tile spans: a full tile's root stands in the tile level above.
pub(super) const TILE_HEIGHT: u32 = 8;

/// Which tile: hash `i` of tile `index` on `level` is the root of the `256^level` leaves from
/// `(index * 256 + i) * 256^level`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TileId {
    /// Tile level, 0 (leaf hashes) to 7 for any tree this crate builds.
    pub level: u8,
    /// Position within the level, from 0.
    pub index: u64,
}

impl TileId {
    /// How many hashes of this tile a tree of `size` leaves has: 0 (the tile is not yet begun) to 256.
    pub fn width_at(self, size: u64) -> u16 {
        let hashes = shift_right(size, TILE_HEIGHT * u32::from(self.level));
        let before = self.index.saturating_mul(u64::from(TILE_WIDTH));
        // At most 256, so the conversion never takes the default.
        u16::try_from(hashes.saturating_sub(before).min(u64::from(TILE_WIDTH))).unwrap_or(TILE_WIDTH)
    }
}

/// `value >> bits`, 0 from 64 bits on.
pub(super) fn shift_right(value: u64, bits: u32) -> u64 {
    value.checked_shr(bits).unwrap_or(0)
}

/// The hashes of one tile, with the inner nodes over them, each computed once.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tile {
    /// `nodes[h][i]` is the root of hashes `i << h` to `(i + 1) << h`; only complete nodes are held, so
    /// `nodes[h].len() == width >> h`.
    nodes: [Vec<Hash>; TILE_HEIGHT as usize + 1],
}

impl Tile {
    /// A tile without hashes, to push into. It is never stored or served.
    pub fn new() -> Self {
        Self::default()
    }

    /// Builds a tile of 1 to 256 hashes.
    pub fn from_hashes(hashes: &[Hash]) -> Result<Self, TreeError> {
        if hashes.is_empty() {
            return Err(TreeError::TileLength);
        }
        let mut tile = Self::new();
        for hash in hashes {
            tile.push(*hash).map_err(|_| TreeError::TileLength)?;
        }
        Ok(tile)
    }

    /// Parses a stored or served tile: its hashes one after the other.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TreeError> {
        let (hashes, rest) = bytes.as_chunks::<HASH_LEN>();
        if !rest.is_empty() || hashes.is_empty() || hashes.len() > usize::from(TILE_WIDTH) {
            return Err(TreeError::TileLength);
        }
        let mut tile = Self::new();
        for hash in hashes {
            tile.push(Hash::from_bytes(*hash))?;
        }
        Ok(tile)
    }

    /// The hashes one after the other, 32 bytes each: the resource `tile/<L>/<N>[.p/<W>]`.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.hashes().len() * HASH_LEN);
        for hash in self.hashes() {
            bytes.extend_from_slice(hash.as_bytes());
        }
        bytes
    }

    /// Appends a hash and computes the inner nodes it completes: one node hash on average.
    pub fn push(&mut self, hash: Hash) -> Result<(), TreeError> {
        if self.is_full() {
            return Err(TreeError::TileFull);
        }
        let mut carried = hash;
        for row in &mut self.nodes {
            row.push(carried);
            // A row of even length has just completed a node of the row above. The top row holds at
            // most one node, so the loop ends there.
            let [.., left, right] = row.as_slice() else { break };
            if row.len() % 2 != 0 {
                break;
            }
            carried = node_hash(*left, *right);
        }
        Ok(())
    }

    /// Cuts the tile down to its first `width` hashes; a wider `width` changes nothing.
    pub fn truncate(&mut self, width: u16) {
        for (height, row) in self.nodes.iter_mut().enumerate() {
            row.truncate(usize::from(width) >> height);
        }
    }

    /// The hashes of the tile, left to right.
    pub fn hashes(&self) -> &[Hash] {
        &self.nodes[0]
    }

    /// Number of hashes, 0 to 256.
    pub fn width(&self) -> u16 {
        // `push` stops at 256, so the conversion never takes the default.
        u16::try_from(self.hashes().len()).unwrap_or(TILE_WIDTH)
    }

    /// Whether all 256 hashes are there.
    pub fn is_full(&self) -> bool {
        self.width() >= TILE_WIDTH
    }

    /// The complete node `index` of `height` (0 to 8) above the tile's hashes.
    pub fn node(&self, height: u8, index: u16) -> Option<Hash> {
        self.nodes.get(usize::from(height))?.get(usize::from(index)).copied()
    }

    /// The root of a full tile: the hash that stands for it on the level above.
    pub fn root(&self) -> Option<Hash> {
        // Height 8: the last row.
        self.nodes[TILE_HEIGHT as usize].first().copied()
    }
}

/// Where proofs find tiles: [`Tiles`] loaded for the purpose, or an [`super::Edge`] in memory.
pub trait TileSource {
    /// The tile, if it is held here.
    fn tile(&self, id: TileId) -> Option<&Tile>;
}

/// A set of tiles in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tiles {
    tiles: BTreeMap<TileId, Tile>,
}

impl Tiles {
    /// No tiles yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a tile and gives back the one it replaces.
    pub fn insert(&mut self, id: TileId, tile: Tile) -> Option<Tile> {
        self.tiles.insert(id, tile)
    }

    /// Whether the tile is there, at whatever width.
    pub fn contains(&self, id: TileId) -> bool {
        self.tiles.contains_key(&id)
    }

    /// Takes a tile out.
    pub fn remove(&mut self, id: TileId) -> Option<Tile> {
        self.tiles.remove(&id)
    }

    /// All tiles, by level and index.
    pub fn iter(&self) -> impl Iterator<Item = (TileId, &Tile)> {
        self.tiles.iter().map(|(id, tile)| (*id, tile))
    }

    /// Number of tiles.
    pub fn len(&self) -> usize {
        self.tiles.len()
    }

    /// Whether there is no tile.
    pub fn is_empty(&self) -> bool {
        self.tiles.is_empty()
    }
}

impl TileSource for Tiles {
    fn tile(&self, id: TileId) -> Option<&Tile> {
        self.tiles.get(&id)
    }
}

impl FromIterator<(TileId, Tile)> for Tiles {
    fn from_iter<I: IntoIterator<Item = (TileId, Tile)>>(tiles: I) -> Self {
        Self { tiles: tiles.into_iter().collect() }
    }
}

impl Extend<(TileId, Tile)> for Tiles {
    fn extend<I: IntoIterator<Item = (TileId, Tile)>>(&mut self, tiles: I) {
        self.tiles.extend(tiles);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::leaf_hash;

    fn hashes(count: u16) -> Vec<Hash> {
        (0..count).map(|i| leaf_hash(&i.to_be_bytes())).collect()
    }

    #[test]
    fn a_tile_is_the_bytes_of_its_hashes() {
        for width in [1, 2, 3, 127, 128, 255, 256] {
            let tile = Tile::from_hashes(&hashes(width)).unwrap();
            assert_eq!(tile.width(), width);
            assert_eq!(tile.to_bytes().len(), usize::from(width) * 32);
            assert_eq!(Tile::from_bytes(&tile.to_bytes()).unwrap(), tile);
            assert_eq!(tile.root().is_some(), width == 256);
        }
    }

    #[test]
    fn refuses_other_lengths() {
        for length in [0, 1, 31, 33, 257 * 32] {
            assert_eq!(Tile::from_bytes(&vec![0; length]), Err(TreeError::TileLength), "{length}");
        }
        assert_eq!(Tile::from_hashes(&[]), Err(TreeError::TileLength));
        assert_eq!(Tile::from_hashes(&hashes(257)), Err(TreeError::TileLength));
        let mut full = Tile::from_hashes(&hashes(256)).unwrap();
        assert_eq!(full.push(hashes(1)[0]), Err(TreeError::TileFull));
        assert_eq!(full, Tile::from_hashes(&hashes(256)).unwrap());
    }

    #[test]
    fn truncating_undoes_pushing() {
        let all = hashes(256);
        for width in 0..=256 {
            let mut tile = Tile::from_hashes(&all).unwrap();
            tile.truncate(width);
            let mut fresh = Tile::new();
            for hash in &all[..usize::from(width)] {
                fresh.push(*hash).unwrap();
            }
            assert_eq!(tile, fresh);
        }
    }

    #[test]
    fn inner_nodes_are_the_hashes_of_their_children() {
        let tile = Tile::from_hashes(&hashes(200)).unwrap();
        for height in 1..=8_u8 {
            for index in 0..200_u16 >> height {
                let left = tile.node(height - 1, 2 * index).unwrap();
                let right = tile.node(height - 1, 2 * index + 1).unwrap();
                assert_eq!(tile.node(height, index), Some(node_hash(left, right)));
            }
            assert_eq!(tile.node(height, 200 >> height), None);
        }
        assert_eq!(tile.node(9, 0), None);
    }

    /// The worked example of C2SP tlog-tiles, "Partial Tiles".
    #[test]
    fn widths_of_a_tree_of_seventy_thousand() {
        let width = |level, index| TileId { level, index }.width_at(70_000);
        assert_eq!((width(0, 272), width(0, 273), width(0, 274)), (256, 112, 0));
        assert_eq!((width(1, 0), width(1, 1)), (256, 17));
        assert_eq!((width(2, 0), width(2, 1), width(3, 0)), (1, 0, 0));
        assert_eq!(TileId { level: 255, index: u64::MAX }.width_at(u64::MAX), 0);
    }
}
