//! The server of the partner plane: each partner has anchors of its own, and its CA can never speak
//! for another partner.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::UnixTime;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::SigningKey;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme,
};
use rustls_pki_types::CertificateDer;
use silkgate_message::agreement::KeyExchange;

use super::fit::{Leaf, may_all_sign};
use super::refused;
use super::trust::{Pair, PartnerTrust, Revocation};
use super::{TlsError, identity, provider, provider_of, without_resumption};

/// Chains of one partner remembered at a time, the newest: one for each of its replicas and some to
/// roll over. A partner that shows more has to connect again more often.
const ADMITTED_MAX: usize = 32;

/// TLS settings of the partner plane; the partners and our own certificate can change while it runs.
pub struct PartnerServer {
    config: ArcSwap<Configs>,
    partners: Arc<Partners>,
}

/// The same chain and verifier twice.
#[derive(Clone)]
struct Configs {
    hybrid: Arc<ServerConfig>,
    /// Without the hybrid key exchange.
    classical: Arc<ServerConfig>,
}

impl PartnerServer {
    /// With our chain and key, for these partners. Refused where the key is not the chain's, or a
    /// partner has no anchor that can be used.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: Arc<dyn SigningKey>,
        trust: Vec<PartnerTrust>,
    ) -> Result<Self, TlsError> {
        let partners = Arc::new(Partners {
            known: RwLock::new(read(trust)?),
            algorithms: provider().signature_verification_algorithms,
        });
        let config = ArcSwap::from_pointee(Configs::new(&partners, &chain, &key)?);
        Ok(Self { config, partners })
    }

    /// Shows another chain from the next handshake on. Open connections go on; on an error the old chain stays.
    pub fn show(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: Arc<dyn SigningKey>,
    ) -> Result<(), TlsError> {
        let next = Configs::new(&self.partners, &chain, &key)?;
        self.config.store(Arc::new(next.with_clock(self.config.load().hybrid.time_provider.clone())));
        Ok(())
    }

    /// The same with another clock.
    #[cfg(test)]
    pub(super) fn with_clock(self, clock: Arc<dyn rustls::time_provider::TimeProvider>) -> Self {
        let configs = Configs::clone(&self.config.load());
        self.config.store(Arc::new(configs.with_clock(clock)));
        self
    }

    /// The settings for the next handshake. Who calls is known only behind the key exchange: both kinds are taken here, and
    /// [`Group::fits`](super::Group::fits) judges afterwards. Where no agreement wants the hybrid, strangers do not reach its code either.
    pub fn config(&self) -> Arc<ServerConfig> {
        let known = self.partners.known.read().unwrap_or_else(PoisonError::into_inner);
        let is_off = |partner: &Known| partner.trust.key_exchange == KeyExchange::Classical;
        let all_off = !known.is_empty() && known.iter().all(is_off);
        let configs = self.config.load();
        if all_off { configs.classical.clone() } else { configs.hybrid.clone() }
    }

    /// Takes other partners; on an error all the old ones stay. Open connections are judged anew by
    /// the chains they came in with: whoever would not come in again is unknown from now on.
    pub fn replace(&self, trust: Vec<PartnerTrust>) -> Result<(), TlsError> {
        let next = read(trust)?;
        let now = self.config.load().hybrid.time_provider.current_time();
        let mut known = self.partners.known.write().unwrap_or_else(PoisonError::into_inner);
        for partner in known.iter() {
            let admitted = partner.admitted.lock().unwrap_or_else(PoisonError::into_inner);
            for chain in admitted.iter() {
                // Without a clock nobody is known, as in a handshake.
                let Some(Ok((partner, _))) = now.map(|now| decide(&next, &chain.leaf, &chain.rest, now))
                else {
                    continue;
                };
                partner.admit(chain.clone());
            }
        }
        *known = next;
        Ok(())
    }

    /// Whose certificate this is: of the partner under whose present anchors it verified, while it
    /// is valid. A name in it alone is no evidence, for a partner may write there what it likes,
    /// such as the name of one who is added later.
    pub fn identify(&self, certificate: &CertificateDer<'_>) -> Option<String> {
        let now_s = self.config.load().hybrid.time_provider.current_time()?.as_secs();
        let known = self.partners.known.read().unwrap_or_else(PoisonError::into_inner);
        let partner = known.iter().find(|partner| partner.admitted(certificate, now_s));
        partner.map(|partner| partner.trust.partner.clone())
    }
}

