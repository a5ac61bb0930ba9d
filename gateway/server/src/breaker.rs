//! Whether partners are reached, and back ends that are told what is for them. After failures in a row one attempt at a time looks whether a partner is back, with pauses that
//! grow, instead of as many at once as there are messages; the first answer, whatever it says, ends that.
//!
//! Kept in memory only: a start knows nothing bad of anybody.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use silkgate_message::instant::Instant;

use crate::clock;

/// Every partner's line, as the last attempts found it.
pub struct Breaker {
    failures_until_open: u32,
    first_ms: u64,
    longest_ms: u64,
    lines: Mutex<BTreeMap<String, Line>>,
}

#[derive(Default)]
struct Line {
    /// In a row.
    failures: u32,
    /// Since when only one attempt at a time is made.
    open_since: Option<Instant>,
    /// Pauses since then.
    pauses: u32,
    next_probe: Instant,
    probing: bool,
    /// The partner asked for time: nothing is sent before.
    put_off_until: Instant,
}

/// Whether attempts may be made now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Passage {
    /// As many as there is room for.
    Free,
    /// One, to look whether the partner is back.
    Probe,
    /// None before that instant.
    Until(Instant),
}

/// How a line stands, for monitoring.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LineFigure {
    /// To whom.
    pub name: String,
    /// Attempts in a row that did not reach it.
    pub failures: u32,
    /// Since when only one attempt at a time is made.
    pub open_since: Option<Instant>,
    /// Until when the partner asked for time, where that is yet to come.
    pub put_off_until: Option<Instant>,
}

impl Breaker {
    /// Opens after so many failures in a row; pauses double from the first to the longest.
    pub fn new(failures_until_open: u32, first_ms: u64, longest_ms: u64) -> Self {
        Self {
            failures_until_open: failures_until_open.max(1),
            first_ms,
            longest_ms,
            lines: Mutex::default(),
        }
    }

    /// Whether attempts may be made now.
    pub fn passage(&self, partner: &str, now: Instant) -> Passage {
        self.with(partner, |line| {
            if line.put_off_until > now {
                return Passage::Until(line.put_off_until);
            }
            match line.open_since {
                None => Passage::Free,
                // Its end is heard of, whatever it is.
                Some(_) if line.probing => Passage::Until(now.plus_ms(60_000)),
                Some(_) if line.next_probe > now => Passage::Until(line.next_probe),
                Some(_) => Passage::Probe,
            }
        })
    }

    /// The one attempt that looks whether the partner is back has begun.
    pub fn probe(&self, partner: &str) {
        self.with(partner, |line| line.probing = true);
    }

    /// An attempt came to nothing that tells of the line.
    pub fn abandoned(&self, partner: &str) {
        self.with(partner, |line| line.probing = false);
    }

    /// Knows nothing of a line any more: it leads elsewhere.
    pub fn forget(&self, name: &str) {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// An attempt got an answer. True where the partner was not reached before.
    pub fn reached(&self, partner: &str) -> bool {
        self.with(partner, |line| {
            let was_open = line.open_since.is_some();
            (line.failures, line.pauses, line.open_since, line.probing) = (0, 0, None, false);
            was_open
        })
    }

    /// An attempt did not reach the partner. True where from now on one attempt at a time is made.
    pub fn failed(&self, partner: &str, now: Instant) -> bool {
        let [byte] = clock::random::<1>();
        self.with(partner, |line| {
            line.failures = line.failures.saturating_add(1);
            let was_probe = std::mem::take(&mut line.probing);
            if line.failures < self.failures_until_open {
                return false;
            }
            let opens = line.open_since.is_none();
            // Those that were under way at the same time say nothing new.
            if opens || was_probe {
                line.next_probe = now.plus_ms(jittered(line.pauses, self.first_ms, self.longest_ms, byte));
                line.pauses = line.pauses.saturating_add(1);
            }
            line.open_since.get_or_insert(now);
            opens
        })
    }

    /// The partner asks for time, whatever the message.
    pub fn put_off(&self, partner: &str, until: Instant) {
        self.with(partner, |line| line.put_off_until = line.put_off_until.max(until));
    }

    /// How every line stands that was used since the start.
    pub fn figures(&self, now: Instant) -> Vec<LineFigure> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let figure = |(name, line): (&String, &Line)| LineFigure {
            name: name.clone(),
            failures: line.failures,
            open_since: line.open_since,
            put_off_until: Some(line.put_off_until).filter(|until| *until > now),
        };
        lines.iter().map(figure).collect()
    }

