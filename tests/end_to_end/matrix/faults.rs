//! The faults, in the order in which `docs/protocol.md` has them looked for.

use serde_json::json;
use silkgate_message::catalogue::Catalogue;
use silkgate_message::jws::encode;
use silkgate_message::problem::Code::{self, *};

use super::draft::{Base, DAY, Draft, HOUR, Reference};
use super::world::{IQ_TOO, JO_TOO};

/// What has to be so of the partner, whatever it sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Partner {
    /// It is active, and within its rate.
    Well,
    /// It was removed while its connection was open.
    Removed,
    Suspended,
    /// It has used up its rate.
    Hasty,
}

/// One way to be refused.
pub struct Fault {
    pub name: &'static str,
    /// The step of the order of checks.
    pub step: u8,
    pub code: Code,
    pub partner: Partner,
    pub put: fn(&mut Draft),
}

const fn fault(name: &'static str, step: u8, code: Code, put: fn(&mut Draft)) -> Fault {
    Fault { name, step, code, partner: Partner::Well, put }
}

const fn of_partner(name: &'static str, step: u8, code: Code, partner: Partner) -> Fault {
    Fault { name, step, code, partner, put: |_| () }
}

const DUPLICATE: &[u8] = br#""d":1,"d":2,"#;
const NUMBER: &[u8] = br#""n":1e400,"#;

fn deep() -> Vec<u8> {
    format!("\"e\":{}{},", "[".repeat(33), "]".repeat(33)).into_bytes()
}

fn long() -> Vec<u8> {
    format!("\"l\":[{}0],", "0,".repeat(10_000)).into_bytes()
}

fn schema(kind: &str, version: u32) -> &'static str {
    Catalogue::embedded().find(kind, version).unwrap().schema_id()
}

