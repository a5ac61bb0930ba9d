//! The message types: schema, rules and examples, inside the binary and compiled once.
//!
//! Everything is judged from the event alone, against its own `time`: the same event gets the same
//! judgement on every machine and on every day.
//!
//! To add a type: `schemas/<type>/<version>/` with `schema.json`, `rules.json`, `accept/` and `reject/`; a
//! module here with its `judge`; a line in `SOURCES`, which says how urgent it is; its digest in `schemas/DIGESTS`. The tests do the rest.

mod alert_document;
mod alert_person;
mod alert_vehicle;
mod codes;
mod control_result;
mod crossing_status;
pub mod edition;
mod examples;
mod facts;
mod hint;
mod hit_notice;
mod incident_notice;
mod manifest_cargo;
mod manifest_passenger;
mod outline;
mod parts;
mod priority;
mod query;
mod relation;
mod risk_notice;
mod rules;
mod schema;
mod shape;
pub mod terms;
mod transit_movement;

use std::sync::OnceLock;

use serde_json::Value;

pub use examples::ExampleKind;
pub use outline::{Change, Field, Outline, changes};
pub use priority::Priority;
pub use relation::{Question, Reference, Side};
pub use rules::Rule;

pub use crate::lifecycle::{Action, Facts};
use crate::violation::REPORTED_MAX;
pub use crate::violation::{Severity, Violation};
use rules::{Findings, RuleBook};
use schema::Schema;

/// All message types.
pub struct Catalogue {
    types: Vec<MessageType>,
}

/// One version of a message type.
pub struct MessageType {
    name: &'static str,
    version: u32,
    schema: Schema,
    rules: RuleBook,
    judge: fn(&Value, &mut Findings<'_>),
    digest: [u8; 32],
    example: &'static str,
    schema_text: &'static str,
}

/// What a message does to its record, as its data say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LifecycleStep<'a> {
    /// `action`.
    pub action: Action,
    /// `recordId`.
    pub record: &'a str,
    /// `recordVersion`.
    pub version: u64,
    /// `supersedes`.
    pub supersedes: Option<Supersedes<'a>>,
}

/// The message that a version follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Supersedes<'a> {
    /// Its id.
    pub message_id: &'a str,
    /// Its digest.
    pub digest: &'a str,
}

/// The files of a type version.
struct Source {
    name: &'static str,
    version: u32,
    priority: Priority,
    schema: &'static str,
    rules: &'static str,
    judge: fn(&Value, &mut Findings<'_>),
    example: &'static str,
}

macro_rules! source {
    ($name:literal, $version:literal, $priority:ident, $judge:path, $example:literal) => {
        Source {
            name: $name,
            version: $version,
            priority: Priority::$priority,
            schema: include_str!(concat!("../../../../schemas/", $name, "/", $version, "/schema.json")),
            rules: include_str!(concat!("../../../../schemas/", $name, "/", $version, "/rules.json")),
            judge: $judge,
            example: include_str!(concat!(
                "../../../../schemas/",
                $name,
                "/",
                $version,
                "/accept/",
                $example
            )),
        }
    };
}

const SOURCES: &[Source] = &[
    source!("alert.document", 1, Urgent, alert_document::judge, "1-new.json"),
    source!("alert.person", 1, Urgent, alert_person::judge, "1-arrest.json"),
    source!("alert.vehicle", 1, Urgent, alert_vehicle::judge, "1-new.json"),
    source!("control.result", 1, Urgent, control_result::judge, "1-seized.json"),
    source!("crossing.status", 1, Bulk, crossing_status::judge, "1-restricted.json"),
    source!("crossing.status", 2, Bulk, crossing_status::judge_2, "1-restricted.json"),
    source!("hit.notice", 1, Urgent, hit_notice::judge, "1-seized.json"),
    source!("incident.notice", 1, Urgent, incident_notice::judge, "1-closure.json"),
    source!("manifest.cargo", 1, Bulk, manifest_cargo::judge, "1-road.json"),
    source!("manifest.cargo", 2, Bulk, manifest_cargo::judge_2, "1-road.json"),
    source!("manifest.passenger", 1, Bulk, manifest_passenger::judge, "1-coach.json"),
    source!("query.request", 1, Urgent, query::judge_request, "1-four-questions.json"),
    source!("query.response", 1, Urgent, query::judge_response, "1-partial.json"),
    source!("risk.notice", 1, Urgent, risk_notice::judge, "1-do-not-load.json"),
    source!("transit.movement", 1, Bulk, transit_movement::judge, "1-departed.json"),
];

impl Catalogue {
    /// The catalogue of this binary.
    pub fn embedded() -> &'static Catalogue {
        static CATALOGUE: OnceLock<Catalogue> = OnceLock::new();
        CATALOGUE.get_or_init(|| Catalogue { types: SOURCES.iter().map(MessageType::compile).collect() })
    }

    /// Every type version.
    pub fn types(&self) -> &[MessageType] {
        &self.types
    }

    /// The type version of that name and number.
    pub fn find(&self, name: &str, version: u32) -> Option<&MessageType> {
        self.types.iter().find(|t| t.name == name && t.version == version)
    }

    /// The newest version of a type.
    pub fn newest(&self, name: &str) -> Option<&MessageType> {
        self.types.iter().filter(|t| t.name == name).max_by_key(|t| t.version)
    }

    /// The name of a type that is at most two edits away.
    pub fn nearest_type(name: &str) -> Option<&'static str> {
        let names = SOURCES.iter().map(|source| source.name.to_owned()).collect();
        let near = shape::nearest(name, &names)?.to_owned();
        SOURCES.iter().map(|source| source.name).find(|name| *name == near)
    }

    /// The type version whose schema has that `$id`.
    pub fn by_schema_id(&self, dataschema: &str) -> Option<&MessageType> {
        self.types.iter().find(|t| t.schema_id() == dataschema)
    }
}

