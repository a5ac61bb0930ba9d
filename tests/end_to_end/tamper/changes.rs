//! Every kind of change to every column of every row that evidence rests on, from the schema itself.

use std::collections::BTreeMap;

use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Row as _};

use super::Coverage;

/// Rows of a table that are changed, spread from the first to the last.
const ROWS: usize = 3;

/// Columns that hold one of a few words, which no flipped byte turns into each other.
const WORDS: [(&str, &str, &[&str]); 7] = [
    ("alarm", "kind", &["fork", "rollback"]),
    (
        "delivery",
        "notice",
        &[
            "answer_late",
            "answer_missing",
            "not_delivered_expired",
            "delivery_unknown",
            "not_delivered_rejected",
            "not_delivered_returned",
            "not_delivered_dead",
        ],
    ),
    ("delivery", "state", &["open", "delivered", "dead", "dropped"]),
    ("erasure", "rule", &["retention", "operator"]),
    ("message", "direction", &["received", "sent"]),
    (
        "message",
        "state",
        &["accepted", "rejected", "queued", "receipted", "expired", "unknown", "returned", "dead"],
    ),
    ("question", "state", &["open", "answered", "missed"]),
];

/// Columns of `message` that are judged otherwise from kind to kind.
const BY_KIND: [&str; 8] =
    ["direction", "state", "code", "version", "subject", "signed_ms", "expires_ms", "request"];

/// What makes a row of a table one of its own kind.
fn kind_of(table: &str) -> &'static [&'static str] {
    match table {
        "delivery" => &["notice"],
        "message" => &["direction", "state", "code"],
        "question" => &["ours", "state"],
        _ => &[],
    }
}

/// A change: of what kind, and how.
pub struct Change {
    pub kind: &'static str,
    pub sql: String,
}

/// A value as it stands in a row.
#[derive(Clone, PartialEq)]
enum Value {
    Null,
    Integer(i64),
    Text(Vec<u8>),
    Blob(Vec<u8>),
}

impl Value {
    fn sql(&self) -> String {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        match self {
            Value::Null => "NULL".to_owned(),
            Value::Integer(number) => number.to_string(),
            Value::Text(bytes) => format!("CAST(x'{}' AS TEXT)", hex(bytes)),
            Value::Blob(bytes) => format!("x'{}'", hex(bytes)),
        }
    }

    /// Everything that can become of it.
    fn changed(&self) -> Vec<(&'static str, Value)> {
        let mut changed = match self {
            Value::Null => vec![
                ("something for NULL", Value::Integer(1)),
                ("something for NULL", Value::Text(b"expired".to_vec())),
            ],
            Value::Integer(number) => {
                vec![("plus one", Value::Integer(number + 1)), ("minus one", Value::Integer(number - 1))]
            }
            Value::Text(bytes) => of_bytes(bytes, Value::Text),
            Value::Blob(bytes) => of_bytes(bytes, Value::Blob),
        };
        if *self != Value::Null {
            changed.push(("NULL", Value::Null));
        }
        changed
    }
}

fn of_bytes(bytes: &[u8], value: fn(Vec<u8>) -> Value) -> Vec<(&'static str, Value)> {
    let mut changed = vec![("extended", value([bytes, b"0"].concat()))];
    let Some(last) = bytes.len().checked_sub(1) else { return changed };
    for (kind, place) in
        [("first byte flipped", 0), ("middle byte flipped", last / 2), ("last byte flipped", last)]
    {
        let mut flipped = bytes.to_vec();
        flipped[place] ^= 1;
        changed.push((kind, value(flipped)));
    }
    changed.push(("truncated", value(bytes[..last].to_vec())));
    changed.push(("emptied", value(Vec::new())));
    changed
}

/// A table's columns, keys and rows.
struct Table {
    name: String,
    columns: Vec<String>,
    keys: Vec<usize>,
    rows: Vec<Vec<Value>>,
    /// Messages whose payload was erased.
    erased: Vec<i64>,
}

