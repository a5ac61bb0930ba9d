//! From `manifest.passenger` to PAXLST.

use serde_json::Value;
use silkgate_message::instant::Instant;
use silkgate_message::values::transliteration::transliterate;

use crate::Fault;
use crate::codes::{DOCUMENTS, MODES, ROLES, alpha_3, code};
use crate::syntax::Writer;

/// Writes an interchange with one PAXLST D.05B message, times in UTC. Warnings say what stayed behind.
///
/// `data` must conform to `manifest.passenger`; members that it has no place for are in [`crate::NOT_CARRIED`].
pub fn write(data: &Value) -> Result<(String, Vec<Fault>), Vec<Fault>> {
    let mut out = Out { warnings: Vec::new(), faults: Vec::new() };
    let record = text(data, "recordId");
    if text(data, "action") == "cancel" {
        return Err(vec![fault("cancel", "a passenger list has no form for a cancel")]);
    }
    let legs = list(data, "itinerary");
    let prepared = legs.first().map(|leg| digits(text(leg, "departure"))).unwrap_or_default();
    let mut message = Writer::default();
    message.segment("UNH", &[&[record], &["PAXLST", "D", "05B", "UN", "IATA"]]);
    match text(data, "stage") {
        "close-out" => message.segment("BGM", &[&["266"], &["CLOB"]]),
        "change" => message.segment("BGM", &[&["745"], &["CP"]]),
        _ => message.segment("BGM", &[&["745"]]),
    }
    out.parties(data, &mut message);
    out.transport(data, &mut message);
    for leg in legs {
        out.leg(leg, &mut message);
    }
    for person in list(data, "travellers") {
        out.traveller(person, &mut message);
    }
    let totals = data.get("totals").unwrap_or(&Value::Null);
    for (qualifier, member) in [("42", "travellers"), ("41", "crew")] {
        if let Some(count) = totals.get(member).and_then(Value::as_u64) {
            message.segment("CNT", &[&[qualifier, &count.to_string()]]);
        }
    }
    let segments = (message.count + 1).to_string();
    message.segment("UNT", &[&[&segments], &[record]]);
    if data.get("retention").is_some() {
        out.warn("retention", "the retention is not carried");
    }
    if !out.faults.is_empty() {
        return Err(out.faults);
    }
    let upper = !message.text.contains(|c: char| c.is_ascii_lowercase());
    let mut whole = Writer::default();
    let (day, hour) = (prepared.get(2..8).unwrap_or_default(), prepared.get(8..12).unwrap_or_default());
    // UNOA has capitals only (ISO 9735 annex A).
    let level = if upper { "UNOA" } else { "UNOB" };
    let reference: String = record.chars().take(14).collect();
    whole.segment(
        "UNB",
        &[&[level, "4"], &["SILKGATE"], &["APIS"], &[day, hour], &[&reference], &[], &["APIS"]],
    );
    let mut text = format!("UNA:+.? '\n{}{}", whole.text, message.text);
    let mut end = Writer::default();
    end.segment("UNZ", &[&["1"], &[&reference]]);
    text.push_str(&end.text);
    Ok((text, out.warnings))
}

struct Out {
    warnings: Vec<Fault>,
    faults: Vec<Fault>,
}

fn fault(code: &'static str, text: impl Into<String>) -> Fault {
    Fault { line: 0, column: 0, segment: 0, tag: String::new(), code, text: text.into() }
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice)
}

/// An instant as CCYYMMDDHHMM in UTC.
fn digits(instant: &str) -> String {
    let at = Instant::parse(instant).map(|at| at.to_string()).unwrap_or_default();
    at.chars().filter(char::is_ascii_digit).take(12).collect()
}

impl Out {
    fn warn(&mut self, code: &'static str, text: impl Into<String>) {
        if self.warnings.iter().all(|warning| warning.code != code) {
            self.warnings.push(fault(code, text));
        }
    }

    /// Letters of UNOA and UNOB only: others as ICAO Doc 9303 writes them.
    fn plain(&mut self, value: &str, place: &str) -> String {
        if value.is_ascii() {
            return value.to_owned();
        }
        self.warn(
            "transliterated",
            format!("{place}: letters beyond A to Z go as ICAO Doc 9303-3 section 6 writes them"),
        );
        let words = value.split(' ').map(|word| transliterate(word).map(|word| word.replace('<', " ")));
        words.collect::<Option<Vec<_>>>().map(|words| words.join(" ")).unwrap_or_else(|| {
            self.faults.push(fault("letters", format!("{place}: a letter has no recommended Latin form; give the name as its document prints it in `mrz`")));
            String::new()
        })
    }

