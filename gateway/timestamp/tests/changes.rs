//! Whatever is changed in a token, it is refused, or it means the same; and nothing makes the reader panic.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::sync::OnceLock;

use proptest::prelude::*;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use silkgate_timestamp::{Request, Trust, Verified, verify};
use support::tsa::{Kind, Tsa};
use tempfile::TempDir;

const TEXT: &[u8] = b"gateway.jo.example/JO/IQ\n3\nyZMIllrtDDRpp2EaJlrQyOQZ697Yh296ritvQHVThQ4=\n";

struct Sample {
    response: Vec<u8>,
    token: Vec<u8>,
    anchors: Vec<CertificateDer<'static>>,
    verified: Verified,
}

/// One of ECDSA and one of RSA, with the authority's name, and the chain up to the anchor.
fn samples() -> &'static [Sample; 2] {
    static SAMPLES: OnceLock<[Sample; 2]> = OnceLock::new();
    SAMPLES.get_or_init(|| {
        [Kind::P256, Kind::Rsa(2048)].map(|kind| {
            let folder = TempDir::new().unwrap();
            let tsa = Tsa::create(folder.path(), "tsa", kind);
            let response = tsa.reply(&request().encode());
            let anchor = CertificateDer::from_pem_file(tsa.file("ca.pem")).unwrap();
            let anchors = vec![anchor];
            let (token, verified) = request().answer(&response, &Trust::Anchors(&anchors)).unwrap();
            Sample { token: token.to_vec(), response: response.clone(), anchors, verified }
        })
    })
}

fn request() -> Request {
    Request::new(TEXT, *b"8 random")
}

/// Every byte, every bit of it: what still verifies states the same, by the same certificate.
#[test]
fn every_changed_bit_is_refused_or_means_the_same() {
    for sample in samples() {
        let trust = Trust::Anchors(&sample.anchors);
        let mut accepted = Vec::new();
        for at in 0..sample.token.len() {
            for bit in 0..8 {
                let mut token = sample.token.clone();
                token[at] ^= 1 << bit;
                if let Ok(verified) = verify(&token, TEXT, &trust) {
                    assert_eq!(verified, sample.verified, "byte {at}");
                    accepted.push(at);
                }
            }
        }
        accepted.dedup();
        // What may change is the copy of the anchor that came along, since the configured one is used, and the version of SignedData, 1 or 3.
        let anchor = sample.anchors[0].as_ref();
        let copy = sample.token.windows(anchor.len()).position(|w| w == anchor).unwrap();
        let version = sample.token.windows(5).position(|w| w == [2, 1, 3, 0x31, 0x0f]).unwrap() + 2;
        accepted.retain(|at| *at != version);
        let outside: Vec<_> =
            accepted.iter().filter(|at| !(copy..copy + anchor.len()).contains(*at)).collect();
        assert!(outside.is_empty(), "bytes {outside:?} of {}, the anchor at {copy}", sample.token.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = verify(&bytes, TEXT, &Trust::Enclosed);
        let _ = request().answer(&bytes, &Trust::Enclosed);
    }

    /// A stretch of bytes is replaced, taken out or put in.
    #[test]
    fn mangled_tokens_are_refused_or_mean_the_same(
        which in 0..2_usize,
        at in any::<prop::sample::Index>(),
        gone in 0..8_usize,
        new in proptest::collection::vec(any::<u8>(), 0..8),
        in_response in any::<bool>(),
    ) {
        let sample = &samples()[which];
        let trust = Trust::Anchors(&sample.anchors);
        let mut bytes = if in_response { sample.response.clone() } else { sample.token.clone() };
        let at = at.index(bytes.len());
        let end = (at + gone).min(bytes.len());
        bytes.splice(at..end, new);
        let found = if in_response {
            request().answer(&bytes, &trust).map(|(_, verified)| verified)
        } else {
            verify(&bytes, TEXT, &trust)
        };
        if let Ok(verified) = found {
            prop_assert_eq!(&verified, &sample.verified);
        }
    }
}
