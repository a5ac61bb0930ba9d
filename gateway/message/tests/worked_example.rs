//! The worked example of docs/protocol.md, made as a foreign client would make it: from the standards
//! that the page names, with SHA-256, Ed25519 and base64, and none of our own encoders. Then our own
//! code judges it. What else the page states of this crate is held against the code here.
//!
//! `SILKGATE_BLESS=1` writes the files and the parts of the page that quote them.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::digest::{SHA256, digest};
use ring::signature::Ed25519KeyPair;
use serde_json::{Value, json};
use silkgate_ledger::{Receipt, VerifierKey, leaf_hash};
use silkgate_message::agreement::{Agreement, Direction};
use silkgate_message::card::Fingerprint;
use silkgate_message::catalogue::Catalogue;
use silkgate_message::event;
use silkgate_message::jws::{Digest, Jws, SigningCertificate};
use silkgate_message::problem::Code;

/// RFC 8032 §7.1 test 1, also RFC 8037 appendix A.1: a published key, which protects nothing.
const SEED: [u8; 32] = [
    0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4, 0x44,
    0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
];
/// Its public half, as RFC 8037 appendix A.2 prints it.
const PUBLIC: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
/// 2026-11-24T08:00:00Z.
const SIGNED_S: u64 = 1_795_507_200;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn page() -> String {
    fs::read_to_string(root().join("docs/protocol.md")).unwrap()
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA256, bytes).as_ref().to_vec()
}

fn sign(text: &str) -> Vec<u8> {
    let key = Ed25519KeyPair::from_seed_and_public_key(&SEED, &URL_SAFE_NO_PAD.decode(PUBLIC).unwrap());
    key.unwrap().sign(text.as_bytes()).as_ref().to_vec()
}

/// The certificate is the example's one input: it is public and never made again.
fn certificate() -> Vec<u8> {
    let text = fs::read_to_string(root().join("docs/example/certificate.pem")).unwrap();
    pem::parse(text).unwrap().into_contents()
}

/// `alert.vehicle`'s own example, with the id and the time of this one.
fn event() -> Value {
    let mut event: Value =
        serde_json::from_str(Catalogue::embedded().find("alert.vehicle", 1).unwrap().example()).unwrap();
    // RFC 9562 §5.7: 48 bits of milliseconds, then version, random bits and variant.
    let ms = SIGNED_S * 1000;
    event["id"] = format!("{:08x}-{:04x}-7000-8000-000000000001", ms >> 16, ms & 0xffff).into();
    event["time"] = "2026-11-24T08:00:00Z".into();
    event
}

/// C2SP signed-note: `<name>+<id>+<base64 of 0x01 and the key>`, and the id's four bytes.
fn verifier_key(name: &str) -> (String, Vec<u8>) {
    let typed = [vec![1], URL_SAFE_NO_PAD.decode(PUBLIC).unwrap()].concat();
    let id = sha256(&[name.as_bytes(), b"\n", &typed].concat())[..4].to_vec();
    let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    (format!("{name}+{hex}+{}", STANDARD.encode(typed)), id)
}

/// Every file of the example but the certificate, by name.
fn files() -> Vec<(&'static str, String)> {
    let (event, x5t) = (event(), URL_SAFE_NO_PAD.encode(sha256(&certificate())));
    let payload = event.to_string();
    // RFC 7515 §5.1 and §7.2.2.
    let protected = format!(
        r#"{{"alg":"EdDSA","typ":"jose+json","cty":"cloudevents+json","iat":{SIGNED_S},"x5t#S256":"{x5t}"}}"#
    );
    let (protected64, payload64) = (URL_SAFE_NO_PAD.encode(&protected), URL_SAFE_NO_PAD.encode(&payload));
    let input = format!("{protected64}.{payload64}");
    let digest = URL_SAFE_NO_PAD.encode(sha256(input.as_bytes()));
    let message = format!(
        r#"{{"payload":"{payload64}","protected":"{protected64}","signature":"{}"}}"#,
        URL_SAFE_NO_PAD.encode(sign(&input))
    );
    let text = |name: &str| event[name].as_str().unwrap();
    let entry = format!(
        r#"{{"v":1,"kind":"received","at":"2026-11-24T08:00:01.000Z","from":"{}","to":"{}","id":"{}","type":"{}","jws":"{digest}","cert":"{x5t}","schema":"{}","verdict":"accepted"}}"#,
        text("source"),
        text("recipient"),
        text("id"),
        text("type"),
        URL_SAFE_NO_PAD.encode(edition("alert.vehicle/1"))
    );
    let admin = |what: &str| {
        let digest = URL_SAFE_NO_PAD.encode(sha256(what.as_bytes()));
        format!(
            r#"{{"v":1,"kind":"admin","at":"2026-11-24T07:59:00.000Z","what":"{what}","digest":"{digest}"}}"#
        )
    };
    let entries = [admin("card"), admin("agreement"), entry.clone()];
    // RFC 6962 §2.1: three leaves, the first two under one node.
    let [first, second, leaf] = entries.each_ref().map(|entry| sha256(&[&[0], entry.as_bytes()].concat()));
    let node = |left: &[u8], right: &[u8]| sha256(&[&[1], left, right].concat());
    let path = node(&first, &second);
    let top = node(&path, &leaf);
    let origin = "gateway.jo.example/JO/IQ";
    let (log_key, id) = verifier_key(origin);
    let head = format!("{origin}\n3\n{}\n", STANDARD.encode(top));
    let signature = STANDARD.encode([id, sign(&head)].concat());
    let checkpoint = format!("{head}\n\u{2014} {origin} {signature}\n");
    let receipt = format!(
        "c2sp.org/tlog-proof@v1\nextra {}\nindex 2\n{}\n\n{checkpoint}",
        STANDARD.encode(&entry),
        STANDARD.encode(&path)
    );
    vec![
        ("event.json", payload),
        ("protected.json", protected),
        ("digest.txt", digest),
        ("message.jws", message),
        ("entries.jsonl", entries.join("\n") + "\n"),
        ("entry.json", entry),
        ("leaf-hash.txt", STANDARD.encode(leaf)),
        ("checkpoint.txt", checkpoint),
        ("receipt.txt", receipt),
        ("house-log-key.txt", verifier_key("gateway.jo.example/JO/house").0),
        ("log-key.txt", log_key),
    ]
}

