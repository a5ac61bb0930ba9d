//! One document judged: what it is, every violation, and where each stands in the text.

use jsonc_parser::ast::Value as Node;
use jsonc_parser::common::Ranged as _;
use serde_json::{Value, json};
use silkgate_message::catalogue::{Catalogue, MessageType, Severity, Violation};
use silkgate_message::event;
use silkgate_message::json;
use silkgate_message::jws::Jws;

/// One message to judge.
pub struct Document {
    /// The file's name, `-` for standard input.
    pub file: String,
    /// Lines of the file before it.
    pub lines_before: usize,
    /// Whether the file holds a message in each line.
    pub is_line: bool,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A document and what is wrong with it.
pub struct Judged {
    /// The file's name.
    pub file: String,
    /// Its first line in that file, from 1, where each line is a document.
    pub line: Option<usize>,
    /// Its type, where it has one.
    pub kind: Option<&'static MessageType>,
    /// Everything found, in the order of the text.
    pub findings: Vec<Finding>,
}

/// One violation and its place.
pub struct Finding {
    /// What.
    pub violation: Violation,
    /// Where; None where the text could not be read as JSON at all.
    pub place: Option<Place>,
}

/// A place in a text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Characters that the value takes up on that line.
    pub width: usize,
    /// The line itself.
    pub text: String,
    /// Whether the text is the decoded payload of a signed message.
    pub in_payload: bool,
}

impl Judged {
    /// Whether it conforms.
    pub fn is_valid(&self) -> bool {
        self.findings.iter().all(|finding| finding.violation.severity != Severity::Error)
    }
}

/// What the document turned out to be.
enum Form {
    /// An event, whole or as it is submitted.
    Event(Value),
    /// The data of an event alone.
    Data(Value),
    /// An event inside a signed message, and its text.
    Signed(Value, Vec<u8>),
}

/// Judges a document; `kind` is the type of data that do not say it.
pub fn judge(document: Document, kind: Option<&'static MessageType>) -> Judged {
    let mut judged = Judged {
        line: document.is_line.then_some(document.lines_before + 1),
        file: document.file,
        kind: None,
        findings: Vec::new(),
    };
    let form = match read(&document.bytes) {
        Ok(form) => form,
        Err((violation, at)) => {
            let place = at.map(|(line, column)| place_at(&document.bytes, line, column));
            judged.findings.push(Finding { violation, place });
            return shifted(judged, document.lines_before);
        }
    };
    let (violations, prefix) = match &form {
        Form::Event(event) | Form::Signed(event, _) => {
            judged.kind = of_event(event);
            (judge_event(event, judged.kind, kind), "")
        }
        Form::Data(data) => {
            judged.kind = kind.or_else(|| of_data(data));
            (judge_data(data, judged.kind), "/data")
        }
    };
    if !violations.is_empty() {
        let (bytes, in_payload) = match &form {
            Form::Signed(_, payload) => (&payload[..], true),
            _ => (&document.bytes[..], false),
        };
        let source = std::str::from_utf8(bytes).unwrap_or_default();
        let parsed = jsonc_parser::parse_to_ast(source, &Default::default(), &Default::default()).ok();
        let root = parsed.and_then(|parsed| parsed.value);
        judged.findings = violations
            .into_iter()
            .map(|mut violation| {
                if let Some(rest) = violation.pointer.strip_prefix(prefix) {
                    violation.pointer = rest.to_owned();
                }
                let place = root.as_ref().map(|root| locate(source, root, &violation));
                Finding { place: place.map(|place| Place { in_payload, ..place }), violation }
            })
            .collect();
        judged.findings.sort_by(|a, b| (&a.place, &a.violation.rule).cmp(&(&b.place, &b.violation.rule)));
    }
    let before = if matches!(form, Form::Signed(..)) { 0 } else { document.lines_before };
    shifted(judged, before)
}

/// Lines of the file, not of the document.
fn shifted(mut judged: Judged, lines: usize) -> Judged {
    for place in judged.findings.iter_mut().filter_map(|finding| finding.place.as_mut()) {
        place.line += lines;
    }
    judged
}

type At = Option<(usize, usize)>;

fn read(bytes: &[u8]) -> Result<Form, (Violation, At)> {
    let value = json::parse(bytes).map_err(|error| {
        let mut violation = plain(error.fault.code(), &error.pointer, error.fault.to_string());
        if bytes.starts_with("\u{feff}".as_bytes()) {
            violation.hint =
                Some("the file begins with a byte order mark; save it as UTF-8 without one".to_owned());
        }
        (violation, Some((error.line, error.column)))
    })?;
    let has = |name: &str| value.get(name).is_some();
    if has("payload") && has("protected") {
        let jws = Jws::parse(bytes).map_err(|problem| {
            let text = format!("{}. {}", problem.title, problem.detail).trim().to_owned();
            let pointer = problem.violations.first().map_or("", |violation| &violation.pointer);
            (plain(problem.code.as_str(), pointer, text), Some((1, 1)))
        })?;
        return Ok(Form::Signed(jws.event, jws.payload));
    }
    if has("data") || has("type") || has("specversion") {
        return Ok(Form::Event(value));
    }
    Ok(Form::Data(value))
}

