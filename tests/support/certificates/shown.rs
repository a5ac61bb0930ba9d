//! Shows any certificate, whether or not the key fits: what a library refuses to load a hostile peer sends.

use std::sync::Arc;

use rcgen::KeyPair;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::wire::Identity;

#[derive(Debug)]
struct Shown(Arc<rustls::sign::CertifiedKey>);

impl rustls::client::ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(self.0.clone())
    }
    fn has_certs(&self) -> bool {
        true
    }
}

impl rustls::server::ResolvesServerCert for Shown {
    fn resolve(&self, _: rustls::server::ClientHello<'_>) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(self.0.clone())
    }
}

/// Whatever the chain says, with a key of our library's kinds: a key that it cannot load is stood in for.
fn shown(identity: &Identity) -> Arc<Shown> {
    let provider = rustls::crypto::ring::default_provider();
    let key = provider.key_provider.load_private_key(identity.1.clone_key()).unwrap_or_else(|_| {
        let spare = KeyPair::generate().unwrap().serialize_pem();
        provider
            .key_provider
            .load_private_key(PrivateKeyDer::from_pem_slice(spare.as_bytes()).unwrap())
            .unwrap()
    });
    Arc::new(Shown(Arc::new(rustls::sign::CertifiedKey::new(identity.0.clone(), key))))
}

/// A client that shows it, for a server under this anchor.
pub fn client(
    anchor: &CertificateDer<'static>,
    identity: Option<&Identity>,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(anchor.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    let config = config.with_root_certificates(roots);
    match identity {
        Some(identity) => config.with_client_cert_resolver(shown(identity)),
        None => config.with_no_client_auth(),
    }
}

/// A server that shows it, and asks for nothing.
pub fn server(identity: &Identity, versions: &[&'static SupportedProtocolVersion]) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    config.with_no_client_auth().with_cert_resolver(shown(identity))
}
