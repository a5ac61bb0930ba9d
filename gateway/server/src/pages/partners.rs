//! Partners: their cards and certificates, and what was agreed.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Response;
use silkgate_message::agreement::{Agreement, Clause, Direction};
use silkgate_message::instant::Instant;
use silkgate_message::party::Country;

use super::frame::Frame;
use super::page;
use crate::directory::Partner;
use crate::gateway::Gateway;
use crate::http;
use crate::reading::{About, logged};
use crate::roles::NationalPeer;

/// A partner in a list.
struct Line {
    country: String,
    name: String,
    state: String,
    fingerprint: String,
    version: i64,
}

impl Line {
    fn of(partner: &Partner) -> Self {
        let content = partner.card.content();
        Self {
            country: partner.country.to_string(),
            name: content.name.clone(),
            state: partner.state.clone(),
            fingerprint: partner.card.fingerprint().to_string(),
            version: i64::try_from(content.version).unwrap_or(i64::MAX),
        }
    }
}

#[derive(Template)]
#[template(path = "partners.html")]
struct PartnersPage {
    f: Frame,
    lines: Vec<Line>,
}

/// `GET /partners`
pub async fn partners(
    State(gateway): State<Arc<Gateway>>,
    Extension(peer): Extension<NationalPeer>,
    f: Frame,
) -> Result<Response, Response> {
    let about = About { act: "read_partners", what: "partners".to_owned(), reason: None };
    let _place = logged(&gateway, &peer, about).await?;
    let lines = gateway.directory().partners().map(|partner| Line::of(partner)).collect();
    Ok(page(&PartnersPage { f, lines }))
}

/// One type in one direction, as agreed.
pub struct Agreed {
    /// `receive` or `send`.
    pub direction: &'static str,
    /// The clause.
    pub clause: Clause,
}

/// All that an agreement allows.
pub(super) fn agreed(agreement: &Agreement) -> Vec<Agreed> {
    let both = [Direction::Receive, Direction::Send].into_iter();
    both.flat_map(|direction| {
        let clauses = agreement.clauses(direction).iter().cloned();
        clauses.map(move |clause| Agreed { direction: direction.as_str(), clause })
    })
    .collect()
}

#[derive(Template)]
#[template(path = "partner.html")]
struct PartnerPage {
    f: Frame,
    line: Line,
    host: String,
    endpoints: Vec<String>,
    authorities: Vec<String>,
    issued: String,
    certificates: Vec<(String, Instant, Instant)>,
    log_keys: Vec<String>,
    witness_key: String,
    clauses: Vec<Agreed>,
    agreement: String,
}

/// `GET /partners/{country}`
pub async fn partner(
    State(gateway): State<Arc<Gateway>>,
    Extension(peer): Extension<NationalPeer>,
    f: Frame,
    Path(country): Path<String>,
) -> Result<Response, Response> {
    let Ok(country) = country.parse::<Country>() else { return Err(http::not_found().await) };
    let about = About { act: "read_partners", what: format!("partner {country}"), reason: None };
    let _place = logged(&gateway, &peer, about).await?;
    let directory = gateway.directory();
    let Some(partner) = directory.partner(country) else { return Err(http::not_found().await) };
    let content = partner.card.content();
    let certificates = partner.signing.iter();
    Ok(page(&PartnerPage {
        f,
        line: Line::of(partner),
        host: content.host.clone(),
        endpoints: content.endpoints.clone(),
        authorities: content.authorities.iter().map(ToString::to_string).collect(),
        issued: content.issued_at.clone(),
        certificates: certificates
            .map(|of| (of.thumbprint.to_string(), of.not_before, of.not_after))
            .collect(),
        log_keys: partner.log_keys.iter().map(ToString::to_string).collect(),
        witness_key: partner.witness_key.to_string(),
        clauses: agreed(&partner.agreement),
        agreement: partner.agreement.to_toml(),
    }))
}
