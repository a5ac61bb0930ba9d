//! Writes that fail: nothing is acknowledged that is not there, and no message harms another.

use serde_json::{Value, json};
use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;
use support::{Home, Message, Pair, event, sign, wait_for};

/// Puts a trap into the gateway's database.
fn execute(home: &Home, statements: &[&'static str]) {
    let path = home.path.join("silkgate.db");
    let work = async {
        let mut conn =
            SqliteConnectOptions::new().filename(path).foreign_keys(false).connect().await.unwrap();
        for sql in statements {
            sqlx::query(*sql).execute(&mut conn).await.unwrap();
        }
    };
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
}

fn about(pair: &Pair, subject: Option<&str>) -> Message {
    let mut event = event("IQ/traffic-police", "JO/public-security");
    if let Some(subject) = subject {
        event["subject"] = json!(subject);
        event["data"]["recordId"] = json!(subject);
    }
    sign(&pair.iq.message_key(), &event)
}

#[test]
fn a_message_that_cannot_be_written_does_not_take_others_along() {
    let pair = Pair::start();
    execute(
        &pair.jo,
        &[
            "CREATE TRIGGER trap BEFORE INSERT ON message WHEN NEW.subject = 'POISON' BEGIN SELECT RAISE(ABORT, 'trap'); END",
        ],
    );
    let client = pair.iq.as_partner_of(&pair.jo);
    let poison = about(&pair, Some("POISON"));
    let good: Vec<Message> = (0..40).map(|_| about(&pair, None)).collect();
    std::thread::scope(|scope| {
        for part in good.chunks(5) {
            let client = &client;
            scope.spawn(move || part.iter().for_each(|m| assert_eq!(client.message(&m.bytes).status, 200)));
        }
        for _ in 0..3 {
            let answer = client.message(&poison.bytes);
            assert_eq!((answer.status, answer.code().as_str()), (503, "unavailable"));
            assert!(answer.header("retry-after").is_some());
        }
    });
    assert_eq!(pair.jo.log(&["--type", "alert.vehicle"]).len(), good.len());
    assert!(pair.jo.audit().is_empty());
    // Once it can be written, the same bytes pass: nothing of the failed tries was left behind.
    execute(&pair.jo, &["DROP TRIGGER trap"]);
    assert_eq!(client.message(&poison.bytes).status, 200);
    assert!(pair.jo.audit().is_empty());
}

#[test]
fn after_a_failed_commit_the_gateway_ends_and_a_restart_reads_the_truth() {
    let mut pair = Pair::start();
    // A deferred constraint is broken: every statement succeeds, and COMMIT fails.
    execute(
        &pair.jo,
        &[
            "CREATE TABLE trap (log INTEGER REFERENCES log (id) DEFERRABLE INITIALLY DEFERRED)",
            "CREATE TRIGGER trap AFTER INSERT ON message WHEN NEW.subject = 'TRAP'
             BEGIN INSERT INTO trap VALUES (999); END",
        ],
    );
    let client = pair.iq.as_partner_of(&pair.jo);
    let before = about(&pair, None);
    assert_eq!(client.message(&before.bytes).status, 200);
    let trapped = about(&pair, Some("TRAP"));
    let answer = client.request("POST", "/v1/messages", "application/jose+json", &trapped.bytes);
    assert!(answer.is_err() || answer.unwrap().status != 200, "acknowledged, and not committed");
    assert_eq!(pair.jo.wait_for_end(), Some(2), "nothing is tried again after a failed commit");
    assert!(pair.jo.gateway_log().contains("a commit failed"));
    execute(&pair.jo, &["DROP TRIGGER trap", "DROP TABLE trap"]);
    pair.jo.start();
    let ids: Vec<Value> =
        pair.jo.log(&["--type", "alert.vehicle"]).into_iter().map(|entry| entry["id"].clone()).collect();
    assert_eq!(ids, [json!(before.id)]);
    assert!(pair.jo.audit().is_empty());
    wait_for("the trapped message to be taken", || {
        (client.message(&trapped.bytes).status == 200).then_some(())
    });
}
