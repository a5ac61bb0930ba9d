//! What two sides' agreements with each other disagree on.

use serde::Serialize;
use serde_json::{Value, json};

use super::{Agreement, Clause, Direction};

/// One clause on which the two differ.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// `send`: what we send and the partner receives; `receive`: the other way; none: of the agreement as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<&'static str>,
    /// The message type.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The member of the agreement.
    pub clause: &'static str,
    /// What ours says.
    pub ours: Value,
    /// What the partner's says.
    pub theirs: Value,
    /// What both let pass, where that is a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub both: Option<Value>,
}

/// Holds what we send against what they receive, and the other way. Each side applies its own agreement: what both allow passes.
pub fn diff(ours: &Agreement, theirs: &Agreement) -> Vec<Difference> {
    let mut found = Vec::new();
    for ((clause, ours), (_, theirs)) in whole(ours).into_iter().zip(whole(theirs)) {
        found.extend(differ(None, None, clause, ours, theirs));
    }
    for (direction, opposite) in
        [(Direction::Send, Direction::Receive), (Direction::Receive, Direction::Send)]
    {
        let of = |side: &Agreement, direction, kind: &str| {
            side.clause(direction, kind).map(|clause| members(side, clause))
        };
        let mut kinds: Vec<&String> = ours.clauses(direction).iter().map(|clause| &clause.kind).collect();
        kinds.extend(theirs.clauses(opposite).iter().map(|clause| &clause.kind));
        kinds.sort();
        kinds.dedup();
        for kind in kinds {
            let named = |clause, ours, theirs| differ(Some(direction), Some(kind), clause, ours, theirs);
            match (of(ours, direction, kind), of(theirs, opposite, kind)) {
                (Some(ours), Some(theirs)) => {
                    let pairs = ours.into_iter().zip(theirs);
                    found.extend(
                        pairs.filter_map(|((clause, ours), (_, theirs))| named(clause, ours, theirs)),
                    );
                }
                (ours, theirs) => {
                    found.extend(named("type", json!(ours.is_some()), json!(theirs.is_some())));
                }
            }
        }
    }
    found
}

fn differ(
    direction: Option<Direction>,
    kind: Option<&String>,
    clause: &'static str,
    ours: Value,
    theirs: Value,
) -> Option<Difference> {
    if ours == theirs {
        return None;
    }
    let both = match (&ours, &theirs) {
        // An empty list of parties or states means all of them.
        (Value::Array(some), Value::Array(all)) if all.is_empty() && means_all(clause) => Some(json!(some)),
        (Value::Array(all), Value::Array(some)) if all.is_empty() && means_all(clause) => Some(json!(some)),
        (Value::Array(ours), Value::Array(theirs)) if clause != "hours" => {
            Some(ours.iter().filter(|one| theirs.contains(one)).cloned().collect())
        }
        _ => None,
    };
    let (direction, kind) = (direction.map(Direction::as_str), kind.cloned());
    Some(Difference { direction, kind, clause, ours, theirs, both })
}

fn means_all(clause: &str) -> bool {
    matches!(clause, "senders" | "recipients" | "releasable_to")
}

fn whole(agreement: &Agreement) -> Vec<(&'static str, Value)> {
    vec![
        ("lifetime_hours", json!(agreement.lifetime_hours)),
        ("body_max_bytes", json!(agreement.body_max_bytes)),
        ("rate_per_second", json!(agreement.rate_per_second)),
        ("retention_days", json!(agreement.retention_days)),
        ("witness_hours", json!(agreement.witness_hours)),
        ("crl_grace_hours", json!(agreement.crl_grace_hours)),
        ("degraded", json!(agreement.degraded)),
        ("key_exchange", json!(agreement.key_exchange)),
    ]
}

/// A clause as it counts: where it says nothing, the agreement does.
fn members(agreement: &Agreement, clause: &Clause) -> Vec<(&'static str, Value)> {
    fn sorted<T: Serialize>(list: &[T]) -> Value {
        let mut all: Vec<Value> = list.iter().map(|one| json!(one)).collect();
        all.sort_by_key(Value::to_string);
        Value::Array(all)
    }
    let least = |own: Option<u32>, whole: u32| json!(own.unwrap_or(whole).min(whole));
    vec![
        ("versions", sorted(&clause.versions)),
        ("status", sorted(&clause.status)),
        ("purposes", sorted(&clause.purposes)),
        ("senders", sorted(&clause.senders)),
        ("recipients", sorted(&clause.recipients)),
        ("handling", sorted(&clause.handling)),
        ("releasable_to", sorted(&clause.releasable_to)),
        ("body_max_bytes", least(clause.body_max_bytes, agreement.body_max_bytes)),
        ("rate_per_second", least(clause.rate_per_second, agreement.rate_per_second)),
        ("retention_days", least(clause.retention_days, agreement.retention_days)),
        ("hours", sorted(&clause.hours)),
        ("degraded", json!(clause.degraded.unwrap_or(agreement.degraded))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agreement(partner: &str, text: &str) -> Agreement {
        Agreement::parse(&format!("partner = \"{partner}\"\n{text}")).unwrap()
    }

    const CLAUSE: &str = "type = \"alert.vehicle\"\nversions = [1]\nstatus = [\"test\", \"actual\"]\npurposes = [\"border-management\"]\nhandling = [\"H0\"]\n";

    #[test]
    fn the_same_agreement_seen_from_both_sides_has_no_difference() {
        let ours = agreement("JO", &format!("[[send]]\n{CLAUSE}"));
        let theirs = agreement(
            "IQ",
            &format!("[[receive]]\n{}", CLAUSE.replace("\"test\", \"actual\"", "\"actual\", \"test\"")),
        );
        assert_eq!(diff(&ours, &theirs), []);
    }

    #[test]
    fn each_clause_that_differs_is_named_with_both_sides() {
        let ours = agreement(
            "JO",
            &format!(
                "lifetime_hours = 24\n[[send]]\n{CLAUSE}senders = [\"IQ/traffic-police\"]\n[[receive]]\n{CLAUSE}"
            ),
        );
        let theirs = agreement(
            "IQ",
            &format!(
                "[[receive]]\n{}hours = [\"Mon-Fri 06:00-18:00\"]\ndegraded = \"accept\"\nrate_per_second = 5\n",
                CLAUSE.replace("\"test\", \"actual\"", "\"test\"").replace("[1]", "[1, 2]")
            ),
        );
        let found = diff(&ours, &theirs);
        let of = |clause: &str| {
            found.iter().find(|one| one.clause == clause).unwrap_or_else(|| panic!("{clause}"))
        };
        assert_eq!((of("lifetime_hours").ours.clone(), of("lifetime_hours").direction), (json!(24), None));
        assert_eq!(
            (of("status").direction, of("status").both.clone()),
            (Some("send"), Some(json!(["test"])))
        );
        assert_eq!(of("versions").both, Some(json!([1])));
        assert_eq!(of("senders").both, Some(json!(["IQ/traffic-police"])), "an empty list holds all");
        assert_eq!(
            (of("hours").theirs.clone(), of("hours").both.clone()),
            (json!(["Mon-Fri 06:00-18:00"]), None)
        );
        assert_eq!(
            (of("degraded").ours.clone(), of("degraded").theirs.clone()),
            (json!("queue"), json!("accept"))
        );
        assert_eq!(of("rate_per_second").theirs, json!(5));
        assert_eq!((of("type").direction, of("type").theirs.clone()), (Some("receive"), json!(false)));
        assert_eq!(found.len(), 8, "{found:?}");
    }
}
