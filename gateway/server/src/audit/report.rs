//! What an audit tells.

use serde::Serialize;

use super::coverage::{COVERED, EXCLUDED, EXCLUDED_COLUMNS, Excluded};

/// Findings that are listed; the rest is counted.
const LISTED_MAX: usize = 1000;

/// What an audit found.
#[derive(Serialize)]
pub struct Report {
    /// Each log.
    pub logs: Vec<LogReport>,
    /// Messages looked at.
    pub messages: u64,
    /// Payloads whose digest and signature were verified.
    pub payloads: u64,
    /// Payloads that were erased, as the logs state.
    pub erased: u64,
    /// Findings that are payloads whose day key was destroyed: of a database from a backup, until the gateway's first look
    /// erases them again.
    pub keys_destroyed: u64,
    /// Partners' receipts that were verified.
    pub receipts: u64,
    /// Time-stamps that were verified over their checkpoints.
    pub timestamps: u64,
    /// Whether their authorities were verified too, under the anchors of the configuration.
    pub timestamps_anchored: bool,
    /// Signatures that an earlier run of this audit verified, proved to be over the same bytes.
    pub resumed: u64,
    /// Contradictions that the gateway noticed itself and no operator has settled. They do not make the store
    /// inconsistent.
    pub alarms: Vec<AlarmReport>,
    /// What the neighbours have seen of our logs.
    pub witnesses: Vec<WitnessReport>,
    /// Tables that were covered.
    pub covered: &'static [&'static str],
    /// Tables that no evidence rests on, and why.
    pub excluded: &'static [Excluded],
    /// The same of columns of covered tables.
    pub excluded_columns: &'static [Excluded],
    /// Everything that does not agree, at most 1,000.
    pub findings: Vec<Finding>,
    /// Findings beyond those listed.
    pub findings_unlisted: u64,
}

/// A log that was recomputed.
#[derive(Serialize)]
pub struct LogReport {
    /// Its origin.
    pub origin: String,
    /// Entries, 0 to this without a gap.
    pub entries: u64,
    /// Checkpoints whose root and signature were verified.
    pub checkpoints: u64,
    /// The newest cosignature of each witness.
    pub cosigned: Vec<CosignedReport>,
}

/// A witness's newest cosignature.
#[derive(Serialize, Clone)]
pub struct CosignedReport {
    /// The partner.
    pub by: String,
    /// When, by its clock; RFC 3339.
    pub at: String,
    /// Of so many entries.
    pub size: u64,
}

/// An open alarm.
#[derive(Serialize)]
pub struct AlarmReport {
    /// The partner.
    pub partner: String,
    /// The log.
    pub origin: String,
    /// `fork` or `rollback`.
    pub kind: &'static str,
    /// When it was noticed; RFC 3339.
    pub at: String,
}

/// What a neighbour answered when it was asked what it has seen of a log of ours.
#[derive(Serialize)]
pub struct WitnessReport {
    /// The partner.
    pub partner: String,
    /// The log.
    pub origin: String,
    /// How its answer fits.
    pub state: WitnessState,
    /// The entries it has seen.
    pub size: Option<u64>,
    /// Why it could not be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// How a neighbour's answer fits what we hold.
#[derive(Serialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "snake_case")]
pub enum WitnessState {
    /// It has seen everything we hold.
    Agrees,
    /// It has seen an earlier state of what we hold.
    Behind,
    /// It could not be asked.
    Unreachable,
    /// It has seen a history, under our own signature, that we do not hold.
    Contradicts,
    /// The same, and operators of both sides have given that history up.
    GivenUp,
    /// It was not asked.
    Offline,
}

/// One contradiction.
#[derive(Serialize)]
pub struct Finding {
    /// Where: table and key.
    pub place: String,
    /// What.
    pub what: String,
}

impl Report {
    pub(super) fn new() -> Self {
        Self {
            logs: Vec::new(),
            messages: 0,
            payloads: 0,
            erased: 0,
            keys_destroyed: 0,
            receipts: 0,
            timestamps: 0,
            timestamps_anchored: false,
            resumed: 0,
            alarms: Vec::new(),
            witnesses: Vec::new(),
            covered: &COVERED,
            excluded: &EXCLUDED,
            excluded_columns: &EXCLUDED_COLUMNS,
            findings: Vec::new(),
            findings_unlisted: 0,
        }
    }

    /// Adds a finding. A store that is wrong all over must not fill the memory.
    pub fn find(&mut self, place: impl Into<String>, what: impl Into<String>) {
        if self.findings.len() < LISTED_MAX {
            self.findings.push(Finding { place: place.into(), what: what.into() });
        } else {
            self.findings_unlisted += 1;
        }
    }
}
