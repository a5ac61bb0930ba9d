//! What holds for every bundle and every sequence of bytes.
#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use silkgate_evidence::container::{self, ContainerError, Members};
use silkgate_evidence::manifest::Manifest;
use silkgate_evidence::{edition, judge, page};
use silkgate_message::catalogue::Catalogue;
use silkgate_message::instant::Instant;
use silkgate_message::jws::Digest;

fn members() -> impl Strategy<Value = Members> {
    btree_map("[a-zA-Z0-9_-]{1,6}(/[a-z]{1,4}\\.[a-z]{1,3}){0,2}", vec(any::<u8>(), 0..80), 1..8)
}

/// Made with Python 3.11: `zipfile` with `create_system` 3 and `external_attr` 0o600 << 16.
#[test]
fn another_writer_makes_the_same_bytes() {
    let members = Members::from([("a".to_owned(), b"1".to_vec()), ("b/c".to_owned(), Vec::new())]);
    let expected = concat!(
        "504b030414000000000000002100b7efdc830100000001000000010000006131504b0304140000000000000021",
        "0000000000000000000000000003000000622f63504b0102140314000000000000002100b7efdc830100000001",
        "00000001000000000000000000000080010000000061504b010214031400000000000000210000000000000000",
        "0000000000030000000000000000000000800120000000622f63504b0506000000000200020060000000410000",
        "000000",
    );
    let hex: String = container::encode(&members).unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, expected);
}

#[test]
fn what_is_no_path_is_no_name() {
    for name in
        ["", "/a", "a/", "a//b", ".", "..", "a/../b", "a/./b", "a b", "é", "a\\b", "a:b", &"a".repeat(201)]
    {
        let members = Members::from([(name.to_owned(), Vec::new())]);
        assert_eq!(container::encode(&members), Err(ContainerError::Name), "{name}");
    }
    assert_eq!(container::encode(&Members::new()), Err(ContainerError::Count));
    let large = Members::from([("a".to_owned(), vec![0; container::BUNDLE_MAX_BYTES])]);
    assert_eq!(container::encode(&large), Err(ContainerError::TooLarge));
    let many = (0..=container::MEMBERS_MAX).map(|n| (n.to_string(), Vec::new())).collect();
    assert_eq!(container::encode(&many), Err(ContainerError::Count));
}

#[test]
fn every_edition_of_the_catalogue_is_recomputed_from_what_a_bundle_holds() {
    for t in Catalogue::embedded().types() {
        let (digest, members) = edition::members(&t.edition_files());
        assert_eq!(digest.0, t.digest());
        let folder = edition::folder(&digest);
        let named = |members: &[(String, Vec<u8>)]| {
            let strip = |(name, bytes): &(String, Vec<u8>)| {
                (name.strip_prefix(&folder).unwrap().to_owned(), bytes.clone())
            };
            members.iter().map(strip).collect::<Vec<_>>()
        };
        let named = named(&members);
        let texts = named.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
        let found = edition::check(&digest, &texts).unwrap();
        assert_eq!((found.kind.as_str(), found.version), (t.name(), t.version()));
        assert_eq!(found.schema_id, t.schema_id());
        assert!(edition::check(&Digest::of(b"other"), &texts).is_err());
        for name in texts.keys() {
            let mut fewer = texts.clone();
            fewer.remove(name);
            assert!(edition::check(&digest, &fewer).is_err(), "{name} is needed");
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(members in members()) {
        let bytes = container::encode(&members).unwrap();
        prop_assert_eq!(container::decode(&bytes).unwrap(), members);
    }

    #[test]
    fn no_bit_changes_unseen(members in members(), at: prop::sample::Index, bit in 0u8..8) {
        let mut bytes = container::encode(&members).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(container::decode(&bytes).is_err());
    }

    #[test]
    fn nothing_before_behind_or_cut_off(members in members(), more in vec(any::<u8>(), 1..40), cut: prop::sample::Index) {
        let bytes = container::encode(&members).unwrap();
        prop_assert!(container::decode(&[&bytes[..], &more].concat()).is_err());
        prop_assert!(container::decode(&[&more[..], &bytes].concat()).is_err());
        prop_assert!(container::decode(&bytes[..cut.index(bytes.len())]).is_err());
    }

    #[test]
    fn any_bytes_are_judged(bytes in vec(any::<u8>(), 0..200)) {
        let _ = container::decode(&bytes);
        let _ = container::decode(&[b"PK\x03\x04", &bytes[..]].concat());
        let _ = Manifest::parse(&bytes);
        prop_assert!(!judge(&bytes, &[]).valid);
    }

    #[test]
    fn any_members_are_judged_and_shown(mut members in members(), texts in vec("\\PC{0,60}", 4)) {
        let names = ["index.html", "manifest.jws", "messages/0001/entry.receipt", "messages/0001/message.jws"];
        members.extend(names.iter().zip(texts).map(|(name, text)| ((*name).to_owned(), text.into_bytes())));
        let page = page::render(&members, &"IQ/customs".parse().unwrap(), Instant(0));
        prop_assert!(page.contains("IQ/customs"));
        prop_assert!(!judge(&container::encode(&members).unwrap(), &[]).valid);
    }
}
