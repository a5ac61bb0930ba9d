//! What tables a database has, by its own schema: what carries a state over cannot forget a table that is new.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use sqlx::AssertSqlSafe;

use super::sql::{Row, Value, sql};
use super::{Connection, StoreError};

/// Tables of a backup file that tell about it, and are no part of the state. See [`super::archive`].
pub(super) const ABOUT: [&str; 3] = ["backup", "backup_table", "backup_file"];

/// What a column holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// 64 bits.
    Int,
    /// UTF-8.
    Text,
    /// Bytes.
    Bytes,
}

/// A column.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// Its place in the primary key, from 1; 0: it is not in it.
    key: i64,
    /// Whether PostgreSQL numbers the rows by it.
    numbered: bool,
}

/// A table. Its columns stand in the order of their names, which is the same in both databases.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) fields: Vec<Field>,
    /// Tables that its rows name rows of.
    rests_on: Vec<String>,
}

impl Table {
    /// Whether both hold the same.
    pub(super) fn is_like(&self, other: &Table) -> bool {
        let shape = |table: &Table| {
            table.fields.iter().map(|field| (field.name.clone(), field.kind, field.key)).collect::<Vec<_>>()
        };
        self.name == other.name && shape(self) == shape(other)
    }

    /// Whether the rows of both name rows of the same tables.
    pub(super) fn rests_on_the_same(&self, other: &Table) -> bool {
        let sorted = |table: &Table| table.rests_on.iter().cloned().collect::<BTreeSet<_>>();
        sorted(self) == sorted(other)
    }

    /// The columns of the primary key, in its order.
    pub(super) fn key(&self) -> Vec<&Field> {
        let mut key: Vec<&Field> = self.fields.iter().filter(|field| field.key > 0).collect();
        key.sort_by_key(|field| field.key);
        key
    }

    /// The columns that PostgreSQL numbers the rows by.
    pub(super) fn numbered(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(|field| field.numbered)
    }

    /// `"a", "b"`.
    pub(super) fn columns(&self) -> String {
        list(self.fields.iter())
    }

    /// `ORDER BY` the primary key, from above `after` on.
    pub(super) fn in_order(&self, after: bool) -> String {
        let key = self.key();
        let mut text = String::new();
        if after {
            let places = (1..=key.len()).map(|place| format!("${place}")).collect::<Vec<_>>().join(", ");
            let _ = write!(text, "WHERE ({}) > ({places}) ", list(key.iter().copied()));
        }
        let _ = write!(text, "ORDER BY {}", list(key.iter().copied()));
        text
    }
}

fn list<'a>(fields: impl Iterator<Item = &'a Field>) -> String {
    fields.map(|field| quoted(&field.name)).collect::<Vec<_>>().join(", ")
}

/// A name inside a statement. Names come from the schema, which is our own; quoting them costs nothing.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A column's value.
pub(super) fn value(row: &Row, index: usize, kind: Kind) -> Result<Value, StoreError> {
    Ok(match kind {
        Kind::Int => Value::Int(row.get(index)?),
        Kind::Text => Value::Text(row.get(index)?),
        Kind::Bytes => Value::Bytes(row.get(index)?),
    })
}

/// Every table of the state, each behind those that it rests on.
pub(super) async fn tables(conn: &mut Connection) -> Result<Vec<Table>, StoreError> {
    let mut open = Vec::new();
    for name in names(conn).await? {
        open.push(table(conn, &name).await?);
    }
    let mut ordered: Vec<Table> = Vec::with_capacity(open.len());
    while !open.is_empty() {
        let ready = |table: &Table| {
            let stands = |name: &String| *name == table.name || ordered.iter().any(|done| done.name == *name);
            table.rests_on.iter().all(stands)
        };
        let Some(next) = open.iter().position(ready) else {
            return Err(StoreError::Corrupt("tables rest on each other in a circle".into()));
        };
        ordered.push(open.remove(next));
    }
    Ok(ordered)
}

/// A table.
pub(super) async fn table(conn: &mut Connection, name: &str) -> Result<Table, StoreError> {
    let fields = fields(conn, name).await?;
    let rests_on = rests_on(conn, name).await?;
    if !fields.iter().any(|field| field.key > 0) {
        return Err(StoreError::Corrupt(format!("the table {name} has no primary key")));
    }
    Ok(Table { name: name.to_owned(), fields, rests_on })
}

/// The names of the state's tables.
pub(super) async fn names(conn: &mut Connection) -> Result<Vec<String>, StoreError> {
    let query = if conn.is_shared() {
        sql("SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p') AND c.relname NOT LIKE '\\_sqlx%'
             ORDER BY c.relname")
    } else {
        sql("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
             AND name NOT LIKE '\\_sqlx%' ESCAPE '\\' ORDER BY name")
    };
    let mut names: Vec<String> = query.column(conn).await?;
    names.retain(|name| !ABOUT.contains(&name.as_str()));
    Ok(names)
}

async fn fields(conn: &mut Connection, table: &str) -> Result<Vec<Field>, StoreError> {
    let query = if conn.is_shared() {
        sql("SELECT a.attname::text, format_type(a.atttypid, NULL),
                    coalesce(array_position(i.indkey::int2[], a.attnum) + 1, 0)::bigint,
                    (a.attidentity <> '')::int::bigint
             FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
             JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = current_schema()
             LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
             WHERE c.relname = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attname COLLATE \"C\"")
    } else {
        sql("SELECT name, lower(type), pk, 0 FROM pragma_table_info($1) ORDER BY name")
    };
    let rows = query.bind(table).fetch_all(conn).await?;
    let read = |row: &Row| {
        let (name, kind): (String, String) = (row.get(0)?, row.get(1)?);
        let kind = match kind.as_str() {
            "integer" | "bigint" => Kind::Int,
            "text" => Kind::Text,
            "blob" | "bytea" => Kind::Bytes,
            _ => return Err(StoreError::Corrupt(format!("{table}.{name} is of an unknown kind, {kind}"))),
        };
        Ok(Field { name, kind, key: row.get(2)?, numbered: row.get::<i64>(3)? != 0 })
    };
    rows.iter().map(read).collect()
}

async fn rests_on(conn: &mut Connection, table: &str) -> Result<Vec<String>, StoreError> {
    let query = if conn.is_shared() {
        sql("SELECT DISTINCT f.relname::text FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
             JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = current_schema()
             JOIN pg_class f ON f.oid = k.confrelid WHERE k.contype = 'f' AND c.relname = $1")
    } else {
        sql("SELECT DISTINCT \"table\" FROM pragma_foreign_key_list($1)")
    };
    query.bind(table).column(conn).await
}

/// How many rows a table has.
pub(super) async fn count(conn: &mut Connection, table: &Table) -> Result<u64, StoreError> {
    let text = format!("SELECT count(*) FROM {}", quoted(&table.name));
    let rows: i64 = sql(AssertSqlSafe(text)).value(conn).await?;
    Ok(u64::try_from(rows).unwrap_or(0))
}
