//! Two states exchange messages: what is accepted, refused, recognised, shown and verified.

use std::io::{Read as _, Write as _};

use serde_json::{Value, json};
use support::peer::sign_at;
use support::{Pair, event, now_ms, sign, uuid_v7, wait_for};

/// A submission: an event without what the gateway fills in.
fn submission(pair: &Pair, record: &str) -> Value {
    let mut event = event(&pair.iq.party, &pair.jo.party);
    for filled_in in ["id", "time", "expirytime", "salt", "source", "subject", "specversion", "dataschema"] {
        event.as_object_mut().unwrap().remove(filled_in);
    }
    event["data"]["recordId"] = json!(record);
    event
}

#[test]
fn a_first_message_in_five_commands_and_its_receipt_offline() {
    let pair = Pair::start();
    let file = pair.folder.path().join("alert.json");
    std::fs::write(&file, submission(&pair, "IQ-1").to_string()).unwrap();
    let (file, folder) =
        (file.to_string_lossy().into_owned(), pair.folder.path().to_string_lossy().into_owned());
    let said = pair.iq.json(&["submit", &file, "--to", "JO/public-security", "--save", &folder]);
    assert_eq!(said["state"], "receipted", "{said}");
    let id = said["id"].as_str().unwrap();
    let (iq, jo) = (format!("{folder}/iq.card"), format!("{folder}/jo.card"));
    let (receipt, message) = (format!("{folder}/{id}.receipt"), format!("{folder}/{id}.jws"));
    let verify = |receipt: &str, card: &str, message: &str| {
        let output =
            pair.iq.run(&["verify", receipt, "--card", card, "--card", &iq, "--message", message, "--json"]);
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, said) = verify(&receipt, &jo, &message);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("\"check\":\"signature\""), "the sender's card verifies the signature too: {said}");
    // Each of the three parts, exchanged for another, proves nothing.
    assert_eq!(verify(&receipt, &iq, &message).0, Some(1), "another state's card");
    let text = std::fs::read_to_string(&receipt).unwrap();
    std::fs::write(&receipt, text.replace("index 3", "index 2")).unwrap();
    assert_eq!(verify(&receipt, &jo, &message).0, Some(1), "another index");
    std::fs::write(&receipt, &text).unwrap();
    let other = sign(&pair.iq.message_key(), &event("IQ/traffic-police", "JO/public-security"));
    std::fs::write(&message, &other.bytes).unwrap();
    assert_eq!(verify(&receipt, &jo, &message).0, Some(1), "another message");
    assert!(pair.iq.audit().is_empty() && pair.jo.audit().is_empty());
}

#[test]
fn the_same_message_twice_is_accepted_once_with_the_same_receipt() {
    // Without a witness: nothing is added to a receipt.
    let mut pair = Pair::set_up(None);
    pair.jo.start();
    let client = pair.iq.as_partner_of(&pair.jo);
    let key = pair.iq.message_key();
    let message = sign(&key, &event("IQ/traffic-police", "JO/public-security"));
    let first = client.message(&message.bytes);
    let again = client.message(&message.bytes);
    assert_eq!((first.status, again.status), (200, 200));
    assert_eq!(first.body, again.body, "the receipt is made again byte for byte");
    assert_eq!((first.header("silkgate-replay"), again.header("silkgate-replay")), (None, Some("true")));
    assert_eq!(pair.jo.back_end("JO/public-security").deliveries("?max=10").len(), 1);

    // The same id with other content: refused, logged and receipted.
    let mut other = event("IQ/traffic-police", "JO/public-security");
    other["id"] = json!(message.id);
    let conflict = client.message(&sign(&key, &other).bytes);
    assert_eq!((conflict.status, conflict.code().as_str()), (409, "id_conflict"));
    assert!(conflict.json()["receipt"].as_str().unwrap().starts_with("c2sp.org/tlog-proof@v1"));
    assert_eq!(client.message(&message.bytes).body, first.body, "the first answer still holds");
    let logged = pair.jo.log(&["--partner", "IQ", "--verdict", "rejected"]);
    assert_eq!(logged.len(), 1);
    assert_eq!(logged[0]["code"], "id_conflict");
    assert!(pair.jo.audit().is_empty());
}

