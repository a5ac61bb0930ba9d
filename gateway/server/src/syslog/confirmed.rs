//! From when on what was written counts as sent.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

/// How often the way is marked in the time that an entry takes to count as sent.
const MARKS: u32 = 6;

/// Marks on the way of one connection: how far each log was written when.
pub(super) struct Marks {
    confirm: Duration,
    marks: VecDeque<(Instant, BTreeMap<i64, u64>)>,
    marked: BTreeMap<i64, u64>,
}

impl Marks {
    /// What was written counts as sent where the connection still stands so long afterwards.
    /// `sent`: how far each log was sent before.
    pub(super) fn new(confirm: Duration, sent: &BTreeMap<i64, u64>) -> Self {
        Self { confirm, marks: VecDeque::new(), marked: sent.clone() }
    }

    /// Between two looks.
    pub(super) fn every(&self) -> Duration {
        self.confirm / MARKS
    }

    /// The connection stands now, and so far each log was written. Gives how far they count as sent, where that is further than before.
    pub(super) fn look(&mut self, now: Instant, written: &BTreeMap<i64, u64>) -> Option<BTreeMap<i64, u64>> {
        if self.marked != *written {
            self.marked.clone_from(written);
            self.marks.push_back((now, written.clone()));
        }
        let mut confirmed = None;
        while let Some((_, next)) = self.marks.pop_front_if(|(at, _)| now.duration_since(*at) >= self.confirm)
        {
            confirmed = Some(next);
        }
        confirmed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_counts_after_a_while_and_no_sooner() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let written = |next: u64| BTreeMap::from([(1, next), (2, 7)]);
        let mut marks = Marks::new(Duration::from_secs(30), &written(10));
        assert_eq!(marks.every(), Duration::from_secs(5));
        assert_eq!(marks.look(at(0), &written(10)), None);
        assert_eq!(marks.look(at(5), &written(20)), None);
        assert_eq!(marks.look(at(10), &written(30)), None);
        assert_eq!(marks.look(at(34), &written(30)), None);
        assert_eq!(marks.look(at(35), &written(40)), Some(written(20)));
        assert_eq!(marks.look(at(35), &written(40)), None, "once");
        assert_eq!(marks.look(at(65), &written(40)), Some(written(40)), "the newest of several");
        assert!(marks.marks.is_empty());
    }
}
