//! What signs verifies, any changed byte fails, and what is written is read: messages and agreements.
#![allow(clippy::unwrap_used)]

mod signers;

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::Value;
use signers::{Signer, signer};
use silkgate_message::agreement::{
    Agreement, BODY_MAX_BYTES, Clause, Degraded, KeyExchange, RETENTION_MAX_DAYS, Window,
};
use silkgate_message::event::Status;
use silkgate_message::instant::Instant;
use silkgate_message::jws::{Algorithm, Jws};
use silkgate_message::party::Party;
use silkgate_message::problem::Code;

static SIGNERS: LazyLock<[Signer; 3]> =
    LazyLock::new(|| [Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa].map(signer));

fn taken(bytes: &[u8], by: &Signer) -> bool {
    Jws::parse(bytes).is_ok_and(|jws| jws.verify(&by.certificate).is_ok())
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-(1_i64 << 53) + 1..1 << 53).prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("\\PC{0,8}", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn any_party() -> impl Strategy<Value = Party> {
    "[A-Z]{2}/[a-z]{1,8}(-[a-z0-9]{1,8}){0,2}".prop_map(|text| text.parse().unwrap())
}

fn any_mode() -> impl Strategy<Value = Degraded> {
    prop::sample::select(vec![Degraded::Accept, Degraded::Queue, Degraded::Stop])
}

/// At most one clause of a type.
fn any_clauses() -> impl Strategy<Value = Vec<Clause>> {
    prop::collection::vec(any_clause(), 0..3).prop_map(|mut clauses| {
        clauses.sort_by(|a, b| a.kind.cmp(&b.kind));
        clauses.dedup_by(|a, b| a.kind == b.kind);
        clauses
    })
}

fn any_clause() -> impl Strategy<Value = Clause> {
    let status = prop::sample::subsequence(vec![Status::Test, Status::Exercise, Status::Actual], 0..=3);
    let handling = prop::sample::subsequence(vec!["H0", "H1", "H2", "H3"], 0..=4);
    (
        ("\\PC{0,20}", prop::collection::vec(any::<u32>(), 0..3), status),
        (prop::collection::vec("(?s).{0,12}", 0..3), handling, prop::option::of(1..=RETENTION_MAX_DAYS)),
        (prop::collection::vec(any_party(), 0..3), prop::collection::vec(any_party(), 0..3)),
        (
            prop::collection::vec("[A-Z]{2}", 0..3),
            prop::option::of(1..=BODY_MAX_BYTES),
            prop::option::of(1..u32::MAX),
            prop::collection::vec((0..24_u8, 0..60_u8), 0..3),
            prop::option::of(any_mode()),
        ),
    )
        .prop_map(|(first, second, (senders, recipients), last)| {
            let ((kind, versions, status), (purposes, handling, retention_days)) = (first, second);
            let (states, body_max_bytes, rate_per_second, hours, degraded) = last;
            let window = |(hour, minute)| Window::parse(&format!("Sat-Thu {hour:02}:{minute:02}-24:00"));
            Clause {
                kind,
                versions,
                status,
                purposes,
                handling: handling.into_iter().map(str::to_owned).collect(),
                retention_days,
                senders,
                recipients,
                releasable_to: states.iter().map(|state| state.parse().unwrap()).collect(),
                body_max_bytes,
                rate_per_second,
                hours: hours.into_iter().filter_map(window).collect(),
                degraded,
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_signs_verifies_and_any_changed_byte_fails(
        event in any_json(), seconds in 0..253_402_300_799_i64, by in 0..3_usize,
        places in prop::collection::vec((any::<prop::sample::Index>(), 1..=255_u8), 32), cut in any::<prop::sample::Index>(),
    ) {
        let (by, iat) = (&SIGNERS[by], Instant::from_seconds(seconds));
        let payload = event.to_string().into_bytes();
        let bytes = by.key.sign(&payload, iat).unwrap();
        let jws = Jws::parse(&bytes).unwrap();
        prop_assert_eq!(jws.verify(&by.certificate), Ok(()));
        prop_assert_eq!((&jws.payload, jws.iat, &jws.event), (&payload, iat, &event));
        for other in SIGNERS.iter().filter(|other| other.certificate != by.certificate) {
            prop_assert_eq!(jws.verify(&other.certificate), Err(Code::CertificateUnknown));
        }
        for (place, mask) in places {
            let mut altered = bytes.clone();
            altered[place.index(bytes.len())] ^= mask;
            prop_assert!(!taken(&altered, by), "{}", String::from_utf8_lossy(&altered));
        }
        prop_assert!(!taken(&bytes[..cut.index(bytes.len())], by));
    }

    #[test]
    fn an_agreement_that_is_written_is_read(
        partner in "[A-Z]{2}", hours in 1..=8784_u32, witness_hours in 1..=8784_u32, body in 0..=BODY_MAX_BYTES, rate: u32, grace: u32,
        days in 1..=RETENTION_MAX_DAYS, degraded in any_mode(), kx in 0..3_usize,
        receive in any_clauses(), send in any_clauses(),
    ) {
        let agreement = Agreement {
            partner: partner.parse().unwrap(), lifetime_hours: hours, body_max_bytes: body, rate_per_second: rate, retention_days: days,
            witness_hours, crl_grace_hours: grace, degraded, receive, send,
            key_exchange: [KeyExchange::HybridFirst, KeyExchange::HybridOnly, KeyExchange::Classical][kx],
        };
        prop_assert_eq!(Agreement::parse(&agreement.to_toml()), Ok(agreement));
    }
}

/// Every bit of one message of each algorithm, once through.
#[test]
fn every_flipped_bit_is_refused() {
    for by in SIGNERS.iter() {
        let bytes = by.key.sign(br#"{"id":"1","data":{"n":1}}"#, Instant(1_795_000_000_000)).unwrap();
        assert!(taken(&bytes, by));
        for place in 0..bytes.len() {
            for bit in 0..8 {
                let mut altered = bytes.clone();
                altered[place] ^= 1 << bit;
                assert!(!taken(&altered, by), "byte {place}, bit {bit}");
            }
        }
    }
}
