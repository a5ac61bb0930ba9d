//! Log entries: one spelling, strict grammars, always under 512 bytes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helper functions too")]

use proptest::option;
use proptest::prelude::*;
use silkgate_ledger::tree::{Hash, leaf_hash};
use silkgate_ledger::{Entry, EntryError, Kind, UtcMillis, Verdict};

fn at() -> UtcMillis {
    UtcMillis::parse("2026-11-24T09:30:00.123Z").unwrap()
}

fn text(value: &str) -> Option<String> {
    Some(value.to_owned())
}

fn sent() -> Entry {
    Entry {
        from: text("IQ/general-customs-authority"),
        to: text("TR/ministry-of-trade"),
        id: text("0199a6f0-7c1b-7def-8123-456789abcdef"),
        message_type: text("alert.vehicle"),
        jws: Some(Hash::of(b"jws")),
        cert: Some(Hash::of(b"cert")),
        schema: Some(Hash::of(b"schema")),
        ..Entry::new(Kind::Sent, at())
    }
}

fn received() -> Entry {
    Entry { kind: Kind::Received, verdict: Some(Verdict::Accepted), ..sent() }
}

/// A legal entry with every member of a judged message at its greatest length.
fn longest(kind: Kind) -> Entry {
    let party = format!("IQ/{}", "a".repeat(48));
    Entry {
        kind,
        from: Some(party.clone()),
        to: Some(party),
        message_type: Some(format!("a.{}", "b".repeat(38))),
        verdict: match kind {
            Kind::Sent => None,
            Kind::Received => Some(Verdict::Accepted),
            _ => Some(Verdict::Rejected),
        },
        code: Some("c".repeat(48)),
        ..sent()
    }
}

