//! The benchmark: the floor, nginx and the gateway on both databases, in one run and at the same load, and how they relate.
//!
//! Only the ratios tell anything: figures of one machine move by a factor of two from hour to hour. The candidates take turns, each
//! process is started anew in each round, and a round in which the host took over a twentieth of the processors away is dropped.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use support::Pair;
use support::home::{Backend, set};
use support::postgres::Cluster;

use crate::floor::{self, Floor};
use crate::least;
use crate::load::{self, Bodies, Round, Shape, Target};
use crate::measure::{Spread, cpu_seconds, cpu_seconds_of_family, memory_mb};
use crate::nginx::Nginx;
use crate::overload::idle_connections;
use crate::seed::{START_MAX, seed};

/// Of load before a measurement: a process that has just started is slower.
const WARM: Duration = Duration::from_secs(1);
/// The host may take so many of a hundred ticks in a round that counts.
const STEAL_MAX: f64 = 5.0;
/// At saturation.
const FULL: Shape = Shape { connections: 64, streams: 1, h2: false };
/// Other ways to connect, on SQLite.
const SHAPES: [(&str, Shape); 3] = [
    ("SQLite, 1 connection", Shape { connections: 1, streams: 1, h2: false }),
    ("SQLite, 8 connections", Shape { connections: 8, streams: 1, h2: false }),
    ("SQLite, 8 h2 × 8 streams", Shape { connections: 8, streams: 8, h2: true }),
];
/// Messages of a commit at saturation, for what one costs the disk.
const BATCH: usize = 64;

/// What a run measures, and how long.
struct Plan {
    rounds: usize,
    seconds: Duration,
    /// Entries of the logs that growth is measured over.
    entries: &'static [u64],
}

const QUICK: Plan = Plan { rounds: 3, seconds: Duration::from_secs(3), entries: &[10_000, 1_000_000] };
const WHOLE: Plan =
    Plan { rounds: 7, seconds: Duration::from_secs(5), entries: &[10_000, 1_000_000, 10_000_000] };
const IDLE: usize = 10_000;

/// A round of every candidate.
struct Turn {
    floor: Round,
    nginx: Round,
    sqlite: Round,
    postgres: Round,
    /// Of PostgreSQL's server, within the processor time of `postgres`.
    server_us: f64,
    shapes: Vec<Round>,
    /// On SQLite, at half of what it took in this round.
    half: Round,
    /// A verification, a commit's way to the disk and a request that asks nothing.
    way_ms: f64,
}

impl Turn {
    fn is_disturbed(&self) -> bool {
        let rounds = [&self.floor, &self.nginx, &self.sqlite, &self.postgres, &self.half];
        rounds.iter().any(|round| round.steal_percent > STEAL_MAX)
    }
}

/// Measures and returns all of it as one object.
pub(crate) fn run(quick: bool) -> Result<Value> {
    let plan = if quick { QUICK } else { WHOLE };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut sqlite = Pair::set_up_files(None);
    let mut postgres = Pair::set_up_on(None, Backend::Postgres);
    let again = load::sign_bodies(&sqlite, 4096);
    let body = again.first().context("a body")?.clone();
    let primitives = floor::primitives(&sqlite, &body)?;
    let verify_ms = primitives["verify"].as_f64().unwrap_or_default() / 1e3;
    let mut turns = Vec::new();
    for round in 1..=plan.rounds {
        let begun = Instant::now();
        sqlite.jo.start();
        postgres.jo.start();
        let turn = runtime.block_on(turn(&plan, &sqlite, &postgres, &again, verify_ms))?;
        sqlite.jo.stop();
        postgres.jo.stop();
        eprintln!("round {round} of {}: {:.0} s", plan.rounds, begun.elapsed().as_secs_f64());
        turns.push(turn);
    }
    for pair in [&sqlite, &postgres] {
        ensure!(pair.jo.audit().is_empty(), "the audit found something");
    }
    let empty = Cluster::shared().database("least");
    let least = runtime.block_on(least::costs(sqlite.folder.path(), &empty, body.len()))?;
    let growth = growth(&plan, &runtime)?;
    let memory = memory(&runtime)?;
    let undisturbed = turns.iter().filter(|turn| !turn.is_disturbed()).count();
    let kept: Vec<&Turn> = turns.iter().filter(|turn| undisturbed < 2 || !turn.is_disturbed()).collect();
    let mut report = json!({
        "seconds_per_round": plan.seconds.as_secs(), "rounds": kept.len(), "rounds_dropped": turns.len() - kept.len(),
        "shapes": rows(&kept), "primitives_us": primitives, "least_store_us": least, "growth": growth, "memory": memory,
        "audit": "passed",
    });
    let (ratios, spreads) = ratios(&kept, &report);
    report["ratios"] = Value::Object(ratios);
    report["spreads"] = Value::Object(spreads);
    Ok(report)
}

