//! The operations plane: `GET /metrics` in the text that Prometheus reads, plain HTTP on an address of the
//! operator's own. Nothing here tells of a message's content.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use silkgate_message::problem::{Code, Problem};

use crate::clock;
use crate::gateway::Gateway;
use crate::http;
use crate::store::witness::{self, AlarmKind};
use crate::store::{StoreError, ledger, timestamp};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Labels = Vec<(&'static str, String)>;

/// What the plane serves.
pub fn routes(gateway: &Arc<Gateway>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .fallback(http::not_found)
        .method_not_allowed_fallback(http::method_not_allowed)
        .with_state(gateway.clone())
}

async fn metrics(State(gateway): State<Arc<Gateway>>) -> Response {
    let mut text = String::new();
    let read = read(&gateway).await;
    match read.map(|registry| encode(&mut text, &registry)) {
        Ok(Ok(())) => http::bytes(200, OPEN_METRICS, text.into_bytes()),
        Ok(Err(_)) => http::problem(&Problem::new(Code::Unavailable)),
        Err(error) => {
            tracing::error!(%error, "metrics");
            http::problem(&Problem::new(Code::Unavailable))
        }
    }
}

/// Figures by name, made anew for each reading: what the store holds is not counted a second time in memory.
struct Sheet(Registry);

impl Sheet {
    fn gauge(&mut self, name: &str, help: &str, rows: impl IntoIterator<Item = (Labels, i64)>) {
        let family = Family::<Labels, Gauge>::default();
        for (labels, value) in rows {
            family.get_or_create(&labels).set(value);
        }
        self.0.register(name, help, family);
    }
}

async fn read(gateway: &Gateway) -> Result<Registry, StoreError> {
    let mut tx = gateway.store.read().await?;
    let heads = ledger::heads(&mut tx).await?;
    let alarms = witness::open_alarms(&mut tx).await?;
    let directory = gateway.directory();
    let mut cosigned = Vec::new();
    for partner in directory.partners() {
        let shown = |head: &&ledger::Head| head.partner.is_none_or(|of| of == partner.country);
        for head in heads.iter().filter(shown) {
            let newest = witness::newest_cosigned(&mut tx, head.id, partner.country.as_str()).await?;
            let labels = vec![("origin", head.origin.clone()), ("partner", partner.country.to_string())];
            cosigned.push((labels, ledger::signed(newest.unwrap_or(0))));
        }
    }
    let mut stamped = Vec::new();
    for head in &heads {
        let newest = timestamp::newest(&mut tx, head.id).await?;
        let size = ledger::signed(newest.map_or(0, |stamp| stamp.size));
        stamped.push((vec![("origin", head.origin.clone())], size));
    }
    let mut sheet = Sheet(Registry::with_prefix("silkgate"));
    let of_log = |head: &ledger::Head| (vec![("origin", head.origin.clone())], ledger::signed(head.size));
    sheet.gauge("log_entries", "Entries of each log", heads.iter().map(of_log));
    sheet.gauge("log_cosigned_entries", "Entries under the newest cosignature of a partner", cosigned);
    sheet.gauge("log_timestamped_entries", "Entries under the newest time-stamp", stamped);
    let now = clock::now();
    let age = |partner: &Arc<crate::directory::Partner>| {
        let since = gateway.standing.uncosigned_since(partner.country);
        let seconds = since.map_or(0, |since| (now.0 - since.0).max(0) / 1000);
        (vec![("partner", partner.country.to_string())], seconds)
    };
    let help = "Age of the oldest entry of the channel that the partner has not cosigned";
    sheet.gauge("uncosigned_age_seconds", help, directory.partners().map(age));
    let open = [AlarmKind::Fork, AlarmKind::Rollback].map(|kind| {
        let count = alarms.iter().filter(|alarm| alarm.kind == kind).count();
        (vec![("kind", kind.as_str().to_owned())], i64::try_from(count).unwrap_or(i64::MAX))
    });
    sheet.gauge("alarms_open", "Contradicting histories that no operator has settled", open);
    let read_only = i64::from(gateway.standing.read_only().is_some());
    sheet.gauge("read_only", "1 where nothing is written", [(Vec::new(), read_only)]);
    let reconciled = gateway.figures.reconciled();
    let figure = |pick: fn(&crate::figures::Reconciled) -> i64| {
        let rows = reconciled.iter();
        rows.map(move |(partner, found)| (vec![("partner", partner.to_string())], pick(found)))
            .collect::<Vec<_>>()
    };
    sheet.gauge("reconcile_time_seconds", "When last reconciled, since 1970", figure(|f| f.at.seconds()));
    sheet.gauge(
        "reconcile_agreeing_messages",
        "Messages of which both sides tell the same",
        figure(|f| ledger::signed(f.both)),
    );
    sheet.gauge(
        "reconcile_differing_messages",
        "Messages of which they tell differently",
        figure(|f| ledger::signed(f.differences)),
    );
    sheet.gauge(
        "reconcile_inconsistencies",
        "Where the partner's log contradicts itself or what it told before",
        figure(|f| ledger::signed(f.inconsistent)),
    );
    Ok(sheet.0)
}
