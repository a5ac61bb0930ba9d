//! Where event lines go: to standard error, by a thread of its own. Whoever reads them slowly, or not at all, must hold
//! up no commit; then lines are lost, and the loss is told.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, channel, sync_channel};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Lines that wait to be written, at most.
const WAITING_MAX: usize = 16_384;
/// Bytes that are written at once.
const WRITE_BYTES: usize = 64 << 10;
/// How long the end of the program waits for its last lines.
const LAST_WORDS: Duration = Duration::from_secs(2);

enum Word {
    Line(Vec<u8>),
    End,
}

/// Writes what waits before it goes.
pub(super) struct Logging {
    lines: SyncSender<Word>,
    written: Receiver<()>,
}

/// Begins to log: text, or with `json` one object a line.
pub(super) fn start(json: bool) -> Logging {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    let filter = filter.unwrap_or_else(|_| "silkgate=info,warn".into());
    let (lines, waiting) = sync_channel(WAITING_MAX);
    let (done, written) = channel();
    let lost = Arc::new(AtomicU64::new(0));
    let writer = Lines { lines: lines.clone(), lost: lost.clone() };
    std::thread::spawn(move || {
        write_all(&waiting, &lost);
        // Nobody listens where the program has not waited.
        let _ = done.send(());
    });
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    if json {
        log.json().init()
    } else {
        log.with_ansi(false).init()
    }
    Logging { lines, written }
}

impl Drop for Logging {
    fn drop(&mut self) {
        let tries = 50;
        for _ in 0..tries {
            let full = matches!(self.lines.try_send(Word::End), Err(TrySendError::Full(_)));
            let waited = self.written.recv_timeout(if full { LAST_WORDS / tries } else { LAST_WORDS });
            if !full || waited != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    }
}

/// Writes until the end is told.
fn write_all(waiting: &Receiver<Word>, lost: &AtomicU64) {
    let mut ended = false;
    while !ended {
        let mut bytes = Vec::new();
        let mut next = waiting.recv().ok();
        while let Some(word) = next {
            match word {
                Word::Line(line) => bytes.extend_from_slice(&line),
                Word::End => ended = true,
            }
            next = if ended || bytes.len() >= WRITE_BYTES { None } else { waiting.try_recv().ok() };
        }
        let lost = lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            bytes.extend_from_slice(format!("{lost} lines lost: standard error was not read\n").as_bytes());
        }
        // Where nobody reads any more there is nobody to tell.
        let _ = io::stderr().lock().write_all(&bytes);
    }
}

/// Takes lines for the thread.
struct Lines {
    lines: SyncSender<Word>,
    lost: Arc<AtomicU64>,
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(self)
    }
}

/// One line; the subscriber hands it over whole.
struct Line<'a>(&'a Lines);

impl io::Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self.0.lines.try_send(Word::Line(line.to_vec())) {
            Ok(()) => Ok(line.len()),
            Err(TrySendError::Full(_)) => {
                self.0.lost.fetch_add(1, Ordering::Relaxed);
                Ok(line.len())
            }
            // The thread has ended: what comes after the last words is few.
            Err(TrySendError::Disconnected(_)) => io::stderr().write(line),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
