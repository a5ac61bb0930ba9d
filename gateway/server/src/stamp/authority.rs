//! The time-stamping authority over HTTP (RFC 3161 §3.4). Its address is the operator's own setting; nothing that a partner says gets here.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use axum::http::{Request, StatusCode, Uri, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls_pki_types::{CertificateDer, ServerName};
use silkgate_timestamp::TOKEN_MAX_BYTES;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::config::{Home, Timestamp};
use crate::keys;
use crate::tls;

/// Where to ask, and whom to believe.
pub struct Authority {
    /// Its CA certificates.
    pub anchors: Vec<CertificateDer<'static>>,
    /// Between two time-stamps of one log.
    pub every: Duration,
    timeout: Duration,
    address: String,
    host: String,
    path: String,
    tls: Option<(Arc<rustls::ClientConfig>, ServerName<'static>)>,
}

impl Authority {
    /// From `[timestamp]`; an error is a mistake in the configuration, which the start of the gateway reports.
    pub fn new(home: &Home, settings: &Timestamp) -> Result<Self> {
        let anchors = keys::chain(&home.path().join(&settings.anchors)).context("[timestamp] anchors")?;
        // Without the address: a password may stand in it.
        let wrong =
            || anyhow!("[timestamp] url is no http:// or https:// address of a server, without a password");
        let url: Uri = settings.url.parse().map_err(|_| wrong())?;
        let authority = url.authority().filter(|a| !a.as_str().contains('@')).ok_or_else(wrong)?;
        let (port, secure) = match url.scheme_str() {
            Some("http") => (80, false),
            Some("https") => (443, true),
            _ => return Err(wrong()),
        };
        // An IPv6 address stands in brackets in a URL, and without them in a certificate.
        let name = authority.host().trim_start_matches('[').trim_end_matches(']');
        let tls = if secure {
            let roots = settings.roots.as_ref();
            let roots = roots
                .ok_or_else(|| anyhow!("[timestamp] roots: an https:// address needs the server's CA"))?;
            let roots = keys::chain(&home.path().join(roots)).context("[timestamp] roots")?;
            Some((
                tls::anonymous_client(&roots)?,
                ServerName::try_from(name.to_owned()).map_err(|_| wrong())?,
            ))
        } else {
            None
        };
        if settings.every_seconds == 0 || settings.timeout_seconds == 0 {
            bail!("[timestamp] every_seconds and timeout_seconds are 1 at least");
        }
        Ok(Self {
            anchors,
            every: Duration::from_secs(settings.every_seconds),
            timeout: Duration::from_secs(settings.timeout_seconds),
            address: format!("{}:{}", authority.host(), url.port_u16().unwrap_or(port)),
            host: authority.to_string(),
            path: url.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string),
            tls,
        })
    }

    /// Sends a query; the body of the answer, which nobody has judged yet. Bounded in time and size.
    pub async fn ask(&self, query: Vec<u8>) -> Result<Bytes> {
        let asked = tokio::time::timeout(self.timeout, self.exchange(query)).await;
        let late = |_| anyhow!("no answer within {} s", self.timeout.as_secs());
        asked.map_err(late).and_then(|answer| answer).with_context(|| self.address.clone())
    }

    async fn exchange(&self, query: Vec<u8>) -> Result<Bytes> {
        let stream = TcpStream::connect(&self.address).await?;
        match &self.tls {
            Some((config, name)) => {
                let tls = TlsConnector::from(config.clone()).connect(name.clone(), stream);
                self.post(tls.await.context("TLS")?, query).await
            }
            None => self.post(stream, query).await,
        }
    }

    async fn post<S>(&self, stream: S, query: Vec<u8>) -> Result<Bytes>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let request = Request::post(self.path.as_str())
            .header(header::HOST, self.host.as_str())
            .header(header::CONTENT_TYPE, "application/timestamp-query")
            .header(header::CONNECTION, "close")
            .body(Full::new(Bytes::from(query)))?;
        let exchange = async {
            let response = sender.send_request(request).await?;
            if response.status() != StatusCode::OK {
                bail!("status {}", response.status());
            }
            let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
            let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
            if !kind.eq_ignore_ascii_case("application/timestamp-reply") {
                bail!("the answer is not of type application/timestamp-reply");
            }
            let body = Limited::new(response.into_body(), TOKEN_MAX_BYTES).collect().await;
            Ok(body.map_err(|error| anyhow!("the answer: {error}"))?.to_bytes())
        };
        // Polled here and not in a task: it ends with this call, whatever the authority does. Once the connection has ended, the exchange
        // has what came, or its own error.
        let drive = async {
            let _ = connection.await;
            std::future::pending().await
        };
        tokio::select! {
            answer = exchange => answer,
            answer = drive => answer,
        }
    }
}
