//! The key store: table `day_key` in a database of its own, so that no backup of the data holds a key: a file, or for several
//! gateways on one database a second database.
//!
//! A key is on the disk before a payload under it is committed. Keys are made inside the write transaction that uses them, by gateways
//! and by `silkgate courier import`; only gateways destroy them, and no write transaction is under way then.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use silkgate_message::instant::Instant;
use silkgate_message::jws::Digest;
use sqlx::postgres::PgPool;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use zeroize::Zeroizing;

use super::database::{self, Server};
use super::history::{self, POSTGRES_KEYS};
use super::seal::Key;
use super::sql::{Connection, sql};
use super::{Open, StoreError, bytes32};
#[cfg(test)]
use super::{fault, memory::Memory};
use crate::clock;
use crate::config::Place;

/// Connections to a server's key store.
const KEY_CONNECTIONS: u32 = 4;
/// Keys held in memory, at most: a key for each day of five years and two partners.
const KNOWN_MAX: usize = 4096;

/// A key that wraps the keys of one partner's payloads of one retention day.
#[derive(Clone)]
pub struct DayKey {
    /// Its id, random.
    pub id: i64,
    /// The partner's state.
    pub partner: String,
    /// The retention day: days since 1970, UTC.
    pub day: i64,
    pub(super) key: Key,
}

/// What became of a key.
pub enum Found {
    /// It is there.
    Key(DayKey),
    /// It was destroyed then.
    Destroyed(Instant),
    /// The key store never held it, or lost it.
    Unknown,
}

/// Keys in memory.
#[derive(Default)]
struct Known {
    by_id: HashMap<i64, DayKey>,
    by_day: HashMap<(String, i64), i64>,
}

impl Known {
    fn of_day(&self, partner: &str, day: i64) -> Option<DayKey> {
        self.by_id.get(self.by_day.get(&(partner.to_owned(), day))?).cloned()
    }

    fn remember(&mut self, key: &DayKey) {
        if self.by_id.len() >= KNOWN_MAX {
            self.by_id.clear();
            self.by_day.clear();
        }
        self.by_id.insert(key.id, key.clone());
        self.by_day.insert((key.partner.clone(), key.day), key.id);
    }

    fn forget(&mut self, id: i64) {
        if let Some(key) = self.by_id.remove(&id) {
            self.by_day.remove(&(key.partner, key.day));
        }
    }
}

/// The key store of a home.
#[derive(Clone)]
pub struct KeyStore {
    /// For a reader.
    shown: String,
    /// None where there is no key store yet, for commands on a home of an older version.
    pool: Option<Pool>,
    known: Arc<Mutex<Known>>,
    /// Whether something that was destroyed may still stand in a former version of its row.
    unscrubbed: Arc<AtomicBool>,
}

#[derive(Clone)]
enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
    #[cfg(test)]
    Memory(Memory),
}

impl KeyStore {
    /// Opens the key store. `needed`: whether payloads under its keys exist; then a missing file is never made anew, since
    /// that would look as if all were well.
    pub(super) async fn open(place: &Place, how: Open, needed: bool) -> Result<Self, StoreError> {
        // A key store that was put back may lack a key that is known here: nothing new may go under it.
        let known: Arc<Mutex<Known>> = Arc::default();
        let pool = match place {
            Place::File(path) => file(path, how, needed).await?.map(Pool::Sqlite),
            Place::Server(url) => {
                let forgetting = known.clone();
                let forget =
                    move || *forgetting.lock().unwrap_or_else(PoisonError::into_inner) = Known::default();
                let pool = Server::new(url, how, Some(Arc::new(forget)))?.connect(KEY_CONNECTIONS).await?;
                history::prepare(&pool, place, how, POSTGRES_KEYS).await?;
                Some(Pool::Postgres(pool))
            }
        };
        // A process before may have died between the two.
        let unscrubbed = Arc::new(AtomicBool::new(true));
        Ok(Self { shown: place.to_string(), pool, known, unscrubbed })
    }

    /// The tests' key store.
    #[cfg(test)]
    pub(super) fn in_memory(memory: Memory) -> Self {
        Self {
            shown: "memory".to_owned(),
            pool: Some(Pool::Memory(memory)),
            known: Arc::default(),
            unscrubbed: Arc::default(),
        }
    }

