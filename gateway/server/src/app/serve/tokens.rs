//! Whether the keys in tokens are there, looked for before a message needs one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::gateway::Gateway;
use crate::keys::{self, TokenKey};

/// How often.
const LOOK: Duration = Duration::from_secs(3);
/// How long one look may take. Hardware on a network can hang, and nothing can break that off.
const WITHIN: Duration = Duration::from_secs(5);

type Found = BTreeMap<String, Option<String>>;

/// Looks until `stop`.
pub(super) async fn run(gateway: Arc<Gateway>, stop: CancellationToken) {
    let mut under_way: Option<JoinHandle<Found>> = None;
    loop {
        let held: Vec<_> =
            gateway.keys().in_token.iter().map(|(_, name, key)| (name.clone(), key.clone())).collect();
        let mut look = under_way.take().unwrap_or_else(|| {
            let held = held.clone();
            tokio::task::spawn_blocking(move || look(&held))
        });
        let found = match tokio::time::timeout(WITHIN, &mut look).await {
            Ok(found) => found.unwrap_or_default(),
            Err(_) => {
                // Not a second one beside it.
                under_way = Some(look);
                let why = format!("no answer within {} s", WITHIN.as_secs());
                held.into_iter().map(|(name, _)| (name, Some(why.clone()))).collect()
            }
        };
        tell(&gateway, found);
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Where not one key is reached, the modules are started anew: hardware that came back may be found no other way. Where
/// some are, that would only disturb these.
fn look(held: &[(String, Arc<TokenKey>)]) -> Found {
    let look = || -> Found {
        let reach =
            |key: &TokenKey| key.reach().err().map(|fault| format!("token `{}`: {fault}", key.uri().token));
        held.iter().map(|(name, key)| (name.clone(), reach(key))).collect()
    };
    let found = look();
    if found.is_empty() || found.values().any(Option::is_none) {
        return found;
    }
    keys::revive();
    look()
}

fn tell(gateway: &Gateway, found: Found) {
    let changed = gateway.reach.found(found.clone());
    for what in changed {
        if let Some(reason) = found.get(&what).and_then(Option::as_ref) {
            tracing::error!(what, reason, "ALARM: a key in a token is not reached");
        } else {
            tracing::info!(what, "the key in a token is reached again");
        }
    }
}
