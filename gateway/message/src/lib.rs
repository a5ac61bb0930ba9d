//! What a cross-border message *is*: no I/O, no clock, no async.
//!
//! A message is a flattened JWS ([`jws`]) over a CloudEvents event ([`event`]) between two
//! [`party`]s, of a type from the [`catalogue`], under an [`agreement`] between two states that
//! exchanged [`card`]s. [`lifecycle`] decides whether it may follow what came before it.

pub mod agreement;
pub mod card;
pub mod catalogue;
pub mod digest;
pub mod event;
pub mod instant;
pub mod json;
pub mod jws;
pub mod lifecycle;
pub mod party;
pub mod private_key;
pub mod problem;
pub mod revocation;
pub mod values;
pub mod violation;
