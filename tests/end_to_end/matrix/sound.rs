//! Messages that nothing is wrong with.

use serde_json::{Value, json};
use silkgate_message::catalogue::Catalogue;
use silkgate_message::instant::Instant;
use silkgate_message::jws::encode;
use support::{now_ms, uuid_v7};

use super::draft::{Base, DAY, HOUR};
use super::world::{IQ, JO, World};

pub fn instant(at: i64) -> String {
    Instant(at).to_string()
}

/// So many days ago.
pub fn past(days: i64) -> String {
    instant(now_ms() - days * DAY)
}

/// The date in so many days.
pub fn day(days: i64) -> String {
    instant(now_ms() + days * DAY)[..10].to_owned()
}

/// A sound envelope from Iraq to Jordan, without data.
pub fn envelope(base: Base, at: i64, subject: &str) -> Value {
    let kind = match base {
        Base::Movement => "transit.movement",
        Base::Hit => "hit.notice",
        Base::Answer => "query.response",
    };
    let message_type = Catalogue::embedded().find(kind, 1).unwrap();
    let id = uuid_v7(at);
    json!({ "specversion": "1.0", "id": id, "source": IQ, "recipient": JO, "type": kind, "subject": subject,
            "time": instant(at), "dataschema": message_type.schema_id(), "datacontenttype": "application/json",
            "expirytime": instant(at + HOUR), "purpose": "border-management", "handling": "H1", "status": "actual",
            "salt": encode(&id.as_bytes()[20..36]) })
}

pub fn begin(event: &mut Value, subject: &str) {
    event["subject"] = json!(subject);
    let data = event["data"].as_object_mut().unwrap();
    data.insert("action".into(), json!("new"));
    data.insert("recordId".into(), json!(subject));
    data.insert("recordVersion".into(), json!(1));
    if event["type"] == "query.response" {
        // Every answer names its question; the world's open one, unless a fault says otherwise.
        event["correlationid"] = event["data"].as_object_mut().unwrap().remove("question").unwrap();
    }
}

/// Sound data of the type.
pub fn data_of(base: Base, world: &World) -> Value {
    let retention = json!({ "reviewBy": day(100), "deleteBy": day(300) });
    match base {
        Base::Movement => {
            let mut data = movement();
            data["event"] = json!("arrived");
            data["arrivedAt"] = json!(past(19));
            data["departure"] = world.departure.clone();
            data["sealsAtDeparture"] = data["seals"].clone();
            data
        }
        Base::Hit => json!({
            "alert": world.alert, "matchedAt": instant(now_ms() - 60_000), "crossing": "IQ-JO-EXAMPLE1",
            "direction": "entry", "matchType": "exact", "matchedOn": ["plate", "vin"], "identityConfirmed": true,
            "actionTaken": "seized", "vinAsFound": "1M8GDM9AXKP042788", "retention": retention,
        }),
        Base::Answer => json!({
            "question": world.asked, "outcome": "partial", "moreUntil": instant(now_ms() + HOUR),
            "answers": [{ "question": 1, "outcome": "none" }], "retention": retention,
        }),
    }
}

/// A movement that departs from Iraq.
pub fn movement() -> Value {
    json!({
        "event": "departed", "mrn": "26TR331100K001234",
        "guarantee": { "type": "individual", "reference": "G-1",
                       "amount": { "value": "60000.00", "currency": "EUR" } },
        "officeDeparture": "IQ0101", "officeDestination": "IQ0001",
        "holder": { "name": "Öz Anadolu Nakliyat", "country": "TR",
                    "identifier": { "scheme": "TRADE", "value": "OAN-33" } },
        "seals": ["TR-889900"], "departedAt": past(20), "deadline": past(10),
        "retention": { "reviewBy": day(100), "deleteBy": day(300) },
    })
}
