//! `silkgate audit verify`: recomputes everything the evidence rests on.

use anyhow::{Context as _, Result};

use super::{Cx, Found, admin, both_times};
use crate::audit::{self, Report};
use crate::clock;
use crate::keys;

/// Audits.
#[derive(clap::Subcommand)]
pub(crate) enum Audit {
    /// Recompute every entry, tree, checkpoint, signature and payload digest of the store.
    #[command(
        after_help = "Example:\n  silkgate -d iq audit verify\n\nWorks beside a running gateway and with the gateway \
                            stopped. Exit codes: 0 everything agrees, 1 something does not (each finding is printed), 2 the \
                            audit could not run."
    )]
    Verify,
}

/// Runs the command.
pub(crate) async fn run(cx: &Cx, command: Audit) -> Result<Found> {
    match command {
        Audit::Verify => verify(cx).await,
    }
}

async fn verify(cx: &Cx) -> Result<Found> {
    let (config, store) = admin::open(cx).await?;
    let log_pkcs8 = keys::log_pkcs8(&cx.home)?;
    let certificate = keys::one(&cx.home.certificate("message"))?;
    let anchors =
        config.timestamp.as_ref().map(|settings| keys::chain(&cx.home.path().join(&settings.anchors)));
    let anchors = anchors.transpose().context("[timestamp] anchors")?;
    let report = audit::verify(&store, &config, &log_pkcs8, &certificate, anchors.as_deref()).await?;
    cx.print(&report, || text(&report))?;
    Ok(if report.findings.is_empty() { Found::Good } else { Found::Wrong })
}

fn text(report: &Report) -> String {
    let mut lines = Vec::new();
    for log in &report.logs {
        lines.push(format!(
            "{}: {} entries, no gap, {} checkpoints signed",
            log.origin, log.entries, log.checkpoints
        ));
    }
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
    for finding in &report.findings {
        lines.push(format!("FOUND {}: {}", finding.place, finding.what));
    }
    let at = both_times(clock::now());
    lines.push(match report.findings.len() {
        0 => format!("Everything agrees, at {at}."),
        n => format!("{n} findings, at {at}. Keep a copy of the database before anything else is done."),
    });
    lines.join("\n")
}
