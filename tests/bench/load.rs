//! The load: unique signed bodies, kept connections, closed loop, bounded in count and time.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use silkgate_ledger::{Receipt, VerifierKey};
use support::{Home, Pair, event, sign, wire};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::measure::{all_and_stolen, cpu_seconds};

/// More than any machine this runs on will take in a round.
const PER_SECOND_MAX: usize = 16_000;

/// How to connect.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    /// Connections.
    pub(crate) connections: usize,
    /// Requests under way on each.
    pub(crate) streams: usize,
    /// HTTP/2.
    pub(crate) h2: bool,
}

impl Shape {
    /// Bodies to sign for a round: one request waits for each other on one connection.
    pub(crate) fn bodies(&self, round: Duration) -> usize {
        let per_second = (self.connections * self.streams * 1200).min(PER_SECOND_MAX);
        per_second * round.as_secs() as usize
    }
}

/// What a round measured.
pub(crate) struct Round {
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    pub(crate) first_refusal: String,
    pub(crate) steal_percent: f64,
    seconds: f64,
    server_cpu_s: f64,
    latencies: Vec<Duration>,
}

impl Round {
    pub(crate) fn per_second(&self) -> f64 {
        self.accepted as f64 / self.seconds
    }

    pub(crate) fn cpu_us(&self) -> f64 {
        self.server_cpu_s * 1e6 / self.accepted.max(1) as f64
    }

    pub(crate) fn percentile_ms(&self, part: f64) -> f64 {
        let place =
            ((self.latencies.len() as f64 * part) as usize).min(self.latencies.len().saturating_sub(1));
        self.latencies.get(place).map_or(0.0, |latency| latency.as_secs_f64() * 1000.0)
    }
}

/// What is left to send.
pub(crate) struct Bodies {
    left: Mutex<VecDeque<Bytes>>,
    /// Whoever is asked keeps nothing: each body may be sent any number of times.
    again: bool,
}

impl Bodies {
    /// Each to be sent once.
    pub(crate) fn once(bodies: Vec<Bytes>) -> Arc<Self> {
        Arc::new(Self { left: Mutex::new(bodies.into()), again: false })
    }

    /// To be sent over and over.
    pub(crate) fn over_and_over(bodies: Vec<Bytes>) -> Arc<Self> {
        Arc::new(Self { left: Mutex::new(bodies.into()), again: true })
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Bytes>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Option<Bytes> {
        let mut left = self.lock();
        let body = left.pop_front()?;
        if self.again {
            left.push_back(body.clone());
        }
        Some(body)
    }

    /// It was refused, and is still to be sent.
    fn give_back(&self, body: Bytes) {
        if !self.again {
            self.lock().push_back(body);
        }
    }

    /// Whether a load was cut short for want of bodies.
    pub(crate) fn ran_out(&self) -> bool {
        self.lock().is_empty()
    }
}

/// Where gateways take messages.
pub(crate) const MESSAGES: &str = "/v1/messages";

/// Where a load goes, and what it costs there.
pub(crate) struct Target<'a> {
    /// Connections take them in turn.
    pub(crate) addresses: Vec<String>,
    /// As whom: Iraq's gateway, as Jordan's partner.
    pub(crate) pair: &'a Pair,
    /// Seconds of processor time that it has cost so far.
    pub(crate) cpu: Box<dyn Fn() -> Result<f64> + 'a>,
    /// Whether receipts come back.
    pub(crate) receipts: bool,
    /// What is asked for.
    pub(crate) path: &'static str,
}

impl<'a> Target<'a> {
    /// Gateways of Jordan's.
    pub(crate) fn gateways(pair: &'a Pair, gateways: Vec<&'a Home>) -> Self {
        Self {
            addresses: gateways.iter().map(|gateway| gateway.partner_plane.clone()).collect(),
            pair,
            cpu: Box::new(move || gateways.iter().map(|gateway| cpu_seconds(gateway.pid())).sum()),
            receipts: true,
            path: MESSAGES,
        }
    }

    /// What stands in the place of Jordan's gateway, and gives no receipts.
    pub(crate) fn other(pair: &'a Pair, address: &str, cpu: impl Fn() -> Result<f64> + 'a) -> Self {
        let addresses = vec![address.to_owned()];
        Self { addresses, pair, cpu: Box::new(cpu), receipts: false, path: MESSAGES }
    }

