//! The messages, read once in order of arrival, each with the entry that it names and everything that hangs on it.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::judge::{self, Item};
use super::logs::Log;
use super::sums::{Fact, Side};
use super::{Audit, PAGE};
use crate::store::delivery::{self, HandedOver};
use crate::store::erasure::{self, Erasure};
use crate::store::message::{self, Message, State};
use crate::store::question::{self, Question};
use crate::store::{Connection, Store, StoreError, outbox};

/// Payloads read at once, in bytes.
const PAGE_BYTES: i64 = 8 << 20;
/// Messages that are verified in one piece.
const PIECE: usize = 50;

/// What hangs on the messages of a page.
struct Hanging {
    payloads: HashMap<i64, Result<Vec<u8>, StoreError>>,
    erasures: HashMap<i64, Erasure>,
    refusals: HashMap<i64, Vec<u8>>,
    receipts: HashMap<i64, Vec<u8>>,
    deliveries: HashMap<i64, Vec<HandedOver>>,
    questions: HashMap<i64, Question>,
    queued: HashSet<i64>,
}

impl Hanging {
    async fn read(store: &Store, conn: &mut Connection, after: i64, last: i64) -> Result<Self, StoreError> {
        let mut deliveries = HashMap::<i64, Vec<HandedOver>>::new();
        for delivery in delivery::between(conn, after, last).await? {
            deliveries.entry(delivery.seq).or_default().push(delivery);
        }
        Ok(Self {
            payloads: store.payloads(conn, after, last).await?.into_iter().collect(),
            erasures: erasure::between(conn, after, last).await?.into_iter().collect(),
            refusals: message::refusals(conn, after, last).await?.into_iter().collect(),
            receipts: message::receipts(conn, after, last).await?.into_iter().collect(),
            deliveries,
            questions: question::between(conn, after, last).await?.into_iter().collect(),
            queued: outbox::between(conn, after, last).await?.into_iter().collect(),
        })
    }

    /// Rows left over hang on nothing.
    fn left(&self) -> Vec<(&'static str, i64)> {
        fn of<'a>(table: &'static str, seqs: impl Iterator<Item = &'a i64>) -> Vec<(&'static str, i64)> {
            seqs.map(|seq| (table, *seq)).collect()
        }
        let mut left = of("payload", self.payloads.keys());
        left.extend(of("erasure", self.erasures.keys()));
        left.extend(of("refusal", self.refusals.keys()));
        left.extend(of("receipt", self.receipts.keys()));
        left.extend(of("delivery", self.deliveries.keys()));
        left.extend(of("question", self.questions.keys()));
        left.extend(of("outbox", self.queued.iter()));
        left.sort_unstable();
        left
    }
}

