//! What our logs say is in force: partners, agreements, revocation lists, clients, our own keys. Who writes to the database alone cannot
//! sign a log; what stands in the tables beside it counts where the logs say the same.

mod reader;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use silkgate_ledger::Hash;
use silkgate_ledger::entry::{Entry, Kind};
use silkgate_message::jws::Digest;
use silkgate_message::party::Country;

use crate::store::partner::PartnerRow;
use crate::store::revocation::ListRow;

pub use reader::Reader;

/// What the logs say. Digests are as a log writes them.
#[derive(Clone, Default, PartialEq, Debug, Serialize, Deserialize)]
pub struct Said {
    partners: BTreeMap<String, OfPartner>,
    clients: BTreeSet<String>,
    /// Cards that were ever in force, our own among them.
    cards: BTreeSet<String>,
    /// Our certificates and keys, by part.
    loaded: BTreeMap<String, String>,
    /// The last reconciliations with each partner, the oldest first.
    reconciled: BTreeMap<String, Vec<Reconciliation>>,
}

/// A reconciliation with a partner, as the house log states it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Reconciliation {
    /// When it was noted, milliseconds since 1970, UTC.
    pub at_ms: i64,
    /// [`AGREE`], [`AGREE_SPAN`] or [`DIFFER`]; None: noted by a version that did not say.
    pub verdict: Option<String>,
    /// Whether an operator had it done, and not the gateway by itself.
    pub by_operator: bool,
    /// SHA-256 of the report, base64url.
    pub report: String,
}

/// What the house log calls a reconciliation.
pub const RECONCILED: &str = "reconciled";
/// Its `code` where both sides tell the same.
pub const AGREE: &str = "agree";
/// The same where only messages of a certain time were compared.
pub const AGREE_SPAN: &str = "agree_span";
/// Its `code` where they do not.
pub const DIFFER: &str = "differ";
/// Reconciliations with one partner that are remembered.
const RECONCILED_MAX: usize = 5;

#[derive(Clone, Default, PartialEq, Debug, Serialize, Deserialize)]
struct OfPartner {
    card: Option<String>,
    agreement: Option<String>,
    /// The states it may have: whether a change of the agreement let messages pass again does not stand in its entry.
    states: Vec<String>,
    /// Lists that came into force since the last word that there are none, and the newest.
    lists: BTreeSet<String>,
    newest_list: Option<String>,
}

/// Where what is stored is not what the logs say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// Of which partner.
    pub partner: String,
    /// The place, for an operator.
    pub place: String,
    /// What differs.
    pub what: String,
}

fn text(digest: Hash) -> String {
    Digest(*digest.as_bytes()).to_string()
}

impl Said {
    /// Takes in an entry of the house log.
    pub fn house(&mut self, entry: &Entry) {
        let (Kind::Admin, Some(what)) = (entry.kind, entry.what.as_deref()) else { return };
        let digest = entry.digest.map(text);
        match (what, digest) {
            ("client", Some(digest)) => {
                self.clients.insert(digest);
            }
            ("client_remove", Some(digest)) => {
                self.clients.remove(&digest);
            }
            ("own_card" | "partner_add", Some(digest)) => {
                self.cards.insert(digest);
            }
            (RECONCILED, Some(report)) => {
                let of = self.reconciled.entry(entry.to.clone().unwrap_or_default()).or_default();
                of.push(Reconciliation {
                    at_ms: entry.at.unix_ms(),
                    verdict: entry.code.clone(),
                    by_operator: entry.role.is_some(),
                    report,
                });
                let beyond = of.len().saturating_sub(RECONCILED_MAX);
                of.drain(..beyond);
                return;
            }
            (what, Some(digest)) => {
                if let Some(part) = what.strip_suffix("_loaded") {
                    self.loaded.insert(part.to_owned(), digest);
                }
            }
            _ => {}
        }
        let Some(country) = &entry.to else { return };
        let of = self.partners.entry(country.clone()).or_default();
        let is = |states: &[String], state: &str| matches!(states, [only] if only == state);
        match what {
            // A new card of a partner in force changes nothing else.
            "partner_add" if of.states.is_empty() || is(&of.states, "removed") => {
                of.states = vec!["active".to_owned()];
            }
            "partner_suspend" => of.states = vec!["suspended".to_owned()],
            "partner_remove" => of.states = vec!["removed".to_owned()],
            "agreement" if is(&of.states, "suspended") => of.states.push("active".to_owned()),
            _ => {}
        }
    }

