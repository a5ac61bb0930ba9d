//! Rules of `manifest.passenger`. Where a rule follows UN/EDIFACT PAXLST, its segment stands beside it.

use serde_json::Value;

use super::codes::is_locode;
use super::parts::{self, document_key, repeated};
use super::rules::{Findings, instant, list, text};
use crate::values::imo;

pub(super) fn judge(event: &Value, findings: &mut Findings<'_>) {
    let Some(data) = event.get("data").filter(|data| text(data, "action") != Some("cancel")) else {
        return;
    };
    totals(data, findings);
    stage(data, findings);
    craft(data, findings);
    itinerary(data, findings);
    let travellers = list(data, "travellers");
    let place = "/data/travellers";
    repeated(
        travellers,
        |t| t.get("number")?.as_u64(),
        ("manifest.passenger.number_repeated", place, "/number"),
        findings,
    );
    repeated(
        travellers,
        |t| document_key(t.get("document")?),
        ("manifest.passenger.document_repeated", place, "/document"),
        findings,
    );
    let arrival = list(data, "itinerary").last().and_then(|leg| text(leg, "arrival")?.get(..10));
    for (index, person) in travellers.iter().enumerate() {
        traveller(data, event, person, arrival, &format!("{place}/{index}"), findings);
    }
}

/// CNT+42 passengers and CNT+41 crew.
fn totals(data: &Value, findings: &mut Findings<'_>) {
    let all = list(data, "travellers");
    let crew = all.iter().filter(|traveller| text(traveller, "role") == Some("crew")).count() as u64;
    let Some(totals) = data.get("totals") else { return };
    for (member, found, rule) in [
        ("travellers", all.len() as u64 - crew, "manifest.passenger.total_travellers"),
        ("crew", crew, "manifest.passenger.total_crew"),
    ] {
        let stated = totals.get(member).and_then(Value::as_u64);
        if stated.or((member == "crew").then_some(0)).is_some_and(|stated| stated != found) {
            findings.add_with_hint(
                rule,
                format!("/data/totals/{member}"),
                Some(format!("there are {found}")),
            );
        }
    }
}

/// BGM 745 original, 266 close-out.
fn stage(data: &Value, findings: &mut Findings<'_>) {
    match (text(data, "stage"), text(data, "action")) {
        (Some("close-out"), Some("new")) => findings.add("manifest.passenger.close_out", "/data/stage"),
        (Some("change"), Some("new")) | (Some("original"), Some("update")) => {
            findings.add("manifest.passenger.stage_new", "/data/stage");
        }
        _ => {}
    }
}

fn craft(data: &Value, findings: &mut Findings<'_>) {
    let Some(mode) = text(data, "mode") else { return };
    let service = text(data, "service");
    let fits = match mode {
        "road" => true,
        "air" => service.is_some_and(is_flight),
        _ => service.is_some(),
    };
    findings.add_if(!fits, "manifest.passenger.service", "/data/service");
    if mode == "road" {
        for member in ["plate", "vehicleKind"] {
            let lacks = data.get(member).is_none();
            findings.add_if(lacks, "manifest.passenger.land_plate", format_args!("/data/{member}"));
        }
    }
    for (member, of) in [("plate", "road"), ("vehicleKind", "road"), ("imo", "sea")] {
        let stray = data.get(member).is_some() && mode != of;
        findings.add_if(stray, "manifest.passenger.craft", format_args!("/data/{member}"));
    }
    parts::plate(data.get("plate"), "/data/plate", findings);
    if let Some(number) = text(data, "imo").filter(|number| !imo::is_valid(number)) {
        let hint = imo::check_digit(number).map(|digit| format!("the check digit would have to be {digit}"));
        findings.add_with_hint("manifest.passenger.imo_check_digit", "/data/imo", hint);
    }
}

