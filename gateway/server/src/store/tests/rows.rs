//! Rows: values of every kind, any number at once, pages in order.

use silkgate_ledger::tree::TileId;
use silkgate_message::instant::Instant;
use silkgate_message::jws::Digest;

use super::{Base, CHANNEL, HOUSE, on_every_database, put, sample, written};
use crate::clock;
use crate::store::bulk::insert_all;
use crate::store::ledger::{self, EntryRow};
use crate::store::message::{self, Message, Way};
use crate::store::payload::{self, Payload};
use crate::store::sql::{Value, sql};
use crate::store::{Open, Script, Store, StoreError};

on_every_database! {
    every_value_comes_back,
    any_number_of_rows_is_inserted,
    a_row_that_is_there_is_left_or_replaced,
    a_row_without_its_first_column_is_refused_and_not_left_out,
    pages_follow_one_another,
    payloads_open_for_every_process,
    of_a_search_key_the_newest_are_found_however_many_hold_it,
    a_key_that_was_taken_since_it_was_seen_unused_is_not_destroyed,
    notes_on_messages_are_found_by_their_place,
}

async fn every_value_comes_back(_: &Base, store: Store) {
    let mut tx = store.write().await.unwrap();
    let texts = ["", "a", "مرحبا", "'; DROP TABLE message; --", "\u{10ffff}"];
    let mut rows: Vec<Message> =
        texts.iter().zip(1..).map(|(text, seq)| sample(seq, Way::Sent, text)).collect();
    for (row, text) in rows.iter_mut().zip(texts).skip(1) {
        (row.code, row.request) = (Some(text.to_owned()), Some(Digest([7; 32])));
    }
    rows[1].expires_at = Instant(i64::MAX);
    rows[2].expires_at = Instant(i64::MIN);
    written(&mut tx, |script| message::insert(script, &rows)).await.unwrap();
    let found = message::after(&mut tx, 0, 99).await.unwrap();
    assert_eq!(format!("{found:?}"), format!("{rows:?}"));
    for (bytes, index) in [vec![], vec![0], vec![0xff; 4_000]].into_iter().zip(0..) {
        let row = EntryRow { log: HOUSE, index, body: bytes.clone() };
        written(&mut tx, |script| ledger::insert_entries(script, vec![row])).await.unwrap();
        assert_eq!(ledger::entry(&mut tx, HOUSE, index).await.unwrap(), Some(bytes));
    }
    for value in [Value::Int(None), Value::Text(None), Value::Bytes(None)] {
        let query = match &value {
            Value::Int(none) => sql("SELECT CAST($1 AS BIGINT)").bind(*none),
            Value::Text(none) => sql("SELECT CAST($1 AS TEXT)").bind(none.clone()),
            Value::Bytes(none) => sql("SELECT $1").bind(none.clone()),
        };
        let found = query.fetch_one(&mut tx).await.unwrap();
        let is_null = match value {
            Value::Int(_) => found.get::<Option<i64>>(0).unwrap().is_none(),
            Value::Text(_) => found.get::<Option<String>>(0).unwrap().is_none(),
            Value::Bytes(_) => found.get::<Option<Vec<u8>>>(0).unwrap().is_none(),
        };
        assert!(is_null, "{value:?}");
    }
}

async fn any_number_of_rows_is_inserted(_: &Base, store: Store) {
    // Whole pieces, what is left over, and every column NULL in some rows, in all and in none.
    for (round, count) in [0, 1, 3, 4, 5, 16, 63, 64, 65, 300].into_iter().enumerate() {
        let mut tx = store.write().await.unwrap();
        let first = 1000 * (round as i64 + 1);
        let rows: Vec<Message> = (0..count)
            .map(|n| {
                let mut row = sample(first + n, Way::Sent, "A");
                row.code = (round % 3 == 0 || (round % 3 == 1 && n % 2 == 0)).then(|| format!("code {n}"));
                row.request = (round % 2 == 0 && n % 3 == 0).then_some(Digest([n as u8; 32]));
                row
            })
            .collect();
        written(&mut tx, |script| message::insert(script, &rows)).await.unwrap();
        let head = "INSERT INTO question (seq, ours, deadline_ms, state, answer)";
        let answer = |seq: i64| Value::Int((seq % 2 == 0).then_some(first));
        let values = (first..first + count)
            .map(|seq| vec![seq.into(), 1.into(), 5.into(), "open".into(), answer(seq)]);
        let inserted = insert_all(&mut tx, head, "", values.collect()).await.unwrap();
        assert_eq!(inserted, count as u64);
        tx.commit().await.unwrap();
        let mut tx = store.read().await.unwrap();
        let found = message::after(&mut tx, first - 1, 999).await.unwrap();
        assert_eq!(format!("{found:?}"), format!("{rows:?}"), "{count}");
        let asked = crate::store::question::between(&mut tx, first - 1, first + count).await.unwrap();
        let answers: Vec<_> = asked.iter().map(|(_, asked)| asked.answer).collect();
        let expected: Vec<_> = (first..first + count).map(|seq| (seq % 2 == 0).then_some(first)).collect();
        assert_eq!(answers, expected, "{count}");
    }
}

