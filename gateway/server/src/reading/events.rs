//! The event stream: entries of a log as JSON Lines, from a cursor on, for a ministry's own monitoring (SIEM). Whoever keeps the cursor
//! loses nothing, however often either side starts again.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use silkgate_message::problem::{Code, Problem};

use super::log::{Which, raw};
use super::{About, PAGE_MAX, logged, parameters};
use crate::clock;
use crate::gateway::Gateway;
use crate::http;
use crate::roles::NationalPeer;
use crate::store::{StoreError, ledger};

/// JSON Lines (jsonlines.org), as others serve it; nothing is registered.
const LINES: &str = "application/jsonl";
/// Where to go on.
const NEXT: HeaderName = HeaderName::from_static("silkgate-next");
/// The longest wait for something new, in seconds.
const WAIT_MAX_S: u64 = 60;

/// `?log=JO|house&from=N&wait=S`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    log: String,
    #[serde(default)]
    from: u64,
    /// Seconds to wait where there is nothing yet.
    #[serde(default)]
    wait: u64,
}

#[derive(Serialize)]
struct Line<'a> {
    log: &'a str,
    index: u64,
    entry: Box<RawValue>,
}

/// `GET /v1/audit/events`: a line for each entry, at most a thousand; `Silkgate-Next` is the next `from`. A stream is recorded once an
/// hour: each record is an entry itself, and would be the next event.
pub async fn events(
    State(gateway): State<Arc<Gateway>>,
    Extension(peer): Extension<NationalPeer>,
    query: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Response> {
    let Asked { log, from, wait } = parameters(query)?;
    let which = Which::of(&gateway, &peer, &log).await?;
    if gateway.streams.is_due(peer.certificate, &log, clock::now()) {
        let about =
            About { act: "read_events", what: format!("log {which}, events from {from}"), reason: None };
        drop(logged(&gateway, &peer, about).await?);
        gateway.streams.note(peer.certificate, &log, clock::now());
    }
    let deadline = tokio::time::Instant::now() + Duration::from_secs(wait.min(WAIT_MAX_S));
    let mut grown = gateway.grown.subscribe();
    loop {
        grown.mark_unchanged();
        // Whoever waits may have been cut off meanwhile.
        if !gateway.directory().is_registered(&peer.certificate) {
            return Err(http::problem(&Problem::new(Code::PeerUnknown)));
        }
        match lines(&gateway, which, from).await {
            Ok(Some((text, next))) => {
                let late = gateway.stop.is_cancelled() || tokio::time::Instant::now() >= deadline;
                if !text.is_empty() || late {
                    let mut response = http::bytes(200, LINES, text);
                    let headers = response.headers_mut();
                    headers.insert(NEXT, HeaderValue::from(next));
                    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
                    return Ok(response);
                }
            }
            Ok(None) => return Err(http::not_found().await),
            Err(error) => {
                tracing::error!(%error, "events");
                return Err(http::problem(&Problem::new(Code::Unavailable)));
            }
        }
        tokio::select! {
            _ = grown.changed() => {}
            () = tokio::time::sleep_until(deadline) => {}
            () = gateway.stop.cancelled() => {}
        }
    }
}

/// The lines from an entry on, and the index after the last of them.
async fn lines(gateway: &Gateway, which: Which, from: u64) -> Result<Option<(Vec<u8>, u64)>, StoreError> {
    let mut tx = gateway.store.read().await?;
    let Some(head) = which.head(&mut tx).await? else { return Ok(None) };
    let rows = ledger::entries(&mut tx, head.id, from, PAGE_MAX).await?;
    let (mut text, mut next) = (String::new(), from);
    for (index, body) in rows {
        text.push_str(&line(&head.origin, index, body)?);
        text.push('\n');
        next = index + 1;
    }
    Ok(Some((text.into_bytes(), next)))
}

/// One event, as this resource and the collector of syslog get it.
pub fn line(log: &str, index: u64, body: Vec<u8>) -> Result<String, StoreError> {
    let line = Line { log, index, entry: raw(body)? };
    serde_json::to_string(&line).map_err(|error| StoreError::Corrupt(format!("an event: {error}")))
}
