//! Makes findable what an older version kept: match keys and purposes, newest messages first, a few at a time beside the traffic.

use std::sync::Arc;
use std::time::Duration;

use silkgate_message::catalogue::terms;
use silkgate_message::event;
use silkgate_message::jws::Jws;
use tokio_util::sync::CancellationToken;

use crate::gateway::Gateway;
use crate::store::StoreError;

/// Messages in one transaction: nobody waits long for it.
const AT_ONCE: i64 = 64;
/// From one transaction to the next, and after one that failed.
const PAUSE: Duration = Duration::from_millis(100);

/// Goes on where the process before stopped, until nothing is left.
pub async fn run(gateway: Arc<Gateway>, stop: CancellationToken) {
    let mut count = 0;
    while !stop.is_cancelled() {
        match some(&gateway).await {
            Ok(Some(0)) => break,
            Ok(more) => count += more.unwrap_or(0),
            Err(error) => tracing::warn!(%error, "older messages are not findable yet"),
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = stop.cancelled() => {}
        }
    }
    if count > 0 {
        tracing::info!(count, "messages of the older version made findable");
    }
}

/// The next ones; how many places in the order of arrival were looked at. None: not now.
async fn some(gateway: &Gateway) -> Result<Option<i64>, StoreError> {
    if gateway.standing.closed(None).is_some() {
        // Another database may be in its place: nothing is written until that is known.
        return Ok(None);
    }
    let mut tx = gateway.store.write().await?;
    let Some((after, upto)) = gateway.store.unmatched(&mut tx, AT_ONCE).await? else { return Ok(Some(0)) };
    let terms_of = |bytes: &[u8]| {
        let jws = Jws::parse(bytes).ok()?;
        let envelope = event::read(&jws.event).ok()?;
        Some((terms::terms(&jws.event), envelope.purpose))
    };
    gateway.store.match_older(&mut tx, (after, upto), terms_of).await?;
    tx.commit().await?;
    Ok(Some(upto - after))
}
