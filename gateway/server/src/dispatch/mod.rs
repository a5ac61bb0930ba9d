//! Leases due outbox rows, urgent ones first, runs one attempt each, and settles its outcome.

mod leases;
mod slots;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use silkgate_message::agreement::Direction;
use silkgate_message::catalogue::Priority;
use silkgate_message::instant::Instant;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::accept::{Answer, Outcome, Settlement, Work};
use crate::breaker::{Passage, jittered};
use crate::clock;
use crate::directory::Directory;
use crate::figures::known_type;
use crate::gateway::Gateway;
use crate::send::{Attempt, Sender};
use crate::standing::Flow;
use crate::store::StoreError;
use crate::store::message::{self, Message};
use crate::store::outbox::{self, Agenda, Leased};
use leases::{Hold, Leases};
use slots::{Slot, Slots};

/// How long those are held; what could not be settled is looked at again after it.
const EXPIRED_LEASE_MS: i64 = 6000;
/// After which a message is looked at again whose type waits for a log.
const HELD_BACK_MS: i64 = 60_000;
/// After which one is that waits for its hours, at the latest.
const HOURS_LOOK_MS: i64 = 600_000;
/// Messages that expired and are settled in one round, at most.
const EXPIRED_MAX: usize = 256;
/// The longest pause of a gateway that has its database for itself: a lease whose settlement failed is noticed within it.
const PAUSE_ALONE: Duration = Duration::from_secs(5);
/// The longest pause where others use the database too: what one of them took over, or held when it died, is noticed within it.
const PAUSE_SHARED: Duration = Duration::from_secs(1);

/// Runs until `stop`; attempts under way then finish within their deadline.
pub async fn run(gateway: Arc<Gateway>, sender: Arc<Sender>, stop: CancellationToken) {
    let attempts = TaskTracker::new();
    let leases = Arc::new(Leases::default());
    let done = CancellationToken::new();
    let keeper = tokio::spawn(clock::along(leases.clone().keep(gateway.store.clone(), done.clone())));
    let mut dispatch = Dispatch { gateway, sender, attempts, leases, slots: HashMap::new() };
    while !stop.is_cancelled() {
        let gateway = dispatch.gateway.clone();
        let rung = gateway.outbox.notified();
        let pause = match dispatch.round().await {
            Ok(pause) => pause,
            Err(error) => {
                tracing::error!(%error, "outbox");
                Duration::from_secs(1)
            }
        };
        tokio::select! {
            () = rung => {}
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => {}
        }
    }
    dispatch.attempts.close();
    dispatch.attempts.wait().await;
    done.cancel();
    if let Err(error) = keeper.await {
        tracing::error!(%error, "the keeper of leases");
    }
}

struct Dispatch {
    gateway: Arc<Gateway>,
    sender: Arc<Sender>,
    attempts: TaskTracker,
    leases: Arc<Leases>,
    slots: HashMap<String, Slots>,
}

impl Dispatch {
    /// Leases what is due and starts its attempts; gives the pause until the next look. No more is leased
    /// than can be attempted now, so that neither a long queue nor a slow partner fills the memory, and every
    /// partner has room of its own, so that none waits for another.
    async fn round(&mut self) -> Result<Duration, StoreError> {
        let now = clock::now();
        let (agenda, shared) = {
            let mut tx = self.gateway.store.read().await?;
            (outbox::agenda(&mut tx, now).await?, tx.is_shared())
        };
        let Agenda { due, next, expiry } = agenda;
        let mut wake: Vec<Instant> = next.into_iter().collect();
        // One that has passed waits for the end of its attempt, or for the lease of a dead process to run out.
        wake.extend(expiry.map(|at| at.max(now.plus_ms(500))));
        if expiry.is_some_and(|at| at <= now) && self.expire(now).await? {
            wake.push(now);
        }
        let directory = self.gateway.directory();
        for (partner, priorities) in due {
            if !passes(&self.gateway, &directory, &partner) {
                wake.push(now.plus_ms(1000));
                continue;
            }
            match self.gateway.breaker.passage(&partner, now) {
                Passage::Until(at) => wake.push(at),
                Passage::Probe => {
                    // The most urgent one.
                    if let Some(priority) = priorities.first() {
                        self.lease(&partner, *priority, 1, now).await?;
                    }
                }
                Passage::Free => {
                    for priority in priorities {
                        self.lease(&partner, priority, usize::MAX, now).await?;
                    }
                }
            }
        }
        let longest = if shared { PAUSE_SHARED } else { PAUSE_ALONE };
        // What is due and was not leased waits for a slot: an attempt that ends rings the bell.
        Ok(wake.into_iter().map(|at| until(at, now)).min().unwrap_or(longest).min(longest))
    }

