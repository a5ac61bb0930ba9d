//! Judges what a courier's file brings.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, bail};
use serde::Serialize;
use silkgate_ledger::entry::Kind;
use silkgate_message::event;
use silkgate_message::jws::{Jws, decode};
use silkgate_message::party::Country;
use silkgate_message::problem::Code;

use super::super::desk::Desk;
use super::super::{Cx, Found};
use super::file::{self, Answer, Fault, Line, Lines, Refusal, Refused, Survey, refused};
use crate::accept::{self, Note, NoteLog, Outcome, Settlement, Work, entry_at};
use crate::clock;
use crate::directory::Partner;
use crate::gateway::Gateway;
use crate::line;
use crate::receive::{self, Answered};
use crate::send::{self, Attempt};
use crate::store::ledger::hash;
use crate::store::message::{self, Message, State, Way};
use crate::store::{StoreError, courier};
use crate::witness;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The file that a partner wrote.
    file: PathBuf,
}

/// For how long a lease is taken: longer than the commit waits for its turn.
const LEASE_MS: i64 = 60_000;

/// What became of what a file brought.
#[derive(Serialize, Default)]
struct Report {
    /// Why the whole file was refused; nothing of it had any effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Country>,
    messages: u64,
    /// Accepted for the first time.
    accepted: u64,
    /// Refused for the first time, with a receipt or without.
    rejected: u64,
    /// Known: the first answer holds.
    replayed: u64,
    /// No verdict: must come again.
    not_now: u64,
    receipts: u64,
    /// Messages of ours that they settled.
    receipts_applied: u64,
    /// Messages of ours that were settled before.
    receipts_known: u64,
    /// Proved, but the message had been given up as `unknown`, `expired`, `returned` or `dead`.
    receipts_late: u64,
    /// They prove nothing, or answer nothing of ours.
    receipts_refused: u64,
    /// What was refused, must come again or came too late, one by one.
    items: Vec<Item>,
}

/// One line of the file that was not simply taken.
#[derive(Serialize)]
struct Item {
    line: u64,
    /// `message` or `receipt`.
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    code: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    detail: String,
}

/// Runs the command.
pub(crate) async fn run(cx: &Cx, args: Args) -> Result<Found> {
    let name = args.file.display().to_string();
    let file = File::open(&args.file).with_context(|| name.clone())?;
    if !file.metadata().with_context(|| name.clone())?.is_file() {
        bail!("{name}: not a file");
    }
    let survey = match file::survey(&file) {
        Ok(survey) => survey,
        Err(Fault::Refused(refused)) => return refuse(cx, &args.file, refused),
        Err(Fault::Io(error)) => return Err(error).context(name),
    };
    let desk = Desk::open(cx).await?;
    let import = match begin(&desk, &survey).await? {
        Ok(partner) => Import { desk: &desk, partner, report: Report::default() },
        Err(refused) => {
            desk.close().await?;
            return refuse(cx, &args.file, refused);
        }
    };
    let report = import.all(&file, &survey).await;
    desk.close().await?;
    tell(cx, &args.file, &report.with_context(|| name)?)
}

/// What must hold before anything of the file is looked at; then the act is logged.
async fn begin(desk: &Desk, survey: &Survey) -> Result<Result<Arc<Partner>, Refused>> {
    let (own, from) = (desk.gateway.country(), survey.head.from);
    if survey.head.to != own {
        return Ok(Err(refused(
            Refusal::Foreign,
            format!("it is for {}, and this is {own}", survey.head.to),
        )));
    }
    let Some(partner) = desk.partner(from) else {
        return Ok(Err(refused(Refusal::PartnerUnknown, format!("{from} is no partner"))));
    };
    desk.read_standing(from).await?;
    let word = witness::hear(&desk.gateway, &partner, &survey.witnessed).await;
    if let Some(reason) = desk.gateway.standing.closed(Some(from)) {
        return Ok(Err(refused(Refusal::Unavailable, word.err().unwrap_or(reason))));
    }
    let mut entry = entry_at(Kind::Admin, clock::now());
    entry.what = Some("courier_imported".to_owned());
    entry.digest = Some(hash(survey.digest));
    entry.to = Some(from.to_string());
    entry.role = Some("operator".to_owned());
    match desk.gateway.accept.commit(Work::Note(Box::new(Note { log: NoteLog::House, entry }))).await {
        accept::Answer::Failed(problem) => {
            Ok(Err(refused(Refusal::Unavailable, format!("{}: {}", problem.code, problem.detail))))
        }
        _ => Ok(Ok(partner)),
    }
}

