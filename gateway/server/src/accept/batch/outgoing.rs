//! Our back ends' messages: taken over, and what becomes of them.

use silkgate_ledger::entry::{Kind, Verdict as Judged};
use silkgate_message::catalogue::Priority;
use silkgate_message::lifecycle::RecordState;
use silkgate_message::problem::{Code, Problem};

use super::super::event::{Event, Happened};
use super::super::work::{Answer, Outcome, Settlement, Submission, entry_at};
use super::{Batch, Draft, fill, out_of_order, unavailable};
use crate::store::delivery::Notice;
use crate::store::ledger::hash;
use crate::store::message::{self, Message, State, Way};
use crate::store::outbox::Waiting;
use crate::store::record::{Record, RecordKey};
use crate::store::{Connection, StoreError, courier, outbox, question};

impl Batch<'_> {
    pub(super) async fn submit(
        &mut self,
        conn: &mut Connection,
        submission: &Submission,
    ) -> Result<Draft, StoreError> {
        let envelope = &submission.envelope;
        let country = envelope.recipient.country();
        let partner = country.to_string();
        let key = (Way::Sent, partner.clone(), envelope.id, envelope.source.to_string());
        if let Some(first) = self.find(conn, key).await? {
            if first.request == Some(submission.request) {
                let (id, digest, state) = (first.id, first.digest, first.state);
                let answer = Answer::Submitted { id, digest, state, again: true };
                return Ok(Draft::Ready(answer));
            }
            let problem =
                Problem::new(Code::IdConflict).detail("this id was submitted before with other content");
            return Ok(Draft::Ready(Answer::Refused(problem)));
        }
        if !self.active.contains(&partner) {
            return Ok(Draft::Ready(Answer::Refused(Problem::new(Code::PartnerSuspended))));
        }
        let mut next = None;
        if let Some(step) = &submission.step {
            let key =
                RecordKey { partner: partner.clone(), way: Way::Sent, subject: envelope.subject.clone() };
            let record = self.record(conn, &key).await?;
            match self.follow(conn, &key, record.head.as_ref(), step).await? {
                Ok(state) => next = Some((key, Record { head: Some(state), settled: record.settled })),
                Err(code) => {
                    let problem = out_of_order(code, &submission.bonds);
                    let problem = problem.detail(lifecycle_hint(record.head.as_ref()));
                    return Ok(Draft::Ready(Answer::Refused(problem)));
                }
            }
        }
        let related = match self.relate(conn, Way::Sent, envelope, &submission.bonds.references).await? {
            Ok(related) => related,
            Err(problem) => return Ok(Draft::Ready(Answer::Refused(problem))),
        };
        let mut entry = entry_at(Kind::Sent, self.now);
        fill(
            &mut entry,
            Some(&envelope.id),
            envelope.source.as_str(),
            envelope.recipient.as_str(),
            &envelope.kind,
        );
        entry.jws = Some(hash(submission.digest));
        entry.cert = Some(hash(submission.certificate));
        entry.schema = Some(hash(submission.schema.1));
        let log = self.growth.channel(country)?;
        let index = self.growth.append(conn, log, &entry).await?;
        let row = Message {
            seq: 0,
            way: Way::Sent,
            partner: partner.clone(),
            source: envelope.source.to_string(),
            recipient: envelope.recipient.to_string(),
            id: envelope.id,
            kind: envelope.kind.clone(),
            version: submission.schema.0,
            subject: envelope.subject.clone(),
            digest: submission.digest,
            signed_at: submission.signed_at,
            expires_at: envelope.expires_at,
            at: self.now,
            log,
            entry: index,
            checkpoint: 0,
            state: State::Queued,
            code: None,
            request: Some(submission.request),
            purpose: Some(envelope.purpose.clone()),
        };
        let seq = self.take(row, log, index);
        self.keep(seq, submission.erase_day, submission.bytes.clone(), &submission.bonds.terms);
        self.answer(seq, related);
        self.ask(seq, Way::Sent, &submission.bonds);
        self.sends.push(Waiting {
            seq,
            partner,
            subject: envelope.subject.clone(),
            priority: Priority::of(&envelope.kind),
            expires_at: envelope.expires_at,
            record: next.as_ref().and_then(|(_, record)| record.head.clone()),
        });
        self.changed.outbox = true;
        if let Some((key, record)) = next {
            self.records.insert(key, record);
        }
        self.changed.events.push(Event {
            happened: Happened::Submitted,
            partner: envelope.recipient.country().to_string(),
            id: Some(envelope.id),
            kind: Some(envelope.kind.clone()),
            code: None,
            entry: Some((self.growth.origin(log), index)),
            since: submission.arrived_at,
        });
        let (id, digest, state) = (envelope.id, submission.digest, State::Queued);
        let answer = Answer::Submitted { id, digest, state, again: false };
        Ok(Draft::Ready(answer))
    }

    pub(super) async fn settle(
        &mut self,
        conn: &mut Connection,
        settlement: &Settlement,
    ) -> Result<Draft, StoreError> {
        let seq = settlement.seq;
        // The lease may have run out and the row be another's: then this outcome is a late echo.
        let Some((attempts, record)) = outbox::held(conn, seq, &settlement.lease).await? else {
            return Ok(Draft::Ready(Answer::Done));
        };
        let Some(row) = message::by_seq(conn, seq).await? else {
            return Err(StoreError::Corrupt("an outbox row without its message".into()));
        };
        // Sent again, once the partner has given its word, it gets the same answer.
        if let Some(reason) = self.closed(&row) {
            return Ok(unavailable(reason));
        }
        if let Some(attempt) = &settlement.attempt {
            outbox::note_attempt(conn, seq, self.now, attempt).await?;
        } else if attempts > 0 && outbox::attempts(conn, seq).await?.is_empty() {
            let interrupted = "not known: the gateway ended during the attempt";
            outbox::note_attempt(conn, seq, self.now, interrupted).await?;
        }
        let attempted = attempts > 0 || outbox::attempted(conn, seq).await?;
        let (state, code) = match &settlement.outcome {
            Outcome::Again { due, refused } => {
                outbox::put_back(conn, seq, *due, *refused).await?;
                self.changed.outbox = true;
                return Ok(Draft::Ready(Answer::Done));
            }
            Outcome::Accepted { receipt } => {
                message::put_receipt(conn, seq, receipt).await?;
                (State::Receipted, None)
            }
            Outcome::Rejected { receipt, problem } => {
                message::put_receipt(conn, seq, receipt).await?;
                self.refusals.push((seq, problem.to_json()));
                (State::Rejected, Some(problem.code.to_string()))
            }
            // With attempts behind it, or in a courier's file, the partner may have the message: only its log can tell.
            Outcome::Expired if attempted => (State::Unknown, Some("expired".to_owned())),
            Outcome::Expired => (State::Expired, Some("expired".to_owned())),
            Outcome::Dead { code } => (State::Dead, Some(code.clone())),
        };
        self.conclude(conn, &row, state, code).await?;
        let key = RecordKey { partner: row.partner.clone(), way: Way::Sent, subject: row.subject.clone() };
        if state == State::Receipted {
            if let Some(settled) = record {
                let head = self.record(conn, &key).await?.head;
                self.records.insert(key, Record { head, settled: Some(settled) });
            }
        } else {
            self.return_later(conn, &row, key, state).await?;
        }
        Ok(Draft::Ready(Answer::Done))
    }

    /// A version that did not get through takes the later ones of its record with it: they rest on it. Those that a courier carried together
    /// with it may have been accepted all the same; then they wait for their own answers, and what rests on them with them.
    async fn return_later(
        &mut self,
        conn: &mut Connection,
        row: &Message,
        key: RecordKey,
        state: State,
    ) -> Result<(), StoreError> {
        for seq in outbox::later_of_record(conn, &row.partner, &row.subject, row.seq).await? {
            let Some(later) = message::by_seq(conn, seq).await? else {
                continue;
            };
            // Of a refused version only a cancel is independent: an update names it, or one that names it.
            let independent = state != State::Rejected || courier::cancels(conn, seq).await?;
            if independent && outbox::attempted(conn, seq).await? {
                return Ok(());
            }
            let code = Code::PredecessorRefused.to_string();
            self.conclude(conn, &later, State::Returned, Some(code)).await?;
        }
        let settled = self.record(conn, &key).await?.settled;
        self.records.insert(key, Record { head: settled.clone(), settled });
        Ok(())
    }

    /// Ends a message in the outbox: entry, state, and whoever waits for it. Who submitted it is told unless it was accepted.
    async fn conclude(
        &mut self,
        conn: &mut Connection,
        row: &Message,
        state: State,
        code: Option<String>,
    ) -> Result<(), StoreError> {
        let (kind, verdict) = match state {
            State::Receipted => (Kind::Receipted, Some(Judged::Accepted)),
            State::Rejected => (Kind::Receipted, Some(Judged::Rejected)),
            State::Dead => (Kind::Dead, None),
            _ => (Kind::Expired, None),
        };
        let mut entry = entry_at(kind, self.now);
        fill(&mut entry, Some(&row.id), &row.source, &row.recipient, &row.kind);
        entry.jws = Some(hash(row.digest));
        entry.verdict = verdict;
        entry.code = code.clone();
        // What we gave up sending is our own business; everything else belongs to the channel.
        let log = if kind == Kind::Dead { self.growth.house()? } else { row.log };
        let index = self.growth.append(conn, log, &entry).await?;
        message::set_state(conn, row.seq, state, code.as_deref()).await?;
        self.happened(row, Happened::Settled(state), code, Some((log, index)));
        if state != State::Receipted {
            // An answer that did not get through answers nothing.
            question::reopen(conn, row.seq).await?;
        }
        if let Some(notice) = Notice::of_end(state) {
            self.tell(row, notice);
        }
        outbox::remove(conn, row.seq).await?;
        self.changed.settled.push(row.id);
        // The next version of the record may go now.
        self.changed.outbox = true;
        Ok(())
    }
}

/// Tells a back end what its next version must name.
fn lifecycle_hint(head: Option<&RecordState>) -> String {
    match head {
        None => "the record is not known; its first version has action `new`".to_owned(),
        Some(head) if head.cancelled => "the record was cancelled".to_owned(),
        Some(head) => format!(
            "the last version is {}; `supersedes` must name messageId {} and digest {}",
            head.version, head.last_id, head.last_digest
        ),
    }
}
