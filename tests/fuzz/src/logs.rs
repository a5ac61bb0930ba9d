//! The log: notes, proofs, requests to witnesses, paths and entries. Each has one spelling.

use silkgate_ledger::entry::{decode_bundle, encode_bundle};
use silkgate_ledger::{
    AddCheckpoint, Checkpoint, Cosigner, Entry, Note, NoteSigner, Origin, Receipt, Tile, TilePath, TlogProof,
    VerifierKey, WitnessKey, leaf_hash, sign_checkpoint,
};

use crate::{changed, keys};

pub(crate) const NOTE_WORDS: &[&str] = &[
    "\n\n",
    "\n",
    "\u{2014} ",
    "gateway.jo.example/JO/IQ",
    "/house",
    "c2sp.org/tlog-proof@v1\n",
    "extra ",
    "index ",
    "old 0\n",
    "old 18446744073709551615\n",
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    "=",
    "+",
    "00",
    "18446744073709551616",
    "\r\n",
    "\u{a0}",
];

pub(crate) const ENTRY_WORDS: &[&str] = &[
    "{\"v\":1,\"kind\":\"",
    "received",
    "rejected",
    "refused",
    "sent",
    "receipted",
    "admin",
    "erased",
    "\",\"at\":\"2026-11-24T08:00:01.000Z\"",
    ",\"from\":\"IQ\"",
    ",\"to\":\"JO/a\"",
    ",\"verdict\":\"accepted\"",
    ",\"n\":1",
    ",\"of\":\"0\"",
    "\\u0061",
    " ",
    "}",
    "\0\u{2}ab",
];

pub(crate) const TILE_WORDS: &[&str] = &[
    "tile/",
    "entries/",
    "x001/",
    "000",
    ".p/",
    "256",
    "255",
    "x018/x446/x744/x073/x709/x551/615",
    "63",
    "64",
    "+",
    "00",
];

/// A note and the checkpoint in it. What is read is what is written; a checkpoint that we sign verifies, and with any byte changed it does not.
pub fn checkpoint(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(note) = Note::parse(data) {
        assert_eq!(note.encode(), data);
        let _ = Checkpoint::parse(note.text()).map(|checkpoint| signed(&checkpoint, data));
    }
    for line in text.lines() {
        if let Ok(key) = line.parse::<VerifierKey>() {
            assert_eq!(key.to_string(), line);
        }
        if let Ok(key) = line.parse::<WitnessKey>() {
            assert_eq!(key.to_string(), line);
        }
        if let Ok(origin) = line.parse::<Origin>() {
            let rest = origin.partner().unwrap_or("house");
            assert_eq!(format!("{}/{}/{rest}", origin.host(), origin.state()), line);
        }
    }
    if let Ok(checkpoint) = Checkpoint::parse(&text) {
        assert!(text.starts_with(&checkpoint.text()), "a checkpoint begins with what is read of it");
        assert_eq!(Checkpoint::parse(&checkpoint.text()), Ok(checkpoint));
    }
}

fn signed(checkpoint: &Checkpoint, data: &[u8]) {
    let signer = NoteSigner::from_pkcs8(checkpoint.origin.as_str(), &keys::PKCS8).unwrap();
    let witness = Cosigner::from_pkcs8("gw.iq.example/IQ/witness", &keys::PKCS8).unwrap();
    let known = [signer.verifier_key().clone()];
    let mut note = sign_checkpoint(checkpoint, &signer).unwrap();
    assert_eq!(note.verify(&known), Ok(signer.verifier_key()));
    let time = u64::from(data.first().copied().unwrap_or_default());
    note.add_signature(witness.cosign(&note, time).unwrap()).unwrap();
    assert_eq!(witness.witness_key().cosigned(&note), Ok(Some(time)));
    let bytes = note.encode();
    assert_eq!(Note::parse(&bytes).as_ref(), Ok(&note));
    // Either the log's line or the witness's no longer counts; the other may.
    if let Ok(altered) = Note::parse(&changed(&bytes, data)) {
        let both =
            altered.verify(&known).is_ok() && matches!(witness.witness_key().cosigned(&altered), Ok(Some(_)));
        assert!(!both, "altered, and both still vouch for it");
    }
}

