//! Support for the end-to-end tests: two states set up by the shipped binary, and peers that can do
//! over the wire what a gateway never would.
#![allow(clippy::panic, reason = "a test that cannot go on says why and ends")]

pub mod balancer;
pub mod browser;
pub mod certificates;
pub mod collector;
pub mod h2;
pub mod home;
pub mod line;
pub mod nats;
pub mod netns;
pub mod peer;
pub mod postgres;
pub mod receiver;
pub mod snapshot;
pub mod stub;
pub mod token;
pub mod trace;
pub mod tsa;
pub mod wire;

use std::time::{Duration, Instant};

pub use home::{Home, Pair, binary};
pub use peer::{Message, answer, event, example, question, sign, uuid_v7};
pub use wire::{Answer, Client};

/// Now, milliseconds since 1970. Tests make messages of the present.
#[allow(clippy::disallowed_methods)] // the tests' one clock
pub fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
}

/// Waits until `ready` gives something; a deadline turns a hang into a failure that says on what.
pub fn wait_for<T>(what: &str, ready: impl FnMut() -> Option<T>) -> T {
    wait_within(Duration::from_secs(30), what, ready)
}

/// The same with a deadline of its own.
pub fn wait_within<T>(limit: Duration, what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = ready() {
            return found;
        }
        assert!(started.elapsed() < limit, "waited {} s for {what}", limit.as_secs());
        // Not a wait for time to pass: the condition is asked again after each pause.
        std::thread::park_timeout(Duration::from_millis(10));
    }
}
