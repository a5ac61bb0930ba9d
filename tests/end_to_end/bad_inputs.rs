//! Bad inputs to the partner plane: each gets its answer and its log entry, and nothing is lost.

use std::io::Write as _;

use serde_json::{Value, json};
use silkgate_message::card::{Card, CardContent};
use silkgate_message::instant::Instant;
use silkgate_message::jws::{SigningCertificate, SigningKey, encode};
use support::home::{Home, set};
use support::peer::sign_at;
use support::{Client, Message, Pair, event, now_ms, sign, uuid_v7, wait_for};

/// Iraq's sound event, broken by `edit`, signed with its key.
fn broken(pair: &Pair, edit: impl FnOnce(&mut Value)) -> Message {
    let mut event = event("IQ/traffic-police", "JO/public-security");
    edit(&mut event);
    sign(&pair.iq.message_key(), &event)
}

fn refusals(pair: &Pair, code: &str) -> Vec<Value> {
    let entries = pair.jo.log(&["--partner", "IQ"]);
    entries.into_iter().filter(|entry| entry["kind"] == "rejected" && entry["code"] == code).collect()
}

fn has_receipt(answer: &support::Answer) -> bool {
    answer.json()["receipt"].as_str().is_some_and(|receipt| receipt.starts_with("c2sp.org/tlog-proof@v1"))
}

/// After whatever happened, a good message passes and the store is sound.
fn still_well(pair: &Pair) {
    let good = broken(pair, |_| {});
    assert_eq!(pair.iq.as_partner_of(&pair.jo).message(&good.bytes).status, 200);
    assert!(pair.jo.audit().is_empty());
}

#[test]
fn what_is_no_signed_message_is_answered_and_logged_without_a_receipt() {
    let pair = Pair::start();
    let client = pair.iq.as_partner_of(&pair.jo);
    let sound = String::from_utf8(broken(&pair, |_| {}).bytes).unwrap();
    let deep = [vec![b'['; 33], vec![b']'; 33]].concat();
    let bodies: Vec<(&str, Vec<u8>, u16, &str)> = vec![
        ("nothing", b"".to_vec(), 400, "json_invalid"),
        ("not JSON", b"<xml/>".to_vec(), 400, "json_invalid"),
        ("not UTF-8", b"{\"payload\":\"\xff\"}".to_vec(), 400, "json_invalid"),
        (
            "a duplicate member",
            sound.replacen('{', "{\"payload\":\"e30\",", 1).into_bytes(),
            400,
            "json_duplicate_member",
        ),
        ("too deep", deep, 400, "json_too_deep"),
        ("a nesting bomb", vec![b'['; 500_000], 400, "json_too_deep"),
        ("a huge number", b"{\"payload\":1e400}".to_vec(), 400, "json_number_range"),
        ("no JWS", b"{}".to_vec(), 400, "jws_malformed"),
    ];
    for (name, body, status, code) in bodies {
        let before = refusals(&pair, code).len();
        let answer = client.message(&body);
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{name}");
        assert!(!has_receipt(&answer), "{name}: no verified signature, no receipt");
        let logged = refusals(&pair, code);
        assert_eq!(logged.len(), before + 1, "{name}: one entry");
        let digest = encode(&ring::digest::digest(&ring::digest::SHA256, &body).as_ref()[..32]);
        assert_eq!(logged.last().unwrap()["body"], digest, "{name}: the entry names what was read");
    }
    let answer = client.post("/v1/messages", "application/json", sound.as_bytes());
    assert_eq!((answer.status, answer.code().as_str()), (415, "content_type_unsupported"));
    assert_eq!(client.get("/v1/messages").code(), "method_not_allowed");
    assert_eq!(client.get("/v1/elsewhere").code(), "not_found");
    assert_eq!(client.get("/v1/submissions").code(), "not_found", "the national plane is not here");
    still_well(&pair);
}

