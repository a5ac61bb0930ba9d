//! Each profile, read back from its DER by another library than the one that wrote it.
#![allow(missing_docs, clippy::unwrap_used)] // a test binary: clippy.toml allows it in `#[test]` functions only

use std::collections::BTreeSet;

use proptest::prelude::*;
use silkgate_certs::{
    Authority, CertificateError, Issued, KeyAlgorithm, Profile, message_signing, read_identity,
};
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{FromDer, X509Certificate};

fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_795_000_000).unwrap()
}

fn parsed(issued: &Issued) -> X509Certificate<'_> {
    let (rest, certificate) = X509Certificate::from_der(&issued.certificate_der).unwrap();
    assert!(rest.is_empty());
    certificate
}

fn gateway() -> Profile {
    Profile::Gateway { host: "gw.iq.example".into(), addresses: vec![[127, 0, 0, 1].into()] }
}

fn client(role: &str, subject: &str) -> Profile {
    Profile::NationalClient { role: role.into(), subject: subject.into() }
}

#[test]
fn an_authority_may_sign_leaves_only() {
    let (_, issued) = Authority::create("Silkgate TLS IQ", now()).unwrap();
    let certificate = parsed(&issued);
    certificate.verify_signature(None).unwrap();
    let basic = certificate.basic_constraints().unwrap().unwrap();
    assert!(basic.critical && basic.value.ca);
    assert_eq!(basic.value.path_len_constraint, Some(0));
    let usage = certificate.key_usage().unwrap().unwrap();
    assert!(usage.critical && usage.value.key_cert_sign() && usage.value.crl_sign());
    assert!(!usage.value.digital_signature());
    assert_eq!(certificate.subject().to_string(), "CN=Silkgate TLS IQ");
    assert_eq!(issued.until_s, (now() + Duration::days(3653)).unix_timestamp());
}

#[test]
fn a_gateway_is_server_and_client_under_one_name() {
    let (authority, root) = Authority::create("Silkgate TLS IQ", now()).unwrap();
    let leaf = authority.issue_with_names(&gateway(), &["standby.iq.example"], now()).unwrap();
    let certificate = parsed(&leaf);
    certificate.verify_signature(Some(parsed(&root).public_key())).unwrap();
    assert!(!certificate.is_ca());
    let usage = certificate.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.server_auth && usage.client_auth && !usage.any);
    let usage = certificate.key_usage().unwrap().unwrap().value;
    assert!(usage.digital_signature() && !usage.key_cert_sign());
    let identity = read_identity(&leaf.certificate_der).unwrap();
    assert_eq!(identity.dns, ["gw.iq.example", "standby.iq.example"]);
    assert_eq!(identity.ips, [std::net::IpAddr::from([127, 0, 0, 1])]);
    assert_eq!(identity.key, KeyAlgorithm::EcdsaP256);
    assert_eq!(identity.not_before, now() - Duration::minutes(5));
    assert_eq!(identity.not_after, now() + Duration::days(398));
    assert_eq!(identity.not_after.unix_timestamp(), leaf.until_s);
}

#[test]
fn planes_do_not_take_each_other_s_certificates() {
    let (authority, _) = Authority::create("Silkgate national IQ", now()).unwrap();
    let server = Profile::NationalServer { host: "gw.iq.example".into(), addresses: vec![] };
    let server = authority.issue(&server, now()).unwrap();
    let certificate = parsed(&server);
    let usage = certificate.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.server_auth && !usage.client_auth && !usage.any);
    let client = authority.issue(&client("auditor", "a.b"), now()).unwrap();
    let certificate = parsed(&client);
    let usage = certificate.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && !usage.server_auth && !usage.any);
    assert!(read_identity(&client.certificate_der).unwrap().dns.is_empty());
}

#[test]
fn a_client_s_name_is_its_role_and_subject() {
    let (authority, _) = Authority::create("Silkgate national IQ", now()).unwrap();
    for (role, subject, uri) in [
        ("backend", "IQ/general-customs-authority", "urn:silkgate:backend:IQ/general-customs-authority"),
        ("operator", "operator", "urn:silkgate:operator:operator"),
        ("auditor", "a.mahdi", "urn:silkgate:auditor:a.mahdi"),
    ] {
        let leaf = authority.issue(&client(role, subject), now()).unwrap();
        assert_eq!(read_identity(&leaf.certificate_der).unwrap().uris, [uri]);
    }
    for (role, subject) in [
        ("admin", "x"),
        ("Backend", "IQ/customs"),
        ("", "x"),
        ("backend", "customs"),
        ("backend", "iq/customs"),
        ("backend", "IQ/"),
        ("backend", "IQ/a/b"),
        ("backend", "IQ/a:b"),
        ("operator", ""),
        ("operator", "a b"),
        ("operator", "x:backend"),
        ("auditor", "IQ/customs"),
        ("auditor", "ä"),
        ("auditor", &"a".repeat(49)),
    ] {
        let refused = authority.issue(&client(role, subject), now());
        assert!(matches!(refused, Err(CertificateError::Client(_))), "{role} {subject}");
    }
}

