//! An older database that was put back agrees with itself: only the neighbours know of what is no longer in it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use silkgate_ledger::{Checkpoint, Ed25519Key, Note};
use silkgate_message::card::Card;

use super::super::Cx;
use super::super::client::Client;
use crate::audit::{Report, WitnessReport, WitnessState};
use crate::config::Config;
use crate::directory::{self, Partner};
use crate::keys::{self, Identity};
use crate::store::ledger::{self, Head};
use crate::store::witness::{self, AlarmKind};
use crate::store::{Store, StoreError};
use crate::store::{partner, revocation};
use crate::witness::origin_hash;

/// For one neighbour's word on one log.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// What a partner has seen of our logs and this database does not hold.
pub(in super::super) struct Lost {
    pub(in super::super) partner: String,
    pub(in super::super) origin: String,
    /// The checkpoint under our own signature that it shows.
    pub(in super::super) note: Vec<u8>,
}

/// What a partner shows: the checkpoint, and the note that it stands in.
type Shown = Option<(Checkpoint, Vec<u8>)>;

/// Asks each active partner what it has seen of our log of the channel and of our house log, all at the same time.
pub(in super::super) async fn ask(
    cx: &Cx,
    config: &Config,
    store: &Store,
    offline: bool,
    report: &mut Report,
) -> Result<Vec<Lost>> {
    let (partners, heads, cards) = match read(store, config).await {
        Ok(read) => read,
        // What cannot be read is in the report already.
        Err(error) if error.damage().is_some() && !report.findings.is_empty() => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let log = keys::log(&cx.home)?;
    let own_cards: Vec<&Card> = cards.iter().filter(|c| c.content().country == config.country()).collect();
    let mut questions = Vec::new();
    let mut lost = Vec::new();
    for partner in partners {
        for head in heads.iter().filter(|head| head.partner.is_none_or(|of| of == partner.country)) {
            let identity = Identity::partner_plane(&cx.home)?;
            let (origin, country) = (head.origin.clone(), partner.country);
            let question =
                if offline { None } else { Some(question(&partner, identity, head, &log, &own_cards)?) };
            questions.push((country.to_string(), origin, question.map(tokio::spawn)));
        }
    }
    for (partner, origin, question) in questions {
        let mut answer =
            WitnessReport { partner, origin, state: WitnessState::Offline, size: None, why: None };
        if let Some(question) = question {
            match question.await? {
                Ok(seen) => lost.extend(judge(store, report, &mut answer, seen).await?),
                Err(error) => {
                    answer.state = WitnessState::Unreachable;
                    answer.why = Some(format!("{error:#}"));
                }
            }
        }
        report.witnesses.push(answer);
    }
    Ok(lost)
}

async fn read(store: &Store, config: &Config) -> Result<(Vec<Partner>, Vec<Head>, Vec<Card>), StoreError> {
    let mut tx = store.read().await?;
    let rows = partner::all(&mut tx).await?;
    let lists = revocation::lists(&mut tx).await?;
    let partners = rows.iter().filter_map(|row| Partner::read(row, config.country(), &lists).ok());
    let heads = ledger::heads(&mut tx).await?;
    let cards = partner::cards(&mut tx).await?;
    let cards = cards.iter().filter_map(|(_, bytes)| Card::parse(bytes).ok()).collect();
    Ok((partners.filter(Partner::is_active).collect(), heads, cards))
}

/// What the partner has seen; None: nothing. Only what we signed ourselves counts.
fn question(
    partner: &Partner,
    identity: Identity,
    head: &Head,
    own_log: &[Arc<dyn Ed25519Key>],
    own_cards: &[&Card],
) -> Result<impl Future<Output = Result<Shown>> + Send + 'static> {
    let client = Client::of_partner(partner, identity)?;
    let own = directory::own_log_keys(&head.origin, own_log, own_cards);
    let (origin, path) =
        (head.origin.clone(), format!("/v1/witness/{}/checkpoint", origin_hash(&head.origin)));
    Ok(async move {
        let answer = tokio::time::timeout(ANSWER_WITHIN, client.ask(&path)).await;
        let answer = answer.map_err(|_| anyhow!("no answer within {} s", ANSWER_WITHIN.as_secs()))??;
        match answer.status.as_u16() {
            200 => {
                let note = Note::parse(&answer.body)?;
                note.verify(&own)?;
                let checkpoint = Checkpoint::parse(note.text())?;
                if checkpoint.origin.as_str() != origin {
                    bail!("it shows a checkpoint of another log");
                }
                Ok(Some((checkpoint, answer.body.to_vec())))
            }
            404 => Ok(None),
            status => bail!("it answers {status}"),
        }
    })
}

/// Holds an answer against what we hold now: a gateway that runs beside may have shown more since the audit began.
async fn judge(
    store: &Store,
    report: &mut Report,
    answer: &mut WitnessReport,
    seen: Shown,
) -> Result<Option<Lost>> {
    let mut tx = store.read().await?;
    let heads = ledger::heads(&mut tx).await?;
    let head = heads.iter().find(|head| head.origin == answer.origin);
    let head = head.ok_or_else(|| anyhow!("the log {} is gone", answer.origin))?;
    let size = seen.as_ref().map_or(0, |(seen, _)| seen.size);
    answer.size = Some(size);
    answer.state = if size == head.size { WitnessState::Agrees } else { WitnessState::Behind };
    let Some((seen, note)) = seen else { return Ok(None) };
    // Every checkpoint that was ever signed is kept.
    let held = ledger::checkpoint(&mut tx, head.id, seen.size).await?;
    let held = held.and_then(|note| Note::parse(&note).ok());
    if held.is_some_and(|note| Checkpoint::parse(note.text()).as_ref() == Ok(&seen)) {
        return Ok(None);
    }
    let given_up = witness::alarms(&mut tx).await?.into_iter().any(|alarm| {
        // The partner's own operator may have given it up earlier, or may still have to.
        alarm.kind == AlarmKind::Rollback
            && alarm.origin == answer.origin
            && alarm.partner == answer.partner
            && alarm.given_up().is_some_and(|(kept, lost)| kept < seen.size && seen.size <= lost)
    });
    if given_up {
        answer.state = WitnessState::GivenUp;
        return Ok(None);
    }
    answer.state = WitnessState::Contradicts;
    let what = format!(
        "an older database was put back, or history was rewritten: {} has seen {} entries of it, under our own signature, and this \
         database holds no such history",
        answer.partner, seen.size
    );
    report.find(format!("log {}", answer.origin), what);
    Ok(Some(Lost { partner: answer.partner.clone(), origin: answer.origin.clone(), note }))
}
