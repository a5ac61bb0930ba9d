//! What a hostile exporter can do who signs the manifest again: members of other messages, states and channels, edited
//! proofs and messages, manifests that say something else.

use serde_json::{Value, json};
use silkgate_evidence::bundle::Part;
use silkgate_evidence::container::{self, Members};
use silkgate_evidence::manifest::{self, Content};
use silkgate_ledger::{Hash, Note, NoteSigner, TlogProof};
use silkgate_message::instant::Instant;
use silkgate_message::jws::{Digest, SigningKey, decode, encode};
use support::{Home, now_ms, sign};

use super::carrier::flip;
use super::fixture::{IQ, JO, States};
use super::{Altered, foreign, forger, lists};

pub(super) const FOLDER: &str = "messages/0001/";

pub(super) fn name(part: Part) -> String {
    format!("{FOLDER}{}", part.as_str())
}

/// Iraq's gateway in the hands of someone hostile.
pub(super) struct Exporter {
    key: SigningKey,
    at: i64,
}

impl Exporter {
    pub(super) fn of(home: &Home) -> Self {
        Self { key: home.message_key(), at: now_ms() }
    }

    fn content(&self, members: &Members) -> Content {
        let others = members.iter().filter(|(name, _)| *name != manifest::NAME);
        Content {
            exported_at: Instant(self.at).to_string(),
            exported_by: IQ.parse().unwrap(),
            members: others.map(|(name, bytes)| (name.clone(), Digest::of(bytes).to_string())).collect(),
            v: 1,
        }
    }

    /// The bundle of these members with a manifest that is right.
    pub(super) fn sign(&self, members: &Members) -> Vec<u8> {
        self.with_manifest(members, manifest::sign_content(&self.content(members), &self.key).unwrap())
    }

    fn with_manifest(&self, members: &Members, manifest: Vec<u8>) -> Vec<u8> {
        let mut members = members.clone();
        members.insert(manifest::NAME.to_owned(), manifest);
        container::encode(&members).unwrap()
    }

    pub(super) fn edited(
        &self,
        kind: &'static str,
        what: impl Into<String>,
        members: &Members,
        edit: impl FnOnce(&mut Members),
    ) -> Altered {
        let mut altered = members.clone();
        edit(&mut altered);
        Altered::new(kind, what.into(), self.sign(&altered))
    }
}

/// Everything, on bundles of several kinds.
pub(super) fn altered(states: &States) -> Vec<Altered> {
    let exporter = Exporter::of(&states.pair.iq);
    let mut all = mixed(states, &exporter);
    let sent = states.of("sent");
    all.extend(proofs(&exporter, &sent));
    all.extend(messages(states, &exporter));
    all.extend(manifests(states, &exporter, &sent));
    all.extend(foreign::altered(states, &exporter, &sent));
    all.extend(forger::altered(states, &exporter));
    all.extend(lists::altered(states, &exporter));
    all
}

/// Each part exchanged for that of every other message, and dropped.
fn mixed(states: &States, exporter: &Exporter) -> Vec<Altered> {
    const KIND: &str = "a part of another message, or dropped; signed again";
    let kinds = [
        "sent",
        "received",
        "refused sent",
        "refused received",
        "third sent",
        "third received",
        "answer",
        "queued",
    ];
    let bundles: Vec<_> = kinds.iter().map(|what| (*what, states.of(what))).collect();
    let mut all = Vec::new();
    for (base, members) in &bundles {
        for part in Part::ALL {
            let name = name(part);
            let own = members.get(&name);
            let mut tried: Vec<&Vec<u8>> = own.into_iter().collect();
            for (other, theirs) in &bundles {
                let Some(bytes) = theirs.get(&name).filter(|bytes| !tried.contains(bytes)) else { continue };
                tried.push(bytes);
                let what = format!("{base}: {} of {other}", part.as_str());
                all.push(
                    exporter.edited(KIND, what, members, |m| drop(m.insert(name.clone(), bytes.clone()))),
                );
            }
            // Without the agreement's text a bundle is less, and not wrong.
            if own.is_some() && part != Part::AgreementText {
                let what = format!("{base}: no {}", part.as_str());
                all.push(exporter.edited(KIND, what, members, |m| drop(m.remove(&name))));
            }
        }
    }
    all
}

