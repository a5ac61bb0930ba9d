//! Tree, tiles and proofs against the crate `tlog_tiles`, an independent implementation; and properties.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helper functions too")]

use std::sync::OnceLock;

use proptest::prelude::*;
use silkgate_ledger::tree::{
    Edge, Hash, TileId, TilePath, TileSource, Tiles, consistency_proof, inclusion_proof, leaf_hash, root_of,
    verify_consistency, verify_inclusion,
};
use tlog_tiles::tlog;

/// Sizes around the edges of tiles, and some in between.
const SIZES: [u64; 17] = [1, 2, 3, 4, 5, 7, 8, 100, 255, 256, 257, 511, 513, 5000, 65_535, 65_536, 65_537];

const LEAVES: u64 = 65_800;

/// The oracle's dense storage of all complete nodes.
struct Stored(Vec<tlog::Hash>);

impl tlog::HashReader for Stored {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog::Hash>, tlog::Error> {
        Ok(indexes.iter().map(|at| self.0[*at as usize]).collect())
    }
}

struct Both {
    oracle: Stored,
    ours: Tiles,
}

/// The same log of `LEAVES` entries, built by both sides once.
fn both() -> &'static Both {
    static BOTH: OnceLock<Both> = OnceLock::new();
    BOTH.get_or_init(|| {
        let mut oracle = Stored(Vec::new());
        let mut edge = Edge::empty();
        for index in 0..LEAVES {
            let stored = tlog::stored_hashes(index, &entry(index), &oracle).unwrap();
            oracle.0.extend(stored);
            assert_eq!(edge.append(leaf_hash(&entry(index))), index);
        }
        Both { oracle, ours: edge.take_changed().into_iter().collect() }
    })
}

fn entry(index: u64) -> Vec<u8> {
    format!("entry {index}").into_bytes()
}

fn theirs(hash: Hash) -> tlog::Hash {
    tlog::Hash(*hash.as_bytes())
}

fn ours(hashes: Vec<tlog::Hash>) -> Vec<Hash> {
    hashes.into_iter().map(|hash| Hash::from_bytes(hash.0)).collect()
}

#[test]
fn roots_agree() {
    let Both { oracle, ours: tiles } = both();
    assert_eq!(theirs(root_of(0, tiles).unwrap()), tlog::EMPTY_HASH);
    for size in SIZES {
        assert_eq!(theirs(root_of(size, tiles).unwrap()), tlog::tree_hash(size, oracle).unwrap(), "{size}");
    }
}

#[test]
fn tiles_agree_with_their_bytes_and_paths() {
    let Both { oracle, ours: tiles } = both();
    for size in SIZES {
        let mut edge = Edge::from_tiles(size, tiles.clone()).unwrap();
        assert!(edge.take_changed().is_empty());
        for theirs in tlog_tiles::Tile::new_tiles(8, 0, size) {
            let id = TileId { level: theirs.level(), index: theirs.level_index() };
            let width = u16::try_from(theirs.width()).unwrap();
            assert_eq!(id.width_at(size), width);
            let mut tile = tiles.tile(id).unwrap().clone();
            tile.truncate(width);
            assert_eq!(tile.to_bytes(), theirs.read_data(oracle).unwrap(), "{id:?} at {size}");
            // C2SP leaves out the height that the older path of the Go checksum database carries.
            let path = TilePath::Hashes { id, width }.to_string();
            assert_eq!(path.replacen("tile/", "tile/8/", 1), theirs.path());
        }
    }
}

#[test]
fn changed_tiles_are_the_ones_the_oracle_publishes() {
    let mut edge = Edge::empty();
    for pair in [0, 1, 2, 255, 256, 257, 600, 65_535, 65_536, 65_537, 65_800].windows(2) {
        for index in pair[0]..pair[1] {
            edge.append(leaf_hash(&entry(index)));
        }
        let mut changed: Vec<_> = edge
            .take_changed()
            .iter()
            .map(|(id, tile)| (id.level, id.index, u32::from(tile.width())))
            .collect();
        let mut wanted: Vec<_> = tlog_tiles::Tile::new_tiles(8, pair[0], pair[1])
            .iter()
            .map(|tile| (tile.level(), tile.level_index(), tile.width()))
            .collect();
        changed.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(changed, wanted, "{pair:?}");
    }
}

fn check_inclusion(index: u64, size: u64) {
    let Both { oracle, ours: tiles } = both();
    let proof = inclusion_proof(index, size, tiles).unwrap();
    assert_eq!(proof, ours(tlog::prove_record(size, index, oracle).unwrap()), "{index}/{size}");
    let root = root_of(size, tiles).unwrap();
    verify_inclusion(leaf_hash(&entry(index)), index, size, &proof, root).unwrap();
}

