//! tlog-proofs and receipts: the text format, what a receipt proves, and what breaks it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helper functions too")]

use std::sync::OnceLock;

use proptest::prelude::*;
use silkgate_ledger::tree::{Edge, Hash, Tile, TilePath, Tiles, inclusion_proof, leaf_hash, root_of};
use silkgate_ledger::{
    Checkpoint, Entry, Kind, Note, NoteSignature, NoteSigner, Origin, ProofError, Receipt, ReceiptError,
    TlogProof, TlogProofError, UtcMillis, Verdict, VerifierKey, sign_checkpoint,
};

const ENTRIES: u64 = 600;

struct Log {
    tiles: Tiles,
    signer: NoteSigner,
}

impl Log {
    fn key(&self) -> VerifierKey {
        self.signer.verifier_key().clone()
    }

    fn checkpoint(&self, size: u64) -> Note {
        let root = root_of(size, &self.tiles).unwrap();
        sign_checkpoint(&Checkpoint { origin: origin(), size, root }, &self.signer).unwrap()
    }

    fn receipt(&self, index: u64, size: u64) -> Receipt {
        let hashes = inclusion_proof(index, size, &self.tiles).unwrap();
        Receipt::new(entry(index).encode().unwrap(), index, hashes, self.checkpoint(size))
    }
}

fn log() -> &'static Log {
    static LOG: OnceLock<Log> = OnceLock::new();
    LOG.get_or_init(|| {
        let mut edge = Edge::empty();
        for index in 0..ENTRIES {
            edge.append(entry(index).leaf().unwrap());
        }
        let tiles = edge.take_changed().into_iter().collect();
        Log { tiles, signer: signer(origin().as_str()) }
    })
}

fn origin() -> Origin {
    "gw.customs.example/TR/IQ".parse().unwrap()
}

fn signer(name: &str) -> NoteSigner {
    NoteSigner::from_pkcs8(name, &NoteSigner::generate_pkcs8().unwrap()).unwrap()
}

fn entry(index: u64) -> Entry {
    Entry {
        from: Some("IQ/customs".to_owned()),
        to: Some("TR/trade".to_owned()),
        id: Some(format!("0199a6f0-7c1b-7def-8123-{index:012x}")),
        message_type: Some("alert.vehicle".to_owned()),
        jws: Some(Hash::of(&index.to_be_bytes())),
        verdict: Some(Verdict::Accepted),
        ..Entry::new(Kind::Received, UtcMillis::from_unix_ms(1_795_512_600_000).unwrap())
    }
}

/// The receipt of entry 300 at size 513, with an unknown witness's line.
fn cosigned() -> Receipt {
    let hashes = inclusion_proof(300, 513, &log().tiles).unwrap();
    let mut note = log().checkpoint(513);
    note.add_signature(NoteSignature::new("witness.example/w", 7, vec![9; 72]).unwrap()).unwrap();
    Receipt::new(entry(300).encode().unwrap(), 300, hashes, note)
}

#[test]
fn proves_each_entry_at_each_size() {
    let keys = [log().key()];
    for (index, size) in [(0, 1), (0, 600), (255, 256), (255, 257), (256, 257), (299, 511), (599, 600)] {
        let receipt = log().receipt(index, size);
        let read = Receipt::parse(&receipt.encode()).unwrap();
        assert_eq!(read, receipt);
        let verified = read.verify(&keys).unwrap();
        assert_eq!((verified.index, verified.size, verified.entry), (index, size, entry(index)));
        assert_eq!((verified.origin, verified.root), (origin(), root_of(size, &log().tiles).unwrap()));
    }
}

/// A receipt made again years later, from tiles grown since, is the same to the byte.
#[test]
fn is_remade_byte_for_byte() {
    let mut edge = Edge::empty();
    for index in 0..300 {
        edge.append(entry(index).leaf().unwrap());
    }
    let then = Receipt::new(
        entry(290).encode().unwrap(),
        290,
        edge.inclusion_proof(290).unwrap(),
        log().checkpoint(300),
    );
    assert_eq!(log().receipt(290, 300).encode(), then.encode());
}

#[test]
fn is_the_text_of_the_specification() {
    let receipt = cosigned();
    let text = String::from_utf8(receipt.encode()).unwrap();
    let lines: Vec<_> = text.split('\n').collect();
    assert_eq!(lines[0], "c2sp.org/tlog-proof@v1");
    assert!(lines[1].starts_with("extra eyJ2IjoxLCJraW5kIjoicmVjZWl2ZWQi"));
    assert_eq!(lines[2], "index 300");
    let hashes = &receipt.proof().hashes;
    for (line, hash) in lines[3..].iter().zip(hashes) {
        assert_eq!(*line, hash.to_base64());
    }
    let rest = lines[3 + hashes.len()..].join("\n");
    let note = String::from_utf8(receipt.proof().checkpoint.encode()).unwrap();
    assert_eq!(rest, format!("\n{note}"));
}