#[test]
fn a_rejection_holds_all_violations_and_is_receipted_and_repeated() {
    // Without a witness: nothing is added to a receipt.
    let mut pair = Pair::set_up(None);
    pair.jo.start();
    let client = pair.iq.as_partner_of(&pair.jo);
    let mut wrong = event("IQ/traffic-police", "JO/public-security");
    wrong["data"]["eventDate"] = json!("2199-01-01");
    wrong["data"]["colour"] = json!("ultraviolet");
    wrong["data"]["plate"]["matchKey"] = json!("X");
    let message = sign(&pair.iq.message_key(), &wrong);
    let first = client.message(&message.bytes);
    assert_eq!((first.status, first.code().as_str()), (422, "schema_invalid"));
    let problem = first.json();
    let places: Vec<&str> =
        problem["violations"].as_array().unwrap().iter().map(|v| v["pointer"].as_str().unwrap()).collect();
    assert_eq!(places, ["/data/colour", "/data/eventDate", "/data/plate/matchKey"]);
    let again = client.message(&message.bytes);
    assert_eq!(first.body, again.body, "the same answer with the same receipt");
    let logged = pair.jo.log(&["--partner", "IQ", "--verdict", "rejected"]);
    assert_eq!(logged.len(), 1);
    assert!(
        !pair.jo.path.join("silkgate.db").exists() || !contains(&pair.jo.path, b"ultraviolet"),
        "no body of a refusal is kept"
    );
    assert!(pair.jo.audit().is_empty());
}

/// Whether a file of the folder holds the bytes.
fn contains(folder: &std::path::Path, bytes: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().filter_map(Result::ok).any(|entry| {
        std::fs::read(entry.path()).is_ok_and(|file| file.windows(bytes.len()).any(|window| window == bytes))
    })
}

#[test]
fn lifecycle_is_decided_in_order_and_a_missing_predecessor_is_no_verdict() {
    let pair = Pair::start();
    let client = pair.iq.as_partner_of(&pair.jo);
    let key = pair.iq.message_key();
    let first = event("IQ/traffic-police", "JO/public-security");
    let version = |number: u64, action: &str, supersedes: Option<(&str, &str)>| {
        let mut next = event("IQ/traffic-police", "JO/public-security");
        next["subject"] = first["subject"].clone();
        next["data"]["recordId"] = first["subject"].clone();
        next["data"]["action"] = json!(action);
        next["data"]["recordVersion"] = json!(number);
        if let Some((id, digest)) = supersedes {
            next["data"]["supersedes"] = json!({ "messageId": id, "digest": digest });
        }
        sign(&key, &next)
    };
    let one = sign(&key, &first);
    let two = version(2, "update", Some((&one.id, &one.digest)));
    let early = client.message(&two.bytes);
    assert_eq!((early.status, early.code().as_str()), (409, "predecessor_missing"));
    assert!(early.header("retry-after").is_some() && early.json()["receipt"].is_null());
    assert!(pair.jo.log(&["--partner", "IQ", "--type", "alert.vehicle"]).is_empty(), "no verdict, no entry");
    assert_eq!(client.message(&one.bytes).status, 200);
    assert_eq!(client.message(&two.bytes).status, 200, "the same bytes pass once the predecessor is there");
    let refused = |message: &support::Message| {
        let answer = client.message(&message.bytes);
        assert_eq!(answer.status, 422);
        answer.code()
    };
    assert_eq!(refused(&version(1, "new", None)), "record_exists");
    assert_eq!(refused(&version(2, "update", Some((&two.id, &two.digest)))), "version_not_greater");
    assert_eq!(refused(&version(3, "update", Some((&one.id, &one.digest)))), "supersedes_mismatch");
    assert_eq!(refused(&version(3, "update", Some((&two.id, &one.digest)))), "supersedes_mismatch");
    let mut cancel = event("IQ/traffic-police", "JO/public-security");
    cancel["subject"] = first["subject"].clone();
    cancel["data"] = json!({ "action": "cancel", "recordId": first["subject"], "recordVersion": 3, "reason": "found",
                             "supersedes": { "messageId": two.id, "digest": two.digest } });
    let cancel = sign(&key, &cancel);
    assert_eq!(client.message(&cancel.bytes).status, 200);
    assert_eq!(refused(&version(4, "update", Some((&cancel.id, &cancel.digest)))), "record_cancelled");
}

