//! Every page, in both languages, for every role that may see it.

use serde_json::{Value, json};
use support::{event, sign, wait_for};

use super::{IQ, JO, Office, alert, look};

/// The pages that a role sees, by name.
fn pages(role: &str, id: &str) -> Vec<(String, String)> {
    let mut pages = vec![
        ("overview", "/".to_owned()),
        ("ledger", "/ledger".to_owned()),
        ("partners", "/partners".to_owned()),
        ("partner", "/partners/IQ".to_owned()),
        ("schemas", "/schemas".to_owned()),
        ("schema", "/schemas/alert.vehicle/1".to_owned()),
        ("check", "/check".to_owned()),
    ];
    if role != "operator" {
        pages.extend([
            ("house-log", "/ledger/house".to_owned()),
            ("purposes", "/purposes".to_owned()),
            ("reads", "/reads".to_owned()),
        ]);
    }
    if role == "auditor" {
        pages.extend([
            ("messages", "/messages".to_owned()),
            ("making", "/making".to_owned()),
            ("message", format!("/messages/{id}")),
            ("log", "/ledger/IQ".to_owned()),
        ]);
    }
    pages.into_iter().map(|(name, path)| (format!("{role}-{name}"), path)).collect()
}

/// Looks at every page of a role, in both languages.
fn every_page(role: &str, person: &str) {
    let office = Office::open();
    let id = office.send(&alert());
    let mut refused = event(IQ, JO);
    refused["data"]["vin"] = json!("NOT-A-VIN");
    office.send(&refused);
    let mut wrong = String::new();
    let browser = office.browser(person, "en");
    let (pages, mut heaviest) = (pages(role, &id), 0);
    for (name, path) in &pages {
        browser.go(&office.page(path));
        look(&browser, name, "en", &mut wrong);
        let bytes =
            browser.run("return new Blob([document.documentElement.outerHTML]).size", &[]).as_u64().unwrap();
        heaviest = heaviest.max(bytes);
        // The visible switch leads to the same page in the other language, and back.
        browser.click("a[hreflang=ar]");
        assert_eq!(browser.address(), office.page(path));
        look(&browser, name, "ar", &mut wrong);
        browser.click("a[hreflang=en]");
    }
    println!("{role}: {} pages in 2 languages, the heaviest {heaviest} bytes", pages.len());
    assert!(heaviest < 150_000, "{heaviest}");
    assert!(wrong.is_empty(), "{wrong}");
    assert_eq!(office.pair.jo.audit(), Vec::<Value>::new(), "every look is in the house log with its row");
}

#[test]
fn an_auditor_can_read_every_page() {
    every_page("auditor", "auditor-amal");
}

#[test]
fn a_data_protection_officer_can_read_every_page_that_is_meant_for_one() {
    every_page("data-protection", "data-protection-dora");
}

#[test]
fn an_operator_can_read_every_page_that_is_meant_for_one() {
    every_page("operator", "operator-omar");
}

#[test]
fn the_browsers_language_is_asked_for_and_a_choice_is_kept() {
    let office = Office::open();
    let browser = office.browser("auditor-amal", "ar-IQ,ar,en");
    assert_eq!(browser.run("return document.documentElement.lang", &[]), json!("ar"));
    assert!(browser.text("h1").contains("نظرة عامة"));
    browser.click("a[hreflang=en]");
    browser.click("nav a[href='/messages']");
    assert_eq!(browser.text("h1"), "Messages");
}

