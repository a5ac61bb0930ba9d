//! Two neighbours hold their logs against each other, and a neighbour that tells otherwise is found out.

use serde_json::{Value, json};
use support::home::{Home, free_ports, set};
use support::{Pair, event, sign, wait_for};

const IQ: &str = "IQ/traffic-police";
const JO: &str = "JO/public-security";

fn reconcile(home: &Home, partner: &str, more: &[&str]) -> (Option<i32>, Value) {
    let output = home.run(&[&["reconcile", partner, "--json"], more].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}")))
}

/// Messages both ways through both gateways, accepted and refused.
fn exchange(pair: &Pair, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for (from, to, home) in [(IQ, JO, &pair.iq), (JO, IQ, &pair.jo)] {
        let back_end = home.back_end(from);
        for _ in 0..count {
            let event = event(from, to);
            assert_eq!(back_end.submit(&event).status, 202);
            assert_eq!(back_end.outcome(event["id"].as_str().unwrap())["state"], "receipted");
            ids.push(event["id"].as_str().unwrap().to_owned());
        }
    }
    ids
}

fn change(home: &Home, sql: &str) {
    assert!(home.execute(sql) > 0, "{sql}");
}

/// What Prometheus would read.
fn metrics(port: u16) -> String {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("# EOF\n"), "{answer}");
    answer
}

#[test]
fn two_honest_neighbours_agree_on_every_message() {
    let pair = Pair::start();
    exchange(&pair, 4);
    // A refusal, receipted: Jordan takes less than Iraq may send.
    pair.iq.ok(&["partner", "allow", "JO", "--purpose", "customs-control"]);
    let mut other = event(IQ, JO);
    other["purpose"] = json!("customs-control");
    let back_end = pair.iq.back_end(IQ);
    wait_for("the agreement to be read again", || (back_end.submit(&other).status == 202).then_some(()));
    assert_eq!(back_end.outcome(other["id"].as_str().unwrap())["state"], "rejected");
    for (home, partner) in [(&pair.iq, "JO"), (&pair.jo, "IQ")] {
        let (code, report) = wait_for("every receipt to be logged", || {
            let (code, report) = reconcile(home, partner, &[]);
            (report["under_way"] == 0).then_some((code, report))
        });
        assert_eq!((code, &report["both"]), (Some(0), &json!(9)), "{report}");
    }
    let said = pair.iq.ok(&["reconcile", "JO"]);
    assert!(
        said.contains("Both sides agree") && said.contains("5 receipts that we hold stand in it"),
        "{said}"
    );
    let noted = pair
        .iq
        .log(&["--partner", "house"])
        .into_iter()
        .filter(|entry| entry["what"] == "reconciled")
        .count();
    assert!(noted >= 2, "each run stands in the house log");
    let (code, report) = reconcile(&pair.iq, "JO", &["--to", "2020-01-01T00:00:00Z"]);
    assert_eq!((code, &report["both"]), (Some(0), &json!(0)), "nothing is of that time");
    assert!(pair.iq.audit().is_empty() && pair.jo.audit().is_empty());
}

#[test]
fn a_neighbour_that_puts_an_older_database_back_is_found_out() {
    let mut pair = Pair::start();
    exchange(&pair, 2);
    pair.jo.stop();
    let older = pair.jo.snapshot();
    pair.jo.start();
    let lost = exchange(&pair, 1);
    pair.jo.stop();
    pair.jo.put_back(&older);
    pair.jo.start();
    let (code, report) = reconcile(&pair.iq, "JO", &[]);
    assert_eq!(code, Some(1));
    assert!(report["inconsistent"][0].as_str().unwrap().contains("cut back"), "{report}");
    assert_eq!(report["only_ours"][0]["id"], lost[0].as_str());
    // It goes on from there: another history than the one it proved.
    let client = pair.iq.as_partner_of(&pair.jo);
    for _ in 0..4 {
        assert_eq!(client.message(&sign(&pair.iq.message_key(), &event(IQ, JO)).bytes).status, 200);
    }
    let (code, report) = reconcile(&pair.iq, "JO", &[]);
    assert_eq!(code, Some(1));
    let found = report["inconsistent"].to_string();
    assert!(
        found.contains("not the one that a receipt proved") && found.contains("not those of a checkpoint"),
        "{found}"
    );
}