impl Table {
    async fn read(conn: &mut SqliteConnection, name: &str) -> Self {
        let sql = format!("SELECT name, pk FROM pragma_table_info('{name}')");
        let info = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut *conn).await.unwrap();
        let columns: Vec<String> = info.iter().map(|row| row.get(0)).collect();
        let keys = (0..info.len()).filter(|at| info[*at].get::<i64, _>(1) > 0).collect();
        let parts: Vec<String> = columns.iter().map(|c| format!("typeof({c}), hex({c})")).collect();
        let sql = format!("SELECT {} FROM {name} ORDER BY 1, 2, 3, 4", parts.join(", "));
        let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut *conn).await.unwrap();
        let erased = sqlx::query("SELECT seq FROM erasure").fetch_all(conn).await.unwrap();
        let erased = erased.iter().map(|row| row.get(0)).collect();
        let value = |kind: String, hex: String| {
            let bytes: Vec<u8> =
                (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect();
            match kind.as_str() {
                "null" => Value::Null,
                "integer" => Value::Integer(String::from_utf8(bytes).unwrap().parse().unwrap()),
                "text" => Value::Text(bytes),
                _ => Value::Blob(bytes),
            }
        };
        let rows = rows
            .iter()
            .map(|row| (0..columns.len()).map(|at| value(row.get(2 * at), row.get(2 * at + 1))).collect())
            .collect();
        Self { name: name.to_owned(), columns, keys, rows, erased }
    }

    fn is(&self, row: &[Value]) -> String {
        let parts: Vec<String> =
            self.keys.iter().map(|key| format!("{} = {}", self.columns[*key], row[*key].sql())).collect();
        parts.join(" AND ")
    }

    fn update(&self, row: &[Value], column: usize, value: &Value) -> String {
        let (name, column) = (&self.name, &self.columns[column]);
        format!("UPDATE {name} SET {column} = {} WHERE {}", value.sql(), self.is(row))
    }

    /// Rows spread from the first to the last, and one of each kind, with payload and erased; whether every column of
    /// it is changed.
    fn picked(&self) -> BTreeMap<usize, bool> {
        let last = self.rows.len() - 1;
        let spread = (0..ROWS).map(|part| (part * last / (ROWS - 1), true));
        let mut kinds = BTreeMap::new();
        let of_kind = kind_of(&self.name);
        for (at, row) in self.rows.iter().enumerate().filter(|_| !of_kind.is_empty()) {
            let kind: Vec<String> = of_kind.iter().map(|column| self.value(row, column).sql()).collect();
            kinds.entry((kind, self.is_erased(row))).or_insert(at);
        }
        let whole = self.name != "message";
        kinds.into_values().map(|at| (at, whole)).chain(spread).collect()
    }

    fn value<'a>(&self, row: &'a [Value], column: &str) -> &'a Value {
        &row[self.columns.iter().position(|name| name == column).unwrap()]
    }

    /// Whether it hangs on a message that was erased, or is one.
    fn is_erased(&self, row: &[Value]) -> bool {
        matches!(row[self.keys[0]], Value::Integer(seq) if self.erased.contains(&seq))
    }

    /// The other words that could stand there.
    fn other_words(&self, row: &[Value], column: usize) -> Vec<Value> {
        let words =
            WORDS.iter().find(|(table, name, _)| *table == self.name && *name == self.columns[column]);
        let words = words.iter().flat_map(|(_, _, words)| *words);
        let words = words.map(|word| Value::Text(word.as_bytes().to_vec()));
        words.filter(|word| *word != row[column]).collect()
    }

    fn text(&self, row: &[Value], column: &str) -> String {
        match self.value(row, column) {
            Value::Text(bytes) => String::from_utf8(bytes.clone()).unwrap(),
            _ => String::new(),
        }
    }

    /// Whether evidence rests on this value, against this kind of change. Columns that are excluded are not changed,
    /// but for what their reason says is checked all the same.
    fn covered(&self, coverage: &Coverage, row: &[Value], column: &str, kind: &str) -> bool {
        if !coverage.columns.contains(&(self.name.clone(), column.to_owned())) {
            return true;
        }
        match (self.name.as_str(), column) {
            ("message", "subject" | "signed_ms" | "expires_ms") => {
                let received = self.text(row, "direction") == "received";
                match self.text(row, "code").as_str() {
                    "event_invalid" if received => true,
                    // One was taken: the envelope could be read.
                    _ if received && self.text(row, "state") == "rejected" => {
                        column == "subject" && kind == "emptied"
                    }
                    // Its hand-over has the same.
                    _ => !self.is_erased(row) || (column == "subject" && received),
                }
            }
            ("message", "request") => matches!(kind, "NULL" | "extended" | "truncated" | "emptied"),
            ("question", "deadline_ms") => !self.is_erased(row),
            ("alarm", "at_ms") => self.text(row, "kind") == "fork",
            ("refusal", "problem") => !kind.contains("flipped") && !kind.contains("another row"),
            // No erased answer here is one that was not the final one, and no two of them go the same way.
            ("erasure", "reason" | "salt") | ("delivery", "notice") | ("question", "answer") => true,
            ("timestamp", "token") => kind != "middle byte flipped",
            ("witnessed", "times") => !kind.contains("swapped"),
            _ => false,
        }
    }
}

