//! Instants as entries write them. The clock is elsewhere: this only reads and writes.

use std::fmt;

/// Milliseconds since 1970-01-01T00:00:00Z without leap seconds (POSIX), up to the year 9999; written
/// as RFC 3339 in UTC with three decimals, `2026-11-24T09:30:00.123Z`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct UtcMillis(i64);

/// 9999-12-31T23:59:59.999Z, the last instant RFC 3339 can write.
const LATEST_MS: i64 = 253_402_300_799_999;

const DAY_MS: i64 = 86_400_000;

impl UtcMillis {
    /// From milliseconds since the epoch, if the year lies between 1970 and 9999.
    pub fn from_unix_ms(unix_ms: i64) -> Option<Self> {
        (0..=LATEST_MS).contains(&unix_ms).then_some(Self(unix_ms))
    }

    /// Milliseconds since the epoch.
    pub fn unix_ms(self) -> i64 {
        self.0
    }

    /// Reads exactly `YYYY-MM-DDThh:mm:ss.fffZ`; no leap second, no other zone, no other precision.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: &[u8; 24] = text.as_bytes().try_into().ok()?;
        for (at, b) in bytes.iter().enumerate() {
            let fits = match at {
                4 | 7 => *b == b'-',
                10 => *b == b'T',
                13 | 16 => *b == b':',
                19 => *b == b'.',
                23 => *b == b'Z',
                _ => b.is_ascii_digit(),
            };
            if !fits {
                return None;
            }
        }
        let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (hour, minute, second, ms) = (number(11, 13)?, number(14, 16)?, number(17, 19)?, number(20, 23)?);
        if year < 1970 || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
            return None;
        }
        let days = days_before_year(year) + days_before_month(year, month) + day - 1;
        Some(Self(days * DAY_MS + ((hour * 60 + minute) * 60 + second) * 1000 + ms))
    }
}

impl fmt::Display for UtcMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.0.div_euclid(DAY_MS);
        let ms = self.0.rem_euclid(DAY_MS);
        // The mean year has 365.2425 days, so this guess is at most one year off.
        let mut year = 1970 + days * 400 / DAYS_IN_400_YEARS;
        if days_before_year(year) > days {
            year -= 1;
        } else if days_before_year(year + 1) <= days {
            year += 1;
        }
        let mut day = days - days_before_year(year);
        let mut month = 1;
        while day >= days_in_month(year, month) {
            day -= days_in_month(year, month);
            month += 1;
        }
        let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
        let (day, ms) = (day + 1, ms % 1000);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
    }
}

/// Days of one full cycle of the Gregorian calendar: 400 · 365 and 97 leap days.
const DAYS_IN_400_YEARS: i64 = 146_097;

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to the first of January of `year`.
fn days_before_year(year: i64) -> i64 {
    let leap_days_until = |year: i64| (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400;
    (year - 1970) * 365 + leap_days_until(year) - leap_days_until(1970)
}

fn days_before_month(year: i64, month: i64) -> i64 {
    (1..month).map(|month| days_in_month(year, month)).sum()
}

#[cfg(test)]
mod tests {
    use ::time::{OffsetDateTime, format_description::well_known::Rfc3339};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_ends_of_its_range() {
        assert_eq!(UtcMillis(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(UtcMillis(LATEST_MS).to_string(), "9999-12-31T23:59:59.999Z");
        assert_eq!(UtcMillis::parse("9999-12-31T23:59:59.999Z"), UtcMillis::from_unix_ms(LATEST_MS));
        assert_eq!(UtcMillis::from_unix_ms(-1), None);
        assert_eq!(UtcMillis::from_unix_ms(LATEST_MS + 1), None);
    }

    #[test]
    fn refuses_other_spellings() {
        for bad in [
            "",
            "2026-11-24T09:30:00Z",
            "2026-11-24T09:30:00.12Z",
            "2026-11-24T09:30:00.1234Z",
            "2026-11-24t09:30:00.123Z",
            "2026-11-24T09:30:00.123z",
            "2026-11-24 09:30:00.123Z",
            "2026-11-24T09:30:00.123+",
            "2026-02-29T00:00:00.000Z",
            "2026-00-10T00:00:00.000Z",
            "2026-13-10T00:00:00.000Z",
            "2026-04-31T00:00:00.000Z",
            "2026-04-00T00:00:00.000Z",
            "2026-04-01T24:00:00.000Z",
            "2026-04-01T00:60:00.000Z",
            "2016-12-31T23:59:60.000Z",
            "1969-12-31T23:59:59.999Z",
            "+026-04-01T00:00:00.000Z",
            "2026-04-01T00:00:00,000Z",
            "٢٠٢٦-04-01T00:00:00.0Z",
        ] {
            assert_eq!(UtcMillis::parse(bad), None, "{bad}");
        }
        assert!(UtcMillis::parse("2024-02-29T00:00:00.000Z").is_some());
        assert!(UtcMillis::parse("2000-02-29T00:00:00.000Z").is_some());
        assert!(UtcMillis::parse("2100-02-29T00:00:00.000Z").is_none());
    }

    #[test]
    fn every_day_as_the_time_crate_writes_it() {
        for day in 0..=LATEST_MS / DAY_MS {
            let date = OffsetDateTime::from_unix_timestamp(day * 86_400).unwrap().date();
            let ours = UtcMillis(day * DAY_MS);
            assert_eq!(ours.to_string(), format!("{date}T00:00:00.000Z"));
            assert_eq!(UtcMillis::parse(&ours.to_string()), Some(ours));
        }
    }

    proptest! {
        #[test]
        fn reads_what_it_writes_and_agrees_with_the_time_crate(ms in 0..=LATEST_MS) {
            let ours = UtcMillis(ms);
            let text = ours.to_string();
            prop_assert_eq!(UtcMillis::parse(&text), Some(ours));
            let theirs = OffsetDateTime::parse(&text, &Rfc3339).unwrap();
            prop_assert_eq!(theirs.unix_timestamp_nanos(), i128::from(ms) * 1_000_000);
        }

        #[test]
        fn never_panics(text in ".{0,30}") {
            let _ = UtcMillis::parse(&text);
        }
    }
}
