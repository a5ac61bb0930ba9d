//! What a message says of others: the alert it hit, the question it answers, what it controlled. Whether that
//! holds is decided where messages are committed, beside their order.

use serde_json::Value;
use uuid::Uuid;

use super::rules::{instant, text};
use crate::digest::Digest;
use crate::event::uuid_v7;
use crate::instant::Instant;

/// A message that another one rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Where it is named.
    pub pointer: &'static str,
    /// Its id.
    pub id: Uuid,
    /// Its digest, where the message states it.
    pub digest: Option<Digest>,
    /// Its type.
    pub kind: String,
    /// Its record, where the message states it.
    pub record: Option<String>,
    /// What its record must say.
    pub says: Option<String>,
    /// Who must have stated it.
    pub side: Side,
    /// Its record must have been live then: neither cancelled nor past `deleteBy`.
    pub live_at: Option<Instant>,
    /// It is a question, answered only by who was asked; true where this answer is the final one.
    pub answers: Option<bool>,
}

/// Who stated a message, seen from the one that names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The recipient, to the source's state.
    Recipient,
    /// The source's state.
    Source,
    /// Either.
    Either,
}

/// A question and its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Until when an answer is waited for.
    pub deadline: Instant,
}

/// What `query.request` asks. A cancel asks nothing.
pub(super) fn question(kind: &str, event: &Value) -> Option<Question> {
    let deadline = instant(event.get("data")?, "deadline").filter(|_| kind == "query.request")?;
    Some(Question { deadline })
}

/// Every reference of an event past its schema.
pub(super) fn references(kind: &str, event: &Value) -> Vec<Reference> {
    let Some(data) = event.get("data").filter(|data| text(data, "action") != Some("cancel")) else {
        return Vec::new();
    };
    let named = |member: &str, pointer: &'static str, side: Side, kind: Option<&str>| {
        let stated = data.get(member)?;
        Some(Reference {
            pointer,
            id: text(stated, "messageId").and_then(uuid_v7)?,
            digest: Some(text(stated, "digest").and_then(Digest::parse)?),
            kind: kind.or(text(stated, "type"))?.to_owned(),
            record: text(stated, "recordId").map(str::to_owned),
            says: None,
            side,
            live_at: None,
            answers: None,
        })
    };
    let found = match kind {
        "hit.notice" => named("alert", "/data/alert", Side::Recipient, None)
            .map(|alert| Reference { live_at: instant(data, "matchedAt"), ..alert }),
        "control.result" | "risk.notice" => named("target", "/data/target", Side::Either, None),
        "transit.movement" => named("departure", "/data/departure", Side::Either, Some("transit.movement")),
        "incident.notice" => {
            // A closure rests on a status that says that this crossing is closed.
            let closes = text(data, "effect") == Some("closed");
            let says = text(data, "crossing").filter(|_| closes).map(|crossing| format!("{crossing} closed"));
            named("crossingStatus", "/data/crossingStatus", Side::Source, Some("crossing.status"))
                .map(|status| Reference { says, ..status })
        }
        "query.response" => text(event, "correlationid").and_then(uuid_v7).map(|id| Reference {
            pointer: "/correlationid",
            id,
            digest: None,
            kind: "query.request".to_owned(),
            record: None,
            says: None,
            side: Side::Recipient,
            live_at: None,
            answers: Some(text(data, "outcome") != Some("partial")),
        }),
        _ => None,
    };
    found.into_iter().collect()
}
