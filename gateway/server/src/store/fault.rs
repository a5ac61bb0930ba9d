//! Faults at the boundary of the store: where a write of a simulated process begins and ends, the test that runs it is asked
//! what becomes of it. The same on every database.

use super::StoreError;
use crate::clock::simulated::{Fate, Here};

/// The longest that a transaction waits to begin, or to be on the disk, milliseconds of simulated time.
const DISK_MS: u64 = 4;

/// What a commit does, by its part and by what its transaction wrote.
const DEEDS: &[(&str, &str, &str)] = &[
    ("accept", "INSERT INTO delivery", "receive"),
    ("accept", "INSERT INTO outbox", "submit"),
    ("accept", "INSERT INTO attempt", "settle"),
    ("accept", "UPDATE delivery", "hand over"),
    ("accept", "INSERT INTO witnessed", "cosign"),
    ("accept", "INSERT INTO alarm", "alarm"),
    ("dispatch", "UPDATE outbox", "lease"),
    ("deliver", "UPDATE delivery", "lease"),
    ("witness", "INSERT INTO cosignature", "keep cosignature"),
    ("witness", "INSERT INTO alarm", "alarm"),
    ("witness", "INSERT INTO witnessed", "remember"),
    ("witness", "UPDATE partner", "first shown"),
    ("start", "UPDATE outbox", "free leases"),
];

/// What is still to come once the write is done.
pub(super) struct After(Option<(Here, Fate)>);

impl After {
    /// Tells what became of it.
    pub(super) async fn report(self) -> Result<(), StoreError> {
        match self.0 {
            Some((_, Fate::Unreported)) => Err(failed("done, and its answer lost")),
            Some((here, Fate::KilledAfter)) => die(&here).await,
            _ => Ok(()),
        }
    }
}

/// Before a transaction that may write begins.
pub(super) async fn begin() -> Result<(), StoreError> {
    let Some(here) = Here::get() else { return Ok(()) };
    here.pause(DISK_MS).await;
    here.process.begins();
    // Nothing is done yet: whatever fails, nothing came of it.
    match here.fate("BEGIN") {
        None => Ok(()),
        Some(Fate::KilledBefore | Fate::KilledAfter) => die(&here).await,
        Some(Fate::Lost | Fate::Unreported) => Err(failed("not begun")),
    }
}

/// Before a view for reading is taken.
pub(super) async fn read() -> Result<(), StoreError> {
    match Here::get().and_then(|here| here.fate("READ")) {
        Some(Fate::Lost) => Err(failed("not read")),
        _ => Ok(()),
    }
}

/// Before a statement; those that only read pass.
pub(super) async fn write(text: &str) -> Result<After, StoreError> {
    let (Some(here), Some(point)) = (Here::get(), point(text)) else { return Ok(After(None)) };
    here.process.writes(&point);
    decide(here, &point).await
}

/// Before a commit.
pub(super) async fn commit() -> Result<After, StoreError> {
    let Some(here) = Here::get() else { return Ok(After(None)) };
    let written = here.process.commits();
    here.pause(DISK_MS).await;
    let deed = deed(&here, &written);
    decide(here, &format!("COMMIT {deed}")).await
}

/// What a transaction does, in a few words.
fn deed(here: &Here, written: &[String]) -> String {
    let is = |what: &str| written.iter().any(|written| written == what);
    let deeds = DEEDS.iter().filter(|(part, what, _)| *part == here.part && is(what));
    let deeds: Vec<&str> = deeds.map(|(_, _, deed)| *deed).collect();
    match (deeds.is_empty(), written) {
        (false, _) => deeds.join(" + "),
        (true, [key]) if key == "INSERT INTO day_key" => "make key".to_owned(),
        (true, []) => "of nothing".to_owned(),
        (true, _) if is("INSERT INTO entry") => "note".to_owned(),
        (true, _) => {
            let mut written: Vec<&str> = written.iter().map(String::as_str).collect();
            written.dedup();
            written.join(" + ")
        }
    }
}

async fn decide(here: Here, point: &str) -> Result<After, StoreError> {
    match here.fate(point) {
        Some(Fate::Lost) => Err(failed("lost")),
        Some(Fate::KilledBefore) => die(&here).await,
        fate => Ok(After(fate.map(|fate| (here, fate)))),
    }
}

/// `INSERT INTO table`, `UPDATE table` or `DELETE FROM table`; None of a statement that writes nothing.
fn point(text: &str) -> Option<String> {
    let words: Vec<&str> = text.split_whitespace().take(200).collect();
    // Not the `UPDATE` of `FOR UPDATE` and `DO UPDATE`.
    let is_verb = |at: &usize| {
        matches!(words[*at], "INSERT" | "UPDATE" | "DELETE")
            && !at.checked_sub(1).is_some_and(|before| matches!(words[before], "FOR" | "DO"))
    };
    let verb = (0..words.len()).find(is_verb)?;
    let length = if words[verb] == "UPDATE" { 2 } else { 3 };
    Some(words.get(verb..verb + length)?.join(" "))
}

fn failed(what: &str) -> StoreError {
    StoreError::Sql(sqlx::Error::Io(std::io::Error::other(format!("injected: {what}"))))
}

/// The process ends here: this task is dropped with everything that it holds before it goes on.
async fn die<T>(here: &Here) -> T {
    here.process.kill();
    std::future::pending().await
}
