//! Logs: entries and checkpoints, as they are stored.

use std::fmt;
use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use silkgate_message::party::Country;
use silkgate_message::problem::{Code, Problem};

use super::{About, PAGE_MAX, answer, logged, page, parameters, unfit};
use crate::gateway::Gateway;
use crate::http;
use crate::roles::{NationalPeer, Role};
use crate::store::ledger::{self, Head};
use crate::store::{Connection, StoreError};

/// Which log.
#[derive(Clone, Copy)]
pub enum Which {
    /// The house log.
    House,
    /// The log of the channel with that partner.
    Channel(Country),
}

impl Which {
    /// The log of that name; a data-protection officer reads the house log only.
    pub async fn of(gateway: &Gateway, peer: &NationalPeer, name: &str) -> Result<Self, Response> {
        let which = match name {
            "house" => Self::House,
            name => Self::Channel(
                name.parse().map_err(|_| unfit("log: `house`, or a partner's state such as JO"))?,
            ),
        };
        if let (Role::DataProtection, Self::Channel(_)) = (peer.role, which) {
            gateway.refusals.of_role(&gateway.accept, peer, "the log of a channel").await;
            return Err(http::problem(&Problem::new(Code::RoleForbidden)));
        }
        Ok(which)
    }

    /// Where it stands; None: nothing was ever logged.
    pub async fn head(self, conn: &mut Connection) -> Result<Option<Head>, StoreError> {
        let partner = match self {
            Self::House => None,
            Self::Channel(country) => Some(country),
        };
        Ok(ledger::heads(conn).await?.into_iter().find(|head| head.partner == partner))
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::House => f.write_str("house"),
            Self::Channel(country) => country.fmt(f),
        }
    }
}

/// `?log=JO|house&from=N&max=M`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entries {
    log: String,
    #[serde(default)]
    from: u64,
    #[serde(default = "page")]
    max: u32,
}

#[derive(Serialize)]
struct Page {
    origin: String,
    size: u64,
    entries: Vec<Entry>,
    /// Where the next page begins; None: this one reached the end.
    next: Option<u64>,
}

#[derive(Serialize)]
struct Entry {
    index: u64,
    /// The stored bytes: their hash is the leaf's.
    entry: Box<RawValue>,
}

/// `GET /v1/audit/entries`.
pub async fn entries(
    State(gateway): State<Arc<Gateway>>,
    Extension(peer): Extension<NationalPeer>,
    query: Result<Query<Entries>, QueryRejection>,
) -> Result<Response, Response> {
    let Entries { log, from, max } = parameters(query)?;
    let (which, max) = (Which::of(&gateway, &peer, &log).await?, max.clamp(1, PAGE_MAX));
    let what = format!("log {which}, {max} entries from {from}");
    let _place = logged(&gateway, &peer, About { act: "read_entries", what, reason: None }).await?;
    let read = async {
        let mut tx = gateway.store.read().await?;
        let Some(head) = which.head(&mut tx).await? else { return Ok(None) };
        let rows = ledger::entries(&mut tx, head.id, from, max).await?;
        let next = rows.last().map(|(last, _)| last + 1).filter(|next| *next < head.size);
        let entries = rows.into_iter().map(|(index, body)| Ok(Entry { index, entry: raw(body)? }));
        let entries = entries.collect::<Result<_, StoreError>>()?;
        Ok(Some(Page { origin: head.origin, size: head.size, entries, next }))
    };
    Ok(answer(read.await).await)
}

/// Stored JSON, as it is.
pub(super) fn raw(bytes: Vec<u8>) -> Result<Box<RawValue>, StoreError> {
    let text = String::from_utf8(bytes).ok();
    let raw = text.and_then(|text| RawValue::from_string(text).ok());
    raw.ok_or_else(|| StoreError::Corrupt("what is stored is no JSON".into()))
}

/// `?log=JO|house`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Newest {
    log: String,
}

#[derive(Serialize)]
struct Checkpoint {
    origin: String,
    size: u64,
    /// The signed note; None: nothing was ever logged.
    checkpoint: Option<String>,
}

/// `GET /v1/audit/checkpoint`: the newest one.
pub async fn checkpoint(
    State(gateway): State<Arc<Gateway>>,
    Extension(peer): Extension<NationalPeer>,
    query: Result<Query<Newest>, QueryRejection>,
) -> Result<Response, Response> {
    let which = Which::of(&gateway, &peer, &parameters(query)?.log).await?;
    let what = format!("log {which}, newest checkpoint");
    let _place = logged(&gateway, &peer, About { act: "read_checkpoint", what, reason: None }).await?;
    let read = async {
        let mut tx = gateway.store.read().await?;
        let Some(head) = which.head(&mut tx).await? else { return Ok(None) };
        let note = ledger::checkpoint(&mut tx, head.id, head.size).await?;
        let checkpoint = note.map(|note| String::from_utf8_lossy(&note).into_owned());
        Ok(Some(Checkpoint { origin: head.origin, size: head.size, checkpoint }))
    };
    Ok(answer(read.await).await)
}
