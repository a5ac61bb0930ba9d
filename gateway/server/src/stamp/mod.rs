//! Time-stamps over our checkpoints, by an authority that the operator chose. Optional, and beside everything else: nothing waits for it.

mod authority;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use silkgate_ledger::Note;
use silkgate_message::instant::Instant;
use silkgate_timestamp::{Request, Trust};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::gateway::Gateway;
use crate::store::timestamp::{self, Stamp};
use crate::store::{Store, ledger};
pub use authority::Authority;

/// The longest pause between two looks at the logs.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// The first pause after a failure; it doubles up to the interval.
const BACKOFF_FIRST: Duration = Duration::from_secs(5);
/// Longer than the longest pause and the longest answer.
const DUTY_MS: i64 = 180_000;
/// How far the authority's clock and ours may be apart before the operator is told.
const SKEW_MS: i64 = 60_000;

/// A checkpoint that wants a time-stamp.
struct Due {
    log: i64,
    origin: String,
    size: u64,
    note: Vec<u8>,
}

/// Runs until `stop`, which an answer under way does not hold up. A crash loses nothing: what is due is due again.
pub async fn run(gateway: Arc<Gateway>, authority: Authority, stop: CancellationToken) {
    let mut failures = 0_u32;
    loop {
        let round = tokio::select! {
            round = round(&gateway, &authority, failures) => round,
            () = stop.cancelled() => return,
        };
        let pause = match round {
            Ok(()) => {
                failures = 0;
                authority.every.min(PAUSE_MAX)
            }
            Err(error) => {
                let pause = backoff(failures, authority.every);
                failures = failures.saturating_add(1);
                tracing::warn!(
                    error = format!("{error:#}"),
                    failures,
                    again_in_s = pause.as_secs(),
                    "no time-stamp; messages go on without"
                );
                pause
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Stamps the newest checkpoint of each log that is due. The first failure ends the round, since the authority is the same for all; the next
/// round begins with another log, so that one that fails for itself does not keep the others waiting.
async fn round(gateway: &Gateway, authority: &Authority, failures: u32) -> Result<()> {
    // Of several gateways one asks; another one takes over when it is silent.
    if !gateway.store.has_duty("time-stamp", DUTY_MS).await? {
        return Ok(());
    }
    let mut due = due(gateway, authority.every).await?;
    if !due.is_empty() {
        let first = usize::try_from(failures)? % due.len();
        due.rotate_left(first);
    }
    for due in due {
        stamp(&gateway.store, authority, &due).await.with_context(|| due.origin.clone())?;
    }
    Ok(())
}

/// Logs that have grown since their last time-stamp, where that was an interval ago. One whose history is in doubt is left alone: an older
/// database must not get a witness for what it forgot.
async fn due(gateway: &Gateway, every: Duration) -> Result<Vec<Due>> {
    let (now, every) = (clock::now(), i64::try_from(every.as_millis())?);
    let mut tx = gateway.store.read().await?;
    let mut found = Vec::new();
    for head in ledger::heads(&mut tx).await? {
        if head.size == 0 || gateway.standing.closed(head.partner).is_some() {
            continue;
        }
        if let Some(newest) = timestamp::newest(&mut tx, head.id).await? {
            // Either way: a time-stamp of tomorrow, by a clock that was wrong, must not end it for ever.
            let recent = (now.0 - newest.at.0).abs() < every;
            if newest.size >= head.size || recent {
                continue;
            }
        }
        let note = ledger::checkpoint(&mut tx, head.id, head.size).await?;
        let note = note.ok_or_else(|| anyhow!("the newest checkpoint of {} is missing", head.origin))?;
        found.push(Due { log: head.id, origin: head.origin, size: head.size, note });
    }
    Ok(found)
}

/// Asks, verifies, and only then keeps, in a small transaction of its own.
async fn stamp(store: &Store, authority: &Authority, due: &Due) -> Result<()> {
    let note = Note::parse(&due.note).context("the newest checkpoint")?;
    let request = Request::new(note.text().as_bytes(), clock::random());
    let answer = authority.ask(request.encode()).await?;
    let (token, verified) = request.answer(&answer, &Trust::Anchors(&authority.anchors))?;
    let at = Instant(verified.statement.at_ms);
    let mut tx = store.write().await?;
    timestamp::put(&mut tx, due.log, &Stamp { size: due.size, at, token: token.to_vec() }).await?;
    tx.commit().await?;
    tracing::info!(log = %due.origin, size = due.size, %at, tsa = verified.tsa, "time-stamped");
    let skew = at.0 - clock::now().0;
    if skew.abs() > SKEW_MS {
        tracing::warn!(
            seconds = skew / 1000,
            tsa = verified.tsa,
            "the authority's clock is not ours; one of them is wrong"
        );
    }
    Ok(())
}

fn backoff(failures: u32, every: Duration) -> Duration {
    BACKOFF_FIRST.saturating_mul(1 << failures.min(16)).min(every)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_interval() {
        let hour = Duration::from_secs(3600);
        for (failures, seconds) in [(0, 5), (1, 10), (4, 80), (10, 3600), (u32::MAX, 3600)] {
            assert_eq!(backoff(failures, hour).as_secs(), seconds, "{failures}");
        }
        assert_eq!(backoff(0, Duration::from_secs(1)).as_secs(), 1);
    }
}
