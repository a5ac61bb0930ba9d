//! What two states agreed is what passes, clause by clause, and each side can see where they differ.

use serde_json::{Value, json};
use support::home::Home;
use support::{Message, Pair, event, sign, wait_for};

const IQ: &str = "IQ/traffic-police";
const JO: &str = "JO/public-security";

fn vehicle(pair: &Pair) -> Message {
    sign(&pair.iq.message_key(), &event(IQ, JO))
}

/// Changes one clause, and waits until the running gateway follows.
fn allow(home: &Home, partner: &str, args: &[&str]) {
    home.allow(partner, &[&["--type", "alert.vehicle"], args].concat());
}

#[test]
fn a_clause_bounds_size_release_hours_and_rate_of_its_type() {
    let pair = Pair::start();
    let client = pair.iq.as_partner_of(&pair.jo);
    let refused = |message: &Message| {
        let answer = client.message(&message.bytes);
        (answer.status, answer.code(), answer.json()["detail"].as_str().unwrap_or_default().to_owned())
    };
    let rejected = || pair.jo.log(&["--partner", "IQ", "--verdict", "rejected"]).len();

    allow(&pair.jo, "IQ", &["--body-max-bytes", "500"]);
    let (status, code, detail) = refused(&vehicle(&pair));
    assert_eq!((status, code.as_str()), (413, "agreement_size"));
    assert!(detail.starts_with("clause receive alert.vehicle: `body_max_bytes` is 500"), "{detail}");
    assert_eq!(rejected(), 1, "a verdict");
    allow(&pair.jo, "IQ", &["--body-max-bytes", "100000"]);

    allow(&pair.jo, "IQ", &["--releasable-to", "JO"]);
    let mut further = event(IQ, JO);
    further["releasableto"] = json!("JO,SA");
    let (status, code, detail) = refused(&sign(&pair.iq.message_key(), &further));
    assert_eq!((status, code.as_str()), (403, "releasability"));
    assert!(detail.contains("clause receive alert.vehicle: `releasable_to`"), "{detail}");
    let mut only = event(IQ, JO);
    only["releasableto"] = json!("JO");
    assert_eq!(client.message(&sign(&pair.iq.message_key(), &only).bytes).status, 200);

    // Closed at any time but a minute of the week: no verdict, and the same bytes pass once it is open.
    let before = rejected();
    allow(&pair.jo, "IQ", &["--hours", "Tue 03:33-03:34", "--receive"]);
    let early = vehicle(&pair);
    let (status, code, detail) = refused(&early);
    assert_eq!((status, code.as_str()), (503, "agreement_hours"));
    assert!(detail.starts_with("clause receive alert.vehicle: `hours`: not before "), "{detail}");
    assert_eq!(client.message(&early.bytes).header("retry-after"), Some("5"));
    allow(&pair.jo, "IQ", &["--hours", "always", "--receive"]);
    assert_eq!(client.message(&early.bytes).status, 200);
    assert_eq!(rejected(), before);
    // A replay gets its first answer also outside the hours.
    allow(&pair.jo, "IQ", &["--hours", "Tue 03:33-03:34", "--receive"]);
    assert_eq!(client.message(&early.bytes).header("silkgate-replay"), Some("true"));
    allow(&pair.jo, "IQ", &["--hours", "always", "--receive"]);

    // Ten at once, then one a second; other types and what was taken already do not count.
    allow(&pair.jo, "IQ", &["--rate", "1", "--receive"]);
    let put_off = wait_for("the rate of the type to be used up", || {
        let answer = client.message(&vehicle(&pair).bytes);
        (answer.status != 200).then_some(answer)
    });
    assert_eq!((put_off.status, put_off.code().as_str()), (429, "agreement_rate"));
    assert!(put_off.json()["detail"].as_str().unwrap().contains("clause receive alert.vehicle"));
    let (_, code, _) = refused(&sign(&pair.iq.message_key(), &{
        let mut other = event(IQ, JO);
        other["type"] = json!("alert.person");
        other
    }));
    assert_eq!(code, "schema_unknown", "judged, not put off");
    assert_eq!(client.message(&early.bytes).header("silkgate-replay"), Some("true"));
    assert!(pair.jo.audit().is_empty());
}

