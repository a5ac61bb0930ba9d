//! `silkgate dead`: what was given up and why, tried again or put away.

use anyhow::{Result, anyhow};
use serde::Serialize;
use silkgate_message::catalogue::Catalogue;
use silkgate_message::event;
use silkgate_message::instant::Instant;
use silkgate_message::jws::Jws;
use silkgate_message::problem::Code;

use super::desk::Desk;
use super::{Cx, Found, admin, both_times};
use crate::accept::{Answer, DeadAct, DeadLetter, Resend, Work};
use crate::conform::{bonds, step};
use crate::deliver::{REFUSED, UNREADABLE};
use crate::store::delivery::{self, Stands};
use crate::store::message::{self, Message, State};
use crate::store::{Connection, Store, StoreError, outbox};

/// Listed at most, of either kind.
const LIST_MAX: u32 = 1000;

/// Dead letters: messages to partners that were refused again and again for their form, and hand-overs to back ends that were given up.
#[derive(clap::Subcommand)]
pub(crate) enum Dead {
    /// List them.
    #[command(after_help = "Example:\n  silkgate -d iq dead list --json\n\n\
                            Works beside a running gateway and with the gateway stopped. The first 1000 of either kind are listed.\n\n\
                            Exit codes: 0 listed, also where there are none, 2 could not be done.")]
    List,
    /// Explain one: why it was given up, and what helps.
    #[command(after_help = "Example:\n  silkgate -d iq dead show 0192f1a0-7b3c-7def-8123-456789abcdef\n\n\
                            `silkgate show` tells the message's whole life.\n\n\
                            Exit codes: 0 shown, 1 there is no such dead letter, 2 could not be done.")]
    Show(One),
    /// Try again: the same bytes to the partner, or the same hand-over to the back end.
    #[command(after_help = "Example:\n  silkgate -d iq dead retry 0192f1a0-7b3c-7def-8123-456789abcdef\n\n\
                            Mend first what `dead show` names: the same is refused again otherwise. An expired message is not sent again, nor one \
                            whose record has gone on since: submit it anew. The house log gets an entry `admin`, `retry` or `retry_delivery`.\n\n\
                            Exit codes: 0 tried again, 1 there is no such dead letter or it cannot be tried again, 2 could not be done.")]
    Retry(One),
    /// Put it away: it is not listed any more. Message, log and evidence stay.
    #[command(after_help = "Example:\n  silkgate -d iq dead drop 0192f1a0-7b3c-7def-8123-456789abcdef\n\n\
                            The house log gets an entry `dropped`.\n\n\
                            Exit codes: 0 put away, 1 there is no such dead letter, 2 could not be done.")]
    Drop(One),
}

/// Which one.
#[derive(clap::Args)]
pub(crate) struct One {
    /// The message's id.
    id: String,
}

/// Where a dead letter was going.
#[derive(Serialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Way {
    ToPartner,
    ToBackEnd,
}

/// A dead letter as it is told.
#[derive(Serialize)]
struct Letter {
    id: String,
    way: Way,
    /// The partner's state, or the back end's party.
    to: String,
    #[serde(rename = "type")]
    kind: String,
    record: String,
    from: String,
    recipient: String,
    code: String,
    why: String,
    since: Option<String>,
    expires_at: String,
    tries: i64,
    #[serde(skip)]
    seq: i64,
    #[serde(skip)]
    n: Option<i64>,
}

/// Runs the command.
pub(crate) async fn run(cx: &Cx, command: Dead) -> Result<Found> {
    match command {
        Dead::List => list(cx).await,
        Dead::Show(one) => show(cx, &one.id).await,
        Dead::Retry(one) => decide(cx, &one.id, true).await,
        Dead::Drop(one) => decide(cx, &one.id, false).await,
    }
}

async fn list(cx: &Cx) -> Result<Found> {
    let (_, store) = admin::open(cx).await?;
    let mut tx = store.read().await?;
    let mut letters = Vec::new();
    for row in message::dead_ones(&mut tx, LIST_MAX).await? {
        letters.push(of_message(&mut tx, &row).await?);
    }
    for seq in delivery::dead_ones(&mut tx, LIST_MAX).await? {
        if let Some(row) = message::by_seq(&mut tx, seq).await? {
            letters.extend(of_deliveries(&mut tx, &row).await?);
        }
    }
    cx.print(&letters, || {
        let line = |l: &Letter| {
            let since = l.since.as_deref().and_then(Instant::parse).map(both_times).unwrap_or_default();
            format!("{} {:<16} to {:<28} {:<24} since {since}", l.id, l.kind, l.to, l.code)
        };
        if letters.is_empty() {
            return "no dead letters".to_owned();
        }
        letters.iter().map(line).collect::<Vec<_>>().join("\n")
    })?;
    Ok(Found::Good)
}

async fn show(cx: &Cx, id: &str) -> Result<Found> {
    let (_, store) = admin::open(cx).await?;
    let letters = find(&mut store.read().await?, id).await?;
    cx.print(&letters, || letters.iter().map(readable).collect::<Vec<_>>().join("\n"))?;
    Ok(if letters.is_empty() { none(id) } else { Found::Good })
}

fn readable(letter: &Letter) -> String {
    let time = |at: &str| Instant::parse(at).map(both_times).unwrap_or_default();
    [
        format!("{} {} of record {}", letter.kind, letter.id, letter.record),
        format!("  from      {} to {}", letter.from, letter.recipient),
        format!(
            "  given up  {}, after {} tries, to {}",
            letter.since.as_deref().map(time).unwrap_or_default(),
            letter.tries,
            letter.to
        ),
        format!("  expires   {}", time(&letter.expires_at)),
        format!("  why       {}: {}", letter.code, letter.why),
        format!("  next      silkgate dead retry {0}, or silkgate dead drop {0}", letter.id),
    ]
    .join("\n")
}

