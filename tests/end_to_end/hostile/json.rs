//! Texts that are no JSON, or that readers of JSON disagree about.

use serde_json::Value;
use support::event;

use super::{IQ, JO, Stage, corpus, none_wrong};
use crate::matrix::at_once;

/// The bounds of JSON, which a text may break that is otherwise sound.
fn is_bound(code: &str) -> bool {
    matches!(code, "json_duplicate_member" | "json_number_range" | "json_too_deep" | "json_too_large")
}

/// Bytes that are not UTF-8, each in a text that is sound but for them.
const NOT_UTF8: [&[u8]; 12] = [
    b"[\"\xff\"]",
    b"[\"\xc0\x80\"]",
    b"[\"\xc0\xaf\"]",
    b"[\"\xe0\x80\x80\"]",
    b"[\"\xf0\x80\x80\x80\"]",
    b"[\"\xed\xa0\x80\"]",
    b"[\"\xed\xa0\x80\xed\xb0\x80\"]",
    b"[\"\xf4\x90\x80\x80\"]",
    b"[\"\xf8\x88\x80\x80\x80\"]",
    b"[\"\xe2\x82\"]",
    b"[\"\x80\"]",
    b"\xff\xfe[\0\"\0a\0\"\0]\0",
];

#[test]
fn malformed_json_is_refused_as_message_header_and_payload() {
    let stage = Stage::begin();
    let mut texts: Vec<(String, Vec<u8>)> = corpus("json-test-suite.json")
        .iter()
        .map(|case| (case[0].as_str().unwrap().to_owned(), case[1].as_str().unwrap().as_bytes().to_vec()))
        .collect();
    texts.extend(NOT_UTF8.iter().enumerate().map(|(at, bytes)| (format!("n_not_utf8_{at}"), bytes.to_vec())));
    let header = stage.header();
    let found = at_once(&texts, |(name, text)| {
        let as_header = stage.key.sign_flattened(text, b"{}").unwrap();
        let places = [
            ("message", text.clone(), "jws_malformed"),
            ("header", as_header, "header_invalid"),
            ("payload", stage.key.sign_flattened(header.as_bytes(), text).unwrap(), "event_invalid"),
        ];
        let wrong = places.into_iter().filter_map(|(place, body, otherwise)| {
            let answer = stage.send(&body);
            let code = answer.code();
            // What is longer than a header may be is not read.
            let is_long = place == "header" && text.len() > 512 && code == "header_invalid";
            let is_right = match &name[..2] {
                "n_" => code == "json_invalid" || is_bound(&code) || is_long,
                "y_" => code == otherwise || is_bound(&code),
                _ => code == "json_invalid" || is_bound(&code) || code == otherwise,
            };
            let is_receipted = answer.json()["receipt"].is_string();
            let is_right =
                is_right && (400..500).contains(&answer.status) && is_receipted == (code == "event_invalid");
            (!is_right).then(|| format!("{name} as {place}: {} {code}", answer.status))
        });
        Some(wrong.collect::<Vec<_>>().join("\n")).filter(|wrong| !wrong.is_empty())
    });
    println!("{} texts in three places", texts.len());
    none_wrong(found);
    stage.is_well();
}

/// `n` times one thing within another.
fn nested(open: &str, close: &str, n: usize) -> String {
    format!("{}{}", open.repeat(n), close.repeat(n))
}

#[test]
fn nesting_bombs_are_defused() {
    let stage = Stage::begin();
    let inside = |value: &str| event(IQ, JO).to_string().replacen('{', &format!("{{\"x\":{value},"), 1);
    let mut bombs: Vec<(&str, String, &str)> = Vec::new();
    for (name, open, close) in [
        ("arrays", "[", "]"),
        ("objects", "{\"a\":", "}"),
        ("both", "[{\"a\":", "}]"),
        ("arrays after values", "[1,", "]"),
        ("arrays and white space", "[ \n", "]"),
    ] {
        bombs.push((name, nested(open, close, 33), "json_too_deep"));
        bombs.push((name, nested(open, close, 50_000), "json_too_deep"));
        bombs.push((name, open.repeat(100_000), "json_too_deep"));
    }
    bombs.push(("at the bound", nested("[", "]", 32), ""));
    bombs.push(("within a string", format!("\"{}\"", "[{".repeat(8_000)), ""));
    bombs.push(("within a long string", format!("\"{}\"", "[".repeat(100_000)), "json_too_large"));
    bombs.push(("within a name", format!("{{\"{}\":1}}", "[".repeat(100_000)), "json_too_large"));
    bombs.push(("many shallow ones", format!("[{}[]]", "[],".repeat(9_999)), ""));
    bombs.push(("too many shallow ones", format!("[{}[]]", "[],".repeat(10_000)), "json_too_large"));
    bombs.push((
        "many members",
        format!("{{{}\"z\":1}}", (0..10_000).map(|n| format!("\"{n}\":1,")).collect::<String>()),
        "json_too_large",
    ));
    let found = at_once(&bombs, |(name, bomb, code)| {
        let as_payload = stage.send(&stage.payload(bomb.as_bytes())).code();
        let inside = stage.send(&stage.payload(inside(bomb).as_bytes())).code();
        let outer = stage.send(bomb.as_bytes()).code();
        let header = stage.send(&stage.key.sign_flattened(bomb.as_bytes(), b"{}").unwrap()).code();
        let wanted = if code.is_empty() { "event_invalid" } else { code };
        // The message itself is bounded as a whole; what is sound there is no JWS.
        let of_outer = if *code == "json_too_deep" { code } else { "jws_malformed" };
        let deeper = if *name == "at the bound" { "json_too_deep" } else { wanted };
        let is_right = as_payload == wanted && inside == deeper && outer == of_outer;
        let is_right = is_right && (header == "header_invalid" || header == *code);
        (!is_right).then(|| format!("{name}: {as_payload}, {inside}, {outer}, {header}"))
    });
    println!("{} bombs in four places", bombs.len());
    none_wrong(found);
    stage.is_well();
}

