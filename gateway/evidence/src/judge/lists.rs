//! Revocation lists: who made each, when it came into force, and what it says of a message's certificate.

use std::collections::BTreeSet;

use silkgate_ledger::Kind;
use silkgate_message::instant::Instant;
use silkgate_message::json;
use silkgate_message::jws::{Digest, Jws};
use silkgate_message::party::Country;
use silkgate_message::revocation::{RevocationList, is_issued_by};

use super::cards::Cards;
use super::message::{Case, Said, Subject, part};
use crate::bundle::{Listed, Part, Parts, revocation};
use crate::listing::Listing;

/// How far the authority's clock may be ahead of the log's: as far as where a list is put into force.
const SKEW_MS: i64 = 300_000;

/// A list has the digest of its name, and was signed by an authority on a card of the partner, or by one that such an authority certified.
pub(super) fn check(
    cards: &Cards,
    (country, digest): (Country, Digest),
    member: &Listed<'_>,
) -> Said<RevocationList> {
    let fault = |what: &str| format!("the revocation list {digest} {what}");
    if Digest::of(member.list) != digest {
        return Err(fault("has another digest"));
    }
    let list = RevocationList::read(member.list).map_err(|error| fault(&error.to_string()))?;
    let anchors = cards.anchors(country);
    let by = |issuer: &[u8]| RevocationList::is_by(member.list, issuer);
    let (is_by, whose) = match member.above {
        None => (anchors.iter().any(|anchor| by(anchor)), "on a card of"),
        Some(above) => {
            (by(above) && anchors.iter().any(|anchor| is_issued_by(above, anchor)), "below one on a card of")
        }
    };
    if !is_by {
        return Err(fault(&format!("is signed by no authority of {country}")));
    }
    let says = format!(
        "The revocation list {digest} of {} certificates was signed by an authority {whose} {country}.",
        list.serials.len()
    );
    Ok((list, says))
}

impl Case<'_> {
    /// The state of the certificate is what certificate, message, entry and lists say; a sentence for each list.
    pub(super) fn revocation(
        &mut self,
        parts: &Parts<'_>,
        subject: &Subject,
        message: Option<&Jws>,
    ) -> Said<Vec<String>> {
        let (entry, certificate) = (subject.entry(), &subject.certificate);
        let bytes = part(parts, Part::Revocation)?;
        let stated = stated(bytes)?;
        let (mut listings, mut said) = (Vec::new(), Vec::new());
        for digest in stated.iter().flatten() {
            let (listing, says) = self.listing(*digest, subject)?;
            listings.push(listing);
            said.push(says);
        }
        let lists = stated.is_some().then_some(listings.as_slice());
        if bytes != revocation(certificate, message.map(|jws| jws.iat), entry.at, lists) {
            return Err("the state of the certificate is not what certificate, message, entry and lists say"
                .to_owned());
        }
        let names = listings.iter().find(|listing| listing.names);
        let is_refused = entry.kind == Kind::Rejected && entry.code.as_deref() == Some("certificate_revoked");
        let of_lists = match (entry.kind, lists, names) {
            (Kind::Sent, Some([_, ..]), _) => {
                return Err("a message sent stands under no list of the partner's authorities".to_owned());
            }
            (Kind::Received, _, Some(list)) => {
                return Err(format!(
                    "it was accepted, and the revocation list {} names its certificate",
                    list.digest
                ));
            }
            (_, Some(_), None) if is_refused => {
                return Err(
                    "it was refused as revoked, and no revocation list names its certificate".to_owned()
                );
            }
            (_, None, _) => "which revocation lists were in force the bundle does not say".to_owned(),
            (Kind::Sent, ..) => "the exporter holds no revocation list about its own certificates".to_owned(),
            (_, Some([]), _) => {
                format!("no revocation list of {} was in force, by the exporter's word", subject.partner)
            }
            (_, Some(lists), None) => format!("none of {} revocation list(s) in force names it", lists.len()),
            (_, Some(_), Some(list)) => format!("the revocation list {} names it", list.digest),
        };
        let says = format!(
            "The certificate is valid from {} to {}; at {} {of_lists}.",
            certificate.not_before, certificate.not_after, entry.at
        );
        Ok((said, says))
    }

    /// A list came into force by an earlier entry of the message's log.
    fn listing(&mut self, digest: Digest, subject: &Subject) -> Result<(Listing, String), String> {
        let key = (subject.partner, digest);
        let missing = || format!("the revocation list {digest} of {} is not in the bundle", subject.partner);
        let (list, receipt) = self.lists.get(&key).ok_or_else(missing)?;
        let listing = Listing::of(digest, list, &subject.certificate);
        let proved = self.logs.own(self.cards, self.own, receipt)?.verified;
        let states_it = proved.entry.kind == Kind::Admin
            && proved.entry.what.as_deref() == Some("crl")
            && proved.entry.digest.is_some_and(|stated| *stated.as_bytes() == digest.0);
        if !states_it || proved.origin != subject.verified.origin || proved.index >= subject.verified.index {
            return Err(format!(
                "there is no proof that the revocation list {digest} came into force in this log before"
            ));
        }
        let at = Instant(subject.entry().at.unix_ms());
        if listing.this_update > at.plus_ms(SKEW_MS) {
            return Err(format!(
                "the revocation list {digest} is of {}, after the message",
                listing.this_update
            ));
        }
        self.used_lists.insert(key);
        let end = if listing.next_update < at { "had run out" } else { "holds until" };
        let names = if listing.names { "names" } else { "does not name" };
        let says = format!(
            "The revocation list {digest} was in force by entry {} at {}; it is of {}, {end} {}, and {names} the certificate.",
            proved.index, proved.entry.at, listing.this_update, listing.next_update
        );
        Ok((listing, says))
    }
}

/// The digests of the lists in force; None where nothing is said of them, as in the first format.
fn stated(bytes: &[u8]) -> Result<Option<BTreeSet<Digest>>, String> {
    let state =
        json::parse_wrapper(bytes).map_err(|error| format!("the state of the certificate: {error}"))?;
    let unread = || "the state of the certificate names lists otherwise than by digest".to_owned();
    match state.get("v").and_then(|version| version.as_u64()) {
        Some(1) => Ok(None),
        Some(2) => {
            let lists = state.get("lists").and_then(|lists| lists.as_object()).ok_or_else(unread)?;
            lists
                .keys()
                .map(|digest| Digest::parse(digest))
                .collect::<Option<_>>()
                .map(Some)
                .ok_or_else(unread)
        }
        _ => Err("the state of the certificate is of another format".to_owned()),
    }
}
