//! What the least store would cost that keeps a message durably: its bytes, a unique id to know a repeat by, and its log entry; many messages
//! in a transaction. No checks, tree, receipt, records, hand-over, erasure or search: what is above it can be argued with, what is
//! below it cannot.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};
use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _};
use support::postgres::{Cluster, Database};

use crate::measure::{cpu_seconds, cpu_seconds_of_family};

/// Messages of one transaction: half of the connections wait while the other half is written.
const BATCH: u64 = 32;
/// How long each is measured.
const TIME: Duration = Duration::from_secs(2);
/// Bytes of an entry.
const ENTRY: usize = 358;
/// Index of ids, bytes of a message, and entry.
const TABLES: [&str; 2] = [
    "CREATE TABLE message (seq INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, bytes BLOB NOT NULL)",
    "CREATE TABLE entry (idx INTEGER PRIMARY KEY, body BLOB NOT NULL)",
];

/// Microseconds of processor time for a message of that many bytes, on SQLite and on PostgreSQL with its server.
pub(crate) async fn costs(folder: &Path, database: &Database, bytes: usize) -> Result<Value> {
    Ok(json!({ "sqlite": sqlite(folder, bytes).await?, "postgres": postgres(database, bytes).await? }))
}

async fn sqlite(folder: &Path, bytes: usize) -> Result<f64> {
    // As the gateway opens its file; it overwrites what it deletes as well, and here nothing is deleted.
    let options = SqliteConnectOptions::new()
        .filename(folder.join("least.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .page_size(16_384);
    let mut conn = options.connect().await?;
    for table in TABLES {
        sqlx::query(table).execute(&mut conn).await?;
    }
    let rows = |columns: &str| vec![columns; BATCH as usize].join(", ");
    // One way to SQLite's thread for the whole transaction. The texts hold constants only.
    let text = sqlx::AssertSqlSafe(format!(
        "BEGIN IMMEDIATE; INSERT INTO message VALUES {}; INSERT INTO entry VALUES {}; COMMIT",
        rows("(?, ?, ?)"),
        rows("(?, ?)")
    ));
    let text = sqlx::SqlSafeStr::into_sql_str(text);
    let (mut written, begun, before) = (0, Instant::now(), cpu_seconds(std::process::id())?);
    while begun.elapsed() < TIME {
        let mut query = sqlx::query(text.clone());
        for seq in written..written + BATCH {
            query = query.bind(seq as i64).bind(id(seq)).bind(vec![b'x'; bytes]);
        }
        for seq in written..written + BATCH {
            query = query.bind(seq as i64).bind(vec![b'y'; ENTRY]);
        }
        query.execute(&mut conn).await?;
        written += BATCH;
    }
    let spent = cpu_seconds(std::process::id())? - before;
    conn.close().await?;
    Ok(spent * 1e6 / written as f64)
}

async fn postgres(database: &Database, bytes: usize) -> Result<f64> {
    let cluster = Cluster::shared();
    let mut conn = PgConnection::connect(&database.url()).await?;
    for table in TABLES {
        let table = table.replace("INTEGER", "BIGINT").replace("BLOB", "BYTEA");
        sqlx::query(sqlx::AssertSqlSafe(table)).execute(&mut conn).await?;
    }
    let spent =
        || -> Result<f64> { Ok(cpu_seconds(std::process::id())? + cpu_seconds_of_family(cluster.pid())?) };
    let (mut written, begun, before) = (0, Instant::now(), spent()?);
    while begun.elapsed() < TIME {
        let mut tx = conn.begin().await?;
        let numbers: Vec<i64> = (written..written + BATCH).map(|seq| seq as i64).collect();
        sqlx::query("INSERT INTO message SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::bytea[])")
            .bind(&numbers)
            .bind((written..written + BATCH).map(id).collect::<Vec<_>>())
            .bind(vec![vec![b'x'; bytes]; BATCH as usize])
            .execute(&mut *tx)
            .await?;
        sqlx::query("INSERT INTO entry SELECT * FROM unnest($1::bigint[], $2::bytea[])")
            .bind(&numbers)
            .bind(vec![vec![b'y'; ENTRY]; BATCH as usize])
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        written += BATCH;
    }
    let spent = spent()? - before;
    conn.close().await?;
    Ok(spent * 1e6 / written as f64)
}

/// As UUIDv7 are: in the order of arrival.
fn id(seq: u64) -> Vec<u8> {
    let mut id = vec![0; 16];
    id[8..].copy_from_slice(&seq.to_be_bytes());
    id
}
