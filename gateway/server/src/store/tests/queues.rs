//! What is to be sent and handed over: leased to one at a time, in the order of each record.

use silkgate_message::catalogue::Priority;
use silkgate_message::instant::Instant;

use super::{Base, on_every_database, put, row};
use crate::store::message::Way;
use crate::store::{Connection, Open, Script, Store, delivery, opening, outbox, partner};

on_every_database! {
    versions_of_a_record_are_sent_one_after_another,
    a_lease_holds_until_it_runs_out,
    attempts_count_from_the_lease,
    only_active_partners_are_due_and_urgent_ones_first,
    two_processes_never_lease_the_same,
    versions_of_a_record_are_handed_over_one_after_another,
    a_hand_over_is_done_once,
    a_start_frees_every_lease,
}

const ONE: outbox::Lease = [1; 16];
const TWO: outbox::Lease = [2; 16];

/// Records whose name begins with `U` are urgent.
fn priority(subject: &str) -> Priority {
    if subject.starts_with('U') { Priority::Urgent } else { Priority::Bulk }
}

/// Messages of these records in the outbox, due at 10, 11, ….
async fn queue(store: &Store, subjects: &[&str]) {
    let mut tx = store.write().await.unwrap();
    put(&mut tx, Way::Sent, subjects).await.unwrap();
    for (subject, seq) in subjects.iter().zip(1..) {
        let row = outbox::Waiting {
            seq,
            partner: "JO".to_owned(),
            subject: (*subject).to_owned(),
            priority: priority(subject),
            expires_at: Instant(1000),
            record: None,
        };
        outbox::insert(&mut tx, &row, Instant(9 + seq)).await.unwrap();
    }
    tx.commit().await.unwrap();
}

async fn lease(conn: &mut Connection, now: i64, until: i64, lease: &outbox::Lease, limit: usize) -> Vec<i64> {
    let (now, until, bulk) = (Instant(now), Instant(until), Priority::Bulk);
    let leased = outbox::lease_due(conn, "JO", bulk, now, until, lease, limit).await.unwrap();
    leased.iter().map(|row| row.seq).collect()
}

async fn versions_of_a_record_are_sent_one_after_another(_: &Base, store: Store) {
    queue(&store, &["A", "A", "B", "A", "C"]).await;
    let mut tx = store.lease().await.unwrap();
    assert_eq!(lease(&mut tx, 9, 100, &ONE, 9).await, [0; 0], "nothing is due yet");
    assert_eq!(lease(&mut tx, 50, 100, &ONE, 2).await, [1, 3], "no more than asked for");
    assert_eq!(lease(&mut tx, 50, 100, &TWO, 9).await, [5], "the next version waits");
    outbox::remove(&mut tx, 1).await.unwrap();
    assert_eq!(outbox::later_of_record(&mut tx, "JO", "A", 1).await.unwrap(), [2, 4]);
    assert_eq!(lease(&mut tx, 50, 100, &TWO, 9).await, [2]);
    tx.commit().await.unwrap();
    assert_eq!(outbox::between(&mut store.read().await.unwrap(), 0, 9).await.unwrap(), [2, 3, 4, 5]);
}

async fn a_lease_holds_until_it_runs_out(_: &Base, store: Store) {
    queue(&store, &["A"]).await;
    let mut tx = store.write().await.unwrap();
    assert_eq!(lease(&mut tx, 20, 100, &ONE, 9).await, [1]);
    assert_eq!(lease(&mut tx, 99, 200, &TWO, 9).await, [0; 0]);
    assert!(outbox::held(&mut tx, 1, &ONE).await.unwrap().is_some());
    assert!(outbox::held(&mut tx, 1, &TWO).await.unwrap().is_none());
    assert_eq!(lease(&mut tx, 100, 200, &TWO, 9).await, [1]);
    assert!(outbox::held(&mut tx, 1, &ONE).await.unwrap().is_none(), "its outcome comes too late");
    outbox::put_back(&mut tx, 1, Instant(300), true).await.unwrap();
    assert!(outbox::held(&mut tx, 1, &TWO).await.unwrap().is_none());
    assert_eq!(outbox::agenda(&mut tx, Instant(250)).await.unwrap().next, Some(Instant(300)));
    assert_eq!(lease(&mut tx, 300, 310, &ONE, 9).await, [1]);
    assert!(outbox::renew(&mut tx, 1, &ONE, Instant(400)).await.unwrap());
    assert!(!outbox::renew(&mut tx, 1, &TWO, Instant(900)).await.unwrap());
    assert_eq!(lease(&mut tx, 399, 500, &TWO, 9).await, [0; 0], "it was held for longer");
}

