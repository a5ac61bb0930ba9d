//! Whoever leases, however many at once, and whatever becomes of what: versions of one record go one after another, urgent
//! messages first, and nothing is left behind.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use silkgate_message::catalogue::Priority;
use silkgate_message::jws::Digest;

use super::*;
use crate::config::Place;
use crate::store::message::{self, Message, State, Way};
use crate::store::{Open, Script, Store, ledger};

const NOW: Instant = Instant(1_800_000_000_000);
const LATER: Instant = Instant(1_800_000_006_000);
const EXPIRY: Instant = Instant(1_900_000_000_000);

async fn store(folder: &tempfile::TempDir) -> Store {
    let place = |name: &str| Place::File(folder.path().join(name));
    Store::open(&place("silkgate.db"), &place("keys.db"), Open::Create, Arc::new(|| {})).await.unwrap()
}

async fn add(conn: &mut Connection, seq: i64, lane: usize, priority: Priority) {
    let (partner, subject) = ("JO".to_owned(), format!("R-{lane}"));
    let row = Message {
        seq,
        way: Way::Sent,
        partner: partner.clone(),
        source: "IQ/a".to_owned(),
        recipient: "JO/b".to_owned(),
        id: uuid::Uuid::from_u128(seq as u128),
        kind: "alert.vehicle".to_owned(),
        version: 1,
        subject: subject.clone(),
        digest: Digest([0; 32]),
        signed_at: NOW,
        expires_at: EXPIRY,
        at: NOW,
        log: 1,
        entry: 0,
        checkpoint: 0,
        state: State::Queued,
        code: None,
        request: None,

        purpose: None,
    };
    let mut script = Script::default();
    message::insert(&mut script, &[row]);
    script.run(conn).await.unwrap();
    let waiting = Waiting { seq, partner, subject, priority, expires_at: EXPIRY, record: None };
    insert(conn, &waiting, NOW).await.unwrap();
}

/// A lane's priority: a record has one type.
fn priority(lane: usize) -> Priority {
    if lane.is_multiple_of(3) { Priority::Urgent } else { Priority::Bulk }
}

async fn filled(store: &Store, lanes: &[usize]) {
    let mut tx = store.write().await.unwrap();
    ledger::create(&mut tx, "gateway.iq.example/IQ/JO", None).await.unwrap();
    for (at, lane) in lanes.iter().enumerate() {
        add(&mut tx, at as i64 + 1, *lane, priority(*lane)).await;
    }
    tx.commit().await.unwrap();
}

async fn lease_some(store: &Store, limit: usize) -> Vec<(i64, Lease)> {
    let lease = crate::clock::random();
    let mut all = Vec::new();
    for priority in Priority::ALL {
        let mut tx = store.lease().await.unwrap();
        let leased = lease_due(&mut tx, "JO", priority, NOW, LATER, &lease, limit).await.unwrap();
        tx.commit().await.unwrap();
        all.extend(leased.into_iter().map(|row| (row.seq, lease)));
    }
    all
}

async fn conclude(store: &Store, seq: i64, lease: &Lease, settled: bool) -> bool {
    let mut tx = store.write().await.unwrap();
    let is_held = held(&mut tx, seq, lease).await.unwrap().is_some();
    if is_held && settled {
        remove(&mut tx, seq).await.unwrap();
    } else if is_held {
        put_back(&mut tx, seq, NOW, false).await.unwrap();
    }
    tx.commit().await.unwrap();
    is_held
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(work)
}

