//! `silkgate reconcile`: our messages against the log that the partner keeps of the same channel.

mod compare;
mod theirs;

use anyhow::{Result, anyhow, bail};
use silkgate_message::instant::Instant;
use silkgate_message::jws::Digest;
use silkgate_message::party::Country;

use super::admin::{self, Act, Where};
use super::client::Client;
use super::{Cx, Found, both_times};
use crate::clock;
use crate::directory::Partner;
use crate::keys::Identity;
use crate::store::{Store, partner};
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
    let identity = Identity::read(&cx.home.certificate("tls"), &cx.home.key("tls"))?;
    let content = partner.card.content();
    let client = Client::new(&partner.trust().anchors, identity, &content.host, &partner.address)?;
    let held = compare::held(&store, args.partner).await?;
    let log = theirs::read(&client, &partner.log_key, &held).await?;
    let report = compare::compare(&store, args.partner, &log, (args.from, args.to)).await?;
    let digest = Digest::of(&serde_json::to_vec(&report)?);
    let act = Act { log: Where::House, what: "reconciled", digest: Some(digest), about: Some(args.partner) };
    admin::commit(cx, store.write().await?, &[act]).await?;
    cx.print(&report, || text(&report))?;
    Ok(if report.agrees() { Found::Good } else { Found::Wrong })
}

async fn known(store: &Store, country: Country, own: Country) -> Result<Partner> {
    let mut tx = store.read().await?;
    let rows = partner::all(&mut tx).await?;
    let row = rows.iter().find(|row| row.country == country.as_str());
    let row = row.ok_or_else(|| anyhow!("{country} is no partner"))?;
    if row.state != "active" {
        bail!("{country} is {}: its log is not read", row.state);
    }
    Partner::read(row, own).map_err(|what| anyhow!("{what}"))
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
    lines.extend(report.inconsistent.iter().map(|what| format!("FOUND inconsistent: {what}")));
    let at = both_times(clock::now());
    lines.push(if report.agrees() {
        format!("Both sides agree, at {at}.")
    } else {
        format!("The two sides differ, at {at}.")
    });
    lines.join("\n")
}
