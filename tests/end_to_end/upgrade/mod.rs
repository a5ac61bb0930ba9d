//! A home of the previous version goes on under this one.

mod command;

use std::path::Path;

use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};
use support::home::Backend;
use support::trace::{forms, found};
use support::{Home, Message, Pair, event, sign, wait_for};

use command::UNDO_POSTGRES;

use crate::erasure::{IQ, JO, alert, exchange};
use crate::evidence::fixture::verdicts;

async fn open(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .foreign_keys(false)
        .connect()
        .await
        .unwrap()
}

/// Tables with their columns, in order.
async fn shape(conn: &mut SqliteConnection) -> Vec<(String, String)> {
    let sql = "SELECT m.name, c.name || ' ' || c.type FROM sqlite_schema m JOIN pragma_table_info(m.name) c
               WHERE m.type = 'table' AND m.name NOT LIKE '\\_sqlx%' ESCAPE '\\' ORDER BY 1, c.cid";
    sqlx::query(sql).fetch_all(conn).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Every migration with its version, oldest first.
const MIGRATIONS: [(usize, &str); 17] = [
    (1, include_str!("../../../gateway/server/src/store/migrations/sqlite/0001_first.sql")),
    (2, include_str!("../../../gateway/server/src/store/migrations/sqlite/0002_questions.sql")),
    (3, include_str!("../../../gateway/server/src/store/migrations/sqlite/0003_witness.sql")),
    (4, include_str!("../../../gateway/server/src/store/migrations/sqlite/0004_erasure.sql")),
    (5, include_str!("../../../gateway/server/src/store/migrations/sqlite/0005_timestamp.sql")),
    (6, include_str!("../../../gateway/server/src/store/migrations/sqlite/0006_delivery.sql")),
    (7, include_str!("../../../gateway/server/src/store/migrations/sqlite/0007_courier.sql")),
    (8, include_str!("../../../gateway/server/src/store/migrations/sqlite/0008_duty.sql")),
    (9, include_str!("../../../gateway/server/src/store/migrations/sqlite/0009_push.sql")),
    (10, include_str!("../../../gateway/server/src/store/migrations/sqlite/0010_revocation.sql")),
    (11, include_str!("../../../gateway/server/src/store/migrations/sqlite/0011_key_exchange.sql")),
    (12, include_str!("../../../gateway/server/src/store/migrations/sqlite/0012_proposal.sql")),
    (13, include_str!("../../../gateway/server/src/store/migrations/sqlite/0013_roles.sql")),
    (14, include_str!("../../../gateway/server/src/store/migrations/sqlite/0014_reading.sql")),
    (15, include_str!("../../../gateway/server/src/store/migrations/sqlite/0015_lists.sql")),
    (16, include_str!("../../../gateway/server/src/store/migrations/sqlite/0016_search.sql")),
    (17, include_str!("../../../gateway/server/src/store/migrations/sqlite/0017_syslog.sql")),
];

const UNDO_SEARCH: &[&str] = &[
    "DROP TABLE tally",
    "DROP TABLE match_key",
    "DROP TABLE unmatched",
    "DROP INDEX message_type",
    "ALTER TABLE message DROP COLUMN purpose",
];

/// What takes the database back from a version to the one before it.
fn undo(version: usize) -> &'static [&'static str] {
    match version {
        15 => &["DROP TABLE revocation_history", "ALTER TABLE log DROP COLUMN lists_from"],
        17 => &["DROP TABLE syslog_position"],
        16 => UNDO_SEARCH,
        14 => &["DROP TABLE reading"],
        13 => &[
            "CREATE TABLE client_11 (certificate BLOB PRIMARY KEY,
                role TEXT NOT NULL CHECK (role IN ('backend', 'operator', 'auditor')), subject TEXT NOT NULL,
                until_ms INTEGER NOT NULL, added_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID",
            "INSERT INTO client_11 SELECT * FROM client",
            "DROP TABLE client",
            "ALTER TABLE client_11 RENAME TO client",
        ],
        12 => &["DROP TABLE proposal"],
        11 => &["DROP TABLE key_exchange"],
        10 => &["DROP TABLE revocation_list", "DROP TABLE revocation_source"],
        9 => &["DROP TABLE push"],
        8 => &["DROP TABLE duty"],
        6 => &[
            "DROP TABLE told",
            "DROP INDEX outbox_next",
            "DROP INDEX outbox_expiry",
            "ALTER TABLE outbox DROP COLUMN priority",
            "ALTER TABLE outbox DROP COLUMN waits",
            "ALTER TABLE outbox DROP COLUMN expires_ms",
            "CREATE INDEX outbox_due ON outbox (due_ms, seq)",
            "CREATE TABLE delivery_5 (seq INTEGER PRIMARY KEY REFERENCES message (seq), recipient TEXT NOT NULL,
                partner TEXT NOT NULL, subject TEXT NOT NULL, lease_ms INTEGER NOT NULL DEFAULT 0, lease BLOB,
                handed INTEGER NOT NULL DEFAULT 0, done_ms INTEGER, notice TEXT) STRICT",
            "INSERT INTO delivery_5 SELECT seq, recipient, partner, subject, lease_ms, lease, handed, done_ms, notice
                FROM delivery WHERE n = 1",
            "DROP TABLE delivery",
            "ALTER TABLE delivery_5 RENAME TO delivery",
            "CREATE INDEX delivery_open ON delivery (recipient, seq) WHERE done_ms IS NULL",
            "CREATE INDEX delivery_lane ON delivery (partner, subject, seq) WHERE done_ms IS NULL",
        ],
        7 => &["DROP TABLE couriered"],
        5 => &["DROP TABLE timestamp", "ALTER TABLE log DROP COLUMN stamped"],
        4 => &[
            "DROP TABLE erasure",
            "DROP INDEX payload_key",
            "ALTER TABLE payload DROP COLUMN wrapped",
            // Version 3 knew nothing of encryption.
            "PRAGMA user_version = 0",
        ],
        3 => &[
            "DROP TABLE witnessed",
            "DROP TABLE cosignature",
            "DROP TABLE alarm",
            "ALTER TABLE log DROP COLUMN cosigned",
            "ALTER TABLE log DROP COLUMN witnessed",
            "ALTER TABLE log DROP COLUMN alarms",
            "ALTER TABLE partner DROP COLUMN clock_theirs_ms",
            "ALTER TABLE partner DROP COLUMN clock_ours_ms",
            "ALTER TABLE partner DROP COLUMN confirmed_ms",
            "ALTER TABLE partner DROP COLUMN shown_ms",
        ],
        2 => &[
            "DROP TABLE question",
            "ALTER TABLE delivery DROP COLUMN notice",
            // Version 1 kept no facts with a record.
            "UPDATE record SET head = json_remove(head, '$.facts'), settled = json_remove(settled, '$.facts')",
        ],
        other => unreachable!("version {other}"),
    }
}

