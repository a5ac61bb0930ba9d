//! One message: its entry in the exporter's log, and everything that must agree with it.

use std::collections::{BTreeMap, BTreeSet};

use silkgate_ledger::{Entry, Hash, Kind, Origin, Verdict, Verified};
use silkgate_message::card::Card;
use silkgate_message::json;
use silkgate_message::jws::{Digest, Jws, SigningCertificate};
use silkgate_message::party::Country;
use silkgate_message::revocation::RevocationList;

use super::cards::{Cards, certificate_on};
use super::proof::{self, Logs, Proved};
use super::trial::Trial;
use crate::bundle::{Part, Parts};
use crate::edition::Edition;

/// What the messages of a bundle share.
pub(super) struct Case<'c> {
    /// The exporting state.
    pub(super) own: Country,
    pub(super) cards: &'c Cards,
    pub(super) editions: BTreeMap<Digest, Edition>,
    /// By partner and digest, each with the proof of the entry that put it into force.
    pub(super) lists: BTreeMap<(Country, Digest), (RevocationList, &'c [u8])>,
    pub(super) logs: Logs,
    /// Editions that a message was judged by.
    pub(super) used: BTreeSet<Digest>,
    /// Revocation lists that a message was judged by.
    pub(super) used_lists: BTreeSet<(Country, Digest)>,
    /// Entries of messages so far.
    pub(super) seen: BTreeSet<(Origin, u64)>,
}

/// A message's entry, and what the other parts are held against.
pub(super) struct Subject {
    pub(super) verified: Verified,
    pub(super) partner: Country,
    /// The signing certificate.
    pub(super) certificate: SigningCertificate,
}

impl Subject {
    pub(super) fn entry(&self) -> &Entry {
        &self.verified.entry
    }
}

/// The end of a sentence, or what is wrong.
pub(super) type Said<T> = Result<(T, String), String>;

impl<'c> Case<'c> {
    /// Judges one message; gives the partner it was exchanged with, or None where a check failed.
    pub(super) fn judge(&mut self, trial: &mut Trial, parts: &Parts<'_>) -> Option<Country> {
        let (proved, partner) = trial.pass("entry", self.entry(parts))?;
        trial.say("cosignatures", cosignatures(&proved, partner));
        let verified = proved.verified;
        let card = trial.pass("card in force", self.card(parts, &verified, partner))?;
        trial.pass("agreement in force", self.agreement(parts, &verified))?;
        let signer = trial.pass("certificate", self.signer(&verified.entry, partner, card))?;
        let subject = Subject { verified, partner, certificate: signer };
        let message = trial.pass("message", self.message(parts, &subject))?;
        for said in trial.pass("revocation", self.revocation(parts, &subject, message.as_ref()))? {
            trial.say("revocation list", said);
        }
        let receipt = trial.pass("outcome", self.outcome(parts, &subject))?;
        trial.pass("problem", problem(parts, &subject, receipt.as_ref()))?;
        trial.pass("schema and rules", self.edition(&subject, message.as_ref()))?;
        Some(partner)
    }

