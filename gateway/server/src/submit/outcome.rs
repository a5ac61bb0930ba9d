//! What became of a submission: its back end asks.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde::Deserialize;
use silkgate_message::event;
use silkgate_message::party::Party;
use silkgate_message::problem::{Code, Problem};
use uuid::Uuid;

use super::{Asked, Status};
use crate::gateway::Gateway;
use crate::http::{self, BackEndPeer};
use crate::roles::NationalPeer;
use crate::store::message::{self, Message, Way};
use crate::store::{StoreError, outbox, question};

/// The longest wait for an outcome.
const WAIT_MAX_S: u64 = 60;

/// `?wait=SECONDS`.
#[derive(Deserialize)]
pub struct Wait {
    #[serde(default)]
    wait: u64,
}

/// `GET /v1/submissions/{id}`: where it stands; with `wait`, as soon as it has its outcome.
pub async fn status(
    State(gateway): State<Arc<Gateway>>,
    Extension(BackEndPeer(party)): Extension<BackEndPeer>,
    Extension(peer): Extension<NationalPeer>,
    Path(id): Path<String>,
    Query(Wait { wait }): Query<Wait>,
) -> Response {
    let Some(id) = event::uuid_v7(&id) else {
        return http::not_found().await;
    };
    let bell = gateway.bell(&id.to_string());
    let deadline = tokio::time::Instant::now() + Duration::from_secs(wait.min(WAIT_MAX_S));
    loop {
        let rung = bell.rung();
        if !gateway.directory().is_registered(&peer.certificate) {
            return http::problem(&Problem::new(Code::PeerUnknown));
        }
        let status = match look(&gateway, &party, &id).await {
            Ok(Some(status)) => status,
            Ok(None) => return http::not_found().await,
            Err(error) => {
                tracing::error!(%error, "status of a submission");
                return http::problem(&Problem::new(Code::Unavailable));
            }
        };
        if status.state.is_final() || !gateway.wait(rung, deadline).await {
            return http::json(200, &status);
        }
    }
}

/// `GET /v1/submissions/{id}/message`: the signed bytes.
pub async fn signed_message(
    State(gateway): State<Arc<Gateway>>,
    Extension(BackEndPeer(party)): Extension<BackEndPeer>,
    Path(id): Path<String>,
) -> Response {
    let Some(id) = event::uuid_v7(&id) else {
        return http::not_found().await;
    };
    let read = async {
        let mut tx = gateway.store.read().await?;
        let row = own(&mut tx, &party, &id).await?;
        match row {
            Some(row) => gateway.store.payload(&mut tx, row.seq).await,
            None => Ok(None),
        }
    };
    match read.await {
        Ok(Some(bytes)) => http::bytes(200, "application/jose+json", bytes),
        Ok(None) => http::not_found().await,
        Err(error) => {
            let error: StoreError = error;
            tracing::error!(%error, "signed message");
            http::problem(&Problem::new(Code::Unavailable))
        }
    }
}

/// A message that this back end submitted; another's is as if it were not there.
async fn own(
    conn: &mut crate::store::Connection,
    party: &Party,
    id: &Uuid,
) -> Result<Option<Message>, StoreError> {
    let rows = message::by_id(conn, id).await?;
    Ok(rows.into_iter().find(|row| row.way == Way::Sent && row.source == party.as_str()))
}

async fn look(gateway: &Gateway, party: &Party, id: &Uuid) -> Result<Option<Status>, StoreError> {
    let mut tx = gateway.store.read().await?;
    let Some(row) = own(&mut tx, party, id).await? else {
        return Ok(None);
    };
    let attempts = outbox::attempts(&mut tx, row.seq).await?;
    let problem = message::refusal(&mut tx, row.seq).await?;
    let receipt = message::receipt(&mut tx, row.seq).await?;
    let question = match question::find(&mut tx, row.seq).await? {
        Some(asked) => Some(Asked {
            deadline: asked.deadline.to_string(),
            state: asked.state,
            answer: question::answer(&mut tx, row.seq).await?,
        }),
        None => None,
    };
    Ok(Some(Status {
        code: row.code,
        attempts: Some(attempts.len()),
        last_attempt: attempts.into_iter().next_back().map(|(_, _, outcome)| outcome),
        problem: problem.and_then(|bytes| serde_json::from_slice(&bytes).ok()),
        receipt: receipt.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        question,
        ..Status::of(row.id, row.digest.to_string(), row.state)
    }))
}
