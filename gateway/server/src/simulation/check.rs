//! Whether everything that was promised was kept, once all is settled.

use std::collections::BTreeMap;

use silkgate_ledger::entry::Kind;
use silkgate_ledger::{Checkpoint, Entry, Receipt};
use uuid::Uuid;

use super::back_end::Acknowledged;
use super::lock;
use super::state::State;
use super::world::World;
use crate::audit::{self, Options, OwnKeys};
use crate::directory::own_log_keys;
use crate::keys::Keys;
use crate::store::ledger::Head;
use crate::store::message::{Message, State as Stands, Way};
use crate::store::{Connection, Store, StoreError, delivery, ledger, message, outbox, witness};

/// More than any run exchanges.
const ALL: u32 = 100_000;

/// What a state's store holds.
struct Held {
    messages: Vec<Message>,
    /// Hand-overs that are not done.
    open: Vec<i64>,
    waiting: usize,
    heads: Vec<Head>,
    /// Entries by log.
    entries: BTreeMap<i64, Vec<Entry>>,
}

impl World {
    pub(super) async fn check(&self) {
        let mut stores = Vec::new();
        for state in &self.states {
            match state.open().await {
                Ok(store) => stores.push(store),
                Err(error) => return self.broken(format!("{} cannot be opened: {error}", state.number)),
            }
        }
        let mut held = Vec::new();
        for (state, store) in self.states.iter().zip(&stores) {
            let number = state.number;
            match self.read(state, store).await {
                Ok(found) => held.push(found),
                Err(error) => return self.broken(format!("{number} cannot be read: {error}")),
            }
        }
        for n in [0, 1] {
            self.check_outcomes(n, &held[n], &held[1 - n]);
            self.check_entries(n, &held[n]);
        }
        for (state, store) in self.states.iter().zip(&stores) {
            self.check_audit(state, store).await;
            store.close().await;
        }
    }

    async fn read(&self, state: &State, store: &Store) -> Result<Held, StoreError> {
        let mut tx = store.read().await?;
        let messages = message::after(&mut tx, 0, ALL).await?;
        let last = messages.last().map_or(0, |row| row.seq);
        let deliveries = delivery::between(&mut tx, 0, last).await?;
        let open = deliveries.iter().filter(|delivery| delivery.done_at.is_none());
        let open = open.map(|delivery| delivery.seq).collect();
        let waiting = outbox::between(&mut tx, 0, last).await?.len();
        let heads = ledger::heads(&mut tx).await?;
        let mut entries = BTreeMap::new();
        for head in &heads {
            let bodies = ledger::entries(&mut tx, head.id, 0, ALL).await?;
            let read = bodies.iter().filter_map(|(_, body)| Entry::parse(body).ok());
            entries.insert(head.id, read.collect());
        }
        for alarm in witness::open_alarms(&mut tx).await? {
            self.broken(format!("{} raised an alarm about {}", state.number, alarm.origin));
        }
        self.check_witnessed(state, &mut tx, &heads).await?;
        Ok(Held { messages, open, waiting, heads, entries })
    }

    /// What left a gateway of ours is of the one history that it holds.
    async fn check_witnessed(
        &self,
        state: &State,
        tx: &mut Connection,
        heads: &[Head],
    ) -> Result<(), StoreError> {
        let number = state.number;
        let keys = Keys::read(&state.home, &state.config).expect("the keys");
        let (receipts, checkpoints) = {
            let witnessed = lock(&self.witnessed);
            let receipts = witnessed.receipts.iter().filter(|(of, _)| *of == number);
            let checkpoints = witnessed.checkpoints.iter().filter(|(of, _)| *of == number);
            (
                receipts.map(|(_, bytes)| bytes.clone()).collect::<Vec<_>>(),
                checkpoints.cloned().collect::<Vec<_>>(),
            )
        };
        let mut shown = Vec::new();
        for bytes in receipts {
            let receipt = Receipt::parse(&bytes).expect("a receipt");
            let checkpoint = Checkpoint::parse(receipt.proof().checkpoint.text()).expect("a checkpoint");
            let origin = checkpoint.origin.as_str().to_owned();
            if let Err(error) = receipt.verify(&own_log_keys(&origin, &keys.log, &[])) {
                self.broken(format!("a receipt of {number} does not verify: {error}"));
            }
            let log = heads.iter().find(|head| head.origin == origin).map_or(0, |head| head.id);
            let index = receipt.proof().index;
            let stands = ledger::entry(tx, log, index).await?;
            if stands.as_deref() != Some(receipt.entry_bytes()) {
                self.broken(format!(
                    "{number} gave a receipt for entry {index} of {origin}, which is another"
                ));
            }
            shown.push(checkpoint);
        }
        let parse = |(_, text): &(usize, String)| Checkpoint::parse(text).expect("a checkpoint");
        shown.extend(checkpoints.iter().map(parse));
        for checkpoint in shown {
            let origin = checkpoint.origin.as_str();
            let log = heads.iter().find(|head| head.origin == origin).map_or(0, |head| head.id);
            let stands = ledger::checkpoint(tx, log, checkpoint.size).await?;
            let stands = stands.and_then(|note| silkgate_ledger::Note::parse(&note).ok());
            let is_same =
                stands.is_some_and(|note| Checkpoint::parse(note.text()).as_ref() == Ok(&checkpoint));
            if !is_same {
                self.broken(format!(
                    "{number} showed {} entries of {origin}, which it does not hold",
                    checkpoint.size
                ));
            }
        }
        Ok(())
    }

