//! Dates as EDIFACT writes them.

use silkgate_message::values::calendar::Partial;
use time::{Date, Month};

/// CCYYMMDD, digits only: Rust's own numbers may have a sign.
pub(super) fn date(text: &str) -> Option<Date> {
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let part = |range: std::ops::Range<usize>| text.get(range)?.parse::<u8>().ok();
    let month = Month::try_from(part(4..6)?).ok()?;
    Date::from_calendar_date(text.get(..4)?.parse().ok()?, month, part(6..8)?)
        .ok()
        .filter(|_| text.len() == 8)
}

/// A date of birth; with two digits of the year, the last such year before the arrival. Format codes as in
/// UN/EDIFACT 2379: 610 is CCYYMM, what has no code goes by its length.
pub(super) fn birth(text: &str, format: &str, arrival: Option<Date>) -> Option<String> {
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let whole = match text.len() {
        6 if format == "610" => format!("{}-{}", text.get(..4)?, text.get(4..)?),
        6 => century(text, arrival?)?,
        4 => text.to_owned(),
        8 => format!("{}-{}-{}", text.get(..4)?, text.get(4..6)?, text.get(6..)?),
        _ => return None,
    };
    Partial::parse(&whole).map(|_| whole)
}

fn century(text: &str, arrival: Date) -> Option<String> {
    let year: i32 = text.get(..2)?.parse().ok()?;
    let (month, day) = (text.get(2..4)?, text.get(4..6)?);
    let this = arrival.year() / 100 * 100 + year;
    let later = format!("{this:04}-{month}-{day}") > arrival.to_string();
    Some(format!("{:04}-{month}-{day}", if later { this - 100 } else { this }))
}

/// An expiry: two digits of the year lie within fifty years of the arrival.
pub(super) fn expiry(text: &str, arrival: Option<Date>) -> Option<String> {
    let text = match text.len() {
        6 => {
            let base = arrival.map_or(2000, |day| day.year() / 100 * 100);
            format!("{:04}{}", base + text.get(..2)?.parse::<i32>().ok()?, text.get(2..)?)
        }
        _ => text.to_owned(),
    };
    date(&text).map(|date| date.to_string())
}
