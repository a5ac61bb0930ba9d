//! A command that imports beside everything else: the line, a kill, an alarm.

use std::process::{Command, Stdio};

use serde_json::json;
use silkgate_message::jws::encode;
use support::{Message, Pair, binary, event, sign};

use super::line::{Cut, IQ, JO, codes, import, iq, jo, numbers, state, submit};

/// Messages of Iraq's, and a file of them that its gateway could have written.
fn carried(cut: &mut Cut, count: usize) -> (Vec<Message>, std::path::PathBuf) {
    let key = cut.pair.iq.message_key();
    let messages: Vec<Message> = (0..count).map(|_| sign(&key, &event(IQ, JO))).collect();
    let mut text = String::from(
        "{\"courier\":{\"v\":1,\"from\":\"IQ\",\"to\":\"JO\",\"at\":\"2026-11-24T08:00:00Z\"}}\n",
    );
    for message in &messages {
        text.push_str(&format!("{}\n", json!({ "message": encode(&message.bytes) })));
    }
    text.push_str(&format!("{}\n", json!({ "end": { "answers": 0, "messages": count } })));
    let file = cut.file();
    std::fs::write(&file, text).unwrap();
    (messages, file)
}

/// Ids of Iraq's messages in Jordan's log, in order.
fn received(pair: &Pair) -> Vec<String> {
    let log = pair.jo.log(&["--partner", "IQ", "--type", "alert.vehicle"]);
    log.iter().map(|entry| entry["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_same_messages_at_once_by_file_and_by_line_are_accepted_once() {
    let mut cut = Cut::start();
    let (messages, file) = carried(&mut cut, 120);
    let pair = &cut.pair;
    let client = pair.iq.as_partner_of(&pair.jo);
    let (by_line, report) = std::thread::scope(|scope| {
        // From the other end, so that they meet.
        let line = scope.spawn(|| {
            let answers = messages.iter().rev().map(|message| client.message(&message.bytes));
            let answers: Vec<_> = answers.collect();
            assert!(answers.iter().all(|answer| answer.status == 200));
            answers.iter().filter(|answer| answer.header("silkgate-replay").is_none()).count() as u64
        });
        let (code, report) = import(&pair.jo, &file);
        assert_eq!(code, 0, "{report}");
        (line.join().unwrap(), report)
    });
    let [accepted, replayed] = numbers(&report, ["accepted", "replayed"]);
    assert_eq!((by_line + accepted, accepted + replayed), (120, 120), "{report}");
    let mut ids = received(pair);
    ids.sort();
    let mut sent: Vec<String> = messages.iter().map(|message| message.id.clone()).collect();
    sent.sort();
    assert_eq!(ids, sent);
    assert_eq!(pair.jo.back_end(JO).deliveries("?max=100").len(), 100);
    assert!(pair.jo.audit().is_empty());
}

#[test]
fn an_import_that_is_killed_is_taken_up_by_the_next_one() {
    let mut cut = Cut::start();
    let (messages, file) = carried(&mut cut, 150);
    let mut kills = 0;
    while received(&cut.pair).len() < 100 {
        let mut command = Command::new(binary());
        command.arg("-d").arg(&cut.pair.jo.path).args(["courier", "import"]).arg(&file);
        let mut child = command.stdout(Stdio::null()).spawn().unwrap();
        let before = received(&cut.pair).len();
        support::wait_for("some to be taken", || {
            let ended = child.try_wait().unwrap().is_some();
            (ended || received(&cut.pair).len() > before + 10).then_some(())
        });
        let _ = child.kill();
        child.wait().unwrap();
        kills += 1;
    }
    let (code, report) = import(&cut.pair.jo, &file);
    let [accepted, replayed] = numbers(&report, ["accepted", "replayed"]);
    assert_eq!((code, accepted + replayed), (0, 150), "{report}, after {kills} kills");
    let sent: Vec<&str> = messages.iter().map(|message| message.id.as_str()).collect();
    assert_eq!(received(&cut.pair), sent, "each once, in their order");
    let (_, said) = cut.export(jo);
    assert_eq!(numbers(&said, ["receipts"]), [150], "every answer goes back");
    assert!(cut.pair.jo.audit().is_empty());
}

#[test]
fn while_a_partners_log_contradicts_itself_nothing_is_taken_and_nothing_leaves() {
    let mut cut = Cut::set_up();
    cut.mend();
    cut.pair.iq.start();
    cut.pair.jo.start();
    let first = event(IQ, JO);
    let id = submit(&cut.pair.iq, &first);
    assert_eq!(cut.pair.iq.back_end(IQ).outcome(&id)["state"], "receipted");
    crate::tamper::all_cosigned(&cut.pair.iq);
    assert_eq!(cut.pair.iq.stop(), Some(0));
    crate::tamper::show_fork(&cut.pair);
    let (out, _) = cut.export(iq);
    let carried = sign(&cut.pair.iq.message_key(), &event(IQ, JO));
    let line = format!("{{\"message\":\"{}\"}}\n{{\"end\":", encode(&carried.bytes));
    let text = std::fs::read_to_string(&out).unwrap();
    let text = text.replace("{\"end\":", &line).replace("\"messages\":0", "\"messages\":1");
    let file = cut.file();
    std::fs::write(&file, text).unwrap();
    let (code, report) = import(&cut.pair.jo, &file);
    assert_eq!((code, codes(&report)), (1, vec!["degraded".to_owned()]), "{report}");
    assert_eq!(numbers(&report, ["not_now"]), [1]);
    let waiting = submit(&cut.pair.jo, &event(JO, IQ));
    let to_iraq = cut.file();
    let export = ["courier", "export", "IQ", to_iraq.to_str().unwrap()];
    let refused = cut.pair.jo.run(&export);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("halted"));
    cut.pair.jo.ok(&["partner", "allow", "IQ", "--degraded", "accept"]);
    cut.pair.jo.ok(&export);
    assert_eq!(import(&cut.pair.jo, &file).0, 0);
    assert_eq!(state(&cut.pair.jo, &waiting)["state"], "queued");
    assert!(cut.pair.jo.audit().is_empty());
}
