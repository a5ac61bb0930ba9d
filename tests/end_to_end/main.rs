//! End-to-end tests: the shipped binary over real TLS. One binary, so that it links once.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says why and ends")]

mod backup;
mod bad_inputs;
mod catalogue;
mod check;
mod command;
mod convert;
mod courier;
mod dead;
mod delivery;
mod demo;
mod erasure;
mod evidence;
mod exchange;
mod faults;
mod floors;
mod kill;
mod liars;
mod moving;
mod operations;
mod overload;
mod protocol;
mod queries;
mod readme;
mod reconcile;
mod replicas;
mod retention;
mod rollover;
mod schema;
mod strangers;
mod surroundings;
mod tamper;
mod tiles;
mod timestamp;
mod upgrade;
mod witness;
