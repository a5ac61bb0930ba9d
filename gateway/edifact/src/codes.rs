//! Codes of UN/EDIFACT and their words in `manifest.passenger`.

use std::collections::HashMap;
use std::sync::OnceLock;

/// ISO 3166-1 alpha-3 and alpha-2, a pair a line. Edition: `schemas/codes/README.md`.
const COUNTRIES: &str = include_str!("../../../schemas/codes/iso3166-1-alpha3.txt");

fn countries() -> &'static HashMap<&'static str, &'static str> {
    static BOTH: OnceLock<HashMap<&str, &str>> = OnceLock::new();
    BOTH.get_or_init(|| {
        let pairs = COUNTRIES.lines().filter_map(|line| line.split_once(' '));
        pairs.flat_map(|(three, two)| [(three, two), (two, three)]).collect()
    })
}

/// The alpha-2 code of an alpha-3 code; land carriers send alpha-2, which is taken as it is.
pub fn alpha_2(code: &str) -> Option<&'static str> {
    let other = countries().get(code)?;
    if code.len() == 3 { Some(other) } else { countries().get(other).copied() }
}

/// The alpha-3 code of an alpha-2 code.
pub fn alpha_3(code: &str) -> Option<&'static str> {
    countries().get(code).copied().filter(|_| code.len() == 2)
}

/// UN/EDIFACT 8067 (Recommendation 19): mode of transport.
pub const MODES: [(&str, &str); 4] = [("1", "sea"), ("2", "rail"), ("3", "road"), ("4", "air")];

/// Document types as ICAO Doc 9303 codes them; others go by name, code ZZZ (mutually defined).
pub const DOCUMENTS: [(&str, &str); 6] = [
    ("P", "passport"),
    ("V", "visa"),
    ("I", "identity-card"),
    ("A", "identity-card"),
    ("C", "identity-card"),
    // Seen from US land carriers: CBP's code for a passport.
    ("39", "passport"),
];

/// UN/EDIFACT 3035 in NAD: who a traveller is. VW is the driver of a land carrier's list.
pub const ROLES: [(&str, &str); 5] =
    [("FL", "passenger"), ("FM", "crew"), ("DDU", "in-transit"), ("DDT", "crew"), ("VW", "crew")];

/// The word for a code.
pub fn word(table: &[(&'static str, &'static str)], code: &str) -> Option<&'static str> {
    table.iter().find(|(known, _)| *known == code).map(|(_, word)| *word)
}

/// The first code for a word.
pub fn code(table: &[(&'static str, &'static str)], word: &str) -> Option<&'static str> {
    table.iter().find(|(_, known)| *known == word).map(|(code, _)| *code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn countries_both_ways() {
        assert_eq!(
            (alpha_2("JOR"), alpha_2("JO"), alpha_2("XYZ"), alpha_3("IQ")),
            (Some("JO"), Some("JO"), None, Some("IRQ"))
        );
        assert_eq!(COUNTRIES.lines().count(), 249);
    }
}
