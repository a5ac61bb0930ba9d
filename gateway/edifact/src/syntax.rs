//! EDIFACT syntax (ISO 9735): service characters, segments, elements, components, each with its place.

use crate::Fault;

/// Segments of one file, at most.
const SEGMENTS_MAX: usize = 200_000;

/// The characters that part a message (ISO 9735 UNA).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Service {
    component: char,
    element: char,
    release: char,
    terminator: char,
}

impl Service {
    /// Those in force without UNA.
    pub const DEFAULT: Self = Self { component: ':', element: '+', release: '?', terminator: '\'' };
}

/// A text of the source and where it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    pub text: String,
    pub line: usize,
    pub column: usize,
}

/// A segment: its elements after the tag, each as its components.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    pub tag: Part,
    pub number: usize,
    elements: Vec<Vec<Part>>,
}

impl Segment {
    /// A component's text; empty where it is absent. Elements count from 1, components from 0.
    pub fn get(&self, element: usize, component: usize) -> &str {
        self.part(element, component).map_or("", |part| part.text.trim())
    }

    fn part(&self, element: usize, component: usize) -> Option<&Part> {
        self.elements.get(element.checked_sub(1)?)?.get(component)
    }

    /// Every component of an element.
    pub fn components(&self, element: usize) -> Vec<&str> {
        let parts = element.checked_sub(1).and_then(|index| self.elements.get(index));
        parts.into_iter().flatten().map(|part| part.text.trim()).collect()
    }

    /// Whether the tag and the first component are these.
    pub fn is(&self, tag: &str, qualifier: &str) -> bool {
        self.tag.text == tag && self.get(1, 0) == qualifier
    }

    /// A fault at a component, or at the segment where it is absent.
    pub fn fault(
        &self,
        element: usize,
        component: usize,
        code: &'static str,
        text: impl Into<String>,
    ) -> Fault {
        let place = self.part(element, component).unwrap_or(&self.tag);
        Fault {
            line: place.line,
            column: place.column,
            segment: self.number,
            tag: self.tag.text.clone(),
            code,
            text: text.into(),
        }
    }
}

/// Text as a partner sends it: UTF-8 or Latin-1 (UNOC), with white space between segments.
fn decode(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.trim_start_matches('\u{feff}').to_owned(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}

/// Cuts a file into segments.
pub fn segments(bytes: &[u8]) -> Result<Vec<Segment>, Fault> {
    let text = decode(bytes);
    let mut service = Service::DEFAULT;
    let mut chars = Cursor { chars: text.chars().peekable(), line: 1, column: 1 };
    chars.skip_space();
    if text.trim_start().starts_with("UNA") {
        // UNA and six characters: component, element, decimal mark, release, reserved, terminator.
        let una: Vec<char> = (0..9).filter_map(|_| chars.next().map(|(c, ..)| c)).collect();
        let [_, _, _, component, element, _, release, _, terminator] = una[..] else {
            return Err(fault(1, 1, 0, "UNA", "una_short", "UNA is followed by six service characters"));
        };
        service = Service { component, element, release, terminator };
        let all = [component, element, release, terminator];
        let twice = all
            .iter()
            .enumerate()
            .any(|(at, c)| c.is_alphanumeric() || c.is_control() || all[..at].contains(c));
        if twice {
            let text = "the service characters must differ and be no letters or digits";
            return Err(fault(1, 4, 0, "UNA", "una_ambiguous", text));
        }
    }
    let mut found: Vec<Segment> = Vec::new();
    loop {
        chars.skip_space();
        if chars.chars.peek().is_none() {
            return Ok(found);
        }
        if found.len() >= SEGMENTS_MAX {
            return Err(fault(
                chars.line,
                chars.column,
                found.len(),
                "",
                "too_long",
                "the file has too many segments",
            ));
        }
        found.push(segment(&mut chars, service, found.len() + 1)?);
    }
}

fn fault(line: usize, column: usize, segment: usize, tag: &str, code: &'static str, text: &str) -> Fault {
    Fault { line, column, segment, tag: tag.to_owned(), code, text: text.to_owned() }
}

fn segment(chars: &mut Cursor<'_>, service: Service, number: usize) -> Result<Segment, Fault> {
    let mut elements: Vec<Vec<Part>> = Vec::new();
    let mut element: Vec<Part> = Vec::new();
    let mut part = Part { text: String::new(), line: chars.line, column: chars.column };
    let (line, column) = (chars.line, chars.column);
    loop {
        let Some((c, ..)) = chars.next() else {
            let text = format!("the file ends inside a segment; `{}` is missing", service.terminator);
            let tag: String =
                elements.first().and_then(|e| e.first()).map_or(part.text, |tag| tag.text.clone());
            let tag: String = tag.chars().take(3).collect();
            return Err(fault(line, column, number, &tag, "truncated", &text));
        };
        let next = Part { text: String::new(), line: chars.line, column: chars.column };
        if c == service.release && service.release != ' ' {
            if let Some((released, ..)) = chars.next() {
                part.text.push(released);
            }
        } else if c == service.component {
            element.push(std::mem::replace(&mut part, next));
        } else if c == service.element {
            element.push(std::mem::replace(&mut part, next));
            elements.push(std::mem::take(&mut element));
        } else if c == service.terminator {
            element.push(part);
            elements.push(element);
            break;
        } else if c != '\n' && c != '\r' {
            part.text.push(c);
        }
    }
    let mut elements = elements.into_iter();
    let tag = elements.next().and_then(|tag| tag.into_iter().next()).unwrap_or_default();
    if tag.text.len() != 3 || !tag.text.bytes().all(|b| b.is_ascii_uppercase()) {
        let shown: String = tag.text.chars().filter(char::is_ascii_graphic).take(12).collect();
        let text = "a segment begins with a tag of three capital letters";
        return Err(fault(line, column, number, &shown, "tag_unknown", text));
    }
    Ok(Segment { tag, number, elements: elements.collect() })
}

struct Cursor<'t> {
    chars: std::iter::Peekable<std::str::Chars<'t>>,
    line: usize,
    column: usize,
}

