//! Backup files: a whole database in one file, of either kind.
//!
//! A backup is a database of SQLite with the state's own tables, three more that tell about it, and behind its last page a
//! line with the checksum of everything before. SQLite does not mind the line, so a backup can be looked into.

use std::fs::{self, File, OpenOptions};
use std::io::{BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use ring::digest::{Context, SHA256};
use silkgate_message::instant::Instant;

use super::carry::{self, Observe, Part, Side, Sum};
use super::shape::ABOUT;
use super::sql::sql;
use super::staged::{remove, sync_folder, with};
use super::{Connection, StoreError};
use crate::config::Place;

/// What a backup is called, and its form.
const FORMAT: &str = "silkgate backup 1";
/// Before the checksum in the last line.
const LINE: &str = "\nsilkgate backup 1, sha256 of all bytes before this line: ";
/// The line's length: the words, 64 digits, a line's end.
const LINE_LEN: u64 = LINE.len() as u64 + 65;

/// What a backup tells about itself.
#[derive(Clone, Debug)]
pub struct About {
    /// Which of the two databases.
    pub part: Part,
    /// The version of its schema.
    pub schema: i64,
    /// When its view was taken.
    pub at: Instant,
    /// The program that made it.
    pub program: String,
    /// The house log of the gateway: whose backup it is.
    pub origin: String,
    /// What each table holds.
    pub sums: Vec<Sum>,
    /// Files of the home, by their names in it.
    pub files: Vec<(String, Vec<u8>)>,
}

/// Writes a backup of `side` to `path`, which must not exist. `about.sums` and `about.schema` are taken from what is written.
pub async fn write(
    path: &Path,
    side: &Side,
    about: About,
    observe: Observe<'_>,
) -> Result<About, StoreError> {
    let failed = |error| StoreError::File(path.display().to_string(), error);
    if path.exists() {
        return Err(failed(std::io::ErrorKind::AlreadyExists.into()));
    }
    let part = with(path, ".part");
    let options =
        || OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&part);
    let lock = options().map_err(failed)?;
    lock.try_lock().map_err(|_| StoreError::InUse(part.display().to_string()))?;
    // What one that broke off left behind.
    lock.set_len(0).map_err(failed)?;
    let written = fill(&part, side, about, observe).await;
    let finished = written.and_then(|about| {
        seal(&part).map_err(failed)?;
        fs::rename(&part, path).map_err(failed)?;
        sync_folder(path)?;
        Ok(about)
    });
    if finished.is_err() {
        let _ = remove(&part);
    }
    finished
}

async fn fill(path: &Path, side: &Side, mut about: About, observe: Observe<'_>) -> Result<About, StoreError> {
    about.schema = side.version().await?;
    let copy = Side::create(&Place::File(path.to_owned()), about.part, about.schema).await?;
    let mut view = side.read().await?;
    about.sums = copy.fill(&mut view, observe).await?;
    view.rollback().await?;
    let mut conn = copy.write().await?;
    describe(&mut conn, &about).await?;
    conn.commit().await?;
    copy.close(Some(path)).await?;
    Ok(about)
}

async fn describe(conn: &mut Connection, about: &About) -> Result<(), StoreError> {
    for table in [
        "CREATE TABLE backup (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
        "CREATE TABLE backup_table (name TEXT PRIMARY KEY, row_count INTEGER NOT NULL, sha256 TEXT NOT NULL) STRICT",
        "CREATE TABLE backup_file (name TEXT PRIMARY KEY, bytes BLOB NOT NULL) STRICT",
    ] {
        sql(table).execute(conn).await?;
    }
    for (name, value) in [
        ("format", FORMAT.to_owned()),
        ("part", about.part.as_str().to_owned()),
        ("schema", about.schema.to_string()),
        ("at", about.at.to_string()),
        ("program", about.program.clone()),
        ("origin", about.origin.clone()),
    ] {
        let query = sql("INSERT INTO backup (name, value) VALUES ($1, $2)");
        query.bind(name).bind(value).execute(conn).await?;
    }
    for sum in &about.sums {
        sql("INSERT INTO backup_table (name, row_count, sha256) VALUES ($1, $2, $3)")
            .bind(sum.table.as_str())
            .bind(i64::try_from(sum.rows).unwrap_or(i64::MAX))
            .bind(sum.sha256.as_str())
            .execute(conn)
            .await?;
    }
    for (name, bytes) in &about.files {
        let query = sql("INSERT INTO backup_file (name, bytes) VALUES ($1, $2)");
        query.bind(name.as_str()).bind(bytes.as_slice()).execute(conn).await?;
    }
    Ok(())
}

/// Puts the checksum behind the last page; the file is on the disk when this returns.
fn seal(path: &Path) -> std::io::Result<()> {
    let length = fs::metadata(path)?.len();
    let sum = checksum(path, length)?;
    let mut file = OpenOptions::new().append(true).open(path)?;
    file.write_all(format!("{LINE}{sum}\n").as_bytes())?;
    file.sync_all()
}