#[test]
fn an_oversize_body_is_refused_before_it_is_read() {
    let pair = Pair::start();
    let client = pair.iq.as_partner_of(&pair.jo);
    let head = |rest: &str| {
        format!(
            "POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Type: application/jose+json\r\n{rest}\r\n\r\n"
        )
    };
    // The head alone: the answer comes although not one byte of the body is ever sent.
    let answer = client.raw(head("Content-Length: 1048577").as_bytes()).unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (413, "body_too_large"));
    assert_eq!(answer.header("connection"), Some("close"));
    // Without a length: refused as soon as the limit is passed.
    let mut chunked = head("Transfer-Encoding: chunked").into_bytes();
    for _ in 0..20 {
        chunked.extend_from_slice(b"10000\r\n");
        chunked.extend_from_slice(&[b' '; 0x10000]);
        chunked.extend_from_slice(b"\r\n");
    }
    let answer = client.raw(&chunked).unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (413, "body_too_large"));
    assert_eq!(refusals(&pair, "body_too_large").len(), 2);
    // Two lengths, and both kinds of framing: what two readers could take for two messages.
    for smuggled in
        ["Content-Length: 5\r\nContent-Length: 5", "Content-Length: 5\r\nTransfer-Encoding: chunked"]
    {
        let answer = client.raw(format!("{}hello", head(smuggled)).as_bytes());
        assert!(answer.is_err() || answer.unwrap().status == 400, "{smuggled}");
    }
    still_well(&pair);
}

#[test]
fn a_sender_that_never_finishes_is_cut_off() {
    let mut pair = Pair::set_up(None);
    set(&pair.jo, "body_seconds", "1");
    set(&pair.jo, "handshake_seconds", "1");
    pair.jo.start();
    let client = pair.iq.as_partner_of(&pair.jo);
    let slow = b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Type: application/jose+json\r\nContent-Length: 100\r\n\r\n{";
    let answer = client.raw(slow).unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (408, "body_timeout"));
    assert_eq!(refusals(&pair, "body_timeout").len(), 1);
    // A head without an end, and a handshake without a first byte: the connection ends.
    assert!(client.raw(b"POST /v1/messages HTTP/1.1\r\nHost:").is_err());
    let mut silent = std::net::TcpStream::connect(&pair.jo.partner_plane).unwrap();
    let _ = silent.write_all(&[22]);
    assert_eq!(std::io::Read::read(&mut silent, &mut [0; 16]).unwrap_or(0), 0);
    still_well(&pair);
}

#[test]
fn forged_signatures_are_refused_and_name_the_message_in_the_log() {
    let pair = Pair::start();
    let client = pair.iq.as_partner_of(&pair.jo);
    let sound: Value = serde_json::from_slice(&broken(&pair, |_| {}).bytes).unwrap();
    let with = |name: &str, value: Value| {
        let mut forged = sound.clone();
        forged[name] = value;
        forged.to_string().into_bytes()
    };
    let header = |edit: fn(&mut Value)| {
        let bytes = silkgate_message::jws::decode(sound["protected"].as_str().unwrap()).unwrap();
        let mut header: Value = serde_json::from_slice(&bytes).unwrap();
        edit(&mut header);
        with("protected", json!(encode(header.to_string().as_bytes())))
    };
    let other = sign(&pair.jo.message_key(), &event("IQ/traffic-police", "JO/public-security"));
    let other_payload: Value = serde_json::from_slice(&broken(&pair, |_| {}).bytes).unwrap();
    for (name, body, status, code) in [
        ("alg none", header(|h| h["alg"] = json!("none")), 400, "algorithm_refused"),
        ("alg HS256", header(|h| h["alg"] = json!("HS256")), 400, "algorithm_refused"),
        ("alg swapped", header(|h| h["alg"] = json!("EdDSA")), 403, "algorithm_mismatch"),
        ("an own key in the header", header(|h| h["jwk"] = json!({})), 400, "header_invalid"),
        (
            "another message's payload",
            with("payload", other_payload["payload"].clone()),
            403,
            "signature_invalid",
        ),
        ("another partner's key", other.bytes, 403, "certificate_unknown"),
    ] {
        let answer = client.message(&body);
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{name}");
        assert!(!has_receipt(&answer), "{name}");
        let logged = refusals(&pair, code);
        assert!(!logged.is_empty(), "{name}");
        if status == 403 {
            assert!(logged.last().unwrap()["jws"].is_string(), "{name}: parsed, so its digest is known");
        }
    }
    assert!(pair.jo.back_end("JO/public-security").deliveries("").is_empty());
    still_well(&pair);
}

