//! Shows our logs to each partner as they grow, and keeps the partner's cosignatures.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use silkgate_ledger::entry::Entry;
use silkgate_ledger::tree::{consistency_proof, consistency_tiles};
use silkgate_ledger::{AddCheckpoint, Note, NoteSignature};
use silkgate_message::instant::Instant;
use silkgate_message::party::Country;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::guard::Seen;
use crate::clock;
use crate::directory::Partner;
use crate::gateway::Gateway;
use crate::line::Lines;
use crate::store::ledger::{self, Head};
use crate::store::{Connection, StoreError, witness};

/// For one answer of a witness.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// The longest pause after a failure.
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How often a log is looked at that did not grow here: an operator's command appends to it too.
const POLL: Duration = Duration::from_secs(3);
/// For which a gateway keeps the duty of showing; a little longer than its pauses.
const DUTY_MS: i64 = 8_000;
/// How often new partners are looked for.
const LOOK: Duration = Duration::from_millis(500);

/// Tends every active partner until `stop`, each in a task of its own: a slow one keeps no other waiting.
pub async fn run(gateway: Arc<Gateway>, lines: Arc<Lines>, stop: CancellationToken) {
    let tasks = TaskTracker::new();
    let tended: Arc<std::sync::Mutex<HashSet<Country>>> = Arc::default();
    while !stop.is_cancelled() {
        for partner in gateway.directory().partners().filter(|partner| partner.is_active()) {
            let country = partner.country;
            let lock = || tended.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if !lock().insert(country) {
                continue;
            }
            let (gateway, lines, stop, tended) =
                (gateway.clone(), lines.clone(), stop.clone(), tended.clone());
            tasks.spawn(clock::along(async move {
                tend(&gateway, &lines, country, &stop).await;
                tended.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(&country);
            }));
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = stop.cancelled() => {}
        }
    }
    tasks.close();
    tasks.wait().await;
}

/// What is remembered of one partner between rounds.
#[derive(Default)]
struct Memory {
    /// The doubts about the database when its word on our logs was heard; None: not since this start.
    heard: Option<u64>,
    /// When our logs were first shown to it.
    first_shown: Option<Instant>,
    failures: u32,
    /// The size that it told us it cosigned last, where that is not the one we keep.
    told: HashMap<i64, u64>,
    shown: HashMap<i64, tokio::time::Instant>,
}