    /// Proves the entry, and that it is one of a message of the channel with a partner.
    fn entry(&mut self, parts: &Parts<'_>) -> Said<(Proved, Country)> {
        let proved = self.logs.own(self.cards, self.own, part(parts, Part::Entry)?)?;
        let Verified { entry, origin, index, size, .. } = &proved.verified;
        let partner: Option<Country> = origin.partner().and_then(|partner| partner.parse().ok());
        let partner = partner.filter(|partner| *partner != self.own);
        let partner = partner.ok_or_else(|| format!("{origin} is no log of a channel"))?;
        let way = match (entry.kind, entry.verdict) {
            (Kind::Sent, _) => Some((self.own, partner)),
            (Kind::Received, _) => Some((partner, self.own)),
            (Kind::Rejected, Some(_)) => None,
            _ => return Err("its entry is about no message with a verdict".to_owned()),
        };
        if let Some((from, to)) = way
            && (state(&entry.from) != Some(from.as_str()) || state(&entry.to) != Some(to.as_str()))
        {
            return Err(format!("its entry is of other states than {from} and {to}"));
        }
        if !self.seen.insert((origin.clone(), *index)) {
            return Err("the same message stands in the bundle before".to_owned());
        }
        let verdict = entry.verdict.map_or(String::new(), |verdict| format!(", {}", verdict.as_str()));
        let code = entry.code.as_ref().map_or(String::new(), |code| format!(" ({code})"));
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "?".to_owned());
        let says = format!(
            "Entry {index} of the {size} under the signed checkpoint of {origin} states at {}: {} {} {} from {} to {}{verdict}{code}.",
            entry.at,
            entry.kind.as_str(),
            text(&entry.message_type),
            text(&entry.id),
            text(&entry.from),
            text(&entry.to),
        );
        Ok(((proved, partner), says))
    }

    /// An administrative entry of the same log before the message's: the digest that came into force.
    fn in_force(
        &mut self,
        parts: &Parts<'_>,
        which: Part,
        what: &str,
        verified: &Verified,
    ) -> Result<Hash, String> {
        let proved = self.logs.own(self.cards, self.own, part(parts, which)?)?.verified;
        let is_that = proved.entry.kind == Kind::Admin && proved.entry.what.as_deref() == Some(what);
        if !is_that || proved.origin != verified.origin || proved.index >= verified.index {
            return Err(format!(
                "{} is no proof of a {what} that came into force in this log before",
                which.as_str()
            ));
        }
        proved.entry.digest.ok_or_else(|| format!("the {what}'s entry has no digest"))
    }

    fn card(&mut self, parts: &Parts<'_>, verified: &Verified, partner: Country) -> Said<&'c Card> {
        let digest = self.in_force(parts, Part::Card, "card", verified)?;
        let cards = self.cards;
        let card = cards.find(partner, digest.as_bytes());
        let card = card.ok_or_else(|| format!("no card of {partner} has the digest that came into force"))?;
        let says = format!(
            "The card of {partner} in force was version {}, by an earlier entry of the same log.",
            card.content().version
        );
        Ok((card, says))
    }

    fn agreement(&mut self, parts: &Parts<'_>, verified: &Verified) -> Said<()> {
        let digest = self.in_force(parts, Part::Agreement, "agreement", verified)?;
        let text = match parts.get(&Part::AgreementText) {
            Some(text) if Digest::of(text).0 != *digest.as_bytes() => {
                return Err("the agreement's text is not the one that came into force".to_owned());
            }
            Some(_) => "; its text is in the bundle",
            None => "; its text is not in the bundle, since another one is in force by now",
        };
        Ok((
            (),
            format!(
                "The agreement {} was in force, by an earlier entry of the same log{text}.",
                digest.to_base64url()
            ),
        ))
    }

    /// The certificate that the entry names is on the sender's card: of a partner's message on the one in force.
    fn signer(&self, entry: &Entry, partner: Country, card: &Card) -> Said<SigningCertificate> {
        let thumbprint = entry.cert.map(|hash| Digest(*hash.as_bytes()));
        let thumbprint = thumbprint.ok_or("its entry names no certificate")?;
        let (sender, found) = match entry.kind {
            Kind::Sent => (self.own, self.cards.certificate(self.own, &thumbprint)),
            _ => (partner, certificate_on(card, &thumbprint)),
        };
        let found =
            found.ok_or_else(|| format!("the certificate {thumbprint} is not on the card of {sender}"))?;
        Ok((found, format!("The certificate {thumbprint} is on the card of {sender}.")))
    }

    /// The message is the entry's and its sender signed it; or the log says why it was erased.
    fn message(&mut self, parts: &Parts<'_>, subject: &Subject) -> Said<Option<Jws>> {
        let entry = subject.entry();
        match (entry.kind, parts.get(&Part::Message), parts.get(&Part::Erased)) {
            (Kind::Rejected, None, None) => {
                let digest = entry.jws.map(|hash| hash.to_base64url()).ok_or("its entry has no digest")?;
                Ok((
                    None,
                    format!(
                        "Bodies of refused messages are not kept; the one with the digest {digest} is meant."
                    ),
                ))
            }
            (Kind::Sent | Kind::Received, Some(bytes), None) => {
                let jws = Jws::parse(bytes)
                    .map_err(|problem| format!("the message: {} {}", problem.code, problem.detail))?;
                same(entry, &jws)?;
                jws.verify(&subject.certificate)
                    .map_err(|code| format!("the message's signature: {code}"))?;
                if !(subject.certificate.not_before..=subject.certificate.not_after).contains(&jws.iat) {
                    return Err("the certificate was not valid when the message was signed".to_owned());
                }
                let says = format!(
                    "The message has the entry's digest {}, id, parties and type, and was signed at {} with that certificate, which was valid.",
                    jws.digest(),
                    jws.iat
                );
                Ok((Some(jws), says))
            }
            (Kind::Sent | Kind::Received, None, Some(bytes)) => {
                let erased = self.logs.own(self.cards, self.own, bytes)?.verified;
                let names_it = erased.entry.kind == Kind::Erased
                    && erased.entry.of.as_deref() == Some(&subject.verified.index.to_string());
                let alike = (&erased.entry.id, &erased.entry.jws, &erased.entry.message_type)
                    == (&entry.id, &entry.jws, &entry.message_type);
                if !names_it
                    || !alike
                    || erased.origin != subject.verified.origin
                    || erased.index <= subject.verified.index
                {
                    return Err("the entry of an erasure is not about this message".to_owned());
                }
                let rule = erased.entry.rule.unwrap_or_default();
                Ok((
                    None,
                    format!(
                        "The payload was erased by the rule {rule}, says entry {} at {}; its digest stands.",
                        erased.index, erased.entry.at
                    ),
                ))
            }
            _ => {
                Err("there must be the message or the proof of its erasure, and of a refused message neither"
                    .to_owned())
            }
        }
    }

    /// Of a message sent: what became of it, and the partner's receipt where there is one.
    fn outcome(&mut self, parts: &Parts<'_>, subject: &Subject) -> Said<Option<Entry>> {
        let entry = subject.entry();
        let theirs = parts.get(&Part::Partner);
        let Some(bytes) = parts.get(&Part::Outcome) else {
            return match (entry.kind, theirs) {
                (_, Some(_)) => Err("a partner's receipt without the entry of the outcome".to_owned()),
                (Kind::Sent, None) => Ok((
                    None,
                    "The log states no outcome yet: this proves that it was taken over to be sent."
                        .to_owned(),
                )),
                (_, None) => Ok((None, "The verdict is the exporter's own.".to_owned())),
            };
        };
        if entry.kind != Kind::Sent {
            return Err("only a message sent has an outcome".to_owned());
        }
        let outcome = self.logs.own(self.cards, self.own, bytes)?.verified;
        let same_log = outcome.origin == subject.verified.origin && outcome.index > subject.verified.index;
        let fits = match outcome.entry.kind {
            Kind::Receipted | Kind::Expired => same_log,
            // What was given up is noted in the house log.
            Kind::Dead => {
                outcome.origin.is_house() && outcome.origin.host() == subject.verified.origin.host()
            }
            _ => false,
        };
        if !fits || !alike(entry, &outcome.entry) {
            return Err("the entry of the outcome is not about this message".to_owned());
        }
        let code = outcome.entry.code.clone();
        let (Kind::Receipted, Some(verdict)) = (outcome.entry.kind, outcome.entry.verdict) else {
            let why = code.unwrap_or_default();
            return match theirs {
                Some(_) => Err("a partner's receipt of a message without a verdict".to_owned()),
                None => Ok((
                    None,
                    format!(
                        "No verdict came back: entry {} of {} says {} ({why}).",
                        outcome.index,
                        outcome.origin,
                        outcome.entry.kind.as_str()
                    ),
                )),
            };
        };
        let bytes = theirs.ok_or("the partner's receipt is missing")?;
        let receipt = proof::theirs(self.cards, subject.partner, self.own, bytes)
            .map_err(|what| format!("the partner's receipt: {what}"))?;
        let kind = if verdict == Verdict::Accepted { Kind::Received } else { Kind::Rejected };
        let agrees = receipt.entry.kind == kind
            && receipt.entry.verdict == Some(verdict)
            && receipt.entry.code == code;
        let certificate = receipt.entry.cert.is_none_or(|cert| Some(cert) == entry.cert);
        if !agrees || !certificate || !alike(entry, &receipt.entry) {
            return Err("the partner's receipt proves something else than the logged outcome".to_owned());
        }
        let code = code.map_or(String::new(), |code| format!(" ({code})"));
        let says = format!(
            "The log of {} holds at index {}: {}{code} at {}; the exporter's log says the same.",
            receipt.origin,
            receipt.index,
            verdict.as_str(),
            receipt.entry.at
        );
        Ok((Some(receipt.entry), says))
    }

    /// The edition that judged the message, and that its schema is the message's.
    fn edition(&mut self, subject: &Subject, message: Option<&Jws>) -> Said<()> {
        let entry = subject.entry();
        let Some(schema) = entry.schema else {
            return match entry.kind {
                Kind::Rejected => Ok((
                    (),
                    "The entry names no edition: the message was refused before its schema was known."
                        .to_owned(),
                )),
                _ => Err("its entry names no edition".to_owned()),
            };
        };
        let digest = Digest(*schema.as_bytes());
        let edition =
            self.editions.get(&digest).ok_or_else(|| format!("the edition {digest} is not in the bundle"))?;
        if entry.message_type.as_deref() != Some(&edition.kind) {
            return Err(format!("the edition {digest} is of another type"));
        }
        let dataschema = message.map(|jws| jws.event.get("dataschema").and_then(|id| id.as_str()));
        if dataschema.is_some_and(|id| id != Some(&edition.schema_id)) {
            return Err("the edition's schema is not the one that the message names".to_owned());
        }
        self.used.insert(digest);
        Ok((
            (),
            format!(
                "It was judged by {} version {}, edition {digest}, which is in the bundle.",
                edition.kind, edition.version
            ),
        ))
    }
}

