//! The judgement of one message by what was read of it: no database, so that it runs on every core.

use silkgate_ledger::entry::{Kind, Verdict};
use silkgate_ledger::{Entry, Receipt};
use silkgate_message::catalogue::Catalogue;
use silkgate_message::event;
use silkgate_message::jws::{Digest, Jws};
use silkgate_message::problem::{Code, Problem};

use super::facts::Facts;
use super::pool::Done;
use super::questions::asked;
use super::resume::Link;
use crate::store::delivery::{HandedOver, Notice, Stands};
use crate::store::erasure::Erasure;
use crate::store::ledger::hash;
use crate::store::message::{Message, State, Way};
use crate::store::question::{Question, QuestionState};

/// A message with everything that hangs on it.
pub(super) struct Item {
    pub(super) place: String,
    pub(super) row: Message,
    /// The entry that it names.
    pub(super) entry: Option<Entry>,
    pub(super) payload: Option<Vec<u8>>,
    /// It is there, and cannot be decrypted, which was told.
    pub(super) unreadable: bool,
    pub(super) erasure: Option<Erasure>,
    pub(super) refusal: Option<Vec<u8>>,
    pub(super) receipt: Option<Vec<u8>>,
    pub(super) question: Option<Question>,
    /// What its hand-over has to tell beside it. None: not known any more, of an erased answer that was not the final one.
    pub(super) notice: Option<Option<Notice>>,
    /// Its hand-overs, in order.
    pub(super) deliveries: Vec<HandedOver>,
    /// The message after which the end of every one is told.
    pub(super) told_after: i64,
    /// Whether it stands in the outbox.
    pub(super) queued: bool,
    /// Whether an attempt to send it was noted. Asked only of one that expired: there it decides.
    pub(super) attempted: bool,
    /// An earlier run verified its signatures.
    pub(super) skip: bool,
}

/// Judges messages.
pub(super) fn judge(facts: &Facts, items: Vec<Item>) -> Done {
    let mut done = Done::default();
    for item in items {
        let before = done.findings.len();
        let mut one = One { facts, item: &item, done: &mut done };
        one.judge();
        let sound = done.findings.len() == before;
        // What the signatures were verified on, and what decides under which keys.
        let bytes =
            [item.payload.as_deref(), item.receipt.as_deref()].map(|b| Digest::of(b.unwrap_or_default()));
        let of = format!("{} {} {}", item.row.way.as_str(), item.row.partner, item.row.digest);
        let said = [&bytes[0].0[..], &bytes[1].0, of.as_bytes()].concat();
        done.links.push(Link { chain: None, at: item.row.seq, digest: Digest::of(&said), sound });
    }
    done
}

struct One<'a> {
    facts: &'a Facts,
    item: &'a Item,
    done: &'a mut Done,
}

