//! `silkgate partner`: who we exchange messages with, and what.

use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow, bail};
use silkgate_message::agreement::{Agreement, Clause, Degraded, KeyExchange};
use silkgate_message::card::{Card, Fingerprint};
use silkgate_message::catalogue::Catalogue;
use silkgate_message::event::Status;
use silkgate_message::jws::Digest;
use silkgate_message::party::{Country, Party};

use super::admin::{self, Act, Where};
use super::crl::{self, PartnerCrl};
use super::{Cx, Found, probe};
use crate::clock;
use crate::config::Config;
use crate::directory;
use crate::store::partner::{self, PartnerRow};
use crate::store::revocation;
use crate::store::{Connection, ledger};

/// The purpose that a new agreement holds.
const FIRST_PURPOSE: &str = "border-management";

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
    #[command(after_help = "Example:\n  silkgate -d iq partner show JO")]
    Show {
        /// The partner's state.
        country: Country,
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

/// What to allow.
#[derive(clap::Args)]
pub(crate) struct Allow {
    /// The partner's state.
    country: Country,
    /// The message type; without it, all types of the agreement.
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Change what we may send.
    #[arg(long)]
    send: bool,
    /// Change what the partner may send us.
    #[arg(long)]
    receive: bool,
    /// Use this version of the type, and no other that is not named; with a type that the agreement lacks, add it.
    #[arg(long, value_name = "NUMBER", requires = "kind")]
    version: Vec<u32>,
    /// Allow this status: test, exercise or actual.
    #[arg(long, value_parser = |text: &str| Status::parse(text).ok_or("test, exercise or actual"))]
    status: Vec<Status>,
    /// Allow this purpose.
    #[arg(long)]
    purpose: Vec<String>,
    /// Allow this handling code: H0, H1, H2 or H3.
    #[arg(long)]
    handling: Vec<String>,
    /// Take at most so many messages a second from the partner, averaged over ten seconds.
    #[arg(long, value_name = "MESSAGES")]
    rate: Option<u32>,
    /// Take messages of at most so many bytes from the partner; 10 MiB (10485760) at most.
    #[arg(long, value_name = "BYTES")]
    body_max_bytes: Option<u32>,
    /// Keep payloads so many days at most: of this type, or, without --type, of the whole agreement. Counts for what
    /// is taken from then on.
    #[arg(long, value_name = "DAYS")]
    retention_days: Option<u32>,
    /// How long entries of our log may stand without the partner's cosignature, in hours.
    #[arg(long, value_name = "HOURS")]
    witness_hours: Option<u32>,
    /// What becomes of messages beyond that, or where the partner's log contradicts itself: accept, queue or stop.
    #[arg(long, value_name = "MODE", value_parser = |text: &str| Degraded::parse(text).ok_or("accept, queue or stop"))]
    degraded: Option<Degraded>,
    /// How TLS exchanges keys with the partner: hybrid_first, hybrid_only (X25519MLKEM768 and nothing else) or classical.
    #[arg(long, value_name = "POLICY", value_parser = |text: &str| KeyExchange::parse(text).ok_or("hybrid_first, hybrid_only or classical"))]
    key_exchange: Option<KeyExchange>,
    /// Take up the exchange with a suspended partner again.
    #[arg(long)]
    resume: bool,
}

/// Runs the command.
pub(crate) async fn run(cx: &Cx, command: Partner) -> Result<Found> {
    match command {
        Partner::Add { card, fingerprint, connect } => add(cx, &card, &fingerprint, connect).await,
        Partner::List => list(cx).await,
        Partner::Show { country } => show(cx, country).await,
        Partner::Test { country } => probe::run(cx, country).await,
        Partner::Allow(allow) => change(cx, allow.country, |row| raise(row, &allow)).await,
        Partner::Crl(args) => crl::of_partner(cx, args).await,
        Partner::Suspend { country } => change(cx, country, |row| set_state(row, "suspended")).await,
        Partner::Remove { country } => change(cx, country, |row| set_state(row, "removed")).await,
    }
}

async fn add(cx: &Cx, file: &PathBuf, fingerprint: &str, connect: Option<String>) -> Result<Found> {
    let (config, store) = admin::open(cx).await?;
    let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
    let card =
        Card::parse(&bytes).map_err(|error| anyhow!("{}: {} ({error})", file.display(), error.code()))?;
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
        bail!("{}: the card is of our own state", file.display());
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
        agreement: before.map_or_else(|| first_agreement(&card).to_toml(), |row| row.agreement.clone()),
        connect: connect.or_else(|| before.and_then(|row| row.connect.clone())),
        added_at: clock::now(),
    };
    // Read back as the gateway will: what it could not use is not stored.
    directory::Partner::read(&row, config.country(), &revocation::lists(&mut tx).await?)
        .map_err(|what| anyhow!("{}: {what}", file.display()))?;
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

/// Only `test`, of the types that both cards name.
fn first_agreement(card: &Card) -> Agreement {
    let theirs = &card.content().schemas;
    let clauses = || -> Vec<Clause> {
        let mut clauses: Vec<Clause> = Vec::new();
        for own in Catalogue::embedded().types() {
            if !theirs.iter().any(|schema| schema.id == own.schema_id()) {
                continue;
            }
            match clauses.iter_mut().find(|clause| clause.kind == own.name()) {
                Some(clause) => clause.versions.push(own.version()),
                None => clauses.push(first_clause(own.name(), vec![own.version()])),
            }
        }
        clauses
    };
    Agreement { receive: clauses(), send: clauses(), ..Agreement::empty(card.content().country) }
}

/// A type as it enters an agreement: for tests only.
fn first_clause(kind: &str, versions: Vec<u32>) -> Clause {
    Clause {
        kind: kind.to_owned(),
        versions,
        status: vec![Status::Test],
        purposes: vec![FIRST_PURPOSE.to_owned()],
        handling: ["H0", "H1", "H2", "H3"].map(str::to_owned).to_vec(),
        retention_days: None,
        senders: Vec::<Party>::new(),
        recipients: Vec::<Party>::new(),
    }
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
async fn change(
    cx: &Cx,
    country: Country,
    edit: impl FnOnce(&mut PartnerRow) -> Result<&'static str>,
) -> Result<Found> {
    let (config, store) = admin::open(cx).await?;
    let mut tx = store.write().await?;
    let mut row = find(&mut tx, country).await?;
    let what = edit(&mut row)?;
    directory::Partner::read(&row, config.country(), &revocation::lists(&mut tx).await?)
        .map_err(|what| anyhow!("{what}"))?;
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

async fn find(conn: &mut Connection, country: Country) -> Result<PartnerRow> {
    let rows = partner::all(conn).await?;
    let known = rows.iter().map(|row| row.country.clone()).collect::<Vec<_>>().join(", ");
    let found = rows.into_iter().find(|row| row.country == country.as_str());
    found.ok_or_else(|| anyhow!("{country} is no partner; known: {known}"))
}

fn set_state(row: &mut PartnerRow, state: &'static str) -> Result<&'static str> {
    row.state = state.to_owned();
    Ok(if state == "suspended" { "partner_suspend" } else { "partner_remove" })
}

fn raise(row: &mut PartnerRow, allow: &Allow) -> Result<&'static str> {
    if row.state == "removed" {
        bail!("{} was removed; add its card again", row.country);
    }
    if allow.resume {
        row.state = "active".to_owned();
    }
    let mut agreement =
        Agreement::parse(&row.agreement).map_err(|what| anyhow!("stored agreement: {what}"))?;
    agreement.rate_per_second = allow.rate.unwrap_or(agreement.rate_per_second);
    agreement.body_max_bytes = allow.body_max_bytes.unwrap_or(agreement.body_max_bytes);
    if allow.kind.is_none() {
        agreement.retention_days = allow.retention_days.unwrap_or(agreement.retention_days);
    }
    agreement.witness_hours = allow.witness_hours.unwrap_or(agreement.witness_hours);
    agreement.degraded = allow.degraded.unwrap_or(agreement.degraded);
    agreement.key_exchange = allow.key_exchange.unwrap_or(agreement.key_exchange);
    let (send, receive) =
        if allow.send || allow.receive { (allow.send, allow.receive) } else { (true, true) };
    let mut found = false;
    for version in &allow.version {
        let kind = allow.kind.as_deref().unwrap_or_default();
        if Catalogue::embedded().find(kind, *version).is_none() {
            bail!("the catalogue holds no {kind} {version}; `silkgate schema list` shows what it holds");
        }
    }
    for (chosen, clauses) in [(send, &mut agreement.send), (receive, &mut agreement.receive)] {
        if let Some(kind) = allow.kind.as_ref().filter(|_| chosen && !allow.version.is_empty())
            && clauses.iter().all(|clause| clause.kind != *kind)
        {
            clauses.push(first_clause(kind, Vec::new()));
        }
        for clause in clauses.iter_mut().filter(|_| chosen) {
            if allow.kind.as_ref().is_none_or(|kind| *kind == clause.kind) {
                found = true;
                if !allow.version.is_empty() {
                    clause.versions = Vec::new();
                    union(&mut clause.versions, &allow.version);
                }
                union(&mut clause.status, &allow.status);
                union(&mut clause.purposes, &allow.purpose);
                union(&mut clause.handling, &allow.handling);
                if allow.kind.is_some() {
                    clause.retention_days = allow.retention_days.or(clause.retention_days);
                }
            }
        }
    }
    if !found {
        let kinds = agreement.send.iter().map(|clause| clause.kind.as_str()).collect::<Vec<_>>().join(", ");
        bail!("the agreement holds no such type; it holds {kinds}");
    }
    row.agreement = agreement.to_toml();
    Agreement::parse(&row.agreement).map_err(|what| anyhow!("{what}"))?;
    Ok("agreement")
}

fn union<T: Clone + Ord>(all: &mut Vec<T>, more: &[T]) {
    all.extend_from_slice(more);
    all.sort();
    all.dedup();
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

async fn show(cx: &Cx, country: Country) -> Result<Found> {
    let (config, store) = admin::open(cx).await?;
    let mut tx = store.read().await?;
    let row = find(&mut tx, country).await?;
    let read = directory::Partner::read(&row, config.country(), &revocation::lists(&mut tx).await?)
        .map_err(|what| anyhow!("{what}"))?;
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
