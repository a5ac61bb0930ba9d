//! Through NATS JetStream.

use serde_json::{Value, json};
use support::home::set;
use support::nats::Nats;
use support::{Pair, wait_for};

use super::{JO, delivered, push, send};

fn push_to(pair: &Pair, nats: &Nats) {
    push(pair, &nats.url, &nats.anchors, &["--credentials", &nats.seed.to_string_lossy()]);
}

#[test]
fn a_delivery_is_kept_by_the_stream_once() {
    let mut pair = Pair::set_up(None);
    set(&pair.jo, "backoff_first_ms", "50");
    set(&pair.jo, "probe_longest_ms", "200");
    set(&pair.jo, "push_seconds", "1");
    pair.jo.start();
    let mut nats = Nats::new(pair.folder.path());
    push_to(&pair, &nats);
    // The server is not there yet.
    let first = send(&pair);
    wait_for("an attempt", || pair.jo.gateway_log().contains("attempt to hand over").then_some(()));
    nats.start();
    // There is no stream that keeps it.
    wait_for("an attempt without a stream", || {
        pair.jo.gateway_log().contains("outcome=\"failed\"").then_some(())
    });
    assert!(delivered(&pair.jo).is_empty());
    nats.create_stream(-1);
    wait_for("it to be taken over", || (delivered(&pair.jo) == [first.id.clone()]).then_some(()));
    let second = send(&pair);
    wait_for("the second one, too", || (delivered(&pair.jo).len() == 2).then_some(()));
    let messages = nats.messages();
    assert_eq!(messages.len(), 2, "each once");
    let bodies: Vec<Value> = messages.iter().map(|m| serde_json::from_slice(&m.payload).unwrap()).collect();
    assert_eq!((&bodies[0]["id"], &bodies[1]["id"]), (&json!(first.id), &json!(second.id)));
    assert_eq!(bodies[1]["message"], serde_json::from_slice::<Value>(&second.bytes).unwrap());
    assert_eq!(messages[0].subject.as_str(), "silkgate.deliveries.JO.public-security.alert.vehicle");
    let id = messages[0].headers.as_ref().unwrap().get("Nats-Msg-Id").unwrap().as_str().to_owned();
    assert_eq!(id, format!("from/IQ/IQ/traffic-police/{}/1", first.id));
    assert!(pair.jo.audit().is_empty());
}

#[test]
fn a_server_that_dies_costs_nothing_and_a_repeat_is_known() {
    let mut pair = Pair::set_up(None);
    set(&pair.jo, "backoff_first_ms", "50");
    set(&pair.jo, "probe_longest_ms", "200");
    set(&pair.jo, "push_seconds", "1");
    pair.jo.start();
    let mut nats = Nats::new(pair.folder.path());
    nats.start();
    nats.create_stream(-1);
    push_to(&pair, &nats);
    let first = send(&pair);
    wait_for("the first one to be kept", || (delivered(&pair.jo).len() == 1).then_some(()));
    nats.kill();
    let second = send(&pair);
    wait_for("an attempt in vain", || pair.jo.gateway_log().contains("outcome=\"unreached\"").then_some(()));
    nats.start();
    wait_for("the second one to be kept", || (delivered(&pair.jo).len() == 2).then_some(()));
    let kept = |nats: &Nats| -> Vec<Value> {
        let messages = nats.messages();
        messages.iter().map(|m| serde_json::from_slice::<Value>(&m.payload).unwrap()["id"].clone()).collect()
    };
    assert_eq!(kept(&nats), [json!(first.id), json!(second.id)]);
    // The stream has one from an attempt that the gateway did not hear of: it knows the same by its id.
    pair.jo.ok(&["backend", "pull", JO]);
    wait_for("the gateway to follow", || {
        let log = pair.jo.gateway_log();
        log.contains("this back end asks").then_some(())
    });
    let third = send(&pair);
    let id = format!("from/IQ/IQ/traffic-police/{}/1", third.id);
    nats.publish("silkgate.deliveries.JO.public-security.alert.vehicle", &id, json!({ "id": third.id }));
    push_to(&pair, &nats);
    wait_for("it to be taken over", || (delivered(&pair.jo).len() == 3).then_some(()));
    assert_eq!(kept(&nats), [json!(first.id), json!(second.id), json!(third.id)]);
}

#[test]
fn what_the_stream_will_not_have_is_put_aside() {
    let mut pair = Pair::set_up(None);
    set(&pair.jo, "backoff_first_ms", "20");
    set(&pair.jo, "refusals_until_dead", "3");
    pair.jo.start();
    let mut nats = Nats::new(pair.folder.path());
    nats.start();
    nats.create_stream(1000);
    push_to(&pair, &nats);
    let sent = send(&pair);
    let letters = wait_for("the delivery to be given up", || {
        let letters = pair.jo.json(&["dead", "list"]);
        (letters.as_array().unwrap().len() == 1).then_some(letters)
    });
    assert_eq!((&letters[0]["id"], &letters[0]["code"]), (&json!(sent.id), &json!("back_end_refused")));
    assert!(nats.messages().is_empty());
    // Whoever is not known to the server is not let in, and nothing is lost.
    let house = pair.jo.log(&["--partner", "house"]);
    assert!(house.iter().any(|entry| entry["kind"] == "dead" && entry["to"] == JO), "{house:?}");
}
