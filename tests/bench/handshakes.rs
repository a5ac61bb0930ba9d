//! What a handshake on the partner plane costs, with X25519MLKEM768 and without: full mutual ones, each on a connection of its own, against
//! the shipped binary.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustls::crypto::{CryptoProvider, SupportedKxGroup, ring};
use rustls::{ClientConfig, ClientConnection, NamedGroup, RootCertStore, StreamOwned};
use rustls_pki_types::ServerName;
use serde_json::{Value, json};
use support::home::set;
use support::{Home, Pair, wire};

use crate::hybrid::X25519MLKEM768;
use crate::measure::{self, Spread, cpu_seconds};

/// Seconds of handshakes in a round.
const ROUND: Duration = Duration::from_secs(3);
/// Clients at once, one for each of two processors.
const CLIENTS: usize = 2;

/// What a client offers.
struct Shape {
    name: &'static str,
    groups: &'static [&'static dyn SupportedKxGroup],
    agreed: NamedGroup,
}

/// The groups as our gateways offer them under `classical` and under `hybrid_first`.
fn shapes() -> [Shape; 2] {
    const CLASSICAL: &[&dyn SupportedKxGroup] = ring::ALL_KX_GROUPS;
    let hybrid: Vec<_> = std::iter::once(X25519MLKEM768).chain(CLASSICAL.iter().copied()).collect();
    [
        Shape { name: "x25519", groups: CLASSICAL, agreed: NamedGroup::X25519 },
        Shape { name: "X25519MLKEM768", groups: hybrid.leak(), agreed: NamedGroup::X25519MLKEM768 },
    ]
}

/// A round.
struct Round {
    per_second: f64,
    server_us: f64,
    client_us: f64,
    median_ms: f64,
    bytes: f64,
    steal_percent: f64,
}

/// Measures and prints.
pub fn run(rounds: usize, as_json: bool) -> Result<()> {
    let mut pair = Pair::set_up_files(None);
    pair.jo.with_operations();
    // All come from one address.
    set(&pair.jo, "handshakes_per_second", "100000");
    pair.jo.start();
    let shapes = shapes();
    let mut rows: Vec<Vec<Round>> = shapes.iter().map(|_| Vec::new()).collect();
    // In turns, so that a slow minute of the machine meets both. The first round warms up.
    for n in 0..=rounds {
        for (shape, kept) in shapes.iter().zip(&mut rows) {
            let done = round(&pair, shape)?;
            if n > 0 {
                kept.push(done);
            }
            eprintln!("round {n} of {rounds}: {}", shape.name);
        }
    }
    let rows: Vec<Value> = shapes.iter().zip(&rows).map(|(shape, rounds)| row(shape.name, rounds)).collect();
    let report =
        json!({ "rounds": rounds, "seconds_per_round": ROUND.as_secs(), "clients": CLIENTS, "shapes": rows });
    if as_json {
        println!("{report}")
    } else {
        print(&report)
    }
    Ok(())
}

fn row(name: &str, rounds: &[Round]) -> Value {
    let spread = |figure: fn(&Round) -> f64| Spread::of(rounds.iter().map(figure)).json();
    json!({
        "group": name, "handshakes_per_second": spread(|round| round.per_second),
        "server_cpu_us": spread(|round| round.server_us), "client_cpu_us": spread(|round| round.client_us),
        "median_ms": spread(|round| round.median_ms), "bytes_both_ways": spread(|round| round.bytes),
        "steal_percent": spread(|round| round.steal_percent),
    })
}

