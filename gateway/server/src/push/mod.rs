//! Hand-over to back ends that are told what is for them, instead of asking.
//!
//! The contract is that of the long poll: the same object under a lease, urgent messages first, versions of one record one after
//! another, and again until it is acknowledged. Here the answer is the acknowledgement, committed before anything follows from it.

mod endpoint;
mod nats;
mod signature;
mod webhook;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use silkgate_message::instant::Instant;
use silkgate_message::party::Party;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use endpoint::{Endpoint, Way};
pub use signature::PushKey;

use crate::accept::{Answer, Bury, HandOver, Work};
use crate::breaker::{Passage, jittered};
use crate::clock;
use crate::config::Home;
use crate::deliver::{self, Handed};
use crate::gateway::Gateway;
use crate::keys;
use crate::store::push::Push;
use crate::store::{StoreError, delivery};
use nats::Nats;
use webhook::Webhook;

/// How often it is looked whether back ends are told elsewhere now.
const REFRESH: Duration = Duration::from_millis(500);
/// The longest pause between two looks for what waits.
const PAUSE: Duration = Duration::from_secs(1);
/// Before it is tried again to make ready what was set.
const NOT_READY: Duration = Duration::from_secs(10);

/// How long the end of an attempt may take to be committed.
const COMMIT_MS: i64 = 2000;

/// What became of an attempt to hand over.
#[derive(Debug)]
enum Outcome {
    /// The back end has it.
    Taken,
    /// It asks for time.
    Busy { what: String, after: Option<Duration> },
    /// It will not have this message.
    Refused { what: String },
    /// It was reached, and does not have it.
    Failed { what: String },
    /// No answer.
    Unreached { what: String },
}

/// The key that signs deliveries and where they go, where there is one.
pub fn key_file(home: &Home) -> PathBuf {
    home.key("push")
}

/// The secret by which a back end's NATS server knows the gateway.
pub fn credentials_file(home: &Home, party: &Party) -> PathBuf {
    home.key(&format!("push-{}", party.slug())).with_extension("nats")
}

/// Runs until `stop`; attempts under way then finish within their deadline.
pub async fn run(gateway: Arc<Gateway>, home: Home, stop: CancellationToken) {
    let mut lanes: HashMap<String, (Push, CancellationToken)> = HashMap::new();
    // Also those that were told to end: their attempts under way are still to be committed.
    let mut running = JoinSet::new();
    let mut generation = None;
    while !stop.is_cancelled() {
        let directory = gateway.directory();
        if generation != Some(directory.generation) {
            generation = Some(directory.generation);
            lanes.retain(|_, (row, stopped)| {
                let stays = directory.pushes().contains(row);
                if !stays {
                    tracing::info!(recipient = row.party, "this back end asks, or is told elsewhere");
                    stopped.cancel();
                }
                stays
            });
            for row in directory.pushes() {
                let Ok(party) = row.party.parse::<Party>() else { continue };
                if !lanes.contains_key(&row.party) {
                    let stopped = stop.child_token();
                    let lane = Lane::new(gateway.clone(), home.clone(), party, row.clone());
                    running.spawn(lane.run(stopped.clone()));
                    lanes.insert(row.party.clone(), (row.clone(), stopped));
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(REFRESH) => {}
            () = stop.cancelled() => {}
            Some(Err(error)) = running.join_next() => {
                tracing::error!(%error, "a lane to a back end; all of them begin anew");
                lanes.drain().for_each(|(_, (_, stopped))| stopped.cancel());
                generation = None;
            }
        }
    }
    while let Some(ended) = running.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a lane to a back end");
        }
    }
}

/// The server of a back end.
enum Target {
    Webhook(Box<Webhook>),
    Nats(Box<Nats>),
}

impl Target {
    fn open(home: &Home, party: &Party, row: &Push) -> Result<Self, String> {
        let file = key_file(home);
        let pkcs8 = keys::private_key(&file).map_err(|error| format!("{error:#}"))?;
        let key = PushKey::from_pkcs8(pkcs8.secret_der());
        let key = key.ok_or_else(|| format!("{}: no Ed25519 key", file.display()))?;
        if !key.made(row) {
            return Err("the database names an address that no operator with this home's keys/push.key set"
                .to_owned());
        }
        let endpoint = Endpoint::read(&row.url, &row.anchors)?;
        match endpoint.way {
            Way::Webhook => Webhook::new(&endpoint, key).map(Box::new).map(Target::Webhook),
            Way::Nats => Nats::new(&endpoint, &credentials_file(home, party)).map(Box::new).map(Target::Nats),
        }
    }

