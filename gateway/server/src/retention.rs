//! Retention: payloads are erased when their day has come, and the keys of that day destroyed.

use std::sync::Arc;
use std::time::Duration;

use silkgate_message::agreement::{Agreement, Direction};
use silkgate_message::catalogue::Catalogue;
use silkgate_message::event;
use silkgate_message::jws::Jws;
use tokio_util::sync::CancellationToken;

use crate::accept::{Answer, Due, Work};
use crate::clock;
use crate::conform::erase_day;
use crate::directory::Directory;
use crate::gateway::Gateway;
use crate::store::message::{self, Message, Way};
use crate::store::payload::{self, Payload};
use crate::store::{Store, StoreError, erasure, witness};

/// Messages in one transaction, at most.
const PAGE: u32 = 100;
/// How long readers may keep the write-ahead log from being emptied; the next round tries again.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs until `stop`. What a crash left undone is done in the next round.
pub async fn run(gateway: Arc<Gateway>, stop: CancellationToken) {
    let every = Duration::from_secs(gateway.config.retention.every_seconds.max(1));
    let mut first = true;
    while !stop.is_cancelled() {
        tokio::select! {
            done = round(&gateway, first) => match done {
                Ok(whole) => first &= !whole,
                Err(error) => {
                    tracing::error!(%error, "retention: payloads whose day has come could not be erased");
                }
            },
            () = stop.cancelled() => return,
        }
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// One look; true where none of what is due had to wait for a partner's word. `first`: also for what a backup brought
/// back.
async fn round(gateway: &Gateway, first: bool) -> Result<bool, StoreError> {
    let store = &gateway.store;
    let today = clock::now().day();
    let mut due = store.keys().live(today).await?;
    let ended: Vec<i64> = due.iter().map(|(key, _)| *key).collect();
    if first {
        // A database from a backup holds what was erased since, and nobody can read it any more.
        for (key, partner) in store.keys().destroyed().await? {
            if !payload::under(&mut store.read().await?, key, 0, 1).await?.is_empty() {
                due.push((key, partner));
            }
        }
    }
    let agrees = witness::clock_agrees(&mut store.read().await?, clock::now()).await?;
    if agrees {
        let mut tx = store.write().await?;
        erasure::forget_reasons(&mut tx, today).await?;
        tx.commit().await?;
    } else if !due.is_empty() {
        // A clock that jumped ahead must destroy nothing.
        tracing::error!(
            day_keys = due.len(),
            "retention: NOTHING IS ERASED although payloads are due: no partner's cosignature of the last hour confirms our clock"
        );
        return Ok(false);
    }
    let (mut erased, mut waiting, mut done) = (0, 0, Vec::new());
    for (key, partner) in &due {
        match erase_under(gateway, *key, partner).await? {
            Ok((gone, kept)) => {
                erased += gone;
                waiting += kept;
                done.push(*key);
            }
            Err(why) => tracing::warn!(partner, why, "retention: payloads that are due wait"),
        }
    }
    let whole = done.len() == due.len();
    done.retain(|key| ended.contains(key));
    let keys_destroyed = store.destroy_unused(&done).await?;
    // Also for what an operator's command erased while a reader was in its way.
    let files_clean = store.fold(PATIENCE).await?;
    if !due.is_empty() {
        tracing::info!(
            erased,
            waiting,
            keys_destroyed,
            files_clean,
            "retention: payloads erased whose day has come"
        );
    }
    Ok(whole)
}

/// Erases what is under a day key: how many payloads went, and how many something still needs; or why none may go.
async fn erase_under(
    gateway: &Gateway,
    key: i64,
    partner: &str,
) -> Result<Result<(usize, usize), String>, StoreError> {
    let Ok(partner) = partner.parse() else {
        return Err(StoreError::Corrupt("day_key.partner is no country".into()));
    };
    let (mut erased, mut waiting, mut last) = (0, 0, 0);
    loop {
        let seqs = payload::under(&mut gateway.store.read().await?, key, last, PAGE).await?;
        let Some(newest) = seqs.last() else { return Ok(Ok((erased, waiting))) };
        last = *newest;
        match gateway.accept.commit(Work::Erase(Due { partner, seqs })).await {
            Answer::Erased { erased: gone, waiting: kept } => {
                erased += gone;
                waiting += kept;
            }
            Answer::Failed(problem) | Answer::Refused(problem) => return Ok(Err(problem.detail)),
            _ => return Ok(Err("no answer".to_owned())),
        }
    }
}

/// Encrypts the payloads of a home of an older version, and removes every trace of their plain bytes. A crash in
/// between costs nothing: the next start goes on.
pub async fn encrypt_plain(store: &Store, directory: &Directory) -> Result<(), StoreError> {
    if store.is_encrypted().await? {
        return Ok(());
    }
    let mut count = 0;
    loop {
        let mut tx = store.write().await?;
        let page = payload::plain(&mut tx, PAGE).await?;
        if page.is_empty() {
            break;
        }
        count += page.len();
        let mut payloads = Vec::with_capacity(page.len());
        for (seq, bytes) in page {
            let missing = || StoreError::Corrupt(format!("payload {seq} without its message"));
            let row = message::by_seq(&mut tx, seq).await?.ok_or_else(missing)?;
            let day = day_of(directory, &row, &bytes);
            payloads.push(Payload {
                seq,
                way: row.way,
                partner: row.partner,
                digest: row.digest,
                day,
                bytes,
                terms: Vec::new(),
            });
        }
        payload::replace(&mut tx, store.keys(), &payloads).await?;
        tx.commit().await?;
        tracing::info!(count, "payloads of the older version encrypted");
    }
    store.compact().await?;
    tracing::info!(count, "all payloads are encrypted");
    Ok(())
}

/// The retention day of a payload that was taken before there were any.
fn day_of(directory: &Directory, row: &Message, bytes: &[u8]) -> i64 {
    let way = match row.way {
        Way::Received => Direction::Receive,
        Way::Sent => Direction::Send,
    };
    let country = row.partner.parse().ok();
    let agreed =
        country.and_then(|country| directory.partner(country)).map(|partner| partner.agreement.clone());
    let Some(agreement) = agreed.or_else(|| country.map(Agreement::empty)) else { return row.at.day() };
    let event = Jws::parse(bytes).ok().map(|jws| jws.event);
    let read = event.as_ref().and_then(|event| Some((event, event::read(event).ok()?.dataschema)));
    let known = read.and_then(|(event, schema)| Some((Catalogue::embedded().by_schema_id(&schema)?, event)));
    match known {
        Some((message_type, event)) => erase_day(&agreement, way, message_type, event, row.at),
        None => agreement.retention_day(way, &row.kind, None, row.at),
    }
}
