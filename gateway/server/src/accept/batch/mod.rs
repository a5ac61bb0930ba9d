//! One transaction: decides every job in order, then writes.

mod dead;
mod handshake;
mod incoming;
mod outgoing;
mod reading;
mod relation;
mod seen;
mod witness;

use std::collections::{BTreeMap, HashMap};

use silkgate_ledger::entry::{Entry, Kind};
use silkgate_message::catalogue::Priority;
use silkgate_message::instant::Instant;
use silkgate_message::lifecycle::{self, RecordState, Step};
use silkgate_message::problem::{Code, Problem};
use uuid::Uuid;

use seen::Seen;

use super::Changed;
use super::append::{Growth, Logs, Signed};
use super::erase::{erase, needed};
use super::event::{Event, Happened};
use super::work::{Answer, Bonds, HandOver, Note, NoteLog, Verdict, Work, entry_at};
use crate::clock;
use crate::figures::known_type;
use crate::standing::Standing;
use crate::store::delivery::{Notice, Waiting};
use crate::store::erasure::Rule;
use crate::store::keys::KeyStore;
use crate::store::ledger::hash;
use crate::store::message::{self, Message, State, Way};
use crate::store::opening::{self, Opening};
use crate::store::payload::{self, Payload};
use crate::store::question::{self, Question, QuestionState};
use crate::store::record::{self, Record, RecordKey};
use crate::store::witness::clock_agrees;
use crate::store::{Connection, Script, StoreError, courier, delivery, outbox, tally};

/// A batch that is written and not yet committed.
pub(super) struct Done {
    /// One for each job, in order.
    pub(super) answers: Vec<Answer>,
    pub(super) changed: Changed,
    /// The checkpoints by which its commit can be told.
    pub(super) signed: Signed,
}

/// Decides and writes `works`; the caller commits. One answer for each job, in order.
pub(super) async fn run(
    conn: &mut Connection,
    logs: &mut Logs,
    keys: &KeyStore,
    standing: &Standing,
    works: &[Work],
) -> Result<Done, StoreError> {
    let wanted = seen::wanted(works);
    // Whether it is read-only is asked here and not only at the door: what waits was let in before the alarm.
    let mut opening = opening::read(conn, &wanted).await?;
    let seen = Seen::new(wanted, &mut opening);
    let Opening { is_rolled_back, next_seq, generation, active, heads, .. } = opening;
    let growth = logs.grow(heads)?;
    let mut batch = Batch {
        standing,
        now: clock::now(),
        active,
        next_seq,
        generation,
        growth,
        messages: Vec::new(),
        payloads: Vec::new(),
        refusals: Vec::new(),
        owed: Vec::new(),
        taken: HashMap::new(),
        seen,
        records: HashMap::new(),
        deliveries: Vec::new(),
        questions: HashMap::new(),
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
            work if is_rolled_back && !matches!(work, Work::Witness(_)) => {
                unavailable("the gateway is read-only")
            }
            // Since it was let in, the connection may have been made anew, and the database be another.
            work if work.closed_now(standing).is_some() => {
                unavailable(work.closed_now(standing).unwrap_or_default())
            }
            Work::Receive(received) => batch.receive(conn, received).await?,
            Work::Submit(submission) => batch.submit(conn, submission).await?,
            Work::Settle(settlement) => batch.settle(conn, settlement).await?,
            Work::HandOver(hand_over) => batch.hand_over(conn, hand_over).await?,
            Work::Bury(bury) => batch.bury(conn, bury).await?,
            Work::Dead(letter) => batch.dead(conn, letter).await?,
            Work::Deadline(seq) => batch.deadline(conn, *seq).await?,
            Work::Erase(due) => batch.erase(conn, &due.seqs).await?,
            Work::Note(note) => batch.note(conn, note).await?,
            Work::Read(read) => batch.read(conn, read).await?,
            Work::Handshake(handshake) => batch.handshake(conn, handshake).await?,
            Work::Witness(shown) => batch.witness(conn, shown).await?,
        };
        drafts.push((place, draft));
    }
    drafts.sort_by_key(|(place, _)| *place);
    batch.write(conn, keys, drafts.into_iter().map(|(_, draft)| draft).collect()).await
}

fn unavailable(why: impl Into<String>) -> Draft {
    Draft::Ready(Answer::Failed(Problem::new(Code::Unavailable).detail(why)))
}

/// An answer that still lacks its receipt.
enum Draft {
    Ready(Answer),
    Accepted { log: i64, index: u64 },
    Rejected { log: i64, index: u64, problem: Box<Problem> },
}

struct Batch<'a> {
    standing: &'a Standing,
    now: Instant,
    active: Vec<String>,
    next_seq: i64,
    /// As in the [`Opening`].
    generation: i64,
    growth: Growth<'a>,
    messages: Vec<Message>,
    payloads: Vec<Payload>,
    refusals: Vec<(i64, Vec<u8>)>,
    /// Messages that came by courier.
    owed: Vec<i64>,
    /// Messages of this batch, which the database does not show yet.
    taken: HashMap<message::Key, Message>,
    seen: Seen,
    records: HashMap<RecordKey, Record>,
    deliveries: Vec<Waiting>,
    /// Questions that this batch asked, answered or closed.
    questions: HashMap<i64, Question>,
    sends: Vec<outbox::Waiting>,
    changed: Changed,
}