async fn a_row_that_is_there_is_left_or_replaced(_: &Base, store: Store) {
    let mut tx = store.write().await.unwrap();
    let head = "INSERT INTO tile (log, level, idx, hashes)";
    let tile = |index: i64| vec![CHANNEL.into(), 0.into(), index.into(), vec![index as u8].into()];
    let insert = async |tx: &mut _, rows: std::ops::Range<i64>| {
        insert_all(tx, head, "ON CONFLICT DO NOTHING", rows.map(tile).collect()).await.unwrap()
    };
    assert_eq!(insert(&mut tx, 0..70).await, 70);
    assert_eq!(insert(&mut tx, 60..75).await, 5, "only what is new counts");
    let id = TileId { level: 0, index: 3 };
    written(&mut tx, |script| ledger::put_tiles(script, CHANNEL, [(id, vec![9, 9])].into_iter()))
        .await
        .unwrap();
    assert_eq!(ledger::tile_bytes(&mut tx, CHANNEL, id).await.unwrap(), Some(vec![9, 9]));
    assert_eq!(ledger::count_tiles(&mut tx, CHANNEL).await.unwrap(), 75);
}

async fn a_row_without_its_first_column_is_refused_and_not_left_out(_: &Base, store: Store) {
    let mut tx = store.write().await.unwrap();
    put(&mut tx, Way::Received, &["A"]).await.unwrap();
    let row = |seq: Option<i64>| vec![Value::Int(seq), Value::Bytes(Some(b"{}".to_vec()))];
    let rows = vec![row(Some(1)), row(None)];
    let done = written(&mut tx, |script| script.insert("INSERT INTO refusal (seq, problem)", "", rows)).await;
    assert!(done.is_err(), "{done:?}");
}

async fn pages_follow_one_another(_: &Base, store: Store) {
    let mut tx = store.write().await.unwrap();
    let rows: Vec<EntryRow> = (0..250)
        .map(|index| EntryRow { log: CHANNEL, index, body: index.to_string().into_bytes() })
        .collect();
    written(&mut tx, |script| ledger::insert_entries(script, rows)).await.unwrap();
    for size in [1, 7, 250] {
        written(&mut tx, |script| {
            ledger::put_checkpoints(script, [(CHANNEL, size, b"note".as_slice())].into_iter())
        })
        .await
        .unwrap();
    }
    put(&mut tx, Way::Sent, &["A", "B", "C", "D", "E"]).await.unwrap();
    let mut read = Vec::new();
    while read.len() < 250 {
        let page = ledger::entries(&mut tx, CHANNEL, read.len() as u64, 100).await.unwrap();
        read.extend(page.into_iter().map(|(index, _)| index));
    }
    assert_eq!(read, (0..250).collect::<Vec<u64>>());
    assert!(ledger::entries(&mut tx, CHANNEL, 250, 100).await.unwrap().is_empty());
    let sizes = async |tx: &mut _, after| {
        let page = ledger::checkpoints(tx, CHANNEL, after, 2).await.unwrap();
        page.into_iter().map(|(size, _)| size).collect::<Vec<_>>()
    };
    assert_eq!((sizes(&mut tx, 0).await, sizes(&mut tx, 7).await), (vec![1, 7], vec![250]));
    let seqs = async |tx: &mut _, after| {
        let page = message::after(tx, after, 2).await.unwrap();
        page.iter().map(|row| row.seq).collect::<Vec<_>>()
    };
    assert_eq!((seqs(&mut tx, 0).await, seqs(&mut tx, 4).await), (vec![1, 2], vec![5]));
    assert_eq!(ledger::named(&mut tx).await.unwrap(), [("entry", CHANNEL), ("checkpoint", CHANNEL)]);
}

