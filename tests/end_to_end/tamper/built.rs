//! A database administrator who leaves every row alone and changes what the rows stand in.

use serde_json::Value;
use support::home::{Backend, Home, Pair};

/// Does each change, expects it to be found with these words, and takes it back.
fn each_is_found(home: &Home, changes: &[(&str, &str, &str)]) {
    assert!(home.audit().is_empty());
    for (change, back, says) in changes {
        home.execute(change);
        let found = Value::from(home.audit()).to_string();
        assert!(found.contains(says), "{change}: {found}");
        home.execute(back);
        assert!(home.audit().is_empty(), "{back}");
    }
}

#[test]
fn what_no_migration_made_is_found_in_a_file() {
    let pair = Pair::set_up_files(None);
    each_is_found(
        &pair.jo,
        &[
            (
                "CREATE TRIGGER late AFTER INSERT ON outbox BEGIN DELETE FROM outbox WHERE message = new.message; END",
                "DROP TRIGGER late",
                "the schema is not as the migrations make it: trigger late",
            ),
            (
                "CREATE TRIGGER hidden AFTER INSERT ON _sqlx_migrations BEGIN DELETE FROM record; END",
                "DROP TRIGGER hidden",
                "trigger hidden",
            ),
            ("CREATE VIEW shown AS SELECT 1", "DROP VIEW shown", "view shown"),
            ("CREATE TABLE aside (number INTEGER) STRICT", "DROP TABLE aside", "table aside"),
            (
                "ALTER TABLE card RENAME bytes TO octets",
                "ALTER TABLE card RENAME octets TO bytes",
                "table card",
            ),
            (
                "ALTER TABLE message RENAME signed_ms TO said_ms",
                "ALTER TABLE message RENAME said_ms TO signed_ms",
                "table message",
            ),
            (
                "ALTER TABLE refusal ADD COLUMN note TEXT",
                "ALTER TABLE refusal DROP COLUMN note",
                "table refusal",
            ),
        ],
    );
    // What the database gathers for its own plans is nobody's change.
    pair.jo.execute("ANALYZE");
    assert!(pair.jo.audit().is_empty());
}

#[test]
fn what_no_migration_made_is_found_on_a_server() {
    let pair = Pair::set_up_on(None, Backend::Shared);
    let jo = &pair.jo;
    jo.execute("CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'");
    jo.execute("CREATE FUNCTION number() RETURNS bigint LANGUAGE sql AS 'SELECT 7::bigint'");
    each_is_found(
        jo,
        &[
            (
                "CREATE TRIGGER late BEFORE INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION nothing()",
                "DROP TRIGGER late ON outbox",
                "the schema is not as the migrations make it: trigger late on outbox",
            ),
            (
                "CREATE RULE never AS ON DELETE TO message DO INSTEAD NOTHING",
                "DROP RULE never ON message",
                "rule never on message",
            ),
            ("CREATE POLICY few ON entry USING (idx > 3)", "DROP POLICY few ON entry", "policy few on entry"),
            (
                "ALTER TABLE payload DISABLE TRIGGER ALL",
                "ALTER TABLE payload ENABLE TRIGGER ALL",
                "on payload",
            ),
            ("CREATE TABLE aside (at timestamptz)", "DROP TABLE aside", "table aside"),
            ("CREATE VIEW shown AS SELECT 1", "DROP VIEW shown", "view shown"),
            (
                "CREATE TABLE more () INHERITS (refusal)",
                "DROP TABLE more",
                "a table that inherits from refusal",
            ),
            (
                "ALTER TABLE payload SET UNLOGGED",
                "ALTER TABLE payload SET LOGGED",
                "table payload is not logged",
            ),
            (
                "ALTER TABLE delivery ALTER refusals SET DEFAULT number()",
                "ALTER TABLE delivery ALTER refusals SET DEFAULT 0",
                "default of delivery",
            ),
            (
                "ALTER TABLE payload DROP CONSTRAINT payload_seq_fkey",
                "ALTER TABLE payload ADD CONSTRAINT payload_seq_fkey FOREIGN KEY (seq) REFERENCES message (seq)",
                "table payload",
            ),
            (
                "ALTER TABLE card RENAME bytes TO octets",
                "ALTER TABLE card RENAME octets TO bytes",
                "table card",
            ),
            (
                "ALTER TABLE message RENAME signed_ms TO said_ms",
                "ALTER TABLE message RENAME said_ms TO signed_ms",
                "table message",
            ),
            (
                "ALTER TABLE refusal ADD COLUMN note text",
                "ALTER TABLE refusal DROP COLUMN note",
                "table refusal",
            ),
        ],
    );
}
