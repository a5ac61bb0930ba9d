//! Tokens made by hand: Ed25519, which `openssl ts` cannot sign with, and shells that no tool would make.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends")]

use ring::digest::{SHA256, SHA512, digest};
use ring::signature::Ed25519KeyPair;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use silkgate_timestamp::{TimestampError, Trust, Verified, verify};
use support::tsa::{Kind, Tsa};
use tempfile::TempDir;

const TEXT: &[u8] = b"gateway.jo.example/JO/IQ\n3\nyZMIllrtDDRpp2EaJlrQyOQZ697Yh296ritvQHVThQ4=\n";
const SHA_256: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 3, 4, 2, 1];
const SHA_512: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 3, 4, 2, 3];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];
const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1];
const TST_INFO: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 1, 4];
const CONTENT_TYPE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 3];
const MESSAGE_DIGEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 4];
const CERTIFICATE_V2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 2, 47];

fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let value = parts.concat();
    let length = u16::try_from(value.len()).unwrap().to_be_bytes();
    let head = match value.len() {
        0..=127 => vec![tag, length[1]],
        128..=255 => vec![tag, 0x81, length[1]],
        _ => vec![tag, 0x82, length[0], length[1]],
    };
    [head, value].concat()
}

fn oid(value: &[u8]) -> Vec<u8> {
    tlv(6, &[value])
}

fn algorithm(value: &[u8]) -> Vec<u8> {
    tlv(0x30, &[&oid(value)])
}

fn attribute(kind: &[u8], values: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, &[&oid(kind), &tlv(0x31, values)])
}

fn statement(version: u8, imprint: &[u8], extra: &[u8]) -> Vec<u8> {
    let imprint = tlv(0x30, &[&algorithm(SHA_256), &tlv(4, &[imprint])]);
    let time = this_second();
    tlv(0x30, &[&[2, 1, version], &oid(&[0x2a, 3, 4]), &imprint, &[2, 1, 9], &tlv(0x18, &[&time]), extra])
}

/// Within the validity of the certificates that were just made.
fn this_second() -> Vec<u8> {
    let at = time::OffsetDateTime::from_unix_timestamp(support::now_ms() / 1000).unwrap();
    let (date, clock) = (at.date(), at.time());
    format!(
        "{:04}{:02}{:02}{:02}{:02}{:02}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        clock.hour(),
        clock.minute(),
        clock.second()
    )
    .into_bytes()
}

/// An authority with an Ed25519 key, and the parts of a token, each of which a test may change.
struct Made {
    key: Ed25519KeyPair,
    certificate: Vec<u8>,
    anchor: CertificateDer<'static>,
    version: u8,
    content_type: Vec<u8>,
    content: Vec<u8>,
    attributes: Vec<Vec<u8>>,
    signer: Vec<u8>,
    digests: Vec<u8>,
    unsigned: Vec<u8>,
}

impl Made {
    fn new(tsa: &Tsa) -> Self {
        let key = PrivatePkcs8KeyDer::from_pem_file(tsa.file("tsa.key")).unwrap();
        let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.secret_pkcs8_der()).unwrap();
        let certificate = CertificateDer::from_pem_file(tsa.file("tsa.pem")).unwrap().as_ref().to_vec();
        let content = statement(1, digest(&SHA256, TEXT).as_ref(), &[]);
        let named = tlv(0x30, &[&tlv(4, &[digest(&SHA256, &certificate).as_ref()])]);
        let named = tlv(0x30, &[&tlv(0x30, &[&named])]);
        let (_, parsed) = x509_parser::parse_x509_certificate(&certificate).unwrap();
        let serial = tlv(2, &[parsed.raw_serial()]);
        let signer = [&[2, 1, 1][..], &tlv(0x30, &[parsed.issuer().as_raw(), &serial])].concat();
        let mut made = Self {
            key,
            anchor: CertificateDer::from_pem_file(tsa.file("ca.pem")).unwrap(),
            version: 3,
            content_type: TST_INFO.to_vec(),
            content: Vec::new(),
            attributes: vec![
                attribute(CONTENT_TYPE, &[&oid(TST_INFO)]),
                Vec::new(),
                attribute(CERTIFICATE_V2, &[&named]),
            ],
            signer,
            digests: algorithm(SHA_512),
            unsigned: Vec::new(),
            certificate: certificate.clone(),
        };
        made.states(content);
        made
    }

    /// Another statement, with the digest that fits it.
    fn states(&mut self, content: Vec<u8>) {
        self.attributes[1] = attribute(MESSAGE_DIGEST, &[&tlv(4, &[digest(&SHA512, &content).as_ref()])]);
        self.content = content;
    }

    fn token(&self) -> Vec<u8> {
        let attributes: Vec<&[u8]> = self.attributes.iter().map(Vec::as_slice).collect();
        let signature = self.key.sign(&tlv(0x31, &attributes));
        let signer = tlv(
            0x30,
            &[
                &self.signer,
                &algorithm(SHA_512),
                &tlv(0xa0, &attributes),
                &algorithm(ED25519),
                &tlv(4, &[signature.as_ref()]),
                &self.unsigned,
            ],
        );
        let content = tlv(0x30, &[&oid(&self.content_type), &tlv(0xa0, &[&tlv(4, &[&self.content])])]);
        let data = tlv(
            0x30,
            &[
                &[2, 1, self.version],
                &tlv(0x31, &[&self.digests]),
                &content,
                &tlv(0xa0, &[&self.certificate]),
                &tlv(0x31, &[&signer]),
            ],
        );
        tlv(0x30, &[&oid(SIGNED_DATA), &tlv(0xa0, &[&data])])
    }

    fn judge(&self) -> Result<Verified, TimestampError> {
        verify(&self.token(), TEXT, &Trust::Anchors(std::slice::from_ref(&self.anchor)))
    }
}

