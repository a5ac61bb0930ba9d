//! The command `silkgate`: a state's gateway for signed, validated, logged messages.

mod accept;
mod admission;
mod app;
mod audit;
mod breaker;
mod channel;
mod clock;
mod config;
mod conform;
mod deadlines;
mod deliver;
mod directory;
mod dispatch;
mod evidence;
mod figures;
mod findable;
mod gateway;
mod handshakes;
mod http;
mod judge;
mod keys;
mod line;
mod making;
mod operations;
mod pages;
mod push;
mod reading;
mod receive;
mod refusals;
mod retention;
mod revocation;
mod roles;
mod send;
mod session;
#[cfg(test)]
mod simulation;
mod stamp;
mod standing;
mod stated;
mod store;
mod submit;
mod syslog;
mod tiles;
mod tls;
mod web;
mod witness;

use std::process::ExitCode;

fn main() -> ExitCode {
    app::run()
}
