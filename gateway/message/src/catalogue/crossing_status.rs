//! Rules of `crossing.status`, both versions; that an older observation does not overwrite a newer one is
//! decided on the record's state, in `facts.rs`.

use serde_json::Value;

use super::parts::{self, repeated, state};
use super::rules::{Findings, instant, list, text};

/// How long an observation is worth something, at most.
const VALID_MS: i64 = 24 * 3_600_000;

pub(super) fn judge(event: &Value, findings: &mut Findings<'_>) {
    let Some(data) = event.get("data").filter(|data| text(data, "action") != Some("cancel")) else {
        return;
    };
    let crossing = text(data, "crossing");
    let foreign =
        state(crossing).zip(state(text(event, "source"))).is_some_and(|(runs, source)| runs != source);
    findings.add_if(foreign, "crossing.status.crossing_state", "/data/crossing");
    parts::crossing(crossing, "/data/crossing", findings);
    times(data, event, findings);
    lanes(data, findings);
    for (index, machine) in list(data, "equipment").iter().enumerate() {
        let count = |name: &str| machine.get(name).and_then(Value::as_u64);
        let more = count("working").zip(count("total")).is_some_and(|(working, total)| working > total);
        findings.add_if(more, "crossing.status.equipment", format_args!("/data/equipment/{index}/working"));
    }
    if let Some(staff) = data.get("staffing") {
        let count = |name: &str| staff.get(name).and_then(Value::as_u64);
        let few = count("present")
            .zip(count("planned"))
            .is_some_and(|(present, planned)| present < planned.div_ceil(2));
        findings.add_if(few, "crossing.status.staffing", "/data/staffing/present");
    }
}

/// Version 2 states a delay as a range.
pub(super) fn judge_2(event: &Value, findings: &mut Findings<'_>) {
    judge(event, findings);
    let data = event.get("data").unwrap_or(&Value::Null);
    for (index, lane) in list(data, "lanes").iter().enumerate() {
        let minutes = |name: &str| lane.get("delay")?.get(name)?.as_u64();
        let range = minutes("minimumMinutes").zip(minutes("maximumMinutes"));
        let inverted = range.is_some_and(|(shortest, longest)| longest < shortest);
        let place = format!("/data/lanes/{index}/delay/maximumMinutes");
        findings.add_if(inverted, "crossing.status.delay_range", &place);
    }
}

fn times(data: &Value, event: &Value, findings: &mut Findings<'_>) {
    let Some(observed) = instant(data, "observedAt") else { return };
    let foretold = instant(event, "time").is_some_and(|time| observed > time);
    findings.add_if(foretold, "crossing.status.observed_at", "/data/observedAt");
    let valid = |until| until > observed && until <= observed.plus_ms(VALID_MS);
    let invalid = instant(data, "validUntil").is_some_and(|until| !valid(until));
    findings.add_if(invalid, "crossing.status.valid_until", "/data/validUntil");
    if let Some(reopens) = instant(data, "reopensAt") {
        let open = text(data, "status") == Some("open");
        findings.add_if(open || reopens <= observed, "crossing.status.reopens_at", "/data/reopensAt");
    }
}

fn lanes(data: &Value, findings: &mut Findings<'_>) {
    let lanes = list(data, "lanes");
    let rule = ("crossing.status.lane_repeated", "/data/lanes", "");
    repeated(lanes, |lane| Some((text(lane, "mode")?, text(lane, "lane")?)), rule, findings);
    let status = text(data, "status");
    let mut any_open = false;
    for (index, lane) in lanes.iter().enumerate() {
        let place = format!("/data/lanes/{index}");
        let count = |name: &str| lane.get(name).and_then(Value::as_u64);
        let open = count("lanesOpen");
        any_open |= open.is_some_and(|open| open > 0);
        let more = open.zip(count("maximumLanes")).is_some_and(|(open, maximum)| open > maximum);
        findings.add_if(more, "crossing.status.lanes_open", format_args!("{place}/lanesOpen"));
        let delayed = lane.get("delayMinutes").or(lane.get("delay")).is_some();
        let busy = delayed || open.is_some_and(|open| open > 0);
        findings.add_if(status == Some("closed") && busy, "crossing.status.closed", &place);
    }
    let shut = status == Some("open") && !any_open && !lanes.is_empty();
    findings.add_if(shut, "crossing.status.open", "/data/lanes");
}
