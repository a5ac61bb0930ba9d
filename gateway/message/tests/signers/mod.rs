//! Keys and certificates made for a test.
#![allow(clippy::unwrap_used, dead_code)]

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};
use silkgate_message::jws::{Algorithm, SigningCertificate, SigningKey};

/// A key with its certificate.
pub struct Signer {
    pub certificate: SigningCertificate,
    pub key: SigningKey,
    pub certificate_pem: String,
    pub key_pem: String,
}

/// A signer of that algorithm.
pub fn signer(algorithm: Algorithm) -> Signer {
    let kind = match algorithm {
        Algorithm::Es256 => &PKCS_ECDSA_P256_SHA256,
        Algorithm::Es384 => &PKCS_ECDSA_P384_SHA384,
        Algorithm::EdDsa => &PKCS_ED25519,
    };
    let pair = KeyPair::generate_for(kind).unwrap();
    let issued = CertificateParams::default().self_signed(&pair).unwrap();
    let certificate = SigningCertificate::parse(issued.der()).unwrap();
    let key = SigningKey::new(pair.serialized_der(), &certificate).unwrap();
    let key_pem =
        if algorithm == Algorithm::EdDsa { version_1(pair.serialized_der()) } else { pair.serialize_pem() };
    Signer { certificate, key, certificate_pem: issued.pem(), key_pem }
}

/// ring writes Ed25519 keys as PKCS#8 version 2 with the public key (RFC 5958 §2), which OpenSSL does
/// not read; this is version 1 (RFC 8410 §7) with the same seed.
fn version_1(version_2: &[u8]) -> String {
    const PREFIX: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    let seed = version_2.windows(2).position(|pair| pair == [4, 0x20]).unwrap() + 2;
    pem::encode(&pem::Pem::new("PRIVATE KEY", [&PREFIX[..], &version_2[seed..seed + 32]].concat()))
}
