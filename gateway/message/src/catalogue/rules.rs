//! What a schema cannot state: rule texts from `rules.json`, and the rules of every type.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use unicode_normalization::is_nfc;

use super::{Severity, Violation};
use crate::instant::Instant;
use crate::values::text::is_invisible;
use crate::violation::REPORTED_MAX;

/// The rules that hold for every type.
pub(super) const COMMON: &str = include_str!("../../../../schemas/common/1/rules.json");

/// The rules of the definitions in `common/2`, for the types that use them.
pub(super) const COMMON_2: &str = include_str!("../../../../schemas/common/2/rules.json");

/// A rule that a schema cannot state.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its stable id.
    pub id: String,
    /// Whether it refuses.
    pub severity: Severity,
    /// What it asks for, in English.
    pub en: String,
    /// The same in Arabic.
    pub ar: String,
}

/// The rules of a type, by id.
pub(super) struct RuleBook(BTreeMap<String, Rule>);

impl RuleBook {
    /// Reads embedded `rules.json` files.
    #[allow(clippy::expect_used)] // part of the binary; every test reads them
    pub(super) fn parse(files: &[&str]) -> Self {
        let rules = files
            .iter()
            .flat_map(|file| serde_json::from_str::<Vec<Rule>>(file).expect("embedded rules are JSON"));
        Self(rules.map(|rule| (rule.id.clone(), rule)).collect())
    }

    /// Every rule, by id.
    pub(super) fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.0.values()
    }

    /// Every id.
    #[cfg(test)]
    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// What the rules find in one event.
pub(super) struct Findings<'b> {
    book: &'b RuleBook,
    found: Vec<Violation>,
}

impl<'b> Findings<'b> {
    pub(super) fn new(book: &'b RuleBook) -> Self {
        Self { book, found: Vec::new() }
    }

    /// The rule `id` is broken at `pointer`.
    pub(super) fn add(&mut self, id: &str, pointer: impl Into<String>) {
        self.add_with_hint(id, pointer, None);
    }

    /// The same, with a way to mend it.
    pub(super) fn add_with_hint(&mut self, id: &str, pointer: impl Into<String>, hint: Option<String>) {
        if self.found.len() > REPORTED_MAX {
            return;
        }
        let rule = self.book.0.get(id);
        // A test holds that every id in the code has its text.
        debug_assert!(rule.is_some(), "rule {id} has no text");
        self.found.push(Violation {
            rule: id.to_owned(),
            pointer: pointer.into(),
            severity: rule.map_or(Severity::Error, |rule| rule.severity),
            text: rule.map_or_else(String::new, |rule| rule.en.clone()),
            text_ar: rule.map(|rule| rule.ar.clone()),
            hint,
        });
    }

    /// The same, where `broken`.
    pub(super) fn add_if(&mut self, broken: bool, id: &str, pointer: impl Display) {
        if broken {
            self.add(id, pointer.to_string());
        }
    }

    pub(super) fn finish(self) -> Vec<Violation> {
        self.found
    }
}

/// The rules of every type.
pub(super) fn common(event: &Value, findings: &mut Findings<'_>) {
    let data = event.get("data").unwrap_or(&Value::Null);
    if let (Some(subject), Some(record)) = (text(event, "subject"), text(data, "recordId")) {
        findings.add_if(subject != record, "common.subject", "/data/recordId");
    }
    if let Some(retention) = data.get("retention") {
        let issued = text(event, "time").and_then(|time| time.get(..10));
        if let (Some(issued), Some(delete)) = (issued, text(retention, "deleteBy")) {
            // Dates in ISO 8601 compare as text.
            findings.add_if(delete <= issued, "common.retention_delete", "/data/retention/deleteBy");
        }
        if let (Some(review), Some(delete)) = (text(retention, "reviewBy"), text(retention, "deleteBy")) {
            findings.add_if(review > delete, "common.retention_review", "/data/retention/reviewBy");
        }
    }
    texts(data, &Path { parent: None, step: Step::Member("data") }, findings);
}

/// The way to a value, written out only where something is found there.
struct Path<'p> {
    parent: Option<&'p Path<'p>>,
    step: Step<'p>,
}

enum Step<'p> {
    Member(&'p str),
    Index(usize),
}

impl Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.step {
            Step::Member(name) => write!(f, "/{}", name.replace('~', "~0").replace('/', "~1")),
            Step::Index(index) => write!(f, "/{index}"),
        }
    }
}

/// Every text in NFC and visible: two spellings of one name must not look like two names, nor two names
/// like one.
fn texts(value: &Value, path: &Path<'_>, findings: &mut Findings<'_>) {
    match value {
        Value::String(text) if !text.is_ascii() => {
            findings.add_if(!is_nfc(text), "common.text_nfc", path);
            findings.add_if(text.chars().any(is_invisible), "common.text_characters", path);
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                texts(item, &Path { parent: Some(path), step: Step::Index(index) }, findings);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                texts(member, &Path { parent: Some(path), step: Step::Member(name) }, findings);
            }
        }
        _ => {}
    }
}

/// East of UTC the day begins earlier, by up to fourteen hours (UTC+14:00).
const EASTERNMOST_MS: i64 = 14 * 3_600_000;

/// Whether a date lies after the day on which the event was issued, wherever that was.
pub(super) fn is_after_issue(date: &str, event: &Value) -> bool {
    let issued = text(event, "time").and_then(Instant::parse);
    // Dates in ISO 8601 compare as text.
    issued.is_some_and(|issued| {
        issued.plus_ms(EASTERNMOST_MS).to_string().get(..10).is_some_and(|day| date > day)
    })
}

/// A text member.
pub(super) fn text<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    value.get(name)?.as_str()
}

/// A member that is an instant.
pub(super) fn instant(value: &Value, name: &str) -> Option<Instant> {
    text(value, name).and_then(Instant::parse)
}

/// Items of a list that rules look at, at most: more than any schema allows, so that work on a list
/// that the schema refuses for its length stays bounded.
const LIST_MAX: usize = 1000;

/// A list member; absent or of another type: empty.
pub(super) fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    let items = value.get(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    items.get(..LIST_MAX).unwrap_or(items)
}
