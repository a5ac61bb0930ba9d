//! Whether a version of a record may follow what was accepted before it.
//!
//! CAP 1.2 semantics: an update supersedes, it is no patch; updates and cancels name what they
//! follow. Decided on a small state row, never on the payload, so that erasing payloads changes
//! no later decision.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::problem::Code;

/// The stage after which only a cancel may come.
pub const STAGE_LAST: i64 = i64::MAX;

/// What a version does to its record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// The first version.
    New,
    /// A later version, whole.
    Update,
    /// The end.
    Cancel,
}

/// The few things that later versions, and messages about the record, are judged by. They outlive the
/// payload's erasure, so nothing personal is among them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// `status` of the event: a drill never becomes real.
    pub status: String,
    /// `retention.deleteBy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete_by: Option<String>,
    /// `retention.reviewBy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review_by: Option<String>,
    /// How far the record is, as its type counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<i64>,
    /// What messages about the record rest on, e.g. that a crossing is closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub says: Option<String>,
}

/// A version of a record, as a message states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What it does.
    pub action: Action,
    /// Its number, from 1.
    pub version: u64,
    /// The message it follows: id and digest.
    pub supersedes: Option<(String, Digest)>,
    /// The message that states it.
    pub id: String,
    /// That message's digest.
    pub digest: Digest,
    /// The authority that sends it.
    pub originator: String,
    /// The message type.
    pub kind: String,
    /// What later versions are judged by.
    pub facts: Facts,
}

/// The last version accepted of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordState {
    /// The last accepted message.
    pub last_id: String,
    /// Its digest.
    pub last_digest: Digest,
    /// Its version.
    pub version: u64,
    /// The authority whose record it is.
    pub originator: String,
    /// The message type.
    pub kind: String,
    /// Whether it was a cancel.
    pub cancelled: bool,
    /// What it stated; None where it was accepted before facts were kept.
    pub facts: Option<Facts>,
}

/// Decides, and gives the record's next state. `known` says whether a message of that id was ever
/// accepted for this record; it parts a predecessor still under way ([`Code::PredecessorMissing`], no verdict) from a stale one.
pub fn decide(
    state: Option<&RecordState>,
    step: &Step,
    known: impl FnOnce(&str) -> bool,
) -> Result<RecordState, Code> {
    match (state, step.action) {
        (None, Action::New) => {}
        (None, Action::Update | Action::Cancel) => return Err(Code::PredecessorMissing),
        (Some(_), Action::New) => return Err(Code::RecordExists),
        (Some(last), action) => {
            if last.cancelled {
                return Err(Code::RecordCancelled);
            }
            if last.originator != step.originator {
                return Err(Code::RecordOriginator);
            }
            if last.kind != step.kind {
                return Err(Code::RecordType);
            }
            if last.facts.as_ref().is_some_and(|facts| facts.status != step.facts.status) {
                return Err(Code::RecordStatus);
            }
            // A cancel needs only a known record: it must get through even after versions crossed.
            if action == Action::Update {
                follows(last, step, known)?;
                last.facts.as_ref().map_or(Ok(()), |facts| goes_on(facts, &step.facts))?;
            }
        }
    }
    Ok(RecordState {
        last_id: step.id.clone(),
        last_digest: step.digest,
        version: step.version.max(state.map_or(0, |last| last.version)),
        originator: step.originator.clone(),
        kind: step.kind.clone(),
        cancelled: step.action == Action::Cancel,
        // A cancel states nothing but its reason: what it ends still counts.
        facts: match (step.action, state) {
            (Action::Cancel, Some(last)) => last.facts.clone(),
            _ => Some(step.facts.clone()),
        },
    })
}

/// What an update may not do to what was stated before.
fn goes_on(before: &Facts, after: &Facts) -> Result<(), Code> {
    if before.stage.zip(after.stage).is_some_and(|(before, after)| before == STAGE_LAST || after < before) {
        return Err(Code::RecordOrder);
    }
    // Dates in ISO 8601 compare as text. No date at all is for ever.
    let longer = match (&before.delete_by, &after.delete_by) {
        (Some(before), Some(after)) => after > before,
        (Some(_), None) => true,
        (None, _) => false,
    };
    let reviewed = after.review_by.is_some() && after.review_by > before.review_by;
    if longer && !reviewed { Err(Code::RetentionLonger) } else { Ok(()) }
}

