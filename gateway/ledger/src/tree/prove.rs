//! Making inclusion and consistency proofs from tiles (RFC 6962 §2.1.1 and §2.1.2).
//!
//! A proof is a list of subtree roots. Each walk below first names the subtrees as leaf ranges; a range
//! then splits into complete nodes, and each node lies in one tile. Only complete nodes of the asked
//! size are read, so wider tiles give the same proof.

use std::ops::Range;

use super::tile::{TILE_HEIGHT, TILE_WIDTH};
use super::{EMPTY_ROOT, Hash, TileId, TileSource, TreeError, node_hash};

/// The tiles that [`inclusion_proof`] reads, each once, by level and index.
pub fn inclusion_tiles(index: u64, size: u64) -> Vec<TileId> {
    inclusion_ranges(index, size).map_or_else(|_| Vec::new(), |ranges| tiles_of(&ranges))
}

/// The tiles that [`consistency_proof`] reads, each once, by level and index.
pub fn consistency_tiles(old: u64, new: u64) -> Vec<TileId> {
    consistency_ranges(old, new).map_or_else(|_| Vec::new(), |ranges| tiles_of(&ranges))
}

/// The audit path of leaf `index` in the tree of the first `size` leaves, leaf upward (RFC 6962 §2.1.1).
pub fn inclusion_proof(index: u64, size: u64, tiles: &impl TileSource) -> Result<Vec<Hash>, TreeError> {
    inclusion_ranges(index, size)?.into_iter().map(|range| range_root(range, tiles)).collect()
}

/// The proof that the tree of `old` leaves is a prefix of that of `new` leaves (RFC 6962 §2.1.2).
///
/// Empty for equal sizes and for `old` = 0.
pub fn consistency_proof(old: u64, new: u64, tiles: &impl TileSource) -> Result<Vec<Hash>, TreeError> {
    consistency_ranges(old, new)?.into_iter().map(|range| range_root(range, tiles)).collect()
}

/// The root of the tree of the first `size` leaves, in O(log size) hashes.
pub fn root_of(size: u64, tiles: &impl TileSource) -> Result<Hash, TreeError> {
    if size == 0 { Ok(EMPTY_ROOT) } else { range_root(0..size, tiles) }
}

/// The largest power of two below `width`, which is at least 2: RFC 6962's `k`.
fn split_point(width: u64) -> u64 {
    1 << (width - 1).ilog2()
}

/// Sibling subtrees on the way from the leaf to the root, leaf upward.
fn inclusion_ranges(index: u64, size: u64) -> Result<Vec<Range<u64>>, TreeError> {
    if index >= size {
        return Err(TreeError::IndexOutside { index, size });
    }
    let mut siblings = Vec::new();
    let (mut from, mut to) = (0, size);
    while to - from > 1 {
        let middle = from + split_point(to - from);
        if index < middle {
            siblings.push(middle..to);
            to = middle;
        } else {
            siblings.push(from..middle);
            from = middle;
        }
    }
    siblings.reverse();
    Ok(siblings)
}

/// RFC 6962 §2.1.2 `SUBPROOF`, as ranges, leaf upward.
fn consistency_ranges(old: u64, new: u64) -> Result<Vec<Range<u64>>, TreeError> {
    if old > new {
        return Err(TreeError::SizeOrder { old, new });
    }
    let mut ranges = Vec::new();
    if old == 0 {
        return Ok(ranges);
    }
    let (mut from, mut to) = (0, new);
    while old != to {
        let middle = from + split_point(to - from);
        if old <= middle {
            ranges.push(middle..to);
            to = middle;
        } else {
            ranges.push(from..middle);
            from = middle;
        }
    }
    // From leaf 0 on, the subtree is the old tree itself, whose root the verifier knows.
    if from != 0 {
        ranges.push(from..to);
    }
    ranges.reverse();
    Ok(ranges)
}

/// A complete subtree: the `2^height` leaves from `index << height`.
#[derive(Clone, Copy)]
struct Node {
    height: u32,
    index: u64,
}

impl Node {
    /// The tile holding this node, and the node's height and index within it.
    fn place(self) -> (TileId, u8, u16) {
        let within = self.height % TILE_HEIGHT;
        let per_tile = TILE_HEIGHT - within;
        // Height is at most 63, so the level at most 7; the index within a tile is below 256.
        let level = u8::try_from(self.height / TILE_HEIGHT).unwrap_or(u8::MAX);
        let inner = u16::try_from(self.index & ((1 << per_tile) - 1)).unwrap_or(TILE_WIDTH);
        (TileId { level, index: self.index >> per_tile }, within as u8, inner)
    }

