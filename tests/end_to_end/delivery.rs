//! Sending and handing over: order, leases, outages.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::home::{free_ports, set};
use support::peer::example;
use support::stub::{request, respond};
use support::{Pair, event, sign, wait_for, wire};

fn record(delivery: &Value) -> String {
    delivery["event"]["data"]["recordId"].as_str().unwrap().to_owned()
}

#[test]
fn a_delivery_is_leased_handed_out_again_and_acknowledged_once() {
    let mut pair = Pair::set_up(None);
    set(&pair.jo, "lease_seconds", "1");
    pair.jo.start();
    let client = pair.iq.as_partner_of(&pair.jo);
    let sent = sign(&pair.iq.message_key(), &event("IQ/traffic-police", "JO/public-security"));
    assert_eq!(client.message(&sent.bytes).status, 200);
    let back_end = pair.jo.back_end("JO/public-security");
    let first = back_end.deliveries("").remove(0);
    assert_eq!(first["id"], sent.id.as_str());
    assert!(first["message"]["payload"].is_string());
    assert!(first["receipt"].as_str().unwrap().contains("gateway.jo.example/JO/IQ"));
    assert!(back_end.deliveries("").is_empty(), "leased: nobody else gets it");
    let again = wait_for("the lease to run out", || back_end.deliveries("?wait=2").pop());
    assert_eq!(again["id"], first["id"]);
    let late = back_end.acknowledge(&first);
    assert_eq!((late.status, late.code().as_str()), (409, "lease_lost"));
    assert_eq!(back_end.acknowledge(&again).status, 200);
    assert_eq!(back_end.acknowledge(&again).status, 200, "the same acknowledgement again is the same answer");
    assert!(back_end.deliveries("").is_empty());
    let house = pair.jo.log(&["--partner", "house"]);
    assert_eq!(house.iter().filter(|entry| entry["kind"] == "delivered").count(), 1);
}

#[test]
fn versions_of_a_record_are_handed_over_one_after_another() {
    let pair = Pair::start();
    let client = pair.iq.as_partner_of(&pair.jo);
    let key = pair.iq.message_key();
    let first = event("IQ/traffic-police", "JO/public-security");
    let one = sign(&key, &first);
    let mut second = event("IQ/traffic-police", "JO/public-security");
    second["subject"] = first["subject"].clone();
    second["data"]["recordId"] = first["subject"].clone();
    second["data"]["recordVersion"] = json!(2);
    second["data"]["action"] = json!("update");
    second["data"]["supersedes"] = json!({ "messageId": one.id, "digest": one.digest });
    let other = event("IQ/traffic-police", "JO/public-security");
    for message in [&one, &sign(&key, &second), &sign(&key, &other)] {
        assert_eq!(client.message(&message.bytes).status, 200);
    }
    let back_end = pair.jo.back_end("JO/public-security");
    let fetched = back_end.deliveries("?max=10");
    let records: Vec<String> = fetched.iter().map(record).collect();
    let subject = |event: &Value| event["subject"].as_str().unwrap().to_owned();
    assert_eq!(records, [subject(&first), subject(&other)], "the second version waits for the first");
    assert_eq!(back_end.acknowledge(&fetched[0]).status, 200);
    let next = back_end.deliveries("?max=10&wait=5");
    assert_eq!(next.len(), 1);
    assert_eq!(next[0]["event"]["data"]["recordVersion"], 2);
}

#[test]
fn a_long_poll_ends_as_soon_as_something_arrives() {
    let pair = Pair::start();
    let waiting = {
        let back_end = pair.jo.back_end("JO/public-security");
        std::thread::spawn(move || back_end.deliveries("?wait=30"))
    };
    let sent = sign(&pair.iq.message_key(), &event("IQ/traffic-police", "JO/public-security"));
    assert_eq!(pair.iq.as_partner_of(&pair.jo).message(&sent.bytes).status, 200);
    let got = waiting.join().unwrap();
    assert_eq!(got[0]["id"], sent.id.as_str());
}

