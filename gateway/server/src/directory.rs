//! Who we exchange with, as last read from the store: partners, and the clients of the national plane.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroU32;
use std::sync::Arc;

use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use rustls_pki_types::CertificateDer;
use silkgate_ledger::{Cosigner, Ed25519Key, KeyError, VerifierKey, WitnessKey};
use silkgate_message::agreement::{Agreement, Direction};
use silkgate_message::card::{Card, LogKey};
use silkgate_message::instant::Instant;
use silkgate_message::jws::{Digest, SigningCertificate};
use silkgate_message::party::{Country, Party};
use silkgate_message::revocation::RevocationList;

use crate::clock::Steady;
use crate::roles::Role;
use crate::store::partner::{self, PartnerRow};
use crate::store::push::{self, Push};
use crate::store::revocation::{self, ListRow};
use crate::store::{Connection, StoreError};
use crate::tls::{self, PartnerTrust, Revocation};

/// The state of a partner whose settings no log states.
pub const HALTED: &str = "halted";

/// A partner in force.
pub struct Partner {
    /// Its state.
    pub country: Country,
    /// `active`, `suspended` or `removed`; in the running gateway also [`HALTED`].
    pub state: String,
    /// Its card.
    pub card: Card,
    /// The agreement.
    pub agreement: Agreement,
    /// The certificates its messages may be signed with.
    pub signing: Vec<SigningCertificate>,
    /// `host:port` to dial.
    pub address: String,
    /// The verifier keys of its log of our channel.
    pub log_keys: Vec<VerifierKey>,
    /// The verifier keys of its house log.
    pub house_keys: Vec<VerifierKey>,
    /// The key of its witness.
    pub witness_key: WitnessKey,
    /// What its authorities have revoked.
    pub lists: Vec<RevocationList>,
    /// What it was read from: its row, and the lists.
    pub stored: (PartnerRow, Vec<ListRow>),
    revocation: Revocation,
    rate: Rate,
    /// Of clauses that have rates of their own.
    rates: [HashMap<String, Rate>; 2],
    showings: Rate,
}

type Rate = RateLimiter<NotKeyed, InMemoryState, Steady>;

/// Checkpoints that a partner may show us in a second; it shows each of two logs once in two.
const SHOWINGS: NonZeroU32 = NonZeroU32::MIN.saturating_add(49);

/// So many a second, averaged over ten.
fn rate(per_second: u32) -> Rate {
    let per_second = NonZeroU32::new(per_second).unwrap_or(NonZeroU32::MIN);
    let burst = per_second.saturating_mul(NonZeroU32::MIN.saturating_add(9));
    Rate::direct_with_clock(Quota::per_second(per_second).allow_burst(burst), Steady)
}

/// By type: of what is received, and of what is sent.
fn rates(agreement: &Agreement) -> [HashMap<String, Rate>; 2] {
    [Direction::Receive, Direction::Send].map(|direction| {
        let clauses = agreement.clauses(direction).iter();
        clauses.filter_map(|clause| Some((clause.kind.clone(), rate(clause.rate_per_second?)))).collect()
    })
}