impl One<'_> {
    fn find(&mut self, what: impl Into<String>) {
        self.done.find(&self.item.place, what);
    }

    fn judge(&mut self) {
        let Item { row, entry, payload, erasure, receipt, .. } = self.item;
        match entry {
            None => self.find("the log holds no entry for it"),
            Some(entry) => {
                if let Some(member) = differs(row, entry) {
                    self.find(format!("`{member}` is not what the log states"));
                }
            }
        }
        self.queue();
        self.expiry();
        self.unread();
        self.asker();
        self.hand_over();
        match (payload, row.way, row.state) {
            _ if self.item.unreadable => {}
            (Some(_), _, _) if erasure.is_some() => {
                self.find("the log states that the payload was erased, and it is still there");
            }
            (Some(payload), _, _) => self.payload(payload),
            (None, _, _) if erasure.is_some() => self.erased(),
            // Bodies of refused messages are not kept.
            (None, Way::Received, State::Rejected) => {}
            (None, _, _) => self.find("the payload is gone, and the log holds no `erased` entry"),
        }
        self.refusal();
        match receipt {
            Some(receipt) => self.receipt(receipt),
            None if row.way == Way::Sent && matches!(row.state, State::Receipted | State::Rejected) => {
                self.find("the partner's receipt is gone");
            }
            None => {}
        }
    }

    fn payload(&mut self, payload: &[u8]) {
        let row = &self.item.row;
        if row.way == Way::Received && row.state == State::Rejected {
            return self.find("the body of a refused message is not kept, and here is one");
        }
        let jws = match Jws::parse(payload) {
            Ok(jws) => jws,
            Err(problem) => return self.find(format!("the payload cannot be read: {}", problem.code)),
        };
        if jws.digest() != row.digest {
            return self.find("the payload's digest is not the one logged");
        }
        if let Some(column) = departs(row, &jws) {
            self.find(format!("`{column}` is not what the payload says"));
        }
        self.question(&jws);
        let signers = match row.way {
            Way::Sent => Some(&self.facts.own),
            Way::Received => self.facts.partner(&row.partner),
        };
        let Some(signer) = signers.and_then(|signers| signers.certificate(&jws.thumbprint)) else {
            return self.find("the payload's certificate is on no card that was in force");
        };
        if self.item.skip {
            self.done.resumed += 1;
        } else if let Err(code) = jws.verify(signer) {
            return self.find(format!("the payload's signature does not verify: {code}"));
        }
        self.done.payloads += 1;
    }

    /// What still binds an erased message to a time of signing: the time in its id, which the log states.
    fn erased(&mut self) {
        self.done.erased += 1;
        let row = &self.item.row;
        if event::uuid_instant(&row.id).0.abs_diff(row.signed_at.0) > event::SKEW_MS.unsigned_abs() {
            self.find("`signed_ms` is too far from the time in its id");
        }
    }

    /// A question's row is what its payload asks. A message that asks none has no row.
    fn question(&mut self, jws: &Jws) {
        let stored = self.item.question.as_ref().map(|stored| stored.deadline);
        let fits = stored == asked(jws).map(|asked| asked.deadline);
        if !fits {
            self.find("its question is not what the payload asks");
        }
    }

    fn receipt(&mut self, bytes: &[u8]) {
        let row = &self.item.row;
        if row.way == Way::Received {
            return self.find("a receipt of a partner for the partner's own message");
        }
        let Some(partner) = self.facts.partner(&row.partner) else {
            return self.find("no card of the partner was kept");
        };
        let read = Receipt::parse(bytes).and_then(|receipt| {
            let entry = if self.item.skip {
                Entry::parse(receipt.entry_bytes())?
            } else {
                receipt.verify(&partner.channel)?.entry
            };
            Ok((entry, receipt))
        });
        let (entry, receipt) = match read {
            Ok(read) => read,
            Err(error) => return self.find(format!("the partner's receipt does not verify: {error}")),
        };
        // Beside the partner's log only we ourselves sign what we were given: as its witness.
        let note = &receipt.proof().checkpoint;
        for line in note.signatures() {
            // While its keys follow one another the partner signs with both, of which our card may name one only.
            let of_log = partner.channel.iter().any(|key| key.name() == line.name());
            let own = self.facts.own.witness.iter().find(|key| key.is_of(line));
            let cosigned = own.is_some_and(|key| self.item.skip || key.cosigned(note).is_ok());
            if !of_log && !cosigned {
                return self.find(format!(
                    "the partner's receipt carries a line of `{}` that nothing proves",
                    line.name()
                ));
            }
        }
        if entry.jws != Some(hash(row.digest)) {
            return self.find("the partner's receipt is for another message");
        }
        let accepted = entry.verdict == Some(Verdict::Accepted);
        let fits = match row.state {
            State::Receipted => accepted,
            State::Rejected => !accepted && entry.code == row.code,
            _ => false,
        };
        if !fits {
            return self.find("the partner's receipt holds another verdict than the message's state");
        }
        self.done.resumed += u64::from(self.item.skip);
        self.done.receipts += 1;
    }

    /// What holds of a question also without its payload: who asked follows from its direction, and only who asked here
    /// is told that the answer is missing.
    fn asker(&mut self) {
        let Item { row, question, .. } = self.item;
        let Some(stored) = question else { return };
        let ours = row.way == Way::Sent;
        let fits = row.kind == "query.request"
            && (ours || row.state == State::Accepted)
            && stored.ours == ours
            && (ours || stored.state != QuestionState::Missed);
        if !fits {
            self.find("its question is none that it can have asked");
        }
    }

    /// A message without its outcome waits to be sent, and no other does.
    fn queue(&mut self) {
        let Item { row, queued, .. } = self.item;
        match (row.state == State::Queued, queued) {
            (true, false) => self.find("it has no outcome, and does not stand in the outbox"),
            (false, true) => self.find("it has its outcome, and still stands in the outbox"),
            _ => {}
        }
        let of_way = match row.way {
            Way::Received => matches!(row.state, State::Accepted | State::Rejected),
            Way::Sent => row.state != State::Accepted,
        };
        if !of_way {
            self.find("its state is not one of its direction");
        }
        if row.code.is_some() && matches!(row.state, State::Accepted | State::Queued | State::Receipted) {
            self.find("it was not refused, and has a code");
        }
        if row.request.is_some() != (row.way == Way::Sent) {
            self.find("a back end submitted each message of ours, and no other");
        }
    }

    /// Of what was not sent in time the log states by the code whether it was returned. Whether the partner may have it
    /// follows from the attempts, which nobody signs.
    fn expiry(&mut self) {
        let Item { row, attempted, .. } = self.item;
        let code = match row.state {
            State::Returned => Code::PredecessorRefused,
            State::Expired | State::Unknown => Code::Expired,
            _ => return,
        };
        if row.code.as_deref() != Some(code.as_str()) {
            self.find("its state is not what the code in the log stands for");
        } else if row.state != State::Returned && *attempted != (row.state == State::Unknown) {
            self.find("its state does not fit whether it was attempted to send it");
        }
    }

    /// Of a refused message whose envelope could not be read, as the code in the log says, neither subject nor expiry
    /// was taken; the time of its signing stands for the latter.
    fn unread(&mut self) {
        let row = &self.item.row;
        let refused = row.way == Way::Received && row.state == State::Rejected;
        let unread = refused && row.code.as_deref() == Some(Code::EventInvalid.as_str());
        if row.subject.is_empty() != unread || (unread && row.expires_at != row.signed_at) {
            self.find("its subject or expiry is not one of an envelope that was read, or not read, as the log states");
        }
    }

    /// An accepted message is up for hand-over; a question of ours that was not answered in time is, too. When it was
    /// handed over is compared with the house log by sums.
    fn hand_over(&mut self) {
        let Item { row, deliveries, notice, .. } = self.item;
        let copied = |d: &HandedOver| d.partner == row.partner && d.subject == row.subject;
        let ended = |d: &HandedOver| match d.state {
            Stands::Open => d.done_at.is_none() && d.code.is_none(),
            Stands::Delivered => d.done_at.is_some() && d.code.is_none(),
            Stands::Dead | Stands::Dropped => d.done_at.is_some() && d.code.is_some(),
        };
        if !deliveries.iter().all(ended) {
            self.find("its hand-over did not end as it is noted");
        }
        let fits = match (row.way, deliveries.as_slice()) {
            (Way::Received, [found]) => {
                row.state == State::Accepted
                    && found.n == 1
                    && copied(found)
                    && found.recipient == row.recipient
                    && notice.is_none_or(|notice| found.notice == notice)
                    && found.notice != Some(Notice::AnswerMissing)
            }
            (Way::Received, []) => row.state != State::Accepted,
            (Way::Received, _) => false,
            (Way::Sent, told) => {
                told.iter().zip(1..).all(|(d, n)| d.n == n && copied(d) && d.recipient == row.source)
                    && self.notices(told)
            }
        };
        if !fits {
            self.find("its hand-over is not what it must be");
        }
    }

    /// A back end is told of its own message that the answer is missing, once and only then; and at the end that it was not
    /// accepted. How often it ended is compared with the logs by sums.
    fn notices(&self, told: &[HandedOver]) -> bool {
        let Item { row, question, .. } = self.item;
        let missing = told.iter().filter(|d| d.notice == Some(Notice::AnswerMissing)).count();
        let asked = match question.as_ref().map(|asked| asked.state) {
            None | Some(QuestionState::Open) => missing == 0,
            Some(QuestionState::Answered) => missing <= 1,
            Some(QuestionState::Missed) => missing == 1,
        };
        let mut ends = told.iter().filter_map(|d| d.notice).filter(|n| *n != Notice::AnswerMissing).rev();
        let end = match Notice::of_end(row.state) {
            None => true,
            Some(end) => ends.next().map_or(row.seq <= self.item.told_after, |last| last == end),
        };
        // Before the last end it can only have been given up, and sent again.
        asked && told.iter().all(|d| d.notice.is_some()) && end && ends.all(|n| n == Notice::NotDeliveredDead)
    }

    /// The kept answer to a refused message has the code that was logged, and is as this program writes it.
    fn refusal(&mut self) {
        let Item { row, refusal, .. } = self.item;
        // With a payload its partner's words are erased; what is left of those is a code that this program knows.
        let of_erased = self.item.erasure.is_some() && row.way == Way::Sent;
        let Some(bytes) = refusal else {
            let unknown = row.code.as_deref().and_then(Code::parse).is_none();
            if row.state == State::Rejected && !(of_erased && unknown) {
                self.find("the kept refusal is gone");
            }
            return;
        };
        let problem = serde_json::from_slice::<Problem>(bytes).ok();
        let fits = row.state == State::Rejected
            && problem.is_some_and(|problem| {
                let code = problem.code;
                let words = !problem.detail.is_empty() || !problem.violations.is_empty();
                Some(code.to_string()) == row.code
                    && problem.status == code.status()
                    && problem.to_json() == *bytes
                    && !(of_erased && (words || problem.receipt.is_some()))
            });
        if !fits {
            self.find("the kept refusal is not the one logged");
        }
    }
}

