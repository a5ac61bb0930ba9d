//! Rules of `control.result`. That its target was exchanged is decided in `relation.rs`.

use serde_json::Value;

use super::codes::is_hs6;
use super::parts::{repeated, state};
use super::rules::{Findings, is_after_issue, list, text};

pub(super) fn judge(event: &Value, findings: &mut Findings<'_>) {
    let Some(data) = event.get("data").filter(|data| text(data, "action") != Some("cancel")) else {
        return;
    };
    let late = text(data, "date").is_some_and(|date| is_after_issue(date, event));
    findings.add_if(late, "control.result.date", "/data/date");
    let office = state(text(data, "office")).zip(state(text(event, "source")));
    let foreign = office.is_some_and(|(office, source)| office != source);
    findings.add_if(foreign, "control.result.office_state", "/data/office");
    let results = list(data, "results");
    let rule = ("control.result.subject_repeated", "/data/results", "/subject");
    repeated(results, |result| text(result, "subject"), rule, findings);
    let outcome = |wanted: &str| results.iter().any(|result| text(result, "outcome") == Some(wanted));
    let checked = results.iter().any(|result| text(result, "outcome") != Some("not-checked"));
    findings.add_if(!results.is_empty() && !checked, "control.result.not_checked", "/data/results");
    let discrepancy = outcome("minor-discrepancy") || outcome("major-discrepancy");
    match text(data, "decision") {
        Some("released") => {
            let major = outcome("major-discrepancy");
            findings.add_if(major, "control.result.released_discrepancy", "/data/decision");
        }
        Some("seized" | "detained" | "refused") => {
            findings.add_if(!discrepancy, "control.result.seized_finding", "/data/results");
        }
        _ => {}
    }
    if let Some(decision) = text(data, "decision") {
        let seizure = (decision == "seized") != data.get("seizure").is_some();
        findings.add_if(seizure, "control.result.seizure_stated", "/data/seizure");
        let conditions = (decision == "released-with-conditions") != data.get("conditions").is_some();
        findings.add_if(conditions, "control.result.conditions_stated", "/data/conditions");
    }
    let code = data.get("seizure").and_then(|seizure| text(seizure, "hs"));
    findings.add_if(code.is_some_and(|code| !is_hs6(code)), "control.result.hs_code", "/data/seizure/hs");
}