impl Partner {
    /// Reads a stored partner. `own` is our state; `lists` are of any partner.
    pub fn read(row: &PartnerRow, own: Country, lists: &[ListRow]) -> Result<Self, String> {
        let card = Card::parse(&row.card).map_err(|error| format!("card: {error}"))?;
        let agreement = Agreement::parse(&row.agreement).map_err(|what| format!("agreement: {what}"))?;
        let content = card.content();
        let country = content.country;
        let signing = content.signing_certificates.iter().map(|der| {
            SigningCertificate::parse(der).ok_or_else(|| "a signing certificate cannot be read".to_owned())
        });
        let of_partner = lists.iter().filter(|list| list.partner == row.country);
        let held: Vec<&ListRow> = of_partner.collect();
        let read = |list: &&ListRow| {
            RevocationList::read(&list.list).map_err(|error| format!("revocation list: {error}"))
        };
        let partner = Self {
            country,
            lists: held.iter().map(read).collect::<Result<_, _>>()?,
            revocation: Revocation {
                lists: held.iter().map(|list| list.list.clone().into()).collect(),
                until_s: held
                    .iter()
                    .map(|list| list.next_at.seconds())
                    .min()
                    .and_then(|s| u64::try_from(s).ok())
                    .unwrap_or(0),
                grace_s: u64::from(agreement.crl_grace_hours) * 3600,
            },
            state: row.state.clone(),
            stored: (row.clone(), held.iter().map(|list| (*list).clone()).collect()),
            signing: signing.collect::<Result<_, _>>()?,
            address: match &row.connect {
                Some(address) => address.clone(),
                None => address_of(content.endpoints.first().map_or("", String::as_str))?,
            },
            log_keys: channel_keys(&card, own)?,
            house_keys: log_keys(&card, "house")?,
            witness_key: witness_key(&content.witness)?,
            rate: rate(agreement.rate_per_second),
            rates: rates(&agreement),
            showings: Rate::direct_with_clock(Quota::per_second(SHOWINGS), Steady),
            card,
            agreement,
        };
        tls::usable(partner.trust()).map_err(|error| error.to_string())?;
        Ok(partner)
    }

    /// Whether messages pass.
    pub fn is_active(&self) -> bool {
        self.state == "active"
    }

    /// Takes one message from the agreed rate; false where it is used up.
    pub fn within_rate(&self) -> bool {
        self.rate.check().is_ok()
    }

    /// Takes one message of a type from the rate of its clause; false where it is used up.
    pub fn within_rate_of(&self, direction: Direction, kind: &str) -> bool {
        let [receive, send] = &self.rates;
        let rates = if direction == Direction::Receive { receive } else { send };
        rates.get(kind).is_none_or(|rate| rate.check().is_ok())
    }

    /// Takes one checkpoint to witness. Apart from messages: load must not postpone what makes it evidence.
    pub fn may_show(&self) -> bool {
        self.showings.check().is_ok()
    }

    /// The origins of its log of our channel and of its house log.
    pub fn origins(&self) -> Vec<&str> {
        [&self.log_keys, &self.house_keys].into_iter().filter_map(|keys| Some(keys.first()?.name())).collect()
    }

    /// When the first revocation list of its authorities runs out; None: there are none.
    pub fn lists_end(&self) -> Option<Instant> {
        self.lists.iter().map(|list| Instant::from_seconds(list.next_update.unix_timestamp())).min()
    }

    /// What TLS needs to know of the partner.
    pub fn trust(&self) -> PartnerTrust {
        let content = self.card.content();
        PartnerTrust {
            partner: self.country.to_string(),
            host: content.host.clone(),
            anchors: content.tls_anchors.iter().map(|der| CertificateDer::from(der.clone())).collect(),
            revocation: self.revocation.clone(),
            key_exchange: self.agreement.key_exchange,
        }
    }
}

/// The verifier keys of the log that the card's gateway keeps of its channel with `own`: the card's log keys under
/// the channel's origin, `<host>/<its ISO>/<own ISO>`. Two, while one key follows another.
pub fn channel_keys(card: &Card, own: Country) -> Result<Vec<VerifierKey>, String> {
    log_keys(card, own.as_str())
}

/// The card's log keys under the origin `<host>/<its ISO>/<name>`.
pub fn log_keys(card: &Card, name: &str) -> Result<Vec<VerifierKey>, String> {
    let content = card.content();
    let origin = format!("{}/{}/{name}", content.host, content.country);
    let fault = |error: KeyError| format!("log key: {error}");
    let keys = content.logs.iter().map(|log| {
        let key: VerifierKey = log.key.parse().map_err(fault)?;
        VerifierKey::new(&origin, *key.public_key()).map_err(fault)
    });
    let keys: Vec<VerifierKey> = keys.collect::<Result<_, String>>()?;
    if keys.is_empty() { Err("the card names no log".into()) } else { Ok(keys) }
}

