//! A partner's word on our logs that a courier brings: the newest checkpoints that it has cosigned.

use silkgate_ledger::{Note, WitnessKey};

use super::guard::{Seen, hold_against};
use crate::directory::{Partner, witness_key};
use crate::gateway::Gateway;
use crate::store::ledger::{self, Head};
use crate::store::witness;

/// Holds what a partner cosigned of our logs against what we hold. Where it has ever cosigned them, its word is given by notes under its
/// cosignature, of every log of which we hold one. An error says why it is not given; another history than ours is an alarm besides.
///
/// A file is older than an answer on the line. What was lost since it was written is found when the line is up again.
pub async fn hear(gateway: &Gateway, partner: &Partner, notes: &[String]) -> Result<(), String> {
    let doubts = gateway.standing.doubts();
    let directory = gateway.directory();
    let cards = directory.cards(partner.country);
    let keys: Vec<WitnessKey> =
        cards.iter().filter_map(|card| witness_key(&card.content().witness).ok()).collect();
    let notes: Vec<Note> = notes.iter().filter_map(|note| Note::parse(note.as_bytes()).ok()).collect();
    for (head, kept) in heads(gateway, partner).await.map_err(|error| error.to_string())? {
        let of_log = |note: &&Note| note.text().lines().next() == Some(head.origin.as_str());
        let mut said = kept == 0;
        for note in notes.iter().filter(of_log) {
            if hold_against(gateway, partner.country, &head, note).await? == Seen::Other {
                return Err(format!(
                    "{} has seen another history of {} than this database holds",
                    partner.country, head.origin
                ));
            }
            said |= keys.iter().any(|key| matches!(key.cosigned(note), Ok(Some(_))));
        }
        if !said {
            return Err(format!(
                "{} has cosigned {}, and the file does not tell what it saw last; `silkgate log confirm {0}` gives the word in its place",
                partner.country, head.origin
            ));
        }
    }
    gateway.standing.confirm(partner.country, doubts);
    Ok(())
}

/// Our log of the channel and the house log, with the newest size that the partner cosigned.
async fn heads(gateway: &Gateway, partner: &Partner) -> Result<Vec<(Head, u64)>, crate::store::StoreError> {
    let mut tx = gateway.store.read().await?;
    let mut heads = Vec::new();
    for head in ledger::heads(&mut tx).await? {
        if head.partner.is_none_or(|country| country == partner.country) {
            let kept = witness::newest_cosigned(&mut tx, head.id, partner.country.as_str()).await?;
            heads.push((head, kept.unwrap_or(0)));
        }
    }
    Ok(heads)
}
