//! Tables `witnessed`, `cosignature`, `alarm`: what two gateways showed each other of their logs.

use silkgate_ledger::{Checkpoint, Note, NoteError, NoteSignature};
use silkgate_message::instant::Instant;
use silkgate_message::jws::Digest;

use super::ledger::{self, signed, unsigned};
use super::sql::{Row, sql};
use super::{Connection, StoreError, ascending};

/// What we cosigned of a partner's log.
#[derive(Clone, Debug)]
pub struct Witnessed {
    /// The log.
    pub origin: String,
    /// The partner's state.
    pub partner: String,
    /// The newest checkpoint, with our cosignature.
    pub note: Vec<u8>,
    /// How often we cosigned.
    pub times: i64,
}

/// The newest checkpoint that we cosigned of a log.
pub async fn witnessed(conn: &mut Connection, origin: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let query = sql("SELECT note FROM witnessed WHERE origin = $1").bind(origin.to_owned());
    query.first(conn).await
}

/// Everything that we cosigned.
pub async fn all_witnessed(conn: &mut Connection) -> Result<Vec<Witnessed>, StoreError> {
    let rows = sql("SELECT origin, partner, note, times FROM witnessed ORDER BY origin");
    let read = |row: Row| {
        Ok(Witnessed { origin: row.get(0)?, partner: row.get(1)?, note: row.get(2)?, times: row.get(3)? })
    };
    rows.fetch_all(conn).await?.into_iter().map(read).collect()
}

