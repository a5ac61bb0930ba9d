//! Four eyes: nothing that two have to decide is done by one.

use serde_json::{Value, json};
use support::home::{Home, set};
use support::{Pair, event, wait_for};

const IQ: &str = "IQ/traffic-police";
const JO: &str = "JO/public-security";

/// Iraq with two operators, who are both needed.
fn pair() -> Pair {
    let mut pair = Pair::set_up(None);
    pair.iq.ok(&["client", "add", "operator", "samira"]);
    set(&pair.iq, "four_eyes", "true");
    pair.jo.start();
    pair.iq.start();
    pair
}

fn code(home: &Home, args: &[&str]) -> (Option<i32>, String) {
    let output = home.run(args);
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code(), said)
}

fn propose(home: &Home, args: &[&str]) -> String {
    let proposed = home.json(&[args, &["--as", "operator"]].concat());
    proposed["proposed"].as_str().unwrap_or_else(|| panic!("{proposed}")).to_owned()
}

fn house(home: &Home, what: &str) -> Vec<Value> {
    home.log(&["--partner", "house"]).into_iter().filter(|entry| entry["what"] == what).collect()
}

#[test]
fn an_agreement_changes_when_a_second_operator_approves_it() {
    let pair = pair();
    let iq = &pair.iq;
    let allow = ["partner", "allow", "JO", "--type", "alert.vehicle", "--purpose", "tax-collection"];
    let (status, said) = code(iq, &allow);
    assert!(status == Some(2) && said.contains("--as NAME"), "{said}");
    let before = iq.ok(&["partner", "show", "JO", "--agreement"]);
    let id = propose(iq, &allow);
    assert_eq!(iq.ok(&["partner", "show", "JO", "--agreement"]), before, "nothing is done yet");
    assert_eq!(
        iq.json(&["status"])["approval"],
        json!({ "four_eyes": true, "waiting": 1, "recommended": false })
    );
    let waiting = iq.json(&["approve"]);
    assert_eq!((&waiting[0]["id"], &waiting[0]["by"]), (&json!(id), &json!("operator")));
    assert!(waiting[0]["plan"]["agreement"].as_str().unwrap().contains("tax-collection"));

    // Not by the same one, not by a back end, not by nobody.
    let (status, said) = code(iq, &["approve", &id, "--as", "operator"]);
    assert!(status == Some(1) && said.contains("another operator approves it"), "{said}");
    let (status, said) = code(iq, &["approve", &id, "--as", "backend-traffic-police"]);
    assert!(status == Some(2) && said.contains("is not an operator's"), "{said}");
    assert_eq!(code(iq, &["approve", &id]).0, Some(2));
    assert_eq!(iq.ok(&["partner", "show", "JO", "--agreement"]), before);

    let (status, said) = code(iq, &["approve", &id, "--as", "operator-samira"]);
    assert_eq!(status, Some(0), "{said}");
    assert!(iq.ok(&["partner", "show", "JO", "--agreement"]).contains("tax-collection"));
    assert_eq!(code(iq, &["approve", &id, "--as", "operator-samira"]).0, Some(1), "once");
    let (proposed, approved) = (house(iq, "proposed"), house(iq, "approved"));
    assert_eq!((proposed.len(), approved.len()), (1, 1));
    assert_eq!(proposed[0]["of"], id.as_str());
    assert_eq!(proposed[0]["digest"], approved[0]["digest"], "the same plan");
    assert_ne!(proposed[0]["cert"], approved[0]["cert"], "two people");
    let all = iq.log(&["--partner", "house"]);
    let place = |what: &str| all.iter().rposition(|entry| entry["what"] == what).unwrap();
    assert!(place("proposed") < place("approved") && place("approved") < place("agreement"));
    // The running gateway follows: Jordan's side lacks the purpose still, so it is Jordan that refuses.
    wait_for("the gateway to follow", || {
        let mut taxed = event(IQ, JO);
        taxed["purpose"] = json!("tax-collection");
        (iq.back_end(IQ).submit(&taxed).status == 202).then_some(())
    });

    // What was proposed on another agreement is stale.
    let (first, second) = (
        propose(iq, &["partner", "allow", "JO", "--rate", "7"]),
        propose(iq, &["partner", "allow", "JO", "--rate", "8"]),
    );
    assert_eq!(code(iq, &["approve", &second, "--as", "operator-samira"]).0, Some(0));
    let (status, said) = code(iq, &["approve", &first, "--as", "operator-samira"]);
    assert!(status == Some(2) && said.contains("has changed since this was proposed"), "{said}");
    // It is refused instead; the one who proposed may do that too.
    assert_eq!(code(iq, &["approve", &first, "--refuse", "--as", "operator"]).0, Some(0));
    assert_eq!(house(iq, "refused").len(), 1);
    assert_eq!(iq.json(&["approve"]), json!([]));
    // To cut a partner off cannot wait; to take it back can.
    iq.ok(&["partner", "suspend", "JO"]);
    let resume = propose(iq, &["partner", "allow", "JO", "--resume"]);
    assert_eq!(iq.json(&["partner", "show", "JO"])["state"], "suspended");
    assert_eq!(code(iq, &["approve", &resume, "--as", "operator-samira"]).0, Some(0));
    assert_eq!(iq.json(&["partner", "show", "JO"])["state"], "active");
    assert!(iq.audit().is_empty());
}

