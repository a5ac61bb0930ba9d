//! One attempt to send a message to a partner, and the proof that its answer must bring.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::http::{Method, Request, Uri, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls_pki_types::ServerName;
use silkgate_ledger::entry::{Kind, Verdict};
use silkgate_ledger::{Entry, Receipt, VerifierKey};
use silkgate_message::party::Country;
use silkgate_message::problem::{Code, Problem};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::directory::Partner;
use crate::gateway::Gateway;
use crate::store::ledger::hash;
use crate::store::message::Message;
use crate::tls;

/// The longest answer that is read.
const ANSWER_MAX_BYTES: usize = 1 << 20;

/// What became of an attempt.
#[derive(Debug)]
pub enum Attempt {
    /// Accepted; the receipt is verified.
    Accepted {
        /// The receipt.
        receipt: Vec<u8>,
    },
    /// Refused; the receipt is verified.
    Rejected {
        /// The receipt.
        receipt: Vec<u8>,
        /// The partner's problem document.
        problem: Box<Problem>,
    },
    /// The partner asks for more time; no verdict.
    Later {
        /// What it said.
        what: String,
        /// When to come back, if it said so.
        after: Option<Duration>,
    },
    /// Refused without a receipt: nothing proves that it was the partner's verdict on this message.
    Refused {
        /// The code.
        code: String,
    },
    /// Not reached, or an answer that proves nothing.
    Failed {
        /// What happened.
        what: String,
    },
}

type PartnerClient = Client<Connector, Full<Bytes>>;

/// Sends, on connections that are kept open per partner.
pub struct Sender {
    gateway: Arc<Gateway>,
    clients: Mutex<HashMap<Country, (i64, PartnerClient)>>,
}

impl Sender {
    /// A sender without connections.
    pub fn new(gateway: Arc<Gateway>) -> Self {
        Self { gateway, clients: Mutex::default() }
    }

    /// Sends once and judges the answer.
    pub async fn attempt(&self, message: &Message, payload: Vec<u8>) -> Attempt {
        let directory = self.gateway.directory();
        let country = message.partner.parse::<Country>().ok();
        let partner =
            country.and_then(|country| directory.partner(country)).filter(|partner| partner.is_active());
        let Some(partner) = partner else {
            return Attempt::Later { what: "the partner is suspended".to_owned(), after: None };
        };
        let client = match self.client(partner, directory.generation) {
            Ok(client) => client,
            Err(what) => return Attempt::Failed { what },
        };
        let deadline = Duration::from_secs(self.gateway.config.dispatch.attempt_seconds);
        match tokio::time::timeout(deadline, post(&client, partner, payload)).await {
            Ok(Ok(answer)) => answer.judge(message, &partner.log_key),
            Ok(Err(what)) => Attempt::Failed { what },
            Err(_) => Attempt::Failed { what: format!("no answer within {} s", deadline.as_secs()) },
        }
    }

    fn client(&self, partner: &Partner, generation: i64) -> Result<PartnerClient, String> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, client)) = clients.get(&partner.country)
            && *known == generation
        {
            return Ok(client.clone());
        }
        let tls = &self.gateway.keys.tls;
        let config = tls::client(&partner.trust().anchors, tls.chain.clone(), tls.key.clone_key())
            .map_err(|error| error.to_string())?;
        let connector = Connector::new(config, &partner.card.content().host, &partner.address)?;
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(60))
            .pool_max_idle_per_host(self.gateway.config.dispatch.concurrency)
            .build(connector);
        clients.insert(partner.country, (generation, client.clone()));
        Ok(client)
    }
}

struct Answer {
    status: u16,
    retry_after: Option<Duration>,
    body: Bytes,
}

async fn post(client: &PartnerClient, partner: &Partner, payload: Vec<u8>) -> Result<Answer, String> {
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("https://{}/v1/messages", partner.address))
        .header(header::CONTENT_TYPE, "application/jose+json")
        .body(Full::new(Bytes::from(payload)))
        .map_err(|error| error.to_string())?;
    let response = client.request(request).await.map_err(|error| causes(&error))?;
    let status = response.status().as_u16();
    let seconds =
        response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let body = Limited::new(response.into_body(), ANSWER_MAX_BYTES).collect().await;
    let body = body.map_err(|error| format!("the answer broke off: {error}"))?.to_bytes();
    // Bounded: a partner cannot put us off beyond an hour.
    let retry_after = seconds.map(|seconds: u64| Duration::from_secs(seconds.min(3600)));
    Ok(Answer { status, retry_after, body })
}

