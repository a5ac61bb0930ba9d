//! What stands in two places in another order is compared without a map: each side adds up, over a key of
//! this run, the hashes of what it states. Only where the sums differ is looked at again, by name.

use std::collections::{BTreeSet, HashMap};

use ring::digest::{Context, SHA256};
use silkgate_ledger::Hash;
use silkgate_ledger::entry::{Entry, Kind, Verdict};

use super::report::Report;
use crate::clock;
use crate::store::delivery::{HandedOver, Notice, OF_DELIVERY, RETRY, RETRY_DELIVERY, Stands};
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
    /// What an entry states of a message's outcome, hand-over or erasure; and of an end that was not acceptance, that its back end
    /// is told.
    pub(super) fn of_entry(log: i64, index: u64, entry: &Entry) -> Vec<(Side, Self)> {
        let end = match (entry.kind, entry.verdict, entry.code.as_deref()) {
            (Kind::Receipted, Some(Verdict::Rejected), _) => Some(end(Notice::NotDeliveredRejected)),
            (Kind::Expired, _, Some("expired")) => Some(end(Notice::NotDeliveredExpired)),
            (Kind::Expired, _, _) => Some(end(Notice::NotDeliveredReturned)),
            (Kind::Dead, _, _) if !of_delivery(entry) => Some(end(Notice::NotDeliveredDead)),
            _ => None,
        };
        let told = end.and_then(|end| Self::by_entry(entry, end.to_owned()));
        // An operator who has a dead letter tried again takes the entry back that told of its death.
        let back = match entry.what.as_deref().filter(|_| entry.kind == Kind::Admin) {
            Some(RETRY) => Some(format!("outcome {log} dead  {}", code(entry))),
            Some(RETRY_DELIVERY) => Some(format!("handed dead {log} {}", code(entry))),
            _ => None,
        };
        if let Some(fact) = back.and_then(|what| Self::by_entry(entry, what)) {
            return vec![(Side::Row, fact)];
        }
        let stated = Self::stated(log, index, entry);
        stated.into_iter().chain(told).map(|fact| (Side::Log, fact)).collect()
    }

    fn stated(log: i64, index: u64, entry: &Entry) -> Option<Self> {
        let what = match entry.kind {
            Kind::Dead if of_delivery(entry) => format!("handed dead {log} {}", code(entry)),
            Kind::Dropped if of_delivery(entry) => format!("handed dropped {log}"),
            Kind::Dropped => format!("outcome {log} dropped"),
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
        Self::by_entry(entry, what)
    }

    fn by_entry(entry: &Entry, what: String) -> Option<Self> {
        let said = |text: &Option<String>| text.clone().unwrap_or_default();
        let parties = format!("{} {}", said(&entry.from), said(&entry.to));
        let text = format!("{what} {} {parties} {}", said(&entry.id), said(&entry.message_type));
        Some(Self { digest: entry.jws?, text })
    }

    /// What a row says of its outcome; nothing where it is open.
    pub(super) fn of_message(house: i64, row: &Message) -> Vec<Self> {
        if row.way != Way::Sent {
            return Vec::new();
        }
        let (log, kind, verdict) = match row.state {
            State::Queued => return Vec::new(),
            State::Receipted => (row.log, Kind::Receipted, "accepted"),
            State::Rejected => (row.log, Kind::Receipted, "rejected"),
            State::Dead | State::Dropped => (house, Kind::Dead, ""),
            _ => (row.log, Kind::Expired, ""),
        };
        let code = row.code.as_deref().unwrap_or_default();
        let outcome = Self::of_row(row, &format!("outcome {log} {} {verdict} {code}", kind.as_str()));
        let dropped =
            (row.state == State::Dropped).then(|| Self::of_row(row, &format!("outcome {log} dropped")));
        [outcome].into_iter().chain(dropped).collect()
    }

    /// What a hand-over says of itself; nothing where it is open.
    pub(super) fn of_delivery(house: i64, row: &Message, delivery: &HandedOver) -> Vec<Self> {
        let at = delivery.done_at.map_or(0, |at| at.0);
        let code = delivery.code.as_deref().unwrap_or_default();
        let (dead, dropped) = (format!("handed dead {house} {code}"), format!("handed dropped {house}"));
        let facts = match delivery.state {
            Stands::Open => vec![],
            Stands::Delivered => vec![format!("handed over {house} {at}")],
            Stands::Dead => vec![dead],
            Stands::Dropped => vec![dead, dropped],
        };
        facts.iter().map(|what| Self::of_row(row, what)).collect()
    }

    /// The notices of a message's end. What ended before back ends were told stands for itself.
    pub(super) fn of_notices(row: &Message, told: &[HandedOver], told_after: i64) -> Vec<Self> {
        let ends = told.iter().filter_map(|d| d.notice).filter(|notice| notice.is_of_end());
        let mut facts: Vec<Self> = ends.map(|notice| Self::of_row(row, end(notice))).collect();
        if let (true, Some(notice)) = (row.seq <= told_after && facts.is_empty(), Notice::of_end(row.state)) {
            facts.push(Self::of_row(row, end(notice)));
        }
        facts
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

/// Whether an entry about a dead letter speaks of its hand-over, and not of its way to the partner.
fn of_delivery(entry: &Entry) -> bool {
    entry.what.as_deref() == Some(OF_DELIVERY)
}

fn code(entry: &Entry) -> &str {
    entry.code.as_deref().unwrap_or_default()
}

/// An end as a log states it, which does not tell whether what expired may have arrived.
fn end(notice: Notice) -> &'static str {
    match notice {
        Notice::NotDeliveredRejected => "told rejected",
        Notice::NotDeliveredReturned => "told returned",
        Notice::NotDeliveredDead => "told dead",
        _ => "told expired",
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
                    (true, "told") => "the log states an end that its back end is not told of",
                    (false, "told") => "its back end is told of an end that no log states",
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
