//! Strict JSON: what two parsers could read differently is refused.
//!
//! RFC 8259 leaves duplicate members, depth and number range open, and I-JSON (RFC 7493 §2) closes
//! them; so do we, in the one parse that also builds the value. A text that passes here means the
//! same to every reader.

use std::cell::{Cell, RefCell};
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Arrays and objects within one another, at most.
pub const DEPTH_MAX: usize = 32;
/// The largest integer that every JSON reader keeps exactly (RFC 7493 §2.2): 2^53 − 1.
pub const INTEGER_MAX: u64 = (1 << 53) - 1;
/// Bytes of one string or member name. The catalogue's longest text has 500 characters.
pub const STRING_MAX: usize = 16 << 10;
/// Items of one array, or members of one object. The catalogue's longest list has 1,000 items.
pub const ITEMS_MAX: usize = 10_000;
/// Values in one document. A type's own need 12 bytes each and more, so that this is beyond 10 MiB of them.
pub const VALUES_MAX: usize = 1 << 20;

/// Why a text is refused, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} at line {line}, column {column}", .fault)]
pub struct JsonError {
    /// What is wrong.
    pub fault: Fault,
    /// JSON Pointer (RFC 6901) of the place, as far as it was read.
    pub pointer: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in bytes, from 1.
    pub column: usize,
}

/// The ways to be refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Not JSON, or not UTF-8.
    Syntax(String),
    /// The same member twice in one object.
    DuplicateMember,
    /// Deeper than [`DEPTH_MAX`].
    TooDeep,
    /// An integer beyond ±(2^53 − 1) or a number that is not finite.
    NumberRange,
    /// More than [`STRING_MAX`], [`ITEMS_MAX`] or [`VALUES_MAX`], in words.
    TooLarge(String),
}

impl Fault {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Fault::Syntax(_) => "json_invalid",
            Fault::DuplicateMember => "json_duplicate_member",
            Fault::TooDeep => "json_too_deep",
            Fault::NumberRange => "json_number_range",
            Fault::TooLarge(_) => "json_too_large",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Syntax(what) => write!(f, "not valid JSON: {what}"),
            Fault::DuplicateMember => f.write_str("the same member stands twice in one object"),
            Fault::TooDeep => write!(f, "nested deeper than {DEPTH_MAX}"),
            Fault::NumberRange => {
                f.write_str("a number beyond ±(2^53 − 1) is not exact in every reader; send it as a string")
            }
            Fault::TooLarge(what) => f.write_str(what),
        }
    }
}

/// Parses strictly. Errors carry a pointer and a position. A whole number is an integer, however it is written: so it
/// is to a schema (JSON Schema 2020-12 validation §6.1.1), and rules must not see another.
pub fn parse(bytes: &[u8]) -> Result<Value, JsonError> {
    parse_within(bytes, true)
}

/// The same for what wraps other documents in its strings, such as a JWS, and is no document itself: whoever reads it
/// bounds its bytes, and `1.0` is no integer.
pub fn parse_wrapper(bytes: &[u8]) -> Result<Value, JsonError> {
    parse_within(bytes, false)
}

fn parse_within(bytes: &[u8], is_document: bool) -> Result<Value, JsonError> {
    let walk = Walk { is_document, ..Walk::default() };
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Node { walk: &walk, depth: 0 }.deserialize(&mut reader);
    let result = value.and_then(|value| reader.end().map(|()| value));
    result.map_err(|error| {
        let pointer = walk.path.borrow().iter().rev().fold(String::new(), |mut pointer, step| {
            pointer.push('/');
            pointer.push_str(&step.replace('~', "~0").replace('/', "~1"));
            pointer
        });
        let fault = walk.fault.borrow_mut().take().unwrap_or_else(|| {
            let text = error.to_string();
            if text.starts_with("number out of range") {
                Fault::NumberRange
            } else if text.starts_with("recursion limit exceeded") {
                Fault::TooDeep
            } else {
                // serde_json's own sentences name a place and an expectation, never the content.
                Fault::Syntax(text.split(" at line ").next().unwrap_or_default().to_owned())
            }
        });
        JsonError { fault, pointer, line: error.line(), column: error.column() }
    })
}

/// The path to an error, innermost step first, and what it is.
#[derive(Default)]
struct Walk {
    path: RefCell<Vec<String>>,
    fault: RefCell<Option<Fault>>,
    is_document: bool,
    values: Cell<usize>,
}

