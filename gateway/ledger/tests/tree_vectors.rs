//! Published vectors of the RFC 6962 tree.
//!
//! Source: github.com/transparency-dev/merkle, `proof/verify_test.go` at commit 02194e9a (the reference
//! vectors of Certificate Transparency): leaves, roots, inclusion and consistency proofs, and the ways to
//! corrupt a proof. The example with seven leaves is RFC 6962 §2.1.3.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helper functions too")]

use silkgate_ledger::tree::{
    EMPTY_ROOT, Edge, Hash, ProofError, consistency_proof, inclusion_proof, leaf_hash, node_hash, root_of,
    verify_consistency, verify_inclusion,
};

const LEAVES: [&str; 8] =
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];

/// Root of the first `i + 1` leaves.
const ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

/// Leaf number from 1, as the source counts; tree size; proof.
const INCLUSION: [(u64, u64, &[&str]); 5] = [
    (1, 1, &[]),
    (
        1,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        &[
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (3, 3, &["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    (
        2,
        5,
        &[
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
];

/// Earlier size, later size, proof.
const CONSISTENCY: [(u64, u64, &[&str]); 5] = [
    (1, 1, &[]),
    (
        1,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        &[
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        5,
        &[
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
    (
        6,
        7,
        &[
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
];

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn hash(hex: &str) -> Hash {
    Hash::from_slice(&bytes(hex)).unwrap()
}

fn hashes(hex: &[&str]) -> Vec<Hash> {
    hex.iter().copied().map(hash).collect()
}

fn root(size: u64) -> Hash {
    hash(ROOTS[size as usize - 1])
}

fn leaf(index: u64) -> Hash {
    leaf_hash(&bytes(LEAVES[index as usize]))
}

fn edge() -> Edge {
    let mut edge = Edge::empty();
    for index in 0..8 {
        edge.append(leaf(index));
        assert_eq!(edge.root(), root(index + 1));
    }
    edge
}

#[test]
fn roots() {
    let edge = edge();
    assert_eq!(EMPTY_ROOT, hash("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
    assert_eq!(root_of(0, &edge), Ok(EMPTY_ROOT));
    for size in 1..=8 {
        assert_eq!(root_of(size, &edge), Ok(root(size)));
    }
}

#[test]
fn inclusion_proofs() {
    let some_hash = hash("abacaba000000000000000000000000000000000000000000060061e00123456");
    for (number, size, proof) in INCLUSION {
        let (index, proof) = (number - 1, hashes(proof));
        assert_eq!(inclusion_proof(index, size, &edge()), Ok(proof.clone()));
        assert_eq!(verify_inclusion(leaf(index), index, size, &proof, root(size)), Ok(()));
        let refused = |leaf, index, size, proof: &[Hash], root, what| {
            assert!(verify_inclusion(leaf, index, size, proof, root).is_err(), "{number}/{size}: {what}");
        };
        let (leaf, right) = (leaf(index), root(size));
        refused(leaf, index.wrapping_sub(1), size, &proof, right, "index - 1");
        refused(leaf, index + 1, size, &proof, right, "index + 1");
        refused(leaf, index ^ 2, size, &proof, right, "index ^ 2");
        refused(leaf, index, size * 2, &proof, right, "size * 2");
        refused(leaf, index, size / 2, &proof, right, "size / 2");
        refused(some_hash, index, size, &proof, right, "wrong leaf");
        refused(leaf, index, size, &proof, EMPTY_ROOT, "empty root");
        refused(leaf, index, size, &proof, some_hash, "random root");
        refused(leaf, index, size, &[&proof[..], &[right]].concat(), right, "trailing root");
        refused(leaf, index, size, &[&[right], &proof[..]].concat(), right, "preceding root");
        for at in 0..proof.len() {
            let mut wrong = proof.clone();
            wrong[at] = flipped(wrong[at], 8);
            refused(leaf, index, size, &wrong, right, "flipped bit");
        }
        if let [rest @ .., _] = &proof[..] {
            refused(leaf, index, size, rest, right, "removed component");
        }
    }
}

#[test]
fn inclusion_in_no_tree() {
    for (index, size) in [(0, 0), (1, 0), (2, 1), (u64::MAX, 1), (u64::MAX, u64::MAX)] {
        let outside = Err(ProofError::IndexOutside);
        assert_eq!(verify_inclusion(leaf(0), index, size, &[], EMPTY_ROOT), outside);
    }
    assert_eq!(verify_inclusion(leaf(0), 0, 1, &[], leaf(0)), Ok(()));
    assert_eq!(verify_inclusion(leaf(0), 0, 1, &[], leaf(1)), Err(ProofError::Root));
    // The longest path there is, and one hash too many.
    let path = vec![EMPTY_ROOT; 65];
    assert_eq!(verify_inclusion(leaf(0), 0, u64::MAX, &path[..64], leaf(0)), Err(ProofError::Root));
    assert_eq!(verify_inclusion(leaf(0), 0, u64::MAX, &path, leaf(0)), Err(ProofError::Length));
    assert_eq!(verify_inclusion(leaf(0), 0, u64::MAX, &path[..63], leaf(0)), Err(ProofError::Length));
}

#[test]
fn consistency_proofs() {
    for (old, new, proof) in CONSISTENCY {
        let proof = hashes(proof);
        assert_eq!(consistency_proof(old, new, &edge()), Ok(proof.clone()));
        let (first, second) = (root(old), root(new));
        assert_eq!(verify_consistency(old, first, new, second, &proof), Ok(()));
        if proof.is_empty() {
            continue;
        }
        let refused = |old, first, new, second, proof: &[Hash], what| {
            assert!(verify_consistency(old, first, new, second, proof).is_err(), "{old}-{new}: {what}");
        };
        refused(old - 1, first, new, second, &proof, "old - 1");
        refused(old + 1, first, new, second, &proof, "old + 1");
        refused(old ^ 2, first, new, second, &proof, "old ^ 2");
        refused(old, first, new * 2, second, &proof, "new * 2");
        refused(old, first, new / 2, second, &proof, "new / 2");
        refused(old, EMPTY_ROOT, new, second, &proof, "wrong old root");
        refused(old, first, new, EMPTY_ROOT, &proof, "wrong new root");
        refused(old, second, new, first, &proof, "swapped roots");
        refused(old, first, new, second, &[], "empty proof");
        for extra in [first, second, proof[0]] {
            refused(old, first, new, second, &[&proof[..], &[extra]].concat(), "trailing hash");
            refused(old, first, new, second, &[&[extra], &proof[..]].concat(), "preceding hash");
        }
        refused(old, first, new, second, &proof[..proof.len() - 1], "truncated proof");
        for at in 0..proof.len() {
            let mut wrong = proof.clone();
            wrong[at] = flipped(wrong[at], 16);
            refused(old, first, new, second, &wrong, "flipped bit");
        }
    }
}

/// The table of `TestVerifyConsistency`. Ours is stricter in one row: an empty tree has one root only.
#[test]
fn consistency_of_trivial_sizes() {
    let (one, two) = (leaf(1), leaf(2));
    let surplus = [EMPTY_ROOT];
    for (old, first, new, second, proof, wanted) in [
        (0, one, 0, two, &[][..], Err(ProofError::Root)),
        (1, one, 1, two, &[], Err(ProofError::Root)),
        (0, EMPTY_ROOT, 0, EMPTY_ROOT, &[], Ok(())),
        (0, one, 0, one, &[], Err(ProofError::Root)),
        (0, EMPTY_ROOT, 1, two, &[], Ok(())),
        (0, one, 1, two, &[], Err(ProofError::Root)),
        (1, two, 1, two, &[], Ok(())),
        (1, one, 0, EMPTY_ROOT, &[], Err(ProofError::SizeOrder)),
        (2, one, 1, two, &[], Err(ProofError::SizeOrder)),
        (1, one, 2, two, &[], Err(ProofError::Length)),
        (0, EMPTY_ROOT, 0, EMPTY_ROOT, &surplus, Err(ProofError::Length)),
        (0, EMPTY_ROOT, 1, EMPTY_ROOT, &surplus, Err(ProofError::Length)),
        (1, EMPTY_ROOT, 1, EMPTY_ROOT, &surplus, Err(ProofError::Length)),
        (u64::MAX - 1, one, u64::MAX, two, &surplus, Err(ProofError::Length)),
        (1 << 63, one, u64::MAX, two, &surplus, Err(ProofError::Root)),
    ] {
        assert_eq!(verify_consistency(old, first, new, second, proof), wanted, "{old}-{new}");
    }
}

/// RFC 6962 §2.1.3, with the RFC's names for the nodes.
#[test]
fn the_example_of_seven_leaves() {
    let d: Vec<_> = (0..7_u8).map(|i| leaf_hash(format!("d{i}").as_bytes())).collect();
    let [a, b, c, d3, e, f, j] = d[..] else { unreachable!() };
    let (g, h, i) = (node_hash(a, b), node_hash(c, d3), node_hash(e, f));
    let (k, l) = (node_hash(g, h), node_hash(i, j));
    let mut edge = Edge::empty();
    for leaf in d {
        edge.append(leaf);
    }
    assert_eq!(edge.root(), node_hash(k, l));
    assert_eq!(root_of(3, &edge), Ok(node_hash(g, c)));
    assert_eq!(root_of(4, &edge), Ok(k));
    assert_eq!(root_of(6, &edge), Ok(node_hash(k, i)));
    assert_eq!(edge.inclusion_proof(0), Ok(vec![b, h, l]));
    assert_eq!(edge.inclusion_proof(3), Ok(vec![c, g, l]));
    assert_eq!(edge.inclusion_proof(4), Ok(vec![f, j, k]));
    assert_eq!(edge.inclusion_proof(6), Ok(vec![i, k]));
    assert_eq!(consistency_proof(3, 7, &edge), Ok(vec![c, d3, g, l]));
    assert_eq!(consistency_proof(4, 7, &edge), Ok(vec![l]));
    assert_eq!(consistency_proof(6, 7, &edge), Ok(vec![i, j, k]));
}

fn flipped(hash: Hash, bit: u8) -> Hash {
    let mut bytes = *hash.as_bytes();
    bytes[0] ^= bit;
    Hash::from_bytes(bytes)
}
