//! The right edge of a growing tree: all that appending needs, at most eight tiles.

use std::collections::BTreeMap;

use super::tile::{TILE_HEIGHT, shift_right};
use super::{
    EMPTY_ROOT, Hash, MAX_TREE_SIZE, Tile, TileId, TileSource, Tiles, TreeError, inclusion_proof, node_hash,
};

/// Tile levels of the largest tree: `8 * 8` bits hold any size.
const LEVELS: u8 = 8;

/// A tree of `size` leaves, reduced to the rightmost partial tile of each level and the tiles completed
/// since the last [`Edge::take_changed`]. Clone it before a batch to be able to fall back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    size: u64,
    /// `partial[level]` is the tile being filled, of width `(size >> 8 * level) % 256`, maybe empty.
    partial: Vec<Tile>,
    /// Filled since the last `take_changed`; held so that their leaves can still be proved.
    completed: BTreeMap<TileId, Tile>,
    /// The size at the last `take_changed`: tiles up to it are stored.
    taken_size: u64,
}

impl Edge {
    /// The edge of the empty tree.
    pub fn empty() -> Self {
        Self { size: 0, partial: Vec::new(), completed: BTreeMap::new(), taken_size: 0 }
    }

    /// The stored tiles that [`Edge::from_tiles`] needs, each with the hashes it must hold at least.
    pub fn tiles_needed(size: u64) -> Vec<(TileId, u16)> {
        (0..LEVELS)
            .map(|level| right_tile(level, size))
            .map(|id| (id, id.width_at(size)))
            .filter(|(_, width)| *width > 0)
            .collect()
    }

    /// Rebuilds the edge of a tree of `size` leaves from stored tiles, which may be wider than needed.
    ///
    /// Compare [`Edge::root`] with the last signed checkpoint before appending: a bit flipped in storage
    /// must be found before it is signed.
    pub fn from_tiles(size: u64, mut tiles: Tiles) -> Result<Self, TreeError> {
        if size > MAX_TREE_SIZE {
            return Err(TreeError::TooLarge);
        }
        let mut edge = Self { size, taken_size: size, ..Self::empty() };
        for (id, needed) in Self::tiles_needed(size) {
            let mut tile = tiles.remove(id).ok_or(TreeError::TileMissing(id))?;
            let width = tile.width();
            if width < needed {
                return Err(TreeError::TileTooNarrow { id, width, needed });
            }
            tile.truncate(needed);
            edge.partial.resize_with(usize::from(id.level), Tile::new);
            edge.partial.push(tile);
        }
        Ok(edge)
    }

