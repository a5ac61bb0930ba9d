//! Table `tally`: what became of messages, counted by the hour.

use std::collections::BTreeMap;

use super::sql::sql;
use super::{Connection, Script, StoreError};

/// Milliseconds of an hour.
pub const HOUR_MS: i64 = 3_600_000;

/// What is counted together.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Kind {
    /// Hours since 1970, UTC.
    pub hour: i64,
    /// The partner's state.
    pub partner: String,
    /// `received` or `sent`.
    pub direction: &'static str,
    /// A type of the catalogue, or `unknown`.
    pub kind: String,
    /// `submitted`, `accepted`, the code of a refusal, or how it ended.
    pub outcome: String,
}

/// Adds counts.
pub fn add(script: &mut Script, counts: &BTreeMap<Kind, i64>) {
    let values = |(kind, count): (&Kind, &i64)| {
        vec![
            kind.hour.into(),
            kind.partner.as_str().into(),
            kind.direction.into(),
            kind.kind.as_str().into(),
            kind.outcome.as_str().into(),
            (*count).into(),
        ]
    };
    let head = "INSERT INTO tally (hour, partner, direction, type, outcome, messages)";
    let tail = "ON CONFLICT (hour, partner, direction, type, outcome) DO UPDATE SET messages = tally.messages + excluded.messages";
    script.insert(head, tail, counts.iter().map(values).collect());
}

/// Counts of one day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Day {
    /// Days since 1970, UTC.
    pub day: i64,
    /// The partner's state.
    pub partner: String,
    /// `received` or `sent`.
    pub direction: String,
    /// As [`Kind::outcome`].
    pub outcome: String,
    /// How many.
    pub messages: i64,
}

/// Counts from a day on, by day, partner, direction and outcome, in this order.
pub async fn by_day(conn: &mut Connection, from: i64) -> Result<Vec<Day>, StoreError> {
    let query = sql("SELECT hour / 24, partner, direction, outcome, CAST(sum(messages) AS BIGINT) FROM tally
         WHERE hour >= $1 GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4");
    let rows = query.bind(from * 24).fetch_all(conn).await?;
    let read = |row: &super::sql::Row| {
        Ok(Day {
            day: row.get(0)?,
            partner: row.get(1)?,
            direction: row.get(2)?,
            outcome: row.get(3)?,
            messages: row.get(4)?,
        })
    };
    rows.iter().map(read).collect()
}
