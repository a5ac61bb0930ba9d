//! Instants as they stand on the wire: RFC 3339 in UTC with a final `Z`.

use std::fmt;

use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

/// Milliseconds since 1970-01-01T00:00:00Z, leap seconds not counted (POSIX).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Instant(pub i64);

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

impl Instant {
    /// Parses `YYYY-MM-DDThh:mm:ss[.f]Z`: RFC 3339 §5.6 with upper-case `T` and `Z`, in UTC, years
    /// 1970 to 9999, no leap second. Fractions beyond milliseconds are cut off.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() < 20 || bytes.len() > 30 || bytes.get(10) != Some(&b'T') || bytes.last() != Some(&b'Z')
        {
            return None;
        }
        // `:60` is refused: two states must agree on the order of instants without a leap second table.
        if bytes.get(17..19) == Some(b"60") {
            return None;
        }
        let parsed = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        let ms = parsed.unix_timestamp_nanos().div_euclid(1_000_000);
        i64::try_from(ms).ok().filter(|ms| *ms >= 0).map(Self)
    }

    /// From whole seconds since the epoch, as in JOSE's NumericDate (RFC 7519 §2).
    pub fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Whole seconds since the epoch, rounded down.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The day it lies in: whole days since 1970-01-01, UTC.
    pub fn day(self) -> i64 {
        self.0.div_euclid(DAY_MS)
    }

    /// The first instant of that day.
    pub fn of_day(day: i64) -> Self {
        Self(day.saturating_mul(DAY_MS))
    }

    /// Its date in UTC: `2026-11-24`.
    pub fn date(self) -> String {
        self.to_string().chars().take(10).collect()
    }

    /// This instant moved by `ms` milliseconds.
    #[must_use]
    pub fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// The same instant in `offset`, to show a reader local time beside UTC.
    pub fn to_offset(self, offset: UtcOffset) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH)
            .to_offset(offset)
    }
}

impl fmt::Display for Instant {
    /// RFC 3339 in UTC with exactly three decimals: `2026-11-24T09:30:00.000Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let t = self.to_offset(UtcOffset::UTC);
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            t.year(),
            u8::from(t.month()),
            t.day(),
            t.hour(),
            t.minute(),
            t.second(),
            t.millisecond()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_what_it_parses() {
        let text = "2026-11-24T09:30:00.123Z";
        assert_eq!(Instant::parse(text).unwrap().to_string(), text);
        assert_eq!(Instant::parse("1970-01-01T00:00:01Z").unwrap(), Instant(1000));
    }

    #[test]
    fn refuses_what_two_states_could_read_differently() {
        for bad in [
            "2026-11-24t09:30:00Z",
            "2026-11-24T09:30:00z",
            "2026-11-24T09:30:00+03:00",
            "2026-12-31T23:59:60Z",
            "2026-02-30T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "2026-11-24",
            "",
        ] {
            assert_eq!(Instant::parse(bad), None, "{bad}");
        }
    }
}
