//! The audit of questions: the answer that each names, and what back ends are told of it.

use serde_json::Value;
use silkgate_message::catalogue::{Catalogue, MessageType, Question as Asked};
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
            answers(answer)
                && answer.seq > row.seq
                && answer.way != row.way
                && answer.partner == row.partner
                && (&answer.source, &answer.recipient) == (&row.recipient, &row.source)
        };
        let mut fits = answer.is_some() == (stored.state == QuestionState::Answered)
            && answer.is_some() == stored.answer.is_some();
        if let Some(answer) = &answer {
            let named = self.readable(conn, answer.seq).await?.and_then(|bytes| correlated(&bytes));
            fits &= answers(answer) && named.is_none_or(|named| named == (row.id, true));
        }
        if !fits {
            self.report.find(place, "its answer is none, or answers another question");
        }
        Ok(())
    }

    /// A message of that type which asked nothing was a cancel, and followed an earlier version of its record: that much
    /// holds also of an erased one.
    pub(super) async fn asked_nothing(
        &mut self,
        conn: &mut Connection,
        place: &str,
        row: &Message,
    ) -> Result<(), StoreError> {
        if row.kind != "query.request" || (row.way, row.state) == (Way::Received, State::Rejected) {
            return Ok(());
        }
        let versions = message::by_subject(conn, &row.subject).await?;
        let key = |version: &Message| (version.way, version.partner.clone(), version.kind.clone());
        if !versions.iter().any(|version| version.seq < row.seq && key(version) == key(row)) {
            self.report.find(place, "it was the first of its record, and its question is gone");
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

    /// An answer names a question that was asked, and the final one is named by it. Gives what a received answer's
    /// hand-over has to tell beside it; None where that is not known any more: of an erased answer, only the final one
    /// is named by its question.
    pub(super) async fn notice_of(
        &mut self,
        conn: &mut Connection,
        place: &str,
        row: &Message,
        payload: Option<&[u8]>,
    ) -> Result<Option<Option<Notice>>, StoreError> {
        if !answers(row) {
            return Ok(Some(None));
        }
        let late = |question: Question| (question.deadline < row.at).then_some(Notice::AnswerLate);
        let Some(payload) = payload else {
            let mut questions = question::answered_by(conn, row.seq).await?;
            if questions.len() > 1 {
                self.report.find(place, "it is the answer to more than one question");
            }
            return Ok(questions.pop().map(late));
        };
        let Some((id, is_final)) = correlated(payload) else { return Ok(Some(None)) };
        let asked_by = if row.way == Way::Received { Way::Sent } else { Way::Received };
        let asked = message::find(conn, asked_by, &row.partner, &id, &row.recipient).await?;
        let question = match asked {
            Some(asked) => question::find(conn, asked.seq).await?,
            None => None,
        };
        match &question {
            None => self.report.find(place, "the question that it answers is not there"),
            Some(question) if is_final && question.answer != Some(row.seq) => {
                self.report.find(place, "it is the final answer, and its question names another or none");
            }
            Some(_) => {}
        }
        Ok(question.map(late))
    }
}

/// Whether a message is an answer that stands: one that did not get through answers nothing.
fn answers(row: &Message) -> bool {
    row.kind == "query.response" && matches!(row.state, State::Accepted | State::Queued | State::Receipted)
}

/// What a signed message asks.
pub(super) fn asked(jws: &Jws) -> Option<Asked> {
    message_type(jws)?.question(&jws.event)
}

/// The question that a signed answer names, and whether it answers it finally; a cancel answers nothing.
fn correlated(payload: &[u8]) -> Option<(uuid::Uuid, bool)> {
    let jws = Jws::parse(payload).ok()?;
    let references = message_type(&jws)?.references(&jws.event);
    references.into_iter().find_map(|reference| Some((reference.id, reference.answers?)))
}

fn message_type(jws: &Jws) -> Option<&'static MessageType> {
    let schema = jws.event.get("dataschema").and_then(Value::as_str)?;
    Catalogue::embedded().by_schema_id(schema)
}
