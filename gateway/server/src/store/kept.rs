//! Table `revocation_history`: every revocation list that came into force, under its entry in the log of the channel; and which of them
//! were in force at an entry.

use std::collections::{BTreeMap, BTreeSet};

use silkgate_ledger::Hash;
use silkgate_ledger::entry::{Entry, Kind};
use silkgate_message::jws::Digest;
use silkgate_message::revocation::RevocationList;

use super::ledger::{hash, signed, unsigned};
use super::sql::sql;
use super::{Connection, StoreError};

/// What an entry states of a list that comes into force.
pub const ACT: &str = "crl";
/// The same where all go out of force.
pub const NONE: &str = "crl_none";

/// A row of `revocation_history`.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The entry in the channel's log that states it.
    pub entry: u64,
    /// The list, DER.
    pub list: Vec<u8>,
    /// The certificate of an issuer that is no anchor of the card, DER.
    pub above: Option<Vec<u8>>,
}

impl Kept {
    /// SHA-256 of the issuer's name; None where the list cannot be read.
    pub fn issuer(&self) -> Option<Digest> {
        RevocationList::read(&self.list).ok().map(|list| Digest::of(&list.issuer))
    }
}

/// Keeps a list, in the transaction that puts it into force.
pub async fn insert(conn: &mut Connection, log: i64, kept: &Kept) -> Result<(), StoreError> {
    sql("INSERT INTO revocation_history (log, entry, list, above) VALUES ($1, $2, $3, $4)")
        .bind(log)
        .bind(signed(kept.entry))
        .bind(kept.list.clone())
        .bind(kept.above.clone())
        .execute(conn)
        .await?;
    Ok(())
}

/// The first list of a log behind an entry; None for the first of all. One at a time, since each may be large.
pub async fn next(conn: &mut Connection, log: i64, after: Option<u64>) -> Result<Option<Kept>, StoreError> {
    let after = after.map_or(i64::MIN, signed);
    let query = sql(
        "SELECT entry, list, above FROM revocation_history WHERE log = $1 AND entry > $2 ORDER BY entry LIMIT 1",
    );
    let row = query.bind(log).bind(after).fetch_optional(conn).await?;
    row.map(|row| Ok(Kept { entry: unsigned(row.get(0)?)?, list: row.get(1)?, above: row.get(2)? }))
        .transpose()
}

/// The list of an entry.
pub async fn of_entry(conn: &mut Connection, log: i64, entry: u64) -> Result<Option<Kept>, StoreError> {
    let found = next(conn, log, entry.checked_sub(1)).await?;
    Ok(found.filter(|kept| kept.entry == entry))
}

/// Lists in force that the history lacks: log, list and the certificate above.
const MISSING: &str = "SELECT l.id, r.list, r.above FROM revocation_list r JOIN log l ON l.partner = r.partner
    WHERE NOT EXISTS (SELECT 1 FROM revocation_history h WHERE h.log = l.id AND h.list = r.list) ORDER BY l.id";

/// Whether a list in force is not in the history: it came into force before there was one.
pub async fn is_to_begin(conn: &mut Connection) -> Result<bool, StoreError> {
    Ok(sql(MISSING).fetch_optional(conn).await?.is_some())
}

/// Takes lists in force into the history, each under the last entry that states it. One that none states is left to the audit.
pub async fn begin(conn: &mut Connection) -> Result<(), StoreError> {
    let place = if conn.is_shared() { "position($2 IN body)" } else { "instr(body, $2)" };
    let stating = format!("SELECT max(idx) FROM entry WHERE log = $1 AND {place} > 0");
    let unkept = format!(
        "UPDATE log SET lists_from = coalesce((SELECT max(idx) + 1 FROM entry WHERE log = $1 AND {place} > 0 AND NOT EXISTS
            (SELECT 1 FROM revocation_history h WHERE h.log = entry.log AND h.entry = entry.idx)), 0) WHERE id = $1"
    );
    // As entries are spelled: no value in one holds a quotation mark.
    let stated = format!("\"what\":\"{ACT}\",\"digest\":\"");
    for row in sql(MISSING).fetch_all(conn).await? {
        let (log, list): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
        let text = format!("{stated}{}\"", Digest::of(&list));
        let query = sql(sqlx::AssertSqlSafe(stating.clone())).bind(log).bind(text.into_bytes());
        let Some(entry) = query.value::<Option<i64>>(conn).await? else { continue };
        let kept = Kept { entry: unsigned(entry)?, list, above: row.get(2)? };
        insert(conn, log, &kept).await?;
        let query = sql(sqlx::AssertSqlSafe(unkept.clone())).bind(log).bind(stated.clone().into_bytes());
        query.execute(conn).await?;
    }
    Ok(())
}

