//! `silkgate partner`: who we exchange messages with, and what.

use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow, bail};
use silkgate_message::agreement::Agreement;
use silkgate_message::card::{Card, Fingerprint};
use silkgate_message::jws::Digest;
use silkgate_message::party::Country;

use super::admin::{self, Act, Where};
use super::agreement::{self, Allow};
use super::approval::{self, Plan};
use super::crl::{self, PartnerCrl};
use super::{Cx, Found, probe};
use crate::clock;
use crate::config::Config;
use crate::directory;
use crate::store::partner::{self, PartnerRow};
use crate::store::revocation;
use crate::store::{Connection, ledger};

/// Partners: the gateways of other states.
#[derive(clap::Subcommand)]
pub(crate) enum Partner {
    /// Add a partner by its card, and write an agreement that allows only test messages.
    #[command(
        after_help = "Example:\n  silkgate -d iq partner add jo.card --fingerprint 7K3M-9QXT-2WVB-…\n\nCompare the \
                            fingerprint over the telephone with someone whose voice you know: it is the only \
                            thing that makes the card theirs. Exit code 1: the fingerprint is not the card's."
    )]
    Add {
        /// The card file.
        card: PathBuf,
        /// The fingerprint that the partner read out.
        #[arg(long)]
        fingerprint: String,
        /// `host:port` to dial instead of the endpoint on the card.
        #[arg(long, value_name = "HOST:PORT")]
        connect: Option<String>,
    },
    /// List the partners.
    #[command(after_help = "Example:\n  silkgate -d iq partner list")]
    List,
    /// Show a partner's card and agreement.
    #[command(
        after_help = "Examples:\n  silkgate -d iq partner show JO\n  silkgate -d iq partner show JO --agreement > jo.toml"
    )]
    Show {
        /// The partner's state.
        country: Country,
        /// Only the agreement, as `partner agree` reads it.
        #[arg(long)]
        agreement: bool,
    },
    /// Diagnose the way to a partner, step by step.
    #[command(after_help = "Example:\n  silkgate -d iq partner test JO\n\nExit code 1: a step failed.")]
    Test {
        /// The partner's state.
        country: Country,
    },
    /// Change an agreement: allow a type, a status, a purpose, a handling code; set rates and retention.
    #[command(
        after_help = "Example:\n  silkgate -d iq partner allow JO --type alert.vehicle --send --status actual\n\nWithout \
                            --send and --receive both directions change. Each side must allow what passes. A suspended \
                            partner is active again after `partner allow JO --resume`."
    )]
    Allow(Allow),
    /// Put an agreement from a file into force.
    #[command(
        after_help = "Example:\n  silkgate -d iq partner show JO --agreement > jo.toml\n  silkgate -d iq partner agree JO jo.toml\n\nThe file is the whole agreement, \
                            as `partner show --agreement` prints it; docs/operations/agreements.md names its members. Prints what changes."
    )]
    Agree {
        /// The partner's state.
        country: Country,
        /// The agreement, TOML.
        file: PathBuf,
    },
    /// Show what the two sides' agreements disagree on.
    #[command(
        after_help = "Examples:\n  silkgate -d iq partner diff JO\n  silkgate -d iq partner diff JO --file theirs.toml\n\nAsks the partner's gateway for its agreement with us, \
                            or reads it from a file. Each side applies its own: what both allow passes. Exit code 1: they differ."
    )]
    Diff {
        /// The partner's state.
        country: Country,
        /// The partner's agreement, TOML, instead of asking.
        #[arg(long)]
        file: Option<PathBuf>,
    },
    /// Put into force what a partner's authorities have revoked, or show it.
    Crl(PartnerCrl),
    /// Cut a partner off at once; queued messages wait.
    #[command(after_help = "Example:\n  silkgate -d iq partner suspend JO")]
    Suspend {
        /// The partner's state.
        country: Country,
    },
    /// Remove a partner. Its log and receipts stay.
    #[command(after_help = "Example:\n  silkgate -d iq partner remove JO")]
    Remove {
        /// The partner's state.
        country: Country,
    },
}