#[test]
fn ed25519_verifies_and_each_broken_rule_is_found() {
    let folder = TempDir::new().unwrap();
    let tsa = Tsa::create(folder.path(), "ed25519", Kind::Ed25519);
    let verified = Made::new(&tsa).judge().unwrap();
    assert_eq!((verified.statement.serial.as_str(), verified.statement.policy.as_str()), ("09", "1.2.3.4"));
    assert_eq!(verified.statement.accuracy, None);
    let imprint = digest(&SHA256, TEXT);
    // A critical extension, and one that is not.
    let extension =
        |critical: &[u8]| tlv(0xa1, &[&tlv(0x30, &[&oid(&[0x2a, 3, 5]), critical, &tlv(4, &[])])]);
    type Change<'a> = (&'a str, &'a dyn Fn(&mut Made), &'a str);
    let changes: [Change<'_>; 16] = [
        (
            "a statement of version 2",
            &|made| made.states(statement(2, imprint.as_ref(), &[])),
            "timestamp_malformed",
        ),
        ("an imprint of 31 bytes", &|made| made.states(statement(1, &[7; 31], &[])), "timestamp_malformed"),
        (
            "a critical extension",
            &|made| made.states(statement(1, imprint.as_ref(), &extension(&[1, 1, 0xff]))),
            "timestamp_malformed",
        ),
        (
            "something behind it",
            &|made| made.states(statement(1, imprint.as_ref(), &[5, 0])),
            "timestamp_malformed",
        ),
        (
            "another statement than signed",
            &|made| made.content = statement(1, imprint.as_ref(), &extension(&[])),
            "timestamp_unsigned",
        ),
        ("SignedData of version 2", &|made| made.version = 2, "timestamp_malformed"),
        ("content of type data", &|made| made.content_type = DATA.to_vec(), "timestamp_malformed"),
        (
            "signed content-type data",
            &|made| made.attributes[0] = attribute(CONTENT_TYPE, &[&oid(DATA)]),
            "timestamp_unsigned",
        ),
        ("no content-type", &|made| drop(made.attributes.remove(0)), "timestamp_unsigned"),
        ("no message-digest", &|made| drop(made.attributes.remove(1)), "timestamp_unsigned"),
        ("no certificate named", &|made| drop(made.attributes.remove(2)), "timestamp_unsigned"),
        (
            "an attribute twice",
            &|made| made.attributes.push(made.attributes[0].clone()),
            "timestamp_unsigned",
        ),
        (
            "two values",
            &|made| made.attributes[0] = attribute(CONTENT_TYPE, &[&oid(TST_INFO), &oid(DATA)]),
            "timestamp_malformed",
        ),
        ("another digest stated", &|made| made.digests = algorithm(SHA_256), "timestamp_malformed"),
        ("another serial number", &|made| *made.signer.last_mut().unwrap() ^= 1, "timestamp_unsigned"),
        ("another certificate", &|made| *made.certificate.last_mut().unwrap() ^= 1, "timestamp_unsigned"),
    ];
    for (what, change, code) in changes {
        let mut made = Made::new(&tsa);
        change(&mut made);
        let error = made.judge().map_or_else(|error| error, |_| panic!("{what} is accepted"));
        assert_eq!(error.code(), code, "{what}: {error}");
    }
    // What means nothing may be there.
    let mut made = Made::new(&tsa);
    made.states(statement(1, imprint.as_ref(), &extension(&[])));
    made.unsigned = tlv(0xa1, &[&attribute(DATA, &[&[5, 0]])]);
    made.judge().unwrap();
}