    fn hash(self, tiles: &impl TileSource) -> Result<Hash, TreeError> {
        let (id, height, index) = self.place();
        let tile = tiles.tile(id).ok_or(TreeError::TileMissing(id))?;
        let needed = (index + 1) << height;
        tile.node(height, index).ok_or(TreeError::TileTooNarrow { id, width: tile.width(), needed })
    }
}

/// The complete nodes covering `range`, left to right and strictly shrinking. `range.start` is a
/// multiple of the power of two at or above the range's length, as all ranges above are.
fn nodes_of(range: Range<u64>) -> impl Iterator<Item = Node> {
    let mut from = range.start;
    std::iter::from_fn(move || {
        let left = range.end.checked_sub(from).filter(|left| *left > 0)?;
        let height = left.ilog2();
        let node = Node { height, index: from >> height };
        from += 1 << height;
        Some(node)
    })
}

fn tiles_of(ranges: &[Range<u64>]) -> Vec<TileId> {
    let mut ids: Vec<_> = ranges.iter().cloned().flat_map(nodes_of).map(|node| node.place().0).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// The Merkle tree hash of the leaves of a non-empty range.
fn range_root(range: Range<u64>, tiles: &impl TileSource) -> Result<Hash, TreeError> {
    let nodes = nodes_of(range).map(|node| node.hash(tiles)).collect::<Result<Vec<_>, _>>()?;
    Ok(nodes.into_iter().rev().reduce(|right, left| node_hash(left, right)).unwrap_or(EMPTY_ROOT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Edge, Tile, Tiles, leaf_hash};

    #[test]
    fn says_which_tile_is_missing_or_too_narrow() {
        let id = TileId { level: 0, index: 0 };
        let mut tiles = Tiles::new();
        assert_eq!(inclusion_proof(0, 2, &tiles), Err(TreeError::TileMissing(id)));
        tiles.insert(id, Tile::from_hashes(&[leaf_hash(b"")]).unwrap());
        let narrow = TreeError::TileTooNarrow { id, width: 1, needed: 2 };
        assert_eq!(inclusion_proof(0, 2, &tiles), Err(narrow));
        assert_eq!(inclusion_proof(0, 1, &tiles), Ok(vec![]));
    }

    #[test]
    fn refuses_what_is_not_in_the_tree() {
        let tiles = Tiles::new();
        assert_eq!(inclusion_proof(0, 0, &tiles), Err(TreeError::IndexOutside { index: 0, size: 0 }));
        assert_eq!(consistency_proof(2, 1, &tiles), Err(TreeError::SizeOrder { old: 2, new: 1 }));
        assert_eq!(consistency_proof(0, 9, &tiles), Ok(vec![]));
        assert_eq!(consistency_proof(9, 9, &tiles), Ok(vec![]));
        assert_eq!(root_of(0, &tiles), Ok(EMPTY_ROOT));
        assert!(inclusion_tiles(5, 5).is_empty() && consistency_tiles(6, 5).is_empty());
    }

    #[test]
    fn few_tiles_even_in_the_largest_tree() {
        for size in [u64::MAX, 1 << 63, (1 << 40) + 12_345] {
            for index in [0, size / 3, size - 1] {
                assert!(inclusion_tiles(index, size).len() <= 16);
            }
            assert!(consistency_tiles(size / 3, size).len() <= 24);
        }
        assert_eq!(inclusion_tiles(0, 256), [TileId { level: 0, index: 0 }]);
        assert_eq!(inclusion_tiles(0, 257), [TileId { level: 0, index: 0 }, TileId { level: 0, index: 1 }]);
    }

    #[test]
    fn the_tiles_named_are_the_tiles_read() {
        let mut edge = Edge::empty();
        for i in 0..70_000_u32 {
            edge.append(leaf_hash(&i.to_be_bytes()));
        }
        let all: Tiles = edge.take_changed().into_iter().collect();
        let only = |ids: Vec<TileId>| -> Tiles {
            ids.into_iter().map(|id| (id, all.tile(id).unwrap().clone())).collect()
        };
        for (index, size) in [(0, 70_000), (69_999, 70_000), (65_535, 65_536), (300, 65_537), (255, 257)] {
            let tiles = only(inclusion_tiles(index, size));
            assert_eq!(inclusion_proof(index, size, &tiles), inclusion_proof(index, size, &all));
            assert!(inclusion_proof(index, size, &tiles).is_ok());
            let tiles = only(consistency_tiles(index + 1, size));
            assert_eq!(consistency_proof(index + 1, size, &tiles), consistency_proof(index + 1, size, &all));
            assert!(consistency_proof(index + 1, size, &tiles).is_ok());
        }
    }
}
