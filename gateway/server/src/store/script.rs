//! What a batch writes, sent to the database together: SQLite has a thread of its own, and each way there and back wakes it and
//! whoever waits. Statements run in their order; one that fails ends the transaction.

use sqlx::AssertSqlSafe;

use super::bulk::{insert_all, pieces, room_for};
#[cfg(test)]
use super::fault;
use super::sql::{Value, sql};
use super::{Connection, StoreError};

/// Statements in their order.
#[derive(Default)]
pub struct Script {
    parts: Vec<Part>,
}

enum Part {
    /// As [`insert_all`] takes them.
    Rows { head: &'static str, tail: &'static str, rows: Vec<Vec<Value>>, sets_room: bool },
    /// One that moves a log's head, and gives back one row: `$1` and so on in the order of the values.
    Move { text: &'static str, values: Vec<Value> },
}

impl Script {
    /// Inserts rows of equal kinds, as [`insert_all`] does. In none is the first column NULL.
    pub(super) fn insert(&mut self, head: &'static str, tail: &'static str, rows: Vec<Vec<Value>>) {
        if !rows.is_empty() {
            self.parts.push(Part::Rows { head, tail, rows, sets_room: true });
        }
    }

    /// The same where each message has several rows: in as many pieces as they need of the room that the others take.
    pub(super) fn insert_several(&mut self, head: &'static str, tail: &'static str, rows: Vec<Vec<Value>>) {
        if !rows.is_empty() {
            self.parts.push(Part::Rows { head, tail, rows, sets_room: false });
        }
    }

    /// A statement with `RETURNING` that must find its one row. Its placeholders are numbered, each once and in order.
    pub(super) fn one(&mut self, text: &'static str, values: Vec<Value>) {
        self.parts.push(Part::Move { text, values });
    }

    /// Runs it.
    ///
    /// # Errors
    /// Of the database; [`StoreError::Corrupt`] where a statement that must find its row did not.
    pub async fn run(self, conn: &mut Connection) -> Result<(), StoreError> {
        let wanted = self.parts.iter().filter(|part| matches!(part, Part::Move { .. })).count();
        let found = if conn.is_shared() { self.one_by_one(conn).await? } else { self.together(conn).await? };
        if found == wanted {
            Ok(())
        } else {
            Err(StoreError::Corrupt("another writer moved the log's head".into()))
        }
    }

    /// A server takes values with one statement at a time; each has its rows as arrays.
    async fn one_by_one(self, conn: &mut Connection) -> Result<usize, StoreError> {
        let mut found = 0;
        for part in self.parts {
            match part {
                Part::Rows { head, tail, rows, .. } => {
                    insert_all(conn, head, tail, rows).await?;
                }
                Part::Move { text, values } => {
                    found += sql(text).bind_all(values).fetch_all(conn).await?.len();
                }
            }
        }
        Ok(found)
    }

    /// SQLite takes all of them as one text. Pieces of all tables have the same room, so that few texts stay in the connection's
    /// cache.
    async fn together(self, conn: &mut Connection) -> Result<usize, StoreError> {
        #[cfg(test)]
        let fates = {
            let mut fates = Vec::new();
            for part in &self.parts {
                fates.push(fault::write(part.begin()).await?);
            }
            fates
        };
        let lengths = self.parts.iter().map(|part| match part {
            Part::Rows { rows, sets_room: true, .. } => rows.len(),
            Part::Rows { .. } | Part::Move { .. } => 0,
        });
        let room = room_for(lengths.max().unwrap_or(0));
        let (mut texts, mut values) = (Vec::new(), Vec::new());
        for part in self.parts {
            match part {
                Part::Rows { head, tail, rows, .. } => {
                    let width = rows.first().map_or(0, Vec::len);
                    // It would be taken for what is left of the room, and be lost without a word.
                    if rows.iter().any(|row| row.first().is_none_or(Value::is_null)) {
                        return Err(StoreError::Corrupt(format!("{head}: a row without its first column")));
                    }
                    for (tuples, mut piece) in pieces(width, Some(room), rows) {
                        // What is left of the room is NULL, and no row: the first column is none of those that may be.
                        piece.resize(room * width, Value::Int(None));
                        texts.push(format!(
                            "{head} SELECT * FROM (VALUES {tuples}) WHERE column1 IS NOT NULL {tail}"
                        ));
                        values.append(&mut piece);
                    }
                }
                Part::Move { text, values: of_it } => {
                    // Each statement goes on behind the values of the one before.
                    texts.push(text.split('$').enumerate().map(unnumbered).collect());
                    values.extend(of_it);
                }
            }
        }
        if texts.is_empty() {
            return Ok(0);
        }
        let query = sql(AssertSqlSafe(texts.join("; "))).bind_all(values);
        let found = query.fetch_all(conn).await?.len();
        #[cfg(test)]
        for fate in fates {
            fate.report().await?;
        }
        Ok(found)
    }
}

/// A placeholder without its number, and what follows it.
fn unnumbered((n, piece): (usize, &str)) -> String {
    if n == 0 {
        piece.to_owned()
    } else {
        format!("?{}", piece.trim_start_matches(|c: char| c.is_ascii_digit()))
    }
}

#[cfg(test)]
impl Part {
    fn begin(&self) -> &'static str {
        match self {
            Part::Rows { head, .. } => head,
            Part::Move { text, .. } => text,
        }
    }
}