    /// Lines to it, one for each connection of a shape.
    async fn lines(&self, shape: Shape) -> Result<Vec<Line>> {
        let connector = connector(&self.pair.iq, &self.pair.jo, shape.h2)?;
        let name = ServerName::try_from(self.pair.jo.host.clone())?;
        let mut lines = Vec::new();
        for address in self.addresses.iter().cycle().take(shape.connections) {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            lines.push(TokioIo::new(connector.connect(name.clone(), stream).await?));
        }
        Ok(lines)
    }
}

/// A connection.
pub(crate) type Line = TokioIo<TlsStream<TcpStream>>;

/// Signs `count` messages from Iraq of their own records, on all processors.
pub(crate) fn sign_bodies(pair: &Pair, count: usize) -> Vec<Bytes> {
    sign_bodies_of(&pair.iq, count)
}

/// The same from another state.
pub(crate) fn sign_bodies_of(home: &Home, count: usize) -> Vec<Bytes> {
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let key = home.message_key();
                    let one = || Bytes::from(sign(&key, &event(&home.party, "JO/public-security")).bytes);
                    (0..count / threads).map(|_| one()).collect::<Vec<_>>()
                })
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap_or_default()).collect()
    })
}

/// One round of load on Jordan's partner plane, as Iraq's gateway.
pub(crate) async fn round(pair: &Pair, shape: Shape, bodies: Vec<Bytes>, time: Duration) -> Result<Round> {
    round_on(&Target::gateways(pair, vec![&pair.jo]), shape, Bodies::once(bodies), time).await
}

/// The same on any target: as many requests under way as the shape says, and the next as soon as one is answered.
pub(crate) async fn round_on(
    target: &Target<'_>,
    shape: Shape,
    bodies: Arc<Bodies>,
    time: Duration,
) -> Result<Round> {
    let lines = target.lines(shape).await?;
    let meter = Meter::start(target)?;
    let until = meter.started + time;
    let mut clients = Vec::new();
    for line in lines {
        if shape.h2 {
            let (sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), line).await?;
            tokio::spawn(connection);
            for _ in 0..shape.streams {
                let client = Client::of(target.path);
                clients.push(tokio::spawn(run(client, bodies.clone(), until, Sender::H2(sender.clone()))));
            }
        } else {
            let (sender, connection) = hyper::client::conn::http1::handshake(line).await?;
            tokio::spawn(connection);
            let client = Client::of(target.path);
            clients.push(tokio::spawn(run(client, bodies.clone(), until, Sender::H1(sender))));
        }
    }
    meter.end(clients, &bodies).await
}

/// A load that does not wait for answers: `per_second` requests fall due in each second, on lines that take turns. A request that
/// its line could not send in time counts from when it was due.
pub(crate) async fn paced(
    target: &Target<'_>,
    per_second: f64,
    shape: Shape,
    bodies: Arc<Bodies>,
    time: Duration,
) -> Result<Round> {
    let lines = target.lines(shape).await?;
    let meter = Meter::start(target)?;
    let until = meter.started + time;
    let gap = Duration::from_secs_f64(shape.connections as f64 / per_second);
    let mut clients = Vec::new();
    for (number, line) in lines.into_iter().enumerate() {
        let (sender, connection) = hyper::client::conn::http1::handshake(line).await?;
        tokio::spawn(connection);
        let (bodies, mut sender) = (bodies.clone(), Sender::H1(sender));
        let mut due = meter.started + gap.mul_f64(number as f64 / shape.connections as f64);
        let mut client = Client::of(target.path);
        clients.push(tokio::spawn(async move {
            while due < until {
                // The clock of the runtime is coarser than an answer: what was sent late for that reason is not held
                // against whoever answers.
                let was_free = Instant::now() <= due;
                tokio::time::sleep_until(due.into()).await;
                let since = if was_free { Instant::now() } else { due };
                if !client.one_since(since, &bodies, &mut sender).await? {
                    break;
                }
                due += gap;
            }
            Ok(client)
        }));
    }
    meter.end(clients, &bodies).await
}

/// Measures a load from its begin on.
struct Meter<'a> {
    target: &'a Target<'a>,
    cpu: f64,
    ticks: (f64, f64),
    started: Instant,
}

impl<'a> Meter<'a> {
    fn start(target: &'a Target<'a>) -> Result<Self> {
        Ok(Self { target, cpu: (target.cpu)()?, ticks: all_and_stolen()?, started: Instant::now() })
    }

