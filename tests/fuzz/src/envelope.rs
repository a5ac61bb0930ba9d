//! Strict JSON and the envelope of an event.

use serde_json::Value;
use silkgate_message::catalogue::Catalogue;
use silkgate_message::event;
use silkgate_message::instant::Instant;
use silkgate_message::json::{self, DEPTH_MAX, Fault};
use silkgate_message::violation::{REPORTED_MAX, Violation};

pub(crate) const JSON_WORDS: &[&str] = &[
    "{\"a\":",
    "\"\\u0061\"",
    "\\ud800",
    "\\udc00",
    "\\u0000",
    "[[[[",
    "]]]]",
    "1e308",
    "-0.0",
    "9007199254740991",
    "9007199254740992",
    "0.1234567890123456789",
    "true",
    "null",
    "\u{feff}",
    "\u{202e}",
    ",",
    ":",
    "{}",
    "[]",
    "//",
    "\"\"",
];

pub(crate) const EVENT_WORDS: &[&str] = &[
    "\"specversion\":\"1.0\"",
    "\"id\":\"0192f1a0-7b3c-7def-8123-456789abcdef\"",
    "IQ/general-customs-authority",
    "JO/customs-department",
    "2026-11-24T09:30:00Z",
    "9999-12-31T23:59:59.999999Z",
    "\"handling\":\"H1,H2\"",
    "H3",
    "\"handlingnote\":\"x\"",
    "\"releasableto\":\"IQ,JO\"",
    "\"correlationid\":",
    "\"status\":\"actual\"",
    "\"data\":{}",
    "\"traceparent\":",
    "null",
    "[]",
    "{}",
    "0",
    "\"\"",
    "\\u0000",
    "\u{202e}",
    "ك",
    "9007199254740991",
];

/// Strict JSON: a text that is taken means to serde_json what it means to us and can be written again; one that serde_json takes
/// and we do not is refused for a reason of ours.
pub fn json(data: &[u8]) {
    let theirs = serde_json::from_slice::<Value>(data);
    match json::parse(data) {
        Ok(value) => {
            assert!(theirs.is_ok_and(|theirs| same(&theirs, &value)), "two readers, two values");
            assert!(depth(&value) <= DEPTH_MAX);
            let printed = value.to_string();
            assert_eq!(json::parse(printed.as_bytes()).as_ref(), Ok(&value), "{printed}");
        }
        Err(error) => {
            let ours = !matches!(error.fault, Fault::Syntax(_));
            assert!(ours || theirs.is_err(), "{error}, and serde_json takes it");
            assert!(error.to_string().len() <= 200, "a refusal is a sentence: {error}");
            let lines = data.split(|byte| *byte == b'\n').count();
            assert!((1..=lines).contains(&error.line) && error.column <= data.len() + 1, "{error}");
            assert!(error.pointer.is_empty() || error.pointer.starts_with('/'));
        }
    }
}

/// The same value; a whole number is an integer to us, however it is written.
fn same(theirs: &Value, ours: &Value) -> bool {
    match (theirs, ours) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|((a, x), (b, y))| a == b && same(x, y))
        }
        (a, b) => a == b,
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// The envelope: what is read of it is what stands in it; what is refused says why. Then the catalogue judges the event, whole or not.
pub fn event(data: &[u8]) {
    let Ok(value) = json::parse(data) else { return };
    match event::read(&value) {
        Ok(envelope) => {
            let said = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
            for (name, read) in [
                ("id", envelope.id.to_string()),
                ("source", envelope.source.to_string()),
                ("recipient", envelope.recipient.to_string()),
                ("type", envelope.kind.clone()),
                ("subject", envelope.subject.clone()),
                ("dataschema", envelope.dataschema.clone()),
                ("purpose", envelope.purpose.clone()),
                ("handling", envelope.handling.join(",")),
                ("status", envelope.status.as_str().to_owned()),
                ("correlationid", envelope.correlation_id.map(|id| id.to_string()).unwrap_or_default()),
                (
                    "releasableto",
                    envelope.releasable_to.iter().map(|c| c.as_str()).collect::<Vec<_>>().join(","),
                ),
            ] {
                assert_eq!(said(name), read, "{name}");
            }
            for (name, instant) in [("time", envelope.time), ("expirytime", envelope.expires_at)] {
                assert_eq!(Instant::parse(said(name)), Some(instant), "{name}");
                assert_eq!(Instant::parse(&instant.to_string()), Some(instant), "{name}");
            }
            let again = json::parse(value.to_string().as_bytes()).unwrap();
            assert_eq!(event::read(&again).ok(), Some(envelope));
        }
        Err((violations, parts)) => {
            assert!(!violations.is_empty(), "refused, and no reason");
            bounded(&violations, &value);
            if let Some(id) = parts.id {
                assert_eq!(value.get("id").and_then(Value::as_str), Some(id.to_string().as_str()));
            }
        }
    }
    let named = value.get("type").and_then(Value::as_str);
    let Some(kind) = named.and_then(|kind| Catalogue::embedded().newest(kind)) else { return };
    let violations = kind.check(&value);
    bounded(&violations, &value);
    assert_eq!(violations, kind.check(&value), "judged twice, and otherwise");
    let _ = (kind.facts(&value), kind.references(&value), kind.question(&value), kind.lifecycle(&value));
}

/// Not too many, each at a place that is in the event or just missing from it, each short.
fn bounded(violations: &[Violation], event: &Value) {
    assert!(violations.len() <= REPORTED_MAX + ATTRIBUTES_MAX);
    for violation in violations {
        let parent = violation.pointer.rsplit_once('/').map_or("", |(parent, _)| parent);
        assert!(event.pointer(parent).is_some(), "{} points nowhere", violation.pointer);
        assert!(violation.text.len() <= 2000, "{}", violation.text);
    }
}

/// The envelope's own reader reports beside the bound at most one fault for each attribute, and a few that rest on two.
const ATTRIBUTES_MAX: usize = 32;
