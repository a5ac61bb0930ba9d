//! Messages that rest on others: questions and answers, hits on alerts, movements in their order.

use serde_json::{Value, json};
use support::{Client, Pair, answer, event, example, now_ms, question, sign, wait_for};

const IQ: &str = "IQ/traffic-police";
const JO: &str = "JO/public-security";

fn instant(ms: i64) -> Value {
    json!(silkgate_message::instant::Instant(ms).to_string())
}

fn id(event: &Value) -> &str {
    event["id"].as_str().unwrap()
}

fn submitted(back_end: &Client, event: &Value) -> Value {
    let taken = back_end.submit(event);
    assert_eq!(taken.status, 202, "{}", taken.json());
    let settled = back_end.outcome(id(event));
    assert_eq!(settled["state"], "receipted", "{settled}");
    settled
}

fn refused(back_end: &Client, event: &Value) -> String {
    let answer = back_end.submit(event);
    assert!((400..500).contains(&answer.status), "{}", answer.status);
    answer.code()
}

/// Fetches and acknowledges what waits.
fn taken_over(back_end: &Client) -> Vec<Value> {
    let deliveries = back_end.deliveries("?max=100&wait=10");
    deliveries.iter().for_each(|delivery| assert_eq!(back_end.acknowledge(delivery).status, 200));
    deliveries
}

#[test]
fn a_question_gets_one_final_answer_from_who_was_asked() {
    let pair = Pair::start();
    let (iq, jo) = (pair.iq.back_end(IQ), pair.jo.back_end(JO));
    let asked = question(JO, IQ, 1_800_000);
    submitted(&jo, &asked);
    let got = taken_over(&iq);
    assert_eq!(got[0]["event"]["data"]["questions"][0]["about"], "vehicle");
    let correlation = id(&got[0]["event"]).to_owned();
    assert_eq!(jo.get(&format!("/v1/submissions/{correlation}")).json()["question"]["state"], "open");
    // Our own gateway refuses what the partner would.
    assert_eq!(refused(&iq, &answer(IQ, JO, id(&event(IQ, JO)), "none")), "reference_unknown");
    let mut drill = answer(IQ, JO, &correlation, "none");
    drill["status"] = json!("exercise");
    pair.iq.allow("JO", &["--status", "exercise"]);
    pair.jo.allow("IQ", &["--status", "exercise"]);
    assert_eq!(refused(&iq, &drill), "reference_mismatch", "a drill answers no real question");
    submitted(&iq, &answer(IQ, JO, &correlation, "partial"));
    let last = answer(IQ, JO, &correlation, "none");
    submitted(&iq, &last);
    assert_eq!(refused(&iq, &answer(IQ, JO, &correlation, "refused")), "question_answered");
    let status = jo.get(&format!("/v1/submissions/{correlation}")).json();
    assert_eq!(
        (&status["question"]["state"], &status["question"]["answer"]),
        (&json!("answered"), &last["id"])
    );
    let got = taken_over(&jo);
    let outcomes: Vec<&Value> = got.iter().map(|delivery| &delivery["event"]["data"]["outcome"]).collect();
    assert_eq!(outcomes, ["partial", "none"]);
    // Once it is erased nothing tells which question a partial answer belonged to.
    pair.jo.ok(&["erase", got[0]["id"].as_str().unwrap(), "--reason", "closed"]);
    // A partner that lies past its own gateway.
    let (client, key) = (pair.iq.as_partner_of(&pair.jo), pair.iq.message_key());
    let lie = |event: &Value| client.message(&sign(&key, event).bytes).code();
    assert_eq!(lie(&answer(IQ, JO, &correlation, "none")), "question_answered");
    assert_eq!(lie(&answer("IQ/customs", JO, &correlation, "none")), "reference_mismatch");
    assert_eq!(lie(&answer(IQ, JO, id(&last), "none")), "reference_unknown");
    assert_eq!(lie(&drill), "reference_mismatch");
    let withdrawn = question(JO, IQ, 1_800_000);
    let stands = submitted(&jo, &withdrawn);
    let mut cancel = question(JO, IQ, 1_800_000);
    cancel["subject"] = withdrawn["subject"].clone();
    cancel["data"] = json!({ "action": "cancel", "recordId": withdrawn["subject"], "recordVersion": 2, "reason": "found",
        "supersedes": { "messageId": withdrawn["id"], "digest": stands["digest"] } });
    submitted(&jo, &cancel);
    assert_eq!(lie(&answer(IQ, JO, id(&withdrawn), "none")), "reference_ended");
    pair.jo.ok(&["erase", id(&cancel), "--reason", "closed"]);
    assert!(pair.iq.audit().is_empty() && pair.jo.audit().is_empty());
}