async fn attempts_count_from_the_lease(_: &Base, store: Store) {
    queue(&store, &["A"]).await;
    let mut tx = store.write().await.unwrap();
    let lease = async |tx: &mut Connection, now: i64| {
        let (now, until) = (Instant(now), Instant(now + 10));
        outbox::lease_due(tx, "JO", Priority::Bulk, now, until, &ONE, 9).await.unwrap().remove(0)
    };
    assert_eq!(lease(&mut tx, 20).await.attempts, 0);
    // Nothing is ever told of this one.
    assert_eq!(lease(&mut tx, 40).await.attempts, 1);
    assert_eq!(outbox::held(&mut tx, 1, &ONE).await.unwrap().unwrap().0, 2);
    outbox::put_back(&mut tx, 1, Instant(60), true).await.unwrap();
    let third = lease(&mut tx, 60).await;
    assert_eq!((third.attempts, third.refusals), (2, 1));
    outbox::release(&mut tx, 1, &ONE).await.unwrap();
    assert_eq!(lease(&mut tx, 60).await.attempts, 2, "one that was not made does not count");
    outbox::give_back(&mut tx, 1, &ONE).await.unwrap();
    assert_eq!(lease(&mut tx, 60).await.attempts, 3, "one that was made and not settled does");
    for at in [70, 80] {
        outbox::note_attempt(&mut tx, 1, Instant(at), "no answer").await.unwrap();
    }
    let noted: Vec<_> =
        outbox::attempts(&mut tx, 1).await.unwrap().iter().map(|(n, at, _)| (*n, at.0)).collect();
    assert_eq!(noted, [(1, 70), (2, 80)]);
}

async fn only_active_partners_are_due_and_urgent_ones_first(_: &Base, store: Store) {
    queue(&store, &["A", "U", "U"]).await;
    let mut tx = store.write().await.unwrap();
    let agenda = outbox::agenda(&mut tx, Instant(50)).await.unwrap();
    assert_eq!(agenda.due, [("JO".to_owned(), vec![Priority::Urgent, Priority::Bulk])]);
    assert_eq!((agenda.next, agenda.expiry), (None, Some(Instant(1000))));
    let agenda = outbox::agenda(&mut tx, Instant(10)).await.unwrap();
    assert_eq!(agenda.due, [("JO".to_owned(), vec![Priority::Bulk])]);
    assert_eq!(agenda.next, Some(Instant(11)));
    partner::put(&mut tx, &row("JO", "suspended")).await.unwrap();
    assert!(outbox::agenda(&mut tx, Instant(50)).await.unwrap().due.is_empty());
    assert!(opening::read(&mut tx, &opening::Wanted::default()).await.unwrap().active.is_empty());
    let expired = outbox::lease_expired(&mut tx, Instant(1000), Instant(1100), &ONE, 9).await.unwrap();
    assert_eq!(expired.len(), 2, "what has expired is settled all the same, the first of each record");
}

