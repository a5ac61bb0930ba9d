//! `silkgate schema doc`: pages for a reader, from schema, rules and examples.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;
use silkgate_message::catalogue::{Catalogue, ExampleKind, Field, MessageType, Severity};
use silkgate_message::jws::Digest;

/// Codes that are listed; of more only their number is told.
const CODES_LISTED: usize = 24;
/// The longest pattern that is shown.
const PATTERN_SHOWN: usize = 60;
/// Members that every type has.
const LIFECYCLE: [&str; 5] = ["/action", "/recordId", "/recordVersion", "/supersedes", "/reason"];

/// Writes the page of every type and the list of them into a folder.
pub(super) fn write(folder: &Path) -> Result<()> {
    let put = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).with_context(|| path.display().to_string())
    };
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    for message_type in Catalogue::embedded().types() {
        put(&file(message_type), &page(message_type))?;
    }
    put("README.md", &index())
}

fn file(message_type: &MessageType) -> String {
    format!("{}-{}.md", message_type.name(), message_type.version())
}

/// The list of all types.
pub(super) fn index() -> String {
    let mut out = "# Message types\n\nMade by `silkgate schema doc --out docs/catalogue` from schemas, rules and examples. \
                   What the catalogue is for, its sources and its gaps: [catalogue.md](../catalogue.md).\n\n\
                   | type | version | what | rules | examples | counter-examples |\n|---|---|---|---|---|---|\n"
        .to_owned();
    for t in Catalogue::embedded().types() {
        out += &format!(
            "| [`{}`]({}) | {} | {} | {} | {} | {} |\n",
            t.name(),
            file(t),
            t.version(),
            t.title(),
            t.rules().filter(|rule| !rule.id.starts_with("common.")).count(),
            t.examples(ExampleKind::Accept).len(),
            t.examples(ExampleKind::Reject).len()
        );
    }
    out + LIFECYCLE_TEXT
}

const LIFECYCLE_TEXT: &str = "
## Members of every type

| member | | form | meaning |
|---|---|---|---|
| `action` | required | `new`, `update`, `cancel` | what the message does to its record |
| `recordId` | required | 1 to 64 of `A-Z a-z 0-9 . _ : -` | the record; the event's `subject` is the same |
| `recordVersion` | required | 1 to 10^9; 1 for `new` | greater than the last accepted one |
| `supersedes` | for `update` and `cancel` | `messageId`, `digest` | the message that this one follows |
| `reason` | for `cancel` | text | why; a cancel has no other member |

An update is whole, no patch. Nothing follows a cancel.
";

/// The page of one type.
pub(super) fn page(t: &MessageType) -> String {
    let mut out = format!(
        "# {} {}: {}\n\n{}\n\n- Schema: `{}`, in `schemas/{0}/{1}/`\n- Edition: `{}`\n- Print an example: `silkgate schema example {0} \
         --version {1}`\n\n## Members of `data`\n\nBeside [those of every type](README.md#members-of-every-type); a cancel has only those.\n\n\
         | member | | form | meaning |\n|---|---|---|---|\n",
        t.name(),
        t.version(),
        t.title(),
        t.description(),
        t.schema_id(),
        Digest(t.digest())
    );
    for (place, field) in t.outline() {
        let inherited = LIFECYCLE.iter().any(|own| place == *own || place.starts_with(&format!("{own}/")));
        if !inherited {
            out += &row(&place, &field);
        }
    }
    out += "\n## Rules\n\nWhat a schema cannot state. An error refuses, a warning does not.\n\n| rule | | in English | in Arabic |\n|---|---|---|---|\n";
    for rule in t.rules() {
        let word = if rule.severity == Severity::Error { "error" } else { "warning" };
        out += &format!("| `{}` | {word} | {} | {} |\n", rule.id, cell(&rule.en), cell(&rule.ar));
    }
    let accepted = t.examples(ExampleKind::Accept);
    let names: Vec<String> = accepted.iter().map(|(name, _)| format!("`{name}`")).collect();
    out += &format!(
        "\n## Examples\n\nIn `schemas/{}/{}/accept/`: {}. The first:\n\n```json\n{}\n```\n",
        t.name(),
        t.version(),
        names.join(", "),
        t.example().trim_end()
    );
    out += "\n## Counter-examples\n\n| in `reject/` | breaks | at |\n|---|---|---|\n";
    for (name, text) in t.examples(ExampleKind::Reject) {
        let example: Value = serde_json::from_str(text).unwrap_or_default();
        for expected in example["expect"].as_array().into_iter().flatten() {
            let part = |member: &str| expected[member].as_str().unwrap_or_default().to_owned();
            out += &format!("| `{name}` | `{}` | `{}` |\n", part("rule"), part("pointer"));
        }
    }
    out
}

/// `/names/*/surname` as `names[].surname`.
fn member(place: &str) -> String {
    place.trim_start_matches('/').replace("/*", "[]").replace('/', ".")
}

fn row(place: &str, field: &Field) -> String {
    let required = if field.required { "required" } else { "" };
    let meaning = field.description.clone().or_else(|| field.title.clone()).unwrap_or_default();
    format!("| `{}` | {required} | {} | {} |\n", member(place), form(field), cell(&meaning))
}

/// A field's constraints in words.
fn form(field: &Field) -> String {
    let get = |name: &str| field.keywords.get(name);
    let mut parts = Vec::new();
    if let Some(codes) = get("enum").and_then(Value::as_array) {
        parts.push(if codes.len() > CODES_LISTED {
            format!("one of {} codes", codes.len())
        } else {
            codes
                .iter()
                .filter_map(Value::as_str)
                .map(|code| format!("`{code}`"))
                .collect::<Vec<_>>()
                .join(", ")
        });
    } else if let Some(kind) = get("type").and_then(Value::as_str) {
        parts.push(kind.to_owned());
    }
    if let Some(value) = get("const") {
        parts.push(format!("`{value}`"));
    }
    for (name, low, high) in [
        ("", "minimum", "maximum"),
        (" characters", "minLength", "maxLength"),
        (" items", "minItems", "maxItems"),
    ] {
        match (get(low), get(high)) {
            (Some(low), Some(high)) => parts.push(format!("{low} to {high}{name}")),
            (None, Some(high)) => parts.push(format!("at most {high}{name}")),
            (Some(low), None) => parts.push(format!("at least {low}{name}")),
            (None, None) => {}
        }
    }
    if get("uniqueItems").is_some() {
        parts.push("none twice".to_owned());
    }
    if let Some(format) = get("format").and_then(Value::as_str) {
        parts.push(format.to_owned());
    }
    if let Some(pattern) =
        get("pattern").and_then(Value::as_str).filter(|pattern| pattern.len() <= PATTERN_SHOWN)
    {
        parts.push(format!("`{}`", cell(pattern)));
    }
    if let Some(branches) = get("anyOf").and_then(Value::as_array) {
        let names = branches.iter().filter_map(|branch| branch["required"][0].as_str());
        parts.push(format!(
            "needs one of {}",
            names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
        ));
    }
    parts.join("; ")
}

/// Text inside a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
