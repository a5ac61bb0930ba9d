//! What keeps this gateway from taking any message. What holds up one partner only is told by the metrics.

use std::future::Future;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;

use super::certificates;
use crate::clock;
use crate::gateway::Gateway;
use crate::store::{StoreError, partner};

/// How long a probe waits for a disk. Whoever asks has a deadline of its own, mostly of a few seconds.
const WITHIN: Duration = Duration::from_secs(2);

/// Why nothing is committed any more.
pub(super) const HALTED: &str = "a commit failed; a restart reads the truth";

/// Every code, in the order in which they are told. They never change their meaning.
pub(super) const CODES: [&str; 8] =
    ["stopping", "halted", "read_only", "witness_word", "certificate", "token", "database", "key_store"];

/// One thing that is missing.
#[derive(Serialize, Debug)]
pub(super) struct Missing {
    /// One of [`CODES`].
    pub(super) what: &'static str,
    /// For the operator.
    pub(super) why: String,
}

/// Everything that is missing; empty where messages are taken.
pub(super) async fn missing(gateway: &Gateway) -> Vec<Missing> {
    let mut missing = Vec::new();
    let mut add = |what: &'static str, why: Option<String>| {
        missing.extend(why.map(|why| Missing { what, why }));
    };
    let stopping = gateway.stopping.load(Ordering::SeqCst);
    add("stopping", stopping.then(|| "the gateway was told to stop".to_owned()));
    let halted = gateway.accept.is_halted() || gateway.accept.is_ended();
    add("halted", halted.then(|| HALTED.to_owned()));
    let read_only = gateway.standing.read_only();
    let awaited = if read_only.is_none() { gateway.standing.closed(None) } else { None };
    add("read_only", read_only);
    add("witness_word", awaited);
    let now = clock::now();
    for own in certificates::own(gateway) {
        add("certificate", own.invalid(now));
    }
    for (name, why) in gateway.reach.all() {
        add("token", why.map(|why| format!("the key `{name}`: {why}")));
    }
    let (database, keys) = tokio::join!(
        within(async {
            let mut tx = gateway.store.read().await?;
            partner::generation(&mut tx).await.map(drop)
        }),
        within(gateway.store.keys().probe()),
    );
    add("database", database);
    add("key_store", keys);
    missing
}

/// Why it could not be read; None where it could.
async fn within(read: impl Future<Output = Result<(), StoreError>>) -> Option<String> {
    match tokio::time::timeout(WITHIN, read).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some(format!("no answer within {} s", WITHIN.as_secs())),
    }
}
