//! What can be committed, and the answers.

use silkgate_ledger::entry::{Entry, Kind, UtcMillis};
use silkgate_ledger::{AddCheckpoint, Checkpoint, Unfit};
use silkgate_message::catalogue::{Question, Reference, Violation};
use silkgate_message::event::{Envelope, Fragments};
use silkgate_message::instant::Instant;
use silkgate_message::jws::Digest;
use silkgate_message::lifecycle::Step;
use silkgate_message::party::{Country, Party};
use silkgate_message::problem::Problem;
use uuid::Uuid;

use crate::roles::NationalPeer;
use crate::standing::Standing;
use crate::store::message::State;
use crate::store::outbox::Lease;
use crate::tls::{Group, Side};

/// One job.
pub enum Work {
    /// A partner's message with a verified signature.
    Receive(Box<Received>),
    /// A back end's message, signed by us.
    Submit(Box<Submission>),
    /// What became of an attempt to send.
    Settle(Box<Settlement>),
    /// A back end acknowledged a delivery.
    HandOver(HandOver),
    /// A hand-over is given up.
    Bury(Bury),
    /// An operator decides about a dead letter.
    Dead(Box<DeadLetter>),
    /// The deadline of a question of ours has passed.
    Deadline(i64),
    /// The retention day of payloads has come.
    Erase(Due),
    /// An entry alone, e.g. a refusal before the signature was verified.
    Note(Box<Note>),
    /// Somebody on the national plane is about to read.
    Read(Box<Read>),
    /// In which group keys were exchanged with a partner.
    Handshake(Box<Handshake>),
    /// A partner shows a checkpoint of a log of its own, to be cosigned.
    Witness(Box<Shown>),
}

impl Work {
    /// Who takes turns: the partner, or the gateway itself.
    pub(super) fn lane(&self) -> String {
        match self {
            Work::Receive(received) => received.partner.to_string(),
            Work::Submit(submission) => format!("{} out", submission.envelope.recipient.country()),
            Work::Witness(shown) => shown.partner.to_string(),
            // However much is read, the gateway's own work has room.
            Work::Read(_) => "reads".to_owned(),
            Work::Settle(_)
            | Work::HandOver(_)
            | Work::Bury(_)
            | Work::Dead(_)
            | Work::Deadline(_)
            | Work::Erase(_)
            | Work::Handshake(_)
            | Work::Note(_) => String::new(),
        }
    }

    /// Why it may not be written at present; for what someone waits for, after a moment in which that may change.
    pub(super) async fn closed(&self, standing: &Standing) -> Option<String> {
        match self {
            Work::Receive(received) => standing.still_closed(Some(received.partner)).await,
            Work::Submit(submission) => {
                standing.still_closed(Some(submission.envelope.recipient.country())).await
            }
            Work::HandOver(_) => standing.still_closed(None).await,
            _ => self.closed_now(standing),
        }
    }

    /// The same at once.
    pub(super) fn closed_now(&self, standing: &Standing) -> Option<String> {
        match self {
            Work::Receive(received) => standing.closed(Some(received.partner)),
            Work::Submit(submission) => standing.closed(Some(submission.envelope.recipient.country())),
            // It cannot be undone: it waits for the partner's word that our log is whole.
            Work::Erase(due) => standing.closed(Some(due.partner)),
            Work::HandOver(_) | Work::Handshake(_) | Work::Read(_) => standing.closed(None),
            Work::Note(note) => match note.log {
                NoteLog::Channel(partner) => standing.closed(Some(partner)),
                NoteLog::House => standing.closed(None),
            },
            // Of which channel they are only the transaction sees, and asks again.
            Work::Settle(_) | Work::Deadline(_) => standing.read_only(),
            Work::Bury(_) | Work::Dead(_) => standing.closed(None),
            // Two gateways that start together must not wait for each other's word.
            Work::Witness(_) => None,
        }
    }
}

