//! What the messages of a batch are decided by, read in a few statements for all of them before the first is decided.

use std::collections::HashMap;

use super::super::work::{Received, Work};
use crate::store::message::{self, Message, Way};
use crate::store::record::{self, Record, RecordKey};
use crate::store::{Connection, StoreError};

/// As it stood when the transaction began. Received messages and their records are changed by nothing in a batch but by what it takes, which
/// it looks at first.
#[derive(Default)]
pub(super) struct Seen {
    /// By the keys of the batch's received messages; None: not known before.
    pub(super) messages: HashMap<message::Key, Option<Message>>,
    /// The records that they are of.
    pub(super) records: HashMap<RecordKey, Record>,
}

impl Seen {
    pub(super) async fn of(conn: &mut Connection, works: &[Work]) -> Result<Self, StoreError> {
        let received = works.iter().filter_map(|work| match work {
            Work::Receive(received) => Some(received.as_ref()),
            _ => None,
        });
        let received: Vec<&Received> = received.collect();
        if received.is_empty() {
            return Ok(Self::default());
        }
        let mut messages: HashMap<message::Key, Option<Message>> =
            received.iter().filter_map(|received| Some((received.key()?, None))).collect();
        let keys: Vec<message::Key> = messages.keys().cloned().collect();
        for found in message::find_all(conn, &keys).await? {
            let key = (found.way, found.partner.clone(), found.id, found.source.clone());
            messages.insert(key, Some(found));
        }
        let mut records: HashMap<RecordKey, Record> = received
            .iter()
            .filter_map(|received| Some((received.record_key()?, Record::default())))
            .collect();
        let keys: Vec<RecordKey> = records.keys().cloned().collect();
        records.extend(record::load_all(conn, &keys).await?);
        Ok(Self { messages, records })
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
}