/// Runs the command.
pub(crate) async fn run(cx: &Cx, command: Partner) -> Result<Found> {
    match command {
        Partner::Add { card, fingerprint, connect } => {
            let bytes = std::fs::read(&card).with_context(|| card.display().to_string())?;
            add(cx, &card.display().to_string(), bytes, &fingerprint, connect).await
        }
        Partner::List => list(cx).await,
        Partner::Show { country, agreement } => show(cx, country, agreement).await,
        Partner::Test { country } => probe::run(cx, country).await,
        Partner::Allow(allow) => {
            as_stated(cx, allow.country).await?;
            change(cx, allow.country, |row| agreement::raise(row, &allow)).await
        }
        Partner::Agree { country, file } => agreement::agree(cx, country, &file).await,
        Partner::Diff { country, file } => agreement::differ(cx, country, file.as_deref()).await,
        Partner::Crl(args) => crl::of_partner(cx, args).await,
        Partner::Suspend { country } => change(cx, country, |row| set_state(row, "suspended")).await,
        Partner::Remove { country } => change(cx, country, |row| set_state(row, "removed")).await,
    }
}

/// Adds a partner by its card. `file`: where it was read from, for whoever reads an error.
pub(super) async fn add(
    cx: &Cx,
    file: &str,
    bytes: Vec<u8>,
    fingerprint: &str,
    connect: Option<String>,
) -> Result<Found> {
    let (config, store) = admin::open(cx).await?;
    let card = Card::parse(&bytes).map_err(|error| anyhow!("{file}: {} ({error})", error.code()))?;
    let said: Fingerprint = fingerprint.parse().map_err(|error| anyhow!("--fingerprint: {error}"))?;
    if said != card.fingerprint() {
        // The card's own fingerprint is not shown: whoever swapped the card would like it copied.
        eprintln!(
            "silkgate: the fingerprint is not this card's. Ask the partner again, by telephone; do not add a card \
             because it looks right."
        );
        return Ok(Found::Wrong);
    }
    let country = card.content().country;
    if country == config.country() {
        bail!("{file}: the card is of our own state");
    }
    let mut tx = store.write().await?;
    let known = partner::all(&mut tx).await?;
    let mut before = None;
    if let Some(row) = known.iter().find(|row| row.country == country.as_str()) {
        let stored = Card::parse(&row.card).map_err(|error| anyhow!("stored card: {error}"))?;
        if row.state == "removed" && stored.digest() == card.digest() {
            // Taken back with the card it had.
        } else {
            card.succeeds(&stored).map_err(|error| anyhow!("{country} is a partner already, and {error}"))?;
        }
        before = Some(row).filter(|row| row.state != "removed");
    }
    refuse_shared_anchor(&card, &known)?;
    // A new card of a partner in force changes what the card says, and nothing that was agreed.
    let row = PartnerRow {
        country: country.to_string(),
        state: before.map_or("active".to_owned(), |row| row.state.clone()),
        card: bytes.clone(),
        agreement: before.map_or_else(|| agreement::first(&card).to_toml(), |row| row.agreement.clone()),
        connect: connect.or_else(|| before.and_then(|row| row.connect.clone())),
        added_at: clock::now(),
    };
    // Read back as the gateway will: what it could not use is not stored.
    directory::Partner::read(&row, config.country(), &revocation::lists(&mut tx).await?)
        .map_err(|what| anyhow!("{file}: {what}"))?;
    let plan = Plan::partner_add(&bytes, fingerprint, row.connect.as_deref());
    let Some(mut tx) = approval::stands(cx, &config, tx, &plan).await? else { return Ok(Found::Good) };
    ensure_channel(&mut tx, &config, country).await?;
    partner::put(&mut tx, &row).await?;
    let card_digest = Digest(card.digest());
    partner::keep_card(&mut tx, country.as_str(), &card_digest, &bytes, clock::now()).await?;
    let acts = [
        act(Where::Channel(country), "card", Some(card_digest), None),
        act(Where::Channel(country), "agreement", Some(Digest::of(row.agreement.as_bytes())), None),
        act(Where::House, "partner_add", Some(card_digest), Some(country)),
    ];
    admin::commit(cx, tx, &acts).await?;
    let agreement = Agreement::parse(&row.agreement).map_err(|what| anyhow!("{what}"))?;
    let report = serde_json::json!({ "partner": country, "state": row.state, "agreement": agreement });
    cx.print(&report, || {
        format!(
            "{country} is a partner. This agreement is in force; `silkgate partner allow {country}` raises it:\n\n{}",
            row.agreement
        )
    })?;
    Ok(Found::Good)
}

