//! What agrees with itself: only the neighbours' cosignatures tell.

use std::path::Path;

use serde_json::Value;
use silkgate_ledger::tree::Edge;
use silkgate_ledger::{Checkpoint, NoteSigner, leaf_hash, sign_checkpoint};
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection as _, Row as _};
use support::event;
use support::home::Home;
use support::wire;

use super::exchanged::{IQ, JO, all_cosigned, database, exchange, put, quick, stop, submit};
use super::{open, run};

/// The exit code and the report.
fn audit(home: &Home, more: &[&str]) -> (Option<i32>, Value) {
    let output = home.run(&[&["audit", "verify", "--json"], more].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}")))
}

fn states(report: &Value) -> Vec<&str> {
    report["witnesses"].as_array().unwrap().iter().map(|w| w["state"].as_str().unwrap()).collect()
}

async fn execute(conn: &mut SqliteConnection, sql: String) {
    sqlx::query(AssertSqlSafe(sql)).execute(conn).await.unwrap();
}

/// Cuts a log to its first `size` entries, with everything that hangs on the rest, and counts again. With `sign`
/// every checkpoint is signed anew by a stolen key, over what the entries give now.
async fn rebuild(conn: &mut SqliteConnection, log: i64, size: i64, sign: Option<&NoteSigner>) {
    for (table, beyond) in [
        ("entry", format!("idx >= {size}")),
        ("checkpoint", format!("size > {size}")),
        ("cosignature", format!("size > {size}")),
    ] {
        execute(conn, format!("DELETE FROM {table} WHERE log = {log} AND {beyond}")).await;
    }
    execute(conn, format!("DELETE FROM tile WHERE log = {log}")).await;
    let sql = AssertSqlSafe(format!("SELECT body FROM entry WHERE log = {log} ORDER BY idx"));
    let bodies = sqlx::query(sql).fetch_all(&mut *conn).await.unwrap();
    let mut edge = Edge::empty();
    for body in &bodies {
        edge.append(leaf_hash(body.get::<&[u8], _>(0)));
        let held = format!("SELECT 1 FROM checkpoint WHERE log = {log} AND size = {}", edge.size());
        let held = sqlx::query(AssertSqlSafe(held)).fetch_optional(&mut *conn).await.unwrap().is_some();
        if let Some(signer) = sign.filter(|_| held) {
            let origin = signer.name().parse().unwrap();
            let checkpoint = Checkpoint { origin, size: edge.size(), root: edge.root() };
            let note = sign_checkpoint(&checkpoint, signer).unwrap().encode();
            let sql = format!("UPDATE checkpoint SET note = $1 WHERE log = {log} AND size = {}", edge.size());
            sqlx::query(AssertSqlSafe(sql)).bind(note).execute(&mut *conn).await.unwrap();
        }
    }
    for (id, tile) in edge.take_changed() {
        let sql = "INSERT INTO tile (log, level, idx, hashes) VALUES ($1, $2, $3, $4)";
        let query =
            sqlx::query(sql).bind(log).bind(i64::from(id.level)).bind(i64::try_from(id.index).unwrap());
        query.bind(tile.to_bytes()).execute(&mut *conn).await.unwrap();
    }
    let sql = format!(
        "UPDATE log SET size = $1, root = $2, signed = (SELECT count(*) FROM checkpoint WHERE log = {log}),
                        cosigned = (SELECT count(*) FROM cosignature WHERE log = {log}) WHERE id = {log}"
    );
    let root = edge.root().as_bytes().to_vec();
    let query = sqlx::query(AssertSqlSafe(sql)).bind(i64::try_from(edge.size()).unwrap()).bind(root);
    query.execute(conn).await.unwrap();
}

/// The house log's key, and the index of its last hand-over.
async fn last_hand_over(conn: &mut SqliteConnection) -> (i64, i64) {
    let sql = "SELECT log, max(idx) FROM entry JOIN log ON log.id = log WHERE partner IS NULL
               AND CAST(body AS TEXT) LIKE '%\"kind\":\"delivered\"%'";
    let row = sqlx::query(sql).fetch_one(conn).await.unwrap();
    (row.get(0), row.get(1))
}

fn change(path: &Path, sound: &[u8], work: impl AsyncFnOnce(&mut SqliteConnection)) {
    put(path, sound);
    run(async {
        let mut conn = open(path).await;
        work(&mut conn).await;
        conn.close().await.unwrap();
    });
}

