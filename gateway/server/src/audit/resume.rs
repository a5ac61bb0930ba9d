//! What an interrupted audit has verified, kept so that the next one need not verify it again.
//!
//! The file says how far signatures were verified, and a running hash over exactly the bytes that they were
//! verified on. It stands under a MAC whose key comes from the log key, which who can only write the database
//! does not have. The next run hashes the same bytes again; only an equal hash saves it the signatures.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ring::hmac;
use serde::{Deserialize, Serialize};
use silkgate_message::jws::{Digest, decode, encode};

/// How often the file is written.
const EVERY: Duration = Duration::from_secs(1);

/// What is verified in one order of its own: None for messages by `seq`, or the checkpoints of a log by size.
pub(super) type Chain = Option<i64>;

/// One step of a chain: where, what was verified there, and whether it was sound.
pub(super) struct Link {
    pub(super) chain: Chain,
    pub(super) at: i64,
    pub(super) digest: Digest,
    pub(super) sound: bool,
}

#[derive(Serialize, Deserialize, Clone)]
struct Proven {
    log: Chain,
    at: i64,
    hash: String,
}

#[derive(Serialize, Deserialize)]
struct File {
    proven: Vec<Proven>,
    mac: String,
}

struct Running {
    hash: Digest,
    proven: Option<(i64, Digest)>,
    /// Nothing beyond the first unsound item is ever proven.
    sound: bool,
}

/// How far this run has come, and how far the last one had.
pub(super) struct Resume {
    path: PathBuf,
    key: hmac::Key,
    start: Digest,
    goals: BTreeMap<Chain, (i64, Digest)>,
    reached: BTreeSet<Chain>,
    running: BTreeMap<Chain, Running>,
    written: Option<Instant>,
}

impl Resume {
    /// `start`: a digest of what everything is verified under. With `fresh` an earlier run counts for nothing.
    pub(super) fn new(path: &Path, secret: &[u8], start: Digest, fresh: bool) -> Self {
        let of_log = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let key = hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&of_log, b"silkgate audit progress").as_ref());
        // Another version of the program may verify more.
        let start = Digest::of(&[&start.0[..], env!("CARGO_PKG_VERSION").as_bytes()].concat());
        let mut resume = Self {
            path: path.to_owned(),
            key,
            start,
            goals: BTreeMap::new(),
            reached: BTreeSet::new(),
            running: BTreeMap::new(),
            written: None,
        };
        if !fresh {
            resume.goals = resume.read().unwrap_or_default();
        }
        resume
    }

    /// None where there is no file, or not one that this gateway wrote.
    fn read(&self) -> Option<BTreeMap<Chain, (i64, Digest)>> {
        let file: File = serde_json::from_slice(&std::fs::read(&self.path).ok()?).ok()?;
        let said = serde_json::to_vec(&file.proven).ok()?;
        hmac::verify(&self.key, &said, &decode(&file.mac)?).ok()?;
        file.proven.iter().map(|p| Some((p.log, (p.at, Digest::parse(&p.hash)?)))).collect()
    }

    /// Whether an earlier run verified this item, if the hash says in the end that it is still the same.
    pub(super) fn skips(&self, chain: Chain, at: i64) -> bool {
        self.goals.get(&chain).is_some_and(|(goal, _)| at <= *goal)
    }

    /// Takes the next item of a chain, and writes the file now and then.
    pub(super) fn take(&mut self, link: &Link) {
        let start = || {
            let tag = link.chain.map_or_else(|| "messages".to_owned(), |log| format!("log {log}"));
            Running {
                hash: Digest::of(&[&self.start.0[..], tag.as_bytes()].concat()),
                proven: None,
                sound: true,
            }
        };
        let running = self.running.entry(link.chain).or_insert_with(start);
        let said = [&running.hash.0[..], &link.at.to_be_bytes(), &link.digest.0].concat();
        running.hash = Digest::of(&said);
        running.sound &= link.sound;
        if running.sound {
            running.proven = Some((link.at, running.hash));
        }
        if self.goals.get(&link.chain) == Some(&(link.at, running.hash)) {
            self.reached.insert(link.chain);
        }
    }

    /// Writes how far it has come, if that was not written a moment ago. A file that cannot be written costs a later run
    /// its time, and this one nothing.
    pub(super) fn note(&mut self) {
        if self.written.is_some_and(|at| now() - at < EVERY) {
            return;
        }
        self.written = Some(now());
        let write = || -> std::io::Result<()> {
            // What the last run proved counts until this one has come as far.
            let far = |chain: &Chain, at: i64| self.goals.get(chain).is_none_or(|(goal, _)| at >= *goal);
            let mut proven: BTreeMap<Chain, (i64, Digest)> = self.goals.clone();
            for (chain, running) in &self.running {
                if let Some((at, hash)) = running.proven.filter(|(at, _)| far(chain, *at)) {
                    proven.insert(*chain, (at, hash));
                }
            }
            let proven: Vec<Proven> = proven
                .into_iter()
                .map(|(log, (at, hash))| Proven { log, at, hash: hash.to_string() })
                .collect();
            let mac = encode(hmac::sign(&self.key, &serde_json::to_vec(&proven)?).as_ref());
            let beside = self.path.with_extension("progress.new");
            let _ = std::fs::remove_file(&beside);
            let mut file =
                std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
            file.write_all(&serde_json::to_vec(&File { proven, mac })?)?;
            std::fs::rename(&beside, &self.path)
        };
        if let Err(error) = write() {
            tracing::warn!(file = %self.path.display(), %error, "the audit's progress was not kept");
        }
    }

    /// Goes back to the start, and trusts nothing of the chains whose bytes are no longer those that were verified.
    /// False where there are none.
    pub(super) fn back(&mut self) -> bool {
        let before = self.goals.len();
        self.goals.retain(|chain, _| self.reached.contains(chain));
        self.running.clear();
        self.reached.clear();
        self.goals.len() < before
    }

    /// The audit is complete.
    pub(super) fn done(&self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[allow(clippy::disallowed_methods)] // when to write, no time of a message
fn now() -> Instant {
    Instant::now()
}