    /// Leases due rows of a partner, as many as there is room for, and starts their attempts.
    async fn lease(
        &mut self,
        partner: &str,
        priority: Priority,
        most: usize,
        now: Instant,
    ) -> Result<(), StoreError> {
        let lease_ms = self.lease_ms();
        let config = &self.gateway.config.dispatch;
        let slots = self.slots.entry(partner.to_owned());
        let slots = slots.or_insert_with(|| Slots::new(config.concurrency, config.concurrency_urgent));
        let room = slots.free(priority).min(most);
        if room == 0 {
            return Ok(());
        }
        let lease = clock::random();
        let mut tx = self.gateway.store.lease().await?;
        let until = clock::now().plus_ms(lease_ms);
        let leased = outbox::lease_due(&mut tx, partner, priority, now, until, &lease, room).await?;
        tx.commit().await?;
        for row in leased {
            let Some(slot) = slots.take(priority) else { break };
            if most == 1 {
                self.gateway.breaker.probe(partner);
            }
            let hold = self.leases.hold(row.seq, lease);
            let (gateway, sender) = (self.gateway.clone(), self.sender.clone());
            let partner = partner.to_owned();
            let attempt = async move { one(&gateway, &sender, &partner, row, hold, slot).await };
            self.attempts.spawn(clock::along(attempt));
        }
        Ok(())
    }

    /// How long a lease lasts.
    fn lease_ms(&self) -> i64 {
        let gateway = &self.gateway;
        Leases::lasts_ms(gateway.store.is_shared(), gateway.config.dispatch.attempt_seconds)
    }

    /// Settles messages that have expired, also those for a partner that nothing is sent to at present. True where there may be
    /// more of them.
    async fn expire(&self, now: Instant) -> Result<bool, StoreError> {
        if self.gateway.standing.read_only().is_some() {
            return Ok(false);
        }
        let lease = clock::random();
        let mut tx = self.gateway.store.lease().await?;
        let until = clock::now().plus_ms(EXPIRED_LEASE_MS);
        let expired = outbox::lease_expired(&mut tx, now, until, &lease, EXPIRED_MAX).await?;
        tx.commit().await?;
        let full = expired.len() == EXPIRED_MAX;
        let mut settlements = JoinSet::new();
        for seq in expired {
            let gateway = self.gateway.clone();
            let settlement = Settlement { seq, lease, attempt: None, outcome: Outcome::Expired };
            let settle = async move { gateway.accept.commit(Work::Settle(Box::new(settlement))).await };
            settlements.spawn(clock::along(settle));
        }
        settlements.join_all().await;
        Ok(full)
    }
}

/// Whether messages pass to the partner: its agreement holds them where its log or ours cannot be relied on.
fn passes(gateway: &Gateway, directory: &Directory, partner: &str) -> bool {
    let partner = partner.parse().ok().and_then(|country| directory.partner(country));
    partner.is_some_and(|partner| {
        gateway.standing.closed(Some(partner.country)).is_none()
            && gateway.flow(partner, Direction::Send) == Flow::Normal
    })
}

/// Until when our own agreement holds back messages of a type: outside their hours, or where their clause lets them wait while a log
/// cannot be relied on.
fn held_back(gateway: &Gateway, partner: &str, kind: &str) -> Option<Instant> {
    let (directory, now) = (gateway.directory(), clock::now());
    let partner = directory.partner(partner.parse().ok()?)?;
    if gateway.flow_of(partner, Direction::Send, kind) != Flow::Normal {
        return Some(now.plus_ms(HELD_BACK_MS));
    }
    let opens = partner.agreement.closed_until(Direction::Send, kind, now)?;
    // An agreement that changes meanwhile is felt within it, whatever becomes of the word about the change.
    Some(opens.min(now.plus_ms(HOURS_LOOK_MS)))
}

/// Until that instant; at once where it has passed.
fn until(at: Instant, now: Instant) -> Duration {
    Duration::from_millis(u64::try_from(at.0 - now.0).unwrap_or(0))
}

/// One attempt and its settlement. A crash in between leaves the lease to run out and the message
/// to be sent again, byte for byte: the partner then answers as it did the first time.
async fn one(gateway: &Gateway, sender: &Sender, partner: &str, row: Leased, hold: Hold, slot: Slot) {
    if let Err(error) = attempt(gateway, sender, partner, &row, &hold).await {
        gateway.breaker.abandoned(partner);
        tracing::error!(%error, seq = row.seq, "outbox");
    }
    drop((hold, slot));
    gateway.outbox.notify_one();
}

