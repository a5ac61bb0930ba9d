//! The two databases: how each is opened and entered.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgSslMode};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Connection as _, Executor as _, Row as _};
use tokio::sync::Semaphore;

use super::history::{self, POSTGRES, SQLITE};
use super::sql::{Connection, sql};
use super::turn::Writer;
use super::{Open, StoreError};
#[cfg(test)]
use super::{fault, memory::Memory};
use crate::config::Place;

/// How long a writer waits for its turn.
const WRITE_WAIT: Duration = Duration::from_secs(20);
/// For a connection out of the pool.
const ACQUIRE_WAIT: Duration = Duration::from_secs(3);
/// A connection that was not used for so long is asked whether it is there.
const ASK_AFTER: Duration = Duration::from_secs(1);
/// Connections of one gateway to PostgreSQL that write: one grows the logs, one waits for its turn, the others lease.
const WRITERS: u32 = 4;
/// Those that read: however much is read, nobody who writes waits for it.
const READERS: u32 = 6;
/// An open database.
#[derive(Clone)]
pub(super) enum Database {
    /// A file: writers take turns on one connection, readers never wait for them (WAL).
    Sqlite {
        /// The one that writes.
        writer: Writer,
        /// Those that read.
        readers: SqlitePool,
    },
    /// A server, which other gateways may use too.
    Postgres {
        /// Those that write.
        writers: PgPool,
        /// Those that read.
        readers: PgPool,
        /// Of this process one waits for the heads of the logs; the others wait for it, and keep no connection from leases.
        turn: Arc<Semaphore>,
    },
    /// In memory: what the tests' simulation runs on.
    #[cfg(test)]
    Memory(Memory),
}

/// Bytes of a page of SQLite. A commit writes every page that it touches, whole: of larger ones a message alone pays more, and in
/// smaller ones payloads leave more unused. It holds for files that are made anew; others keep theirs.
pub(super) const PAGE_SIZE: u32 = 8192;

/// Called when a connection leads to another database than before, or to one that was restarted.
pub type OnReconnect = Arc<dyn Fn() + Send + Sync>;

impl Database {
    /// Opens the gateway's own database.
    pub(super) async fn open(place: &Place, how: Open, reconnected: OnReconnect) -> Result<Self, StoreError> {
        match place {
            Place::File(path) => sqlite(path, how).await,
            Place::Server(url) => {
                let server = Server::new(url, how, Some(reconnected))?;
                let writers = server.connect(WRITERS).await?;
                history::prepare(&writers, place, how, POSTGRES).await?;
                let (readers, turn) = (server.connect(READERS).await?, Arc::new(Semaphore::new(1)));
                Ok(Database::Postgres { writers, readers, turn })
            }
        }
    }

    /// Whether several gateways may use it at once.
    pub(super) fn is_shared(&self) -> bool {
        matches!(self, Database::Postgres { .. })
    }

    /// Begins the one write transaction; others wait their turn, in this process and in others.
    ///
    /// SQLite: a busy gateway leaves the lock for a moment between two commits only. SQLite's own waiting asks every
    /// tenth of a second and could miss those moments for ever; an operator who cuts off a flooding partner must not. So
    /// it is asked for every millisecond, within a bound. PostgreSQL: whoever holds the heads of the logs writes, which
    /// are locked in ascending id; the heads are what one history needs, so nothing else is locked.
    pub(super) async fn write(&self) -> Result<Connection, StoreError> {
        let Database::Postgres { turn, .. } = self else { return self.lease().await };
        // Never closed.
        let _turn = turn.acquire().await;
        let mut conn = self.lease().await?;
        sql("SELECT id FROM log ORDER BY id FOR UPDATE").fetch_all(&mut conn).await?;
        Ok(conn)
    }

    /// Begins a transaction that grows no log: on PostgreSQL it does not wait for the one that does.
    pub(super) async fn lease(&self) -> Result<Connection, StoreError> {
        #[cfg(test)]
        fault::begin().await?;
        let writer = match self {
            Database::Postgres { writers, .. } => return begin(writers, WRITERS, "BEGIN").await,
            #[cfg(test)]
            Database::Memory(memory) => return Ok(Connection::Memory(memory.begin().await?)),
            Database::Sqlite { writer, .. } => writer,
        };
        let deadline = tokio::time::Instant::now() + WRITE_WAIT;
        loop {
            match writer.begin("BEGIN IMMEDIATE").await {
                Err(error) if is_busy(&error) && tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                other => return Ok(Connection::Writer(other?)),
            }
        }
    }

