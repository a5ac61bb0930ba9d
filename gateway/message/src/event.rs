//! The envelope: a CloudEvents 1.0 JSON event with Silkgate's extensions, closed and strict.

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::instant::Instant;
use crate::party::{Country, Party};
use crate::violation::{REPORTED_MAX, Severity, Violation};

/// How far two clocks may differ.
pub const SKEW_MS: i64 = 300_000;

/// Whether a message acts. A drill must never act as real (CAP 1.2 §3.2.1 `status`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// To be acted on.
    Actual,
    /// A drill.
    Exercise,
    /// Technical, to be ignored by officers.
    Test,
}

impl Status {
    /// As on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Actual => "actual",
            Status::Exercise => "exercise",
            Status::Test => "test",
        }
    }

    /// From the wire.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "actual" => Some(Status::Actual),
            "exercise" => Some(Status::Exercise),
            "test" => Some(Status::Test),
            _ => None,
        }
    }
}

/// The envelope of an event, every attribute past its grammar.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    /// UUIDv7, lower case.
    pub id: Uuid,
    /// Who states it.
    pub source: Party,
    /// To whom.
    pub recipient: Party,
    /// The message type, e.g. `alert.vehicle`.
    pub kind: String,
    /// The record it is about: key of order and lifecycle.
    pub subject: String,
    /// When it was stated.
    pub time: Instant,
    /// The `$id` of its schema.
    pub dataschema: String,
    /// When it ceases to be sent.
    pub expires_at: Instant,
    /// Why it may be used, e.g. `border-management`.
    pub purpose: String,
    /// Handling codes, ascending, e.g. `H1`, `H2`.
    pub handling: Vec<String>,
    /// Whether it acts.
    pub status: Status,
    /// The states it may be released to; empty: the agreement decides.
    pub releasable_to: Vec<Country>,
    /// The message it answers.
    pub correlation_id: Option<Uuid>,
}

/// The parts of a broken envelope that passed their grammar: a log entry may hold these and no others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fragments {
    /// `id`.
    pub id: Option<Uuid>,
    /// `source`.
    pub source: Option<Party>,
    /// `recipient`.
    pub recipient: Option<Party>,
    /// `type`.
    pub kind: Option<String>,
}

const ATTRIBUTES: [&str; 19] = [
    "specversion",
    "id",
    "source",
    "type",
    "subject",
    "time",
    "dataschema",
    "datacontenttype",
    "data",
    "recipient",
    "expirytime",
    "purpose",
    "handling",
    "handlingnote",
    "status",
    "releasableto",
    "correlationid",
    "salt",
    "traceparent",
];