    /// Tells this key store from others: gateways on one database must have one.
    pub(super) async fn identity(&self) -> Result<Vec<u8>, StoreError> {
        let text = match self.pool()? {
            Pool::Postgres(_) => {
                sql("SELECT (SELECT system_identifier FROM pg_control_system()) || ' ' || oid
                     FROM pg_database WHERE datname = current_database()")
                .value(&mut self.reading().await?)
                .await?
            }
            Pool::Sqlite(_) => {
                let unusable = |error| StoreError::KeysUnusable(self.shown.clone(), error);
                let found = std::fs::metadata(&self.shown).map_err(unusable)?;
                let machine = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
                format!("{machine} {} {} {}", self.shown, found.dev(), found.ino())
            }
            #[cfg(test)]
            Pool::Memory(_) => self.shown.clone(),
        };
        Ok(Digest::of(text.as_bytes()).0.to_vec())
    }

    /// The keys of these partners and days, in order; those that are not there yet are made, and are on the disk when
    /// this returns. Call inside the write transaction that uses them: from the making of a key to the commit of what it
    /// wraps none is destroyed.
    pub(super) async fn ensure(&self, wanted: &[(&str, i64)]) -> Result<Vec<DayKey>, StoreError> {
        let mut keys = Vec::with_capacity(wanted.len());
        let today = clock::now().day();
        for (partner, day) in wanted {
            // A key whose day has come may have been destroyed by another gateway since it was read here.
            let known = self.lock().of_day(partner, *day).filter(|_| *day > today + 1);
            keys.push(match known {
                Some(key) => key,
                None => self.make(partner, *day).await?,
            });
        }
        Ok(keys)
    }

    async fn make(&self, partner: &str, day: i64) -> Result<DayKey, StoreError> {
        let mut tx = self.writing().await?;
        // On a server another gateway may have found it unused, and be about to destroy it: either that fails, or this finds none.
        let find = if tx.is_shared() {
            "UPDATE day_key SET made_ms = CASE WHEN made_ms < $3 THEN $3 ELSE made_ms + 1 END
             WHERE partner = $1 AND day = $2 AND destroyed_ms IS NULL RETURNING id, key"
        } else {
            "SELECT id, key FROM day_key WHERE partner = $1 AND day = $2 AND destroyed_ms IS NULL AND $3 > 0"
        };
        let query = sql(find).bind(partner.to_owned()).bind(day).bind(clock::now().0);
        let key = match query.fetch_optional(&mut tx).await? {
            Some(row) => {
                let key = Zeroizing::new(bytes32(row.get(1)?, "day_key.key")?);
                DayKey { id: row.get(0)?, partner: partner.to_owned(), day, key }
            }
            None => {
                let id = i64::from_be_bytes(clock::random()) & i64::MAX;
                let key = DayKey {
                    id: id.max(1),
                    partner: partner.to_owned(),
                    day,
                    key: Zeroizing::new(clock::random()),
                };
                sql("INSERT INTO day_key (id, partner, day, key, made_ms) VALUES ($1, $2, $3, $4, $5)")
                    .bind(key.id)
                    .bind(partner.to_owned())
                    .bind(day)
                    .bind(key.key.to_vec())
                    .bind(clock::now().0)
                    .execute(&mut tx)
                    .await?;
                key
            }
        };
        // Durable before its first use.
        tx.commit().await?;
        self.lock().remember(&key);
        Ok(key)
    }

    /// The key of that id.
    pub(super) async fn find(&self, id: i64) -> Result<Found, StoreError> {
        if let Some(key) = self.lock().by_id.get(&id) {
            return Ok(Found::Key(key.clone()));
        }
        if self.pool.is_none() {
            return Ok(Found::Unknown);
        }
        let query = sql("SELECT partner, day, key, destroyed_ms FROM day_key WHERE id = $1").bind(id);
        let Some(row) = query.fetch_optional(&mut self.reading().await?).await? else {
            return Ok(Found::Unknown);
        };
        if let Some(at) = row.get::<Option<i64>>(3)? {
            return Ok(Found::Destroyed(Instant(at)));
        }
        let key = Zeroizing::new(bytes32(row.get(2)?, "day_key.key")?);
        let key = DayKey { id, partner: row.get(0)?, day: row.get(1)?, key };
        self.lock().remember(&key);
        Ok(Found::Key(key))
    }

    /// The keys that are not destroyed, of days up to `day`, the earliest first: id and partner's state.
    pub async fn live(&self, day: i64) -> Result<Vec<(i64, String)>, StoreError> {
        let query =
            sql("SELECT id, partner FROM day_key WHERE destroyed_ms IS NULL AND day <= $1 ORDER BY day, id");
        let rows = query.bind(day).fetch_all(&mut self.reading().await?).await?;
        rows.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect()
    }

    /// The keys that were destroyed: id and partner's state.
    pub async fn destroyed(&self) -> Result<Vec<(i64, String)>, StoreError> {
        let query = sql("SELECT id, partner FROM day_key WHERE destroyed_ms IS NOT NULL");
        let rows = query.fetch_all(&mut self.reading().await?).await?;
        rows.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect()
    }

    /// Whether it is still there and can be read: an open file that was taken away would take new keys with it.
    pub async fn probe(&self) -> Result<(), StoreError> {
        if let Pool::Sqlite(pool) = self.pool()?
            && !tokio::fs::try_exists(pool.connect_options().get_filename()).await.unwrap_or(false)
        {
            return Err(StoreError::KeysMissing(self.shown.clone()));
        }
        let query = sql("SELECT count(*) FROM day_key WHERE id = 0");
        query.fetch_all(&mut self.reading().await?).await?;
        Ok(())
    }

    /// When a key was made, or on a server last taken for new payloads: what [`Self::destroy`] must see unchanged.
    pub(super) async fn taken(&self, id: i64) -> Result<Option<i64>, StoreError> {
        let query = sql("SELECT made_ms FROM day_key WHERE id = $1 AND destroyed_ms IS NULL").bind(id);
        query.first(&mut self.reading().await?).await
    }

    /// Overwrites a key that was last taken at `taken`; its row stays. False where it was taken since. Only for one that was seen unused
    /// after that was read, inside a write transaction: should this process have been paused meanwhile, and another gateway write, that
    /// one has taken the key.
    pub(super) async fn destroy(&self, id: i64, taken: i64, at: Instant) -> Result<bool, StoreError> {
        self.lock().forget(id);
        let mut tx = self.writing().await?;
        let query = sql(
            "UPDATE day_key SET key = $1, destroyed_ms = $2 WHERE id = $3 AND made_ms = $4 AND destroyed_ms IS NULL",
        );
        let destroyed = query.bind(vec![0; 32]).bind(at.0).bind(id).bind(taken).execute(&mut tx).await?;
        self.unscrubbed.store(true, Ordering::SeqCst);
        tx.commit().await?;
        Ok(destroyed > 0)
    }

    /// Leaves nothing of what was destroyed. A file overwrites it at once; PostgreSQL keeps a row's former version until the table is
    /// written anew.
    pub(super) async fn scrub(&self) -> Result<(), StoreError> {
        if let Some(Pool::Postgres(pool)) = &self.pool
            && self.unscrubbed.swap(false, Ordering::SeqCst)
            && let Err(error) = sqlx::query("VACUUM FULL day_key").execute(pool).await
        {
            self.unscrubbed.store(true, Ordering::SeqCst);
            return Err(error.into());
        }
        Ok(())
    }

    pub(super) async fn close(&self) {
        match &self.pool {
            Some(Pool::Sqlite(pool)) => pool.close().await,
            Some(Pool::Postgres(pool)) => pool.close().await,
            #[cfg(test)]
            Some(Pool::Memory(_)) => {}
            None => {}
        }
    }

    async fn reading(&self) -> Result<Connection, StoreError> {
        Ok(match self.pool()? {
            Pool::Sqlite(pool) => Connection::Sqlite(pool.begin().await?),
            Pool::Postgres(pool) => database::begin(pool, KEY_CONNECTIONS, "BEGIN").await?,
            #[cfg(test)]
            Pool::Memory(memory) => Connection::Memory(memory.begin().await?),
        })
    }

    async fn writing(&self) -> Result<Connection, StoreError> {
        #[cfg(test)]
        fault::begin().await?;
        match self.pool()? {
            Pool::Sqlite(pool) => Ok(Connection::Sqlite(pool.begin_with("BEGIN IMMEDIATE").await?)),
            _ => self.reading().await,
        }
    }

    fn pool(&self) -> Result<&Pool, StoreError> {
        self.pool.as_ref().ok_or_else(|| StoreError::KeysMissing(self.shown.clone()))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        // Nothing panics while the lock is held; a poisoned map is still whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens the key store in a file; None where there is none yet and `how` makes none.
async fn file(path: &Path, how: Open, needed: bool) -> Result<Option<SqlitePool>, StoreError> {
    let shown = || path.display().to_string();
    let found = std::fs::metadata(path).ok();
    if found.as_ref().is_some_and(|found| found.permissions().mode() & 0o077 != 0) {
        return Err(StoreError::KeysExposed(shown()));
    }
    match (found.map(|found| found.len()), how) {
        (None, Open::Migrate) if needed => return Err(StoreError::KeysMissing(shown())),
        (None, Open::Existing) | (Some(0), Open::Existing) => return Ok(None),
        (None, _) => create(path).map_err(|error| StoreError::KeysUnusable(shown(), error))?,
        (Some(_), _) => {}
    }
    let options = SqliteConnectOptions::new()
        .filename(path)
        // One file without a log beside it; a commit returns after file and folder are on the disk.
        .journal_mode(SqliteJournalMode::Delete)
        .synchronous(SqliteSynchronous::Extra)
        .pragma("secure_delete", "ON")
        .busy_timeout(Duration::from_secs(10));
    let pool = SqlitePoolOptions::new().max_connections(2).connect_with(options).await?;
    history::prepare_keys(&pool, how).await?;
    Ok(Some(pool))
}

/// An empty file, private from the first byte on.
fn create(path: &Path) -> std::io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.sync_all()
}
