//! Roles on the national plane: who may use what, and that every read is recorded before it is answered.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use support::home::Home;
use support::wire::{Answer, Client, read_answer};
use support::{Pair, event, sign, wait_for};

const IQ: &str = "IQ/traffic-police";
const JO: &str = "JO/public-security";
/// Roles in the order of the manual's columns, each with a certificate under clients/.
const HOLDERS: [&str; 4] =
    ["backend-public-security", "operator-omar", "auditor-amal", "data-protection-dora"];

/// Every resource of the national plane and what it says of each role; a test of the gateway holds the manual against the routes.
fn resources() -> Vec<(String, String, [bool; 4])> {
    let manual = include_str!("../../docs/operations/roles.md");
    let rows = manual.lines().filter(|line| line.starts_with("| `GET /") || line.starts_with("| `POST /"));
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let (method, path) = cells[0].trim_matches('`').split_once(' ').unwrap();
        (method.to_owned(), path.to_owned(), [1, 2, 3, 4].map(|at| cells[at] == "yes"))
    };
    rows.map(row).collect()
}

/// Iraq and Jordan; of Jordan one person in each role.
fn pair() -> Pair {
    let mut pair = Pair::set_up_files(None);
    for (role, name) in [("operator", "omar"), ("auditor", "amal"), ("data-protection", "dora")] {
        pair.jo.ok(&["client", "add", role, name]);
    }
    pair.iq.start();
    pair.jo.start();
    pair
}

/// Iraq sends an alert; its id.
fn alert(pair: &Pair) -> String {
    let mut event = event(IQ, JO);
    event["data"]["make"] = json!("Nadelmarke");
    let message = sign(&pair.iq.message_key(), &event);
    assert_eq!(pair.iq.as_partner_of(&pair.jo).message(&message.bytes).status, 200);
    message.id
}

fn house(home: &Home, what: &str) -> Vec<Value> {
    home.log(&["--partner", "house"]).into_iter().filter(|entry| entry["what"] == what).collect()
}

fn ask(client: &Client, method: &str, path: &str, id: &str) -> Answer {
    let path = path.replace("{id}", id);
    let path = match path.as_str() {
        "/v1/audit/entries" | "/v1/audit/checkpoint" | "/v1/audit/events" => format!("{path}?log=house"),
        _ if path.ends_with("/content") => format!("{path}?reason=a-complaint"),
        _ => path,
    };
    let body: &[u8] = if method == "POST" { b"{}" } else { b"" };
    client.request(method, &path, "application/json", body).unwrap()
}

#[test]
fn every_route_lets_its_roles_in_and_nobody_else() {
    let pair = pair();
    let id = alert(&pair);
    let resources = resources();
    assert!(resources.len() >= 12, "{resources:?}");
    let mut refused = 0;
    for (method, path, allowed) in &resources {
        assert!(allowed.iter().any(|allowed| *allowed), "{path}");
        for (holder, is_allowed) in HOLDERS.iter().zip(allowed) {
            let answer = ask(&pair.jo.national(holder), method, path, &id);
            assert_eq!(
                answer.code() != "role_forbidden",
                *is_allowed,
                "{holder} {method} {path}: {answer:?}"
            );
            if *is_allowed {
                assert_ne!(answer.code(), "peer_unknown", "{holder} {method} {path}");
                assert!(answer.status < 500, "{holder} {method} {path}: {answer:?}");
            } else {
                assert_eq!(answer.status, 403);
                refused += 1;
            }
        }
    }
    for holder in HOLDERS {
        let client = pair.jo.national(holder);
        assert_eq!(client.get("/v1/nothing").code(), "not_found", "{holder}");
        assert_eq!(
            client.get("/v1/messages").code(),
            "not_found",
            "{holder}: no resource of the other plane"
        );
    }
    let dora = pair.jo.national("data-protection-dora");
    for path in ["/v1/audit/entries?log=IQ", "/v1/audit/checkpoint?log=IQ"] {
        assert_eq!(dora.get(path).code(), "role_forbidden", "of the logs the house log only");
        refused += 1;
    }
    let logged: Vec<Value> = pair.jo.log(&["--partner", "house"]);
    let logged = logged.iter().filter(|entry| entry["code"] == "role_forbidden");
    let of = |role: &str| logged.clone().filter(|entry| entry["role"] == role).count();
    let each = [of("backend"), of("operator"), of("auditor"), of("data_protection")];
    // Sixty a minute one by one; what is beyond is counted.
    let one_by_one = each.iter().sum::<usize>();
    assert!(
        (60..=refused).contains(&one_by_one),
        "each refusal is logged with its role: {each:?} of {refused}"
    );
    assert!(logged.clone().all(|entry| entry["kind"] == "refused" && entry["cert"].is_string()));
    assert_eq!(pair.jo.national("operator-omar").get("/v1/status").json()["ready"], true);
    assert!(pair.jo.audit().is_empty());
}

