//! The audit of what two gateways showed each other: the partners' checkpoints that we cosigned, and alarms.

use std::collections::BTreeMap;

use silkgate_ledger::entry::{Entry, Kind};
use silkgate_ledger::{Checkpoint, Hash, Note};
use uuid::Uuid;

use super::Audit;
use super::report::AlarmReport;
use crate::store::erasure::Erasure;
use crate::store::ledger::{Head, hash};
use crate::store::witness::{self, Alarm, AlarmKind};
use crate::store::{Connection, StoreError};

/// What the house log may state of alarms until the audit gives up to list it.
const STATED_MAX: usize = 10_000;

/// Reasons of erasures that are held in memory.
const REASONS_MAX: usize = 100_000;

/// What the house log states of an alarm: what, its digest, when, with which partner.
pub(super) type Stated = (String, [u8; 32], i64, String);

impl Audit<'_> {
    /// Takes in what an entry of the house log states of alarms.
    pub(super) fn house_states(&mut self, entry: &Entry) {
        let what = entry.what.as_deref().filter(|what| matches!(*what, "alarm" | "alarm_settled"));
        if let (Kind::Admin, Some(what), Some(digest)) = (entry.kind, what, entry.digest)
            && self.alarms.len() < STATED_MAX
        {
            let partner = entry.to.clone().unwrap_or_default();
            self.alarms.push((what.to_owned(), *digest.as_bytes(), entry.at.unix_ms(), partner));
        }
        if let (Kind::Admin, Some("own_card" | "partner_add"), Some(digest)) =
            (entry.kind, entry.what.as_deref(), entry.digest)
            && self.cards.len() < STATED_MAX
        {
            self.cards.insert(digest);
        }
        if let (Kind::Admin, Some("erase"), Some(of), Some(digest)) =
            (entry.kind, entry.what.as_deref(), &entry.of, entry.digest)
            && self.reasons.len() < REASONS_MAX
        {
            self.reasons.insert((of.clone(), digest));
        }
    }

    /// Every card is one that the house log states: signatures count under the keys of no other.
    pub(super) fn compare_cards(&mut self, cards: &[(String, Hash)]) {
        for (of, digest) in cards {
            if !self.cards.contains(digest) {
                self.report.find(format!("card of {of}"), "the house log states no such card");
            }
        }
    }

    /// Takes in an operator's reason for an erasure.
    pub(super) fn note_reason(&mut self, place: &str, id: Uuid, erasure: &Erasure) {
        if let Some(reason) = &erasure.reason
            && self.noted.len() < REASONS_MAX
        {
            self.noted.push((place.to_owned(), id.to_string(), hash(reason.digest())));
        }
    }

    /// Each reason is one that the house log states for that message. It may have been taken away since.
    pub(super) fn compare_reasons(&mut self) {
        for (place, id, digest) in std::mem::take(&mut self.noted) {
            if !self.reasons.contains(&(id, digest)) {
                self.report.find(place, "the reason of its erasure is not what the house log states");
            }
        }
        if self.reasons.len() >= REASONS_MAX {
            self.report.find("erasure", format!("only the first {REASONS_MAX} reasons were compared"));
        }
    }

    /// `witnessed` and `alarm`, and the counters that each channel log keeps of them.
    pub(super) async fn witnesses(
        &mut self,
        conn: &mut Connection,
        heads: &[Head],
    ) -> Result<(), StoreError> {
        let mut times: BTreeMap<String, i64> = BTreeMap::new();
        for row in witness::all_witnessed(conn).await? {
            let place = format!("witnessed {}", row.origin);
            if let Err(what) = self.cosigned_by_us(&row.origin, &row.partner, &row.note) {
                self.report.find(&place, what);
            }
            if row.times < 1 {
                self.report.find(&place, "a checkpoint was cosigned once at least");
            }
            let sum = times.entry(row.partner).or_default();
            *sum = sum.saturating_add(row.times);
        }
        let mut raised: BTreeMap<String, i64> = BTreeMap::new();
        let mut stated: Vec<Stated> = Vec::new();
        let mut number = 0;
        for alarm in witness::alarms(conn).await? {
            number += 1;
            if alarm.id != number {
                self.report.find(format!("alarm {}", alarm.id), format!("alarm {number} is missing"));
                number = alarm.id;
            }
            *raised.entry(alarm.partner.clone()).or_default() += 1;
            self.alarm(&alarm, &mut stated);
        }
        self.compare_alarms(stated);
        for head in heads {
            let partner = head.partner.map(|partner| partner.to_string()).unwrap_or_default();
            for (what, found, said) in [
                ("times we cosigned", times.remove(&partner), head.witnessed),
                ("alarms", raised.remove(&partner), head.alarms),
            ] {
                let found = found.unwrap_or(0);
                if found != said {
                    self.report.find(
                        format!("log {}", head.origin),
                        format!("{found} {what}, but there were {said}"),
                    );
                }
            }
        }
        for partner in times.into_keys().chain(raised.into_keys()) {
            self.report.find(format!("log of {partner}"), "there is no log of a channel with that partner");
        }
        Ok(())
    }

    /// A note of the partner's log with our own cosignature.
    fn cosigned_by_us(&self, origin: &str, partner: &str, note: &[u8]) -> Result<(), String> {
        let note = self.of_partner(origin, partner, note)?;
        for key in &self.facts.own.witness {
            if key.cosigned(&note).map_err(|error| error.to_string())?.is_some() {
                return Ok(());
            }
        }
        Err("it does not carry our cosignature".to_owned())
    }

    /// A note that the partner's log key signed, of that log.
    fn of_partner(&self, origin: &str, partner: &str, note: &[u8]) -> Result<Note, String> {
        let signers = self.facts.partner(partner).ok_or("no card of that partner was kept")?;
        signed_under(&signers.log(origin), origin, note)
    }

    fn alarm(&mut self, alarm: &Alarm, stated: &mut Vec<Stated>) {
        let place = format!("alarm {}", alarm.id);
        let ours = [alarm.partner.parse().ok(), None].map(|partner| self.facts.origin(partner));
        let of_us = ours.contains(&alarm.origin);
        // What was lost: of ours what the partner shows, of the partner's what we cosigned.
        if if of_us { alarm.theirs.is_empty() } else { alarm.ours.is_empty() } {
            self.report.find(&place, "the checkpoint that it is about is gone");
        }
        if alarm.goes_on.as_ref().is_some_and(Vec::is_empty) {
            self.report.find(&place, "it goes on from nothing");
        }
        if alarm.settled_at.is_none() && alarm.goes_on.is_some() {
            self.report.find(&place, "it goes on, and was not settled");
        }
        if of_us != (alarm.kind == AlarmKind::Rollback) {
            self.report.find(&place, "its kind does not fit whose log it is about");
        }
        for (which, note) in [
            ("ours", Some(&alarm.ours)),
            ("theirs", Some(&alarm.theirs)),
            ("goes_on", alarm.goes_on.as_ref()),
        ] {
            let Some(note) = note.filter(|note| !note.is_empty()) else { continue };
            let signed = match of_us {
                true => signed_under(&self.facts.own_log(&alarm.origin), &alarm.origin, note).map(|_| ()),
                // What we cosigned, against what it showed later.
                false if which != "theirs" => self.cosigned_by_us(&alarm.origin, &alarm.partner, note),
                false => self.of_partner(&alarm.origin, &alarm.partner, note).map(|_| ()),
            };
            if let Err(what) = signed {
                self.report.find(&place, format!("`{which}`: {what}"));
            }
        }
        if alarm.kind == AlarmKind::Fork {
            stated.push(("alarm".to_owned(), alarm.digest(), alarm.at.0, alarm.partner.clone()));
        }
        match alarm.settled_at {
            Some(at) => {
                let digest = alarm.settled_digest(alarm.goes_on.as_deref());
                stated.push(("alarm_settled".to_owned(), digest, at.0, alarm.partner.clone()));
            }
            None => self.report.alarms.push(AlarmReport {
                partner: alarm.partner.clone(),
                origin: alarm.origin.clone(),
                kind: alarm.kind.as_str(),
                at: alarm.at.to_string(),
            }),
        }
    }

    /// What the rows say of alarms is what the house log states.
    fn compare_alarms(&mut self, mut rows: Vec<Stated>) {
        let stated = std::mem::take(&mut self.alarms);
        for stated in stated {
            match rows.iter().position(|row| *row == stated) {
                Some(place) => drop(rows.swap_remove(place)),
                None => {
                    let (what, digest, ..) = stated;
                    let name = Hash::from_bytes(digest);
                    self.report
                        .find("alarm", format!("the house log states `{what}` of {name}, and no row does"));
                }
            }
        }
        for (what, digest, ..) in rows {
            let name = Hash::from_bytes(digest);
            self.report.find("alarm", format!("a row says `{what}` of {name}, and the house log does not"));
        }
    }
}

fn signed_under(keys: &[silkgate_ledger::VerifierKey], origin: &str, bytes: &[u8]) -> Result<Note, String> {
    let note = Note::parse(bytes).map_err(|error| error.to_string())?;
    if note.encode() != bytes {
        return Err("the note is not as it was written".to_owned());
    }
    note.verify(keys).map_err(|error| error.to_string())?;
    let checkpoint = Checkpoint::parse(note.text()).map_err(|error| error.to_string())?;
    if checkpoint.origin.as_str() == origin {
        Ok(note)
    } else {
        Err("the checkpoint is of another log".to_owned())
    }
}
