//! Rules of `alert.document`.

use serde_json::Value;

use super::rules::{Findings, is_after_issue, list, text};
use crate::values::mrz::{self, Fault};

pub(super) fn judge(event: &Value, findings: &mut Findings<'_>) {
    let Some(data) = event.get("data") else { return };
    if let (Some(issuer), Some(source)) = (text(data, "issuingState"), text(event, "source")) {
        // INTERPOL's SLTD: only the issuing country adds its documents.
        findings.add_if(source.get(..2) != Some(issuer), "alert.document.issuer", "/data/issuingState");
    }
    if let Some(date) = text(data, "lossDate") {
        findings.add_if(is_after_issue(date, event), "alert.document.loss_date", "/data/lossDate");
    }
    if let Some(range) = data.get("blankRange")
        && let (Some(first), Some(last)) = (text(range, "first"), text(range, "last"))
    {
        let as_long = first.len() == last.len();
        findings.add_if(!as_long, "alert.document.range_length", "/data/blankRange");
        // Of one length and alphabet, numbers are ordered as texts.
        findings.add_if(as_long && first > last, "alert.document.range_order", "/data/blankRange");
    }
    if text(data, "formOfLoss") == Some("stolen-blank") {
        for member in ["holder", "mrz"].into_iter().filter(|member| data.get(member).is_some()) {
            findings.add("alert.document.blank_holder", format!("/data/{member}"));
        }
    } else if data.get("mrz").is_some() {
        judge_mrz(data, findings);
    }
}

fn judge_mrz(data: &Value, findings: &mut Findings<'_>) {
    let place = "/data/mrz";
    let lines: Vec<&str> = list(data, "mrz").iter().filter_map(Value::as_str).collect();
    let Some(zone) = mrz::read(&lines) else { return findings.add("alert.document.mrz_form", place) };
    if !zone.faults.is_empty() {
        let fields = zone.faults.iter().map(|fault| match fault {
            Fault::Number => "the number's",
            Fault::Birth => "the date of birth's",
            Fault::Expiry => "the date of expiry's",
            Fault::Optional => "the optional data's",
            Fault::Composite => "the composite one",
        });
        let hint = format!("it is {}", fields.collect::<Vec<_>>().join(", "));
        findings.add_with_hint("alert.document.mrz_check_digit", place, Some(hint));
    } else if let Some(number) = text(data, "number") {
        findings.add_if(zone.number != number, "alert.document.mrz_number", place);
    }
}
