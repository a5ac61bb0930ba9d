//! What is remembered: records, questions, erasures, duties, cosignatures.

use silkgate_message::instant::Instant;
use silkgate_message::jws::Digest;
use silkgate_message::lifecycle::RecordState;

use std::collections::HashMap;

use super::{Base, CHANNEL, on_every_database, put, written};
use crate::store::erasure::{self, Erasure, Reason, Rule};
use crate::store::message::Way;
use crate::store::question::{self, Question, QuestionState};
use crate::store::record::{self, Record, RecordKey};
use crate::store::witness::{self, Alarm, AlarmKind, Cosigned};
use crate::store::{Connection, Open, Script, Store, duty, ledger, opening};

on_every_database! {
    a_record_is_replaced_and_removed,
    a_question_is_open_until_it_is_answered,
    erasures_keep_their_reasons_for_their_time,
    one_has_a_duty_at_a_time,
    a_cosignature_counts_once,
    an_alarm_is_raised_once,
}

fn state(version: u64) -> RecordState {
    RecordState {
        last_id: "id".to_owned(),
        last_digest: Digest([version as u8; 32]),
        version,
        originator: "JO/public-security".to_owned(),
        kind: "alert.vehicle".to_owned(),
        cancelled: version > 2,
        facts: None,
    }
}

async fn a_record_is_replaced_and_removed(base: &Base, store: Store) {
    let key = |way, subject: &str| RecordKey { partner: "JO".to_owned(), way, subject: subject.to_owned() };
    let (one, two) = (key(Way::Sent, "A"), key(Way::Received, "A"));
    let mut tx = store.write().await.unwrap();
    assert_eq!(record::load(&mut tx, &one).await.unwrap(), Record::default());
    let queued = Record { head: Some(state(1)), settled: None };
    let other = Record { head: Some(state(3)), settled: Some(state(3)) };
    let both = [(one.clone(), queued.clone()), (two.clone(), other)].into();
    save(&mut tx, both).await;
    assert_eq!(record::load(&mut tx, &one).await.unwrap(), queued);
    let settled = Record { head: Some(state(2)), settled: Some(state(1)) };
    save(&mut tx, [(one.clone(), settled.clone())].into()).await;
    tx.commit().await.unwrap();
    let mut tx = base.open(Open::Existing).await.write().await.unwrap();
    assert_eq!(record::load(&mut tx, &one).await.unwrap(), settled);
    save(&mut tx, [(one.clone(), Record::default())].into()).await;
    assert_eq!(record::load(&mut tx, &one).await.unwrap(), Record::default());
    assert!(record::load(&mut tx, &two).await.unwrap().head.is_some(), "the other way is another record");
}

async fn a_question_is_open_until_it_is_answered(_: &Base, store: Store) {
    let mut tx = store.write().await.unwrap();
    put(&mut tx, Way::Sent, &["A", "B", "C", "D"]).await.unwrap();
    let asked = |ours: bool, deadline: i64| Question {
        ours,
        deadline: Instant(deadline),
        state: QuestionState::Open,
        answer: None,
    };
    question::put(&mut tx, 1, &asked(true, 100)).await.unwrap();
    question::put(&mut tx, 2, &asked(true, 50)).await.unwrap();
    question::put(&mut tx, 3, &asked(false, 10)).await.unwrap();
    assert_eq!(question::due(&mut tx, Instant(49), 9).await.unwrap(), (vec![], Some(Instant(50))));
    assert_eq!(question::due(&mut tx, Instant(100), 9).await.unwrap(), (vec![2, 1], None));
    assert_eq!(question::due(&mut tx, Instant(100), 1).await.unwrap().0, [2], "the earliest first");
    let answered = Question { state: QuestionState::Answered, answer: Some(4), ..asked(true, 50) };
    question::put(&mut tx, 2, &answered).await.unwrap();
    assert_eq!(question::due(&mut tx, Instant(100), 9).await.unwrap().0, [1]);
    assert_eq!(question::answer(&mut tx, 2).await.unwrap().map(|id| id.as_u128()), Some(4));
    question::reopen(&mut tx, 4).await.unwrap();
    let open = question::find(&mut tx, 2).await.unwrap().unwrap();
    assert_eq!((open.state, open.answer), (QuestionState::Open, None));
    let states = question::between(&mut tx, 1, 3).await.unwrap();
    assert_eq!(
        states.iter().map(|(seq, asked)| (*seq, asked.ours)).collect::<Vec<_>>(),
        [(2, true), (3, false)]
    );
}