#[test]
fn a_message_certificate_signs_and_is_no_authority() {
    let issued = message_signing("IQ", now()).unwrap();
    let certificate = parsed(&issued);
    certificate.verify_signature(None).unwrap();
    assert!(!certificate.is_ca() && certificate.extended_key_usage().unwrap().is_none());
    let usage = certificate.key_usage().unwrap().unwrap().value;
    assert!(usage.digital_signature() && usage.non_repudiation() && !usage.key_cert_sign());
    let identity = read_identity(&issued.certificate_der).unwrap();
    assert_eq!(identity.uris, ["urn:silkgate:message:IQ"]);
    assert_eq!(identity.not_after, now() + Duration::days(730));
    assert!(identity.is_current(now()) && identity.is_current(identity.not_after));
    assert!(!identity.is_current(identity.not_after + Duration::seconds(1)));
    assert!(!identity.is_current(identity.not_before - Duration::seconds(1)));
}

#[test]
fn a_loaded_authority_issues_as_the_first_one() {
    let (_, root) = Authority::create("Silkgate national IQ", now()).unwrap();
    let again = Authority::load(&root.certificate_pem, &root.key_pem).unwrap();
    let leaf = again.issue(&client("backend", "IQ/customs"), now()).unwrap();
    let certificate = parsed(&leaf);
    certificate.verify_signature(Some(parsed(&root).public_key())).unwrap();
    assert_eq!(certificate.issuer().to_string(), "CN=Silkgate national IQ");
}

#[test]
fn what_cannot_issue_is_not_loaded() {
    let (authority, root) = Authority::create("Silkgate TLS IQ", now()).unwrap();
    let (_, other) = Authority::create("Silkgate TLS IQ", now()).unwrap();
    let leaf = authority.issue(&gateway(), now()).unwrap();
    let load = |certificate: &str, key: &str| Authority::load(certificate, key).err();
    assert!(matches!(
        load(&root.certificate_pem, &other.key_pem),
        Some(CertificateError::Authority("the key is not the certificate's"))
    ));
    assert!(matches!(
        load(&leaf.certificate_pem, &leaf.key_pem),
        Some(CertificateError::Authority("the certificate is no authority's"))
    ));
    assert!(matches!(load("", &root.key_pem), Some(CertificateError::Unreadable(_))));
    assert!(matches!(load(&root.certificate_pem, ""), Some(CertificateError::Encode(_))));
}

#[test]
fn every_certificate_has_its_own_positive_serial_and_key() {
    let (authority, _) = Authority::create("Silkgate TLS IQ", now()).unwrap();
    let issued: Vec<_> = (0..40).map(|_| authority.issue(&gateway(), now()).unwrap()).collect();
    let serials: BTreeSet<_> = issued.iter().map(|issued| parsed(issued).raw_serial().to_vec()).collect();
    let keys: BTreeSet<_> = issued.iter().map(|issued| issued.key_pem.clone()).collect();
    assert_eq!((serials.len(), keys.len()), (40, 40));
    // RFC 5280 §4.1.2.2: positive, at most 20 octets. Fewer than 13 would be a broken random source.
    assert!(serials.iter().all(|serial| serial[0] < 0x80 && (13..=16).contains(&serial.len())));
}

#[test]
fn only_a_whole_certificate_is_read() {
    let issued = message_signing("IQ", now()).unwrap();
    let longer = [issued.certificate_der.as_slice(), b"\0"].concat();
    assert!(matches!(read_identity(&longer), Err(CertificateError::Unreadable("end"))));
    for end in 0..issued.certificate_der.len() {
        assert!(read_identity(&issued.certificate_der[..end]).is_err(), "{end}");
    }
}

proptest! {
    #[test]
    fn altered_certificates_are_read_or_refused_without_a_panic(place in 0usize..4096, value: u8) {
        let mut der = message_signing("IQ", now()).unwrap().certificate_der;
        let place = place % der.len();
        der[place] = value;
        let _ = read_identity(&der);
    }

    #[test]
    fn any_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        prop_assert!(read_identity(&bytes).is_err());
    }
}