fn round(pair: &Pair, shape: &Shape) -> Result<Round> {
    let config = Arc::new(client(pair, shape)?);
    let before = counted(&pair.jo, shape.agreed)?;
    let (server, own) = (pair.jo.pid(), std::process::id());
    let (server_cpu, own_cpu) = (cpu_seconds(server)?, cpu_seconds(own)?);
    let (all, stolen) = measure::all_and_stolen()?;
    let began = Instant::now();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (config, address, host) =
                (config.clone(), pair.jo.partner_plane.clone(), pair.jo.host.clone());
            let agreed = shape.agreed;
            std::thread::spawn(move || {
                let mut took = Vec::new();
                while began.elapsed() < ROUND {
                    took.push(handshake(&config, &address, &host, agreed)?);
                }
                Ok::<_, anyhow::Error>(took)
            })
        })
        .collect();
    let mut took = Vec::new();
    for client in clients {
        took.extend(client.join().ok().context("a client died")??);
    }
    let seconds = began.elapsed().as_secs_f64();
    let count = took.len() as f64;
    let (server_cpu, own_cpu) = (cpu_seconds(server)? - server_cpu, cpu_seconds(own)? - own_cpu);
    let (all_now, stolen_now) = measure::all_and_stolen()?;
    // Each was whole: the server has judged the client's certificate and counted it.
    let counted = counted(&pair.jo, shape.agreed)? - before;
    ensure!(counted == took.len(), "{}: {} handshakes, {counted} counted", shape.name, took.len());
    let bytes = took.iter().map(|(_, bytes)| *bytes as f64).sum::<f64>() / count;
    let mut ms: Vec<f64> = took.iter().map(|(time, _)| time.as_secs_f64() * 1e3).collect();
    ms.sort_by(f64::total_cmp);
    Ok(Round {
        per_second: count / seconds,
        server_us: server_cpu * 1e6 / count,
        client_us: own_cpu * 1e6 / count,
        median_ms: ms.get(ms.len() / 2).copied().unwrap_or(0.0),
        bytes,
        steal_percent: 100.0 * (stolen_now - stolen) / (all_now - all).max(1.0),
    })
}

/// One handshake on a connection of its own, to its end on both sides: how long it took until the client could send, and its bytes.
fn handshake(
    config: &Arc<ClientConfig>,
    address: &str,
    host: &str,
    agreed: NamedGroup,
) -> Result<(Duration, usize)> {
    let began = Instant::now();
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(host.to_owned())?;
    let mut tls = StreamOwned::new(ClientConnection::new(config.clone(), name)?, stream);
    let mut bytes = 0;
    while tls.conn.is_handshaking() {
        let (read, written) = tls.conn.complete_io(&mut tls.sock)?;
        bytes += read + written;
    }
    let took = began.elapsed();
    let group = tls.conn.negotiated_key_exchange_group().map(|group| group.name());
    ensure!(group == Some(agreed), "{group:?}");
    tls.conn.send_close_notify();
    tls.flush()?;
    let _ = tls.read_to_end(&mut Vec::new());
    Ok((took, bytes))
}

fn client(pair: &Pair, shape: &Shape) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for anchor in wire::certificates(&pair.jo.path.join("certs/tls-ca.pem")) {
        roots.add(anchor)?;
    }
    let provider = CryptoProvider { kx_groups: shape.groups.to_vec(), ..ring::default_provider() };
    let (chain, key) = pair.iq.tls_identity();
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)?;
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

/// Handshakes that the gateway counted under that group.
fn counted(home: &Home, group: NamedGroup) -> Result<usize> {
    let address = home.operations.as_deref().context("an operations plane")?;
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let name = format!("direction=\"in\",group=\"{group:?}\"}} ").to_lowercase();
    let line = text.lines().find_map(|line| line.to_lowercase().split_once(&name).map(|(_, n)| n.to_owned()));
    Ok(line.map_or(Ok(0), |count| count.trim().parse())?)
}

fn print(report: &Value) {
    println!(
        "{:<16} {:>22} {:>18} {:>18} {:>18} {:>8}",
        "", "handshakes/s", "server CPU µs", "client CPU µs", "ms", "bytes"
    );
    for shape in report["shapes"].as_array().into_iter().flatten() {
        let figure = |name: &str, part: &str| shape[name][part].as_f64().unwrap_or(0.0);
        let cell = |name: &str, places: usize| {
            let part = |part| figure(name, part);
            format!("{:.places$} ({:.places$}–{:.places$})", part("median"), part("min"), part("max"))
        };
        println!(
            "{:<16} {:>22} {:>18} {:>18} {:>18} {:>8.0}",
            shape["group"].as_str().unwrap_or_default(),
            cell("handshakes_per_second", 0),
            cell("server_cpu_us", 0),
            cell("client_cpu_us", 0),
            cell("median_ms", 2),
            figure("bytes_both_ways", "median")
        );
    }
}
