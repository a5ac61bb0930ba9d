//! By what a partner's certificates are judged: its anchors, and what its authorities have revoked.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::UnixTime;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, ServerName};
use silkgate_message::agreement::KeyExchange;

use super::fit::{Leaf, may_all_sign};
use super::{TlsError, provider, refused, roots};

/// What TLS knows of a partner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartnerTrust {
    /// ISO 3166-1 alpha-2.
    pub partner: String,
    /// The name that its certificate must hold.
    pub host: String,
    /// Its own authorities.
    pub anchors: Vec<CertificateDer<'static>>,
    /// What they have revoked.
    pub revocation: Revocation,
    /// How keys are exchanged with it, by the agreement.
    pub key_exchange: KeyExchange,
}

/// Revocation lists in force. Without any nothing is looked up; with one every certificate of a chain must stand under one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revocation {
    /// The lists, DER (RFC 5280 §5).
    pub lists: Vec<CertificateRevocationListDer<'static>>,
    /// When the first of them runs out, seconds since 1970.
    pub until_s: u64,
    /// For how long one is still believed after that, by the agreement.
    pub grace_s: u64,
}

impl Revocation {
    /// The last second at which a certificate can be judged; None: there are no lists.
    pub(super) fn end_s(&self) -> Option<u64> {
        (!self.lists.is_empty()).then(|| self.until_s.saturating_add(self.grace_s))
    }
}

/// A pair: the second one holds lists against their end, and is asked once that and its grace have passed.
pub(super) struct Pair<V: ?Sized> {
    within: Arc<V>,
    beyond: Arc<V>,
    end_s: Option<u64>,
}

impl<V: ?Sized> Pair<V> {
    pub(super) fn at(&self, now: UnixTime) -> &V {
        let is_within = self.end_s.is_none_or(|end_s| now.as_secs() <= end_s);
        if is_within { &self.within } else { &self.beyond }
    }
}

impl PartnerTrust {
    fn roots(&self) -> Result<Arc<RootCertStore>, TlsError> {
        roots(&self.anchors)
    }

    /// Judges the partner's certificate where it calls.
    pub(super) fn of_clients(&self) -> Result<Pair<dyn ClientCertVerifier>, TlsError> {
        let builder = || {
            let builder = WebPkiClientVerifier::builder_with_provider(self.roots()?, provider());
            Ok::<_, TlsError>(builder.with_crls(self.revocation.lists.clone()))
        };
        let (within, beyond) = (builder()?.build()?, builder()?.enforce_revocation_expiration().build()?);
        Ok(Pair { within, beyond, end_s: self.revocation.end_s() })
    }

    /// Judges it where it is called.
    pub(super) fn of_server(&self) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
        let builder = || {
            let builder = WebPkiServerVerifier::builder_with_provider(self.roots()?, provider());
            Ok::<_, TlsError>(builder.with_crls(self.revocation.lists.clone()))
        };
        let (within, beyond) = (builder()?.build()?, builder()?.enforce_revocation_expiration().build()?);
        let verifiers = Pair { within, beyond, end_s: self.revocation.end_s() };
        Ok(Arc::new(Server { host: self.host.clone(), verifiers }))
    }
}

/// The partner's server: its certificate is held to the same as the client's, which is the same one.
struct Server {
    host: String,
    verifiers: Pair<WebPkiServerVerifier>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Server({})", self.host)
    }
}

impl ServerCertVerifier for Server {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        refused::judging(end_entity);
        Leaf::read(end_entity)?.fits(&self.host)?;
        let verifier = self.verifiers.at(now);
        let verified =
            verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?;
        may_all_sign(intermediates)?;
        refused::believed();
        Ok(verified)
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
        self.verifiers.within.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifiers.within.supported_verify_schemes()
    }
}
