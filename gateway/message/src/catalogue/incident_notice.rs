//! Rules of `incident.notice`; urgency, severity and certainty are those of CAP 1.2 section 3.2.2. That the
//! crossing's status was told is decided in `relation.rs`.

use serde_json::Value;

use super::parts::{self, state};
use super::rules::{Findings, instant, text};

pub(super) fn judge(event: &Value, findings: &mut Findings<'_>) {
    let Some(data) = event.get("data").filter(|data| text(data, "action") != Some("cancel")) else {
        return;
    };
    let told = instant(event, "time");
    let (onset, expires) = (instant(data, "onset"), instant(data, "expires"));
    let ended = expires.is_some_and(|expires| {
        onset.is_some_and(|onset| expires <= onset) || told.is_some_and(|told| expires <= told)
    });
    findings.add_if(ended, "incident.notice.expires", "/data/expires");
    if let Some(begun) = onset.zip(told).map(|(onset, told)| onset <= told) {
        let unlike = match text(data, "urgency") {
            Some("past" | "immediate") => !begun,
            Some("future" | "expected") => begun,
            _ => false,
        };
        findings.add_if(unlike, "incident.notice.urgency_onset", "/data/urgency");
        let seen = text(data, "certainty") == Some("observed");
        findings.add_if(seen && !begun, "incident.notice.observed_future", "/data/certainty");
    }
    let source = state(text(event, "source"));
    let crossing = text(data, "crossing");
    let alternate = text(data, "alternateCrossing");
    if text(data, "effect") == Some("closed") {
        for member in ["crossing", "crossingStatus"] {
            let lacks = data.get(member).is_none();
            findings.add_if(lacks, "incident.notice.closure_status", format_args!("/data/{member}"));
        }
    }
    findings.add_if(
        alternate.is_some() && alternate == crossing,
        "incident.notice.alternate_self",
        "/data/alternateCrossing",
    );
    for (stated, rule, place) in [
        (crossing, "incident.notice.crossing_state", "/data/crossing"),
        (alternate, "incident.notice.alternate_state", "/data/alternateCrossing"),
    ] {
        let foreign = state(stated).zip(source).is_some_and(|(runs, source)| runs != source);
        findings.add_if(foreign, rule, place);
        parts::crossing(stated, place, findings);
    }
    let extreme = text(data, "severity") == Some("extreme") && text(data, "effect") == Some("none");
    findings.add_if(extreme && crossing.is_some(), "incident.notice.severe_effect", "/data/effect");
}