/// A proof that stands alone, and the receipt that it may be.
pub fn tlog_proof(data: &[u8]) {
    let Ok(proof) = TlogProof::parse(data) else {
        return assert!(Receipt::parse(data).is_err(), "a receipt that is no proof");
    };
    assert_eq!(proof.encode(), data);
    assert_eq!(TlogProof::parse(&proof.encode()).as_ref(), Ok(&proof));
    let Ok(receipt) = Receipt::parse(data) else { return assert!(proof.extra.is_none()) };
    assert_eq!(receipt.encode(), data);
    let Ok(checkpoint) = Checkpoint::parse(proof.checkpoint.text()) else { return };
    let signer = NoteSigner::from_pkcs8(checkpoint.origin.as_str(), &keys::PKCS8).unwrap();
    let known = [signer.verifier_key().clone()];
    let _ = receipt.verify(&known);
    // A log of this one entry: its receipt verifies, and with any byte changed it does not.
    if Entry::parse(receipt.entry_bytes()).is_ok() {
        let alone = Checkpoint { size: 1, root: leaf_hash(receipt.entry_bytes()), ..checkpoint };
        let note = sign_checkpoint(&alone, &signer).unwrap();
        let made = Receipt::new(receipt.entry_bytes().to_vec(), 0, Vec::new(), note);
        let verified = made.verify(&known).unwrap();
        assert_eq!(
            (verified.index, verified.size, verified.entry.encode().unwrap().as_slice()),
            (0, 1, receipt.entry_bytes())
        );
        let taken = Receipt::parse(&changed(&made.encode(), data))
            .is_ok_and(|receipt| receipt.verify(&known).is_ok());
        assert!(!taken, "altered, and it verifies");
    }
}

/// A request to a witness.
pub fn witness_request(data: &[u8]) {
    let Some(request) = AddCheckpoint::parse(data) else { return };
    assert_eq!(request.encode(), data);
    assert_eq!(AddCheckpoint::parse(&request.encode()).as_ref(), Some(&request));
    assert!(request.proof.len() <= 63, "C2SP tlog-witness");
    let Ok(checkpoint) = Checkpoint::parse(request.note.text()) else { return };
    let older = Checkpoint { size: request.old, ..checkpoint.clone() };
    for newest in [None, Some(&checkpoint), Some(&older)] {
        let judged = request.judge(&checkpoint, newest);
        let held = newest.map_or(0, |newest| newest.size);
        assert!(judged.is_err() || (request.old == held && request.old <= checkpoint.size), "{judged:?}");
    }
}

/// Paths of tiles, tiles, and bundles of entries.
pub fn tile_path(data: &[u8]) {
    if let Some((text, path)) =
        std::str::from_utf8(data).ok().and_then(|text| Some((text, text.parse::<TilePath>().ok()?)))
    {
        assert_eq!(path.to_string(), text);
        let (TilePath::Hashes { width, .. } | TilePath::Entries { width, .. }) = path;
        assert!((1..=256).contains(&width));
        if let TilePath::Hashes { id, .. } = path {
            assert!(id.width_at(u64::MAX) <= 256 && id.width_at(0) == 0);
        }
    }
    if let Ok(tile) = Tile::from_bytes(data) {
        assert_eq!(tile.to_bytes(), data);
    }
    if let Ok(entries) = decode_bundle(data) {
        assert_eq!(encode_bundle(&entries).unwrap(), data);
    }
}

/// An entry of the log.
pub fn entry(data: &[u8]) {
    let Ok(entry) = Entry::parse(data) else { return };
    assert_eq!(entry.encode().as_deref(), Ok(data));
    assert_eq!(entry.leaf(), Ok(leaf_hash(data)));
    let whole: serde_json::Value = serde_json::from_slice(data).unwrap();
    assert_eq!(whole.to_string().len(), data.len(), "no white space, no escapes");
    assert!(data.iter().all(|byte| (b' '..=b'~').contains(byte)), "plain characters only");
}
