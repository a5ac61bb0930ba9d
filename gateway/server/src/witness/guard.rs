//! The rollback guard: what a partner has seen of our logs is held against what we hold, and what it has from us
//! as its witness against what we remember.

use axum::http::Method;
use silkgate_ledger::{Checkpoint, Note};
use silkgate_message::instant::Instant;
use silkgate_message::party::Country;

use super::show::Partnership;
use super::{NOTE_MAX_BYTES, origin_hash};
use crate::clock;
use crate::directory::{ever_log_keys, own_log_keys, own_witness_keys};
use crate::gateway::Gateway;
use crate::line::{Answer, Question};
use crate::store::ledger::{self, Head};
use crate::store::witness::{self, Alarm, AlarmKind, Cosigned};
use crate::store::{Connection, Store, StoreError};

/// How often one question is asked of a partner that asks for time.
const ASKED_MAX: usize = 5;

/// What a partner has seen of a log of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Seen {
    /// Nothing.
    Nothing,
    /// This many entries, of the history that we hold.
    Ours(u64),
    /// More than we hold, or another history, under our own signature.
    Other,
}

impl Partnership<'_> {
    /// Asks for both, once at each start. An error leaves the question open.
    pub(super) async fn guard(&self) -> Result<(), String> {
        // First: what was put back may have taken our witness's memory along.
        for origin in self.partner.origins() {
            self.remember(origin).await?;
        }
        let mut lost = false;
        for head in self.heads().await? {
            let kept = self.newest_cosigned(&head).await.map_err(|error| error.to_string())?;
            let seen = match self.examine(&head).await? {
                Seen::Other => {
                    lost = true;
                    continue;
                }
                Seen::Ours(size) => size,
                Seen::Nothing => 0,
            };
            // It knows less than it has cosigned: such a word tells nothing of what came after.
            if seen < kept {
                return Err(format!(
                    "it has forgotten what it cosigned of {}: {seen} of {kept}",
                    head.origin
                ));
            }
        }
        if lost { Err("it has seen another history of our log".to_owned()) } else { Ok(()) }
    }

    /// Asks which checkpoint of one of our logs the partner cosigned last, and compares. Another history than
    /// ours is an alarm.
    pub(super) async fn examine(&self, head: &Head) -> Result<Seen, String> {
        let path = format!("/v1/witness/{}/checkpoint", origin_hash(&head.origin));
        let Some(bytes) = self.get(path).await? else { return Ok(Seen::Nothing) };
        let note = Note::parse(&bytes).map_err(|error| format!("what it cosigned: {error}"))?;
        let seen = hold_against(self.gateway, self.partner.country, head, &note).await?;
        if let Seen::Ours(size) = seen {
            // A cosignature that was lost on its way; one by a key that is on the card no longer proves as much.
            if let Err(what) = self.keep(head, size, &note).await {
                tracing::debug!(partner = %self.partner.country, what, "its cosignature is not kept again");
            }
        }
        Ok(seen)
    }

    /// Keeps a partner's cosignature on a checkpoint that we hold, and its clock.
    pub(super) async fn keep(&self, head: &Head, size: u64, note: &Note) -> Result<(), String> {
        let key = &self.partner.witness_key;
        let time_s = key.cosigned(note).map_err(|error| error.to_string())?;
        let time_s = time_s.ok_or("the answer holds no cosignature of the card's witness key")?;
        let line = note.signatures().iter().find(|line| key.is_of(line)).map(ToString::to_string);
        let cosigned =
            Cosigned { size, witness: self.partner.country.to_string(), line: line.unwrap_or_default() };
        // The year 9999 at most: a partner may write what it likes.
        let theirs = Instant::from_seconds(i64::try_from(time_s).unwrap_or(i64::MAX).min(253_402_300_799));
        let write = async {
            let mut tx = self.gateway.store.write().await?;
            witness::put_cosignature(&mut tx, head.id, &cosigned).await?;
            witness::note_clock(&mut tx, &cosigned.witness, theirs, clock::now()).await?;
            tx.commit().await?;
            self.gateway.standing.witnessed_by(self.partner.country);
            Ok::<_, StoreError>(())
        };
        write.await.map_err(|error| error.to_string())?;
        tracing::debug!(partner = %self.partner.country, log = %head.origin, size, "cosigned by the partner");
        Ok(())
    }

    /// Asks how far we ourselves have cosigned the partner's log. A note with our own cosignature that is newer
    /// than what we remember is remembered again: our witness must never sign below it.
    async fn remember(&self, origin: &str) -> Result<(), String> {
        let path = format!("/v1/log/cosigned/{}", origin_hash(origin));
        let Some(bytes) = self.get(path).await? else { return Ok(()) };
        let note = Note::parse(&bytes).map_err(|error| format!("what we cosigned: {error}"))?;
        let checkpoint = Checkpoint::parse(note.text()).map_err(|error| error.to_string())?;
        let directory = self.gateway.directory();
        let own = own_witness_keys(&self.gateway.keys().witness, &directory.cards(self.gateway.country()));
        let at_s = own.iter().find_map(|key| key.cosigned(&note).ok().flatten());
        let theirs = ever_log_keys(&directory.cards(self.partner.country), origin);
        let (Some(at_s), Ok(_), true) = (at_s, note.verify(&theirs), checkpoint.origin.as_str() == origin)
        else {
            return Err("what it shows as our cosignature is none".to_owned());
        };
        let write = async {
            let mut tx = self.gateway.store.write().await?;
            let given_up = witness::alarms(&mut tx).await?.into_iter().any(|alarm| {
                let range =
                    alarm.given_up().filter(|_| alarm.origin == origin && alarm.kind == AlarmKind::Fork);
                let before = alarm.settled_at.is_some_and(|at| i128::from(at_s) * 1000 <= i128::from(at.0));
                before && range.is_some_and(|(kept, lost)| kept < checkpoint.size && checkpoint.size <= lost)
            });
            let taken_up = !given_up && self.compare_memory(&mut tx, &checkpoint, &bytes).await?;
            tx.commit().await?;
            Ok::<_, StoreError>(taken_up)
        };
        if write.await.map_err(|error| error.to_string())? {
            tracing::warn!(
                partner = %self.partner.country, log = %origin, size = checkpoint.size,
                "our witness had cosigned more than this database remembers"
            );
        }
        Ok(())
    }

    /// Takes up a newer memory, and tells whether it did; two cosignatures of ours on two histories are an alarm.
    async fn compare_memory(
        &self,
        tx: &mut Connection,
        shown: &Checkpoint,
        bytes: &[u8],
    ) -> Result<bool, StoreError> {
        let (origin, country) = (shown.origin.as_str(), self.partner.country);
        let kept = witness::witnessed(tx, origin).await?;
        let newest = kept.as_ref().and_then(|kept| Checkpoint::parse(Note::parse(kept).ok()?.text()).ok());
        if newest.as_ref().is_none_or(|newest| newest.size < shown.size) {
            witness::put_witnessed(tx, origin, country.as_str(), bytes).await?;
            return Ok(true);
        }
        if newest.is_some_and(|newest| newest.size == shown.size && newest.root != shown.root) {
            tracing::error!(
                partner = %country, code = %"witness_twice", log = %origin,
                "ALARM: our own witness has cosigned two histories of the partner's log: was it run from two databases?"
            );
        }
        Ok(false)
    }

    /// `GET`; None where there is nothing.
    async fn get(&self, path: String) -> Result<Option<Vec<u8>>, String> {
        match self.ask(Method::GET, path, Vec::new()).await? {
            Answer { status: 200, body, .. } => Ok(Some(body.to_vec())),
            Answer { status: 404, .. } => Ok(None),
            Answer { status, .. } => Err(format!("it answers {status}")),
        }
    }

    /// One question on the partner's line; again where the partner has answered enough of them in this second.
    pub(super) async fn ask(&self, method: Method, path: String, body: Vec<u8>) -> Result<Answer, String> {
        let mut asked = 0;
        loop {
            let question = Question {
                method: method.clone(),
                path: path.clone(),
                content_type: "text/plain; charset=utf-8",
                fields: Vec::new(),
                body: body.clone(),
                within: super::show::ANSWER_WITHIN,
                answer_max_bytes: NOTE_MAX_BYTES,
            };
            let answer = self.lines.ask(self.partner, self.generation, question).await?;
            asked += 1;
            let after = answer.retry_after.filter(|_| answer.status == 429 && asked < ASKED_MAX);
            let Some(after) = after else { return Ok(answer) };
            tokio::time::sleep(after.min(super::show::PAUSE_MAX)).await;
        }
    }
}

