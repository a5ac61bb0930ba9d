//! The report for a reader: each violation with its line, as a good compiler shows it.

use anyhow::Result;
use silkgate_message::catalogue::Severity;

use super::report::{Reporter, Tally};
use crate::app::{colourful, line};
use crate::judge::{Finding, Judged, Place};

/// Characters of a line that are shown, at most.
const SHOWN: usize = 96;
/// Characters shown before the place.
const BEFORE: usize = 40;

/// Colours, empty where standard output is no terminal.
pub(super) struct Text {
    red: &'static str,
    yellow: &'static str,
    green: &'static str,
    dim: &'static str,
    plain: &'static str,
}

impl Text {
    pub(super) fn new() -> Self {
        if colourful() {
            Self {
                red: "\x1b[1;31m",
                yellow: "\x1b[1;33m",
                green: "\x1b[32m",
                dim: "\x1b[2m",
                plain: "\x1b[0m",
            }
        } else {
            Self { red: "", yellow: "", green: "", dim: "", plain: "" }
        }
    }

    fn finding(&self, file: &str, finding: &Finding) -> String {
        let Self { red, yellow, dim, plain, .. } = self;
        let Finding { violation, place } = finding;
        let (colour, word) = match violation.severity {
            Severity::Error => (red, "error"),
            Severity::Warning => (yellow, "warning"),
        };
        let at = place.as_ref().map(|place| format!(":{}:{}", place.line, place.column)).unwrap_or_default();
        let inside = if place.as_ref().is_some_and(|place| place.in_payload) { " (payload)" } else { "" };
        let mut out =
            format!("{file}{at}{inside}: {colour}{word}[{}]{plain}: {}\n", violation.rule, violation.text);
        if let Some(place) = place {
            let (shown, caret) = excerpt(place);
            let number = place.line.to_string();
            let gutter = " ".repeat(number.len());
            out += &format!(
                "  {dim}{number} |{plain} {shown}\n  {dim}{gutter} |{plain} {colour}{caret}{plain}\n"
            );
        }
        let pointer = if violation.pointer.is_empty() { "the whole document" } else { &violation.pointer };
        out += &format!("  at {pointer}");
        if let Some(hint) = &violation.hint {
            out += &format!("\n  hint: {hint}");
        }
        out
    }
}

/// The line with what a terminal would obey or hide written out, cut around the place, and the line that
/// marks it.
fn excerpt(place: &Place) -> (String, String) {
    let chars: Vec<char> = place.text.chars().collect();
    let start = (place.column - 1).saturating_sub(if chars.len() > SHOWN { BEFORE } else { usize::MAX });
    let end = chars.len().min(start + SHOWN);
    let mut shown = String::new();
    let (mut before, mut marked) = (0, 0);
    if start > 0 {
        shown.push('…');
        before += 1;
    }
    for (index, c) in chars.iter().enumerate().take(end).skip(start) {
        let written = written_out(*c);
        let width = written.chars().count();
        if index + 1 < place.column {
            before += width;
        } else if index + 1 < place.column + place.width {
            marked += width;
        }
        shown += &written;
    }
    if end < chars.len() {
        shown.push('…');
    }
    (shown, format!("{}{}", " ".repeat(before), "^".repeat(marked.max(1))))
}

/// Control, bidirectional and invisible characters by their number: a terminal must not act on a message.
fn written_out(c: char) -> String {
    let hidden = matches!(u32::from(c),
        0..=0x1F | 0x7F..=0x9F | 0xAD | 0x61C | 0x200B..=0x200F | 0x2028..=0x202E | 0x2060..=0x206F | 0xFEFF
        | 0xE0000..=0xE0FFF);
    if c == '\t' {
        "    ".to_owned()
    } else if hidden {
        format!("<U+{:04X}>", u32::from(c))
    } else {
        c.to_string()
    }
}

impl Reporter for Text {
    fn begin(&mut self) -> Result<()> {
        Ok(())
    }

    fn judged(&mut self, judged: &Judged) -> Result<()> {
        for finding in &judged.findings {
            line(&self.finding(&judged.file, finding))?;
        }
        if judged.findings.is_empty() && judged.line.is_none() {
            let kind = judged.kind.map(|t| format!(" to {} {}", t.name(), t.version())).unwrap_or_default();
            line(&format!("{}: {}conforms{}{kind}", judged.file, self.green, self.plain))?;
        }
        Ok(())
    }

    fn unchecked(&mut self, what: &str) -> Result<()> {
        line(&format!("{}not checked{}: {what}", self.red, self.plain))
    }

    fn end(&mut self, tally: &Tally) -> Result<()> {
        let count = |n: u64, one: &str, many: &str| format!("{n} {}", if n == 1 { one } else { many });
        let mut text = format!(
            "{}: {}, {}",
            count(tally.checked, "message", "messages"),
            count(tally.valid, "conforms", "conform"),
            count(tally.invalid, "does not", "do not")
        );
        if tally.errors + tally.warnings > 0 {
            let warnings = count(tally.warnings, "warning", "warnings");
            text += &format!("; {}, {warnings}", count(tally.errors, "error", "errors"));
        }
        line(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str, column: usize, width: usize) -> Place {
        Place { line: 1, column, width, text: text.to_owned(), in_payload: false }
    }

    #[test]
    fn the_mark_stands_under_the_value() {
        assert_eq!(
            excerpt(&place("  \"vin\": \"X\",", 10, 3)),
            ("  \"vin\": \"X\",".into(), "         ^^^".into())
        );
        let long = format!("{{\"a\":\"{}\",\"vin\":\"X\"}}", "y".repeat(300));
        let (shown, caret) = excerpt(&place(&long, 315, 3));
        let marked: String = shown.chars().skip(caret.find('^').unwrap()).take(3).collect();
        assert_eq!(marked, "\"X\"");
        assert!(shown.starts_with('…') && shown.chars().count() <= SHOWN + 2);
    }

    #[test]
    fn a_terminal_is_shown_no_control_character() {
        let (shown, caret) = excerpt(&place("a\u{202e}b\u{1b}[31m", 2, 1));
        assert_eq!(shown, "a<U+202E>b<U+001B>[31m");
        assert_eq!(caret, " ^^^^^^^^");
    }
}
