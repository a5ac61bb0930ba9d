//! Who we exchange with, as last read from the store: partners, and the clients of the national plane.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroU32;
use std::sync::Arc;

use governor::{DefaultDirectRateLimiter, Quota};
use rustls_pki_types::CertificateDer;
use silkgate_ledger::{KeyError, VerifierKey, WitnessKey};
use silkgate_message::agreement::Agreement;
use silkgate_message::card::{Card, LogKey};
use silkgate_message::instant::Instant;
use silkgate_message::jws::{Digest, SigningCertificate};
use silkgate_message::party::{Country, Party};

use crate::store::partner::{self, PartnerRow};
use crate::store::{Connection, StoreError};
use crate::tls::{self, PartnerTrust};

/// A partner in force.
pub struct Partner {
    /// Its state.
    pub country: Country,
    /// `active`, `suspended` or `removed`.
    pub state: String,
    /// Its card.
    pub card: Card,
    /// The agreement.
    pub agreement: Agreement,
    /// The certificates its messages may be signed with.
    pub signing: Vec<SigningCertificate>,
    /// `host:port` to dial.
    pub address: String,
    /// The verifier key of its log of our channel.
    pub log_key: VerifierKey,
    /// The verifier key of its house log.
    pub house_key: VerifierKey,
    /// The key of its witness.
    pub witness_key: WitnessKey,
    rate: DefaultDirectRateLimiter,
}

impl Partner {
    /// Reads a stored partner. `own` is our state.
    pub fn read(row: &PartnerRow, own: Country) -> Result<Self, String> {
        let card = Card::parse(&row.card).map_err(|error| format!("card: {error}"))?;
        let agreement = Agreement::parse(&row.agreement).map_err(|what| format!("agreement: {what}"))?;
        let content = card.content();
        let country = content.country;
        let signing = content.signing_certificates.iter().map(|der| {
            SigningCertificate::parse(der).ok_or_else(|| "a signing certificate cannot be read".to_owned())
        });
        let per_second = NonZeroU32::new(agreement.rate_per_second).unwrap_or(NonZeroU32::MIN);
        let burst = per_second.saturating_mul(NonZeroU32::MIN.saturating_add(9));
        let partner = Self {
            country,
            state: row.state.clone(),
            signing: signing.collect::<Result<_, _>>()?,
            address: match &row.connect {
                Some(address) => address.clone(),
                None => address_of(content.endpoints.first().map_or("", String::as_str))?,
            },
            log_key: channel_key(&card, own)?,
            house_key: log_key(&card, "house")?,
            witness_key: witness_key(&content.witness)?,
            rate: DefaultDirectRateLimiter::direct(Quota::per_second(per_second).allow_burst(burst)),
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

    /// What TLS needs to know of the partner.
    pub fn trust(&self) -> PartnerTrust {
        let content = self.card.content();
        PartnerTrust {
            partner: self.country.to_string(),
            host: content.host.clone(),
            anchors: content.tls_anchors.iter().map(|der| CertificateDer::from(der.clone())).collect(),
        }
    }
}

/// The verifier key of the log that the card's gateway keeps of its channel with `own`: the card's
/// log key under the channel's origin, `<host>/<its ISO>/<own ISO>`.
pub fn channel_key(card: &Card, own: Country) -> Result<VerifierKey, String> {
    log_key(card, own.as_str())
}

/// The card's log key under the origin `<host>/<its ISO>/<name>`.
pub fn log_key(card: &Card, name: &str) -> Result<VerifierKey, String> {
    let content = card.content();
    let origin = format!("{}/{}/{name}", content.host, content.country);
    let house = content.logs.first().ok_or("the card names no log")?;
    let key: VerifierKey = house.key.parse().map_err(|error| format!("log key: {error}"))?;
    VerifierKey::new(&origin, *key.public_key()).map_err(|error| format!("log key: {error}"))
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
    /// `backend`, `operator` or `auditor`.
    pub role: String,
    /// The party or name.
    pub subject: String,
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
}

impl Directory {
    /// Reads everyone. A partner whose card or agreement cannot be read is left out, loudly: it is
    /// cut off, and the others are served.
    pub async fn load(conn: &mut Connection, own: Country, now: Instant) -> Result<Self, StoreError> {
        let generation = partner::generation(conn).await?;
        let mut partners = BTreeMap::new();
        for row in partner::all(conn).await? {
            match Partner::read(&row, own) {
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
            if row.role == "backend"
                && let Ok(party) = row.subject.parse()
            {
                back_ends.insert(party);
            }
            clients.insert(row.certificate, Client { role: row.role, subject: row.subject });
        }
        Ok(Self { country: own, generation, partners, clients, back_ends })
    }

    /// The partner of that state, in whatever state it is.
    pub fn partner(&self, country: Country) -> Option<&Arc<Partner>> {
        self.partners.get(&country)
    }

    /// Every partner.
    pub fn partners(&self) -> impl Iterator<Item = &Arc<Partner>> {
        self.partners.values()
    }

    /// The registered client with that certificate.
    pub fn client(&self, certificate: &CertificateDer<'_>) -> Option<&Client> {
        self.clients.get(&Digest::of(certificate))
    }

    /// Whether a back end acts as `party`.
    pub fn has_back_end(&self, party: &Party) -> bool {
        self.back_ends.contains(party)
    }

    /// The authorities behind this gateway.
    pub fn back_ends(&self) -> impl Iterator<Item = &Party> {
        self.back_ends.iter()
    }
}