    /// Takes in an entry of the log of the channel with that partner.
    pub fn channel(&mut self, country: &str, entry: &Entry) {
        let (Kind::Admin, Some(what)) = (entry.kind, entry.what.as_deref()) else { return };
        let digest = entry.digest.map(text);
        let of = self.partners.entry(country.to_owned()).or_default();
        match (what, digest) {
            ("card", card) => of.card = card,
            ("agreement", agreement) => of.agreement = agreement,
            ("crl", Some(list)) => {
                of.lists.insert(list.clone());
                of.newest_list = Some(list);
            }
            ("crl_none", _) => (of.lists, of.newest_list) = (BTreeSet::new(), None),
            _ => {}
        }
    }

    /// The digest of what the house log stated last of a part of our keys.
    pub fn loaded(&self, part: &str) -> Option<&str> {
        self.loaded.get(part).map(String::as_str)
    }

    /// The last reconciliations by partner, the oldest first.
    pub fn reconciled(&self) -> &BTreeMap<String, Vec<Reconciliation>> {
        &self.reconciled
    }

    /// Whether the house log states that card.
    fn has_card(&self, digest: Digest) -> bool {
        self.cards.contains(&digest.to_string())
    }

    /// The certificates of clients that the house log says are registered.
    pub fn clients(&self) -> &BTreeSet<String> {
        &self.clients
    }

    /// Whether a partner's row and its lists are what the logs say.
    pub fn states(&self, (row, lists): &(PartnerRow, Vec<ListRow>)) -> bool {
        let found = self.differences(std::slice::from_ref(row), lists);
        found.iter().all(|difference| difference.partner != row.country)
    }

    /// Where partners and their lists are not what the logs say.
    pub fn differences(&self, rows: &[PartnerRow], lists: &[ListRow]) -> Vec<Difference> {
        let mut found = Vec::new();
        let mut find = |partner: &str, place: String, what: String| {
            found.push(Difference { partner: partner.to_owned(), place, what });
        };
        let nothing = OfPartner::default();
        for row in rows {
            let of = self.partners.get(&row.country).unwrap_or(&nothing);
            let place = format!("partner {}", row.country);
            for (what, bytes, stated) in
                [("card", &row.card[..], &of.card), ("agreement", row.agreement.as_bytes(), &of.agreement)]
            {
                if *stated != Some(Digest::of(bytes).to_string()) {
                    let what = format!("its {what} is not the one that the log of the channel states last");
                    find(&row.country, place.clone(), what);
                }
            }
            if !of.states.contains(&row.state) {
                let what = format!("it is {}, which the house log does not state", row.state);
                find(&row.country, place, what);
            }
        }
        let mut held: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for list in lists {
            held.entry(&list.partner).or_default().insert(Digest::of(&list.list).to_string());
        }
        for (country, of) in &self.partners {
            let held = held.remove(country.as_str()).unwrap_or_default();
            let place = || format!("revocation_list of {country}");
            if !held.is_subset(&of.lists) {
                find(country, place(), "a list that the log of the channel does not state".to_owned());
            }
            if of.newest_list.as_ref().is_some_and(|newest| !held.contains(newest)) {
                find(country, place(), "the list that came into force last is not there".to_owned());
            }
        }
        for country in held.into_keys() {
            let place = format!("revocation_list of {country}");
            find(country, place, "a list of a partner that no log states".to_owned());
        }
        found
    }
}

/// The differences by partner, in words; of partners that are none nothing is in force.
fn by_partner(differences: &[Difference]) -> BTreeMap<Country, String> {
    let mut found: BTreeMap<Country, String> = BTreeMap::new();
    for difference in differences {
        let Ok(country) = difference.partner.parse() else { continue };
        let what = format!("{}: {}", difference.place, difference.what);
        found.entry(country).and_modify(|all| *all = format!("{all}; {what}")).or_insert(what);
    }
    found
}

#[cfg(test)]
mod tests {
    use silkgate_ledger::entry::UtcMillis;

    use super::*;

    #[test]
    fn the_last_reconciliations_of_each_partner_are_remembered() {
        let mut said = Said::default();
        let mut note = |at_ms: i64, partner: &str, code: Option<&str>| {
            let mut entry = Entry::new(Kind::Admin, UtcMillis::from_unix_ms(at_ms).unwrap());
            entry.what = Some(RECONCILED.to_owned());
            entry.to = Some(partner.to_owned());
            entry.code = code.map(str::to_owned);
            entry.digest = Some(Hash::from_bytes([7; 32]));
            said.house(&Entry::parse(&entry.encode().unwrap()).unwrap());
        };
        note(1, "SA", None);
        (1..=7).for_each(|at| note(at, "JO", Some(if at == 7 { DIFFER } else { AGREE })));
        let times = |of: &str| said.reconciled()[of].iter().map(|of| of.at_ms).collect::<Vec<_>>();
        assert_eq!((times("SA"), times("JO")), (vec![1], vec![3, 4, 5, 6, 7]));
        assert_eq!(said.reconciled()["JO"][4].verdict.as_deref(), Some(DIFFER));
        assert!(said.partners.is_empty(), "nothing comes into force by it");
    }
}