#[test]
fn a_number_is_taken_for_what_it_says_or_refused() {
    let stage = Stage::begin();
    let cases: &[(&str, &str)] = &[
        ("1", ""),
        ("200000", ""),
        ("1.0", ""),
        ("2e3", ""),
        ("2E+3", ""),
        ("20000e-1", ""),
        ("200001", "schema_invalid"),
        ("0", "schema_invalid"),
        ("-0", "schema_invalid"),
        ("-0.0", "schema_invalid"),
        ("-1", "schema_invalid"),
        ("1.5", "schema_invalid"),
        ("1e-400", "schema_invalid"),
        ("9007199254740991", "schema_invalid"),
        ("9007199254740992", "json_number_range"),
        ("9007199254740993", "json_number_range"),
        ("-9007199254740993", "json_number_range"),
        ("18446744073709551616", "json_number_range"),
        ("1e16", "json_number_range"),
        ("1e308", "json_number_range"),
        ("1e309", "json_number_range"),
        ("-1e9999999999", "json_number_range"),
        ("\"1000\"", "schema_invalid"),
        ("true", "schema_invalid"),
        ("null", "schema_invalid"),
        ("[1000]", "schema_invalid"),
        ("01", "json_invalid"),
        ("+1", "json_invalid"),
        (".5", "json_invalid"),
        ("1.", "json_invalid"),
        ("1e", "json_invalid"),
        ("0x10", "json_invalid"),
        ("1_000", "json_invalid"),
        ("1,000", "json_invalid"),
        ("NaN", "json_invalid"),
        ("Infinity", "json_invalid"),
        ("-Infinity", "json_invalid"),
        ("١٠٠٠", "json_invalid"),
        ("1000n", "json_invalid"),
        ("--1", "json_invalid"),
        ("1 000", "json_invalid"),
    ];
    let long = format!("1{}", "0".repeat(100_000));
    let small = format!("0.{}1", "0".repeat(100_000));
    let mut cases: Vec<(&str, &str)> = cases.to_vec();
    cases.extend([(long.as_str(), "json_number_range"), (small.as_str(), "schema_invalid")]);
    let found = at_once(&cases, |(number, code)| {
        let mut event: Value = event(IQ, JO);
        event["data"]["maximumMassKg"] = Value::from(77_777);
        let text = event.to_string().replace("77777", number);
        let answer = stage.send(&stage.payload(text.as_bytes()));
        let is_right = answer.code() == *code && (answer.status == 200) == code.is_empty();
        (!is_right).then(|| format!("{:.40}: {} {}", number, answer.status, answer.code()))
    });
    println!("{} numbers", cases.len());
    none_wrong(found);
    stage.is_well();
}

/// A whole number is one however it is written (JSON Schema 2020-12 validation §6.1.1): no spelling of a version gets
/// past the record that it belongs to.
#[test]
fn a_version_with_a_fraction_of_zero_is_a_version() {
    let stage = Stage::begin();
    for version in ["1", "1.0", "1e0", "10e-1", "1.000000000000000000000000000001"] {
        let mut first: Value = event(IQ, JO);
        first["data"]["recordVersion"] = Value::from(77_777);
        let mut second = event(IQ, JO);
        second["subject"] = first["subject"].clone();
        second["data"] = first["data"].clone();
        let [first, second] = [first, second].map(|event| event.to_string().replace("77777", version));
        assert_eq!(stage.send(&stage.payload(first.as_bytes())).status, 200, "{version}");
        let again = stage.send(&stage.payload(second.as_bytes()));
        assert_eq!((again.status, again.code().as_str()), (422, "record_exists"), "{version}");
    }
    stage.is_well();
}