/// The first column that is not what the signed payload says.
fn departs(row: &Message, jws: &Jws) -> Option<&'static str> {
    let Ok(envelope) = event::read(&jws.event) else { return Some("payload") };
    let version = Catalogue::embedded().by_schema_id(&envelope.dataschema).map(|t| t.version());
    let columns = [
        ("id", envelope.id == row.id),
        ("source", envelope.source.as_str() == row.source),
        ("recipient", envelope.recipient.as_str() == row.recipient),
        ("type", envelope.kind == row.kind),
        ("version", version == Some(row.version)),
        ("subject", envelope.subject == row.subject),
        ("signed_ms", jws.iat == row.signed_at),
        ("expires_ms", envelope.expires_at == row.expires_at),
        ("purpose", row.purpose.as_ref().is_none_or(|purpose| *purpose == envelope.purpose)),
    ];
    columns.into_iter().find(|(_, fits)| !fits).map(|(column, _)| column)
}

/// The first member in which a row differs from its entry.
fn differs(row: &Message, entry: &Entry) -> Option<&'static str> {
    let kind = match (row.way, row.state) {
        (Way::Sent, _) => Kind::Sent,
        (Way::Received, State::Rejected) => Kind::Rejected,
        (Way::Received, _) => Kind::Received,
    };
    let said = |text: &Option<String>| text.clone().unwrap_or_default();
    let from = entry.from.clone().filter(|from| from.contains('/')).unwrap_or_default();
    // A message that was refused before its edition was known has version 0.
    let edition = Catalogue::embedded().find(&row.kind, row.version).map(|t| hash(Digest(t.digest())));
    let checks = [
        ("version", entry.schema == edition && (edition.is_some() || row.version == 0)),
        ("kind", entry.kind == kind),
        ("jws", entry.jws == Some(hash(row.digest))),
        ("id", said(&entry.id) == row.id.to_string()),
        ("from", from == row.source),
        ("to", said(&entry.to) == row.recipient),
        ("type", said(&entry.message_type) == row.kind),
        ("code", row.way == Way::Sent || entry.code == row.code),
        ("at", entry.at.unix_ms() == row.at.0),
    ];
    checks.into_iter().find(|(_, fits)| !fits).map(|(member, _)| member)
}
