//! The overview: what needs attention first, then how everything stands.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use silkgate_message::instant::Instant;

use super::chart::{self, Chart};
use super::frame::{Frame, Whole};
use super::{failed, page};
use crate::clock;
use crate::gateway::Gateway;
use crate::operations::{self, certificates};
use crate::reading::{About, logged};
use crate::roles::NationalPeer;
use crate::stated::{AGREE, AGREE_SPAN, DIFFER};
use crate::store::ledger::Head;
use crate::store::{StoreError, delivery, ledger, message, outbox, tally, witness};

/// Days before its end from which on a certificate needs attention.
const EARLY_DAYS: i64 = 30;
/// After which a waiting message needs attention.
const LONG_MS: i64 = 10 * 60_000;
/// Reasons that are shown, the most frequent ones.
const REFUSALS_MAX: usize = 12;
/// Certificates that are shown, those that end first.
const CERTIFICATES_MAX: usize = 20;

/// What needs attention: a text and its value, and where it leads.
struct Attention {
    key: &'static str,
    value: String,
    link: &'static str,
}

/// What waits for somebody.
struct Queue {
    of: String,
    count: i64,
    oldest: Instant,
    is_long: bool,
}

/// How far a partner has witnessed a log of ours.
struct Witnessed {
    partner: String,
    origin: String,
    size: i64,
    cosigned: i64,
}

/// The last reconciliation with a partner.
struct Reconciled {
    partner: String,
    at: Instant,
    /// `agree`, `differ`, or empty where the log does not say.
    verdict: String,
    /// Messages of which both tell the same, and others: of one since this start.
    counts: Option<(i64, i64)>,
}

/// The last reconciliation with each partner: what this process knows of it, or else what the house log states.
async fn reconciled(gateway: &Gateway) -> Vec<Reconciled> {
    let mut all: BTreeMap<String, Reconciled> = BTreeMap::new();
    for (partner, stated) in gateway.reconciliations().await {
        // That some messages agree says nothing of those that did not.
        let mut whole = stated.iter().filter(|of| of.verdict.as_deref() != Some(AGREE_SPAN));
        let Some(last) = whole.next_back() else { continue };
        let (at, verdict) = (Instant(last.at_ms), last.verdict.clone().unwrap_or_default());
        all.insert(partner.clone(), Reconciled { partner, at, verdict, counts: None });
    }
    for (partner, found) in gateway.figures.reconciled() {
        let partner = partner.to_string();
        // A command's may be newer.
        if all.get(&partner).is_some_and(|stated| stated.at > found.at) {
            continue;
        }
        let others = found.differences + found.inconsistent;
        let verdict = if others == 0 { AGREE } else { DIFFER }.to_owned();
        let counts = Some((found.both.whole(), others.whole()));
        all.insert(partner.clone(), Reconciled { partner, at: found.at, verdict, counts });
    }
    all.into_values().collect()
}

/// Until when a certificate is valid.
struct Ending {
    name: &'static str,
    holder: String,
    until: Instant,
    days: i64,
    is_early: bool,
}

#[derive(Template)]
#[template(path = "overview.html")]
struct Page {
    f: Frame,
    attention: Vec<Attention>,
    charts: Vec<Chart>,
    refusals: Vec<(String, String, i64)>,
    sending: Vec<Queue>,
    delivering: Vec<Queue>,
    witnessed: Vec<Witnessed>,
    reconciled: Vec<Reconciled>,
    certificates: Vec<Ending>,
}

#[derive(Default)]
struct Stored {
    heads: Vec<Head>,
    sending: Vec<(String, i64, Instant)>,
    delivering: Vec<(String, i64, Instant)>,
    dead: i64,
    alarms: usize,
    witnessed: Vec<Witnessed>,
    counts: Vec<tally::Day>,
}