/// Keeps a checkpoint that we are about to cosign; the caller has compared it in this transaction.
pub async fn put_witnessed(
    conn: &mut Connection,
    origin: &str,
    partner: &str,
    note: &[u8],
) -> Result<(), StoreError> {
    sql("INSERT INTO witnessed (origin, partner, note, times) VALUES ($1, $2, $3, 1)
         ON CONFLICT (origin) DO UPDATE SET note = excluded.note, times = witnessed.times + 1")
    .bind(origin.to_owned())
    .bind(partner.to_owned())
    .bind(note.to_vec())
    .execute(&mut *conn)
    .await?;
    count_witnessed(conn, partner).await
}

/// Goes back to an earlier cosigned checkpoint, or forgets the log, after both operators agreed that its history goes
/// on from there.
pub async fn rewind_witnessed(
    conn: &mut Connection,
    origin: &str,
    partner: &str,
    note: Option<&[u8]>,
) -> Result<(), StoreError> {
    sql("DELETE FROM witnessed WHERE origin = $1").bind(origin.to_owned()).execute(&mut *conn).await?;
    match note {
        Some(note) => put_witnessed(conn, origin, partner, note).await,
        None => count_witnessed(conn, partner).await,
    }
}

async fn count_witnessed(conn: &mut Connection, partner: &str) -> Result<(), StoreError> {
    sql("UPDATE log SET witnessed = (SELECT coalesce(sum(times), 0) FROM witnessed WHERE partner = $1)
         WHERE partner = $1")
    .bind(partner.to_owned())
    .execute(conn)
    .await?;
    Ok(())
}

/// A row of `cosignature`.
#[derive(Clone, Debug)]
pub struct Cosigned {
    /// The checkpoint's size.
    pub size: u64,
    /// The partner.
    pub witness: String,
    /// The signature line.
    pub line: String,
}

/// Keeps a partner's cosignature; a repeated one changes nothing.
pub async fn put_cosignature(conn: &mut Connection, log: i64, cosigned: &Cosigned) -> Result<(), StoreError> {
    let done = sql(
        "INSERT INTO cosignature (log, size, witness, line) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
    )
    .bind(log)
    .bind(signed(cosigned.size))
    .bind(cosigned.witness.clone())
    .bind(cosigned.line.clone())
    .execute(&mut *conn)
    .await?;
    let added = i64::try_from(done).unwrap_or(0);
    sql("UPDATE log SET cosigned = cosigned + $1 WHERE id = $2").bind(added).bind(log).execute(conn).await?;
    Ok(())
}

/// The size of the newest checkpoint that `witness` cosigned.
pub async fn newest_cosigned(
    conn: &mut Connection,
    log: i64,
    witness: &str,
) -> Result<Option<u64>, StoreError> {
    let query = sql("SELECT max(size) FROM cosignature WHERE log = $1 AND witness = $2");
    let row = query.bind(log).bind(witness.to_owned()).fetch_one(conn).await?;
    row.get::<Option<i64>>(0)?.map(unsigned).transpose()
}

/// The size of the first cosigned checkpoint of at least `size` entries.
pub async fn first_cosigned(conn: &mut Connection, log: i64, size: u64) -> Result<Option<u64>, StoreError> {
    let query = sql("SELECT min(size) FROM cosignature WHERE log = $1 AND size >= $2");
    let row = query.bind(log).bind(signed(size)).fetch_one(conn).await?;
    row.get::<Option<i64>>(0)?.map(unsigned).transpose()
}

/// The cosignature lines of a checkpoint, by witness.
pub async fn lines(conn: &mut Connection, log: i64, size: u64) -> Result<Vec<String>, StoreError> {
    let query = sql("SELECT line FROM cosignature WHERE log = $1 AND size = $2 ORDER BY witness");
    query.bind(log).bind(signed(size)).column(conn).await
}

/// The checkpoint of that size with its cosignatures.
pub async fn cosigned_note(
    conn: &mut Connection,
    log: i64,
    size: u64,
) -> Result<Option<Vec<u8>>, StoreError> {
    let Some(note) = ledger::checkpoint(conn, log, size).await? else { return Ok(None) };
    let unsound = |error: NoteError| StoreError::Corrupt(format!("cosigned checkpoint: {error}"));
    let mut note = Note::parse(&note).map_err(unsound)?;
    for line in lines(conn, log, size).await? {
        note.add_signature(NoteSignature::parse(&line).map_err(unsound)?).map_err(unsound)?;
    }
    Ok(Some(note.encode()))
}

/// Cosignatures of a log by size, from above `after` on, at most `limit`; those of one size are never parted but by the limit.
pub async fn cosignatures(
    conn: &mut Connection,
    log: i64,
    (size, witness): (u64, &str),
    limit: u32,
) -> Result<Vec<Cosigned>, StoreError> {
    let rows =
        sql("SELECT size, witness, line FROM cosignature WHERE log = $1 AND (size, witness) > ($2, $3)
         ORDER BY size, witness LIMIT $4")
        .bind(log)
        .bind(signed(size))
        .bind(witness.to_owned())
        .bind(i64::from(limit))
        .fetch_all(conn)
        .await?;
    let read =
        |row: Row| Ok(Cosigned { size: unsigned(row.get(0)?)?, witness: row.get(1)?, line: row.get(2)? });
    let page = rows.into_iter().map(read).collect::<Result<_, StoreError>>()?;
    let key = |row: &Cosigned| (row.size, row.witness.clone());
    ascending((size, witness.to_owned()), page, key, "cosignature")
}

/// The longest that a cosignature tells of the partner's clock.
const CLOCK_RECENT_MS: i64 = 3_600_000;
/// How far two clocks may lie apart.
const CLOCK_SKEW_MS: i64 = 300_000;

/// Notes the time that a partner put into a cosignature, and ours when it came in.
pub async fn note_clock(
    conn: &mut Connection,
    partner: &str,
    theirs: Instant,
    ours: Instant,
) -> Result<(), StoreError> {
    sql(
        "UPDATE partner SET clock_theirs_ms = $1, clock_ours_ms = $2, confirmed_ms = NULL WHERE country = $3",
    )
    .bind(theirs.0)
    .bind(ours.0)
    .bind(partner.to_owned())
    .execute(conn)
    .await?;
    Ok(())
}

/// Notes an operator's word in a partner's place.
pub async fn confirm(conn: &mut Connection, partner: &str, at: Instant) -> Result<(), StoreError> {
    sql("UPDATE partner SET confirmed_ms = $1 WHERE country = $2")
        .bind(at.0)
        .bind(partner.to_owned())
        .execute(&mut *conn)
        .await?;
    super::partner::touch(conn).await
}

/// Partners for whom an operator gave the word since they last witnessed, and when.
pub async fn confirmed(conn: &mut Connection) -> Result<Vec<(String, Instant)>, StoreError> {
    let rows = sql("SELECT country, confirmed_ms FROM partner WHERE confirmed_ms IS NOT NULL");
    rows.fetch_all(conn).await?.iter().map(|row| Ok((row.get(0)?, Instant(row.get(1)?)))).collect()
}

/// When our logs were first shown to the partner: `now`, where that is the first time.
pub async fn first_shown(
    conn: &mut Connection,
    partner: &str,
    now: Instant,
) -> Result<Option<Instant>, StoreError> {
    let query =
        sql("UPDATE partner SET shown_ms = coalesce(shown_ms, $1) WHERE country = $2 RETURNING shown_ms");
    let row = query.bind(now.0).bind(partner.to_owned()).fetch_optional(conn).await?;
    row.map(|row| Ok(Instant(row.get(0)?))).transpose()
}

/// Partners that ever cosigned a log of ours.
pub async fn witnesses(conn: &mut Connection) -> Result<Vec<String>, StoreError> {
    let rows = sql("SELECT country FROM partner WHERE clock_ours_ms IS NOT NULL ORDER BY country");
    rows.column(conn).await
}

/// Whether a partner's cosignature of the last hour agrees with our clock within 300 s. What cannot be undone
/// waits for it: a clock that jumped ahead must destroy nothing.
pub async fn clock_agrees(conn: &mut Connection, now: Instant) -> Result<bool, StoreError> {
    let query = sql(
        "SELECT 1 FROM partner WHERE clock_ours_ms BETWEEN $1 AND $2 AND abs(clock_theirs_ms - clock_ours_ms) <= $3",
    );
    let query = query.bind(now.0 - CLOCK_RECENT_MS).bind(now.0).bind(CLOCK_SKEW_MS);
    Ok(query.fetch_optional(conn).await?.is_some())
}

/// Two histories of one log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AlarmKind {
    /// Of a partner's log.
    Fork,
    /// Of our own.
    Rollback,
}

impl AlarmKind {
    /// As stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            AlarmKind::Fork => "fork",
            AlarmKind::Rollback => "rollback",
        }
    }
}