impl Audit<'_> {
    pub(super) async fn messages(
        &mut self,
        conn: &mut Connection,
        logs: &mut BTreeMap<i64, Log>,
    ) -> Result<(), StoreError> {
        let house = self.house;
        self.told_after = delivery::told_after(conn).await?;
        let mut last = i64::MIN;
        let mut expected = 1;
        loop {
            let mut page = message::after(conn, last, PAGE).await?;
            let (Some(first), Some(newest)) = (page.first(), page.last()) else { break };
            let within = message::within_bytes(conn, last, newest.seq, PAGE_BYTES).await?.max(first.seq);
            page.retain(|row| row.seq <= within);
            let mut hanging = Hanging::read(self.store, conn, last, within).await?;
            last = within;
            let mut piece = Vec::new();
            for row in page {
                self.report.messages += 1;
                if row.seq != expected {
                    let missing = format!("messages {expected} to {} are missing", row.seq.saturating_sub(1));
                    self.report.find(format!("message {}", row.seq), missing);
                }
                expected = row.seq.saturating_add(1);
                for fact in Fact::of_message(house, &row) {
                    self.sums.add(Side::Row, &fact);
                }
                let item = self.item(conn, logs, row, &mut hanging).await?;
                for delivery in &item.deliveries {
                    for fact in Fact::of_delivery(house, &item.row, delivery) {
                        self.sums.add(Side::Row, &fact);
                    }
                }
                for fact in Fact::of_notices(&item.row, &item.deliveries, self.told_after) {
                    self.sums.add(Side::Row, &fact);
                }
                if let Some(erasure) = &item.erasure {
                    self.sums.add(Side::Row, &Fact::of_erasure(&item.row, erasure));
                    self.note_reason(&item.place, item.row.id, erasure);
                }
                piece.push(item);
                if piece.len() >= PIECE {
                    self.judge(std::mem::take(&mut piece)).await;
                }
            }
            self.judge(piece).await;
            self.without_message(&hanging);
        }
        // What hangs behind the last message hangs on none.
        loop {
            let hanging = Hanging::read(self.store, conn, last, last.saturating_add(i64::from(PAGE))).await?;
            self.without_message(&hanging);
            match message::next_hanging(conn, last.saturating_add(i64::from(PAGE))).await? {
                Some(next) => last = next.saturating_sub(1),
                None => return Ok(()),
            }
        }
    }

    fn without_message(&mut self, hanging: &Hanging) {
        for (table, seq) in hanging.left() {
            self.report.find(format!("{table} {seq}"), "there is no message for it");
        }
    }

    async fn judge(&mut self, piece: Vec<Item>) {
        if !piece.is_empty() {
            let facts = self.facts.clone();
            self.work(move || judge::judge(&facts, piece)).await;
        }
    }

    /// Puts together what a message is judged by.
    async fn item(
        &mut self,
        conn: &mut Connection,
        logs: &mut BTreeMap<i64, Log>,
        row: Message,
        hanging: &mut Hanging,
    ) -> Result<Item, StoreError> {
        let seq = row.seq;
        let place = format!("message {seq} ({} {})", row.way.as_str(), row.id);
        let mut entry = None;
        match logs.get_mut(&row.log) {
            None => self.report.find(&place, "there is no such log"),
            Some(log) => {
                entry = log.claim(self, conn, row.entry).await?;
                if log.head.partner.map(|partner| partner.to_string()).as_ref() != Some(&row.partner) {
                    self.report.find(&place, "`partner` is not the one of its channel's log");
                }
                if entry.is_some() && log.first_over(conn, row.entry).await? != Some(row.checkpoint) {
                    self.report.find(&place, "its checkpoint is not the first one over its entry");
                }
            }
        }
        let (payload, unreadable) = match hanging.payloads.remove(&seq).transpose() {
            Ok(payload) => (payload, false),
            Err(error) => {
                let destroyed = matches!(error, StoreError::Unreadable { destroyed: true, .. });
                self.report.keys_destroyed += u64::from(destroyed);
                self.report.find(&place, error.to_string());
                (None, true)
            }
        };
        let question = hanging.questions.remove(&seq);
        match &question {
            Some(question) => self.answer(conn, &place, &row, question).await?,
            None if payload.is_none() => self.asked_nothing(conn, &place, &row).await?,
            // The payload tells.
            None => {}
        }
        let notice = self.notice_of(conn, &place, &row, payload.as_deref()).await?;
        let expired = matches!(row.state, State::Expired | State::Unknown);
        let attempted = expired && outbox::attempted(conn, seq).await?;
        Ok(Item {
            skip: self.resume.skips(None, seq),
            payload,
            unreadable,
            erasure: hanging.erasures.remove(&seq),
            question,
            notice,
            refusal: hanging.refusals.remove(&seq),
            receipt: hanging.receipts.remove(&seq),
            deliveries: hanging.deliveries.remove(&seq).unwrap_or_default(),
            told_after: self.told_after,
            queued: hanging.queued.remove(&seq),
            attempted,
            entry,
            place,
            row,
        })
    }
}
