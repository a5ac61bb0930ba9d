//! Hand-over to a back end: what it is given under a lease; the long poll by which it asks, and its acknowledgement.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Path, Query, Request, State};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use silkgate_message::event;
use silkgate_message::instant::Instant;
use silkgate_message::jws::{Jws, decode, encode};
use silkgate_message::party::Party;
use silkgate_message::problem::{Code, Problem};

use crate::accept::{Answer, Bury, HandOver, Work};
use crate::clock;
use crate::gateway::Gateway;
use crate::http::{self, BackEndPeer};
use crate::roles::NationalPeer;
use crate::store::delivery::{Leased, Notice};
use crate::store::message::{self, Message, Way};
use crate::store::outbox::Lease;
use crate::store::{StoreError, delivery, proof};

/// The longest wait for a delivery.
const WAIT_MAX_S: u64 = 60;
/// Why a hand-over is given up that the back end will not have.
pub const REFUSED: &str = "back_end_refused";
/// Why a hand-over is given up whose payload cannot be decrypted.
pub const UNREADABLE: &str = "payload_unreadable";
/// Deliveries in one answer, at most.
const FETCH_MAX: u32 = 100;

/// `?wait=SECONDS&max=N`.
#[derive(Deserialize)]
pub struct Fetch {
    #[serde(default)]
    wait: u64,
    #[serde(default = "one")]
    max: u32,
}

fn one() -> u32 {
    1
}

/// One delivery, as every way of handing over gives it.
#[derive(Serialize)]
pub struct Delivery {
    /// The message's id, which the acknowledgement names.
    id: String,
    /// What is never two hand-overs to one back end, and the same whenever one is repeated: two sources may use one id.
    pub key: String,
    /// What the acknowledgement must bring.
    lease: String,
    /// Until when.
    lease_until: String,
    /// The event as its sender signed it; none where a notice of a message's end outlived its payload.
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<Box<RawValue>>,
    /// The signed message, verbatim.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Box<RawValue>>,
    /// Our receipt for it (C2SP tlog-proof).
    receipt: String,
    /// What it tells beside the message: `answer_late`, or of a message of the back end's own that there is no answer to it
    /// (`answer_missing`) or that it was not delivered (`not_delivered_…`, `delivery_unknown`).
    #[serde(skip_serializing_if = "Option::is_none")]
    notice: Option<Notice>,
}

#[derive(Serialize)]
struct Deliveries {
    deliveries: Vec<Delivery>,
}

/// A delivery under its lease.
pub struct Handed {
    /// Which hand-over.
    pub leased: Leased,
    /// Its lease.
    pub lease: Lease,
    /// When that runs out.
    pub until: Instant,
    /// The message.
    pub message: Message,
    /// What the back end is given.
    pub delivery: Delivery,
}

/// `GET /v1/deliveries`: what waits for this back end, urgent messages first, then the oldest, one
/// version of a record at a time. What is not acknowledged before its lease ends is handed out again.
pub async fn fetch(
    State(gateway): State<Arc<Gateway>>,
    Extension(BackEndPeer(party)): Extension<BackEndPeer>,
    Extension(peer): Extension<NationalPeer>,
    Query(Fetch { wait, max }): Query<Fetch>,
) -> Response {
    if let Some(reason) = gateway.standing.still_closed(None).await {
        // An acknowledgement could not be logged.
        return http::problem(&Problem::new(Code::Unavailable).detail(reason));
    }
    let bell = gateway.bell(party.as_str());
    let deadline = tokio::time::Instant::now() + Duration::from_secs(wait.min(WAIT_MAX_S));
    loop {
        let rung = bell.rung();
        if !gateway.directory().is_registered(&peer.certificate) {
            return http::problem(&Problem::new(Code::PeerUnknown));
        }
        let lease_ms = i64::try_from(gateway.config.deliveries.lease_seconds).unwrap_or(60) * 1000;
        match take(&gateway, &party, max.clamp(1, FETCH_MAX), lease_ms).await {
            Ok((handed, _)) if !handed.is_empty() => {
                let deliveries = handed.into_iter().map(|handed| handed.delivery).collect();
                return http::json(200, &Deliveries { deliveries });
            }
            Ok((_, lease_ends)) => {
                // Nothing free: until something arrives, a lease runs out, or the caller's time is up.
                let lease_ends =
                    lease_ends.map(|at| Duration::from_millis((at.0 - clock::now().0).max(1) as u64));
                let until =
                    lease_ends.map_or(deadline, |pause| deadline.min(tokio::time::Instant::now() + pause));
                gateway.wait(rung, until).await;
                if gateway.stop.is_cancelled() || tokio::time::Instant::now() >= deadline {
                    return http::json(200, &Deliveries { deliveries: Vec::new() });
                }
            }
            Err(error) => {
                tracing::error!(%error, "deliveries");
                return http::problem(&Problem::new(Code::Unavailable));
            }
        }
    }
}

