//! A form that judges a pasted message as `silkgate check` does. Nothing of it is kept.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Request, State};
use axum::response::Response;
use silkgate_message::catalogue::Severity;
use silkgate_message::problem::{Code, Problem};

use super::frame::Frame;
use super::page;
use crate::gateway::Gateway;
use crate::http;
use crate::judge::{Document, Finding, judge};

/// Bytes of the form: a message of 1 MiB, in which every byte may take three.
const FORM_MAX: usize = 3 << 20;
/// The lane of all who check: people, few at a time.
const LANE: &str = "check";
/// Findings that are shown.
const FINDINGS_MAX: usize = 500;

/// A finding, as it is shown.
struct Line {
    is_error: bool,
    rule: String,
    pointer: String,
    place: Option<(i64, i64)>,
    text: String,
    hint: Option<String>,
}

/// What was found.
struct Found {
    kind: Option<String>,
    is_valid: bool,
    lines: Vec<Line>,
}

#[derive(Template)]
#[template(path = "check.html")]
struct Page {
    f: Frame,
    message: String,
    found: Option<Found>,
}

/// `GET /check`
pub async fn form(State(_): State<Arc<Gateway>>, f: Frame) -> Response {
    page(&Page { f, message: String::new(), found: None })
}

/// `POST /check`
pub async fn check(
    State(gateway): State<Arc<Gateway>>,
    f: Frame,
    request: Request,
) -> Result<Response, Response> {
    let seconds = gateway.config.limits.body_seconds;
    let Some(place) = gateway.admission.enter(LANE, http::body_at_most(&request, FORM_MAX)) else {
        gateway.admission.turn_away(LANE).await;
        return Err(http::problem(&Problem::new(Code::Overloaded)));
    };
    let body = http::body(request, "application/x-www-form-urlencoded", FORM_MAX, seconds).await;
    let body = body.map_err(|(problem, _)| http::problem(&problem))?;
    let message = form_urlencoded::parse(&body).find(|(name, _)| name == "message");
    let message = message.map(|(_, message)| message.into_owned()).unwrap_or_default();
    let document = Document {
        file: "-".to_owned(),
        lines_before: 0,
        is_line: false,
        bytes: message.clone().into_bytes(),
    };
    let is_arabic = f.language.code == "ar";
    let turn = place.turn().await;
    // Seconds of one processor at worst: not where others wait. Whoever goes away meanwhile frees neither place nor turn: the work goes on.
    let judged = tokio::task::spawn_blocking(move || {
        let judged = judge(document, None);
        drop(turn);
        (judged, place)
    });
    let Ok((judged, _place)) = judged.await else { return Err(http::not_found().await) };
    let found = Found {
        kind: judged.kind.map(|kind| format!("{} {}", kind.name(), kind.version())),
        is_valid: judged.is_valid(),
        lines: judged.findings.into_iter().take(FINDINGS_MAX).map(|of| line(of, is_arabic)).collect(),
    };
    Ok(page(&Page { f, message, found: Some(found) }))
}

fn line(finding: Finding, is_arabic: bool) -> Line {
    let violation = finding.violation;
    let number = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    Line {
        is_error: violation.severity == Severity::Error,
        text: violation.text_ar.filter(|_| is_arabic).unwrap_or(violation.text),
        rule: violation.rule,
        pointer: violation.pointer,
        place: finding.place.map(|place| (number(place.line), number(place.column))),
        hint: violation.hint,
    }
}
