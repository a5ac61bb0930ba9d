//! Agreements with partners: raised by `partner allow`, replaced by `partner agree`, compared by `partner diff`.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use axum::http::StatusCode;
use silkgate_message::agreement::{Agreement, Clause, Degraded, Difference, KeyExchange, Window, diff};
use silkgate_message::card::Card;
use silkgate_message::catalogue::Catalogue;
use silkgate_message::event::Status;
use silkgate_message::party::{Country, Party};

use super::client::Client;
use super::{Cx, Found, admin, partner};
use crate::directory::Partner;
use crate::keys::Identity;
use crate::store::partner::PartnerRow;
use crate::store::revocation;

/// The purpose that a new agreement holds.
const FIRST_PURPOSE: &str = "border-management";

/// What to allow.
#[derive(clap::Args)]
pub(crate) struct Allow {
    /// The partner's state.
    pub(super) country: Country,
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
    /// Allow this authority to send, and no other that is not named.
    #[arg(long, value_name = "PARTY", requires = "kind")]
    sender: Vec<Party>,
    /// Allow this authority to receive, and no other that is not named.
    #[arg(long, value_name = "PARTY", requires = "kind")]
    recipient: Vec<Party>,
    /// Allow messages to name this state in `releasableto`, and no other that is not named.
    #[arg(long, value_name = "STATE", requires = "kind")]
    releasable_to: Vec<Country>,
    /// Let messages of the type pass in these hours (UTC) only, e.g. "Sun-Thu 06:00-18:00"; outside them they wait. "always": at any time.
    #[arg(long, value_name = "HOURS", requires = "kind")]
    hours: Vec<String>,
    /// Take at most so many messages a second from the partner, averaged over ten seconds; with --type of that type, in each direction chosen.
    #[arg(long, value_name = "MESSAGES")]
    rate: Option<u32>,
    /// Take messages of at most so many bytes from the partner; 10 MiB (10485760) at most. With --type of that type, in each direction chosen.
    #[arg(long, value_name = "BYTES")]
    body_max_bytes: Option<u32>,
    /// Keep payloads so many days at most: of this type, or, without --type, of the whole agreement. Counts for what
    /// is taken from then on.
    #[arg(long, value_name = "DAYS")]
    retention_days: Option<u32>,
    /// How long entries of our log may stand without the partner's cosignature, in hours.
    #[arg(long, value_name = "HOURS")]
    witness_hours: Option<u32>,
    /// What becomes of messages beyond that, or where the partner's log contradicts itself: accept, queue or stop. With --type of that type.
    #[arg(long, value_name = "MODE", value_parser = |text: &str| Degraded::parse(text).ok_or("accept, queue or stop"))]
    degraded: Option<Degraded>,
    /// How TLS exchanges keys with the partner: hybrid_first, hybrid_only (X25519MLKEM768 and nothing else) or classical.
    #[arg(long, value_name = "POLICY", value_parser = |text: &str| KeyExchange::parse(text).ok_or("hybrid_first, hybrid_only or classical"))]
    key_exchange: Option<KeyExchange>,
    /// Take up the exchange with a suspended partner again.
    #[arg(long)]
    resume: bool,
}

/// Only `test`, of the types that both cards name.
pub(super) fn first(card: &Card) -> Agreement {
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
        releasable_to: Vec::new(),
        body_max_bytes: None,
        rate_per_second: None,
        hours: Vec::new(),
        degraded: None,
    }
}

pub(super) fn raise(row: &mut PartnerRow, allow: &Allow) -> Result<&'static str> {
    if row.state == "removed" {
        bail!("{} was removed; add its card again", row.country);
    }
    if allow.resume {
        row.state = "active".to_owned();
    }
    let mut agreement =
        Agreement::parse(&row.agreement).map_err(|what| anyhow!("stored agreement: {what}"))?;
    if allow.kind.is_none() {
        agreement.rate_per_second = allow.rate.unwrap_or(agreement.rate_per_second);
        agreement.body_max_bytes = allow.body_max_bytes.unwrap_or(agreement.body_max_bytes);
        agreement.retention_days = allow.retention_days.unwrap_or(agreement.retention_days);
        agreement.degraded = allow.degraded.unwrap_or(agreement.degraded);
    }
    agreement.witness_hours = allow.witness_hours.unwrap_or(agreement.witness_hours);
    agreement.key_exchange = allow.key_exchange.unwrap_or(agreement.key_exchange);
    let hours = hours(&allow.hours)?;
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
                    clause.body_max_bytes = allow.body_max_bytes.or(clause.body_max_bytes);
                    clause.rate_per_second = allow.rate.or(clause.rate_per_second);
                    clause.degraded = allow.degraded.or(clause.degraded);
                    replace(&mut clause.senders, &allow.sender);
                    replace(&mut clause.recipients, &allow.recipient);
                    replace(&mut clause.releasable_to, &allow.releasable_to);
                    if let Some(hours) = &hours {
                        clause.hours.clone_from(hours);
                    }
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

