//! Our logs: how they stand, their entries, and whether one checkpoint goes on where another ended.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde::Deserialize;
use silkgate_ledger::{Entry, Note};
use silkgate_message::instant::Instant;

use super::frame::Frame;
use super::growth::Growth;
use super::{failed, page};
use crate::clock;
use crate::gateway::Gateway;
use crate::http;
use crate::reading::{About, Which, logged, parameters};
use crate::roles::NationalPeer;
use crate::stated::Reconciliation;
use crate::store::witness::{self, Alarm};
use crate::store::{StoreError, ledger as stored, timestamp};

/// Entries on one page.
const PAGE: u32 = 50;

/// A log as a whole.
struct Standing {
    name: String,
    origin: String,
    size: i64,
    checkpoints: i64,
    root: String,
    witnesses: Vec<(String, i64)>,
    stamped: Option<Instant>,
    growth: Growth,
}

#[derive(Template)]
#[template(path = "ledger.html")]
struct LedgerPage {
    f: Frame,
    logs: Vec<Standing>,
    alarms: Vec<Alarm>,
    /// By partner, the newest first.
    reconciled: Vec<(String, Vec<Reconciled>)>,
}

/// A reconciliation that the house log states.
struct Reconciled {
    at: Instant,
    verdict: String,
    by_operator: bool,
    report: String,
}

async fn reconciled(gateway: &Gateway) -> Vec<(String, Vec<Reconciled>)> {
    let shown = |of: Reconciliation| Reconciled {
        at: Instant(of.at_ms),
        verdict: of.verdict.unwrap_or_default(),
        by_operator: of.by_operator,
        report: of.report,
    };
    let all = gateway.reconciliations().await.into_iter();
    all.map(|(partner, stated)| (partner, stated.into_iter().rev().map(shown).collect())).collect()
}

/// `GET /ledger`
pub async fn ledger(
    State(gateway): State<Arc<Gateway>>,
    Extension(peer): Extension<NationalPeer>,
    f: Frame,
) -> Result<Response, Response> {
    let about = About { act: "read_ledger", what: "logs".to_owned(), reason: None };
    let _place = logged(&gateway, &peer, about).await?;
    let read = async {
        let mut tx = gateway.store.read().await?;
        let mut logs = Vec::new();
        for head in stored::heads(&mut tx).await? {
            let mut witnesses = Vec::new();
            for partner in gateway.directory().partners().filter(|partner| partner.state != "removed") {
                if head.partner.is_none_or(|of| of == partner.country) {
                    let newest = witness::newest_cosigned(&mut tx, head.id, partner.country.as_str()).await?;
                    witnesses.push((partner.country.to_string(), stored::signed(newest.unwrap_or(0))));
                }
            }
            logs.push(Standing {
                name: head.partner.map_or("house".to_owned(), |of| of.to_string()),
                size: stored::signed(head.size),
                checkpoints: stored::signed(head.signed),
                root: head.root.to_base64(),
                growth: Growth::read(&mut tx, &head, clock::now().day()).await?,
                stamped: timestamp::newest(&mut tx, head.id).await?.map(|stamp| stamp.at),
                origin: head.origin,
                witnesses,
            });
        }
        Ok::<_, StoreError>((logs, witness::open_alarms(&mut tx).await?))
    };
    let (logs, alarms) = read.await.map_err(failed)?;
    Ok(page(&LedgerPage { f, logs, alarms, reconciled: reconciled(&gateway).await }))
}

/// `?from=N&compare=M`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// The first entry of the page; None: the newest ones.
    from: Option<u64>,
    /// Two sizes of the log, to be compared.
    older: Option<u64>,
    newer: Option<u64>,
}

/// An entry of a log.
struct Line {
    index: i64,
    at: Instant,
    entry: Entry,
}

/// Whether one checkpoint goes on where another ended.
struct Compared {
    older: i64,
    newer: i64,
    is_consistent: bool,
    why: String,
    hashes: usize,
}

#[derive(Template)]
#[template(path = "log.html")]
struct LogPage {
    f: Frame,
    name: String,
    origin: String,
    size: i64,
    lines: Vec<Line>,
    older: Option<u64>,
    newer: Option<u64>,
    checkpoint: Option<String>,
    sizes: Vec<u64>,
    compared: Option<Compared>,
}

