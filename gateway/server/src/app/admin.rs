//! Administration from the command line: a transaction with its log entries, also beside a running
//! gateway, which sees the change within a moment.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Result, bail};
use silkgate_ledger::entry::{Entry, Kind};
use silkgate_message::instant::Instant;
use silkgate_message::jws::Digest;
use silkgate_message::party::Country;

use super::Cx;
use crate::accept::{Logs, entry_at};
use crate::clock;
use crate::config::Config;
use crate::keys;
use crate::stated::Reader;
use crate::store::ledger::hash;
use crate::store::witness::{self, AlarmKind};
use crate::store::{Connection, Open, Store};

/// Where an administrative entry goes.
pub(super) enum Where {
    /// The house log.
    House,
    /// The log of the channel with a partner.
    Channel(Country),
}

/// An administrative act: what, and the digest of what came into force.
pub(super) struct Act {
    pub(super) log: Where,
    pub(super) what: &'static str,
    pub(super) digest: Option<Digest>,
    pub(super) about: Option<Country>,
}

impl Act {
    fn entry(&self, at: Instant) -> Entry {
        let mut entry = entry_at(Kind::Admin, at);
        entry.what = Some(self.what.to_owned());
        entry.digest = self.digest.map(hash);
        entry.to = self.about.map(|country| country.to_string());
        entry.role = Some("operator".to_owned());
        entry
    }
}

/// Opens the store of an initialised home.
pub(super) async fn open(cx: &Cx) -> Result<(Config, Store)> {
    let config = cx.home.config()?;
    let (place, keys) = (cx.home.database(&config), cx.home.key_store(&config));
    let store = Store::open(&place, &keys, Open::Existing, Arc::new(|| {})).await?;
    Ok((config, store))
}

/// Partners whose stored settings are not what the logs say is in force, and what it is.
pub(super) async fn unstated(cx: &Cx, config: &Config, store: &Store) -> Result<BTreeMap<Country, String>> {
    let mut tx = store.read().await?;
    let mut reader = Reader::open(&mut tx, Some(&cx.home.stated()), false).await?;
    Ok(reader.judge(&mut tx, &keys::log(&cx.home)?, config.country()).await?)
}

/// Logs `acts` in the transaction and commits it: the change and its entries stand together.
pub(super) async fn commit(cx: &Cx, mut tx: Connection, acts: &[Act]) -> Result<()> {
    writable(&mut tx).await?;
    commit_settled(cx, tx, acts, clock::now()).await
}

/// The same at a time that the change itself holds, for the command that settles alarms: of several, one at a time.
pub(super) async fn commit_settled(cx: &Cx, mut tx: Connection, acts: &[Act], at: Instant) -> Result<()> {
    let mut logs = Logs::new(keys::log(&cx.home)?);
    let mut growth = logs.begin(&mut tx).await?;
    if let Some(approved) = &cx.approved {
        let (house, entry) = (growth.house()?, approved.settle(&mut tx).await?);
        growth.append(&mut tx, house, &entry).await?;
    }
    for act in acts {
        let log = match act.log {
            Where::House => growth.house()?,
            Where::Channel(partner) => growth.channel(partner)?,
        };
        growth.append(&mut tx, log, &act.entry(at)).await?;
    }
    growth.finish(&mut tx).await?;
    tx.commit().await?;
    Ok(())
}

/// Commits a transaction with these entries in the house log.
pub(super) async fn commit_entries(cx: &Cx, mut tx: Connection, entries: &[Entry]) -> Result<()> {
    writable(&mut tx).await?;
    let mut logs = Logs::new(keys::log(&cx.home)?);
    let mut growth = logs.begin(&mut tx).await?;
    let house = growth.house()?;
    for entry in entries {
        growth.append(&mut tx, house, entry).await?;
    }
    growth.finish(&mut tx).await?;
    tx.commit().await?;
    Ok(())
}

/// Refuses to write where a partner has seen another history of our logs.
pub(super) async fn writable(tx: &mut Connection) -> Result<()> {
    let alarms = witness::open_alarms(tx).await?;
    if let Some(alarm) = alarms.iter().find(|alarm| alarm.kind == AlarmKind::Rollback) {
        bail!(
            "read-only: {0} has seen a later or another history of {1} than this database holds; nothing may be written on top of it. \
             `silkgate log recover {0}` tells the way out",
            alarm.partner,
            alarm.origin
        );
    }
    Ok(())
}