/// Leases up to `max` of what waits for `party`, for `lease_ms`. Where nothing is free: when the next lease runs out.
pub async fn take(
    gateway: &Gateway,
    party: &Party,
    max: u32,
    lease_ms: i64,
) -> Result<(Vec<Handed>, Option<Instant>), StoreError> {
    let now = clock::now();
    let (waiting, lease_ends) = {
        let mut tx = gateway.store.read().await?;
        delivery::waits(&mut tx, party.as_str(), now).await?
    };
    if !waiting {
        return Ok((Vec::new(), lease_ends));
    }
    let lease = clock::random::<16>();
    let mut tx = gateway.store.lease().await?;
    // From here on, however long it took to get so far.
    let now = clock::now();
    let until = now.plus_ms(lease_ms);
    let leased = delivery::lease(&mut tx, party.as_str(), now, until, &lease, max).await?;
    tx.commit().await?;
    gateway.figures.handed_out(party.as_str(), leased.len());
    tracing::debug!(recipient = %party, count = leased.len(), "deliveries handed out");
    let mut tx = gateway.store.read().await?;
    let mut deliveries = Vec::with_capacity(leased.len());
    let mut unreadable = Vec::new();
    for leased in leased {
        let Leased { seq, n, notice, .. } = leased;
        let missing = || StoreError::Corrupt("a delivery without its message".into());
        let row = message::by_seq(&mut tx, seq).await?.ok_or_else(missing)?;
        let bytes = match gateway.store.payload(&mut tx, seq).await {
            // One that cannot be read keeps no other from its back end.
            Err(error @ StoreError::Unreadable { .. }) => {
                tracing::error!(%error, id = %row.id, "a delivery");
                unreadable.push(Bury { seq, n, lease, code: UNREADABLE.to_owned() });
                continue;
            }
            read => read?,
        };
        if bytes.is_none() && !notice.is_some_and(Notice::is_of_end) {
            return Err(missing());
        }
        let receipt = proof::witnessed(&mut tx, row.log, row.entry, row.checkpoint).await?;
        let raw = |bytes: Vec<u8>| {
            String::from_utf8(bytes)
                .ok()
                .and_then(|text| RawValue::from_string(text).ok())
                .ok_or_else(missing)
        };
        let event = match &bytes {
            Some(bytes) => Some(raw(Jws::parse(bytes).map_err(|_| missing())?.payload)?),
            None => None,
        };
        let delivery = Delivery {
            id: row.id.to_string(),
            key: key(&row, n),
            lease: encode(&lease),
            lease_until: until.to_string(),
            event,
            message: bytes.map(raw).transpose()?,
            receipt: String::from_utf8_lossy(&receipt).into_owned(),
            notice,
        };
        deliveries.push(Handed { leased, lease, until, message: row, delivery });
    }
    drop(tx);
    for bury in unreadable {
        gateway.accept.commit(Work::Bury(bury)).await;
    }
    Ok((deliveries, Some(now)))
}

/// Which way the message went, the partner, its source, its id, and which hand-over of it.
fn key(row: &Message, n: i64) -> String {
    let way = match row.way {
        Way::Received => "from",
        Way::Sent => "to",
    };
    format!("{way}/{}/{}/{}/{n}", row.partner, row.source, row.id)
}

/// `POST /v1/deliveries/{id}/ack` with `{"lease": "…"}`: the back end has it, for good.
pub async fn acknowledge(
    State(gateway): State<Arc<Gateway>>,
    Extension(BackEndPeer(party)): Extension<BackEndPeer>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    let body = match http::body(request, "application/json", 1024, gateway.config.limits.body_seconds).await {
        Ok(body) => body,
        Err((problem, _)) => return http::problem(&problem),
    };
    let body = match silkgate_message::json::parse(&body) {
        Ok(body) => body,
        Err(error) => return http::problem(&Problem::from(&error)),
    };
    let lease =
        body.get("lease").and_then(Value::as_str).and_then(decode).and_then(|lease| lease.try_into().ok());
    let (Some(id), Some(lease)) = (event::uuid_v7(&id), lease) else {
        return http::problem(
            &Problem::new(Code::LeaseLost).detail("send {\"lease\": \"…\"} as it was handed out"),
        );
    };
    let found = async {
        let mut tx = gateway.store.read().await?;
        let rows = message::by_id(&mut tx, &id).await?;
        let own = rows.into_iter().filter(|row| match row.way {
            Way::Received => row.recipient == party.as_str(),
            // A notice about a message of its own.
            Way::Sent => row.source == party.as_str(),
        });
        Ok::<_, StoreError>(own.map(|row| row.seq).collect::<Vec<_>>())
    };
    let seqs = match found.await {
        Ok(seqs) if !seqs.is_empty() => seqs,
        Ok(_) => return http::not_found().await,
        Err(error) => {
            tracing::error!(%error, "acknowledgement");
            return http::problem(&Problem::new(Code::Unavailable));
        }
    };
    let hand_over = HandOver { recipient: party, seqs, lease };
    match gateway.accept.commit(Work::HandOver(hand_over)).await {
        Answer::Done => http::json(200, &serde_json::json!({ "id": id, "delivered": true })),
        Answer::Refused(problem) | Answer::Failed(problem) => http::problem(&problem),
        Answer::Received(_) | Answer::Erased { .. } | Answer::Submitted { .. } | Answer::Witnessed(_) => {
            http::problem(&Problem::new(Code::Unavailable))
        }
    }
}
