//! A home of the previous version goes on under this one.

use std::path::Path;

use serde_json::json;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};
use support::{Pair, event, sign, wait_for};

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

/// Takes the database back to what version 1 of the schema was, and shows that it is exactly that.
fn back_to_version_1(home: &Path) {
    let first = include_str!("../../gateway/server/src/store/migrations/sqlite/0001_first.sql");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut conn = open(&home.join("silkgate.db")).await;
        for sql in [
            "DROP TABLE timestamp",
            "ALTER TABLE log DROP COLUMN stamped",
            "DROP TABLE witnessed",
            "DROP TABLE cosignature",
            "DROP TABLE alarm",
            "ALTER TABLE log DROP COLUMN cosigned",
            "ALTER TABLE log DROP COLUMN witnessed",
            "ALTER TABLE log DROP COLUMN alarms",
            "ALTER TABLE partner DROP COLUMN clock_theirs_ms",
            "ALTER TABLE partner DROP COLUMN clock_ours_ms",
            "ALTER TABLE partner DROP COLUMN confirmed_ms",
            "DROP TABLE question",
            "ALTER TABLE delivery DROP COLUMN notice",
            "DELETE FROM _sqlx_migrations WHERE version > 1",
            // Version 1 kept no facts with a record.
            "UPDATE record SET head = json_remove(head, '$.facts'), settled = json_remove(settled, '$.facts')",
        ] {
            sqlx::query(sql).execute(&mut conn).await.unwrap();
        }
        let mut fresh = open(&home.join("first.db")).await;
        sqlx::raw_sql(AssertSqlSafe(first)).execute(&mut fresh).await.unwrap();
        assert_eq!(shape(&mut conn).await, shape(&mut fresh).await);
        conn.close().await.unwrap();
    });
}

#[test]
fn a_home_of_version_1_migrates_and_goes_on() {
    let mut pair = Pair::start();
    let (client, key) = (pair.iq.as_partner_of(&pair.jo), pair.iq.message_key());
    let first = event("IQ/traffic-police", "JO/public-security");
    let one = sign(&key, &first);
    assert_eq!(client.message(&one.bytes).status, 200);
    assert_eq!(pair.jo.stop(), Some(0));
    wait_for("the write-ahead log to be folded in", || {
        std::fs::metadata(pair.jo.path.join("silkgate.db-wal")).map_or(true, |m| m.len() == 0).then_some(())
    });
    back_to_version_1(&pair.jo.path);
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
