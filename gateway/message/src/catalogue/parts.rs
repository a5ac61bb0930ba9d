//! Rules of the definitions that types share: persons, plates, containers, crossings (`schemas/common/2`).

use std::collections::BTreeSet;
use std::hash::Hash;

use serde_json::Value;

use super::codes;
use super::rules::{Findings, is_after_issue, list, text};
use crate::values::calendar::{self, Partial};
use crate::values::{iso6346, plate, transliteration, vin};

/// The rules of a plate, as the type names them.
pub(super) struct PlateRules {
    pub(super) tatweel: &'static str,
    pub(super) script: &'static str,
    pub(super) match_key: &'static str,
    pub(super) grammar: &'static str,
}

const PLATE: PlateRules = PlateRules {
    tatweel: "common.plate_tatweel",
    script: "common.plate_script",
    match_key: "common.plate_match_key",
    grammar: "common.plate_grammar",
};

/// A plate, where there is one.
pub(super) fn plate(stated: Option<&Value>, place: &str, findings: &mut Findings<'_>) {
    plate_by(&PLATE, stated, place, findings);
}

/// The same by other rules.
pub(super) fn plate_by(rules: &PlateRules, stated: Option<&Value>, place: &str, findings: &mut Findings<'_>) {
    let Some(stated) = stated else { return };
    let Some(display) = text(stated, "display") else { return };
    findings.add_if(display.contains('\u{640}'), rules.tatweel, format_args!("{place}/display"));
    if let Some(script) = text(stated, "script").and_then(plate::Script::parse) {
        findings.add_if(!script.covers(display), rules.script, format_args!("{place}/script"));
    }
    let key = plate::match_key(display);
    if let Some(stated_key) = text(stated, "matchKey")
        && stated_key != key
    {
        // Not the plate itself: a refusal is kept longer than what it refuses.
        let hint = "`display` in capitals with digits 0 to 9, without spaces and signs, its letters made one";
        let hint = Some(hint.to_owned());
        findings.add_with_hint(rules.match_key, format!("{place}/matchKey"), hint);
    }
    if let Some(country) = text(stated, "registrationCountry") {
        let fits = plate::fits_grammar(country, &key);
        findings.add_if(fits == Some(false), rules.grammar, format_args!("{place}/display"));
    }
}

/// A VIN by the rule `id`, a warning: the digit is North America's, and a forged VIN is evidence.
pub(super) fn vin_by(id: &str, stated: Option<&str>, place: &str, findings: &mut Findings<'_>) {
    if let Some(stated) = stated
        && vin::check_digit_applies(stated)
        && let Some(expected) = vin::check_digit(stated)
        && stated.chars().nth(8) != Some(expected)
    {
        let hint = Some(format!("the ninth character would have to be {expected}"));
        findings.add_with_hint(id, place, hint);
    }
}

/// A VIN.
pub(super) fn vin(stated: Option<&str>, place: &str, findings: &mut Findings<'_>) {
    vin_by("common.vin_check_digit", stated, place, findings);
}

/// A container number.
pub(super) fn container(stated: Option<&str>, place: &str, findings: &mut Findings<'_>) {
    if let Some(iso6346::Check::Expected(digit)) = stated.and_then(iso6346::check) {
        let hint = Some(format!("the check digit would have to be {digit}"));
        findings.add_with_hint("common.container_check_digit", place, hint);
    }
}

/// A crossing, which the register should hold.
pub(super) fn crossing(stated: Option<&str>, place: &str, findings: &mut Findings<'_>) {
    let unknown = stated.is_some_and(|crossing| !codes::is_crossing(crossing));
    findings.add_if(unknown, "common.crossing_register", place);
}

/// The state that runs this side of a crossing, of an office or of a party: its first two letters.
pub(super) fn state(code: Option<&str>) -> Option<&str> {
    code?.get(..2)
}

