//! Message by message: both have it; only we; only they; another digest; another verdict.

use std::collections::HashSet;

use anyhow::Result;
use serde::Serialize;
use silkgate_ledger::entry::Verdict;
use silkgate_ledger::{Checkpoint, Entry, Hash, Note, Receipt, leaf_hash};
use silkgate_message::instant::Instant;
use silkgate_message::party::Country;

use super::theirs::{GivenUp, Held, Log, Stated};
use crate::store::ledger::{self, hash};
use crate::store::message::{self, Message, State, Way};
use crate::store::witness::{self, AlarmKind};
use crate::store::{Connection, Store};

/// Rows read at once.
const PAGE: u32 = 1000;

/// What the two sides tell.
#[derive(Serialize, Default)]
pub(super) struct Report {
    pub(super) partner: String,
    /// The partner's log of our channel.
    pub(super) origin: String,
    /// Its entries.
    pub(super) entries: u64,
    /// Bytes that were read for them.
    pub(super) bytes: u64,
    /// Receipts of ours that it was held against.
    pub(super) receipts: usize,
    /// Checkpoints of ours that it was held against.
    pub(super) checkpoints: usize,
    /// Messages of which both tell the same.
    pub(super) both: u64,
    /// Messages of which one side cannot know yet.
    pub(super) under_way: u64,
    pub(super) only_ours: Vec<Difference>,
    pub(super) only_theirs: Vec<Difference>,
    pub(super) different_digest: Vec<Difference>,
    pub(super) different_verdict: Vec<Difference>,
    /// Messages that one side lost with a part of its log, which both gave up.
    pub(super) given_up: Vec<Difference>,
    /// Where the partner's log contradicts itself or what it told before.
    pub(super) inconsistent: Vec<String>,
}

/// A message of which the two tell differently.
#[derive(Serialize)]
pub(super) struct Difference {
    pub(super) id: Option<String>,
    /// `sent` or `received`, by us.
    pub(super) direction: &'static str,
    pub(super) what: String,
}