#[test]
fn a_missing_answer_is_reported_to_the_asker_and_a_late_one_is_marked() {
    let mut pair = Pair::start();
    let asked = question(JO, IQ, 1_500);
    {
        let jo = pair.jo.back_end(JO);
        submitted(&jo, &asked);
    }
    // A gateway that was down at the deadline reports it all the same.
    pair.jo.kill();
    wait_for("the deadline", || {
        let deadline = silkgate_message::instant::Instant::parse(asked["data"]["deadline"].as_str().unwrap());
        (now_ms() > deadline.unwrap().0).then_some(())
    });
    pair.jo.start();
    let (iq, jo) = (pair.iq.back_end(IQ), pair.jo.back_end(JO));
    let told = wait_for("the notice", || jo.deliveries("?wait=5").pop());
    assert_eq!((&told["notice"], &told["id"]), (&json!("answer_missing"), &asked["id"]));
    assert_eq!(told["event"]["data"]["caseReference"], asked["data"]["caseReference"], "the question itself");
    assert!(pair.jo.audit().is_empty(), "told, not yet taken over");
    assert_eq!(jo.acknowledge(&told).status, 200);
    let status = jo.get(&format!("/v1/submissions/{}", id(&asked))).json();
    assert_eq!(status["question"]["state"], "missed");
    submitted(&iq, &answer(IQ, JO, id(&asked), "none"));
    let late = taken_over(&jo);
    assert_eq!(
        (&late[0]["notice"], &late[0]["event"]["type"]),
        (&json!("answer_late"), &json!("query.response"))
    );
    let status = jo.get(&format!("/v1/submissions/{}", id(&asked))).json();
    assert_eq!(status["question"]["state"], "answered");
    assert!(pair.iq.audit().is_empty() && pair.jo.audit().is_empty());
    // Erased, question and answer leave rows that still agree with the logs.
    for id in [&asked["id"], &late[0]["id"]] {
        pair.jo.ok(&["erase", id.as_str().unwrap(), "--reason", "closed"]);
    }
    assert!(pair.jo.audit().is_empty());
}

/// An answer that the asker's gateway refuses answers nothing: another may follow.
#[test]
fn a_refused_answer_leaves_the_question_open() {
    let pair = Pair::start();
    let (iq, jo) = (pair.iq.back_end(IQ), pair.jo.back_end(JO));
    let asked = question(JO, IQ, 1_800_000);
    submitted(&jo, &asked);
    // Iraq's agreement lets it use a purpose that Jordan's does not take.
    pair.iq.ok(&["partner", "allow", "JO", "--purpose", "customs-control"]);
    let mut first = answer(IQ, JO, id(&asked), "none");
    first["purpose"] = json!("customs-control");
    wait_for("the agreement to be read again", || (iq.submit(&first).status == 202).then_some(()));
    let settled = iq.outcome(id(&first));
    assert_eq!((&settled["state"], &settled["code"]), (&json!("rejected"), &json!("agreement_purpose")));
    submitted(&iq, &answer(IQ, JO, id(&asked), "refused"));
    assert_eq!(refused(&iq, &answer(IQ, JO, id(&asked), "none")), "question_answered");
    assert!(pair.iq.audit().is_empty() && pair.jo.audit().is_empty());
}

fn hit(alert: &Value, digest: &Value) -> Value {
    let mut hit = example("hit.notice", 1, JO, IQ);
    let time = hit["time"].clone();
    let data = &mut hit["data"];
    data["alert"] = json!({ "messageId": alert["id"], "digest": digest, "recordId": alert["subject"], "type": alert["type"] });
    data["matchedAt"] = time;
    hit
}

#[test]
fn a_hit_goes_to_the_owner_of_a_live_alert() {
    let pair = Pair::start();
    let (iq, jo) = (pair.iq.back_end(IQ), pair.jo.back_end(JO));
    let alert = event(IQ, JO);
    let digest = submitted(&iq, &alert)["digest"].clone();
    submitted(&jo, &hit(&alert, &digest));
    let got = taken_over(&iq);
    assert_eq!(got[0]["event"]["data"]["alert"]["recordId"], alert["subject"]);
    let (client, key) = (pair.jo.as_partner_of(&pair.iq), pair.jo.message_key());
    let lie = |event: &Value| client.message(&sign(&key, event).bytes).code();
    let unknown = hit(&event(IQ, JO), &digest);
    assert_eq!(
        (refused(&jo, &unknown), lie(&unknown)),
        ("reference_unknown".into(), "reference_unknown".into())
    );
    let forged = hit(&alert, &json!("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"));
    assert_eq!(
        (refused(&jo, &forged), lie(&forged)),
        ("reference_mismatch".into(), "reference_mismatch".into())
    );
    let mut other = hit(&alert, &digest);
    other["data"]["alert"]["recordId"] = json!("R-other");
    assert_eq!(lie(&other), "reference_mismatch");
    let before_cancel = hit(&alert, &digest);
    let mut cancel = event(IQ, JO);
    cancel["subject"] = alert["subject"].clone();
    cancel["data"] = json!({ "action": "cancel", "recordId": alert["subject"], "recordVersion": 2, "reason": "found",
        "supersedes": { "messageId": alert["id"], "digest": digest } });
    submitted(&iq, &cancel);
    let after = hit(&alert, &digest);
    assert_eq!((refused(&jo, &after), lie(&after)), ("reference_ended".into(), "reference_ended".into()));
    submitted(&jo, &before_cancel);
    assert!(pair.iq.audit().is_empty() && pair.jo.audit().is_empty());
}