#[test]
fn each_way_to_differ_is_told_by_message() {
    let mut pair = Pair::start();
    let ids = exchange(&pair, 3);
    let under_way = wait_for("every receipt to be logged", || {
        let (code, report) = reconcile(&pair.iq, "JO", &[]);
        (report["under_way"] == 0).then_some(code)
    });
    assert_eq!(under_way, Some(0));
    pair.iq.stop();
    let sound = pair.iq.snapshot();
    let hex = |id: &str| pair.iq.bytes(&id.replace('-', ""));
    let other = pair.iq.bytes(&"ab".repeat(32));
    let sent = hex(&ids[0]);
    for (sql, member, id) in [
        (format!("DELETE FROM message WHERE id = {sent}"), "only_theirs", &ids[0]),
        (
            format!("UPDATE message SET state = 'rejected', code = 'expired' WHERE id = {sent}"),
            "different_verdict",
            &ids[0],
        ),
        (format!("UPDATE message SET digest = {other} WHERE id = {sent}"), "different_digest", &ids[0]),
        (
            format!("UPDATE message SET state = 'rejected' WHERE id = {}", hex(&ids[3])),
            "different_verdict",
            &ids[3],
        ),
        (format!("DELETE FROM message WHERE id = {}", hex(&ids[3])), "only_theirs", &ids[3]),
    ] {
        pair.iq.put_back(&sound);
        change(&pair.iq, &sql);
        let (code, report) = reconcile(&pair.iq, "JO", &[]);
        assert_eq!(code, Some(1), "{sql}: {report}");
        let found = report[member].as_array().unwrap();
        assert!(found.iter().any(|difference| difference["id"] == id.as_str()), "{sql}: {report}");
    }
    pair.iq.put_back(&sound);
    pair.jo.stop();
    assert_eq!(pair.iq.run(&["reconcile", "JO"]).status.code(), Some(2), "nobody answers");
    assert_eq!(pair.iq.run(&["reconcile", "SA"]).status.code(), Some(2), "no partner");
}

#[test]
fn a_running_gateway_reconciles_by_itself_and_says_what_differs() {
    let mut pair = Pair::set_up(None);
    set(&pair.iq, "every_seconds", "1");
    let [port, _] = free_ports();
    set(&pair.iq, "# listen", &format!("\"127.0.0.1:{port}\""));
    pair.iq.start();
    pair.jo.start();
    exchange(&pair, 1);
    let noted =
        |home: &Home| home.log(&["--partner", "house"]).iter().filter(|e| e["what"] == "reconciled").count();
    wait_for("an entry in the house log", || (noted(&pair.iq) > 0).then_some(()));
    wait_for("both to agree", || pair.iq.gateway_log().contains("both sides agree").then_some(()));
    assert!(!pair.iq.gateway_log().contains("DIFFER"));
    let metric =
        |line: &str| wait_for(line, || metrics(port).lines().any(|found| found == line).then_some(()));
    metric("silkgate_reconcile_differing_messages{partner=\"JO\"} 0");
    metric("silkgate_alarms_open{kind=\"fork\"} 0");
    // Signed with the partner's key and sent past its gateway: its own log does not say so.
    let client = pair.jo.as_partner_of(&pair.iq);
    assert_eq!(client.message(&sign(&pair.jo.message_key(), &event(JO, IQ)).bytes).status, 200);
    wait_for("the alarm", || pair.iq.gateway_log().contains("THE TWO SIDES DIFFER").then_some(()));
    metric("silkgate_reconcile_differing_messages{partner=\"JO\"} 1");
    assert_eq!(pair.iq.stop(), Some(0));
    assert!(pair.iq.audit().is_empty());
}