fn check_consistency(old: u64, new: u64) {
    let Both { oracle, ours: tiles } = both();
    let proof = consistency_proof(old, new, tiles).unwrap();
    assert_eq!(proof, ours(tlog::prove_tree(new, old, oracle).unwrap()), "{old}-{new}");
    let (old_root, new_root) = (root_of(old, tiles).unwrap(), root_of(new, tiles).unwrap());
    verify_consistency(old, old_root, new, new_root, &proof).unwrap();
    let proof = proof.into_iter().map(theirs).collect();
    tlog::check_tree(&proof, new, theirs(new_root), old, theirs(old_root)).unwrap();
}

#[test]
fn proofs_agree_at_the_edges_of_tiles() {
    for size in SIZES {
        for index in SIZES.into_iter().chain([0, 254, 65_279, 65_280]).filter(|index| *index < size) {
            check_inclusion(index, size);
            check_consistency(index + 1, size);
        }
    }
}

#[test]
fn proofs_agree_for_every_pair_of_small_sizes() {
    for size in 1..=140 {
        for index in 0..size {
            check_inclusion(index, size);
            check_consistency(index + 1, size);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn proofs_agree_anywhere((index, size) in (1..=LEAVES).prop_flat_map(|size| (0..size, Just(size)))) {
        check_inclusion(index, size);
        check_consistency(index + 1, size);
    }

    #[test]
    fn a_proof_proves_nothing_else(
        (index, size) in (2_u64..4000).prop_flat_map(|size| (0..size, Just(size))),
        other in 0_u64..4000,
        other_size in 1_u64..4000,
        at in any::<prop::sample::Index>(),
        bit in 0_u8..8,
    ) {
        let tiles = &both().ours;
        let (leaf, root) = (leaf_hash(&entry(index)), root_of(size, tiles).unwrap());
        let proof = inclusion_proof(index, size, tiles).unwrap();
        prop_assert_eq!(verify_inclusion(leaf, other, size, &proof, root).is_ok(), other == index);
        prop_assert!(verify_inclusion(leaf_hash(b"other"), index, size, &proof, root).is_err());
        let mut wrong = proof.clone();
        let at = at.index(wrong.len());
        let mut bytes = *wrong[at].as_bytes();
        bytes[at % 32] ^= 1 << bit;
        wrong[at] = Hash::from_bytes(bytes);
        prop_assert!(verify_inclusion(leaf, index, size, &wrong, root).is_err());

        let other_root = root_of(other_size, tiles).unwrap();
        let proof = consistency_proof(index + 1, size, tiles).unwrap();
        let old_root = root_of(index + 1, tiles).unwrap();
        let holds = verify_consistency(index + 1, old_root, size, other_root, &proof).is_ok();
        prop_assert_eq!(holds, other_size == size);
        let holds = verify_consistency(index + 1, other_root, size, root, &proof).is_ok();
        prop_assert_eq!(holds, other_size == index + 1);
    }

    #[test]
    fn verifying_never_panics(
        index in any::<u64>(),
        size in any::<u64>(),
        proof in prop::collection::vec(any::<[u8; 32]>().prop_map(Hash::from_bytes), 0..70),
    ) {
        let hash = leaf_hash(b"");
        let _ = verify_inclusion(hash, index, size, &proof, hash);
        let _ = verify_consistency(index, hash, size, hash, &proof);
        let _ = inclusion_proof(index, size, &Tiles::new());
        let _ = consistency_proof(index, size, &Tiles::new());
        let _ = Edge::from_tiles(size, Tiles::new());
    }

    /// However the appends are batched, and wherever the process restarts from stored tiles, the tree is one.
    #[test]
    fn batches_and_restarts_change_nothing(batches in prop::collection::vec((1_u64..700, any::<bool>()), 1..12)) {
        let mut stored = Tiles::new();
        let mut edge = Edge::empty();
        for (count, restart) in batches {
            let from = edge.size();
            for index in from..from + count {
                edge.append(leaf_hash(&entry(index)));
            }
            prop_assert_eq!(edge.root(), root_of(edge.size(), &both().ours).unwrap());
            for index in (from..from + count).step_by(97) {
                let proof = edge.inclusion_proof(index).unwrap();
                verify_inclusion(leaf_hash(&entry(index)), index, edge.size(), &proof, edge.root()).unwrap();
            }
            stored.extend(edge.take_changed());
            if restart {
                edge = Edge::from_tiles(edge.size(), stored.clone()).unwrap();
            }
        }
    }
}
