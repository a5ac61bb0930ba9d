//! End-to-end tests: the shipped binary over real TLS. One binary, so that it links once.

mod delivery;
mod demo;
mod exchange;
mod floors;
mod kill;
