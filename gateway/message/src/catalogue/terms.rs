//! What a message is searched by: plates, vehicle identification numbers, documents, containers.
//!
//! They are found by the members that the shared definitions give them, so a new type that uses these is searched as well.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::values::plate;

/// Terms of one message, at most: more than a full passenger list has.
const TERMS_MAX: usize = 4096;

/// The terms of an event, each `kind:text`, folded so that the same thing written otherwise is the same term.
pub fn terms(event: &Value) -> Vec<String> {
    let mut found = BTreeSet::new();
    if let Some(data) = event.get("data") {
        walk(data, &mut found);
    }
    found.into_iter().collect()
}

/// The terms that somebody may mean who writes `text`.
pub fn meant(text: &str) -> Vec<String> {
    let folded = folded(text);
    let mut meant = vec![format!("plate:{}", plate::match_key(text))];
    meant.extend(["vin", "document", "container"].map(|kind| format!("{kind}:{folded}")));
    meant
}

fn walk(value: &Value, found: &mut BTreeSet<String>) {
    if found.len() >= TERMS_MAX {
        return;
    }
    match value {
        Value::Object(members) => {
            let text = |name: &str| members.get(name).and_then(Value::as_str);
            if let Some(key) = text("matchKey") {
                found.insert(format!("plate:{key}"));
            }
            if let (Some(_), Some(number)) = (text("docType"), text("number")) {
                found.insert(format!("document:{}", folded(number)));
            }
            for name in ["vin", "vinAsFound"] {
                found.extend(text(name).map(|vin| format!("vin:{}", folded(vin))));
            }
            found.extend(text("container").map(|number| format!("container:{}", folded(number))));
            members.values().for_each(|value| walk(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| walk(item, found)),
        _ => {}
    }
}

/// Capital letters and digits alone.
fn folded(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_uppercase).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_message_holds_is_found_however_it_is_written() {
        let event = json!({ "data": {
            "vin": "1HGCM82633A004352",
            "plate": { "display": "22 A 12345", "matchKey": "22A12345" },
            "holder": { "documents": [{ "docType": "passport", "number": "a-1234567" }] },
            "items": [{ "container": "CSQU3054383", "number": 3 }],
            "remarks": "22 B 1",
        } });
        let terms = terms(&event);
        assert_eq!(
            terms,
            ["container:CSQU3054383", "document:A1234567", "plate:22A12345", "vin:1HGCM82633A004352"]
        );
        for written in ["22 a 12345", "22A12345", "1hgcm82633a004352", "A1234567", "csqu 305438-3"] {
            assert!(meant(written).iter().any(|term| terms.contains(term)), "{written}");
        }
        for written in ["22 B 1", "", "3"] {
            assert!(!meant(written).iter().any(|term| terms.contains(term)), "{written}");
        }
    }
}
