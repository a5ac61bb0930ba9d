//! A schema laid flat: what each place may hold. For pages that describe a type, and to compare two versions.

use std::collections::BTreeMap;

use serde_json::Value;

use super::shape::Documents;

/// What a place may hold. A place is a JSON Pointer from `data`, with `*` for any index.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Field {
    /// Whether the body must have it (in its parent).
    pub required: bool,
    /// What it is, in words.
    pub description: Option<String>,
    /// The title of the code list or definition that it refers to.
    pub title: Option<String>,
    /// Its constraints by keyword, e.g. `type`, `enum`, `pattern`, `maximum`; of a conditional rule those of
    /// every branch.
    pub keywords: BTreeMap<String, Value>,
}

/// Every place of a type's data, in order.
pub type Outline = BTreeMap<String, Field>;

/// Keywords that constrain a value themselves.
const CONSTRAINTS: [&str; 13] = [
    "type",
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
    "uniqueItems",
    "anyOf",
];

/// Lays a schema flat.
pub(super) fn outline(documents: &Documents, schema: &Value, id: &str) -> Outline {
    let mut outline = Outline::new();
    // The lifecycle's own conditions hold for every type and are described once; the body counts.
    walk(documents, schema, id, "", true, &mut outline);
    outline.remove("");
    outline
}

fn walk(
    documents: &Documents,
    schema: &Value,
    base: &str,
    place: &str,
    certain: bool,
    outline: &mut Outline,
) {
    let Some(members) = schema.as_object() else { return };
    let field = outline.entry(place.to_owned()).or_default();
    let word = |name: &str| members.get(name).and_then(Value::as_str).map(str::to_owned);
    field.description = field.description.take().or_else(|| word("description"));
    field.title = field.title.take().or_else(|| word("title"));
    for name in CONSTRAINTS {
        if let Some(value) = members.get(name) {
            field.keywords.entry(name.to_owned()).or_insert_with(|| value.clone());
        }
    }
    let required = members.get("required").and_then(Value::as_array);
    for name in required.into_iter().flatten().filter_map(Value::as_str).filter(|_| certain) {
        outline.entry(format!("{place}/{name}")).or_default().required = true;
    }
    for (keyword, value) in members {
        match (keyword.as_str(), value) {
            ("properties", Value::Object(properties)) => {
                for (name, property) in properties {
                    walk(documents, property, base, &format!("{place}/{name}"), true, outline);
                }
            }
            ("items", items) => walk(documents, items, base, &format!("{place}/*"), true, outline),
            ("allOf", Value::Array(parts)) => {
                parts.iter().for_each(|part| walk(documents, part, base, place, certain, outline));
            }
            // At the top `else` is the body, which every version but a cancel has. Deeper conditions hold
            // in some cases only: their members exist, and are not certain.
            ("else", branch) => {
                walk(documents, branch, base, place, place.is_empty() && certain && is_body(branch), outline)
            }
            ("then", branch) => walk(documents, branch, base, place, false, outline),
            ("$ref", Value::String(reference)) => {
                if let Some((target, base)) = documents.resolve(reference, base) {
                    walk(documents, target, base, place, certain, outline);
                }
            }
            _ => {}
        }
    }
}

fn is_body(branch: &Value) -> bool {
    branch.get("$ref").and_then(Value::as_str) == Some("#/$defs/body")
}

/// A difference between two outlines.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Change {
    /// Where.
    pub pointer: String,
    /// What, in words.
    pub what: String,
    /// Whether data that conformed before may no longer.
    pub breaking: bool,
}

