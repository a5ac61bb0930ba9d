//! A database administrator changes something: `silkgate audit verify` finds it.

use std::path::Path;

use serde_json::json;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};
use support::home::Home;
use support::tsa::{Kind, Tsa, TsaServer};
use support::{Pair, answer, event, question, sign, wait_for};

/// Columns of a refused or erased message that no evidence covers: its body is not there.
const OF_THE_BODY: [&str; 3] = ["subject", "signed_ms", "expires_ms"];

/// What `audit verify --json` says that it covers, and which columns it does not.
fn coverage(home: &Home) -> (Vec<String>, Vec<(String, String)>, Vec<String>) {
    let report = home.json(&["audit", "verify"]);
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let list = |member: &str| report[member].as_array().unwrap().clone();
    for excluded in list("excluded").iter().chain(&list("excluded_columns")) {
        assert!(text(&excluded["reason"]).len() > 5, "each has its reason: {excluded}");
    }
    (
        list("covered").iter().map(text).collect(),
        list("excluded_columns").iter().map(|e| (text(&e["table"]), text(&e["column"]))).collect(),
        list("excluded").iter().map(|e| text(&e["table"])).collect(),
    )
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

async fn open(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).foreign_keys(false).connect().await.unwrap()
}

async fn columns(conn: &mut SqliteConnection, table: &str) -> Vec<String> {
    let sql = AssertSqlSafe(format!("SELECT name FROM pragma_table_info('{table}')"));
    sqlx::query(sql).fetch_all(conn).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// Both gateways exchanged messages of every outcome, and stopped.
fn exchanged() -> Pair {
    let mut pair = Pair::set_up(None);
    let tsa = Tsa::create(pair.folder.path(), "tsa", Kind::P256);
    tsa.configure(&pair.jo, &TsaServer::start(tsa.clone()).url, "every_seconds = 1");
    pair.iq.start();
    pair.jo.start();
    let client = pair.iq.as_partner_of(&pair.jo);
    let key = pair.iq.message_key();
    for number in 0..6 {
        let mut event = event("IQ/traffic-police", "JO/public-security");
        if number % 3 == 2 {
            event["data"]["colour"] = json!("plaid");
        }
        client.message(&sign(&key, &event).bytes);
    }
    let back_end = pair.jo.back_end("JO/public-security");
    for delivery in back_end.deliveries("?max=2") {
        assert_eq!(back_end.acknowledge(&delivery).status, 200);
    }
    let asked = back_end.submit(&question("JO/public-security", "IQ/traffic-police", 1_800_000)).json();
    assert_eq!(back_end.outcome(asked["id"].as_str().unwrap())["state"], "receipted");
    let answer = answer("IQ/traffic-police", "JO/public-security", asked["id"].as_str().unwrap(), "none");
    assert_eq!(client.message(&sign(&key, &answer).bytes).status, 200);
    for _ in 0..3 {
        let taken = back_end.submit(&event("JO/public-security", "IQ/traffic-police")).json();
        assert_eq!(back_end.outcome(taken["id"].as_str().unwrap())["state"], "receipted");
    }
    // One erased: the last of those that Iraq sent.
    for delivery in back_end.deliveries("?max=10") {
        assert_eq!(back_end.acknowledge(&delivery).status, 200);
    }
    let received = pair.jo.log(&["--partner", "IQ", "--type", "alert.vehicle"]);
    let mut received = received.iter().filter(|entry| entry["kind"] == "received");
    let erased = received.next_back().unwrap()["id"].as_str().unwrap().to_owned();
    pair.jo.ok(&["erase", &erased, "--reason", "to be forgotten"]);
    wait_for("a time-stamp over each log", || {
        let logs = pair.jo.json(&["status"])["logs"].as_array().unwrap().clone();
        logs.iter().all(|log| log["timestamp"]["size"] == log["size"]).then_some(())
    });
    pair.jo.stop();
    wait_for("the write-ahead log to be folded in", || {
        std::fs::metadata(pair.jo.path.join("silkgate.db-wal")).map_or(true, |m| m.len() == 0).then_some(())
    });
    pair
}

/// Applies one statement to a fresh copy of the database, and audits.
fn is_found(home: &Home, sound: &[u8], sql: String) -> bool {
    let path = home.path.join("silkgate.db");
    for ending in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(home.path.join(format!("silkgate.db{ending}")));
    }
    std::fs::write(&path, sound).unwrap();
    let changed = run(async {
        let mut conn = open(&path).await;
        let done = sqlx::query(AssertSqlSafe(sql.clone())).execute(&mut conn).await;
        conn.close().await.unwrap();
        // A constraint of the schema may refuse the change: then there is nothing to find.
        done.map_or(0, |done| done.rows_affected())
    });
    if changed == 0 {
        return true;
    }
    let output = home.run(&["audit", "verify", "--json"]);
    output.status.code() != Some(0)
}

