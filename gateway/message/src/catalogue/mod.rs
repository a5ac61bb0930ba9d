//! The message types.
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use crate::lifecycle::Action;

/// Severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Error.
    Error,
    /// Warning.
    Warning,
}

/// Violation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// Rule.
    pub rule: String,
    /// Pointer.
    pub pointer: String,
    /// Severity.
    pub severity: Severity,
    /// Text.
    pub text: String,
    /// Arabic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_ar: Option<String>,
    /// Hint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Catalogue.
pub struct Catalogue;
/// Type.
pub struct MessageType;
/// Step.
pub struct LifecycleStep<'a> {
    /// Action.
    pub action: Action,
    /// Record.
    pub record: &'a str,
    /// Version.
    pub version: u64,
    /// Supersedes.
    pub supersedes: Option<Supersedes<'a>>,
}
/// Supersedes.
pub struct Supersedes<'a> {
    /// Id.
    pub message_id: &'a str,
    /// Digest.
    pub digest: &'a str,
}
impl Catalogue {
    /// Embedded.
    pub fn embedded() -> &'static Catalogue {
        &Catalogue
    }
    /// Types.
    pub fn types(&self) -> &[MessageType] {
        &[]
    }
    /// By id.
    pub fn by_schema_id(&self, _: &str) -> Option<&MessageType> {
        None
    }
}
impl MessageType {
    /// Name.
    pub fn name(&self) -> &str {
        ""
    }
    /// Version.
    pub fn version(&self) -> u32 {
        1
    }
    /// Id.
    pub fn schema_id(&self) -> &str {
        ""
    }
    /// Digest.
    pub fn digest(&self) -> [u8; 32] {
        [0; 32]
    }
    /// Check.
    pub fn check(&self, _: &Value) -> Vec<Violation> {
        vec![]
    }
    /// Lifecycle.
    pub fn lifecycle<'a>(&self, _: &'a Value) -> Option<LifecycleStep<'a>> {
        None
    }
}