    async fn hand_over(&self, party: &Party, handed: &Handed, within: Duration) -> Outcome {
        match self {
            Target::Webhook(webhook) => webhook.hand_over(&handed.delivery, within).await,
            Target::Nats(nats) => nats.hand_over(party, handed, within).await,
        }
    }
}

/// What is for one back end, on its way to it.
struct Lane {
    gateway: Arc<Gateway>,
    home: Home,
    party: Party,
    row: Push,
    slots: Arc<Semaphore>,
    /// Rung when an attempt has ended.
    ended: Arc<Notify>,
    attempts: TaskTracker,
}

impl Lane {
    fn new(gateway: Arc<Gateway>, home: Home, party: Party, row: Push) -> Self {
        let slots = Arc::new(Semaphore::new(gateway.config.deliveries.push_concurrency.max(1)));
        Self {
            gateway,
            home,
            party,
            row,
            slots,
            ended: Arc::new(Notify::new()),
            attempts: TaskTracker::new(),
        }
    }

    async fn run(self, stop: CancellationToken) {
        let target = loop {
            match Target::open(&self.home, &self.party, &self.row) {
                Ok(target) => break Arc::new(target),
                Err(what) => {
                    tracing::error!(recipient = %self.party, what, "what is for this back end cannot be handed over");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(NOT_READY) => {}
                () = stop.cancelled() => return,
            }
        };
        // What the server before asked for, this one did not.
        self.gateway.pushes.forget(self.party.as_str());
        // Without the path: a secret may stand in it.
        let endpoint = Endpoint::read(&self.row.url, &self.row.anchors);
        let address = endpoint.map(|endpoint| endpoint.address).unwrap_or_default();
        tracing::info!(recipient = %self.party, address, "what is for this back end is handed over there");
        let gateway = self.gateway.clone();
        while !stop.is_cancelled() {
            let bell = gateway.bell(self.party.as_str());
            let (rung, ended) = (bell.rung(), self.ended.notified());
            let pause = match self.round(&target).await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::error!(%error, recipient = %self.party, "deliveries");
                    PAUSE
                }
            };
            tokio::select! {
                () = rung => {}
                () = ended => {}
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => {}
            }
        }
        self.attempts.close();
        self.attempts.wait().await;
    }

    /// Leases as much as there is room for, and starts its attempts; gives the pause until the next look.
    async fn round(&self, target: &Arc<Target>) -> Result<Duration, StoreError> {
        let (now, name) = (clock::now(), self.party.as_str());
        if self.gateway.standing.closed(None).is_some() {
            // An acknowledgement could not be logged.
            return Ok(PAUSE);
        }
        let passage = self.gateway.pushes.passage(name, now);
        let free = self.slots.available_permits();
        let room = match passage {
            Passage::Until(at) => return Ok(until(at, now)),
            Passage::Probe => free.min(1),
            Passage::Free => free,
        };
        if room == 0 {
            // An attempt that ends makes room.
            return Ok(PAUSE);
        }
        let within = Duration::from_secs(self.gateway.config.deliveries.push_seconds.max(1));
        // Beyond the attempt only so long as its end takes to be committed: what a gateway held that died is free soon.
        let lease_ms = within.as_millis() as i64 + COMMIT_MS;
        let room = u32::try_from(room).unwrap_or(u32::MAX);
        let (handed, next) = deliver::take(&self.gateway, &self.party, room, lease_ms).await?;
        let pause = if handed.is_empty() { next.map_or(PAUSE, |at| until(at, now)) } else { Duration::ZERO };
        for handed in handed {
            let Ok(slot) = self.slots.clone().try_acquire_owned() else { break };
            if passage == Passage::Probe {
                self.gateway.pushes.probe(name);
            }
            let attempt = Attempt {
                gateway: self.gateway.clone(),
                party: self.party.clone(),
                target: target.clone(),
                ended: self.ended.clone(),
                _slot: slot,
            };
            // What opening what was leased took is no longer left.
            let left = u64::try_from(handed.until.0 - COMMIT_MS - clock::now().0).unwrap_or(0);
            let within = within.min(Duration::from_millis(left));
            self.attempts.spawn(clock::along(attempt.run(handed, within)));
        }
        Ok(pause)
    }
}

/// Until that instant, at most the longest pause; a moment where it has passed.
fn until(at: Instant, now: Instant) -> Duration {
    Duration::from_millis(u64::try_from(at.0 - now.0).unwrap_or(0).max(50)).min(PAUSE)
}

