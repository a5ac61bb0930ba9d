//! A home's database on either kind, written to past the gateway: by the million, and as the gateway would have written.

use std::path::Path;

use anyhow::Result;
use silkgate_ledger::tree::TileId;
use silkgate_ledger::{Checkpoint, Edge, NoteSigner, leaf_hash, sign_checkpoint};
use sqlx::postgres::{PgArguments, PgConnection};
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Postgres, QueryBuilder};
use support::Home;

/// The log of the one channel.
const LOG: &str = "SELECT id FROM log WHERE partner IS NOT NULL";
const BODIES: &str = "SELECT body FROM entry WHERE log = $1 ORDER BY idx";

/// What a column of a row holds.
pub(crate) enum Cell {
    Int(i64),
    Text(Option<String>),
    Bytes(Vec<u8>),
}

/// A connection to the database of a home whose gateway is stopped. Foreign keys are not held: what is written hangs together.
pub(crate) enum Database {
    File(SqliteConnection),
    Server(PgConnection),
}

impl Database {
    pub(crate) async fn open(home: &Home) -> Result<Self> {
        let Some(database) = &home.database else {
            return Ok(Self::File(open_file(&home.path.join("silkgate.db")).await?));
        };
        let mut conn = PgConnection::connect(&database.url()).await?;
        sqlx::query("SET session_replication_role = replica").execute(&mut conn).await?;
        Ok(Self::Server(conn))
    }

    /// Runs a statement.
    pub(crate) async fn execute(&mut self, text: &'static str, values: Vec<Cell>) -> Result<()> {
        match self {
            Self::File(conn) => {
                values.into_iter().fold(sqlx::query(text), bound).execute(conn).await.map(drop)?
            }
            Self::Server(conn) => {
                values.into_iter().fold(sqlx::query(text), bound_on_server).execute(conn).await.map(drop)?;
            }
        }
        Ok(())
    }

    /// Inserts rows in one statement: `insert` is `INSERT INTO … SELECT … FROM made`, where each row has columns of these names.
    pub(crate) async fn insert(
        &mut self,
        insert: &'static str,
        names: &[&str],
        rows: Vec<Vec<Cell>>,
    ) -> Result<()> {
        let names = names.join(", ");
        match self {
            Self::File(conn) => {
                let mut text = QueryBuilder::<Sqlite>::new(format!("WITH made ({names}) AS ("));
                text.push_values(rows, |mut tuple, values| {
                    for value in values {
                        match value {
                            Cell::Int(value) => tuple.push_bind(value),
                            Cell::Text(value) => tuple.push_bind(value),
                            Cell::Bytes(value) => tuple.push_bind(value),
                        };
                    }
                });
                text.push(") ").push(insert).build().execute(conn).await?;
            }
            Self::Server(conn) => {
                let columns = columns(rows);
                let arrays: Vec<String> =
                    columns.iter().zip(1..).map(|(column, n)| format!("${n}::{}[]", column.kind())).collect();
                let text =
                    format!("WITH made ({names}) AS (SELECT * FROM unnest({})) {insert}", arrays.join(", "));
                // Constants and numbers.
                let query = sqlx::query(AssertSqlSafe(text));
                columns.into_iter().fold(query, Column::bound).execute(conn).await?;
            }
        }
        Ok(())
    }

    /// The channel's log, and its tree as it stands.
    pub(crate) async fn channel(&mut self) -> Result<(i64, Edge)> {
        let log: i64 = match self {
            Self::File(conn) => sqlx::query_scalar(LOG).fetch_one(conn).await?,
            Self::Server(conn) => sqlx::query_scalar(LOG).fetch_one(conn).await?,
        };
        let bodies: Vec<Vec<u8>> = match self {
            Self::File(conn) => sqlx::query_scalar(BODIES).bind(log).fetch_all(conn).await?,
            Self::Server(conn) => sqlx::query_scalar(BODIES).bind(log).fetch_all(conn).await?,
        };
        let mut edge = Edge::empty();
        for body in bodies {
            edge.append(leaf_hash(&body));
        }
        Ok((log, edge))
    }

