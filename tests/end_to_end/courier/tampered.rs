//! Files that somebody altered on the way: what is refused, and that the rest is not harmed.

use serde_json::{Value, json};
use silkgate_message::jws::{decode, encode};
use support::{Home, event, sign};

use super::line::{Cut, IQ, JO, codes, import, iq, jo, numbers, state, submit};

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn text(lines: &[Value]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// Imports these bytes.
fn import_bytes(cut: &mut Cut, home: fn(&support::Pair) -> &Home, bytes: &[u8]) -> (i32, Value) {
    let file = cut.file();
    std::fs::write(&file, bytes).unwrap();
    import(home(&cut.pair), &file)
}

fn flip(text: &Value, at: usize) -> Value {
    let mut bytes = decode(text.as_str().unwrap()).unwrap();
    bytes[at] ^= 1;
    json!(encode(&bytes))
}

#[test]
fn a_file_that_is_none_is_refused_as_a_whole() {
    let mut cut = Cut::start();
    let id = submit(&cut.pair.iq, &event(IQ, JO));
    let (out, _) = cut.export(iq);
    let sound = std::fs::read_to_string(&out).unwrap();
    let entries = |cut: &Cut| ["IQ", "house"].map(|log| cut.pair.jo.log(&["--partner", log]).len());
    let before = entries(&cut);
    let mut long = sound.clone().into_bytes();
    long.splice(0..0, vec![b'{'; 15 << 20]);
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("nothing", Vec::new(), "courier_truncated"),
        ("garbage", vec![0xff; 1000], "courier_malformed"),
        ("another file", b"PK\x03\x04".to_vec(), "courier_malformed"),
        ("no end", sound.lines().next().unwrap().as_bytes().to_vec(), "courier_truncated"),
        ("cut off", sound.as_bytes()[..sound.len() - 40].to_vec(), "courier_truncated"),
        ("a line too long", long, "courier_malformed"),
        ("a line more", format!("{sound}{{\"message\":\"\"}}\n").into_bytes(), "courier_malformed"),
        (
            "a message taken out",
            sound.replace("\"messages\":1", "\"messages\":2").into_bytes(),
            "courier_malformed",
        ),
        ("another edition", sound.replace("\"v\":1", "\"v\":2").into_bytes(), "courier_malformed"),
        ("an unknown member", sound.replace("\"v\":1", "\"v\":1,\"x\":1").into_bytes(), "courier_malformed"),
        ("a member twice", sound.replace("\"v\":1", "\"v\":1,\"v\":1").into_bytes(), "courier_malformed"),
        (
            "another recipient",
            sound.replace("\"to\":\"JO\"", "\"to\":\"SA\"").into_bytes(),
            "recipient_foreign",
        ),
        (
            "another sender",
            sound.replace("\"from\":\"IQ\"", "\"from\":\"SA\"").into_bytes(),
            "partner_unknown",
        ),
    ];
    for (what, bytes, refused) in cases {
        let (code, report) = import_bytes(&mut cut, jo, &bytes);
        assert_eq!((code, &report["code"]), (1, &json!(refused)), "{what}: {report}");
        assert_eq!(numbers(&report, ["messages", "receipts"]), [0, 0], "{what}");
    }
    let own = import(&cut.pair.iq, &out);
    assert_eq!((own.0, &own.1["code"]), (1, &json!("recipient_foreign")), "one's own file");
    assert_eq!(entries(&cut), before, "no trace of any of them");
    assert_eq!(import(&cut.pair.jo, &out).0, 0);
    assert_eq!(state(&cut.pair.iq, &id)["state"], "queued");
    assert!(cut.pair.jo.audit().is_empty());
}

/// A file of more than a gibibyte, without its bytes on the disk.
#[test]
fn a_file_over_the_limit_is_refused() {
    let mut cut = Cut::set_up();
    let file = cut.file();
    let sparse = std::fs::File::create(&file).unwrap();
    let head = r#"{"courier":{"v":1,"from":"IQ","to":"JO","at":"2026-11-24T08:00:00Z"}}"#;
    std::os::unix::fs::FileExt::write_all_at(&sparse, format!("{head}\n").as_bytes(), 0).unwrap();
    sparse.set_len((1 << 30) + 1).unwrap();
    let (code, report) = import(&cut.pair.jo, &file);
    assert_eq!((code, &report["code"]), (1, &json!("courier_too_large")), "{report}");
}

