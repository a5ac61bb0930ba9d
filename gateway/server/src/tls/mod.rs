//! TLS 1.3 with mutual authentication on both planes. No resumption anywhere: rustls 0.23 resumes a
//! session with the stored client certificate unchecked, and a revoked peer would stay in.

mod fit;
mod group;
mod hybrid;
#[cfg(test)]
mod hybrid_tests;
#[cfg(test)]
mod matrix;
mod partner;
mod refused;
#[cfg(test)]
mod tests;
mod trust;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::CertificateDer;
use silkgate_message::agreement::KeyExchange;

use group::provider_of;
pub use group::{Group, Side};
pub use partner::PartnerServer;
pub use refused::{Fault, Refused, Shown, explained, fault};
pub use trust::{PartnerTrust, Revocation};

/// Why TLS settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A certificate or key does not do.
    #[error("TLS: {}", words(.0))]
    Rustls(rustls::Error),
    /// Anchors that cannot be used.
    #[error("TLS anchors: {0}")]
    Anchors(#[from] rustls::server::VerifierBuilderError),
    /// A partner whose anchors cannot be used.
    #[error("partner {partner}: {source}")]
    Partner {
        /// ISO 3166-1 alpha-2.
        partner: String,
        /// Why.
        source: Box<TlsError>,
    },
}

impl From<rustls::Error> for TlsError {
    fn from(error: rustls::Error) -> Self {
        TlsError::Rustls(error)
    }
}

/// What went wrong, for people: the library shows our own reasons in Rust's notation.
fn words(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(rustls::CertificateError::Other(own)) => own.0.to_string(),
        error => error.to_string(),
    }
}

/// Whether a partner's anchors and lists can be used: one that cannot must not keep the others from being read.
pub fn usable(trust: PartnerTrust) -> Result<(), TlsError> {
    partner::usable(trust)
}

/// Whether partners who have these anchors would take the chain as that of `host` now, and the key is the chain's.
pub fn own(
    chain: &[CertificateDer<'static>],
    key: Arc<dyn SigningKey>,
    anchors: Vec<CertificateDer<'static>>,
    host: &str,
) -> Result<(), TlsError> {
    partner::would_pass(chain, anchors, host, rustls_pki_types::UnixTime::now())?;
    // The server's settings are where a key that is not the chain's is refused.
    PartnerServer::new(chain.to_vec(), key, Vec::new()).map(drop)
}

/// What is shown in a handshake; refused where the key, wherever it is kept, is not the chain's.
fn identity(
    chain: Vec<CertificateDer<'static>>,
    key: Arc<dyn SigningKey>,
) -> Result<Arc<SingleCertAndKey>, TlsError> {
    let certified = CertifiedKey::new(chain, key);
    certified.keys_match()?;
    Ok(Arc::new(SingleCertAndKey::from(certified)))
}

/// What every connection may use that no agreement says otherwise of.
fn provider() -> Arc<CryptoProvider> {
    provider_of(KeyExchange::Classical)
}

fn roots(anchors: &[CertificateDer<'static>]) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    for anchor in anchors {
        roots.add(anchor.clone())?;
    }
    Ok(Arc::new(roots))
}

/// Neither tickets nor a session store, no early data.
fn without_resumption(mut config: ServerConfig) -> ServerConfig {
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

/// The server of the national plane: clients of the state's own authority only.
pub fn national_server(
    chain: Vec<CertificateDer<'static>>,
    key: Arc<dyn SigningKey>,
    anchor: CertificateDer<'static>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(&[anchor])?, provider()).build()?;
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(identity(chain, key)?);
    Ok(Arc::new(without_resumption(config)))
}

/// A client with a certificate, for a partner's server.
pub fn partner_client(
    trust: &PartnerTrust,
    chain: Vec<CertificateDer<'static>>,
    key: Arc<dyn SigningKey>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let config = ClientConfig::builder_with_provider(provider_of(trust.key_exchange))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        // Stricter than the one it stands before: beside the path and the name also purpose, key and revocation.
        .dangerous()
        .with_custom_certificate_verifier(trust.of_server()?)
        .with_client_cert_resolver(identity(chain, key)?);
    Ok(as_a_client(config, true))
}

/// No resumption, and what is spoken.
fn as_a_client(mut config: ClientConfig, h2: bool) -> Arc<ClientConfig> {
    config.resumption = rustls::client::Resumption::disabled();
    let h2 = h2.then(|| b"h2".to_vec());
    config.alpn_protocols = h2.into_iter().chain([b"http/1.1".to_vec()]).collect();
    Arc::new(config)
}

/// A client with a certificate, for a server with these anchors and no others.
pub fn client(
    anchors: &[CertificateDer<'static>],
    chain: Vec<CertificateDer<'static>>,
    key: Arc<dyn SigningKey>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots(anchors)?)
        .with_client_cert_resolver(identity(chain, key)?);
    Ok(as_a_client(config, true))
}

/// A client of a collector of syslog: TLS 1.2 too, which RFC 5425 asks for, with the suites that RFC 9662 wants. It shows a certificate where
/// there is one.
pub fn collector_client(
    anchors: &[CertificateDer<'static>],
    shown: Option<(Vec<CertificateDer<'static>>, Arc<dyn SigningKey>)>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_root_certificates(roots(anchors)?);
    let mut config = match shown {
        Some((chain, key)) => config.with_client_cert_resolver(identity(chain, key)?),
        None => config.with_no_client_auth(),
    };
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

/// A client without a certificate, for a server that is no partner: also TLS 1.2, which we do not choose for others.
pub fn anonymous_client(anchors: &[CertificateDer<'static>]) -> Result<Arc<ClientConfig>, TlsError> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_root_certificates(roots(anchors)?)
        .with_no_client_auth();
    Ok(as_a_client(config, false))
}