#[test]
fn what_was_taken_over_survives_sigkill_and_a_partner_that_is_down() {
    let mut pair = Pair::set_up(None);
    pair.iq.start();
    let police = pair.iq.back_end("IQ/traffic-police");
    let mut ids = Vec::new();
    for _ in 0..20 {
        let mut event = event("IQ/traffic-police", "JO/public-security");
        event.as_object_mut().unwrap().remove("salt");
        let taken = police.submit(&event);
        assert_eq!(taken.status, 202, "{}", String::from_utf8_lossy(&taken.body));
        ids.push(taken.json()["id"].as_str().unwrap().to_owned());
    }
    wait_for("a first failed attempt", || {
        let status = police.get(&format!("/v1/submissions/{}", ids[0])).json();
        (status["attempts"].as_u64() > Some(0)).then_some(())
    });
    pair.iq.kill();
    pair.jo.start();
    pair.iq.start();
    for id in &ids {
        assert_eq!(police.outcome(id)["state"], "receipted");
    }
    let received = pair.jo.log(&["--type", "alert.vehicle"]);
    assert_eq!(received.len(), ids.len());
    assert!(pair.iq.audit().is_empty() && pair.jo.audit().is_empty());
}

#[test]
fn what_the_partner_refuses_comes_back_with_its_reasons_and_returns_later_versions() {
    let mut pair = Pair::set_up(None);
    pair.iq.start();
    // Jordan accepts messages of `test` only: its own agreement is the one that counts there.
    let police = pair.iq.back_end("IQ/traffic-police");
    let mut first = event("IQ/traffic-police", "JO/public-security");
    first["purpose"] = json!("tax-collection");
    pair.iq.ok(&["partner", "allow", "JO", "--purpose", "tax-collection"]);
    let taken = wait_for("the agreement to be read again", || {
        let taken = police.submit(&first);
        (taken.status == 202).then(|| taken.json())
    });
    let mut second = event("IQ/traffic-police", "JO/public-security");
    second["subject"] = first["subject"].clone();
    second["data"]["recordId"] = first["subject"].clone();
    second["data"]["recordVersion"] = json!(2);
    second["data"]["action"] = json!("update");
    second["data"]["supersedes"] = json!({ "messageId": taken["id"], "digest": taken["digest"] });
    assert_eq!(police.submit(&second).status, 202);
    pair.jo.start();
    let refused = police.outcome(taken["id"].as_str().unwrap());
    assert_eq!((&refused["state"], &refused["code"]), (&json!("rejected"), &json!("agreement_purpose")));
    assert!(refused["problem"]["detail"].as_str().unwrap().contains("receive alert.vehicle"));
    assert!(refused["receipt"].as_str().unwrap().contains("gateway.jo.example/JO/IQ"));
    let returned = police.outcome(second["id"].as_str().unwrap());
    assert_eq!((&returned["state"], &returned["code"]), (&json!("returned"), &json!("predecessor_refused")));
    // The record is free again: it can be begun anew.
    let mut anew = event("IQ/traffic-police", "JO/public-security");
    anew["subject"] = first["subject"].clone();
    anew["data"]["recordId"] = first["subject"].clone();
    let taken = police.submit(&anew).json();
    assert_eq!(police.outcome(taken["id"].as_str().unwrap())["state"], "receipted");
    assert!(pair.iq.audit().is_empty() && pair.jo.audit().is_empty());
}

#[test]
fn a_message_that_never_got_through_expires() {
    let mut pair = Pair::set_up(None);
    pair.iq.start();
    let police = pair.iq.back_end("IQ/traffic-police");
    let mut brief = event("IQ/traffic-police", "JO/public-security");
    brief["expirytime"] = json!(silkgate_message::instant::Instant(support::now_ms() + 1500).to_string());
    let taken = police.submit(&brief);
    assert_eq!(taken.status, 202);
    // Attempts were made: only Jordan's log could tell whether one arrived.
    let outcome = police.outcome(brief["id"].as_str().unwrap());
    assert_eq!((&outcome["state"], &outcome["code"]), (&json!("unknown"), &json!("expired")));
    let kinds: Vec<_> = pair.iq.log(&["--partner", "JO", "--type", "alert.vehicle"]);
    assert_eq!(kinds.last().unwrap()["kind"], "expired");
    assert_eq!(pair.iq.json(&["status"])["queues"]["outbox"], json!([]));
}

