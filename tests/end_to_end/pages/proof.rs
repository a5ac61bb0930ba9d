//! Prove it yourself: the browser verifies from the bytes, and finds what was altered.

use serde_json::json;
use support::wait_for;

use super::{IQ, JO, Office, alert};
use crate::witness::all_cosigned;

#[test]
fn three_clicks_lead_from_the_overview_to_a_proven_message() {
    let office = Office::open();
    let id = office.send(&alert());
    all_cosigned(&office.pair.jo);
    let browser = office.browser("auditor-amal", "en");
    browser.click("nav a[href='/messages']");
    browser.click(&format!("a[href^='/messages/{id}']"));
    browser.click(".prove button");
    wait_for("the verdict", || browser.has(".prove[data-done]").then_some(()));
    let steps = browser.text(".steps");
    assert_eq!(
        browser.run("return document.querySelector('.prove').dataset.done", &[]),
        json!("good"),
        "{steps}"
    );
    for line in [
        "The sender’s signature on the message: not verified here",
        "The entry’s hash leads to the root: verified",
        "Our log’s signature on the checkpoint with this root: verified",
        "The partner’s cosignature on the same checkpoint: verified",
    ] {
        assert!(steps.contains(line), "{steps}");
    }
    // With the content the sender's signature too.
    browser.fill("input[name=reason]", "a proof for the court");
    browser.click("form[method=post] button");
    wait_for("the content", || browser.has(".jws").then_some(()));
    browser.click(".prove button");
    wait_for("the verdict", || browser.has(".prove[data-done]").then_some(()));
    let steps = browser.text(".steps");
    for line in [
        "The sender’s signature on the message: verified",
        "The message is the one that the entry names: verified",
    ] {
        assert!(steps.contains(line), "{steps}");
    }
    browser.picture(&super::pictures().join("auditor-proven-en.png"));
    assert_eq!(browser.complaints(), Vec::<String>::new());
    // A message that was sent is proven by our own certificate.
    let jo = office.pair.jo.back_end(JO);
    let mut ours = support::event(JO, IQ);
    ours["data"]["make"] = json!("Dacia");
    let sent = jo.submit(&ours).json()["id"].as_str().unwrap().to_owned();
    assert_eq!(jo.outcome(&sent)["state"], "receipted");
    browser.go(&office.page(&format!("/messages/{sent}")));
    browser.fill("input[name=reason]", "a proof for the court");
    browser.click("form[method=post] button");
    wait_for("the content", || browser.has(".jws").then_some(()));
    browser.click(".prove button");
    wait_for("the verdict", || browser.has(".prove[data-done]").then_some(()));
    assert!(
        browser.text(".steps").contains("The sender’s signature on the message: verified"),
        "{}",
        browser.text(".steps")
    );
}

#[test]
fn whatever_is_altered_is_found_by_the_browser() {
    let office = Office::open();
    let id = office.send(&alert());
    all_cosigned(&office.pair.jo);
    let browser = office.browser("auditor-amal", "en");
    browser.go(&office.page(&format!("/messages/{id}")));
    browser.fill("input[name=reason]", "a test of the proof");
    browser.click("form[method=post] button");
    wait_for("the content", || browser.has(".jws").then_some(()));
    // What the server would have to lie about, one after the other, as the browser would be told it.
    let wrong = [
        "p.entry = p.entry.replace('\"received\"', '\"rejected\"')",
        "p.entry = p.entry.replace(/.$/, ' }')",
        "p.index += 1",
        "p.size += 1",
        "p.path[0].hash = btoa('x'.repeat(32))",
        "p.path.pop()",
        "p.path.push(p.path[0])",
        "p.checkpoint = p.checkpoint.replace(/\\n(\\d+)\\n/, (_, n) => '\\n' + (Number(n) + 1) + '\\n')",
        "p.checkpoint = p.checkpoint.replace(p.root, btoa('x'.repeat(32)))",
        "p.log_keys = []",
        "p.log_keys = p.log_keys.map(k => k.slice(0, -6) + 'AAAAA=')",
        "p.certificates = []",
        "p.certificates = [btoa('no certificate')]",
    ];
    for alteration in wrong {
        let script = format!(
            "window.honest ??= window.fetch;
             window.fetch = async (...a) => {{ const r = await window.honest(...a); const all = await r.json(); const p = all[0]; {alteration};
               return {{ ok: true, json: async () => all }}; }};
             document.querySelector('.prove').removeAttribute('data-done')"
        );
        browser.run(&script, &[]);
        browser.click(".prove button");
        wait_for("the verdict", || browser.has(".prove[data-done]").then_some(()));
        let done = browser.run("return document.querySelector('.prove').dataset.done", &[]);
        assert_eq!(done, json!("wrong"), "{alteration}: {}", browser.text(".steps"));
    }
    for alteration in [
        "jws.signature = jws.signature.replace(/^./, c => c === 'A' ? 'B' : 'A')",
        "jws.payload = jws.payload.replace(/.$/, c => c === 'A' ? 'Q' : 'A')",
        "jws.protected = jws.protected.slice(0, -2)",
    ] {
        let script = format!(
            "window.fetch = window.honest; const box = document.querySelector('.jws'); window.first ??= box.dataset.jws;
             const jws = JSON.parse(window.first); {alteration}; box.dataset.jws = JSON.stringify(jws);
             document.querySelector('.prove').removeAttribute('data-done')"
        );
        browser.run(&script, &[]);
        browser.click(".prove button");
        wait_for("the verdict", || browser.has(".prove[data-done]").then_some(()));
        let done = browser.run("return document.querySelector('.prove').dataset.done", &[]);
        assert_eq!(done, json!("wrong"), "{alteration}: {}", browser.text(".steps"));
    }
}
