//! A database that is made ready beside the one in force, and put into its place at one stroke.
//!
//! With SQLite the stroke is a rename of the file, with PostgreSQL a transaction that renames tables between schemas. Before
//! it the old state is in force, after it the new one, whatever happens in between; what stood there before is kept aside.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

use super::StoreError;
use super::database;
use super::shape::quoted;
use crate::config::{Place, own_like};

/// The schema in which a server's database is made ready.
const SCHEMA: &str = "silkgate_staged";
/// What stands beside a file of SQLite.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

/// A database that is made ready.
pub struct Staged {
    /// Where it goes.
    of: Place,
    /// Where it stands until then.
    place: Place,
}

impl Staged {
    /// Makes room for one; what an attempt that broke off left behind goes.
    pub async fn begin(of: &Place) -> Result<Self, StoreError> {
        let place = match of {
            Place::File(path) => {
                let staged = with(path, ".staged");
                remove(&staged)?;
                private(&staged)?;
                Place::File(staged)
            }
            Place::Server(url) => {
                let text = format!("DROP SCHEMA IF EXISTS {SCHEMA} CASCADE; CREATE SCHEMA {SCHEMA}");
                let mut conn = connect(url).await?;
                sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut conn).await?;
                conn.close().await?;
                let and = if url.contains('?') { '&' } else { '?' };
                Place::Server(format!("{url}{and}options[search_path]={SCHEMA}"))
            }
        };
        Ok(Self { of: of.clone(), place })
    }

    /// Where it stands until it is put in force.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Puts it in force. What was there is kept under a name that ends in `aside`, which is told; None: nothing was there.
    /// Every connection to either must be closed.
    pub async fn put_in_force(self, aside: &str) -> Result<Option<String>, StoreError> {
        match (&self.of, &self.place) {
            (Place::File(path), Place::File(staged)) => {
                let kept = keep_file(path, aside).await?;
                if fs::metadata(with(staged, "-wal")).is_ok_and(|found| found.len() > 0) {
                    return Err(StoreError::InUse(shown(staged)));
                }
                sync(staged)?;
                // Here it becomes safe: until the rename the old file is in force, and after it the new one.
                fs::rename(staged, path).map_err(|error| StoreError::File(shown(path), error))?;
                sync_folder(path)?;
                Ok(kept)
            }
            (Place::Server(url), _) => {
                let mut conn = connect(url).await?;
                let mut tx = conn.begin().await?;
                let kept = set_aside(&mut tx, aside).await?;
                let into = "SELECT current_schema()::text";
                let into: String = sqlx::query_scalar(into).fetch_one(&mut *tx).await?;
                rename(&mut tx, SCHEMA, &into).await?;
                sqlx::query(AssertSqlSafe(format!("DROP SCHEMA {SCHEMA}"))).execute(&mut *tx).await?;
                // Here it becomes safe.
                tx.commit().await?;
                conn.close().await?;
                Ok(kept)
            }
            (Place::File(_), Place::Server(_)) => unreachable_place(),
        }
    }

    /// Takes it away again.
    pub async fn discard(self) -> Result<(), StoreError> {
        match &self.place {
            Place::File(staged) => remove(staged),
            Place::Server(_) => {
                let Place::Server(url) = &self.of else { return unreachable_place() };
                let mut conn = connect(url).await?;
                let text = format!("DROP SCHEMA IF EXISTS {SCHEMA} CASCADE");
                sqlx::query(AssertSqlSafe(text)).execute(&mut conn).await?;
                Ok(conn.close().await?)
            }
        }
    }
}

/// A staged database is always of the kind of the one whose place it takes.
fn unreachable_place<T>() -> Result<T, StoreError> {
    Err(StoreError::Corrupt("a file was staged for a server".into()))
}

/// Takes a database out of the way, so that it is not started by accident; where it is now, for a reader.
pub async fn put_aside(place: &Place, aside: &str) -> Result<Option<String>, StoreError> {
    match place {
        Place::File(path) => {
            let kept = keep_file(path, aside).await?;
            remove(path)?;
            sync_folder(path)?;
            Ok(kept)
        }
        Place::Server(url) => {
            let mut conn = connect(url).await?;
            let mut tx = conn.begin().await?;
            let kept = set_aside(&mut tx, aside).await?;
            tx.commit().await?;
            conn.close().await?;
            Ok(kept)
        }
    }
}

