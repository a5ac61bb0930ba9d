//! `silkgate show`: a message's whole life.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use serde_json::{Value, json};
use silkgate_message::event;
use silkgate_message::instant::Instant;
use silkgate_message::jws::Jws;

use super::{Cx, Found, admin, both_times};
use crate::reading::checks;
use crate::store::message::{self, Message, Way};
use crate::store::{Connection, Store, StoreError, delivery, erasure, ledger, outbox, proof, timestamp};

/// Which message.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  silkgate -d iq show 0192f1a0-7b3c-7def-8123-456789abcdef --save .\n\nWorks with the gateway stopped. \
                        --save writes ID.jws and ID.receipt, and with a time-stamp ID.tst and ID.checkpoint, which `silkgate verify` judges anywhere. Exit code 1: there is no such message."
)]
pub(crate) struct Args {
    /// The message's id.
    id: String,
    /// Write the signed message and the receipt into this folder.
    #[arg(long, value_name = "FOLDER")]
    save: Option<PathBuf>,
}

/// Runs the command.
pub(crate) async fn run(cx: &Cx, args: Args) -> Result<Found> {
    let (_, store) = admin::open(cx).await?;
    let id = event::uuid_v7(&args.id)
        .ok_or_else(|| anyhow!("`{}` is no message id (a UUIDv7 in lower case)", args.id))?;
    let mut tx = store.read().await?;
    let rows = message::by_id(&mut tx, &id).await?;
    if rows.is_empty() {
        eprintln!("silkgate: no message has the id {id}");
        return Ok(Found::Wrong);
    }
    for row in rows {
        let life = life(&store, &mut tx, &row).await?;
        if let Some(folder) = &args.save {
            save(folder, &row, &life)?;
        }
        cx.print(&life.report, || readable(&row, &life))?;
    }
    Ok(Found::Good)
}

struct Life {
    payload: Option<Vec<u8>>,
    receipt: Option<Vec<u8>>,
    /// The first time-stamp over its entry, and the checkpoint that it is over.
    stamp: Option<(Vec<u8>, Vec<u8>)>,
    report: Value,
}

async fn life(store: &Store, conn: &mut Connection, row: &Message) -> Result<Life> {
    let (payload, unreadable) = match store.payload(conn, row.seq).await {
        Ok(payload) => (payload, None),
        Err(StoreError::Unreadable { why, .. }) => (None, Some(why)),
        Err(error) => return Err(error.into()),
    };
    let erased = erasure::find(conn, row.seq).await?;
    let kept_until = store.retention_day(conn, row.seq).await?.map(|day| Instant::of_day(day).date());
    let receipt = match row.way {
        Way::Received => Some(proof::witnessed(conn, row.log, row.entry, row.checkpoint).await?),
        Way::Sent => message::receipt(conn, row.seq).await?,
    };
    let problem = message::refusal(conn, row.seq).await?;
    let problem: Option<Value> = problem.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let attempts = outbox::attempts(conn, row.seq).await?;
    let handed = delivery::of_message(conn, row.seq).await?;
    let stamped = timestamp::first_over(conn, row.log, row.entry + 1).await?;
    let stamped_at = stamped.as_ref().map(|stamp| stamp.at.to_string());
    let stamp = match stamped {
        Some(stamp) => {
            ledger::checkpoint(conn, row.log, stamp.size).await?.map(|checkpoint| (stamp.token, checkpoint))
        }
        None => None,
    };
    let jws = payload.as_deref().and_then(|bytes| Jws::parse(bytes).ok());
    let attempts: Vec<Value> = attempts
        .iter()
        .map(|(n, at, what)| json!({ "n": n, "at": at.to_string(), "outcome": what }))
        .collect();
    let report = json!({
        "id": row.id, "direction": row.way.as_str(), "partner": row.partner, "from": row.source, "to": row.recipient,
        "type": row.kind, "version": row.version, "record": row.subject, "digest": row.digest.to_string(),
        "signed_at": row.signed_at.to_string(), "committed_at": row.at.to_string(), "expires_at": row.expires_at.to_string(),
        "state": row.state, "code": row.code, "checks": checked(row), "log_entry": row.entry,
        "attempts": attempts, "problem": problem,
        "deliveries": handed.iter().map(|d| json!({
            "to": d.recipient, "notice": d.notice, "handed_out": d.handed, "acknowledged_at": d.done_at.map(|at| at.to_string()),
        })).collect::<Vec<_>>(),
        "erased": erased.map(|erased| json!({
            "at": erased.at.to_string(), "rule": erased.rule, "log_entry": erased.entry, "reason": erased.reason.map(|reason| reason.text),
        })),
        "timestamped_at": stamped_at, "kept_until": kept_until, "unreadable": unreadable,
        "certificate": jws.as_ref().map(|jws| jws.thumbprint.to_string()),
        "event": jws.map(|jws| jws.event),
        "receipt": receipt.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned()),
    });
    Ok(Life { payload, receipt, stamp, report })
}