fn run(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
}

/// Puts payloads back in the clear, as version 3 stored them.
async fn in_the_clear(conn: &mut SqliteConnection, messages: &[Message]) {
    for message in messages {
        let sql = "UPDATE payload SET key_id = 0, wrapped = NULL, bytes = $1 WHERE seq = (SELECT seq FROM message WHERE hex(id) = $2)";
        let id = message.id.replace('-', "").to_uppercase();
        let done = sqlx::query(sql).bind(message.bytes.clone()).bind(id).execute(&mut *conn).await.unwrap();
        assert_eq!(done.rows_affected(), 1);
    }
    // An older version overwrote nothing: free pages hold what once stood in them.
    for sql in [
        "PRAGMA secure_delete = OFF",
        "CREATE TABLE leftover AS SELECT bytes FROM payload WHERE key_id = 0",
        "DROP TABLE leftover",
    ] {
        sqlx::query(sql).execute(&mut *conn).await.unwrap();
    }
}

/// Takes the database back to what an older version of the schema was, and shows at each step that it is exactly that.
fn back_to(home: &Path, version: usize, messages: &[Message]) {
    run(async {
        let mut conn = open(&home.join("silkgate.db")).await;
        if version < 4 {
            in_the_clear(&mut conn, messages).await;
        }
        for (at, (number, _)) in MIGRATIONS.iter().enumerate().rev().filter(|(_, (n, _))| *n > version) {
            for sql in undo(*number) {
                sqlx::query(*sql).execute(&mut conn).await.unwrap();
            }
            let sql = AssertSqlSafe(format!("DELETE FROM _sqlx_migrations WHERE version >= {number}"));
            sqlx::query(sql).execute(&mut conn).await.unwrap();
            let mut fresh = open(&home.join(format!("before-{number}.db"))).await;
            for (_, migration) in &MIGRATIONS[..at] {
                sqlx::raw_sql(*migration).execute(&mut fresh).await.unwrap();
            }
            assert_eq!(shape(&mut conn).await, shape(&mut fresh).await, "before version {number}");
        }
        // Until version 17 all had larger pages. What once stood in free ones would go.
        if version > 3 {
            let larger =
                "PRAGMA journal_mode = DELETE; PRAGMA page_size = 16384; VACUUM; PRAGMA journal_mode = WAL";
            sqlx::raw_sql(larger).execute(&mut conn).await.unwrap();
        }
        conn.close().await.unwrap();
    });
    if version < 4 {
        std::fs::remove_file(home.join("keys/payload-keys.db")).unwrap();
    }
}

