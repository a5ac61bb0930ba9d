//! Cosignatures and requests for them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helper functions too")]

use proptest::prelude::*;
use silkgate_ledger::tree::{Tiles, consistency_proof};
use silkgate_ledger::{
    AddCheckpoint, Checkpoint, Cosigner, EMPTY_ROOT, Edge, Note, NoteSigner, Unfit, WitnessKey, leaf_hash,
    sign_checkpoint,
};

/// The example of C2SP tlog-cosignature at commit 01194db: its cosignature line stands under its checkpoint, with the
/// time 1679315147 of the section "Ed25519 signed message".
const EXAMPLE: &str = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\u{2014} witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n";

#[test]
fn the_published_example_has_the_layout_that_is_read_here() {
    let note = Note::parse(EXAMPLE.as_bytes()).unwrap();
    let line = &note.signatures()[0];
    assert_eq!((line.name(), line.bytes().len()), ("witness.example.com/w1", 72));
    assert_eq!(u64::from_be_bytes(line.bytes()[..8].try_into().unwrap()), 1_679_315_147);
    let request = format!("old 20852014\nPlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n\n{EXAMPLE}");
    let parsed = AddCheckpoint::parse(request.as_bytes()).unwrap();
    assert_eq!((parsed.old, parsed.proof.len()), (20_852_014, 1));
    assert_eq!(parsed.encode(), request.as_bytes());
}

struct Log {
    signer: NoteSigner,
    edge: Edge,
    tiles: Tiles,
    heads: Vec<Note>,
}

impl Log {
    fn with(entries: &[&str]) -> Self {
        let pkcs8 = NoteSigner::generate_pkcs8().unwrap();
        let signer = NoteSigner::from_pkcs8("gw.example.iq/IQ/JO", &pkcs8).unwrap();
        let mut log = Self { signer, edge: Edge::empty(), tiles: Tiles::default(), heads: Vec::new() };
        log.heads.push(log.sign(0, EMPTY_ROOT));
        for entry in entries {
            log.edge.append(leaf_hash(entry.as_bytes()));
            for (id, tile) in log.edge.take_changed() {
                log.tiles.insert(id, tile);
            }
            log.heads.push(log.sign(log.edge.size(), log.edge.root()));
        }
        log
    }

    fn sign(&self, size: u64, root: silkgate_ledger::Hash) -> Note {
        let origin = "gw.example.iq/IQ/JO".parse().unwrap();
        sign_checkpoint(&Checkpoint { origin, size, root }, &self.signer).unwrap()
    }

    fn request(&self, old: u64, new: u64) -> AddCheckpoint {
        let proof = consistency_proof(old, new, &self.tiles).unwrap_or_default();
        AddCheckpoint { old, proof, note: self.heads[new as usize].clone() }
    }
}

fn checkpoint(note: &Note) -> Checkpoint {
    Checkpoint::parse(note.text()).unwrap()
}

#[test]
fn a_witness_follows_one_history_only() {
    let names: Vec<String> = (0..40).map(|n| format!("entry {n}")).collect();
    let entries: Vec<&str> = names.iter().map(String::as_str).collect();
    let log = Log::with(&entries);
    let mut forked = entries.clone();
    forked[7] = "another";
    let other = Log::with(&forked);
    let judge = |request: &AddCheckpoint, newest: Option<&Note>| {
        let newest = newest.map(checkpoint);
        request.judge(&checkpoint(&request.note), newest.as_ref())
    };
    assert_eq!(judge(&log.request(0, 5), None), Ok(()));
    assert_eq!(judge(&log.request(0, 0), None), Ok(()));
    assert_eq!(judge(&log.request(5, 33), Some(&log.heads[5])), Ok(()));
    assert_eq!(judge(&log.request(5, 5), Some(&log.heads[5])), Ok(()), "the same again");
    assert_eq!(judge(&log.request(6, 33), Some(&log.heads[5])), Err(Unfit::OtherSize(5)));
    assert_eq!(judge(&log.request(0, 33), Some(&log.heads[5])), Err(Unfit::OtherSize(5)));
    let backwards = AddCheckpoint { old: 9, proof: Vec::new(), note: log.heads[5].clone() };
    assert_eq!(judge(&backwards, Some(&log.heads[9])), Err(Unfit::SizeOrder));
    assert_eq!(judge(&other.request(10, 33), Some(&log.heads[10])), Err(Unfit::Inconsistent));
    assert_eq!(
        judge(&other.request(10, 10), Some(&log.heads[10])),
        Err(Unfit::Inconsistent),
        "the same size"
    );
    assert_eq!(judge(&other.request(5, 33), Some(&log.heads[5])), Ok(()), "the histories part only later");
    let mut with_proof = log.request(0, 5);
    with_proof.proof = log.request(5, 33).proof;
    assert_eq!(judge(&with_proof, None), Err(Unfit::Inconsistent), "from nothing the proof is empty");
}

#[test]
fn a_cosignature_covers_text_and_time_and_names_its_witness() {
    let log = Log::with(&["a", "b"]);
    let pkcs8 = NoteSigner::generate_pkcs8().unwrap();
    let witness = Cosigner::from_pkcs8("gw.example.jo/JO/witness", &pkcs8).unwrap();
    let key = witness.witness_key().clone();
    assert_eq!(key.to_string().parse::<WitnessKey>().unwrap(), key);
    let mut note = log.heads[2].clone();
    assert_eq!(key.cosigned(&note), Ok(None));
    note.add_signature(witness.cosign(&note, 1_795_507_200).unwrap()).unwrap();
    assert_eq!(key.cosigned(&note), Ok(Some(1_795_507_200)));
    assert_eq!(
        note.verify(std::slice::from_ref(log.signer.verifier_key())).map(|_| ()),
        Ok(()),
        "the log's stays"
    );
    let mut moved = log.heads[1].clone();
    moved.add_signature(note.signatures()[1].clone()).unwrap();
    assert!(key.cosigned(&moved).is_err(), "another text");
    let mut bytes = note.signatures()[1].bytes().to_vec();
    bytes[7] ^= 1;
    let mut later = log.heads[2].clone();
    later
        .add_signature(
            silkgate_ledger::NoteSignature::new(key.name(), note.signatures()[1].key_id(), bytes).unwrap(),
        )
        .unwrap();
    assert!(key.cosigned(&later).is_err(), "another time");
    // The same key as a log's key has another id: neither signature passes for the other.
    assert!("gw.example.jo/JO/witness+00000000+AQ==".parse::<WitnessKey>().is_err());
    let as_log = NoteSigner::from_pkcs8("gw.example.jo/JO/witness", &pkcs8).unwrap();
    assert!(as_log.verifier_key().to_string().parse::<WitnessKey>().is_err());
    assert_eq!(key.cosigned(&as_log.sign(log.heads[2].text()).unwrap()), Ok(None));
}

proptest! {
    #[test]
    fn no_bytes_make_the_request_parser_panic_and_what_it_reads_it_writes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Some(request) = AddCheckpoint::parse(&bytes) {
            prop_assert_eq!(request.encode(), bytes);
        }
    }

    #[test]
    fn any_changed_byte_of_a_request_is_another_request_or_none(at in 0_usize..300, bit in 0_u8..8) {
        let log = Log::with(&["a", "b", "c"]);
        let request = log.request(1, 3);
        let mut bytes = request.encode();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        if let Some(other) = AddCheckpoint::parse(&bytes) {
            prop_assert_ne!(&other, &request);
            prop_assert_eq!(other.encode(), bytes);
        }
    }
}
