//! `silkgate backend`: client certificates of the national plane.

use anyhow::{Result, bail};
use silkgate_message::jws::Digest;
use silkgate_message::party::Party;

use super::admin::{self, Act, Where};
use super::init::issue_client;
use super::{Cx, Found};
use crate::clock;
use crate::store::partner::{self, ClientRow};

/// Back ends: the authorities' own systems behind the gateway.
#[derive(clap::Subcommand)]
pub(crate) enum Backend {
    /// Issue a client certificate for the back end of an authority.
    #[command(
        after_help = "Example:\n  silkgate -d iq backend add IQ/general-customs-authority\n\nWrites certificate and key \
                            under clients/; hand both to the back end's operator. A party's second certificate \
                            gets a number behind its name; both are valid."
    )]
    Add {
        /// The authority it acts as, of this gateway's own state.
        party: Party,
    },
    /// List the client certificates.
    #[command(after_help = "Example:\n  silkgate -d iq backend list")]
    List,
}

/// Runs the command.
pub(crate) async fn run(cx: &Cx, command: Backend) -> Result<Found> {
    match command {
        Backend::Add { party } => add(cx, &party).await,
        Backend::List => list(cx).await,
    }
}

async fn add(cx: &Cx, party: &Party) -> Result<Found> {
    let (config, store) = admin::open(cx).await?;
    if party.country() != config.country() {
        bail!("{party} is of another state; this gateway serves {}", config.country());
    }
    let issued = issue_client(&cx.home, "backend", party.as_str(), &format!("backend-{}", party.slug()))?;
    let mut tx = store.write().await?;
    partner::add_client(&mut tx, &issued.row, clock::now()).await?;
    let act = Act { log: Where::House, what: "client", digest: Some(issued.row.certificate), about: None };
    admin::commit(cx, tx, &[act]).await?;
    let report = serde_json::json!({
        "party": party, "certificate": issued.certificate, "key": issued.key, "until": issued.row.until.to_string(),
    });
    cx.print(&report, || {
        format!("{party} may connect with\n  {}\n  {}", issued.certificate.display(), issued.key.display())
    })?;
    Ok(Found::Good)
}

async fn list(cx: &Cx) -> Result<Found> {
    let (_, store) = admin::open(cx).await?;
    let mut tx = store.read().await?;
    let rows = partner::clients(&mut tx).await?;
    let report = rows.iter().map(describe).collect::<Vec<_>>();
    cx.print(&report, || {
        let row = |row: &ClientRow| format!("{:<9} {:<44} until {}", row.role, row.subject, row.until);
        rows.iter().map(row).collect::<Vec<_>>().join("\n")
    })?;
    Ok(Found::Good)
}

fn describe(row: &ClientRow) -> serde_json::Value {
    let certificate: &Digest = &row.certificate;
    serde_json::json!({
        "role": row.role, "subject": row.subject, "certificate": certificate.to_string(), "until": row.until.to_string(),
    })
}
