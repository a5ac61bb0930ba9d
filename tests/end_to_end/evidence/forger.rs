//! What a hostile exporter can do who holds the log key too and writes its own log anew.

use silkgate_evidence::bundle::{Part, revocation};
use silkgate_evidence::container::Members;
use silkgate_ledger::entry::{Entry, Kind, Verdict};
use silkgate_ledger::{Checkpoint, Edge, Hash, NoteSigner, Receipt, TlogProof, leaf_hash, sign_checkpoint};
use silkgate_message::jws::SigningCertificate;
use support::{Home, wire};

use super::Altered;
use super::exporter::{Exporter, name};
use super::fixture::{States, verdicts};

const KIND: &str = "an own log made anew, signed again";

/// Entries in order, each with the part of the bundle that proves it.
pub(super) type Log = Vec<(Part, Vec<u8>)>;

pub(super) struct Forger {
    key: Vec<u8>,
    certificate: SigningCertificate,
}

/// The entries that a message's proofs hold, in their order.
pub(super) fn log_of(members: &Members) -> Log {
    let parts = [Part::Card, Part::Agreement, Part::Entry, Part::Outcome];
    let proof =
        |part: Part| Some((part, TlogProof::parse(members.get(&name(part))?).unwrap().extra.unwrap()));
    parts.into_iter().filter_map(proof).collect()
}

impl Forger {
    pub(super) fn of(home: &Home) -> Self {
        let certificate = wire::certificates(&home.path.join("certs/message.pem")).remove(0);
        Self {
            key: wire::private_key(&home.path.join("keys/log.key")).secret_der().to_vec(),
            certificate: SigningCertificate::parse(&certificate).unwrap(),
        }
    }

    /// Proofs of all entries of a new log of that origin.
    pub(super) fn prove(&self, origin: &str, log: &Log) -> Vec<(Part, Vec<u8>)> {
        let mut edge = Edge::empty();
        for (_, entry) in log {
            edge.append(leaf_hash(entry));
        }
        let signer = NoteSigner::from_pkcs8(origin, &self.key).unwrap();
        let checkpoint = Checkpoint { origin: origin.parse().unwrap(), size: edge.size(), root: edge.root() };
        let note = sign_checkpoint(&checkpoint, &signer).unwrap();
        let prove = |(at, (part, entry)): (usize, &(Part, Vec<u8>))| {
            let hashes = edge.inclusion_proof(at as u64).unwrap();
            (*part, Receipt::new(entry.clone(), at as u64, hashes, note.clone()).encode())
        };
        log.iter().enumerate().map(prove).collect()
    }

    /// The members with the proofs of that log in place of their own.
    fn forged(&self, members: &Members, log: &Log) -> Members {
        let mut members = members.clone();
        for (part, proof) in self.prove("gateway.iq.example/IQ/JO", log) {
            members.insert(name(part), proof);
        }
        members
    }
}

