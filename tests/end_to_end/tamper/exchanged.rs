//! A home with rows in every table that evidence rests on.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use silkgate_ledger::{AddCheckpoint, Checkpoint, Edge, Note, NoteSigner, leaf_hash, sign_checkpoint};
use silkgate_message::instant::Instant;
use silkgate_message::jws::Digest;
use support::home::{Home, set};
use support::tsa::{Kind, Tsa, TsaServer};
use support::{Pair, answer, event, now_ms, question, sign, wait_for, wire};

use super::outcomes;

pub const IQ: &str = "IQ/traffic-police";
pub const JO: &str = "JO/public-security";

/// Two states that show their logs at once.
pub fn quick() -> Pair {
    let mut pair = Pair::set_up_files(None);
    start_quick(&mut pair);
    pair
}

fn start_quick(pair: &mut Pair) {
    for home in [&pair.iq, &pair.jo] {
        set(home, "show_seconds", "0");
    }
    pair.iq.start();
    pair.jo.start();
}

/// Waits until the neighbour has cosigned everything there is.
pub fn all_cosigned(home: &Home) {
    wait_for("every entry to be cosigned", || {
        let status = home.json(&["status"]);
        status["witness"].as_array().unwrap().iter().all(|w| w["size"] == w["of"]).then_some(())
    });
}

/// Stops the gateway; its database is then one file.
pub fn stop(home: &mut Home) {
    assert_eq!(home.stop(), Some(0));
    wait_for("the write-ahead log to be folded in", || {
        std::fs::metadata(home.path.join("silkgate.db-wal")).map_or(true, |m| m.len() == 0).then_some(())
    });
}

pub fn database(home: &Home) -> PathBuf {
    home.path.join("silkgate.db")
}

/// Puts a database in place.
pub fn put(path: &Path, bytes: &[u8]) {
    for ending in ["db-wal", "db-shm"] {
        let _ = std::fs::remove_file(path.with_extension(ending));
    }
    std::fs::write(path, bytes).unwrap();
}

/// Submits, and waits for the outcome.
pub fn submit(home: &Home, event: &Value) -> String {
    let back_end = home.back_end(event["source"].as_str().unwrap());
    assert_eq!(back_end.submit(event).status, 202);
    back_end.outcome(event["id"].as_str().unwrap())["state"].as_str().unwrap().to_owned()
}

/// Messages both ways, handed over, refused, asked and answered.
pub fn exchange(pair: &Pair) {
    let client = pair.iq.as_partner_of(&pair.jo);
    let key = pair.iq.message_key();
    for number in 0..7 {
        let mut event = event(IQ, JO);
        if number % 3 == 2 {
            event["data"]["colour"] = json!("plaid");
        }
        client.message(&sign(&key, &event).bytes);
    }
    let back_end = pair.jo.back_end(JO);
    for delivery in back_end.deliveries("?max=3") {
        assert_eq!(back_end.acknowledge(&delivery).status, 200);
    }
    for _ in 0..2 {
        let asked = question(JO, IQ, 1_800_000);
        assert_eq!(submit(&pair.jo, &asked), "receipted");
        let answer = answer(IQ, JO, asked["id"].as_str().unwrap(), "none");
        assert_eq!(client.message(&sign(&key, &answer).bytes).status, 200);
    }
    assert_eq!(submit(&pair.jo, &question(JO, IQ, 1_800_000)), "receipted", "and one stays open");
    for _ in 0..3 {
        assert_eq!(submit(&pair.jo, &event(JO, IQ)), "receipted");
    }
}

