//! Evidence bundles from the pages: what they give, to whom, and what is recorded before.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use silkgate_evidence::container::{self, Members};
use silkgate_message::catalogue::Catalogue;
use silkgate_message::jws::Digest;
use support::home::Home;
use support::wire::Answer;
use support::{event, now_ms, sign, uuid_v7, wait_for};

use super::{IQ, JO, Office, alert};
use crate::evidence::fixture::verdicts;
use crate::witness::all_cosigned;

/// Asks for evidence over mutual TLS, with the body of a form.
fn ask(home: &Home, person: &str, path: &str, form: &str) -> Answer {
    let client = home.national(person);
    client.request("POST", path, "application/x-www-form-urlencoded", form.as_bytes()).unwrap()
}

/// The bundle of an answer, by its members.
fn members(answer: &Answer) -> Members {
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/zip")), "{answer:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    container::decode(&answer.body).unwrap()
}

/// The folders of the messages in a bundle.
fn folders(members: &Members) -> BTreeSet<String> {
    let folder = |name: &String| Some(name.strip_prefix("messages/")?.split_once('/')?.0.to_owned());
    members.keys().filter_map(folder).collect()
}

/// Reads of evidence, as whoever may see them is told.
fn taken(office: &Office) -> Vec<Value> {
    let reads = office.pair.jo.national("data-protection-dora").get("/v1/audit/reads?from=0").json();
    let reads = reads["reads"].as_array().unwrap().iter();
    reads.filter(|read| read["act"] == "read_evidence").cloned().collect()
}

#[test]
fn what_a_search_finds_is_taken_as_evidence_that_both_verifiers_accept() {
    let office = Office::open();
    let id = office.send(&alert());
    office.hand_over();
    let mut wrong = event(IQ, JO);
    wrong["data"]["vin"] = json!("NOT-A-VIN");
    office.send(&wrong);
    let erased = office.send(&event(IQ, JO));
    office.hand_over();
    office.pair.jo.ok(&["erase", &erased, "--reason", "court order 5"]);
    all_cosigned(&office.pair.jo);
    let browser = office.browser("auditor-amal", "en");
    // What a plate finds, and from there the page of one message.
    browser.click("nav a[href='/messages']");
    browser.fill("input[name=q]", "٢٢ ا ١٢٣٤٥");
    browser.click(".filters button");
    wait_for("what is found", || browser.address().contains("q=").then_some(()));
    browser.click("#evidence summary");
    browser.fill("#evidence input[name=reason]", "case 17/2026");
    browser.click("#evidence button");
    let found = browser.downloaded("evidence.zip");
    // How far a file is stands on the page that it was asked on, to its end.
    let said = |what: &str| wait_for(what, || (browser.text("#making") == what).then_some(()));
    said("It is whole. One message is in it.");
    browser.go(&office.page("/messages"));
    browser.click("a[download][href*=csv]");
    assert_eq!(browser.downloaded("messages.csv").iter().filter(|byte| **byte == b'\n').count(), 4);
    said("It is whole. 3 messages are in it.");
    browser.go(&office.page("/making"));
    assert_eq!(browser.text("#file"), "It is whole. 3 messages are in it.");
    office.pair.jo.ok(&["client", "add", "auditor", "basma"]);
    let other = wait_for("the new certificate", || {
        let answer = office.pair.jo.national("auditor-basma").get("/making");
        (answer.status == 200).then(|| String::from_utf8(answer.body).unwrap())
    });
    assert!(other.contains("No file is being made for you."), "another reader's: {other}");
    browser.go(&office.page("/messages"));
    browser.click(&format!("a[href^='/messages/{id}']"));
    browser.fill("#evidence input[name=reason]", "case 18/2026");
    browser.click("#evidence button");
    let one = browser.downloaded(&format!("{id}.zip"));
    assert_eq!(browser.complaints(), Vec::<String>::new());
    let all = ask(&office.pair.jo, "auditor-amal", "/messages/evidence", "reason=all+of+it");
    let files = [("found", found), ("one", one), ("all", all.body.clone())];
    let files = files.map(|(name, bytes)| (name.to_owned(), bytes));
    assert_eq!(verdicts(&files), [(true, true); 3]);
    let held: Vec<Members> = files.iter().map(|(_, bytes)| container::decode(bytes).unwrap()).collect();
    assert_eq!(held.iter().map(|members| folders(members).len()).collect::<Vec<_>>(), [1, 1, 3]);
    assert!(held[0].contains_key("messages/0001/message.jws"));
    // In order of arrival: what was erased is proven without what it said, and the summary says so.
    let of_erased: Vec<&String> = held[2].keys().filter(|name| name.starts_with("messages/0003/")).collect();
    assert!(of_erased.iter().any(|name| name.ends_with("erased.receipt")), "{of_erased:?}");
    assert!(!of_erased.iter().any(|name| name.ends_with("message.jws")), "{of_erased:?}");
    assert!(String::from_utf8_lossy(&held[2]["index.html"]).contains("erased"));
    let reads = taken(&office);
    let told = |at: usize, member: &str| reads[at][member].as_str().unwrap().to_owned();
    assert_eq!(reads.len(), 3, "{reads:?}");
    assert_eq!([0, 1, 2].map(|at| told(at, "reason")), ["case 17/2026", "case 18/2026", "all of it"]);
    assert!(told(0, "what").starts_with("evidence of 1 messages, /messages?q="), "{reads:?}");
    assert_eq!(told(1, "what"), format!("evidence of message {id}"));
    assert!(told(2, "what").starts_with("evidence of 3 messages"), "{reads:?}");
    assert_eq!(office.pair.jo.audit(), Vec::<Value>::new());
}

#[test]
fn evidence_is_for_auditors_with_a_reason_and_recorded_first() {
    let office = Office::open();
    let jo = &office.pair.jo;
    let id = office.send(&alert());
    let (one, all) = (format!("/messages/{id}/evidence"), "/messages/evidence?partner=IQ");
    for path in [&*one, all] {
        for person in ["data-protection-dora", "operator-omar", "backend-public-security"] {
            let answer = ask(jo, person, path, "reason=case+17");
            assert_eq!((answer.status, answer.code().as_str()), (403, "role_forbidden"), "{person} {path}");
        }
        for form in ["", "reason=", "reason=no", "other=case+17"] {
            let answer = ask(jo, "auditor-amal", path, form);
            assert_eq!(answer.code(), "reason_missing", "{path} {form}");
        }
    }
    assert_eq!(ask(jo, "auditor-amal", "/messages/x/evidence", "reason=case+17").code(), "not_found");
    assert_eq!(
        ask(jo, "auditor-amal", "/messages/evidence?verdict=good", "reason=case+17").code(),
        "query_invalid"
    );
    assert_eq!(taken(&office), Vec::<Value>::new(), "nothing was opened");
    // What is not there leaves a record and no file.
    let unknown = format!("/messages/{}/evidence", uuid_v7(now_ms()));
    assert_eq!(ask(jo, "auditor-amal", &unknown, "reason=case+17").code(), "not_found");
    assert_eq!(
        ask(jo, "auditor-amal", "/messages/evidence?partner=SA", "reason=case+17").code(),
        "not_found"
    );
    assert_eq!(taken(&office).len(), 2);
    // What cannot be recorded is not given.
    jo.execute("ALTER TABLE reading RENAME TO elsewhere");
    for path in [&*one, all] {
        let answer = ask(jo, "auditor-amal", path, "reason=case+17");
        assert_eq!((answer.status, answer.code().as_str()), (503, "unavailable"), "{path}");
    }
    jo.execute("ALTER TABLE elsewhere RENAME TO reading");
    for path in [&*one, all] {
        assert_eq!(folders(&members(&ask(jo, "auditor-amal", path, "reason=case+17"))).len(), 1, "{path}");
    }
    assert_eq!(taken(&office).len(), 4);
}

#[test]
fn more_messages_than_a_bundle_takes_are_refused_before_any_is_opened() {
    let mut office = Office::open();
    office.send(&alert());
    assert_eq!(office.pair.jo.stop(), Some(0));
    // Copies of the row, each with an id of its own and an entry that is not there: whoever looks at one fails.
    let id = match office.pair.jo.database {
        Some(_) => "decode(lpad(to_hex(n), 32, '0'), 'hex')",
        None => "CAST(printf('%016d', n) AS BLOB)",
    };
    let columns = "direction, partner, source, recipient, type, version, subject, digest, signed_ms, expires_ms, at_ms, log, \
                   checkpoint, state";
    let sql = format!(
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 2000)
         INSERT INTO message (seq, id, entry, {columns})
         SELECT 1000 + n, {id}, 1000000 + n, {columns} FROM message, numbers WHERE seq = 1"
    );
    office.pair.jo.execute(sql.leak());
    office.pair.jo.start();
    // Until its neighbour has told what it saw, a gateway records nothing.
    let answer = wait_for("the neighbour's word", || {
        let answer = ask(&office.pair.jo, "auditor-amal", "/messages/evidence", "reason=case+17");
        (answer.status != 503).then_some(answer)
    });
    assert_eq!((answer.status, answer.code().as_str()), (400, "query_invalid"), "{answer:?}");
    assert!(String::from_utf8_lossy(&answer.body).contains("at most 2000 messages"), "{answer:?}");
    assert_eq!(taken(&office)[0]["what"], "evidence of more than 2000 messages, /messages?");
}

