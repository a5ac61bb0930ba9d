//! One transaction: decides every job in order, then writes.

use std::collections::HashMap;

use silkgate_ledger::entry::{Entry, Kind};
use silkgate_message::event::{Envelope, Fragments};
use silkgate_message::instant::Instant;
use silkgate_message::jws::Digest;
use silkgate_message::lifecycle::{self, RecordState, Step};
use silkgate_message::problem::{Code, Problem};
use uuid::Uuid;

use super::Changed;
use super::append::{Growth, Logs};
use super::work::{
    Answer, HandOver, Note, NoteLog, Outcome, Received, Settlement, Submission, Verdict, Work, entry_at,
};
use crate::clock;
use crate::store::ledger::hash;
use crate::store::message::{self, Message, State, Way};
use crate::store::record::{self, Record, RecordKey};
use crate::store::{Connection, StoreError, delivery, outbox, partner};

/// Decides and writes `works`; the caller commits. One answer for each job, in order.
pub(super) async fn run(
    conn: &mut Connection,
    logs: &mut Logs,
    works: &[Work],
) -> Result<(Vec<Answer>, Changed), StoreError> {
    let growth = logs.begin(conn).await?;
    let mut batch = Batch {
        now: clock::now(),
        active: partner::active(conn).await?,
        next_seq: message::next_seq(conn).await?,
        growth,
        messages: Vec::new(),
        payloads: Vec::new(),
        refusals: Vec::new(),
        taken: HashMap::new(),
        records: HashMap::new(),
        deliveries: Vec::new(),
        sends: Vec::new(),
        changed: Changed::default(),
    };
    // Outcomes first: a refused version must not take along a later one that this batch is about to
    // put behind it.
    let mut order: Vec<(usize, &Work)> = works.iter().enumerate().collect();
    order.sort_by_key(|(_, work)| !matches!(work, Work::Settle(_)));
    let mut drafts = Vec::with_capacity(works.len());
    for (place, work) in order {
        let draft = match work {
            Work::Receive(received) => batch.receive(conn, received).await?,
            Work::Submit(submission) => batch.submit(conn, submission).await?,
            Work::Settle(settlement) => batch.settle(conn, settlement).await?,
            Work::HandOver(hand_over) => batch.hand_over(conn, hand_over).await?,
            Work::Note(note) => batch.note(conn, note).await?,
        };
        drafts.push((place, draft));
    }
    drafts.sort_by_key(|(place, _)| *place);
    batch.write(conn, drafts.into_iter().map(|(_, draft)| draft).collect()).await
}

/// An answer that still lacks its receipt.
enum Draft {
    Ready(Answer),
    Accepted { log: i64, index: u64 },
    Rejected { log: i64, index: u64, problem: Box<Problem> },
}

type MessageKey = (Way, String, Uuid, String);

struct Batch<'a> {
    now: Instant,
    active: Vec<String>,
    next_seq: i64,
    growth: Growth<'a>,
    messages: Vec<Message>,
    payloads: Vec<(i64, Vec<u8>)>,
    refusals: Vec<(i64, Vec<u8>)>,
    /// Messages of this batch, which the database does not show yet.
    taken: HashMap<MessageKey, Message>,
    records: HashMap<RecordKey, Record>,
    deliveries: Vec<(i64, String, String, String)>,
    sends: Vec<(i64, String, String, Option<RecordState>)>,
    changed: Changed,
}