fn stop(home: &mut Home) {
    assert_eq!(home.stop(), Some(0));
    // Of connections that are closed at the same moment none may be the last: the next one folds the write-ahead log in.
    run(async {
        let mut conn = open(&home.path.join("silkgate.db")).await;
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut conn).await.unwrap();
        conn.close().await.unwrap();
    });
}

#[test]
fn a_home_of_version_1_migrates_and_goes_on() {
    let mut pair = Pair::start_on(Backend::Sqlite);
    let (client, key) = (pair.iq.as_partner_of(&pair.jo), pair.iq.message_key());
    let first = event("IQ/traffic-police", "JO/public-security");
    let one = sign(&key, &first);
    assert_eq!(client.message(&one.bytes).status, 200);
    stop(&mut pair.jo);
    back_to(&pair.jo.path, 1, std::slice::from_ref(&one));
    let refused = pair.jo.run(&["status"]);
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("start the gateway once to migrate it"), "{said}");
    pair.jo.start();
    assert!(pair.jo.audit().is_empty());
    assert_eq!(
        client.message(&one.bytes).header("silkgate-replay"),
        Some("true"),
        "its first answer is known"
    );
    let mut update = event("IQ/traffic-police", "JO/public-security");
    update["subject"] = first["subject"].clone();
    update["data"]["recordId"] = first["subject"].clone();
    update["data"]["action"] = json!("update");
    update["data"]["recordVersion"] = json!(2);
    update["data"]["supersedes"] = json!({ "messageId": one.id, "digest": one.digest });
    assert_eq!(client.message(&sign(&key, &update).bytes).status, 200, "a record without facts goes on");
    let back_end = pair.jo.back_end("JO/public-security");
    assert_eq!(back_end.deliveries("?max=10").len(), 1, "what waited for its back end still waits");
    assert!(pair.jo.audit().is_empty());
}

