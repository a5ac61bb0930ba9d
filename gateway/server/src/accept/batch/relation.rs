//! What a message says of others, decided beside its lifecycle: the alert it hit is live and the
//! recipient's own, the question it answers is open, nothing real rests on a drill.

use silkgate_message::catalogue::{Reference, Side};
use silkgate_message::event::Envelope;
use silkgate_message::problem::{Code, Problem};

use super::Batch;
use crate::store::message::{self, Message, State, Way};
use crate::store::question::{self, Question, QuestionState};
use crate::store::record::RecordKey;
use crate::store::{Connection, StoreError};

/// What is to be written once the message itself is taken.
#[derive(Default)]
pub(super) struct Related {
    /// Questions that this message answers: where they stand afterwards.
    answered: Vec<(i64, Question, bool)>,
    /// Whether the answer came after the deadline.
    pub(super) late: bool,
}

impl Batch<'_> {
    /// Checks every reference of a message that goes `way`.
    pub(super) async fn relate(
        &mut self,
        conn: &mut Connection,
        way: Way,
        envelope: &Envelope,
        references: &[Reference],
    ) -> Result<Result<Related, Problem>, StoreError> {
        let mut related = Related::default();
        for reference in references {
            let partner = match way {
                Way::Received => envelope.source.country(),
                Way::Sent => envelope.recipient.country(),
            };
            let found = self.exchanged(conn, &partner.to_string(), way, reference).await?;
            let refuse = |code: Code, detail: &str| {
                Ok(Err(Problem::new(code).detail(format!("{}: {detail}", reference.pointer))))
            };
            let Some(found) = found else {
                // What the sender stated itself may still be on its way here.
                let coming = way == Way::Received && reference.side != Side::Recipient;
                let code = if coming { Code::ReferenceMissing } else { Code::ReferenceUnknown };
                return refuse(code, "no such message was exchanged with this partner");
            };
            if let Some(what) = unlike(reference, envelope, &found) {
                return refuse(Code::ReferenceMismatch, what);
            }
            let key =
                RecordKey { partner: partner.to_string(), way: found.way, subject: found.subject.clone() };
            let record = self.record(conn, &key).await?;
            // What the other side accepted: of a cancel that is still on its way it cannot know.
            let last = record.settled.as_ref().or(record.head.as_ref());
            let facts = last.and_then(|last| last.facts.as_ref());
            if facts.is_some_and(|facts| facts.status != envelope.status.as_str()) {
                return refuse(Code::ReferenceMismatch, "it has another `status`: a drill is never real");
            }
            let said = facts.and_then(|facts| facts.says.as_ref());
            if reference.says.is_some() && said.is_some() && reference.says.as_ref() != said {
                return refuse(
                    Code::ReferenceMismatch,
                    "the crossing's status does not say that it is closed",
                );
            }
            if let (Some(at), Some(head)) = (reference.live_at, last) {
                // A hit from before the cancel got here still counts.
                let ended = match head.cancelled {
                    true => {
                        self.stated(conn, &key, &head.last_id).await?.is_some_and(|cancel| cancel.at <= at)
                    }
                    false => false,
                };
                let day = at.to_string();
                let past = facts.and_then(|facts| facts.delete_by.as_deref());
                let past = past.zip(day.get(..10)).is_some_and(|(delete_by, day)| delete_by < day);
                if ended || past {
                    return refuse(
                        Code::ReferenceEnded,
                        "the record was cancelled or is past its `deleteBy`",
                    );
                }
            }
            if let Some(is_final) = reference.answers {
                let Some(asked) = self.question(conn, found.seq).await? else {
                    return refuse(Code::ReferenceMismatch, "it is no open question");
                };
                if last.is_some_and(|last| last.cancelled) {
                    return refuse(Code::ReferenceEnded, "the question was cancelled");
                }
                if asked.state == QuestionState::Answered {
                    return refuse(Code::QuestionAnswered, "one final answer is given");
                }
                related.late |= asked.deadline < self.now;
                related.answered.push((found.seq, asked, is_final));
            }
        }
        Ok(Ok(related))
    }

    /// Notes what the message at `seq` answered.
    pub(super) fn answer(&mut self, seq: i64, related: Related) {
        for (asked, question, is_final) in related.answered {
            if is_final {
                let answered = Question { state: QuestionState::Answered, answer: Some(seq), ..question };
                self.questions.insert(asked, answered);
            }
        }
    }

    /// The message that a reference names, on the channel with `partner`.
    async fn exchanged(
        &self,
        conn: &mut Connection,
        partner: &str,
        way: Way,
        reference: &Reference,
    ) -> Result<Option<Message>, StoreError> {
        let ways: &[Way] = match (reference.side, way) {
            (Side::Either, _) => &[Way::Sent, Way::Received],
            (Side::Source, Way::Received) | (Side::Recipient, Way::Sent) => &[Way::Received],
            (Side::Source, Way::Sent) | (Side::Recipient, Way::Received) => &[Way::Sent],
        };
        let fits = |message: &&Message| {
            message.partner == partner && message.id == reference.id && ways.contains(&message.way)
        };
        if let Some(taken) = self.taken.values().find(fits) {
            return Ok(Some(taken.clone()));
        }
        Ok(message::by_id(conn, &reference.id).await?.iter().find(fits).cloned())
    }

    /// The message that made a record what it is.
    async fn stated(
        &self,
        conn: &mut Connection,
        key: &RecordKey,
        id: &str,
    ) -> Result<Option<Message>, StoreError> {
        let Ok(id) = id.parse() else { return Ok(None) };
        let fits = |m: &&Message| m.partner == key.partner && m.way == key.way && m.id == id;
        if let Some(taken) = self.taken.values().find(fits) {
            return Ok(Some(taken.clone()));
        }
        Ok(message::by_id(conn, &id).await?.iter().find(fits).cloned())
    }

    async fn question(&self, conn: &mut Connection, seq: i64) -> Result<Option<Question>, StoreError> {
        match self.questions.get(&seq) {
            Some(question) => Ok(Some(question.clone())),
            None => question::find(conn, seq).await,
        }
    }
}

/// What is wrong with the message that was found, in words.
fn unlike(reference: &Reference, envelope: &Envelope, found: &Message) -> Option<&'static str> {
    if found.state == State::Rejected {
        return Some("that message was refused");
    }
    if reference.digest.is_some_and(|digest| digest != found.digest) {
        return Some("the digest is another one");
    }
    if reference.kind != found.kind {
        return Some("that message is of another type");
    }
    if reference.record.as_ref().is_some_and(|record| *record != found.subject) {
        return Some("that message is about another record");
    }
    let recipient = envelope.recipient.as_str();
    if reference.side == Side::Recipient && found.source != recipient {
        return Some("the recipient is not who stated it");
    }
    if reference.answers.is_some() && found.recipient != envelope.source.as_str() {
        return Some("only who was asked answers");
    }
    None
}