async fn turn(plan: &Plan, sqlite: &Pair, postgres: &Pair, again: &[Bytes], verify_ms: f64) -> Result<Turn> {
    let over = || Bodies::over_and_over(again.to_vec());
    let time = plan.seconds;
    let floor_process = Floor::start(sqlite)?;
    let floor_target = Target::other(sqlite, &floor_process.address, || cpu_seconds(floor_process.pid()));
    warm(&floor_target, over()).await?;
    let floor = sound("floor", load::round_on(&floor_target, FULL, over(), time).await?)?;

    let nginx_process = Nginx::start(sqlite)?;
    let nginx_target =
        Target::other(sqlite, &nginx_process.address, || cpu_seconds_of_family(nginx_process.pid()));
    warm(&nginx_target, over()).await?;
    let nginx = sound("nginx", load::round_on(&nginx_target, FULL, over(), time).await?)?;

    let target = Target::gateways(sqlite, vec![&sqlite.jo]);
    let signed = |shape: Shape, time| Bodies::once(load::sign_bodies(sqlite, shape.bodies(time)));
    warm(&target, signed(FULL, WARM)).await?;
    let on_sqlite = sound("SQLite", load::round_on(&target, FULL, signed(FULL, time), time).await?)?;

    // Before the other database's turn, and with nothing left to write of what was before: a disk that still writes for others keeps
    // each commit waiting.
    let synced = tokio::process::Command::new("sync").status().await?;
    ensure!(synced.success(), "sync");
    let pace = on_sqlite.per_second() / 2.0;
    let half = sound("half", load::paced(&target, pace, FULL, signed(FULL, time), time).await?)?;

    let server = Cluster::shared().pid();
    let mut target_postgres = Target::gateways(postgres, vec![&postgres.jo]);
    target_postgres.cpu = Box::new(|| Ok(cpu_seconds(postgres.jo.pid())? + cpu_seconds_of_family(server)?));
    let signed_postgres = |time| Bodies::once(load::sign_bodies(postgres, FULL.bodies(time)));
    warm(&target_postgres, signed_postgres(WARM)).await?;
    let before = cpu_seconds_of_family(server)?;
    let bodies = signed_postgres(time);
    let on_postgres = sound("PostgreSQL", load::round_on(&target_postgres, FULL, bodies, time).await?)?;
    let server_us = (cpu_seconds_of_family(server)? - before) * 1e6 / on_postgres.accepted.max(1) as f64;

    let mut shapes = Vec::new();
    for (name, shape) in SHAPES {
        shapes.push(sound(name, load::round_on(&target, shape, signed(shape, time), time).await?)?);
    }
    let nothing = Target { path: floor::NOTHING, ..floor_target };
    let nothing = load::round_on(&nothing, SHAPES[0].1, over(), WARM).await?;
    let sync_ms = floor::sync_ms(sqlite.folder.path(), BATCH * again[0].len())?;
    let way_ms = verify_ms + sync_ms + nothing.percentile_ms(0.5);
    Ok(Turn { floor, nginx, sqlite: on_sqlite, postgres: on_postgres, server_us, shapes, half, way_ms })
}

async fn warm(target: &Target<'_>, bodies: std::sync::Arc<Bodies>) -> Result<()> {
    sound("warming up", load::round_on(target, FULL, bodies, WARM).await?).map(drop)
}

/// A round in which nothing was refused.
fn sound(name: &str, round: Round) -> Result<Round> {
    ensure!(round.refused == 0, "{name}: {} messages were refused: {}", round.refused, round.first_refusal);
    Ok(round)
}

/// What a message costs where the log is long, on SQLite.
fn growth(plan: &Plan, runtime: &tokio::runtime::Runtime) -> Result<Vec<Value>> {
    let mut sizes = Vec::new();
    for entries in plan.entries {
        let mut pair = Pair::set_up_files(None);
        pair.jo.start();
        pair.jo.stop();
        let begun = Instant::now();
        runtime.block_on(seed(&pair.jo, *entries))?;
        eprintln!("{entries} entries written: {:.0} s", begun.elapsed().as_secs_f64());
        pair.jo.start_within(START_MAX);
        sizes.push((*entries, pair, Vec::new()));
    }
    for round in 0..=plan.rounds {
        for (entries, pair, costs) in &mut sizes {
            let bodies = load::sign_bodies(pair, FULL.bodies(plan.seconds));
            let done = runtime.block_on(load::round(pair, FULL, bodies, plan.seconds))?;
            let done = sound(&format!("{entries} entries"), done)?;
            if round > 0 {
                costs.push((done.cpu_us(), memory_mb(pair.jo.pid())?));
            }
        }
    }
    let first: Vec<f64> =
        sizes.first().map(|(.., costs)| costs.iter().map(|cost| cost.0).collect()).unwrap_or_default();
    Ok(sizes
        .iter()
        .map(|(entries, _, costs)| {
            let ratio = costs.iter().zip(&first).map(|(cost, first)| cost.0 / first);
            json!({
                "entries": entries, "cpu_us": Spread::of(costs.iter().map(|cost| cost.0)).json(),
                "memory_mb": Spread::of(costs.iter().map(|cost| cost.1)).json(), "to_first": Spread::of(ratio).json(),
            })
        })
        .collect())
}