impl Cursor<'_> {
    fn next(&mut self) -> Option<(char, usize, usize)> {
        let c = self.chars.next()?;
        let place = (c, self.line, self.column);
        if c == '\n' {
            self.line += 1;
            self.column = 1;
        } else {
            self.column += 1;
        }
        Some(place)
    }

    fn skip_space(&mut self) {
        while self.chars.peek().is_some_and(|c| c.is_whitespace()) {
            self.next();
        }
    }
}

/// Writes segments with the default service characters, a segment a line.
#[derive(Default)]
pub struct Writer {
    pub text: String,
    pub count: usize,
}

impl Writer {
    /// One segment: elements as their components.
    pub fn segment(&mut self, tag: &str, elements: &[&[&str]]) {
        self.text.push_str(tag);
        let used = elements.iter().rposition(|e| e.iter().any(|c| !c.is_empty())).map_or(0, |last| last + 1);
        for element in elements.iter().take(used) {
            self.text.push('+');
            let used = element.iter().rposition(|c| !c.is_empty()).map_or(0, |last| last + 1);
            for (index, component) in element.iter().take(used).enumerate() {
                if index > 0 {
                    self.text.push(':');
                }
                for c in component.chars() {
                    if matches!(c, ':' | '+' | '?' | '\'') {
                        self.text.push('?');
                    }
                    self.text.push(c);
                }
            }
        }
        self.text.push_str("'\n");
        self.count += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn service_characters_release_and_places() {
        let found = segments(b"UNA*.? #\nUNB*UNOA:4#").unwrap_err();
        assert_eq!(found.code, "una_ambiguous", "UNA without its component separator: {found}");
        let found = segments(b"UNA:*.? #\nNAD*FL***O?#NEIL:A?*B#\n ATT*2**M#").unwrap();
        assert_eq!(found[0].components(4), ["O#NEIL", "A*B"]);
        let att = found[1].fault(3, 0, "x", "");
        assert_eq!((att.line, att.column, att.segment), (3, 9, 2));
    }

    #[test]
    fn a_file_that_ends_early_is_told_where() {
        let fault = segments(b"UNH+1+PAXLST:D:05B:UN'\nBGM+745").unwrap_err();
        assert_eq!((fault.code, fault.line, fault.tag.as_str()), ("truncated", 2, "BGM"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(parts in proptest::collection::vec("[A-Z0-9 :+?'.-]{0,8}[A-Z0-9]", 1..5)) {
            let mut writer = Writer::default();
            let components: Vec<&str> = parts.iter().map(String::as_str).collect();
            writer.segment("NAD", &[&["FL"], &components]);
            let found = segments(writer.text.as_bytes()).unwrap();
            let wanted: Vec<&str> = parts.iter().map(|part| part.trim()).collect();
            prop_assert_eq!(found[0].components(2), wanted);
        }

        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "(UNA.{6})?([A-Z+:?' \\n]{0,40}')*") {
            let _ = segments(&bytes);
            let _ = segments(text.as_bytes());
        }
    }
}
