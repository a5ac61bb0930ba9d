//! The homes of two states, made once by the real commands: keys, cards, agreements, databases. Each run begins with a copy.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use silkgate_message::card::Card;
use silkgate_message::instant::Instant;
use tempfile::TempDir;

use crate::app::run_line;
use crate::clock::simulated::Process;
use crate::config::{Config, Home};
use crate::store::memory::Memory;

/// The states: country, party and host.
const STATES: [(&str, &str, &str); 2] =
    [("iq", "IQ/traffic-police", "gateway.iq.example"), ("jo", "JO/public-security", "gateway.jo.example")];

/// When the homes are made: 2026-12-01T08:00:00Z.
const MADE_AT: Instant = Instant(1_796_112_000_000);
/// When a run begins: an hour later.
pub(super) const BEGIN: Instant = Instant(MADE_AT.0 + 3_600_000);

/// A home as the commands left it.
pub(super) struct Made {
    pub(super) home: Home,
    pub(super) config: Config,
    /// What the database holds; nothing where that is not a file.
    pub(super) data: Vec<u8>,
    /// What the key store holds.
    pub(super) keys: Vec<u8>,
}

/// Both homes, with files of SQLite.
pub(super) fn made() -> &'static [Made; 2] {
    static MADE: OnceLock<(TempDir, [Made; 2])> = OnceLock::new();
    &MADE
        .get_or_init(|| {
            let folder = tempfile::tempdir().expect("a folder");
            // A thread of its own: the caller's may be driving another runtime.
            let made = std::thread::scope(|scope| {
                scope.spawn(|| make(&folder, MADE_AT, |_| Vec::new())).join().expect("the homes are made")
            });
            (folder, made)
        })
        .1
}

/// Makes both homes in `folder` at that time; `more` gives further arguments for `init`.
pub(super) fn make(folder: &TempDir, at: Instant, more: impl Fn(usize) -> Vec<String>) -> [Made; 2] {
    let more = [more(0), more(1)];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let process = Process::new(Some(at), 0, Box::new(|_, _| None));
    let homes = STATES.map(|(name, _, _)| folder.path().join(name));
    runtime.block_on(process.run("setup", async {
        for (n, (_, party, host)) in STATES.iter().enumerate() {
            let mut line: Vec<String> = ["init", party, "--host", host].map(str::to_owned).to_vec();
            line.extend(more[n].iter().cloned());
            command(&homes[n], &line.iter().map(String::as_str).collect::<Vec<_>>()).await;
            command(&homes[n], &["card"]).await;
        }
        for n in [0, 1] {
            let other = 1 - n;
            let card = homes[other].join("own.card");
            let read = Card::parse(&fs::read(&card).expect("the card")).expect("a card");
            let (card, fingerprint) = (card.display().to_string(), read.fingerprint().to_string());
            command(&homes[n], &["partner", "add", &card, "--fingerprint", &fingerprint]).await;
            let country = STATES[other].0.to_uppercase();
            // What limits rates has tests of its own.
            command(&homes[n], &["partner", "allow", &country, "--rate", "1000"]).await;
        }
    }));
    homes.map(|path| {
        let home = Home::new(&path);
        let config = tuned(home.config().expect("the configuration"));
        let read = |name: &str| {
            let file = path.join(name);
            if file.exists() { Memory::image(&file).expect("the file is a database") } else { Vec::new() }
        };
        Made { data: read("silkgate.db"), keys: read("keys/payload-keys.db"), home, config }
    })
}

async fn command(home: &Path, line: &[&str]) {
    let home = home.display().to_string();
    let line: Vec<&str> = ["-d", home.as_str()].into_iter().chain(line.iter().copied()).collect();
    let done = run_line(&line).await;
    assert!(done.is_ok(), "{line:?}: {:?}", done.err());
}

/// Shorter pauses than by default: a run is to end soon.
fn tuned(mut config: Config) -> Config {
    config.dispatch.attempt_seconds = 10;
    config.dispatch.backoff_longest_ms = 30_000;
    config.deliveries.lease_seconds = 10;
    config
}
