//! Ways to forge a message, and the code that each is refused with.
#![allow(clippy::unwrap_used, clippy::panic)]

mod signers;

use serde_json::{Value, json};
use signers::{Signer, signer};
use silkgate_message::instant::Instant;
use silkgate_message::jws::{Algorithm, Jws, decode, encode};
use silkgate_message::problem::Code;

const EVENT: &[u8] = br#"{"id":"1","data":{"n":1}}"#;
const IAT: Instant = Instant(1_795_000_000_000);

fn refusal(bytes: &[u8], signer: &Signer) -> Code {
    match Jws::parse(bytes) {
        Err(problem) => problem.code,
        Ok(jws) => jws.verify(&signer.certificate).expect_err("a forgery was accepted"),
    }
}

fn outer(signer: &Signer) -> Value {
    serde_json::from_slice(&signer.key.sign(EVENT, IAT).unwrap()).unwrap()
}

/// Signs whatever header and payload with the right key: what a malicious partner can do.
fn signed(signer: &Signer, header: &[u8], payload: &[u8]) -> Vec<u8> {
    let whole = outer(signer);
    let mut forged = whole.clone();
    forged["protected"] = json!(encode(header));
    forged["payload"] = json!(encode(payload));
    forged.to_string().into_bytes()
}

fn header(signer: &Signer) -> Value {
    json!({ "alg": "ES256", "typ": "jose+json", "cty": "cloudevents+json", "iat": 1_795_000_000,
            "x5t#S256": signer.certificate.thumbprint.to_string() })
}

#[test]
fn the_sound_message_passes() {
    for algorithm in [Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa] {
        let signer = signer(algorithm);
        let jws = Jws::parse(&signer.key.sign(EVENT, IAT).unwrap()).unwrap();
        assert_eq!(jws.verify(&signer.certificate), Ok(()), "{algorithm:?}");
    }
}

