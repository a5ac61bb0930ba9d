//! Lines to partners and to back ends: connections that are kept open, one question at a time over TLS.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::http::{HeaderName, Method, Request, Uri, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls_pki_types::ServerName;
use silkgate_message::agreement::KeyExchange;
use silkgate_message::party::Country;
use silkgate_message::problem::Code;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::directory::Partner;
use crate::handshakes::Handshakes;
use crate::keys::Identity;
use crate::tls;

/// A server, and the connections to it.
#[derive(Clone)]
pub struct Wire {
    client: Client<Connector, Full<Bytes>>,
    /// As it stands in the target URI and in `Host`.
    authority: String,
}

/// Connections to partners, kept open as long as nothing about them changes.
pub struct Lines {
    handshakes: Arc<Handshakes>,
    /// Idle connections kept for each partner, at most.
    idle_max: usize,
    known: Mutex<Known>,
    /// Where there is no wire: the tests' simulation.
    #[cfg(test)]
    carry: Option<Box<Carry>>,
}

struct Known {
    /// Who we are.
    identity: Identity,
    wires: HashMap<Country, (i64, Wire)>,
}

/// Carries a question to a partner and its answer back.
#[cfg(test)]
pub type Carry =
    dyn Fn(Country, Question) -> Pin<Box<dyn Future<Output = Result<Answer, String>> + Send>> + Send + Sync;

/// A question.
pub struct Question {
    /// The method.
    pub method: Method,
    /// The path, `/v1/…`.
    pub path: String,
    /// The content type of the body.
    pub content_type: &'static str,
    /// Further fields.
    pub fields: Vec<(HeaderName, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// For question and answer together.
    pub within: Duration,
    /// The longest answer that is read; 0: its status is all that counts, whatever follows.
    pub answer_max_bytes: usize,
}

/// Its answer.
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// `Retry-After`, an hour at most: a partner cannot put us off longer.
    pub retry_after: Option<Duration>,
    /// The body.
    pub body: Bytes,
}

impl Lines {
    /// Without a connection yet, as the gateway of that identity; each one is told to `handshakes`.
    pub fn new(identity: Identity, idle_max: usize, handshakes: Arc<Handshakes>) -> Self {
        Self {
            handshakes,
            idle_max,
            known: Mutex::new(Known { identity, wires: HashMap::new() }),
            #[cfg(test)]
            carry: None,
        }
    }

    /// Lines without a wire.
    #[cfg(test)]
    pub fn carried(identity: Identity, carry: Box<Carry>) -> Self {
        Self { carry: Some(carry), ..Self::new(identity, 0, Arc::default()) }
    }

    /// Asks once. `generation`: the count of changes at which `partner` was read; another one opens new
    /// connections, so that a change is felt at once.
    pub async fn ask(
        &self,
        partner: &Partner,
        generation: i64,
        question: Question,
    ) -> Result<Answer, String> {
        #[cfg(test)]
        if let Some(carry) = &self.carry {
            let within = question.within;
            let carried = tokio::time::timeout(within, carry(partner.country, question));
            return carried.await.unwrap_or_else(|_| Err(late(within)));
        }
        self.wire(partner, generation)?.ask(question).await
    }

    /// As the gateway of another identity from the next connection on; what is under way goes on.
    pub fn show(&self, identity: Identity) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Known { identity, wires: HashMap::new() };
    }

    fn wire(&self, partner: &Partner, generation: i64) -> Result<Wire, String> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, wire)) = known.wires.get(&partner.country)
            && *at == generation
        {
            return Ok(wire.clone());
        }
        let tls = known.identity.clone();
        let config = tls::partner_client(&partner.trust(), tls.chain, tls.key);
        let config = config.map_err(|error| error.to_string())?;
        let name = &partner.card.content().host;
        let mut connector = Connector::new(config, name, &partner.address)?;
        connector.partner = Some((partner.country, partner.agreement.key_exchange, self.handshakes.clone()));
        let wire = Wire::on(connector, &partner.address, self.idle_max);
        known.wires.insert(partner.country, (generation, wire.clone()));
        Ok(wire)
    }
}

fn late(within: Duration) -> String {
    format!("no answer within {} s", within.as_millis().div_ceil(1000))
}

impl Wire {
    /// Without a connection yet. `name`: what the server's certificate says; `address`: where it is; `idle_max`: idle connections
    /// kept, at most.
    pub fn new(
        config: Arc<rustls::ClientConfig>,
        name: &str,
        address: &str,
        authority: &str,
        idle_max: usize,
    ) -> Result<Self, String> {
        Ok(Self::on(Connector::new(config, name, address)?, authority, idle_max))
    }