#[test]
fn a_movement_goes_forward_only_and_waits_for_its_departure() {
    let pair = Pair::start();
    let (client, key) = (pair.jo.as_partner_of(&pair.iq), pair.jo.message_key());
    let hours = 3_600_000;
    let now = now_ms();
    let departed = sign(&pair.iq.message_key(), &movement(IQ, JO, now, "departed", None));
    let named = json!({ "messageId": departed.id, "digest": departed.digest });
    let arrived = movement(JO, IQ, now, "arrived", Some(&named));
    let arrived = sign(&key, &arrived);
    let early = client.message(&arrived.bytes);
    assert_eq!((early.status, early.code().as_str()), (409, "reference_missing"));
    assert!(
        pair.iq.log(&["--partner", "JO"]).iter().all(|entry| entry["id"] != arrived.id.as_str()),
        "no verdict"
    );
    // The departure is Iraq's: it is known there once it was sent.
    let there = pair.iq.as_partner_of(&pair.jo).message(&departed.bytes);
    assert_eq!(there.status, 200, "{}", there.code());
    let mut sent = movement(IQ, JO, now, "departed", None);
    sent["data"]["deadline"] = instant(now + 48 * hours);
    let back_end = pair.iq.back_end(IQ);
    let digest = submitted(&back_end, &sent)["digest"].clone();
    let named = json!({ "messageId": sent["id"], "digest": digest });
    let step = |what: &str, version: u64, before: Option<(&Value, &str)>, subject: &Value| {
        let mut event = movement(JO, IQ, now, what, Some(&named));
        event["subject"] = subject.clone();
        event["data"]["recordId"] = subject.clone();
        event["data"]["recordVersion"] = json!(version);
        if let Some((id, digest)) = before {
            event["data"]["action"] = json!("update");
            event["data"]["supersedes"] = json!({ "messageId": id, "digest": digest });
        }
        event
    };
    let subject = json!(format!("M-{now}"));
    let first = sign(&key, &step("arrived", 1, None, &subject));
    assert_eq!(client.message(&first.bytes).status, 200);
    let discharged = step("discharged", 2, Some((&json!(first.id), &first.digest)), &subject);
    let discharged = sign(&key, &discharged);
    assert_eq!(client.message(&discharged.bytes).status, 200);
    let again = step("arrived", 3, Some((&json!(discharged.id), &discharged.digest)), &subject);
    let refused = client.message(&sign(&key, &again).bytes);
    assert_eq!(refused.code(), "record_order");
    assert_eq!(refused.json()["violations"][0]["rule"], "transit.movement.order");
    assert!(pair.iq.audit().is_empty());
}

/// The example of a movement from Iraq to Jordan, moved to this moment.
fn movement(source: &str, recipient: &str, now: i64, what: &str, departure: Option<&Value>) -> Value {
    let hours = 3_600_000;
    let mut event = example("transit.movement", 1, source, recipient);
    let data = &mut event["data"];
    data["event"] = json!(what);
    data["officeDeparture"] = json!("IQ0001");
    data["officesTransit"] = json!(["IQ0101"]);
    data["officeDestination"] = json!("JO0001");
    data["departedAt"] = instant(now - 3 * hours);
    data["deadline"] = instant(now + 24 * hours);
    if let Some(departure) = departure {
        data["departure"] = departure.clone();
        data["sealsAtDeparture"] = data["seals"].clone();
        data["arrivedAt"] = instant(now - 2 * hours);
    }
    if what == "discharged" {
        data["discharge"] = json!({ "result": "as-declared", "controlledAt": instant(now - hours) });
    }
    event
}