fn replace<T: Clone + Ord>(all: &mut Vec<T>, others: &[T]) {
    if !others.is_empty() {
        all.clear();
        union(all, others);
    }
}

/// None: nothing was said of hours.
fn hours(said: &[String]) -> Result<Option<Vec<Window>>> {
    match said {
        [] => Ok(None),
        [always] if always == "always" => Ok(Some(Vec::new())),
        windows => {
            let read =
                |text: &String| Window::try_from(text.clone()).map_err(|what| anyhow!("--hours {what}"));
            windows.iter().map(read).collect::<Result<_>>().map(Some)
        }
    }
}

/// Puts a whole agreement into force.
pub(super) async fn agree(cx: &Cx, country: Country, file: &Path) -> Result<Found> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let next = Agreement::parse(&text).map_err(|what| anyhow!("{}: {what}", file.display()))?;
    if next.partner != country {
        bail!("{}: it is an agreement with {}, not with {country}", file.display(), next.partner);
    }
    let catalogue = Catalogue::embedded();
    for clause in next.receive.iter().chain(&next.send) {
        for version in &clause.versions {
            if catalogue.find(&clause.kind, *version).is_none() {
                bail!("{}: the catalogue holds no {} {version}", file.display(), clause.kind);
            }
        }
    }
    partner::change(cx, country, |row| {
        row.agreement = next.to_toml();
        Ok("agreement")
    })
    .await
}

/// Compares ours with the partner's.
pub(super) async fn differ(cx: &Cx, country: Country, file: Option<&Path>) -> Result<Found> {
    let (config, store) = admin::open(cx).await?;
    let mut tx = store.read().await?;
    let row = partner::find(&mut tx, country).await?;
    let partner = Partner::read(&row, config.country(), &revocation::lists(&mut tx).await?)
        .map_err(|what| anyhow!("{what}"))?;
    drop(tx);
    let theirs = match file {
        Some(file) => std::fs::read_to_string(file).with_context(|| file.display().to_string())?,
        None => ask(cx, &partner).await?,
    };
    let theirs = Agreement::parse(&theirs).map_err(|what| anyhow!("the partner's agreement: {what}"))?;
    if theirs.partner != config.country() {
        bail!("the partner's agreement is one with {}, not with {}", theirs.partner, config.country());
    }
    let differences = diff(&partner.agreement, &theirs);
    let report = serde_json::json!({ "partner": country, "agree": differences.is_empty(), "differences": differences });
    cx.print(&report, || {
        if differences.is_empty() {
            return format!("both sides' agreements hold the same with {country}");
        }
        let lines = differences.iter().map(|difference| sentence(difference, country));
        lines.collect::<Vec<_>>().join("\n")
    })?;
    Ok(if differences.is_empty() { Found::Good } else { Found::Wrong })
}

fn sentence(difference: &Difference, country: Country) -> String {
    let Difference { direction, kind, clause, ours, theirs, both } = difference;
    let place = match (direction, kind) {
        (Some(direction), Some(kind)) => format!("{direction} {kind}"),
        _ => "whole".to_owned(),
    };
    let both = both.as_ref().map(|both| format!("; both: {both}")).unwrap_or_default();
    format!("{place:<28} {clause:<16} ours {ours}; {country}'s {theirs}{both}")
}

/// The partner's agreement with us, as its gateway shows it.
async fn ask(cx: &Cx, partner: &Partner) -> Result<String> {
    let identity = Identity::read(&cx.home.certificate("tls"), &cx.home.key("tls"))?;
    let answer = Client::of_partner(partner, identity)?.ask("/v1/agreement").await?;
    if answer.status != StatusCode::OK {
        bail!("{} answers {} to GET /v1/agreement", partner.country, answer.status);
    }
    String::from_utf8(answer.body.to_vec()).context("the partner's agreement")
}
