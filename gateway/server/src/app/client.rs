//! A client of a plane, as a command uses it: one request at a time over mutual TLS.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::config::{Config, Home};
use crate::directory::Partner;
use crate::keys::{self, Identity};
use crate::tls::{self, Group};

/// The largest answer that is read.
const ANSWER_MAX_BYTES: usize = 64 << 20;

/// For how long a question is asked again whose answer is to wait.
const PATIENCE: Duration = Duration::from_secs(600);
/// For a connection and its handshake.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// Where to connect, and as whom.
pub(super) struct Client {
    config: Arc<rustls::ClientConfig>,
    name: ServerName<'static>,
    address: String,
}

/// An answer.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// In which group keys were exchanged; None: in one that is none of ours.
    pub(super) group: Option<Group>,
    pub(super) body: Bytes,
}

impl Client {
    /// A client for the server of that host name at `address`, under these anchors.
    pub(super) fn new(
        anchors: &[CertificateDer<'static>],
        identity: Identity,
        host: &str,
        address: &str,
    ) -> Result<Self> {
        let config = tls::client(anchors, identity.chain, identity.key)?;
        Self::with(&config, host, address)
    }

    /// A client for a partner's server, as the gateway would connect to it.
    pub(super) fn of_partner(partner: &Partner, identity: Identity) -> Result<Self> {
        let config = tls::partner_client(&partner.trust(), identity.chain, identity.key)?;
        Self::with(&config, &partner.card.content().host, &partner.address)
    }

    fn with(config: &rustls::ClientConfig, host: &str, address: &str) -> Result<Self> {
        let mut config = config.clone();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let name = ServerName::try_from(host.to_owned()).map_err(|_| anyhow!("`{host}` is no host name"))?;
        Ok(Self { config: Arc::new(config), name, address: address.to_owned() })
    }

    /// The back end `slug` of a home, at its national plane.
    pub(super) fn back_end(home: &Home, config: &Config, slug: &str) -> Result<Self> {
        let certificate = home.client(&format!("backend-{slug}"));
        let identity = Identity::read(&certificate, &certificate.with_extension("key"))?;
        let anchor = keys::one(&home.certificate("national-ca"))?;
        Self::new(&[anchor], identity, &config.host, &config.national_plane.listen.to_string())
    }

    /// One request on a connection of its own.
    pub(super) async fn request(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Vec<u8>,
    ) -> Result<Answer> {
        let dial = async {
            let stream = TcpStream::connect(&self.address).await;
            let stream = stream
                .with_context(|| format!("{}: is the gateway running? (silkgate serve)", self.address))?;
            stream.set_nodelay(true)?;
            let tls = TlsConnector::from(self.config.clone()).connect(self.name.clone(), stream).await;
            tls.with_context(|| format!("TLS with {}", self.address))
        };
        let tls = tokio::time::timeout(CONNECT_WITHIN, dial).await;
        let tls = tls.map_err(|_| anyhow!("{}: no connection within 10 s", self.address))??;
        let group = Group::negotiated(tls.get_ref().1);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tls)).await?;
        let driver = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.address.as_str())
            .header(header::CONTENT_TYPE, content_type)
            .body(Full::new(Bytes::from(body)))?;
        let exchange = async {
            let response = sender.send_request(request).await?;
            let (parts, body) = response.into_parts();
            let body =
                Limited::new(body, ANSWER_MAX_BYTES).collect().await.map_err(|error| anyhow!("{error}"))?;
            Ok::<_, anyhow::Error>(Answer {
                status: parts.status,
                headers: parts.headers,
                group,
                body: body.to_bytes(),
            })
        };
        let answer = tokio::time::timeout(Duration::from_secs(120), exchange).await;
        driver.abort();
        answer
            .map_err(|_| anyhow!("{}: no answer within 120 s", self.address))?
            .with_context(|| self.address.clone())
    }

    /// `GET`.
    pub(super) async fn get(&self, path: &str) -> Result<Answer> {
        self.request(Method::GET, path, "application/json", Vec::new()).await
    }

    /// `GET`, which waits where the other side asks for time.
    pub(super) async fn ask(&self, path: &str) -> Result<Answer> {
        let began = tokio::time::Instant::now();
        loop {
            let answer = self.get(path).await?;
            match answer.asks_for().filter(|after| began.elapsed() + *after <= PATIENCE) {
                Some(after) => tokio::time::sleep(after).await,
                None => return Ok(answer),
            }
        }
    }

    /// `POST`.
    pub(super) async fn post(&self, path: &str, content_type: &str, body: Vec<u8>) -> Result<Answer> {
        self.request(Method::POST, path, content_type, body).await
    }
}

impl Answer {
    /// For how long the other side asks us to wait, a minute at most; None: it does not.
    fn asks_for(&self) -> Option<Duration> {
        let busy = matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        let seconds = self.headers.get(header::RETRY_AFTER).filter(|_| busy)?.to_str().ok()?.parse().ok()?;
        Some(Duration::from_secs(u64::clamp(seconds, 1, 60)))
    }

    /// The body as JSON.
    pub(super) fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("status {}: the answer is no JSON", self.status))
    }
}