async fn two_processes_never_lease_the_same(base: &Base, store: Store) {
    let subjects: Vec<String> = (0..40).map(|n| format!("R{n}")).collect();
    queue(&store, &subjects.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let other = base.open(Open::Existing).await;
    let take = async |store: Store, secret: outbox::Lease| {
        let mut taken = Vec::new();
        for _ in 0..8 {
            let mut tx = store.lease().await.unwrap();
            taken.extend(lease(&mut tx, 100, 1000, &secret, 5).await);
            tx.commit().await.unwrap();
            tokio::task::yield_now().await;
        }
        taken
    };
    let (one, two) = (tokio::spawn(take(store.clone(), ONE)), tokio::spawn(take(other, TWO)));
    let mut all = one.await.unwrap();
    all.extend(two.await.unwrap());
    all.sort_unstable();
    assert_eq!(all, (1..=40).collect::<Vec<i64>>());
}

/// Received messages of these records, to be handed over.
async fn deliver(store: &Store, subjects: &[&str]) {
    let mut tx = store.write().await.unwrap();
    put(&mut tx, Way::Received, subjects).await.unwrap();
    let waiting = subjects.iter().zip(1..).map(|(subject, seq)| {
        let notice = (seq == 2).then_some(delivery::Notice::AnswerLate);
        delivery::Waiting {
            seq,
            recipient: "IQ/traffic-police".to_owned(),
            partner: "JO".to_owned(),
            subject: (*subject).to_owned(),
            priority: priority(subject),
            notice,
        }
    });
    let (mut script, waiting) = (Script::default(), waiting.collect::<Vec<_>>());
    delivery::insert_many(&mut tx, &mut script, &waiting, delivery::Lanes::default(), i64::MAX)
        .await
        .unwrap();
    script.run(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
}

async fn hand_out(conn: &mut Connection, now: i64, secret: &outbox::Lease, limit: u32) -> Vec<i64> {
    let until = Instant(now + 50);
    let leased =
        delivery::lease(conn, "IQ/traffic-police", Instant(now), until, secret, limit).await.unwrap();
    leased.iter().map(|row| row.seq).collect()
}

/// Whether the first hand-over of a message was finished by this.
async fn finish(conn: &mut Connection, seq: i64, secret: &outbox::Lease, at: i64) -> bool {
    delivery::finish(conn, seq, 1, secret, Instant(at)).await.unwrap().is_some()
}

async fn versions_of_a_record_are_handed_over_one_after_another(_: &Base, store: Store) {
    deliver(&store, &["A", "A", "B", "U"]).await;
    let mut tx = store.lease().await.unwrap();
    assert_eq!(hand_out(&mut tx, 10, &ONE, 2).await, [4, 1], "what is urgent goes first");
    assert_eq!(hand_out(&mut tx, 10, &TWO, 9).await, [3]);
    assert!(finish(&mut tx, 1, &ONE, 20).await);
    let leased =
        delivery::lease(&mut tx, "IQ/traffic-police", Instant(20), Instant(90), &TWO, 9).await.unwrap();
    let leased: Vec<_> = leased.iter().map(|row| (row.seq, row.n, row.notice)).collect();
    assert_eq!(leased, [(2, 1, Some(delivery::Notice::AnswerLate))]);
    let (other, nobody) = ("IQ/customs", delivery::lease);
    assert!(nobody(&mut tx, other, Instant(20), Instant(90), &TWO, 9).await.unwrap().is_empty());
}

async fn a_hand_over_is_done_once(_: &Base, store: Store) {
    deliver(&store, &["A"]).await;
    let mut tx = store.write().await.unwrap();
    let waits = async |tx: &mut Connection, now: i64| {
        delivery::waits(tx, "IQ/traffic-police", Instant(now)).await.unwrap()
    };
    assert_eq!(waits(&mut tx, 10).await, (true, Some(Instant(0))));
    assert_eq!(hand_out(&mut tx, 10, &ONE, 9).await, [1]);
    assert_eq!(waits(&mut tx, 59).await, (false, Some(Instant(60))));
    assert_eq!(hand_out(&mut tx, 60, &TWO, 9).await, [1], "its lease has run out");
    assert!(!finish(&mut tx, 1, &ONE, 61).await, "the lease is another's");
    assert!(finish(&mut tx, 1, &TWO, 62).await);
    assert!(!finish(&mut tx, 1, &TWO, 63).await, "once");
    assert_eq!(hand_out(&mut tx, 500, &ONE, 9).await, [0; 0]);
    let found = delivery::of_message(&mut tx, 1).await.unwrap().remove(0);
    assert_eq!((found.handed, found.done_at), (2, Some(Instant(62))));
    assert_eq!(waits(&mut tx, 500).await, (false, None));
    assert!(delivery::depth(&mut tx).await.unwrap().is_empty());
}

async fn a_start_frees_every_lease(_: &Base, store: Store) {
    queue(&store, &["A"]).await;
    let mut tx = store.write().await.unwrap();
    lease(&mut tx, 20, 1000, &ONE, 9).await;
    outbox::free_leases(&mut tx).await.unwrap();
    assert!(outbox::held(&mut tx, 1, &ONE).await.unwrap().is_none());
    assert_eq!(lease(&mut tx, 20, 1000, &TWO, 9).await, [1]);
    assert!(outbox::contains(&mut tx, 1).await.unwrap() && !outbox::contains(&mut tx, 2).await.unwrap());
}
