//! `silkgate log`: the ledger in readable lines, and what an operator settles about it.

mod recover;

use std::time::Duration;

use anyhow::{Result, anyhow};
use silkgate_ledger::Entry;
use silkgate_message::instant::Instant;
use silkgate_message::party::Country;
use uuid::Uuid;

use super::{Cx, Found, admin, both_times, line};
use crate::store::ledger::{self, Head};
use crate::store::{Connection, Store, message};

/// What to show.
#[derive(clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  silkgate -d iq log\n  silkgate -d iq log --partner JO --verdict rejected --since 2026-11-24T00:00:00Z\n  \
                        silkgate -d iq log --record IQ-2026-000123 --follow\n\nWorks with the gateway stopped. Filters narrow one another."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    settle: Option<Settle>,
    #[command(flatten)]
    filter: Filter,
}

/// What an operator settles about our logs.
#[derive(clap::Subcommand)]
enum Settle {
    /// Go on without the word of a partner that cannot be reached after a start.
    #[command(
        after_help = "Example:\n  silkgate -d iq log confirm JO\n\nAt each start the gateway asks the partners what they last saw of our logs, and \
                            writes nothing to the channel of one that has witnessed before and does not answer. Confirm only if you know \
                            that this database is the newest one: not put back from a backup. It holds until the partner witnesses again."
    )]
    Confirm {
        /// The partner's state.
        partner: Country,
    },
    /// Go on with another history than the one that was witnessed, after a database was lost.
    #[command(
        after_help = "Example:\n  silkgate -d iq log recover JO\n  silkgate -d iq log recover JO --code 7K3M-9QXT-…\n\nWithout --code it tells how things \
                            stand and prints the code; nothing is changed (exit code 1). The operators of both states compare the code by \
                            telephone and run the command with it, on each side. Both logs then say what was given up."
    )]
    Recover {
        /// The partner's state.
        partner: Country,
        /// The code that both operators see.
        #[arg(long)]
        code: Option<String>,
    },
}

/// Which entries.
#[derive(clap::Args)]
struct Filter {
    /// Only the channel with this state; `house` for the house log.
    #[arg(long, value_name = "STATE")]
    partner: Option<String>,
    /// Only this message type.
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Only messages of this record.
    #[arg(long)]
    record: Option<String>,
    /// Only entries from this instant on, UTC.
    #[arg(long, value_parser = |text: &str| Instant::parse(text).ok_or("an instant such as 2026-11-24T09:30:00Z"))]
    since: Option<Instant>,
    /// Only entries with this verdict: accepted or rejected.
    #[arg(long, value_parser = ["accepted", "rejected"])]
    verdict: Option<String>,
    /// The newest so many entries of each log.
    #[arg(long, short = 'n', default_value_t = 50)]
    last: u64,
    /// Go on as entries are added.
    #[arg(long, short = 'f')]
    follow: bool,
}

/// Runs the command.
pub(crate) async fn run(cx: &Cx, args: Args) -> Result<Found> {
    match args.settle {
        Some(Settle::Confirm { partner }) => recover::confirm(cx, partner).await,
        Some(Settle::Recover { partner, code }) => recover::recover(cx, partner, code.as_deref()).await,
        None => show(cx, args.filter).await,
    }
}