#[test]
fn a_message_is_found_by_what_is_known_of_it() {
    let office = Office::open();
    let id = office.send(&alert());
    let mut other = event(IQ, JO);
    other["data"]["vin"] = json!("NOT-A-VIN");
    let refused = office.send(&other);
    let auditor = office.pair.jo.national("auditor-amal");
    let found = |query: &str| -> Vec<bool> {
        let answer = auditor.get(&format!("/messages?{query}"));
        let html = String::from_utf8(answer.body).unwrap();
        assert_eq!(answer.status, 200, "{query}: {html}");
        [&id, &refused].map(|id| html.contains(&format!("/messages/{id}"))).into()
    };
    for (query, expected) in [
        ("", [true, true]),
        (&*format!("q={id}"), [true, false]),
        ("verdict=accepted", [true, false]),
        ("verdict=rejected", [false, true]),
        ("verdict=waiting", [false, false]),
        ("partner=IQ&direction=received&type=alert.vehicle", [true, true]),
        ("direction=sent", [false, false]),
        ("type=manifest.cargo", [false, false]),
        ("from=2020-01-01&to=2020-12-31", [false, false]),
        ("from=2020-01-01&to=2099-12-31", [true, true]),
    ] {
        assert_eq!(found(query), expected, "{query}");
    }
    // By what it holds, however that is written; a refused one's content is not kept.
    for held in ["1HGCM82633A004352", "1hgcm82633a004352", "٢٢ ا ١٢٣٤٥", "22 ا 12345"] {
        let encoded: String = held.bytes().map(|byte| format!("%{byte:02X}")).collect();
        assert_eq!(found(&format!("q={encoded}")), [true, false], "{held}");
        assert_eq!(found(&format!("q={encoded}&direction=sent")), [false, false], "{held}");
    }
    assert_eq!(found("q=1HGCM82633A004353"), [false, false]);
    assert_eq!(found("purpose=border-management"), [true, true]);
    assert_eq!(found("purpose=customs"), [false, false]);
    for bad in ["verdict=good", "direction=up", "from=yesterday", "nonsense=1", "before=x"] {
        let answer = auditor.get(&format!("/messages?{bad}"));
        assert_eq!((answer.status, answer.code().as_str()), (400, "query_invalid"), "{bad}");
    }
    // All of it as a file, and what the filters leave of it.
    let lines = |query: &str| -> Vec<Value> {
        let answer = auditor.get(&format!("/messages/export?format=jsonl{query}"));
        assert_eq!(answer.header("content-disposition"), Some("attachment; filename=\"messages.jsonl\""));
        let text = String::from_utf8(answer.body).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let ids = |query: &str| -> Vec<String> {
        lines(query).iter().map(|line| line["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(""), [refused.clone(), id.clone()], "the newest first");
    assert_eq!(ids("&verdict=rejected"), std::slice::from_ref(&refused));
    assert_eq!(lines("&verdict=rejected")[0]["code"], "schema_invalid");
    let csv = String::from_utf8(auditor.get("/messages/export?format=csv").body).unwrap();
    let rows: Vec<&str> = csv.split_terminator("\r\n").collect();
    assert_eq!(rows.len(), 3, "{csv}");
    assert!(rows[0].starts_with("\"committed_at\",\"direction\"") && rows[2].contains(&id), "{csv}");
    assert!(!csv.contains("1HGCM82633A004352"), "never what a message says");
    assert_eq!(auditor.get("/messages/export").code(), "query_invalid");
    // Who looked for what stands in the row beside the entry.
    let reads = auditor.get("/v1/audit/reads?from=0").json();
    let what: Vec<&str> =
        reads["reads"].as_array().unwrap().iter().map(|read| read["what"].as_str().unwrap()).collect();
    assert!(what.iter().any(|what| what.contains(&format!("q={id}"))), "{what:?}");
}

#[test]
fn the_growth_of_each_log_is_drawn_and_stands_in_a_table() {
    let office = Office::open();
    office.send(&alert());
    let browser = office.browser("operator-omar", "en");
    browser.go(&office.page("/ledger"));
    // Of each log: entries, bars that are drawn, and the last day of the table.
    let logs = browser.run(
        "return [...document.querySelectorAll('section.card')].map(card => [
           card.querySelector('dl.facts div:nth-child(2) dd').textContent.trim(),
           [...card.querySelectorAll('rect.grown')].filter(bar => bar.height.baseVal.value > 0).length,
           [...card.querySelectorAll('tbody tr:last-child td')].map(cell => cell.textContent)])",
        &[],
    );
    let logs = logs.as_array().unwrap();
    assert_eq!(logs.len(), 2, "the house log and the channel");
    for log in logs {
        let size = log[0].as_str().unwrap();
        // All of it was made today; a day may end in between.
        let bars = log[1].as_u64().unwrap();
        assert!(size != "0" && (1..=2).contains(&bars), "{log}");
        assert!(log[2][1] == size && (log[2][0] == size || bars == 2), "{log}");
    }
}

/// Many messages may name one vehicle: what a filter lets through is found behind all that it does not.
#[test]
fn what_a_filter_lets_through_is_found_behind_ever_so_many_that_hold_the_same() {
    let office = Office::open();
    let (iq, jo) = (&office.pair.iq, &office.pair.jo);
    jo.allow("IQ", &["--rate", "50000"]);
    let sent = event(JO, IQ);
    let vehicle = sent["data"]["vin"].as_str().unwrap();
    assert_eq!(jo.back_end(JO).submit(&sent).status, 202);
    let (client, key) = (iq.as_partner_of(jo), iq.message_key());
    for _ in 0..205 {
        let mut other = event(IQ, JO);
        other["data"]["vin"] = vehicle.into();
        assert_eq!(client.message(&sign(&key, &other).bytes).status, 200);
    }
    let auditor = jo.national("auditor-amal");
    let read = |path: &str| String::from_utf8(auditor.get(path).body).unwrap();
    let line = format!("/messages/{}", sent["id"].as_str().unwrap());
    let first = read(&format!("/messages?q={vehicle}&direction=sent"));
    assert!(!first.contains(&line) && first.contains("Searched back to"), "{first}");
    let next = first.split("rel=\"next\" href=\"").nth(1).expect("more is left").split('"').next().unwrap();
    let second = read(&next.replace("&#38;", "&"));
    assert!(second.contains(&line), "{second}");
    let file = read(&format!("/messages/export?format=jsonl&q={vehicle}&direction=sent"));
    assert_eq!(file.lines().count(), 1, "{file}");
    let all = read(&format!("/messages/export?format=jsonl&q={vehicle}"));
    assert_eq!(all.lines().count(), 206);
}

#[test]
fn legal_bases_are_counted_for_a_reason_and_nothing_else_is_shown() {
    let office = Office::open();
    office.send(&alert());
    office.hand_over();
    let mut ids = Vec::new();
    // The last one is over soon, so that it may be erased.
    for (basis, time_ms) in [
        ("Treaty 7, article 2", 1_800_000),
        ("مذكرة التفاهم 2023", 1_800_000),
        ("Treaty 7, article 2", 1_800_000),
        ("an erased one", 2_000),
    ] {
        let mut question = support::question(IQ, JO, time_ms);
        question["data"]["legalBasis"] = json!(basis);
        ids.push(office.send(&question));
        office.hand_over();
    }
    let officer = office.pair.jo.national("data-protection-dora");
    let ask = |person: &str, form: &str| {
        let client = office.pair.jo.national(person);
        client.request("POST", "/purposes", "application/x-www-form-urlencoded", form.as_bytes()).unwrap()
    };
    let bases = |reads: &Value| {
        let reads = reads["reads"].as_array().unwrap();
        reads.iter().filter(|read| read["act"] == "read_legal_bases").count()
    };
    let closed = String::from_utf8(officer.get("/purposes").body).unwrap();
    assert!(closed.contains("query.request") && !closed.contains("Treaty 7"), "{closed}");
    for form in ["", "reason=", "reason=no"] {
        assert_eq!(ask("data-protection-dora", form).code(), "reason_missing", "{form}");
    }
    assert_eq!(ask("operator-omar", "reason=case+17").code(), "role_forbidden");
    assert_eq!(bases(&officer.get("/v1/audit/reads").json()), 0, "nothing was opened");
    wait_for("the question to be over", || {
        let erased = office.pair.jo.run(&["erase", &ids[3], "--reason", "court order 5"]);
        erased.status.success().then_some(())
    });
    let browser = office.browser("data-protection-dora", "en");
    browser.click("nav a[href='/purposes']");
    let uses = browser.text("[aria-labelledby=uses]");
    assert!(uses.contains("Question") && uses.contains("4 messages") && uses.contains("1 message"), "{uses}");
    browser.fill("input[name=reason]", "yearly report 2026");
    browser.click("form[method=post] button");
    wait_for("the legal bases", || browser.has("[aria-labelledby=bases]").then_some(()));
    let text = browser.text("main");
    let table = browser.text("[aria-labelledby=bases] tbody");
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines.len() == 2 && lines[0].contains("Treaty 7, article 2"), "{table}");
    assert!(lines[0].contains("2 messages") && lines[1].contains("1 message"), "{table}");
    assert!(text.contains("Opened: \u{2068}3\u{2069}.") || text.contains("Opened: 3."), "{text}");
    assert!(text.contains("that is kept: \u{2068}1\u{2069}") || text.contains("that is kept: 1"), "{text}");
    assert!(!text.contains("an erased one") && ids.iter().all(|id| !text.contains(id)), "{text}");
    let mut wrong = String::new();
    look(&browser, "data-protection-legal-bases", "en", &mut wrong);
    browser.go(&office.page("/language/ar?back=/purposes"));
    browser.fill("input[name=reason]", "yearly report 2026");
    browser.click("form[method=post] button");
    wait_for("the legal bases", || browser.has("[aria-labelledby=bases]").then_some(()));
    look(&browser, "data-protection-legal-bases", "ar", &mut wrong);
    assert!(wrong.is_empty(), "{wrong}");
    let reads = officer.get("/v1/audit/reads").json();
    assert_eq!(bases(&reads), 2);
    assert!(reads.to_string().contains("yearly report 2026"), "{reads}");
    assert_eq!(office.pair.jo.audit(), Vec::<Value>::new());
}

#[test]
fn what_reconciliations_found_is_shown_after_a_restart_too() {
    let mut office = Office::open();
    let reconcile = |office: &mut Office, arguments: &[&str], code: i32| {
        let output = office.pair.jo.run(&[&["reconcile", "IQ"], arguments].concat());
        assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stdout));
    };
    reconcile(&mut office, &[], 0);
    // Signed with Iraq's key and sent past its gateway: its log does not say so.
    office.send(&alert());
    reconcile(&mut office, &[], 1);
    reconcile(&mut office, &["--to", "2020-01-01T00:00:00Z"], 0);
    assert_eq!(office.pair.jo.stop(), Some(0));
    office.pair.jo.start();
    let browser = office.browser("operator-omar", "en");
    wait_for("the neighbour's word", || {
        browser.go(&office.page("/"));
        browser.has("#reconciled").then_some(())
    });
    let rows = |css: &str| {
        let script = "return [...document.querySelectorAll(arguments[0])].map(row => row.innerText)";
        let rows = browser.run(script, &[json!(css)]);
        rows.as_array().unwrap().iter().map(|row| row.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let shown = rows("[aria-labelledby=reconciled] tbody tr");
    assert!(shown.len() == 1 && shown[0].contains("THE TWO SIDES DIFFER"), "{shown:?}");
    browser.click("a[href='/ledger#reconciled']");
    let shown = rows("[aria-labelledby=reconciled] tbody tr");
    assert_eq!(shown.len(), 3, "{shown:?}");
    for (row, says) in shown.iter().zip(["agree on messages of a certain time", "DIFFER", "both sides agree"])
    {
        assert!(row.contains(says) && row.contains("operator"), "{shown:?}");
    }
    let mut wrong = String::new();
    for language in ["en", "ar"] {
        for (name, path) in [("operator-overview-differ", "/"), ("operator-ledger-differ", "/ledger")] {
            browser.go(&office.page(&format!("/language/{language}?back={path}")));
            look(&browser, name, language, &mut wrong);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// How many match keys a home holds.
fn match_keys(home: &support::home::Home) -> i64 {
    home.query("SELECT count(*) FROM match_key")[0][0]
}

#[test]
fn what_a_message_is_found_by_goes_with_it_and_an_older_home_gets_it() {
    let mut office = Office::open();
    let id = office.send(&alert());
    let found = |office: &Office| {
        let answer = office
            .pair
            .jo
            .national("auditor-amal")
            .get("/messages?q=1HGCM82633A004352&purpose=border-management");
        String::from_utf8(answer.body).unwrap().contains(&format!("/messages/{id}"))
    };
    assert!(found(&office) && match_keys(&office.pair.jo) == 2);
    // As a home is that an older version leaves behind.
    assert_eq!(office.pair.jo.stop(), Some(0));
    for sql in [
        "DELETE FROM match_key",
        "UPDATE message SET purpose = NULL",
        "UPDATE unmatched SET upto = (SELECT max(seq) FROM payload)",
    ] {
        office.pair.jo.execute(sql);
    }
    office.pair.jo.start();
    wait_for("what is older to be found", || found(&office).then_some(()));
    assert_eq!(office.pair.jo.audit(), Vec::<Value>::new());
    // In the database there is nothing to be guessed from: the same content has other keys with each day key.
    office.hand_over();
    office.pair.jo.ok(&["erase", &id, "--reason", "court order 5"]);
    assert!(!found(&office) && match_keys(&office.pair.jo) == 0);
}

#[test]
fn content_is_opened_for_a_reason_that_is_recorded() {
    let office = Office::open();
    let id = office.send(&alert());
    let browser = office.browser("auditor-amal", "en");
    browser.go(&office.page(&format!("/messages/{id}")));
    assert!(!browser.text("main").contains("١٢٣٤٥"), "closed");
    browser.fill("input[name=reason]", "complaint 17/2026");
    browser.click("form[method=post] button");
    wait_for("the plate", || browser.has(".plate").then_some(()));
    assert_eq!(browser.text(".plate-text"), "٢٢ ا ١٢٣٤٥");
    assert_eq!(browser.run("return document.querySelector('.plate-text').dir", &[]), json!("rtl"));
    let mut wrong = String::new();
    look(&browser, "auditor-content", "en", &mut wrong);
    assert!(wrong.is_empty(), "{wrong}");
    let officer = office.browser("data-protection-dora", "en");
    officer.go(&office.page("/reads"));
    let text = officer.text("main");
    assert!(text.contains("complaint 17/2026") && text.contains("amal") && text.contains(&id), "{text}");
    // No reason, nothing opened.
    let auditor = office.pair.jo.national("auditor-amal");
    for reason in ["", "reason=", "reason=no", "other=complaint"] {
        let path = format!("/messages/{id}");
        let answer =
            auditor.request("POST", &path, "application/x-www-form-urlencoded", reason.as_bytes()).unwrap();
        let html = String::from_utf8(answer.body).unwrap();
        assert!(
            answer.status == 200 && html.contains("reason-unfit") && !html.contains("plate-text"),
            "{reason}"
        );
    }
    // Erased: the page says so, and what it said is gone.
    office.hand_over();
    office.pair.jo.ok(&["erase", &id, "--reason", "court order 5"]);
    browser.go(&office.page(&format!("/messages/{id}")));
    let text = browser.text("main");
    assert!(text.contains("The content was erased") && !browser.has(".plate"), "{text}");
}

#[test]
fn a_pasted_message_is_judged_as_the_command_judges_it() {
    let office = Office::open();
    let browser = office.browser("operator-omar", "en");
    let mut wrong_one = alert();
    wrong_one["data"]["vin"] = json!("NOT-A-VIN");
    let file = office.pair.folder.path().join("wrong.json");
    std::fs::write(&file, serde_json::to_vec_pretty(&wrong_one).unwrap()).unwrap();
    let said = office.pair.jo.run(&["check", "--format", "json", file.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    browser.go(&office.page("/check"));
    let text = serde_json::to_string_pretty(&wrong_one).unwrap();
    browser.run("document.querySelector('textarea').value = arguments[0]", &[json!(text)]);
    browser.click("main form button");
    wait_for("the verdict", || browser.has("p.state.bad").then_some(()));
    let shown = browser.text("main");
    assert!(shown.contains("It does not conform.") && shown.contains("/data/vin"), "{shown}");
    assert!(said.contains("/data/vin"), "{said}");
    browser.run("document.querySelector('textarea').value = arguments[0]", &[json!(alert().to_string())]);
    browser.click("main form button");
    wait_for("the other verdict", || browser.text("main").contains("It conforms.").then_some(()));
}