impl Walk {
    /// One value more.
    fn count<E: serde::de::Error>(&self) -> Result<(), E> {
        self.values.set(self.values.get() + 1);
        self.at_most(self.values.get(), VALUES_MAX, "the document holds more than", "values")
    }

    fn text<E: serde::de::Error>(&self, text: &str) -> Result<(), E> {
        self.at_most(text.len(), STRING_MAX, "a string or member name is longer than", "bytes")
    }

    fn items<E: serde::de::Error>(&self, count: usize) -> Result<(), E> {
        self.at_most(count, ITEMS_MAX, "an array or object holds more than", "items")
    }

    fn at_most<E: serde::de::Error>(&self, n: usize, max: usize, what: &str, of: &str) -> Result<(), E> {
        if self.is_document && n > max {
            return Err(self.fail(Fault::TooLarge(format!("{what} {max} {of}"))));
        }
        Ok(())
    }

    fn fail<E: serde::de::Error>(&self, fault: Fault) -> E {
        *self.fault.borrow_mut() = Some(fault);
        E::custom("refused")
    }

    /// Notes a step of the way while an error passes outward; a sound text costs nothing.
    fn passing<E>(&self, step: String, error: E) -> E {
        self.path.borrow_mut().push(step);
        error
    }
}

struct Node<'w> {
    walk: &'w Walk,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.walk.count()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        if value > INTEGER_MAX {
            return Err(self.walk.fail(Fault::NumberRange));
        }
        Ok(Value::Number(value.into()))
    }
    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Value, E> {
        if value.unsigned_abs() > INTEGER_MAX {
            return Err(self.walk.fail(Fault::NumberRange));
        }
        Ok(Value::Number(value.into()))
    }
    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        // An integer written too long for 64 bits arrives here as a float.
        match Number::from_f64(value) {
            Some(_) if self.walk.is_document && value.fract() == 0.0 && value.abs() <= INTEGER_MAX as f64 => {
                Ok(Value::Number((value as i64).into()))
            }
            Some(number) if value.abs() <= INTEGER_MAX as f64 => Ok(Value::Number(number)),
            _ => Err(self.walk.fail(Fault::NumberRange)),
        }
    }
    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        self.walk.text(value)?;
        Ok(Value::String(value.to_owned()))
    }
    fn visit_string<E: serde::de::Error>(self, value: String) -> Result<Value, E> {
        self.walk.text(&value)?;
        Ok(Value::String(value))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        if self.depth >= DEPTH_MAX {
            return Err(self.walk.fail(Fault::TooDeep));
        }
        let mut array = Vec::new();
        loop {
            match items.next_element_seed(Node { walk: self.walk, depth: self.depth + 1 }) {
                Ok(Some(item)) => {
                    array.push(item);
                    self.walk.items(array.len())?;
                }
                Ok(None) => break,
                Err(error) => return Err(self.walk.passing(array.len().to_string(), error)),
            }
        }
        Ok(Value::Array(array))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        if self.depth >= DEPTH_MAX {
            return Err(self.walk.fail(Fault::TooDeep));
        }
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            self.walk.text(&name)?;
            self.walk.items(object.len() + 1)?;
            if object.contains_key(&name) {
                let error = self.walk.fail(Fault::DuplicateMember);
                return Err(self.walk.passing(name, error));
            }
            match members.next_value_seed(Node { walk: self.walk, depth: self.depth + 1 }) {
                Ok(value) => object.insert(name, value),
                Err(error) => return Err(self.walk.passing(name, error)),
            };
        }
        Ok(Value::Object(object))
    }
}