/// What a message says of others, and asks.
#[derive(Default)]
pub struct Bonds {
    /// The messages that it rests on.
    pub references: Vec<Reference>,
    /// Its question.
    pub question: Option<Question>,
    /// By what it can be found.
    pub terms: Vec<String>,
    /// What to report where its record's order is broken.
    pub out_of_order: Option<Violation>,
}

/// Why a message under a revoked certificate is refused.
pub const REVOKED: &str = "the list of its issuer that is in force here names it";

/// A partner's message, checked as far as it can be without the database.
pub struct Received {
    /// Who sent it, by TLS.
    pub partner: Country,
    /// When its request came in.
    pub arrived_at: Instant,
    /// The message's bytes.
    pub bytes: Vec<u8>,
    /// SHA-256 of its signing input.
    pub digest: Digest,
    /// `iat`.
    pub signed_at: Instant,
    /// The certificate it was verified with.
    pub certificate: Digest,
    /// The same, DER.
    pub certificate_der: Vec<u8>,
    /// The count of changes of partners that it was judged at.
    pub generation: i64,
    /// The envelope, or its sound parts.
    pub envelope: Result<Envelope, Fragments>,
    /// The type's version and the digest of its edition, if the catalogue holds it.
    pub schema: Option<(u32, Digest)>,
    /// What the message does to its record.
    pub step: Option<Step>,
    /// What it says of other messages.
    pub bonds: Bonds,
    /// When its payload is to be erased: days since 1970, UTC.
    pub erase_day: i64,
    /// The verdict so far. A replay is answered with the first verdict, whatever this one is.
    pub refusal: Option<Problem>,
    /// Why it gets no verdict now, where nothing refuses it: it would do later.
    pub not_now: Option<Problem>,
    /// Whether it came by courier: then its answer is owed in a file.
    pub by_courier: bool,
}

/// A back end's message.
pub struct Submission {
    /// When its request came in.
    pub arrived_at: Instant,
    /// The signed message.
    pub bytes: Vec<u8>,
    /// SHA-256 of its signing input.
    pub digest: Digest,
    /// When it was signed.
    pub signed_at: Instant,
    /// Our signing certificate.
    pub certificate: Digest,
    /// The envelope.
    pub envelope: Envelope,
    /// The type's version and the digest of its edition.
    pub schema: (u32, Digest),
    /// What it does to its record.
    pub step: Option<Step>,
    /// What it says of other messages.
    pub bonds: Bonds,
    /// When its payload is to be erased: days since 1970, UTC.
    pub erase_day: i64,
    /// SHA-256 of what the back end submitted: the same again is answered, not sent twice.
    pub request: Digest,
}

/// What became of an attempt to send.
pub struct Settlement {
    /// The message.
    pub seq: i64,
    /// The lease under which it was attempted.
    pub lease: Lease,
    /// What happened, in a few words.
    pub attempt: Option<String>,
    /// The outcome.
    pub outcome: Outcome,
}

/// The outcome of an attempt.
pub enum Outcome {
    /// The partner accepted; its receipt was verified.
    Accepted {
        /// The receipt.
        receipt: Vec<u8>,
    },
    /// The partner refused; its receipt was verified.
    Rejected {
        /// The receipt.
        receipt: Vec<u8>,
        /// The problem document.
        problem: Box<Problem>,
    },
    /// No verdict: again at `due`.
    Again {
        /// When.
        due: Instant,
        /// Whether the partner refused without a receipt.
        refused: bool,
    },
    /// Past `expirytime`.
    Expired,
    /// Put aside.
    Dead {
        /// The partner's last code.
        code: String,
    },
}

/// A back end acknowledged a delivery.
pub struct HandOver {
    /// The back end.
    pub recipient: Party,
    /// The messages of that id: sources may have used one twice.
    pub seqs: Vec<i64>,
    /// The lease under which one of them was fetched.
    pub lease: Lease,
}

/// A hand-over that is given up.
pub struct Bury {
    /// The message.
    pub seq: i64,
    /// Which of its hand-overs.
    pub n: i64,
    /// The lease under which it was tried.
    pub lease: Lease,
    /// Why.
    pub code: String,
}

