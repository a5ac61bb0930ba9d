//! How long a reader waits for a page: each page and each search over a store of millions of messages.

use std::time::Instant;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use support::{Pair, now_ms};

use crate::load::{self, Shape};
use crate::measure::memory_mb;
use crate::seed::{old_id, seed};

/// Requests for each page.
const REQUESTS: usize = 100;

/// Measures every page and prints it. `quick`: over fewer messages.
pub fn run(quick: bool, as_json: bool) -> Result<()> {
    let messages = if quick { 200_000 } else { 10_000_000 };
    let mut pair = Pair::set_up_files(None);
    pair.jo.start();
    pair.jo.stop();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let seeded = Instant::now();
    runtime.block_on(seed(&pair.jo, messages))?;
    eprintln!("{messages} messages in {:.0} s", seeded.elapsed().as_secs_f64());
    let started = Instant::now();
    pair.jo.start();
    let start_s = started.elapsed().as_secs_f64();
    // The newest ones with all that a message has.
    let shape = Shape { connections: 32, streams: 1, h2: false };
    let time = std::time::Duration::from_secs(if quick { 2 } else { 20 });
    let newest =
        runtime.block_on(load::round(&pair, shape, load::sign_bodies(&pair, shape.bodies(time)), time))?;
    let old = old_id(messages / 2);
    let day = |ms: i64| silkgate_message::instant::Instant(ms).date();
    let (from, to) = (day(now_ms() - 200 * 86_400_000), day(now_ms() - 199 * 86_400_000));
    let paths = [
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
        ("logs", "/ledger".to_owned()),
        ("entries", "/ledger/IQ".to_owned()),
        ("partners", "/partners".to_owned()),
        ("who read what", "/reads".to_owned()),
        ("message types", "/schemas".to_owned()),
    ];
    let mut rows = Vec::new();
    for (number, (name, path)) in paths.iter().enumerate() {
        // One certificate looks at so many pages a minute.
        let person = format!("reader{number}");
        pair.jo.ok(&["client", "add", "auditor", &person]);
        let client = pair.jo.national(&format!("auditor-{person}"));
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
        rows.push(json!({
            "page": name, "bytes": bytes, "p50_ms": times[REQUESTS / 2], "p95_ms": times[REQUESTS * 95 / 100],
        }));
    }
    let report = json!({
        "messages": messages, "newest": newest.accepted, "start_seconds": start_s,
        "memory_mb": memory_mb(pair.jo.pid())?, "pages": rows,
    });
    if as_json {
        println!("{report}");
    } else {
        print(&report);
    }
    Ok(())
}

fn print(report: &Value) {
    println!(
        "{} messages, {} of them with content; the gateway starts in {:.1} s and takes {:.0} MB",
        report["messages"],
        report["newest"],
        report["start_seconds"].as_f64().unwrap_or_default(),
        report["memory_mb"].as_f64().unwrap_or_default()
    );
    println!("{:<30} {:>9} {:>9} {:>9}", "page", "p50 ms", "p95 ms", "bytes");
    for row in report["pages"].as_array().into_iter().flatten() {
        let number = |name: &str| row[name].as_f64().unwrap_or_default();
        let name = row["page"].as_str().unwrap_or_default();
        println!("{name:<30} {:>9.1} {:>9.1} {:>9}", number("p50_ms"), number("p95_ms"), row["bytes"]);
    }
}