/// What several gateways do at once: each takes some, settles most, and puts some back.
async fn worker(store: Store, done: Arc<Mutex<Vec<i64>>>, mut dice: u64) {
    loop {
        let taken = lease_some(&store, 3).await;
        if taken.is_empty() {
            let mut tx = store.read().await.unwrap();
            if between(&mut tx, 0, i64::MAX).await.unwrap().is_empty() {
                return;
            }
            tokio::task::yield_now().await;
            continue;
        }
        for (seq, lease) in taken {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let settled = dice >> 33 & 3 != 0;
            if settled {
                // Before it is gone: nobody can take the next version before.
                done.lock().unwrap().push(seq);
            }
            assert!(conclude(&store, seq, &lease, settled).await, "nobody else took it");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn versions_of_a_record_go_one_after_another(lanes in prop::collection::vec(0_usize..6, 1..40), seed in any::<u64>()) {
        let done = run(async {
            let folder = tempfile::tempdir().unwrap();
            let store = store(&folder).await;
            filled(&store, &lanes).await;
            let done = Arc::new(Mutex::new(Vec::new()));
            let workers: Vec<_> =
                (0..3).map(|n| tokio::spawn(worker(store.clone(), done.clone(), seed.wrapping_add(n)))).collect();
            for worker in workers {
                worker.await.unwrap();
            }
            std::mem::take(&mut *done.lock().unwrap())
        });
        prop_assert_eq!(done.iter().collect::<BTreeSet<_>>().len(), lanes.len(), "each once, and all");
        let mut last = BTreeMap::new();
        for seq in done {
            let lane = lanes[seq as usize - 1];
            prop_assert!(last.insert(lane, seq).is_none_or(|before| before < seq), "lane {} went out of order", lane);
        }
    }
}

#[test]
fn urgent_ones_first_and_a_late_echo_settles_nothing() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder).await;
        // 1, 2: bulk of one record; 3: bulk; 4, 5: urgent, of one record.
        filled(&store, &[1, 1, 2, 3, 3]).await;
        let taken = lease_some(&store, 1).await;
        assert_eq!(taken.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [4, 1]);
        let mut tx = store.read().await.unwrap();
        let agenda = agenda(&mut tx, NOW).await.unwrap();
        assert!(agenda.due.is_empty() && agenda.expiry == Some(EXPIRY), "no partner is known: {agenda:?}");
        drop(tx);
        // The holder dies; after its lease another one takes the row, and the first one's outcome is no longer of use.
        let mut tx = store.lease().await.unwrap();
        let again =
            lease_due(&mut tx, "JO", Priority::Urgent, LATER, LATER.plus_ms(1), &[7; 16], 9).await.unwrap();
        assert!(!renew(&mut tx, 4, &taken[0].1, EXPIRY).await.unwrap());
        release(&mut tx, 4, &taken[0].1).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(again.iter().map(|row| (row.seq, row.attempts)).collect::<Vec<_>>(), [(4, 1)]);
        assert!(!conclude(&store, 4, &taken[0].1, true).await);
        assert!(conclude(&store, 4, &[7; 16], true).await);
        assert_eq!(lease_some(&store, 9).await.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [5, 3]);
    });
}

#[test]
fn what_expired_is_found_whoever_it_is_for_but_first_versions_first() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder).await;
        filled(&store, &[1, 1, 2]).await;
        let mut tx = store.lease().await.unwrap();
        assert!(
            lease_due(&mut tx, "JO", Priority::Bulk, EXPIRY, EXPIRY, &[1; 16], 9).await.unwrap().is_empty()
        );
        let expired = lease_expired(&mut tx, EXPIRY, EXPIRY.plus_ms(1), &[2; 16], 9).await.unwrap();
        assert_eq!(expired.into_iter().collect::<BTreeSet<_>>(), BTreeSet::from([1, 3]));
        tx.commit().await.unwrap();
    });
}

#[test]
fn a_row_that_nobody_would_call_is_put_right() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder).await;
        filled(&store, &[1, 1, 2]).await;
        let mut tx = store.write().await.unwrap();
        sql("UPDATE outbox SET waits = 1 - waits").execute(&mut tx).await.unwrap();
        assert_eq!(line_up(&mut tx).await.unwrap(), 3);
        assert_eq!(line_up(&mut tx).await.unwrap(), 0);
        let waits: Vec<i64> = sql("SELECT waits FROM outbox ORDER BY seq").column(&mut tx).await.unwrap();
        assert_eq!(waits, [0, 1, 0]);
    });
}