#[test]
fn a_message_that_was_altered_is_refused_alone() {
    let mut cut = Cut::start();
    let sound: Vec<String> = (0..3).map(|_| submit(&cut.pair.iq, &event(IQ, JO))).collect();
    let (out, _) = cut.export(iq);
    let mut file = lines(&std::fs::read_to_string(&out).unwrap());
    let end = file.pop().unwrap();
    assert_eq!(end, json!({ "end": { "answers": 0, "messages": 3 } }));
    let at = file.len() - 3;
    let bytes = decode(file[at]["message"].as_str().unwrap()).unwrap();
    let message: Value = serde_json::from_slice(&bytes).unwrap();
    let with = |member: &str, value: Value| {
        let mut changed = message.clone();
        changed[member] = value;
        json!({ "message": encode(changed.to_string().as_bytes()) })
    };
    let signature = with("signature", flip(&message["signature"], 7));
    let payload = decode(message["payload"].as_str().unwrap()).unwrap();
    let payload = String::from_utf8(payload).unwrap().replace("\"white\"", "\"black\"");
    let payload = with("payload", json!(encode(payload.as_bytes())));
    let stranger = Cut::set_up();
    let foreign = sign(&stranger.pair.iq.message_key(), &event(IQ, JO));
    // By a certificate of Jordan's own: not one of this partner's.
    let own = sign(&cut.pair.jo.message_key(), &event(IQ, JO));
    let other = sign(&cut.pair.iq.message_key(), &event(IQ, "SA/border-guard"));
    let large = vec![b'x'; (1 << 20) + 1];
    let altered = [
        (signature, "signature_invalid"),
        (payload, "signature_invalid"),
        (json!({ "message": encode(b"{}") }), "jws_malformed"),
        (json!({ "message": encode(b"not JSON") }), "json_invalid"),
        (json!({ "message": "not base64url!" }), "courier_malformed"),
        (json!({ "message": encode(&large) }), "body_too_large"),
        (json!({ "message": encode(&foreign.bytes) }), "certificate_unknown"),
        (json!({ "message": encode(&own.bytes) }), "certificate_unknown"),
        (json!({ "message": encode(&other.bytes) }), "recipient_foreign"),
    ];
    let expected: Vec<&str> = altered.iter().map(|(_, code)| *code).collect();
    // Each before a sound one, so that none holds up what follows.
    for (number, (line, _)) in altered.iter().enumerate() {
        file.insert(at + number, line.clone());
    }
    file.push(json!({ "end": { "answers": 0, "messages": 3 + altered.len() } }));
    let (code, report) = import_bytes(&mut cut, jo, text(&file).as_bytes());
    assert_eq!((code, codes(&report)), (1, expected.iter().map(|c| (*c).to_owned()).collect()), "{report}");
    assert_eq!(numbers(&report, ["accepted", "rejected"]), [3, altered.len() as u64]);
    let logged = cut.pair.jo.log(&["--partner", "IQ"]);
    let refused: Vec<&str> = logged
        .iter()
        .filter(|entry| entry["kind"] == "rejected")
        .map(|entry| entry["code"].as_str().unwrap())
        .collect();
    // What never was bytes is no message that was refused.
    let on_line: Vec<&str> = expected.into_iter().filter(|code| *code != "courier_malformed").collect();
    assert_eq!(refused, on_line, "logged as on the line");
    assert_eq!(cut.pair.jo.back_end(JO).deliveries("?max=9").len(), sound.len());
    assert!(cut.pair.jo.audit().is_empty());
}

