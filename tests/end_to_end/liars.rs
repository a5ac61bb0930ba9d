//! A partner that lies: it holds its own keys and says what it likes. A message counts as accepted or
//! refused only under a receipt that proves it.

use std::net::TcpListener;

use serde_json::{Value, json};
use silkgate_ledger::entry::{Entry, Kind, UtcMillis, Verdict};
use silkgate_ledger::{Checkpoint, Edge, Hash, NoteSigner, Receipt, leaf_hash, sign_checkpoint};
use silkgate_message::jws::Jws;
use support::home::free_ports;
use support::stub::{request, respond};
use support::{Home, Pair, event, now_ms, wait_for, wire};

/// A receipt from Jordan's log key over whatever entry, in a log of that origin.
fn receipt(jo: &Home, origin: &str, entry: &Entry) -> String {
    let body = entry.encode().unwrap();
    let key = wire::private_key(&jo.path.join("keys/log.key"));
    let signer = NoteSigner::from_pkcs8(origin, key.secret_der()).unwrap();
    let mut edge = Edge::empty();
    edge.append(leaf_hash(&body));
    let checkpoint = Checkpoint { origin: origin.parse().unwrap(), size: 1, root: edge.root() };
    let note = sign_checkpoint(&checkpoint, &signer).unwrap();
    let receipt = Receipt::new(body, 0, edge.inclusion_proof(0).unwrap(), note);
    String::from_utf8(receipt.encode()).unwrap()
}

/// The entry that an honest gateway would write.
fn honest(message: &Jws) -> Entry {
    let text = |name: &str| message.event[name].as_str().map(str::to_owned);
    let mut entry = Entry::new(Kind::Received, UtcMillis::from_unix_ms(now_ms()).unwrap());
    (entry.from, entry.to, entry.id, entry.message_type) =
        (text("source"), text("recipient"), text("id"), text("type"));
    entry.jws = Some(Hash::from_bytes(message.digest().0));
    entry.verdict = Some(Verdict::Accepted);
    entry
}

/// Takes one message on the listener under Jordan's own TLS key and answers it. Whatever else is asked is not there.
fn answer(jo: &Home, listener: &TcpListener, reply: impl FnOnce(&Jws) -> (u16, String)) {
    loop {
        let mut tls = wire::accept(listener, jo.tls_identity());
        let (head, body) = request(&mut tls);
        if !head.starts_with("post /v1/messages ") {
            respond(&mut tls, 404, &[], "");
            continue;
        }
        let (status, text) = reply(&Jws::parse(&body).unwrap());
        return respond(&mut tls, status, &[], &text);
    }
}

type Lie = fn(&Home, &Jws) -> (u16, String);

const CHANNEL: &str = "gateway.jo.example/JO/IQ";

/// What is answered, and why it proves nothing.
const LIES: [(&str, Lie); 11] = [
    ("no receipt at all", |_, _| (200, "accepted, honestly".into())),
    ("another message's receipt", |jo, m| {
        let mut entry = honest(m);
        entry.jws = Some(Hash::of(b"another"));
        (200, receipt(jo, CHANNEL, &entry))
    }),
    ("another id", |jo, m| {
        let mut entry = honest(m);
        entry.id = Some("0192f1a0-7b3c-7def-8123-456789abcdef".into());
        (200, receipt(jo, CHANNEL, &entry))
    }),
    ("another recipient", |jo, m| {
        let mut entry = honest(m);
        entry.to = Some("JO/post-office".into());
        (200, receipt(jo, CHANNEL, &entry))
    }),
    ("another channel's log", |jo, m| (200, receipt(jo, "gateway.jo.example/JO/SA", &honest(m)))),
    ("the house log", |jo, m| (200, receipt(jo, "gateway.jo.example/JO/house", &honest(m)))),
    ("a log of another host", |jo, m| (200, receipt(jo, "gateway.sa.example/JO/IQ", &honest(m)))),
    ("a receipt that says refused, under 200", |jo, m| {
        let mut entry = honest(m);
        (entry.kind, entry.verdict, entry.code) =
            (Kind::Rejected, Some(Verdict::Rejected), Some("expired".into()));
        (200, receipt(jo, CHANNEL, &entry))
    }),
    ("a refusal whose receipt says accepted", |jo, m| {
        (422, problem("expired", Some(receipt(jo, CHANNEL, &honest(m)))))
    }),
    ("a refusal whose receipt has another code", |jo, m| {
        let mut entry = honest(m);
        (entry.kind, entry.verdict, entry.code) =
            (Kind::Rejected, Some(Verdict::Rejected), Some("expired".into()));
        (422, problem("schema_invalid", Some(receipt(jo, CHANNEL, &entry))))
    }),
    ("a refusal without receipt", |_, _| (422, problem("schema_invalid", None))),
];

fn problem(code: &str, receipt: Option<String>) -> String {
    json!({ "type": "about:blank", "title": "x", "status": 422, "code": code, "receipt": receipt })
        .to_string()
}

#[test]
fn no_lie_settles_a_message_and_the_truth_does() {
    let [port, _] = free_ports();
    let address = format!("127.0.0.1:{port}");
    let mut pair = Pair::set_up(Some(&address));
    support::home::set(&pair.iq, "backoff_longest_ms", "500");
    pair.iq.start();
    let listener = TcpListener::bind(&address).unwrap();
    let police = pair.iq.back_end("IQ/traffic-police");
    let event = event("IQ/traffic-police", "JO/public-security");
    assert_eq!(police.submit(&event).status, 202);
    let path = format!("/v1/submissions/{}", event["id"].as_str().unwrap());
    for (number, (name, lie)) in LIES.into_iter().enumerate() {
        answer(&pair.jo, &listener, |message| lie(&pair.jo, message));
        let status: Value = wait_for("the attempt to be noted", || {
            let status = police.get(&path).json();
            (status["attempts"].as_u64() > Some(number as u64)).then_some(status)
        });
        assert_eq!(status["state"], "queued", "{name} settled the message: {status}");
        assert!(status["receipt"].is_null(), "{name}");
        let last = status["last_attempt"].as_str().unwrap();
        assert!(last.contains("proves nothing") || last.contains("without receipt"), "{name}: {last}");
    }
    answer(&pair.jo, &listener, |message| (200, receipt(&pair.jo, CHANNEL, &honest(message))));
    assert_eq!(police.outcome(event["id"].as_str().unwrap())["state"], "receipted");
    assert!(pair.iq.audit().is_empty());
}
