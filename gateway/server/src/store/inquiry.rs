//! Several questions at once: SQLite takes them as one text, and so is woken once for all of them.

use sqlx::AssertSqlSafe;

use super::bulk::{fetch_among, pieces, room_for};
use super::sql::{Row, Value, sql};
use super::{Connection, StoreError};

/// A question to the database.
pub(super) enum Ask {
    /// As it stands, without values.
    Whole(&'static str),
    /// As [`fetch_among`] takes it: what is known of these keys.
    Among { head: String, keys: Vec<Vec<Value>> },
}

/// The rows of each, in the order of the questions.
pub(super) async fn ask(conn: &mut Connection, asks: Vec<Ask>) -> Result<Vec<Vec<Row>>, StoreError> {
    if conn.is_shared() {
        let mut answers = Vec::with_capacity(asks.len());
        for ask in asks {
            answers.push(match ask {
                Ask::Whole(text) => sql(text).fetch_all(conn).await?,
                Ask::Among { head, keys } => fetch_among(conn, &head, keys, "").await?,
            });
        }
        return Ok(answers);
    }
    // All of the same room, as in a script: few texts stay in the connection's cache.
    let lengths = asks.iter().map(|ask| match ask {
        Ask::Whole(_) => 0,
        Ask::Among { keys, .. } => keys.len(),
    });
    let room = room_for(lengths.max().unwrap_or(0));
    let (mut texts, mut values, mut parts) = (Vec::new(), Vec::new(), Vec::new());
    for ask in asks {
        let before = texts.len();
        match ask {
            Ask::Whole(text) => texts.push(text.to_owned()),
            Ask::Among { head, keys } => {
                let width = keys.first().map_or(0, Vec::len);
                for (tuples, mut piece) in pieces(width, Some(room), keys) {
                    // Nothing is equal to NULL.
                    piece.resize(room * width, Value::Int(None));
                    texts.push(format!("{head} (VALUES {tuples})"));
                    values.append(&mut piece);
                }
            }
        }
        parts.push(texts.len() - before);
    }
    let wanted = texts.len();
    let each = sql(AssertSqlSafe(texts.join("; "))).bind_all(values).fetch_each(conn).await?;
    if each.len() != wanted {
        // The answers end where SQLite's thread does. What is missing must not pass for what is not known.
        return Err(StoreError::Corrupt("questions were left without an answer".into()));
    }
    let mut each = each.into_iter();
    Ok(parts.into_iter().map(|pieces| each.by_ref().take(pieces).flatten().collect()).collect())
}
