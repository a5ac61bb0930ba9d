//! A store of millions of messages, written as the gateway would have written them.

use std::time::Duration;

use anyhow::{Context as _, Result};
use silkgate_ledger::entry::{Entry, Kind, UtcMillis, Verdict};
use silkgate_ledger::tree::Hash;
use silkgate_ledger::{Edge, leaf_hash};
use silkgate_message::catalogue::Catalogue;
use support::{Home, now_ms};

use crate::database::{Cell, Database};
use crate::evidence::log_signer;

/// For the first start over so many entries.
pub(crate) const START_MAX: Duration = Duration::from_secs(600);
/// Messages in one statement.
const AT_ONCE: u64 = 1000;
/// Messages between two transactions.
const TRANSACTION: u64 = 100_000;

/// The id of the message of that number: in the order of arrival, as UUIDv7 are.
fn id_of(number: u64, at_ms: i64) -> uuid::Uuid {
    let mut tail = [0; 10];
    tail[2..].copy_from_slice(&number.to_be_bytes());
    uuid::Builder::from_unix_timestamp_millis(at_ms as u64, &tail).into_uuid()
}

/// When the message of that number came in: over the last year.
fn at_of(number: u64, of: u64, now: i64) -> i64 {
    const YEAR_MS: u64 = 365 * 86_400_000;
    now - YEAR_MS as i64 + (YEAR_MS / of * number) as i64
}

/// Messages that [`seed`] wrote.
pub(crate) struct Seeded {
    count: u64,
    now: i64,
}

impl Seeded {
    /// The id of the message of that number.
    pub(crate) fn id(&self, number: u64) -> uuid::Uuid {
        id_of(number, at_of(number, self.count, self.now))
    }
}

/// Writes messages with their entries, tiles and one checkpoint, as the gateway would have: real entries of a real tree, whose
/// contents were erased long ago.
pub(crate) async fn seed(home: &Home, count: u64) -> Result<Seeded> {
    let now = now_ms();
    let mut database = Database::open(home).await?;
    let (log, mut edge) = database.channel().await?;
    let before = edge.size();
    let size = i64::try_from(before + count)?;
    let kinds: Vec<&str> = Catalogue::embedded().types().iter().map(|kind| kind.name()).collect();
    for first in (0..count).step_by(TRANSACTION as usize) {
        database.execute("BEGIN", Vec::new()).await?;
        let last = (first + TRANSACTION).min(count);
        for start in (first..last).step_by(AT_ONCE as usize) {
            let numbers = start..(start + AT_ONCE).min(last);
            let made = numbers.map(|number| message(number, at_of(number, count, now), &kinds, before));
            write(&mut database, log, size, made.collect::<Result<Vec<_>>>()?, &mut edge).await?;
        }
        database.put_tiles(log, &mut edge).await?;
        database.execute("COMMIT", Vec::new()).await?;
        if last.is_multiple_of(1_000_000) {
            eprintln!("{last} of {count} messages");
        }
    }
    database.execute("BEGIN", Vec::new()).await?;
    database.put_head(log, &edge, &log_signer(home)?).await?;
    let tally = "INSERT INTO tally (hour, partner, direction, type, outcome, messages)
         SELECT at_ms / 3600000, partner, direction, type, coalesce(code, 'accepted'), count(*) FROM message GROUP BY 1, 2, 3, 4, 5";
    database.execute(tally, Vec::new()).await?;
    database.execute("COMMIT", Vec::new()).await?;
    database.close().await?;
    Ok(Seeded { count, now })
}

/// A message to be written.
struct Made {
    seq: i64,
    id: uuid::Uuid,
    kind: String,
    at: i64,
    index: i64,
    digest: Hash,
    code: Option<&'static str>,
    body: Vec<u8>,
}

fn message(number: u64, at: i64, kinds: &[&str], before: u64) -> Result<Made> {
    // One in fifty is refused; types take turns, but for a rare one.
    let code = (number % 50 == 7).then_some("rules_violated");
    let kind = if number % 1000 == 3 { "risk.notice" } else { kinds[(number % 5) as usize] };
    let id = id_of(number, at);
    let digest = Hash::of(&number.to_be_bytes());
    let mut entry = Entry::new(
        if code.is_some() { Kind::Rejected } else { Kind::Received },
        UtcMillis::from_unix_ms(at).context("a time")?,
    );
    entry.from = Some("IQ/traffic-police".to_owned());
    entry.to = Some("JO/public-security".to_owned());
    entry.id = Some(id.to_string());
    entry.message_type = Some(kind.to_owned());
    entry.jws = Some(digest);
    entry.cert = Some(Hash::of(b"certificate"));
    entry.schema = Some(Hash::of(b"edition"));
    entry.verdict = Some(if code.is_some() { Verdict::Rejected } else { Verdict::Accepted });
    entry.code = code.map(str::to_owned);
    let index = i64::try_from(before + number)?;
    let body = entry.encode()?;
    Ok(Made { seq: i64::try_from(number + 1)?, id, kind: kind.to_owned(), at, index, digest, code, body })
}

async fn write(database: &mut Database, log: i64, size: i64, made: Vec<Made>, edge: &mut Edge) -> Result<()> {
    let entry = |one: &Made| vec![Cell::Int(log), Cell::Int(one.index), Cell::Bytes(one.body.clone())];
    let insert = "INSERT INTO entry (log, idx, body) SELECT log, idx, body FROM made";
    database.insert(insert, &["log", "idx", "body"], made.iter().map(entry).collect()).await?;
    for one in &made {
        edge.append(leaf_hash(&one.body));
    }
    let insert = "INSERT INTO message (seq, direction, partner, source, recipient, id, type, version, subject, digest, signed_ms, \
         expires_ms, at_ms, log, entry, checkpoint, state, code, purpose)
         SELECT seq, 'received', 'IQ', 'IQ/traffic-police', 'JO/public-security', id, type, 1, 'R-' || seq, digest, at_ms, \
         at_ms + 3600000, at_ms, log, entry, checkpoint, CASE WHEN code IS NULL THEN 'accepted' ELSE 'rejected' END, code, \
         'border-management' FROM made";
    let names = ["seq", "id", "type", "digest", "at_ms", "log", "entry", "checkpoint", "code"];
    let row = |one: Made| {
        vec![
            Cell::Int(one.seq),
            Cell::Bytes(one.id.as_bytes().to_vec()),
            Cell::Text(Some(one.kind)),
            Cell::Bytes(one.digest.as_bytes().to_vec()),
            Cell::Int(one.at),
            Cell::Int(log),
            Cell::Int(one.index),
            Cell::Int(size),
            Cell::Text(one.code.map(str::to_owned)),
        ]
    };
    database.insert(insert, &names, made.into_iter().map(row).collect()).await
}
