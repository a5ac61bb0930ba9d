//! Two neighbours witness each other's logs: what one has shown it can no longer rewrite.

mod guard;

use std::path::Path;

use serde_json::{Value, json};
use silkgate_ledger::tree::{Tiles, consistency_proof};
use silkgate_ledger::{
    AddCheckpoint, Checkpoint, Edge, Note, NoteSigner, Receipt, WitnessKey, leaf_hash, sign_checkpoint,
};
use silkgate_message::card::Card;
use support::home::{Home, set};
use support::{Client, Pair, event, sign, wait_for, wire};

const IQ: &str = "IQ/traffic-police";
const JO: &str = "JO/public-security";
const OF_IQ: &str = "gateway.iq.example/IQ/JO";
const ADD: &str = "/v1/witness/add-checkpoint";

/// Both set up to show their logs at once.
fn quick() -> Pair {
    let pair = Pair::set_up(None);
    for home in [&pair.iq, &pair.jo] {
        set(home, "show_seconds", "0");
    }
    pair
}

pub fn submit(home: &Home, from: &str, to: &str) -> String {
    let event = event(from, to);
    let back_end = home.back_end(from);
    let answer = back_end.submit(&event);
    assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.body));
    let id = event["id"].as_str().unwrap().to_owned();
    assert_eq!(back_end.outcome(&id)["state"], "receipted");
    id
}

/// Waits until the partners have cosigned everything there is.
pub fn all_cosigned(home: &Home) -> Value {
    wait_for("every entry to be cosigned", || {
        let status = home.json(&["status"]);
        let witness = status["witness"].as_array().unwrap();
        witness.iter().all(|w| w["size"] == w["of"]).then(|| status.clone())
    })
}

fn stop(home: &mut Home) {
    assert_eq!(home.stop(), Some(0));
}

/// The witness key on a card.
fn witness_key(card: &Path) -> WitnessKey {
    let card = Card::parse(&std::fs::read(card).unwrap()).unwrap();
    card.content().witness.key.parse().unwrap()
}

#[test]
fn neighbours_cosign_each_other_and_every_later_receipt_carries_it() {
    let mut pair = quick();
    pair.jo.start();
    let (client, key) = (pair.iq.as_partner_of(&pair.jo), pair.iq.message_key());
    let message = sign(&key, &event(IQ, JO));
    let first = client.message(&message.bytes);
    assert_eq!(first.status, 200);
    let first = Receipt::parse(&first.body).unwrap();
    assert_eq!(first.proof().checkpoint.signatures().len(), 1, "nobody has cosigned it yet");
    pair.iq.start();
    submit(&pair.iq, IQ, JO);
    submit(&pair.jo, JO, IQ);
    let status = all_cosigned(&pair.jo);
    assert_eq!(status["witness"].as_array().unwrap().len(), 2, "the channel and the house log");
    assert_eq!(status["alarms"], json!([]));
    all_cosigned(&pair.iq);
    let said = pair.jo.ok(&["status"]);
    assert!(said.contains("IQ has cosigned all of it of gateway.jo.example/JO/IQ"), "{said}");

    // The same entry, proved under a checkpoint with Iraq's cosignature.
    let witness = witness_key(&pair.iq.path.with_extension("card"));
    let is_cosigned = |receipt: &[u8]| {
        let later = Receipt::parse(receipt).unwrap();
        assert_eq!(later.entry_bytes(), first.entry_bytes());
        assert!(witness.cosigned(&later.proof().checkpoint).unwrap().is_some());
    };
    let again = client.message(&message.bytes);
    assert_eq!((again.status, again.header("silkgate-replay")), (200, Some("true")));
    is_cosigned(&again.body);
    let delivery = pair.jo.back_end(JO).deliveries("").remove(0);
    is_cosigned(delivery["receipt"].as_str().unwrap().as_bytes());
    let folder = pair.folder.path().to_string_lossy().into_owned();
    pair.jo.ok(&["show", &message.id, "--save", &folder]);
    let receipt = pair.folder.path().join(format!("{}.receipt", message.id));
    is_cosigned(&std::fs::read(&receipt).unwrap());
    let jo_card = pair.jo.path.with_extension("card");
    let verified = pair.jo.run(&["verify", &receipt.to_string_lossy(), "--card", &jo_card.to_string_lossy()]);
    assert_eq!(verified.status.code(), Some(0));
    // What a witness holds can be read by whose log it is, and only there.
    let hash: String = ring_sha256(OF_IQ);
    let held = client.get(&format!("/v1/witness/{hash}/checkpoint"));
    assert_eq!(held.status, 200);
    let jordan = witness_key(&jo_card);
    assert!(jordan.cosigned(&Note::parse(&held.body).unwrap()).unwrap().is_some());
    assert_eq!(client.get(&format!("/v1/witness/{}/checkpoint", "0".repeat(64))).status, 404);
    assert!(pair.iq.audit().is_empty() && pair.jo.audit().is_empty());
}