fn checksum(path: &Path, length: u64) -> std::io::Result<String> {
    let mut file = BufReader::new(File::open(path)?).take(length);
    let (mut digest, mut buffer) = (Context::new(&SHA256), vec![0; 1 << 20]);
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => digest.update(&buffer[..read]),
        }
    }
    Ok(digest.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Whether every byte is there and as it was written.
fn is_whole(path: &Path) -> std::io::Result<Result<(), &'static str>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let Some(before) = length.checked_sub(LINE_LEN) else { return Ok(Err("it is no backup of silkgate")) };
    file.seek(SeekFrom::Start(before))?;
    let mut line = Vec::new();
    file.read_to_end(&mut line)?;
    let Some(stated) = line.strip_prefix(LINE.as_bytes()).and_then(|rest| rest.strip_suffix(b"\n")) else {
        return Ok(Err("its last line has no checksum: it is cut off, or no backup of silkgate"));
    };
    let sum = checksum(path, before)?;
    Ok(if sum.as_bytes() == stated { Ok(()) } else { Err("it is damaged: its checksum is another") })
}

/// Opens a backup of that part, and reads what it tells about itself. Every byte is held against the checksum first.
pub async fn open(path: &Path, part: Part) -> Result<(Side, About), StoreError> {
    let shown = path.display().to_string();
    let no_backup = |what: &str| StoreError::NoBackup(format!("{shown}: {what}"));
    match is_whole(path).map_err(|error| StoreError::File(shown.clone(), error))? {
        Ok(()) => {}
        Err(what) => return Err(no_backup(what)),
    }
    let side = Side::open_file(path, part).await?;
    let mut conn = side.read().await?;
    let about = read(&mut conn).await?;
    conn.rollback().await?;
    let about = about.ok_or_else(|| no_backup("it is of a later form, or no backup of silkgate"))?;
    if about.part != part {
        let what = match about.part {
            Part::Data => "it is a backup of the database, not of the key store",
            Part::Keys => "it is a backup of the key store: it goes behind --keys",
        };
        return Err(no_backup(what));
    }
    Ok((side, about))
}

async fn read(conn: &mut Connection) -> Result<Option<About>, StoreError> {
    let tables: Vec<String> = sql("SELECT name FROM sqlite_schema WHERE type = 'table'").column(conn).await?;
    if !ABOUT.iter().all(|name| tables.iter().any(|table| table == name)) {
        return Ok(None);
    }
    let rows = sql("SELECT name, value FROM backup").fetch_all(conn).await?;
    let rows = rows.iter().map(|row| Ok((row.get(0)?, row.get(1)?)));
    let values: Vec<(String, String)> = rows.collect::<Result<_, StoreError>>()?;
    let value = |name: &str| values.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    if value("format").as_deref() != Some(FORMAT) {
        return Ok(None);
    }
    let part =
        [Part::Data, Part::Keys].into_iter().find(|part| value("part").as_deref() == Some(part.as_str()));
    let schema = value("schema").and_then(|schema| schema.parse().ok());
    let at = value("at").and_then(|at| Instant::parse(&at));
    let (Some(part), Some(schema), Some(at)) = (part, schema, at) else { return Ok(None) };
    let rows = sql("SELECT name, row_count, sha256 FROM backup_table ORDER BY name").fetch_all(conn).await?;
    let sum = |row: &super::sql::Row| {
        let rows = u64::try_from(row.get::<i64>(1)?).unwrap_or(0);
        Ok(Sum { table: row.get(0)?, rows, sha256: row.get(2)? })
    };
    let sums = rows.iter().map(sum).collect::<Result<_, StoreError>>()?;
    let files = sql("SELECT name, bytes FROM backup_file ORDER BY name").fetch_all(conn).await?;
    let files = files.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect::<Result<_, StoreError>>()?;
    let (program, origin) = (value("program").unwrap_or_default(), value("origin").unwrap_or_default());
    Ok(Some(About { part, schema, at, program, origin, sums, files }))
}

/// Writes what a backup holds into a database that is made at `place`, with the backup's version of the schema.
pub async fn unpack(
    (from, about): (&Side, &About),
    place: &Place,
    observe: Observe<'_>,
) -> Result<(), StoreError> {
    let newest = super::history::newest(about.part);
    if about.schema > newest {
        return Err(StoreError::Newer { found: about.schema, needed: newest });
    }
    let to = Side::create(place, about.part, about.schema).await?;
    let mut view = from.read().await?;
    let written = to.fill(&mut view, observe).await;
    view.rollback().await?;
    let made = if let Place::File(path) = place { Some(path.as_path()) } else { None };
    to.close(made).await?;
    match carry::first_difference(&about.sums, &written?) {
        Some(table) => {
            Err(StoreError::NoBackup(format!("the backup's table {table} is not what the backup says")))
        }
        None => Ok(()),
    }
}

/// What a database holds, table by table.
pub async fn sums(side: &Side, observe: Observe<'_>) -> Result<Vec<Sum>, StoreError> {
    let mut conn = side.read().await?;
    let sums = carry::sums(&mut conn, observe).await?;
    conn.rollback().await?;
    Ok(sums)
}
