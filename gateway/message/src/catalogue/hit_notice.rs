//! Rules of `hit.notice`. That the alert is known, live and the recipient's own is decided where messages
//! are committed: `relation.rs`.

use serde_json::Value;

use super::parts::{self, state, texts};
use super::rules::{Findings, instant, text};

pub(super) fn judge(event: &Value, findings: &mut Findings<'_>) {
    let Some(data) = event.get("data") else { return };
    let later = instant(data, "matchedAt").zip(instant(event, "time")).is_some_and(|(at, time)| at > time);
    findings.add_if(later, "hit.notice.matched_at", "/data/matchedAt");
    let (source, recipient) = (state(text(event, "source")), state(text(event, "recipient")));
    findings.add_if(source.is_some() && source == recipient, "hit.notice.alert_owner", "/data/alert");
    let action = text(data, "actionTaken");
    if text(data, "matchType") == Some("partial") {
        let claimed = data.get("identityConfirmed") == Some(&Value::Bool(true));
        findings.add_if(claimed, "hit.notice.partial_identity", "/data/identityConfirmed");
        let taken = matches!(action, Some("arrested" | "seized"));
        findings.add_if(taken, "hit.notice.partial_action", "/data/actionTaken");
    }
    let crossing = text(data, "crossing");
    if let Some(runs) = state(crossing) {
        findings.add_if(
            source.is_some_and(|source| source != runs),
            "hit.notice.crossing_state",
            "/data/crossing",
        );
        parts::crossing(crossing, "/data/crossing", findings);
    }
    let of_person = match data.get("alert").and_then(|alert| text(alert, "type")) {
        Some("alert.person") => Some(true),
        Some("alert.vehicle" | "alert.document") => Some(false),
        _ => None,
    };
    if let Some(of_person) = of_person {
        let unfit = match action {
            Some("arrested" | "refused-entry" | "protected" | "discreetly-checked") => !of_person,
            Some("seized") => of_person,
            _ => false,
        };
        findings.add_if(unfit, "hit.notice.action_fits", "/data/actionTaken");
        let things = texts(data, "matchedOn");
        for (index, on) in &things {
            let unfit = match *on {
                "name" | "birth-date" => !of_person,
                "plate" | "vin" | "chassis-number" => of_person,
                _ => false,
            };
            findings.add_if(unfit, "hit.notice.matched_on_fits", format_args!("/data/matchedOn/{index}"));
        }
        let alone = things.iter().all(|(_, on)| *on == "name") && !things.is_empty();
        let exact = text(data, "matchType") == Some("exact");
        findings.add_if(alone && exact && of_person, "hit.notice.exact_name", "/data/matchType");
    }
    parts::plate(data.get("plate"), "/data/plate", findings);
    parts::name(data.get("name"), "/data/name", findings);
}
