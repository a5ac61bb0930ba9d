//! Revocation lists of a bundle: left out, exchanged, of other authorities, out of their time, and lists that say otherwise than the verdict.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use serde_json::{Value, json};
use silkgate_certs::Authority;
use silkgate_evidence::bundle::{Part, list_name};
use silkgate_evidence::container::Members;
use silkgate_ledger::Hash;
use silkgate_ledger::entry::{Entry, Kind};
use silkgate_message::jws::Digest;
use silkgate_message::revocation::serial;
use support::{Home, now_ms, wire};
use time::OffsetDateTime;

use super::Altered;
use super::carrier::flip;
use super::exporter::{Exporter, json_of, name};
use super::fixture::{States, verdicts};
use super::forger::{Forger, Log, log_of};

const KIND: &str = "other revocation lists, signed again";

fn hours(hours: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(now_ms() / 1000 + hours * 3600).unwrap()
}

/// The TLS authority of a home, and its certificate.
fn authority(home: &Home) -> (Authority, Vec<u8>) {
    let read = |path: &str| std::fs::read_to_string(home.path.join(path)).unwrap();
    let loaded = Authority::load(&read("certs/tls-ca.pem"), &read("keys/tls-ca.key")).unwrap();
    (loaded, wire::certificates(&home.path.join("certs/tls-ca.pem")).remove(0).to_vec())
}

/// An authority with the name of Jordan's message key, which is that of its certificate's issuer, certified by that home's TLS authority.
fn below(home: &Home) -> (Authority, Vec<u8>) {
    let read = |path: &str| std::fs::read_to_string(home.path.join(path)).unwrap();
    let above = KeyPair::from_pem(&read("keys/tls-ca.key")).unwrap();
    let above = Issuer::from_ca_cert_pem(&read("certs/tls-ca.pem"), above).unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Silkgate messages JO");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params.not_before, params.not_after) = (hours(-1), hours(1000));
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &above).unwrap();
    (Authority::load(&certificate.pem(), &key.serialize_pem()).unwrap(), certificate.der().to_vec())
}

/// A list that an exporter with the log key puts into its own history: before the message, or behind it.
struct Planted<'p> {
    list: &'p [u8],
    above: Option<&'p [u8]>,
    names: bool,
    before: bool,
}

/// The bundle with a log made anew in which that list is the only one that came into force.
fn planted(forger: &Forger, members: &Members, planted: &Planted<'_>) -> Members {
    let mut members = members.clone();
    members.retain(|name, _| !name.starts_with("lists/"));
    let mut log: Log = log_of(&members);
    let mut entry = Entry::new(Kind::Admin, Entry::parse(&log[0].1).unwrap().at);
    (entry.what, entry.digest) = (Some("crl".into()), Some(Hash::of(planted.list)));
    let place = if planted.before { 0 } else { log.len() };
    log.insert(place, (Part::Problem, entry.encode().unwrap()));
    let list = list_name("JO".parse().unwrap(), &Digest::of(planted.list));
    for (part, proof) in forger.prove("gateway.iq.example/IQ/JO", &log) {
        let of_list = part == Part::Problem;
        members.insert(if of_list { format!("{list}.receipt") } else { name(part) }, proof);
    }
    members.insert(format!("{list}.crl"), planted.list.to_vec());
    members.extend(planted.above.map(|above| (format!("{list}.cer"), above.to_vec())));
    let mut state = json_of(&members[&name(Part::Revocation)]);
    state["lists"] = json!({ Digest::of(planted.list).to_string(): planted.names });
    members.insert(name(Part::Revocation), state.to_string().into_bytes());
    members
}