impl Configs {
    fn new(
        partners: &Arc<Partners>,
        chain: &[CertificateDer<'static>],
        key: &Arc<dyn SigningKey>,
    ) -> Result<Self, TlsError> {
        let config = |policy: KeyExchange| {
            let config = ServerConfig::builder_with_provider(provider_of(policy))
                .with_protocol_versions(&[&rustls::version::TLS13])?
                .with_client_cert_verifier(partners.clone())
                .with_cert_resolver(identity(chain.to_vec(), key.clone())?);
            Ok::<_, TlsError>(Arc::new(without_resumption(config)))
        };
        Ok(Self { hybrid: config(KeyExchange::HybridFirst)?, classical: config(KeyExchange::Classical)? })
    }

    fn with_clock(mut self, clock: Arc<dyn rustls::time_provider::TimeProvider>) -> Self {
        Arc::make_mut(&mut self.hybrid).time_provider = clock.clone();
        Arc::make_mut(&mut self.classical).time_provider = clock;
        self
    }
}

/// Whether partners who have these anchors would take the chain as that of `host`, now.
pub(super) fn would_pass(
    chain: &[CertificateDer<'static>],
    anchors: Vec<CertificateDer<'static>>,
    host: &str,
    now: UnixTime,
) -> Result<(), TlsError> {
    let known = read(vec![PartnerTrust {
        partner: String::new(),
        host: host.to_owned(),
        anchors,
        revocation: Revocation::default(),
        key_exchange: KeyExchange::default(),
    }])?;
    let (leaf, rest) = chain.split_first().ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))?;
    decide(&known, leaf, rest, now)?;
    Ok(())
}

/// Whether the anchors make a verifier.
pub(super) fn usable(trust: PartnerTrust) -> Result<(), TlsError> {
    read(vec![trust]).map(drop)
}

struct Known {
    trust: PartnerTrust,
    verifiers: Pair<dyn ClientCertVerifier>,
    admitted: Mutex<VecDeque<Admitted>>,
}

/// A chain that verified in a handshake.
#[derive(Clone)]
struct Admitted {
    leaf: CertificateDer<'static>,
    rest: Vec<CertificateDer<'static>>,
    until_s: u64,
}

impl Known {
    fn admit(&self, chain: Admitted) {
        let mut admitted = self.admitted.lock().unwrap_or_else(PoisonError::into_inner);
        admitted.retain(|known| known.leaf != chain.leaf);
        if admitted.len() >= ADMITTED_MAX {
            admitted.pop_front();
        }
        admitted.push_back(chain);
    }

    fn admitted(&self, leaf: &CertificateDer<'_>, now_s: u64) -> bool {
        let admitted = self.admitted.lock().unwrap_or_else(PoisonError::into_inner);
        admitted.iter().any(|known| known.leaf == *leaf && now_s <= known.until_s)
    }
}

fn read(trust: Vec<PartnerTrust>) -> Result<Vec<Known>, TlsError> {
    let read = |trust: PartnerTrust| match trust.of_clients() {
        Ok(verifiers) => Ok(Known { trust, verifiers, admitted: Mutex::default() }),
        Err(source) => Err(TlsError::Partner { partner: trust.partner, source: Box::new(source) }),
    };
    trust.into_iter().map(read).collect()
}

/// Whose chain this is, and the last second at which it is known to be valid.
fn decide<'k>(
    known: &'k [Known],
    leaf: &CertificateDer<'_>,
    rest: &[CertificateDer<'_>],
    now: UnixTime,
) -> Result<(&'k Known, u64), Error> {
    let read = Leaf::read(leaf)?;
    // The name picks the partner, and then only that partner's anchors count. One certificate, one
    // gateway: a further partner's name in it would be a second identity.
    let mut named = known.iter().filter(|partner| read.has_name(&partner.trust.host));
    let (Some(partner), None) = (named.next(), named.next()) else {
        return Err(Error::InvalidCertificate(CertificateError::NotValidForName));
    };
    read.fits(&partner.trust.host)?;
    partner.verifiers.at(now).verify_client_cert(leaf, rest, now)?;
    may_all_sign(rest)?;
    // A list that runs out ends what it said of the chain.
    let end_s = partner.trust.revocation.end_s().unwrap_or(u64::MAX);
    Ok((partner, read.until_s.min(end_s)))
}

struct Partners {
    /// Read during a whole decision, so that nobody verified under old anchors is admitted beside
    /// the new ones.
    known: RwLock<Vec<Known>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl std::fmt::Debug for Partners {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Partners")
    }
}

impl ClientCertVerifier for Partners {
    /// Empty: strangers are not told who our partners are.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        refused::judging(end_entity);
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let (partner, until_s) = decide(&known, end_entity, intermediates, now)?;
        refused::believed();
        // Before the peer proved that it has the key: without that there is no connection to ask about.
        partner.admit(Admitted {
            leaf: end_entity.clone().into_owned(),
            rest: intermediates.iter().map(|certificate| certificate.clone().into_owned()).collect(),
            until_s,
        });
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(rustls::PeerIncompatible::Tls12NotOffered))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }

    fn client_auth_mandatory(&self) -> bool {
        true
    }
}