/// One attempt and what follows from it. A crash in between leaves the lease to run out, and the message to be handed over again.
struct Attempt {
    gateway: Arc<Gateway>,
    party: Party,
    target: Arc<Target>,
    ended: Arc<Notify>,
    _slot: OwnedSemaphorePermit,
}

impl Drop for Attempt {
    /// However it ends: nobody waits for a probe that was lost, and there is room again.
    fn drop(&mut self) {
        self.gateway.pushes.abandoned(self.party.as_str());
        self.ended.notify_one();
    }
}

impl Attempt {
    async fn run(self, handed: Handed, within: Duration) {
        let began = tokio::time::Instant::now();
        let outcome = self.target.hand_over(&self.party, &handed, within).await;
        self.tell(&handed, &outcome, began.elapsed());
        if let Err(error) = self.settle(&handed, outcome).await {
            tracing::error!(%error, recipient = %self.party, id = %handed.message.id, "a delivery");
        }
    }

    fn tell(&self, handed: &Handed, outcome: &Outcome, took: Duration) {
        let (name, what) = match outcome {
            Outcome::Taken => ("taken", None),
            Outcome::Busy { what, .. } => ("later", Some(what)),
            Outcome::Refused { what } => ("refused", Some(what)),
            Outcome::Failed { what } => ("failed", Some(what)),
            Outcome::Unreached { what } => ("unreached", Some(what)),
        };
        let (recipient, id) = (self.party.as_str(), handed.message.id);
        self.gateway.figures.pushed(recipient, name, took);
        if let Some(what) = what {
            tracing::info!(recipient, %id, outcome = name, what, "attempt to hand over");
        }
        let (pushes, now) = (&self.gateway.pushes, clock::now());
        if matches!(outcome, Outcome::Unreached { .. }) {
            if pushes.failed(recipient, now) {
                tracing::warn!(
                    recipient,
                    what,
                    "the back end is not reached; from now on one attempt at a time"
                );
            }
            return;
        }
        if pushes.reached(recipient) {
            tracing::info!(recipient, "the back end is reached again");
        }
        if let Outcome::Busy { after: Some(after), .. } = outcome {
            pushes.put_off(recipient, now.plus_ms(after.as_millis() as i64));
        }
    }

    async fn settle(&self, handed: &Handed, outcome: Outcome) -> Result<(), StoreError> {
        let (leased, dispatch) = (&handed.leased, &self.gateway.config.dispatch);
        let own = |doublings: i64| {
            let [byte] = clock::random::<1>();
            let doublings = u32::try_from(doublings).unwrap_or(u32::MAX);
            jittered(doublings, dispatch.backoff_first_ms, dispatch.backoff_longest_ms, byte)
        };
        let (pause, refused) = match outcome {
            Outcome::Taken => {
                let done =
                    HandOver { recipient: self.party.clone(), seqs: vec![leased.seq], lease: handed.lease };
                if let Answer::Refused(problem) | Answer::Failed(problem) =
                    self.gateway.accept.commit(Work::HandOver(done)).await
                {
                    // Its lease runs out, and it is handed over again.
                    tracing::warn!(recipient = %self.party, id = %handed.message.id, code = %problem.code, "an acknowledgement was not kept");
                }
                return Ok(());
            }
            Outcome::Refused { .. } if leased.refusals + 1 >= i64::from(dispatch.refusals_until_dead) => {
                let (seq, n, lease) = (leased.seq, leased.n, handed.lease);
                let bury = Bury { seq, n, lease, code: deliver::REFUSED.to_owned() };
                let kept = self.gateway.accept.commit(Work::Bury(bury)).await;
                if let Answer::Refused(problem) | Answer::Failed(problem) = kept {
                    tracing::warn!(recipient = %self.party, id = %handed.message.id, code = %problem.code, "giving up was not kept");
                }
                return Ok(());
            }
            Outcome::Refused { .. } => (own(leased.handed - 1), true),
            Outcome::Failed { .. } => (own(leased.handed - 1), false),
            // How long it asked for is the line's to wait.
            Outcome::Busy { .. } => (own(leased.handed - 1), false),
            // The pauses are the line's. But one message that gets no answer must not be all that it is looked with: within two
            // probes another one has its turn.
            Outcome::Unreached { .. } => {
                let longest = i64::try_from(dispatch.probe_longest_ms).unwrap_or(i64::MAX / 2);
                (own(leased.handed - 1).min(longest.saturating_mul(2)), false)
            }
        };
        let mut tx = self.gateway.store.lease().await?;
        delivery::put_off(&mut tx, leased, &handed.lease, clock::now().plus_ms(pause), refused).await?;
        tx.commit().await
    }
}
