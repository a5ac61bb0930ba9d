//! Table `question`: questions, until their final answer or their deadline.

use silkgate_message::instant::Instant;
use uuid::Uuid;

use super::sql::{Row, sql};
use super::{Connection, StoreError};

/// How a question stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuestionState {
    /// No final answer yet.
    Open,
    /// It has its final answer.
    Answered,
    /// The deadline passed without a final answer; a late one may still come.
    Missed,
}

impl QuestionState {
    fn as_str(self) -> &'static str {
        match self {
            QuestionState::Open => "open",
            QuestionState::Answered => "answered",
            QuestionState::Missed => "missed",
        }
    }
}

/// A row of `question`.
#[derive(Clone, Debug)]
pub struct Question {
    /// Whether a back end of ours asked.
    pub ours: bool,
    /// Until when an answer is waited for.
    pub deadline: Instant,
    /// How it stands.
    pub state: QuestionState,
    /// The message that answered it finally.
    pub answer: Option<i64>,
}

/// Notes a question; the same again replaces its row.
pub async fn put(conn: &mut Connection, seq: i64, question: &Question) -> Result<(), StoreError> {
    sql("INSERT INTO question (seq, ours, deadline_ms, state, answer) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (seq) DO UPDATE SET state = excluded.state, answer = excluded.answer")
    .bind(seq)
    .bind(i64::from(question.ours))
    .bind(question.deadline.0)
    .bind(question.state.as_str())
    .bind(question.answer)
    .execute(conn)
    .await?;
    Ok(())
}

/// The question that a message asked.
pub async fn find(conn: &mut Connection, seq: i64) -> Result<Option<Question>, StoreError> {
    let query = sql("SELECT ours, deadline_ms, state, answer FROM question WHERE seq = $1").bind(seq);
    query.fetch_optional(conn).await?.map(|row| read(&row, 0)).transpose()
}

/// The questions whose final answer this message is: one at most, and two at most are read.
pub async fn answered_by(conn: &mut Connection, answer: i64) -> Result<Vec<Question>, StoreError> {
    let query = sql("SELECT ours, deadline_ms, state, answer FROM question WHERE answer = $1 LIMIT 2");
    query.bind(answer).fetch_all(conn).await?.iter().map(|row| read(row, 0)).collect()
}

/// Questions that messages after `seq` and up to `last` asked, ascending.
pub async fn between(conn: &mut Connection, seq: i64, last: i64) -> Result<Vec<(i64, Question)>, StoreError> {
    let rows = sql(
        "SELECT seq, ours, deadline_ms, state, answer FROM question WHERE seq > $1 AND seq <= $2 ORDER BY seq",
    );
    let rows = rows.bind(seq).bind(last).fetch_all(conn).await?;
    rows.iter().map(|row| Ok((row.get(0)?, read(row, 1)?))).collect()
}

/// Reads the columns from `first` on.
fn read(row: &Row, first: usize) -> Result<Question, StoreError> {
    let corrupt = |what: &str| StoreError::Corrupt(format!("question.{what}"));
    let ours: i64 = row.get(first)?;
    let stored: String = row.get(first + 2)?;
    let states = [QuestionState::Open, QuestionState::Answered, QuestionState::Missed];
    let state = states.into_iter().find(|state| state.as_str() == stored);
    Ok(Question {
        ours: if ours == 0 || ours == 1 { ours == 1 } else { return Err(corrupt("ours")) },
        deadline: Instant(row.get(first + 1)?),
        state: state.ok_or_else(|| corrupt("state"))?,
        answer: row.get(first + 3)?,
    })
}

/// Opens the question again that this message had answered.
pub async fn reopen(conn: &mut Connection, answer: i64) -> Result<(), StoreError> {
    sql("UPDATE question SET state = 'open', answer = NULL WHERE answer = $1")
        .bind(answer)
        .execute(conn)
        .await?;
    Ok(())
}

/// Questions of ours whose deadline has passed without a final answer, and when the next one's will.
pub async fn due(
    conn: &mut Connection,
    now: Instant,
    limit: u32,
) -> Result<(Vec<i64>, Option<Instant>), StoreError> {
    let rows = sql("SELECT seq FROM question WHERE ours = 1 AND state = 'open' AND deadline_ms <= $1
         ORDER BY deadline_ms LIMIT $2");
    let rows = rows.bind(now.0).bind(i64::from(limit)).column(&mut *conn).await?;
    let next =
        sql("SELECT min(deadline_ms) FROM question WHERE ours = 1 AND state = 'open' AND deadline_ms > $1");
    let next: Option<i64> = next.bind(now.0).value(conn).await?;
    Ok((rows, next.map(Instant)))
}

/// The id of the message that answered finally.
pub async fn answer(conn: &mut Connection, seq: i64) -> Result<Option<Uuid>, StoreError> {
    let query = sql("SELECT m.id FROM question q JOIN message m ON m.seq = q.answer WHERE q.seq = $1");
    let id: Option<Vec<u8>> = query.bind(seq).first(conn).await?;
    id.map(|id| Uuid::from_slice(&id).map_err(|_| StoreError::Corrupt("message.id".into()))).transpose()
}