/// Both gateways exchanged messages of every outcome, cosigned each other and had their logs time-stamped; some messages
/// were erased; Iraq showed a fork; both stopped.
pub fn exchanged() -> Pair {
    let mut pair = Pair::set_up_files(None);
    let tsa = Tsa::create(pair.folder.path(), "tsa", Kind::P256);
    tsa.configure(&pair.jo, &TsaServer::start(tsa.clone()).url, "every_seconds = 1");
    pair.jo.ok(&["client", "add", "auditor", "amal"]);
    let list = pair.iq.path.join("certs/tls.crl").to_string_lossy().into_owned();
    for _ in 0..2 {
        pair.iq.ok(&["key", "crl"]);
        pair.jo.ok(&["partner", "crl", "IQ", &list]);
    }
    start_quick(&mut pair);
    exchange(&pair);
    erase_one(&pair);
    read_some(&pair);
    // Refused by Iraq, with a receipt: Jordan may send more than Iraq takes.
    pair.jo.ok(&["partner", "allow", "IQ", "--purpose", "customs-control"]);
    let mut refused = event(JO, IQ);
    refused["purpose"] = json!("customs-control");
    let back_end = pair.jo.back_end(JO);
    wait_for("the agreement to be read again", || (back_end.submit(&refused).status == 202).then_some(()));
    assert_eq!(back_end.outcome(refused["id"].as_str().unwrap())["state"], "rejected");
    outcomes::of_no_edition(&pair);
    outcomes::questions(&pair);
    assert_eq!(pair.iq.stop(), Some(0));
    outcomes::versions(&mut pair);
    all_cosigned(&pair.jo);
    all_cosigned(&pair.iq);
    assert_eq!(pair.iq.stop(), Some(0));
    let mut brief = event(JO, IQ);
    brief["expirytime"] = json!(Instant(now_ms() + 1500).to_string());
    assert_eq!(submit(&pair.jo, &brief), "unknown", "it was tried");
    show_fork(&pair);
    assert_eq!(pair.jo.back_end(JO).submit(&event(JO, IQ)).status, 202, "stays in the outbox");
    wait_for("a time-stamp over each log", || {
        let logs = pair.jo.json(&["status"])["logs"].as_array().unwrap().clone();
        logs.iter().all(|log| log["timestamp"]["size"] == log["size"]).then_some(())
    });
    stop(&mut pair.jo);
    pair
}

/// An auditor looks into both logs and into two messages.
fn read_some(pair: &Pair) {
    let amal = pair.jo.national("auditor-amal");
    let received = pair.jo.log(&["--partner", "IQ", "--type", "alert.vehicle"]);
    let ids = received
        .iter()
        .filter(|entry| entry["kind"] == "received")
        .map(|entry| entry["id"].as_str().unwrap());
    for (id, reason) in ids.zip(["complaint-17", "complaint-18"]) {
        assert_eq!(amal.get(&format!("/v1/audit/messages/{id}/content?reason={reason}")).status, 200);
    }
    for log in ["IQ", "house"] {
        assert_eq!(amal.get(&format!("/v1/audit/entries?log={log}")).status, 200);
    }
}

/// The last alert that Iraq sent, with all that was not handed over before.
fn erase_one(pair: &Pair) {
    let back_end = pair.jo.back_end(JO);
    for delivery in back_end.deliveries("?max=20") {
        assert_eq!(back_end.acknowledge(&delivery).status, 200);
    }
    let received = pair.jo.log(&["--partner", "IQ", "--type", "alert.vehicle"]);
    let mut received = received.iter().filter(|entry| entry["kind"] == "received");
    let erased = received.next_back().unwrap()["id"].as_str().unwrap().to_owned();
    pair.jo.ok(&["erase", &erased, "--reason", "to be forgotten"]);
    let client = pair.iq.as_partner_of(&pair.jo);
    client.message(&sign(&pair.iq.message_key(), &event(IQ, JO)).bytes);
}

/// Another history under Iraq's own key, as long as what Jordan has cosigned.
pub fn show_fork(pair: &Pair) {
    let client = pair.iq.as_partner_of(&pair.jo);
    let origin = format!("{}/IQ/JO", pair.iq.host);
    let name: String = Digest::of(origin.as_bytes()).0.iter().map(|byte| format!("{byte:02x}")).collect();
    let held = client.get(&format!("/v1/witness/{name}/checkpoint"));
    let old = Checkpoint::parse(Note::parse(&held.body).unwrap().text()).unwrap().size;
    let mut edge = Edge::empty();
    for number in 0..old {
        edge.append(leaf_hash(&number.to_be_bytes()));
    }
    let key = wire::private_key(&pair.iq.path.join("keys/log.key"));
    let signer = NoteSigner::from_pkcs8(&origin, key.secret_der()).unwrap();
    let fork = Checkpoint { origin: origin.parse().unwrap(), size: old, root: edge.root() };
    let note = sign_checkpoint(&fork, &signer).unwrap();
    let request = AddCheckpoint { old, proof: Vec::new(), note };
    let answer = client.post("/v1/witness/add-checkpoint", "text/plain", &request.encode());
    assert_eq!((answer.status, answer.code().as_str()), (422, "log_inconsistent"));
}