/// Reads the envelope; on failure every violation, and the parts that are sound.
pub fn read(event: &Value) -> Result<Envelope, (Vec<Violation>, Fragments)> {
    let Some(members) = event.as_object() else {
        let fault = violation("event.object", "", "The event must be a JSON object.");
        return Err((vec![fault], Fragments::default()));
    };
    let mut reader = Reader { members, faults: Vec::new() };
    let unknown = members.keys().filter(|name| !ATTRIBUTES.contains(&name.as_str()));
    for name in unknown.take(REPORTED_MAX) {
        let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        reader.faults.push(violation("event.unknown", &pointer, "The envelope has no such attribute."));
    }
    reader.exactly("specversion", "1.0");
    reader.exactly("datacontenttype", "application/json");
    if !members.get("data").is_some_and(Value::is_object) {
        reader.faults.push(violation("event.data", "/data", "`data` must be a JSON object."));
    }
    let parts = Fragments {
        id: reader.required("id", "a UUIDv7 in lower case (RFC 9562)", uuid_v7),
        source: reader.required("source", "a party such as IQ/general-customs-authority", |t| t.parse().ok()),
        recipient: reader.required("recipient", "a party such as JO/customs-department", |t| t.parse().ok()),
        kind: reader.required("type", "a message type such as alert.vehicle", kind),
    };
    let subject =
        reader.required("subject", "a record id: A-Z a-z 0-9 . _ : -, at most 64 characters", subject);
    let time = reader.required("time", "an instant such as 2026-11-24T09:30:00Z", Instant::parse);
    let dataschema = reader.required("dataschema", "the $id of a schema", |t| {
        (t.len() <= 200 && t.starts_with("https://") && t.bytes().all(|b| b.is_ascii_graphic()))
            .then(|| t.to_owned())
    });
    let expires_at = reader.required("expirytime", "an instant such as 2026-11-24T09:30:00Z", Instant::parse);
    let purpose = reader.required("purpose", "a purpose such as border-management", |t| slug(t, 48));
    let handling =
        reader.required("handling", "handling codes in ascending order, such as H1 or H1,H2", handling_codes);
    let status = reader.required("status", "actual, exercise or test", Status::parse);
    reader.required("salt", "16 random bytes in base64url", |t| {
        crate::digest::decode(t).filter(|bytes| bytes.len() == 16).map(drop)
    });
    let releasable_to =
        reader.optional("releasableto", "country codes in ascending order, such as IQ,JO", countries);
    let correlation_id = reader.optional("correlationid", "a UUIDv7 in lower case", uuid_v7);
    reader.optional("traceparent", "a W3C trace context", |t| {
        (t.len() == 55 && t.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f' | b'-'))).then_some(())
    });
    let note = reader.optional("handlingnote", "a text of 1 to 200 characters", |t| {
        (!t.trim().is_empty() && t.chars().count() <= 200 && !t.chars().any(char::is_control)).then_some(())
    });
    // H3 "other" means nothing without its text.
    if handling.as_ref().is_some_and(|codes| codes.iter().any(|c| c == "H3")) != note.is_some() {
        let text = "Handling code H3 needs `handlingnote`, and only H3 may have it.";
        reader.faults.push(violation("event.handlingnote", "/handlingnote", text));
    }
    if !reader.faults.is_empty() {
        return Err((reader.faults, parts));
    }
    let whole = (|| {
        Some(Envelope {
            id: parts.id?,
            source: parts.source.clone()?,
            recipient: parts.recipient.clone()?,
            kind: parts.kind.clone()?,
            subject: subject?,
            time: time?,
            dataschema: dataschema?,
            expires_at: expires_at?,
            purpose: purpose?,
            handling: handling?,
            status: status?,
            releasable_to: releasable_to.unwrap_or_default(),
            correlation_id,
        })
    })();
    // Every absent part has left a fault, so this is never the error.
    whole.ok_or((Vec::new(), parts))
}

struct Reader<'a> {
    members: &'a Map<String, Value>,
    faults: Vec<Violation>,
}

impl Reader<'_> {
    fn required<T>(&mut self, name: &str, expected: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        if !self.members.contains_key(name) {
            let text = format!("`{name}` is missing; it must be {expected}.");
            self.faults.push(violation("event.required", &format!("/{name}"), &text));
            return None;
        }
        self.optional(name, expected, read)
    }

    fn optional<T>(&mut self, name: &str, expected: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let value = self.members.get(name)?;
        let read = value.as_str().and_then(read);
        if read.is_none() {
            let text = format!("`{name}` must be {expected}.");
            self.faults.push(violation(&format!("event.{name}"), &format!("/{name}"), &text));
        }
        read
    }

    fn exactly(&mut self, name: &str, value: &str) {
        self.required(name, &format!("\"{value}\""), |t| (t == value).then_some(()));
    }
}

fn violation(rule: &str, pointer: &str, text: &str) -> Violation {
    Violation {
        rule: rule.to_owned(),
        pointer: pointer.to_owned(),
        severity: Severity::Error,
        text: text.to_owned(),
        text_ar: None,
        hint: None,
    }
}

/// A UUIDv7 in lower case with hyphens (RFC 9562 §5.7).
pub fn uuid_v7(text: &str) -> Option<Uuid> {
    let id = Uuid::try_parse(text).ok()?;
    (text.len() == 36 && id.get_version_num() == 7 && id.to_string() == text).then_some(id)
}

/// The instant inside a UUIDv7: its first 48 bits, in milliseconds.
pub fn uuid_instant(id: &Uuid) -> Instant {
    let b = id.as_bytes();
    Instant(b[..6].iter().fold(0, |ms, byte| ms << 8 | i64::from(*byte)))
}

/// `word.word…`, lower-case letters, at most 40 characters.
fn kind(text: &str) -> Option<String> {
    let words = text.split('.').all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase()));
    (text.len() <= 40 && text.contains('.') && words).then(|| text.to_owned())
}

/// The grammar of record ids.
pub fn subject(text: &str) -> Option<String> {
    let first = text.bytes().next()?.is_ascii_alphanumeric();
    let rest = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'-'));
    (first && rest && text.len() <= 64).then(|| text.to_owned())
}

/// Lower-case words joined by hyphens.
pub fn slug(text: &str, max: usize) -> Option<String> {
    let word = |w: &str| !w.is_empty() && w.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    (text.len() <= max && text.split('-').all(word)).then(|| text.to_owned())
}

