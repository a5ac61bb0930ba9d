//! Cards as a whole: signed, altered, forged and replaced.

use proptest::prelude::*;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};
use ring::rand::SystemRandom;
use serde_json::json;

use super::*;

/// A card key, PKCS#8, and its public half.
fn card_key() -> (Vec<u8>, Vec<u8>) {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap().as_ref().to_vec();
    let public = Ed25519KeyPair::from_pkcs8(&pkcs8).unwrap().public_key().as_ref().to_vec();
    (pkcs8, public)
}

fn certificate(kind: &'static rcgen::SignatureAlgorithm) -> Vec<u8> {
    let key = KeyPair::generate_for(kind).unwrap();
    CertificateParams::default().self_signed(&key).unwrap().der().to_vec()
}

/// A verifier key of that type (C2SP signed-note), of 32 bytes that need not be a key's.
fn verifier_key(origin: &str, kind: u8) -> LogKey {
    use base64::Engine as _;
    let typed = [&[kind][..], &[7; 32]].concat();
    let hash = Digest::of(&[origin.as_bytes(), b"\n", &typed].concat()).0;
    let id: String = hash[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    let base64 = base64::engine::general_purpose::STANDARD.encode(typed);
    LogKey { origin: origin.into(), key: format!("{origin}+{id}+{base64}") }
}

fn content(public: &[u8]) -> CardContent {
    CardContent {
        v: 1,
        country: "IQ".parse().unwrap(),
        name: "الهيئة العامة للجمارك".into(),
        host: "gateway.iq.example".into(),
        endpoints: vec!["https://gateway.iq.example:8443".into()],
        authorities: vec!["IQ/general-customs-authority".parse().unwrap()],
        tls_anchors: vec![certificate(&PKCS_ECDSA_P256_SHA256)],
        signing_certificates: [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519]
            .map(certificate)
            .to_vec(),
        logs: vec![verifier_key("gateway.iq.example/IQ/house", 1)],
        witness: verifier_key("gateway.iq.example/IQ/witness", 1),
        schemas: vec![SchemaRef {
            kind: "alert.vehicle".into(),
            version: 1,
            id: "https://silkgate.example/schemas/alert.vehicle/1/schema.json".into(),
            digest: Digest::of(b"edition").to_string(),
        }],
        version: 1,
        previous: None,
        issued_at: "2026-11-24T09:30:00.000Z".into(),
        card_key: encode(public),
    }
}

/// Any header over any payload, signed.
fn forge(header: &Value, payload: &[u8], pkcs8: &[u8]) -> Vec<u8> {
    let (protected, payload) = (encode(header.to_string().as_bytes()), encode(payload));
    let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8).unwrap();
    let signature = encode(key.sign(format!("{protected}.{payload}").as_bytes()).as_ref());
    json!({ "payload": payload, "protected": protected, "signature": signature }).to_string().into_bytes()
}

fn header() -> Value {
    json!({ "alg": "EdDSA", "typ": "silkgate-card+jose" })
}

fn code(bytes: &[u8]) -> &'static str {
    Card::parse(bytes).unwrap_err().code()
}

#[test]
fn a_card_reads_back_as_it_was_written() {
    let (pkcs8, public) = card_key();
    let content = content(&public);
    let bytes = Card::sign(&content, &pkcs8).unwrap();
    let card = Card::parse(&bytes).unwrap();
    assert_eq!(card.content(), &content);
    assert_eq!(card.fingerprint(), Fingerprint::of(&public));
    assert_eq!(card.digest(), Digest::of(&bytes).0);
    assert_eq!(Card::sign(&content, &pkcs8).unwrap(), bytes, "Ed25519 is deterministic");
}

#[test]
fn only_the_named_key_signs_a_card() {
    let (pkcs8, public) = card_key();
    let (other, other_public) = card_key();
    let content = content(&public);
    assert!(Card::sign(&content, &other).is_none());
    assert!(Card::sign(&content, b"no key").is_none());
    let payload = serde_json::to_vec(&content).unwrap();
    assert_eq!(code(&forge(&header(), &payload, &other)), "card_signature_invalid");
    // A key that travels in the header is not even read.
    let mut with_key = header();
    with_key["jwk"] = json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(&other_public) });
    assert_eq!(code(&forge(&with_key, &payload, &other)), "card_malformed");
    assert!(Card::parse(&forge(&header(), &payload, &pkcs8)).is_ok());
}

#[test]
fn no_other_header_is_a_card_s() {
    let (pkcs8, public) = card_key();
    let payload = serde_json::to_vec(&content(&public)).unwrap();
    for wrong in [
        json!({ "alg": "EdDSA" }),
        json!({ "typ": "silkgate-card+jose" }),
        json!({ "alg": "none", "typ": "silkgate-card+jose" }),
        json!({ "alg": "HS256", "typ": "silkgate-card+jose" }),
        json!({ "alg": "eddsa", "typ": "silkgate-card+jose" }),
        json!({ "alg": "EdDSA", "typ": "jose+json" }),
        json!({ "alg": "EdDSA", "typ": "silkgate-card+jose", "crit": [] }),
        json!({ "alg": "EdDSA", "typ": "silkgate-card+jose", "b64": false }),
        json!([]),
    ] {
        assert_eq!(code(&forge(&wrong, &payload, &pkcs8)), "card_malformed", "{wrong}");
    }
}

