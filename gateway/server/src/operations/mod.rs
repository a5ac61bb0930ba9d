//! The operations plane: whether the gateway lives, whether it can take a message and what is missing, and its figures
//! in the text that Prometheus reads. Plain HTTP on an address of the operator's own. Nothing here tells of a message's
//! content.

pub mod certificates;
mod metrics;
mod ready;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State};
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;
use serde_json::json;
use silkgate_message::problem::{Code, Problem};

use crate::gateway::Gateway;
use crate::http;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the plane serves.
pub fn routes(gateway: &Arc<Gateway>) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .fallback(http::not_found)
        .method_not_allowed_fallback(http::method_not_allowed)
        .with_state(gateway.clone())
}

/// Whether a restart would help. In memory only: a database that hangs is no reason to start again.
async fn livez(State(gateway): State<Arc<Gateway>>) -> Response {
    let (halted, ended) = (gateway.accept.is_halted(), gateway.accept.is_ended());
    match (halted, ended) {
        (false, false) => http::json(200, &json!({ "live": true })),
        (true, _) => http::json(503, &json!({ "live": false, "why": ready::HALTED })),
        (false, true) => http::json(503, &json!({ "live": false, "why": "the committer has ended" })),
    }
}

/// `?plane=partner` asks for a balancer before the partner plane.
#[derive(Deserialize)]
struct For {
    plane: Option<String>,
}

/// Whether messages can be taken, and what is missing where not.
async fn readyz(State(gateway): State<Arc<Gateway>>, Query(For { plane }): Query<For>) -> Response {
    let mut missing = ready::missing(&gateway).await;
    if plane.as_deref() == Some("partner") {
        // Two neighbours that start together answer each other's witnesses before either is ready.
        missing.retain(|missing| !matches!(missing.what, "witness_word" | "read_only"));
    }
    if missing.is_empty() {
        return http::json(200, &json!({ "ready": true }));
    }
    http::json(503, &json!({ "ready": false, "missing": missing }))
}

/// What keeps messages from being taken: a code and the reason.
pub async fn missing(gateway: &Gateway) -> Vec<(&'static str, String)> {
    ready::missing(gateway).await.into_iter().map(|missing| (missing.what, missing.why)).collect()
}

/// `GET /v1/status` on the national plane: the same for an operator.
pub async fn status(State(gateway): State<Arc<Gateway>>) -> Response {
    let missing = ready::missing(&gateway).await;
    http::json(200, &json!({ "ready": missing.is_empty(), "missing": missing }))
}

async fn metrics(State(gateway): State<Arc<Gateway>>) -> Response {
    match metrics::read(&gateway).await.text() {
        Ok(text) => http::bytes(200, OPEN_METRICS, text.into_bytes()),
        Err(_) => http::problem(&Problem::new(Code::Unavailable)),
    }
}
