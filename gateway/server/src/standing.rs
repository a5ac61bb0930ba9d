//! How far our own logs and our partners' can be relied on at present: what may be written, and with whom
//! messages pass.
//!
//! Kept in memory: the store holds what it rests on (open alarms, cosignatures, an operator's word), and a
//! start begins by asking the partners again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use silkgate_message::agreement::{Agreement, Degraded};
use silkgate_message::instant::Instant;
use silkgate_message::party::Country;
use tokio::sync::Notify;

use crate::clock;

/// How long a request waits, at most, for the word that is awaited at a start.
const WAIT: Duration = Duration::from_secs(5);

/// What is known at present.
#[derive(Default)]
pub struct Standing {
    known: RwLock<Known>,
    /// Rung when a word came in, or an alarm.
    changed: Notify,
}

#[derive(Default)]
struct Known {
    /// Why payloads can be neither written nor read as they should: a key store that is not the one in use.
    other_keys: Option<&'static str>,
    /// Partners who have seen more than we hold, or another history.
    rolled_back: BTreeSet<Country>,
    /// Partners whose word on our logs is still awaited at this start, and who gave it.
    awaited: BTreeMap<Country, bool>,
    /// Partners whose logs contradict themselves.
    forked: BTreeSet<Country>,
    /// Counts the alarms that were added here.
    added: u64,
    /// Counts how often the database was in doubt.
    doubts: u64,
    doubted_at: Option<Instant>,
    /// When the oldest entry of the channel was written that its partner has not cosigned.
    uncosigned: BTreeMap<Country, Instant>,
}

/// Whether messages pass, and why not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Flow {
    /// They pass.
    Normal,
    /// Ours wait to be sent; the partner's are put off.
    Queue(String),
    /// None is taken, neither ours nor the partner's.
    Stop(String),
}

impl Flow {
    /// Why messages do not pass.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Flow::Normal => None,
            Flow::Queue(reason) | Flow::Stop(reason) => Some(reason),
        }
    }
}

impl Standing {
    /// Waits for the word of these partners, who have witnessed our logs before.
    pub fn await_word(&self, partners: impl IntoIterator<Item = Country>) {
        self.write().awaited = partners.into_iter().map(|partner| (partner, false)).collect();
    }

    /// The partner, or an operator in its place, has given its word: we hold all that it has seen. `doubts`:
    /// [`Standing::doubts`] before it was asked; a word about the database before counts for nothing.
    pub fn confirm(&self, partner: Country, doubts: u64) {
        let mut known = self.write();
        if known.doubts == doubts
            && let Some(confirmed) = known.awaited.get_mut(&partner)
        {
            *confirmed = true;
        }
        drop(known);
        self.changed.notify_waiters();
    }

    /// How many alarms were added so far: to be asked before the store is read.
    pub fn added(&self) -> u64 {
        self.read().added
    }

    /// The open alarms by the store: partners whose logs contradict themselves, and partners who hold more of our
    /// logs than we do. Without effect where one was added since the store was read: it would be lost.
    pub fn set_alarms(&self, added: u64, forked: BTreeSet<Country>, rolled_back: BTreeSet<Country>) {
        let mut known = self.write();
        if known.added == added {
            (known.forked, known.rolled_back) = (forked, rolled_back);
        }
    }

    /// A connection to the database was lost and made anew: what answers may be another database, an older one. Every word
    /// that was given counts for the one before.
    pub fn doubt(&self) {
        let mut known = self.write();
        known.awaited.values_mut().for_each(|confirmed| *confirmed = false);
        known.doubts += 1;
        known.doubted_at = Some(clock::now());
        drop(known);
        self.changed.notify_waiters();
    }

