//! The leases that this process holds: short ones, held for longer while their attempts run. What a gateway held that died is
//! free within seconds, for itself or for another one on the same database.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::store::outbox::{self, Lease};
use crate::store::{Store, StoreError};

/// How long a lease lasts where others use the database too.
const LEASE_MS: i64 = 4000;
/// The same of a gateway that has its database for itself, beyond an attempt: its start frees what it held, and nothing is renewed.
const ALONE_MS: i64 = 30_000;
/// How often it is renewed: once it may fail.
const RENEWAL: Duration = Duration::from_millis(1300);

/// The leases under way.
#[derive(Default)]
pub(super) struct Leases(Mutex<HashMap<i64, Held>>);

#[derive(Clone, Copy)]
struct Held {
    lease: Lease,
    since: tokio::time::Instant,
}

/// A lease that is renewed until this is dropped.
pub(super) struct Hold {
    leases: Arc<Leases>,
    seq: i64,
    lease: Lease,
}

impl Leases {
    /// Holds a row that was just leased.
    pub(super) fn hold(self: &Arc<Self>, seq: i64, lease: Lease) -> Hold {
        self.with(|held| held.insert(seq, Held { lease, since: tokio::time::Instant::now() }));
        Hold { leases: self.clone(), seq, lease }
    }

    /// How long a lease lasts.
    pub(super) fn lasts_ms(shared: bool, attempt_seconds: u64) -> i64 {
        if shared { LEASE_MS } else { i64::try_from(attempt_seconds).unwrap_or(0) * 1000 + ALONE_MS }
    }

    /// Renews until `done`. An error costs a repeat at most: the partner then answers as it did the first time.
    pub(super) async fn keep(self: Arc<Self>, store: Store, done: CancellationToken) {
        if !store.is_shared() {
            return done.cancelled().await;
        }
        let mut tick = tokio::time::interval(RENEWAL);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = done.cancelled() => return,
            }
            if let Err(error) = self.renew(&store).await {
                tracing::warn!(%error, "leases of attempts under way could not be renewed");
            }
        }
    }

    /// Most attempts end before their first renewal, and cost none.
    async fn renew(&self, store: &Store) -> Result<(), StoreError> {
        let due =
            |(seq, held): (&i64, &Held)| (held.since.elapsed() >= RENEWAL / 2).then_some((*seq, held.lease));
        let due: Vec<_> = self.with(|held| held.iter().filter_map(due).collect());
        if due.is_empty() {
            return Ok(());
        }
        let mut lost = Vec::new();
        // One at a time: two that are held while a batch settles both the other way round would wait for each other.
        for (seq, lease) in due {
            let mut tx = store.lease().await?;
            let until = clock::now().plus_ms(LEASE_MS);
            if !outbox::renew(&mut tx, seq, &lease, until).await? {
                lost.push((seq, lease));
            }
            tx.commit().await?;
        }
        // Another's by now: the attempt under way ends as a late echo, which settles nothing.
        self.with(|held| {
            for (seq, lease) in lost {
                if held.get(&seq).is_some_and(|held| held.lease == lease) {
                    held.remove(&seq);
                }
            }
        });
        Ok(())
    }

    fn with<T>(&self, act: impl FnOnce(&mut HashMap<i64, Held>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Hold {
    /// Whether the lease was not seen to be lost.
    pub(super) fn is_held(&self) -> bool {
        self.leases.with(|held| held.get(&self.seq).is_some_and(|held| held.lease == self.lease))
    }

    /// Its secret.
    pub(super) fn lease(&self) -> Lease {
        self.lease
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.leases.with(|held| {
            if held.get(&self.seq).is_some_and(|held| held.lease == self.lease) {
                held.remove(&self.seq);
            }
        });
    }
}
