//! What a partner may ask about the channel: `GET /v1/channel` on the partner plane.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use serde_json::json;
use silkgate_message::problem::{Code, Problem};

use crate::gateway::Gateway;
use crate::http::{self, PartnerPeer};
use crate::store::{StoreError, ledger};

/// Our agreement with the caller, TOML: what both sides hold is what passes, so each may see where they differ.
pub async fn agreement(
    State(gateway): State<Arc<Gateway>>,
    Extension(PartnerPeer(country)): Extension<PartnerPeer>,
) -> Response {
    match gateway.directory().partner(country).filter(|partner| partner.is_active()) {
        Some(partner) => http::bytes(200, "application/toml", partner.agreement.to_toml().into_bytes()),
        None => http::problem(&Problem::new(Code::PartnerSuspended)),
    }
}

/// The newest checkpoint of the caller's channel, and what the agreement lets it send: enough to
/// diagnose a connection, and nothing that the caller is not party to.
pub async fn fetch(
    State(gateway): State<Arc<Gateway>>,
    Extension(PartnerPeer(country)): Extension<PartnerPeer>,
) -> Response {
    let directory = gateway.directory();
    let Some(partner) = directory.partner(country).filter(|partner| partner.is_active()) else {
        return http::problem(&Problem::new(Code::PartnerSuspended));
    };
    let read = async {
        let mut tx = gateway.store.read().await?;
        let heads = ledger::heads(&mut tx).await?;
        let Some(head) = heads.into_iter().find(|head| head.partner == Some(country)) else {
            return Ok(None);
        };
        ledger::checkpoint(&mut tx, head.id, head.size).await
    };
    let checkpoint: Result<Option<Vec<u8>>, StoreError> = read.await;
    match checkpoint {
        Ok(note) => http::json(
            200,
            &json!({
                "checkpoint": note.map(|note| String::from_utf8_lossy(&note).into_owned()),
                "receive": partner.agreement.receive,
            }),
        ),
        Err(error) => {
            tracing::error!(%error, "channel");
            http::problem(&Problem::new(Code::Unavailable))
        }
    }
}
