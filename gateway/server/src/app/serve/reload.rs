//! Our own certificates and keys, taken up while the gateway runs.

use std::collections::{HashMap, VecDeque};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use silkgate_ledger::entry::Kind;
use silkgate_message::jws::Digest;
use tokio_util::sync::CancellationToken;

use super::overlap_end;
use crate::accept::{Answer, Note, NoteLog, Work, entry_at};
use crate::clock;
use crate::config::Home;
use crate::gateway::Gateway;
use crate::keys::{self, Part};
use crate::line::Lines;
use crate::store::ledger::hash;

/// How often the files are looked at. What was found twice is taken: a certificate and its key are put there one after the other.
const LOOK: Duration = Duration::from_millis(500);

/// What tells one version of a file from another: when it or its mode was changed, its length and its inode; None: it is not there.
type Version = Vec<(PathBuf, Option<(i64, i64, u64, u64)>)>;

/// What was found of one part.
struct Seen {
    /// As it was at the last look.
    last: Version,
    /// As it was when it was last judged.
    judged: Version,
}

/// The files as they stand, by part.
pub(super) struct Files(HashMap<&'static str, Seen>);

impl Files {
    /// To be asked for before the keys are read: what is put there between the two would else be taken for what was read.
    pub(super) fn now(home: &Home) -> Self {
        let seen = Part::ALL.map(|part| {
            let version = version(home, part);
            (part.name(), Seen { last: version.clone(), judged: version })
        });
        Self(seen.into())
    }
}

/// Looks until `stop` for files that are other than those that were read.
pub(super) async fn run(
    gateway: Arc<Gateway>,
    home: Home,
    Files(mut seen): Files,
    lines: Arc<Lines>,
    stop: CancellationToken,
) {
    let mut owed = changed_before(&gateway).await;
    tell_held(&gateway, &home);
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = stop.cancelled() => return,
        }
        for part in Part::ALL {
            let Some(seen) = seen.get_mut(part.name()) else { continue };
            let found = version(&home, part);
            let is_steady = found == seen.last;
            seen.last = found;
            if !is_steady || seen.last == seen.judged {
                continue;
            }
            seen.judged = seen.last.clone();
            let taken = take(&gateway, &home, &lines, part);
            gateway.figures.file_refused(part.name(), taken.is_err());
            match taken {
                Ok(note) => {
                    tell_held(&gateway, &home);
                    tracing::info!(what = part.name(), "changed certificates or keys came into force");
                    owed.push_back(note);
                }
                Err(reason) => {
                    let reason = format!("{reason:#}");
                    tracing::error!(
                        what = part.name(),
                        reason,
                        "ALARM: changed certificates or keys cannot be used; those before stay in force"
                    );
                }
            }
        }
        // In force already: where nothing can be written at present, the entry follows.
        while let Some(note) = owed.front() {
            let work = Work::Note(Box::new(note.clone()));
            if matches!(gateway.accept.commit(work).await, Answer::Failed(_)) {
                break;
            }
            owed.pop_front();
        }
    }
}

/// What came into force and has no entry: files that changed while nothing ran, or just before the process ended. A home
/// of before `init` stated them begins so.
async fn changed_before(gateway: &Gateway) -> VecDeque<Note> {
    let (keys, mut owed) = (gateway.keys(), VecDeque::new());
    for part in Part::ALL {
        let Some(digest) = keys.digest(part, &gateway.config) else { continue };
        let stated = gateway.loaded(part).await;
        if stated.as_deref() == Some(digest.to_string().as_str()) {
            continue;
        }
        if stated.is_some() {
            tracing::info!(
                what = part.name(),
                "certificates or keys are other than the house log states: they changed while nothing ran"
            );
        }
        owed.push_back(loaded(part, digest));
    }
    owed
}

/// What the house log says of a part that came into force.
fn loaded(part: Part, digest: Digest) -> Note {
    let mut entry = entry_at(Kind::Admin, clock::now());
    entry.what = Some(part.loaded().to_owned());
    entry.digest = Some(hash(digest));
    Note { log: NoteLog::House, entry }
}

/// `key retire` waits for it.
fn tell_held(gateway: &Gateway, home: &Home) {
    if let Err(error) = keys::tell_held(home, &gateway.keys()) {
        tracing::warn!(%error, "{}: cannot be written", keys::held_file(home).display());
    }
}

fn version(home: &Home, part: Part) -> Version {
    let read = |file: PathBuf| {
        let found = std::fs::metadata(&file).ok();
        let found = found.map(|found| (found.ctime(), found.ctime_nsec(), found.len(), found.ino()));
        (file, found)
    };
    part.files(home).into_iter().map(read).collect()
}

/// Judges what stands in the files, and takes it; what the house log is to say of it.
fn take(gateway: &Gateway, home: &Home, lines: &Lines, part: Part) -> Result<Note> {
    let next = gateway.keys().with(part, home, &gateway.config)?;
    if part == Part::Message {
        let (certificate, now) = (&next.message_certificate, clock::now());
        anyhow::ensure!(
            certificate.not_before <= now && now <= certificate.not_after,
            "the signing certificate is valid from {} to {}",
            certificate.not_before,
            certificate.not_after
        );
    }
    if part == Part::Tls {
        anyhow::ensure!(next.tls_anchor.is_some(), "{}: not there", home.certificate("tls-ca").display());
    }
    let digest = next.digest(part, &gateway.config).context("the key cannot be read")?;
    let identity = next.tls.clone();
    gateway.take_keys(next, part)?;
    if part == Part::Tls {
        lines.show(identity);
    }
    // In force already: until this is written, which a start does too, `key retire` refuses.
    if let Err(error) = keys::begin_overlap(home, &[part], overlap_end(gateway)) {
        tracing::warn!(
            what = part.name(),
            error = format!("{error:#}"),
            "the overlap of two keys cannot be noted"
        );
    }
    Ok(loaded(part, digest))
}
