//! The caller's channel log, as C2SP tlog-tiles: `GET /v1/log/…` on the partner plane.
//!
//! The caller's certificate picks the log: nobody reads of another partner, and the house log is never served.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use silkgate_ledger::tree::{TILE_WIDTH, TilePath};
use silkgate_message::party::Country;
use silkgate_message::problem::{Code, Problem};

use crate::gateway::Gateway;
use crate::http::{self, PartnerPeer};
use crate::store::ledger::{self, Head};
use crate::store::{Connection, StoreError};

/// `GET /v1/log/checkpoint`: the newest signed checkpoint.
pub async fn checkpoint(
    State(gateway): State<Arc<Gateway>>,
    Extension(PartnerPeer(country)): Extension<PartnerPeer>,
) -> Response {
    let read = async {
        let mut tx = gateway.store.read().await?;
        let Some(head) = head(&mut tx, country).await? else { return Ok(None) };
        ledger::checkpoint(&mut tx, head.id, head.size).await
    };
    // It changes with every commit.
    answer(&gateway, country, read.await, "text/plain; charset=utf-8", "no-store").await
}

/// `GET /v1/log/tile/<L>/<N>[.p/<W>]` and `GET /v1/log/tile/entries/<N>[.p/<W>]`.
pub async fn tile(
    State(gateway): State<Arc<Gateway>>,
    Extension(PartnerPeer(country)): Extension<PartnerPeer>,
    Path(path): Path<String>,
) -> Response {
    let Ok(path) = format!("tile/{path}").parse::<TilePath>() else { return http::not_found().await };
    let read = async {
        let mut tx = gateway.store.read().await?;
        let Some(head) = head(&mut tx, country).await? else { return Ok(None) };
        match path {
            TilePath::Hashes { id, width } => {
                if id.width_at(head.size) < width {
                    return Ok(None);
                }
                let tiles = ledger::tiles(&mut tx, head.id, &[id]).await?;
                let tile = tiles.iter().next().map(|(_, tile)| tile.to_bytes()).unwrap_or_default();
                // What was added since stays out of a narrower tile.
                Ok(tile.get(..usize::from(width) * 32).map(<[u8]>::to_vec))
            }
            TilePath::Entries { index, width } => bundle(&mut tx, &head, index, width).await,
        }
    };
    // What a path names never changes: a tile is asked for by its width.
    let kept = "private, max-age=31536000, immutable";
    answer(&gateway, country, read.await, "application/octet-stream", kept).await
}

/// Entries, each behind its length in two bytes, the greater first (C2SP tlog-tiles "Log Entries").
async fn bundle(
    conn: &mut Connection,
    head: &Head,
    index: u64,
    width: u16,
) -> Result<Option<Vec<u8>>, StoreError> {
    let first = index.saturating_mul(u64::from(TILE_WIDTH));
    if head.size.saturating_sub(first) < u64::from(width) {
        return Ok(None);
    }
    let entries = ledger::entries(conn, head.id, first, u32::from(width)).await?;
    let whole = entries.len() == usize::from(width);
    let mut bundle = Vec::new();
    for (_, entry) in entries {
        let length =
            u16::try_from(entry.len()).map_err(|_| StoreError::Corrupt("an entry is too long".into()))?;
        bundle.extend_from_slice(&length.to_be_bytes());
        bundle.extend_from_slice(&entry);
    }
    if whole { Ok(Some(bundle)) } else { Err(StoreError::Corrupt("entries are missing".into())) }
}

async fn head(conn: &mut Connection, country: Country) -> Result<Option<Head>, StoreError> {
    Ok(ledger::heads(conn).await?.into_iter().find(|head| head.partner == Some(country)))
}

async fn answer(
    gateway: &Gateway,
    country: Country,
    read: Result<Option<Vec<u8>>, StoreError>,
    content_type: &'static str,
    cache: &'static str,
) -> Response {
    if !gateway.directory().partner(country).is_some_and(|partner| partner.is_active()) {
        return http::problem(&Problem::new(Code::PartnerSuspended));
    }
    match read {
        Ok(Some(bytes)) => {
            let mut response = http::bytes(200, content_type, bytes);
            response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
            response
        }
        Ok(None) => http::not_found().await,
        Err(error) => {
            tracing::error!(%error, "log read");
            http::problem(&Problem::new(Code::Unavailable))
        }
    }
}
