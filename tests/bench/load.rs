//! The load: unique signed bodies, kept connections, closed loop, bounded in count and time.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use serde_json::Value;
use silkgate_ledger::{Receipt, VerifierKey};
use support::{Home, Pair, event, sign, wire};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

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
    round_on(pair, &[&pair.jo], shape, bodies, time).await
}

/// The same on several gateways of Jordan's: each connection on the next one.
pub(crate) async fn round_on(
    pair: &Pair,
    gateways: &[&Home],
    shape: Shape,
    bodies: Vec<Bytes>,
    time: Duration,
) -> Result<Round> {
    let bodies = Arc::new(Mutex::new(VecDeque::from(bodies)));
    let connector = connector(&pair.iq, &pair.jo, shape.h2)?;
    let name = ServerName::try_from(pair.jo.host.clone())?;
    let mut lines = Vec::new();
    for gateway in gateways.iter().cycle().take(shape.connections) {
        let stream = TcpStream::connect(&gateway.partner_plane).await?;
        stream.set_nodelay(true)?;
        lines.push(TokioIo::new(connector.connect(name.clone(), stream).await?));
    }
    let cpu_of_all = || gateways.iter().map(|gateway| cpu_seconds(gateway.pid())).sum::<Result<f64>>();
    let (cpu, (all, stolen), started) = (cpu_of_all()?, all_and_stolen()?, Instant::now());
    let until = started + time;
    let mut clients = Vec::new();
    for line in lines {
        if shape.h2 {
            let (sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), line).await?;
            tokio::spawn(connection);
            for _ in 0..shape.streams {
                clients.push(tokio::spawn(run(bodies.clone(), until, Sender::H2(sender.clone()))));
            }
        } else {
            let (sender, connection) = hyper::client::conn::http1::handshake(line).await?;
            tokio::spawn(connection);
            clients.push(tokio::spawn(run(bodies.clone(), until, Sender::H1(sender))));
        }
    }
    let mut total = Client::default();
    for client in clients {
        let client = client.await??;
        total.refused += client.refused;
        total.latencies.extend(client.latencies);
        if total.first_refusal.is_empty() {
            total.first_refusal = client.first_refusal;
        }
        total.sample = client.sample.or(total.sample);
    }
    let seconds = started.elapsed().as_secs_f64();
    let (all_after, stolen_after) = all_and_stolen()?;
    let server_cpu_s = cpu_of_all()? - cpu;
    ensure!(
        !bodies.lock().unwrap_or_else(PoisonError::into_inner).is_empty(),
        "the bodies ran out: sign more"
    );
    verify(pair, &total.sample.context("no answer at all")?)?;
    total.latencies.sort();
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

#[derive(Default)]
pub(crate) struct Client {
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
    bodies: Arc<Mutex<VecDeque<Bytes>>>,
    until: Instant,
    mut sender: Sender,
) -> Result<Client> {
    let mut client = Client::default();
    while Instant::now() < until && client.one(&bodies, &mut sender).await? {}
    Ok(client)
}

impl Client {
    /// One request and its answer; false where the bodies ran out.
    pub(crate) async fn one(&mut self, bodies: &Mutex<VecDeque<Bytes>>, sender: &mut Sender) -> Result<bool> {
        let Some(body) = bodies.lock().unwrap_or_else(PoisonError::into_inner).pop_front() else {
            return Ok(false);
        };
        // HTTP/1.1 in its plainest form: another is refused, and the connection with it.
        let target = match sender {
            Sender::H1(_) => "/v1/messages",
            Sender::H2(_) => "https://silkgate/v1/messages",
        };
        let request = Request::post(target)
            .header("host", "silkgate")
            .header("content-type", "application/jose+json")
            .body(Full::new(body.clone()))?;
        let started = Instant::now();
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
            bodies.lock().unwrap_or_else(PoisonError::into_inner).push_back(body);
            if self.first_refusal.is_empty() {
                self.first_refusal = String::from_utf8_lossy(&answer).into_owned();
            }
        }
        Ok(true)
    }
}

/// Connections of back ends in [`submit_many`].
const SUBMITTERS: u64 = 16;

/// Submits that many events to a home's national plane, each for a record of its own.
pub(crate) async fn submit_many(home: &Home, count: u64) -> Result<()> {
    submit_each(home, count, || event("IQ/traffic-police", "JO/public-security")).await
}

/// The same of events of any kind.
pub(crate) async fn submit_each(home: &Home, count: u64, make: fn() -> Value) -> Result<()> {
    let certificate = home.path.join("clients/backend-traffic-police.pem");
    let identity = wire::identity(&certificate, &certificate.with_extension("key"));
    let connector = connector_as(identity, &home.path.join("certs/national-ca.pem"), false)?;
    let name = ServerName::try_from(home.host.clone())?;
    let mut submitters = Vec::new();
    for n in 0..SUBMITTERS {
        let share = count / SUBMITTERS + u64::from(n < count % SUBMITTERS);
        let stream = TcpStream::connect(&home.national_plane).await?;
        stream.set_nodelay(true)?;
        let line = TokioIo::new(connector.connect(name.clone(), stream).await?);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(line).await?;
        tokio::spawn(connection);
        submitters.push(tokio::spawn(async move {
            for _ in 0..share {
                let body = make().to_string();
                let request = Request::post("/v1/submissions")
                    .header("host", "silkgate")
                    .header("content-type", "application/cloudevents+json")
                    .body(Full::new(Bytes::from(body)))?;
                let response = sender.send_request(request).await?;
                ensure!(response.status() == 202, "a submission was answered {}", response.status());
                response.into_body().collect().await?;
            }
            Ok::<_, anyhow::Error>(())
        }));
    }
    for submitter in submitters {
        submitter.await??;
    }
    Ok(())
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

fn connector_as((chain, key): wire::Identity, anchor: &Path, h2: bool) -> Result<TlsConnector> {
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
