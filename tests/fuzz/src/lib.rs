//! Fuzz targets: what must hold of whatever bytes anybody sends.
//!
//! Each target is a plain function of bytes that panics where a promise is broken: nothing makes a reader panic, what is
//! read is what is written, what signs verifies, any changed byte fails. They run in two ways: on the stable toolchain as
//! property tests over a kept corpus (`tests/corpus.rs`), and coverage-guided (`tests/fuzz/run`, with libFuzzer).
#![allow(clippy::unwrap_used, clippy::panic, reason = "a target says by a panic that a promise is broken")]

mod envelope;
mod files;
mod keys;
mod logs;
pub mod mutate;
mod signed;
mod travel;

// The gateway has no library: its configuration is taken in as it stands.
#[allow(dead_code, unused_imports, reason = "a part of it is fuzzed, the rest is the gateway's")]
#[path = "../../../gateway/server/src/config.rs"]
mod config;

pub use envelope::{event, json};
pub use files::{agreement, bundle, certificate, configuration, timestamp};
pub use logs::{checkpoint, entry, tile_path, tlog_proof, witness_request};
pub use signed::{card, jws};
pub use travel::{mrz, paxlst};

/// A target.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name: that of its folder in the corpus and of its libFuzzer program.
    pub name: &'static str,
    /// What must hold; it panics where it does not.
    pub run: fn(&[u8]),
    /// Pieces that the format is made of.
    pub words: &'static [&'static str],
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target { name: "agreement", run: agreement, words: files::AGREEMENT_WORDS },
    Target { name: "bundle", run: bundle, words: files::BUNDLE_WORDS },
    Target { name: "card", run: card, words: signed::CARD_WORDS },
    Target { name: "certificate", run: certificate, words: &[] },
    Target { name: "checkpoint", run: checkpoint, words: logs::NOTE_WORDS },
    Target { name: "configuration", run: configuration, words: files::CONFIGURATION_WORDS },
    Target { name: "entry", run: entry, words: logs::ENTRY_WORDS },
    Target { name: "event", run: event, words: envelope::EVENT_WORDS },
    Target { name: "json", run: json, words: envelope::JSON_WORDS },
    Target { name: "jws", run: jws, words: signed::JWS_WORDS },
    Target { name: "mrz", run: mrz, words: travel::MRZ_WORDS },
    Target { name: "paxlst", run: paxlst, words: travel::PAXLST_WORDS },
    Target { name: "tile_path", run: tile_path, words: logs::TILE_WORDS },
    Target { name: "timestamp", run: timestamp, words: &[] },
    Target { name: "tlog_proof", run: tlog_proof, words: logs::NOTE_WORDS },
    Target { name: "witness_request", run: witness_request, words: logs::NOTE_WORDS },
];

/// A choice that depends on the input alone, where a target has to make one (FNV-1a).
fn choice(data: &[u8]) -> usize {
    let hash = data.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // The low bits of FNV know little of the bytes before the last.
    usize::try_from(hash >> 32).unwrap_or_default()
}

/// The bytes with one bit changed, at a place that depends on them alone.
fn changed(bytes: &[u8], data: &[u8]) -> Vec<u8> {
    let choice = choice(data);
    let mut altered = bytes.to_vec();
    if let Some(byte) = altered.get_mut(choice / 8 % bytes.len().max(1)) {
        *byte ^= 1 << (choice % 8);
    }
    altered
}
