//! Every target over its kept corpus and over changes of it, on the stable toolchain. See docs/testing.md.
//!
//! `SILKGATE_FUZZ_CASES` and `SILKGATE_FUZZ_SEED` make a longer run, or another one.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};

use silkgate_fuzz::mutate::{Chance, mutated};
use silkgate_fuzz::{TARGETS, Target};

fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// The kept inputs of a target, and what `seeds` names elsewhere in the repository; in one order everywhere.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let root = folder().join("../..");
    let seeds = fs::read_to_string(folder().join("seeds")).unwrap();
    let mut files: BTreeSet<PathBuf> = BTreeSet::new();
    let elsewhere = seeds.lines().filter_map(|line| line.split_once(' ')).filter(|(name, _)| *name == target);
    let patterns = elsewhere.map(|(_, pattern)| pattern.trim().to_owned());
    for pattern in patterns.chain([format!("tests/fuzz/corpus/{target}/*")]) {
        let found: Vec<PathBuf> =
            glob::glob(root.join(&pattern).to_str().unwrap()).unwrap().collect::<Result<_, _>>().unwrap();
        assert!(!found.is_empty(), "{pattern} names nothing");
        files.extend(found);
    }
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

fn run(name: &str, cases: u64) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let corpus = corpus(name);
    for (at, bytes) in corpus.iter().enumerate() {
        once(target, bytes, &format!("kept input {at}"));
    }
    let (seed, cases) = (number("SILKGATE_FUZZ_SEED", 1), number("SILKGATE_FUZZ_CASES", cases));
    for case in 0..cases {
        let mut chance = Chance::new(seed.wrapping_mul(0x1_0000_0000).wrapping_add(case));
        let bytes = mutated(&corpus, target.words, &mut chance);
        once(target, &bytes, &format!("SILKGATE_FUZZ_SEED={seed}, case {case}"));
    }
    println!("{name}: {} kept inputs, {cases} changed ones", corpus.len());
}

/// Runs a target; where it panics, the input is put where it can be kept.
fn once(target: &Target, bytes: &[u8], origin: &str) {
    let Err(panic) = catch_unwind(AssertUnwindSafe(|| (target.run)(bytes))) else { return };
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{}", target.name));
    fs::write(&file, bytes).unwrap();
    eprintln!("{}: {origin}; the input is {}", target.name, file.display());
    resume_unwind(panic);
}

/// One test for each target. The numbers keep each within a few seconds unoptimised.
macro_rules! targets {
    ($($name:ident $cases:literal)*) => {
        $(#[test]
        fn $name() {
            run(stringify!($name), $cases);
        })*
        const TESTED: &[&str] = &[$(stringify!($name)),*];
    };
}

targets! {
    agreement 40_000
    bundle 20_000
    card 30_000
    certificate 40_000
    checkpoint 100_000
    configuration 8_000
    entry 100_000
    event 40_000
    json 40_000
    jws 40_000
    mrz 40_000
    paxlst 40_000
    tile_path 200_000
    timestamp 40_000
    tlog_proof 40_000
    witness_request 40_000
}

#[test]
fn every_target_is_run_in_both_ways_and_its_corpus_is_small() {
    let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(names, TESTED);
    let mut programs: Vec<String> = Vec::new();
    for entry in fs::read_dir(folder().join("guided/fuzz_targets")).unwrap() {
        programs.push(entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned());
    }
    programs.sort();
    assert_eq!(names, programs);
    let manifest = fs::read_to_string(folder().join("guided/Cargo.toml")).unwrap();
    let mut size = 0;
    for name in names {
        assert!(
            manifest.contains(&format!("name = \"{name}\"\npath = \"fuzz_targets/{name}.rs\"")),
            "{name}"
        );
        for entry in fs::read_dir(folder().join("corpus").join(name)).unwrap() {
            size += entry.unwrap().metadata().unwrap().len();
        }
    }
    assert!(size < 1 << 20, "the corpus has {size} bytes: it is kept in the repository");
}

#[test]
fn one_seed_is_one_input() {
    let corpus = [b"{\"a\": 12}".to_vec(), b"[1, 2]".to_vec()];
    let made = |seed| mutated(&corpus, &["null"], &mut Chance::new(seed));
    assert_eq!(made(7), made(7));
    let different: BTreeSet<_> = (0..1000).map(made).collect();
    assert!(different.len() > 700, "{}", different.len());
    // No corpus, no words, nothing to change.
    for seed in 0..1000 {
        let _ = mutated(&[], &[], &mut Chance::new(seed));
    }
}