#[test]
fn each_read_is_logged_with_its_row_and_shown() {
    let pair = pair();
    let id = alert(&pair);
    let amal = pair.jo.national("auditor-amal");
    let page = amal.get("/v1/audit/entries?log=IQ&max=1").json();
    assert_eq!((&page["entries"][0]["index"], &page["next"]), (&json!(0), &json!(1)));
    assert!(page["origin"].as_str().unwrap().ends_with("/JO/IQ"), "{page}");
    let rest = amal.get("/v1/audit/entries?log=IQ&from=1").json();
    let entries = rest["entries"].as_array().unwrap();
    assert!(
        entries.iter().any(|entry| entry["entry"]["id"] == id.as_str()) && rest["next"].is_null(),
        "{rest}"
    );
    let checkpoint = amal.get("/v1/audit/checkpoint?log=IQ").json();
    assert!(checkpoint["checkpoint"].as_str().unwrap().starts_with(page["origin"].as_str().unwrap()));
    let metadata = amal.get(&format!("/v1/audit/messages/{id}"));
    let known = &metadata.json()["messages"][0];
    assert_eq!((&known["state"], &known["verdict"]), (&json!("accepted"), &json!("accepted")));
    assert!(known["entry"]["id"] == id.as_str() && known["receipt"].as_str().unwrap().len() > 100, "{known}");
    let path = format!("/v1/audit/messages/{id}/content");
    for wrong in [
        "",
        "?reason=",
        "?reason=ab",
        "?reason=%20%20%20ab%20",
        "?reason=a%0Ab%0Ac",
        &format!("?reason={}", "x".repeat(201)),
    ] {
        assert_eq!(amal.get(&format!("{path}{wrong}")).code(), "reason_missing", "{wrong}");
    }
    for wrong in [
        "/v1/audit/entries",
        "/v1/audit/entries?log=XYZ",
        "/v1/audit/entries?log=IQ&from=-1",
        "/v1/audit/reads?form=0",
    ] {
        assert_eq!(amal.get(wrong).code(), "query_invalid", "{wrong}");
    }
    assert_eq!(house(&pair.jo, "read_content").len(), 0, "nothing was read");
    let content = amal.get(&format!("{path}?reason=complaint%2017%2F2026"));
    assert_eq!(content.json()["messages"][0]["event"]["data"]["make"], "Nadelmarke");
    assert_eq!(content.header("cache-control"), Some("no-store"));
    assert_eq!(amal.get("/v1/audit/entries?log=SA").code(), "not_found");
    assert_eq!(amal.get("/v1/audit/messages/0192f1a0-7b3c-7def-8123-456789abcdef").code(), "not_found");
    let dora = pair.jo.national("data-protection-dora");
    let reads = dora.get("/v1/audit/reads").json();
    let told: Vec<[&str; 3]> = reads["reads"]
        .as_array()
        .unwrap()
        .iter()
        .map(|read| ["act", "name", "role"].map(|member| read[member].as_str().unwrap()))
        .collect();
    let by_amal = [
        "read_entries",
        "read_entries",
        "read_checkpoint",
        "read_message",
        "read_content",
        "read_entries",
        "read_message",
    ];
    let mut expected: Vec<[&str; 3]> = by_amal.map(|act| [act, "amal", "auditor"]).to_vec();
    expected.push(["read_reads", "dora", "data_protection"]);
    assert_eq!(told, expected, "also of what is not there, and this very read");
    let of_content = &reads["reads"][4];
    assert_eq!(of_content["reason"], "complaint 17/2026");
    assert!(of_content["what"].as_str().unwrap().contains(&id));
    let entry = pair
        .jo
        .log(&["--partner", "house"])
        .into_iter()
        .find(|entry| entry["what"] == "read_content")
        .unwrap();
    assert_eq!((&entry["cert"], &entry["role"]), (&of_content["certificate"], &json!("auditor")));
    let plain = entry.to_string();
    assert!(
        !plain.contains(&id) && !plain.contains("amal") && !plain.contains("complaint"),
        "the log names nobody: {plain}"
    );
    let last = dora.get(&format!("/v1/audit/reads?from={}&max=1", of_content["entry"])).json();
    assert_eq!(
        (&last["reads"][0]["act"], last["reads"].as_array().unwrap().len()),
        (&json!("read_content"), 1)
    );
    assert!(last["next"].as_u64() > of_content["entry"].as_u64());
    // What a message says stands in its content alone.
    for path in [
        "/v1/audit/entries?log=IQ&max=1000".into(),
        "/v1/audit/entries?log=house&max=1000".into(),
        "/v1/audit/reads".into(),
        format!("/v1/audit/messages/{id}"),
    ] {
        let answer = amal.get(&path);
        assert!(
            answer.status == 200 && !String::from_utf8_lossy(&answer.body).contains("Nadelmarke"),
            "{path}"
        );
    }
    let back_end = pair.jo.back_end(JO);
    assert_eq!(back_end.acknowledge(&back_end.deliveries("")[0]).status, 200);
    pair.jo.ok(&["erase", &id, "--reason", "to be forgotten"]);
    let erased = amal.get(&format!("{path}?reason=complaint")).json();
    let erased = &erased["messages"][0];
    assert!(erased["event"].is_null() && erased["erased"]["rule"] == "operator", "{erased}");
    assert!(pair.jo.audit().is_empty());
}

