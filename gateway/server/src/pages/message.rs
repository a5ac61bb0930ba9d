//! One message: what became of it, and after a reason was given what it says.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use serde_json::Value;
use silkgate_message::event;
use silkgate_message::instant::Instant;
use silkgate_message::jws::Jws;
use silkgate_message::problem::{Code, Problem};
use uuid::Uuid;

use super::content::{self, Line, Shown};
use super::frame::Frame;
use super::messages::tone;
use super::prove::{self, Proof};
use super::{failed, page};
use crate::gateway::Gateway;
use crate::http;
use crate::reading::{About, checks, fit_reason, logged};
use crate::roles::NationalPeer;
use crate::store::delivery::{self, Delivery};
use crate::store::erasure::{self, Erasure};
use crate::store::message::{self, Message};
use crate::store::{Connection, StoreError, outbox};

/// Versions of one record that are shown.
const RECORD_MAX: usize = 50;
/// Bytes of a form with a reason.
const FORM_MAX: usize = 4096;

/// A message as it is shown.
struct Sheet {
    row: Message,
    tone: &'static str,
    certificate: Option<String>,
    checks: Vec<(&'static str, bool)>,
    /// Where a refused one was wrong: JSON Pointer and rule.
    violations: Vec<(String, String)>,
    record: Vec<Message>,
    attempts: Vec<(i64, Instant, String)>,
    deliveries: Vec<Delivery>,
    erased: Option<Erasure>,
    kept_until: Option<String>,
    proof: Proof,
    said: Option<Said>,
}

/// What it says, once it was opened.
struct Said {
    /// The content, in lines.
    lines: Vec<Line>,
    /// The signed bytes, to be verified in the browser.
    jws: Option<String>,
    /// Why it cannot be read.
    unreadable: Option<String>,
}

#[derive(Template)]
#[template(path = "message.html")]
struct Page {
    f: Frame,
    id: Uuid,
    sheets: Vec<Sheet>,
    /// A reason was given that is none.
    is_reason_unfit: bool,
}

/// `GET /messages/{id}`
pub async fn message(
    State(gateway): State<Arc<Gateway>>,
    Extension(peer): Extension<NationalPeer>,
    f: Frame,
    Path(id): Path<String>,
) -> Result<Response, Response> {
    let Some(id) = event::uuid_v7(&id) else { return Ok(http::not_found().await) };
    let about = About { act: "read_message", what: format!("message {id}"), reason: None };
    let _place = logged(&gateway, &peer, about).await?;
    show(&gateway, f, id, false, false).await
}

/// `POST /messages/{id}`: the same with what the message says, for a reason.
pub async fn opened(
    State(gateway): State<Arc<Gateway>>,
    Extension(peer): Extension<NationalPeer>,
    f: Frame,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Response> {
    let Some(id) = event::uuid_v7(&id) else { return Ok(http::not_found().await) };
    let Some(reason) = reason(&gateway, request).await? else {
        // Nothing is opened, so that only the message itself was looked at.
        let about = About { act: "read_message", what: format!("message {id}"), reason: None };
        let _place = logged(&gateway, &peer, about).await?;
        return show(&gateway, f, id, false, true).await;
    };
    let what = format!("content of message {id}");
    let _place = logged(&gateway, &peer, About { act: "read_content", what, reason: Some(reason) }).await?;
    show(&gateway, f, id, true, false).await
}

/// The reason that a form gives, as it is kept; None where it gives none.
pub(super) async fn reason(gateway: &Gateway, request: Request) -> Result<Option<String>, Response> {
    let seconds = gateway.config.limits.body_seconds;
    let body = http::body(request, "application/x-www-form-urlencoded", FORM_MAX, seconds).await;
    let body = body.map_err(|(problem, _)| http::problem(&problem))?;
    let reason = form_urlencoded::parse(&body).find(|(name, _)| name == "reason");
    Ok(reason.and_then(|(_, reason)| fit_reason(&reason)))
}

async fn show(
    gateway: &Gateway,
    f: Frame,
    id: Uuid,
    is_open: bool,
    is_reason_unfit: bool,
) -> Result<Response, Response> {
    let read = async {
        let mut tx = gateway.store.read().await?;
        let mut sheets = Vec::new();
        for row in message::by_id(&mut tx, &id).await? {
            sheets.push(sheet(gateway, &mut tx, &f, row, is_open).await?);
        }
        Ok(sheets)
    };
    let sheets = read.await.map_err(failed)?;
    if sheets.is_empty() {
        return Err(http::problem(&Problem::new(Code::NotFound)));
    }
    Ok(page(&Page { f, id, sheets, is_reason_unfit }))
}

async fn sheet(
    gateway: &Gateway,
    conn: &mut Connection,
    f: &Frame,
    row: Message,
    is_open: bool,
) -> Result<Sheet, StoreError> {
    let problem: Option<Value> =
        message::refusal(conn, row.seq).await?.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let violations = problem.as_ref().and_then(|problem| problem["violations"].as_array());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let violations = violations
        .into_iter()
        .flatten()
        .map(|violation| (text(&violation["pointer"]), text(&violation["rule"])))
        .collect();
    let mut record = message::by_subject(conn, &row.subject).await?;
    record.retain(|other| other.partner == row.partner);
    record.truncate(RECORD_MAX);
    let proof = prove::read(gateway, conn, &row).await?;
    let said = if is_open { Some(said(gateway, conn, f, &row).await?) } else { None };
    let kept_until = gateway.store.retention_day(conn, row.seq).await?;
    Ok(Sheet {
        tone: tone(&row),
        certificate: proof.certificate.clone(),
        checks: checks(&row),
        violations,
        record,
        attempts: outbox::attempts(conn, row.seq).await?,
        deliveries: delivery::of_message(conn, row.seq).await?,
        erased: erasure::find(conn, row.seq).await?,
        kept_until: kept_until.map(|day| Instant::of_day(day).date()),
        proof,
        said,
        row,
    })
}

async fn said(
    gateway: &Gateway,
    conn: &mut Connection,
    f: &Frame,
    row: &Message,
) -> Result<Said, StoreError> {
    let payload = match gateway.store.payload(conn, row.seq).await {
        Ok(payload) => payload,
        Err(StoreError::Unreadable { why, .. }) => {
            return Ok(Said { lines: Vec::new(), jws: None, unreadable: Some(why) });
        }
        Err(error) => return Err(error),
    };
    let jws = payload.as_deref().and_then(|bytes| Jws::parse(bytes).ok());
    Ok(Said {
        lines: jws.map(|jws| content::lines(f, &jws.event)).unwrap_or_default(),
        jws: payload.and_then(|bytes| String::from_utf8(bytes).ok()),
        unreadable: None,
    })
}
