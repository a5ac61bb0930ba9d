//! The load: unique signed bodies, kept connections, closed loop, bounded in count and time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::{http1, http2};
use hyper::header::CONTENT_TYPE;
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use support::{Home, Pair, event, sign, wire};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::measure::{CpuTimes, CpuUse, percentile};
use crate::receipts::Answered;

/// The longest any connection or request may take: beyond it the gateway hangs.
const PATIENCE: Duration = Duration::from_secs(10);

/// How to connect.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    /// What the report calls it.
    pub(crate) name: &'static str,
    /// Connections.
    pub(crate) connections: usize,
    /// Requests under way on each.
    pub(crate) streams: usize,
    /// HTTP/2.
    pub(crate) h2: bool,
}

/// What a round measured.
pub(crate) struct Round {
    pub(crate) cpu: CpuUse,
    pub(crate) answered: Vec<Answered>,
    /// Answers that were no receipt, and requests without an answer.
    pub(crate) errors: u64,
    /// What the first of them was.
    pub(crate) first_error: String,
    pub(crate) seconds: f64,
    /// Milliseconds, ascending.
    pub(crate) latencies_ms: Vec<f64>,
}

impl Round {
    pub(crate) fn accepted(&self) -> u64 {
        self.latencies_ms.len() as u64
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.accepted() as f64 / self.seconds
    }

    pub(crate) fn server_us(&self) -> f64 {
        self.cpu.server_s * 1e6 / self.accepted().max(1) as f64
    }

    pub(crate) fn client_us(&self) -> f64 {
        self.cpu.client_s * 1e6 / self.accepted().max(1) as f64
    }

    pub(crate) fn percentile_ms(&self, part: f64) -> f64 {
        percentile(&self.latencies_ms, part)
    }
}

/// Signs `count` messages of this moment, each with an id and a record of its own, on all processors.
pub(crate) fn sign_bodies(pair: &Pair, count: usize) -> Vec<Bytes> {
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let key = pair.iq.message_key();
                    let one = || Bytes::from(sign(&key, &event(&pair.iq.party, &pair.jo.party)).bytes);
                    (0..count.div_ceil(threads)).map(|_| one()).collect::<Vec<_>>()
                })
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap_or_default()).collect()
    })
}

/// One round of load on Jordan's partner plane, as Iraq's gateway. It ends after `time`, with the last
/// of `bodies`, or when `stop` is set.
pub(crate) async fn round(
    pair: &Pair,
    shape: Shape,
    bodies: Vec<Bytes>,
    time: Duration,
    stop: &Arc<AtomicBool>,
) -> Result<Round> {
    let senders = connect(pair, shape).await?;
    let bodies = Arc::new(Bodies { all: bodies, next: AtomicUsize::new(0) });
    let before = CpuTimes::now(pair.jo.pid())?;
    let started = Instant::now();
    let mut clients = Vec::new();
    for sender in senders {
        let client = Client { sender, host: pair.jo.host.clone(), bodies: bodies.clone() };
        clients.push(tokio::spawn(client.run(started + time, stop.clone())));
    }
    let mut total = Tally::default();
    for client in clients {
        let tally = client.await?;
        total.errors += tally.errors;
        total.answered.extend(tally.answered);
        total.latencies_ms.extend(tally.latencies_ms);
        total.first_error = total.first_error.or(tally.first_error);
    }
    let seconds = started.elapsed().as_secs_f64();
    let cpu = CpuTimes::now(pair.jo.pid())?.since(&before);
    total.latencies_ms.sort_by(f64::total_cmp);
    Ok(Round {
        cpu,
        answered: total.answered,
        errors: total.errors,
        first_error: total.first_error.unwrap_or_default(),
        seconds,
        latencies_ms: total.latencies_ms,
    })
}

/// Messages that the clients take from in turn.
struct Bodies {
    all: Vec<Bytes>,
    next: AtomicUsize,
}

