//! Every constraint of every schema, broken in every accepted example that reaches it: the violation
//! must name that keyword at that place, and no constraint may be left that no example reaches.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::shape::{Documents, place};
use super::tests::examples;
use super::*;

/// Keywords that constrain nothing themselves, or whose parts are walked on their own.
const SILENT: &[&str] =
    &["$schema", "$id", "$defs", "$comment", "title", "description", "then", "else", "if"];

/// An event with one constraint broken, and the violation it must give.
struct Mutation {
    keyword: String,
    pointer: String,
    event: Value,
}

struct Walk<'w> {
    documents: &'w Documents,
    event: &'w Value,
    mutations: Vec<Mutation>,
    /// Places and keywords tried.
    reached: BTreeSet<(String, String)>,
}

impl Walk<'_> {
    fn schema(&mut self, schema: &Value, base: &str, pointer: &str) {
        let Some(instance) = self.event.pointer(pointer) else { return };
        let instance = instance.clone();
        for (keyword, value) in schema.as_object().into_iter().flatten() {
            match (keyword.as_str(), value) {
                ("$ref", Value::String(reference)) => {
                    let (target, base) = self.documents.resolve(reference, base).expect("a known reference");
                    self.schema(target, base, pointer);
                }
                ("allOf", Value::Array(parts)) => {
                    parts.iter().for_each(|part| self.schema(part, base, pointer));
                }
                ("if", condition) => {
                    let branch = if jsonschema::is_valid(condition, &instance) { "then" } else { "else" };
                    self.schema(&schema[branch], base, pointer);
                }
                ("properties", Value::Object(properties)) => {
                    for (name, property) in properties {
                        let member = format!("{pointer}/{name}");
                        if *property == json!(false) {
                            self.replace("falseSchema", pointer, &member, with(&instance, name));
                        }
                        self.schema(property, base, &member);
                    }
                }
                ("items", items) => {
                    for index in 0..instance.as_array().map_or(0, Vec::len) {
                        self.schema(items, base, &format!("{pointer}/{index}"));
                    }
                }
                ("required", Value::Array(names)) => {
                    for name in names.iter().filter_map(Value::as_str) {
                        let lacking = without(&instance, &[name]);
                        self.replace("required", pointer, &format!("{pointer}/{name}"), lacking);
                    }
                }
                ("anyOf", Value::Array(parts)) => {
                    let names: Vec<&str> =
                        parts.iter().map(|part| part["required"][0].as_str().expect("a name")).collect();
                    self.replace("anyOf", pointer, pointer, without(&instance, &names));
                }
                ("unevaluatedProperties", Value::Bool(false)) => {
                    let stray = format!("{pointer}/stray");
                    self.replace("unevaluatedProperties", pointer, &stray, with(&instance, "stray"));
                }
                (keyword, limit) if !SILENT.contains(&keyword) => {
                    let broken = broken(keyword, limit, &instance);
                    self.replace(keyword, pointer, pointer, broken);
                }
                _ => {}
            }
        }
    }

    /// The value at `at` becomes `value`, which must break `keyword` at `expected`.
    fn replace(&mut self, keyword: &str, at: &str, expected: &str, value: Value) {
        let mut event = self.event.clone();
        *event.pointer_mut(at).expect("the walk's own pointer") = value;
        self.reached.insert((place(expected), keyword.to_owned()));
        self.mutations.push(Mutation { keyword: keyword.to_owned(), pointer: expected.to_owned(), event });
    }
}

fn with(instance: &Value, name: &str) -> Value {
    let mut instance = instance.clone();
    instance[name] = json!("stray");
    instance
}

fn without(instance: &Value, names: &[&str]) -> Value {
    let mut instance = instance.clone();
    names.iter().for_each(|name| drop(instance.as_object_mut().unwrap().remove(*name)));
    instance
}

