//! A table, read from its first row to its last, a bounded number of bytes at a time, and the sum over what was read.

use ring::digest::{Context, SHA256};
use sqlx::AssertSqlSafe;

use super::shape::{self, Kind, Table, quoted};
use super::sql::{Query, Value, sql};
use super::{Connection, StoreError};

/// Bytes of rows that are held at once, unless one row alone is larger.
const PAGE_BYTES: i64 = 4 << 20;
/// Rows that are held at once.
const PAGE_ROWS: i64 = 1000;
/// What a row costs beside its bytes.
const ROW_BYTES: i64 = 100;

/// What a table holds.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Sum {
    /// The table.
    pub table: String,
    /// Its rows.
    pub rows: u64,
    /// SHA-256 over its rows in the order of their key.
    pub sha256: String,
}

/// Goes through a table in the order of its key, a bounded number of bytes at a time.
pub(super) struct Walk<'a> {
    table: &'a Table,
    after: Option<Vec<Value>>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(table: &'a Table) -> Self {
        Self { table, after: None }
    }

    /// The next rows; none at the end.
    pub(super) async fn next(&mut self, conn: &mut Connection) -> Result<Vec<Vec<Value>>, StoreError> {
        let (name, order) = (quoted(&self.table.name), self.table.in_order(self.after.is_some()));
        // How long the next rows are is known without reading them.
        let long = self.table.fields.iter().filter(|field| field.kind != Kind::Int);
        let long = long.map(|field| format!("coalesce(octet_length({}), 0)", quoted(&field.name)));
        let long = std::iter::once("0".to_owned()).chain(long).collect::<Vec<_>>().join(" + ");
        let text = format!("SELECT CAST({long} AS BIGINT) FROM {name} {order} LIMIT {PAGE_ROWS}");
        let lengths: Vec<i64> = self.asked(text).column(conn).await?;
        let (mut rows, mut bytes) = (0, 0);
        for length in lengths {
            bytes += length + ROW_BYTES;
            if rows > 0 && bytes > PAGE_BYTES {
                break;
            }
            rows += 1;
        }
        if rows == 0 {
            return Ok(Vec::new());
        }
        let text = format!("SELECT {} FROM {name} {order} LIMIT {rows}", self.table.columns());
        let mut page = Vec::with_capacity(rows);
        for row in self.asked(text).fetch_all(conn).await? {
            let fields = self.table.fields.iter().enumerate();
            page.push(
                fields.map(|(at, field)| shape::value(&row, at, field.kind)).collect::<Result<_, _>>()?,
            );
        }
        self.after = page.last().map(|row: &Vec<Value>| {
            let at = |name: &str| self.table.fields.iter().position(|field| field.name == name);
            self.table.key().iter().filter_map(|field| row.get(at(&field.name)?).cloned()).collect()
        });
        Ok(page)
    }

    fn asked(&self, text: String) -> Query {
        let after = self.after.iter().flatten().cloned();
        after.fold(sql(AssertSqlSafe(text)), Query::bind)
    }
}

/// The sum over a table.
pub(super) struct Summing {
    table: String,
    pub(super) rows: u64,
    digest: Context,
}

impl Summing {
    pub(super) fn new(table: &Table) -> Self {
        let mut digest = Context::new(&SHA256);
        for name in std::iter::once(&table.name).chain(table.fields.iter().map(|field| &field.name)) {
            piece(&mut digest, b'n', name.as_bytes());
        }
        Self { table: table.name.clone(), rows: 0, digest }
    }

    /// Each value with its kind and its length, so that no two rows look alike.
    pub(super) fn add(&mut self, row: &[Value]) {
        self.rows += 1;
        for value in row {
            match value {
                Value::Int(Some(value)) => piece(&mut self.digest, b'i', &value.to_be_bytes()),
                Value::Text(Some(value)) => piece(&mut self.digest, b't', value.as_bytes()),
                Value::Bytes(Some(value)) => piece(&mut self.digest, b'b', value),
                Value::Int(None) | Value::Text(None) | Value::Bytes(None) => {
                    piece(&mut self.digest, b'0', b"")
                }
            }
        }
    }

    pub(super) fn done(self) -> Sum {
        let digest = self.digest.finish();
        let sha256 = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Sum { table: self.table, rows: self.rows, sha256 }
    }
}

fn piece(digest: &mut Context, kind: u8, bytes: &[u8]) {
    digest.update(&[kind]);
    digest.update(&(bytes.len() as u64).to_be_bytes());
    digest.update(bytes);
}
