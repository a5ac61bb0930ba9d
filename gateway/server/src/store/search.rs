//! Search over table `message`.

use silkgate_message::instant::Instant;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::message::{COLUMNS, Message, Way, from_row};
use super::sql::{Value, sql};
use super::{Connection, StoreError};

/// Messages that are looked up by one statement.
const AT_ONCE: usize = 256;

/// Which messages; None is any.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// `id`, of whichever sender.
    pub id: Option<Uuid>,
    /// The partner's state.
    pub partner: Option<String>,
    /// Received or sent.
    pub way: Option<Way>,
    /// `type`.
    pub kind: Option<String>,
    /// `subject`.
    pub record: Option<String>,
    /// `purpose`.
    pub purpose: Option<String>,
    /// Committed at this instant or later.
    pub since: Option<Instant>,
    /// Committed before this instant.
    pub until: Option<Instant>,
    /// What became of it, by whichever side judged.
    pub verdict: Option<Verdict>,
}

/// What became of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It was accepted.
    Accepted,
    /// It was refused.
    Rejected,
    /// It waits to be sent.
    Waiting,
    /// It ended without a verdict.
    Undelivered,
}

impl Verdict {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Accepted, Self::Rejected, Self::Waiting, Self::Undelivered];

    /// As addresses say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Waiting => "waiting",
            Self::Undelivered => "undelivered",
        }
    }

    fn condition(self) -> &'static str {
        match self {
            Self::Accepted => " AND state IN ('accepted', 'receipted')",
            Self::Rejected => " AND state = 'rejected'",
            Self::Waiting => " AND state = 'queued'",
            Self::Undelivered => " AND state IN ('expired', 'unknown', 'returned', 'dead', 'dropped')",
        }
    }
}

impl Filter {
    /// Whether it lets everything through.
    pub fn is_open(&self) -> bool {
        self.conditions(0).0.is_empty()
    }

    /// What of it narrows, as conditions behind `bound` values, and their values: what is not asked for does not stand in a
    /// statement, so that an index can serve what is.
    fn conditions(&self, bound: usize) -> (String, Vec<Value>) {
        let (mut text, mut values) = (String::new(), Vec::<Value>::new());
        if let Some(id) = self.id {
            values.push(id.as_bytes().to_vec().into());
            // The few of that id by their own index, whatever else narrows: another index may lead through millions.
            text.push_str(&format!(
                " AND seq IN (SELECT seq FROM message WHERE partner IN (SELECT country FROM partner)
                  AND direction IN ('received', 'sent') AND id = ${})",
                bound + values.len()
            ));
        }
        let mut add = |condition: &str, value: Option<Value>| {
            let Some(value) = value else { return };
            values.push(value);
            text.push_str(&format!(" AND {condition} ${}", bound + values.len()));
        };
        add("partner =", self.partner.as_deref().map(Value::from));
        add("direction =", self.way.map(|way| way.as_str().into()));
        add("type =", self.kind.as_deref().map(Value::from));
        add("subject =", self.record.as_deref().map(Value::from));
        add("purpose =", self.purpose.as_deref().map(Value::from));
        add("at_ms >=", self.since.map(|at| at.0.into()));
        add("at_ms <", self.until.map(|at| at.0.into()));
        text.push_str(self.verdict.map_or("", Verdict::condition));
        (text, values)
    }
}

/// Messages that pass the filter, in order of arrival, at most `limit`.
pub async fn matching(
    conn: &mut Connection,
    filter: &Filter,
    limit: usize,
) -> Result<Vec<Message>, StoreError> {
    let (conditions, values) = filter.conditions(1);
    let text = format!("WHERE seq > $1{conditions} ORDER BY seq LIMIT {limit}");
    read(conn, text, [0i64.into()].into_iter().chain(values)).await
}

/// Messages that pass the filter, newest first, at most `limit`, among those after `after` and before `before`: the caller
/// bounds what is looked at, whatever the filter lets through.
pub async fn newest(
    conn: &mut Connection,
    filter: &Filter,
    after: i64,
    before: i64,
    limit: u32,
) -> Result<Vec<Message>, StoreError> {
    let (conditions, values) = filter.conditions(2);
    let text = format!("WHERE seq > $1 AND seq < $2{conditions} ORDER BY seq DESC LIMIT {limit}");
    read(conn, text, [after.into(), before.into()].into_iter().chain(values)).await
}

/// Those of these messages that pass the filter, in order of arrival.
pub async fn among(conn: &mut Connection, filter: &Filter, seqs: &[i64]) -> Result<Vec<Message>, StoreError> {
    let mut rows = Vec::new();
    for seqs in seqs.chunks(AT_ONCE) {
        // Few texts stay in the connection's cache. No message is 0.
        let room = seqs.len().next_power_of_two();
        let places: Vec<String> = (1..=room).map(|n| format!("${n}")).collect();
        let (conditions, values) = filter.conditions(room);
        let text = format!("WHERE seq IN ({}){conditions}", places.join(", "));
        let seqs = seqs.iter().copied().chain(std::iter::repeat(0)).take(room).map(Value::from);
        rows.extend(read(conn, text, seqs.chain(values)).await?);
    }
    rows.sort_unstable_by_key(|row| row.seq);
    Ok(rows)
}

/// Accepted messages of one partner, direction, type and purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// The partner's state.
    pub partner: String,
    /// `received` or `sent`.
    pub direction: String,
    /// `type`.
    pub kind: String,
    /// `purpose`; None: taken by a version that did not note it.
    pub purpose: Option<String>,
    /// How many.
    pub messages: i64,
}

/// What accepted messages after `after` are for, the most frequent first within a partner, at most `limit` lines.
pub async fn uses(conn: &mut Connection, after: i64, limit: usize) -> Result<Vec<Use>, StoreError> {
    let text = format!(
        "SELECT partner, direction, type, purpose, count(*) FROM message WHERE seq > $1{}
         GROUP BY 1, 2, 3, 4 ORDER BY 1, 5 DESC, 2, 3, 4 LIMIT {limit}",
        Verdict::Accepted.condition()
    );
    // A constant of this file and a number.
    let rows = sql(AssertSqlSafe(text)).bind(after).fetch_all(conn).await?;
    let read = |row: &super::sql::Row| {
        Ok(Use {
            partner: row.get(0)?,
            direction: row.get(1)?,
            kind: row.get(2)?,
            purpose: row.get(3)?,
            messages: row.get(4)?,
        })
    };
    rows.iter().map(read).collect()
}

async fn read(
    conn: &mut Connection,
    rest: String,
    values: impl Iterator<Item = Value>,
) -> Result<Vec<Message>, StoreError> {
    // Constants of this file and numbers: values go by their place.
    let query = sql(AssertSqlSafe(format!("SELECT {COLUMNS} FROM message {rest}")));
    let rows = values.fold(query, |query, value| query.bind(value)).fetch_all(conn).await?;
    rows.iter().map(from_row).collect()
}

/// The first `seq` whose message was committed at `at` or later, as far as rows stand in the order of their times; the next free
/// one where there is none.
pub async fn seq_at(conn: &mut Connection, at: Instant) -> Result<i64, StoreError> {
    let (mut low, mut high) = (1, super::message::next_seq(conn).await?);
    while low < high {
        let middle = low + (high - low) / 2;
        let found = sql("SELECT at_ms FROM message WHERE seq >= $1 ORDER BY seq LIMIT 1").bind(middle);
        match found.first::<i64>(conn).await? {
            Some(found) if found < at.0 => low = middle + 1,
            _ => high = middle,
        }
    }
    Ok(low)
}
