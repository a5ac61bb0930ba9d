//! A broken rule, as it is reported.

use serde::{Deserialize, Serialize};

/// Violations reported at once, at most. A message can break a rule in every one of its bytes; its
/// refusal must stay small enough to be stored, sent and read.
pub const REPORTED_MAX: usize = 500;

/// Whether a violation refuses the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It does.
    Error,
    /// It is reported, and the message is taken.
    Warning,
}

/// One broken rule of schema or catalogue. It names members, bounds and codes, never values: a
/// refusal is kept longer than what it refuses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// The rule's stable id: `schema.<keyword>`, or one of the catalogue's.
    pub rule: String,
    /// Where, from the event's root (RFC 6901).
    pub pointer: String,
    /// Whether it refuses.
    pub severity: Severity,
    /// What is expected, in English.
    pub text: String,
    /// The same in Arabic, for rules of the catalogue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_ar: Option<String>,
    /// How to mend it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}
