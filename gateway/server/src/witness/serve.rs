//! What a partner asks of our witness, under `/v1/witness/`, and what it asks about its own cosignatures.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use silkgate_ledger::{AddCheckpoint, Checkpoint, Unfit, VerifierKey};
use silkgate_message::party::Country;
use silkgate_message::problem::{Code, Problem};

use super::{NOTE_MAX_BYTES, origin_hash};
use crate::accept::{Answer, Shown, Work};
use crate::clock;
use crate::directory::Partner;
use crate::gateway::Gateway;
use crate::http::{self, PartnerPeer};
use crate::store::{StoreError, ledger, witness};

/// The content type of a 409 (C2SP tlog-witness "add-checkpoint").
const SIZE: &str = "text/x.tlog.size";
const TEXT: &str = "text/plain; charset=utf-8";

/// `POST /v1/witness/add-checkpoint`: a partner shows the newest checkpoint of a log of its own.
///
/// Served before our own logs are confirmed and while they are read-only: what we cosign is the partner's.
pub async fn add_checkpoint(
    State(gateway): State<Arc<Gateway>>,
    Extension(PartnerPeer(country)): Extension<PartnerPeer>,
    request: Request,
) -> Response {
    let directory = gateway.directory();
    let Some(partner) = directory.partner(country).filter(|partner| partner.is_active()) else {
        return http::problem(&Problem::new(Code::PartnerSuspended));
    };
    if !partner.may_show() {
        return http::problem(&Problem::new(Code::RateExceeded));
    }
    let body = match http::any_body(request, NOTE_MAX_BYTES, gateway.config.limits.body_seconds).await {
        Ok(body) => body,
        Err((problem, _)) => return http::problem(&problem),
    };
    let shown = match shown(&gateway, partner, &body) {
        Ok(shown) => shown,
        Err(problem) => return http::problem(&problem),
    };
    let (shown, lines) = shown;
    let (origin, size) = (shown.checkpoint.origin.clone(), shown.checkpoint.size);
    match gateway.accept.commit(Work::Witness(Box::new(shown))).await {
        Answer::Witnessed(Ok(())) => {
            tracing::debug!(partner = %country, log = %origin, size, "cosigned for the partner");
            http::bytes(200, TEXT, lines.into_bytes())
        }
        Answer::Witnessed(Err((unfit, is_new))) => {
            if is_new {
                gateway.standing.add_fork(country);
                tracing::error!(
                    partner = %country, code = %"fork", log = %origin, size,
                    "ALARM: the partner's log CONTRADICTS what it showed before; both checkpoints are kept, see `silkgate status`"
                );
            }
            refusal(unfit)
        }
        Answer::Failed(problem) | Answer::Refused(problem) => http::problem(&problem),
        _ => http::problem(&Problem::new(Code::Unavailable)),
    }
}

/// The checks of C2SP tlog-witness that need no database, in its order: form, origin, signature. With what is shown
/// come the lines that answer it, once it is kept.
fn shown(gateway: &Gateway, partner: &Partner, body: &[u8]) -> Result<(Shown, String), Problem> {
    let invalid = |what: &str| Problem::new(Code::WitnessRequestInvalid).detail(what);
    let request = AddCheckpoint::parse(body)
        .ok_or_else(|| invalid("`old <size>`, a proof of at most 63 lines, an empty line, a checkpoint"))?;
    let checkpoint =
        Checkpoint::parse(request.note.text()).map_err(|error| invalid(&format!("checkpoint: {error}")))?;
    let keys = keys_of(partner, checkpoint.origin.as_str()).ok_or_else(|| {
        Problem::new(Code::NotFound)
            .detail("the origin is neither your log of our channel nor your house log")
    })?;
    let unsigned = |what: String| Problem::new(Code::CheckpointUnsigned).detail(what);
    request.note.verify(keys).map_err(|error| unsigned(error.to_string()))?;
    let now_s = u64::try_from(clock::now().seconds()).unwrap_or(0);
    let unavailable = |_| Problem::new(Code::Unavailable);
    let (mut cosigned, mut lines) = (request.note.clone(), String::new());
    for witness in gateway.keys().witness.iter() {
        let line = witness.cosign(&request.note, now_s).map_err(unavailable)?;
        lines.push_str(&format!("{line}\n"));
        cosigned.add_signature(line).map_err(unavailable)?;
    }
    let shown = Shown {
        partner: partner.country,
        checkpoint,
        request,
        cosigned: cosigned.encode(),
        note_alarm: gateway.standing.closed(None).is_none(),
    };
    Ok((shown, lines))
}