/// The digest of a type's edition, from the files that the page names, in its order.
fn edition(kind: &str) -> Vec<u8> {
    let files = [
        &format!("{kind}/schema.json"),
        &format!("{kind}/rules.json"),
        "common/1/rules.json",
        "common/1/schema.json",
        "codes/iso3166-1.json",
        "codes/iso4217.json",
        "codes/rec21.json",
        "codes/hs6-2022.txt",
        "codes/unlocode.txt",
    ];
    let schema = fs::read_to_string(root().join("schemas").join(files[0])).unwrap();
    let further = [
        "common/2/schema.json",
        "common/2/rules.json",
        "codes/crossings-1.json",
        "codes/icao9303-3-arabic.csv",
        "codes/icao9303-3-latin.csv",
    ];
    let further = further.iter().filter(|_| schema.contains("/schemas/common/2/"));
    let digest = |file: &&str| sha256(&fs::read(root().join("schemas").join(file)).unwrap());
    sha256(&files.iter().chain(further).flat_map(digest).collect::<Vec<u8>>())
}

/// The page with each `<!-- file: NAME -->` followed by that file.
fn quoted(page: &str, files: &[(&str, String)]) -> String {
    let mut out = String::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        out.push_str(line);
        out.push('\n');
        let name = line.strip_prefix("<!-- file: ").and_then(|rest| rest.strip_suffix(" -->"));
        if let Some((_, text)) = files.iter().find(|(file, _)| Some(*file) == name) {
            assert_eq!(lines.find(|line| line.starts_with("```")), Some("```text"));
            lines.find(|line| *line == "```").unwrap();
            out.push_str(&format!("\n```text\n{}\n```\n", text.trim_end()));
        }
    }
    out
}

#[test]
fn every_file_is_made_anew_and_the_page_quotes_it() {
    let files = files();
    let folder = root().join("docs/example");
    let wanted = quoted(&page(), &files);
    if std::env::var_os("SILKGATE_BLESS").is_some() {
        for (name, text) in &files {
            fs::write(folder.join(name), text).unwrap();
        }
        fs::write(root().join("docs/protocol.md"), wanted).unwrap();
        return;
    }
    for (name, text) in &files {
        let kept = fs::read_to_string(folder.join(name)).unwrap();
        assert_eq!(kept, *text, "docs/example/{name} is stale: SILKGATE_BLESS=1 makes it anew");
        let quote = format!("```text\n{}\n```\n", text.trim_end());
        assert!(wanted.contains(&quote), "docs/protocol.md does not quote {name}");
    }
    assert_eq!(page(), wanted, "docs/protocol.md is stale: SILKGATE_BLESS=1 makes it anew");
    let certificate = fs::read_to_string(folder.join("certificate.pem")).unwrap();
    assert!(wanted.contains(&format!("```text\n{}\n```\n", certificate.trim_end())));
    assert_eq!(fs::read_dir(folder).unwrap().count(), files.len() + 1, "a file that no one makes");
}

