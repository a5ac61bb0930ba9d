//! How long a reader waits for a page: each page and each search over a store of millions of messages, on either database.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use silkgate_message::instant;
use support::home::Backend;
use support::postgres::Cluster;
use support::{Home, Pair, now_ms};
use tempfile::TempDir;

use crate::load::{self, Shape};
use crate::measure::memory_mb;
use crate::seed::{START_MAX, Seeded, seed};

/// Requests for each page.
const REQUESTS: usize = 100;

/// Measures every page on both databases and prints it. `quick`: over fewer messages; `--messages N`: over so many.
pub fn run(quick: bool, as_json: bool) -> Result<()> {
    let messages = match std::env::args().skip_while(|argument| argument != "--messages").nth(1) {
        Some(number) => number.parse().context("--messages takes a number")?,
        None if quick => 200_000,
        None => 10_000_000,
    };
    let time = Duration::from_secs(if quick { 2 } else { 20 });
    let mut report = measured(Backend::Sqlite, messages, time)?;
    report["messages"] = messages.into();
    report["postgres"] = measured(Backend::Postgres, messages, time)?;
    if as_json {
        println!("{report}");
    } else {
        print(&report);
    }
    Ok(())
}

/// Two states, and the server of Jordan's where its state is on one: of its own, in the pair's folder, so that it goes with it.
fn set_up(backend: Backend) -> Result<(Pair, Option<Cluster>)> {
    if backend == Backend::Sqlite {
        return Ok((Pair::set_up_files(None), None));
    }
    let folder = TempDir::new()?;
    // The server may run as a user of its own.
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
    let cluster = Cluster::own(&folder.path().join("server"));
    let iq = Home::init_file(folder.path(), "IQ/traffic-police");
    let jo = Home::init_at(folder.path(), "JO/public-security", cluster.database("home"));
    iq.add_partner(&jo, None);
    jo.add_partner(&iq, None);
    Ok((Pair { iq, jo, folder }, Some(cluster)))
}

/// The pages over so many messages, and those that came in during a load of that time.
fn measured(backend: Backend, messages: u64, time: Duration) -> Result<Value> {
    let (mut pair, cluster) = set_up(backend)?;
    pair.jo.start();
    pair.jo.stop();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let began = Instant::now();
    let seeded = runtime.block_on(seed(&pair.jo, messages))?;
    eprintln!("{messages} messages on {backend:?} in {:.0} s", began.elapsed().as_secs_f64());
    let began = Instant::now();
    pair.jo.start_within(START_MAX);
    let start_s = began.elapsed().as_secs_f64();
    // The newest ones with all that a message has.
    let shape = Shape { connections: 32, streams: 1, h2: false };
    let bodies = load::sign_bodies(&pair, shape.bodies(time));
    let newest = runtime.block_on(load::round(&pair, shape, bodies, time))?;
    let pages = paths(&seeded, messages).into_iter().enumerate();
    let rows = pages.map(|(number, (name, path))| row(&pair.jo, number, name, &path)).collect::<Result<_>>();
    let rows: Vec<Value> = rows?;
    let report = json!({
        "newest": newest.accepted, "start_seconds": start_s, "memory_mb": memory_mb(pair.jo.pid())?, "pages": rows,
    });
    eprintln!("pages on {backend:?} are measured");
    pair.jo.stop();
    cluster.iter().for_each(Cluster::stop);
    Ok(report)
}

/// Each page's name and address.
fn paths(seeded: &Seeded, messages: u64) -> Vec<(&'static str, String)> {
    let old = seeded.id(messages / 2);
    let day = |days: i64| instant::Instant(now_ms() - days * 86_400_000).date();
    let (from, to) = (day(200), day(199));
    vec![
        ("overview", "/".to_owned()),
        ("messages", "/messages".to_owned()),
        ("one type", "/messages?type=risk.notice".to_owned()),
        ("refused", "/messages?verdict=rejected".to_owned()),
        ("refused of one type", "/messages?type=risk.notice&verdict=rejected".to_owned()),
        ("waiting: none", "/messages?verdict=waiting".to_owned()),
        ("a day long ago", format!("/messages?from={from}&to={to}")),
        ("a record", format!("/messages?q=R-{}", messages / 3)),
        ("a vehicle", "/messages?q=1HGCM82633A004352".to_owned()),
        ("a vehicle that nobody named", "/messages?q=1M8GDM9AXKP042788".to_owned()),
        ("an old message", format!("/messages/{old}")),
        ("its proof", format!("/messages/{old}/proof")),
        ("purposes", "/purposes".to_owned()),
        ("logs", "/ledger".to_owned()),
        ("entries", "/ledger/IQ".to_owned()),
        ("partners", "/partners".to_owned()),
        ("who read what", "/reads".to_owned()),
        ("message types", "/schemas".to_owned()),
    ]
}

/// Asks for a page again and again.
fn row(home: &Home, number: usize, name: &str, path: &str) -> Result<Value> {
    // One certificate looks at so many pages a minute.
    let person = format!("reader{number}");
    home.ok(&["client", "add", "auditor", &person]);
    let client = home.national(&format!("auditor-{person}"));
    let began = Instant::now();
    while client.get("/schemas").status != 200 {
        ensure!(began.elapsed().as_secs() < 30, "the certificate is not known");
    }
    let (mut times, mut bytes) = (Vec::new(), 0);
    for _ in 0..REQUESTS {
        let began = Instant::now();
        let answer = client.get(path);
        times.push(began.elapsed().as_secs_f64() * 1e3);
        ensure!(answer.status == 200, "{name}: {}", String::from_utf8_lossy(&answer.body));
        bytes = answer.body.len();
    }
    times.sort_by(f64::total_cmp);
    Ok(json!({
        "page": name, "bytes": bytes, "p50_ms": times[REQUESTS / 2], "p95_ms": times[REQUESTS * 95 / 100],
    }))
}

fn print(report: &Value) {
    let number = |of: &Value, name: &str| of[name].as_f64().unwrap_or_default();
    let sides = [("SQLite", report), ("PostgreSQL", &report["postgres"])];
    for (name, side) in sides {
        println!(
            "{name}: {} messages and {} newer ones with content; the gateway starts in {:.1} s and takes {:.0} MB",
            report["messages"],
            side["newest"],
            number(side, "start_seconds"),
            number(side, "memory_mb")
        );
    }
    println!("{:<30} {:>20} {:>20} {:>9}", "", "SQLite ms", "PostgreSQL ms", "");
    println!("{:<30} {:>9} {:>10} {:>9} {:>10} {:>9}", "page", "p50", "p95", "p50", "p95", "bytes");
    let [files, servers] = sides.map(|(_, side)| side["pages"].as_array().into_iter().flatten());
    for (row, other) in files.zip(servers) {
        let name = row["page"].as_str().unwrap_or_default();
        let cells =
            [row, other].map(|of| format!("{:>9.1} {:>10.1}", number(of, "p50_ms"), number(of, "p95_ms")));
        println!("{name:<30} {} {} {:>9}", cells[0], cells[1], row["bytes"]);
    }
}
