//! The database: connections, transactions and migrations. Each table's SQL stands in one file
//! below; no SQL stands anywhere else. Statements use `$1` placeholders, which PostgreSQL shares.

pub mod delivery;
pub mod erasure;
pub mod keys;
pub mod ledger;
pub mod message;
pub mod outbox;
pub mod partner;
pub mod payload;
pub mod proof;
pub mod question;
pub mod record;
mod seal;
pub mod timestamp;
pub mod witness;

use std::path::Path;
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{Row, SqlSafeStr as _, Sqlite, Transaction};

use keys::KeyStore;

/// How long a writer waits for its turn.
const WRITE_WAIT: Duration = Duration::from_secs(20);

/// One connection or transaction.
pub type Connection = SqliteConnection;
/// A write transaction; dropped without [`commit`](Transaction::commit) it is rolled back.
pub type Write = Transaction<'static, Sqlite>;

/// Why the database could not do its part.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// From the database.
    #[error("database: {0}")]
    Sql(#[from] sqlx::Error),
    /// A migration failed.
    #[error("database migration: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// There is no database.
    #[error("there is no database at {0}; run `silkgate init` first, or pick the gateway's home with -d")]
    Missing(String),
    /// SQLite before 3.51.3 can corrupt a WAL database.
    #[error("SQLite {0} is older than 3.51.3, which mends a fault that corrupts databases")]
    Version(String),
    /// A log has fewer entries than this process has seen committed.
    #[error(
        "{0} holds less than was committed to it: another database was put in place; restart the gateway"
    )]
    Backwards(String),
    /// What is stored contradicts itself.
    #[error("the store contradicts itself: {0}")]
    Corrupt(String),
    /// A payload that cannot be decrypted.
    #[error("the payload of message {seq} cannot be decrypted: {why}")]
    Unreadable {
        /// The message.
        seq: i64,
        /// Why.
        why: String,
    },
    /// The key store is gone.
    #[error(
        "{0} is gone, and with it the keys of the stored payloads: put its backup back. If there is none, those \
         payloads are lost; make an empty file there with mode 0600, and the gateway begins anew with it"
    )]
    KeysMissing(String),
    /// The key store is not private.
    #[error("{0}: others may read these keys; make the file private with chmod 600")]
    KeysExposed(String),
    /// The key store cannot be made.
    #[error("{0}: the key store cannot be made: {1}")]
    KeysUnusable(String, std::io::Error),
    /// The store was written by another version of the program.
    #[error(
        "the database has schema {found}, this program needs {needed}; start the gateway once to migrate it"
    )]
    Schema {
        /// Newest migration applied.
        found: i64,
        /// Newest migration known.
        needed: i64,
    },
}

impl StoreError {
    /// What is damaged or contradicts itself, where that is the reason; None where the database could not be read at all.
    pub fn damage(&self) -> Option<String> {
        let sql = match self {
            StoreError::Corrupt(_) => return Some(self.to_string()),
            StoreError::Sql(sql) => sql,
            _ => return None,
        };
        let decode = matches!(sql, sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_));
        // SQLITE_CORRUPT, SQLITE_FORMAT and SQLITE_NOTADB, in any of their extended forms.
        let code = sql.as_database_error().and_then(|error| error.code()?.parse::<u32>().ok());
        let damaged = decode || code.is_some_and(|code| [11, 24, 26].contains(&(code & 0xff)));
        damaged.then(|| sql.to_string())
    }
}

/// An open store. Writers take turns on one connection; readers never wait for them (WAL).
#[derive(Clone)]
pub struct Store {
    writer: SqlitePool,
    readers: SqlitePool,
    keys: KeyStore,
}

/// The schema's history. A migration that was released is never edited: its checksum is stored.
fn migrations() -> Migrator {
    let first = include_str!("migrations/sqlite/0001_first.sql");
    let questions = include_str!("migrations/sqlite/0002_questions.sql");
    let witness = include_str!("migrations/sqlite/0003_witness.sql");
    let erasure = include_str!("migrations/sqlite/0004_erasure.sql");
    let timestamp = include_str!("migrations/sqlite/0005_timestamp.sql");
    Migrator::with_migrations(vec![
        step(1, "first", first),
        step(2, "questions", questions),
        step(3, "witness", witness),
        step(4, "erasure", erasure),
        step(5, "timestamp", timestamp),
    ])
}

fn step(version: i64, name: &'static str, sql: &'static str) -> Migration {
    Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
}

/// Whether opening may change the schema.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// Make the file if there is none (`init`).
    Create,
    /// Migrate an existing file (`serve`).
    Migrate,
    /// Leave the schema as it is.
    Existing,
}

