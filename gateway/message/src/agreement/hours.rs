//! When messages pass: windows of the week, in UTC, such as `Sun-Thu 06:00-18:00`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::instant::Instant;

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const DAY_MIN: i64 = 24 * 60;
const MIN_MS: i64 = 60_000;

/// The same hours on days that follow each other; `Sat-Wed` goes over the end of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Window {
    /// 0 is Monday.
    first_day: i64,
    days: i64,
    /// Minutes of the day.
    from: i64,
    /// Up to 24:00, and not at it.
    to: i64,
}

impl Window {
    /// Reads `Sun-Thu 06:00-18:00` or `Fri 08:00-12:00`.
    pub fn parse(text: &str) -> Option<Self> {
        let (days, hours) = text.split_once(' ')?;
        let (first, last) = days.split_once('-').unwrap_or((days, days));
        let (first_day, last_day) = (day(first)?, day(last)?);
        let (from, to) = hours.split_once('-')?;
        let (from, to) = (minute(from)?, minute(to)?);
        let window = Self { first_day, days: (last_day - first_day).rem_euclid(7) + 1, from, to };
        // One spelling for each window, so that two sides can compare theirs.
        (from < to && window.to_string() == text).then_some(window)
    }

    /// Whether it is open, and otherwise how many milliseconds until it is.
    fn closed_for_ms(&self, at: Instant) -> i64 {
        let minute = at.0.div_euclid(MIN_MS);
        let of_day = minute.rem_euclid(DAY_MIN);
        let today = weekday(minute.div_euclid(DAY_MIN));
        // Within a week every window opens; today counts where it is not over yet.
        let ahead = (0..=7).find(|ahead| {
            let is_on = (today + ahead - self.first_day).rem_euclid(7) < self.days;
            is_on && (*ahead > 0 || of_day < self.to)
        });
        let opens = minute - of_day + ahead.unwrap_or_default() * DAY_MIN + self.from;
        (opens * MIN_MS - at.0).max(0)
    }
}

/// 1970-01-01 was a Thursday.
fn weekday(day: i64) -> i64 {
    (day + 3).rem_euclid(7)
}

fn day(text: &str) -> Option<i64> {
    DAYS.iter().position(|name| *name == text).and_then(|place| i64::try_from(place).ok())
}

fn minute(text: &str) -> Option<i64> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str| {
        let plain = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<i64>().ok().filter(|_| plain)
    };
    let (hour, minute) = (number(hour)?, number(minute)?);
    (hour * 60 + minute <= DAY_MIN && minute < 60).then_some(hour * 60 + minute)
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |day: i64| DAYS.get(day.rem_euclid(7) as usize).copied().unwrap_or_default();
        f.write_str(name(self.first_day))?;
        if self.days > 1 {
            write!(f, "-{}", name(self.first_day + self.days - 1))?;
        }
        let (from, to) = (self.from, self.to);
        write!(f, " {:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60)
    }
}

impl TryFrom<String> for Window {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let like = "hours are `Mon-Fri 06:00-18:00` or `Sat 08:00-12:00`, in UTC";
        Self::parse(&text).ok_or_else(|| format!("{text}: {like}"))
    }
}

impl From<Window> for String {
    fn from(window: Window) -> Self {
        window.to_string()
    }
}

/// When the first of the windows is open again; None: one of them is, or there are none.
pub fn closed_until(windows: &[Window], now: Instant) -> Option<Instant> {
    let closed_for = windows.iter().map(|window| window.closed_for_ms(now)).min()?;
    (closed_for > 0).then(|| now.plus_ms(closed_for))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Instant {
        Instant::parse(text).unwrap()
    }

    fn opens(windows: &[&str], now: &str) -> Option<String> {
        let windows: Vec<_> = windows.iter().map(|text| Window::parse(text).unwrap()).collect();
        closed_until(&windows, at(now)).map(|at| at.to_string())
    }

    #[test]
    fn windows_open_and_close_to_the_minute() {
        // 2026-11-24 is a Tuesday.
        let office = ["Sun-Thu 06:00-18:00"];
        assert_eq!(opens(&office, "2026-11-24T06:00:00Z"), None);
        assert_eq!(opens(&office, "2026-11-24T17:59:59Z"), None);
        assert_eq!(opens(&office, "2026-11-24T18:00:00Z").unwrap(), "2026-11-25T06:00:00.000Z");
        assert_eq!(opens(&office, "2026-11-24T05:59:59.5Z").unwrap(), "2026-11-24T06:00:00.000Z");
        // Thursday evening to Sunday morning.
        assert_eq!(opens(&office, "2026-11-26T18:00:00Z").unwrap(), "2026-11-29T06:00:00.000Z");
        assert_eq!(opens(&[], "2026-11-26T18:00:00Z"), None, "no hours: at any time");
        // The first that opens counts, and a window of a single day comes again after a week.
        assert_eq!(opens(&["Tue 08:00-09:00"], "2026-11-24T09:00:00Z").unwrap(), "2026-12-01T08:00:00.000Z");
        let two = ["Tue 08:00-09:00", "Fri 22:00-24:00"];
        assert_eq!(opens(&two, "2026-11-24T09:00:00Z").unwrap(), "2026-11-27T22:00:00.000Z");
        assert_eq!(opens(&["Mon-Sun 00:00-24:00"], "2026-11-24T23:59:59Z"), None);
    }

    #[test]
    fn one_spelling() {
        for bad in [
            "",
            "Mon",
            "06:00-18:00",
            "Mon 6:00-18:00",
            "mon 06:00-18:00",
            "Mon-Mon 06:00-18:00",
            "Mon 18:00-06:00",
            "Mon 06:00-06:00",
            "Mon 06:60-18:00",
            "Mon 06:00-24:01",
            "Mon  06:00-18:00",
            "Mon 06:00-18:00 ",
            "Montag 06:00-18:00",
            "Mon 06:00–18:00",
            "Mon +6:00-18:00",
        ] {
            assert_eq!(Window::parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn parse_and_print_agree(first in 0..7_usize, last in 0..7_usize, from in 0..1440_i64, long in 1..1440_i64) {
            let to = (from + long).min(1440);
            let days = if first == last { DAYS[first].to_owned() } else { format!("{}-{}", DAYS[first], DAYS[last]) };
            let text = format!("{days} {:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60);
            prop_assert_eq!(Window::parse(&text).unwrap().to_string(), text);
        }

        /// When it says that it opens, it is open, and it was closed a minute before.
        #[test]
        fn what_opens_is_open(now in 0..4_000_000_000_000_i64, first in 0..7_i64, days in 1..=7_i64, from in 0..1400_i64, long in 1..40_i64) {
            let window = Window { first_day: first, days, from, to: from + long };
            if let Some(until) = closed_until(&[window], Instant(now)) {
                prop_assert!(closed_until(&[window], until).is_none());
                prop_assert!(closed_until(&[window], until.plus_ms(-1)).is_some());
            }
        }
    }
}
