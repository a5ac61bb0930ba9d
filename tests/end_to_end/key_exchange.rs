//! X25519MLKEM768 on the partner plane: between our gateways, with OpenSSL both ways, by each policy of the agreement, and what
//! is shown of it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use serde_json::{Value, json};
use support::{Home, Pair, event, sign, wait_for};
use tempfile::TempDir;

use crate::erasure::{IQ, JO};

const HYBRID: &str = "X25519MLKEM768";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The program in which OpenSSL speaks for a partner.
fn openssl(act: &str, groups: &str) -> Command {
    let python = root().join("target/interop/bin/python");
    assert!(python.exists(), "{} is missing: run tests/interop/install", python.display());
    let mut command = Command::new(python);
    command.arg(root().join("tests/interop/tls_peer.py")).args([act, groups]);
    command
}

/// OpenSSL calls `to` as the gateway of `from`: the group, and the answer.
fn call(from: &Home, to: &Home, groups: &str) -> Result<(String, String), Output> {
    let file = |home: &Home, name: &str| home.path.join(name);
    let output = openssl("call", groups)
        .args([&to.partner_plane, &to.host])
        .args([file(from, "certs/tls.pem"), file(from, "keys/tls.key"), file(to, "certs/tls-ca.pem")])
        .output()
        .unwrap();
    if !output.status.success() {
        return Err(output);
    }
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let (group, answer) = said.split_once('\n').unwrap();
    Ok((group.to_owned(), answer.to_owned()))
}

/// OpenSSL in the place of a home's gateway.
struct Server {
    child: Child,
    lines: BufReader<ChildStdout>,
    address: String,
}

impl Server {
    fn start(home: &Home, groups: &str) -> Self {
        let files = [home.path.join("certs/tls.pem"), home.path.join("keys/tls.key")];
        let mut child = openssl("serve", groups).args(files).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut port = String::new();
        lines.read_line(&mut port).unwrap();
        Self { child, lines, address: format!("127.0.0.1:{}", port.trim()) }
    }

    /// What became of its next connection.
    fn next(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The entries that tell of key exchanges: of whose connections, and the group.
fn entries(home: &Home) -> Vec<(String, String)> {
    let house = home.log(&["--partner", "house"]);
    let of = |entry: &Value| {
        assert_eq!(entry["kind"], "admin");
        let side = if entry["from"].is_string() { "from" } else { "to" };
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (format!("{side} {}", text(&entry[side])), text(&entry["code"]))
    };
    house.iter().filter(|entry| entry["what"] == "key_exchange").map(of).collect()
}

fn wait_for_line(home: &Home, line: &str) {
    wait_for(line, || home.gateway_log().contains(line).then_some(()));
}

fn policy(home: &Home, partner: &str, policy: &str) {
    home.ok(&["partner", "allow", partner, "--key-exchange", policy]);
}

fn submit(pair: &Pair) -> String {
    let answer = pair.iq.back_end(IQ).submit(&event(IQ, JO));
    assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.body));
    answer.json()["id"].as_str().unwrap().to_owned()
}

#[test]
fn two_gateways_speak_it_and_show_it() {
    let mut pair = Pair::set_up(None);
    pair.iq.with_operations();
    pair.jo.with_operations();
    pair.iq.start();
    pair.jo.start();
    let id = submit(&pair);
    assert_eq!(pair.iq.back_end(IQ).outcome(&id)["state"], "receipted");
    let tested = pair.iq.ok(&["partner", "test", "JO"]);
    assert!(
        tested.contains(&format!("exchanged in {HYBRID}, which a quantum computer does not open")),
        "{tested}"
    );
    wait_for_line(&pair.iq, &format!("connected partner=JO direction=out group={HYBRID}"));
    wait_for_line(&pair.jo, &format!("connected partner=IQ direction=in group={HYBRID}"));
    for (home, other) in [(&pair.iq, "JO"), (&pair.jo, "IQ")] {
        let both = vec![
            (format!("from {other}"), "x25519mlkem768".to_owned()),
            (format!("to {other}"), "x25519mlkem768".to_owned()),
        ];
        let seen = wait_for("both ways in the house log", || {
            let mut seen = entries(home);
            seen.sort();
            (seen.len() >= 2).then_some(seen)
        });
        assert_eq!(seen, both);
        let log = home.gateway_log();
        assert!(!log.contains("group=x25519"), "{log}");
        let status = home.json(&["status"]);
        let shown = &status["partners"][0]["key_exchange"];
        assert_eq!((&shown["in"]["group"], &shown["out"]["group"]), (&json!(HYBRID), &json!(HYBRID)));
        assert!(
            home.ok(&["status"]).contains(&format!("key exchange    {other} calls with {HYBRID} since "))
        );
        for direction in ["in", "out"] {
            let figure = format!(
                "silkgate_handshakes_total{{partner=\"{other}\",direction=\"{direction}\",group=\"{HYBRID}\"}}"
            );
            let text = metrics(home);
            assert!(text.contains(&figure), "{figure}: {text}");
        }
    }
    // A start says nothing that was said.
    assert_eq!(pair.jo.stop(), Some(0));
    pair.jo.start();
    let lines = |home: &Home| home.gateway_log().matches("connected partner=IQ").count();
    let before = lines(&pair.jo);
    let id = submit(&pair);
    assert_eq!(pair.iq.back_end(IQ).outcome(&id)["state"], "receipted");
    wait_for("a connection after the start", || (lines(&pair.jo) > before).then_some(()));
    assert_eq!(entries(&pair.jo).len(), 2);
    assert!(pair.iq.audit().is_empty() && pair.jo.audit().is_empty());
}

