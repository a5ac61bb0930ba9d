//! Too much at once: one partner floods, another one sends at its own pace; then connections that do nothing.
//!
//! The flood keeps twice as many requests under way as the gateway takes from one partner. The quiet partner's pace is fixed, so
//! that what the flood costs it shows as messages that came late or not at all. All of it shares the machine's processors.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bytes::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::ServerName;
use serde_json::{Value, json};
use support::home::set;
use support::{Home, Pair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::load::{self, Bodies, Client, Line, Sender};
use crate::measure::memory_mb;

/// `requests_per_peer` of the default configuration.
const LIMIT: usize = 512;
/// Streams of one connection of the flood.
const STREAMS: usize = 32;
/// Messages a second of the quiet partner, and its connections.
const PACE: u64 = 200;
const LINES: u64 = 10;

/// Measures and prints.
pub(crate) fn run(quick: bool, as_json: bool) -> Result<()> {
    let seconds = if quick { 10 } else { 60 };
    let idle = if quick { 1000 } else { 10_000 };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut pair = Pair::set_up_files(None);
    let sa = Home::init_file(pair.folder.path(), "SA/border-guards");
    pair.jo.add_partner(&sa, None);
    pair.jo.ok(&["partner", "allow", "IQ", "--rate", "1000000"]);
    // All of it comes from one address.
    for (name, value) in [
        ("connections_per_address", "12000"),
        ("connections_per_peer", "12000"),
        ("handshakes_per_second", "12000"),
    ] {
        set(&pair.jo, name, value);
    }
    pair.jo.start();
    let rest_mb = memory_mb(pair.jo.pid())?;
    let quiet = || load::sign_bodies_of(&sa, (PACE * seconds) as usize + 200);
    let alone = runtime.block_on(paced(&sa, &pair.jo, quiet(), seconds))?;
    let flood = load::sign_bodies_of(&pair.iq, 6000 * seconds as usize);
    let bodies = quiet();
    let (beside, flooded, peak_mb) = runtime.block_on(async {
        let peak = async {
            let (mut peak, until) = (0.0_f64, Instant::now() + Duration::from_secs(seconds));
            while Instant::now() < until {
                peak = peak.max(memory_mb(pair.jo.pid())?);
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Ok::<_, anyhow::Error>(peak)
        };
        tokio::try_join!(paced(&sa, &pair.jo, bodies, seconds), flooding(&pair, flood, seconds), peak)
    })?;
    let after = runtime.block_on(paced(&sa, &pair.jo, quiet(), seconds.min(10)))?;
    let before_mb = memory_mb(pair.jo.pid())?;
    let connections = runtime.block_on(idle_connections(&pair, &pair.jo.partner_plane, idle))?;
    let idle_mb = memory_mb(pair.jo.pid())?;
    drop(connections);
    let report = json!({
        "seconds": seconds,
        "quiet_alone": of_pace(&alone, seconds), "quiet_beside_the_flood": of_pace(&beside, seconds),
        "quiet_after_it": of_pace(&after, seconds.min(10)),
        "flood": { "accepted_per_second": flooded.latencies.len() as u64 / seconds, "answered_503_per_second": flooded.refused / seconds,
                   "first_refusal": flooded.first_refusal, "p50_ms": percentile_ms(&flooded, 0.5), "p99_ms": percentile_ms(&flooded, 0.99) },
        "memory_mb": { "at_rest": rest_mb, "at_the_flood": peak_mb, "idle_connections": idle, "with_idle_connections": idle_mb },
        "memory_kb_per_idle_connection": (idle_mb - before_mb).max(0.0) * 1024.0 / idle as f64,
        "kept_of_alone": beside.latencies.len() as f64 / alone.latencies.len().max(1) as f64,
    });
    ensure!(pair.jo.audit().is_empty(), "the audit found something");
    if as_json {
        println!("{report}")
    } else {
        println!("{report:#}")
    }
    Ok(())
}

fn of_pace(client: &Client, seconds: u64) -> Value {
    json!({ "accepted_per_second": client.latencies.len() as f64 / seconds as f64, "of": PACE, "refused": client.refused,
            "p50_ms": percentile_ms(client, 0.5), "p99_ms": percentile_ms(client, 0.99) })
}

fn percentile_ms(client: &Client, part: f64) -> f64 {
    let all = &client.latencies;
    let place = ((all.len() as f64 * part) as usize).min(all.len().saturating_sub(1));
    all.get(place).map_or(0.0, |latency| latency.as_secs_f64() * 1000.0)
}

/// Sends at a fixed pace; what is accepted within the time counts.
async fn paced(from: &Home, to: &Home, bodies: Vec<Bytes>, seconds: u64) -> Result<Client> {
    let bodies = Bodies::once(bodies);
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut lines = Vec::new();
    for _ in 0..LINES {
        let (sender, connection) =
            hyper::client::conn::http1::handshake(line(from, to, false).await?).await?;
        tokio::spawn(connection);
        let mut sender = Sender::H1(sender);
        let bodies = bodies.clone();
        lines.push(tokio::spawn(async move {
            let mut total = Client::of(load::MESSAGES);
            let mut pace = tokio::time::interval(Duration::from_millis(1000 * LINES / PACE));
            // A message that comes late is sent late, and the next ones with it: the pace is not made up for.
            pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            while Instant::now() < until {
                pace.tick().await;
                total.one(&bodies, &mut sender).await?;
            }
            Ok::<_, anyhow::Error>(total)
        }));
    }
    Client::sum(lines).await
}

/// Twice what the gateway takes from one partner at once.
async fn flooding(pair: &Pair, bodies: Vec<Bytes>, seconds: u64) -> Result<Client> {
    let bodies = Bodies::once(bodies);
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut clients = Vec::new();
    for _ in 0..2 * LIMIT / STREAMS {
        let handshake = hyper::client::conn::http2::handshake(
            TokioExecutor::new(),
            line(&pair.iq, &pair.jo, true).await?,
        );
        let (sender, connection) = handshake.await?;
        tokio::spawn(connection);
        for _ in 0..STREAMS {
            let client = Client::of(load::MESSAGES);
            clients.push(tokio::spawn(load::run(client, bodies.clone(), until, Sender::H2(sender.clone()))));
        }
    }
    let total = Client::sum(clients).await?;
    ensure!(!bodies.ran_out(), "the bodies ran out: sign more");
    Ok(total)
}

async fn line(from: &Home, to: &Home, h2: bool) -> Result<Line> {
    line_at(&to.partner_plane, from, to, h2).await
}

/// The same at another address, where `to`'s certificate is shown.
async fn line_at(address: &str, from: &Home, to: &Home, h2: bool) -> Result<Line> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(to.host.clone())?;
    Ok(TokioIo::new(load::connector(from, to, h2)?.connect(name, stream).await?))
}

/// Connections that are open and do nothing.
pub(crate) async fn idle_connections(pair: &Pair, address: &str, count: usize) -> Result<Vec<Line>> {
    let mut lines = Vec::with_capacity(count);
    for _ in 0..count {
        let mut line = line_at(address, &pair.iq, &pair.jo, false).await?;
        // Who asks nothing at all loses the connection.
        line.inner_mut().write_all(b"GET /v1/channel HTTP/1.1\r\nHost: x\r\n\r\n").await?;
        ensure!(line.inner_mut().read(&mut [0; 4096]).await? > 0, "an answer");
        lines.push(line);
    }
    Ok(lines)
}
