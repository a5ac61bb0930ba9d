//! The keys that everything in the store was signed with: our own and the partners', of every card ever kept.

use std::collections::HashMap;

use silkgate_ledger::{VerifierKey, WitnessKey};
use silkgate_message::card::Card;
use silkgate_message::jws::{Digest, SigningCertificate};
use silkgate_message::party::Country;

use crate::config::Config;
use crate::directory::{channel_keys, log_keys, witness_key};

/// Our own public keys as they stand in the home.
pub struct OwnKeys {
    /// The certificate that signs messages, DER.
    pub message_certificate: Vec<u8>,
    /// The log keys in use.
    pub logs: Vec<[u8; 32]>,
    /// The witness keys in use.
    pub witnesses: Vec<WitnessKey>,
}

/// What signatures are verified under. It does not change while an audit runs.
pub(super) struct Facts {
    pub(super) config: Config,
    pub(super) own: Signers,
    log_keys: Vec<[u8; 32]>,
    in_home: Vec<[u8; 32]>,
    partners: HashMap<String, Signers>,
    digest: Digest,
}

/// The keys of one state's cards, newest last.
#[derive(Default)]
pub(super) struct Signers {
    /// Certificates that sign messages.
    pub(super) certificates: Vec<SigningCertificate>,
    /// The log of the channel with us.
    pub(super) channel: Vec<VerifierKey>,
    /// The house log.
    pub(super) house: Vec<VerifierKey>,
    /// The witness.
    pub(super) witness: Vec<WitnessKey>,
}

impl Signers {
    fn add(&mut self, card: &Card, own: Country) {
        let content = card.content();
        let certificates = content.signing_certificates.iter();
        self.certificates.extend(certificates.filter_map(|der| SigningCertificate::parse(der)));
        self.channel.extend(channel_keys(card, own).into_iter().flatten());
        self.house.extend(log_keys(card, "house").into_iter().flatten());
        self.witness.extend(witness_key(&content.witness).ok());
    }

    /// The certificate of that thumbprint.
    pub(super) fn certificate(&self, thumbprint: &Digest) -> Option<&SigningCertificate> {
        self.certificates.iter().find(|certificate| certificate.thumbprint == *thumbprint)
    }

    /// The keys of the log of that origin.
    pub(super) fn log(&self, origin: &str) -> Vec<VerifierKey> {
        self.channel.iter().chain(&self.house).filter(|key| key.name() == origin).cloned().collect()
    }
}

impl Facts {
    /// Reads every card ever kept; then those that no longer verify, or stand under another state's name.
    pub(super) fn new(config: &Config, own: &OwnKeys, cards: &[(String, Vec<u8>)]) -> (Self, Vec<String>) {
        let country = config.country();
        let mut facts = Self {
            config: config.clone(),
            own: Signers::default(),
            log_keys: own.logs.clone(),
            in_home: own.logs.clone(),
            partners: HashMap::new(),
            digest: Digest::of(b""),
        };
        let mut unsound = Vec::new();
        let mut said = vec![Digest::of(&own.message_certificate), Digest::of(&own.logs.concat())];
        said.extend(own.witnesses.iter().map(|key| Digest::of(key.to_string().as_bytes())));
        for (named, bytes) in cards {
            said.push(Digest::of(bytes));
            match Card::parse(bytes) {
                Ok(card) if card.content().country.as_str() != named => unsound.push(named.clone()),
                // Our own keys over time stand on our own cards.
                Ok(card) if card.content().country == country => {
                    facts.own.add(&card, country);
                    let keys = log_keys(&card, "house").into_iter().flatten();
                    facts.log_keys.extend(keys.map(|key| *key.public_key()));
                }
                Ok(card) => facts.partners.entry(named.clone()).or_default().add(&card, country),
                Err(_) => unsound.push(named.clone()),
            }
        }
        facts.own.certificates.extend(SigningCertificate::parse(&own.message_certificate));
        facts.own.witness.extend(own.witnesses.iter().cloned());
        facts.digest = Digest::of(&said.iter().flat_map(|digest| digest.0).collect::<Vec<_>>());
        (facts, unsound)
    }

    /// The verifier keys of a log of ours, over time.
    pub(super) fn own_log(&self, origin: &str) -> Vec<VerifierKey> {
        self.log_keys.iter().filter_map(|key| VerifierKey::new(origin, *key).ok()).collect()
    }

    /// The same of the keys that stand in the home: a card in the database cannot add to them.
    pub(super) fn in_home(&self, origin: &str) -> Vec<VerifierKey> {
        self.in_home.iter().filter_map(|key| VerifierKey::new(origin, *key).ok()).collect()
    }

    /// A partner's keys; none where no card of it was kept.
    pub(super) fn partner(&self, country: &str) -> Option<&Signers> {
        self.partners.get(country)
    }

    /// The origin that a log of ours must have.
    pub(super) fn origin(&self, partner: Option<Country>) -> String {
        match partner {
            Some(partner) => self.config.channel_origin(partner),
            None => self.config.house_origin(),
        }
    }

    /// SHA-256 over everything that signatures are verified under.
    pub(super) fn digest(&self) -> Digest {
        self.digest
    }
}