#[test]
fn a_partner_an_erasure_and_an_operator_need_two() {
    let pair = pair();
    let iq = &pair.iq;
    let sa = Home::init(pair.folder.path(), "SA/border-guards");
    let (card, fingerprint) = sa.card();
    let card = card.to_string_lossy().into_owned();
    let id = propose(iq, &["partner", "add", &card, "--fingerprint", &fingerprint]);
    // The card is in the proposal: what lies in the file by then counts for nothing.
    std::fs::write(&card, "another card").unwrap();
    assert_eq!(code(iq, &["partner", "show", "SA"]).0, Some(2));
    assert_eq!(code(iq, &["approve", &id, "--as", "operator-samira"]).0, Some(0));
    assert_eq!(iq.json(&["partner", "show", "SA"])["state"], "active");

    let message = event(IQ, JO);
    let id = message["id"].as_str().unwrap();
    assert_eq!(iq.back_end(IQ).submit(&message).status, 202);
    assert_eq!(iq.back_end(IQ).outcome(id)["state"], "receipted");
    let proposal = propose(iq, &["erase", id, "--reason", "court order 4711"]);
    assert!(iq.json(&["show", id]).to_string().contains("eventDate"), "still there");
    assert_eq!(code(iq, &["approve", &proposal, "--as", "operator-samira"]).0, Some(0));
    assert!(!iq.json(&["show", id]).to_string().contains("eventDate"), "erased");

    // Otherwise one could make a second one of his own.
    let operator = propose(iq, &["client", "add", "operator", "mallory"]);
    assert!(!iq.path.join("clients/operator-mallory.pem").exists());
    assert_eq!(code(iq, &["approve", &operator, "--as", "operator"]).0, Some(1));
    assert_eq!(code(iq, &["approve", &operator, "--as", "operator-samira"]).0, Some(0));
    assert!(iq.path.join("clients/operator-mallory.pem").exists());
    assert!(iq.audit().is_empty());
}

