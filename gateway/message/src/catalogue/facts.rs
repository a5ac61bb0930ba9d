//! What a message states that later ones are judged by: kept with its record, not with its payload.

use serde_json::Value;

use super::rules::text;
use crate::instant::Instant;
use crate::lifecycle::{Facts, STAGE_LAST};

pub(super) fn facts(kind: &str, event: &Value) -> Facts {
    let data = event.get("data").unwrap_or(&Value::Null);
    let retention = |member: &str| Some(text(data.get("retention")?, member)?.to_owned());
    Facts {
        status: text(event, "status").unwrap_or_default().to_owned(),
        delete_by: retention("deleteBy"),
        review_by: retention("reviewBy"),
        stage: stage(kind, data),
        says: says(kind, data),
    }
}

/// Of a crossing: which one, and whether it is open.
pub(super) fn says(kind: &str, data: &Value) -> Option<String> {
    let (crossing, status) = (text(data, "crossing")?, text(data, "status")?);
    (kind == "crossing.status").then(|| format!("{crossing} {status}"))
}

/// How far the record is: it never goes back.
fn stage(kind: &str, data: &Value) -> Option<i64> {
    match kind {
        "transit.movement" => match text(data, "event")? {
            "departed" => Some(0),
            "arrived" | "incident" => Some(1),
            "discharged" => Some(STAGE_LAST),
            _ => None,
        },
        // An older observation does not overwrite a newer one; one from before 1970, which a schema takes, is the oldest.
        "crossing.status" => {
            text(data, "observedAt").map(|at| Instant::parse(at).map_or(i64::MIN, |at| at.0))
        }
        _ => None,
    }
}

/// The rule that a version out of order breaks, and where.
pub(super) fn order_rule(kind: &str) -> Option<(&'static str, &'static str)> {
    match kind {
        "transit.movement" => Some(("transit.movement.order", "/data/event")),
        "crossing.status" => Some(("crossing.status.order", "/data/observedAt")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_observation_is_without_its_place_in_the_order() {
        let stage = |at: &str| stage("crossing.status", &json!({ "observedAt": at }));
        assert!(stage("1969-12-31T23:59:59Z") < stage("1970-01-01T00:00:00Z"));
        assert!(stage("0001-01-01T00:00:00Z").is_some());
        assert!(stage("2026-11-24T08:00:00Z") < stage("2026-11-24T08:00:01Z"));
    }
}