#[test]
fn what_version_5_had_still_to_send_and_to_hand_over_goes_on_in_its_order() {
    let mut pair = Pair::set_up_files(None);
    pair.iq.start();
    let police = pair.iq.back_end("IQ/traffic-police");
    let first = event("IQ/traffic-police", "JO/public-security");
    let taken = police.submit(&first).json();
    let mut update = event("IQ/traffic-police", "JO/public-security");
    update["subject"] = first["subject"].clone();
    update["data"]["recordId"] = first["subject"].clone();
    update["data"]["action"] = json!("update");
    update["data"]["recordVersion"] = json!(2);
    update["data"]["supersedes"] = json!({ "messageId": taken["id"], "digest": taken["digest"] });
    let other = event("IQ/traffic-police", "JO/public-security");
    for event in [&update, &other] {
        assert_eq!(police.submit(event).status, 202);
    }
    stop(&mut pair.iq);
    back_to(&pair.iq.path, 5, &[]);
    pair.iq.start();
    let rows = "SELECT priority, waits, expires_ms > 0 FROM outbox ORDER BY seq";
    let waiting = pair.iq.query(rows);
    assert_eq!(waiting, [[0, 0, 1], [0, 1, 1], [0, 0, 1]], "the second version waits for the first");
    pair.jo.start();
    for event in [&first, &update, &other] {
        assert_eq!(police.outcome(event["id"].as_str().unwrap())["state"], "receipted");
    }
    stop(&mut pair.jo);
    back_to(&pair.jo.path, 5, &[]);
    pair.jo.start();
    let back_end = pair.jo.back_end("JO/public-security");
    let versions = |deliveries: &[Value]| -> Vec<(Value, Value)> {
        let of = |d: &Value| (d["event"]["subject"].clone(), d["event"]["data"]["recordVersion"].clone());
        deliveries.iter().map(of).collect()
    };
    let fetched = back_end.deliveries("?max=10");
    let up = versions(&fetched);
    assert_eq!(up.len(), 2, "the second version waits for the first: {up:?}");
    assert!(up.contains(&(other["subject"].clone(), json!(1))), "{up:?}");
    let one = fetched.iter().find(|delivery| delivery["id"] == first["id"]).unwrap();
    assert_eq!(back_end.acknowledge(one).status, 200);
    assert_eq!(versions(&back_end.deliveries("?max=10")), [(first["subject"].clone(), json!(2))]);
    assert!(pair.iq.audit().is_empty() && pair.jo.audit().is_empty());
}

/// More than one batch, each with words that stand nowhere else.
fn alerts(pair: &Pair, count: usize) -> Vec<Message> {
    let (client, key) = (pair.iq.as_partner_of(&pair.jo), pair.iq.message_key());
    let alert = |_| {
        let mut event = event("IQ/traffic-police", "JO/public-security");
        event["data"]["make"] = json!("Nadelmarke");
        event["data"]["decisionReference"] = json!("NADEL-2026/77");
        let message = sign(&key, &event);
        assert_eq!(client.message(&message.bytes).status, 200);
        message
    };
    (0..count).map(alert).collect()
}

#[test]
fn payloads_of_version_3_are_encrypted_and_their_plain_bytes_gone() {
    let mut pair = Pair::start_on(Backend::Sqlite);
    let messages = alerts(&pair, 230);
    let needles = [forms("Nadelmarke"), forms("NADEL-2026/77")].concat();
    stop(&mut pair.jo);
    back_to(&pair.jo.path, 3, &messages);
    assert!(!found(&pair.jo, &needles).is_empty(), "version 3 kept them in the clear");
    pair.jo.start();
    wait_for("all to be encrypted", || {
        pair.jo.gateway_log().contains("all payloads are encrypted count=230").then_some(())
    });
    assert_eq!(found(&pair.jo, &needles), [], "no file, no free page, no write-ahead log holds them");
    assert!(pair.jo.audit().is_empty());
    let shown = pair.jo.json(&["show", &messages[7].id]);
    assert_eq!(shown["event"]["data"]["make"], "Nadelmarke");
    assert_eq!(shown["kept_until"], "2027-11-25", "by the record's own `deleteBy`");
    // Killed half way: some are encrypted, the rest still stands in the clear.
    stop(&mut pair.jo);
    run(async {
        let mut conn = open(&pair.jo.path.join("silkgate.db")).await;
        in_the_clear(&mut conn, &messages[100..]).await;
        sqlx::query("PRAGMA user_version = 0").execute(&mut conn).await.unwrap();
        conn.close().await.unwrap();
    });
    assert!(pair.jo.audit().is_empty(), "commands read both");
    pair.jo.start();
    wait_for("all to be encrypted", || {
        pair.jo.gateway_log().contains("all payloads are encrypted count=130").then_some(())
    });
    assert_eq!(found(&pair.jo, &needles), []);
    assert!(pair.jo.audit().is_empty());
}

/// Entries of the lists that are kept, and behind which all are.
fn kept(home: &Home) -> (Vec<i64>, Vec<i64>) {
    let kept = home.query("SELECT entry FROM revocation_history ORDER BY entry").concat();
    (kept, home.query("SELECT lists_from FROM log WHERE partner = 'IQ'").concat())
}

