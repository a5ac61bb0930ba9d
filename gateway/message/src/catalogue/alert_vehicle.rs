//! Rules of `alert.vehicle`.

use serde_json::Value;

use super::parts::{self, PlateRules};
use super::rules::{Findings, is_after_issue, text};

const PLATE: PlateRules = PlateRules {
    tatweel: "alert.vehicle.plate_tatweel",
    script: "alert.vehicle.plate_script",
    match_key: "alert.vehicle.plate_match_key",
    grammar: "alert.vehicle.plate_grammar",
};

pub(super) fn judge(event: &Value, findings: &mut Findings<'_>) {
    let Some(data) = event.get("data") else { return };
    if let Some(date) = text(data, "eventDate") {
        findings.add_if(is_after_issue(date, event), "alert.vehicle.event_date", "/data/eventDate");
    }
    parts::vin_by("alert.vehicle.vin_check_digit", text(data, "vin"), "/data/vin", findings);
    parts::plate_by(&PLATE, data.get("plate"), "/data/plate", findings);
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