type ProofEdit = (&'static str, Box<dyn Fn(&mut TlogProof)>);

fn with_lines(proof: &mut TlogProof, edit: impl Fn(&str, &mut Vec<String>)) {
    let mut lines: Vec<String> = proof.checkpoint.signatures().iter().map(ToString::to_string).collect();
    edit(proof.checkpoint.text(), &mut lines);
    let note = format!("{}\n{}\n", proof.checkpoint.text(), lines.join("\n"));
    proof.checkpoint = Note::parse(note.as_bytes()).unwrap();
}

fn with_text(proof: &mut TlogProof, edit: impl Fn(&mut Vec<String>)) {
    let mut text: Vec<String> = proof.checkpoint.text().lines().map(str::to_owned).collect();
    edit(&mut text);
    let note = String::from_utf8(proof.checkpoint.encode()).unwrap();
    let note = note.replacen(proof.checkpoint.text(), &format!("{}\n", text.join("\n")), 1);
    proof.checkpoint = Note::parse(note.as_bytes()).unwrap();
}

fn with_entry(proof: &mut TlogProof, from: &str, to: &str) {
    let entry = String::from_utf8(proof.extra.clone().unwrap()).unwrap();
    proof.extra = Some(entry.replacen(from, to, 1).into_bytes());
}

fn proof_edits() -> Vec<ProofEdit> {
    vec![
        ("the index one more", Box::new(|p| p.index += 1)),
        ("the index one less", Box::new(|p| p.index = p.index.wrapping_sub(1))),
        ("index 0", Box::new(|p| p.index = if p.index == 0 { 2 } else { 0 })),
        ("a large index", Box::new(|p| p.index = u64::MAX)),
        ("no path", Box::new(|p| p.hashes.clear())),
        ("a hash less", Box::new(|p| p.hashes.truncate(p.hashes.len() - 1))),
        ("a hash more", Box::new(|p| p.hashes.push(Hash::of(b"")))),
        ("the first hash twice", Box::new(|p| p.hashes.insert(0, p.hashes[0]))),
        ("the path backwards", Box::new(|p| p.hashes.reverse())),
        ("another hash", Box::new(|p| p.hashes[0] = Hash::of(b""))),
        ("no entry", Box::new(|p| p.extra = None)),
        ("an empty entry", Box::new(|p| p.extra = Some(Vec::new()))),
        ("another time in the entry", Box::new(|p| with_entry(p, "\"at\":\"2", "\"at\":\"3"))),
        ("another kind in the entry", Box::new(|p| with_entry(p, "\"kind\":\"", "\"kind\":\"x"))),
        ("a larger tree", Box::new(|p| with_text(p, |text| text[1] = "1000".into()))),
        ("a smaller tree", Box::new(|p| with_text(p, |text| text[1] = "3".into()))),
        ("another root", Box::new(|p| with_text(p, |text| text[2] = Hash::of(b"").to_base64()))),
        ("another host", Box::new(|p| with_text(p, |text| text[0] = text[0].replace("gateway", "gatevay")))),
        ("another state's log", Box::new(|p| with_text(p, |text| text[0] = text[0].replace("/IQ", "/SA")))),
        ("a further line in the checkpoint", Box::new(|p| with_text(p, |text| text.push("more".into())))),
        (
            "the log's signature altered",
            Box::new(|p| with_lines(p, |_, lines| lines[0] = altered_line(&lines[0], 10))),
        ),
        (
            "the log's key id altered",
            Box::new(|p| with_lines(p, |_, lines| lines[0] = altered_line(&lines[0], 1))),
        ),
        ("signed by nobody known", Box::new(|p| with_lines(p, |text, lines| *lines = vec![stranger(text)]))),
        (
            "the log's line twice, one altered",
            Box::new(|p| with_lines(p, |_, lines| lines.push(altered_line(&lines[0], 20)))),
        ),
    ]
}

/// A signature line with one bit of its base64 content changed, at that byte.
fn altered_line(line: &str, at: usize) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let (head, base64) = line.rsplit_once(' ').unwrap();
    format!("{head} {}", STANDARD.encode(flip(&STANDARD.decode(base64).unwrap(), at)))
}

/// The line of a key that is on no card, under the log's own name.
fn stranger(text: &str) -> String {
    let key = NoteSigner::generate_pkcs8().unwrap();
    let signer = NoteSigner::from_pkcs8(text.lines().next().unwrap(), &key).unwrap();
    signer.sign(text).unwrap().signatures()[0].to_string()
}

