//! Many rows in few statements: each statement is a way to the database and back.

use sqlx::postgres::PgArguments;
use sqlx::query::Query as SqlxQuery;
use sqlx::{AssertSqlSafe, Postgres, SqlSafeStr as _};

#[cfg(test)]
use super::fault;
use super::sql::{Row, Value, sql};
use super::{Connection, StoreError};

/// Rows of one statement on SQLite, at most: a power of two, as every number of them is, so that few statements stay in the
/// connection's cache.
pub(super) const PIECE_MAX: usize = 64;

/// Inserts rows of equal kinds. `head` is `INSERT INTO table (columns)`, `tail` what follows the rows, such as
/// `ON CONFLICT DO NOTHING`; both are constants of the caller, or names out of our own schema. The number of rows inserted or
/// updated.
pub async fn insert_all(
    conn: &mut Connection,
    head: &str,
    tail: &str,
    rows: Vec<Vec<Value>>,
) -> Result<u64, StoreError> {
    let Some(width) = rows.first().map(Vec::len) else { return Ok(0) };
    if let Connection::Postgres(tx) = conn {
        // One statement, whatever the number of rows.
        let columns = columns(width, rows);
        let text = format!("{head} SELECT * FROM {} {tail}", unnest(&columns));
        #[cfg(test)]
        let fate = fault::write(head).await?;
        let inserted = arrays(text, columns).execute(&mut **tx).await?.rows_affected();
        #[cfg(test)]
        fate.report().await?;
        return Ok(inserted);
    }
    let mut inserted = 0;
    for (tuples, values) in pieces(width, None, rows) {
        let query = sql(AssertSqlSafe(format!("{head} VALUES {tuples} {tail}")));
        inserted += query.bind_all(values).execute(conn).await?;
    }
    Ok(inserted)
}

/// The rows whose columns are among `keys`: `head` is `SELECT … WHERE (columns) IN`, a constant of the caller, `tail` what follows.
/// Keys that are not there give no row.
pub async fn fetch_among(
    conn: &mut Connection,
    head: &str,
    keys: Vec<Vec<Value>>,
    tail: &str,
) -> Result<Vec<Row>, StoreError> {
    let Some(width) = keys.first().map(Vec::len) else { return Ok(Vec::new()) };
    if let Connection::Postgres(tx) = conn {
        let columns = columns(width, keys);
        let text = format!("{head} (SELECT * FROM {}) {tail}", unnest(&columns));
        #[cfg(test)]
        let fate = fault::write(head).await?;
        let rows = arrays(text, columns).fetch_all(&mut **tx).await?;
        #[cfg(test)]
        fate.report().await?;
        return Ok(rows.into_iter().map(Row::Postgres).collect());
    }
    let mut found = Vec::new();
    // Nothing is equal to NULL.
    for (tuples, values) in pieces(width, Some(room_for(keys.len())), keys) {
        let query = sql(AssertSqlSafe(format!("{head} (VALUES {tuples}) {tail}")));
        found.append(&mut query.bind_all(values).fetch_all(conn).await?);
    }
    Ok(found)
}

/// Rows in pieces: placeholders, and their values. With a `room` each piece has as many placeholders; those that get no value are
/// NULL. The placeholders have no numbers: sqlx asks SQLite for the name of each, which looks through all names for it.
pub(super) fn pieces(width: usize, room: Option<usize>, rows: Vec<Vec<Value>>) -> Vec<(String, Vec<Value>)> {
    let tuple = format!("({})", vec!["?"; width].join(", "));
    let mut rows = rows.into_iter();
    let mut pieces = Vec::new();
    while rows.len() > 0 {
        let room = room.unwrap_or_else(|| 1 << rows.len().min(PIECE_MAX).ilog2());
        pieces.push((vec![tuple.as_str(); room].join(", "), rows.by_ref().take(room).flatten().collect()));
    }
    pieces
}

/// The room for so many rows.
pub(super) fn room_for(rows: usize) -> usize {
    rows.next_power_of_two().min(PIECE_MAX)
}

/// PostgreSQL takes each column as one array.
fn columns(width: usize, rows: Vec<Vec<Value>>) -> Vec<Vec<Value>> {
    let mut columns: Vec<Vec<Value>> = (0..width).map(|_| Vec::with_capacity(rows.len())).collect();
    for row in rows {
        for (column, value) in columns.iter_mut().zip(row) {
            column.push(value);
        }
    }
    columns
}

fn unnest(columns: &[Vec<Value>]) -> String {
    let kind = |column: &Vec<Value>| match column.first() {
        Some(Value::Text(_)) => "text",
        Some(Value::Bytes(_)) => "bytea",
        Some(Value::Int(_)) | None => "bigint",
    };
    let places = columns.iter().enumerate().map(|(n, column)| format!("${}::{}[]", n + 1, kind(column)));
    format!("unnest({})", places.collect::<Vec<_>>().join(", "))
}

/// A statement whose placeholders are whole columns.
fn arrays(text: String, columns: Vec<Vec<Value>>) -> SqlxQuery<'static, Postgres, PgArguments> {
    // No outside text reaches the statement: it is made of constants and numbers.
    let mut query = sqlx::query(AssertSqlSafe(text).into_sql_str());
    for column in columns {
        query = match column.first() {
            Some(Value::Text(_)) => query.bind(column.into_iter().map(Value::text).collect::<Vec<_>>()),
            Some(Value::Bytes(_)) => query.bind(column.into_iter().map(Value::bytes).collect::<Vec<_>>()),
            Some(Value::Int(_)) | None => query.bind(column.into_iter().map(Value::int).collect::<Vec<_>>()),
        };
    }
    query
}