/// A row of `alarm`.
#[derive(Clone, Debug)]
pub struct Alarm {
    /// Its number.
    pub id: i64,
    /// The partner's state.
    pub partner: String,
    /// The log.
    pub origin: String,
    /// What it is about.
    pub kind: AlarmKind,
    /// When it was noticed.
    pub at: Instant,
    /// The checkpoint that we hold.
    pub ours: Vec<u8>,
    /// The checkpoint that contradicts it; empty where the partner only lost what we hold.
    pub theirs: Vec<u8>,
    /// When it was settled by an operator.
    pub settled_at: Option<Instant>,
    /// The last cosigned checkpoint that both sides hold.
    pub goes_on: Option<Vec<u8>>,
}

impl Alarm {
    /// An alarm that is not stored yet.
    pub fn new(
        partner: &str,
        origin: &str,
        kind: AlarmKind,
        at: Instant,
        ours: Vec<u8>,
        theirs: Vec<u8>,
    ) -> Self {
        let (partner, origin) = (partner.to_owned(), origin.to_owned());
        Self { id: 0, partner, origin, kind, at, ours, theirs, settled_at: None, goes_on: None }
    }

    /// SHA-256 over both notes, by which log entries name the alarm.
    pub fn digest(&self) -> [u8; 32] {
        Digest::of(&[self.ours.as_slice(), b"\n", &self.theirs].concat()).0
    }

    /// SHA-256 over [`Alarm::digest`] and the note from which the log goes on, by which log entries name its settlement.
    pub fn settled_digest(&self, goes_on: Option<&[u8]>) -> [u8; 32] {
        Digest::of(&[&self.digest()[..], goes_on.unwrap_or_default()].concat()).0
    }

    /// Whether the two notes alone prove two histories: one size, two roots. Otherwise a proof failed.
    pub fn is_proof(&self) -> bool {
        match (head(&self.ours), head(&self.theirs)) {
            (Some(ours), Some(theirs)) => ours.size == theirs.size && ours.root != theirs.root,
            _ => false,
        }
    }

    /// The sizes that were given up when it was settled: above the first, up to the second.
    pub fn given_up(&self) -> Option<(u64, u64)> {
        self.settled_at?;
        let lost = match self.kind {
            AlarmKind::Fork => head(&self.ours)?,
            AlarmKind::Rollback => head(&self.theirs)?,
        };
        let kept = self.goes_on.as_deref().and_then(head).map_or(0, |kept| kept.size);
        Some((kept, lost.size))
    }

