//! The same exporter with other cards, editions, certificates, refusals and folders.

use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};
use silkgate_evidence::bundle::{Part, card_name};
use silkgate_evidence::container::{self, Members};
use silkgate_ledger::NoteSigner;
use silkgate_message::card::{Card, CardContent};
use silkgate_message::jws::{Digest, encode};
use support::{Home, wire};

use super::Altered;
use super::carrier::flip;
use super::exporter::{Exporter, FOLDER, json_of, name};
use super::fixture::States;

pub(super) fn altered(states: &States, exporter: &Exporter, sent: &Members) -> Vec<Altered> {
    let mut all = cards(states, exporter, sent);
    all.extend(editions(states, exporter, sent));
    all.extend(revocations(exporter, sent));
    all.extend(problems(states, exporter));
    all.extend(folders(states, exporter, sent));
    all
}

fn pkcs8(home: &Home, name: &str) -> Vec<u8> {
    wire::private_key(&home.path.join(format!("keys/{name}.key"))).secret_der().to_vec()
}

/// Foreign, forged, missing and unfitting cards. The exporter holds its own state's card key, and makes new ones.
fn cards(states: &States, exporter: &Exporter, members: &Members) -> Vec<Altered> {
    const KIND: &str = "other cards, signed again";
    let mut all = Vec::new();
    let third = std::fs::read(states.sa.path.join("own.card")).unwrap();
    let (iq, jo) = (&states.pair.iq, &states.pair.jo);
    let read = |home: &Home| std::fs::read(home.path.join("own.card")).unwrap();
    let (ours, theirs) = (read(iq), read(jo));
    let name_of = |bytes: &[u8]| card_name(&Digest::of(bytes));
    let swap = |m: &mut Members, old: &[u8], new: Vec<u8>| {
        m.remove(&name_of(old)).unwrap();
        m.insert(name_of(&new), new);
    };
    let mut add =
        |what: &str, edit: &dyn Fn(&mut Members)| all.push(exporter.edited(KIND, what, members, edit));
    add("a third state's beside", &|m| drop(m.insert(name_of(&third), third.clone())));
    for (whose, card) in [("Iraq's", &ours), ("Jordan's", &theirs)] {
        add(&format!("{whose} missing"), &|m| drop(m.remove(&name_of(card))));
        add(&format!("{whose} exchanged for a third state's"), &|m| swap(m, card, third.clone()));
        add(&format!("{whose} under another digest"), &|m| {
            let card = m.remove(&name_of(card)).unwrap();
            m.insert(card_name(&Digest::of(b"")), card);
        });
        add(&format!("{whose} with one bit changed"), &|m| swap(m, card, flip(card, card.len() / 2)));
        let key = NoteSigner::generate_pkcs8().unwrap();
        let public = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&key).unwrap();
        let mut content = Card::parse(card).unwrap().content().clone();
        content.card_key = encode(public.public_key().as_ref());
        let forged = Card::sign(&content, &key).unwrap();
        add(&format!("{whose} beside one of another card key"), &|m| {
            drop(m.insert(name_of(&forged), forged.clone()))
        });
        (content.version, content.previous) = (2, Some(Digest::of(card).to_string()));
        let next = Card::sign(&content, &key).unwrap();
        add(&format!("{whose} followed by one of another card key"), &|m| {
            drop(m.insert(name_of(&next), next.clone()))
        });
    }
    // Of its own card no log that it does not write itself has the digest: spelled otherwise it says the same.
    add("Jordan's with a line end more", &|m| swap(m, &theirs, [&theirs[..], b"\n"].concat()));
    let key = NoteSigner::generate_pkcs8().unwrap();
    let public = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&key).unwrap();
    let mut content = Card::parse(&theirs).unwrap().content().clone();
    content.card_key = encode(public.public_key().as_ref());
    let forged = Card::sign(&content, &key).unwrap();
    add("Jordan's made by the exporter", &|m| swap(m, &theirs, forged.clone()));
    let sound = Card::parse(&ours).unwrap().content().clone();
    let card_key = pkcs8(iq, "card");
    let previous = Some(Digest::of(&ours).to_string());
    let following = |edit: &dyn Fn(&mut CardContent)| {
        let mut content = sound.clone();
        (content.version, content.previous) = (2, previous.clone());
        edit(&mut content);
        Card::sign(&content, &card_key).unwrap()
    };
    for (what, edit) in [
        (
            "that follows another card",
            Box::new(|c: &mut CardContent| c.previous = Some(Digest::of(b"").to_string()))
                as Box<dyn Fn(&mut CardContent)>,
        ),
        ("that follows none", Box::new(|c| c.previous = None)),
        ("of the same version", Box::new(|c| c.version = 1)),
    ] {
        let next = following(&edit);
        add(&format!("Iraq's next one {what}"), &|m| drop(m.insert(name_of(&next), next.clone())));
    }
    let jordan = Card::parse(&theirs).unwrap().content().clone();
    let instead = following(&|c| c.signing_certificates.clone_from(&jordan.signing_certificates));
    add("Iraq's with Jordan's certificate only", &|m| swap(m, &ours, instead.clone()));
    let signer =
        NoteSigner::from_pkcs8(&sound.logs[0].origin, &NoteSigner::generate_pkcs8().unwrap()).unwrap();
    let other_log = following(&|c| c.logs[0].key = signer.verifier_key().to_string());
    add("Iraq's with another log key only", &|m| swap(m, &ours, other_log.clone()));
    all
}

