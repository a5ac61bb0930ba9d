//! How a value that breaks its schema could be mended. A hint names characters and codes of the schema,
//! never the value.

use std::collections::BTreeSet;

use jsonschema::error::{TypeKind, ValidationErrorKind};
use serde_json::Value;

use super::shape::nearest;
use crate::values::text::is_invisible;

/// The hint for a violation, if there is one.
pub(super) fn of(kind: &ValidationErrorKind, found: &Value) -> Option<String> {
    match (kind, found) {
        (ValidationErrorKind::Enum { options }, Value::String(found)) => {
            let options: BTreeSet<String> =
                options.as_array()?.iter().filter_map(|option| option.as_str().map(str::to_owned)).collect();
            nearest(found, &options).map(|near| format!("did you mean `{near}`?"))
        }
        (ValidationErrorKind::Pattern { pattern }, Value::String(found)) => in_text(pattern, found),
        (ValidationErrorKind::Type { kind: TypeKind::Single(expected) }, found) => {
            match (expected.to_string().as_str(), found) {
                ("string", Value::Number(_)) => Some("write it in quotes".to_owned()),
                ("integer" | "number", Value::String(text)) if text.parse::<i64>().is_ok() => {
                    Some("write it without quotes".to_owned())
                }
                (_, Value::Null) => Some("leave the member out where nothing is known".to_owned()),
                _ => None,
            }
        }
        (ValidationErrorKind::Format { format }, _) if format == "date" => {
            Some("the calendar has no such day".to_owned())
        }
        _ => None,
    }
}

fn in_text(pattern: &str, found: &str) -> Option<String> {
    if found.is_empty() {
        return Some("leave the member out where nothing is known".to_owned());
    }
    let hidden = found.chars().find(|c| {
        let bidi_or_zero_width =
            matches!(u32::from(*c), 0x61C | 0x200B..=0x200F | 0x2028..=0x202E | 0x2060..=0x206F | 0xFEFF);
        c.is_control() || bidi_or_zero_width || is_invisible(*c)
    });
    if let Some(hidden) = hidden {
        return Some(format!("it holds the invisible character U+{:04X}; take it out", u32::from(hidden)));
    }
    if found.trim() != found {
        return Some("it begins or ends with a space".to_owned());
    }
    let foreign_digit = |c: char| matches!(c, '\u{660}'..='\u{669}' | '\u{6F0}'..='\u{6F9}');
    if found.contains(foreign_digit) && pattern.contains("0-9") {
        return Some("write digits as 0 to 9".to_owned());
    }
    let year = found.get(..4).and_then(|year| year.parse::<u32>().ok());
    if pattern.starts_with("^(?:19|20)") && year.is_some_and(|year| (1300..=1500).contains(&year)) {
        let hint = "the year looks like one of the Hijri or the Persian calendar; write the Gregorian date";
        return Some(hint.to_owned());
    }
    if pattern.contains("T[0-9]{2}") && found.contains(['t', 'z']) {
        return Some("write T and Z as capitals".to_owned());
    }
    if pattern.contains("T[0-9]{2}") && !found.ends_with('Z') {
        return Some("write the instant in UTC, ending in Z".to_owned());
    }
    let lower = found.contains(|c: char| c.is_ascii_lowercase());
    if lower && pattern.contains("A-Z") && !pattern.contains("a-z") {
        return Some("write it in capitals".to_owned());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_name_what_to_mend() {
        let date = "^(?:19|20)[0-9]{2}-[0-9]{2}-[0-9]{2}$";
        let instant = "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}Z$";
        for (pattern, found, part) in [
            (date, "1405-10-15", "Gregorian"),
            (date, "١٩٨٥-٠١-٠١", "0 to 9"),
            (date, "1985-01-01\u{200f}", "U+200F"),
            (date, "", "leave the member out"),
            (instant, "2026-11-24t00:00z", "capitals"),
            (instant, "2026-11-24T00:00+03:00", "UTC"),
            ("^[A-Z0-9]{17}$", "abc", "capitals"),
            ("^[A-Z]$", " A", "space"),
        ] {
            let hint = in_text(pattern, found).unwrap_or_default();
            assert!(hint.contains(part), "{found}: {hint}");
        }
        assert_eq!(in_text("^[0-9]{6}$", "secret"), None);
    }
}
