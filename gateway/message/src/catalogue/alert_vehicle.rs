//! Rules of `alert.vehicle`.

use serde_json::Value;

use super::rules::{Findings, is_after_issue, text};
use crate::values::{plate, vin};

pub(super) fn judge(event: &Value, findings: &mut Findings<'_>) {
    let Some(data) = event.get("data") else { return };
    if let Some(date) = text(data, "eventDate") {
        findings.add_if(is_after_issue(date, event), "alert.vehicle.event_date", "/data/eventDate");
    }
    if let Some(stated) = text(data, "vin")
        && vin::check_digit_applies(stated)
        && let Some(expected) = vin::check_digit(stated)
        && stated.chars().nth(8) != Some(expected)
    {
        let hint = Some(format!("the ninth character would have to be {expected}"));
        findings.add_with_hint("alert.vehicle.vin_check_digit", "/data/vin", hint);
    }
    if let Some(stated) = data.get("plate") {
        judge_plate(stated, findings);
    }
    let category = text(data, "category").unwrap_or_default();
    if matches!(category, "trailer" | "caravan") {
        let heavy = data.get("maximumMassKg").and_then(Value::as_u64).is_some_and(|mass| mass > 750);
        findings.add_if(!heavy && is_whole(data), "alert.vehicle.trailer_mass", "/data/maximumMassKg");
    }
    if category == "plates" {
        let vehicle = ["vin", "chassisNumber"].iter().any(|name| data.get(name).is_some());
        findings.add_if(
            vehicle || data.get("plate").is_none(),
            "alert.vehicle.plates_only",
            "/data/category",
        );
    }
}

/// A cancel has no body to judge.
fn is_whole(data: &Value) -> bool {
    text(data, "action") != Some("cancel")
}

fn judge_plate(stated: &Value, findings: &mut Findings<'_>) {
    let Some(display) = text(stated, "display") else {
        return;
    };
    if display.contains('\u{640}') {
        findings.add("alert.vehicle.plate_tatweel", "/data/plate/display");
    }
    if let Some(script) = text(stated, "script").and_then(plate::Script::parse) {
        findings.add_if(!script.covers(display), "alert.vehicle.plate_script", "/data/plate/script");
    }
    let key = plate::match_key(display);
    if let Some(stated_key) = text(stated, "matchKey")
        && stated_key != key
    {
        let hint = Some(format!("folded, this plate is {key}"));
        findings.add_with_hint("alert.vehicle.plate_match_key", "/data/plate/matchKey", hint);
    }
    if let Some(country) = text(stated, "registrationCountry") {
        let fits = plate::fits_grammar(country, &key);
        findings.add_if(fits == Some(false), "alert.vehicle.plate_grammar", "/data/plate/display");
    }
}