fn none(id: &str) -> Found {
    eprintln!(
        "silkgate: {id} is no dead letter; `silkgate dead list` names them, `silkgate show {id}` tells of the message"
    );
    Found::Wrong
}

async fn find(conn: &mut Connection, id: &str) -> Result<Vec<Letter>> {
    let uuid =
        event::uuid_v7(id).ok_or_else(|| anyhow!("`{id}` is no message id (a UUIDv7 in lower case)"))?;
    let mut letters = Vec::new();
    for row in message::by_id(conn, &uuid).await? {
        if row.state == State::Dead {
            letters.push(of_message(conn, &row).await?);
        }
        letters.extend(of_deliveries(conn, &row).await?);
    }
    Ok(letters)
}

async fn of_message(conn: &mut Connection, row: &Message) -> Result<Letter> {
    let attempts = outbox::attempts(conn, row.seq).await?;
    let code = row.code.clone().unwrap_or_default();
    let title = Code::parse(&code).map_or("refused", Code::title);
    let why = format!(
        "{} refused its form again and again, without a receipt: {title}. The same bytes pass only once that is mended there or on the line",
        row.partner
    );
    let tries = i64::try_from(attempts.len())?;
    let since = attempts.last().map(|(_, at, _)| *at);
    Ok(letter(row, None, Way::ToPartner, (row.partner.clone(), code, why), since, tries))
}

async fn of_deliveries(conn: &mut Connection, row: &Message) -> Result<Vec<Letter>> {
    let all = delivery::of_message(conn, row.seq).await?;
    let dead = all.into_iter().filter(|d| d.state == Stands::Dead);
    let told = |d: delivery::Delivery| {
        let code = d.code.unwrap_or_default();
        let why = match code.as_str() {
            UNREADABLE => {
                "its payload cannot be decrypted; put the backup of the key store back, then try again"
            }
            REFUSED => {
                "the back end's server refused it again and again as it stands (status 400, 413, 415 or 422, or too long a message); mend that there, then try again"
            }
            _ => "the back end would not take it",
        };
        letter(row, Some(d.n), Way::ToBackEnd, (d.recipient, code, why.to_owned()), d.done_at, d.handed)
    };
    Ok(dead.map(told).collect())
}

fn letter(
    row: &Message,
    n: Option<i64>,
    way: Way,
    (to, code, why): (String, String, String),
    since: Option<Instant>,
    tries: i64,
) -> Letter {
    Letter {
        id: row.id.to_string(),
        way,
        to,
        kind: row.kind.clone(),
        record: row.subject.clone(),
        from: row.source.clone(),
        recipient: row.recipient.clone(),
        code,
        why,
        since: since.map(|at| at.to_string()),
        expires_at: row.expires_at.to_string(),
        tries,
        seq: row.seq,
        n,
    }
}

/// Commits an operator's decision about every dead letter of that message, in turns with a running gateway.
async fn decide(cx: &Cx, id: &str, retry: bool) -> Result<Found> {
    let desk = Desk::open(cx).await?;
    let letters = find(&mut desk.gateway.store.read().await?, id).await?;
    if letters.is_empty() {
        desk.close().await?;
        return Ok(none(id));
    }
    let mut done = Vec::new();
    let mut refused = false;
    for letter in letters {
        let act = match (retry, letter.n) {
            (false, _) => DeadAct::Drop,
            (true, Some(_)) => DeadAct::Retry(None),
            (true, None) => DeadAct::Retry(resend(&desk.gateway.store, letter.seq).await?),
        };
        let decision = DeadLetter { seq: letter.seq, n: letter.n, act };
        match desk.gateway.accept.commit(Work::Dead(Box::new(decision))).await {
            Answer::Done => done.push(letter),
            Answer::Refused(problem) => {
                refused = true;
                let (verb, to) = (if retry { "tried again" } else { "put away" }, &letter.to);
                eprintln!("silkgate: {id} to {to} cannot be {verb}: {}: {}", problem.code, problem.detail);
            }
            Answer::Failed(problem) => {
                desk.close().await?;
                return Err(anyhow!("{}: {}", problem.code, problem.detail));
            }
            Answer::Received(_) | Answer::Submitted { .. } | Answer::Erased { .. } | Answer::Witnessed(_) => {
            }
        }
    }
    desk.close().await?;
    cx.print(&done, || {
        let verb = if retry { "is tried again" } else { "is put away" };
        done.iter().map(|l| format!("{} to {} {verb}", l.id, l.to)).collect::<Vec<_>>().join("\n")
    })?;
    Ok(if refused { Found::Wrong } else { Found::Good })
}

/// What a message was submitted with; None where its payload is gone or cannot be read.
async fn resend(store: &Store, seq: i64) -> Result<Option<Box<Resend>>> {
    let mut tx = store.read().await?;
    let bytes = match store.payload(&mut tx, seq).await {
        Err(StoreError::Unreadable { .. }) => None,
        read => read?,
    };
    let Some(jws) = bytes.and_then(|bytes| Jws::parse(&bytes).ok()) else { return Ok(None) };
    let Ok(envelope) = event::read(&jws.event) else { return Ok(None) };
    let Some(message_type) = Catalogue::embedded().by_schema_id(&envelope.dataschema) else {
        return Ok(None);
    };
    let step = step(message_type, &jws.event, &envelope, jws.digest());
    Ok(Some(Box::new(Resend { bonds: bonds(message_type, &jws.event), envelope, step })))
}