async fn show(cx: &Cx, args: Filter) -> Result<Found> {
    let (_, store) = admin::open(cx).await?;
    let mut seen: Vec<(i64, u64)> = Vec::new();
    loop {
        let shown = round(cx, &args, &store, &mut seen).await?;
        if !args.follow {
            if shown == 0 && !cx.json {
                line("no entries match")?;
            }
            return Ok(Found::Good);
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// Shows what was added since the last round, in order of time.
async fn round(cx: &Cx, args: &Filter, store: &Store, seen: &mut Vec<(i64, u64)>) -> Result<usize> {
    let mut tx = store.read().await?;
    let ids = match &args.record {
        Some(record) => {
            let rows = message::by_subject(&mut tx, record).await?;
            Some(rows.iter().map(|row| row.id).collect::<Vec<Uuid>>())
        }
        None => None,
    };
    let mut lines = Vec::new();
    for head in chosen(&mut tx, args).await? {
        let known = seen.iter().find(|(log, _)| *log == head.id).map(|(_, size)| *size);
        seen.retain(|(log, _)| *log != head.id);
        seen.push((head.id, head.size));
        matching(&mut tx, args, &head, known.unwrap_or(0), ids.as_deref(), &mut lines).await?;
        if known.is_none() {
            let surplus = lines.len().saturating_sub(usize::try_from(args.last).unwrap_or(usize::MAX));
            lines.drain(..surplus);
        }
    }
    lines.sort_by_key(|(entry, _, _)| entry.at);
    for (entry, origin, index) in &lines {
        if cx.json {
            let mut value: serde_json::Value = serde_json::from_slice(&entry.encode()?)?;
            value["log"] = origin.as_str().into();
            value["index"] = (*index).into();
            line(&value.to_string())?;
        } else {
            line(&readable(entry, origin, *index))?;
        }
    }
    Ok(lines.len())
}

async fn chosen(conn: &mut Connection, args: &Filter) -> Result<Vec<Head>> {
    let heads = ledger::heads(conn).await?;
    let Some(partner) = &args.partner else {
        return Ok(heads);
    };
    let wanted = match partner.as_str() {
        "house" => None,
        code => Some(code.parse::<Country>().map_err(|error| anyhow!("--partner: {error}"))?),
    };
    Ok(heads.into_iter().filter(|head| head.partner == wanted).collect())
}

async fn matching(
    conn: &mut Connection,
    args: &Filter,
    head: &Head,
    from: u64,
    ids: Option<&[Uuid]>,
    lines: &mut Vec<(Entry, String, u64)>,
) -> Result<()> {
    let mut next = from;
    loop {
        let page = ledger::entries(conn, head.id, next, 1000).await?;
        let Some((newest, _)) = page.last() else {
            return Ok(());
        };
        next = newest + 1;
        for (index, body) in page {
            let entry =
                Entry::parse(&body).map_err(|error| anyhow!("entry {index} of {}: {error}", head.origin))?;
            if fits(args, &entry, ids) {
                lines.push((entry, head.origin.clone(), index));
            }
        }
    }
}

fn fits(args: &Filter, entry: &Entry, ids: Option<&[Uuid]>) -> bool {
    let kind = args.kind.as_ref().is_none_or(|kind| entry.message_type.as_ref() == Some(kind));
    let since = args.since.is_none_or(|since| entry.at.unix_ms() >= since.0);
    let verdict =
        args.verdict.as_ref().is_none_or(|v| entry.verdict.is_some_and(|found| found.as_str() == v));
    let id = entry.id.as_ref().and_then(|id| Uuid::try_parse(id).ok());
    let record = ids.is_none_or(|ids| id.is_some_and(|id| ids.contains(&id)));
    kind && since && verdict && record
}

/// One line for a reader.
fn readable(entry: &Entry, origin: &str, index: u64) -> String {
    let mut text =
        format!("{}  {origin} #{index}  {}", both_times(Instant(entry.at.unix_ms())), entry.kind.as_str());
    let mut add = |what: &str, value: Option<&str>| {
        if let Some(value) = value {
            text.push_str(what);
            text.push_str(value);
        }
    };
    add(" ", entry.message_type.as_deref());
    add(" ", entry.id.as_deref());
    add(" from ", entry.from.as_deref());
    add(" to ", entry.to.as_deref());
    add(" ", entry.what.as_deref());
    add(" of ", entry.of.as_deref());
    add(", rule ", entry.rule.as_deref());
    add(": ", entry.verdict.map(|verdict| verdict.as_str()));
    add(" ", entry.code.as_deref());
    if let Some(n) = entry.n {
        text.push_str(&format!(" ×{n}"));
    }
    text
}