async fn erasures_keep_their_reasons_for_their_time(_: &Base, store: Store) {
    let mut tx = store.write().await.unwrap();
    put(&mut tx, Way::Sent, &["A", "B"]).await.unwrap();
    let reason = Reason { salt: vec![1; 16], text: "asked for".to_owned(), day: 100 };
    let one = Erasure { entry: 7, rule: Rule::Retention, at: Instant(5), reason: None };
    let two = Erasure { entry: 8, rule: Rule::Operator, at: Instant(6), reason: Some(reason) };
    erasure::insert(&mut tx, 1, &one).await.unwrap();
    erasure::insert(&mut tx, 2, &two).await.unwrap();
    assert_eq!(format!("{:?}", erasure::find(&mut tx, 2).await.unwrap()), format!("{:?}", Some(&two)));
    assert_eq!(erasure::between(&mut tx, 0, 1).await.unwrap().len(), 1);
    erasure::forget_reasons(&mut tx, 99).await.unwrap();
    assert!(erasure::find(&mut tx, 2).await.unwrap().unwrap().reason.is_some());
    erasure::forget_reasons(&mut tx, 101).await.unwrap();
    assert!(erasure::find(&mut tx, 2).await.unwrap().unwrap().reason.is_none());
    assert!(erasure::insert(&mut tx, 1, &one).await.is_err(), "once");
}

async fn one_has_a_duty_at_a_time(_: &Base, store: Store) {
    let mut tx = store.lease().await.unwrap();
    let take = async |tx: &mut _, holder: &[u8], now: i64| {
        duty::take(tx, "witness JO", holder, Instant(now), Instant(now + 10)).await.unwrap()
    };
    assert!(take(&mut tx, b"one", 0).await);
    assert!(!take(&mut tx, b"two", 9).await);
    assert!(take(&mut tx, b"one", 9).await, "who has it keeps it");
    assert!(take(&mut tx, b"two", 19).await, "it has run out");
    duty::drop_all(&mut tx, b"two").await.unwrap();
    assert!(take(&mut tx, b"one", 20).await);
}

async fn a_cosignature_counts_once(_: &Base, store: Store) {
    let mut tx = store.write().await.unwrap();
    for size in [3, 5] {
        written(&mut tx, |script| {
            ledger::put_checkpoints(script, [(CHANNEL, size, b"note\n".as_slice())].into_iter())
        })
        .await
        .unwrap();
    }
    let cosigned = |size| Cosigned { size, witness: "JO".to_owned(), line: format!("line {size}") };
    for size in [3, 5, 5] {
        witness::put_cosignature(&mut tx, CHANNEL, &cosigned(size)).await.unwrap();
    }
    let heads = ledger::heads(&mut tx).await.unwrap();
    assert_eq!(heads.iter().find(|head| head.id == CHANNEL).unwrap().cosigned, 2);
    assert_eq!(witness::newest_cosigned(&mut tx, CHANNEL, "JO").await.unwrap(), Some(5));
    assert_eq!(witness::newest_cosigned(&mut tx, CHANNEL, "SA").await.unwrap(), None);
    let first = async |tx: &mut _, size| witness::first_cosigned(tx, CHANNEL, size).await.unwrap();
    assert_eq!((first(&mut tx, 4).await, first(&mut tx, 6).await), (Some(5), None));
    witness::put_witnessed(&mut tx, "gw.jo.example/JO/IQ", "JO", b"one").await.unwrap();
    witness::put_witnessed(&mut tx, "gw.jo.example/JO/IQ", "JO", b"two").await.unwrap();
    let kept = witness::witnessed(&mut tx, "gw.jo.example/JO/IQ").await.unwrap();
    assert_eq!(kept.as_deref(), Some(b"two".as_slice()));
    assert!(witness::clock_agrees(&mut tx, Instant(1000)).await.is_ok_and(|agrees| !agrees));
    witness::note_clock(&mut tx, "JO", Instant(900), Instant(1000)).await.unwrap();
    assert!(witness::clock_agrees(&mut tx, Instant(1000)).await.unwrap());
}

async fn an_alarm_is_raised_once(_: &Base, store: Store) {
    let mut tx = store.write().await.unwrap();
    let alarm = |kind| {
        Alarm::new("JO", "gw.iq.example/IQ/JO", kind, Instant(5), b"ours".to_vec(), b"theirs".to_vec())
    };
    assert!(witness::raise(&mut tx, &alarm(AlarmKind::Fork)).await.unwrap().is_some());
    assert!(witness::raise(&mut tx, &alarm(AlarmKind::Fork)).await.unwrap().is_none());
    assert!(!opening::read(&mut tx, &opening::Wanted::default()).await.unwrap().is_rolled_back);
    assert!(witness::raise(&mut tx, &alarm(AlarmKind::Rollback)).await.unwrap().is_some());
    assert!(opening::read(&mut tx, &opening::Wanted::default()).await.unwrap().is_rolled_back);
    assert_eq!(witness::open_alarms(&mut tx).await.unwrap().len(), 2);
}

async fn save(conn: &mut Connection, records: HashMap<RecordKey, Record>) {
    let mut script = Script::default();
    record::save_all(conn, &mut script, &records).await.unwrap();
    script.run(conn).await.unwrap();
}