/// The import of one file.
struct Import<'d> {
    desk: &'d Desk,
    partner: Arc<Partner>,
    report: Report,
}

impl Import<'_> {
    /// One line after another: what follows may rest on what stands before.
    async fn all(mut self, file: &File, survey: &Survey) -> Result<Report> {
        self.report.from = Some(self.partner.country);
        let mut lines = Lines::of(file)?;
        loop {
            match lines.next() {
                Ok(None) => break,
                Ok(Some((number, Line::Message(text)))) => self.message(number, &text).await,
                Ok(Some((number, Line::Answer(answer)))) => self.answer(number, &answer).await?,
                Ok(Some((_, Line::Courier(_) | Line::Witnessed(_) | Line::End(_)))) => {}
                Err(Fault::Io(error)) => return Err(error.into()),
                Err(Fault::Refused(refused)) => bail!("the file was changed while it was read: {refused}"),
            }
        }
        if lines.digest() != survey.digest {
            bail!("the file was changed while it was read; import it again");
        }
        Ok(self.report)
    }

    async fn message(&mut self, line: u64, text: &str) {
        self.report.messages += 1;
        let Some(bytes) = decode(text) else {
            self.report.rejected += 1;
            let code = Refusal::Malformed.code().to_owned();
            let detail = "not strict base64url".to_owned();
            return self.report.items.push(Item { line, kind: "message", id: None, code, detail });
        };
        // For the operator only; it is judged by what is verified.
        let id = Jws::parse(&bytes).ok().and_then(|jws| event::uuid_v7(jws.event.get("id")?.as_str()?));
        let Answered { answer, is_replay } =
            receive::couriered(&self.desk.gateway, self.partner.country, bytes).await;
        let counted = match &answer {
            _ if is_replay => &mut self.report.replayed,
            Ok(_) => &mut self.report.accepted,
            Err(problem) if no_verdict(problem.code) => &mut self.report.not_now,
            Err(_) => &mut self.report.rejected,
        };
        *counted += 1;
        if let Err(problem) = answer {
            let (id, code) = (id.map(|id| id.to_string()), problem.code.to_string());
            self.report.items.push(Item { line, kind: "message", id, code, detail: problem.detail });
        }
    }

    async fn answer(&mut self, line: u64, answer: &Answer) -> Result<()> {
        self.report.receipts += 1;
        let found = settle(&self.desk.gateway, &self.partner, answer).await?;
        let (counted, said) = match found {
            Ok(Settled::Now) => (&mut self.report.receipts_applied, None),
            Ok(Settled::Before) => (&mut self.report.receipts_known, None),
            Ok(Settled::Late(state)) => {
                let detail = format!("proved, but the message was given up before as `{}`", state.as_str());
                (&mut self.report.receipts_late, Some(("late", detail)))
            }
            Err(refused) => {
                (&mut self.report.receipts_refused, Some((refused.refusal.code(), refused.detail)))
            }
        };
        *counted += 1;
        if let Some((code, detail)) = said {
            let id = event::uuid_v7(&answer.id).map(|id| id.to_string());
            self.report.items.push(Item { line, kind: "receipt", id, code: code.to_owned(), detail });
        }
        Ok(())
    }
}

/// Refusals after which the same bytes may pass later.
fn no_verdict(code: Code) -> bool {
    code.is_not_yet()
        || matches!(code, Code::Unavailable | Code::Overloaded | Code::Degraded | Code::PartnerSuspended)
}

/// What an answer settled.
enum Settled {
    Now,
    Before,
    Late(State),
}

