//! Writes that fail: nothing is acknowledged that is not there, and no message harms another.

use serde_json::{Value, json};
use support::{Home, Message, Pair, event, sign, wait_for};

/// A trigger on `message` that does this for the message of one record, in the words of the home's database.
fn trap(home: &Home, when: &str, subject: &str, sqlite: &str, postgres: &str) {
    if home.database.is_none() {
        let head = format!("CREATE TRIGGER trap {when} INSERT ON message WHEN NEW.subject = '{subject}'");
        home.execute(&format!("{head} BEGIN {sqlite}; END"));
        return;
    }
    home.execute(&format!(
        "CREATE FUNCTION trap() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
         IF NEW.subject = '{subject}' THEN {postgres}; END IF; RETURN NEW; END $$"
    ));
    home.execute(&format!(
        "CREATE TRIGGER trap {when} INSERT ON message FOR EACH ROW EXECUTE FUNCTION trap()"
    ));
}

fn spring(home: &Home) {
    let on = if home.database.is_some() { " ON message" } else { "" };
    home.execute(&format!("DROP TRIGGER trap{on}"));
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
    trap(&pair.jo, "BEFORE", "POISON", "SELECT RAISE(ABORT, 'trap')", "RAISE EXCEPTION 'trap'");
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
    // The trap is a change of the schema, and all that the audit finds.
    let found = pair.jo.audit();
    let what = found.iter().map(|finding| finding["what"].as_str().unwrap()).collect::<Vec<_>>();
    assert!(matches!(what[..], [one] if one.contains("trigger trap")), "{what:?}");
    // Once it can be written, the same bytes pass: nothing of the failed tries was left behind.
    spring(&pair.jo);
    assert_eq!(client.message(&poison.bytes).status, 200);
    assert!(pair.jo.audit().is_empty());
}

#[test]
fn after_a_failed_commit_only_what_is_there_is_acknowledged() {
    let mut pair = Pair::start();
    // A deferred constraint is broken: every statement succeeds, and COMMIT fails.
    let integer = if pair.jo.database.is_some() { "BIGINT" } else { "INTEGER" };
    let table =
        format!("CREATE TABLE trap (log {integer} REFERENCES log (id) DEFERRABLE INITIALLY DEFERRED)");
    pair.jo.execute(&table);
    let insert = "INSERT INTO trap VALUES (999)";
    trap(&pair.jo, "AFTER", "TRAP", insert, insert);
    let client = pair.iq.as_partner_of(&pair.jo);
    let before = about(&pair, None);
    assert_eq!(client.message(&before.bytes).status, 200);
    let trapped = about(&pair, Some("TRAP"));
    let answer = client.request("POST", "/v1/messages", "application/jose+json", &trapped.bytes);
    assert!(answer.is_err() || answer.unwrap().status != 200, "acknowledged, and not committed");
    if pair.jo.database.is_some() {
        // A server tells what became of it: the gateway goes on.
        let asked = "the server is asked what became of it";
        wait_for("the line", || pair.jo.gateway_log().contains(asked).then_some(()));
        assert_eq!(client.message(&trapped.bytes).status, 503);
    } else {
        assert_eq!(pair.jo.wait_for_end(), Some(2), "nothing is tried again after a failed commit");
        assert!(pair.jo.gateway_log().contains("a commit failed"));
    }
    spring(&pair.jo);
    pair.jo.execute("DROP TABLE trap");
    if pair.jo.database.is_none() {
        pair.jo.start();
    }
    let ids: Vec<Value> =
        pair.jo.log(&["--type", "alert.vehicle"]).into_iter().map(|entry| entry["id"].clone()).collect();
    assert_eq!(ids, [json!(before.id)]);
    assert!(pair.jo.audit().is_empty());
    wait_for("the trapped message to be taken", || {
        (client.message(&trapped.bytes).status == 200).then_some(())
    });
}
