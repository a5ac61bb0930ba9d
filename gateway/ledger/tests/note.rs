//! Signed notes and keys: published vectors, and the crate `signed_note` as oracle.
//!
//! Keys, texts and signatures of PeterNeumann and EnochRoot: golang.org/x/mod `sumdb/note/note_test.go` at
//! commit 02c99138. Salvatore's note: C2SP signed-note, commit 05528762. The log with its
//! witness: C2SP tlog-cosignature, commit 01194db1.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helper functions too")]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use silkgate_ledger::{KeyError, Note, NoteError, NoteSignature, NoteSigner, VerifierKey};

const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const PETER_PRIVATE: &str = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const ENOCH: &str = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop";
const TEXT: &str =
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const PETER_LINE: &str = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
const ENOCH_LINE: &str = "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n";

const SALVATORE: &str = "Ognuno sta solo sul cuor della terra
trafitto da un raggio di sole:

ed è subito sera.

— quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=
";

const COSIGNED: &str = "example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==
";

fn key(text: &str) -> VerifierKey {
    text.parse().unwrap()
}

fn note(lines: &str) -> Result<Note, NoteError> {
    Note::parse(format!("{TEXT}\n{lines}").as_bytes())
}

/// A PKCS #8 version 1 document around an Ed25519 seed (RFC 8410 §7), as OpenSSL writes it.
fn pkcs8(seed: &[u8]) -> Vec<u8> {
    let mut der =
        vec![0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
    der.extend_from_slice(seed);
    der
}

fn signer(name: &str) -> NoteSigner {
    NoteSigner::from_pkcs8(name, &NoteSigner::generate_pkcs8().unwrap()).unwrap()
}

#[test]
fn signs_the_published_note_with_the_published_key() {
    let (_, seed) = PETER_PRIVATE.rsplit_once("c74f20a3+").unwrap();
    let seed = &STANDARD.decode(seed).unwrap()[1..];
    let peter = NoteSigner::from_pkcs8("PeterNeumann", &pkcs8(seed)).unwrap();
    assert_eq!(peter.verifier_key().to_string(), PETER);
    assert_eq!(peter.sign(TEXT).unwrap().encode(), format!("{TEXT}\n{PETER_LINE}").into_bytes());
    assert!(!format!("{peter:?}").contains("AYEKFALV"));
}

#[test]
fn verifies_the_published_notes() {
    let keys = [key(PETER), key(ENOCH)];
    let both = note(&format!("{PETER_LINE}{ENOCH_LINE}")).unwrap();
    assert_eq!(both.text(), TEXT);
    assert_eq!(both.verify(&keys), Ok(&keys[0]));
    assert_eq!(both.signed_by(&keys).unwrap(), [&keys[0], &keys[1]]);
    // One known, the other passed over.
    assert_eq!(both.verify(&keys[1..]), Ok(&keys[1]));
    assert_eq!(both.verify(&[]), Err(NoteError::Unsigned));
    // Repeated lines and keys change nothing.
    let thrice = note(&PETER_LINE.repeat(3)).unwrap();
    assert_eq!(thrice.signed_by(&[key(PETER), key(PETER)]).unwrap(), [&key(PETER)]);
    assert_eq!(note(&PETER_LINE.repeat(101)), Err(NoteError::TooManySignatures));
    assert!(note(&PETER_LINE.repeat(100)).is_ok());
}

#[test]
fn one_bad_signature_of_a_known_key_refuses_the_note() {
    let bad = format!("{}ABCD{}", &PETER_LINE[..60], &PETER_LINE[60..]);
    let wrong = Err(NoteError::BadSignature { name: "PeterNeumann".to_owned() });
    let keys = [key(PETER), key(ENOCH)];
    for lines in [bad.clone(), format!("{ENOCH_LINE}{bad}"), format!("{PETER_LINE}{bad}")] {
        assert_eq!(note(&lines).unwrap().verify(&keys), wrong);
    }
    assert_eq!(note(&format!("{ENOCH_LINE}{bad}")).unwrap().verify(&keys[1..]), Ok(&keys[1]));
    let other_text = Note::parse(format!("other\n\n{PETER_LINE}").as_bytes()).unwrap();
    assert_eq!(other_text.verify(&keys), wrong);
    // Another name or key id is another key.
    for line in [PETER_LINE.replace("PeterNeumann", "CarmenSandiego"), PETER_LINE.replace("x08g", "xxxx")] {
        assert_eq!(note(&line).unwrap().verify(&keys), Err(NoteError::Unsigned));
    }
}

#[test]
fn refuses_what_is_no_note() {
    let whole = format!("{TEXT}\n{PETER_LINE}");
    let at = |from, to: &str| whole.replacen(from, to, 1).into_bytes();
    for (bytes, error) in [
        (TEXT.as_bytes().to_vec(), NoteError::Layout),
        (format!("{TEXT}\n").into_bytes(), NoteError::Layout),
        (format!("\n{TEXT}").into_bytes(), NoteError::Layout),
        (whole.trim_end().as_bytes().to_vec(), NoteError::Layout),
        (format!("\x01{whole}").into_bytes(), NoteError::Text),
        ([b"\xff", whole.as_bytes()].concat(), NoteError::Text),
        (at("\n\n", "\r\n\r\n"), NoteError::Text),
        (at("then", "\tthen"), NoteError::Text),
        (format!("{whole}Unexpected line.\n").into_bytes(), NoteError::SignatureLine),
        (format!("{whole}\n").into_bytes(), NoteError::Layout),
        (at("PeterNeumann", "Bad Name"), NoteError::SignatureLine),
        (at("PeterNeumann", "Bad+Name"), NoteError::SignatureLine),
        (at("PeterNeumann", "Bad\u{a0}Name"), NoteError::SignatureLine),
        (at("PeterNeumann ", " "), NoteError::SignatureLine),
        (at("— ", "- "), NoteError::SignatureLine),
        (at("— ", "—  "), NoteError::SignatureLine),
        (at("AM=\n", "AM\n"), NoteError::SignatureLine),
        (at("AM=\n", "AN=\n"), NoteError::SignatureLine),
        (at("AM=\n", "AM= \n"), NoteError::SignatureLine),
        (format!("{TEXT}\n— PeterNeumann x08gow==\n").into_bytes(), NoteError::SignatureLine),
        (format!("{TEXT}\n— PeterNeumann x08g\n").into_bytes(), NoteError::SignatureLine),
        (format!("{}{whole}", "a".repeat(128 * 1024)).into_bytes(), NoteError::TooLong),
        (Vec::new(), NoteError::Layout),
    ] {
        assert_eq!(Note::parse(&bytes), Err(error), "{}", String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn keeps_notes_of_others_verbatim() {
    for text in [SALVATORE, COSIGNED] {
        let note = Note::parse(text.as_bytes()).unwrap();
        assert_eq!(note.encode(), text.as_bytes());
        assert_eq!(signed_note::Note::from_bytes(text.as_bytes()).unwrap().text(), note.text().as_bytes());
    }
    assert!(Note::parse(SALVATORE.as_bytes()).unwrap().text().ends_with("sole:\n\ned è subito sera.\n"));
    let cosigned = Note::parse(COSIGNED.as_bytes()).unwrap();
    let names: Vec<_> = cosigned.signatures().iter().map(|line| (line.name(), line.bytes().len())).collect();
    assert_eq!(names, [("example.com/behind-the-sofa", 64), ("witness.example.com/w1", 72)]);
}

#[test]
fn reads_verifier_keys_in_one_spelling() {
    assert_eq!(key(PETER).to_string(), PETER);
    assert_eq!((key(PETER).name(), key(PETER).key_id()), ("PeterNeumann", 0xc74f_20a3));
    // The manglings of TestNewVerifier: every part of the key, and every byte one higher.
    for from in 0..=PETER.len() {
        for to in from + 1..=PETER.len() {
            let part = &PETER[from..to];
            assert!(part == PETER || part.parse::<VerifierKey>().is_err(), "{part}");
        }
    }
    for at in 0..PETER.len() {
        let mut bytes = PETER.as_bytes().to_vec();
        bytes[at] += 1;
        assert!(std::str::from_utf8(&bytes).unwrap().parse::<VerifierKey>().is_err());
    }
    for (bad, error) in [
        ("PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==", KeyError::Format),
        ("PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", KeyError::Algorithm),
        (&PETER.replace("c74f20a3", "C74F20A3"), KeyError::KeyId),
        (&PETER.replace("+c7", "++c7"), KeyError::Format),
        (&PETER.replace("PeterNeumann", "Peter Neumann"), KeyError::Name),
        (&PETER.replace("PeterNeumann", ""), KeyError::Name),
        (&format!("{PETER}\n"), KeyError::Format),
        (&format!("{PETER}{}", "A".repeat(10_000)), KeyError::Format),
    ] {
        assert_eq!(bad.parse::<VerifierKey>(), Err(error), "{bad}");
    }
}

#[test]
fn keys_come_from_pkcs8_only() {
    let pkcs8_v2 = NoteSigner::generate_pkcs8().unwrap();
    let one = NoteSigner::from_pkcs8("a/b", &pkcs8_v2).unwrap();
    assert_eq!(one.verifier_key(), NoteSigner::from_pkcs8("a/b", &pkcs8_v2).unwrap().verifier_key());
    assert_ne!(one.verifier_key(), signer("a/b").verifier_key());
    assert_eq!(NoteSigner::from_pkcs8("a b", &pkcs8_v2).unwrap_err(), KeyError::Name);
    assert_eq!(NoteSigner::from_pkcs8("a+b", &pkcs8_v2).unwrap_err(), KeyError::Name);
    assert_eq!(NoteSigner::from_pkcs8("a\nb", &pkcs8_v2).unwrap_err(), KeyError::Name);
    assert_eq!(NoteSigner::from_pkcs8("a/b", b"no key").unwrap_err(), KeyError::Pkcs8);
    // A version 2 document whose public key belongs to another private key.
    let mut swapped = pkcs8_v2.clone();
    let end = swapped.len() - 32;
    swapped[end..].copy_from_slice(signer("a/b").verifier_key().public_key());
    assert_eq!(NoteSigner::from_pkcs8("a/b", &swapped).unwrap_err(), KeyError::Pkcs8);
}

#[test]
fn signs_only_what_stands_in_a_note() {
    let signer = signer("a/b");
    assert_eq!(signer.sign("no newline"), Err(NoteError::Layout));
    assert_eq!(signer.sign(""), Err(NoteError::Layout));
    assert_eq!(signer.sign("tab\t\n"), Err(NoteError::Text));
    assert_eq!(signer.sign(&format!("{}\n", "a".repeat(128 * 1024))), Err(NoteError::TooLong));
}

#[test]
fn cosignatures_are_added_once_and_in_order() {
    let mut note = signer("a/b").sign("text\n").unwrap();
    let line = NoteSignature::new("witness.example/w", 7, vec![1; 72]).unwrap();
    assert_eq!(NoteSignature::parse(&line.to_string()), Ok(line.clone()));
    note.add_signature(line.clone()).unwrap();
    note.add_signature(line.clone()).unwrap();
    assert_eq!(note.signatures().len(), 2);
    assert_eq!(Note::parse(&note.encode()), Ok(note.clone()));
    assert_eq!(NoteSignature::new("w", 7, vec![]), Err(NoteError::SignatureLine));
    // Sixteen post-quantum signatures fit, as C2SP asks; without end they do not.
    for key_id in 0..15 {
        note.add_signature(NoteSignature::new("pq", key_id, vec![1; 5000]).unwrap()).unwrap();
    }
    let before = note.clone();
    let huge = NoteSignature::new("pq", 99, vec![1; 100_000]).unwrap();
    assert_eq!(note.add_signature(huge), Err(NoteError::TooLong));
    assert_eq!(note, before);
}

proptest! {
    /// What we read, the oracle reads too, and both write it back unchanged. We may refuse more.
    #[test]
    fn notes_are_read_as_the_oracle_reads_them(
        text in "[a-z \n]{0,20}\n",
        lines in "(— [a-z+ ]{0,4} [A-Za-z0-9+/]{0,12}={0,2}\n){0,3}",
    ) {
        let bytes = format!("{text}\n{lines}").into_bytes();
        let theirs = signed_note::Note::from_bytes(&bytes);
        match Note::parse(&bytes) {
            Ok(note) => {
                prop_assert_eq!(&note.encode(), &bytes);
                prop_assert_eq!(theirs.unwrap().to_bytes(), bytes);
            }
            Err(_) => prop_assert!(theirs.is_err()),
        }
    }

    #[test]
    fn a_changed_byte_is_never_verified(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let bytes = format!("{TEXT}\n{PETER_LINE}").into_bytes();
        let mut changed = bytes.clone();
        changed[at.index(bytes.len())] = byte;
        if let Ok(note) = Note::parse(&changed) {
            prop_assert_eq!(note.verify(&[key(PETER)]).is_ok(), changed == bytes);
        }
    }

    #[test]
    fn parsers_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "\\PC{0,80}") {
        let _ = Note::parse(&bytes);
        let _ = Note::parse(text.as_bytes());
        let _ = NoteSignature::parse(&text);
        let _ = NoteSignature::parse(&format!("— {text}"));
        let _ = text.parse::<VerifierKey>();
        let _ = NoteSigner::from_pkcs8("a", &bytes);
    }
}
