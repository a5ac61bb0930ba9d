//! A neighbour reads the channel's log, and computes for itself what it was told.

use silkgate_ledger::tree::{Tile, Tiles};
use silkgate_ledger::tree::{
    TileId, TilePath, consistency_proof, inclusion_proof, root_of, verify_consistency, verify_inclusion,
};
use silkgate_ledger::{Checkpoint, Note, Receipt, leaf_hash};
use support::{Client, Pair, event, sign};

/// Entries of a bundle.
fn entries(bundle: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = bundle;
    let mut entries = Vec::new();
    while let Some((length, tail)) = rest.split_first_chunk::<2>() {
        let (entry, tail) = tail.split_at(usize::from(u16::from_be_bytes(*length)));
        entries.push(entry.to_vec());
        rest = tail;
    }
    entries
}

fn checkpoint(client: &Client) -> Checkpoint {
    let answer = client.get("/v1/log/checkpoint");
    assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")));
    Checkpoint::parse(Note::parse(&answer.body).unwrap().text()).unwrap()
}

fn get(client: &Client, path: TilePath) -> Vec<u8> {
    let answer = client.get(&format!("/v1/log/{path}"));
    assert_eq!(answer.status, 200, "{path}");
    answer.body
}

/// Every tile of a tree of that size, as the log serves them.
fn tiles(client: &Client, size: u64) -> Tiles {
    let mut tiles = Tiles::new();
    for level in 0..8 {
        for index in 0.. {
            let id = TileId { level, index };
            let width = id.width_at(size);
            if width == 0 {
                break;
            }
            tiles.insert(id, Tile::from_bytes(&get(client, TilePath::Hashes { id, width })).unwrap());
        }
    }
    tiles
}

#[test]
fn everything_that_was_told_can_be_computed_from_the_tiles() {
    let pair = Pair::start();
    let (client, key) = (pair.iq.as_partner_of(&pair.jo), pair.iq.message_key());
    let send = |count: usize| {
        let sent = (0..count).map(|_| sign(&key, &event("IQ/traffic-police", "JO/public-security")));
        sent.map(|message| client.message(&message.bytes).body).collect::<Vec<_>>()
    };
    let mut receipts = send(3);
    let early = checkpoint(&client);
    // More than one tile: 256 hashes fill the first.
    receipts.extend(send(270));
    let late = checkpoint(&client);
    assert!(late.size > 256 && early.size < late.size);
    let log = tiles(&client, late.size);
    assert_eq!(root_of(late.size, &log).unwrap(), late.root);
    assert_eq!(root_of(early.size, &log).unwrap(), early.root, "the earlier tree lies inside the later one");
    let proof = consistency_proof(early.size, late.size, &log).unwrap();
    assert!(verify_consistency(early.size, early.root, late.size, late.root, &proof).is_ok());
    let mut read = entries(&get(&client, TilePath::Entries { index: 0, width: 256 }));
    let width = u16::try_from(late.size - 256).unwrap();
    read.extend(entries(&get(&client, TilePath::Entries { index: 1, width })));
    assert_eq!(read.len() as u64, late.size);
    for receipt in &receipts {
        let receipt = Receipt::parse(receipt).unwrap();
        let index = receipt.proof().index;
        assert_eq!(read[usize::try_from(index).unwrap()], receipt.entry_bytes());
        let proof = inclusion_proof(index, late.size, &log).unwrap();
        assert!(
            verify_inclusion(leaf_hash(receipt.entry_bytes()), index, late.size, &proof, late.root).is_ok()
        );
    }
}

#[test]
fn only_the_channel_is_served_and_only_by_its_one_spelling() {
    let mut pair = Pair::set_up(None);
    let sa = support::Home::init(pair.folder.path(), "SA/border-guard");
    pair.jo.add_partner(&sa, None);
    sa.add_partner(&pair.jo, None);
    pair.jo.start();
    let key = pair.iq.message_key();
    let client = pair.iq.as_partner_of(&pair.jo);
    assert_eq!(
        client.message(&sign(&key, &event("IQ/traffic-police", "JO/public-security")).bytes).status,
        200
    );
    let size = checkpoint(&client).size;
    let of_iraq = entries(&get(&client, TilePath::Entries { index: 0, width: size as u16 }));
    assert!(of_iraq.iter().any(|entry| String::from_utf8_lossy(entry).contains("IQ/traffic-police")));
    // Another partner sees its own channel, which knows nothing of the first.
    let other = sa.as_partner_of(&pair.jo);
    let of_saudi =
        entries(&get(&other, TilePath::Entries { index: 0, width: checkpoint(&other).size as u16 }));
    let names_iraq = |entry: &Vec<u8>| {
        let text = String::from_utf8_lossy(entry).into_owned();
        text.contains("IQ/") || text.contains("\"IQ\"")
    };
    assert!(of_iraq.iter().any(names_iraq) && !of_saudi.iter().any(names_iraq));
    for path in [
        "tile/0/000".to_owned(),
        "tile/entries/000".to_owned(),
        format!("tile/0/000.p/{}", size + 1),
        format!("tile/entries/000.p/{}", size + 1),
        "tile/0/x000/000.p/1".to_owned(),
        "tile/00/000.p/1".to_owned(),
        "tile/0/000.p/0".to_owned(),
        "tile/0/000.p/256".to_owned(),
        "tile/9/000.p/1".to_owned(),
        "tile/0/001.p/1".to_owned(),
        "tile/../house".to_owned(),
        "house/checkpoint".to_owned(),
    ] {
        let answer = client.get(&format!("/v1/log/{path}"));
        assert_eq!((answer.status, answer.code().as_str()), (404, "not_found"), "{path}");
    }
    assert_eq!(client.get("/v1/log/tile/0/000.p/1").body.len(), 32, "a narrower tile than there is now");
    pair.jo.ok(&["partner", "suspend", "IQ"]);
    support::wait_for("the suspension", || {
        (client.get("/v1/log/checkpoint").code() == "partner_suspended").then_some(())
    });
}
