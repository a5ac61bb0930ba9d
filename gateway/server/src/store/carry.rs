//! A whole database, read or written table by table: what moves a state from one kind of database to the other, backs it up
//! and restores it. There is one mechanism, so that each of the three is tried whenever another one is.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, Row as _};
use tokio::sync::Semaphore;

use super::bulk::insert_all;
use super::database::{self, Database};
use super::history;
use super::payload::{is_encrypted, note_encrypted};
use super::shape::{self, Table, quoted};
use super::sql::sql;
use super::turn::Writer;
use super::walk::{Summing, Walk};
use super::{Connection, StoreError};
use crate::config::Place;

pub use super::walk::Sum;

/// One of the two databases of a gateway.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// Logs, messages, encrypted payloads, settings.
    Data,
    /// The keys that the payloads are encrypted under.
    Keys,
}

impl Part {
    /// The newest version of its schema.
    pub fn newest(self) -> i64 {
        history::newest(self)
    }

    /// As a backup file calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Part::Data => "data",
            Part::Keys => "keys",
        }
    }
}

/// How far a table was read.
pub struct Reached<'a> {
    /// The table.
    pub table: &'a str,
    /// Rows read.
    pub rows: u64,
    /// Of so many.
    pub of: u64,
}

/// Called as rows are read.
pub type Observe<'a> = &'a mut (dyn FnMut(&Reached<'_>) + Send);

/// A migration that was not applied yet.
pub struct Step {
    /// Its version.
    pub version: i64,
    /// Its name.
    pub name: &'static str,
    /// What its first words say that it is about.
    pub what: String,
}

/// What is to be done to a database of that version, oldest first.
pub fn pending(part: Part, place: &Place, found: i64) -> Vec<Step> {
    let later = history::history(part, place).iter().filter(|(version, _, _)| *version > found);
    later.map(|(version, name, text)| Step { version: *version, name, what: first_words(text) }).collect()
}

/// The first sentence of a migration's first comment.
fn first_words(text: &str) -> String {
    let comment = text.lines().skip_while(|line| line.trim().is_empty());
    let comment =
        comment.map_while(|line| line.strip_prefix("--")).map(str::trim).collect::<Vec<_>>().join(" ");
    match comment.find(". ") {
        Some(end) => comment[..=end].to_owned(),
        None => comment,
    }
}

/// A database, opened to be read or written whole.
pub struct Side {
    database: Database,
    part: Part,
}

impl Side {
    /// What there is, of any version that this program knows; nothing of it is changed.
    pub async fn open(place: &Place, part: Part) -> Result<Self, StoreError> {
        let side = Self { database: existing(place).await?, part };
        let (found, newest) = (side.version().await?, history::newest(part));
        if found == 0 {
            return Err(StoreError::Missing(place.to_string()));
        }
        if found > newest {
            return Err(StoreError::Newer { found, needed: newest });
        }
        Ok(side)
    }

    /// A backup file, which nobody writes.
    pub(super) async fn open_file(path: &Path, part: Part) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new().filename(path).immutable(true).read_only(true);
        Ok(Self { database: file(options).await?, part })
    }

    /// An empty database with the schema of that version. A file is not on the disk before [`Side::close`]: until then
    /// it is worth nothing, and nothing is spent on keeping it whole.
    pub async fn create(place: &Place, part: Part, version: i64) -> Result<Self, StoreError> {
        let database = match place {
            Place::File(path) => {
                let options = SqliteConnectOptions::new()
                    .filename(path)
                    .journal_mode(SqliteJournalMode::Off)
                    .synchronous(SqliteSynchronous::Off)
                    .page_size(database::PAGE_SIZE);
                file(options).await?
            }
            Place::Server(url) => server(url).await?,
        };
        history::migrate_to(&database, part, version).await?;
        Ok(Self { database, part })
    }

    /// The newest migration applied to a database, also of a version that this program does not know.
    pub async fn found(place: &Place) -> Result<i64, StoreError> {
        let database = existing(place).await?;
        let found = history::version(&database).await?;
        database.close().await;
        Ok(found)
    }

    /// Whether nothing stands there yet.
    pub async fn is_free(place: &Place) -> Result<bool, StoreError> {
        let url = match place {
            Place::File(path) => return Ok(!path.exists()),
            Place::Server(url) => url,
        };
        let side = Self { database: server(url).await?, part: Part::Data };
        let free = side.version().await? == 0 && shape::names(&mut side.read().await?).await?.is_empty();
        side.close(None).await?;
        Ok(free)
    }

    /// The newest migration applied; 0: there is no state of a gateway.
    pub async fn version(&self) -> Result<i64, StoreError> {
        history::version(&self.database).await
    }

    /// A consistent view.
    pub(super) async fn read(&self) -> Result<Connection, StoreError> {
        self.database.read().await
    }

    /// The same, and until it ends nobody writes.
    pub async fn hold(&self) -> Result<Connection, StoreError> {
        let mut conn = self.database.lease().await?;
        if conn.is_shared() {
            // Whoever grows a log or makes a key waits for this; readers do not.
            let table = if self.part == Part::Data { "log" } else { "day_key" };
            let text = AssertSqlSafe(format!("LOCK TABLE {table} IN EXCLUSIVE MODE"));
            sql(text).execute(&mut conn).await?;
        }
        Ok(conn)
    }

    /// Other connections of gateways or commands to the same server's database; none to a file.
    pub async fn others(place: &Place) -> Result<i64, StoreError> {
        let Place::Server(url) = place else { return Ok(0) };
        let pool = pool(url).await?;
        let query = "SELECT count(*) FROM pg_stat_activity
                     WHERE datname = current_database() AND application_name = 'silkgate'";
        let found = sqlx::query(query).fetch_one(&pool).await?.try_get(0)?;
        pool.close().await;
        Ok(found)
    }

    /// Writes into this empty database what `from` holds, in one transaction, and reads it again: what stands here is
    /// what was read there, or an error comes and nothing stands here.
    pub async fn fill(&self, from: &mut Connection, observe: Observe<'_>) -> Result<Vec<Sum>, StoreError> {
        let encrypted = self.part == Part::Keys || is_encrypted(from).await?;
        let mut to = self.database.lease().await?;
        if to.is_shared() && !encrypted {
            return Err(StoreError::Plain);
        }
        let read = copy(from, &mut to, observe).await?;
        let written = sums(&mut to, observe).await?;
        if let Some(table) = first_difference(&read, &written) {
            return Err(StoreError::Differs(table));
        }
        to.commit().await?;
        if encrypted && self.part == Part::Data {
            note_encrypted(&self.database).await?;
        }
        Ok(written)
    }

    /// Writes what a backup file tells about itself.
    pub(super) async fn write(&self) -> Result<Connection, StoreError> {
        self.database.lease().await
    }

    /// Ends every connection; a file that was made is on the disk then.
    pub async fn close(self, made: Option<&Path>) -> Result<(), StoreError> {
        self.database.close().await;
        if let Some(path) = made {
            let synced = std::fs::File::open(path).and_then(|file| file.sync_all());
            synced.map_err(|error| StoreError::File(path.display().to_string(), error))?;
        }
        Ok(())
    }
}

/// A database that is there, whatever stands in it.
async fn existing(place: &Place) -> Result<Database, StoreError> {
    match place {
        Place::File(path) if !path.exists() => Err(StoreError::Missing(path.display().to_string())),
        Place::File(path) => file(SqliteConnectOptions::new().filename(path)).await,
        Place::Server(url) => server(url).await,
    }
}

async fn file(options: SqliteConnectOptions) -> Result<Database, StoreError> {
    let options = options.create_if_missing(false).busy_timeout(Duration::from_secs(20));
    let writer = Writer::connect(options.clone()).await?;
    let readers = SqlitePoolOptions::new().max_connections(1).connect_lazy_with(options);
    Ok(Database::Sqlite { writer, readers })
}

async fn server(url: &str) -> Result<Database, StoreError> {
    let pool = pool(url).await?;
    Ok(Database::Postgres { writers: pool.clone(), readers: pool, turn: Arc::new(Semaphore::new(1)) })
}

async fn pool(url: &str) -> Result<PgPool, StoreError> {
    // Under a name of its own: whoever looks for gateways must not find us. A transaction may wait here for the other
    // database, the audit and the partners; so nothing ends it while it idles.
    let options = database::reach(url)?.application_name("silkgate carries").options([
        ("synchronous_commit", "on"),
        ("idle_in_transaction_session_timeout", "0"),
        ("lock_timeout", "20s"),
        ("statement_timeout", "0"),
    ]);
    let pool = PgPoolOptions::new().max_connections(2).after_connect(|conn, _| {
        Box::pin(async move {
            match database::unfit(conn).await? {
                Some(unfit) => Err(sqlx::Error::Configuration(unfit.into())),
                None => Ok(()),
            }
        })
    });
    Ok(pool.connect_with(options).await?)
}

/// The first table of which two databases do not tell the same.
pub(super) fn first_difference(one: &[Sum], other: &[Sum]) -> Option<String> {
    let stands = |sum: &&Sum, among: &[Sum]| among.contains(sum);
    let differs = one.iter().find(|sum| !stands(sum, other)).or(other.iter().find(|sum| !stands(sum, one)));
    differs.map(|sum| sum.table.clone())
}

/// Copies every table.
async fn copy(
    from: &mut Connection,
    to: &mut Connection,
    observe: Observe<'_>,
) -> Result<Vec<Sum>, StoreError> {
    let tables = shape::tables(from).await?;
    let theirs = shape::tables(to).await?;
    let alike = tables.iter().all(|table| theirs.iter().any(|other| table.is_like(other)));
    if !alike || tables.len() != theirs.len() {
        return Err(StoreError::Corrupt("the two databases do not have the same tables".into()));
    }
    // What the migrations themselves put there.
    for table in theirs.iter().rev() {
        let text = format!("DELETE FROM {}", quoted(&table.name));
        sql(AssertSqlSafe(text)).execute(to).await?;
    }
    let mut sums = Vec::with_capacity(tables.len());
    for table in &tables {
        let of = shape::count(from, table).await?;
        let head = format!("INSERT INTO {} ({})", quoted(&table.name), table.columns());
        let (mut walk, mut sum) = (Walk::new(table), Summing::new(table));
        loop {
            let page = walk.next(from).await?;
            if page.is_empty() {
                break;
            }
            page.iter().for_each(|row| sum.add(row));
            insert_all(to, &head, "", page).await?;
            observe(&Reached { table: &table.name, rows: sum.rows, of });
        }
        if sum.rows != of {
            // A key that is NULL, or an index that does not fit its table.
            let what = format!("{}: {of} rows are counted, {} are found by their keys", table.name, sum.rows);
            return Err(StoreError::Corrupt(what));
        }
        sums.push(sum.done());
    }
    for table in &theirs {
        number_on(to, table).await?;
    }
    sums.sort_by(|a, b| a.table.cmp(&b.table));
    Ok(sums)
}

/// Lets PostgreSQL number rows from behind those that are there.
async fn number_on(conn: &mut Connection, table: &Table) -> Result<(), StoreError> {
    for field in table.numbered() {
        let (name, column) = (quoted(&table.name), quoted(&field.name));
        let text = format!(
            "SELECT setval(pg_get_serial_sequence($1, $2), coalesce(max({column}), 1), max({column}) IS NOT NULL) FROM {name}"
        );
        let query = sql(AssertSqlSafe(text)).bind(name).bind(field.name.as_str());
        let _: i64 = query.value(conn).await?;
    }
    Ok(())
}

/// What every table holds, by name.
pub(super) async fn sums(conn: &mut Connection, observe: Observe<'_>) -> Result<Vec<Sum>, StoreError> {
    let mut sums = Vec::new();
    for table in shape::tables(conn).await? {
        let of = shape::count(conn, &table).await?;
        let (mut walk, mut sum) = (Walk::new(&table), Summing::new(&table));
        loop {
            let page = walk.next(conn).await?;
            if page.is_empty() {
                break;
            }
            page.iter().for_each(|row| sum.add(row));
            observe(&Reached { table: &table.name, rows: sum.rows, of });
        }
        sums.push(sum.done());
    }
    sums.sort_by(|a, b| a.table.cmp(&b.table));
    Ok(sums)
}