fn cosignatures(proved: &Proved, partner: Country) -> String {
    let said: Vec<String> =
        proved.cosigned.iter().map(|(country, at)| format!("the witness of {country} at {at}")).collect();
    if said.is_empty() {
        return format!(
            "No witness cosigned this checkpoint: that this log has one history only, {partner} can say."
        );
    }
    format!("The checkpoint was cosigned by {}.", said.join(" and "))
}

pub(super) fn part<'b>(parts: &Parts<'b>, which: Part) -> Result<&'b [u8], String> {
    parts.get(&which).copied().ok_or_else(|| format!("{} is missing", which.as_str()))
}

fn state(party: &Option<String>) -> Option<&str> {
    party.as_deref().and_then(|party| party.split('/').next())
}

/// Both entries are about one message.
fn alike(a: &Entry, b: &Entry) -> bool {
    let about = |entry: &Entry| {
        (entry.jws, entry.id.clone(), entry.from.clone(), entry.to.clone(), entry.message_type.clone())
    };
    about(a) == about(b)
}

/// The entry is about this message.
fn same(entry: &Entry, jws: &Jws) -> Result<(), String> {
    if entry.jws != Some(Hash::from_bytes(jws.digest().0)) {
        return Err("the entry is about another message: the digests differ".to_owned());
    }
    let attributes =
        [("id", &entry.id), ("source", &entry.from), ("recipient", &entry.to), ("type", &entry.message_type)];
    for (name, stated) in attributes {
        if jws.event.get(name).and_then(|value| value.as_str()) != stated.as_deref() {
            return Err(format!("the message's `{name}` is not what the entry states"));
        }
    }
    Ok(())
}