/// All changes to a table.
pub async fn of_table(conn: &mut SqliteConnection, name: &str, coverage: &Coverage) -> Vec<Change> {
    let table = Table::read(conn, name).await;
    assert!(!table.rows.is_empty(), "{name} is empty: the test would show nothing");
    let mut changes = Vec::new();
    let mut push = |kind, sql| changes.push(Change { kind, sql });
    for (at, whole) in table.picked() {
        let row = &table.rows[at];
        push("row deleted", format!("DELETE FROM {name} WHERE {}", table.is(row)));
        push("row duplicated", duplicate(&table, row));
        let columns = table.columns.iter().enumerate();
        for (column, column_name) in columns.filter(|(_, name)| whole || BY_KIND.contains(&name.as_str())) {
            let covered = |kind| table.covered(coverage, row, column_name, kind);
            for (kind, value) in row[column].changed() {
                if covered(kind) {
                    push(kind, table.update(row, column, &value));
                }
            }
            for word in table.other_words(row, column).into_iter().filter(|_| covered("another word")) {
                push("another word", table.update(row, column, &word));
            }
            let other = table.rows.iter().cycle().skip(at + 1).take(table.rows.len());
            let Some(other) = other.into_iter().find(|other| other[column] != row[column]) else { continue };
            if covered("copied from another row") {
                push("copied from another row", table.update(row, column, &other[column]));
            }
            let is_key = table.keys.contains(&column);
            if covered("two values swapped") && !is_key && table.covered(coverage, other, column_name, "") {
                let statements =
                    [table.update(row, column, &other[column]), table.update(other, column, &row[column])];
                push("two values swapped", statements.join("; "));
            }
        }
        let differs = |next: &&Vec<Value>| {
            let columns = (0..table.columns.len()).filter(|at| !table.keys.contains(at));
            columns.into_iter().any(|at| {
                next[at] != row[at] && table.covered(coverage, row, &table.columns[at], "another row")
            })
        };
        if let Some(next) = table.rows.get(at + 1).filter(differs) {
            push("two rows reordered", reorder(&table, row, next));
        }
        if let Some(renumbered) = renumber(&table, row) {
            push("row renumbered", renumbered);
        }
    }
    changes
}

/// The same row under a new key.
fn duplicate(table: &Table, row: &[Value]) -> String {
    let key = table.keys[table.keys.len() - 1];
    let values = row.iter().enumerate().map(|(at, value)| match (at == key, value) {
        (true, Value::Integer(_)) => format!("(SELECT max({0}) + 1 FROM {1})", table.columns[at], table.name),
        (true, Value::Text(_)) => "'ZZ'".to_owned(),
        // Names and ids are unique.
        (false, Value::Blob(_)) if table.columns[at] == "id" => "randomblob(16)".to_owned(),
        (false, _) if table.name == "log" && table.columns[at] == "origin" => {
            "'gateway.jo.example/JO/ZZ'".to_owned()
        }
        (false, _) if table.name == "log" && table.columns[at] == "partner" => "'ZZ'".to_owned(),
        _ => value.sql(),
    });
    format!("INSERT INTO {} VALUES ({})", table.name, values.collect::<Vec<_>>().join(", "))
}

/// The keys of two rows exchanged.
fn reorder(table: &Table, one: &[Value], two: &[Value]) -> String {
    let beside = |row: &[Value]| {
        row.iter()
            .enumerate()
            .map(|(at, value)| match (table.keys.last() == Some(&at), value) {
                (true, Value::Integer(number)) => Value::Integer(number + 1_000_000),
                (true, _) => Value::Text(b"YY".to_vec()),
                _ => value.clone(),
            })
            .collect::<Vec<_>>()
    };
    let set = |to: &[Value]| {
        let parts: Vec<String> =
            table.keys.iter().map(|key| format!("{} = {}", table.columns[*key], to[*key].sql())).collect();
        parts.join(", ")
    };
    let passing = beside(one);
    let name = &table.name;
    [
        format!("UPDATE {name} SET {} WHERE {}", set(&passing), table.is(one)),
        format!("UPDATE {name} SET {} WHERE {}", set(one), table.is(two)),
        format!("UPDATE {name} SET {} WHERE {}", set(two), table.is(&passing)),
    ]
    .join("; ")
}

/// Far behind the last.
fn renumber(table: &Table, row: &[Value]) -> Option<String> {
    let key = *table.keys.last()?;
    let Value::Integer(number) = row[key] else { return None };
    Some(table.update(row, key, &Value::Integer(number + 1000)))
}

/// Everything that evidence rests on, in one text.
pub async fn dump(conn: &mut SqliteConnection, coverage: &Coverage) -> Result<String, sqlx::Error> {
    let mut dump = String::new();
    for table in &coverage.tables {
        let sql = format!("SELECT name FROM pragma_table_info('{table}')");
        let columns = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut *conn).await?;
        let columns: Vec<String> = columns.iter().map(|row| row.get(0)).collect();
        let kept = columns.iter().filter(|c| !coverage.columns.contains(&(table.clone(), (*c).clone())));
        let kept: Vec<String> = kept.map(|c| format!("quote({c})")).collect();
        let sql = format!("SELECT {} AS said FROM {table} NOT INDEXED", kept.join(" || ' ' || "));
        for row in sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut *conn).await? {
            dump.push_str(&format!("{table} {}\n", row.try_get::<Option<String>, _>(0)?.unwrap_or_default()));
        }
    }
    Ok(dump)
}
