//! What evidence costs: receipts, proofs at three sizes of a log, the audit, log bytes a message, and the
//! reconciliation of many messages.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use silkgate_ledger::entry::{Entry, Kind, UtcMillis, Verdict};
use silkgate_ledger::tree::{Tiles, inclusion_proof, inclusion_tiles};
use silkgate_ledger::{Checkpoint, Edge, NoteSigner, Receipt, leaf_hash, sign_checkpoint};
use sqlx::{Connection as _, Row as _};
use support::{Home, Pair, event, now_ms, sign, wire};

use crate::database::{Cell, Database, open_file};
use crate::load::{self, Shape};
use crate::measure::{Spread, cpu_seconds, process_cpu};
use crate::seed::START_MAX;
use crate::submit;

/// Sizes of a log.
const SIZES: [u64; 3] = [1_000, 100_000, 10_000_000];
/// Messages whose receipts are asked for again.
const SAMPLES: usize = 200;

/// Measures everything and prints it.
pub fn run(quick: bool, as_json: bool) -> Result<()> {
    let (messages, sizes) = if quick { (10_000, &SIZES[..2]) } else { (100_000, &SIZES[..]) };
    let report = json!({
        "receipts": receipts()?,
        "proofs": sizes.iter().map(|size| proofs(*size)).collect::<Result<Vec<_>>>()?,
        "audit": audit(messages)?,
        "reconcile": reconcile(messages)?,
    });
    if as_json {
        println!("{report}");
    } else {
        print(&report);
    }
    Ok(())
}

/// Receipts made on one core: leaf hash, tree, proof and bytes, 64 to a checkpoint signature.
fn receipts() -> Result<Value> {
    let pkcs8 = NoteSigner::generate_pkcs8()?;
    let signer = NoteSigner::from_pkcs8("gateway.jo.example/JO/IQ", &pkcs8)?;
    let entry = [b'x'; 380];
    let mut edge = Edge::empty();
    for n in 0..100_000_u32 {
        edge.append(leaf_hash(&n.to_be_bytes()));
    }
    drop(edge.take_changed());
    let (start, mut made) = (process_cpu(), 0_u32);
    while process_cpu() - start < Duration::from_secs(1) {
        let indexes: Vec<u64> = (0..64).map(|_| edge.append(leaf_hash(&entry))).collect();
        let checkpoint = Checkpoint { origin: signer.name().parse()?, size: edge.size(), root: edge.root() };
        let note = sign_checkpoint(&checkpoint, &signer)?;
        for index in indexes {
            let hashes = edge.inclusion_proof(index)?;
            std::hint::black_box(Receipt::new(entry.to_vec(), index, hashes, note.clone()).encode());
            made += 1;
        }
        drop(edge.take_changed());
    }
    let seconds = (process_cpu() - start).as_secs_f64();
    Ok(json!({ "per_second_and_core": f64::from(made) / seconds, "to_a_checkpoint": 64 }))
}

/// Receipts made again by the gateway from what it stores, in a log of that many entries.
fn proofs(size: u64) -> Result<Value> {
    let mut pair = Pair::set_up_files(None);
    pair.jo.start();
    let (client, key) = (pair.iq.as_partner_of(&pair.jo), pair.iq.message_key());
    let messages: Vec<_> = (0..SAMPLES)
        .map(|_| sign(&key, &event("IQ/traffic-police", "JO/public-security")))
        .inspect(|message| drop(client.message(&message.bytes)))
        .collect();
    pair.jo.stop();
    runtime()?.block_on(lengthen(&pair.jo, size))?;
    pair.jo.start_within(START_MAX);
    let mut latencies = Vec::new();
    let (mut bytes, mut hashes) = (0, 0);
    let cpu = cpu_seconds(pair.jo.pid())?;
    for message in &messages {
        let started = Instant::now();
        let answer = client.message(&message.bytes);
        latencies.push(started.elapsed().as_secs_f64() * 1e3);
        ensure!(answer.status == 200, "{}", String::from_utf8_lossy(&answer.body));
        let receipt = Receipt::parse(&answer.body)?;
        let signer = log_signer(&pair.jo)?;
        ensure!(receipt.verify(std::slice::from_ref(signer.verifier_key()))?.size == size);
        (bytes, hashes) = (answer.body.len(), receipt.proof().hashes.len());
    }
    let cpu_us = (cpu_seconds(pair.jo.pid())? - cpu) * 1e6 / SAMPLES as f64;
    eprintln!("proofs in a log of {size} entries");
    Ok(json!({
        "entries": size, "receipt_bytes": bytes, "hashes": hashes, "math_us": math_us(size)?,
        "request_ms": Spread::of(latencies.into_iter()).json(), "server_cpu_us_a_request": cpu_us,
    }))
}