#[test]
fn an_older_observation_does_not_overwrite_a_newer_one() {
    let pair = Pair::start();
    let (client, key) = (pair.iq.as_partner_of(&pair.jo), pair.iq.message_key());
    let status = |observed: i64| {
        let mut event = example("crossing.status", 2, IQ, JO);
        event["data"]["observedAt"] = instant(observed);
        event["data"]["validUntil"] = instant(observed + 3_600_000);
        event["data"]["reopensAt"] = instant(observed + 3_600_000);
        event
    };
    let now = now_ms();
    let first = status(now - 60_000);
    let one = sign(&key, &first);
    assert_eq!(client.message(&one.bytes).status, 200);
    let update = |observed: i64| {
        let mut event = status(observed);
        event["subject"] = first["subject"].clone();
        event["data"]["recordId"] = first["subject"].clone();
        event["data"]["recordVersion"] = json!(2);
        event["data"]["action"] = json!("update");
        event["data"]["supersedes"] = json!({ "messageId": one.id, "digest": one.digest });
        event
    };
    let refused = client.message(&sign(&key, &update(now - 61_000)).bytes);
    assert_eq!(refused.code(), "record_order");
    assert_eq!(refused.json()["violations"][0]["rule"], "crossing.status.order");
    let mut drill = update(now - 1);
    drill["status"] = json!("test");
    assert_eq!(client.message(&sign(&key, &drill).bytes).code(), "record_status");
    assert_eq!(client.message(&sign(&key, &update(now - 59_000)).bytes).status, 200);
}

/// Two versions of a type live at once: the agreement says which a partner may use, and a submission that
/// names none gets the newest that may be sent.
#[test]
fn two_versions_live_at_once_and_the_agreement_says_which() {
    let pair = Pair::start();
    let jo = pair.jo.back_end(JO);
    for version in [1, 2] {
        let event = example("manifest.cargo", version, JO, IQ);
        submitted(&jo, &event);
    }
    let got = pair.iq.back_end(IQ).deliveries("?max=10");
    assert_eq!(got.len(), 2);
    pair.iq.ok(&["partner", "allow", "JO", "--type", "manifest.cargo", "--receive", "--version", "1"]);
    let (client, key) = (pair.jo.as_partner_of(&pair.iq), pair.jo.message_key());
    wait_for("the agreement to be read again", || {
        let newer = sign(&key, &example("manifest.cargo", 2, JO, IQ));
        (client.message(&newer.bytes).code() == "agreement_version").then_some(())
    });
    let older = sign(&key, &example("manifest.cargo", 1, JO, IQ));
    assert_eq!(client.message(&older.bytes).status, 200);
    pair.jo.ok(&["partner", "allow", "IQ", "--type", "manifest.cargo", "--send", "--version", "1"]);
    let mut unnamed = example("manifest.cargo", 1, JO, IQ);
    unnamed.as_object_mut().unwrap().remove("dataschema");
    let taken = wait_for("the agreement to be read again", || {
        let answer = jo.submit(&unnamed);
        (answer.status == 202).then(|| answer.json())
    });
    assert_eq!(jo.outcome(taken["id"].as_str().unwrap())["state"], "receipted");
}

/// A closure rests on a status of that crossing which says so.
#[test]
fn a_closure_rests_on_a_closed_crossing() {
    let pair = Pair::start();
    let (client, key) = (pair.iq.as_partner_of(&pair.jo), pair.iq.message_key());
    let now = now_ms();
    let closure = |status: &str, crossing: &str| {
        let mut event = example("crossing.status", 2, IQ, JO);
        let data = &mut event["data"];
        data["status"] = json!(status);
        data["crossing"] = json!(crossing);
        data["observedAt"] = instant(now - 60_000);
        data["validUntil"] = instant(now + 3_600_000);
        data["reopensAt"] = instant(now + 3_600_000);
        if status == "closed" {
            data["lanes"] = json!([{ "mode": "car", "lane": "standard", "maximumLanes": 6, "lanesOpen": 0 }]);
        }
        let told = sign(&key, &event);
        let answer = client.message(&told.bytes);
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        let mut incident = example("incident.notice", 1, IQ, JO);
        incident["data"]["onset"] = instant(now - 60_000);
        incident["data"]["expires"] = instant(now + 3_600_000);
        incident["data"]["crossingStatus"] = json!({ "messageId": told.id, "digest": told.digest });
        client.message(&sign(&key, &incident).bytes).code()
    };
    assert_eq!(closure("restricted", "IQ-JO-EXAMPLE1"), "reference_mismatch");
    assert_eq!(closure("closed", "IQ-JO-EXAMPLE2"), "reference_mismatch");
    assert_eq!(closure("closed", "IQ-JO-EXAMPLE1"), "", "accepted");
}
