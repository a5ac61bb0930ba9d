//! Evidence bundles from the pages: of one message, and of all that a search finds. They hold what messages say, so whoever takes one
//! states why.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use silkgate_evidence::bundle::{BundleError, MESSAGES_MAX};
use silkgate_evidence::container::BUNDLE_MAX_BYTES;
use silkgate_message::event;
use silkgate_message::problem::{Code, Problem};

use super::failed;
use super::message::reason;
use super::messages::{Asked, Search};
use crate::admission::Place;
use crate::clock;
use crate::evidence::{self, Exporter};
use crate::gateway::Gateway;
use crate::http;
use crate::reading::{About, logged, parameters, unfit};
use crate::roles::NationalPeer;
use crate::store::message::{self, Message};
use crate::store::{Connection, StoreError};

/// Messages of a search read at once.
const PAGE: u32 = 1000;

/// `POST /messages/{id}/evidence`: the bundle of all messages of that id.
pub async fn of_message(
    State(gateway): State<Arc<Gateway>>,
    Extension(peer): Extension<NationalPeer>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Response> {
    let Some(id) = event::uuid_v7(&id) else { return Ok(http::not_found().await) };
    let (reason, _alone) = (given(&gateway, request).await?, alone(&gateway)?);
    let mut tx = gateway.store.read().await.map_err(failed)?;
    let rows = message::by_id(&mut tx, &id).await.map_err(failed)?;
    let what = format!("evidence of message {id}");
    let _place = logged(&gateway, &peer, About { act: "read_evidence", what, reason }).await?;
    bundle(&gateway, &mut tx, &rows, &id.to_string()).await
}

/// `POST /messages/evidence?…`: one bundle of all that the search finds.
pub async fn of_search(
    State(gateway): State<Arc<Gateway>>,
    Extension(peer): Extension<NationalPeer>,
    query: Result<Query<Asked>, QueryRejection>,
    request: Request,
) -> Result<Response, Response> {
    let asked = parameters(query)?;
    let filter = asked.filter().map_err(unfit)?;
    let (reason, _alone) = (given(&gateway, request).await?, alone(&gateway)?);
    let mut tx = gateway.store.read().await.map_err(failed)?;
    let rows = all(&gateway, &mut tx, Search::new(filter, None)).await.map_err(failed)?;
    // How many were opened stands in the record, also where they were too many and none was.
    let what = match rows.len() {
        count if count > MESSAGES_MAX => format!("evidence of more than {MESSAGES_MAX} messages"),
        count => format!("evidence of {count} messages"),
    };
    let what = format!("{what}, {}", asked.selection());
    let _place = logged(&gateway, &peer, About { act: "read_evidence", what, reason }).await?;
    if rows.len() > MESSAGES_MAX {
        return Err(unfit(BundleError::TooMany.to_string()));
    }
    bundle(&gateway, &mut tx, &rows, "evidence").await
}

/// The reason of the form. Without one nothing is looked at.
async fn given(gateway: &Gateway, request: Request) -> Result<Option<String>, Response> {
    let reason = reason(gateway, request).await?;
    reason.map(Some).ok_or_else(|| http::problem(&Problem::new(Code::ReasonMissing)))
}

/// A place for the only bundle that is being made: each may be as large as all that the place allows for.
fn alone(gateway: &Gateway) -> Result<Place, Response> {
    let place = gateway.admission.enter("evidence", BUNDLE_MAX_BYTES);
    place.ok_or_else(|| {
        let detail = "another evidence bundle is being made; try again in a moment";
        http::problem(&Problem::new(Code::Overloaded).detail(detail))
    })
}

/// All that a search finds in order of arrival; one more than a bundle takes where they are too many.
async fn all(
    gateway: &Gateway,
    conn: &mut Connection,
    mut search: Search,
) -> Result<Vec<Message>, StoreError> {
    let mut rows = Vec::new();
    loop {
        let found = search.page(gateway, conn, PAGE).await?;
        rows.extend(found.rows);
        match found.next {
            Some(next) if rows.len() <= MESSAGES_MAX => search.go_on(next),
            _ => break,
        }
    }
    rows.reverse();
    Ok(rows)
}

/// The file, once it is whole and holds before the judge.
async fn bundle(
    gateway: &Gateway,
    conn: &mut Connection,
    rows: &[Message],
    name: &str,
) -> Result<Response, Response> {
    if rows.is_empty() {
        return Err(http::problem(&Problem::new(Code::NotFound)));
    }
    let keys = gateway.keys();
    let exporter = Exporter {
        party: gateway.config.party.clone(),
        country: gateway.country(),
        key: keys.message.clone(),
        certificate: keys.message_certificate.clone(),
    };
    let made =
        evidence::make(&gateway.store, conn, exporter, rows, None, clock::now(), &mut |_: String| {}).await;
    let made = made.map_err(|error| {
        if error.is::<BundleError>() {
            return unfit(error.to_string());
        }
        tracing::error!(error = format!("{error:#}"), "evidence");
        http::problem(&Problem::new(Code::Unavailable).detail(format!("{error:#}")))
    })?;
    let mut response = http::bytes(200, "application/zip", made.bytes);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(disposition) = HeaderValue::from_str(&format!("attachment; filename=\"{name}.zip\"")) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    Ok(response)
}