/// Schemas and rules exchanged, edited, missing.
fn editions(states: &States, exporter: &Exporter, members: &Members) -> Vec<Altered> {
    const KIND: &str = "another edition, signed again";
    let mut all = Vec::new();
    let own = |members: &Members| {
        members.keys().filter(|name| name.starts_with("editions/")).cloned().collect::<Vec<_>>()
    };
    let names = own(members);
    let folder = names[0].rsplit_once("/DIGESTS").unwrap().0.to_owned();
    let other = states.of("answer");
    let foreign: Members = own(&other).into_iter().map(|name| (name.clone(), other[&name].clone())).collect();
    let mut add =
        |what: &str, edit: &dyn Fn(&mut Members)| all.push(exporter.edited(KIND, what, members, edit));
    add("missing", &|m| names.iter().for_each(|name| drop(m.remove(name))));
    add("that of another type beside", &|m| m.extend(foreign.clone()));
    add("exchanged for another type's", &|m| {
        names.iter().for_each(|name| drop(m.remove(name)));
        m.extend(foreign.clone());
    });
    add("another type's in its folder", &|m| {
        names.iter().for_each(|name| drop(m.remove(name)));
        m.extend(foreign.iter().map(|(name, bytes)| (format!("{folder}{}", &name[52..]), bytes.clone())));
    });
    add("a further text", &|m| drop(m.insert(format!("{folder}/codes/iso4217.json"), b"{}".to_vec())));
    for name in &names {
        let short = &name[53..];
        add(&format!("{short} missing"), &|m| drop(m.remove(name)));
        add(&format!("{short} edited"), &|m| drop(m.insert(name.clone(), flip(&m[name], 40))));
        let list = format!("{folder}/DIGESTS");
        if *name != list {
            add(&format!("{short} edited, and its digest in the list"), &|m| {
                let edited = flip(&m[name], 40);
                let (before, after) = (Digest::of(&m[name]).to_string(), Digest::of(&edited).to_string());
                let text = String::from_utf8(m[&list].clone()).unwrap().replace(&before, &after);
                m.insert(list.clone(), text.into_bytes());
                m.insert(name.clone(), edited);
            });
        }
    }
    let list = format!("{folder}/DIGESTS");
    for (what, from, to) in [
        ("a code list by another name", "codes/iso4217.json", "codes/iso4218.json"),
        ("another type in its list", "alert.vehicle/1/rules.json", "alert.person/1/rules.json"),
        ("another version in its list", "alert.vehicle/1/schema.json", "alert.vehicle/2/schema.json"),
        ("two spaces in its list", " codes/rec21.json", "  codes/rec21.json"),
    ] {
        add(what, &|m| {
            let text = String::from_utf8(m[&list].clone()).unwrap().replace(from, to);
            m.insert(list.clone(), text.into_bytes());
        });
    }
    let line = |m: &Members, edit: &dyn Fn(&mut Vec<String>)| {
        let mut lines: Vec<String> =
            String::from_utf8(m[&list].clone()).unwrap().lines().map(str::to_owned).collect();
        edit(&mut lines);
        format!("{}\n", lines.join("\n")).into_bytes()
    };
    add("two lines of its list exchanged", &|m| {
        drop(m.insert(list.clone(), line(m, &|lines| lines.swap(2, 3))))
    });
    add("the last line of its list missing", &|m| {
        drop(m.insert(list.clone(), line(m, &|lines| drop(lines.pop()))))
    });
    add("no line end in its list", &|m| {
        drop(m.insert(list.clone(), m[&list][..m[&list].len() - 1].to_vec()))
    });
    all
}