/// As [`parse_wrapper`], for a type of our own that serde derives, e.g. a small closed header.
pub fn parse_closed<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, JsonError> {
    let value = parse_wrapper(bytes)?;
    T::deserialize(value).map_err(|error| {
        let what = serde_json::Error::custom(error).to_string();
        JsonError { fault: Fault::Syntax(what), pointer: String::new(), line: 1, column: 1 }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refusal(text: &str) -> (&'static str, String) {
        let error = parse(text.as_bytes()).unwrap_err();
        (error.fault.code(), error.pointer)
    }

    #[test]
    fn duplicates_are_refused_at_every_depth() {
        assert_eq!(refusal(r#"{"a":1,"a":2}"#), ("json_duplicate_member", "/a".into()));
        assert_eq!(refusal(r#"{"a":[{"b/c":1,"b/c":1}]}"#), ("json_duplicate_member", "/a/0/b~1c".into()));
        assert_eq!(refusal(r#"{"a":1,"\u0061":2}"#), ("json_duplicate_member", "/a".into()));
    }

    #[test]
    fn bounds() {
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(parse(deep(DEPTH_MAX).as_bytes()).is_ok());
        assert_eq!(refusal(&deep(DEPTH_MAX + 1)).0, "json_too_deep");
        assert_eq!(refusal(&deep(100_000)).0, "json_too_deep");
        assert!(parse(b"9007199254740991").is_ok());
        for big in
            ["9007199254740992", "-9007199254740992", "1e300", "1e400", "123456789012345678901234567890"]
        {
            assert_eq!(refusal(big).0, "json_number_range", "{big}");
        }
    }

    #[test]
    fn whole_numbers_are_integers() {
        for (text, number) in [("1.0", 1), ("10e-1", 1), ("-0.0", 0), ("-0", 0), ("2E3", 2000), ("1e-400", 0)]
        {
            assert_eq!(parse(text.as_bytes()), Ok(Value::from(number)), "{text}");
        }
        assert_eq!(parse(b"9007199254740991.0"), Ok(Value::from(INTEGER_MAX)));
        assert_eq!(parse(b"1.5"), Ok(Value::from(1.5)));
        assert_eq!(parse_wrapper(b"1.0"), Ok(Value::from(1.0)));
    }

    #[test]
    fn sizes() {
        let string = |n: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(n));
        let array = |n: usize| format!("{{\"a\":[{}]}}", vec!["0"; n].join(","));
        let object = |n: usize| {
            let members: Vec<String> = (0..n).map(|at| format!("\"{at}\":0")).collect();
            format!("{{\"a\":{{{}}}}}", members.join(","))
        };
        // The outer list, and the inner ones with 1,023 items each.
        let values =
            |n: usize| format!("[{}]", vec![format!("[{}]", vec!["0"; 1023].join(",")); n].join(","));
        for (sound, large) in [
            (string(STRING_MAX), string(STRING_MAX + 1)),
            (array(ITEMS_MAX), array(ITEMS_MAX + 1)),
            (object(ITEMS_MAX), object(ITEMS_MAX + 1)),
        ] {
            assert!(parse(sound.as_bytes()).is_ok());
            assert_eq!(refusal(&large), ("json_too_large", "/a".to_owned()));
            assert!(
                parse_wrapper(large.as_bytes()).is_ok(),
                "what wraps other documents is bounded as a whole"
            );
        }
        assert!(parse(values(1023).as_bytes()).is_ok());
        assert_eq!(refusal(&values(1024)).0, "json_too_large");
        let name = format!("{{\"{}\":0}}", "x".repeat(STRING_MAX + 1));
        assert_eq!(
            refusal(&name),
            ("json_too_large", String::new()),
            "a name that is too long is not repeated"
        );
        let escaped = format!("\"{}\"", "\\u0041".repeat(STRING_MAX));
        assert!(parse(escaped.as_bytes()).is_ok(), "what counts is what the string says");
    }

    #[test]
    fn syntax_names_its_place() {
        let error = parse(b"{\n  \"a\": nul }").unwrap_err();
        assert_eq!((error.fault.code(), error.line, error.pointer.as_str()), ("json_invalid", 2, "/a"));
        for bad in ["", "{} {}", "{\"a\":1,}", "NaN", "\"\u{1}\"", "[1,]", "01", "\u{feff}{}"] {
            assert_eq!(refusal(bad).0, "json_invalid", "{bad:?}");
        }
        assert_eq!(parse(b"\"\xff\"").unwrap_err().fault.code(), "json_invalid");
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json_where_it_accepts(text in "\\PC{0,40}|[\\[\\]{}:,\"a0-9 .e-]{0,40}") {
            if let Ok(value) = parse(text.as_bytes()) {
                prop_assert_eq!(parse_wrapper(text.as_bytes()).unwrap(), serde_json::from_str::<Value>(&text).unwrap());
                prop_assert_eq!(parse(value.to_string().as_bytes()).unwrap(), value);
            }
        }

        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse(&bytes);
        }
    }
}