    fn with<T>(&self, partner: &str, act: impl FnOnce(&mut Line) -> T) -> T {
        // Nothing panics while the lock is held; what a poisoned one guards is still whole.
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        match lines.get_mut(partner) {
            Some(line) => act(line),
            None => act(lines.entry(partner.to_owned()).or_default()),
        }
    }
}

/// Doubling up to the longest, with a quarter of jitter either way, so that whoever comes back is not met by everyone at once.
pub fn jittered(doublings: u32, first_ms: u64, longest_ms: u64, byte: u8) -> i64 {
    let doubled = first_ms.saturating_mul(1 << doublings.min(20)).min(longest_ms);
    let jittered = doubled - doubled / 4 + doubled / 2 * u64::from(byte) / 255;
    i64::try_from(jittered).unwrap_or(i64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Instant {
        Instant(1_800_000_000_000 + ms)
    }

    fn next(passage: Passage) -> i64 {
        match passage {
            Passage::Until(until) => until.0 - at(0).0,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        for (doublings, middle) in [(0, 500), (1, 1000), (4, 8000), (30, 300_000)] {
            for byte in [0, 128, 255] {
                let pause = jittered(doublings, 500, 300_000, byte);
                assert!(pause >= middle * 3 / 4 && pause <= middle * 5 / 4, "{doublings}: {pause}");
            }
        }
    }

    #[test]
    fn after_failures_in_a_row_one_attempt_at_a_time_with_growing_pauses() {
        let breaker = Breaker::new(3, 1000, 8000);
        assert!(!breaker.failed("JO", at(0)) && !breaker.failed("JO", at(0)));
        assert_eq!(breaker.passage("JO", at(0)), Passage::Free);
        assert!(breaker.failed("JO", at(0)), "the third one opens it");
        // Thirty others were under way: they do not lengthen the pause.
        assert!((0..30).all(|_| !breaker.failed("JO", at(1))));
        let first = next(breaker.passage("JO", at(2)));
        assert!((750..=1250).contains(&first), "{first}");
        assert_eq!(breaker.passage("JO", at(1250)), Passage::Probe);
        breaker.probe("JO");
        assert!(next(breaker.passage("JO", at(1251))) > 10_000, "one at a time");
        assert!(!breaker.failed("JO", at(2000)));
        let second = next(breaker.passage("JO", at(2000))) - 2000;
        assert!((1500..=2500).contains(&second), "{second}");
        assert_eq!(breaker.passage("SA", at(2000)), Passage::Free, "each partner for itself");
        breaker.probe("JO");
        assert!(breaker.reached("JO"));
        assert_eq!(breaker.passage("JO", at(2000)), Passage::Free);
        assert!(!breaker.reached("JO"));
    }

    #[test]
    fn a_partner_that_asks_for_time_gets_it() {
        let breaker = Breaker::new(3, 1000, 8000);
        breaker.put_off("JO", at(5000));
        breaker.put_off("JO", at(3000));
        assert_eq!(next(breaker.passage("JO", at(4999))), 5000);
        assert_eq!(breaker.figures(at(0))[0].put_off_until, Some(at(5000)));
        assert_eq!(breaker.passage("JO", at(5000)), Passage::Free);
        assert_eq!(breaker.figures(at(5000))[0].put_off_until, None);
    }

    #[test]
    fn a_probe_that_came_to_nothing_is_followed_by_another() {
        let breaker = Breaker::new(1, 1000, 8000);
        breaker.failed("JO", at(0));
        breaker.probe("JO");
        breaker.abandoned("JO");
        assert_eq!(breaker.passage("JO", at(1250)), Passage::Probe);
        assert_eq!(breaker.figures(at(0))[0].failures, 1);
    }
}