#[test]
fn lists_are_taken_away_by_two() {
    let pair = pair();
    let iq = &pair.iq;
    let list = |number: u64, revoked: &[&Home]| {
        let read = |path: &str| std::fs::read_to_string(pair.jo.path.join(path)).unwrap();
        let authority =
            silkgate_certs::Authority::load(&read("certs/tls-ca.pem"), &read("keys/tls-ca.key")).unwrap();
        let at = |hours: i64| {
            time::OffsetDateTime::from_unix_timestamp(support::now_ms() / 1000 + hours * 3600).unwrap()
        };
        let serial = |home: &&Home| {
            let gateway = support::wire::certificates(&home.path.join("certs/tls.pem")).remove(0);
            (silkgate_message::revocation::serial(&gateway).unwrap(), at(-1))
        };
        let revoked: Vec<_> = revoked.iter().map(serial).collect();
        let der = authority.revocation_list(number, &revoked, at(-1), at(9)).unwrap();
        let file = pair.folder.path().join("jordan.crl");
        std::fs::write(&file, der).unwrap();
        iq.ok(&["partner", "crl", "JO", &file.to_string_lossy()]);
    };
    let comes_in = || {
        let answer = pair.jo.as_partner_of(iq).request("GET", "/v1/channel", "application/json", b"");
        answer.is_ok_and(|answer| answer.status == 200)
    };
    // To put one into force one is enough: it cannot wait.
    list(1, &[&pair.jo]);
    wait_for("Jordan to be out", || (!comes_in()).then_some(()));
    let none = ["partner", "crl", "JO", "--none"];
    let (status, said) = code(iq, &none);
    assert!(status == Some(2) && said.contains("--as NAME"), "{said}");
    let held = || iq.json(&["partner", "crl", "JO"])["lists"].as_array().unwrap().len();
    let stale = propose(iq, &none);
    assert_eq!((held(), comes_in()), (1, false), "nothing is done yet");
    // What was revoked meanwhile is not taken away by an older decision.
    list(2, &[&pair.jo]);
    let (status, said) = code(iq, &["approve", &stale, "--as", "operator-samira"]);
    assert!(status == Some(2) && said.contains("have changed since this was proposed"), "{said}");
    assert_eq!((held(), comes_in()), (1, false));
    let id = propose(iq, &none);
    assert_eq!(code(iq, &["approve", &id, "--as", "operator"]).0, Some(1), "not by the same one");
    assert_eq!(code(iq, &["approve", &id, "--as", "operator-samira"]).0, Some(0));
    assert_eq!((held(), house(iq, "crl_none").len()), (0, 1));
    wait_for("Jordan to be in", || comes_in().then_some(()));
    assert!(iq.audit().is_empty());
}

#[test]
fn what_was_changed_in_the_database_is_not_approved() {
    let mut pair = Pair::set_up_files(None);
    let iq = &mut pair.iq;
    iq.ok(&["client", "add", "operator", "samira"]);
    set(iq, "four_eyes", "true");
    let allow = ["partner", "allow", "JO", "--rate", "9"];
    let plan = |home: &Home, id: &str, sql: &str| {
        home.execute(&sql.replace("ID", id));
        code(home, &["approve", id, "--as", "operator-samira"])
    };
    for sql in [
        "UPDATE proposal SET plan = CAST(replace(CAST(plan AS TEXT), 'rate_per_second = 9', 'rate_per_second = 99999') AS BLOB) WHERE id = 'ID'",
        "UPDATE proposal SET plan = x'7b' WHERE id = 'ID'",
        "UPDATE proposal SET until_ms = until_ms + 1 WHERE id = 'ID'",
        "UPDATE proposal SET at_ms = at_ms + 1 WHERE id = 'ID'",
        "UPDATE proposal SET first_signature = zeroblob(70) WHERE id = 'ID'",
    ] {
        let id = propose(iq, &allow);
        let (status, said) = plan(iq, &id, sql);
        assert!(status == Some(1) && said.contains("not as it was signed"), "{sql}: {said}");
        assert!(iq.ok(&["approve"]).contains("NOT AS IT WAS SIGNED"), "{sql}");
    }
    // A back end's certificate that the database calls an operator's.
    let id = propose(iq, &allow);
    iq.execute("UPDATE client SET role = 'operator', subject = 'x' WHERE role = 'backend'");
    let (status, said) = code(iq, &["approve", &id, "--as", "backend-traffic-police"]);
    assert!(status == Some(2) && said.contains("is not an operator's"), "{said}");
    // One who is no operator any more has proposed nothing.
    iq.execute("DELETE FROM client WHERE subject = 'operator'");
    let (status, said) = code(iq, &["approve", &id, "--as", "operator-samira"]);
    assert!(status == Some(1) && said.contains("no operator any more"), "{said}");
    // Too late.
    iq.execute("UPDATE proposal SET until_ms = 1");
    let (status, said) = code(iq, &["approve", &id, "--as", "operator-samira"]);
    assert!(status == Some(1) && said.contains("propose it anew"), "{said}");
}