#[test]
fn duplicate_and_unknown_members_are_refused_at_every_level() {
    let (pkcs8, public) = card_key();
    let content = content(&public);
    let text = serde_json::to_string(&content).unwrap();
    let signed = |payload: &str| forge(&header(), payload.as_bytes(), &pkcs8);
    assert!(Card::parse(&signed(&text)).is_ok());
    for (from, to) in [
        (r#""v":1"#, r#""v":1,"v":1"#),
        (r#""v":1"#, r#""v":1,"more":1"#),
        (r#""version":1,"previous""#, r#""version":1,"version":2,"previous""#),
        (r#"{"origin""#, r#"{"origin":"x","origin""#),
        (r#"{"origin""#, r#"{"more":1,"origin""#),
        (r#"{"type""#, r#"{"more":1,"type""#),
        (r#""country":"IQ","#, ""),
        (r#""country":"IQ""#, r#""country":"Iraq""#),
        (r#""version":1,"previous""#, r#""version":-1,"previous""#),
        (r#""version":1,"previous""#, r#""version":1.5,"previous""#),
        (r#""version":1,"previous""#, r#""version":9007199254740992,"previous""#),
    ] {
        assert!(text.contains(from), "{from}");
        assert_eq!(code(&signed(&text.replacen(from, to, 1))), "card_malformed", "{to}");
    }
    let outer = String::from_utf8(Card::sign(&content, &pkcs8).unwrap()).unwrap();
    for (from, to) in [
        ("\"payload\"", "\"header\": {}, \"payload\""),
        ("\"payload\"", "\"payload\": \"\", \"payload\""),
        ("\"signature\": \"", "\"signature\": \"="),
        ("{\n", "[{\n"),
        ("}\n", "}\n{}"),
    ] {
        assert_eq!(code(outer.replacen(from, to, 1).as_bytes()), "card_malformed", "{to}");
    }
    assert_eq!(code(&vec![b' '; CARD_MAX_BYTES + 1]), "card_too_large");
    assert_eq!(code(&vec![b'['; CARD_MAX_BYTES]), "card_malformed");
}

/// Every member broken on its own, rightly signed; the sentence names the member.
#[test]
fn what_a_card_says_has_a_grammar() {
    type Edit = fn(&mut CardContent);
    let cases: &[(&str, Edit)] = &[
        ("format", |c| c.v = 2),
        ("name", |c| c.name = "a\u{202e}b".into()),
        ("name", |c| c.name = "\u{1b}[2J".into()),
        ("host", |c| c.host = "Gateway.iq.example".into()),
        ("endpoints", |c| c.endpoints.clear()),
        ("endpoints", |c| c.endpoints = vec!["https://gateway.iq.example".into(); 9]),
        ("endpoints", |c| c.endpoints[0] = "http://gateway.iq.example".into()),
        ("authorities", |c| c.authorities.push("JO/customs".parse().unwrap())),
        ("authorities", |c| c.authorities.push(c.authorities[0].clone())),
        ("authorities", |c| {
            c.authorities = (0..65).map(|n| format!("IQ/a{n}").parse().unwrap()).collect();
        }),
        ("TLS anchors", |c| c.tls_anchors.clear()),
        ("TLS anchors", |c| c.tls_anchors = vec![c.tls_anchors[0].clone(); 9]),
        ("TLS anchors", |c| c.tls_anchors[0].push(0)),
        ("TLS anchors", |c| c.tls_anchors[0] = b"DER?".to_vec()),
        ("signing certificates", |c| c.signing_certificates.clear()),
        ("signing certificates", |c| c.signing_certificates[0].truncate(100)),
        ("log keys", |c| c.logs.clear()),
        ("log keys", |c| c.logs[0] = verifier_key("gateway.jo.example/IQ/house", 1)),
        ("log keys", |c| c.logs[0] = verifier_key("gateway.iq.example/JO/house", 1)),
        ("log keys", |c| c.logs[0] = verifier_key("gateway.iq.example/IQ/", 1)),
        ("log keys", |c| c.logs[0] = verifier_key("gateway.iq.example/IQ/a b", 1)),
        ("log keys", |c| c.logs[0] = verifier_key("gateway.iq.example/IQ/house", 2)),
        ("log keys", |c| c.logs[0].origin = "gateway.iq.example/IQ/JO".into()),
        ("log keys", |c| c.logs[0].key.push('A')),
        ("log keys", |c| c.logs[0].key = c.logs[0].key.replacen("+", "+0", 1)),
        ("witness key", |c| c.witness.key = c.logs[0].key.clone()),
        ("schemas", |c| c.schemas[0].digest.truncate(42)),
        ("schemas", |c| c.schemas[0].kind = "Alert.vehicle".into()),
        ("schemas", |c| c.schemas[0].version = 0),
        ("schemas", |c| c.schemas[0].id = "https://a b".into()),
        ("schemas", |c| c.schemas = vec![c.schemas[0].clone(); 65]),
        ("version", |c| c.version = 0),
        ("previous", |c| c.previous = Some("x".into())),
        ("time of issue", |c| c.issued_at = "yesterday".into()),
    ];
    let (pkcs8, public) = card_key();
    let sound = content(&public);
    for (member, edit) in cases {
        let mut content = sound.clone();
        edit(&mut content);
        let error =
            Card::parse(&forge(&header(), &serde_json::to_vec(&content).unwrap(), &pkcs8)).unwrap_err();
        assert_eq!(error.code(), "card_content_invalid", "{member}: {error}");
        assert!(error.to_string().starts_with(&format!("the card's {member}")), "{member}: {error}");
        assert!(
            Card::sign(&content, &pkcs8).is_none(),
            "{member}: nothing leaves that partners would refuse"
        );
    }
    let mut short = sound.clone();
    short.card_key = encode(&public[..31]);
    let payload = serde_json::to_vec(&short).unwrap();
    assert_eq!(code(&forge(&header(), &payload, &pkcs8)), "card_content_invalid");
}

#[test]
fn a_card_follows_only_the_one_it_names() {
    let (pkcs8, public) = card_key();
    let first = content(&public);
    let parsed = |content: &CardContent, key: &[u8]| Card::parse(&Card::sign(content, key).unwrap()).unwrap();
    let before = parsed(&first, &pkcs8);
    let previous = Some(Digest(before.digest()).to_string());
    let next = CardContent { version: 2, previous: previous.clone(), ..first.clone() };
    assert_eq!(parsed(&next, &pkcs8).succeeds(&before), Ok(()));
    let far = CardContent { version: 9, ..next.clone() };
    assert_eq!(parsed(&far, &pkcs8).succeeds(&before), Ok(()), "numbers may be left out");
    let moved = CardContent {
        host: "gw.iq.example".into(),
        logs: vec![verifier_key("gw.iq.example/IQ/house", 1)],
        witness: verifier_key("gw.iq.example/IQ/witness", 1),
        ..next.clone()
    };
    for (what, content) in [
        ("same version", CardContent { version: 1, ..next.clone() }),
        ("no previous", CardContent { previous: None, ..next.clone() }),
        ("other previous", CardContent { previous: Some(Digest::of(b"x").to_string()), ..next.clone() }),
        ("other host", moved),
    ] {
        let error = parsed(&content, &pkcs8).succeeds(&before).unwrap_err();
        assert_eq!(error.code(), "card_not_successor", "{what}");
    }
    assert!(before.succeeds(&parsed(&next, &pkcs8)).is_err(), "no way back");
    let (other, other_public) = card_key();
    let taken_over = CardContent { card_key: encode(&other_public), ..next };
    assert!(parsed(&taken_over, &other).succeeds(&before).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// One byte of a card changed: it is refused, or only white space between its members differs.
    #[test]
    fn no_altered_byte_changes_what_a_card_says(value: u8, start in 0usize..97) {
        let (pkcs8, public) = card_key();
        let content = content(&public);
        let bytes = Card::sign(&content, &pkcs8).unwrap();
        for place in (start..bytes.len()).step_by(97).filter(|place| bytes[*place] != value) {
            let mut altered = bytes.clone();
            altered[place] = value;
            if let Ok(card) = Card::parse(&altered) {
                prop_assert!(bytes[place].is_ascii_whitespace() && value.is_ascii_whitespace(), "{}", place);
                prop_assert_eq!(card.content(), &content);
                prop_assert_eq!(card.fingerprint(), Fingerprint::of(&public));
            }
        }
    }

    #[test]
    fn a_shortened_card_is_refused(cut in 0.0f64..1.0) {
        let (pkcs8, public) = card_key();
        let bytes = Card::sign(&content(&public), &pkcs8).unwrap();
        // The newline at the end may be lost on the way.
        let end = (cut * (bytes.len() - 1) as f64) as usize;
        prop_assert!(Card::parse(&bytes[..end]).is_err());
    }

    #[test]
    fn any_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Card::parse(&bytes).is_err());
    }
}

/// Every byte with every one of its bits: what the property samples, once through.
#[test]
fn every_flipped_bit_is_refused() {
    let (pkcs8, public) = card_key();
    let bytes = Card::sign(&content(&public), &pkcs8).unwrap();
    for place in 0..bytes.len() {
        for bit in 0..8 {
            let mut altered = bytes.clone();
            altered[place] ^= 1 << bit;
            assert!(Card::parse(&altered).is_err(), "byte {place}, bit {bit}");
        }
    }
}
