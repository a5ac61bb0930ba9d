//! `silkgate upgrade`: told first, done behind a backup, and never for a newer program's home.

use serde_json::{Value, json};
use sqlx::Connection as _;
use sqlx::Row as _;
use support::home::Backend;
use support::postgres::{Cluster, Database};
use support::{Home, Pair, event, sign};

use super::{IQ, JO, MIGRATIONS, UNDO_SEARCH, alert, back_to, exchange, open, run, stop};

/// What `upgrade --check` tells, which must end with that code.
fn checked(home: &Home, code: i32) -> Value {
    let output = home.run(&["upgrade", "--check", "--json"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no report: {said}"))
}

fn page_size(home: &Home) -> i64 {
    let mut size = 0;
    run(async {
        let mut conn = open(&home.path.join("silkgate.db")).await;
        size = sqlx::query_scalar("PRAGMA page_size").fetch_one(&mut conn).await.unwrap();
        conn.close().await.unwrap();
    });
    size
}

fn versions(report: &Value) -> Vec<u64> {
    let pending = report["database"]["pending"].as_array().unwrap();
    for step in pending {
        assert!(step["name"].as_str().unwrap().len() > 3, "{step}");
    }
    pending.iter().map(|step| step["version"].as_u64().unwrap()).collect()
}

fn newest() -> u64 {
    MIGRATIONS.last().unwrap().0 as u64
}

#[test]
fn an_upgrade_is_told_first_and_done_behind_a_backup() {
    for version in [1, 5] {
        let mut pair = Pair::start_on(Backend::Sqlite);
        let (client, key) = (pair.iq.as_partner_of(&pair.jo), pair.iq.message_key());
        let one = sign(&key, &event(IQ, JO));
        assert_eq!(client.message(&one.bytes).status, 200);
        assert_eq!(checked(&pair.jo, 0)["verdict"], "nothing", "beside a running gateway");
        stop(&mut pair.jo);
        let plain = version < 4;
        back_to(&pair.jo.path, version, if plain { std::slice::from_ref(&one) } else { &[] });
        let report = checked(&pair.jo, 1);
        let later = MIGRATIONS.iter().map(|(step, _)| *step as u64).filter(|step| *step > version as u64);
        assert_eq!(versions(&report), later.collect::<Vec<_>>());
        assert_eq!((&report["verdict"], &report["last_backup"]), (&json!("pending"), &Value::Null));
        assert!(
            report["room"]["enough"] == true && report["room"]["needed_bytes"].as_u64() > Some(0),
            "{report}"
        );
        assert_eq!(checked(&pair.jo, 1)["database"]["schema"], version as u64, "nothing was changed");
        let told = pair.jo.run(&["upgrade", "--check"]);
        let told = String::from_utf8_lossy(&told.stdout).into_owned();
        assert!(told.contains("pending 7 courier: ") && told.contains("run `silkgate upgrade`"), "{told}");
        let done = pair.jo.json(&["upgrade"]);
        assert_eq!(done["plain_payloads_in_backup"], json!(plain));
        let backup = done["backups"][0]["file"].as_str().unwrap().to_owned();
        let report = checked(&pair.jo, 0);
        assert_eq!(
            (&report["database"]["schema"], &report["last_backup"]["there"]),
            (&json!(newest()), &json!(true))
        );
        assert_eq!(pair.jo.json(&["upgrade"])["applied"], json!([]), "given again");
        assert_eq!(page_size(&pair.jo), if plain { 8192 } else { 16_384 }, "its own");
        assert!(pair.jo.audit().is_empty());
        // The backup is of the older version, and comes back as the present one.
        let restored = pair.jo.json(&["restore", &backup]);
        assert_eq!(restored["restored"]["schema"], version as u64, "{restored}");
        assert_eq!(page_size(&pair.jo), 8192);
        assert!(pair.jo.audit().is_empty());
        pair.jo.start();
        assert_eq!(client.message(&one.bytes).header("silkgate-replay"), Some("true"));
        assert!(pair.jo.audit().is_empty());
    }
}

/// What takes a server's database back to its first schema, newest first.
pub(super) const UNDO_POSTGRES: [(u64, &[&str]); 12] = [
    (17, &["DROP TABLE syslog_position"]),
    (16, UNDO_SEARCH),
    (15, &["DROP TABLE revocation_history", "ALTER TABLE log DROP COLUMN lists_from"]),
    (14, &["DROP TABLE reading"]),
    (
        13,
        &[
            "ALTER TABLE client DROP CONSTRAINT client_role_check,
                ADD CONSTRAINT client_role_check CHECK (role IN ('backend', 'operator', 'auditor'))",
        ],
    ),
    (12, &["DROP TABLE proposal"]),
    (11, &["DROP TABLE key_exchange"]),
    (10, &["DROP TABLE revocation_list", "DROP TABLE revocation_source"]),
    (9, &["DROP TABLE push"]),
    (8, &["DROP TABLE duty"]),
    (7, &["DROP TABLE couriered"]),
    (
        6,
        &[
            "DROP TABLE told",
            "DROP INDEX outbox_next",
            "DROP INDEX outbox_expiry",
            "ALTER TABLE outbox DROP COLUMN priority, DROP COLUMN waits, DROP COLUMN expires_ms",
            "CREATE INDEX outbox_due ON outbox (due_ms, seq)",
            "CREATE TABLE delivery_5 (seq BIGINT PRIMARY KEY REFERENCES message (seq), recipient TEXT COLLATE \"C\" NOT NULL,
                partner TEXT COLLATE \"C\" NOT NULL, subject TEXT COLLATE \"C\" NOT NULL, lease_ms BIGINT NOT NULL DEFAULT 0,
                lease BYTEA, handed BIGINT NOT NULL DEFAULT 0, done_ms BIGINT, notice TEXT COLLATE \"C\")",
            "INSERT INTO delivery_5 SELECT seq, recipient, partner, subject, lease_ms, lease, handed, done_ms, notice
                FROM delivery WHERE n = 1",
            "DROP TABLE delivery",
            "ALTER TABLE delivery_5 RENAME TO delivery",
            "CREATE INDEX delivery_open ON delivery (recipient, seq) WHERE done_ms IS NULL",
            "CREATE INDEX delivery_lane ON delivery (partner, subject, seq) WHERE done_ms IS NULL",
        ],
    ),
];

fn shape_of(database: &Database) -> Vec<(String, String, String)> {
    let sql = "SELECT table_name::text, column_name::text, data_type::text FROM information_schema.columns
               WHERE table_schema = 'public' AND table_name <> '_sqlx_migrations' ORDER BY 1, 2";
    database.rows(sql).iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

#[test]
fn a_home_on_postgres_migrates_from_its_first_schema() {
    let mut pair = Pair::start_on(Backend::Postgres);
    let id = exchange(&pair, &alert(IQ, JO));
    let waiting = alert(IQ, JO);
    assert_eq!(pair.iq.back_end(IQ).submit(&waiting).status, 202);
    assert_eq!(pair.iq.back_end(IQ).outcome(waiting["id"].as_str().unwrap())["state"], "receipted");
    assert_eq!(pair.jo.stop(), Some(0));
    let database = pair.jo.database.clone().unwrap();
    assert_eq!(UNDO_POSTGRES[0].0, newest(), "a new migration needs its way back here");
    for sql in UNDO_POSTGRES.iter().flat_map(|(_, undo)| *undo) {
        database.execute(sql);
    }
    database.execute("DELETE FROM _sqlx_migrations WHERE version > 5");
    let fresh = Cluster::shared().database("first");
    let first = include_str!("../../../gateway/server/src/store/migrations/postgres/0005_first.sql");
    for statement in first.split(";\n").filter(|statement| !statement.trim().is_empty()) {
        fresh.execute(statement);
    }
    assert_eq!(shape_of(&database), shape_of(&fresh), "exactly what the first schema was");
    let report = checked(&pair.jo, 1);
    assert_eq!(
        (versions(&report), &report["room"]),
        (vec![6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17], &Value::Null)
    );
    let done = pair.jo.json(&["upgrade"]);
    assert_eq!(checked(&pair.jo, 0)["verdict"], "nothing");
    pair.jo.start();
    assert_eq!(pair.jo.json(&["show", &id])["event"]["id"], id.as_str());
    assert_eq!(
        pair.jo.back_end(JO).deliveries("?max=10").len(),
        1,
        "what waited for its back end still waits"
    );
    assert!(pair.jo.audit().is_empty());
    assert_eq!(pair.jo.stop(), Some(0));
    let backup = done["backups"][0]["file"].as_str().unwrap();
    assert_eq!(pair.jo.json(&["restore", backup, "--offline"])["restored"]["schema"], 5);
    assert!(pair.jo.audit().is_empty());
}

#[test]
fn a_home_of_a_newer_program_is_left_alone() {
    for backend in [Backend::Sqlite, Backend::Postgres] {
        let mut pair = Pair::set_up_on(None, backend);
        let later = "INSERT INTO _sqlx_migrations SELECT 999, 'later', installed_on, success, checksum, execution_time
                     FROM _sqlx_migrations LIMIT 1";
        match &pair.jo.database {
            Some(database) => drop(database.execute(later)),
            None => run(async {
                let mut conn = open(&pair.jo.path.join("silkgate.db")).await;
                sqlx::query(later).execute(&mut conn).await.unwrap();
                conn.close().await.unwrap();
            }),
        }
        for args in [
            ["serve"].as_slice(),
            &["status"],
            &["upgrade"],
            &["upgrade", "--check"],
            &["backup", "x.silkgate"],
        ] {
            let output = pair.jo.run(args);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
            assert!(
                said.contains("has schema 999") && said.contains("newer than this program"),
                "{args:?}: {said}"
            );
        }
        // A setting that this program does not know.
        let file = pair.iq.path.join("silkgate.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace("connections = 12000", "conections = 12000")).unwrap();
        let output = pair.iq.run(&["upgrade", "--check"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.contains("conections"), "{said}");
        std::fs::write(&file, text).unwrap();
        pair.iq.start();
    }
}
