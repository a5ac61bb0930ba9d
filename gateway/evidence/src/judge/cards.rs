//! The cards of a bundle: each state's, in their succession.

use std::collections::BTreeMap;

use silkgate_ledger::{Origin, VerifierKey, WitnessKey};
use silkgate_message::card::{Card, Fingerprint};
use silkgate_message::jws::{Digest, SigningCertificate};
use silkgate_message::party::Country;

/// By state, the first version first; never empty.
pub(super) struct Cards(BTreeMap<Country, Vec<Card>>);

impl Cards {
    /// Reads every card: its name is its digest, its card key signed it, and each follows the one before.
    pub(super) fn read(members: &BTreeMap<Digest, &[u8]>) -> Result<(Self, String), String> {
        let mut by_state: BTreeMap<Country, Vec<Card>> = BTreeMap::new();
        for (digest, bytes) in members {
            let card = Card::parse(bytes).map_err(|error| format!("the card {digest}: {error}"))?;
            if card.digest() != digest.0 {
                return Err(format!("the card {digest} has another digest"));
            }
            by_state.entry(card.content().country).or_default().push(card);
        }
        for (country, cards) in &mut by_state {
            cards.sort_by_key(|card| card.content().version);
            for pair in cards.windows(2) {
                if let [before, after] = pair {
                    after.succeeds(before).map_err(|error| format!("the cards of {country}: {error}"))?;
                }
            }
        }
        let says = format!(
            "{} card(s), each signed by its state's card key, in unbroken succession.",
            members.len()
        );
        Ok((Self(by_state), says))
    }

    /// What a reader must compare, a sentence for each state.
    pub(super) fn fingerprints(&self) -> impl Iterator<Item = String> {
        self.0.iter().filter_map(|(country, cards)| {
            let fingerprint = cards.first()?.fingerprint();
            Some(format!(
                "The card key of {country} has the fingerprint {fingerprint}: compare it with what {country} published."
            ))
        })
    }

    /// Every pinned fingerprint is that of the state's card key.
    pub(super) fn pinned(&self, pins: &[(Country, Fingerprint)]) -> Result<((), String), String> {
        for (country, pin) in pins {
            let found = self.0.get(country).and_then(|cards| cards.first()).map(Card::fingerprint);
            match found {
                None => return Err(format!("the bundle holds no card of {country}")),
                Some(found) if found != *pin => {
                    return Err(format!(
                        "the card key of {country} is not the one with the fingerprint {pin}"
                    ));
                }
                Some(_) => {}
            }
        }
        Ok(((), format!("{} fingerprint(s) given by the reader, all as in the bundle.", pins.len())))
    }

    pub(super) fn countries(&self) -> impl Iterator<Item = Country> {
        self.0.keys().copied()
    }

    fn of(&self, country: Country) -> impl Iterator<Item = &Card> {
        self.0.get(&country).into_iter().flatten()
    }

    /// The card of that digest, if it is of that state.
    pub(super) fn find(&self, country: Country, digest: &[u8; 32]) -> Option<&Card> {
        self.of(country).find(|card| card.digest() == *digest)
    }

    /// The authorities on any card of that state, DER.
    pub(super) fn anchors(&self, country: Country) -> Vec<&[u8]> {
        self.of(country).flat_map(|card| card.content().tls_anchors.iter().map(Vec::as_slice)).collect()
    }

    /// A signing certificate on any card of that state.
    pub(super) fn certificate(&self, country: Country, thumbprint: &Digest) -> Option<SigningCertificate> {
        self.of(country).find_map(|card| certificate_on(card, thumbprint))
    }

    /// The keys of a log: those on the cards of the state that the origin names, if it names their host too.
    /// All logs of a gateway have the keys that its card names, each under its own origin (docs/protocol.md, "Log").
    pub(super) fn log_keys(&self, origin: &Origin) -> Vec<VerifierKey> {
        let Ok(country) = origin.state().parse() else { return Vec::new() };
        let cards = self.of(country).filter(|card| card.content().host == origin.host());
        cards
            .flat_map(|card| &card.content().logs)
            .filter_map(|log| {
                let key: VerifierKey = log.key.parse().ok()?;
                VerifierKey::new(origin.as_str(), *key.public_key()).ok()
            })
            .collect()
    }

    /// The witness keys of every other state.
    pub(super) fn witnesses(&self, own: Country) -> Vec<(Country, WitnessKey)> {
        let others = self.0.iter().filter(|(country, _)| **country != own);
        let keys = others.flat_map(|(country, cards)| cards.iter().map(|card| (*country, card)));
        keys.filter_map(|(country, card)| Some((country, witness_key(card)?))).collect()
    }
}

/// The key of a card's witness. Cards name its public key also as a plain Ed25519 verifier key (type 0x01);
/// what cosigns is the cosignature key (type 0x04) of the same name and public key.
pub fn witness_key(card: &Card) -> Option<WitnessKey> {
    let witness = &card.content().witness;
    let plain = || {
        let key: VerifierKey = witness.key.parse().ok()?;
        WitnessKey::new(&witness.origin, *key.public_key()).ok()
    };
    witness.key.parse().ok().or_else(plain)
}

/// The signing certificate of that thumbprint, if the card holds it.
pub(super) fn certificate_on(card: &Card, thumbprint: &Digest) -> Option<SigningCertificate> {
    let certificates = card.content().signing_certificates.iter();
    certificates.filter_map(|der| SigningCertificate::parse(der)).find(|c| c.thumbprint == *thumbprint)
}