/// A value that breaks one keyword.
fn broken(keyword: &str, limit: &Value, instance: &Value) -> Value {
    let size = limit.as_u64().unwrap_or_default() as usize;
    let items = instance.as_array().cloned().unwrap_or_default();
    let repeated = |count: usize| Value::Array(vec![items.first().cloned().unwrap_or_default(); count]);
    match keyword {
        "type" if limit == "boolean" => json!("no boolean"),
        "type" => json!(true),
        "enum" | "const" => json!("no such value"),
        "pattern" => json!("\u{202e}"),
        "format" if limit == "date" => json!("2026-02-30"),
        "format" if limit == "date-time" => json!("2026-02-30T00:00:00Z"),
        "minLength" => json!("M".repeat(size - 1)),
        "maxLength" => json!("M".repeat(size + 1)),
        "minimum" => json!(limit.as_i64().unwrap() - 1),
        "maximum" => json!(limit.as_i64().unwrap() + 1),
        "minItems" => repeated(size - 1),
        "maxItems" => repeated(size + 1),
        "uniqueItems" => repeated(2),
        other => panic!("no way is known to break `{other} : {limit}`"),
    }
}

/// Every place and keyword that the schema constrains.
pub(super) fn constraints(
    documents: &Documents,
    schema: &Value,
    base: &str,
    at: &str,
    found: &mut BTreeSet<(String, String)>,
) {
    if *schema == json!(false) {
        found.insert((at.to_owned(), "falseSchema".to_owned()));
    }
    for (keyword, value) in schema.as_object().into_iter().flatten() {
        match (keyword.as_str(), value) {
            ("$ref", Value::String(reference)) => {
                let (target, base) = documents.resolve(reference, base).expect("a known reference");
                constraints(documents, target, base, at, found);
            }
            ("allOf", Value::Array(parts)) => {
                parts.iter().for_each(|part| constraints(documents, part, base, at, found));
            }
            ("then" | "else", branch) => constraints(documents, branch, base, at, found),
            ("properties", Value::Object(properties)) => properties.iter().for_each(|(name, property)| {
                constraints(documents, property, base, &format!("{at}/{name}"), found);
            }),
            ("items", items) => constraints(documents, items, base, &format!("{at}/*"), found),
            ("required", Value::Array(names)) => names.iter().filter_map(Value::as_str).for_each(|name| {
                found.insert((format!("{at}/{name}"), keyword.clone()));
            }),
            ("unevaluatedProperties", _) => drop(found.insert((format!("{at}/stray"), keyword.clone()))),
            (name, _) if !SILENT.contains(&name) => drop(found.insert((at.to_owned(), keyword.clone()))),
            _ => {}
        }
    }
}

#[test]
fn every_constraint_is_broken_and_named() {
    let (mut wrong, mut tried) = (Vec::new(), 0);
    for (message_type, source) in Catalogue::embedded().types().iter().zip(SOURCES) {
        let documents = schema::documents(source.schema);
        let (root, base) = documents.resolve(message_type.schema_id(), "").unwrap();
        let mut reached = BTreeSet::new();
        for (name, event) in examples(message_type, "accept") {
            let mut walk = Walk {
                documents: &documents,
                event: &event,
                mutations: Vec::new(),
                reached: BTreeSet::new(),
            };
            walk.schema(root, base, "/data");
            reached.append(&mut walk.reached);
            tried += walk.mutations.len();
            for mutation in walk.mutations {
                let rule = format!("schema.{}", mutation.keyword);
                let found = message_type.check(&mutation.event);
                let named = found.iter().any(|violation| {
                    violation.rule == rule
                        && violation.pointer == mutation.pointer
                        && violation.severity == Severity::Error
                });
                if !named {
                    wrong.push(format!("{} {name}: {rule} at {}", message_type.name(), mutation.pointer));
                }
            }
        }
        let mut demanded = BTreeSet::new();
        constraints(&documents, root, base, "/data", &mut demanded);
        let missed: Vec<_> = demanded.difference(&reached).collect();
        wrong.extend(missed.iter().map(|missed| format!("{}: not reached {missed:?}", message_type.name())));
        assert!(demanded.len() > 50, "{}: {}", message_type.name(), demanded.len());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{tried} constraints broken, each named at its place");
}
