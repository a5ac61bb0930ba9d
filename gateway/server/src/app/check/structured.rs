//! Reports for programs: JSON, JUnit XML, SARIF 2.1.0 (OASIS).

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::{Value, json};
use silkgate_message::catalogue::Severity;

use super::report::{Reporter, Tally};
use crate::app::line;
use crate::judge::{Finding, Judged};

/// `{"violations": […], "unchecked": […], "valid": …, "summary": {…}}`, a violation a line.
#[derive(Default)]
pub(super) struct Json {
    any: bool,
    unchecked: Vec<String>,
}

impl Reporter for Json {
    fn begin(&mut self) -> Result<()> {
        line("{\"violations\": [")
    }

    fn judged(&mut self, judged: &Judged) -> Result<()> {
        for Finding { violation, place } in &judged.findings {
            let mut value = json!(violation);
            value["file"] = json!(judged.file);
            if let Some(place) = place {
                value["line"] = json!(place.line);
                value["column"] = json!(place.column);
                if place.in_payload {
                    value["in"] = json!("payload");
                }
            }
            if let Some(kind) = judged.kind {
                value["type"] = json!(format!("{}/{}", kind.name(), kind.version()));
            }
            let comma = if self.any { "," } else { "" };
            line(&format!("{comma}{value}"))?;
            self.any = true;
        }
        Ok(())
    }

    fn unchecked(&mut self, what: &str) -> Result<()> {
        self.unchecked.push(what.to_owned());
        Ok(())
    }

    fn end(&mut self, tally: &Tally) -> Result<()> {
        let valid = tally.invalid == 0 && tally.unchecked == 0;
        let rest = json!({ "unchecked": self.unchecked, "valid": valid, "summary": tally }).to_string();
        line(&format!("],{}", rest.strip_prefix('{').unwrap_or_default()))
    }
}

/// A test case for each message.
pub(super) struct Junit;

impl Reporter for Junit {
    fn begin(&mut self) -> Result<()> {
        line(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"silkgate check\">\n<testsuite name=\"silkgate check\">",
        )
    }

    fn judged(&mut self, judged: &Judged) -> Result<()> {
        let kind =
            judged.kind.map_or_else(|| "unknown".to_owned(), |t| format!("{}/{}", t.name(), t.version()));
        let name = match judged.line {
            Some(number) => format!("{}:{number}", judged.file),
            None => judged.file.clone(),
        };
        let open = format!("<testcase classname=\"{}\" name=\"{}\"", xml(&kind), xml(&name));
        if judged.findings.is_empty() {
            return line(&format!("{open}/>"));
        }
        line(&format!("{open}>"))?;
        for finding in &judged.findings {
            let Finding { violation, place } = finding;
            let at =
                place.as_ref().map(|place| format!(":{}:{}", place.line, place.column)).unwrap_or_default();
            let hint = violation.hint.as_ref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
            let body = xml(&format!("{}{at} {}\n{}{hint}", judged.file, violation.pointer, violation.text));
            // A warning is no failure: build servers show it as output.
            match violation.severity {
                Severity::Error => line(&format!(
                    "<failure type=\"{}\" message=\"{}\">{body}</failure>",
                    xml(&violation.rule),
                    xml(&violation.text)
                ))?,
                Severity::Warning => {
                    line(&format!("<system-out>warning {}: {body}</system-out>", xml(&violation.rule)))?;
                }
            }
        }
        line("</testcase>")
    }

    fn unchecked(&mut self, what: &str) -> Result<()> {
        let what = xml(what);
        line(&format!(
            "<testcase classname=\"unchecked\" name=\"{what}\"><error message=\"{what}\"/></testcase>"
        ))
    }

    fn end(&mut self, _: &Tally) -> Result<()> {
        line("</testsuite>\n</testsuites>")
    }
}

/// Text inside XML 1.0: marks as entities, and no character that XML does not know.
fn xml(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' | '\r' => out.push(c),
            c if c < ' ' || matches!(c, '\u{FFFE}' | '\u{FFFF}') => out.push('\u{FFFD}'),
            c => out.push(c),
        }
        out
    })
}

/// A result for each violation; the rules are listed once, at the end.
#[derive(Default)]
pub(super) struct Sarif {
    any: bool,
    rules: BTreeMap<String, String>,
    unchecked: Vec<String>,
}

impl Reporter for Sarif {
    fn begin(&mut self) -> Result<()> {
        line(
            "{\"$schema\": \"https://json.schemastore.org/sarif-2.1.0.json\", \"version\": \"2.1.0\", \"runs\": [{\"results\": [",
        )
    }

    fn judged(&mut self, judged: &Judged) -> Result<()> {
        for Finding { violation, place } in &judged.findings {
            let level = match violation.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            };
            self.rules.entry(violation.rule.clone()).or_insert_with(|| violation.text.clone());
            let hint = violation.hint.as_ref().map(|hint| format!(" Hint: {hint}")).unwrap_or_default();
            let mut location = json!({ "artifactLocation": { "uri": uri(&judged.file) } });
            if let Some(place) = place.as_ref().filter(|place| !place.in_payload) {
                location["region"] = json!({ "startLine": place.line, "startColumn": place.column,
                    "endColumn": place.column + place.width });
            }
            let result = json!({
                "ruleId": violation.rule, "level": level, "message": { "text": format!("{}{hint}", violation.text) },
                "locations": [{ "physicalLocation": location,
                    "logicalLocations": [{ "fullyQualifiedName": violation.pointer }] }],
            });
            let comma = if self.any { "," } else { "" };
            line(&format!("{comma}{result}"))?;
            self.any = true;
        }
        Ok(())
    }

    fn unchecked(&mut self, what: &str) -> Result<()> {
        self.unchecked.push(what.to_owned());
        Ok(())
    }

    fn end(&mut self, _: &Tally) -> Result<()> {
        let rules: Vec<Value> = self
            .rules
            .iter()
            .map(|(id, text)| json!({ "id": id, "shortDescription": { "text": text } }))
            .collect();
        let driver = json!({ "name": "silkgate", "version": env!("CARGO_PKG_VERSION"), "rules": rules });
        let notes: Vec<Value> = self
            .unchecked
            .iter()
            .map(|what| json!({ "level": "error", "message": { "text": what } }))
            .collect();
        let invocation =
            json!({ "executionSuccessful": self.unchecked.is_empty(), "toolExecutionNotifications": notes });
        // SARIF 2.1.0 §3.18.4: columns are counted in code points, not in UTF-16 units.
        let run = json!({ "columnKind": "unicodeCodePoints", "tool": { "driver": driver }, "invocations": [invocation] });
        line(&format!("],{}]}}", run.to_string().strip_prefix('{').unwrap_or_default()))
    }
}

/// A file's name as a relative URI reference (RFC 3986 §2.1).
fn uri(file: &str) -> String {
    file.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}
