//! What a run consists of, and what is noted of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use silkgate_message::instant::Instant;

use super::back_end::{Acknowledged, HandedOver};
use super::chance::Chance;
use super::lock;
use super::network::Network;
use super::state::State;
use super::states::BEGIN;
use crate::clock::simulated::Random;

/// A run.
pub(super) struct World {
    pub(super) states: [Arc<State>; 2],
    pub(super) network: Network,
    pub(super) chance: Arc<Chance>,
    pub(super) witnessed: Mutex<Witnessed>,
    random: Mutex<Random>,
    began: tokio::time::Instant,
    is_simulated: bool,
    quiet: AtomicBool,
    trace: Mutex<Vec<String>>,
}

/// What left a gateway and must hold for ever.
#[derive(Default)]
pub(super) struct Witnessed {
    /// Receipts, by the state whose log they are of.
    pub(super) receipts: Vec<(usize, Vec<u8>)>,
    /// Checkpoints that were shown.
    pub(super) checkpoints: Vec<(usize, String)>,
    /// Submissions that were acknowledged.
    pub(super) acknowledged: Vec<Acknowledged>,
    pub(super) handed_over: HandedOver,
    /// What broke a promise already.
    pub(super) broken: Vec<String>,
}

impl World {
    pub(super) fn new(
        states: [Arc<State>; 2],
        network: Network,
        chance: Arc<Chance>,
        seed: u64,
        is_simulated: bool,
    ) -> Arc<Self> {
        Arc::new(Self {
            states,
            network,
            chance,
            witnessed: Mutex::default(),
            random: Mutex::new(Random::new(seed)),
            began: tokio::time::Instant::now(),
            is_simulated,
            quiet: AtomicBool::new(false),
            trace: Mutex::default(),
        })
    }

    /// The true time, None where it is the real one.
    pub(super) fn now(&self) -> Option<Instant> {
        self.is_simulated.then(|| BEGIN.plus_ms(self.gone_ms()))
    }

    /// Milliseconds since the run began.
    pub(super) fn gone_ms(&self) -> i64 {
        i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    /// A number below `bound`.
    pub(super) fn below(&self, bound: u64) -> u64 {
        lock(&self.random).below(bound)
    }

    /// True once in so many times, as long as anything may fail; 0: never.
    pub(super) fn fails(&self, once_in: u64) -> bool {
        once_in > 0 && !self.is_quiet() && lock(&self.random).once_in(once_in)
    }

    /// Waits up to so many milliseconds.
    pub(super) async fn pause(&self, ms_max: u64) {
        let ms = self.below(ms_max + 1);
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }

    /// From now on nothing fails any more.
    pub(super) fn calm(&self) {
        self.quiet.store(true, Ordering::SeqCst);
        self.chance.end();
        self.network.heal();
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.quiet.load(Ordering::SeqCst)
    }

    /// Notes what happens, for whoever replays the seed.
    pub(super) fn note(&self, what: impl FnOnce() -> String) {
        lock(&self.trace).push(format!("{:>9} {}", self.gone_ms(), what()));
    }

    /// What has happened.
    pub(super) fn trace(&self) -> Vec<String> {
        lock(&self.trace).clone()
    }

    /// A promise was broken.
    pub(super) fn broken(&self, what: String) {
        self.note(|| format!("BROKEN {what}"));
        lock(&self.witnessed).broken.push(what);
    }
}
