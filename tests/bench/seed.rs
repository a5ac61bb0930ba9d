//! A store of millions of messages, written as the gateway would have written them.

use anyhow::{Context as _, Result};
use silkgate_ledger::entry::{Entry, Kind, UtcMillis, Verdict};
use silkgate_ledger::tree::Hash;
use silkgate_ledger::{Edge, leaf_hash};
use silkgate_message::catalogue::Catalogue;
use sqlx::sqlite::{Sqlite, SqliteConnection};
use sqlx::{Connection as _, QueryBuilder, Row as _};
use support::{Home, now_ms};

use crate::evidence::{log_signer, open, put_head, put_tiles};

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

/// The id of that number, in a store that [`seed`] filled: its time is cut to what `seed` used.
pub(crate) fn old_id(number: u64) -> uuid::Uuid {
    id_of(number, SEEDED_AT.get().map_or(0, |(of, now)| at_of(number, *of, *now)))
}

/// How many were seeded, and as of when.
static SEEDED_AT: std::sync::OnceLock<(u64, i64)> = std::sync::OnceLock::new();

/// Writes messages with their entries, tiles and one checkpoint, as the gateway would have: real entries of a real tree, whose
/// contents were erased long ago.
pub(crate) async fn seed(home: &Home, count: u64) -> Result<()> {
    let now = now_ms();
    let _ = SEEDED_AT.set((count, now));
    let mut conn = open(&home.path.join("silkgate.db")).await?;
    let log: i64 =
        sqlx::query("SELECT id FROM log WHERE partner IS NOT NULL").fetch_one(&mut conn).await?.get(0);
    let rows = sqlx::query("SELECT body FROM entry WHERE log = $1 ORDER BY idx").bind(log);
    let mut edge = Edge::empty();
    for row in rows.fetch_all(&mut conn).await? {
        edge.append(leaf_hash(&row.get::<Vec<u8>, _>(0)));
    }
    let before = edge.size();
    let size = i64::try_from(before + count)?;
    let kinds: Vec<&str> = Catalogue::embedded().types().iter().map(|kind| kind.name()).collect();
    for first in (0..count).step_by(TRANSACTION as usize) {
        let mut tx = conn.begin().await?;
        let last = (first + TRANSACTION).min(count);
        for start in (first..last).step_by(AT_ONCE as usize) {
            let numbers = start..(start + AT_ONCE).min(last);
            let made = numbers.map(|number| message(number, at_of(number, count, now), &kinds, before));
            write(&mut tx, log, size, made.collect::<Result<Vec<_>>>()?, &mut edge).await?;
        }
        put_tiles(&mut tx, log, &mut edge).await?;
        tx.commit().await?;
        if last.is_multiple_of(1_000_000) {
            eprintln!("{last} of {count} messages");
        }
    }
    let mut tx = conn.begin().await?;
    put_head(&mut tx, log, &edge, &log_signer(home)?).await?;
    sqlx::query(
        "INSERT INTO tally (hour, partner, direction, type, outcome, messages)
         SELECT at_ms / 3600000, partner, direction, type, coalesce(code, 'accepted'), count(*) FROM message GROUP BY 1, 2, 3, 4, 5",
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    conn.close().await?;
    Ok(())
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

async fn write(
    conn: &mut SqliteConnection,
    log: i64,
    size: i64,
    made: Vec<Made>,
    edge: &mut Edge,
) -> Result<()> {
    let mut entries = QueryBuilder::<Sqlite>::new("INSERT INTO entry (log, idx, body) ");
    entries.push_values(&made, |mut row, one| {
        row.push_bind(log).push_bind(one.index).push_bind(one.body.clone());
    });
    entries.build().execute(&mut *conn).await?;
    let mut messages = QueryBuilder::<Sqlite>::new(
        "INSERT INTO message (seq, direction, partner, source, recipient, id, type, version, subject, digest, signed_ms, expires_ms, at_ms, \
         log, entry, checkpoint, state, code, purpose) ",
    );
    messages.push_values(&made, |mut row, one| {
        row.push_bind(one.seq)
            .push("'received', 'IQ', 'IQ/traffic-police', 'JO/public-security'")
            .push_bind(one.id.as_bytes().to_vec())
            .push_bind(one.kind.clone())
            .push("1")
            .push_bind(format!("R-{}", one.seq))
            .push_bind(one.digest.as_bytes().to_vec())
            .push_bind(one.at)
            .push_bind(one.at + 3_600_000)
            .push_bind(one.at)
            .push_bind(log)
            .push_bind(one.index)
            .push_bind(size)
            .push_bind(if one.code.is_some() { "rejected" } else { "accepted" })
            .push_bind(one.code)
            .push("'border-management'");
    });
    messages.build().execute(&mut *conn).await?;
    for one in &made {
        edge.append(leaf_hash(&one.body));
    }
    Ok(())
}