#[test]
fn one_certificate_reads_so_much_a_minute() {
    let pair = pair();
    let amal = pair.jo.national("auditor-amal");
    let codes = |n: usize| {
        (0..n).filter(|_| amal.get("/v1/audit/checkpoint?log=house").code() == "reads_exceeded").count()
    };
    // A minute may end in between.
    assert!(codes(250) >= 10);
    assert_eq!(pair.jo.national("data-protection-dora").get("/v1/audit/checkpoint?log=house").status, 200);
    assert!(house(&pair.jo, "read_checkpoint").len() <= 241);
}

/// Changes the database of a running gateway.
fn change(home: &Home, statements: &[&'static str]) {
    let path = home.path.join("silkgate.db");
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let options = SqliteConnectOptions::new().filename(path).busy_timeout(Duration::from_secs(10));
        let mut conn = options.connect().await.unwrap();
        for sql in statements {
            sqlx::query(*sql).execute(&mut conn).await.unwrap();
        }
        conn.close().await.unwrap();
    });
}

#[test]
fn what_cannot_be_recorded_is_not_shown() {
    let pair = pair();
    let id = alert(&pair);
    let amal = pair.jo.national("auditor-amal");
    change(
        &pair.jo,
        &["CREATE TRIGGER full BEFORE INSERT ON reading BEGIN SELECT RAISE(ABORT, 'no room'); END"],
    );
    for (method, path, _) in resources().iter().filter(|(_, path, _)| path.starts_with("/v1/audit/")) {
        let answer = ask(&amal, method, path, &id);
        assert_eq!((answer.status, answer.code()), (503, "unavailable".into()), "{path}");
        assert!(!String::from_utf8_lossy(&answer.body).contains(&id), "{path}");
    }
    let house_log = pair.jo.log(&["--partner", "house"]);
    assert!(
        !house_log.iter().any(|entry| entry["what"].as_str().is_some_and(|what| what.starts_with("read_")))
    );
    change(&pair.jo, &["DROP TRIGGER full"]);
    assert_eq!(ask(&amal, "GET", "/v1/audit/messages/{id}/content", &id).status, 200);
    assert!(pair.jo.audit().is_empty());
}

