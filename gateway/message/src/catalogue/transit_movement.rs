//! Rules of `transit.movement`; the order of its events is decided on the record's state, in `facts.rs`.

use std::collections::BTreeSet;

use serde_json::Value;

use super::parts::{self, state, texts};
use super::rules::{Findings, instant, list, text};

pub(super) fn judge(event: &Value, findings: &mut Findings<'_>) {
    let Some(data) = event.get("data").filter(|data| text(data, "action") != Some("cancel")) else {
        return;
    };
    if let Some(what) = text(data, "event") {
        parts_of(what, data, findings);
        let source = state(text(event, "source"));
        for (of, member, rule) in [
            ("departed", "officeDeparture", "transit.movement.departure_state"),
            ("discharged", "officeDestination", "transit.movement.discharge_state"),
        ] {
            let office = state(text(data, member));
            let foreign = office.zip(source).is_some_and(|(office, source)| office != source);
            findings.add_if(what == of && foreign, rule, format_args!("/data/{member}"));
        }
    }
    times(data, event, findings);
    seals(data, findings);
    let ends = [text(data, "officeDeparture"), text(data, "officeDestination")];
    let between = texts(data, "officesTransit");
    let twice = ends[0].is_some() && ends[0] == ends[1]
        || between.iter().any(|(_, office)| ends.contains(&Some(*office)));
    findings.add_if(twice, "transit.movement.offices", "/data/officesTransit");
    let tir = data.get("guarantee").and_then(|guarantee| text(guarantee, "type")).map(|kind| kind == "tir");
    let unlike = tir.is_some_and(|tir| tir != data.get("tirCarnet").is_some());
    findings.add_if(unlike, "transit.movement.tir", "/data/tirCarnet");
    parts::plate(data.get("plate"), "/data/plate", findings);
    for (index, number) in texts(data, "containers") {
        parts::container(Some(number), &format!("/data/containers/{index}"), findings);
    }
}

/// What each event has, and no other.
fn parts_of(event: &str, data: &Value, findings: &mut Findings<'_>) {
    let lacks = (event == "departed") == data.get("departure").is_some();
    findings.add_if(lacks, "transit.movement.departure_ref", "/data/departure");
    for (member, of) in [
        ("arrivedAt", &["arrived", "discharged"][..]),
        ("incident", &["incident"]),
        ("discharge", &["discharged"]),
    ] {
        let unfit = data.get(member).is_some() != of.contains(&event);
        findings.add_if(unfit, "transit.movement.event_parts", format_args!("/data/{member}"));
    }
}

fn times(data: &Value, event: &Value, findings: &mut Findings<'_>) {
    let told = instant(event, "time");
    let (departed, deadline) = (instant(data, "departedAt"), instant(data, "deadline"));
    let (arrived, discharge) = (instant(data, "arrivedAt"), data.get("discharge"));
    let controlled = discharge.and_then(|discharge| instant(discharge, "controlledAt"));
    let happened = data.get("incident").and_then(|incident| instant(incident, "at"));
    let not_after = |earlier: Option<_>, later: Option<_>| earlier.zip(later).is_some_and(|(a, b)| b <= a);
    findings.add_if(not_after(departed, deadline), "transit.movement.deadline", "/data/deadline");
    findings.add_if(not_after(departed, arrived), "transit.movement.arrival", "/data/arrivedAt");
    let late = deadline.zip(arrived).is_some_and(|(deadline, arrived)| arrived > deadline);
    findings.add_if(late, "transit.movement.arrival_late", "/data/arrivedAt");
    let unordered = arrived.zip(controlled).is_some_and(|(arrived, controlled)| controlled < arrived);
    findings.add_if(unordered, "transit.movement.discharge_order", "/data/discharge/controlledAt");
    for (at, place) in [
        (departed, "/data/departedAt"),
        (arrived, "/data/arrivedAt"),
        (happened, "/data/incident/at"),
        (controlled, "/data/discharge/controlledAt"),
    ] {
        let foretold = at.zip(told).is_some_and(|(at, told)| at > told);
        findings.add_if(foretold, "transit.movement.future", place);
    }
}

/// Equal in any order, unless this event is the incident that explains why not.
fn seals(data: &Value, findings: &mut Findings<'_>) {
    if data.get("sealsAtDeparture").is_none() || data.get("incident").is_some() {
        return;
    }
    let set = |name: &str| list(data, name).iter().filter_map(Value::as_str).collect::<BTreeSet<_>>();
    findings.add_if(set("seals") != set("sealsAtDeparture"), "transit.movement.seals", "/data/seals");
}
