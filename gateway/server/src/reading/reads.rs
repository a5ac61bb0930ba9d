//! Who read what, when and why.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use silkgate_ledger::Entry;

use super::{About, PAGE_MAX, answer, logged, page, parameters};
use crate::gateway::Gateway;
use crate::roles::NationalPeer;
use crate::store::{StoreError, ledger, reading};

/// `?from=N&max=M`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reads {
    #[serde(default)]
    from: u64,
    #[serde(default = "page")]
    max: u32,
}

#[derive(Serialize)]
struct Page {
    reads: Vec<Read>,
    /// Where the next page begins; None: this one reached the end.
    next: Option<u64>,
}

#[derive(Serialize)]
struct Read {
    /// Of the house log.
    entry: u64,
    at: String,
    role: Option<String>,
    /// SHA-256 of the certificate.
    certificate: Option<String>,
    name: String,
    act: Option<String>,
    what: String,
    reason: Option<String>,
}

/// `GET /v1/audit/reads`.
pub async fn reads(
    State(gateway): State<Arc<Gateway>>,
    Extension(peer): Extension<NationalPeer>,
    query: Result<Query<Reads>, QueryRejection>,
) -> Result<Response, Response> {
    let Reads { from, max } = parameters(query)?;
    let max = max.clamp(1, PAGE_MAX);
    let what = format!("{max} reads from entry {from}");
    let _place = logged(&gateway, &peer, About { act: "read_reads", what, reason: None }).await?;
    let read = async {
        let mut tx = gateway.store.read().await?;
        let house = ledger::heads(&mut tx).await?.into_iter().find(|head| head.partner.is_none());
        let Some(house) = house else { return Ok(None) };
        let rows = reading::page(&mut tx, house.id, from, max).await?;
        let is_full = rows.len() == max as usize;
        let next = rows.last().map(|(last, _, _)| last + 1).filter(|_| is_full);
        let reads = rows.into_iter().map(|(index, reading, body)| {
            let entry =
                Entry::parse(&body).map_err(|error| StoreError::Corrupt(format!("entry: {error}")))?;
            Ok(Read {
                entry: index,
                at: entry.at.to_string(),
                role: entry.role,
                certificate: entry.cert.map(|digest| digest.to_base64url()),
                name: reading.name,
                act: entry.what,
                what: reading.what,
                reason: reading.reason,
            })
        });
        Ok(Some(Page { reads: reads.collect::<Result<_, StoreError>>()?, next }))
    };
    Ok(answer(read.await).await)
}
