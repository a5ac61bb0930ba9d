//! A partner's message: replay, conflict, lifecycle, verdict.

use silkgate_ledger::entry::{Entry, Kind, Verdict as Judged};
use silkgate_message::catalogue::Priority;
use silkgate_message::event::{Envelope, Fragments};
use silkgate_message::instant::Instant;
use silkgate_message::jws::Digest;
use silkgate_message::problem::{Code, Problem};
use silkgate_message::revocation::RevocationList;

use super::super::event::{Event, Happened};
use super::super::work::{Answer, REVOKED, Received, Verdict, entry_at};
use super::{Batch, Draft, out_of_order};
use crate::store::delivery::{Notice, Waiting};
use crate::store::ledger::hash;
use crate::store::message::{Message, State, Way};
use crate::store::record::{Record, RecordKey};
use crate::store::{Connection, StoreError, revocation};

impl Batch<'_> {
    pub(super) async fn receive(
        &mut self,
        conn: &mut Connection,
        received: &Received,
    ) -> Result<Draft, StoreError> {
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
                self.owe(received, first.seq);
                // The first answer again, whatever has expired, was revoked or changed since.
                return Ok(Draft::Ready(Answer::Received(Verdict::Again { seq: first.seq })));
            }
            let problem = Problem::new(Code::IdConflict)
                .detail("another message with this id was received from this source; use a new id");
            return self.reject(conn, received, &parts, problem, false).await;
        }
        match (&received.refusal, self.is_revoked_since(conn, received).await?) {
            // Nothing else was wrong, or the list has it out.
            (None, Some(true)) => {
                let problem = Problem::new(Code::CertificateRevoked).detail(REVOKED);
                return self.reject(conn, received, &parts, problem, true).await;
            }
            (Some(problem), Some(false)) if problem.code == Code::CertificateRevoked => {
                let detail = "the revocation list that named its certificate is in force no longer; send the same again";
                return Ok(not_now(Problem::new(Code::Unavailable).detail(detail)));
            }
            (Some(problem), _) => return self.reject(conn, received, &parts, problem.clone(), true).await,
            (None, _) => {}
        }
        let Ok(envelope) = &received.envelope else {
            return self.reject(conn, received, &parts, Problem::new(Code::EventInvalid), true).await;
        };
        if let Some(problem) = &received.not_now {
            return Ok(not_now(problem.clone()));
        }
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
                    let problem = out_of_order(code, &received.bonds);
                    return self.reject(conn, received, &parts, problem, true).await;
                }
            }
        }
        let related = match self.relate(conn, Way::Received, envelope, &received.bonds.references).await? {
            Ok(related) => related,
            Err(problem) if problem.code == Code::ReferenceMissing => return Ok(not_now(problem)),
            Err(problem) => return self.reject(conn, received, &parts, problem, true).await,
        };
        let mut entry = self.entry(Kind::Received, received, &parts)?;
        entry.verdict = Some(Judged::Accepted);
        let log = self.growth.channel(received.partner)?;
        let index = self.growth.append(conn, log, &entry).await?;
        let seq = self.take(
            received_row(received, &parts, envelope_times(envelope), State::Accepted, None),
            log,
            index,
        );
        self.keep(seq, received.erase_day, received.bytes.clone(), &received.bonds.terms);
        self.owe(received, seq);
        let recipient = envelope.recipient.to_string();
        self.changed.recipients.push(recipient.clone());
        let notice = related.late.then_some(Notice::AnswerLate);
        let (subject, priority) = (envelope.subject.clone(), Priority::of(&envelope.kind));
        self.deliveries.push(Waiting { seq, recipient, partner, subject, priority, notice });
        self.answer(seq, related);
        self.ask(seq, Way::Received, &received.bonds);
        if let Some((key, state)) = next {
            self.records.insert(key, Record { head: Some(state.clone()), settled: Some(state) });
        }
        self.judged(received, &parts, None, (log, index));
        Ok(Draft::Accepted { log, index })
    }

    /// Whether a list in force names the certificate; None where nothing of partners was changed since that was judged. The log must not
    /// hold a verdict behind the entry of a list that says otherwise.
    async fn is_revoked_since(
        &mut self,
        conn: &mut Connection,
        received: &Received,
    ) -> Result<Option<bool>, StoreError> {
        if self.generation == received.generation {
            return Ok(None);
        }
        let lists = revocation::lists(conn).await?;
        let of_partner = lists.iter().filter(|row| row.partner == received.partner.as_str());
        let mut read = of_partner.filter_map(|row| RevocationList::read(&row.list).ok());
        Ok(Some(read.any(|list| list.revokes(&received.certificate_der))))
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
        entry.verdict = Some(Judged::Rejected);
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
            self.owe(received, seq);
        }
        self.judged(received, parts, Some(problem.code), (log, index));
        Ok(Draft::Rejected { log, index, problem: Box::new(problem) })
    }

    /// To be told after the commit: the verdict, with the code of a refusal.
    fn judged(
        &mut self,
        received: &Received,
        parts: &Fragments,
        refusal: Option<Code>,
        (log, index): (i64, u64),
    ) {
        self.changed.events.push(Event {
            happened: Happened::Received { accepted: refusal.is_none() },
            partner: received.partner.to_string(),
            id: parts.id,
            kind: parts.kind.clone(),
            code: refusal.map(|code| code.to_string()),
            entry: Some((self.growth.origin(log), index)),
            since: received.arrived_at,
        });
    }

    /// The answer to what came by courier goes back by courier, also where the line brought the message first: the sender does not have that answer.
    fn owe(&mut self, received: &Received, seq: i64) {
        if received.by_courier {
            self.owed.push(seq);
        }
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
        purpose: received.envelope.as_ref().ok().map(|envelope| envelope.purpose.clone()),
    }
}
