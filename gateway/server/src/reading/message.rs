//! Messages: what is known of one, and apart from it what it says.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use silkgate_message::event;
use silkgate_message::instant::Instant;
use silkgate_message::jws::Jws;
use silkgate_message::problem::{Code, Problem};
use uuid::Uuid;

use super::log::raw;
use super::{About, answer, logged, parameters};
use crate::gateway::Gateway;
use crate::http;
use crate::roles::NationalPeer;
use crate::store::message::{self, Message, State as Stands, Way};
use crate::store::{Connection, StoreError, erasure, ledger, proof};

/// Characters of a reason.
const REASON: std::ops::RangeInclusive<usize> = 3..=200;

/// Messages of one id; sources may have used one twice.
#[derive(Serialize)]
struct Found<T> {
    messages: Vec<T>,
}

/// What is known of a message. Never what it says: partners' words on a refusal may repeat values, so its code is all.
#[derive(Serialize)]
struct Known {
    id: Uuid,
    direction: &'static str,
    partner: String,
    from: String,
    to: String,
    #[serde(rename = "type")]
    kind: String,
    version: u32,
    record: String,
    digest: String,
    signed_at: String,
    committed_at: String,
    expires_at: String,
    state: &'static str,
    /// `accepted` or `rejected`, by its recipient; None: there is no verdict.
    verdict: Option<&'static str>,
    code: Option<String>,
    /// Where its entry stands in the log of the channel with the partner.
    log_entry: u64,
    entry: Option<Box<RawValue>>,
    receipt: Option<String>,
    erased: Option<Value>,
    kept_until: Option<String>,
}

/// `GET /v1/audit/messages/{id}`.
pub async fn message(
    State(gateway): State<Arc<Gateway>>,
    Extension(peer): Extension<NationalPeer>,
    Path(id): Path<String>,
) -> Result<Response, Response> {
    let Some(id) = event::uuid_v7(&id) else { return Ok(http::not_found().await) };
    let about = About { act: "read_message", what: format!("message {id}"), reason: None };
    let _place = logged(&gateway, &peer, about).await?;
    let read = async {
        let mut tx = gateway.store.read().await?;
        let mut messages = Vec::new();
        for row in message::by_id(&mut tx, &id).await? {
            messages.push(known(&gateway, &mut tx, row).await?);
        }
        Ok((!messages.is_empty()).then_some(Found { messages }))
    };
    Ok(answer(read.await).await)
}

async fn known(gateway: &Gateway, conn: &mut Connection, row: Message) -> Result<Known, StoreError> {
    let entry = ledger::entry(conn, row.log, row.entry).await?.map(raw).transpose()?;
    let receipt = match row.way {
        Way::Received => Some(proof::witnessed(conn, row.log, row.entry, row.checkpoint).await?),
        Way::Sent => message::receipt(conn, row.seq).await?,
    };
    let kept_until = gateway.store.retention_day(conn, row.seq).await?;
    Ok(Known {
        id: row.id,
        direction: row.way.as_str(),
        verdict: match row.state {
            Stands::Accepted | Stands::Receipted => Some("accepted"),
            Stands::Rejected => Some("rejected"),
            _ => None,
        },
        state: row.state.as_str(),
        digest: row.digest.to_string(),
        signed_at: row.signed_at.to_string(),
        committed_at: row.at.to_string(),
        expires_at: row.expires_at.to_string(),
        partner: row.partner,
        from: row.source,
        to: row.recipient,
        kind: row.kind,
        version: row.version,
        record: row.subject,
        code: row.code,
        log_entry: row.entry,
        entry,
        receipt: receipt.map(|receipt| String::from_utf8_lossy(&receipt).into_owned()),
        erased: erased(conn, row.seq).await?,
        kept_until: kept_until.map(|day| Instant::of_day(day).date()),
    })
}

async fn erased(conn: &mut Connection, seq: i64) -> Result<Option<Value>, StoreError> {
    let erased = erasure::find(conn, seq).await?;
    Ok(erased
        .map(|erased| json!({ "at": erased.at.to_string(), "rule": erased.rule, "log_entry": erased.entry })))
}

/// `?reason=…`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Why {
    #[serde(default)]
    reason: String,
}

/// What a message says.
#[derive(Serialize)]
struct Said {
    id: Uuid,
    direction: &'static str,
    partner: String,
    from: String,
    to: String,
    /// The event, as its sender signed it; None where it is not kept.
    event: Option<Box<RawValue>>,
    erased: Option<Value>,
    /// Why a payload that is kept cannot be read.
    unreadable: Option<String>,
}

/// A reason as it is kept; None where it is none.
pub fn fit_reason(text: &str) -> Option<String> {
    let reason = text.trim();
    let fits = REASON.contains(&reason.chars().count()) && !reason.chars().any(char::is_control);
    fits.then(|| reason.to_owned())
}

/// `GET /v1/audit/messages/{id}/content?reason=…`.
pub async fn content(
    State(gateway): State<Arc<Gateway>>,
    Extension(peer): Extension<NationalPeer>,
    Path(id): Path<String>,
    query: Result<Query<Why>, QueryRejection>,
) -> Result<Response, Response> {
    let Why { reason } = parameters(query)?;
    let reason = fit_reason(&reason).ok_or_else(|| http::problem(&Problem::new(Code::ReasonMissing)))?;
    let Some(id) = event::uuid_v7(&id) else { return Ok(http::not_found().await) };
    let (what, reason) = (format!("content of message {id}"), Some(reason));
    let _place = logged(&gateway, &peer, About { act: "read_content", what, reason }).await?;
    let read = async {
        let mut tx = gateway.store.read().await?;
        let mut messages = Vec::new();
        for row in message::by_id(&mut tx, &id).await? {
            messages.push(said(&gateway, &mut tx, row).await?);
        }
        Ok((!messages.is_empty()).then_some(Found { messages }))
    };
    Ok(answer(read.await).await)
}

async fn said(gateway: &Gateway, conn: &mut Connection, row: Message) -> Result<Said, StoreError> {
    let (payload, unreadable) = match gateway.store.payload(conn, row.seq).await {
        Ok(payload) => (payload, None),
        Err(StoreError::Unreadable { why, .. }) => (None, Some(why)),
        Err(error) => return Err(error),
    };
    let signed = |bytes: Vec<u8>| match Jws::parse(&bytes) {
        Ok(jws) => raw(jws.payload),
        Err(_) => Err(StoreError::Corrupt("a payload is no signed message".into())),
    };
    Ok(Said {
        id: row.id,
        direction: row.way.as_str(),
        event: payload.map(signed).transpose()?,
        erased: erased(conn, row.seq).await?,
        unreadable,
        partner: row.partner,
        from: row.source,
        to: row.recipient,
    })
}