impl Bodies {
    fn take(&self) -> Option<Bytes> {
        self.all.get(self.next.fetch_add(1, Ordering::Relaxed)).cloned()
    }
}

#[derive(Default)]
struct Tally {
    latencies_ms: Vec<f64>,
    answered: Vec<Answered>,
    errors: u64,
    first_error: Option<String>,
}

enum Sender {
    H1(http1::SendRequest<Full<Bytes>>),
    H2(http2::SendRequest<Full<Bytes>>),
}

/// One request after another.
struct Client {
    sender: Sender,
    host: String,
    bodies: Arc<Bodies>,
}

impl Client {
    async fn run(mut self, until: Instant, stop: Arc<AtomicBool>) -> Tally {
        let mut tally = Tally::default();
        while Instant::now() < until && !stop.load(Ordering::Relaxed) {
            let Some(message) = self.bodies.take() else { break };
            let started = Instant::now();
            let answer = timeout(PATIENCE, self.post(message.clone())).await;
            match answer.context("no answer in time").and_then(|answer| answer) {
                Ok(receipt) => {
                    tally.latencies_ms.push(started.elapsed().as_secs_f64() * 1000.0);
                    tally.answered.push(Answered { message, receipt });
                }
                Err(error) => {
                    tally.errors += 1;
                    // One is enough: an error of the connection would only come again.
                    tally.first_error = Some(format!("{error:#}"));
                    break;
                }
            }
        }
        tally
    }

    /// Sends a message and gives its receipt.
    async fn post(&mut self, message: Bytes) -> Result<Bytes> {
        let body = Full::new(message);
        let request = |uri: String| Request::post(uri).header(CONTENT_TYPE, "application/jose+json");
        let response = match &mut self.sender {
            Sender::H1(sender) => {
                let request = request("/v1/messages".to_owned()).header("host", &self.host);
                sender.send_request(request.body(body)?).await?
            }
            Sender::H2(sender) => {
                let request = request(format!("https://{}/v1/messages", self.host));
                sender.send_request(request.body(body)?).await?
            }
        };
        let (head, body) = response.into_parts();
        let answer = body.collect().await?.to_bytes();
        ensure!(head.status == StatusCode::OK, "{}: {}", head.status, String::from_utf8_lossy(&answer));
        ensure!(!head.headers.contains_key("silkgate-replay"), "a new message was taken for a replay");
        Ok(answer)
    }
}

async fn connect(pair: &Pair, shape: Shape) -> Result<Vec<Sender>> {
    let connector = connector(&pair.iq, &pair.jo, shape.h2)?;
    let mut senders = Vec::with_capacity(shape.connections * shape.streams);
    for _ in 0..shape.connections {
        let line = timeout(PATIENCE, dial(&connector, &pair.jo)).await.context("no connection in time")??;
        if shape.h2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), line).await?;
            // It ends with its senders; what ends it early, each of them reports.
            tokio::spawn(connection);
            senders.extend((0..shape.streams).map(|_| Sender::H2(sender.clone())));
        } else {
            let (sender, connection) = http1::handshake(line).await?;
            tokio::spawn(connection);
            senders.push(Sender::H1(sender));
        }
    }
    Ok(senders)
}

type Line = TokioIo<tokio_rustls::client::TlsStream<TcpStream>>;

async fn dial(connector: &TlsConnector, to: &Home) -> Result<Line> {
    let stream = TcpStream::connect(&to.partner_plane).await?;
    stream.set_nodelay(true)?;
    Ok(TokioIo::new(connector.connect(ServerName::try_from(to.host.clone())?, stream).await?))
}

fn connector(from: &Home, to: &Home, h2: bool) -> Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    for anchor in wire::certificates(&to.path.join("certs/tls-ca.pem")) {
        roots.add(anchor)?;
    }
    let (chain, key) = from.tls_identity();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)?;
    config.alpn_protocols = vec![if h2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
    Ok(TlsConnector::from(Arc::new(config)))
}