/// The certificate's state told otherwise.
fn revocations(exporter: &Exporter, members: &Members) -> Vec<Altered> {
    const KIND: &str = "another state of the certificate, signed again";
    let name = name(Part::Revocation);
    let state = json_of(&members[&name]);
    let mut all = Vec::new();
    let mut add = |what: String, bytes: Vec<u8>| {
        all.push(exporter.edited(KIND, what, members, |m| drop(m.insert(name.clone(), bytes))))
    };
    for (member, value) in [
        ("notAfter", json!("2099-01-01T00:00:00.000Z")),
        ("notBefore", json!("2000-01-01T00:00:00.000Z")),
        ("signedAt", json!("2026-01-01T00:00:00.000Z")),
        ("loggedAt", json!("2026-01-01T00:00:00.000Z")),
        ("lists", json!(["none"])),
        ("lists", json!({ "none": false })),
        ("lists", json!({ Digest::of(b"").to_string(): false })),
        ("lists", json!([])),
        ("lists", Value::Null),
        ("certificate", json!(Digest::of(b"").to_string())),
        ("v", json!(1)),
        ("v", json!(3)),
        ("v", json!(true)),
        ("v", json!(2.0)),
        ("x", json!(1)),
    ] {
        let mut state = state.clone();
        state[member] = value.clone();
        add(format!("{member} is {value}"), state.to_string().into_bytes());
    }
    for member in ["notAfter", "lists", "signedAt"] {
        let mut state = state.clone();
        state.as_object_mut().unwrap().remove(member);
        add(format!("no {member}"), state.to_string().into_bytes());
    }
    add("spelled otherwise".into(), serde_json::to_vec_pretty(&state).unwrap());
    all
}

/// Problem documents of other refusals.
fn problems(states: &States, exporter: &Exporter) -> Vec<Altered> {
    const KIND: &str = "another problem document, signed again";
    let part = name(Part::Problem);
    let mut all = Vec::new();
    for base in ["refused sent", "refused received"] {
        let members = states.of(base);
        let problem = json_of(&members[&part]);
        for (what, member, value) in [
            ("another code", "code", json!("expired")),
            ("no code", "code", Value::Null),
            ("another receipt", "receipt", json!("c2sp.org/tlog-proof@v1")),
        ] {
            let mut altered = problem.clone();
            altered[member] = value;
            let bytes = altered.to_string().into_bytes();
            all.push(
                exporter.edited(KIND, format!("{base}: {what}"), &members, |m| {
                    drop(m.insert(part.clone(), bytes))
                }),
            );
        }
        let twice = problem.to_string().replacen('{', "{\"code\":\"expired\",", 1).into_bytes();
        all.push(exporter.edited(KIND, format!("{base}: the code twice"), &members, |m| {
            drop(m.insert(part.clone(), twice))
        }));
        all.push(exporter.edited(KIND, format!("{base}: none"), &members, |m| {
            drop(m.insert(part.clone(), b"[]".to_vec()))
        }));
    }
    all
}

/// Messages in other folders, twice, and members without a place.
fn folders(states: &States, exporter: &Exporter, members: &Members) -> Vec<Altered> {
    const KIND: &str = "other folders, signed again";
    let mut all = Vec::new();
    let moved = |m: &mut Members, to: &str, keep: bool| {
        let own: Vec<_> = m
            .iter()
            .filter(|(name, _)| name.starts_with(FOLDER))
            .map(|(n, b)| (n.clone(), b.clone()))
            .collect();
        for (name, bytes) in own {
            if !keep {
                m.remove(&name);
            }
            m.insert(name.replacen(FOLDER, to, 1), bytes);
        }
    };
    let mut add =
        |what: &str, edit: &dyn Fn(&mut Members)| all.push(exporter.edited(KIND, what, members, edit));
    for to in [
        "messages/0002/",
        "messages/0000/",
        "messages/1/",
        "messages/00001/",
        "message/0001/",
        "Messages/0001/",
    ] {
        add(&format!("the message in {to}"), &|m| moved(m, to, false));
    }
    add("the message twice", &|m| moved(m, "messages/0002/", true));
    add("a gap", &|m| moved(m, "messages/0003/", true));
    add("no message", &|m| m.retain(|name, _| !name.starts_with(FOLDER)));
    for name in [
        "README",
        "messages/0001/note.txt",
        "messages/0001/deep/entry.receipt",
        "cards/x.card",
        "editions/x/DIGESTS",
        "index.htm",
    ] {
        add(&format!("{name} added"), &|m| drop(m.insert(name.to_owned(), b"x".to_vec())));
    }
    add("no page", &|m| drop(m.remove("index.html")));
    // Two messages that exchange one part each.
    let query = container::decode(&states.export(&states.pair.iq, &["--query", "partner=JO"])).unwrap();
    for part in Part::ALL {
        for (one, other) in
            [("0001", "0002"), ("0001", "0003"), ("0002", "0005"), ("0004", "0006"), ("0003", "0004")]
        {
            let names = [one, other].map(|folder| format!("messages/{folder}/{}", part.as_str()));
            let bytes = names.clone().map(|name| query.get(&name).cloned());
            if bytes[0] == bytes[1] {
                continue;
            }
            let what = format!("{} of {one} and {other} exchanged", part.as_str());
            all.push(exporter.edited(KIND, what, &query, |m| {
                for (name, bytes) in names.iter().zip([&bytes[1], &bytes[0]]) {
                    match bytes {
                        Some(bytes) => drop(m.insert(name.clone(), bytes.clone())),
                        None => drop(m.remove(name)),
                    }
                }
            }));
        }
    }
    all
}