#[test]
fn any_single_change_is_found() {
    let pair = exchanged();
    let home = &pair.jo;
    assert!(home.audit().is_empty());
    let path = home.path.join("silkgate.db");
    let sound = std::fs::read(&path).unwrap();
    let (covered, not_covered, _) = coverage(home);
    let mut statements = Vec::new();
    run(async {
        let mut conn = open(&path).await;
        for table in &covered {
            let columns = columns(&mut conn, table).await;
            let count: i64 = sqlx::query(AssertSqlSafe(format!("SELECT count(*) FROM {table}")))
                .fetch_one(&mut conn)
                .await
                .unwrap()
                .get(0);
            assert!(count > 0, "{table} is empty: the test would show nothing");
            let any_row = |offset: i64| {
                let keys = columns.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
                let keys = if columns.len() < 3 { columns[0].clone() } else { keys };
                format!("({keys}) = (SELECT {keys} FROM {table} ORDER BY 1, 2 LIMIT 1 OFFSET {offset})")
            };
            for offset in [0, count / 2, count - 1] {
                statements.push(format!("DELETE FROM {table} WHERE {}", any_row(offset)));
                for column in &columns {
                    let unkept = table == "message" && OF_THE_BODY.contains(&column.as_str());
                    if !unkept && not_covered.contains(&(table.clone(), column.clone())) {
                        continue;
                    }
                    let refused = if unkept {
                        " AND (direction, state) != ('received', 'rejected') AND seq NOT IN (SELECT seq FROM erasure)"
                    } else {
                        ""
                    };
                    let changed = format!(
                        "CASE typeof({column}) WHEN 'integer' THEN {column} + 1 WHEN 'null' THEN 1
                         WHEN 'blob' THEN CAST(substr({column}, 1, length({column}) - 1) || 'x' AS BLOB)
                         ELSE substr({column}, 1, length({column}) - 1) || 'x' END"
                    );
                    statements.push(format!(
                        "UPDATE {table} SET {column} = {changed} WHERE {}{refused}",
                        any_row(offset)
                    ));
                }
            }
        }
        // Rows exchanged, and rows added.
        statements.push("UPDATE entry SET body = (SELECT e.body FROM entry e WHERE e.log = entry.log AND e.idx = 3 - entry.idx) WHERE idx IN (1, 2)".into());
        statements.push(
            "UPDATE payload SET bytes = (SELECT p.bytes FROM payload p WHERE p.seq != payload.seq LIMIT 1)"
                .into(),
        );
        statements.push("INSERT INTO entry SELECT log, max(idx) + 1, body FROM entry GROUP BY log".into());
        statements.push("INSERT INTO message SELECT seq + 1000, direction, partner, source, recipient, randomblob(16), type, version, subject, digest, signed_ms, expires_ms, at_ms, log, entry, checkpoint, state, code, request FROM message LIMIT 1".into());
        statements.push("DELETE FROM card".into());
        // A payload put back after its erasure, and one taken away with a note of an erasure that no log states.
        statements.push("INSERT INTO payload SELECT e.seq, p.key_id, p.bytes, p.wrapped FROM erasure e, payload p LIMIT 1".into());
        statements.push(
            "INSERT INTO erasure SELECT seq, 1, 'operator', 1, NULL, NULL, NULL FROM payload LIMIT 1".into(),
        );
        statements.push("UPDATE erasure SET rule = 'retention'".into());
        conn.close().await.unwrap();
    });
    let missed: Vec<&String> =
        statements.iter().filter(|sql| !is_found(home, &sound, (*sql).clone())).collect();
    assert!(statements.len() > 100, "{}", statements.len());
    assert!(
        missed.is_empty(),
        "{} of {} changes were not found: {missed:#?}",
        missed.len(),
        statements.len()
    );
}

/// A new table is covered or excluded on purpose.
#[test]
fn every_table_is_known() {
    let pair = Pair::set_up(None);
    let tables: Vec<String> = run(async {
        let mut conn = open(&pair.jo.path.join("silkgate.db")).await;
        let sql =
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name";
        sqlx::query(sql).fetch_all(&mut conn).await.unwrap().iter().map(|row| row.get(0)).collect()
    });
    let (covered, _, excluded) = coverage(&pair.jo);
    for table in &tables {
        assert!(
            covered.contains(table) != excluded.contains(table),
            "{table} is covered or excluded, on purpose"
        );
    }
    assert_eq!(covered.len() + excluded.len(), tables.len(), "nothing is named that is not there");
}