#[test]
fn a_suspended_partner_is_cut_off_at_once_also_on_an_open_connection() {
    let pair = Pair::start();
    let client = pair.iq.as_partner_of(&pair.jo);
    let key = pair.iq.message_key();
    let mut line = client.connect().unwrap();
    let mut exchange = |bytes: &[u8]| {
        let head = format!(
            "POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Type: application/jose+json\r\nContent-Length: {}\r\n\r\n",
            bytes.len()
        );
        line.write_all(head.as_bytes()).unwrap();
        line.write_all(bytes).unwrap();
        line.flush().unwrap();
        let mut buffer = vec![0; 8192];
        let read = line.read(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..read]).lines().next().unwrap_or_default().to_owned()
    };
    let message = || sign(&key, &event("IQ/traffic-police", "JO/public-security")).bytes;
    assert!(exchange(&message()).contains("200"));
    pair.jo.ok(&["partner", "suspend", "IQ"]);
    // Decided in the transaction of the message, so even before the running gateway has read the change.
    assert!(exchange(&message()).contains("403"));
    assert_eq!(pair.iq.as_partner_of(&pair.jo).message(&message()).code(), "partner_suspended");
    pair.jo.ok(&["partner", "allow", "IQ", "--resume"]);
    wait_for("the partner to be active again", || (client.message(&message()).status == 200).then_some(()));
    assert!(pair.jo.audit().is_empty());
}

#[test]
fn a_removed_partner_is_nobody() {
    let pair = Pair::start();
    let client = pair.iq.as_partner_of(&pair.jo);
    pair.jo.ok(&["partner", "remove", "IQ"]);
    let message = sign(&pair.iq.message_key(), &event("IQ/traffic-police", "JO/public-security"));
    wait_for("the partner to be gone", || {
        (client.message(&message.bytes).code() == "peer_unknown").then_some(())
    });
    assert!(!pair.jo.log(&["--partner", "house"]).is_empty());
}