async fn attempt(
    gateway: &Gateway,
    sender: &Sender,
    partner: &str,
    row: &Leased,
    hold: &Hold,
) -> Result<(), StoreError> {
    let (message, payload) = {
        let mut tx = gateway.store.read().await?;
        let message = message::by_seq(&mut tx, row.seq).await?;
        let payload = gateway.store.payload(&mut tx, row.seq).await?;
        message.zip(payload).ok_or_else(|| StoreError::Corrupt("an outbox row without its message".into()))?
    };
    if !hold.is_held() || message.expires_at <= clock::now() {
        // Expired just now: the next round settles it, as one that was not attempted.
        gateway.breaker.abandoned(partner);
        let mut tx = gateway.store.lease().await?;
        outbox::release(&mut tx, row.seq, &hold.lease()).await?;
        return tx.commit().await;
    }
    if let Some(due) = held_back(gateway, partner, &message.kind) {
        gateway.breaker.abandoned(partner);
        let mut tx = gateway.store.lease().await?;
        outbox::postpone(&mut tx, row.seq, &hold.lease(), due.min(message.expires_at)).await?;
        return tx.commit().await;
    }
    let began = tokio::time::Instant::now();
    let attempt = sender.attempt(&message, payload).await;
    tell(gateway, &message, &attempt, began.elapsed());
    note(gateway, partner, &attempt);
    let (what, outcome) = judge(gateway, row, &message, attempt);
    let settlement = Settlement { seq: row.seq, lease: hold.lease(), attempt: Some(what), outcome };
    if let Answer::Failed(_) = gateway.accept.commit(Work::Settle(Box::new(settlement))).await {
        // It is attempted again once it can be settled; the partner then answers as it did now.
        let mut tx = gateway.store.lease().await?;
        outbox::give_back(&mut tx, row.seq, &hold.lease()).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// Counts an attempt. One that brought a verdict has its line when that is committed.
fn tell(gateway: &Gateway, message: &Message, attempt: &Attempt, took: Duration) {
    let (outcome, what) = match attempt {
        Attempt::Accepted { .. } => ("accepted", None),
        Attempt::Rejected { .. } => ("rejected", None),
        Attempt::Later { what, .. } | Attempt::Busy { what, .. } => ("later", Some(what.as_str())),
        Attempt::Refused { code } => ("refused", Some(code.as_str())),
        Attempt::Failed { what } | Attempt::Unreached { what } => ("failed", Some(what.as_str())),
    };
    let (partner, kind, id) = (message.partner.as_str(), known_type(Some(&message.kind)), message.id);
    gateway.figures.attempt(partner, outcome, took);
    let ms = took.as_millis() as u64;
    if what.is_some() {
        tracing::info!(%partner, %id, "type" = %kind, %outcome, what, ms, "attempt to send");
    } else {
        tracing::debug!(%partner, %id, "type" = %kind, %outcome, ms, "attempt to send");
    }
}

/// What an attempt tells of the line to the partner.
fn note(gateway: &Gateway, partner: &str, attempt: &Attempt) {
    let now = clock::now();
    if let Attempt::Unreached { what } = attempt {
        if gateway.breaker.failed(partner, now) {
            tracing::warn!(partner, what, "the partner is not reached; from now on one attempt at a time");
        }
        return;
    }
    if gateway.breaker.reached(partner) {
        tracing::info!(partner, "the partner is reached again");
    }
    if let Attempt::Busy { after: Some(after), .. } = attempt {
        gateway.breaker.put_off(partner, now.plus_ms(after.as_millis() as i64));
    }
}

/// What follows from an attempt.
fn judge(gateway: &Gateway, row: &Leased, message: &Message, attempt: Attempt) -> (String, Outcome) {
    let dispatch = &gateway.config.dispatch;
    let again = |refused: bool, after: Option<Duration>, doublings: u32| {
        let [byte] = clock::random::<1>();
        let own = jittered(doublings, dispatch.backoff_first_ms, dispatch.backoff_longest_ms, byte);
        let pause = after.map_or(own, |after| after.as_millis() as i64);
        // Not later than the expiry: then the outcome is settled.
        let due = clock::now().plus_ms(pause).min(message.expires_at);
        Outcome::Again { due, refused }
    };
    match attempt {
        Attempt::Accepted { receipt } => ("accepted".to_owned(), Outcome::Accepted { receipt }),
        Attempt::Rejected { receipt, problem } => {
            (format!("rejected: {}", problem.code), Outcome::Rejected { receipt, problem })
        }
        Attempt::Later { what, after } | Attempt::Busy { what, after } => {
            (what, again(false, after, row.attempts))
        }
        Attempt::Refused { code } => {
            let what = format!("refused without receipt: {code}");
            if row.refusals + 1 >= dispatch.refusals_until_dead {
                (what, Outcome::Dead { code })
            } else {
                (what, again(true, None, row.attempts))
            }
        }
        Attempt::Failed { what } => (what, again(false, None, row.attempts)),
        // The pauses are the line's: once the partner is back, all go in their order.
        Attempt::Unreached { what } => (what, again(false, None, 0)),
    }
}
