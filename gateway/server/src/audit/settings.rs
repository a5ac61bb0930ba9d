//! Settings in force, held against what the logs say came into force: partners, agreements, clients.

use std::collections::{BTreeMap, BTreeSet};

use silkgate_ledger::Hash;
use silkgate_ledger::entry::{Entry, Kind};
use silkgate_message::jws::Digest;

use super::Audit;
use crate::store::kept::Lists;
use crate::store::ledger::{Head, hash};
use crate::store::{Connection, StoreError, partner};

/// What the logs say is in force.
#[derive(Default)]
pub(super) struct Said {
    partners: BTreeMap<String, OfPartner>,
    clients: BTreeSet<Hash>,
}

#[derive(Default)]
struct OfPartner {
    card: Option<Hash>,
    agreement: Option<Hash>,
    /// The states it may have: whether a change of the agreement let messages pass again does not stand in its entry.
    states: Vec<&'static str>,
    /// Revocation lists that came into force.
    lists: Lists,
}

impl Said {
    /// Takes in an entry of the house log.
    pub(super) fn house(&mut self, entry: &Entry) {
        let (Kind::Admin, Some(what)) = (entry.kind, entry.what.as_deref()) else { return };
        match (what, entry.digest) {
            ("client", Some(digest)) => {
                self.clients.insert(digest);
            }
            ("client_remove", Some(digest)) => {
                self.clients.remove(&digest);
            }
            _ => {}
        }
        let Some(country) = &entry.to else { return };
        let of = self.partners.entry(country.clone()).or_default();
        match what {
            // A new card of a partner in force changes nothing else.
            "partner_add" if of.states.is_empty() || of.states == ["removed"] => of.states = vec!["active"],
            "partner_suspend" => of.states = vec!["suspended"],
            "partner_remove" => of.states = vec!["removed"],
            "agreement" if of.states == ["suspended"] => of.states.push("active"),
            _ => {}
        }
    }

    /// Takes in an entry of the log of the channel with that partner.
    pub(super) fn channel(&mut self, country: &str, index: u64, entry: &Entry) {
        let (Kind::Admin, Some(what)) = (entry.kind, entry.what.as_deref()) else { return };
        let of = self.partners.entry(country.to_owned()).or_default();
        of.lists.state(index, entry);
        match what {
            "card" => of.card = entry.digest,
            "agreement" => of.agreement = entry.digest,
            _ => {}
        }
    }
}

impl Audit<'_> {
    /// What is in force is what the logs say came into force last.
    pub(super) async fn settings(&mut self, conn: &mut Connection, heads: &[Head]) -> Result<(), StoreError> {
        let said = std::mem::take(&mut self.said);
        let nothing = OfPartner::default();
        for row in partner::all(conn).await? {
            let of = said.partners.get(&row.country).unwrap_or(&nothing);
            let place = format!("partner {}", row.country);
            for (what, bytes, stated) in
                [("card", &row.card[..], of.card), ("agreement", row.agreement.as_bytes(), of.agreement)]
            {
                if stated != Some(hash(Digest::of(bytes))) {
                    self.report.find(
                        &place,
                        format!("its {what} is not the one that the log of the channel states last"),
                    );
                }
            }
            if !of.states.contains(&row.state.as_str()) {
                self.report.find(&place, format!("it is {}, which the house log does not state", row.state));
            }
        }
        self.lists(conn, heads, said.partners.into_iter().map(|(country, of)| (country, of.lists)).collect())
            .await?;
        let registered: BTreeSet<Hash> =
            partner::clients(conn).await?.iter().map(|row| hash(row.certificate)).collect();
        for digest in registered.symmetric_difference(&said.clients) {
            let what = if registered.contains(digest) {
                "is registered, and the house log does not state it"
            } else {
                "is registered by the house log, and is not there"
            };
            self.report.find("client", format!("the certificate {} {what}", Digest(*digest.as_bytes())));
        }
        Ok(())
    }
}
