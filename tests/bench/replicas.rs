//! One, two and four gateways of one state on one PostgreSQL: messages a second, and what one costs the gateways and the server.
//!
//! On a machine whose processors they all share, more gateways cannot be faster: what tells whether they would be elsewhere is the
//! CPU time of the gateways for a message, which must not grow.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use support::home::Backend;
use support::postgres::Cluster;
use support::{Home, Pair};

use crate::load::{self, Bodies, Shape, Target};
use crate::measure::{Spread, cpu_seconds_of_family};

const ROUND: Duration = Duration::from_secs(5);
const SHAPE: Shape = Shape { connections: 64, streams: 1, h2: false };
const COUNTS: [usize; 3] = [1, 2, 4];

#[derive(Default)]
struct Figures {
    per_second: Vec<f64>,
    gateway_us: Vec<f64>,
    server_us: Vec<f64>,
    p50_ms: Vec<f64>,
    p99_ms: Vec<f64>,
}

/// Measures and prints.
pub(crate) fn run(rounds: usize, as_json: bool) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut pair = Pair::set_up_on(None, Backend::Shared);
    let mut others: Vec<Home> = (2..=4).map(|n| pair.jo.replica(&format!("jo-{n}"))).collect();
    pair.jo.start();
    others.iter_mut().for_each(Home::start);
    let server = Cluster::shared().pid();
    let mut figures: Vec<Figures> = COUNTS.iter().map(|_| Figures::default()).collect();
    // The counts take turns, so that a slow minute of the machine meets all of them. The first round warms up.
    for round in 0..=rounds {
        for (count, figures) in COUNTS.iter().zip(&mut figures) {
            let gateways: Vec<&Home> = std::iter::once(&pair.jo).chain(&others).take(*count).collect();
            let target = Target::gateways(&pair, gateways);
            let bodies = load::sign_bodies(&pair, SHAPE.bodies(ROUND));
            let before = cpu_seconds_of_family(server)?;
            let done = runtime.block_on(load::round_on(&target, SHAPE, Bodies::once(bodies), ROUND))?;
            let server_s = cpu_seconds_of_family(server)? - before;
            ensure!(done.refused == 0, "{} messages were refused: {}", done.refused, done.first_refusal);
            if round > 0 {
                figures.per_second.push(done.per_second());
                figures.gateway_us.push(done.cpu_us());
                figures.server_us.push(server_s * 1e6 / done.accepted.max(1) as f64);
                figures.p50_ms.push(done.percentile_ms(0.50));
                figures.p99_ms.push(done.percentile_ms(0.99));
            }
            eprintln!("round {round} of {rounds}: {count} gateways");
        }
    }
    let audit = pair.jo.json(&["audit", "verify"]);
    ensure!(audit["findings"] == json!([]), "the audit found {}", audit["findings"]);
    let rows: Vec<Value> = COUNTS.iter().zip(&figures).map(|(count, figures)| row(*count, figures)).collect();
    if as_json {
        println!("{}", json!({ "seconds_per_round": ROUND.as_secs(), "rounds": rounds, "replicas": rows }));
    } else {
        print(&rows);
    }
    Ok(())
}

fn row(count: usize, figures: &Figures) -> Value {
    let spread = |all: &[f64]| Spread::of(all.iter().copied()).json();
    json!({
        "gateways": count,
        "messages_per_second": spread(&figures.per_second),
        "gateway_cpu_us_per_message": spread(&figures.gateway_us),
        "server_cpu_us_per_message": spread(&figures.server_us),
        "p50_ms": spread(&figures.p50_ms),
        "p99_ms": spread(&figures.p99_ms),
    })
}

fn print(rows: &[Value]) {
    println!(
        "{:<9} {:>20} {:>22} {:>22} {:>16} {:>16}",
        "gateways", "messages/s", "gateways' CPU µs each", "server's CPU µs each", "p50 ms", "p99 ms"
    );
    for row in rows {
        let cell = |name: &str| {
            let figure = |part: &str| row[name][part].as_f64().unwrap_or(0.0);
            format!("{:.0} ({:.0}–{:.0})", figure("median"), figure("min"), figure("max"))
        };
        println!(
            "{:<9} {:>20} {:>22} {:>22} {:>16} {:>16}",
            row["gateways"],
            cell("messages_per_second"),
            cell("gateway_cpu_us_per_message"),
            cell("server_cpu_us_per_message"),
            cell("p50_ms"),
            cell("p99_ms")
        );
    }
    println!("the audit passed");
}
