//! Transactions: all or nothing, one after another, one view each.

use std::time::Duration;

use silkgate_ledger::tree::EMPTY_ROOT;

use super::{Base, CHANNEL, HOUSE, on_every_database, put, run, sample, written};
use crate::store::message::{self, Way};
use crate::store::sql::sql;
use crate::store::{Open, Store, StoreError, ledger};

on_every_database! {
    what_is_not_committed_is_not_there,
    what_is_committed_is_there_for_the_next_process,
    a_failed_statement_costs_its_transaction_only,
    a_view_stays_as_it_was,
    writers_take_turns,
    a_head_moves_from_where_it_is_only,
}

async fn size(store: &Store, log: i64) -> u64 {
    let mut tx = store.read().await.unwrap();
    let heads = ledger::heads(&mut tx).await.unwrap();
    heads.iter().find(|head| head.id == log).unwrap().size
}

async fn what_is_not_committed_is_not_there(base: &Base, store: Store) {
    let mut tx = store.write().await.unwrap();
    put(&mut tx, Way::Sent, &["A"]).await.unwrap();
    assert!(message::by_seq(&mut tx, 1).await.unwrap().is_some(), "the writer itself sees it");
    tx.rollback().await.unwrap();
    let mut tx = store.write().await.unwrap();
    put(&mut tx, Way::Sent, &["B"]).await.unwrap();
    drop(tx);
    let mut tx = base.open(Open::Existing).await.write().await.unwrap();
    assert!(message::after(&mut tx, 0, 9).await.unwrap().is_empty());
    assert_eq!(message::next_seq(&mut tx).await.unwrap(), 1);
}

async fn what_is_committed_is_there_for_the_next_process(base: &Base, store: Store) {
    let mut tx = store.write().await.unwrap();
    put(&mut tx, Way::Received, &["A", "B"]).await.unwrap();
    tx.commit().await.unwrap();
    let other = base.open(Open::Existing).await;
    let mut tx = other.read().await.unwrap();
    let found = message::by_seq(&mut tx, 2).await.unwrap().unwrap();
    assert_eq!(format!("{found:?}"), format!("{:?}", sample(2, Way::Received, "B")));
}

async fn a_failed_statement_costs_its_transaction_only(_: &Base, store: Store) {
    let mut tx = store.write().await.unwrap();
    put(&mut tx, Way::Sent, &["A"]).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = store.write().await.unwrap();
    put(&mut tx, Way::Sent, &["B"]).await.unwrap();
    // The same message again: its key is taken.
    let twice = written(&mut tx, |script| message::insert(script, &[sample(1, Way::Sent, "A")])).await;
    assert!(matches!(twice, Err(StoreError::Sql(_))), "{twice:?}");
    tx.rollback().await.unwrap();
    let mut tx = store.write().await.unwrap();
    put(&mut tx, Way::Sent, &["C"]).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = store.read().await.unwrap();
    let subjects = message::after(&mut tx, 0, 9).await.unwrap();
    assert_eq!(subjects.iter().map(|row| row.subject.as_str()).collect::<Vec<_>>(), ["A", "C"]);
}

async fn a_view_stays_as_it_was(_: &Base, store: Store) {
    let mut view = store.read().await.unwrap();
    assert_eq!(message::next_seq(&mut view).await.unwrap(), 1);
    let writing = store.clone();
    let writer = tokio::spawn(async move {
        let mut tx = writing.write().await.unwrap();
        put(&mut tx, Way::Sent, &["A"]).await.unwrap();
        tx.commit().await.unwrap();
    });
    // Where the writer need not wait for the view it is done by now.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(message::next_seq(&mut view).await.unwrap(), 1);
    drop(view);
    writer.await.unwrap();
    assert_eq!(message::next_seq(&mut store.read().await.unwrap()).await.unwrap(), 2);
}

async fn writers_take_turns(base: &Base, store: Store) {
    let other = base.open(Open::Existing).await;
    let grow = async |store: Store| {
        for _ in 0..10 {
            let mut tx = store.write().await.unwrap();
            let heads = ledger::heads(&mut tx).await.unwrap();
            let size = heads.iter().find(|head| head.id == HOUSE).unwrap().size;
            written(&mut tx, |script| ledger::move_head(script, HOUSE, size, size + 1, &EMPTY_ROOT))
                .await
                .unwrap();
            tx.commit().await.unwrap();
        }
    };
    let writers = [store.clone(), store.clone(), other.clone(), other];
    let [one, two, three, four] = writers.map(|store| tokio::spawn(grow(store)));
    for writer in [one, two, three, four] {
        writer.await.unwrap();
    }
    assert_eq!(size(&store, HOUSE).await, 40, "none has overwritten another");
}

async fn a_head_moves_from_where_it_is_only(_: &Base, store: Store) {
    let mut tx = store.write().await.unwrap();
    written(&mut tx, |script| ledger::move_head(script, CHANNEL, 0, 3, &EMPTY_ROOT)).await.unwrap();
    tx.commit().await.unwrap();
    for (log, old) in [(CHANNEL, 0), (CHANNEL, 2), (CHANNEL, 4), (9, 0)] {
        let mut tx = store.write().await.unwrap();
        let moved = written(&mut tx, |script| ledger::move_head(script, log, old, 5, &EMPTY_ROOT)).await;
        assert!(matches!(moved, Err(StoreError::Corrupt(_))), "{log} from {old}: {moved:?}");
    }
    assert_eq!((size(&store, CHANNEL).await, size(&store, HOUSE).await), (3, 0));
}

/// As it does where a disk is full or fails; sqlx takes the transaction for open then.
#[test]
fn a_transaction_that_sqlite_ended_by_itself_does_not_keep_the_next_from_beginning() {
    run(Base::file(), async |_, store| {
        for lost in [true, false] {
            let mut tx = store.lease().await.unwrap();
            let ends = "INSERT OR ROLLBACK INTO generation (id, value) SELECT id, value FROM generation";
            assert!(sql(ends).execute(&mut tx).await.is_err(), "the row is there");
            if lost {
                drop(tx);
            } else {
                assert!(tx.rollback().await.is_err(), "there is nothing to roll back");
            }
            let mut tx = store.write().await.unwrap();
            sql("UPDATE generation SET value = value + 1").execute(&mut tx).await.unwrap();
            tx.commit().await.unwrap();
        }
    });
}