#[test]
fn an_older_database_and_a_history_that_was_rewritten_are_found_from_what_a_neighbour_has_seen() {
    let mut pair = quick();
    exchange(&pair);
    all_cosigned(&pair.jo);
    stop(&mut pair.jo);
    let path = database(&pair.jo);
    let older = std::fs::read(&path).unwrap();
    pair.jo.start();
    assert_eq!(submit(&pair.jo, &event(JO, IQ)), "receipted");
    let back_end = pair.jo.back_end(JO);
    let delivery = back_end.deliveries("?max=1").remove(0);
    assert_eq!(back_end.acknowledge(&delivery).status, 200);
    all_cosigned(&pair.jo);
    stop(&mut pair.jo);
    let sound = std::fs::read(&path).unwrap();

    // The sound one: complete, and the neighbour says so.
    let (code, report) = audit(&pair.jo, &[]);
    assert_eq!((code, states(&report)), (Some(0), vec!["agrees", "agrees"]), "{report}");
    for log in report["logs"].as_array().unwrap() {
        let cosigned = &log["cosigned"][0];
        assert_eq!((&cosigned["by"], &cosigned["size"]), (&"IQ".into(), &log["entries"]), "{report}");
    }
    let said = pair.jo.ok(&["audit", "verify"]);
    assert!(
        said.contains("no gap") && said.contains("last cosigned by IQ at 20") && said.contains("all "),
        "{said}"
    );

    // An older one.
    put(&path, &older);
    let (code, report) = audit(&pair.jo, &["--offline"]);
    assert_eq!((code, states(&report)), (Some(0), vec!["offline", "offline"]), "it agrees with itself");
    let (code, report) = audit(&pair.jo, &[]);
    assert_eq!((code, states(&report)), (Some(1), vec!["contradicts", "contradicts"]), "{report}");
    assert!(report["findings"][0]["what"].as_str().unwrap().contains("an older database was put back"));

    // The last entries of the house log cut away, with everything that hangs on them. No key is needed for that.
    change(&path, &sound, async |conn| {
        let (house, last) = last_hand_over(conn).await;
        execute(
            conn,
            "UPDATE delivery SET done_ms = NULL, state = 'open' WHERE done_ms = (SELECT max(done_ms) FROM delivery)".into(),
        )
        .await;
        let sql = format!("SELECT max(size) FROM checkpoint WHERE log = {house} AND size <= {last}");
        let size: i64 = sqlx::query(AssertSqlSafe(sql)).fetch_one(&mut *conn).await.unwrap().get(0);
        rebuild(conn, house, size, None).await;
    });
    let (code, report) = audit(&pair.jo, &["--offline"]);
    assert_eq!(code, Some(0), "it agrees with itself: {report}");
    let (code, report) = audit(&pair.jo, &[]);
    assert_eq!((code, report["findings"].as_array().unwrap().len()), (Some(1), 1), "{report}");

    // An entry edited, tree and tiles recomputed; without the key, then with a stolen one.
    let key = wire::private_key(&pair.jo.path.join("keys/log.key"));
    let signer = NoteSigner::from_pkcs8(&format!("{}/JO/house", pair.jo.host), key.secret_der()).unwrap();
    let edited = |signer: Option<&NoteSigner>, without_cosignatures: bool| {
        change(&path, &sound, async |conn| {
            let (house, last) = last_hand_over(conn).await;
            let at = "SELECT done_ms FROM delivery WHERE done_ms IS NOT NULL ORDER BY done_ms DESC LIMIT 1";
            let at: i64 = sqlx::query(at).fetch_one(&mut *conn).await.unwrap().get(0);
            let instant = |ms: i64| silkgate_ledger::UtcMillis::from_unix_ms(ms).unwrap().to_string();
            let (was, is) = (instant(at), instant(at - 1));
            execute(
                conn,
                format!(
                    "UPDATE entry SET body = CAST(replace(CAST(body AS TEXT), '{was}', '{is}') AS BLOB) WHERE log = {house} AND idx = {last}"
                ),
            )
            .await;
            execute(conn, format!("UPDATE delivery SET done_ms = {} WHERE done_ms = {at}", at - 1)).await;
            if without_cosignatures {
                execute(conn, format!("DELETE FROM cosignature WHERE log = {house} AND size > {last}")).await;
            }
            rebuild(conn, house, i64::MAX, signer).await;
        });
    };
    edited(None, false);
    assert_eq!(audit(&pair.jo, &["--offline"]).0, Some(1), "no checkpoint is signed over it");
    edited(Some(&signer), false);
    assert_eq!(
        audit(&pair.jo, &["--offline"]).0,
        Some(1),
        "the neighbour's cosignature is over the other history"
    );
    edited(Some(&signer), true);
    let (code, report) = audit(&pair.jo, &["--offline"]);
    assert_eq!(code, Some(0), "a stolen key and no cosignature left: it agrees with itself: {report}");
    let (code, report) = audit(&pair.jo, &[]);
    assert_eq!(
        (code, report["findings"].as_array().unwrap().len()),
        (Some(1), 1),
        "the neighbour knows: {report}"
    );

    // A neighbour that is not there is named, and is no finding.
    put(&path, &sound);
    stop(&mut pair.iq);
    let (code, report) = audit(&pair.jo, &[]);
    assert_eq!((code, states(&report)), (Some(0), vec!["unreachable", "unreachable"]), "{report}");
}

/// Beside a gateway that is busy in both directions, again and again.
#[test]
fn an_audit_beside_a_busy_gateway_raises_no_false_alarm() {
    let pair = quick();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                exchange(&pair);
                assert_eq!(submit(&pair.iq, &event(IQ, JO)), "receipted");
            }
        });
        for round in 0..12 {
            for home in [&pair.iq, &pair.jo] {
                let (code, report) = audit(home, if round % 3 == 0 { &["--offline"] } else { &[] });
                assert_eq!((code, &report["findings"]), (Some(0), &Value::Array(Vec::new())), "{report}");
            }
        }
        stop.store(true, std::sync::atomic::Ordering::SeqCst);
    });
}
