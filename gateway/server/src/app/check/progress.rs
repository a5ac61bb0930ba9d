//! A line on the terminal while much is checked.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// How often the line is drawn.
const EVERY: Duration = Duration::from_millis(250);

/// What was done so far. Silent where standard error is no terminal, and at first.
pub(super) struct Progress {
    drawn: Option<Instant>,
    shown: bool,
    messages: u64,
    bytes: u64,
}

impl Progress {
    pub(super) fn new() -> Self {
        let drawn = std::io::stderr().is_terminal().then(now);
        Self { drawn, shown: false, messages: 0, bytes: 0 }
    }

    /// One more message of so many bytes.
    pub(super) fn advance(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes as u64;
        let Some(drawn) = self.drawn else { return };
        if now() - drawn >= EVERY {
            self.drawn = Some(now());
            self.shown = true;
            let megabytes = self.bytes / 1_000_000;
            let _ = write!(std::io::stderr(), "\r\x1b[K{} messages checked, {megabytes} MB", self.messages);
        }
    }

    /// Takes the line away.
    pub(super) fn clear(&mut self) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
            self.shown = false;
        }
    }
}

#[allow(clippy::disallowed_methods)] // when to draw, no time of a message
fn now() -> Instant {
    Instant::now()
}