    fn country(&mut self, value: &str, place: &str) -> &'static str {
        alpha_3(value).unwrap_or_else(|| {
            self.faults.push(fault("country_unknown", format!("{place} is no ISO 3166-1 code")));
            ""
        })
    }

    fn parties(&mut self, data: &Value, message: &mut Writer) {
        if let Some(contact) = data.get("contact") {
            let name = self.plain(text(contact, "name"), "contact.name");
            message.segment("NAD", &[&["MS"], &[], &[], &[&name]]);
            message.segment("COM", &[&[text(contact, "telephone"), "TE"]]);
        }
        let carrier = data.get("carrier").unwrap_or(&Value::Null);
        let name = self.plain(text(carrier, "name"), "carrier.name");
        let country = self.country(text(carrier, "country"), "carrier.country");
        let identifier = carrier.get("identifier").unwrap_or(&Value::Null);
        let identified = [text(identifier, "value"), text(identifier, "scheme")];
        message.segment("NAD", &[&["CA"], &identified, &[], &[&name], &[], &[], &[], &[], &[country]]);
    }

    fn transport(&mut self, data: &Value, message: &mut Writer) {
        let mode = code(&MODES, text(data, "mode")).unwrap_or_default();
        let kind = text(data, "vehicleKind").to_ascii_uppercase();
        let plate = data.get("plate").unwrap_or(&Value::Null);
        let nationality = if plate.is_null() {
            ""
        } else {
            self.country(text(plate, "registrationCountry"), "plate.registrationCountry")
        };
        let display = text(plate, "display");
        if !display.is_ascii() {
            self.faults.push(fault("plate_script", "plate: a passenger list carries Latin plates only"));
        }
        let craft = if plate.is_null() { text(data, "imo") } else { display };
        message.segment(
            "TDT",
            &[
                &["20"],
                &[text(data, "service")],
                &[mode],
                &["", &kind],
                &[],
                &[],
                &[],
                &[craft, "", "", "", nationality],
            ],
        );
    }

    fn leg(&mut self, leg: &Value, message: &mut Writer) {
        for (place, at, qualifier, moment) in
            [("from", "departure", "125", "189"), ("to", "arrival", "87", "232")]
        {
            if !text(leg, at).ends_with(":00Z") {
                self.warn("seconds", "seconds of departure and arrival are not carried");
            }
            if place == "to" && leg.get("crossing").is_some() {
                message.segment("LOC", &[&[qualifier], &[text(leg, place)]]);
                message.segment("LOC", &[&["17"], &[text(leg, "crossing")]]);
            } else {
                message.segment("LOC", &[&[qualifier], &[text(leg, place)]]);
            }
            let minute = digits(text(leg, at));
            if minute.is_empty() {
                self.faults.push(fault("time", format!("{at} is no instant from 1970 on")));
            }
            message.segment("DTM", &[&[moment, &minute, "203"]]);
        }
    }

    fn traveller(&mut self, person: &Value, message: &mut Writer) {
        let role = code(&ROLES, text(person, "role")).unwrap_or("FL");
        let name = person.get("name").unwrap_or(&Value::Null);
        let (surname, given) = self.name(name);
        let number = person.get("number").map(ToString::to_string).unwrap_or_default();
        message.segment("NAD", &[&[role], &[&number], &[], &[&surname, &given]]);
        message.segment("ATT", &[&["2"], &[], &[text(person, "sex")]]);
        let birth: String = text(person, "birthDate").chars().filter(char::is_ascii_digit).collect();
        // UN/EDIFACT 2379: 102 CCYYMMDD, 610 CCYYMM, 602 CCYY.
        let format = match birth.len() {
            8 => "102",
            6 => "610",
            _ => "602",
        };
        message.segment("DTM", &[&["329", &birth, format]]);
        if let Some(count) = person.get("baggage").and_then(Value::as_u64) {
            message.segment("MEA", &[&["CT"], &[], &["", &count.to_string()]]);
        }
        for (member, qualifier) in [("embark", "178"), ("disembark", "179")] {
            if person.get(member).is_some() {
                message.segment("LOC", &[&[qualifier], &[text(person, member)]]);
            }
        }
        let nationality = self.country(text(person, "nationality"), "nationality");
        message.segment("NAT", &[&["2"], &[nationality]]);
        for (member, qualifier) in [("bookingReference", "AVF"), ("seat", "SEA")] {
            if person.get(member).is_some() {
                message.segment("RFF", &[&[qualifier, text(person, member)]]);
            }
        }
        if person.get("birthCalendar").is_some() {
            self.warn("birth_calendar", "birth dates in the document's own calendar are not carried");
        }
        self.document(person.get("document").unwrap_or(&Value::Null), message);
    }

    /// Surname and given names in Latin letters.
    fn name(&mut self, name: &Value) -> (String, String) {
        for member in ["fatherName", "grandfatherName", "kind"] {
            if name.get(member).is_some() {
                self.warn(
                    "name_parts",
                    "father's and grandfather's names and the kind of a name are not carried",
                );
            }
        }
        let mrz = text(name, "mrz");
        if text(name, "script") != "Latn" && !mrz.is_empty() {
            self.warn("transliterated", "names in other scripts go as their machine-readable form");
            let (surname, given) = mrz.split_once("<<").unwrap_or((mrz, ""));
            return (surname.replace('<', " "), given.replace('<', " "));
        }
        (self.plain(text(name, "surname"), "surname"), self.plain(text(name, "givenNames"), "givenNames"))
    }

    fn document(&mut self, document: &Value, message: &mut Writer) {
        let kind = text(document, "docType");
        let named = kind.to_ascii_uppercase();
        match code(&DOCUMENTS, kind) {
            Some(code) => message.segment("DOC", &[&[code, "110", "111"], &[text(document, "number")]]),
            None => message.segment("DOC", &[&["ZZZ", "110", "ZZZ", &named], &[text(document, "number")]]),
        }
        let expiry: String = text(document, "expiry").chars().filter(char::is_ascii_digit).collect();
        if !expiry.is_empty() {
            message.segment("DTM", &[&["36", &expiry, "102"]]);
        }
        let issuer = self.country(text(document, "issuingState"), "document.issuingState");
        message.segment("LOC", &[&["91"], &[issuer]]);
    }
}