impl Batch<'_> {
    /// Why nothing may be written about a message: its channel waits for the partner's word.
    fn closed(&self, row: &Message) -> Option<String> {
        row.partner.parse().ok().and_then(|partner| self.standing.closed(Some(partner)))
    }

    async fn hand_over(&mut self, conn: &mut Connection, hand_over: &HandOver) -> Result<Draft, StoreError> {
        let recipient = hand_over.recipient.as_str();
        let mut all = Vec::new();
        for seq in &hand_over.seqs {
            let of_message = delivery::of_message(conn, *seq).await?.into_iter();
            all.extend(of_message.filter(|found| found.recipient == recipient).map(|found| (*seq, found)));
        }
        if all.is_empty() {
            return Ok(Draft::Ready(Answer::Refused(Problem::new(Code::NotFound))));
        }
        all.retain(|(_, delivery)| delivery.lease.as_deref() == Some(&hand_over.lease));
        // Of two of one id that were fetched together each acknowledgement ends one.
        all.sort_by_key(|(_, delivery)| delivery.done_at.is_some());
        let Some((seq, found)) = all.into_iter().next() else {
            return Ok(Draft::Ready(Answer::Refused(Problem::new(Code::LeaseLost))));
        };
        if found.done_at.is_some() {
            // The same acknowledgement again: its first answer was lost on the way.
            return Ok(Draft::Ready(Answer::Done));
        }
        let Some(row) = message::by_seq(conn, seq).await? else {
            return Err(StoreError::Corrupt("a delivery without its message".into()));
        };
        let finished = delivery::finish(conn, seq, found.n, &hand_over.lease, self.now).await?;
        let Some(next) = finished else {
            return Ok(Draft::Ready(Answer::Refused(Problem::new(Code::LeaseLost))));
        };
        let mut entry = entry_at(Kind::Delivered, self.now);
        fill(&mut entry, Some(&row.id), &row.source, &row.recipient, &row.kind);
        entry.jws = Some(hash(row.digest));
        let house = self.growth.house()?;
        let index = self.growth.append(conn, house, &entry).await?;
        let happened = Happened::Delivered { recipient: recipient.to_owned() };
        self.happened(&row, happened, None, Some((house, index)));
        // The next version of the record may be fetched now.
        self.changed.recipients.extend(next);
        Ok(Draft::Ready(Answer::Done))
    }

    /// Tells who asked that no final answer came in time.
    async fn deadline(&mut self, conn: &mut Connection, seq: i64) -> Result<Draft, StoreError> {
        let asked = match self.questions.get(&seq) {
            Some(asked) => Some(asked.clone()),
            None => question::find(conn, seq).await?,
        };
        let due = |asked: &Question| asked.state == QuestionState::Open && asked.deadline <= self.now;
        let Some(asked) = asked.filter(|asked| asked.ours && due(asked)) else {
            return Ok(Draft::Ready(Answer::Done));
        };
        let Some(row) = message::by_seq(conn, seq).await? else {
            return Err(StoreError::Corrupt("a question without its message".into()));
        };
        if let Some(reason) = self.closed(&row) {
            return Ok(unavailable(reason));
        }
        self.questions.insert(seq, Question { state: QuestionState::Missed, ..asked });
        self.happened(&row, Happened::Unanswered, None, None);
        self.tell(&row, Notice::AnswerMissing);
        Ok(Draft::Ready(Answer::Done))
    }

    /// Tells the back end that submitted a message something of it.
    pub(super) fn tell(&mut self, row: &Message, notice: Notice) {
        self.changed.recipients.push(row.source.clone());
        self.deliveries.push(Waiting {
            seq: row.seq,
            recipient: row.source.clone(),
            partner: row.partner.clone(),
            subject: row.subject.clone(),
            priority: Priority::of(&row.kind),
            notice: Some(notice),
        });
    }

    /// Erases payloads whose retention day has come. A clock that jumped ahead destroys nothing: without a
    /// partner's word that ours is right all of them wait.
    async fn erase(&mut self, conn: &mut Connection, seqs: &[i64]) -> Result<Draft, StoreError> {
        let (mut erased, mut waiting) = (0, 0);
        let agrees = clock_agrees(conn, self.now).await?;
        for seq in seqs {
            let Some(row) = message::by_seq(conn, *seq).await? else { continue };
            if !agrees || needed(conn, &row, self.now).await?.is_some() {
                waiting += 1;
            } else if erase(conn, &mut self.growth, &row, Rule::Retention, None, self.now).await? {
                erased += 1;
            }
        }
        Ok(Draft::Ready(Answer::Erased { erased, waiting }))
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
        keys: &KeyStore,
        drafts: Vec<Draft>,
    ) -> Result<Done, StoreError> {
        let Batch {
            growth,
            mut messages,
            payloads,
            refusals,
            owed,
            records,
            deliveries,
            questions,
            sends,
            mut changed,
            now,
            seen,
            ..
        } = self;
        let mut script = Script::default();
        let grown = growth.finish_in(&mut script)?;
        changed.grown = grown.any();
        for row in &mut messages {
            row.checkpoint = grown.checkpoint(row.log);
        }
        let new = messages.first().map_or(i64::MAX, |row| row.seq);
        message::insert(&mut script, &messages);
        tally::add(&mut script, &counted(&changed.events, now));
        payload::insert(&mut script, keys, &payloads).await?;
        message::put_refusals(&mut script, refusals);
        record::save_all(conn, &mut script, &records).await?;
        delivery::insert_many(conn, &mut script, &deliveries, seen.lanes, new).await?;
        script.run(conn).await?;
        courier::note_owed(conn, &owed).await?;
        for (seq, question) in &questions {
            question::put(conn, *seq, question).await?;
        }
        for waiting in &sends {
            outbox::insert(conn, waiting, now).await?;
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
        let answers = answers.collect();
        Ok(Done { answers, changed, signed: grown.into_signed() })
    }

    /// To be told after the commit, of a message that was there before.
    fn happened(
        &mut self,
        row: &Message,
        happened: Happened,
        code: Option<String>,
        entry: Option<(i64, u64)>,
    ) {
        let entry = entry.map(|(log, index)| (self.growth.origin(log), index));
        self.changed.events.push(Event {
            happened,
            partner: row.partner.clone(),
            id: Some(row.id),
            kind: Some(row.kind.clone()),
            code,
            entry,
            since: row.at,
        });
    }

    /// Notes what the message at `seq` asks.
    fn ask(&mut self, seq: i64, way: Way, bonds: &Bonds) {
        if let Some(asked) = bonds.question {
            let ours = way == Way::Sent;
            let question =
                Question { ours, deadline: asked.deadline, state: QuestionState::Open, answer: None };
            self.questions.insert(seq, question);
            self.changed.asked |= ours;
        }
    }

    async fn find(&self, conn: &mut Connection, key: message::Key) -> Result<Option<Message>, StoreError> {
        if let Some(message) = self.taken.get(&key) {
            return Ok(Some(message.clone()));
        }
        if let Some(known) = self.seen.messages.get(&key) {
            return Ok(known.clone());
        }
        message::find(conn, key.0, &key.1, &key.2, &key.3).await
    }

    async fn record(&self, conn: &mut Connection, key: &RecordKey) -> Result<Record, StoreError> {
        match self.records.get(key) {
            Some(record) => Ok(record.clone()),
            None => match self.seen.records.get(key) {
                Some(record) => Ok(record.clone()),
                None => record::load(conn, key).await,
            },
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

    /// Keeps the signed bytes of the message just taken, until the day on which they are to be erased.
    fn keep(&mut self, seq: i64, day: i64, bytes: Vec<u8>, terms: &[String]) {
        if let Some(row) = self.messages.last() {
            let (way, partner, digest) = (row.way, row.partner.clone(), row.digest);
            self.payloads.push(Payload { seq, way, partner, digest, day, bytes, terms: terms.to_vec() });
        }
    }
}

/// What these events add to the counts of the hour.
fn counted(events: &[Event], now: Instant) -> BTreeMap<tally::Kind, i64> {
    let mut counts = BTreeMap::new();
    for event in events {
        let (direction, outcome) = match &event.happened {
            Happened::Received { accepted: true } => ("received", "accepted"),
            Happened::Received { .. } => ("received", event.code.as_deref().unwrap_or("rejected")),
            Happened::Submitted => ("sent", "submitted"),
            Happened::Settled(State::Receipted) => ("sent", "accepted"),
            Happened::Settled(State::Rejected) => ("sent", event.code.as_deref().unwrap_or("rejected")),
            Happened::Settled(state) => ("sent", state.as_str()),
            Happened::Delivered { .. } | Happened::Unanswered => continue,
        };
        let kind = tally::Kind {
            hour: now.0.div_euclid(tally::HOUR_MS),
            partner: event.partner.clone(),
            direction,
            // What is not of the catalogue was written by somebody else, who could write anything.
            kind: known_type(event.kind.as_deref()).to_owned(),
            outcome: outcome.to_owned(),
        };
        *counts.entry(kind).or_default() += 1;
    }
    counts
}

/// Names a message in an entry.
pub(super) fn fill(entry: &mut Entry, id: Option<&Uuid>, from: &str, to: &str, kind: &str) {
    entry.id = id.map(ToString::to_string);
    entry.from = Some(from.to_owned());
    entry.to = Some(to.to_owned());
    entry.message_type = Some(kind.to_owned());
}

/// The refusal of a version, with the rule that it breaks where its type has one for that.
fn out_of_order(code: Code, bonds: &Bonds) -> Problem {
    let violation = bonds.out_of_order.clone().filter(|_| code == Code::RecordOrder);
    Problem::new(code).violations(violation.into_iter().collect())
}