#[test]
fn says_why_it_does_not_hold() {
    let keys = [log().key()];
    let receipt = cosigned();
    let proof = receipt.proof().clone();
    let code = |receipt: &Receipt, keys: &[VerifierKey]| receipt.verify(keys).unwrap_err().code();

    assert!(matches!(Receipt::parse(b""), Err(ReceiptError::Malformed(TlogProofError::Header))));
    let bare = TlogProof { extra: None, ..proof.clone() };
    assert_eq!(Receipt::parse(&bare.encode()).unwrap_err().code(), "receipt_entry_missing");
    assert_eq!(Receipt::parse(b"").unwrap_err().code(), "receipt_malformed");

    let with = |entry: &[u8], index, note: &Note| {
        Receipt::new(entry.to_vec(), index, proof.hashes.clone(), note.clone())
    };
    let bytes = receipt.entry_bytes();
    assert_eq!(code(&with(b"{}", 300, &proof.checkpoint), &keys), "receipt_entry_invalid");
    let no_checkpoint = log().signer.sign("not a checkpoint\n").unwrap();
    assert_eq!(code(&with(bytes, 300, &no_checkpoint), &keys), "receipt_checkpoint_invalid");
    assert_eq!(code(&receipt, &[]), "receipt_unsigned");
    assert_eq!(code(&receipt, &[signer(origin().as_str()).verifier_key().clone()]), "receipt_unsigned");
    assert_eq!(
        code(&with(&entry(301).encode().unwrap(), 300, &proof.checkpoint), &keys),
        "receipt_not_included"
    );
    assert_eq!(code(&with(bytes, 301, &proof.checkpoint), &keys), "receipt_not_included");
    assert_eq!(code(&with(bytes, 513, &proof.checkpoint), &keys), "receipt_not_included");
    assert_eq!(code(&with(bytes, 300, &log().checkpoint(514)), &keys), "receipt_not_included");
    let outside = with(bytes, u64::MAX, &proof.checkpoint).verify(&keys);
    assert_eq!(outside, Err(ReceiptError::Inclusion(ProofError::IndexOutside)));
}

/// A key of another log never speaks for this one, even over the same text.
#[test]
fn another_logs_key_proves_nothing() {
    let stranger = signer("gw.customs.example/TR/SY");
    let checkpoint = Checkpoint::parse(log().checkpoint(513).text()).unwrap();
    let note = stranger.sign(&checkpoint.text()).unwrap();
    let proof = cosigned().proof().clone();
    let receipt = Receipt::new(entry(300).encode().unwrap(), 300, proof.hashes, note);
    let keys = [log().key(), stranger.verifier_key().clone()];
    assert_eq!(receipt.verify(&keys), Err(ReceiptError::Unsigned { origin: origin() }));
}

#[test]
fn a_wrong_signature_is_not_outweighed_by_a_right_one() {
    let proof = cosigned().proof().clone();
    let mut note = proof.checkpoint.clone();
    let key = log().key();
    note.add_signature(NoteSignature::new(key.name(), key.key_id(), vec![0; 64]).unwrap()).unwrap();
    let receipt = Receipt::new(entry(300).encode().unwrap(), 300, proof.hashes, note);
    assert_eq!(receipt.verify(&[key]).unwrap_err().code(), "receipt_signature_invalid");
}

/// Every bit of a receipt: flipped, it proves nothing, or (in a line of an unknown key) the same.
#[test]
fn no_flipped_bit_changes_what_is_proved() {
    let keys = [log().key()];
    let bytes = cosigned().encode();
    let proved = Receipt::parse(&bytes).unwrap().verify(&keys).unwrap();
    let witness_line = bytes.windows(7).position(|window| window == b"witness").unwrap();
    let mut unharmed = 0;
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            if let Ok(verified) = Receipt::parse(&flipped).and_then(|receipt| receipt.verify(&keys)) {
                assert_eq!(verified, proved, "bit {bit} of byte {at}");
                assert!(at >= witness_line, "bit {bit} of byte {at}");
                unharmed += 1;
            }
        }
    }
    assert!(unharmed > 0, "the witness's line is not ours to judge");
}

