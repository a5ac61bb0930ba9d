//! The first benchmark: accepted messages a second, and what one costs, on the partner plane of the
//! shipped binary over mutual TLS. Timings are measurements, never tests.

mod check;
mod evidence;
mod handshakes;
/// The gateway's own: no other client here speaks it.
#[path = "../../gateway/server/src/tls/hybrid.rs"]
mod hybrid;
mod load;
mod measure;
mod overload;
mod pages;
mod priority;
mod replicas;
mod token;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use support::Pair;

use load::Shape;
use measure::Spread;

/// Seconds of load in a round.
const ROUND: Duration = Duration::from_secs(5);
/// Ways to connect.
const SHAPES: [(&str, Shape); 4] = [
    ("1 connection", Shape { connections: 1, streams: 1, h2: false }),
    ("8 connections", Shape { connections: 8, streams: 1, h2: false }),
    ("64 connections", Shape { connections: 64, streams: 1, h2: false }),
    ("8 h2 × 8 streams", Shape { connections: 8, streams: 8, h2: true }),
];

fn main() -> Result<()> {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let as_json = std::env::args().any(|argument| argument == "--json");
    let rounds = if quick { 2 } else { 5 };
    if std::env::args().any(|argument| argument == "check") {
        return check::run(rounds, as_json);
    }
    if std::env::args().any(|argument| argument == "priority") {
        return priority::run(quick, as_json);
    }
    if std::env::args().any(|argument| argument == "evidence") {
        return evidence::run(quick, as_json);
    }
    if std::env::args().any(|argument| argument == "overload") {
        return overload::run(quick, as_json);
    }
    if std::env::args().any(|argument| argument == "handshakes") {
        return handshakes::run(rounds, as_json);
    }
    if std::env::args().any(|argument| argument == "token") {
        return token::run(rounds, as_json);
    }
    if std::env::args().any(|argument| argument == "pages") {
        return pages::run(quick, as_json);
    }
    if std::env::args().any(|argument| argument == "replicas") {
        return replicas::run(rounds, as_json);
    }
    let mut pair = Pair::set_up_files(None);
    pair.jo.start();
    let idle_mb = measure::memory_mb(pair.jo.pid())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut rows: Vec<(&str, Vec<load::Round>)> =
        SHAPES.iter().map(|(name, _)| (*name, Vec::new())).collect();
    let mut accepted = 0;
    // The shapes take turns, so that a slow minute of the machine meets all of them. The first round warms up.
    for round in 0..=rounds {
        for ((name, shape), (_, kept)) in SHAPES.iter().zip(&mut rows) {
            let bodies = load::sign_bodies(&pair, shape.bodies(ROUND));
            let done = runtime.block_on(load::round(&pair, *shape, bodies, ROUND))?;
            ensure!(
                done.refused == 0,
                "{name}: {} messages were refused: {}",
                done.refused,
                done.first_refusal
            );
            accepted += done.accepted;
            if round > 0 {
                kept.push(done);
            }
            eprintln!("round {round} of {rounds}: {name}");
        }
    }
    let busy_mb = measure::memory_mb(pair.jo.pid())?;
    let bytes = std::fs::metadata(pair.jo.path.join("silkgate.db"))?.len();
    let started = Instant::now();
    let audit = pair.jo.json(&["audit", "verify"]);
    let seconds = started.elapsed().as_secs_f64();
    ensure!(audit["findings"] == json!([]), "the audit found {}", audit["findings"]);
    let logs = audit["logs"].as_array().into_iter().flatten();
    let entries: u64 = logs.filter_map(|log| log["entries"].as_u64()).sum();
    let mut report = report(&rows, idle_mb, busy_mb, accepted, bytes);
    report["audit_entries"] = json!(entries);
    report["audit_entries_per_second"] = json!(entries as f64 / seconds);
    if as_json {
        println!("{report}");
    } else {
        print(&report);
    }
    Ok(())
}

fn report(rows: &[(&str, Vec<load::Round>)], idle_mb: f64, busy_mb: f64, accepted: u64, bytes: u64) -> Value {
    json!({
        "seconds_per_round": ROUND.as_secs(), "rounds": rows.first().map_or(0, |(_, rounds)| rounds.len()),
        "memory_idle_mb": idle_mb, "memory_after_mb": busy_mb, "messages_accepted": accepted,
        "database_bytes_per_message": bytes.checked_div(accepted), "audit": "passed", "shapes": shapes(rows),
    })
}

/// The rows of one measurement that counts nothing else.
fn print_rows(rows: &[(String, Vec<load::Round>)], as_json: bool) {
    let report = json!({ "seconds_per_round": ROUND.as_secs(), "shapes": shapes(rows) });
    if as_json { println!("{report}") } else { print_shapes(&report) }
}

fn shapes<N: AsRef<str>>(rows: &[(N, Vec<load::Round>)]) -> Vec<Value> {
    rows.iter()
        .map(|(name, rounds)| {
            let spread = |figure: fn(&load::Round) -> f64| Spread::of(rounds.iter().map(figure)).json();
            json!({
                "shape": name.as_ref(),
                "messages_per_second": spread(|round| round.per_second()),
                "server_cpu_us_per_message": spread(|round| round.cpu_us()),
                "p50_ms": spread(|round| round.percentile_ms(0.50)),
                "p99_ms": spread(|round| round.percentile_ms(0.99)),
                "max_ms": spread(|round| round.percentile_ms(1.0)),
                "steal_percent": spread(|round| round.steal_percent),
            })
        })
        .collect()
}

fn print_shapes(report: &Value) {
    println!(
        "{:<18} {:>22} {:>22} {:>18} {:>18}",
        "", "messages/s", "server CPU µs/message", "p50 ms", "p99 ms"
    );
    for shape in report["shapes"].as_array().into_iter().flatten() {
        let cell = |name: &str| {
            let figure = |part: &str| shape[name][part].as_f64().unwrap_or(0.0);
            let places = if figure("median") < 100.0 { 1 } else { 0 };
            format!("{:.places$} ({:.places$}–{:.places$})", figure("median"), figure("min"), figure("max"))
        };
        println!(
            "{:<18} {:>22} {:>22} {:>18} {:>18}",
            shape["shape"].as_str().unwrap_or_default(),
            cell("messages_per_second"),
            cell("server_cpu_us_per_message"),
            cell("p50_ms"),
            cell("p99_ms")
        );
    }
}

fn print(report: &Value) {
    print_shapes(report);
    println!(
        "memory: {:.1} MB idle, {:.1} MB after {} messages; {} bytes of database a message; the audit passed, {:.0} entries a second",
        report["memory_idle_mb"].as_f64().unwrap_or(0.0),
        report["memory_after_mb"].as_f64().unwrap_or(0.0),
        report["messages_accepted"],
        report["database_bytes_per_message"],
        report["audit_entries_per_second"].as_f64().unwrap_or(0.0)
    );
}
