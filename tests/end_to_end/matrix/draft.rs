//! A message that several faults can be put into at once, each at its own place.

use serde_json::{Value, json};
use silkgate_message::instant::Instant;
use silkgate_message::jws::{Digest, decode, encode};
use support::{now_ms, uuid_v7};

use super::sound::{begin, data_of, day, envelope, instant, past};
use super::world::{Certificate, World};

pub const HOUR: i64 = 3_600_000;
pub const DAY: i64 = 24 * HOUR;

/// What the message is, where nothing is wrong with it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// `transit.movement`: it has an order, a retention and names another message.
    Movement,
    /// `hit.notice`: what it names must be live.
    Hit,
    /// `query.response`: what it names is answered once.
    Answer,
}

/// Faults in a JSON text, in the order in which a reader meets them.
#[derive(Default)]
pub struct Text {
    pub is_garbage: bool,
    pub front: Vec<Vec<u8>>,
}

impl Text {
    fn break_up(&self, text: &str) -> Vec<u8> {
        let start: &[u8] = if self.is_garbage { b"?{" } else { b"{" };
        [start, &self.front.concat(), text.as_bytes().strip_prefix(b"{").unwrap()].concat()
    }
}

/// The request around the message.
#[derive(Default)]
pub struct Wire {
    pub has_large_head: bool,
    pub has_two_hosts: bool,
    pub is_elsewhere: bool,
    pub has_other_method: bool,
    pub has_other_type: bool,
    pub states_too_much: bool,
    pub is_oversize: bool,
    pub stalls: bool,
    pub breaks_off: bool,
}

/// What came before of the same record.
#[derive(Default)]
pub struct Record {
    /// The record is known: its first version came before.
    pub is_known: bool,
    pub is_cancelled: bool,
    pub is_of_another_type: bool,
    pub has_come_further: bool,
    /// This one begins the record anew.
    pub begins: bool,
    /// This one follows it, or says so.
    pub follows: bool,
    pub has_the_same_version: bool,
    pub names_an_unknown: bool,
    pub names_another_digest: bool,
    pub is_kept_longer: bool,
}

/// A message in the making.
pub struct Draft {
    pub base: Base,
    pub wire: Wire,
    pub outer: Text,
    pub lacks_signature: bool,
    pub pads_payload: bool,
    pub protected: Text,
    pub is_padded: bool,
    /// Members of the header that are not as they should be.
    pub header: Vec<(&'static str, Value)>,
    pub payload: Text,
    pub has_spoilt_signature: bool,
    pub certificate: Certificate,
    pub is_conflict: bool,
    /// From now to `iat`.
    pub ahead_ms: i64,
    pub lifetime_ms: i64,
    pub is_expired: bool,
    /// From `iat` to the time of the id, and to `time`.
    pub id_ms: i64,
    pub time_ms: i64,
    /// Attributes that are not as they should be.
    pub event: Vec<(&'static str, Value)>,
    pub has_a_stray: bool,
    pub has_another_record_id: bool,
    pub record: Record,
    pub reference: Option<Reference>,
}

/// What the message names.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Reference {
    Missing,
    Unknown,
    Mismatch,
    Ended,
    Answered,
}

/// A message to be sent, and what must be sent before it.
pub struct Row {
    /// Versions of the record before this one: accepted.
    pub before: Vec<Vec<u8>>,
    /// The same id with other content: any verdict will do.
    pub first: Option<Vec<u8>>,
    pub body: Vec<u8>,
    pub request: Vec<u8>,
    /// Of the signing input.
    pub digest: String,
}

impl Draft {
    pub fn sound() -> Self {
        Self {
            base: Base::Movement,
            wire: Wire::default(),
            outer: Text::default(),
            lacks_signature: false,
            pads_payload: false,
            protected: Text::default(),
            is_padded: false,
            header: Vec::new(),
            payload: Text::default(),
            has_spoilt_signature: false,
            certificate: Certificate::default(),
            is_conflict: false,
            ahead_ms: 0,
            lifetime_ms: HOUR,
            is_expired: false,
            id_ms: 0,
            time_ms: 0,
            event: Vec::new(),
            has_a_stray: false,
            has_another_record_id: false,
            record: Record::default(),
            reference: None,
        }
    }