/// An airline of two or three characters, one to four digits, perhaps a letter.
fn is_flight(service: &str) -> bool {
    let digits_from = service.char_indices().skip(2).find(|(_, c)| c.is_ascii_digit()).map(|(at, _)| at);
    let Some((airline, number)) = digits_from.and_then(|at| service.split_at_checked(at)) else {
        return false;
    };
    let digits = number.trim_end_matches(|c: char| c.is_ascii_uppercase());
    let letters = airline.bytes().filter(u8::is_ascii_uppercase).count();
    (2..=3).contains(&airline.len())
        && letters >= 1
        && (1..=4).contains(&digits.len())
        && digits.bytes().all(|b| b.is_ascii_digit())
        && number.len() - digits.len() <= 1
}

fn itinerary(data: &Value, findings: &mut Findings<'_>) {
    let legs = list(data, "itinerary");
    let mut before: Option<&Value> = None;
    for (index, leg) in legs.iter().enumerate() {
        let place = format!("/data/itinerary/{index}");
        for end in ["from", "to"] {
            let unknown = text(leg, end).is_some_and(|code| !is_locode(code));
            findings.add_if(unknown, "manifest.passenger.locode", format_args!("{place}/{end}"));
        }
        let (departs, arrives) = (instant(leg, "departure"), instant(leg, "arrival"));
        let backwards = departs.zip(arrives).is_some_and(|(departs, arrives)| arrives <= departs);
        findings.add_if(backwards, "manifest.passenger.leg_times", format_args!("{place}/arrival"));
        if let Some(before) = before {
            let gap = text(before, "to").zip(text(leg, "from")).is_some_and(|(to, from)| to != from);
            findings.add_if(gap, "manifest.passenger.leg_continuity", format_args!("{place}/from"));
            let early =
                instant(before, "arrival").zip(departs).is_some_and(|(arrived, departs)| departs < arrived);
            findings.add_if(early, "manifest.passenger.leg_times", format_args!("{place}/departure"));
        }
        parts::crossing(text(leg, "crossing"), &format!("{place}/crossing"), findings);
        before = Some(leg);
    }
    let by_land = matches!(text(data, "mode"), Some("road"));
    let crosses = legs.iter().any(|leg| leg.get("crossing").is_some());
    findings.add_if(by_land && !crosses, "manifest.passenger.crossing", "/data/itinerary");
}

fn traveller(
    data: &Value,
    event: &Value,
    person: &Value,
    arrival: Option<&str>,
    place: &str,
    findings: &mut Findings<'_>,
) {
    parts::name(person.get("name"), &format!("{place}/name"), findings);
    parts::birth(person, place, event, findings);
    if let Some(document) = person.get("document") {
        let expired = text(document, "expiry").zip(arrival).is_some_and(|(expiry, arrival)| expiry < arrival);
        findings.add_if(
            expired,
            "manifest.passenger.document_expiry",
            format_args!("{place}/document/expiry"),
        );
        let visa = text(document, "docType") == Some("visa");
        findings.add_if(visa, "manifest.passenger.visa_document", format_args!("{place}/document/docType"));
    }
    let legs = list(data, "itinerary");
    let (on, off) = (text(person, "embark"), text(person, "disembark"));
    let at = |end: &str, place: &str| legs.iter().position(|leg| text(leg, end) == Some(place));
    let boards = on.map(|on| at("from", on));
    let leaves = off.map(|off| at("to", off));
    let unknown = |stop: &Option<Option<usize>>| matches!(stop, Some(None));
    findings.add_if(unknown(&boards), "manifest.passenger.on_itinerary", format_args!("{place}/embark"));
    let backwards = matches!((boards, leaves), (Some(Some(on)), Some(Some(off))) if off < on);
    let wrong = unknown(&leaves) || backwards;
    findings.add_if(wrong, "manifest.passenger.on_itinerary", format_args!("{place}/disembark"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flight_numbers() {
        for flight in ["TK802", "IA1", "9W4000", "W6123A", "RJA815", "U24"] {
            assert!(is_flight(flight), "{flight}");
        }
        for other in ["FLIGHT802", "TK", "802", "TK80200", "TK80AB", "", "ÄÖ12"] {
            assert!(!is_flight(other), "{other}");
        }
    }
}