/// Lists of version 14: of those that came into force only the last was there still.
#[test]
fn the_history_of_lists_begins_with_the_one_in_force() {
    for backend in [Backend::Sqlite, Backend::Postgres] {
        let mut pair = Pair::start_on(backend);
        let list = pair.iq.path.join("certs/tls.crl").to_string_lossy().into_owned();
        let (client, key) = (pair.iq.as_partner_of(&pair.jo), pair.iq.message_key());
        let mut ids = Vec::new();
        for _ in 0..3 {
            pair.iq.ok(&["key", "crl"]);
            pair.jo.ok(&["partner", "crl", "IQ", &list]);
            let message = sign(&key, &event(IQ, JO));
            assert_eq!(client.message(&message.bytes).status, 200);
            ids.push(message.id);
        }
        let stated = pair.jo.log(&["--partner", "IQ"]);
        let stated: Vec<i64> = stated
            .iter()
            .filter(|entry| entry["what"] == "crl")
            .map(|entry| entry["index"].as_i64().unwrap())
            .collect();
        assert_eq!(kept(&pair.jo), (stated.clone(), vec![0]));
        match &pair.jo.database {
            None => {
                stop(&mut pair.jo);
                back_to(&pair.jo.path, 14, &[]);
            }
            Some(database) => {
                let database = database.clone();
                assert_eq!(pair.jo.stop(), Some(0));
                let undo =
                    UNDO_POSTGRES.iter().take_while(|(version, _)| *version > 14).flat_map(|(_, undo)| *undo);
                undo.for_each(|sql| assert_eq!(database.execute(sql), 0));
                database.execute("DELETE FROM _sqlx_migrations WHERE version > 14");
            }
        }
        pair.jo.start();
        assert_eq!(kept(&pair.jo), (vec![stated[2]], vec![stated[1] + 1]), "under the entry that stated it");
        assert!(pair.jo.audit().is_empty());
        pair.iq.ok(&["key", "crl"]);
        pair.jo.ok(&["partner", "crl", "IQ", &list]);
        assert_eq!(kept(&pair.jo).0.len(), 2);
        // Of a message under a list that is not kept the bundle says so, and of one under a list that is, which.
        let out = pair.folder.path().join("out.zip");
        for (id, says) in ids.iter().zip(["does not say", "does not say", "none of 1 revocation list(s)"]) {
            let path = out.to_string_lossy().into_owned();
            pair.jo.ok(&["evidence", "export", id, "--out", &path]);
            let said = pair.iq.ok(&["verify", &path]);
            assert!(said.contains(says), "{said}");
            let file = (id.clone(), std::fs::read(&out).unwrap());
            assert_eq!(verdicts(&[file]), [(true, true)]);
            std::fs::remove_file(&out).unwrap();
        }
        assert!(pair.jo.audit().is_empty());
    }
}

#[test]
fn what_a_home_of_version_5_has_waiting_goes_by_courier() {
    let mut pair = Pair::set_up_files(Some("127.0.0.1:1"));
    pair.iq.start();
    pair.jo.start();
    let event = event("IQ/traffic-police", "JO/public-security");
    let id = event["id"].as_str().unwrap();
    assert_eq!(pair.iq.back_end("IQ/traffic-police").submit(&event).status, 202);
    for home in [&mut pair.iq, &mut pair.jo] {
        stop(home);
        back_to(&home.path, 5, &[]);
        home.start();
        stop(home);
    }
    let [out, back] =
        ["out", "back"].map(|name| pair.folder.path().join(name).to_string_lossy().into_owned());
    pair.iq.ok(&["courier", "export", "JO", &out]);
    pair.jo.ok(&["courier", "import", &out]);
    pair.jo.ok(&["courier", "export", "IQ", &back]);
    pair.iq.ok(&["courier", "import", &back]);
    assert_eq!(pair.iq.json(&["show", id])["state"], "receipted");
    assert!(pair.iq.audit().is_empty() && pair.jo.audit().is_empty());
}