impl Report {
    pub(super) fn differences(&self) -> [(&'static str, &[Difference]); 4] {
        [
            ("only ours", &self.only_ours),
            ("only theirs", &self.only_theirs),
            ("different digest", &self.different_digest),
            ("different verdict", &self.different_verdict),
        ]
    }

    pub(super) fn agrees(&self) -> bool {
        self.inconsistent.is_empty() && self.differences().iter().all(|(_, found)| found.is_empty())
    }
}

/// Every receipt that the partner ever gave us.
pub(super) async fn held(store: &Store, partner: Country) -> Result<Held> {
    let mut tx = store.read().await?;
    let mut held = Held { given_up: given_up(&mut tx, partner).await?, ..Held::default() };
    let mut last = 0;
    loop {
        let page = message::after(&mut tx, last, PAGE).await?;
        let Some(newest) = page.last() else { return Ok(held) };
        last = newest.seq;
        for row in page.iter().filter(|row| row.partner == partner.as_str()) {
            held.messages += 1;
            let Some(receipt) = message::receipt(&mut tx, row.seq).await? else { continue };
            let receipt = Receipt::parse(&receipt)?;
            held.leaves.insert(receipt.proof().index, leaf_hash(receipt.entry_bytes()));
            let checkpoint = Checkpoint::parse(receipt.proof().checkpoint.text())?;
            held.roots.insert(checkpoint.size, checkpoint.root);
        }
    }
}

/// What was given up of both logs of this channel, by the alarms that operators settled.
async fn given_up(conn: &mut Connection, partner: Country) -> Result<GivenUp> {
    let mut given_up = GivenUp::default();
    let heads = ledger::heads(conn).await?;
    let Some(head) = heads.into_iter().find(|head| head.partner == Some(partner)) else {
        return Ok(given_up);
    };
    for alarm in witness::alarms(conn).await?.into_iter().filter(|alarm| alarm.partner == partner.as_str()) {
        let (Some(range), Some(until)) = (alarm.given_up(), alarm.settled_at) else { continue };
        let of_house = alarm.origin.ends_with("/house");
        match alarm.kind {
            AlarmKind::Fork if !of_house => given_up.of_theirs.push(range),
            AlarmKind::Rollback if alarm.origin == head.origin => {
                let ours = Note::parse(&alarm.ours).ok().and_then(|note| Checkpoint::parse(note.text()).ok());
                let last = ours.map_or(0, |ours| ours.size).saturating_sub(1);
                let last = ledger::entry(conn, head.id, last).await?;
                let last = last.and_then(|body| Entry::parse(&body).ok());
                given_up.of_ours.push((last.map_or(0, |entry| entry.at.unix_ms()), until.0));
            }
            AlarmKind::Fork | AlarmKind::Rollback => {}
        }
    }
    Ok(given_up)
}

/// Holds our messages against the partner's log.
pub(super) async fn compare(
    store: &Store,
    partner: Country,
    held: &Held,
    log: &Log,
    (from, to): (Option<Instant>, Option<Instant>),
) -> Result<Report> {
    let mut report = Report {
        partner: partner.to_string(),
        origin: log.origin.clone(),
        entries: log.entries,
        bytes: log.bytes,
        receipts: held.leaves.len(),
        checkpoints: held.roots.len(),
        inconsistent: log.inconsistent.clone(),
        ..Report::default()
    };
    let within = |ms: i64| from.is_none_or(|from| ms >= from.0) && to.is_none_or(|to| ms < to.0);
    let mut ours: HashSet<(bool, Hash)> = HashSet::new();
    let mut tx = store.read().await?;
    let mut last = 0;
    loop {
        let page = message::after(&mut tx, last, PAGE).await?;
        let Some(newest) = page.last() else { break };
        last = newest.seq;
        for row in page.iter().filter(|row| row.partner == partner.as_str()) {
            ours.insert((row.way == Way::Sent, hash(row.digest)));
            if within(row.at.0) {
                let stated = log.messages.get(&hash(row.digest));
                match row.way {
                    Way::Sent if stated.is_none() && is_given_up(&mut tx, row, held).await? => {
                        let what = "the partner accepted it in a part of its log that was given up";
                        report.given_up.push(difference(row, what));
                    }
                    Way::Sent => report.sent(row, stated, log),
                    Way::Received => report.received(row, stated),
                }
            }
        }
    }
    for (digest, stated) in log.messages.iter().filter(|(_, stated)| within(stated.at_ms)) {
        let excused = held.given_up.excuses(stated.at_ms);
        report.theirs(stated, ours.contains(&(true, *digest)), ours.contains(&(false, *digest)), excused);
    }
    for found in [&mut report.only_theirs, &mut report.only_ours, &mut report.given_up] {
        found.sort_by(|a, b| a.id.cmp(&b.id));
    }
    Ok(report)
}

/// Whether the partner's receipt rests on a part of its log that was given up.
async fn is_given_up(conn: &mut Connection, row: &Message, held: &Held) -> Result<bool> {
    let Some(receipt) = message::receipt(conn, row.seq).await? else { return Ok(false) };
    let checkpoint = Checkpoint::parse(Receipt::parse(&receipt)?.proof().checkpoint.text())?;
    Ok(held.given_up.covers(checkpoint.size))
}

fn difference(row: &Message, what: &str) -> Difference {
    Difference { id: Some(row.id.to_string()), direction: row.way.as_str(), what: what.to_owned() }
}

impl Report {
    /// A message that we sent: what does the partner say it received?
    fn sent(&mut self, row: &Message, stated: Option<&Stated>, log: &Log) {
        let difference = |what: String| Difference { id: Some(row.id.to_string()), direction: "sent", what };
        let verdict = stated.and_then(|stated| stated.received.as_ref());
        match (row.state, verdict) {
            (State::Receipted, Some(Ok(()))) => self.both += 1,
            (State::Rejected, Some(Err(code))) if row.code.as_ref() == Some(code) => self.both += 1,
            // The answer is not here yet, or was lost: the log settles what the message's state cannot.
            (State::Queued, _) => self.under_way += 1,
            (State::Expired | State::Returned | State::Dead | State::Dropped | State::Unknown, None) => {
                self.both += 1
            }
            (State::Receipted | State::Rejected, None) => {
                let other = log.by_id.get(&row.id.to_string()).is_some_and(|digests| !digests.is_empty());
                let receipt = "we hold its receipt, and the partner's log does not hold the message";
                if other {
                    self.different_digest
                        .push(difference("the partner holds other content under this id".to_owned()));
                } else {
                    self.only_ours.push(difference(receipt.to_owned()));
                }
            }
            (state, Some(verdict)) => {
                let theirs = match verdict {
                    Ok(()) => "accepted".to_owned(),
                    Err(code) => format!("refused: {code}"),
                };
                let what = format!("here it is {}, there it was {theirs}", state.as_str());
                self.different_verdict.push(difference(what));
            }
            (State::Accepted, None) => {}
        }
    }

    /// A message that we received: does the partner say it sent it, and what was our verdict?
    fn received(&mut self, row: &Message, stated: Option<&Stated>) {
        let difference =
            |what: String| Difference { id: Some(row.id.to_string()), direction: "received", what };
        let ours = if row.state == State::Accepted { Verdict::Accepted } else { Verdict::Rejected };
        match stated {
            Some(stated) if stated.sent => match stated.receipted {
                None => self.under_way += 1,
                Some(verdict) if verdict == ours => self.both += 1,
                Some(verdict) => {
                    let what =
                        format!("we {} it, the partner's log says {}", ours.as_str(), verdict.as_str());
                    self.different_verdict.push(difference(what));
                }
            },
            // What was signed and sent past the partner's gateway is the partner's all the same.
            _ => self.only_ours.push(difference(
                "we hold it, signed by the partner, whose log does not say that it was sent".to_owned(),
            )),
        }
    }

    /// What the partner tells of a message that we do not hold.
    fn theirs(&mut self, stated: &Stated, we_sent: bool, we_received: bool, excused: bool) {
        let difference =
            |direction, what: &str| Difference { id: stated.id.clone(), direction, what: what.to_owned() };
        if excused && ((stated.received.is_some() && !we_sent) || (stated.sent && !we_received)) {
            let direction = if stated.sent { "received" } else { "sent" };
            let what = "it fell into a part of our log that was given up";
            self.given_up.push(difference(direction, what));
            return;
        }
        if stated.received.is_some() && !we_sent {
            let what = "the partner's log says that we sent it; we did not";
            self.only_theirs.push(difference("sent", what));
        }
        if stated.sent && !we_received {
            match stated.receipted {
                Some(Verdict::Accepted) => {
                    let what = "the partner's log says that we accepted it; we do not hold it";
                    self.only_theirs.push(difference("received", what));
                }
                Some(Verdict::Rejected) | None => self.under_way += 1,
            }
        }
    }
}
