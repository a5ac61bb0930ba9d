//! What fails: decided by a seed, or by a test for one write alone.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::lock;
use crate::clock::simulated::{Fate, Random};

/// Every way in which a write fails.
pub(super) const ALL: [Fate; 4] = [Fate::Lost, Fate::Unreported, Fate::KilledBefore, Fate::KilledAfter];

/// Counts by point and fate.
pub(super) type Tally = BTreeMap<(String, Fate), u64>;

/// What the writes of a run become.
pub(super) struct Chance {
    how: Mutex<How>,
    /// Faults that were injected.
    pub(super) tally: Mutex<Tally>,
    /// Every write of the run, in order.
    pub(super) points: Mutex<Vec<String>>,
}

pub(super) enum How {
    /// Every write is done.
    Never,
    /// One write fails, at that place in the order of all; with it the next ones of its point, so many in all. A batch that
    /// failed is tried job by job: the second one meets that.
    At(usize, Fate, usize),
    /// About one write in so many fails, decided by the seed; reads too.
    Often(u64, Random),
    /// Each point fails once in each way; some writes are done between two that fail: so many are left.
    Each(u32),
}

/// Writes that are done between two that fail.
const BETWEEN: u32 = 7;

impl Chance {
    pub(super) fn new(how: How) -> Self {
        Self { how: Mutex::new(how), tally: Mutex::default(), points: Mutex::default() }
    }

    /// From now on every write is done.
    pub(super) fn end(&self) {
        *lock(&self.how) = How::Never;
    }

    /// What becomes of a write.
    pub(super) fn decide(&self, part: &str, point: &str) -> Option<Fate> {
        let is_read = point == "READ";
        let name = format!("{part}: {point}");
        let mut how = lock(&self.how);
        let fate = match &mut *how {
            How::Never => None,
            How::At(..) if is_read => None,
            How::At(at, fate, times) => {
                let points = lock(&self.points);
                let is_one = points.len() == *at || points.get(*at) == Some(&name);
                let done = lock(&self.tally).values().sum::<u64>();
                (is_one && done < *times as u64).then_some(*fate)
            }
            How::Often(times, random) => {
                // Most writes are statements, and most that can go wrong is in the commits.
                let times = if point.starts_with("COMMIT") { (*times / 5).max(4) } else { *times };
                random.once_in(times).then(|| ALL[random.below(4) as usize])
            }
            How::Each(_) if is_read => None,
            How::Each(left) if *left > 0 => {
                *left -= 1;
                None
            }
            How::Each(left) => {
                let tally = lock(&self.tally);
                // A statement that fails takes its transaction with it, whatever was done: of those two ways are enough.
                let ways = if point.starts_with("COMMIT") { &ALL[..] } else { &ALL[..2] };
                let next = ways.iter().find(|fate| !tally.contains_key(&(name.clone(), **fate)));
                *left = if next.is_some() { BETWEEN } else { 0 };
                next.copied()
            }
        };
        drop(how);
        // A view that is not taken is one way to fail, and no write.
        let fate = if is_read { fate.map(|_| Fate::Lost) } else { fate };
        if !is_read {
            lock(&self.points).push(name.clone());
        }
        if let Some(fate) = fate {
            *lock(&self.tally).entry((name, fate)).or_default() += 1;
        }
        fate
    }
}

/// Adds up.
pub(super) fn add(all: &mut Tally, more: &Tally) {
    for (key, count) in more {
        *all.entry(key.clone()).or_default() += count;
    }
}

/// The figures for a reader: a line for each point, a column for each fate.
pub(super) fn table(tally: &Tally) -> String {
    let points: std::collections::BTreeSet<&String> = tally.keys().map(|(point, _)| point).collect();
    let line = |name: &str, counts: [u64; 4]| {
        let [lost, unreported, before, after] = counts;
        format!("{name:<52} {lost:>7} {unreported:>10} {before:>13} {after:>12}\n")
    };
    let of = |point: &String| ALL.map(|fate| tally.get(&(point.clone(), fate)).copied().unwrap_or(0));
    let mut text = format!(
        "{:<52} {:>7} {:>10} {:>13} {:>12}\n",
        "faults injected", "lost", "unreported", "killed before", "killed after"
    );
    points.iter().for_each(|point| text.push_str(&line(point, of(point))));
    let sum = |fate: Fate| tally.iter().filter(|((_, of), _)| *of == fate).map(|(_, count)| count).sum();
    text.push_str(&line("all", ALL.map(sum)));
    text
}