/// What an operator decides about a dead letter.
pub struct DeadLetter {
    /// The message.
    pub seq: i64,
    /// Which of its hand-overs; None: the message itself, on its way to the partner.
    pub n: Option<i64>,
    /// What.
    pub act: DeadAct,
}

/// What an operator decides.
pub enum DeadAct {
    /// Try again. A message needs what it was submitted with; None where its payload is gone.
    Retry(Option<Box<Resend>>),
    /// Put it away.
    Drop,
}

/// A message that is sent again, read from its payload.
pub struct Resend {
    /// The envelope.
    pub envelope: Envelope,
    /// What it does to its record.
    pub step: Option<Step>,
    /// What it says of other messages.
    pub bonds: Bonds,
}

/// Payloads whose retention day has come.
pub struct Due {
    /// The partner of their channel.
    pub partner: Country,
    /// The messages.
    pub seqs: Vec<i64>,
}

/// In which group keys were exchanged with a partner.
#[derive(Clone, Copy, Debug)]
pub struct Handshake {
    /// The partner.
    pub partner: Country,
    /// Who called.
    pub side: Side,
    /// The group.
    pub group: Group,
}

/// What somebody on the national plane is about to read.
pub struct Read {
    /// Who.
    pub peer: NationalPeer,
    /// The `what` of the entry; each begins with `read_`, by which the audit knows that there is a row.
    pub act: &'static str,
    /// What is looked at.
    pub what: String,
    /// What for.
    pub reason: Option<String>,
}

/// An entry alone.
#[derive(Clone)]
pub struct Note {
    /// Where.
    pub log: NoteLog,
    /// What.
    pub entry: Entry,
}

/// A checkpoint of a partner's log, whose signature was verified.
pub struct Shown {
    /// Who shows it: the log's own gateway.
    pub partner: Country,
    /// The request.
    pub request: AddCheckpoint,
    /// Its checkpoint, read.
    pub checkpoint: Checkpoint,
    /// The note with our cosignature, which leaves only once it is kept.
    pub cosigned: Vec<u8>,
    /// Whether an alarm may be noted in the house log.
    pub note_alarm: bool,
}

/// Where a [`Note`] goes.
#[derive(Clone, Copy)]
pub enum NoteLog {
    /// The house log.
    House,
    /// The channel log with a partner.
    Channel(Country),
}

/// The answer to a job, after its commit.
#[derive(Debug)]
pub enum Answer {
    /// To [`Work::Receive`].
    Received(Verdict),
    /// To [`Work::Submit`]: the message as it stands, which may have been submitted before.
    Submitted {
        /// The message.
        id: Uuid,
        /// Its digest.
        digest: Digest,
        /// Where it stands.
        state: State,
        /// Whether it was submitted before.
        again: bool,
    },
    /// To [`Work::Erase`].
    Erased {
        /// Payloads erased.
        erased: usize,
        /// Payloads that something still needs.
        waiting: usize,
    },
    /// To [`Work::Witness`]: kept and cosigned, or why not; then whether it raised a new alarm.
    Witnessed(Result<(), (Unfit, bool)>),
    /// Refused inside the transaction; nothing was written.
    Refused(Problem),
    /// Done, or there was nothing to do.
    Done,
    /// The gateway could not do it.
    Failed(Problem),
}

/// The verdict on a received message.
#[derive(Debug)]
pub enum Verdict {
    /// Accepted, with its receipt.
    Accepted(Vec<u8>),
    /// Refused, with the receipt inside the problem.
    Rejected(Problem),
    /// Known: the first answer is to be given again.
    Again {
        /// The message.
        seq: i64,
    },
    /// No verdict; nothing was written.
    NotNow(Problem),
}

/// An entry of that kind and time, everything else empty.
pub fn entry_at(kind: Kind, at: Instant) -> Entry {
    // The clock lies between 1970 and 9999; if it does not, the first instant stands for it.
    let at = UtcMillis::from_unix_ms(at.0).or(UtcMillis::from_unix_ms(0));
    #[allow(clippy::expect_used)] // 0 is within the bounds
    Entry::new(kind, at.expect("the first instant is one"))
}
