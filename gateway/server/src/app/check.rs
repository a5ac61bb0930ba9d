//! `silkgate check`: events against schema and rules, without a gateway.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use jsonc_parser::ast::Value as Node;
use jsonc_parser::common::Ranged as _;
use serde_json::{Value, json};
use silkgate_message::catalogue::{Catalogue, Severity, Violation};
use silkgate_message::event;
use silkgate_message::json;

use super::{Cx, Found, colourful};

/// What to check.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  silkgate check alert.json manifest.json\n\nEach file holds one event, whole or as it is submitted. Judged against the event's own `time`, \
                        never today's clock. Exit codes: 0 clean, 1 violations, 2 a file could not be checked."
)]
pub(crate) struct Args {
    /// Files with one event each.
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

struct Judged {
    file: String,
    violations: Vec<(Violation, Option<(usize, usize)>)>,
}

/// Runs the command.
pub(crate) fn run(cx: &Cx, args: Args) -> Result<Found> {
    let mut judged = Vec::new();
    for file in &args.files {
        let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
        judged.push(Judged { file: file.display().to_string(), violations: judge(&bytes) });
    }
    let wrong = |j: &Judged| j.violations.iter().any(|(violation, _)| violation.severity == Severity::Error);
    let report: Vec<Value> = judged
        .iter()
        .map(|j| {
            let violations: Vec<Value> = j
                .violations
                .iter()
                .map(|(violation, place)| {
                    let mut value = json!(violation);
                    if let Some((line, column)) = place {
                        value["line"] = json!(line);
                        value["column"] = json!(column);
                    }
                    value
                })
                .collect();
            json!({ "file": j.file, "valid": !wrong(j), "violations": violations })
        })
        .collect();
    cx.print(&report, || judged.iter().map(text).collect::<Vec<_>>().join("\n"))?;
    Ok(if judged.iter().any(wrong) { Found::Wrong } else { Found::Good })
}

/// All violations of one event, with line and column of each.
fn judge(bytes: &[u8]) -> Vec<(Violation, Option<(usize, usize)>)> {
    let plain = |rule: &str, pointer: &str, text: String| Violation {
        rule: rule.to_owned(),
        pointer: pointer.to_owned(),
        severity: Severity::Error,
        text,
        text_ar: None,
        hint: None,
    };
    let event = match json::parse(bytes) {
        Ok(event) => event,
        Err(error) => {
            let violation = plain(error.fault.code(), &error.pointer, error.fault.to_string());
            return vec![(violation, Some((error.line, error.column)))];
        }
    };
    // Without `specversion` it is a submission, whose envelope the gateway has still to complete.
    let whole = event.get("specversion").is_some();
    let mut violations = match event::read(&event) {
        Err((violations, _)) if whole => violations,
        _ => Vec::new(),
    };
    let kind = event["type"].as_str().unwrap_or_default();
    let mut types = Catalogue::embedded().types().iter().filter(|t| t.name() == kind);
    let message_type = match event["dataschema"].as_str() {
        Some(id) => types.find(|t| t.schema_id() == id),
        None => types.max_by_key(|t| t.version()),
    };
    match message_type {
        Some(message_type) => violations.extend(message_type.check(&event)),
        None => {
            let known = Catalogue::embedded().types().iter().map(|t| t.schema_id()).collect::<Vec<_>>();
            let text = format!("the catalogue holds {}", known.join(", "));
            violations.push(plain("schema_unknown", "/type", text));
        }
    }
    let source = std::str::from_utf8(bytes).unwrap_or_default();
    let parsed = jsonc_parser::parse_to_ast(source, &Default::default(), &Default::default()).ok();
    let root = parsed.and_then(|parsed| parsed.value);
    violations
        .into_iter()
        .map(|violation| {
            let place = root.as_ref().and_then(|root| position(source, root, &violation.pointer));
            (violation, place)
        })
        .collect()
}

/// Line and column, from 1, of the value at a JSON Pointer, or of the nearest value around it.
fn position(source: &str, root: &Node<'_>, pointer: &str) -> Option<(usize, usize)> {
    let mut node = root;
    for step in pointer.split('/').skip(1) {
        let step = step.replace("~1", "/").replace("~0", "~");
        let next = match node {
            Node::Object(object) => {
                object.properties.iter().find(|p| p.name.as_str() == step).map(|p| &p.value)
            }
            Node::Array(array) => step.parse::<usize>().ok().and_then(|index| array.elements.get(index)),
            _ => None,
        };
        match next {
            Some(next) => node = next,
            None => break,
        }
    }
    let before = source.get(..node.start())?;
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |text| text.chars().count()) + 1;
    Some((line, column))
}

fn text(judged: &Judged) -> String {
    let (red, yellow, plain) = if colourful() { ("\x1b[31m", "\x1b[33m", "\x1b[0m") } else { ("", "", "") };
    if judged.violations.is_empty() {
        return format!("{}: conforms", judged.file);
    }
    let line = |(violation, place): &(Violation, Option<(usize, usize)>)| {
        let place = place.map(|(line, column)| format!(":{line}:{column}")).unwrap_or_default();
        let (colour, word) = match violation.severity {
            Severity::Error => (red, "error"),
            Severity::Warning => (yellow, "warning"),
        };
        let hint = violation.hint.as_ref().map(|hint| format!("\n    hint: {hint}")).unwrap_or_default();
        format!(
            "{}{place}: {colour}{word}{plain}[{}] {}: {}{hint}",
            judged.file, violation.rule, violation.pointer, violation.text
        )
    };
    judged.violations.iter().map(line).collect::<Vec<_>>().join("\n")
}
