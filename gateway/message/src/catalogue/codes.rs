//! Code lists too long for a schema's `enum`. Editions and sources: `schemas/codes/README.md`.

use std::collections::HashMap;
use std::sync::OnceLock;

const HS6: &str = include_str!("../../../../schemas/codes/hs6-2022.txt");
const LOCODES: &str = include_str!("../../../../schemas/codes/unlocode.txt");

/// The register of border crossings.
pub(super) const CROSSINGS: &str = include_str!("../../../../schemas/codes/crossings-1.json");

/// Both lists, as they count in an edition's digest.
pub(super) const LISTS: [&str; 2] = [HS6, LOCODES];

/// Whether a six-digit code is in the Harmonized System 2022.
pub(super) fn is_hs6(code: &str) -> bool {
    // Sorted lines of six digits and a newline: searched in place.
    let lines: &[[u8; 7]] = HS6.as_bytes().as_chunks().0;
    lines.binary_search_by(|line| line[..6].cmp(code.as_bytes())).is_ok()
}

/// Whether a code is in UN/LOCODE 2024-12-11.
pub(super) fn is_locode(code: &str) -> bool {
    static COUNTRIES: OnceLock<HashMap<&str, &[u8]>> = OnceLock::new();
    let countries = COUNTRIES.get_or_init(|| {
        LOCODES
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(country, codes)| (country, codes.as_bytes()))
            .collect()
    });
    let Some((country, place)) = code.split_at_checked(2) else {
        return false;
    };
    let places: &[[u8; 3]] = countries.get(country).map_or(&[], |codes| codes.as_chunks().0);
    places.binary_search_by(|known| known[..].cmp(place.as_bytes())).is_ok()
}

/// Whether a crossing is in the register of crossings, edition 1.
pub(super) fn is_crossing(crossing: &str) -> bool {
    static REGISTER: OnceLock<Vec<String>> = OnceLock::new();
    let register = REGISTER.get_or_init(|| {
        let list: serde_json::Value = serde_json::from_str(CROSSINGS).unwrap_or_default();
        let codes = list["enum"].as_array().into_iter().flatten();
        codes.filter_map(|code| code.as_str().map(str::to_owned)).collect()
    });
    register.iter().any(|known| known == crossing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_found_whole() {
        assert!(is_hs6("010121") && is_hs6("870323") && !is_hs6("770000") && !is_hs6("0101") && !is_hs6(""));
        assert!(is_locode("JOAMM") && is_locode("IQBGW") && is_locode("ADALV") && !is_locode("JOXXX"));
        assert!(!is_locode("") && !is_locode("XX") && !is_locode("ÄÖ"));
    }

    /// They are searched by halves.
    #[test]
    fn lists_are_sorted_and_without_repeats() {
        assert!(HS6.lines().all(|line| line.len() == 6 && line.bytes().all(|b| b.is_ascii_digit())));
        assert!(HS6.lines().is_sorted_by(|a, b| a < b));
        assert!(LOCODES.lines().is_sorted_by(|a, b| a < b));
        for line in LOCODES.lines() {
            let (country, codes) = line.split_once(' ').unwrap();
            let (places, rest): (&[[u8; 3]], _) = codes.as_bytes().as_chunks();
            assert!(country.len() == 2 && rest.is_empty() && places.is_sorted_by(|a, b| a < b), "{country}");
        }
    }
}