#[test]
fn every_check_after_the_signature_refuses_with_its_code_and_a_receipt() {
    let pair = Pair::start();
    let client = pair.iq.as_partner_of(&pair.jo);
    let at = |ms: i64| json!(Instant(now_ms() + ms).to_string());
    let set = |name: &'static str, value: Value| move |event: &mut Value| event[name] = value;
    let cases: Vec<(u16, &str, Message)> = vec![
        (422, "event_invalid", broken(&pair, set("salt", json!("short")))),
        (422, "event_invalid", broken(&pair, set("id", json!("not-a-uuid")))),
        (422, "event_invalid", broken(&pair, set("unknown", json!(1)))),
        (422, "iat_in_future", sign_at(&pair.iq.message_key(), &ahead(400_000), now_ms() + 400_000)),
        (422, "expired", broken(&pair, set("expirytime", at(-1000)))),
        (422, "lifetime_too_long", broken(&pair, set("expirytime", at(8 * 86_400_000)))),
        (422, "id_time_mismatch", broken(&pair, set("id", json!(uuid_v7(now_ms() - 400_000))))),
        (422, "time_in_future", broken(&pair, set("time", at(400_000)))),
        (403, "source_foreign", broken(&pair, set("source", json!("SA/border-guard")))),
        (422, "recipient_foreign", broken(&pair, set("recipient", json!("SA/border-guard")))),
        (422, "recipient_unknown", broken(&pair, set("recipient", json!("JO/post-office")))),
        (
            422,
            "schema_unknown",
            broken(
                &pair,
                set("dataschema", json!("https://silkgate.example/schemas/alert.vehicle/9/schema.json")),
            ),
        ),
        (422, "schema_unknown", broken(&pair, set("type", json!("manifest.cargo")))),
        (403, "agreement_status", broken(&pair, set("status", json!("exercise")))),
        (403, "agreement_purpose", broken(&pair, set("purpose", json!("tax-collection")))),
        (403, "releasability", broken(&pair, set("releasableto", json!("SA")))),
        (422, "schema_invalid", broken(&pair, |event| event["data"]["category"] = json!("boat"))),
        (422, "rules_violated", broken(&pair, |event| event["data"]["eventDate"] = json!("2099-01-01"))),
    ];
    let count = cases.len();
    for (status, code, message) in cases {
        let answer = client.message(&message.bytes);
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (status, code),
            "{}",
            String::from_utf8_lossy(&answer.body)
        );
        assert!(has_receipt(&answer), "{code}: a refusal after the signature is receipted");
        let logged = refusals(&pair, code);
        assert_eq!(logged.last().unwrap()["jws"], message.digest.as_str(), "{code}");
    }
    let all = pair.jo.log(&["--partner", "IQ", "--verdict", "rejected"]);
    assert_eq!(all.len(), count);
    assert!(pair.jo.back_end("JO/public-security").deliveries("").is_empty());
    still_well(&pair);
}

/// A sound event of a moment ahead.
fn ahead(ms: i64) -> Value {
    let mut event = event("IQ/traffic-police", "JO/public-security");
    let at = now_ms() + ms;
    event["id"] = json!(uuid_v7(at));
    event["time"] = json!(Instant(at).to_string());
    event["expirytime"] = json!(Instant(at + 60_000).to_string());
    event
}

/// The home's card with its content edited, signed with the home's card key.
fn card(home: &Home, edit: impl FnOnce(&mut CardContent)) -> String {
    let (path, fingerprint) = home.card();
    let mut content = Card::parse(&std::fs::read(&path).unwrap()).unwrap().content().clone();
    edit(&mut content);
    let key = support::wire::private_key(&home.path.join("keys/card.key"));
    std::fs::write(&path, Card::sign(&content, key.secret_der()).unwrap()).unwrap();
    fingerprint
}

/// Adds `other` to `home` by the card that lies beside it.
fn add(home: &Home, other: &Home, fingerprint: &str) {
    let card = other.path.with_extension("card").to_string_lossy().into_owned();
    home.ok(&["partner", "add", &card, "--fingerprint", fingerprint]);
    home.ok(&["partner", "allow", &other.country, "--status", "actual"]);
}

