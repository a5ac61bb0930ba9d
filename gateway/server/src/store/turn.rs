//! SQLite's one connection that writes, which writers have in turns.
//!
//! A pool of one would do the same, and ask the connection before and after each use whether it is there: two more ways to
//! SQLite's own thread for every transaction.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _, Database, SqlSafeStr as _, Sqlite};
use sqlx_core::transaction::TransactionManager as _;
use tokio::sync::{Mutex, OwnedMappedMutexGuard, OwnedMutexGuard};

/// What begins and ends transactions.
type Manager = <Sqlite as Database>::TransactionManager;

/// How long a writer of this process waits for another one.
const TURN_WAIT: Duration = Duration::from_secs(30);

/// The connection. Its clones are the same one.
#[derive(Clone)]
pub(super) struct Writer {
    options: Box<SqliteConnectOptions>,
    /// None: closed.
    connection: Arc<Mutex<Option<SqliteConnection>>>,
}

/// The connection, for as long as it is held.
pub(super) type Held = OwnedMappedMutexGuard<Option<SqliteConnection>, SqliteConnection>;

impl Writer {
    /// Connects.
    pub(super) async fn connect(options: SqliteConnectOptions) -> Result<Self, sqlx::Error> {
        let connection = options.connect().await?;
        Ok(Self { options: Box::new(options), connection: Arc::new(Mutex::new(Some(connection))) })
    }

    /// Waits for its turn.
    pub(super) async fn hold(&self) -> Result<Held, sqlx::Error> {
        let turn = tokio::time::timeout(TURN_WAIT, self.connection.clone().lock_owned());
        let guard = turn.await.map_err(|_| sqlx::Error::PoolTimedOut)?;
        OwnedMutexGuard::try_map(guard, Option::as_mut).map_err(|_| sqlx::Error::PoolClosed)
    }

    /// From now on SQLite does not wait for others who hold the file.
    pub(super) async fn impatient(mut self) -> Result<Self, sqlx::Error> {
        sqlx::query("PRAGMA busy_timeout = 0").execute(&mut *self.hold().await?).await?;
        *self.options = self.options.busy_timeout(Duration::ZERO);
        Ok(self)
    }

    /// Begins a transaction as `begin` says. A connection is made anew whose thread is gone, or that goes on as if in a transaction which
    /// SQLite has ended by itself, as it does where the disk is full or fails: of that one sqlx knows nothing.
    pub(super) async fn begin(&self, begin: &'static str) -> Result<Turn, sqlx::Error> {
        use sqlx::Error::{BeginFailed, InvalidSavePointStatement, WorkerCrashed};
        match Turn::begin(self.hold().await?, begin).await {
            Err(WorkerCrashed | InvalidSavePointStatement | BeginFailed) => {
                let anew = self.options.connect().await?;
                *self.hold().await? = anew;
                Turn::begin(self.hold().await?, begin).await
            }
            other => other,
        }
    }

    /// Ends it, once whoever holds it is done. The last connection of a file folds its write-ahead log back into it.
    pub(super) async fn close(&self) {
        let connection = self.connection.lock().await.take();
        if let Some(connection) = connection
            && let Err(error) = connection.close().await
        {
            tracing::warn!(%error, "the database was not closed");
        }
    }
}

/// A transaction of the one that writes; dropped without a commit it is rolled back.
pub struct Turn {
    connection: Held,
    is_open: bool,
}

impl Turn {
    async fn begin(connection: Held, begin: &'static str) -> Result<Self, sqlx::Error> {
        // Open from here on: where nobody waits for the answer, what was begun is rolled back all the same.
        let mut turn = Self { connection, is_open: true };
        Manager::begin(&mut turn.connection, Some(begin.into_sql_str())).await?;
        Ok(turn)
    }

    /// Commits. After an error it is not known whether what was written is there.
    pub(super) async fn commit(mut self) -> Result<(), sqlx::Error> {
        Manager::commit(&mut self.connection).await?;
        self.is_open = false;
        Ok(())
    }

    /// Takes back what was written.
    pub(super) async fn rollback(mut self) -> Result<(), sqlx::Error> {
        Manager::rollback(&mut self.connection).await?;
        self.is_open = false;
        Ok(())
    }
}

impl Deref for Turn {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.connection
    }
}

impl DerefMut for Turn {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.is_open {
            Manager::start_rollback(&mut self.connection);
        }
    }
}
