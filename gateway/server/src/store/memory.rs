//! A database in memory for the tests: one connection of SQLite, taken in turns. Every statement is done on the spot, while the
//! runtime stands still, so that simulated time does not pass meanwhile and a run can be repeated exactly.

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use futures_util::TryStreamExt as _;
use sqlx::query::Query;
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteOwnedBuf, SqliteQueryResult, SqliteRow,
};
use sqlx::{ConnectOptions as _, Connection as _, Either, Executor as _, Sqlite};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::StoreError;
use super::history::{History, SQLITE, SQLITE_KEYS, migrator};

/// A database; it lives as long as somebody holds it, whatever becomes of the process that used it.
#[derive(Clone)]
pub struct Memory(Arc<Mutex<SqliteConnection>>);

/// A transaction; dropped without a commit it is rolled back.
pub struct Transaction {
    connection: OwnedMutexGuard<SqliteConnection>,
    is_open: bool,
}

impl Memory {
    /// An empty database of a gateway.
    pub fn data() -> Result<Self, StoreError> {
        let memory = Self::migrated(SQLITE)?;
        // As `init` leaves it: nothing stands in the clear.
        memory.run("PRAGMA user_version = 1")?;
        Ok(memory)
    }

    /// An empty key store.
    pub fn keys() -> Result<Self, StoreError> {
        Self::migrated(SQLITE_KEYS)
    }

    /// What a database file holds, its write-ahead log with it.
    pub fn image(file: &Path) -> Result<Vec<u8>, StoreError> {
        let mut connection = at_once(SqliteConnectOptions::new().filename(file).connect())?;
        let mut image = at_once(connection.serialize(None))?.to_vec();
        at_once(connection.close())?;
        // The file format's version for reading and writing: what is in memory has no write-ahead log.
        image[18..20].copy_from_slice(&[1, 1]);
        Ok(image)
    }

    /// A database that begins with an [`image`](Memory::image).
    pub fn copy(image: &[u8]) -> Result<Self, StoreError> {
        let image = SqliteOwnedBuf::try_from(image)?;
        let mut connection = open()?;
        at_once(connection.deserialize(None, image, false))?;
        let memory = Self(Arc::new(Mutex::new(connection)));
        memory.run("PRAGMA foreign_keys = ON")?;
        Ok(memory)
    }

    fn migrated(history: History) -> Result<Self, StoreError> {
        let mut connection = open()?;
        at_once(migrator(history).run(&mut connection))?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    fn run(&self, statement: &'static str) -> Result<(), StoreError> {
        let mut connection = self.0.clone().try_lock_owned().expect("nobody else has it yet");
        at_once(sqlx::query(statement).execute(&mut *connection))?;
        Ok(())
    }

    /// Begins a transaction; others wait their turn, in the order in which they came.
    pub async fn begin(&self) -> Result<Transaction, StoreError> {
        let mut connection = self.0.clone().lock_owned().await;
        at_once(sqlx::query("BEGIN").execute(&mut *connection))?;
        Ok(Transaction { connection, is_open: true })
    }
}

impl Transaction {
    pub(super) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }

    pub(super) fn commit(mut self) -> Result<(), StoreError> {
        at_once(sqlx::query("COMMIT").execute(&mut *self.connection))?;
        self.is_open = false;
        Ok(())
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if self.is_open {
            at_once(sqlx::query("ROLLBACK").execute(&mut *self.connection)).expect("a rollback in memory");
        }
    }
}

fn open() -> Result<SqliteConnection, StoreError> {
    Ok(at_once(SqliteConnectOptions::new().filename(":memory:").foreign_keys(true).connect())?)
}

/// The rows of several statements, and the end of each.
pub(super) fn fetch_many(
    conn: &mut SqliteConnection,
    query: Query<'static, Sqlite, SqliteArguments>,
) -> Result<Vec<Either<SqliteQueryResult, SqliteRow>>, StoreError> {
    Ok(at_once(conn.fetch_many(query).try_collect::<Vec<_>>())?)
}

/// Waits for a future without giving way to any other task. Only for what another thread completes: SQLite's own.
pub(super) fn at_once<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(done) => return done,
            Poll::Pending => std::thread::park(),
        }
    }
}
