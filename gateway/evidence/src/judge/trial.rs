//! The checks as they are made.

/// One check, in a sentence.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Check {
    /// Its name.
    pub check: &'static str,
    /// Whether it passed.
    pub passed: bool,
    /// What was found.
    pub says: String,
    /// The number of the message that it is about, where the bundle holds several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

#[derive(Default)]
pub(super) struct Trial {
    checks: Vec<Check>,
    message: Option<String>,
}

impl Trial {
    /// From here on the checks are about this message.
    pub(super) fn about(&mut self, message: Option<String>) {
        self.message = message;
    }

    /// Notes a check and gives what it found; None where it failed.
    pub(super) fn pass<T>(&mut self, check: &'static str, result: Result<(T, String), String>) -> Option<T> {
        let passed = result.is_ok();
        let (found, says) = match result {
            Ok((found, says)) => (Some(found), says),
            Err(says) => (None, says),
        };
        self.checks.push(Check { check, passed, says, message: self.message.clone() });
        found
    }

    /// Notes what holds by what was checked before.
    pub(super) fn say(&mut self, check: &'static str, says: String) {
        self.checks.push(Check { check, passed: true, says, message: self.message.clone() });
    }

    pub(super) fn checks(self) -> Vec<Check> {
        self.checks
    }
}