/// Every edit of every proof of a message.
fn proofs(exporter: &Exporter, members: &Members) -> Vec<Altered> {
    const KIND: &str = "an edited proof, signed again";
    let mut all = Vec::new();
    for part in [Part::Entry, Part::Card, Part::Agreement, Part::Outcome, Part::Partner] {
        let name = name(part);
        let sound = members[&name].clone();
        let mut edits = proof_edits();
        if part != Part::Partner {
            edits.push((
                "no cosignature here, but in the other proofs",
                Box::new(|p| with_lines(p, |_, lines| drop(lines.pop()))),
            ));
            edits.push((
                "the cosignature altered",
                Box::new(|p| with_lines(p, |_, lines| lines[1] = altered_line(&lines[1], 30))),
            ));
            edits.push((
                "the cosignature's time altered",
                Box::new(|p| with_lines(p, |_, lines| lines[1] = altered_line(&lines[1], 11))),
            ));
            edits.push((
                "the cosignature of nobody known",
                Box::new(|p| with_lines(p, |_, lines| lines[1] = altered_line(&lines[1], 2))),
            ));
            edits.push((
                "a further line of nobody known",
                Box::new(|p| with_lines(p, |text, lines| lines.push(stranger(text)))),
            ));
        }
        for (what, edit) in edits {
            let mut proof = TlogProof::parse(&sound).unwrap();
            edit(&mut proof);
            let bytes = proof.encode();
            if bytes == sound {
                continue;
            }
            let what = format!("{}: {what}", part.as_str());
            all.push(exporter.edited(KIND, what, members, |m| drop(m.insert(name.clone(), bytes))));
        }
        let text = String::from_utf8(sound.clone()).unwrap();
        for (what, altered) in [
            ("without its last line end", text.trim_end().to_owned()),
            ("other line ends", text.replace('\n', "\r\n")),
            ("a leading zero", text.replacen("index ", "index 0", 1)),
            ("another header", text.replacen("@v1", "@v2", 1)),
            ("a line more at its end", format!("{text}\n")),
            ("padding left out", text.replacen("=\nindex", "\nindex", 1)),
        ] {
            if altered != text {
                let what = format!("{}: {what}", part.as_str());
                all.push(
                    exporter
                        .edited(KIND, what, members, |m| drop(m.insert(name.clone(), altered.into_bytes()))),
                );
            }
        }
    }
    // The same in all proofs at once, so that they agree with one another.
    for (what, byte) in [
        ("the cosignature altered", 40),
        ("the cosignature's time altered", 11),
        ("the cosignature of nobody known", 1),
    ] {
        all.push(exporter.edited(KIND, format!("every proof: {what}"), members, |m| {
            for part in [Part::Entry, Part::Card, Part::Agreement, Part::Outcome] {
                let mut proof = TlogProof::parse(&m[&name(part)]).unwrap();
                with_lines(&mut proof, |_, lines| lines[1] = altered_line(&lines[1], byte));
                m.insert(name(part), proof.encode());
            }
        }));
    }
    all
}

