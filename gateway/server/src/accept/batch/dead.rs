//! Dead letters: hand-overs that are given up, and what operators decide about them and about messages that were given up. Each act is an entry
//! of the house log: to whom a state hands over, and what it gives up sending, is its own business.

use silkgate_ledger::entry::Kind;
use silkgate_message::catalogue::Priority;
use silkgate_message::problem::{Code, Problem};

use super::super::work::{Answer, Bury, DeadAct, DeadLetter, Resend, entry_at};
use super::{Batch, Draft, fill, out_of_order};
use crate::store::delivery::{self, Notice, OF_DELIVERY, RETRY, RETRY_DELIVERY, Stands};
use crate::store::ledger::hash;
use crate::store::message::{self, Message, State, Way};
use crate::store::outbox::Waiting;
use crate::store::payload;
use crate::store::record::{Record, RecordKey};
use crate::store::{Connection, StoreError};

impl Batch<'_> {
    /// Gives a hand-over up. Later ones of its record go on.
    pub(super) async fn bury(&mut self, conn: &mut Connection, bury: &Bury) -> Result<Draft, StoreError> {
        let Some(row) = message::by_seq(conn, bury.seq).await? else {
            return Err(StoreError::Corrupt("a delivery without its message".into()));
        };
        let buried = delivery::bury(conn, bury.seq, bury.n, &bury.lease, &bury.code, self.now).await?;
        let Some(next) = buried else {
            return Ok(Draft::Ready(Answer::Refused(Problem::new(Code::LeaseLost))));
        };
        self.changed.recipients.extend(next);
        self.note_dead(conn, Kind::Dead, &row, Some(OF_DELIVERY), Some(bury.code.clone())).await?;
        Ok(Draft::Ready(Answer::Done))
    }

    /// What an operator decides about a dead letter.
    pub(super) async fn dead(
        &mut self,
        conn: &mut Connection,
        letter: &DeadLetter,
    ) -> Result<Draft, StoreError> {
        let gone =
            || Draft::Ready(Answer::Refused(Problem::new(Code::NotFound).detail("it is no dead letter")));
        let Some(row) = message::by_seq(conn, letter.seq).await? else { return Ok(gone()) };
        let Some(n) = letter.n else {
            if row.state != State::Dead {
                return Ok(gone());
            }
            return match &letter.act {
                DeadAct::Retry(resend) => self.send_again(conn, &row, resend.as_deref()).await,
                DeadAct::Drop => {
                    message::set_state(conn, row.seq, State::Dropped, row.code.as_deref()).await?;
                    self.note_dead(conn, Kind::Dropped, &row, None, row.code.clone()).await?;
                    Ok(Draft::Ready(Answer::Done))
                }
            };
        };
        let all = delivery::of_message(conn, row.seq).await?;
        let Some(found) = all.into_iter().find(|d| d.n == n && d.state == Stands::Dead) else {
            return Ok(gone());
        };
        match &letter.act {
            DeadAct::Retry(_) => {
                delivery::revive(conn, row.seq, n).await?;
                self.changed.recipients.push(found.recipient);
                self.note_dead(conn, Kind::Admin, &row, Some(RETRY_DELIVERY), found.code).await?;
            }
            DeadAct::Drop => {
                delivery::put_away(conn, row.seq, n).await?;
                self.note_dead(conn, Kind::Dropped, &row, Some(OF_DELIVERY), found.code).await?;
            }
        }
        Ok(Draft::Ready(Answer::Done))
    }

    /// Puts a message that was given up in the outbox again, as it was signed; decided as a new one is, since its record may have gone on.
    async fn send_again(
        &mut self,
        conn: &mut Connection,
        row: &Message,
        resend: Option<&Resend>,
    ) -> Result<Draft, StoreError> {
        let refuse = |problem: Problem| Ok(Draft::Ready(Answer::Refused(problem)));
        if row.expires_at <= self.now {
            let detail = format!("it expired at {}; submit it anew", row.expires_at);
            return refuse(Problem::new(Code::Expired).detail(detail));
        }
        let Some(resend) = resend.filter(|_| row.way == Way::Sent) else {
            return refuse(Problem::new(Code::NotFound).detail("its payload is gone"));
        };
        if payload::key_of(conn, row.seq).await?.is_none() {
            return refuse(Problem::new(Code::NotFound).detail("its payload is gone"));
        }
        let key = RecordKey { partner: row.partner.clone(), way: Way::Sent, subject: row.subject.clone() };
        let mut state = None;
        if let Some(step) = &resend.step {
            let record = self.record(conn, &key).await?;
            match self.follow(conn, &key, record.head.as_ref(), step).await? {
                Ok(next) => {
                    state = Some(next.clone());
                    self.records.insert(key, Record { head: Some(next), settled: record.settled });
                }
                Err(code) => {
                    let problem = out_of_order(code, &resend.bonds);
                    return refuse(problem.detail("its record has gone on since; submit a new version"));
                }
            }
        }
        let related = self.relate(conn, Way::Sent, &resend.envelope, &resend.bonds.references).await?;
        match related {
            Ok(related) => self.answer(row.seq, related),
            Err(problem) => return refuse(problem),
        }
        let told = delivery::of_message(conn, row.seq).await?;
        if !told.iter().any(|d| d.notice == Some(Notice::NotDeliveredDead)) {
            // It ended before back ends were told: its end is in the log, and will be made up for here only.
            self.tell(row, Notice::NotDeliveredDead);
        }
        message::set_state(conn, row.seq, State::Queued, None).await?;
        self.sends.push(Waiting {
            seq: row.seq,
            partner: row.partner.clone(),
            subject: row.subject.clone(),
            priority: Priority::of(&row.kind),
            expires_at: row.expires_at,
            record: state,
        });
        self.changed.outbox = true;
        self.note_dead(conn, Kind::Admin, row, Some(RETRY), row.code.clone()).await?;
        Ok(Draft::Ready(Answer::Done))
    }

    async fn note_dead(
        &mut self,
        conn: &mut Connection,
        kind: Kind,
        row: &Message,
        what: Option<&str>,
        code: Option<String>,
    ) -> Result<(), StoreError> {
        let mut entry = entry_at(kind, self.now);
        fill(&mut entry, Some(&row.id), &row.source, &row.recipient, &row.kind);
        entry.jws = Some(hash(row.digest));
        entry.what = what.map(str::to_owned);
        entry.code = code;
        if kind != Kind::Dead {
            entry.role = Some("operator".to_owned());
        }
        let house = self.growth.house()?;
        self.growth.append(conn, house, &entry).await?;
        Ok(())
    }
}