    /// Resolves when the database has come into doubt since there were so many doubts.
    pub async fn doubted_since(&self, doubts: u64) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if self.doubts() != doubts {
                return;
            }
            changed.await;
        }
    }

    /// How often, and when last.
    pub fn doubted(&self) -> (u64, Option<Instant>) {
        let known = self.read();
        (known.doubts, known.doubted_at)
    }

    /// How often the database was in doubt: a word is asked for again when it has grown.
    pub fn doubts(&self) -> u64 {
        self.read().doubts
    }

    /// The partner has witnessed our logs: from now on its word is asked for when the database is in doubt.
    pub fn witnessed_by(&self, partner: Country) {
        self.write().awaited.entry(partner).or_insert(true);
    }

    /// No longer waits for the word of partners that are not active.
    pub fn await_only(&self, active: &BTreeSet<Country>) {
        self.write().awaited.retain(|partner, confirmed| *confirmed || active.contains(partner));
        self.changed.notify_waiters();
    }

    /// One more alarm about a partner's log.
    pub fn add_fork(&self, partner: Country) {
        let mut known = self.write();
        known.added += 1;
        known.forked.insert(partner);
    }

    /// One more alarm about our own logs.
    pub fn add_rollback(&self, partner: Country) {
        {
            let mut known = self.write();
            known.added += 1;
            known.rolled_back.insert(partner);
        }
        self.changed.notify_waiters();
    }

    /// Whether another key store is in use on this database; None: ours is.
    pub fn set_other_keys(&self, reason: Option<&'static str>) {
        self.write().other_keys = reason;
    }

    /// Since when entries of the channel are not cosigned; None: all are.
    pub fn set_uncosigned(&self, partner: Country, since: Option<Instant>) {
        let mut known = self.write();
        match since {
            Some(since) => known.uncosigned.insert(partner, since),
            None => known.uncosigned.remove(&partner),
        };
    }

    /// Since when entries of the channel are not cosigned.
    pub fn uncosigned_since(&self, partner: Country) -> Option<Instant> {
        self.read().uncosigned.get(&partner).copied()
    }

    /// Why nothing at all may be written.
    pub fn read_only(&self) -> Option<String> {
        let known = self.read();
        if let Some(reason) = known.other_keys {
            return Some(format!("read-only: {reason}"));
        }
        let partners: Vec<_> = known.rolled_back.iter().map(ToString::to_string).collect();
        let first = partners.first()?;
        Some(format!(
            "read-only: {} has seen a later or another history of our logs than this database holds; \
             `silkgate status` tells more, `silkgate log recover {first}` is the way out",
            partners.join(", ")
        ))
    }

    /// Why nothing may be written to the log of that channel, or with None to the house log.
    pub fn closed(&self, partner: Option<Country>) -> Option<String> {
        if let Some(reason) = self.read_only() {
            return Some(reason);
        }
        let known = self.read();
        let waits = match partner {
            Some(partner) => known.awaited.get(&partner) == Some(&false),
            // The house log is shown to every partner: the word of one tells whether it was rolled back.
            None => !known.awaited.is_empty() && known.awaited.values().all(|confirmed| !confirmed),
        };
        waits.then(|| {
            let whom = partner.map_or_else(|| "a partner".to_owned(), |partner| partner.to_string());
            format!(
                "since its start the gateway waits for {whom} to tell what it last saw of our log; if it cannot be \
                 reached, an operator runs `silkgate log confirm`"
            )
        })
    }

    /// The same after a moment: just after a start the word is mostly on its way.
    pub async fn still_closed(&self, partner: Option<Country>) -> Option<String> {
        let deadline = tokio::time::Instant::now() + WAIT;
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            let reason = self.closed(partner)?;
            if self.read_only().is_some() || tokio::time::timeout_at(deadline, changed).await.is_err() {
                return Some(reason);
            }
        }
    }

    /// Whether messages pass with a partner, where the agreement says `degraded` of them.
    pub fn flow(&self, agreement: &Agreement, degraded: Degraded, now: Instant) -> Flow {
        let known = self.read();
        let age_ms = i64::from(agreement.witness_hours) * 3_600_000;
        let reason = if known.forked.contains(&agreement.partner) {
            "the partner's log contradicts what it showed before"
        } else if known.uncosigned.get(&agreement.partner).is_some_and(|since| now.0 - since.0 > age_ms) {
            "the partner has not cosigned our log for longer than agreed"
        } else {
            return Flow::Normal;
        };
        match degraded {
            Degraded::Accept => Flow::Normal,
            Degraded::Queue => Flow::Queue(reason.to_owned()),
            Degraded::Stop => Flow::Stop(reason.to_owned()),
        }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Known> {
        // Nothing panics while the lock is held; what a poisoned one guards is still whole.
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn country(code: &str) -> Country {
        code.parse().unwrap()
    }

    #[test]
    fn a_channel_waits_for_its_own_partner_and_the_house_for_any() {
        let standing = Standing::default();
        assert_eq!(standing.closed(None), None);
        standing.await_word([country("JO"), country("SA")]);
        assert!(standing.closed(Some(country("JO"))).is_some() && standing.closed(None).is_some());
        assert_eq!(standing.closed(Some(country("TR"))), None, "who never witnessed is not waited for");
        standing.confirm(country("JO"), 0);
        assert_eq!((standing.closed(Some(country("JO"))), standing.closed(None)), (None, None));
        assert!(standing.closed(Some(country("SA"))).is_some());
        standing.await_only(&BTreeSet::from([country("JO")]));
        assert_eq!(standing.closed(Some(country("SA"))), None, "who is suspended is not waited for");
        let before = standing.added();
        standing.add_rollback(country("JO"));
        standing.set_alarms(before, BTreeSet::new(), BTreeSet::new());
        assert!(standing.closed(Some(country("TR"))).is_some(), "a rollback is one of the whole database");
    }

    #[test]
    fn the_agreement_says_what_follows_from_an_alarm_and_from_age() {
        let standing = Standing::default();
        let mut agreement = Agreement::empty(country("JO"));
        let day = 24 * 3_600_000;
        assert_eq!(standing.flow(&agreement, agreement.degraded, Instant(day * 9)), Flow::Normal);
        standing.set_uncosigned(country("JO"), Some(Instant(0)));
        assert_eq!(standing.flow(&agreement, agreement.degraded, Instant(day)), Flow::Normal);
        assert!(matches!(standing.flow(&agreement, agreement.degraded, Instant(day + 1)), Flow::Queue(_)));
        standing.set_uncosigned(country("JO"), None);
        standing.add_fork(country("JO"));
        agreement.degraded = Degraded::Stop;
        assert!(matches!(standing.flow(&agreement, agreement.degraded, Instant(0)), Flow::Stop(_)));
        agreement.degraded = Degraded::Accept;
        assert_eq!(standing.flow(&agreement, agreement.degraded, Instant(0)), Flow::Normal);
        assert_eq!(standing.flow(&Agreement::empty(country("SA")), Degraded::Stop, Instant(0)), Flow::Normal);
    }
}