#[test]
fn an_alert_goes_before_the_manifests_that_wait_and_is_handed_over_before_them() {
    let mut pair = Pair::set_up(None);
    pair.iq.start();
    let police = pair.iq.back_end("IQ/traffic-police");
    for _ in 0..60 {
        let taken = police.submit(&example("crossing.status", 2, "IQ/traffic-police", "JO/public-security"));
        assert_eq!(taken.status, 202, "{}", String::from_utf8_lossy(&taken.body));
    }
    let alert = event("IQ/traffic-police", "JO/public-security");
    assert_eq!(police.submit(&alert).status, 202);
    pair.jo.start();
    wait_for("everything to be sent", || {
        (pair.iq.json(&["status"])["queues"]["outbox"] == json!([])).then_some(())
    });
    let received = pair.jo.log(&["--partner", "IQ"]).into_iter().filter(|entry| entry["kind"] == "received");
    let place = received.clone().position(|entry| entry["id"] == alert["id"]);
    assert!(place.is_some_and(|place| place < 32), "one batch before it at most: {place:?}");
    let fetched = pair.jo.back_end("JO/public-security").deliveries("?max=20");
    assert_eq!((fetched.len(), &fetched[0]["id"]), (20, &alert["id"]));
    assert!(pair.iq.audit().is_empty() && pair.jo.audit().is_empty());
}

#[test]
fn a_partner_that_is_not_reached_is_looked_for_by_one_attempt_at_a_time() {
    let mut pair = Pair::set_up(None);
    set(&pair.iq, "probe_longest_ms", "1000");
    pair.iq.start();
    let police = pair.iq.back_end("IQ/traffic-police");
    let events: Vec<Value> = (0..60).map(|_| event("IQ/traffic-police", "JO/public-security")).collect();
    for event in &events {
        assert_eq!(police.submit(event).status, 202);
    }
    wait_for("the line to be given up", || {
        pair.iq.gateway_log().contains("one attempt at a time").then_some(())
    });
    let attempts = || pair.iq.query("SELECT count(*), count(DISTINCT seq) FROM attempt").remove(0);
    let before = attempts()[0];
    wait_for("some more attempts", || (attempts()[0] >= before + 3).then_some(()));
    let made = attempts();
    assert!(made[0] < 60, "not each message is tried for itself: {made:?}");
    pair.jo.start();
    for event in &events {
        assert_eq!(police.outcome(event["id"].as_str().unwrap())["state"], "receipted");
    }
    let again = "the partner is reached again";
    wait_for("the line", || pair.iq.gateway_log().contains(again).then_some(()));
}

#[test]
fn a_partner_that_asks_for_time_is_left_alone_for_so_long() {
    let [port, _] = free_ports();
    let address = format!("127.0.0.1:{port}");
    let mut pair = Pair::set_up(Some(&address));
    pair.iq.start();
    let listener = TcpListener::bind(&address).unwrap();
    let police = pair.iq.back_end("IQ/traffic-police");
    assert_eq!(police.submit(&event("IQ/traffic-police", "JO/public-security")).status, 202);
    // Until a message comes; what the witness asks meanwhile is not there.
    let message = |headers: &[(&str, &str)]| loop {
        let mut tls = wire::accept(&listener, pair.jo.tls_identity());
        let (head, _) = request(&mut tls);
        let asked = Instant::now();
        if !head.starts_with("post /v1/messages ") {
            respond(&mut tls, 404, &[], "");
            continue;
        }
        let problem = json!({ "type": "about:blank", "title": "x", "status": 429, "code": "rate_exceeded" });
        respond(&mut tls, 429, headers, &problem.to_string());
        return asked;
    };
    let first = message(&[("Retry-After", "3")]);
    wait_for("the answer to be noted", || {
        (pair.iq.query("SELECT count(*) FROM attempt") == [[1]]).then_some(())
    });
    assert_eq!(police.submit(&event("IQ/traffic-police", "JO/public-security")).status, 202);
    let next = message(&[]);
    let waited = next - first;
    assert!(waited >= Duration::from_millis(2900), "whichever message, after {waited:?}");
}

