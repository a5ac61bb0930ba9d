//! What every database does alike: SQLite in memory, on which the simulation runs, SQLite in a file, and PostgreSQL.

mod queues;
mod rows;
mod states;
mod transactions;

use std::sync::Arc;

use silkgate_message::instant::Instant;
use silkgate_message::jws::Digest;
use support::postgres::Cluster;
use tempfile::TempDir;
use uuid::Uuid;

use super::memory::Memory;
use super::message::{Message, State, Way};
use super::partner::PartnerRow;
use super::{Connection, Open, Script, Store, StoreError, ledger, message, partner};
use crate::config::Place;

/// A database, which several processes may open.
pub(super) enum Base {
    Memory { data: Memory, keys: Memory },
    Place { data: Place, keys: Place, _folder: TempDir },
}

impl Base {
    fn memory() -> Self {
        Base::Memory { data: Memory::data().unwrap(), keys: Memory::keys().unwrap() }
    }

    fn file() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| Place::File(folder.path().join(name));
        Base::Place { data: place("silkgate.db"), keys: place("keys.db"), _folder: folder }
    }

    fn server() -> Self {
        let place = |name: &str| Place::Server(Cluster::shared().database(name).url());
        Base::Place { data: place("store"), keys: place("keys"), _folder: tempfile::tempdir().unwrap() }
    }

    /// Opens it as one more process.
    pub(super) async fn open(&self, how: Open) -> Store {
        match self {
            Base::Memory { data, keys } => Store::in_memory(data, keys),
            Base::Place { data, keys, .. } => Store::open(data, keys, how, Arc::new(|| {})).await.unwrap(),
        }
    }
}

/// Runs a case on a new database with a house log, a channel log and its partner.
fn run(base: Base, case: impl AsyncFnOnce(&Base, Store)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let store = base.open(Open::Create).await;
        let mut tx = store.write().await.unwrap();
        assert_eq!(ledger::create(&mut tx, "gw.iq.example/IQ/house", None).await.unwrap(), HOUSE);
        let jordan = Some("JO".parse().unwrap());
        assert_eq!(ledger::create(&mut tx, "gw.iq.example/IQ/JO", jordan).await.unwrap(), CHANNEL);
        partner::put(&mut tx, &row("JO", "active")).await.unwrap();
        tx.commit().await.unwrap();
        case(&base, store.clone()).await;
        store.close().await;
    });
}

/// Makes each case a test of its own on each database.
macro_rules! on_every_database {
    ($($case:ident),* $(,)?) => {
        mod memory { $( #[test] fn $case() { super::super::run(super::super::Base::memory(), super::$case) } )* }
        mod sqlite { $( #[test] fn $case() { super::super::run(super::super::Base::file(), super::$case) } )* }
        mod postgres { $( #[test] fn $case() { super::super::run(super::super::Base::server(), super::$case) } )* }
    };
}
use on_every_database;

/// The house log.
const HOUSE: i64 = 1;
/// The log of the channel with Jordan.
const CHANNEL: i64 = 2;

fn row(country: &str, state: &str) -> PartnerRow {
    PartnerRow {
        country: country.to_owned(),
        state: state.to_owned(),
        card: b"card".to_vec(),
        agreement: "agreement".to_owned(),
        connect: None,
        added_at: Instant(1),
    }
}

/// A message at that place in the order of arrival.
fn sample(seq: i64, way: Way, subject: &str) -> Message {
    let (ours, theirs) = ("IQ/traffic-police".to_owned(), "JO/public-security".to_owned());
    let (source, recipient) = if way == Way::Sent { (ours, theirs) } else { (theirs, ours) };
    Message {
        seq,
        way,
        partner: "JO".to_owned(),
        source,
        recipient,
        id: Uuid::from_u128(seq as u128),
        kind: "alert.vehicle".to_owned(),
        version: 1,
        subject: subject.to_owned(),
        digest: Digest([seq as u8; 32]),
        signed_at: Instant(seq),
        expires_at: Instant(seq + 1000),
        at: Instant(seq),
        log: CHANNEL,
        entry: seq as u64,
        checkpoint: seq as u64 + 1,
        state: if way == Way::Sent { State::Queued } else { State::Accepted },
        code: None,
        request: None,

        purpose: None,
    }
}

/// Puts messages there, of those records in that order.
async fn put(conn: &mut Connection, way: Way, subjects: &[&str]) -> Result<(), StoreError> {
    let first = message::next_seq(conn).await?;
    let rows = subjects.iter().zip(first..).map(|(subject, seq)| sample(seq, way, subject));
    written(conn, |script| message::insert(script, &rows.collect::<Vec<_>>())).await
}

/// Writes what `write` puts into a script.
async fn written(conn: &mut Connection, write: impl FnOnce(&mut Script)) -> Result<(), StoreError> {
    let mut script = Script::default();
    write(&mut script);
    script.run(conn).await
}
