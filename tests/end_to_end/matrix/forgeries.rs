//! Forged messages over the line, as a partner or whoever sits in its place could send them. Each is refused
//! with its code before anything of it is believed. The same attacks on the parser alone stand in
//! `gateway/message/tests/jws_forgeries.rs`.

use serde_json::{Value, json};
use silkgate_message::jws::{SigningKey, decode, encode};
use silkgate_message::problem::Code::{self, *};
use support::{Pair, event, now_ms, sign};

type Forgery = (String, Vec<u8>, Code);

/// The order of the group of P-256.
const ORDER: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";

/// A sound message of this moment, its parts, and the key that signs it.
struct Sound {
    key: SigningKey,
    certificate: Vec<u8>,
    outer: Value,
    header: Value,
    payload: Vec<u8>,
}

impl Sound {
    fn new(pair: &Pair) -> Self {
        let key = pair.iq.message_key();
        let certificate = support::wire::certificates(&pair.iq.path.join("certs/message.pem")).remove(0);
        let message = sign(&key, &event("IQ/traffic-police", "JO/public-security"));
        let outer: Value = serde_json::from_slice(&message.bytes).unwrap();
        let part = |name: &str| decode(outer[name].as_str().unwrap()).unwrap();
        let header = serde_json::from_slice(&part("protected")).unwrap();
        Self { certificate: certificate.to_vec(), header, payload: part("payload"), key, outer }
    }

    fn member(&self, name: &str) -> String {
        self.outer[name].as_str().unwrap().to_owned()
    }

    fn with(&self, name: &str, value: Value) -> Vec<u8> {
        let mut forged = self.outer.clone();
        forged[name] = value;
        forged.to_string().into_bytes()
    }

    /// Signed by the right key, whatever header and payload say: what a malicious partner can do.
    fn signed(&self, header: &[u8], payload: &[u8]) -> Vec<u8> {
        self.key.sign_flattened(header, payload).unwrap()
    }
}