fn metrics(home: &Home) -> String {
    let address = home.operations.as_deref().unwrap();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn openssl_calls_us_with_it_and_without() {
    let mut pair = Pair::set_up(None);
    pair.jo.start();
    for (groups, agreed) in [
        (HYBRID, HYBRID),
        ("default", HYBRID),
        ("secp384r1:X25519MLKEM768", "secp384r1"),
        ("secp521r1:X25519MLKEM768", HYBRID),
        ("x25519", "x25519"),
        ("prime256v1:x25519", "secp256r1"),
    ] {
        let (group, answer) = call(&pair.iq, &pair.jo, groups).unwrap();
        assert_eq!(group.to_lowercase(), agreed.to_lowercase(), "{groups}");
        assert!(answer.starts_with("HTTP/1.1 200"), "{groups}: {answer}");
        wait_for_line(&pair.jo, &format!("connected partner=IQ direction=in group={agreed}"));
    }
    let refused = call(&pair.iq, &pair.jo, "secp521r1").unwrap_err();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("handshake failure"));
}

#[test]
fn we_call_openssl_with_it_and_without() {
    for (groups, agreed) in
        [("default", HYBRID), (HYBRID, HYBRID), ("x25519", "x25519"), ("prime256v1", "secp256r1")]
    {
        let folder = TempDir::new().unwrap();
        let mut iq = Home::init(folder.path(), IQ);
        let jo = Home::init(folder.path(), JO);
        let mut server = Server::start(&jo, groups);
        iq.add_partner(&jo, Some(&server.address));
        iq.start();
        assert_eq!(server.next().to_lowercase(), agreed.to_lowercase(), "{groups}");
        wait_for_line(&iq, &format!("connected partner=JO direction=out group={agreed}"));
        // Under the strictest policy what is no hybrid is no connection.
        policy(&iq, "JO", "hybrid_only");
        let id = iq.back_end(IQ).submit(&event(IQ, JO)).json()["id"].as_str().unwrap().to_owned();
        if agreed == HYBRID {
            assert_eq!(server.next().to_lowercase(), agreed.to_lowercase());
            continue;
        }
        wait_for("a refusal by OpenSSL", || server.next().starts_with("refused").then_some(()));
        wait_for_line(
            &iq,
            "key_exchange_weak: the server does not take X25519MLKEM768, and the agreement wants it",
        );
        assert_eq!(iq.back_end(IQ).get(&format!("/v1/submissions/{id}")).json()["state"], "queued");
        // And back: it is spoken to again.
        policy(&iq, "JO", "hybrid_first");
        wait_for("a connection again", || (server.next().to_lowercase() == agreed).then_some(()));
    }
}