/// An id is its sender's: two may use the same one.
#[test]
fn messages_of_one_id_stand_beside_each_other() {
    let office = Office::open();
    let id = office.send(&alert());
    let jo = office.pair.jo.back_end(JO);
    let mut ours = event(JO, IQ);
    ours["id"] = json!(id);
    assert_eq!(jo.submit(&ours).status, 202);
    assert_eq!(jo.outcome(&id)["state"], "receipted");
    all_cosigned(&office.pair.jo);
    let browser = office.browser("auditor-amal", "en");
    browser.go(&office.page(&format!("/messages?q={id}")));
    let lines = browser.run("return [...document.querySelectorAll('tbody a')].map(a => a.hash)", &[]);
    let lines: BTreeSet<&str> = lines.as_array().unwrap().iter().map(|hash| hash.as_str().unwrap()).collect();
    assert_eq!(lines.len(), 2, "each line leads to its own: {lines:?}");
    let mut shown = BTreeSet::new();
    for line in lines {
        browser.go(&office.page(&format!("/messages/{id}{line}")));
        let target =
            browser.run("return document.querySelector(':target').querySelector('h2').innerText", &[]);
        let its_own = browser.run("return document.querySelectorAll(':target [aria-current]').length", &[]);
        assert_eq!(its_own, 1, "its own life alone");
        // Both are named above, whichever was chosen.
        let named = browser
            .run("return [...document.querySelectorAll('.choice a')].map(a => a.innerText).join()", &[]);
        assert!(named.as_str().unwrap().contains(IQ) && named.as_str().unwrap().contains(JO), "{named}");
        shown.insert(target.as_str().unwrap().to_owned());
    }
    let of = |from: &str| shown.iter().any(|target| target.starts_with(from));
    assert!(shown.len() == 2 && of(IQ) && of(JO), "{shown:?}");
    let mut wrong = String::new();
    for language in ["en", "ar"] {
        browser.go(&office.page(&format!("/language/{language}?back=/messages/{id}")));
        super::look(&browser, "auditor-two-of-one-id", language, &mut wrong);
    }
    assert!(wrong.is_empty(), "{wrong}");
    let bundle =
        members(&ask(&office.pair.jo, "auditor-amal", &format!("/messages/{id}/evidence"), "reason=case+17"));
    assert_eq!(folders(&bundle).len(), 2);
    // Other filters narrow what an id finds, like everything else.
    let office = &office.pair.jo;
    let ask = |path: &str| ask(office, "auditor-amal", path, "reason=case+17");
    for (filters, expected) in
        [("", 2), ("&partner=IQ", 2), ("&direction=sent", 1), ("&type=alert.person", 0)]
    {
        let answer = ask(&format!("/messages/evidence?q={id}{filters}"));
        let count = if answer.code() == "not_found" { 0 } else { folders(&members(&answer)).len() };
        assert_eq!(count, expected, "{filters}");
        let lines =
            office.national("auditor-amal").get(&format!("/messages/export?format=jsonl&q={id}{filters}"));
        assert_eq!(String::from_utf8_lossy(&lines.body).lines().count(), expected, "{filters}");
    }
    let out = office.path.join("of-one-id.zip").to_string_lossy().into_owned();
    let export = |filters: &str| {
        office
            .run(&["evidence", "export", "--out", &out, "--query", &format!("id={id},{filters}")])
            .status
            .code()
    };
    assert_eq!((export("partner=SA"), export("partner=IQ")), (Some(1), Some(0)));
    assert_eq!(folders(&container::decode(&std::fs::read(&out).unwrap()).unwrap()).len(), 2);
    // Each is proven by itself.
    let proofs = office.national("auditor-amal").get(&format!("/messages/{id}/proof")).json();
    let digests: BTreeSet<&str> =
        proofs.as_array().unwrap().iter().map(|proof| proof["digest"].as_str().unwrap()).collect();
    assert_eq!(digests.len(), 2, "{proofs}");
}

