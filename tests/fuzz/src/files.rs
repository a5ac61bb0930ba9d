//! Files of operators and judges: agreement, configuration, evidence bundle, time-stamp, certificates.

use silkgate_evidence::{container, judge, manifest};
use silkgate_message::agreement::{Agreement, BODY_MAX_BYTES, RETENTION_MAX_DAYS};
use silkgate_message::jws::{Digest, SigningCertificate};
use silkgate_message::revocation::{RevocationList, is_issued_by, serial};
use silkgate_timestamp::{Request, Trust, verify};

use crate::changed;
use crate::config::{Config, Home, Place};
use crate::keys::CERTIFICATE;

pub(crate) const AGREEMENT_WORDS: &[&str] = &[
    "[[send]]\n",
    "[[receive]]\n",
    "partner = \"JO\"\n",
    "type = \"alert.vehicle\"\n",
    "versions = [1]\n",
    "status = [\"test\"]\n",
    "purposes = [\"border-management\"]\n",
    "handling = [\"H0\"]\n",
    "senders = []\n",
    "retention_days = 1\n",
    "degraded = \"stop\"\n",
    "4294967295",
    "4294967296",
    "-1",
    "0",
    "'''",
    "\"\"\"",
    "#",
    "\\u0000",
    "crl_grace_hours = 1\n",
    "= nan",
];

pub(crate) const CONFIGURATION_WORDS: &[&str] = &[
    "party = \"IQ/a\"\n",
    "host = \"gw.iq.example\"\n",
    "database = \"silkgate.db\"\n",
    "database = \"postgres://u:p@h/d\"\n",
    "key_store = \"k\"\n",
    "[partner_plane]\n",
    "[national_plane]\n",
    "listen = \"127.0.0.1:1\"\n",
    "[limits]\n",
    "[timestamp]\n",
    "'''\n",
    "\"\"\"\n",
    "# ",
    "= ",
    "\\n",
    "\r\n",
    "\"database\" = ",
    "database.x = 1\n",
    "{ database = 1 }",
    "\"[\"",
];

pub(crate) const BUNDLE_WORDS: &[&str] = &[
    "PK\u{3}\u{4}",
    "PK\u{1}\u{2}",
    "PK\u{5}\u{6}",
    "index.html",
    "manifest.jws",
    "messages/0001/message.jws",
    "messages/0001/entry.receipt",
    "cards/",
    ".card",
    "editions/",
    "../",
    "/",
    "\0\0\0\0",
];

/// An agreement: what is read can be written and read again, within the bounds.
pub fn agreement(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(agreement) = Agreement::parse(text) else { return };
    let printed = agreement.to_toml();
    assert_eq!(Agreement::parse(&printed).as_ref(), Ok(&agreement), "{printed}");
    assert!(
        agreement.body_max_bytes <= BODY_MAX_BYTES
            && (1..=RETENTION_MAX_DAYS).contains(&agreement.retention_days)
    );
    assert!(agreement.lifetime_ms() > 0);
}

/// A configuration: a program changes one setting, and everything else stays as it was; no place shows a password.
pub fn configuration(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let read = Config::parse(text);
    for value in ["other.db", "postgres://u:s3cret@h/d?password=s3cret"] {
        let Ok(edited) = Config::with_setting(text, "database", value) else { continue };
        let mut wanted: toml::Table = toml::from_str(text).unwrap();
        wanted.insert("database".to_owned(), value.to_owned().into());
        assert_eq!(toml::from_str::<toml::Table>(&edited).as_ref(), Ok(&wanted), "{edited}");
        if let Ok(config) = &read {
            let config = Config { database: value.to_owned(), ..config.clone() };
            let again = Config::parse(&edited).unwrap();
            assert_eq!(format!("{again:?}"), format!("{config:?}"));
            assert!(!Home::new("h").database(&config).to_string().contains("s3cret"));
        }
    }
    if let Ok(config) = read {
        let place = Home::new("h").database(&config);
        if let Place::Server(_) = &place {
            assert!(place.to_string().starts_with("postgres://") && !place.to_string().contains('@'));
        }
    }
}

/// An evidence bundle: one spelling, and a judge that says no without falling over. One that is good is not with any bit changed.
pub fn bundle(data: &[u8]) {
    if let Ok(members) = container::decode(data) {
        assert_eq!(container::encode(&members).as_deref(), Ok(data));
        for (name, bytes) in &members {
            assert!(
                !name.starts_with('/') && name.split('/').all(|part| !matches!(part, "" | "." | "..")),
                "{name}"
            );
            let _ = manifest::Manifest::parse(bytes);
        }
    }
    if let Ok(manifest) = manifest::Manifest::parse(data) {
        let _ = manifest.verify(&CERTIFICATE);
    }
    let judgement = judge(data, &[]);
    assert_eq!(judgement.valid, judgement.checks.iter().all(|check| check.passed));
    assert!(!judgement.checks.is_empty());
    assert!(!judgement.valid || !judge(&changed(data, data), &[]).valid, "altered, and it is good");
}

/// A time-stamp and the answer that brings it.
pub fn timestamp(data: &[u8]) {
    let other = b"bytes that no authority ever saw";
    assert!(verify(data, other, &Trust::Enclosed).is_err());
    assert!(Request::new(other, [7; 8]).answer(data, &Trust::Enclosed).is_err());
    let token = data.get(9..).unwrap_or_default();
    for token in [data, token] {
        if let Ok(verified) = verify(token, SEEN, &Trust::Enclosed) {
            assert!(!verified.anchored && !verified.tsa.chars().any(char::is_control));
        }
    }
}

/// What the authority of the kept token stamped (gateway/timestamp/tests/public.rs): so the fuzzer gets beyond the digest.
const SEEN: &[u8] = &[
    0x30, 0x45, 0x02, 0x20, 0x58, 0xd3, 0xd1, 0x36, 0x0b, 0xb6, 0x0f, 0xd5, 0x91, 0xae, 0xca, 0x59, //
    0x3a, 0x25, 0x94, 0xbf, 0x9e, 0x52, 0xf3, 0xbf, 0x2a, 0x52, 0xc2, 0x3f, 0xf0, 0x16, 0x62, 0x30, //
    0x7f, 0x50, 0xbd, 0x3b, 0x02, 0x21, 0x00, 0xb7, 0x4a, 0x39, 0x80, 0x64, 0x46, 0xac, 0x02, 0x2f, //
    0x9a, 0xbe, 0x44, 0xb0, 0x8e, 0x05, 0x35, 0x7c, 0x83, 0x25, 0x7d, 0xe3, 0xab, 0x06, 0x50, 0x36, //
    0xa5, 0x7b, 0xb2, 0x3b, 0x9d, 0x24, 0xa2, //
];

/// Certificates and revocation lists, DER.
pub fn certificate(data: &[u8]) {
    if let Some(certificate) = SigningCertificate::parse(data) {
        assert_eq!((certificate.der.as_slice(), certificate.thumbprint), (data, Digest::of(data)));
        assert!(
            !certificate.verifies(b"", b"")
                && !certificate.verifies(b"x", &[0; 64])
                && !certificate.verifies(b"x", &[0; 96])
        );
    }
    let identity = silkgate_certs::read_identity(data);
    assert!(identity.is_err() || serial(data).is_some());
    if let Ok(list) = RevocationList::read(data) {
        assert!(!list.is_newer_than(&list), "newer than itself");
        assert!(!list.revokes(b""));
    }
    let _ = (
        RevocationList::is_by(data, &CERTIFICATE.der),
        is_issued_by(data, data),
        is_issued_by(&CERTIFICATE.der, data),
    );
}
