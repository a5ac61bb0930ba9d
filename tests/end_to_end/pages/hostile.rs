//! What a hostile partner writes into every field of every type is shown, and never run.

use serde_json::{Value, json};
use silkgate_message::catalogue::Catalogue;
use support::{example, sign, wait_for};

use super::{IQ, JO, Office};

/// A text that would run, leave its attribute or its element, or be filled in, if it were not escaped. Free texts may be so.
const HOSTILE: &str = "\"'><img src=x onerror=window.hostile=1><script>window.hostile=1</script>{{1}}";
/// Messages that one reader opens within a minute.
const EACH: usize = 100;

/// The JSON Pointers of everything in a value.
fn pointers(value: &Value, at: &str, all: &mut Vec<String>) {
    all.push(at.to_owned());
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| pointers(value, &format!("{at}/{name}"), all));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, value)| pointers(value, &format!("{at}/{n}"), all));
        }
        _ => {}
    }
}

/// The example of a type with one string replaced, for every string, and with one more member, for every object.
fn altered(kind: &str, version: u32) -> Vec<Value> {
    let mut all = Vec::new();
    pointers(&example(kind, version, IQ, JO), "", &mut all);
    let kept = ["/id", "/type", "/specversion", "/dataschema", "/source", "/recipient"];
    all.retain(|pointer| !kept.contains(&pointer.as_str()));
    let alter = |pointer: String| {
        let mut event = example(kind, version, IQ, JO);
        match event.pointer_mut(&pointer)? {
            value @ Value::String(_) => *value = json!(HOSTILE),
            Value::Object(members) => drop(members.insert(HOSTILE.to_owned(), json!(1))),
            _ => return None,
        }
        Some(event)
    };
    all.into_iter().filter_map(alter).collect()
}

#[test]
fn nothing_that_a_partner_writes_runs_in_a_readers_browser() {
    let office = Office::open();
    let (key, client) = (office.pair.iq.message_key(), office.pair.iq.as_partner_of(&office.pair.jo));
    let mut ids = Vec::new();
    let mut accepted = 0;
    for kind in Catalogue::embedded().types() {
        for event in altered(kind.name(), kind.version()) {
            let message = sign(&key, &event);
            accepted += usize::from(client.message(&message.bytes).status == 200);
            ids.push(message.id);
        }
    }
    assert!(ids.len() > 300 && accepted > 20, "{} of {}", accepted, ids.len());
    // As bytes: on no page is there markup that the partner wrote. Everybody opens as much as one certificate may.
    let readers = ids.len().div_ceil(EACH);
    for reader in 0..readers {
        office.pair.jo.ok(&["client", "add", "auditor", &format!("reader{reader}")]);
    }
    let reader = |number: usize| office.pair.jo.national(&format!("auditor-reader{number}"));
    wait_for("the last one to be registered", || {
        (reader(readers - 1).get("/schemas").status == 200).then_some(())
    });
    let mut opened = 0;
    for (number, chunk) in ids.chunks(EACH).enumerate() {
        let reader = reader(number);
        for id in chunk {
            let (path, reason) = (format!("/messages/{id}"), format!("reason={}", urlencoded(HOSTILE)));
            let answer = reader
                .request("POST", &path, "application/x-www-form-urlencoded", reason.as_bytes())
                .unwrap();
            let html = String::from_utf8(answer.body).unwrap();
            let ours = html.matches("<script type=\"module\" src=\"/assets/").count();
            assert!(!html.contains("<img") && html.matches("<script").count() == ours, "{path}: {html}");
            opened += usize::from(answer.status == 200 && html.contains("&#60;img"));
        }
    }
    println!("{} messages, {accepted} accepted, {opened} pages with what the partner wrote", ids.len());
    assert!(opened > 20, "{opened}");
    // As a reader: the lists with all of it, and the newest messages, opened.
    let browser = office.browser("auditor-amal", "en");
    let search = format!("/messages?q={0}&from=2020-01-01", urlencoded(HOSTILE));
    let mut pages =
        vec!["/messages".to_owned(), search, "/ledger/IQ".to_owned(), "/reads".to_owned(), "/".to_owned()];
    pages.extend(ids.iter().rev().take(5).map(|id| format!("/messages/{id}")));
    for page in pages {
        browser.go(&office.page(&page));
        assert_eq!(browser.run("return window.hostile ?? null", &[]), Value::Null, "{page}");
        assert_eq!(browser.complaints(), Vec::<String>::new(), "{page}");
    }
}

fn urlencoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
