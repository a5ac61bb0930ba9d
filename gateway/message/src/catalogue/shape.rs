//! Which members a schema knows, and where: to tell a stray member from one that only failed, and to
//! guess what a misspelt one was meant to be.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Embedded schema documents by `$id`.
pub(super) struct Documents(BTreeMap<String, Value>);

impl Documents {
    pub(super) fn new(documents: impl IntoIterator<Item = (String, Value)>) -> Self {
        Self(documents.into_iter().collect())
    }

    /// What a `$ref` in the document `base` names, and the `$id` of the document that holds it.
    pub(super) fn resolve<'s>(&'s self, reference: &'s str, base: &'s str) -> Option<(&'s Value, &'s str)> {
        let (id, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let id = if id.is_empty() { base } else { id };
        Some((self.0.get(id)?.pointer(fragment)?, id))
    }
}

/// The member names of every place. A place is a JSON Pointer from `data` with `*` for any index.
pub(super) struct Shape {
    members: BTreeMap<String, BTreeSet<String>>,
    /// The members at the top of a cancel, which has no body.
    cancel: BTreeSet<String>,
}

impl Shape {
    pub(super) fn of(documents: &Documents, schema: &Value, id: &str) -> Self {
        let mut members = BTreeMap::new();
        collect(documents, schema, id, "", &mut members);
        let mut bodiless = schema.clone();
        if let Some(keywords) = bodiless.as_object_mut() {
            keywords.remove("else");
        }
        let mut lifecycle = BTreeMap::new();
        collect(documents, &bodiless, id, "", &mut lifecycle);
        Self { members, cancel: lifecycle.remove("").unwrap_or_default() }
    }

    /// The members known at `pointer`.
    pub(super) fn members(&self, pointer: &str, is_cancel: bool) -> &BTreeSet<String> {
        const NONE: &BTreeSet<String> = &BTreeSet::new();
        if is_cancel && pointer.is_empty() {
            return &self.cancel;
        }
        self.members.get(&place(pointer)).unwrap_or(NONE)
    }
}

/// The place of a JSON Pointer. No schema has a member of digits alone.
pub(super) fn place(pointer: &str) -> String {
    let index = |step: &str| !step.is_empty() && step.bytes().all(|b| b.is_ascii_digit());
    pointer.split('/').map(|step| if index(step) { "*" } else { step }).collect::<Vec<_>>().join("/")
}

fn collect(
    documents: &Documents,
    schema: &Value,
    base: &str,
    place: &str,
    members: &mut BTreeMap<String, BTreeSet<String>>,
) {
    for (keyword, value) in schema.as_object().into_iter().flatten() {
        match (keyword.as_str(), value) {
            ("properties", Value::Object(properties)) => {
                for (name, property) in properties {
                    members.entry(place.to_owned()).or_default().insert(name.clone());
                    collect(documents, property, base, &format!("{place}/{name}"), members);
                }
            }
            ("items", items) => collect(documents, items, base, &format!("{place}/*"), members),
            ("allOf" | "anyOf", Value::Array(branches)) => {
                branches.iter().for_each(|branch| collect(documents, branch, base, place, members));
            }
            ("then" | "else", branch) => collect(documents, branch, base, place, members),
            ("$ref", Value::String(reference)) => {
                if let Some((target, base)) = documents.resolve(reference, base) {
                    collect(documents, target, base, place, members);
                }
            }
            _ => {}
        }
    }
}

/// The known name that is at most two edits away.
pub(super) fn nearest<'n>(name: &str, known: &'n BTreeSet<String>) -> Option<&'n str> {
    if name.len() > 64 {
        return None;
    }
    let scored = known.iter().map(|other| (distance(name, other), other.as_str()));
    scored.filter(|(edits, _)| *edits <= 2).min().map(|(_, other)| other)
}

/// Levenshtein distance, case folded.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.to_ascii_lowercase(), b.to_ascii_lowercase());
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut previous = i;
        let mut left = i + 1;
        for (place, cb) in row.iter_mut().skip(1).zip(&b) {
            let change = previous + usize::from(ca != *cb);
            previous = *place;
            left = change.min(left + 1).min(*place + 1);
            *place = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_neighbours() {
        assert_eq!(place("/items/10/hs"), "/items/*/hs");
        assert_eq!(place(""), "");
        let known = ["colour", "model"].map(str::to_owned).into();
        assert_eq!(nearest("Color", &known), Some("colour"));
        assert_eq!(nearest("weight", &known), None);
        assert_eq!((distance("", "ab"), distance("kitten", "sitting")), (2, 3));
    }
}