#[test]
fn log_show_and_status_work_with_the_gateway_stopped() {
    let mut pair = Pair::start();
    let back_end = pair.iq.back_end("IQ/traffic-police");
    let id = back_end.submit(&submission(&pair, "IQ-LOG")).json()["id"].as_str().unwrap().to_owned();
    assert_eq!(back_end.outcome(&id)["state"], "receipted");
    assert_eq!(pair.iq.stop(), Some(0), "a gateway told to stop ends well");
    let shown = pair.iq.json(&["show", &id]);
    assert_eq!(shown["state"], "receipted");
    assert_eq!(shown["event"]["data"]["recordId"], "IQ-LOG");
    assert_eq!(shown["attempts"][0]["outcome"], "accepted");
    assert_eq!(shown["checks"].as_array().unwrap().len(), 7);
    let kinds = |args: &[&str]| -> Vec<String> {
        pair.iq.log(args).iter().map(|entry| entry["kind"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(kinds(&["--record", "IQ-LOG"]), ["sent", "receipted"]);
    assert_eq!(kinds(&["--type", "alert.vehicle", "--verdict", "accepted"]), ["receipted"]);
    assert_eq!(kinds(&["--partner", "JO", "--since", "2199-01-01T00:00:00Z"]), Vec::<String>::new());
    let status = pair.iq.json(&["status"]);
    assert_eq!(status["running"], false);
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    let certificates = status["certificates"].as_array().unwrap();
    let days =
        |name: &str| certificates.iter().find(|c| c["name"] == name).unwrap()["days_left"].as_i64().unwrap();
    assert!((396..=398).contains(&days("tls")) && (728..=730).contains(&days("message")), "{certificates:?}");
    assert_eq!(status["partner_plane"]["listen"], pair.iq.partner_plane.as_str());
    assert_eq!(status["national_plane"]["listen"], pair.iq.national_plane.as_str());
    assert_eq!(pair.iq.run(&["show", &uuid_v7(now_ms())]).status.code(), Some(1), "no such message");
}

#[test]
fn a_recipient_without_back_end_is_refused_naming_the_known_ones() {
    let pair = Pair::start();
    let answer = pair
        .iq
        .as_partner_of(&pair.jo)
        .message(&sign(&pair.iq.message_key(), &event("IQ/traffic-police", "JO/veterinary-office")).bytes);
    assert_eq!((answer.status, answer.code().as_str()), (422, "recipient_unknown"));
    assert!(answer.json()["detail"].as_str().unwrap().contains("JO/public-security"));
    let mut event = submission(&pair, "IQ-2");
    event["recipient"] = json!("JO/veterinary-office");
    let refused = pair.iq.back_end("IQ/traffic-police").submit(&event);
    assert_eq!(refused.code(), "recipient_unknown");
    event["recipient"] = json!("SA/border-guard");
    let refused = pair.iq.back_end("IQ/traffic-police").submit(&event);
    assert_eq!(refused.code(), "partner_unknown");
    assert!(refused.json()["detail"].as_str().unwrap().contains("JO"));
}

#[test]
fn a_back_end_acts_only_as_its_own_authority() {
    let pair = Pair::start();
    pair.iq.ok(&["backend", "add", "IQ/general-customs-authority"]);
    let customs = wait_for("the new back end to be known", || {
        let customs = pair.iq.back_end("IQ/general-customs-authority");
        (customs.get("/v1/deliveries").status == 200).then_some(customs)
    });
    let mut event = submission(&pair, "IQ-3");
    event["source"] = json!("IQ/traffic-police");
    let refused = customs.submit(&event);
    assert_eq!((refused.status, refused.code().as_str()), (403, "source_not_yours"));
    let house = pair.iq.log(&["--partner", "house"]);
    let logged = house.iter().find(|entry| entry["code"] == "source_not_yours");
    let logged = logged.expect("a refused submission is logged");
    assert_eq!(
        (&logged["kind"], &logged["from"]),
        (&json!("refused"), &json!("IQ/general-customs-authority"))
    );
    let police = pair.iq.back_end("IQ/traffic-police");
    let id = police.submit(&submission(&pair, "IQ-4")).json()["id"].as_str().unwrap().to_owned();
    assert_eq!(police.outcome(&id)["state"], "receipted");
    assert_eq!(
        customs.get(&format!("/v1/submissions/{id}")).status,
        404,
        "another's message is as if not there"
    );
    assert_eq!(customs.get(&format!("/v1/submissions/{id}/message")).status, 404);
    let operator = support::wire::identity(
        &pair.iq.path.join("clients/operator.pem"),
        &pair.iq.path.join("clients/operator.key"),
    );
    let anchor = pair.iq.path.join("certs/national-ca.pem");
    let operator = support::Client::new(&anchor, Some(operator), &pair.iq.host, &pair.iq.national_plane);
    assert_eq!(operator.submit(&submission(&pair, "IQ-5")).code(), "role_forbidden");
    assert!(
        pair.iq.run(&["backend", "add", "JO/customs"]).status.code() == Some(2),
        "another state's authority"
    );
}

#[test]
fn a_dry_run_says_everything_and_sends_nothing() {
    let pair = Pair::start();
    let police = pair.iq.back_end("IQ/traffic-police");
    let check = |event: &Value| {
        police.post("/v1/check", "application/cloudevents+json", event.to_string().as_bytes())
    };
    let mut event = submission(&pair, "IQ-6");
    assert_eq!(check(&event).json()["valid"], true);
    event["data"]["colour"] = json!("plaid");
    event["data"].as_object_mut().unwrap().remove("category");
    let refused = check(&event);
    assert_eq!((refused.status, refused.code().as_str()), (422, "schema_invalid"));
    assert_eq!(refused.json()["violations"].as_array().unwrap().len(), 2);
    assert!(pair.iq.log(&["--type", "alert.vehicle"]).is_empty());
}

#[test]
fn a_repeated_submission_is_one_message() {
    let pair = Pair::start();
    let police = pair.iq.back_end("IQ/traffic-police");
    let mut event = submission(&pair, "IQ-7");
    event["id"] = json!(uuid_v7(now_ms()));
    let (first, again) = (police.submit(&event), police.submit(&event));
    assert_eq!((first.status, again.status), (202, 202));
    assert_eq!(first.json()["digest"], again.json()["digest"]);
    event["data"]["colour"] = json!("green");
    let conflict = police.submit(&event);
    assert_eq!((conflict.status, conflict.code().as_str()), (409, "id_conflict"));
    let id = event["id"].as_str().unwrap();
    assert_eq!(police.outcome(id)["state"], "receipted");
    assert_eq!(pair.jo.log(&["--type", "alert.vehicle"]).len(), 1);
}

#[test]
fn an_expired_message_is_not_accepted_and_an_old_replay_still_is_answered() {
    // Without a witness: nothing is added to a receipt.
    let mut pair = Pair::set_up(None);
    pair.jo.start();
    let client = pair.iq.as_partner_of(&pair.jo);
    let key = pair.iq.message_key();
    let mut brief = event("IQ/traffic-police", "JO/public-security");
    brief["expirytime"] = json!(silkgate_message::instant::Instant(now_ms() + 1500).to_string());
    let brief = sign(&key, &brief);
    let first = client.message(&brief.bytes);
    assert_eq!(first.status, 200);
    let late = |bytes: &[u8]| client.message(bytes);
    let mut other = event("IQ/traffic-police", "JO/public-security");
    other["expirytime"] = json!(silkgate_message::instant::Instant(now_ms() - 1000).to_string());
    let answer = late(&sign_at(&key, &other, now_ms() - 2000).bytes);
    assert_eq!((answer.status, answer.code().as_str()), (422, "expired"));
    wait_for("the first message to expire", || (now_ms() > 1600 + expiry(&brief.bytes) - 1500).then_some(()));
    assert_eq!(late(&brief.bytes).body, first.body, "expired since, answered as at first");
}

fn expiry(message: &[u8]) -> i64 {
    let jws = silkgate_message::jws::Jws::parse(message).unwrap();
    silkgate_message::instant::Instant::parse(jws.event["expirytime"].as_str().unwrap()).unwrap().0
}

#[test]
fn an_operator_cuts_off_a_flooding_partner() {
    let pair = Pair::start();
    let client = pair.iq.as_partner_of(&pair.jo);
    let keys: Vec<_> = (0..6).map(|_| pair.iq.message_key()).collect();
    let accepted = std::sync::atomic::AtomicUsize::new(0);
    let cut_off = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for key in &keys {
            scope.spawn(|| {
                loop {
                    let message = sign(key, &event("IQ/traffic-police", "JO/public-security"));
                    let answer = client.message(&message.bytes);
                    if answer.status != 200 {
                        assert_eq!(answer.code(), "partner_suspended");
                        cut_off.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        break;
                    }
                    accepted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                }
            });
        }
        wait_for("the flood", || (accepted.load(std::sync::atomic::Ordering::SeqCst) > 50).then_some(()));
        pair.jo.ok(&["partner", "suspend", "IQ"]);
    });
    assert_eq!(cut_off.into_inner(), keys.len(), "every sender was cut off");
    assert!(pair.jo.audit().is_empty());
}