fn handling_codes(text: &str) -> Option<Vec<String>> {
    let codes: Vec<&str> = text.split(',').collect();
    let known = codes.iter().all(|code| matches!(*code, "H0" | "H1" | "H2" | "H3"));
    (known && codes.is_sorted_by(|a, b| a < b)).then(|| codes.into_iter().map(str::to_owned).collect())
}

fn countries(text: &str) -> Option<Vec<Country>> {
    let codes: Option<Vec<Country>> = text.split(',').map(|code| code.parse().ok()).collect();
    codes.filter(|codes| codes.is_sorted_by(|a, b| a < b))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sound() -> Value {
        json!({
            "specversion": "1.0", "id": "0192f1a0-7b3c-7def-8123-456789abcdef",
            "source": "IQ/traffic-police", "recipient": "JO/public-security", "type": "alert.vehicle",
            "subject": "IQ-AV-2026-1", "time": "2026-11-24T09:30:00Z",
            "dataschema": "https://silkgate.example/schemas/alert.vehicle/1/schema.json",
            "datacontenttype": "application/json", "expirytime": "2026-11-25T09:30:00Z",
            "purpose": "border-management", "handling": "H1,H2", "status": "test",
            "salt": "AAAAAAAAAAAAAAAAAAAAAA", "data": {}
        })
    }

    fn rules(event: &Value) -> Vec<(String, String)> {
        let (faults, _) = read(event).unwrap_err();
        faults.into_iter().map(|fault| (fault.rule, fault.pointer)).collect()
    }

    #[test]
    fn reads_a_sound_envelope() {
        let envelope = read(&sound()).unwrap();
        assert_eq!(envelope.handling, ["H1", "H2"]);
        assert_eq!(envelope.source.country().as_str(), "IQ");
        assert_eq!(uuid_instant(&envelope.id).0, 0x0192_f1a0_7b3c);
    }

    #[test]
    fn every_attribute_is_demanded() {
        for name in ATTRIBUTES {
            if matches!(name, "handlingnote" | "releasableto" | "correlationid" | "traceparent") {
                continue;
            }
            let mut event = sound();
            event.as_object_mut().unwrap().remove(name);
            let found = rules(&event);
            assert!(found.iter().any(|(_, pointer)| *pointer == format!("/{name}")), "{name}: {found:?}");
        }
    }

    #[test]
    fn every_attribute_has_a_grammar() {
        let cases = [
            ("specversion", json!("0.3")),
            ("id", json!("0192F1A0-7B3C-7DEF-8123-456789ABCDEF")),
            ("id", json!("0192f1a0-7b3c-4def-8123-456789abcdef")),
            ("id", json!("0192f1a07b3c7def8123456789abcdef")),
            ("source", json!("IQ")),
            ("recipient", json!("jo/x")),
            ("type", json!("alert")),
            ("type", json!("Alert.x")),
            ("subject", json!("-a")),
            ("subject", json!("a b")),
            ("time", json!("2026-11-24")),
            ("dataschema", json!("http://x")),
            ("datacontenttype", json!("text/xml")),
            ("expirytime", json!(5)),
            ("purpose", json!("")),
            ("purpose", json!("Border")),
            ("handling", json!("H2,H1")),
            ("handling", json!("H9")),
            ("status", json!("real")),
            ("salt", json!("AAAA")),
            ("data", json!([])),
            ("releasableto", json!("JO,IQ")),
            ("correlationid", json!("x")),
            ("handlingnote", json!("not H3")),
            ("traceparent", json!("00-x")),
        ];
        for (name, value) in cases {
            let mut event = sound();
            event[name] = value.clone();
            let found = rules(&event);
            assert_eq!(found.len(), 1, "{name} = {value}: {found:?}");
            assert_eq!(found[0].1, format!("/{name}"));
        }
        let mut event = sound();
        event["x/y"] = json!(1);
        assert_eq!(rules(&event), [("event.unknown".to_owned(), "/x~1y".to_owned())]);
    }

    #[test]
    fn all_faults_at_once_and_sound_parts_kept() {
        let mut event = sound();
        event["id"] = json!("x");
        event["status"] = json!("x");
        let (faults, parts) = read(&event).unwrap_err();
        assert_eq!(faults.len(), 2);
        assert_eq!((parts.id, parts.source.unwrap().as_str()), (None, "IQ/traffic-police"));
    }
}