type EntryEdit = (&'static str, Part, Box<dyn Fn(&mut Entry)>);

fn entry_edits() -> Vec<EntryEdit> {
    let other = Hash::of(b"other");
    let text = |text: &str| Some(text.to_owned());
    vec![
        (
            "taken for a received one",
            Part::Entry,
            Box::new(|e| (e.kind, e.verdict) = (Kind::Received, Some(Verdict::Accepted))),
        ),
        ("from another state", Part::Entry, Box::new(move |e| e.from = text("SA/border-guard"))),
        ("from the partner", Part::Entry, Box::new(move |e| e.from = text("JO/public-security"))),
        ("from another party", Part::Entry, Box::new(move |e| e.from = text("IQ/customs"))),
        ("to another state", Part::Entry, Box::new(move |e| e.to = text("SA/border-guard"))),
        ("to another party", Part::Entry, Box::new(move |e| e.to = text("JO/customs"))),
        ("to a state only", Part::Entry, Box::new(move |e| e.to = text("JO"))),
        (
            "with another id",
            Part::Entry,
            Box::new(move |e| e.id = text("01a20c91-a000-7000-8000-000000000001")),
        ),
        ("of another type", Part::Entry, Box::new(move |e| e.message_type = text("alert.person"))),
        ("of another message", Part::Entry, Box::new(move |e| e.jws = Some(other))),
        ("with another certificate", Part::Entry, Box::new(move |e| e.cert = Some(other))),
        ("without a certificate", Part::Entry, Box::new(|e| e.cert = None)),
        ("with another edition", Part::Entry, Box::new(move |e| e.schema = Some(other))),
        ("without an edition", Part::Entry, Box::new(|e| e.schema = None)),
        (
            "at another time",
            Part::Entry,
            Box::new(|e| e.at = silkgate_ledger::UtcMillis::from_unix_ms(1).unwrap()),
        ),
        (
            "of a refusal",
            Part::Entry,
            Box::new(|e| {
                (e.kind, e.verdict, e.code) =
                    (Kind::Rejected, Some(Verdict::Rejected), Some("expired".into()))
            }),
        ),
        ("of an act", Part::Entry, Box::new(|e| (e.kind, e.what) = (Kind::Admin, Some("card".into())))),
        (
            "refused, it says",
            Part::Outcome,
            Box::new(|e| (e.verdict, e.code) = (Some(Verdict::Rejected), Some("expired".into()))),
        ),
        ("accepted with a code", Part::Outcome, Box::new(|e| e.code = Some("expired".into()))),
        (
            "expired, with the receipt there",
            Part::Outcome,
            Box::new(|e| (e.kind, e.verdict) = (Kind::Expired, None)),
        ),
        ("of another message", Part::Outcome, Box::new(move |e| e.jws = Some(other))),
        (
            "with another id",
            Part::Outcome,
            Box::new(move |e| e.id = text("01a20c91-a000-7000-8000-000000000001")),
        ),
        ("of no message", Part::Outcome, Box::new(|e| e.jws = None)),
        ("from another party", Part::Outcome, Box::new(move |e| e.from = text("IQ/customs"))),
        ("of a delivery", Part::Outcome, Box::new(|e| (e.kind, e.verdict) = (Kind::Delivered, None))),
        (
            "put aside, in the channel's log",
            Part::Outcome,
            Box::new(|e| (e.kind, e.verdict) = (Kind::Dead, None)),
        ),
        ("another card", Part::Card, Box::new(move |e| e.digest = Some(other))),
        ("no card's digest", Part::Card, Box::new(|e| e.digest = None)),
        ("an agreement for a card", Part::Card, Box::new(|e| e.what = Some("agreement".into()))),
        ("another act for a card", Part::Card, Box::new(|e| e.what = Some("own_card".into()))),
        ("another agreement than the text's", Part::Agreement, Box::new(move |e| e.digest = Some(other))),
        ("no agreement's digest", Part::Agreement, Box::new(|e| e.digest = None)),
        ("a card for an agreement", Part::Agreement, Box::new(|e| e.what = Some("card".into()))),
        (
            "an erasure for an agreement",
            Part::Agreement,
            Box::new(|e| (e.kind, e.of, e.rule) = (Kind::Erased, Some("0".into()), Some("x".into()))),
        ),
    ]
}

type Spelling = (&'static str, Box<dyn Fn(&str) -> String>);

/// Entries that are spelled as none is.
fn spellings() -> Vec<Spelling> {
    vec![
        ("white space", Box::new(|e| e.replacen(',', ", ", 1))),
        ("a line end", Box::new(|e| format!("{e}\n"))),
        ("another order", Box::new(|e| e.replacen("{\"v\":1,", "{", 1).replacen('}', ",\"v\":1}", 1))),
        ("an unknown member", Box::new(|e| e.replacen('}', ",\"x\":\"y\"}", 1))),
        ("a member twice", Box::new(|e| e.replacen("{\"v\":1,", "{\"v\":1,\"v\":1,", 1))),
        ("another format", Box::new(|e| e.replacen("\"v\":1", "\"v\":2", 1))),
        ("no number", Box::new(|e| e.replacen("\"v\":1", "\"v\":true", 1))),
        ("a float", Box::new(|e| e.replacen("\"v\":1", "\"v\":1.0", 1))),
        ("no format", Box::new(|e| e.replacen("\"v\":1,", "", 1))),
        (
            "an escape",
            Box::new(|e| {
                e.replacen("\"kind\":\"s", "\"kind\":\"\\u0073", 1)
                    .replacen("\"kind\":\"r", "\"kind\":\"\\u0072", 1)
                    .replacen("\"kind\":\"a", "\"kind\":\"\\u0061", 1)
            }),
        ),
        (
            "a verdict where none belongs",
            Box::new(|e| e.replacen("\"kind\":\"sent\"", "\"kind\":\"sent\",\"verdict\":\"accepted\"", 1)),
        ),
        ("too long", Box::new(|e| e.replacen('}', &format!(",\"role\":\"{}\"}}", "a".repeat(512)), 1))),
        ("a null", Box::new(|e| e.replacen('}', ",\"role\":null}", 1))),
        ("no object", Box::new(|e| format!("[{e}]"))),
    ]
}

pub(super) fn altered(states: &States, exporter: &Exporter) -> Vec<Altered> {
    let forger = Forger::of(&states.pair.iq);
    let members = states.of("sent");
    let log = log_of(&members);
    // A log that is made anew and tells the same is the exporter's own word: that much passes, and everything below
    // differs from it in one thing only.
    let erased = erased(&forger, &members, &log, &|_| {});
    let dead = dead(&forger, &members, &log, "gateway.iq.example/IQ/house", Kind::Dead);
    let controls: Vec<_> = [("anew", forger.forged(&members, &log)), ("erased", erased), ("dead", dead)]
        .into_iter()
        .map(|(name, members)| (name.to_owned(), exporter.sign(&members)))
        .collect();
    assert_eq!(verdicts(&controls), [(true, true); 3], "what is forged without a contradiction");
    let mut all = Vec::new();
    let mut add =
        |what: String, members: &Members| all.push(Altered::new(KIND, what, exporter.sign(members)));
    for (what, part, edit) in entry_edits() {
        let mut log = log.clone();
        let place = log.iter().position(|(p, _)| *p == part).unwrap();
        let mut entry = Entry::parse(&log[place].1).unwrap();
        edit(&mut entry);
        log[place].1 = entry.encode().unwrap();
        add(format!("{}: {what}", part.as_str()), &forger.forged(&members, &log));
    }
    for place in 0..log.len() {
        for (what, spell) in spellings() {
            let mut altered = log.clone();
            altered[place].1 = spell(std::str::from_utf8(&log[place].1).unwrap()).into_bytes();
            if altered != log {
                add(format!("{}: {what}", log[place].0.as_str()), &forger.forged(&members, &altered));
            }
        }
        for other in 0..place {
            let mut altered = log.clone();
            altered.swap(place, other);
            // Card and agreement may come into force in either order.
            if (other, place) != (0, 1) {
                add(
                    format!("{} before {}", log[place].0.as_str(), log[other].0.as_str()),
                    &forger.forged(&members, &altered),
                );
            }
        }
    }
    for at in 0..log.len() {
        // The same entries, but one proved under an earlier head or a later one.
        let longer = [log.clone(), vec![(Part::Problem, b"{}".to_vec())]].concat();
        let mut altered = forger.forged(&members, &log);
        let (part, proof) = forger.prove("gateway.iq.example/IQ/JO", &longer).remove(at);
        altered.insert(name(part), proof);
        add(format!("{}: under a later checkpoint", log[at].0.as_str()), &altered);
        for origin in [
            "gateway.iq.example/IQ/SA",
            "gateway.iq.example/IQ/house",
            "gateway.jo.example/JO/IQ",
            "gateway.iq.example/IQ/IQ",
        ] {
            let mut altered = forger.forged(&members, &log);
            let (part, proof) = forger.prove(origin, &log).remove(at);
            altered.insert(name(part), proof);
            add(format!("{}: in the log {origin}", log[at].0.as_str()), &altered);
        }
    }
    type Erasure = (&'static str, Box<dyn Fn(&mut Entry)>);
    let erasures: Vec<Erasure> = vec![
        ("of another entry", Box::new(|e| e.of = Some("1".into()))),
        ("of a message id", Box::new(|e| e.of.clone_from(&e.id))),
        ("of another message", Box::new(|e| e.jws = Some(Hash::of(b"")))),
        ("of no digest", Box::new(|e| e.jws = None)),
        ("of another id", Box::new(|e| e.id = Some("01a20c91-a000-7000-8000-000000000001".into()))),
        ("of another type", Box::new(|e| e.message_type = Some("alert.person".into()))),
        ("that is a delivery", Box::new(|e| e.kind = Kind::Delivered)),
    ];
    for (what, edit) in erasures {
        add(format!("an erasure {what}"), &self::erased(&forger, &members, &log, &edit));
    }
    let mut both = self::erased(&forger, &members, &log, &|_| {});
    both.insert(name(Part::Message), members[&name(Part::Message)].clone());
    add("an erasure, and the message is there".into(), &both);
    let house = "gateway.iq.example/IQ/house";
    add(
        "put aside by another house".into(),
        &self::dead(&forger, &members, &log, "gateway.jo.example/JO/house", Kind::Dead),
    );
    add("expired in the house log".into(), &self::dead(&forger, &members, &log, house, Kind::Expired));
    let mut with_receipt = self::dead(&forger, &members, &log, house, Kind::Dead);
    with_receipt.insert(name(Part::Partner), members[&name(Part::Partner)].clone());
    add("put aside, and the receipt is there".into(), &with_receipt);
    all
}

/// The payload erased, with an entry that says so, edited.
fn erased(forger: &Forger, members: &Members, log: &Log, edit: &dyn Fn(&mut Entry)) -> Members {
    let sent = Entry::parse(&log[2].1).unwrap();
    let mut entry = Entry::new(Kind::Erased, sent.at);
    (entry.of, entry.rule) = (Some("2".into()), Some("retention.max".into()));
    (entry.id, entry.jws, entry.message_type) = (sent.id.clone(), sent.jws, sent.message_type.clone());
    edit(&mut entry);
    let log = [log.clone(), vec![(Part::Erased, entry.encode().unwrap())]].concat();
    let mut members = forger.forged(members, &log);
    members.remove(&name(Part::Message));
    members.insert(name(Part::Revocation), revocation(&forger.certificate, None, sent.at, Some(&[])));
    members
}

/// Put aside: the outcome stands in another log, and there is no receipt.
fn dead(forger: &Forger, members: &Members, log: &Log, origin: &str, kind: Kind) -> Members {
    let mut entry = Entry::parse(&log[3].1).unwrap();
    (entry.kind, entry.verdict, entry.code) = (kind, None, Some("body_too_large".into()));
    let mut members = forger.forged(members, &log[..3].to_vec());
    let house = vec![(Part::Problem, b"{}".to_vec()), (Part::Outcome, entry.encode().unwrap())];
    let (_, proof) = forger.prove(origin, &house).remove(1);
    members.insert(name(Part::Outcome), proof);
    members.remove(&name(Part::Partner));
    members
}
