//! The audit of revocation lists: each that a channel's log states is kept, and those in force are the newest of them.

use std::collections::BTreeMap;

use silkgate_message::card::Card;
use silkgate_message::instant::Instant;
use silkgate_message::jws::Digest;
use silkgate_message::revocation::{RevocationList, is_issued_by};

use super::Audit;
use crate::store::kept::{self, Kept, Lists};
use crate::store::ledger::{Head, hash, signed};
use crate::store::revocation::{self, ListRow};
use crate::store::{Connection, StoreError, partner};

impl Audit<'_> {
    /// Holds the history of lists, and those in force, against what the logs of the channels state of them, by partner.
    pub(super) async fn lists(
        &mut self,
        conn: &mut Connection,
        heads: &[Head],
        mut said: BTreeMap<String, Lists>,
    ) -> Result<(), StoreError> {
        let mut cards = Vec::new();
        for (country, bytes) in partner::cards(conn).await? {
            cards.extend(Card::parse(&bytes).ok().map(|card| (country, card)));
        }
        let mut in_force = revocation::lists(conn).await?;
        for head in heads {
            let country = head.partner.map(|country| country.to_string()).unwrap_or_default();
            let of_partner = cards.iter().filter(|(of, _)| *of == country);
            let anchors: Vec<&[u8]> = of_partner
                .flat_map(|(_, card)| card.content().tls_anchors.iter().map(Vec::as_slice))
                .collect();
            let mut lists = said.remove(&country).unwrap_or_default();
            let of_partner = in_force.extract_if(.., |row| row.partner == country).collect();
            self.history(conn, head, &mut lists, &anchors).await?;
            self.in_force(conn, head, &lists, of_partner).await?;
        }
        for row in in_force {
            let place = format!("revocation_list of {}", row.partner);
            self.report.find(place, "a list of a partner that no log states");
        }
        Ok(())
    }

    /// Every list that the log states is kept, and no other.
    async fn history(
        &mut self,
        conn: &mut Connection,
        head: &Head,
        lists: &mut Lists,
        anchors: &[&[u8]],
    ) -> Result<(), StoreError> {
        let place = |entry: i64| format!("revocation_history {}/{entry}", head.id);
        let mut last = None;
        while let Some(kept) = kept::next(conn, head.id, last).await? {
            last = Some(kept.entry);
            let place = place(signed(kept.entry));
            if lists.digest(kept.entry) != Some(hash(Digest::of(&kept.list))) {
                self.report.find(&place, "a list that the log of the channel does not state there");
            }
            if !is_by_authority(&kept, anchors) {
                self.report
                    .find(&place, "no authority on a card of the partner made it, or another one is named");
            }
            match kept.issuer() {
                Some(issuer) => lists.keep(kept.entry, issuer),
                None => self.report.find(&place, "it cannot be read"),
            }
        }
        for entry in lists.unkept().map(signed).filter(|entry| *entry >= head.lists_from) {
            self.report.find(place(entry), "the log of the channel states a list that is not there");
        }
        let from = lists.unkept().last().map_or(0, |entry| signed(entry) + 1);
        if head.lists_from < 0 || head.lists_from > from {
            self.report
                .find(format!("log {}", head.origin), "it says that lists are lost which are all there");
        }
        Ok(())
    }

    /// What is in force is the newest list of each issuer, as it is kept.
    async fn in_force(
        &mut self,
        conn: &mut Connection,
        head: &Head,
        lists: &Lists,
        rows: Vec<ListRow>,
    ) -> Result<(), StoreError> {
        let place = format!(
            "revocation_list of {}",
            head.partner.map(|country| country.to_string()).unwrap_or_default()
        );
        let Some(newest) = lists.at(head.size) else {
            // Every list in force was taken into the history when that began.
            self.report.find(place, "the list that came into force last is not kept");
            return Ok(());
        };
        let mut stated = Vec::new();
        for entry in newest {
            stated.extend(kept::of_entry(conn, head.id, entry).await?);
        }
        for row in rows {
            let found = stated.iter().position(|kept| is_same(&row, kept));
            match found {
                Some(at) => drop(stated.swap_remove(at)),
                None => self
                    .report
                    .find(&place, "a list that the log of the channel does not state as the newest"),
            }
        }
        if !stated.is_empty() {
            self.report.find(&place, "the list that came into force last is not there");
        }
        Ok(())
    }
}

/// An anchor made the list; or the authority that stands beside it, which an anchor made.
fn is_by_authority(kept: &Kept, anchors: &[&[u8]]) -> bool {
    match &kept.above {
        None => anchors.iter().any(|anchor| RevocationList::is_by(&kept.list, anchor)),
        Some(above) => {
            RevocationList::is_by(&kept.list, above)
                && anchors.iter().any(|anchor| is_issued_by(above, anchor))
        }
    }
}

/// The row is that list, and says of it what it says itself.
fn is_same(row: &ListRow, kept: &Kept) -> bool {
    let read = RevocationList::read(&kept.list).ok();
    let until = read.map(|list| Instant::from_seconds(list.next_update.unix_timestamp()));
    row.list == kept.list
        && row.above == kept.above
        && Some(row.next_at) == until
        && kept.issuer().is_some_and(|issuer| issuer.0 == row.issuer)
}