fn checked(row: &Message) -> Vec<String> {
    let said = |(name, passed)| format!("{name}: {}", if passed { "passed" } else { "FAILED" });
    checks(row).into_iter().map(said).collect()
}

fn save(folder: &Path, row: &Message, life: &Life) -> Result<()> {
    let (token, checkpoint) = life.stamp.clone().unzip();
    let files =
        [("jws", &life.payload), ("receipt", &life.receipt), ("tst", &token), ("checkpoint", &checkpoint)];
    for (ending, bytes) in files {
        if let Some(bytes) = bytes {
            let path = folder.join(format!("{}.{ending}", row.id));
            std::fs::write(&path, bytes).with_context(|| path.display().to_string())?;
        }
    }
    Ok(())
}

fn readable(row: &Message, life: &Life) -> String {
    let mut lines = vec![
        format!("{} {} of record {}, {}", row.kind, row.id, row.subject, row.way.as_str()),
        format!("  from         {} to {}", row.source, row.recipient),
        format!("  signed       {}", both_times(row.signed_at)),
        format!(
            "  committed    {} as entry {} of the channel with {}",
            both_times(row.at),
            row.entry,
            row.partner
        ),
        format!("  expires      {}", both_times(row.expires_at)),
        format!("  digest       {}", row.digest),
        format!(
            "  state        {}{}",
            row.state.as_str(),
            row.code.as_ref().map(|c| format!(" ({c})")).unwrap_or_default()
        ),
        format!("  checks       {}", checked(row).join("; ")),
    ];
    let list = |name: &str| life.report[name].as_array().cloned().unwrap_or_default();
    for attempt in list("attempts") {
        let at = attempt["at"].as_str().and_then(Instant::parse).map(both_times).unwrap_or_default();
        lines.push(format!(
            "  attempt {:<4} {at}: {}",
            attempt["n"],
            attempt["outcome"].as_str().unwrap_or_default()
        ));
    }
    for violation in life.report["problem"]["violations"].as_array().into_iter().flatten() {
        let text = |name: &str| violation[name].as_str().unwrap_or_default();
        lines.push(format!("  violation    {} {}: {}", text("pointer"), text("rule"), text("text")));
    }
    for delivery in list("deliveries") {
        let done = delivery["acknowledged_at"].as_str().and_then(Instant::parse).map(both_times);
        let done = done.map_or("not yet acknowledged".to_owned(), |at| format!("acknowledged {at}"));
        let to = delivery["to"].as_str().unwrap_or_default();
        let notice = delivery["notice"].as_str().map(|notice| format!(" ({notice})")).unwrap_or_default();
        lines.push(format!(
            "  delivery     to {to}{notice}, handed out {} times, {done}",
            delivery["handed_out"]
        ));
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let erased = &life.report["erased"];
    if let Some(at) = erased["at"].as_str().and_then(Instant::parse).map(both_times) {
        let reason = erased["reason"].as_str().map(|reason| format!(": {reason}")).unwrap_or_default();
        lines.push(format!("  payload      erased {at}, rule {}{reason}", text(&erased["rule"])));
    } else if let Some(why) = life.report["unreadable"].as_str() {
        lines.push(format!("  payload      CANNOT BE READ: {why}"));
    } else if let Some(date) = life.report["kept_until"].as_str() {
        lines.push(format!("  payload      kept until {date}"));
    }
    if let Some(receipt) = &life.receipt {
        lines.push(format!("  receipt      {} bytes; --save writes it for `silkgate verify`", receipt.len()));
    }
    lines.join("\n")
}
