//! Rules of `risk.notice`. That its target was exchanged is decided in `relation.rs`.

use serde_json::Value;

use super::codes::is_hs6;
use super::parts;
use super::rules::{Findings, instant, text};

const DAY_MS: i64 = 24 * 3_600_000;

pub(super) fn judge(event: &Value, findings: &mut Findings<'_>) {
    let Some(data) = event.get("data").filter(|data| text(data, "action") != Some("cancel")) else {
        return;
    };
    let nature = text(data, "nature");
    let told = instant(event, "time");
    let profile = data.get("profile").and_then(Value::as_object);
    if let Some(criteria) = profile {
        findings.add_if(criteria.len() < 2, "risk.notice.open_profile", "/data/profile");
        findings.add_if(nature == Some("fact"), "risk.notice.profile_nature", "/data/nature");
    }
    if let Some(profile) = data.get("profile") {
        let code = text(profile, "hs");
        findings.add_if(code.is_some_and(|code| !is_hs6(code)), "risk.notice.hs_code", "/data/profile/hs");
        parts::crossing(text(profile, "crossing"), "/data/profile/crossing", findings);
    }
    if let (Some(until), Some(told)) = (instant(data, "validUntil"), told) {
        let days = if profile.is_some() { 90 } else { 366 };
        let unfit = until <= told || until > told.plus_ms(days * DAY_MS);
        findings.add_if(unfit, "risk.notice.valid_until", "/data/validUntil");
    }
    parts::container(text(data, "container"), "/data/container", findings);
    let recommendation = text(data, "recommendation");
    if recommendation == Some("do-not-load") {
        let named = data.get("container").or(data.get("transportDocument")).is_some();
        findings.add_if(!named, "risk.notice.do_not_load_subject", "/data/recommendation");
        let late = match instant(data, "departsAt") {
            Some(departs) => told.is_some_and(|told| told >= departs),
            None => true,
        };
        findings.add_if(late, "risk.notice.do_not_load_time", "/data/departsAt");
    }
    let idle =
        matches!(recommendation, Some("inform" | "monitor")) && text(data, "level") == Some("critical");
    findings.add_if(idle, "risk.notice.level_recommendation", "/data/recommendation");
    let source = data.get("evaluation").and_then(|evaluation| text(evaluation, "source"));
    let unfounded = nature == Some("fact") && !matches!(source, Some("A" | "B"));
    findings.add_if(unfounded, "risk.notice.fact_evaluation", "/data/evaluation");
}
