//! `silkgate erase`: takes a message's payload away at once.

use std::time::Duration;

use anyhow::{Result, anyhow};
use serde::Serialize;
use silkgate_ledger::entry::Kind;
use silkgate_message::agreement::Agreement;
use silkgate_message::event;
use silkgate_message::instant::Instant;
use uuid::Uuid;

use super::approval::{self, Plan};
use super::{Cx, Found, admin, both_times};
use crate::accept::{self, Logs, entry_at};
use crate::clock;
use crate::keys;
use crate::store::erasure::{self, Reason, Rule};
use crate::store::ledger::hash;
use crate::store::message::{self, Message};
use crate::store::{Connection, partner, payload};

/// Which message, and why.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  silkgate -d iq erase 0192f1a0-7b3c-7def-8123-456789abcdef --reason 'court order 4711/2026'\n\nWorks beside a running \
                        gateway and with the gateway stopped. Payload and wrapped key go from the database, its write-ahead log and\n\
                        its free pages; entries, proofs and receipts stay and verify. The reason is kept beside the message; the house\n\
                        log has its salted digest only. See docs/operations/retention.md for backups.\n\n\
                        Exit codes: 0 erased, now or before, 1 there is no such payload or it is still needed, 2 could not be done."
)]
pub(crate) struct Args {
    /// The message's id.
    pub(super) id: String,
    /// Why, for whoever asks later; no names, at most 500 characters.
    #[arg(long, value_parser = reason)]
    pub(super) reason: String,
}

/// How long readers may keep the write-ahead log from being emptied.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest reason, in characters.
const REASON_MAX: usize = 500;

fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > REASON_MAX || text.chars().any(char::is_control) {
        return Err(format!("1 to {REASON_MAX} characters, none of them a control character"));
    }
    Ok(text.to_owned())
}

/// What was done to one of the messages of that id.
#[derive(Serialize)]
struct Done {
    direction: &'static str,
    partner: String,
    erased_at: String,
    rule: Rule,
    /// Whether it was this command.
    now: bool,
    /// From this date on no backup shows it any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    gone_from_backups: Option<String>,
}

/// Runs the command.
pub(crate) async fn run(cx: &Cx, args: Args) -> Result<Found> {
    let (config, store) = admin::open(cx).await?;
    let id = event::uuid_v7(&args.id)
        .ok_or_else(|| anyhow!("`{}` is no message id (a UUIDv7 in lower case)", args.id))?;
    let now = clock::now();
    let mut tx = store.write().await?;
    let rows = message::by_id(&mut tx, &id).await?;
    if rows.is_empty() {
        eprintln!("silkgate: no message has the id {id}");
        return Ok(Found::Wrong);
    }
    let mut done = Vec::new();
    let mut present = Vec::new();
    for row in rows {
        if payload::key_of(&mut tx, row.seq).await?.is_some() {
            if let Some(why) = accept::needed(&mut tx, &row, now).await? {
                eprintln!(
                    "silkgate: {} {id} cannot be erased yet: {why}; nothing was erased",
                    row.way.as_str()
                );
                return Ok(Found::Wrong);
            }
            let day = store.retention_day(&mut tx, row.seq).await?;
            let gone =
                day.map(|day| Instant::of_day(day + i64::from(config.retention.key_backup_days)).date());
            done.push(told(&row, now, Rule::Operator, gone));
            present.push(row);
        } else if let Some(before) = erasure::find(&mut tx, row.seq).await? {
            done.push(Done { now: false, ..told(&row, before.at, before.rule, None) });
        }
    }
    if done.is_empty() {
        eprintln!("silkgate: {id} was refused, and its body never kept: there is nothing to erase");
        return Ok(Found::Wrong);
    }
    let mut clean = true;
    if present.is_empty() {
        tx.rollback().await?;
    } else {
        let plan = Plan::Erase { id: args.id, reason: args.reason.clone() };
        let Some(next) = approval::stands(cx, &config, tx, &plan).await? else { return Ok(Found::Good) };
        tx = next;
        commit(cx, tx, &id, &present, args.reason, now).await?;
        clean = store.fold(PATIENCE).await?;
    }
    let report = serde_json::json!({ "id": id, "messages": done, "files_clean": clean });
    cx.print(&report, || text(&id, &done, clean))?;
    Ok(Found::Good)
}

fn told(row: &Message, at: Instant, rule: Rule, gone_from_backups: Option<String>) -> Done {
    let (direction, partner) = (row.way.as_str(), row.partner.clone());
    Done { direction, partner, erased_at: at.to_string(), rule, now: true, gone_from_backups }
}

/// The payloads, their entries and the act itself go in one transaction.
async fn commit(
    cx: &Cx,
    mut tx: Connection,
    id: &Uuid,
    rows: &[Message],
    text: String,
    at: Instant,
) -> Result<()> {
    let salt = clock::random::<{ erasure::SALT_LEN }>().to_vec();
    let mut digest = None;
    let partners = partner::all(&mut tx).await?;
    admin::writable(&mut tx).await?;
    let mut logs = Logs::new(keys::log(&cx.home)?);
    let mut growth = logs.begin(&mut tx).await?;
    if let Some(approved) = &cx.approved {
        let (house, entry) = (growth.house()?, approved.settle(&mut tx).await?);
        growth.append(&mut tx, house, &entry).await?;
    }
    for row in rows {
        // The reason is kept as long as the agreement keeps payloads.
        let agreed = partners.iter().find(|partner| partner.country == row.partner);
        let agreed = agreed.and_then(|partner| Agreement::parse(&partner.agreement).ok());
        let day = at.day() + i64::from(agreed.map_or(0, |agreement| agreement.retention_days));
        let reason = Reason { salt: salt.clone(), text: text.clone(), day };
        digest = Some(hash(reason.digest()));
        accept::erase(&mut tx, &mut growth, row, Rule::Operator, Some(reason), at).await?;
    }
    let mut act = entry_at(Kind::Admin, at);
    act.what = Some("erase".to_owned());
    act.of = Some(id.to_string());
    act.digest = digest;
    act.role = Some("operator".to_owned());
    let house = growth.house()?;
    growth.append(&mut tx, house, &act).await?;
    growth.finish(&mut tx).await?;
    tx.commit().await?;
    Ok(())
}

fn text(id: &Uuid, done: &[Done], clean: bool) -> String {
    let mut lines = Vec::new();
    for done in done {
        let at = Instant::parse(&done.erased_at).map(both_times).unwrap_or_default();
        let (direction, partner) = (done.direction, &done.partner);
        if !done.now {
            lines.push(format!(
                "{direction} {id} ({partner}) was erased on {at}, rule {}",
                done.rule.as_str()
            ));
            continue;
        }
        lines.push(format!("{direction} {id} ({partner}) is erased, at {at}"));
        lines.push(match &done.gone_from_backups {
            Some(date) => format!(
                "  Backups of the database can still show it, with a backup of the key store, until they are destroyed or \
                 {date} at the latest: then its day key has left the key store's backups too."
            ),
            None => "  Backups of the database show it until they are destroyed.".to_owned(),
        });
    }
    if !clean {
        lines.push(
            "  A reader kept the write-ahead log from being emptied: what was erased may still stand there, encrypted. The running \
             gateway empties it at its next look; with the gateway stopped, give the command again."
                .to_owned(),
        );
    }
    lines.join("\n")
}
