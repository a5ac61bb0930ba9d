//! `silkgate reconcile`: our messages against the log that the partner keeps of the same channel.

mod compare;
mod theirs;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use silkgate_ledger::entry::{Entry, Kind};
use silkgate_message::instant::Instant;
use silkgate_message::jws::Digest;
use silkgate_message::party::Country;

use super::admin;
use super::client::Client;
use super::{Cx, Found, both_times};
use crate::accept::{Note, NoteLog, Work, entry_at};
use crate::clock;
use crate::directory::Partner;
use crate::figures::Reconciled;
use crate::gateway::Gateway;
use crate::keys::Identity;
use crate::stated::{AGREE, AGREE_SPAN, DIFFER, RECONCILED};
use crate::store::ledger::hash;
use crate::store::{Store, partner, revocation};
use compare::Report;

/// With whom, and of which time.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  silkgate -d iq reconcile JO\n  silkgate -d iq reconcile JO --from 2026-11-01T00:00:00Z --to 2026-12-01T00:00:00Z\n\n\
                        Reads the partner's log of our channel over mutual TLS, recomputes it, and holds it against every receipt\n\
                        that we were ever given and against our own messages. The result is noted in the house log.\n\n\
                        Exit codes: 0 both sides tell the same, 1 they do not, 2 the partner's log could not be read."
)]
pub(crate) struct Args {
    /// The partner's state.
    partner: Country,
    /// Only messages from this instant on, UTC.
    #[arg(long, value_parser = instant)]
    from: Option<Instant>,
    /// Only messages before this instant, UTC.
    #[arg(long, value_parser = instant)]
    to: Option<Instant>,
}

fn instant(text: &str) -> Result<Instant, &'static str> {
    Instant::parse(text).ok_or("an instant such as 2026-11-24T09:30:00Z")
}

/// Runs the command.
pub(crate) async fn run(cx: &Cx, args: Args) -> Result<Found> {
    let (config, store) = admin::open(cx).await?;
    let partner = known(&store, args.partner, config.country()).await?;
    let identity = Identity::partner_plane(&cx.home)?;
    let report = once(&store, &partner, identity, (args.from, args.to)).await?;
    let digest = Digest::of(&serde_json::to_vec(&report)?);
    let mut entry = noted(args.partner, &report, digest, clock::now());
    if report.agrees() && (args.from.is_some() || args.to.is_some()) {
        entry.code = Some(AGREE_SPAN.to_owned());
    }
    entry.role = Some("operator".to_owned());
    admin::commit_entries(cx, store.write().await?, &[entry]).await?;
    cx.print(&report, || text(&report))?;
    Ok(if report.agrees() { Found::Good } else { Found::Wrong })
}

/// For one partner's log, so that a slow one does not keep the others waiting.
const READ_WITHIN: Duration = Duration::from_secs(1800);

/// The entry in the house log.
fn noted(partner: Country, report: &Report, digest: Digest, at: Instant) -> Entry {
    let mut entry = entry_at(Kind::Admin, at);
    entry.what = Some(RECONCILED.to_owned());
    entry.code = Some(if report.agrees() { AGREE } else { DIFFER }.to_owned());
    entry.digest = Some(hash(digest));
    entry.to = Some(partner.to_string());
    entry
}

/// Reads the partner's log and compares.
async fn once(
    store: &Store,
    partner: &Partner,
    identity: Identity,
    span: (Option<Instant>, Option<Instant>),
) -> Result<Report> {
    let client = Client::of_partner(partner, identity)?;
    let held = compare::held(store, partner.country).await?;
    let log = theirs::read(&client, &partner.log_keys, &held).await?;
    compare::compare(store, partner.country, &held, &log, span).await
}

