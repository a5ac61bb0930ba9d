//! Messages made by hand: sound ones, and ones that no gateway would send.

use serde_json::{Value, json};
use silkgate_message::catalogue::Catalogue;
use silkgate_message::instant::Instant;
use silkgate_message::jws::{Jws, SigningKey, encode};
use uuid::Uuid;

use crate::now_ms;

/// A UUIDv7 of that instant, unique in this process and across processes.
pub fn uuid_v7(at_ms: i64) -> String {
    let random = *Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, 1, 0)).as_bytes();
    let mut tail = [0; 10];
    tail.copy_from_slice(&random[6..]);
    let ms = u64::try_from(at_ms).expect("after 1970");
    uuid::Builder::from_unix_timestamp_millis(ms, &tail).into_uuid().to_string()
}

/// A sound `alert.vehicle` event of this moment, for a record of its own.
pub fn event(source: &str, recipient: &str) -> Value {
    example("alert.vehicle", 1, source, recipient)
}

/// The type's own example as an actual event of this moment, for a record of its own. Its data may speak of
/// other times.
pub fn example(kind: &str, version: u32, source: &str, recipient: &str) -> Value {
    let now = now_ms();
    let id = uuid_v7(now);
    let message_type = Catalogue::embedded().find(kind, version).expect("a type of the catalogue");
    let mut event: Value = serde_json::from_str(message_type.example()).expect("the example is JSON");
    event["id"] = json!(id);
    event["source"] = json!(source);
    event["recipient"] = json!(recipient);
    event["status"] = json!("actual");
    event["time"] = json!(Instant(now).to_string());
    event["expirytime"] = json!(Instant(now + 3_600_000).to_string());
    event["subject"] = json!(format!("R-{id}"));
    event["data"]["recordId"] = event["subject"].clone();
    event["salt"] = json!(encode(&id.as_bytes()[..16]));
    event
}

/// A question that is to be answered within so many milliseconds.
pub fn question(source: &str, recipient: &str, within_ms: i64) -> Value {
    let mut event = example("query.request", 1, source, recipient);
    event["data"]["deadline"] = json!(Instant(now_ms() + within_ms).to_string());
    event
}

/// An answer to the question `id`.
pub fn answer(source: &str, recipient: &str, id: &str, outcome: &str) -> Value {
    let mut event = example("query.response", 1, source, recipient);
    let kept = event["data"]["recordId"].clone();
    let mut data = json!({ "action": "new", "recordId": kept, "recordVersion": 1, "outcome": outcome });
    match outcome {
        "none" => data["answers"] = json!([{ "question": 1, "outcome": "none" }]),
        "partial" => {
            data["answers"] = json!([{ "question": 1, "outcome": "none" }]);
            data["moreUntil"] = event["time"].clone();
        }
        "refused" => data["refusal"] = json!({ "code": "legal-basis" }),
        other => panic!("no answer is known for {other}"),
    }
    event["data"] = data;
    event["correlationid"] = json!(id);
    event
}

/// A signed message.
#[derive(Clone)]
pub struct Message {
    /// The event's id.
    pub id: String,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The digest of its signing input.
    pub digest: String,
}

/// Signs an event of this moment.
pub fn sign(key: &SigningKey, event: &Value) -> Message {
    sign_at(key, event, now_ms())
}

/// Signs an event as of `at_ms`.
pub fn sign_at(key: &SigningKey, event: &Value, at_ms: i64) -> Message {
    let payload = serde_json::to_vec(event).expect("JSON");
    let bytes = key.sign(&payload, Instant(at_ms)).expect("signed");
    let digest = Jws::parse(&bytes).map(|jws| jws.digest().to_string()).unwrap_or_default();
    Message { id: event["id"].as_str().unwrap_or_default().to_owned(), bytes, digest }
}