/// At most so many violations, the last one saying that there are more.
fn bounded(mut violations: Vec<Violation>) -> Vec<Violation> {
    if violations.len() > REPORTED_MAX {
        violations.truncate(REPORTED_MAX);
        violations.push(Violation {
            rule: "more".to_owned(),
            pointer: String::new(),
            severity: Severity::Error,
            text: format!("More than {REPORTED_MAX} violations; mend these first."),
            text_ar: Some(format!("أكثر من {REPORTED_MAX} مخالفة؛ صحّح هذه أولًا.")),
            hint: None,
        });
    }
    violations
}

impl MessageType {
    fn compile(source: &Source) -> Self {
        let mut files = vec![rules::COMMON, source.rules];
        files.extend(schema::uses_common_2(source.schema).then_some(rules::COMMON_2));
        Self {
            name: source.name,
            version: source.version,
            schema: Schema::compile(source.schema),
            rules: RuleBook::parse(&files),
            judge: source.judge,
            digest: schema::edition(source.schema, source.rules),
            example: source.example,
            schema_text: source.schema,
        }
    }

    /// E.g. `alert.vehicle`.
    pub fn name(&self) -> &str {
        self.name
    }

    /// E.g. 1.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The `$id` of its schema, which `dataschema` names.
    pub fn schema_id(&self) -> &str {
        self.schema.id()
    }

    /// What it is, in a few English words.
    pub fn title(&self) -> &str {
        self.schema.title()
    }

    /// What it is for, in a sentence or two.
    pub fn description(&self) -> &str {
        self.schema.description()
    }

    /// The schema, as it stands in `schemas/`.
    pub fn schema_text(&self) -> &'static str {
        self.schema_text
    }

    /// Its data laid flat: what each place may hold.
    pub fn outline(&self) -> Outline {
        schema::outline_of(self.schema_text)
    }

    /// The schema as one document that refers to nothing outside itself.
    pub fn standalone_schema(&self) -> Value {
        schema::compound(self.schema_text)
    }

    /// Its examples: name and event of those that pass; name, what is expected and event of those that do not.
    pub fn examples(&self, kind: ExampleKind) -> Vec<(&'static str, &'static str)> {
        examples::of(self.name, self.version, kind)
    }

    /// Whether its data know a member of that name at their top.
    pub fn has_member(&self, name: &str) -> bool {
        self.schema.members().contains(name)
    }

    /// How many members its data need at their top.
    pub fn required_count(&self) -> usize {
        self.schema.required_count()
    }

    /// The rules that the schema cannot state, by id.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.rules()
    }

    /// SHA-256 of its edition: schema, rules, shared definitions and code lists.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// The files of its edition: path under `schemas/` and bytes, in the order of its digest.
    pub fn edition_files(&self) -> Vec<(String, &'static [u8])> {
        let paths = edition::paths(self.name, self.version, schema::uses_common_2(self.schema_text));
        paths.into_iter().map(|path| (path.clone(), examples::file(&path))).collect()
    }

    /// The first of its examples, which passes as it is.
    pub fn example(&self) -> &'static str {
        self.example
    }

    /// Every violation of schema and rules, at once, by place. Rules look at what has the right shape, so
    /// that a wrong member does not hide the other faults.
    pub fn check(&self, event: &Value) -> Vec<Violation> {
        let data = event.get("data").unwrap_or(&Value::Null);
        let mut violations = self.schema.check(data);
        let mut findings = Findings::new(&self.rules);
        rules::common(event, &mut findings);
        (self.judge)(event, &mut findings);
        // Where the schema already speaks of a place, a rule has nothing to add.
        let found = findings.finish().into_iter();
        let found: Vec<_> = found.filter(|f| violations.iter().all(|v| v.pointer != f.pointer)).collect();
        violations.extend(found);
        violations.sort_by(|a, b| (&a.pointer, &a.rule).cmp(&(&b.pointer, &b.rule)));
        bounded(violations)
    }

    /// What later versions of the record, and messages about it, are judged by.
    pub fn facts(&self, event: &Value) -> Facts {
        facts::facts(self.name, event)
    }

    /// The violation of this type's rule about the order of a record's versions, if it has one.
    pub fn out_of_order(&self) -> Option<Violation> {
        let (rule, pointer) = facts::order_rule(self.name)?;
        let mut findings = Findings::new(&self.rules);
        findings.add(rule, pointer);
        findings.finish().pop()
    }

    /// The messages that this one rests on.
    pub fn references(&self, event: &Value) -> Vec<Reference> {
        relation::references(self.name, event)
    }

    /// What the event asks, if it is a question.
    pub fn question(&self, event: &Value) -> Option<Question> {
        relation::question(self.name, event)
    }

    /// What the event does to its record. None where its data do not say.
    pub fn lifecycle<'a>(&self, event: &'a Value) -> Option<LifecycleStep<'a>> {
        let data = event.get("data")?;
        let action = match data.get("action")?.as_str()? {
            "new" => Action::New,
            "update" => Action::Update,
            "cancel" => Action::Cancel,
            _ => return None,
        };
        let supersedes = data.get("supersedes").and_then(|named| {
            Some(Supersedes {
                message_id: named.get("messageId")?.as_str()?,
                digest: named.get("digest")?.as_str()?,
            })
        });
        Some(LifecycleStep {
            action,
            record: data.get("recordId")?.as_str()?,
            version: data.get("recordVersion")?.as_u64()?,
            supersedes,
        })
    }
}

#[cfg(test)]
mod mutations;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod work {
    mod tests;
}