#[test]
fn who_submitted_a_message_is_told_once_when_it_does_not_get_through() {
    let mut pair = Pair::set_up(None);
    pair.iq.start();
    let police = pair.iq.back_end("IQ/traffic-police");
    pair.iq.ok(&["partner", "allow", "JO", "--purpose", "tax-collection"]);
    // Attempts are made: it may have arrived.
    let mut brief = event("IQ/traffic-police", "JO/public-security");
    brief["expirytime"] = json!(silkgate_message::instant::Instant(support::now_ms() + 2500).to_string());
    assert_eq!(police.submit(&brief).status, 202);
    let told = wait_for("the notice", || police.deliveries("?wait=5").pop());
    assert_eq!((&told["id"], &told["notice"]), (&brief["id"], &json!("delivery_unknown")));
    assert_eq!(told["event"]["subject"], brief["subject"], "the message itself, as it was signed");
    assert!(police.deliveries("").is_empty(), "leased, as any delivery");
    assert_eq!(police.acknowledge(&told).status, 200);
    assert_eq!(police.acknowledge(&told).status, 200);
    // None is made while the partner is suspended: it never left, and expires all the same.
    let mut held = event("IQ/traffic-police", "JO/public-security");
    held["expirytime"] = json!(silkgate_message::instant::Instant(support::now_ms() + 6000).to_string());
    let mut refused = event("IQ/traffic-police", "JO/public-security");
    refused["purpose"] = json!("tax-collection");
    let taken = wait_for("the agreement to be read again", || {
        let taken = police.submit(&refused);
        (taken.status == 202).then(|| taken.json())
    });
    let mut later = event("IQ/traffic-police", "JO/public-security");
    later["subject"] = refused["subject"].clone();
    later["data"]["recordId"] = refused["subject"].clone();
    later["data"]["recordVersion"] = json!(2);
    later["data"]["action"] = json!("update");
    later["data"]["supersedes"] = json!({ "messageId": taken["id"], "digest": taken["digest"] });
    assert_eq!(police.submit(&later).status, 202);
    pair.jo.start();
    let mut notices = Vec::new();
    wait_for("the two notices", || {
        for told in police.deliveries("?wait=1&max=10") {
            assert_eq!(police.acknowledge(&told).status, 200);
            notices.push((told["id"].clone(), told["notice"].clone()));
        }
        (notices.len() == 2).then_some(())
    });
    let rejected = (refused["id"].clone(), json!("not_delivered_rejected"));
    assert_eq!(notices, [rejected, (later["id"].clone(), json!("not_delivered_returned"))]);
    assert_eq!(police.submit(&held).status, 202);
    let delivered = police.outcome(held["id"].as_str().unwrap());
    assert_eq!(delivered["state"], "receipted");
    assert!(police.deliveries("").is_empty(), "nothing is told of what was accepted");
    assert!(pair.iq.audit().is_empty() && pair.jo.audit().is_empty());
}

#[test]
fn a_message_for_a_suspended_partner_expires_without_an_attempt() {
    let mut pair = Pair::set_up(None);
    set(&pair.iq, "concurrency", "0");
    set(&pair.iq, "lease_seconds", "1");
    pair.iq.start();
    let police = pair.iq.back_end("IQ/traffic-police");
    let mut brief = event("IQ/traffic-police", "JO/public-security");
    brief["expirytime"] = json!(silkgate_message::instant::Instant(support::now_ms() + 3000).to_string());
    assert_eq!(police.submit(&brief).status, 202);
    pair.iq.ok(&["partner", "suspend", "JO"]);
    let told = wait_for("the notice", || police.deliveries("?wait=5").pop());
    assert_eq!((&told["id"], &told["notice"]), (&brief["id"], &json!("not_delivered_expired")));
    // It can be told without its payload, and does not keep it.
    pair.iq.ok(&["erase", brief["id"].as_str().unwrap(), "--reason", "closed"]);
    let told = wait_for("it to be told again", || police.deliveries("?wait=5").pop());
    assert_eq!((&told["notice"], &told["event"]), (&json!("not_delivered_expired"), &Value::Null));
    assert_eq!(police.acknowledge(&told).status, 200);
    assert!(pair.iq.audit().is_empty());
}

/// An id is unique for its source only: two authorities of one state may use one.
#[test]
fn two_messages_of_one_id_are_acknowledged_each_for_itself() {
    let pair = Pair::start();
    let client = pair.iq.as_partner_of(&pair.jo);
    let key = pair.iq.message_key();
    let first = event("IQ/traffic-police", "JO/public-security");
    let mut second = event("IQ/general-customs-authority", "JO/public-security");
    second["id"] = first["id"].clone();
    for event in [&first, &second] {
        assert_eq!(client.message(&sign(&key, event).bytes).status, 200);
    }
    let back_end = pair.jo.back_end("JO/public-security");
    let fetched = back_end.deliveries("?max=10");
    assert_eq!(fetched.len(), 2);
    for delivery in &fetched {
        assert_eq!(back_end.acknowledge(delivery).status, 200);
    }
    let house = pair.jo.log(&["--partner", "house"]);
    let mut handed: Vec<_> = house
        .iter()
        .filter(|entry| entry["kind"] == "delivered")
        .map(|entry| entry["from"].clone())
        .collect();
    handed.sort_by_key(ToString::to_string);
    assert_eq!(handed, ["IQ/general-customs-authority", "IQ/traffic-police"]);
    assert_eq!(pair.jo.json(&["status"])["queues"]["deliveries"], json!([]));
}