#[test]
fn our_own_code_accepts_what_a_foreign_client_made() {
    let files = files();
    let file = |name: &str| files.iter().find(|(file, _)| *file == name).unwrap().1.clone();
    let certificate = SigningCertificate::parse(&certificate()).unwrap();
    let jws = Jws::parse(file("message.jws").as_bytes()).unwrap();
    assert_eq!(jws.verify(&certificate), Ok(()));
    assert!(certificate.not_before <= jws.iat && jws.iat <= certificate.not_after);
    assert_eq!(jws.digest().to_string(), file("digest.txt"));
    let kind = Catalogue::embedded().find("alert.vehicle", 1).unwrap();
    assert_eq!(kind.check(&jws.event), []);
    let envelope = event::read(&jws.event).unwrap();
    assert_eq!(event::uuid_instant(&envelope.id), jws.iat);

    let key: VerifierKey = file("log-key.txt").parse().unwrap();
    let house: VerifierKey = file("house-log-key.txt").parse().unwrap();
    assert_eq!(VerifierKey::new(key.name(), *house.public_key()).unwrap(), key);
    let receipt = Receipt::parse(file("receipt.txt").as_bytes()).unwrap();
    assert!(receipt.verify(&[house]).is_err(), "the house log's key is not the channel's");
    let verified = receipt.verify(&[key]).unwrap();
    assert_eq!((verified.origin.as_str(), verified.index, verified.size), ("gateway.jo.example/JO/IQ", 2, 3));
    assert_eq!(verified.entry.jws.unwrap().to_base64url(), file("digest.txt"));
    assert_eq!(verified.entry.encode().unwrap(), file("entry.json").into_bytes());
    assert_eq!(leaf_hash(receipt.entry_bytes()).to_string(), file("leaf-hash.txt"));
}

#[test]
fn the_edition_is_what_the_page_says() {
    let kept = fs::read_to_string(root().join("schemas/DIGESTS")).unwrap();
    for kind in Catalogue::embedded().types() {
        let name = format!("{}/{}", kind.name(), kind.version());
        let own = edition(&name);
        assert_eq!(own, kind.digest(), "{name}");
        assert!(kept.contains(&format!("{name} {}\n", Digest(kind.digest()))));
    }
}

/// The rows of the table under a heading: cells without their back ticks.
fn table(page: &str, heading: &str) -> Vec<Vec<String>> {
    let rest = page.split_once(&format!("\n{heading}\n")).unwrap().1;
    let rows =
        rest.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let cells =
        |row: &str| row.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect();
    rows.skip(2).map(cells).collect()
}

#[test]
fn the_table_of_attributes_is_that_of_the_code() {
    let page = page();
    let rows = table(&page, "### The event");
    let (missing, _) = event::read(&json!({})).unwrap_err();
    let mut needed: Vec<&str> = missing.iter().map(|violation| &violation.pointer[1..]).collect();
    let mut stated: Vec<&str> = rows.iter().filter(|row| row[1] == "yes").map(|row| &row[0][..]).collect();
    needed.sort_unstable();
    stated.sort_unstable();
    assert_eq!(stated, needed);
    let mut all = serde_json::Map::new();
    for row in &rows {
        all.insert(row[0].clone(), Value::Null);
    }
    assert_eq!(rows.len(), all.len(), "a row stands twice");
    let (violations, _) = event::read(&Value::Object(all)).unwrap_err();
    assert!(violations.iter().all(|violation| violation.rule != "event.unknown"), "{violations:?}");
}

#[test]
fn every_code_is_explained_and_the_verdicts_are_those_of_the_code() {
    let page = page();
    let rows = table(&page, "### Codes");
    let stated: Vec<(&str, &str, &str)> =
        rows.iter().map(|row| (&row[0][..], &row[1][..], &row[2][..])).collect();
    let status: Vec<String> = Code::ALL.iter().map(|code| code.status().to_string()).collect();
    let known: Vec<(&str, &str, &str)> = Code::ALL
        .iter()
        .zip(&status)
        .map(|(code, status)| (code.as_str(), &status[..], if code.is_verdict() { "yes" } else { "no" }))
        .collect();
    assert_eq!(stated, known);
    let prose: String = page.lines().filter(|line| !line.starts_with('|')).collect();
    for code in Code::ALL {
        assert!(prose.contains(&format!("`{code}`")), "{code} stands in the table only");
    }
}

#[test]
fn the_agreement_and_the_fingerprint_on_the_page_are_ours() {
    let page = page();
    let text = page.split_once("```toml\n").unwrap().1.split_once("```").unwrap().0;
    let agreement = Agreement::parse(text).unwrap();
    let empty = Agreement::empty(agreement.partner);
    assert_eq!(
        (agreement.lifetime_hours, agreement.body_max_bytes, agreement.rate_per_second),
        (empty.lifetime_hours, empty.body_max_bytes, empty.rate_per_second),
        "the page states the defaults"
    );
    let envelope = event::read(&event()).unwrap();
    assert_eq!(agreement.check(Direction::Receive, &envelope, Some(1)), Ok(()));
    assert!(page.contains(&format!("`{}`", Fingerprint::of(&[0; 32]))));
}