impl Batch<'_> {
    async fn receive(&mut self, conn: &mut Connection, received: &Received) -> Result<Draft, StoreError> {
        let partner = received.partner.to_string();
        if !self.active.contains(&partner) {
            return Ok(not_now(Problem::new(Code::PartnerSuspended)));
        }
        let parts = match &received.envelope {
            Ok(envelope) => Fragments {
                id: Some(envelope.id),
                source: Some(envelope.source.clone()),
                recipient: Some(envelope.recipient.clone()),
                kind: Some(envelope.kind.clone()),
            },
            Err(parts) => parts.clone(),
        };
        let known = match (parts.id, &parts.source) {
            (Some(id), Some(source)) => {
                self.find(conn, (Way::Received, partner.clone(), id, source.to_string())).await?
            }
            _ => None,
        };
        if let Some(first) = known {
            if first.digest == received.digest {
                // The first answer again, whatever has expired, was revoked or changed since.
                return Ok(Draft::Ready(Answer::Received(Verdict::Again { seq: first.seq })));
            }
            let problem = Problem::new(Code::IdConflict)
                .detail("another message with this id was received from this source; use a new id");
            return self.reject(conn, received, &parts, problem, false).await;
        }
        if let Some(problem) = &received.refusal {
            return self.reject(conn, received, &parts, problem.clone(), true).await;
        }
        let Ok(envelope) = &received.envelope else {
            return self.reject(conn, received, &parts, Problem::new(Code::EventInvalid), true).await;
        };
        let mut next = None;
        if let Some(step) = &received.step {
            let key =
                RecordKey { partner: partner.clone(), way: Way::Received, subject: envelope.subject.clone() };
            let record = self.record(conn, &key).await?;
            match self.follow(conn, &key, record.head.as_ref(), step).await? {
                Ok(state) => next = Some((key, state)),
                Err(Code::PredecessorMissing) => {
                    return Ok(not_now(Problem::new(Code::PredecessorMissing).detail(
                        "the version that `supersedes` names, or the record itself, is not known here yet",
                    )));
                }
                Err(code) => {
                    return self.reject(conn, received, &parts, Problem::new(code), true).await;
                }
            }
        }
        let mut entry = self.entry(Kind::Received, received, &parts)?;
        entry.verdict = Some(silkgate_ledger::entry::Verdict::Accepted);
        let log = self.growth.channel(received.partner)?;
        let index = self.growth.append(conn, log, &entry).await?;
        let seq = self.take(
            received_row(received, &parts, envelope_times(envelope), State::Accepted, None),
            log,
            index,
        );
        self.payloads.push((seq, received.bytes.clone()));
        let recipient = envelope.recipient.to_string();
        self.changed.recipients.push(recipient.clone());
        self.deliveries.push((seq, recipient, partner, envelope.subject.clone()));
        if let Some((key, state)) = next {
            self.records.insert(key, Record { head: Some(state.clone()), settled: Some(state) });
        }
        Ok(Draft::Accepted { log, index })
    }

    /// Logs a refusal, and keeps its answer for repeats where the message has a key.
    async fn reject(
        &mut self,
        conn: &mut Connection,
        received: &Received,
        parts: &Fragments,
        problem: Problem,
        keep: bool,
    ) -> Result<Draft, StoreError> {
        let mut entry = self.entry(Kind::Rejected, received, parts)?;
        entry.verdict = Some(silkgate_ledger::entry::Verdict::Rejected);
        entry.code = Some(problem.code.to_string());
        let log = self.growth.channel(received.partner)?;
        let index = self.growth.append(conn, log, &entry).await?;
        if keep && parts.id.is_some() && parts.source.is_some() {
            let times = match &received.envelope {
                Ok(envelope) => envelope_times(envelope),
                Err(_) => (String::new(), received.signed_at),
            };
            let code = Some(problem.code.to_string());
            let seq = self.take(received_row(received, parts, times, State::Rejected, code), log, index);
            self.refusals.push((seq, problem.to_json()));
        }
        Ok(Draft::Rejected { log, index, problem: Box::new(problem) })
    }

    async fn submit(&mut self, conn: &mut Connection, submission: &Submission) -> Result<Draft, StoreError> {
        let envelope = &submission.envelope;
        let country = envelope.recipient.country();
        let partner = country.to_string();
        let key = (Way::Sent, partner.clone(), envelope.id, envelope.source.to_string());
        if let Some(first) = self.find(conn, key).await? {
            if first.request == Some(submission.request) {
                let answer = Answer::Submitted { id: first.id, digest: first.digest, state: first.state };
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
                    let problem = Problem::new(code).detail(lifecycle_hint(record.head.as_ref()));
                    return Ok(Draft::Ready(Answer::Refused(problem)));
                }
            }
        }
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
        };
        let seq = self.take(row, log, index);
        self.payloads.push((seq, submission.bytes.clone()));
        let state = next.as_ref().and_then(|(_, record)| record.head.clone());
        self.sends.push((seq, partner, envelope.subject.clone(), state));
        self.changed.outbox = true;
        if let Some((key, record)) = next {
            self.records.insert(key, record);
        }
        let answer = Answer::Submitted { id: envelope.id, digest: submission.digest, state: State::Queued };
        Ok(Draft::Ready(answer))
    }

    async fn settle(&mut self, conn: &mut Connection, settlement: &Settlement) -> Result<Draft, StoreError> {
        let seq = settlement.seq;
        // The lease may have run out and the row be another's: then this outcome is a late echo.
        let Some((attempts, record)) = outbox::held(conn, seq, &settlement.lease).await? else {
            return Ok(Draft::Ready(Answer::Done));
        };
        let Some(row) = message::by_seq(conn, seq).await? else {
            return Err(StoreError::Corrupt("an outbox row without its message".into()));
        };
        if let Some(attempt) = &settlement.attempt {
            outbox::note_attempt(conn, seq, self.now, attempt).await?;
        }
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
                message::put_refusal(conn, seq, &problem.to_json()).await?;
                (State::Rejected, Some(problem.code.to_string()))
            }
            // With attempts behind it the partner may have the message: only its log can tell.
            Outcome::Expired if attempts > 0 => (State::Unknown, Some("expired".to_owned())),
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
            self.return_later(conn, &row, key).await?;
        }
        Ok(Draft::Ready(Answer::Done))
    }

    /// A version that did not get through takes the later ones of its record with it: they rest on it.
    async fn return_later(
        &mut self,
        conn: &mut Connection,
        row: &Message,
        key: RecordKey,
    ) -> Result<(), StoreError> {
        for seq in outbox::later_of_record(conn, &row.partner, &row.subject, row.seq).await? {
            let Some(later) = message::by_seq(conn, seq).await? else {
                continue;
            };
            let code = Code::PredecessorRefused.to_string();
            self.conclude(conn, &later, State::Returned, Some(code)).await?;
        }
        let settled = self.record(conn, &key).await?.settled;
        self.records.insert(key, Record { head: settled.clone(), settled });
        Ok(())
    }

    /// Ends a message in the outbox: entry, state, and whoever waits for it.
    async fn conclude(
        &mut self,
        conn: &mut Connection,
        row: &Message,
        state: State,
        code: Option<String>,
    ) -> Result<(), StoreError> {
        use silkgate_ledger::entry::Verdict as Judged;
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
        self.growth.append(conn, log, &entry).await?;
        message::set_state(conn, row.seq, state, code.as_deref()).await?;
        outbox::remove(conn, row.seq).await?;
        self.changed.settled.push(row.id);
        // The next version of the record may go now.
        self.changed.outbox = true;
        Ok(())
    }

    async fn hand_over(&mut self, conn: &mut Connection, hand_over: &HandOver) -> Result<Draft, StoreError> {
        let recipient = hand_over.recipient.as_str();
        let found = delivery::find(conn, hand_over.seq).await?.filter(|found| found.recipient == recipient);
        let Some(found) = found else {
            return Ok(Draft::Ready(Answer::Refused(Problem::new(Code::NotFound))));
        };
        if found.lease.as_deref() != Some(&hand_over.lease) {
            return Ok(Draft::Ready(Answer::Refused(Problem::new(Code::LeaseLost))));
        }
        if found.done_at.is_some() {
            // The same acknowledgement again: its first answer was lost on the way.
            return Ok(Draft::Ready(Answer::Done));
        }
        let Some(row) = message::by_seq(conn, hand_over.seq).await? else {
            return Err(StoreError::Corrupt("a delivery without its message".into()));
        };
        let mut entry = entry_at(Kind::Delivered, self.now);
        fill(&mut entry, Some(&row.id), &row.source, &row.recipient, &row.kind);
        entry.jws = Some(hash(row.digest));
        let house = self.growth.house()?;
        self.growth.append(conn, house, &entry).await?;
        delivery::finish(conn, hand_over.seq, self.now).await?;
        // The next version of the record may be fetched now.
        self.changed.recipients.push(row.recipient);
        Ok(Draft::Ready(Answer::Done))
    }

    async fn note(&mut self, conn: &mut Connection, note: &Note) -> Result<Draft, StoreError> {
        let log = match note.log {
            NoteLog::House => self.growth.house()?,
            NoteLog::Channel(partner) => self.growth.channel(partner)?,
        };
        self.growth.append(conn, log, &note.entry).await?;
        Ok(Draft::Ready(Answer::Done))
    }

    /// Writes what was decided, and gives each receipt its proof.
    async fn write(
        self,
        conn: &mut Connection,
        drafts: Vec<Draft>,
    ) -> Result<(Vec<Answer>, Changed), StoreError> {
        let Batch {
            growth, mut messages, payloads, refusals, records, deliveries, sends, changed, now, ..
        } = self;
        let grown = growth.finish(conn).await?;
        for row in &mut messages {
            row.checkpoint = grown.checkpoint(row.log);
        }
        message::insert(conn, &messages).await?;
        message::insert_payloads(conn, &payloads).await?;
        for (seq, problem) in &refusals {
            message::put_refusal(conn, *seq, problem).await?;
        }
        for (key, record) in &records {
            record::save(conn, key, record).await?;
        }
        for (seq, recipient, partner, subject) in &deliveries {
            delivery::insert(conn, *seq, recipient, partner, subject).await?;
        }
        for (seq, partner, subject, record) in &sends {
            outbox::insert(conn, *seq, partner, subject, now, record.as_ref()).await?;
        }
        let answers = drafts.into_iter().map(|draft| match draft {
            Draft::Ready(answer) => answer,
            Draft::Accepted { log, index } => Answer::Received(Verdict::Accepted(grown.receipt(log, index))),
            Draft::Rejected { log, index, problem } => {
                let mut problem = *problem;
                problem.receipt = Some(String::from_utf8_lossy(&grown.receipt(log, index)).into_owned());
                Answer::Received(Verdict::Rejected(problem))
            }
        });
        Ok((answers.collect(), changed))
    }

    async fn find(&self, conn: &mut Connection, key: MessageKey) -> Result<Option<Message>, StoreError> {
        if let Some(message) = self.taken.get(&key) {
            return Ok(Some(message.clone()));
        }
        message::find(conn, key.0, &key.1, &key.2, &key.3).await
    }

    async fn record(&self, conn: &mut Connection, key: &RecordKey) -> Result<Record, StoreError> {
        match self.records.get(key) {
            Some(record) => Ok(record.clone()),
            None => record::load(conn, key).await,
        }
    }

    async fn follow(
        &self,
        conn: &mut Connection,
        key: &RecordKey,
        last: Option<&RecordState>,
        step: &Step,
    ) -> Result<Result<RecordState, Code>, StoreError> {
        // Looked up only where it decides something: an update that does not follow the last version.
        let named = step.supersedes.as_ref().and_then(|(id, _)| Uuid::try_parse(id).ok());
        let known = match (last, named) {
            (Some(last), Some(id)) if last.last_id != id.to_string() => {
                let key = (key.way, key.partner.clone(), id, step.originator.clone());
                self.find(conn, key).await?.is_some_and(|message| message.state != State::Rejected)
            }
            _ => true,
        };
        Ok(lifecycle::decide(last, step, |_| known))
    }

    /// Gives a message its place in the order of arrival.
    fn take(&mut self, mut row: Message, log: i64, index: u64) -> i64 {
        let seq = self.next_seq;
        self.next_seq += 1;
        (row.seq, row.log, row.entry, row.at) = (seq, log, index, self.now);
        let key = (row.way, row.partner.clone(), row.id, row.source.clone());
        self.taken.insert(key, row.clone());
        self.messages.push(row);
        seq
    }

    fn entry(&self, kind: Kind, received: &Received, parts: &Fragments) -> Result<Entry, StoreError> {
        let mut entry = entry_at(kind, self.now);
        // Where the message's own words are unsound, the peer that sent it is all that is known.
        entry.from =
            Some(parts.source.as_ref().map_or_else(|| received.partner.to_string(), ToString::to_string));
        entry.to = parts.recipient.as_ref().map(ToString::to_string);
        entry.id = parts.id.as_ref().map(ToString::to_string);
        entry.message_type = parts.kind.clone();
        entry.jws = Some(hash(received.digest));
        entry.cert = Some(hash(received.certificate));
        entry.schema = received.schema.map(|(_, digest)| hash(digest));
        Ok(entry)
    }
}