    /// A consistent view for reading.
    pub(super) async fn read(&self) -> Result<Connection, StoreError> {
        #[cfg(test)]
        fault::read().await?;
        Ok(match self {
            #[cfg(test)]
            Database::Memory(memory) => Connection::Memory(memory.begin().await?),
            Database::Sqlite { readers, .. } => Connection::Sqlite(readers.begin().await?),
            Database::Postgres { readers, .. } => {
                begin(readers, READERS, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?
            }
        })
    }

    pub(super) async fn close(&self) {
        match self {
            // SQLite folds the write-ahead log back into the file when the last connection ends.
            Database::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Database::Postgres { writers, readers, .. } => {
                readers.close().await;
                writers.close().await;
            }
            #[cfg(test)]
            Database::Memory(_) => {}
        }
    }
}

/// Begins a transaction on a server. A connection of the pool that broke since it was used last shows so here, where nothing was done
/// yet: then the next one is tried, so often as there are any.
pub(super) async fn begin(
    pool: &PgPool,
    connections: u32,
    begin: &'static str,
) -> Result<Connection, StoreError> {
    let mut left = connections;
    loop {
        match pool.begin_with(begin).await {
            Err(sqlx::Error::Io(_) | sqlx::Error::Database(_)) if left > 0 => left -= 1,
            other => return Ok(Connection::Postgres(other?)),
        }
    }
}

async fn sqlite(path: &Path, how: Open) -> Result<Database, StoreError> {
    if how != Open::Create && !path.exists() {
        return Err(StoreError::Missing(path.display().to_string()));
    }
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(how == Open::Create)
        .journal_mode(SqliteJournalMode::Wal)
        // FULL: a commit returns after the WAL is on the disk. The receipt waits for it.
        .synchronous(SqliteSynchronous::Full)
        // What is deleted is overwritten, in pages that stay and in pages that become free.
        .pragma("secure_delete", "ON")
        .page_size(PAGE_SIZE)
        // Some 16 MB, then it is folded back; twice as much of the pages that older files have.
        .pragma("wal_autocheckpoint", "2000")
        .foreign_keys(true)
        // Each table's rows come in pieces of seven sizes.
        .statement_cache_capacity(256)
        .busy_timeout(Duration::from_secs(10));
    let writer = Writer::connect(options.clone()).await?;
    let mut held = writer.hold().await?;
    let version: String = sqlx::query("SELECT sqlite_version()").fetch_one(&mut *held).await?.try_get(0)?;
    if !at_least(&version, [3, 51, 3]) {
        return Err(StoreError::Version(version));
    }
    history::prepare_file(&mut held, how, SQLITE).await?;
    drop(held);
    // From here on `write` waits in its own way. Opening, recovery and migration wait in SQLite's.
    let writer = writer.impatient().await?;
    let readers = SqlitePoolOptions::new()
        .max_connections(4)
        .min_connections(0)
        .acquire_timeout(Duration::from_secs(30))
        .connect_lazy_with(options.read_only(true));
    Ok(Database::Sqlite { writer, readers })
}

/// What the newest connection led to, and since when, where others led elsewhere before.
struct Incarnation {
    name: String,
    since: Option<tokio::time::Instant>,
}

/// A PostgreSQL server, and what is known of it.
pub(super) struct Server {
    options: PgConnectOptions,
    known: Arc<Mutex<Option<Incarnation>>>,
    reconnected: Option<OnReconnect>,
}

impl Server {
    /// `reconnected` is called before a connection is used that leads to another database, or to the same one after a restart.
    pub(super) fn new(url: &str, how: Open, reconnected: Option<OnReconnect>) -> Result<Self, StoreError> {
        let options = reach(url)?.application_name("silkgate").options([
            // A commit returns once it is on the disk, of the synchronous standbys too where there are any.
            ("synchronous_commit", "on"),
            // A gateway that is paused in a transaction, or whose machine is gone, must not keep the others waiting. A command
            // may be held up by whoever reads what it prints.
            ("idle_in_transaction_session_timeout", if how == Open::Existing { "0" } else { "10s" }),
            ("lock_timeout", "20s"),
            // A commit that is cancelled while it waits for a standby is reported as done.
            ("statement_timeout", "0"),
            ("tcp_keepalives_idle", "5"),
            ("tcp_keepalives_interval", "2"),
            ("tcp_keepalives_count", "3"),
        ]);
        Ok(Self { options, known: Arc::default(), reconnected })
    }

