//! UN/EDIFACT passenger lists, PAXLST D.02B and later, to the data of `manifest.passenger` and back.
//!
//! Sources: ISO 9735 (syntax), UNTDID directories D.01A and later (segments, codes), the WCO/IATA/ICAO PAXLST
//! implementation guide (how carriers use them). Land crossings use the same segments with mode 3 (road).

mod codes;
mod read;
mod syntax;
mod write;

pub use read::{Converted, Options, read};
pub use write::write;

/// Members of `manifest.passenger` that a passenger list has no place for.
pub const NOT_CARRIED: &[&str] = &[
    "retention",
    "travellers[].birthCalendar",
    "travellers[].name in another script than Latin (its machine-readable form goes instead)",
    "travellers[].name.fatherName, grandfatherName, kind",
    "plate.script, plate.matchKey (made again from the plate as Latin script)",
    "seconds of departure and arrival",
];

/// Something wrong in a passenger list, or something that it cannot carry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, serde::Serialize)]
#[error("line {line}, column {column}: {code}: {text}")]
pub struct Fault {
    /// Line in the file, from 1; 0 where no file was read.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The segment's number in the file, from 1 (UNA not counted).
    pub segment: usize,
    /// The segment's tag.
    pub tag: String,
    /// A stable snake_case code.
    pub code: &'static str,
    /// What is wrong and what was expected.
    pub text: String,
}
