//! The server of the partner plane: each partner has anchors of its own, and its CA can never speak
//! for another partner.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::UnixTime;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::{TlsError, provider, roots, without_resumption};

/// What TLS knows of a partner.
#[derive(Clone, Debug)]
pub struct PartnerTrust {
    /// ISO 3166-1 alpha-2.
    pub partner: String,
    /// The name that its certificate must hold.
    pub host: String,
    /// Its own authorities.
    pub anchors: Vec<CertificateDer<'static>>,
}

/// TLS settings of the partner plane; the partners can change while it runs.
pub struct PartnerServer {
    config: Arc<ServerConfig>,
    partners: Arc<Partners>,
}

impl PartnerServer {
    /// With our chain and key, for these partners.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        trust: Vec<PartnerTrust>,
    ) -> Result<Self, TlsError> {
        let provider = provider();
        let partners = Arc::new(Partners {
            known: ArcSwap::from_pointee(read(trust)?),
            schemes: provider.signature_verification_algorithms.supported_schemes(),
        });
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(partners.clone())
            .with_single_cert(chain, key)?;
        Ok(Self { config: Arc::new(without_resumption(config)), partners })
    }

    /// The settings for the next handshake.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.config.clone()
    }

    /// Takes other partners; on an error the old ones stay.
    pub fn replace(&self, trust: Vec<PartnerTrust>) -> Result<(), TlsError> {
        self.partners.known.store(Arc::new(read(trust)?));
        Ok(())
    }

    /// Whose certificate this is, among today's partners. The chain was verified in the handshake;
    /// the name alone decides here, and hosts are unique among partners.
    pub fn identify(&self, certificate: &CertificateDer<'_>) -> Option<String> {
        let known = self.partners.known.load();
        let names = dns_names(certificate)?;
        known.iter().find(|partner| names.contains(&partner.trust.host)).map(|p| p.trust.partner.clone())
    }
}

struct Known {
    trust: PartnerTrust,
    verifier: Arc<dyn ClientCertVerifier>,
}

fn read(trust: Vec<PartnerTrust>) -> Result<Vec<Known>, TlsError> {
    trust
        .into_iter()
        .map(|trust| {
            let verifier =
                WebPkiClientVerifier::builder_with_provider(roots(&trust.anchors)?, provider()).build()?;
            Ok(Known { trust, verifier })
        })
        .collect()
}

struct Partners {
    known: ArcSwap<Vec<Known>>,
    schemes: Vec<SignatureScheme>,
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
        let names = dns_names(end_entity).ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))?;
        let known = self.known.load();
        // The name picks the partner, and then only that partner's anchors count.
        let partner = known.iter().find(|partner| names.contains(&partner.trust.host));
        let partner = partner.ok_or(Error::InvalidCertificate(CertificateError::NotValidForName))?;
        // One certificate, one gateway: a further partner's name in it would be a second identity.
        if known.iter().filter(|partner| names.contains(&partner.trust.host)).count() != 1 {
            return Err(Error::InvalidCertificate(CertificateError::NotValidForName));
        }
        partner.verifier.verify_client_cert(end_entity, intermediates, now)
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
        let algorithms = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }

    fn client_auth_mandatory(&self) -> bool {
        true
    }
}

/// The DNS names of a certificate (RFC 5280 §4.2.1.6). No wildcard matches: names are compared whole.
fn dns_names(certificate: &CertificateDer<'_>) -> Option<Vec<String>> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let names = parsed.subject_alternative_name().ok()??;
    let dns = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    });
    Some(dns.collect())
}