fn not_now(problem: Problem) -> Draft {
    Draft::Ready(Answer::Received(Verdict::NotNow(problem)))
}

fn fill(entry: &mut Entry, id: Option<&Uuid>, from: &str, to: &str, kind: &str) {
    entry.id = id.map(ToString::to_string);
    entry.from = Some(from.to_owned());
    entry.to = Some(to.to_owned());
    entry.message_type = Some(kind.to_owned());
}

fn envelope_times(envelope: &Envelope) -> (String, Instant) {
    (envelope.subject.clone(), envelope.expires_at)
}

fn received_row(
    received: &Received,
    parts: &Fragments,
    (subject, expires_at): (String, Instant),
    state: State,
    code: Option<String>,
) -> Message {
    let text = |value: Option<String>| value.unwrap_or_default();
    Message {
        seq: 0,
        way: Way::Received,
        partner: received.partner.to_string(),
        source: text(parts.source.as_ref().map(ToString::to_string)),
        recipient: text(parts.recipient.as_ref().map(ToString::to_string)),
        id: parts.id.unwrap_or_default(),
        kind: text(parts.kind.clone()),
        version: received.schema.map_or(0, |(version, _)| version),
        subject,
        digest: received.digest,
        signed_at: received.signed_at,
        expires_at,
        at: Instant::default(),
        log: 0,
        entry: 0,
        checkpoint: 0,
        state,
        code,
        request: None::<Digest>,
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
