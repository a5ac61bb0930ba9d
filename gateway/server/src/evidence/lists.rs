//! The revocation lists that a message was judged by.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use anyhow::{Result, anyhow};
use silkgate_evidence::{Bundle, Listing};
use silkgate_message::jws::Digest;
use silkgate_message::party::Country;
use silkgate_message::revocation::RevocationList;

use super::gather::{Gathering, Plan};
use crate::store::kept::{self, Kept};
use crate::store::{Connection, proof};

/// Lists of a bundle, by log and digest.
#[derive(Default)]
pub(super) struct Listed(HashMap<(i64, Digest), OfList>);

struct OfList {
    partner: Country,
    kept: Kept,
    read: RevocationList,
    /// Proof of the entry that put it into force.
    receipt: Vec<u8>,
}

impl Listed {
    /// Adds all to the bundle.
    pub(super) fn put(self, bundle: &mut Bundle) {
        for of_list in self.0.into_values() {
            bundle.list(of_list.partner, of_list.kept.list, of_list.kept.above, of_list.receipt);
        }
    }
}

impl Gathering<'_> {
    /// What the lists that were in force say of the message's certificate; each list is read once, into `listed`. None: which were is not
    /// known.
    pub(super) async fn lists(
        &self,
        conn: &mut Connection,
        plan: &Plan<'_>,
        sizes: &HashMap<i64, u64>,
        listed: &mut Listed,
    ) -> Result<Option<Vec<Listing>>> {
        let (Some(entries), Some(found)) = (&plan.lists, self.found.get(&plan.log)) else { return Ok(None) };
        let signer = self.signer(plan)?;
        let mut listings = Vec::new();
        for entry in entries {
            let lost = || {
                anyhow!("the revocation list of entry {entry} is not as it was; run `silkgate audit verify`")
            };
            let digest =
                found.lists.digest(*entry).map(|stated| Digest(*stated.as_bytes())).ok_or_else(lost)?;
            let key = (plan.log, digest);
            let of_list = match listed.0.entry(key) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => {
                    let kept = kept::of_entry(conn, plan.log, *entry).await?.ok_or_else(lost)?;
                    let read = RevocationList::read(&kept.list).map_err(|_| lost())?;
                    // One that came into force twice is proved by the first time, which was before every message under it.
                    let first = found.lists.first(digest).unwrap_or(*entry);
                    let size = sizes.get(&plan.log).copied().unwrap_or_default();
                    let receipt =
                        self.with_known_lines(&proof::witnessed(conn, plan.log, first, size).await?)?;
                    let partner = found.partner.ok_or_else(lost)?;
                    place.insert(OfList { partner, kept, read, receipt })
                }
            };
            listings.push(Listing::of(digest, &of_list.read, &signer));
        }
        Ok(Some(listings))
    }
}