/// Goes on as long as the partner is active.
async fn tend(gateway: &Gateway, lines: &Lines, country: Country, stop: &CancellationToken) {
    let mut memory = Memory::default();
    let mut grown = gateway.grown.subscribe();
    let settings = &gateway.config.witness;
    loop {
        let directory = gateway.directory();
        let Some(partner) = directory.partner(country).filter(|partner| partner.is_active()) else {
            return;
        };
        grown.mark_unchanged();
        let doubts = gateway.standing.doubts();
        let partnership = Partnership { gateway, lines, partner, generation: directory.generation };
        let round = tokio::select! {
            round = partnership.round(&mut memory) => round,
            () = stop.cancelled() => return,
        };
        let pause = match round {
            Ok(()) => {
                memory.failures = 0;
                // Not more often than this, however fast the log grows.
                Duration::from_secs(settings.show_seconds)
            }
            Err(what) => {
                memory.failures += 1;
                if memory.failures == 1 || memory.failures.is_multiple_of(20) {
                    tracing::warn!(partner = %country, what, "our logs were not witnessed; trying again");
                }
                Duration::from_millis(250 << memory.failures.min(8)).min(PAUSE_MAX)
            }
        };
        // A database that is back, and in doubt, waits for nothing but the partner's word.
        let again = async {
            tokio::time::sleep(pause).await;
            if memory.failures == 0 {
                tokio::select! {
                    _ = grown.changed() => {}
                    () = tokio::time::sleep(POLL) => {}
                }
            }
        };
        tokio::select! {
            () = again => {}
            () = gateway.standing.doubted_since(doubts) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// One partner, as last read.
pub(super) struct Partnership<'g> {
    pub(super) gateway: &'g Gateway,
    pub(super) lines: &'g Lines,
    pub(super) partner: &'g Partner,
    pub(super) generation: i64,
}

impl Partnership<'_> {
    /// Hears the partner's word if that is still awaited, and shows what has grown.
    async fn round(&self, memory: &mut Memory) -> Result<(), String> {
        if memory.first_shown.is_none() {
            memory.first_shown = self.first_shown().await.map_err(|error| error.to_string())?;
        }
        self.note_age(memory.first_shown).await.map_err(|error| error.to_string())?;
        let doubts = self.gateway.standing.doubts();
        if memory.heard != Some(doubts) {
            self.guard().await?;
            memory.heard = Some(doubts);
            self.gateway.standing.confirm(self.partner.country, doubts);
            tracing::info!(partner = %self.partner.country, "the partner has seen nothing of our logs that we do not hold");
            self.gateway.outbox.notify_one();
        }
        // A history that is known to be the wrong one is shown to nobody; of several gateways one shows it.
        let duty = format!("witness {}", self.partner.country);
        let has_duty =
            self.gateway.store.has_duty(&duty, DUTY_MS).await.map_err(|error| error.to_string())?;
        if self.gateway.standing.read_only().is_some() || !has_duty {
            return Ok(());
        }
        for head in self.heads().await? {
            self.show(&head, memory).await?;
        }
        self.note_age(memory.first_shown).await.map_err(|error| error.to_string())
    }

    async fn first_shown(&self) -> Result<Option<Instant>, StoreError> {
        let mut tx = self.gateway.store.write().await?;
        let shown = witness::first_shown(&mut tx, self.partner.country.as_str(), clock::now()).await?;
        tx.commit().await?;
        Ok(shown)
    }

    /// Our log of the channel, and the house log.
    pub(super) async fn heads(&self) -> Result<Vec<Head>, String> {
        let read = async {
            let mut tx = self.gateway.store.read().await?;
            ledger::heads(&mut tx).await
        };
        let heads: Result<Vec<Head>, StoreError> = read.await;
        let ours = |head: &Head| head.partner.is_none_or(|partner| partner == self.partner.country);
        Ok(heads.map_err(|error| error.to_string())?.into_iter().filter(ours).collect())
    }

    /// Shows one log, if it has grown or was not shown for long.
    async fn show(&self, head: &Head, memory: &mut Memory) -> Result<(), String> {
        let kept = self.newest_cosigned(head).await.map_err(|error| error.to_string())?;
        let idle = Duration::from_secs(self.gateway.config.witness.idle_seconds);
        let recent = memory.shown.get(&head.id).is_some_and(|at| at.elapsed() < idle);
        if head.size == 0 || (kept == head.size && recent) {
            return Ok(());
        }
        let mut old = memory.told.get(&head.id).copied().unwrap_or(kept);
        // The partner's idea of what it cosigned last may differ once: then it says so.
        for _ in 0..2 {
            let request = self.request(head, old).await.map_err(|error| error.to_string())?;
            let path = "/v1/witness/add-checkpoint".to_owned();
            let answer = self.ask(Method::POST, path, request.encode()).await?;
            let size = std::str::from_utf8(&answer.body).ok().and_then(|text| text.trim_end().parse().ok());
            match (answer.status, size) {
                (200, _) => {
                    let note = with_lines(request.note, &answer.body)?;
                    self.keep(head, head.size, &note).await?;
                    memory.told.remove(&head.id);
                    memory.shown.insert(head.id, tokio::time::Instant::now());
                    return Ok(());
                }
                // It has cosigned more than we know: is it what we hold, or a history that was given up?
                (409, Some(size)) if size > kept && self.examine(head).await? == Seen::Other => {
                    return self.explain(head).await;
                }
                (409, Some(size)) if size <= head.size && size != old => {
                    memory.told.insert(head.id, size);
                    old = size;
                }
                (409 | 422, _) => return self.explain(head).await,
                (status, _) => return Err(format!("its witness answers {status}")),
            }
        }
        Err("its witness names another size each time".to_owned())
    }

    /// The witness does not cosign: is it because it has seen another history under our signature?
    async fn explain(&self, head: &Head) -> Result<(), String> {
        match self.examine(head).await? {
            Seen::Other if self.gateway.standing.read_only().is_some() => Ok(()),
            Seen::Other => {
                Err("it holds the history that was given up here; its operator must recover too".to_owned())
            }
            Seen::Ours(_) | Seen::Nothing => {
                Err(format!("its witness refuses {} without a reason", head.origin))
            }
        }
    }

    pub(super) async fn newest_cosigned(&self, head: &Head) -> Result<u64, StoreError> {
        let mut tx = self.gateway.store.read().await?;
        let newest = witness::newest_cosigned(&mut tx, head.id, self.partner.country.as_str()).await?;
        Ok(newest.unwrap_or(0))
    }

    async fn request(&self, head: &Head, old: u64) -> Result<AddCheckpoint, StoreError> {
        let mut tx = self.gateway.store.read().await?;
        let unsound = |what: String| StoreError::Corrupt(format!("{}: {what}", head.origin));
        let note = ledger::checkpoint(&mut tx, head.id, head.size).await?;
        let note = note.ok_or_else(|| unsound("the newest checkpoint is missing".into()))?;
        let note = Note::parse(&note).map_err(|error| unsound(error.to_string()))?;
        let tiles = ledger::tiles(&mut tx, head.id, &consistency_tiles(old, head.size)).await?;
        let proof = consistency_proof(old, head.size, &tiles).map_err(|error| unsound(error.to_string()))?;
        Ok(AddCheckpoint { old, proof, note })
    }

    /// Since when the channel's entries stand without a cosignature.
    async fn note_age(&self, first_shown: Option<Instant>) -> Result<(), StoreError> {
        let mut tx = self.gateway.store.read().await?;
        let country = self.partner.country;
        let heads = ledger::heads(&mut tx).await?;
        let Some(head) = heads.into_iter().find(|head| head.partner == Some(country)) else { return Ok(()) };
        let since = uncosigned_since(&mut tx, &head, country).await?;
        // What is older than our first showing, by an earlier version, is not held against the partner.
        let since = since.map(|since| since.max(first_shown.unwrap_or(since)));
        self.gateway.standing.set_uncosigned(country, since);
        Ok(())
    }
}

/// When the oldest entry was written that the partner has not cosigned.
async fn uncosigned_since(
    conn: &mut Connection,
    head: &Head,
    partner: Country,
) -> Result<Option<Instant>, StoreError> {
    let cosigned = witness::newest_cosigned(conn, head.id, partner.as_str()).await?.unwrap_or(0);
    let Some(body) = ledger::entry(conn, head.id, cosigned).await? else { return Ok(None) };
    Ok(Entry::parse(&body).ok().map(|entry| Instant(entry.at.unix_ms())))
}

/// The checkpoint with the lines of an answer.
fn with_lines(mut note: Note, lines: &[u8]) -> Result<Note, String> {
    let lines = std::str::from_utf8(lines).map_err(|_| "its cosignature is no text".to_owned())?;
    for line in lines.lines() {
        let line = NoteSignature::parse(line).map_err(|error| error.to_string())?;
        note.add_signature(line).map_err(|error| error.to_string())?;
    }
    Ok(note)
}