    fn on(connector: Connector, authority: &str, idle_max: usize) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(60))
            .pool_max_idle_per_host(idle_max)
            .build(connector);
        Self { client, authority: authority.to_owned() }
    }

    /// Asks once. No redirection is followed.
    pub async fn ask(&self, question: Question) -> Result<Answer, String> {
        let within = question.within;
        let asked = tokio::time::timeout(within, exchange(self, question)).await;
        asked.unwrap_or_else(|_| Err(late(within)))
    }
}

async fn exchange(wire: &Wire, question: Question) -> Result<Answer, String> {
    let mut request = Request::builder()
        .method(question.method)
        .uri(format!("https://{}{}", wire.authority, question.path))
        .header(header::CONTENT_TYPE, question.content_type);
    for (name, value) in question.fields {
        request = request.header(name, value);
    }
    let request = request.body(Full::new(Bytes::from(question.body))).map_err(|error| error.to_string())?;
    let client = &wire.client;
    let response = client.request(request).await.map_err(|error| causes(&error))?;
    let status = response.status().as_u16();
    let seconds =
        response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let retry_after = seconds.map(|seconds: u64| Duration::from_secs(seconds.min(3600)));
    if question.answer_max_bytes == 0 {
        return Ok(Answer { status, retry_after, body: Bytes::new() });
    }
    let body = Limited::new(response.into_body(), question.answer_max_bytes).collect().await;
    let body = body.map_err(|error| format!("the answer broke off: {error}"))?.to_bytes();
    Ok(Answer { status, retry_after, body })
}

/// The chain of causes: a refused certificate stands at its end.
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

/// Dials a server: its address, its name, its anchors.
#[derive(Clone)]
struct Connector {
    tls: TlsConnector,
    name: ServerName<'static>,
    address: String,
    /// Whose server it is, how keys are to be exchanged with it, and who is told how they were.
    partner: Option<(Country, KeyExchange, Arc<Handshakes>)>,
}

impl Connector {
    fn new(config: Arc<rustls::ClientConfig>, host: &str, address: &str) -> Result<Self, String> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| format!("`{host}` is no host name"))?;
        Ok(Self { tls: TlsConnector::from(config), name, address: address.to_owned(), partner: None })
    }

    /// The handshake with a partner is done. Its policy is in what was offered, and held once more.
    fn done(&self, line: &TlsStream<TcpStream>) -> std::io::Result<()> {
        let Some((partner, policy, handshakes)) = &self.partner else { return Ok(()) };
        let Some(group) = tls::Group::negotiated(line.get_ref().1).filter(|group| group.fits(*policy)) else {
            return Err(std::io::Error::other(Code::KeyExchangeWeak.as_str()));
        };
        handshakes.done(*partner, tls::Side::Out, group);
        Ok(())
    }

    /// What the library says, and what it comes of where that is not to be seen.
    fn explained(&self, error: std::io::Error) -> std::io::Error {
        use rustls::AlertDescription::{HandshakeFailure, InsufficientSecurity};
        let alert = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
        let is_unlike =
            matches!(alert, Some(rustls::Error::AlertReceived(HandshakeFailure | InsufficientSecurity)));
        let only = self.partner.as_ref().is_some_and(|(_, policy, _)| *policy == KeyExchange::HybridOnly);
        if is_unlike && only {
            let group = tls::Group::X25519Mlkem768.as_str();
            return std::io::Error::other(format!(
                "{}: the server does not take {group}, and the agreement wants it",
                Code::KeyExchangeWeak
            ));
        }
        error
    }
}

impl tower::Service<Uri> for Connector {
    type Response = Line;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Line, std::io::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), std::io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            let address = &connector.address;
            let dial = async {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                let connected = tls::explained(connector.tls.connect(connector.name.clone(), stream)).await;
                let line = connected.map_err(|(error, refused)| {
                    if let Some((partner, _, handshakes)) = &connector.partner {
                        handshakes.failed(*partner, &refused);
                    }
                    connector.explained(error)
                })?;
                connector.done(&line)?;
                Ok::<_, std::io::Error>(line)
            };
            let dialled = tokio::time::timeout(Duration::from_secs(10), dial).await;
            let line = dialled
                .map_err(|_| std::io::Error::other(format!("{address}: no connection within 10 s")))??;
            Ok(Line(TokioIo::new(line)))
        })
    }
}

/// A connection.
struct Line(TokioIo<TlsStream<TcpStream>>);

impl Connection for Line {
    fn connected(&self) -> Connected {
        match self.0.inner().get_ref().1.alpn_protocol() {
            Some(b"h2") => Connected::new().negotiated_h2(),
            _ => Connected::new(),
        }
    }
}

impl hyper::rt::Read for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl hyper::rt::Write for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