    /// Writes the tiles of a log that have changed, as the gateway does.
    pub(crate) async fn put_tiles(&mut self, log: i64, edge: &mut Edge) -> Result<()> {
        for (TileId { level, index }, tile) in edge.take_changed() {
            let values = vec![
                Cell::Int(log),
                Cell::Int(i64::from(level)),
                Cell::Int(i64::try_from(index)?),
                Cell::Bytes(tile.to_bytes()),
            ];
            let text = "INSERT INTO tile (log, level, idx, hashes) VALUES ($1, $2, $3, $4)
                        ON CONFLICT (log, level, idx) DO UPDATE SET hashes = excluded.hashes";
            self.execute(text, values).await?;
        }
        Ok(())
    }

    /// Signs a checkpoint over the whole log, and makes it the head.
    pub(crate) async fn put_head(&mut self, log: i64, edge: &Edge, signer: &NoteSigner) -> Result<()> {
        let checkpoint = Checkpoint { origin: signer.name().parse()?, size: edge.size(), root: edge.root() };
        let note = sign_checkpoint(&checkpoint, signer)?.encode();
        let size = i64::try_from(edge.size())?;
        let values = vec![Cell::Int(log), Cell::Int(size), Cell::Bytes(note)];
        self.execute("INSERT INTO checkpoint (log, size, note) VALUES ($1, $2, $3)", values).await?;
        let values = vec![Cell::Int(size), Cell::Bytes(edge.root().as_bytes().to_vec()), Cell::Int(log)];
        self.execute("UPDATE log SET size = $1, root = $2, signed = signed + 1 WHERE id = $3", values).await
    }

    /// Ends the work. A server has its statistics and nothing left to write then, as some minutes later it would by itself.
    pub(crate) async fn close(mut self) -> Result<()> {
        if matches!(self, Self::Server(_)) {
            self.execute("VACUUM (ANALYZE)", Vec::new()).await?;
            self.execute("CHECKPOINT", Vec::new()).await?;
        }
        match self {
            Self::File(conn) => conn.close().await?,
            Self::Server(conn) => conn.close().await?,
        }
        Ok(())
    }
}

/// The same of a file by its name.
pub(crate) async fn open_file(path: &Path) -> Result<SqliteConnection> {
    Ok(SqliteConnectOptions::new().filename(path).foreign_keys(false).connect().await?)
}

type FileQuery = Query<'static, Sqlite, SqliteArguments>;
type ServerQuery = Query<'static, Postgres, PgArguments>;

fn bound(query: FileQuery, value: Cell) -> FileQuery {
    match value {
        Cell::Int(value) => query.bind(value),
        Cell::Text(value) => query.bind(value),
        Cell::Bytes(value) => query.bind(value),
    }
}

fn bound_on_server(query: ServerQuery, value: Cell) -> ServerQuery {
    match value {
        Cell::Int(value) => query.bind(value),
        Cell::Text(value) => query.bind(value),
        Cell::Bytes(value) => query.bind(value),
    }
}

/// A column of many rows, which PostgreSQL takes as one array.
enum Column {
    Int(Vec<i64>),
    Text(Vec<Option<String>>),
    Bytes(Vec<Vec<u8>>),
}

impl Column {
    fn kind(&self) -> &'static str {
        match self {
            Self::Int(_) => "bigint",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytea",
        }
    }

    fn bound(query: ServerQuery, column: Self) -> ServerQuery {
        match column {
            Self::Int(values) => query.bind(values),
            Self::Text(values) => query.bind(values),
            Self::Bytes(values) => query.bind(values),
        }
    }
}

/// Rows of equal kinds, by column.
fn columns(rows: Vec<Vec<Cell>>) -> Vec<Column> {
    let mut columns: Vec<Column> = Vec::new();
    for row in rows {
        for (place, value) in row.into_iter().enumerate() {
            match (columns.get_mut(place), value) {
                (Some(Column::Int(column)), Cell::Int(value)) => column.push(value),
                (Some(Column::Text(column)), Cell::Text(value)) => column.push(value),
                (Some(Column::Bytes(column)), Cell::Bytes(value)) => column.push(value),
                (_, Cell::Int(value)) => columns.push(Column::Int(vec![value])),
                (_, Cell::Text(value)) => columns.push(Column::Text(vec![value])),
                (_, Cell::Bytes(value)) => columns.push(Column::Bytes(vec![value])),
            }
        }
    }
    columns
}