/// The chain of causes: a refused certificate stands at its end.
fn causes(error: &dyn std::error::Error) -> String {
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

impl Answer {
    fn judge(self, message: &Message, log_key: &VerifierKey) -> Attempt {
        if self.status == 200 {
            return match proves(&self.body, Verdict::Accepted, None, message, log_key) {
                Ok(()) => Attempt::Accepted { receipt: self.body.to_vec() },
                Err(what) => {
                    Attempt::Failed { what: format!("accepted, but its receipt proves nothing: {what}") }
                }
            };
        }
        let Ok(problem) = serde_json::from_slice::<Problem>(&self.body) else {
            return Attempt::Failed { what: format!("status {} without a problem document", self.status) };
        };
        let no_verdict = problem.code.is_not_yet()
            || problem.code == Code::PartnerSuspended
            || matches!(self.status, 429 | 503);
        if no_verdict {
            return Attempt::Later { what: format!("not now: {}", problem.code), after: self.retry_after };
        }
        match &problem.receipt {
            None if is_about_the_form(problem.code) => Attempt::Refused { code: problem.code.to_string() },
            // Of the connection, or of what the partner does not know yet: our card, for one.
            None => Attempt::Later {
                what: format!("refused without receipt: {}", problem.code),
                after: self.retry_after,
            },
            Some(receipt) => {
                let receipt = receipt.clone().into_bytes();
                match proves(&receipt, Verdict::Rejected, Some(problem.code.as_str()), message, log_key) {
                    Ok(()) => Attempt::Rejected { receipt, problem: Box::new(problem) },
                    Err(what) => {
                        Attempt::Failed { what: format!("refused, but its receipt proves nothing: {what}") }
                    }
                }
            }
        }
    }
}

/// Refusals of the message's form: the same bytes will be refused again, unless the line alters them.
fn is_about_the_form(code: Code) -> bool {
    use Code::*;
    matches!(
        code,
        BodyTooLarge
            | ContentTypeUnsupported
            | JsonInvalid
            | JsonDuplicateMember
            | JsonTooDeep
            | JsonNumberRange
            | JwsMalformed
            | HeaderInvalid
            | AlgorithmRefused
            | AlgorithmMismatch
            | SignatureInvalid
    )
}

/// Whether a receipt proves that the partner's log of our channel holds this verdict on this message.
fn proves(
    receipt: &[u8],
    verdict: Verdict,
    code: Option<&str>,
    message: &Message,
    log_key: &VerifierKey,
) -> Result<(), String> {
    let receipt = Receipt::parse(receipt).map_err(|error| error.to_string())?;
    let verified = receipt.verify(std::slice::from_ref(log_key)).map_err(|error| error.to_string())?;
    is_about(&verified.entry, verdict, code, message)
}

fn is_about(entry: &Entry, verdict: Verdict, code: Option<&str>, message: &Message) -> Result<(), String> {
    let kind = if verdict == Verdict::Accepted { Kind::Received } else { Kind::Rejected };
    let fits = [
        ("kind", entry.kind == kind),
        ("verdict", entry.verdict == Some(verdict)),
        ("code", entry.code.as_deref() == code),
        ("jws", entry.jws == Some(hash(message.digest))),
        ("id", entry.id.as_deref() == Some(&message.id.to_string())),
        ("from", entry.from.as_deref() == Some(&message.source)),
        ("to", entry.to.as_deref() == Some(&message.recipient)),
        ("type", entry.message_type.as_deref() == Some(&message.kind)),
    ];
    match fits.iter().find(|(_, fits)| !fits) {
        None => Ok(()),
        Some((member, _)) => Err(format!("its entry's `{member}` is not that of the message")),
    }
}

/// Dials a partner: its address, its name, its anchors.
#[derive(Clone)]
struct Connector {
    tls: TlsConnector,
    name: ServerName<'static>,
    address: String,
}

impl Connector {
    fn new(config: Arc<rustls::ClientConfig>, host: &str, address: &str) -> Result<Self, String> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| format!("`{host}` is no host name"))?;
        Ok(Self { tls: TlsConnector::from(config), name, address: address.to_owned() })
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
        let Self { tls, name, address } = self.clone();
        Box::pin(async move {
            let dialled = tokio::time::timeout(Duration::from_secs(10), TcpStream::connect(&address)).await;
            let stream = dialled
                .map_err(|_| std::io::Error::other(format!("{address}: no connection within 10 s")))??;
            stream.set_nodelay(true)?;
            Ok(Line(TokioIo::new(tls.connect(name, stream).await?)))
        })
    }
}

/// A connection to a partner.
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