/// Refuses to go on from settings that no log states: the next entry would state what somebody wrote into the database.
async fn as_stated(cx: &Cx, country: Country) -> Result<()> {
    let (config, store) = admin::open(cx).await?;
    let unstated = admin::unstated(cx, &config, &store).await?;
    let Some(what) = unstated.get(&country) else { return Ok(()) };
    bail!(
        "{what}: somebody has changed the database. Nothing was changed. Put the whole agreement into force with `silkgate partner agree`, \
         or see docs/operations/agreements.md"
    );
}

/// A partner's CA can never speak for another: two partners under one anchor are refused.
fn refuse_shared_anchor(card: &Card, known: &[PartnerRow]) -> Result<()> {
    let content = card.content();
    for row in known.iter().filter(|row| row.country != content.country.as_str()) {
        let Ok(other) = Card::parse(&row.card) else {
            continue;
        };
        if other.content().tls_anchors.iter().any(|anchor| content.tls_anchors.contains(anchor)) {
            bail!("the card's TLS anchor is also that of {}; each partner needs its own", row.country);
        }
        if other.content().host == content.host {
            bail!("the card's host is also that of {}", row.country);
        }
    }
    Ok(())
}

async fn ensure_channel(conn: &mut Connection, config: &Config, country: Country) -> Result<()> {
    if ledger::heads(conn).await?.iter().all(|head| head.partner != Some(country)) {
        ledger::create(conn, &config.channel_origin(country), Some(country)).await?;
    }
    Ok(())
}

fn act(log: Where, what: &'static str, digest: Option<Digest>, about: Option<Country>) -> Act {
    Act { log, what, digest, about }
}

/// Changes a stored partner and logs the change: the edit says what it did.
pub(super) async fn change(
    cx: &Cx,
    country: Country,
    edit: impl FnOnce(&mut PartnerRow) -> Result<&'static str>,
) -> Result<Found> {
    let (config, store) = admin::open(cx).await?;
    let mut tx = store.write().await?;
    let mut row = find(&mut tx, country).await?;
    let before = Digest::of(row.agreement.as_bytes());
    let what = edit(&mut row)?;
    directory::Partner::read(&row, config.country(), &revocation::lists(&mut tx).await?)
        .map_err(|what| anyhow!("{what}"))?;
    if what == "agreement" {
        // Suspending and removing is one person's: it cannot wait for another.
        let plan = Plan::agreement(country, before, &row.state, &row.agreement);
        let Some(next) = approval::stands(cx, &config, tx, &plan).await? else { return Ok(Found::Good) };
        tx = next;
    }
    partner::put(&mut tx, &row).await?;
    let digest = Some(Digest::of(row.agreement.as_bytes()));
    let mut acts = vec![act(Where::House, what, digest, Some(country))];
    if what == "agreement" {
        acts.push(act(Where::Channel(country), what, digest, None));
    }
    admin::commit(cx, tx, &acts).await?;
    let report = serde_json::json!({ "partner": country, "state": row.state });
    cx.print(&report, || format!("{country} is {}.\n\n{}", row.state, row.agreement))?;
    Ok(Found::Good)
}