fn judge_event(
    event: &Value,
    message_type: Option<&MessageType>,
    asked: Option<&MessageType>,
) -> Vec<Violation> {
    // Without `specversion` it is a submission, whose envelope the gateway has still to complete.
    let whole = event.get("specversion").is_some();
    let mut violations = match event::read(event) {
        Err((violations, _)) if whole => violations,
        _ => Vec::new(),
    };
    match message_type {
        Some(message_type) => violations.extend(message_type.check(event)),
        None => violations.push(unknown_type(event)),
    }
    if let (Some(found), Some(asked)) = (message_type, asked)
        && found.name() != asked.name()
    {
        let text = format!("Is of another type than asked for, {}.", asked.name());
        violations.push(plain("event.type", "/type", text));
    }
    violations
}

/// Data alone: what their envelope would have to say is taken as said.
fn judge_data(data: &Value, message_type: Option<&MessageType>) -> Vec<Violation> {
    let Some(message_type) = message_type else {
        let text = format!(
            "Neither an event, nor a signed message, nor data of a type that can be told; give --type, one of {}.",
            known_types()
        );
        return vec![plain("schema_unknown", "/data", text)];
    };
    let mut event = json!({ "type": message_type.name(), "data": data });
    if message_type.name() == "query.response" {
        event["correlationid"] = json!("");
    }
    message_type.check(&event)
}

/// The type of an event: by its `dataschema`, or the newest of its `type`.
fn of_event(event: &Value) -> Option<&'static MessageType> {
    let catalogue = Catalogue::embedded();
    let kind = event.get("type")?.as_str()?;
    match event.get("dataschema").and_then(Value::as_str) {
        Some(id) => catalogue.by_schema_id(id).filter(|t| t.name() == kind),
        None => catalogue.newest(kind),
    }
}

/// The one type that knows most of the members, if any knows half of them.
fn of_data(data: &Value) -> Option<&'static MessageType> {
    let members = data.as_object()?;
    let known = |t: &MessageType| members.keys().filter(|name| t.has_member(name)).count();
    let types = Catalogue::embedded().types().iter();
    let best = types.max_by_key(|t| (known(t), std::cmp::Reverse(t.required_count()), t.version()))?;
    (known(best) * 2 > members.len()).then_some(best)
}

fn unknown_type(event: &Value) -> Violation {
    let types = Catalogue::embedded().types();
    let kind = event.get("type").and_then(Value::as_str);
    let versions: Vec<&str> =
        types.iter().filter(|t| Some(t.name()) == kind).map(MessageType::schema_id).collect();
    if !versions.is_empty() {
        let text = format!("Must be the $id of a version of the type: {}.", versions.join(", "));
        return plain("schema_unknown", "/dataschema", text);
    }
    let mut violation =
        plain("schema_unknown", "/type", format!("Must be a type of the catalogue: {}.", known_types()));
    violation.hint = kind.and_then(Catalogue::nearest_type).map(|near| format!("did you mean `{near}`?"));
    violation
}

/// The names of all types.
pub fn known_types() -> String {
    let mut names: Vec<&str> = Catalogue::embedded().types().iter().map(MessageType::name).collect();
    names.dedup();
    names.join(", ")
}

fn plain(rule: &str, pointer: &str, text: String) -> Violation {
    Violation {
        rule: rule.to_owned(),
        pointer: pointer.to_owned(),
        severity: Severity::Error,
        text,
        text_ar: None,
        hint: None,
    }
}

/// The value at the violation's pointer, or the nearest value around it; a stray member at its name.
fn locate(source: &str, root: &Node<'_>, violation: &Violation) -> Place {
    let mut node = root;
    let mut range = (root.start(), root.end());
    let steps: Vec<&str> = violation.pointer.split('/').skip(1).collect();
    for (index, step) in steps.iter().enumerate() {
        let step = step.replace("~1", "/").replace("~0", "~");
        let next = match node {
            Node::Object(object) => {
                object.properties.iter().find(|p| p.name.as_str() == step).map(|property| {
                    let stray =
                        violation.rule == "schema.unevaluatedProperties" || violation.rule == "event.unknown";
                    if stray && index + 1 == steps.len() {
                        return (&property.value, (property.name.start(), property.name.end()));
                    }
                    (&property.value, (property.value.start(), property.value.end()))
                })
            }
            Node::Array(array) => {
                let item = step.parse::<usize>().ok().and_then(|index| array.elements.get(index));
                item.map(|item| (item, (item.start(), item.end())))
            }
            _ => None,
        };
        let Some((next, at)) = next else { break };
        (node, range) = (next, at);
    }
    let before = source.get(..range.0).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line_end = source[line_start..].find('\n').map_or(source.len(), |at| line_start + at);
    let count = |from: usize, to: usize| source.get(from..to).map_or(0, |text| text.chars().count());
    Place {
        line,
        column: count(line_start, range.0) + 1,
        width: count(range.0, range.1.min(line_end)).max(1),
        text: source.get(line_start..line_end).unwrap_or_default().trim_end().to_owned(),
        in_payload: false,
    }
}

/// A place of which only line and column, in bytes, are known.
fn place_at(bytes: &[u8], line: usize, column: usize) -> Place {
    let text = bytes.split(|byte| *byte == b'\n').nth(line.saturating_sub(1)).unwrap_or_default();
    let before = text.get(..column.saturating_sub(1)).unwrap_or(text);
    let column = String::from_utf8_lossy(before).chars().count() + 1;
    let text = String::from_utf8_lossy(text).trim_end().to_owned();
    Place { line: line.max(1), column, width: 1, text, in_payload: false }
}