fn follows(last: &RecordState, step: &Step, known: impl FnOnce(&str) -> bool) -> Result<(), Code> {
    if step.version <= last.version {
        return Err(Code::VersionNotGreater);
    }
    let Some((id, digest)) = &step.supersedes else {
        return Err(Code::SupersedesMismatch);
    };
    if *id == last.last_id {
        return if *digest == last.last_digest { Ok(()) } else { Err(Code::SupersedesMismatch) };
    }
    // Another version than the last one: stale if it was accepted here, else still under way.
    if known(id) { Err(Code::SupersedesMismatch) } else { Err(Code::PredecessorMissing) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(action: Action, version: u64, id: &str, supersedes: Option<&str>) -> Step {
        Step {
            action,
            version,
            supersedes: supersedes.map(|id| (id.to_owned(), Digest::of(id.as_bytes()))),
            id: id.to_owned(),
            digest: Digest::of(id.as_bytes()),
            originator: "IQ/traffic-police".into(),
            kind: "alert.vehicle".into(),
            facts: Facts { status: "actual".into(), ..Facts::default() },
        }
    }

    fn known(_: &str) -> bool {
        true
    }

    #[test]
    fn new_update_cancel() {
        let first = decide(None, &step(Action::New, 1, "a", None), known).unwrap();
        let second = decide(Some(&first), &step(Action::Update, 2, "b", Some("a")), known).unwrap();
        assert_eq!((second.version, second.last_id.as_str()), (2, "b"));
        let last = decide(Some(&second), &step(Action::Cancel, 3, "c", Some("b")), known).unwrap();
        assert!(last.cancelled);
        for action in [Action::Update, Action::Cancel] {
            assert_eq!(
                decide(Some(&last), &step(action, 9, "d", Some("c")), known),
                Err(Code::RecordCancelled)
            );
        }
    }

    #[test]
    fn each_refusal() {
        let first = decide(None, &step(Action::New, 1, "a", None), known).unwrap();
        let second = decide(Some(&first), &step(Action::Update, 2, "b", Some("a")), known).unwrap();
        let refuse = |step: &Step, known: bool| decide(Some(&second), step, |_| known).unwrap_err();
        assert_eq!(refuse(&step(Action::New, 1, "x", None), true), Code::RecordExists);
        assert_eq!(refuse(&step(Action::Update, 2, "x", Some("b")), true), Code::VersionNotGreater);
        assert_eq!(refuse(&step(Action::Update, 3, "x", Some("a")), true), Code::SupersedesMismatch);
        assert_eq!(refuse(&step(Action::Update, 4, "x", Some("c")), false), Code::PredecessorMissing);
        let mut other = step(Action::Update, 3, "x", Some("b"));
        other.supersedes = Some(("b".into(), Digest::of(b"forged")));
        assert_eq!(refuse(&other, true), Code::SupersedesMismatch);
        other.originator = "IQ/customs".into();
        assert_eq!(refuse(&other, true), Code::RecordOriginator);
        other.originator = "IQ/traffic-police".into();
        other.kind = "manifest.cargo".into();
        assert_eq!(refuse(&other, true), Code::RecordType);
        assert_eq!(
            decide(None, &step(Action::Update, 2, "x", Some("w")), known),
            Err(Code::PredecessorMissing)
        );
        assert_eq!(decide(None, &step(Action::Cancel, 2, "x", None), known), Err(Code::PredecessorMissing));
    }

    /// An update may go on from what was stated before only in certain ways.
    #[test]
    fn facts_bind_later_versions() {
        let with = |action, version, id: &str, named: Option<&str>, facts: &Facts| Step {
            facts: facts.clone(),
            ..step(action, version, id, named)
        };
        let date = |day: &str| Some(day.to_owned());
        let stated = Facts {
            status: "actual".into(),
            delete_by: date("2027-01-01"),
            review_by: date("2026-12-01"),
            stage: Some(1),
            says: None,
        };
        let first = decide(None, &with(Action::New, 1, "a", None, &stated), known).unwrap();
        let update =
            |facts: &Facts| decide(Some(&first), &with(Action::Update, 2, "b", Some("a"), facts), known);
        assert!(update(&stated).is_ok());
        let drill = Facts { status: "exercise".into(), ..stated.clone() };
        assert_eq!(update(&drill), Err(Code::RecordStatus));
        let cancel = with(Action::Cancel, 2, "b", Some("a"), &drill);
        assert_eq!(
            decide(Some(&first), &cancel, known),
            Err(Code::RecordStatus),
            "a drill cancels nothing real"
        );
        assert_eq!(update(&Facts { stage: Some(0), ..stated.clone() }), Err(Code::RecordOrder));
        for delete_by in [date("2027-01-02"), None] {
            let longer = Facts { delete_by, ..stated.clone() };
            assert_eq!(update(&longer), Err(Code::RetentionLonger));
            assert!(update(&Facts { review_by: date("2026-12-31"), ..longer }).is_ok());
        }
        assert!(update(&Facts { delete_by: date("2026-12-24"), ..stated.clone() }).is_ok());
        let last = Facts { stage: Some(STAGE_LAST), ..stated.clone() };
        let end = update(&last).unwrap();
        let after = with(Action::Update, 3, "c", Some("b"), &last);
        assert_eq!(decide(Some(&end), &after, known), Err(Code::RecordOrder));
        let unknown = RecordState { facts: None, ..first.clone() };
        assert!(decide(Some(&unknown), &with(Action::Update, 2, "b", Some("a"), &drill), known).is_ok());
    }

    #[test]
    fn a_cancel_needs_only_a_known_record() {
        let first = decide(None, &step(Action::New, 1, "a", None), known).unwrap();
        let second = decide(Some(&first), &step(Action::Update, 5, "b", Some("a")), known).unwrap();
        let end = decide(Some(&second), &step(Action::Cancel, 2, "c", Some("a")), known).unwrap();
        assert!(end.cancelled && end.version == 5);
    }
}