#[test]
fn a_connection_without_it_carries_nothing_where_the_agreement_wants_it() {
    let mut pair = Pair::set_up(None);
    pair.jo.start();
    // This client knows classical groups only. Its connection is open when the policy changes.
    let client = pair.iq.as_partner_of(&pair.jo);
    let message = |pair: &Pair| sign(&pair.iq.message_key(), &event(IQ, JO)).bytes;
    assert_eq!(client.message(&message(&pair)).status, 200, "hybrid_first takes it");
    wait_for_line(&pair.jo, "connected partner=IQ direction=in group=x25519");
    let mut open = client.connect().unwrap();
    let ask = b"GET /v1/channel HTTP/1.1\r\nHost: x\r\n\r\n";
    open.write_all(ask).unwrap();
    assert_eq!(support::wire::read_answer(&mut open).unwrap().status, 200);
    policy(&pair.jo, "IQ", "hybrid_only");
    wait_for("the policy to be felt", || {
        let refused = client.message(&message(&pair));
        (refused.code() == "key_exchange_weak").then(|| {
            assert_eq!(refused.status, 403);
            assert!(refused.json()["receipt"].is_null(), "it is no verdict");
        })
    });
    open.write_all(ask).unwrap();
    let refused = support::wire::read_answer(&mut open).unwrap();
    assert_eq!((refused.status, refused.code().as_str()), (403, "key_exchange_weak"));
    assert_eq!(open.read(&mut [0]).unwrap_or(0), 0, "the connection ends");
    wait_for_line(&pair.jo, "connection refused partner=IQ code=key_exchange_weak");
    let taken =
        || pair.jo.log(&["--partner", "IQ"]).iter().filter(|entry| entry["kind"] == "received").count();
    let before = taken();
    for path in ["/v1/channel", "/v1/log/checkpoint", "/nowhere"] {
        assert_eq!(client.get(path).code(), "key_exchange_weak", "{path}");
    }
    assert_eq!(client.message(&message(&pair)).code(), "key_exchange_weak");
    assert_eq!(taken(), before, "no message was taken");
    let (group, answer) = call(&pair.iq, &pair.jo, "x25519").unwrap();
    assert!(
        group.eq_ignore_ascii_case("x25519") && answer.contains("key_exchange_weak"),
        "{group}: {answer}"
    );
    let (_, answer) = call(&pair.iq, &pair.jo, "default").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(pair.jo.audit().is_empty());
}

#[test]
fn a_gateway_that_is_refused_so_sends_later() {
    let pair = Pair::start();
    policy(&pair.iq, "JO", "classical");
    policy(&pair.jo, "IQ", "hybrid_only");
    wait_for_line(&pair.jo, "connection refused partner=IQ code=key_exchange_weak");
    let id = submit(&pair);
    wait_for_line(&pair.iq, "key_exchange_weak");
    let status = pair.iq.back_end(IQ).get(&format!("/v1/submissions/{id}")).json();
    assert_eq!(status["state"], "queued", "{status}");
    policy(&pair.iq, "JO", "hybrid_first");
    assert_eq!(pair.iq.back_end(IQ).outcome(&id)["state"], "receipted");
    assert!(pair.iq.audit().is_empty() && pair.jo.audit().is_empty());
}

#[test]
fn where_every_agreement_says_so_it_is_not_spoken() {
    let mut pair = Pair::set_up(None);
    policy(&pair.jo, "IQ", "classical");
    pair.jo.start();
    let (group, answer) = call(&pair.iq, &pair.jo, "default").unwrap();
    assert!(group.eq_ignore_ascii_case("x25519") && answer.starts_with("HTTP/1.1 200"), "{group}: {answer}");
    assert!(call(&pair.iq, &pair.jo, HYBRID).is_err());
    let tested = pair.iq.ok(&["partner", "test", "JO"]);
    assert!(tested.contains("exchanged in x25519: they do not offer X25519MLKEM768"), "{tested}");
    let refused = pair.jo.run(&["partner", "allow", "IQ", "--key-exchange", "none"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("hybrid_first, hybrid_only or classical"));
}

#[test]
fn a_fall_is_in_the_house_log_at_once_and_the_way_back_waits() {
    let mut pair = Pair::set_up(None);
    pair.jo.start();
    let call = |groups: &str| drop(call(&pair.iq, &pair.jo, groups).unwrap());
    let said = |codes: &[&str]| {
        wait_for("the house log to tell", || (entries(&pair.jo).len() >= codes.len()).then_some(()));
        let seen: Vec<String> = entries(&pair.jo).into_iter().map(|(_, code)| code).collect();
        assert_eq!(seen, codes);
    };
    call("default");
    said(&["x25519mlkem768"]);
    call("x25519");
    said(&["x25519mlkem768", "x25519"]);
    for _ in 0..3 {
        call("default");
        call("x25519");
    }
    // What waits is tried at each look for changes, after a change is told: between two of these it was.
    for (at, policy_now) in ["classical", "hybrid_first"].into_iter().enumerate() {
        policy(&pair.jo, "IQ", policy_now);
        let line = "partner changed partner=IQ what=agreement";
        wait_for("the change", || (pair.jo.gateway_log().matches(line).count() > at).then_some(()));
    }
    said(&["x25519mlkem768", "x25519"]);
    let status = pair.jo.json(&["status"]);
    assert_eq!(status["partners"][0]["key_exchange"]["in"]["group"], "x25519");
    assert!(pair.jo.audit().is_empty());
}