impl Store {
    /// Opens the SQLite database at `path`, and the key store beside it.
    pub async fn open(path: &Path, key_store: &Path, how: Open) -> Result<Self, StoreError> {
        if how != Open::Create && !path.exists() {
            return Err(StoreError::Missing(path.display().to_string()));
        }
        let fresh = !path.exists();
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(how == Open::Create)
            .journal_mode(SqliteJournalMode::Wal)
            // FULL: a commit returns after the WAL is on the disk. The receipt waits for it.
            .synchronous(SqliteSynchronous::Full)
            // What is deleted is overwritten, in pages that stay and in pages that become free.
            .pragma("secure_delete", "ON")
            .page_size(16_384)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(10));
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .acquire_timeout(Duration::from_secs(30))
            .connect_with(options.clone())
            .await?;
        let version: String = sqlx::query("SELECT sqlite_version()").fetch_one(&writer).await?.get(0);
        if !at_least(&version, [3, 51, 3]) {
            return Err(StoreError::Version(version));
        }
        if how == Open::Existing {
            schema_is_current(&writer, &migrations()).await?;
        } else {
            migrations().run(&writer).await?;
        }
        let needed = payload::any_encrypted(&mut *writer.acquire().await?).await?;
        let keys = KeyStore::open(key_store, how, needed).await?;
        // From here on `write` waits in its own way. Opening, recovery and migration wait in SQLite's.
        sqlx::query("PRAGMA busy_timeout = 0").execute(&writer).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(4)
            .min_connections(0)
            .acquire_timeout(Duration::from_secs(30))
            .connect_lazy_with(options.read_only(true));
        let store = Self { writer, readers, keys };
        if fresh {
            store.note_encrypted().await?;
        }
        Ok(store)
    }

    /// The keys that payloads are encrypted under.
    pub fn keys(&self) -> &KeyStore {
        &self.keys
    }

    /// Begins the one write transaction; others wait their turn, in this process and in others.
    ///
    /// A busy gateway leaves the lock for a moment between two commits only. SQLite's own waiting asks
    /// every tenth of a second and could miss those moments for ever; an operator who cuts off a
    /// flooding partner must not. So it is asked for every millisecond, within a bound.
    pub async fn write(&self) -> Result<Write, StoreError> {
        let deadline = tokio::time::Instant::now() + WRITE_WAIT;
        loop {
            match self.writer.begin_with("BEGIN IMMEDIATE").await {
                Err(error) if is_busy(&error) && tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                other => return Ok(other?),
            }
        }
    }

    /// A consistent view for reading.
    pub async fn read(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        Ok(self.readers.begin().await?)
    }

    /// Closes every connection; SQLite then folds the WAL back into the file.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
        self.keys.close().await;
    }
}

/// SQLITE_BUSY in any of its extended forms, whose last byte is 5: another connection writes or recovers.
fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code()?.parse::<u32>().ok());
    code.is_some_and(|code| code & 0xff == 5)
}

async fn schema_is_current(pool: &SqlitePool, migrations: &Migrator) -> Result<(), StoreError> {
    let found: i64 = sqlx::query("SELECT coalesce(max(version), 0) FROM _sqlx_migrations WHERE success")
        .fetch_one(pool)
        .await?
        .get(0);
    let needed = migrations.iter().map(|migration| migration.version).max().unwrap_or(0);
    if found == needed { Ok(()) } else { Err(StoreError::Schema { found, needed }) }
}

fn at_least(version: &str, floor: [u32; 3]) -> bool {
    let parts: Vec<u32> = version.split('.').map(|part| part.parse().unwrap_or(0)).collect();
    parts.as_slice() >= floor.as_slice()
}

/// 32 bytes, or a sentence about the row that does not hold them.
fn bytes32(bytes: Vec<u8>, what: &str) -> Result<[u8; 32], StoreError> {
    bytes.try_into().map_err(|_| StoreError::Corrupt(format!("{what} is not 32 bytes")))
}

/// The keys of a page's rows, each above the one before and above `after`: in a damaged file SQLite may give rows out of
/// order, and who pages on from the last one would never come to an end.
fn ascending<K: PartialOrd, T>(
    after: K,
    page: Vec<T>,
    key: impl Fn(&T) -> K,
    table: &str,
) -> Result<Vec<T>, StoreError> {
    let mut last = after;
    for row in &page {
        let key = key(row);
        if key <= last {
            return Err(StoreError::Corrupt(format!("{table}: the rows are not in their order")));
        }
        last = key;
    }
    Ok(page)
}

/// Cuts rows into pieces of 64, 16, 4 and 1, so that multi-row statements come in four sizes only
/// and stay in the connection's statement cache.
fn pieces<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = [64, 16, 4, 1].into_iter().find(|size| *size <= rows.len())?;
        let (piece, rest) = rows.split_at(size);
        rows = rest;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::at_least;

    #[test]
    fn versions_compare_by_number() {
        assert!(at_least("3.51.3", [3, 51, 3]) && at_least("3.100.0", [3, 51, 3]));
        assert!(!at_least("3.51.2", [3, 51, 3]) && !at_least("3.9.0", [3, 51, 3]));
    }
}
