//! The one judgement of an event's data, for messages that come in and go out.

use serde_json::Value;
use silkgate_message::agreement::{Agreement, Direction};
use silkgate_message::catalogue::{MessageType, Severity, Violation, terms};
use silkgate_message::event::Envelope;
use silkgate_message::instant::Instant;
use silkgate_message::jws::Digest;
use silkgate_message::lifecycle::Step;
use silkgate_message::problem::{Code, Problem};

use crate::accept::Bonds;

/// Schema and rules, all violations at once. Warnings alone refuse nothing and are given back.
pub fn conform(message_type: &MessageType, event: &Value) -> Result<Vec<Violation>, Box<Problem>> {
    let violations = message_type.check(event);
    if violations.iter().all(|violation| violation.severity != Severity::Error) {
        return Ok(violations);
    }
    let of_schema = |violation: &Violation| {
        violation.severity == Severity::Error && violation.rule.starts_with("schema.")
    };
    let code = if violations.iter().any(of_schema) { Code::SchemaInvalid } else { Code::RulesViolated };
    Err(Box::new(Problem::new(code).detail(count(&violations)).violations(violations)))
}

/// How many violations there are, in words.
pub fn count(violations: &[Violation]) -> String {
    match violations.iter().filter(|violation| violation.severity == Severity::Error).count() {
        1 => "1 violation, listed in `violations`".to_owned(),
        n => format!("{n} violations, listed in `violations`"),
    }
}

/// What the message says of others.
pub fn bonds(message_type: &MessageType, event: &Value) -> Bonds {
    Bonds {
        references: message_type.references(event),
        question: message_type.question(event),
        terms: terms::terms(event),
        out_of_order: message_type.out_of_order(),
    }
}

/// The day on which the message's payload is to be erased.
pub fn erase_day(
    agreement: &Agreement,
    way: Direction,
    message_type: &MessageType,
    event: &Value,
    at: Instant,
) -> i64 {
    let delete_by = message_type.facts(event).delete_by;
    agreement.retention_day(way, message_type.name(), delete_by.as_deref(), at)
}

/// What the message does to its record.
pub fn step(message_type: &MessageType, event: &Value, envelope: &Envelope, digest: Digest) -> Option<Step> {
    let stated = message_type.lifecycle(event)?;
    let supersedes =
        stated.supersedes.and_then(|named| Some((named.message_id.to_owned(), Digest::parse(named.digest)?)));
    Some(Step {
        action: stated.action,
        version: stated.version,
        supersedes,
        id: envelope.id.to_string(),
        digest,
        originator: envelope.source.to_string(),
        kind: envelope.kind.clone(),
        facts: message_type.facts(event),
    })
}
