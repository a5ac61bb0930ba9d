//! Messages of every outcome, and questions of every end: what the audit tells apart by more than one row.

use serde_json::{Value, json};
use silkgate_message::instant::Instant;
use support::{Client, Pair, answer, event, now_ms, question, sign, wait_for};

use super::exchanged::{IQ, JO, submit};

fn id(event: &Value) -> &str {
    event["id"].as_str().unwrap()
}

/// Refused by Jordan before their edition was known: the envelope cannot be read, or names none.
pub fn of_no_edition(pair: &Pair) {
    let (client, key) = (pair.iq.as_partner_of(&pair.jo), pair.iq.message_key());
    let unknown = "https://silkgate.example/schemas/alert.vehicle/9/schema.json";
    for (member, value, code) in
        [("surplus", json!(1), "event_invalid"), ("dataschema", json!(unknown), "schema_unknown")]
    {
        let mut event = event(IQ, JO);
        event[member] = value;
        assert_eq!(client.message(&sign(&key, &event).bytes).code(), code);
    }
}

/// Of one record at Jordan: a version that gets through, one that expired behind it and was never tried, one that was
/// returned for that. Iraq is down before.
pub fn versions(pair: &mut Pair) {
    let back_end = pair.jo.back_end(JO);
    let follow = |number: u64, before: &Value| {
        let mut next = event(JO, IQ);
        next["subject"] = before["event"]["subject"].clone();
        next["data"]["recordId"] = next["subject"].clone();
        next["data"]["recordVersion"] = json!(number);
        next["data"]["action"] = json!("update");
        next["data"]["supersedes"] =
            json!({ "messageId": before["event"]["id"], "digest": before["taken"]["digest"] });
        next
    };
    let take = |event: Value| {
        let taken = back_end.submit(&event);
        assert_eq!(taken.status, 202, "{}", taken.json());
        json!({ "event": event, "taken": taken.json() })
    };
    let first = take(event(JO, IQ));
    let mut brief = follow(2, &first);
    let expiry = now_ms() + 1000;
    brief["expirytime"] = json!(Instant(expiry).to_string());
    let brief = take(brief);
    let last = take(follow(3, &brief));
    wait_for("the second version to expire", || (now_ms() > expiry).then_some(()));
    pair.iq.start();
    for (version, state) in [(&first, "receipted"), (&brief, "expired"), (&last, "returned")] {
        assert_eq!(back_end.outcome(id(&version["event"]))["state"], state);
    }
}

/// What is handed out, until `count` deliveries were as they are looked for; those are given.
fn handed(back_end: &Client, count: usize, fits: impl Fn(&Value) -> bool) -> Vec<Value> {
    let mut found = Vec::new();
    wait_for("the deliveries", || {
        found.extend(back_end.deliveries("?max=20&wait=1").into_iter().filter(&fits));
        (found.len() == count).then_some(())
    });
    found
}

/// Questions of Jordan that nobody answered in time, one of them later; questions of Iraq, one of them answered. Of the
/// latter in each case question and answer are erased.
pub fn questions(pair: &Pair) {
    let back_end = pair.jo.back_end(JO);
    let (client, key) = (pair.iq.as_partner_of(&pair.jo), pair.iq.message_key());
    let is = |event: &Value| {
        let id = id(event).to_owned();
        move |delivery: &Value| delivery["id"] == id.as_str()
    };
    let erase = |events: [&Value; 2]| {
        for event in events {
            pair.jo.ok(&["erase", id(event), "--reason", "closed"]);
        }
    };

    let missed = [1000, 1200].map(|within_ms| question(JO, IQ, within_ms));
    missed.iter().for_each(|asked| assert_eq!(submit(&pair.jo, asked), "receipted"));
    let told = handed(&back_end, 2, |delivery| delivery["notice"] == "answer_missing");
    for told in told.iter().filter(|told| told["id"] == missed[0]["id"]) {
        assert_eq!(back_end.acknowledge(told).status, 200);
    }
    let late = answer(IQ, JO, id(&missed[0]), "none");
    let partial = answer(IQ, JO, id(&missed[1]), "partial");
    for late in [&late, &partial] {
        assert_eq!(client.message(&sign(&key, late).bytes).status, 200);
        let got = handed(&back_end, 1, is(late)).remove(0);
        assert_eq!(got["notice"], "answer_late");
        assert_eq!(back_end.acknowledge(&got).status, 200);
    }
    erase([&missed[0], &late]);

    let theirs = [1_800_000, 1_900_000].map(|within_ms| question(IQ, JO, within_ms));
    theirs.iter().for_each(|asked| assert_eq!(submit(&pair.iq, asked), "receipted"));
    let ours = answer(JO, IQ, id(&theirs[0]), "none");
    assert_eq!(submit(&pair.jo, &ours), "receipted");
    let got = handed(&back_end, 1, is(&theirs[0])).remove(0);
    assert_eq!(back_end.acknowledge(&got).status, 200);
    erase([&theirs[0], &ours]);
}
