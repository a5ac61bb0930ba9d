//! One request to a server that an operator named, over HTTP/1.1, with or without TLS: for what is signed, and for few bytes.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use axum::http::{HeaderMap, Request, StatusCode, Uri, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::tls;

/// Why a server cannot be asked. Without its address: a password may stand in it.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// The address.
    #[error("no http:// or https:// address of a server, without user or password")]
    Address,
    /// By which authorities an `https://` server is known.
    #[error("an https:// address needs the server's CA: {0}")]
    Roots(String),
}

/// A server and a path on it.
pub struct Web {
    /// `host:port`.
    pub address: String,
    host: String,
    path: String,
    tls: Option<(Arc<rustls::ClientConfig>, ServerName<'static>)>,
}

impl Web {
    /// From a URL; `roots`: by which authorities an `https://` server is known, PEM.
    pub fn read(url: &str, roots: Option<&[u8]>) -> Result<Self, Unusable> {
        let wrong = || Unusable::Address;
        let url: Uri = url.parse().map_err(|_| wrong())?;
        let authority = url.authority().filter(|a| !a.as_str().contains('@')).ok_or_else(wrong)?;
        let (port, secure) = match url.scheme_str() {
            Some("http") => (80, false),
            Some("https") => (443, true),
            _ => return Err(wrong()),
        };
        let tls = if secure {
            let roots = roots.ok_or_else(|| Unusable::Roots("none is given".to_owned()))?;
            let unusable = |error: &dyn std::fmt::Display| Unusable::Roots(error.to_string());
            let roots: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(roots).collect();
            let roots = roots.map_err(|error| unusable(&error))?;
            // An IPv6 address stands in brackets in a URL, and without them in a certificate.
            let name = authority.host().trim_start_matches('[').trim_end_matches(']');
            let name = ServerName::try_from(name.to_owned()).map_err(|_| wrong())?;
            Some((tls::anonymous_client(&roots).map_err(|error| unusable(&error))?, name))
        } else {
            None
        };
        Ok(Self {
            address: format!("{}:{}", authority.host(), url.port_u16().unwrap_or(port)),
            host: authority.to_string(),
            path: url.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string),
            tls,
        })
    }

    /// `GET`: the body of a 200.
    pub async fn get(&self, most: usize, within: Duration) -> Result<Bytes> {
        let request = Request::get(self.path.as_str());
        self.ask(request, Vec::new(), &[StatusCode::OK], most, within).await.map(|answer| answer.body)
    }

    /// `GET`: the body of a 200 or of a 503, for those who tell by the one or the other how they are.
    pub async fn state(&self, most: usize, within: Duration) -> Result<(StatusCode, Bytes)> {
        let told = [StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE];
        let answer = self.ask(Request::get(self.path.as_str()), Vec::new(), &told, most, within).await?;
        Ok((answer.status, answer.body))
    }

    /// `POST`: the fields and the body of a 200.
    pub async fn post(
        &self,
        kind: &str,
        body: Vec<u8>,
        most: usize,
        within: Duration,
    ) -> Result<(HeaderMap, Bytes)> {
        let request = Request::post(self.path.as_str()).header(header::CONTENT_TYPE, kind);
        let answer = self.ask(request, body, &[StatusCode::OK], most, within).await?;
        Ok((answer.headers, answer.body))
    }

    /// Bounded in time and size; the answer is judged by nobody yet. Another status than those `told` is an error.
    async fn ask(
        &self,
        request: axum::http::request::Builder,
        body: Vec<u8>,
        told: &[StatusCode],
        most: usize,
        within: Duration,
    ) -> Result<Answer> {
        let request = request
            .header(header::HOST, self.host.as_str())
            .header(header::CONNECTION, "close")
            .body(Full::new(Bytes::from(body)))?;
        let asked = tokio::time::timeout(within, self.exchange(request, told, most)).await;
        let late = |_| anyhow!("no answer within {} s", within.as_secs());
        asked.map_err(late).and_then(|answer| answer).with_context(|| self.address.clone())
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        told: &[StatusCode],
        most: usize,
    ) -> Result<Answer> {
        let stream = TcpStream::connect(&self.address).await?;
        match &self.tls {
            Some((config, name)) => {
                let tls = TlsConnector::from(config.clone()).connect(name.clone(), stream);
                send(tls.await.context("TLS")?, request, told, most).await
            }
            None => send(stream, request, told, most).await,
        }
    }
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

async fn send<S>(stream: S, request: Request<Full<Bytes>>, told: &[StatusCode], most: usize) -> Result<Answer>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        if !told.contains(&response.status()) {
            bail!("status {}", response.status());
        }
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, most).collect().await;
        let body = body.map_err(|error| anyhow!("the answer: {error}"))?.to_bytes();
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    };
    // Polled here and not in a task: it ends with this call, whatever the server does. Once the connection has ended, the exchange
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
