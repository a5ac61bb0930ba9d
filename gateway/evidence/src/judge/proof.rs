//! Proofs of entries: in the exporter's logs, and in a partner's.

use std::collections::BTreeMap;

use silkgate_ledger::{Checkpoint, Note, Origin, Receipt, Verified};
use silkgate_message::instant::Instant;
use silkgate_message::party::Country;

use super::cards::Cards;

/// The checkpoint that the bundle rests on for each of the exporter's logs. One for each: two could be heads of
/// two histories.
#[derive(Default)]
pub(super) struct Logs(BTreeMap<Origin, Vec<u8>>);

/// An entry that was proved, and who cosigned the checkpoint over it.
pub(super) struct Proved {
    pub(super) verified: Verified,
    pub(super) cosigned: Vec<(Country, Instant)>,
}

impl Logs {
    /// Proves an entry in a log of the exporting state.
    pub(super) fn own(&mut self, cards: &Cards, own: Country, bytes: &[u8]) -> Result<Proved, String> {
        let receipt = Receipt::parse(bytes).map_err(|error| error.to_string())?;
        let note = &receipt.proof().checkpoint;
        let verified = prove(&receipt, cards, own)?;
        let mut cosigned = Vec::new();
        for (country, witness) in cards.witnesses(own) {
            let time = witness.cosigned(note).map_err(|error| error.to_string())?;
            let time = time.map(|seconds| Instant::from_seconds(i64::try_from(seconds).unwrap_or(i64::MAX)));
            cosigned.extend(time.map(|time| (country, time)));
        }
        only_known_lines(note, &verified.origin, cards, own)?;
        let kept = self.0.entry(verified.origin.clone()).or_insert_with(|| note.encode());
        if *kept != note.encode() {
            return Err(format!("two checkpoints of {} in one bundle", verified.origin));
        }
        Ok(Proved { verified, cosigned })
    }
}

/// Proves an entry in a partner's log of its channel with the exporting state. Lines of keys that we do not know
/// stay and prove nothing: the receipt is kept as the partner gave it.
pub(super) fn theirs(
    cards: &Cards,
    partner: Country,
    own: Country,
    bytes: &[u8],
) -> Result<Verified, String> {
    let receipt = Receipt::parse(bytes).map_err(|error| error.to_string())?;
    let verified = prove(&receipt, cards, partner)?;
    if verified.origin.partner() != Some(own.as_str()) {
        return Err(format!("{} is not the log of the channel with {own}", verified.origin));
    }
    Ok(verified)
}

fn prove(receipt: &Receipt, cards: &Cards, state: Country) -> Result<Verified, String> {
    let text = receipt.proof().checkpoint.text();
    let origin = Checkpoint::parse(text).map_err(|error| error.to_string())?.origin;
    if origin.state() != state.as_str() {
        return Err(format!("{origin} is no log of {state}"));
    }
    receipt.verify(&cards.log_keys(&origin)).map_err(|error| error.to_string())
}

/// In the exporter's own proofs every signature line is one that was verified: it chose them all.
fn only_known_lines(note: &Note, origin: &Origin, cards: &Cards, own: Country) -> Result<(), String> {
    let logs: Vec<_> =
        cards.log_keys(origin).iter().map(|key| (key.name().to_owned(), key.key_id())).collect();
    let witnesses: Vec<_> =
        cards.witnesses(own).iter().map(|(_, key)| (key.name().to_owned(), key.key_id())).collect();
    let known = |name: &str, id: u32| logs.iter().chain(&witnesses).any(|(n, i)| n == name && *i == id);
    match note.signatures().iter().find(|line| !known(line.name(), line.key_id())) {
        Some(line) => Err(format!(
            "the checkpoint has a signature line of {}, whose key is on no card here",
            line.name()
        )),
        None => Ok(()),
    }
}