/// Holds a note that a partner cosigned of one of our logs against what we hold. Another history than ours is an alarm.
pub(super) async fn hold_against(
    gateway: &Gateway,
    country: Country,
    head: &Head,
    note: &Note,
) -> Result<Seen, String> {
    // Only a note that we signed ourselves can tell us that we have lost something.
    let directory = gateway.directory();
    let own = own_log_keys(&head.origin, &gateway.keys().log, &directory.cards(gateway.country()));
    note.verify(&own).map_err(|error| format!("what it cosigned of {} is not ours: {error}", head.origin))?;
    let checkpoint = Checkpoint::parse(note.text()).map_err(|error| error.to_string())?;
    // All our logs have the same key, and a signature line's name is not signed: the text says which log it is.
    if checkpoint.origin.as_str() != head.origin {
        return Err(format!("what it cosigned is of {}, not of {}", checkpoint.origin, head.origin));
    }
    let ours = compare(&gateway.store, head, &checkpoint).await.map_err(|error| error.to_string())?;
    let Some(ours) = ours else { return Ok(Seen::Ours(checkpoint.size)) };
    let kind = AlarmKind::Rollback;
    let alarm = Alarm::new(country.as_str(), &head.origin, kind, clock::now(), ours, note.encode());
    let raised = async {
        let mut tx = gateway.store.write().await?;
        let raised = witness::raise(&mut tx, &alarm).await?;
        tx.commit().await?;
        Ok::<_, StoreError>(raised)
    };
    if raised.await.map_err(|error| error.to_string())?.is_some() {
        gateway.standing.add_rollback(country);
        tracing::error!(
            partner = %country, code = %"rollback", log = %head.origin, size = checkpoint.size, held = head.size,
            "ALARM: a partner holds a LATER OR OTHER history of our own log: this database was put back or altered. \
             The gateway is READ-ONLY. `silkgate log recover {country}` tells the way out"
        );
    }
    Ok(Seen::Other)
}

/// None where we hold the checkpoint; otherwise the newest one that we do hold.
async fn compare(store: &Store, head: &Head, seen: &Checkpoint) -> Result<Option<Vec<u8>>, StoreError> {
    let mut tx = store.read().await?;
    // Every checkpoint that was ever signed is kept: one that is not there was signed by a lost future.
    let held = ledger::checkpoint(&mut tx, head.id, seen.size).await?;
    let held = held.and_then(|note| Note::parse(&note).ok());
    if held.is_some_and(|note| Checkpoint::parse(note.text()).as_ref() == Ok(seen)) {
        return Ok(None);
    }
    let newest = ledger::heads(&mut tx).await?.into_iter().find(|now| now.id == head.id);
    let size = newest.map_or(head.size, |now| now.size);
    Ok(Some(ledger::checkpoint(&mut tx, head.id, size).await?.unwrap_or_default()))
}
