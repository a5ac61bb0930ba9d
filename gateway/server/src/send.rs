//! One attempt to send a message to a partner, and the proof that its answer must bring.

use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use silkgate_ledger::entry::{Kind, Verdict};
use silkgate_ledger::{Entry, Receipt, VerifierKey};
use silkgate_message::party::Country;
use silkgate_message::problem::{Code, Problem};

use crate::gateway::Gateway;
use crate::line::{Answer, Lines, Question};
use crate::store::ledger::hash;
use crate::store::message::Message;

/// The longest answer that is read.
const ANSWER_MAX_BYTES: usize = 1 << 20;

/// What became of an attempt.
#[derive(Debug)]
pub enum Attempt {
    /// Accepted; the receipt is verified.
    Accepted {
        /// The receipt.
        receipt: Vec<u8>,
    },
    /// Refused; the receipt is verified.
    Rejected {
        /// The receipt.
        receipt: Vec<u8>,
        /// The partner's problem document.
        problem: Box<Problem>,
    },
    /// The partner has as much as it can take, whatever the message; no verdict.
    Busy {
        /// What it said.
        what: String,
        /// When to come back, if it said so.
        after: Option<Duration>,
    },
    /// The partner asks for more time for this message; no verdict.
    Later {
        /// What it said.
        what: String,
        /// When to come back, if it said so.
        after: Option<Duration>,
    },
    /// Refused without a receipt: nothing proves that it was the partner's verdict on this message.
    Refused {
        /// The code.
        code: String,
    },
    /// An answer that proves nothing.
    Failed {
        /// What happened.
        what: String,
    },
    /// No answer.
    Unreached {
        /// What happened.
        what: String,
    },
}

/// Sends, on connections that are kept open per partner.
pub struct Sender {
    gateway: Arc<Gateway>,
    lines: Arc<Lines>,
}

impl Sender {
    /// A sender on these lines.
    pub fn new(gateway: Arc<Gateway>, lines: Arc<Lines>) -> Self {
        Self { gateway, lines }
    }

    /// Sends once and judges the answer.
    pub async fn attempt(&self, message: &Message, payload: Vec<u8>) -> Attempt {
        let directory = self.gateway.directory();
        let country = message.partner.parse::<Country>().ok();
        let partner =
            country.and_then(|country| directory.partner(country)).filter(|partner| partner.is_active());
        let Some(partner) = partner else {
            return Attempt::Later { what: "the partner is suspended".to_owned(), after: None };
        };
        let question = Question {
            method: Method::POST,
            path: "/v1/messages".to_owned(),
            content_type: "application/jose+json",
            fields: Vec::new(),
            body: payload,
            within: Duration::from_secs(self.gateway.config.dispatch.attempt_seconds),
            answer_max_bytes: ANSWER_MAX_BYTES,
        };
        match self.lines.ask(partner, directory.generation, question).await {
            Ok(answer) => judge(answer, message, &partner.log_keys),
            Err(what) => Attempt::Unreached { what },
        }
    }
}

/// What an answer proves, whatever way it came.
pub fn judge(answer: Answer, message: &Message, log_keys: &[VerifierKey]) -> Attempt {
    if answer.status == 200 {
        return match proves(&answer.body, Verdict::Accepted, None, message, log_keys) {
            Ok(()) => Attempt::Accepted { receipt: answer.body.to_vec() },
            Err(what) => {
                Attempt::Failed { what: format!("accepted, but its receipt proves nothing: {what}") }
            }
        };
    }
    let Ok(problem) = serde_json::from_slice::<Problem>(&answer.body) else {
        return Attempt::Failed { what: format!("status {} without a problem document", answer.status) };
    };
    if matches!(problem.code, Code::RateExceeded | Code::Overloaded) {
        return Attempt::Busy { what: format!("not now: {}", problem.code), after: answer.retry_after };
    }
    let no_verdict = problem.code.is_not_yet()
        || problem.code == Code::PartnerSuspended
        || matches!(answer.status, 429 | 503);
    if no_verdict {
        return Attempt::Later { what: format!("not now: {}", problem.code), after: answer.retry_after };
    }
    match &problem.receipt {
        None if is_about_the_form(problem.code) => Attempt::Refused { code: problem.code.to_string() },
        // Of the connection, or of what the partner does not know yet: our card, for one.
        None => Attempt::Later {
            what: format!("refused without receipt: {}", problem.code),
            after: answer.retry_after,
        },
        Some(receipt) => {
            let receipt = receipt.clone().into_bytes();
            match proves(&receipt, Verdict::Rejected, Some(problem.code.as_str()), message, log_keys) {
                Ok(()) => Attempt::Rejected { receipt, problem: Box::new(problem) },
                Err(what) => {
                    Attempt::Failed { what: format!("refused, but its receipt proves nothing: {what}") }
                }
            }
        }
    }
}

/// Refusals of the message's form: the same bytes will be refused again, unless the line alters them.
fn is_about_the_form(code: Code) -> bool {
    use Code::*;
    matches!(
        code,
        RequestMalformed
            | HeadTooLarge
            | BodyTooLarge
            | ContentTypeUnsupported
            | JsonInvalid
            | JsonDuplicateMember
            | JsonTooDeep
            | JsonNumberRange
            | JsonTooLarge
            | JwsMalformed
            | HeaderInvalid
            | AlgorithmRefused
            | AlgorithmMismatch
            | SignatureInvalid
    )
}

/// Whether a receipt proves that the partner's log of our channel holds this verdict on this message.
fn proves(
    receipt: &[u8],
    verdict: Verdict,
    code: Option<&str>,
    message: &Message,
    log_keys: &[VerifierKey],
) -> Result<(), String> {
    let receipt = Receipt::parse(receipt).map_err(|error| error.to_string())?;
    let verified = receipt.verify(log_keys).map_err(|error| error.to_string())?;
    is_about(&verified.entry, verdict, code, message)
}

fn is_about(entry: &Entry, verdict: Verdict, code: Option<&str>, message: &Message) -> Result<(), String> {
    let kind = if verdict == Verdict::Accepted { Kind::Received } else { Kind::Rejected };
    let fits = [
        ("kind", entry.kind == kind),
        ("verdict", entry.verdict == Some(verdict)),
        ("code", entry.code.as_deref() == code),
        ("jws", entry.jws == Some(hash(message.digest))),
        ("id", entry.id.as_deref() == Some(&message.id.to_string())),
        ("from", entry.from.as_deref() == Some(&message.source)),
        ("to", entry.to.as_deref() == Some(&message.recipient)),
        ("type", entry.message_type.as_deref() == Some(&message.kind)),
    ];
    match fits.iter().find(|(_, fits)| !fits) {
        None => Ok(()),
        Some((member, _)) => Err(format!("its entry's `{member}` is not that of the message")),
    }
}
