//! One run: two gateways, their back ends, and what goes wrong; then calm, and the look at what became of it all.

use std::sync::Arc;
use std::time::Duration;

use super::back_end::Load;
use super::chance::{Chance, How, Tally};
use super::lock;
use super::network::{Network, Rates};
use super::state::State;
use super::states::made;
use super::world::World;
use crate::clock::simulated::Random;
use crate::store::{StoreError, delivery, ledger, outbox, witness};

/// Within which everything must be settled once nothing fails any more: leases, pauses and expiries are far shorter.
const CALM_WITHIN: Duration = Duration::from_secs(3600);

/// The same where time is the real one, the trouble included.
const REAL_WITHIN: Duration = Duration::from_secs(150);

/// What happens in a run.
pub(super) struct Script {
    pub(super) seed: u64,
    pub(super) how: How,
    pub(super) rates: Rates,
    pub(super) load: Load,
    /// How long things go wrong, milliseconds.
    pub(super) trouble_ms: u64,
    /// A gateway is killed, the network cut or a clock put wrong about once in so many milliseconds; 0: never.
    pub(super) kill_ms: u64,
    pub(super) cut_ms: u64,
    pub(super) skew_ms: u64,
}

/// What became of a run.
pub(super) struct Outcome {
    pub(super) trace: Vec<String>,
    pub(super) tally: Tally,
    /// Every write, in order.
    pub(super) points: Vec<String>,
    /// Promises that were broken.
    pub(super) broken: Vec<String>,
    /// Submissions that were acknowledged.
    pub(super) messages: usize,
}

impl Script {
    /// Nothing fails but by `how`.
    pub(super) fn calm(seed: u64, how: How) -> Self {
        let load = Load { records: 2, versions: 2, short_lived: 0, pause_ms: 400, rates: Rates::default() };
        let rates = Rates::default();
        Self { seed, how, rates, load, trouble_ms: 0, kill_ms: 0, cut_ms: 0, skew_ms: 0 }
    }

    /// Everything may fail, by the seed: how often differs from seed to seed, and some faults are absent from some.
    pub(super) fn troubled(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x5117_6a7e);
        let mut often = |from: u64, to: u64| match random.below(3) {
            0 => 0,
            _ => from + random.below(to - from),
        };
        let mut rates = || Rates {
            request_lost: often(4, 40),
            answer_lost: often(4, 40),
            reset: often(4, 40),
            doubled: often(4, 20),
            late: often(4, 20),
        };
        let (between, national) = (rates(), rates());
        let how = match often(8, 200) {
            0 => How::Never,
            times => How::Often(times, Random::new(seed.wrapping_mul(31))),
        };
        let (kill_ms, cut_ms, skew_ms) = (often(2000, 30_000), often(5000, 60_000), often(10_000, 60_000));
        let load = Load {
            records: 1 + random.below(3),
            versions: 1 + random.below(4),
            short_lived: if random.below(2) == 0 { 0 } else { 3 },
            pause_ms: 200 + random.below(6000),
            rates: national,
        };
        Self { seed, how, rates: between, load, trouble_ms: 40_000, kill_ms, cut_ms, skew_ms }
    }

    /// Runs it in memory, with a clock of its own.
    pub(super) fn run(self) -> Outcome {
        let made = made();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        let runtime = runtime.expect("a runtime");
        runtime.block_on(async {
            let states = [0, 1].map(|n| State::in_memory(n, &made[n]));
            self.play(states, true).await
        })
    }

    /// Runs it on these states.
    pub(super) async fn play(self, states: [Arc<State>; 2], is_simulated: bool) -> Outcome {
        let (load, trouble_ms) = (self.load, self.trouble_ms);
        let chance = Arc::new(Chance::new(self.how));
        let network = Network::new(self.rates);
        let world = World::new(states, network, chance.clone(), self.seed, is_simulated);
        let mut gateways = Vec::new();
        let mut fetchers = Vec::new();
        let mut submitters = Vec::new();
        for (n, state) in world.states.iter().enumerate() {
            gateways.push(tokio::spawn(state.clone().supervise(world.clone())));
            fetchers.push(tokio::spawn(world.clone().fetch(n, load.rates)));
            for _ in 0..load.records {
                submitters.push(tokio::spawn(world.clone().submit_record(n, load)));
            }
        }
        let trouble = [
            tokio::spawn(world.clone().kill_now_and_then(self.kill_ms)),
            tokio::spawn(world.clone().cut_now_and_then(self.cut_ms)),
            tokio::spawn(world.clone().skew_now_and_then(self.skew_ms)),
        ];
        tokio::time::sleep(Duration::from_millis(trouble_ms)).await;
        if trouble_ms > 0 {
            trouble.iter().for_each(tokio::task::JoinHandle::abort);
            world.states.iter().for_each(|state| state.set_skew(0));
            world.calm();
            world.note(|| "calm".to_owned());
        }
        let settled = async {
            for submitter in submitters {
                if submitter.await.is_err() {
                    world.broken("a back end panics".to_owned());
                }
            }
            while !world.is_settled().await {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        };
        let within = if is_simulated { CALM_WITHIN } else { REAL_WITHIN };
        if tokio::time::timeout(within, settled).await.is_err() {
            world.broken(format!("something is left to be done after {} s", within.as_secs()));
        }
        world.calm();
        world.note(|| "settled".to_owned());
        fetchers.iter().chain(&gateways).for_each(tokio::task::JoinHandle::abort);
        world.states.iter().for_each(|state| state.kill());
        world.check().await;
        let witnessed = lock(&world.witnessed);
        Outcome {
            trace: world.trace(),
            tally: lock(&chance.tally).clone(),
            points: lock(&chance.points).clone(),
            broken: witnessed.broken.clone(),
            messages: witnessed.acknowledged.len(),
        }
    }
}