/// One proof from tiles in memory.
fn math_us(size: u64) -> Result<f64> {
    let mut edge = Edge::empty();
    let mut tiles = Tiles::new();
    for n in 0..size {
        edge.append(leaf_hash(&n.to_be_bytes()));
        if n % 65_536 == 65_535 || n + 1 == size {
            tiles.extend(edge.take_changed());
        }
    }
    let (start, mut made) = (process_cpu(), 0_u32);
    while process_cpu() - start < Duration::from_millis(300) {
        let index = u64::from(made).wrapping_mul(0x9e37_79b9_7f4a_7c15) % size;
        std::hint::black_box((inclusion_tiles(index, size), inclusion_proof(index, size, &tiles)?));
        made += 1;
    }
    Ok((process_cpu() - start).as_secs_f64() * 1e6 / f64::from(made))
}

pub fn log_signer(home: &Home) -> Result<NoteSigner> {
    let key = wire::private_key(&home.path.join("keys/log.key"));
    Ok(NoteSigner::from_pkcs8(&format!("{}/JO/IQ", home.host), key.secret_der())?)
}

/// Makes the channel's log as long as if it had gone on to `size` entries: entries, tiles, checkpoint and head, as the gateway
/// writes them. The messages' receipts then rest on the checkpoint of that size.
async fn lengthen(home: &Home, size: u64) -> Result<()> {
    let mut database = Database::open(home).await?;
    let (log, mut edge) = database.channel().await?;
    ensure!(edge.size() < size, "the log is longer already");
    // A refusal, which is of no message: a start reads every entry, and asks no more of this one.
    let mut filler = Entry::new(Kind::Rejected, UtcMillis::from_unix_ms(now_ms()).context("a time")?);
    (filler.from, filler.verdict, filler.code) =
        (Some("IQ".to_owned()), Some(Verdict::Rejected), Some("signature_invalid".to_owned()));
    let body = filler.encode()?;
    let leaf = leaf_hash(&body);
    database.execute("BEGIN", Vec::new()).await?;
    while edge.size() < size {
        let until = size.min(edge.size() + 65_536);
        while edge.size() < until {
            let indexes = edge.size()..until.min(edge.size() + 1000);
            let row =
                |index| Ok(vec![Cell::Int(log), Cell::Int(i64::try_from(index)?), Cell::Bytes(body.clone())]);
            let rows = indexes.map(row).collect::<Result<Vec<_>>>()?;
            for _ in &rows {
                edge.append(leaf);
            }
            let insert = "INSERT INTO entry (log, idx, body) SELECT log, idx, body FROM made";
            database.insert(insert, &["log", "idx", "body"], rows).await?;
        }
        database.put_tiles(log, &mut edge).await?;
    }
    database.put_head(log, &edge, &log_signer(home)?).await?;
    let rests_on = vec![Cell::Int(i64::try_from(size)?)];
    database.execute("UPDATE message SET checkpoint = $1", rests_on).await?;
    database.execute("COMMIT", Vec::new()).await?;
    database.close().await
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// The whole-store audit after that many accepted messages, and what a message's log costs in bytes.
fn audit(messages: u64) -> Result<Value> {
    let mut pair = Pair::set_up_files(None);
    pair.jo.start();
    let shape = Shape { connections: 64, streams: 1, h2: false };
    let (runtime, mut accepted, time) = (runtime()?, 0, Duration::from_secs(5));
    while accepted < messages {
        let bodies = load::sign_bodies(&pair, shape.bodies(time));
        accepted += runtime.block_on(load::round(&pair, shape, bodies, time))?.accepted;
        eprintln!("audit: {accepted} of {messages} messages");
    }
    pair.jo.stop();
    let started = Instant::now();
    let report = pair.jo.json(&["audit", "verify", "--offline"]);
    let seconds = started.elapsed().as_secs_f64();
    let entries: u64 =
        report["logs"].as_array().context("logs")?.iter().filter_map(|log| log["entries"].as_u64()).sum();
    let sizes = runtime.block_on(sizes(&pair.jo.path.join("silkgate.db")))?;
    let per_message = |bytes: i64| bytes as f64 / accepted as f64;
    Ok(json!({
        "messages": accepted, "entries": entries, "seconds": seconds, "entries_per_second": entries as f64 / seconds,
        "log_bytes_a_message": {
            "entry": per_message(sizes[0]), "tile": per_message(sizes[1]), "checkpoint": per_message(sizes[2]),
            "cosignature": per_message(sizes[3]), "all": per_message(sizes.iter().sum()),
        },
    }))
}

/// Bytes of entries, tiles, checkpoints and cosignatures.
async fn sizes(path: &Path) -> Result<[i64; 4]> {
    let mut conn = open_file(path).await?;
    let mut sizes = [0; 4];
    for (size, sql) in sizes.iter_mut().zip([
        "SELECT coalesce(sum(length(body)), 0) FROM entry",
        "SELECT coalesce(sum(length(hashes)), 0) FROM tile",
        "SELECT coalesce(sum(length(note)), 0) FROM checkpoint",
        "SELECT coalesce(sum(length(line)), 0) FROM cosignature",
    ]) {
        *size = sqlx::query(sql).fetch_one(&mut conn).await?.get(0);
    }
    conn.close().await?;
    Ok(sizes)
}

/// That many messages through both gateways, then one reconciliation.
fn reconcile(messages: u64) -> Result<Value> {
    let mut pair = Pair::set_up_files(None);
    pair.iq.start();
    pair.jo.start();
    runtime()?.block_on(submit::submit_many(&pair.iq, messages))?;
    let started = Instant::now();
    while pair.iq.json(&["status"])["queues"]["outbox"].as_array().is_some_and(|queues| !queues.is_empty()) {
        ensure!(started.elapsed() < Duration::from_secs(1800), "the outbox does not empty");
        std::thread::park_timeout(Duration::from_millis(500));
    }
    let started = Instant::now();
    let report = pair.iq.json(&["reconcile", "JO"]);
    let seconds = started.elapsed().as_secs_f64();
    ensure!(report["both"] == messages, "{report}");
    Ok(json!({ "messages": messages, "seconds": seconds, "bytes_moved": report["bytes"] }))
}

fn print(report: &Value) {
    let number = |value: &Value| value.as_f64().unwrap_or(0.0);
    println!("receipts made: {:.0} a second and core", number(&report["receipts"]["per_second_and_core"]));
    println!(
        "{:>12} {:>8} {:>14} {:>10} {:>24} {:>16}",
        "entries", "hashes", "receipt bytes", "math µs", "replay ms", "server CPU µs"
    );
    for row in report["proofs"].as_array().into_iter().flatten() {
        let ms = |part: &str| number(&row["request_ms"][part]);
        println!(
            "{:>12} {:>8} {:>14} {:>10.2} {:>24} {:>16.0}",
            row["entries"],
            row["hashes"],
            row["receipt_bytes"],
            number(&row["math_us"]),
            format!("{:.2} ({:.2}–{:.2})", ms("median"), ms("min"), ms("max")),
            number(&row["server_cpu_us_a_request"])
        );
    }
    let (audit, reconcile) = (&report["audit"], &report["reconcile"]);
    println!(
        "audit: {} entries of {} messages in {:.1} s, {:.0} entries a second; {:.0} bytes of log a message",
        audit["entries"],
        audit["messages"],
        number(&audit["seconds"]),
        number(&audit["entries_per_second"]),
        number(&audit["log_bytes_a_message"]["all"])
    );
    println!(
        "reconcile: {} messages in {:.1} s, {:.1} MB moved",
        reconcile["messages"],
        number(&reconcile["seconds"]),
        number(&reconcile["bytes_moved"]) / 1e6
    );
}
