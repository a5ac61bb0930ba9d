//! What a message says, laid out for a person: plates as plates, names in their script and in Latin letters, days in two
//! calendars.

use serde_json::{Map, Value};
use silkgate_message::instant::Instant;
use silkgate_message::values::plate::Script;
use silkgate_message::values::transliteration;

use super::frame::Frame;

/// Lines of one message at most; more stand in the message itself.
const LINES_MAX: usize = 2_000;
/// Members of the event that are shown above its data.
const ABOUT: [&str; 7] = ["subject", "status", "purpose", "handling", "releasableto", "time", "expirytime"];

/// A line.
pub struct Line {
    /// How deep it lies.
    pub depth: usize,
    /// The member's name for a reader.
    pub label: String,
    /// What stands there.
    pub value: Shown,
}

/// A value as it looks.
pub enum Shown {
    /// Nothing but what lies deeper.
    Group,
    /// As it is, and what it is beside that: a day in another calendar.
    Text(String, Option<String>),
    /// A number plate: what is on it, its direction, the state that registered it.
    Plate(String, &'static str, String),
    /// A name: in its own script, its direction, in Latin letters.
    Name(String, &'static str, Option<String>),
    /// More than is shown.
    Cut,
}

/// The lines of an event.
pub(super) fn lines(f: &Frame, event: &Value) -> Vec<Line> {
    let mut lines = Vec::new();
    for name in ABOUT {
        if let Some(value) = event.get(name) {
            add(f, &mut lines, 0, label(f, name), value);
        }
    }
    if let Some(Value::Object(data)) = event.get("data") {
        members(f, &mut lines, 0, data);
    }
    if lines.len() > LINES_MAX {
        lines.truncate(LINES_MAX);
        lines.push(Line { depth: 0, label: String::new(), value: Shown::Cut });
    }
    lines
}

fn members(f: &Frame, lines: &mut Vec<Line>, depth: usize, object: &Map<String, Value>) {
    for (name, value) in object {
        add(f, lines, depth, label(f, name), value);
    }
}

fn add(f: &Frame, lines: &mut Vec<Line>, depth: usize, label: String, value: &Value) {
    if lines.len() > LINES_MAX {
        return;
    }
    let mut push = |label, value| lines.push(Line { depth, label, value });
    match value {
        Value::Object(object) => {
            if let Some(plate) = plate(object) {
                push(label, plate);
            } else if let Some(name) = name(object) {
                push(label, name);
                let rest =
                    object.iter().filter(|(name, _)| !matches!(name.as_str(), "surname" | "givenNames"));
                members(
                    f,
                    lines,
                    depth + 1,
                    &rest.map(|(name, value)| (name.clone(), value.clone())).collect(),
                );
            } else {
                push(label, Shown::Group);
                members(f, lines, depth + 1, object);
            }
        }
        Value::Array(items) if items.iter().all(|item| !item.is_object() && !item.is_array()) => {
            let texts: Vec<String> = items.iter().map(|item| text(f, item)).collect();
            push(label, Shown::Text(texts.join(" · "), None));
        }
        Value::Array(items) => {
            for (place, item) in items.iter().enumerate() {
                let number = f.number(place + 1);
                let label = if items.len() > 1 { format!("{label} {number}") } else { label.clone() };
                add(f, lines, depth, label, item);
            }
        }
        value => {
            let other = value.as_str().and_then(|text| f.language.hijri(text));
            push(label, Shown::Text(text(f, value), other));
        }
    }
}

/// A plate as `common` defines it.
fn plate(object: &Map<String, Value>) -> Option<Shown> {
    let text = |name: &str| object.get(name)?.as_str().map(str::to_owned);
    text("matchKey")?;
    let direction = direction(&text("script")?);
    Some(Shown::Plate(text("display")?, direction, text("registrationCountry").unwrap_or_default()))
}

/// A person's name; beside another script what ICAO Doc 9303 part 3 makes of it in Latin letters.
fn name(object: &Map<String, Value>) -> Option<Shown> {
    let text = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default();
    let (surname, given) = (text("surname"), text("givenNames"));
    if surname.is_empty() {
        return None;
    }
    let whole = format!("{given} {surname}").trim().to_owned();
    let latin = (!whole.is_ascii()).then(|| transliteration::transliterate(&whole)).flatten();
    let script = if text("script").is_empty() && !whole.is_ascii() { "" } else { text("script") };
    Some(Shown::Name(whole, direction(script), latin.map(|latin| latin.replace('<', " "))))
}

/// The direction of a script (ISO 15924); `auto`: by its letters.
fn direction(script: &str) -> &'static str {
    match Script::parse(script) {
        Some(Script::Arabic) => "rtl",
        Some(Script::Latin) => "ltr",
        _ => "auto",
    }
}

fn text(f: &Frame, value: &Value) -> String {
    match value {
        Value::String(text) if is_day(text) => f.language.day(text),
        Value::String(text) => match Instant::parse(text) {
            Some(at) => f.language.instant(at),
            None => f.name("value", text),
        },
        Value::Bool(yes) => f.say(if *yes { "yes" } else { "no" }),
        value => value.to_string(),
    }
}

fn is_day(text: &str) -> bool {
    text.len() == 10 && Instant::parse(&format!("{text}T00:00:00Z")).is_some()
}

/// A member's name; where the language has none, its words apart.
fn label(f: &Frame, name: &str) -> String {
    if let Some(label) = f.language.text(&format!("member-{name}"), &[]) {
        return label;
    }
    let mut label = String::new();
    for (place, c) in name.chars().enumerate() {
        if c.is_ascii_uppercase() && place > 0 {
            label.push(' ');
        }
        label.push(if place == 0 { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() });
    }
    label
}