#[test]
fn headers() {
    let signer = signer(Algorithm::Es256);
    let mut cases: Vec<(String, Value, Code)> = Vec::new();
    for member in [
        "jwk", "jku", "x5u", "x5c", "x5t", "kid", "crit", "b64", "zip", "enc", "nonce", "url", "sigT",
        "unknown",
    ] {
        let mut with = header(&signer);
        with[member] = json!("x");
        cases.push((format!("with {member}"), with, Code::HeaderInvalid));
    }
    for alg in [
        "none", "None", "NONE", "HS256", "HS512", "RS256", "PS256", "ES512", "ES256K", "es256", "Ed25519",
        "", "ES256 ",
    ] {
        let mut with = header(&signer);
        with["alg"] = json!(alg);
        cases.push((format!("alg {alg:?}"), with, Code::AlgorithmRefused));
    }
    for (member, value, code) in [
        ("alg", json!(null), Code::AlgorithmRefused),
        ("alg", json!(["ES256"]), Code::AlgorithmRefused),
        ("alg", json!("ES384"), Code::AlgorithmMismatch),
        ("alg", json!("EdDSA"), Code::AlgorithmMismatch),
        ("typ", json!("JWT"), Code::HeaderInvalid),
        ("typ", json!("JOSE+JSON"), Code::HeaderInvalid),
        ("typ", json!("silkgate-card+jose"), Code::HeaderInvalid),
        ("cty", json!("json"), Code::HeaderInvalid),
        ("cty", json!(null), Code::HeaderInvalid),
        ("iat", json!("1795000000"), Code::HeaderInvalid),
        ("iat", json!(1_795_000_000.5), Code::HeaderInvalid),
        ("iat", json!(-1), Code::HeaderInvalid),
        ("iat", json!(253_402_300_800_i64), Code::HeaderInvalid),
        ("iat", json!(true), Code::HeaderInvalid),
        ("x5t#S256", json!("AAAA"), Code::HeaderInvalid),
        ("x5t#S256", json!(null), Code::HeaderInvalid),
        ("x5t#S256", json!(encode(&[0; 32])), Code::CertificateUnknown),
        ("x5t#S256", json!(format!("{}=", encode(&[0; 32]))), Code::HeaderInvalid),
    ] {
        let mut with = header(&signer);
        with[member] = value.clone();
        cases.push((format!("{member} = {value}"), with, code));
    }
    for member in ["alg", "typ", "cty", "iat", "x5t#S256"] {
        let mut without = header(&signer);
        without.as_object_mut().unwrap().remove(member);
        let code = if member == "alg" { Code::AlgorithmRefused } else { Code::HeaderInvalid };
        cases.push((format!("without {member}"), without, code));
    }
    assert!(cases.len() >= 50);
    for (name, header, code) in cases {
        assert_eq!(refusal(&signed(&signer, header.to_string().as_bytes(), EVENT), &signer), code, "{name}");
    }
    let sound = header(&signer).to_string();
    for (name, text, code) in [
        ("a duplicate alg", sound.replacen('{', r#"{"alg":"none","#, 1), Code::JsonDuplicateMember),
        ("an escaped duplicate", sound.replacen('{', r#"{"\u0061lg":"none","#, 1), Code::JsonDuplicateMember),
        ("an array", format!("[{sound}]"), Code::HeaderInvalid),
        ("two objects", format!("{sound}{sound}"), Code::JsonInvalid),
        ("a byte order mark", format!("\u{feff}{sound}"), Code::JsonInvalid),
        ("nothing", String::new(), Code::JsonInvalid),
        ("a comment", format!("/**/{sound}"), Code::JsonInvalid),
        ("more than 512 bytes", sound.replace('{', &format!("{{{}", " ".repeat(512))), Code::HeaderInvalid),
    ] {
        assert_eq!(refusal(&signed(&signer, text.as_bytes(), EVENT), &signer), code, "{name}");
    }
}

#[test]
fn payloads() {
    let signer = signer(Algorithm::Es256);
    let sound = header(&signer).to_string();
    let utf16: Vec<u8> = r#"{"a":1}"#.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let deep = [b"[".repeat(33), b"]".repeat(33)].concat();
    let bomb = b"[".repeat(100_000);
    for (name, payload, code) in [
        ("a duplicate member", br#"{"a":1,"a":2}"#.as_slice(), Code::JsonDuplicateMember),
        ("a deep duplicate", br#"{"a":[{"b":1,"b":1}]}"#, Code::JsonDuplicateMember),
        ("not UTF-8", b"{\"a\":\"\xff\"}", Code::JsonInvalid),
        ("an overlong encoding", b"{\"a\":\"\xc0\x80\"}", Code::JsonInvalid),
        ("a surrogate in UTF-8", b"{\"a\":\"\xed\xa0\x80\"}", Code::JsonInvalid),
        ("a lone surrogate", br#"{"a":"\ud800"}"#, Code::JsonInvalid),
        ("a raw control character", b"{\"a\":\"\x00\"}", Code::JsonInvalid),
        ("UTF-16", &utf16, Code::JsonInvalid),
        ("a byte order mark", b"\xef\xbb\xbf{}", Code::JsonInvalid),
        ("trailing bytes", b"{} x", Code::JsonInvalid),
        ("nothing", b"", Code::JsonInvalid),
        ("NaN", b"{\"a\":NaN}", Code::JsonInvalid),
        ("too deep", &deep, Code::JsonTooDeep),
        ("a nesting bomb", &bomb, Code::JsonTooDeep),
        ("a number beyond 2^53", br#"{"a":9007199254740993}"#, Code::JsonNumberRange),
        ("a huge exponent", br#"{"a":1e999}"#, Code::JsonNumberRange),
        ("another payload", br#"{"id":"2"}"#, Code::SignatureInvalid),
    ] {
        assert_eq!(refusal(&signed(&signer, sound.as_bytes(), payload), &signer), code, "{name}");
    }
}

#[test]
fn outer_objects() {
    let signer = signer(Algorithm::Es256);
    let sound = outer(&signer);
    let text = sound.to_string();
    let with = |name: &str, value: Value| {
        let mut with = sound.clone();
        with[name] = value;
        with.to_string()
    };
    let member = |name: &str| sound[name].as_str().unwrap().to_owned();
    let compact = format!("{}.{}.{}", member("protected"), member("payload"), member("signature"));
    let general = json!({ "payload": sound["payload"],
                          "signatures": [{ "protected": sound["protected"], "signature": sound["signature"] }] });
    for (name, message, code) in [
        ("compact serialisation", compact, Code::JsonInvalid),
        ("general serialisation", general.to_string(), Code::JwsMalformed),
        ("both serialisations", with("signatures", json!([])), Code::JwsMalformed),
        ("an array", format!("[{text}]"), Code::JwsMalformed),
        ("a string", "\"x\"".into(), Code::JwsMalformed),
        ("an extra member", with("extra", json!(1)), Code::JwsMalformed),
        ("an unprotected alg", with("header", json!({ "alg": "none" })), Code::JwsMalformed),
        ("an unprotected key", with("header", json!({ "jwk": {} })), Code::JwsMalformed),
        ("an empty unprotected header", with("header", json!({})), Code::JwsMalformed),
        ("etsiU that is no list", with("header", json!({ "etsiU": "x" })), Code::JwsMalformed),
        ("a duplicate payload", text.replacen('{', r#"{"payload":"e30","#, 1), Code::JsonDuplicateMember),
        ("a null signature", with("signature", json!(null)), Code::JwsMalformed),
        ("a number as payload", with("payload", json!(1)), Code::JwsMalformed),
        ("padding", with("signature", json!(format!("{}==", member("signature")))), Code::JwsMalformed),
        (
            "white space in base64url",
            with("payload", json!(format!(" {}", member("payload")))),
            Code::JwsMalformed,
        ),
        (
            "a line break in base64url",
            with("payload", json!(format!("{}\n", member("payload")))),
            Code::JwsMalformed,
        ),
        ("standard base64", with("signature", json!("+/+/")), Code::JwsMalformed),
        ("stray bits", with("payload", json!("e31")), Code::JwsMalformed),
        ("an empty signature", with("signature", json!("")), Code::SignatureInvalid),
        (
            "no payload",
            json!({ "protected": sound["protected"], "signature": sound["signature"] }).to_string(),
            Code::JwsMalformed,
        ),
    ] {
        assert_eq!(refusal(message.as_bytes(), &signer), code, "{name}");
    }
}

#[test]
fn signatures() {
    let own = signer(Algorithm::Es256);
    let sound = outer(&own);
    let bytes = decode(sound["signature"].as_str().unwrap()).unwrap();
    let order = hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    let zero = [0; 32];
    let der = [&[0x30, 0x44, 0x02, 0x20], &bytes[..32], &[0x02, 0x20], &bytes[32..]].concat();
    for (name, signature) in [
        // CVE-2022-21449.
        ("r = s = 0", [zero, zero].concat()),
        ("r = 0", [&zero, &bytes[32..]].concat()),
        ("s = 0", [&bytes[..32], &zero].concat()),
        ("r = n", [&order, &bytes[32..]].concat()),
        ("s = n", [&bytes[..32], &order].concat()),
        ("r = s = n", [order.clone(), order.clone()].concat()),
        ("DER", der),
        ("truncated", bytes[..63].to_vec()),
        ("extended", [&bytes[..], &[0]].concat()),
        ("twice", [&bytes[..], &bytes[..]].concat()),
        ("halves swapped", [&bytes[32..], &bytes[..32]].concat()),
        (
            "another message's",
            decode(outer(&own)["signature"].as_str().unwrap()).unwrap().iter().map(|b| b ^ 0x80).collect(),
        ),
        ("another key's", decode(outer(&signer(Algorithm::Es256))["signature"].as_str().unwrap()).unwrap()),
    ] {
        let mut forged = sound.clone();
        forged["signature"] = json!(encode(&signature));
        assert_eq!(refusal(forged.to_string().as_bytes(), &own), Code::SignatureInvalid, "{name}");
    }
    // HMAC with the public key as its secret: the algorithm is refused before any key is touched.
    let mut hmac = header(&own);
    hmac["alg"] = json!("HS256");
    assert_eq!(refusal(&signed(&own, hmac.to_string().as_bytes(), EVENT), &own), Code::AlgorithmRefused);
    // Another key's message under this certificate's name.
    assert_eq!(
        refusal(&signer(Algorithm::Es256).key.sign(EVENT, IAT).unwrap(), &own),
        Code::CertificateUnknown
    );
}

/// A carrier can flip s and the signature still verifies: the digest must not change with it.
#[test]
fn a_flipped_s_is_the_same_message() {
    let own = signer(Algorithm::Es256);
    let sound = outer(&own);
    let bytes = decode(sound["signature"].as_str().unwrap()).unwrap();
    let order = hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    let mut flipped = bytes[..32].to_vec();
    flipped.extend(subtract(&order, &bytes[32..]));
    let mut forged = sound.clone();
    forged["signature"] = json!(encode(&flipped));
    let (first, second) = (
        Jws::parse(sound.to_string().as_bytes()).unwrap(),
        Jws::parse(forged.to_string().as_bytes()).unwrap(),
    );
    assert_eq!(second.verify(&own.certificate), Ok(()));
    assert_eq!(first.digest(), second.digest());
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// a − b for big-endian numbers of one length, a ≥ b.
fn subtract(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut borrow = 0;
    let mut difference = vec![0; a.len()];
    for at in (0..a.len()).rev() {
        let digit = i32::from(a[at]) - i32::from(b[at]) - borrow;
        borrow = i32::from(digit < 0);
        difference[at] = u8::try_from(digit.rem_euclid(256)).unwrap();
    }
    difference
}
