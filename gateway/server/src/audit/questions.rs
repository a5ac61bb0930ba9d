//! The audit of questions: each against the payload that asked it and the answer it names, and what back
//! ends were told of it.

use serde_json::Value;
use silkgate_message::catalogue::Catalogue;
use silkgate_message::event;
use silkgate_message::jws::Jws;

use super::Audit;
use crate::store::delivery::{self, Delivery, Notice};
use crate::store::ledger::hash;
use crate::store::message::{self, Message, State, Way};
use crate::store::question::{self, QuestionState};
use crate::store::{Connection, StoreError};

impl Audit<'_> {
    /// A question's row is what its payload asks; its answer is one. A message that asks none has no row.
    pub(super) async fn question(
        &mut self,
        conn: &mut Connection,
        place: &str,
        row: &Message,
        payload: Option<&[u8]>,
    ) -> Result<(), StoreError> {
        let stored = question::find(conn, row.seq).await?;
        let asked = payload.and_then(asked);
        let fits = match (&stored, asked) {
            (None, None) => true,
            (Some(stored), Some(asked)) => {
                stored.deadline == asked.deadline && stored.ours == (row.way == Way::Sent)
            }
            // The payload was never kept, or its absence is reported elsewhere.
            (Some(_), None) => payload.is_none(),
            (None, Some(_)) => false,
        };
        if !fits {
            self.find(place, "its question is not what the payload asks");
        }
        let Some(stored) = stored else { return Ok(()) };
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
        let mut fits = answer.is_some() == (stored.state == QuestionState::Answered);
        if let Some(answer) = &answer {
            let named = self.readable(conn, answer.seq).await?.and_then(|bytes| correlated(&bytes));
            fits &= answers(answer) && named.is_none_or(|id| id == row.id);
        }
        if !fits {
            self.find(place, "its answer is none, or answers another question");
        }
        if row.way == Way::Sent {
            let told = delivery::find(conn, row.seq).await?;
            let fits = match &told {
                None => stored.state != QuestionState::Missed,
                Some(told) => self.notice_fits(told, row, Notice::AnswerMissing),
            };
            if !fits {
                self.find(place, "what its asker was told is not what the house log states");
            }
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

    fn notice_fits(&self, told: &Delivery, row: &Message, notice: Notice) -> bool {
        let delivered = self.delivered.get(&hash(row.digest)).copied();
        told.notice == Some(notice)
            && told.recipient == row.source
            && told.done_at.map(|at| at.0) == delivered
    }

    /// What a received message's hand-over has to tell beside it. None where that is not known any more: which question
    /// an erased answer named.
    pub(super) async fn notice_of(
        &self,
        conn: &mut Connection,
        row: &Message,
    ) -> Result<Option<Option<Notice>>, StoreError> {
        if row.kind != "query.response" {
            return Ok(Some(None));
        }
        let Some(payload) = self.readable(conn, row.seq).await? else { return Ok(None) };
        let Some(id) = correlated(&payload) else { return Ok(Some(None)) };
        let asked = message::by_id(conn, &id).await?;
        let asked = asked.iter().find(|m| m.way == Way::Sent && m.partner == row.partner);
        let Some(asked) = asked else { return Ok(Some(None)) };
        let question = question::find(conn, asked.seq).await?;
        Ok(Some(question.filter(|question| question.deadline < row.at).map(|_| Notice::AnswerLate)))
    }
}

/// What a signed message asks.
fn asked(payload: &[u8]) -> Option<silkgate_message::catalogue::Question> {
    let event = Jws::parse(payload).ok()?.event;
    let schema = event.get("dataschema").and_then(Value::as_str)?;
    Catalogue::embedded().by_schema_id(schema)?.question(&event)
}

/// The question that a signed answer names; a cancel answers nothing.
fn correlated(payload: &[u8]) -> Option<uuid::Uuid> {
    let event = Jws::parse(payload).ok()?.event;
    let whole = event.get("data")?.get("action").and_then(Value::as_str) != Some("cancel");
    event.get("correlationid").and_then(Value::as_str).filter(|_| whole).and_then(event::uuid_v7)
}