pub(super) fn altered(states: &States, exporter: &Exporter) -> Vec<Altered> {
    let members = states.of("received");
    let mut all = kept(states, exporter, &members);
    let forger = Forger::of(&states.pair.iq);
    let jordan = wire::certificates(&states.pair.jo.path.join("certs/message.pem")).remove(0);
    let ((jo, anchor), (iq, _)) = (authority(&states.pair.jo), authority(&states.pair.iq));
    let ((under_jo, cer), (under_iq, foreign)) = (below(&states.pair.jo), below(&states.pair.iq));
    let list = |by: &Authority, revoked: &[u8], from: i64| {
        by.revocation_list(9, &[(revoked.to_vec(), hours(-1))], hours(from), hours(99)).unwrap()
    };
    let serial = serial(&jordan).unwrap();
    let (plain, between) = (list(&jo, b"\x01\x02", -2), list(&under_jo, b"\x01\x02", -2));
    let good = Planted { list: &plain, above: None, names: false, before: true };
    let below = Planted { list: &between, above: Some(&cer), names: false, before: true };
    // The serial number alone names nobody: a certificate is named by its own issuer.
    let same_number = list(&jo, &serial, -2);
    let nearly = Planted { list: &same_number, ..good };
    let controls = [("planted", &good), ("below", &below), ("the number of another's", &nearly)]
        .map(|(what, list)| (what.to_owned(), exporter.sign(&planted(&forger, &members, list))));
    assert_eq!(verdicts(&controls), [(true, true); 3], "what is forged without a contradiction");
    let (late, early) = (list(&jo, b"\x01\x02", 1), list(&iq, b"\x01\x02", -2));
    let (naming, of_iq) = (list(&under_jo, &serial, -2), list(&under_iq, b"\x01\x02", -2));
    let mut bent = plain.clone();
    let last = bent.len() - 1;
    bent[last] ^= 1;
    let leaf = wire::certificates(&states.pair.jo.path.join("certs/tls.pem")).remove(0);
    for (what, list) in [
        ("that came into force behind the message", Planted { before: false, ..good }),
        ("said to name the certificate", Planted { names: true, ..good }),
        ("of a later time", Planted { list: &late, ..good }),
        ("by the exporter's own authority", Planted { list: &early, ..good }),
        ("whose signature is altered", Planted { list: &bent, ..good }),
        ("that is none", Planted { list: b"no list", ..good }),
        ("by an authority that is not there", Planted { above: None, ..below }),
        ("by an authority below the exporter's", Planted { list: &of_iq, above: Some(&foreign), ..good }),
        ("beside the certificate of another authority", Planted { above: Some(&cer), ..good }),
        ("beside a gateway's certificate", Planted { above: Some(&leaf), ..good }),
        ("below, beside the anchor", Planted { above: Some(&anchor), ..below }),
        ("that names the certificate", Planted { list: &naming, names: true, ..below }),
        ("that names the certificate, it is said not to", Planted { list: &naming, ..below }),
    ] {
        let bytes = exporter.sign(&planted(&forger, &members, &list));
        all.push(Altered::new(KIND, format!("a list {what}"), bytes));
    }
    // Refused as revoked: by a list that names the certificate, or by no word on lists at all.
    let refused = |list: &Planted<'_>, edit: &dyn Fn(&mut Value)| {
        let mut members = members.clone();
        members.remove(&name(Part::Message)).unwrap();
        members.insert(name(Part::Problem), b"{\"code\":\"certificate_revoked\"}".to_vec());
        let mut proof = silkgate_ledger::TlogProof::parse(&members[&name(Part::Entry)]).unwrap();
        let mut entry = Entry::parse(&proof.extra.unwrap()).unwrap();
        (entry.kind, entry.code) = (Kind::Rejected, Some("certificate_revoked".into()));
        entry.verdict = Some(silkgate_ledger::entry::Verdict::Rejected);
        proof.extra = Some(entry.encode().unwrap());
        members.insert(name(Part::Entry), proof.encode());
        let mut members = planted(&forger, &members, list);
        let mut state = json_of(&members[&name(Part::Revocation)]);
        state.as_object_mut().unwrap().remove("signedAt");
        edit(&mut state);
        if state["lists"].as_object().is_none_or(serde_json::Map::is_empty) {
            members.retain(|name, _| !name.starts_with("lists/"));
        }
        members.insert(name(Part::Revocation), state.to_string().into_bytes());
        exporter.sign(&members)
    };
    let named = Planted { list: &naming, names: true, ..below };
    let former = |state: &mut Value| (state["lists"], state["v"]) = (json!([]), json!(1));
    let controls = [("named", refused(&named, &|_| {})), ("of the former format", refused(&good, &former))];
    let controls = controls.map(|(what, bytes)| (what.to_owned(), bytes));
    assert_eq!(verdicts(&controls), [(true, true); 2], "refused as revoked");
    for (what, bytes) in [
        ("by a list that does not name it", refused(&good, &|_| {})),
        ("by no list", refused(&good, &|state| state["lists"] = json!({}))),
    ] {
        all.push(Altered::new(KIND, format!("refused as revoked, {what}"), bytes));
    }
    all
}