#[test]
fn members_stand_in_their_order() {
    let [jws, cert, schema] = [&b"jws"[..], b"cert", b"schema"].map(|data| Hash::of(data).to_base64url());
    let wanted = format!(
        "{}{}{}",
        r#"{"v":1,"kind":"received","at":"2026-11-24T09:30:00.123Z","from":"IQ/general-customs-authority","#,
        r#""to":"TR/ministry-of-trade","id":"0199a6f0-7c1b-7def-8123-456789abcdef","type":"alert.vehicle","#,
        format_args!(r#""jws":"{jws}","cert":"{cert}","schema":"{schema}","verdict":"accepted"}}"#),
    );
    assert_eq!(String::from_utf8(received().encode().unwrap()).unwrap(), wanted);

    let erased =
        Entry { of: text("17"), rule: text("retention.delete_by"), ..Entry::new(Kind::Erased, at()) };
    let wanted =
        r#"{"v":1,"kind":"erased","at":"2026-11-24T09:30:00.123Z","of":"17","rule":"retention.delete_by"}"#;
    assert_eq!(String::from_utf8(erased.encode().unwrap()).unwrap(), wanted);

    let all = Entry {
        from: text("IQ"),
        to: text("TR"),
        body: Some(Hash::of(b"body")),
        verdict: Some(Verdict::Rejected),
        code: text("json_invalid"),
        n: Some(3),
        what: text("w"),
        digest: Some(Hash::of(b"digest")),
        of: text("0"),
        rule: text("r"),
        role: text("auditor"),
        ..Entry::new(Kind::Rejected, at())
    };
    let wanted = format!(
        "{}{}{}",
        r#"{"v":1,"kind":"rejected","at":"2026-11-24T09:30:00.123Z","from":"IQ","to":"TR","#,
        format_args!(
            r#""body":"{}","verdict":"rejected","code":"json_invalid","n":3,"#,
            Hash::of(b"body").to_base64url()
        ),
        format_args!(
            r#""what":"w","digest":"{}","of":"0","rule":"r","role":"auditor"}}"#,
            Hash::of(b"digest").to_base64url()
        ),
    );
    assert_eq!(String::from_utf8(all.encode().unwrap()).unwrap(), wanted);
}

#[test]
fn the_longest_message_entries_stay_under_the_limit() {
    for (kind, length) in [(Kind::Sent, 485), (Kind::Received, 510), (Kind::Rejected, 510)] {
        let bytes = longest(kind).encode().unwrap();
        assert_eq!(bytes.len(), length, "{kind:?}");
        assert_eq!(Entry::parse(&bytes), Ok(longest(kind)));
    }
    let unparsed = Entry { jws: None, body: Some(Hash::of(b"body")), ..longest(Kind::Rejected) };
    assert_eq!(unparsed.encode().unwrap().len(), 511);
    let too_long = Entry { n: Some(1), ..unparsed };
    assert_eq!(too_long.encode(), Err(EntryError::TooLong));
}

#[test]
fn every_kind_says_what_it_cannot_lack() {
    let filled = |kind| Entry {
        of: text("17"),
        rule: text("retention.delete_by"),
        what: text("agreement"),
        code: text("signature_invalid"),
        verdict: match kind {
            Kind::Received | Kind::Receipted => Some(Verdict::Accepted),
            _ => None,
        },
        schema: None,
        cert: None,
        from: text("IQ"),
        to: text("TR"),
        ..Entry { kind, ..sent() }
    };
    for kind in Kind::ALL {
        let entry = filled(kind);
        assert_eq!(Entry::parse(&entry.encode().unwrap()), Ok(entry), "{kind:?}");
        let bare = Entry::new(kind, at());
        assert!(
            matches!(bare.encode(), Err(EntryError::Missing(_) | EntryError::Contradiction("verdict"))),
            "{kind:?}"
        );
    }
    let lacking = |kind, entry: fn(&mut Entry), member| {
        let mut without = filled(kind);
        entry(&mut without);
        assert_eq!(without.encode(), Err(EntryError::Missing(member)), "{kind:?}");
    };
    lacking(Kind::Sent, |entry| entry.jws = None, "jws");
    lacking(Kind::Received, |entry| entry.verdict = None, "verdict");
    lacking(Kind::Receipted, |entry| entry.verdict = None, "verdict");
    lacking(Kind::Rejected, |entry| entry.code = None, "code");
    lacking(Kind::Refused, |entry| entry.code = None, "code");
    lacking(Kind::Expired, |entry| entry.id = None, "id");
    lacking(Kind::Erased, |entry| entry.rule = None, "rule");
    lacking(Kind::Admin, |entry| entry.what = None, "what");
    lacking(Kind::Dropped, |entry| entry.id = None, "id");
}

#[test]
fn refuses_contradictions() {
    let both = Entry { body: Some(Hash::of(b"")), ..sent() };
    assert_eq!(both.encode(), Err(EntryError::Contradiction("body")));
    let judged = Entry { verdict: Some(Verdict::Accepted), ..sent() };
    assert_eq!(judged.encode(), Err(EntryError::Contradiction("verdict")));
    let refused = Entry { verdict: Some(Verdict::Rejected), ..received() };
    assert_eq!(refused.encode(), Err(EntryError::Contradiction("verdict")));
    let counted = Entry { n: Some(2), ..sent() };
    assert_eq!(counted.encode(), Err(EntryError::Contradiction("n")));
    let summary = |n| Entry { n: Some(n), code: text("rate_limited"), ..Entry::new(Kind::Refused, at()) };
    assert!(summary(1).encode().is_ok() && summary((1 << 53) - 1).encode().is_ok());
    assert_eq!(summary(0).encode(), Err(EntryError::Member("n")));
    assert_eq!(summary(1 << 53).encode(), Err(EntryError::Member("n")));
}

#[test]
fn refuses_values_outside_their_grammar() {
    let wrong = |change: fn(&mut Entry), member| {
        let mut entry = received();
        change(&mut entry);
        assert_eq!(entry.encode(), Err(EntryError::Member(member)));
    };
    wrong(|entry| entry.from = text("iq/customs"), "from");
    wrong(|entry| entry.to = text("TR/a\"b"), "to");
    wrong(|entry| entry.id = text("1"), "id");
    wrong(|entry| entry.message_type = text("alert"), "type");
    wrong(|entry| entry.code = text("Bad"), "code");
    wrong(|entry| entry.what = text(""), "what");
    wrong(|entry| entry.of = text("01"), "of");
    wrong(|entry| entry.rule = text("a b"), "rule");
    wrong(|entry| entry.role = text("auditor\n"), "role");
}

#[test]
fn reads_no_other_spelling() {
    let line = String::from_utf8(received().encode().unwrap()).unwrap();
    for (from, to) in [
        ("{\"v\"", "{ \"v\""),
        ("\"}", "\"}\n"),
        ("\"}", "\" }"),
        ("\"v\":1,", "\"v\":1.0,"),
        ("\"v\":1,", "\"v\":2,"),
        ("\"v\":1,", "\"v\":01,"),
        ("\"v\":1,", ""),
        ("\"v\":1,\"kind\":\"received\"", "\"kind\":\"received\",\"v\":1"),
        ("\"received\"", "\"Received\""),
        ("\"received\"", "\"seen\""),
        ("\"received\"", "\"r\\u0065ceived\""),
        ("alert.vehicle", "alert\\u002evehicle"),
        (",\"verdict\":\"accepted\"", ",\"verdict\":\"accepted\",\"verdict\":\"accepted\""),
        (",\"verdict\":\"accepted\"", ",\"verdict\":\"accepted\",\"code\":null"),
        (",\"verdict\":\"accepted\"", ",\"verdict\":\"accepted\",\"name\":\"x\""),
        (",\"verdict\":\"accepted\"", ",\"verdict\":\"maybe\""),
        (".123Z", ".123456Z"),
        ("T09", "t09"),
        ("\"jws\":\"", "\"jws\":\"A"),
        ("456789abcdef", "456789ABCDEF"),
    ] {
        let other = line.replacen(from, to, 1);
        assert_ne!(other, line, "{from}");
        assert!(Entry::parse(other.as_bytes()).is_err(), "{other}");
    }
    assert_eq!(Entry::parse(&vec![b' '; 512]), Err(EntryError::TooLong));
    for bad in ["", "null", "[]", "{}", "1", "\u{feff}{}"] {
        assert_eq!(Entry::parse(bad.as_bytes()), Err(EntryError::Json));
    }
    let mut cut = line.clone();
    cut.push_str(&line);
    assert!(Entry::parse(cut.as_bytes()).is_err());
}

#[test]
fn the_leaf_is_the_hash_of_the_bytes() {
    assert_eq!(received().leaf(), Ok(leaf_hash(&received().encode().unwrap())));
}

fn digest() -> impl Strategy<Value = Hash> {
    any::<[u8; 32]>().prop_map(Hash::from_bytes)
}

fn party() -> impl Strategy<Value = String> {
    "[A-Z]{2}(/[a-z0-9]{1,9}(-[a-z0-9]{1,9}){0,3})?"
}

prop_compose! {
    fn any_entry()(
        kind in prop::sample::select(&Kind::ALL[..]),
        at in 0..253_402_300_800_000_i64,
        (from, to) in (option::of(party()), option::of(party())),
        id in option::of("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"),
        message_type in option::of("[a-z]{1,9}(\\.[a-z]{1,9}){1,3}"),
        hashes in prop::array::uniform5(option::of(digest())),
        verdict in option::of(prop::sample::select(&[Verdict::Accepted, Verdict::Rejected][..])),
        (code, what, role) in (option::of("[a-z0-9_]{1,48}"), option::of("[a-z0-9_]{1,48}"), option::of("[a-z]{1,9}")),
        n in option::of(1_u64..1 << 53),
        of in option::of("[1-9][0-9]{0,18}"),
        rule in option::of("[a-z0-9_]{1,9}([.-][a-z0-9_]{1,9}){0,3}"),
    ) -> Entry {
        let [jws, body, cert, schema, digest] = hashes;
        let at = UtcMillis::from_unix_ms(at).unwrap();
        Entry { kind, at, from, to, id, message_type, jws, body, cert, schema, verdict, code, n, what, digest, of, rule, role }
    }
}

/// Drops the members that contradict the kind or each other.
fn without_contradictions(mut entry: Entry) -> Entry {
    entry.body = entry.body.filter(|_| entry.jws.is_none());
    entry.n = entry.n.filter(|_| matches!(entry.kind, Kind::Rejected | Kind::Refused));
    entry.verdict = match entry.kind {
        Kind::Received => Some(Verdict::Accepted),
        Kind::Receipted => entry.verdict,
        Kind::Rejected | Kind::Refused => entry.verdict.filter(|verdict| *verdict == Verdict::Rejected),
        _ => None,
    };
    entry
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn what_is_written_is_read(entry in any_entry().prop_map(without_contradictions)) {
        match entry.encode() {
            Ok(bytes) => {
                prop_assert!(bytes.len() < 512);
                prop_assert_eq!(Entry::parse(&bytes), Ok(entry));
            }
            Err(error) => prop_assert!(matches!(error, EntryError::Missing(_) | EntryError::TooLong), "{error}"),
        }
    }

    #[test]
    fn a_changed_byte_is_refused_or_another_entry(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let bytes = received().encode().unwrap();
        let mut changed = bytes.clone();
        changed[at.index(bytes.len())] = byte;
        if let Ok(entry) = Entry::parse(&changed) {
            prop_assert_eq!(entry.encode().unwrap(), changed.clone());
            prop_assert_eq!(entry == received(), changed == bytes);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = Entry::parse(&bytes);
    }

    #[test]
    fn arbitrary_json_never_panics(text in "\\{(\"(v|kind|at|n|id|jws)\":(1|null|\"[a-z0-9]{0,9}\"),?){0,6}\\}") {
        let _ = Entry::parse(text.as_bytes());
    }
}