/// The partner's two logs: their keys, by origin.
fn keys_of<'p>(partner: &'p Partner, origin: &str) -> Option<&'p [VerifierKey]> {
    let logs = [partner.log_keys.as_slice(), &partner.house_keys].into_iter();
    logs.into_iter().find(|keys| keys.first().is_some_and(|key| key.name() == origin))
}

/// 400, 409 with the size that the witness holds, or 422 (C2SP tlog-witness).
fn refusal(unfit: Unfit) -> Response {
    match unfit {
        Unfit::SizeOrder => {
            http::problem(&Problem::new(Code::WitnessRequestInvalid).detail(unfit.to_string()))
        }
        Unfit::OtherSize(size) => http::bytes(409, SIZE, format!("{size}\n").into_bytes()),
        Unfit::Inconsistent => http::problem(&Problem::new(Code::LogInconsistent)),
    }
}

/// `GET /v1/witness/<SHA-256 of the origin, hex>/checkpoint`: the newest checkpoint of a log of the caller's
/// that we cosigned, with our line.
pub async fn newest(
    State(gateway): State<Arc<Gateway>>,
    Extension(PartnerPeer(country)): Extension<PartnerPeer>,
    Path(name): Path<String>,
) -> Response {
    let directory = gateway.directory();
    let Some(partner) = directory.partner(country) else { return http::not_found().await };
    let origins = partner.origins();
    let Some(origin) = origins.iter().find(|origin| origin_hash(origin) == name) else {
        return http::not_found().await;
    };
    let read = async {
        let mut tx = gateway.store.read().await?;
        witness::witnessed(&mut tx, origin).await
    };
    note(read.await).await
}

/// `GET /v1/log/cosigned/<SHA-256 of the origin, hex>`: the newest checkpoint of our log of the caller's channel,
/// or of our house log, that the caller cosigned. It learns from it how far it has gone itself.
pub async fn cosigned(
    State(gateway): State<Arc<Gateway>>,
    Extension(PartnerPeer(country)): Extension<PartnerPeer>,
    Path(name): Path<String>,
) -> Response {
    note(newest_cosigned(&gateway, country, &name).await).await
}

async fn newest_cosigned(
    gateway: &Gateway,
    country: Country,
    name: &str,
) -> Result<Option<Vec<u8>>, StoreError> {
    let mut tx = gateway.store.read().await?;
    let heads = ledger::heads(&mut tx).await?;
    let of_caller = |head: &&ledger::Head| head.partner.is_none_or(|partner| partner == country);
    let Some(head) = heads.iter().filter(of_caller).find(|head| origin_hash(&head.origin) == name) else {
        return Ok(None);
    };
    let Some(size) = witness::newest_cosigned(&mut tx, head.id, country.as_str()).await? else {
        return Ok(None);
    };
    witness::cosigned_note(&mut tx, head.id, size).await
}

async fn note(read: Result<Option<Vec<u8>>, StoreError>) -> Response {
    match read {
        Ok(Some(note)) => http::bytes(200, TEXT, note),
        Ok(None) => http::not_found().await,
        Err(error) => {
            tracing::error!(%error, "witness read");
            http::problem(&Problem::new(Code::Unavailable))
        }
    }
}
