//! JSON Schema 2020-12, offline, in linear time; errors in our words and without values.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{Draft, PatternOptions, ValidationError, Validator};
use serde_json::Value;

use super::hint;
use super::outline::{self, Outline};
use super::shape::{Documents, Shape, nearest, place};
use super::{Severity, Violation};
use crate::digest::Digest;
use crate::values::transliteration::{ARABIC, LATIN};
use crate::violation::REPORTED_MAX;

/// Definitions shared by all types, and the code lists that schemas refer to.
pub(super) const SHARED: [&str; 4] = [
    include_str!("../../../../schemas/common/1/schema.json"),
    include_str!("../../../../schemas/codes/iso3166-1.json"),
    include_str!("../../../../schemas/codes/iso4217.json"),
    include_str!("../../../../schemas/codes/rec21.json"),
];

/// Definitions that a type has only where it refers to them.
const COMMON_2: &str = include_str!("../../../../schemas/common/2/schema.json");

/// Whether a type refers to the definitions of `common/2`.
pub(super) fn uses_common_2(schema: &str) -> bool {
    schema.contains("/schemas/common/2/")
}

/// Every shared document that a type's schema rests on.
pub(super) fn shared<'s>(schema: &str) -> impl Iterator<Item = &'s str> + use<'s> {
    SHARED.into_iter().chain(uses_common_2(schema).then_some(COMMON_2))
}

/// A compiled schema.
pub(super) struct Schema {
    id: String,
    title: String,
    description: String,
    /// Compiled where a message is to be judged: who only asks what a type is need not wait for it.
    validator: OnceLock<Validator>,
    shape: Shape,
    required: usize,
    text: &'static str,
    /// Laid flat only where a violation is to be described.
    outline: OnceLock<Outline>,
}

impl Schema {
    /// Reads an embedded schema. It is part of the binary: a fault in it is found by every test
    /// and never by a message.
    #[allow(clippy::expect_used)]
    pub(super) fn compile(text: &'static str) -> Self {
        let (id, schema) = document(text);
        let title = schema["title"].as_str().expect("embedded schema has a title").to_owned();
        let description = schema["description"].as_str().unwrap_or_default().to_owned();
        let documents = documents(text);
        let shape = Shape::of(&documents, &schema, &id);
        let required = schema.pointer("/$defs/body/required").and_then(Value::as_array).map_or(0, Vec::len);
        let (validator, outline) = (OnceLock::new(), OnceLock::new());
        Self { id, title, description, validator, shape, required, text, outline }
    }

    #[allow(clippy::expect_used)] // part of the binary, as above
    fn validator(&self) -> &Validator {
        self.validator.get_or_init(|| compiled(&compound(self.text)).expect("embedded schema compiles"))
    }

    /// `$id`.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// `title`.
    pub(super) fn title(&self) -> &str {
        &self.title
    }

    /// What the value at a place is, in words.
    fn description_of(&self, pointer: &str) -> Option<&str> {
        let outline = self.outline.get_or_init(|| outline_of(self.text));
        outline.get(&place(pointer))?.description.as_deref()
    }

    /// The members at the top.
    pub(super) fn members(&self) -> &BTreeSet<String> {
        self.shape.members("", false)
    }

    /// How many members the body needs.
    pub(super) fn required_count(&self) -> usize {
        self.required
    }

    /// `description`.
    pub(super) fn description(&self) -> &str {
        &self.description
    }

    /// Every violation of `data`.
    pub(super) fn check(&self, data: &Value) -> Vec<Violation> {
        if self.validator().is_valid(data) {
            return Vec::new();
        }
        let is_cancel = data.get("action").and_then(Value::as_str) == Some("cancel");
        let mut violations: Vec<Violation> = Vec::new();
        for error in self.validator().iter_errors(data) {
            for violation in self.describe(&error, is_cancel) {
                if !violations.contains(&violation) {
                    violations.push(violation);
                }
            }
            if violations.len() > REPORTED_MAX {
                break;
            }
        }
        if violations.is_empty() {
            // Nothing was said, yet the schema refuses: never take the message for that.
            violations.push(violation("invalid", String::new(), "Breaks the schema.".to_owned(), None));
        }
        violations
    }

    fn describe(&self, error: &ValidationError<'_>, is_cancel: bool) -> Vec<Violation> {
        let place = error.instance_path().as_str().to_owned();
        match error.kind() {
            ValidationErrorKind::UnevaluatedProperties { unexpected } => {
                // Where a branch of the schema fails for its own reason, its members are reported as
                // unevaluated too. Those that belong here are left out.
                let known = self.shape.members(&place, is_cancel);
                let stray = unexpected.iter().filter(|name| !known.contains(*name));
                stray
                    .take(REPORTED_MAX + 1)
                    .map(|name| {
                        let hint = nearest(name, known).map(|near| format!("did you mean `{near}`?"));
                        let text = "The type has no such member here.".to_owned();
                        violation("unevaluatedProperties", format!("{place}/{}", escape(name)), text, hint)
                    })
                    .collect()
            }
            ValidationErrorKind::Required { property } => {
                let name = property.as_str().unwrap_or_default();
                let text = format!("`{name}` is missing.");
                vec![violation("required", format!("{place}/{}", escape(name)), text, None)]
            }
            ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
                vec![violation(error.kind().keyword(), place, alternatives(context), None)]
            }
            kind => {
                let hint = hint::of(kind, error.instance());
                let text = match (kind, self.description_of(&place)) {
                    (ValidationErrorKind::Pattern { .. }, Some(description)) => {
                        format!("Must be as described: {description}")
                    }
                    _ => sentence(kind),
                };
                vec![violation(kind.keyword(), place, text, hint)]
            }
        }
    }
}