/// `GET /ledger/{log}`: entries, the newest page first, and the comparison of two checkpoints.
pub async fn log(
    State(gateway): State<Arc<Gateway>>,
    Extension(peer): Extension<NationalPeer>,
    f: Frame,
    Path(name): Path<String>,
    query: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Response> {
    let asked = parameters(query)?;
    let which = Which::of(&gateway, &peer, &name).await?;
    let what = format!("log {which}, entries");
    let _place = logged(&gateway, &peer, About { act: "read_entries", what, reason: None }).await?;
    let read = async {
        let mut tx = gateway.store.read().await?;
        let Some(head) = which.head(&mut tx).await? else { return Ok(None) };
        let from = asked.from.unwrap_or(head.size.saturating_sub(u64::from(PAGE)));
        let rows = stored::entries(&mut tx, head.id, from, PAGE).await?;
        let corrupt = |error: &dyn std::fmt::Display| StoreError::Corrupt(format!("entry: {error}"));
        let lines = rows.into_iter().rev().map(|(index, body)| {
            let entry = Entry::parse(&body).map_err(|error| corrupt(&error))?;
            let at = Instant::parse(&entry.at.to_string()).unwrap_or_default();
            Ok(Line { index: stored::signed(index), at, entry })
        });
        let lines = lines.collect::<Result<Vec<_>, StoreError>>()?;
        let note = stored::checkpoint(&mut tx, head.id, head.size).await?;
        let sizes = stored::newest_sizes(&mut tx, head.id, 20).await?;
        let compared = match (asked.older, asked.newer) {
            (Some(older), Some(newer)) => Some(compare(&mut tx, head.id, older, newer).await?),
            _ => None,
        };
        let page = u64::from(PAGE);
        Ok(Some(LogPage {
            f,
            name,
            older: (from > 0).then(|| from.saturating_sub(page)),
            newer: (from.saturating_add(page) < head.size)
                .then(|| (from + page).min(head.size.saturating_sub(page))),
            size: stored::signed(head.size),
            origin: head.origin,
            checkpoint: note.map(|note| String::from_utf8_lossy(&note).into_owned()),
            lines,
            sizes,
            compared,
        }))
    };
    match read.await.map_err(failed)? {
        Some(shown) => Ok(page(&shown)),
        None => Err(http::not_found().await),
    }
}

/// Verifies with a consistency proof (RFC 9162 §2.1.4) that the newer checkpoint holds all that the older one held.
async fn compare(
    conn: &mut crate::store::Connection,
    log: i64,
    older: u64,
    newer: u64,
) -> Result<Compared, StoreError> {
    let (older, newer) = (older.min(newer), older.max(newer));
    let mut compared = Compared {
        older: stored::signed(older),
        newer: stored::signed(newer),
        is_consistent: false,
        why: String::new(),
        hashes: 0,
    };
    let mut roots = Vec::new();
    for size in [older, newer] {
        let note = stored::checkpoint(conn, log, size).await?;
        let root = note.as_deref().and_then(|note| Note::parse(note).ok()).and_then(|note| {
            silkgate_ledger::Checkpoint::parse(note.text()).ok().map(|checkpoint| checkpoint.root)
        });
        let Some(root) = root else {
            compared.why = format!("there is no checkpoint of {size} entries");
            return Ok(compared);
        };
        roots.push(root);
    }
    let ids = silkgate_ledger::tree::consistency_tiles(older, newer);
    let tiles = stored::tiles(conn, log, &ids).await?;
    let proof = silkgate_ledger::tree::consistency_proof(older, newer, &tiles);
    match proof.map_err(|error| error.to_string()).and_then(|proof| {
        compared.hashes = proof.len();
        silkgate_ledger::tree::verify_consistency(older, roots[0], newer, roots[1], &proof)
            .map_err(|error| error.to_string())
    }) {
        Ok(()) => compared.is_consistent = true,
        Err(why) => compared.why = why,
    }
    Ok(compared)
}
