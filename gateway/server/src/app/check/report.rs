//! How results are reported: as they come, so that millions of messages need no memory.

use anyhow::Result;
use silkgate_message::catalogue::Severity;

use super::structured::{Json, Junit, Sarif};
use super::text::Text;
use crate::judge::Judged;

/// The forms of a report.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For a reader.
    Text,
    /// One object: `valid`, `violations`, `unchecked`, `summary`.
    Json,
    /// JUnit XML, for build servers.
    Junit,
    /// SARIF 2.1.0, for code hosts and editors.
    Sarif,
}

/// Writes a report on standard output.
pub(super) trait Reporter {
    fn begin(&mut self) -> Result<()>;
    fn judged(&mut self, judged: &Judged) -> Result<()>;
    fn unchecked(&mut self, what: &str) -> Result<()>;
    fn end(&mut self, tally: &Tally) -> Result<()>;
}

pub(super) fn reporter(format: Format) -> Box<dyn Reporter> {
    match format {
        Format::Text => Box::new(Text::new()),
        Format::Json => Box::new(Json::default()),
        Format::Junit => Box::new(Junit),
        Format::Sarif => Box::new(Sarif::default()),
    }
}

/// What was found in all.
#[derive(Default, serde::Serialize)]
pub(super) struct Tally {
    /// Messages checked.
    pub(super) checked: u64,
    /// Messages that conform.
    pub(super) valid: u64,
    /// Messages that do not.
    pub(super) invalid: u64,
    /// Violations that refuse.
    pub(super) errors: u64,
    /// Violations that do not.
    pub(super) warnings: u64,
    /// Inputs that could not be read.
    pub(super) unchecked: u64,
}

impl Tally {
    /// Counts one more.
    pub(super) fn count(&mut self, judged: &Judged) {
        self.checked += 1;
        if judged.is_valid() {
            self.valid += 1;
        } else {
            self.invalid += 1;
        }
        for finding in &judged.findings {
            match finding.violation.severity {
                Severity::Error => self.errors += 1,
                Severity::Warning => self.warnings += 1,
            }
        }
    }
}
