//! The work of a schema check is bounded, whatever a partner sends.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::super::schema::compiled;
use super::super::{Catalogue, MessageType};
use crate::json::{ITEMS_MAX, STRING_MAX, VALUES_MAX, parse};
use crate::violation::REPORTED_MAX;

/// What backtracks cannot be told from what does not by its answer, but by what it may be asked: an engine of
/// linear time knows neither look-around nor references back.
#[test]
fn patterns_take_linear_time() {
    for backtracking in ["^(?!a)", "(?<=a)b", r"^(a)\1$", "(?>a+)b"] {
        let refused = compiled(&json!({ "type": "string", "pattern": backtracking }));
        assert!(refused.is_err(), "{backtracking} would need an engine that backtracks");
    }
    let validator = compiled(&json!({ "pattern": "^(([a-z])+.)+[A-Z]([a-z])+$" })).unwrap();
    let began = Instant::now();
    assert!(!validator.is_valid(&json!("a".repeat(STRING_MAX))));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn nothing_is_fetched() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let there = format!("http://{}/schema.json", listener.local_addr().unwrap());
    for foreign in [there.as_str(), "https://silkgate.example/elsewhere.json", "file:///etc/passwd"] {
        assert!(compiled(&json!({ "$ref": foreign })).is_err(), "{foreign}");
    }
    assert!(listener.accept().is_err(), "nobody called");
}

/// An event of the type with these data.
fn with(message_type: &MessageType, edit: impl FnOnce(&mut Value)) -> Value {
    let mut event: Value = serde_json::from_str(message_type.example()).unwrap();
    edit(&mut event["data"]);
    event
}

/// `n` members that no type has.
fn strays(n: usize) -> Value {
    (0..n).map(|at| (format!("stray{at}"), json!(at))).collect::<serde_json::Map<_, _>>().into()
}

/// As large as the parser lets pass, and wrong in every place.
#[test]
fn the_worst_documents_are_judged_in_bounded_time() {
    let catalogue = Catalogue::embedded();
    let mut worst = (Duration::ZERO, String::new());
    for (kind, version) in [("manifest.passenger", 1), ("manifest.cargo", 2), ("alert.vehicle", 1)] {
        let message_type = catalogue.find(kind, version).unwrap();
        let lists: Vec<String> = {
            let event = with(message_type, |_| ());
            let members = event["data"].as_object().unwrap();
            members.iter().filter(|(_, value)| value.is_array()).map(|(name, _)| name.clone()).collect()
        };
        let mut documents = vec![
            ("strays at the top", with(message_type, |data| *data = strays(ITEMS_MAX))),
            ("a long text", with(message_type, |data| data["make"] = json!("é".repeat(STRING_MAX / 2)))),
        ];
        for list in &lists {
            let full = |item: &Value, n: usize| {
                with(message_type, |data| data[list] = Value::Array(vec![item.clone(); n]))
            };
            let first = with(message_type, |_| ())["data"][list][0].clone();
            let mut broken = first.clone();
            if let Some(members) = broken.as_object_mut() {
                members.values_mut().for_each(|value| *value = json!({ "wrong": [true] }));
            }
            documents.push(("sound items, all the same", full(&first, ITEMS_MAX)));
            documents.push(("broken items, too many", full(&broken, ITEMS_MAX)));
            documents.push(("items of strays", full(&strays(100), 1000)));
            documents.push(("lists of lists", full(&json!(vec![0; 100]), ITEMS_MAX)));
            documents.push(("numbers", full(&json!(0), ITEMS_MAX)));
            let distinct = (0..ITEMS_MAX).map(|at| json!({ "n": at })).collect();
            documents
                .push(("distinct objects", with(message_type, |data| data[list] = Value::Array(distinct))));
        }
        for (name, event) in documents {
            // Only what a partner could send: the parser's bounds and the largest body of any agreement.
            let bytes = serde_json::to_vec(&event).unwrap();
            if bytes.len() > 10 << 20 || parse(&bytes).is_err() {
                continue;
            }
            let began = Instant::now();
            let violations = message_type.check(&event);
            let took = began.elapsed();
            assert!(violations.len() <= REPORTED_MAX + 1, "{kind}, {name}");
            println!("{kind}: {name}: {} bytes, {} violations, {took:?}", bytes.len(), violations.len());
            if took > worst.0 {
                worst = (took, format!("{kind}: {name}"));
            }
        }
    }
    println!("worst: {worst:?}; at most {VALUES_MAX} values");
    assert!(worst.0 < Duration::from_secs(10), "{worst:?}");
}
