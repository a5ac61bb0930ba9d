//! The audit of questions: the answer that each names, and what back ends are told of it.

use serde_json::Value;
use silkgate_message::catalogue::{Catalogue, Question as Asked};
use silkgate_message::event;
use silkgate_message::jws::Jws;

use super::Audit;
use crate::store::delivery::Notice;
use crate::store::message::{self, Message, State, Way};
use crate::store::question::{self, Question, QuestionState};
use crate::store::{Connection, StoreError};

impl Audit<'_> {
    /// A question's answer is one.
    pub(super) async fn answer(
        &mut self,
        conn: &mut Connection,
        place: &str,
        row: &Message,
        stored: &Question,
    ) -> Result<(), StoreError> {
        let answer = match stored.answer {
            Some(seq) => message::by_seq(conn, seq).await?,
            None => None,
        };
        let answers = |answer: &Message| {
            answer.kind == "query.response"
                && answer.way != row.way
                && answer.partner == row.partner
                && matches!(answer.state, State::Accepted | State::Queued | State::Receipted)
        };
        let mut fits = answer.is_some() == (stored.state == QuestionState::Answered)
            && answer.is_some() == stored.answer.is_some();
        if let Some(answer) = &answer {
            let named = self.readable(conn, answer.seq).await?.and_then(|bytes| correlated(&bytes));
            fits &= answers(answer) && named.is_none_or(|id| id == row.id);
        }
        if !fits {
            self.report.find(place, "its answer is none, or answers another question");
        }
        Ok(())
    }

    /// A payload, if it is there and can be read; its own row tells of one that cannot.
    async fn readable(&self, conn: &mut Connection, seq: i64) -> Result<Option<Vec<u8>>, StoreError> {
        match self.store.payload(conn, seq).await {
            Err(StoreError::Unreadable { .. }) => Ok(None),
            other => other,
        }
    }

    /// What a received message's hand-over has to tell beside it. None where that is not known any more: which question
    /// an erased answer named.
    pub(super) async fn notice_of(
        &self,
        conn: &mut Connection,
        row: &Message,
        payload: Option<&[u8]>,
    ) -> Result<Option<Option<Notice>>, StoreError> {
        if row.kind != "query.response" || row.way != Way::Received {
            return Ok(Some(None));
        }
        let Some(payload) = payload else { return Ok(None) };
        let Some(id) = correlated(payload) else { return Ok(Some(None)) };
        let asked = message::by_id(conn, &id).await?;
        let asked = asked.iter().find(|m| m.way == Way::Sent && m.partner == row.partner);
        let Some(asked) = asked else { return Ok(Some(None)) };
        let question = question::find(conn, asked.seq).await?;
        Ok(Some(question.filter(|question| question.deadline < row.at).map(|_| Notice::AnswerLate)))
    }
}

/// What a signed message asks.
pub(super) fn asked(jws: &Jws) -> Option<Asked> {
    let schema = jws.event.get("dataschema").and_then(Value::as_str)?;
    Catalogue::embedded().by_schema_id(schema)?.question(&jws.event)
}

/// The question that a signed answer names; a cancel answers nothing.
fn correlated(payload: &[u8]) -> Option<uuid::Uuid> {
    let event = Jws::parse(payload).ok()?.event;
    let whole = event.get("data")?.get("action").and_then(Value::as_str) != Some("cancel");
    event.get("correlationid").and_then(Value::as_str).filter(|_| whole).and_then(event::uuid_v7)
}