/// Megabytes of a gateway that does nothing, and kilobytes of a connection that does nothing, beside nginx.
fn memory(runtime: &tokio::runtime::Runtime) -> Result<Value> {
    let mut pair = Pair::set_up_files(None);
    // All of them come from one address.
    for name in ["connections_per_address", "connections_per_peer", "handshakes_per_second"] {
        set(&pair.jo, name, "12000");
    }
    pair.jo.start();
    let idle_mb = memory_mb(pair.jo.pid())?;
    let of_connections = |address: &str, pids: &dyn Fn() -> Result<f64>| -> Result<f64> {
        // What the first ones take stays: buffers, and what the allocator keeps.
        drop(runtime.block_on(idle_connections(&pair, address, 64))?);
        let before = pids()?;
        let lines = runtime.block_on(idle_connections(&pair, address, IDLE))?;
        let after = pids()?;
        drop(lines);
        Ok((after - before).max(0.0) * 1024.0 / IDLE as f64)
    };
    let pid = pair.jo.pid();
    let ours = of_connections(&pair.jo.partner_plane, &|| memory_mb(pid))?;
    let nginx = Nginx::start(&pair)?;
    let theirs = of_connections(&nginx.address, &|| nginx.memory_mb())?;
    Ok(
        json!({ "idle_mb": idle_mb, "idle_connections": IDLE, "per_idle_connection_kb": ours, "nginx_per_idle_connection_kb": theirs }),
    )
}

fn rows(turns: &[&Turn]) -> Vec<Value> {
    let row = |name: &str, of: &dyn Fn(&Turn) -> &Round| {
        let spread = |figure: fn(&Round) -> f64| Spread::of(turns.iter().map(|turn| figure(of(turn)))).json();
        json!({
            "shape": name,
            "messages_per_second": spread(Round::per_second), "server_cpu_us_per_message": spread(Round::cpu_us),
            "p50_ms": spread(|round| round.percentile_ms(0.50)), "p99_ms": spread(|round| round.percentile_ms(0.99)),
            "steal_percent": spread(|round| round.steal_percent),
        })
    };
    let mut rows = vec![
        row("floor (checks only)", &|turn| &turn.floor),
        row("nginx, static answer", &|turn| &turn.nginx),
        row("SQLite", &|turn| &turn.sqlite),
        row("PostgreSQL", &|turn| &turn.postgres),
    ];
    rows[3]["of_it_database_server_us"] = Spread::of(turns.iter().map(|turn| turn.server_us)).json();
    for (number, (name, _)) in SHAPES.iter().enumerate() {
        rows.push(row(name, &move |turn| &turn.shapes[number]));
    }
    rows.push(row("SQLite, half load", &|turn| &turn.half));
    rows
}

/// The ratios that the goals are about: each as the median of the rounds' own, and with its spread.
fn ratios(turns: &[&Turn], report: &Value) -> (Map<String, Value>, Map<String, Value>) {
    let of = |figure: fn(&Turn) -> f64| Spread::of(turns.iter().map(|turn| figure(turn)));
    let mut found = vec![
        ("cpu_per_message_to_floor_sqlite".to_owned(), of(|turn| turn.sqlite.cpu_us() / turn.floor.cpu_us())),
        (
            "cpu_per_message_to_floor_postgres".to_owned(),
            of(|turn| turn.postgres.cpu_us() / turn.floor.cpu_us()),
        ),
        ("throughput_to_nginx".to_owned(), of(|turn| turn.sqlite.per_second() / turn.nginx.per_second())),
        ("p50_at_half_load_to_floor".to_owned(), of(|turn| turn.half.percentile_ms(0.5) / turn.way_ms)),
        (
            "p99_to_p50_at_half_load".to_owned(),
            of(|turn| turn.half.percentile_ms(0.99) / turn.half.percentile_ms(0.5)),
        ),
    ];
    for size in report["growth"].as_array().into_iter().flatten().skip(1) {
        let exponent = size["entries"].as_f64().unwrap_or(1.0).log10().round();
        found.push((format!("cpu_growth_1e4_to_1e{exponent}"), Spread::read(&size["to_first"])));
    }
    let memory = |name: &str| Spread::of(report["memory"][name].as_f64().into_iter());
    found.push(("memory_idle_mb".to_owned(), memory("idle_mb")));
    found.push(("memory_per_idle_connection_kb".to_owned(), memory("per_idle_connection_kb")));
    found.push(("nginx_memory_per_idle_connection_kb".to_owned(), memory("nginx_per_idle_connection_kb")));
    let ratios = found.iter().map(|(name, spread)| (name.clone(), json!(spread.median))).collect();
    (ratios, found.into_iter().map(|(name, spread)| (name, spread.json())).collect())
}