/// `GET /`
pub async fn overview(
    State(gateway): State<Arc<Gateway>>,
    Extension(peer): Extension<NationalPeer>,
    f: Frame,
) -> Result<Response, Response> {
    let about = About { act: "read_overview", what: "overview".to_owned(), reason: None };
    let _place = logged(&gateway, &peer, about).await?;
    let stored = stored(&gateway).await.map_err(failed)?;
    let now = clock::now();
    let queue = |(of, count, oldest): (String, i64, Instant)| {
        let is_long = now.0 - oldest.0 > LONG_MS;
        Queue { of, count, oldest, is_long }
    };
    let mut certificates: Vec<Ending> = certificates::all(&gateway)
        .into_iter()
        .map(|certificate| {
            let days = (certificate.until.0 - now.0).div_euclid(86_400_000);
            let (name, holder, until) = (certificate.name, certificate.holder, certificate.until);
            Ending { name, holder, until, days, is_early: days < EARLY_DAYS }
        })
        .collect();
    certificates.sort_by_key(|certificate| certificate.until);
    certificates.truncate(CERTIFICATES_MAX);
    let reconciled = reconciled(&gateway).await;
    let today = now.day();
    let mut shown = Page {
        charts: chart::charts(&stored.counts, today, |day| Instant::of_day(day).date()),
        refusals: refusals(&stored.counts),
        f,
        attention: Vec::new(),
        sending: stored.sending.into_iter().map(queue).collect(),
        delivering: stored.delivering.into_iter().map(queue).collect(),
        witnessed: stored.witnessed,
        reconciled,
        certificates,
    };
    let missing = operations::missing(&gateway).await;
    let mut attention: Vec<Attention> = missing
        .into_iter()
        .map(|(_, why)| Attention { key: "attention-missing", value: why, link: "" })
        .collect();
    let mut add = |key, count: usize, link| {
        if count > 0 {
            let value = shown.f.number(count);
            attention.push(Attention { key, value, link });
        }
    };
    add("attention-alarms", stored.alarms, "/ledger");
    let differ = shown.reconciled.iter().filter(|found| found.verdict == DIFFER).count();
    add("attention-reconciled", differ, "/ledger#reconciled");
    add("attention-dead", usize::try_from(stored.dead).unwrap_or(0), "/messages?verdict=undelivered");
    add("attention-waiting", shown.sending.iter().filter(|queue| queue.is_long).count(), "#queues");
    add("attention-handover", shown.delivering.iter().filter(|queue| queue.is_long).count(), "#queues");
    add(
        "attention-certificates",
        shown.certificates.iter().filter(|of| of.is_early).count(),
        "#certificates",
    );
    if !shown.f.sees_messages() {
        attention.iter_mut().filter(|of| of.link.starts_with("/messages")).for_each(|of| of.link = "");
    }
    shown.attention = attention;
    Ok(page(&shown))
}

/// Refusals by partner and reason, the most frequent first.
fn refusals(counts: &[tally::Day]) -> Vec<(String, String, i64)> {
    let mut sums: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    for count in counts.iter().filter(|count| !matches!(&*count.outcome, "accepted" | "submitted")) {
        *sums.entry((&count.partner, &count.outcome)).or_default() += count.messages;
    }
    let sums = sums.into_iter().map(|((of, why), count)| (of.to_owned(), why.to_owned(), count));
    let mut sums: Vec<_> = sums.collect();
    sums.sort_by_key(|(_, _, count)| std::cmp::Reverse(*count));
    sums.truncate(REFUSALS_MAX);
    sums
}

async fn stored(gateway: &Gateway) -> Result<Stored, StoreError> {
    let mut tx = gateway.store.read().await?;
    let mut stored = Stored { heads: ledger::heads(&mut tx).await?, ..Stored::default() };
    for partner in gateway.directory().partners().filter(|partner| partner.state != "removed") {
        let shown = |head: &&Head| head.partner.is_none_or(|of| of == partner.country);
        for head in stored.heads.iter().filter(shown) {
            let newest = witness::newest_cosigned(&mut tx, head.id, partner.country.as_str()).await?;
            stored.witnessed.push(Witnessed {
                partner: partner.country.to_string(),
                origin: head.origin.clone(),
                size: ledger::signed(head.size),
                cosigned: ledger::signed(newest.unwrap_or(0)),
            });
        }
    }
    stored.counts = tally::by_day(&mut tx, clock::now().day() - chart::DAYS + 1).await?;
    stored.sending = outbox::depth(&mut tx).await?;
    stored.delivering = delivery::depth(&mut tx).await?;
    stored.alarms = witness::open_alarms(&mut tx).await?.len();
    let dead = message::dead(&mut tx).await?.into_iter().chain(delivery::dead(&mut tx).await?);
    stored.dead = dead.map(|(_, count)| count).sum();
    Ok(stored)
}