    /// Appends a leaf and returns its index. Two node hashes on average over all levels.
    pub fn append(&mut self, leaf: Hash) -> u64 {
        let index = self.size;
        // Sizes start at or below 2^62: no one appends 2^63 leaves to reach an overflow.
        self.size += 1;
        let mut carried = leaf;
        for level in 0..LEVELS {
            if self.partial.len() == usize::from(level) {
                self.partial.push(Tile::new());
            }
            let Some(tile) = self.partial.get_mut(usize::from(level)) else {
                break;
            };
            // A full tile is taken out at once below, so there is always room.
            if tile.push(carried).is_err() {
                break;
            }
            let Some(root) = tile.root() else { break };
            let id = TileId { level, index: right_tile(level, self.size).index.saturating_sub(1) };
            self.completed.insert(id, std::mem::take(tile));
            carried = root;
        }
        index
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root of the tree, in O(log size) hashes.
    pub fn root(&self) -> Hash {
        // The complete subtrees of the tree, smallest first: one for each bit set in its size, and all
        // of them in the rightmost tiles.
        let subtrees = self.partial.iter().flat_map(|tile| {
            let width = tile.width();
            (0..TILE_HEIGHT as u8)
                .filter(move |height| width >> height & 1 == 1)
                .filter_map(move |height| tile.node(height, (width >> height) - 1))
        });
        subtrees.reduce(|right, left| node_hash(left, right)).unwrap_or(EMPTY_ROOT)
    }

    /// Proves a leaf lying in the edge, at the tree's present size, without loading anything.
    ///
    /// Works for every leaf appended since the last [`Edge::take_changed`] and for those beside it in
    /// the same tile; for others [`TreeError::TileMissing`].
    pub fn inclusion_proof(&self, index: u64) -> Result<Vec<Hash>, TreeError> {
        inclusion_proof(index, self.size, self)
    }

    /// The tiles changed since the last call, to be stored: those completed, then the partial ones on
    /// the right. Afterwards the completed tiles are no longer held here.
    pub fn take_changed(&mut self) -> Vec<(TileId, Tile)> {
        let mut changed: Vec<_> = std::mem::take(&mut self.completed).into_iter().collect();
        for (level, tile) in (0..LEVELS).zip(&self.partial) {
            let bits = TILE_HEIGHT * u32::from(level);
            let grew = shift_right(self.size, bits) != shift_right(self.taken_size, bits);
            if grew && tile.width() > 0 {
                changed.push((right_tile(level, self.size), tile.clone()));
            }
        }
        self.taken_size = self.size;
        changed
    }
}

impl TileSource for Edge {
    fn tile(&self, id: TileId) -> Option<&Tile> {
        if id == right_tile(id.level, self.size) {
            self.partial.get(usize::from(id.level)).filter(|tile| tile.width() > 0)
        } else {
            self.completed.get(&id)
        }
    }
}

/// The tile of `level` that the next leaf of a tree of `size` leaves grows.
fn right_tile(level: u8, size: u64) -> TileId {
    TileId { level, index: shift_right(size, TILE_HEIGHT * (u32::from(level) + 1)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{leaf_hash, root_of};

    fn leaf(index: u64) -> Hash {
        leaf_hash(&index.to_be_bytes())
    }

    /// MTH of RFC 6962 §2.1, written as the RFC writes it.
    fn naive_root(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => EMPTY_ROOT,
            [one] => *one,
            _ => {
                let (left, right) = leaves.split_at(1 << (leaves.len() - 1).ilog2());
                node_hash(naive_root(left), naive_root(right))
            }
        }
    }

    #[test]
    fn grows_like_the_definition() {
        let mut edge = Edge::empty();
        let mut leaves = Vec::new();
        assert_eq!(edge.root(), EMPTY_ROOT);
        for index in 0..1100 {
            leaves.push(leaf(index));
            assert_eq!(edge.append(leaf(index)), index);
            assert_eq!(edge.size(), index + 1);
            assert_eq!(edge.root(), naive_root(&leaves), "{index}");
            assert_eq!(root_of(index + 1, &edge), Ok(edge.root()));
        }
    }

    #[test]
    fn stored_tiles_rebuild_it_at_every_size() {
        let mut stored = Tiles::new();
        let mut edge = Edge::empty();
        let mut roots = vec![edge.root()];
        for index in 0..1300 {
            edge.append(leaf(index));
            roots.push(edge.root());
            stored.extend(edge.take_changed());
            let again = Edge::from_tiles(edge.size(), stored.clone()).unwrap();
            assert_eq!(again, edge);
        }
        // Earlier sizes out of the same, wider tiles.
        for (size, root) in (0..).zip(&roots) {
            assert_eq!(root_of(size, &stored), Ok(*root));
            assert_eq!(Edge::from_tiles(size, stored.clone()).unwrap().root(), *root);
        }
    }

    #[test]
    fn gives_each_changed_tile_once_at_its_width() {
        for step in [1, 7, 256, 257, 1000] {
            let mut edge = Edge::empty();
            let mut stored = Tiles::new();
            while edge.size() < 3000 {
                for _ in 0..step {
                    edge.append(leaf(edge.size()));
                }
                let changed = edge.take_changed();
                for (id, tile) in &changed {
                    assert_eq!(tile.width(), id.width_at(edge.size()));
                }
                let count = changed.len();
                stored.extend(changed);
                assert!(count <= step / 256 + 5);
                assert_eq!(edge.take_changed(), vec![]);
            }
            let hashes: Vec<_> =
                stored.iter().filter(|(id, _)| id.level == 0).flat_map(|(_, t)| t.hashes()).collect();
            assert_eq!(hashes.len() as u64, edge.size());
            assert!(hashes.iter().zip(0..).all(|(hash, index)| **hash == leaf(index)));
        }
    }

    #[test]
    fn proves_every_leaf_of_the_batch_that_fills_tiles() {
        let mut edge = Edge::empty();
        for index in 0..65_400 {
            edge.append(leaf(index));
        }
        edge.take_changed();
        for index in 65_400..66_000 {
            edge.append(leaf(index));
        }
        // 65,280 is the first leaf of the tile that was partial when the batch began.
        for index in 65_280..66_000 {
            let proof = edge.inclusion_proof(index).unwrap();
            crate::tree::verify_inclusion(leaf(index), index, 66_000, &proof, edge.root()).unwrap();
        }
        assert!(matches!(edge.inclusion_proof(65_279), Err(TreeError::TileMissing(_))));
        edge.take_changed();
        assert!(edge.inclusion_proof(65_999).is_ok());
        assert!(edge.inclusion_proof(65_500).is_err());
    }

    #[test]
    fn refuses_missing_narrow_and_oversized() {
        let mut edge = Edge::empty();
        for index in 0..300 {
            edge.append(leaf(index));
        }
        let stored: Tiles = edge.take_changed().into_iter().collect();
        assert_eq!(
            Edge::tiles_needed(300),
            [(TileId { level: 0, index: 1 }, 44), (TileId { level: 1, index: 0 }, 1)]
        );
        let id = TileId { level: 0, index: 1 };
        let narrow = TreeError::TileTooNarrow { id, width: 44, needed: 45 };
        assert_eq!(Edge::from_tiles(301, stored), Err(narrow));
        assert_eq!(Edge::from_tiles(301, Tiles::new()), Err(TreeError::TileMissing(id)));
        assert_eq!(Edge::from_tiles(MAX_TREE_SIZE + 1, Tiles::new()), Err(TreeError::TooLarge));
        assert!(Edge::tiles_needed(u64::MAX).len() == 8);
    }
}