/// What a channel's log states of lists, beside the lists that are kept.
#[derive(Clone, Default, Debug)]
pub struct Lists {
    /// Entries in order: the digest of a list that came into force, or None where all went out of force.
    stated: BTreeMap<u64, Option<Hash>>,
    /// Issuers of kept lists, by entry.
    kept: BTreeMap<u64, Digest>,
}

impl Lists {
    /// Takes in an entry of the channel's log.
    pub fn state(&mut self, index: u64, entry: &Entry) {
        match (entry.kind, entry.what.as_deref(), entry.digest) {
            (Kind::Admin, Some(ACT), Some(digest)) => drop(self.stated.insert(index, Some(digest))),
            (Kind::Admin, Some(NONE), _) => drop(self.stated.insert(index, None)),
            _ => {}
        }
    }

    /// Takes in every list of a log that is kept and can be read.
    pub async fn take(&mut self, conn: &mut Connection, log: i64) -> Result<(), StoreError> {
        let mut last = None;
        while let Some(kept) = next(conn, log, last).await? {
            last = Some(kept.entry);
            self.kept.extend(kept.issuer().map(|issuer| (kept.entry, issuer)));
        }
        Ok(())
    }

    /// Takes in a kept list.
    pub fn keep(&mut self, entry: u64, issuer: Digest) {
        self.kept.insert(entry, issuer);
    }

    /// The digest of the list that an entry states.
    pub fn digest(&self, entry: u64) -> Option<Hash> {
        self.stated.get(&entry).copied().flatten()
    }

    /// The first entry that states a list.
    pub fn first(&self, digest: Digest) -> Option<u64> {
        let stated = self.stated.iter().find(|(_, stated)| **stated == Some(hash(digest)));
        stated.map(|(entry, _)| *entry)
    }

    /// Entries of lists that are not kept.
    pub fn unkept(&self) -> impl Iterator<Item = u64> {
        let lists = self.stated.iter().filter(|(_, digest)| digest.is_some());
        lists.map(|(entry, _)| *entry).filter(|entry| !self.kept.contains_key(entry))
    }

    /// The entries of the lists that were in force at an entry: the newest of each issuer. None where one was in force that is not kept, or
    /// may have been.
    pub fn at(&self, index: u64) -> Option<Vec<u64>> {
        let is_none = |(_, digest): &(&u64, &Option<Hash>)| digest.is_none();
        let from = self.stated.range(..index).rev().find(is_none).map_or(0, |(entry, _)| entry + 1);
        let until = self.stated.range(index..).find(is_none).map_or(u64::MAX, |(entry, _)| *entry);
        let newest: BTreeMap<Digest, u64> =
            self.kept.range(from..index).map(|(entry, issuer)| (*issuer, *entry)).collect();
        // A list that is not kept was in force no longer when the history began, so a kept one of its issuer took its place. Whether that
        // was before this entry is sure only where every issuer has one by then.
        let unkept = self.unkept().any(|entry| (from..index).contains(&entry));
        let issuers: BTreeSet<&Digest> = self.kept.range(from..until).map(|(_, issuer)| issuer).collect();
        let is_known = !unkept || (!newest.is_empty() && issuers.len() == newest.len());
        is_known.then(|| newest.into_values().collect())
    }
}
