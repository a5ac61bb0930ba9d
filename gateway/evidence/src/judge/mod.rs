//! The judge: every check of a bundle, in a sentence, from the file alone.
//!
//! It assumes a hostile exporter who holds every key of one state. What such a one can still make up is its
//! own log; what binds it is the other state's signature on a message, receipt or cosignature. The card keys
//! are the roots: a reader compares their fingerprints with what the two states published.

pub(crate) mod cards;
mod lists;
mod message;
mod proof;
mod trial;

use std::collections::BTreeSet;

use silkgate_message::card::Fingerprint;
use silkgate_message::jws::SigningCertificate;
use silkgate_message::party::Country;

use crate::bundle::Layout;
use crate::container::{self, Members};
use crate::edition;
use crate::manifest::{self, Manifest};
use cards::Cards;
use proof::Logs;
pub use trial::Check;
use trial::Trial;

/// What the judge found.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Judgement {
    /// Whether every check passed.
    pub valid: bool,
    /// The checks in order; the first that fails ends those that rest on it.
    pub checks: Vec<Check>,
}

/// Judges a bundle. `pins` are fingerprints of card keys that the reader knows from elsewhere.
pub fn judge(bytes: &[u8], pins: &[(Country, Fingerprint)]) -> Judgement {
    let mut trial = Trial::default();
    // None: a check failed, and the trial holds it.
    let _ = whole(&mut trial, bytes, pins);
    let checks = trial.checks();
    Judgement { valid: checks.iter().all(|check| check.passed), checks }
}

fn whole(trial: &mut Trial, bytes: &[u8], pins: &[(Country, Fingerprint)]) -> Option<()> {
    let members = trial.pass("container", container(bytes))?;
    let layout = trial.pass("members", layout(&members))?;
    let cards = trial.pass("cards", Cards::read(&layout.cards))?;
    for said in cards.fingerprints() {
        trial.say("fingerprint", said);
    }
    trial.pass("pinned fingerprints", cards.pinned(pins))?;
    let manifest = trial.pass("manifest", signed(&members, &cards))?;
    let own = manifest.content.exported_by.country();
    trial.pass("digests", covered(&manifest, &members))?;
    let mut editions = std::collections::BTreeMap::new();
    for (digest, texts) in &layout.editions {
        let checked = edition::check(digest, texts).map_err(|what| format!("the edition {digest}: {what}"));
        let edition = trial.pass(
            "edition",
            checked.map(|found| {
                let says = format!(
                    "{} version {}: the digests of its files give the edition {digest}, and the texts of schemas and rules are those.",
                    found.kind, found.version
                );
                (found, says)
            }),
        )?;
        editions.insert(*digest, edition);
    }
    let mut lists = std::collections::BTreeMap::new();
    for (key, member) in &layout.lists {
        let list = trial.pass("revocation list", lists::check(&cards, *key, member))?;
        lists.insert(*key, (list, member.receipt));
    }
    let mut case = message::Case {
        own,
        cards: &cards,
        editions,
        lists,
        logs: Logs::default(),
        used: BTreeSet::new(),
        used_lists: BTreeSet::new(),
        seen: BTreeSet::new(),
    };
    let count = layout.messages.len();
    let mut partners = BTreeSet::from([own]);
    let mut all = Some(());
    for (at, parts) in layout.messages.iter().enumerate() {
        trial.about((count > 1).then(|| format!("{:04}", at + 1)));
        match case.judge(trial, parts) {
            Some(partner) => drop(partners.insert(partner)),
            None => all = None,
        }
    }
    trial.about(None);
    all?;
    trial.pass("nothing beside", nothing_beside(&case, &partners))
}

fn container(bytes: &[u8]) -> Result<(Members, String), String> {
    let members = container::decode(bytes).map_err(|error| error.to_string())?;
    let says = format!("The file is a bundle in its one spelling, with {} members.", members.len());
    Ok((members, says))
}

fn layout(members: &Members) -> Result<(Layout<'_>, String), String> {
    let layout = Layout::read(members)?;
    let says = format!("Every member has its place; {} message(s).", layout.messages.len());
    Ok((layout, says))
}

/// The manifest is signed by a signing certificate on a card of the exporting state.
fn signed(members: &Members, cards: &Cards) -> Result<(Manifest, String), String> {
    let bytes = members.get(manifest::NAME).ok_or("the manifest is missing")?;
    let manifest = Manifest::parse(bytes).map_err(|what| format!("the manifest: {what}"))?;
    let by = &manifest.content.exported_by;
    let found = cards.certificate(by.country(), &manifest.thumbprint);
    let certificate: SigningCertificate =
        found.ok_or_else(|| format!("the manifest's certificate is on no card of {}", by.country()))?;
    if !manifest.verify(&certificate) {
        return Err("the manifest's signature does not verify".to_owned());
    }
    if !(certificate.not_before..=certificate.not_after).contains(&manifest.exported_at) {
        return Err("the manifest's certificate was not valid when the bundle was made".to_owned());
    }
    let says = format!(
        "{by} exported the bundle at {}; its manifest is signed with a certificate on the card of {}.",
        manifest.exported_at,
        by.country()
    );
    Ok((manifest, says))
}

fn covered(manifest: &Manifest, members: &Members) -> Result<((), String), String> {
    manifest.covers(members)?;
    Ok(((), "The manifest names every member with its digest, and no other.".to_owned()))
}

/// Every card is of a state that exchanged a message here, and every edition judged one.
fn nothing_beside(case: &message::Case<'_>, partners: &BTreeSet<Country>) -> Result<((), String), String> {
    if let Some(country) = case.cards.countries().find(|country| !partners.contains(country)) {
        return Err(format!("a card of {country} is in the bundle, and no message of that state"));
    }
    if let Some(digest) = case.editions.keys().find(|digest| !case.used.contains(digest)) {
        return Err(format!("the edition {digest} is in the bundle, and no message was judged by it"));
    }
    if let Some((country, digest)) = case.lists.keys().find(|key| !case.used_lists.contains(key)) {
        return Err(format!(
            "the revocation list {digest} of {country} is in the bundle, and no message stood under it"
        ));
    }
    Ok(((), "Nothing is in the bundle that no check rests on, but for the summary page.".to_owned()))
}
