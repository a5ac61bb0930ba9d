//! Tokens made by `openssl`, judged by us; and whether it judges as we do.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use silkgate_timestamp::{Request, TimestampError, Trust, Verified, verify};
use support::tsa::{Kind, Tsa, granted};
use tempfile::TempDir;

const TEXT: &[u8] = b"gateway.jo.example/JO/IQ\n3\nyZMIllrtDDRpp2EaJlrQyOQZ697Yh296ritvQHVThQ4=\n";

fn anchors(tsa: &Tsa) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_file_iter(tsa.file("ca.pem")).unwrap().map(|c| c.unwrap()).collect()
}

fn request() -> Request {
    Request::new(TEXT, *b"8 random")
}

fn judge(tsa: &Tsa, response: &[u8]) -> Result<Verified, TimestampError> {
    request().answer(response, &Trust::Anchors(&anchors(tsa))).map(|(_, verified)| verified)
}

#[test]
fn a_token_of_each_algorithm_verifies_here_and_there() {
    let folder = TempDir::new().unwrap();
    for (name, kind, digest, ess) in [
        ("rsa", Kind::Rsa(2048), "sha256", "sha256"),
        ("rsa512", Kind::Rsa(3072), "sha512", "sha512"),
        ("p256", Kind::P256, "sha256", "sha256"),
        ("p256-384", Kind::P256, "sha384", "sha256"),
        ("p384", Kind::P384, "sha384", "sha384"),
        // The attribute of RFC 2634, with SHA-1.
        ("ess1", Kind::P256, "sha256", "sha1"),
    ] {
        let tsa = Tsa::with(folder.path(), name, kind, digest, ess);
        let response = tsa.reply(&request().encode());
        let trusted = anchors(&tsa);
        let (token, verified) = request().answer(&response, &Trust::Anchors(&trusted)).unwrap();
        assert!(tsa.openssl_accepts(token, TEXT), "{name}");
        assert_eq!(verified.tsa, "CN=Time-stamps tsa", "{name}");
        assert_eq!(verified.statement.policy, "1.3.6.1.4.1.32473.1");
        assert_eq!(verified.statement.serial, "02");
        assert_eq!(verified.statement.accuracy.unwrap().micros, 1_500_000);
        assert!(verified.anchored);
        assert!((verified.statement.at_ms - support::now_ms()).abs() < 60_000);
        // Without an anchor it says so.
        let enclosed = verify(token, TEXT, &Trust::Enclosed).unwrap();
        assert!(!enclosed.anchored);
        assert_eq!(Verified { anchored: true, ..enclosed }, verified);
        // Over exactly these bytes.
        let shorter = verify(token, &TEXT[1..], &Trust::Enclosed);
        assert_eq!(shorter, Err(TimestampError::OtherImprint));
    }
}

#[test]
fn other_forms_of_the_same_signature_verify() {
    let folder = TempDir::new().unwrap();
    let tsa = Tsa::create(folder.path(), "rsa", Kind::Rsa(2048));
    let statement = tsa.statement(&tsa.token(&tsa.reply(&request().encode())));
    for hash in ["sha256", "sha384", "sha512"] {
        let pss =
            ["-cades", "-md", hash, "-keyopt", "rsa_padding_mode:pss", "-keyopt", "rsa_pss_saltlen:digest"];
        judge(&tsa, &granted(&tsa.sign_as("tsa", &statement, &pss))).unwrap();
        // The signer by key identifier: SignerInfo version 3.
        judge(&tsa, &granted(&tsa.sign_as("tsa", &statement, &["-cades", "-md", hash, "-keyid"]))).unwrap();
    }
    let refused = [
        (&["-cades", "-md", "sha1"][..], "timestamp_unsigned"),
        // A salt that is not as long as the digest: ring knows no other.
        (
            &["-cades", "-md", "sha256", "-keyopt", "rsa_padding_mode:pss", "-keyopt", "rsa_pss_saltlen:20"],
            "timestamp_unsigned",
        ),
        (&["-md", "sha256"], "timestamp_unsigned"),
        (&["-md", "sha256", "-noattr"], "timestamp_unsigned"),
        (&["-cades", "-md", "sha256", "-nocerts"], "timestamp_unsigned"),
        (&["-cades", "-md", "sha256", "-certfile", "many.pem"], "timestamp_malformed"),
        (&["-cades", "-md", "sha256", "-signer", "also.pem", "-inkey", "tsa.key"], "timestamp_malformed"),
    ];
    tsa.certificate("also", "tsa", 10);
    let many: String = (0..17)
        .map(|n| {
            tsa.certificate(&format!("n{n}"), "tsa", 10);
            std::fs::read_to_string(tsa.file(&format!("n{n}.pem"))).unwrap()
        })
        .collect();
    std::fs::write(tsa.file("many.pem"), many).unwrap();
    for (with, code) in refused {
        let error = judge(&tsa, &granted(&tsa.sign_as("tsa", &statement, with))).unwrap_err();
        assert_eq!(error.code(), code, "{with:?}: {error}");
    }
}

