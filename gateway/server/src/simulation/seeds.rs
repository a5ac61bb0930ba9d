//! Many seeds, everything failing at once.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::chance::{Tally, add, table};
use super::lock;
use super::scenario::{Outcome, Script};

/// Seeds of an ordinary run of the tests; SILKGATE_SEEDS runs more.
const SEEDS: u64 = 200;

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// What was broken, and how to see it again; None where every promise was kept.
fn judge(seed: u64, outcome: &Outcome) -> Option<String> {
    let broken = &outcome.broken;
    (!broken.is_empty()).then(|| {
        format!(
            "seed {seed}: {broken:#?}\nreplay it with SILKGATE_SEED={seed} cargo nextest run --workspace --bin silkgate \
             --no-capture simulation::seeds::every_promise_is_kept"
        )
    })
}

/// Runs one seed and prints its history.
fn replay(seed: u64) {
    let log = tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env());
    let _ = log.with_test_writer().without_time().try_init();
    let outcome = Script::troubled(seed).run();
    println!("{}\n{}", outcome.trace.join("\n"), table(&outcome.tally));
    assert_eq!(judge(seed, &outcome), None);
}

/// What all seeds came to.
#[derive(Default)]
struct Sum {
    tally: Tally,
    messages: usize,
    failed: Option<String>,
}

#[test]
fn every_promise_is_kept() {
    if let Some(seed) = number("SILKGATE_SEED") {
        return replay(seed);
    }
    let (next, seeds) = (AtomicU64::new(1), number("SILKGATE_SEEDS").unwrap_or(SEEDS));
    let sum: Mutex<Sum> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed > seeds || lock(&sum).failed.is_some() {
                        return;
                    }
                    let outcome = Script::troubled(seed).run();
                    let mut sum = lock(&sum);
                    add(&mut sum.tally, &outcome.tally);
                    sum.messages += outcome.messages;
                    if let Some(failed) = judge(seed, &outcome) {
                        sum.failed.get_or_insert(failed);
                    }
                }
            });
        }
    });
    let sum = sum.into_inner().expect("no thread panics");
    println!("{seeds} seeds, {} messages\n{}", sum.messages, table(&sum.tally));
    assert_eq!(sum.failed, None);
    assert!(seeds < 20 || sum.messages > 0, "something was exchanged");
}

#[test]
fn one_seed_is_one_history() {
    for seed in [3, 11] {
        let (one, two) = (Script::troubled(seed).run(), Script::troubled(seed).run());
        let differs = one.trace.iter().zip(&two.trace).position(|(one, two)| one != two);
        assert_eq!(differs.map(|at| (&one.trace[at], &two.trace[at])), None, "seed {seed}");
        assert_eq!(one.trace.len(), two.trace.len(), "seed {seed}");
    }
}