fn ring_sha256(text: &str) -> String {
    let digest = silkgate_message::jws::Digest::of(text.as_bytes()).0;
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What `log recover` tells without a code.
fn told(home: &Home, partner: &str) -> Value {
    let told = home.run(&["log", "recover", partner, "--json"]);
    assert_eq!(told.status.code(), Some(1), "{}", String::from_utf8_lossy(&told.stderr));
    serde_json::from_slice(&told.stdout).unwrap()
}

/// A log under Iraq's own key, as long as one likes and with what one likes in it.
struct Log {
    signer: NoteSigner,
    edge: Edge,
    tiles: Tiles,
}

impl Log {
    fn new(iq: &Home, origin: &str) -> Self {
        let key = wire::private_key(&iq.path.join("keys/log.key"));
        let signer = NoteSigner::from_pkcs8(origin, key.secret_der()).unwrap();
        Self { signer, edge: Edge::empty(), tiles: Tiles::default() }
    }

    fn append(&mut self, entry: &str) {
        self.edge.append(leaf_hash(entry.as_bytes()));
        for (id, tile) in self.edge.take_changed() {
            self.tiles.insert(id, tile);
        }
    }

    fn note(&self) -> Note {
        let origin = self.signer.name().parse().unwrap();
        let checkpoint = Checkpoint { origin, size: self.edge.size(), root: self.edge.root() };
        sign_checkpoint(&checkpoint, &self.signer).unwrap()
    }

    fn request(&self, old: u64) -> AddCheckpoint {
        let proof = consistency_proof(old, self.edge.size(), &self.tiles).unwrap();
        AddCheckpoint { old, proof, note: self.note() }
    }
}

fn show(client: &Client, request: &AddCheckpoint) -> (u16, String, String) {
    let answer = client.post(ADD, "text/plain", &request.encode());
    let kind = answer.header("content-type").unwrap_or_default().to_owned();
    (answer.status, kind, String::from_utf8_lossy(&answer.body).into_owned())
}

/// Every status of C2SP tlog-witness, and what a fork brings about.
#[test]
fn a_witness_answers_as_the_standard_says_and_a_fork_raises_an_alarm() {
    let mut pair = quick();
    // Iraq's gateway is not running: its keys are used by hand.
    pair.jo.start();
    let (client, key) = (pair.iq.as_partner_of(&pair.jo), pair.iq.message_key());
    let mut log = Log::new(&pair.iq, OF_IQ);
    (0..5).for_each(|n| log.append(&format!("entry {n}")));
    let early = log.request(0);
    let (status, _, line) = show(&client, &early);
    assert_eq!((status, line.matches('\u{2014}').count(), line.lines().count()), (200, 1, 1), "{line}");
    let mut note = early.note.clone();
    note.add_signature(silkgate_ledger::NoteSignature::parse(line.trim_end()).unwrap()).unwrap();
    let jordan = witness_key(&pair.jo.path.with_extension("card"));
    assert!(jordan.cosigned(&note).unwrap().is_some());
    assert_eq!(show(&client, &log.request(5)).0, 200, "the same once more tells the time");
    let mut fork = Log::new(&pair.iq, OF_IQ);
    (0..5).for_each(|n| fork.append(&format!("entry {}", n * 2)));
    (5..300).for_each(|n| log.append(&format!("entry {n}")));
    // 409: another size was cosigned last; it is told.
    for old in [0, 4, 6] {
        let expected = (409, "text/x.tlog.size".to_owned(), "5\n".to_owned());
        assert_eq!(show(&client, &log.request(old)), expected, "{old}");
    }
    // 400: no request, or an old size above the checkpoint's.
    for (name, body) in [
        ("nothing", Vec::new()),
        ("no old size", log.note().encode()),
        ("no note", b"old 5\n\n".to_vec()),
        ("an old size above", AddCheckpoint { old: 301, proof: Vec::new(), note: log.note() }.encode()),
        ("a leading zero", [b"old 05\n\n".as_slice(), &log.note().encode()].concat()),
        ("a proof too long", AddCheckpoint { proof: vec![leaf_hash(b""); 64], ..log.request(5) }.encode()),
    ] {
        let answer = client.post(ADD, "text/plain", &body);
        assert_eq!((answer.status, answer.code().as_str()), (400, "witness_request_invalid"), "{name}");
    }
    // 404: a log that is not the caller's.
    for origin in ["gateway.iq.example/IQ/SA", "gateway.jo.example/JO/IQ", "gateway.sa.example/SA/JO"] {
        let mut other = Log::new(&pair.iq, origin);
        other.append("entry");
        assert_eq!(show(&client, &other.request(0)).0, 404, "{origin}");
    }
    // 403: not signed by the log's key.
    let mut stranger = Log::new(&pair.jo, OF_IQ);
    stranger.append("entry");
    let answer = client.post(ADD, "text/plain", &stranger.request(0).encode());
    assert_eq!((answer.status, answer.code().as_str()), (403, "checkpoint_unsigned"));
    assert!(pair.jo.json(&["status"])["alarms"].as_array().unwrap().is_empty(), "nothing so far is a fork");
    // Goes on as a log does.
    assert_eq!(show(&client, &log.request(5)).0, 200);
    let back_end = pair.jo.back_end(JO);
    assert_eq!(client.message(&sign(&key, &event(IQ, JO)).bytes).status, 200);
    // 422: another history under the same key.
    let forked = AddCheckpoint {
        old: 300,
        proof: Vec::new(),
        note: {
            (5..300).for_each(|n| fork.append(&format!("other {n}")));
            fork.note()
        },
    };
    let answer = client.post(ADD, "text/plain", &forked.encode());
    assert_eq!((answer.status, answer.code().as_str()), (422, "log_inconsistent"));
    let status = pair.jo.json(&["status"]);
    let alarm = &status["alarms"][0];
    assert_eq!(
        (&alarm["kind"], &alarm["partner"], &alarm["origin"]),
        (&json!("fork"), &json!("IQ"), &json!(OF_IQ))
    );
    assert_eq!(alarm["theirs"], String::from_utf8(forked.note.encode()).unwrap());
    assert!(alarm["ours"].as_str().unwrap().starts_with(log.note().text()), "both notes are kept");
    let line = "ALARM: the partner's log CONTRADICTS";
    wait_for("the alarm", || pair.jo.gateway_log().contains(line).then_some(()));
    assert!(pair.jo.ok(&["status"]).contains("ALARM"));
    let entries = pair.jo.log(&["--partner", "house"]);
    assert_eq!(entries.iter().filter(|e| e["what"] == "alarm" && e["to"] == "IQ").count(), 1);
    assert_eq!(client.post(ADD, "text/plain", &forked.encode()).status, 422);
    assert_eq!(pair.jo.json(&["status"])["alarms"].as_array().unwrap().len(), 1, "one alarm, however often");
    // The agreement's mode: ours wait, theirs are put off without a verdict.
    let late = sign(&key, &event(IQ, JO));
    let answer = client.message(&late.bytes);
    assert_eq!((answer.status, answer.code().as_str()), (503, "degraded"));
    assert!(answer.header("retry-after").is_some() && answer.json()["receipt"].is_null());
    let waiting = event(JO, IQ);
    assert_eq!(back_end.submit(&waiting).status, 202, "queued");
    pair.jo.ok(&["partner", "allow", "IQ", "--degraded", "stop"]);
    wait_for("the agreement to be read again", || {
        (back_end.submit(&event(JO, IQ)).code() == "degraded").then_some(())
    });
    pair.jo.ok(&["partner", "allow", "IQ", "--degraded", "accept"]);
    wait_for("the agreement to be read again", || (client.message(&late.bytes).status == 200).then_some(()));
    pair.jo.ok(&["partner", "allow", "IQ", "--degraded", "queue"]);
    wait_for("the agreement to be read again", || {
        (client.message(&sign(&key, &event(IQ, JO)).bytes).code() == "degraded").then_some(())
    });
    // A restart forgets nothing.
    assert_eq!(pair.jo.stop(), Some(0));
    pair.jo.start();
    assert_eq!(client.message(&sign(&key, &event(IQ, JO)).bytes).code(), "degraded");
    // It is settled by a ceremony only. Iraq's own database holds none of what its key was misused for.
    pair.iq.start();
    wait_for("Iraq to notice", || {
        (pair.iq.json(&["status"])["alarms"][0]["kind"] == "rollback").then_some(())
    });
    let told = told(&pair.jo, "IQ");
    assert_eq!((&told["recovered"], &told["lost"]), (&json!(false), &json!("theirs")));
    let wrong = "0000-0000-0000-0000-0000-0000-0000-0000";
    assert_eq!(pair.jo.run(&["log", "recover", "IQ", "--code", wrong]).status.code(), Some(1));
    assert_eq!(pair.jo.json(&["status"])["alarms"].as_array().unwrap().len(), 1);
    for (home, partner) in [(&pair.jo, "IQ"), (&pair.iq, "JO")] {
        home.ok(&["log", "recover", partner, "--code", told["code"].as_str().unwrap()]);
        assert_eq!(home.json(&["status"])["alarms"], json!([]));
    }
    wait_for("messages to pass again", || {
        (client.message(&sign(&key, &event(IQ, JO)).bytes).status == 200).then_some(())
    });
    for (partner, what) in [("IQ", "partner_log_recovered"), ("house", "alarm_settled")] {
        assert!(pair.jo.log(&["--partner", partner]).iter().any(|entry| entry["what"] == what), "{what}");
    }
    all_cosigned(&pair.iq);
    assert_ne!(show(&client, &forked).0, 200, "the witness goes on with Iraq's own log");
    assert!(pair.jo.audit().is_empty() && pair.iq.audit().is_empty());
}

#[test]
fn a_witness_that_lost_its_memory_asks_for_it_and_never_signs_below() {
    let mut pair = quick();
    pair.jo.start();
    let client = pair.iq.as_partner_of(&pair.jo);
    stop(&mut pair.jo);
    let older = pair.jo.snapshot();
    pair.iq.start();
    pair.jo.start();
    submit(&pair.iq, IQ, JO);
    all_cosigned(&pair.iq);
    let size = |home: &Home, origin: &str| {
        let logs = home.json(&["status"])["logs"].clone();
        logs.as_array().unwrap().iter().find(|log| log["origin"] == origin).unwrap()["size"].as_u64().unwrap()
    };
    let seen = size(&pair.iq, OF_IQ);
    stop(&mut pair.jo);
    pair.jo.put_back(&older);
    pair.jo.start();
    wait_for("the memory to come back", || {
        pair.jo.gateway_log().contains("our witness had cosigned more").then_some(())
    });
    let held = client.get(&format!("/v1/witness/{}/checkpoint", ring_sha256(OF_IQ)));
    let held = Checkpoint::parse(Note::parse(&held.body).unwrap().text()).unwrap();
    assert!(held.size >= seen, "{} of {seen}", held.size);
    // Another history, as if nothing had been cosigned yet.
    let mut other = Log::new(&pair.iq, OF_IQ);
    (0..3).for_each(|n| other.append(&format!("entry {n}")));
    assert_eq!(
        show(&client, &other.request(0)),
        (409, "text/x.tlog.size".to_owned(), format!("{}\n", held.size))
    );
}

/// A neighbour that answers like none: whatever it says, it cannot make us believe that we lost something.
#[test]
fn a_witness_that_lies_stops_nothing_but_its_own_channel() {
    let mut pair = Pair::set_up(None);
    pair.iq.start();
    let channel = pair.jo.as_partner_of(&pair.iq).get("/v1/log/checkpoint");
    let note = Note::parse(&channel.body).unwrap();
    let card = Card::parse(&std::fs::read(pair.iq.path.with_extension("card")).unwrap()).unwrap();
    let house: silkgate_ledger::VerifierKey = card.content().logs[0].key.parse().unwrap();
    // Iraq's own signature over its channel's checkpoint, under the name of its house log.
    let signature = note.signatures()[0].bytes().to_vec();
    let line = silkgate_ledger::NoteSignature::new(house.name(), house.key_id(), signature).unwrap();
    let relabelled = format!("{}\n{line}\n", note.text());
    let mut unsigned = Log::new(&pair.jo, OF_IQ);
    unsigned.append("entry");
    let lies = [
        (ring_sha256(house.name()), relabelled.into_bytes()),
        (ring_sha256(OF_IQ), unsigned.note().encode()),
    ];
    let listener = std::net::TcpListener::bind(&pair.jo.partner_plane).unwrap();
    let identity = pair.jo.path.clone();
    let asked = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let told = asked.clone();
    std::thread::spawn(move || {
        loop {
            let certificate = identity.join("certs/tls.pem");
            let mut tls =
                wire::accept(&listener, wire::identity(&certificate, &identity.join("keys/tls.key")));
            let mut buffer = [0; 16384];
            let Ok(read) = std::io::Read::read(&mut tls, &mut buffer) else { continue };
            let head = String::from_utf8_lossy(&buffer[..read]).to_lowercase();
            let lie = lies
                .iter()
                .find(|(hash, _)| head.starts_with(&format!("get /v1/witness/{hash}/checkpoint ")));
            told.fetch_add(usize::from(lie.is_some()), std::sync::atomic::Ordering::SeqCst);
            let (status, body) = lie.map_or((404, Vec::new()), |(_, lie)| (200, lie.clone()));
            let answer = format!(
                "HTTP/1.1 {status} X\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let _ = std::io::Write::write_all(&mut tls, &[answer.into_bytes(), body].concat());
            tls.conn.send_close_notify();
            let _ = std::io::Write::flush(&mut tls);
        }
    });
    wait_for("some lies", || (asked.load(std::sync::atomic::Ordering::SeqCst) >= 3).then_some(()));
    assert_eq!(pair.iq.json(&["status"])["alarms"], json!([]));
    let client = pair.jo.as_partner_of(&pair.iq);
    assert_eq!(client.message(&sign(&pair.jo.message_key(), &event(JO, IQ)).bytes).status, 200);
}