async fn payloads_open_for_every_process(base: &Base, store: Store) {
    let payload = |seq: i64, bytes: Vec<u8>| Payload {
        seq,
        way: Way::Sent,
        partner: "JO".to_owned(),
        digest: Digest([seq as u8; 32]),
        day: 30_000 + seq % 2,
        bytes,
        terms: Vec::new(),
    };
    let mut tx = store.write().await.unwrap();
    put(&mut tx, Way::Sent, &["A", "B", "C"]).await.unwrap();
    let payloads = [payload(1, b"one".to_vec()), payload(2, Vec::new()), payload(3, vec![7; 100_000])];
    let mut script = Script::default();
    payload::insert(&mut script, store.keys(), &payloads).await.unwrap();
    script.run(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    let other = base.open(Open::Existing).await;
    let mut tx = other.read().await.unwrap();
    for payload in payloads {
        assert_eq!(other.payload(&mut tx, payload.seq).await.unwrap(), Some(payload.bytes));
    }
    assert_eq!(other.payload(&mut tx, 4).await.unwrap(), None);
    drop(tx);
    let mut tx = other.write().await.unwrap();
    assert!(payload::remove(&mut tx, 2).await.unwrap() && !payload::remove(&mut tx, 2).await.unwrap());
    tx.commit().await.unwrap();
    let live = store.keys().live(30_001).await.unwrap();
    let days: Vec<i64> = live.iter().map(|(id, _)| *id).collect();
    assert_eq!(days.len(), 2, "a key for each day");
    assert_eq!(store.destroy_unused(&days).await.unwrap(), 1, "the one that nothing is under any more");
    let gone = other.payload(&mut store.read().await.unwrap(), 1).await;
    assert!(matches!(gone, Ok(Some(_))), "the other day's key stays: {gone:?}");
}

async fn of_a_search_key_the_newest_are_found_however_many_hold_it(_: &Base, store: Store) {
    let terms = |terms: &[&str]| terms.iter().map(ToString::to_string).collect::<Vec<_>>();
    let payloads: Vec<Payload> = (1..=9)
        .map(|seq| Payload {
            seq,
            way: Way::Sent,
            partner: "JO".to_owned(),
            digest: Digest([seq as u8; 32]),
            // Each day has keys of its own.
            day: 30_000 + seq % 2,
            bytes: vec![7],
            terms: if seq > 7 { terms(&["plate", "frame"]) } else { terms(&["plate"]) },
        })
        .collect();
    let mut tx = store.write().await.unwrap();
    put(&mut tx, Way::Sent, &["A"; 9]).await.unwrap();
    let mut script = Script::default();
    payload::insert(&mut script, store.keys(), &payloads).await.unwrap();
    script.run(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = store.read().await.unwrap();
    for (wanted, before, limit, found) in [
        (terms(&["plate"]), i64::MAX, 4, vec![9, 8, 7, 6]),
        (terms(&["plate"]), 5, 3, vec![4, 3, 2]),
        (terms(&["frame", "plate"]), i64::MAX, 4, vec![9, 8, 7, 6]),
        (terms(&["frame"]), i64::MAX, 4, vec![9, 8]),
        (terms(&["plate"]), i64::MAX, 1, vec![9]),
        (terms(&["plate"]), i64::MAX, 100, vec![9, 8, 7, 6, 5, 4, 3, 2, 1]),
        (terms(&["other"]), i64::MAX, 4, vec![]),
    ] {
        let held = store.holding(&mut tx, &wanted, before, limit).await.unwrap();
        assert_eq!(held, found, "{wanted:?} before {before}, {limit} at most");
    }
}

async fn a_key_that_was_taken_since_it_was_seen_unused_is_not_destroyed(base: &Base, store: Store) {
    let other = base.open(Open::Existing).await;
    let is_shared = store.write().await.unwrap().is_shared();
    let keys = store.keys();
    let today = clock::now().day();
    let key = keys.ensure(&[("JO", today)]).await.unwrap().remove(0);
    let taken = keys.taken(key.id).await.unwrap().unwrap();
    // The other gateway writes while this one is paused.
    let same = other.keys().ensure(&[("JO", today)]).await.unwrap().remove(0);
    assert_eq!(same.id, key.id);
    // A file has one gateway, and no write transaction of it is under way meanwhile.
    assert_eq!(keys.destroy(key.id, taken, clock::now()).await.unwrap(), !is_shared);
    let taken = keys.taken(key.id).await.unwrap();
    assert_eq!(taken.is_some(), is_shared);
    if let Some(taken) = taken {
        assert!(keys.destroy(key.id, taken, clock::now()).await.unwrap());
    }
    let next = other.keys().ensure(&[("JO", today)]).await.unwrap().remove(0);
    assert_ne!(next.id, key.id, "what was destroyed is used no more");
}

async fn notes_on_messages_are_found_by_their_place(_: &Base, store: Store) {
    let mut tx = store.write().await.unwrap();
    put(&mut tx, Way::Sent, &["A", "B", "C"]).await.unwrap();
    message::put_receipt(&mut tx, 1, b"receipt").await.unwrap();
    message::put_receipt(&mut tx, 3, b"another").await.unwrap();
    written(&mut tx, |script| message::put_refusals(script, vec![(2, b"problem".to_vec())])).await.unwrap();
    message::set_state(&mut tx, 2, message::State::Rejected, Some("expired")).await.unwrap();
    assert_eq!(message::receipts(&mut tx, 1, 3).await.unwrap().len(), 1);
    assert_eq!(message::receipt(&mut tx, 3).await.unwrap().as_deref(), Some(b"another".as_slice()));
    assert_eq!(message::refusal(&mut tx, 2).await.unwrap().as_deref(), Some(b"problem".as_slice()));
    let row = message::by_seq(&mut tx, 2).await.unwrap().unwrap();
    assert_eq!((row.state, row.code.as_deref()), (message::State::Rejected, Some("expired")));
    let same = message::find(&mut tx, Way::Sent, "JO", &row.id, &row.source).await.unwrap();
    assert_eq!(same.map(|row| row.seq), Some(2));
    let other_way = message::find(&mut tx, Way::Received, "JO", &row.id, &row.source).await.unwrap();
    assert!(other_way.is_none());
    let twice = message::put_receipt(&mut tx, 1, b"receipt").await;
    assert!(matches!(twice, Err(StoreError::Sql(_))), "one receipt for a message: {twice:?}");
}
