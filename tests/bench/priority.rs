//! What an alert waits for behind a long queue: 100,000 manifests are queued while the partner is away; it comes back, and alerts are
//! submitted while they drain, each timed from its submission to the partner's receipt.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use support::{Pair, event, example};

use crate::submit;

/// Manifests in the queue.
const MANIFESTS: u64 = 100_000;
/// Alerts that are timed.
const ALERTS: usize = 200;
/// Between two of them.
const PAUSE: Duration = Duration::from_millis(50);

fn manifest() -> Value {
    example("manifest.cargo", 2, "IQ/traffic-police", "JO/public-security")
}

/// Measures and prints it.
pub fn run(quick: bool, as_json: bool) -> Result<()> {
    let (manifests, alerts) = if quick { (5_000, 50) } else { (MANIFESTS, ALERTS) };
    let mut pair = Pair::set_up(None);
    pair.iq.start();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let started = Instant::now();
    runtime.block_on(submit::submit_each(&pair.iq, manifests, manifest))?;
    eprintln!("{manifests} manifests queued in {:.0} s", started.elapsed().as_secs_f64());
    let police = pair.iq.back_end("IQ/traffic-police");
    // The partner is found again by the next probe, which may be as far off as the longest pause: from then on the queue drains.
    pair.jo.start();
    while waiting(&pair)? == manifests {
        ensure!(started.elapsed() < Duration::from_secs(600), "the partner was not found again");
        std::thread::park_timeout(Duration::from_secs(1));
    }
    timed(&police)?;
    let (before, draining) = (waiting(&pair)?, Instant::now());
    let mut took = Vec::with_capacity(alerts);
    for _ in 0..alerts {
        took.push(timed(&police)?.as_secs_f64() * 1000.0);
        std::thread::park_timeout(PAUSE);
    }
    let (after, seconds) = (waiting(&pair)?, draining.elapsed().as_secs_f64());
    ensure!(after > 0, "the queue ran empty: {before} were left at the start");
    took.sort_by(f64::total_cmp);
    let at = |part: f64| took.get(((took.len() as f64 * part) as usize).min(took.len() - 1)).copied();
    let report = json!({
        "manifests_queued": manifests, "queued_at_first_alert": before, "queued_at_last_alert": after, "alerts": alerts,
        "alert_p50_ms": at(0.5), "alert_p99_ms": at(0.99), "alert_max_ms": at(1.0),
        "manifests_per_second_meanwhile": (before - after) as f64 / seconds,
    });
    if as_json {
        println!("{report}");
        return Ok(());
    }
    let figure = |name: &str| report[name].as_f64().unwrap_or(0.0);
    println!(
        "alerts behind {before} to {after} queued manifests: p50 {:.0} ms, p99 {:.0} ms, longest {:.0} ms from submission to receipt; \
         {:.0} manifests a second meanwhile",
        figure("alert_p50_ms"),
        figure("alert_p99_ms"),
        figure("alert_max_ms"),
        figure("manifests_per_second_meanwhile")
    );
    Ok(())
}

/// From an alert's submission to its receipt.
fn timed(police: &support::Client) -> Result<Duration> {
    let alert = event("IQ/traffic-police", "JO/public-security");
    let started = Instant::now();
    let taken = police.submit(&alert);
    ensure!(taken.status == 202, "an alert was answered {}", taken.status);
    let outcome = police.outcome(alert["id"].as_str().context("an id")?);
    ensure!(outcome["state"] == "receipted", "an alert ended as {outcome}");
    Ok(started.elapsed())
}

/// Manifests that still wait.
fn waiting(pair: &Pair) -> Result<u64> {
    let status = pair.iq.json(&["status"]);
    let queues = status["queues"]["outbox"].as_array().context("queues")?;
    Ok(queues.iter().filter_map(|queue| queue["waiting"].as_u64()).sum())
}
