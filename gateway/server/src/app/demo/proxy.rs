//! The line from Iraq to Jordan. It passes bytes on; once, when told to, it breaks TLS open with both
//! states' TLS keys, as no outsider could, and alters the message in it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, anyhow};
use axum::http::{Request, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls_pki_types::CertificateDer;
use silkgate_message::jws::{decode, encode};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::super::client::Client;
use crate::config::Home;
use crate::keys::{self, Identity};

/// The line.
pub(super) struct Proxy {
    line: Arc<Line>,
    cut: watch::Sender<u64>,
}

struct Line {
    alter_next: AtomicBool,
    receiver_port: u16,
    sender: Home,
    receiver: Home,
}

impl Proxy {
    /// Passes what comes in on `listener` on to the receiver's partner plane.
    pub(super) async fn start(
        listener: std::net::TcpListener,
        sender: &Path,
        receiver: &Path,
        receiver_port: u16,
    ) -> Result<Self> {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let line = Arc::new(Line {
            alter_next: AtomicBool::new(false),
            receiver_port,
            sender: Home::new(sender),
            receiver: Home::new(receiver),
        });
        let (cut, cuts) = watch::channel(0);
        let accepted = line.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (line, mut cuts) = (accepted.clone(), cuts.clone());
                cuts.mark_unchanged();
                tokio::spawn(async move {
                    tokio::select! {
                        _ = line.carry(stream) => {}
                        _ = cuts.changed() => {}
                    }
                });
            }
        });
        Ok(Self { line, cut })
    }

    /// Alters the next message: open connections are cut, so that it comes by one that can be broken open.
    pub(super) fn alter_next_message(&self) {
        self.line.alter_next.store(true, Ordering::SeqCst);
        self.cut.send_modify(|cuts| *cuts += 1);
    }
}

impl Line {
    async fn carry(&self, mut stream: TcpStream) -> Result<()> {
        if self.alter_next.load(Ordering::SeqCst) {
            return self.break_open(stream).await;
        }
        let mut onward = TcpStream::connect(("127.0.0.1", self.receiver_port)).await?;
        tokio::io::copy_bidirectional(&mut stream, &mut onward).await?;
        Ok(())
    }

    /// Ends TLS towards the sender with the receiver's key, and sends on what comes under the sender's TLS
    /// key: a message altered, and anything else, such as a log shown to its witness, as it is.
    async fn break_open(&self, stream: TcpStream) -> Result<()> {
        let chain = keys::chain(&self.receiver.certificate("tls"))?;
        let key = keys::private_key(&self.receiver.key("tls"))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        let tls = TlsAcceptor::from(Arc::new(config)).accept(stream).await?;
        let service = hyper::service::service_fn(|request: Request<Incoming>| self.pass(request));
        hyper::server::conn::http1::Builder::new()
            .keep_alive(false)
            .serve_connection(TokioIo::new(tls), service)
            .await?;
        Ok(())
    }

    async fn pass(&self, request: Request<Incoming>) -> Result<hyper::Response<Full<Bytes>>> {
        let (parts, body) = request.into_parts();
        let mut body = body.collect().await?.to_bytes().to_vec();
        if parts.uri.path() == "/v1/messages" && self.alter_next.swap(false, Ordering::SeqCst) {
            body = paint_black(&body)?;
        }
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let media = parts.headers.get(header::CONTENT_TYPE).and_then(|media| media.to_str().ok());
        let identity = Identity::partner_plane(&self.sender)?;
        let anchor: CertificateDer<'static> = keys::one(&self.receiver.certificate("tls-ca"))?;
        let host = self.receiver.config()?.host;
        let client = Client::new(&[anchor], identity, &host, &format!("127.0.0.1:{}", self.receiver_port))?;
        let answer = client.request(parts.method, path, media.unwrap_or_default(), body).await?;
        let mut response = hyper::Response::new(Full::new(answer.body.clone()));
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers.clone();
        Ok(response)
    }
}

/// Changes the wanted vehicle's colour inside the signed message.
fn paint_black(message: &[u8]) -> Result<Vec<u8>> {
    let mut jws: serde_json::Value = serde_json::from_slice(message)?;
    let payload = jws["payload"].as_str().and_then(decode).ok_or_else(|| anyhow!("no message"))?;
    let payload = String::from_utf8(payload)?;
    let altered = payload.replace(r#""colour":"red""#, r#""colour":"black""#);
    (altered != payload).then_some(()).context("nothing to alter")?;
    jws["payload"] = encode(altered.as_bytes()).into();
    Ok(serde_json::to_vec(&jws)?)
}