    /// Whether this one, which was raised before, makes `new` no news.
    fn covers(&self, new: &Alarm) -> bool {
        let same = (&self.ours, &self.theirs) == (&new.ours, &new.theirs);
        match (self.kind, self.settled_at) {
            (AlarmKind::Rollback, None) => true,
            // A partner may show any checkpoint of a future that was given up, for ever.
            (AlarmKind::Rollback, Some(_)) => {
                let lost = self.given_up().zip(head(&new.theirs));
                lost.is_some_and(|((_, lost), theirs)| theirs.size <= lost)
            }
            // What only fails to prove anything must not hide what proves a fork.
            (AlarmKind::Fork, None) => same || !new.is_proof(),
            (AlarmKind::Fork, Some(_)) => same,
        }
    }
}

/// The checkpoint of a note.
fn head(note: &[u8]) -> Option<Checkpoint> {
    Checkpoint::parse(Note::parse(note).ok()?.text()).ok()
}

/// Open alarms of one log that are kept, at most: each is a proof by itself.
const OPEN_MAX: usize = 16;

/// Raises an alarm, unless it is no news. Its number where it is new.
pub async fn raise(conn: &mut Connection, alarm: &Alarm) -> Result<Option<i64>, StoreError> {
    let mut known = alarms(conn).await?;
    known.retain(|known| {
        (&known.partner, &known.origin, known.kind) == (&alarm.partner, &alarm.origin, alarm.kind)
    });
    let open = known.iter().filter(|known| known.settled_at.is_none()).count();
    if open >= OPEN_MAX || known.iter().any(|known| known.covers(alarm)) {
        return Ok(None);
    }
    insert_alarm(conn, alarm).await.map(Some)
}

/// Keeps an alarm; its number.
pub async fn insert_alarm(conn: &mut Connection, alarm: &Alarm) -> Result<i64, StoreError> {
    let row =
        sql("INSERT INTO alarm (partner, origin, kind, at_ms, ours, theirs) VALUES ($1, $2, $3, $4, $5, $6)
         RETURNING id")
        .bind(alarm.partner.clone())
        .bind(alarm.origin.clone())
        .bind(alarm.kind.as_str())
        .bind(alarm.at.0)
        .bind(alarm.ours.clone())
        .bind(alarm.theirs.clone())
        .fetch_one(&mut *conn)
        .await?;
    sql("UPDATE log SET alarms = alarms + 1 WHERE partner = $1")
        .bind(alarm.partner.clone())
        .execute(&mut *conn)
        .await?;
    super::partner::touch(conn).await?;
    row.get(0)
}

/// Every alarm, oldest first.
pub async fn alarms(conn: &mut Connection) -> Result<Vec<Alarm>, StoreError> {
    let rows = sql(
        "SELECT id, partner, origin, kind, at_ms, ours, theirs, settled_ms, goes_on FROM alarm ORDER BY id",
    );
    let read = |row: Row| {
        let kind: String = row.get(3)?;
        let known = [AlarmKind::Fork, AlarmKind::Rollback].into_iter().find(|k| k.as_str() == kind);
        Ok(Alarm {
            id: row.get(0)?,
            partner: row.get(1)?,
            origin: row.get(2)?,
            kind: known.ok_or_else(|| StoreError::Corrupt("alarm.kind".into()))?,
            at: Instant(row.get(4)?),
            ours: row.get(5)?,
            theirs: row.get(6)?,
            settled_at: row.get::<Option<i64>>(7)?.map(Instant),
            goes_on: row.get(8)?,
        })
    };
    rows.fetch_all(conn).await?.into_iter().map(read).collect()
}

/// The alarms that no operator has settled.
pub async fn open_alarms(conn: &mut Connection) -> Result<Vec<Alarm>, StoreError> {
    Ok(alarms(conn).await?.into_iter().filter(|alarm| alarm.settled_at.is_none()).collect())
}

/// Marks an alarm as settled: the log goes on from that checkpoint, or from its beginning.
pub async fn settle(
    conn: &mut Connection,
    id: i64,
    at: Instant,
    goes_on: Option<&[u8]>,
) -> Result<(), StoreError> {
    sql("UPDATE alarm SET settled_ms = $1, goes_on = $2 WHERE id = $3")
        .bind(at.0)
        .bind(goes_on.map(<[u8]>::to_vec))
        .bind(id)
        .execute(conn)
        .await?;
    Ok(())
}
