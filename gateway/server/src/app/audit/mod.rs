//! `silkgate audit verify`: recomputes everything the evidence rests on, and asks the neighbours what they have seen.

pub(super) mod neighbours;
mod progress;

use std::path::Path;

use anyhow::{Context as _, Result, anyhow};

use super::{Cx, Found, admin, both_times};
use crate::audit::{self, LogReport, Options, OwnKeys, Report, WitnessReport, WitnessState};
use crate::clock;
use crate::config::Config;
use crate::keys;
use crate::store::Store;
use progress::Progress;

/// Audits.
#[derive(clap::Subcommand)]
pub(crate) enum Audit {
    /// Recompute every entry, tree, checkpoint, signature and payload digest of the store.
    #[command(
        after_help = "Examples:\n  silkgate -d iq audit verify\n  silkgate -d iq audit verify --offline --json\n\nWorks beside a running gateway and \
                            with the gateway stopped. An audit that was interrupted goes on where it was: what was verified is hashed again, and \
                            not verified again.\n\nAn older database that was put back agrees with itself. So the neighbours are asked, over mutual TLS, what they \
                            have seen of our logs; --offline leaves that out. One that cannot be reached is named, and is no finding.\n\n\
                            Exit codes: 0 everything agrees, 1 something does not (each finding is printed), 2 the audit could not run."
    )]
    Verify(Verify),
}

/// How to audit.
#[derive(clap::Args)]
pub(crate) struct Verify {
    /// Do not ask the neighbours.
    #[arg(long)]
    offline: bool,
    /// Verify everything again, whatever an interrupted audit has verified.
    #[arg(long)]
    fresh: bool,
    /// Show how far it is, also where standard error is no terminal.
    #[arg(long)]
    progress: bool,
}

/// Runs the command.
pub(crate) async fn run(cx: &Cx, command: Audit) -> Result<Found> {
    match command {
        Audit::Verify(args) => verify(cx, &args).await,
    }
}

async fn verify(cx: &Cx, args: &Verify) -> Result<Found> {
    let (config, store) = admin::open(cx).await?;
    let file = cx.home.audit_progress();
    let mut report = recompute(cx, &config, &store, (&file, args.fresh), args.progress).await?;
    if let Err(error) = neighbours::ask(cx, &config, &store, args.offline, &mut report).await {
        if report.findings.is_empty() {
            return Err(error);
        }
        // What is damaged may keep even the neighbours from being read; that hides nothing of what was found.
        report.find("neighbours", format!("not asked: {error}"));
    }
    cx.print(&report, || text(&report))?;
    Ok(if report.findings.is_empty() { Found::Good } else { Found::Wrong })
}

/// The audit itself, without the neighbours' word. `file` says how far an interrupted one came; `fresh`: that counts for
/// nothing.
pub(super) async fn recompute(
    cx: &Cx,
    config: &Config,
    store: &Store,
    (file, fresh): (&Path, bool),
    shown: bool,
) -> Result<Report> {
    let log = keys::log(&cx.home)?;
    let present = log.first().ok_or_else(|| anyhow!("there is no log key"))?;
    // Ed25519 signs a text in one way only (RFC 8032 §5.1.6), wherever the key is. No note ends like this one.
    let secret = present.sign(b"silkgate audit progress\0").map_err(|why| anyhow!("the log key: {why}"))?;
    let witnesses = keys::witness(&cx.home, config)?;
    let own = OwnKeys {
        message_certificate: keys::one(&cx.home.certificate("message"))?.to_vec(),
        logs: log.iter().map(|key| key.public_key()).collect(),
        witnesses: witnesses.iter().map(|witness| witness.witness_key().clone()).collect(),
    };
    let anchors =
        config.timestamp.as_ref().map(|settings| keys::chain(&cx.home.path().join(&settings.anchors)));
    let anchors = anchors.transpose().context("[timestamp] anchors")?;
    let anchors = anchors.as_deref();
    let options = Options { keys: own, secret: &secret, progress_file: file, fresh, anchors };
    let mut progress = Progress::new(shown, cx.json, store).await?;
    let audited = audit::verify(store, config, options, &mut |step| progress.step(step)).await;
    progress.clear();
    Ok(audited?)
}

fn text(report: &Report) -> String {
    let mut lines: Vec<String> = report.logs.iter().map(complete).collect();
    lines.push(format!(
        "{} messages: {} payloads match their digests and signatures, {} were erased; {} receipts of partners verified",
        report.messages, report.payloads, report.erased, report.receipts
    ));
    if report.timestamps > 0 {
        lines.push(format!(
            "{} time-stamps verified over their checkpoints, {}",
            report.timestamps,
            if report.timestamps_anchored {
                "by the authority whose anchors are configured"
            } else {
                "each by the certificate inside it: without [timestamp] anchors in silkgate.toml nobody vouches for that"
            }
        ));
    }
    if report.resumed > 0 {
        lines.push(format!(
            "{} of the signatures were verified by the audit that was interrupted; the bytes are still the same",
            report.resumed
        ));
    }
    lines.extend(report.witnesses.iter().map(seen));
    for alarm in &report.alarms {
        lines.push(format!(
            "ALARM of {} since {}: a {} of {}; see `silkgate status`",
            alarm.partner, alarm.at, alarm.kind, alarm.origin
        ));
    }
    for finding in &report.findings {
        lines.push(format!("FOUND {}: {}", finding.place, finding.what));
    }
    if report.findings_unlisted > 0 {
        lines.push(format!("… and {} more", report.findings_unlisted));
    }
    let at = both_times(clock::now());
    lines.push(match report.findings.len() as u64 + report.findings_unlisted {
        0 => format!("Everything agrees, at {at}."),
        n => format!("{n} findings, at {at}. Keep a copy of the database before anything else is done."),
    });
    lines.join("\n")
}

/// How complete a log is.
fn complete(log: &LogReport) -> String {
    let entries = match log.entries {
        0 => "no entries".to_owned(),
        n => format!("entries 1…{n}, no gap"),
    };
    let cosigned = log.cosigned.iter().map(|cosigned| {
        let of = match cosigned.size {
            size if size == log.entries => format!("all {size} entries"),
            size => format!("up to entry {size}"),
        };
        format!("; last cosigned by {} at {}: {of}", cosigned.by, cosigned.at)
    });
    let cosigned: String = cosigned.collect();
    let nobody = if cosigned.is_empty() { "; cosigned by nobody" } else { "" };
    format!("{}: {entries}, {} checkpoints signed{cosigned}{nobody}", log.origin, log.checkpoints)
}

/// What a neighbour has seen.
pub(super) fn seen(witness: &WitnessReport) -> String {
    let size = witness.size.unwrap_or(0);
    let what = match witness.state {
        WitnessState::Agrees => format!("has seen all {size} entries, as they stand here"),
        WitnessState::Behind => format!("has seen {size} entries, as they stand here"),
        WitnessState::Contradicts => format!("has seen {size} entries that are NOT those here"),
        WitnessState::GivenUp => format!("has seen {size} entries of a history that was given up"),
        WitnessState::Offline => "was not asked (--offline)".to_owned(),
        WitnessState::Unreachable => {
            format!("could not be asked: {}", witness.why.as_deref().unwrap_or_default())
        }
    };
    format!("{} {what}: {}", witness.partner, witness.origin)
}