    async fn end(self, clients: Vec<JoinHandle<Result<Client>>>, bodies: &Bodies) -> Result<Round> {
        let total = Client::sum(clients).await?;
        let seconds = self.started.elapsed().as_secs_f64();
        let server_cpu_s = (self.target.cpu)()? - self.cpu;
        let ((all, stolen), (all_after, stolen_after)) = (self.ticks, all_and_stolen()?);
        ensure!(!bodies.ran_out(), "the bodies ran out: sign more");
        if self.target.receipts {
            verify(self.target.pair, &total.sample.context("no answer at all")?)?;
        }
        Ok(Round {
            accepted: total.latencies.len() as u64,
            refused: total.refused,
            first_refusal: total.first_refusal,
            steal_percent: 100.0 * (stolen_after - stolen) / (all_after - all).max(1.0),
            seconds,
            server_cpu_s,
            latencies: total.latencies,
        })
    }
}

pub(crate) struct Client {
    path: &'static str,
    pub(crate) latencies: Vec<Duration>,
    pub(crate) refused: u64,
    pub(crate) first_refusal: String,
    sample: Option<Bytes>,
}

pub(crate) enum Sender {
    H1(hyper::client::conn::http1::SendRequest<Full<Bytes>>),
    H2(hyper::client::conn::http2::SendRequest<Full<Bytes>>),
}

/// One request after another until the time is up.
pub(crate) async fn run(
    mut client: Client,
    bodies: Arc<Bodies>,
    until: Instant,
    mut sender: Sender,
) -> Result<Client> {
    while Instant::now() < until && client.one(&bodies, &mut sender).await? {}
    Ok(client)
}

impl Client {
    /// One that has done nothing yet.
    pub(crate) fn of(path: &'static str) -> Self {
        Self { path, latencies: Vec::new(), refused: 0, first_refusal: String::new(), sample: None }
    }

    /// What all of them did, the quickest answer first.
    pub(crate) async fn sum(clients: Vec<JoinHandle<Result<Client>>>) -> Result<Client> {
        let mut total = Client::of(MESSAGES);
        for client in clients {
            let client = client.await??;
            total.refused += client.refused;
            total.latencies.extend(client.latencies);
            if total.first_refusal.is_empty() {
                total.first_refusal = client.first_refusal;
            }
            total.sample = client.sample.or(total.sample);
        }
        total.latencies.sort();
        Ok(total)
    }

    /// One request and its answer; false where the bodies ran out.
    pub(crate) async fn one(&mut self, bodies: &Bodies, sender: &mut Sender) -> Result<bool> {
        self.one_since(Instant::now(), bodies, sender).await
    }

    /// The same, of which the time counts from `started` on.
    async fn one_since(&mut self, started: Instant, bodies: &Bodies, sender: &mut Sender) -> Result<bool> {
        let Some(body) = bodies.take() else {
            return Ok(false);
        };
        // HTTP/1.1 in its plainest form: another is refused, and the connection with it.
        let target = match sender {
            Sender::H1(_) => self.path.to_owned(),
            Sender::H2(_) => format!("https://silkgate{}", self.path),
        };
        let request = Request::post(target)
            .header("host", "silkgate")
            .header("content-type", "application/jose+json")
            .body(Full::new(body.clone()))?;
        let response = match sender {
            Sender::H1(sender) => sender.send_request(request).await?,
            Sender::H2(sender) => sender.send_request(request).await?,
        };
        let status = response.status();
        let answer = response.into_body().collect().await?.to_bytes();
        if status == 200 {
            self.latencies.push(started.elapsed());
            self.sample = Some(answer);
        } else {
            self.refused += 1;
            // It is still to be sent.
            bodies.give_back(body);
            if self.first_refusal.is_empty() {
                self.first_refusal = String::from_utf8_lossy(&answer).into_owned();
            }
        }
        Ok(true)
    }
}

/// A sample of each round is a receipt of Jordan's log.
fn verify(pair: &Pair, receipt: &[u8]) -> Result<()> {
    let key = pair.iq.json(&["partner", "show", "JO"])["log"]
        .as_str()
        .unwrap_or_default()
        .parse::<VerifierKey>()?;
    Receipt::parse(receipt)?.verify(&[key])?;
    Ok(())
}

pub(crate) fn connector(from: &Home, to: &Home, h2: bool) -> Result<TlsConnector> {
    connector_as(from.tls_identity(), &to.path.join("certs/tls-ca.pem"), h2)
}

pub(crate) fn connector_as((chain, key): wire::Identity, anchor: &Path, h2: bool) -> Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    for anchor in wire::certificates(anchor) {
        roots.add(anchor)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)?;
    config.alpn_protocols = vec![if h2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
    Ok(TlsConnector::from(Arc::new(config)))
}
