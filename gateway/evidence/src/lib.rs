//! The evidence bundle: one file with everything that proves what became of a message, and its judge.
//!
//! No I/O, no clock and no async: an auditor's tool can link this crate with `silkgate-message` and
//! `silkgate-ledger` alone. The format stands in docs/evidence.md.
//!
//! | module | what it holds |
//! |---|---|
//! | [`container`] | the canonical ZIP file |
//! | [`manifest`] | the exporter's signature over every member |
//! | [`edition`] | schema and rules that a message was judged by |
//! | [`listing`] | what a revocation list says of a certificate |
//! | [`bundle`] | the members of a message, and putting a bundle together |
//! | [`judge`] | every check, in a sentence |
//! | [`page`] | the summary in English and Arabic |

pub mod bundle;
pub mod container;
pub mod edition;
pub mod judge;
pub mod listing;
pub mod manifest;
pub mod page;

pub use bundle::{Bundle, Part};
pub use judge::cards::witness_key;
pub use judge::{Check, Judgement, judge};
pub use listing::Listing;
