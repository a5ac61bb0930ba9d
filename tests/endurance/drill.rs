//! Backups and restores with traffic between two gateways: Jordan loses its database, puts an older backup in force, and both
//! operators do what the manual says. Nothing may be lost or doubled in the end, and no rollback go unnoticed.
//!
//! Jordan's back end is what counts: it knows an id again, as every back end must, and it keeps what it was handed. Iraq's back end
//! submits again what `reconcile` names as given up and Jordan's back end does not have.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use support::home::{Home, set};
use support::{Client, Pair, event, wait_for};

const IQ: &str = "IQ/traffic-police";
const JO: &str = "JO/public-security";
/// Messages that go each way before a backup, and at least as many after it.
const EACH: usize = 8;

/// What a back end was handed: how often under each id, and which ids stand for which matter.
#[derive(Default)]
struct Taken {
    ids: BTreeMap<String, usize>,
    matters: BTreeMap<String, BTreeSet<String>>,
}

/// Everything that is counted.
#[derive(Default)]
struct Count {
    /// What Iraq's police wanted told: matter to the ids under which it was submitted.
    matters: BTreeMap<String, Vec<String>>,
    noticed_by_restore: usize,
    read_only_at_start: usize,
    handed_over_again: usize,
    given_up: usize,
    submitted_again: usize,
    differences_left: usize,
    audit_findings: usize,
}

/// Runs the drill.
pub(crate) fn run(rounds: usize) -> Result<Value> {
    let started = std::time::Instant::now();
    let mut pair = Pair::set_up(None);
    for home in [&pair.iq, &pair.jo] {
        set(home, "show_seconds", "0");
    }
    pair.iq.start();
    pair.jo.start();
    let (mut count, mut taken) = (Count::default(), Taken::default());
    for round in 1..=rounds {
        round_of(&mut pair, round, &mut count, &mut taken)?;
        eprintln!("drill {round} of {rounds}: {} matters", count.matters.len());
    }
    for home in [&pair.iq, &pair.jo] {
        count.audit_findings += home.audit().len();
    }
    let lost = count.matters.keys().filter(|matter| !taken.matters.contains_key(*matter)).count();
    let doubled = taken.matters.values().filter(|ids| ids.len() > 1).count();
    let noticed = count.noticed_by_restore.min(count.read_only_at_start);
    let passed = lost == 0
        && doubled == 0
        && noticed == rounds
        && count.differences_left == 0
        && count.audit_findings == 0;
    Ok(json!({
        "drills": rounds, "seconds": started.elapsed().as_secs(), "messages": count.matters.len(),
        "rollbacks_noticed_by_restore": count.noticed_by_restore, "read_only_at_the_start": count.read_only_at_start,
        "given_up_by_log_recover": count.given_up, "submitted_again": count.submitted_again,
        "handed_over_again_same_id": count.handed_over_again, "lost": lost, "doubled": doubled,
        "differences_left": count.differences_left, "audit_findings": count.audit_findings, "passed": passed,
    }))
}

fn round_of(pair: &mut Pair, round: usize, count: &mut Count, taken: &mut Taken) -> Result<()> {
    exchange(pair, count, taken, EACH, 1)?;
    let backup = backup(pair, round, count, taken)?;
    // What comes after the backup is what will be lost; some of it is handed over, some still waits.
    exchange(pair, count, taken, EACH, 2)?;
    cosigned(&pair.jo);
    if round.is_multiple_of(2) {
        pair.jo.kill();
    } else {
        ensure!(pair.jo.stop() == Some(0), "the gateway stops");
    }
    let output = pair.jo.run(&["restore", &backup.to_string_lossy(), "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    count.noticed_by_restore += usize::from(output.status.code() == Some(1) && report["read_only"] == true);
    pair.jo.start();
    let refused = pair.jo.back_end(JO).submit(&event(JO, IQ));
    count.read_only_at_start += usize::from(refused.status == 503);
    recover(pair)?;
    settle(pair, count, taken)?;
    drain(&pair.jo.back_end(JO), count, taken);
    Ok(())
}

/// Iraq submits, Jordan's back end takes what it is handed. Of every `each`th only.
fn exchange(pair: &Pair, count: &mut Count, taken: &mut Taken, number: usize, each: usize) -> Result<()> {
    for at in 0..number {
        let event = event(IQ, JO);
        let matter = event["subject"].as_str().unwrap_or_default().to_owned();
        submit(pair, count, &matter, event)?;
        if at.is_multiple_of(each) {
            take(&pair.jo.back_end(JO), count, taken);
        }
    }
    Ok(())
}

fn submit(pair: &Pair, count: &mut Count, matter: &str, mut event: Value) -> Result<()> {
    event["data"]["make"] = json!(matter);
    let id = event["id"].as_str().unwrap_or_default().to_owned();
    let back_end = pair.iq.back_end(IQ);
    let answer = back_end.submit(&event);
    ensure!(answer.status == 202, "{}", String::from_utf8_lossy(&answer.body));
    wait_for("the receipt", || (back_end.outcome(&id)["state"] == "receipted").then_some(()));
    count.matters.entry(matter.to_owned()).or_default().push(id);
    Ok(())
}

/// A backup while messages come in.
fn backup(pair: &Pair, round: usize, count: &mut Count, taken: &mut Taken) -> Result<PathBuf> {
    let file = pair.folder.path().join(format!("round-{round}.silkgate"));
    let done = AtomicBool::new(false);
    let failed = Mutex::new(None);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            pair.jo.ok(&["backup", &file.to_string_lossy()]);
            done.store(true, Ordering::SeqCst);
        });
        while !done.load(Ordering::SeqCst) {
            if let Err(error) = exchange(pair, count, taken, 1, 1) {
                *failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(error);
                break;
            }
        }
    });
    let failed = failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    failed.map_or(Ok(file), Err)
}