    /// Connects, with so many connections at most.
    pub(super) async fn connect(&self, connections: u32) -> Result<PgPool, StoreError> {
        let (known, reconnected, current) =
            (self.known.clone(), self.reconnected.clone(), self.known.clone());
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .idle_timeout(None)
            .max_lifetime(None)
            .acquire_timeout(ACQUIRE_WAIT)
            // Of a busy gateway's it would be one more way to the server for each transaction: see `before_acquire`.
            .test_before_acquire(false)
            .after_connect(move |conn, _| {
                let (known, reconnected) = (known.clone(), reconnected.clone());
                Box::pin(async move {
                    if let Some(unfit) = unfit(conn).await? {
                        return Err(sqlx::Error::Configuration(unfit.into()));
                    }
                    let name = incarnation(conn).await?;
                    let is_another = {
                        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
                        let is_another = known.as_ref().is_some_and(|before| before.name != name);
                        if is_another || known.is_none() {
                            let since = is_another.then(tokio::time::Instant::now);
                            *known = Some(Incarnation { name, since });
                        }
                        is_another
                    };
                    if let (true, Some(reconnected)) = (is_another, reconnected) {
                        reconnected();
                    }
                    Ok(())
                })
            })
            .before_acquire(move |conn, connection| {
                // One that is older leads to a server that is no longer the one in use, and may hold what this one has lost.
                let is_older = {
                    let known = current.lock().unwrap_or_else(PoisonError::into_inner);
                    let since = known.as_ref().and_then(|known| known.since);
                    since.is_some_and(|since| connection.age > since.elapsed())
                };
                Box::pin(async move {
                    // Within the time that a connection may take: a machine that is gone without a word is not waited for.
                    if !is_older && connection.idle_for > ASK_AFTER {
                        conn.ping().await?;
                    }
                    Ok(!is_older)
                })
            });
        Ok(pool.connect_with(self.options.clone()).await?)
    }
}

/// How a server is reached.
pub(super) fn reach(url: &str) -> Result<PgConnectOptions, StoreError> {
    let options: PgConnectOptions = url.parse()?;
    if url.contains("sslmode=") || is_near(&options) {
        return Ok(options);
    }
    // The safe choice needs no flag: the server proves its name.
    Ok(options.ssl_mode(PgSslMode::VerifyFull))
}

/// Whether nothing but this machine lies between: a socket, or the loopback.
fn is_near(options: &PgConnectOptions) -> bool {
    options.get_socket().is_some()
        || matches!(options.get_host(), "localhost" | "127.0.0.1" | "::1")
        || options.get_host().starts_with('/')
}

/// Tells a database of a running server from another one, and from the same one after a restart. As long as it is the same,
/// nothing that was committed can be gone.
async fn incarnation(conn: &mut sqlx::PgConnection) -> Result<String, sqlx::Error> {
    let query = "SELECT pg_postmaster_start_time()::text || ' ' || oid FROM pg_database WHERE datname = current_database()";
    conn.fetch_one(query).await?.try_get(0)
}

/// Why a server may not hold a gateway's state.
pub(super) async fn unfit(conn: &mut sqlx::PgConnection) -> Result<Option<String>, sqlx::Error> {
    let row = conn
        .fetch_one(
            "SELECT current_setting('server_version_num')::bigint, current_setting('fsync'),
                    current_setting('full_page_writes'), current_setting('server_encoding'), pg_is_in_recovery()",
        )
        .await?;
    let version: i64 = row.try_get(0)?;
    if version < 130_000 {
        return Ok(Some(format!("PostgreSQL 13 or later is needed, this is {}", version / 10_000)));
    }
    for (column, setting) in [(1, "fsync"), (2, "full_page_writes")] {
        if row.try_get::<String, _>(column)? != "on" {
            return Ok(Some(format!(
                "`{setting}` is off: a power cut would lose messages that were acknowledged; set it to `on`"
            )));
        }
    }
    let encoding: String = row.try_get(3)?;
    if encoding != "UTF8" {
        return Ok(Some(format!("the database's encoding is {encoding}; create it with ENCODING 'UTF8'")));
    }
    let standby: bool = row.try_get(4)?;
    Ok(standby.then(|| "this server is a standby; name the primary".to_owned()))
}

/// SQLITE_BUSY in any of its extended forms, whose last byte is 5: another connection writes or recovers.
fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code()?.parse::<u32>().ok());
    code.is_some_and(|code| code & 0xff == 5)
}

fn at_least(version: &str, floor: [u32; 3]) -> bool {
    let parts: Vec<u32> = version.split('.').map(|part| part.parse().unwrap_or(0)).collect();
    parts.as_slice() >= floor.as_slice()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert!(at_least("3.51.3", [3, 51, 3]) && at_least("3.100.0", [3, 51, 3]));
        assert!(!at_least("3.51.2", [3, 51, 3]) && !at_least("3.9.0", [3, 51, 3]));
    }
}