#[test]
fn a_partner_speaks_only_for_itself_and_only_within_its_agreement() {
    let mut pair = Pair::set_up(None);
    let sa = Home::init(pair.folder.path(), "SA/border-guard");
    // Saudi Arabia's card names one type only, so the agreement holds only that one.
    let fingerprint = card(&sa, |content| content.schemas.retain(|schema| schema.kind == "alert.vehicle"));
    add(&pair.jo, &sa, &fingerprint);
    pair.jo.start();
    let (from_iq, from_sa) = (pair.iq.as_partner_of(&pair.jo), sa.as_partner_of(&pair.jo));
    let sound = |source: &str, key: &SigningKey| sign(key, &event(source, "JO/public-security"));
    let (iq_key, sa_key) = (pair.iq.message_key(), sa.message_key());
    assert_eq!(from_sa.message(&sound("SA/border-guard", &sa_key).bytes).status, 200);
    let refused = |client: &Client, message: Message| client.message(&message.bytes).code();
    // Each partner's message over the other's connection, and each other's name under the own key.
    assert_eq!(refused(&from_sa, sound("IQ/traffic-police", &iq_key)), "certificate_unknown");
    assert_eq!(refused(&from_iq, sound("SA/border-guard", &sa_key)), "certificate_unknown");
    assert_eq!(refused(&from_sa, sound("IQ/traffic-police", &sa_key)), "source_foreign");
    let mut manifest: Value = serde_json::from_str(
        silkgate_message::catalogue::Catalogue::embedded().find("manifest.cargo", 1).unwrap().example(),
    )
    .unwrap();
    let sound = event("SA/border-guard", "JO/public-security");
    for name in ["id", "source", "recipient", "time", "expirytime", "status"] {
        manifest[name] = sound[name].clone();
    }
    assert_eq!(refused(&from_sa, sign(&sa_key, &manifest)), "agreement_type");
    // What one partner did stands in its own channel only.
    assert!(
        pair.jo.log(&["--partner", "IQ"]).iter().all(|entry| !entry.to_string().contains("agreement_type"))
    );
    assert!(pair.jo.audit().is_empty());
}

#[test]
fn a_message_signed_outside_its_certificates_time_is_refused() {
    let mut pair = Pair::set_up(None);
    let sa = Home::init(pair.folder.path(), "SA/border-guard");
    let day = 86_400;
    let now = now_ms() / 1000;
    let issue = |at: i64| {
        let at = time::OffsetDateTime::from_unix_timestamp(at).unwrap();
        let issued = silkgate_certs::message_signing("SA", at).unwrap();
        let certificate = SigningCertificate::parse(&issued.certificate_der).unwrap();
        let pem = rustls_pki_types::pem::PemObject::from_pem_slice(issued.key_pem.as_bytes());
        let key: rustls_pki_types::PrivateKeyDer<'_> = pem.unwrap();
        (issued.certificate_der, SigningKey::new(key.secret_der(), &certificate).unwrap())
    };
    let (old, old_key) = issue(now - 800 * day);
    let (coming, coming_key) = issue(now + 10 * day);
    let fingerprint = card(&sa, |content| content.signing_certificates.extend([old, coming]));
    add(&pair.jo, &sa, &fingerprint);
    pair.jo.start();
    let client = sa.as_partner_of(&pair.jo);
    for (key, code) in [(old_key, "certificate_expired"), (coming_key, "certificate_not_yet_valid")] {
        let answer = client.message(&sign(&key, &event("SA/border-guard", "JO/public-security")).bytes);
        assert_eq!((answer.status, answer.code().as_str()), (403, code));
        assert!(has_receipt(&answer));
    }
    assert!(pair.jo.audit().is_empty());
}

#[test]
fn rubbish_cannot_fill_the_log() {
    let mut pair = Pair::start();
    let client = pair.iq.as_partner_of(&pair.jo);
    for _ in 0..150 {
        assert_eq!(client.message(b"rubbish").code(), "json_invalid");
    }
    // The minute may turn once while the test runs: then two budgets and one summary were used.
    let logged = refusals(&pair, "json_invalid");
    let single = logged.iter().filter(|entry| entry["n"].is_null()).count();
    assert!((60..=120).contains(&single), "{single} entries");
    still_well(&pair);
    pair.jo.stop();
    let logged = refusals(&pair, "json_invalid");
    let counted: u64 = logged.iter().map(|entry| entry["n"].as_u64().unwrap_or(1)).sum();
    assert_eq!(counted, 150, "what was beyond the budget is summed up, also at the end");
    assert!(logged.len() < 125);
}

#[test]
fn more_messages_a_second_than_agreed_are_put_off_without_an_entry() {
    let mut pair = Pair::set_up(None);
    pair.jo.start();
    let client = pair.iq.as_partner_of(&pair.jo);
    let first = broken(&pair, |_| {});
    assert_eq!(client.message(&first.bytes).status, 200);
    // Ten messages at once, then one a second.
    wait_for("the agreement's rate to be set", || {
        let agreement = pair.jo.json(&["partner", "allow", "IQ", "--rate", "1"]);
        (agreement["state"] == "active").then_some(())
    });
    let put_off = wait_for("the rate to be used up", || {
        let answer = client.message(&first.bytes);
        (answer.status == 429).then_some(answer)
    });
    assert_eq!((put_off.code().as_str(), put_off.header("retry-after")), ("rate_exceeded", Some("1")));
    assert!(refusals(&pair, "rate_exceeded").is_empty());
}