/// A row of who read what that is not as it was written.
#[test]
fn a_row_changed_removed_or_added_is_found() {
    let pair = pair();
    let amal = pair.jo.national("auditor-amal");
    for log in ["IQ", "house"] {
        assert_eq!(amal.get(&format!("/v1/audit/entries?log={log}")).status, 200);
    }
    assert!(pair.jo.audit().is_empty());
    let [first, last] = ["min", "max"].map(|which| format!("entry = (SELECT {which}(entry) FROM reading)"));
    for (sql, findings) in [
        (format!("UPDATE reading SET name = 'omar' WHERE {first}"), 1),
        (format!("UPDATE reading SET reason = 'asked' WHERE {last}"), 2),
        (format!("DELETE FROM reading WHERE {first}"), 2),
        ("INSERT INTO reading VALUES (0, 'omar', 'log IQ', NULL, zeroblob(16))".to_owned(), 3),
        ("INSERT INTO reading VALUES (999999, 'omar', 'log IQ', NULL, zeroblob(16))".to_owned(), 4),
        ("INSERT INTO reading VALUES (-9, 'omar', 'log IQ', NULL, zeroblob(16))".to_owned(), 5),
    ] {
        change(&pair.jo, &[sql.clone().leak()]);
        let found = pair.jo.audit();
        assert_eq!(found.len(), findings, "{sql}: {found:?}");
        assert!(
            found.iter().all(|found| found["place"].as_str().unwrap().starts_with("reading ")),
            "{found:?}"
        );
    }
}

/// Who can write the database cannot give a role away.
#[test]
fn a_role_changed_in_the_database_is_not_believed() {
    let pair = pair();
    let change = |sql| change(&pair.jo, &[sql, "UPDATE generation SET value = value + 1"]);
    let (police, amal) = (pair.jo.back_end(JO), pair.jo.national("auditor-amal"));
    let is_out = |client: &Client, path: &str| (client.get(path).code() == "peer_unknown").then_some(());
    assert_eq!(police.get("/v1/deliveries").status, 200);
    change("UPDATE client SET role = 'auditor', subject = 'amal' WHERE role = 'backend'");
    wait_for("the change to be read", || is_out(&police, "/v1/deliveries"));
    change("UPDATE client SET role = 'backend', subject = 'JO/public-security' WHERE subject = 'amal'");
    wait_for("the change to be read", || is_out(&amal, "/v1/deliveries"));
    for client in [&police, &amal] {
        let paths = ["/v1/audit/reads", "/v1/status", "/v1/deliveries?wait=1"];
        let codes = paths.map(|path| client.get(path).code());
        // What the certificate says and what is registered agree again for the back end alone.
        let is_back_end = std::ptr::eq(client, &police);
        assert_eq!(codes[2] == "peer_unknown", !is_back_end, "{codes:?}");
        assert!(!codes[0].is_empty() && !codes[1].is_empty(), "{codes:?}");
    }
    assert!(house(&pair.jo, "read_reads").is_empty());
}

