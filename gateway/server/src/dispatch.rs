//! Leases due outbox rows, runs one attempt each, and settles its outcome.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use silkgate_message::instant::Instant;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::accept::{Outcome, Settlement, Work};
use crate::clock;
use crate::directory::Directory;
use crate::figures::known_type;
use crate::gateway::Gateway;
use crate::send::{Attempt, Sender};
use crate::standing::Flow;
use crate::store::message::{self, Message};
use crate::store::outbox::{self, Lease, Leased};
use crate::store::{Store, StoreError};

/// Runs until `stop`; attempts under way then finish within their deadline.
pub async fn run(gateway: Arc<Gateway>, sender: Arc<Sender>, stop: CancellationToken) {
    let attempts = TaskTracker::new();
    let mut slots: HashMap<String, Arc<Semaphore>> = HashMap::new();
    while !stop.is_cancelled() {
        let rung = gateway.outbox.notified();
        let pause = match round(&gateway, &sender, &attempts, &mut slots).await {
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
    attempts.close();
    attempts.wait().await;
}

/// Leases what is due and starts its attempts; gives the pause until the next look. No more is leased
/// than can be attempted now, so that neither a long queue nor a slow partner fills the memory.
async fn round(
    gateway: &Arc<Gateway>,
    sender: &Arc<Sender>,
    attempts: &TaskTracker,
    slots: &mut HashMap<String, Arc<Semaphore>>,
) -> Result<Duration, StoreError> {
    let now = clock::now();
    let (partners, next) = {
        let mut tx = gateway.store.read().await?;
        (outbox::due_partners(&mut tx, now).await?, outbox::next_due(&mut tx).await?)
    };
    let attempt_ms = i64::try_from(gateway.config.dispatch.attempt_seconds * 1000).unwrap_or(30_000);
    // The lease outlives the attempt: no second one starts beside it.
    let ends = now.plus_ms(attempt_ms * 2 + 10_000);
    let directory = gateway.directory();
    for partner in partners {
        if !passes(gateway, &directory, &partner) {
            continue;
        }
        let slot = slots.entry(partner.clone());
        let slot = slot.or_insert_with(|| Arc::new(Semaphore::new(gateway.config.dispatch.concurrency)));
        let free = slot.available_permits();
        if free == 0 {
            // An attempt that ends rings the bell.
            continue;
        }
        let lease = clock::random();
        let leased = lease_due(&gateway.store, &partner, now, ends, &lease, free).await?;
        for row in leased {
            let Ok(permit) = slot.clone().try_acquire_owned() else { break };
            let (gateway, sender) = (gateway.clone(), sender.clone());
            attempts.spawn(async move {
                one(&gateway, &sender, row, lease, ends).await;
                drop(permit);
                gateway.outbox.notify_one();
            });
        }
    }
    // What is due and was not leased waits for a slot, an earlier version or a suspended partner.
    Ok(next.map_or(Duration::from_secs(60), |at| until(at, now)))
}

/// Whether messages pass to the partner: its agreement holds them where its log or ours cannot be relied on.
fn passes(gateway: &Gateway, directory: &Directory, partner: &str) -> bool {
    let partner = partner.parse().ok().and_then(|country| directory.partner(country));
    partner.is_some_and(|partner| {
        gateway.standing.closed(Some(partner.country)).is_none() && gateway.flow(partner) == Flow::Normal
    })
}

/// Until the next row is due; a second where one is due already and has to wait for something else.
fn until(at: Instant, now: Instant) -> Duration {
    match u64::try_from(at.0 - now.0) {
        Ok(ms) if ms > 0 => Duration::from_millis(ms.min(60_000)),
        _ => Duration::from_secs(1),
    }
}

async fn lease_due(
    store: &Store,
    partner: &str,
    now: Instant,
    ends: Instant,
    lease: &Lease,
    limit: usize,
) -> Result<Vec<Leased>, StoreError> {
    let mut tx = store.lease().await?;
    let leased = outbox::lease_due(&mut tx, partner, now, ends, lease, limit).await?;
    tx.commit().await?;
    Ok(leased)
}

/// One attempt and its settlement. A crash in between leaves the lease to run out and the message
/// to be sent again, byte for byte: the partner then answers as it did the first time.
async fn one(gateway: &Gateway, sender: &Sender, row: Leased, lease: Lease, lease_ends: Instant) {
    let loaded = async {
        let mut tx = gateway.store.read().await?;
        let message = message::by_seq(&mut tx, row.seq).await?;
        let payload = gateway.store.payload(&mut tx, row.seq).await?;
        Ok::<_, StoreError>(message.zip(payload))
    };
    let (message, payload) = match loaded.await {
        Ok(Some(loaded)) => loaded,
        Ok(None) => return tracing::error!(seq = row.seq, "an outbox row without its message"),
        Err(error) => return tracing::error!(%error, seq = row.seq, "outbox"),
    };
    let now = clock::now();
    if now >= lease_ends {
        return;
    }
    let (attempt, outcome) = if message.expires_at <= now {
        (None, Outcome::Expired)
    } else {
        let began = tokio::time::Instant::now();
        let attempt = sender.attempt(&message, payload).await;
        tell(gateway, &message, &attempt, began.elapsed());
        let (what, outcome) = judge(gateway, &row, &message, attempt);
        (Some(what), outcome)
    };
    let settlement = Settlement { seq: row.seq, lease, attempt, outcome };
    gateway.accept.commit(Work::Settle(Box::new(settlement))).await;
}

/// Counts an attempt. One that brought a verdict has its line when that is committed.
fn tell(gateway: &Gateway, message: &Message, attempt: &Attempt, took: Duration) {
    let (outcome, what) = match attempt {
        Attempt::Accepted { .. } => ("accepted", None),
        Attempt::Rejected { .. } => ("rejected", None),
        Attempt::Later { what, .. } => ("later", Some(what.as_str())),
        Attempt::Refused { code } => ("refused", Some(code.as_str())),
        Attempt::Failed { what } => ("failed", Some(what.as_str())),
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

/// What follows from an attempt.
fn judge(gateway: &Gateway, row: &Leased, message: &Message, attempt: Attempt) -> (String, Outcome) {
    let dispatch = &gateway.config.dispatch;
    let again = |refused: bool, after: Option<Duration>| {
        let pause = after
            .unwrap_or_else(|| backoff(row.attempts, dispatch.backoff_first_ms, dispatch.backoff_longest_ms));
        // Not later than the expiry: then the outcome is settled.
        let due = clock::now().plus_ms(pause.as_millis() as i64).min(message.expires_at);
        Outcome::Again { due, refused }
    };
    match attempt {
        Attempt::Accepted { receipt } => ("accepted".to_owned(), Outcome::Accepted { receipt }),
        Attempt::Rejected { receipt, problem } => {
            (format!("rejected: {}", problem.code), Outcome::Rejected { receipt, problem })
        }
        Attempt::Later { what, after } => (what, again(false, after)),
        Attempt::Refused { code } => {
            let what = format!("refused without receipt: {code}");
            if row.refusals + 1 >= dispatch.refusals_until_dead {
                (what, Outcome::Dead { code })
            } else {
                (what, again(true, None))
            }
        }
        Attempt::Failed { what } => (what, again(false, None)),
    }
}

/// Exponential, with a quarter of jitter either way, so that partners coming back are not met by
/// everyone at once.
fn backoff(attempts: u32, first_ms: u64, longest_ms: u64) -> Duration {
    let doubled = first_ms.saturating_mul(1 << attempts.min(20)).min(longest_ms);
    let [byte] = clock::random::<1>();
    let jitter = doubled / 2 * u64::from(byte) / 255;
    Duration::from_millis(doubled - doubled / 4 + jitter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        for (attempts, middle) in [(0, 500), (1, 1000), (4, 8000), (30, 300_000)] {
            let pause = backoff(attempts, 500, 300_000).as_millis() as u64;
            assert!(pause >= middle * 3 / 4 && pause <= middle * 5 / 4, "{attempts}: {pause}");
        }
    }
}
