//! Who has read what, and why, the newest first.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::Deserialize;
use silkgate_ledger::Entry;
use silkgate_message::instant::Instant;

use super::frame::Frame;
use super::{failed, page};
use crate::gateway::Gateway;
use crate::reading::{About, logged, parameters};
use crate::roles::NationalPeer;
use crate::store::reading::{self, Reading};
use crate::store::{StoreError, ledger};

/// Reads on one page.
const PAGE: u32 = 50;

/// `?before=N`, an entry of the house log.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    before: Option<u64>,
}

/// A read.
struct Line {
    index: i64,
    at: Instant,
    role: String,
    act: String,
    read: Reading,
}

#[derive(Template)]
#[template(path = "reads.html")]
struct Page {
    f: Frame,
    lines: Vec<Line>,
    before: Option<i64>,
}

/// `GET /reads`
pub async fn reads(
    State(gateway): State<Arc<Gateway>>,
    Extension(peer): Extension<NationalPeer>,
    f: Frame,
    query: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Response> {
    let Asked { before } = parameters(query)?;
    let about = About { act: "read_reads", what: "reads".to_owned(), reason: None };
    let _place = logged(&gateway, &peer, about).await?;
    let read = async {
        let mut tx = gateway.store.read().await?;
        let house = ledger::heads(&mut tx).await?.into_iter().find(|head| head.partner.is_none());
        let Some(house) = house else { return Ok(Vec::new()) };
        let rows = reading::newest(&mut tx, house.id, before.unwrap_or(house.size), PAGE).await?;
        let line = |(index, read, body): (u64, Reading, Vec<u8>)| {
            let entry =
                Entry::parse(&body).map_err(|error| StoreError::Corrupt(format!("entry: {error}")))?;
            Ok(Line {
                index: ledger::signed(index),
                at: Instant::parse(&entry.at.to_string()).unwrap_or_default(),
                role: entry.role.unwrap_or_default(),
                act: entry.what.unwrap_or_default(),
                read,
            })
        };
        rows.into_iter().map(line).collect::<Result<Vec<_>, StoreError>>()
    };
    let lines = read.await.map_err(failed)?;
    let is_full = lines.len() == PAGE as usize;
    Ok(page(&Page { before: lines.last().map(|line| line.index).filter(|_| is_full), lines, f }))
}
