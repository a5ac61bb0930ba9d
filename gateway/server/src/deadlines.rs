//! The clock of questions: who asked is told when the deadline passes without a final answer.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::accept::Work;
use crate::clock;
use crate::gateway::Gateway;
use crate::store::{StoreError, question};

/// Deadlines settled in one round, at most.
const ROUND_MAX: u32 = 100;
/// The longest pause: a clock that was set is noticed within it.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Runs until `stop`. A crash loses nothing: what is due is due again at the next start.
pub async fn run(gateway: Arc<Gateway>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let rung = gateway.questions.notified();
        let pause = match round(&gateway).await {
            Ok(pause) => pause,
            Err(error) => {
                tracing::error!(%error, "deadlines of questions");
                Duration::from_secs(1)
            }
        };
        tokio::select! {
            () = rung => {}
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => {}
        }
    }
}

async fn round(gateway: &Gateway) -> Result<Duration, StoreError> {
    let now = clock::now();
    let (due, next) = {
        let mut tx = gateway.store.read().await?;
        question::due(&mut tx, now, ROUND_MAX).await?
    };
    let full = due.len() == ROUND_MAX as usize;
    for seq in due {
        gateway.accept.commit(Work::Deadline(seq)).await;
    }
    let until = next.and_then(|at| u64::try_from(at.0 - now.0).ok()).map(Duration::from_millis);
    Ok(if full { Duration::ZERO } else { until.unwrap_or(PAUSE_MAX).min(PAUSE_MAX) })
}