/// Reconciles with every partner at its interval, until the gateway stops. What differs is an error that
/// monitoring sees; a partner that cannot be reached is read the next time.
pub(super) async fn regularly(gateway: Arc<Gateway>) {
    let every = gateway.config.reconcile.every_seconds;
    if every == 0 {
        return;
    }
    loop {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(every)) => {}
            () = gateway.stop.cancelled() => return,
        }
        let directory = gateway.directory();
        for partner in directory.partners().filter(|partner| partner.is_active()) {
            // Of several gateways one does it; half the time, since each begins at another moment.
            let half = i64::try_from(every).unwrap_or(i64::MAX / 1000).saturating_mul(500);
            match gateway.store.has_duty(&format!("reconcile {}", partner.country), half).await {
                Ok(true) => {}
                Ok(false) => continue,
                Err(error) => {
                    tracing::warn!(partner = %partner.country, %error, "not reconciled");
                    continue;
                }
            }
            let identity = gateway.keys().tls.clone();
            let read = tokio::select! {
                read = tokio::time::timeout(READ_WITHIN, once(&gateway.store, partner, identity, (None, None))) => {
                    read.unwrap_or_else(|_| Err(anyhow!("its log was not read within {} s", READ_WITHIN.as_secs())))
                }
                () = gateway.stop.cancelled() => return,
            };
            let report = match read {
                Ok(report) => report,
                Err(error) => {
                    tracing::warn!(partner = %partner.country, error = format!("{error:#}"), "not reconciled");
                    continue;
                }
            };
            let differences: usize = report.differences().iter().map(|(_, found)| found.len()).sum();
            let found = Reconciled {
                at: clock::now(),
                both: report.both,
                differences: differences as u64,
                inconsistent: report.inconsistent.len() as u64,
            };
            gateway.figures.note(partner.country, found);
            if report.agrees() {
                tracing::info!(partner = %partner.country, verdict = AGREE, both = report.both, "reconciled: both sides agree");
            } else {
                tracing::error!(
                    partner = %partner.country, verdict = DIFFER, differences, inconsistent = report.inconsistent.len(),
                    "reconciled: THE TWO SIDES DIFFER; `silkgate reconcile` names each message"
                );
            }
            let Ok(bytes) = serde_json::to_vec(&report) else { continue };
            let entry = noted(partner.country, &report, Digest::of(&bytes), found.at);
            gateway.accept.commit(Work::Note(Box::new(Note { log: NoteLog::House, entry }))).await;
        }
    }
}

async fn known(store: &Store, country: Country, own: Country) -> Result<Partner> {
    let mut tx = store.read().await?;
    let rows = partner::all(&mut tx).await?;
    let row = rows.iter().find(|row| row.country == country.as_str());
    let row = row.ok_or_else(|| anyhow!("{country} is no partner"))?;
    if row.state != "active" {
        bail!("{country} is {}: its log is not read", row.state);
    }
    Partner::read(row, own, &revocation::lists(&mut tx).await?).map_err(|what| anyhow!("{what}"))
}

fn text(report: &Report) -> String {
    let mut lines = vec![
        format!("{}: {} entries, recomputed and signed by the card's log key", report.origin, report.entries),
        format!(
            "{} receipts that we hold stand in it, and {} earlier checkpoints",
            report.receipts, report.checkpoints
        ),
        format!("{} messages: both sides tell the same; {} still under way", report.both, report.under_way),
    ];
    for (name, found) in report.differences() {
        for difference in found {
            let id = difference.id.as_deref().unwrap_or("without an id");
            lines.push(format!("FOUND {name}: {} {id}: {}", difference.direction, difference.what));
        }
    }
    for given_up in &report.given_up {
        let id = given_up.id.as_deref().unwrap_or("without an id");
        lines.push(format!("given up: {} {id}: {}", given_up.direction, given_up.what));
    }
    lines.extend(report.inconsistent.iter().map(|what| format!("FOUND inconsistent: {what}")));
    let at = both_times(clock::now());
    lines.push(if report.agrees() {
        format!("Both sides agree, at {at}.")
    } else {
        format!("The two sides differ, at {at}.")
    });
    lines.join("\n")
}