/// A refusal's problem document is there where it must be, and has the refusal's code. Its details are the word of
/// who refused; the code alone is logged.
fn problem(parts: &Parts<'_>, subject: &Subject, receipt: Option<&Entry>) -> Said<()> {
    let entry = subject.entry();
    let code = match entry.kind {
        Kind::Rejected => entry.code.as_deref(),
        _ => receipt.and_then(|receipt| receipt.code.as_deref()),
    };
    // A conflict is answered anew each time: its answer is not kept.
    let kept = code.filter(|code| entry.kind != Kind::Rejected || *code != "id_conflict");
    match (kept, parts.get(&Part::Problem)) {
        (None, None) if code.is_some() => Ok(((), "The answer to a conflict is not kept.".to_owned())),
        (None, None) => Ok(((), "It was not refused.".to_owned())),
        (Some(code), Some(bytes)) => {
            let problem =
                json::parse_wrapper(bytes).map_err(|error| format!("the problem document: {error}"))?;
            if problem.get("code").and_then(|found| found.as_str()) != Some(code) {
                return Err(format!("the problem document has another code than {code}"));
            }
            let receipt = problem.get("receipt").and_then(|receipt| receipt.as_str());
            let partner = parts.get(&Part::Partner).copied();
            if receipt.is_some_and(|receipt| Some(receipt.as_bytes()) != partner) {
                return Err("the problem document holds another receipt".to_owned());
            }
            Ok((
                (),
                format!(
                    "The problem document has the logged code {code}; its details are the word of who refused."
                ),
            ))
        }
        (Some(_), None) => Err("the problem document of the refusal is missing".to_owned()),
        (None, Some(_)) => Err("a problem document without a refusal".to_owned()),
    }
}
