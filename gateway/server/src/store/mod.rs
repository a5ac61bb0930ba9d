//! The database, SQLite or PostgreSQL: connections, transactions and migrations. Each table's SQL stands in one file
//! below; no SQL stands anywhere else.

pub mod archive;
pub mod bell;
mod bulk;
pub mod carry;
pub mod courier;
mod database;
pub mod delivery;
pub mod duty;
pub mod erasure;
#[cfg(test)]
mod fault;
mod history;
mod inquiry;
pub mod kept;
pub mod key_exchange;
pub mod keys;
pub mod ledger;
pub mod matching;
#[cfg(test)]
pub mod memory;
pub mod message;
pub mod opening;
pub mod outbox;
pub mod partner;
pub mod payload;
pub mod proof;
pub mod proposal;
pub mod push;
pub mod question;
pub mod reading;
pub mod record;
pub mod revocation;
mod script;
mod seal;
pub mod search;
mod shape;
pub mod sound;
mod sql;
pub mod staged;
pub mod syslog;
pub mod tally;
#[cfg(test)]
mod tests;
pub mod timestamp;
mod turn;
mod walk;
pub mod witness;

use database::Database;
use keys::KeyStore;

pub use database::OnReconnect;
pub use script::Script;
pub use sql::Connection;

use crate::clock;
use crate::config::Place;

/// Why the database could not do its part.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// From the database.
    #[error("database: {0}")]
    Sql(#[from] sqlx::Error),
    /// A migration failed.
    #[error("database migration: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// There is a gateway's state already.
    #[error("this database holds a gateway's state already; `silkgate init` needs an empty one")]
    Taken,
    /// There is no database.
    #[error("there is no database at {0}; run `silkgate init` first, or pick the gateway's home with -d")]
    Missing(String),
    /// SQLite before 3.51.3 can corrupt a WAL database.
    #[error("SQLite {0} is older than 3.51.3, which mends a fault that corrupts databases")]
    Version(String),
    /// A log has fewer entries than this process has seen committed.
    #[error("{0} holds less than was committed to it: another database was put in place")]
    Backwards(String),
    /// A log key does not sign: what holds it is away. Nothing is written without its signature.
    #[error("the log key does not sign: {0}")]
    Unsigned(String),
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
        /// Whether its day key was destroyed, as retention does.
        destroyed: bool,
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
        "the database has schema {found}, this program needs {needed}; start the gateway once to migrate it, or run \
         `silkgate upgrade`"
    )]
    Schema {
        /// Newest migration applied.
        found: i64,
        /// Newest migration known.
        needed: i64,
    },
    /// The store was written by a newer version of the program.
    #[error(
        "the database has schema {found}, which is newer than this program ({needed}): it is not touched. Run the newer \
         program, or restore a backup from before the upgrade"
    )]
    Newer {
        /// Newest migration applied.
        found: i64,
        /// Newest migration known.
        needed: i64,
    },
    /// There is no such version of the schema in that kind of database.
    #[error(
        "schema {0} never was one of PostgreSQL: bring the state to a file first, run `silkgate upgrade`, then move it"
    )]
    TooOld(i64),
    /// Payloads in the clear.
    #[error(
        "payloads of an older version still stand in the clear: start the gateway once, which encrypts them"
    )]
    Plain,
    /// What was written is not what was read.
    #[error("{0}: what was written is not what was read; the disk or the memory may be at fault")]
    Differs(String),
    /// A file beside the database.
    #[error("{0}: {1}")]
    File(String, std::io::Error),
    /// A file that must be alone.
    #[error("{0}: another process has it open; end every command on this home and repeat")]
    InUse(String),
    /// What is said to be a backup is none, or not of this gateway.
    #[error("{0}")]
    NoBackup(String),
}

impl StoreError {
    /// Whether the database refused a statement, and can be reached.
    pub fn is_refusal(&self) -> bool {
        matches!(self, StoreError::Sql(sqlx::Error::Database(_)))
    }

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

/// An open store.
#[derive(Clone)]
pub struct Store {
    database: Database,
    keys: KeyStore,
    /// Tells this process from others on the same database.
    process: [u8; 16],
}

/// Whether opening may change the schema.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// Make the tables; there must be none (`init`).
    Create,
    /// Migrate what there is (`serve`).
    Migrate,
    /// Leave the schema as it is.
    Existing,
}

impl Store {
    /// Opens the database at `place`, and the key store. `reconnected` is called when a lost connection is made anew.
    pub async fn open(
        place: &Place,
        key_store: &Place,
        how: Open,
        reconnected: OnReconnect,
    ) -> Result<Self, StoreError> {
        let fresh = how == Open::Create;
        let database = Database::open(place, how, reconnected).await?;
        let needed = payload::any_encrypted(&mut database.read().await?).await?;
        let keys = KeyStore::open(key_store, how, needed).await?;
        let store = Self { database, keys, process: clock::random() };
        if fresh {
            store.note_encrypted().await?;
        }
        if how == Open::Migrate && kept::is_to_begin(&mut store.read().await?).await? {
            let mut tx = store.write().await?;
            kept::begin(&mut tx).await?;
            tx.commit().await?;
        }
        Ok(store)
    }

    /// A store in memory, as another process opens it.
    #[cfg(test)]
    pub fn in_memory(data: &memory::Memory, keys: &memory::Memory) -> Self {
        let keys = KeyStore::in_memory(keys.clone());
        Self { database: Database::Memory(data.clone()), keys, process: clock::random() }
    }

    /// The keys that payloads are encrypted under.
    pub fn keys(&self) -> &KeyStore {
        &self.keys
    }

    /// Whether several gateways may use it at once.
    pub fn is_shared(&self) -> bool {
        self.database.is_shared()
    }

    /// Begins the one write transaction; others wait their turn, in this process and in others.
    pub async fn write(&self) -> Result<Connection, StoreError> {
        self.database.write().await
    }

    /// Begins a transaction that grows no log: to lease what is to be done.
    pub async fn lease(&self) -> Result<Connection, StoreError> {
        self.database.lease().await
    }

    /// Whether it is this process that has a duty, for the next `ms`: with a file it always is.
    pub async fn has_duty(&self, name: &str, ms: i64) -> Result<bool, StoreError> {
        if !self.database.is_shared() {
            return Ok(true);
        }
        let now = clock::now();
        let mut tx = self.lease().await?;
        let has = duty::take(&mut tx, name, &self.process, now, now.plus_ms(ms)).await?;
        tx.commit().await?;
        Ok(has)
    }

    /// Says, for the next `ms`, that this gateway is here with its key store, and lets every listener hear that its line is whole.
    /// False where another is here with another one: neither could read what the other writes.
    pub async fn claim_keys(&self, ms: i64) -> Result<bool, StoreError> {
        if !self.database.is_shared() {
            return Ok(true);
        }
        let (identity, now) = (self.keys.identity().await?, clock::now());
        let mut tx = self.lease().await?;
        let one = duty::take(&mut tx, "key store", &identity, now, now.plus_ms(ms)).await?;
        bell::alive(&mut tx).await?;
        tx.commit().await?;
        Ok(one)
    }

    /// Gives up every duty, before the process ends.
    pub async fn drop_duties(&self) -> Result<(), StoreError> {
        if self.database.is_shared() {
            let mut tx = self.lease().await?;
            duty::drop_all(&mut tx, &self.process).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// A consistent view for reading.
    pub async fn read(&self) -> Result<Connection, StoreError> {
        self.database.read().await
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.database.close().await;
        self.keys.close().await;
    }
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
