//! The only place that reads the clock and the random source.

#[cfg(test)]
pub mod simulated;

use ring::rand::{SecureRandom as _, SystemRandom};
use silkgate_message::instant::Instant;
use time::OffsetDateTime;
use uuid::Uuid;

/// Now, UTC.
#[allow(clippy::disallowed_methods)] // the one place
pub fn now() -> Instant {
    #[cfg(test)]
    if let Some(now) = simulated::now() {
        return now;
    }
    let ms = OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000;
    // Milliseconds of any representable date fit 64 bits.
    Instant(i64::try_from(ms).unwrap_or(i64::MAX))
}

/// Random bytes from the operating system.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    #[cfg(test)]
    if simulated::fill(&mut bytes) {
        return bytes;
    }
    // ring fails here only where the system has no random source; nothing safe can be done without one.
    #[allow(clippy::expect_used)]
    SystemRandom::new().fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// A new UUIDv7 of that instant (RFC 9562 §5.7): 48 bits of milliseconds, the rest random.
pub fn uuid_v7(at: Instant) -> Uuid {
    uuid::Builder::from_unix_timestamp_millis(u64::try_from(at.0).unwrap_or(0), &random()).into_uuid()
}

/// A task of its own: in the tests' simulation it belongs to the process that starts it, whose clock it goes by and with
/// which it ends.
#[cfg(not(test))]
pub fn along<F: Future>(task: F) -> F {
    task
}
#[cfg(test)]
pub use simulated::along;

/// Time that only goes forward, for rates: the runtime's, like every pause.
#[derive(Clone, Debug, Default)]
pub struct Steady;

impl governor::clock::Clock for Steady {
    type Instant = std::time::Instant;

    fn now(&self) -> Self::Instant {
        tokio::time::Instant::now().into_std()
    }
}