    /// Every submission that was acknowledged has its outcome, and the other side tells the same.
    fn check_outcomes(&self, n: usize, ours: &Held, theirs: &Held) {
        if ours.waiting > 0 || !ours.open.is_empty() {
            self.broken(format!("{n} has {} to send and {} to hand over", ours.waiting, ours.open.len()));
        }
        let acknowledged = lock(&self.witnessed).acknowledged.clone();
        for Acknowledged { id, is_short_lived, .. } in acknowledged.iter().filter(|a| a.from == n) {
            let Some(row) = ours.message(Way::Sent, id) else {
                self.broken(format!("{n} acknowledged {id} and lost it"));
                continue;
            };
            let is_fit = match row.state {
                Stands::Receipted => true,
                Stands::Expired | Stands::Unknown | Stands::Returned => *is_short_lived,
                Stands::Rejected => *is_short_lived && row.code.as_deref() == Some("expired"),
                _ => false,
            };
            if !is_fit {
                self.broken(format!("{id} of {n} is {}, {:?}", row.state.as_str(), row.code));
            }
        }
        let given = |id: &Uuid| lock(&self.witnessed).handed_over.given.contains(&(n, *id));
        for row in ours.messages.iter().filter(|row| row.way == Way::Sent) {
            let there = theirs.message(Way::Received, &row.id).filter(|there| there.digest == row.digest);
            let verdict = there.map(|there| there.state);
            let is_fit = match row.state {
                Stands::Receipted => verdict == Some(Stands::Accepted),
                Stands::Rejected => verdict == Some(Stands::Rejected),
                Stands::Expired | Stands::Returned => verdict.is_none(),
                _ => true,
            };
            if !is_fit {
                let verdict = verdict.map(Stands::as_str);
                self.broken(format!(
                    "{} of {n} is {} here and {verdict:?} there",
                    row.id,
                    row.state.as_str()
                ));
            }
        }
        for row in ours.messages.iter().filter(|row| row.state == Stands::Accepted) {
            if theirs.message(Way::Sent, &row.id).is_none_or(|there| there.digest != row.digest) {
                self.broken(format!("{n} accepted {}, which the other side never sent", row.id));
            }
            if !given(&row.id) {
                self.broken(format!("{n} accepted {}, and its back end was never given it", row.id));
            }
        }
    }

    /// Each message stands once in each log where it must.
    fn check_entries(&self, n: usize, held: &Held) {
        let mut counts: BTreeMap<(&'static str, String), usize> = BTreeMap::new();
        for entry in held.entries.values().flatten() {
            let name = match entry.kind {
                Kind::Sent => "sent",
                Kind::Received | Kind::Rejected => "judged",
                Kind::Receipted | Kind::Expired | Kind::Dead => "settled",
                Kind::Delivered => "handed over",
                _ => continue,
            };
            *counts.entry((name, entry.id.clone().unwrap_or_default())).or_default() += 1;
        }
        for ((name, id), count) in counts.iter().filter(|(_, count)| **count > 1) {
            self.broken(format!("{n} has {id} {name} {count} times"));
        }
        for row in &held.messages {
            let needed: &[&str] = match row.state {
                Stands::Accepted => &["judged", "handed over"],
                Stands::Rejected if row.way == Way::Received => &["judged"],
                _ => &["sent", "settled"],
            };
            for name in needed {
                if !counts.contains_key(&(*name, row.id.to_string())) {
                    self.broken(format!("{n} has {} never {name}", row.id));
                }
            }
        }
        for head in &held.heads {
            if held.entries.get(&head.id).map(Vec::len) != usize::try_from(head.size).ok() {
                self.broken(format!("{n} has {} entries in {}", head.size, head.origin));
            }
        }
    }

    /// The whole-store audit finds nothing.
    async fn check_audit(&self, state: &State, store: &Store) {
        let keys = Keys::read(&state.home, &state.config).expect("the keys");
        let certificate = crate::keys::one(&state.home.certificate("message")).expect("the certificate");
        let own = OwnKeys {
            message_certificate: certificate.to_vec(),
            logs: keys.log.iter().map(|key| key.public_key()).collect(),
            witnesses: keys.witness.iter().map(|witness| witness.witness_key().clone()).collect(),
        };
        let folder = tempfile::tempdir().expect("a folder");
        let options = Options {
            keys: own,
            secret: b"of nobody",
            progress_file: &folder.path().join("progress"),
            fresh: true,
            anchors: None,
        };
        match audit::verify(store, &state.config, options, &mut |_| {}).await {
            Ok(report) => {
                for finding in report.findings {
                    self.broken(format!("{}: {}: {}", state.number, finding.place, finding.what));
                }
            }
            Err(error) => self.broken(format!("{} cannot be audited: {error}", state.number)),
        }
    }
}

impl Held {
    fn message(&self, way: Way, id: &Uuid) -> Option<&Message> {
        self.messages.iter().find(|row| row.way == way && row.id == *id)
    }
}
