//! Measures the shipped binary over the wire. Timings are measurements, never tests.

mod check;
mod database;
mod evidence;
mod floor;
mod handshakes;
/// The gateway's own: no other client here speaks it.
#[path = "../../gateway/server/src/tls/hybrid.rs"]
mod hybrid;
mod least;
mod load;
mod measure;
mod nginx;
mod overload;
mod pages;
mod priority;
mod ratios;
mod replicas;
mod report;
mod seed;
mod submit;
mod token;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use measure::Spread;

/// Seconds of load in a round.
const ROUND: Duration = Duration::from_secs(5);

fn main() -> Result<()> {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let as_json = std::env::args().any(|argument| argument == "--json");
    let rounds = if quick { 2 } else { 5 };
    if std::env::args().nth(1).as_deref() == Some("floor") {
        let mut homes = std::env::args().skip(2);
        let mut home = || homes.next().context("floor HOME PARTNERS-HOME");
        return floor::serve(Path::new(&home()?), Path::new(&home()?));
    }
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
    let report = ratios::run(quick)?;
    if as_json {
        println!("{report}");
    } else {
        report::print(&report);
    }
    Ok(())
}

/// The rows of one measurement that counts nothing else.
fn print_rows(rows: &[(String, Vec<load::Round>)], as_json: bool) {
    let report = json!({ "seconds_per_round": ROUND.as_secs(), "shapes": shapes(rows) });
    if as_json { println!("{report}") } else { report::print_shapes(&report) }
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
