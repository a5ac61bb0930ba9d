//! Whether a version of a record may follow what was accepted before it.
//!
//! CAP 1.2 semantics: an update supersedes, it is no patch; updates and cancels name what they
//! follow. Decided on a small state row, never on the payload, so that erasing payloads changes
//! no later decision.

use crate::digest::Digest;
use crate::problem::Code;

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
            // A cancel needs only a known record: it must get through even after versions crossed.
            if action == Action::Update {
                follows(last, step, known)?;
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
    })
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

    #[test]
    fn a_cancel_needs_only_a_known_record() {
        let first = decide(None, &step(Action::New, 1, "a", None), known).unwrap();
        let second = decide(Some(&first), &step(Action::Update, 5, "b", Some("a")), known).unwrap();
        let end = decide(Some(&second), &step(Action::Cancel, 2, "c", Some("a")), known).unwrap();
        assert!(end.cancelled && end.version == 5);
    }
}
