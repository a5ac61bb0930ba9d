//! What stands in two places in another order is compared without a map: each side adds up, over a key of
//! this run, the hashes of what it states. Only where the sums differ is looked at again, by name.

use std::collections::{BTreeSet, HashMap};

use ring::digest::{Context, SHA256};
use silkgate_ledger::Hash;
use silkgate_ledger::entry::{Entry, Kind};

use super::report::Report;
use crate::clock;
use crate::store::delivery::{HandedOver, Stands};
use crate::store::erasure::Erasure;
use crate::store::ledger::hash;
use crate::store::message::{Message, State, Way};

/// Parts that are summed by themselves.
const BUCKETS: usize = 4096;
/// Parts that are looked at again: what one pass can name in bounded memory.
const NAMED_MAX: usize = 64;

/// What an entry and a row both state about a message.
pub(super) struct Fact {
    digest: Hash,
    text: String,
}

impl Fact {
    /// What an entry states of a message's outcome, hand-over or erasure.
    pub(super) fn of_entry(log: i64, index: u64, entry: &Entry) -> Option<Self> {
        let what = match entry.kind {
            Kind::Receipted | Kind::Expired | Kind::Dead => {
                let verdict = entry.verdict.map(|verdict| verdict.as_str()).unwrap_or_default();
                let code = entry.code.as_deref().unwrap_or_default();
                format!("outcome {log} {} {verdict} {code}", entry.kind.as_str())
            }
            Kind::Delivered => format!("handed over {log} {}", entry.at.unix_ms()),
            Kind::Erased => {
                let (of, rule) = (entry.of.as_deref()?, entry.rule.as_deref()?);
                format!("erased {log} {of} by {index} {rule} {}", entry.at.unix_ms())
            }
            _ => return None,
        };
        let said = |text: &Option<String>| text.clone().unwrap_or_default();
        let parties = format!("{} {}", said(&entry.from), said(&entry.to));
        let text = format!("{what} {} {parties} {}", said(&entry.id), said(&entry.message_type));
        Some(Self { digest: entry.jws?, text })
    }

    /// What a row says of its outcome; None where it is open.
    pub(super) fn of_message(house: i64, row: &Message) -> Option<Self> {
        if row.way != Way::Sent {
            return None;
        }
        let (log, kind, verdict) = match row.state {
            State::Queued => return None,
            State::Receipted => (row.log, Kind::Receipted, "accepted"),
            State::Rejected => (row.log, Kind::Receipted, "rejected"),
            State::Dead => (house, Kind::Dead, ""),
            _ => (row.log, Kind::Expired, ""),
        };
        let code = row.code.as_deref().unwrap_or_default();
        Some(Self::of_row(row, &format!("outcome {log} {} {verdict} {code}", kind.as_str())))
    }

    /// What a hand-over says of itself; None where it is open.
    pub(super) fn of_delivery(house: i64, row: &Message, delivery: &HandedOver) -> Option<Self> {
        let at = delivery.done_at.filter(|_| delivery.state == Stands::Delivered)?;
        Some(Self::of_row(row, &format!("handed over {house} {}", at.0)))
    }

    /// What is noted of an erasure.
    pub(super) fn of_erasure(row: &Message, erasure: &Erasure) -> Self {
        let Erasure { entry, rule, at, .. } = erasure;
        Self::of_row(row, &format!("erased {} {} by {entry} {} {}", row.log, row.entry, rule.as_str(), at.0))
    }

    fn of_row(row: &Message, what: &str) -> Self {
        let text = format!("{what} {} {} {} {}", row.id, row.source, row.recipient, row.kind);
        Self { digest: hash(row.digest), text }
    }

    fn bucket(&self) -> usize {
        let [a, b, ..] = *self.digest.as_bytes();
        usize::from(u16::from_be_bytes([a, b])) % BUCKETS
    }
}

/// Which side states a fact.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// A log.
    Log,
    /// A row.
    Row,
}

/// The sums of both sides, as one difference for each part: 0 where both state the same. Without the key nobody
/// can choose two sets with the same sum.
pub(super) struct Sums {
    key: [u8; 32],
    differences: Vec<u128>,
}

impl Sums {
    pub(super) fn new() -> Self {
        Self { key: clock::random(), differences: vec![0; BUCKETS] }
    }

    pub(super) fn add(&mut self, side: Side, fact: &Fact) {
        let mut context = Context::new(&SHA256);
        context.update(&self.key);
        context.update(fact.digest.as_bytes());
        context.update(fact.text.as_bytes());
        let hashed = context.finish();
        let Some(half) = hashed.as_ref().first_chunk::<16>() else { return };
        let value = u128::from_be_bytes(*half);
        if let Some(difference) = self.differences.get_mut(fact.bucket()) {
            *difference = match side {
                Side::Log => difference.wrapping_add(value),
                Side::Row => difference.wrapping_sub(value),
            };
        }
    }

    /// The parts that differ, to be named.
    pub(super) fn unequal(&self) -> Unequal {
        let parts = self.differences.iter().enumerate().filter(|(_, difference)| **difference != 0);
        let mut parts: BTreeSet<usize> = parts.map(|(part, _)| part).collect();
        let more = parts.len() > NAMED_MAX;
        if let Some(first_beyond) = parts.iter().nth(NAMED_MAX).copied() {
            parts.split_off(&first_beyond);
        }
        Unequal { parts, more, open: HashMap::new() }
    }
}

/// The facts of the parts that differ: those that one side states and the other does not.
pub(super) struct Unequal {
    parts: BTreeSet<usize>,
    more: bool,
    open: HashMap<(Hash, String), (i64, String)>,
}

impl Unequal {
    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    pub(super) fn add(&mut self, side: Side, fact: Fact, place: impl FnOnce() -> String) {
        if !self.parts.contains(&fact.bucket()) {
            return;
        }
        let key = (fact.digest, fact.text);
        let (count, _) = self.open.entry(key.clone()).or_insert_with(|| (0, place()));
        *count += if side == Side::Log { 1 } else { -1 };
        if *count == 0 {
            self.open.remove(&key);
        }
    }

    /// Names what is left.
    pub(super) fn tell(self, report: &mut Report) {
        let mut left: Vec<_> =
            self.open.into_iter().map(|((_, text), (n, place))| (place, n, text)).collect();
        left.sort();
        for (place, count, text) in left {
            let what = text.split(' ').next().unwrap_or_default();
            report.find(
                place,
                match (count > 0, what) {
                    (true, "outcome") => "the log states an outcome that no message has",
                    (true, "erased") => "the log states an erasure that is noted of no message",
                    (true, _) => "the log states a hand-over that no row has",
                    (false, "outcome") => "its state is not the outcome that the log states",
                    (false, "erased") => "its erasure is not what the log states",
                    (false, _) => "its hand-over is not what the house log states",
                },
            );
        }
        if self.more {
            report.find("message", "outcomes, hand-overs and erasures differ in more places than are listed");
        }
    }
}