/// The witness key of a card. Cards of the first edition wrote it as a key that signs notes: the same 32 bytes.
pub fn witness_key(key: &LogKey) -> Result<WitnessKey, String> {
    let fault = |error: KeyError| format!("witness key: {error}");
    match key.key.parse::<WitnessKey>() {
        Ok(key) => Ok(key),
        Err(KeyError::Algorithm) => {
            let key: VerifierKey = key.key.parse().map_err(fault)?;
            WitnessKey::new(key.name(), *key.public_key()).map_err(fault)
        }
        Err(error) => Err(fault(error)),
    }
}

/// The verifier keys that a log ever had by these cards, under its origin.
pub fn ever_log_keys(cards: &[&Card], origin: &str) -> Vec<VerifierKey> {
    own_log_keys(origin, &[], cards)
}

/// The verifier keys of a log of ours: those in use, and those of our earlier cards.
pub fn own_log_keys(origin: &str, in_use: &[Arc<dyn Ed25519Key>], cards: &[&Card]) -> Vec<VerifierKey> {
    let present = in_use.iter().filter_map(|key| VerifierKey::new(origin, key.public_key()).ok());
    let mut keys: Vec<VerifierKey> = present.collect();
    for key in cards.iter().flat_map(|card| &card.content().logs) {
        let key = key.key.parse::<VerifierKey>().and_then(|key| VerifierKey::new(origin, *key.public_key()));
        keys.extend(key.ok().filter(|key| !keys.contains(key)));
    }
    keys
}

/// The keys of our witness: those in use, and those of our earlier cards.
pub fn own_witness_keys(in_use: &[Cosigner], cards: &[&Card]) -> Vec<WitnessKey> {
    let mut keys: Vec<WitnessKey> = in_use.iter().map(|cosigner| cosigner.witness_key().clone()).collect();
    for card in cards {
        keys.extend(witness_key(&card.content().witness).ok().filter(|key| !keys.contains(key)));
    }
    keys
}

/// `host:port` of an https URL.
pub fn address_of(endpoint: &str) -> Result<String, String> {
    let url: axum::http::Uri = endpoint.parse().map_err(|_| format!("`{endpoint}` is no URL"))?;
    let host = url.host().filter(|_| url.scheme_str() == Some("https"));
    let host = host.ok_or_else(|| format!("`{endpoint}` is no https URL"))?;
    Ok(format!("{host}:{}", url.port_u16().unwrap_or(443)))
}

/// A client of the national plane.
#[derive(Clone, Debug)]
pub struct Client {
    /// What for.
    pub role: Role,
    /// The party or name.
    pub subject: String,
    /// When its certificate runs out.
    pub until: Instant,
}

/// Everyone known.
pub struct Directory {
    /// Our own state.
    pub country: Country,
    /// The count of changes it was read at.
    pub generation: i64,
    partners: BTreeMap<Country, Arc<Partner>>,
    clients: HashMap<Digest, Client>,
    back_ends: BTreeSet<Party>,
    pushes: Vec<Push>,
    cards: Vec<Card>,
}

