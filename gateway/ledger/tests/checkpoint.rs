//! Origins and checkpoints: one spelling, and the crates `tlog_tiles` and `signed_note` as oracles.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helper functions too")]

use proptest::prelude::*;
use silkgate_ledger::tree::{EMPTY_ROOT, Hash};
use silkgate_ledger::{
    Checkpoint, CheckpointError, Note, NoteSigner, Origin, OriginError, SignError, sign_checkpoint,
};

// golang.org/x/mod `sumdb/note/note_test.go` at commit 02c99138.
const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const PETER_PRIVATE: &str = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";

fn signer(name: &str) -> NoteSigner {
    NoteSigner::from_pkcs8(name, &NoteSigner::generate_pkcs8().unwrap()).unwrap()
}

fn origin() -> Origin {
    "gw.customs.example/IQ/TR".parse().unwrap()
}

#[test]
fn origins() {
    for (good, host, state, partner) in [
        ("gw.customs.example/IQ/TR", "gw.customs.example", "IQ", Some("TR")),
        ("localhost/IQ/house", "localhost", "IQ", None),
        ("192.0.2.1/IQ/TR", "192.0.2.1", "IQ", Some("TR")),
        ("xn--bcher-kva.example/DE/FR", "xn--bcher-kva.example", "DE", Some("FR")),
    ] {
        let origin: Origin = good.parse().unwrap();
        assert_eq!((origin.host(), origin.state(), origin.partner()), (host, state, partner));
        assert_eq!((origin.is_house(), origin.to_string().as_str()), (partner.is_none(), good));
    }
    let long = |length: usize| format!("{}.{}/IQ/TR", "a".repeat(60), "b".repeat(length - 67));
    assert!(long(120).parse::<Origin>().is_ok());
    for bad in [
        "",
        "gw.example",
        "gw.example/IQ",
        "gw.example/IQ/",
        "gw.example/IQ/TR/",
        "gw.example/IQ/TR/x",
        "/IQ/TR",
        "GW.example/IQ/TR",
        "gw.example/iq/TR",
        "gw.example/IQ/tr",
        "gw.example/IQ/House",
        "gw.example/house/IQ",
        "gw.example/IRQ/TR",
        "gw..example/IQ/TR",
        ".example/IQ/TR",
        "gw.example./IQ/TR",
        "-a.example/IQ/TR",
        "a-.example/IQ/TR",
        "gw.example:443/IQ/TR",
        "https://gw.example/IQ/TR",
        "gw example/IQ/TR",
        "gw+a/IQ/TR",
        "gẃ.example/IQ/TR",
        "gw.example/IQ/TR\n",
        &long(121),
        &format!("{}/IQ/TR", "a".repeat(64)),
    ] {
        assert!(bad.parse::<Origin>().is_err(), "{bad}");
    }
}

