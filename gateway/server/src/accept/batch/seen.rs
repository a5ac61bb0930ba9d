//! What the messages of a batch are decided by, read for all of them before the first is decided.

use std::collections::{HashMap, HashSet};

use super::super::work::{Received, Work};
use crate::store::delivery::{Lane, Lanes};
use crate::store::message::{self, Message, Way};
use crate::store::opening::{Opening, Wanted};
use crate::store::record::{Record, RecordKey};

/// As it stood when the transaction began. Received messages and their records are changed by nothing in a batch but by what it takes, which
/// it looks at first.
pub(super) struct Seen {
    /// By the keys of the batch's received messages; None: not known before.
    pub(super) messages: HashMap<message::Key, Option<Message>>,
    /// The records that they are of.
    pub(super) records: HashMap<RecordKey, Record>,
    /// The lanes that they are handed over in.
    pub(super) lanes: Lanes,
}

/// What is to be asked for a batch.
pub(super) fn wanted(works: &[Work]) -> Wanted {
    let received = || {
        works.iter().filter_map(|work| match work {
            Work::Receive(received) => Some(received.as_ref()),
            _ => None,
        })
    };
    let messages: HashSet<message::Key> = received().filter_map(Received::key).collect();
    let records: HashSet<RecordKey> = received().filter_map(Received::record_key).collect();
    // Where a back end takes something over in the same transaction, a lane may be free by the time that the next is put into it.
    let only_received = works.iter().all(|work| matches!(work, Work::Receive(_)));
    let lanes: HashSet<Lane> = received().filter(|_| only_received).filter_map(Received::lane).collect();
    Wanted {
        messages: messages.into_iter().collect(),
        records: records.into_iter().collect(),
        lanes: lanes.into_iter().collect(),
    }
}

impl Seen {
    /// From what was wanted, and what is there of it.
    pub(super) fn new(wanted: Wanted, opening: &mut Opening) -> Self {
        let mut messages: HashMap<message::Key, Option<Message>> =
            wanted.messages.into_iter().map(|key| (key, None)).collect();
        for found in std::mem::take(&mut opening.messages) {
            let key = (found.way, found.partner.clone(), found.id, found.source.clone());
            messages.insert(key, Some(found));
        }
        let mut records: HashMap<RecordKey, Record> =
            wanted.records.into_iter().map(|key| (key, Record::default())).collect();
        records.extend(std::mem::take(&mut opening.records));
        let lanes = Lanes { asked: wanted.lanes, open: std::mem::take(&mut opening.open) };
        Self { messages, records, lanes }
    }
}

impl Received {
    /// Under what it is known, where it says what it is.
    fn key(&self) -> Option<message::Key> {
        let (id, source) = match &self.envelope {
            Ok(envelope) => (envelope.id, &envelope.source),
            Err(parts) => (parts.id?, parts.source.as_ref()?),
        };
        Some((Way::Received, self.partner.to_string(), id, source.to_string()))
    }

    /// The record that it is of, where it is sound.
    fn record_key(&self) -> Option<RecordKey> {
        let subject = self.envelope.as_ref().ok()?.subject.clone();
        Some(RecordKey { partner: self.partner.to_string(), way: Way::Received, subject })
    }

    /// The lane that it is handed over in, where it is sound.
    fn lane(&self) -> Option<Lane> {
        let envelope = self.envelope.as_ref().ok()?;
        Some((self.partner.to_string(), envelope.subject.clone(), envelope.recipient.to_string()))
    }
}
