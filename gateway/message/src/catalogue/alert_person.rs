//! Rules of `alert.person`.

use serde_json::Value;

use super::parts::{self, document_key, repeated, texts};
use super::rules::{Findings, is_after_issue, list, text};
use crate::values::calendar::{Partial, years_between};

pub(super) fn judge(event: &Value, findings: &mut Findings<'_>) {
    let Some(data) = event.get("data") else { return };
    for (index, name) in list(data, "names").iter().enumerate() {
        parts::name(Some(name), &format!("/data/names/{index}"), findings);
    }
    parts::birth(data, "/data", event, findings);
    let (ground, action) = (text(data, "ground"), text(data, "actionToTake"));
    let day = text(event, "time").and_then(|time| time.get(..10));
    if action == Some("arrest") {
        // The youngest that the person can be: a child is never entered for arrest by a vague date.
        let youngest = text(data, "birthDate").and_then(Partial::parse).map(Partial::latest);
        let age = youngest.as_deref().zip(day).and_then(|(born, day)| years_between(born, day));
        findings.add_if(age.is_some_and(|age| age < 18), "alert.person.minor_arrest", "/data/actionToTake");
        let judicial =
            data.get("decision").and_then(|decision| text(decision, "kind")) != Some("administrative");
        findings.add_if(!judicial, "alert.person.arrest_decision", "/data/decision/kind");
    }
    if let (Some(ground), Some(action)) = (ground, action) {
        let fits = match ground {
            "arrest" => action == "arrest",
            "refusal-of-entry" => action == "refuse-entry",
            "discreet-check" => matches!(action, "discreet-check" | "inform"),
            "missing" | "vulnerable" => matches!(action, "protect" | "locate" | "inform"),
            "witness" => matches!(action, "locate" | "inform"),
            _ => true,
        };
        findings.add_if(!fits, "alert.person.ground_action", "/data/actionToTake");
    }
    if let Some(date) = data.get("decision").and_then(|decision| text(decision, "date")) {
        findings.add_if(is_after_issue(date, event), "alert.person.decision_date", "/data/decision/date");
    }
    let accused = matches!(text(data, "subjectCategory"), Some("suspect" | "convicted"));
    let sought = matches!(ground, Some("missing" | "vulnerable" | "witness"));
    findings.add_if(accused && sought, "alert.person.missing_subject", "/data/subjectCategory");
    let rule = ("alert.person.document_repeated", "/data/documents", "");
    repeated(list(data, "documents"), document_key, rule, findings);
    for (index, link) in texts(data, "links") {
        let own = text(data, "recordId") == Some(link);
        findings.add_if(own, "alert.person.link_self", format_args!("/data/links/{index}"));
    }
    // Regulation (EU) 2018/1862 Art. 53 as a template: a year for discreet checks, five for the rest.
    let years = if ground == Some("discreet-check") { 1 } else { 5 };
    let delete = data.get("retention").and_then(|retention| text(retention, "deleteBy"));
    let kept = day
        .zip(delete)
        .and_then(|(day, delete)| Some((years_between(day, delete)?, delete.get(5..)? > day.get(5..)?)));
    let long = kept.is_some_and(|(whole, more)| whole > years || (whole == years && more));
    findings.add_if(long, "alert.person.retention_cap", "/data/retention/deleteBy");
}