#[test]
fn what_we_send_waits_for_the_hours_of_our_own_agreement() {
    let pair = Pair::start();
    allow(&pair.iq, "JO", &["--hours", "Tue 03:33-03:34", "--send"]);
    let back_end = pair.iq.back_end(IQ);
    let waiting = event(IQ, JO);
    let id = waiting["id"].as_str().unwrap();
    assert_eq!(back_end.submit(&waiting).status, 202);
    // Another type, submitted later, passes meanwhile.
    let mut other = support::example("manifest.cargo", 1, IQ, JO);
    other["status"] = json!("actual");
    let answer = back_end.submit(&other);
    assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.body));
    assert_eq!(back_end.outcome(other["id"].as_str().unwrap())["state"], "receipted");
    let status: Value = back_end.get(&format!("/v1/submissions/{id}")).json();
    assert_eq!((&status["state"], &status["attempts"]), (&json!("queued"), &json!(0)), "{status}");
    allow(&pair.iq, "JO", &["--hours", "always", "--send"]);
    assert_eq!(back_end.outcome(id)["state"], "receipted");
}

#[test]
fn each_side_sees_where_the_agreements_differ() {
    let pair = Pair::start();
    let same = pair.iq.run(&["partner", "diff", "JO", "--json"]);
    assert_eq!(same.status.code(), Some(0), "{}", String::from_utf8_lossy(&same.stdout));
    allow(&pair.jo, "IQ", &["--purpose", "tax-collection", "--receive"]);
    allow(&pair.jo, "IQ", &["--hours", "Sun-Thu 06:00-18:00", "--receive"]);
    let found = pair.iq.run(&["partner", "diff", "JO", "--json"]);
    assert_eq!(found.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&found.stdout).unwrap();
    let differences = report["differences"].as_array().unwrap();
    let of = |clause: &str| differences.iter().find(|one| one["clause"] == clause).unwrap();
    assert_eq!(differences.len(), 2, "{report}");
    assert_eq!(
        (&of("purposes")["direction"], &of("purposes")["type"]),
        (&json!("send"), &json!("alert.vehicle"))
    );
    assert_eq!(of("purposes")["both"], json!(["border-management"]));
    assert_eq!(of("hours")["theirs"], json!(["Sun-Thu 06:00-18:00"]));
    // Seen from Jordan it is what it receives.
    let seen = pair.jo.run(&["partner", "diff", "IQ"]);
    assert_eq!(seen.status.code(), Some(1));
    let text = String::from_utf8(seen.stdout).unwrap();
    assert!(text.lines().all(|line| line.starts_with("receive alert.vehicle")), "{text}");

    // Written down, changed as a whole, and put into force.
    let file = pair.folder.path().join("iq.toml");
    let text = pair.jo.ok(&["partner", "show", "IQ", "--agreement"]);
    let text = text.replace("hours = [\"Sun-Thu 06:00-18:00\"]\n", "").replace(", \"tax-collection\"", "");
    std::fs::write(&file, &text).unwrap();
    let file = file.to_string_lossy().into_owned();
    pair.jo.ok(&["partner", "agree", "IQ", &file]);
    wait_for("both to agree again", || {
        pair.iq.run(&["partner", "diff", "JO"]).status.success().then_some(())
    });
    for (wrong, says) in [
        (text.replace("partner = \"IQ\"", "partner = \"SA\""), "not with IQ"),
        (text.replacen("versions = [1]", "versions = [77]", 1), "the catalogue holds no"),
        (text.replace("lifetime_hours", "lifetime_days"), "lifetime_days"),
        (format!("{text}\n[[send]]\n{}", text.split("[[send]]\n").nth(1).unwrap()), "stands twice"),
    ] {
        std::fs::write(&file, wrong).unwrap();
        let refused = pair.jo.run(&["partner", "agree", "IQ", &file]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code() == Some(2) && said.contains(says), "{says}: {said}");
    }
    assert!(pair.iq.run(&["partner", "diff", "JO"]).status.success(), "what was refused changed nothing");
}
