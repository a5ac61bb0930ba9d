//! Lists of revoked certificates: made, read, and held against who signed them.

use silkgate_certs::{Authority, Profile};
use silkgate_message::revocation::{RevocationList, is_issued_by, serial};
use time::{Duration, OffsetDateTime};

const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH.saturating_add(Duration::days(20_000));

fn gateway(host: &str) -> Profile {
    Profile::Gateway { host: host.to_owned(), addresses: Vec::new() }
}

#[test]
fn a_list_names_what_its_authority_revoked_and_nothing_else() {
    let (authority, own) = Authority::create("Silkgate TLS IQ", NOW).unwrap();
    let (other, others) = Authority::create("Silkgate TLS IQ", NOW).unwrap();
    let (revoked, sound) = (
        authority.issue(&gateway("a.example"), NOW).unwrap(),
        authority.issue(&gateway("b.example"), NOW).unwrap(),
    );
    assert!(is_issued_by(&revoked.certificate_der, &own.certificate_der));
    assert!(
        !is_issued_by(&revoked.certificate_der, &others.certificate_der),
        "the same name is not the same key"
    );
    assert!(!is_issued_by(&revoked.certificate_der, &sound.certificate_der));
    let list = |authority: &Authority, number: u64| {
        let serials = [(serial(&revoked.certificate_der).unwrap(), NOW)];
        authority.revocation_list(number, &serials, NOW, NOW + Duration::days(7)).unwrap()
    };
    let der = list(&authority, 255);
    let read = RevocationList::read(&der).unwrap();
    assert_eq!((read.this_update, read.next_update), (NOW, NOW + Duration::days(7)));
    assert!(read.revokes(&revoked.certificate_der) && !read.revokes(&sound.certificate_der));
    assert!(RevocationList::is_by(&der, &own.certificate_der));
    assert!(!RevocationList::is_by(&der, &others.certificate_der));
    assert!(!RevocationList::is_by(&list(&other, 1), &own.certificate_der));
    let next = RevocationList::read(&list(&authority, 256)).unwrap();
    assert!(next.is_newer_than(&read) && !read.is_newer_than(&next) && !read.is_newer_than(&read));
}

#[test]
fn a_changed_byte_is_no_other_list() {
    let (authority, own) = Authority::create("Silkgate TLS IQ", NOW).unwrap();
    let der = authority.revocation_list(1, &[(vec![5, 6, 7], NOW)], NOW, NOW + Duration::days(7)).unwrap();
    for at in 0..der.len() {
        let mut bent = der.clone();
        bent[at] ^= 1;
        assert!(!RevocationList::is_by(&bent, &own.certificate_der), "byte {at}");
    }
    for cut in 0..der.len() {
        assert!(RevocationList::read(&der[..cut]).is_err(), "{cut}");
    }
    assert!(RevocationList::read(&[der, vec![0]].concat()).is_err());
}