/// Fetches nothing, and matches patterns in time that is linear in the text.
pub(super) fn compiled(schema: &Value) -> Result<Validator, ValidationError<'static>> {
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .offline()
        .should_validate_formats(true)
        .should_ignore_unknown_formats(false)
        .with_pattern_options(PatternOptions::regex().size_limit(1 << 20).dfa_size_limit(1 << 20))
        .build(schema)
}

/// An embedded schema document and its `$id`.
#[allow(clippy::expect_used)] // part of the binary; every test reads them
fn document(text: &str) -> (String, Value) {
    let schema: Value = serde_json::from_str(text).expect("embedded schema is JSON");
    (schema["$id"].as_str().expect("embedded schema has an $id").to_owned(), schema)
}

/// A compound document (JSON Schema Core 2020-12 §9.3.1): shared documents keep their own `$id`.
pub(super) fn compound(text: &str) -> Value {
    let (_, mut compound) = document(text);
    for (id, schema) in shared(text).map(document) {
        compound["$defs"][id] = schema;
    }
    compound
}

/// A type's schema laid flat.
pub(super) fn outline_of(text: &str) -> Outline {
    let (id, schema) = document(text);
    outline::outline(&documents(text), &schema, &id)
}

/// A type's schema and the shared documents.
pub(super) fn documents(text: &str) -> Documents {
    Documents::new(shared(text).chain([text]).map(document))
}

/// What is expected, without the value that was found.
fn sentence(kind: &ValidationErrorKind) -> String {
    match kind {
        ValidationErrorKind::Type { kind: TypeKind::Single(expected) } => {
            format!("Must be of type {expected}.")
        }
        ValidationErrorKind::Enum { options } => {
            let options = options.as_array().cloned().unwrap_or_default();
            if options.len() > 24 {
                return format!("Must be one of the {} codes of the list.", options.len());
            }
            let list = options.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            format!("Must be one of {list}.")
        }
        ValidationErrorKind::Constant { expected_value } => format!("Must be {expected_value}."),
        ValidationErrorKind::Pattern { pattern } => format!("Must match {pattern}"),
        ValidationErrorKind::Format { format } => format!("Must be a valid {format}."),
        ValidationErrorKind::MinLength { limit } => format!("Must have at least {limit} characters."),
        ValidationErrorKind::MaxLength { limit } => format!("Must have at most {limit} characters."),
        ValidationErrorKind::MinItems { limit } => format!("Must have at least {limit} items."),
        ValidationErrorKind::MaxItems { limit } => format!("Must have at most {limit} items."),
        ValidationErrorKind::Minimum { limit } => format!("Must be at least {limit}."),
        ValidationErrorKind::Maximum { limit } => format!("Must be at most {limit}."),
        ValidationErrorKind::UniqueItems => "Must not hold the same item twice.".to_owned(),
        ValidationErrorKind::FalseSchema => "Must not be here.".to_owned(),
        other => format!("Breaks the schema's `{}`.", other.keyword()),
    }
}

/// The members of which one is needed.
fn alternatives(context: &[Vec<ValidationError<'static>>]) -> String {
    let names: Vec<String> = context
        .iter()
        .flatten()
        .filter_map(|error| match error.kind() {
            ValidationErrorKind::Required { property } => property.as_str().map(|name| format!("`{name}`")),
            _ => None,
        })
        .collect();
    if names.is_empty() {
        "Fits none of the forms allowed.".to_owned()
    } else {
        format!("Needs one of {}.", names.join(", "))
    }
}

fn violation(keyword: &str, place: String, text: String, hint: Option<String>) -> Violation {
    Violation {
        rule: format!("schema.{keyword}"),
        pointer: format!("/data{place}"),
        severity: Severity::Error,
        text,
        text_ar: None,
        hint,
    }
}

fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// The digest of an edition: SHA-256 over the SHA-256 of the schema, the rules, the common rules,
/// the shared definitions and every code list, in this order; where the type uses `common/2`, then that, its
/// rules, the register of crossings and the transliteration tables.
pub(super) fn edition(schema: &str, rules: &str) -> [u8; 32] {
    let further = [COMMON_2, super::rules::COMMON_2, super::codes::CROSSINGS, ARABIC, LATIN];
    let digest = |part: &str| Digest::of(part.as_bytes()).0;
    // The lists are long and the same for all types: hashed once.
    static ALL: OnceLock<Vec<u8>> = OnceLock::new();
    static FURTHER: OnceLock<Vec<u8>> = OnceLock::new();
    let all = ALL.get_or_init(|| {
        [super::rules::COMMON].into_iter().chain(SHARED).chain(super::codes::LISTS).flat_map(digest).collect()
    });
    let mut digests = [digest(schema), digest(rules)].concat();
    digests.extend_from_slice(all);
    if uses_common_2(schema) {
        digests.extend_from_slice(FURTHER.get_or_init(|| further.into_iter().flat_map(digest).collect()));
    }
    Digest::of(&digests).0
}
