//! Where a back end is told what is for it: read from what an operator set.

use axum::http::Uri;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::tls::{self, TlsError};

/// The way to a back end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// `https://`: a server of its own, which answers each delivery.
    Webhook,
    /// `tls://`: a NATS server with JetStream, which keeps it.
    Nats,
}

/// A server, and how it is known.
pub struct Endpoint {
    /// The way.
    pub way: Way,
    /// The name in its certificate.
    pub name: String,
    /// `host:port`, to connect to.
    pub address: String,
    /// As it stands in the URL.
    pub authority: String,
    /// The path with the query; `/` at least.
    pub path: String,
    /// TLS that knows this server and no other.
    pub tls: std::sync::Arc<rustls::ClientConfig>,
}

impl Endpoint {
    /// From its URL and the certificates, PEM, of the authorities by which it is known. Nothing goes out in the clear, and no public
    /// authority is believed.
    pub fn read(url: &str, anchors: &[u8]) -> Result<Self, String> {
        // Without the URL: a password may stand in it.
        let wrong =
            || "the address is no https:// or tls:// URL of a server, without user or password".to_owned();
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let authority =
            uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(wrong)?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let (way, port) = match uri.scheme_str() {
            Some("https") => (Way::Webhook, 443),
            Some("tls") if path == "/" => (Way::Nats, 4222),
            Some("tls") => return Err("a tls:// address of a NATS server has no path".to_owned()),
            _ => return Err(wrong()),
        };
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(anchors).collect();
        let certificates = certificates.map_err(|error| format!("the certificates: {error}"))?;
        if certificates.is_empty() {
            return Err("the file holds no certificate".to_owned());
        }
        let tls = tls::anonymous_client(&certificates).map_err(|error: TlsError| error.to_string())?;
        Ok(Self {
            way,
            // An IPv6 address stands in brackets in a URL, and without them in a certificate.
            name: authority.host().trim_start_matches('[').trim_end_matches(']').to_owned(),
            address: format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(port)),
            authority: authority.to_string(),
            path: path.to_owned(),
            tls,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_safe_or_refused() {
        let (_, authority) =
            silkgate_certs::Authority::create("a", time::OffsetDateTime::UNIX_EPOCH).unwrap();
        let read = |url: &str| Endpoint::read(url, authority.certificate_pem.as_bytes());
        let webhook = read("https://police.iq.example/silkgate?v=1").unwrap();
        assert_eq!((webhook.way, webhook.address.as_str()), (Way::Webhook, "police.iq.example:443"));
        assert_eq!((webhook.path.as_str(), webhook.name.as_str()), ("/silkgate?v=1", "police.iq.example"));
        let ip = read("https://[::1]:9443").unwrap();
        assert_eq!((ip.name.as_str(), ip.address.as_str(), ip.path.as_str()), ("::1", "[::1]:9443", "/"));
        let nats = read("tls://nats.iq.example").unwrap();
        assert_eq!((nats.way, nats.address.as_str()), (Way::Nats, "nats.iq.example:4222"));
        for refused in [
            "http://police.iq.example/",
            "nats://nats.iq.example",
            "https://user:password@police.iq.example/",
            "tls://nats.iq.example/path",
            "police.iq.example",
            "https://",
            "",
        ] {
            assert!(read(refused).is_err(), "{refused}");
        }
        assert!(Endpoint::read("https://police.iq.example/", b"").is_err());
        assert!(
            Endpoint::read(
                "https://police.iq.example/",
                b"-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n"
            )
            .is_err()
        );
    }
}