/// Gives a file of SQLite a second name. First its log is folded into it: a write-ahead log that stays behind would be
/// taken for one of the file that comes in its place.
async fn keep_file(path: &Path, aside: &str) -> Result<Option<String>, StoreError> {
    if !path.exists() {
        return Ok(None);
    }
    let kept = with(path, &format!(".{aside}"));
    let named = |error| StoreError::File(shown(&kept), error);
    match fold(path).await {
        Ok(true) => {}
        Ok(false) => return Err(StoreError::InUse(shown(path))),
        // A file that is damaged is in force no more: it is kept with what stands beside it.
        Err(error) if error.damage().is_some() => {}
        Err(error) => return Err(error),
    }
    for beside in BESIDE {
        let (old, new) = (with(path, beside), with(&kept, beside));
        match fs::metadata(&old) {
            Ok(found) if found.len() > 0 => fs::rename(&old, &new).map_err(named)?,
            Ok(_) => fs::remove_file(&old).map_err(named)?,
            Err(_) => {}
        }
    }
    fs::hard_link(path, &kept).map_err(named)?;
    sync_folder(path)?;
    Ok(Some(kept.display().to_string()))
}

/// False where another process reads the file.
async fn fold(path: &Path) -> Result<bool, StoreError> {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(false);
    let mut conn: SqliteConnection = options.connect().await?;
    sqlx::query("SELECT count(*) FROM sqlite_schema").execute(&mut conn).await?;
    let busy = sqlx::query_scalar::<_, i64>("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut conn).await?;
    conn.close().await?;
    Ok(busy == 0)
}

/// Moves the tables of the state in force into a schema of their own.
async fn set_aside(
    tx: &mut sqlx::Transaction<'_, sqlx::Postgres>,
    aside: &str,
) -> Result<Option<String>, StoreError> {
    let begun = "SELECT to_regclass('_sqlx_migrations') IS NOT NULL";
    if !sqlx::query_scalar::<_, bool>(begun).fetch_one(&mut **tx).await? {
        return Ok(None);
    }
    let from: String = sqlx::query_scalar("SELECT current_schema()::text").fetch_one(&mut **tx).await?;
    let schema = format!("silkgate_{}", aside.replace('-', "_"));
    sqlx::query(AssertSqlSafe(format!("CREATE SCHEMA {}", quoted(&schema)))).execute(&mut **tx).await?;
    rename(tx, &from, &schema).await?;
    Ok(Some(format!("schema {schema}")))
}

/// Moves every table from one schema into another; sequences, indexes and constraints go along.
async fn rename(
    tx: &mut sqlx::Transaction<'_, sqlx::Postgres>,
    from: &str,
    into: &str,
) -> Result<(), StoreError> {
    let names = "SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                 WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') ORDER BY c.relname";
    let names: Vec<String> = sqlx::query_scalar(names).bind(from).fetch_all(&mut **tx).await?;
    for name in names {
        let text = format!("ALTER TABLE {}.{} SET SCHEMA {}", quoted(from), quoted(&name), quoted(into));
        sqlx::query(AssertSqlSafe(text)).execute(&mut **tx).await?;
    }
    Ok(())
}

async fn connect(url: &str) -> Result<sqlx::PgConnection, StoreError> {
    let options = database::reach(url)?.application_name("silkgate carries");
    Ok(options.options([("synchronous_commit", "on"), ("lock_timeout", "20s")]).connect().await?)
}

/// The path with something at its end.
pub(super) fn with(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    PathBuf::from(name)
}

/// An empty file that nobody else may read.
pub(super) fn private(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let made = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let owned = made.and_then(|_| own_like(path, &fs::metadata(folder(path))?));
    owned.map_err(|error| StoreError::File(shown(path), error))
}

/// Removes a file of SQLite with what stands beside it.
pub(super) fn remove(path: &Path) -> Result<(), StoreError> {
    let all = BESIDE.iter().map(|beside| with(path, beside)).chain(std::iter::once(path.to_owned()));
    for file in all {
        match fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::File(shown(&file), error));
            }
            _ => {}
        }
    }
    Ok(())
}

fn sync(path: &Path) -> Result<(), StoreError> {
    let synced = File::open(path).and_then(|file| file.sync_all());
    synced.map_err(|error| StoreError::File(shown(path), error))
}

/// A name is on the disk when its folder is.
pub(super) fn sync_folder(path: &Path) -> Result<(), StoreError> {
    sync(folder(path))
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