#[test]
fn who_is_removed_is_out_on_an_open_connection() {
    use std::io::Write as _;
    let pair = pair();
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes();
    let mut open = pair.jo.national("auditor-amal").connect().unwrap();
    let mut asked = |path: &str| {
        open.write_all(&get(path)).unwrap();
        read_answer(&mut open).unwrap()
    };
    assert_eq!(asked("/v1/audit/reads").status, 200);
    // Somebody waits for a delivery meanwhile.
    let mut waits = pair.jo.back_end(JO).connect().unwrap();
    waits.write_all(&get("/v1/deliveries?wait=60")).unwrap();
    let removed = pair.jo.json(&["client", "remove", "amal"]);
    assert_eq!(removed["removed"][0]["role"], "auditor");
    let again = pair.jo.national("auditor-amal");
    wait_for("the change to be read", || {
        (again.get("/v1/audit/reads").code() == "peer_unknown").then_some(())
    });
    assert_eq!(asked("/v1/audit/reads").code(), "peer_unknown");
    let listed = pair.jo.json(&["client", "list"]);
    let digest =
        listed.as_array().unwrap().iter().find(|client| client["name"] == JO).unwrap()["digest"].clone();
    pair.jo.ok(&["client", "remove", digest.as_str().unwrap()]);
    assert_eq!(read_answer(&mut waits).unwrap().code(), "peer_unknown", "who waits is told at once");
    let acts = ["client", "client_remove"].map(|what| house(&pair.jo, what).len());
    assert_eq!(acts, [5, 2], "two of init, three people");
    assert_eq!(pair.jo.run(&["client", "remove", "amal"]).status.code(), Some(1));
    assert!(pair.jo.audit().is_empty());
}

#[test]
fn the_event_stream_goes_on_at_its_cursor_and_loses_nothing() {
    let mut pair = pair();
    let line = |answer: &Answer| -> Vec<Value> {
        let text = std::str::from_utf8(&answer.body).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let next = |answer: &Answer| answer.header("silkgate-next").unwrap().parse::<u64>().unwrap();
    let amal = pair.jo.national("auditor-amal");
    let first = amal.get("/v1/audit/events?log=IQ");
    assert_eq!(first.header("content-type"), Some("application/jsonl"));
    let mut cursor = next(&first);
    let mut seen = line(&first);
    // Who waits gets what comes, as soon as it is committed.
    let waiting = format!("/v1/audit/events?log=IQ&from={cursor}&wait=30");
    let (id, answer) = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| amal.get(&waiting));
        let id = alert(&pair);
        (id, waiting.join().unwrap())
    });
    assert!(line(&answer)[0]["entry"]["id"] == id.as_str(), "{answer:?}");
    seen.extend(line(&answer));
    cursor = next(&answer);
    // Nothing new: the same cursor again.
    let empty = amal.get(&format!("/v1/audit/events?log=IQ&from={cursor}"));
    assert_eq!((empty.status, empty.body.len(), next(&empty)), (200, 0, cursor));
    // The gateway starts again; what came meanwhile follows.
    pair.jo.kill();
    pair.jo.start();
    let second = alert(&pair);
    let rest = pair.jo.national("auditor-amal").get(&format!("/v1/audit/events?log=IQ&from={cursor}"));
    seen.extend(line(&rest));
    let indexes: Vec<u64> = seen.iter().map(|line| line["index"].as_u64().unwrap()).collect();
    assert_eq!(indexes, (0..indexes.len() as u64).collect::<Vec<_>>(), "no gap, nothing twice");
    for id in [id, second] {
        assert!(seen.iter().any(|line| line["entry"]["id"] == id.as_str()), "{id}");
    }
    // Recorded once for each start of the gateway, though asked for many times.
    assert_eq!(house(&pair.jo, "read_events").len(), 2);
    let house_log = pair.jo.national("data-protection-dora").get("/v1/audit/events?log=house");
    assert!(line(&house_log).iter().any(|line| line["entry"]["what"] == "read_events"), "{house_log:?}");
    assert!(pair.jo.audit().is_empty());
}