pub(super) async fn find(conn: &mut Connection, country: Country) -> Result<PartnerRow> {
    let rows = partner::all(conn).await?;
    let known = rows.iter().map(|row| row.country.clone()).collect::<Vec<_>>().join(", ");
    let found = rows.into_iter().find(|row| row.country == country.as_str());
    found.ok_or_else(|| anyhow!("{country} is no partner; known: {known}"))
}

fn set_state(row: &mut PartnerRow, state: &'static str) -> Result<&'static str> {
    row.state = state.to_owned();
    Ok(if state == "suspended" { "partner_suspend" } else { "partner_remove" })
}

async fn list(cx: &Cx) -> Result<Found> {
    let (_, store) = admin::open(cx).await?;
    let mut tx = store.read().await?;
    let rows = partner::all(&mut tx).await?;
    let named = |row: &PartnerRow| {
        let card = Card::parse(&row.card).ok();
        let name = card.as_ref().map_or("?", |card| card.content().name.as_str()).to_owned();
        let fingerprint = card.as_ref().map(|card| card.fingerprint().to_string()).unwrap_or_default();
        (name, fingerprint)
    };
    let report: Vec<_> = rows
        .iter()
        .map(|row| {
            let (name, fingerprint) = named(row);
            serde_json::json!({ "partner": row.country, "state": row.state, "name": name, "fingerprint": fingerprint,
                                "added_at": row.added_at.to_string() })
        })
        .collect();
    cx.print(&report, || {
        if rows.is_empty() {
            return "no partners; `silkgate partner add` adds one".to_owned();
        }
        let line = |row: &PartnerRow| {
            let (name, fingerprint) = named(row);
            format!("{}  {:<10} {name}  {fingerprint}", row.country, row.state)
        };
        rows.iter().map(line).collect::<Vec<_>>().join("\n")
    })?;
    Ok(Found::Good)
}

async fn show(cx: &Cx, country: Country, only_agreement: bool) -> Result<Found> {
    let (config, store) = admin::open(cx).await?;
    let mut tx = store.read().await?;
    let row = find(&mut tx, country).await?;
    let read = directory::Partner::read(&row, config.country(), &revocation::lists(&mut tx).await?)
        .map_err(|what| anyhow!("{what}"))?;
    if only_agreement {
        cx.print(&serde_json::json!({ "agreement": read.agreement }), || {
            row.agreement.trim_end().to_owned()
        })?;
        return Ok(Found::Good);
    }
    let content = read.card.content();
    let certificates: Vec<_> = read
        .signing
        .iter()
        .map(
            |c| serde_json::json!({ "x5t#S256": c.thumbprint.to_string(), "until": c.not_after.to_string() }),
        )
        .collect();
    let report = serde_json::json!({
        "partner": country, "state": row.state, "name": content.name, "host": content.host,
        "endpoints": content.endpoints, "connect": read.address, "authorities": content.authorities,
        "card_version": content.version, "fingerprint": read.card.fingerprint().to_string(),
        "signing_certificates": certificates, "log": read.log_keys.first().map(ToString::to_string),
        "log_keys": read.log_keys.iter().map(ToString::to_string).collect::<Vec<_>>(), "agreement": read.agreement,
    });
    cx.print(&report, || {
        format!(
            "{country} {} ({})\n  host         {}\n  dialled at   {}\n  fingerprint  {}\n  card         version {}\n  \
             authorities  {}\n  log          {}\n\n{}",
            content.name,
            row.state,
            content.host,
            read.address,
            read.card.fingerprint(),
            content.version,
            content.authorities.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            read.log_keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
            row.agreement
        )
    })?;
    Ok(Found::Good)
}
