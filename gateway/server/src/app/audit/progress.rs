//! A line on the terminal while the audit runs.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::audit::Step;
use crate::store::{Store, ledger};

/// How far the audit is. Silent where nobody looks.
pub(super) struct Progress {
    /// Whether the line is drawn over itself; None: nothing is written.
    terminal: Option<bool>,
    of: u64,
    read: BTreeMap<i64, u64>,
    started: Instant,
    drawn: Instant,
    shown: bool,
}

impl Progress {
    pub(super) async fn new(asked: bool, json: bool, store: &Store) -> Result<Self> {
        let terminal = std::io::stderr().is_terminal();
        let wanted = asked || (terminal && !json);
        let mut of = 0;
        if wanted {
            // A store that cannot be read is told by the audit itself.
            let mut tx = store.read().await?;
            of = ledger::heads(&mut tx).await.unwrap_or_default().iter().map(|head| head.size).sum();
        }
        let (terminal, now) = (wanted.then_some(terminal), now());
        Ok(Self { terminal, of, read: BTreeMap::new(), started: now, drawn: now, shown: false })
    }

    /// A log was read so far. The first line comes at once where it was asked for.
    pub(super) fn step(&mut self, step: &Step<'_>) {
        let Some(terminal) = self.terminal else { return };
        self.read.insert(step.log, step.entries);
        let every = if terminal { Duration::from_millis(250) } else { Duration::from_secs(2) };
        if self.shown && now() - self.drawn < every {
            return;
        }
        (self.drawn, self.shown) = (now(), true);
        let line = self.line(step.origin);
        let mut error = std::io::stderr();
        let _ = if terminal { write!(error, "\r\x1b[K{line}") } else { writeln!(error, "{line}") };
    }

    fn line(&self, origin: &str) -> String {
        let read: u64 = self.read.values().sum();
        let seconds = self.started.elapsed().as_secs_f64();
        let per_second = read as f64 / seconds.max(0.001);
        let left = self.of.saturating_sub(read) as f64 / per_second.max(1.0);
        format!("{origin}: {read} of {} entries, {per_second:.0} a second, {left:.0} s left", self.of)
    }

    /// Takes the line away.
    pub(super) fn clear(&mut self) {
        if self.shown && self.terminal == Some(true) {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

#[allow(clippy::disallowed_methods)] // how fast it goes, no time of a message
fn now() -> Instant {
    Instant::now()
}
