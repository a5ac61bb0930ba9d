//! Verifying proofs: RFC 9162 §2.1.3.2 (inclusion) and §2.1.4.2 (consistency), which also describe the
//! proofs of RFC 6962. Any input is answered; none panics.

use super::{EMPTY_ROOT, Hash, node_hash};

/// Why a proof does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The leaf index is not below the tree size.
    #[error("the leaf lies outside the tree")]
    IndexOutside,
    /// The earlier tree is larger than the later one.
    #[error("the earlier tree is larger than the later one")]
    SizeOrder,
    /// More or fewer hashes than the tree sizes ask for.
    #[error("the proof has the wrong number of hashes")]
    Length,
    /// The proof leads to another root.
    #[error("the proof leads to another root")]
    Root,
}

/// Checks that the leaf with hash `leaf` is number `index` of the tree of `size` leaves with `root`.
pub fn verify_inclusion(
    leaf: Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: Hash,
) -> Result<(), ProofError> {
    let Some(last) = size.checked_sub(1).filter(|last| index <= *last) else {
        return Err(ProofError::IndexOutside);
    };
    let (mut node, mut last_node) = (index, last);
    let mut hash = leaf;
    for sibling in proof {
        if last_node == 0 {
            return Err(ProofError::Length);
        }
        if node & 1 == 1 || node == last_node {
            hash = node_hash(*sibling, hash);
            // A right-most node without a sibling moves up unhashed until it is a right child.
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last_node >>= 1;
            }
        } else {
            hash = node_hash(hash, *sibling);
        }
        node >>= 1;
        last_node >>= 1;
    }
    if last_node != 0 {
        return Err(ProofError::Length);
    }
    if hash == root { Ok(()) } else { Err(ProofError::Root) }
}

/// Checks that the tree of `old_size` leaves with `old_root` is a prefix of that of `new_size` leaves
/// with `new_root`.
///
/// Stricter than RFC 9162, which leaves size 0 open: an empty tree must have [`EMPTY_ROOT`] and
/// needs an empty proof.
pub fn verify_consistency(
    old_size: u64,
    old_root: Hash,
    new_size: u64,
    new_root: Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if old_size > new_size {
        return Err(ProofError::SizeOrder);
    }
    if (old_size == 0 && old_root != EMPTY_ROOT) || (new_size == 0 && new_root != EMPTY_ROOT) {
        return Err(ProofError::Root);
    }
    if old_size == 0 || old_size == new_size {
        return match proof {
            [] if old_size == 0 || old_root == new_root => Ok(()),
            [] => Err(ProofError::Root),
            _ => Err(ProofError::Length),
        };
    }
    // An old tree that is a complete subtree of the new one is not repeated in the proof.
    let (start, rest) = if old_size.is_power_of_two() {
        (old_root, proof)
    } else {
        let [first, rest @ ..] = proof else {
            return Err(ProofError::Length);
        };
        (*first, rest)
    };
    let shift = (old_size - 1).trailing_ones();
    let (mut node, mut last_node) = ((old_size - 1) >> shift, (new_size - 1) >> shift);
    let (mut old_hash, mut new_hash) = (start, start);
    for sibling in rest {
        if last_node == 0 {
            return Err(ProofError::Length);
        }
        if node & 1 == 1 || node == last_node {
            old_hash = node_hash(*sibling, old_hash);
            new_hash = node_hash(*sibling, new_hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last_node >>= 1;
            }
        } else {
            new_hash = node_hash(new_hash, *sibling);
        }
        node >>= 1;
        last_node >>= 1;
    }
    if last_node != 0 {
        return Err(ProofError::Length);
    }
    if old_hash == old_root && new_hash == new_root { Ok(()) } else { Err(ProofError::Root) }
}
