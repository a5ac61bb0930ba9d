//! Erasing a payload: its bytes, its wrapped key and what a partner told of it go; what was exchanged stays
//! proved by the log, which says that it was erased.

use silkgate_ledger::entry::Kind;
use silkgate_message::instant::Instant;
use silkgate_message::problem::{Code, Problem};

use super::append::Growth;
use super::batch::fill;
use super::work::entry_at;
use crate::store::delivery::{Delivery, Notice};
use crate::store::erasure::{self, Erasure, Reason, Rule};
use crate::store::ledger::hash;
use crate::store::message::{self, Message, State, Way};
use crate::store::question::{self, QuestionState};
use crate::store::{Connection, StoreError, delivery, outbox, payload};

/// Why a payload must stay for now; None where nothing needs it any more.
pub async fn needed(
    conn: &mut Connection,
    row: &Message,
    now: Instant,
) -> Result<Option<&'static str>, StoreError> {
    if !row.state.is_final() || outbox::contains(conn, row.seq).await? {
        return Ok(Some("it is still to be sent, or its outcome is not known yet"));
    }
    // Of a message of ours: the notice that its question was not answered. A notice of its end can be told without it, and a back end
    // that never asks must not keep it.
    let open = |d: &Delivery| d.done_at.is_none() && !d.notice.is_some_and(Notice::is_of_end);
    if delivery::of_message(conn, row.seq).await?.iter().any(open) {
        return Ok(Some("its back end has not acknowledged it"));
    }
    let asked = question::find(conn, row.seq).await?;
    // Of a question of ours the deadline's task still has to tell who asked; a partner's simply ends.
    let open =
        asked.filter(|asked| asked.state == QuestionState::Open && (asked.ours || asked.deadline > now));
    Ok(open.map(|_| "it is a question that still waits for its answer"))
}

/// Erases the payload of a message that is not [`needed`] any more. False where it is not there.
pub async fn erase(
    conn: &mut Connection,
    growth: &mut Growth<'_>,
    row: &Message,
    rule: Rule,
    reason: Option<Reason>,
    at: Instant,
) -> Result<bool, StoreError> {
    if !payload::remove(conn, row.seq).await? {
        return Ok(false);
    }
    let mut entry = entry_at(Kind::Erased, at);
    fill(&mut entry, Some(&row.id), &row.source, &row.recipient, &row.kind);
    entry.jws = Some(hash(row.digest));
    entry.of = Some(row.entry.to_string());
    entry.rule = Some(rule.as_str().to_owned());
    let entry = growth.append(conn, row.log, &entry).await?;
    erasure::insert(conn, row.seq, &Erasure { entry, rule, at, reason }).await?;
    if row.way == Way::Sent && row.state == State::Rejected {
        // The partner's own words, which may repeat values: its code is what counts.
        let code = row.code.as_deref().and_then(Code::parse);
        message::reduce_refusal(conn, row.seq, code.map(|code| Problem::new(code).to_json())).await?;
    }
    Ok(true)
}
