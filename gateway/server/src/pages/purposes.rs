//! For what data is exchanged: the purposes that are agreed, those that messages state, and on which legal bases questions rest.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use silkgate_message::catalogue::Catalogue;
use silkgate_message::jws::Jws;
use silkgate_message::problem::{Code, Problem};

use super::frame::Frame;
use super::message::reason;
use super::partners::{Agreed, agreed};
use super::{failed, page};
use crate::gateway::Gateway;
use crate::http;
use crate::reading::{About, logged};
use crate::roles::NationalPeer;
use crate::store::message;
use crate::store::search::{self, Filter, Use, Verdict};
use crate::store::{Connection, StoreError};

/// Messages that are counted, the newest ones: whoever looks waits the same time over ten million.
const COUNTED: i64 = 50_000;
/// Questions whose contents are opened for their legal bases, the newest ones.
const OPENED: u32 = 1_000;
/// Lines of one table, the most frequent ones.
const LINES_MAX: usize = 200;
/// The member that states a legal basis.
const LEGAL_BASIS: &str = "legalBasis";

/// The purposes that are agreed with one partner.
struct Purposes {
    country: String,
    clauses: Vec<Agreed>,
    retention_days: i64,
}

/// Questions that rest on one legal basis.
struct Basis {
    partner: String,
    direction: String,
    purpose: String,
    basis: String,
    messages: i64,
}

/// What was found in the questions that were opened.
#[derive(Default)]
struct Bases {
    lines: Vec<Basis>,
    opened: i64,
    /// Questions whose content is not kept, or cannot be read.
    closed: i64,
}

#[derive(Template)]
#[template(path = "purposes.html")]
struct Page {
    f: Frame,
    partners: Vec<Purposes>,
    uses: Vec<Use>,
    counted: i64,
    /// Types that have to state a legal basis.
    kinds: Vec<&'static str>,
    bases: Option<Bases>,
}

/// `GET /purposes`: what data of each type may be used for, how long it is kept, and the purposes of accepted messages, by partner.
pub async fn purposes(
    State(gateway): State<Arc<Gateway>>,
    Extension(peer): Extension<NationalPeer>,
    f: Frame,
) -> Result<Response, Response> {
    let about = About { act: "read_purposes", what: "purposes".to_owned(), reason: None };
    let _place = logged(&gateway, &peer, about).await?;
    show(&gateway, f, false).await.map_err(failed)
}

/// `POST /purposes`: the same with the legal bases of the newest questions, for a reason: their contents are opened.
pub async fn legal_bases(
    State(gateway): State<Arc<Gateway>>,
    Extension(peer): Extension<NationalPeer>,
    f: Frame,
    request: Request,
) -> Result<Response, Response> {
    let reason = reason(&gateway, request).await?;
    let reason = reason.ok_or_else(|| http::problem(&Problem::new(Code::ReasonMissing)))?;
    let what = format!("legal bases of the newest questions, at most {OPENED}");
    let about = About { act: "read_legal_bases", what, reason: Some(reason) };
    let _place = logged(&gateway, &peer, about).await?;
    show(&gateway, f, true).await.map_err(failed)
}

async fn show(gateway: &Gateway, f: Frame, is_open: bool) -> Result<Response, StoreError> {
    let mut tx = gateway.store.read().await?;
    let after = (message::next_seq(&mut tx).await? - 1 - COUNTED).max(0);
    let uses = search::uses(&mut tx, after, LINES_MAX).await?;
    let bases = if is_open { Some(bases(gateway, &mut tx, after).await?) } else { None };
    let directory = gateway.directory();
    let partners = directory.partners().map(|partner| Purposes {
        country: partner.country.to_string(),
        clauses: agreed(&partner.agreement),
        retention_days: i64::from(partner.agreement.retention_days),
    });
    Ok(page(&Page { partners: partners.collect(), f, uses, counted: COUNTED, kinds: kinds(), bases }))
}

/// Types whose schema asks for a legal basis.
fn kinds() -> Vec<&'static str> {
    let asks = |place: &str| place.rsplit('/').next() == Some(LEGAL_BASIS);
    let types = Catalogue::embedded().types().iter();
    let types =
        types.filter(|kind| kind.outline().into_iter().any(|(place, field)| field.required && asks(&place)));
    let mut names: Vec<&str> = types.map(|kind| kind.name()).collect();
    names.dedup();
    names
}

async fn bases(gateway: &Gateway, conn: &mut Connection, after: i64) -> Result<Bases, StoreError> {
    let mut bases = Bases::default();
    let mut counts: BTreeMap<[String; 4], i64> = BTreeMap::new();
    for kind in kinds() {
        let filter =
            Filter { kind: Some(kind.to_owned()), verdict: Some(Verdict::Accepted), ..Filter::default() };
        for row in search::newest(conn, &filter, after, i64::MAX, OPENED).await? {
            let payload = match gateway.store.payload(conn, row.seq).await {
                Ok(payload) => payload,
                Err(StoreError::Unreadable { .. }) => None,
                Err(error) => return Err(error),
            };
            let jws = payload.as_deref().and_then(|bytes| Jws::parse(bytes).ok());
            let basis = jws.as_ref().and_then(|jws| jws.event["data"][LEGAL_BASIS].as_str());
            let Some(basis) = basis else {
                bases.closed += 1;
                continue;
            };
            bases.opened += 1;
            let way = row.way.as_str().to_owned();
            let of = [row.partner, way, row.purpose.unwrap_or_default(), basis.to_owned()];
            *counts.entry(of).or_default() += 1;
        }
    }
    let line = |([partner, direction, purpose, basis], messages): ([String; 4], i64)| Basis {
        partner,
        direction,
        purpose,
        basis,
        messages,
    };
    bases.lines = counts.into_iter().map(line).collect();
    bases.lines.sort_by_key(|line| std::cmp::Reverse(line.messages));
    bases.lines.truncate(LINES_MAX);
    Ok(bases)
}