#[test]
fn checkpoints_in_one_spelling() {
    let text = "gw.customs.example/IQ/TR\n123\nTszzRgjTG6xce+z2AG31kAXYKBgQVtCSCE40HmuwBb0=\n";
    let checkpoint = Checkpoint::parse(text).unwrap();
    assert_eq!((checkpoint.size, checkpoint.text().as_str()), (123, text));
    let extended = Checkpoint::parse(&format!("{text}abc\ndef\n"));
    assert_eq!(extended, Ok(checkpoint));
    let with = |from, to| text.replacen(from, to, 1);
    for (bad, error) in [
        (String::new(), CheckpointError::Layout),
        ("\n".to_owned(), CheckpointError::Layout),
        (text.trim_end().to_owned(), CheckpointError::Layout),
        (format!("{text}\n"), CheckpointError::Layout),
        (format!("{text}abc\n\n"), CheckpointError::Layout),
        (format!("{text}\nabc\n"), CheckpointError::Layout),
        (format!("{text}abc"), CheckpointError::Layout),
        (with("123\n", "0123\n"), CheckpointError::Size),
        (with("123\n", "00\n"), CheckpointError::Size),
        (with("123\n", "+123\n"), CheckpointError::Size),
        (with("123\n", "-1\n"), CheckpointError::Size),
        (with("123\n", "\n"), CheckpointError::Size),
        (with("123\n", " 123\n"), CheckpointError::Size),
        (with("123\n", "0xabc\n"), CheckpointError::Size),
        (with("123\n", "١٢٣\n"), CheckpointError::Size),
        (with("123\n", "18446744073709551616\n"), CheckpointError::Size),
        (with("Bb0=", "Bb0"), CheckpointError::Root),
        (with("Bb0=", "Bb1="), CheckpointError::Root),
        (with("TszzRg", "Tszz"), CheckpointError::Root),
        (with("gw.", "GW."), CheckpointError::Origin(OriginError)),
        (with("gw.", "\ngw."), CheckpointError::Origin(OriginError)),
    ] {
        assert_eq!(Checkpoint::parse(&bad), Err(error), "{bad}");
    }
    assert_eq!(Checkpoint::parse(&with("123\n", "18446744073709551615\n")).unwrap().size, u64::MAX);
    assert_eq!(Checkpoint::parse(&with("123\n", "0\n")).unwrap().size, 0);
}

#[test]
fn a_log_key_signs_only_for_its_log() {
    let checkpoint = Checkpoint { origin: origin(), size: 0, root: EMPTY_ROOT };
    assert_eq!(
        sign_checkpoint(&checkpoint, &signer("gw.customs.example/IQ/SY")),
        Err(SignError::OtherOrigin)
    );
    let signer = signer(origin().as_str());
    let note = sign_checkpoint(&checkpoint, &signer).unwrap();
    assert_eq!(note.verify(std::slice::from_ref(signer.verifier_key())), Ok(signer.verifier_key()));
    assert_eq!(Checkpoint::parse(note.text()), Ok(checkpoint));
}

proptest! {
    #[test]
    fn checkpoints_agree_with_the_oracles(size in any::<u64>(), root in any::<[u8; 32]>()) {
        let checkpoint = Checkpoint { origin: origin(), size, root: Hash::from_bytes(root) };
        let hash = tlog_tiles::Hash(root);
        let theirs = tlog_tiles::Checkpoint::new(origin().as_str(), size, hash, "").unwrap();
        prop_assert_eq!(checkpoint.text().into_bytes(), theirs.to_bytes());
        prop_assert_eq!(tlog_tiles::Checkpoint::from_bytes(checkpoint.text().as_bytes()).unwrap(), theirs);
        prop_assert_eq!(Checkpoint::parse(&checkpoint.text()), Ok(checkpoint.clone()));

        // Our signature, their verification.
        let signer = signer(origin().as_str());
        let note = sign_checkpoint(&checkpoint, &signer).unwrap();
        let verifier = signed_note::StandardVerifier::new(&signer.verifier_key().to_string()).unwrap();
        let list = signed_note::VerifierList::new(vec![Box::new(verifier)]);
        let read = signed_note::Note::from_bytes(&note.encode()).unwrap();
        prop_assert_eq!(read.verify(&list).unwrap().0.len(), 1);
        prop_assert_eq!(read.to_bytes(), note.encode());

        // Their signature, our verification.
        let mut theirs = signed_note::Note::new(checkpoint.text().as_bytes(), &[]).unwrap();
        theirs.add_sigs(&[&signed_note::StandardSigner::new(PETER_PRIVATE).unwrap()]).unwrap();
        let note = Note::parse(&theirs.to_bytes()).unwrap();
        prop_assert!(note.verify(&[PETER.parse().unwrap()]).is_ok());
    }

    #[test]
    fn parsers_never_panic(text in "\\PC{0,80}") {
        let _ = text.parse::<Origin>();
        let _ = Checkpoint::parse(&text);
        let _ = Checkpoint::parse(&format!("a/IQ/TR\n1\n{text}\n"));
    }
}
