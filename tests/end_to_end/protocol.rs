//! docs/protocol.md says what the code does: its table of codes and its worked example are made anew
//! and compared. `SILKGATE_BLESS=1` writes them.

use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, PKCS_ED25519, SerialNumber};
use serde_json::Value;
use silkgate_ledger::entry::{Entry, Kind, UtcMillis, Verdict};
use silkgate_ledger::{Checkpoint, Edge, Hash, NoteSigner, Receipt, leaf_hash, sign_checkpoint};
use silkgate_message::catalogue::Catalogue;
use silkgate_message::instant::Instant;
use silkgate_message::jws::{Jws, SigningCertificate, SigningKey};
use silkgate_message::problem::Code;

/// RFC 8032 §7.1, test 1: secret and public key, as PKCS#8 (RFC 8410 §7 with the public key, RFC 5958 §2).
const SEED: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
const PUBLIC: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn pkcs8() -> Vec<u8> {
    let head = hex("3051020101300506032b657004220420");
    [head, hex(SEED), hex("812100"), hex(PUBLIC)].concat()
}

/// Every file of the example, by name.
fn example() -> Vec<(&'static str, String)> {
    let certificate = certificate();
    let signing = SigningCertificate::parse(&pem::parse(&certificate).unwrap().into_contents()).unwrap();
    let signed_at = Instant::parse("2026-11-24T08:00:00Z").unwrap();
    let mut event: Value =
        serde_json::from_str(Catalogue::embedded().find("alert.vehicle", 1).unwrap().example()).unwrap();
    // 2026-11-24T08:00:00Z in the first 48 bits.
    event["id"] =
        format!("{:08x}-{:04x}-7000-8000-000000000001", signed_at.0 >> 16, signed_at.0 & 0xffff).into();
    event["time"] = "2026-11-24T08:00:00Z".into();
    let event = event.to_string();
    let message = SigningKey::new(&pkcs8(), &signing).unwrap().sign(event.as_bytes(), signed_at).unwrap();
    let jws = Jws::parse(&message).unwrap();
    assert_eq!(jws.verify(&signing), Ok(()));
    let at = |second: i64| UtcMillis::from_unix_ms(signed_at.0 + second * 1000).unwrap();
    let admin = |what: &str| {
        let mut entry = Entry::new(Kind::Admin, at(-60));
        entry.what = Some(what.to_owned());
        entry.digest = Some(Hash::of(what.as_bytes()));
        entry.encode().unwrap()
    };
    let text = |name: &str| jws.event[name].as_str().map(str::to_owned);
    let mut entry = Entry::new(Kind::Received, at(1));
    (entry.from, entry.to, entry.id, entry.message_type) =
        (text("source"), text("recipient"), text("id"), text("type"));
    entry.jws = Some(Hash::from_bytes(jws.digest().0));
    entry.cert = Some(Hash::from_bytes(signing.thumbprint.0));
    entry.schema = Some(Hash::from_bytes(Catalogue::embedded().find("alert.vehicle", 1).unwrap().digest()));
    entry.verdict = Some(Verdict::Accepted);
    let entries = [admin("card"), admin("agreement"), entry.encode().unwrap()];
    let mut edge = Edge::empty();
    for entry in &entries {
        edge.append(leaf_hash(entry));
    }
    let signer = NoteSigner::from_pkcs8("gateway.jo.example/JO/IQ", &pkcs8()).unwrap();
    let checkpoint =
        Checkpoint { origin: signer.name().parse().unwrap(), size: edge.size(), root: edge.root() };
    let note = sign_checkpoint(&checkpoint, &signer).unwrap();
    let receipt = Receipt::new(entries[2].clone(), 2, edge.inclusion_proof(2).unwrap(), note);
    assert!(receipt.verify(&[signer.verifier_key().clone()]).is_ok());
    let utf8 = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    vec![
        ("certificate.pem", certificate),
        ("event.json", event),
        ("message.jws", utf8(message)),
        ("entry.json", utf8(entries[2].clone())),
        ("receipt.txt", utf8(receipt.encode())),
        ("log-key.txt", signer.verifier_key().to_string()),
    ]
}

/// Ed25519 is deterministic, so with fixed dates and serial number the certificate is always the same.
fn certificate() -> String {
    let pair = KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8().as_slice().into(), &PKCS_ED25519).unwrap();
    let mut params = CertificateParams::default();
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, "Silkgate messages IQ");
    params.distinguished_name = subject;
    params.serial_number = Some(SerialNumber::from_slice(&[1]));
    params.not_before = time::OffsetDateTime::from_unix_timestamp(1_767_225_600).unwrap();
    params.not_after = time::OffsetDateTime::from_unix_timestamp(1_830_297_600).unwrap();
    params.is_ca = IsCa::ExplicitNoCa;
    params.self_signed(&pair).unwrap().pem().replace("\r\n", "\n")
}

/// The table of codes, in the order of the checks.
fn codes() -> String {
    let mut table = String::from("| code | status | receipt | |\n|---|---|---|---|\n");
    for code in Code::ALL {
        let receipt = if code.is_verdict() { "yes" } else { "no" };
        table.push_str(&format!("| `{code}` | {} | {receipt} | {} |\n", code.status(), code.title()));
    }
    table
}

/// The page with every quoted part made anew.
fn fresh(page: &str) -> String {
    let mut out = String::new();
    let mut lines = page.lines().peekable();
    let files = example();
    while let Some(line) = lines.next() {
        out.push_str(line);
        out.push('\n');
        if line == "<!-- codes -->" {
            while lines.next_if(|line| line.is_empty() || line.starts_with('|')).is_some() {}
            out.push_str(&format!("\n{}\n", codes()));
        } else if let Some(name) =
            line.strip_prefix("<!-- example: ").and_then(|rest| rest.strip_suffix(" -->"))
        {
            let text = &files.iter().find(|(known, _)| *known == name).unwrap().1;
            while lines.next_if(|line| line.is_empty()).is_some() {}
            if lines.next_if(|line| line.starts_with("```")).is_some() {
                for line in lines.by_ref() {
                    if line == "```" {
                        break;
                    }
                }
                while lines.next_if(|line| line.is_empty()).is_some() {}
            }
            out.push_str(&format!("\n```text\n{}\n```\n", text.trim_end()));
            if lines.peek().is_some() {
                out.push('\n');
            }
        }
    }
    out
}

#[test]
fn the_codes_and_the_worked_example_are_those_of_the_code() {
    let path = docs().join("protocol.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let wanted = fresh(&page);
    if std::env::var_os("SILKGATE_BLESS").is_some() {
        std::fs::write(&path, &wanted).unwrap();
        std::fs::create_dir_all(docs().join("example")).unwrap();
        for (name, text) in example() {
            std::fs::write(docs().join("example").join(name), text).unwrap();
        }
        return;
    }
    assert_eq!(page, wanted, "docs/protocol.md is stale: SILKGATE_BLESS=1 makes it anew");
    for (name, text) in example() {
        let kept = std::fs::read_to_string(docs().join("example").join(name)).unwrap();
        assert_eq!(kept, text, "docs/example/{name} is stale");
    }
    // Every attribute that the envelope knows is in the table, and so is every member of an entry.
    for attribute in
        ["specversion", "id", "source", "recipient", "handlingnote", "releasableto", "traceparent", "salt"]
    {
        assert!(page.contains(&format!("| `{attribute}` |")), "{attribute}");
    }
}
