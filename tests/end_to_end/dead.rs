//! Dead letters: listed, explained, tried again or put away, each with its entry in the house log.

use std::net::TcpListener;

use serde_json::{Value, json};
use support::home::{free_ports, set};
use support::stub::{request, respond};
use support::{Client, Home, Pair, event, now_ms, sign, wait_for, wire};

const IQ: &str = "IQ/traffic-police";
const JO: &str = "JO/public-security";

/// Answers messages as a line does that alters them, until `done`.
fn refuse_forms(jo: &Home, listener: &TcpListener, mut done: impl FnMut() -> bool) {
    listener.set_nonblocking(true).unwrap();
    wait_for("the message to be given up", || {
        if done() {
            return Some(());
        }
        let mut tls = wire::accept_on(listener, jo.tls_identity())?;
        let (head, _) = request(&mut tls);
        let problem = json!({ "type": "about:blank", "title": "x", "status": 400, "code": "json_invalid" });
        let status = if head.starts_with("post /v1/messages ") { 400 } else { 404 };
        respond(&mut tls, status, &[], &problem.to_string());
        None
    });
}

fn submitted(back_end: &Client, event: &Value) -> String {
    let taken = back_end.submit(event);
    assert_eq!(taken.status, 202, "{}", String::from_utf8_lossy(&taken.body));
    event["id"].as_str().unwrap().to_owned()
}

fn house(home: &Home, kind: &str) -> Vec<Value> {
    home.log(&["--partner", "house"]).into_iter().filter(|entry| entry["kind"] == kind).collect()
}

#[test]
fn a_message_that_was_given_up_is_explained_sent_again_or_put_away() {
    let [port, _] = free_ports();
    let address = format!("127.0.0.1:{port}");
    let mut pair = Pair::set_up(Some(&address));
    set(&pair.iq, "refusals_until_dead", "2");
    set(&pair.iq, "backoff_first_ms", "20");
    set(&pair.iq, "probe_longest_ms", "100");
    let listener = TcpListener::bind(&address).unwrap();
    pair.iq.start();
    let police = pair.iq.back_end(IQ);
    let mut brief = event(IQ, JO);
    let expires = now_ms() + 9000;
    brief["expirytime"] = json!(silkgate_message::instant::Instant(expires).to_string());
    let [again, away, late] = [&event(IQ, JO), &event(IQ, JO), &brief].map(|event| submitted(&police, event));
    let dead = || pair.iq.json(&["dead", "list"]).as_array().unwrap().len();
    refuse_forms(&pair.jo, &listener, || dead() == 3);
    drop(listener);
    let told = police.deliveries("?max=10");
    assert_eq!(told.len(), 3);
    assert!(told.iter().all(|d| d["notice"] == "not_delivered_dead" && police.acknowledge(d).status == 200));
    let shown = pair.iq.json(&["dead", "show", &again]).as_array().unwrap().clone();
    assert_eq!((&shown[0]["code"], &shown[0]["to"]), (&json!("json_invalid"), &json!("JO")));
    assert!(shown[0]["why"].as_str().unwrap().contains("without a receipt"));
    assert_eq!(
        pair.iq.run(&["dead", "show", &told[0]["lease"].as_str().unwrap()[..8]]).status.code(),
        Some(2)
    );
    // Put away, beside the running gateway.
    pair.iq.ok(&["dead", "drop", &away]);
    assert_eq!(police.outcome(&away)["state"], "dropped");
    assert_eq!(
        pair.iq.run(&["dead", "retry", &away]).status.code(),
        Some(1),
        "it is no dead letter any more"
    );
    // Sent again once the line is mended.
    set(&pair.jo, "listen", &format!("\"{address}\""));
    pair.jo.partner_plane = address;
    pair.jo.start();
    pair.iq.ok(&["dead", "retry", &again]);
    let outcome = wait_for("the message to be taken", || {
        let outcome = police.outcome(&again);
        (outcome["state"] == "receipted").then_some(outcome)
    });
    assert_eq!(outcome["code"], Value::Null);
    // One that has expired is not.
    wait_for("the third to expire", || (now_ms() > expires).then_some(()));
    let refused = pair.iq.run(&["dead", "retry", &late]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && said.contains("it expired at"), "{said}");
    assert_eq!(dead(), 1);
    assert_eq!((house(&pair.iq, "dead").len(), house(&pair.iq, "dropped").len()), (3, 1));
    let acts = house(&pair.iq, "admin");
    assert_eq!(acts.iter().filter(|act| act["what"] == "retry" && act["id"] == again.as_str()).count(), 1);
    assert_eq!((pair.iq.audit(), pair.jo.audit()), (vec![], vec![]));
    // A state put back by hand is found.
    pair.iq.execute("UPDATE message SET state = 'dead' WHERE state = 'dropped'");
    assert!(!pair.iq.audit().is_empty());
}

#[test]
fn a_delivery_that_cannot_be_read_keeps_no_other_and_is_handed_over_once_it_can() {
    let mut pair = Pair::start();
    let (client, key) = (pair.iq.as_partner_of(&pair.jo), pair.iq.message_key());
    let [lost, whole] = [event(IQ, JO), event(IQ, JO)].map(|event| sign(&key, &event));
    assert_eq!(client.message(&lost.bytes).status, 200);
    pair.jo.execute("CREATE TABLE aside AS SELECT seq, wrapped FROM payload");
    let bytes = pair.jo.bytes(&"00".repeat(60));
    pair.jo.execute(&format!("UPDATE payload SET wrapped = {bytes}"));
    assert_eq!(client.message(&whole.bytes).status, 200);
    let back_end = pair.jo.back_end(JO);
    let got = wait_for("the whole one", || back_end.deliveries("?wait=2&max=10").pop());
    assert_eq!(got["id"], whole.id.as_str());
    let letters = pair.jo.json(&["dead", "list"]);
    assert_eq!(
        (&letters[0]["id"], &letters[0]["code"], &letters[0]["way"]),
        (&json!(lost.id), &json!("payload_unreadable"), &json!("to_back_end"))
    );
    assert_eq!(pair.jo.json(&["status"])["queues"]["dead"], json!([{ "to": JO, "count": 1 }]));
    // The key store's backup is put back.
    pair.jo.execute(
        "UPDATE payload SET wrapped = (SELECT wrapped FROM aside WHERE aside.seq = payload.seq)
         WHERE seq IN (SELECT seq FROM aside)",
    );
    pair.jo.execute("DROP TABLE aside");
    pair.jo.ok(&["dead", "retry", &lost.id]);
    let back = wait_for("the lost one", || back_end.deliveries("?wait=2").pop());
    assert_eq!(back["id"], lost.id.as_str());
    for delivery in [&got, &back] {
        assert_eq!(back_end.acknowledge(delivery).status, 200);
    }
    assert_eq!(pair.jo.json(&["dead", "list"]), json!([]));
    assert_eq!(house(&pair.jo, "delivered").len(), 2);
    assert_eq!(pair.jo.stop(), Some(0));
    assert_eq!(pair.jo.audit(), Vec::<Value>::new());
}