#[test]
fn a_receipt_that_was_altered_or_exchanged_settles_nothing() {
    let mut cut = Cut::start();
    let ids: Vec<String> = (0..3).map(|_| submit(&cut.pair.iq, &event(IQ, JO))).collect();
    let (out, _) = cut.export(iq);
    assert_eq!(import(&cut.pair.jo, &out).0, 0);
    let (back, _) = cut.export(jo);
    let sound = std::fs::read_to_string(&back).unwrap();
    let places: Vec<usize> = (0..3).map(|n| lines(&sound).len() - 4 + n).collect();
    let body = |file: &[Value], n: usize| file[places[n]]["answer"]["body"].clone();
    let mut swapped = lines(&sound);
    let (one, two) = (body(&swapped, 0), body(&swapped, 1));
    swapped[places[0]]["answer"]["body"] = two;
    swapped[places[1]]["answer"]["body"] = one;
    let (code, report) = import_bytes(&mut cut, iq, text(&swapped).as_bytes());
    assert_eq!(code, 1);
    assert_eq!(codes(&report), ["answer_unproven", "answer_unproven"], "{report}");
    assert_eq!(numbers(&report, ["receipts_applied", "receipts_refused"]), [1, 2]);
    assert_eq!(state(&cut.pair.iq, &ids[2])["state"], "receipted", "the others are not harmed");
    let whole = decode(body(&lines(&sound), 0).as_str().unwrap()).unwrap();
    for at in (0..whole.len()).step_by(37) {
        let mut file = lines(&sound);
        file[places[0]]["answer"]["body"] = flip(&body(&file, 0), at);
        file.remove(places[2]);
        file.remove(places[1]);
        *file.last_mut().unwrap() = json!({ "end": { "answers": 1, "messages": 0 } });
        let (code, report) = import_bytes(&mut cut, iq, text(&file).as_bytes());
        assert_eq!((code, codes(&report)), (1, vec!["answer_unproven".to_owned()]), "byte {at}: {report}");
    }
    let mut others = lines(&sound);
    others[places[0]]["answer"]["id"] = json!("0192f1a0-7b3c-7def-8123-456789abcdef");
    others[places[1]]["answer"]["status"] = json!(422);
    others[places[2]]["answer"]["body"] = json!("!");
    let (_, report) = import_bytes(&mut cut, iq, text(&others).as_bytes());
    assert_eq!(codes(&report), ["message_unknown", "answer_unproven", "courier_malformed"], "{report}");
    for id in &ids[..2] {
        assert_eq!(state(&cut.pair.iq, id)["state"], "queued");
    }
    assert_eq!(import(&cut.pair.iq, &back).0, 0);
    for id in &ids {
        assert_eq!(state(&cut.pair.iq, id)["state"], "receipted");
    }
    assert!(cut.pair.iq.audit().is_empty() && cut.pair.jo.audit().is_empty());
}

/// Somebody on the way takes out the answer to the first version: the later one waits for it.
#[test]
fn answers_to_the_versions_of_a_record_are_applied_in_order() {
    let mut cut = Cut::start();
    let first = event(IQ, JO);
    let one = submit(&cut.pair.iq, &first);
    let two = submit(&cut.pair.iq, &super::next(&cut.pair.iq, &first, &one, 2, "update"));
    let (out, _) = cut.export(iq);
    assert_eq!(import(&cut.pair.jo, &out).0, 0);
    let (back, _) = cut.export(jo);
    let sound = std::fs::read_to_string(&back).unwrap();
    let mut file = lines(&sound);
    let at = file.len() - 3;
    file.remove(at);
    *file.last_mut().unwrap() = json!({ "end": { "answers": 1, "messages": 0 } });
    let (code, report) = import_bytes(&mut cut, iq, text(&file).as_bytes());
    assert_eq!((code, codes(&report)), (1, vec!["predecessor_waits".to_owned()]), "{report}");
    assert_eq!(state(&cut.pair.iq, &two)["state"], "queued");
    assert_eq!(import(&cut.pair.iq, &back).0, 0);
    for id in [&one, &two] {
        assert_eq!(state(&cut.pair.iq, id)["state"], "receipted");
    }
    let three = super::next(&cut.pair.iq, &first, &two, 3, "update");
    submit(&cut.pair.iq, &three);
    assert!(cut.pair.iq.audit().is_empty());
}
