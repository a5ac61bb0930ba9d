//! The key that targets sign with. It is published (RFC 8032 §7.1 test 1, RFC 8037 appendix A) and protects nothing.

use std::sync::LazyLock;

use silkgate_message::jws::{SigningCertificate, SigningKey};

/// Its public half, base64url.
pub(crate) const PUBLIC: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

/// PKCS #8 version 1 (RFC 8410 §7): the head, then the seed.
pub(crate) const PKCS8: [u8; 48] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20, //
    0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4, //
    0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
];

/// The certificate of the worked example in docs/protocol.md, which is this key's.
pub(crate) static CERTIFICATE: LazyLock<SigningCertificate> = LazyLock::new(|| {
    let pem = pem::parse(include_str!("../../../docs/example/certificate.pem")).unwrap();
    SigningCertificate::parse(pem.contents()).unwrap()
});

/// The key beside its certificate.
pub(crate) static SIGNING_KEY: LazyLock<SigningKey> =
    LazyLock::new(|| SigningKey::new(&PKCS8, &CERTIFICATE).unwrap());
