//! `silkgate verify --timestamp`: judges a time-stamp over a checkpoint offline.

use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow};
use silkgate_evidence::Check;
use silkgate_ledger::{Checkpoint, Note};
use silkgate_message::instant::Instant;
use silkgate_timestamp::{Trust, Verified};

use super::{Cx, Found, both_times};
use crate::keys;

/// A time-stamp instead of a receipt.
#[derive(clap::Args)]
pub(crate) struct TimestampArgs {
    /// Judge this time-stamp instead (RFC 3161 TimeStampToken, DER).
    #[arg(long, value_name = "TOKEN", requires_all = ["checkpoint", "tsa"], conflicts_with_all = ["files", "card", "message", "fingerprint"])]
    timestamp: Option<PathBuf>,
    /// The checkpoint that it is over (C2SP signed note).
    #[arg(long, value_name = "FILE", requires = "timestamp")]
    checkpoint: Option<PathBuf>,
    /// The CA certificates of the time-stamping authority, PEM.
    #[arg(long, value_name = "ANCHORS", requires = "timestamp")]
    tsa: Option<PathBuf>,
}

/// Runs the command.
pub(super) fn run(cx: &Cx, args: &TimestampArgs) -> Result<Found> {
    let file = |path: &Option<PathBuf>| path.clone().ok_or_else(|| anyhow!("a file is not named"));
    let read = |path: PathBuf| std::fs::read(&path).with_context(|| path.display().to_string());
    let token = read(file(&args.timestamp)?)?;
    let checkpoint = read(file(&args.checkpoint)?)?;
    let anchors = keys::chain(&file(&args.tsa)?)?;
    let checks = judge(&token, &checkpoint, &Trust::Anchors(&anchors));
    let passed = checks.iter().all(|check| check.passed);
    cx.print(&serde_json::json!({ "valid": passed, "checks": checks }), || {
        let line =
            |check: &Check| format!("{} {}", if check.passed { "ok    " } else { "FAILED" }, check.says);
        let mut lines: Vec<String> = checks.iter().map(line).collect();
        lines.push(if passed {
            "The time-stamp is good.".into()
        } else {
            "The time-stamp proves NOTHING.".to_owned()
        });
        lines.join("\n")
    })?;
    Ok(if passed { Found::Good } else { Found::Wrong })
}

/// Every check, in order; the first failure ends them, since the others rest on it.
fn judge(token: &[u8], checkpoint: &[u8], trust: &Trust<'_>) -> Vec<Check> {
    let passed = |check, says| Check { check, passed: true, says, message: None };
    let failed = |check, says| Check { check, passed: false, says, message: None };
    let note = match Note::parse(checkpoint) {
        Ok(note) => note,
        Err(error) => return vec![failed("checkpoint", format!("the file is no checkpoint: {error}"))],
    };
    let head = match Checkpoint::parse(note.text()) {
        Ok(head) => head,
        Err(error) => return vec![failed("checkpoint", format!("the file is no checkpoint: {error}"))],
    };
    let (origin, size) = (head.origin, head.size);
    let says = format!(
        "The file is a checkpoint of {origin} with {size} entries; who signed it is not judged here."
    );
    let mut checks = vec![passed("checkpoint", says)];
    match silkgate_timestamp::verify(token, note.text().as_bytes(), trust) {
        Ok(verified) => {
            let says = format!("{} signed it, under an anchor that was given.", verified.tsa);
            checks.push(passed("authority", says));
            checks.push(passed("time", time(&verified)));
        }
        Err(error) => checks.push(failed("timestamp", format!("{error} ({})", error.code()))),
    }
    checks
}

fn time(verified: &Verified) -> String {
    let at = both_times(Instant(verified.statement.at_ms));
    let within = match verified.statement.accuracy {
        Some(accuracy) => format!("give or take {} ms", accuracy.micros.div_ceil(1000)),
        None => "as exactly as its policy says".to_owned(),
    };
    let (serial, policy) = (&verified.statement.serial, &verified.statement.policy);
    format!("At {at}, {within}, it saw exactly this checkpoint (serial {serial}, policy {policy}).")
}