#[test]
fn the_certificate_is_for_this_alone() {
    let folder = TempDir::new().unwrap();
    let tsa = Tsa::create(folder.path(), "p256", Kind::P256);
    let unfit = [
        ("no_purpose", 10, "no extended key usage"),
        ("not_critical", 10, "not critical"),
        ("not_alone", 10, "not for time-stamping alone"),
        ("ca", 10, "no extended key usage"),
        ("tsa", -1, "had expired"),
    ];
    for (section, days, _) in unfit {
        tsa.certificate(&format!("{section}{days}"), section, days);
    }
    tsa.certificate("other", "tsa", 10);
    // Later than the certificates, so that they are valid at the time stated.
    let statement = tsa.statement(&tsa.token(&tsa.reply(&request().encode())));
    for (section, days, what) in unfit {
        let signed = tsa.sign_as(&format!("{section}{days}"), &statement, &["-cades"]);
        let error = judge(&tsa, &granted(&signed)).unwrap_err();
        assert_eq!(error.code(), "timestamp_certificate", "{section}: {error}");
        assert!(error.to_string().contains(what), "{section}: {error}");
    }
    judge(&tsa, &granted(&tsa.sign_as("tsa", &statement, &["-cades"]))).unwrap();
    // The name that the token states is of another certificate.
    let error = judge(&tsa, &granted(&tsa.sign_as("other", &statement, &["-cades"]))).unwrap_err();
    assert_eq!(error.code(), "timestamp_unsigned", "{error}");
}

#[test]
fn lies_are_told_apart() {
    let folder = TempDir::new().unwrap();
    let tsa = Tsa::create(folder.path(), "p256", Kind::P256);
    let other = Tsa::create(folder.path(), "other", Kind::P256);
    let code = |response: &[u8]| judge(&tsa, response).unwrap_err().code();
    assert_eq!(code(&tsa.reply(&Request::new(b"other", *b"8 random").encode())), "timestamp_other_imprint");
    assert_eq!(code(&tsa.reply(&Request::new(TEXT, *b"9 random").encode())), "timestamp_other_nonce");
    assert_eq!(code(&other.reply(&request().encode())), "timestamp_untrusted");
    let sound = tsa.reply(&request().encode());
    let mut forged = sound.clone();
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(code(&forged), "timestamp_signature_invalid");
    assert_eq!(code(b"<html>"), "timestamp_malformed");
    assert_eq!(code(&[0x30, 5, 0x30, 3, 2, 1, 2]), "timestamp_refused");
    let nobody = request().answer(&sound, &Trust::Anchors(&[])).unwrap_err();
    assert_eq!(nobody.code(), "timestamp_untrusted");
}

/// The query of ours is one that openssl reads.
#[test]
fn the_query_is_what_openssl_understands() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("query");
    std::fs::write(&file, Request::new(TEXT, [0xff; 8]).encode()).unwrap();
    let output =
        std::process::Command::new("openssl").args(["ts", "-query", "-text", "-in"]).arg(&file).output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    for line in [
        "Version: 1\n",
        "Hash Algorithm: sha256\n",
        "Nonce: 0x7FFFFFFFFFFFFFFF\n",
        "Certificate required: yes\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
}