#[test]
fn proofs_in_one_spelling() {
    let hashes = vec![Hash::of(b"a"), Hash::of(b"b")];
    let proof =
        TlogProof { extra: Some(b"extra".to_vec()), index: 7, hashes, checkpoint: log().checkpoint(9) };
    let text = String::from_utf8(proof.encode()).unwrap();
    assert_eq!(TlogProof::parse(text.as_bytes()), Ok(proof.clone()));
    for extra in [None, Some(Vec::new())] {
        let proof = TlogProof { extra, hashes: vec![], index: u64::MAX, ..proof.clone() };
        assert_eq!(TlogProof::parse(&proof.encode()), Ok(proof));
    }
    let hash = Hash::of(b"a").to_base64();
    for (from, to, error) in [
        ("c2sp", "C2SP", TlogProofError::Header),
        ("@v1", "@v2", TlogProofError::Header),
        ("@v1\n", "@v1 \n", TlogProofError::Header),
        ("@v1\n", "@v1\r\n", TlogProofError::Header),
        ("c2sp", "\nc2sp", TlogProofError::Header),
        ("ZXh0cmE=", "!!notbase64!!", TlogProofError::Extra),
        ("ZXh0cmE=", "ZXh0cmE", TlogProofError::Extra),
        ("ZXh0cmE=", "ZXh0cmF=", TlogProofError::Extra),
        ("ZXh0cmE=", " ZXh0cmE=", TlogProofError::Extra),
        ("extra ", "Extra ", TlogProofError::Index),
        ("extra ZXh0cmE=\n", "extra ZXh0cmE=\nextra ZXh0cmE=\n", TlogProofError::Index),
        ("extra ZXh0cmE=\nindex 7\n", "index 7\nextra ZXh0cmE=\n", TlogProofError::Hash),
        ("index 7\n", "", TlogProofError::Index),
        ("index 7\n", "index 07\n", TlogProofError::Index),
        ("index 7\n", "index -7\n", TlogProofError::Index),
        ("index 7\n", "index +7\n", TlogProofError::Index),
        ("index 7\n", "index seven\n", TlogProofError::Index),
        ("index 7\n", "index  7\n", TlogProofError::Index),
        ("index 7\n", "index 18446744073709551616\n", TlogProofError::Index),
        ("index 7\n", "index 7\nindex 7\n", TlogProofError::Hash),
        (&hash, "!!notbase64!!", TlogProofError::Hash),
        (&hash, &hash[..43], TlogProofError::Hash),
        (&hash, &hash.repeat(2), TlogProofError::Hash),
        ("\n\n", "\n", TlogProofError::Hash),
    ] {
        let other = text.replacen(from, to, 1);
        assert_ne!(other, text, "{from}");
        assert_eq!(TlogProof::parse(other.as_bytes()), Err(error), "{other}");
    }
    for end in 0..text.len() {
        assert!(TlogProof::parse(&text.as_bytes()[..end]).is_err(), "cut at {end}");
    }
    let not_utf8 = [&text.as_bytes()[..23], b"\xff\n"].concat();
    assert_eq!(TlogProof::parse(&not_utf8), Err(TlogProofError::Index));
}

#[test]
fn proofs_are_bounded() {
    let proof = |count| TlogProof {
        extra: None,
        index: 0,
        hashes: vec![Hash::of(b""); count],
        checkpoint: log().checkpoint(1),
    };
    assert!(TlogProof::parse(&proof(64).encode()).is_ok());
    assert_eq!(TlogProof::parse(&proof(65).encode()), Err(TlogProofError::TooManyHashes));
    assert_eq!(TlogProof::parse(&vec![b'a'; 132 * 1024 + 1]), Err(TlogProofError::TooLong));

    // The longest note that can be signed, the longest path and a full entry still make a receipt.
    let mut checkpoint = log().checkpoint(1);
    let room = 128 * 1024 - checkpoint.encode().len() - "— w ".len() - 1 - 4;
    checkpoint.add_signature(NoteSignature::new("w", 1, vec![1; room / 4 * 3 - 4]).unwrap()).unwrap();
    let longest = TlogProof { extra: Some(vec![0; 511]), index: u64::MAX, checkpoint, ..proof(64) };
    assert!(TlogProof::parse(&longest.encode()).is_ok());
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        extra in prop::option::of(prop::collection::vec(any::<u8>(), 0..600)),
        index in any::<u64>(),
        hashes in prop::collection::vec(any::<[u8; 32]>().prop_map(Hash::from_bytes), 0..=64),
    ) {
        let proof = TlogProof { extra, index, hashes, checkpoint: cosigned().proof().checkpoint.clone() };
        prop_assert_eq!(TlogProof::parse(&proof.encode()), Ok(proof));
    }

    #[test]
    fn what_is_read_is_written(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = cosigned().encode();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(proof) = TlogProof::parse(&bytes) {
            prop_assert_eq!(proof.encode(), bytes);
        }
    }

    #[test]
    fn parsers_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), text in "\\PC{0,60}(\n\\PC{0,60}){0,5}") {
        for bytes in [bytes.clone(), text.into_bytes(), [b"c2sp.org/tlog-proof@v1\nindex 0\n", &bytes[..]].concat()] {
            let _ = TlogProof::parse(&bytes);
            let _ = Receipt::parse(&bytes).and_then(|receipt| receipt.verify(&[log().key()]));
            let _ = Tile::from_bytes(&bytes);
            let _ = String::from_utf8_lossy(&bytes).parse::<TilePath>();
        }
        let _ = leaf_hash(&bytes);
    }

    #[test]
    fn tile_paths_never_panic(text in "tile/(entries|[0-9]{1,3})/(x[0-9]{3}/){0,8}[0-9]{3}(\\.p/[0-9]{1,4})?") {
        if let Ok(path) = text.parse::<TilePath>() {
            prop_assert_eq!(path.to_string(), text);
        }
    }
}