    /// Sets an attribute, unless another fault has done so.
    pub fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        if self.event.iter().all(|(known, _)| *known != name) {
            self.event.push((name, value.into()));
        }
    }

    /// This is a later version of a record whose first one is known.
    pub fn follow(&mut self) {
        self.record.is_known = true;
        self.record.follows = !self.record.begins;
    }

    pub fn build(&self, world: &World) -> Row {
        let now = now_ms();
        let subject = format!("R-{}", uuid_v7(now));
        let plain = |base: Base| data_of(base, world);
        let mut before = Vec::new();
        let mut last = None;
        if self.record.is_known {
            let base = match (self.record.is_of_another_type, self.base) {
                (false, base) => base,
                (true, Base::Movement) => Base::Hit,
                (true, _) => Base::Movement,
            };
            let mut event = envelope(base, now, &subject);
            event["data"] = plain(base);
            if self.record.has_come_further {
                event["data"]["event"] = json!("discharged");
                event["data"]["discharge"] = json!({ "result": "as-declared", "controlledAt": past(18) });
            }
            begin(&mut event, &subject);
            let first = world.sign(&event, now);
            last = Some((event["id"].clone(), first.1));
            before.push(first.0);
        }
        if let Some((id, digest)) = last.clone().filter(|_| self.record.is_cancelled) {
            let mut event = envelope(self.base, now, &subject);
            if self.record.is_of_another_type {
                let base = if self.base == Base::Movement { Base::Hit } else { Base::Movement };
                event = envelope(base, now, &subject);
            }
            event["data"] = json!({ "action": "cancel", "recordId": subject, "recordVersion": 2,
                "supersedes": { "messageId": id, "digest": digest }, "reason": "The movement did not take place" });
            let cancel = world.sign(&event, now);
            last = Some((event["id"].clone(), cancel.1));
            before.push(cancel.0);
        }
        let event = self.event(world, now, &subject, last);
        let iat = now + self.ahead_ms;
        let first = self.is_conflict.then(|| {
            let mut other = envelope(Base::Movement, iat, &format!("{subject}-first"));
            other["data"] = plain(Base::Movement);
            begin(&mut other, &format!("{subject}-first"));
            (other["id"], other["source"]) = (event["id"].clone(), event["source"].clone());
            world.sign(&other, iat).0
        });
        let (body, digest) = self.signed(world, &event, iat);
        Row { before, first, request: self.wire.request(&body), body, digest }
    }

    fn event(&self, world: &World, now: i64, subject: &str, last: Option<(Value, String)>) -> Value {
        let iat = now + self.ahead_ms;
        let mut event = envelope(self.base, iat, subject);
        let expiry = if self.is_expired && self.ahead_ms > 0 { now - 1000 } else { iat + self.lifetime_ms };
        event["id"] = json!(uuid_v7(iat + self.id_ms));
        event["time"] = json!(Instant(iat + self.time_ms).to_string());
        event["expirytime"] = json!(Instant(expiry).to_string());
        event["data"] = data_of(self.base, world);
        begin(&mut event, subject);
        let data = &mut event["data"];
        if self.record.follows {
            let unknown = (json!(uuid_v7(now)), Digest::of(subject.as_bytes()).to_string());
            let (id, digest) = last.filter(|_| !self.record.names_an_unknown).unwrap_or(unknown);
            let forged = Digest::of(b"another message").to_string();
            let digest = if self.record.names_another_digest { forged } else { digest };
            let version = if self.record.has_the_same_version { 1 } else { 3 };
            data["action"] = json!("update");
            data["recordVersion"] = json!(version);
            data["supersedes"] = json!({ "messageId": id, "digest": digest });
        }
        if self.record.is_kept_longer {
            data["retention"]["deleteBy"] = json!(day(400));
        }
        match self.reference {
            Some(Reference::Missing) => data["departure"]["messageId"] = json!(uuid_v7(now)),
            Some(Reference::Mismatch) => {
                data["departure"]["digest"] = json!(Digest::of(b"another message").to_string());
            }
            Some(Reference::Unknown) => data["alert"]["messageId"] = json!(uuid_v7(now)),
            Some(Reference::Ended) => {
                // A hit from before the cancel would count.
                data["alert"] = world.ended.clone();
                data["matchedAt"] = json!(instant(now));
            }
            Some(Reference::Answered) => event["correlationid"] = world.answered.clone(),
            None => {}
        }
        if self.has_a_stray {
            event["data"]["stray"] = json!(1);
        }
        if self.has_another_record_id {
            event["data"]["recordId"] = json!(format!("{subject}-other"));
        }
        for (name, value) in &self.event {
            event[*name] = value.clone();
        }
        event
    }