/// Verifies an answer as the line does, and settles the message that it proves a verdict on.
async fn settle(gateway: &Gateway, partner: &Partner, answer: &Answer) -> Result<Result<Settled, Refused>> {
    if !partner.is_active() {
        return Ok(Err(refused(Refusal::Unavailable, "the partner is suspended")));
    }
    let Some(row) = find(gateway, partner, answer).await? else {
        return Ok(Err(refused(Refusal::MessageUnknown, "no message of ours to this partner has that id")));
    };
    let Some(body) = decode(&answer.body) else {
        return Ok(Err(refused(Refusal::Malformed, "not strict base64url")));
    };
    let said = line::Answer { status: answer.status, retry_after: None, body: body.into() };
    let outcome = match send::judge(said, &row, &partner.log_keys) {
        Attempt::Accepted { receipt } => Outcome::Accepted { receipt },
        Attempt::Rejected { receipt, problem } => Outcome::Rejected { receipt, problem },
        Attempt::Later { what, .. }
        | Attempt::Busy { what, .. }
        | Attempt::Failed { what }
        | Attempt::Unreached { what } => {
            return Ok(Err(refused(Refusal::AnswerUnproven, what)));
        }
        Attempt::Refused { code } => {
            return Ok(Err(refused(Refusal::AnswerUnproven, format!("refused without receipt: {code}"))));
        }
    };
    match row.state {
        State::Queued => {}
        State::Receipted | State::Rejected => return Ok(Ok(Settled::Before)),
        state => return Ok(Ok(Settled::Late(state))),
    }
    let attempt = match &outcome {
        Outcome::Rejected { problem, .. } => format!("rejected, by courier: {}", problem.code),
        _ => "accepted, by courier".to_owned(),
    };
    let lease = clock::random();
    {
        let mut tx = gateway.store.write().await?;
        if courier::waits_behind(&mut tx, row.seq).await? {
            return Ok(Err(refused(
                Refusal::PredecessorWaits,
                "an earlier version of its record has no answer yet",
            )));
        }
        if !courier::seize(&mut tx, row.seq, &lease, clock::now().plus_ms(LEASE_MS)).await? {
            return Ok(Ok(Settled::Before));
        }
        tx.commit().await?;
    }
    let settlement = Settlement { seq: row.seq, lease, attempt: Some(attempt), outcome };
    match gateway.accept.commit(Work::Settle(Box::new(settlement))).await {
        accept::Answer::Done => Ok(Ok(Settled::Now)),
        accept::Answer::Failed(problem) => {
            Ok(Err(refused(Refusal::Unavailable, format!("{}: {}", problem.code, problem.detail))))
        }
        _ => Err(anyhow!("a settlement got another answer")),
    }
}

/// The message of ours that an answer names.
async fn find(gateway: &Gateway, partner: &Partner, answer: &Answer) -> Result<Option<Message>, StoreError> {
    let Some(id) = event::uuid_v7(&answer.id) else { return Ok(None) };
    let mut tx = gateway.store.read().await?;
    message::find(&mut tx, Way::Sent, partner.country.as_str(), &id, answer.source.as_str()).await
}

/// The whole file is refused.
fn refuse(cx: &Cx, path: &Path, refused: Refused) -> Result<Found> {
    let (code, detail) = (refused.refusal.code(), refused.detail.clone());
    let report = Report { code: Some(code), detail: Some(detail), ..Report::default() };
    let text = printable(&refused.to_string());
    cx.print(&report, || format!("{}: refused, and nothing of it was taken: {text}", path.display()))?;
    Ok(Found::Wrong)
}

fn tell(cx: &Cx, path: &Path, report: &Report) -> Result<Found> {
    cx.print(report, || {
        let mut lines: Vec<String> = Vec::new();
        for item in &report.items {
            let id = item.id.as_deref().unwrap_or("(no id)");
            let detail = if item.detail.is_empty() { String::new() } else { format!(": {}", item.detail) };
            let said = format!("  line {} {} {id} {}{detail}", item.line, item.kind, item.code);
            lines.push(printable(&said));
        }
        let from = report.from.map(|from| from.to_string()).unwrap_or_default();
        lines.insert(
            0,
            format!(
                "{} from {from}: {} message(s): {} accepted, {} refused, {} known, {} to come again; \
                 {} receipt(s): {} applied, {} known, {} late, {} refused",
                path.display(),
                report.messages,
                report.accepted,
                report.rejected,
                report.replayed,
                report.not_now,
                report.receipts,
                report.receipts_applied,
                report.receipts_known,
                report.receipts_late,
                report.receipts_refused
            ),
        );
        if report.messages > 0 {
            lines.push(format!("The answers go back with `silkgate courier export {from} FILE`."));
        }
        lines.join("\n")
    })?;
    let fine = report.items.iter().all(|item| item.code == "late");
    Ok(if fine { Found::Good } else { Found::Wrong })
}

/// On one line of a terminal: a reason may quote what somebody wrote.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
