//! Back ends that are told what is for them: by a signed request to their own server, and through a stream of NATS JetStream.

mod nats;
mod webhook;

use serde_json::Value;
use support::{Home, Message, Pair, event, sign};

const JO: &str = "JO/public-security";

/// Has Jordan's back end told at `url`; what the command said.
fn push(pair: &Pair, url: &str, anchors: &std::path::Path, more: &[&str]) -> Value {
    let anchors = anchors.to_string_lossy();
    let mut args = vec!["backend", "push", JO, url, "--anchors", &anchors];
    args.extend(more);
    pair.jo.json(&args)
}

/// A message of a record of its own, from Iraq to Jordan's back end, which Jordan's gateway accepted.
fn send(pair: &Pair) -> Message {
    send_event(pair, &event("IQ/traffic-police", JO))
}

fn send_event(pair: &Pair, event: &Value) -> Message {
    let message = sign(&pair.iq.message_key(), event);
    let answer = pair.iq.as_partner_of(&pair.jo).message(&message.bytes);
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    message
}

/// Hand-overs that the house log says are done, by message.
fn delivered(home: &Home) -> Vec<String> {
    let house = home.log(&["--partner", "house"]);
    let delivered = house.iter().filter(|entry| entry["kind"] == "delivered");
    delivered.map(|entry| entry["id"].as_str().unwrap().to_owned()).collect()
}