/// A sender has a message refused under the same id as often as it likes.
#[test]
fn conflicts_without_end_leave_a_bundle_of_the_message() {
    let office = Office::open();
    let id = office.send(&alert());
    let (key, client) = (office.pair.iq.message_key(), office.pair.iq.as_partner_of(&office.pair.jo));
    for _ in 0..12 {
        let mut other = alert();
        other["id"] = json!(id);
        assert_eq!(client.message(&sign(&key, &other).bytes).code(), "id_conflict");
    }
    all_cosigned(&office.pair.jo);
    let answer = ask(&office.pair.jo, "auditor-amal", &format!("/messages/{id}/evidence"), "reason=case+17");
    let members = members(&answer);
    assert_eq!(folders(&members).len(), 9, "the message and the first eight");
    assert!(members.contains_key("messages/0001/message.jws"));
    assert_eq!(verdicts(&[("conflicts".to_owned(), answer.body)]), [(true, true)]);
}

#[test]
fn a_message_of_an_earlier_edition_is_left_to_the_command() {
    let office = Office::open();
    let id = office.send(&alert());
    let jo = &office.pair.jo;
    // As a later release would find the entry: it names an edition that is not in the program.
    let digests = Catalogue::embedded().types().iter().filter(|of| of.name() == "alert.vehicle");
    for digest in digests.map(|of| Digest(of.digest()).to_string()) {
        let unknown = Digest::of(digest.as_bytes()).to_string();
        let body = match jo.database {
            Some(_) => {
                format!("convert_to(replace(convert_from(body, 'UTF8'), '{digest}', '{unknown}'), 'UTF8')")
            }
            None => format!("CAST(replace(CAST(body AS TEXT), '{digest}', '{unknown}') AS BLOB)"),
        };
        jo.execute(&format!("UPDATE entry SET body = {body}"));
    }
    let answer = ask(jo, "auditor-amal", &format!("/messages/{id}/evidence"), "reason=case+17");
    assert_eq!((answer.status, answer.code().as_str()), (400, "query_invalid"), "{answer:?}");
    let said = String::from_utf8(answer.body).unwrap();
    assert!(said.contains("silkgate evidence export") && said.contains("--schemas"), "{said}");
}
