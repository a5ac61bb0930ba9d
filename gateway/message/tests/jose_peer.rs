//! Messages cross to an independent JOSE library and back: PyPI's joserfc, set up by
//! `tests/interop/install`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

mod signers;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use signers::signer;
use silkgate_message::instant::Instant;
use silkgate_message::jws::{Algorithm, Jws};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn peer(arguments: &[&Path], verb: &str) -> Value {
    let python = root().join("target/interop/bin/python");
    assert!(python.exists(), "{} is missing: run tests/interop/install", python.display());
    let script = root().join("tests/interop/jose_peer.py");
    let output = Command::new(python).arg(script).arg(verb).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn now() -> Instant {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Instant(i64::try_from(now.as_millis()).unwrap())
}

fn events() -> Vec<Value> {
    ["white", "“طريبيل” ١٢٣", "کۆمپانیای هەولێر", "Şırnak İğdır", "\u{1F697}", "a\"b\\c\u{7f}\u{0}"]
        .iter()
        .map(|text| json!({ "id": "1", "data": { "text": text, "n": 9_007_199_254_740_991_i64, "x": 1.5 } }))
        .collect()
}

#[test]
fn ours_verifies_there() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, message) = (folder.path().join("c.pem"), folder.path().join("m.jws"));
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
        let signer = signer(algorithm);
        std::fs::write(&certificate, &signer.certificate_pem).unwrap();
        for event in events() {
            let bytes = signer.key.sign(event.to_string().as_bytes(), now()).unwrap();
            std::fs::write(&message, &bytes).unwrap();
            let seen = peer(&[&certificate, &message], "verify");
            assert_eq!(seen["payload"], event, "{algorithm:?}");
            assert_eq!(seen["header"]["x5t#S256"], signer.certificate.thumbprint.to_string());
        }
    }
}

#[test]
fn theirs_verifies_here_and_not_once_altered() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let (certificate, key, event_file) = (file("c.pem"), file("k.pem"), file("e.json"));
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
        let signer = signer(algorithm);
        std::fs::write(&certificate, &signer.certificate_pem).unwrap();
        std::fs::write(&key, &signer.key_pem).unwrap();
        for event in events() {
            std::fs::write(&event_file, event.to_string()).unwrap();
            let message = peer(&[&certificate, &key, &event_file], "sign");
            let jws =
                Jws::parse(message.to_string().as_bytes()).unwrap_or_else(|problem| panic!("{problem:?}"));
            assert_eq!(jws.verify(&signer.certificate), Ok(()), "{algorithm:?}");
            assert_eq!(jws.event, event);
            let mut altered = message.clone();
            let payload = altered["payload"].as_str().unwrap().replace('e', "f");
            altered["payload"] = json!(payload);
            let refused =
                Jws::parse(altered.to_string().as_bytes()).map(|jws| jws.verify(&signer.certificate));
            assert!(!matches!(refused, Ok(Ok(()))), "{algorithm:?}: altered, and still verified");
        }
    }
}