/// The members of the lists as they were exported, edited; and what is said of them.
fn kept(states: &States, exporter: &Exporter, members: &Members) -> Vec<Altered> {
    let mut all = Vec::new();
    let names: Vec<&String> = members.keys().filter(|name| name.starts_with("lists/")).collect();
    let [crl, receipt] = names[..] else { panic!("one list, by an anchor: {names:?}") };
    let page = String::from_utf8(members["index.html"].clone()).unwrap();
    assert!(page.contains("Not revoked: the certificate") && page.contains("غير مُلغاة"));
    let mut add =
        |what: &str, edit: &dyn Fn(&mut Members)| all.push(exporter.edited(KIND, what, members, edit));
    for name in [crl, receipt] {
        let end = name.rsplit_once('.').unwrap().1;
        add(&format!(".{end} left out"), &|m| drop(m.remove(name)));
        for part in 1..12 {
            add(&format!(".{end}, one bit at {part}/12"), &|m| {
                drop(m.insert(name.clone(), flip(&m[name], m[name].len() * part / 12)))
            });
        }
        for to in ["lists/IQ", "lists/SA", "lists/jo", "list/JO", "lists"] {
            add(&format!(".{end} in {to}"), &|m| {
                let bytes = m.remove(name).unwrap();
                m.insert(name.replacen("lists/JO", to, 1), bytes);
            });
        }
        for ending in ["", ".", ".crl.crl", ".der", ".cer"] {
            add(&format!(".{end} as {ending}"), &|m| {
                let bytes = m.remove(name).unwrap();
                m.insert(name.replace(&format!(".{end}"), ending), bytes);
            });
        }
    }
    add("the lists of a state that sent nothing", &|m| {
        for name in [crl, receipt] {
            m.insert(name.replacen("JO", "SA", 1), m[name].clone());
        }
    });
    add("all left out, and still told", &|m| m.retain(|name, _| !name.starts_with("lists/")));
    let state = name(Part::Revocation);
    let sound = json_of(&members[&state]);
    let say = |m: &mut Members, lists: Value, version: i64| {
        let mut told = sound.clone();
        (told["lists"], told["v"]) = (lists, json!(version));
        m.insert(state.clone(), told.to_string().into_bytes());
    };
    let digest = sound["lists"].as_object().unwrap().keys().next().unwrap();
    add("there, and not told", &|m| say(m, json!({}), 2));
    add("there, and not told in the former format", &|m| say(m, json!([]), 1));
    add("told in the former format", &|m| say(m, sound["lists"].clone(), 1));
    for (what, value) in
        [("true", json!(true)), ("null", Value::Null), ("0", json!(0)), ("a word", json!("false"))]
    {
        add(&format!("told as {what}"), &|m| say(m, json!({ digest: value }), 2));
    }
    add("told in an array", &|m| say(m, json!([digest]), 2));
    add("told beside another", &|m| say(m, json!({ digest: false, Digest::of(b"").to_string(): false }), 2));
    for part in [Part::Card, Part::Agreement, Part::Entry] {
        let what = format!("proved by {}", part.as_str());
        add(&what, &|m| drop(m.insert(receipt.clone(), m[&name(part)].clone())));
    }
    // The list of the same authority that was in force before, which the log states as well.
    let first = states.pair.iq.query("SELECT entry FROM revocation_history ORDER BY entry").len();
    assert_eq!(first, 2, "the first list is kept beside the second");
    let third = states.of("third received");
    assert_eq!(json_of(&third[&state])["lists"], json!({}), "of Saudi Arabia no list was in force");
    all.push(exporter.edited(KIND, "another channel's message under it", &third, |m| {
        for name in [crl, receipt] {
            m.insert(name.replacen("JO", "SA", 1), members[name].clone());
        }
        let mut told = json_of(&m[&state]);
        told["lists"] = json!({ digest: false });
        m.insert(state.clone(), told.to_string().into_bytes());
    }));
    all
}