pub(super) fn json_of(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// The message itself, edited or made anew with the exporter's own key.
fn messages(states: &States, exporter: &Exporter) -> Vec<Altered> {
    const KIND: &str = "an edited message, signed again";
    let part = name(Part::Message);
    let mut all = Vec::new();
    for base in ["sent", "received", "answer"] {
        let members = states.of(base);
        let message = json_of(&members[&part]);
        let event = decode(message["payload"].as_str().unwrap()).unwrap();
        let mut add =
            |what: &str, bytes: Vec<u8>| {
                all.push(exporter.edited(KIND, format!("{base}: {what}"), &members, |m| {
                    drop(m.insert(part.clone(), bytes))
                }));
            };
        add("signed anew by the exporter", sign(&exporter.key, &json_of(&event)).bytes);
        let mut other = json_of(&event);
        other["data"]["reason"] = json!("another");
        add("other data, signed by the exporter", sign(&exporter.key, &other).bytes);
        let member = |name: &str, text: String| {
            let mut altered = message.clone();
            altered[name] = json!(text);
            altered.to_string().into_bytes()
        };
        for name in ["payload", "protected", "signature"] {
            let bytes = decode(message[name].as_str().unwrap()).unwrap();
            add(&format!("one bit of its {name}"), member(name, encode(&flip(&bytes, bytes.len() / 2))));
            add(&format!("{name} empty"), member(name, String::new()));
            add(&format!("{name} padded"), member(name, format!("{}=", message[name].as_str().unwrap())));
        }
        let header = json_of(&decode(message["protected"].as_str().unwrap()).unwrap());
        for (what, name, value) in [
            ("no algorithm", "alg", json!("none")),
            ("another algorithm", "alg", json!("EdDSA")),
            ("another time", "iat", json!(header["iat"].as_i64().unwrap() + 1)),
            ("a key in its header", "jwk", json!({})),
        ] {
            let mut header = header.clone();
            header[name] = value;
            add(what, member("protected", encode(header.to_string().as_bytes())));
        }
        let text = message.to_string();
        add("a member twice", text.replacen('{', "{\"payload\":\"\",", 1).into_bytes());
        add("a further member", text.replacen('{', "{\"x\":\"\",", 1).into_bytes());
        add("an unprotected key", text.replacen('{', "{\"header\":{\"kid\":\"x\"},", 1).into_bytes());
        add("text behind it", format!("{text}x").into_bytes());
        add("a manifest in its place", members[manifest::NAME].clone());
    }
    all
}

/// Manifests that say something else, or are signed by something else.
fn manifests(states: &States, exporter: &Exporter, members: &Members) -> Vec<Altered> {
    const KIND: &str = "another manifest";
    let mut all = Vec::new();
    let sound = exporter.content(members);
    let mut say = |what: &str, edit: &dyn Fn(&mut Content)| {
        let mut content = sound.clone();
        edit(&mut content);
        let manifest = manifest::sign_content(&content, &exporter.key).unwrap();
        all.push(Altered::new(KIND, what.to_owned(), exporter.with_manifest(members, manifest)));
    };
    say("of another format", &|c| c.v = 2);
    say("by another state", &|c| c.exported_by = JO.parse().unwrap());
    say("by a state without a card", &|c| c.exported_by = "SA/border-guard".parse().unwrap());
    say("from before the certificate", &|c| c.exported_at = "2020-01-01T00:00:00.000Z".into());
    say("from after the certificate", &|c| c.exported_at = "2040-01-01T00:00:00.000Z".into());
    say("of no time", &|c| c.exported_at = "today".into());
    say("of a time without milliseconds", &|c| {
        c.exported_at = c.exported_at.replace(".000", "").replacen("Z", "", 1)
    });
    say("a member less", &|c| drop(c.members.pop_first()));
    say("the page not named", &|c| drop(c.members.remove("index.html")));
    say("a member more", &|c| drop(c.members.insert("zz".into(), Digest::of(b"").to_string())));
    say("itself among its members", &|c| {
        drop(c.members.insert(manifest::NAME.into(), Digest::of(b"").to_string()))
    });
    say("another digest", &|c| drop(c.members.insert("index.html".into(), Digest::of(b"").to_string())));
    say("no digest", &|c| drop(c.members.insert("index.html".into(), String::new())));
    let payload = serde_json::to_vec(&sound).unwrap();
    let header = json!({ "alg": exporter.key.algorithm(), "typ": "silkgate-evidence+jose", "x5t#S256": exporter.key.thumbprint().to_string() });
    let jordan = states.pair.jo.message_key();
    let mut sign = |what: &str, key: &SigningKey, header: &Value, payload: &[u8]| {
        let manifest = key.sign_flattened(header.to_string().as_bytes(), payload).unwrap();
        all.push(Altered::new(KIND, what.to_owned(), exporter.with_manifest(members, manifest)));
    };
    for (what, name, value) in [
        ("that is a message by its type", "typ", json!("jose+json")),
        ("that is a card by its type", "typ", json!("silkgate-card+jose")),
        ("of another algorithm", "alg", json!("EdDSA")),
        ("of no algorithm", "alg", json!("none")),
        ("of Jordan's certificate", "x5t#S256", json!(jordan.thumbprint().to_string())),
        ("of no certificate", "x5t#S256", json!("")),
        ("with a further header member", "kid", json!("x")),
    ] {
        let mut header = header.clone();
        header[name] = value;
        sign(what, &exporter.key, &header, &payload);
    }
    sign("signed by Jordan's key", &jordan, &header, &payload);
    let theirs = json!({ "alg": jordan.algorithm(), "typ": "silkgate-evidence+jose", "x5t#S256": jordan.thumbprint().to_string() });
    sign("signed by Jordan for Iraq", &jordan, &theirs, &payload);
    sign("spelled with white space", &exporter.key, &header, &[b" ", &payload[..]].concat());
    sign("with a member twice", &exporter.key, &header, &[b"{\"v\":1,", &payload[1..]].concat());
    sign("with a further member", &exporter.key, &header, &[b"{\"a\":1,", &payload[1..]].concat());
    sign("that is no JSON", &exporter.key, &header, b"{");
    let good = manifest::sign_content(&sound, &exporter.key).unwrap();
    let text = String::from_utf8(good).unwrap();
    for (what, manifest) in [
        ("in another spelling", text.replace(":\"", ": \"")),
        ("with an unprotected header", text.replacen('{', "{\"header\":{\"etsiU\":[]},", 1)),
        ("with a line end", format!("{text}\n")),
        ("of nothing", String::new()),
    ] {
        all.push(Altered::new(KIND, what.to_owned(), exporter.with_manifest(members, manifest.into_bytes())));
    }
    all
}