/// One hand-over, acknowledged; whether there was one.
fn take(back_end: &Client, count: &mut Count, taken: &mut Taken) -> bool {
    let Some(delivery) = back_end.deliveries("").pop() else { return false };
    let id = delivery["id"].as_str().unwrap_or_default().to_owned();
    let matter = delivery["event"]["data"]["make"].as_str().unwrap_or_default().to_owned();
    if back_end.acknowledge(&delivery).status != 200 {
        return true;
    }
    let times = taken.ids.entry(id.clone()).or_default();
    *times += 1;
    if *times > 1 {
        // Known by its id: the back end does nothing.
        count.handed_over_again += 1;
        return true;
    }
    taken.matters.entry(matter).or_default().insert(id);
    true
}

fn drain(back_end: &Client, count: &mut Count, taken: &mut Taken) {
    while take(back_end, count, taken) {}
}

fn cosigned(home: &Home) {
    wait_for("every entry to be cosigned", || {
        let status = home.json(&["status"]);
        status["witness"].as_array()?.iter().all(|w| w["size"] == w["of"]).then_some(())
    });
}

/// Both operators give up what Jordan lost.
fn recover(pair: &Pair) -> Result<()> {
    let told = pair.jo.run(&["log", "recover", "IQ", "--json"]);
    let told: Value = serde_json::from_slice(&told.stdout)?;
    let code = told["code"].as_str().context("a code")?.to_owned();
    pair.jo.ok(&["log", "recover", "IQ", "--code", &code]);
    pair.iq.ok(&["log", "recover", "JO", "--code", &code]);
    let client = pair.jo.back_end(JO);
    wait_for("messages to pass again", || (client.submit(&event(JO, IQ)).status == 202).then_some(()));
    Ok(())
}

/// What the manual says: both reconcile, and Iraq submits again, under new ids, what was given up and nobody in Jordan has.
fn settle(pair: &Pair, count: &mut Count, taken: &mut Taken) -> Result<()> {
    drain(&pair.jo.back_end(JO), count, taken);
    let reconciled = |home: &Home, partner: &str| -> Result<Value> {
        let output = home.run(&["reconcile", partner, "--json"]);
        serde_json::from_slice(&output.stdout)
            .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let report = reconciled(&pair.iq, "JO")?;
    let given_up: BTreeSet<&str> = report["given_up"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|found| found["id"].as_str())
        .collect();
    count.given_up = count.given_up.max(given_up.len());
    let again: Vec<String> = count
        .matters
        .iter()
        .filter(|(matter, ids)| {
            ids.iter().any(|id| given_up.contains(id.as_str())) && !taken.matters.contains_key(*matter)
        })
        .map(|(matter, _)| matter.clone())
        .collect();
    for matter in again {
        count.submitted_again += 1;
        submit(pair, count, &matter, event(IQ, JO))?;
    }
    for (home, partner) in [(&pair.iq, "JO"), (&pair.jo, "IQ")] {
        let report = reconciled(home, partner)?;
        let differ = ["only_ours", "only_theirs", "different_digest", "different_verdict", "inconsistent"];
        count.differences_left +=
            differ.iter().filter_map(|name| report[name].as_array()).map(Vec::len).sum::<usize>();
    }
    Ok(())
}