/// Headers that name keys, rules and algorithms of the attacker's choice, all validly signed.
fn headers(sound: &Sound) -> Vec<Forgery> {
    let mut found = Vec::new();
    let mut add = |name: String, edit: &dyn Fn(&mut Value), code: Code| {
        let mut header = sound.header.clone();
        edit(&mut header);
        found.push((name, sound.signed(header.to_string().as_bytes(), &sound.payload), code));
    };
    let own_key = json!({ "kty": "EC", "crv": "P-256", "x": encode(&[1; 32]), "y": encode(&[2; 32]) });
    let certificate = "MIIB".to_owned();
    for (member, value) in [
        ("jwk", own_key),
        ("jku", json!("https://127.0.0.1/keys.json")),
        ("x5u", json!("file:///etc/passwd")),
        ("x5c", json!([certificate])),
        ("x5t", json!(encode(&[0; 20]))),
        ("kid", json!("../../keys/card.key")),
        ("kid", json!("' OR 1=1 --")),
        ("crit", json!([])),
        ("crit", json!(["alg"])),
        ("crit", json!(["b64"])),
        ("crit", json!(["exp"])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
        ("enc", json!("A256GCM")),
        ("epk", json!({})),
        ("p2c", json!(2_000_000_000)),
        ("nonce", json!("n")),
        ("sigT", json!("2026-11-24T08:00:00Z")),
        ("etsiU", json!([])),
        ("ALG", json!("none")),
        ("alg\u{0}", json!("none")),
        ("__proto__", json!({ "alg": "none" })),
    ] {
        add(format!("{member}: {value}"), &|header| header[member] = value.clone(), HeaderInvalid);
    }
    add(
        "b64 false and critical".into(),
        &|h| (h["b64"], h["crit"]) = (json!(false), json!(["b64"])),
        HeaderInvalid,
    );
    for alg in [
        "none",
        "None",
        "NONE",
        "nOnE",
        "",
        " ES256",
        "ES256 ",
        "es256",
        "ES512",
        "ES256K",
        "RS256",
        "RS1",
        "PS256",
        "HS256",
        "HS384",
        "dir",
        "ECDH-ES",
        "Ed25519",
        "ML-DSA-65",
        "ES256\u{0}",
        "ЕS256",
    ] {
        add(format!("alg {alg:?}"), &|header| header["alg"] = json!(alg), AlgorithmRefused);
    }
    for (member, value, code) in [
        ("alg", json!(null), AlgorithmRefused),
        ("alg", json!(["ES256"]), AlgorithmRefused),
        ("alg", json!({ "ES256": 1 }), AlgorithmRefused),
        ("alg", json!("ES384"), AlgorithmMismatch),
        ("alg", json!("EdDSA"), AlgorithmMismatch),
        ("typ", json!("JWT"), HeaderInvalid),
        ("typ", json!("JOSE+JSON"), HeaderInvalid),
        ("typ", json!("application/jose+json"), HeaderInvalid),
        ("typ", json!("silkgate-card+jose"), HeaderInvalid),
        ("cty", json!("CloudEvents+json"), HeaderInvalid),
        ("cty", json!("JWT"), HeaderInvalid),
        ("cty", json!(null), HeaderInvalid),
        ("iat", json!(now_ms().to_string()), HeaderInvalid),
        ("iat", json!(1_795_000_000.5), HeaderInvalid),
        ("iat", json!(1.795e9), HeaderInvalid),
        ("iat", json!(-1), HeaderInvalid),
        ("iat", json!(253_402_300_800_i64), HeaderInvalid),
        ("iat", json!(9_007_199_254_740_991_i64), HeaderInvalid),
        ("iat", json!(true), HeaderInvalid),
        ("iat", json!([1_795_000_000]), HeaderInvalid),
        ("x5t#S256", json!(""), HeaderInvalid),
        ("x5t#S256", json!([]), HeaderInvalid),
        ("x5t#S256", json!(format!("{}=", sound.header["x5t#S256"].as_str().unwrap())), HeaderInvalid),
        ("x5t#S256", json!(encode(&[0; 20])), HeaderInvalid),
        ("x5t#S256", json!(encode(&[0; 32])), CertificateUnknown),
    ] {
        add(format!("{member}: {value}"), &|header| header[member] = value.clone(), code);
    }
    for member in ["alg", "typ", "cty", "iat", "x5t#S256"] {
        let code = if member == "alg" { AlgorithmRefused } else { HeaderInvalid };
        add(format!("no {member}"), &|header| drop(header.as_object_mut().unwrap().remove(member)), code);
    }
    found
}

/// Headers and payloads that are no strict JSON, validly signed.
fn texts(sound: &Sound) -> Vec<Forgery> {
    let header = sound.header.to_string();
    let payload = String::from_utf8(sound.payload.clone()).unwrap();
    let front = |text: &str, member: &str| text.replacen('{', &format!("{{{member},"), 1).into_bytes();
    let nested = sound.outer.to_string();
    let mut found: Vec<Forgery> = Vec::new();
    for (name, text, code) in [
        ("alg twice", front(&header, r#""alg":"none""#), JsonDuplicateMember),
        ("alg twice, escaped", front(&header, r#""\u0061lg":"none""#), JsonDuplicateMember),
        ("a byte order mark", [b"\xef\xbb\xbf", header.as_bytes()].concat(), JsonInvalid),
        ("NUL behind", [header.as_bytes(), b"\0"].concat(), JsonInvalid),
        ("a comment", format!("/**/{header}").into_bytes(), JsonInvalid),
        ("a comma too many", header.replace('}', ",}").into_bytes(), JsonInvalid),
        ("two objects", header.repeat(2).into_bytes(), JsonInvalid),
        ("an array", format!("[{header}]").into_bytes(), HeaderInvalid),
        ("a string", b"\"ES256\"".to_vec(), HeaderInvalid),
        ("null", b"null".to_vec(), HeaderInvalid),
        ("nothing", Vec::new(), JsonInvalid),
        (
            "not UTF-8",
            front(&header, "\"a\":1").iter().map(|b| if *b == b'1' { 0xff } else { *b }).collect(),
            JsonInvalid,
        ),
        ("an overlong quote", [b"{\xc0\xa2alg\":1,", &header.as_bytes()[1..]].concat(), JsonInvalid),
        ("UTF-16", header.encode_utf16().flat_map(u16::to_le_bytes).take(500).collect(), JsonInvalid),
        ("513 bytes", format!("{header}{}", " ".repeat(513 - header.len())).into_bytes(), HeaderInvalid),
        (
            "nested too deep",
            front(&header, &format!("\"a\":{}{}", "[".repeat(40), "]".repeat(40))),
            JsonTooDeep,
        ),
        ("iat with an exponent too great", front(&header, "\"n\":1e999"), JsonNumberRange),
        (
            "iat beyond every integer",
            header.replace("\"iat\":", "\"iat\":99999999999999999999").into_bytes(),
            JsonNumberRange,
        ),
    ] {
        found.push((format!("header: {name}"), sound.signed(&text, &sound.payload), code));
    }
    for (name, text, code) in [
        ("id twice", front(&payload, r#""id":"1""#), JsonDuplicateMember),
        ("id twice, escaped", front(&payload, r#""\u0069\u0064":"1""#), JsonDuplicateMember),
        ("twice deep inside", front(&payload, r#""x":[{"y":1,"y":2}]"#), JsonDuplicateMember),
        ("a byte order mark", [b"\xef\xbb\xbf", payload.as_bytes()].concat(), JsonInvalid),
        ("a lone surrogate", front(&payload, r#""x":"\ud800""#), JsonInvalid),
        ("a bomb of arrays", vec![b'['; 200_000], JsonTooDeep),
        ("a bomb of objects", b"{\"a\":".repeat(100_000), JsonTooDeep),
        ("a list too long", front(&payload, &format!("\"x\":[{}0]", "0,".repeat(10_000))), JsonTooLarge),
        ("nothing", Vec::new(), JsonInvalid),
    ] {
        found.push((format!("payload: {name}"), sound.signed(header.as_bytes(), &text), code));
    }
    // A message in a message is an event of other members, and so is no event.
    found.push((
        "payload: another JWS".into(),
        sound.signed(header.as_bytes(), nested.as_bytes()),
        EventInvalid,
    ));
    found
}

/// Other forms of JWS, and members that two readers could understand differently.
fn forms(sound: &Sound) -> Vec<Forgery> {
    let text = sound.outer.to_string();
    let [protected, payload, signature] =
        ["protected", "payload", "signature"].map(|name| sound.member(name));
    let entry = json!({ "protected": protected, "signature": signature });
    let front = |member: &str| text.replacen('{', &format!("{{{member},"), 1).into_bytes();
    // The last character of base64url of 64 bytes has four bits that say nothing.
    let mut stray = signature.clone();
    let last = stray.pop().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let at = alphabet.find(last).unwrap();
    stray.push(alphabet.as_bytes()[at ^ 1] as char);
    let general = json!({ "payload": payload, "signatures": [entry] });
    let two = json!({ "payload": payload, "signatures": [entry, entry] });
    let jwe = json!({ "protected": protected, "encrypted_key": "AA", "iv": "AA", "ciphertext": payload, "tag": "AA" });
    let mut found: Vec<Forgery> = Vec::new();
    for (name, body, code) in [
        ("compact", format!("{protected}.{payload}.{signature}").into_bytes(), JsonInvalid),
        ("general", general.to_string().into_bytes(), JwsMalformed),
        ("two signatures", two.to_string().into_bytes(), JwsMalformed),
        ("flattened and general", sound.with("signatures", json!([entry])), JwsMalformed),
        ("JWE", jwe.to_string().into_bytes(), JwsMalformed),
        ("an array", format!("[{text}]").into_bytes(), JwsMalformed),
        ("a JWS in a JWS", sound.with("payload", sound.outer.clone()), JwsMalformed),
        ("an unprotected alg", sound.with("header", json!({ "alg": "none" })), JwsMalformed),
        ("an unprotected key", sound.with("header", json!({ "jwk": {} })), JwsMalformed),
        ("an unprotected kid", sound.with("header", json!({ "kid": "1", "etsiU": [] })), JwsMalformed),
        ("an empty unprotected header", sound.with("header", json!({})), JwsMalformed),
        ("payload twice", front(r#""payload":"e30""#), JsonDuplicateMember),
        ("payload twice, escaped", front(r#""\u0070ayload":"e30""#), JsonDuplicateMember),
        ("signature twice", front(r#""signature":"AA""#), JsonDuplicateMember),
        ("another member", sound.with("Payload", json!("e30")), JwsMalformed),
        ("a null signature", sound.with("signature", json!(null)), JwsMalformed),
        ("a list as signature", sound.with("signature", json!([signature])), JwsMalformed),
        ("padding", sound.with("signature", json!(format!("{signature}=="))), JwsMalformed),
        ("stray bits", sound.with("signature", json!(stray)), JwsMalformed),
        ("white space", sound.with("payload", json!(format!(" {payload}"))), JwsMalformed),
        ("a line break", sound.with("protected", json!(format!("{protected}\n"))), JwsMalformed),
        ("NUL", sound.with("payload", json!(format!("{payload}\u{0}"))), JwsMalformed),
        ("standard base64", sound.with("signature", json!("+/+/")), JwsMalformed),
        ("one character", sound.with("payload", json!("e")), JwsMalformed),
        ("a byte order mark", [b"\xef\xbb\xbf", text.as_bytes()].concat(), JsonInvalid),
        ("NUL behind", [text.as_bytes(), b"\0"].concat(), JsonInvalid),
        ("two messages", text.repeat(2).into_bytes(), JsonInvalid),
        ("UTF-16", text.encode_utf16().flat_map(u16::to_be_bytes).collect(), JsonInvalid),
        ("a bomb of objects", b"{\"payload\":".repeat(90_000), JsonTooDeep),
        ("another payload", sound.with("payload", json!(encode(b"{}"))), SignatureInvalid),
        (
            "another header",
            {
                let mut header = sound.header.clone();
                header["iat"] = json!(header["iat"].as_i64().unwrap() + 1);
                sound.with("protected", json!(encode(header.to_string().as_bytes())))
            },
            SignatureInvalid,
        ),
        (
            "header and payload in each other's place",
            {
                let mut forged = sound.outer.clone();
                (forged["protected"], forged["payload"]) = (json!(encode(b"{}")), json!(protected));
                forged.to_string().into_bytes()
            },
            HeaderInvalid,
        ),
    ] {
        found.push((name.to_owned(), body, code));
    }
    found
}

/// Signatures that do not verify.
fn signatures(pair: &Pair, sound: &Sound) -> Vec<Forgery> {
    let bytes = decode(&sound.member("signature")).unwrap();
    let (r, s) = bytes.split_at(32);
    let (zero, order) = ([0; 32], hex(ORDER));
    let der = [&[0x30, 0x44, 0x02, 0x20], r, &[0x02, 0x20], s].concat();
    let other = sign(&sound.key, &event("IQ/traffic-police", "JO/public-security"));
    let others: Value = serde_json::from_slice(&other.bytes).unwrap();
    let hmac = |secret: &[u8]| {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
        let input = format!("{}.{}", sound.member("protected"), sound.member("payload"));
        ring::hmac::sign(&key, input.as_bytes()).as_ref().to_vec()
    };
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("r = s = 0", [zero, zero].concat()),
        ("r = 0", [&zero, s].concat()),
        ("s = 0", [r, &zero].concat()),
        ("r = n", [&order, s].concat()),
        ("s = n", [r, &order].concat()),
        ("r = s = n", [order.clone(), order].concat()),
        ("all ones", vec![0xff; 64]),
        ("DER", der),
        ("none", Vec::new()),
        ("short", bytes[..63].to_vec()),
        ("long", [&bytes[..], &[0]].concat()),
        ("96 bytes, as of P-384", [&bytes[..], &[0; 32]].concat()),
        ("twice", bytes.repeat(2)),
        ("r and s swapped", [s, r].concat()),
        ("one bit", bytes.iter().enumerate().map(|(at, b)| if at == 40 { b ^ 1 } else { *b }).collect()),
        ("another message's", decode(others["signature"].as_str().unwrap()).unwrap()),
        ("HMAC with the certificate as its secret", hmac(&sound.certificate)),
        ("HMAC with nothing as its secret", hmac(b"")),
    ];
    let mut found: Vec<Forgery> = cases
        .into_iter()
        .map(|(name, forged)| {
            (format!("signature: {name}"), sound.with("signature", json!(encode(&forged))), SignatureInvalid)
        })
        .collect();
    // HS256 said openly, with the public key as the secret.
    let mut header = sound.header.clone();
    header["alg"] = json!("HS256");
    let protected = encode(header.to_string().as_bytes());
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &sound.certificate);
    let tag = ring::hmac::sign(&key, format!("{protected}.{}", sound.member("payload")).as_bytes());
    let forged = json!({ "protected": protected, "payload": sound.member("payload"), "signature": encode(tag.as_ref()) });
    found.push((
        "HS256 with the certificate as its secret".into(),
        forged.to_string().into_bytes(),
        AlgorithmRefused,
    ));
    // Another state's key, under its own name and under the partner's.
    let foreign = pair.jo.message_key();
    let own_name = sign(&foreign, &event("IQ/traffic-police", "JO/public-security")).bytes;
    found.push(("another state's key".into(), own_name, CertificateUnknown));
    let under = foreign.sign_flattened(sound.header.to_string().as_bytes(), &sound.payload).unwrap();
    found.push(("another state's key under this name".into(), under, SignatureInvalid));
    found
}

#[test]
fn forgeries_are_refused_over_the_line() {
    let mut pair = Pair::set_up(None);
    pair.jo.start();
    let client = pair.iq.as_partner_of(&pair.jo);
    let sound = Sound::new(&pair);
    let all = [headers(&sound), texts(&sound), forms(&sound), signatures(&pair, &sound)].concat();
    assert!(all.len() >= 60);
    println!("{} forgeries", all.len());
    let wrong = super::at_once(&all, |(name, body, code)| {
        let answer = client.message(body);
        super::holds(*code, &answer).err().map(|what| format!("{name}: {what}"))
    });
    let wrong: Vec<String> = wrong.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let back_end = pair.jo.back_end("JO/public-security");
    assert!(back_end.deliveries("").is_empty(), "nothing forged is handed over");

    // A carrier can alter s so that it still verifies: it is the same message, before and after.
    let first = client.message(sound.outer.to_string().as_bytes());
    assert_eq!(first.status, 200);
    let bytes = decode(&sound.member("signature")).unwrap();
    let flipped = [&bytes[..32], &subtract(&hex(ORDER), &bytes[32..])].concat();
    let again = client.message(&sound.with("signature", json!(encode(&flipped))));
    assert_eq!((again.status, again.header("silkgate-replay")), (200, Some("true")));
    let entry = |body: &[u8]| String::from_utf8_lossy(body).lines().take(3).collect::<String>();
    assert_eq!(entry(&again.body), entry(&first.body));
    assert_eq!(back_end.deliveries("").len(), 1);
    assert!(pair.jo.audit().is_empty());
    assert!(!pair.jo.gateway_log().contains("panicked"));
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