/// A name: its script, and its form in the machine-readable zone.
pub(super) fn name(stated: Option<&Value>, place: &str, findings: &mut Findings<'_>) {
    let Some(stated) = stated else { return };
    let parts: Vec<&str> = ["surname", "givenNames", "fatherName", "grandfatherName"]
        .into_iter()
        .filter_map(|part| text(stated, part))
        .collect();
    let foreign = |script: &str| parts.iter().any(|part| !is_of_script(part, script));
    findings.add_if(
        text(stated, "script").is_some_and(foreign),
        "common.name_script",
        format_args!("{place}/script"),
    );
    let (Some(mrz), Some(surname)) = (text(stated, "mrz"), text(stated, "surname")) else { return };
    let surname = transliteration::transliterate(surname);
    let given = text(stated, "givenNames").map(transliteration::transliterate);
    let whole = match (surname, given) {
        (Some(surname), Some(Some(given))) => format!("{surname}<<{given}"),
        (Some(surname), None) => surname,
        // A letter that the tables do not hold: nothing is recommended.
        _ => return,
    };
    let fits = whole == mrz || (mrz.len() >= 30 && whole.starts_with(mrz));
    if !fits {
        // Not the name itself: the rule that was broken, and how the zone is made.
        let hint = Some("surname<<given<names, each letter by the tables of Doc 9303-3 section 6".to_owned());
        findings.add_with_hint("common.name_mrz", format!("{place}/mrz"), hint);
    }
}

/// Whether every letter is of the script (ISO 15924); what is no letter is of every script.
fn is_of_script(text: &str, script: &str) -> bool {
    text.chars().filter(|c| c.is_alphabetic()).all(|c| {
        matches!(
            (script, u32::from(c)),
            ("Latn", 0x41..=0x24F | 0x1E00..=0x1EFF)
                | ("Arab", 0x600..=0x6FF | 0x750..=0x77F | 0x8A0..=0x8FF | 0xFB50..=0xFDFF | 0xFE70..=0xFEFF)
                | ("Syrc", 0x700..=0x74F)
                | ("Cyrl", 0x400..=0x52F)
                | ("Hebr", 0x590..=0x5FF)
                | ("Grek", 0x370..=0x3FF)
                | ("Armn", 0x530..=0x58F)
                | ("Geor", 0x10A0..=0x10FF)
        )
    })
}

/// A date of birth and the same in the document's own calendar: members `birthDate` and `birthCalendar`.
pub(super) fn birth(person: &Value, place: &str, event: &Value, findings: &mut Findings<'_>) {
    let Some(stated) = text(person, "birthDate") else { return };
    let Some(date) = Partial::parse(stated) else {
        return findings.add("common.birth_date", format!("{place}/birthDate"));
    };
    let later = is_after_issue(&date.earliest(), event);
    findings.add_if(later, "common.birth_date", format_args!("{place}/birthDate"));
    let Some(source) = person.get("birthCalendar") else { return };
    if let (Some(calendar), Some(printed)) = (text(source, "calendar"), text(source, "date")) {
        let same = calendar::to_gregorian(calendar, printed).is_some_and(|day| day.starts_with(stated));
        findings.add_if(!same, "common.birth_calendar", format_args!("{place}/birthCalendar"));
    }
}

/// Each item whose `key` an earlier item had already breaks `id`, at `place/<index><member>`.
pub(super) fn repeated<'v, K: Ord + Hash>(
    items: &'v [Value],
    key: impl Fn(&'v Value) -> Option<K>,
    (id, place, member): (&str, &str, &str),
    findings: &mut Findings<'_>,
) {
    let mut seen = BTreeSet::new();
    for (index, item) in items.iter().enumerate() {
        let again = key(item).is_some_and(|key| !seen.insert(key));
        findings.add_if(again, id, format_args!("{place}/{index}{member}"));
    }
}

/// What makes a document one: who issued it, its kind and number.
pub(super) fn document_key(document: &Value) -> Option<(&str, &str, &str)> {
    Some((text(document, "issuingState")?, text(document, "docType")?, text(document, "number")?))
}

/// Each text of a list with its place.
pub(super) fn texts<'v>(data: &'v Value, name: &str) -> Vec<(usize, &'v str)> {
    list(data, name).iter().enumerate().filter_map(|(index, item)| Some((index, item.as_str()?))).collect()
}
