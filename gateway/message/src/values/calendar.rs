//! Dates in the calendars that the region's documents print, and dates of which a part is unknown.
//!
//! Gregorian dates go over the wire; what the document prints stands beside them.

use icu_calendar::cal::Hijri;
use icu_calendar::{Date, Gregorian};

/// A Gregorian date of which the day, or month and day, may be unknown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Partial {
    /// E.g. 1985.
    pub year: i32,
    /// 1 to 12.
    pub month: Option<u8>,
    /// 1 to 31.
    pub day: Option<u8>,
}

impl Partial {
    /// Reads `YYYY`, `YYYY-MM` or `YYYY-MM-DD`. None where there is no such date.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let year = parts.next().filter(|part| part.len() == 4)?.parse().ok()?;
        let month = parts.next().map(|part| part.parse::<u8>().ok()).map_or(Some(None), |m| m.map(Some))?;
        let day = parts.next().map(|part| part.parse::<u8>().ok()).map_or(Some(None), |d| d.map(Some))?;
        let rest = parts.next().is_none();
        Date::try_new_gregorian(year, month.unwrap_or(1), day.unwrap_or(1)).ok().filter(|_| rest)?;
        Some(Self { year, month, day })
    }

    /// The latest day that it can be, `YYYY-MM-DD`.
    pub fn latest(self) -> String {
        let month = self.month.unwrap_or(12);
        let last = Date::try_new_gregorian(self.year, month, 1)
            .map_or(31, |first: Date<Gregorian>| first.days_in_month());
        format!("{:04}-{month:02}-{:02}", self.year, self.day.unwrap_or(last))
    }

    /// The earliest day that it can be, `YYYY-MM-DD`.
    pub fn earliest(self) -> String {
        format!("{:04}-{:02}-{:02}", self.year, self.month.unwrap_or(1), self.day.unwrap_or(1))
    }
}

/// The Gregorian day, `YYYY-MM-DD`, of a date `YYYY-MM-DD` in `umm-al-qura` or `persian`. None where the
/// calendar has no such day or is another one.
pub fn to_gregorian(calendar: &str, date: &str) -> Option<String> {
    let mut parts = date.split('-');
    let year = parts.next()?.parse().ok()?;
    let (month, day) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let day = match calendar {
        "umm-al-qura" => Date::try_new_hijri_with_calendar(year, month, day, Hijri::new_umm_al_qura())
            .ok()?
            .to_calendar(Gregorian),
        "persian" => Date::try_new_persian(year, month, day).ok()?.to_calendar(Gregorian),
        _ => return None,
    };
    Some(format!(
        "{:04}-{:02}-{:02}",
        day.year().era_year_or_related_iso(),
        day.month().number(),
        day.day_of_month().0
    ))
}

/// Year, month and day in the calendar of Umm al-Qura of a Gregorian day `YYYY-MM-DD`. None where there is no such day.
pub fn to_umm_al_qura(date: &str) -> Option<(i32, u8, u8)> {
    let Partial { year, month: Some(month), day: Some(day) } = Partial::parse(date)? else { return None };
    let day = Date::try_new_gregorian(year, month, day).ok()?.to_calendar(Hijri::new_umm_al_qura());
    Some((day.year().era_year_or_related_iso(), day.month().number(), day.day_of_month().0))
}

/// How many whole years lie between two days `YYYY-MM-DD`.
pub fn years_between(from: &str, to: &str) -> Option<i32> {
    let (from, to) = (Partial::parse(from)?, Partial::parse(to)?);
    let before = (to.month, to.day) < (from.month, from.day);
    Some(to.year - from.year - i32::from(before))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The design catalogue, section 2.
    #[test]
    fn published_dates() {
        assert_eq!(to_gregorian("umm-al-qura", "1446-01-01").as_deref(), Some("2024-07-07"));
        assert_eq!(to_gregorian("persian", "1403-12-30").as_deref(), Some("2025-03-20"));
        assert_eq!(to_gregorian("persian", "1404-12-30"), None, "1404 is no leap year");
        assert_eq!(to_gregorian("julian", "1404-12-01"), None);
    }

    #[test]
    fn partial_dates() {
        assert_eq!(Partial::parse("1985-02-30"), None);
        assert_eq!(Partial::parse("1985-02-03-04"), None);
        assert_eq!(Partial::parse("1984-02").map(Partial::latest).as_deref(), Some("1984-02-29"));
        assert_eq!(Partial::parse("1984").map(Partial::latest).as_deref(), Some("1984-12-31"));
        assert_eq!(Partial::parse("1984").map(Partial::earliest).as_deref(), Some("1984-01-01"));
        assert_eq!(years_between("2008-11-24", "2026-11-24"), Some(18));
        assert_eq!(years_between("2008-11-25", "2026-11-24"), Some(17));
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,14}", digits in "[0-9]{1,5}-[0-9]{1,3}-[0-9]{1,3}") {
            for text in [&text, &digits] {
                let _ = (Partial::parse(text).map(|p| (p.latest(), p.earliest())), to_gregorian("persian", text));
                let _ = (to_gregorian("umm-al-qura", text), years_between(text, text));
            }
        }
    }
}
