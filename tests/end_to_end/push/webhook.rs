//! By a signed request.

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use ring::signature::{ED25519, UnparsedPublicKey};
use serde_json::{Value, json};
use support::home::set;
use support::receiver::{Receiver, Reply, Told, server_certificate};
use support::{Pair, event, wait_for};

use super::{JO, delivered, push, send, send_event};

/// Whether the request is signed by the key that `said` shows (RFC 9421, RFC 9530): written here from the standards, not with the
/// gateway's own code.
fn assert_signed(told: &Told, said: &Value, uri: &str) {
    let pem = pem::parse(said["public_key"].as_str().unwrap()).unwrap();
    assert_eq!((pem.tag(), pem.contents().len()), ("PUBLIC KEY", 44));
    let key = UnparsedPublicKey::new(&ED25519, pem.contents()[12..].to_vec());
    let content = format!("sha-256=:{}:", STANDARD.encode(digest(&SHA256, &told.body)));
    assert_eq!(told.header("content-digest"), content);
    let input = told.header("signature-input").strip_prefix("silkgate=").unwrap();
    let covered = r#"("@method" "@target-uri" "content-type" "content-digest")"#;
    let parameters = input.strip_prefix(covered).unwrap();
    let keyid = format!(r#";keyid="{}""#, said["keyid"].as_str().unwrap());
    assert!(parameters.starts_with(";created=") && parameters.contains(&keyid), "{parameters}");
    let base = format!(
        "\"@method\": POST\n\"@target-uri\": {uri}\n\"content-type\": application/json\n\"content-digest\": {content}\n\"@signature-params\": {input}"
    );
    let signature = told.header("signature").strip_prefix("silkgate=:").unwrap().strip_suffix(':').unwrap();
    key.verify(base.as_bytes(), &STANDARD.decode(signature).unwrap()).expect("the signature");
}

fn ids(told: &[Told]) -> Vec<String> {
    told.iter().map(|told| told.delivery()["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_delivery_is_signed_and_taken_over_by_its_answer() {
    let pair = Pair::start();
    let waited = send(&pair);
    let receiver = Receiver::start(pair.folder.path(), |_| Reply::status(204));
    let said = push(&pair, &receiver.url, &receiver.anchors, &[]);
    wait_for("what waited to be taken over", || (delivered(&pair.jo).len() == 1).then_some(()));
    let came = send(&pair);
    wait_for("both to be taken over", || (delivered(&pair.jo).len() == 2).then_some(()));
    let told = receiver.told();
    assert_eq!(ids(&told), [waited.id.clone(), came.id.clone()], "each once");
    for told in &told {
        assert_eq!(told.line, "POST /told");
        assert_signed(told, &said, &receiver.url);
    }
    let delivery = told[1].delivery();
    assert_eq!(delivery["message"], serde_json::from_slice::<Value>(&came.bytes).unwrap());
    assert!(delivery["receipt"].as_str().unwrap().contains("gateway.jo.example/JO/IQ"));
    assert_eq!(delivery["event"]["type"], "alert.vehicle");
    assert!(pair.jo.back_end(JO).deliveries("").is_empty(), "nothing is left to ask for");
    let key = pair.jo.path.join("keys/push.key");
    assert_eq!(std::fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(pair.jo.audit().is_empty());
}

#[test]
fn the_receiver_in_the_documentation_takes_what_is_signed_and_nothing_else() {
    let pair = Pair::start();
    let folder = pair.folder.path();
    let (anchors, certificate, key) = server_certificate(folder, "python");
    let port = support::home::free_ports()[0];
    let url = format!("https://localhost:{port}/deliveries?state=JO");
    let kept = folder.join("kept");
    std::fs::create_dir(&kept).unwrap();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let said = push(&pair, &url, &anchors, &[]);
    let public = folder.join("public.pem");
    std::fs::write(&public, said["public_key"].as_str().unwrap()).unwrap();
    let mut python = Command::new(root.join("target/interop/bin/python"))
        .arg(root.join("docs/webhook.py"))
        .arg(&public)
        .arg(&url)
        .args([&kept, &certificate, &key])
        .stdout(Stdio::piped())
        .spawn()
        .expect("tests/interop/install was run");
    let sent = send(&pair);
    wait_for("the delivery to be taken over", || (delivered(&pair.jo) == [sent.id.clone()]).then_some(()));
    let files: Vec<_> = std::fs::read_dir(&kept).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    let file = &files[0];
    let delivery: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!(delivery["key"], format!("from/IQ/IQ/traffic-police/{}/1", sent.id));
    assert_eq!(delivery["message"], serde_json::from_slice::<Value>(&sent.bytes).unwrap());
    // Somebody else who knows the address.
    let stranger = support::wire::Client::new(&anchors, None, "localhost", &format!("127.0.0.1:{port}"));
    let body = std::fs::read(file).unwrap();
    std::fs::remove_file(file).unwrap();
    assert_eq!(stranger.post("/deliveries?state=JO", "application/json", &body).status, 403);
    assert_eq!(std::fs::read_dir(&kept).unwrap().count(), 0);
    python.kill().unwrap();
    python.wait().unwrap();
}

#[test]
fn it_is_handed_over_again_until_it_is_taken_and_versions_keep_their_order() {
    let mut pair = Pair::set_up(None);
    set(&pair.jo, "backoff_first_ms", "50");
    set(&pair.jo, "push_seconds", "1");
    pair.jo.start();
    let mut times = 0;
    let receiver = Receiver::start(pair.folder.path(), move |_| {
        times += 1;
        match times {
            1 => Reply::status(500),
            2 => Reply::Status(302, vec![("Location", "https://localhost:1/elsewhere")]),
            3 => Reply::Silence,
            4 => Reply::status(404),
            _ => Reply::status(200),
        }
    });
    push(&pair, &receiver.url, &receiver.anchors, &[]);
    let first = event("IQ/traffic-police", JO);
    let one = send_event(&pair, &first);
    let mut second = event("IQ/traffic-police", JO);
    second["subject"] = first["subject"].clone();
    second["data"]["recordId"] = first["subject"].clone();
    second["data"]["recordVersion"] = json!(2);
    second["data"]["action"] = json!("update");
    second["data"]["supersedes"] = json!({ "messageId": one.id, "digest": one.digest });
    let two = send_event(&pair, &second);
    wait_for("both versions to be taken over", || (delivered(&pair.jo).len() == 2).then_some(()));
    let told = ids(&receiver.told());
    assert_eq!(told[..5], [&*one.id; 5], "the first version until it was taken");
    assert_eq!(told[5..], [&*two.id], "then the second one");
    let log = pair.jo.gateway_log();
    assert!(log.contains("status 302") && log.contains("no answer within 1 s"), "{log}");
    assert_eq!(delivered(&pair.jo), [one.id, two.id]);
}

#[test]
fn what_the_server_will_not_have_is_put_aside_and_holds_up_no_other() {
    let mut pair = Pair::set_up(None);
    set(&pair.jo, "backoff_first_ms", "20");
    set(&pair.jo, "refusals_until_dead", "3");
    pair.jo.start();
    let receiver = Receiver::start(pair.folder.path(), |_| Reply::status(422));
    push(&pair, &receiver.url, &receiver.anchors, &[]);
    let refused = send(&pair);
    let letters = wait_for("the delivery to be given up", || {
        let letters = pair.jo.json(&["dead", "list"]);
        (letters.as_array().unwrap().len() == 1).then_some(letters)
    });
    assert_eq!((&letters[0]["id"], &letters[0]["code"]), (&json!(refused.id), &json!("back_end_refused")));
    assert_eq!(receiver.told().len(), 3);
    receiver.answer(|_| Reply::status(200));
    let other = send(&pair);
    wait_for("another one to be taken over", || (delivered(&pair.jo) == [other.id.clone()]).then_some(()));
    pair.jo.ok(&["dead", "retry", &refused.id]);
    wait_for("it to be taken over", || (delivered(&pair.jo).len() == 2).then_some(()));
    assert!(pair.jo.audit().is_empty());
}

#[test]
fn one_message_that_gets_no_answer_holds_up_no_other() {
    let mut pair = Pair::set_up(None);
    for (name, value) in [("backoff_first_ms", "20"), ("probe_longest_ms", "100"), ("push_seconds", "1")] {
        set(&pair.jo, name, value);
    }
    set(&pair.jo, "failures_until_open", "2");
    pair.jo.start();
    let stuck = send(&pair);
    let id = stuck.id.clone();
    // It answers every other one, with more than anybody reads.
    let receiver = Receiver::start(pair.folder.path(), move |told| {
        if told.delivery()["id"] == id.as_str() { Reply::Silence } else { Reply::Long(200) }
    });
    push(&pair, &receiver.url, &receiver.anchors, &[]);
    wait_for("the line to be given up", || {
        pair.jo.gateway_log().contains("one attempt at a time").then_some(())
    });
    let others: Vec<String> = (0..3).map(|_| send(&pair).id).collect();
    wait_for("the others to be taken over", || (delivered(&pair.jo).len() == 3).then_some(()));
    let told = delivered(&pair.jo);
    assert!(others.iter().all(|id| told.contains(id)) && !told.contains(&stuck.id));
}

#[test]
fn a_server_that_asks_for_time_gets_it() {
    let pair = Pair::start();
    let mut times = 0;
    let receiver = Receiver::start(pair.folder.path(), move |_| {
        times += 1;
        if times == 1 { Reply::Status(503, vec![("Retry-After", "2")]) } else { Reply::status(200) }
    });
    push(&pair, &receiver.url, &receiver.anchors, &[]);
    send(&pair);
    wait_for("the first attempt", || (!receiver.told().is_empty()).then_some(()));
    let began = Instant::now();
    send(&pair);
    wait_for("both to be taken over", || (delivered(&pair.jo).len() == 2).then_some(()));
    assert!(began.elapsed() > Duration::from_millis(1500), "nothing was sent in between");
    assert_eq!(receiver.told().len(), 3);
}

#[test]
fn nothing_is_told_to_a_server_that_is_not_the_one() {
    let pair = Pair::start();
    let receiver = Receiver::start(pair.folder.path(), |_| Reply::status(200));
    let (stranger, ..) = server_certificate(pair.folder.path(), "stranger");
    push(&pair, &receiver.url, &stranger, &[]);
    let sent = send(&pair);
    wait_for("the certificate to be refused", || {
        let log = pair.jo.gateway_log();
        (log.contains("invalid peer certificate") && log.contains(&sent.id)).then_some(())
    });
    assert!(receiver.told().is_empty());
    push(&pair, &receiver.url, &receiver.anchors, &[]);
    wait_for("it to be taken over", || (delivered(&pair.jo) == [sent.id.clone()]).then_some(()));
    // And by its other name it is none either.
    let by_address = receiver.url.replace("localhost", "[::1]");
    let refused = pair.jo.run(&["backend", "push", JO, &by_address, "--anchors", "/nonexistent"]);
    assert_eq!(refused.status.code(), Some(2));
}

#[test]
fn who_writes_to_the_database_alone_has_nothing_told_elsewhere() {
    let mut pair = Pair::set_up_files(None);
    pair.jo.start();
    let receiver = Receiver::start(pair.folder.path(), |_| Reply::status(200));
    push(&pair, &receiver.url, &receiver.anchors, &[]);
    let first = send(&pair);
    wait_for("the back end to have it", || (delivered(&pair.jo) == [first.id.clone()]).then_some(()));
    let other = Receiver::start(pair.folder.path(), |_| Reply::status(200));
    pair.jo.execute(&format!("UPDATE push SET url = '{}'", other.url));
    pair.jo.execute("UPDATE generation SET value = value + 1");
    wait_for("the gateway to notice", || {
        pair.jo.gateway_log().contains("no operator with this home").then_some(())
    });
    let second = send(&pair);
    push(&pair, &receiver.url, &receiver.anchors, &[]);
    wait_for("the back end to have the next one", || (delivered(&pair.jo).len() == 2).then_some(()));
    assert!(
        other.told().is_empty()
            && receiver.told().iter().any(|told| told.delivery()["id"] == second.id.as_str())
    );
}

#[test]
fn a_gateway_that_dies_between_hand_over_and_commit_hands_over_again_and_commits_once() {
    let mut pair = Pair::set_up(None);
    set(&pair.jo, "push_seconds", "2");
    pair.jo.start();
    let receiver = Receiver::start(pair.folder.path(), |_| Reply::Silence);
    push(&pair, &receiver.url, &receiver.anchors, &[]);
    let sent = send(&pair);
    wait_for("the back end to have it", || (!receiver.told().is_empty()).then_some(()));
    // It has it, and the gateway does not know.
    pair.jo.kill();
    receiver.answer(|_| Reply::status(200));
    pair.jo.start();
    wait_for("it to be handed over again", || (delivered(&pair.jo) == [sent.id.clone()]).then_some(()));
    assert!(receiver.told().iter().all(|told| told.delivery()["id"] == sent.id.as_str()));
    assert!(pair.jo.audit().is_empty());
}

#[test]
fn a_back_end_is_told_elsewhere_or_asks_again_as_the_operator_says() {
    let pair = Pair::start();
    let one = Receiver::start(pair.folder.path(), |_| Reply::status(200));
    let said = push(&pair, &one.url, &one.anchors, &[]);
    let first = send(&pair);
    wait_for("the first server to have it", || (delivered(&pair.jo) == [first.id.clone()]).then_some(()));
    let list = pair.jo.json(&["backend", "list"]);
    let told = list.as_array().unwrap().iter().find(|row| row["subject"] == JO).unwrap();
    assert_eq!(told["push"], one.url.as_str());
    let other = Receiver::start(pair.folder.path(), |_| Reply::status(200));
    let again = push(&pair, &other.url, &other.anchors, &[]);
    assert_eq!(said["keyid"], again["keyid"], "the key stays");
    let address = other.url.trim_start_matches("https://").trim_end_matches("/told").replace("localhost", "");
    wait_for("the gateway to follow", || pair.jo.gateway_log().contains(&address).then_some(()));
    send(&pair);
    wait_for("the other server to have it", || (other.told().len() == 1).then_some(()));
    assert_eq!(one.told().len(), 1);
    pair.jo.ok(&["backend", "pull", JO]);
    assert_eq!(pair.jo.run(&["backend", "pull", JO]).status.code(), Some(1), "it asks already");
    let asked = wait_for("a delivery to be asked for", || {
        send(&pair);
        pair.jo.back_end(JO).deliveries("?wait=1").pop()
    });
    assert_eq!(pair.jo.back_end(JO).acknowledge(&asked).status, 200);
    let anchors = one.anchors.to_string_lossy();
    for (party, url, why) in [
        (JO, "http://localhost/told", "https:// or tls://"),
        (JO, "https://a:b@localhost/told", "without user or password"),
        ("JO/customs", one.url.as_str(), "backend add JO/customs"),
    ] {
        let refused = pair.jo.run(&["backend", "push", party, url, "--anchors", &anchors]);
        assert_eq!(refused.status.code(), Some(2));
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(said.contains(why), "{said}");
    }
    let house = pair.jo.log(&["--partner", "house"]);
    let acts = house.iter().filter(|entry| entry["what"] == "push" || entry["what"] == "pull").count();
    assert_eq!(acts, 3, "each is in the house log");
}