impl Directory {
    /// Reads everyone. A partner whose card or agreement cannot be read is left out, loudly: it is
    /// cut off, and the others are served.
    pub async fn load(conn: &mut Connection, own: Country, now: Instant) -> Result<Self, StoreError> {
        let generation = partner::generation(conn).await?;
        let mut partners = BTreeMap::new();
        let lists = revocation::lists(conn).await?;
        for row in partner::all(conn).await? {
            match Partner::read(&row, own, &lists) {
                Ok(partner) => {
                    partners.insert(partner.country, Arc::new(partner));
                }
                Err(what) => {
                    tracing::error!(partner = row.country, what, "partner cannot be read and is cut off")
                }
            }
        }
        let mut clients = HashMap::new();
        let mut back_ends = BTreeSet::new();
        for row in partner::clients(conn).await?.into_iter().filter(|row| row.until > now) {
            // A role that is none lets nobody in.
            let Some(role) = Role::parse(&row.role) else { continue };
            if role == Role::BackEnd
                && let Ok(party) = row.subject.parse()
            {
                back_ends.insert(party);
            }
            let (subject, until) = (row.subject, row.until);
            clients.insert(row.certificate, Client { role, subject, until });
        }
        let pushes = push::all(conn).await?;
        let cards = partner::cards(conn).await?;
        let cards = cards.iter().filter_map(|(_, bytes)| Card::parse(bytes).ok()).collect();
        Ok(Self { country: own, generation, partners, clients, back_ends, pushes, cards })
    }

    /// Goes on with a partner as the logs state it; without that it is halted: nothing passes until what is stored is what they say.
    pub fn hold(&mut self, country: Country, stated: Option<Arc<Partner>>) {
        if let Some(stated) = stated {
            self.partners.insert(country, stated);
        } else if let Some(read) = self.partners.get_mut(&country).and_then(Arc::get_mut) {
            HALTED.clone_into(&mut read.state);
        }
    }

    /// The partner of that state, in whatever state it is.
    pub fn partner(&self, country: Country) -> Option<&Arc<Partner>> {
        self.partners.get(&country)
    }

    /// Every partner.
    pub fn partners(&self) -> impl Iterator<Item = &Arc<Partner>> {
        self.partners.values()
    }

    /// What is other than it was: each partner, and in what.
    pub fn changes_since(&self, before: &Directory) -> Vec<(Country, &str)> {
        let mut changes = Vec::new();
        for (country, now) in &self.partners {
            let Some(then) = before.partners.get(country) else {
                changes.push((*country, "added"));
                continue;
            };
            let differs = [
                (now.state.as_str(), now.state != then.state),
                ("card", now.card.digest() != then.card.digest()),
                ("agreement", now.agreement != then.agreement),
                ("address", now.address != then.address),
                ("crl", now.revocation != then.revocation),
            ];
            changes.extend(differs.iter().filter(|(_, differs)| *differs).map(|(what, _)| (*country, *what)));
        }
        let gone = before.partners.keys().filter(|country| !self.partners.contains_key(country));
        changes.extend(gone.map(|country| (*country, "cut_off")));
        changes
    }

    /// Every card of that state that was ever in force, our own among them: the keys on them are its keys, present and
    /// past.
    pub fn cards(&self, country: Country) -> Vec<&Card> {
        self.cards.iter().filter(|card| card.content().country == country).collect()
    }

    /// The registered client with that certificate, and the certificate's digest.
    pub fn client(&self, certificate: &CertificateDer<'_>) -> Option<(&Digest, &Client)> {
        self.clients.get_key_value(&Digest::of(certificate))
    }

    /// Whether a certificate is registered still: whoever waits for an answer may have been cut off meanwhile.
    pub fn is_registered(&self, certificate: &Digest) -> bool {
        self.clients.contains_key(certificate)
    }

    /// Every registered client, with its certificate's digest.
    pub fn clients(&self) -> impl Iterator<Item = (&Digest, &Client)> {
        self.clients.iter()
    }

    /// Whether a back end acts as `party`.
    pub fn has_back_end(&self, party: &Party) -> bool {
        self.back_ends.contains(party)
    }

    /// Where back ends are told what is for them.
    pub fn pushes(&self) -> &[Push] {
        &self.pushes
    }

    /// The authorities behind this gateway.
    pub fn back_ends(&self) -> impl Iterator<Item = &Party> {
        self.back_ends.iter()
    }
}