/// Every fault; the earlier one answers.
pub const FAULTS: &[Fault] = &[
    fault("a large head", 1, HeadTooLarge, |d| d.wire.has_large_head = true),
    fault("two hosts", 1, RequestMalformed, |d| d.wire.has_two_hosts = true),
    of_partner("removed", 1, PeerUnknown, Partner::Removed),
    fault("elsewhere", 1, NotFound, |d| d.wire.is_elsewhere = true),
    fault("another method", 1, MethodNotAllowed, |d| d.wire.has_other_method = true),
    of_partner("suspended", 2, PartnerSuspended, Partner::Suspended),
    of_partner("hasty", 2, RateExceeded, Partner::Hasty),
    fault("another content type", 2, ContentTypeUnsupported, |d| d.wire.has_other_type = true),
    fault("a length over the limit", 2, BodyTooLarge, |d| d.wire.states_too_much = true),
    fault("more than the limit", 2, BodyTooLarge, |d| d.wire.is_oversize = true),
    fault("a body that stalls", 2, BodyTimeout, |d| d.wire.stalls = true),
    fault("a body that breaks off", 2, BodyIncomplete, |d| d.wire.breaks_off = true),
    fault("no JSON", 3, JsonInvalid, |d| d.outer.is_garbage = true),
    fault("no UTF-8", 3, JsonInvalid, |d| d.outer.front.push(b"\"u\":\"\xff\",".to_vec())),
    fault("a member twice", 3, JsonDuplicateMember, |d| d.outer.front.push(DUPLICATE.to_vec())),
    fault("too deep", 3, JsonTooDeep, |d| d.outer.front.push(deep())),
    fault("a number out of range", 3, JsonNumberRange, |d| d.outer.front.push(NUMBER.to_vec())),
    fault("no signature", 3, JwsMalformed, |d| d.lacks_signature = true),
    fault("a padded payload", 3, JwsMalformed, |d| d.pads_payload = true),
    fault("a long header", 3, HeaderInvalid, |d| d.is_padded = true),
    fault("a header that is no JSON", 3, JsonInvalid, |d| d.protected.is_garbage = true),
    fault("alg twice", 3, JsonDuplicateMember, |d| d.protected.front.push(br#""alg":"none","#.to_vec())),
    fault("a payload that is no JSON", 3, JsonInvalid, |d| d.payload.is_garbage = true),
    fault("a member of the event twice", 3, JsonDuplicateMember, |d| {
        d.payload.front.push(DUPLICATE.to_vec())
    }),
    fault("an event too deep", 3, JsonTooDeep, |d| d.payload.front.push(deep())),
    fault("a number of the event out of range", 3, JsonNumberRange, |d| {
        d.payload.front.push(NUMBER.to_vec())
    }),
    fault("a list too long", 3, JsonTooLarge, |d| d.payload.front.push(long())),
    fault("a key in the header", 3, HeaderInvalid, |d| d.header.push(("jwk", json!({})))),
    fault("iat with a fraction", 3, HeaderInvalid, |d| d.header.push(("iat", json!(1_795_000_000.5)))),
    fault("alg none", 3, AlgorithmRefused, |d| d.header.push(("alg", json!("none")))),
    fault("an unknown certificate", 4, CertificateUnknown, |d| {
        d.header.push(("x5t#S256", json!(encode(&[0; 32]))));
    }),
    fault("another key's alg", 4, AlgorithmMismatch, |d| d.header.push(("alg", json!("ES384")))),
    fault("a wrong signature", 4, SignatureInvalid, |d| d.has_spoilt_signature = true),
    fault("a known id", 5, IdConflict, |d| d.is_conflict = true),
    fault("a short salt", 6, EventInvalid, |d| d.set("salt", "short")),
    fault("a certificate not yet valid", 7, CertificateNotYetValid, |d| d.certificate.is_early = true),
    fault("a revoked certificate", 7, CertificateRevoked, |d| d.certificate.is_revoked = true),
    fault("an expired certificate", 7, CertificateExpired, |d| d.certificate.is_late = true),
    fault("iat ahead", 7, IatInFuture, |d| d.ahead_ms = 400_000),
    fault("expired", 7, Expired, |d| {
        d.is_expired = true;
        d.ahead_ms = if d.ahead_ms > 0 { d.ahead_ms } else { -8 * DAY };
    }),
    fault("a long life", 7, LifetimeTooLong, |d| d.lifetime_ms = 7 * DAY + HOUR),
    fault("an id of another time", 7, IdTimeMismatch, |d| d.id_ms = -400_000),
    fault("time ahead", 7, TimeInFuture, |d| d.time_ms = 400_000),
    fault("a foreign source", 8, SourceForeign, |d| d.set("source", "SA/border-guard")),
    fault("a foreign recipient", 8, RecipientForeign, |d| d.set("recipient", "SA/border-guard")),
    fault("an unknown recipient", 8, RecipientUnknown, |d| d.set("recipient", "JO/post-office")),
    fault("a type not agreed", 9, AgreementType, |d| {
        d.set("type", "risk.notice");
        d.set("dataschema", schema("risk.notice", 1));
    }),
    fault("a version not agreed", 9, AgreementVersion, |d| {
        d.set("type", "crossing.status");
        d.set("dataschema", schema("crossing.status", 2));
    }),
    fault("a status not agreed", 9, AgreementStatus, |d| d.set("status", "exercise")),
    fault("a purpose not agreed", 9, AgreementPurpose, |d| d.set("purpose", "tax-collection")),
    fault("a sender not agreed", 9, AgreementAuthority, |d| d.set("source", "IQ/post-office")),
    fault("a recipient not agreed", 9, AgreementAuthority, |d| d.set("recipient", JO_TOO)),
    fault("a handling code not agreed", 9, AgreementHandling, |d| d.set("handling", "H0")),
    fault("not releasable here", 9, Releasability, |d| d.set("releasableto", "SA")),
    fault("an unknown schema", 10, SchemaUnknown, |d| {
        d.set("dataschema", "https://silkgate.example/schemas/transit.movement/9/schema.json");
    }),
    fault("a stray member", 11, SchemaInvalid, |d| d.has_a_stray = true),
    fault("another record in the data", 11, RulesViolated, |d| d.has_another_record_id = true),
    fault("an unknown record", 12, PredecessorMissing, |d| d.record.follows = true),
    fault("a known record anew", 12, RecordExists, |d| (d.record.is_known, d.record.begins) = (true, true)),
    fault("a cancelled record", 12, RecordCancelled, |d| {
        d.follow();
        d.record.is_cancelled = true;
    }),
    fault("another's record", 12, RecordOriginator, |d| {
        d.follow();
        d.set("source", IQ_TOO);
    }),
    fault("a record of another type", 12, RecordType, |d| {
        d.follow();
        d.record.is_of_another_type = true;
    }),
    fault("a drill after a real one", 12, RecordStatus, |d| {
        d.follow();
        d.set("status", "test");
    }),
    fault("the same version", 12, VersionNotGreater, |d| {
        d.follow();
        d.record.has_the_same_version = true;
    }),
    fault("another digest of the last one", 12, SupersedesMismatch, |d| {
        d.follow();
        d.record.names_another_digest = true;
    }),
    fault("an unknown predecessor", 12, PredecessorMissing, |d| {
        d.follow();
        d.record.names_an_unknown = true;
    }),
    fault("an arrival after the discharge", 12, RecordOrder, |d| {
        d.follow();
        d.record.has_come_further = true;
    }),
    fault("kept longer without a review", 12, RetentionLonger, |d| {
        d.follow();
        d.record.is_kept_longer = true;
    }),
    fault("an unknown departure", 13, ReferenceMissing, |d| d.reference = Some(Reference::Missing)),
    fault("an unknown alert", 13, ReferenceUnknown, |d| {
        (d.base, d.reference) = (Base::Hit, Some(Reference::Unknown));
    }),
    fault("another departure", 13, ReferenceMismatch, |d| d.reference = Some(Reference::Mismatch)),
    fault("a cancelled alert", 13, ReferenceEnded, |d| {
        (d.base, d.reference) = (Base::Hit, Some(Reference::Ended));
    }),
    fault("an answered question", 13, QuestionAnswered, |d| {
        (d.base, d.reference) = (Base::Answer, Some(Reference::Answered));
    }),
];

/// Faults of which a message can have only one, and why.
pub const EITHER: &[(&[&str], &str)] = &[
    (&["removed", "suspended"], "a partner has one state"),
    (&["removed", "hasty"], "a removed partner has no rate"),
    (&["a length over the limit", "more than the limit"], "a length is stated or found out"),
    (&["a length over the limit", "a body that stalls"], "of a body that is not read nothing is missed"),
    (&["a length over the limit", "a body that breaks off"], "of a body that is not read nothing is missed"),
    (&["a body that stalls", "a body that breaks off"], "what has ended is not waited for"),
    (&["no signature", "a wrong signature"], "a signature that is missing is not wrong"),
    (&["alg none", "another key's alg"], "a header has one alg"),
    (&["a foreign source", "a sender not agreed"], "a message has one source"),
    (
        &["a foreign recipient", "an unknown recipient", "a recipient not agreed"],
        "a message has one recipient",
    ),
    (&["a type not agreed", "a version not agreed"], "of a type that is not agreed no version is"),
    (&["a version not agreed", "an unknown schema"], "an unknown schema names no version"),
    (&["an unknown record", "a known record anew"], "a record is known or not"),
    (
        &[
            "an unknown departure",
            "an unknown alert",
            "another departure",
            "a cancelled alert",
            "an answered question",
        ],
        "a message names one other",
    ),
    (&["another digest of the last one", "an unknown predecessor"], "a message names one predecessor"),
];

/// Faults that one fault excludes, and why.
pub const NOT_WITH: &[(&str, &[&str], &str)] = &[
    (
        "an unknown record",
        &[
            "a cancelled record",
            "another's record",
            "a record of another type",
            "a drill after a real one",
            "the same version",
            "another digest of the last one",
            "an unknown predecessor",
            "an arrival after the discharge",
            "kept longer without a review",
        ],
        "of an unknown record nothing is known",
    ),
    (
        "a known record anew",
        &[
            "the same version",
            "another digest of the last one",
            "an unknown predecessor",
            "an arrival after the discharge",
            "kept longer without a review",
        ],
        "who begins a record does not follow",
    ),
    ("a record of another type", &["an arrival after the discharge"], "stages are of one type"),
    (
        "an answered question",
        &[
            "an unknown record",
            "a cancelled record",
            "another's record",
            "a record of another type",
            "a drill after a real one",
            "the same version",
            "another digest of the last one",
            "an unknown predecessor",
            "kept longer without a review",
        ],
        "an answer has one version: the rules refuse another",
    ),
    (
        "an arrival after the discharge",
        &["an unknown alert", "a cancelled alert", "an answered question"],
        "only a movement has stages, and it names no alert and no question",
    ),
];

/// Codes that a message is answered with elsewhere, and where that is tested.
pub const ELSEWHERE: &[(Code, &str)] = &[
    (RoleForbidden, "national plane: tests/end_to_end/exchange.rs"),
    (Overloaded, "of the load, not of the message: tests/end_to_end/overload.rs"),
    (Unavailable, "of the database, not of the message: tests/end_to_end/faults.rs, witness/guard.rs"),
    (Degraded, "of the logs, not of the message: tests/end_to_end/witness.rs"),
    (AgreementSize, "of the clause of a type: tests/end_to_end/agreement.rs"),
    (AgreementHours, "no verdict, of the clause of a type: tests/end_to_end/agreement.rs"),
    (AgreementRate, "no verdict, of the clause of a type: tests/end_to_end/agreement.rs"),
    (KeyExchangeWeak, "of the connection, not of the message: tests/end_to_end/key_exchange.rs"),
    (SourceNotYours, "national plane: tests/end_to_end/exchange.rs"),
    (PartnerUnknown, "national plane: tests/end_to_end/exchange.rs"),
    (ReasonMissing, "national plane: tests/end_to_end/roles.rs"),
    (QueryInvalid, "national plane: tests/end_to_end/roles.rs"),
    (QuestionsExceeded, "questions beside messages: tests/end_to_end/limits.rs"),
    (ReadsExceeded, "national plane: tests/end_to_end/roles.rs"),
    (SessionMissing, "pages: tests/end_to_end/pages/doors.rs"),
    (LinkUsed, "pages: tests/end_to_end/pages/doors.rs"),
    (RequestForeign, "pages: tests/end_to_end/pages/doors.rs"),
    (LeaseLost, "national plane: tests/end_to_end/delivery.rs"),
    (WitnessRequestInvalid, "of the witness: tests/end_to_end/witness.rs"),
    (CheckpointUnsigned, "of the witness: tests/end_to_end/witness.rs"),
    (LogInconsistent, "of the witness: tests/end_to_end/witness.rs"),
    (PredecessorRefused, "of a submission that is returned: tests/end_to_end/delivery.rs"),
];
