//! One way to ask two databases: statements, their values and their rows, for SQLite and PostgreSQL.
//!
//! Every value is one of three kinds, in each of which NULL is possible: 64-bit integers, text and bytes. Statements use
//! `$1` placeholders and the SQL that both understand; where they differ, the file of the table tells them apart.

use futures_util::TryStreamExt as _;
use sqlx::postgres::{PgArguments, PgConnection, PgRow};
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteQueryResult, SqliteRow};
use sqlx::{Either, Executor as _, Postgres, Row as _, SqlSafeStr, SqlStr, Sqlite, Transaction};

use super::StoreError;
use super::turn::Turn;
#[cfg(test)]
use super::{fault, memory};

/// A transaction on either database; dropped without [`commit`](Connection::commit) it is rolled back.
pub enum Connection {
    /// SQLite.
    Sqlite(Transaction<'static, Sqlite>),
    /// SQLite, by the one connection that writes.
    Writer(Turn),
    /// PostgreSQL.
    Postgres(Transaction<'static, Postgres>),
    /// The tests' database in memory.
    #[cfg(test)]
    Memory(memory::Transaction),
}

impl Connection {
    /// Commits. After an error it is not known whether what was written is there.
    pub async fn commit(self) -> Result<(), StoreError> {
        #[cfg(test)]
        let fate = fault::commit().await?;
        match self {
            Connection::Sqlite(tx) => tx.commit().await?,
            Connection::Writer(turn) => turn.commit().await?,
            Connection::Postgres(tx) => tx.commit().await?,
            #[cfg(test)]
            Connection::Memory(tx) => tx.commit()?,
        }
        #[cfg(test)]
        fate.report().await?;
        Ok(())
    }

    /// Takes back what was written.
    pub async fn rollback(self) -> Result<(), StoreError> {
        match self {
            Connection::Sqlite(tx) => tx.rollback().await?,
            Connection::Writer(turn) => turn.rollback().await?,
            Connection::Postgres(tx) => tx.rollback().await?,
            #[cfg(test)]
            Connection::Memory(tx) => drop(tx),
        }
        Ok(())
    }

    fn on(&mut self) -> On<'_> {
        match self {
            Connection::Sqlite(tx) => On::File(tx),
            Connection::Writer(turn) => On::File(turn),
            Connection::Postgres(tx) => On::Server(tx),
            #[cfg(test)]
            Connection::Memory(tx) => On::Memory(tx.connection()),
        }
    }

    /// Whether several gateways may write to this database at once.
    pub fn is_shared(&self) -> bool {
        matches!(self, Connection::Postgres(_))
    }
}

/// What a statement runs on.
enum On<'a> {
    File(&'a mut SqliteConnection),
    Server(&'a mut PgConnection),
    #[cfg(test)]
    Memory(&'a mut SqliteConnection),
}

/// A statement that PostgreSQL needs a clause for which SQLite, where writers take turns, does without: what both have, the
/// clause, and what follows it.
macro_rules! either {
    ($conn:expr, $head:literal, $postgres:literal, $tail:literal) => {
        if $conn.is_shared() { concat!($head, $postgres, $tail) } else { concat!($head, $tail) }
    };
}
pub(super) use either;

/// A value given to a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `INTEGER`, `BIGINT`.
    Int(Option<i64>),
    /// `TEXT`.
    Text(Option<String>),
    /// `BLOB`, `BYTEA`.
    Bytes(Option<Vec<u8>>),
}

macro_rules! values {
    ($($from:ty => $kind:ident($make:expr)),* $(,)?) => { $(
        impl From<$from> for Value {
            fn from(value: $from) -> Self {
                Value::$kind(Some($make(value)))
            }
        }
        impl From<Option<$from>> for Value {
            fn from(value: Option<$from>) -> Self {
                Value::$kind(value.map($make))
            }
        }
    )* };
}

values! {
    i64 => Int(|value| value),
    String => Text(|value| value),
    &str => Text(str::to_owned),
    Vec<u8> => Bytes(|value| value),
    &[u8] => Bytes(<[u8]>::to_vec),
}

/// A row of an answer.
pub enum Row {
    /// Of SQLite.
    Sqlite(SqliteRow),
    /// Of PostgreSQL.
    Postgres(PgRow),
}

/// What a column can be read as.
pub trait Column:
    for<'r> sqlx::Decode<'r, Sqlite>
    + sqlx::Type<Sqlite>
    + for<'r> sqlx::Decode<'r, Postgres>
    + sqlx::Type<Postgres>
{
}

impl<T> Column for T where
    T: for<'r> sqlx::Decode<'r, Sqlite>
        + sqlx::Type<Sqlite>
        + for<'r> sqlx::Decode<'r, Postgres>
        + sqlx::Type<Postgres>
{
}

impl Row {
    /// The column at `index`, from 0.
    pub fn get<T: Column>(&self, index: usize) -> Result<T, StoreError> {
        Ok(match self {
            Row::Sqlite(row) => row.try_get(index)?,
            Row::Postgres(row) => row.try_get(index)?,
        })
    }
}

/// A statement with its values.
pub struct Query {
    text: SqlStr,
    values: Vec<Value>,
}

/// A statement.
pub fn sql(text: impl SqlSafeStr) -> Query {
    Query { text: text.into_sql_str(), values: Vec::new() }
}

impl Query {
    /// Gives the next placeholders their values.
    pub(super) fn bind_all(mut self, values: impl IntoIterator<Item = Value>) -> Self {
        self.values.extend(values);
        self
    }

    /// Gives the next placeholder its value.
    pub fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Runs it; the number of rows that it changed.
    pub async fn execute(self, conn: &mut Connection) -> Result<u64, StoreError> {
        #[cfg(test)]
        let fate = fault::write(self.text.as_str()).await?;
        let changed = match conn.on() {
            On::File(conn) => self.of_sqlite().execute(conn).await?.rows_affected(),
            On::Server(conn) => self.of_postgres().execute(conn).await?.rows_affected(),
            #[cfg(test)]
            On::Memory(conn) => memory::at_once(self.of_sqlite().execute(conn))?.rows_affected(),
        };
        #[cfg(test)]
        fate.report().await?;
        Ok(changed)
    }

    /// Every row.
    pub async fn fetch_all(self, conn: &mut Connection) -> Result<Vec<Row>, StoreError> {
        #[cfg(test)]
        let fate = fault::write(self.text.as_str()).await?;
        let rows = match conn.on() {
            On::File(conn) => of_file(self.of_sqlite().fetch_all(conn).await?),
            On::Server(conn) => {
                self.of_postgres().fetch_all(conn).await?.into_iter().map(Row::Postgres).collect()
            }
            #[cfg(test)]
            On::Memory(conn) => of_file(memory::at_once(self.of_sqlite().fetch_all(conn))?),
        };
        #[cfg(test)]
        fate.report().await?;
        Ok(rows)
    }

    /// The rows of each of several statements, which only SQLite takes as one text.
    pub(super) async fn fetch_each(self, conn: &mut Connection) -> Result<Vec<Vec<Row>>, StoreError> {
        #[cfg(test)]
        let fate = fault::write(self.text.as_str()).await?;
        let parts: Vec<Either<SqliteQueryResult, SqliteRow>> = match conn.on() {
            On::File(conn) => conn.fetch_many(self.of_sqlite()).try_collect().await?,
            On::Server(_) => {
                return Err(StoreError::Corrupt("several statements in one are for SQLite only".into()));
            }
            #[cfg(test)]
            On::Memory(conn) => memory::fetch_many(conn, self.of_sqlite())?,
        };
        let (mut each, mut rows) = (Vec::new(), Vec::new());
        for part in parts {
            match part {
                Either::Right(row) => rows.push(Row::Sqlite(row)),
                // A statement is at its end.
                Either::Left(_) => each.push(std::mem::take(&mut rows)),
            }
        }
        #[cfg(test)]
        fate.report().await?;
        Ok(each)
    }

    /// The first row, if there is one.
    pub async fn fetch_optional(self, conn: &mut Connection) -> Result<Option<Row>, StoreError> {
        #[cfg(test)]
        let fate = fault::write(self.text.as_str()).await?;
        let row = match conn.on() {
            On::File(conn) => self.of_sqlite().fetch_optional(conn).await?.map(Row::Sqlite),
            On::Server(conn) => self.of_postgres().fetch_optional(conn).await?.map(Row::Postgres),
            #[cfg(test)]
            On::Memory(conn) => memory::at_once(self.of_sqlite().fetch_optional(conn))?.map(Row::Sqlite),
        };
        #[cfg(test)]
        fate.report().await?;
        Ok(row)
    }

    /// The first row, which there is always.
    pub async fn fetch_one(self, conn: &mut Connection) -> Result<Row, StoreError> {
        self.fetch_optional(conn).await?.ok_or(StoreError::Sql(sqlx::Error::RowNotFound))
    }

    /// The first column of every row.
    pub async fn column<T: Column>(self, conn: &mut Connection) -> Result<Vec<T>, StoreError> {
        self.fetch_all(conn).await?.iter().map(|row| row.get(0)).collect()
    }

    /// The first column of the first row, if there is one.
    pub async fn first<T: Column>(self, conn: &mut Connection) -> Result<Option<T>, StoreError> {
        self.fetch_optional(conn).await?.map(|row| row.get(0)).transpose()
    }

    /// The first column of the first row, which there is always.
    pub async fn value<T: Column>(self, conn: &mut Connection) -> Result<T, StoreError> {
        self.fetch_one(conn).await?.get(0)
    }

    fn of_sqlite(self) -> sqlx::query::Query<'static, Sqlite, SqliteArguments> {
        self.values.into_iter().fold(sqlx::query(self.text), |query, value| match value {
            Value::Int(value) => query.bind(value),
            Value::Text(value) => query.bind(value),
            Value::Bytes(value) => query.bind(value),
        })
    }

    fn of_postgres(self) -> sqlx::query::Query<'static, Postgres, PgArguments> {
        self.values.into_iter().fold(sqlx::query(self.text), |query, value| match value {
            Value::Int(value) => query.bind(value),
            Value::Text(value) => query.bind(value),
            Value::Bytes(value) => query.bind(value),
        })
    }
}

impl Value {
    /// Whether it is NULL.
    pub(super) fn is_null(&self) -> bool {
        matches!(self, Value::Int(None) | Value::Text(None) | Value::Bytes(None))
    }

    pub(super) fn int(self) -> Option<i64> {
        if let Value::Int(value) = self { value } else { None }
    }

    pub(super) fn text(self) -> Option<String> {
        if let Value::Text(value) = self { value } else { None }
    }

    pub(super) fn bytes(self) -> Option<Vec<u8>> {
        if let Value::Bytes(value) = self { value } else { None }
    }
}

fn of_file(rows: Vec<SqliteRow>) -> Vec<Row> {
    rows.into_iter().map(Row::Sqlite).collect()
}