    fn signed(&self, world: &World, event: &Value, iat: i64) -> (Vec<u8>, String) {
        let key = world.key(self.certificate);
        let mut header = json!({ "alg": "ES256", "typ": "jose+json", "cty": "cloudevents+json",
            "iat": iat.div_euclid(1000), "x5t#S256": key.thumbprint().to_string() });
        for (name, value) in &self.header {
            header[*name] = value.clone();
        }
        let mut header = header.to_string();
        if self.is_padded {
            header = header.replacen('{', &format!("{{{}", " ".repeat(512)), 1);
        }
        let whole = key
            .sign_flattened(&self.protected.break_up(&header), &self.payload.break_up(&event.to_string()))
            .unwrap();
        let mut outer: Value = serde_json::from_slice(&whole).unwrap();
        let text = |outer: &Value, name: &str| outer[name].as_str().unwrap().to_owned();
        if self.has_spoilt_signature {
            let mut signature = decode(&text(&outer, "signature")).unwrap();
            signature[20] ^= 1;
            outer["signature"] = json!(encode(&signature));
        }
        let input = format!("{}.{}", text(&outer, "protected"), text(&outer, "payload"));
        if self.pads_payload {
            outer["payload"] = json!(format!("{}=", text(&outer, "payload")));
        }
        if self.lacks_signature {
            outer.as_object_mut().unwrap().remove("signature");
        }
        (self.outer.break_up(&outer.to_string()), Digest::of(input.as_bytes()).to_string())
    }
}

impl Wire {
    /// The request's bytes, as far as they are ever sent.
    fn request(&self, body: &[u8]) -> Vec<u8> {
        let method = if self.has_other_method { "PUT" } else { "POST" };
        let path = if self.is_elsewhere { "/v1/elsewhere" } else { "/v1/messages" };
        let hosts = if self.has_two_hosts { "Host: x\r\nHost: y" } else { "Host: x" };
        let kind = if self.has_other_type { "application/json" } else { "application/jose+json" };
        let is_chunked = self.is_oversize || self.breaks_off;
        let length = if self.states_too_much { 2_000_000 } else { body.len() };
        let length = match is_chunked && !self.states_too_much {
            true => "Transfer-Encoding: chunked".to_owned(),
            false => format!("Content-Length: {length}"),
        };
        let more =
            if self.has_large_head { format!("X-Large: {}\r\n", "x".repeat(17_000)) } else { String::new() };
        let head = format!(
            "{method} {path} HTTP/1.1\r\n{hosts}\r\n{more}Content-Type: {kind}\r\n{length}\r\nConnection: close\r\n\r\n"
        );
        let chunk = |bytes: &[u8]| [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
        let mut bytes = head.into_bytes();
        if self.states_too_much {
            return bytes;
        }
        match (is_chunked, self.stalls) {
            (false, false) => bytes.extend_from_slice(body),
            (false, true) => bytes.extend_from_slice(&body[..body.len() - 1]),
            (true, _) => {
                bytes.extend(chunk(body));
                let spaces = if self.is_oversize { 17 } else { 0 };
                bytes.extend((0..spaces).flat_map(|_| chunk(&[b' '; 0x10000])));
                let end: &[u8] = match (self.breaks_off, self.stalls) {
                    (true, _) => b"no length\r\n",
                    (false, true) => b"",
                    (false, false) => b"0\r\n\r\n",
                };
                bytes.extend_from_slice(end);
            }
        }
        bytes
    }
}
