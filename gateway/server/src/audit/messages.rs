//! The audit of messages: each row against its entry, its payload, its receipt and its outcome.

use silkgate_ledger::entry::{Kind, Verdict};
use silkgate_ledger::{Entry, Receipt, VerifierKey};
use silkgate_message::catalogue::Catalogue;
use silkgate_message::event;
use silkgate_message::jws::{Digest, Jws, SigningCertificate};
use silkgate_message::problem::Problem;

use super::{Audit, PAGE};
use crate::directory::channel_keys;
use crate::store::erasure::{self, Reason};
use crate::store::ledger::hash;
use crate::store::message::{self, Message, State, Way};
use crate::store::{Connection, StoreError, delivery, outbox};

impl Audit<'_> {
    pub(super) async fn messages(&mut self, conn: &mut Connection) -> Result<(), StoreError> {
        let mut last = 0;
        loop {
            let page = message::after(conn, last, PAGE).await?;
            let Some(newest) = page.last() else { return Ok(()) };
            last = newest.seq;
            for row in page {
                self.report.messages += 1;
                self.message(conn, &row).await?;
            }
        }
    }

    async fn message(&mut self, conn: &mut Connection, row: &Message) -> Result<(), StoreError> {
        let place = format!("message {} ({} {})", row.seq, row.way.as_str(), row.id);
        self.unclaimed.remove(&(row.log, row.entry));
        match self.stated.get(&(row.log, row.entry)) {
            None => self.find(&place, "the log holds no entry for it"),
            Some(entry) => {
                if let Some(member) = differs(row, entry) {
                    self.find(&place, format!("`{member}` is not what the log states"));
                }
            }
        }
        if self.partners.get(&row.log) != Some(&row.partner) {
            self.find(&place, "`partner` is not the one of its channel's log");
        }
        // The first checkpoint over the entry is the one that its receipt rests on.
        let first = self.signed.get(&row.log).and_then(|sizes| sizes.range(row.entry + 1..).next());
        if first != Some(&row.checkpoint) {
            self.find(&place, "its checkpoint is not the first one over its entry");
        }
        match row.way {
            Way::Sent => self.outcome(conn, &place, row).await?,
            Way::Received => self.hand_over(conn, &place, row).await?,
        }
        let erased = self.erased.remove(&(row.log, row.entry));
        self.erasure(conn, &place, row, erased.as_ref()).await?;
        let payload = match self.store.payload(conn, row.seq).await {
            Ok(payload) => payload,
            Err(error @ StoreError::Unreadable { .. }) => {
                self.find(&place, error.to_string());
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.question(conn, &place, row, payload.as_deref()).await?;
        match (payload, row.way, row.state) {
            (Some(_), _, _) if erased.is_some() => {
                self.find(&place, "the log states that the payload was erased, and it is still there");
            }
            (Some(payload), _, _) => self.payload(&place, row, &payload),
            (None, _, _) if erased.is_some() => self.report.erased += 1,
            // Bodies of refused messages are not kept.
            (None, Way::Received, State::Rejected) => self.refusal(conn, &place, row).await?,
            (None, _, _) => self.find(&place, "the payload is gone, and the log holds no `erased` entry"),
        }
        if let Some(receipt) = message::receipt(conn, row.seq).await? {
            self.receipt(&place, row, &receipt);
        } else if row.way == Way::Sent && row.state == State::Receipted {
            self.find(&place, "the partner's receipt is gone");
        }
        Ok(())
    }

    /// What is noted of an erasure is what the logs state of it.
    async fn erasure(
        &mut self,
        conn: &mut Connection,
        place: &str,
        row: &Message,
        stated: Option<&(u64, Entry)>,
    ) -> Result<(), StoreError> {
        let noted = erasure::find(conn, row.seq).await?;
        let fits = match (&noted, stated) {
            (None, None) => true,
            (Some(noted), Some((index, entry))) => {
                let id = row.id.to_string();
                let reasons = self.reasons.get(&id);
                let known =
                    |reason: &Reason| reasons.is_some_and(|known| known.contains(&hash(reason.digest())));
                noted.entry == *index
                    && entry.rule.as_deref() == Some(noted.rule.as_str())
                    && entry.at.unix_ms() == noted.at.0
                    && entry.jws == Some(hash(row.digest))
                    && entry.id.as_deref() == Some(id.as_str())
                    && noted.reason.as_ref().is_none_or(known)
            }
            _ => false,
        };
        if !fits {
            self.find(place, "its erasure is not what the logs state");
        }
        Ok(())
    }

    fn payload(&mut self, place: &str, row: &Message, payload: &[u8]) {
        let jws = match Jws::parse(payload) {
            Ok(jws) => jws,
            Err(problem) => return self.find(place, format!("the payload cannot be read: {}", problem.code)),
        };
        if jws.digest() != row.digest {
            return self.find(place, "the payload's digest is not the one logged");
        }
        if let Some(column) = departs(row, &jws) {
            self.find(place, format!("`{column}` is not what the payload says"));
        }
        let own = self.own.iter().filter(|_| row.way == Way::Sent).cloned();
        let theirs = self.cards.iter().filter(|card| card.content().country.as_str() == row.partner);
        let theirs = theirs.flat_map(|card| &card.content().signing_certificates);
        let theirs =
            theirs.filter(|_| row.way == Way::Received).filter_map(|der| SigningCertificate::parse(der));
        let signer = own.chain(theirs).find(|certificate| certificate.thumbprint == jws.thumbprint);
        match signer.map(|certificate| jws.verify(&certificate)) {
            Some(Ok(())) => self.report.payloads += 1,
            Some(Err(code)) => self.find(place, format!("the payload's signature does not verify: {code}")),
            None => self.find(place, "the payload's certificate is on no card that was in force"),
        }
    }

    fn receipt(&mut self, place: &str, row: &Message, receipt: &[u8]) {
        let own = self.config.country();
        let keys: Vec<VerifierKey> = self
            .cards
            .iter()
            .filter(|card| card.content().country.as_str() == row.partner)
            .filter_map(|card| channel_keys(card, own).ok())
            .flatten()
            .collect();
        let verified = Receipt::parse(receipt).and_then(|receipt| receipt.verify(&keys));
        match verified {
            Ok(verified) if verified.entry.jws == Some(hash(row.digest)) => {
                let accepted = verified.entry.verdict == Some(Verdict::Accepted);
                if accepted == (row.state == State::Receipted) {
                    self.report.receipts += 1;
                } else {
                    self.find(place, "the partner's receipt holds another verdict than the message's state");
                }
            }
            Ok(_) => self.find(place, "the partner's receipt is for another message"),
            Err(error) => self.find(place, format!("the partner's receipt does not verify: {error}")),
        }
    }

    /// The state of a message sent is what its last entry states; without one it must still be queued.
    async fn outcome(&mut self, conn: &mut Connection, place: &str, row: &Message) -> Result<(), StoreError> {
        let queued = outbox::contains(conn, row.seq).await?;
        let stated =
            self.outcomes.get(&hash(row.digest)).map(|entry| (entry.kind, entry.verdict, entry.code.clone()));
        let fits = match (row.state, &stated) {
            (State::Queued, None) => queued && row.code.is_none(),
            (State::Receipted, Some((Kind::Receipted, Some(Verdict::Accepted), None))) => row.code.is_none(),
            (State::Rejected, Some((Kind::Receipted, Some(Verdict::Rejected), code))) => *code == row.code,
            (State::Dead, Some((Kind::Dead, None, code))) => *code == row.code,
            (State::Expired | State::Unknown | State::Returned, Some((Kind::Expired, None, code))) => {
                *code == row.code
            }
            _ => false,
        };
        if !fits {
            self.find(place, "its state is not the outcome that the log states");
        } else if queued && row.state != State::Queued {
            self.find(place, "it has its outcome, and still stands in the outbox");
        }
        Ok(())
    }

    /// An accepted message is up for hand-over, or was handed over as the house log states.
    async fn hand_over(
        &mut self,
        conn: &mut Connection,
        place: &str,
        row: &Message,
    ) -> Result<(), StoreError> {
        let found = delivery::find(conn, row.seq).await?;
        let delivered = self.delivered.get(&hash(row.digest)).copied();
        let notice = self.notice_of(conn, row).await?;
        match (found, row.state == State::Accepted) {
            (Some(found), true)
                if found.recipient == row.recipient
                    && notice.is_none_or(|notice| found.notice == notice)
                    && found.done_at.map(|at| at.0) == delivered => {}
            (None, false) => {}
            _ => self.find(place, "its hand-over is not what the house log states"),
        }
        Ok(())
    }

    /// The kept answer to a refused message has the code that was logged.
    async fn refusal(&mut self, conn: &mut Connection, place: &str, row: &Message) -> Result<(), StoreError> {
        let problem = message::refusal(conn, row.seq).await?;
        let problem: Option<Problem> = problem.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        if problem.map(|problem| problem.code.to_string()) != row.code {
            self.find(place, "the kept refusal is not the one logged");
        }
        Ok(())
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
    // An edition that this program does not hold is taken as it is.
    let edition = Catalogue::embedded().find(&row.kind, row.version).map(|t| hash(Digest(t.digest())));
    let checks = [
        (
            "version",
            edition.is_none() == entry.schema.is_none() && edition.is_none_or(|e| entry.schema == Some(e)),
        ),
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