/// What differs in `after`, by place.
pub fn changes(before: &Outline, after: &Outline) -> Vec<Change> {
    let mut found = Vec::new();
    let mut add = |pointer: &str, breaking: bool, what: String| {
        found.push(Change { pointer: pointer.to_owned(), what, breaking });
    };
    let within = |place: &str, outline: &Outline| {
        place.rsplit_once('/').is_none_or(|(parent, _)| parent.is_empty() || outline.contains_key(parent))
    };
    for place in before.keys().filter(|place| !after.contains_key(*place) && within(place, after)) {
        add(place, true, "the member is gone".to_owned());
    }
    for (place, field) in after {
        let Some(old) = before.get(place) else {
            if within(place, before) {
                let need = if field.required { "a new member, required" } else { "a new member" };
                add(place, field.required, need.to_owned());
            }
            continue;
        };
        match (old.required, field.required) {
            (false, true) => add(place, true, "is required now".to_owned()),
            (true, false) => add(place, false, "is optional now".to_owned()),
            _ => {}
        }
        for name in CONSTRAINTS {
            let (was, is) = (old.keywords.get(name), field.keywords.get(name));
            if was != is {
                let (breaking, what) = constraint(name, was, is);
                add(place, breaking, what);
            }
        }
    }
    found.sort_by(|a, b| a.pointer.cmp(&b.pointer));
    found
}

fn constraint(name: &str, was: Option<&Value>, is: Option<&Value>) -> (bool, String) {
    let Some(is) = is else { return (false, format!("`{name}` is gone")) };
    let Some(was) = was else { return (true, format!("`{name}` is new: {is}")) };
    if let ("enum", Some(was), Some(is)) = (name, was.as_array(), is.as_array()) {
        let missing = |from: &[Value], of: &[Value]| {
            of.iter()
                .filter(|code| !from.contains(code))
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", ")
        };
        let (gone, new) = (missing(is, was), missing(was, is));
        let what = match (gone.is_empty(), new.is_empty()) {
            (false, true) => format!("codes are gone: {gone}"),
            (true, _) => format!("codes are new: {new}"),
            (false, false) => format!("codes are gone: {gone}; codes are new: {new}"),
        };
        return (!gone.is_empty(), what);
    }
    let what = format!("`{name}` was {was} and is {is}");
    let breaking = match (name, was.as_f64(), is.as_f64()) {
        ("minLength" | "minimum" | "minItems", Some(was), Some(is)) => is > was,
        ("maxLength" | "maximum" | "maxItems", Some(was), Some(is)) => is < was,
        // Of other forms nobody can tell which holds more: the careful answer.
        _ => true,
    };
    (breaking, what)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn field(required: bool, keywords: Value) -> Field {
        let keywords = keywords.as_object().unwrap().clone().into_iter().collect();
        Field { required, keywords, ..Field::default() }
    }

    fn outline(fields: &[(&str, Field)]) -> Outline {
        fields.iter().map(|(place, field)| ((*place).to_owned(), field.clone())).collect()
    }

    #[test]
    fn every_kind_of_change_is_told() {
        let before = outline(&[
            ("/a", field(false, json!({"enum": ["x", "y"], "maxLength": 5}))),
            ("/gone", field(false, json!({}))),
            ("/gone/inside", field(false, json!({}))),
        ]);
        let after = outline(&[
            ("/a", field(true, json!({"enum": ["x", "z"], "maxLength": 6, "pattern": "^x$"}))),
            ("/new", field(true, json!({}))),
            ("/wish", field(false, json!({}))),
        ]);
        let told: Vec<(String, bool)> = changes(&before, &after)
            .into_iter()
            .map(|c| (format!("{} {}", c.pointer, c.what), c.breaking))
            .collect();
        let wanted = [
            ("/a is required now", true),
            ("/a codes are gone: \"y\"; codes are new: \"z\"", true),
            ("/a `pattern` is new: \"^x$\"", true),
            ("/a `maxLength` was 5 and is 6", false),
            ("/gone the member is gone", true),
            ("/new a new member, required", true),
            ("/wish a new member", false),
        ];
        assert_eq!(told, wanted.map(|(what, breaking)| (what.to_owned(), breaking)));
        assert_eq!(changes(&before, &before), []);
    }
}
