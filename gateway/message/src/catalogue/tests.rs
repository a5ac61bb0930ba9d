//! The catalogue against its own examples, and against every way to break them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn folder(message_type: &MessageType, kind: &str) -> PathBuf {
    let schemas = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas");
    schemas.join(message_type.name()).join(message_type.version().to_string()).join(kind)
}

pub(super) fn examples(message_type: &MessageType, kind: &str) -> Vec<(String, Value)> {
    let mut found: Vec<_> = std::fs::read_dir(folder(message_type, kind))
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, crate::json::parse(&std::fs::read(path).unwrap()).unwrap())
        })
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

fn places(violations: &[Violation]) -> BTreeSet<(String, String)> {
    violations.iter().map(|v| (v.rule.clone(), v.pointer.clone())).collect()
}

#[test]
fn accepted_examples_pass_and_are_whole_events() {
    let mut wrong = Vec::new();
    for message_type in Catalogue::embedded().types() {
        let accepted = examples(message_type, "accept");
        assert!(accepted.len() >= 3, "{}", message_type.name());
        for (name, event) in accepted {
            let errors: Vec<_> =
                message_type.check(&event).into_iter().filter(|v| v.severity == Severity::Error).collect();
            if !errors.is_empty() {
                wrong.push(format!("{} {name}: {:?}", message_type.name(), places(&errors)));
            }
            let envelope = crate::event::read(&event).unwrap_or_else(|fault| panic!("{name}: {fault:?}"));
            assert_eq!(envelope.dataschema, message_type.schema_id(), "{name}");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn rejected_examples_break_exactly_what_they_name() {
    let mut wrong = Vec::new();
    for message_type in Catalogue::embedded().types() {
        for (name, example) in examples(message_type, "reject") {
            let expected: BTreeSet<_> = example["expect"]
                .as_array()
                .unwrap()
                .iter()
                .map(|e| (e["rule"].as_str().unwrap().to_owned(), e["pointer"].as_str().unwrap().to_owned()))
                .collect();
            let found = places(&message_type.check(&example["event"]));
            if found != expected {
                wrong.push(format!("{} {name}: {found:?}, not {expected:?}", message_type.name()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_rule_fires_in_an_example() {
    let mut missing = BTreeSet::new();
    let mut common = BTreeSet::new();
    for message_type in Catalogue::embedded().types() {
        let fired: BTreeSet<String> = examples(message_type, "reject")
            .iter()
            .flat_map(|(_, example)| message_type.check(&example["event"]))
            .map(|violation| violation.rule)
            .collect();
        let order = message_type.out_of_order().map(|violation| violation.rule);
        for id in message_type.rules.ids() {
            // Shared rules need an example in one of the types; the order of versions is no matter of one event.
            if id.starts_with("common.") {
                common.insert((id.to_owned(), fired.contains(id)));
            } else if !fired.contains(id) && order.as_deref() != Some(id) {
                missing.insert(format!("{}/{} {id}", message_type.name(), message_type.version()));
            }
        }
    }
    for (id, _) in common.iter().filter(|(id, _)| !common.contains(&(id.clone(), true))) {
        missing.insert(id.clone());
    }
    assert!(missing.is_empty(), "no example breaks {missing:?}");
}

/// A release never changes: a new edition is a new version.
#[test]
fn released_versions_keep_their_digest() {
    let released =
        std::fs::read_to_string(folder(&Catalogue::embedded().types()[0], "../../DIGESTS")).unwrap();
    let now: String = Catalogue::embedded()
        .types()
        .iter()
        .map(|t| format!("{}/{} {}\n", t.name(), t.version(), crate::jws::Digest(t.digest())))
        .collect();
    assert_eq!(released, now);
}

/// A misspelt keyword compiles silently and checks nothing.
#[test]
fn schemas_use_known_keywords_only() {
    const KEYWORDS: &[&str] = &[
        "$schema",
        "$id",
        "$ref",
        "$defs",
        "$comment",
        "title",
        "description",
        "type",
        "properties",
        "required",
        "enum",
        "const",
        "pattern",
        "format",
        "minLength",
        "maxLength",
        "minimum",
        "maximum",
        "minItems",
        "maxItems",
        "items",
        "uniqueItems",
        "allOf",
        "anyOf",
        "if",
        "then",
        "else",
        "unevaluatedProperties",
    ];
    fn walk(schema: &Value, path: &str) {
        let Some(members) = schema.as_object() else {
            assert!(schema.is_boolean(), "{path}: neither object nor boolean");
            return;
        };
        for (name, value) in members {
            assert!(KEYWORDS.contains(&name.as_str()), "{path}: unknown keyword {name}");
            match name.as_str() {
                "properties" | "$defs" => {
                    value
                        .as_object()
                        .unwrap()
                        .iter()
                        .for_each(|(n, s)| walk(s, &format!("{path}/{name}/{n}")));
                }
                "allOf" | "anyOf" => {
                    value.as_array().unwrap().iter().for_each(|s| walk(s, &format!("{path}/{name}")));
                }
                "items" | "if" | "then" | "else" => walk(value, &format!("{path}/{name}")),
                _ => {}
            }
        }
    }
    let shared = SOURCES.iter().flat_map(|source| schema::shared(source.schema));
    for text in SOURCES.iter().map(|source| source.schema).chain(shared) {
        let schema: Value = serde_json::from_str(text).unwrap();
        walk(&schema, schema["$id"].as_str().unwrap());
    }
}

/// At least one counter-example for each kind of keyword that the schemas use.
#[test]
fn every_kind_of_keyword_refuses_an_example() {
    let mut used = BTreeSet::new();
    for source in SOURCES {
        let documents = schema::documents(source.schema);
        let schema: Value = serde_json::from_str(source.schema).unwrap();
        let mut constraints = BTreeSet::new();
        mutations::constraints(
            &documents,
            &schema,
            schema["$id"].as_str().unwrap(),
            "/data",
            &mut constraints,
        );
        used.extend(constraints.into_iter().map(|(_, keyword)| format!("schema.{keyword}")));
    }
    let fired: BTreeSet<String> = Catalogue::embedded()
        .types()
        .iter()
        .flat_map(|t| examples(t, "reject").into_iter().map(move |(_, example)| t.check(&example["event"])))
        .flatten()
        .map(|violation| violation.rule)
        .collect();
    let missing: Vec<_> = used.difference(&fired).collect();
    assert!(missing.is_empty(), "no counter-example for {missing:?}");
}

/// The ids that the code names and the ids that have texts are the same.
#[test]
fn code_and_rule_files_name_the_same_rules() {
    let code = [
        include_str!("rules.rs"),
        include_str!("parts.rs"),
        include_str!("facts.rs"),
        include_str!("alert_document.rs"),
        include_str!("alert_person.rs"),
        include_str!("alert_vehicle.rs"),
        include_str!("control_result.rs"),
        include_str!("crossing_status.rs"),
        include_str!("hit_notice.rs"),
        include_str!("incident_notice.rs"),
        include_str!("manifest_cargo.rs"),
        include_str!("manifest_passenger.rs"),
        include_str!("query.rs"),
        include_str!("risk_notice.rs"),
        include_str!("transit_movement.rs"),
    ];
    let ids: BTreeSet<&str> = Catalogue::embedded().types().iter().flat_map(|t| t.rules.ids()).collect();
    let prefixes: BTreeSet<&str> =
        ids.iter().filter_map(|id| id.rsplit_once('.')).map(|(type_, _)| type_).collect();
    let named: BTreeSet<&str> = code
        .iter()
        .flat_map(|source| source.split('"').skip(1).step_by(2))
        .filter(|text| text.rsplit_once('.').is_some_and(|(type_, _)| prefixes.contains(type_)))
        .collect();
    assert_eq!(named, ids);
}

/// Every scalar and every member of every accepted example, broken in turn, must be noticed there.
#[test]
fn mutations_are_caught_where_they_are() {
    let mut tried = 0;
    for message_type in Catalogue::embedded().types() {
        for (name, event) in examples(message_type, "accept") {
            let mut pointers = Vec::new();
            walk_pointers(&event["data"], "/data", &mut pointers);
            for pointer in pointers {
                for broken in
                    [json!({"x": 1}), json!([]), json!("\u{202e}"), json!(""), json!(-1), json!(null)]
                {
                    let mut event = event.clone();
                    *event.pointer_mut(&pointer).unwrap() = broken.clone();
                    let found = message_type.check(&event);
                    let noticed = found.iter().any(|v| {
                        v.severity == Severity::Error
                            && (v.pointer.starts_with(&pointer) || pointer.starts_with(&v.pointer))
                    });
                    assert!(noticed, "{name}: {pointer} = {broken}: {found:?}");
                    tried += 1;
                }
            }
        }
    }
    assert!(tried > 1000, "{tried}");
    println!("{tried} values replaced, each noticed");
}

fn walk_pointers(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, member)| walk_pointers(member, &format!("{path}/{name}"), found));
        }
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(index, item)| walk_pointers(item, &format!("{path}/{index}"), found));
        }
        _ => found.push(path.to_owned()),
    }
}

#[test]
fn violations_hold_no_values() {
    let message_type = Catalogue::embedded().find("alert.vehicle", 1).unwrap();
    let mut event: Value = serde_json::from_str(message_type.example()).unwrap();
    event["data"]["make"] = json!("secretsecret\u{202e}");
    event["data"]["colour"] = json!("secretsecret");
    event["data"]["vin"] = json!("secretsecret");
    let text = serde_json::to_string(&message_type.check(&event)).unwrap();
    assert!(!text.contains("secretsecret"), "{text}");
}

#[test]
fn a_misspelt_member_is_named_with_its_neighbour() {
    let message_type = Catalogue::embedded().find("alert.vehicle", 1).unwrap();
    let mut event: Value = serde_json::from_str(message_type.example()).unwrap();
    event["data"]["color"] = json!("white");
    let found = message_type.check(&event);
    assert_eq!(found[0].hint.as_deref(), Some("did you mean `colour`?"));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    let names = prop_oneof![
        Just("data"),
        Just("action"),
        Just("plate"),
        Just("items"),
        Just("hs"),
        Just("packages"),
        Just("totals"),
        Just("route"),
        Just("retention"),
        Just("transport"),
        Just("identification"),
        Just("containers"),
        Just("vin"),
    ];
    leaf.prop_recursive(5, 64, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::btree_map(names.clone().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn checking_never_panics(event in any_json()) {
        for message_type in Catalogue::embedded().types() {
            let _ = message_type.check(&event);
            let _ = message_type.lifecycle(&event);
        }
    }

    /// The same with one part of a sound event replaced, which reaches further into the rules.
    #[test]
    fn checking_a_damaged_event_never_panics(part in any_json(), pick in any::<proptest::sample::Index>()) {
        for message_type in Catalogue::embedded().types() {
            let mut event: Value = serde_json::from_str(message_type.example()).unwrap();
            let mut pointers = vec!["/time".to_owned(), "/subject".to_owned(), "/data".to_owned()];
            walk_pointers(&event["data"], "/data", &mut pointers);
            *event.pointer_mut(pick.get::<String>(&pointers)).unwrap() = part.clone();
            for violation in message_type.check(&event) {
                prop_assert!(violation.pointer.starts_with("/data"));
            }
            let _ = message_type.lifecycle(&event);
        }
    }
}

/// What a hostile partner can put into one message: the refusal stays small, and so does the work.
#[test]
fn a_message_that_breaks_everything_everywhere_is_refused_briefly() {
    let alert = Catalogue::embedded().find("alert.vehicle", 1).unwrap();
    let mut event: Value = serde_json::from_str(alert.example()).unwrap();
    for number in 0..50_000 {
        event["data"][format!("member{number}")] = json!(0);
    }
    event["data"]["caution"] = json!(vec!["unknown"; 50_000]);
    let found = alert.check(&event);
    assert_eq!(found.len(), crate::violation::REPORTED_MAX + 1);
    assert_eq!(found.last().unwrap().rule, "more");
    let cargo = Catalogue::embedded().find("manifest.cargo", 1).unwrap();
    let mut event: Value = serde_json::from_str(cargo.example()).unwrap();
    let item =
        json!({ "number": 1, "container": "X", "packages": vec![json!({ "type": "??", "count": -1 }); 99] });
    event["data"]["items"] = json!(vec![item; 400]);
    event["data"]["containers"] = json!(vec!["Y"; 50_000]);
    event["data"]["route"] = json!(vec!["e\u{301}"; 20_000]);
    let found = cargo.check(&event);
    assert!(found.len() <= crate::violation::REPORTED_MAX + 1);
}
