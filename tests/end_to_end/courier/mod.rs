//! Messages and receipts carried by hand while the line is down.

mod beside;
mod line;
mod tampered;

use serde_json::json;
use silkgate_message::instant::Instant;
use support::home::set;
use support::{event, now_ms, sign, wait_for};

use line::{Cut, IQ, JO, codes, import, iq, jo, next, numbers, state, submit};

const ALL: [&str; 8] = [
    "messages",
    "accepted",
    "rejected",
    "replayed",
    "not_now",
    "receipts",
    "receipts_applied",
    "receipts_known",
];

#[test]
fn both_ways_by_file_receipts_included_and_the_line_doubles_nothing() {
    let mut cut = Cut::start();
    let first = event(IQ, JO);
    let one = submit(&cut.pair.iq, &first);
    let two = submit(&cut.pair.iq, &next(&cut.pair.iq, &first, &one, 2, "update"));
    let other = submit(&cut.pair.iq, &event(IQ, JO));
    let back = submit(&cut.pair.jo, &event(JO, IQ));
    let (out, said) = cut.export(iq);
    assert_eq!(numbers(&said, ["messages", "receipts", "left"]), [3, 0, 0]);
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(std::fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
    for id in [&one, &two, &other] {
        assert_eq!(state(&cut.pair.iq, id)["state"], "queued", "writing it settles nothing");
    }

    // Someone waits for a delivery while the command runs beside the gateway.
    let fetched = std::thread::scope(|scope| {
        let back_end = cut.pair.jo.back_end(JO);
        let waiting = scope.spawn(move || back_end.deliveries("?wait=30&max=10"));
        let (code, report) = import(&cut.pair.jo, &out);
        assert_eq!((code, numbers(&report, ALL)), (0, [3, 3, 0, 0, 0, 0, 0, 0]), "{report}");
        waiting.join().unwrap()
    });
    assert!(fetched.iter().any(|delivery| delivery["id"] == one.as_str()), "{fetched:?}");
    assert!(!fetched.iter().any(|delivery| delivery["id"] == two.as_str()), "versions go one after another");

    // Jordan's own message and its receipts go back in one file.
    let (home, said) = cut.export(jo);
    assert_eq!(numbers(&said, ["messages", "receipts"]), [1, 3]);
    let waiting = cut.pair.iq.back_end(IQ);
    let outcome = std::thread::scope(|scope| {
        let outcome = scope.spawn(|| waiting.get(&format!("/v1/submissions/{two}?wait=30")).json());
        let (code, report) = import(&cut.pair.iq, &home);
        assert_eq!((code, numbers(&report, ALL)), (0, [1, 1, 0, 0, 0, 3, 3, 0]), "{report}");
        outcome.join().unwrap()
    });
    assert_eq!(outcome["state"], "receipted", "{outcome}");
    for id in [&one, &two, &other] {
        let stands = state(&cut.pair.iq, id);
        assert_eq!(stands["state"], "receipted");
        verify(&cut, id, stands["receipt"].as_str().unwrap());
    }
    assert_eq!(cut.pair.iq.back_end(IQ).deliveries("?max=9")[0]["id"], back.as_str());
    // A third file takes the last receipt.
    let (out, said) = cut.export(iq);
    assert_eq!(numbers(&said, ["messages", "receipts"]), [0, 1]);
    let (code, report) = import(&cut.pair.jo, &out);
    assert_eq!((code, numbers(&report, ALL)), (0, [0, 0, 0, 0, 0, 1, 1, 0]), "{report}");
    assert_eq!(state(&cut.pair.jo, &back)["state"], "receipted");

    // Old files again, and then the line: nothing is doubled.
    let (code, report) = import(&cut.pair.iq, &home);
    assert_eq!((code, numbers(&report, ALL)), (0, [1, 0, 0, 1, 0, 3, 0, 3]), "{report}");
    cut.mend();
    let third = submit(&cut.pair.iq, &next(&cut.pair.iq, &first, &two, 3, "update"));
    assert_eq!(
        cut.pair.iq.back_end(IQ).outcome(&third)["state"],
        "receipted",
        "the record goes on, on the line"
    );
    let received = cut.pair.jo.log(&["--partner", "IQ", "--type", "alert.vehicle"]);
    let received: Vec<&str> = received
        .iter()
        .filter(|entry| entry["kind"] == "received")
        .map(|entry| entry["id"].as_str().unwrap())
        .collect();
    assert_eq!(received, [&one, &two, &other, &third]);
    cut.pair.iq.ok(&["reconcile", "JO"]);
    cut.pair.jo.ok(&["reconcile", "IQ"]);
    let house = cut.pair.jo.log(&["--partner", "house"]);
    let acts = |what: &str| house.iter().filter(|entry| entry["what"] == what && entry["to"] == "IQ").count();
    assert_eq!([acts("courier_imported"), acts("courier_exported")], [2, 1]);
    assert!(cut.pair.iq.audit().is_empty() && cut.pair.jo.audit().is_empty());
}

fn database(home: &support::Home) -> std::path::PathBuf {
    home.path.join("silkgate.db")
}

/// Verifies a receipt offline, with its message, as a judge does.
fn verify(cut: &Cut, id: &str, receipt: &str) {
    let [receipt_file, message_file] =
        ["receipt", "jws"].map(|ending| cut.pair.folder.path().join(format!("{id}.{ending}")));
    std::fs::write(&receipt_file, receipt).unwrap();
    let message = cut.pair.iq.back_end(IQ).get(&format!("/v1/submissions/{id}/message"));
    std::fs::write(&message_file, &message.body).unwrap();
    let [iq, jo] = [&cut.pair.iq, &cut.pair.jo].map(|home| home.card().0.to_string_lossy().into_owned());
    let [receipt, message] = [&receipt_file, &message_file].map(|file| file.to_str().unwrap());
    cut.pair.iq.ok(&["verify", receipt, "--card", &jo, "--card", &iq, "--message", message]);
}

#[test]
fn what_came_by_file_and_by_line_is_accepted_once_in_either_order() {
    let mut cut = Cut::start();
    let client = cut.pair.iq.as_partner_of(&cut.pair.jo);
    let [one, two] = [(); 2].map(|()| submit(&cut.pair.iq, &event(IQ, JO)));
    let signed = |id: &str| cut.pair.iq.back_end(IQ).get(&format!("/v1/submissions/{id}/message")).body;
    // One came on the line, and its answer was lost.
    let on_line = client.message(&signed(&one));
    assert_eq!((on_line.status, on_line.header("silkgate-replay")), (200, None));
    let two_signed = signed(&two);
    let (out, _) = cut.export(iq);
    let (again, _) = cut.export(iq);
    let (code, report) = import(&cut.pair.jo, &out);
    assert_eq!((code, numbers(&report, ALL)), (0, [2, 1, 0, 1, 0, 0, 0, 0]), "{report}");
    let (code, report) = import(&cut.pair.jo, &again);
    assert_eq!((code, numbers(&report, ALL)), (0, [2, 0, 0, 2, 0, 0, 0, 0]), "{report}");
    let later = client.message(&two_signed);
    assert_eq!((later.status, later.header("silkgate-replay")), (200, Some("true")));
    assert_eq!(cut.pair.jo.back_end(JO).deliveries("?max=9").len(), 2);
    // The answer that the line lost goes back with the other.
    let (back, said) = cut.export(jo);
    assert_eq!(numbers(&said, ["messages", "receipts"]), [0, 2]);
    assert_eq!(import(&cut.pair.iq, &back).0, 0);
    let settled = state(&cut.pair.iq, &one);
    assert_eq!(settled["receipt"].as_str().unwrap().as_bytes(), on_line.body, "the first receipt");
    assert_eq!(state(&cut.pair.iq, &two)["receipt"].as_str().unwrap().as_bytes(), later.body);
    assert!(cut.pair.iq.audit().is_empty() && cut.pair.jo.audit().is_empty());
}

/// The line may be down because a gateway is.
#[test]
fn with_both_gateways_stopped() {
    let mut cut = Cut::start();
    let id = submit(&cut.pair.iq, &event(IQ, JO));
    assert_eq!((cut.pair.iq.stop(), cut.pair.jo.stop()), (Some(0), Some(0)));
    let (out, _) = cut.export(iq);
    assert_eq!(import(&cut.pair.jo, &out).0, 0);
    let (back, _) = cut.export(jo);
    assert_eq!(import(&cut.pair.iq, &back).0, 0);
    assert_eq!(cut.pair.iq.json(&["show", &id])["state"], "receipted");
    assert!(cut.pair.iq.audit().is_empty() && cut.pair.jo.audit().is_empty());
    cut.pair.jo.start();
    assert_eq!(cut.pair.jo.back_end(JO).deliveries("")[0]["id"], id.as_str());
}

#[test]
fn a_refusal_travels_back_with_its_problem_and_takes_later_versions_along() {
    let mut cut = Cut::start();
    // Iraq may send more than Jordan takes.
    cut.pair.iq.ok(&["partner", "allow", "JO", "--purpose", "customs-control"]);
    let known = event(IQ, JO);
    let start = submit(&cut.pair.iq, &known);
    let mut refused = next(&cut.pair.iq, &known, &start, 2, "update");
    refused["purpose"] = json!("customs-control");
    wait_for("the agreement to be read again", || {
        (cut.pair.iq.back_end(IQ).submit(&refused).status == 202).then_some(())
    });
    let refused = refused["id"].as_str().unwrap().to_owned();
    let after = submit(&cut.pair.iq, &next(&cut.pair.iq, &known, &refused, 3, "update"));
    let cancel = submit(&cut.pair.iq, &next(&cut.pair.iq, &known, &after, 4, "cancel"));
    let (out, _) = cut.export(iq);
    let (code, report) = import(&cut.pair.jo, &out);
    // A cancel needs only a known record.
    assert_eq!((code, numbers(&report, ALL)), (1, [4, 2, 1, 0, 1, 0, 0, 0]), "{report}");
    assert_eq!(codes(&report), ["agreement_purpose", "predecessor_missing"]);
    assert_eq!(report["items"][0]["id"], refused.as_str());
    let (back, said) = cut.export(jo);
    assert_eq!(numbers(&said, ["receipts"]), [3]);
    let (code, report) = import(&cut.pair.iq, &back);
    assert_eq!((code, numbers(&report, ALL)), (0, [0, 0, 0, 0, 0, 3, 3, 0]), "{report}");
    let stands = state(&cut.pair.iq, &refused);
    assert_eq!((&stands["state"], &stands["code"]), (&json!("rejected"), &json!("agreement_purpose")));
    assert_eq!(stands["problem"]["code"], "agreement_purpose");
    assert!(stands["receipt"].as_str().unwrap().starts_with("c2sp.org/tlog-proof@v1"));
    assert_eq!(state(&cut.pair.iq, &after)["state"], "returned");
    assert_eq!(state(&cut.pair.iq, &cancel)["state"], "receipted");
    let (code, report) = import(&cut.pair.jo, &out);
    assert_eq!((code, numbers(&report, ALL)), (1, [4, 0, 1, 3, 0, 0, 0, 0]), "{report}");
    assert_eq!(codes(&report), ["agreement_purpose", "record_cancelled"], "of a record that has ended since");
    assert!(cut.pair.iq.audit().is_empty() && cut.pair.jo.audit().is_empty());
}

#[test]
fn carried_and_expired_without_an_answer_is_unknown_and_a_late_answer_is_told() {
    let mut cut = Cut::start();
    let brief = |ms: i64| {
        let mut event = event(IQ, JO);
        event["expirytime"] = json!(Instant(now_ms() + ms).to_string());
        event
    };
    let first = brief(6000);
    let carried = submit(&cut.pair.iq, &first);
    let mut second = next(&cut.pair.iq, &first, &carried, 2, "update");
    second["expirytime"] = json!(Instant(now_ms() + 3_600_000).to_string());
    let second = submit(&cut.pair.iq, &second);
    let (out, _) = cut.export(iq);
    assert_eq!(import(&cut.pair.jo, &out).0, 0);
    let (back, _) = cut.export(jo);
    assert_eq!(cut.pair.iq.back_end(IQ).outcome(&carried)["state"], "unknown");
    assert_eq!(state(&cut.pair.iq, &second)["state"], "queued", "it may have been accepted with the first");
    let (code, report) = import(&cut.pair.iq, &back);
    assert_eq!((code, numbers(&report, ["receipts", "receipts_applied", "receipts_late"])), (0, [2, 1, 1]));
    assert_eq!(codes(&report), ["late"]);
    assert_eq!(state(&cut.pair.iq, &carried)["state"], "unknown");
    assert_eq!(state(&cut.pair.iq, &second)["state"], "receipted");
    assert!(cut.pair.iq.audit().is_empty() && cut.pair.jo.audit().is_empty());
}

/// Without any attempt on the line: the file alone makes the difference.
#[test]
fn what_was_written_to_a_file_becomes_unknown_and_what_was_not_expires() {
    let mut cut = Cut::set_up();
    set(&cut.pair.iq, "concurrency", "0");
    cut.pair.iq.start();
    let brief = || {
        let mut event = event(IQ, JO);
        event["expirytime"] = json!(Instant(now_ms() + 4000).to_string());
        event
    };
    let first = brief();
    let written = submit(&cut.pair.iq, &first);
    let mut later = next(&cut.pair.iq, &first, &written, 2, "update");
    later["expirytime"] = json!(Instant(now_ms() + 3_600_000).to_string());
    let later = submit(&cut.pair.iq, &later);
    let (_, said) = cut.export(iq);
    assert_eq!(numbers(&said, ["messages"]), [2]);
    let kept = submit(&cut.pair.iq, &brief());
    let expires = now_ms() + 4000;
    assert_eq!(cut.pair.iq.stop(), Some(0));
    let attempts = |id: &str| -> Vec<String> {
        let shown = cut.pair.iq.json(&["show", id]);
        let list = shown["attempts"].as_array().unwrap();
        list.iter().map(|attempt| attempt["outcome"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(
        (attempts(&written), attempts(&kept)),
        (vec!["written to a courier's file".to_owned()], vec![])
    );
    wait_for("all to expire", || (now_ms() > expires).then_some(()));
    set(&cut.pair.iq, "concurrency", "4");
    cut.pair.iq.start();
    let outcome = |id: &str| cut.pair.iq.back_end(IQ).outcome(id)["state"].clone();
    assert_eq!((outcome(&written), outcome(&kept)), (json!("unknown"), json!("expired")));
    assert_eq!(state(&cut.pair.iq, &later)["state"], "queued", "its own answer decides");
    assert!(cut.pair.iq.audit().is_empty());
}

#[test]
fn a_stranger_a_suspended_partner_and_a_file_that_is_there() {
    let mut cut = Cut::start();
    submit(&cut.pair.iq, &event(IQ, JO));
    let (out, _) = cut.export(iq);
    let path = out.to_str().unwrap().to_owned();
    let code = |args: &[&str]| cut.pair.iq.run(args).status.code();
    assert_eq!(code(&["courier", "export", "JO", &path]), Some(2), "never replaced");
    assert_eq!(code(&["courier", "export", "SA", &format!("{path}.sa")]), Some(1));
    assert_eq!(code(&["courier", "import", &format!("{path}.none")]), Some(2));
    cut.pair.iq.ok(&["partner", "suspend", "JO"]);
    assert_eq!(code(&["courier", "export", "JO", &format!("{path}.2")]), Some(1));
    cut.pair.jo.ok(&["partner", "suspend", "IQ"]);
    let (code, report) = import(&cut.pair.jo, &out);
    assert_eq!((code, codes(&report)), (1, vec!["partner_suspended".to_owned()]), "{report}");
    let left: Vec<_> =
        std::fs::read_dir(cut.pair.folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().ends_with(".part")), "{left:?}");
}

#[test]
fn an_older_database_that_was_put_back_takes_no_file() {
    let mut cut = Cut::set_up_files();
    cut.mend();
    cut.pair.iq.start();
    cut.pair.jo.start();
    let exchange = |cut: &Cut| {
        let event = event(IQ, JO);
        submit(&cut.pair.iq, &event);
        assert_eq!(cut.pair.iq.back_end(IQ).outcome(event["id"].as_str().unwrap())["state"], "receipted");
        crate::tamper::all_cosigned(&cut.pair.jo);
    };
    exchange(&cut);
    crate::tamper::stop(&mut cut.pair.jo);
    let older = std::fs::read(database(&cut.pair.jo)).unwrap();
    cut.pair.jo.start();
    exchange(&cut);
    crate::tamper::stop(&mut cut.pair.jo);
    let newest = std::fs::read(database(&cut.pair.jo)).unwrap();
    let carried = sign(&cut.pair.iq.message_key(), &event(IQ, JO));
    let (mut out, _) = cut.export(iq);
    // Sent by hand: Iraq's gateway would try the line.
    let text = std::fs::read_to_string(&out).unwrap();
    let message =
        format!("{{\"message\":\"{}\"}}\n{{\"end\":", silkgate_message::jws::encode(&carried.bytes));
    let text = text.replace("{\"end\":", &message).replace("\"messages\":0", "\"messages\":1");
    out.set_extension("with-message");
    std::fs::write(&out, &text).unwrap();
    // Without the word nothing is written, and with it an older database is found out.
    crate::tamper::put(&database(&cut.pair.jo), &older);
    let silent: String =
        text.lines().filter(|l| !l.contains("witnessed")).map(|l| format!("{l}\n")).collect();
    let silent_file = cut.file();
    std::fs::write(&silent_file, silent).unwrap();
    let (code, report) = import(&cut.pair.jo, &silent_file);
    assert_eq!((code, &report["code"]), (1, &json!("unavailable")), "{report}");
    assert!(report["detail"].as_str().unwrap().contains("log confirm"), "{report}");
    let (code, report) = import(&cut.pair.jo, &out);
    assert_eq!((code, &report["code"]), (1, &json!("unavailable")), "{report}");
    assert_eq!(cut.pair.jo.json(&["status"])["alarms"][0]["kind"], "rollback");
    let file = cut.file();
    let refused = cut.pair.jo.run(&["courier", "export", "IQ", file.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(1), "read-only");
    crate::tamper::put(&database(&cut.pair.jo), &newest);
    let (code, report) = import(&cut.pair.jo, &out);
    assert_eq!((code, numbers(&report, ["accepted"])), (0, [1]), "{report}");
    assert!(cut.pair.jo.audit().is_empty());
}