impl World {
    /// Waits for the next trouble of a kind; without end where there is to be none.
    async fn now_and_then(&self, mean_ms: u64) {
        match mean_ms {
            0 => std::future::pending().await,
            mean_ms => self.pause(2 * mean_ms).await,
        }
    }

    async fn kill_now_and_then(self: Arc<Self>, mean_ms: u64) {
        loop {
            self.now_and_then(mean_ms).await;
            let state = &self.states[self.below(2) as usize];
            self.note(|| format!("{} is killed", state.number));
            state.kill();
        }
    }

    async fn cut_now_and_then(self: Arc<Self>, mean_ms: u64) {
        loop {
            self.now_and_then(mean_ms).await;
            self.note(|| "the network is cut".to_owned());
            self.network.cut();
            self.pause(20_000).await;
            self.note(|| "the network is whole".to_owned());
            self.network.heal();
        }
    }

    /// Within what two states may differ by: messages of a clock 300 s ahead are refused.
    async fn skew_now_and_then(self: Arc<Self>, mean_ms: u64) {
        loop {
            self.now_and_then(mean_ms).await;
            let (n, ms) = (self.below(2) as usize, self.below(240_000) as i64 - 120_000);
            self.note(|| format!("{n} has its clock wrong by {ms}"));
            self.states[n].set_skew(ms);
        }
    }

    /// Whether nothing is left to be sent, handed over or witnessed.
    async fn is_settled(&self) -> bool {
        for state in &self.states {
            let Some(gateway) = state.gateway() else { return false };
            let other = self.states[1 - state.number].country;
            let settled = async {
                let mut tx = gateway.store.read().await?;
                let mut is_settled =
                    outbox::depth(&mut tx).await?.is_empty() && delivery::depth(&mut tx).await?.is_empty();
                for head in ledger::heads(&mut tx).await? {
                    let cosigned = witness::newest_cosigned(&mut tx, head.id, other.as_str()).await?;
                    is_settled &= cosigned == Some(head.size);
                }
                Ok::<_, StoreError>(is_settled)
            };
            if !settled.await.unwrap_or(false) {
                return false;
            }
        }
        true
    }
}
